package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A View is what one subject holds at one revision, through itself and all that it
// belongs to. It is immutable and safe for concurrent use.
type View struct {
	Grants *authz.Grants
	// Disabled says that the caller is disabled, which denies it everything.
	Disabled bool

	key   string // of the subject, whole
	stamp stamp
	// proven is the newest revision that the view was found to be good at.
	proven atomic.Uint64
	// slots are those of every principal that was walked, present or absent.
	slots []uint16
}

// nothing is the view of a subject of whose tenant nothing is known.
var nothing = &View{}

// A stamp says what a view was read from, or what is published.
type stamp struct {
	generation uint64 // of the store
	tenant     uint64 // the revision at which the tenant's roles or scopes last changed
	revision   uint64
}

// usable tells whether a view read at v may be used for a decision on what is published
// as p. proven is a revision at which the view was found usable before. slot returns a
// slot's value, and must be called after p was loaded: a writer raises the slots of all
// that a revision changes after committing it and before publishing it, so whoever holds
// p sees every change up to p.
//
// It is the only place where that is decided; the model test explores it.
func (v stamp) usable(p stamp, proven uint64, slots []uint16, slot func(uint16) uint64) bool {
	if v.generation != p.generation || v.tenant != p.tenant || v.revision > p.revision {
		return false
	}
	if p.revision <= proven {
		return true // nothing that it depends on changed up to a later revision
	}
	for _, i := range slots {
		if slot(i) > v.revision {
			return false
		}
	}
	return true
}

func (t *slotTable) load(i uint16) uint64 { return t[i].Load() }

func (s *Snapshot) stamp(t *TenantView) stamp {
	return stamp{generation: s.generation, tenant: t.number, revision: s.state.number}
}

// A viewCache is a ceiling on memory around ristretto. Nothing that it does wrong can be
// more than a miss.
type viewCache struct {
	ristretto *ristretto.Cache[string, *View]
	ceiling   int64
	off       atomic.Bool
	every     uint64 // one in so many hits is compared with the file

	hits, misses, dropped atomic.Uint64
}

const (
	// shadowEvery is how many hits one comparison is spread over: of a caller in two
	// hundred groups it takes as long as a thousand hits.
	shadowEvery = 8192
	viewCost    = 320                                       // of a view that holds nothing, with its place in the cache
	grantCost   = int64(unsafe.Sizeof(authz.Grant{})) + 144 // with its share of the indexes, by heap profiles
)

func newViewCache(ceiling int64) (*viewCache, error) {
	c := &viewCache{ceiling: ceiling, every: shadowEvery}
	if ceiling == 0 {
		c.ceiling = defaultCacheBytes
	}
	if c.ceiling < 0 {
		c.ceiling = 0
		c.off.Store(true)
		return c, nil
	}
	var err error
	c.ristretto, err = ristretto.NewCache(&ristretto.Config[string, *View]{
		NumCounters: min(max(c.ceiling/1024*10, 1<<10), 1<<24),
		MaxCost:     c.ceiling, BufferItems: 64, IgnoreInternalCost: true, KeyToHash: hashesOf,
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of views: %w", err)
	}
	return c, nil
}

// hashesOf are the two by which ristretto tells keys apart: parts of a subject's digest, which
// is as good a hash as any. Should two subjects ever share them, one costs the other its place.
func hashesOf(digest string) (key, conflict uint64) {
	return binary.LittleEndian.Uint64([]byte(digest[:8])), binary.LittleEndian.Uint64([]byte(digest[8:16]))
}

func (c *viewCache) close() {
	if c.ristretto != nil {
		c.ristretto.Close()
	}
}

func (c *viewCache) get(subject *authz.Subject) *View {
	if c.off.Load() {
		return nil
	}
	v, ok := c.ristretto.Get(subject.Digest())
	if !ok || v.key != subject.Key() {
		return nil
	}
	return v
}

func (c *viewCache) set(subject *authz.Subject, v *View, cost int64) {
	if !c.off.Load() && !c.ristretto.Set(subject.Digest(), v, cost) {
		c.dropped.Add(1)
	}
}

func (c *viewCache) stats(s *Stats) {
	s.Hits, s.Misses, s.Dropped = c.hits.Load(), c.misses.Load(), c.dropped.Load()
	s.CacheOn, s.CacheCeilBytes = !c.off.Load(), c.ceiling
	if c.ristretto != nil {
		s.CacheBytes = c.ceiling - c.ristretto.RemainingCost()
	}
}

// errNewer says that a transaction read a revision that is not published yet.
var errNewer = errors.New("the revision is not published yet")

// View returns what the subject holds and the snapshot that this is true of: the newest
// that was published when View was called, or a later one. Where nothing can be decided
// from, the error is [ErrNotReady]; where ctx ends first, the context's.
//
// A view that is cached costs one lookup and no allocation.
func (s *Store) View(ctx context.Context, subject *authz.Subject) (*Snapshot, *View, error) {
	for {
		snap := s.current.Load()
		if snap == nil {
			return nil, nil, s.notReady()
		}
		tenant := snap.tenants[subject.Tenant()]
		if tenant == nil {
			return snap, nothing, nil
		}
		if v := s.cached(snap, tenant, subject); v != nil {
			if s.cache.hits.Add(1)%s.cache.every != 0 {
				return snap, v, nil
			}
			return s.shadow(ctx, snap, tenant, subject, v)
		}
		s.cache.misses.Add(1)
		v, cost, err := s.read(snap, tenant, subject)
		switch {
		case err == nil:
			s.cache.set(subject, v, cost)
			return snap, v, nil
		case errors.Is(err, errNewer):
			if err := s.awaitOther(ctx, snap); err != nil {
				return nil, nil, fmt.Errorf("wait for a revision to be published: %w", err)
			}
		case errors.Is(err, berrors.ErrDatabaseNotOpen) && s.current.Load() != snap:
			// Another file took its place.
		default:
			return nil, nil, s.readFailed(snap.file, err)
		}
	}
}

// CachedView is [Store.View] as far as memory goes: it reads no file and waits for
// nobody. ok is false where that is not enough, and then View is to be asked.
func (s *Store) CachedView(subject *authz.Subject) (snap *Snapshot, v *View, ok bool) {
	if snap = s.current.Load(); snap == nil {
		return nil, nil, false
	}
	tenant := snap.tenants[subject.Tenant()]
	if tenant == nil {
		return snap, nothing, true
	}
	if v = s.cached(snap, tenant, subject); v == nil || !s.cache.hit() {
		return nil, nil, false
	}
	return snap, v, true
}

// cached returns the subject's view if it is cached and good for the snapshot, else nil.
func (s *Store) cached(snap *Snapshot, tenant *TenantView, subject *authz.Subject) *View {
	v := s.cache.get(subject)
	if v == nil {
		return nil
	}
	published := snap.stamp(tenant)
	proven := v.proven.Load()
	if !v.stamp.usable(published, proven, v.slots, snap.slots.load) {
		return nil
	}
	if proven < published.revision {
		raise(&v.proven, published.revision)
	}
	return v
}

// hit counts a hit, unless it is one whose view is to be compared with the file: that one
// is left to [Store.View], and until it was there every other hit is, too.
func (c *viewCache) hit() bool {
	for {
		n := c.hits.Load()
		if (n+1)%c.every == 0 {
			return false
		}
		if c.hits.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// raise sets a to at least to.
func raise(a *atomic.Uint64, to uint64) {
	for old := a.Load(); old < to; old = a.Load() {
		if a.CompareAndSwap(old, to) {
			return
		}
	}
}

// shadow compares a cached view with the file at the same revision.
func (s *Store) shadow(ctx context.Context, snap *Snapshot, tenant *TenantView, subject *authz.Subject, cached *View) (*Snapshot, *View, error) {
	fresh, _, err := s.read(snap, tenant, subject)
	if errors.Is(err, ErrCorrupt) {
		return nil, nil, s.readFailed(snap.file, err)
	}
	// Where the file has a newer revision already, there is nothing to compare with.
	if differs := err == nil && !sameView(cached, fresh); !differs {
		return snap, cached, nil
	}
	s.alarms.Add(1)
	s.cache.off.Store(true)
	s.log.ErrorContext(ctx, "a cached view differs from the snapshot; the cache is off", "tenant", subject.Tenant(),
		"principal", subject.Principal().ID, "revision", snap.revision.Number)
	return snap, fresh, nil
}

func sameView(a, b *View) bool {
	return a.Disabled == b.Disabled && slices.Equal(a.Grants.All(), b.Grants.All())
}

// sameRevision checks that a transaction reads the revision of the snapshot.
func sameRevision(tx *bolt.Tx, snap *Snapshot) error {
	epoch, number, err := revisionOf(tx)
	switch {
	case err != nil:
		return err
	case epoch != snap.state.epoch || number < snap.state.number:
		return corruptf("the file is at revision %d of epoch %d and was at %d of %d", number, epoch, snap.state.number, snap.state.epoch)
	case number > snap.state.number:
		return errNewer
	}
	return nil
}

// read reads a view from the file, in one short transaction.
func (s *Store) read(snap *Snapshot, tenant *TenantView, subject *authz.Subject) (*View, int64, error) {
	w := walk{store: s, file: snap.file, tenantID: subject.Tenant(), tenant: tenant, cost: viewCost + int64(len(subject.Key()))}
	err := snap.file.view(func(tx *bolt.Tx) error {
		if err := sameRevision(tx, snap); err != nil {
			return err
		}
		w.bucket = tx.Bucket(sectionBuckets[grantsSection])
		if w.bucket == nil {
			return corruptf("the file has no %q", grantsSection)
		}
		// Read first: absence counts only if all was verified before this transaction.
		w.verified = snap.file.verified.Load()
		return w.subject(subject)
	})
	if err != nil {
		return nil, 0, err
	}
	v := &View{
		Grants: authz.NewGrants(w.grants), Disabled: w.disabled, key: subject.Key(),
		stamp: snap.stamp(tenant), slots: w.slots,
	}
	v.proven.Store(v.stamp.revision)
	return v, w.cost, nil
}
