package gate_test

import (
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A route that is granted to directory roles asks for the token's own: a group of the
// same identifier, or one that the role is assigned to, is none.
func TestOnlyTheTokensOwnDirectoryRolesOpenARoute(t *testing.T) {
	t.Parallel()
	const template = "11648597-926c-4cf3-9c36-bcebb0ba8dcc" // Power Platform Administrator
	f := newFixture(t, strings.Replace(policy, "    roleAssignments:\n", `    roleAssignments:
      - {principalType: Group, principalObjectId: `+template+`, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {principalType: DirectoryRole, principalObjectId: `+template+`, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
`, 1), nil)
	group := func(s *authz.SubjectSpec) { s.Groups = []string{template} }
	for _, test := range []struct {
		name    string
		subject *authz.Subject
		reason  authz.Reason
	}{
		{"the directory role", user(t, "ada", directoryRole(template)), authz.Granted},
		{"a group of the same identifier", user(t, "ada", group), authz.NoAssignment},
		{"a user of the same identifier", user(t, template), authz.NoAssignment},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a ask.Answer
			f.gate.Decide(t.Context(), request("POST", "/usermanagement/environments/e1/user/applyAdminRole", test.subject), &a)
			if a.Reason != test.reason {
				t.Errorf("%v (%s), want %v", a.Reason, a.Detail, test.reason)
			}
		})
	}
}
