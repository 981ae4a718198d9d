package oracle

// World is all that decisions are taken from.
type World struct {
	// Permissions are the names that the catalogue knows.
	Permissions []string
	// Implications say what else an action gives, or what else a permission gives where
	// both names are written out. They are followed from name to name.
	Implications map[string][]string
	// Tenants are keyed by identifier.
	Tenants map[string]*Tenant
}

// DefaultImplications are the ones that hold in every catalogue.
func DefaultImplications() map[string][]string {
	return map[string][]string{
		"Write":     {"Create", "Update"},
		"ReadWrite": {"Read", "Write"},
	}
}

// Tenant is one tenant of a [World].
type Tenant struct {
	// Environments are the ones that the tenant lists, grouped or not.
	Environments []string
	// EnvironmentGroups are the ones that the tenant lists.
	EnvironmentGroups []string
	// GroupOf gives the group of an environment; one that is missing is in none.
	GroupOf map[string]string
	// BusinessUnits are keyed by environment and then by identifier; the value is the
	// parent, empty for a root.
	BusinessUnits map[string]map[string]string
	// Groups are the directory's groups and their members, which may be groups.
	Groups map[string][]Principal
	// DirectoryComplete says that Groups leaves nothing out.
	DirectoryComplete bool
	// Disabled are the principals that are denied everything.
	Disabled []Principal
	// Roles are keyed by identifier.
	Roles map[string]Role
	// Assignments link principals, roles and scopes.
	Assignments []Assignment
}

// Principal is a kind and an identifier. The kinds are User, Group, ApplicationUser,
// DirectoryRole and Team.
type Principal struct{ Kind, ID string }

// Role is a set of permissions, given by patterns.
type Role struct{ Permissions, Exceptions []string }

// Assignment gives a role at a scope, or takes it away.
type Assignment struct {
	ID        string
	Principal Principal
	Role      string
	Scope     string
	// Effect is ALLOW, DENY or FORBID.
	Effect string
	// Expires is the Unix second from which the assignment is as if absent; 0: never.
	Expires int64
}

// Question asks whether a caller holds all permissions at all scopes.
type Question struct {
	Tenant    string
	Principal Principal
	// Groups and Wids are what the caller's token says.
	Groups, Wids []string
	// GroupsUnknown says that the token could not carry its groups.
	GroupsUnknown bool
	Permissions   []string
	Scopes        []string
	Now           int64
}

// Answer is the outcome of a [Question].
type Answer struct {
	Reason string
	// Permission and Scope are those of the first pair that does not allow or, where all
	// do, of the first; empty where no pair was looked at.
	Permission, Scope string
	// AssignmentIDs are all assignments that could rightly be named as the one that
	// decided that pair, sorted.
	AssignmentIDs []string
}

// The reasons that the oracle gives.
const (
	Granted           = "GRANTED"
	NoAssignment      = "NO_ASSIGNMENT"
	Overridden        = "OVERRIDDEN"
	Forbidden         = "FORBIDDEN"
	Expired           = "EXPIRED"
	Unmapped          = "UNMAPPED"
	CrossTenant       = "CROSS_TENANT"
	UnknownScope      = "UNKNOWN_SCOPE"
	PrincipalDisabled = "PRINCIPAL_DISABLED"
	GroupsUnknown     = "GROUPS_UNKNOWN"
)

// Reasons returns every reason that the oracle gives.
func Reasons() []string {
	return []string{
		Granted, NoAssignment, Overridden, Forbidden, Expired,
		Unmapped, CrossTenant, UnknownScope, PrincipalDisabled, GroupsUnknown,
	}
}
