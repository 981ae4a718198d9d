package snapshot

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
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
	ownerships                        []ownership  // by owner
	disabled                          []authz.Principal
	roleUse                           []roleCount

	canonicalItems
}

// A membership says that member, as grants are found, is directly in the group or team.
type membership struct {
	member authz.Principal
	group  authz.Principal
}

// An ownership says that owner, as grants are found, owns something directly.
type ownership struct {
	owner authz.Principal
	owned authz.Principal
}

type roleCount struct {
	role string
	n    uint64
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

func (p *problems) count() int { return len(p.errs) + p.more }

func (p *problems) err() error { return p.as(ErrInvalid) }

// as returns the problems as an error of that kind; nil: there are none.
func (p *problems) as(kind error) error {
	if len(p.errs) == 0 {
		return nil
	}
	if p.more > 0 {
		p.errs = append(p.errs, fmt.Errorf("and %d problems more", p.more))
	}
	return fmt.Errorf("%w: %w", kind, errors.Join(p.errs...))
}

// maxIdentifier is the greatest length of one: a scope has four at most, and words between.
const maxIdentifier = 4 * authz.MaxIDLen

// identifier checks one that becomes part of a key.
func (p *problems) identifier(tenant, what, id string) {
	if id == "" {
		p.addf("tenant %q: %s has no identifier", tenant, what)
	}
	if len(id) > maxIdentifier {
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
	c.addItems(t, p)
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
	for i := range c.principals {
		c.principals[i] = canonicalPrincipal(c.principals[i])
		x := &c.principals[i]
		p.listed(t.ID, x)
		if x.Disabled {
			c.disabled = append(c.disabled, x.Key())
		}
		c.addOwners(x.Principal, x.Owners)
	}
	slices.SortFunc(c.disabled, comparePrincipals)
	c.disabled = slices.Compact(c.disabled)

	c.directory = slices.Clone(t.Groups)
	byID := func(a, b Group) int { return compareParts(a.ID, b.ID) }
	slices.SortFunc(c.directory, byID)
	twice(p, t.ID, "group", c.directory, byID, func(g Group) string { return g.ID })
	for i := range c.directory {
		c.directory[i] = canonicalGroup(c.directory[i])
		g := &c.directory[i]
		p.group(t.ID, g)
		for _, member := range g.Members {
			c.memberships = append(c.memberships, membership{member.Key(), authz.Principal{Type: authz.Group, ID: g.ID}})
		}
		c.addOwners(authz.Principal{Type: authz.Group, ID: g.ID}, g.Owners)
	}
	slices.SortFunc(c.ownerships, func(a, b ownership) int {
		return cmp.Or(comparePrincipals(a.owner, b.owner), comparePrincipals(a.owned, b.owned))
	})
	c.ownerships = slices.Compact(c.ownerships)
	slices.SortFunc(c.memberships, func(a, b membership) int {
		return cmp.Or(comparePrincipals(a.member, b.member), comparePrincipals(a.group, b.group))
	})
	c.memberships = slices.Compact(c.memberships)
}

func (c *canonicalTenant) addOwners(of authz.Principal, owners []authz.Principal) {
	for _, owner := range owners {
		c.ownerships = append(c.ownerships, ownership{owner.Key(), of})
	}
}

// inOrder returns principals in order, each once.
func inOrder(all []authz.Principal) []authz.Principal {
	if !slices.IsSortedFunc(all, comparePrincipals) {
		all = slices.SortedFunc(slices.Values(all), comparePrincipals)
	}
	return slices.Compact(slices.Clip(slices.Clone(all)))
}

// canonicalGroup is a group with its members and owners in order, each once.
func canonicalGroup(g Group) Group {
	g.Members, g.Owners = inOrder(g.Members), inOrder(g.Owners)
	return g
}

// canonicalPrincipal is a principal with its owners in order, each once.
func canonicalPrincipal(x Principal) Principal {
	x.Owners = inOrder(x.Owners)
	return x
}

func (p *problems) group(tenant string, g *Group) {
	p.identifier(tenant, "a group", g.ID)
	for _, member := range g.Members {
		p.principal(tenant, "a member of group "+g.ID, member)
	}
	p.owners(tenant, "group "+g.ID, g.Owners)
}

// listed checks a principal about which something is known.
func (p *problems) listed(tenant string, x *Principal) {
	p.principal(tenant, "a principal", x.Principal)
	if x.Type == authz.Group && len(x.Owners) > 0 {
		p.addf("tenant %q: group %q has owners where it is listed as a principal: they stand with the group", tenant, x.ID)
	}
	p.owners(tenant, x.String(), x.Owners)
}

func (p *problems) owners(tenant, of string, owners []authz.Principal) {
	for _, owner := range owners {
		p.principal(tenant, "an owner of "+of, owner)
	}
}

// canonicalRole is a role definition with its lists in order, each entry once.
func canonicalRole(def authz.RoleDefinition) authz.RoleDefinition {
	sorted := func(texts []string) []string { return slices.Compact(slices.Sorted(slices.Values(texts))) }
	def.Permissions = sorted(def.Permissions)
	def.PermissionsExceptions = sorted(def.PermissionsExceptions)
	def.AssignableScopes = sorted(def.AssignableScopes)
	def.RestrictedScopes = sorted(def.RestrictedScopes)
	def.Privileges = sorted(def.Privileges)
	if def.Terms != nil {
		terms := *def.Terms
		terms.AssignableRoles = sorted(terms.AssignableRoles)
		if def.Terms = &terms; len(terms.AssignableRoles) == 0 && limitsOnly(&terms) {
			def.Terms = nil
		}
	}
	return def
}

// limitsOnly tells whether terms say nothing but what may be assigned, as those of a custom
// role.
func limitsOnly(t *authz.RoleTerms) bool {
	return len(t.HeldBy) == 0 && t.HeldByTeamNamed == "" && t.ComesBy == authz.ByAssignment && t.Database == authz.DatabaseOrNone && t.Companion == "" && !t.Elevates
}

func (c *canonicalTenant) addRoles(t *Tenant, p *problems) {
	for _, def := range t.RoleDefinitions {
		p.identifier(t.ID, "a role definition", def.ID)
		c.roles = append(c.roles, canonicalRole(def))
		p.customRole(t.ID, &c.roles[len(c.roles)-1])
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
		checkAssignment(p, t.ID, root, a)
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
	// A scope is packed once, and not in each comparison.
	packed := make(map[authz.Scope]string, 64)
	for _, a := range c.byScope {
		if _, known := packed[a.Scope]; !known {
			packed[a.Scope] = string(appendPart(nil, string(a.Scope)))
		}
	}
	slices.SortFunc(c.byScope, func(a, b *RoleAssignment) int {
		if a.Scope == b.Scope {
			return cmp.Or(cmp.Compare(a.Effect, b.Effect), byID(a, b))
		}
		return cmp.Compare(packed[a.Scope], packed[b.Scope])
	})
	for role, n := range uses {
		c.roleUse = append(c.roleUse, roleCount{role, n})
	}
	slices.SortFunc(c.roleUse, func(a, b roleCount) int { return compareParts(a.role, b.role) })
}

// checkAssignment tells whether a role assignment of a tenant, whose scope is root, can be
// stored.
func checkAssignment(p *problems, tenant string, root authz.Scope, a *RoleAssignment) bool {
	before := p.count()
	p.identifier(tenant, "a role assignment", a.ID)
	if a.Principal.ID == "" || !validType(a.Principal.Type) || len(a.Principal.ID) > maxIdentifier {
		p.principal(tenant, "the principal of role assignment "+a.ID, a.Principal)
	}
	if a.RoleDefinitionID == "" || len(a.RoleDefinitionID) > maxIdentifier {
		p.identifier(tenant, "the role of role assignment "+a.ID, a.RoleDefinitionID)
	}
	if !validEffect(a.Effect) {
		p.addf("tenant %q: role assignment %q has no effect", tenant, a.ID)
	}
	if below, ok := strings.CutPrefix(string(a.Scope), string(root)); !ok || below != "" && below[0] != '/' {
		p.addf("tenant %q: role assignment %q has the scope %q, which is not in the tenant", tenant, a.ID, a.Scope)
	}
	if len(a.Scope) > maxPart {
		p.addf("tenant %q: role assignment %q has a scope of %d bytes", tenant, a.ID, len(a.Scope))
	}
	if a.Expires < 0 || a.CreatedOn < 0 {
		p.addf("tenant %q: role assignment %q has a time before 1970", tenant, a.ID)
	}
	return p.count() == before
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
			return put(appendPart(k, g.ID), appendGroup(v, &g))
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
			return put(appendScopeEntry(k, a), appendEmpty(v))
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
	case ownedSection:
		return eachOf(c.ownerships, func(o ownership) error {
			return put(appendPrincipalPart(appendPrincipalPart(k, o.owner), o.owned), appendEmpty(v))
		})
	default:
		return c.eachItem(sec, k, v, put)
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

// eachGrants yields one record for each principal, sorted.
func (c *canonicalTenant) eachGrants(yield func(of authz.Principal, g *grantsRecord) error) error {
	m := grantsMerger{members: c.memberships, disabled: c.disabled, yield: yield}
	var grants []grantRecord
	for rest := c.byPrincipal; len(rest) > 0; {
		of := rest[0].Principal.Key()
		grants = grants[:0]
		for ; len(rest) > 0 && rest[0].Principal.Key() == of; rest = rest[1:] {
			grants = append(grants, grantOf(rest[0]))
		}
		if err := m.assigned(of, grants); err != nil {
			return err
		}
	}
	return m.end()
}

// A grantsMerger merges the assignments, the memberships and the disabled principals of a
// tenant, all sorted by principal, into one record for each.
type grantsMerger struct {
	members  []membership
	disabled []authz.Principal
	yield    func(of authz.Principal, g *grantsRecord) error
	g        grantsRecord
}

// assigned takes in what a principal was assigned, and yields all that stand before it.
func (m *grantsMerger) assigned(of authz.Principal, grants []grantRecord) error {
	for {
		next, any := m.next()
		if !any || comparePrincipals(next, of) >= 0 {
			return m.emit(of, grants)
		}
		if err := m.emit(next, nil); err != nil {
			return err
		}
	}
}

// end yields all that is left.
func (m *grantsMerger) end() error {
	for {
		next, any := m.next()
		if !any {
			return nil
		}
		if err := m.emit(next, nil); err != nil {
			return err
		}
	}
}

// next returns the first principal that is a member of something or disabled.
func (m *grantsMerger) next() (of authz.Principal, any bool) {
	if len(m.members) > 0 {
		of, any = m.members[0].member, true
	}
	if len(m.disabled) > 0 && (!any || comparePrincipals(m.disabled[0], of) < 0) {
		of, any = m.disabled[0], true
	}
	return of, any
}

func (m *grantsMerger) emit(of authz.Principal, grants []grantRecord) error {
	m.g = grantsRecord{parents: m.g.parents[:0], grants: grants}
	for ; len(m.members) > 0 && m.members[0].member == of; m.members = m.members[1:] {
		m.g.parents = append(m.g.parents, m.members[0].group)
	}
	if len(m.disabled) > 0 && m.disabled[0] == of {
		m.g.disabled, m.disabled = true, m.disabled[1:]
	}
	return m.yield(of, &m.g)
}

// writeOrder is the order in which sections are read: any would do.
func (c *canonical) writeOrder() []section {
	return dataSections
}

// check finds nothing more: canonicalize has checked all.
func (c *canonical) check() error { return nil }

// total is how many records will be written, or more.
func (c *canonical) total() uint64 {
	n := c.records()
	for i := range c.tenants {
		t := &c.tenants[i]
		n += 2*len(t.assignments) + len(t.memberships) + len(t.ownerships) + t.derived()
	}
	return uint64(n)
}

// small returns what compile needs of each tenant.
func (c *canonical) small() []*smallTenant {
	all := make([]*smallTenant, 0, len(c.tenants))
	for i := range c.tenants {
		all = append(all, c.tenants[i].small())
	}
	return all
}

// records counts the records that were delivered, without what is derived.
func (c *canonical) records() int {
	n := 0
	for i := range c.tenants {
		t := &c.tenants[i]
		n += 1 + len(t.groups) + len(t.environments) + len(t.units) + len(t.roles) + len(t.principals) + len(t.directory) + len(t.assignments) + t.items()
	}
	return n
}

// contents counts and hashes all records as a file that holds just them would.
func (c *canonical) contents() (contents, error) {
	var all contents
	var value []byte
	for _, sec := range dataSections {
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

// dataSum hashes what was delivered, without what is derived and what is kept.
func (c *contents) dataSum() [sha256.Size]byte {
	var b []byte
	for _, sec := range canonicalSections {
		b = binary.BigEndian.AppendUint64(b, c.counts[sec])
		for _, lane := range c.sums[sec] {
			b = binary.BigEndian.AppendUint64(b, lane)
		}
	}
	return sha256.Sum256(b)
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
