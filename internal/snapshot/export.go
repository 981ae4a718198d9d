package snapshot

import (
	"context"
	"errors"
	"os"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// An Export is all that was delivered, for whoever cannot hold it: its role assignments are
// read one by one. It is valid until the function that it was given to returns.
type Export struct {
	// Data is all but the role assignments.
	Data *Data
	// Revision is that of what is exported.
	Revision authz.Revision

	ctx    context.Context
	tx     *bolt.Tx
	schema uint64
	dir    string
}

// ExportEach calls export with all that was delivered. Changes wait until it is done. Where
// there are more role assignments than fit into memory, they are sorted in temporary files
// in dir.
func (s *Store) ExportEach(ctx context.Context, dir string, export func(*Export) error) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	snap := s.current.Load()
	if snap == nil {
		return s.notReady()
	}
	select { // what is absent must be absent, not lost
	case <-s.verifying:
	case <-ctx.Done():
		return ctx.Err()
	}
	var failed error // of export itself, and not of the file
	err := snap.file.view(func(tx *bolt.Tx) error {
		if err := sameRevision(tx, snap); err != nil {
			return err
		}
		d, err := loadData(ctx, tx, snap.state.schema, false)
		if err != nil {
			return err
		}
		failed = export(&Export{Data: d, Revision: snap.revision, ctx: ctx, tx: tx, schema: snap.state.schema, dir: dir})
		if errors.Is(failed, ErrCorrupt) {
			return failed
		}
		return nil
	})
	if err != nil {
		return s.readFailed(snap.file, err)
	}
	return failed
}

// RoleAssignments calls yield with each role assignment of a tenant, in the order of the
// keys that key appends; what has one key comes in any order. yield does not keep what it
// is given.
func (e *Export) RoleAssignments(tenant string, key func(dst []byte, a *RoleAssignment) []byte, yield func(*RoleAssignment) error) (err error) {
	order := newSorter(e.ctx, sortBuffer, func() (*os.File, error) { return os.CreateTemp(e.dir, "pathgrant-export-") })
	defer func() { err = errors.Join(err, order.close()) }()
	prefix := appendPart(nil, tenant)
	var k, v []byte
	read := func(id string, payload []byte) (RoleAssignment, error) {
		return readRoleAssignment(roleAssignmentSection, id, string(payload))
	}
	err = eachRecord(e.tx, roleAssignmentSection, prefix, func(stored, payload []byte, _ digest) error {
		id := keyReader{rest: stored[len(prefix):]}
		a, err := read(id.part(), payload)
		if err == nil {
			err = id.done(roleAssignmentSection)
		}
		if err != nil {
			return err
		}
		k, v = key(k[:0], &a), append(append(v[:0], stored[len(prefix):]...), payload...)
		return order.add(k, v)
	})
	if err != nil {
		return err
	}
	return order.each(func(_, value []byte) error {
		id := keyReader{rest: value}
		text := id.part()
		a, err := read(text, id.rest)
		if err != nil {
			return err
		}
		return yield(&a)
	})
}
