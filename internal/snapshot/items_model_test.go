package snapshot_test

import (
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// modelItems are what a tenant's environments hold, kept in the plainest way.
type modelItems struct {
	tables   map[[2]string]snapshot.Table
	users    map[[2]string]snapshot.EnvironmentUser
	teams    map[string]snapshot.Team
	profiles map[string]snapshot.ColumnProfile // of e2
	shares   map[string]snapshot.Share
	apps     map[string]snapshot.App // of e2
}

func newModelItems() *modelItems {
	return &modelItems{
		tables: map[[2]string]snapshot.Table{}, users: map[[2]string]snapshot.EnvironmentUser{}, teams: map[string]snapshot.Team{},
		profiles: map[string]snapshot.ColumnProfile{}, shares: map[string]snapshot.Share{}, apps: map[string]snapshot.App{},
	}
}

func (x *modelItems) clone() *modelItems {
	return &modelItems{
		tables: maps.Clone(x.tables), users: maps.Clone(x.users), teams: maps.Clone(x.teams),
		profiles: maps.Clone(x.profiles), shares: maps.Clone(x.shares), apps: maps.Clone(x.apps),
	}
}

func (x *modelItems) addTo(t *snapshot.Tenant) {
	t.Tables, t.Users, t.Teams = slices.Collect(maps.Values(x.tables)), slices.Collect(maps.Values(x.users)), slices.Collect(maps.Values(x.teams))
	t.ColumnProfiles, t.Shares, t.Apps = slices.Collect(maps.Values(x.profiles)), slices.Collect(maps.Values(x.shares)), slices.Collect(maps.Values(x.apps))
}

func isIn(tenant, environment string, scope authz.Scope) bool {
	return strings.HasPrefix(string(scope)+"/", "/tenants/"+tenant+"/environments/"+environment+"/")
}

// occupied tells whether an environment has anything that needs a database.
func (x *modelTenant) occupied(tenant, environment string) bool {
	for key := range x.tables {
		if key[0] == environment {
			return true
		}
	}
	for key := range x.users {
		if key[0] == environment {
			return true
		}
	}
	for _, tm := range x.teams {
		if tm.Environment == environment {
			return true
		}
	}
	for _, s := range x.shares {
		if s.Environment == environment {
			return true
		}
	}
	if def, ok := x.roles["s1"]; ok && def.Environment == environment {
		return true
	}
	for _, a := range x.assignments {
		if (a.RoleDefinitionID == basicRole || a.RoleDefinitionID == "s1") && isIn(tenant, environment, a.Scope) {
			return true
		}
	}
	return environment == "e2" && len(x.profiles)+len(x.apps) > 0
}

// holds tells whether somebody is assigned anything that is picked.
func (x *modelTenant) holds(of authz.Principal, pick func(a snapshot.RoleAssignment) bool) bool {
	person := func(p authz.Principal) authz.Principal {
		if p.Type == authz.ApplicationUser {
			p.Type = authz.User
		}
		return p
	}
	for _, a := range x.assignments {
		if person(a.Principal) == person(of) && pick(a) {
			return true
		}
	}
	return false
}

// shareable tells whether records of a table can be shared.
func (x *modelTenant) shareable(environment, table string) bool {
	declared, ok := x.tables[[2]string{environment, strings.ToLower(table)}]
	return strings.EqualFold(table, "Account") || ok && declared.Ownership == authz.UserOwned
}

// step makes one random change of what environments hold in both.
func (x *modelTenant) step(t *rapid.T, e *snapshot.Edit, tenant string, kind int, agree func(string, error, bool) bool, removed func(string, bool, error, bool)) {
	environment := rapid.SampledFrom([]string{"e2", "e2", "e1"}).Draw(t, "environment")
	database := x.environments[environment].Dataverse
	_, hasUnit := x.units["b1"]
	hasUnit = hasUnit && environment == "e2"
	unit := rapid.SampledFrom([]string{"", "", "b1"}).Draw(t, "unit")
	good := database && (unit == "" || hasUnit)
	remove := rapid.IntRange(0, 2).Draw(t, "remove") == 0
	key := [2]string{environment, "ta"}
	switch kind {
	case 16:
		if remove {
			_, was := x.tables[key]
			named := environment == "e2" && len(x.profiles) > 0 || len(x.roles["s1"].Privileges) > 0 && x.roles["s1"].Environment == environment && strings.Contains(x.roles["s1"].Privileges[0], "tA")
			for _, s := range x.shares {
				named = named || s.Environment == environment && s.Table == "tA"
			}
			there, err := e.RemoveTable(tenant, environment, "TA")
			if agree("remove table", err, !was || !named) {
				removed("table", there, err, was)
				delete(x.tables, key)
			}
			return
		}
		table := drawTable(t, environment, "tA")
		fits := environment != "e2" || len(x.profiles) == 0 || len(table.SecuredColumns) > 0
		for _, s := range x.shares {
			fits = fits && (s.Environment != environment || s.Table != "tA" || table.Ownership == authz.UserOwned)
		}
		if agree("table", e.PutTable(tenant, table), database && fits) {
			x.tables[key] = table
		}
	case 17, 18:
		u := snapshot.EnvironmentUser{Environment: environment, Principal: drawUser(t), BusinessUnit: unit, Disabled: rapid.Bool().Draw(t, "disabled")}
		key := [2]string{environment, u.ID}
		if remove {
			_, was := x.users[key]
			held := x.holds(u.Principal, func(a snapshot.RoleAssignment) bool {
				return (a.RoleDefinitionID == basicRole || a.RoleDefinitionID == "s1") && isIn(tenant, environment, a.Scope)
			})
			there, err := e.RemoveEnvironmentUser(tenant, environment, u.Principal)
			if agree("remove user", err, !was || !held) {
				removed("user", there, err, was)
				delete(x.users, key)
			}
			return
		}
		if agree("user", e.PutEnvironmentUser(tenant, u), good) {
			x.users[key] = u
		}
	case 19, 20:
		tm := drawTeam(t, rapid.SampledFrom(someTeams).Draw(t, "team"), environment)
		tm.BusinessUnit = unit
		old, was := x.teams[tm.ID]
		holds := x.holds(team(tm.ID), func(snapshot.RoleAssignment) bool { return true })
		if remove {
			named := false
			for _, s := range x.shares {
				named = named || s.With == team(tm.ID)
			}
			there, err := e.RemoveTeam(tenant, tm.ID)
			if agree("remove team", err, !was || !holds && !named) {
				removed("team", there, err, was)
				delete(x.teams, tm.ID)
			}
			return
		}
		if agree("team", e.PutTeam(tenant, tm), good && (!was || old.Environment == environment && (old.Kind == tm.Kind || !holds))) {
			x.teams[tm.ID] = tm
		}
	case 21:
		s := drawShare(t, environment)
		if remove {
			_, was := x.shares[shareName(s)]
			there, err := e.RemoveShare(tenant, s)
			removed("share", there, err, was)
			delete(x.shares, shareName(s))
			return
		}
		listed := s.With.Type != authz.Team
		if tm, ok := x.teams[s.With.ID]; ok && tm.Environment == environment {
			listed = true
		}
		if agree("share", e.PutShare(tenant, s), database && x.shareable(environment, s.Table) && listed) {
			x.shares[shareName(s)] = s
		}
	case 22:
		if remove {
			there, err := e.RemoveColumnProfile(tenant, "e2", "p1")
			_, was := x.profiles["p1"]
			removed("profile", there, err, was)
			delete(x.profiles, "p1")
			return
		}
		p := snapshot.ColumnProfile{ID: "p1", Environment: "e2", Columns: []snapshot.ColumnRight{{Table: "TA", Column: "C", Rights: readingWriting}}, Principals: []authz.Principal{drawUser(t)}}
		if agree("profile", e.PutColumnProfile(tenant, p), x.environments["e2"].Dataverse && len(x.tables[[2]string{"e2", "ta"}].SecuredColumns) > 0) {
			x.profiles["p1"] = p
		}
		a := snapshot.App{ID: "app", Environment: "e2", SharedWithEveryone: rapid.Bool().Draw(t, "everyone")}
		if agree("app", e.PutApp(tenant, a), x.environments["e2"].Dataverse) {
			x.apps["app"] = a
		}
	case 23:
		if rapid.Bool().Draw(t, "business unit") {
			x.stepUnit(t, e, tenant, remove, agree, removed)
			return
		}
		def := authz.RoleDefinition{
			ID: "s1", Name: "Custom security", Environment: environment, BusinessUnit: unit,
			Privileges: []string{rapid.SampledFrom([]string{"Dataverse.Account.Read@User", "Dataverse.tA.Read@User"}).Draw(t, "privilege")},
		}
		_, table := x.tables[key]
		fits := good && (table || def.Privileges[0] != "Dataverse.tA.Read@User")
		if old, ok := x.roles["s1"]; ok && old.Environment != environment {
			for _, a := range x.assignments {
				inOld := a.Scope == authz.Scope("/tenants/"+tenant+"/environments/"+old.Environment) || strings.HasPrefix(string(a.Scope), "/tenants/"+tenant+"/environments/"+old.Environment+"/businessUnits/")
				fits = fits && (a.RoleDefinitionID != "s1" || !inOld)
			}
		}
		if agree("security role", e.PutRoleDefinition(tenant, def), fits) {
			x.roles["s1"] = def
		}
	}
}

// stepUnit makes or removes the one business unit, of e2.
func (x *modelTenant) stepUnit(t *rapid.T, e *snapshot.Edit, tenant string, remove bool, agree func(string, error, bool) bool, removed func(string, bool, error, bool)) {
	if _, listed := x.environments["e2"]; !listed {
		return // a business unit without its environment is refused when the change ends
	}
	if !remove {
		unit := authz.BusinessUnit{ID: "b1", Environment: "e2"}
		agree("business unit", e.PutBusinessUnit(tenant, unit), true)
		x.units["b1"] = unit
		return
	}
	used := x.roles["s1"].BusinessUnit == "b1"
	for _, u := range x.users {
		used = used || u.BusinessUnit == "b1"
	}
	for _, tm := range x.teams {
		used = used || tm.BusinessUnit == "b1"
	}
	_, was := x.units["b1"]
	there, err := e.RemoveBusinessUnit(tenant, "e2", "b1")
	if agree("remove business unit", err, !used) {
		removed("business unit", there, err, was)
		delete(x.units, "b1")
	}
}
