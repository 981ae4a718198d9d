package snapshot

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// canonical is [Data] in the order of the file, checked, with what is derived from it
// within reach. It points into the Data and copies little of it.
type canonical struct {
	tenants []canonicalTenant
}

// A canonicalTenant is one tenant in the order of the file.
type canonicalTenant struct {
	source       *Tenant
	groups       []string // environment groups
	environments []environmentRecord
	units        []authz.BusinessUnit
	roles        []authz.RoleDefinition
	principals   []Principal
	directory    []Group
	// The role assignments by identifier, by who holds them and by scope.
	assignments, byPrincipal, byScope []*RoleAssignment
	memberships                       []membership // by member
	disabled                          []authz.Principal
	roleUse                           []roleCount
}

// A membership says that member, as grants are found, is directly in the group.
type membership struct {
	member authz.Principal
	group  authz.Principal
}

type roleCount struct {
	role string
	n    uint64
}

// compareParts orders as keys do: by length, then bytes.
func compareParts[T ~string](a, b T) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func comparePrincipals(a, b authz.Principal) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), compareParts(a.ID, b.ID))
}

// canonicalize checks the data and puts it in order. It reports every problem at once,
// up to a hundred; the error is an [ErrInvalid].
func canonicalize(d *Data) (*canonical, error) {
	p := &problems{}
	c := &canonical{tenants: make([]canonicalTenant, 0, len(d.Tenants))}
	for i := range d.Tenants {
		c.tenants = append(c.tenants, canonicalizeTenant(&d.Tenants[i], p))
	}
	slices.SortFunc(c.tenants, func(a, b canonicalTenant) int { return compareParts(a.source.ID, b.source.ID) })
	for i := 1; i < len(c.tenants); i++ {
		if c.tenants[i].source.ID == c.tenants[i-1].source.ID {
			p.addf("tenant %q is listed twice", c.tenants[i].source.ID)
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// problems collects what is wrong with data.
type problems struct {
	errs []error
	more int
}

func (p *problems) addf(format string, args ...any) {
	if len(p.errs) == 100 {
		p.more++
		return
	}
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

func (p *problems) err() error {
	if len(p.errs) == 0 {
		return nil
	}
	if p.more > 0 {
		p.errs = append(p.errs, fmt.Errorf("and %d problems more", p.more))
	}
	return fmt.Errorf("%w: %w", ErrInvalid, errors.Join(p.errs...))
}

// identifier checks one that becomes part of a key.
func (p *problems) identifier(tenant, what, id string) {
	if id == "" {
		p.addf("tenant %q: %s has no identifier", tenant, what)
	}
	if len(id) > authz.MaxIDLen*4 { // a scope has four identifiers at most, and words between
		p.addf("tenant %q: %s has an identifier of %d bytes", tenant, what, len(id))
	}
}

func (p *problems) principal(tenant, what string, of authz.Principal) {
	p.identifier(tenant, what, of.ID)
	if !validType(of.Type) {
		p.addf("tenant %q: %s %q has no principal type", tenant, what, of.ID)
	}
}

// twice reports neighbours that are the same thing.
func twice[T any](p *problems, tenant, what string, sorted []T, compare func(a, b T) int, name func(T) string) {
	for i := 1; i < len(sorted); i++ {
		if compare(sorted[i-1], sorted[i]) == 0 {
			p.addf("tenant %q: %s %q is listed twice", tenant, what, name(sorted[i]))
		}
	}
}

func canonicalizeTenant(t *Tenant, p *problems) canonicalTenant {
	p.identifier(t.ID, "the tenant", t.ID)
	c := canonicalTenant{source: t}
	c.addScopes(t, p)
	c.addDirectory(t, p)
	c.addRoles(t, p)
	c.addAssignments(t, p)
	return c
}

func (c *canonicalTenant) addScopes(t *Tenant, p *problems) {
	byID := make(map[string]environmentRecord, len(t.Environments))
	for _, e := range t.Environments {
		p.identifier(t.ID, "an environment", e.ID)
		if other, ok := byID[e.ID]; ok && other.dataverse != e.Dataverse {
			p.addf("tenant %q: environment %q is listed twice, with a database and without", t.ID, e.ID)
		}
		byID[e.ID] = environmentRecord{id: e.ID, dataverse: e.Dataverse}
	}
	for _, g := range t.EnvironmentGroups {
		p.identifier(t.ID, "an environment group", g.ID)
		c.groups = append(c.groups, g.ID)
		for _, id := range g.Environments {
			p.identifier(t.ID, "an environment", id)
			e := byID[id]
			if e.group != "" && e.group != g.ID {
				p.addf("tenant %q: environment %q is in the groups %q and %q: it can be in one", t.ID, id, e.group, g.ID)
			}
			e.id, e.group = id, g.ID
			byID[id] = e
		}
	}
	slices.SortFunc(c.groups, compareParts)
	twice(p, t.ID, "environment group", c.groups, compareParts, func(id string) string { return id })
	for _, e := range byID {
		c.environments = append(c.environments, e)
	}
	slices.SortFunc(c.environments, func(a, b environmentRecord) int { return compareParts(a.id, b.id) })

	c.units = slices.Clone(t.BusinessUnits)
	byUnit := func(a, b authz.BusinessUnit) int {
		return cmp.Or(compareParts(a.Environment, b.Environment), compareParts(a.ID, b.ID))
	}
	slices.SortFunc(c.units, byUnit)
	for _, unit := range c.units {
		p.identifier(t.ID, "a business unit", unit.ID)
		p.identifier(t.ID, "a business unit's environment", unit.Environment)
	}
	twice(p, t.ID, "business unit", c.units, byUnit, func(u authz.BusinessUnit) string { return u.ID })
}

func (c *canonicalTenant) addDirectory(t *Tenant, p *problems) {
	c.principals = slices.Clone(t.Principals)
	byPrincipal := func(a, b Principal) int { return comparePrincipals(a.Principal, b.Principal) }
	slices.SortFunc(c.principals, byPrincipal)
	twice(p, t.ID, "principal", c.principals, byPrincipal, func(x Principal) string { return x.Principal.String() })
	for _, x := range c.principals {
		p.principal(t.ID, "a principal", x.Principal)
		if x.Disabled {
			c.disabled = append(c.disabled, x.Key())
		}
	}
	slices.SortFunc(c.disabled, comparePrincipals)
	c.disabled = slices.Compact(c.disabled)

	c.directory = slices.Clone(t.Groups)
	byID := func(a, b Group) int { return compareParts(a.ID, b.ID) }
	slices.SortFunc(c.directory, byID)
	twice(p, t.ID, "group", c.directory, byID, func(g Group) string { return g.ID })
	for i := range c.directory {
		g := &c.directory[i]
		p.identifier(t.ID, "a group", g.ID)
		if !slices.IsSortedFunc(g.Members, comparePrincipals) {
			g.Members = slices.SortedFunc(slices.Values(g.Members), comparePrincipals)
		}
		g.Members = slices.Compact(slices.Clip(slices.Clone(g.Members)))
		for _, member := range g.Members {
			p.principal(t.ID, "a member of group "+g.ID, member)
			c.memberships = append(c.memberships, membership{member.Key(), authz.Principal{Type: authz.Group, ID: g.ID}})
		}
	}
	slices.SortFunc(c.memberships, func(a, b membership) int {
		return cmp.Or(comparePrincipals(a.member, b.member), comparePrincipals(a.group, b.group))
	})
	c.memberships = slices.Compact(c.memberships)
}

func (c *canonicalTenant) addRoles(t *Tenant, p *problems) {
	sorted := func(texts []string) []string { return slices.Compact(slices.Sorted(slices.Values(texts))) }
	for _, def := range t.RoleDefinitions {
		p.identifier(t.ID, "a role definition", def.ID)
		def.Permissions = sorted(def.Permissions)
		def.PermissionsExceptions = sorted(def.PermissionsExceptions)
		def.AssignableScopes = sorted(def.AssignableScopes)
		def.RestrictedScopes = sorted(def.RestrictedScopes)
		c.roles = append(c.roles, def)
	}
	byID := func(a, b authz.RoleDefinition) int { return compareParts(a.ID, b.ID) }
	slices.SortFunc(c.roles, byID)
	twice(p, t.ID, "role definition", c.roles, byID, func(def authz.RoleDefinition) string { return def.ID })
}

func (c *canonicalTenant) addAssignments(t *Tenant, p *problems) {
	root := authz.NamedScope{Kind: authz.TenantScope}.In(t.ID)
	uses := map[string]uint64{}
	c.assignments = make([]*RoleAssignment, 0, len(t.RoleAssignments))
	for i := range t.RoleAssignments {
		a := &t.RoleAssignments[i]
		p.identifier(t.ID, "a role assignment", a.ID)
		p.principal(t.ID, "the principal of role assignment "+a.ID, a.Principal)
		p.identifier(t.ID, "the role of role assignment "+a.ID, a.RoleDefinitionID)
		if !validEffect(a.Effect) {
			p.addf("tenant %q: role assignment %q has no effect", t.ID, a.ID)
		}
		if below, ok := strings.CutPrefix(string(a.Scope), string(root)); !ok || below != "" && below[0] != '/' {
			p.addf("tenant %q: role assignment %q has the scope %q, which is not in the tenant", t.ID, a.ID, a.Scope)
		}
		if len(a.Scope) > maxPart {
			p.addf("tenant %q: role assignment %q has a scope of %d bytes", t.ID, a.ID, len(a.Scope))
		}
		if a.Expires < 0 || a.CreatedOn < 0 {
			p.addf("tenant %q: role assignment %q has a time before 1970", t.ID, a.ID)
		}
		uses[a.RoleDefinitionID]++
		c.assignments = append(c.assignments, a)
	}
	byID := func(a, b *RoleAssignment) int { return compareParts(a.ID, b.ID) }
	slices.SortFunc(c.assignments, byID)
	twice(p, t.ID, "role assignment", c.assignments, byID, func(a *RoleAssignment) string { return a.ID })
	c.byPrincipal = slices.Clone(c.assignments)
	slices.SortFunc(c.byPrincipal, func(a, b *RoleAssignment) int {
		return cmp.Or(comparePrincipals(a.Principal.Key(), b.Principal.Key()), byID(a, b))
	})
	c.byScope = slices.Clone(c.assignments)
	slices.SortFunc(c.byScope, func(a, b *RoleAssignment) int {
		return cmp.Or(compareParts(a.Scope, b.Scope), byID(a, b))
	})
	for role, n := range uses {
		c.roleUse = append(c.roleUse, roleCount{role, n})
	}
	slices.SortFunc(c.roleUse, func(a, b roleCount) int { return compareParts(a.role, b.role) })
}

// isGroupDenial tells whether an assignment counts against a caller whose groups are
// unknown.
func isGroupDenial(a *RoleAssignment) bool {
	return a.Principal.Type == authz.Group && a.Effect != authz.AssignAllow
}

// each calls yield with the key and payload of every record of a section, in the order
// of keys. Both are valid until yield returns.
func (c *canonical) each(sec section, yield func(key, payload []byte) error) error {
	var key, payload []byte
	for i := range c.tenants {
		t := &c.tenants[i]
		start := appendPart(key[:0], t.source.ID)
		emit := func(k, v []byte) error {
			key, payload = k, v // keep what grew
			return yield(k, v)
		}
		if err := t.each(sec, start, payload[:0], emit); err != nil {
			return err
		}
	}
	return nil
}

func (c *canonicalTenant) each(sec section, start, empty []byte, emit func(key, payload []byte) error) error {
	// Each record is written over the one before: start and empty are where both begin.
	k, v := start, empty
	put := func(key, payload []byte) error {
		k, v = key[:len(start)], payload[:0]
		return emit(key, payload)
	}
	switch sec {
	case tenantSection:
		return put(k, appendTenant(v, c.source.DirectoryComplete))
	case environmentGroupSection:
		return eachOf(c.groups, func(id string) error { return put(appendPart(k, id), appendEmpty(v)) })
	case environmentSection:
		return eachOf(c.environments, func(e environmentRecord) error { return put(appendPart(k, e.id), appendEnvironment(v, e)) })
	case businessUnitSection:
		return eachOf(c.units, func(u authz.BusinessUnit) error {
			return put(appendPart(appendPart(k, u.Environment), u.ID), appendBusinessUnit(v, u.Parent))
		})
	case roleDefinitionSection:
		return eachOf(c.roles, func(def authz.RoleDefinition) error {
			return put(appendPart(k, def.ID), appendRoleDefinition(v, &def))
		})
	case principalSection:
		return eachOf(c.principals, func(x Principal) error {
			return put(appendPrincipalPart(k, x.Principal), appendPrincipalRecord(v, &x))
		})
	case groupSection:
		return eachOf(c.directory, func(g Group) error {
			return put(appendPart(k, g.ID), appendGroup(v, g.DisplayName, g.Members))
		})
	case roleAssignmentSection:
		return eachOf(c.assignments, func(a *RoleAssignment) error {
			return put(appendPart(k, a.ID), appendRoleAssignment(v, a))
		})
	case grantsSection:
		return c.eachGrants(func(of authz.Principal, g *grantsRecord) error {
			return put(appendPrincipalPart(k, of), appendGrants(v, g))
		})
	case scopeSection:
		return eachOf(c.byScope, func(a *RoleAssignment) error {
			return put(appendPart(appendPart(k, string(a.Scope)), a.ID), appendEmpty(v))
		})
	case groupDenialSection:
		return eachOf(c.assignments, func(a *RoleAssignment) error {
			if !isGroupDenial(a) {
				return nil
			}
			return put(appendPart(k, a.ID), appendRoleAssignment(v, a))
		})
	case roleUseSection:
		return eachOf(c.roleUse, func(u roleCount) error { return put(appendPart(k, u.role), appendCount(v, u.n)) })
	default:
		return fmt.Errorf("section %d is unknown", sec)
	}
}

func eachOf[T any](items []T, do func(T) error) error {
	for _, item := range items {
		if err := do(item); err != nil {
			return err
		}
	}
	return nil
}

// eachGrants merges the assignments, the memberships and the disabled principals, all
// sorted by principal, into one record for each.
func (c *canonicalTenant) eachGrants(yield func(of authz.Principal, g *grantsRecord) error) error {
	assigned, members, disabled := c.byPrincipal, c.memberships, c.disabled
	var g grantsRecord
	for len(assigned) > 0 || len(members) > 0 || len(disabled) > 0 {
		var of authz.Principal
		nearest := func(p authz.Principal) {
			if of.Type == authz.NoPrincipal || comparePrincipals(p, of) < 0 {
				of = p
			}
		}
		if len(assigned) > 0 {
			nearest(assigned[0].Principal.Key())
		}
		if len(members) > 0 {
			nearest(members[0].member)
		}
		if len(disabled) > 0 {
			nearest(disabled[0])
		}
		g = grantsRecord{parents: g.parents[:0], grants: g.grants[:0]}
		for ; len(assigned) > 0 && assigned[0].Principal.Key() == of; assigned = assigned[1:] {
			g.grants = append(g.grants, grantOf(assigned[0]))
		}
		for ; len(members) > 0 && members[0].member == of; members = members[1:] {
			g.parents = append(g.parents, members[0].group)
		}
		if len(disabled) > 0 && disabled[0] == of {
			g.disabled, disabled = true, disabled[1:]
		}
		if err := yield(of, &g); err != nil {
			return err
		}
	}
	return nil
}

// records counts the records that were delivered, without what is derived.
func (c *canonical) records() int {
	n := 0
	for i := range c.tenants {
		t := &c.tenants[i]
		n += 1 + len(t.groups) + len(t.environments) + len(t.units) + len(t.roles) + len(t.principals) + len(t.directory) + len(t.assignments)
	}
	return n
}

// contents counts and hashes all records as a file that holds just them would.
func (c *canonical) contents() (contents, error) {
	var all contents
	var value []byte
	for sec := range section(sectionCount) {
		err := c.each(sec, func(key, payload []byte) error {
			var d digest
			value, d = seal(value[:0], byte(sec), key, payload)
			all.add(sec, d)
			return nil
		})
		if err != nil {
			return contents{}, err
		}
	}
	return all, nil
}

// contents says what a file holds: how many records of each section, and their hash.
type contents struct {
	counts [sectionCount]uint64
	sums   [sectionCount]digest
}

func (c *contents) add(sec section, d digest) {
	c.counts[sec]++
	c.sums[sec].add(d)
}

func (c *contents) remove(sec section, d digest) {
	c.counts[sec]--
	c.sums[sec].subtract(d)
}

func (c *contents) records() uint64 {
	var n uint64
	for _, count := range c.counts {
		n += count
	}
	return n
}

func (c *contents) sum() digest {
	var d digest
	for _, s := range c.sums {
		d.add(s)
	}
	return d
}

// compareKeys is the order of keys in a file.
func compareKeys(a, b []byte) int { return bytes.Compare(a, b) }
