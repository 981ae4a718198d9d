package snapshot

import (
	"errors"
	"slices"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// What is checked of a thing by itself, whatever else there is.

// item checks what part every item has in a key.
func (p *problems) item(tenant, what, environment, id string) {
	p.identifier(tenant, what, id)
	p.identifier(tenant, what+"'s environment", environment)
}

func (p *problems) table(tenant string, t *Table) {
	p.item(tenant, "a table", t.Environment, t.Name)
	if t.Classes&(authz.OrgSharedTables|authz.AnyTables) != 0 {
		p.addf("tenant %q: table %q is declared to be of the class %v, which nobody declares: leave it out", tenant, t.Name, t.Classes&(authz.OrgSharedTables|authz.AnyTables))
	}
	if t.Ownership > authz.OrganizationOwned {
		p.addf("tenant %q: table %q: want the ownership User, BusinessUnit or Organization", tenant, t.Name)
	}
}

func (p *problems) environmentUser(tenant string, u *EnvironmentUser) {
	p.item(tenant, "an environment user", u.Environment, u.ID)
	if u.Key().Type != authz.User {
		p.addf("tenant %q: environment user %v: only a User or an ApplicationUser is added to an environment", tenant, u.Principal)
	}
	if u.ServiceInstalled && u.Type != authz.ApplicationUser {
		p.addf("tenant %q: environment user %v: only an ApplicationUser comes with the service", tenant, u.Principal)
	}
}

func (p *problems) team(tenant string, t *Team) {
	p.item(tenant, "a team", t.Environment, t.ID)
	isGroup := t.Kind == authz.GroupTeamHolder
	switch {
	case !isGroup && t.Kind != authz.OwnerTeamHolder && t.Kind != authz.AccessTeamHolder:
		p.addf("tenant %q: team %q: want the kind OwnerTeam, GroupTeam or AccessTeam, not %v", tenant, t.ID, t.Kind)
	case isGroup && t.Group == "":
		p.addf("tenant %q: team %q is a group team and names no group", tenant, t.ID)
	case isGroup && len(t.Members) > 0:
		p.addf("tenant %q: team %q is a group team: its members are those of its group, and it has none of its own", tenant, t.ID)
	case !isGroup && t.Group != "":
		p.addf("tenant %q: team %q names the group %q, and is no group team", tenant, t.ID, t.Group)
	}
	if isGroup && t.Group != "" {
		p.identifier(tenant, "the group of team "+t.ID, t.Group)
	}
	p.receivers(tenant, "a member of team "+t.ID, t.Members)
}

// receivers checks principals that are Users, ApplicationUsers or of the types given.
func (p *problems) receivers(tenant, what string, all []authz.Principal, also ...authz.PrincipalType) {
	for _, of := range all {
		p.principal(tenant, what, of)
		if validType(of.Type) && of.Key().Type != authz.User && !slices.Contains(also, of.Type) {
			p.addf("tenant %q: %s is %v, which cannot be", tenant, what, of)
		}
	}
}

func (p *problems) profile(tenant string, x *ColumnProfile) {
	p.item(tenant, "a column profile", x.Environment, x.ID)
	p.receivers(tenant, "a principal of column profile "+x.ID, x.Principals, authz.Team)
	for i, c := range x.Columns {
		if c.Table == "" || c.Column == "" {
			p.addf("tenant %q: column profile %q: a right names no table or no column", tenant, x.ID)
		}
		const rights = 1<<authz.CreatePrivilege | 1<<authz.ReadPrivilege | 1<<authz.WritePrivilege
		if c.Rights == 0 || c.Rights&^rights != 0 {
			p.addf("tenant %q: column profile %q: the rights to %s.%s are %v: want Create, Read or Write", tenant, x.ID, c.Table, c.Column, c.Rights)
		}
		if i > 0 && sameName(c.Table, x.Columns[i-1].Table) && sameName(c.Column, x.Columns[i-1].Column) {
			p.addf("tenant %q: column profile %q lists the column %s.%s twice", tenant, x.ID, c.Table, c.Column)
		}
	}
}

func sameName(a, b string) bool { return authz.TableKey(a) == authz.TableKey(b) }

func (p *problems) share(tenant string, s *Share) {
	p.item(tenant, "the table of a share", s.Environment, s.Table)
	p.identifier(tenant, "the record of a share", s.Record)
	if !s.WithOrganization {
		p.receivers(tenant, "whom record "+s.Record+" is shared with", []authz.Principal{s.With}, authz.Team)
	}
	if err := s.Rights.CheckShareable(); err != nil {
		p.addf("tenant %q: share of record %q: %w", tenant, s.Record, err)
	}
	if s.Rights == 0 || s.Rights&^everyPrivilege != 0 {
		p.addf("tenant %q: share of record %q gives no rights: want Read, Write, Delete, Append, Assign or Share", tenant, s.Record)
	}
}

func (p *problems) uses(tenant, what string, uses []TableUse) {
	for i, u := range uses {
		if u.Privileges.Has(authz.ActOnBehalf) || u.Privileges&^everyPrivilege != 0 {
			p.addf("tenant %q: %s: the privileges on the table %q are %v: want those of tables", tenant, what, u.Table, u.Privileges)
		}
		if i > 0 && sameName(u.Table, uses[i-1].Table) {
			p.addf("tenant %q: %s lists the table %q twice", tenant, what, u.Table)
		}
	}
}

func (p *problems) app(tenant string, a *App) {
	p.item(tenant, "an app", a.Environment, a.ID)
	p.receivers(tenant, "whom app "+a.ID+" is shared with", a.SharedWith, authz.Group, authz.Team)
	p.uses(tenant, "app "+a.ID, a.Tables)
}

func (p *problems) flow(tenant string, f *Flow) {
	p.item(tenant, "a flow", f.Environment, f.ID)
	p.receivers(tenant, "a run-only user of flow "+f.ID, f.RunOnly, authz.Group, authz.Team)
	if f.Maker != (authz.Principal{}) {
		p.receivers(tenant, "the maker of flow "+f.ID, []authz.Principal{f.Maker})
	}
	for i, c := range f.Connections {
		what := "connection " + c.Name + " of flow " + f.ID
		switch {
		case c.Name == "":
			p.addf("tenant %q: a connection of flow %q has no name", tenant, f.ID)
		case i > 0 && c.Name == f.Connections[i-1].Name:
			p.addf("tenant %q: %s is listed twice", tenant, what)
		}
		if c.Connector == "" {
			p.addf("tenant %q: %s names no connector", tenant, what)
		}
		if c.Provider > MakerProvides {
			p.addf("tenant %q: %s: want the provider RunOnlyUser or Maker", tenant, what)
		}
		if c.Provider == MakerProvides && f.Maker == (authz.Principal{}) {
			p.addf("tenant %q: %s is provided by the maker, and the flow names none", tenant, what)
		}
		if c.Connector != DataverseConnector && len(c.Tables) > 0 {
			p.addf("tenant %q: %s has tables, which only the connector %q has", tenant, what, DataverseConnector)
		}
		p.uses(tenant, what, c.Tables)
	}
}

// customRole checks a custom role by itself.
func (p *problems) customRole(tenant string, def *authz.RoleDefinition) {
	bad := func(what string) { p.addf("tenant %q: role definition %q %s", tenant, def.Name, what) }
	if def.Category != "" || def.Pack != "" || def.EverySecuredColumn || len(def.Aliases) > 0 {
		bad("has a category, a pack, aliases or every secured column, which only predefined roles have")
	}
	if def.Terms != nil && !limitsOnly(def.Terms) {
		bad("has terms besides its assignable roles, which only roles that come with the product have")
	}
	if def.Environment == "" {
		if len(def.Privileges) > 0 || def.TeamOnly || def.BusinessUnit != "" {
			bad("has privileges, a business unit or is for teams alone, and names no environment")
		}
		return
	}
	if len(def.Environment) > maxIdentifier || len(def.BusinessUnit) > maxIdentifier {
		bad("has an environment or a business unit whose identifier is too long")
	}
	if def.CarriesMore() {
		bad("has permissions: a custom security role gives privileges, and " + authz.PlayApps + " at most")
	}
	if len(def.AssignableScopes)+len(def.RestrictedScopes) > 0 {
		bad("has assignable or restricted scopes: a custom security role is assigned in its environment")
	}
}

// What is checked of a thing against what its environment holds.

// A place is an environment as far as checks go.
type place struct {
	tenant, id string
	// database is nil where the environment is not listed, or has none; err says why it
	// cannot be made of what is declared.
	listed   bool
	database *database
	team     func(id string) (Team, bool, error)
}

// within checks that the environment of a thing has a database, and returns it.
func (p *problems) within(at *place, what string) *authz.Database {
	switch {
	case !at.listed:
		p.addf("tenant %q: %s is of the environment %q, which is not listed", at.tenant, what, at.id)
		return nil
	case at.database == nil:
		p.addf("tenant %q: %s is of the environment %q, which has no database", at.tenant, what, at.id)
		return nil
	}
	db, err := at.database.get()
	if err != nil { // which is reported once
		return nil
	}
	return db
}

func (p *problems) unitWithin(at *place, what, unit string) {
	db := p.within(at, what)
	if db == nil {
		return
	}
	switch {
	case unit == "" && at.database.roots > 1:
		p.addf("tenant %q: %s: the environment %q has several root business units: name one", at.tenant, what, at.id)
	case unit != "" && (len(at.database.units) == 0 || !db.HasBusinessUnit(unit)):
		p.addf("tenant %q: %s is in the business unit %q, which the environment %q does not list", at.tenant, what, unit, at.id)
	}
}

func (p *problems) environmentUserWithin(at *place, u *EnvironmentUser) {
	p.unitWithin(at, "environment user "+u.Principal.String(), u.BusinessUnit)
}

func (p *problems) teamWithin(at *place, t *Team) {
	p.unitWithin(at, "team "+t.ID, t.BusinessUnit)
}

func (p *problems) tableWithin(at *place, what string, db *authz.Database, table string) (authz.Table, bool) {
	id, ok := db.TableNamed(table)
	if !ok {
		p.addf("tenant %q: %s names the table %q, which the environment %q does not declare: declare it first", at.tenant, what, table, at.id)
	}
	t, _ := db.Table(id)
	return t, ok
}

// teamsWithin checks that the teams among the principals are of the environment. The error
// is of reading them.
func (p *problems) teamsWithin(at *place, what string, all []authz.Principal) error {
	for _, of := range all {
		if of.Type != authz.Team {
			continue
		}
		team, ok, err := at.team(of.ID)
		if err != nil {
			return err
		}
		if !ok || team.Environment != at.id {
			p.addf("tenant %q: %s names the team %q, which the environment %q does not list", at.tenant, what, of.ID, at.id)
		}
	}
	return nil
}

func (p *problems) profileWithin(at *place, x *ColumnProfile) error {
	what := "column profile " + x.ID
	db := p.within(at, what)
	if db == nil {
		return nil
	}
	for _, c := range x.Columns {
		if t, ok := p.tableWithin(at, what, db, c.Table); ok && !slices.ContainsFunc(t.SecuredColumns, func(column string) bool { return sameName(column, c.Column) }) {
			p.addf("tenant %q: %s names the column %q of the table %q, which is not secured", at.tenant, what, c.Column, t.Name)
		}
	}
	return p.teamsWithin(at, what, x.Principals)
}

func (p *problems) shareWithin(at *place, s *Share) error {
	what := "share of record " + s.Record
	db := p.within(at, what)
	if db == nil {
		return nil
	}
	if t, ok := p.tableWithin(at, what, db, s.Table); ok && t.Ownership != authz.UserOwned {
		p.addf("tenant %q: %s: records of the table %q are not owned by users, and cannot be shared", at.tenant, what, t.Name)
	}
	return p.teamsWithin(at, what, []authz.Principal{s.With})
}

func (p *problems) usesWithin(at *place, what string, db *authz.Database, uses []TableUse) {
	for _, u := range uses {
		p.tableWithin(at, what, db, u.Table)
	}
}

func (p *problems) appWithin(at *place, a *App) error {
	what := "app " + a.ID
	db := p.within(at, what)
	if db == nil {
		return nil
	}
	p.usesWithin(at, what, db, a.Tables)
	return p.teamsWithin(at, what, a.SharedWith)
}

func (p *problems) flowWithin(at *place, f *Flow) error {
	what := "flow " + f.ID
	db := p.within(at, what)
	if db == nil {
		return nil
	}
	for _, c := range f.Connections {
		p.usesWithin(at, what, db, c.Tables)
	}
	return p.teamsWithin(at, what, f.RunOnly)
}

func (p *problems) roleWithin(at *place, def *authz.RoleDefinition) {
	what := "security role " + def.Name
	p.unitWithin(at, what, def.BusinessUnit)
	if at.database == nil {
		return
	}
	if db, err := at.database.get(); err == nil {
		if _, err := db.Compile(*def); err != nil {
			p.addf("tenant %q: environment %q: %w", at.tenant, at.id, err)
		}
	}
}

// checkItems checks what the environments of a tenant hold against each other.
func (c *compiler) checkItems(t *canonicalTenant, p *problems) {
	tenant := t.source.ID
	databases := c.databasesOf(t.small())
	listed := make(map[string]bool, len(t.environments))
	for _, e := range t.environments {
		listed[e.id] = true
		if database := databases[e.id]; database != nil && database.declares() {
			if _, err := database.get(); err != nil {
				p.addf("tenant %q: environment %q: %w", tenant, e.id, err)
			}
		}
	}
	teams := make(map[string]*Team, len(t.teams))
	for i := range t.teams {
		teams[t.teams[i].ID] = &t.teams[i]
	}
	at := func(environment string) *place {
		return &place{tenant: tenant, id: environment, listed: listed[environment], database: databases[environment], team: func(id string) (Team, bool, error) {
			if team := teams[id]; team != nil {
				return *team, true, nil
			}
			return Team{}, false, nil
		}}
	}
	var errs []error // there are none: nothing is read
	for i := range t.tables {
		p.within(at(t.tables[i].Environment), "table "+t.tables[i].Name)
	}
	for i := range t.users {
		p.environmentUserWithin(at(t.users[i].Environment), &t.users[i])
	}
	for i := range t.teams {
		p.teamWithin(at(t.teams[i].Environment), &t.teams[i])
	}
	for i := range t.profiles {
		errs = append(errs, p.profileWithin(at(t.profiles[i].Environment), &t.profiles[i]))
	}
	for i := range t.shares {
		errs = append(errs, p.shareWithin(at(t.shares[i].Environment), &t.shares[i]))
	}
	for i := range t.apps {
		errs = append(errs, p.appWithin(at(t.apps[i].Environment), &t.apps[i]))
	}
	for i := range t.flows {
		errs = append(errs, p.flowWithin(at(t.flows[i].Environment), &t.flows[i]))
	}
	for i := range t.roles {
		if def := &t.roles[i]; def.Environment != "" {
			p.roleWithin(at(def.Environment), def)
		}
	}
	if err := errors.Join(errs...); err != nil {
		p.addf("tenant %q: %w", tenant, err)
	}
}

// canonicalize is the function of that name, and compares with each other what environments
// hold.
func (c *compiler) canonicalize(d *Data) (*canonical, error) {
	all, err := canonicalize(d)
	if err != nil {
		return nil, err
	}
	p := &problems{}
	for i := range all.tenants {
		if t := &all.tenants[i]; t.items() > 0 || slices.ContainsFunc(t.roles, func(def authz.RoleDefinition) bool { return def.Environment != "" }) {
			c.checkItems(t, p)
		}
	}
	return all, p.err()
}
