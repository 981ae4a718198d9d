package admin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// question answers what changes nothing, from one revision. named is the tenant of the
// request. Its function may be called again.
func (a *Admin) question(ctx context.Context, c Caller, action, named string, answer func(*asker) error) error {
	tenant, err := a.tenantOf(c, named, both)
	if err != nil {
		return a.failed(ctx, c, action, err)
	}
	err = a.store.Read(ctx, func(r Reader) error {
		k, err := a.asker(r, c, tenant)
		if err != nil {
			return err
		}
		return answer(k)
	})
	if err != nil {
		return a.failed(ctx, c, action, err)
	}
	return nil
}

// needTenant fails where an operator named no tenant, or one that is not listed.
func (k *asker) needTenant() error {
	if k.tenant == "" {
		return fail(Invalid, "Tenant", "an operator must name the tenant", "")
	}
	if _, listed := k.r.Tenant(k.tenant); !listed {
		return failf(NotFound, "Tenant", "", "there is no tenant %q", k.tenant)
	}
	return nil
}

// tenantRead checks that the caller may read what belongs to the tenant as a whole.
func (k *asker) tenantRead(permission authz.PermissionID) error {
	if err := k.need(permission, k.root()); err != nil {
		return err
	}
	return k.needTenant()
}

// A cursor says where a page begins. It is bound to the request, so that it cannot be used
// with another.
type cursor struct {
	Request string `json:"r"`
	Phase   int    `json:"p,omitempty"`
	// Key is the last item of the page before, as text; Scope and Effect too where it is an
	// assignment.
	Key    string                 `json:"k"`
	Scope  authz.Scope            `json:"s,omitempty"`
	Effect authz.AssignmentEffect `json:"e,omitempty"`
}

func requestHash(action, tenant string, request any) (string, error) {
	text, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", action, tenant, text))
	return base64.RawURLEncoding.EncodeToString(sum[:12]), nil
}

// begin reads a page's size and where it begins; nil: at the first.
func (p Page) begin(hash string) (int, *cursor, error) {
	size := p.Size
	if size == 0 {
		size = defaultPage
	}
	if size < 1 || size > maxPage {
		return 0, nil, failf(Invalid, "Page.Size", "", "want a page of 1 to %d", maxPage)
	}
	if p.Token == "" {
		return size, nil, nil
	}
	bad := fail(Invalid, "Page.Token", "it is not the token of the page before", "send all else as for the page before, or begin anew")
	text, err := base64.RawURLEncoding.DecodeString(p.Token)
	if err != nil || len(p.Token) > 8<<10 {
		return 0, nil, bad
	}
	var at cursor
	if err := json.Unmarshal(text, &at); err != nil || at.Request != hash {
		return 0, nil, bad
	}
	return size, &at, nil
}

func (c cursor) token() (string, error) {
	text, err := json.Marshal(c)
	return base64.RawURLEncoding.EncodeToString(text), err
}

// listed pages through items in their order; key gives each its place.
func pageOf[T any](k *asker, action string, request any, p Page, items iter.Seq2[T, error], key func(T) string, show func(T) (bool, error)) (List[T], error) {
	list := List[T]{Revision: k.r.Revision()}
	hash, err := requestHash(action, k.tenant, request)
	if err != nil {
		return list, err
	}
	size, at, err := p.begin(hash)
	if err != nil {
		return list, err
	}
	skipping := at != nil
	for item, err := range items {
		if err != nil {
			return list, err
		}
		if skipping { // by place, so that it does no harm where that item is gone
			if key(item) <= at.Key {
				continue
			}
			skipping = false
		}
		if ok, err := show(item); err != nil || !ok {
			if err != nil {
				return list, err
			}
			continue
		}
		if len(list.Items) == size {
			list.Next, err = cursor{Request: hash, Key: key(list.Items[size-1])}.token()
			return list, err
		}
		list.Items = append(list.Items, item)
	}
	return list, nil
}

func always[T any](T) (bool, error) { return true, nil }

// ordered yields items by their keys: pages are cut by keys, so their order must be theirs.
func ordered[T any](items []T, key func(T) string) iter.Seq2[T, error] {
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b T) int { return compareText(key(a), key(b)) })
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// RoleDefinitions returns the built-in roles and the tenant's own. It needs
// Authorization.RoleDefinitions.Read at the tenant.
func (a *Admin) RoleDefinitions(ctx context.Context, c Caller, tenant string) (List[RoleDefinition], error) {
	var list List[RoleDefinition]
	err := a.question(ctx, c, "RoleDefinitions", tenant, func(k *asker) error {
		if err := k.need(a.readRoles, k.root()); err != nil {
			return err
		}
		list = List[RoleDefinition]{Revision: k.r.Revision()}
		var custom []authz.RoleDefinition
		if k.tenant != "" {
			var err error
			if custom, err = k.r.RoleDefinitions(k.tenant); err != nil {
				return err
			}
		}
		for _, def := range slices.Concat(a.shipped, custom) {
			shown, err := a.shownDefinition(k.r, k.tenant, def)
			if err != nil {
				return err
			}
			list.Items = append(list.Items, shown)
		}
		return nil
	})
	return list, err
}

// RoleDefinition finds a role by its identifier or its name. It needs
// Authorization.RoleDefinitions.Read at the tenant, or of a custom security role at its
// environment.
func (a *Admin) RoleDefinition(ctx context.Context, c Caller, tenant, idOrName string) (RoleDefinition, authz.Revision, error) {
	var def RoleDefinition
	var revision authz.Revision
	err := a.question(ctx, c, "RoleDefinition", tenant, func(k *asker) error {
		found, ok, err := a.definition(k.r, k.tenant, idOrName)
		if err != nil {
			return err
		}
		if found.Environment == "" || !k.holds(a.readRoles, environmentScope(k.tenant, found.Environment)) {
			if err := k.need(a.readRoles, k.root()); err != nil { // which tells nothing of what there is
				return err
			}
		}
		if !ok {
			return failf(NotFound, "IDOrName", "", "there is no role %q", idOrName)
		}
		revision = k.r.Revision()
		def, err = a.shownDefinition(k.r, k.tenant, found)
		return err
	})
	if err != nil {
		return RoleDefinition{}, revision, err
	}
	return def, revision, nil
}

// RoleAssignments lists assignments. It needs Authorization.RoleAssignments.Read at the
// scope asked about; of the scopes above and below, those are listed where the caller holds
// it too.
func (a *Admin) RoleAssignments(ctx context.Context, c Caller, q RoleAssignmentsRequest) (List[RoleAssignment], error) {
	var list List[RoleAssignment]
	err := a.question(ctx, c, "RoleAssignments", q.Tenant, func(k *asker) error {
		var err error
		list, err = a.roleAssignments(k, &q)
		return err
	})
	if err != nil {
		return List[RoleAssignment]{}, err
	}
	return list, nil
}

func (a *Admin) roleAssignments(k *asker, q *RoleAssignmentsRequest) (List[RoleAssignment], error) {
	list := List[RoleAssignment]{Revision: k.r.Revision()}
	scope, err := a.scope(k.tenant, "Scope", q.Scope)
	if err != nil {
		return list, err
	}
	if err := k.need(a.read, scope); err != nil {
		return list, err
	}
	if err := k.needTenant(); err != nil {
		return list, err
	}
	chain, err := a.listed(k.tree, "Scope", scope)
	if err != nil {
		return list, err
	}
	f, err := a.assignmentFilter(k, q)
	if err != nil {
		return list, err
	}
	request := *q
	request.Page = Page{}
	hash, err := requestHash("RoleAssignments", k.tenant, request)
	if err != nil {
		return list, err
	}
	size, at, err := q.Page.begin(hash)
	if err != nil {
		return list, err
	}
	// First at and below the scope, then at each scope above it, nearest first.
	var last *snapshot.RoleAssignment
	phase := 0
	for i, parts := 0, f.parts(scope, chain); i < len(parts); i++ {
		var after *snapshot.RoleAssignment
		if at != nil {
			if i < at.Phase {
				continue
			}
			if i == at.Phase {
				after = &snapshot.RoleAssignment{ID: at.Key, Scope: at.Scope, Effect: at.Effect}
			}
		}
		for as, err := range parts[i](after) {
			if err != nil {
				return list, err
			}
			if !f.shows(&as) {
				continue
			}
			if len(list.Items) == size {
				list.Next, err = cursor{Request: hash, Phase: phase, Key: last.ID, Scope: last.Scope, Effect: last.Effect}.token()
				return list, err
			}
			def, _, err := f.definition(as.RoleDefinitionID)
			if err != nil {
				return list, err
			}
			list.Items = append(list.Items, RoleAssignment{as, def.Name})
			last, phase = &list.Items[len(list.Items)-1].RoleAssignment, i
		}
	}
	return list, nil
}

// An assignmentFilter says which assignments are asked for, and may be shown.
type assignmentFilter struct {
	k          *asker
	q          *RoleAssignmentsRequest
	of         map[authz.Principal]bool // nil: anybody's
	permission authz.PermissionID
	visible    map[authz.Scope]bool
	custom     []authz.RoleDefinition
}

func (a *Admin) assignmentFilter(k *asker, q *RoleAssignmentsRequest) (*assignmentFilter, error) {
	f := &assignmentFilter{k: k, q: q, visible: map[authz.Scope]bool{}}
	var err error
	if f.custom, err = k.r.RoleDefinitions(k.tenant); err != nil {
		return nil, err
	}
	if q.Permission != "" {
		id, known := a.vocabulary.ID(q.Permission)
		if !known {
			return nil, failf(Invalid, "Permission", "", "the catalogue knows no permission %q", q.Permission)
		}
		f.permission = id
	}
	if q.Principal == (authz.Principal{}) {
		if q.ExpandGroups {
			return nil, fail(Invalid, "ExpandGroups", "groups are expanded of a principal", "name one")
		}
		return f, nil
	}
	p, err := a.principal("Principal", q.Principal, anyPrincipal...)
	if err != nil {
		return nil, err
	}
	f.of = map[authz.Principal]bool{p.Key(): true}
	if !q.ExpandGroups {
		return f, nil
	}
	s, err := newState(a, k.r, k.tenant)
	if err != nil {
		return nil, err
	}
	start := []authz.Principal{p}
	if own := k.subject; own != nil && own.Principal().Key() == p.Key() {
		for _, id := range own.Groups() {
			start = append(start, groupOf(id))
		}
	}
	all, err := s.belongings(start...)
	for _, p := range all {
		f.of[p] = true
	}
	return f, err
}

// parts are the places to look in, in order; each begins behind an assignment.
func (f *assignmentFilter) parts(scope authz.Scope, chain []authz.Scope) []func(after *snapshot.RoleAssignment) iter.Seq2[snapshot.RoleAssignment, error] {
	r, tenant := f.k.r, f.k.tenant
	type assignments = iter.Seq2[snapshot.RoleAssignment, error]
	at := func(scope authz.Scope) func(after *snapshot.RoleAssignment) assignments {
		return func(after *snapshot.RoleAssignment) assignments {
			return func(yield func(snapshot.RoleAssignment, error) bool) {
				for as, err := range r.RoleAssignmentsUnderAfter(tenant, scope, after) {
					if err == nil && as.Scope != scope || !yield(as, err) {
						return // the scope itself comes first
					}
				}
			}
		}
	}
	var parts []func(after *snapshot.RoleAssignment) assignments
	if f.of != nil && len(f.of) <= maxPage {
		return append(parts, func(after *snapshot.RoleAssignment) assignments { return f.ofPrincipals(scope, chain, after) })
	}
	under := func(scope authz.Scope) func(after *snapshot.RoleAssignment) assignments {
		return func(after *snapshot.RoleAssignment) assignments {
			return r.RoleAssignmentsUnderAfter(tenant, scope, after)
		}
	}
	if f.q.IncludeNestedScopes {
		parts = append(parts, under(scope))
		if _, named, err := authz.ParseScope(string(scope), f.k.a.foldCase); err == nil && named.Kind == authz.EnvironmentGroupScope {
			// Environments are not below their group by their text.
			parts = append(parts, func(after *snapshot.RoleAssignment) assignments {
				return f.inGroup(named.ID, after)
			})
		}
	} else {
		parts = append(parts, at(scope))
	}
	if f.q.IncludeParentScopes {
		for _, above := range chain[1:] {
			parts = append(parts, at(above))
		}
	}
	return parts
}

// inGroup yields what is assigned at and below the environments of a group.
func (f *assignmentFilter) inGroup(group string, after *snapshot.RoleAssignment) iter.Seq2[snapshot.RoleAssignment, error] {
	return func(yield func(snapshot.RoleAssignment, error) bool) {
		var scopes []authz.Scope
		for e, err := range f.k.r.Environments(f.k.tenant) {
			if err != nil {
				yield(snapshot.RoleAssignment{}, err)
				return
			}
			if e.Group == group {
				scopes = append(scopes, environmentScope(f.k.tenant, e.ID))
			}
		}
		slices.Sort(scopes)
		for _, scope := range scopes {
			from := after
			if after != nil {
				switch inside := withinText(after.Scope, scope); {
				case !inside && scope <= after.Scope:
					continue // all of it came before
				case !inside:
					from = nil
				}
			}
			for as, err := range f.k.r.RoleAssignmentsUnderAfter(f.k.tenant, scope, from) {
				if !yield(as, err) || err != nil {
					return
				}
			}
		}
	}
}

// withinText tells whether a scope's text is another's, or lies below it.
func withinText(scope, above authz.Scope) bool {
	return scope == above || len(scope) > len(above) && scope[:len(above)] == above && scope[len(above)] == '/'
}

// ofPrincipals yields what some principals are assigned, in the order of scopes.
func (f *assignmentFilter) ofPrincipals(scope authz.Scope, chain []authz.Scope, after *snapshot.RoleAssignment) iter.Seq2[snapshot.RoleAssignment, error] {
	return func(yield func(snapshot.RoleAssignment, error) bool) {
		var all []snapshot.RoleAssignment
		for _, p := range sortedPrincipals(f.of) {
			for as, err := range f.k.r.RoleAssignmentsOf(f.k.tenant, p) {
				if err != nil {
					yield(as, err)
					return
				}
				nested := f.q.IncludeNestedScopes && slices.Contains(f.k.a.chain(f.k.tree, f.k.tenant, as.Scope), scope)
				above := f.q.IncludeParentScopes && slices.Contains(chain, as.Scope)
				if as.Scope == scope || nested || above {
					all = append(all, as)
				}
			}
		}
		order := func(a, b *snapshot.RoleAssignment) int {
			if n := compareText(string(a.Scope), string(b.Scope)); n != 0 {
				return n
			}
			return compareText(a.ID, b.ID)
		}
		slices.SortFunc(all, func(a, b snapshot.RoleAssignment) int { return order(&a, &b) })
		for i := range all {
			if after != nil && order(&all[i], after) <= 0 {
				continue
			}
			if !yield(all[i], nil) {
				return
			}
		}
	}
}

// shows tells whether an assignment is asked for and may be seen.
func (f *assignmentFilter) shows(as *snapshot.RoleAssignment) bool {
	if f.of != nil && !f.of[as.Principal.Key()] {
		return false
	}
	if f.q.ShippedAllowOnly && !f.k.a.isPlain(as) {
		return false
	}
	if f.q.Permission != "" {
		role, _ := f.k.r.Role(f.k.tenant, as.RoleDefinitionID)
		covers := role.Grants(f.permission)
		if as.Effect != authz.AssignAllow {
			covers = role.Takes(f.permission)
		}
		if !covers {
			return false
		}
	}
	visible, known := f.visible[as.Scope]
	if !known {
		visible = f.k.holds(f.k.a.read, as.Scope)
		f.visible[as.Scope] = visible
	}
	return visible
}

func (f *assignmentFilter) definition(id string) (authz.RoleDefinition, bool, error) {
	for _, defs := range [][]authz.RoleDefinition{f.k.a.shipped, f.custom} {
		if i := slices.IndexFunc(defs, func(def authz.RoleDefinition) bool { return def.ID == id }); i >= 0 {
			return defs[i], true, nil
		}
	}
	return authz.RoleDefinition{}, false, nil
}

const maxChecked = 100

// CheckPrincipalPermissionForScope says which of the permissions a principal holds at a
// scope. Of others than the caller itself it needs Authorization.RoleAssignments.Read there.
func (a *Admin) CheckPrincipalPermissionForScope(ctx context.Context, c Caller, q CheckRequest) (CheckResult, error) {
	var result CheckResult
	err := a.question(ctx, c, "CheckPrincipalPermissionForScope", q.Tenant, func(k *asker) error {
		result = CheckResult{Revision: k.r.Revision()}
		scope, err := a.scope(k.tenant, "Scope", q.Scope)
		if err != nil {
			return err
		}
		p, err := a.principal("Principal", q.Principal, memberTypes...)
		if err != nil {
			return err
		}
		if len(q.Permissions) == 0 || len(q.Permissions) > maxChecked {
			return failf(Invalid, "Permissions", "", "name 1 to %d permissions", maxChecked)
		}
		own := k.subject != nil && k.subject.Principal().Key() == p.Key()
		if !own {
			if err := k.need(a.read, scope); err != nil {
				return err
			}
			if err := k.needTenant(); err != nil {
				return err
			}
		}
		chain, err := a.listed(k.tree, "Scope", scope)
		if err != nil && own {
			return a.forbidden(a.read, scope, authz.UnknownScope)
		}
		if err != nil {
			return err
		}
		grants, disabled, unknown, denials, err := k.holdingsOf(p, own)
		if err != nil {
			return err
		}
		for i, name := range q.Permissions {
			id, known := a.vocabulary.ID(name)
			if !known {
				return failf(Invalid, fmt.Sprintf("Permissions[%d]", i), "", "the catalogue knows no permission %q", name)
			}
			reason := authz.PrincipalDisabled
			if !disabled {
				reason = authz.Decide(grants, authz.Request{
					Permissions: []authz.PermissionID{id}, Chains: [][]authz.Scope{chain}, GroupsUnknown: unknown, GroupDenials: denials,
				}, k.now).Reason
			}
			result.Granted = append(result.Granted, PermissionGranted{a.vocabulary.Name(id), reason.Effect() == authz.Allow, reason})
		}
		return nil
	})
	if err != nil {
		return CheckResult{}, err
	}
	return result, nil
}

// holdingsOf returns what a decision about a principal reads. The groups of anybody but the
// caller are those that the directory lists.
func (k *asker) holdingsOf(p authz.Principal, own bool) (grants *authz.Grants, disabled, unknown bool, denials *authz.Grants, err error) {
	if own {
		return k.view.Grants, k.view.Disabled, k.unknown, k.denials, nil
	}
	s, err := newState(k.a, k.r, k.tenant)
	if err != nil {
		return nil, true, false, nil, err
	}
	held, err := s.held(p)
	if err != nil {
		return nil, true, false, nil, err
	}
	if disabled, err = s.disabled(p); err != nil {
		return nil, true, false, nil, err
	}
	return authz.NewGrants(held), disabled, false, nil, nil
}

// Groups lists the groups of the directory, by identifier. It needs
// Authorization.RoleAssignments.Read at the tenant, as all that follow do.
func (a *Admin) Groups(ctx context.Context, c Caller, tenant string, p Page) (List[Group], error) {
	var list List[Group]
	err := a.question(ctx, c, "Groups", tenant, func(k *asker) error {
		if err := k.tenantRead(a.read); err != nil {
			return err
		}
		groups, err := gather(k.r.Groups(k.tenant))
		if err != nil {
			return err
		}
		key := func(g snapshot.Group) string { return g.ID }
		found, err := pageOf(k, "Groups", nil, p, ordered(groups, key), key, always)
		if err != nil {
			return err
		}
		list = List[Group]{Next: found.Next, Revision: found.Revision}
		for _, g := range found.Items {
			list.Items = append(list.Items, shownGroup(k.tenant, g))
		}
		return nil
	})
	return list, err
}

// Group finds a group.
func (a *Admin) Group(ctx context.Context, c Caller, tenant, id string) (Group, authz.Revision, error) {
	var shown Group
	var revision authz.Revision
	err := a.question(ctx, c, "Group", tenant, func(k *asker) error {
		if err := k.tenantRead(a.read); err != nil {
			return err
		}
		revision = k.r.Revision()
		g, err := a.groupNamed(k, "ID", id)
		if err != nil {
			return err
		}
		shown = shownGroup(k.tenant, g)
		return nil
	})
	return shown, revision, err
}

func (a *Admin) groupNamed(k *asker, field, named string) (snapshot.Group, error) {
	id, err := a.objectID(field, named)
	if err != nil {
		return snapshot.Group{}, err
	}
	g, ok, err := k.r.Group(k.tenant, id)
	if err == nil && !ok {
		err = failf(NotFound, field, "", "there is no group %q", named)
	}
	return g, err
}

// Members lists the direct members of a group, by type and identifier.
func (a *Admin) Members(ctx context.Context, c Caller, tenant, group string, p Page) (List[authz.Principal], error) {
	var list List[authz.Principal]
	err := a.question(ctx, c, "Members", tenant, func(k *asker) error {
		if err := k.tenantRead(a.read); err != nil {
			return err
		}
		g, err := a.groupNamed(k, "Group", group)
		if err != nil {
			return err
		}
		list, err = pageOf(k, "Members", g.ID, p, ordered(g.Members, authz.Principal.String), authz.Principal.String, always)
		return err
	})
	return list, err
}

// Principals lists the principals of which something is known, by type and identifier.
func (a *Admin) Principals(ctx context.Context, c Caller, tenant string, p Page) (List[Principal], error) {
	var list List[Principal]
	err := a.question(ctx, c, "Principals", tenant, func(k *asker) error {
		if err := k.tenantRead(a.read); err != nil {
			return err
		}
		all, err := gather(k.r.Principals(k.tenant))
		if err != nil {
			return err
		}
		key := func(p snapshot.Principal) string { return p.String() }
		found, err := pageOf(k, "Principals", nil, p, ordered(all, key), key, always)
		if err != nil {
			return err
		}
		list = List[Principal]{Next: found.Next, Revision: found.Revision}
		for _, p := range found.Items {
			list.Items = append(list.Items, shownPrincipal(k.tenant, p))
		}
		return nil
	})
	return list, err
}

// Environments lists environments, by identifier; of one group, if it is named. Those at
// which the caller lacks Authorization.RoleAssignments.Read are left out.
func (a *Admin) Environments(ctx context.Context, c Caller, tenant, group string, p Page) (List[Environment], error) {
	var list List[Environment]
	err := a.question(ctx, c, "Environments", tenant, func(k *asker) error {
		id, at := "", k.root()
		var err error
		if group != "" {
			if id, err = a.pathID("Group", group); err != nil {
				return err
			}
			at = groupScope(k.tenant, id)
		}
		if err := k.need(a.read, at); err != nil {
			return err
		}
		if err := k.needTenant(); err != nil {
			return err
		}
		if group != "" {
			if _, err := a.listed(k.tree, "Group", at); err != nil {
				return err
			}
		}
		all, err := gather(k.r.Environments(k.tenant))
		if err != nil {
			return err
		}
		key := func(e Environment) string { return e.ID }
		list, err = pageOf(k, "Environments", id, p, ordered(all, key), key, func(e Environment) (bool, error) {
			return (id == "" || e.Group == id) && k.holds(a.read, environmentScope(k.tenant, e.ID)), nil
		})
		for i := range list.Items {
			e := &list.Items[i]
			e.Etag = etagOf(k.tenant, e.item())
		}
		return err
	})
	return list, err
}

// EnvironmentGroups lists the groups of environments, by identifier.
func (a *Admin) EnvironmentGroups(ctx context.Context, c Caller, tenant string, p Page) (List[string], error) {
	var list List[string]
	err := a.question(ctx, c, "EnvironmentGroups", tenant, func(k *asker) error {
		if err := k.tenantRead(a.read); err != nil {
			return err
		}
		all, err := k.r.EnvironmentGroups(k.tenant)
		if err != nil {
			return err
		}
		same := func(id string) string { return id }
		list, err = pageOf(k, "EnvironmentGroups", nil, p, ordered(all, same), same, func(id string) (bool, error) {
			return k.holds(a.read, groupScope(k.tenant, id)), nil
		})
		return err
	})
	return list, err
}

// readEnvironment returns the identifier of an environment whose parts the caller asks for: one
// that is listed, where the caller may read role assignments.
func (k *asker) readEnvironment(named string) (string, error) {
	id, err := k.a.pathID("Environment", named)
	if err != nil {
		return "", err
	}
	at := environmentScope(k.tenant, id)
	if err := k.need(k.a.read, at); err != nil {
		return "", err
	}
	if err := k.needTenant(); err != nil {
		return "", err
	}
	_, err = k.a.listed(k.tree, "Environment", at)
	return id, err
}

// BusinessUnits lists the business units of an environment, by identifier. It needs
// Authorization.RoleAssignments.Read at the environment.
func (a *Admin) BusinessUnits(ctx context.Context, c Caller, tenant, environment string, p Page) (List[BusinessUnit], error) {
	var list List[BusinessUnit]
	err := a.question(ctx, c, "BusinessUnits", tenant, func(k *asker) error {
		id, err := k.readEnvironment(environment)
		if err != nil {
			return err
		}
		units, err := k.r.BusinessUnits(k.tenant)
		if err != nil {
			return err
		}
		var shown []BusinessUnit
		for _, u := range units {
			if u.Environment == id {
				shown = append(shown, shownUnit(k.tenant, u))
			}
		}
		key := func(u BusinessUnit) string { return u.ID }
		list, err = pageOf(k, "BusinessUnits", id, p, ordered(shown, key), key, always)
		return err
	})
	return list, err
}

// Export returns all data, or that of one tenant. It needs an operator, or of the caller's
// own tenant Authorization.RoleAssignments.Read everywhere in it.
func (a *Admin) Export(ctx context.Context, c Caller, tenant string) (*snapshot.Data, authz.Revision, error) {
	named := ""
	err := a.question(ctx, c, "Export", tenant, func(k *asker) error {
		if named = k.tenant; named == "" {
			return nil
		}
		if err := k.needEverywhere(a.read); err != nil {
			return err
		}
		return k.needTenant()
	})
	if err != nil {
		return nil, authz.Revision{}, err
	}
	d, revision, err := a.store.Export(ctx)
	if err != nil {
		return nil, authz.Revision{}, a.failed(ctx, c, "Export", err)
	}
	if named != "" {
		d = &snapshot.Data{Tenants: slices.DeleteFunc(slices.Clone(d.Tenants), func(t snapshot.Tenant) bool { return t.ID != named })}
	}
	return d, revision, nil
}
