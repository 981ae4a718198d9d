package authz

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// RoleHolding is a security role that a user holds, directly or as a member of a team.
type RoleHolding struct {
	// AssignmentID is the role assignment's identifier.
	AssignmentID string
	Role         *SecurityRole
	// BusinessUnit is the one that the role was assigned in, for a role held directly. A
	// team's role reaches from the team's own.
	BusinessUnit string
	// Team is the team that holds the role; empty where the user itself does.
	Team string
	// Expires is the Unix second from which the holding is as if absent; 0: never.
	Expires int64

	from unitSpan
}

func (h *RoleHolding) live(now int64) bool { return h.Expires == 0 || now < h.Expires }

// TeamMembership is a team that a user is in.
type TeamMembership struct{ Team, BusinessUnit string }

// ColumnProfile gives rights to a secured column: Create, Read and Write, which is what
// column profiles call Update. The user, or a team that it is in, was given it.
type ColumnProfile struct {
	Table, Column string
	Rights        PrivilegeSet
}

// RecordSubjectSpec is what a [RecordSubject] is made of.
type RecordSubjectSpec struct {
	// User is the User or ApplicationUser.
	User Principal
	// BusinessUnit is the one that the user is in; empty for one that was never added to the
	// environment.
	BusinessUnit string
	Disabled     bool
	// TeamsUnknown says that the user may be in more teams than Teams says, because its
	// groups could not be learnt. Then a refusal that a team could lift says so.
	TeamsUnknown bool
	// Teams are the teams of every kind that the user is in, through groups too.
	Teams []TeamMembership
	// Holdings are the security roles of the user and of its teams.
	Holdings []RoleHolding
	// Profiles are the column profiles of the user and of its teams.
	Profiles []ColumnProfile
}

// A RecordSubject is a user of an environment with all that decides what it may do to
// records there. It belongs to the [Database] that made it, is immutable and safe for
// concurrent use. A nil RecordSubject holds nothing.
type RecordSubject struct {
	db           *Database
	user         Principal // its key
	unit         unitSpan
	disabled     bool
	teamsUnknown bool
	teams        []string      // sorted
	holdings     []RoleHolding // direct ones first, then by assignment
	columns      []columnRights
}

// columnRights are the rights to one secured column of a table.
type columnRights struct {
	table  TableID
	column string // folded
	rights PrivilegeSet
}

// Subject checks the spec and prepares it for decisions. It reports every problem at once: a
// caller that is neither User nor ApplicationUser, business units that are not listed, a
// team's role without the team, a role of another database. A profile for a table or column
// that is not declared gives nothing.
func (db *Database) Subject(spec RecordSubjectSpec) (*RecordSubject, error) {
	s := &RecordSubject{
		db: db, user: spec.User.Key(), disabled: spec.Disabled, teamsUnknown: spec.TeamsUnknown,
		unit: db.unit(spec.BusinessUnit), holdings: slices.Clone(spec.Holdings),
	}
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%v: %s", spec.User, fmt.Sprintf(format, args...)))
	}
	if s.user.Type != User || s.user.ID == "" {
		bad("whoever asks for records is a User or an ApplicationUser")
	}
	if spec.BusinessUnit != "" && s.unit.first == 0 {
		bad("is in the business unit %q, which is not listed", spec.BusinessUnit)
	}
	units := make(map[string]unitSpan, len(spec.Teams))
	for _, team := range spec.Teams {
		if team.Team == "" || !db.HasBusinessUnit(team.BusinessUnit) {
			bad("is in the team %q of the business unit %q, which is not listed", team.Team, team.BusinessUnit)
		}
		if _, twice := units[team.Team]; !twice {
			s.teams = append(s.teams, team.Team)
		}
		units[team.Team] = db.unit(team.BusinessUnit)
	}
	slices.Sort(s.teams)
	for i := range s.holdings {
		h := &s.holdings[i]
		if h.Role != nil && h.Role.db != db {
			bad("assignment %q: the role %q was compiled for another database", h.AssignmentID, h.Role.name)
		}
		if h.Team == "" {
			if h.from = db.unit(h.BusinessUnit); h.from.first == 0 {
				bad("assignment %q is in the business unit %q, which is not listed", h.AssignmentID, h.BusinessUnit)
			}
			continue
		}
		unit, in := units[h.Team]
		if h.from = unit; !in {
			bad("assignment %q is of the team %q, which the user is not in", h.AssignmentID, h.Team)
		}
	}
	slices.SortStableFunc(s.holdings, func(a, b RoleHolding) int {
		return cmp.Or(cmp.Compare(b2i(a.Team != ""), b2i(b.Team != "")), cmp.Compare(a.AssignmentID, b.AssignmentID))
	})
	for _, p := range spec.Profiles {
		if id, known := db.TableNamed(p.Table); known {
			s.columns = append(s.columns, columnRights{id, lowerASCII(p.Column), p.Rights})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Holdings returns the security roles, those held directly first. The caller must not
// change them.
func (s *RecordSubject) Holdings() []RoleHolding {
	if s == nil {
		return nil
	}
	return s.holdings
}

// isOf tells whether the subject was made by the database. Nobody was made by any.
func (s *RecordSubject) isOf(db *Database) bool { return s == nil || s.db == db }

func (s *RecordSubject) isDisabled() bool { return s != nil && s.disabled }

// is tells whether the principal is the user or a team that it is in.
func (s *RecordSubject) is(p Principal) bool {
	switch {
	case p.ID == "":
		return false
	case p.Type == Team:
		_, in := slices.BinarySearch(s.teams, p.ID)
		return in
	default:
		return p.Key() == s.user
	}
}

// actsOnBehalf returns the holding by which the user may act for others: one that it holds
// itself, for the privilege does not pass through teams.
func (s *RecordSubject) actsOnBehalf(now int64) *RoleHolding {
	if s == nil {
		return nil
	}
	for i := range s.holdings {
		if h := &s.holdings[i]; h.Team == "" && h.Role.ActsOnBehalf() && h.live(now) {
			return h
		}
	}
	return nil
}

// mayColumn tells whether the user may do to a column, named in whatever case, what the
// right says. A column that is not secured is open.
func (s *RecordSubject) mayColumn(table TableID, column string, right Privilege, now int64) bool {
	secured := false
	for _, c := range s.db.table(table).SecuredColumns {
		secured = secured || foldEqual(c, column)
	}
	if !secured {
		return true
	}
	for i := range s.columns {
		if c := &s.columns[i]; c.table == table && c.rights.Has(right) && foldEqual(c.column, column) {
			return true
		}
	}
	for i := range s.holdings {
		if h := &s.holdings[i]; h.Role.EverySecuredColumn() && h.live(now) {
			return true
		}
	}
	return false
}
