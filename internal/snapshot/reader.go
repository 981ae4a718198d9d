package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// errEnded says that a [Reader] or an [Edit] is used when its function has returned.
var errEnded = errors.New("the transaction has ended: what reads or changes the snapshot must do so before it returns")

// A Reader reads what is held, at one revision, and within an [Edit] with all that was
// changed so far. It is valid until the function that it was given to returns, and not
// for concurrent use. What it returns may be kept.
//
// A sequence yields an error at most once, as its last pair. What is changed while one
// is gone through, it may show or not; nothing else is left out or shown twice.
//
// An error that is not an [ErrInvalid] says that the file cannot be read; then nothing
// that is changed in this transaction will be kept.
type Reader struct {
	store    *Store
	held     *Snapshot // what is read, but for the changes
	revision authz.Revision
	now      time.Time
	tx       *bolt.Tx      // nil: it has ended
	writer   *recordWriter // nil: nothing is changed
	// databases are those that differ so far, by tenant and environment; with anew, all that
	// were asked for.
	anew      bool
	databases map[[2]string]*draftDatabase
	failed    error // why nothing of the transaction may be kept
}

// Read lets read see what is held, all of it at one revision. It must be short: as long
// as it lasts the file cannot be compacted, and changes make it grow; and it must not
// change the store, which would wait for it. The error is that of read, [ErrNotReady]
// where there is nothing to read or it is still being verified, or the context's.
func (s *Store) Read(ctx context.Context, read func(*Reader) error) error {
	for {
		snap := s.current.Load()
		if snap == nil {
			return s.notReady()
		}
		if !snap.file.verified.Load() {
			return errUnverified
		}
		r := &Reader{store: s, held: snap, revision: snap.revision, now: s.now()}
		err := r.during(read)
		switch {
		case errors.Is(err, errNewer):
			if err := s.awaitOther(ctx, snap); err != nil {
				return fmt.Errorf("wait for a revision to be published: %w", err)
			}
		case errors.Is(err, berrors.ErrDatabaseNotOpen) && s.current.Load() != snap:
			// Another file took its place.
		case r.failed != nil && errors.Is(r.failed, ErrCorrupt):
			return s.readFailed(snap.file, r.failed)
		default:
			return err
		}
	}
}

// during reads in one transaction. What read panics at is not taken for a fault of the file.
func (r *Reader) during(read func(*Reader) error) (err error) {
	f := r.held.file
	if err := frame(func() (err error) {
		if r.tx, err = f.tx(false); err == nil {
			if err = sameRevision(r.tx, r.held); err != nil {
				_ = r.tx.Rollback()
				r.tx = nil
			}
		}
		return err
	}); err != nil {
		if errors.Is(err, ErrCorrupt) {
			r.failed = err
		}
		return err
	}
	defer func() {
		tx := r.tx
		r.tx = nil
		if end := frame(tx.Rollback); end != nil {
			err = errors.Join(err, end)
		}
	}()
	return read(r)
}

// in runs what touches the file.
func (r *Reader) in(fn func() error) error {
	switch {
	case r.tx == nil:
		return errEnded
	case r.failed != nil:
		return r.failed
	}
	err := frame(fn)
	if err != nil && !errors.Is(err, ErrInvalid) {
		r.failed = err
	}
	return err
}

// settled runs what reads derived records.
func (r *Reader) settled(fn func() error) error {
	return r.in(func() error {
		if r.writer != nil {
			if err := r.writer.settle(); err != nil {
				return err
			}
		}
		return fn()
	})
}

// Revision is the revision that is read; within an [Edit] it is that of what is in force
// before the change.
func (r *Reader) Revision() authz.Revision { return r.revision }

// Now is the time of the transaction, one for all of it.
func (r *Reader) Now() time.Time { return r.now }

// DataSum is [Snapshot.DataSum] with all that was changed so far.
func (r *Reader) DataSum() [32]byte {
	if r.writer != nil {
		return r.writer.contents.dataSum()
	}
	return r.held.state.contents.dataSum()
}

// draft is what differs of a tenant so far; nil: nothing does.
func (r *Reader) draft(tenant string) *tenantDraft {
	if r.writer == nil {
		return nil
	}
	return r.writer.tenants[tenant]
}

// Tenant returns what is small of a tenant, ID and DirectoryComplete, and whether it exists.
func (r *Reader) Tenant(id string) (Tenant, bool) {
	if d := r.draft(id); d != nil && d.record {
		return Tenant{ID: id, DirectoryComplete: d.directoryComplete}, !d.gone
	}
	view := r.held.tenants[id]
	return Tenant{ID: id, DirectoryComplete: view.DirectoryComplete()}, view != nil
}

// Tenants returns the identifiers of all tenants, sorted.
func (r *Reader) Tenants() []string {
	ids := maps.Clone(r.held.tenants)
	if r.writer != nil {
		for id, d := range r.writer.tenants {
			if d.gone {
				delete(ids, id)
			} else {
				ids[id] = nil
			}
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// one reads the record of a key.
func one[T any](r *Reader, sec section, key []byte, read func(payload string) (T, error)) (found T, ok bool, err error) {
	err = r.in(func() error {
		bucket, err := r.bucket(sec)
		if err != nil {
			return err
		}
		value := bucket.Get(key)
		if value == nil {
			return nil
		}
		payload, _, err := unseal(byte(sec), key, value)
		if err != nil {
			return err
		}
		ok = true
		found, err = read(string(payload))
		return err
	})
	if err != nil {
		var none T
		return none, false, err
	}
	return found, ok, nil
}

// bucket finds the bucket of a section.
func (r *Reader) bucket(sec section) (*bolt.Bucket, error) {
	bucket := r.tx.Bucket(sectionBuckets[sec])
	if bucket == nil {
		return nil, corruptf("the file has no %q", sec)
	}
	return bucket, nil
}

// A scan goes through the records of a section, in the order of keys, and through what is
// written meanwhile.
type scan struct {
	r       *Reader
	sec     section
	cursor  *bolt.Cursor
	written uint64
	// key and payload are those of the record that the scan is at; there is none where
	// key is nil.
	key     []byte
	payload string
}

// seek goes to the first record whose key is not below from.
func (c *scan) seek(from []byte) error {
	return c.r.in(func() error {
		bucket, err := c.r.bucket(c.sec)
		if err != nil {
			return err
		}
		c.cursor = bucket.Cursor()
		if c.r.writer != nil {
			c.written = c.r.writer.written
		}
		return c.take(c.cursor.Seek(from))
	})
}

// next goes to the record after the one that the scan is at.
func (c *scan) next() error {
	if c.r.writer != nil && c.r.writer.written != c.written { // the cursor may be lost
		return c.seek(append(c.key, 0))
	}
	return c.r.in(func() error {
		key, value := c.cursor.Next()
		if key != nil && compareKeys(key, c.key) <= 0 {
			return corruptf("the keys of %q are out of order", c.sec)
		}
		return c.take(key, value)
	})
}

func (c *scan) take(key, value []byte) error {
	if key == nil {
		c.key = nil
		return nil
	}
	payload, _, err := unseal(byte(c.sec), key, value)
	c.key, c.payload = append([]byte(nil), key...), string(payload)
	return err
}

// each yields what is read of the records whose keys begin with the prefix; read gets the
// rest of the key.
func each[T any](r *Reader, sec section, prefix []byte, read func(key *keyReader, payload string) (T, error)) iter.Seq2[T, error] {
	return eachFrom(r, sec, prefix, prefix, read)
}

// eachFrom is each from a key on.
func eachFrom[T any](r *Reader, sec section, prefix, from []byte, read func(key *keyReader, payload string) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		c := &scan{r: r, sec: sec}
		err := c.seek(from)
		for ; err == nil && c.key != nil && hasPrefix(c.key, prefix); err = c.next() {
			k := &keyReader{rest: c.key[len(prefix):]}
			item, err := read(k, c.payload)
			if err == nil {
				err = k.done(sec)
			}
			if err != nil {
				yield(none, r.broken(err))
				return
			}
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			yield(none, err)
		}
	}
}

// broken notes that a record cannot be read.
func (r *Reader) broken(err error) error { return r.in(func() error { return err }) }

// RoleAssignment returns the role assignment with the identifier, and whether there is one.
func (r *Reader) RoleAssignment(tenant, id string) (RoleAssignment, bool, error) {
	return one(r, roleAssignmentSection, appendPart(appendPart(nil, tenant), id), func(payload string) (RoleAssignment, error) {
		return readRoleAssignment(roleAssignmentSection, id, payload)
	})
}

// RoleAssignments yields all role assignments of a tenant, in the order of their keys.
func (r *Reader) RoleAssignments(tenant string) iter.Seq2[RoleAssignment, error] {
	return r.RoleAssignmentsAfter(tenant, "")
}

// RoleAssignmentsAfter is [Reader.RoleAssignments] from behind the one with the identifier
// on, which need no longer exist; with none it begins at the first.
func (r *Reader) RoleAssignmentsAfter(tenant, id string) iter.Seq2[RoleAssignment, error] {
	prefix := appendPart(nil, tenant)
	from := prefix
	if id != "" {
		from = append(appendPart(appendPart(nil, tenant), id), 0)
	}
	return eachFrom(r, roleAssignmentSection, prefix, from, func(key *keyReader, payload string) (RoleAssignment, error) {
		return readRoleAssignment(roleAssignmentSection, key.part(), payload)
	})
}

// RoleAssignmentsAt yields the role assignments at exactly the scope: those that forbid,
// those that deny and those that allow, each in the order of their keys.
func (r *Reader) RoleAssignmentsAt(tenant string, scope authz.Scope) iter.Seq2[RoleAssignment, error] {
	prefix := appendPart(appendPart(nil, tenant), string(scope))
	return r.named(tenant, r.at(prefix, prefix))
}

// DenialsAt yields the role assignments at exactly the scope that forbid or deny, and
// reads no others.
func (r *Reader) DenialsAt(tenant string, scope authz.Scope) iter.Seq2[RoleAssignment, error] {
	prefix := appendPart(appendPart(nil, tenant), string(scope))
	forbids, denies := append(slices.Clip(prefix), byte(authz.AssignForbid)), append(slices.Clip(prefix), byte(authz.AssignDeny))
	return r.named(tenant, func(yield func(string, error) bool) {
		for _, prefix := range [][]byte{forbids, denies} {
			for id, err := range each(r, scopeSection, prefix, func(key *keyReader, _ string) (string, error) { return key.part(), nil }) {
				if !yield(id, err) || err != nil {
					return
				}
			}
		}
	})
}

// RoleAssignmentsUnder yields the role assignments at the scope and at all scopes whose
// text lies below it, the scope itself first. It reads no others.
func (r *Reader) RoleAssignmentsUnder(tenant string, scope authz.Scope) iter.Seq2[RoleAssignment, error] {
	return r.RoleAssignmentsUnderAfter(tenant, scope, nil)
}

// RoleAssignmentsUnderAfter is [Reader.RoleAssignmentsUnder] from behind a role assignment
// on, of which ID, Scope and Effect count and which need no longer exist; with none it
// begins at the first.
func (r *Reader) RoleAssignmentsUnderAfter(tenant string, scope authz.Scope, after *RoleAssignment) iter.Seq2[RoleAssignment, error] {
	return r.named(tenant, func(yield func(string, error) bool) {
		prefix := appendPart(appendPart(nil, tenant), string(scope))
		from := prefix
		if after != nil {
			from = append(scopeKey(tenant, after), 0)
		}
		if after == nil || after.Scope == scope {
			for id, err := range r.at(prefix, from) {
				if !yield(id, err) || err != nil {
					return
				}
			}
		}
		for id, err := range r.below(tenant, scope, from) {
			if !yield(id, err) {
				return
			}
		}
	})
}

// at yields the identifiers of the role assignments of one scope, whose key is the prefix.
func (r *Reader) at(prefix, from []byte) iter.Seq2[string, error] {
	return eachFrom(r, scopeSection, prefix, from, func(key *keyReader, payload string) (string, error) {
		key.effect()
		return key.part(), readEmpty(scopeSection, payload)
	})
}

// below yields the identifiers of the role assignments at scopes below the scope, from a
// key on. As part of a key a scope has the number of its bytes before it, and those of a
// scope above it are the first of them: so what is sought stands together length by
// length, and whatever stands between is leapt over.
func (r *Reader) below(tenant string, scope authz.Scope, from []byte) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if formOf(string(scope)) != scopeText {
			return
		}
		packed := packScope(nil, string(scope))
		prefix := append(appendPart(nil, tenant), scopePart)
		start := func(length int) []byte {
			return append(binary.BigEndian.AppendUint16(slices.Clone(prefix), uint16(length)), packed...)
		}
		c := &scan{r: r, sec: scopeSection}
		first := start(len(packed) + 1)
		if compareKeys(from, first) > 0 {
			first = from
		}
		err := c.seek(first)
		for err == nil && c.key != nil && hasPrefix(c.key, prefix) {
			entry := c.key[len(prefix)-1:]
			end := partLength(entry)
			if end < 3 {
				yield("", r.broken(corruptf("a key in %q cannot be read", scopeSection)))
				return
			}
			length := end - 3
			switch found := entry[3:end]; {
			case hasPrefix(found, packed):
				k := &keyReader{rest: entry[end:]}
				k.effect()
				id := k.part()
				if err := k.done(scopeSection); err != nil {
					yield("", r.broken(err))
					return
				}
				if !yield(id, nil) {
					return
				}
				err = c.next()
				continue
			case compareKeys(found, packed) > 0:
				length++
			}
			if length >= maxPart {
				return
			}
			err = c.seek(start(max(length, len(packed)+1)))
		}
		if err != nil {
			yield("", err)
		}
	}
}

// named yields the role assignments of the identifiers.
func (r *Reader) named(tenant string, ids iter.Seq2[string, error]) iter.Seq2[RoleAssignment, error] {
	return func(yield func(RoleAssignment, error) bool) {
		for id, err := range ids {
			var a RoleAssignment
			ok := false
			if err == nil {
				a, ok, err = r.RoleAssignment(tenant, id)
			}
			if err == nil && !ok {
				err = r.broken(corruptf("an index names a role assignment that does not exist"))
			}
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// RoleAssignmentsOf yields the role assignments that a principal holds itself, by
// identifier. A person and a service principal with one object id hold the same.
func (r *Reader) RoleAssignmentsOf(tenant string, p authz.Principal) iter.Seq2[RoleAssignment, error] {
	return func(yield func(RoleAssignment, error) bool) {
		g, err := r.grants(tenant, p)
		if err != nil {
			yield(RoleAssignment{}, err)
			return
		}
		ids := func(yield func(string, error) bool) {
			for i := range g.grants {
				if !yield(g.grants[i].assignment, nil) {
					return
				}
			}
		}
		for a, err := range r.named(tenant, ids) {
			if !yield(a, err) {
				return
			}
		}
	}
}

func (r *Reader) grants(tenant string, p authz.Principal) (grantsRecord, error) {
	if err := r.settled(func() error { return nil }); err != nil {
		return grantsRecord{}, err
	}
	g, _, err := one(r, grantsSection, grantsKey(nil, tenant, p), readGrants)
	return g, err
}

// GroupsOf returns what a principal is directly a member of.
func (r *Reader) GroupsOf(tenant string, p authz.Principal) ([]authz.Principal, error) {
	g, err := r.grants(tenant, p)
	return g.parents, err
}

// Owners returns who owns a principal, directly, in order. A person and a service principal
// with one object id are owned by the same.
func (r *Reader) Owners(tenant string, of authz.Principal) ([]authz.Principal, error) {
	if of.Type == authz.Group {
		g, _, err := r.Group(tenant, of.ID)
		return g.Owners, err
	}
	var all []authz.Principal
	for _, kind := range sameKey(of) {
		x, _, err := r.Principal(tenant, authz.Principal{Type: kind, ID: of.ID})
		if err != nil {
			return nil, err
		}
		all = append(all, x.Owners...)
	}
	return inOrder(all), nil
}

// sameKey lists the types under which what has the key of a principal can be listed.
func sameKey(p authz.Principal) []authz.PrincipalType {
	if p.Key().Type == authz.User {
		return []authz.PrincipalType{authz.User, authz.ApplicationUser}
	}
	return []authz.PrincipalType{p.Type}
}

// OwnedBy returns what a principal owns, directly, in order. A person and a service
// principal with one object id own the same.
func (r *Reader) OwnedBy(tenant string, p authz.Principal) (all []authz.Principal, err error) {
	for owned, err := range each(r, ownedSection, grantsKey(nil, tenant, p), func(key *keyReader, payload string) (authz.Principal, error) {
		return key.principal(), readEmpty(ownedSection, payload)
	}) {
		if err != nil {
			return nil, err
		}
		all = append(all, owned)
	}
	return all, nil
}

// RoleUse counts the role assignments that name the role.
func (r *Reader) RoleUse(tenant, roleID string) (uint64, error) {
	if err := r.settled(func() error { return nil }); err != nil {
		return 0, err
	}
	n, _, err := one(r, roleUseSection, appendPart(appendPart(nil, tenant), roleID), readRoleUse)
	return n, err
}

// Role finds a role, custom or shipped, by its identifier.
func (r *Reader) Role(tenant, id string) (*authz.Role, bool) {
	role := r.tenant(tenant).Role(id)
	return role, role != nil
}

// tenant is what is kept of a tenant in memory, as far as roles go.
func (r *Reader) tenant(id string) *TenantView {
	d := r.draft(id)
	if d == nil || len(d.roles) == 0 && (d.base != nil || d.gone) {
		return r.held.tenants[id]
	}
	return d.peek(r.writer.compiler)
}

// RoleDefinition returns the custom role with the identifier, and whether there is one.
func (r *Reader) RoleDefinition(tenant, id string) (authz.RoleDefinition, bool, error) {
	return one(r, roleDefinitionSection, appendPart(appendPart(nil, tenant), id), func(payload string) (authz.RoleDefinition, error) {
		return readRoleDefinition(id, payload)
	})
}

// RoleDefinitions returns the custom roles of a tenant, in the order of their keys.
func (r *Reader) RoleDefinitions(tenant string) (all []authz.RoleDefinition, err error) {
	err = r.in(func() error {
		all, err = roleDefinitionsOf(r.tx, tenant)
		return err
	})
	return all, err
}

// A PlacedEnvironment is an environment and the environment group that it is in; Group is
// empty where it is in none.
type PlacedEnvironment struct {
	Environment
	Group string
}

// EnvironmentOf returns the environment with the identifier, the group that it is in, if
// it is in one, and whether there is such an environment.
func (r *Reader) EnvironmentOf(tenant, id string) (e Environment, group string, ok bool, err error) {
	record, ok, err := one(r, environmentSection, appendPart(appendPart(nil, tenant), id), func(payload string) (environmentRecord, error) {
		return readEnvironment(id, payload)
	})
	return Environment{ID: record.id, Dataverse: record.dataverse}, record.group, ok, err
}

// Environments yields the environments of a tenant, in the order of their keys.
func (r *Reader) Environments(tenant string) iter.Seq2[PlacedEnvironment, error] {
	return each(r, environmentSection, appendPart(nil, tenant), func(key *keyReader, payload string) (PlacedEnvironment, error) {
		e, err := readEnvironment(key.part(), payload)
		return PlacedEnvironment{Environment{ID: e.id, Dataverse: e.dataverse}, e.group}, err
	})
}

// EnvironmentGroup tells whether there is an environment group with the identifier.
func (r *Reader) EnvironmentGroup(tenant, id string) (bool, error) {
	_, ok, err := one(r, environmentGroupSection, appendPart(appendPart(nil, tenant), id), func(payload string) (struct{}, error) {
		return struct{}{}, readEmpty(environmentGroupSection, payload)
	})
	return ok, err
}

// EnvironmentGroups yields the identifiers of a tenant's environment groups, in the order of their keys.
func (r *Reader) EnvironmentGroups(tenant string) iter.Seq2[string, error] {
	return each(r, environmentGroupSection, appendPart(nil, tenant), func(key *keyReader, payload string) (string, error) {
		return key.part(), readEmpty(environmentGroupSection, payload)
	})
}

// BusinessUnit returns the business unit of an environment, and whether there is one.
func (r *Reader) BusinessUnit(tenant, environment, id string) (authz.BusinessUnit, bool, error) {
	return one(r, businessUnitSection, appendPart(appendPart(appendPart(nil, tenant), environment), id), func(payload string) (authz.BusinessUnit, error) {
		parent, err := readBusinessUnit(payload)
		return authz.BusinessUnit{ID: id, Environment: environment, Parent: parent}, err
	})
}

// BusinessUnits yields the business units of a tenant, environment by environment.
func (r *Reader) BusinessUnits(tenant string) iter.Seq2[authz.BusinessUnit, error] {
	return each(r, businessUnitSection, appendPart(nil, tenant), func(key *keyReader, payload string) (authz.BusinessUnit, error) {
		unit := authz.BusinessUnit{Environment: key.part(), ID: key.part()}
		var err error
		unit.Parent, err = readBusinessUnit(payload)
		return unit, err
	})
}

// Principal returns what is known about a principal, and whether it is listed.
func (r *Reader) Principal(tenant string, p authz.Principal) (Principal, bool, error) {
	return one(r, principalSection, appendPrincipalPart(appendPart(nil, tenant), p), func(payload string) (Principal, error) {
		return readPrincipalRecord(p, payload)
	})
}

// Principals yields the principals that a tenant lists, type by type.
func (r *Reader) Principals(tenant string) iter.Seq2[Principal, error] {
	return each(r, principalSection, appendPart(nil, tenant), func(key *keyReader, payload string) (Principal, error) {
		return readPrincipalRecord(key.principal(), payload)
	})
}

// Group returns the group with the identifier, and whether it is listed.
func (r *Reader) Group(tenant, id string) (Group, bool, error) {
	return one(r, groupSection, appendPart(appendPart(nil, tenant), id), func(payload string) (Group, error) {
		return readGroup(id, payload)
	})
}

// Groups yields the groups that a tenant lists, in the order of their keys.
func (r *Reader) Groups(tenant string) iter.Seq2[Group, error] {
	return each(r, groupSection, appendPart(nil, tenant), func(key *keyReader, payload string) (Group, error) {
		return readGroup(key.part(), payload)
	})
}

// Hierarchy says which scope of a tenant inherits from which; of a tenant that does not
// exist it is nil, which knows no scope. Where the scopes changed, it is worked out anew
// from all of the tenant's. The error is an [ErrInvalid] where they do not fit each other
// so far.
func (r *Reader) Hierarchy(tenant string) (h *authz.Hierarchy, err error) {
	if _, ok := r.Tenant(tenant); !ok {
		return nil, nil
	}
	d := r.draft(tenant)
	if d == nil {
		return r.held.tenants[tenant].hierarchy, nil
	}
	err = r.in(func() error {
		if h, err = r.writer.hierarchy(tenant, d); err != nil && !errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("%w: tenant %q: %w", ErrInvalid, tenant, err)
		}
		return err
	})
	return h, err
}

// GroupDenials are the DENY and FORBID assignments of all groups of a tenant, for callers
// whose groups could not be learnt.
func (r *Reader) GroupDenials(tenant string) (denials *authz.Grants, err error) {
	view := r.tenant(tenant)
	d := r.draft(tenant)
	if view == nil || d == nil || !d.denials && len(d.roles) == 0 {
		return view.GroupDenials(), nil
	}
	err = r.in(func() error {
		all, err := r.writer.denials(tenant)
		denials = view.denialsOf(all)
		return err
	})
	return denials, err
}

// View returns what the subject holds: what a decision would read.
func (r *Reader) View(tenant string, subject *authz.Subject) (*View, error) {
	if subject.Tenant() != tenant {
		return nil, fmt.Errorf("%w: the subject is of the tenant %q, not of %q", ErrInvalid, subject.Tenant(), tenant)
	}
	view := r.tenant(tenant)
	if view == nil {
		return nothing, nil
	}
	w := walk{store: r.store, tenantID: tenant, tenant: view, verified: true}
	err := r.settled(func() (err error) {
		if w.bucket, err = r.bucket(grantsSection); err != nil {
			return err
		}
		return w.subject(subject)
	})
	if err != nil {
		return nil, err
	}
	return &View{Grants: authz.NewGrants(w.grants), Disabled: w.disabled, key: subject.Key()}, nil
}

// AssignmentsAt returns the role assignments at exactly the scope, as
// [Reader.RoleAssignmentsAt] does, and the snapshot that this is true of.
func (s *Store) AssignmentsAt(ctx context.Context, tenant string, scope authz.Scope) (snap *Snapshot, found []RoleAssignment, err error) {
	err = s.Read(ctx, func(r *Reader) error {
		snap = r.held
		for a, err := range r.RoleAssignmentsAt(tenant, scope) {
			if err != nil {
				return err
			}
			found = append(found, a)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return snap, found, nil
}
