package authz

import "fmt"

// Record is what a request tells of a record. Of which neither the owner nor the business
// unit is told is as good as the whole table: only Organization reaches it.
type Record struct {
	// Owner is the User, ApplicationUser or Team that owns the record; zero where it is not
	// told. For one that is to be created, it is the owner that it will have.
	Owner Principal
	// BusinessUnit is the one that the record belongs to; empty where it is not told.
	BusinessUnit string
	// Shares are the shares of this record, and those of others that it inherits.
	Shares []Share
}

// Share gives rights on a record to a user, a team or the whole organization. The zero
// Share gives nothing to nobody.
type Share struct {
	// With is the User, ApplicationUser or Team; not looked at where WithOrganization is set.
	With             Principal
	WithOrganization bool
	// Rights are of Read, Write, Delete, Append, Assign and Share; others count for nothing
	// (see [PrivilegeSet.CheckShareable]).
	Rights PrivilegeSet
}

// RecordRequest asks whether a user may do something to a record, or to a whole table.
type RecordRequest struct {
	Caller *RecordSubject
	// OnBehalf says that the caller acts for another, ActingFor. Then both must be allowed.
	OnBehalf  bool
	ActingFor *RecordSubject
	Table     TableID
	Privilege Privilege
	// Record is nil for the whole table.
	Record *Record
	// Columns are the ones that the request reads or sets. Only Create, Read and Write ask
	// for columns.
	Columns []string
}

// AccessStep is what gave access to a record. The zero AccessStep is nothing.
type AccessStep uint8

// The steps.
const (
	NoAccess AccessStep = iota
	// OwnerAccess: the user, or a team that it is in, owns the record.
	OwnerAccess
	// ReachAccess: a role reaches the record from the business unit in which it is held.
	ReachAccess
	// ShareAccess: the record is shared with the user, a team that it is in, or everybody.
	ShareAccess
	// DirectAccess: the privilege, held directly, is all that is needed ([ActOnBehalf]).
	DirectAccess
)

var accessStepNames = [...]string{"", "owner", "reach", "share", "direct"}

// String returns owner, reach, share or direct.
func (s AccessStep) String() string {
	if int(s) < len(accessStepNames) {
		return accessStepNames[s]
	}
	return fmt.Sprintf("AccessStep(%d)", uint8(s))
}

// MarshalText returns owner, reach, share or direct.
func (s AccessStep) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// DataverseDenial says what a refused request for a record lacked. The [Reason] says what
// kind of refusal it is; this says where to mend it. The zero DataverseDenial: nothing
// that an assignment could mend.
type DataverseDenial uint8

// The denials.
const (
	NoDataverseDenial DataverseDenial = iota
	// LacksPrivilege: no role gives the privilege on the table.
	LacksPrivilege
	// LacksReach: a role gives the privilege, and it does not reach the record.
	LacksReach
	// LacksColumn: the record may be accessed, and a secured column of it may not.
	LacksColumn
	// LacksOnBehalf: the caller does not hold, itself, the privilege to act for another.
	LacksOnBehalf
)

var dataverseDenialNames = [...]string{"", "privilege", "reach", "column", "on_behalf"}

// String returns privilege, reach, column or on_behalf.
func (d DataverseDenial) String() string {
	if int(d) < len(dataverseDenialNames) {
		return dataverseDenialNames[d]
	}
	return fmt.Sprintf("DataverseDenial(%d)", uint8(d))
}

// MarshalText returns privilege, reach, column or on_behalf.
func (d DataverseDenial) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// RecordDecision says what was decided about a record and why. The zero RecordDecision
// denies.
type RecordDecision struct {
	Reason Reason
	// ActingFor says that the decision is about the one acted for, not the caller.
	ActingFor bool
	Table     TableID
	Privilege Privilege
	// Step is what gave access. Holding is the role that gave the privilege; where Step is
	// ReachAccess, the one that reaches the record. Share is the share, for ShareAccess.
	// Neither must be changed.
	Step    AccessStep
	Holding *RoleHolding
	Share   *Share
	// Denial is what a refusal lacked.
	Denial DataverseDenial
	// Reach is how far Holding gives the privilege: on a refusal for LacksReach, the
	// farthest that any does.
	Reach Reach
	// Needed is the least reach that would have done, for LacksPrivilege and LacksReach: of
	// a role held directly in the user's own business unit, or of one that it holds.
	Needed Reach
	// Column is the first column that may not be accessed, as the request spells it.
	Column string
}

// Allowed tells whether the decision is to allow.
func (d RecordDecision) Allowed() bool { return d.Reason.Effect() == Allow }
