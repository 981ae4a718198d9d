package authz_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The set is closed, and spelled the same everywhere.
func TestReasons(t *testing.T) {
	t.Parallel()
	want := []string{
		"GRANTED", "PUBLIC", "NO_ASSIGNMENT", "OVERRIDDEN", "FORBIDDEN", "EXPIRED", "UNMAPPED", "BAD_REQUEST",
		"UNAUTHENTICATED", "CROSS_TENANT", "UNKNOWN_SCOPE", "PRINCIPAL_DISABLED", "GROUPS_UNKNOWN",
		"DELEGATED_SCOPE_MISSING", "STALE", "NOT_READY", "INTERNAL",
	}
	var got []string
	for _, reason := range authz.Reasons() {
		got = append(got, reason.String())
		text, err := reason.MarshalText()
		var back authz.Reason
		if err != nil || back.UnmarshalText(text) != nil || back != reason {
			t.Errorf("%s is written %q and read as %s", reason, text, back)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Only two reasons allow: every other, also one that does not exist, denies.
func TestOnlyGrantedAndPublicAllow(t *testing.T) {
	t.Parallel()
	allow := []authz.Reason{authz.Granted, authz.Public}
	for reason := range 256 {
		r := authz.Reason(reason)
		if got := r.Effect() == authz.Allow; got != slices.Contains(allow, r) {
			t.Errorf("%s: allows is %v", r, got)
		}
		if d := (authz.Decision{Reason: r}); d.Allowed() != slices.Contains(allow, r) {
			t.Errorf("a decision for %s: allows is %v", r, d.Allowed())
		}
	}
	if got := authz.Reason(200).String(); got != "REASON_200" {
		t.Errorf("got %q", got)
	}
	for _, text := range []string{"", "granted", "ALLOW", "REASON_200"} {
		r := authz.Internal
		if err := r.UnmarshalText([]byte(text)); err == nil || r != authz.Internal {
			t.Errorf("%q is read as %s", text, r)
		}
	}
}

func TestEffectText(t *testing.T) {
	t.Parallel()
	var zero authz.Effect
	for effect, want := range map[authz.Effect]string{zero: "deny", authz.Deny: "deny", authz.Allow: "allow", 7: "deny"} {
		if text, err := effect.MarshalText(); err != nil || string(text) != want {
			t.Errorf("%d is written %q, want %q", effect, text, want)
		}
	}
}

func TestRevisionCompare(t *testing.T) {
	t.Parallel()
	ordered := []authz.Revision{{}, {Number: 1}, {Number: 9}, {Epoch: 1}, {Epoch: 1, Number: 1}, {Epoch: 2}}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%v compared with %v is %d, want %d", a, b, got, want)
			}
		}
	}
}
