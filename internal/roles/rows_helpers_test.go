package roles_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// The tables of each class, typed from the published lists; standard tables are of no
// others.
var classTables = map[string][]string{
	"core": {"Account", "Contact", "Activity", "Task", "Email", "PhoneCall", "Appointment", "Letter", "Fax"},
	"system": {
		"Process", "Entity", "SavedView", "SystemForm", "WebResource", "AppModule", "ConnectionReference", "EnvironmentVariableDefinition",
		"EnvironmentVariableValue", "User", "Team", "BusinessUnit", "SecurityRole", "Organization", "UserSettings",
	},
	"customization": {
		"Entity", "Column", "Relationship", "OptionSet", "SystemForm", "SavedView", "WebResource", "Process", "AppModule", "Solution", "Publisher",
		"PluginAssembly", "SdkStep", "ConnectionReference", "EnvironmentVariableDefinition", "EnvironmentVariableValue", "Connector", "AIModel",
	},
	"businessManagement": {"BusinessUnit", "User", "Team", "SecurityRole", "ColumnSecurityProfile", "Organization", "UserSettings"},
	"site":               {"Website", "WebPage", "WebFile", "WebRole", "ContentSnippet", "SiteSetting"},
	// Declared by these tests: two tables of the customer's, one without an owner, and one
	// that is of no class at all.
	"custom": {"new_Bank", "new_Rate"},
	"other":  {"UserEntityUISettings", "Plain"},
}

// newDatabase is an environment with the standard tables, two custom ones and a plain one.
// Some Contact and some new_Bank is shared with the whole organization.
func newDatabase(t testing.TB) *authz.Database {
	t.Helper()
	tables, err := roles.WithStandardTables([]authz.Table{
		{Name: "new_Bank", Classes: authz.CustomTables | authz.OrgSharedTables, Ownership: authz.UserOwned},
		{Name: "new_Rate", Classes: authz.CustomTables, Ownership: authz.OrganizationOwned},
		{Name: "Plain", Ownership: authz.UserOwned},
		{Name: "contact", Classes: authz.OrgSharedTables, SecuredColumns: []string{"governmentid"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := authz.NewDatabase(authz.DatabaseSpec{Tables: tables, BusinessUnits: []authz.BusinessUnit{{ID: "root"}, {ID: "sub", Parent: "root"}}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// reachLetters are the reaches of a table's eight privileges in the order Create, Read,
// Write, Delete, Append, AppendTo, Assign, Share: - none, U User, B Business Unit, P Parent:
// Child, O Organization.
func reachLetters(role *authz.SecurityRole, table authz.TableID) string {
	var b strings.Builder
	for _, p := range authz.TablePrivileges() {
		b.WriteByte("-UBPO"[role.Reach(table, p)])
	}
	return b.String()
}

const nothing = "--------"

// inDatabase is what a role gives in a database: by class or by table, the table's line
// deciding over the class's. Tables that neither names get nothing.
type inDatabase map[string]string

// checkReaches compares what the role gives on every table there is.
func checkReaches(t *testing.T, name string, want inDatabase) *authz.SecurityRole {
	t.Helper()
	db := newDatabase(t)
	def := mustFind(t, name)
	role, err := db.Compile(def)
	if err != nil {
		t.Fatal(err)
	}
	expected, got := map[string]string{}, map[string]string{}
	used := map[string]bool{}
	for class, tables := range classTables {
		for _, table := range tables {
			id, declared := db.TableNamed(table)
			if !declared {
				t.Fatalf("table %s of class %s is not declared", table, class)
			}
			got[table] = reachLetters(role, id)
			if _, done := expected[table]; !done {
				expected[table] = nothing
			}
			if line, ok := want["{"+class+"}"]; ok {
				used["{"+class+"}"] = true
				expected[table] = line
			}
		}
	}
	if line, ok := want["{any}"]; ok {
		used["{any}"] = true
		for table := range expected {
			expected[table] = line
		}
	}
	for key, line := range want {
		if _, isTable := expected[key]; isTable {
			used[key] = true
			expected[key] = line
		}
		if !used[key] {
			t.Errorf("%q is neither a class nor a table", key)
		}
	}
	if len(got) != db.Len() {
		t.Errorf("%d tables are listed here and %d declared", len(got), db.Len())
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("%s in a database (-want +got):\n%s", name, diff)
	}
	return role
}

func mustFind(t testing.TB, name string) authz.RoleDefinition {
	t.Helper()
	def, ok := roles.FindPredefined(name)
	if !ok {
		t.Fatalf("there is no predefined role %q", name)
	}
	return def
}

// row is a row of the tables of predefined roles; of the description only that there is one
// is compared.
type row struct {
	Category      string
	ID            string // empty: none is published, and it is ours
	Permissions   []string
	Exceptions    []string
	At            []string
	Elevates      bool
	ActOnBehalf   bool
	EveryColumn   bool
	TeamOnly      bool
	Aliases       []string
	MayAssignOnly []string
}

var (
	atTenant      = []string{"/tenants/{0}"}
	atEnvironment = []string{"/tenants/{0}/environments/{1}"}
	atWebsite     = []string{"/tenants/{0}/environments/{1}/websites/{2}"}
)

func checkRow(t *testing.T, name string, want row) {
	t.Helper()
	def := mustFind(t, name)
	if def.Name != name || def.Description == "" {
		t.Errorf("the role is called %q and described as %q", def.Name, def.Description)
	}
	if (want.ID == "") != roles.IDIsOurs(def.ID) {
		t.Errorf("identifier %s is ours: %v", def.ID, roles.IDIsOurs(def.ID))
	}
	got := row{
		Category: def.Category, ID: def.ID, Permissions: def.Permissions, Exceptions: def.PermissionsExceptions, At: def.AssignableScopes,
		Elevates: def.Terms.Elevates, ActOnBehalf: slices.Contains(def.Privileges, "Dataverse.User.ActOnBehalf"),
		EveryColumn: def.EverySecuredColumn, TeamOnly: def.TeamOnly, Aliases: def.Aliases, MayAssignOnly: def.Terms.AssignableRoles,
	}
	if want.ID == "" {
		got.ID = ""
	}
	for _, list := range []*[]string{&got.Permissions, &got.Exceptions, &got.At, &got.Aliases, &got.MayAssignOnly} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// platform says which of the permissions a role grants, of the shipped catalogue's.
func platform(t *testing.T, def authz.RoleDefinition) func(permission string) bool {
	t.Helper()
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	vocabulary := catalogues.Vocabulary()
	role, err := vocabulary.Compile(def)
	if err != nil {
		t.Fatal(err)
	}
	return func(permission string) bool {
		id, known := vocabulary.ID(permission)
		if !known {
			t.Errorf("the shipped catalogue knows no %s", permission)
		}
		return role.Grants(id)
	}
}

// checkPlatform checks what a role grants and what not, permissions separated by spaces.
func checkPlatform(t *testing.T, name, grants, lacks string) {
	t.Helper()
	has := platform(t, mustFind(t, name))
	for _, permission := range strings.Fields(grants) {
		if !has(permission) {
			t.Errorf("%s lacks %s", name, permission)
		}
	}
	for _, permission := range strings.Fields(lacks) {
		if has(permission) {
			t.Errorf("%s has %s", name, permission)
		}
	}
}

// candidate is an assignment that nothing speaks against but the holder.
func candidate(kind authz.HolderKind) authz.Candidate {
	return authz.Candidate{
		Effect: authz.AssignAllow, Holder: kind, TeamName: "Field", HasDatabase: true, InEnvironment: true, BusinessUnit: "root",
	}
}

// allHolders are the kinds of holder but the zero one.
func allHolders() []authz.HolderKind {
	var all []authz.HolderKind
	for kind := authz.UserHolder; kind <= authz.DirectoryRoleHolder; kind++ {
		all = append(all, kind)
	}
	return all
}

// checkHolders checks that exactly these kinds may hold the role, all else being well.
func checkHolders(t *testing.T, name string, well func(*authz.Candidate), kinds ...authz.HolderKind) {
	t.Helper()
	def := mustFind(t, name)
	for _, kind := range allHolders() {
		c := candidate(kind)
		well(&c)
		if err := def.CheckAssignment(c); (err == nil) != slices.Contains(kinds, kind) {
			t.Errorf("%s to %v: %v", name, kind, err)
		}
	}
}

// checkRefused checks that the candidate is refused and told this.
func checkRefused(t *testing.T, name string, c authz.Candidate, want string) {
	t.Helper()
	def := mustFind(t, name)
	if err := def.CheckAssignment(c); err == nil || err.Error() != fmt.Sprintf("role %q: %s", def.Name, want) {
		t.Errorf("%s: %v, want %s", name, err, want)
	}
}
