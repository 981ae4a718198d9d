package admin

import (
	"iter"
	"maps"
	"slices"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A state reads who holds what from one state of the store, each principal once.
type state struct {
	a      *Admin
	r      Reader
	tenant string
	tree   *authz.Hierarchy
	direct map[authz.Principal][]authz.Grant
	above  map[authz.Principal][]authz.Principal
	sets   map[*authz.Role]*roleSets
	covers *covers // nil: what rights to assign cover is not looked at
}

// roleSets are a role's permissions as sets.
type roleSets struct{ grants, takes authz.Set }

// covers says which roles a right to assign covers, as more bits in sets of permissions:
// for .Write and .Delete one for each role that any list names, and a last one for all that
// none names. So a right that comes to cover more is a gain like any other.
type covers struct {
	a      *Admin
	names  []string
	roles  []*authz.RoleDefinition // of the names; nil where there is none
	limits map[string]*authz.RoleDefinition
}

// newCovers reads what rights to assign are limited to. With more, names that a change is
// about to bring, two states can be compared.
func (a *Admin) newCovers(r Reader, tenant string, more []string) (*covers, error) {
	limits, err := a.limitsOf(r, tenant)
	if err != nil {
		return nil, err
	}
	c := &covers{a: a, limits: limits, names: slices.Clone(more)}
	for _, limit := range limits {
		c.names = append(c.names, limit.Terms.AssignableRoles...)
	}
	c.names = distinct(c.names)
	custom, err := r.RoleDefinitions(tenant)
	if err != nil {
		return nil, err
	}
	for _, name := range c.names {
		var role *authz.RoleDefinition
		if name == authz.AllSecurityRoles {
			role = anySecurityRole
		}
		for _, defs := range [][]authz.RoleDefinition{a.shipped, custom} {
			if i := slices.IndexFunc(defs, func(def authz.RoleDefinition) bool { return def.ID == name }); i >= 0 {
				role = &defs[i]
			}
		}
		c.roles = append(c.roles, role)
	}
	return c, nil
}

// with returns the same names with the limits that are read from another state.
func (c *covers) with(r Reader, tenant string) (*covers, error) {
	limits, err := c.a.limitsOf(r, tenant)
	if err != nil {
		return nil, err
	}
	return &covers{a: c.a, names: c.names, roles: c.roles, limits: limits}, nil
}

// first is the first bit behind those of permissions.
func (c *covers) first() int { return 64 * len(c.a.vocabulary.NewSet()) }

func (c *covers) words() int { return (2*(len(c.names)+1) + 63) / 64 }

// extend adds to a set the bits of what the rights in it cover.
func (c *covers) extend(set authz.Set, limit *authz.RoleDefinition) authz.Set {
	if set == nil {
		set = c.a.vocabulary.NewSet()
	}
	set = append(set, make(authz.Set, c.words())...)
	for i, permission := range []authz.PermissionID{c.a.write, c.a.remove} {
		if !set.Has(permission) {
			continue
		}
		for j := range len(c.names) + 1 {
			covered := limit == nil
			if !covered && j < len(c.names) {
				covered = slices.Contains(limit.Terms.AssignableRoles, c.names[j]) || c.roles[j] != nil && limit.MayAssign(c.roles[j])
			}
			if covered {
				bit := c.first() + i*(len(c.names)+1) + j
				set[bit/64] |= 1 << (bit % 64)
			}
		}
	}
	return set
}

// permissionOf is the permission that a bit is of, and words for people.
func (a *Admin) permissionOf(id authz.PermissionID, c *covers) (authz.Permission, string) {
	if c == nil || int(id) < c.first() {
		name := a.vocabulary.Name(id)
		return name, string(name)
	}
	permission := a.vocabulary.Name(a.write)
	if int(id)-c.first() > len(c.names) {
		permission = a.vocabulary.Name(a.remove)
	}
	return permission, string(permission) + " for more roles"
}

func newState(a *Admin, r Reader, tenant string) (*state, error) {
	tree, err := r.Hierarchy(tenant)
	return &state{
		a: a, r: r, tenant: tenant, tree: tree, direct: map[authz.Principal][]authz.Grant{},
		above: map[authz.Principal][]authz.Principal{}, sets: map[*authz.Role]*roleSets{},
	}, err
}

// grant is an assignment as a decision reads it.
func grantOf(r Reader, tenant string, as snapshot.RoleAssignment) authz.Grant {
	role, _ := r.Role(tenant, as.RoleDefinitionID)
	return authz.Grant{AssignmentID: as.ID, Principal: as.Principal, Role: role, Scope: lifted(role, as.Scope), Effect: as.Effect, Expires: as.Expires}
}

// lifted is the scope at which a role's permissions are held: a security role is assigned in
// a business unit, and what it gives of the platform is given at the environment.
func lifted(role *authz.Role, scope authz.Scope) authz.Scope {
	if !role.IsSecurityRole() {
		return scope
	}
	tenant, named, err := authz.ParseScope(string(scope), false)
	if err != nil || named.Kind != authz.BusinessUnitScope {
		return scope
	}
	return environmentScope(tenant, named.Environment)
}

// directly returns what the principal itself is assigned.
func (s *state) directly(p authz.Principal) ([]authz.Grant, error) {
	p = p.Key()
	if grants, ok := s.direct[p]; ok {
		return grants, nil
	}
	var grants []authz.Grant
	for as, err := range s.r.RoleAssignmentsOf(s.tenant, p) {
		if err != nil {
			return nil, err
		}
		grants = append(grants, grantOf(s.r, s.tenant, as))
	}
	s.direct[p] = grants
	return grants, nil
}

// parents returns the groups that list the principal.
func (s *state) parents(p authz.Principal) ([]authz.Principal, error) {
	p = p.Key()
	if parents, ok := s.above[p]; ok {
		return parents, nil
	}
	parents, err := s.r.GroupsOf(s.tenant, p)
	if err == nil {
		s.above[p] = parents
	}
	return parents, err
}

// belongings returns the principals given and all that they belong to, each once.
func (s *state) belongings(start ...authz.Principal) ([]authz.Principal, error) {
	return closure(start, s.parents)
}

// closure returns the principals given and all that next leads to from them, the nearest
// first and each once.
func closure(start []authz.Principal, next func(authz.Principal) ([]authz.Principal, error)) ([]authz.Principal, error) {
	seen := map[authz.Principal]bool{}
	var all []authz.Principal
	for queue := slices.Clone(start); len(queue) > 0; queue = queue[1:] {
		p := queue[0].Key()
		if seen[p] {
			continue
		}
		seen[p] = true
		all = append(all, p)
		more, err := next(p)
		if err != nil {
			return nil, err
		}
		queue = append(queue, more...)
	}
	return all, nil
}

// held returns what the principals given hold, through themselves and all that they belong
// to, in the order of assignments.
func (s *state) held(start ...authz.Principal) ([]authz.Grant, error) {
	all, err := s.belongings(start...)
	if err != nil {
		return nil, err
	}
	var grants []authz.Grant
	for _, p := range all {
		direct, err := s.directly(p)
		if err != nil {
			return nil, err
		}
		grants = append(grants, direct...)
	}
	slices.SortFunc(grants, func(a, b authz.Grant) int { return compareText(a.AssignmentID, b.AssignmentID) })
	return grants, nil
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// disabled tells whether the principal is listed as disabled, under either type that its
// object id can have.
func (s *state) disabled(p authz.Principal) (bool, error) { return isDisabled(s.r, s.tenant, p) }

func isDisabled(r Reader, tenant string, p authz.Principal) (bool, error) {
	if p.Key().Type != authz.User {
		return false, nil
	}
	for _, kind := range callerTypes {
		record, ok, err := r.Principal(tenant, authz.Principal{Type: kind, ID: p.ID})
		if err != nil || ok && record.Disabled {
			return true, err
		}
	}
	return false, nil
}

// setsOf returns the permissions that a role grants and takes.
func (s *state) setsOf(role *authz.Role) *roleSets {
	sets := s.sets[role]
	if sets == nil {
		sets = s.setsLimited(role, nil)
		if s.covers != nil {
			sets = s.setsLimited(role, s.covers.limits[role.ID()])
		}
		s.sets[role] = sets
	}
	return sets
}

// setsLimited are a role's permissions where it limits what its right to assign covers as
// another definition says; nil: not at all. What it takes away it takes whole.
func (s *state) setsLimited(role *authz.Role, limit *authz.RoleDefinition) *roleSets {
	if s.covers == nil {
		return &roleSets{role.GrantSet(), role.TakeSet()}
	}
	return &roleSets{s.covers.extend(role.GrantSet(), limit), s.covers.extend(role.TakeSet(), nil)}
}

// newSet is an empty set with room for all that the sets of roles hold.
func (s *state) newSet() authz.Set {
	set := s.a.vocabulary.NewSet()
	if s.covers != nil {
		set = append(set, make(authz.Set, s.covers.words())...)
	}
	return set
}

// A power is what somebody can do: the assignments that count, by scope.
type power struct {
	state    *state
	grants   []authz.Grant // in the order of assignments
	denials  []authz.Grant // DENY and FORBID of groups that could be the caller's
	at       map[authz.Scope][]*authz.Grant
	denialAt map[authz.Scope][]*authz.Grant
	disabled bool
}

func (s *state) power(grants, denials []authz.Grant, disabled bool) *power {
	return &power{state: s, grants: grants, denials: denials, at: byScope(grants), denialAt: byScope(denials), disabled: disabled}
}

func byScope(grants []authz.Grant) map[authz.Scope][]*authz.Grant {
	at := make(map[authz.Scope][]*authz.Grant, len(grants))
	for i := range grants {
		at[grants[i].Scope] = append(at[grants[i].Scope], &grants[i])
	}
	return at
}

func live(g *authz.Grant, now int64) bool { return g.Expires == 0 || now < g.Expires }

// effective is every permission that is held at a scope at a time: what [authz.Decide]
// says of each of them. From the tenant down, a scope adds what is allowed there and takes
// what is denied there; what is forbidden anywhere above is taken at the end.
func (p *power) effective(scope authz.Scope, now int64) authz.Set {
	held, taken := p.state.newSet(), p.state.newSet()
	chain := p.state.a.chain(p.state.tree, p.state.tenant, scope)
	for _, above := range slices.Backward(chain) {
		for _, effect := range []authz.AssignmentEffect{authz.AssignAllow, authz.AssignDeny, authz.AssignForbid} {
			for _, g := range p.at[above] {
				if g.Effect != effect || !live(g, now) {
					continue
				}
				sets := p.state.setsOf(g.Role)
				switch effect {
				case authz.AssignAllow:
					union(held, sets.grants)
				case authz.AssignDeny:
					subtract(held, sets.takes)
				case authz.AssignForbid, authz.NoEffect:
					union(taken, sets.takes)
				}
			}
		}
		for _, g := range p.denialAt[above] {
			if live(g, now) {
				union(taken, p.state.setsOf(g.Role).takes)
			}
		}
	}
	subtract(held, taken)
	return held
}

func union(s, t authz.Set) {
	for i, word := range t {
		s[i] |= word
	}
}

func subtract(s, t authz.Set) {
	for i, word := range t {
		s[i] &^= word
	}
}

// beyond returns the first permission of s that is not in t.
func beyond(s, t authz.Set) (authz.PermissionID, bool) {
	for i, word := range s {
		if extra := word &^ t[i]; extra != 0 {
			n := 0
			for ; extra&1 == 0; extra >>= 1 {
				n++
			}
			return authz.PermissionID(i*64 + n), true
		}
	}
	return 0, false
}

func overlaps(s, t authz.Set) bool {
	for i, word := range s {
		if word&t[i] != 0 {
			return true
		}
	}
	return false
}

// assigned are all assignments that bear on the power.
func (p *power) assigned() iter.Seq[*authz.Grant] {
	return func(yield func(*authz.Grant) bool) {
		for _, grants := range [][]authz.Grant{p.grants, p.denials} {
			for i := range grants {
				if !yield(&grants[i]) {
					return
				}
			}
		}
	}
}

// A gain is something that somebody would have and has not.
type gain struct {
	permission authz.PermissionID
	scope      authz.Scope
	from       int64 // Unix seconds
}

// points are the scopes and times at which powers can differ. A scope that no assignment
// names has what its nearest ancestor that is named has, so that it need not be looked at:
// nor must what lies below, known already or not. Between two expiries nothing changes.
func points(now int64, root authz.Scope, moved []authz.Scope, powers ...*power) ([]authz.Scope, []int64) {
	scopes := map[authz.Scope]bool{root: true}
	for _, scope := range moved {
		scopes[scope] = true
	}
	times := map[int64]bool{now: true}
	for _, p := range powers {
		for g := range p.assigned() {
			scopes[g.Scope] = true
			if g.Expires > now {
				times[g.Expires] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(scopes)), slices.Sorted(maps.Keys(times))
}

// gains tells whether after holds anything, anywhere, at any time from now on, that none of
// before hold.
func gains(now int64, root authz.Scope, moved []authz.Scope, after *power, before ...*power) (gain, bool) {
	scopes, times := points(now, root, moved, append(slices.Clone(before), after)...)
	for _, scope := range scopes {
		for _, at := range times {
			held := after.state.newSet()
			for _, p := range before {
				union(held, p.effective(scope, at))
			}
			if id, more := beyond(after.effective(scope, at), held); more {
				return gain{id, scope, at}, true
			}
		}
	}
	return gain{}, false
}
