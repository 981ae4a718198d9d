package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// errNothing says that the first change of a store made nothing.
var errNothing = errors.New("nothing was made")

// first makes the first file of a store that never had data, out of one change.
func (s *Store) first(ctx context.Context, change Change, edit func(*Edit) error) (authz.Revision, error) {
	revision, err := s.rebuild(ctx, &canonical{}, change, nil, func(e *Edit) error {
		if err := edit(e); err != nil {
			return err
		}
		return e.settled(func() error {
			if e.writer.contents == (contents{}) {
				return errNothing
			}
			return nil
		})
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	return revision, err
}

// amend lets a change be made in a new file before anybody reads it: one that belongs to
// the revision that the file is of.
func (s *Store) amend(ctx context.Context, path, name string, next, old *Snapshot, change Change, edit func(*Edit) error) error {
	f, err := openFile(ctx, path, name, false)
	if err != nil {
		return err
	}
	held := *next
	held.file = f
	t := &transaction{store: s, held: &held, base: old, change: change, number: next.state.number, at: s.now()}
	if old == nil {
		t.base = &Snapshot{}
	}
	err = f.update(func(tx *bolt.Tx) error { return t.prepare(ctx, tx, edit) })
	if errors.Is(err, errUnchanged) {
		err = nil
	}
	if end := f.close(); end != nil {
		err = errors.Join(err, end)
	}
	if err == nil && t.next != nil {
		next.state, next.tenants = t.next.state, t.next.tenants
	}
	return err
}

// copied are the records of a file that is written anew as it is.
type copied struct {
	ctx  context.Context
	from *Snapshot
}

func (c *copied) writeOrder() []section { return (&canonical{}).writeOrder() }

func (c *copied) each(sec section, yield func(key, payload []byte) error) error {
	n := 0
	return c.from.file.view(func(tx *bolt.Tx) error {
		if err := sameRevision(tx, c.from); err != nil {
			return err
		}
		return eachRecord(tx, sec, nil, func(key, payload []byte, _ digest) error {
			if n++; n%verifyStop == 0 && c.ctx.Err() != nil {
				return c.ctx.Err()
			}
			return yield(key, payload)
		})
	})
}

func (c *copied) check() error          { return nil }
func (c *copied) small() []*smallTenant { return nil }
func (c *copied) total() uint64         { return c.from.state.contents.records() }

func (c *copied) records() int {
	n := 0
	for _, sec := range canonicalSections {
		n += int(c.from.state.contents.counts[sec])
	}
	return n
}

// rewrite writes what is held into a new file, as it is, which takes the place of the old
// one: for a change of a file that is mostly free pages, or that may not be written any
// more. The latter begins a new epoch, for what was published of it may not be what the
// disk would bring back.
func (s *Store) rewrite(ctx context.Context, held *Snapshot) (*Snapshot, error) {
	next := *held
	next.slots = new(slotTable)
	s.mu.Lock()
	next.generation = s.generation + 1
	floor := s.epochFloor
	s.mu.Unlock()
	w := databaseWriter{records: &copied{ctx, held}, state: &next.state, quiet: true, kept: held.file}
	if held.file.finished.Load() {
		next.state.epoch, next.state.number = max(uint64(s.now().UnixMicro()), floor+1), 1
		next.state.written = s.now().UnixMicro()
		next.revision = authz.Revision{Epoch: next.state.epoch, Number: next.state.number}
		next.tenants = maps.Clone(held.tenants)
		for id, view := range next.tenants { // numbers are those of the epoch
			renumbered := *view
			renumbered.number = next.state.number
			next.tenants[id] = &renumbered
		}
		w.quiet, w.note = false, "written anew after a change that did not end as it should"
	}
	var err error
	if w.journal, err = readJournal(held.file, journalKeep-1); err != nil {
		return nil, s.readFailed(held.file, err)
	}
	name, err := s.dir.nextName()
	if err != nil {
		return nil, err
	}
	w.path = s.dir.file(name + tempSuffix)
	err = frame(func() error { return w.write(ctx) })
	if err == nil && next.state.contents != held.state.contents {
		err = corruptf("the records of %s are not those that were written", held.file.name)
	}
	if errors.Is(err, ErrCorrupt) {
		_ = os.Remove(w.path)
		return nil, s.readFailed(held.file, err)
	}
	if err == nil {
		err = s.finishFile(ctx, w.path, name, &next.state, nil)
	}
	if err != nil {
		_ = os.Remove(w.path)
		return nil, fmt.Errorf("write a new snapshot: %w", err)
	}
	if _, err := s.exchange(ctx, &next, held, name); err != nil {
		return nil, err
	}
	return &next, nil
}

// finishFile verifies a new file and gives it its name.
func (s *Store) finishFile(ctx context.Context, temp, name string, st *state, tell func(Progress)) error {
	if err := verifyDatabase(ctx, temp, name, st, tell); err != nil {
		return err
	}
	if err := s.markNothing(); err != nil {
		return err
	}
	return os.Rename(temp, s.dir.file(name))
}

// former finds the file whose change log and notes go on in a new one: that of old, or,
// where there is none, the one that was set aside or is being restored over. The note,
// for the journal, says what became of them where that is not a matter of course. done
// must be called when they were copied.
func (s *Store) former(ctx context.Context, old *Snapshot) (f *dbFile, note string, done func()) {
	done = func() {}
	if old != nil && !old.file.damaged.Load() {
		_, err := keptRecords(ctx, old.file)
		if err == nil {
			return old.file, "", done
		}
		s.damage(old.file, err) // so that it is set aside, and not removed
		return nil, lostLog(err), done
	}
	f, err := s.setAsideFile(ctx)
	if f == nil && err == nil {
		return nil, "", done
	}
	var n uint64
	if err == nil {
		if !s.isRetired(f) {
			done = func() { _ = f.close() }
		}
		n, err = keptRecords(ctx, f)
	}
	if err != nil {
		done()
		s.log.ErrorContext(ctx, "the change log cannot be read and begins anew", "err", err)
		return nil, lostLog(err), func() {}
	}
	if n == 0 {
		done()
		return nil, "", func() {}
	}
	return f, fmt.Sprintf("%d records of the change log and notes were taken over from %s", n, f.name), done
}

func lostLog(err error) string {
	return fmt.Sprintf("the change log cannot be read and begins anew: %v", err)
}

// keptRecords verifies the change log and the notes of a file, and counts them.
func keptRecords(ctx context.Context, f *dbFile) (n uint64, err error) {
	err = f.view(func(tx *bolt.Tx) error {
		st, err := stateOf(tx)
		if err != nil {
			return err
		}
		for _, sec := range keptSections {
			if int(sec) >= sectionsOf(st.schema) {
				break // of a layout that had none
			}
			if err := verifySection(tx, sec, &st, ctx.Err); err != nil {
				return err
			}
			n += st.contents.counts[sec]
		}
		return nil
	})
	return n, err
}

func (s *Store) isRetired(f *dbFile) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.retired, f)
}

// setAsideFile opens the newest file of those that are no longer served from; nil: there
// is none.
func (s *Store) setAsideFile(ctx context.Context) (*dbFile, error) {
	s.mu.Lock()
	retired := s.retired
	s.mu.Unlock()
	m, markErr := s.dir.readCurrent()
	path := s.dir.newestQuarantined(m.file)
	if len(retired) > 0 {
		f := retired[len(retired)-1]
		if path == "" {
			return f, nil
		}
		return f, checkFile(path, ctx.Err)
	}
	if markErr == nil && m.file != noFile {
		if _, err := os.Stat(s.dir.file(m.file)); err == nil {
			path = s.dir.file(m.file)
		}
	}
	if path == "" {
		return nil, nil
	}
	if err := checkFile(path, ctx.Err); err != nil {
		return nil, err
	}
	return openFile(ctx, path, filepath.Base(path), true)
}

// newestQuarantined finds the newest of the files that were set aside under a name, or,
// without a name, of all; empty: there is none.
func (d *directory) newestQuarantined(name string) string {
	entries, err := os.ReadDir(d.file(quarantineName))
	if err != nil {
		return ""
	}
	newest, stamp := "", ""
	for _, e := range entries {
		i := strings.LastIndexByte(e.Name(), '.')
		if i < 0 || fileNumber(e.Name()[:i]) == 0 || name != "" && e.Name()[:i] != name {
			continue
		}
		if e.Name()[i:] > stamp {
			newest, stamp = e.Name(), e.Name()[i:]
		}
	}
	if newest == "" {
		return ""
	}
	return filepath.Join(d.file(quarantineName), newest)
}
