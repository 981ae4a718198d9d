package admin_test

import (
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/admin"
)

// A System Administrator who is disabled in the environment, itself or in a team, assigns
// nothing there until somebody else enables it; what it holds otherwise stays.
func TestWhoIsDisabledInAnEnvironmentDoesNotAdministerItByItsSecurityRole(t *testing.T) {
	const scene = `
  - id: t1
    environments: [{id: d1, dataverse: true}, {id: d2, dataverse: true}]
    users:
      - {environment: d1, principalType: User, principalObjectId: off, disabled: DISABLED}
      - {environment: d1, principalType: User, principalObjectId: member, disabled: DISABLED}
      - {environment: d1, principalType: User, principalObjectId: rbac, disabled: DISABLED}
      - {environment: d1, principalType: User, principalObjectId: ann}
      - {environment: d2, principalType: User, principalObjectId: off}
      - {environment: d2, principalType: User, principalObjectId: ann}
    teams: [{id: crew, environment: d1, displayName: Crew, teamType: OwnerTeam, members: [{principalType: User, principalObjectId: member}]}]
    roleAssignments:
      - {principalType: User, principalObjectId: root, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {principalType: User, principalObjectId: off, roleDefinitionName: System Administrator, scope: /tenants/t1/environments/d1}
      - {principalType: User, principalObjectId: off, roleDefinitionName: System Administrator, scope: /tenants/t1/environments/d2}
      - {principalType: Team, principalObjectId: crew, roleDefinitionName: System Administrator, scope: /tenants/t1/environments/d1}
      - {principalType: User, principalObjectId: rbac, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1/environments/d1}
`
	const d2 = "/tenants/t1/environments/d2"
	for disabled, refused := range map[string]error{"true": admin.ErrForbidden, "false": nil} {
		for _, c := range []struct {
			by, scope string
			want      error
		}{
			{"off", envD1, refused}, {"member", envD1, refused}, {"off", d2, nil}, {"rbac", envD1, nil},
		} {
			w := newWorld(t, strings.ReplaceAll(scene, "DISABLED", disabled))
			_, err := w.assigns(c.by, user("ann"), "Environment Maker", c.scope)
			want(t, c.by+" at "+c.scope+", disabled "+disabled, err, c.want)
		}
	}
}
