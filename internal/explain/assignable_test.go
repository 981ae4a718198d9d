package explain_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const company = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environmentGroups: [{id: g1, environments: [e1, bare]}]
    environments: [{id: e1, dataverse: true}, {id: bare}]
    businessUnits: [{id: b0, environment: e1}, {id: b1, environment: e1, parent: b0}]
    users:
      - {environment: e1, principalType: User, principalObjectId: added, businessUnit: b1}
      - {environment: e1, principalType: User, principalObjectId: off, businessUnit: b1, disabled: true}
      - {environment: e1, principalType: ApplicationUser, principalObjectId: robot, businessUnit: b0}
    roleDefinitions:
      - {roleDefinitionId: clerk, roleDefinitionName: Clerk, environment: e1, privileges: ["Dataverse.Account.Read@BusinessUnit"]}
    roleAssignments:
      - {roleAssignmentId: root, principalType: User, principalObjectId: root, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {roleAssignmentId: deny, principalType: User, principalObjectId: added, roleDefinitionName: Power Platform Reader, scope: /tenants/t1, effect: DENY}
      - {roleAssignmentId: over, principalType: User, principalObjectId: stranger, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/bare, expiresOn: "2020-01-01T00:00:00Z"}
...
`

// With the roles that come with the product: whatever is proposed, administration lets an
// administrator assign, and then it is allowed. Its clock is the machine's.
func TestWhatIsProposedCanBeAssigned(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(company)
	before, err := w.store.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a, err := admin.New(admin.Options{
		Store: admin.FromSnapshot(w.store), Vocabulary: w.catalogues.Vocabulary(), ShippedRoles: roles.All(), FoldCase: true, Writable: true,
		Now: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	root := admin.Caller{Kind: admin.Token, Subject: user(t, "root")}
	d := dice{rand.New(rand.NewPCG(1, 2))}
	permissions := w.catalogues.Vocabulary().Names()
	mended, records, companions := 0, 0, 0
	for range 250 {
		p := principal(authz.User, d.one("added", "added", "stranger", "off"))
		if d.in(4) {
			p = principal(authz.ApplicationUser, "robot")
		}
		subject, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: p, FoldCase: true})
		if err != nil {
			t.Fatal(err)
		}
		r := &ask.Request{Adapter: "test", Subject: subject, Permission: string(permissions[d.IntN(len(permissions))])}
		r.Scope = d.one("/tenants/t1", "/tenants/t1/environmentGroups/g1", "/tenants/t1/environments/e1", "/tenants/t1/environments/bare", "/tenants/t1/environments/e1/powerapps/a")
		if d.in(3) {
			r.Permission, r.Scope = d.one("Dataverse.Account.Read", "Dataverse.Account.Delete", "Dataverse.Process.Create", "Dataverse.User.Append"), "/tenants/t1/environments/e1"
			if d.in(2) {
				r.Record = &ask.Record{BusinessUnit: d.one("b0", "b1")}
			}
		}
		e := w.explain(r)
		if e.Answer.Allowed() || len(e.Mend.Assignments) == 0 {
			continue
		}
		mended++
		if e.Answer.Record != nil {
			records++
		}
		for _, proposal := range e.Mend.Assignments {
			if proposal.RoleName == "Environment Maker" {
				companions++
			}
			_, err := a.CreateRoleAssignment(t.Context(), root, admin.CreateRoleAssignmentRequest{
				Principal: proposal.Principal, Role: proposal.RoleID, Scope: string(proposal.Scope),
			})
			if err != nil {
				t.Errorf("%s at %s for %s: %+v: %v", r.Permission, r.Scope, p, proposal, err)
			}
		}
		var answer ask.Answer
		if w.gate.Decide(t.Context(), r, &answer); !answer.Allowed() {
			t.Errorf("%s at %s for %s, once %+v is assigned: %s %s", r.Permission, r.Scope, p, e.Mend.Assignments, answer.Reason, answer.Detail)
		}
		w.replace(before)
	}
	t.Logf("%d mends were assigned, %d of them for records, %d with a companion", mended, records, companions)
	if mended < 100 || records < 20 {
		t.Errorf("%d mends were assigned, %d of them for records; want 100 and 20 at least", mended, records)
	}
}
