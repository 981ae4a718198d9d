package bundle

import (
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A quickReader reads role assignments as programs write them: texts alone, none of them
// unusual. It makes nothing of what it cannot read, which is then read with all care.
type quickReader struct {
	texts [][]byte
	types map[string]authz.PrincipalType
	roles map[string]*customRole // by identifier, a NUL, and name, as they are spelled
	times map[string]int64
}

// The places of the keys in roleAssignmentRecord.
const (
	quickType = iota
	quickPrincipal
	quickScope
	quickID
	quickRoleID
	quickRoleName
	quickEffect
	quickExpires
	quickCreated
	quickCreatorType
	quickCreator
	quickKeys
)

// readQuickly reads an assignment, or returns false and may have written to it.
func (t *tenantReader) readQuickly(item strictyaml.Item, a *snapshot.RoleAssignment) bool {
	q := &t.quick
	if q.texts == nil {
		q.texts = make([][]byte, quickKeys)
		q.types = map[string]authz.PrincipalType{}
		for kind := authz.User; kind <= authz.Team; kind++ {
			q.types[kind.String()] = kind
		}
		q.roles, q.times = map[string]*customRole{}, map[string]int64{}
	}
	if !item.Texts(roleAssignmentRecord.keys, q.texts) {
		return false
	}
	var ok bool
	if a.Principal, ok = t.quickPrincipal(quickType, quickPrincipal); !ok {
		return false
	}
	if q.texts[quickID] != nil {
		if a.ID, ok = t.quickObjectID(q.texts[quickID]); !ok {
			return false
		}
	}
	switch text := q.texts[quickEffect]; {
	case text == nil:
		a.Effect = authz.AssignAllow
	case a.Effect.UnmarshalText(text) != nil:
		return false
	}
	if a.Expires, ok = q.time(quickExpires); !ok {
		return false
	}
	if a.CreatedOn, ok = q.time(quickCreated); !ok {
		return false
	}
	if q.texts[quickCreatorType] != nil || q.texts[quickCreator] != nil {
		if a.CreatedBy, ok = t.quickPrincipal(quickCreatorType, quickCreator); !ok {
			return false
		}
	}
	role := t.quickRole()
	if role == nil || !t.quickScope(role, a) {
		return false
	}
	a.RoleDefinitionID = role.ID
	if a.ID == "" {
		a.ID = AssignmentID(t.tenant.ID, a.Principal, a.RoleDefinitionID, a.Scope)
	}
	return true
}

func (t *tenantReader) quickPrincipal(typeAt, idAt int) (p authz.Principal, ok bool) {
	if p.Type, ok = t.quick.types[string(t.quick.texts[typeAt])]; !ok {
		return p, false
	}
	p.ID, ok = t.quickObjectID(t.quick.texts[idAt])
	return p, ok
}

func (t *tenantReader) quickObjectID(text []byte) (string, bool) {
	if len(text) == 0 || len(text) > authz.MaxIDLen {
		return "", false
	}
	return authz.CanonicalID(string(text), t.foldCase), true
}

func (q *quickReader) time(at int) (seconds int64, ok bool) {
	text := q.texts[at]
	if text == nil {
		return 0, true
	}
	if known, ok := q.times[string(text)]; ok {
		return known, true
	}
	parsed, err := time.Parse(time.RFC3339, string(text))
	if err != nil || parsed.Unix() <= 0 {
		return 0, false
	}
	if len(q.times) >= maxRemembered {
		clear(q.times)
	}
	q.times[string(text)] = parsed.Unix()
	return parsed.Unix(), true
}

// quickRole finds the role by its identifier, its name, or both if they agree.
func (t *tenantReader) quickRole() *customRole {
	id, name := t.quick.texts[quickRoleID], t.quick.texts[quickRoleName]
	var b [256]byte
	key := append(append(append(b[:0], id...), 0), name...)
	if role := t.quick.roles[string(key)]; role != nil {
		return role
	}
	var byID, byName *customRole
	if id != nil {
		canonical, ok := t.quickObjectID(id)
		if byID = t.roleByID(canonical); !ok || byID == nil {
			return nil
		}
	}
	if name != nil {
		if byName = t.roleByName(string(name)); len(name) == 0 || byName == nil {
			return nil
		}
	}
	role := byID
	switch {
	case role == nil:
		role = byName
	case byName != nil && byName != role:
		return nil
	}
	if role != nil && len(t.quick.roles) < maxRemembered {
		t.quick.roles[string(key)] = role
	}
	return role
}

// quickScope finds the scope and tells whether the role may be assigned there, to whom it is.
func (t *tenantReader) quickScope(role *customRole, a *snapshot.RoleAssignment) bool {
	text := t.quick.texts[quickScope]
	if len(text) == 0 {
		return false
	}
	info := t.scopes[string(text)]
	if info == nil {
		info = t.scope(string(text))
	}
	if info.problem != "" || len(info.chain) == 0 {
		return false
	}
	a.Scope = info.scope
	return t.mayBeAssigned(role, info) && (!hasTerms(role) || t.checkHolder(role, info, a) == nil)
}
