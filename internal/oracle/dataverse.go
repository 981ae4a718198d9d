package oracle

import (
	"slices"
	"strings"
)

// Dataverse is one environment with a database: what decisions about its records are
// taken from. The rules leave room in places; it takes them so:
//
//   - A role of a team that holds for the team alone gives its User reach on records that
//     this team owns, and on no others, whatever is shared.
//   - Owners and shares count in tables whose records users and teams own. A share gives
//     Read, Write, Delete, Append, Assign and Share, and nothing else.
//   - A record of which neither the owner nor the business unit is told is as good as the
//     whole table: nothing but Organization will do, although it may be shared.
//   - A role's line that names a table decides there, for its privileges, over lines that
//     name classes; among lines of one kind the widest reach counts.
//   - Of one who acts for another, the disabled are looked for first, then the caller's
//     right to act, then the caller's access to the record, then the other's, and last the
//     columns, which only the other needs.
type Dataverse struct {
	// Tables are keyed by name.
	Tables map[string]DataverseTable
	// Units are the business units and the one above each; empty for a root.
	Units map[string]string
	// Users and Teams are keyed by identifier.
	Users map[string]DataverseUser
	Teams map[string]DataverseTeam
	// Roles are keyed by identifier.
	Roles    map[string]DataverseRole
	Holdings []DataverseHolding
	Profiles []DataverseProfile
	Shares   []DataverseShare
}

// DataverseTable is a table. Owned is User, BusinessUnit or Organization.
type DataverseTable struct {
	Owned   string
	Classes []string
	// Secured are the columns that need a profile.
	Secured []string
}

// DataverseUser is a user with the business unit it is in.
type DataverseUser struct {
	Unit     string
	Disabled bool
	// TeamsUnknown says that the user may be in more teams than are listed.
	TeamsUnknown bool
}

// DataverseTeam is a team with its business unit and its members.
type DataverseTeam struct {
	Unit    string
	Members []string
}

// DataverseRole is a security role.
type DataverseRole struct {
	Lines []DataverseLine
	// ForTeamAlone says that members of a team do not have the User reach as their own.
	ForTeamAlone bool
	ActsForOther bool
	AllColumns   bool
}

// DataverseLine gives privileges on a table, or on all tables of a class.
type DataverseLine struct {
	Table, Class string
	Privileges   []string
	Reach        string
}

// DataverseHolding is a role held by a user in a business unit, or by a team in its own.
type DataverseHolding struct {
	ID         string
	Role       string
	User, Unit string
	Team       string
	Expires    int64
}

// DataverseProfile lets a user or a team at a secured column. Rights are Create, Read and
// Update.
type DataverseProfile struct {
	User, Team    string
	Table, Column string
	Rights        []string
}

// DataverseShare gives rights on a record to a user, a team or, with neither, to everybody.
type DataverseShare struct {
	ID            string
	Table, Record string
	User, Team    string
	Rights        []string
}

// DataverseRecord is a record with what is told of it.
type DataverseRecord struct {
	ID string
	// OwnerUser or OwnerTeam is the owner; both empty: not told.
	OwnerUser, OwnerTeam string
	// Unit is the owning business unit; empty: not told.
	Unit string
}

// DataverseQuestion asks whether a user may do something to a record.
type DataverseQuestion struct {
	User string
	// For is the one acted for; empty where the user acts for itself.
	For       string
	Table     string
	Privilege string
	// Record is nil for the whole table.
	Record  *DataverseRecord
	Columns []string
	Now     int64
}

// DataverseAnswer is the outcome of a [DataverseQuestion].
type DataverseAnswer struct {
	Reason string
	// Step is what gave access: ownership, reach or share; empty on a refusal.
	Step string
	// Denial is what was missing: privilege, reach, column or on behalf.
	Denial string
	// OfOther says that the answer is about the one acted for.
	OfOther bool
	// Reach is, where reach is what was missing, the greatest one held.
	Reach string
	// Needed is the least reach that would have done.
	Needed string
	Column string
	// Holdings are all that could rightly be named as the ones that decided, by the
	// identifier and the reach that each gives; Shares likewise.
	Holdings map[string]string
	Shares   []string
}

// The reaches, the smallest first, and what an answer says was missing.
const (
	ReachUser         = "User"
	ReachBusinessUnit = "BusinessUnit"
	ReachParentChild  = "ParentChild"
	ReachOrganization = "Organization"

	LacksPrivilege = "privilege"
	LacksReach     = "reach"
	LacksColumn    = "column"
	LacksOnBehalf  = "on behalf"

	ByOwnership = "ownership"
	ByReach     = "reach"
	ByShare     = "share"
)

// DataverseReaches returns the reaches, the smallest first.
func DataverseReaches() []string {
	return []string{ReachUser, ReachBusinessUnit, ReachParentChild, ReachOrganization}
}

// DataverseDenials returns all that an answer can say was missing.
func DataverseDenials() []string {
	return []string{LacksPrivilege, LacksReach, LacksColumn, LacksOnBehalf}
}

// wider tells whether a reach is wider than another; no reach is the narrowest.
func wider(a, b string) bool {
	return slices.Index(DataverseReaches(), a) > slices.Index(DataverseReaches(), b)
}

// Decide answers the question. With a mistake it gets that rule wrong.
func (w *Dataverse) Decide(q DataverseQuestion, wrong DataverseMistake) DataverseAnswer {
	d := dataverseDecider{w, q, wrong}
	if _, declared := w.Tables[q.Table]; !declared {
		return DataverseAnswer{Reason: Unmapped}
	}
	if d.disabled(q.User) {
		return DataverseAnswer{Reason: PrincipalDisabled}
	}
	if q.For == "" {
		return d.whole(q.User)
	}
	if d.disabled(q.For) {
		return DataverseAnswer{Reason: PrincipalDisabled, OfOther: true}
	}
	if !d.mayActForOther(q.User) {
		return d.refusal(q.User, DataverseAnswer{Denial: LacksOnBehalf}, func(d dataverseDecider) bool { return d.mayActForOther(q.User) })
	}
	if wrong != CallerNotChecked {
		if answer := d.record(q.User); answer.Reason != Granted {
			return answer
		}
	}
	if wrong == OtherNotChecked {
		return d.whole(q.User)
	}
	answer := d.record(q.For)
	if answer.Reason == Granted {
		columnsOf := q.For
		if wrong == CallersColumns {
			columnsOf = q.User
		}
		if refused, is := d.columns(columnsOf); is {
			answer = refused
		}
	}
	answer.OfOther = true
	return answer
}

type dataverseDecider struct {
	*Dataverse
	q     DataverseQuestion
	wrong DataverseMistake
}

func (d dataverseDecider) disabled(user string) bool {
	return d.Users[user].Disabled && d.wrong != DisabledUserLetIn
}

// whole is the decision for one who acts for itself.
func (d dataverseDecider) whole(user string) DataverseAnswer {
	answer := d.record(user)
	if answer.Reason == Granted {
		if refused, is := d.columns(user); is {
			return refused
		}
	}
	return answer
}

// refusal fills in the reason of a refusal: whether teams that are not known, or
// assignments that are over, would have made the difference.
func (d dataverseDecider) refusal(user string, answer DataverseAnswer, passes func(dataverseDecider) bool) DataverseAnswer {
	timeless := d
	timeless.q.Now = 0 // before everything expires
	switch {
	case d.Users[user].TeamsUnknown && answer.Denial != LacksOnBehalf:
		answer.Reason = GroupsUnknown
	case passes(timeless):
		answer.Reason = Expired
	default:
		answer.Reason = NoAssignment
	}
	return answer
}

// inTeam tells whether the user is a member of the team.
func (d dataverseDecider) inTeam(user, team string) bool {
	return slices.Contains(d.Teams[team].Members, user)
}

// mine returns the holdings that the user has, itself or through a team, and that live.
func (d dataverseDecider) mine(user string) []DataverseHolding {
	var found []DataverseHolding
	for _, h := range d.Holdings {
		live := h.Expires == 0 || d.q.Now < h.Expires
		if d.wrong == HoldingASecondTooLong {
			live = h.Expires == 0 || d.q.Now <= h.Expires
		}
		if live && (h.Team == "" && h.User == user || h.Team != "" && d.inTeam(user, h.Team)) {
			found = append(found, h)
		}
	}
	return found
}

func (d dataverseDecider) mayActForOther(user string) bool {
	for _, h := range d.mine(user) {
		if d.Roles[h.Role].ActsForOther && (h.Team == "" || d.wrong == ActsThroughTeam) {
			return true
		}
	}
	return false
}

// isOfClass tells whether a table is of a class.
func (d dataverseDecider) isOfClass(table, class string) bool {
	switch class {
	case "any":
		return true
	case "orgShared":
		return slices.ContainsFunc(d.Shares, func(s DataverseShare) bool {
			return s.Table == table && s.User == "" && s.Team == ""
		})
	}
	return slices.Contains(d.Tables[table].Classes, class)
}

// reachOf is how far the role's privilege reaches on the table asked about.
func (d dataverseDecider) reachOf(roleID string) string {
	role, table := d.Roles[roleID], d.Tables[d.q.Table]
	byTable, byClass, named := "", "", false
	for _, line := range role.Lines {
		if !slices.Contains(line.Privileges, d.q.Privilege) {
			continue
		}
		switch {
		case line.Table == d.q.Table:
			named = true
			if wider(line.Reach, byTable) {
				byTable = line.Reach
			}
		case line.Table == "" && d.isOfClass(d.q.Table, line.Class):
			if wider(line.Reach, byClass) {
				byClass = line.Reach
			}
		}
	}
	reach := byClass
	if named && (d.wrong != ClassOutranksTable || wider(byTable, byClass)) {
		reach = byTable
	}
	if table.Owned == "Organization" && reach != ReachOrganization && d.wrong != SmallReachCountsInOrganizationTables {
		return ""
	}
	return reach
}

// unitOf is the business unit from which a holding reaches.
func (d dataverseDecider) unitOf(user string, h DataverseHolding) string {
	switch {
	case h.Team == "" && d.wrong == DirectRoleInUsersUnit:
		return d.Users[user].Unit
	case h.Team == "":
		return h.Unit
	case d.wrong == TeamRoleInUsersUnit:
		return d.Users[user].Unit
	default:
		return d.Teams[h.Team].Unit
	}
}

// atOrBelow tells whether a business unit is another one or lies below it.
func (d dataverseDecider) atOrBelow(unit, top string) bool {
	for unit != "" {
		if unit == top {
			return true
		}
		unit = d.Units[unit]
	}
	return false
}

// factsTold tells whether anything is told of the record's owner or business unit.
func (d dataverseDecider) factsTold() bool {
	r := d.q.Record
	return r != nil && (r.OwnerUser != "" || r.OwnerTeam != "" || r.Unit != "")
}

// reaches tells whether a reach from a business unit covers the record, ownership apart.
func (d dataverseDecider) reaches(reach, from string) bool {
	switch reach {
	case ReachOrganization:
		return true
	case ReachParentChild:
		if !d.factsTold() || d.q.Record.Unit == "" {
			return false
		}
		if d.wrong == ParentChildIsOwnUnit {
			return d.q.Record.Unit == from
		}
		if d.wrong == ParentChildGoesUp {
			return d.atOrBelow(from, d.q.Record.Unit)
		}
		return d.atOrBelow(d.q.Record.Unit, from)
	case ReachBusinessUnit:
		if !d.factsTold() || d.q.Record.Unit == "" {
			return false
		}
		if d.wrong == UnitIncludesChildren {
			return d.atOrBelow(d.q.Record.Unit, from)
		}
		return d.q.Record.Unit == from
	}
	return false
}

// owns tells whether the user, or a team that it is in, owns the record.
func (d dataverseDecider) owns(user string) bool {
	if !d.factsTold() {
		return d.wrong == NoFactsIsOwn
	}
	if d.Tables[d.q.Table].Owned != "User" && d.wrong != OwnerCountsEverywhere {
		return false
	}
	if d.q.Record.OwnerUser != "" && d.q.Record.OwnerUser == user {
		return d.wrong != OwnershipIgnored
	}
	return d.q.Record.OwnerTeam != "" && d.inTeam(user, d.q.Record.OwnerTeam) && d.wrong != OwningTeamIgnored
}

// shares returns the shares that give the user what is asked for.
func (d dataverseDecider) shares(user string) []string {
	var found []string
	if !d.factsTold() || d.Tables[d.q.Table].Owned != "User" {
		return nil
	}
	shareable := []string{"Read", "Write", "Delete", "Append", "Assign", "Share"}
	if d.wrong == EverythingShareable {
		shareable = append(shareable, "Create", "AppendTo")
	}
	if !slices.Contains(shareable, d.q.Privilege) {
		return nil
	}
	for _, s := range d.Shares {
		if s.Table != d.q.Table || s.Record != d.q.Record.ID {
			continue
		}
		if !slices.Contains(s.Rights, d.q.Privilege) && d.wrong != AnyShareGivesAll {
			continue
		}
		switch {
		case s.User != "":
			if s.User == user {
				found = append(found, s.ID)
			}
		case s.Team != "":
			if d.inTeam(user, s.Team) && d.wrong != TeamShareIgnored {
				found = append(found, s.ID)
			}
		case d.wrong != OrganizationShareIgnored:
			found = append(found, s.ID)
		}
	}
	return found
}

// usable tells whether a holding that gives the privilege gives it for this record: the
// User reach of a role that is for its team alone is for what that team owns.
func (d dataverseDecider) usable(h DataverseHolding, reach string) bool {
	alone := d.Roles[h.Role].ForTeamAlone
	if d.wrong == InheritanceIgnored {
		alone = true
	}
	if h.Team == "" || !alone || reach != ReachUser || d.wrong == TeamRoleAlwaysOwn {
		return true
	}
	return d.Tables[d.q.Table].Owned == "User" && d.factsTold() && d.q.Record.OwnerTeam == h.Team
}

// record is the decision about the record, columns apart: the two steps.
func (d dataverseDecider) record(user string) DataverseAnswer {
	step, named, shares := d.access(user)
	if step != "" {
		return DataverseAnswer{Reason: Granted, Step: step, Holdings: named, Shares: shares}
	}
	answer := DataverseAnswer{Denial: LacksPrivilege, Needed: d.needed(user)}
	for _, h := range d.mine(user) {
		reach := d.reachOf(h.Role)
		if reach == "" {
			continue
		}
		if answer.Denial = LacksReach; wider(reach, answer.Reach) {
			answer.Reach, answer.Holdings = reach, map[string]string{}
		}
		if reach == answer.Reach {
			answer.Holdings[h.ID] = reach
		}
	}
	return d.refusal(user, answer, func(d dataverseDecider) bool {
		step, _, _ := d.access(user)
		return step != ""
	})
}

// access says what gives the user access; nothing where it has none.
func (d dataverseDecider) access(user string) (step string, named map[string]string, shares []string) {
	// The first step: the privilege, at any reach.
	given := map[string]string{}
	for _, h := range d.mine(user) {
		if reach := d.reachOf(h.Role); reach != "" && d.usable(h, reach) {
			given[h.ID] = reach
		}
	}
	shares = d.shares(user)
	if len(given) == 0 && (d.wrong != ShareNeedsNoPrivilege || len(shares) == 0) {
		return "", nil, nil
	}
	// The second step: any one of these.
	if d.owns(user) {
		return ByOwnership, given, nil
	}
	covering := map[string]string{}
	for _, h := range d.mine(user) {
		if given[h.ID] != "" && d.reaches(given[h.ID], d.unitOf(user, h)) {
			covering[h.ID] = given[h.ID]
		}
	}
	if len(covering) > 0 {
		return ByReach, covering, nil
	}
	if len(shares) > 0 {
		return ByShare, given, shares
	}
	return "", nil, nil
}

// needed is the least reach that would give access: of a role held by the user in its own
// business unit besides what it has, or of one that it has, where that holds the privilege.
func (d dataverseDecider) needed(user string) string {
	for _, reach := range DataverseReaches() {
		if d.Tables[d.q.Table].Owned == "Organization" && reach != ReachOrganization {
			continue
		}
		places := []string{d.Users[user].Unit}
		for _, h := range d.mine(user) {
			if d.reachOf(h.Role) != "" {
				places = append(places, d.unitOf(user, h))
			}
		}
		if d.owns(user) || len(d.shares(user)) > 0 {
			return reach
		}
		for _, place := range places {
			if d.reaches(reach, place) {
				return reach
			}
		}
	}
	return ReachOrganization
}

// columns finds the first column asked for that the user may not have.
func (d dataverseDecider) columns(user string) (DataverseAnswer, bool) {
	right := map[string]string{"Create": "Create", "Read": "Read", "Write": "Update"}[d.q.Privilege]
	if d.wrong == ReadOpensColumn && right != "" {
		right = "Read"
	}
	if right == "" || d.wrong == ColumnsIgnored {
		return DataverseAnswer{}, false
	}
	for _, column := range d.q.Columns {
		passes := func(d dataverseDecider) bool { return d.mayColumn(user, column, right) }
		if !passes(d) {
			return d.refusal(user, DataverseAnswer{Denial: LacksColumn, Column: column}, passes), true
		}
	}
	return DataverseAnswer{}, false
}

func (d dataverseDecider) mayColumn(user, column, right string) bool {
	isSecured := func(c string) bool {
		return strings.EqualFold(c, column) && (d.wrong != ColumnsCaseCompared || c == column)
	}
	if !slices.ContainsFunc(d.Tables[d.q.Table].Secured, isSecured) {
		return true
	}
	for _, h := range d.mine(user) {
		if d.Roles[h.Role].AllColumns {
			return true
		}
	}
	for _, p := range d.Profiles {
		has := p.Team == "" && p.User == user || p.Team != "" && d.inTeam(user, p.Team)
		if has && p.Table == d.q.Table && strings.EqualFold(p.Column, column) && slices.Contains(p.Rights, right) {
			return true
		}
	}
	return false
}
