package admin

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A sharedRecord is a record whose shares change.
type sharedRecord struct{ environment, table, record string }

// databaseState is what decides about the records of one environment, in one state of the
// store: it stays as it is when the store goes on.
type databaseState struct {
	db *authz.Database // nil: there is none
	// self is the caller with its token, and of what the caller can act as, each on its own.
	self *authz.RecordSubject
	of   map[authz.Principal]*authz.RecordSubject
	// given are those whom the change is about, where nobody may give what they do not hold.
	given map[authz.Principal]*authz.RecordSubject
	// units are the business units, and root the one that is meant where none is named.
	units []string
	root  string
	// teams are those of the environment that the caller can act as.
	teams  []authz.Principal
	shares map[sharedRecord][]authz.Share
}

// dataBefore reads the state of every environment whose data the caller could come to reach
// otherwise by the change.
func (t *txn) dataBefore(before *powers, about touch) (map[string]*databaseState, error) {
	if before.self == nil || t.a.selfAllowed && !t.a.escalation || about.elevation {
		return nil, nil
	}
	environments, err := t.environmentsOf(before.state, about)
	if err != nil {
		return nil, err
	}
	states := map[string]*databaseState{}
	for _, e := range environments {
		if states[e], err = t.databaseState(e, before, about); err != nil {
			return nil, err
		}
	}
	return states, nil
}

// environmentsOf are the environments that a change names, and those of teams, users and
// applications that anybody who is touched can act as.
func (t *txn) environmentsOf(s *state, about touch) ([]string, error) {
	found := map[string]bool{}
	for _, e := range about.environments {
		found[e] = true
	}
	if !about.memberships {
		return slices.Sorted(maps.Keys(found)), nil
	}
	all, err := t.actsAs(s, about.principals...)
	if err != nil {
		return nil, err
	}
	var users []authz.Principal
	for _, p := range all {
		switch {
		case p.Type == authz.Team:
			team, ok, err := t.e.Team(t.tenant, p.ID)
			if err != nil {
				return nil, err
			}
			if ok {
				found[team.Environment] = true
			}
		case p.Type == authz.User && (about.records || !hasMember(about.principals, p)):
			users = append(users, p)
		}
	}
	if len(users) > 0 { // somebody's application, or somebody who was disabled
		for e, err := range t.e.Environments(t.tenant) {
			if err != nil {
				return nil, err
			}
			for _, p := range users {
				if !e.Dataverse || found[e.ID] {
					break
				}
				_, found[e.ID], err = t.e.EnvironmentUser(t.tenant, e.ID, p)
				if err != nil {
					return nil, err
				}
			}
			if !found[e.ID] {
				delete(found, e.ID)
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

func (t *txn) databaseState(environment string, ps *powers, about touch) (*databaseState, error) {
	s := &databaseState{of: map[authz.Principal]*authz.RecordSubject{}, shares: map[sharedRecord][]authz.Share{}}
	var err error
	if s.db, err = t.e.Database(t.tenant, environment); err != nil || s.db == nil {
		return s, err
	}
	if s.self, err = t.e.RecordSubject(t.tenant, environment, t.caller.Subject); err != nil {
		return nil, err
	}
	for _, p := range sortedPrincipals(ps.of) {
		if s.of[p], err = t.recordSubject(environment, s.db, p); err != nil {
			return nil, err
		}
		if p.Type == authz.Team && s.of[p] != nil {
			s.teams = append(s.teams, p)
		}
	}
	if t.a.escalation {
		s.given = map[authz.Principal]*authz.RecordSubject{}
		for _, p := range about.principals {
			if s.given[p.Key()], err = t.recordSubject(environment, s.db, p.Key()); err != nil {
				return nil, err
			}
		}
	}
	units, err := t.units(environment)
	if err != nil {
		return nil, err
	}
	for _, u := range units {
		s.units = append(s.units, u.ID)
	}
	if s.root, err = t.rootUnit(environment); err != nil {
		return nil, err
	}
	if len(s.units) == 0 {
		s.units = []string{s.root}
	}
	for _, shared := range about.shares {
		if shared.environment != environment {
			continue
		}
		if s.shares[shared], err = t.e.SharesOf(t.tenant, environment, shared.table, shared.record); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// rootUnit is the business unit that is meant where none is named; empty where there is not
// just one.
func (t *txn) rootUnit(environment string) (string, error) {
	id, _, err := t.e.BusinessUnitOf(t.tenant, environment, "")
	return id, err
}

// recordSubject is what a principal can do to records on its own; nil: nothing. A team or a
// group is taken for somebody who is in it and holds nothing else.
func (t *txn) recordSubject(environment string, db *authz.Database, p authz.Principal) (*authz.RecordSubject, error) {
	switch p.Type {
	case authz.User:
		subject, err := authz.NewSubject(authz.SubjectSpec{Tenant: t.tenant, Principal: p, FoldCase: t.a.foldCase})
		if err != nil {
			return nil, err
		}
		return t.e.RecordSubject(t.tenant, environment, subject)
	case authz.Team, authz.Group:
	default:
		return nil, nil
	}
	root, err := t.rootUnit(environment)
	if err != nil {
		return nil, err
	}
	spec := authz.RecordSubjectSpec{User: authz.Principal{Type: authz.User, ID: "\x00" + p.String()}, BusinessUnit: root}
	team := ""
	if p.Type == authz.Team {
		listed, ok, err := t.e.Team(t.tenant, p.ID)
		if err != nil || !ok || listed.Environment != environment {
			return nil, err
		}
		team = p.ID
		unit := listed.BusinessUnit
		if unit == "" {
			unit = root
		}
		spec.Teams = []authz.TeamMembership{{Team: p.ID, BusinessUnit: unit}}
		if spec.Profiles, err = t.profilesOf(environment, p); err != nil {
			return nil, err
		}
	}
	if spec.Holdings, err = t.securityRolesOf(environment, p, team, root); err != nil {
		return nil, err
	}
	return db.Subject(spec)
}

// securityRolesOf are the security roles that a principal is assigned itself in an
// environment.
func (t *txn) securityRolesOf(environment string, p authz.Principal, team, root string) ([]authz.RoleHolding, error) {
	var all []authz.RoleHolding
	for as, err := range t.e.RoleAssignmentsOf(t.tenant, p) {
		if err != nil {
			return nil, err
		}
		_, named, err := authz.ParseScope(string(as.Scope), t.a.foldCase)
		if err != nil || named.Environment != environment || as.Effect != authz.AssignAllow {
			continue
		}
		role, err := t.e.SecurityRole(t.tenant, environment, as.RoleDefinitionID)
		if err != nil {
			return nil, err
		}
		if role == nil {
			continue
		}
		unit := root
		if named.Kind == authz.BusinessUnitScope {
			unit = named.ID
		}
		all = append(all, authz.RoleHolding{AssignmentID: as.ID, Role: role, BusinessUnit: unit, Team: team, Expires: as.Expires})
	}
	return all, nil
}

// profilesOf are the rights to secured columns that a principal is given itself.
func (t *txn) profilesOf(environment string, p authz.Principal) ([]authz.ColumnProfile, error) {
	var all []authz.ColumnProfile
	for profile, err := range t.e.ColumnProfiles(t.tenant, environment) {
		if err != nil {
			return nil, err
		}
		if !hasMember(profile.Principals, p) {
			continue
		}
		for _, c := range profile.Columns {
			all = append(all, authz.ColumnProfile{Table: c.Table, Column: c.Column, Rights: c.Rights})
		}
	}
	return all, nil
}

// guardData refuses a change after which the caller, or anything that it belongs to or
// owns, may do to a record what it could not: by a role, a reach, a team, a share, a column
// profile, the right to act for others, or because a table or a business unit is another.
func (t *txn) guardData(states map[string]*databaseState, before, after *powers, about touch) error {
	for _, environment := range slices.Sorted(maps.Keys(states)) {
		was := states[environment]
		is, err := t.databaseState(environment, after, about)
		if err != nil {
			return err
		}
		c := t.comparison(environment, was, is)
		if err := c.guardGiven(); err != nil {
			return err
		}
		if t.a.selfAllowed {
			continue
		}
		if err := c.gains("the caller", t.caller.Subject.Principal(), is.self, was.self); err != nil {
			return err
		}
		for _, p := range sortedPrincipals(before.of) {
			if err := c.gains(p.String()+", which the caller belongs to or owns,", p, is.of[p], was.of[p]); err != nil {
				return err
			}
		}
		for _, p := range sortedPrincipals(after.of) {
			if before.of[p] != nil {
				continue
			}
			had := []*authz.RecordSubject{was.self}
			for _, q := range sortedPrincipals(before.of) {
				if !before.perhaps[q] {
					had = append(had, was.of[q])
				}
			}
			if err := c.gains("the caller, through "+p.String()+",", p, is.of[p], had...); err != nil {
				return err
			}
		}
	}
	return nil
}

// A comparison asks two states of a database the same questions.
type comparison struct {
	t           *txn
	environment string
	was, is     *databaseState
	// probes are records that differ in what access to them can follow from.
	probes []probe
	// giver is the caller, where it is looked at what the caller gives to somebody else: what
	// it may do to records of its own, it may let others do to theirs.
	giver *authz.RecordSubject
}

// guardGiven refuses to give somebody what the caller does not hold itself, where that is
// refused.
func (c *comparison) guardGiven() error {
	if !c.t.a.escalation {
		return nil
	}
	c.giver = c.was.self
	defer func() { c.giver = nil }()
	for _, p := range sortedPrincipals(c.is.given) {
		err := c.gains(p.String(), p, c.is.given[p], c.was.given[p], c.was.self)
		if e := (*Error)(nil); errors.As(err, &e) {
			e.Kind, e.Mend = Escalation, "let an administrator who holds it make the change"
			e.Message += ", which the caller does not hold itself"
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A probe is a record, as it is in each of the two states, and what it is for people.
type probe struct {
	was, is authz.Record
	own     bool   // its owner is whoever is asked about
	table   string // the one that it is a record of; empty: any
	what    string
}

// nobody owns the records of which access must not follow from ownership.
var nobody = authz.Principal{Type: authz.User, ID: "\x00nobody"}

func (t *txn) comparison(environment string, was, is *databaseState) *comparison {
	c := &comparison{t: t, environment: environment, was: was, is: is}
	c.probes = append(c.probes, probe{own: true, what: "records of its own"})
	unit := func(a, b string) {
		c.probes = append(c.probes, probe{
			was: authz.Record{BusinessUnit: a}, is: authz.Record{BusinessUnit: b}, what: fmt.Sprintf("records of the business unit %q", b),
		})
	}
	for _, u := range distinct(append(slices.Clone(was.units), is.units...)) {
		if was.root == environment && u == is.root || is.root == environment && u == was.root {
			continue // the root that was not listed, and is now
		}
		unit(u, u)
	}
	if was.root != is.root && (was.root == environment || is.root == environment) {
		unit(was.root, is.root)
	}
	teams := append(slices.Clone(was.teams), is.teams...)
	slices.SortFunc(teams, comparePrincipals)
	for _, team := range slices.Compact(teams) {
		owned := authz.Record{Owner: team}
		c.probes = append(c.probes, probe{was: owned, is: owned, what: fmt.Sprintf("records of the team %q", team.ID)})
	}
	for _, shared := range sortedShares(was.shares, is.shares) {
		c.probes = append(c.probes, probe{
			was: authz.Record{Owner: nobody, Shares: was.shares[shared]}, is: authz.Record{Owner: nobody, Shares: is.shares[shared]},
			table: shared.table, what: fmt.Sprintf("the record %q", shared.record),
		})
	}
	return c
}

func sortedShares(sets ...map[sharedRecord][]authz.Share) []sharedRecord {
	all := map[sharedRecord]bool{}
	for _, set := range sets {
		for shared := range set {
			all[shared] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b sharedRecord) int {
		if n := compareText(a.table, b.table); n != 0 {
			return n
		}
		return compareText(a.record, b.record)
	})
}

// gains refuses what somebody may do after the change and none of had could before, at any
// time from now on.
func (c *comparison) gains(who string, p authz.Principal, after *authz.RecordSubject, had ...*authz.RecordSubject) error {
	if after == nil || c.is.db == nil {
		return nil
	}
	times := map[int64]bool{c.t.now: true}
	for _, s := range append(slices.Clone(had), after) {
		for _, h := range s.Holdings() {
			if h.Expires > c.t.now {
				times[h.Expires] = true
			}
		}
	}
	for _, at := range slices.Sorted(maps.Keys(times)) {
		for i := range c.is.db.Len() {
			if what, column := c.gainsOf(authz.TableID(i+1), at, p, after, had); what != "" {
				if column != "" {
					what = "the secured column " + column + " of " + what
				}
				return &Error{
					Kind: SelfEscalation, Scope: environmentScope(c.t.tenant, c.environment),
					Message: fmt.Sprintf("%s would gain %s in the environment %q%s", who, what, c.environment, c.t.fromText(at)),
					Mend:    "let another administrator make the change",
				}
			}
		}
	}
	return nil
}

// gainsOf asks about one table, and says what is gained; empty: nothing.
func (c *comparison) gainsOf(table authz.TableID, at int64, p authz.Principal, after *authz.RecordSubject, had []*authz.RecordSubject) (what, column string) {
	declared, _ := c.is.db.Table(table)
	old, known := c.was.db.TableNamed(declared.Name)
	columns := slices.Clone(declared.SecuredColumns)
	if known {
		before, _ := c.was.db.Table(old)
		columns = distinct(append(columns, before.SecuredColumns...))
	}
	privileges := authz.TablePrivileges()
	if _, _, ok := c.is.db.Permission("Dataverse." + declared.Name + "." + authz.ActOnBehalf.String()); ok {
		privileges = append(privileges, authz.ActOnBehalf)
	}
	for _, privilege := range privileges {
		if privilege != authz.ActOnBehalf && !holdsAtAll(after, table, privilege) {
			continue
		}
		name := "Dataverse." + declared.Name + "." + privilege.String()
		asks := func(db *authz.Database, s *authz.RecordSubject, table authz.TableID, r *authz.Record, columns ...string) bool {
			return s != nil && authz.DecideRecord(db, authz.RecordRequest{Caller: s, Table: table, Privilege: privilege, Record: r, Columns: columns}, at).Allowed()
		}
		could := func(r *authz.Record, columns ...string) bool {
			return slices.ContainsFunc(had, func(s *authz.RecordSubject) bool {
				if !known {
					return c.reachesAll(s, privilege, at, len(columns) > 0)
				}
				return asks(c.was.db, s, old, r, columns...)
			})
		}
		gained := func(was, is *authz.Record) (bool, string) {
			if !asks(c.is.db, after, table, is) {
				return false, ""
			}
			if !could(was) {
				return true, ""
			}
			for _, column := range columns {
				if asks(c.is.db, after, table, is, column) && !could(was, column) {
					return true, column
				}
			}
			return false, ""
		}
		if more, column := gained(nil, nil); more {
			what := name + " of every record"
			if privilege == authz.ActOnBehalf {
				what = name
			}
			return what, column
		}
		if could(nil) && len(columns) == 0 {
			continue // who reaches everything gains nothing by any record
		}
		for _, probe := range c.probes {
			was, is := probe.was, probe.is
			if probe.table != "" && !strings.EqualFold(probe.table, declared.Name) {
				continue
			}
			if probe.own {
				was.Owner, is.Owner = p, p
				own := authz.Record{Owner: c.t.caller.Subject.Principal()}
				if c.giver != nil && known && asks(c.was.db, c.giver, old, &own) {
					continue
				}
			}
			if more, column := gained(&was, &is); more {
				return name + " of " + probe.what, column
			}
		}
	}
	return "", ""
}

// reachesAll tells whether somebody could do the same to every record of every table that
// there was, and so gains nothing by one more: one that was not listed may have been, and
// its records be there still.
func (c *comparison) reachesAll(s *authz.RecordSubject, privilege authz.Privilege, at int64, withColumns bool) bool {
	if s == nil || c.was.db.Len() == 0 || withColumns && !slices.ContainsFunc(s.Holdings(), func(h authz.RoleHolding) bool {
		return h.Role.EverySecuredColumn() && (h.Expires == 0 || at < h.Expires)
	}) {
		return false
	}
	for i := range c.was.db.Len() {
		if !authz.DecideRecord(c.was.db, authz.RecordRequest{Caller: s, Table: authz.TableID(i + 1), Privilege: privilege}, at).Allowed() {
			return false
		}
	}
	return true
}

// holdsAtAll tells whether any role, at any time, gives the privilege at any reach.
func holdsAtAll(s *authz.RecordSubject, table authz.TableID, privilege authz.Privilege) bool {
	return slices.ContainsFunc(s.Holdings(), func(h authz.RoleHolding) bool { return h.Role.Reach(table, privilege) != authz.NoReach })
}
