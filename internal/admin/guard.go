package admin

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A touch says what a change is about, as far as the guards cannot see it themselves.
type touch struct {
	// principals are whose assignments, memberships or owners change. A caller whose groups
	// are unknown could be in any of the groups among them.
	principals []authz.Principal
	// everyone says that any principal may be touched: a role or an inheritance changes.
	everyone bool
	// moved are scopes that come to be, cease to be, or get another parent.
	moved []authz.Scope
	// environments are those whose data may be reached otherwise after the change. With
	// memberships, so are those of teams that the principals come to act as, and of users that
	// they come to own; with records, whether a principal is disabled changes.
	environments         []string
	memberships, records bool
	// shares are the records that come to be shared otherwise.
	shares []sharedRecord
	// assignable are names of roles that a right to assign comes to cover.
	assignable []string
	// elevation says that the change is a directory role's right, which alone may raise the
	// caller.
	elevation bool
	// gifts says what is given to whomever, for where nobody may give what they do not hold.
	gifts func(*state) ([]gift, error)
}

// A gift is what a change gives to somebody: permissions at a scope, until a time (0: for
// good).
type gift struct {
	set   authz.Set
	scope authz.Scope
	until int64
}

// apply makes the change, and refuses it where the state that results breaks a guard.
func (t *txn) apply(k *asker, about touch, change func() error) error {
	before, err := t.powers(k, about, nil)
	if err != nil {
		return err
	}
	if err := t.guardGifts(before, about); err != nil {
		return err
	}
	dataBefore, err := t.dataBefore(before, about)
	if err != nil {
		return err
	}
	administrator, had, err := t.a.administrator(t.e, t.tenant)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	t.changed = true
	if !about.elevation {
		after, err := t.powers(k, about, before.state.covers)
		if err != nil {
			return err
		}
		if err := t.guardSelf(before, after, about); err != nil {
			return err
		}
		if err := t.guardData(dataBefore, before, after, about); err != nil {
			return err
		}
	}
	if !had {
		return nil
	}
	return t.a.keepsAdministrator(t.e, t.tenant, administrator)
}

// powers are the powers of a caller: its own, and those of each thing that it belongs to or
// owns, on its own.
type powers struct {
	state *state
	self  *power
	of    map[authz.Principal]*power
	// perhaps are those of them that are the caller's only if its groups, which are unknown,
	// are what they could be.
	perhaps map[authz.Principal]bool
}

// powers reads what the caller can act as. An operator acts as nobody. Of the state after a
// change, like are the covers of the one before.
func (t *txn) powers(k *asker, about touch, like *covers) (*powers, error) {
	s, err := newState(t.a, t.e, t.tenant)
	if err != nil {
		return nil, err
	}
	if like == nil {
		s.covers, err = t.a.newCovers(t.e, t.tenant, about.assignable)
	} else {
		s.covers, err = like.with(t.e, t.tenant)
	}
	if err != nil {
		return nil, err
	}
	ps := &powers{state: s, of: map[authz.Principal]*power{}, perhaps: map[authz.Principal]bool{}}
	if t.caller.Kind != Token || t.a.selfAllowed && !t.a.escalation {
		return ps, nil
	}
	subject := t.caller.Subject
	start := []authz.Principal{subject.Principal().Key()}
	for _, id := range subject.Groups() {
		start = append(start, authz.Principal{Type: authz.Group, ID: id})
	}
	for _, id := range subject.DirectoryRoles() {
		start = append(start, authz.Principal{Type: authz.DirectoryRole, ID: id})
	}
	if ps.self, err = t.selfPower(s, start); err != nil {
		return nil, err
	}
	if err := t.reach(ps, start, false); err != nil || !k.unknown {
		return ps, err
	}
	perhaps, err := t.perhaps(s, about)
	if err != nil {
		return nil, err
	}
	return ps, t.reach(ps, perhaps, true)
}

// reach reads the powers of the principals given, of all that they belong to or own, and so
// on. They are read now: later the state is another.
func (t *txn) reach(ps *powers, start []authz.Principal, perhaps bool) error {
	for queue := slices.Clone(start); len(queue) > 0; queue = queue[1:] {
		p := queue[0].Key()
		if ps.of[p] != nil {
			continue
		}
		var err error
		if ps.of[p], err = ps.state.powerOf(p); err != nil {
			return err
		}
		ps.perhaps[p] = perhaps
		parents, err := ps.state.parents(p)
		if err != nil {
			return err
		}
		owned, err := t.e.OwnedBy(t.tenant, p)
		if err != nil {
			return err
		}
		queue = append(append(queue, parents...), owned...)
	}
	return nil
}

func (t *txn) selfPower(s *state, start []authz.Principal) (*power, error) {
	grants, err := s.held(start...)
	if err != nil {
		return nil, err
	}
	var denials []authz.Grant
	if record, _ := t.e.Tenant(t.tenant); t.caller.Subject.GroupsUnknown() && !record.DirectoryComplete {
		all, err := t.e.GroupDenials(t.tenant)
		if err != nil {
			return nil, err
		}
		denials = all.All()
	}
	disabled, err := s.disabled(t.caller.Subject.Principal())
	return s.power(grants, denials, disabled), err
}

// perhaps returns what could be the caller's when its groups are unknown: every group that
// the change touches, and what a group owns.
func (t *txn) perhaps(s *state, about touch) ([]authz.Principal, error) {
	touched := about.principals
	if about.everyone {
		touched = slices.Clone(touched)
		for as, err := range t.e.RoleAssignmentsUnder(t.tenant, rootOf(t.tenant)) {
			if err != nil {
				return nil, err
			}
			touched = append(touched, as.Principal)
		}
	}
	var found []authz.Principal
	checked := map[authz.Principal]bool{}
	for _, p := range touched {
		if p = p.Key(); checked[p] {
			continue
		}
		checked[p] = true
		owned, err := t.groupOwns(p, map[authz.Principal]bool{})
		if err != nil {
			return nil, err
		}
		if owned {
			found = append(found, p)
		}
	}
	return found, nil
}

// groupOwns tells whether the principal is a group, or has one's members, or is owned by one
// in the end.
func (t *txn) groupOwns(p authz.Principal, seen map[authz.Principal]bool) (bool, error) {
	if p.Type == authz.Group {
		return true, nil
	}
	if p.Type == authz.Team { // one whose members are those of a group
		team, _, err := t.e.Team(t.tenant, p.ID)
		if err != nil || team.Group != "" {
			return err == nil, err
		}
	}
	if seen[p] {
		return false, nil
	}
	seen[p] = true
	owners, err := t.e.Owners(t.tenant, p)
	if err != nil {
		return false, err
	}
	for _, owner := range owners {
		if is, err := t.groupOwns(owner.Key(), seen); is || err != nil {
			return is, err
		}
	}
	return false, nil
}

// guardSelf refuses a change after which the caller, or anything that it belongs to or owns,
// holds what it did not hold; or by which the caller comes to own what holds what the
// caller's own did not.
func (t *txn) guardSelf(before, after *powers, about touch) error {
	if t.a.selfAllowed || before.self == nil {
		return nil
	}
	if err := t.gained("the caller", about, before.self, after.self); err != nil {
		return err
	}
	union := []*power{before.self}
	for _, p := range sortedPrincipals(before.of) {
		if !before.perhaps[p] { // what may not be the caller's is nothing that it had
			union = append(union, before.of[p])
		}
		a, err := after.state.powerOf(p)
		if err != nil {
			return err
		}
		if err := t.gained(p.String()+", which the caller belongs to or owns,", about, before.of[p], a); err != nil {
			return err
		}
	}
	for _, p := range sortedPrincipals(after.of) {
		if before.of[p] != nil {
			continue
		}
		if g, more := gains(t.now, rootOf(t.tenant), about.moved, after.of[p], union...); more {
			return t.escalated("the caller, through "+p.String()+",", g, after.state.covers)
		}
	}
	return nil
}

// powerOf is what a principal can do on its own.
func (s *state) powerOf(p authz.Principal) (*power, error) {
	grants, err := s.held(p)
	if err != nil {
		return nil, err
	}
	disabled, err := s.disabled(p)
	return s.power(grants, nil, disabled), err
}

func sortedPrincipals[T any](set map[authz.Principal]T) []authz.Principal {
	all := make([]authz.Principal, 0, len(set))
	for p := range set {
		all = append(all, p)
	}
	slices.SortFunc(all, comparePrincipals)
	return all
}

func comparePrincipals(a, b authz.Principal) int {
	if a.Type != b.Type {
		return int(a.Type) - int(b.Type)
	}
	return compareText(a.ID, b.ID)
}

// gained refuses where somebody holds more after than before. Being disabled counts twice:
// who is, gains what would be theirs once they are not, and gains all of it when they cease
// to be.
func (t *txn) gained(who string, about touch, before, after *power) error {
	same := slices.Equal(before.grants, after.grants) && slices.Equal(before.denials, after.denials)
	if !same || len(about.moved) > 0 {
		if g, more := gains(t.now, rootOf(t.tenant), about.moved, after, before); more {
			return t.escalated(who, g, after.state.covers)
		}
	}
	if before.disabled && !after.disabled {
		nothing := before.state.power(nil, nil, false)
		if g, more := gains(t.now, rootOf(t.tenant), nil, after, nothing); more {
			return t.escalated(who, g, after.state.covers)
		}
	}
	return nil
}

func (t *txn) escalated(who string, g gain, c *covers) error {
	_, what := t.a.permissionOf(g.permission, c)
	return &Error{
		Kind: SelfEscalation, Scope: g.scope,
		Message: fmt.Sprintf("%s would gain %s at %s%s", who, what, g.scope, t.fromText(g.from)),
		Mend:    "let another administrator make the change",
	}
}

// fromText says from when on something is gained, where that is not now.
func (t *txn) fromText(from int64) string {
	if from <= t.now {
		return ""
	}
	return " from " + time.Unix(from, 0).UTC().Format(time.RFC3339) + " on"
}

// guardGifts refuses to give what the caller does not hold, where that is refused.
func (t *txn) guardGifts(before *powers, about touch) error {
	if !t.a.escalation || before.self == nil {
		return nil
	}
	var all []gift
	if about.gifts != nil {
		given, err := about.gifts(before.state)
		if err != nil {
			return err
		}
		all = given
	}
	for _, given := range all {
		if err := t.holdsAll(before.self, given); err != nil {
			return err
		}
	}
	return nil
}

// holdsAll refuses a gift that the caller does not hold itself, at that scope and all below
// it, for that long.
func (t *txn) holdsAll(self *power, given gift) error {
	scopes, times := points(t.now, given.scope, nil, self)
	for _, scope := range scopes {
		if !slices.Contains(t.a.chain(self.state.tree, t.tenant, scope), given.scope) {
			continue
		}
		for _, at := range times {
			if given.until != 0 && at >= given.until {
				continue
			}
			if id, more := beyond(given.set, self.effective(scope, at)); more {
				permission, what := t.a.permissionOf(id, self.state.covers)
				return &Error{
					Kind: Escalation, Scope: scope, Missing: []authz.Permission{permission},
					Message: fmt.Sprintf("the change gives %s at %s, which the caller does not hold itself for that long", what, scope),
					Mend:    "let an administrator who holds it make the change",
				}
			}
		}
	}
	return nil
}

// beneathDeny refuses an ALLOW at a scope where a live DENY above it covers any of its
// permissions, unless the caller may assign at the DENY's scope. The DENY counts when it is
// of one of those given, or of another of whom others says that it may count.
func (t *txn) beneathDeny(k *asker, s *state, role *authz.Role, scope authz.Scope, of []authz.Principal, others func(authz.Principal) bool) error {
	def, _, err := t.definition(role.ID())
	if err != nil {
		return err
	}
	chain := t.a.chain(s.tree, t.tenant, scope)
	if len(chain) < 2 {
		return nil
	}
	grants := s.setsOf(role).grants
	counts := map[authz.Principal]bool{}
	for _, p := range of {
		counts[p.Key()] = true
	}
	for _, above := range chain[1:] {
		denied := false
		check := func(g authz.Grant) {
			denied = denied || g.Effect == authz.AssignDeny && live(&g, t.now) && (counts[g.Principal.Key()] || others(g.Principal)) &&
				overlaps(grants, s.setsOf(g.Role).takes)
		}
		for as, err := range t.e.DenialsAt(t.tenant, above) {
			if err != nil {
				return err
			}
			check(grantOf(t.e, t.tenant, as))
		}
		if denied && !k.holdsFor(t.a.write, &def, above) {
			return &Error{
				Kind: BeneathDeny, Scope: above, Missing: []authz.Permission{permissionWrite},
				Message: fmt.Sprintf("a DENY at %s covers it, and the caller may not assign roles there", above),
				Mend:    "let somebody make the change who may",
			}
		}
	}
	return nil
}

// administrator finds a principal that is an administrator of the tenant for good: the one
// remembered if it still is, else any.
func (a *Admin) administrator(r Reader, tenant string) (authz.Principal, bool, error) {
	a.mu.Lock()
	remembered, ok := a.administrators[tenant]
	a.mu.Unlock()
	return a.findAdministrator(r, tenant, remembered, ok)
}

func (a *Admin) findAdministrator(r Reader, tenant string, first authz.Principal, ok bool) (authz.Principal, bool, error) {
	s, err := newState(a, r, tenant)
	if err != nil {
		return authz.Principal{}, false, err
	}
	limits, err := a.limitsOf(r, tenant)
	if err != nil {
		return authz.Principal{}, false, err
	}
	if ok {
		if is, err := s.isAdministrator(first, limits); is || err != nil {
			return first, is, err
		}
	}
	for as, err := range r.RoleAssignmentsAt(tenant, rootOf(tenant)) {
		if err != nil {
			return authz.Principal{}, false, err
		}
		role, _ := r.Role(tenant, as.RoleDefinitionID)
		if as.Effect != authz.AssignAllow || as.Expires != 0 || !role.Grants(a.write) || limits[as.RoleDefinitionID] != nil {
			continue
		}
		found, ok, err := s.administratorIn(as.Principal, limits, map[authz.Principal]bool{})
		if err != nil {
			return authz.Principal{}, false, err
		}
		if ok {
			a.mu.Lock()
			a.administrators[tenant] = found
			a.mu.Unlock()
			return found, true, nil
		}
	}
	return authz.Principal{}, false, nil
}

// administratorIn finds an administrator that is the principal or, of a group, that the
// directory lists in it.
func (s *state) administratorIn(p authz.Principal, limits map[string]*authz.RoleDefinition, seen map[authz.Principal]bool) (authz.Principal, bool, error) {
	if p = p.Key(); seen[p] {
		return p, false, nil
	}
	seen[p] = true
	if p.Type == authz.User {
		is, err := s.isAdministrator(p, limits)
		return p, is, err
	}
	if p.Type != authz.Group {
		return p, false, nil
	}
	group, _, err := s.r.Group(s.tenant, p.ID)
	if err != nil {
		return p, false, err
	}
	for _, member := range group.Members {
		if found, ok, err := s.administratorIn(member, limits, seen); ok || err != nil {
			return found, ok, err
		}
	}
	return p, false, nil
}

// isAdministrator tells whether a User or ApplicationUser is enabled, and may assign any role
// at the tenant now and when everything that expires has expired.
func (s *state) isAdministrator(p authz.Principal, limits map[string]*authz.RoleDefinition) (bool, error) {
	if disabled, err := s.disabled(p); disabled || err != nil {
		return false, err
	}
	grants, err := s.held(p)
	if err != nil {
		return false, err
	}
	all := authz.NewGrants(slices.DeleteFunc(slices.Clone(grants), func(g authz.Grant) bool {
		return g.Effect == authz.AssignAllow && limits[g.Role.ID()] != nil
	}))
	question := authz.Request{Permissions: []authz.PermissionID{s.a.write}, Chains: [][]authz.Scope{{rootOf(s.tenant)}}}
	return authz.Decide(all, question, s.r.Now().Unix()).Allowed() && authz.Decide(all, question, math.MaxInt64).Allowed(), nil
}

func (a *Admin) keepsAdministrator(r Reader, tenant string, first authz.Principal) error {
	_, has, err := a.findAdministrator(r, tenant, first, true)
	if err != nil || has {
		return err
	}
	return &Error{
		Kind: LastAdministrator, Scope: rootOf(tenant),
		Message: "the change would leave the tenant without an administrator who is enabled, undenied and does not expire",
		Mend:    "give somebody else " + permissionWrite + " at the tenant first",
	}
}

// giftsOf are the ALLOW assignments among the grants as gifts, or else what the DENY and
// FORBID ones take.
func giftsOf(s *state, allow bool, grants []authz.Grant, now int64) []gift {
	var all []gift
	for i := range grants {
		g := &grants[i]
		switch {
		case !live(g, now) || (g.Effect == authz.AssignAllow) != allow:
		case allow:
			all = append(all, gift{s.setsOf(g.Role).grants, g.Scope, g.Expires})
		default:
			all = append(all, gift{s.setsOf(g.Role).takes, g.Scope, 0})
		}
	}
	return all
}

// giftsBehind are what somebody comes to hold who comes to act as a principal.
func (t *txn) giftsBehind(s *state, start authz.Principal) ([]gift, error) {
	grants, err := t.behind(s, start)
	return giftsOf(s, true, grants, t.now), err
}

// behind is what whoever acts as a principal is assigned: what that holds, and what is held
// by all that it owns, as far as ownership goes.
func (t *txn) behind(s *state, start authz.Principal) ([]authz.Grant, error) {
	all, err := t.actsAs(s, start)
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
	return grants, nil
}

// actsAs are the principals given, all that they belong to or own, and so on.
func (t *txn) actsAs(s *state, start ...authz.Principal) ([]authz.Principal, error) {
	return closure(start, func(p authz.Principal) ([]authz.Principal, error) {
		parents, err := s.parents(p)
		if err != nil {
			return nil, err
		}
		owned, err := t.e.OwnedBy(t.tenant, p)
		return slices.Concat(parents, owned), err
	})
}

// giftsOfMove are what a scope comes to inherit: what is allowed at scopes that are newly
// above it, and what is denied at those that no longer are.
func (t *txn) giftsOfMove(s *state, scope authz.Scope, old, above []authz.Scope) ([]gift, error) {
	var all []gift
	collect := func(at authz.Scope, allow bool) error {
		var grants []authz.Grant
		for as, err := range t.e.RoleAssignmentsAt(t.tenant, at) {
			if err != nil {
				return err
			}
			grants = append(grants, grantOf(t.e, t.tenant, as))
		}
		for _, g := range giftsOf(s, allow, grants, t.now) {
			g.scope = scope
			all = append(all, g)
		}
		return nil
	}
	for _, at := range above {
		if !slices.Contains(old, at) {
			if err := collect(at, true); err != nil {
				return nil, err
			}
		}
	}
	for _, at := range old {
		if !slices.Contains(above, at) {
			if err := collect(at, false); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// sameAssignment tells whether two assignments are of one principal, role and scope.
func sameAssignment(a, b *snapshot.RoleAssignment) bool {
	return a.Principal.Key() == b.Principal.Key() && a.RoleDefinitionID == b.RoleDefinitionID && a.Scope == b.Scope
}
