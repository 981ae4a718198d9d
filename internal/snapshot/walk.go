package snapshot

import (
	"bytes"
	"hash/maphash"
	"slices"
	"sync"
	"unsafe"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A walk collects what a subject holds: from the caller to all that it belongs to,
// breadth first, each once.
type walk struct {
	store    *Store
	file     *dbFile // nil within a change
	bucket   *bolt.Bucket
	tenantID string
	tenant   *TenantView
	verified bool

	cursor   *bolt.Cursor // nil: values are read by the file
	memory   *walkMemory
	grants   []authz.Grant
	slots    []uint16
	disabled bool
	cost     int64
}

// walkMemory is what a walk needs while it lasts. Nothing of it is kept.
type walkMemory struct {
	key    []byte
	tenant int // how much of key is the tenant's
	queue  []authz.Principal
	seen   map[authz.Principal]struct{}
	grants []walkedGrant
	text   []byte // of the grants
	roles  lately[*authz.Role]
	scopes lately[span]
	out    lately[bool] // whether the caller is disabled there, by scope
}

// A walkedGrant is a grant whose texts are not yet where they stay.
type walkedGrant struct {
	principal  authz.Principal
	role       *authz.Role
	assignment span
	scope      span
	effect     authz.AssignmentEffect
	expires    int64
}

// A span is where a text stands among others.
type span struct{ from, to int }

// lately remembers what the last few packed texts said: of many grants, most are of a few
// roles, at a few scopes.
type lately[T any] struct {
	packed [8]string
	said   [8]T
	next   int
}

func (l *lately[T]) find(packed string) (said T, ok bool) {
	for i := range l.packed {
		if l.packed[i] == packed {
			return l.said[i], true
		}
	}
	return said, false
}

// remember takes a text that is not empty.
func (l *lately[T]) remember(packed string, said T) {
	l.packed[l.next], l.said[l.next] = packed, said
	l.next = (l.next + 1) % len(l.packed)
}

var walkMemories = sync.Pool{New: func() any { return &walkMemory{seen: map[authz.Principal]struct{}{}} }}

// keepWalked is the number of principals and grants above which a walk's memory is not kept.
const keepWalked = 4096

func (m *walkMemory) free() {
	if len(m.seen) > keepWalked || len(m.grants) > keepWalked {
		return
	}
	clear(m.seen)
	clear(m.queue)
	clear(m.grants)
	// What was remembered may point into a file that is closed later.
	*m = walkMemory{key: m.key[:0], queue: m.queue[:0], seen: m.seen, grants: m.grants[:0], text: m.text[:0]}
	walkMemories.Put(m)
}

func (w *walk) subject(subject *authz.Subject) error {
	w.memory, _ = walkMemories.Get().(*walkMemory)
	m := w.memory
	m.key = appendPart(m.key[:0], w.tenantID)
	m.tenant = len(m.key)
	if w.file == nil || w.file.walked.Load() || w.bucket.Root() == 0 {
		w.cursor = w.bucket.Cursor()
	}
	w.push(subject.Principal())
	for _, id := range subject.Groups() {
		w.push(authz.Principal{Type: authz.Group, ID: id})
	}
	for _, id := range subject.DirectoryRoles() {
		w.push(authz.Principal{Type: authz.DirectoryRole, ID: id})
	}
	w.slots = make([]uint16, 0, len(m.queue)+8)
	for i := 0; i < len(m.queue); i++ {
		p := m.queue[i]
		if _, again := m.seen[p]; again {
			continue
		}
		m.seen[p] = struct{}{}
		if err := w.principal(p, i == 0); err != nil {
			return err
		}
	}
	slices.Sort(w.slots)
	w.slots = slices.Clip(slices.Compact(w.slots))
	if err := w.settle(); err != nil {
		return err
	}
	w.cost += int64(2*len(w.slots)+len(m.text)) + int64(len(w.grants))*grantCost
	m.free() // after a panic it is not used again
	return nil
}

// settle makes grants of those that were found. Their texts share one string, which takes
// just the room that they need: views keep them by the ten thousand.
func (w *walk) settle() error {
	m := w.memory
	if len(m.grants) == 0 {
		return nil
	}
	text := string(m.text)
	w.grants = make([]authz.Grant, 0, len(m.grants))
	for i := range m.grants {
		g := &m.grants[i]
		scope := authz.Scope(text[g.scope.from:g.scope.to])
		if g.role.IsSecurityRole() {
			scope = liftedScope(g.role, scope)
			if out, err := w.disabledAt(scope); err != nil {
				return err
			} else if out {
				continue
			}
		}
		w.grants = append(w.grants, authz.Grant{
			AssignmentID: text[g.assignment.from:g.assignment.to], Principal: g.principal, Role: g.role,
			Scope: scope, Effect: g.effect, Expires: g.expires,
		})
	}
	return nil
}

// disabledAt tells whether the caller is disabled in the environment of a security role's
// scope: whoever may not sign in to an environment has nothing of the roles in it.
func (w *walk) disabledAt(scope authz.Scope) (bool, error) {
	out := &w.memory.out
	if disabled, ok := out.find(string(scope)); ok {
		return disabled, nil
	}
	_, named, err := authz.ParseScope(string(scope), false)
	if err != nil {
		return false, corruptf("a security role is assigned at %q", scope)
	}
	bucket := w.bucket.Tx().Bucket(sectionBuckets[environmentUserSection])
	if bucket == nil {
		return false, corruptf("the file has no %q", environmentUserSection)
	}
	caller := w.memory.queue[0]
	key := environmentUserKey(nil, w.tenantID, named.Environment, caller)
	var value []byte
	if w.file == nil {
		value = bucket.Get(key)
	} else if value, err = w.file.get(bucket, key); err != nil {
		return false, err
	}
	if value == nil {
		if !w.verified {
			return false, errUnverified
		}
		out.remember(string(scope), false)
		return false, nil
	}
	payload, _, err := unseal(byte(environmentUserSection), key, value)
	if err != nil {
		return false, err
	}
	user, err := readEnvironmentUser(named.Environment, caller, string(payload))
	if err == nil {
		out.remember(string(scope), user.Disabled)
	}
	return user.Disabled, err
}

// get reads a value; nil where there is none.
func (w *walk) get(key []byte) ([]byte, error) {
	if w.cursor == nil {
		return w.file.get(w.bucket, key)
	}
	if found, value := w.cursor.Seek(key); bytes.Equal(found, key) {
		return value, nil
	}
	return nil, nil
}

func (w *walk) push(p authz.Principal) { w.memory.queue = append(w.memory.queue, p.Key()) }

func (w *walk) principal(p authz.Principal, caller bool) error {
	m := w.memory
	m.key = appendPrincipalPart(m.key[:m.tenant], p)
	w.slots = append(w.slots, w.store.slotOf(m.key))
	value, err := w.get(m.key)
	if err != nil {
		return err
	}
	if value == nil {
		if !w.verified { // a record that is lost looks like one that never was
			return errUnverified
		}
		return nil
	}
	payload, _, err := unseal(byte(grantsSection), m.key, value)
	if err != nil {
		return err
	}
	return w.record(unsafe.String(unsafe.SliceData(payload), len(payload)), p, caller) // which keeps nothing of it
}

// record takes in a record of the grants section, as [readGrants] reads it.
func (w *walk) record(payload string, p authz.Principal, caller bool) error {
	m := w.memory
	r := readPayload(payload)
	r.copies = true
	if disabled := r.bool(); caller {
		w.disabled = disabled
	}
	if n := r.count(); n > 0 {
		r.unpacked = make([]byte, 0, min(n, len(r.rest)/2)*guidLength) // grants keep their principals
		for range n {
			if parent := r.knownPrincipal(); !r.bad {
				w.push(parent)
			}
		}
	}
	r.unpacked = m.text
	unknown := false
	for range r.count() {
		g := walkedGrant{assignment: textSpan(r), principal: authz.Principal{Type: authz.PrincipalType(r.byte()), ID: p.ID}}
		g.role = w.role(r)
		g.scope = m.scope(r)
		g.effect = authz.AssignmentEffect(r.byte())
		g.expires = r.int()
		if r.bad = r.bad || !validEffect(g.effect) || !validType(g.principal.Type); r.bad {
			break
		}
		unknown = unknown || g.role == nil
		m.grants = append(m.grants, g)
	}
	m.text = r.unpacked
	if err := r.done(grantsSection); err != nil {
		return err
	}
	if unknown {
		return corruptf("a role assignment names a role that does not exist")
	}
	return nil
}

// textSpan reads a text to the end of those that were unpacked.
func textSpan(r *payloadReader) span {
	from := len(r.unpacked)
	r.textOrPacked()
	return span{from, len(r.unpacked)}
}

// packedAhead returns the text that comes as it stands there, if it is one of that form;
// else the empty text.
func packedAhead(r *payloadReader, form byte) string {
	if r.bad || r.wide || len(r.rest) < 2 || r.rest[0] != form {
		return ""
	}
	n := 1 + guidBytes
	if form == textScope {
		if n = 2 + int(r.rest[1]); r.rest[1] >= 0x80 {
			return "" // of a length that takes more than one byte
		}
	}
	if n > len(r.rest) {
		return ""
	}
	return r.rest[:n]
}

// role reads a role's identifier; nil if there is no such role.
func (w *walk) role(r *payloadReader) *authz.Role {
	m := w.memory
	packed := packedAhead(r, textGUID)
	if packed != "" {
		if role, ok := m.roles.find(packed); ok {
			r.rest = r.rest[len(packed):]
			return role
		}
	}
	at := textSpan(r)
	id := r.unpacked[at.from:at.to]
	r.unpacked = r.unpacked[:at.from]
	role := w.tenant.Role(unsafe.String(unsafe.SliceData(id), len(id))) // which does not keep it
	if packed != "" {
		m.roles.remember(packed, role)
	}
	return role
}

// scope reads a scope.
func (m *walkMemory) scope(r *payloadReader) span {
	packed := packedAhead(r, textScope)
	if packed == "" {
		return textSpan(r)
	}
	if at, ok := m.scopes.find(packed); ok {
		r.rest = r.rest[len(packed):]
		return at
	}
	at := textSpan(r)
	if !r.bad {
		m.scopes.remember(packed, at)
	}
	return at
}

// slotOf returns the slot of a principal, by its key in the grants section.
func (s *Store) slotOf(key []byte) uint16 { return uint16(maphash.Bytes(s.seed, key)) }
