package bundle

import (
	"fmt"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// resourceTemplate is how many slashes a template for something in an environment has.
const resourceTemplate = 6

// mayBeAssigned tells whether a role may be assigned at a scope whose chain is known.
func (t *tenantReader) mayBeAssigned(role *customRole, at *scopeInfo) bool {
	key := assignableKey{role.ID, at.scope}
	ok, known := t.assignable[key]
	if !known {
		ok = role.AssignableAt(at.chain)
		if len(t.assignable) >= maxRemembered {
			clear(t.assignable)
		}
		t.assignable[key] = ok
	}
	return ok
}

// forResources tells whether a role is one for something in an environment, as a website's.
func forResources(role *authz.RoleDefinition) bool {
	for _, template := range role.AssignableScopes {
		if strings.Count(template, "/") == resourceTemplate {
			return true
		}
	}
	return false
}

// whereAssigned says where a role may be assigned.
func whereAssigned(tenant string, role *authz.RoleDefinition) string {
	switch {
	case role.Environment != "":
		scope := authz.NamedScope{Kind: authz.EnvironmentScope, Environment: role.Environment}.In(tenant)
		return fmt.Sprintf("it may be at %s and its business units", scope)
	case role.IsSecurityRole() && !forResources(role):
		return "it may be at an environment with a database and at its business units"
	case len(role.AssignableScopes) == 0:
		return "it may be nowhere"
	}
	where := "it may be at or below " + strings.Join(role.AssignableScopes, ", ")
	if len(role.RestrictedScopes) > 0 {
		where += ", but not at or below " + strings.Join(role.RestrictedScopes, ", ")
	}
	return where
}

// hasTerms tells whether not everybody may hold a role. The terms of a custom role say only
// which roles it may assign.
func hasTerms(role *customRole) bool {
	return role.IsSecurityRole() || role.line == 0 && role.Terms != nil
}

// checkHolder returns all that speaks against an assignment of a role with terms. A bundle
// says what is the case, not what somebody asks for: an assignment that came by itself, that
// was made before the environment had a database, or whose holder was disabled since, is as
// good as it was.
func (t *tenantReader) checkHolder(role *customRole, at *scopeInfo, a *snapshot.RoleAssignment) error {
	def := &role.RoleDefinition
	environment := at.named.Environment
	c := authz.Candidate{
		Effect:        a.Effect,
		HasDatabase:   t.databases[environment],
		AllowDisabled: true,
		BusinessUnit:  environment, // the scope names it, or the environment for its root
	}
	if def.Terms != nil {
		c.Origin = def.Terms.ComesBy
		if def.Terms.Database == authz.DatabaseAbsent && a.Principal.Type != authz.Team {
			c.HasDatabase = false // it was, when the assignment was made
		}
	}
	switch a.Principal.Type {
	case authz.User:
		c.Holder = authz.UserHolder
	case authz.ApplicationUser:
		c.Holder = authz.ApplicationUserHolder
	case authz.Group:
		c.Holder = authz.GroupHolder
	case authz.DirectoryRole:
		c.Holder = authz.DirectoryRoleHolder
	case authz.Team:
		team := t.teams[a.Principal.ID]
		switch {
		case team == nil:
			return fmt.Errorf("role %q: there is no team %q: list it under teams", def.Name, a.Principal.ID)
		case team.Environment == "" || team.Kind == authz.NoHolder:
			return nil // the team itself is a problem
		case team.Environment != environment && environment != "":
			return fmt.Errorf("role %q: team %q is of the environment %q: want one of %q", def.Name, team.ID, team.Environment, environment)
		}
		c.Holder, c.TeamName = team.Kind, team.DisplayName
	case authz.NoPrincipal: // which holds nothing
	}
	if user := t.users[userIn{environment, a.Principal.Key()}]; user != nil {
		c.InEnvironment, c.ServiceInstalled = true, user.ServiceInstalled
		if c.Holder = authz.UserHolder; user.Type == authz.ApplicationUser { // who assigned may not have known
			c.Holder = authz.ApplicationUserHolder
		}
	}
	return def.CheckAssignment(c)
}
