package insiders_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/roles"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// The rules about environments with a database and without, each as somebody meets it who
// calls the services of a running server.

// bare has e1 without a database, and d1 with one that has two business units below its root.
const bare = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environments: [{id: e1}, {id: d1, dataverse: true}]
    businessUnits: [{id: hq, environment: d1}, {id: sales, environment: d1, parent: hq}, {id: north, environment: d1, parent: hq}]
    tables: [{environment: d1, name: Order, classes: [custom], ownership: User}]
    users: [{environment: d1, principalType: User, principalObjectId: sysadmin}]
    groups: [{id: staff, members: [{principalType: User, principalObjectId: ann}]}]
    roleDefinitions:
      - {roleDefinitionId: clerk, roleDefinitionName: Clerk, environment: d1, privileges: [Dataverse.Order.Read@BusinessUnit]}
    roleAssignments:
      - {roleAssignmentId: as-owner, principalType: User, principalObjectId: owner, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {roleAssignmentId: as-envadmin, principalType: User, principalObjectId: envadmin, roleDefinitionName: Environment Admin, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: as-sysadmin, principalType: User, principalObjectId: sysadmin, roleDefinitionName: System Administrator, scope: /tenants/t1/environments/d1}
...
`

const (
	bareScope     = "/tenants/t1/environments/e1"
	databaseScope = "/tenants/t1/environments/d1"
)

// refuses makes a call that must be refused with a reason, in words that have a part.
func (o *office) refuses(what, actor, name, request, want, part string) {
	o.t.Helper()
	if _, err := o.call(actor, name, request); outcome(err) != want || !strings.Contains(err.Error(), part) {
		o.t.Errorf("%s: %s by %s: %v, want %s and %q", what, name, actor, err, want, part)
	}
}

func putEnvironment(id, dataverse string) string {
	return `{"environment":{"id":"` + id + `","dataverse":` + dataverse + `},"ifMatch":"*"}`
}

func putUser(environment, more string) string {
	return `{"item":{"environment":"` + environment + `","user":{"principal":` + user("ann") + more + `}},"ifMatch":"*"}`
}

// checkReasons asks for several permissions of a user.
func checkReasons(t *testing.T, checks pathgrantv1.AuthorizationServiceClient, who, environment string, want map[string]string, of ...*pathgrantv1.DataverseRecord) {
	t.Helper()
	got := map[string]string{}
	for permission := range want {
		got[permission] = reason(t, checks, who, permission, environment, of...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", who, diff)
	}
}

func TestAnEnvironmentHasNoDatabaseOrOne(t *testing.T) {
	o := open(t, bare)
	checks := o.checks()
	o.refuses("a user of no database", "owner", "PutItem", putUser("e1", ""), "INVALID", "has no database")
	if got := reason(t, checks, "owner", "Dataverse.Account.Read", "e1"); got != "UNMAPPED" {
		t.Errorf("without a database nobody knows its tables, and the answer is %s", got)
	}
	o.tries("one is provisioned", "owner", "PutEnvironment", putEnvironment("e1", "true"), "OK")
	if got := reason(t, checks, "owner", "Dataverse.Account.Read", "e1"); got != "NO_ASSIGNMENT" {
		t.Errorf("with a database its tables are known, and the answer is %s", got)
	}
	o.tries("a user of it", "owner", "PutItem", putUser("e1", ""), "OK")
	before := o.revision()
	o.tries("there is no second one", "owner", "PutEnvironment", putEnvironment("e1", "true"), "OK")
	if now := o.revision(); now != before {
		t.Errorf("a database that is there is provisioned again: revision %d after %d", now, before)
	}
	o.refuses("it is not taken from its users", "owner", "PutEnvironment", putEnvironment("e1", "false"), "IN_USE", `environment "e1" has users: remove them first`)
}

// Of all roles that come with the product beyond those of its API, two can be assigned where
// there is no database, to users and to groups, and an Environment Admin may assign both.
func TestWithoutADatabaseAnEnvironmentAdminGivesTheTwoEnvironmentRoles(t *testing.T) {
	want := []string{"User Environment Admin", "Group Environment Admin", "User Environment Maker", "Group Environment Maker"}
	for _, by := range []string{"envadmin", "owner"} {
		o := open(t, bare)
		var given []string
		for _, def := range roles.Predefined() {
			for _, to := range []struct{ kind, principal string }{{"User", user("ann")}, {"Group", group("staff")}} {
				if _, err := o.call(by, "CreateRoleAssignment", assign(to.principal, def.Name, bareScope)); err == nil {
					given = append(given, to.kind+" "+def.Name)
				}
			}
		}
		if diff := cmp.Diff(want, given); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", by, diff)
		}
	}
	o := open(t, bare)
	for _, role := range []string{"System Administrator", "System Customizer", "Basic User", "App Opener", "Delegate"} {
		o.refuses(role, "owner", "CreateRoleAssignment", assign(user("ann"), role, bareScope), "NOT_ASSIGNABLE", "the environment has no database: assign Environment Admin or Environment Maker, or provision one")
	}
	o.tries("who holds neither", "ann", "CreateRoleAssignment", assign(user("eve"), "Environment Maker", bareScope), "FORBIDDEN")
	o.tries("elsewhere", "envadmin", "CreateRoleAssignment", assign(user("eve"), "Environment Maker", databaseScope), "FORBIDDEN")
}

func TestProvisioningKeepsAnEnvironmentAdminAndGivesItNoData(t *testing.T) {
	o := open(t, bare)
	checks := o.checks()
	platform := map[string]string{
		"EnvironmentManagement.Environments.Read": "GRANTED", "PowerApps.Apps.Create": "GRANTED", "PowerAutomate.Flows.Create": "GRANTED",
		"Connectivity.Connectors.Create": "GRANTED", "Licensing.Allocations.ReadWrite": "GRANTED",
		"PowerAutomate.DesktopFlows.Create": "NO_ASSIGNMENT", "UserManagement.Users.Apply": "NO_ASSIGNMENT",
	}
	checkReasons(t, checks, "envadmin", "e1", platform)
	o.tries("a database", "owner", "PutEnvironment", putEnvironment("e1", "true"), "OK")
	o.tries("its Environment Admin", "owner", "PutItem", `{"item":{"environment":"e1","user":{"principal":`+user("envadmin")+`}}}`, "OK")
	o.tries("somebody else", "owner", "PutItem", putUser("e1", ""), "OK")
	o.tries("a custom table", "owner", "PutItem", `{"item":{"environment":"e1","table":{"name":"Order","classes":["custom"],"ownership":"User"}}}`, "OK")
	if !o.has("as-envadmin") {
		t.Error("the assignment is gone")
	}
	checkReasons(t, checks, "envadmin", "e1", platform)
	own, others := record("envadmin", "e1"), record("ann", "e1")
	none := map[string]string{"Dataverse.Account.Read": "NO_ASSIGNMENT", "Dataverse.Order.Read": "NO_ASSIGNMENT", "Dataverse.Entity.Read": "NO_ASSIGNMENT"}
	checkReasons(t, checks, "envadmin", "e1", none)
	delete(none, "Dataverse.Entity.Read") // whose records nobody owns
	checkReasons(t, checks, "envadmin", "e1", none, own)
	// Data come with System Customizer.
	o.tries("data", "owner", "CreateRoleAssignment", assign(user("envadmin"), "System Customizer", bareScope), "OK")
	checkReasons(t, checks, "envadmin", "e1", map[string]string{"Dataverse.Account.Write": "GRANTED", "Dataverse.Order.Write": "GRANTED"}, own)
	checkReasons(t, checks, "envadmin", "e1", map[string]string{"Dataverse.Account.Read": "NO_ASSIGNMENT", "Dataverse.Order.Read": "GRANTED", "Dataverse.Order.Write": "NO_ASSIGNMENT"}, others)
	checkReasons(t, checks, "envadmin", "e1", map[string]string{"Dataverse.SecurityRole.Write": "GRANTED", "Dataverse.SecurityRole.Assign": "NO_ASSIGNMENT"})
	// Full administration comes with System Administrator.
	o.tries("security roles are not a customizer's to give", "envadmin", "CreateRoleAssignment", assign(user("ann"), "Basic User", bareScope), "FORBIDDEN")
	o.tries("all of it", "owner", "CreateRoleAssignment", assign(user("envadmin"), "System Administrator", bareScope), "OK")
	checkReasons(t, checks, "envadmin", "e1", map[string]string{"Dataverse.Account.Delete": "GRANTED", "Dataverse.Order.Write": "GRANTED"}, others)
	checkReasons(t, checks, "envadmin", "e1", map[string]string{"Dataverse.SecurityRole.Assign": "GRANTED", "PowerAutomate.DesktopFlows.Create": "GRANTED"})
	o.tries("security roles", "envadmin", "CreateRoleAssignment", assign(user("ann"), "Basic User", bareScope), "OK")
}

func TestWithADatabaseANewEnvironmentAdminIsRefusedNamingSystemAdministrator(t *testing.T) {
	o := open(t, bare)
	for what, to := range map[string]string{"a user of it": user("sysadmin"), "a user": user("ann"), "a group": group("staff"), "an application": app("bot")} {
		o.refuses(what, "owner", "CreateRoleAssignment", assign(to, "Environment Admin", databaseScope), "NOT_ASSIGNABLE", "the environment has a database: assign System Administrator instead")
	}
	o.tries("before it is provisioned", "owner", "CreateRoleAssignment", assign(user("ann"), "Environment Admin", bareScope), "OK")
	o.tries("a database", "owner", "PutEnvironment", putEnvironment("e1", "true"), "OK")
	o.refuses("by one who has been one since", "envadmin", "CreateRoleAssignment", assign(user("eve"), "Environment Admin", bareScope), "NOT_ASSIGNABLE", "assign System Administrator instead")
}

func TestBuildingOnTheDatabaseTakesSystemCustomizerBesidesEnvironmentMaker(t *testing.T) {
	o := open(t, bare)
	checks := o.checks()
	builds := func(want string) map[string]string {
		return map[string]string{"Dataverse.Entity.Create": want, "Dataverse.Entity.Write": want, "Dataverse.SecurityRole.Create": want, "Dataverse.SecurityRole.Write": want}
	}
	makes := map[string]string{"PowerApps.Apps.Create": "GRANTED", "Dataverse.AppModule.Create": "GRANTED", "Dataverse.Solution.Create": "GRANTED"}
	o.tries("somebody", "owner", "PutItem", putUser("d1", ""), "OK")
	o.tries("a maker", "sysadmin", "CreateRoleAssignment", assign(user("ann"), "Environment Maker", databaseScope), "OK")
	checkReasons(t, checks, "ann", "d1", makes)
	checkReasons(t, checks, "ann", "d1", builds("NO_ASSIGNMENT"))
	o.tries("and a customizer", "sysadmin", "CreateRoleAssignment", assign(user("ann"), "System Customizer", databaseScope), "OK")
	checkReasons(t, checks, "ann", "d1", makes)
	checkReasons(t, checks, "ann", "d1", builds("GRANTED"))
}

func TestASecurityRoleTakesAnEnabledUserAndIsTheBusinessUnits(t *testing.T) {
	o := open(t, bare)
	checks := o.checks()
	clerk := func(unit string) string {
		return assign(user("ann"), "Clerk", strings.TrimSuffix(databaseScope+"/businessUnits/"+unit, "/businessUnits/"))
	}
	o.refuses("who was not added", "sysadmin", "CreateRoleAssignment", clerk(""), "NOT_ASSIGNABLE", "the user is not in the environment: add it first")
	o.tries("added", "owner", "PutItem", putUser("d1", `,"businessUnit":"sales"`), "OK")
	o.tries("disabled", "owner", "PutItem", putUser("d1", `,"businessUnit":"sales","disabled":true`), "OK")
	o.refuses("who is disabled", "sysadmin", "CreateRoleAssignment", clerk(""), "NOT_ASSIGNABLE", "the user is disabled: enable it first, or set allowRoleAssignmentOnDisabledUsers")
	o.tries("enabled", "owner", "PutItem", putUser("d1", `,"businessUnit":"sales"`), "OK")
	o.refuses("a unit that is not there", "sysadmin", "CreateRoleAssignment", clerk("south"), "SCOPE_UNKNOWN", "south")
	reads := func(want string) {
		t.Helper()
		got := ""
		for _, unit := range []string{"hq", "sales", "north"} {
			got += reason(t, checks, "ann", "Dataverse.Order.Read", "d1", record("sysadmin", unit)) + " "
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("of the units hq, sales and north ann reads %s, want %s", got, want)
		}
	}
	reads("NO_ASSIGNMENT NO_ASSIGNMENT NO_ASSIGNMENT")
	north := id(t, o.tries("the role of north", "sysadmin", "CreateRoleAssignment", clerk("north"), "OK"))
	reads("NO_ASSIGNMENT NO_ASSIGNMENT GRANTED")
	o.tries("the role of the environment, held in her own unit", "sysadmin", "CreateRoleAssignment", clerk(""), "OK")
	reads("NO_ASSIGNMENT GRANTED GRANTED")
	o.tries("north's no longer", "sysadmin", "DeleteRoleAssignment", `{"id":"`+north+`"}`, "OK")
	reads("NO_ASSIGNMENT GRANTED NO_ASSIGNMENT")
	o.tries("moved to the root", "owner", "PutItem", putUser("d1", `,"businessUnit":"hq"`), "OK")
	reads("GRANTED NO_ASSIGNMENT NO_ASSIGNMENT")
	o.tries("disabled again", "owner", "PutItem", putUser("d1", `,"businessUnit":"sales","disabled":true`), "OK")
	reads("PRINCIPAL_DISABLED PRINCIPAL_DISABLED PRINCIPAL_DISABLED")
}

func TestASecurityRoleIsGivenToADisabledUserWhereThatIsAllowed(t *testing.T) {
	o := open(t, bare, func(options *admin.Options) { options.AllowRoleAssignmentOnDisabledUsers = true })
	checks := o.checks()
	o.tries("disabled", "owner", "PutItem", putUser("d1", `,"disabled":true`), "OK")
	o.tries("a role", "sysadmin", "CreateRoleAssignment", assign(user("ann"), "Basic User", databaseScope), "OK")
	if got := reason(t, checks, "ann", "Dataverse.Account.Read", "d1", record("ann", "hq")); got != "PRINCIPAL_DISABLED" {
		t.Errorf("a disabled user, whose role it is, reads: %s", got)
	}
	o.tries("enabled", "owner", "PutItem", putUser("d1", ""), "OK")
	if got := reason(t, checks, "ann", "Dataverse.Account.Read", "d1", record("ann", "hq")); got != "GRANTED" {
		t.Errorf("an enabled user, whose role it is, reads: %s", got)
	}
}

// The least role with which an app is of use: what App Opener gives, and Read, Write and
// Append of the app's table. The app opens, a record is changed, and making one is refused.
// That apps may be played at all is a permission of the platform, which no custom security
// role gives.
func TestTheLeastRoleForAnAppOpensItChangesARecordAndMakesNone(t *testing.T) {
	o := open(t, bare)
	checks := o.checks()
	opens := func() string {
		t.Helper()
		answer, err := checks.CheckComposite(t.Context(), &pathgrantv1.CheckCompositeRequest{Question: &pathgrantv1.CompositeQuestion{
			Subject:   &pathgrantv1.Subject{Tenant: "t1", Principal: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: "ann"}},
			Composite: "run-app", Object: "a1", Scope: databaseScope, Facts: map[string]bool{"licence": true},
		}})
		if err != nil {
			t.Fatal(err)
		}
		var layers []string
		for _, layer := range answer.GetDecision().GetLayers() {
			layers = append(layers, layer.GetName()+" "+strings.TrimPrefix(layer.GetState().String(), "LAYER_STATE_"))
		}
		return strings.Join(append(layers, strings.TrimPrefix(answer.GetDecision().GetEffect().String(), "EFFECT_")), ", ")
	}
	uses := map[string]string{"Dataverse.Order.Read": "GRANTED", "Dataverse.Order.Write": "GRANTED", "Dataverse.Order.Append": "GRANTED", "Dataverse.Order.Create": "NO_ASSIGNMENT", "Dataverse.Order.Delete": "NO_ASSIGNMENT"}
	o.tries("a user", "owner", "PutItem", putUser("d1", ""), "OK")
	o.tries("an app for everyone", "owner", "PutItem", item(`"app":{"id":"a1","displayName":"Orders","everyone":true,"tables":[{"table":"Order","privileges":["Read","Write"]}]}`, ""), "OK")
	made := text(t, o.tries("a copy", "sysadmin", "CreateRoleDefinition", `{"copyOf":"App Opener","roleDefinition":{"name":"Order app","environment":"d1"}}`, "OK"))
	_, rest, _ := strings.Cut(strings.ReplaceAll(made, " ", ""), `"id":"`)
	role, _, _ := strings.Cut(rest, `"`)
	o.tries("is assigned", "sysadmin", "CreateRoleAssignment", assign(user("ann"), "Order app", databaseScope), "OK")
	if got := opens(); got != "app PASSED, permission PASSED, environment PASSED, data FAILED, licence PASSED, DENY" {
		t.Errorf("a copy of App Opener: %s", got)
	}
	o.tries("the table is named", "sysadmin", "UpdateRoleDefinition", `{"roleDefinition":{"id":"`+role+`","name":"Order app","permissions":["PowerApps.Apps.Play"],"privileges":["Dataverse.{system}.Read@Organization","Dataverse.UserEntityUISettings.{Create,Read,Write}@User","Dataverse.Order.{Read,Write,Append}@User"]},"ifMatch":"*"}`, "OK")
	if got := opens(); got != "app PASSED, permission PASSED, environment PASSED, data PASSED, licence PASSED, ALLOW" {
		t.Errorf("with the table: %s", got)
	}
	checkReasons(t, checks, "ann", "d1", uses, record("ann", "hq"))
}
