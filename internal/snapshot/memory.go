package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Snapshot is what decisions are taken from at one revision. It is immutable and safe
// for concurrent use.
type Snapshot struct {
	revision authz.Revision
	// generation is raised whenever what cached views were read from is replaced as a
	// whole: another file, another epoch, or a change that did not end as it should.
	generation uint64
	slots      *slotTable
	file       *dbFile
	state      state
	tenants    map[string]*TenantView
}

// Revision names the state that the snapshot is of.
func (s *Snapshot) Revision() authz.Revision { return s.revision }

// Written is when the revision was written.
func (s *Snapshot) Written() time.Time { return time.UnixMicro(s.state.written) }

// DataSum is a hash of all that was delivered or changed, without the change log and the
// notes: equal for equal data, in whatever order it came about.
func (s *Snapshot) DataSum() [32]byte { return s.state.contents.dataSum() }

// Tenant returns what is known of a tenant; nil where the tenant is unknown. The
// identifier is in its one spelling.
func (s *Snapshot) Tenant(id string) *TenantView { return s.tenants[id] }

// Tenants returns the identifiers of all tenants, sorted.
func (s *Snapshot) Tenants() []string {
	ids := make([]string, 0, len(s.tenants))
	for id := range s.tenants {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// EmptyHierarchy returns the scopes of a tenant that the snapshot does not list: the
// tenant itself, and under UnknownScopesAtTenant whatever is named.
func (s *Store) EmptyHierarchy(tenant string) *authz.Hierarchy {
	h, err := authz.NewHierarchy(authz.HierarchySpec{Tenant: tenant, UnknownScopesAtTenant: s.options.UnknownScopesAtTenant})
	if err != nil {
		return nil // which knows no scope
	}
	return h
}

// A TenantView is what is small of one tenant: all but its principals, groups and role
// assignments. It is immutable and safe for concurrent use. A nil TenantView knows nothing.
type TenantView struct {
	// number is the revision at which the tenant's roles or scopes last changed.
	number            uint64
	directoryComplete bool
	hierarchy         *authz.Hierarchy
	definitions       []authz.RoleDefinition
	roles             map[string]*authz.Role // the tenant's own, besides the shipped ones
	shipped           map[string]*authz.Role
	denials           *authz.Grants
	databases         map[string]*database // of the environments that have one
}

// Hierarchy says which scope of the tenant inherits from which.
func (t *TenantView) Hierarchy() *authz.Hierarchy {
	if t == nil {
		return nil
	}
	return t.hierarchy
}

// DirectoryComplete tells whether the tenant's groups and their members are all known.
func (t *TenantView) DirectoryComplete() bool { return t != nil && t.directoryComplete }

// GroupDenials are the DENY and FORBID assignments of all groups of the tenant, for
// callers whose groups could not be learnt.
func (t *TenantView) GroupDenials() *authz.Grants {
	if t == nil {
		return nil
	}
	return t.denials
}

// RoleDefinitions returns the tenant's custom roles, by identifier. The caller must not
// change them.
func (t *TenantView) RoleDefinitions() []authz.RoleDefinition {
	if t == nil {
		return nil
	}
	return t.definitions
}

// Role finds a role, custom or shipped, by its identifier; nil where there is none.
func (t *TenantView) Role(id string) *authz.Role {
	if t == nil {
		return nil
	}
	if role := t.roles[id]; role != nil {
		return role
	}
	return t.shipped[id]
}

// The table of slots.
const slotCount = 1 << 16

// A slotTable holds, for each principal by a hash of its key, the number of the last
// revision that changed what it holds. Principals that share a slot are refreshed
// together, which costs a read and is never wrong.
type slotTable [slotCount]atomic.Uint64

// A compiler turns what is stored of a tenant into a TenantView.
type compiler struct {
	vocabulary *authz.Vocabulary
	shipped    map[string]*authz.Role
	security   map[string]*authz.RoleDefinition // the shipped security roles
	named      map[string]*authz.RoleDefinition // those of packs, by the keys of names and aliases
	tables     []authz.Table                    // those that every database has
	unknownOK  bool
}

func newCompiler(o *Options) (*compiler, error) {
	c := &compiler{
		vocabulary: o.Vocabulary, shipped: make(map[string]*authz.Role, len(o.ShippedRoles)), security: map[string]*authz.RoleDefinition{},
		named:  map[string]*authz.RoleDefinition{},
		tables: o.StandardTables, unknownOK: o.UnknownScopesAtTenant,
	}
	db, err := authz.NewDatabase(authz.DatabaseSpec{Tables: o.StandardTables})
	errs := []error{err}
	for _, def := range o.ShippedRoles {
		role, err := o.Vocabulary.CompileShipped(def)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.shipped[def.ID] = role
		if def.Pack != "" {
			for _, name := range append([]string{def.Name}, def.Aliases...) {
				c.named[authz.RoleNameKey(name)] = &def
			}
		}
		if def.IsSecurityRole() {
			_, err := db.CompileShipped(def)
			errs = append(errs, err)
			c.security[def.ID] = &def
		}
	}
	return c, errors.Join(errs...)
}

// A smallTenant is what is stored of a tenant and read whole into memory.
type smallTenant struct {
	id                string
	directoryComplete bool
	groups            []string
	environments      []environmentRecord
	units             []authz.BusinessUnit
	roles             []authz.RoleDefinition
	denials           []RoleAssignment
	roleUse           []roleCount
	tables            []Table
	sharedTables      []sharedTable
}

// hierarchySpec lists the tenant's scopes.
func (t *smallTenant) hierarchySpec(unknownOK bool) authz.HierarchySpec {
	spec := authz.HierarchySpec{Tenant: t.id, BusinessUnits: t.units, UnknownScopesAtTenant: unknownOK}
	grouped := map[string][]string{}
	for _, e := range t.environments {
		if e.group == "" {
			spec.Environments = append(spec.Environments, e.id)
		} else {
			grouped[e.group] = append(grouped[e.group], e.id)
		}
	}
	for _, id := range t.groups {
		spec.EnvironmentGroups = append(spec.EnvironmentGroups, authz.EnvironmentGroup{ID: id, Environments: grouped[id]})
	}
	return spec
}

// compile works out the view of a tenant as of the revision number. What does not fit
// the catalogue is an error: a role that cannot be compiled grants nothing, and must not
// take nothing away either.
func (c *compiler) compile(t *smallTenant, number uint64) (*TenantView, error) {
	view := &TenantView{
		number: number, directoryComplete: t.directoryComplete,
		definitions: t.roles, roles: make(map[string]*authz.Role, len(t.roles)), shipped: c.shipped,
	}
	var errs []error
	for _, def := range t.roles {
		role, err := c.role(def)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		view.roles[def.ID] = role
	}
	if len(errs) == 0 {
		for _, use := range t.roleUse {
			if view.Role(use.role) == nil {
				errs = append(errs, fmt.Errorf("%d role assignments name the role definition %q, which does not exist: if it is of a role pack, load that pack (--role-pack)", use.n, use.role))
			}
		}
	}
	hierarchy, err := authz.NewHierarchy(t.hierarchySpec(c.unknownOK))
	if err != nil {
		errs = append(errs, err)
	}
	view.databases = c.databasesOf(t)
	for _, e := range t.environments {
		if d := view.databases[e.id]; d != nil && err == nil {
			if err := d.check(); err != nil {
				errs = append(errs, fmt.Errorf("environment %q: %w", e.id, err))
			}
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("tenant %q: %w", t.id, errors.Join(errs...))
	}
	view.hierarchy = hierarchy
	view.denials = view.denialsOf(t.denials)
	return view, nil
}

// denialsOf indexes the DENY and FORBID assignments of groups.
func (t *TenantView) denialsOf(assignments []RoleAssignment) *authz.Grants {
	grants := make([]authz.Grant, 0, len(assignments))
	for i := range assignments {
		a := &assignments[i]
		grants = append(grants, authz.Grant{
			AssignmentID: a.ID, Principal: a.Principal, Role: t.Role(a.RoleDefinitionID), Scope: a.Scope, Effect: a.Effect, Expires: a.Expires,
		})
	}
	return authz.NewGrants(grants)
}

// small returns what compile needs of the tenant.
func (c *canonicalTenant) small() *smallTenant {
	t := &smallTenant{
		id: c.source.ID, directoryComplete: c.source.DirectoryComplete,
		groups: c.groups, environments: c.environments, units: c.units, roles: c.roles, roleUse: c.roleUse,
		tables: c.tables, sharedTables: c.sharedTables,
	}
	for _, a := range c.assignments {
		if isGroupDenial(a) {
			t.denials = append(t.denials, *a)
		}
	}
	return t
}
