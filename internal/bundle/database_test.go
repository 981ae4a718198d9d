package bundle_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// databaseExample has everything that an environment with a database can have, spelled as
// people do.
const databaseExample = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environments: [{id: e1, dataverse: true}, {id: e2, dataverse: true}]
    businessUnits: [{id: b0, environment: e1}, {id: b1, environment: e1, parent: b0}]
    tables:
      - {environment: e1, name: Order, classes: [CUSTOM], ownership: user, entitySet: new_orders, securedColumns: [margin, Cost]}
      - {environment: E1, name: account, classes: [site], securedColumns: [CreditLimit]}
      - {environment: e2, name: Order, ownership: BusinessUnit}
    users:
      - {environment: e1, principalType: User, principalObjectId: U1, businessUnit: B1}
      - {environment: e1, principalType: ApplicationUser, principalObjectId: a1, disabled: true, serviceInstalled: true}
      - {environment: e2, principalType: User, principalObjectId: u1}
    teams:
      - {id: team1, environment: e1, displayName: Sales, teamType: ownerTeam, businessUnit: b1, members: [{principalType: User, principalObjectId: u1}]}
      - {id: Team2, environment: e1, teamType: GroupTeam, group: GRP1}
      - {id: team3, environment: e2, teamType: AccessTeam}
    columnProfiles:
      - {id: p1, environment: e1, displayName: Margins, columns: [{table: order, column: MARGIN, rights: [update, Create]}, {table: Account, column: creditlimit, rights: [Read]}], principals: [{principalType: Team, principalObjectId: team1}, {principalType: User, principalObjectId: u1}]}
    shares:
      - {environment: e1, table: ORDER, record: R1, principalType: Team, principalObjectId: team2, rights: [Share, Assign, Append, Delete, Write, Read]}
      - {environment: e1, table: Order, record: r1, everyone: true, rights: [Read]}
      - {environment: e1, table: Account, record: r1, principalType: ApplicationUser, principalObjectId: a1, rights: [Read]}
    apps:
      - {id: A1, environment: e1, displayName: Orders, everyone: true, sharedWith: [{principalType: Team, principalObjectId: team1}, {principalType: Group, principalObjectId: grp1}], tables: [{table: Order, privileges: [Write, Read]}, {table: Account, privileges: []}]}
      - {id: a1, environment: e2}
    flows:
      - {id: f1, environment: e1, displayName: Nightly, maker: {principalType: ApplicationUser, principalObjectId: a1}, runOnlyUsers: [{principalType: User, principalObjectId: u1}], connections: [{name: mail, connector: shared_office365}, {name: data, connector: dataverse, provider: maker, tables: [{table: order}]}, {name: more, connector: dataverse, provider: RunOnlyUser}]}
      - {id: f2, environment: e1, connections: []}
    roleDefinitions:
      - {roleDefinitionId: r1, roleDefinitionName: Clerk, description: Enters orders., environment: e1, businessUnit: b1, permissions: [PowerApps.Apps.Play], privileges: ["Dataverse.Order.{CRWD,Append}@User", "dataverse.{Core}.read@organization"], teamOnly: true, assignableRoles: [clerk, Environment User, "{securityRoles}"]}
      - {roleDefinitionId: r2, roleDefinitionName: Nothing, environment: e2}
      - {roleDefinitionId: r3, roleDefinitionName: Deputy, permissions: [PowerApps.Apps.Read], assignableRoles: [4B6803E3-29D4-8AF9-A346-14CCA3FF48FD]}
    roleAssignments:
      - {roleAssignmentId: x1, principalType: User, principalObjectId: u1, roleDefinitionName: user, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: x2, principalType: Team, principalObjectId: team1, roleDefinitionName: Clerk, scope: /tenants/t1/environments/e1/businessUnits/b1, expiresOn: 2027-01-01T00:00:00Z}
      - {roleAssignmentId: x3, principalType: Group, principalObjectId: grp1, roleDefinitionName: Environment Admin, scope: /tenants/t1/environments/e2}
...
`

func databaseData() *snapshot.Data {
	user := authz.Principal{Type: authz.User, ID: "u1"}
	app := authz.Principal{Type: authz.ApplicationUser, ID: "a1"}
	group := authz.Principal{Type: authz.Group, ID: "grp1"}
	team1, team2 := authz.Principal{Type: authz.Team, ID: "team1"}, authz.Principal{Type: authz.Team, ID: "team2"}
	rights := authz.Privileges
	return &snapshot.Data{Tenants: []snapshot.Tenant{{
		ID:            "t1",
		Environments:  []snapshot.Environment{{ID: "e1", Dataverse: true}, {ID: "e2", Dataverse: true}},
		BusinessUnits: []authz.BusinessUnit{{ID: "b0", Environment: "e1"}, {ID: "b1", Environment: "e1", Parent: "b0"}},
		Tables: []snapshot.Table{
			{Environment: "e1", Table: authz.Table{Name: "Order", Classes: authz.CustomTables, Ownership: authz.UserOwned, EntitySet: "new_orders", SecuredColumns: []string{"margin", "Cost"}}},
			{Environment: "e1", Table: authz.Table{Name: "account", Classes: authz.SiteTables, SecuredColumns: []string{"CreditLimit"}}},
			{Environment: "e2", Table: authz.Table{Name: "Order", Ownership: authz.BusinessUnitOwned}},
		},
		Users: []snapshot.EnvironmentUser{
			{Environment: "e1", Principal: user, BusinessUnit: "b1"},
			{Environment: "e1", Principal: app, Disabled: true, ServiceInstalled: true},
			{Environment: "e2", Principal: user},
		},
		Teams: []snapshot.Team{
			{ID: "team1", Environment: "e1", DisplayName: "Sales", Kind: authz.OwnerTeamHolder, BusinessUnit: "b1", Members: []authz.Principal{user}},
			{ID: "team2", Environment: "e1", Kind: authz.GroupTeamHolder, Group: "grp1"},
			{ID: "team3", Environment: "e2", Kind: authz.AccessTeamHolder},
		},
		ColumnProfiles: []snapshot.ColumnProfile{{
			ID: "p1", Environment: "e1", DisplayName: "Margins",
			Columns: []snapshot.ColumnRight{
				{Table: "order", Column: "MARGIN", Rights: rights(authz.CreatePrivilege, authz.WritePrivilege)},
				{Table: "Account", Column: "creditlimit", Rights: rights(authz.ReadPrivilege)},
			},
			Principals: []authz.Principal{team1, user},
		}},
		Shares: []snapshot.Share{
			{Environment: "e1", Table: "ORDER", Record: "r1", Share: authz.Share{With: team2, Rights: rights(
				authz.ReadPrivilege, authz.WritePrivilege, authz.DeletePrivilege, authz.AppendPrivilege, authz.AssignPrivilege, authz.SharePrivilege)}},
			{Environment: "e1", Table: "Order", Record: "r1", Share: authz.Share{WithOrganization: true, Rights: rights(authz.ReadPrivilege)}},
			{Environment: "e1", Table: "Account", Record: "r1", Share: authz.Share{With: app, Rights: rights(authz.ReadPrivilege)}},
		},
		Apps: []snapshot.App{
			{
				ID: "a1", Environment: "e1", DisplayName: "Orders", SharedWith: []authz.Principal{team1, group}, SharedWithEveryone: true,
				Tables: []snapshot.TableUse{{Table: "Order", Privileges: rights(authz.ReadPrivilege, authz.WritePrivilege)}, {Table: "Account"}},
			},
			{ID: "a1", Environment: "e2"},
		},
		Flows: []snapshot.Flow{
			{
				ID: "f1", Environment: "e1", DisplayName: "Nightly", Maker: app, RunOnly: []authz.Principal{user},
				Connections: []snapshot.Connection{
					{Name: "mail", Connector: "shared_office365"},
					{Name: "data", Connector: "dataverse", Provider: snapshot.MakerProvides, Tables: []snapshot.TableUse{{Table: "order"}}},
					{Name: "more", Connector: "dataverse", Provider: snapshot.RunOnlyUserProvides},
				},
			},
			{ID: "f2", Environment: "e1"},
		},
		RoleDefinitions: []authz.RoleDefinition{
			{
				ID: "r1", Name: "Clerk", Description: "Enters orders.", Environment: "e1", BusinessUnit: "b1", TeamOnly: true, Permissions: []string{"PowerApps.Apps.Play"},
				Privileges: []string{"Dataverse.Order.{CRWD,Append}@User", "dataverse.{Core}.read@organization"},
				Terms:      &authz.RoleTerms{AssignableRoles: []string{"236750cd-45ae-4939-ab12-b24b920ced93", "r1", "{securityRoles}"}},
			},
			{ID: "r2", Name: "Nothing", Environment: "e2"},
			{
				ID: "r3", Name: "Deputy", Permissions: []string{"PowerApps.Apps.Read"}, AssignableScopes: []string{"/tenants/{0}"},
				Terms: &authz.RoleTerms{AssignableRoles: []string{"4b6803e3-29d4-8af9-a346-14cca3ff48fd"}},
			},
		},
		RoleAssignments: []snapshot.RoleAssignment{
			{ID: "x1", Principal: user, RoleDefinitionID: "236750cd-45ae-4939-ab12-b24b920ced93", Scope: "/tenants/t1/environments/e1", Effect: authz.AssignAllow},
			{ID: "x2", Principal: team1, RoleDefinitionID: "r1", Scope: "/tenants/t1/environments/e1/businessUnits/b1", Effect: authz.AssignAllow, Expires: 1798761600},
			{ID: "x3", Principal: group, RoleDefinitionID: "4b6803e3-29d4-8af9-a346-14cca3ff48fd", Scope: "/tenants/t1/environments/e2", Effect: authz.AssignAllow},
		},
	}}}
}

const wantDatabaseYAML = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environments:
      - {id: e1, dataverse: true}
      - {id: e2, dataverse: true}
    businessUnits:
      - {id: b0, environment: e1}
      - {id: b1, environment: e1, parent: b0}
    tables:
      - {environment: e1, name: account, classes: [site], securedColumns: [CreditLimit]}
      - {environment: e1, name: Order, classes: [custom], ownership: User, entitySet: new_orders, securedColumns: [Cost, margin]}
      - {environment: e2, name: Order, ownership: BusinessUnit}
    users:
      - {environment: e1, principalType: User, principalObjectId: u1, businessUnit: b1}
      - {environment: e1, principalType: ApplicationUser, principalObjectId: a1, disabled: true, serviceInstalled: true}
      - {environment: e2, principalType: User, principalObjectId: u1}
    teams:
      - {id: team1, environment: e1, displayName: Sales, teamType: OwnerTeam, businessUnit: b1, members: [{principalType: User, principalObjectId: u1}]}
      - {id: team2, environment: e1, teamType: GroupTeam, group: grp1}
      - {id: team3, environment: e2, teamType: AccessTeam}
    columnProfiles:
      - {id: p1, environment: e1, displayName: Margins, columns: [{table: Account, column: creditlimit, rights: [Read]}, {table: order, column: MARGIN, rights: [Create, Update]}], principals: [{principalType: User, principalObjectId: u1}, {principalType: Team, principalObjectId: team1}]}
    shares:
      - {environment: e1, table: Account, record: r1, principalType: ApplicationUser, principalObjectId: a1, rights: [Read]}
      - {environment: e1, table: Order, record: r1, everyone: true, rights: [Read]}
      - {environment: e1, table: ORDER, record: r1, principalType: Team, principalObjectId: team2, rights: [Read, Write, Delete, Append, Assign, Share]}
    apps:
      - {id: a1, environment: e1, displayName: Orders, sharedWith: [{principalType: Group, principalObjectId: grp1}, {principalType: Team, principalObjectId: team1}], everyone: true, tables: [{table: Account}, {table: Order, privileges: [Read, Write]}]}
      - {id: a1, environment: e2}
    flows:
      - {id: f1, environment: e1, displayName: Nightly, maker: {principalType: ApplicationUser, principalObjectId: a1}, runOnlyUsers: [{principalType: User, principalObjectId: u1}], connections: [{name: data, connector: dataverse, provider: Maker, tables: [{table: order}]}, {name: mail, connector: shared_office365}, {name: more, connector: dataverse, provider: RunOnlyUser}]}
      - {id: f2, environment: e1}
    roleDefinitions:
      - {roleDefinitionId: r1, roleDefinitionName: Clerk, description: "Enters orders.", environment: e1, businessUnit: b1, permissions: [PowerApps.Apps.Play], privileges: ["Dataverse.Order.{CRWD,Append}@User", "dataverse.{Core}.read@organization"], teamOnly: true, assignableRoles: [236750cd-45ae-4939-ab12-b24b920ced93, r1, "{securityRoles}"]}
      - {roleDefinitionId: r2, roleDefinitionName: Nothing, environment: e2}
      - {roleDefinitionId: r3, roleDefinitionName: Deputy, permissions: [PowerApps.Apps.Read], assignableScopes: ["/tenants/{0}"], assignableRoles: [4b6803e3-29d4-8af9-a346-14cca3ff48fd]}
    roleAssignments:
      - {roleAssignmentId: x1, principalType: User, principalObjectId: u1, roleDefinitionId: 236750cd-45ae-4939-ab12-b24b920ced93, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: x2, principalType: Team, principalObjectId: team1, roleDefinitionId: r1, scope: /tenants/t1/environments/e1/businessUnits/b1, expiresOn: 2027-01-01T00:00:00Z}
      - {roleAssignmentId: x3, principalType: Group, principalObjectId: grp1, roleDefinitionId: 4b6803e3-29d4-8af9-a346-14cca3ff48fd, scope: /tenants/t1/environments/e2}
...
`

func TestEverythingOfAnEnvironmentWithADatabaseIsRead(t *testing.T) {
	got, err := bundle.Parse("example.yaml", []byte(databaseExample), options(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(databaseData(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What a store exports, it imports, and exports the same bytes again.
func TestEverythingOfAnEnvironmentWithADatabaseGoesRound(t *testing.T) {
	o := options(t)
	compareReaders(t, string(write(t, databaseData(), bundle.JSON)), o)
	text := databaseExample
	for range 2 {
		data, err := bundle.Parse("b.yaml", []byte(text), o)
		if err != nil {
			t.Fatal(err)
		}
		s := store(t, o)
		if _, err := s.Replace(t.Context(), data, snapshot.Change{}); err != nil {
			t.Fatal(err)
		}
		exported, err := s.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text = string(write(t, exported, bundle.YAML))
		if diff := cmp.Diff(wantDatabaseYAML, text); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

func TestWhatNoDatabaseHoldsIsNotWritten(t *testing.T) {
	t.Parallel()
	user := authz.Principal{Type: authz.User, ID: "u1"}
	read := authz.Privileges(authz.ReadPrivilege)
	for name, tenant := range map[string]snapshot.Tenant{
		"a table of no environment":  {Tables: []snapshot.Table{{Table: authz.Table{Name: "A", Ownership: authz.UserOwned}}}},
		"a table without a name":     {Tables: []snapshot.Table{{Environment: "e1"}}},
		"a class nobody declares":    {Tables: []snapshot.Table{{Environment: "e1", Table: authz.Table{Name: "A", Classes: authz.OrgSharedTables}}}},
		"a user of no environment":   {Users: []snapshot.EnvironmentUser{{Principal: user}}},
		"a team that is none":        {Teams: []snapshot.Team{{ID: "team1", Environment: "e1", Kind: authz.GroupHolder}}},
		"a right that is none":       {ColumnProfiles: []snapshot.ColumnProfile{{ID: "p1", Environment: "e1", Columns: []snapshot.ColumnRight{{Table: "A", Column: "b"}}}}},
		"a column's Delete":          {ColumnProfiles: []snapshot.ColumnProfile{{ID: "p1", Environment: "e1", Columns: []snapshot.ColumnRight{{Table: "A", Column: "b", Rights: authz.Privileges(authz.DeletePrivilege)}}}}},
		"a share of nothing":         {Shares: []snapshot.Share{{Environment: "e1", Table: "A", Record: "r1", Share: authz.Share{With: user}}}},
		"a share with nobody":        {Shares: []snapshot.Share{{Environment: "e1", Table: "A", Record: "r1", Share: authz.Share{Rights: read}}}},
		"a share of Create":          {Shares: []snapshot.Share{{Environment: "e1", Table: "A", Record: "r1", Share: authz.Share{With: user, Rights: authz.Privileges(authz.CreatePrivilege)}}}},
		"an app that acts":           {Apps: []snapshot.App{{ID: "a1", Environment: "e1", Tables: []snapshot.TableUse{{Table: "User", Privileges: authz.Privileges(authz.ActOnBehalf)}}}}},
		"a provider that is none":    {Flows: []snapshot.Flow{{ID: "f1", Environment: "e1", Connections: []snapshot.Connection{{Name: "c", Connector: "mail", Provider: 3}}}}},
		"privileges of the platform": {RoleDefinitions: []authz.RoleDefinition{{ID: "r1", Name: "R", AssignableScopes: []string{"/"}, Privileges: []string{"Dataverse.Account.Read@User"}}}},
		"permissions of a database":  {RoleDefinitions: []authz.RoleDefinition{{ID: "r1", Name: "R", Environment: "e1", Permissions: []string{"*"}}}},
	} {
		tenant.ID = "t1"
		if err := bundle.Write(&bytes.Buffer{}, &snapshot.Data{Tenants: []snapshot.Tenant{tenant}}, bundle.YAML); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}

// A pack of roles may give two of them one alias.
func TestAnAliasOfTwoRolesNamesNeither(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Roles = []authz.RoleDefinition{
		{ID: "r1", Name: "Reader", Aliases: []string{"Viewer", "Looker"}, AssignableScopes: []string{"/tenants/{0}"}},
		{ID: "r2", Name: "Guest", Aliases: []string{"viewer", "Reader"}, AssignableScopes: []string{"/tenants/{0}"}},
	}
	const text = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    roleDefinitions:
      - {roleDefinitionId: r3, roleDefinitionName: Viewer, permissions: []}
      - {roleDefinitionId: r4, roleDefinitionName: Head, permissions: [], assignableRoles: [viewer]}
    roleAssignments:
      - {principalType: User, principalObjectId: u1, roleDefinitionName: VIEWER, scope: /tenants/t1}
      - {principalType: User, principalObjectId: u2, roleDefinitionName: Basic User, scope: /tenants/t1}
...
`
	const want = `b.yaml:5:52: tenants[0].roleDefinitions[0].roleDefinitionName: the name is an alias of the shipped role "Reader" (r1): choose another
b.yaml:6:93: tenants[0].roleDefinitions[1].assignableRoles[0]: "viewer" is an alias of the roles "Reader" and "Guest": name the one that is meant
b.yaml:8:74: tenants[0].roleAssignments[0].roleDefinitionName: "VIEWER" is an alias of the roles "Reader" and "Guest": name the one that is meant
b.yaml:9:74: tenants[0].roleAssignments[1].roleDefinitionName: there is no role "Basic User": want a shipped role, one of a role pack (--role-pack) or one under roleDefinitions`
	_, err := bundle.Parse("b.yaml", []byte(text), o)
	if err == nil {
		t.Fatal("an alias of two roles was taken for one of them")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, id := range map[string]string{"looker": "r1", "reader": "r1", "guest": "r2"} {
		text := "apiVersion: pathgrant/v1\ntenants:\n  - id: t1\n    roleAssignments: [{principalType: User, principalObjectId: u1, roleDefinitionName: " + name + ", scope: /tenants/t1}]\n...\n"
		data, err := bundle.Parse("b.yaml", []byte(text), o)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := data.Tenants[0].RoleAssignments[0].RoleDefinitionID; got != id {
			t.Errorf("%q named the role %q, want %q", name, got, id)
		}
	}
}

// Every role that comes with the product can be named in a bundle by its identifier, its
// name and its aliases.
func TestEveryRoleCanBeNamed(t *testing.T) {
	t.Parallel()
	for _, def := range roles.All() {
		for _, name := range append([]string{def.ID, def.Name}, def.Aliases...) {
			text := "apiVersion: pathgrant/v1\ntenants:\n  - id: t1\n    roleDefinitions: [{roleDefinitionId: r1, roleDefinitionName: R, permissions: [], assignableRoles: ['" + strings.ToUpper(name) + "']}]\n...\n"
			data, err := bundle.Parse("b.yaml", []byte(text), options(t))
			if err != nil {
				t.Error(err)
				continue
			}
			if got := data.Tenants[0].RoleDefinitions[0].Terms.AssignableRoles; len(got) != 1 || got[0] != def.ID {
				t.Errorf("%q named the roles %q, want %q", name, got, def.ID)
			}
		}
	}
}
