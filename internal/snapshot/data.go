package snapshot

import "github.com/pathgrant/pathgrant/pkg/authz"

// Data is everything that decisions are taken from, as a source delivers it: the whole
// of it, never a change. Identifiers are in their one spelling and references are good;
// whoever makes Data has checked that. Order means nothing.
type Data struct {
	Tenants []Tenant
}

// A Tenant is one tenant's share of the [Data].
type Tenant struct {
	ID string
	// DirectoryComplete says that Groups holds every group and member of the tenant, so
	// that a token without its groups leaves nothing unknown.
	DirectoryComplete bool
	EnvironmentGroups []authz.EnvironmentGroup
	Environments      []Environment
	BusinessUnits     []authz.BusinessUnit
	Principals        []Principal
	Groups            []Group
	// RoleDefinitions are the tenant's custom roles; the shipped ones are not listed.
	RoleDefinitions []authz.RoleDefinition
	RoleAssignments []RoleAssignment

	// What environments with a database have besides their business units.
	Tables         []Table
	Users          []EnvironmentUser
	Teams          []Team
	ColumnProfiles []ColumnProfile
	Shares         []Share
	Apps           []App
	Flows          []Flow
}

// An Environment is listed here or in a group; listing it in both is the same as once.
type Environment struct {
	ID string
	// Dataverse says that the environment has a Dataverse database.
	Dataverse bool
}

// A Principal is listed where something is known about it.
type Principal struct {
	authz.Principal
	// Disabled denies the principal everything.
	Disabled bool
	// DisplayName and Mail are for people to read; no decision reads them.
	DisplayName, Mail string
	// Owners are who owns the principal. No decision reads them; whoever may change
	// something is asked what it owns. Those of a group stand with the [Group].
	Owners []authz.Principal
}

// A Group has users, service principals and groups as members.
type Group struct {
	ID          string
	DisplayName string
	Members     []authz.Principal
	// Owners are who owns the group, which makes them no members.
	Owners []authz.Principal
}

// A RoleAssignment links a principal, a role and a scope.
type RoleAssignment struct {
	ID               string
	Principal        authz.Principal
	RoleDefinitionID string
	Scope            authz.Scope
	Effect           authz.AssignmentEffect
	// Expires is the Unix second from which the assignment is as if absent; 0: never.
	Expires int64
	// CreatedOn is the Unix second in which the assignment was made and CreatedBy who
	// made it; zero where nobody said. No decision reads them.
	CreatedOn int64
	CreatedBy authz.Principal
}
