package admin_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// databases is a tenant with an environment d1 with a database, and e1 without. root owns the
// tenant, sa is System Administrator of d1, customizer System Customizer.
const databases = `
  - id: t1
    environments: [{id: d1, dataverse: true}, {id: e1}]
    businessUnits: [{id: hq, environment: d1}, {id: sales, environment: d1, parent: hq}]
    principals:
      - {principalType: User, principalObjectId: gone, disabled: true}
    groups: [{id: staff, members: [{principalType: User, principalObjectId: ann}]}]
    tables:
      - {environment: d1, name: Order, classes: [custom], ownership: User}
    users:
      - {environment: d1, principalType: User, principalObjectId: sa}
      - {environment: d1, principalType: User, principalObjectId: customizer}
      - {environment: d1, principalType: User, principalObjectId: ann, businessUnit: sales}
      - {environment: d1, principalType: User, principalObjectId: gone}
      - {environment: d1, principalType: User, principalObjectId: off, disabled: true}
      - {environment: d1, principalType: ApplicationUser, principalObjectId: bot}
      - {environment: d1, principalType: ApplicationUser, principalObjectId: service, serviceInstalled: true}
    teams:
      - {id: owners, environment: d1, displayName: Owners, teamType: OwnerTeam, members: [{principalType: User, principalObjectId: ann}]}
      - {id: people, environment: d1, displayName: People, teamType: GroupTeam, group: staff}
      - {id: seers, environment: d1, displayName: Seers, teamType: AccessTeam, members: [{principalType: User, principalObjectId: ann}]}
    roleDefinitions:
      - {roleDefinitionId: clerk, roleDefinitionName: Clerk, environment: d1, privileges: [Dataverse.Order.Read@User]}
      - roleDefinitionId: limited
        roleDefinitionName: Reader of readers
        permissions: [Authorization.RoleAssignments.ReadWrite, Authorization.RoleAssignments.Delete]
        assignableScopes: ["/tenants/{0}"]
        assignableRoles: [Power Platform Reader]
    roleAssignments:
      - {roleAssignmentId: as-root, principalType: User, principalObjectId: root, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {roleAssignmentId: as-sa, principalType: User, principalObjectId: sa, roleDefinitionName: System Administrator, scope: /tenants/t1/environments/d1}
      - {roleAssignmentId: as-customizer, principalType: User, principalObjectId: customizer, roleDefinitionName: System Customizer, scope: /tenants/t1/environments/d1}
      - {roleAssignmentId: as-admin, principalType: User, principalObjectId: envadmin, roleDefinitionName: Environment Admin, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: as-maker, principalType: User, principalObjectId: maker, roleDefinitionName: Environment Maker, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: as-makers, principalType: Group, principalObjectId: staff, roleDefinitionName: Environment Maker, scope: /tenants/t1/environments/e1, expiresOn: 2030-01-01T00:00:00Z}
      - {roleAssignmentId: as-lim, principalType: User, principalObjectId: lim, roleDefinitionName: Reader of readers, scope: /tenants/t1}
`

const envD1 = "/tenants/t1/environments/d1"

func team(id string) authz.Principal { return authz.Principal{Type: authz.Team, ID: id} }

func directoryRole(id string) authz.Principal {
	return authz.Principal{Type: authz.DirectoryRole, ID: id}
}

// assigns tries an assignment, and returns its identifier and what it was refused for.
func (w *world) assigns(by string, p authz.Principal, role, scope string) (string, error) {
	made, err := w.CreateRoleAssignment(context.Background(), w.as(by), admin.CreateRoleAssignmentRequest{Principal: p, Role: role, Scope: scope})
	return made.RoleAssignment.ID, err
}

func (w *world) tenant() snapshot.Tenant {
	w.t.Helper()
	d, err := w.store.Export(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Tenants[0]
}

// Who may hold which role, with a database and without: a row each, as the rules of the
// predefined roles say.
func TestWhoMayHoldWhichRole(t *testing.T) {
	w := newWorld(t, databases)
	for _, c := range []struct {
		who         authz.Principal
		role, scope string
		refused     string // a part of the reason; empty: assigned
	}{
		{user("ann"), "Basic User", envD1, ""},
		{user("ann"), "Clerk", envD1 + "/businessUnits/sales", ""},
		{app("bot"), "Delegate", envD1, ""},
		{user("bot"), "App Opener", envD1, ""},
		{team("owners"), "System Customizer", envD1, ""},
		{team("people"), "Clerk", envD1, ""},
		{group("staff"), "Environment Maker", envD1, ""},
		{team("owners"), "Delegate", envD1, "OwnerTeam may not hold it"},
		{team("people"), "Delegate", envD1, "GroupTeam may not hold it"},
		{team("seers"), "Clerk", envD1, "an access team holds no roles"},
		{team("seers"), reader, envD1, "an access team holds no roles"},
		{team("unknown"), "Clerk", envD1, `has no team "unknown"`},
		{group("staff"), "Basic User", envD1, "Group may not hold it"},
		{user("eve"), "Basic User", envD1, "the user is not in the environment: add it first"},
		{user("eve"), "Environment Maker", envD1, "the user is not in the environment: add it first"},
		{user("gone"), "Basic User", envD1, "is disabled"},
		{user("off"), "Basic User", envD1, "the user is disabled: enable it first"},
		{user("ann"), "Environment Admin", envD1, "the environment has a database: assign System Administrator instead"},
		{user("ann"), "Office Collaborator", envD1, "is given and taken by the service"},
		{app("service"), "Service Reader", envD1, "is given and taken by the service"},
		{app("service"), "Service Deleted", envD1, "is given and taken by the service"},
		{user("ann"), "Support User", envD1, "is given and taken by the service"},
		{user("ann"), "Website Owner", envD1 + "/websites/w1", "comes with creating a website"},
		{user("ann"), "Website App Owner", envD1 + "/websites/w1", "comes with a website's app registration"},
		{user("ann"), "Environment Maker (Dataverse)", envD1, "comes and goes with the role whose companion it is, such as Environment Maker"},
		{user("ann"), "Basic User", "/tenants/t1/environments/e1", "the environment has no database"},
		{user("ann"), "Clerk", "/tenants/t1/environments/e1", "may not be assigned at"},
		{user("ann"), "System Customizer", envD1 + "/powerapps/a7", "may not be assigned at"},
		{user("ann"), "Environment Maker", envD1 + "/businessUnits/sales", "may not be assigned at"},
		{user("ann"), "Power Platform Administrator", "/tenants/t1", "User may not hold it"},
		{group("staff"), "Global Administrator", "/tenants/t1", "Group may not hold it"},
		{directoryRole("62e90394-69f5-4237-9190-012177145e10"), "Global Administrator", "/tenants/t1", ""},
		{directoryRole("f2ef992c-3afb-46b9-b7cf-a126ee74c451"), "Global Reader", "/tenants/t1", "may not be assigned at"},
		{directoryRole("44367163-eba1-44c3-98af-f5787879f96a"), "Dynamics 365 Administrator (environment)", envD1, ""},
		{directoryRole("44367163-eba1-44c3-98af-f5787879f96a"), "Dynamics 365 Administrator (environment)", "/tenants/t1/environments/e1", "has no database"},
		{user("eve"), "Environment Admin", "/tenants/t1/environments/e1", ""},
		{group("staff"), "Environment Admin", "/tenants/t1/environments/e1", ""},
	} {
		_, err := w.assigns("root", c.who, c.role, c.scope)
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%v as %s at %s: %v", c.who, c.role, c.scope, err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%v as %s at %s: %v, want %q", c.who, c.role, c.scope, err, c.refused)
		}
	}
}

func TestADisabledUserIsAssignedARoleWhereThatIsAllowed(t *testing.T) {
	w := newWorld(t, databases, func(o *admin.Options) { o.AllowRoleAssignmentOnDisabledUsers = true })
	for _, who := range []string{"gone", "off"} {
		if _, err := w.assigns("root", user(who), "Basic User", envD1); err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
}

// A right to assign that is limited to some roles counts for those, and for nothing else.
func TestARightToAssignIsLimited(t *testing.T) {
	w := newWorld(t, databases)
	for _, c := range []struct{ by, role, scope, want string }{
		{"lim", reader, "/tenants/t1", ""},
		{"lim", contributor, "/tenants/t1", "limited to some roles, and does not cover"},
		{"envadmin", "Environment Maker", "/tenants/t1/environments/e1", ""},
		{"envadmin", "Environment Admin", "/tenants/t1/environments/e1", ""},
		{"envadmin", reader, "/tenants/t1/environments/e1", "limited to some roles, and does not cover"},
		{"envadmin", "Environment Maker", envD1, "is needed at " + envD1},
		{"sa", "Clerk", envD1, ""},
		{"sa", "Environment Maker", envD1, ""},
		{"sa", reader, envD1, "limited to some roles, and does not cover"},
		{"sa", "Service Reader", envD1, "limited to some roles, and does not cover"},
	} {
		_, err := w.assigns(c.by, user("ann"), c.role, c.scope)
		if c.want == "" && err != nil || c.want != "" && (admin.KindOf(err) != admin.Forbidden || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s assigns %s at %s: %v, want %q", c.by, c.role, c.scope, err, c.want)
		}
	}
	// What a second role gives without a limit, it gives.
	if _, err := w.assigns("root", user("lim"), administrator, "/tenants/t1"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.assigns("lim", user("eve"), contributor, "/tenants/t1"); err != nil {
		t.Errorf("with a role that has no limit besides: %v", err)
	}
	for _, c := range []struct{ by, id string }{{"envadmin", "as-maker"}, {"sa", "as-customizer"}} {
		if _, err := w.DeleteRoleAssignment(t.Context(), w.as(c.by), admin.DeleteRoleAssignmentRequest{ID: c.id}); err != nil {
			t.Errorf("%s removes %s: %v", c.by, c.id, err)
		}
	}
}

// Somebody whose limited right comes to cover more has gained.
func TestALimitThatIsWidenedIsAGain(t *testing.T) {
	w := newWorld(t, strings.Replace(databases, "as-lim, principalType: User, principalObjectId: lim", "as-lim, principalType: Group, principalObjectId: staff", 1)+
		"      - {principalType: User, principalObjectId: ann, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1}\n")
	edit := func(roles ...string) error {
		def := authz.RoleDefinition{
			ID: "limited", Name: "Reader of readers", AssignableScopes: []string{"/tenants/{0}"},
			Permissions: []string{"Authorization.RoleAssignments.ReadWrite", "Authorization.RoleAssignments.Delete"},
		}
		if roles != nil {
			def.Terms = &authz.RoleTerms{AssignableRoles: roles}
		}
		_, err := w.UpdateRoleDefinition(t.Context(), w.as("ann"), admin.UpdateRoleDefinitionRequest{RoleDefinition: def, Etag: "*"})
		return err
	}
	for name, err := range map[string]error{
		"one more role": edit(reader, contributor), "every security role": edit(reader, authz.AllSecurityRoles), "no limit": edit(),
	} {
		if admin.KindOf(err) != admin.SelfEscalation || !strings.Contains(err.Error(), "for more roles") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := edit("Power-Platform READER"); err != nil {
		t.Errorf("the same limit, spelled otherwise: %v", err)
	}
	if admin.KindOf(edit("No such role")) != admin.RoleUnknown {
		t.Error("a limit may name a role that is not there")
	}
}

// roleNames are the roles that a principal is assigned in an environment, sorted.
func (w *world) roleNames(p authz.Principal, scope string) []string {
	w.t.Helper()
	var names []string
	found, err := w.RoleAssignments(context.Background(), w.as("root"), admin.RoleAssignmentsRequest{Scope: scope, Principal: p})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, as := range found.Items {
		names = append(names, as.RoleDefinitionName)
	}
	slices.Sort(names)
	return names
}

func TestEnvironmentMakerBringsItsSecurityRoleAlong(t *testing.T) {
	w := newWorld(t, databases)
	before := w.store.Current().Revision().Number
	id, err := w.assigns("root", user("ann"), "Environment Maker", envD1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Environment Maker", "Environment Maker (Dataverse)"}, w.roleNames(user("ann"), envD1)); diff != "" {
		t.Error(diff)
	}
	if now := w.store.Current().Revision().Number; now != before+1 {
		t.Errorf("it took %d revisions", now-before)
	}
	for _, as := range w.tenant().RoleAssignments {
		if as.RoleDefinitionID == "37ca23ea-5f77-8e43-8062-90ac836de457" {
			if _, err := w.DeleteRoleAssignment(t.Context(), w.as("root"), admin.DeleteRoleAssignmentRequest{ID: as.ID}); admin.KindOf(err) != admin.NotAssignable {
				t.Errorf("the companion is removed by hand: %v", err)
			}
		}
	}
	if _, err := w.DeleteRoleAssignment(t.Context(), w.as("root"), admin.DeleteRoleAssignmentRequest{ID: id}); err != nil {
		t.Fatal(err)
	}
	if got := w.roleNames(user("ann"), envD1); len(got) > 0 {
		t.Errorf("it left %v", got)
	}
	if now := w.store.Current().Revision().Number; now != before+2 {
		t.Errorf("it took %d revisions", now-before)
	}
}

func TestProvisioningADatabaseKeepsWhatWasAssigned(t *testing.T) {
	w := newWorld(t, databases)
	put := func(dataverse bool) error {
		_, err := w.PutEnvironment(t.Context(), w.as("root"), admin.PutEnvironmentRequest{Environment: admin.Environment{ID: "e1", Dataverse: dataverse}, Etag: "*"})
		return err
	}
	if err := put(true); err != nil {
		t.Fatal(err)
	}
	for who, want := range map[authz.Principal][]string{
		user("envadmin"): {"Environment Admin"}, // and no data
		user("maker"):    {"Environment Maker", "Environment Maker (Dataverse)"},
		group("staff"):   {"Environment Maker", "Environment Maker (Dataverse)"},
	} {
		if diff := cmp.Diff(want, w.roleNames(who, "/tenants/t1/environments/e1")); diff != "" {
			t.Errorf("%v: %s", who, diff)
		}
	}
	for _, as := range w.tenant().RoleAssignments {
		if as.Principal == group("staff") && as.Expires != 1893456000 { // the end of 2029
			t.Errorf("%s expires at %d", as.RoleDefinitionID, as.Expires)
		}
	}
	if _, err := w.assigns("envadmin", user("eve"), "Environment Admin", "/tenants/t1/environments/e1"); admin.KindOf(err) != admin.NotAssignable {
		t.Errorf("a new Environment Admin: %v", err)
	}
	if err := put(false); admin.KindOf(err) != admin.InUse {
		t.Errorf("the database is taken away from its users: %v", err)
	}
}

func (w *world) creates(by string, q admin.CreateRoleDefinitionRequest) (admin.RoleDefinition, error) {
	made, err := w.CreateRoleDefinition(context.Background(), w.as(by), q)
	return made.RoleDefinition, err
}

func TestACustomSecurityRole(t *testing.T) {
	w := newWorld(t, databases)
	opener := []string{"Dataverse.UserEntityUISettings.{Create,Read,Write}@User", "Dataverse.{system}.Read@Organization"}
	def := func(name string, privileges ...string) authz.RoleDefinition {
		return authz.RoleDefinition{Name: name, Environment: "d1", Privileges: privileges}
	}
	// A new one begins with what opening an app takes, whoever makes it.
	made, err := w.creates("root", admin.CreateRoleDefinitionRequest{RoleDefinition: def("Editor")})
	if diff := cmp.Diff(opener, made.Privileges); err != nil || diff != "" || made.CannotOpenApp {
		t.Errorf("a new role: %v, cannot open an app: %v %s", err, made.CannotOpenApp, diff)
	}
	empty, err := w.creates("sa", admin.CreateRoleDefinitionRequest{RoleDefinition: def("Nothing"), Empty: true})
	if err != nil || len(empty.Privileges) > 0 || !empty.CannotOpenApp || !slices.Contains(empty.MissingToOpenApp, "Dataverse.WebResource.Read") {
		t.Errorf("an empty one: %v %+v", err, empty)
	}
	for _, c := range []struct {
		what, by string
		def      authz.RoleDefinition
		want     admin.Kind
	}{
		{"a System Customizer", "customizer", def("By customizer", "Dataverse.Entity.Read@Organization"), 0},
		{"more than a System Customizer holds", "customizer", def("More", "Dataverse.Account.Read@BusinessUnit"), admin.Escalation},
		{"somebody who holds nothing there", "ann", def("Mine"), admin.Forbidden},
		{"an Environment Admin of another environment", "envadmin", def("Mine"), admin.Forbidden},
		{"a tenant's administrator, what it does not hold", "root", def("Order", "Dataverse.Order.Read@User"), admin.Escalation},
		{"a System Administrator", "sa", def("Order", "dataverse.order.READ@organization", "Dataverse.User.ActOnBehalf"), 0},
		{"a name that is taken", "sa", def("order"), admin.Duplicate},
		{"a name by which another goes", "sa", def("Common-Data Service User"), admin.Duplicate},
		{"a table that is not there", "sa", def("T", "Dataverse.Nothing.Read@User"), admin.Invalid},
		{"a privilege that is none", "sa", def("P", "Dataverse.Order.Eat@User"), admin.Invalid},
		{"a business unit that is not there", "sa", authz.RoleDefinition{Name: "B", Environment: "d1", BusinessUnit: "nowhere"}, admin.ScopeUnknown},
		{"permissions of the platform", "sa", authz.RoleDefinition{Name: "C", Environment: "d1", Permissions: []string{"*"}}, admin.Invalid},
		{"scopes of its own", "sa", authz.RoleDefinition{Name: "D", Environment: "d1", AssignableScopes: []string{"/tenants/{0}"}}, admin.Invalid},
		{"without a database", "root", authz.RoleDefinition{Name: "E", Environment: "e1"}, admin.Invalid},
		{"privileges without an environment", "root", authz.RoleDefinition{Name: "F", Permissions: []string{"*.Read"}, Privileges: []string{"Dataverse.Order.Read@User"}}, admin.Invalid},
	} {
		_, err := w.creates(c.by, admin.CreateRoleDefinitionRequest{RoleDefinition: c.def})
		if c.want == 0 && err != nil || c.want != 0 && admin.KindOf(err) != c.want {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	// A copy has privileges and settings, and nobody holds it.
	copied, err := w.creates("sa", admin.CreateRoleDefinitionRequest{CopyOf: "App Opener", RoleDefinition: authz.RoleDefinition{Name: "Copy", Environment: "d1", BusinessUnit: "sales"}})
	if diff := cmp.Diff(opener, copied.Privileges); err != nil || diff != "" || copied.BusinessUnit != "sales" {
		t.Errorf("a copy: %v %s", err, diff)
	}
	for _, of := range []string{"Service Reader", "Website Owner", "Environment Maker (Dataverse)"} {
		if _, err := w.creates("sa", admin.CreateRoleDefinitionRequest{CopyOf: of, RoleDefinition: authz.RoleDefinition{Name: "X", Environment: "d1"}}); admin.KindOf(err) != admin.Immutable {
			t.Errorf("a copy of %s, which is not assigned by hand: %v", of, err)
		}
	}
	if _, err := w.creates("root", admin.CreateRoleDefinitionRequest{CopyOf: "Basic User", RoleDefinition: authz.RoleDefinition{Name: "X"}}); admin.KindOf(err) != admin.Invalid {
		t.Errorf("a copy of a security role without an environment: %v", err)
	}
	// It is deleted when nobody holds it.
	id, err := w.assigns("sa", user("ann"), "Copy", envD1)
	if err != nil {
		t.Fatal(err)
	}
	drop := func() error {
		_, err := w.DeleteRoleDefinition(t.Context(), w.as("sa"), admin.DeleteRoleDefinitionRequest{ID: copied.ID, Etag: "*"})
		return err
	}
	if err := drop(); admin.KindOf(err) != admin.InUse {
		t.Errorf("a role that is assigned is deleted: %v", err)
	}
	if _, err := w.DeleteRoleAssignment(t.Context(), w.as("sa"), admin.DeleteRoleAssignmentRequest{ID: id}); err != nil {
		t.Fatal(err)
	}
	if err := drop(); err != nil {
		t.Error(err)
	}
	if _, err := w.UpdateRoleDefinition(t.Context(), w.as("root"), admin.UpdateRoleDefinitionRequest{RoleDefinition: authz.RoleDefinition{ID: "627090ff-40a3-4053-8790-584edc5be201", Name: "X"}, Etag: "*"}); admin.KindOf(err) != admin.Immutable {
		t.Errorf("a predefined role is edited: %v", err)
	}
}

// An import says how many things it changes: those of databases count.
func TestAnImportCountsWhatDatabasesHave(t *testing.T) {
	w := newWorld(t, databases)
	changed := strings.NewReplacer(
		"{id: owners, environment: d1, displayName: Owners,", "{id: owners, environment: d1, displayName: Others,",
		"      - {environment: d1, principalType: ApplicationUser, principalObjectId: bot}\n", "",
		"privileges: [Dataverse.Order.Read@User]", "privileges: [Dataverse.Order.Read@Organization]",
	).Replace(databases) + "    shares: [{environment: d1, table: Order, record: r1, everyone: true, rights: [Read]}]\n"
	for _, c := range []struct {
		data                    string
		added, changed, removed uint64
	}{{databases, 0, 0, 0}, {changed, 1, 2, 1}} {
		got, err := w.Import(t.Context(), admin.Caller{Kind: admin.Operator}, admin.ImportRequest{Data: parse(t, c.data), ValidateOnly: true})
		if err != nil || got.Added != c.added || got.Changed != c.changed || got.Removed != c.removed {
			t.Errorf("%v: %d added, %d changed, %d removed, want %d, %d, %d", err, got.Added, got.Changed, got.Removed, c.added, c.changed, c.removed)
		}
	}
}

func TestWhoReadsASecurityRole(t *testing.T) {
	w := newWorld(t, databases)
	for _, c := range []struct {
		by, role string
		want     admin.Kind
	}{
		{"root", "Clerk", 0}, {"sa", "Clerk", 0}, {"sa", "Reader of readers", admin.Forbidden}, {"sa", "No such role", admin.Forbidden},
		{"customizer", "Clerk", admin.Forbidden}, {"envadmin", "Clerk", admin.Forbidden}, {"root", "No such role", admin.NotFound},
	} {
		found, _, err := w.RoleDefinition(t.Context(), w.as(c.by), "", c.role)
		if c.want == 0 && (err != nil || !found.CannotOpenApp) || c.want != 0 && admin.KindOf(err) != c.want {
			t.Errorf("%s by %s: %v %+v", c.role, c.by, err, found)
		}
	}
}

// Where nobody may give what they do not hold, that holds for data too.
func TestNobodyGivesAwayDataThatTheyDoNotReach(t *testing.T) {
	w := newWorld(t, databases, func(o *admin.Options) { o.Escalation = admin.PolicyDeny })
	escalates := func(what string, err error, refused bool) {
		t.Helper()
		if refused && admin.KindOf(err) != admin.Escalation || !refused && err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := w.assigns("root", user("ann"), "Clerk", envD1)
	escalates("by an owner of the tenant, who reaches no data", err, true)
	_, err = w.assigns("sa", user("ann"), "Clerk", envD1)
	escalates("by a System Administrator", err, false)
	_, err = w.PutItem(t.Context(), w.as("root"), admin.PutItemRequest{Item: admin.Item{Share: &snapshot.Share{
		Environment: "d1", Table: "Order", Record: "r1", Share: authz.Share{With: user("ann"), Rights: authz.Privileges(authz.ReadPrivilege)},
	}}})
	escalates("a share by the owner of the tenant", err, true)
	_, err = w.PutItem(t.Context(), w.as("sa"), admin.PutItemRequest{Item: admin.Item{Share: &snapshot.Share{
		Environment: "d1", Table: "Order", Record: "r1", Share: authz.Share{With: user("ann"), Rights: authz.Privileges(authz.ReadPrivilege)},
	}}})
	escalates("a share by a System Administrator", err, false)
	_, err = w.PutItem(t.Context(), w.as("root"), admin.PutItemRequest{Etag: "*", Item: admin.Item{User: &snapshot.EnvironmentUser{
		Environment: "d1", Principal: user("off"),
	}}})
	escalates("somebody who holds nothing is enabled", err, false)
}

// An edit of a role is in force for all who hold it in one revision, and what it had before
// need not be held by who edits it.
func TestAnEditOfASecurityRole(t *testing.T) {
	w := newWorld(t, databases)
	if _, err := w.assigns("sa", user("ann"), "Clerk", envD1); err != nil {
		t.Fatal(err)
	}
	edit := func(by string, lines ...string) error {
		_, err := w.UpdateRoleDefinition(t.Context(), w.as(by), admin.UpdateRoleDefinitionRequest{
			RoleDefinition: authz.RoleDefinition{ID: "clerk", Name: "Clerk", Privileges: lines}, Etag: "*",
		})
		return err
	}
	if err := edit("root", "Dataverse.Order.Read@User"); err != nil {
		t.Errorf("nothing more: %v", err)
	}
	if err := edit("root", "Dataverse.Order.Read@Organization"); admin.KindOf(err) != admin.Escalation {
		t.Errorf("a reach that is not held: %v", err)
	}
	before := w.store.Current().Revision().Number
	if err := edit("sa", "Dataverse.Order.{Read,Write}@Organization"); err != nil {
		t.Fatal(err)
	}
	if now := w.store.Current().Revision().Number; now != before+1 {
		t.Errorf("it took %d revisions", now-before)
	}
	subject, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: user("ann")})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.Read(t.Context(), func(r *snapshot.Reader) error {
		db, err := r.Database("t1", "d1")
		if err != nil {
			return err
		}
		s, err := r.RecordSubject("t1", "d1", subject)
		if err != nil {
			return err
		}
		order, _ := db.TableNamed("Order")
		if d := authz.DecideRecord(db, authz.RecordRequest{Caller: s, Table: order, Privilege: authz.WritePrivilege}, begin.Unix()); !d.Allowed() {
			t.Errorf("ann may not write: %+v", d)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := edit("root"); err != nil { // who takes away needs nothing
		t.Error(err)
	}
}
