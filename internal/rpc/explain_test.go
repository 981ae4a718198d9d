package rpc_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/callers"
	"github.com/pathgrant/pathgrant/internal/explain"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/reverse"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// explained is what the tests of ExplainService ask about: ada is refused at e1 by a FORBID
// of her group, lea may read role assignments at e1 alone, root everywhere.
const explained = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environments: [{id: e1, dataverse: true}, {id: e2}]
    groups: [{id: staff, members: [{principalType: User, principalObjectId: ada}]}]
    users:
      - {environment: e1, principalType: User, principalObjectId: ada}
      - {environment: e1, principalType: User, principalObjectId: maker}
    flows:
      - {id: f1, environment: e1, displayName: Flow, maker: {principalType: User, principalObjectId: maker}, runOnlyUsers: [{principalType: User, principalObjectId: ada}], connections: [{name: db, connector: dataverse, provider: Maker, tables: [{table: Account}]}]}
    roleAssignments:
      - {roleAssignmentId: ra-root, principalType: User, principalObjectId: root, roleDefinitionId: 95e94555-018c-447b-8691-bdac8e12211e, scope: /tenants/t1}
      - {roleAssignmentId: ra-lea, principalType: User, principalObjectId: lea, roleDefinitionId: 95e94555-018c-447b-8691-bdac8e12211e, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: ra-ada, principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}
      - {roleAssignmentId: ra-staff, principalType: Group, principalObjectId: staff, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1, effect: FORBID}
      - {roleAssignmentId: ra-maker, principalType: User, principalObjectId: maker, roleDefinitionName: Delegate, scope: /tenants/t1/environments/e1}
...
`

// newExplain serves ExplainService with real data behind it, and the interceptors of
// administration in front of it if guarded.
func newExplain(t testing.TB, text string, guarded bool) pathgrantv1.ExplainServiceClient {
	t.Helper()
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	store, err := snapshot.Open(t.Context(), snapshot.Options{
		Dir: t.TempDir(), CacheBytes: 1 << 20, Vocabulary: catalogues.Vocabulary(), ShippedRoles: roles.All(), StandardTables: roles.StandardTables(), FoldCase: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the server has ended
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	data, err := bundle.Parse("explained.yaml", []byte(text), bundle.Options{Vocabulary: catalogues.Vocabulary(), FoldCase: true, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Replace(t.Context(), data, snapshot.Change{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	a, err := admin.New(admin.Options{
		Store: admin.FromSnapshot(store), Vocabulary: catalogues.Vocabulary(), ShippedRoles: roles.All(), FoldCase: true, Writable: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := &office{store: store}
	if o.mapping, err = callers.NewMapping(); err != nil {
		t.Fatal(err)
	}
	identifier := callers.New(callers.Options{Mapping: o.mapping, Verifier: o, Prove: o.prove})
	front := rpc.NewAdministration(rpc.AdministrationOptions{Admin: a, Identify: identifier.Identify})
	var options []grpc.ServerOption
	if guarded {
		options = append(options, grpc.UnaryInterceptor(front.Unary))
	}
	server := grpc.NewServer(options...)
	rpc.NewExplain(rpc.ExplainOptions{
		Explainer: explain.New(explain.Options{
			Decider: gate.New(gate.Options{Catalogues: catalogues, Snapshots: store, Now: time.Now}), Store: store, Catalogues: catalogues, Roles: roles.All(), Recent: remembered,
		}),
		Reverse: reverse.New(reverse.Options{Vocabulary: catalogues.Vocabulary(), FoldCase: true, ShippedRoles: roles.All()}),
		Admin:   a, Read: store.Read, FoldCase: true,
	}).Register(server)
	conn := serveOn(t, server)
	return pathgrantv1.NewExplainServiceClient(conn)
}

func questionAbout(user, scope string, groups ...string) *pathgrantv1.ExplainRequest {
	return &pathgrantv1.ExplainRequest{What: &pathgrantv1.ExplainRequest_Question{Question: &pathgrantv1.CheckQuestion{
		Subject: &pathgrantv1.Subject{
			Tenant: "t1", Principal: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: user}, Groups: groups,
		},
		Target: &pathgrantv1.CheckQuestion_Permission{Permission: &pathgrantv1.PermissionTarget{Permission: "PowerApps.Apps.Read", Scope: scope}},
	}}}
}

func TestWhoMayHaveWhoseDecisionsExplained(t *testing.T) {
	client := newExplain(t, explained, true)
	const e1, e2, tenant = "/tenants/t1/environments/e1", "/tenants/t1/environments/e2", "/tenants/t1"
	for _, c := range []struct {
		caller, about, scope string
		groups               []string
		code                 codes.Code
		shown                []string // assignments of the only pair
		hidden               int32
	}{
		{caller: "user:ada", about: "ada", scope: e1, shown: []string{"ra-ada"}, hidden: 1}, // the FORBID is not hers to read
		{caller: "user:ada", about: "ada", scope: e1, groups: []string{"x"}, code: codes.PermissionDenied},
		{caller: "user:ada", about: "root", scope: e1, code: codes.PermissionDenied},
		{caller: "user:lea", about: "ada", scope: e1, shown: []string{"ra-staff"}, hidden: 1}, // what stands above is not for her
		{caller: "user:lea", about: "ada", scope: e2, code: codes.PermissionDenied},
		{caller: "user:lea", about: "ada", scope: tenant, code: codes.PermissionDenied},
		{caller: "user:root", about: "ada", scope: e1, shown: []string{"ra-staff", "ra-ada"}},
		{caller: "user:root", about: "ada", scope: e1, groups: []string{"x"}, shown: []string{"ra-staff", "ra-ada"}},
		{caller: "Operator x", about: "ada", scope: e1, shown: []string{"ra-staff", "ra-ada"}},
		{caller: "", about: "ada", scope: e1, code: codes.Unauthenticated},
	} {
		out, err := client.Explain(as(t.Context(), c.caller), questionAbout(c.about, c.scope, c.groups...))
		if status.Code(err) != c.code {
			t.Errorf("%s about %s %v at %s: %v, want %s", c.caller, c.about, c.groups, c.scope, err, c.code)
			continue
		}
		if err != nil {
			if strings.Contains(err.Error(), "ra-") {
				t.Errorf("%s about %s at %s: the refusal tells of an assignment: %v", c.caller, c.about, c.scope, err)
			}
			continue
		}
		e := out.GetExplanation()
		var shown []string
		for _, a := range e.GetPairs()[0].GetAssignments() {
			shown = append(shown, a.GetAssignment().GetId())
		}
		if !slices.Equal(shown, c.shown) || e.GetHiddenAssignments() != c.hidden {
			t.Errorf("%s about %s at %s: shown %v and %d hidden, want %v and %d", c.caller, c.about, c.scope, shown, e.GetHiddenAssignments(), c.shown, c.hidden)
		}
		if mayRead := slices.Contains(c.shown, "ra-staff"); c.scope == e1 && (e.GetDecision().GetAssignment() != nil) != mayRead || len(e.GetMend().GetInTheWay()) > 0 != mayRead {
			t.Errorf("%s about %s at %s: deciding %v, in the way %v", c.caller, c.about, c.scope, e.GetDecision().GetAssignment(), e.GetMend().GetInTheWay())
		}
	}
}

func TestAQuestionWithoutASubjectIsAboutOneself(t *testing.T) {
	client := newExplain(t, explained, true)
	in := questionAbout("", "/tenants/t1")
	in.GetQuestion().Subject = nil
	out, err := client.Explain(as(t.Context(), "user:ada"), in)
	if err != nil {
		t.Fatal(err)
	}
	e := out.GetExplanation()
	if e.GetSubject().GetPrincipal().GetId() != "ada" || e.GetDecision().GetReason() != pathgrantv1.Reason_REASON_GRANTED || e.GetMend() != nil {
		t.Errorf("explained %v", e)
	}
	if _, err := client.Explain(as(t.Context(), "Operator x"), in); status.Code(err) != codes.InvalidArgument {
		t.Errorf("of an operator, who is nobody's subject: %v", err)
	}
}

func TestWithoutTheInterceptorsNobodyIsExplained(t *testing.T) {
	client := newExplain(t, explained, false)
	if _, err := client.Explain(as(t.Context(), "user:root"), questionAbout("ada", "/tenants/t1")); err == nil {
		t.Error("it is explained to nobody")
	}
}

func TestExplainNamesTheFieldThatIsWrong(t *testing.T) {
	client := newExplain(t, explained, true)
	long := questionAbout("ada", "/tenants/t1/"+strings.Repeat("x", 2000))
	for _, c := range []struct {
		in    *pathgrantv1.ExplainRequest
		code  codes.Code
		field string
	}{
		{&pathgrantv1.ExplainRequest{}, codes.InvalidArgument, "question"},
		{long, codes.InvalidArgument, "question.permission.scope"},
		{questionAbout("", "/tenants/t1"), codes.InvalidArgument, "question"},
		{&pathgrantv1.ExplainRequest{What: &pathgrantv1.ExplainRequest_Question{Question: &pathgrantv1.CheckQuestion{}}}, codes.InvalidArgument, "question"},
		{&pathgrantv1.ExplainRequest{What: &pathgrantv1.ExplainRequest_DecisionId{DecisionId: "nonsense"}}, codes.NotFound, "decision_id"},
		{&pathgrantv1.ExplainRequest{What: &pathgrantv1.ExplainRequest_DecisionId{DecisionId: strings.Repeat("0", 200)}}, codes.InvalidArgument, "decision_id"},
	} {
		if _, err := client.Explain(as(t.Context(), "user:root"), c.in); status.Code(err) != c.code || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%v: %v, want %s of %s", c.in, err, c.code, c.field)
		}
	}
}

// What the maker holds is the maker's: whoever runs the flow learns which layer fails, and not
// through which assignments of somebody else.
func TestACompositeDoesNotShowTheMakersAssignments(t *testing.T) {
	client := newExplain(t, explained, true)
	in := &pathgrantv1.ExplainRequest{What: &pathgrantv1.ExplainRequest_Composite{Composite: &pathgrantv1.CompositeQuestion{
		Subject: &pathgrantv1.Subject{
			Tenant: "t1", Principal: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: "ada"},
		},
		Composite: "run-only-flow", Scope: "/tenants/t1/environments/e1", Object: "f1", Facts: map[string]bool{"licence": true},
	}}}
	for caller, want := range map[string]bool{"user:ada": false, "user:root": true} {
		out, err := client.Explain(as(t.Context(), caller), in)
		if err != nil {
			t.Fatal(err)
		}
		found, mended := false, false
		for _, layer := range out.GetExplanation().GetLayers() {
			for _, p := range layer.GetPairs() {
				for _, a := range p.GetAssignments() {
					found = found || a.GetAssignment().GetId() == "ra-maker"
				}
			}
			for _, a := range layer.GetMend().GetAssignments() {
				mended = mended || layer.GetName() == "data" && a.GetPrincipal().GetId() == "maker"
			}
		}
		if found != want || !mended {
			t.Errorf("%s: the maker's assignment is shown: %t, want %t; the data layer is mended for the maker: %t", caller, found, want, mended)
		}
	}
	if _, err := client.Explain(as(t.Context(), "user:lea"), in); status.Code(err) != codes.OK {
		t.Errorf("whoever may read the environment's assignments: %v", err)
	}
	in.GetComposite().Subject.Principal.Id = "maker"
	if _, err := client.Explain(as(t.Context(), "user:ada"), in); status.Code(err) != codes.PermissionDenied {
		t.Errorf("about another: %v", err)
	}
}
