package bundle

import (
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func (t *tenantReader) readPrincipals(f *fields) {
	lines := map[authz.Principal]int{}
	f.list("principals", func(v strictyaml.Value) {
		f := principalRecord.read(v)
		principal := snapshot.Principal{
			Principal:   t.principal(&f, "principalType", "principalObjectId", holders...),
			Disabled:    f.bool("disabled"),
			DisplayName: f.optionalText("displayName"),
			Mail:        f.optionalText("mail"),
			Owners:      t.readPeople(&f, owners, "", ofDirectory...),
		}
		if principal.ID == "" {
			return
		}
		key := principal.Key()
		if principal.Disabled && key.Type != authz.User {
			at, _ := f.value("disabled")
			at.Problemf("only a User or an ApplicationUser can be disabled, not a %s", principal.Type)
		}
		if at, _ := f.value("owners"); key.Type == authz.Group && len(principal.Owners) > 0 {
			at.Problemf("the owners of a group stand with it under groups")
			principal.Owners = nil
		}
		// One object of the directory is a group or it is none.
		other := authz.Principal{ID: key.ID}
		if key.Type == authz.User {
			other.Type = authz.Group
		} else if key.Type == authz.Group {
			other.Type = authz.User
		}
		if first, both := lines[other]; both && other.Type != authz.NoPrincipal {
			v.Problemf("object %q is a %s here and another type on line %d: it can be one", key.ID, principal.Type, first)
			return
		}
		if once(lines, key, v, "principal %q", key.ID) {
			t.tenant.Principals = append(t.tenant.Principals, principal)
		}
	})
}

func (t *tenantReader) readGroups(f *fields) {
	lines := map[string]int{}
	index := map[string]int{}
	var places []strictyaml.Place // and not the values, which hold all members
	f.list("groups", func(v strictyaml.Value) {
		f := groupRecord.read(v)
		group := snapshot.Group{DisplayName: f.optionalText("displayName")}
		if id, ok := f.value("id"); ok {
			group.ID = t.objectID(id)
		}
		group.Members = t.readPeople(&f, members, "", ofDirectory...)
		group.Owners = t.readPeople(&f, owners, "", ofDirectory...)
		if group.ID != "" && once(lines, group.ID, v, "group %q", group.ID) {
			index[group.ID] = len(places)
			places = append(places, v.Place())
			t.tenant.Groups = append(t.tenant.Groups, group)
		}
	})
	groups := t.tenant.Groups
	circles(len(groups), func(i int) []int {
		var inner []int
		for _, member := range groups[i].Members {
			if at, listed := index[member.ID]; listed && member.Type == authz.Group {
				inner = append(inner, at)
			}
		}
		return inner
	}, func(circle []int) {
		names := make([]string, 0, len(circle))
		for _, i := range circle {
			names = append(names, groups[i].ID)
		}
		places[circle[0]].Problemf("groups are members of each other in a circle: %s", strings.Join(names, " has "))
	})
}

// A peopleList is a list of principals: its key, what one of them is called, and what no two
// of them may have in common.
type peopleList struct {
	key, one string
	same     func(authz.Principal) authz.Principal
}

var (
	members    = peopleList{"members", "member", authz.Principal.Key}
	owners     = peopleList{"owners", "owner", func(p authz.Principal) authz.Principal { return p }}
	profiled   = peopleList{"principals", "principal", authz.Principal.Key}
	sharedWith = peopleList{"sharedWith", "principal", authz.Principal.Key}
	runOnly    = peopleList{"runOnlyUsers", "run-only user", authz.Principal.Key}
)

// ofDirectory are what is a member of a group or owns something.
var ofDirectory = []authz.PrincipalType{authz.User, authz.ApplicationUser, authz.Group}

// readPeople reads a list of principals, whose teams are of the environment.
func (t *tenantReader) readPeople(f *fields, list peopleList, environment string, want ...authz.PrincipalType) []authz.Principal {
	lines := map[authz.Principal]int{}
	var people []authz.Principal
	f.list(list.key, func(v strictyaml.Value) {
		f := memberRecord.read(v)
		one := t.principal(&f, "principalType", "principalObjectId", want...)
		if one.ID == "" {
			return
		}
		at, _ := f.value("principalObjectId")
		t.checkTeam(at, one, environment)
		if once(lines, list.same(one), v, list.one+" %q", one.ID) {
			people = append(people, one)
		}
	})
	return people
}
