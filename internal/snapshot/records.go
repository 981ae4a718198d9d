package snapshot

import (
	"encoding/binary"
	"strings"
	"sync"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The payload of each section, written and read. A reader accepts exactly what its
// writer writes.

func appendTenant(b []byte, directoryComplete bool) []byte {
	return appendBool(append(b, payloadForm), directoryComplete)
}

func readTenant(payload string) (directoryComplete bool, err error) {
	r := readPayload(payload)
	directoryComplete = r.bool()
	return directoryComplete, r.done(tenantSection)
}

// appendEmpty is the payload of a record whose key says all.
func appendEmpty(b []byte) []byte { return append(b, payloadForm) }

func readEmpty(sec section, payload string) error { return readPayload(payload).done(sec) }

// An environmentRecord is what is stored about an environment.
type environmentRecord struct {
	id string
	// group is the environment group that it is in; empty: none.
	group     string
	dataverse bool
}

func appendEnvironment(b []byte, e environmentRecord) []byte {
	return appendText(appendBool(append(b, payloadForm), e.dataverse), e.group)
}

func readEnvironment(id, payload string) (environmentRecord, error) {
	r := readPayload(payload)
	e := environmentRecord{id: id}
	e.dataverse = r.bool()
	e.group = r.text()
	return e, r.done(environmentSection)
}

func appendBusinessUnit(b []byte, parent string) []byte {
	return appendText(append(b, payloadForm), parent)
}

func readBusinessUnit(payload string) (parent string, err error) {
	r := readPayload(payload)
	parent = r.text()
	return parent, r.done(businessUnitSection)
}

func appendRoleDefinition(b []byte, def *authz.RoleDefinition) []byte {
	b = appendText(append(b, payloadForm), def.Name)
	b = appendText(b, def.Description)
	b = appendTexts(b, def.Permissions)
	b = appendTexts(b, def.PermissionsExceptions)
	b = appendTexts(b, def.AssignableScopes)
	b = appendTexts(b, def.RestrictedScopes)
	b = appendTexts(b, def.Privileges)
	b = appendText(appendText(appendBool(b, def.TeamOnly), def.Environment), def.BusinessUnit)
	return appendTexts(b, assignableRoles(def))
}

// assignableRoles are what the terms of a custom role can say.
func assignableRoles(def *authz.RoleDefinition) []string {
	if def.Terms == nil {
		return nil
	}
	return def.Terms.AssignableRoles
}

func readRoleDefinition(id, payload string) (authz.RoleDefinition, error) {
	r := readPayload(payload)
	def := authz.RoleDefinition{ID: id}
	def.Name = r.text()
	def.Description = r.text()
	def.Permissions = r.texts()
	def.PermissionsExceptions = r.texts()
	def.AssignableScopes = r.texts()
	def.RestrictedScopes = r.texts()
	if r.wide || r.rest == "" { // layouts 1 and 2 had no more of it
		return def, r.done(roleDefinitionSection)
	}
	def.Privileges = r.texts()
	def.TeamOnly = r.bool()
	def.Environment = r.text()
	def.BusinessUnit = r.text()
	if roles := r.texts(); len(roles) > 0 {
		def.Terms = &authz.RoleTerms{AssignableRoles: roles}
	}
	return def, r.done(roleDefinitionSection)
}

func appendPrincipalRecord(b []byte, p *Principal) []byte {
	b = appendBool(append(b, payloadForm), p.Disabled)
	return appendPrincipals(appendText(appendText(b, p.DisplayName), p.Mail), p.Owners)
}

func readPrincipalRecord(of authz.Principal, payload string) (Principal, error) {
	r := readPayload(payload)
	p := Principal{Principal: of}
	p.Disabled = r.bool()
	p.DisplayName = r.text()
	p.Mail = r.text()
	p.Owners = r.owners()
	return p, r.done(principalSection)
}

func appendGroup(b []byte, g *Group) []byte {
	b = appendText(append(b, payloadForm), g.DisplayName)
	return appendPrincipals(appendPrincipals(b, g.Members), g.Owners)
}

func readGroup(id, payload string) (Group, error) {
	r := readPayload(payload)
	g := Group{ID: id}
	g.DisplayName = r.text()
	g.Members = r.principals()
	g.Owners = r.owners()
	return g, r.done(groupSection)
}

func appendRoleAssignment(b []byte, a *RoleAssignment) []byte {
	b = appendPrincipal(append(b, payloadForm), a.Principal)
	b = appendText(b, a.RoleDefinitionID)
	b = appendText(b, string(a.Scope))
	b = append(b, byte(a.Effect))
	b = binary.AppendUvarint(b, uint64(a.Expires))
	b = binary.AppendUvarint(b, uint64(a.CreatedOn))
	return appendPrincipal(b, a.CreatedBy)
}

func readRoleAssignment(sec section, id, payload string) (RoleAssignment, error) {
	r := readPayload(payload)
	a := RoleAssignment{ID: id}
	a.Principal = r.knownPrincipal()
	a.RoleDefinitionID = r.text()
	a.Scope = authz.Scope(r.text())
	a.Effect = authz.AssignmentEffect(r.byte())
	a.Expires = r.int()
	a.CreatedOn = r.int()
	a.CreatedBy = r.principal()
	r.bad = r.bad || !validEffect(a.Effect)
	return a, r.done(sec)
}

// A grantsRecord stands for all that one principal holds and belongs to.
type grantsRecord struct {
	disabled bool
	// parents are what the principal is directly a member of, sorted.
	parents []authz.Principal
	// grants are its role assignments, sorted by identifier.
	grants []grantRecord
	// textBytes is how much memory the texts of the grants keep, of a record that was read.
	textBytes int
}

// A grantRecord is what a decision reads of a role assignment.
type grantRecord struct {
	assignment string
	kind       authz.PrincipalType // of the principal as it was assigned
	role       string
	scope      authz.Scope
	effect     authz.AssignmentEffect
	expires    int64
}

func (g *grantsRecord) empty() bool {
	return !g.disabled && len(g.parents) == 0 && len(g.grants) == 0
}

func grantOf(a *RoleAssignment) grantRecord {
	return grantRecord{assignment: a.ID, kind: a.Principal.Type, role: a.RoleDefinitionID, scope: a.Scope, effect: a.Effect, expires: a.Expires}
}

func appendGrants(b []byte, g *grantsRecord) []byte {
	b = appendBool(append(b, payloadForm), g.disabled)
	b = appendPrincipals(b, g.parents)
	b = binary.AppendUvarint(b, uint64(len(g.grants)))
	for i := range g.grants {
		grant := &g.grants[i]
		b = appendText(b, grant.assignment)
		b = append(b, byte(grant.kind))
		b = appendText(b, grant.role)
		b = appendText(b, string(grant.scope))
		b = append(b, byte(grant.effect))
		b = binary.AppendUvarint(b, uint64(grant.expires))
	}
	return b
}

// leastGrant is the least that a grant takes.
const leastGrant = 6

// grantBuffers keeps what readGrants needs while it reads.
var grantBuffers = sync.Pool{New: func() any { return new(grantBuffer) }}

type grantBuffer struct {
	unpacked []byte
	texts    []grantText // of each grant its assignment and its scope
}

// A grantText is where a text stands among those that were read.
type grantText struct{ from, to int }

func (r *payloadReader) grantText() grantText {
	from := len(r.unpacked)
	r.textOrPacked()
	return grantText{from, len(r.unpacked)}
}

// readGrants reads what a principal holds. Views keep it by the ten thousand: its texts
// take just the room that they need, and nothing of it points into the payload.
func readGrants(payload string) (grantsRecord, error) {
	r := readPayload(payload)
	r.copies = true
	var g grantsRecord
	g.disabled = r.bool()
	if n := r.count(); n > 0 {
		g.parents = make([]authz.Principal, 0, n)
		r.unpacked = make([]byte, 0, min(n, len(r.rest)/2)*guidLength) // views keep them, too
		for range n {
			g.parents = append(g.parents, r.knownPrincipal())
		}
	}
	if n := r.count(); n > 0 {
		b, _ := grantBuffers.Get().(*grantBuffer)
		defer grantBuffers.Put(b)
		parents := r.unpacked
		r.unpacked = b.unpacked[:0]
		texts := b.texts[:0]
		g.grants = make([]grantRecord, 0, min(n, len(r.rest)/leastGrant+1))
		var roles roleTexts
		for range n {
			id := r.grantText()
			grant := grantRecord{kind: authz.PrincipalType(r.byte()), role: roles.read(r)}
			scope := r.grantText()
			grant.effect = authz.AssignmentEffect(r.byte())
			grant.expires = r.int()
			r.bad = r.bad || !validEffect(grant.effect) || !validType(grant.kind)
			if r.bad {
				break
			}
			g.grants = append(g.grants, grant)
			texts = append(texts, id, scope)
		}
		unpacked := string(r.unpacked)
		g.textBytes = len(unpacked)
		for i := range g.grants {
			id, scope := texts[2*i], texts[2*i+1]
			g.grants[i].assignment = unpacked[id.from:id.to]
			g.grants[i].scope = authz.Scope(unpacked[scope.from:scope.to])
		}
		b.unpacked, b.texts = r.unpacked, texts
		r.unpacked = parents
	}
	return g, r.done(grantsSection)
}

// roleTexts remembers the last few roles: of many grants, most have one of them.
type roleTexts struct {
	packed, text [4]string
	next         int
}

func (t *roleTexts) read(r *payloadReader) string {
	packed := ""
	if !r.wide && len(r.rest) > guidBytes && r.rest[0] == textGUID {
		packed = r.rest[1 : 1+guidBytes]
		for i, known := range t.packed {
			if known == packed {
				r.take(1 + guidBytes)
				return t.text[i]
			}
		}
	}
	from := len(r.unpacked)
	text := strings.Clone(r.text())
	r.unpacked = r.unpacked[:from] // it is kept apart from those of the grant
	if packed != "" {
		t.packed[t.next], t.text[t.next] = packed, text
		t.next = (t.next + 1) % len(t.packed)
	}
	return text
}

func appendCount(b []byte, n uint64) []byte {
	return binary.AppendUvarint(append(b, payloadForm), n)
}

func readCount(sec section, payload string) (uint64, error) {
	r := readPayload(payload)
	n := r.uint()
	return n, r.done(sec)
}

func readRoleUse(payload string) (uint64, error) { return readCount(roleUseSection, payload) }

// checkRecord tells whether a record of a section can be read, in a file of that layout.
func checkRecord(schema uint64, sec section, key []byte, payload string) error {
	wide := schema <= wideSchema
	if payload == "" || wide != (payload[0] == wideForm) {
		return corruptf("a record in %q is not of the form of its layout", sec)
	}
	if sec == logSection {
		return checkLogRecord(key, payload)
	}
	k := keyReader{rest: key, wide: wide}
	k.part() // the tenant
	var err error
	switch sec {
	case tenantSection:
		_, err = readTenant(payload)
	case environmentGroupSection:
		k.part()
		err = readEmpty(sec, payload)
	case environmentSection:
		_, err = readEnvironment(k.part(), payload)
	case businessUnitSection:
		k.part()
		k.part()
		_, err = readBusinessUnit(payload)
	case roleDefinitionSection:
		_, err = readRoleDefinition(k.part(), payload)
	case principalSection:
		_, err = readPrincipalRecord(k.principal(), payload)
	case groupSection:
		_, err = readGroup(k.part(), payload)
	case roleAssignmentSection, groupDenialSection:
		_, err = readRoleAssignment(sec, k.part(), payload)
	case grantsSection:
		k.principal()
		_, err = readGrants(payload)
	case scopeSection:
		k.part()
		if !k.wide {
			k.effect()
		}
		k.part()
		err = readEmpty(sec, payload)
	case roleUseSection:
		k.part()
		_, err = readRoleUse(payload)
	case ownedSection:
		k.principal()
		k.principal()
		err = readEmpty(sec, payload)
	case noteSection:
		k.rest = nil // what follows the bucket is the note's key as it is
		_, err = readOpaque(sec, payload)
	default:
		err = checkItem(sec, &k, payload)
	}
	if err != nil {
		return err
	}
	return k.done(sec)
}
