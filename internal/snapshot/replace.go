package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	// Record, if not nil, is called by [Store.Replace] and [Store.Deliver] where something
	// differs, with the data as it will be, to make an entry in the change log within the
	// same revision. Its error refuses the data.
	Record func(*Edit) error
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
	c, err := s.compiler.canonicalize(d)
	if err != nil {
		return authz.Revision{}, err
	}
	if err := s.lockVerified(ctx); err != nil {
		return authz.Revision{}, err
	}
	defer s.unlock()
	held := s.current.Load()
	if held == nil || held.file.finished.Load() {
		return s.rebuild(ctx, c, change, held, change.Record)
	}
	changes, err := s.difference(ctx, held, c)
	switch {
	case errors.Is(err, errTooMany):
		return s.rebuild(ctx, c, change, held, change.Record)
	case errors.Is(err, ErrCorrupt):
		// What is held is damaged, and here is all of it anew.
		s.damage(held.file, err)
		return s.rebuild(ctx, c, change, held, change.Record)
	case err != nil:
		return authz.Revision{}, err
	case len(changes) == 0:
		position := slices.Clone(change.Position)
		s.position.Store(&position)
		return held.revision, nil
	}
	if bloated(held.file, s.bloatedAbove) {
		return s.rebuild(ctx, c, change, held, change.Record)
	}
	return s.transact(ctx, held, change, func(e *Edit) error {
		for _, ch := range changes {
			if err := e.put(ch.sec, ch.key, ch.payload); err != nil {
				return err
			}
		}
		if change.Record == nil {
			return nil
		}
		return change.Record(e)
	})
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

// A recordChange is a canonical record that differs; the payload is nil where it is gone.
type recordChange struct {
	sec          section
	key, payload []byte
}

var errTooMany = errors.New("too many records differ")

// difference compares what is held with what was delivered.
func (s *Store) difference(ctx context.Context, held *Snapshot, c *canonical) ([]recordChange, error) {
	var changes []recordChange
	add := func(sec section, key, payload []byte) error {
		if uint64(len(changes)) == s.rebuildAbove {
			return errTooMany
		}
		changes = append(changes, recordChange{sec, bytes.Clone(key), bytes.Clone(payload)})
		return nil
	}
	err := held.file.view(func(tx *bolt.Tx) error {
		if err := sameRevision(tx, held); err != nil {
			return err
		}
		for _, sec := range canonicalSections {
			if err := differSection(ctx, tx, sec, c, add); err != nil {
				return err
			}
		}
		return nil
	})
	return changes, err
}

// differSection walks a section of the file and the same section of the data side by side.
func differSection(ctx context.Context, tx *bolt.Tx, sec section, c *canonical, add func(sec section, key, payload []byte) error) error {
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
			if err := add(sec, heldKey, nil); err != nil {
				return err
			}
			if err := next(); err != nil {
				return err
			}
		}
		if heldKey == nil || !bytes.Equal(heldKey, key) {
			return add(sec, key, payload)
		}
		if !bytes.Equal(heldPayload, payload) {
			if err := add(sec, key, payload); err != nil {
				return err
			}
		}
		return next()
	})
	for err == nil && heldKey != nil {
		if err = add(sec, heldKey, nil); err == nil {
			err = next()
		}
	}
	return err
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
