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
			Principal: t.principal(&f, "principalType", "principalObjectId",
				authz.User, authz.Group, authz.ApplicationUser, authz.DirectoryRole, authz.Team),
			Disabled:    f.bool("disabled"),
			DisplayName: f.optionalText("displayName"),
			Mail:        f.optionalText("mail"),
			Owners:      t.readOwners(&f),
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
	type place struct { // and not the value, which holds all members
		line, column int
		path         string
	}
	var places []place
	var reader *strictyaml.Reader
	f.list("groups", func(v strictyaml.Value) {
		f := groupRecord.read(v)
		group := snapshot.Group{DisplayName: f.optionalText("displayName")}
		if id, ok := f.value("id"); ok {
			group.ID = t.objectID(id)
		}
		group.Members = t.readMembers(&f)
		group.Owners = t.readOwners(&f)
		if group.ID != "" && once(lines, group.ID, v, "group %q", group.ID) {
			index[group.ID] = len(places)
			places, reader = append(places, place{v.Line(), v.Column(), v.Path()}), v.Reader()
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
		first := places[circle[0]]
		reader.ProblemAt(first.line, first.column, first.path, "groups are members of each other in a circle: %s", strings.Join(names, " has "))
	})
}

func (t *tenantReader) readMembers(f *fields) []authz.Principal {
	return t.readPeople(f, "members", "member", authz.Principal.Key)
}

// readOwners reads who owns something.
func (t *tenantReader) readOwners(f *fields) []authz.Principal {
	return t.readPeople(f, "owners", "owner", func(p authz.Principal) authz.Principal { return p })
}

// readPeople reads a list of principals, no two of them with one key.
func (t *tenantReader) readPeople(f *fields, list, what string, key func(authz.Principal) authz.Principal) []authz.Principal {
	lines := map[authz.Principal]int{}
	var people []authz.Principal
	f.list(list, func(v strictyaml.Value) {
		f := memberRecord.read(v)
		one := t.principal(&f, "principalType", "principalObjectId", authz.User, authz.ApplicationUser, authz.Group)
		if one.ID != "" && once(lines, key(one), v, what+" %q", one.ID) {
			people = append(people, one)
		}
	})
	return people
}
