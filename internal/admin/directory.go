package admin

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	maxOwners  = 100
	maxMembers = 1000
)

func groupOf(id string) authz.Principal { return authz.Principal{Type: authz.Group, ID: id} }

func shownGroup(tenant string, g snapshot.Group) Group {
	item := groupItem{g.ID, g.DisplayName, itemsOf(g.Owners)}
	return Group{ID: g.ID, DisplayName: g.DisplayName, Owners: g.Owners, Etag: etagOf(tenant, item)}
}

func shownPrincipal(tenant string, p snapshot.Principal) Principal {
	shown := Principal{Principal: p.Principal, Disabled: p.Disabled, DisplayName: p.DisplayName, Mail: p.Mail, Owners: p.Owners}
	shown.Etag = etagOf(tenant, shown.item())
	return shown
}

func (p *Principal) item() principalRecordItem {
	return principalRecordItem{itemOf(p.Principal), p.Disabled, p.DisplayName, p.Mail, itemsOf(p.Owners)}
}

// owners reads who owns something, sorted, each once.
func (a *Admin) owners(field string, owners []authz.Principal) ([]authz.Principal, error) {
	if len(owners) > maxOwners {
		return nil, failf(Invalid, field, "let a group own it", "there are at most %d owners", maxOwners)
	}
	all := make([]authz.Principal, 0, len(owners))
	for i, owner := range owners {
		p, err := a.principal(fmt.Sprintf("%s[%d]", field, i), owner, memberTypes...)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	slices.SortFunc(all, comparePrincipals)
	return slices.Compact(all), nil
}

// A place is a role with a scope at which it is assigned.
type place struct {
	scope authz.Scope
	role  string // its identifier; empty: whatever role
}

// placesOf are where, and as what role, a principal, anything that it belongs to, or anything
// that they own is assigned something that has not expired; the environment of a team that
// is assigned nothing; the tenant where there is none of all this. They come with what the
// principal holds itself.
func (t *txn) placesOf(p authz.Principal) ([]place, []authz.Grant, error) {
	s, err := newState(t.a, t.e, t.tenant)
	if err != nil {
		return nil, nil, err
	}
	grants, err := s.held(p)
	if err != nil {
		return nil, nil, err
	}
	ended := func(g authz.Grant) bool { return !live(&g, t.now) }
	grants = slices.DeleteFunc(grants, ended)
	behind, err := t.behind(s, p)
	if err != nil {
		return nil, nil, err
	}
	var places []place
	for _, g := range slices.DeleteFunc(behind, ended) {
		if at := (place{g.Scope, g.Role.ID()}); !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	acts, err := t.actsAs(s, p)
	if err != nil {
		return nil, nil, err
	}
	for _, q := range acts {
		if q.Type != authz.Team { // which has records, and what is shared with it
			continue
		}
		team, listed, err := t.e.Team(t.tenant, q.ID)
		if err != nil {
			return nil, nil, err
		}
		if at := (place{environmentScope(t.tenant, team.Environment), anySecurityRole.ID}); listed && !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	if len(places) == 0 {
		places = []place{{scope: rootOf(t.tenant)}}
	}
	return places, grants, nil
}

// needPlaces checks that the caller has the permission at each of the scopes, covering the
// role that is assigned there.
func (t *txn) needPlaces(k *asker, permission authz.PermissionID, places []place) error {
	for _, at := range places {
		t.at(at.scope)
		role := anyRole
		switch at.role {
		case anyRole.ID:
		case anySecurityRole.ID:
			role = anySecurityRole
		default:
			def, known, err := t.definition(at.role)
			if err != nil {
				return err
			}
			if known {
				role = &def
			}
		}
		if err := k.needFor(permission, role, at.scope); err != nil {
			return err
		}
	}
	return nil
}

// needGroup checks that the caller has the permission that a change of a group needs: at
// every scope at which the group, any group that it is in, or anything that they own is
// assigned anything. It returns what the group holds.
func (t *txn) needGroup(permission authz.PermissionID, id string) (*asker, []authz.Grant, error) {
	k, err := t.asker()
	if err != nil {
		return nil, nil, err
	}
	places, grants, err := t.placesOf(groupOf(id))
	if err != nil {
		return nil, nil, err
	}
	if err := t.needPlaces(k, permission, places); err != nil {
		if KindOf(err) != Forbidden || k.holds(t.a.read, k.root()) {
			return nil, nil, err
		}
		// Where the group is assigned anything is not for everybody to know.
		return nil, nil, t.a.forbidden(permission, k.root(), authz.NoAssignment)
	}
	return k, grants, nil
}

// PutGroup makes a group, or changes its name and its owners; its members stay. It needs
// Authorization.RoleAssignments.Write at every scope at which the group, a group that it is
// in, or anything that they own is assigned anything; else at the tenant.
func (a *Admin) PutGroup(ctx context.Context, c Caller, q PutGroupRequest) (GroupResult, error) {
	return mutate(ctx, a, c, "PutGroup", tokens, q, &q.Context, func(t *txn) (GroupResult, error) {
		id, err := a.objectID("Group.ID", q.Group.ID)
		if err != nil {
			return GroupResult{}, err
		}
		if err := text("Group.DisplayName", q.Group.DisplayName, maxText); err != nil {
			return GroupResult{}, err
		}
		owners, err := a.owners("Group.Owners", q.Group.Owners)
		if err != nil {
			return GroupResult{}, err
		}
		k, _, err := t.needGroup(t.a.write, id)
		if err != nil {
			return GroupResult{}, err
		}
		old, shown, exists, err := t.group(id)
		if err != nil {
			return GroupResult{}, err
		}
		if err := matches(q.Etag, shown.Etag, exists); err != nil {
			return GroupResult{}, err
		}
		if !exists {
			if err := t.onlyType(groupOf(id)); err != nil {
				return GroupResult{}, err
			}
		}
		next := old
		next.ID, next.DisplayName, next.Owners = id, q.Group.DisplayName, owners
		after := groupItem{id, next.DisplayName, itemsOf(owners)}
		result := GroupResult{Group: Group{ID: id, DisplayName: next.DisplayName, Owners: owners, Etag: etagOf(t.tenant, after)}}
		if exists && result.Group.Etag == shown.Etag {
			return result, nil
		}
		about := touch{principals: []authz.Principal{groupOf(id)}, memberships: true, gifts: func(s *state) ([]gift, error) {
			if !addsTo(shown.Owners, owners) {
				return nil, nil
			}
			return t.giftsBehind(s, groupOf(id))
		}}
		err = t.apply(k, about, func() error {
			var before any
			if exists {
				before = groupItem{id, old.DisplayName, itemsOf(shown.Owners)}
			}
			if err := t.change(groupTarget(id), "", before, after); err != nil {
				return err
			}
			return t.e.PutGroup(t.tenant, next)
		})
		return result, err
	})
}

// addsTo tells whether there is anybody in the second list who is not in the first.
func addsTo(old, next []authz.Principal) bool {
	return slices.ContainsFunc(next, func(p authz.Principal) bool { return !slices.Contains(old, p) })
}

func (t *txn) group(id string) (snapshot.Group, Group, bool, error) {
	g, ok, err := t.e.Group(t.tenant, id)
	if err != nil || !ok {
		return g, Group{}, false, err
	}
	return g, shownGroup(t.tenant, g), true, nil
}

// onlyType refuses an object of the directory that is listed as a group and as a person:
// it is one or the other.
func (t *txn) onlyType(p authz.Principal) error {
	if p.Type == authz.Group {
		for _, kind := range callerTypes {
			if _, listed, err := t.e.Principal(t.tenant, authz.Principal{Type: kind, ID: p.ID}); listed || err != nil {
				return otherType(err, p, kind)
			}
		}
		return nil
	}
	if p.Key().Type == authz.User {
		if _, listed, err := t.e.Group(t.tenant, p.ID); listed || err != nil {
			return otherType(err, p, authz.Group)
		}
		for _, kind := range callerTypes {
			if kind == p.Type {
				continue
			}
			if _, listed, err := t.e.Principal(t.tenant, authz.Principal{Type: kind, ID: p.ID}); listed || err != nil {
				return otherType(err, p, kind)
			}
		}
	}
	return nil
}

func otherType(err error, p authz.Principal, kind authz.PrincipalType) error {
	if err != nil {
		return err
	}
	return failf(Duplicate, "ID", "an object of the directory has one type", "the object %q is listed as a %s", p.ID, kind)
}

// DeleteGroup removes a group with its memberships. What it is assigned stays with its
// identifier. It needs Authorization.RoleAssignments.Delete where PutGroup needs .Write.
func (a *Admin) DeleteGroup(ctx context.Context, c Caller, q DeleteGroupRequest) (GroupResult, error) {
	return mutate(ctx, a, c, "DeleteGroup", tokens, q, &q.Context, func(t *txn) (GroupResult, error) {
		id, err := a.objectID("ID", q.ID)
		if err != nil {
			return GroupResult{}, err
		}
		k, grants, err := t.needGroup(t.a.remove, id)
		if err != nil {
			return GroupResult{}, err
		}
		old, shown, exists, err := t.group(id)
		if err != nil {
			return GroupResult{}, err
		}
		if !exists {
			return GroupResult{}, failf(NotFound, "ID", "", "there is no group %q", q.ID)
		}
		if err := matches(q.Etag, shown.Etag, true); err != nil {
			return GroupResult{}, err
		}
		about := touch{principals: append([]authz.Principal{groupOf(id)}, old.Members...), memberships: true, gifts: func(s *state) ([]gift, error) {
			return giftsOf(s, false, grants, t.now), nil
		}}
		err = t.apply(k, about, func() error {
			if err := t.change(groupTarget(id), "", groupItem{id, old.DisplayName, itemsOf(shown.Owners)}, nil); err != nil {
				return err
			}
			for _, member := range old.Members {
				if err := t.change(memberTarget(id, member), "", membershipItem{id, itemOf(member)}, nil); err != nil {
					return err
				}
			}
			return t.e.RemoveGroup(t.tenant, id)
		})
		return GroupResult{Group: shown}, err
	})
}

// groupTarget names a group. Identifiers of the directory may hold anything: escaped, as
// segments of a path are, no name of one thing is that of another.
func groupTarget(id string) string { return "groups/" + url.PathEscape(id) }

func memberTarget(group string, p authz.Principal) string {
	return groupTarget(group) + "/members/" + p.Type.String() + "/" + url.PathEscape(p.ID)
}

func principalTarget(p authz.Principal) string {
	return "principals/" + p.Type.String() + "/" + url.PathEscape(p.ID)
}

// membersToChange checks that the caller may change the group that a request names, and
// returns what the group is and is assigned, and the members named. mend is what to do where
// there is no such group.
func (t *txn) membersToChange(permission authz.PermissionID, q *MembersRequest, mend string) (k *asker, grants []authz.Grant, old snapshot.Group, members []authz.Principal, err error) {
	id, members, err := t.members(q)
	if err != nil {
		return nil, nil, old, nil, err
	}
	if k, grants, err = t.needGroup(permission, id); err != nil {
		return nil, nil, old, nil, err
	}
	old, _, exists, err := t.group(id)
	if err == nil && !exists {
		err = failf(NotFound, "Group", mend, "there is no group %q", q.Group)
	}
	return k, grants, old, members, err
}

// members checks the group and the members that a request names.
func (t *txn) members(q *MembersRequest) (string, []authz.Principal, error) {
	id, err := t.a.objectID("Group", q.Group)
	if err != nil {
		return "", nil, err
	}
	if len(q.Members) == 0 || len(q.Members) > maxMembers {
		return "", nil, failf(Invalid, "Members", "", "name 1 to %d members", maxMembers)
	}
	var all []authz.Principal
	for i, member := range q.Members {
		p, err := t.a.principal(fmt.Sprintf("Members[%d]", i), member, memberTypes...)
		if err != nil {
			return "", nil, err
		}
		if !hasMember(all, p) {
			all = append(all, p)
		}
	}
	return id, all, nil
}

func hasMember(members []authz.Principal, p authz.Principal) bool {
	return slices.ContainsFunc(members, func(m authz.Principal) bool { return m.Key() == p.Key() })
}

// AddMembers adds direct members to a group; those who are already are left as they are. A
// group that would come to be in itself is a [Circle]. It needs what PutGroup needs, and
// where the group is allowed anything beneath a DENY that may count for a member,
// Authorization.RoleAssignments.Write at the DENY's scope.
func (a *Admin) AddMembers(ctx context.Context, c Caller, q MembersRequest) (MembersResult, error) {
	return mutate(ctx, a, c, "AddMembers", tokens, q, &q.Context, func(t *txn) (MembersResult, error) {
		k, grants, old, members, err := t.membersToChange(t.a.write, &q, "make it first")
		if err != nil {
			return MembersResult{}, err
		}
		id := old.ID
		added := slices.DeleteFunc(members, func(p authz.Principal) bool { return hasMember(old.Members, p) })
		if len(added) == 0 {
			return MembersResult{}, nil
		}
		if err := t.checkMembers(k, id, grants, added); err != nil {
			return MembersResult{}, err
		}
		about := touch{principals: append([]authz.Principal{groupOf(id)}, added...), memberships: true, gifts: func(s *state) ([]gift, error) {
			return t.giftsBehind(s, groupOf(id))
		}}
		err = t.apply(k, about, func() error {
			for _, p := range added {
				if err := t.change(memberTarget(id, p), "", nil, membershipItem{id, itemOf(p)}); err != nil {
					return err
				}
			}
			next := old
			next.Members = append(slices.Clone(old.Members), added...)
			return t.e.PutGroup(t.tenant, next)
		})
		return MembersResult{Count: len(added)}, err
	})
}

// checkMembers checks who is to be added to a group: that they exist, that no group comes
// to lie in itself, and that no DENY is undercut.
func (t *txn) checkMembers(k *asker, id string, grants []authz.Grant, added []authz.Principal) error {
	s, err := newState(t.a, t.e, t.tenant)
	if err != nil {
		return err
	}
	record, _ := t.e.Tenant(t.tenant)
	for i, p := range added {
		if p.Type == authz.Group {
			if err := t.circle(id, p.ID); err != nil {
				return err
			}
			if _, listed, err := t.e.Group(t.tenant, p.ID); err != nil || !listed && record.DirectoryComplete {
				return unlisted(err, fmt.Sprintf("Members[%d]", i), p)
			}
		}
		of, err := s.belongings(p)
		if err != nil {
			return err
		}
		for j := range grants {
			if g := &grants[j]; g.Effect == authz.AssignAllow {
				if err := t.beneathDeny(k, s, g.Role, g.Scope, of, t.mayCount(p)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func unlisted(err error, field string, p authz.Principal) error {
	if err != nil {
		return err
	}
	return failf(PrincipalUnknown, field, "make it first", "the directory lists no principal %s", p)
}

// circle refuses to put the inner group into the outer one, where that lies in the inner
// one already. It names the way around.
func (t *txn) circle(outer, inner string) error {
	type step struct {
		id   string
		from *step
	}
	seen := map[string]bool{}
	for queue := []*step{{id: outer}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at.id == inner {
			way := []string{inner}
			for s := at; s != nil; s = s.from {
				way = append(way, s.id)
			}
			slices.Reverse(way[1:])
			// inner is to be in outer, which is in …, which is in inner.
			return failf(Circle, "Members", "take one of them out first", "groups would lie in each other in a circle: %s", strings.Join(way, " in "))
		}
		if seen[at.id] {
			continue
		}
		seen[at.id] = true
		above, err := t.e.GroupsOf(t.tenant, groupOf(at.id))
		if err != nil {
			return err
		}
		for _, g := range above {
			if g.Type == authz.Group { // a team lies in nothing
				queue = append(queue, &step{g.ID, at})
			}
		}
	}
	return nil
}

// RemoveMembers removes direct members from a group; those who are none are left out. It
// needs Authorization.RoleAssignments.Delete where PutGroup needs .Write.
func (a *Admin) RemoveMembers(ctx context.Context, c Caller, q MembersRequest) (MembersResult, error) {
	return mutate(ctx, a, c, "RemoveMembers", tokens, q, &q.Context, func(t *txn) (MembersResult, error) {
		k, grants, old, members, err := t.membersToChange(t.a.remove, &q, "")
		if err != nil {
			return MembersResult{}, err
		}
		id := old.ID
		var removed []authz.Principal
		next := old
		next.Members = nil
		for _, p := range old.Members {
			if hasMember(members, p) {
				removed = append(removed, p)
			} else {
				next.Members = append(next.Members, p)
			}
		}
		if len(removed) == 0 {
			return MembersResult{}, nil
		}
		about := touch{principals: append([]authz.Principal{groupOf(id)}, removed...), memberships: true, gifts: func(s *state) ([]gift, error) {
			return giftsOf(s, false, grants, t.now), nil
		}}
		err = t.apply(k, about, func() error {
			for _, p := range removed {
				if err := t.change(memberTarget(id, p), "", membershipItem{id, itemOf(p)}, nil); err != nil {
					return err
				}
			}
			return t.e.PutGroup(t.tenant, next)
		})
		return MembersResult{Count: len(removed)}, err
	})
}

// PutPrincipal says what is known of a principal: whether it is disabled, its names, who
// owns it. It needs Authorization.RoleAssignments.Write everywhere in the tenant.
func (a *Admin) PutPrincipal(ctx context.Context, c Caller, q PutPrincipalRequest) (PrincipalResult, error) {
	return mutate(ctx, a, c, "PutPrincipal", tokens, q, &q.Context, func(t *txn) (PrincipalResult, error) {
		p, err := a.principal("Principal", q.Principal.Principal, anyPrincipal...)
		if err != nil {
			return PrincipalResult{}, err
		}
		if q.Principal.Disabled && p.Key().Type != authz.User {
			return PrincipalResult{}, failf(Invalid, "Principal.Disabled", "", "only a User or an ApplicationUser can be disabled, not a %s", p.Type)
		}
		for field, value := range map[string]string{"Principal.DisplayName": q.Principal.DisplayName, "Principal.Mail": q.Principal.Mail} {
			if err := text(field, value, maxText); err != nil {
				return PrincipalResult{}, err
			}
		}
		owners, err := a.owners("Principal.Owners", q.Principal.Owners)
		if err != nil {
			return PrincipalResult{}, err
		}
		if len(owners) > 0 && p.Type == authz.Group {
			return PrincipalResult{}, fail(Invalid, "Principal.Owners", "the owners of a group are kept with the group", "name them there")
		}
		k, shown, exists, err := t.editedPrincipal(t.a.write, p, q.Etag)
		if err != nil {
			return PrincipalResult{}, err
		}
		if !exists {
			if err := t.onlyType(p); err != nil {
				return PrincipalResult{}, err
			}
		}
		next := Principal{Principal: p, Disabled: q.Principal.Disabled, DisplayName: q.Principal.DisplayName, Mail: q.Principal.Mail, Owners: owners}
		next.Etag = etagOf(t.tenant, next.item())
		if exists && next.Etag == shown.Etag {
			return PrincipalResult{Principal: next}, nil
		}
		gives := shown.Disabled && !next.Disabled || addsTo(shown.Owners, owners)
		err = t.apply(k, t.touchPrincipal(p, gives), func() error { return t.putPrincipal(p, shown, &next, exists) })
		return PrincipalResult{Principal: next}, err
	})
}

// DeletePrincipal forgets what is known of a principal. What it is assigned, and the groups
// that it is in, stay. It needs Authorization.RoleAssignments.Delete everywhere in the
// tenant; .Write too where the principal is disabled, for what is forgotten is enabled.
func (a *Admin) DeletePrincipal(ctx context.Context, c Caller, q DeletePrincipalRequest) (PrincipalResult, error) {
	return mutate(ctx, a, c, "DeletePrincipal", tokens, q, &q.Context, func(t *txn) (PrincipalResult, error) {
		p, err := a.principal("Principal", q.Principal, anyPrincipal...)
		if err != nil {
			return PrincipalResult{}, err
		}
		k, shown, exists, err := t.editedPrincipal(t.a.remove, p, q.Etag)
		if err != nil {
			return PrincipalResult{}, err
		}
		if !exists {
			return PrincipalResult{}, failf(NotFound, "Principal", "", "nothing is known of the principal %s", p)
		}
		if shown.Disabled {
			if err := k.needEverywhere(a.write); err != nil {
				return PrincipalResult{}, err
			}
		}
		err = t.apply(k, t.touchPrincipal(p, shown.Disabled), func() error { return t.putPrincipal(p, shown, nil, true) })
		return PrincipalResult{Principal: shown}, err
	})
}

func (t *txn) editedPrincipal(permission authz.PermissionID, p authz.Principal, etag string) (*asker, Principal, bool, error) {
	k, err := t.asker()
	if err != nil {
		return nil, Principal{}, false, err
	}
	if err := k.needEverywhere(permission); err != nil {
		return nil, Principal{}, false, err
	}
	old, exists, err := t.e.Principal(t.tenant, p)
	if err != nil || !exists {
		if err == nil {
			err = matches(etag, "", false)
		}
		return k, Principal{}, false, err
	}
	shown := shownPrincipal(t.tenant, old)
	return k, shown, true, matches(etag, shown.Etag, true)
}

// touchPrincipal is what a change of a principal's record is about; gives says that somebody
// comes to hold what the principal holds.
func (t *txn) touchPrincipal(p authz.Principal, gives bool) touch {
	return touch{principals: []authz.Principal{p}, memberships: true, records: gives, gifts: func(s *state) ([]gift, error) {
		if !gives {
			return nil, nil
		}
		return t.giftsBehind(s, p)
	}}
}

func (t *txn) putPrincipal(p authz.Principal, old Principal, next *Principal, exists bool) error {
	var before, after any
	if exists {
		before = old.item()
	}
	if next != nil {
		after = next.item()
	}
	if err := t.change(principalTarget(p), rootOf(t.tenant), before, after); err != nil {
		return err
	}
	if next == nil {
		return t.e.RemovePrincipal(t.tenant, p)
	}
	return t.e.PutPrincipal(t.tenant, snapshot.Principal{
		Principal: p, Disabled: next.Disabled, DisplayName: next.DisplayName, Mail: next.Mail, Owners: next.Owners,
	})
}
