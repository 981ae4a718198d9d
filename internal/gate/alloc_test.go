//go:build !race

package gate_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/gate"
)

// Not under the race detector, which makes sync.Pool forget on purpose.
func TestAWarmDecisionAllocatesNothing(t *testing.T) {
	f := newFixture(t, policy, nil)
	for _, test := range []struct {
		name string
		r    *ask.Request
	}{
		{"an environment", request("GET", "/powerapps/environments/e1/apps", user(t, "ada"))},
		{"an app, in mixed case", request("DELETE", "/PowerApps/Environments/E1/Apps/A7", user(t, "appowner"))},
		{"a host", &ask.Request{HTTP: true, Method: "GET", Path: "/powerapps/apps", Host: "0a1b2c3d4e5f4a6b8c7d9e0f1a2b3c.4d.environment.api.powerplatform.com", Subject: user(t, "ada")}},
		{"a group", request("GET", "/powerapps/environments/e1/apps", user(t, "member"))},
		{"a refusal", request("PUT", "/powerapps/environments/e1/apps/a7", user(t, "ada"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a ask.Answer
			hits, deadline := f.store.Stats().Hits, time.Now().Add(10*time.Second)
			for f.store.Stats().Hits < hits+100 { // the cache takes a view in its own time
				if f.gate.Decide(t.Context(), test.r, &a); time.Now().After(deadline) {
					t.Fatal("the view was never cached")
				}
			}
			if a.Allowed() == (test.name == "a refusal") {
				t.Fatalf("%v (%s)", a.Reason, a.Detail)
			}
			ctx := t.Context()
			if n := testing.AllocsPerRun(1000, func() { f.gate.Decide(ctx, test.r, &a) }); n != 0 {
				t.Errorf("%v allocations a decision", n)
			}
		})
	}
}

// The whole way from the token on, with what is shipped behind it.
func TestAWarmDecisionOfATokenAllocatesNothing(t *testing.T) {
	catalogues := benchCatalogues(t, 0)
	store := benchStore(t, catalogues, 1000, 8<<20)
	verifier, issue := testVerifier(t, 0)
	g := gate.New(gate.Options{Catalogues: catalogues, Snapshots: store, Identity: verifier, Recorder: newRecorder(t), Log: slog.New(slog.DiscardHandler)})
	ctx := t.Context()
	for _, groups := range []int{0, 200} {
		c := issue(groups, "one")
		who, err := verifier.Identify(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		cache(t, store, who.Subject)
		for _, asked := range benchAsked {
			for _, quick := range []bool{false, true} {
				r := &ask.Request{Adapter: "extauthz", HTTP: true, Method: asked.method, Host: benchHost, Path: benchPath, Credentials: *c, Quick: quick}
				var a ask.Answer
				g.Decide(ctx, r, &a)
				if a.Reason != asked.reason {
					t.Fatalf("%d groups, %s: %v (%s)", groups, asked.name, a.Reason, a.Detail)
				}
				if n := testing.AllocsPerRun(1000, func() { g.Decide(ctx, r, &a) }); n != 0 {
					t.Errorf("%d groups, %s, quick %t: %v allocations", groups, asked.name, quick, n)
				}
			}
		}
	}
	// Nor is anything lost where quick is not enough.
	r := &ask.Request{HTTP: true, Method: "GET", Host: benchHost, Path: benchPath, Credentials: *issue(5, "two"), Quick: true}
	var a ask.Answer
	if n := testing.AllocsPerRun(1000, func() { g.Decide(ctx, r, &a) }); n != 0 || !a.Slow {
		t.Errorf("slow: %t, %v allocations", a.Slow, n)
	}
}
