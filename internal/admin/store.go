package admin

import (
	"context"
	"iter"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Store is where the data is kept: [FromSnapshot] makes one of a [snapshot.Store].
type Store interface {
	// Update lets edit change what is held, in one transaction on the newest revision; when
	// edit returns an error, nothing is changed. It may call edit again.
	Update(ctx context.Context, change snapshot.Change, edit func(Edit) error) (authz.Revision, error)
	// Read reads at one revision.
	Read(ctx context.Context, read func(Reader) error) error
	// Replace makes the data all that is held. record is called last in the transaction and
	// reads the state that results; before is the state before. When record returns an
	// error, or the data is the same, nothing is changed.
	Replace(ctx context.Context, d *snapshot.Data, change snapshot.Change, record func(Edit) error) (authz.Revision, error)
	// Export returns all that is held.
	Export(ctx context.Context) (*snapshot.Data, authz.Revision, error)
}

// A Reader reads one state of the store. It is valid until the function that got it
// returns, and not for concurrent use. Identifiers are in their one spelling.
type Reader interface {
	// Revision is what is read; in an Edit, the revision before the change.
	Revision() authz.Revision
	Now() time.Time
	Tenants() []string
	Tenant(id string) (t snapshot.Tenant, ok bool)
	RoleAssignment(tenant, id string) (snapshot.RoleAssignment, bool, error)
	// RoleAssignmentsAt are those at exactly the scope, RoleAssignmentsUnder those at it and
	// at scopes whose text lies below it, both by scope and identifier.
	RoleAssignmentsAt(tenant string, scope authz.Scope) iter.Seq2[snapshot.RoleAssignment, error]
	RoleAssignmentsUnder(tenant string, scope authz.Scope) iter.Seq2[snapshot.RoleAssignment, error]
	// RoleAssignmentsUnderAfter is RoleAssignmentsUnder from behind an assignment on, of which
	// identifier, scope and effect count; from the first on with nil.
	RoleAssignmentsUnderAfter(tenant string, scope authz.Scope, after *snapshot.RoleAssignment) iter.Seq2[snapshot.RoleAssignment, error]
	// DenialsAt are the DENY and FORBID assignments at exactly the scope.
	DenialsAt(tenant string, scope authz.Scope) iter.Seq2[snapshot.RoleAssignment, error]
	RoleAssignmentsOf(tenant string, p authz.Principal) iter.Seq2[snapshot.RoleAssignment, error]
	// RoleUse is how many assignments name the role.
	RoleUse(tenant, role string) (uint64, error)
	// RoleDefinitions are the tenant's own.
	RoleDefinitions(tenant string) ([]authz.RoleDefinition, error)
	// Role finds a role, custom or shipped, by its identifier.
	Role(tenant, id string) (*authz.Role, bool)
	Environment(tenant, id string) (e snapshot.Environment, group string, ok bool, err error)
	// Environments yields each with its group.
	Environments(tenant string) iter.Seq2[Environment, error]
	EnvironmentGroups(tenant string) ([]string, error)
	BusinessUnits(tenant string) ([]authz.BusinessUnit, error)
	Principal(tenant string, p authz.Principal) (snapshot.Principal, bool, error)
	Principals(tenant string) iter.Seq2[snapshot.Principal, error]
	Group(tenant, id string) (snapshot.Group, bool, error)
	Groups(tenant string) iter.Seq2[snapshot.Group, error]
	// GroupsOf are the groups that list the principal as a member, directly.
	GroupsOf(tenant string, p authz.Principal) ([]authz.Principal, error)
	// Owners are who owns the principal, and OwnedBy what the principal owns, directly.
	Owners(tenant string, of authz.Principal) ([]authz.Principal, error)
	OwnedBy(tenant string, p authz.Principal) ([]authz.Principal, error)
	Hierarchy(tenant string) (*authz.Hierarchy, error)
	// Database is what decides about the records of an environment; nil where it has none.
	Database(tenant, environment string) (*authz.Database, error)
	// SecurityRole is a role compiled for that; nil where it is none.
	SecurityRole(tenant, environment, role string) (*authz.SecurityRole, error)
	// RecordSubject is a user of an environment with a database; nil where it is none.
	RecordSubject(tenant, environment string, subject *authz.Subject) (*authz.RecordSubject, error)
	// BusinessUnitOf finds a business unit; an empty name is the root's.
	BusinessUnitOf(tenant, environment, named string) (id string, ok bool, err error)
	Table(tenant, environment, name string) (snapshot.Table, bool, error)
	Tables(tenant, environment string) iter.Seq2[snapshot.Table, error]
	EnvironmentUser(tenant, environment string, p authz.Principal) (snapshot.EnvironmentUser, bool, error)
	EnvironmentUsers(tenant, environment string) iter.Seq2[snapshot.EnvironmentUser, error]
	Team(tenant, id string) (snapshot.Team, bool, error)
	Teams(tenant, environment string) iter.Seq2[snapshot.Team, error]
	ColumnProfile(tenant, environment, id string) (snapshot.ColumnProfile, bool, error)
	ColumnProfiles(tenant, environment string) iter.Seq2[snapshot.ColumnProfile, error]
	// Share finds the share of a record with a receiver: all but the rights counts.
	Share(tenant string, s snapshot.Share) (snapshot.Share, bool, error)
	Shares(tenant, environment string) iter.Seq2[snapshot.Share, error]
	SharesOf(tenant, environment, table, record string) ([]authz.Share, error)
	App(tenant, environment, id string) (snapshot.App, bool, error)
	Apps(tenant, environment string) iter.Seq2[snapshot.App, error]
	Flow(tenant, environment, id string) (snapshot.Flow, bool, error)
	Flows(tenant, environment string) iter.Seq2[snapshot.Flow, error]
	// GroupDenials are the DENY and FORBID assignments of groups.
	GroupDenials(tenant string) (*authz.Grants, error)
	// View is what a decision about the subject would read.
	View(tenant string, subject *authz.Subject) (*snapshot.View, error)
	// Note is a small value that is kept beside the data; nil where there is none.
	Note(bucket, key string) ([]byte, error)
	// Notes yields the notes whose keys begin with the prefix, in the order of keys.
	Notes(bucket, prefix string) iter.Seq2[Note, error]
	// LastLog is the newest record of the log and its number; 0 where there is none.
	LastLog() (uint64, []byte, error)
	// Log is the record of a number, from 1.
	Log(n uint64) ([]byte, bool, error)
	// DataSum is a hash of the data, without the log and the notes.
	DataSum() [32]byte
}

// A Note is a small value with its key.
type Note struct {
	Key   string
	Value []byte
}

// An Edit is one change in the making. What it reads holds what it has changed so far.
type Edit interface {
	Reader
	// Next is the revision that the change will have.
	Next() authz.Revision
	// BaseSum is the DataSum before the change.
	BaseSum() [32]byte
	PutTenant(id string, directoryComplete bool) error
	PutRoleAssignment(tenant string, a snapshot.RoleAssignment) error
	RemoveRoleAssignment(tenant, id string) error
	PutRoleDefinition(tenant string, def authz.RoleDefinition) error
	RemoveRoleDefinition(tenant, id string) error
	PutEnvironment(tenant string, e snapshot.Environment, group string) error
	RemoveEnvironment(tenant, id string) error
	PutEnvironmentGroup(tenant, id string) error
	RemoveEnvironmentGroup(tenant, id string) error
	PutBusinessUnit(tenant string, u authz.BusinessUnit) error
	RemoveBusinessUnit(tenant, environment, id string) error
	PutPrincipal(tenant string, p snapshot.Principal) error
	RemovePrincipal(tenant string, p authz.Principal) error
	PutGroup(tenant string, g snapshot.Group) error
	RemoveGroup(tenant, id string) error
	PutTable(tenant string, t snapshot.Table) error
	RemoveTable(tenant, environment, name string) error
	PutEnvironmentUser(tenant string, u snapshot.EnvironmentUser) error
	RemoveEnvironmentUser(tenant, environment string, p authz.Principal) error
	PutTeam(tenant string, t snapshot.Team) error
	RemoveTeam(tenant, id string) error
	PutColumnProfile(tenant string, p snapshot.ColumnProfile) error
	RemoveColumnProfile(tenant, environment, id string) error
	PutShare(tenant string, s snapshot.Share) error
	RemoveShare(tenant string, s snapshot.Share) error
	PutApp(tenant string, a snapshot.App) error
	RemoveApp(tenant, environment, id string) error
	PutFlow(tenant string, f snapshot.Flow) error
	RemoveFlow(tenant, environment, id string) error
	AppendLog(record []byte) (uint64, error)
	// PutNote keeps a note; a nil value removes it.
	PutNote(bucket, key string, value []byte) error
}
