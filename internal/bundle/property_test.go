package bundle_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"pgregory.net/rapid"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A drawnDatabase draws what an environment with a database holds, all of it in the order
// in which it is written.
type drawnDatabase struct {
	t           *rapid.T
	tenant      *snapshot.Tenant
	environment string
	objectID    *rapid.Generator[string]
	text        *rapid.Generator[string]

	units []string // that may be named
	teams []authz.Principal
	users []authz.Principal
}

func (d *drawnDatabase) maybe(what string) bool { return rapid.Bool().Draw(d.t, what) }

func (d *drawnDatabase) name() string {
	return rapid.OneOf(rapid.Just(""), d.text).Draw(d.t, "name")
}

func (d *drawnDatabase) privileges(least int, of ...authz.Privilege) authz.PrivilegeSet {
	return authz.Privileges(rapid.SliceOfNDistinct(rapid.SampledFrom(of), least, len(of), rapid.ID[authz.Privilege]).Draw(d.t, "privileges")...)
}

// people draws principals, some of them from those given.
func (d *drawnDatabase) people(also []authz.Principal, types ...authz.PrincipalType) (all []authz.Principal) {
	for _, id := range distinct(d.t, "people", d.objectID, 0, 3) {
		all = append(all, authz.Principal{Type: rapid.SampledFrom(types).Draw(d.t, "type"), ID: id})
	}
	for _, one := range also {
		if d.maybe("also") {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, byTypeAndID)
	return all
}

func byTypeAndID(a, b authz.Principal) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID))
}

func byPlaceInFile(a, b snapshot.RoleAssignment) int {
	return cmp.Or(cmp.Compare(a.Scope, b.Scope), byTypeAndID(a.Principal, b.Principal), cmp.Compare(a.RoleDefinitionID, b.RoleDefinitionID))
}

func (d *drawnDatabase) unit() string { return rapid.SampledFrom(d.units).Draw(d.t, "unit") }

// draw adds all that there is to the tenant, whose identifiers of the kind begin with the
// prefix.
func (d *drawnDatabase) draw(prefix string) {
	roots := 0
	for _, unit := range d.tenant.BusinessUnits {
		if unit.Environment == d.environment {
			d.units = append(d.units, unit.ID)
			if unit.Parent == "" {
				roots++
			}
		}
	}
	if roots < 2 {
		d.units = append(d.units, "")
	}
	tables := d.drawTables()
	for _, id := range distinct(d.t, "users", d.objectID, 0, 3) {
		d.users = append(d.users, authz.Principal{Type: rapid.SampledFrom([]authz.PrincipalType{authz.User, authz.ApplicationUser}).Draw(d.t, "type"), ID: id})
	}
	slices.SortFunc(d.users, byTypeAndID)
	for _, user := range d.users {
		d.tenant.Users = append(d.tenant.Users, snapshot.EnvironmentUser{
			Environment: d.environment, Principal: user, BusinessUnit: d.unit(), Disabled: d.maybe("disabled"),
			ServiceInstalled: user.Type == authz.ApplicationUser && d.maybe("service"),
		})
	}
	for i := range rapid.IntRange(0, 3).Draw(d.t, "teams") {
		team := snapshot.Team{ID: fmt.Sprint(prefix, i), Environment: d.environment, DisplayName: d.name(), BusinessUnit: d.unit(),
			Kind: rapid.SampledFrom([]authz.HolderKind{authz.OwnerTeamHolder, authz.GroupTeamHolder, authz.AccessTeamHolder}).Draw(d.t, "kind")}
		if team.Kind == authz.GroupTeamHolder {
			team.Group = d.objectID.Draw(d.t, "group")
		} else {
			team.Members = d.people(nil, authz.User, authz.ApplicationUser)
		}
		d.tenant.Teams = append(d.tenant.Teams, team)
		d.teams = append(d.teams, authz.Principal{Type: authz.Team, ID: team.ID})
	}
	d.drawSharing(tables)
	d.drawApps(tables)
}

func (d *drawnDatabase) drawTables() []snapshot.Table {
	from := len(d.tenant.Tables)
	names := distinct(d.t, "tables", rapid.StringMatching(`new_[a-z0-9_-]{0,2}|account`), 0, 3)
	for _, name := range names {
		table := snapshot.Table{Environment: d.environment, Table: authz.Table{
			Name: name, SecuredColumns: patterns(distinct(d.t, "columns", rapid.StringMatching(`[a-z][a-zA-Z]?`), 0, 3)),
		}}
		table.SecuredColumns = slices.CompactFunc(table.SecuredColumns, func(a, b string) bool { return authz.TableKey(a) == authz.TableKey(b) })
		if name == "account" {
			table.Name = rapid.SampledFrom([]string{"account", "Account", "ACCOUNT"}).Draw(d.t, "spelling")
			table.Classes = rapid.SampledFrom([]authz.TableClass{0, authz.SystemTables, authz.SiteTables | authz.CustomizationTables}).Draw(d.t, "classes")
			table.Ownership = rapid.SampledFrom([]authz.Ownership{authz.NoOwnership, authz.UserOwned}).Draw(d.t, "ownership")
		} else {
			table.Classes = rapid.SampledFrom([]authz.TableClass{0, authz.CustomTables, authz.CoreTables | authz.BusinessManagementTables}).Draw(d.t, "classes")
			table.Ownership = rapid.SampledFrom([]authz.Ownership{authz.UserOwned, authz.BusinessUnitOwned, authz.OrganizationOwned}).Draw(d.t, "ownership")
			if d.maybe("entity set") {
				table.EntitySet = "Set_" + name
			}
		}
		d.tenant.Tables = append(d.tenant.Tables, table)
	}
	return d.tenant.Tables[from:]
}

func (d *drawnDatabase) drawSharing(tables []snapshot.Table) {
	for i := range rapid.IntRange(0, 2).Draw(d.t, "profiles") {
		profile := snapshot.ColumnProfile{ID: fmt.Sprint("p", i), Environment: d.environment, DisplayName: d.name(), Principals: d.people(d.teams, authz.User, authz.ApplicationUser)}
		for _, table := range tables {
			for _, column := range table.SecuredColumns {
				if d.maybe("column") {
					profile.Columns = append(profile.Columns, snapshot.ColumnRight{
						Table: table.Name, Column: column, Rights: d.privileges(1, authz.CreatePrivilege, authz.ReadPrivilege, authz.WritePrivilege),
					})
				}
			}
		}
		// Columns of one table are in the order of their keys.
		slices.SortFunc(profile.Columns, func(a, b snapshot.ColumnRight) int {
			return cmp.Or(cmp.Compare(authz.TableKey(a.Table), authz.TableKey(b.Table)), cmp.Compare(authz.TableKey(a.Column), authz.TableKey(b.Column)))
		})
		d.tenant.ColumnProfiles = append(d.tenant.ColumnProfiles, profile)
	}
	for _, table := range tables {
		if table.Ownership == authz.BusinessUnitOwned || table.Ownership == authz.OrganizationOwned {
			continue
		}
		for _, record := range distinct(d.t, "records", d.objectID, 0, 2) {
			receivers := d.people(d.teams, authz.User, authz.ApplicationUser)
			if d.maybe("everyone") {
				receivers = append([]authz.Principal{{}}, receivers...)
			}
			for _, with := range receivers {
				d.tenant.Shares = append(d.tenant.Shares, snapshot.Share{Environment: d.environment, Table: table.Name, Record: record, Share: authz.Share{
					With: with, WithOrganization: with == authz.Principal{},
					Rights: d.privileges(1, authz.ReadPrivilege, authz.WritePrivilege, authz.DeletePrivilege, authz.AppendPrivilege, authz.AssignPrivilege, authz.SharePrivilege),
				}})
			}
		}
	}
}

func (d *drawnDatabase) uses(tables []snapshot.Table) (all []snapshot.TableUse) {
	for _, table := range tables {
		if d.maybe("used") {
			all = append(all, snapshot.TableUse{Table: table.Name, Privileges: d.privileges(0, authz.TablePrivileges()...)})
		}
	}
	return all
}

func (d *drawnDatabase) drawApps(tables []snapshot.Table) {
	for i := range rapid.IntRange(0, 2).Draw(d.t, "apps") {
		d.tenant.Apps = append(d.tenant.Apps, snapshot.App{
			ID: fmt.Sprint("a", i), Environment: d.environment, DisplayName: d.name(), SharedWithEveryone: d.maybe("everyone"),
			SharedWith: d.people(d.teams, authz.User, authz.ApplicationUser, authz.Group), Tables: d.uses(tables),
		})
	}
	for i := range rapid.IntRange(0, 2).Draw(d.t, "flows") {
		flow := snapshot.Flow{ID: fmt.Sprint("f", i), Environment: d.environment, DisplayName: d.name(), RunOnly: d.people(d.teams, authz.User, authz.ApplicationUser, authz.Group)}
		providers := []snapshot.ConnectionProvider{snapshot.NoProvider, snapshot.RunOnlyUserProvides}
		if d.maybe("maker") {
			flow.Maker = authz.Principal{Type: authz.User, ID: d.objectID.Draw(d.t, "maker")}
			providers = append(providers, snapshot.MakerProvides)
		}
		for _, name := range distinct(d.t, "connections", d.objectID, 0, 2) {
			c := snapshot.Connection{Name: name, Connector: "dataverse", Provider: rapid.SampledFrom(providers).Draw(d.t, "provider"), Tables: d.uses(tables)}
			if len(c.Tables) == 0 && d.maybe("other connector") {
				c.Connector = "Mail"
			}
			flow.Connections = append(flow.Connections, c)
		}
		d.tenant.Flows = append(d.tenant.Flows, flow)
	}
}

// roles draws custom security roles and returns assignments of them, and of a shipped one.
func (d *drawnDatabase) roles(prefix string) (all []snapshot.RoleAssignment) {
	basicUser := "236750cd-45ae-4939-ab12-b24b920ced93"
	ids := []string{basicUser}
	for i := range rapid.IntRange(0, 2).Draw(d.t, "security roles") {
		id := fmt.Sprint(prefix, "role", i)
		def := authz.RoleDefinition{
			ID: id, Name: "Security " + id, Environment: d.environment, BusinessUnit: d.unit(), TeamOnly: d.maybe("team only"),
			Privileges: patterns(rapid.SliceOfN(rapid.SampledFrom([]string{"Dataverse.Account.Read@User", "dataverse.{custom}.*@parentchild", "Dataverse.User.ActOnBehalf"}), 0, 3).Draw(d.t, "lines")),
		}
		if d.maybe("limited") {
			def.Terms = &authz.RoleTerms{AssignableRoles: patterns([]string{basicUser, id, "{securityRoles}"})}
		}
		d.tenant.RoleDefinitions = append(d.tenant.RoleDefinitions, def)
		ids = append(ids, id)
	}
	holders := slices.Clone(d.users)
	for _, team := range d.tenant.Teams {
		if team.Environment == d.environment && team.Kind != authz.AccessTeamHolder {
			holders = append(holders, authz.Principal{Type: authz.Team, ID: team.ID})
		}
	}
	scopes := []authz.NamedScope{{Kind: authz.EnvironmentScope, Environment: d.environment}}
	for _, unit := range d.units {
		if unit != "" {
			scopes = append(scopes, authz.NamedScope{Kind: authz.BusinessUnitScope, Environment: d.environment, ID: unit})
		}
	}
	for i, holder := range holders {
		for j, id := range ids {
			if d.maybe("assigned") {
				all = append(all, snapshot.RoleAssignment{
					ID: fmt.Sprint(prefix, "assignment", i, ".", j), Principal: holder, RoleDefinitionID: id,
					Scope: rapid.SampledFrom(scopes).Draw(d.t, "scope").In(d.tenant.ID), Effect: authz.AssignAllow,
				})
			}
		}
	}
	return all
}

// mixDatabases changes the order of what means the same in any.
func mixDatabases(r *rand.Rand, t *snapshot.Tenant) {
	t.Tables, t.Users, t.Teams = slices.Clone(t.Tables), slices.Clone(t.Users), slices.Clone(t.Teams)
	t.ColumnProfiles, t.Shares, t.Apps, t.Flows = slices.Clone(t.ColumnProfiles), slices.Clone(t.Shares), slices.Clone(t.Apps), slices.Clone(t.Flows)
	for i := range t.Tables {
		t.Tables[i].SecuredColumns = slices.Clone(t.Tables[i].SecuredColumns)
		mix(r, t.Tables[i].SecuredColumns)
	}
	for i := range t.Teams {
		t.Teams[i].Members = slices.Clone(t.Teams[i].Members)
		mix(r, t.Teams[i].Members)
	}
	for i := range t.ColumnProfiles {
		p := &t.ColumnProfiles[i]
		p.Columns, p.Principals = slices.Clone(p.Columns), slices.Clone(p.Principals)
		mix(r, p.Columns)
		mix(r, p.Principals)
	}
	for i := range t.Apps {
		a := &t.Apps[i]
		a.SharedWith, a.Tables = slices.Clone(a.SharedWith), slices.Clone(a.Tables)
		mix(r, a.SharedWith)
		mix(r, a.Tables)
	}
	for i := range t.Flows {
		f := &t.Flows[i]
		f.RunOnly, f.Connections = slices.Clone(f.RunOnly), slices.Clone(f.Connections)
		mix(r, f.RunOnly)
		mix(r, f.Connections)
	}
	mix(r, t.Tables)
	mix(r, t.Users)
	mix(r, t.Teams)
	mix(r, t.ColumnProfiles)
	mix(r, t.Shares)
	mix(r, t.Apps)
	mix(r, t.Flows)
}
