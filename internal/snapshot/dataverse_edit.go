package snapshot

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// What environments with a database hold is checked when it is put against what else there
// is so far: first the environment, its business units, its tables and its teams, then what
// names them. What is still named cannot be removed: that is an [ErrInUse].

// place is an environment as far as checks go.
func (r *Reader) place(tenant, environment string) (*place, error) {
	_, _, listed, err := r.EnvironmentOf(tenant, environment)
	if err != nil {
		return nil, err
	}
	d, err := r.database(tenant, environment)
	if err != nil {
		return nil, err
	}
	return &place{
		tenant: tenant, id: environment, listed: listed, database: d,
		team: func(id string) (Team, bool, error) { return r.Team(tenant, id) },
	}, nil
}

// checkItem collects what is wrong with a thing that is to be put into an environment.
func (e *Edit) checkItem(tenant, environment string, alone func(p *problems), within func(p *problems, at *place) error) error {
	if err := e.check(tenant, alone); err != nil {
		return err
	}
	at, err := e.place(tenant, environment)
	if err != nil {
		return err
	}
	p := &problems{}
	if at.database != nil {
		if _, err := at.database.get(); err != nil {
			p.addf("tenant %q: environment %q: %w", tenant, environment, err)
		}
	}
	if err := within(p, at); err != nil {
		return err
	}
	return p.err()
}

// inUse makes of problems why something cannot be removed or changed.
func inUse(p *problems) error { return p.as(ErrInUse) }

// PutTable declares a table of an environment, or what it adds to a standard one, or changes
// that. What names the table and its columns must go on fitting.
func (e *Edit) PutTable(tenant string, t Table) error {
	t = canonicalTable(t)
	err := e.checkItem(tenant, t.Environment, func(p *problems) { p.table(tenant, &t) }, func(p *problems, at *place) error {
		if p.within(at, "table "+t.Name) == nil {
			return nil
		}
		key := authz.TableKey(t.Name)
		i, declared := slices.BinarySearchFunc(at.database.tables, key, func(other authz.Table, key string) int {
			return compareParts(authz.TableKey(other.Name), key)
		})
		tables := slices.Clone(at.database.tables)
		if declared {
			tables[i] = t.Table
		} else {
			tables = slices.Insert(tables, i, t.Table)
		}
		next := at.database.declaring(tables)
		if err := next.check(); err != nil {
			p.addf("tenant %q: environment %q: %w", tenant, t.Environment, err)
			return nil
		}
		if !declared && !at.database.isStandard(t.Name) {
			return nil
		}
		at.database = next
		return e.tableUsers(p, at, t.Name)
	})
	if err != nil {
		return err
	}
	return e.put(tableSection, tableKey(nil, tenant, t.Environment, t.Name), appendTable(nil, &t.Table))
}

// RemoveTable removes what an environment declares of a table, and tells whether it did. It
// is refused while anything names the table, unless it is a standard one, and while a
// column profile names a column that is then no longer secured.
func (e *Edit) RemoveTable(tenant, environment, name string) (bool, error) {
	_, ok, err := e.Table(tenant, environment, name)
	if err != nil || !ok {
		return false, err
	}
	at, err := e.place(tenant, environment)
	if err != nil {
		return false, err
	}
	if at.database != nil {
		p := &problems{}
		at.database = at.database.declaring(slices.DeleteFunc(slices.Clone(at.database.tables), func(t authz.Table) bool { return sameName(t.Name, name) }))
		if err := at.database.check(); err != nil {
			p.addf("tenant %q: environment %q: %w", tenant, environment, err)
		} else if err := e.tableUsers(p, at, name); err != nil {
			return false, err
		}
		if err := inUse(p); err != nil {
			return false, err
		}
	}
	return e.remove(tableSection, tableKey(nil, tenant, environment, name))
}

// tableUsers checks all that may name a table of a place.
func (e *Edit) tableUsers(p *problems, at *place, name string) error {
	for x, err := range e.ColumnProfiles(at.tenant, at.id) {
		if err := errors.Join(err, p.profileWithin(at, &x)); err != nil {
			return err
		}
	}
	for a, err := range e.Apps(at.tenant, at.id) {
		if err := errors.Join(err, p.appWithin(at, &a)); err != nil {
			return err
		}
	}
	for f, err := range e.Flows(at.tenant, at.id) {
		if err := errors.Join(err, p.flowWithin(at, &f)); err != nil {
			return err
		}
	}
	prefix := tableKey(nil, at.tenant, at.id, name)
	for s, err := range each(&e.Reader, shareSection, prefix, func(key *keyReader, payload string) (Share, error) {
		record := key.part()
		receiver, everyone := key.receiver()
		return readShare(at.id, authz.TableKey(name), record, receiver, everyone, payload)
	}) {
		if err != nil {
			return err
		}
		return p.shareWithin(at, &s) // and the others alike
	}
	return nil
}

// PutEnvironmentUser adds a user or application user to an environment, or changes what the
// environment knows about it: its one business unit among that. The security roles that it
// holds there it must be able to hold as it is then.
func (e *Edit) PutEnvironmentUser(tenant string, u EnvironmentUser) error {
	err := e.checkItem(tenant, u.Environment, func(p *problems) { p.environmentUser(tenant, &u) }, func(p *problems, at *place) error {
		p.environmentUserWithin(at, &u)
		old, ok, err := e.EnvironmentUser(tenant, u.Environment, u.Principal)
		if err != nil || !ok || old.Type == u.Type && old.ServiceInstalled == u.ServiceInstalled {
			return err
		}
		holder := authz.UserHolder
		if u.Type == authz.ApplicationUser {
			holder = authz.ApplicationUserHolder
		}
		return e.stillHeld(p, at, u.Principal, authz.Candidate{Holder: holder, ServiceInstalled: u.ServiceInstalled})
	})
	if err != nil {
		return err
	}
	return e.put(environmentUserSection, environmentUserKey(nil, tenant, u.Environment, u.Principal), appendEnvironmentUser(nil, &u))
}

// RemoveEnvironmentUser takes a user out of an environment and tells whether it was there. It
// is refused while the user holds security roles there.
func (e *Edit) RemoveEnvironmentUser(tenant, environment string, of authz.Principal) (bool, error) {
	u, ok, err := e.EnvironmentUser(tenant, environment, of)
	if err != nil || !ok {
		return false, err
	}
	root := authz.NamedScope{Kind: authz.EnvironmentScope, Environment: environment}.In(tenant)
	for a, err := range e.RoleAssignmentsOf(tenant, of) {
		if err != nil {
			return false, err
		}
		if role, _ := e.Role(tenant, a.RoleDefinitionID); role.IsSecurityRole() && atOrBelow(a.Scope, root) {
			return false, fmt.Errorf("%w: tenant %q: %v holds the security role %q in the environment %q (role assignment %q): remove that first",
				ErrInUse, tenant, u.Principal, role.Name(), environment, a.ID)
		}
	}
	return e.remove(environmentUserSection, environmentUserKey(nil, tenant, environment, of))
}

// atOrBelow tells whether a scope is another or lies below it, as far as the text says.
func atOrBelow(scope, root authz.Scope) bool {
	return len(scope) >= len(root) && scope[:len(root)] == root && (len(scope) == len(root) || scope[len(root)] == '/')
}

// PutTeam makes a team with all its members, or changes it. It stays in the environment that
// it is in; its kind stays as long as it holds roles, and its name as long as one of them is
// for the team of that name.
func (e *Edit) PutTeam(tenant string, t Team) error {
	t = canonicalTeam(t)
	err := e.checkItem(tenant, t.Environment, func(p *problems) { p.team(tenant, &t) }, func(p *problems, at *place) error {
		p.teamWithin(at, &t)
		old, ok, err := e.Team(tenant, t.ID)
		if err != nil || !ok {
			return err
		}
		if old.Environment != t.Environment {
			p.addf("tenant %q: team %q is of the environment %q, and cannot be moved to %q: choose another identifier", tenant, t.ID, old.Environment, t.Environment)
		}
		switch {
		case old.Kind != t.Kind:
			return e.heldByTeam(p, tenant, t.ID)
		case old.DisplayName != t.DisplayName:
			return e.stillHeld(p, at, authz.Principal{Type: authz.Team, ID: t.ID}, authz.Candidate{Holder: t.Kind, TeamName: t.DisplayName})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.put(teamSection, appendPart(appendPart(nil, tenant), t.ID), appendTeam(nil, &t))
}

// stillHeld checks that somebody whose facts are changed may hold the security roles that it
// holds in an environment.
func (e *Edit) stillHeld(p *problems, at *place, of authz.Principal, c authz.Candidate) error {
	if at.database == nil {
		return nil // which is reported
	}
	c.Effect, c.HasDatabase, c.InEnvironment, c.BusinessUnit = authz.AssignAllow, true, true, at.id
	root := authz.NamedScope{Kind: authz.EnvironmentScope, Environment: at.id}.In(at.tenant)
	for a, err := range e.RoleAssignmentsOf(at.tenant, of) {
		if err != nil {
			return err
		}
		def, ok := at.database.definition(a.RoleDefinitionID)
		if !ok || !atOrBelow(a.Scope, root) {
			continue
		}
		if c.Origin = authz.ByAssignment; def.Terms != nil {
			c.Origin = def.Terms.ComesBy
		}
		if err := def.CheckAssignment(c); err != nil {
			p.addf("tenant %q: environment %q: %v would hold what it may not (role assignment %q): %w", at.tenant, at.id, of, a.ID, err)
		}
	}
	return nil
}

// heldByTeam says which roles a team holds.
func (e *Edit) heldByTeam(p *problems, tenant, id string) error {
	for a, err := range e.RoleAssignmentsOf(tenant, authz.Principal{Type: authz.Team, ID: id}) {
		if err != nil {
			return err
		}
		p.addf("tenant %q: team %q holds the role %q (role assignment %q): remove that first", tenant, id, a.RoleDefinitionID, a.ID)
	}
	return nil
}

// RemoveTeam removes a team and all memberships in it, and tells whether there was one. It
// is refused while the team holds roles, and while column profiles, shares, apps and flows
// name it.
func (e *Edit) RemoveTeam(tenant, id string) (bool, error) {
	t, ok, err := e.Team(tenant, id)
	if err != nil || !ok {
		return false, err
	}
	at, err := e.place(tenant, t.Environment)
	if err != nil {
		return false, err
	}
	p := &problems{}
	if err := e.heldByTeam(p, tenant, id); err != nil {
		return false, err
	}
	if err := e.teamUsers(p, at, id); err != nil {
		return false, err
	}
	if err := inUse(p); err != nil {
		return false, err
	}
	return e.remove(teamSection, appendPart(appendPart(nil, tenant), id))
}

// teamUsers says what names a team.
func (e *Edit) teamUsers(p *problems, at *place, id string) error {
	team := authz.Principal{Type: authz.Team, ID: id}
	note := func(what string, all []authz.Principal) {
		if slices.Contains(all, team) {
			p.addf("tenant %q: environment %q: %s names the team %q", at.tenant, at.id, what, id)
		}
	}
	for x, err := range e.ColumnProfiles(at.tenant, at.id) {
		if err != nil {
			return err
		}
		note("column profile "+x.ID, x.Principals)
	}
	for s, err := range e.Shares(at.tenant, at.id) {
		if err != nil {
			return err
		}
		note("share of record "+s.Record, []authz.Principal{s.With})
	}
	for a, err := range e.Apps(at.tenant, at.id) {
		if err != nil {
			return err
		}
		note("app "+a.ID, a.SharedWith)
	}
	for f, err := range e.Flows(at.tenant, at.id) {
		if err != nil {
			return err
		}
		note("flow "+f.ID, f.RunOnly)
	}
	return nil
}

// PutColumnProfile makes a column profile, or changes it. The columns must be secured.
func (e *Edit) PutColumnProfile(tenant string, x ColumnProfile) error {
	x = canonicalProfile(x)
	err := e.checkItem(tenant, x.Environment, func(p *problems) { p.profile(tenant, &x) }, func(p *problems, at *place) error {
		return p.profileWithin(at, &x)
	})
	if err != nil {
		return err
	}
	return e.put(columnProfileSection, itemKey(nil, tenant, x.Environment, x.ID), appendColumnProfile(nil, &x))
}

// RemoveColumnProfile removes a column profile and tells whether there was one.
func (e *Edit) RemoveColumnProfile(tenant, environment, id string) (bool, error) {
	return e.remove(columnProfileSection, itemKey(nil, tenant, environment, id))
}

// PutShare shares a record with somebody, or changes the rights that this gives.
func (e *Edit) PutShare(tenant string, s Share) error {
	s = canonicalShare(s)
	err := e.checkItem(tenant, s.Environment, func(p *problems) { p.share(tenant, &s) }, func(p *problems, at *place) error {
		return p.shareWithin(at, &s)
	})
	if err != nil {
		return err
	}
	return e.put(shareSection, shareKey(nil, tenant, &s), appendShare(nil, &s))
}

// RemoveShare ends the share of a record with a receiver and tells whether there was one. Of
// the share that is given, all but the rights counts.
func (e *Edit) RemoveShare(tenant string, s Share) (bool, error) {
	s = canonicalShare(s)
	return e.remove(shareSection, shareKey(nil, tenant, &s))
}

// PutApp makes an app, or changes it.
func (e *Edit) PutApp(tenant string, a App) error {
	a = canonicalApp(a)
	err := e.checkItem(tenant, a.Environment, func(p *problems) { p.app(tenant, &a) }, func(p *problems, at *place) error {
		return p.appWithin(at, &a)
	})
	if err != nil {
		return err
	}
	return e.put(appSection, itemKey(nil, tenant, a.Environment, a.ID), appendApp(nil, &a))
}

// RemoveApp removes an app and tells whether there was one.
func (e *Edit) RemoveApp(tenant, environment, id string) (bool, error) {
	return e.remove(appSection, itemKey(nil, tenant, environment, id))
}

// PutFlow makes a flow, or changes it.
func (e *Edit) PutFlow(tenant string, f Flow) error {
	f = canonicalFlow(f)
	err := e.checkItem(tenant, f.Environment, func(p *problems) { p.flow(tenant, &f) }, func(p *problems, at *place) error {
		return p.flowWithin(at, &f)
	})
	if err != nil {
		return err
	}
	return e.put(flowSection, itemKey(nil, tenant, f.Environment, f.ID), appendFlow(nil, &f))
}

// RemoveFlow removes a flow and tells whether there was one.
func (e *Edit) RemoveFlow(tenant, environment, id string) (bool, error) {
	return e.remove(flowSection, itemKey(nil, tenant, environment, id))
}

// Items are all that an environment with a database holds besides its business units.
type Items struct {
	Flows          []Flow
	Apps           []App
	Shares         []Share
	ColumnProfiles []ColumnProfile
	Teams          []Team
	Users          []EnvironmentUser
	Roles          []authz.RoleDefinition // its custom security roles
	Tables         []Table
}

// ItemsOf returns what an environment holds. In the order of the fields it can be removed,
// once the role assignments of its teams, users and roles are.
func (r *Reader) ItemsOf(tenant, environment string) (x Items, err error) {
	definitions, err := r.RoleDefinitions(tenant)
	for _, def := range definitions {
		if def.Environment == environment {
			x.Roles = append(x.Roles, def)
		}
	}
	return x, errors.Join(err,
		collect(&x.Flows, r.Flows(tenant, environment)), collect(&x.Apps, r.Apps(tenant, environment)), collect(&x.Shares, r.Shares(tenant, environment)),
		collect(&x.ColumnProfiles, r.ColumnProfiles(tenant, environment)), collect(&x.Teams, r.Teams(tenant, environment)),
		collect(&x.Users, r.EnvironmentUsers(tenant, environment)), collect(&x.Tables, r.Tables(tenant, environment)))
}

func collect[T any](into *[]T, all func(yield func(T, error) bool)) error {
	for item, err := range all {
		if err != nil {
			return err
		}
		*into = append(*into, item)
	}
	return nil
}

// left says what an environment still holds.
func (e *Edit) left(p *problems, tenant, environment string) error {
	definitions, err := e.RoleDefinitions(tenant)
	if err != nil {
		return err
	}
	for _, def := range definitions {
		if def.Environment == environment {
			p.addf("tenant %q: environment %q has the security role %q: remove it first", tenant, environment, def.Name)
		}
	}
	prefix := environmentKey(tenant, environment)
	for _, sec := range []section{tableSection, environmentUserSection, environmentTeamSection, columnProfileSection, shareSection, appSection, flowSection} {
		c := &scan{r: &e.Reader, sec: sec}
		if err := c.seek(prefix); err != nil {
			return err
		}
		if c.key != nil && hasPrefix(c.key, prefix) {
			p.addf("tenant %q: environment %q has %s: remove them first", tenant, environment, itemNames[sec])
		}
	}
	return nil
}

var itemNames = map[section]string{
	tableSection: "tables", environmentUserSection: "users", environmentTeamSection: "teams", columnProfileSection: "column profiles",
	shareSection: "shares of records", appSection: "apps", flowSection: "flows",
}

// withoutDatabase checks that an environment can be without a database.
func (e *Edit) withoutDatabase(tenant, environment string) error {
	p := &problems{}
	if err := e.left(p, tenant, environment); err != nil {
		return err
	}
	scope := authz.NamedScope{Kind: authz.EnvironmentScope, Environment: environment}.In(tenant)
	for a, err := range e.RoleAssignmentsUnder(tenant, scope) {
		if err != nil {
			return err
		}
		if role, _ := e.Role(tenant, a.RoleDefinitionID); role.IsSecurityRole() {
			p.addf("tenant %q: environment %q: the security role %q is assigned there (role assignment %q): remove that first", tenant, environment, role.Name(), a.ID)
		}
	}
	return inUse(p)
}

// unitUsers says what is in a business unit of an environment; an empty one stands for
// whatever names none.
func (e *Edit) unitUsers(p *problems, tenant, environment, unit string) error {
	note := func(what, in string) {
		if in == unit {
			p.addf("tenant %q: environment %q: %s is in the business unit %q", tenant, environment, what, unit)
		}
	}
	for u, err := range e.EnvironmentUsers(tenant, environment) {
		if err != nil {
			return err
		}
		note("environment user "+u.Principal.String(), u.BusinessUnit)
	}
	for t, err := range e.Teams(tenant, environment) {
		if err != nil {
			return err
		}
		note("team "+t.ID, t.BusinessUnit)
	}
	definitions, err := e.RoleDefinitions(tenant)
	for _, def := range definitions {
		if def.Environment == environment {
			note("security role "+def.Name, def.BusinessUnit)
		}
	}
	return err
}

// oneRoot checks, of a business unit that is to lie below no other, that nothing relies on
// there being one root.
func (e *Edit) oneRoot(tenant string, unit authz.BusinessUnit) error {
	d, err := e.database(tenant, unit.Environment)
	if err != nil || d == nil || unit.Parent != "" {
		return err
	}
	if !slices.ContainsFunc(d.units, func(other authz.BusinessUnit) bool { return other.Parent == "" && other.ID != unit.ID }) {
		return nil
	}
	p := &problems{}
	if err := e.unitUsers(p, tenant, unit.Environment, ""); err != nil {
		return err
	}
	return inUse(p)
}

// stillAssignable checks that role assignments that could be made of a role still could be
// when it is changed. It looks at all of the tenant's where that can be otherwise.
func (e *Edit) stillAssignable(p *problems, tenant string, old, next *authz.RoleDefinition) error {
	if old.Environment == next.Environment && slices.Equal(old.AssignableScopes, next.AssignableScopes) && slices.Equal(old.RestrictedScopes, next.RestrictedScopes) {
		return nil
	}
	n, err := e.RoleUse(tenant, next.ID)
	if err != nil || n == 0 {
		return err
	}
	tree, err := e.Hierarchy(tenant)
	if err != nil {
		return err
	}
	for a, err := range e.RoleAssignments(tenant) {
		if err != nil {
			return err
		}
		if a.RoleDefinitionID != next.ID {
			continue
		}
		chain, err := tree.Chain(a.Scope, e.store.options.FoldCase)
		if err != nil { // it is not listed any more
			chain = []authz.Scope{a.Scope}
		}
		if old.AssignableAt(chain) && !next.AssignableAt(chain) {
			p.addf("tenant %q: role definition %q: role assignment %q at %s could not be made of it any more: remove that first", tenant, next.Name, a.ID, a.Scope)
		}
		if n--; n == 0 {
			break
		}
	}
	return nil
}

// checkRole checks a custom role against what else there is.
func (e *Edit) checkRole(tenant string, def *authz.RoleDefinition) error {
	p := &problems{}
	if def.Environment != "" {
		at, err := e.place(tenant, def.Environment)
		if err != nil {
			return err
		}
		p.roleWithin(at, def)
	}
	if err := p.err(); err != nil {
		return err
	}
	old, ok, err := e.RoleDefinition(tenant, def.ID)
	if err != nil || !ok {
		return err
	}
	if err := e.stillAssignable(p, tenant, &old, def); err != nil {
		return err
	}
	return inUse(p)
}
