package snapshot_test

import (
	"path/filepath"
	"testing"

	"github.com/pathgrant/pathgrant/internal/snapshot"
)

// What the golden directory of layout 2 holds, as it is exported.
const goldenBundle2 = `apiVersion: pathgrant/v1
tenants:
  - id: 7f1d0000-0000-4000-8000-00000000000a
    directoryComplete: true
    environmentGroups:
      - {id: g1, environments: [e1, e2]}
      - {id: g2, environments: []}
    environments:
      - {id: e2, dataverse: true}
      - {id: e3}
    businessUnits:
      - {id: b1, environment: e2}
      - {id: b2, environment: e2, parent: b1}
    principals:
      - {principalType: User, principalObjectId: ada, displayName: Ada, mail: ada@example.com}
      - {principalType: User, principalObjectId: eve, disabled: true}
      - {principalType: ApplicationUser, principalObjectId: 0b070000-0000-4000-8000-00000000000b, displayName: "Nightly sync", owners: [{principalType: User, principalObjectId: ada}, {principalType: Group, principalObjectId: makers}]}
    groups:
      - {id: makers, displayName: Makers, members: [{principalType: User, principalObjectId: ada}, {principalType: ApplicationUser, principalObjectId: 0b070000-0000-4000-8000-00000000000b}], owners: [{principalType: User, principalObjectId: root}]}
      - {id: staff, members: [{principalType: User, principalObjectId: eve}, {principalType: Group, principalObjectId: makers}]}
    roleDefinitions:
      - {roleDefinitionId: aaaaaaaa-0000-4000-8000-00000000000f, roleDefinitionName: "Flow Operator", description: "Runs flows.", permissions: ["PowerAutomate.Flows.*"], permissionsExceptions: [PowerAutomate.Flows.Delete], assignableScopes: ["/tenants/{0}"], restrictedScopes: ["/tenants/{0}/environments/{1}"]}
    roleAssignments:
      - {roleAssignmentId: a1, principalType: User, principalObjectId: root, roleDefinitionId: 0cb07c69-1631-4725-ab35-e59e001c51ea, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a, createdOn: 2026-01-02T03:04:05Z, createdByPrincipalType: User, createdByPrincipalObjectId: boss}
      - {roleAssignmentId: a2, principalType: Group, principalObjectId: staff, roleDefinitionId: c886ad2e-27f7-4874-8381-5849b8d8a090, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a}
      - {roleAssignmentId: a4, principalType: Group, principalObjectId: makers, roleDefinitionId: aaaaaaaa-0000-4000-8000-00000000000f, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environmentGroups/g1, effect: FORBID}
      - {roleAssignmentId: 0a050000-0000-4000-8000-000000000005, principalType: ApplicationUser, principalObjectId: 0b070000-0000-4000-8000-00000000000b, roleDefinitionId: ff954d61-a89a-4fbe-ace9-01c367b89f87, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e1, expiresOn: 2030-01-01T00:00:00Z}
      - {roleAssignmentId: a3, principalType: Group, principalObjectId: makers, roleDefinitionId: c886ad2e-27f7-4874-8381-5849b8d8a090, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e2, effect: DENY}
      - {roleAssignmentId: a6, principalType: DirectoryRole, principalObjectId: 11648597-926c-4cf3-9c36-bcebb0ba8dcc, roleDefinitionId: c886ad2e-27f7-4874-8381-5849b8d8a090, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e3}
      - {roleAssignmentId: a7, principalType: User, principalObjectId: ada, roleDefinitionId: ff954d61-a89a-4fbe-ace9-01c367b89f87, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e3/powerapps/app7}
  - id: t2
...
`

// Layout 2 had nothing of what environments hold. A directory of it is written anew when it
// is opened, as the same revision, with all that it held, its change log and notes included.
func TestTheGoldenDirectoryOfLayout2(t *testing.T) {
	dir := copyDir(t, filepath.Join("testdata", "schema-2"))
	o, _ := goldenOptions(t, dir)
	for _, opened := range []string{"migrated", "opened again"} {
		s, err := snapshot.Open(t.Context(), o)
		if err != nil || s.Current() == nil || s.Current().Revision().Number != 5 {
			t.Fatalf("%s: %v", opened, err)
		}
		holdsGolden(t, opened, s, o, goldenBundle2)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "quarantine", "*")); err != nil || len(left) > 0 {
		t.Errorf("%q was set aside, %v", left, err)
	}
}
