package snapshot

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A recordWriter writes records within one transaction, and all that follows from them:
// the derived records, counts and hashes, and what differs of the tenants in memory. It
// holds no more than what is touched, and must be used within a frame.
type recordWriter struct {
	tx       *bolt.Tx
	compiler *compiler
	base     map[string]*TenantView // what is held of each tenant
	contents contents

	// Edits that are yet to be carried out, by key, so that many changes of what one
	// principal holds write its record once.
	grants map[string]*grantsEdit
	counts map[counter]int64

	origins map[string]*origin      // of each canonical record that was written
	touched map[string]struct{}     // keys of the principals whose grants were written
	tenants map[string]*tenantDraft // by identifier
	written uint64                  // counts what was written, for whoever walks the file meanwhile
}

func newRecordWriter(tx *bolt.Tx, compiler *compiler, base *Snapshot) *recordWriter {
	return &recordWriter{
		tx: tx, compiler: compiler, base: base.tenants, contents: base.state.contents,
		grants: map[string]*grantsEdit{}, counts: map[counter]int64{},
		origins: map[string]*origin{}, touched: map[string]struct{}{}, tenants: map[string]*tenantDraft{},
	}
}

// A counter is a record that counts others.
type counter struct {
	sec section
	key string
}

// An origin says what a canonical record was before the transaction, and what it is.
type origin struct {
	was, is       bool
	before, after digest
}

// A tenantDraft says what differs so far of what is kept of a tenant in memory.
type tenantDraft struct {
	base *TenantView // nil: the tenant is new
	gone bool
	// record says that the tenant's own record differs, scopes that its environments,
	// groups or business units do, and denials that those of its groups do.
	record, scopes, denials bool
	directoryComplete       bool
	roles                   map[string]*authz.Role // the custom roles that differ; nil: removed
	assigned                map[string]struct{}    // the roles that assignments were made of
	problems                []error
	// databases are the environments of whose database anything differs, and how often
	// something of it was changed.
	databases map[string]uint64

	hierarchy *authz.Hierarchy // as of the scopes so far, once it was asked for
}

// draft returns the draft of a tenant.
func (w *recordWriter) draft(tenant string) *tenantDraft {
	d := w.tenants[tenant]
	if d == nil {
		d = &tenantDraft{base: w.base[tenant], roles: map[string]*authz.Role{}, assigned: map[string]struct{}{}, databases: map[string]uint64{}}
		d.directoryComplete = d.base.DirectoryComplete()
		w.tenants[tenant] = d
	}
	return d
}

// put makes the payload that of a canonical record; nil removes the record. It changes
// nothing where nothing differs.
func (w *recordWriter) put(sec section, key, payload []byte) error {
	old, before, err := w.get(sec, key)
	if err != nil {
		return err
	}
	if bytes.Equal(old, payload) && (old == nil) == (payload == nil) {
		return nil
	}
	after, err := w.store(sec, key, payload, old != nil, before)
	if err != nil {
		return err
	}
	at := string(append([]byte{byte(sec)}, key...))
	o := w.origins[at]
	if o == nil {
		o = &origin{was: old != nil, before: before}
		w.origins[at] = o
	}
	o.is, o.after = payload != nil, after
	return w.derive(sec, key, old, payload)
}

// get reads a record; nil where there is none.
func (w *recordWriter) get(sec section, key []byte) ([]byte, digest, error) {
	bucket := w.tx.Bucket(sectionBuckets[sec])
	if bucket == nil {
		return nil, digest{}, corruptf("the file has no %q", sec)
	}
	value := bucket.Get(key)
	if value == nil {
		return nil, digest{}, nil
	}
	return unseal(byte(sec), key, value)
}

// set writes a record of any section, or removes it where the payload is nil.
func (w *recordWriter) set(sec section, key, payload []byte) error {
	old, before, err := w.get(sec, key)
	if err != nil {
		return err
	}
	_, err = w.store(sec, key, payload, old != nil, before)
	return err
}

// store writes a record over one of which it is known whether it is there.
func (w *recordWriter) store(sec section, key, payload []byte, there bool, before digest) (digest, error) {
	if !there && payload == nil {
		return digest{}, corruptf("a record of %q is gone", sec)
	}
	if len(key) > bolt.MaxKeySize {
		return digest{}, fmt.Errorf("%w: the identifiers of a record in %q have %d bytes together", ErrInvalid, sec, len(key))
	}
	w.written++
	bucket := w.tx.Bucket(sectionBuckets[sec])
	if there {
		w.contents.remove(sec, before)
	}
	if payload == nil {
		return digest{}, bucket.Delete(key)
	}
	value, after := seal(nil, byte(sec), key, payload)
	w.contents.add(sec, after)
	return after, bucket.Put(key, value)
}

// derive notes what follows from a changed record.
func (w *recordWriter) derive(sec section, key, old, now []byte) error {
	k := &keyReader{rest: key}
	tenant := k.part()
	d := w.draft(tenant)
	switch sec {
	case tenantSection:
		return d.deriveTenant(now)
	case environmentGroupSection:
		d.scopes, d.hierarchy = true, nil
	case environmentSection, businessUnitSection:
		d.scopes, d.hierarchy = true, nil
		d.changed(k.part())
	case tableSection:
		d.changed(k.part())
	case columnProfileSection:
		return w.deriveProfile(tenant, k.part(), k.part(), old, now)
	case environmentUserSection:
		k.part() // the environment
		w.touched[string(grantsKey(nil, tenant, k.principal()))] = struct{}{}
	case appSection, flowSection:
		// Nothing follows.
	case teamSection:
		return w.deriveTeam(tenant, k.part(), old, now)
	case shareSection:
		w.deriveShare(tenant, k, old, now)
	case roleDefinitionSection:
		return w.deriveRole(tenant, k.part(), old, now)
	case principalSection:
		return w.derivePrincipal(tenant, k.principal(), old, now)
	case groupSection:
		return w.deriveGroup(tenant, k.part(), old, now)
	case roleAssignmentSection:
		return w.deriveAssignment(tenant, k.part(), key, old, now)
	default:
		return fmt.Errorf("%q is not a section of what is delivered", sec)
	}
	return nil
}

// changed notes that something of an environment's database differs.
func (d *tenantDraft) changed(environment string) {
	if environment != "" {
		d.databases[environment]++
	}
}

func (d *tenantDraft) deriveTenant(now []byte) (err error) {
	d.record, d.gone = true, now == nil
	if now != nil {
		d.directoryComplete, err = readTenant(string(now))
	}
	return err
}

func (w *recordWriter) deriveRole(tenant, id string, old, now []byte) error {
	d := w.draft(tenant)
	d.roles[id] = nil
	if old != nil {
		def, err := readRoleDefinition(id, string(old))
		if err != nil {
			return err
		}
		d.changed(def.Environment)
	}
	if now == nil {
		return nil
	}
	def, err := readRoleDefinition(id, string(now))
	if err != nil {
		return err
	}
	d.changed(def.Environment)
	role, err := w.compiler.role(def)
	if err != nil {
		d.problems = append(d.problems, err)
	}
	d.roles[id] = role
	return nil
}

// A grantsEdit is what changes in what one principal holds.
type grantsEdit struct {
	tenant  string
	of      authz.Principal
	grants  map[string]*grantRecord  // by assignment; nil: it is gone
	parents map[authz.Principal]bool // whether the principal is in them
}

func (w *recordWriter) edit(tenant string, of authz.Principal) *grantsEdit {
	key := string(grantsKey(nil, tenant, of))
	e := w.grants[key]
	if e == nil {
		e = &grantsEdit{tenant: tenant, of: of.Key(), grants: map[string]*grantRecord{}, parents: map[authz.Principal]bool{}}
		w.grants[key] = e
	}
	return e
}

// beforeAndAfter reads a record as it was and as it is; the zero T stands for its absence.
func beforeAndAfter[T any](old, now []byte, read func(payload string) (T, error)) (before, after T, err error) {
	if old != nil {
		if before, err = read(string(old)); err != nil {
			return before, after, err
		}
	}
	if now != nil {
		after, err = read(string(now))
	}
	return before, after, err
}

func (w *recordWriter) derivePrincipal(tenant string, p authz.Principal, old, now []byte) error {
	w.edit(tenant, p)
	before, after, err := beforeAndAfter(old, now, func(payload string) (Principal, error) { return readPrincipalRecord(p, payload) })
	if err != nil {
		return err
	}
	return w.deriveOwners(tenant, p, before.Owners, after.Owners)
}

func (w *recordWriter) deriveGroup(tenant, id string, old, now []byte) error {
	before, after, err := beforeAndAfter(old, now, func(payload string) (Group, error) { return readGroup(id, payload) })
	if err != nil {
		return err
	}
	group := authz.Principal{Type: authz.Group, ID: id}
	w.deriveMembers(tenant, group, before.Members, after.Members)
	return w.deriveOwners(tenant, group, before.Owners, after.Owners)
}

// deriveMembers notes who left something and who joined it.
func (w *recordWriter) deriveMembers(tenant string, of authz.Principal, before, after []authz.Principal) {
	gone, come := differing(before, after)
	for _, member := range gone {
		w.edit(tenant, member).parents[of] = false
	}
	for _, member := range come {
		w.edit(tenant, member).parents[of] = true
	}
}

func (w *recordWriter) deriveOwners(tenant string, of authz.Principal, before, after []authz.Principal) error {
	gone, come := differing(before, after)
	for _, owner := range gone {
		if err := w.set(ownedSection, ownedKey(tenant, owner, of), nil); err != nil {
			return err
		}
	}
	for _, owner := range come {
		if err := w.set(ownedSection, ownedKey(tenant, owner, of), appendEmpty(nil)); err != nil {
			return err
		}
	}
	return nil
}

// differing returns the principals, as grants are found, that are in the first list alone
// and in the second alone.
func differing(before, after []authz.Principal) (gone, come []authz.Principal) {
	was, is := make(map[authz.Principal]bool, len(before)), make(map[authz.Principal]bool, len(after))
	for _, p := range before {
		was[p.Key()] = true
	}
	for _, p := range after {
		is[p.Key()] = true
	}
	for p := range was {
		if !is[p] {
			gone = append(gone, p)
		}
	}
	for p := range is {
		if !was[p] {
			come = append(come, p)
		}
	}
	return gone, come
}

func (w *recordWriter) deriveAssignment(tenant, id string, key, old, now []byte) error {
	d := w.draft(tenant)
	use := func(role string, by int64) { w.counts[useCounter(tenant, role)] += by }
	if old != nil {
		a, err := readRoleAssignment(roleAssignmentSection, id, string(old))
		if err != nil {
			return err
		}
		w.edit(tenant, a.Principal).grants[id] = nil
		use(a.RoleDefinitionID, -1)
		if err := w.set(scopeSection, scopeKey(tenant, &a), nil); err != nil {
			return err
		}
		if isGroupDenial(&a) {
			d.denials = true
			if err := w.set(groupDenialSection, key, nil); err != nil {
				return err
			}
		}
	}
	if now != nil {
		a, err := readRoleAssignment(roleAssignmentSection, id, string(now))
		if err != nil {
			return err
		}
		g := grantOf(&a)
		w.edit(tenant, a.Principal).grants[id] = &g
		use(a.RoleDefinitionID, 1)
		d.assigned[a.RoleDefinitionID] = struct{}{}
		if err := w.set(scopeSection, scopeKey(tenant, &a), appendEmpty(nil)); err != nil {
			return err
		}
		if isGroupDenial(&a) {
			d.denials = true
			return w.set(groupDenialSection, key, now)
		}
	}
	return nil
}

func scopeKey(tenant string, a *RoleAssignment) []byte {
	return appendScopeEntry(appendPart(nil, tenant), a)
}

func ownedKey(tenant string, owner, owned authz.Principal) []byte {
	return appendPrincipalPart(grantsKey(nil, tenant, owner), owned)
}

// appendScopeEntry appends what a key of the scope section has behind the tenant.
func appendScopeEntry(key []byte, a *RoleAssignment) []byte {
	return appendPart(append(appendPart(key, string(a.Scope)), byte(a.Effect)), a.ID)
}

// settle carries out the edits, so that the derived records are those of the canonical
// ones.
func (w *recordWriter) settle() error {
	for _, key := range slices.Sorted(maps.Keys(w.grants)) {
		if err := w.settleGrants([]byte(key), w.grants[key]); err != nil {
			return err
		}
	}
	clear(w.grants)
	for _, c := range slices.SortedFunc(maps.Keys(w.counts), func(a, b counter) int {
		return cmp.Or(cmp.Compare(a.sec, b.sec), cmp.Compare(a.key, b.key))
	}) {
		if err := w.settleCount(c, w.counts[c]); err != nil {
			return err
		}
	}
	clear(w.counts)
	return nil
}

func (w *recordWriter) settleGrants(key []byte, e *grantsEdit) error {
	old, before, err := w.get(grantsSection, key)
	if err != nil {
		return err
	}
	var g grantsRecord
	if old != nil {
		if g, err = readGrants(string(old)); err != nil {
			return err
		}
	}
	e.carryOut(&g)
	if g.disabled, err = w.isDisabled(e.tenant, e.of); err != nil {
		return err
	}
	var payload []byte
	if !g.empty() {
		payload = appendGrants(nil, &g)
	}
	if bytes.Equal(old, payload) && (old == nil) == (payload == nil) {
		return nil
	}
	if _, err := w.store(grantsSection, key, payload, old != nil, before); err != nil {
		return err
	}
	w.touched[string(key)] = struct{}{}
	return nil
}

func (e *grantsEdit) carryOut(g *grantsRecord) {
	g.grants = slices.DeleteFunc(g.grants, func(x grantRecord) bool { _, differs := e.grants[x.assignment]; return differs })
	for _, x := range e.grants {
		if x != nil {
			g.grants = append(g.grants, *x)
		}
	}
	slices.SortFunc(g.grants, func(a, b grantRecord) int { return compareParts(a.assignment, b.assignment) })
	g.parents = slices.DeleteFunc(g.parents, func(p authz.Principal) bool { _, differs := e.parents[p]; return differs })
	for p, in := range e.parents {
		if in {
			g.parents = append(g.parents, p)
		}
	}
	slices.SortFunc(g.parents, comparePrincipals)
}

// isDisabled tells whether any principal with these grants is listed as disabled.
func (w *recordWriter) isDisabled(tenant string, of authz.Principal) (bool, error) {
	for _, kind := range sameKey(of) {
		p := authz.Principal{Type: kind, ID: of.ID}
		payload, _, err := w.get(principalSection, appendPrincipalPart(appendPart(nil, tenant), p))
		if err != nil {
			return false, err
		}
		if payload == nil {
			continue
		}
		record, err := readPrincipalRecord(p, string(payload))
		if err != nil || record.Disabled {
			return record.Disabled, err
		}
	}
	return false, nil
}

func useCounter(tenant, role string) counter {
	return counter{roleUseSection, string(appendPart(appendPart(nil, tenant), role))}
}

// settleCount carries out a change of how often a role is assigned, or of how many records
// of a table are shared with everyone.
func (w *recordWriter) settleCount(c counter, by int64) error {
	if by == 0 {
		return nil
	}
	n, before, there, err := w.counted(c)
	if err != nil {
		return err
	}
	now := int64(n) + by
	if now < 0 {
		return corruptf("the records counted in %q are fewer than there are", c.sec)
	}
	if c.sec == sharedTableSection && (n == 0) != (now == 0) {
		k := &keyReader{rest: []byte(c.key)}
		d := w.draft(k.part())
		d.changed(k.part()) // its tables are of another class
	}
	var payload []byte
	if now > 0 {
		payload = appendCount(nil, uint64(now))
	}
	_, err = w.store(c.sec, []byte(c.key), payload, there, before)
	return err
}

// counted reads what was counted, but for what is yet to be carried out.
func (w *recordWriter) counted(c counter) (n uint64, d digest, there bool, err error) {
	payload, d, err := w.get(c.sec, []byte(c.key))
	if err != nil || payload == nil {
		return 0, d, false, err
	}
	n, err = readCount(c.sec, string(payload))
	return n, d, true, err
}

// count enters in a journal entry what came of the canonical records.
func (w *recordWriter) count(e *JournalEntry) {
	for _, o := range w.origins {
		switch {
		case !o.was && o.is:
			e.Added++
		case o.was && !o.is:
			e.Removed++
		case o.was && o.before != o.after:
			e.Changed++
		}
	}
}

// views works out what is kept of the tenants in memory as of the revision number: of
// those that differ, what differs. The error is an [ErrInvalid] where the records do not
// fit each other or the catalogue.
func (w *recordWriter) views(number uint64) (map[string]*TenantView, error) {
	views, own := w.base, false
	set := func(id string, view *TenantView) {
		if !own {
			views, own = maps.Clone(views), true
		}
		if view == nil {
			delete(views, id)
			return
		}
		views[id] = view
	}
	var errs []error
	for _, id := range slices.SortedFunc(maps.Keys(w.tenants), compareParts) {
		d := w.tenants[id]
		if d.gone {
			set(id, nil)
			continue
		}
		view, err := w.view(id, d, number)
		if errors.Is(err, ErrCorrupt) {
			return nil, err
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("tenant %q: %w", id, err))
			continue
		}
		if view != d.base {
			set(id, view)
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, errors.Join(errs...))
	}
	return views, nil
}

// view is what is kept of one tenant in memory; its base where nothing of it differs.
func (w *recordWriter) view(id string, d *tenantDraft, number uint64) (*TenantView, error) {
	errs := slices.Clone(d.problems)
	view, err := d.withRoles(w, id)
	if err != nil {
		return nil, err
	}
	if d.record || d.scopes || len(d.roles) > 0 {
		changed := *view
		view = &changed
		view.number, view.directoryComplete = number, d.directoryComplete
		if view.hierarchy, err = w.hierarchy(id, d); err != nil {
			errs = append(errs, err)
		}
	}
	if len(d.problems) == 0 {
		unknown, err := w.unknownRoles(id, d, view)
		if err != nil {
			return nil, err
		}
		errs = append(errs, unknown...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(d.databases) > 0 {
		databases, err := w.databases(id, d, view)
		if err != nil {
			return nil, err
		}
		changed := *view
		view = &changed
		view.databases = databases
	}
	if d.denials || len(d.roles) > 0 || d.base == nil {
		denials, err := w.denials(id)
		if err != nil {
			return nil, err
		}
		changed := *view
		view = &changed
		view.denials = view.denialsOf(denials)
	}
	return view, nil
}

// withRoles is the base of a draft with the roles as they are now.
func (d *tenantDraft) withRoles(w *recordWriter, id string) (*TenantView, error) {
	if d.base != nil && len(d.roles) == 0 {
		return d.base, nil
	}
	view := &TenantView{shipped: w.compiler.shipped, directoryComplete: d.directoryComplete}
	if d.base != nil {
		*view = *d.base
	}
	d.applyRoles(view)
	var err error
	view.definitions, err = roleDefinitionsOf(w.tx, id)
	return view, err
}

// applyRoles makes the roles of a view those of the draft.
func (d *tenantDraft) applyRoles(view *TenantView) {
	view.roles = maps.Clone(view.roles)
	if view.roles == nil {
		view.roles = map[string]*authz.Role{}
	}
	for role, compiled := range d.roles {
		if compiled == nil {
			delete(view.roles, role)
		} else {
			view.roles[role] = compiled
		}
	}
}

// unknownRoles finds the roles that do not exist and that assignments name.
func (w *recordWriter) unknownRoles(id string, d *tenantDraft, view *TenantView) ([]error, error) {
	ids := maps.Clone(d.assigned)
	for role := range d.roles {
		ids[role] = struct{}{}
	}
	var errs []error
	for _, role := range slices.Sorted(maps.Keys(ids)) {
		if view.Role(role) != nil {
			continue
		}
		n, _, _, err := w.counted(useCounter(id, role))
		if err != nil {
			return nil, err
		}
		if n > 0 {
			errs = append(errs, fmt.Errorf("%d role assignments name the role definition %q, which does not exist", n, role))
		}
	}
	return errs, nil
}

// hierarchy works out which scope of a tenant inherits from which.
func (w *recordWriter) hierarchy(id string, d *tenantDraft) (*authz.Hierarchy, error) {
	if d.hierarchy != nil {
		return d.hierarchy, nil
	}
	if d.base != nil && !d.scopes {
		return d.base.hierarchy, nil
	}
	t, err := scopesOf(w.tx, id)
	if err != nil {
		return nil, err
	}
	d.hierarchy, err = authz.NewHierarchy(t.hierarchySpec(w.compiler.unknownOK))
	return d.hierarchy, err
}

// denials reads the DENY and FORBID assignments of a tenant's groups.
func (w *recordWriter) denials(id string) (all []RoleAssignment, err error) {
	err = eachOfTenant(w.tx, groupDenialSection, id, func(key *keyReader, payload string) error {
		a, err := readRoleAssignment(groupDenialSection, key.part(), payload)
		all = append(all, a)
		return err
	})
	return all, err
}

// eachOfTenant reads the records of a section that are of one tenant; yield gets the rest
// of the key.
func eachOfTenant(tx *bolt.Tx, sec section, id string, yield func(key *keyReader, payload string) error) error {
	prefix := appendPart(nil, id)
	return eachRecord(tx, sec, prefix, func(key, payload []byte, _ digest) error {
		k := &keyReader{rest: key[len(prefix):]}
		if err := yield(k, string(payload)); err != nil {
			return err
		}
		return k.done(sec)
	})
}

// peek is the draft as far as roles go.
func (d *tenantDraft) peek(c *compiler) *TenantView {
	view := &TenantView{shipped: c.shipped}
	if d.base != nil {
		*view = *d.base
	}
	d.applyRoles(view)
	return view
}

func roleDefinitionsOf(tx *bolt.Tx, id string) (all []authz.RoleDefinition, err error) {
	err = eachOfTenant(tx, roleDefinitionSection, id, func(key *keyReader, payload string) error {
		def, err := readRoleDefinition(key.part(), payload)
		all = append(all, def)
		return err
	})
	return all, err
}

// scopesOf reads the scopes of a tenant.
func scopesOf(tx *bolt.Tx, id string) (*smallTenant, error) {
	t := &smallTenant{id: id}
	err := eachOfTenant(tx, environmentGroupSection, id, func(key *keyReader, payload string) error {
		t.groups = append(t.groups, key.part())
		return readEmpty(environmentGroupSection, payload)
	})
	if err != nil {
		return nil, err
	}
	err = eachOfTenant(tx, environmentSection, id, func(key *keyReader, payload string) error {
		e, err := readEnvironment(key.part(), payload)
		t.environments = append(t.environments, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = eachOfTenant(tx, businessUnitSection, id, func(key *keyReader, payload string) (err error) {
		unit := authz.BusinessUnit{Environment: key.part(), ID: key.part()}
		unit.Parent, err = readBusinessUnit(payload)
		t.units = append(t.units, unit)
		return err
	})
	return t, err
}

// role compiles a custom role.
func (c *compiler) role(def authz.RoleDefinition) (*authz.Role, error) {
	if c.shipped[def.ID] != nil {
		return nil, fmt.Errorf("role definition %q has the identifier of a shipped role, %s", def.Name, def.ID)
	}
	if by := c.named[authz.RoleNameKey(def.Name)]; by != nil {
		// The pack came later: whoever wrote the name meant the role of the tenant.
		return nil, fmt.Errorf("role definition %q has the name of the role %q (%s) of the pack %q: leave out the pack, or change one of the names", def.Name, by.Name, by.ID, by.Pack)
	}
	return c.vocabulary.Compile(def)
}
