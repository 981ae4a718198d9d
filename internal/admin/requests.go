package admin

import (
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The permissions that administration asks for.
const (
	permissionWrite     = "Authorization.RoleAssignments.Write"
	permissionDelete    = "Authorization.RoleAssignments.Delete"
	permissionRead      = "Authorization.RoleAssignments.Read"
	permissionReadRoles = "Authorization.RoleDefinitions.Read"
	// permissionApply is what elevating oneself needs besides a directory role.
	permissionApply = "UserManagement.Users.Apply"
	// permissionShareApp is what sharing an app needs; a catalogue may not have it.
	permissionShareApp = "PowerApps.Share.Write"
)

// AnyEtag edits whatever state there is.
const AnyEtag = "*"

// A RoleAssignment is one as administration shows it.
type RoleAssignment struct {
	snapshot.RoleAssignment
	// RoleDefinitionName is the name of its role; empty where the role is gone.
	RoleDefinitionName string
}

// CreateRoleAssignmentRequest asks for an assignment.
type CreateRoleAssignmentRequest struct {
	Context
	Principal authz.Principal
	// Role is the identifier or the name of a role definition; with ShippedOnly, of one that
	// comes with the product, for the API that knows no others.
	Role        string
	ShippedOnly bool
	Scope       string
	// Effect is ALLOW where it is not set.
	Effect authz.AssignmentEffect
	// Expires is until when it holds; zero: for good.
	Expires time.Time
}

// RoleAssignmentResult holds the assignment that was made, or the one that was removed.
type RoleAssignmentResult struct {
	Outcome
	RoleAssignment RoleAssignment
}

// DeleteRoleAssignmentRequest asks to remove an assignment.
type DeleteRoleAssignmentRequest struct {
	Context
	ID string
	// ExactScope, if not empty, is the scope that the assignment must be at: elsewhere it
	// is not found.
	ExactScope string
	// ShippedAllowOnly finds only ALLOW assignments of shipped roles, for the API that knows no
	// others.
	ShippedAllowOnly bool
}

// ApplyAdminRoleRequest makes the caller System Administrator of an environment.
type ApplyAdminRoleRequest struct {
	Context
	Environment string
}

// A RoleDefinition is one as administration shows it.
type RoleDefinition struct {
	authz.RoleDefinition
	// BuiltIn says that it comes with the product and cannot be changed.
	BuiltIn bool
	// Etag names this state of a custom role.
	Etag string
	// CannotOpenApp says of a custom security role that nobody can open an app by it alone,
	// and MissingToOpenApp what it lacks for that.
	CannotOpenApp    bool
	MissingToOpenApp []string
}

// CreateRoleDefinitionRequest asks for a custom role.
type CreateRoleDefinitionRequest struct {
	Context
	// RoleDefinition has no ID; it is given one. With an Environment it is a security role of
	// that. Of its Terms only AssignableRoles are looked at.
	RoleDefinition authz.RoleDefinition
	// CopyOf, if not empty, is the identifier or name of a role whose permissions,
	// exceptions and scopes are taken, or privileges and settings; of RoleDefinition only the
	// name, the description and, of a security role, the environment and the business unit.
	CopyOf string
	// Empty makes a security role without the privileges that a new one begins with.
	Empty bool
}

// UpdateRoleDefinitionRequest replaces a custom role, found by its ID.
type UpdateRoleDefinitionRequest struct {
	Context
	RoleDefinition authz.RoleDefinition
	Etag           string
}

// DeleteRoleDefinitionRequest removes a custom role that nobody is assigned.
type DeleteRoleDefinitionRequest struct {
	Context
	ID, Etag string
}

// RoleDefinitionResult holds the role as it is now, or as it was.
type RoleDefinitionResult struct {
	Outcome
	RoleDefinition RoleDefinition
}

// A Group is a group without its members.
type Group struct {
	ID, DisplayName string
	// Owners gain what the group gains, when a change is judged.
	Owners []authz.Principal
	Etag   string
}

// PutGroupRequest makes a group or changes what is known of one; its members stay. Etag is
// empty where there is none yet.
type PutGroupRequest struct {
	Context
	Group Group
	Etag  string
}

// DeleteGroupRequest removes a group with its memberships.
type DeleteGroupRequest struct {
	Context
	ID, Etag string
}

// GroupResult holds the group as it is now, or as it was.
type GroupResult struct {
	Outcome
	Group Group
}

// MembersRequest names a group and direct members of it.
type MembersRequest struct {
	Context
	Group   string
	Members []authz.Principal
}

// MembersResult says how many were added or removed.
type MembersResult struct {
	Outcome
	Count int
}

// A Principal is what is known of a principal.
type Principal struct {
	authz.Principal
	Disabled          bool
	DisplayName, Mail string
	// Owners gain what the principal gains, when a change is judged.
	Owners []authz.Principal
	Etag   string
}

// PutPrincipalRequest says what is known of a principal. Etag is empty where nothing was.
type PutPrincipalRequest struct {
	Context
	Principal Principal
	Etag      string
}

// DeletePrincipalRequest forgets what is known of a principal.
type DeletePrincipalRequest struct {
	Context
	Principal authz.Principal
	Etag      string
}

// PrincipalResult holds the principal as it is now, or as it was.
type PrincipalResult struct {
	Outcome
	Principal Principal
}

// An Environment is an environment with the group that it is in, if any.
type Environment struct {
	ID        string
	Dataverse bool
	Group     string
	Etag      string
}

// PutEnvironmentRequest makes an environment or changes one, also the group that it is in.
// Etag is empty where there is none yet.
type PutEnvironmentRequest struct {
	Context
	Environment Environment
	Etag        string
}

// DeleteEnvironmentRequest removes an environment, its business units and what is assigned
// at it and below.
type DeleteEnvironmentRequest struct {
	Context
	ID, Etag string
}

// EnvironmentResult holds the environment as it is now, or as it was.
type EnvironmentResult struct {
	Outcome
	Environment Environment
}

// EnvironmentGroupRequest makes a group of environments, under a new identifier where ID is
// empty; or removes an empty one, with what is assigned at it.
type EnvironmentGroupRequest struct {
	Context
	ID string
}

// EnvironmentGroupResult holds the group's identifier.
type EnvironmentGroupResult struct {
	Outcome
	ID string
}

// A BusinessUnit is a business unit of an environment.
type BusinessUnit struct {
	authz.BusinessUnit
	Etag string
}

// PutBusinessUnitRequest makes a business unit or gives it another parent. Etag is empty
// where there is none yet.
type PutBusinessUnitRequest struct {
	Context
	BusinessUnit authz.BusinessUnit
	Etag         string
}

// DeleteBusinessUnitRequest removes a business unit that has no children, with what is
// assigned at it.
type DeleteBusinessUnitRequest struct {
	Context
	Environment, ID, Etag string
}

// BusinessUnitResult holds the business unit as it is now, or as it was.
type BusinessUnitResult struct {
	Outcome
	BusinessUnit BusinessUnit
}

// SetTenantRequest says what is known of a tenant. Only an operator can list a new one.
type SetTenantRequest struct {
	Context
	// DirectoryComplete says that the directory lists every group and every member.
	DirectoryComplete bool
}

// TenantResult is what is known of a tenant now.
type TenantResult struct {
	Outcome
	DirectoryComplete bool
}

// ImportRequest replaces everything that the store holds. It needs an operator, and is
// exempt from the guards on who gains, not from the one on administrators unless told so.
type ImportRequest struct {
	Context
	Data *snapshot.Data
	// Source names where the data came from, for the change audit; empty: "import".
	Source string
	// ValidateOnly checks the data and says what would change.
	ValidateOnly bool
	// LockOut lets a tenant lose its last administrator.
	LockOut bool
}

// ImportResult says what an import changed.
type ImportResult struct {
	Outcome
	Added, Changed, Removed uint64
}

// BootstrapRequest gives an empty store its first administrator.
type BootstrapRequest struct {
	Context
	// Principal is a User or an ApplicationUser.
	Principal authz.Principal
	// Owner gives Power Platform Owner instead of Power Platform Role Based Access Control
	// Administrator.
	Owner bool
}

// BreakGlassRequest gives somebody a role for a short time, past every guard.
type BreakGlassRequest struct {
	Context
	Principal authz.Principal
	Owner     bool
	// Duration is at most [MaxBreakGlass]; zero: [DefaultBreakGlass].
	Duration time.Duration
}

// The durations of a break-glass assignment.
const (
	DefaultBreakGlass = time.Hour
	MaxBreakGlass     = 8 * time.Hour
)

// An Emergency is a break-glass assignment that has not ended yet.
type Emergency struct {
	Tenant         string
	RoleAssignment snapshot.RoleAssignment
	Justification  string
}

// A Page asks for a part of a list.
type Page struct {
	// Size is how many at most, 1 to 1,000; 0: 100.
	Size int
	// Token is the Next of the page before, with all else the same.
	Token string
}

// A List is a part of a list, as of one revision.
type List[T any] struct {
	Items []T
	// Next is the token of the next page; empty: there is none.
	Next     string
	Revision authz.Revision
}

// RoleAssignmentsRequest asks for assignments. The caller sees those at scopes where it
// holds Authorization.RoleAssignments.Read.
type RoleAssignmentsRequest struct {
	Tenant string
	// Scope is where to look; empty: the tenant.
	Scope string
	// IncludeParentScopes adds those at the scopes that it inherits from, and
	// IncludeNestedScopes those at the scopes below it.
	IncludeParentScopes, IncludeNestedScopes bool
	// Principal, if set, is whose assignments; ExpandGroups adds those of the groups that it
	// belongs to, directly or not.
	Principal    authz.Principal
	ExpandGroups bool
	// Permission, if not empty, is one that the assignment's role must cover.
	Permission string
	// ShippedAllowOnly leaves out DENY and FORBID assignments and those of custom roles.
	ShippedAllowOnly bool
	Page             Page
}

// CheckRequest asks what a principal may do at a scope.
type CheckRequest struct {
	Tenant string
	// Principal is asked about; its groups are those that the directory lists it in. The
	// caller's own are those of its token too.
	Principal   authz.Principal
	Permissions []string
	Scope       string
}

// CheckResult says of each permission whether it is held, in the order of the request.
type CheckResult struct {
	Granted  []PermissionGranted
	Revision authz.Revision
}

// PermissionGranted says whether one permission is held, and why.
type PermissionGranted struct {
	Permission authz.Permission
	Granted    bool
	Reason     authz.Reason
}

// ChangesRequest asks for what was changed in a tenant after a revision.
type ChangesRequest struct {
	Tenant string
	After  authz.Revision
	// Limit is how many revisions at most, 1 to 1,000; 0: 100.
	Limit int
}

// Changes are the changes of some revisions, in order, none left out.
type Changes struct {
	Revisions []RevisionChange
	// Through is the revision up to which Revisions is all there is: ask after it next.
	Through authz.Revision
	// More says that there are newer revisions than Through.
	More bool
}

// A RevisionChange is what one revision changed in the tenant that was asked about.
type RevisionChange struct {
	Revision authz.Revision
	Action   string
	// Items are what was changed. Of a revision that replaced everything there are none and
	// Whole is set: read the whole.
	Items []ChangedItem
	Whole bool
}

// A ChangedItem is one thing that was changed, with a bundle's field names.
type ChangedItem struct {
	// Target names it, such as "roleAssignments/3f0c9d55-…".
	Target string
	// Before and After are JSON objects; nil: it did not, or does not, exist.
	Before, After []byte
}

// AuditRequest asks for entries of the change audit, oldest first.
type AuditRequest struct {
	// Tenant is whose entries; empty: the caller's, for an operator all.
	Tenant string
	// After is the number of the last entry that is known already.
	After uint64
	// Size is how many at most, 1 to 1,000; 0: 100.
	Size int
}

// AuditPage is a part of the change audit.
type AuditPage struct {
	Entries []AuditEntry
	More    bool
}

// An AuditEntry is one entry of the change audit as it was recorded.
type AuditEntry struct {
	Number uint64
	Time   time.Time
	// Text is the entry as it was hashed: one JSON object.
	Text []byte
	// Hash is SHA-256 over the hash before and Text.
	Hash [32]byte
}

// AuditHead names the newest entry of the change audit.
type AuditHead struct {
	Number uint64
	Hash   [32]byte
}

// AuditVerification says whether the change audit is whole.
type AuditVerification struct {
	Intact bool
	// Verified is how many entries fit, from the first.
	Verified uint64
	Head     AuditHead
	// Problem says what does not fit, and where; empty when intact.
	Problem string
}
