package bundle

import (
	"strconv"
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
	snapshot.Place
	gone bool // expired, and another took its place
}

// An assignmentList is a tenant's list of role assignments, for problems with its items.
type assignmentList struct {
	reader *strictyaml.Reader
	path   string
}

func (l assignmentList) problemf(at snapshot.Place, format string, args ...any) {
	l.reader.ProblemAt(at.Line, at.Column, l.path+"["+strconv.Itoa(at.Index)+"]", format, args...)
}

// The two ways in which an assignment can be one too many.
func (l assignmentList) sameGrant(first, second snapshot.Place) {
	l.problemf(second, "the assignment on line %d has the same principal, role and scope: there can be one, remove one of them", first.Line)
}

func (l assignmentList) sameID(id string, first, second snapshot.Place) {
	l.problemf(second, "roleAssignmentId %q is listed twice: first on line %d", id, first.Line)
}

func (t *tenantReader) readRoleAssignments(f *fields) {
	v, ok := f.value("roleAssignments")
	if !ok {
		return
	}
	t.list = assignmentList{v.Reader(), v.Path()}
	held, passed := v.Held()
	if passed && t.later != nil {
		*t.later = append(*t.later, laterList{t, held})
		return
	}
	var all []placedAssignment
	index := map[assignmentKey]int{}
	add := func(a *placedAssignment) error {
		key := assignmentKey{a.Principal.Key(), a.RoleDefinitionID, a.Scope}
		if first, twice := index[key]; twice {
			switch stays := t.makeWay(&all[first].RoleAssignment, &a.RoleAssignment); stays {
			case nil:
				t.list.sameGrant(all[first].Place, a.Place)
				return nil
			case &a.RoleAssignment:
				all[first].gone = true
			default:
				return nil
			}
		}
		index[key] = len(all)
		all = append(all, *a)
		return nil
	}
	if passed {
		if err := t.readHeld(held, add); err != nil {
			t.failed = err
			return
		}
	} else {
		i := 0
		v.List(func(item strictyaml.Value) {
			a := placedAssignment{Place: snapshot.Place{Line: item.Line(), Column: item.Column(), Index: i}}
			i++
			if t.readRoleAssignment(item, &a.RoleAssignment) {
				_ = add(&a) // which never fails
			}
		})
	}
	places := make(map[string]snapshot.Place, len(all))
	for i := range all {
		a := &all[i]
		if a.gone {
			continue
		}
		if first, twice := places[a.ID]; twice {
			t.list.sameID(a.ID, first, a.Place)
			continue
		}
		places[a.ID] = a.Place
		t.tenant.RoleAssignments = append(t.tenant.RoleAssignments, a.RoleAssignment)
	}
}

// readHeld reads a list of role assignments item by item, and calls add with each that can
// be compared with others.
func (t *tenantReader) readHeld(list strictyaml.HeldList, add func(*placedAssignment) error) error {
	var a placedAssignment
	return list.Each(t.file, t.document, func(item strictyaml.Item) error {
		a = placedAssignment{Place: snapshot.Place{Line: item.Line, Column: item.Column, Index: item.Index}}
		if t.progress != nil {
			t.progress(item.Done)
		}
		if !t.readQuickly(item, &a.RoleAssignment) {
			a.RoleAssignment = snapshot.RoleAssignment{}
			v, err := item.Value(t.list.reader, t.list.path+"["+strconv.Itoa(item.Index)+"]")
			if err != nil {
				return err
			}
			if ok := t.readRoleAssignment(v, &a.RoleAssignment); t.list.reader.Problems() > maxProblems {
				return errTooManyProblems
			} else if !ok {
				return nil
			}
		}
		return add(&a)
	})
}

// makeWay decides which of two assignments of one principal, role and scope stays: the
// one that has not expired; of two that have, the one that expired last. Of two that are
// live neither can; that is a problem, and it returns nil.
func (t *tenantReader) makeWay(first, second *snapshot.RoleAssignment) *snapshot.RoleAssignment {
	switch firstExpired, secondExpired := t.hasExpired(first), t.hasExpired(second); {
	case !firstExpired && !secondExpired:
		return nil
	case firstExpired && (!secondExpired || second.Expires > first.Expires):
		return second
	default:
		return first
	}
}

func (t *tenantReader) hasExpired(a *snapshot.RoleAssignment) bool {
	return a.Expires != 0 && t.now != 0 && a.Expires <= t.now
}

// readRoleAssignment reads one assignment and tells whether it could be read so far that
// it can be compared with others.
func (t *tenantReader) readRoleAssignment(v strictyaml.Value, a *snapshot.RoleAssignment) bool {
	f := roleAssignmentRecord.read(v)
	a.Principal = t.principal(&f, "principalType", "principalObjectId", holders...)
	if id, ok := f.unlessNull("roleAssignmentId"); ok {
		a.ID = t.objectID(id)
	}
	a.Effect = authz.AssignAllow
	if v, ok := f.value("effect"); ok {
		if effect, ok := parsed[authz.AssignmentEffect](v); ok {
			a.Effect = effect
		}
	}
	a.Expires = unixTime(&f, "expiresOn")
	a.CreatedOn = unixTime(&f, "createdOn")
	a.CreatedBy = t.readCreator(&f)
	role := t.readRole(&f)
	if scope, ok := f.value("scope"); ok {
		t.readAssignmentScope(scope, role, a)
	}
	if role != nil {
		a.RoleDefinitionID = role.ID
	}
	if role == nil || a.Scope == "" || a.Principal.ID == "" {
		return false
	}
	if a.ID == "" {
		a.ID = AssignmentID(t.tenant.ID, a.Principal, a.RoleDefinitionID, a.Scope)
	}
	return true
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
		return t.principal(f, "createdByPrincipalType", "createdByPrincipalObjectId", holders...)
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
			idAt.Problemf("%s", t.noRole(id))
		}
	}
	if hasName {
		name := nameAt.Text()
		if byName = t.roleByName(name); byName == nil && name != "" {
			nameAt.Problemf("%s", t.noRole(name))
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

// readAssignmentScope reads the scope and checks that the role may be assigned there, and to
// whom it is. The scope stays empty after a problem with it.
func (t *tenantReader) readAssignmentScope(v strictyaml.Value, role *customRole, a *snapshot.RoleAssignment) {
	text := v.Text()
	if text == "" {
		return
	}
	at := t.scope(text)
	if at.problem != "" {
		v.Problemf("%s", at.problem)
		return
	}
	a.Scope = at.scope
	if len(at.chain) == 0 || role == nil {
		return
	}
	if !t.mayBeAssigned(role, at) {
		v.Problemf("the role %q may not be assigned at %s: %s", role.Name, at.scope, whereAssigned(t.tenant.ID, &role.RoleDefinition))
		return
	}
	if hasTerms(role) && a.Principal.ID != "" {
		for _, problem := range each(t.checkHolder(role, at, a)) {
			v.Problemf("%v", problem)
		}
	}
}
