package admin

import (
	"fmt"
	"slices"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// An asker answers what a caller may do, from one state of the store.
type asker struct {
	a       *Admin
	r       Reader
	tenant  string
	subject *authz.Subject // nil: an operator, who may read everything
	view    *snapshot.View
	now     int64
	unknown bool // the caller's groups are
	denials *authz.Grants
	tree    *authz.Hierarchy
	limits  map[string]*authz.RoleDefinition // see limitsOf; nil: not read yet
}

func (a *Admin) asker(r Reader, c Caller, tenant string) (*asker, error) {
	k := &asker{a: a, r: r, tenant: tenant, now: r.Now().Unix()}
	var err error
	if k.tree, err = r.Hierarchy(tenant); err != nil || c.Kind == Operator {
		return k, err
	}
	k.subject = c.Subject
	if k.view, err = r.View(tenant, c.Subject); err != nil {
		return nil, err
	}
	t, _ := r.Tenant(tenant)
	if k.unknown = c.Subject.GroupsUnknown() && !t.DirectoryComplete; k.unknown {
		k.denials, err = r.GroupDenials(tenant)
	}
	return k, err
}

// decide is the decision that everybody else gets.
func (k *asker) decide(permission authz.PermissionID, scope authz.Scope) authz.Reason {
	if k.subject == nil {
		return authz.Granted
	}
	return k.decideBy(k.view.Grants, permission, scope)
}

func (k *asker) decideBy(grants *authz.Grants, permission authz.PermissionID, scope authz.Scope) authz.Reason {
	if k.view.Disabled {
		return authz.PrincipalDisabled
	}
	return authz.Decide(grants, authz.Request{
		Permissions: []authz.PermissionID{permission}, Chains: [][]authz.Scope{k.a.chain(k.tree, k.tenant, scope)},
		GroupsUnknown: k.unknown, GroupDenials: k.denials,
	}, k.now).Reason
}

// What a change can be about that is no assignment of one role: of anything at all, or of
// what a database holds.
var (
	anyRole         = &authz.RoleDefinition{}
	anySecurityRole = &authz.RoleDefinition{ID: "{securityRole}", Environment: "any"}
)

// limitsOf are the roles that limit what their right to assign covers, by identifier.
func (a *Admin) limitsOf(r Reader, tenant string) (map[string]*authz.RoleDefinition, error) {
	custom, err := r.RoleDefinitions(tenant)
	if err != nil {
		return nil, err
	}
	limits := map[string]*authz.RoleDefinition{}
	for _, defs := range [][]authz.RoleDefinition{a.shipped, custom} {
		for i := range defs {
			if isLimited(&defs[i]) {
				limits[defs[i].ID] = &defs[i]
			}
		}
	}
	return limits, nil
}

func isLimited(def *authz.RoleDefinition) bool {
	return def.Terms != nil && len(def.Terms.AssignableRoles) > 0
}

// decideFor is the decision on a permission to change who holds the role: a grant of it
// whose role limits what it covers counts only where that covers the role.
func (k *asker) decideFor(permission authz.PermissionID, role *authz.RoleDefinition, scope authz.Scope) (authz.Reason, error) {
	if k.subject == nil || permission != k.a.write && permission != k.a.remove {
		return k.decide(permission, scope), nil
	}
	if k.limits == nil {
		var err error
		if k.limits, err = k.a.limitsOf(k.r, k.tenant); err != nil {
			return authz.Internal, err
		}
	}
	held := k.view.Grants.All()
	counts := make([]authz.Grant, 0, len(held))
	for _, g := range held {
		limit := k.limits[g.Role.ID()]
		if g.Effect != authz.AssignAllow || limit == nil || limit.MayAssign(role) {
			counts = append(counts, g)
		}
	}
	if len(counts) == len(held) {
		return k.decide(permission, scope), nil
	}
	return k.decideBy(authz.NewGrants(counts), permission, scope), nil
}

// holds tells whether the caller holds the permission at the scope, without a limit.
func (k *asker) holds(permission authz.PermissionID, scope authz.Scope) bool {
	return k.holdsFor(permission, anyRole, scope)
}

func (k *asker) holdsFor(permission authz.PermissionID, role *authz.RoleDefinition, scope authz.Scope) bool {
	reason, err := k.decideFor(permission, role, scope)
	return err == nil && reason.Effect() == authz.Allow
}

// need fails unless the caller holds the permission, without a limit, at every one of the
// scopes.
func (k *asker) need(permission authz.PermissionID, scopes ...authz.Scope) error {
	return k.needFor(permission, anyRole, scopes...)
}

// needFor fails unless the caller holds the permission at every one of the scopes, and its
// right to assign roles covers the role.
func (k *asker) needFor(permission authz.PermissionID, role *authz.RoleDefinition, scopes ...authz.Scope) error {
	for _, scope := range scopes {
		reason, err := k.decideFor(permission, role, scope)
		if err != nil {
			return err
		}
		if reason.Effect() == authz.Allow {
			continue
		}
		e := k.a.forbidden(permission, scope, reason)
		if k.decide(permission, scope).Effect() == authz.Allow {
			e.Message = fmt.Sprintf("the caller is not authorised: its right to change who holds roles at %s is limited to some roles, and does not cover %s", scope, covered(role))
		}
		return e
	}
	return nil
}

func covered(role *authz.RoleDefinition) string {
	switch role {
	case anyRole:
		return "this"
	case anySecurityRole:
		return "what the database holds"
	}
	return fmt.Sprintf("%q", role.Name)
}

func (a *Admin) forbidden(permission authz.PermissionID, scope authz.Scope, reason authz.Reason) *Error {
	name := a.vocabulary.Name(permission)
	return &Error{
		Kind: Forbidden, Missing: []authz.Permission{name}, Scope: scope,
		Message: fmt.Sprintf("the caller is not authorised: %s is needed at %s (%s)", name, scope, reason),
	}
}

// needEverywhere fails unless the caller holds the permission at the tenant and at every
// scope below it. Where the caller holds it at the tenant, only its own assignments (or, of
// unknown groups, any group's) can take it away below, and only at or below the scopes that
// they name.
func (k *asker) needEverywhere(permission authz.PermissionID) error {
	if err := k.need(permission, k.root()); err != nil || k.subject == nil {
		return err
	}
	for _, g := range slices.Concat(k.view.Grants.All(), k.denials.All()) {
		if err := k.need(permission, g.Scope); err != nil {
			return err
		}
	}
	return nil
}

func (k *asker) root() authz.Scope { return rootOf(k.tenant) }

func rootOf(tenant string) authz.Scope { return authz.NamedScope{Kind: authz.TenantScope}.In(tenant) }

// chain returns a scope and all that it inherits from, nearest first. What the tenant does
// not list is judged as if it lay directly below the tenant, or its environment: nobody can
// learn from a refusal whether it is listed, and listing it anew escapes nothing.
func (a *Admin) chain(tree *authz.Hierarchy, tenant string, scope authz.Scope) []authz.Scope {
	if chain, err := tree.Chain(scope, a.foldCase); err == nil {
		return chain
	}
	of, named, err := authz.ParseScope(string(scope), a.foldCase)
	if err != nil || of != tenant {
		return nil // which holds nothing
	}
	switch named.Kind {
	case authz.ResourceScope, authz.BusinessUnitScope:
		environment := authz.NamedScope{Kind: authz.EnvironmentScope, Environment: named.Environment}.In(tenant)
		return append([]authz.Scope{named.In(tenant)}, a.chain(tree, tenant, environment)...)
	case authz.EnvironmentScope, authz.EnvironmentGroupScope:
		return []authz.Scope{named.In(tenant), rootOf(tenant)}
	case authz.TenantScope:
		return []authz.Scope{rootOf(tenant)}
	case authz.NoScope:
	}
	return nil
}

// asker returns what the caller may do before the change. It must be asked before anything
// is changed.
func (t *txn) asker() (*asker, error) { return t.a.asker(t.e, t.caller, t.tenant) }

// scope reads a scope of the tenant; empty is the tenant.
func (a *Admin) scope(tenant, field, text string) (authz.Scope, error) {
	if text == "" {
		return rootOf(tenant), nil
	}
	of, named, err := authz.ParseScope(text, a.foldCase)
	if err != nil {
		return "", fail(Invalid, field, err.Error(), "")
	}
	if of != tenant {
		return "", fail(CrossTenant, field, "the scope is of another tenant", "")
	}
	return named.In(tenant), nil
}

// listed returns the chain of a scope that the tenant lists.
func (a *Admin) listed(tree *authz.Hierarchy, field string, scope authz.Scope) ([]authz.Scope, error) {
	chain, err := tree.Chain(scope, a.foldCase)
	if err == nil {
		return chain, nil
	}
	_, named, parseErr := authz.ParseScope(string(scope), a.foldCase)
	if parseErr != nil {
		return nil, fail(Invalid, field, parseErr.Error(), "")
	}
	what, id := "environment", named.Environment
	if named.Kind == authz.EnvironmentGroupScope {
		what, id = "environment group", named.ID
	}
	if named.Kind == authz.BusinessUnitScope {
		environment := authz.NamedScope{Kind: authz.EnvironmentScope, Environment: named.Environment}
		var scratch []byte
		if _, known := tree.AppendChain(nil, environment, &scratch); known {
			what, id = "business unit", named.ID
		}
	}
	e := failf(ScopeUnknown, field, "list it first, or wait until it is known", "the tenant lists no %s %q", what, id)
	e.Scope = scope
	return nil, e
}

// objectID gives an identifier of the directory its one spelling.
func (a *Admin) objectID(field, id string) (string, error) {
	if id == "" || len(id) > authz.MaxIDLen || !utf8Text(id) {
		return "", failf(Invalid, field, "", "an identifier is text of 1 to %d bytes", authz.MaxIDLen)
	}
	return authz.CanonicalID(id, a.foldCase), nil
}

// pathID gives an identifier that stands in a scope its one spelling.
func (a *Admin) pathID(field, id string) (string, error) {
	canonical, err := authz.CanonicalPathID(id, a.foldCase)
	if err != nil {
		return "", fail(Invalid, field, err.Error(), "")
	}
	return canonical, nil
}

// principal gives a principal its one spelling and checks its type.
func (a *Admin) principal(field string, p authz.Principal, types ...authz.PrincipalType) (authz.Principal, error) {
	if !slices.Contains(types, p.Type) {
		return p, failf(Invalid, field, "", "the principal's type is none of %v", types)
	}
	id, err := a.objectID(field, p.ID)
	return authz.Principal{Type: p.Type, ID: id}, err
}

var (
	anyPrincipal = []authz.PrincipalType{authz.User, authz.Group, authz.ApplicationUser, authz.DirectoryRole, authz.Team}
	memberTypes  = []authz.PrincipalType{authz.User, authz.Group, authz.ApplicationUser}
	callerTypes  = []authz.PrincipalType{authz.User, authz.ApplicationUser}
)
