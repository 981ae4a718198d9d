package snapshot

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Change says where data comes from.
type Change struct {
	// Source names who delivers it, such as "file" or "import".
	Source string
	// Position is where a source stands, in its own words. It is stored with the data.
	Position []byte
	// Note is a sentence for the journal.
	Note string
}

// Replace makes the data what decisions are taken from: it works out what differs from
// what is held, writes it in one transaction and publishes it, which is one revision.
// Where nothing differs the revision stays. The revision that is returned is in force.
//
// An error of [ErrInvalid] says that the data contradicts itself or the catalogue; then,
// and after an error of the disk, what was held before goes on being served. A change
// that may or may not have reached the disk begins a new epoch.
func (s *Store) Replace(ctx context.Context, d *Data, change Change) (authz.Revision, error) {
	if s.options.ReadOnly {
		return authz.Revision{}, ErrReadOnly
	}
	c, err := canonicalize(d)
	if err != nil {
		return authz.Revision{}, err
	}
	if err := s.lock(ctx); err != nil {
		return authz.Revision{}, err
	}
	defer s.unlock()
	select { // nothing is written to a file that is not known to be good
	case <-s.verifying:
	case <-ctx.Done():
		return authz.Revision{}, ctx.Err()
	}
	held := s.current.Load()
	if held == nil || held.file.finished.Load() {
		return s.rebuild(ctx, c, change, held)
	}
	changes, err := s.difference(ctx, held, c)
	switch {
	case errors.Is(err, errTooMany):
		return s.rebuild(ctx, c, change, held)
	case errors.Is(err, ErrCorrupt):
		// What is held is damaged, and here is all of it anew.
		s.damage(held.file, err)
		return s.rebuild(ctx, c, change, held)
	case err != nil:
		return authz.Revision{}, err
	case len(changes) == 0:
		position := slices.Clone(change.Position)
		s.position.Store(&position)
		return held.revision, nil
	}
	if bloated(held.file, s.bloatedAbove) {
		return s.rebuild(ctx, c, change, held)
	}
	return s.apply(ctx, held, c, changes, change)
}

// bloated tells whether most of a file that is larger than above is free pages.
func bloated(f *dbFile, above int64) bool {
	info, err := f.probe.Stat()
	if err != nil || info.Size() <= above {
		return false
	}
	free, pageSize, err := freePages(f.probe)
	return err == nil && free*pageSize > uint64(info.Size())/2
}

// A recordChange is a canonical record that differs; old or new is nil where it is absent.
type recordChange struct {
	sec           section
	key, old, new []byte
}

var errTooMany = errors.New("too many records differ")

// difference compares what is held with what was delivered.
func (s *Store) difference(ctx context.Context, held *Snapshot, c *canonical) ([]recordChange, error) {
	var changes []recordChange
	add := func(sec section, key, old, now []byte) error {
		if uint64(len(changes)) == s.rebuildAbove {
			return errTooMany
		}
		changes = append(changes, recordChange{sec, bytes.Clone(key), bytes.Clone(old), bytes.Clone(now)})
		return nil
	}
	err := held.file.view(func(tx *bolt.Tx) error {
		if err := sameRevision(tx, held); err != nil {
			return err
		}
		for sec := range section(canonicalCount) {
			if err := differSection(ctx, tx, sec, c, add); err != nil {
				return err
			}
		}
		return nil
	})
	return changes, err
}

// differSection walks a section of the file and the same section of the data side by side.
func differSection(ctx context.Context, tx *bolt.Tx, sec section, c *canonical, add func(sec section, key, old, now []byte) error) error {
	bucket := tx.Bucket(sectionBuckets[sec])
	if bucket == nil {
		return corruptf("the file has no %q", sec)
	}
	cursor := bucket.Cursor()
	heldKey, heldValue := cursor.First()
	var heldPayload []byte
	check := func() (err error) {
		if heldKey != nil {
			heldPayload, _, err = unseal(byte(sec), heldKey, heldValue)
		}
		return err
	}
	next := func() error {
		heldKey, heldValue = cursor.Next()
		return check()
	}
	if err := check(); err != nil {
		return err
	}
	n := 0
	err := c.each(sec, func(key, payload []byte) error {
		if n++; n%verifyStop == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		for heldKey != nil && compareKeys(heldKey, key) < 0 {
			if err := add(sec, heldKey, heldPayload, nil); err != nil {
				return err
			}
			if err := next(); err != nil {
				return err
			}
		}
		if heldKey == nil || !bytes.Equal(heldKey, key) {
			return add(sec, key, nil, payload)
		}
		if !bytes.Equal(heldPayload, payload) {
			if err := add(sec, key, heldPayload, payload); err != nil {
				return err
			}
		}
		return next()
	})
	for err == nil && heldKey != nil {
		if err = add(sec, heldKey, heldPayload, nil); err == nil {
			err = next()
		}
	}
	return err
}

// apply writes the changes in one transaction and publishes them.
func (s *Store) apply(ctx context.Context, held *Snapshot, c *canonical, changes []recordChange, change Change) (authz.Revision, error) {
	next, err := s.following(held, c, changes, change)
	if err != nil {
		return authz.Revision{}, err
	}
	f := held.file
	var touched [][]byte
	err = f.update(func(tx *bolt.Tx) error {
		if err := sameRevision(tx, held); err != nil {
			return err
		}
		touched, err = writeChanges(tx, changes, next, change)
		return err
	})
	if err != nil {
		return authz.Revision{}, s.commitFailed(held, next, err)
	}
	if err := s.dir.writeCurrent(next.state.mark(f.name)); err != nil {
		err = fmt.Errorf("the change is in force, but %w; the next change goes to a new file", err)
		return authz.Revision{}, s.publishDoubtful(next, err)
	}
	for _, key := range touched {
		raise(&held.slots[s.slotOf(key)], next.state.number)
	}
	if err := s.publish(next, nil); err != nil {
		return authz.Revision{}, err
	}
	s.position.Store(nil)
	return next.revision, nil
}

// commitFailed looks at what a commit that failed has left behind. The file is finished:
// what is published goes on being served from it, and the next change goes to a new one.
func (s *Store) commitFailed(held, next *Snapshot, err error) error {
	err = fmt.Errorf("write the change: %w", err)
	if errors.Is(err, ErrCorrupt) {
		return s.readFailed(held.file, err)
	}
	seen := held.file.view(func(tx *bolt.Tx) error { return sameRevision(tx, held) })
	switch {
	case seen == nil: // the change is not there
		s.mu.Lock()
		s.problem = err
		s.mu.Unlock()
		return err
	case errors.Is(seen, errNewer): // it is, though it may not outlive the machine
		return s.publishDoubtful(next, err)
	default:
		return s.readFailed(held.file, errors.Join(err, seen))
	}
}

// publishDoubtful publishes a change that readers can see already, but that did not end
// as it should: in an epoch of its own, which no cached view and no later change shares.
func (s *Store) publishDoubtful(next *Snapshot, why error) error {
	next.file.finished.Store(true)
	s.mu.Lock()
	next.generation = s.generation + 1
	next.revision.Epoch = max(uint64(s.now().UnixMicro()), s.epochFloor+1)
	s.mu.Unlock()
	return errors.Join(why, s.publish(next, why))
}

// following makes the snapshot that will hold after the changes, but for its contents.
func (s *Store) following(held *Snapshot, c *canonical, changes []recordChange, change Change) (*Snapshot, error) {
	next := &Snapshot{
		generation: held.generation, slots: held.slots, file: held.file,
		state: held.state, tenants: maps.Clone(held.tenants),
	}
	next.state.number++
	next.state.source, next.state.position, next.state.written = change.Source, slices.Clone(change.Position), s.now().UnixMicro()
	next.revision = authz.Revision{Epoch: held.revision.Epoch, Number: held.revision.Number + 1}
	// Which tenants differ in what is kept in memory, and which in role assignments alone.
	whole, assigned := map[string]bool{}, map[string]bool{}
	for _, ch := range changes {
		k := keyReader{rest: ch.key}
		switch id := k.part(); {
		case ch.sec <= roleDefinitionSection:
			whole[id] = true
		case ch.sec == roleAssignmentSection:
			assigned[id] = true
		}
	}
	var errs []error
	for i := range c.tenants {
		t := &c.tenants[i]
		id := t.source.ID
		var err error
		switch {
		case whole[id]:
			next.tenants[id], err = s.compiler.compile(t.small(), next.state.number)
		case assigned[id]:
			next.tenants[id], err = held.tenants[id].withAssignments(t.small())
		}
		errs = append(errs, err)
		delete(whole, id)
	}
	for id := range whole {
		delete(next.tenants, id) // all that differs of it is that it is gone
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return next, nil
}

// withAssignments is the view after a change of role assignments alone.
func (t *TenantView) withAssignments(small *smallTenant) (*TenantView, error) {
	var errs []error
	for _, use := range small.roleUse {
		if t.Role(use.role) == nil {
			errs = append(errs, fmt.Errorf("%d role assignments name the role definition %q, which does not exist", use.n, use.role))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("tenant %q: %w", small.id, errors.Join(errs...))
	}
	view := *t
	view.denials = t.denialsOf(small.denials)
	return &view, nil
}

// writeChanges writes the changed records and all that is derived from them, and returns
// the keys of the principals whose grants differ.
func writeChanges(tx *bolt.Tx, changes []recordChange, next *Snapshot, change Change) ([][]byte, error) {
	w := &recordWriter{tx: tx, contents: &next.state.contents, edits: map[string]*grantsEdit{}, uses: map[string]int64{}}
	entry := JournalEntry{
		Revision: authz.Revision{Epoch: next.state.epoch, Number: next.state.number},
		Written:  next.state.written, Source: change.Source, Note: change.Note,
	}
	for _, ch := range changes {
		switch {
		case ch.old == nil:
			entry.Added++
		case ch.new == nil:
			entry.Removed++
		default:
			entry.Changed++
		}
		if err := w.set(ch.sec, ch.key, ch.new); err != nil {
			return nil, err
		}
		if err := w.derive(ch); err != nil {
			return nil, err
		}
	}
	touched, err := w.writeGrants()
	if err != nil {
		return nil, err
	}
	if err := w.writeUses(); err != nil {
		return nil, err
	}
	if err := putJournal(tx, entry.record()); err != nil {
		return nil, err
	}
	if next.state.number%64 == 0 { // a few too many do no harm
		if err := trimJournal(tx, journalKeep); err != nil {
			return nil, err
		}
	}
	return touched, putState(tx, &next.state)
}

// A recordWriter writes records and keeps count of them.
type recordWriter struct {
	tx       *bolt.Tx
	contents *contents
	edits    map[string]*grantsEdit // by key in the grants section
	uses     map[string]int64       // by key in the role use section
}

// set writes a record, or removes it where the payload is nil.
func (w *recordWriter) set(sec section, key, payload []byte) error {
	bucket := w.tx.Bucket(sectionBuckets[sec])
	if bucket == nil {
		return corruptf("the file has no %q", sec)
	}
	if old := bucket.Get(key); old != nil {
		_, d, err := unseal(byte(sec), key, old)
		if err != nil {
			return err
		}
		w.contents.remove(sec, d)
	} else if payload == nil {
		return corruptf("a record of %q is gone", sec)
	}
	if payload == nil {
		return bucket.Delete(key)
	}
	value, d := seal(nil, byte(sec), key, payload)
	w.contents.add(sec, d)
	return bucket.Put(key, value)
}

// get reads a record; nil where there is none.
func (w *recordWriter) get(sec section, key []byte) ([]byte, error) {
	bucket := w.tx.Bucket(sectionBuckets[sec])
	if bucket == nil {
		return nil, corruptf("the file has no %q", sec)
	}
	value := bucket.Get(key)
	if value == nil {
		return nil, nil
	}
	payload, _, err := unseal(byte(sec), key, value)
	return payload, err
}

// A grantsEdit is what changes in what one principal holds.
type grantsEdit struct {
	tenant                    string
	of                        authz.Principal
	removed                   map[string]bool // assignments
	added                     []grantRecord
	parentsLeft, parentsAdded []authz.Principal
}

func (w *recordWriter) edit(tenant string, of authz.Principal) *grantsEdit {
	key := string(grantsKey(nil, tenant, of))
	e := w.edits[key]
	if e == nil {
		e = &grantsEdit{tenant: tenant, of: of.Key(), removed: map[string]bool{}}
		w.edits[key] = e
	}
	return e
}

// derive notes what follows from a changed record.
func (w *recordWriter) derive(ch recordChange) error {
	k := &keyReader{rest: ch.key}
	tenant := k.part()
	switch ch.sec {
	case principalSection:
		w.edit(tenant, k.principal())
	case groupSection:
		return w.deriveGroup(tenant, k.part(), ch)
	case roleAssignmentSection:
		return w.deriveAssignment(tenant, k.part(), ch)
	default: // nothing is derived from the rest
		return nil
	}
	return nil
}

func (w *recordWriter) deriveGroup(tenant, id string, ch recordChange) error {
	members := func(payload []byte) (map[authz.Principal]bool, error) {
		keys := map[authz.Principal]bool{}
		if payload == nil {
			return keys, nil
		}
		g, err := readGroup(id, string(payload))
		for _, m := range g.Members {
			keys[m.Key()] = true
		}
		return keys, err
	}
	before, err := members(ch.old)
	if err != nil {
		return err
	}
	after, err := members(ch.new)
	if err != nil {
		return err
	}
	group := authz.Principal{Type: authz.Group, ID: id}
	for member := range before {
		if !after[member] {
			e := w.edit(tenant, member)
			e.parentsLeft = append(e.parentsLeft, group)
		}
	}
	for member := range after {
		if !before[member] {
			e := w.edit(tenant, member)
			e.parentsAdded = append(e.parentsAdded, group)
		}
	}
	return nil
}

func (w *recordWriter) deriveAssignment(tenant, id string, ch recordChange) error {
	use := func(role string, by int64) { w.uses[string(appendPart(appendPart(nil, tenant), role))] += by }
	if ch.old != nil {
		a, err := readRoleAssignment(roleAssignmentSection, id, string(ch.old))
		if err != nil {
			return err
		}
		w.edit(tenant, a.Principal).removed[id] = true
		use(a.RoleDefinitionID, -1)
		if err := w.set(scopeSection, scopeKey(tenant, &a), nil); err != nil {
			return err
		}
		if isGroupDenial(&a) {
			if err := w.set(groupDenialSection, ch.key, nil); err != nil {
				return err
			}
		}
	}
	if ch.new != nil {
		a, err := readRoleAssignment(roleAssignmentSection, id, string(ch.new))
		if err != nil {
			return err
		}
		e := w.edit(tenant, a.Principal)
		e.added = append(e.added, grantOf(&a))
		use(a.RoleDefinitionID, 1)
		if err := w.set(scopeSection, scopeKey(tenant, &a), appendEmpty(nil)); err != nil {
			return err
		}
		if isGroupDenial(&a) {
			return w.set(groupDenialSection, ch.key, ch.new)
		}
	}
	return nil
}

func scopeKey(tenant string, a *RoleAssignment) []byte {
	return appendPart(appendPart(appendPart(nil, tenant), string(a.Scope)), a.ID)
}

// writeGrants carries out the edits and returns the keys of the records that differ.
func (w *recordWriter) writeGrants() ([][]byte, error) {
	var touched [][]byte
	for _, key := range slices.Sorted(maps.Keys(w.edits)) {
		e := w.edits[key]
		old, err := w.get(grantsSection, []byte(key))
		if err != nil {
			return nil, err
		}
		var g grantsRecord
		if old != nil {
			if g, err = readGrants(string(old)); err != nil {
				return nil, err
			}
		}
		e.carryOut(&g)
		if g.disabled, err = w.isDisabled(e.tenant, e.of); err != nil {
			return nil, err
		}
		var payload []byte
		if !g.empty() {
			payload = appendGrants(nil, &g)
		}
		if bytes.Equal(old, payload) && (old == nil) == (payload == nil) {
			continue
		}
		if err := w.set(grantsSection, []byte(key), payload); err != nil {
			return nil, err
		}
		touched = append(touched, []byte(key))
	}
	return touched, nil
}

func (e *grantsEdit) carryOut(g *grantsRecord) {
	g.grants = slices.DeleteFunc(g.grants, func(x grantRecord) bool { return e.removed[x.assignment] })
	g.grants = append(g.grants, e.added...)
	slices.SortFunc(g.grants, func(a, b grantRecord) int { return compareParts(a.assignment, b.assignment) })
	g.parents = slices.DeleteFunc(g.parents, func(p authz.Principal) bool { return slices.Contains(e.parentsLeft, p) })
	g.parents = append(g.parents, e.parentsAdded...)
	slices.SortFunc(g.parents, comparePrincipals)
}

// isDisabled tells whether any principal with these grants is listed as disabled.
func (w *recordWriter) isDisabled(tenant string, of authz.Principal) (bool, error) {
	types := []authz.PrincipalType{of.Type}
	if of.Type == authz.User {
		types = append(types, authz.ApplicationUser)
	}
	for _, kind := range types {
		p := authz.Principal{Type: kind, ID: of.ID}
		payload, err := w.get(principalSection, appendPrincipalPart(appendPart(nil, tenant), p))
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

// writeUses carries out the changes of how often each role is assigned.
func (w *recordWriter) writeUses() error {
	for _, key := range slices.SortedFunc(maps.Keys(w.uses), func(a, b string) int { return cmp.Compare(a, b) }) {
		by := w.uses[key]
		if by == 0 {
			continue
		}
		payload, err := w.get(roleUseSection, []byte(key))
		if err != nil {
			return err
		}
		var n uint64
		if payload != nil {
			if n, err = readCount(string(payload)); err != nil {
				return err
			}
		}
		now := int64(n) + by
		switch {
		case now < 0:
			return corruptf("the uses of a role are fewer than its assignments")
		case now == 0:
			err = w.set(roleUseSection, []byte(key), nil)
		default:
			err = w.set(roleUseSection, []byte(key), binary.AppendUvarint([]byte{payloadForm}, uint64(now)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
