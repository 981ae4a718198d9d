package snapshot

import (
	"iter"
	"slices"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// What follows begins behind an item, which need no longer exist, so that pages can be cut
// of what is too long for one. With no item it begins at the first.

// behind is the first key that is above that of an item with the identifier, which follows
// the prefix in the key; of none it is the prefix.
func behind(prefix []byte, id string) []byte {
	if id == "" {
		return prefix
	}
	return append(appendPart(slices.Clone(prefix), id), 0)
}

// AllowedAtAfter yields the role assignments at exactly the scope that allow, in the order
// of their keys, from behind the one with the identifier on. It reads no others.
func (r *Reader) AllowedAtAfter(tenant string, scope authz.Scope, id string) iter.Seq2[RoleAssignment, error] {
	prefix := append(appendPart(appendPart(nil, tenant), string(scope)), byte(authz.AssignAllow))
	return r.named(tenant, eachFrom(r, scopeSection, prefix, behind(prefix, id), func(key *keyReader, payload string) (string, error) {
		return key.part(), readEmpty(scopeSection, payload)
	}))
}

// EnvironmentsAfter is [Reader.Environments] from behind the one with the identifier on.
func (r *Reader) EnvironmentsAfter(tenant, id string) iter.Seq2[PlacedEnvironment, error] {
	prefix := appendPart(nil, tenant)
	return eachFrom(r, environmentSection, prefix, behind(prefix, id), func(key *keyReader, payload string) (PlacedEnvironment, error) {
		e, err := readEnvironment(key.part(), payload)
		return PlacedEnvironment{Environment{ID: e.id, Dataverse: e.dataverse}, e.group}, err
	})
}

// EnvironmentGroupsAfter is [Reader.EnvironmentGroups] from behind the one with the
// identifier on.
func (r *Reader) EnvironmentGroupsAfter(tenant, id string) iter.Seq2[string, error] {
	prefix := appendPart(nil, tenant)
	return eachFrom(r, environmentGroupSection, prefix, behind(prefix, id), func(key *keyReader, payload string) (string, error) {
		return key.part(), readEmpty(environmentGroupSection, payload)
	})
}

// BusinessUnitsOf yields the business units of one environment, in the order of their keys,
// from behind the one with the identifier on.
func (r *Reader) BusinessUnitsOf(tenant, environment, id string) iter.Seq2[authz.BusinessUnit, error] {
	prefix := appendPart(appendPart(nil, tenant), environment)
	return eachFrom(r, businessUnitSection, prefix, behind(prefix, id), func(key *keyReader, payload string) (authz.BusinessUnit, error) {
		unit := authz.BusinessUnit{Environment: environment, ID: key.part()}
		var err error
		unit.Parent, err = readBusinessUnit(payload)
		return unit, err
	})
}

// CompareIdentifiers orders identifiers as they are ordered in the file.
func CompareIdentifiers(a, b string) int { return compareParts(a, b) }

// ComparePrincipals orders principals as they are ordered in the file: by type, then by
// identifier. The members of a group are in this order.
func ComparePrincipals(a, b authz.Principal) int { return comparePrincipals(a, b) }
