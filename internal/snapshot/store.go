package snapshot

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Options say where a store is and what its data means.
type Options struct {
	// Dir is the data directory. It is made if it does not exist.
	Dir string
	// CacheBytes is how much memory the cached views may take; 0: 64 MiB, below 0: no cache.
	CacheBytes int64
	// Vocabulary and ShippedRoles are what role definitions are compiled with.
	Vocabulary   *authz.Vocabulary
	ShippedRoles []authz.RoleDefinition
	// StandardTables are the tables that every environment with a database has.
	StandardTables []authz.Table
	// FoldCase says that identifiers are compared without case, and so stored in lower case.
	FoldCase bool
	// UnknownScopesAtTenant makes scopes that nobody listed children of the tenant.
	UnknownScopesAtTenant bool
	// ReadOnly opens what is there to be read, writes nothing and takes no lock.
	ReadOnly bool
	// Restore opens the store without what is in it: it is not ready until the data is
	// delivered, which begins a new epoch. It is for an operator who replaces everything.
	Restore bool
	// Log gets what an operator should know; nil: nobody does.
	Log *slog.Logger
	// Now is the clock; nil: the machine's.
	Now func() time.Time
}

const (
	defaultCacheBytes = 64 << 20
	// verifyAtOnce is the number of records up to which a file is verified before
	// anything is served from it; a larger one is verified while it serves.
	verifyAtOnce = 300_000
	// rebuildAbove is the number of changed records above which a new file is cheaper.
	rebuildAbove = 50_000
	// bloatedAbove is the size in bytes above which a file that is mostly free pages is
	// written anew.
	bloatedAbove = 64 << 20
)

// A Store keeps a snapshot on disk and in memory. It is safe for concurrent use; Close
// must come after the last View has returned.
type Store struct {
	options  Options
	compiler *compiler
	dir      *directory
	log      *slog.Logger
	now      func() time.Time
	seed     maphash.Seed
	cache    *viewCache

	verifyAtOnce, rebuildAbove uint64
	bloatedAbove               int64
	sortBuffer                 int // how much of a delivery each sorter keeps in memory

	current atomic.Pointer[Snapshot]

	// writer holds one token, for whoever may write.
	writer chan struct{}
	// backups holds one token, for whoever makes a backup: each needs room for a copy.
	backups chan struct{}
	// position is where the source stands, kept in memory when nothing else changed.
	position atomic.Pointer[[]byte]

	verifying  chan struct{} // closed when nothing is being verified in the background
	stopVerify context.CancelFunc

	quarantined atomic.Uint64
	alarms      atomic.Uint64
	waits       atomic.Uint64
	firstStart  bool
	// databasesOff says that databases in memory are not to be believed.
	databasesOff atomic.Bool

	// mu guards what follows, and every change of current.
	mu         sync.Mutex
	watch      chan struct{} // closed at the next change of current
	problem    error         // why there is no snapshot, or why no change can be written
	epochFloor uint64        // a new epoch is above it
	generation uint64
	closed     bool
	retired    []*dbFile // damaged files that are yet to be closed
}

// Open opens the store in a directory and verifies what it holds. A file that is damaged
// is set aside and the store is then not ready until its data is delivered again. Errors
// to tell apart: [ErrLocked], [ErrSchema], [ErrCatalogue] and, of a store that is only
// read, [ErrCorrupt] and [ErrNotReady].
func Open(ctx context.Context, o Options) (*Store, error) {
	return open(ctx, o, verifyAtOnce, rebuildAbove)
}

func open(ctx context.Context, o Options, verifyAtOnce, rebuildAbove uint64) (*Store, error) {
	s, err := prepare(o, verifyAtOnce, rebuildAbove)
	if err != nil {
		return nil, err
	}
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare makes a store that holds its directory and has not looked at what is in it.
func prepare(o Options, verifyAtOnce, rebuildAbove uint64) (*Store, error) {
	if o.Dir == "" || o.Vocabulary == nil {
		return nil, errors.New("open the snapshot: a directory and a vocabulary are needed")
	}
	compiler, err := newCompiler(&o)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: shipped roles: %w", err)
	}
	s := &Store{
		options: o, compiler: compiler, log: o.Log, now: o.Now, seed: maphash.MakeSeed(),
		verifyAtOnce: verifyAtOnce, rebuildAbove: rebuildAbove, bloatedAbove: bloatedAbove, sortBuffer: sortBuffer,
		writer: make(chan struct{}, 1), backups: make(chan struct{}, 1), watch: make(chan struct{}),
		verifying: make(chan struct{}), stopVerify: func() {},
	}
	close(s.verifying)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if o.ReadOnly {
		s.dir = &directory{path: o.Dir}
	} else if s.dir, err = openDirectory(o.Dir); err != nil {
		return nil, err
	}
	if s.cache, err = newViewCache(o.CacheBytes); err != nil {
		return nil, errors.Join(err, s.dir.close())
	}
	return s, nil
}

// load takes up what is in the directory.
func (s *Store) load(ctx context.Context) error {
	m, err := s.dir.readCurrent()
	if s.options.ReadOnly {
		return s.loadReadOnly(ctx, m, err)
	}
	finished, unfinished, listErr := s.dir.databases()
	if listErr != nil {
		return listErr
	}
	for _, name := range unfinished { // of a process that ended while it wrote them
		if err := os.Remove(s.dir.file(name)); err != nil {
			return fmt.Errorf("remove an unfinished file: %w", err)
		}
	}
	switch {
	case isMissing(err) && len(finished) == 0:
		s.firstStart = true
		return nil
	case isMissing(err):
		return s.setAside(finished, corruptf("there are snapshot files and no %s to say which one counts", currentName))
	case errors.Is(err, ErrCorrupt):
		return s.setAside(append(finished, currentName), err)
	case err != nil:
		return err
	}
	s.epochFloor = m.epoch
	for _, name := range finished {
		if name != m.file {
			if err := os.Remove(s.dir.file(name)); err != nil {
				return fmt.Errorf("remove a superseded file: %w", err)
			}
		}
	}
	if m.file == noFile {
		s.firstStart = true
		return nil
	}
	if s.options.Restore {
		s.problem = errors.New("the store is being restored")
		return nil
	}
	snap, err := s.openSnapshot(ctx, m)
	if older := (*olderLayout)(nil); errors.As(err, &older) {
		if m, err = s.migrate(ctx, m); err == nil {
			snap, err = s.openSnapshot(ctx, m)
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrCorrupt):
		return s.setAside([]string{m.file}, err)
	case isMissing(err):
		s.problem = corruptf("%s is missing", m.file)
		s.log.LogAttrs(ctx, slog.LevelError, "the snapshot is missing; its data must be delivered again", slog.String("file", m.file))
		return nil
	default:
		return err
	}
	if snap.state.number > m.number { // the process ended between the two
		if err := s.dir.writeCurrent(snap.state.mark(m.file)); err != nil {
			return errors.Join(err, snap.file.close())
		}
	}
	s.begin(snap)
	return nil
}

func (s *Store) loadReadOnly(ctx context.Context, m mark, err error) error {
	if err != nil {
		if isMissing(err) {
			return fmt.Errorf("%w: there is none in %s", ErrNotReady, s.dir.path)
		}
		return err
	}
	if m.file == noFile {
		return fmt.Errorf("%w: there is none in %s", ErrNotReady, s.dir.path)
	}
	s.verifyAtOnce = ^uint64(0)
	snap, err := s.openSnapshot(ctx, m)
	if err != nil {
		return err
	}
	s.begin(snap)
	return nil
}

// setAside moves what cannot be believed out of the way and says why.
func (s *Store) setAside(names []string, why error) error {
	s.problem = why
	for _, name := range names {
		if err := s.dir.quarantine(name, s.now().UnixMicro()); err != nil && !isMissing(err) {
			return fmt.Errorf("%w (because: %w)", err, why)
		}
		s.quarantined.Add(1)
		s.log.Error("a damaged snapshot was set aside; its data must be delivered again", "file", name, "err", why)
	}
	return nil
}

// openSnapshot opens the file that the mark names, checks it and reads what is small.
func (s *Store) openSnapshot(ctx context.Context, m mark) (*Snapshot, error) {
	path := s.dir.file(m.file)
	if s.options.ReadOnly {
		release, err := shareFile(path)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	if err := skimFile(path, ctx.Err); err != nil {
		return nil, err
	}
	f, err := openFile(ctx, path, m.file, s.options.ReadOnly)
	if err != nil {
		return nil, err
	}
	snap, err := s.readSnapshot(ctx, f, m)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return snap, nil
}

func (s *Store) readSnapshot(ctx context.Context, f *dbFile, m mark) (*Snapshot, error) {
	snap := &Snapshot{file: f, slots: new(slotTable), tenants: map[string]*TenantView{}}
	err := f.view(func(tx *bolt.Tx) (err error) {
		snap.state, err = stateOf(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	st := &snap.state
	switch {
	case st.epoch != m.epoch:
		return nil, corruptf("%s is of epoch %d and %s says %d", f.name, st.epoch, currentName, m.epoch)
	case st.number < m.number:
		return nil, corruptf("%s has gone back to revision %d; %s says %d", f.name, st.number, currentName, m.number)
	case st.number == m.number && st.mark(f.name) != m:
		return nil, corruptf("%s and %s disagree about revision %d", f.name, currentName, st.number)
	case st.foldCase != s.options.FoldCase:
		return nil, fmt.Errorf("%w: it was stored under a catalogue with caseInsensitivePaths: %t; use such a catalogue, or deliver the data again with a restore", ErrCatalogue, st.foldCase)
	}
	snap.revision = authz.Revision{Epoch: st.epoch, Number: st.number}
	choose := everySection
	if st.contents.records() > s.verifyAtOnce && st.schema == schemaVersion {
		choose = section.small
	} else if err := s.walk(f, ctx.Err); err != nil {
		return nil, err
	}
	if err := f.verify(st, choose, ctx.Err); err != nil {
		return nil, err
	}
	if st.schema < schemaVersion { // it is good, and to be written anew
		return nil, &olderLayout{st.schema}
	}
	f.verified.Store(choose(grantsSection))
	var tenants []*smallTenant
	if err := f.view(func(tx *bolt.Tx) (err error) {
		tenants, err = loadSmall(tx)
		return err
	}); err != nil {
		return nil, err
	}
	var errs []error
	for _, t := range tenants {
		view, err := s.compiler.compile(t, st.number)
		if err != nil {
			errs = append(errs, err)
		}
		snap.tenants[t.id] = view
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: use the catalogue and the role packs that it was stored with, or deliver the data again with a restore: %w", ErrCatalogue, errors.Join(errs...))
	}
	return snap, nil
}

// walk walks the structure of a file whole.
func (s *Store) walk(f *dbFile, stop func() error) error {
	err := checkFile(s.dir.file(f.name), stop)
	if err == nil {
		f.walked.Store(true)
	}
	return err
}

// begin serves the first snapshot, and verifies the rest of it if that is yet to be done.
func (s *Store) begin(snap *Snapshot) {
	s.generation = 1
	snap.generation = 1
	s.epochFloor = snap.revision.Epoch
	s.current.Store(snap)
	if snap.file.verified.Load() {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stopVerify = cancel
	s.verifying = make(chan struct{})
	go func() {
		defer close(s.verifying)
		defer cancel()
		large := func(sec section) bool { return !sec.small() }
		err := s.walk(snap.file, ctx.Err)
		if err == nil {
			err = snap.file.verify(&snap.state, large, ctx.Err)
		}
		switch {
		case err == nil:
			snap.file.verified.Store(true)
			s.log.Info("the snapshot is verified", "file", snap.file.name, "records", snap.state.contents.records())
		case ctx.Err() == nil:
			s.damage(snap.file, err)
		}
	}()
}

// damage stops everything from being read of a file that cannot be believed.
func (s *Store) damage(f *dbFile, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.damaged.Swap(true) || s.closed {
		return
	}
	f.finished.Store(true)
	s.problem = why
	s.retired = append(s.retired, f)
	if snap := s.current.Load(); snap != nil && snap.file == f {
		s.current.Store(nil)
		s.changed()
	}
	s.quarantined.Add(1)
	s.log.Error("the snapshot is damaged and was set aside; its data must be delivered again", "file", f.name, "err", why)
	if s.options.ReadOnly {
		return
	}
	if err := s.dir.quarantine(f.name, s.now().UnixMicro()); err != nil && !isMissing(err) {
		s.log.Error("a damaged snapshot could not be set aside", "file", f.name, "err", err)
	}
}

// changed wakes whoever waits for another snapshot. mu is held.
func (s *Store) changed() {
	close(s.watch)
	s.watch = make(chan struct{})
}

// publish serves a snapshot from now on, unless its file was found damaged meanwhile.
func (s *Store) publish(snap *Snapshot, problem error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if snap.file.damaged.Load() {
		return fmt.Errorf("%w: %w", ErrNotReady, s.problem)
	}
	s.problem = problem
	s.generation = snap.generation
	s.epochFloor = max(s.epochFloor, snap.revision.Epoch)
	s.current.Store(snap)
	s.changed()
	return nil
}

// Close stops what runs in the background and closes the file. Whoever uses the store
// must have stopped before.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	snap := s.current.Swap(nil)
	s.changed()
	s.mu.Unlock()

	s.stopVerify()
	<-s.verifying
	s.writer <- struct{}{} // wait for a change that is under way
	defer s.unlock()
	s.closeRetired()
	var errs []error
	if snap != nil {
		errs = append(errs, snap.file.close())
	}
	s.cache.close()
	errs = append(errs, s.dir.close())
	return errors.Join(errs...)
}

// closeRetired closes damaged files. The writer's token is held, so that none of them is
// being written.
func (s *Store) closeRetired() {
	s.mu.Lock()
	retired := s.retired
	s.retired = nil
	s.mu.Unlock()
	for _, f := range retired {
		s.discard(f)
	}
}

// Current returns the snapshot that decisions are taken from; nil: not ready.
func (s *Store) Current() *Snapshot { return s.current.Load() }

// FirstStart tells whether the directory held nothing when the store was opened: no data
// is missing, there never was any.
func (s *Store) FirstStart() bool { return s.firstStart }

// notReady says why there is no snapshot.
func (s *Store) notReady() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return fmt.Errorf("%w: %w", ErrNotReady, ErrClosed)
	case s.problem != nil:
		return fmt.Errorf("%w: %w", ErrNotReady, s.problem)
	}
	return ErrNotReady
}

// Changed returns a channel that is closed when the current snapshot is next replaced, or found
// damaged, or the store is closed.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watch
}

// Await waits until the current snapshot is at least of the revision. The error is the
// context's, or [ErrNotReady] where the store was closed.
func (s *Store) Await(ctx context.Context, r authz.Revision) (*Snapshot, error) {
	for {
		s.mu.Lock()
		watch, closed := s.watch, s.closed
		s.mu.Unlock()
		if snap := s.current.Load(); snap != nil && snap.revision.Compare(r) >= 0 {
			return snap, nil
		}
		if closed {
			return nil, s.notReady()
		}
		select {
		case <-watch:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for revision %d of epoch %d: %w", r.Number, r.Epoch, ctx.Err())
		}
	}
}

// awaitOther waits until the current snapshot is no longer snap.
func (s *Store) awaitOther(ctx context.Context, snap *Snapshot) error {
	watch := s.Changed()
	if s.current.Load() != snap {
		return nil
	}
	s.waits.Add(1)
	select {
	case <-watch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lock takes the right to write.
func (s *Store) lock(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		<-s.writer
		return ErrClosed
	}
	return nil
}

func (s *Store) unlock() { <-s.writer }

// Stats say how the store is doing.
type Stats struct {
	// Ready tells whether there is a snapshot; Problem says why not, or why changes
	// cannot be written although there is one.
	Ready   bool
	Problem string
	// Verified tells whether every record of the file has been read and fits.
	Verified bool
	Revision authz.Revision
	Records  uint64
	// Source, Position and Written are what the last change said and when it came.
	Source   string
	Position []byte
	Written  time.Time
	// FileBytes is the size of the file.
	FileBytes int64
	// Quarantined counts the files set aside since the store was opened.
	Quarantined uint64
	// Hits, Misses and Dropped count cached views used, views read from the file, and
	// views that the cache had no room for.
	Hits, Misses, Dropped uint64
	// Waits counts views that waited for a revision to be published.
	Waits uint64
	// Alarms counts cached views that differed from the file; after the first the cache
	// is off.
	Alarms                     uint64
	CacheOn                    bool
	CacheBytes, CacheCeilBytes int64
}

// Stats returns how the store is doing. No decision from the cache waits for it.
func (s *Store) Stats() Stats {
	st := Stats{Quarantined: s.quarantined.Load(), Alarms: s.alarms.Load(), Waits: s.waits.Load()}
	s.cache.stats(&st)
	s.mu.Lock()
	if s.problem != nil {
		st.Problem = s.problem.Error()
	}
	s.mu.Unlock()
	snap := s.current.Load()
	if snap == nil {
		return st
	}
	st.Ready, st.Verified = true, snap.file.verified.Load()
	st.Revision, st.Records = snap.revision, snap.state.contents.records()
	st.Source, st.Position, st.Written = snap.state.source, snap.state.position, time.UnixMicro(snap.state.written)
	if p := s.position.Load(); p != nil {
		st.Position = *p
	}
	if info, err := os.Stat(filepath.Join(s.dir.path, snap.file.name)); err == nil {
		st.FileBytes = info.Size()
	}
	return st
}

// Export returns all that was delivered, in canonical order. Changes wait until it is
// done.
func (s *Store) Export(ctx context.Context) (*Data, error) {
	d, _, err := s.ExportAt(ctx)
	return d, err
}

// ExportAt is [Store.Export] with the revision of what is exported.
func (s *Store) ExportAt(ctx context.Context) (*Data, authz.Revision, error) {
	if err := s.lock(ctx); err != nil {
		return nil, authz.Revision{}, err
	}
	defer s.unlock()
	snap := s.current.Load()
	if snap == nil {
		return nil, authz.Revision{}, s.notReady()
	}
	select { // what is absent must be absent, not lost
	case <-s.verifying:
	case <-ctx.Done():
		return nil, authz.Revision{}, ctx.Err()
	}
	var d *Data
	err := snap.file.view(func(tx *bolt.Tx) (err error) {
		if err = sameRevision(tx, snap); err == nil {
			d, err = loadData(ctx, tx, snap.state.schema, true)
		}
		return err
	})
	if err != nil {
		return nil, authz.Revision{}, s.readFailed(snap.file, err)
	}
	return d, snap.revision, nil
}

// readFailed turns an error of reading a file into one for the caller, and stops serving
// from the file if it is damaged.
func (s *Store) readFailed(f *dbFile, err error) error {
	if errors.Is(err, ErrCorrupt) {
		s.damage(f, err)
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return err
}
