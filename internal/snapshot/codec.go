package snapshot

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// schemaVersion is the number of the layout on disk. Every change to a key, a value or
// a bucket raises it.
//
// Layout 1 had keys of parts with their lengths in two bytes, payloads of form 1, with
// every text spelled out, and neither owners nor log nor notes; layouts 1 and 2 had nothing
// of what environments with a database hold. What was written in them is written anew as a
// whole when it is opened: see migrate.
const schemaVersion = 3

// wideSchema is the last layout whose keys and texts were not packed.
const wideSchema = 1

// itemlessSchema is the last layout that had nothing of what environments hold.
const itemlessSchema = 2

// A section is one kind of record; each has a bucket of its own.
type section uint8

// The sections. The canonical ones hold what was delivered, each thing once. The derived
// ones can be worked out from them and are what decisions and questions read. The kept
// ones are no part of the data: a delivery leaves them as they are. Their numbers are part
// of the layout on disk.
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
	// scopeSection finds the role assignments at a scope: those that forbid and deny first.
	scopeSection
	// groupDenialSection holds the DENY and FORBID assignments of groups.
	groupDenialSection
	// roleUseSection counts the assignments of each role.
	roleUseSection
	// ownedSection finds what a principal owns.
	ownedSection
	// logSection holds the records of the change log, by number.
	logSection
	// noteSection holds small values that changes leave for each other.
	noteSection
	tableSection
	environmentUserSection
	teamSection
	columnProfileSection
	shareSection
	appSection
	flowSection
	// environmentTeamSection finds the teams of an environment, with what decisions read of
	// them; a team may have members by the ten thousand.
	environmentTeamSection
	// profiledSection finds what column profiles give to a user or team in an environment.
	profiledSection
	// sharedTableSection counts, for each table, the records shared with everyone.
	sharedTableSection
)

// sectionCount is how many sections there are.
const sectionCount = int(sharedTableSection) + 1

// The sections by what they are, each list in ascending order.
var (
	canonicalSections = []section{
		tenantSection, environmentGroupSection, environmentSection, businessUnitSection, roleDefinitionSection, principalSection,
		groupSection, roleAssignmentSection, tableSection, environmentUserSection, teamSection, columnProfileSection, shareSection,
		appSection, flowSection,
	}
	derivedSections = []section{
		grantsSection, scopeSection, groupDenialSection, roleUseSection, ownedSection, environmentTeamSection, profiledSection,
		sharedTableSection,
	}
	keptSections = []section{logSection, noteSection}
	// dataSections are all but the kept ones.
	dataSections = slices.Sorted(slices.Values(slices.Concat(canonicalSections, derivedSections)))
)

// sectionsOf is the number of sections of a file of a layout.
func sectionsOf(schema uint64) int {
	switch {
	case schema <= wideSchema:
		return int(roleUseSection) + 1
	case schema <= itemlessSchema:
		return int(noteSection) + 1
	default:
		return sectionCount
	}
}

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
	ownedSection:            []byte("owned"),
	logSection:              []byte("log"),
	noteSection:             []byte("notes"),
	tableSection:            []byte("tables"),
	environmentUserSection:  []byte("environment_users"),
	teamSection:             []byte("teams"),
	columnProfileSection:    []byte("column_profiles"),
	shareSection:            []byte("shares"),
	appSection:              []byte("apps"),
	flowSection:             []byte("flows"),
	environmentTeamSection:  []byte("environment_teams"),
	profiledSection:         []byte("profiled"),
	sharedTableSection:      []byte("shared_tables"),
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
		roleDefinitionSection, groupDenialSection, roleUseSection, tableSection, sharedTableSection:
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

// Keys are parts with their lengths before them, so that no two different lists of parts
// have one key. Parts sort by form, then by length, then by bytes: first plain texts, then
// scopes, then GUIDs.

const (
	// maxPart is the greatest length of a text that becomes part of a key.
	maxPart = 0x7D00
	// What a part begins with that is not a plain text of up to shortPart bytes, which is
	// its length, nor a longer one, which is its length in two bytes with the first bit set.
	shortPart = 0x7F
	scopePart = 0xFE
	guidPart  = 0xFF
)

func appendPart(key []byte, part string) []byte {
	switch formOf(part) {
	case guidText:
		return appendGUID(append(key, guidPart), part)
	case scopeText:
		at := len(key)
		key = packScope(append(key, scopePart, 0, 0), part)
		binary.BigEndian.PutUint16(key[at+1:], uint16(len(key)-at-3))
		return key
	}
	if len(part) <= shortPart {
		return append(append(key, byte(len(part))), part...)
	}
	return append(binary.BigEndian.AppendUint16(key, uint16(len(part))|0x8000), part...)
}

// partLength returns the length of the part that a key of this layout begins with.
func partLength(key []byte) int {
	if len(key) == 0 {
		return 0
	}
	n := 0
	switch head := key[0]; {
	case head == guidPart:
		n = 1 + guidBytes
	case head == scopePart && len(key) >= 3:
		n = 3 + int(binary.BigEndian.Uint16(key[1:]))
	case head <= shortPart:
		n = 1 + int(head)
	case head != scopePart && len(key) >= 2:
		n = 2 + int(binary.BigEndian.Uint16(key)&0x7FFF)
	}
	return min(n, len(key))
}

// compareParts orders texts as they are ordered as parts of keys.
func compareParts[T ~string](a, b T) int {
	if a == b {
		return 0
	}
	x, y := formOf(string(a)), formOf(string(b))
	switch {
	case x != y:
		return cmp.Compare(x, y)
	case x == scopeText:
		var p, q [256]byte
		return bytes.Compare(appendPart(p[:0], string(a)), appendPart(q[:0], string(b)))
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
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
	// wide says that the key is of a layout in which parts were not packed.
	wide bool
}

// take returns the next n bytes.
func (r *keyReader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// length reads the length of a text in two bytes.
func (r *keyReader) length() int {
	b := r.take(2)
	if r.bad {
		return 0
	}
	return int(binary.BigEndian.Uint16(b))
}

func (r *keyReader) part() string {
	if r.wide {
		return string(r.take(r.length()))
	}
	if r.bad || len(r.rest) == 0 {
		r.bad = true
		return ""
	}
	var text []byte
	form := plainText
	switch head := r.rest[0]; {
	case head == guidPart:
		form, text = guidText, r.take(1+guidBytes)
		if !r.bad {
			var b [guidLength]byte
			return string(unpackGUID(b[:0], string(text[1:])))
		}
	case head == scopePart:
		form = scopeText
		r.rest = r.rest[1:]
		packed := r.take(r.length())
		var b [256]byte
		var ok bool
		text, ok = unpackScope(b[:0], string(packed))
		r.bad = r.bad || !ok
	case head <= shortPart:
		text = r.take(1 + int(head))
		if !r.bad {
			text = text[1:]
		}
	default:
		n := r.length() & 0x7FFF
		r.bad = r.bad || n <= shortPart || n > maxPart
		text = r.take(n)
	}
	part := string(text)
	if r.bad || formOf(part) != form { // there is one way to write a part
		r.bad = true
		return ""
	}
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

func (r *keyReader) effect() authz.AssignmentEffect {
	b := r.take(1)
	if r.bad || !validEffect(authz.AssignmentEffect(b[0])) {
		r.bad = true
		return authz.NoEffect
	}
	return authz.AssignmentEffect(b[0])
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
const (
	payloadForm = 2
	// wideForm is that of layout 1, in which texts were not packed.
	wideForm = 1
)

// What a text in a payload begins with: one of these, or its length and textLiteral.
const (
	textGUID    = 0
	textScope   = 1
	textLiteral = 2
)

func appendText(b []byte, text string) []byte {
	switch formOf(text) {
	case guidText:
		return appendGUID(append(b, textGUID), text)
	case scopeText:
		var packed [256]byte
		p := packScope(packed[:0], text)
		return append(binary.AppendUvarint(append(b, textScope), uint64(len(p))), p...)
	}
	return append(binary.AppendUvarint(b, uint64(len(text)+textLiteral)), text...)
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

func appendPrincipals(b []byte, all []authz.Principal) []byte {
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, p := range all {
		b = appendPrincipal(b, p)
	}
	return b
}

// A payloadReader takes a payload apart. What it returns points into the text that it
// was given. After the first thing that cannot be read everything is zero and bad is set.
type payloadReader struct {
	rest string
	bad  bool
	wide bool // of a layout in which texts were not packed
	// copies makes copies of texts that were not packed, so that nothing points into rest.
	copies bool
	// unpacked holds the texts that were packed, one behind the other.
	unpacked []byte
}

// readPayload begins to read a payload; a form that this release does not know is bad.
func readPayload(payload string) *payloadReader {
	r := &payloadReader{rest: payload}
	switch r.byte() {
	case payloadForm:
	case wideForm:
		r.wide = true
	default:
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

func (r *payloadReader) take(n uint64) string {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}

func (r *payloadReader) text() string {
	from := len(r.unpacked)
	switch plain, packed := r.textOrPacked(); {
	case r.bad:
		return ""
	case packed:
		// Texts share an array, and nobody changes these bytes again: what comes later
		// stands behind them.
		text := r.unpacked[from:]
		return unsafe.String(unsafe.SliceData(text), len(text))
	default:
		return plain
	}
}

// textOrPacked reads a text. Where it was packed, what it says is appended to unpacked.
func (r *payloadReader) textOrPacked() (plain string, packed bool) {
	if plain, packed = r.textAsItIs(); r.copies && !packed {
		r.room(len(plain))
		r.unpacked = append(r.unpacked, plain...)
		return "", true
	}
	return plain, packed
}

func (r *payloadReader) textAsItIs() (plain string, packed bool) {
	if r.wide {
		return r.take(uint64(r.count())), false
	}
	switch n := r.uint(); n {
	case textGUID:
		text := r.take(guidBytes)
		if r.bad {
			return "", false
		}
		r.room(guidLength)
		r.unpacked = unpackGUID(r.unpacked, text)
		return "", true
	case textScope:
		text := r.take(uint64(r.count()))
		if r.bad {
			return "", false
		}
		r.room(3 * len(text))
		var ok bool
		r.unpacked, ok = unpackScope(r.unpacked, text)
		r.bad = r.bad || !ok
		return "", true
	default:
		text := r.take(n - textLiteral)
		if formOf(text) != plainText { // there is one way to write a text
			r.bad = true
		}
		return text, false
	}
}

// room makes room for so much more at once.
func (r *payloadReader) room(n int) {
	if r.unpacked == nil {
		r.unpacked = make([]byte, 0, max(n, 2*len(r.rest)))
	}
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

func (r *payloadReader) principals() []authz.Principal {
	n := r.count()
	if n == 0 {
		return nil
	}
	all := make([]authz.Principal, 0, n)
	for range n {
		all = append(all, r.knownPrincipal())
	}
	return all
}

// owners reads who owns something, which nobody said in layout 1.
func (r *payloadReader) owners() []authz.Principal {
	if r.wide {
		return nil
	}
	return r.principals()
}

func (r *payloadReader) done(sec section) error {
	if r.bad || r.rest != "" {
		return corruptf("a record in %q cannot be read", sec)
	}
	return nil
}
