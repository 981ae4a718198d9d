package admin

import (
	"context"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func environmentScope(tenant, id string) authz.Scope {
	return authz.NamedScope{Kind: authz.EnvironmentScope, Environment: id}.In(tenant)
}

func groupScope(tenant, id string) authz.Scope {
	return authz.NamedScope{Kind: authz.EnvironmentGroupScope, ID: id}.In(tenant)
}

// parentScope is what an environment lies below: its group, or the tenant.
func parentScope(tenant, group string) authz.Scope {
	if group == "" {
		return rootOf(tenant)
	}
	return groupScope(tenant, group)
}

func (e *Environment) item() environmentItem { return environmentItem{e.ID, e.Dataverse, e.Group} }

func shownEnvironment(tenant string, e snapshot.Environment, group string) Environment {
	shown := Environment{ID: e.ID, Dataverse: e.Dataverse, Group: group}
	shown.Etag = etagOf(tenant, shown.item())
	return shown
}

// environment finds an environment.
func (t *txn) environment(id string) (Environment, bool, error) {
	old, group, exists, err := t.e.Environment(t.tenant, id)
	if err != nil || !exists {
		return Environment{ID: id}, false, err
	}
	return shownEnvironment(t.tenant, old, group), true, nil
}

// PutEnvironment makes an environment or changes one, also the group that it is in. It
// needs Authorization.RoleAssignments.Write at it and at its group, or at the tenant where
// it is in none; to move it, at both groups.
//
// With a database, what was assigned at the environment stays: its administrators have what
// they had, which is no data. Who makes things there becomes a user of it, with the security
// role that goes with that. A database that holds anything else is not taken away.
//
// An environment that is listed anew counts as one that lay directly below the tenant: who
// may assign roles in a group alone cannot pull environments into it.
func (a *Admin) PutEnvironment(ctx context.Context, c Caller, q PutEnvironmentRequest) (EnvironmentResult, error) {
	return mutate(ctx, a, c, "PutEnvironment", tokens, q, &q.Context, func(t *txn) (EnvironmentResult, error) {
		return t.putEnvironment(&q)
	})
}

func (t *txn) putEnvironment(q *PutEnvironmentRequest) (EnvironmentResult, error) {
	var none EnvironmentResult
	id, err := t.a.pathID("Environment.ID", q.Environment.ID)
	if err != nil {
		return none, err
	}
	group := ""
	if q.Environment.Group != "" {
		if group, err = t.a.pathID("Environment.Group", q.Environment.Group); err != nil {
			return none, err
		}
	}
	k, err := t.asker()
	if err != nil {
		return none, err
	}
	scope := environmentScope(t.tenant, id)
	// First what the message names; then what is stored, of which nothing may be told before.
	if err := k.need(t.a.write, scope, parentScope(t.tenant, group)); err != nil {
		return none, err
	}
	old, exists, err := t.environment(id)
	if err != nil {
		return none, err
	}
	if err := k.need(t.a.write, parentScope(t.tenant, old.Group)); err != nil {
		return none, err
	}
	if err := matches(q.Etag, old.Etag, exists); err != nil {
		return none, err
	}
	if group != "" {
		if _, err := t.a.listed(k.tree, "Environment.Group", groupScope(t.tenant, group)); err != nil {
			return none, err
		}
	}
	next := shownEnvironment(t.tenant, snapshot.Environment{ID: id, Dataverse: q.Environment.Dataverse}, group)
	if exists && next.Etag == old.Etag {
		return EnvironmentResult{Environment: next}, nil
	}
	about := touch{}
	if !exists || old.Group != group {
		about = t.moves(k, scope, append([]authz.Scope{scope}, t.a.chain(k.tree, t.tenant, parentScope(t.tenant, group))...))
	}
	if old.Dataverse != next.Dataverse {
		about.environments = []string{id}
	}
	t.at(scope, parentScope(t.tenant, old.Group), parentScope(t.tenant, group))
	err = t.apply(k, about, func() error {
		var before any
		if exists {
			before = old.item()
		}
		if old.Dataverse && !next.Dataverse {
			if err := t.unprovision(id); err != nil {
				return err
			}
		}
		if err := t.change("environments/"+id, scope, before, next.item()); err != nil {
			return err
		}
		if err := t.e.PutEnvironment(t.tenant, snapshot.Environment{ID: id, Dataverse: next.Dataverse}, group); err != nil {
			return err
		}
		if exists && next.Dataverse && !old.Dataverse {
			return t.provision(id)
		}
		return nil
	})
	return EnvironmentResult{Environment: next}, err
}

// moves is what a change is about that gives a scope another chain.
func (t *txn) moves(k *asker, scope authz.Scope, next []authz.Scope) touch {
	old := t.a.chain(k.tree, t.tenant, scope)
	return touch{everyone: true, moved: []authz.Scope{scope}, gifts: func(s *state) ([]gift, error) {
		return t.giftsOfMove(s, scope, old, next)
	}}
}

// DeleteEnvironment removes an environment, its business units and what is assigned at it
// and below. It needs Authorization.RoleAssignments.Delete at the environment, at its group
// or else the tenant, and at the scope of every assignment.
//
// The caller must gain nothing by it: what was denied to it there, or in the group that the
// environment is in, it would escape if the environment were listed anew.
func (a *Admin) DeleteEnvironment(ctx context.Context, c Caller, q DeleteEnvironmentRequest) (EnvironmentResult, error) {
	return mutate(ctx, a, c, "DeleteEnvironment", tokens, q, &q.Context, func(t *txn) (EnvironmentResult, error) {
		return t.deleteEnvironment(&q)
	})
}

func (t *txn) deleteEnvironment(q *DeleteEnvironmentRequest) (EnvironmentResult, error) {
	var none EnvironmentResult
	id, err := t.a.pathID("ID", q.ID)
	if err != nil {
		return none, err
	}
	k, err := t.asker()
	if err != nil {
		return none, err
	}
	scope := environmentScope(t.tenant, id)
	if err := k.need(t.a.remove, scope); err != nil {
		return none, err
	}
	old, exists, err := t.environment(id)
	if err != nil {
		return none, err
	}
	parent := parentScope(t.tenant, old.Group)
	if err := k.need(t.a.remove, parent); err != nil {
		return none, err
	}
	if !exists {
		return none, failf(NotFound, "ID", "", "there is no environment %q", q.ID)
	}
	if err := matches(q.Etag, old.Etag, true); err != nil {
		return none, err
	}
	assigned, err := t.assignedUnder(k, scope)
	if err != nil {
		return none, err
	}
	units, err := t.units(id)
	if err != nil {
		return none, err
	}
	t.at(scope, parent)
	if err := t.removeWith(k, assigned); err != nil {
		return none, err
	}
	err = t.apply(k, t.moves(k, scope, []authz.Scope{scope, rootOf(t.tenant)}), func() error {
		if err := t.removeItems(id); err != nil {
			return err
		}
		for _, u := range childrenFirst(units) {
			if err := t.change(unitTarget(&u), scope, unitItem{u.ID, u.Environment, u.Parent}, nil); err != nil {
				return err
			}
			if err := t.e.RemoveBusinessUnit(t.tenant, u.Environment, u.ID); err != nil {
				return err
			}
		}
		if err := t.change("environments/"+id, scope, old.item(), nil); err != nil {
			return err
		}
		return t.e.RemoveEnvironment(t.tenant, id)
	})
	return EnvironmentResult{Environment: old}, err
}

// CreateEnvironmentGroup makes a group of environments. It needs
// Authorization.RoleAssignments.Write at the tenant and at the group.
func (a *Admin) CreateEnvironmentGroup(ctx context.Context, c Caller, q EnvironmentGroupRequest) (EnvironmentGroupResult, error) {
	return mutate(ctx, a, c, "CreateEnvironmentGroup", tokens, q, &q.Context, func(t *txn) (EnvironmentGroupResult, error) {
		if q.ID == "" {
			q.ID = newID()
		}
		k, id, exists, err := t.environmentGroup(t.a.write, q.ID)
		if err != nil {
			return EnvironmentGroupResult{}, err
		}
		if exists {
			return EnvironmentGroupResult{}, failf(Duplicate, "ID", "", "there is an environment group %q already", id)
		}
		scope := groupScope(t.tenant, id)
		err = t.apply(k, touch{moved: []authz.Scope{scope}}, func() error {
			if err := t.change("environmentGroups/"+id, scope, nil, idItem{id}); err != nil {
				return err
			}
			return t.e.PutEnvironmentGroup(t.tenant, id)
		})
		return EnvironmentGroupResult{ID: id}, err
	})
}

// environmentGroup finds a group of environments that the caller may change.
func (t *txn) environmentGroup(permission authz.PermissionID, named string) (*asker, string, bool, error) {
	id, err := t.a.pathID("ID", named)
	if err != nil {
		return nil, "", false, err
	}
	k, err := t.asker()
	if err != nil {
		return nil, "", false, err
	}
	if err := k.need(permission, k.root(), groupScope(t.tenant, id)); err != nil {
		return nil, "", false, err
	}
	all, err := t.e.EnvironmentGroups(t.tenant)
	return k, id, slices.Contains(all, id), err
}

// DeleteEnvironmentGroup removes a group of environments that is empty, with what is
// assigned at it. It needs Authorization.RoleAssignments.Delete at the tenant and at the
// group.
func (a *Admin) DeleteEnvironmentGroup(ctx context.Context, c Caller, q EnvironmentGroupRequest) (EnvironmentGroupResult, error) {
	return mutate(ctx, a, c, "DeleteEnvironmentGroup", tokens, q, &q.Context, func(t *txn) (EnvironmentGroupResult, error) {
		k, id, exists, err := t.environmentGroup(t.a.remove, q.ID)
		if err != nil {
			return EnvironmentGroupResult{}, err
		}
		if !exists {
			return EnvironmentGroupResult{}, failf(NotFound, "ID", "", "there is no environment group %q", q.ID)
		}
		for e, err := range t.e.Environments(t.tenant) {
			if err != nil {
				return EnvironmentGroupResult{}, err
			}
			if e.Group == id {
				return EnvironmentGroupResult{}, failf(InUse, "ID", "move them out of it first", "the environment group %q has environments, %q among them", id, e.ID)
			}
		}
		scope := groupScope(t.tenant, id)
		assigned, err := t.assignedUnder(k, scope)
		if err != nil {
			return EnvironmentGroupResult{}, err
		}
		if err := t.removeWith(k, assigned); err != nil {
			return EnvironmentGroupResult{}, err
		}
		err = t.apply(k, touch{moved: []authz.Scope{scope}}, func() error {
			if err := t.change("environmentGroups/"+id, scope, idItem{id}, nil); err != nil {
				return err
			}
			return t.e.RemoveEnvironmentGroup(t.tenant, id)
		})
		return EnvironmentGroupResult{ID: id}, err
	})
}

func unitScope(tenant, environment, id string) authz.Scope {
	return authz.NamedScope{Kind: authz.BusinessUnitScope, Environment: environment, ID: id}.In(tenant)
}

func unitTarget(u *authz.BusinessUnit) string {
	return "environments/" + u.Environment + "/businessUnits/" + u.ID
}

func shownUnit(tenant string, u authz.BusinessUnit) BusinessUnit {
	return BusinessUnit{u, etagOf(tenant, unitItem{u.ID, u.Environment, u.Parent})}
}

// units are the business units of an environment.
func (t *txn) units(environment string) ([]authz.BusinessUnit, error) {
	all, err := t.e.BusinessUnits(t.tenant)
	return slices.DeleteFunc(all, func(u authz.BusinessUnit) bool { return u.Environment != environment }), err
}

// editedUnit finds a business unit that is to be edited, and checks that the caller has the
// permission for it at the environment and at the business unit.
func (t *txn) editedUnit(permission authz.PermissionID, environment, named string) (*asker, authz.BusinessUnit, []authz.BusinessUnit, bool, error) {
	var u authz.BusinessUnit
	var err error
	if u.Environment, err = t.a.pathID("BusinessUnit.Environment", environment); err != nil {
		return nil, u, nil, false, err
	}
	if u.ID, err = t.a.pathID("BusinessUnit.ID", named); err != nil {
		return nil, u, nil, false, err
	}
	k, err := t.asker()
	if err != nil {
		return nil, u, nil, false, err
	}
	at := environmentScope(t.tenant, u.Environment)
	if err := k.needFor(permission, anySecurityRole, at, unitScope(t.tenant, u.Environment, u.ID)); err != nil {
		return nil, u, nil, false, err
	}
	if _, err := t.a.listed(k.tree, "BusinessUnit.Environment", at); err != nil {
		return nil, u, nil, false, err
	}
	units, err := t.units(u.Environment)
	i := slices.IndexFunc(units, func(other authz.BusinessUnit) bool { return other.ID == u.ID })
	if i >= 0 {
		u = units[i]
	}
	return k, u, units, i >= 0, err
}

// PutBusinessUnit makes a business unit or gives it another parent. It needs
// Authorization.RoleAssignments.Write at the environment, at the business unit and at the
// parent.
func (a *Admin) PutBusinessUnit(ctx context.Context, c Caller, q PutBusinessUnitRequest) (BusinessUnitResult, error) {
	return mutate(ctx, a, c, "PutBusinessUnit", tokens, q, &q.Context, func(t *txn) (BusinessUnitResult, error) {
		return t.putBusinessUnit(&q)
	})
}

func (t *txn) putBusinessUnit(q *PutBusinessUnitRequest) (BusinessUnitResult, error) {
	var none BusinessUnitResult
	k, old, units, exists, err := t.editedUnit(t.a.write, q.BusinessUnit.Environment, q.BusinessUnit.ID)
	if err != nil {
		return none, err
	}
	next := old
	next.Parent = ""
	above := environmentScope(t.tenant, old.Environment)
	if q.BusinessUnit.Parent != "" {
		if next.Parent, err = t.a.pathID("BusinessUnit.Parent", q.BusinessUnit.Parent); err != nil {
			return none, err
		}
		above = unitScope(t.tenant, old.Environment, next.Parent)
		if err := k.needFor(t.a.write, anySecurityRole, above); err != nil {
			return none, err
		}
		if next.Parent != old.ID {
			if _, err := t.a.listed(k.tree, "BusinessUnit.Parent", above); err != nil {
				return none, err
			}
		}
		if err := unitCircle(units, next); err != nil {
			return none, err
		}
	}
	shown := shownUnit(t.tenant, old)
	if err := matches(q.Etag, shown.Etag, exists); err != nil {
		return none, err
	}
	if exists && next == old {
		return BusinessUnitResult{BusinessUnit: shown}, nil
	}
	scope := unitScope(t.tenant, next.Environment, next.ID)
	t.at(environmentScope(t.tenant, next.Environment), above)
	chain := append([]authz.Scope{scope}, t.a.chain(k.tree, t.tenant, above)...)
	if err := t.needInherited(k, t.a.chain(k.tree, t.tenant, scope), chain); err != nil {
		return none, err
	}
	about := t.moves(k, scope, chain)
	about.environments = []string{next.Environment}
	err = t.apply(k, about, func() error {
		var before any
		if exists {
			before = unitItem{old.ID, old.Environment, old.Parent}
		}
		if err := t.change(unitTarget(&next), scope, before, unitItem{next.ID, next.Environment, next.Parent}); err != nil {
			return err
		}
		return t.e.PutBusinessUnit(t.tenant, next)
	})
	return BusinessUnitResult{BusinessUnit: shownUnit(t.tenant, next)}, err
}

// needInherited checks that the caller may assign every role that a scope comes to inherit
// from, or no longer does: by a right that is limited one cannot hand out other roles.
func (t *txn) needInherited(k *asker, old, next []authz.Scope) error {
	for _, chains := range [][2][]authz.Scope{{old, next}, {next, old}} {
		for _, above := range chains[0] {
			if slices.Contains(chains[1], above) || k.holds(t.a.write, above) {
				continue
			}
			for as, err := range t.e.RoleAssignmentsAt(t.tenant, above) {
				if err != nil {
					return err
				}
				if err := t.needPlaces(k, t.a.write, []place{{above, as.RoleDefinitionID}}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// childrenFirst orders business units so that none comes before one that lies below it.
func childrenFirst(units []authz.BusinessUnit) []authz.BusinessUnit {
	parents := make(map[string]string, len(units))
	for _, u := range units {
		parents[u.ID] = u.Parent
	}
	depth := func(id string) int {
		n := 0
		for at := parents[id]; at != "" && n <= len(units); at = parents[at] {
			n++
		}
		return n
	}
	ordered := slices.Clone(units)
	slices.SortStableFunc(ordered, func(a, b authz.BusinessUnit) int { return depth(b.ID) - depth(a.ID) })
	return ordered
}

// unitCircle refuses a parent that lies below the business unit.
func unitCircle(units []authz.BusinessUnit, next authz.BusinessUnit) error {
	parents := make(map[string]string, len(units))
	for _, u := range units {
		parents[u.ID] = u.Parent
	}
	way := []string{next.ID}
	for at := next.Parent; at != ""; at = parents[at] {
		way = append(way, at)
		if at == next.ID {
			return failf(Circle, "BusinessUnit.Parent", "choose another parent", "business units would lie below each other in a circle: %s", strings.Join(way, " below "))
		}
		if len(way) > len(units)+1 {
			break
		}
	}
	return nil
}

// DeleteBusinessUnit removes a business unit that has no children, with what is assigned
// at it. It needs Authorization.RoleAssignments.Delete at the environment and at the
// business unit.
func (a *Admin) DeleteBusinessUnit(ctx context.Context, c Caller, q DeleteBusinessUnitRequest) (BusinessUnitResult, error) {
	return mutate(ctx, a, c, "DeleteBusinessUnit", tokens, q, &q.Context, func(t *txn) (BusinessUnitResult, error) {
		k, old, units, exists, err := t.editedUnit(t.a.remove, q.Environment, q.ID)
		if err != nil {
			return BusinessUnitResult{}, err
		}
		if !exists {
			return BusinessUnitResult{}, failf(NotFound, "ID", "", "environment %q has no business unit %q", q.Environment, q.ID)
		}
		shown := shownUnit(t.tenant, old)
		if err := matches(q.Etag, shown.Etag, true); err != nil {
			return BusinessUnitResult{}, err
		}
		for _, u := range units {
			if u.Parent == old.ID {
				return BusinessUnitResult{}, failf(InUse, "ID", "remove or move it first", "the business unit %q lies below it", u.ID)
			}
		}
		scope := unitScope(t.tenant, old.Environment, old.ID)
		assigned, err := t.assignedUnder(k, scope)
		if err != nil {
			return BusinessUnitResult{}, err
		}
		if err := t.removeWith(k, assigned); err != nil {
			return BusinessUnitResult{}, err
		}
		about := t.moves(k, scope, append([]authz.Scope{scope}, t.a.chain(k.tree, t.tenant, environmentScope(t.tenant, old.Environment))...))
		about.environments = []string{old.Environment}
		err = t.apply(k, about, func() error {
			if err := t.change(unitTarget(&old), scope, unitItem{old.ID, old.Environment, old.Parent}, nil); err != nil {
				return err
			}
			return t.e.RemoveBusinessUnit(t.tenant, old.Environment, old.ID)
		})
		return BusinessUnitResult{BusinessUnit: shown}, err
	})
}
