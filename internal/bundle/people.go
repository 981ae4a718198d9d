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
		}
		if principal.ID == "" {
			return
		}
		key := principal.Key()
		if principal.Disabled && key.Type != authz.User {
			at, _ := f.value("disabled")
			at.Problemf("only a User or an ApplicationUser can be disabled, not a %s", principal.Type)
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
	var places []strictyaml.Value
	f.list("groups", func(v strictyaml.Value) {
		f := groupRecord.read(v)
		group := snapshot.Group{DisplayName: f.optionalText("displayName")}
		if id, ok := f.value("id"); ok {
			group.ID = t.objectID(id)
		}
		group.Members = t.readMembers(&f)
		if group.ID != "" && once(lines, group.ID, v, "group %q", group.ID) {
			index[group.ID] = len(places)
			places = append(places, v)
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

func (t *tenantReader) readMembers(f *fields) []authz.Principal {
	lines := map[authz.Principal]int{}
	var members []authz.Principal
	f.list("members", func(v strictyaml.Value) {
		f := memberRecord.read(v)
		member := t.principal(&f, "principalType", "principalObjectId", authz.User, authz.ApplicationUser, authz.Group)
		if member.ID != "" && once(lines, member.Key(), v, "member %q", member.ID) {
			members = append(members, member)
		}
	})
	return members
}
