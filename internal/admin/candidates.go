package admin

import (
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// oneLine is an error that lists several reasons, as a sentence.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// mayHold refuses an assignment that the role's terms do not allow: who may hold it, where
// there is a database and where there is none, and how it comes about.
func (t *txn) mayHold(def *authz.RoleDefinition, scope authz.Scope, p authz.Principal, effect authz.AssignmentEffect, origin authz.Origin) error {
	candidate, err := t.candidate(scope, p)
	if err != nil {
		return err
	}
	candidate.Effect, candidate.Origin = effect, origin
	if candidate.Holder == authz.NoHolder {
		if def.Terms == nil && !def.IsSecurityRole() {
			return nil // of the platform, for a team that is not listed
		}
		return failf(PrincipalUnknown, "Principal", "make it first", "the environment of %s has no team %q", scope, p.ID)
	}
	if candidate.Holder == authz.AccessTeamHolder && effect == authz.AssignAllow && def.Terms == nil && !def.IsSecurityRole() {
		return fail(NotAssignable, "Principal", "an access team holds no roles", "share records with it, or use an owner team")
	}
	if err := def.CheckAssignment(candidate); err != nil {
		return fail(NotAssignable, "Role", oneLine(err), "")
	}
	return nil
}

// candidate is what the terms of a role are held against.
func (t *txn) candidate(scope authz.Scope, p authz.Principal) (authz.Candidate, error) {
	c := authz.Candidate{AllowDisabled: t.a.disabledOK}
	_, named, err := authz.ParseScope(string(scope), t.a.foldCase)
	if err != nil {
		return c, err
	}
	if named.Environment != "" {
		e, _, listed, err := t.e.Environment(t.tenant, named.Environment)
		if err != nil {
			return c, err
		}
		c.HasDatabase = listed && e.Dataverse
	}
	if c.HasDatabase {
		if c.BusinessUnit = named.ID; named.Kind != authz.BusinessUnitScope {
			if c.BusinessUnit, err = t.rootUnit(named.Environment); err != nil {
				return c, err
			}
		}
	}
	switch p.Type {
	case authz.Group:
		c.Holder = authz.GroupHolder
	case authz.DirectoryRole:
		c.Holder = authz.DirectoryRoleHolder
	case authz.Team:
		team, listed, err := t.e.Team(t.tenant, p.ID)
		if err != nil || !listed || named.Environment != "" && team.Environment != named.Environment {
			return c, err
		}
		c.Holder, c.TeamName = team.Kind, team.DisplayName
	case authz.User, authz.ApplicationUser:
		return c, t.userCandidate(&c, named.Environment, p)
	case authz.NoPrincipal:
	}
	return c, nil
}

func (t *txn) userCandidate(c *authz.Candidate, environment string, p authz.Principal) error {
	kind := p.Type
	if c.HasDatabase {
		user, listed, err := t.e.EnvironmentUser(t.tenant, environment, p)
		if err != nil {
			return err
		}
		if listed { // whoever asks may not know which of the two it is
			kind, c.InEnvironment, c.ServiceInstalled, c.Disabled = user.Type, true, user.ServiceInstalled, user.Disabled
		}
	}
	c.Holder = authz.UserHolder
	if kind == authz.ApplicationUser {
		c.Holder = authz.ApplicationUserHolder
	}
	disabled, err := isDisabled(t.e, t.tenant, p)
	c.Disabled = c.Disabled || disabled
	return err
}

// dataOf are the environments whose data somebody could reach by the assignment of a role.
func (t *txn) dataOf(def *authz.RoleDefinition, scope authz.Scope) []string {
	_, named, err := authz.ParseScope(string(scope), t.a.foldCase)
	if err != nil || named.Environment == "" || !def.IsSecurityRole() {
		return nil
	}
	return []string{named.Environment}
}

// companion is the assignment of a security role that one of the platform brings along
// where there is a database; nil: none.
func (t *txn) companion(def *authz.RoleDefinition, as *snapshot.RoleAssignment) (*snapshot.RoleAssignment, error) {
	if def.Terms == nil || def.Terms.Companion == "" || as.Effect != authz.AssignAllow {
		return nil, nil
	}
	_, named, err := authz.ParseScope(string(as.Scope), t.a.foldCase)
	if err != nil {
		return nil, err
	}
	e, _, _, err := t.e.Environment(t.tenant, named.Environment)
	if err != nil || !e.Dataverse {
		return nil, err
	}
	role, known, err := t.definition(def.Terms.Companion)
	if err != nil || !known {
		return nil, err
	}
	if err := t.mayHold(&role, as.Scope, as.Principal, as.Effect, authz.ByCompanion); err != nil {
		return nil, err
	}
	made := *as
	made.ID, made.RoleDefinitionID = newID(), role.ID
	return &made, nil
}

// putCompanion makes the assignment of a companion, unless there is one that stays as long.
func (t *txn) putCompanion(made *snapshot.RoleAssignment) error {
	if made == nil {
		return nil
	}
	old, found, err := t.assignmentLike(made)
	if err != nil {
		return err
	}
	if found {
		if old.Expires == made.Expires {
			return nil
		}
		if err := t.removeAssignment(old); err != nil {
			return err
		}
	}
	return t.putAssignment(made)
}

// assignmentLike finds the assignment of the same principal, role and scope.
func (t *txn) assignmentLike(as *snapshot.RoleAssignment) (snapshot.RoleAssignment, bool, error) {
	for other, err := range t.e.RoleAssignmentsOf(t.tenant, as.Principal) {
		if err != nil {
			return other, false, err
		}
		if sameAssignment(&other, as) {
			return other, true, nil
		}
	}
	return snapshot.RoleAssignment{}, false, nil
}

// removeCompanion removes what an assignment of the role brought along.
func (t *txn) removeCompanion(def *authz.RoleDefinition, as *snapshot.RoleAssignment) error {
	if def.Terms == nil || def.Terms.Companion == "" || as.Effect != authz.AssignAllow {
		return nil
	}
	like := *as
	like.RoleDefinitionID = def.Terms.Companion
	old, found, err := t.assignmentLike(&like)
	if err != nil || !found {
		return err
	}
	return t.removeAssignment(old)
}

// provision gives whoever makes things in an environment, which has a database now, what
// goes with that: they become users of it, and get the security role.
func (t *txn) provision(environment string) error {
	var makers []snapshot.RoleAssignment
	scope := environmentScope(t.tenant, environment)
	for as, err := range t.e.RoleAssignmentsAt(t.tenant, scope) {
		if err != nil {
			return err
		}
		if as.Expires == 0 || as.Expires > t.now {
			makers = append(makers, as)
		}
	}
	for i := range makers {
		as := &makers[i]
		def, known, err := t.definition(as.RoleDefinitionID)
		if err != nil {
			return err
		}
		if !known || def.Terms == nil || def.Terms.Companion == "" || as.Effect != authz.AssignAllow {
			continue
		}
		if as.Principal.Key().Type == authz.User {
			if err := t.addUser(environment, as.Principal); err != nil {
				return err
			}
		}
		made, err := t.companion(&def, as)
		if KindOf(err) == NotAssignable { // such as of somebody who is disabled
			t.notes = append(t.notes, "no security role came with assignment "+as.ID+": "+err.Error())
			continue
		}
		if err != nil || made == nil {
			return err
		}
		made.CreatedOn, made.CreatedBy = t.now, t.caller.Subject.Principal()
		if err := t.putCompanion(made); err != nil {
			return err
		}
	}
	return nil
}

// addUser adds a user to an environment, in its root business unit, unless it is one.
func (t *txn) addUser(environment string, p authz.Principal) error {
	_, listed, err := t.e.EnvironmentUser(t.tenant, environment, p)
	if err != nil || listed {
		return err
	}
	user := &userItem{snapshot.EnvironmentUser{Environment: environment, Principal: p}}
	if err := t.change(user.target(), environmentScope(t.tenant, environment), nil, user.spelled()); err != nil {
		return err
	}
	return user.put(t)
}

// unprovision takes away what assignments brought along because of the database. It is
// refused while a security role is assigned there otherwise.
func (t *txn) unprovision(environment string) error {
	scope := environmentScope(t.tenant, environment)
	var gone []snapshot.RoleAssignment
	for as, err := range t.e.RoleAssignmentsUnder(t.tenant, scope) {
		if err != nil {
			return err
		}
		def, _, err := t.definition(as.RoleDefinitionID)
		if err != nil {
			return err
		}
		switch {
		case !def.IsSecurityRole():
		case def.CheckRemoval(authz.ByCompanion) == nil:
			gone = append(gone, as)
		default:
			return failf(InUse, "Environment.Dataverse", "remove it first", "the database is in use: %q is assigned there (assignment %s)", def.Name, as.ID)
		}
	}
	for _, as := range gone {
		if err := t.removeAssignment(as); err != nil {
			return err
		}
	}
	return nil
}
