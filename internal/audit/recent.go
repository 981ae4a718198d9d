package audit

import (
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// DefaultRecent is how many decisions a [Recent] remembers unless told otherwise.
const DefaultRecent = 4096

// Recent remembers the last decisions that a [Log] wrote, so that they can be asked about by
// their identifiers. What it costs is paid by the one who writes the log, never by a decision:
// a copy, which is read only when somebody asks. It is safe for concurrent use. The nil
// *Recent remembers nothing.
type Recent struct {
	mu   sync.Mutex
	ring []keptRecord // guarded by mu, as next is
	next int
}

// A keptRecord is a [record] with no more text than it has.
type keptRecord struct {
	unixNano        int64
	duration        time.Duration
	process, number uint64
	revision        authz.Revision
	reason          authz.Reason
	cut, cutPath    bool
	fields          [fieldCount]uint16
	text            []byte // used again by the record that takes its place
}

// NewRecent returns a Recent that remembers so many decisions; 0: [DefaultRecent]. Of less
// than that it is nil.
func NewRecent(entries int) *Recent {
	if entries == 0 {
		entries = DefaultRecent
	}
	if entries < 0 {
		return nil
	}
	return &Recent{ring: make([]keptRecord, 0, entries)}
}

// A Remembered is what the log kept of a decision.
type Remembered struct {
	Entry
	// Truncated says that something was too long to be kept whole.
	Truncated bool
}

// keep remembers a decision in the place of the oldest.
func (r *Recent) keep(from *record) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) < cap(r.ring) {
		r.ring = append(r.ring, keptRecord{})
		r.next = len(r.ring) - 1
	}
	k := &r.ring[r.next]
	*k = keptRecord{
		unixNano: from.unixNano, duration: from.duration, process: from.process, number: from.number, revision: from.revision, reason: from.reason,
		cut: from.cut, cutPath: from.cutPath, fields: from.fields,
		text: append(k.text[:0], from.text[:from.fields[fieldCount-1]]...),
	}
	r.next = (r.next + 1) % cap(r.ring)
}

// Find returns the decision with the identifier, 32 hex digits, if it is remembered.
func (r *Recent) Find(id string) (Remembered, bool) {
	var raw [16]byte
	if r == nil || len(id) != 2*len(raw) {
		return Remembered{}, false
	}
	if _, err := hex.Decode(raw[:], []byte(id)); err != nil {
		return Remembered{}, false
	}
	process, number := binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.ring {
		if k := &r.ring[i]; k.process == process && k.number == number {
			return k.remembered(), true
		}
	}
	return Remembered{}, false
}

func (k *keptRecord) field(i int) []byte {
	start := uint16(0)
	if i > 0 {
		start = k.fields[i-1]
	}
	return k.text[start:k.fields[i]]
}

// remembered is the record as texts of its own.
func (k *keptRecord) remembered() Remembered {
	kept := k.field(fieldPath)
	path := withoutQuery(kept)
	m := Remembered{
		Entry: Entry{
			Time: time.Unix(0, k.unixNano).UTC(), Duration: k.duration, Process: k.process, Number: k.number,
			Adapter: string(k.field(fieldAdapter)), Tenant: string(k.field(fieldTenant)),
			Method: string(k.field(fieldMethod)), Path: string(path),
			Reason: k.reason, Assignment: string(k.field(fieldAssignment)), Revision: k.revision,
		},
		Truncated: k.cut || k.cutPath && len(path) == len(kept),
	}
	if kind := k.field(fieldPrincipalType); len(kind) > 0 {
		// What is no type stays none, which is nobody.
		_ = m.Principal.Type.UnmarshalText(kind)
		m.Principal.ID = string(k.field(fieldPrincipal))
	}
	for _, text := range texts(k.field(fieldPermissions)) {
		m.Permissions = append(m.Permissions, authz.Permission(text))
	}
	for _, text := range texts(k.field(fieldScopes)) {
		m.Scopes = append(m.Scopes, authz.Scope(text))
	}
	return m
}

// texts are those of a list, each of which has its length before it.
func texts(list []byte) (all []string) {
	for len(list) > 0 {
		end := 2 + int(binary.BigEndian.Uint16(list))
		all = append(all, string(list[2:end]))
		list = list[end:]
	}
	return all
}
