package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Update lets edit change what is held, in one transaction on the newest revision: that is
// one new revision, or, where edit returns an error, nothing. Where edit changed nothing
// the revision stays. The revision that is returned is in force; the zero one says that
// none is, because there never was any and edit made none.
//
// It costs what is touched, however much is held: a role assignment a few records, a role
// or a scope all that is small of its tenant. Updates wait for each other and for
// [Store.Replace]; decisions do not wait for them.
//
// An error of edit comes back as it is. [ErrInvalid] says that what was put does not fit
// together, [ErrNotReady] that data must be delivered first; what was held before goes on
// being served. A change that may or may not have reached the disk begins a new epoch.
func (s *Store) Update(ctx context.Context, change Change, edit func(*Edit) error) (authz.Revision, error) {
	if s.options.ReadOnly {
		return authz.Revision{}, ErrReadOnly
	}
	if err := s.lockVerified(ctx); err != nil {
		return authz.Revision{}, err
	}
	defer s.unlock()
	held := s.current.Load()
	switch {
	case held == nil && s.firstStart:
		return s.first(ctx, change, edit)
	case held == nil:
		return authz.Revision{}, s.notReady()
	case held.file.finished.Load() || bloated(held.file, s.bloatedAbove):
		var err error
		if held, err = s.rewrite(ctx, held); err != nil {
			return authz.Revision{}, err
		}
	}
	return s.transact(ctx, held, change, edit)
}

// lockVerified takes the right to write, and waits until what is held is known to be good.
func (s *Store) lockVerified(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	select {
	case <-s.verifying:
		return nil
	case <-ctx.Done():
		s.unlock()
		return ctx.Err()
	}
}

// errUnchanged says that a transaction changed nothing.
var errUnchanged = errors.New("nothing was changed")

// transact carries out a change of what is held in one transaction and publishes it.
func (s *Store) transact(ctx context.Context, held *Snapshot, change Change, edit func(*Edit) error) (authz.Revision, error) {
	t := &transaction{store: s, held: held, base: held, change: change, number: held.state.number + 1, at: s.now()}
	f := held.file
	err := f.update(func(tx *bolt.Tx) error { return t.prepare(ctx, tx, edit) })
	var commit *commitError
	switch {
	case err == nil:
	case errors.Is(err, errUnchanged) && !f.finished.Load():
		return held.revision, nil
	case errors.As(err, &commit):
		return authz.Revision{}, s.commitFailed(held, t.next, err)
	case t.failed != nil && errors.Is(t.failed, ErrCorrupt), f.stuck.Load():
		return authz.Revision{}, s.readFailed(f, err)
	default:
		return authz.Revision{}, err
	}
	next := t.next
	if err := s.dir.writeCurrent(next.state.mark(f.name)); err != nil {
		err = fmt.Errorf("the change is in force, but %w; the next change goes to a new file", err)
		return authz.Revision{}, s.publishDoubtful(next, err)
	}
	for key := range t.touched {
		raise(&held.slots[s.slotOf([]byte(key))], next.state.number)
	}
	if err := s.publish(next, nil); err != nil {
		return authz.Revision{}, err
	}
	s.position.Store(nil)
	return next.revision, nil
}

// A transaction is one change of a file.
type transaction struct {
	store  *Store
	held   *Snapshot // what the file holds
	base   *Snapshot // what is in force before the change
	change Change
	number uint64 // of the revision that the change will have
	at     time.Time

	// What came of it:
	next    *Snapshot
	touched map[string]struct{}
	failed  error // why the file cannot be read
}

// prepare carries out the change but for the commit.
func (t *transaction) prepare(ctx context.Context, tx *bolt.Tx, edit func(*Edit) error) error {
	e := &Edit{
		Reader: Reader{store: t.store, held: t.held, revision: t.base.revision, now: t.at, tx: tx, writer: newRecordWriter(tx, t.store.compiler, t.held)},
		base:   t.base, next: authz.Revision{Epoch: t.held.revision.Epoch, Number: t.number},
	}
	defer func() { e.tx, t.failed = nil, e.failed }()
	if err := e.in(func() error { return sameRevision(tx, t.held) }); err != nil {
		return err
	}
	if err := edit(e); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// Where the file could not be read, this fails, whatever edit made of it.
	return e.in(func() error { return t.finish(e) })
}

// finish writes what says that it is a revision.
func (t *transaction) finish(e *Edit) error {
	w := e.writer
	if err := w.settle(); err != nil {
		return err
	}
	if w.contents == t.held.state.contents {
		return errUnchanged
	}
	tenants, err := w.views(t.number)
	if err != nil {
		return err
	}
	next := *t.held
	next.tenants = tenants
	next.revision = authz.Revision{Epoch: t.held.revision.Epoch, Number: t.number}
	st := &next.state
	st.number, st.contents = t.number, w.contents
	st.source, st.position, st.written = t.change.Source, slices.Clone(t.change.Position), t.at.UnixMicro()
	entry := JournalEntry{
		Revision: authz.Revision{Epoch: st.epoch, Number: st.number},
		Written:  st.written, Source: t.change.Source, Note: t.change.Note,
	}
	if t.number == t.held.state.number { // what the file is being made of belongs to the same entry
		var err error
		if entry, err = readEntry(w.tx, entry.record().key); err != nil {
			return err
		}
	}
	w.count(&entry)
	if err := putJournal(w.tx, entry.record()); err != nil {
		return err
	}
	if st.number%64 == 0 { // a few too many do no harm
		if err := trimJournal(w.tx, journalKeep); err != nil {
			return err
		}
	}
	if err := putState(w.tx, st); err != nil {
		return err
	}
	t.next, t.touched = &next, w.touched
	return nil
}
