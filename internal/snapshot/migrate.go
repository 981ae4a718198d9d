package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// An olderLayout says that a file is good and of a layout that is no longer written.
type olderLayout struct{ schema uint64 }

func (e *olderLayout) Error() string {
	return fmt.Sprintf("the snapshot was written by an older release (layout %d; this release writes %d): start a server on it once, or import the data again", e.schema, schemaVersion)
}

// migrate writes the file that the mark names anew, in the layout of this release, and
// returns the mark of the new file. It is the same revision, and the old file is removed
// only when the new one is marked: what a crash leaves behind is one or the other.
func (s *Store) migrate(ctx context.Context, m mark) (_ mark, err error) {
	old, err := openFile(ctx, s.dir.file(m.file), m.file, true)
	if err != nil {
		return mark{}, err
	}
	defer func() { err = errors.Join(err, old.close()) }()
	var st state
	var journal []journalRecord
	var c *canonical
	err = old.view(func(tx *bolt.Tx) error {
		if st, err = stateOf(tx); err != nil {
			return err
		}
		if journal, err = newestJournal(tx, journalKeep); err != nil {
			return err
		}
		d, err := loadData(ctx, tx, st.schema, true)
		if err != nil {
			return err
		}
		c, err = canonicalize(d)
		return err
	})
	if err != nil {
		return mark{}, fmt.Errorf("migrate the snapshot: %w", err)
	}
	st.schema = schemaVersion
	name, err := s.dir.nextName()
	if err != nil {
		return mark{}, err
	}
	temp := s.dir.file(name + tempSuffix)
	w := databaseWriter{path: temp, records: c, state: &st, journal: journal, quiet: true, kept: old}
	err = frame(func() error { return w.write(ctx) })
	if err == nil {
		err = verifyDatabase(ctx, temp, name, &st, nil)
	}
	if err == nil {
		err = os.Rename(temp, s.dir.file(name))
	}
	if err == nil {
		err = s.dir.sync()
	}
	if err == nil {
		err = s.dir.writeCurrent(st.mark(name))
	}
	if err != nil {
		_ = os.Remove(temp)
		return mark{}, fmt.Errorf("migrate the snapshot: %w", err)
	}
	s.log.InfoContext(ctx, "the snapshot was written anew in the layout of this release", "file", name, "epoch", st.epoch, "revision", st.number)
	s.removeSuperseded(name)
	return st.mark(name), nil
}
