package snapshot

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A backup is a line of text, a snapshot file, and SHA-256 over both. So one that was cut
// short or altered is found out before anything is done with it.
const (
	backupMagic   = "pathgrant backup "
	backupHead    = backupMagic + "1"
	backupPattern = "backup-*" + tempSuffix
)

func backupLine(at authz.Revision, size int64) string {
	return fmt.Sprintf("%s epoch %d revision %d bytes %d\n", backupHead, at.Epoch, at.Number, size)
}

// Backup writes a copy of everything at one revision, with the change log, the notes and
// the journal, as [Restore] reads it. begin, if not nil, is told the revision before
// anything is written.
//
// The file is copied on this machine first, into the data directory, or where the store is
// only read into the directory for temporary files, and read back whole. Changes wait for
// that copy, at the speed of the disk, and not for w: a transaction that lasted as long as
// whoever reads w takes would let the file grow without bounds. Decisions never wait. One
// backup is made at a time.
func (s *Store) Backup(ctx context.Context, w io.Writer, begin func(authz.Revision) error) (_ authz.Revision, err error) {
	select {
	case s.backups <- struct{}{}:
		defer func() { <-s.backups }()
	case <-ctx.Done():
		return authz.Revision{}, ctx.Err()
	}
	dir := s.dir.path
	if s.options.ReadOnly {
		dir = ""
	}
	temp, err := os.CreateTemp(dir, backupPattern)
	if err != nil {
		return authz.Revision{}, fmt.Errorf("back up: %w", err)
	}
	defer func() { err = errors.Join(err, temp.Close(), os.Remove(temp.Name())) }()
	snap, err := s.copyFile(ctx, temp)
	if err != nil {
		return authz.Revision{}, fmt.Errorf("back up: %w", err)
	}
	if err := verifyDatabase(ctx, temp.Name(), snap.file.name, &snap.state, nil); err != nil {
		return authz.Revision{}, fmt.Errorf("back up: %w", err)
	}
	at := authz.Revision{Epoch: snap.state.epoch, Number: snap.state.number}
	if begin != nil {
		if err := begin(at); err != nil {
			return authz.Revision{}, err
		}
	}
	if err := sendBackup(ctx, w, temp, at); err != nil {
		return authz.Revision{}, fmt.Errorf("back up: %w", err)
	}
	return at, nil
}

// copyFile copies the file that is served from, at one revision.
func (s *Store) copyFile(ctx context.Context, into io.Writer) (*Snapshot, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	snap := s.current.Load()
	if snap == nil {
		return nil, s.notReady()
	}
	err := snap.file.view(func(tx *bolt.Tx) error {
		if err := sameRevision(tx, snap); err != nil {
			return err
		}
		_, err := tx.WriteTo(&stoppableWriter{ctx, into})
		return cmp.Or(ctx.Err(), err) // which does not wrap what the writer says
	})
	if err != nil {
		return nil, s.readFailed(snap.file, err)
	}
	return snap, nil
}

func sendBackup(ctx context.Context, w io.Writer, file *os.File, at authz.Revision) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	if _, err := io.WriteString(out, backupLine(at, info.Size())); err != nil {
		return err
	}
	if _, err := io.CopyN(out, &stoppable{ctx, file}, info.Size()); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

type stoppable struct {
	ctx context.Context
	io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.Reader.Read(p)
}

type stoppableWriter struct {
	ctx context.Context
	io.Writer
}

func (s *stoppableWriter) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.Writer.Write(p)
}

// Restore puts a backup in place of what is in a directory, which is made if it does not
// exist, as the first revision of a new epoch, above any that the directory or the backup
// has seen. What was there is set aside in quarantine/. No process may serve from the
// directory. The change log, the notes and the journal are those of the backup; record, if
// not nil, makes an entry in the log within the same revision.
//
// The backup is read and verified whole, and what it becomes is written and verified whole,
// before anything that was there is touched: after an error everything is as it was, and a
// process that ends at any point leaves the old or the new.
//
// A new epoch is above every revision of the epochs before it. Whoever asks for at least a
// revision that was announced before the restore is answered from what was restored, though
// it may be older: the operator has said that this is the data from now on, and nobody is
// left waiting for a revision that will never come.
//
// Errors to tell apart: [ErrLocked], [ErrCorrupt] of a backup that is damaged or none,
// [ErrSchema] and [ErrCatalogue].
func Restore(ctx context.Context, o Options, r io.Reader, record func(*Edit) error) (revision authz.Revision, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("restore: %w", err)
		}
	}()
	o.Restore, o.ReadOnly, o.CacheBytes = true, false, -1
	s, err := prepare(o, ^uint64(0), rebuildAbove)
	if err != nil {
		return authz.Revision{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.lock(ctx); err != nil {
		return authz.Revision{}, err
	}
	defer s.unlock()
	temp, err := os.CreateTemp(s.dir.path, backupPattern)
	if err != nil {
		return authz.Revision{}, err
	}
	// What cannot be removed here the next start removes.
	defer func() { _ = os.Remove(temp.Name()) }()
	at, err := readBackup(ctx, temp, r)
	if err = errors.Join(err, temp.Close()); err != nil {
		return authz.Revision{}, err
	}
	b, err := s.openBackup(ctx, temp.Name(), at)
	if err != nil {
		return authz.Revision{}, err
	}
	defer func() { _ = b.held.file.close() }()
	return s.restore(ctx, b, record)
}

// readBackup copies the snapshot file out of a backup.
func readBackup(ctx context.Context, into io.Writer, r io.Reader) (at authz.Revision, err error) {
	in := bufio.NewReaderSize(&stoppable{ctx, r}, 256)
	head, err := in.ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return at, err
	}
	text := string(head)
	var size int64
	_, scanErr := fmt.Sscanf(text, backupHead+" epoch %d revision %d bytes %d\n", &at.Epoch, &at.Number, &size)
	switch {
	case err == nil && scanErr == nil && size > 0 && text == backupLine(at, size):
	case newerBackup(text):
		return at, fmt.Errorf("%w: it begins with %q, and this release reads %q", ErrSchema, strings.TrimSpace(text), backupHead)
	default:
		return at, corruptf("it does not begin as a backup does")
	}
	sum := sha256.New()
	sum.Write([]byte(text))
	if n, err := io.CopyN(io.MultiWriter(into, sum), in, size); err != nil {
		if errors.Is(err, io.EOF) {
			return at, corruptf("the backup was cut short: %d bytes of %d are there", n, size)
		}
		return at, err
	}
	rest, err := io.ReadAll(io.LimitReader(in, sha256.Size+1))
	switch {
	case err != nil:
		return at, err
	case len(rest) < sha256.Size:
		return at, corruptf("the backup was cut short: its checksum is not there")
	case !bytes.Equal(rest, sum.Sum(nil)):
		return at, corruptf("the backup was altered: its checksum does not fit")
	}
	return at, nil
}

// newerBackup tells whether the text begins as a backup of a later form does.
func newerBackup(text string) bool {
	rest, ok := strings.CutPrefix(text, backupMagic)
	form, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(form, 10, 32)
	return ok && err == nil && n > 1
}

// A backedUp is what a backup holds.
type backedUp struct {
	held    *Snapshot
	records records
	// asItIs says that the records are those of the file, in the layout of this release.
	asItIs bool
}

// openBackup opens the file of a backup and verifies it whole.
func (s *Store) openBackup(ctx context.Context, path string, at authz.Revision) (b backedUp, err error) {
	if err := checkFile(path, ctx.Err); err != nil {
		return b, err
	}
	f, err := openFile(ctx, path, filepath.Base(path), true)
	if err != nil {
		return b, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	f.walked.Store(true)
	var st state
	err = f.view(func(tx *bolt.Tx) (err error) {
		st, err = stateOf(tx)
		return err
	})
	if err != nil {
		return b, err
	}
	if (authz.Revision{Epoch: st.epoch, Number: st.number}) != at {
		return b, corruptf("the backup says that it is of revision %d of epoch %d, and holds revision %d of epoch %d", at.Number, at.Epoch, st.number, st.epoch)
	}
	b.held, err = s.readSnapshot(ctx, f, st.mark(f.name))
	if older := (*olderLayout)(nil); errors.As(err, &older) {
		return s.convertBackup(ctx, f, st)
	}
	b.records, b.asItIs = &copied{ctx, b.held}, true
	return b, err
}

// convertBackup reads the data of a verified backup that is of an older layout.
func (s *Store) convertBackup(ctx context.Context, f *dbFile, st state) (b backedUp, err error) {
	var c *canonical
	err = f.view(func(tx *bolt.Tx) error {
		d, err := loadData(ctx, tx, st.schema, true)
		if err == nil {
			c, err = canonicalize(d)
		}
		return err
	})
	if err != nil {
		return b, err
	}
	b.held = &Snapshot{file: f, state: st, slots: new(slotTable), tenants: map[string]*TenantView{}}
	b.records = c
	if err := s.compileAll(c, b.held); err != nil {
		return b, fmt.Errorf("%w: use the catalogue and the role packs that it was stored with: %w", ErrCatalogue, err)
	}
	return b, nil
}

// restore writes what a backup holds into a new file of a new epoch, and puts it in the
// place of what is there. The writer's token is held.
func (s *Store) restore(ctx context.Context, b backedUp, record func(*Edit) error) (authz.Revision, error) {
	held := b.held
	marked, markErr := s.dir.readCurrent()
	floor, err := s.highestEpoch(ctx, marked, markErr)
	if err != nil {
		return authz.Revision{}, err
	}
	now := s.now()
	next := *held
	next.slots = new(slotTable)
	next.generation = 1
	next.state.schema = schemaVersion
	next.state.epoch, next.state.number = max(uint64(now.UnixMicro()), floor+1, held.state.epoch+1), 1
	next.state.written, next.state.source = now.UnixMicro(), "restore"
	next.revision = authz.Revision{Epoch: next.state.epoch, Number: next.state.number}
	next.tenants = maps.Clone(held.tenants)
	for id, view := range next.tenants { // numbers are those of the epoch
		renumbered := *view
		renumbered.number = next.state.number
		next.tenants[id] = &renumbered
	}
	change := Change{
		Source: next.state.source, Position: next.state.position,
		Note: fmt.Sprintf("restored from a backup of revision %d of epoch %d", held.state.number, held.state.epoch),
	}
	w := databaseWriter{records: b.records, state: &next.state, kept: held.file, note: change.Note}
	if w.journal, err = readJournal(held.file, journalKeep-1); err != nil {
		return authz.Revision{}, err
	}
	name, err := s.dir.nextName()
	if err != nil {
		return authz.Revision{}, err
	}
	w.path = s.dir.file(name + tempSuffix)
	undo := func(err error) (authz.Revision, error) { return authz.Revision{}, errors.Join(err, removeFile(w.path)) }
	err = frame(func() error { return w.write(ctx) })
	if err == nil && b.asItIs && next.state.contents != held.state.contents {
		err = corruptf("the records that were written are not those of the backup")
	}
	if err == nil && record != nil {
		err = s.amend(ctx, w.path, name, &next, held, change, record)
	}
	if err == nil {
		err = verifyDatabase(ctx, w.path, name, &next.state, nil)
	}
	if err != nil {
		return undo(err)
	}
	// What is there stays in force, under its name, until the new mark is written.
	aside, err := s.keepCurrentAside(marked, markErr)
	forget := func() {
		for _, path := range aside {
			_ = os.Remove(path)
		}
	}
	if err == nil {
		err = s.markNothing()
	}
	if err == nil {
		err = os.Rename(w.path, s.dir.file(name))
	}
	if err != nil {
		forget()
		return undo(err)
	}
	revision, err := s.exchange(ctx, &next, nil, name)
	if m, markErr := s.dir.readCurrent(); err != nil && (markErr != nil || m.file != name) {
		forget()
		return authz.Revision{}, err
	}
	if len(aside) > 0 {
		s.dir.prune(s.dir.file(quarantineName))
	}
	return revision, err
}

// highestEpoch is the highest epoch that the directory tells of, whatever state it is in.
func (s *Store) highestEpoch(ctx context.Context, marked mark, markErr error) (highest uint64, err error) {
	if markErr == nil {
		return marked.epoch, nil
	}
	finished, _, err := s.dir.databases()
	if err != nil {
		return 0, err
	}
	for _, name := range finished {
		path := s.dir.file(name)
		if skimFile(path, ctx.Err) != nil {
			continue // it tells nothing
		}
		f, err := openFile(ctx, path, name, true)
		if err != nil {
			continue
		}
		_ = f.view(func(tx *bolt.Tx) error {
			epoch, _, err := revisionOf(tx)
			highest = max(highest, epoch)
			return err
		})
		if err := f.close(); err != nil {
			return 0, err
		}
	}
	return highest, ctx.Err()
}

// keepCurrentAside sets aside what is in force in the directory, and leaves it there too;
// of a directory without a mark that can be read, all that may have been. It returns what
// it made.
func (s *Store) keepCurrentAside(marked mark, markErr error) (made []string, err error) {
	var names []string
	switch {
	case markErr == nil && marked.file == noFile:
		return nil, nil // there is nothing that counted
	case markErr == nil:
		names = []string{marked.file}
	default:
		finished, _, err := s.dir.databases()
		if err != nil {
			return nil, err
		}
		names = append(finished, currentName)
	}
	stamp := s.now().UnixMicro()
	for _, name := range names {
		path, err := s.dir.keepAside(name, stamp)
		if err != nil && !isMissing(err) {
			return made, err
		}
		if path != "" {
			made = append(made, path)
			s.log.Info("what was in the data directory was set aside", "file", filepath.Join(quarantineName, filepath.Base(path)))
		}
	}
	return made, nil
}
