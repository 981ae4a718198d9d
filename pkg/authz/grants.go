package authz

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/bits"
	"slices"
)

// AssignmentEffect says what an assignment does. The zero AssignmentEffect does
// nothing. DENY and FORBID are extensions of the Power Platform model.
type AssignmentEffect uint8

// The assignment effects.
const (
	NoEffect AssignmentEffect = iota
	// AssignForbid is a guardrail: nothing below gives back what it takes away.
	AssignForbid
	// AssignDeny takes away, here and below, what was inherited; an ALLOW at a nearer
	// scope may give it back.
	AssignDeny
	// AssignAllow grants the role.
	AssignAllow
)

var assignmentEffectNames = [...]string{"", "FORBID", "DENY", "ALLOW"}

// String returns ALLOW, DENY or FORBID.
func (e AssignmentEffect) String() string {
	if int(e) < len(assignmentEffectNames) {
		return assignmentEffectNames[e]
	}
	return fmt.Sprintf("AssignmentEffect(%d)", uint8(e))
}

// MarshalText returns ALLOW, DENY or FORBID.
func (e AssignmentEffect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads ALLOW, DENY or FORBID and refuses any other text.
func (e *AssignmentEffect) UnmarshalText(text []byte) error {
	for i, name := range assignmentEffectNames {
		if i > 0 && name == string(text) {
			*e = AssignmentEffect(i)
			return nil
		}
	}
	return fmt.Errorf("%q is none of ALLOW, DENY and FORBID", text)
}

// A Grant is a role assignment as a decision reads it.
type Grant struct {
	// AssignmentID is the role assignment's identifier.
	AssignmentID string
	// Principal is who was assigned the role: the caller, or what it belongs to.
	Principal Principal
	Role      *Role
	Scope     Scope
	Effect    AssignmentEffect
	// Expires is the Unix second from which the assignment is as if absent; 0: never.
	Expires int64
}

func (g *Grant) live(now int64) bool { return g.Expires == 0 || now < g.Expires }

// Grants are all the assignments of one subject, indexed by scope. They are immutable
// and safe for concurrent use. A nil Grants holds none.
type Grants struct {
	forbids bool
	hashes  []uint64          // of the scopes at which there are any, ascending
	places  []place           // these scopes, in the order of hashes
	few     [fewScopes]uint64 // the memory of hashes where they fit: one wait for memory less
	grants  []Grant           // scope by scope, in the order of their hashes; then by effect and assignment
	order   []uint32          // numbers of grants, place by place, effect by effect; nil: each its own
	covers  []Set             // what the grants of one effect at one place cover together
}

// A place is a scope with what stands there.
type place struct {
	scope               Scope
	hash                uint64 // of the scope
	forbid, deny, allow held
}

// held are the grants of one effect at one place: those of [Grants.order] from one number
// to another, without those that say nothing which an earlier one does not say as well.
type held struct {
	from, to uint32
	covers   uint32 // one more than the number of a set in [Grants.covers]; 0: look at each
}

// scopeSeed makes the hashes of scopes such that nobody can choose scopes that share one.
var scopeSeed = maphash.MakeSeed()

func (s Scope) hash() uint64 { return maphash.String(scopeSeed, string(s)) }

const (
	// coversAbove is the number of grants above which a set is quicker than looking at each.
	coversAbove = 3
	// fewScopes is at how many scopes most callers hold something.
	fewScopes = 12
	// distinctMost bounds how many grants a further one is compared with. There are fewer
	// shipped roles than that.
	distinctMost = 64
)

// A sortKey is what decides where a grant stands among the others.
type sortKey struct {
	hash   uint64 // of the scope
	id     uint64 // the beginning of the assignment's identifier
	at     uint32 // the number of the grant
	effect AssignmentEffect
}

// fewGrants is up to how many grants are sorted without memory from the heap.
const fewGrants = 64

// NewGrants indexes the grants; it keeps and sorts the slice it is given.
//
// A caller may hold a role at a scope through hundreds of groups. What that costs is paid
// here, once for all decisions: a decision looks at each role of a scope once, and where
// there are many, at one set for all of them.
func NewGrants(grants []Grant) *Grants {
	g := new(Grants)
	g.Index(grants)
	return g
}

// Index makes g what [NewGrants] returns, in memory of the caller's. It must be called once, on
// the zero Grants, before anybody else uses g.
func (g *Grants) Index(grants []Grant) {
	g.grants = grants
	var few [fewGrants]sortKey
	keys := few[:0]
	if len(grants) > fewGrants {
		keys = make([]sortKey, 0, len(grants))
	}
	scopes := 0 // runs of them: at least as many as there are
	for i := range grants {
		grant := &grants[i]
		key := sortKey{at: uint32(i), effect: grant.Effect, id: beginning(grant.AssignmentID)}
		if i > 0 && grant.Scope == grants[i-1].Scope {
			key.hash = keys[i-1].hash
		} else {
			key.hash = grant.Scope.hash()
			scopes++
		}
		keys = append(keys, key)
	}
	// Hashes are compared and not scopes, whose long beginnings are all alike.
	slices.SortFunc(keys, func(a, b sortKey) int {
		switch {
		case a.hash != b.hash:
			return cmp.Compare(a.hash, b.hash)
		case grants[a.at].Scope != grants[b.at].Scope:
			return cmp.Compare(grants[a.at].Scope, grants[b.at].Scope)
		case a.effect != b.effect:
			return cmp.Compare(a.effect, b.effect)
		case a.id != b.id:
			return cmp.Compare(a.id, b.id)
		}
		return cmp.Compare(grants[a.at].AssignmentID, grants[b.at].AssignmentID)
	})
	rearrange(grants, keys)
	g.places = make([]place, 0, min(scopes, len(grants)))
	g.order = make([]uint32, 0, len(grants))
	for from := 0; from < len(grants); {
		p := place{scope: grants[from].Scope, hash: keys[from].hash}
		for from < len(grants) && grants[from].Scope == p.scope {
			to := from + 1
			for to < len(grants) && grants[to].Effect == grants[from].Effect && grants[to].Scope == p.scope {
				to++
			}
			switch grants[from].Effect {
			case AssignForbid:
				p.forbid = g.hold(from, to)
				g.forbids = true
			case AssignDeny:
				p.deny = g.hold(from, to)
			case AssignAllow:
				p.allow = g.hold(from, to)
			default: // which does nothing
			}
			from = to
		}
		g.places = append(g.places, p)
	}
	if len(g.order) == len(grants) {
		g.order = nil
	}
	if g.hashes = g.few[:0]; len(g.places) > fewScopes {
		g.hashes = make([]uint64, 0, len(g.places))
	}
	for i := range g.places {
		g.hashes = append(g.hashes, g.places[i].hash)
	}
}

// beginning is the first eight bytes of a text, which compare as the text does.
func beginning(text string) uint64 {
	var b [8]byte
	copy(b[:], text)
	return binary.BigEndian.Uint64(b[:])
}

// rearrange puts the grants in the order of the keys, which it uses up.
func rearrange(grants []Grant, keys []sortKey) {
	for i := range keys {
		if keys[i].at == uint32(i) {
			continue
		}
		first, to := grants[i], i
		for from := keys[i].at; from != uint32(i); from = keys[to].at {
			grants[to] = grants[from]
			keys[to].at = uint32(to)
			to = int(from)
		}
		grants[to] = first
		keys[to].at = uint32(to)
	}
}

// hold appends grants of one scope and effect, from one to another, to the order.
func (g *Grants) hold(from, to int) held {
	h := held{from: uint32(len(g.order))}
	for i := from; i < to; i++ {
		if !g.said(h.from, &g.grants[i]) {
			g.order = append(g.order, uint32(i))
		}
	}
	h.to = uint32(len(g.order))
	if h.to-h.from > coversAbove {
		var all Set
		for _, i := range g.order[h.from:h.to] {
			all = all.with(g.grants[i].covered())
		}
		g.covers = append(g.covers, all)
		h.covers = uint32(len(g.covers))
	}
	return h
}

// said tells whether one of the grants from that place in the order on, of the same scope
// and effect, says for ever what the grant says. It may miss one: that costs time alone.
func (g *Grants) said(from uint32, grant *Grant) bool {
	earlier := g.order[from:]
	for _, i := range earlier[:min(len(earlier), distinctMost)] {
		if g.grants[i].Role == grant.Role && g.grants[i].Expires == 0 {
			return true
		}
	}
	return false
}

// covered is what the grant speaks of, live or not.
func (g *Grant) covered() Set {
	switch {
	case g.Role == nil:
		return nil
	case g.Effect == AssignAllow:
		return g.Role.grants
	default:
		return g.Role.takes
	}
}

// All returns the grants, sorted by scope, effect and assignment, as a slice of the
// caller's.
func (g *Grants) All() []Grant {
	if g == nil || len(g.grants) == 0 {
		return nil
	}
	all := slices.Clone(g.grants)
	slices.SortFunc(all, func(a, b Grant) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Effect, b.Effect), cmp.Compare(a.AssignmentID, b.AssignmentID))
	})
	return all
}

// Len is the number of grants.
func (g *Grants) Len() int {
	if g == nil {
		return 0
	}
	return len(g.grants)
}

// at returns what stands at the scope; nil where nothing does.
//
// Scopes have long beginnings in common, and nearly all that are asked for are not there:
// so hashes are compared before texts. They are spread evenly, so that where one should
// stand can be computed, and is not far from where it stands.
func (g *Grants) at(scope Scope) *place {
	if g == nil || len(g.hashes) == 0 {
		return nil
	}
	hash := scope.hash()
	guess, _ := bits.Mul64(hash, uint64(len(g.hashes)))
	i := int(guess)
	for i > 0 && g.hashes[i-1] >= hash {
		i--
	}
	for ; i < len(g.hashes) && g.hashes[i] <= hash; i++ {
		if g.hashes[i] == hash && g.places[i].scope == scope {
			return &g.places[i]
		}
	}
	return nil
}

// covering returns the first live grant among those held that covers the permission.
func (g *Grants) covering(h held, permission PermissionID, now int64) *Grant {
	if h.covers != 0 && !g.covers[h.covers-1].Has(permission) {
		return nil
	}
	for i := h.from; i < h.to; i++ {
		if grant := g.ordered(i); grant.covered().Has(permission) && grant.live(now) {
			return grant
		}
	}
	return nil
}

// ordered returns the grant with a number in the order.
func (g *Grants) ordered(i uint32) *Grant {
	if g.order != nil {
		i = g.order[i]
	}
	return &g.grants[i]
}

// expired returns the first grant among those held that covers the permission and is over.
func (g *Grants) expired(h held, permission PermissionID, now int64) *Grant {
	if h.covers != 0 && !g.covers[h.covers-1].Has(permission) {
		return nil
	}
	for i := h.from; i < h.to; i++ {
		if grant := g.ordered(i); grant.Expires != 0 && !grant.live(now) && grant.covered().Has(permission) {
			return grant
		}
	}
	return nil
}
