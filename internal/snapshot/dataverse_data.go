package snapshot

import "github.com/pathgrant/pathgrant/pkg/authz"

// A Table is a table that an environment declares besides the standard ones, or what it adds
// to a standard one. Its name is unique in the environment.
type Table struct {
	Environment string
	authz.Table
}

// An EnvironmentUser is a user or application user that was added to an environment with a
// database, and the one business unit that it is in there.
type EnvironmentUser struct {
	Environment string
	authz.Principal
	// BusinessUnit is empty where the environment lists none: then there is one, the root.
	BusinessUnit string
	// Disabled denies the user all records of this environment.
	Disabled bool
	// ServiceInstalled says that the application user came with the service.
	ServiceInstalled bool
}

// A Team is a Dataverse team of one environment. Its ID is unique in the tenant.
type Team struct {
	ID          string
	Environment string
	DisplayName string
	// Kind is OwnerTeamHolder, GroupTeamHolder or AccessTeamHolder.
	Kind authz.HolderKind
	// BusinessUnit is the one that the team, and what it owns, belongs to; as for users.
	BusinessUnit string
	// Group is the security group whose members are those of a group team, which has no
	// Members of its own.
	Group string
	// Members are Users and ApplicationUsers.
	Members []authz.Principal
}

// A ColumnProfile opens secured columns to users and teams of an environment. Its ID is
// unique in the environment.
type ColumnProfile struct {
	ID          string
	Environment string
	DisplayName string
	Columns     []ColumnRight
	// Principals are Users, ApplicationUsers and Teams.
	Principals []authz.Principal
}

// A ColumnRight is what a column profile gives to one secured column: of Create, Read and
// Write, which is what column profiles call Update.
type ColumnRight struct {
	Table, Column string
	Rights        authz.PrivilegeSet
}

// A Share gives rights on one record to a user, a team or the whole organization. There is
// at most one for each record and receiver.
type Share struct {
	Environment, Table, Record string
	authz.Share
}

// An App is what deciding who may run it needs to know. Its ID is unique in the environment.
type App struct {
	ID, Environment, DisplayName string
	// SharedWith are Users, ApplicationUsers, Groups and Teams.
	SharedWith         []authz.Principal
	SharedWithEveryone bool
	// Tables are the data that running the app takes.
	Tables []TableUse
}

// A Flow is what deciding who may run it needs to know. Its ID is unique in the environment.
type Flow struct {
	ID, Environment, DisplayName string
	// Maker is who made it: a User or an ApplicationUser.
	Maker authz.Principal
	// RunOnly are the Users, ApplicationUsers, Groups and Teams that it is shared with to be
	// run and no more.
	RunOnly     []authz.Principal
	Connections []Connection
}

// A Connection is one that a flow runs over.
type Connection struct {
	// Name is unique in the flow.
	Name string
	// Connector is what it leads to; [DataverseConnector] is judged by Tables, and of any
	// other the asker has to state whether the user has access.
	Connector string
	// Provider is who provides it, and so whose access counts; zero: nobody has said.
	Provider ConnectionProvider
	Tables   []TableUse
}

// DataverseConnector is the connector of the environment's own database.
const DataverseConnector = "dataverse"

// A ConnectionProvider is who provides a connection of a flow. The zero ConnectionProvider
// is nobody.
type ConnectionProvider uint8

// The providers.
const (
	NoProvider ConnectionProvider = iota
	// RunOnlyUserProvides: whoever runs the flow.
	RunOnlyUserProvides
	// MakerProvides: who made it, for everybody.
	MakerProvides
)

// A TableUse is what is done to a table; no privileges stand for Read, Append and AppendTo.
type TableUse struct {
	Table      string
	Privileges authz.PrivilegeSet
}
