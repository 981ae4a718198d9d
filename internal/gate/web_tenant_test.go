package gate_test

import (
	"testing"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Whoever administers a tenant can list any environment in it. Where a route says whose the
// organization behind it is, that does not let them in at another's.
func TestARouteThatSaysItsTenantIsClosedToOtherTenants(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "", nil)
	data := salesWorld()
	other := &data.Tenants[1]
	other.Environments = append(other.Environments, snapshot.Environment{ID: "e1", Dataverse: true})
	other.Users = []snapshot.EnvironmentUser{{Environment: "e1", Principal: person("mallory")}}
	other.RoleAssignments = []snapshot.RoleAssignment{{
		ID: "m", Principal: person("mallory"), RoleDefinitionID: systemAdministrator, Scope: "/tenants/t2/environments/e1", Effect: authz.AssignAllow,
	}}
	if _, err := f.store.Replace(t.Context(), data, snapshot.Change{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	mallory := user(t, "mallory", func(s *authz.SubjectSpec) { s.Tenant = "t2" })
	for _, c := range []struct {
		who    *authz.Subject
		tenant string
		want   authz.Reason
	}{
		{user(t, "admin"), "t1", authz.Granted},
		{user(t, "admin"), "", authz.Granted},
		{user(t, "admin"), "t2", authz.Unmapped},
		{user(t, "admin"), "../t1", authz.BadRequest},
		{mallory, "t1", authz.Unmapped},
		{mallory, "t2", authz.Granted},
		{mallory, "", authz.Granted}, // at an environment of its own, which the answer names
	} {
		r := web("GET", "/api/data/v9.2/contacts?$select=fullname", "", c.who, nil)
		r.ContextExtension = func(name string) string { return map[string]string{"environment": "e1", "tenant": c.tenant}[name] }
		var a ask.Answer
		if f.gate.Decide(t.Context(), r, &a); a.Reason != c.want {
			t.Errorf("%v at a route of the tenant %q: %v (%s), want %v", c.who.Principal(), c.tenant, a.Reason, a.Detail, c.want)
		}
		if c.want == authz.Granted && a.Scopes[0] != authz.Scope("/tenants/"+c.who.Tenant()+"/environments/e1") {
			t.Errorf("allowed at %v", a.Scopes)
		}
	}
}
