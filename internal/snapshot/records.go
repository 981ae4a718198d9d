package snapshot

import (
	"encoding/binary"

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
	return appendTexts(b, def.RestrictedScopes)
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
	return def, r.done(roleDefinitionSection)
}

func appendPrincipalRecord(b []byte, p *Principal) []byte {
	b = appendBool(append(b, payloadForm), p.Disabled)
	return appendText(appendText(b, p.DisplayName), p.Mail)
}

func readPrincipalRecord(of authz.Principal, payload string) (Principal, error) {
	r := readPayload(payload)
	p := Principal{Principal: of}
	p.Disabled = r.bool()
	p.DisplayName = r.text()
	p.Mail = r.text()
	return p, r.done(principalSection)
}

func appendGroup(b []byte, displayName string, members []authz.Principal) []byte {
	b = appendText(append(b, payloadForm), displayName)
	b = binary.AppendUvarint(b, uint64(len(members)))
	for _, member := range members {
		b = appendPrincipal(b, member)
	}
	return b
}

func readGroup(id, payload string) (Group, error) {
	r := readPayload(payload)
	g := Group{ID: id}
	g.DisplayName = r.text()
	if n := r.count(); n > 0 {
		g.Members = make([]authz.Principal, 0, n)
		for range n {
			g.Members = append(g.Members, r.knownPrincipal())
		}
	}
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
	b = binary.AppendUvarint(b, uint64(len(g.parents)))
	for _, parent := range g.parents {
		b = appendPrincipal(b, parent)
	}
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

func readGrants(payload string) (grantsRecord, error) {
	r := readPayload(payload)
	var g grantsRecord
	g.disabled = r.bool()
	if n := r.count(); n > 0 {
		g.parents = make([]authz.Principal, 0, n)
		for range n {
			g.parents = append(g.parents, r.knownPrincipal())
		}
	}
	if n := r.count(); n > 0 {
		g.grants = make([]grantRecord, 0, n/8+1) // a grant is well over eight bytes
		for range n {
			grant := grantRecord{assignment: r.text(), kind: authz.PrincipalType(r.byte()), role: r.text()}
			grant.scope = authz.Scope(r.text())
			grant.effect = authz.AssignmentEffect(r.byte())
			grant.expires = r.int()
			r.bad = r.bad || !validEffect(grant.effect) || !validType(grant.kind)
			if r.bad {
				break
			}
			g.grants = append(g.grants, grant)
		}
	}
	return g, r.done(grantsSection)
}

func appendCount(b []byte, n uint64) []byte {
	return binary.AppendUvarint(append(b, payloadForm), n)
}

func readCount(payload string) (uint64, error) {
	r := readPayload(payload)
	n := r.uint()
	return n, r.done(roleUseSection)
}

// checkRecord tells whether a record of a section can be read.
func checkRecord(sec section, key []byte, payload string) error {
	k := keyReader{rest: key}
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
		k.part()
		err = readEmpty(sec, payload)
	case roleUseSection:
		k.part()
		_, err = readCount(payload)
	default:
		return corruptf("section %d is unknown", sec)
	}
	if err != nil {
		return err
	}
	return k.done(sec)
}
