package gate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// decideTables decides what the scratch says is asked of tables, at its one environment.
// What such a decision reads is too much for a view: it is read anew, at one revision.
func (g *Gate) decideTables(ctx context.Context, r *ask.Request, a *ask.Answer, s *scratch) {
	tenant := s.who.Subject.Tenant()
	if r.OnBehalfOf != nil && r.OnBehalfOf.Tenant() != tenant {
		a.Reason, a.Detail = authz.BadRequest, "on_behalf_of: is of another tenant than the caller"
		return
	}
	for i := range s.tables {
		a.Permissions = append(a.Permissions, s.tables[i].permission())
	}
	// Neither another tenant nor an environment that nobody listed has a table that could be
	// asked for, and which tables another tenant has is not to be learnt from the reason.
	if s.crossTenant(tenant, a) {
		a.Reason, a.Detail = authz.Unmapped, "scope: it is of a tenant that is not the caller's, and so no table of it is known"
		return
	}
	if s.held == nil && s.quick {
		slow(a)
		return
	}
	reason, detail := g.readOnce(ctx, r.AtLeast, s, func() error { return g.decideRead(r, a, s, tenant) })
	if reason != authz.ReasonUnspecified {
		a.Reason, a.Detail, a.Record, a.Assignment = reason, detail, nil, nil
	}
}

// readOnce lets decide read what is held, all of it at one revision, from the scratch's
// Reader. A reason says that nothing could be read.
func (g *Gate) readOnce(ctx context.Context, atLeast authz.Revision, s *scratch, decide func() error) (authz.Reason, string) {
	if s.held != nil {
		if err := decide(); err != nil {
			return g.unreadable(ctx, err)
		}
		return authz.ReasonUnspecified, ""
	}
	if reason, detail := g.waitFor(ctx, atLeast); reason != authz.ReasonUnspecified {
		return reason, detail
	}
	err := g.Snapshots.Read(ctx, func(held *snapshot.Reader) error {
		s.held = held
		defer func() { s.held = nil }()
		s.now = g.Now() // it may have waited
		return decide()
	})
	if err != nil {
		return g.unreadable(ctx, err)
	}
	return authz.ReasonUnspecified, ""
}

func tablePermission(table string, p authz.Privilege) authz.Permission {
	return authz.Permission(tablePrefix + table + "." + p.String())
}

// errRefused says that the answer has its reason already.
var errRefused = errors.New("refused")

// decideRead is decideTables with the scratch's Reader. An error says that it cannot read.
func (g *Gate) decideRead(r *ask.Request, a *ask.Answer, s *scratch, tenant string) error {
	q := tableQuestion{gate: g, s: s, r: r, a: a, tenant: tenant}
	err := q.decide()
	if errors.Is(err, errRefused) {
		return nil
	}
	return err
}

// A tableQuestion is a question about tables while it is decided.
type tableQuestion struct {
	gate        *Gate
	s           *scratch
	r           *ask.Request
	a           *ask.Answer
	tenant      string
	environment string
	db          *authz.Database
	requests    []authz.RecordRequest
}

func (q *tableQuestion) refuse(reason authz.Reason, format string, args ...any) error {
	q.a.Reason, q.a.Detail = reason, fmt.Sprintf(format, args...)
	return errRefused
}

// decide goes through the reasons in their order.
func (q *tableQuestion) decide() error {
	s, a, held := q.s, q.a, q.s.held
	a.Revision = held.Revision()
	state, err := q.gate.tenantOf(held, q.tenant)
	if err != nil {
		return err
	}
	if !s.findChains(state.Hierarchy(), q.tenant, a) {
		return q.refuse(authz.Unmapped, "the tenant lists no such environment, and so no table of it is known")
	}
	// A host may name an environment by another text than its identifier.
	_, named, err := authz.ParseScope(string(a.Scopes[0]), q.gate.Catalogues.FoldCase())
	if err != nil {
		return err
	}
	q.environment = strings.Clone(named.Environment)
	if q.db, err = held.Database(q.tenant, q.environment); err != nil {
		return err
	}
	if q.db == nil {
		return q.refuse(authz.Unmapped, "the environment has no database, and so no tables")
	}
	if err := q.buildRequests(); err != nil {
		return err
	}
	reads := !slices.ContainsFunc(s.tables, func(t tableAsk) bool { return t.privilege != authz.ReadPrivilege })
	if !q.gate.fresh(q.tenant, reads, s.now) {
		return q.refuse(authz.Stale, "%s", tooOld)
	}
	return q.answer()
}

const tooOld = "the data is older than this server may answer from"

// buildRequests finds the tables and the facts of the records. What is wrong with a record
// goes before a table that is not known.
func (q *tableQuestion) buildRequests() error {
	q.a.Permissions = q.a.Permissions[:0]
	unmapped := ""
	for i := range q.s.tables {
		asked := &q.s.tables[i]
		record, err := q.record(asked)
		if err != nil {
			return err
		}
		id, table, fault := q.table(asked)
		permission := asked.permission()
		if table.Name != "" {
			permission = tablePermission(table.Name, asked.privilege)
		}
		q.a.Permissions = append(q.a.Permissions, permission)
		if fault != "" {
			unmapped = cmp.Or(unmapped, fault)
			continue
		}
		if record != nil && asked.record.ID != "" {
			if record.Shares, err = q.s.held.SharesOf(q.tenant, q.environment, table.Name, q.id(asked.record.ID)); err != nil {
				return err
			}
		}
		columns := asked.columns
		if inner := lookedUp(columns); len(inner) > 0 {
			columns = slices.Concat(columns, inner)
		}
		if asked.allColumns {
			columns = slices.Concat(columns, table.SecuredColumns)
		}
		q.requests = append(q.requests, authz.RecordRequest{Table: id, Privilege: asked.privilege, Record: record, Columns: columns})
		if set := securedOf(&table, columns); asked.carries && len(set) > 0 {
			q.a.Permissions = append(q.a.Permissions, tablePermission(table.Name, authz.WritePrivilege))
			q.requests = append(q.requests, authz.RecordRequest{Table: id, Privilege: authz.WritePrivilege, Record: record, Columns: set})
		}
	}
	if unmapped != "" {
		return q.refuse(authz.Unmapped, "%s", unmapped)
	}
	return nil
}

// securedOf returns those of the columns that are secured.
func securedOf(t *authz.Table, columns []string) (secured []string) {
	for _, column := range columns {
		if slices.ContainsFunc(t.SecuredColumns, func(s string) bool { return strings.EqualFold(s, column) }) {
			secured = append(secured, column)
		}
	}
	return secured
}

// table finds the table that is asked about, and says what is wrong where there is none that
// has the privilege.
func (q *tableQuestion) table(asked *tableAsk) (authz.TableID, authz.Table, string) {
	if asked.table == "" {
		id, ok := q.db.TableOfEntitySet(asked.entitySet)
		if !ok {
			return 0, authz.Table{}, fmt.Sprintf("the environment declares no table with the entity set %q", asked.entitySet)
		}
		table, _ := q.db.Table(id)
		return id, table, ""
	}
	id, ok := q.db.TableNamed(asked.table)
	if !ok {
		return 0, authz.Table{}, fmt.Sprintf("the environment declares no table %q", asked.table)
	}
	table, _ := q.db.Table(id)
	if _, _, ok := q.db.Permission(string(tablePermission(table.Name, asked.privilege))); !ok {
		return 0, table, fmt.Sprintf("the table %s has no privilege %v", table.Name, asked.privilege)
	}
	return id, table, ""
}

func (q *tableQuestion) id(text string) string {
	return authz.CanonicalID(text, q.gate.Catalogues.FoldCase())
}

// record checks what is told of a record; nil: nothing is that access could follow from.
func (q *tableQuestion) record(asked *tableAsk) (*authz.Record, error) {
	told := asked.record
	if told == nil || told.Owner.ID == "" && told.BusinessUnit == "" {
		return nil, nil
	}
	record := &authz.Record{Owner: authz.Principal{Type: told.Owner.Type, ID: q.id(told.Owner.ID)}, BusinessUnit: q.id(told.BusinessUnit)}
	if record.Owner.ID != "" {
		known, err := q.knowsOwner(record.Owner)
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, q.refuse(authz.BadRequest, "%s.owner: the environment lists no such %v: an owner is one of its own users and teams", asked.field, record.Owner.Type)
		}
	}
	if record.BusinessUnit != "" && !q.db.HasBusinessUnit(record.BusinessUnit) {
		return nil, q.refuse(authz.BadRequest, "%s.business_unit: the environment lists no business unit %q", asked.field, record.BusinessUnit)
	}
	if record.BusinessUnit == "" && q.db.HasBusinessUnit(q.environment) {
		record.BusinessUnit = q.environment // it lists none: then every record is in the one that there is
	}
	return record, nil
}

// knowsOwner tells whether somebody can own a record of the environment: who asks can be
// asked about before it is added.
func (q *tableQuestion) knowsOwner(owner authz.Principal) (bool, error) {
	if owner.Type == authz.Team {
		team, ok, err := q.s.held.Team(q.tenant, owner.ID)
		return ok && team.Environment == q.environment, err
	}
	for _, who := range []*authz.Subject{q.s.who.Subject, q.r.OnBehalfOf} {
		if who != nil && who.Principal().Key() == owner.Key() {
			return true, nil
		}
	}
	_, ok, err := q.s.held.EnvironmentUser(q.tenant, q.environment, owner)
	return ok, err
}

// answer asks for every privilege, in order. The first that is refused gives the reason.
func (q *tableQuestion) answer() error {
	s, a := q.s, q.a
	caller, disabled, err := q.user(s.who.Subject)
	if err != nil {
		return err
	}
	if disabled {
		return q.refuse(authz.PrincipalDisabled, "")
	}
	var other *authz.RecordSubject
	if q.r.OnBehalfOf != nil {
		if other, disabled, err = q.user(q.r.OnBehalfOf); err != nil {
			return err
		}
	}
	now := s.now.Unix()
	var first *authz.RecordDecision
	for i := range q.requests {
		request := &q.requests[i]
		request.Caller, request.OnBehalf, request.ActingFor = caller, q.r.OnBehalfOf != nil, other
		d := authz.DecideRecord(q.db, *request, now)
		if disabled && d.Reason != authz.PrincipalDisabled { // which only the caller can be yet
			d = authz.RecordDecision{Reason: authz.PrincipalDisabled, ActingFor: true, Table: d.Table, Privilege: d.Privilege}
		}
		if first == nil || first.Allowed() && !d.Allowed() {
			first = &d
		}
		if !d.Allowed() {
			a.Missing = q.appendMissing(d)
		}
	}
	if s.trace != nil {
		s.trace.Database, s.trace.Environment, s.trace.Records = q.db, q.environment, q.requests
	}
	if first.Reason != authz.PrincipalDisabled && s.who.EnforceDelegated && s.who.UserToken && !delegatedNames(s.who.Scopes, a) {
		return errRefused
	}
	a.Reason, a.Record = first.Reason, first
	if a.Reason == authz.PrincipalDisabled {
		a.Missing = a.Missing[:0]
	}
	if !a.Allowed() {
		who := caller
		if first.ActingFor {
			who = other
		}
		a.Detail = q.describe(first, who)
		return errRefused
	}
	if q.r.HTTP && !holdsDirectly(s.who.Subject, s.resolution.GrantedTo) {
		return q.refuse(authz.NoAssignment, "%s", notDirectly)
	}
	return q.findAssignment(first.Holding)
}

// user finds a user of the environment. Of one that is none it tells whether it is disabled
// in the tenant.
func (q *tableQuestion) user(subject *authz.Subject) (user *authz.RecordSubject, disabled bool, err error) {
	user, err = q.s.held.RecordSubject(q.tenant, q.environment, subject)
	if err != nil || user != nil {
		return user, false, err
	}
	view, err := q.s.held.View(q.tenant, subject)
	if err != nil {
		return nil, false, err
	}
	return nil, view.Disabled, nil
}

// appendMissing adds what a refusal lacked to what is missing already.
func (q *tableQuestion) appendMissing(d authz.RecordDecision) []authz.Permission {
	table, _ := q.db.Table(d.Table)
	missing := tablePermission(table.Name, d.Privilege)
	if d.Denial == authz.LacksOnBehalf {
		missing = tablePermission(authz.UserTable, authz.ActOnBehalf)
	}
	if slices.Contains(q.a.Missing, missing) {
		return q.a.Missing
	}
	return append(q.a.Missing, missing)
}

// findAssignment names the role assignment that decided.
func (q *tableQuestion) findAssignment(h *authz.RoleHolding) error {
	if h == nil {
		return nil
	}
	found, ok, err := q.s.held.RoleAssignment(q.tenant, h.AssignmentID)
	if err != nil || !ok {
		return err
	}
	role, _ := q.s.held.Role(q.tenant, found.RoleDefinitionID)
	q.a.Assignment = &authz.Grant{
		AssignmentID: found.ID, Principal: found.Principal, Role: role, Scope: found.Scope, Effect: found.Effect, Expires: h.Expires,
	}
	return nil
}

// describe says what a refusal lacked.
func (q *tableQuestion) describe(d *authz.RecordDecision, who *authz.RecordSubject) string {
	table, _ := q.db.Table(d.Table)
	of, expired := "the caller", ""
	if d.ActingFor {
		of = "the one acted for"
	}
	if d.Reason == authz.Expired {
		expired = "; an assignment that is over would have done"
	}
	switch {
	case d.Reason == authz.PrincipalDisabled && d.ActingFor:
		return of + " is disabled"
	case d.Reason == authz.PrincipalDisabled:
		return ""
	case who == nil:
		return of + " is no user of this environment: add it, with a business unit"
	case d.Denial == authz.LacksPrivilege:
		return fmt.Sprintf("no security role of %s gives %v on %s%s", of, d.Privilege, table.Name, expired)
	case d.Denial == authz.LacksReach:
		return fmt.Sprintf("%v on %s takes a reach of %v here, and the security roles of %s give %v%s", d.Privilege, table.Name, d.Needed, of, d.Reach, expired)
	case d.Denial == authz.LacksColumn:
		return fmt.Sprintf("the column %q of %s is secured, and no column profile of %s gives %s%s", d.Column, table.Name, of, profileRight(d.Privilege), expired)
	case d.Denial == authz.LacksOnBehalf:
		return "acting for another takes Dataverse.User.ActOnBehalf of a security role that the caller holds itself" + expired
	default:
		return ""
	}
}

// profileRight is what column profiles call a privilege.
func profileRight(p authz.Privilege) string {
	if p == authz.WritePrivilege {
		return "Update"
	}
	return p.String()
}

// delegatedNames is [Gate.delegated] for permissions that no catalogue declares.
func delegatedNames(scopes []string, a *ask.Answer) bool {
	held := a.Missing
	a.Missing = a.Missing[:0:0]
	for _, permission := range a.Permissions {
		if !slices.ContainsFunc(scopes, func(scope string) bool { return strings.EqualFold(scope, string(permission)) }) {
			a.Missing = append(a.Missing, permission)
		}
	}
	if len(a.Missing) > 0 {
		a.Reason = authz.DelegatedScopeMissing
		return false
	}
	a.Missing = held
	return true
}
