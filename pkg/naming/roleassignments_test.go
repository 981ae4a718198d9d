package naming_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// Contributor is everything but RoleAssignments.Write and .Delete, while the naming table
// alone would ask for RoleAssignments.Create: whoever may assign roles must be decided by
// the shipped catalogue's routes, at every level and in any spelling.
func TestOnlyTheAdministratorOfAccessAssignsRoles(t *testing.T) {
	c := shipped(t)
	contributor := compile(t, c, []string{"*"}, []string{"Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete"})
	administrator := compile(t, c, []string{"*.Read", "Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete"}, nil)
	owner := compile(t, c, []string{"*"}, nil)
	reader := compile(t, c, []string{"*.Read"}, nil)

	levels := []struct{ path, scope string }{
		{"/authorization/roleAssignments", "/tenants/{tenant}"},
		{"/authorization/environmentGroups/6213389e-48a0-4e89-9519-a6b61b52fe45/roleAssignments", "/tenants/{tenant}/environmentGroups/6213389e-48a0-4e89-9519-a6b61b52fe45"},
		{"/authorization/environments/b5e65502-f2e4-ecc7-8e66-df670e46b100/roleAssignments", "/tenants/{tenant}/environments/b5e65502-f2e4-ecc7-8e66-df670e46b100"},
	}
	spellings := []func(string) string{
		func(s string) string { return s },
		strings.ToLower,
		strings.ToUpper,
		strings.ToTitle,
		func(s string) string { return strings.ReplaceAll(s, "roleAssignments", "RoleAssignments") },
		func(s string) string { return strings.ReplaceAll(s, "roleAssignments", "rOLEaSSIGNMENTS") },
		func(s string) string { return strings.ReplaceAll(s, "A", "%41") },
		func(s string) string { return strings.ReplaceAll(s, "a", "%61") },
		func(s string) string { return s + "/" },
		func(s string) string { return s + "?api-version=2024-10-01" },
	}
	for _, level := range levels {
		for _, tail := range []string{"", "/11111111-2222-4333-8444-555555555555", "/roleAssignments", "/write"} {
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
				want := "Authorization.RoleAssignments.Write"
				if method == "DELETE" {
					want = "Authorization.RoleAssignments.Delete"
				}
				for _, spell := range spellings {
					path := spell(level.path + tail)
					var r naming.Resolution
					c.Default().Resolve(naming.Request{Method: method, Path: path, Host: "api.powerplatform.com"}, &r)
					if got := inWords(c, &r); got != (mapped{Permissions: want, Scopes: level.scope, DecidedBy: naming.ByRoute}) {
						t.Errorf("%s %s: %+v", method, path, got)
						continue
					}
					for _, who := range []struct {
						name string
						role *authz.Role
						may  bool
					}{{"contributor", contributor, false}, {"administrator", administrator, true}, {"owner", owner, true}, {"reader", reader, false}} {
						if may := holdsAll(who.role, &r); may != who.may {
							t.Errorf("%s %s: the %s may: %t", method, path, who.name, may)
						}
					}
				}
			}
		}
	}
}

// Whatever else a path below the namespace names, the contributor changes nothing there.
func TestAContributorChangesNothingInAuthorization(t *testing.T) {
	c := shipped(t)
	contributor := compile(t, c, []string{"*"}, []string{"Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete"})
	words := []string{
		"roleAssignments", "RoleAssignments", "roleDefinitions", "environments", "environmentGroups", "tenants", "e1", "g1", "users", "write", "create", "authorization",
		"listRoleAssignments", "checkPrincipalPermissionForScope",
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var r naming.Resolution
	refused := 0
	for range 20_000 {
		path := "/Authorization"
		for range 1 + rng.IntN(7) {
			path += "/" + words[rng.IntN(len(words))]
		}
		method := []string{"POST", "PUT", "PATCH", "DELETE"}[rng.IntN(4)]
		c.Default().Resolve(naming.Request{Method: method, Path: path}, &r)
		if r.Reason != authz.ReasonUnspecified {
			refused++
			continue
		}
		if !holdsAll(contributor, &r) {
			continue
		}
		// Two questions travel as POST.
		if got := inWords(c, &r); method != "POST" || got.Permissions != "Authorization.RoleAssignments.Read" {
			t.Fatalf("%s %s: the contributor holds %+v", method, path, got)
		}
	}
	if refused == 20_000 {
		t.Error("nothing was mapped")
	}
}

func compile(t *testing.T, c *naming.Catalogues, permissions, exceptions []string) *authz.Role {
	t.Helper()
	role, err := c.Vocabulary().Compile(authz.RoleDefinition{Name: "test", Permissions: permissions, PermissionsExceptions: exceptions})
	if err != nil {
		t.Fatal(err)
	}
	return role
}

func holdsAll(role *authz.Role, r *naming.Resolution) bool {
	for _, id := range r.Permissions {
		if !role.Grants(id) {
			return false
		}
	}
	return len(r.Permissions) > 0
}
