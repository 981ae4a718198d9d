package roles_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

const (
	administratorID = "95e94555-018c-447b-8691-bdac8e12211e"
	readerID        = "c886ad2e-27f7-4874-8381-5849b8d8a090"
	contributorID   = "ff954d61-a89a-4fbe-ace9-01c367b89f87"
	ownerID         = "0cb07c69-1631-4725-ab35-e59e001c51ea"
)

// withoutDescription is the definition without the text that is ours.
func withoutDescription(def authz.RoleDefinition) authz.RoleDefinition {
	def.Description = ""
	return def
}

func TestShippedDefinitionsAreThePublishedOnes(t *testing.T) {
	atTenant := []string{"/tenants/{0}"}
	none := []string{}
	want := []authz.RoleDefinition{
		{
			ID: administratorID, Name: "Power Platform Role Based Access Control Administrator",
			Permissions:           []string{"*.Read", "Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete"},
			PermissionsExceptions: none, AssignableScopes: atTenant, RestrictedScopes: none,
		},
		{
			ID: readerID, Name: "Power Platform Reader",
			Permissions:           []string{"*.Read"},
			PermissionsExceptions: none, AssignableScopes: atTenant, RestrictedScopes: none,
		},
		{
			ID: contributorID, Name: "Power Platform Contributor",
			Permissions:           []string{"*"},
			PermissionsExceptions: []string{"Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete"},
			AssignableScopes:      atTenant, RestrictedScopes: none,
		},
		{
			ID: ownerID, Name: "Power Platform Owner",
			Permissions:           []string{"*"},
			PermissionsExceptions: none, AssignableScopes: atTenant, RestrictedScopes: none,
		},
		{
			ID: "53879a32-5380-45b3-982f-bad3be5bffa7", Name: "PowerApp Editor",
			Permissions:           []string{"PowerApps.ViewApp.Read", "PowerApps.EditApp.Write", "PowerApps.Share.*"},
			PermissionsExceptions: none,
			AssignableScopes:      []string{"/tenants/{0}/environments/{1}/powerapps/{2}"}, RestrictedScopes: none,
		},
		{
			ID: "363ee124-fdb2-406f-9272-ebf239730ed2", Name: "Workflows Agent Data Subject Rights Admininstrator",
			Permissions:           []string{"WorkflowsAgent.TenantFlows.Delete", "WorkflowsAgent.TenantFlows.Read"},
			PermissionsExceptions: none, AssignableScopes: atTenant,
			RestrictedScopes: []string{"/tenants/{0}/environments/{1}", "/tenants/{0}/environmentGroups/{1}"},
		},
	}
	all := roles.Shipped()
	if len(all) != 32 {
		t.Errorf("there are %d shipped roles, want 32", len(all))
	}
	for _, w := range want {
		got, ok := roles.Find(all, w.ID)
		if !ok {
			t.Errorf("no shipped role has the id %s", w.ID)
			continue
		}
		if diff := cmp.Diff(w, withoutDescription(got)); diff != "" {
			t.Errorf("role %s (-want +got):\n%s", w.ID, diff)
		}
	}
	for _, def := range all {
		if def.Description == "" || len(def.Permissions) == 0 || len(def.AssignableScopes) == 0 {
			t.Errorf("role %q lacks a description, permissions or assignable scopes: %+v", def.Name, def)
		}
	}
}

func TestARoleIsFoundByIDAndByAnySpellingOfItsName(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"c886ad2e-27f7-4874-8381-5849b8d8a090", readerID},
		{"C886AD2E-27F7-4874-8381-5849B8D8A090", readerID},
		{"Power Platform Reader", readerID},
		{"Power Platform reader", readerID},
		{"power-platform-reader", readerID},
		{"  POWER  platform READER ", readerID},
		{"Power Platform role-based access control administrator", administratorID},
		{"Power Platform contributor", contributorID},
		{"PowerPlatform Reader", ""},
		{"Reader", ""},
		{"", ""},
		{" - ", ""},
	} {
		got, ok := roles.Find(roles.Shipped(), tc.text)
		if ok != (tc.want != "") || got.ID != tc.want {
			t.Errorf("Find(%q) = %q, %v; want %q", tc.text, got.ID, ok, tc.want)
		}
	}
}

func TestFindPrefersAnIdentifierToAName(t *testing.T) {
	defs := []authz.RoleDefinition{{ID: "a", Name: "b"}, {ID: "b", Name: "a"}}
	if got, _ := roles.Find(defs, "b"); got.ID != "b" {
		t.Errorf("Find(b) = %q, want the one with the identifier b", got.ID)
	}
}

func TestWhatACallerChangesStaysItsOwn(t *testing.T) {
	first := roles.Shipped()
	for i := range first {
		first[i].ID, first[i].Name = "x", "x"
		for _, list := range [][]string{first[i].Permissions, first[i].PermissionsExceptions, first[i].AssignableScopes, first[i].RestrictedScopes} {
			for j := range list {
				list[j] = "changed"
			}
		}
	}
	for _, def := range roles.Shipped() {
		for _, list := range [][]string{{def.ID, def.Name}, def.Permissions, def.PermissionsExceptions, def.AssignableScopes, def.RestrictedScopes} {
			for _, text := range list {
				if text == "changed" || text == "x" {
					t.Fatalf("a caller changed the shipped role %+v", def)
				}
			}
		}
	}
}

func TestContributorCannotAssignRolesAndTheAdministratorCan(t *testing.T) {
	vocabulary, err := authz.NewVocabulary([]authz.Permission{
		"Authorization.RoleAssignments.Create", "Authorization.RoleAssignments.Delete", "Authorization.RoleAssignments.Read",
		"Authorization.RoleAssignments.ReadWrite", "Authorization.RoleAssignments.Update", "Authorization.RoleAssignments.Write",
		"PowerApps.Apps.Create", "PowerApps.Apps.Read",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		role string
		want []authz.Permission
	}{
		{readerID, []authz.Permission{"Authorization.RoleAssignments.Read", "PowerApps.Apps.Read"}},
		{contributorID, []authz.Permission{"Authorization.RoleAssignments.Read", "PowerApps.Apps.Create", "PowerApps.Apps.Read"}},
		{administratorID, []authz.Permission{
			"Authorization.RoleAssignments.Create", "Authorization.RoleAssignments.Delete", "Authorization.RoleAssignments.Read",
			"Authorization.RoleAssignments.Update", "Authorization.RoleAssignments.Write", "PowerApps.Apps.Read",
		}},
	} {
		def, _ := roles.Find(roles.Shipped(), tc.role)
		role, err := vocabulary.Compile(def)
		if err != nil {
			t.Fatal(err)
		}
		var got []authz.Permission
		for i := range vocabulary.Len() {
			if id := authz.PermissionID(i); role.Grants(id) {
				got = append(got, vocabulary.Name(id))
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s grants (-want +got):\n%s", def.Name, diff)
		}
	}
}

func TestEveryShippedRoleIsWellFormed(t *testing.T) {
	vocabulary, err := authz.NewVocabulary([]authz.Permission{"PowerApps.Apps.Read"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, def := range roles.Shipped() {
		if _, err := vocabulary.CompileShipped(def); err != nil {
			t.Errorf("role %q: %v", def.Name, err)
		}
	}
}

// Every exact name in a shipped role is a permission of the shipped catalogue, and every
// role grants something there.
func TestTheShippedCatalogueKnowsWhatTheShippedRolesName(t *testing.T) {
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	for _, def := range roles.Shipped() {
		role, err := catalogues.Vocabulary().Compile(def)
		if err != nil {
			t.Error(err)
			continue
		}
		if role.Size() == 0 {
			t.Errorf("role %q grants nothing", def.Name)
		}
	}
}
