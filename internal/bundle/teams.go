package bundle

import (
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

var (
	userRecord = record{keys: []string{"environment", "principalType", "principalObjectId", "businessUnit", "disabled", "serviceInstalled"}, required: 3}
	teamRecord = record{keys: []string{"id", "environment", "teamType", "displayName", "businessUnit", "group", "members"}, required: 3}
)

// teamKinds are the kinds of team.
var teamKinds = []authz.HolderKind{authz.OwnerTeamHolder, authz.GroupTeamHolder, authz.AccessTeamHolder}

// userIn is a user of an environment, by its key.
type userIn struct {
	environment string
	user        authz.Principal
}

func (t *tenantReader) readUsers(f *fields) {
	lines := map[userIn]int{}
	f.list("users", func(v strictyaml.Value) {
		f := userRecord.read(v)
		user := snapshot.EnvironmentUser{
			Environment:      t.environment(&f),
			Principal:        t.principal(&f, "principalType", "principalObjectId", authz.User, authz.ApplicationUser),
			Disabled:         f.bool("disabled"),
			ServiceInstalled: f.bool("serviceInstalled"),
		}
		user.BusinessUnit = t.businessUnit(&f, user.Environment)
		if at, _ := f.value("serviceInstalled"); user.ServiceInstalled && user.Type == authz.User {
			at.Problemf("only an ApplicationUser comes with the service, not a User")
		}
		if user.ID == "" || user.Environment == "" {
			return
		}
		key := userIn{user.Environment, user.Key()}
		if other := t.users[key]; other != nil && other.BusinessUnit != user.BusinessUnit {
			v.Problemf("user %q is in another business unit of environment %q on line %d: it can be in one", user.ID, user.Environment, lines[key])
			return
		}
		if once(lines, key, v, "user %q of environment %q", user.ID, user.Environment) {
			t.users[key] = &user
			t.tenant.Users = append(t.tenant.Users, user)
		}
	})
}

func (t *tenantReader) readTeams(f *fields) {
	lines := map[string]int{}
	f.list("teams", func(v strictyaml.Value) {
		f := teamRecord.read(v)
		team := snapshot.Team{Environment: t.environment(&f), DisplayName: f.optionalText("displayName")}
		if id, ok := f.value("id"); ok {
			team.ID = t.objectID(id)
		}
		if kind, ok := f.value("teamType"); ok {
			if i, ok := oneOf(kind, names(teamKinds)); ok {
				team.Kind = teamKinds[i]
			}
		}
		team.BusinessUnit = t.businessUnit(&f, team.Environment)
		group, hasGroup := f.unlessNull("group")
		if hasGroup {
			team.Group = t.objectID(group)
		}
		team.Members = t.readPeople(&f, members, "", authz.User, authz.ApplicationUser)
		switch {
		case team.Kind == authz.GroupTeamHolder && !hasGroup:
			v.Problemf("a GroupTeam has the members of a security group: say which with group")
		case team.Kind == authz.GroupTeamHolder && len(team.Members) > 0:
			at, _ := f.value("members")
			at.Problemf("a GroupTeam has the members of its group, and none of its own: leave members out, or make it an OwnerTeam")
		case team.Kind != authz.GroupTeamHolder && team.Kind != authz.NoHolder && hasGroup:
			group.Problemf("only a GroupTeam has a group, not an %v: leave it out, or make it a GroupTeam", team.Kind)
		}
		if team.ID != "" && once(lines, team.ID, v, "team %q", team.ID) {
			t.teams[team.ID] = &team
			t.tenant.Teams = append(t.tenant.Teams, team)
		}
	})
}

// checkTeam makes sure that a principal of an environment, if it is a team, is one there. A
// team is found by its identifier alone, so that one nobody listed may be anybody's later.
func (t *tenantReader) checkTeam(v strictyaml.Value, p authz.Principal, environment string) {
	if p.Type != authz.Team || environment == "" {
		return
	}
	switch team := t.teams[p.ID]; {
	case team == nil:
		v.Problemf("there is no team %q: list it under teams", p.ID)
	case team.Environment != environment && team.Environment != "":
		v.Problemf("team %q is of the environment %q: want one of %q", p.ID, team.Environment, environment)
	}
}
