package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	// A new file is written in transactions of so many records, pages nearly full.
	chunkRecords = 10_000
	chunkFill    = 0.9
)

// rebuild writes the data into a new file, which then takes the place of the old one. It
// is for the first data, for large changes, and for files that may not be written any
// more. The writer's token is held.
func (s *Store) rebuild(ctx context.Context, c *canonical, change Change, old *Snapshot) (authz.Revision, error) {
	next := &Snapshot{slots: new(slotTable), tenants: make(map[string]*TenantView, len(c.tenants))}
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
	if err := s.compileAll(c, next); err != nil {
		return authz.Revision{}, err
	}
	name, err := s.dir.nextName()
	if err != nil {
		return authz.Revision{}, err
	}
	temp := s.dir.file(name + tempSuffix)
	err = frame(func() error { return writeDatabase(ctx, temp, c, &next.state, journal) })
	if err == nil {
		err = verifyDatabase(ctx, temp, name, &next.state)
	}
	if err == nil {
		err = s.markNothing()
	}
	if err == nil {
		err = os.Rename(temp, s.dir.file(name))
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
func (s *Store) compileAll(c *canonical, into *Snapshot) error {
	var errs []error
	for i := range c.tenants {
		t := c.tenants[i].small()
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

// writeDatabase writes a new file and makes it durable. The contents are entered in st.
func writeDatabase(ctx context.Context, path string, c *canonical, st *state, journal []journalRecord) (err error) {
	if err := os.Remove(path); err != nil && !isMissing(err) {
		return err
	}
	db, err := bolt.Open(path, fileMode, &bolt.Options{
		Timeout: lockTimeout, NoStatistics: true, NoSync: true, FreelistType: bolt.FreelistMapType,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
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
	for sec := range section(sectionCount) {
		if err := writeSection(ctx, db, sec, c, st); err != nil {
			return err
		}
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, r := range journal {
			if err := putJournal(tx, r); err != nil {
				return err
			}
		}
		entry := JournalEntry{
			Revision: authz.Revision{Epoch: st.epoch, Number: st.number}, Written: st.written,
			Source: st.source, Whole: true, Added: uint64(c.records()),
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

// writeSection writes a section in chunks.
func writeSection(ctx context.Context, db *bolt.DB, sec section, c *canonical, st *state) (err error) {
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
	err = c.each(sec, func(key, payload []byte) error {
		if tx == nil {
			if tx, err = db.Begin(true); err != nil {
				tx = nil
				return err
			}
			bucket = tx.Bucket(sectionBuckets[sec])
			bucket.FillPercent = chunkFill
		}
		value, d := seal(nil, byte(sec), key, payload)
		if err := bucket.Put(key, value); err != nil {
			return err
		}
		st.contents.add(sec, d)
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
func verifyDatabase(ctx context.Context, path, name string, want *state) error {
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
		err = f.verify(want, everySection, ctx.Err)
	}
	return errors.Join(err, f.close())
}
