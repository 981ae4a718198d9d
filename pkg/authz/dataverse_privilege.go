package authz

import (
	"fmt"
	"strings"
)

// Privilege is what can be done to the records of a Dataverse table. The zero Privilege
// is none.
type Privilege uint8

// The privileges: eight of each table, and one that has no table and no reach.
const (
	NoPrivilege Privilege = iota
	CreatePrivilege
	ReadPrivilege
	WritePrivilege
	DeletePrivilege
	// AppendPrivilege attaches the record to another.
	AppendPrivilege
	// AppendToPrivilege attaches another record to the record.
	AppendToPrivilege
	// AssignPrivilege gives the record another owner.
	AssignPrivilege
	SharePrivilege
	// ActOnBehalf lets its holder act for another. It is named after the User table,
	// Dataverse.User.ActOnBehalf, and counts only where it is held directly.
	ActOnBehalf
)

// UserTable is the name of the table that [ActOnBehalf] is named after.
const UserTable = "User"

var privilegeNames = [...]string{
	"", "Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share", "ActOnBehalf",
}

// String returns the privilege's name, such as AppendTo.
func (p Privilege) String() string {
	if int(p) < len(privilegeNames) {
		return privilegeNames[p]
	}
	return fmt.Sprintf("Privilege(%d)", uint8(p))
}

// MarshalText returns the privilege's name.
func (p Privilege) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a privilege's name, without regard to ASCII case, and refuses any
// other text.
func (p *Privilege) UnmarshalText(text []byte) error {
	for i, name := range privilegeNames {
		if i > 0 && foldEqual(name, string(text)) {
			*p = Privilege(i)
			return nil
		}
	}
	return fmt.Errorf("privilege %q is none of %s", text, strings.Join(privilegeNames[1:], ", "))
}

// ofTable tells whether p is one of the eight privileges that tables have.
func (p Privilege) ofTable() bool { return CreatePrivilege <= p && p <= SharePrivilege }

// TablePrivileges returns the eight privileges of a table, in a fixed order.
func TablePrivileges() []Privilege {
	all := make([]Privilege, 0, 8)
	for p := CreatePrivilege; p.ofTable(); p++ {
		all = append(all, p)
	}
	return all
}

// PrivilegeSet is a set of privileges. The zero PrivilegeSet is empty.
type PrivilegeSet uint16

// Privileges returns the set of those given.
func Privileges(privileges ...Privilege) PrivilegeSet {
	var s PrivilegeSet
	for _, p := range privileges {
		s |= 1 << p
	}
	return s &^ 1
}

const (
	crwd PrivilegeSet = 1<<CreatePrivilege | 1<<ReadPrivilege | 1<<WritePrivilege | 1<<DeletePrivilege
	all8 PrivilegeSet = crwd | 1<<AppendPrivilege | 1<<AppendToPrivilege | 1<<AssignPrivilege | 1<<SharePrivilege
	// shareable is what sharing a record can give.
	shareable PrivilegeSet = 1<<ReadPrivilege | 1<<WritePrivilege | 1<<DeletePrivilege |
		1<<AppendPrivilege | 1<<AssignPrivilege | 1<<SharePrivilege
)

// Has tells whether the set holds the privilege. No set holds [NoPrivilege].
func (s PrivilegeSet) Has(p Privilege) bool { return p != NoPrivilege && s&(1<<p) != 0 }

// CheckShareable refuses a set that sharing a record cannot give: what is made by sharing
// is not (Create), and what others attach to a record is no right of the record's
// (AppendTo). Such rights count for nothing in a [Share].
func (s PrivilegeSet) CheckShareable() error {
	for p := CreatePrivilege; p <= ActOnBehalf; p++ {
		if s.Has(p) && !shareable.Has(p) {
			return fmt.Errorf("%v cannot be shared: a share gives Read, Write, Delete, Append, Assign or Share", p)
		}
	}
	return nil
}

// Reach is how far a privilege reaches from the business unit in which its role is held.
// Reaches are ordered, each includes the smaller, and the zero Reach is none.
type Reach uint8

// The reaches.
const (
	NoReach Reach = iota
	// UserReach is what the user, or a team that it is in, owns.
	UserReach
	// BusinessUnitReach is what belongs to the business unit.
	BusinessUnitReach
	// ParentChildReach is what belongs to the business unit or to one below it.
	ParentChildReach
	// OrganizationReach is everything.
	OrganizationReach
)

var reachNames = [...]string{"", "User", "BusinessUnit", "ParentChild", "Organization"}

// String returns the reach's name, such as ParentChild.
func (r Reach) String() string {
	if int(r) < len(reachNames) {
		return reachNames[r]
	}
	return fmt.Sprintf("Reach(%d)", uint8(r))
}

// MarshalText returns the reach's name.
func (r Reach) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a reach's name, without regard to ASCII case, and refuses any other
// text: what has no reach is left out.
func (r *Reach) UnmarshalText(text []byte) error {
	for i, name := range reachNames {
		if i > 0 && foldEqual(name, string(text)) {
			*r = Reach(i)
			return nil
		}
	}
	return fmt.Errorf("reach %q is none of %s", text, strings.Join(reachNames[1:], ", "))
}

// foldEqual compares without regard to ASCII case, and only to that.
func foldEqual(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}
	return true
}
