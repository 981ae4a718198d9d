package snapshot

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
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

	gone  atomic.Bool // from the cache
	key   string      // of the subject, whole
	stamp stamp
	// proven is the newest revision that the view was found to be good at.
	proven atomic.Uint64
	held   authz.Grants // what Grants points to
	// What is above is looked at for every decision: a line of a CPU's cache, and those
	// behind it.

	hash uint64 // of the key
	// slots are those of every principal that was walked, present or absent.
	slots []uint16
}

// nothing is the view of a subject of whose tenant nothing is known.
var nothing = &View{}

// A Found is a view with what it is true of.
type Found struct {
	Snapshot *Snapshot
	Tenant   *TenantView // nil: the snapshot does not list it
	View     *View
}

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
	ristretto *ristretto.Cache[uint64, *View] // by the hashes of subjects
	// front is where views that ristretto holds are found without asking it, by the last bits
	// of the same hashes: what it does besides, to know what is worth holding, costs as much
	// as a decision. One in so many of those hits goes to ristretto all the same, so that it
	// knows; and when it lets go of a view, so does the front.
	front   []atomic.Pointer[View]
	ceiling int64
	off     atomic.Bool
	every   uint64 // one in so many hits is compared with the file

	hits, misses, dropped atomic.Uint64
}

const (
	// shadowEvery is how many hits one comparison is spread over: of a caller in two
	// hundred groups it takes as long as a thousand hits.
	shadowEvery = 8192
	// countEvery is how many hits in the front one is drawn from that ristretto is told of.
	countEvery = 32
	// frontSize is a power of two.
	frontSize = 1 << 14
	viewCost  = 400                                       // of a view that holds nothing, with its place in the cache
	grantCost = int64(unsafe.Sizeof(authz.Grant{})) + 144 // with its share of the indexes, by heap profiles
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
	c.front = make([]atomic.Pointer[View], frontSize)
	c.ristretto, err = ristretto.NewCache(&ristretto.Config[uint64, *View]{
		NumCounters: min(max(c.ceiling/1024*10, 1<<10), 1<<24),
		MaxCost:     c.ceiling, BufferItems: 64, IgnoreInternalCost: true, OnExit: c.forget,
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of views: %w", err)
	}
	return c, nil
}

func (c *viewCache) close() {
	if c.ristretto != nil {
		c.ristretto.Close()
	}
}

// get returns the view of the subject, nil where there is none. Should two subjects share a
// hash, one costs the other its place.
func (c *viewCache) get(subject *authz.Subject) *View {
	if c.off.Load() {
		return nil
	}
	hash := subject.Hash()
	slot := &c.front[hash%frontSize]
	if v := slot.Load(); v != nil && v.key == subject.Key() && !v.gone.Load() && !counted(c.hits.Load()) {
		return v
	}
	v, ok := c.ristretto.Get(hash)
	if !ok || v.key != subject.Key() {
		return nil
	}
	slot.Store(v)
	if v.gone.Load() { // and forget may have looked at the slot before it was here
		slot.CompareAndSwap(v, nil)
	}
	return v
}

// counted draws whether ristretto is to be told of a hit, by the hit's number, so that subjects
// that take turns are all drawn alike.
func counted(hit uint64) bool {
	const golden = 0x9E3779B97F4A7C15 // 2^64 over the golden ratio
	high, low := bits.Mul64(hit^golden>>1, golden)
	return (high^low)%countEvery == 0
}

// forget takes a view that ristretto let go of out of the front.
func (c *viewCache) forget(v *View) {
	if v == nil {
		return
	}
	v.gone.Store(true)
	c.front[v.hash%frontSize].CompareAndSwap(v, nil)
}

func (c *viewCache) set(v *View, cost int64) {
	if !c.off.Load() && !c.ristretto.Set(v.hash, v, cost) {
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

// View returns what the subject holds, and the snapshot that this is true of: the newest
// that was published when View was called, or a later one. Where nothing can be decided
// from, the error is [ErrNotReady]; where ctx ends first, the context's.
//
// A view that is cached costs one lookup and no allocation.
func (s *Store) View(ctx context.Context, subject *authz.Subject) (Found, error) {
	for {
		snap := s.current.Load()
		if snap == nil {
			return Found{}, s.notReady()
		}
		tenant := snap.tenants[subject.Tenant()]
		if tenant == nil {
			return Found{snap, nil, nothing}, nil
		}
		if v := s.cached(snap, tenant, subject); v != nil {
			if s.cache.hits.Add(1)%s.cache.every != 0 {
				return Found{snap, tenant, v}, nil
			}
			return s.shadow(ctx, snap, tenant, subject, v)
		}
		s.cache.misses.Add(1)
		v, cost, err := s.read(snap, tenant, subject)
		switch {
		case err == nil:
			s.cache.set(v, cost)
			return Found{snap, tenant, v}, nil
		case errors.Is(err, errNewer):
			if err := s.awaitOther(ctx, snap); err != nil {
				return Found{}, fmt.Errorf("wait for a revision to be published: %w", err)
			}
		case errors.Is(err, berrors.ErrDatabaseNotOpen) && s.current.Load() != snap:
			// Another file took its place.
		default:
			return Found{}, s.readFailed(snap.file, err)
		}
	}
}

// CachedView is [Store.View] as far as memory goes: it reads no file and waits for
// nobody. ok is false where that is not enough, and then View is to be asked.
func (s *Store) CachedView(subject *authz.Subject) (f Found, ok bool) {
	snap := s.current.Load()
	if snap == nil {
		return Found{}, false
	}
	tenant := snap.tenants[subject.Tenant()]
	if tenant == nil {
		return Found{snap, nil, nothing}, true
	}
	v := s.cached(snap, tenant, subject)
	if v == nil || !s.cache.hit() {
		return Found{}, false
	}
	return Found{snap, tenant, v}, true
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
func (s *Store) shadow(ctx context.Context, snap *Snapshot, tenant *TenantView, subject *authz.Subject, cached *View) (Found, error) {
	fresh, _, err := s.read(snap, tenant, subject)
	if errors.Is(err, ErrCorrupt) {
		return Found{}, s.readFailed(snap.file, err)
	}
	// Where the file has a newer revision already, there is nothing to compare with.
	if differs := err == nil && !sameView(cached, fresh); !differs {
		return Found{snap, tenant, cached}, nil
	}
	s.alarms.Add(1)
	s.cache.off.Store(true)
	s.log.ErrorContext(ctx, "a cached view differs from the snapshot; the cache is off", "tenant", subject.Tenant(),
		"principal", subject.Principal().ID, "revision", snap.revision.Number)
	return Found{snap, tenant, fresh}, nil
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
		Disabled: w.disabled, key: subject.Key(), hash: subject.Hash(),
		stamp: snap.stamp(tenant), slots: w.slots,
	}
	v.Grants = &v.held
	v.held.Index(w.grants)
	v.proven.Store(v.stamp.revision)
	return v, w.cost, nil
}
