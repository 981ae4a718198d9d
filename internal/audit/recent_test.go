package audit_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// remember appends entries to a log that writes them, and returns what it remembers.
func remember(t *testing.T, mode audit.Mode, most int, entries ...audit.Entry) *audit.Recent {
	t.Helper()
	recent := audit.NewRecent(most)
	l := audit.New(audit.Options{Mode: mode, Writer: io.Discard, Recent: recent})
	for i := range entries {
		l.Append(&entries[i])
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ended); err != nil {
		t.Fatal(err)
	}
	return recent
}

func TestAWrittenDecisionIsRemembered(t *testing.T) {
	recent := remember(t, audit.All, 4, full())
	got, ok := recent.Find("0123456789abcdef000000000000002a")
	want := audit.Remembered{Entry: audit.Entry{
		Time: time.Date(2026, 11, 22, 2, 4, 5, 678900000, time.UTC), Duration: 1500 * time.Nanosecond,
		Process: 0x0123456789abcdef, Number: 42,
		Adapter: "extauthz", Tenant: "7f1d", Principal: authz.Principal{Type: authz.User, ID: "u1"},
		Method: "POST", Path: "/powerapps/environments/e1/apps/a7/publish",
		Permissions: []authz.Permission{"PowerApps.Apps.Publish", "PowerApps.Apps.Read"},
		Scopes:      []authz.Scope{"/tenants/7f1d/environments/e1", "/tenants/7f1d"},
		Reason:      authz.Overridden, Assignment: "as1", Revision: authz.Revision{Epoch: 2, Number: 17},
	}}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("found: %t, difference (-want +got):\n%s", ok, diff)
	}
	for _, id := range []string{"", "2a", "0123456789abcdef000000000000002b", "ffffffffffffffff000000000000002a", strings.Repeat("z", 32)} {
		if _, ok := recent.Find(id); ok {
			t.Errorf("Find(%q) found something", id)
		}
	}
}

func TestOnlyTheLastDecisionsAreRemembered(t *testing.T) {
	var entries []audit.Entry
	for n := uint64(1); n <= 10; n++ {
		e := full()
		e.Number = n
		e.Path = "/" + strings.Repeat("x", int(20-n))
		entries = append(entries, e)
	}
	recent := remember(t, audit.All, 3, entries...)
	for n := 1; n <= 10; n++ {
		got, ok := recent.Find(fmt.Sprintf("0123456789abcdef%016x", n))
		if want := n > 7; ok != want {
			t.Errorf("decision %d: found %t, want %t", n, ok, want)
		}
		if want := "/" + strings.Repeat("x", 20-n); ok && got.Path != want {
			t.Errorf("decision %d: path %q, want %q", n, got.Path, want)
		}
	}
}

func TestWhatTheLogDoesNotKeepIsNotRemembered(t *testing.T) {
	allowed := full()
	allowed.Reason = authz.Granted
	const id = "0123456789abcdef000000000000002a"
	if _, ok := remember(t, audit.Denials, 4, allowed).Find(id); ok {
		t.Error("an allowed decision is remembered by a log of denials")
	}
	if _, ok := remember(t, audit.Off, 4, full()).Find(id); ok {
		t.Error("a decision is remembered by a log that is off")
	}
	if _, ok := remember(t, audit.All, -1, full()).Find(id); ok {
		t.Error("a decision is remembered where none is to be")
	}
}

func TestARememberedDecisionSaysWhatWasCut(t *testing.T) {
	long := full()
	long.Scopes = []authz.Scope{authz.Scope("/tenants/" + strings.Repeat("t", 400))}
	got, ok := remember(t, audit.All, 4, long).Find("0123456789abcdef000000000000002a")
	if !ok || !got.Truncated || len(got.Scopes) != 0 {
		t.Errorf("found %t, truncated %t, scopes %q", ok, got.Truncated, got.Scopes)
	}
}
