package oracle

// DataverseMistake is a rule about records that a decider can get wrong. The zero
// DataverseMistake is none.
type DataverseMistake string

// The mistakes. Each switches exactly one rule wrong.
const (
	// ShareNeedsNoPrivilege lets a share stand in for the privilege.
	ShareNeedsNoPrivilege DataverseMistake = "a share bypasses the privilege"
	// OwnershipIgnored refuses an owner whose reach does not cover the record otherwise.
	OwnershipIgnored DataverseMistake = "ownership ignored"
	// OwningTeamIgnored refuses the members of the team that owns a record.
	OwningTeamIgnored DataverseMistake = "owning team ignored"
	// OwnerCountsEverywhere takes an owner for one in tables that have none.
	OwnerCountsEverywhere DataverseMistake = "owner counts in every table"
	// ParentChildIsOwnUnit leaves out the business units below.
	ParentChildIsOwnUnit DataverseMistake = "parent and child reaches one unit only"
	// ParentChildGoesUp reaches the business units above.
	ParentChildGoesUp DataverseMistake = "parent and child reaches upwards"
	// UnitIncludesChildren lets Business Unit reach below.
	UnitIncludesChildren DataverseMistake = "business unit reaches below"
	// TeamRoleInUsersUnit judges a team's role from the user's business unit.
	TeamRoleInUsersUnit DataverseMistake = "team's role judged in the user's unit"
	// DirectRoleInUsersUnit forgets in which business unit a role is held.
	DirectRoleInUsersUnit DataverseMistake = "role judged in the user's unit"
	// TeamRoleAlwaysOwn lets a member use what is the team's alone.
	TeamRoleAlwaysOwn DataverseMistake = "team's privileges always the member's own"
	// InheritanceIgnored refuses a member what it inherits.
	InheritanceIgnored DataverseMistake = "member's inheritance ignored"
	// SmallReachCountsInOrganizationTables lets any reach do in an organization's table.
	SmallReachCountsInOrganizationTables DataverseMistake = "small reach counts in an organization's table"
	// ClassOutranksTable lets a class widen what a line says of the table itself.
	ClassOutranksTable DataverseMistake = "class outranks table"
	// NoFactsIsOwn takes a record of which nothing is told for one's own.
	NoFactsIsOwn DataverseMistake = "no facts taken for ownership"
	// AnyShareGivesAll forgets which rights a share gives.
	AnyShareGivesAll DataverseMistake = "a share gives every right"
	// EverythingShareable shares what cannot be shared.
	EverythingShareable DataverseMistake = "everything can be shared"
	// TeamShareIgnored forgets shares with teams.
	TeamShareIgnored DataverseMistake = "share with a team ignored"
	// OrganizationShareIgnored forgets shares with the whole organization.
	OrganizationShareIgnored DataverseMistake = "share with the organization ignored"
	// ColumnsIgnored forgets that columns can be secured.
	ColumnsIgnored DataverseMistake = "columns ignored"
	// ColumnsCaseCompared lets another spelling at a secured column.
	ColumnsCaseCompared DataverseMistake = "column's case compared"
	// ReadOpensColumn lets whoever may read a column change it.
	ReadOpensColumn DataverseMistake = "reading a column suffices"
	// CallersColumns asks the caller's profiles instead of the other's.
	CallersColumns DataverseMistake = "caller's columns count"
	// CallerNotChecked lets whoever may act for another do what only the other may.
	CallerNotChecked DataverseMistake = "caller's own access not checked"
	// OtherNotChecked forgets the one acted for.
	OtherNotChecked DataverseMistake = "access of the one acted for not checked"
	// ActsThroughTeam lets the right to act for others pass through a team.
	ActsThroughTeam DataverseMistake = "acting for others passes through teams"
	// DisabledUserLetIn forgets that users can be disabled.
	DisabledUserLetIn DataverseMistake = "disabled user let in"
	// HoldingASecondTooLong keeps a role one second too long.
	HoldingASecondTooLong DataverseMistake = "role kept a second too long"
)

// DataverseMistakes returns every mistake.
func DataverseMistakes() []DataverseMistake {
	return []DataverseMistake{
		ShareNeedsNoPrivilege, OwnershipIgnored, OwningTeamIgnored, OwnerCountsEverywhere,
		ParentChildIsOwnUnit, ParentChildGoesUp, UnitIncludesChildren, TeamRoleInUsersUnit,
		DirectRoleInUsersUnit, TeamRoleAlwaysOwn, InheritanceIgnored,
		SmallReachCountsInOrganizationTables, ClassOutranksTable, NoFactsIsOwn,
		AnyShareGivesAll, EverythingShareable, TeamShareIgnored, OrganizationShareIgnored,
		ColumnsIgnored, ColumnsCaseCompared, ReadOpensColumn, CallersColumns,
		CallerNotChecked, OtherNotChecked, ActsThroughTeam, DisabledUserLetIn,
		HoldingASecondTooLong,
	}
}
