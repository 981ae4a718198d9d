package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// write appends entries and returns the lines that a log of this mode writes.
func write(t *testing.T, mode audit.Mode, entries ...audit.Entry) []string {
	t.Helper()
	var out bytes.Buffer
	l := audit.New(audit.Options{Mode: mode, Writer: &out})
	for i := range entries {
		l.Append(&entries[i])
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ended); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func full() audit.Entry {
	return audit.Entry{
		Time:     time.Date(2026, 11, 22, 3, 4, 5, 678900000, time.FixedZone("", 3600)),
		Duration: 1500 * time.Nanosecond,
		Process:  0x0123456789abcdef, Number: 42,
		Adapter:     "extauthz",
		Tenant:      "7f1d",
		Principal:   authz.Principal{Type: authz.User, ID: "u1"},
		Method:      "POST",
		Path:        "/powerapps/environments/e1/apps/a7/publish?token=secret",
		Permissions: []authz.Permission{"PowerApps.Apps.Publish", "PowerApps.Apps.Read"},
		Scopes:      []authz.Scope{"/tenants/7f1d/environments/e1", "/tenants/7f1d"},
		Reason:      authz.Overridden,
		Assignment:  "as1",
		Revision:    authz.Revision{Epoch: 2, Number: 17},
	}
}

func TestALineHoldsTheDecision(t *testing.T) {
	want := `{"log":"decision","time":"2026-11-22T02:04:05.6789Z","decision_id":"0123456789abcdef000000000000002a",` +
		`"adapter":"extauthz","tenant":"7f1d","principal_type":"User","principal":"u1","method":"POST",` +
		`"path":"/powerapps/environments/e1/apps/a7/publish",` +
		`"permissions":["PowerApps.Apps.Publish","PowerApps.Apps.Read"],"scopes":["/tenants/7f1d/environments/e1","/tenants/7f1d"],` +
		`"effect":"deny","reason":"OVERRIDDEN","assignment":"as1","revision":{"epoch":2,"number":17},"duration_ns":1500}`
	if diff := cmp.Diff([]string{want}, write(t, audit.Denials, full())); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestALineOfAlmostNothing(t *testing.T) {
	want := `{"log":"decision","time":"1970-01-01T00:00:00Z","decision_id":"00000000000000000000000000000000",` +
		`"effect":"deny","reason":"UNSPECIFIED","revision":{"epoch":0,"number":0},"duration_ns":0}`
	got := write(t, audit.Denials, audit.Entry{Time: time.Unix(0, 0)})
	if diff := cmp.Diff([]string{want}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestModesKeepWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		mode audit.Mode
		want []string
	}{
		{audit.Off, nil},
		{audit.Denials, []string{"NO_ASSIGNMENT", "INTERNAL", "UNSPECIFIED"}},
		{audit.All, []string{"GRANTED", "NO_ASSIGNMENT", "PUBLIC", "INTERNAL", "UNSPECIFIED"}},
	} {
		var entries []audit.Entry
		for _, r := range []authz.Reason{authz.Granted, authz.NoAssignment, authz.Public, authz.Internal, authz.ReasonUnspecified} {
			entries = append(entries, audit.Entry{Reason: r})
		}
		var got []string
		for _, line := range write(t, c.mode, entries...) {
			if line == "" {
				continue
			}
			var l struct{ Reason string }
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			got = append(got, l.Reason)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.mode, diff)
		}
	}
}

func TestModeIsReadStrictly(t *testing.T) {
	for text, want := range map[string]audit.Mode{"off": audit.Off, "denials": audit.Denials, "all": audit.All} {
		var m audit.Mode
		if err := m.UnmarshalText([]byte(text)); err != nil || m != want || m.String() != text {
			t.Errorf("%q reads as %s, %v", text, m, err)
		}
	}
	m := audit.All
	if err := m.UnmarshalText([]byte("All")); err == nil || m != audit.All {
		t.Errorf(`"All" reads as %s, %v; want an error`, m, err)
	}
}

func TestPathsAreWrittenWithoutSecretsOrControls(t *testing.T) {
	for _, c := range []struct {
		path, want string
	}{
		{"/a/b?token=s", "/a/b"},
		{"/a#s", "/a"},
		{"/a;jsessionid=s", "/a"},
		{"/a%3Ftoken=s", "/a"},
		{"/a%3ftoken=s", "/a"},
		{"/a%23s", "/a"},
		{"/a%3Bs", "/a"},
		{"/a%3bs", "/a"},
		{"/a%3", "/a%3"},
		{"/a%", "/a%"},
		{"/a%2Fb", "/a%2Fb"},
		{"/a\x1b[31m\r\nb c\x7f", "/a%1B[31m%0D%0Ab%20c%7F"},
		{"/\u009b\xff\u2028", "/%C2%9B%FF%E2%80%A8"},
		{`/"<\`, `/"<\`},
	} {
		e := audit.Entry{Path: c.path}
		var got struct{ Path string }
		if err := json.Unmarshal([]byte(write(t, audit.All, e)[0]), &got); err != nil {
			t.Errorf("%q: %v", c.path, err)
		}
		if got.Path != c.want {
			t.Errorf("the path %q is written as %q, want %q", c.path, got.Path, c.want)
		}
	}
}

func TestLongTextIsCutAndSaidToBe(t *testing.T) {
	e := full()
	e.Path = "/" + strings.Repeat("p", 9000)
	var got struct {
		Path      string
		Scopes    []string
		Truncated bool
	}
	read := func() {
		t.Helper()
		got.Path, got.Scopes, got.Truncated = "", nil, false
		if err := json.Unmarshal([]byte(write(t, audit.All, e)[0]), &got); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if len(got.Path) != 512 || !got.Truncated {
		t.Errorf("a path of 9001 bytes: %d bytes, truncated %v; want 512, true", len(got.Path), got.Truncated)
	}

	// Of several scopes, one that does not fit is left out: half of it would name another.
	e = full()
	e.Scopes = []authz.Scope{"/tenants/t", authz.Scope("/tenants/t/environments/" + strings.Repeat("e", 400)), "/tenants/u"}
	read()
	if diff := cmp.Diff([]string{"/tenants/t", "/tenants/u"}, got.Scopes); diff != "" || !got.Truncated {
		t.Errorf("scopes, truncated %v (-want +got):\n%s", got.Truncated, diff)
	}

	// All at their limits at once.
	long := strings.Repeat("\xff", 2000)
	e = audit.Entry{
		Adapter: long, Tenant: long, Principal: authz.Principal{Type: authz.ApplicationUser, ID: long}, Method: long, Path: long,
		Permissions: []authz.Permission{authz.Permission(long)}, Scopes: []authz.Scope{authz.Scope(long)}, Assignment: long,
	}
	read()
	if !got.Truncated {
		t.Error("everything too long: not said to be truncated")
	}
}

func TestWhatFindsNoRoomIsDroppedAndCounted(t *testing.T) {
	var out bytes.Buffer
	l := audit.New(audit.Options{Mode: audit.All, Entries: 5, Writer: &out}) // rounded up to 8
	for i := range 11 {
		l.Append(&audit.Entry{Number: uint64(i)})
	}
	if diff := cmp.Diff(audit.Stats{Dropped: 3}, l.Stats()); diff != "" {
		t.Errorf("stats of a full ring (-want +got):\n%s", diff)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if err := l.Run(ended); err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			l.Append(&audit.Entry{Number: uint64(100 + i)})
		}
	}
	if diff := cmp.Diff(audit.Stats{Written: 16, Dropped: 3}, l.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		number := i
		if i >= 8 {
			number = 100 + i - 8
		}
		if want := fmt.Sprintf(`"decision_id":"%032x"`, number); !strings.Contains(line, want) {
			t.Errorf("line %d is %s, want %s", i, line, want)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	l := audit.New(audit.Options{Mode: audit.All, Entries: 16})
	e := full()
	if n := testing.AllocsPerRun(1000, func() { l.Append(&e) }); n != 0 {
		t.Errorf("Append allocates %v times", n)
	}
	if l.Stats().Dropped == 0 {
		t.Error("the ring was never full")
	}
}

// A gate is a writer that lets through what it is told to.
type gate struct {
	writing chan struct{}
	open    chan struct{}
	out     bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	g.writing <- struct{}{}
	<-g.open
	return g.out.Write(p)
}

func TestAWriterThatBlocksHoldsNobodyUp(t *testing.T) {
	g := &gate{writing: make(chan struct{}, 100), open: make(chan struct{})}
	l := audit.New(audit.Options{Mode: audit.All, Entries: 4, Writer: g})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	l.Append(&audit.Entry{})
	<-g.writing
	for range 10 {
		l.Append(&audit.Entry{}) // would hang here
	}
	if got := l.Stats(); got.Dropped != 6 {
		t.Errorf("with room for 4, %d of 10 were dropped, want 6", got.Dropped)
	}
	close(g.open)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(audit.Stats{Written: 5, Dropped: 6}, l.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	if n := strings.Count(g.out.String(), "\n"); n != 5 {
		t.Errorf("%d lines, want 5", n)
	}
}

// A failing writer fails for some writes, then works.
type failing struct {
	left int
	out  bytes.Buffer
}

func (f *failing) Write(p []byte) (int, error) {
	if f.left > 0 {
		f.left--
		return 0, errors.New("disk full")
	}
	return f.out.Write(p)
}

func TestAWriterThatFailsIsCountedSaidOnceAndTriedAgain(t *testing.T) {
	var said bytes.Buffer
	f := &failing{left: 2}
	l := audit.New(audit.Options{Mode: audit.All, Writer: f, Log: slog.New(slog.NewTextHandler(&said, nil))})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		l.Append(&audit.Entry{})
		l.Append(&audit.Entry{})
		if err := l.Run(ended); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(audit.Stats{Written: 2, Failed: 4}, l.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	if n := strings.Count(said.String(), "disk full"); n != 1 {
		t.Errorf("said %d times:\n%s", n, said.String())
	}
	if n := strings.Count(f.out.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
}

func TestManyAppendersLoseAndMixNothing(t *testing.T) {
	var out bytes.Buffer
	l := audit.New(audit.Options{Mode: audit.All, Entries: 64, Writer: &out})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	const appenders, each = 8, 2000
	var all sync.WaitGroup
	for a := range appenders {
		all.Go(func() {
			id := fmt.Sprintf("p%d", a)
			for i := range each {
				l.Append(&audit.Entry{Process: uint64(a), Number: uint64(i), Principal: authz.Principal{Type: authz.User, ID: id}})
			}
		})
	}
	all.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	stats := l.Stats()
	if stats.Written+stats.Dropped != appenders*each || stats.Written == 0 {
		t.Errorf("%+v: want %d altogether", stats, appenders*each)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if uint64(len(lines)) != stats.Written {
		t.Errorf("%d lines, want %d", len(lines), stats.Written)
	}
	last := map[string]string{}
	for _, line := range lines {
		var l struct {
			DecisionID string `json:"decision_id"`
			Principal  string
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if l.Principal != "p"+l.DecisionID[15:16] {
			t.Errorf("mixed: %s", line)
		}
		if l.DecisionID <= last[l.Principal] {
			t.Errorf("of %s, %s comes after %s", l.Principal, l.DecisionID, last[l.Principal])
		}
		last[l.Principal] = l.DecisionID
	}
}

func TestNilLogKeepsNothing(t *testing.T) {
	var l *audit.Log
	l.Append(&audit.Entry{})
	if l.Keeps(authz.Internal) || l.Stats() != (audit.Stats{}) {
		t.Error("the nil Log keeps something")
	}
}

func FuzzAppend(f *testing.F) {
	f.Add("GET", "/a?b", "t", "u", "A.B.Read")
	f.Add("\x00", "/%3f\xff", "\u2028", `"`, " ")
	f.Fuzz(func(t *testing.T, method, path, tenant, principal, permission string) {
		lines := write(t, audit.All, audit.Entry{
			Method: method, Path: path, Tenant: tenant, Principal: authz.Principal{Type: authz.Team, ID: principal},
			Permissions: []authz.Permission{authz.Permission(permission), "X.Y.Read"},
		})
		if len(lines) != 1 {
			t.Fatalf("one entry gives %d lines", len(lines))
		}
		for i := range len(lines[0]) {
			if b := lines[0][i]; b < 0x20 || b >= 0x7f {
				t.Errorf("byte %#x in %s", b, lines[0])
			}
		}
		var got struct{ Path string }
		if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
			t.Errorf("%s: %v", lines[0], err)
		}
		if strings.ContainsAny(got.Path, "?#;") {
			t.Errorf("the path %q is written as %q", path, got.Path)
		}
	})
}

// An entry that comes alone is written soon, one that comes after a long silence too, and
// those that come together are written together.
func TestEntriesAreWrittenSoonAndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &counted{}
		l := audit.New(audit.Options{Mode: audit.All, Writer: w})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		want := 0
		for round, silence := range []time.Duration{0, time.Millisecond, 199 * time.Millisecond, 200 * time.Millisecond, 201 * time.Millisecond, time.Hour} {
			time.Sleep(silence)
			synctest.Wait()
			for range 3 {
				l.Append(&audit.Entry{})
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if want += 3; w.lines != want || w.writes != round+1 {
				t.Errorf("after %v: %d lines in %d writes, want %d in %d", silence, w.lines, w.writes, want, round+1)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Many entries are written before the pause is over: 128, and in a small ring a quarter of it.
func TestManyEntriesAreWrittenAtOnce(t *testing.T) {
	for entries, many := range map[int]int{0: 128, 64: 16, 2: 1} {
		synctest.Test(t, func(t *testing.T) {
			w := &counted{}
			l := audit.New(audit.Options{Mode: audit.All, Entries: entries, Writer: w})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- l.Run(ctx) }()
			time.Sleep(time.Second) // asleep, it is woken up by the first
			l.Append(&audit.Entry{})
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			before := w.lines
			for i := range 10 * many {
				l.Append(&audit.Entry{})
				synctest.Wait()
				if wrote := w.lines - before; wrote > i+1 || wrote < i+1-(many-1) {
					t.Fatalf("a ring of %d: of %d entries %d are written in no time at all, want all but %d", entries, i+1, wrote, many-1)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if got := l.Stats(); got.Written != uint64(10*many)+1 || got.Dropped != 0 {
				t.Errorf("%+v, want %d written", got, 10*many+1)
			}
		})
	}
}

// counted counts what is written.
type counted struct{ writes, lines int }

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	c.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

// Only what is written of a path can be cut short, not the query behind it.
func TestAQueryDoesNotMakeAPathTooLong(t *testing.T) {
	for path, truncated := range map[string]bool{
		"/a?" + strings.Repeat("q", 2000):   false,
		"/a%3F" + strings.Repeat("q", 2000): false,
		"/a;" + strings.Repeat("q", 2000):   false,
		"/a" + strings.Repeat("p", 2000):    true,
		"/" + strings.Repeat("p", 511):      false,
		"/" + strings.Repeat("p", 512):      true,
	} {
		line := write(t, audit.All, audit.Entry{Path: path})[0]
		if strings.Contains(line, `"truncated":true`) != truncated {
			t.Errorf("%.10s… of %d bytes is written as %s", path, len(path), line)
		}
	}
}

// Entries as they come from a decider that is not kept waiting: the ring is empty again
// whenever it is a quarter full.
func BenchmarkAppendEmptied(b *testing.B) {
	l := audit.New(audit.Options{Mode: audit.All})
	ended, cancel := context.WithCancel(b.Context())
	cancel()
	e := full()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if l.Append(&e); n&1023 == 1023 {
			b.StopTimer()
			if err := l.Run(ended); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		n++
	}
	if l.Stats().Dropped > 0 {
		b.Errorf("%+v", l.Stats())
	}
}

func BenchmarkAppend(b *testing.B) {
	l := audit.New(audit.Options{Mode: audit.All})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	e := full()
	b.ReportAllocs()
	for b.Loop() {
		l.Append(&e)
	}
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}
