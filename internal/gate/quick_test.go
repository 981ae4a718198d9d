package gate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/oracle"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// A rememberer knows callers by their Authorization header, and remembers those that it
// was asked to identify.
type rememberer struct {
	known      map[string]*authz.Subject
	seen       map[string]bool
	identified int
}

func (m *rememberer) Identify(_ context.Context, c *ask.Credentials) (identity.Identity, error) {
	m.identified++
	if len(c.Authorization) == 0 {
		return identity.Identity{}, identity.ErrNoIdentity
	}
	token := c.Authorization[0]
	if m.known[token] == nil {
		return identity.Identity{}, &identity.InvalidError{Source: "jwt", Detail: "the token is not a JWT"}
	}
	m.seen[token] = true
	return identity.Identity{Subject: m.known[token]}, nil
}

func (m *rememberer) Recall(c *ask.Credentials, _ time.Time) (identity.Identity, error) {
	switch {
	case len(c.Authorization) == 0:
		return identity.Identity{}, identity.ErrNoIdentity
	case len(c.Authorization) == 2:
		return identity.Identity{}, &identity.InvalidError{Source: "jwt", Detail: "there are two Authorization headers"}
	case m.seen[c.Authorization[0]]:
		return identity.Identity{Subject: m.known[c.Authorization[0]]}, nil
	}
	return identity.Identity{}, identity.ErrNotRecalled
}

// recorded counts what is recorded.
type recorded struct{ n atomic.Int64 }

func (r *recorded) Record(*ask.Request, *ask.Answer, time.Duration) { r.n.Add(1) }

// cache asks until the view of the subject is cached.
func cache(t testing.TB, store *snapshot.Store, subject *authz.Subject) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := store.View(t.Context(), subject); err != nil {
			t.Fatal(err)
		}
		if _, ok := store.CachedView(subject); ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the view was never cached")
		}
	}
}

// same fails unless the two answers say the same; only their identifiers and memory may
// differ.
func same(t *testing.T, quick, slow *ask.Answer) {
	t.Helper()
	ignore := cmp.FilterPath(func(p cmp.Path) bool {
		last := p.Last().String()
		return last == ".DecisionID" || last == ".Buf" || last == ".Time"
	}, cmp.Ignore())
	pointers := cmp.Comparer(func(a, b *authz.Subject) bool { return a == b })
	// A view that was read again has the same grants elsewhere.
	grants := cmp.Comparer(func(a, b *authz.Grant) bool {
		return a == b || a != nil && b != nil && *a == *b
	})
	lists := []cmp.Option{
		cmp.Comparer(func(a, b []authz.Permission) bool { return slices.Equal(a, b) }),
		cmp.Comparer(func(a, b []authz.Scope) bool { return slices.Equal(a, b) }),
	}
	if diff := cmp.Diff(*slow, *quick, append(lists, ignore, pointers, grants)...); diff != "" {
		t.Errorf("quick and not (-slow +quick):\n%s", diff)
	}
}

// Each kind of question, and whether it can be answered at once.
func TestQuickAnswersWhatIsInMemory(t *testing.T) {
	t.Parallel()
	ada, fresh := user(t, "ada"), user(t, "bob")
	elsewhere, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t9", Principal: authz.Principal{Type: authz.User, ID: "ada"}})
	if err != nil {
		t.Fatal(err)
	}
	who := &rememberer{known: map[string]*authz.Subject{"Bearer ada": ada, "Bearer new": ada}, seen: map[string]bool{"Bearer ada": true}}
	record := &recorded{}
	f := newFixture(t, policy, func(o *gate.Options) { o.Identity, o.Recorder = who, record })
	cache(t, f.store, ada)
	at := f.store.Current().Revision()
	newer := authz.Revision{Epoch: at.Epoch, Number: at.Number + 1}
	const apps = "/powerapps/environments/e1/apps"
	with := func(r *ask.Request, authorization ...string) *ask.Request {
		r.Credentials.Authorization = authorization
		return r
	}
	atLeast := func(r *ask.Request, revision authz.Revision) *ask.Request { r.AtLeast = revision; return r }
	for _, test := range []struct {
		name   string
		r      *ask.Request
		slow   bool
		reason authz.Reason // of the answer, now or without Quick
	}{
		{"granted from memory", request("GET", apps, ada), false, authz.Granted},
		{"refused from memory", request("DELETE", apps+"/a7", ada), false, authz.NoAssignment},
		{"direct, from memory", &ask.Request{Permission: "PowerApps.Apps.Read", Scope: "/tenants/t1", Subject: ada}, false, authz.Granted},
		{"a token that was verified before", with(request("GET", apps, nil), "Bearer ada"), false, authz.Granted},
		{"an ambiguous path", request("GET", "/powerapps//apps", nil), false, authz.BadRequest},
		{"an ambiguous path and a token that was not verified", with(request("GET", "/powerapps//apps", nil), "Bearer new"), false, authz.BadRequest},
		{"what the adapter could not read", &ask.Request{Unreadable: "no http attributes"}, false, authz.BadRequest},
		{"no credentials", request("GET", apps, nil), false, authz.Unauthenticated},
		{"credentials that are refused at sight", with(request("GET", apps, nil), "Bearer a", "Bearer b"), false, authz.Unauthenticated},
		{"unmapped, of a caller who is known", with(request("POST", "/powerapps/nonsense/x", nil), "Bearer ada"), false, authz.Unmapped},
		{"unmapped, of a caller whose view is not cached", request("POST", "/powerapps/nonsense/x", fresh), false, authz.Unmapped},
		{"another tenant", &ask.Request{Permission: "PowerApps.Apps.Read", Scope: "/tenants/t2", Subject: fresh}, false, authz.CrossTenant},
		{"an unlisted environment", request("GET", "/powerapps/environments/e9/apps", ada), false, authz.UnknownScope},
		{"a tenant of which nothing is known", request("GET", "/powerapps/apps", elsewhere), false, authz.NoAssignment},
		{"a revision that is there", atLeast(request("GET", apps, ada), at), false, authz.Granted},

		{"a revision that is not there", atLeast(request("GET", apps, ada), newer), true, authz.Stale},
		{"a token that is not valid", with(request("GET", apps, nil), "Bearer who"), true, authz.Unauthenticated},
		{"unmapped, and a token that was not verified", with(request("POST", "/powerapps/nonsense/x", nil), "Bearer who"), true, authz.Unauthenticated},
		{"a token that was not verified", with(request("GET", apps, nil), "Bearer new"), true, authz.Granted},
		{"a view that is not cached", request("GET", apps, fresh), true, authz.NoAssignment},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			// Whatever stood in the answer before must not show through.
			quick := ask.Answer{Reason: authz.Granted, Detail: "of another question", Subject: fresh, Slow: !test.slow, Scopes: []authz.Scope{"/tenants/t1"}}
			records, identified := record.n.Load(), who.identified
			var before, after ask.Answer
			f.gate.Decide(ctx, &ask.Request{Unreadable: "to see its number"}, &before)
			test.r.Quick = true
			f.gate.Decide(ctx, test.r, &quick)
			f.gate.Decide(ctx, &ask.Request{Unreadable: "to see its number"}, &after)
			if quick.Slow != test.slow || who.identified != identified {
				t.Fatalf("slow: %t (%v), want %t; asked %d times to identify", quick.Slow, quick.Reason, test.slow, who.identified-identified)
			}
			used := after.DecisionID.Number - before.DecisionID.Number - 1
			if test.slow {
				empty := ask.Answer{Slow: true}
				same(t, &quick, &empty)
				if quick.Allowed() || used != 0 || record.n.Load()-records != 2 {
					t.Errorf("allowed: %t; it used %d numbers and was recorded %d times", quick.Allowed(), used, record.n.Load()-records-2)
				}
			} else if used != 1 || record.n.Load()-records != 3 {
				t.Errorf("it used %d numbers and was recorded %d times", used, record.n.Load()-records-2)
			}
			var slow ask.Answer
			test.r.Quick = false
			f.gate.Decide(ctx, test.r, &slow)
			if slow.Reason != test.reason || slow.Slow {
				t.Errorf("%v (%s), want %v", slow.Reason, slow.Detail, test.reason)
			}
			if !test.slow {
				same(t, &quick, &slow)
			}
		})
	}
}

func TestQuickAnswersAPublicRoute(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, nil)
	catalogues, err := naming.Load(naming.Source{File: "open.yaml", Text: []byte("catalogue: open\nroutes:\n  - {method: GET, path: /open, public: true}\n")})
	if err != nil {
		t.Fatal(err)
	}
	g := gate.New(gate.Options{Catalogues: catalogues, Snapshots: f.store, Log: slog.New(slog.DiscardHandler)})
	var a ask.Answer
	g.Decide(t.Context(), &ask.Request{HTTP: true, Method: "GET", Path: "/open", Quick: true}, &a)
	if a.Slow || a.Reason != authz.Public {
		t.Errorf("%v, slow: %t", a.Reason, a.Slow)
	}
}

// Without a snapshot nothing is in memory that could be decided from.
func TestQuickDoesNotAnswerBeforeTheFirstSnapshot(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "", nil)
	var a ask.Answer
	r := request("GET", "/powerapps/apps", user(t, "ada"))
	r.Quick = true
	f.gate.Decide(t.Context(), r, &a)
	if !a.Slow || a.Allowed() {
		t.Errorf("%v, slow: %t", a.Reason, a.Slow)
	}
	r.Quick = false
	f.gate.Decide(t.Context(), r, &a)
	if a.Slow || a.Reason != authz.NotReady {
		t.Errorf("%v, slow: %t", a.Reason, a.Slow)
	}
}

// Some hits are compared with the file, which a quick question must not wait for, and which
// must happen all the same where every question is quick at first.
func TestQuickDoesNotReadTheFileAndTheFileIsReadAllTheSame(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, nil)
	ada := user(t, "ada")
	cache(t, f.store, ada)
	r := request("GET", "/powerapps/environments/e1/apps", ada)
	var a ask.Answer
	slow := 0
	const asked = 3 * 8192
	for range asked {
		r.Quick = true
		f.gate.Decide(t.Context(), r, &a)
		if a.Slow {
			slow++
			r.Quick = false
			f.gate.Decide(t.Context(), r, &a)
		}
		if a.Reason != authz.Granted {
			t.Fatalf("%v (%s)", a.Reason, a.Detail)
		}
	}
	if slow != 3 {
		t.Errorf("%d of %d were compared with the file, want 3", slow, asked)
	}
}

// A batch takes the time that it takes.
func TestABatchIsNeverQuick(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, nil)
	r := []ask.Request{*request("GET", "/powerapps/apps", user(t, "ada")), *request("GET", "/powerapps/apps", user(t, "owner"))}
	a := make([]ask.Answer, len(r))
	for i := range r {
		r[i].Quick = true
	}
	var quick ask.Answer
	f.gate.Decide(t.Context(), &r[0], &quick) // leaves its memory behind
	if err := f.gate.DecideBatch(t.Context(), r, a); err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if a[i].Slow || a[i].Reason != authz.Granted {
			t.Errorf("%v, slow: %t", a[i].Reason, a[i].Slow)
		}
	}
}

// Whatever the world and the question: quick gives the answer or none.
func TestQuickNeverChangesAnAnswer(t *testing.T) {
	t.Parallel()
	quick, slow := 0, 0
	for seed := range uint64(40) {
		w := oracle.Generate(1<<40 + seed)
		catalogues := catalogueOf(t, &w)
		store, err := snapshot.Open(t.Context(), snapshot.Options{Dir: t.TempDir(), CacheBytes: 1 << 20, Vocabulary: catalogues.Vocabulary()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Replace(t.Context(), dataOf(&w), snapshot.Change{Source: "test"}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var now int64
		record := &recorded{}
		g := gate.New(gate.Options{
			Catalogues: catalogues, Snapshots: store, Log: slog.New(slog.DiscardHandler), Recorder: record,
			Now: func() time.Time { return time.Unix(now, 0) },
		})
		var first, again ask.Answer
		questions := w.Questions(seed, 100)
		for i, q := range slices.Concat(questions, questions) { // in the second round most views are cached
			if len(q.Permissions) != 1 || len(q.Scopes) != 1 {
				continue
			}
			subject, err := authz.NewSubject(authz.SubjectSpec{
				Tenant: q.Tenant, Principal: principalOf(q.Principal), Groups: q.Groups, DirectoryRoles: q.Wids, GroupsUnknown: q.GroupsUnknown,
			})
			if err != nil {
				t.Fatal(err)
			}
			// What the first round read is put into the cache by another goroutine.
			for try := 0; i >= len(questions) && try < 1000; try++ {
				if _, ok := store.CachedView(subject); ok {
					break
				}
				runtime.Gosched()
			}
			now = q.Now
			r := &ask.Request{Subject: subject, Permission: q.Permissions[0], Scope: q.Scopes[0], Quick: true}
			records := record.n.Load()
			g.Decide(t.Context(), r, &first)
			recordedQuick := record.n.Load() - records
			r.Quick = false
			g.Decide(t.Context(), r, &again)
			want := fmt.Sprintf("seed %d, question %d", seed, i)
			if first.Slow {
				slow++
				if first.Allowed() || first.Reason != authz.ReasonUnspecified || first.Subject != nil || recordedQuick != 0 {
					t.Errorf("%s: slow, and %v", want, first.Reason)
				}
				continue
			}
			quick++
			if recordedQuick != 1 {
				t.Errorf("%s: recorded %d times", want, recordedQuick)
			}
			same(t, &first, &again)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d answered at once, %d not", quick, slow)
	if quick < 50 || slow < 50 { // how many are cached depends on how busy the machine is
		t.Errorf("%d answered at once, %d not: too few to tell", quick, slow)
	}
}

// The tokens of the real verifier: the first time takes cryptography, the second does not,
// and a use is counted once.
func TestQuickKnowsAVerifiedToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, nil)
	verifier, issue := testVerifier(t, 0)
	g := gate.New(gate.Options{Catalogues: f.catalogues, Snapshots: f.store, Identity: verifier, Log: slog.New(slog.DiscardHandler)})
	r := &ask.Request{HTTP: true, Method: "GET", Path: "/powerapps/apps", Credentials: *issue(5, "one"), Quick: true}
	var a ask.Answer
	if g.Decide(t.Context(), r, &a); !a.Slow {
		t.Errorf("before it was verified: %v", a.Reason)
	}
	if got := verifier.State(); got.CacheHits != 0 || got.CacheMisses != 0 {
		t.Errorf("%d hits and %d misses, want none", got.CacheHits, got.CacheMisses)
	}
	r.Quick = false
	g.Decide(t.Context(), r, &a)
	r.Quick = true
	if g.Decide(t.Context(), r, &a); a.Slow || a.Reason != authz.NoAssignment && a.Reason != authz.UnknownScope {
		t.Errorf("after it was verified: slow: %t, %v", a.Slow, a.Reason)
	}
	if got := verifier.State(); got.CacheHits != 1 || got.CacheMisses != 1 {
		t.Errorf("%d hits and %d misses, want 1 and 1", got.CacheHits, got.CacheMisses)
	}
	if _, err := verifier.Recall(&ask.Credentials{Authorization: []string{"Bearer other"}}, time.Now()); !errors.Is(err, identity.ErrNotRecalled) {
		t.Errorf("another token: %v", err)
	}
}
