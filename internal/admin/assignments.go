package admin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"slices"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// newID makes a random UUID (RFC 9562, version 4).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6] = b[6]&0x0F | 0x40
	b[8] = b[8]&0x3F | 0x80
	text := hex.EncodeToString(b[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// CreateRoleAssignment gives a principal a role at a scope. It needs
// Authorization.RoleAssignments.Write there. The same principal, role and scope a second
// time is a [Duplicate]; an expired assignment makes way.
func (a *Admin) CreateRoleAssignment(ctx context.Context, c Caller, q CreateRoleAssignmentRequest) (RoleAssignmentResult, error) {
	return mutate(ctx, a, c, "CreateRoleAssignment", tokens, q, &q.Context, func(t *txn) (RoleAssignmentResult, error) {
		return t.createRoleAssignment(&q)
	})
}

func (t *txn) createRoleAssignment(q *CreateRoleAssignmentRequest) (RoleAssignmentResult, error) {
	var none RoleAssignmentResult
	a := t.a
	scope, err := a.scope(t.tenant, "Scope", q.Scope)
	if err != nil {
		return none, err
	}
	if q.Scope == "" {
		return none, fail(Invalid, "Scope", "an assignment needs a scope", "such as "+string(rootOf(t.tenant)))
	}
	principal, err := a.principal("Principal", q.Principal, anyPrincipal...)
	if err != nil {
		return none, err
	}
	effect := q.Effect
	switch effect {
	case authz.NoEffect:
		effect = authz.AssignAllow
	case authz.AssignAllow, authz.AssignDeny, authz.AssignForbid:
	default:
		return none, fail(Invalid, "Effect", "the effect is none of ALLOW, DENY and FORBID", "")
	}
	k, err := t.asker()
	if err != nil {
		return none, err
	}
	// Whoever may assign nothing there is not told what there is.
	if reason := k.decide(a.write, scope); reason.Effect() != authz.Allow {
		return none, a.forbidden(a.write, scope, reason)
	}
	expires, err := t.expiry(q.Expires)
	if err != nil {
		return none, err
	}
	chain, err := a.listed(k.tree, "Scope", scope)
	if err != nil {
		return none, err
	}
	def, err := t.assignable(q, scope, chain)
	if err != nil {
		return none, err
	}
	if err := k.needFor(a.write, &def, scope); err != nil {
		return none, err
	}
	if err := t.assignee(principal); err != nil {
		return none, err
	}
	if err := t.mayHold(&def, scope, principal, effect, authz.ByAssignment); err != nil {
		return none, err
	}
	as := snapshot.RoleAssignment{
		ID: newID(), Principal: principal, RoleDefinitionID: def.ID, Scope: scope, Effect: effect,
		Expires: expires, CreatedOn: t.now, CreatedBy: t.caller.Subject.Principal(),
	}
	way, err := t.makeWay(&as)
	if err != nil {
		return none, err
	}
	role, _ := t.e.Role(t.tenant, def.ID)
	if effect == authz.AssignAllow {
		if err := t.allowBeneath(k, role, scope, principal); err != nil {
			return none, err
		}
	}
	companion, err := t.companion(&def, &as)
	if err != nil {
		return none, err
	}
	about := touch{principals: []authz.Principal{principal}, environments: t.dataOf(&def, scope), gifts: func(s *state) ([]gift, error) {
		if effect != authz.AssignAllow {
			return nil, nil
		}
		return []gift{{s.setsOf(role).grants, lifted(role, scope), expires}}, nil
	}}
	if companion != nil {
		about.environments = t.dataOf(anySecurityRole, scope)
	}
	err = t.apply(k, about, func() error {
		for _, old := range way {
			t.notes = append(t.notes, "an expired assignment of the same principal, role and scope made way")
			if err := t.removeAssignment(old); err != nil {
				return err
			}
			if err := t.removeCompanion(&def, &old); err != nil {
				return err
			}
		}
		if err := t.putAssignment(&as); err != nil {
			return err
		}
		return t.putCompanion(companion)
	})
	return RoleAssignmentResult{RoleAssignment: RoleAssignment{as, def.Name}}, err
}

// expiry checks the end of an assignment; fractions of a second are cut.
func (t *txn) expiry(at time.Time) (int64, error) {
	if at.IsZero() {
		return 0, nil
	}
	if at.Unix() <= t.now {
		return 0, fail(Invalid, "Expires", "the time of expiry has passed", "choose a later one, or none")
	}
	if at.UTC().Year() > 9999 {
		return 0, fail(Invalid, "Expires", "the time of expiry is after the year 9999", "leave it out for an assignment that does not expire")
	}
	return at.Unix(), nil
}

// definition finds a role, shipped or custom, by identifier or name.
func (t *txn) definition(idOrName string) (authz.RoleDefinition, bool, error) {
	return t.a.definition(t.e, t.tenant, idOrName)
}

func (a *Admin) definition(r Reader, tenant, idOrName string) (authz.RoleDefinition, bool, error) {
	custom, err := r.RoleDefinitions(tenant)
	if err != nil || idOrName == "" {
		return authz.RoleDefinition{}, false, err
	}
	id := authz.CanonicalID(idOrName, a.foldCase)
	for _, defs := range [][]authz.RoleDefinition{a.shipped, custom} {
		if i := slices.IndexFunc(defs, func(def authz.RoleDefinition) bool { return def.ID == id }); i >= 0 {
			return defs[i], true, nil
		}
	}
	key := authz.RoleNameKey(idOrName)
	if key == "" {
		return authz.RoleDefinition{}, false, nil
	}
	for _, defs := range [][]authz.RoleDefinition{a.shipped, custom} {
		if i := slices.IndexFunc(defs, func(def authz.RoleDefinition) bool { return authz.RoleNameKey(def.Name) == key }); i >= 0 {
			return defs[i], true, nil
		}
	}
	if i := slices.IndexFunc(a.shipped, func(def authz.RoleDefinition) bool { return hasAlias(&def, key) }); i >= 0 {
		return a.shipped[i], true, nil
	}
	return authz.RoleDefinition{}, false, nil
}

// hasAlias tells whether a role goes by another name, given as authz.RoleNameKey has it.
func hasAlias(def *authz.RoleDefinition, key string) bool {
	return slices.ContainsFunc(def.Aliases, func(alias string) bool { return authz.RoleNameKey(alias) == key })
}

func (a *Admin) isShipped(id string) bool {
	return slices.ContainsFunc(a.shipped, func(def authz.RoleDefinition) bool { return def.ID == id })
}

// assignable finds a role that may be assigned at the scope.
func (t *txn) assignable(q *CreateRoleAssignmentRequest, scope authz.Scope, chain []authz.Scope) (authz.RoleDefinition, error) {
	def, ok, err := t.definition(q.Role)
	switch {
	case err != nil:
		return def, err
	case !ok, q.ShippedOnly && !t.a.isPublished(def.ID):
		return def, failf(RoleUnknown, "Role", "name a built-in role or one of the tenant's own", "there is no role %q", q.Role)
	case !def.AssignableAt(chain):
		return def, failf(NotAssignable, "Scope", "look at the role's assignable and restricted scopes", "the role %q may not be assigned at %s", def.Name, scope)
	}
	return def, nil
}

// assignee checks that the principal exists, as far as the directory tells, and is enabled.
func (t *txn) assignee(p authz.Principal) error {
	disabled, err := isDisabled(t.e, t.tenant, p)
	if err != nil {
		return err
	}
	if disabled && !t.a.disabledOK {
		return failf(PrincipalDisabled, "Principal", "enable it first", "the principal %s is disabled", p)
	}
	record, _ := t.e.Tenant(t.tenant)
	if !record.DirectoryComplete || p.Type == authz.DirectoryRole {
		return nil
	}
	known, err := t.inDirectory(p)
	if err == nil && !known {
		err = failf(PrincipalUnknown, "Principal", "use the object id of the directory (of an application, that of its enterprise application)",
			"the directory lists no principal %s", p)
	}
	return err
}

func (t *txn) inDirectory(p authz.Principal) (bool, error) {
	if p.Type == authz.Group {
		if _, ok, err := t.e.Group(t.tenant, p.ID); ok || err != nil {
			return ok, err
		}
	}
	types := []authz.PrincipalType{p.Type}
	if p.Key().Type == authz.User {
		types = callerTypes
	}
	for _, kind := range types {
		if _, ok, err := t.e.Principal(t.tenant, authz.Principal{Type: kind, ID: p.ID}); ok || err != nil {
			return ok, err
		}
	}
	groups, err := t.e.GroupsOf(t.tenant, p)
	return len(groups) > 0, err
}

// makeWay finds the assignments of the same principal, role and scope: those that have
// expired are to be removed, any other is a duplicate.
func (t *txn) makeWay(as *snapshot.RoleAssignment) ([]snapshot.RoleAssignment, error) {
	var expired []snapshot.RoleAssignment
	for other, err := range t.e.RoleAssignmentsOf(t.tenant, as.Principal) {
		switch {
		case err != nil:
			return nil, err
		case !sameAssignment(&other, as):
		case other.Expires != 0 && other.Expires <= t.now:
			expired = append(expired, other)
		default:
			return nil, failf(Duplicate, "Principal", "remove it first to change it", "the principal has the role at the scope already: assignment %s", other.ID)
		}
	}
	return expired, nil
}

// allowBeneath checks an ALLOW for a principal against the DENY assignments above it.
func (t *txn) allowBeneath(k *asker, role *authz.Role, scope authz.Scope, p authz.Principal) error {
	s, err := newState(t.a, t.e, t.tenant)
	if err != nil {
		return err
	}
	of, err := s.belongings(p)
	if err != nil {
		return err
	}
	return t.beneathDeny(k, s, role, scope, of, t.mayCount(p))
}

// mayCount tells whose DENY assignments may count for a principal besides its own and those
// of what it is known to belong to: for a group anybody's, who may be a member of it; for a
// user or an application those of all that one can belong to without the directory's
// knowing. A complete directory knows every group, and never a directory role or a team:
// they are in the token, or in the environment.
func (t *txn) mayCount(p authz.Principal) func(authz.Principal) bool {
	record, _ := t.e.Tenant(t.tenant)
	return func(other authz.Principal) bool {
		switch other.Key().Type {
		case authz.DirectoryRole, authz.Team:
			return true
		case authz.Group:
			return p.Key().Type != authz.User || !record.DirectoryComplete
		default:
			return p.Key().Type != authz.User
		}
	}
}

func assignmentTarget(id string) string { return "roleAssignments/" + url.PathEscape(id) }

func (t *txn) putAssignment(as *snapshot.RoleAssignment) error {
	if err := t.change(assignmentTarget(as.ID), as.Scope, nil, assignmentItemOf(as)); err != nil {
		return err
	}
	return t.e.PutRoleAssignment(t.tenant, *as)
}

func (t *txn) removeAssignment(as snapshot.RoleAssignment) error {
	if err := t.change(assignmentTarget(as.ID), as.Scope, assignmentItemOf(&as), nil); err != nil {
		return err
	}
	if err := t.endEmergency(as.ID); err != nil {
		return err
	}
	return t.e.RemoveRoleAssignment(t.tenant, as.ID)
}

// DeleteRoleAssignment takes a role away. It needs Authorization.RoleAssignments.Delete at
// the assignment's scope. A caller who lacks it at the tenant is not told whether an
// assignment that it names exists.
func (a *Admin) DeleteRoleAssignment(ctx context.Context, c Caller, q DeleteRoleAssignmentRequest) (RoleAssignmentResult, error) {
	return mutate(ctx, a, c, "DeleteRoleAssignment", tokens, q, &q.Context, func(t *txn) (RoleAssignmentResult, error) {
		return t.deleteRoleAssignment(&q)
	})
}

func (t *txn) deleteRoleAssignment(q *DeleteRoleAssignmentRequest) (RoleAssignmentResult, error) {
	var none RoleAssignmentResult
	a := t.a
	id, err := a.objectID("ID", q.ID)
	if err != nil {
		return none, err
	}
	k, err := t.asker()
	if err != nil {
		return none, err
	}
	exact := authz.Scope("")
	if q.ExactScope != "" {
		if exact, err = a.scope(t.tenant, "ExactScope", q.ExactScope); err != nil {
			return none, err
		}
		if err := k.need(a.remove, exact); err != nil {
			return none, err
		}
	}
	as, found, err := t.e.RoleAssignment(t.tenant, id)
	if err != nil {
		return none, err
	}
	hidden := found && (exact != "" && as.Scope != exact || q.ShippedAllowOnly && !a.isPlain(&as))
	if !found || hidden {
		if exact == "" { // the refusal must not tell whether it exists
			if err := k.need(a.remove, k.root()); err != nil {
				return none, err
			}
		}
		return none, failf(NotFound, "ID", "", "there is no role assignment %q here", q.ID)
	}
	def, _, err := t.definition(as.RoleDefinitionID)
	if err != nil {
		return none, err
	}
	if !k.holdsFor(a.remove, &def, as.Scope) {
		// What is refused is the same as for an assignment that does not exist.
		return none, a.forbidden(a.remove, k.root(), authz.NoAssignment)
	}
	if err := def.CheckRemoval(authz.ByAssignment); err != nil {
		return none, fail(NotAssignable, "ID", oneLine(err), "")
	}
	g := grantOf(t.e, t.tenant, as)
	about := touch{principals: []authz.Principal{as.Principal}, gifts: func(s *state) ([]gift, error) {
		return giftsOf(s, false, []authz.Grant{g}, t.now), nil
	}}
	err = t.apply(k, about, func() error {
		if err := t.removeAssignment(as); err != nil {
			return err
		}
		return t.removeCompanion(&def, &as)
	})
	return RoleAssignmentResult{RoleAssignment: RoleAssignment{as, def.Name}}, err
}

// isPlain tells whether an assignment is one that the Power Platform API knows: an ALLOW of
// one of its roles to a user, a group or an application.
func (a *Admin) isPlain(as *snapshot.RoleAssignment) bool {
	return as.Effect == authz.AssignAllow && a.isPublished(as.RoleDefinitionID) && slices.Contains(memberTypes, as.Principal.Type)
}

// isPublished tells whether a role is one of the Power Platform API's, which knows no roles
// of directories, environments and databases.
func (a *Admin) isPublished(id string) bool {
	return slices.ContainsFunc(a.shipped, func(def authz.RoleDefinition) bool { return def.ID == id && def.Category == "" })
}

// assignedUnder finds everything that is assigned at a scope and below it, to be removed,
// which needs Authorization.RoleAssignments.Delete at the scope of each.
func (t *txn) assignedUnder(k *asker, scope authz.Scope) ([]snapshot.RoleAssignment, error) {
	var all []snapshot.RoleAssignment
	for as, err := range t.e.RoleAssignmentsUnder(t.tenant, scope) {
		if err != nil {
			return nil, err
		}
		if err := t.needPlaces(k, t.a.remove, []place{{as.Scope, as.RoleDefinitionID}}); err != nil {
			return nil, err
		}
		all = append(all, as)
	}
	return all, nil
}

// removeWith removes assignments, judged while the scope that they go with still stands.
func (t *txn) removeWith(k *asker, all []snapshot.RoleAssignment) error {
	if len(all) == 0 {
		return nil
	}
	about := touch{gifts: func(s *state) ([]gift, error) {
		var gifts []gift
		for _, as := range all {
			gifts = append(gifts, giftsOf(s, false, []authz.Grant{grantOf(t.e, t.tenant, as)}, t.now)...)
		}
		return gifts, nil
	}}
	for _, as := range all {
		about.principals = append(about.principals, as.Principal)
	}
	return t.apply(k, about, func() error {
		for _, as := range all {
			if err := t.removeAssignment(as); err != nil {
				return err
			}
		}
		return nil
	})
}
