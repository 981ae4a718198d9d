package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	// A new file is written in transactions of so many records, pages nearly full.
	chunkRecords = 10_000
	chunkFill    = 0.9
)

// records are what a new file is written from: [Data] that was put in order, or a
// [Delivery] that is too large for that.
type records interface {
	// writeOrder lists the sections in the order in which each is to be called.
	writeOrder() []section
	// each calls yield with the key and payload of every record of a section, in the order
	// of keys. Both are valid until yield returns.
	each(sec section, yield func(key, payload []byte) error) error
	// check tells, after all sections were read, whether they may be stored.
	check() error
	// small returns what is kept in memory of each tenant, after all sections were read.
	small() []*smallTenant
	// records counts the canonical records, total all of them, or more.
	records() int
	total() uint64
}

// rebuild writes the data into a new file, which then takes the place of the old one. It
// is for the first data, for large changes, and for files that may not be written any
// more. Where the new file holds what the old one does, the old one stays. The writer's
// token is held.
//
// record, if not nil, makes changes that belong to the same revision.
func (s *Store) rebuild(ctx context.Context, c records, change Change, old *Snapshot, record func(*Edit) error) (authz.Revision, error) {
	kept, note, done := s.former(ctx, old)
	defer done()
	next := &Snapshot{slots: new(slotTable), tenants: map[string]*TenantView{}}
	next.state = state{
		schema: schemaVersion, foldCase: s.options.FoldCase,
		source: change.Source, position: slices.Clone(change.Position), written: s.now().UnixMicro(),
	}
	s.mu.Lock()
	next.generation = s.generation + 1
	floor := s.epochFloor
	s.mu.Unlock()
	var journal []journalRecord
	if old != nil && !old.file.finished.Load() {
		next.state.epoch, next.state.number = old.state.epoch, old.state.number+1
		var err error
		if journal, err = readJournal(old.file, journalKeep-1); err != nil {
			return authz.Revision{}, s.readFailed(old.file, err)
		}
	} else {
		next.state.epoch, next.state.number = max(uint64(s.now().UnixMicro()), floor+1), 1
	}
	next.revision = authz.Revision{Epoch: next.state.epoch, Number: next.state.number}
	if c, whole := c.(*canonical); whole { // what does not fit is better known before all is written
		if err := s.compileAll(c, next); err != nil {
			return authz.Revision{}, err
		}
	}
	name, err := s.dir.nextName()
	if err != nil {
		return authz.Revision{}, err
	}
	temp := s.dir.file(name + tempSuffix)
	w := databaseWriter{
		path: temp, records: c, state: &next.state, journal: journal, kept: kept, tell: progressOf(c),
		note: strings.Join(slices.DeleteFunc([]string{change.Note, note}, func(text string) bool { return text == "" }), "; "),
	}
	err = frame(func() error { return w.write(ctx) })
	if err == nil {
		err = c.check()
	}
	if in, sorted := c.(*sorted); err == nil && sorted {
		if err = s.compileAll(c, next); err == nil && old != nil && next.state.epoch == old.state.epoch && next.state.contents == old.state.contents {
			// It is what is held already, and no revision more.
			position := slices.Clone(change.Position)
			s.position.Store(&position)
			return old.revision, os.Remove(temp)
		}
		err = errors.Join(err, in.close()) // the disk may need the room
	}
	if err == nil && record != nil {
		if err := s.amend(ctx, temp, name, next, old, change, record); err != nil {
			_ = os.Remove(temp)
			return authz.Revision{}, err
		}
	}
	if err == nil {
		err = s.finishFile(ctx, temp, name, &next.state, progressOf(c))
	}
	if err != nil {
		_ = os.Remove(temp)
		return authz.Revision{}, fmt.Errorf("write a new snapshot: %w", err)
	}
	return s.exchange(ctx, next, old, name)
}

// markNothing writes, where there is no mark yet, one that says that nothing was
// acknowledged: a process that ends between giving the first file its name and marking it
// leaves a file that never counted, and not one whose mark was lost.
func (s *Store) markNothing() error {
	if _, err := s.dir.readCurrent(); !isMissing(err) {
		return nil
	}
	s.mu.Lock()
	floor := s.epochFloor
	s.mu.Unlock()
	return s.dir.writeCurrent(mark{epoch: floor, file: noFile})
}

// exchange puts a finished new file in the place of the old one and publishes it.
func (s *Store) exchange(ctx context.Context, next, old *Snapshot, name string) (authz.Revision, error) {
	undo := func(err error) (authz.Revision, error) {
		if next.file != nil {
			err = errors.Join(err, next.file.close())
		}
		_ = os.Remove(s.dir.file(name))
		return authz.Revision{}, fmt.Errorf("write a new snapshot: %w", err)
	}
	if err := s.dir.sync(); err != nil {
		return undo(err)
	}
	var err error
	if next.file, err = openFile(ctx, s.dir.file(name), name, false); err != nil {
		return undo(err)
	}
	next.file.walked.Store(true)
	next.file.verified.Store(true)
	markErr := s.dir.writeCurrent(next.state.mark(name))
	if markErr != nil {
		if m, err := s.dir.readCurrent(); err != nil || m.file != name {
			return undo(markErr)
		}
		// The mark was replaced and may not be durable: the new file must stay.
		next.file.finished.Store(true)
	}
	if err := s.publish(next, markErr); err != nil {
		return authz.Revision{}, errors.Join(err, next.file.close())
	}
	s.position.Store(nil)
	if old != nil {
		s.discard(old.file)
	}
	s.closeRetired()
	s.removeSuperseded(name)
	s.log.InfoContext(ctx, "a new snapshot was written", "file", name, "epoch", next.revision.Epoch,
		"revision", next.revision.Number, "records", next.state.contents.records())
	return next.revision, markErr
}

// discard closes a file that is no longer served from.
func (s *Store) discard(f *dbFile) {
	f.finished.Store(true)
	if err := f.close(); err != nil {
		s.log.Warn("a superseded snapshot could not be closed", "file", f.name, "err", err)
	}
}

// removeSuperseded removes all files but the one in use.
func (s *Store) removeSuperseded(name string) {
	finished, _, err := s.dir.databases()
	if err != nil {
		return // the next start tries again
	}
	for _, other := range finished {
		if other != name {
			_ = os.Remove(s.dir.file(other))
		}
	}
}

// compileAll works out the views of all tenants.
func (s *Store) compileAll(c records, into *Snapshot) error {
	var errs []error
	for _, t := range c.small() {
		view, err := s.compiler.compile(t, into.state.number)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		into.tenants[t.id] = view
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrInvalid, errors.Join(errs...))
	}
	return nil
}

// progressOf returns whom to tell of progress; nil: nobody.
func progressOf(c records) func(Progress) {
	if in, ok := c.(*sorted); ok {
		return in.delivery.Progress
	}
	return nil
}

// A databaseWriter writes a new file.
type databaseWriter struct {
	path    string
	records records
	state   *state // its contents are entered when all is written
	journal []journalRecord
	quiet   bool    // make no entry in the journal
	note    string  // for the entry
	kept    *dbFile // the file whose log and notes go on; nil: none
	tell    func(Progress)
}

// write writes the file and makes it durable.
func (w *databaseWriter) write(ctx context.Context) (err error) {
	if err := os.Remove(w.path); err != nil && !isMissing(err) {
		return err
	}
	db, err := bolt.Open(w.path, fileMode, &bolt.Options{
		Timeout: lockTimeout, NoStatistics: true, NoSync: true, FreelistType: bolt.FreelistMapType,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	st := w.state
	st.contents = contents{}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range append([][]byte{metaBucket, journalBucket}, sectionBuckets[:]...) {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if w.kept != nil {
		if err := w.kept.view(func(tx *bolt.Tx) error { return w.keep(ctx, db, tx) }); err != nil {
			return err
		}
	}
	m := &meter{tell: w.tell, step: StepWriting, total: w.records.total()}
	for _, sec := range w.records.writeOrder() {
		if err := writeSection(ctx, db, sec, w.records.each, st, m); err != nil {
			return err
		}
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, r := range w.journal {
			if err := putJournal(tx, r); err != nil {
				return err
			}
		}
		if w.quiet {
			return putState(tx, st)
		}
		entry := JournalEntry{
			Revision: authz.Revision{Epoch: st.epoch, Number: st.number}, Written: st.written,
			Source: st.source, Note: w.note, Whole: true, Added: uint64(w.records.records()),
		}
		if err := putJournal(tx, entry.record()); err != nil {
			return err
		}
		return putState(tx, st)
	})
	if err != nil {
		return err
	}
	return db.Sync()
}

// keep copies what is no part of the data.
func (w *databaseWriter) keep(ctx context.Context, db *bolt.DB, from *bolt.Tx) error {
	for _, sec := range keptSections {
		if from.Bucket(sectionBuckets[sec]) == nil {
			continue // of a layout that had none
		}
		each := func(sec section, yield func(key, payload []byte) error) error {
			return eachRecord(from, sec, nil, func(key, payload []byte, _ digest) error { return yield(key, payload) })
		}
		if err := writeSection(ctx, db, sec, each, w.state, &meter{}); err != nil {
			return err
		}
	}
	return nil
}

// writeSection writes a section in chunks.
func writeSection(ctx context.Context, db *bolt.DB, sec section, each func(section, func(key, payload []byte) error) error, st *state, m *meter) (err error) {
	var tx *bolt.Tx
	var bucket *bolt.Bucket
	defer func() {
		if tx != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	commit := func() error {
		if tx == nil {
			return nil
		}
		err := tx.Commit()
		tx = nil
		if err == nil {
			err = ctx.Err()
		}
		return err
	}
	n := 0
	var value []byte // bbolt keeps it until the transaction ends
	err = each(sec, func(key, payload []byte) error {
		if tx == nil {
			if tx, err = db.Begin(true); err != nil {
				tx = nil
				return err
			}
			bucket = tx.Bucket(sectionBuckets[sec])
			bucket.FillPercent = chunkFill
		}
		if size := len(payload) + checksumSize; cap(value)-len(value) < size {
			value = make([]byte, 0, max(64<<10, size))
		}
		from := len(value)
		var d digest
		value, d = seal(value, byte(sec), key, payload)
		if err := bucket.Put(key, value[from:len(value):len(value)]); err != nil {
			return err
		}
		st.contents.add(sec, d)
		m.add(1)
		if n++; n%chunkRecords == 0 {
			return commit()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return commit()
}

// verifyDatabase reads a file back whole.
func verifyDatabase(ctx context.Context, path, name string, want *state, tell func(Progress)) error {
	if err := checkFile(path, ctx.Err); err != nil {
		return err
	}
	f, err := openFile(ctx, path, name, true)
	if err != nil {
		return err
	}
	err = f.view(func(tx *bolt.Tx) error {
		st, err := stateOf(tx)
		if err == nil && st.mark(name) != want.mark(name) {
			err = corruptf("the new file does not hold what was written")
		}
		return err
	})
	if err == nil {
		m := &meter{tell: tell, step: StepVerifying, total: want.contents.records()}
		err = f.verify(want, everySection, func() error {
			m.add(verifyStop)
			return ctx.Err()
		})
	}
	return errors.Join(err, f.close())
}
