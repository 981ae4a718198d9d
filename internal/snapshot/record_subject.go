package snapshot

import (
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// RecordSubject returns a user of an environment with all that decides what it may do to
// records there: its security roles and those of its teams, its teams and column profiles. It
// belongs to the environment's [Reader.Database]. It is nil where the environment has no
// database, or the caller was never added to it.
//
// What counts are ALLOW assignments of security roles in the environment. One at the
// environment itself is held in the user's own business unit; a team's is held in the team's.
func (r *Reader) RecordSubject(tenant, environment string, s *authz.Subject) (*authz.RecordSubject, error) {
	d, err := r.database(tenant, environment)
	if err != nil || d == nil {
		return nil, err
	}
	db, err := d.get()
	if err != nil {
		return nil, invalidIn(tenant, environment, err)
	}
	caller := s.Principal()
	user, ok, err := r.EnvironmentUser(tenant, environment, caller)
	if err != nil || !ok {
		return nil, err
	}
	g := subjectGatherer{
		r: r, tenant: tenant, environment: environment, database: d, db: db, caller: caller.Key(),
		spec: authz.RecordSubjectSpec{User: caller, BusinessUnit: d.unit(db, user.BusinessUnit), Disabled: user.Disabled},
	}
	if err := r.walk(tenant, s, g.visit); err != nil {
		return nil, err
	}
	if g.spec.TeamsUnknown, err = r.teamsUnknown(tenant, environment, s); err != nil {
		return nil, err
	}
	subject, err := db.Subject(g.spec)
	if err != nil {
		return nil, r.broken(corruptf("environment %q: %v", environment, err))
	}
	return subject, nil
}

// teamsUnknown tells whether the caller may be in a group team through a group that nobody
// knows of.
func (r *Reader) teamsUnknown(tenant, environment string, s *authz.Subject) (bool, error) {
	if t, _ := r.Tenant(tenant); !s.GroupsUnknown() || t.DirectoryComplete {
		return false, nil
	}
	for team, err := range r.placedTeams(tenant, environment) {
		if err != nil || team.kind == authz.GroupTeamHolder {
			return err == nil, err
		}
	}
	return false, nil
}

// A subjectGatherer collects what a subject has in an environment.
type subjectGatherer struct {
	r                   *Reader
	tenant, environment string
	database            *database
	db                  *authz.Database
	caller              authz.Principal
	spec                authz.RecordSubjectSpec
}

// visit takes in what the caller belongs to, or the caller itself.
func (g *subjectGatherer) visit(m Membership, record *grantsRecord) error {
	switch m.Principal.Type {
	case authz.User, authz.ApplicationUser:
		if m.Principal != g.caller {
			return nil
		}
		g.spec.Disabled = g.spec.Disabled || record.disabled
		if err := g.profiles(m.Principal); err != nil {
			return err
		}
		return g.holdings(record, g.spec.BusinessUnit, "", nil)
	case authz.Team:
		id := m.Principal.ID
		team, ok, err := one(g.r, environmentTeamSection, itemKey(nil, g.tenant, g.environment, id), func(payload string) (placedTeam, error) {
			return readPlacedTeam(g.environment, id, payload)
		})
		if err != nil || !ok { // else it is of another environment
			return err
		}
		unit := g.database.unit(g.db, team.unit)
		g.spec.Teams = append(g.spec.Teams, authz.TeamMembership{Team: id, BusinessUnit: unit})
		if err := g.profiles(m.Principal); err != nil {
			return err
		}
		if team.kind == authz.AccessTeamHolder { // which holds no roles
			return nil
		}
		return g.holdings(record, unit, id, nil)
	case authz.Group:
		return g.holdings(record, g.spec.BusinessUnit, "", heldBy(authz.GroupHolder))
	case authz.DirectoryRole:
		return g.holdings(record, g.spec.BusinessUnit, "", heldBy(authz.DirectoryRoleHolder))
	default:
		return nil
	}
}

// heldBy picks the roles that say themselves that such a holder may hold them.
func heldBy(kind authz.HolderKind) func(def *authz.RoleDefinition) bool {
	return func(def *authz.RoleDefinition) bool {
		return def.Terms != nil && slices.Contains(def.Terms.HeldBy, kind)
	}
}

// holdings takes in the security roles that one principal was assigned in the environment.
// unit is where those that name no business unit are held.
func (g *subjectGatherer) holdings(record *grantsRecord, unit, team string, choose func(*authz.RoleDefinition) bool) error {
	root := authz.NamedScope{Kind: authz.EnvironmentScope, Environment: g.environment}.In(g.tenant)
	for i := range record.grants {
		grant := &record.grants[i]
		if !atOrBelow(grant.scope, root) || grant.effect != authz.AssignAllow {
			continue
		}
		def, ok := g.database.definition(grant.role)
		if !ok || choose != nil && !choose(def) || !def.AssignableAt([]authz.Scope{grant.scope, root}) {
			continue
		}
		in := unit
		if named, isUnit := strings.CutPrefix(string(grant.scope[len(root):]), businessUnitsBelow); isUnit {
			if in = named; !g.db.HasBusinessUnit(in) || len(g.database.units) == 0 {
				continue // it was removed
			}
		}
		role, err := g.database.role(grant.role)
		if err != nil {
			return invalidIn(g.tenant, g.environment, err)
		}
		g.spec.Holdings = append(g.spec.Holdings, authz.RoleHolding{
			AssignmentID: grant.assignment, Role: role, BusinessUnit: in, Team: team, Expires: grant.expires,
		})
	}
	return nil
}

// businessUnitsBelow is what follows an environment in the scope of a business unit.
const businessUnitsBelow = "/businessUnits/"

// liftedScope is where an assignment gives the role's platform permissions: a security role
// that is held in a business unit gives them at the environment.
func liftedScope(role *authz.Role, scope authz.Scope) authz.Scope {
	if !role.IsSecurityRole() {
		return scope
	}
	if at := strings.Index(string(scope), businessUnitsBelow); at >= 0 {
		return scope[:at]
	}
	return scope
}

// profiles takes in the column profiles of the user or a team of its.
func (g *subjectGatherer) profiles(of authz.Principal) error {
	prefix := environmentUserKey(nil, g.tenant, g.environment, of)
	for columns, err := range each(g.r, profiledSection, prefix, func(key *keyReader, payload string) ([]ColumnRight, error) {
		key.part() // the profile
		return readColumns(payload)
	}) {
		if err != nil {
			return err
		}
		for _, c := range columns {
			g.spec.Profiles = append(g.spec.Profiles, authz.ColumnProfile{Table: c.Table, Column: c.Column, Rights: c.Rights})
		}
	}
	return nil
}
