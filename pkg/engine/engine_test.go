package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/engine"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

func TestAnEngineDecidesAsAServerDoes(t *testing.T) {
	dir := t.TempDir()
	revision := mustImport(t, dir, policy, false)
	e := open(t, dir, engine.Options{})
	if e.Revision() != revision {
		t.Errorf("Revision() = %v, want %v", e.Revision(), revision)
	}
	ada := subject(t, e, "ada")
	tests := map[string]struct {
		question   engine.Question
		want       engine.Decision
		assignment string
	}{
		"granted by the path": {
			question: engine.Question{Subject: ada, Request: &naming.Request{Method: "PUT", Path: "/powerapps/environments/e1/apps/a7"}},
			want: engine.Decision{
				Reason: authz.Granted, Permissions: []authz.Permission{"PowerApps.Apps.Create", "PowerApps.Apps.Update"},
				Scopes:    []authz.Scope{"/tenants/contoso/environments/e1/powerapps/a7"},
				DecidedBy: "convention", Rule: "PowerApps.Apps", Revision: revision,
			},
			assignment: "a1",
		},
		"granted by name": {
			question: engine.Question{Subject: ada, Permission: "powerapps.apps.read", Scope: "/tenants/contoso"},
			want: engine.Decision{
				Reason: authz.Granted, Permissions: []authz.Permission{"PowerApps.Apps.Read"}, Scopes: []authz.Scope{"/tenants/contoso"},
				DecidedBy: "permission", Revision: revision,
			},
			assignment: "a1",
		},
		"overridden": {
			question: get(ada, "/powerapps/environments/e2/apps"),
			want: engine.Decision{
				Reason: authz.Overridden, Permissions: []authz.Permission{"PowerApps.Apps.Read"}, Missing: []authz.Permission{"PowerApps.Apps.Read"},
				Scopes:    []authz.Scope{"/tenants/contoso/environments/e2"},
				DecidedBy: "convention", Rule: "PowerApps.Apps", Revision: revision,
			},
			assignment: "a2",
		},
		"excepted from the role": {
			question: engine.Question{Subject: ada, Request: &naming.Request{Method: "POST", Path: "/authorization/roleAssignments"}},
			want: engine.Decision{
				Reason: authz.NoAssignment, Permissions: []authz.Permission{"Authorization.RoleAssignments.Write"},
				Missing: []authz.Permission{"Authorization.RoleAssignments.Write"}, Scopes: []authz.Scope{"/tenants/contoso"},
				DecidedBy: "route", Rule: "POST /authorization/roleAssignments", Revision: revision,
			},
		},
		"ambiguous":     {question: get(ada, "/powerapps//apps"), want: engine.Decision{Reason: authz.BadRequest}},
		"unmapped":      {question: get(ada, "/nothing/here"), want: engine.Decision{Reason: authz.Unmapped}},
		"nobody":        {question: get(nil, "/powerapps/apps"), want: engine.Decision{Reason: authz.Unauthenticated, DecidedBy: "convention", Rule: "PowerApps.Apps"}},
		"nothing asked": {question: engine.Question{Subject: ada}, want: engine.Decision{Reason: authz.BadRequest}},
		"two at once": {
			question: engine.Question{Subject: ada, Permission: "PowerApps.Apps.Read", Scope: "/tenants/contoso", Request: &naming.Request{Method: "GET", Path: "/powerapps/apps"}},
			want:     engine.Decision{Reason: authz.BadRequest},
		},
		"no scope":       {question: engine.Question{Subject: ada, Permission: "PowerApps.Apps.Read"}, want: engine.Decision{Reason: authz.BadRequest, DecidedBy: "permission"}},
		"no such rules":  {question: engine.Question{Subject: ada, Request: &naming.Request{Method: "GET", Path: "/"}, Catalogue: "x"}, want: engine.Decision{Reason: authz.BadRequest}},
		"another tenant": {question: engine.Question{Subject: ada, Permission: "PowerApps.Apps.Read", Scope: "/tenants/fabrikam"}, want: engine.Decision{Reason: authz.CrossTenant, DecidedBy: "permission"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			check := func(got engine.Decision) {
				t.Helper()
				ignore := cmpopts.IgnoreFields(engine.Decision{}, "ID", "Detail", "Assignment")
				if diff := cmp.Diff(test.want, got, ignore, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("the decision (-want +got):\n%s", diff)
				}
				if got.Allowed() != (test.want.Reason == authz.Granted) {
					t.Errorf("Allowed() = %t for %v", got.Allowed(), got.Reason)
				}
				assignment := ""
				if got.Assignment != nil {
					assignment = got.Assignment.AssignmentID
				}
				if assignment != test.assignment || len(got.ID) != 32 {
					t.Errorf("the assignment is %q, want %q; the identifier %q", assignment, test.assignment, got.ID)
				}
			}
			check(e.Check(t.Context(), test.question))
			batch := e.BatchCheck(t.Context(), []engine.Question{get(ada, "/powerapps/apps"), test.question})
			if len(batch) != 2 || batch[0].Reason != authz.Granted {
				t.Fatalf("BatchCheck returned %v", batch)
			}
			check(batch[1])
		})
	}
	if none := e.BatchCheck(t.Context(), nil); len(none) != 0 {
		t.Errorf("no questions have the answers %v", none)
	}
}

func TestAnEngineMapsWithoutAskingWho(t *testing.T) {
	dir := t.TempDir()
	mustImport(t, dir, policy, false)
	e := open(t, dir, engine.Options{})
	want := engine.Mapping{
		Permissions: []authz.Permission{"PowerApps.Apps.Delete"}, Scopes: []authz.Scope{"/tenants/contoso/environments/e1/powerapps/a7"},
		DecidedBy: "convention", Rule: "PowerApps.Apps",
	}
	got := e.Resolve(naming.Request{Method: "DELETE", Path: "/powerapps/environments/e1/apps/a7"}, "Contoso", "")
	if diff := cmp.Diff(want, got); diff != "" || !got.Mapped() {
		t.Errorf("Resolve (-want +got):\n%s", diff)
	}
	got = e.Resolve(naming.Request{Method: "DELETE", Path: "/powerapps/../apps"}, "contoso", "")
	if got.Reason != authz.BadRequest || got.Detail == "" || got.Mapped() {
		t.Errorf("an ambiguous path maps to %+v", got)
	}
}

func TestASubjectInAnotherSpellingDoesNotEscapeItsDeny(t *testing.T) {
	dir := t.TempDir()
	mustImport(t, dir, policy, false)
	e := open(t, dir, engine.Options{}) // the shipped catalogue compares without case
	for _, spec := range []authz.SubjectSpec{
		{Tenant: "contoso", Principal: authz.Principal{Type: authz.User, ID: "Ada"}},
		{Tenant: "Contoso", Principal: authz.Principal{Type: authz.User, ID: "ada"}},
		{Tenant: "CONTOSO", Principal: authz.Principal{Type: authz.User, ID: "ADA"}, Groups: []string{"G"}, DirectoryRoles: []string{"R"}},
	} {
		made, err := e.Subject(spec)
		if err != nil || made.Tenant() != "contoso" || made.Principal().ID != "ada" {
			t.Errorf("Subject(%+v) is %v of %s, error %v", spec, made.Principal(), made.Tenant(), err)
		}
		elsewhere, err := authz.NewSubject(spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Check(t.Context(), get(elsewhere, "/powerapps/environments/e2/apps")); got.Reason != authz.Overridden {
			t.Errorf("%+v is answered with %v", spec, got)
		}
		if got := e.Check(t.Context(), get(elsewhere, "/powerapps/environments/e1/apps")); got.Reason != authz.Granted {
			t.Errorf("%+v is answered with %v", spec, got)
		}
	}
}

func TestASubjectThatIsNotWholeIsAnError(t *testing.T) {
	dir := t.TempDir()
	mustImport(t, dir, policy, false)
	e := open(t, dir, engine.Options{})
	caller := authz.Principal{Type: authz.User, ID: "ada"}
	for want, spec := range map[string]authz.SubjectSpec{
		"a subject needs a tenant":      {Principal: caller},
		"a subject needs a principal":   {Tenant: "contoso"},
		"not a \"Group\"":               {Tenant: "contoso", Principal: authz.Principal{Type: authz.Group, ID: "g"}},
		"groups[1] is empty":            {Tenant: "contoso", Principal: caller, Groups: []string{"g", ""}},
		"directory roles[0] is empty\n": {DirectoryRoles: []string{""}}, // and what follows
	} {
		if s, err := e.Subject(spec); err == nil || s != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Subject(%+v) returned the error %v, want %q", spec, err, want)
		}
	}
}

func TestReopenTakesUpWhatWasImportedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	first := mustImport(t, dir, policy, false)
	e := open(t, dir, engine.Options{})
	question := get(subject(t, e, "ada"), "/powerapps/environments/e1/apps")

	second := mustImport(t, dir, withoutAda, true)
	if got := e.Check(t.Context(), question); got.Reason != authz.Granted || got.Revision != first {
		t.Errorf("before Reopen: %v, want what was opened", got)
	}
	revision, err := e.Reopen(t.Context())
	if err != nil || revision != second || revision.Compare(first) <= 0 {
		t.Fatalf("Reopen returned %v and the error %v, want %v", revision, err, second)
	}
	if got := e.Check(t.Context(), question); got.Reason != authz.NoAssignment || got.Revision != second {
		t.Errorf("after Reopen: %v, want NO_ASSIGNMENT", got)
	}
}

func TestReopenFollowsASymbolicLinkAndNeverGoesBack(t *testing.T) {
	root := t.TempDir()
	older, newer, link := filepath.Join(root, "1"), filepath.Join(root, "2"), filepath.Join(root, "current")
	point := func(at string) {
		t.Helper()
		if err := errors.Join(os.Symlink(at, link+".new"), os.Rename(link+".new", link)); err != nil {
			t.Fatal(err)
		}
	}
	first := mustImport(t, older, policy, false)
	second := mustImport(t, newer, withoutAda, false)
	point(older)
	e := open(t, link, engine.Options{})
	question := get(subject(t, e, "ada"), "/powerapps/environments/e1/apps")
	if got := e.Check(t.Context(), question); got.Reason != authz.Granted || e.Revision() != first {
		t.Errorf("the first state: %v", got)
	}
	point(newer)
	if got, err := e.Reopen(t.Context()); err != nil || got != second {
		t.Fatalf("Reopen returned %v and the error %v", got, err)
	}
	mustImport(t, older, policy, false) // nobody has it open any more
	point(older)
	if _, err := e.Reopen(t.Context()); !errors.Is(err, engine.ErrOlder) {
		t.Errorf("Reopen of an older state returned the error %v", err)
	}
	if got := e.Check(t.Context(), question); got.Reason != authz.NoAssignment || e.Revision() != second {
		t.Errorf("after an older state was refused: %v", got)
	}
}

func TestAFailedReopenLeavesTheStateInForce(t *testing.T) {
	dir := t.TempDir()
	first := mustImport(t, dir, policy, false)
	e := open(t, dir, engine.Options{})
	question := get(subject(t, e, "ada"), "/powerapps/environments/e1/apps")
	current := filepath.Join(dir, "CURRENT")
	mark, err := os.ReadFile(current)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(current, mark[:len(mark)-2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Reopen(t.Context()); !errors.Is(err, engine.ErrDamaged) {
		t.Errorf("Reopen of a damaged directory returned the error %v", err)
	}
	if err := os.Remove(current); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Reopen(t.Context()); !errors.Is(err, engine.ErrNotReady) {
		t.Errorf("Reopen of an empty directory returned the error %v", err)
	}
	if got := e.Check(t.Context(), question); got.Reason != authz.Granted || got.Revision != first {
		t.Errorf("after failed Reopens: %v", got)
	}
}

func TestWhatCannotBeOpenedIsAnError(t *testing.T) {
	if _, err := engine.Open(t.Context(), filepath.Join(t.TempDir(), "missing"), engine.Options{}); !errors.Is(err, engine.ErrNotReady) {
		t.Errorf("a missing directory: %v", err)
	}
	other, err := naming.Load(naming.Source{File: "other.yaml", Text: []byte("catalogue: other\nnamespaces:\n  Shop:\n    resourceTypes:\n      Orders: {}\n")})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mustImport(t, dir, policy, false)
	if _, err := engine.Open(t.Context(), dir, engine.Options{Catalogues: other}); !errors.Is(err, engine.ErrCatalogue) {
		t.Errorf("another catalogue: %v", err)
	}
}

func TestAnEngineAndAServerNeverHoldOneStateTogether(t *testing.T) {
	dir := t.TempDir()
	mustImport(t, dir, policy, false)
	e := open(t, dir, engine.Options{})
	if _, err := importBundle(t.Context(), dir, withoutAda, false); !errors.Is(err, engine.ErrHeld) {
		t.Errorf("a store that writes opened what an engine reads: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	mustImport(t, dir, withoutAda, false)
}

func TestAClosedEngineDeniesEverything(t *testing.T) {
	dir := t.TempDir()
	mustImport(t, dir, policy, false)
	e := open(t, dir, engine.Options{})
	question := get(subject(t, e, "ada"), "/powerapps/environments/e1/apps")
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := e.Check(t.Context(), question); got.Allowed() || got.Reason != authz.NotReady {
		t.Errorf("Check returned %v", got)
	}
	if got := e.BatchCheck(t.Context(), []engine.Question{question, question}); len(got) != 2 || got[0].Allowed() || got[1].Reason != authz.NotReady {
		t.Errorf("BatchCheck returned %v", got)
	}
	if got := e.Resolve(*question.Request, "contoso", ""); got.Mapped() || got.Reason != authz.NotReady {
		t.Errorf("Resolve returned %v", got)
	}
	if _, err := e.Reopen(t.Context()); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Reopen returned the error %v", err)
	}
	if e.Revision() != (authz.Revision{}) {
		t.Errorf("Revision() = %v", e.Revision())
	}
}

func TestTheZeroDecisionDenies(t *testing.T) {
	if (engine.Decision{}).Allowed() || (engine.Mapping{}).Mapped() {
		t.Error("a zero value allows")
	}
}

func TestExpiryIsTheEnginesClocks(t *testing.T) {
	dir := t.TempDir()
	mustImport(t, dir, strings.Replace(policy, "scope: /tenants/contoso}", `scope: /tenants/contoso, expiresOn: "2040-01-01T00:00:00Z"}`, 1), false)
	now := time.Date(2039, 12, 31, 23, 59, 59, 0, time.UTC)
	e := open(t, dir, engine.Options{Now: func() time.Time { return now }})
	question := get(subject(t, e, "ada"), "/powerapps/environments/e1/apps")
	if got := e.Check(t.Context(), question); got.Reason != authz.Granted {
		t.Errorf("a second before: %v", got)
	}
	now = now.Add(time.Second)
	if got := e.Check(t.Context(), question); got.Reason != authz.Expired {
		t.Errorf("in that second: %v", got)
	}
}

// While states change, every answer is one of theirs, whole.
func TestQuestionsGoOnWhileTheStateChanges(t *testing.T) {
	dir := t.TempDir()
	reasons := map[authz.Revision]authz.Reason{mustImport(t, dir, policy, false): authz.Granted}
	e := open(t, dir, engine.Options{CacheBytes: 1 << 20})
	question := get(subject(t, e, "ada"), "/powerapps/environments/e1/apps")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var (
		mu      sync.Mutex
		seen    = map[authz.Revision]authz.Reason{}
		done    sync.WaitGroup
		closing atomic.Bool
	)
	for range 4 {
		done.Go(func() {
			for ctx.Err() == nil {
				batch := append(e.BatchCheck(context.Background(), []engine.Question{question, question}), e.Check(context.Background(), question))
				if batch[0].Revision != batch[1].Revision {
					t.Errorf("one batch is of two revisions: %v and %v", batch[0].Revision, batch[1].Revision)
				}
				mu.Lock()
				for _, d := range batch {
					if d.Reason == authz.NotReady && !closing.Load() {
						t.Errorf("an open engine answered %v", d)
					}
					if had, ok := seen[d.Revision]; ok && had != d.Reason {
						t.Errorf("revision %v says both %v and %v", d.Revision, had, d.Reason)
					}
					seen[d.Revision] = d.Reason
				}
				mu.Unlock()
			}
		})
	}
	for i := range 6 {
		text, want := withoutAda, authz.NoAssignment
		if i%2 == 1 {
			text, want = policy, authz.Granted
		}
		reasons[mustImport(t, dir, text, true)] = want
		if _, err := e.Reopen(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := e.Check(t.Context(), question); got.Reason != want {
			t.Errorf("after Reopen %d: %v, want %v", i, got, want)
		}
	}
	closing.Store(true)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	done.Wait()
	reasons[authz.Revision{}] = authz.NotReady // what is asked after the end
	for revision, reason := range seen {
		if reasons[revision] != reason {
			t.Errorf("revision %v answered %v, want %v", revision, reason, reasons[revision])
		}
	}
}
