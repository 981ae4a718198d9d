package snapshot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Buckets and keys besides the sections'.
var (
	metaBucket    = []byte("meta")
	journalBucket = []byte("journal")
	revisionKey   = []byte("revision")
	stateKey      = []byte("state")
)

const (
	openDeadline = 30 * time.Second
	lockTimeout  = 2 * time.Second
	verifyStop   = 1024 // records between two looks at whether to stop
)

// A state is what a file says about itself, written with every revision.
type state struct {
	schema        uint64
	epoch, number uint64
	foldCase      bool
	contents      contents
	// position is where the source stood, in its own words, and source its name.
	source   string
	position []byte
	written  int64 // Unix microseconds
}

func (s *state) append(b []byte) []byte {
	b = binary.AppendUvarint(b, s.schema)
	b = binary.AppendUvarint(b, s.epoch)
	b = binary.AppendUvarint(b, s.number)
	b = appendBool(b, s.foldCase)
	for sec := range section(sectionsOf(s.schema)) {
		b = binary.AppendUvarint(b, s.contents.counts[sec])
		for _, lane := range s.contents.sums[sec] {
			b = binary.BigEndian.AppendUint64(b, lane)
		}
	}
	b = appendText(b, s.source)
	b = appendText(b, string(s.position))
	return binary.AppendUvarint(b, uint64(s.written))
}

// readState reads what append writes. A newer schema is an [ErrSchema].
func readState(payload string) (state, error) {
	r := &payloadReader{rest: payload}
	s := state{schema: r.uint()}
	if !r.bad && s.schema > schemaVersion {
		return state{}, fmt.Errorf("%w (layout %d; this release knows %d)", ErrSchema, s.schema, schemaVersion)
	}
	r.wide = s.schema <= wideSchema
	s.epoch = r.uint()
	s.number = r.uint()
	s.foldCase = r.bool()
	for sec := range section(sectionsOf(s.schema)) {
		s.contents.counts[sec] = r.uint()
		for i := range s.contents.sums[sec] {
			for range 8 {
				s.contents.sums[sec][i] = s.contents.sums[sec][i]<<8 | uint64(r.byte())
			}
		}
	}
	s.source = r.text()
	s.position = []byte(r.text())
	s.written = r.int()
	if r.bad || r.rest != "" || s.schema == 0 || s.epoch == 0 || s.number == 0 {
		return state{}, corruptf("the file's state cannot be read")
	}
	return s, nil
}

func (s *state) mark(file string) mark {
	return mark{epoch: s.epoch, number: s.number, records: s.contents.records(), sum: s.contents.sum(), file: file}
}

// A dbFile is one open snapshot file.
type dbFile struct {
	name  string
	db    *bolt.DB
	probe *os.File // the same file, to look at its meta pages before bbolt does

	// begin is held while bbolt begins a transaction. A fault there leaves bbolt's own
	// locks held, so nobody may try again.
	begin sync.Mutex
	shut  bool // guarded by begin
	// stuck says that bbolt's locks may be held for ever: the file is never closed.
	stuck atomic.Bool

	// damaged says that nothing of the file may be believed any more.
	damaged atomic.Bool
	// finished says that nothing may be written to the file any more.
	finished atomic.Bool
	// walked says that the structure was walked whole. Until then bbolt must not look at the
	// leaves of what is large, and nothing may be written.
	walked atomic.Bool
	// verified says that every record was read and fits: what is absent is absent.
	verified atomic.Bool
}

// frame runs fn so that a page of a mapped file that is gone is an error, not the end of
// the process.
func frame(fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if cause := recover(); cause != nil {
			err = &faultError{cause}
		}
	}()
	return fn()
}

// openFile opens a file that was checked before, within a deadline.
func openFile(ctx context.Context, path, name string, readOnly bool) (*dbFile, error) {
	probe, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	type result struct {
		db  *bolt.DB
		err error
	}
	opened, gaveUp := make(chan result), make(chan struct{})
	go func() {
		var r result
		r.err = frame(func() (err error) {
			r.db, err = bolt.Open(path, fileMode, &bolt.Options{
				Timeout: lockTimeout, ReadOnly: readOnly, NoStatistics: true, FreelistType: bolt.FreelistMapType,
			})
			return err
		})
		select {
		case opened <- r:
		case <-gaveUp:
			if r.err == nil {
				_ = frame(r.db.Close)
			}
		}
	}()
	deadline := time.NewTimer(openDeadline)
	defer deadline.Stop()
	var r result
	select {
	case r = <-opened:
	case <-deadline.C:
		close(gaveUp)
		r.err = corruptf("opening %s did not end within %v", name, openDeadline)
	case <-ctx.Done():
		close(gaveUp)
		r.err = fmt.Errorf("open %s: %w", name, ctx.Err())
	}
	switch {
	case r.err == nil:
		return &dbFile{name: name, db: r.db, probe: probe}, nil
	case errors.Is(r.err, berrors.ErrTimeout):
		r.err = heldByServer(path)
	case errors.Is(r.err, berrors.ErrInvalid), errors.Is(r.err, berrors.ErrVersionMismatch), errors.Is(r.err, berrors.ErrChecksum):
		r.err = corruptf("%s: %v", name, r.err)
	default:
		r.err = fmt.Errorf("open %s: %w", name, r.err)
	}
	_ = probe.Close()
	return nil, r.err
}

// close closes the file, unless bbolt would wait for ever. It may be called again.
func (f *dbFile) close() error {
	f.begin.Lock()
	defer f.begin.Unlock()
	if f.shut {
		return nil
	}
	f.shut = true
	_ = f.probe.Close()
	if f.stuck.Load() {
		return nil
	}
	if err := frame(f.db.Close); err != nil {
		return fmt.Errorf("close %s: %w", f.name, err)
	}
	return nil
}

// tx begins a transaction. Before bbolt reads its meta pages through the mapping, they
// are read through the file: where that fails, bbolt would fault with its locks held.
func (f *dbFile) tx(writable bool) (*bolt.Tx, error) {
	f.begin.Lock()
	defer f.begin.Unlock()
	if f.shut {
		return nil, berrors.ErrDatabaseNotOpen
	}
	if f.stuck.Load() {
		return nil, corruptf("%s cannot be read any more", f.name)
	}
	if _, err := readMeta(f.probe); err != nil {
		return nil, err
	}
	begun := false
	defer func() {
		if !begun {
			f.stuck.Store(true)
		}
	}()
	tx, err := f.db.Begin(writable)
	begun = true
	return tx, err
}

// view reads the file in one transaction.
func (f *dbFile) view(fn func(tx *bolt.Tx) error) error {
	return frame(func() error {
		tx, err := f.tx(false)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		return fn(tx)
	})
}

// update writes the file in one transaction: prepare says what, and what it returns an
// error of, or panics at, is undone and the file is as it was. Only prepare may run what
// is not the store's own, so that a panic there is not taken for a fault of the file.
// After any other error nothing may be written to the file any more.
func (f *dbFile) update(prepare func(tx *bolt.Tx) error) (err error) {
	tx, err := f.beginUpdate()
	if err != nil {
		return err
	}
	prepared := false
	defer func() {
		if prepared {
			return
		}
		if undo := f.endUpdate(tx.Rollback); undo != nil {
			err = errors.Join(err, undo)
		}
	}()
	if err := prepare(tx); err != nil {
		return err
	}
	prepared = true
	return f.endUpdate(func() error {
		err := tx.Commit()
		if err != nil {
			_ = tx.Rollback()
			err = &commitError{err}
		}
		return err
	})
}

// A commitError is what went wrong when a change was to be committed, so that it may or
// may not have been.
type commitError struct{ cause error }

func (e *commitError) Error() string { return e.cause.Error() }
func (e *commitError) Unwrap() error { return e.cause }

func (f *dbFile) beginUpdate() (tx *bolt.Tx, err error) {
	err = frame(func() error {
		tx, err = f.tx(true)
		return err
	})
	if err != nil {
		f.finished.Store(true)
	}
	return tx, err
}

// endUpdate commits or rolls back. A fault there may leave bbolt's locks held.
func (f *dbFile) endUpdate(end func() error) error {
	ended := false
	err := frame(func() error {
		err := end()
		ended = true
		return err
	})
	if err != nil {
		f.finished.Store(true)
	}
	if !ended {
		f.stuck.Store(true)
		err = &commitError{err}
	}
	return err
}

// revisionOf reads the revision of a transaction.
func revisionOf(tx *bolt.Tx) (epoch, number uint64, err error) {
	bucket := tx.Bucket(metaBucket)
	if bucket == nil {
		return 0, 0, corruptf("the file is not a snapshot")
	}
	payload, _, err := unseal(metaSeal, revisionKey, bucket.Get(revisionKey))
	if err != nil {
		return 0, 0, err
	}
	if len(payload) != 16 {
		return 0, 0, corruptf("the revision cannot be read")
	}
	return binary.BigEndian.Uint64(payload), binary.BigEndian.Uint64(payload[8:]), nil
}

// stateOf reads the state of a transaction.
func stateOf(tx *bolt.Tx) (state, error) {
	epoch, number, err := revisionOf(tx)
	if err != nil {
		return state{}, err
	}
	payload, _, err := unseal(metaSeal, stateKey, tx.Bucket(metaBucket).Get(stateKey))
	if err != nil {
		return state{}, err
	}
	s, err := readState(string(payload))
	if err == nil && (s.epoch != epoch || s.number != number) {
		err = corruptf("the file names two revisions")
	}
	return s, err
}

func putState(tx *bolt.Tx, s *state) error {
	bucket := tx.Bucket(metaBucket)
	revision := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, s.epoch), s.number)
	value, _ := seal(nil, metaSeal, revisionKey, revision)
	if err := bucket.Put(revisionKey, value); err != nil {
		return err
	}
	value, _ = seal(nil, metaSeal, stateKey, s.append(nil))
	return bucket.Put(stateKey, value)
}

// eachRecord calls yield for every record of a section, checked, in the order of keys.
// Key and payload are valid until yield returns.
func eachRecord(tx *bolt.Tx, sec section, prefix []byte, yield func(key, payload []byte, d digest) error) error {
	bucket := tx.Bucket(sectionBuckets[sec])
	if bucket == nil {
		return corruptf("the file has no %q", sec)
	}
	var previous []byte
	cursor := bucket.Cursor()
	for key, value := cursor.Seek(prefix); key != nil && hasPrefix(key, prefix); key, value = cursor.Next() {
		if previous != nil && compareKeys(previous, key) >= 0 {
			return corruptf("the keys of %q are out of order", sec)
		}
		previous = append(previous[:0], key...)
		payload, d, err := unseal(byte(sec), key, value)
		if err != nil {
			return err
		}
		if err := yield(key, payload, d); err != nil {
			return err
		}
	}
	return nil
}

func hasPrefix(key, prefix []byte) bool {
	return len(key) >= len(prefix) && string(key[:len(prefix)]) == string(prefix)
}

// verifySection reads every record of a section and compares count and hash.
func verifySection(tx *bolt.Tx, sec section, s *state, stop func() error) error {
	var count uint64
	var sum digest
	err := eachRecord(tx, sec, nil, func(key, payload []byte, d digest) error {
		if count++; count > s.contents.counts[sec] {
			return corruptf("there are more records in %q than were written", sec)
		}
		if count%verifyStop == 0 {
			if err := stop(); err != nil {
				return err
			}
		}
		sum.add(d)
		return checkRecord(s.schema, sec, key, string(payload))
	})
	if err != nil {
		return err
	}
	if count != s.contents.counts[sec] || sum != s.contents.sums[sec] {
		return corruptf("the records in %q are not those that were written", sec)
	}
	return nil
}

// verifyBuckets checks that the file has the buckets of a snapshot and no other.
func verifyBuckets(tx *bolt.Tx, schema uint64) error {
	want := map[string]bool{string(metaBucket): true, string(journalBucket): true}
	for _, name := range sectionBuckets[:sectionsOf(schema)] {
		want[string(name)] = true
	}
	err := tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		if !want[string(name)] {
			return corruptf("the file has a bucket %q", name)
		}
		delete(want, string(name))
		return nil
	})
	if err == nil && len(want) > 0 {
		err = corruptf("the file has %d buckets too few", len(want))
	}
	return err
}

// verify reads the sections that choose picks and compares them with the state.
func (f *dbFile) verify(s *state, choose func(section) bool, stop func() error) error {
	return f.view(func(tx *bolt.Tx) error {
		if err := verifyBuckets(tx, s.schema); err != nil {
			return err
		}
		for sec := range section(sectionsOf(s.schema)) {
			if choose(sec) {
				if err := verifySection(tx, sec, s, stop); err != nil {
					return err
				}
			}
		}
		if choose(roleAssignmentSection) {
			return verifyJournal(tx)
		}
		return nil
	})
}

func everySection(section) bool { return true }

// checkFile walks the structure of a file that nobody writes to.
func checkFile(path string, stop func() error) error { return walkFile(path, nil, stop) }

// skimFile is checkFile without the leaves of what is large.
func skimFile(path string, stop func() error) error {
	return walkFile(path, func(bucket []byte) bool {
		sec := slices.IndexFunc(sectionBuckets[:], func(name []byte) bool { return bytes.Equal(name, bucket) })
		return sec >= 0 && !section(sec).small()
	}, stop)
}

func walkFile(path string, skim func(bucket []byte) bool, stop func() error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the snapshot: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open the snapshot: %w", err)
	}
	if info.Size() == 0 {
		return corruptf("%s is empty", info.Name())
	}
	return checkStructure(f, info.Size(), skim, stop)
}

// get reads a value from a bucket; nil where there is none.
func (f *dbFile) get(bucket *bolt.Bucket, key []byte) ([]byte, error) {
	if f.walked.Load() || bucket.Root() == 0 { // a bucket without pages of its own was walked with what is around it
		return bucket.Get(key), nil
	}
	meta, err := readMeta(f.probe)
	if err != nil {
		return nil, err
	}
	return find(f.probe, meta, uint64(bucket.Root()), key)
}
