package authz

import "math"

// DecideRecord answers a request for a record or a table at now, in Unix seconds.
//
// First the privilege, at any reach, from a role of the user's own or of a team that it is
// in; a share never stands in for it. Then any one of: owning the record, a role that
// reaches it, a share of it. Everything adds up, and nothing takes access away. Last the
// columns. Of a request on behalf of another, the caller must hold the privilege for that
// itself, and both must be allowed; the columns are those of the one acted for.
//
// It allocates nothing, and may be called from any number of goroutines.
func DecideRecord(db *Database, r RecordRequest, now int64) RecordDecision {
	q := recordQuestion{db: db, request: &r}
	caller, other := r.Caller, r.ActingFor
	switch {
	case !caller.isOf(db) || !other.isOf(db): // a number of one database means nothing in another
		return q.refuse(Internal, false)
	case !db.has(r.Table, r.Privilege):
		return q.refuse(Unmapped, false)
	case caller.isDisabled():
		return q.refuse(PrincipalDisabled, false)
	case !r.OnBehalf && other == nil:
		return q.decide(caller, false, true, now)
	case other.isDisabled():
		return q.refuse(PrincipalDisabled, true)
	case caller.actsOnBehalf(now) == nil:
		return q.refuseOnBehalf(caller, false)
	}
	if d := q.decide(caller, false, false, now); !d.Allowed() {
		return d
	}
	return q.decide(other, true, true, now)
}

// RelateRequest asks whether the caller may attach one record to another. Privilege and
// Columns of the two requests are not looked at.
type RelateRequest struct {
	// From is attached; To is what it is attached to.
	From, To RecordRequest
	// ManyToMany says that the relationship is one of many to many, in which each record is
	// attached to the other.
	ManyToMany bool
}

// DecideRelate answers a request to attach a record to another: Append on the one and
// AppendTo on the other, or Append on both where many relate to many. It returns the first
// refusal, or else the decision about From.
func DecideRelate(db *Database, r RelateRequest, now int64) RecordDecision {
	r.From.Privilege, r.To.Privilege = AppendPrivilege, AppendToPrivilege
	if r.ManyToMany {
		r.To.Privilege = AppendPrivilege
	}
	from := DecideRecord(db, r.From, now)
	if !from.Allowed() {
		return from
	}
	if to := DecideRecord(db, r.To, now); !to.Allowed() {
		return to
	}
	return from
}

// recordQuestion is a request with the database that it is about.
type recordQuestion struct {
	db      *Database
	request *RecordRequest
}

// ever is a time at which every holding lives, those too that have expired since.
const ever = math.MinInt64

// refuse begins every refusal.
func (q *recordQuestion) refuse(reason Reason, actingFor bool) RecordDecision {
	return RecordDecision{Reason: reason, ActingFor: actingFor, Table: q.request.Table, Privilege: q.request.Privilege}
}

// refuseOnBehalf says that the user may not act for others. No team could lift that.
func (q *recordQuestion) refuseOnBehalf(s *RecordSubject, actingFor bool) RecordDecision {
	d := q.refuse(NoAssignment, actingFor)
	if d.Denial = LacksOnBehalf; s.actsOnBehalf(ever) != nil {
		d.Reason = Expired
	}
	return d
}

// reasonFor is the reason of a refusal that a team, or an assignment that is over, could
// have lifted.
func reasonFor(s *RecordSubject, onceAllowed bool) Reason {
	switch {
	case s.teamsUnknown:
		return GroupsUnknown
	case onceAllowed:
		return Expired
	default:
		return NoAssignment
	}
}

// decide is the decision about one user.
func (q *recordQuestion) decide(s *RecordSubject, actingFor, withColumns bool, now int64) RecordDecision {
	d := q.refuse(NoAssignment, actingFor)
	if s == nil {
		d.Denial = LacksPrivilege
		return d
	}
	if q.request.Privilege == ActOnBehalf {
		if d.Holding = s.actsOnBehalf(now); d.Holding == nil {
			return q.refuseOnBehalf(s, actingFor)
		}
		d.Reason, d.Step = Granted, DirectAccess
		return d
	}
	found := q.access(s, now)
	if found.step == NoAccess {
		q.explain(&d, s, now)
		return d
	}
	if right := columnRight(q.request.Privilege); withColumns && right != NoPrivilege {
		for _, column := range q.request.Columns {
			if !s.mayColumn(q.request.Table, column, right, now) {
				d.Reason = reasonFor(s, s.mayColumn(q.request.Table, column, right, ever))
				d.Denial, d.Column = LacksColumn, column
				return d
			}
		}
	}
	d.Reason, d.Step, d.Holding, d.Share, d.Reach = Granted, found.step, found.holding, found.share, found.reach
	return d
}

// columnRight is what a column profile must give for the privilege; none where the
// privilege asks for no columns.
func columnRight(p Privilege) Privilege {
	switch p {
	case CreatePrivilege, ReadPrivilege, WritePrivilege:
		return p
	default:
		return NoPrivilege
	}
}

// accessFound is what gives access to a record.
type accessFound struct {
	step    AccessStep
	holding *RoleHolding
	share   *Share
	reach   Reach
}

// access takes the two steps.
func (q *recordQuestion) access(s *RecordSubject, now int64) accessFound {
	var given, reaching accessFound
	unit := q.unit()
	for i := range s.holdings {
		h := &s.holdings[i]
		reach := h.Role.Reach(q.request.Table, q.request.Privilege)
		if reach == NoReach || !h.live(now) || !q.usable(h, reach) {
			continue
		}
		if given.holding == nil {
			given.holding, given.reach = h, reach
		}
		if covers(reach, h.from, unit) {
			reaching = accessFound{step: ReachAccess, holding: h, reach: reach}
			break // what could still follow is not named
		}
	}
	switch {
	case given.holding == nil:
		return given
	case q.owns(s):
		given.step = OwnerAccess
		return given
	case reaching.holding != nil:
		return reaching
	}
	if given.share = q.share(s); given.share != nil {
		given.step = ShareAccess
	}
	return given
}

// told tells whether the request says anything of the record that access could follow from.
func (q *recordQuestion) told() bool {
	r := q.request.Record
	return r != nil && (r.Owner.ID != "" || r.BusinessUnit != "")
}

// unit is the business unit of the record; none where it is not told.
func (q *recordQuestion) unit() unitSpan {
	if q.request.Record == nil {
		return unitSpan{}
	}
	return q.db.unit(q.request.Record.BusinessUnit)
}

// covers tells whether a reach from a business unit covers another.
func covers(reach Reach, from, unit unitSpan) bool {
	switch reach {
	case OrganizationReach:
		return true
	case ParentChildReach:
		return from.covers(unit)
	case BusinessUnitReach:
		return unit.first != 0 && from.first == unit.first
	default:
		return false
	}
}

// userOwned tells whether the table's records have owners and can be shared.
func (q *recordQuestion) userOwned() bool {
	return q.db.table(q.request.Table).Ownership == UserOwned
}

// usable tells whether a holding gives the privilege for this record: the User reach of a
// role that is its team's alone is for what that team owns.
func (q *recordQuestion) usable(h *RoleHolding, reach Reach) bool {
	if h.Team == "" || reach > UserReach || !h.Role.TeamOnly() {
		return true
	}
	return q.told() && q.userOwned() && q.request.Record.Owner == Principal{Team, h.Team}
}

// owns tells whether the user, or a team that it is in, owns the record.
func (q *recordQuestion) owns(s *RecordSubject) bool {
	return q.told() && q.userOwned() && s.is(q.request.Record.Owner)
}

// share returns the first share that gives the user what is asked for.
func (q *recordQuestion) share(s *RecordSubject) *Share {
	if !q.told() || !q.userOwned() || !shareable.Has(q.request.Privilege) {
		return nil
	}
	for i := range q.request.Record.Shares {
		share := &q.request.Record.Shares[i]
		if share.Rights.Has(q.request.Privilege) && (share.WithOrganization || s.is(share.With)) {
			return share
		}
	}
	return nil
}

// explain says what a refused request lacked.
func (q *recordQuestion) explain(d *RecordDecision, s *RecordSubject, now int64) {
	d.Denial = LacksPrivilege
	for i := range s.holdings {
		h := &s.holdings[i]
		if reach := h.Role.Reach(q.request.Table, q.request.Privilege); reach > d.Reach && h.live(now) {
			d.Denial, d.Holding, d.Reach = LacksReach, h, reach
		}
	}
	d.Needed = q.needed(s, now)
	d.Reason = reasonFor(s, q.access(s, ever).step != NoAccess)
}

// needed is the least reach that would do, of a role held directly in the user's business
// unit, or of one that the user holds already and that gives the privilege.
func (q *recordQuestion) needed(s *RecordSubject, now int64) Reach {
	if q.db.table(q.request.Table).Ownership == OrganizationOwned {
		return OrganizationReach
	}
	if q.owns(s) || q.share(s) != nil {
		return UserReach
	}
	unit := q.unit()
	for reach := BusinessUnitReach; reach < OrganizationReach; reach++ {
		if covers(reach, s.unit, unit) {
			return reach
		}
		for i := range s.holdings {
			h := &s.holdings[i]
			if h.live(now) && h.Role.Reach(q.request.Table, q.request.Privilege) != NoReach && covers(reach, h.from, unit) {
				return reach
			}
		}
	}
	return OrganizationReach
}
