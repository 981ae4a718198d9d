package snapshot

import (
	"errors"
	"fmt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// An Edit changes what is held, within one transaction, and reads what was changed so
// far. It is valid until the function that it was given to returns, and not for
// concurrent use.
//
// What it refuses is an [ErrInvalid] that names what is wrong, and leaves everything as
// it was before that call. Some of what is put is checked against the rest at the end, so
// that order means nothing: parents of business units, and environments that business
// units name. Any other error ends the change: nothing of it will be kept.
//
// Identifiers must be in their one spelling; whoever puts them has seen to that.
type Edit struct {
	Reader
	base *Snapshot
	next authz.Revision
}

// Base is what is in force before the change; it is never nil, and knows no tenant where
// nothing is in force yet.
func (e *Edit) Base() *Snapshot { return e.base }

// Next is the revision that the change will have, if it changes anything.
func (e *Edit) Next() authz.Revision { return e.next }

// check collects what is wrong with a thing that is to be put into a tenant.
func (e *Edit) check(tenant string, with func(p *problems)) error {
	p := &problems{}
	if _, ok := e.Tenant(tenant); !ok {
		p.addf("tenant %q does not exist", tenant)
	}
	with(p)
	return p.err()
}

func (e *Edit) put(sec section, key, payload []byte) error {
	return e.in(func() error { return e.writer.put(sec, key, payload) })
}

// remove removes a record and tells whether there was one.
func (e *Edit) remove(sec section, key []byte) (there bool, err error) {
	err = e.in(func() error {
		bucket, err := e.bucket(sec)
		if err != nil {
			return err
		}
		if there = bucket.Get(key) != nil; !there {
			return nil
		}
		return e.writer.put(sec, key, nil)
	})
	return there && err == nil, err
}

// PutTenant makes a tenant, or changes whether its directory is complete.
func (e *Edit) PutTenant(id string, directoryComplete bool) error {
	p := &problems{}
	p.identifier(id, "the tenant", id)
	if err := p.err(); err != nil {
		return err
	}
	return e.put(tenantSection, appendPart(nil, id), appendTenant(nil, directoryComplete))
}

// PutRoleAssignment makes a role assignment, or replaces the one with its identifier. Its
// role must exist.
func (e *Edit) PutRoleAssignment(tenant string, a RoleAssignment) error {
	err := e.check(tenant, func(p *problems) {
		checkAssignment(p, tenant, authz.NamedScope{Kind: authz.TenantScope}.In(tenant), &a)
		if _, ok := e.Role(tenant, a.RoleDefinitionID); !ok {
			p.addf("tenant %q: role assignment %q names the role definition %q, which does not exist", tenant, a.ID, a.RoleDefinitionID)
		}
	})
	if err != nil {
		return err
	}
	return e.put(roleAssignmentSection, appendPart(appendPart(nil, tenant), a.ID), appendRoleAssignment(nil, &a))
}

// RemoveRoleAssignment removes a role assignment and tells whether there was one.
func (e *Edit) RemoveRoleAssignment(tenant, id string) (bool, error) {
	return e.remove(roleAssignmentSection, appendPart(appendPart(nil, tenant), id))
}

// PutRoleDefinition makes a custom role, or changes the one with its identifier for all
// who were assigned it. A role of an environment is a security role of its database, and
// names tables that are declared there. What was assigned must still be assignable.
func (e *Edit) PutRoleDefinition(tenant string, def authz.RoleDefinition) error {
	def = canonicalRole(def)
	err := e.check(tenant, func(p *problems) {
		p.identifier(tenant, "a role definition", def.ID)
		p.customRole(tenant, &def)
		if _, err := e.store.compiler.role(def); err != nil {
			p.addf("tenant %q: %w", tenant, err)
		}
	})
	if err == nil {
		err = e.checkRole(tenant, &def)
	}
	if err != nil {
		return err
	}
	return e.put(roleDefinitionSection, appendPart(appendPart(nil, tenant), def.ID), appendRoleDefinition(nil, &def))
}

// RemoveRoleDefinition removes a custom role and tells whether there was one. It is
// refused while role assignments name it.
func (e *Edit) RemoveRoleDefinition(tenant, id string) (bool, error) {
	n, err := e.RoleUse(tenant, id)
	if err != nil {
		return false, err
	}
	key := appendPart(appendPart(nil, tenant), id)
	if n > 0 {
		_, ok, err := e.RoleDefinition(tenant, id)
		if err != nil || !ok {
			return false, err
		}
		return false, fmt.Errorf("%w: tenant %q: %d role assignments name the role definition %q", ErrInUse, tenant, n, id)
	}
	return e.remove(roleDefinitionSection, key)
}

// PutEnvironment makes an environment, or changes it; group is the environment group that
// it is in from now on, which must exist, or empty. The database of one cannot be taken away
// while it holds anything, or security roles are assigned there.
func (e *Edit) PutEnvironment(tenant string, environment Environment, group string) error {
	known := true
	if group != "" {
		var err error
		if known, err = e.EnvironmentGroup(tenant, group); err != nil {
			return err
		}
	}
	err := e.check(tenant, func(p *problems) {
		p.identifier(tenant, "an environment", environment.ID)
		if !known {
			p.addf("tenant %q: environment %q is in the environment group %q, which does not exist", tenant, environment.ID, group)
		}
	})
	if err != nil {
		return err
	}
	if !environment.Dataverse {
		if old, _, ok, err := e.EnvironmentOf(tenant, environment.ID); err != nil {
			return err
		} else if ok && old.Dataverse {
			if err := e.withoutDatabase(tenant, environment.ID); err != nil {
				return err
			}
		}
	}
	record := environmentRecord{id: environment.ID, group: group, dataverse: environment.Dataverse}
	return e.put(environmentSection, appendPart(appendPart(nil, tenant), environment.ID), appendEnvironment(nil, record))
}

// RemoveEnvironment removes an environment and tells whether there was one. What it holds
// must be removed before (see [Reader.ItemsOf]), its business units in the same change. Role
// assignments at its scopes stay; nothing inherits from them.
func (e *Edit) RemoveEnvironment(tenant, id string) (bool, error) {
	p := &problems{}
	if err := errors.Join(e.left(p, tenant, id), inUse(p)); err != nil {
		return false, err
	}
	return e.remove(environmentSection, appendPart(appendPart(nil, tenant), id))
}

// PutEnvironmentGroup makes an environment group, unless it is there.
func (e *Edit) PutEnvironmentGroup(tenant, id string) error {
	err := e.check(tenant, func(p *problems) { p.identifier(tenant, "an environment group", id) })
	if err != nil {
		return err
	}
	return e.put(environmentGroupSection, appendPart(appendPart(nil, tenant), id), appendEmpty(nil))
}

// RemoveEnvironmentGroup removes an environment group and tells whether there was one. It
// is refused while environments are in it. Role assignments at it stay.
func (e *Edit) RemoveEnvironmentGroup(tenant, id string) (bool, error) {
	if ok, err := e.EnvironmentGroup(tenant, id); err != nil || !ok {
		return false, err
	}
	for environment, err := range e.Environments(tenant) {
		if err != nil {
			return false, err
		}
		if environment.Group == id {
			return false, fmt.Errorf("%w: tenant %q: environment %q is in the environment group %q: take it out first", ErrInUse, tenant, environment.ID, id)
		}
	}
	return e.remove(environmentGroupSection, appendPart(appendPart(nil, tenant), id))
}

// PutBusinessUnit makes a business unit of an environment, or moves it below another. A
// second root is refused while users, teams or roles name no business unit, which means the
// root.
func (e *Edit) PutBusinessUnit(tenant string, unit authz.BusinessUnit) error {
	err := e.check(tenant, func(p *problems) {
		p.identifier(tenant, "a business unit", unit.ID)
		p.identifier(tenant, "a business unit's environment", unit.Environment)
	})
	if err == nil {
		err = e.oneRoot(tenant, unit)
	}
	if err != nil {
		return err
	}
	return e.put(businessUnitSection, appendPart(appendPart(appendPart(nil, tenant), unit.Environment), unit.ID), appendBusinessUnit(nil, unit.Parent))
}

// RemoveBusinessUnit removes a business unit and tells whether there was one. Those below
// it must be removed or moved in the same change; it is refused while users, teams or roles
// are in it.
func (e *Edit) RemoveBusinessUnit(tenant, environment, id string) (bool, error) {
	p := &problems{}
	if err := errors.Join(e.unitUsers(p, tenant, environment, id), inUse(p)); err != nil {
		return false, err
	}
	return e.remove(businessUnitSection, appendPart(appendPart(appendPart(nil, tenant), environment), id))
}

// PutPrincipal lists a principal, or changes what is known about it.
func (e *Edit) PutPrincipal(tenant string, x Principal) error {
	x = canonicalPrincipal(x)
	err := e.check(tenant, func(p *problems) { p.listed(tenant, &x) })
	if err != nil {
		return err
	}
	return e.put(principalSection, appendPrincipalPart(appendPart(nil, tenant), x.Principal), appendPrincipalRecord(nil, &x))
}

// RemovePrincipal removes what is known about a principal, that it is disabled and who owns
// it included, and tells whether it was listed. What it holds, owns and belongs to stays.
func (e *Edit) RemovePrincipal(tenant string, p authz.Principal) (bool, error) {
	return e.remove(principalSection, appendPrincipalPart(appendPart(nil, tenant), p))
}

// PutGroup lists a group with all its members and owners, or changes it. It costs as much
// as the group has of them.
func (e *Edit) PutGroup(tenant string, g Group) error {
	g = canonicalGroup(g)
	err := e.check(tenant, func(p *problems) { p.group(tenant, &g) })
	if err != nil {
		return err
	}
	return e.put(groupSection, appendPart(appendPart(nil, tenant), g.ID), appendGroup(nil, &g))
}

// RemoveGroup removes a group, all memberships in it and who owns it, and tells whether it
// was listed. What the group itself holds, owns and belongs to stays, for tokens may name it.
func (e *Edit) RemoveGroup(tenant, id string) (bool, error) {
	return e.remove(groupSection, appendPart(appendPart(nil, tenant), id))
}
