package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// schemaVersion is the number of the layout on disk. Every change to a key, a value or
// a bucket raises it.
const schemaVersion = 1

// A section is one kind of record; each has a bucket of its own.
type section uint8

// The sections. The canonical ones hold what was delivered, each thing once. The derived
// ones can be worked out from them and are what decisions and questions read.
const (
	tenantSection section = iota
	environmentGroupSection
	environmentSection
	businessUnitSection
	roleDefinitionSection
	principalSection
	groupSection
	roleAssignmentSection
	// grantsSection holds, for each principal, all that a decision reads about it.
	grantsSection
	// scopeSection finds the role assignments at a scope.
	scopeSection
	// groupDenialSection holds the DENY and FORBID assignments of groups.
	groupDenialSection
	// roleUseSection counts the assignments of each role.
	roleUseSection
)

// How many sections there are, and how many of them, from the first, are canonical.
const (
	sectionCount   = int(roleUseSection) + 1
	canonicalCount = int(grantsSection)
)

var sectionBuckets = [sectionCount][]byte{
	tenantSection:           []byte("tenants"),
	environmentGroupSection: []byte("environment_groups"),
	environmentSection:      []byte("environments"),
	businessUnitSection:     []byte("business_units"),
	roleDefinitionSection:   []byte("role_definitions"),
	principalSection:        []byte("principals"),
	groupSection:            []byte("groups"),
	roleAssignmentSection:   []byte("role_assignments"),
	grantsSection:           []byte("grants"),
	scopeSection:            []byte("scopes"),
	groupDenialSection:      []byte("group_denials"),
	roleUseSection:          []byte("role_use"),
}

func (s section) String() string {
	if int(s) < sectionCount {
		return string(sectionBuckets[s])
	}
	return "unknown"
}

// small tells whether the section is read whole into memory, and therefore verified
// before anything is served, however large the file is.
func (s section) small() bool {
	switch s {
	case tenantSection, environmentGroupSection, environmentSection, businessUnitSection,
		roleDefinitionSection, groupDenialSection, roleUseSection:
		return true
	default:
		return false
	}
}

// A digest is the hash of one record, or the sum of many: four lanes, added modulo 2^64,
// so that the digest of a set can be kept up to date one record at a time.
type digest [4]uint64

func (d *digest) add(e digest) {
	for i := range d {
		d[i] += e[i]
	}
}

func (d *digest) subtract(e digest) {
	for i := range d {
		d[i] -= e[i]
	}
}

const checksumSize = 8

// recordSum hashes a record: section, key and payload, so that a good value under a
// wrong key is as wrong as a bad one. Its first bytes are the record's checksum.
func recordSum(sec byte, key, payload []byte) [sha256.Size]byte {
	var small [512]byte
	b := append(small[:0], sec)
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = append(b, key...)
	if len(b)+len(payload) <= len(small) {
		return sha256.Sum256(append(b, payload...))
	}
	h := sha256.New()
	h.Write(b)
	h.Write(payload)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}

func lanes(sum [sha256.Size]byte) digest {
	var d digest
	for i := range d {
		d[i] = binary.BigEndian.Uint64(sum[8*i:])
	}
	return d
}

// seal appends the payload with its checksum to dst, and returns the record's digest.
func seal(dst []byte, sec byte, key, payload []byte) ([]byte, digest) {
	sum := recordSum(sec, key, payload)
	dst = append(append(dst, payload...), sum[:checksumSize]...)
	return dst, lanes(sum)
}

// unseal returns the payload of a stored value if its checksum fits.
func unseal(sec byte, key, value []byte) ([]byte, digest, error) {
	if len(value) < checksumSize {
		return nil, digest{}, corruptf("a value is %d bytes long, too short for its checksum", len(value))
	}
	payload, want := value[:len(value)-checksumSize], value[len(value)-checksumSize:]
	sum := recordSum(sec, key, payload)
	if !bytes.Equal(sum[:checksumSize], want) {
		return nil, digest{}, corruptf("the checksum of a record in %q does not fit", section(sec))
	}
	return payload, lanes(sum), nil
}

// Sections of records that are not counted and hashed with the rest, for their checksums.
const (
	metaSeal    = byte(0xFE)
	journalSeal = byte(0xFD)
)

// Keys are parts with their lengths before them, two bytes each, so that no two
// different lists of parts have one key, and keys sort by length, then bytes, part by part.

const maxPart = math.MaxUint16

func appendPart(key []byte, part string) []byte {
	key = binary.BigEndian.AppendUint16(key, uint16(len(part)))
	return append(key, part...)
}

func appendPrincipalPart(key []byte, p authz.Principal) []byte {
	return appendPart(append(key, byte(p.Type)), p.ID)
}

// grantsKey is the key of what a principal holds. A person and a service principal with
// one object id have one key.
func grantsKey(dst []byte, tenant string, p authz.Principal) []byte {
	return appendPrincipalPart(appendPart(dst, tenant), p.Key())
}

// A keyReader takes a key apart.
type keyReader struct {
	rest []byte
	bad  bool
}

func (r *keyReader) part() string {
	if r.bad || len(r.rest) < 2 {
		r.bad = true
		return ""
	}
	n := int(binary.BigEndian.Uint16(r.rest))
	if len(r.rest) < 2+n {
		r.bad = true
		return ""
	}
	part := string(r.rest[2 : 2+n])
	r.rest = r.rest[2+n:]
	return part
}

func (r *keyReader) principal() authz.Principal {
	if r.bad || len(r.rest) == 0 {
		r.bad = true
		return authz.Principal{}
	}
	p := authz.Principal{Type: authz.PrincipalType(r.rest[0])}
	r.rest = r.rest[1:]
	p.ID = r.part()
	r.bad = r.bad || !validType(p.Type)
	return p
}

func (r *keyReader) done(sec section) error {
	if r.bad || len(r.rest) > 0 {
		return corruptf("a key in %q cannot be read", sec)
	}
	return nil
}

func validType(t authz.PrincipalType) bool { return t > authz.NoPrincipal && t <= authz.Team }

func validEffect(e authz.AssignmentEffect) bool {
	return e == authz.AssignAllow || e == authz.AssignDeny || e == authz.AssignForbid
}

// Payloads begin with the number of their own form, so that a record can gain fields (a
// reach, a business unit, a team) without the others being written again.
const payloadForm = 1

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendTexts(b []byte, texts []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(texts)))
	for _, text := range texts {
		b = appendText(b, text)
	}
	return b
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendPrincipal(b []byte, p authz.Principal) []byte {
	return appendText(append(b, byte(p.Type)), p.ID)
}

// A payloadReader takes a payload apart. What it returns points into the text that it
// was given. After the first thing that cannot be read everything is zero and bad is set.
type payloadReader struct {
	rest string
	bad  bool
}

// readPayload begins to read a payload; a form that this release does not know is bad.
func readPayload(payload string) *payloadReader {
	r := &payloadReader{rest: payload}
	if r.byte() != payloadForm {
		r.bad = true
	}
	return r
}

func (r *payloadReader) byte() byte {
	if r.bad || r.rest == "" {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *payloadReader) bool() bool {
	b := r.byte()
	r.bad = r.bad || b > 1
	return b == 1
}

func (r *payloadReader) uint() uint64 {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b := r.byte()
		if r.bad || shift == 63 && b > 1 || b == 0 && shift > 0 {
			r.bad = true // too long, or not the shortest form
			return 0
		}
		v |= uint64(b&0x7F) << shift
		if b < 0x80 {
			return v
		}
	}
}

func (r *payloadReader) int() int64 { return int64(r.uint()) }

// count reads the number of things that follow, each of at least one byte.
func (r *payloadReader) count() int {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *payloadReader) text() string {
	n := r.count()
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}

func (r *payloadReader) texts() []string {
	n := r.count()
	if n == 0 {
		return nil
	}
	texts := make([]string, 0, n)
	for range n {
		texts = append(texts, r.text())
	}
	return texts
}

func (r *payloadReader) principal() authz.Principal {
	p := authz.Principal{Type: authz.PrincipalType(r.byte())}
	p.ID = r.text()
	return p
}

func (r *payloadReader) knownPrincipal() authz.Principal {
	p := r.principal()
	r.bad = r.bad || !validType(p.Type)
	return p
}

func (r *payloadReader) done(sec section) error {
	if r.bad || r.rest != "" {
		return corruptf("a record in %q cannot be read", sec)
	}
	return nil
}
