package explain_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/explain"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const sales = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environments: [{id: e1, dataverse: true}, {id: e2, dataverse: true}, {id: bare}]
    businessUnits: [{id: b0, environment: e1}, {id: north, environment: e1, parent: b0}, {id: south, environment: e1, parent: b0}]
    tables: [{environment: e1, name: Order, classes: [custom], ownership: User, entitySet: new_orders, securedColumns: [margin]}]
    users:
      - {environment: e1, principalType: User, principalObjectId: ada, businessUnit: north}
      - {environment: e1, principalType: User, principalObjectId: boss, businessUnit: b0}
      - {environment: e2, principalType: User, principalObjectId: ada}
    teams: [{id: crew, environment: e1, displayName: The crew, teamType: OwnerTeam, businessUnit: south, members: [{principalType: User, principalObjectId: ada}]}]
    roleDefinitions:
      - {roleDefinitionId: clerk, roleDefinitionName: Clerk, environment: e1, privileges: ["Dataverse.Order.Read@BusinessUnit"]}
      - {roleDefinitionId: reads-all, roleDefinitionName: Reads all, environment: e1, privileges: ["Dataverse.Order.Read@Organization"]}
      - {roleDefinitionId: own, roleDefinitionName: Own orders, environment: e1, privileges: ["Dataverse.Order.{Read,Write}@User"]}
    roleAssignments:
      - {roleAssignmentId: s1, principalType: User, principalObjectId: ada, roleDefinitionName: Clerk, scope: /tenants/t1/environments/e1/businessUnits/north}
      - {roleAssignmentId: s2, principalType: Team, principalObjectId: crew, roleDefinitionName: Own orders, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: s3, principalType: User, principalObjectId: ada, roleDefinitionName: Basic User, scope: /tenants/t1/environments/e2}
      - {roleAssignmentId: s4, principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}
      - {roleAssignmentId: s5, principalType: User, principalObjectId: ada, roleDefinitionName: Reads all, scope: /tenants/t1/environments/e1, expiresOn: "2029-06-01T00:00:00Z"}
      - {roleAssignmentId: s6, principalType: User, principalObjectId: boss, roleDefinitionName: Clerk, scope: /tenants/t1/environments/e1/businessUnits/b0}
...
`

func record(t testing.TB, who, permission string, r *ask.Record) *ask.Request {
	t.Helper()
	return &ask.Request{Adapter: "test", Permission: permission, Scope: "/tenants/t1/environments/e1", Subject: user(t, who), Record: r}
}

func TestARefusedRecordSaysWhatEachRoleReaches(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(sales)
	r := record(t, "ada", "Dataverse.Order.Read", &ask.Record{Owner: principal(authz.User, "boss"), BusinessUnit: "south"})
	e := w.explain(r)
	if e.Answer.Reason != authz.Expired || len(e.Pairs) != 1 || e.Pairs[0].Record == nil {
		t.Fatalf("%s, pairs %+v", e.Answer.Reason, e.Pairs)
	}
	want := []string{
		"s5 EXPIRED ALLOW", "s2 REACH_TOO_SMALL ALLOW", "s1 OTHER_BUSINESS_UNIT ALLOW", "s4 NOT_COVERED ALLOW", "s3 OTHER_SCOPE ALLOW",
	}
	if diff := cmp.Diff(want, said(&e.Pairs[0])); diff != "" {
		t.Errorf("assignments (-want +got):\n%s", diff)
	}
	got := e.Pairs[0].Record
	if got.Denial != authz.LacksReach || got.TableName != "Order" || got.BusinessUnit != "south" || got.Owner.ID != "boss" {
		t.Errorf("record %+v", got)
	}
	team := e.Pairs[0].Assignments[1]
	if team.Reach != authz.UserReach || team.BusinessUnit != "south" || team.Principal != principal(authz.Team, "crew") {
		t.Errorf("the team's role: %+v", team)
	}
	crew := explain.Membership{Principal: principal(authz.Team, "crew"), DisplayName: "The crew"}
	if diff := cmp.Diff([]explain.Membership{crew}, e.Subject.Memberships); diff != "" {
		t.Errorf("memberships (-want +got):\n%s", diff)
	}
	// Clerk in the record's own business unit gives 2; Reads all gives 4.
	mend := []explain.Proposal{{
		Principal: principal(authz.User, "ada"), RoleID: "clerk", RoleName: "Clerk", Scope: "/tenants/t1/environments/e1/businessUnits/south", Size: 2,
	}}
	if diff := cmp.Diff(mend, e.Mend.Assignments); diff != "" {
		t.Errorf("mend (-want +got):\n%s", diff)
	}
	w.appliedInStore(r, e.Mend)
	if !slices.ContainsFunc(e.Notes, func(note string) bool { return strings.Contains(note, `"Clerk" cannot open an app`) }) {
		t.Errorf("notes %q", e.Notes)
	}
}

func TestAReachThatEndsAboveTheRecordIsTooSmall(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(sales)
	e := w.explain(record(t, "boss", "Dataverse.Order.Read", &ask.Record{Owner: principal(authz.User, "ada"), BusinessUnit: "south"}))
	if diff := cmp.Diff([]string{"s6 REACH_TOO_SMALL ALLOW"}, said(&e.Pairs[0])); diff != "" {
		t.Errorf("assignments (-want +got):\n%s", diff)
	}
}

func TestAWholeTableNeedsOrganization(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(sales)
	r := record(t, "boss", "Dataverse.Order.Read", nil)
	e := w.explain(r)
	if got := e.Pairs[0].Assignments[0]; got.ID != "s6" || got.Verdict != explain.ReachTooSmall || !strings.Contains(got.Detail, "Organization") {
		t.Errorf("assignment %+v", got)
	}
	mend := []explain.Proposal{{
		Principal: principal(authz.User, "boss"), RoleID: "reads-all", RoleName: "Reads all", Scope: "/tenants/t1/environments/e1", Size: 4,
	}}
	if diff := cmp.Diff(mend, e.Mend.Assignments); diff != "" {
		t.Errorf("mend (-want +got):\n%s", diff)
	}
	w.appliedInStore(r, e.Mend)
}

// All columns of a whole table: the one role that opens secured columns is far more than what
// is lacking, so what is less is said beside it.
func TestARoleForTheSakeOfAColumnIsNotTheOnlyWay(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(sales)
	r := record(t, "boss", "Dataverse.Order.Read", nil)
	r.AllColumns = true
	e := w.explain(r)
	if len(e.Mend.Assignments) != 1 || e.Mend.Assignments[0].RoleName != "System Administrator" {
		t.Errorf("mend %+v", e.Mend)
	}
	want := []string{`this opens every secured column: "Reads all" at /tenants/t1/environments/e1 and a column profile for those that are asked for would be less`}
	if diff := cmp.Diff(want, e.Mend.Advice); diff != "" {
		t.Errorf("advice (-want +got):\n%s", diff)
	}
	w.appliedInStore(r, e.Mend)
}

func TestAnAllowedRecordNamesTheRoleThatReachesIt(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(sales)
	e := w.explain(record(t, "ada", "Dataverse.Order.Read", &ask.Record{Owner: principal(authz.User, "boss"), BusinessUnit: "north"}))
	if !e.Answer.Allowed() || e.Mend != nil || e.Pairs[0].Record.Step != authz.ReachAccess {
		t.Errorf("%s, mend %+v, record %+v", e.Answer.Reason, e.Mend, e.Pairs[0].Record)
	}
	if got := said(&e.Pairs[0])[0]; got != "s1 DECIDED ALLOW" {
		t.Errorf("first assignment %q", got)
	}
}

func TestWhatNoRoleOpensSaysWhatDoes(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(sales)
	column := record(t, "ada", "Dataverse.Order.Read", &ask.Record{Owner: principal(authz.User, "ada"), BusinessUnit: "north"})
	column.Columns = []string{"margin"}
	bare := record(t, "ada", "Dataverse.Order.Read", nil)
	bare.Scope = "/tenants/t1/environments/bare"
	for _, c := range []struct {
		name   string
		r      *ask.Request
		advice string
	}{
		{"a secured column", column, "column profile"},
		{"somebody who was not added", record(t, "stranger", "Dataverse.Order.Read", nil), "add User stranger to the environment e1"},
		{"a table that is not declared", record(t, "ada", "Dataverse.Nothing.Read", nil), "table"},
		{"no database", bare, "table"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := w.explain(c.r)
			if e.Answer.Allowed() || len(e.Mend.Assignments) != 0 || len(e.Mend.Advice) == 0 || !strings.Contains(strings.Join(e.Mend.Advice, "; "), c.advice) {
				t.Errorf("%s, mend %+v; want advice with %q", e.Answer.Reason, e.Mend, c.advice)
			}
		})
	}
}
