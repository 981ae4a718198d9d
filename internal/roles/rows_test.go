package roles_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// ---- Classes of tables -----------------------------------------------------------------

// checkClass checks that exactly the tables listed here are of the class.
func checkClass(t *testing.T, class authz.TableClass, want []string) {
	t.Helper()
	db := newDatabase(t)
	var got []string
	for i := range db.Len() {
		if table, _ := db.Table(authz.TableID(i + 1)); table.Classes&class != 0 {
			got = append(got, table.Name)
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("class %v (-want +got):\n%s", class, diff)
	}
}

func TestCoreTables(t *testing.T)   { checkClass(t, authz.CoreTables, classTables["core"]) }
func TestSystemTables(t *testing.T) { checkClass(t, authz.SystemTables, classTables["system"]) }
func TestCustomizationTables(t *testing.T) {
	checkClass(t, authz.CustomizationTables, classTables["customization"])
}
func TestSiteTables(t *testing.T) { checkClass(t, authz.SiteTables, classTables["site"]) }
func TestBusinessManagementTables(t *testing.T) {
	checkClass(t, authz.BusinessManagementTables, classTables["businessManagement"])
}

func TestCustomTablesAreOfNoOtherClass(t *testing.T) {
	checkClass(t, authz.CustomTables, []string{"new_Bank", "new_Rate"})
	if _, err := roles.WithStandardTables([]authz.Table{{Name: "ACCOUNT", Classes: authz.CustomTables}}); err == nil {
		t.Error("Account was made a custom table")
	}
	if _, err := authz.NewDatabase(authz.DatabaseSpec{Tables: []authz.Table{{Name: "x", Ownership: authz.UserOwned, Classes: authz.CustomTables | authz.SiteTables}}}); err == nil {
		t.Error("a custom table of another class was accepted")
	}
}

func TestOrgSharedTablesAreThoseWithARecordSharedWithEverybody(t *testing.T) {
	checkClass(t, authz.OrgSharedTables, []string{"Contact", "new_Bank"})
}

func TestAnyStandsForEveryTable(t *testing.T) {
	db := newDatabase(t)
	role, err := db.Compile(authz.RoleDefinition{Name: "any", Privileges: []string{"Dataverse.{any}.Read@Organization"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range db.Len() {
		if got := reachLetters(role, authz.TableID(i+1)); got != "-O------" {
			t.Errorf("table %d: %s", i+1, got)
		}
	}
}

func TestOrganizationOwnedTables(t *testing.T) {
	var got []string
	for _, table := range roles.StandardTables() {
		if table.Ownership == authz.OrganizationOwned {
			got = append(got, table.Name)
		}
	}
	// ColumnSecurityProfile is the platform's own and belongs to nobody in particular.
	want := []string{
		"AppModule", "Column", "ColumnSecurityProfile", "Entity", "OptionSet", "Organization", "PluginAssembly", "Publisher",
		"Relationship", "SavedView", "SdkStep", "Solution", "SystemForm", "WebResource",
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestADeclarationAddsToAStandardTable(t *testing.T) {
	tables, err := roles.WithStandardTables([]authz.Table{
		{Name: "email", Classes: authz.SiteTables, EntitySet: "mails", SecuredColumns: []string{"body"}, Ownership: authz.UserOwned},
	})
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(tables, func(table authz.Table) bool { return table.Name == "Email" })
	want := authz.Table{Name: "Email", Classes: authz.CoreTables | authz.SiteTables, Ownership: authz.UserOwned, EntitySet: "mails", SecuredColumns: []string{"body"}}
	if diff := cmp.Diff(want, tables[at]); diff != "" || len(tables) != 41 {
		t.Errorf("%d tables (-want +got):\n%s", len(tables), diff)
	}
	if _, err := roles.WithStandardTables([]authz.Table{{Name: "Entity", Ownership: authz.UserOwned}}); err == nil {
		t.Error("Entity was given another ownership")
	}
	if again := roles.StandardTables()[at]; again.EntitySet != "emails" || again.SecuredColumns != nil {
		t.Errorf("the shipped table became %+v", again)
	}
}

// ---- Tenant administration -------------------------------------------------------------

func TestPowerPlatformAdministrator(t *testing.T) {
	checkRow(t, "Power Platform Administrator", row{
		Category: "Tenant Administration", ID: "11648597-926c-4cf3-9c36-bcebb0ba8dcc", Permissions: []string{"*"}, At: atTenant, Elevates: true,
	})
	checkReaches(t, "Power Platform Administrator", inDatabase{})
	checkPlatform(t, "Power Platform Administrator", "Authorization.RoleAssignments.Write Authorization.RoleAssignments.Delete Governance.DlpPolicies.Create Licensing.Allocations.ReadWrite", "")
}

func TestDynamicsAdministrator(t *testing.T) {
	checkRow(t, "Dynamics 365 Administrator", row{
		Category: "Tenant Administration", ID: "44367163-eba1-44c3-98af-f5787879f96a", Permissions: []string{"*.Read"}, At: atTenant, Elevates: true,
	})
	checkRow(t, "Dynamics 365 Administrator (environment)", row{
		Category: "Tenant Administration", At: atEnvironment,
		Permissions: []string{"EnvironmentManagement.*", "AppManagement.*", "UserManagement.*", "PowerApps.*", "PowerAutomate.*", "Connectivity.*"},
	})
	for _, name := range []string{"Dynamics 365 Administrator", "Dynamics 365 Administrator (environment)"} {
		checkReaches(t, name, inDatabase{})
		checkPlatform(t, name, "", "Authorization.RoleAssignments.Write Authorization.RoleAssignments.Delete Authorization.RoleAssignments.Create")
	}
}

func TestPowerAppsAdministrator(t *testing.T) {
	checkRow(t, "Power Apps Administrator", row{
		Category: "Tenant Administration", At: atTenant,
		Permissions: []string{"PowerApps.*", "EnvironmentManagement.Environments.Read", "EnvironmentManagement.Settings.Read", "Connectivity.*.Read"},
	})
	checkReaches(t, "Power Apps Administrator", inDatabase{})
	checkPlatform(t, "Power Apps Administrator", "PowerApps.Apps.Delete Connectivity.Connections.Read",
		"Connectivity.Connections.Write EnvironmentManagement.Settings.Update PowerAutomate.Flows.Read UserManagement.Users.Apply")
}

func TestGlobalAdministrator(t *testing.T) {
	checkRow(t, "Global Administrator", row{
		Category: "Tenant Administration", ID: "62e90394-69f5-4237-9190-012177145e10", Permissions: []string{"*"}, At: atTenant, Elevates: true,
	})
	checkReaches(t, "Global Administrator", inDatabase{})
}

func TestGlobalReaderIsNotSupported(t *testing.T) {
	checkRow(t, "Global Reader", row{Category: "Tenant Administration", ID: "f2ef992c-3afb-46b9-b7cf-a126ee74c451"})
	checkReaches(t, "Global Reader", inDatabase{})
	checkPlatform(t, "Global Reader", "", "PowerApps.Apps.Read EnvironmentManagement.Environments.Read")
}

func TestExactlyThreeRolesElevateThemselves(t *testing.T) {
	var got []string
	for _, def := range roles.Predefined() {
		if def.Terms.Elevates {
			got = append(got, def.Name)
		}
	}
	if diff := cmp.Diff([]string{"Power Platform Administrator", "Dynamics 365 Administrator", "Global Administrator"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDirectoryAssignments(t *testing.T) {
	directoryRole := func(id string) authz.Principal { return authz.Principal{Type: authz.DirectoryRole, ID: id} }
	const powerPlatform, dynamics, global = "11648597-926c-4cf3-9c36-bcebb0ba8dcc", "44367163-eba1-44c3-98af-f5787879f96a", "62e90394-69f5-4237-9190-012177145e10"
	ofEnvironment := mustFind(t, "Dynamics 365 Administrator (environment)").ID
	without := []roles.Assignment{
		{Principal: directoryRole(powerPlatform), RoleID: powerPlatform, RoleName: "Power Platform Administrator", Scope: "/tenants/acme"},
		{Principal: directoryRole(dynamics), RoleID: dynamics, RoleName: "Dynamics 365 Administrator", Scope: "/tenants/acme"},
		{Principal: directoryRole(global), RoleID: global, RoleName: "Global Administrator", Scope: "/tenants/acme"},
	}
	got, err := roles.Directory(roles.DirectorySpec{Tenant: "acme"})
	if diff := cmp.Diff(without, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	got, err = roles.Directory(roles.DirectorySpec{Tenant: "acme", PowerAppsAdministrator: "ABCDEF00-0000-4000-8000-000000000001", Databases: []string{"e1", "e2"}})
	with := []roles.Assignment{
		without[0], without[1],
		{Principal: directoryRole(dynamics), RoleID: ofEnvironment, RoleName: "Dynamics 365 Administrator (environment)", Scope: "/tenants/acme/environments/e1"},
		{Principal: directoryRole(dynamics), RoleID: ofEnvironment, RoleName: "Dynamics 365 Administrator (environment)", Scope: "/tenants/acme/environments/e2"},
		{Principal: directoryRole("abcdef00-0000-4000-8000-000000000001"), RoleID: mustFind(t, "Power Apps Administrator").ID, RoleName: "Power Apps Administrator", Scope: "/tenants/acme"},
		without[2],
	}
	if diff := cmp.Diff(with, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := roles.Directory(roles.DirectorySpec{}); err == nil {
		t.Error("assignments without a tenant")
	}
	for _, a := range with {
		def := mustFind(t, a.RoleID)
		if err := def.CheckAssignment(candidate(authz.DirectoryRoleHolder)); err != nil {
			t.Errorf("what is proposed is refused: %v", err)
		}
		if !def.AssignableAt([]authz.Scope{a.Scope}) {
			t.Errorf("%s may not be assigned at %s", a.RoleName, a.Scope)
		}
	}
}

func TestNothingIsAssignedImplicitly(t *testing.T) {
	for _, name := range []string{"Power Platform Administrator", "Dynamics 365 Administrator", "Dynamics 365 Administrator (environment)", "Power Apps Administrator", "Global Administrator"} {
		checkHolders(t, name, func(*authz.Candidate) {}, authz.DirectoryRoleHolder)
	}
}

// ---- Environment roles -----------------------------------------------------------------

func TestEnvironmentAdmin(t *testing.T) {
	checkRow(t, "Environment Admin", row{
		Category: "Environment", At: atEnvironment,
		Permissions: []string{
			"*.Read", "EnvironmentManagement.*", "Licensing.Allocations.ReadWrite", "PowerApps.*", "PowerAutomate.*", "Connectivity.*",
			"PowerPages.Websites.Write", "Governance.DlpPolicies.*", "Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete",
		},
		Exceptions:    []string{"PowerAutomate.DesktopFlows.Create", "PowerAutomate.DesktopFlows.Update"},
		MayAssignOnly: []string{roles.EnvironmentAdminID, roles.EnvironmentMakerID},
	})
	checkReaches(t, "Environment Admin", inDatabase{})
	checkPlatform(t, "Environment Admin", "EnvironmentManagement.Provisioning.Write PowerAutomate.DesktopFlows.Read PowerAutomate.SolutionFlows.Create Governance.DlpPolicies.Delete CopilotStudio.Copilots.Read",
		"PowerAutomate.DesktopFlows.Create PowerAutomate.DesktopFlows.Update PowerAutomate.DesktopFlows.Write PowerAutomate.DesktopFlows.ReadWrite UserManagement.Users.Apply CopilotStudio.Copilots.Write Authorization.RoleAssignments.ReadWrite")
}

func TestEnvironmentAdminAssignsTheTwoEnvironmentRolesOnly(t *testing.T) {
	admin := mustFind(t, "Environment Admin")
	var got []string
	for _, def := range slices.Concat(roles.Predefined(), roles.Shipped(), []authz.RoleDefinition{{ID: "x", Name: "Custom"}, {ID: "y", Name: "Custom security role", Environment: "e1", BusinessUnit: "root"}}) {
		if admin.MayAssign(&def) {
			got = append(got, def.Name)
		}
	}
	if diff := cmp.Diff([]string{"Environment Admin", "Environment Maker"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEnvironmentMaker(t *testing.T) {
	checkRow(t, "Environment Maker", row{
		Category: "Environment", At: atEnvironment,
		Permissions: []string{
			"EnvironmentManagement.Environments.Read", "PowerApps.Apps.Create", "PowerApps.Dataflows.Create", "PowerAutomate.Flows.Write",
			"Connectivity.Connectors.Write", "Connectivity.Connections.Write",
		},
	})
	checkReaches(t, "Environment Maker", inDatabase{})
	checkPlatform(t, "Environment Maker", "Connectivity.Connectors.Create PowerAutomate.Flows.Update", "PowerApps.Apps.Read PowerApps.Apps.Update Connectivity.Gateways.Create PowerAutomate.Flows.Read")
	companion, _ := roles.FindPredefined(mustFind(t, "Environment Maker").Terms.Companion)
	if companion.Name != "Environment Maker (Dataverse)" || companion.Terms.ComesBy != authz.ByCompanion {
		t.Errorf("with Environment Maker comes %q, by %v", companion.Name, companion.Terms.ComesBy)
	}
}

func TestEnvironmentRolesAreAssignedAtAnEnvironmentItself(t *testing.T) {
	const environment = "/tenants/t/environments/e"
	for _, name := range []string{"Environment Admin", "Environment Maker"} {
		def := mustFind(t, name)
		for _, tc := range []struct {
			chain []authz.Scope
			want  bool
		}{
			{[]authz.Scope{environment, "/tenants/t"}, true},
			{[]authz.Scope{environment + "/powerapps/a", environment, "/tenants/t"}, false},
			{[]authz.Scope{environment + "/businessUnits/b", environment, "/tenants/t"}, false},
			{[]authz.Scope{"/tenants/t/environmentGroups/g", "/tenants/t"}, false},
			{[]authz.Scope{"/tenants/t"}, false},
		} {
			if got := def.AssignableAt(tc.chain); got != tc.want {
				t.Errorf("%s at %s: %v, want %v", name, tc.chain[0], got, tc.want)
			}
		}
	}
}

// ---- Dataverse security roles ----------------------------------------------------------

func TestSystemAdministrator(t *testing.T) {
	checkRow(t, "System Administrator", row{
		Category: "Dataverse", ID: "627090ff-40a3-4053-8790-584edc5be201", At: atEnvironment, ActOnBehalf: true, EveryColumn: true,
		Permissions: []string{
			"*.Read", "EnvironmentManagement.*", "Licensing.Allocations.ReadWrite", "PowerApps.*", "PowerAutomate.*", "Connectivity.*",
			"PowerPages.Websites.Write", "Governance.DlpPolicies.*", "Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete",
		},
		MayAssignOnly: []string{roles.EnvironmentAdminID, roles.EnvironmentMakerID, "{securityRoles}"},
	})
	role := checkReaches(t, "System Administrator", inDatabase{"{any}": "OOOOOOOO"})
	if !role.ActsOnBehalf() || !role.EverySecuredColumn() || role.TeamOnly() {
		t.Errorf("acts on behalf %v, every column %v, team only %v", role.ActsOnBehalf(), role.EverySecuredColumn(), role.TeamOnly())
	}
}

func TestSystemAdministratorHasAllOfEnvironmentAdmin(t *testing.T) {
	admin, system := platform(t, mustFind(t, "Environment Admin")), platform(t, mustFind(t, "System Administrator"))
	for _, permission := range []string{
		"EnvironmentManagement.Settings.ReadWrite", "EnvironmentManagement.Backup.Delete", "Licensing.Allocations.ReadWrite", "PowerApps.Apps.Delete",
		"PowerAutomate.SolutionFlows.Create", "Connectivity.Gateways.Create", "PowerPages.Websites.Update", "Governance.DlpPolicies.Update",
		"Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete", "PowerAutomate.DesktopFlows.Read",
	} {
		if !admin(permission) || !system(permission) {
			t.Errorf("%s: Environment Admin %v, System Administrator %v", permission, admin(permission), system(permission))
		}
	}
}

func TestSystemAdministratorAssignsSecurityRoles(t *testing.T) {
	administrator := mustFind(t, "System Administrator")
	var got []string
	for _, def := range slices.Concat(roles.Predefined(), roles.Shipped(), []authz.RoleDefinition{{ID: "x", Name: "Custom"}, {ID: "y", Name: "Custom security role", Environment: "e1", BusinessUnit: "root"}}) {
		if administrator.MayAssign(&def) {
			got = append(got, def.Name)
		}
	}
	want := []string{"Environment Admin", "Environment Maker", "System Administrator", "System Customizer", "Basic User", "App Opener", "Delegate", "Custom security role"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSystemCustomizer(t *testing.T) {
	checkRow(t, "System Customizer", row{
		Category: "Dataverse", ID: "119f245c-3cc8-4b62-b31c-d1a046ced15d", At: atEnvironment,
		Permissions: []string{
			"PowerApps.Apps.Create", "PowerAutomate.Flows.Create", "PowerAutomate.SolutionFlows.Create", "Connectivity.Connectors.Create",
			"Connectivity.SolutionConnectors.Create", "Connectivity.Connections.Create", "PowerApps.Dataflows.Create", "PowerAutomate.DesktopFlows.Create",
		},
	})
	checkReaches(t, "System Customizer", inDatabase{
		"{customization}": "OOOOOOOO", "SecurityRole": "OOO-----", "{core}": "UUUUUUUU",
		"new_Bank": "UOUUUUUU", "new_Rate": "-O------", // which nobody owns
	})
}

func TestBasicUser(t *testing.T) {
	checkRow(t, "Basic User", row{
		Category: "Dataverse", ID: "236750cd-45ae-4939-ab12-b24b920ced93", At: atEnvironment, Permissions: []string{"PowerApps.Apps.Play"},
		Aliases: []string{"Common Data Service User", "User", "Environment User"},
	})
	checkReaches(t, "Basic User", inDatabase{
		"{core}": "UUUUUUUU", "{system}": "-O------", "Process": "-U------", "UserEntityUISettings": "UUU-----",
	})
}

func TestAppOpener(t *testing.T) {
	checkRow(t, "App Opener", row{Category: "Dataverse", At: atEnvironment, Permissions: []string{"PowerApps.Apps.Play"}})
	checkReaches(t, "App Opener", inDatabase{"{system}": "-O------", "UserEntityUISettings": "UUU-----"})
}

func TestDelegate(t *testing.T) {
	checkRow(t, "Delegate", row{Category: "Dataverse", ID: "d892cc0b-28c7-4e88-bd92-72f2c366baed", At: atEnvironment, ActOnBehalf: true})
	if role := checkReaches(t, "Delegate", inDatabase{}); !role.ActsOnBehalf() {
		t.Error("Delegate does not act on behalf")
	}
}

func TestEnvironmentMakerInADatabase(t *testing.T) {
	checkRow(t, "Environment Maker (Dataverse)", row{Category: "Dataverse", At: atEnvironment})
	checkReaches(t, "Environment Maker (Dataverse)", inDatabase{
		"AppModule": "OOOOOO--", "Solution": "OOOOOO--", "Publisher": "OOOOOO--",
		"ConnectionReference": "UUUUUU--", "EnvironmentVariableDefinition": "UUUUUU--", "EnvironmentVariableValue": "UUUUUU--",
		"Entity": "-O------",
	})
}

func TestOfficeCollaborator(t *testing.T) {
	checkRow(t, "Office Collaborator", row{Category: "Dataverse", At: atEnvironment})
	checkReaches(t, "Office Collaborator", inDatabase{"Contact": "-U------", "new_Bank": "-U------"})
}

func TestSupportUser(t *testing.T) {
	checkRow(t, "Support User", row{Category: "Dataverse", ID: "2d101bb3-5ced-4122-83f1-94d5efde4e3b", At: atEnvironment})
	checkReaches(t, "Support User", inDatabase{"{customization}": "-O------", "{businessManagement}": "-O------"})
}

func TestServiceReader(t *testing.T) {
	checkRow(t, "Service Reader", row{Category: "Dataverse", At: atEnvironment, TeamOnly: true})
	checkReaches(t, "Service Reader", inDatabase{"{any}": "-O------"})
}

func TestServiceWriter(t *testing.T) {
	checkRow(t, "Service Writer", row{Category: "Dataverse", At: atEnvironment, TeamOnly: true})
	checkReaches(t, "Service Writer", inDatabase{"{any}": "OOO-----"})
}

func TestServiceDeleter(t *testing.T) {
	checkRow(t, "Service Deleter", row{Category: "Dataverse", At: atEnvironment, TeamOnly: true, Aliases: []string{"Service Deleted"}})
	checkReaches(t, "Service Deleter", inDatabase{"{any}": "---O----"})
}

func TestWebsiteOwner(t *testing.T) {
	checkRow(t, "Website Owner", row{Category: "Dataverse", At: atWebsite, Permissions: []string{"PowerPages.Websites.Read", "PowerPages.Websites.Write"}})
	checkReaches(t, "Website Owner", inDatabase{"{site}": "UUUUUUUU"})
}

func TestWebsiteAppOwner(t *testing.T) {
	checkRow(t, "Website App Owner", row{Category: "Dataverse", At: atWebsite, Permissions: []string{"PowerPages.Websites.Read"}})
	checkReaches(t, "Website App Owner", inDatabase{})
	checkPlatform(t, "Website App Owner", "PowerPages.Websites.Read", "PowerPages.Websites.Write")
}

// ---- Who may hold a role ---------------------------------------------------------------

func TestMostSecurityRolesAreHeldByUsersTeamsAndApplications(t *testing.T) {
	for _, name := range []string{"System Administrator", "System Customizer", "Basic User", "App Opener"} {
		checkHolders(t, name, func(*authz.Candidate) {}, authz.UserHolder, authz.ApplicationUserHolder, authz.OwnerTeamHolder, authz.GroupTeamHolder)
		def := mustFind(t, name)
		if def.CheckRemoval(authz.ByAssignment) != nil || def.CheckRemoval(authz.ByService) == nil {
			t.Errorf("%s does not go by assignment", name)
		}
	}
	checkHolders(t, "Environment Maker", func(*authz.Candidate) {}, authz.UserHolder, authz.ApplicationUserHolder, authz.GroupHolder, authz.OwnerTeamHolder, authz.GroupTeamHolder)
}

func TestAccessTeamsHoldNoRoles(t *testing.T) {
	for _, def := range roles.Predefined() {
		c := candidate(authz.AccessTeamHolder)
		c.Origin = def.Terms.ComesBy
		if def.CheckAssignment(c) == nil {
			t.Errorf("an access team may hold %s", def.Name)
		}
	}
	checkRefused(t, "Basic User", candidate(authz.AccessTeamHolder), "an access team holds no roles: share records with it, or use an owner team")
}

func TestDelegateIsNotHeldByTeams(t *testing.T) {
	checkHolders(t, "Delegate", func(*authz.Candidate) {}, authz.UserHolder, authz.ApplicationUserHolder)
	checkRefused(t, "Delegate", candidate(authz.OwnerTeamHolder), "OwnerTeam may not hold it: assign it to User, ApplicationUser")
}

func TestOfficeCollaboratorIsHeldByItsTeamAlone(t *testing.T) {
	byService := func(c *authz.Candidate) { c.Origin, c.TeamName = authz.ByService, "Office Collaborators" }
	checkHolders(t, "Office Collaborator", byService, authz.OwnerTeamHolder)
	other := candidate(authz.OwnerTeamHolder)
	other.Origin = authz.ByService
	checkRefused(t, "Office Collaborator", other, `only the team "Office Collaborators" may hold it`)
	byHand := candidate(authz.OwnerTeamHolder)
	byHand.TeamName = "Office Collaborators"
	checkRefused(t, "Office Collaborator", byHand, "is given and taken by the service, and cannot be assigned or removed by hand")
}

func TestServiceRolesAreHeldByTheServicesOwnApplications(t *testing.T) {
	for _, name := range []string{"Support User", "Service Reader", "Service Writer", "Service Deleter"} {
		checkHolders(t, name, func(c *authz.Candidate) { c.Origin, c.ServiceInstalled = authz.ByService, true }, authz.ApplicationUserHolder)
		own := candidate(authz.ApplicationUserHolder)
		own.Origin = authz.ByService
		checkRefused(t, name, own, "only application users that came with the service may hold it")
		def := mustFind(t, name)
		if def.CheckRemoval(authz.ByAssignment) == nil || def.CheckRemoval(authz.ByService) != nil {
			t.Errorf("%s does not go by the service", name)
		}
	}
}

func TestWebsiteOwnerIsTheCreatorOfASite(t *testing.T) {
	checkHolders(t, "Website Owner", func(c *authz.Candidate) { c.Origin = authz.BySite }, authz.UserHolder)
	const byHand = "comes with creating a website, and cannot be assigned or removed by hand"
	checkRefused(t, "Website Owner", candidate(authz.UserHolder), byHand)
	def := mustFind(t, "Website Owner")
	if err := def.CheckRemoval(authz.ByAssignment); err == nil || err.Error() != `role "Website Owner": `+byHand {
		t.Errorf("removed by hand: %v", err)
	}
}

func TestWebsiteAppOwnerIsTheOwnerOfTheRegistration(t *testing.T) {
	checkHolders(t, "Website App Owner", func(c *authz.Candidate) { c.Origin = authz.ByRegistration }, authz.UserHolder)
	checkRefused(t, "Website App Owner", candidate(authz.UserHolder), "comes with a website's app registration, and cannot be assigned or removed by hand")
}

func TestGlobalReaderIsRefusedEverywhere(t *testing.T) {
	checkHolders(t, "Global Reader", func(*authz.Candidate) {})
	checkRefused(t, "Global Reader", candidate(authz.DirectoryRoleHolder), "is not supported: nobody may hold it")
}

func TestRolesAreCopiedWhereTheyCanBeAssigned(t *testing.T) {
	var got []string
	for _, def := range roles.Predefined() {
		if def.Copyable() {
			got = append(got, def.Name)
		}
	}
	want := []string{"Environment Admin", "Environment Maker", "System Administrator", "System Customizer", "Basic User", "App Opener", "Delegate"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestASecurityRoleTakesNothingAway(t *testing.T) {
	for _, effect := range []authz.AssignmentEffect{authz.AssignDeny, authz.AssignForbid, authz.NoEffect} {
		c := candidate(authz.UserHolder)
		c.Effect = effect
		checkRefused(t, "Basic User", c, "a security role is assigned with ALLOW alone: nothing takes access to a record away")
	}
}

// ---- With and without a database -------------------------------------------------------

func TestWithoutADatabaseOnlyTheTwoEnvironmentRolesExist(t *testing.T) {
	var got []string
	for _, def := range roles.Predefined() {
		for _, kind := range []authz.HolderKind{authz.UserHolder, authz.GroupHolder} {
			c := candidate(kind)
			c.HasDatabase = false
			if def.CheckAssignment(c) == nil {
				got = append(got, kind.String()+" "+def.Name)
			}
		}
	}
	want := []string{"User Environment Admin", "Group Environment Admin", "User Environment Maker", "Group Environment Maker"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c := candidate(authz.UserHolder)
	c.HasDatabase = false
	checkRefused(t, "Basic User", c, "the environment has no database: assign Environment Admin or Environment Maker, or provision one")
	c.Holder = authz.OwnerTeamHolder
	checkRefused(t, "Environment Maker", c, "the environment has no database and so no teams: assign it to a user or a group")
}

func TestAfterProvisioningEnvironmentAdminHasNoData(t *testing.T) {
	checkReaches(t, "Environment Admin", inDatabase{})
	def := mustFind(t, "Environment Admin")
	if def.Terms.Companion != "" {
		t.Errorf("with Environment Admin comes %s", def.Terms.Companion)
	}
}

func TestWithADatabaseEnvironmentAdminIsNotAssignedAnew(t *testing.T) {
	checkRefused(t, "Environment Admin", candidate(authz.UserHolder), "the environment has a database: assign System Administrator instead")
}

func TestWhoeverBuildsOnTheDatabaseNeedsSystemCustomizerBesides(t *testing.T) {
	db := newDatabase(t)
	maker, err := db.Compile(mustFind(t, "Environment Maker (Dataverse)"))
	if err != nil {
		t.Fatal(err)
	}
	customizer, err := db.Compile(mustFind(t, "System Customizer"))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"Entity", "SecurityRole"} {
		id, _ := db.TableNamed(table)
		if got := maker.Reach(id, authz.WritePrivilege); got != authz.NoReach {
			t.Errorf("Environment Maker writes %s with %v", table, got)
		}
		if got := customizer.Reach(id, authz.WritePrivilege); got != authz.OrganizationReach {
			t.Errorf("System Customizer writes %s with %v", table, got)
		}
	}
}

func TestASecurityRoleNeedsAnEnabledUserOfTheEnvironment(t *testing.T) {
	absent := candidate(authz.UserHolder)
	absent.InEnvironment = false
	checkRefused(t, "Basic User", absent, "the user is not in the environment: add it first")
	disabled := candidate(authz.UserHolder)
	disabled.Disabled = true
	checkRefused(t, "Basic User", disabled, "the user is disabled: enable it first, or set allowRoleAssignmentOnDisabledUsers")
	disabled.AllowDisabled = true
	def := mustFind(t, "Basic User")
	if err := def.CheckAssignment(disabled); err != nil {
		t.Error(err)
	}
	unnamed := candidate(authz.UserHolder)
	unnamed.BusinessUnit = ""
	checkRefused(t, "Basic User", unnamed, "name the business unit whose role it is, or the environment for the root's")
}

// ---- Custom roles ----------------------------------------------------------------------

func TestANewSecurityRoleBeginsWithAppOpenersPrivileges(t *testing.T) {
	want := []string{"Dataverse.{system}.Read@Organization", "Dataverse.UserEntityUISettings.{Create,Read,Write}@User"}
	got := roles.NewSecurityRolePrivileges()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got[0] = "changed"
	if roles.NewSecurityRolePrivileges()[0] != want[0] {
		t.Error("a caller changed what new roles begin with")
	}
}

func TestTheLeastRoleForAnApp(t *testing.T) {
	db := newDatabase(t)
	def := authz.RoleDefinition{ID: "m", Name: "Bankers", Environment: "e1", BusinessUnit: "root", Privileges: append(roles.NewSecurityRolePrivileges(), "Dataverse.new_Bank.{Read,Write,Append}@Organization")}
	role, err := db.Compile(def)
	if err != nil {
		t.Fatal(err)
	}
	if missing := roles.MissingToOpenApp(db, role); missing != nil {
		t.Errorf("it cannot open an app: %v", missing)
	}
	bank, _ := db.TableNamed("new_Bank")
	if got := reachLetters(role, bank); got != "-OO-O---" {
		t.Errorf("new_Bank: %s", got)
	}
	for _, kind := range allHolders() {
		want := kind == authz.UserHolder || kind == authz.ApplicationUserHolder || kind == authz.OwnerTeamHolder || kind == authz.GroupTeamHolder
		if err := def.CheckAssignment(candidate(kind)); (err == nil) != want {
			t.Errorf("to %v: %v", kind, err)
		}
	}
}

func TestTestRolesEditorsAndManagers(t *testing.T) {
	db := newDatabase(t)
	bank, _ := db.TableNamed("new_Bank")
	for line, want := range map[string]string{
		"Dataverse.new_Bank.{Read,Write,Append}@Organization":                                     "-OO-O---",
		"Dataverse.new_Bank.{Read,Write,Append,Create,Delete,AppendTo,Assign,Share}@Organization": "OOOOOOOO",
	} {
		role, err := db.Compile(authz.RoleDefinition{Name: "r", Privileges: []string{line}})
		if err != nil {
			t.Fatal(err)
		}
		if got := reachLetters(role, bank); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func TestACustomTableIsOutOfReachUntilARoleNamesIt(t *testing.T) {
	db := newDatabase(t)
	bank, _ := db.TableNamed("new_Bank")
	var got []string
	for _, def := range roles.Predefined() {
		role, err := db.Compile(def)
		if err != nil {
			t.Fatal(err)
		}
		if reachLetters(role, bank) != nothing {
			got = append(got, def.Name)
		}
	}
	// Office Collaborator because a record of the table is shared with everybody.
	want := []string{"System Administrator", "System Customizer", "Office Collaborator", "Service Reader", "Service Writer", "Service Deleter"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARoleThatCannotOpenAnAppIsFound(t *testing.T) {
	db := newDatabase(t)
	for _, tc := range []struct {
		lines []string
		want  []string
	}{
		{mustFind(t, "App Opener").Privileges, nil},
		{mustFind(t, "Basic User").Privileges, nil},
		{
			[]string{"Dataverse.{system}.Read@Organization", "Dataverse.UserEntityUISettings.{Create,Write}@User"},
			[]string{"Dataverse.UserEntityUISettings.Read"},
		},
		{
			[]string{"Dataverse.{any}.ALL8@User"}, // which is none where nobody owns the records
			[]string{
				"Dataverse.AppModule.Read", "Dataverse.Entity.Read", "Dataverse.Organization.Read", "Dataverse.SavedView.Read",
				"Dataverse.SystemForm.Read", "Dataverse.WebResource.Read",
			},
		},
	} {
		role, err := db.Compile(authz.RoleDefinition{Name: "r", Privileges: tc.lines})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, roles.MissingToOpenApp(db, role)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.lines, diff)
		}
	}
}

// ---- Where the sources disagree --------------------------------------------------------

func TestSystemCustomizerSeesAllCustomDataAndItsOwnCoreData(t *testing.T) {
	db := newDatabase(t)
	role, err := db.Compile(mustFind(t, "System Customizer"))
	if err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]authz.Reach{"new_Bank": authz.OrganizationReach, "Account": authz.UserReach, "Contact": authz.UserReach, "Activity": authz.UserReach} {
		id, _ := db.TableNamed(table)
		if got := role.Reach(id, authz.ReadPrivilege); got != want {
			t.Errorf("reads %s with %v, want %v", table, got, want)
		}
	}
}

func TestSystemCustomizerMakesRolesAndAssignsNone(t *testing.T) {
	db := newDatabase(t)
	role, err := db.Compile(mustFind(t, "System Customizer"))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := db.TableNamed("SecurityRole")
	if got := reachLetters(role, id); got != "OOO-----" {
		t.Errorf("SecurityRole: %s", got)
	}
	checkPlatform(t, "System Customizer", "", "Authorization.RoleAssignments.Write")
}

func TestEnvironmentUserIsBasicUser(t *testing.T) {
	for _, name := range []string{"Environment User", "environment-user", "Common Data Service User", "User"} {
		if got := mustFind(t, name); got.Name != "Basic User" {
			t.Errorf("%s is %s", name, got.Name)
		}
	}
	if got := mustFind(t, "Service Deleted"); got.Name != "Service Deleter" {
		t.Errorf("Service Deleted is %s", got.Name)
	}
}

// ---- The list itself -------------------------------------------------------------------

func TestPredefinedRolesAreTheseAndNoOthers(t *testing.T) {
	var got []string
	for _, def := range roles.Predefined() {
		got = append(got, def.Name)
	}
	want := []string{
		"Power Platform Administrator", "Dynamics 365 Administrator", "Dynamics 365 Administrator (environment)", "Power Apps Administrator",
		"Global Administrator", "Global Reader", "Environment Admin", "Environment Maker", "System Administrator", "System Customizer", "Basic User",
		"App Opener", "Delegate", "Environment Maker (Dataverse)", "Office Collaborator", "Support User", "Service Reader", "Service Writer",
		"Service Deleter", "Website Owner", "Website App Owner",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestIdentifiersThatAreOursAreMadeOfTheName(t *testing.T) {
	for _, def := range roles.Predefined() {
		sum := sha256.Sum256([]byte("pathgrant role definition: " + def.Name))
		sum[6], sum[8] = sum[6]&0x0F|0x80, sum[8]&0x3F|0x80
		h := hex.EncodeToString(sum[:16])
		made := h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
		if roles.IDIsOurs(def.ID) != (def.ID == made) {
			t.Errorf("%s has the identifier %s; made of the name it is %s", def.Name, def.ID, made)
		}
	}
	for id, name := range map[string]string{
		roles.SystemAdministratorID: "System Administrator", roles.EnvironmentAdminID: "Environment Admin", roles.EnvironmentMakerID: "Environment Maker",
	} {
		if got := mustFind(t, id); got.Name != name {
			t.Errorf("%s is %s", id, got.Name)
		}
	}
}

func TestWhatACallerChangesOfAPredefinedRoleStaysItsOwn(t *testing.T) {
	for _, def := range roles.Predefined() {
		for _, list := range [][]string{def.Permissions, def.Privileges, def.Aliases, def.Terms.AssignableRoles} {
			for i := range list {
				list[i] = "changed"
			}
		}
		for i := range def.Terms.HeldBy {
			def.Terms.HeldBy[i] = authz.AccessTeamHolder
		}
		def.Terms.Elevates = !def.Terms.Elevates
	}
	TestBasicUser(t)
	TestSystemAdministrator(t)
	TestMostSecurityRolesAreHeldByUsersTeamsAndApplications(t)
	TestExactlyThreeRolesElevateThemselves(t)
}
