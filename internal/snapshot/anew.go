package snapshot

import (
	"context"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// ReadAnew is [Store.Read] for whoever holds an answer against the file: what environments
// declare is worked out from what is stored, and not taken from memory.
func (s *Store) ReadAnew(ctx context.Context, read func(*Reader) error) error {
	return s.Read(ctx, func(r *Reader) error {
		r.anew = true
		return read(r)
	})
}

// Differs is told that an answer from memory was not the one that the file gives at the same
// revision. It is an alarm, and nothing is answered from memory any more.
func (s *Store) Differs(ctx context.Context, tenant, principal string, revision authz.Revision) {
	s.alarms.Add(1)
	s.cache.off.Store(true)
	s.databasesOff.Store(true)
	s.log.ErrorContext(ctx, "an answer from memory differs from the snapshot; the cache is off", "tenant", tenant,
		"principal", principal, "revision", revision.Number)
}
