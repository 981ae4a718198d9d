package snapshot

import (
	"context"
	"encoding/binary"
	"errors"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// journalKeep is the number of changes that the journal holds.
const journalKeep = 4096

// A JournalEntry says what one revision changed.
type JournalEntry struct {
	Revision authz.Revision
	// Written is when, in Unix microseconds.
	Written int64
	// Source and Note are what the change said of itself.
	Source, Note string
	// Whole says that everything was written anew; Added is then all there is.
	Whole bool
	// Added, Changed and Removed count what was delivered: tenants, environments,
	// groups, role assignments and so on.
	Added, Changed, Removed uint64
}

// A journalRecord is an entry as it is stored.
type journalRecord struct{ key, payload []byte }

func (e *JournalEntry) record() journalRecord {
	key := binary.BigEndian.AppendUint64(nil, e.Revision.Epoch)
	key = binary.BigEndian.AppendUint64(key, e.Revision.Number)
	b := binary.AppendUvarint([]byte{payloadForm}, uint64(e.Written))
	b = appendText(appendText(b, e.Source), e.Note)
	b = appendBool(b, e.Whole)
	b = binary.AppendUvarint(b, e.Added)
	b = binary.AppendUvarint(b, e.Changed)
	return journalRecord{key, binary.AppendUvarint(b, e.Removed)}
}

func (r journalRecord) entry() (JournalEntry, error) {
	if len(r.key) != 16 {
		return JournalEntry{}, corruptf("a key of the journal cannot be read")
	}
	p := readPayload(string(r.payload))
	e := JournalEntry{
		Revision: authz.Revision{Epoch: binary.BigEndian.Uint64(r.key), Number: binary.BigEndian.Uint64(r.key[8:])},
		Written:  p.int(), Source: p.text(), Note: p.text(), Whole: p.bool(),
		Added: p.uint(), Changed: p.uint(), Removed: p.uint(),
	}
	if p.bad || p.rest != "" {
		return JournalEntry{}, corruptf("an entry of the journal cannot be read")
	}
	return e, nil
}

func putJournal(tx *bolt.Tx, r journalRecord) error {
	value, _ := seal(nil, journalSeal, r.key, r.payload)
	return tx.Bucket(journalBucket).Put(r.key, value)
}

// readEntry reads the entry of a key.
func readEntry(tx *bolt.Tx, key []byte) (JournalEntry, error) {
	value := tx.Bucket(journalBucket).Get(key)
	payload, _, err := unseal(journalSeal, key, value)
	if err != nil {
		return JournalEntry{}, err
	}
	return journalRecord{key, payload}.entry()
}

// trimJournal removes the oldest entries beyond those that are kept.
func trimJournal(tx *bolt.Tx, keep int) error {
	bucket := tx.Bucket(journalBucket)
	var old [][]byte
	n := 0
	cursor := bucket.Cursor()
	for key, _ := cursor.Last(); key != nil; key, _ = cursor.Prev() {
		if n++; n > keep {
			old = append(old, append([]byte(nil), key...))
		}
	}
	for _, key := range old {
		if err := bucket.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// newestJournal reads the newest entries, oldest first.
func newestJournal(tx *bolt.Tx, newest int) ([]journalRecord, error) {
	bucket := tx.Bucket(journalBucket)
	if bucket == nil {
		return nil, corruptf("the file has no journal")
	}
	var all []journalRecord
	cursor := bucket.Cursor()
	for key, value := cursor.Last(); key != nil && len(all) < newest; key, value = cursor.Prev() {
		payload, _, err := unseal(journalSeal, key, value)
		if err != nil {
			return nil, err
		}
		all = append(all, journalRecord{append([]byte(nil), key...), append([]byte(nil), payload...)})
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all, nil
}

// verifyJournal reads every entry.
func verifyJournal(tx *bolt.Tx) error {
	var previous []byte
	cursor := tx.Bucket(journalBucket).Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		if previous != nil && compareKeys(previous, key) >= 0 {
			return corruptf("the keys of the journal are out of order")
		}
		previous = append(previous[:0], key...)
		payload, _, err := unseal(journalSeal, key, value)
		if err != nil {
			return err
		}
		if _, err := (journalRecord{key, payload}).entry(); err != nil {
			return err
		}
	}
	return nil
}

func readJournal(f *dbFile, newest int) (all []journalRecord, err error) {
	err = f.view(func(tx *bolt.Tx) error {
		all, err = newestJournal(tx, newest)
		return err
	})
	return all, err
}

// Journal returns what the newest revisions changed, oldest first.
func (s *Store) Journal(ctx context.Context, newest int) ([]JournalEntry, error) {
	for ctx.Err() == nil {
		snap := s.current.Load()
		if snap == nil {
			return nil, s.notReady()
		}
		records, err := readJournal(snap.file, newest)
		if errors.Is(err, berrors.ErrDatabaseNotOpen) && s.current.Load() != snap {
			continue
		}
		if err != nil {
			return nil, s.readFailed(snap.file, err)
		}
		entries := make([]JournalEntry, 0, len(records))
		for _, r := range records {
			e, err := r.entry()
			if err != nil {
				return nil, s.readFailed(snap.file, err)
			}
			entries = append(entries, e)
		}
		return entries, nil
	}
	return nil, ctx.Err()
}
