package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/rpc"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestChecks(t *testing.T) {
	p := newProduct(t)
	p.hold(t,
		assignment("a1", "ada", authz.AssignAllow, "/tenants/t1"),
		assignment("a2", "ada", authz.AssignDeny, "/tenants/t1/environments/e2"))
	change := func(q *pathgrantv1.CheckQuestion, f func(*pathgrantv1.CheckQuestion)) *pathgrantv1.CheckQuestion {
		f(q)
		return q
	}
	read := func() *pathgrantv1.CheckQuestion { return direct("ada", "PowerApps.Apps.Read", "/tenants/t1") }
	for _, test := range []struct {
		name   string
		q      *pathgrantv1.CheckQuestion
		reason pathgrantv1.Reason
	}{
		{"a permission that is held", read(), pathgrantv1.Reason_REASON_GRANTED},
		{"in any case, at any scope below", direct("ada", "powerapps.APPS.read", "/tenants/t1/environments/e1"), pathgrantv1.Reason_REASON_GRANTED},
		{"a permission that is overridden", direct("ada", "PowerApps.Apps.Read", "/tenants/t1/environments/e2"), pathgrantv1.Reason_REASON_OVERRIDDEN},
		{"a permission that is not held", direct("eve", "PowerApps.Apps.Read", "/tenants/t1"), pathgrantv1.Reason_REASON_NO_ASSIGNMENT},
		{"a permission that no catalogue knows", direct("ada", "No.Such.Thing", "/tenants/t1"), pathgrantv1.Reason_REASON_UNMAPPED},
		{"what is no permission", direct("ada", "nonsense", "/tenants/t1"), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"no permission at all", direct("ada", "", "/tenants/t1"), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"no scope", direct("ada", "PowerApps.Apps.Read", ""), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"another tenant's scope", direct("ada", "PowerApps.Apps.Read", "/tenants/t2"), pathgrantv1.Reason_REASON_CROSS_TENANT},
		{"an environment that nobody lists", direct("ada", "PowerApps.Apps.Read", "/tenants/t1/environments/e9"), pathgrantv1.Reason_REASON_UNKNOWN_SCOPE},
		{"a request that is allowed", asks(subject("ada"), "GET", "/powerapps/environments/e1/apps?x=1"), pathgrantv1.Reason_REASON_GRANTED},
		{"a request that is overridden", asks(subject("ada"), "GET", "/powerapps/environments/e2/apps"), pathgrantv1.Reason_REASON_OVERRIDDEN},
		{"a method in lower case", asks(subject("ada"), "get", "/powerapps/apps"), pathgrantv1.Reason_REASON_UNMAPPED},
		{"an ambiguous path", asks(subject("ada"), "GET", "/powerapps//apps"), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"an empty request", change(read(), func(q *pathgrantv1.CheckQuestion) { q.Target = &pathgrantv1.CheckQuestion_HttpRequest{} }), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"a path longer than the mapping reads", asks(subject("ada"), "GET", "/"+strings.Repeat("p", 65535)), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"the named catalogue", change(asks(subject("ada"), "GET", "/library/books"), func(q *pathgrantv1.CheckQuestion) { q.Catalogue = "second" }), pathgrantv1.Reason_REASON_GRANTED},
		{"the default catalogue, which does not map it", asks(subject("ada"), "GET", "/library/books"), pathgrantv1.Reason_REASON_UNMAPPED},
		{"a catalogue that is not loaded", change(asks(subject("ada"), "GET", "/powerapps/apps"), func(q *pathgrantv1.CheckQuestion) { q.Catalogue = "third" }), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"no target", &pathgrantv1.CheckQuestion{Subject: subject("ada")}, pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"no question", nil, pathgrantv1.Reason_REASON_BAD_REQUEST},

		{"nobody, on a public route", asks(nil, "GET", "/health"), pathgrantv1.Reason_REASON_PUBLIC},
		{"somebody, on a public route", asks(subject("eve"), "HEAD", "/health"), pathgrantv1.Reason_REASON_PUBLIC},
		{"nobody, elsewhere", asks(nil, "GET", "/powerapps/apps"), pathgrantv1.Reason_REASON_UNAUTHENTICATED},
		{"nobody, on a route that is shut", asks(nil, "GET", "/shut"), pathgrantv1.Reason_REASON_UNAUTHENTICATED},
		{"somebody, on a route that is shut", asks(subject("ada"), "GET", "/shut"), pathgrantv1.Reason_REASON_UNMAPPED},
		{"nobody, for a permission", change(read(), func(q *pathgrantv1.CheckQuestion) { q.Subject = nil }), pathgrantv1.Reason_REASON_UNAUTHENTICATED},
		{"nobody, on an ambiguous path", asks(nil, "GET", "//health"), pathgrantv1.Reason_REASON_BAD_REQUEST},

		{"a subject without a tenant", change(read(), func(q *pathgrantv1.CheckQuestion) { q.Subject.Tenant = "" }), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"a subject without a principal", change(read(), func(q *pathgrantv1.CheckQuestion) { q.Subject.Principal = nil }), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"a principal without an identifier", direct("", "PowerApps.Apps.Read", "/tenants/t1"), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"a principal without a type", change(read(), func(q *pathgrantv1.CheckQuestion) { q.Subject.Principal.Type = 0 }), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"a group as the caller", change(read(), func(q *pathgrantv1.CheckQuestion) {
			q.Subject.Principal.Type = pathgrantv1.PrincipalType_PRINCIPAL_TYPE_GROUP
		}), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"a type that the contract does not have", change(read(), func(q *pathgrantv1.CheckQuestion) { q.Subject.Principal.Type = 99 }), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"a group without a name", change(read(), func(q *pathgrantv1.CheckQuestion) { q.Subject.Groups = []string{"g1", ""} }), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"a directory role without a name", change(read(), func(q *pathgrantv1.CheckQuestion) { q.Subject.DirectoryRoles = []string{""} }), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"a subject that cannot be read, on a public route", asks(&pathgrantv1.Subject{}, "GET", "/health"), pathgrantv1.Reason_REASON_BAD_REQUEST},
		{"an application user with the user's identifier", change(read(), func(q *pathgrantv1.CheckQuestion) {
			q.Subject.Principal.Type = pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER
		}), pathgrantv1.Reason_REASON_GRANTED},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decide(t, p, test.q)
			if d.GetReason() != test.reason {
				t.Errorf("%v (%s), want %v", d.GetReason(), d.GetDetail(), test.reason)
			}
			allowed := test.reason == pathgrantv1.Reason_REASON_GRANTED || test.reason == pathgrantv1.Reason_REASON_PUBLIC
			if (d.GetEffect() == pathgrantv1.Effect_EFFECT_ALLOW) != allowed || d.GetEffect() == pathgrantv1.Effect_EFFECT_UNSPECIFIED {
				t.Errorf("%v with %v", d.GetEffect(), d.GetReason())
			}
			if len(d.GetDecisionId()) != 32 {
				t.Errorf("decision id %q", d.GetDecisionId())
			}
			if d.GetReason() == pathgrantv1.Reason_REASON_BAD_REQUEST && d.GetDetail() == "" {
				t.Error("a bad request that says nothing of what is bad")
			}
		})
	}
}

// All of the subject reaches the decision.
func TestTheSubjectIsReadWhole(t *testing.T) {
	var seen *authz.Subject
	c := dial(t, rpc.Options{FoldCase: true, Decider: decider(func(_ context.Context, r []ask.Request, _ []ask.Answer) error {
		seen = r[0].Subject
		return nil
	})})
	q := direct("BOT", "PowerApps.Apps.Read", "/tenants/t1")
	q.Subject.Tenant = "7F1D0A52-8F3E-4F0C-9D55-0B2A6C1E9F10"
	q.Subject.Principal.Type = pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER
	q.Subject.Groups, q.Subject.DirectoryRoles, q.Subject.GroupsUnknown = []string{"G2", "g1"}, []string{"D1"}, true
	decide(t, c, q)
	if seen == nil {
		t.Fatal("no subject")
	}
	if seen.Tenant() != "7f1d0a52-8f3e-4f0c-9d55-0b2a6c1e9f10" || seen.Principal() != (authz.Principal{Type: authz.ApplicationUser, ID: "bot"}) ||
		!slices.Equal(seen.Groups(), []string{"g1", "g2"}) || !slices.Equal(seen.DirectoryRoles(), []string{"d1"}) || !seen.GroupsUnknown() {
		t.Errorf("read as %s %v, groups %v, directory roles %v, unknown %t", seen.Tenant(), seen.Principal(), seen.Groups(), seen.DirectoryRoles(), seen.GroupsUnknown())
	}
}

// The scopes of one decision must not be those of the next.
func TestTheDecisionsOfABatchAreEachTheirOwn(t *testing.T) {
	p := newProduct(t)
	revision := p.hold(t, assignment("a1", "ada", authz.AssignAllow, "/tenants/t1"))
	in := &pathgrantv1.BatchCheckRequest{}
	for i := range 100 {
		in.Questions = append(in.Questions, direct("ada", "PowerApps.Apps.Read", fmt.Sprintf("/tenants/t1/environments/e%d/powerapps/a%d", 1+i%2, i)))
	}
	in.Questions = append(in.Questions, direct("eve", "PowerApps.Apps.Read", "/tenants/t1"), &pathgrantv1.CheckQuestion{})
	response, err := p.BatchCheck(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for i, d := range response.GetDecisions()[:100] {
		if want := []string{fmt.Sprintf("/tenants/t1/environments/e%d/powerapps/a%d", 1+i%2, i)}; !slices.Equal(d.GetScopes(), want) || d.GetEffect() != pathgrantv1.Effect_EFFECT_ALLOW {
			t.Errorf("decision %d is %v at %v, want an allow at %v", i, d.GetReason(), d.GetScopes(), want)
		}
		if d.GetRevision().GetEpoch() != revision.Epoch || d.GetRevision().GetNumber() != revision.Number {
			t.Errorf("decision %d is of revision %v, want %v", i, d.GetRevision(), revision)
		}
		ids[d.GetDecisionId()] = true
	}
	if len(ids) != 100 {
		t.Errorf("%d decision ids for 100 decisions", len(ids))
	}
	if last := response.GetDecisions()[100:]; last[0].GetReason() != pathgrantv1.Reason_REASON_NO_ASSIGNMENT || last[1].GetReason() != pathgrantv1.Reason_REASON_BAD_REQUEST {
		t.Errorf("one refusal ended the others: %v", last)
	}
}

func TestAtLeastRevision(t *testing.T) {
	p := newProduct(t)
	first := p.hold(t, assignment("a1", "ada", authz.AssignAllow, "/tenants/t1"))
	second := p.hold(t)
	check := func(at authz.Revision) *pathgrantv1.Decision {
		t.Helper()
		response, err := p.Check(t.Context(), &pathgrantv1.CheckRequest{
			Question:        direct("ada", "PowerApps.Apps.Read", "/tenants/t1"),
			AtLeastRevision: &pathgrantv1.Revision{Epoch: at.Epoch, Number: at.Number},
		})
		if err != nil {
			t.Error(err)
		}
		return response.GetDecision()
	}
	for _, at := range []authz.Revision{{}, first, second} {
		if d := check(at); d.GetReason() != pathgrantv1.Reason_REASON_NO_ASSIGNMENT || d.GetRevision().GetNumber() != second.Number {
			t.Errorf("at least %v: %v of %v, want the newest, NO_ASSIGNMENT of %v", at, d.GetReason(), d.GetRevision(), second)
		}
	}

	// One that does not come is answered in time, and nothing is decided. The machine may
	// be too busy to be in time, in which case the call fails; once in ten it must not be.
	third := authz.Revision{Epoch: second.Epoch, Number: second.Number + 1}
	for _, at := range []authz.Revision{third, {Epoch: second.Epoch + 1}} {
		answered := false
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			response, err := p.BatchCheck(ctx, &pathgrantv1.BatchCheckRequest{
				Questions:       []*pathgrantv1.CheckQuestion{direct("ada", "PowerApps.Apps.Read", "/tenants/t1")},
				AtLeastRevision: &pathgrantv1.Revision{Epoch: at.Epoch, Number: at.Number},
			})
			cancel()
			if err != nil {
				wantStatus(t, err, codes.DeadlineExceeded, "")
				continue
			}
			if d := response.GetDecisions()[0]; d.GetReason() != pathgrantv1.Reason_REASON_STALE || d.GetRevision() != nil {
				t.Errorf("at least %v: %v of %v, want STALE of none", at, d.GetReason(), d.GetRevision())
			}
			answered = true
			break
		}
		if !answered {
			t.Errorf("at least %v: never answered in time", at)
		}
	}

	// One that comes while the call waits is answered from.
	answered := make(chan *pathgrantv1.Decision)
	go func() { answered <- check(third) }()
	p.hold(t, assignment("a1", "ada", authz.AssignAllow, "/tenants/t1"))
	if d := <-answered; d.GetReason() != pathgrantv1.Reason_REASON_GRANTED || d.GetRevision().GetNumber() != third.Number {
		t.Errorf("%v of %v, want GRANTED of %v", d.GetReason(), d.GetRevision(), third)
	}
}

// A caller without a deadline must not hold a call for as long as a batch has questions,
// each of which waits.
func TestACallThatAsksForARevisionIsBounded(t *testing.T) {
	var deadline time.Time
	var bounded bool
	c := dial(t, rpc.Options{Decider: decider(func(ctx context.Context, _ []ask.Request, _ []ask.Answer) error {
		deadline, bounded = ctx.Deadline()
		return nil
	})})
	in := &pathgrantv1.BatchCheckRequest{Questions: []*pathgrantv1.CheckQuestion{direct("ada", "PowerApps.Apps.Read", "/tenants/t1")}}
	if _, err := c.BatchCheck(t.Context(), in); err != nil || bounded {
		t.Errorf("any revision: %v, bounded %t", err, bounded)
	}
	in.AtLeastRevision = &pathgrantv1.Revision{Epoch: 1, Number: 7}
	before := time.Now()
	if _, err := c.BatchCheck(t.Context(), in); err != nil || !bounded || deadline.After(time.Now().Add(10*time.Second)) || deadline.Before(before) {
		t.Errorf("at least a revision: %v, bounded %t, by %v", err, bounded, deadline.Sub(before))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := c.BatchCheck(ctx, in); err != nil || !bounded || deadline.After(before.Add(9*time.Second)) {
		t.Errorf("within the caller's deadline: %v, bounded %t, by %v", err, bounded, deadline.Sub(before))
	}
}

func TestBeforeTheFirstSnapshotNothingIsDecided(t *testing.T) {
	p := newProduct(t)
	if d := decide(t, p, direct("ada", "PowerApps.Apps.Read", "/tenants/t1")); d.GetReason() != pathgrantv1.Reason_REASON_NOT_READY || d.GetRevision() != nil {
		t.Errorf("%v of %v, want NOT_READY", d.GetReason(), d.GetRevision())
	}
	if d := decide(t, p, asks(nil, "GET", "/health")); d.GetReason() != pathgrantv1.Reason_REASON_PUBLIC {
		t.Errorf("%v, want PUBLIC, which needs no snapshot", d.GetReason())
	}
}

func TestResolve(t *testing.T) {
	p := newProduct(t)
	for _, test := range []struct {
		name string
		in   *pathgrantv1.ResolveRequest
		want *pathgrantv1.ResolveResponse // without the detail
	}{
		{
			"by convention", &pathgrantv1.ResolveRequest{HttpRequest: httpRequest("PUT", "/powerapps/environments/e1/apps/a7?x=1")},
			&pathgrantv1.ResolveResponse{
				Permissions: []string{"PowerApps.Apps.Create", "PowerApps.Apps.Update"},
				Scopes:      []string{"/tenants/{tenant}/environments/e1"},
				DecidedBy:   pathgrantv1.DecidedBy_DECIDED_BY_CONVENTION, Rule: "PowerApps.Apps",
			},
		},
		{
			"in a tenant, whoever lists what", &pathgrantv1.ResolveRequest{HttpRequest: httpRequest("GET", "/powerapps/environments/e99/apps"), Tenant: "7F1D0A52-8F3E-4F0C-9D55-0B2A6C1E9F10"},
			&pathgrantv1.ResolveResponse{
				Permissions: []string{"PowerApps.Apps.Read"},
				Scopes:      []string{"/tenants/7f1d0a52-8f3e-4f0c-9d55-0b2a6c1e9f10/environments/e99"},
				DecidedBy:   pathgrantv1.DecidedBy_DECIDED_BY_CONVENTION, Rule: "PowerApps.Apps",
			},
		},
		{
			"by another catalogue", &pathgrantv1.ResolveRequest{HttpRequest: httpRequest("DELETE", "/library/books/b1"), Catalogue: "second"},
			&pathgrantv1.ResolveResponse{
				Permissions: []string{"Library.Books.Delete"}, Scopes: []string{"/tenants/{tenant}"},
				DecidedBy: pathgrantv1.DecidedBy_DECIDED_BY_CONVENTION, Rule: "Library.Books",
			},
		},
		{
			"a gRPC call, whose scope a header names", &pathgrantv1.ResolveRequest{Catalogue: "second", HttpRequest: &pathgrantv1.HttpRequest{
				Method: "POST", Path: "/library.v1.BookService/DeleteBook", Grpc: true, Headers: map[string]string{"x-environment": "e1"},
			}},
			&pathgrantv1.ResolveResponse{
				Permissions: []string{"Library.Books.Delete"}, Scopes: []string{"/tenants/{tenant}/environments/e1"},
				DecidedBy: pathgrantv1.DecidedBy_DECIDED_BY_CONVENTION, Rule: "Library.Books",
			},
		},
		{
			"a gRPC path that is not said to be one", &pathgrantv1.ResolveRequest{
				Catalogue: "second", HttpRequest: httpRequest("POST", "/library.v1.BookService/DeleteBook"),
			},
			&pathgrantv1.ResolveResponse{Reason: pathgrantv1.Reason_REASON_UNMAPPED},
		},
		{
			"a public route", &pathgrantv1.ResolveRequest{HttpRequest: httpRequest("HEAD", "/health")},
			&pathgrantv1.ResolveResponse{
				Reason: pathgrantv1.Reason_REASON_PUBLIC, DecidedBy: pathgrantv1.DecidedBy_DECIDED_BY_ROUTE, Rule: "GET /health",
			},
		},
		{
			"nothing that is known", &pathgrantv1.ResolveRequest{HttpRequest: httpRequest("GET", "/library/books")},
			&pathgrantv1.ResolveResponse{Reason: pathgrantv1.Reason_REASON_UNMAPPED},
		},
		{
			"an ambiguous path", &pathgrantv1.ResolveRequest{HttpRequest: httpRequest("GET", "/powerapps/apps%2Fa7")},
			&pathgrantv1.ResolveResponse{Reason: pathgrantv1.Reason_REASON_BAD_REQUEST},
		},
		{
			"a catalogue that is not loaded", &pathgrantv1.ResolveRequest{HttpRequest: httpRequest("GET", "/powerapps/apps"), Catalogue: "third"},
			&pathgrantv1.ResolveResponse{Reason: pathgrantv1.Reason_REASON_BAD_REQUEST},
		},
		{"no request", &pathgrantv1.ResolveRequest{}, &pathgrantv1.ResolveResponse{Reason: pathgrantv1.Reason_REASON_BAD_REQUEST}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := p.Resolve(t.Context(), test.in)
			if err != nil {
				t.Fatal(err)
			}
			refused := test.want.GetReason() == pathgrantv1.Reason_REASON_UNMAPPED || test.want.GetReason() == pathgrantv1.Reason_REASON_BAD_REQUEST
			if refused != (got.GetDetail() != "") {
				t.Errorf("the detail is %q", got.GetDetail())
			}
			got.Detail = ""
			if diff := cmp.Diff(test.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNotDecidedFailsTheCall(t *testing.T) {
	q := direct("ada", "PowerApps.Apps.Read", "/tenants/t1")
	moving := dial(t, rpc.Options{Decider: decider(func(context.Context, []ask.Request, []ask.Answer) error {
		return errors.New("the snapshot changed too often")
	})})
	_, err := moving.Check(t.Context(), &pathgrantv1.CheckRequest{Question: q})
	wantStatus(t, err, codes.Unavailable, "the snapshot changed too often")

	waiting := make(chan struct{}, 1)
	slow := dial(t, rpc.Options{Decider: decider(func(ctx context.Context, _ []ask.Request, a []ask.Answer) error {
		waiting <- struct{}{}
		<-ctx.Done()
		a[0].Reason = authz.Granted // which comes too late to count
		return ctx.Err()
	})})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-waiting; cancel() }()
	_, err = slow.BatchCheck(ctx, &pathgrantv1.BatchCheckRequest{Questions: []*pathgrantv1.CheckQuestion{q}})
	wantStatus(t, err, codes.Canceled, "")
}

// A fault of the server's own fails the call, is logged, and ends neither the server
// nor the connection.
func TestAPanicFailsTheCallAndNothingElse(t *testing.T) {
	var log bytes.Buffer
	broken := true
	c := dial(t, rpc.Options{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
		Decider: decider(func(_ context.Context, _ []ask.Request, a []ask.Answer) error {
			if broken {
				a[0].Reason = authz.Granted
				panic("provoked")
			}
			return nil
		}),
		Mapper: mapper(func(*ask.Request, string, *ask.Answer) {
			if broken {
				panic("provoked")
			}
		}),
	})
	q := direct("ada", "PowerApps.Apps.Read", "/tenants/t1")
	calls := map[string]func() (any, error){
		"Check": func() (any, error) { return c.Check(t.Context(), &pathgrantv1.CheckRequest{Question: q}) },
		"BatchCheck": func() (any, error) {
			return c.BatchCheck(t.Context(), &pathgrantv1.BatchCheckRequest{Questions: []*pathgrantv1.CheckQuestion{q}})
		},
		"Resolve": func() (any, error) { return c.Resolve(t.Context(), &pathgrantv1.ResolveRequest{}) },
	}
	for name, call := range calls {
		log.Reset()
		_, err := call()
		wantStatus(t, err, codes.Internal, "the call failed; the log says why")
		if err != nil && strings.Contains(err.Error(), "provoked") {
			t.Errorf("%s tells the client of the fault: %v", name, err)
		}
		if !strings.Contains(log.String(), "panic=provoked") || !strings.Contains(log.String(), "server_test.go") {
			t.Errorf("%s does not log the fault and where it was: %s", name, log.String())
		}
	}
	broken = false
	for name, call := range calls {
		if _, err := call(); err != nil {
			t.Errorf("%s, after the fault: %v", name, err)
		}
	}
}
