package admin

import (
	"context"
	"slices"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// ReaderOf gives what a [snapshot.Reader] reads the form that administration reads.
func ReaderOf(r *snapshot.Reader) Reader { return snapshotReader{r} }

// A Reading says what a caller may read of a tenant, as decided from one state of the store.
// It is valid as long as the [Reader] that it was made from.
type Reading struct{ k *asker }

// Reading finds out what the caller may read of the tenant; empty: the caller's own. It
// refuses a tenant that is not the caller's, and whoever is nobody.
func (a *Admin) Reading(r Reader, c Caller, tenant string) (*Reading, error) {
	tenant, err := a.tenantOf(c, tenant, both)
	if err != nil {
		return nil, err
	}
	k, err := a.asker(r, c, tenant)
	if err != nil {
		return nil, err
	}
	return &Reading{k}, nil
}

// Tenant is the tenant that is read; empty for an operator that named none.
func (x *Reading) Tenant() string { return x.k.tenant }

// May tells whether the caller may read the role assignments at a scope.
func (x *Reading) May(scope authz.Scope) bool { return x.k.holds(x.k.a.read, scope) }

// NeedRoleAssignments fails unless the caller may read the role assignments at the scopes.
func (x *Reading) NeedRoleAssignments(scopes ...authz.Scope) error {
	return x.k.need(x.k.a.read, scopes...)
}

// NeedEverywhere fails unless the caller may read the role assignments at the tenant and at
// every scope below it.
func (x *Reading) NeedEverywhere() error { return x.k.needEverywhere(x.k.a.read) }

// Scope reads a scope of the tenant that a request names; empty is the tenant.
func (x *Reading) Scope(field, text string) (authz.Scope, error) {
	return x.k.a.scope(x.k.tenant, field, text)
}

// IsSelf tells whether the caller asks about itself: the same principal of the same tenant,
// with no more groups and directory roles than its own credentials name.
func (c Caller) IsSelf(about *authz.Subject) bool {
	if c.Kind != Token || c.Subject == nil || about == nil {
		return false
	}
	own := c.Subject
	return own.Tenant() == about.Tenant() && own.Principal().Key() == about.Principal().Key() &&
		within(about.Groups(), own.Groups()) && within(about.DirectoryRoles(), own.DirectoryRoles())
}

// within tells whether all of some identifiers are among others, which are sorted.
func within(some, others []string) bool {
	for _, id := range some {
		if _, ok := slices.BinarySearch(others, id); !ok {
			return false
		}
	}
	return true
}

// Refused turns any error of a question into one for the caller, and logs what is for the
// operator.
func (a *Admin) Refused(ctx context.Context, c Caller, action string, err error) error {
	return a.failed(ctx, c, action, err)
}
