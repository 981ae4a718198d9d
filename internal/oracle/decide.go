package oracle

import (
	"slices"
	"strings"
)

// Decide answers the question, getting one rule wrong where a mistake is given.
func (w *World) Decide(q Question, mistake Mistake) Answer {
	return decider{world: w, wrong: mistake, q: q}.decide()
}

type decider struct {
	world *World
	wrong Mistake
	q     Question
}

// decide gives the first of the reasons that apply, in their fixed order.
func (d decider) decide() Answer {
	if len(d.q.Permissions) == 0 {
		return Answer{Reason: Unmapped}
	}
	for _, permission := range d.q.Permissions {
		if !d.known(permission) {
			return Answer{Reason: Unmapped}
		}
	}
	for _, scope := range d.q.Scopes {
		if !strings.HasPrefix(scope+"/", "/tenants/"+d.q.Tenant+"/") {
			return Answer{Reason: CrossTenant}
		}
	}
	if len(d.q.Scopes) == 0 || d.tenant() == nil {
		return Answer{Reason: UnknownScope}
	}
	for _, scope := range d.q.Scopes {
		if d.chain(scope) == nil {
			return Answer{Reason: UnknownScope}
		}
	}
	if d.disabled() {
		return Answer{Reason: PrincipalDisabled}
	}
	return d.allPairs()
}

// allPairs allows if every permission is held at every scope; else the first pair that
// is not says why.
func (d decider) allPairs() Answer {
	var allowed, refused []Answer
	pairs := 0
	for _, permission := range d.q.Permissions {
		for _, scope := range d.q.Scopes {
			pairs++
			answer := d.pair(permission, scope)
			if answer.Reason == Granted {
				allowed = append(allowed, answer)
			} else if d.wrong != FirstPairOnly || pairs == 1 {
				refused = append(refused, answer)
			}
		}
	}
	if len(refused) == 0 || d.wrong == AnyPairSuffices && len(allowed) > 0 {
		return allowed[0]
	}
	return refused[0]
}

// pair decides one permission at one scope.
func (d decider) pair(permission, scope string) Answer {
	answer := d.byWhatIsKnown(permission, scope)
	if d.groupsUnknown() {
		if denials := d.denialsOfAnyGroup(permission, scope); len(denials) > 0 {
			answer.Reason = GroupsUnknown
			answer.AssignmentIDs = ids(denials)
		}
		if answer.Reason != Granted {
			answer.Reason = GroupsUnknown
		}
	}
	answer.Permission, answer.Scope = permission, scope
	return answer
}

// byWhatIsKnown decides one permission at one scope by what is known of the caller.
func (d decider) byWhatIsKnown(permission, scope string) Answer {
	chain := d.chain(scope)
	if found := d.find(permission, chain, "FORBID", true); len(found) > 0 && d.wrong != ForbidIsDeny {
		return Answer{Reason: Forbidden, AssignmentIDs: ids(found)}
	}
	if d.wrong == NearestScopeIgnored {
		if found := d.find(permission, chain, "DENY", true); len(found) > 0 {
			return Answer{Reason: Overridden, AssignmentIDs: ids(found)}
		}
	}
	if d.wrong == FarthestScopeWins {
		slices.Reverse(chain)
	}
	for _, at := range chain {
		here := []string{at}
		denied := d.find(permission, here, "DENY", true)
		if d.wrong == ForbidIsDeny {
			denied = append(denied, d.find(permission, here, "FORBID", true)...)
		}
		allowed := d.find(permission, here, "ALLOW", true)
		if len(denied) > 0 && (d.wrong != DenyLosesTie || len(allowed) == 0) {
			return Answer{Reason: Overridden, AssignmentIDs: ids(denied)}
		}
		if len(allowed) > 0 {
			return Answer{Reason: Granted, AssignmentIDs: ids(allowed)}
		}
	}
	if found := d.find(permission, chain, "ALLOW", false); len(found) > 0 && d.wrong != ExpiredNotSaid {
		return Answer{Reason: Expired, AssignmentIDs: ids(found)}
	}
	return Answer{Reason: NoAssignment}
}

// find returns the subject's assignments of the effect at any of the scopes that cover
// the permission, those that are live or those that have expired.
func (d decider) find(permission string, scopes []string, effect string, live bool) []Assignment {
	subject := d.subject()
	var found []Assignment
	for _, a := range d.assignments() {
		if a.Effect == effect && slices.Contains(scopes, a.Scope) && d.live(a) == live &&
			d.belongs(subject, a.Principal) && d.covers(a, permission) {
			found = append(found, a)
		}
	}
	return found
}

// denialsOfAnyGroup returns what takes the permission from any group of the tenant: the
// caller might be in it.
func (d decider) denialsOfAnyGroup(permission, scope string) []Assignment {
	var found []Assignment
	for _, a := range d.assignments() {
		if a.Principal.Kind == "Group" && a.Effect != "ALLOW" && slices.Contains(d.chain(scope), a.Scope) &&
			d.live(a) && d.covers(a, permission) {
			found = append(found, a)
		}
	}
	return found
}

// live tells whether the assignment counts: it is gone from the second it expires.
func (d decider) live(a Assignment) bool {
	switch {
	case a.Expires == 0:
		return true
	case d.wrong == ExpiryOffByASecond:
		return d.q.Now <= a.Expires
	case d.wrong == ExpiredDenyCounts && a.Effect != "ALLOW":
		return true
	}
	return d.q.Now < a.Expires
}

// covers tells whether the assignment gives the permission, or takes it away: a DENY
// and a FORBID take what the role grants and whatever implies any of it.
func (d decider) covers(a Assignment, permission string) bool {
	role, ok := d.tenant().Roles[a.Role]
	if !ok {
		return false
	}
	names := d.granted(role)
	if a.Effect != "ALLOW" && d.wrong != DenyWithoutImpliers {
		names = d.withImpliers(names)
	}
	if a.Effect == "ALLOW" && d.wrong == ExceptionActsAsDeny && d.contains(d.exceptedAnywhere(), permission) {
		return false
	}
	return d.contains(names, permission)
}

// exceptedAnywhere is what any role of the subject excepts.
func (d decider) exceptedAnywhere() []string {
	var names []string
	subject := d.subject()
	for _, a := range d.assignments() {
		if a.Effect == "ALLOW" && d.live(a) && d.belongs(subject, a.Principal) {
			names = append(names, d.excepted(d.tenant().Roles[a.Role])...)
		}
	}
	return names
}

func (d decider) tenant() *Tenant { return d.world.Tenants[d.q.Tenant] }

// assignments are those of the caller's tenant.
func (d decider) assignments() []Assignment {
	all := slices.Clone(d.tenant().Assignments)
	if d.wrong == OtherTenantCounted {
		for id, other := range d.world.Tenants {
			if id == d.q.Tenant {
				continue
			}
			for _, a := range other.Assignments {
				rest := strings.TrimPrefix(a.Scope, "/tenants/"+id)
				a.Scope = "/tenants/" + d.q.Tenant + rest
				all = append(all, a)
			}
		}
	}
	return all
}

// chain returns the scope and all that it inherits from, nearest first, or nil if the
// tenant does not list it.
func (d decider) chain(scope string) []string {
	t, root := d.tenant(), "/tenants/"+d.q.Tenant
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(scope, root), "/"), "/")
	switch {
	case scope == root:
		return []string{root}
	case len(parts) == 2 && parts[0] == "environmentGroups":
		if slices.Contains(t.EnvironmentGroups, parts[1]) || d.wrong == UnlistedScopeInherits {
			return []string{scope, root}
		}
		return nil
	case parts[0] != "environments" || len(parts) != 2 && len(parts) != 4:
		return nil
	case !slices.Contains(t.Environments, parts[1]):
		if d.wrong == UnlistedScopeInherits {
			return []string{scope, root}
		}
		return nil
	}
	environment := parts[1]
	var chain []string
	switch {
	case len(parts) == 4 && parts[2] == "businessUnits":
		units := t.BusinessUnits[environment]
		if _, listed := units[parts[3]]; !listed {
			return nil
		}
		for unit := parts[3]; unit != ""; unit = units[unit] {
			chain = append(chain, root+"/environments/"+environment+"/businessUnits/"+unit)
			if d.wrong == BusinessUnitParentIgnored {
				break
			}
		}
	case len(parts) == 4:
		chain = append(chain, scope)
	}
	chain = append(chain, root+"/environments/"+environment)
	if group, grouped := t.GroupOf[environment]; grouped && d.wrong != EnvironmentGroupIgnored {
		chain = append(chain, root+"/environmentGroups/"+group)
	}
	return append(chain, root)
}

// class makes a person and a service principal with one identifier the same caller, and
// every other kind one of its own.
func (d decider) class(p Principal) Principal {
	if p.Kind == "ApplicationUser" && d.wrong != KindOfCallerCompared {
		p.Kind = "User"
	}
	if d.wrong == KindIgnored {
		p.Kind = ""
	}
	return p
}

func (d decider) belongs(subject []Principal, p Principal) bool {
	return slices.ContainsFunc(subject, func(s Principal) bool { return d.class(s) == d.class(p) })
}

// subject is the caller and everything it belongs to.
func (d decider) subject() []Principal {
	subject := []Principal{d.q.Principal}
	for _, id := range d.q.Groups {
		subject = append(subject, Principal{"Group", id})
	}
	if d.wrong != WidsIgnored {
		for _, id := range d.q.Wids {
			subject = append(subject, Principal{"DirectoryRole", id})
		}
	}
	if d.wrong == DirectoryIgnored {
		return subject
	}
	for range d.tenant().Groups { // a chain of groups is no longer than there are groups
		for group, members := range d.tenant().Groups {
			p := Principal{"Group", group}
			if d.belongs(subject, p) {
				continue
			}
			for _, member := range members {
				if d.wrong == NestedGroupIgnored && member.Kind == "Group" {
					continue
				}
				if d.belongs(subject, member) {
					subject = append(subject, p)
					break
				}
			}
		}
	}
	return subject
}

func (d decider) disabled() bool {
	return d.wrong != DisabledIgnored &&
		slices.ContainsFunc(d.tenant().Disabled, func(p Principal) bool { return d.class(p) == d.class(d.q.Principal) })
}

// groupsUnknown tells whether the caller may be in groups that nobody told us of.
func (d decider) groupsUnknown() bool {
	return d.q.GroupsUnknown && d.wrong != GroupsUnknownIgnored &&
		(!d.tenant().DirectoryComplete || d.wrong == DirectoryCompleteIgnored)
}

func ids(assignments []Assignment) []string {
	var all []string
	for _, a := range assignments {
		all = append(all, a.ID)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
