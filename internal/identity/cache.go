package identity

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// cacheWays is how many slots a token can be in.
const cacheWays = 4

// tokenCache remembers verified tokens. It is a table of fixed size without locks:
// what is lost when two are written to one slot is verified again.
type tokenCache struct {
	seed         maphash.Seed
	mask         uint64 // number of sets of slots, less one
	slots        []atomic.Pointer[verified]
	hits, misses atomic.Uint64
}

// verified is a token that was verified. It is immutable.
type verified struct {
	token   string
	keys    *keySource
	set     *keySet // that verified it; not valid under any other
	valid   window
	id      Identity
	subject authz.Subject // what id.Subject points to: next to what is looked at before
}

// newTokenCache returns a table of at least so many slots.
func newTokenCache(entries int) *tokenCache {
	sets := uint64(1) << bits.Len64(uint64(max(entries, 1)+cacheWays-1)/cacheWays-1)
	return &tokenCache{seed: maphash.MakeSeed(), mask: sets - 1, slots: make([]atomic.Pointer[verified], sets*cacheWays)}
}

// live tells whether what was verified holds still: its time, and the key set that
// verified it, which a withdrawn key or too great an age puts out of force.
func (e *verified) live(now time.Time) bool {
	return e.valid.holds(now) && e.keys.trusted(now) == e.set
}

// hashedBytes is how much of a token's end is hashed. That is of its signature, in which
// no two tokens are alike; a token with two hundred groups is ten thousand bytes long.
const hashedBytes = 64

// slotsOf returns the slots that the token can be in, and its hash. Tokens that end alike
// share their slots, and are told apart by all of their bytes.
func (c *tokenCache) slotsOf(token string) ([]atomic.Pointer[verified], uint64) {
	hash := maphash.String(c.seed, token[max(len(token)-hashedBytes, 0):])
	first := (hash & c.mask) * cacheWays
	return c.slots[first : first+cacheWays], hash
}

// get returns the identity of a token that was verified and is valid now; nobody where
// there is none. It allocates nothing and counts nothing.
func (c *tokenCache) get(token string, now time.Time) (Identity, bool) {
	slots, _ := c.slotsOf(token)
	for i := range slots {
		if e := slots[i].Load(); e != nil && e.token == token && e.live(now) {
			return e.id, true
		}
	}
	return Identity{}, false
}

// put remembers a verified token, in the place of one that is no longer valid if there
// is one. It returns the subject as it is remembered.
func (c *tokenCache) put(token string, keys *keySource, set *keySet, valid window, id Identity, now time.Time) *authz.Subject {
	slots, hash := c.slotsOf(token)
	// The high bits choose the victim: the low ones are the same in all these slots.
	victim := &slots[(hash>>60)%cacheWays]
	for i := range slots {
		e := slots[i].Load()
		if e == nil || !e.live(now) {
			victim = &slots[i]
		}
		if e != nil && e.token == token {
			victim = &slots[i]
			break
		}
	}
	id.recalled = &c.hits
	// The caller's text may be a part of a message, which must not be kept alive.
	e := &verified{token: strings.Clone(token), keys: keys, set: set, valid: valid, id: id, subject: *id.Subject}
	e.id.Subject = &e.subject
	victim.Store(e)
	return e.id.Subject
}

// len counts the slots that are taken.
func (c *tokenCache) len() int {
	n := 0
	for i := range c.slots {
		if c.slots[i].Load() != nil {
			n++
		}
	}
	return n
}
