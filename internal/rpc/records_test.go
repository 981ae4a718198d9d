package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const userType = pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER

// relating is a question that tells everything that one about a record can tell.
func relating() *pathgrantv1.CheckQuestion {
	q := direct("ada", "Dataverse.Account.Append", "/tenants/t1/environments/e1")
	p := q.GetPermission()
	p.Record = &pathgrantv1.DataverseRecord{Id: "r1", Owner: &pathgrantv1.Principal{Type: userType, Id: "bob"}, BusinessUnit: "b1"}
	p.Columns, p.AllColumns, p.OnBehalfOf = []string{"name", "rating"}, true, subject("eve")
	p.Relate = &pathgrantv1.RelateTarget{
		Table: "Contact", ManyToMany: true,
		Record: &pathgrantv1.DataverseRecord{Id: "r2", Owner: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_TEAM, Id: "t7"}},
	}
	return q
}

func TestAQuestionAboutARecordIsReadWhole(t *testing.T) {
	var seen ask.Request
	c := dial(t, rpc.Options{Decider: decider(func(_ context.Context, r []ask.Request, _ []ask.Answer) error {
		seen = r[0]
		return nil
	})})
	decide(t, c, relating())
	if seen.OnBehalfOf == nil || seen.OnBehalfOf.Principal() != (authz.Principal{Type: authz.User, ID: "eve"}) {
		t.Errorf("on behalf of %v", seen.OnBehalfOf)
	}
	bob, seven := authz.Principal{Type: authz.User, ID: "bob"}, authz.Principal{Type: authz.Team, ID: "t7"}
	if *seen.Record != (ask.Record{ID: "r1", Owner: bob, BusinessUnit: "b1"}) || *seen.Relate.Record != (ask.Record{ID: "r2", Owner: seven}) ||
		seen.Relate.Table != "Contact" || !seen.Relate.ManyToMany || !slices.Equal(seen.Columns, []string{"name", "rating"}) || !seen.AllColumns ||
		seen.Permission != "Dataverse.Account.Append" || seen.Scope != "/tenants/t1/environments/e1" {
		t.Errorf("read as %+v, %+v, %+v", seen, seen.Record, seen.Relate)
	}
}

func TestWhatIsWrongWithARecordIsNamed(t *testing.T) {
	c := dial(t, rpc.Options{Decider: decider(func(_ context.Context, r []ask.Request, a []ask.Answer) error {
		a[0].Reason, a[0].Detail = authz.BadRequest, r[0].Unreadable
		return nil
	})})
	for want, change := range map[string]func(*pathgrantv1.PermissionTarget){
		"record.owner: it has no identifier":        func(p *pathgrantv1.PermissionTarget) { p.Record.Owner = &pathgrantv1.Principal{} },
		"relate.record.owner: it has no identifier": func(p *pathgrantv1.PermissionTarget) { p.Relate.Record.Owner.Id = "" },
		"on_behalf_of.groups[1] is empty":           func(p *pathgrantv1.PermissionTarget) { p.OnBehalfOf.Groups = []string{"g1", ""} },
		"on_behalf_of: a subject needs a tenant":    func(p *pathgrantv1.PermissionTarget) { p.OnBehalfOf = &pathgrantv1.Subject{} },
	} {
		q := relating()
		change(q.GetPermission())
		if d := decide(t, c, q); d.GetDetail() != want {
			t.Errorf("%q, want %q", d.GetDetail(), want)
		}
	}
}

func TestTheLimitsOfRecordsAndComposites(t *testing.T) {
	c, reached := unlimited(t)
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		field string
		limit int
		fill  func(p *pathgrantv1.PermissionTarget, n int)
	}{
		{"record.id", 256, func(p *pathgrantv1.PermissionTarget, n int) { p.Record.Id = long(n) }},
		{"record.owner.id", 256, func(p *pathgrantv1.PermissionTarget, n int) { p.Record.Owner.Id = long(n) }},
		{"record.business_unit", 256, func(p *pathgrantv1.PermissionTarget, n int) { p.Record.BusinessUnit = long(n) }},
		{"columns", 1000, func(p *pathgrantv1.PermissionTarget, n int) { p.Columns = repeated("c", n) }},
		{"columns[1]", 128, func(p *pathgrantv1.PermissionTarget, n int) { p.Columns = []string{"c", long(n)} }},
		{"on_behalf_of.tenant", 256, func(p *pathgrantv1.PermissionTarget, n int) { p.OnBehalfOf.Tenant = long(n) }},
		{"on_behalf_of.groups", 10000, func(p *pathgrantv1.PermissionTarget, n int) { p.OnBehalfOf.Groups = repeated("g", n) }},
		{"relate.table", 128, func(p *pathgrantv1.PermissionTarget, n int) { p.Relate.Table = long(n) }},
		{"relate.record.id", 256, func(p *pathgrantv1.PermissionTarget, n int) { p.Relate.Record.Id = long(n) }},
	} {
		q := relating()
		test.fill(q.GetPermission(), test.limit)
		before := *reached
		if _, err := c.Check(t.Context(), &pathgrantv1.CheckRequest{Question: q}); err != nil || *reached != before+1 {
			t.Errorf("%s of %d: %v", test.field, test.limit, err)
		}
		test.fill(q.GetPermission(), test.limit+1)
		_, err := c.Check(t.Context(), &pathgrantv1.CheckRequest{Question: q})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), " question.permission."+test.field+": ") || *reached != before+1 {
			t.Errorf("%s of %d: %v", test.field, test.limit+1, err)
		}
	}
	composites := dial(t, rpc.Options{Composites: compositeDecider(func(*ask.CompositeRequest, *ask.CompositeAnswer) {})})
	facts := func(n int) map[string]bool {
		all := map[string]bool{}
		for i := range n {
			all[fmt.Sprint(i)] = true
		}
		return all
	}
	for _, test := range []struct {
		field string
		limit int
		fill  func(q *pathgrantv1.CompositeQuestion, n int)
	}{
		{"subject.principal.id", 256, func(q *pathgrantv1.CompositeQuestion, n int) { q.Subject.Principal.Id = long(n) }},
		{"composite", 128, func(q *pathgrantv1.CompositeQuestion, n int) { q.Composite = long(n) }},
		{"scope", 1024, func(q *pathgrantv1.CompositeQuestion, n int) { q.Scope = long(n) }},
		{"object", 256, func(q *pathgrantv1.CompositeQuestion, n int) { q.Object = long(n) }},
		{"connectors", 100, func(q *pathgrantv1.CompositeQuestion, n int) { q.Connectors = facts(n) }},
		{"connectors", 128, func(q *pathgrantv1.CompositeQuestion, n int) { q.Connectors = map[string]bool{long(n): true} }},
		{"facts", 100, func(q *pathgrantv1.CompositeQuestion, n int) { q.Facts = facts(n) }},
		{"facts", 128, func(q *pathgrantv1.CompositeQuestion, n int) { q.Facts = map[string]bool{long(n): true} }},
	} {
		q := &pathgrantv1.CompositeQuestion{Subject: subject("ada")}
		test.fill(q, test.limit)
		if _, err := composites.CheckComposite(t.Context(), &pathgrantv1.CheckCompositeRequest{Question: q}); err != nil {
			t.Errorf("%s of %d: %v", test.field, test.limit, err)
		}
		test.fill(q, test.limit+1)
		_, err := composites.CheckComposite(t.Context(), &pathgrantv1.CheckCompositeRequest{Question: q})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), " question."+test.field+": ") {
			t.Errorf("%s of %d: %v", test.field, test.limit+1, err)
		}
	}
}

// compositeDecider answers composite questions as it is told.
type compositeDecider func(r *ask.CompositeRequest, a *ask.CompositeAnswer)

func (d compositeDecider) CheckComposite(_ context.Context, r *ask.CompositeRequest, a *ask.CompositeAnswer) {
	d(r, a)
}

func TestEveryWordOfARecordsDecisionIsThatOfTheContract(t *testing.T) {
	for name, d := range map[string]authz.RecordDecision{
		"DATAVERSE_ACCESS_OWNER":        {Reason: authz.Granted, Step: authz.OwnerAccess},
		"DATAVERSE_ACCESS_REACH":        {Reason: authz.Granted, Step: authz.ReachAccess},
		"DATAVERSE_ACCESS_SHARE":        {Reason: authz.Granted, Step: authz.ShareAccess},
		"DATAVERSE_ACCESS_DIRECT":       {Reason: authz.Granted, Step: authz.DirectAccess},
		"DATAVERSE_LACK_PRIVILEGE":      {Reason: authz.NoAssignment, Denial: authz.LacksPrivilege},
		"DATAVERSE_LACK_REACH":          {Reason: authz.NoAssignment, Denial: authz.LacksReach},
		"DATAVERSE_LACK_COLUMN":         {Reason: authz.NoAssignment, Denial: authz.LacksColumn, Column: "rating"},
		"DATAVERSE_LACK_ON_BEHALF":      {Reason: authz.NoAssignment, Denial: authz.LacksOnBehalf, ActingFor: true},
		"DATAVERSE_REACH_USER":          {Reason: authz.Granted, Reach: authz.UserReach},
		"DATAVERSE_REACH_BUSINESS_UNIT": {Reason: authz.Granted, Reach: authz.BusinessUnitReach},
		"DATAVERSE_REACH_PARENT_CHILD":  {Reason: authz.Granted, Reach: authz.ParentChildReach},
		"DATAVERSE_REACH_ORGANIZATION":  {Reason: authz.Granted, Needed: authz.OrganizationReach},
	} {
		c := dial(t, rpc.Options{Decider: answering(ask.Answer{Reason: d.Reason, Record: &d, Permissions: []authz.Permission{"Dataverse.Account.Read"}})})
		got := decide(t, c, relating()).GetDataverse()
		said := []string{got.GetAccess().String(), got.GetLack().String(), got.GetReach().String(), got.GetNeededReach().String()}
		if !slices.Contains(said, name) || got.GetPermission() != "Dataverse.Account.Read" || got.GetColumn() != d.Column || got.GetActingFor() != d.ActingFor {
			t.Errorf("%s: %v", name, got)
		}
	}
	c := dial(t, rpc.Options{Decider: answering(ask.Answer{Reason: authz.Granted})})
	if d := decide(t, c, direct("ada", "PowerApps.Apps.Read", "/tenants/t1")); d.GetDataverse() != nil {
		t.Errorf("a platform permission was decided by %v", d.GetDataverse())
	}
}

// holdDatabase puts an environment with a database in force, in which ada is a Basic User
// and may run the flow f1.
func (p *product) holdDatabase(t testing.TB) authz.Revision {
	t.Helper()
	ada := authz.Principal{Type: authz.User, ID: "ada"}
	revision, err := p.store.Replace(t.Context(), &snapshot.Data{Tenants: []snapshot.Tenant{{
		ID: "t1", Environments: []snapshot.Environment{{ID: "e1", Dataverse: true}},
		Users: []snapshot.EnvironmentUser{{Environment: "e1", Principal: ada}},
		Flows: []snapshot.Flow{{
			ID: "f1", Environment: "e1", RunOnly: []authz.Principal{ada},
			Connections: []snapshot.Connection{{Name: "own", Connector: snapshot.DataverseConnector, Provider: snapshot.RunOnlyUserProvides, Tables: []snapshot.TableUse{{Table: "Account"}}}},
		}},
		RoleAssignments: []snapshot.RoleAssignment{{
			ID: "basic", Principal: ada, RoleDefinitionID: "236750cd-45ae-4939-ab12-b24b920ced93", Scope: "/tenants/t1/environments/e1", Effect: authz.AssignAllow,
		}},
	}}}, snapshot.Change{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func TestARecordIsDecidedEndToEnd(t *testing.T) {
	p := newProduct(t)
	revision := p.holdDatabase(t)
	q := direct("ada", "dataverse.account.write", "/tenants/t1/environments/e1")
	q.GetPermission().Record = &pathgrantv1.DataverseRecord{Owner: &pathgrantv1.Principal{Type: userType, Id: "ada"}}
	d := decide(t, p, q)
	d.DecisionId = ""
	want := &pathgrantv1.Decision{
		Effect: pathgrantv1.Effect_EFFECT_ALLOW, Reason: pathgrantv1.Reason_REASON_GRANTED,
		Permissions: []string{"Dataverse.Account.Write"}, Scopes: []string{"/tenants/t1/environments/e1"},
		Assignment: &pathgrantv1.DecidingAssignment{
			Id: "basic", Principal: &pathgrantv1.Principal{Type: userType, Id: "ada"}, RoleDefinitionId: "236750cd-45ae-4939-ab12-b24b920ced93",
			RoleDefinitionName: "Basic User", Scope: "/tenants/t1/environments/e1", Effect: pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_ALLOW,
		},
		Revision:  &pathgrantv1.Revision{Epoch: revision.Epoch, Number: revision.Number},
		Dataverse: &pathgrantv1.DataverseDecision{Permission: "Dataverse.Account.Write", Access: pathgrantv1.DataverseAccess_DATAVERSE_ACCESS_OWNER, Reach: pathgrantv1.DataverseReach_DATAVERSE_REACH_USER},
	}
	if diff := cmp.Diff(want, d, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	q.GetPermission().Record = nil
	d = decide(t, p, q)
	if d.GetEffect() != pathgrantv1.Effect_EFFECT_DENY || d.GetDataverse().GetLack() != pathgrantv1.DataverseLack_DATAVERSE_LACK_REACH ||
		d.GetDataverse().GetNeededReach() != pathgrantv1.DataverseReach_DATAVERSE_REACH_ORGANIZATION || d.GetMissingPermissions()[0] != "Dataverse.Account.Write" {
		t.Errorf("%v", d)
	}
}

func TestACompositeIsDecidedEndToEnd(t *testing.T) {
	catalogue := strings.Replace(firstCatalogue, "namespaces:", `composites:
  run-only-flow:
    target: flow
    layers:
      - {name: environment, privileges: [Dataverse.Process.Read@User]}
      - {name: flow, shared: true, mend: Share the flow.}
      - {name: connection, connections: true}
      - {name: data, data: [Read, Append, AppendTo]}
      - {name: licence, fact: licence}
namespaces:`, 1)
	p := newProductOf(t, catalogue)
	p.holdDatabase(t)
	q := &pathgrantv1.CompositeQuestion{Subject: subject("ada"), Composite: "run-only-flow", Scope: "/tenants/t1/environments/e1", Object: "f1"}
	check := func() *pathgrantv1.CompositeDecision {
		t.Helper()
		response, err := p.CheckComposite(t.Context(), &pathgrantv1.CheckCompositeRequest{Question: q})
		if err != nil {
			t.Fatal(err)
		}
		return response.GetDecision()
	}
	d := check()
	if d.GetEffect() != pathgrantv1.Effect_EFFECT_DENY || d.GetReason() != pathgrantv1.Reason_REASON_NO_ASSIGNMENT || len(d.GetDecisionId()) != 32 || d.GetDetail() != "unknown: licence" {
		t.Errorf("%v", d)
	}
	var states []string
	for _, layer := range d.GetLayers() {
		states = append(states, layer.GetName()+" "+layer.GetState().String())
	}
	want := []string{"environment LAYER_STATE_PASSED", "flow LAYER_STATE_PASSED", "connection LAYER_STATE_PASSED", "data LAYER_STATE_PASSED", "licence LAYER_STATE_UNKNOWN"}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	first := d.GetLayers()[0].GetRequirements()[0]
	if diff := cmp.Diff(&pathgrantv1.LayerRequirement{
		State: pathgrantv1.LayerState_LAYER_STATE_PASSED, Reason: pathgrantv1.Reason_REASON_GRANTED, Text: "Read on Process",
		Of: pathgrantv1.CompositeParty_COMPOSITE_PARTY_CALLER, Principal: &pathgrantv1.Principal{Type: userType, Id: "ada"},
		Permission: "Dataverse.Process.Read", Scope: "/tenants/t1/environments/e1",
	}, first, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	q.Facts = map[string]bool{"licence": true}
	if d := check(); d.GetEffect() != pathgrantv1.Effect_EFFECT_ALLOW || d.GetReason() != pathgrantv1.Reason_REASON_GRANTED {
		t.Errorf("%v", d)
	}
	q.Subject = subject("eve")
	d = check()
	if layer := d.GetLayers()[1]; layer.GetState() != pathgrantv1.LayerState_LAYER_STATE_FAILED || layer.GetMend() != "Share the flow." || layer.GetRequirements()[0].GetMend() == "" {
		t.Errorf("%v", layer)
	}
	for want, q := range map[pathgrantv1.Reason]*pathgrantv1.CompositeQuestion{
		pathgrantv1.Reason_REASON_BAD_REQUEST:     nil,
		pathgrantv1.Reason_REASON_UNAUTHENTICATED: {Composite: "run-only-flow", Scope: "/tenants/t1/environments/e1", Object: "f1"},
	} {
		response, err := p.CheckComposite(t.Context(), &pathgrantv1.CheckCompositeRequest{Question: q})
		if err != nil || response.GetDecision().GetReason() != want {
			t.Errorf("%v, %v, want %v", response.GetDecision().GetReason(), err, want)
		}
	}
	bad := &pathgrantv1.CompositeQuestion{Subject: &pathgrantv1.Subject{Tenant: "t1", Principal: subject("ada").GetPrincipal(), Groups: []string{""}}, Composite: "run-only-flow", Scope: "/tenants/t1/environments/e1", Object: "f1"}
	if response, err := p.CheckComposite(t.Context(), &pathgrantv1.CheckCompositeRequest{Question: bad}); err != nil || response.GetDecision().GetDetail() != "subject.groups[0] is empty" {
		t.Errorf("%v, %v", response, err)
	}
}

func TestAServerWithoutCompositesSaysSoAndAPanicFailsTheCall(t *testing.T) {
	in := &pathgrantv1.CheckCompositeRequest{Question: &pathgrantv1.CompositeQuestion{Subject: subject("ada")}}
	if _, err := dial(t, rpc.Options{}).CheckComposite(t.Context(), in); status.Code(err) != codes.Unimplemented {
		t.Errorf("%v", err)
	}
	c := dial(t, rpc.Options{Composites: compositeDecider(func(_ *ask.CompositeRequest, a *ask.CompositeAnswer) {
		a.Reason = authz.Granted
		panic("here")
	})})
	if response, err := c.CheckComposite(t.Context(), in); status.Code(err) != codes.Internal || response != nil {
		t.Errorf("%v, %v", response, err)
	}
}
