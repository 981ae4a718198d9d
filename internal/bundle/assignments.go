package bundle

import (
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// An assignmentKey is what only one assignment at a time may have.
type assignmentKey struct {
	principal authz.Principal
	role      string
	scope     authz.Scope
}

type assignableKey struct {
	role  string
	scope authz.Scope
}

// A placedAssignment is an assignment and where it stands.
type placedAssignment struct {
	snapshot.RoleAssignment
	at   strictyaml.Value
	gone bool // expired, and another took its place
}

func (t *tenantReader) readRoleAssignments(f *fields) {
	var all []placedAssignment
	index := map[assignmentKey]int{}
	f.list("roleAssignments", func(v strictyaml.Value) {
		a, ok := t.readRoleAssignment(v)
		if !ok {
			return
		}
		key := assignmentKey{a.Principal.Key(), a.RoleDefinitionID, a.Scope}
		if first, twice := index[key]; twice && !t.makeWay(&all[first], &a) {
			return
		}
		if !a.gone {
			index[key] = len(all)
			all = append(all, a)
		}
	})
	lines := make(map[string]int, len(all))
	for i := range all {
		a := &all[i]
		if a.gone {
			continue
		}
		if a.ID == "" {
			a.ID = AssignmentID(t.tenant.ID, a.Principal, a.RoleDefinitionID, a.Scope)
		}
		if once(lines, a.ID, a.at, "roleAssignmentId %q", a.ID) {
			t.tenant.RoleAssignments = append(t.tenant.RoleAssignments, a.RoleAssignment)
		}
	}
}

// makeWay decides which of two assignments of one principal, role and scope stays: the
// one that has not expired; of two that have, the one that expired last. Two that are
// live are a problem, and it returns false.
func (t *tenantReader) makeWay(first, second *placedAssignment) bool {
	switch firstExpired, secondExpired := t.hasExpired(first), t.hasExpired(second); {
	case !firstExpired && !secondExpired:
		second.at.Problemf("the assignment on line %d has the same principal, role and scope: there can be one, remove one of them", first.at.Line())
		return false
	case firstExpired && (!secondExpired || second.Expires > first.Expires):
		first.gone = true
	default:
		second.gone = true
	}
	return true
}

func (t *tenantReader) hasExpired(a *placedAssignment) bool {
	return a.Expires != 0 && t.now != 0 && a.Expires <= t.now
}

// readRoleAssignment reads one assignment and tells whether it could be read so far that
// it can be compared with others.
func (t *tenantReader) readRoleAssignment(v strictyaml.Value) (placedAssignment, bool) {
	f := roleAssignmentRecord.read(v)
	a := placedAssignment{at: v}
	a.Principal = t.principal(&f, "principalType", "principalObjectId",
		authz.User, authz.Group, authz.ApplicationUser, authz.DirectoryRole, authz.Team)
	if id, ok := f.unlessNull("roleAssignmentId"); ok {
		a.ID = t.objectID(id)
	}
	a.Effect = authz.AssignAllow
	if effect, ok := f.value("effect"); ok {
		if text := effect.Text(); text != "" {
			if err := a.Effect.UnmarshalText([]byte(text)); err != nil {
				effect.Problemf("%v", err)
			}
		}
	}
	a.Expires = unixTime(&f, "expiresOn")
	a.CreatedOn = unixTime(&f, "createdOn")
	a.CreatedBy = t.readCreator(&f)
	role := t.readRole(&f)
	if scope, ok := f.value("scope"); ok {
		a.Scope = t.readAssignmentScope(scope, role)
	}
	if role != nil {
		a.RoleDefinitionID = role.ID
	}
	return a, role != nil && a.Scope != "" && a.Principal.ID != ""
}

// unixTime reads a time that may be null or missing, as Unix seconds. It refuses what
// is not after the first second of 1970, because 0 stands for no time.
func unixTime(f *fields, key string) int64 {
	v, ok := f.unlessNull(key)
	if !ok {
		return 0
	}
	at := v.Time()
	if at.Unix() > 0 {
		return at.Unix()
	}
	if v.IsScalar() { // what is no time at all was said, but the year 1 is one
		if _, err := time.Parse(time.RFC3339, v.OptionalText()); err == nil {
			v.Problemf("want a time after 1970-01-01T00:00:00Z")
		}
	}
	return 0
}

func (t *tenantReader) readCreator(f *fields) authz.Principal {
	typeAt, hasType := f.unlessNull("createdByPrincipalType")
	idAt, hasID := f.unlessNull("createdByPrincipalObjectId")
	switch {
	case hasType && !hasID:
		typeAt.Problemf("createdByPrincipalObjectId is missing beside it")
	case hasID && !hasType:
		idAt.Problemf("createdByPrincipalType is missing beside it")
	case hasType:
		return t.principal(f, "createdByPrincipalType", "createdByPrincipalObjectId",
			authz.User, authz.Group, authz.ApplicationUser, authz.DirectoryRole, authz.Team)
	}
	return authz.Principal{}
}

// readRole finds the role by its identifier, its name, or both if they agree.
func (t *tenantReader) readRole(f *fields) *customRole {
	idAt, hasID := f.unlessNull("roleDefinitionId")
	nameAt, hasName := f.unlessNull("roleDefinitionName")
	if !hasID && !hasName {
		if f.values != nil {
			f.at.Problemf("roleDefinitionId or roleDefinitionName is required")
		}
		return nil
	}
	var byID, byName *customRole
	if hasID {
		id := t.objectID(idAt)
		if byID = t.roleByID(id); byID == nil && id != "" {
			idAt.Problemf("there is no role %q: want a shipped role or one under roleDefinitions", id)
		}
	}
	if hasName {
		name := nameAt.Text()
		if byName = t.roleByName(name); byName == nil && name != "" {
			nameAt.Problemf("there is no role %q: want a shipped role or one under roleDefinitions", name)
		}
	}
	switch {
	case !hasName:
		return byID
	case !hasID:
		return byName
	case byID == nil || byName == nil:
		return nil
	case byID != byName:
		nameAt.Problemf("the role %q has the identifier %s, not %s: give one of the two, or make them agree", byName.Name, byName.ID, byID.ID)
		return nil
	}
	return byID
}

// readAssignmentScope reads a scope and checks that the role may be assigned there. The
// scope is empty after a problem.
func (t *tenantReader) readAssignmentScope(v strictyaml.Value, role *customRole) authz.Scope {
	text := v.Text()
	if text == "" {
		return ""
	}
	info := t.scope(text)
	if info.problem != "" {
		v.Problemf("%s", info.problem)
		return ""
	}
	if len(info.chain) == 0 || role == nil {
		return info.scope
	}
	key := assignableKey{role.ID, info.scope}
	ok, known := t.assignable[key]
	if !known {
		ok = role.AssignableAt(info.chain)
		t.assignable[key] = ok
	}
	if !ok {
		but := ""
		if len(role.RestrictedScopes) > 0 {
			but = ", but not at or below " + strings.Join(role.RestrictedScopes, ", ")
		}
		v.Problemf("the role %q may not be assigned at %s: it may be at or below %s%s",
			role.Name, info.scope, strings.Join(role.AssignableScopes, ", "), but)
	}
	return info.scope
}
