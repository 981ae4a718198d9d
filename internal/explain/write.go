package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A writer writes one explanation.
type writer struct {
	x   *Explainer
	f   *finder
	e   *Explanation
	see Viewer
	q   *refused
	// hidden are the assignments that were left out.
	hidden map[string]bool
	// bare are roles without their exceptions.
	bare map[string]*authz.Role
}

// mostSilent bounds how many assignments of a pair are listed that stand at other scopes or
// do not cover the permission: somebody may hold thousands.
const mostSilent = 100

func (w *writer) write(ctx context.Context) error {
	e, q := w.e, w.q
	e.decided = e.Answer
	if err := w.subject(); err != nil {
		return err
	}
	if err := w.platform(); err != nil {
		return err
	}
	if err := w.records(); err != nil {
		return err
	}
	if g := e.Answer.Assignment; g != nil && !w.sees(g.AssignmentID, g.Scope, g.Effect) {
		e.Answer.Assignment = nil
	}
	if !e.Answer.Allowed() {
		mend, err := w.x.mend(ctx, w.f, []*refused{q}, w)
		if err != nil {
			return err
		}
		e.Mend = mend
	}
	e.Hidden = len(w.hidden)
	return nil
}

// sees tells whether an assignment may be shown, and counts it where it may not.
func (w *writer) sees(id string, scope authz.Scope, effect authz.AssignmentEffect) bool {
	if w.see.sees(scope, effect) {
		return true
	}
	w.hidden[id] = true
	return false
}

// subject tells by which path each thing that the subject belongs to came in.
func (w *writer) subject() error {
	subject := w.q.answer.Subject
	tenant, _ := w.f.reader.Tenant(w.f.tenant)
	s := &w.e.Subject
	*s = Subject{
		Tenant: subject.Tenant(), Principal: subject.Principal(),
		GroupsUnknown: subject.GroupsUnknown(), DirectoryComplete: tenant.DirectoryComplete,
	}
	view, err := w.f.reader.View(w.f.tenant, subject)
	if err != nil {
		return err
	}
	s.Disabled = view.Disabled
	s.Memberships, err = w.f.memberships(subject)
	return err
}

// memberships are what the subject belongs to, each with a shortest path.
func (f *finder) memberships(subject *authz.Subject) ([]Membership, error) {
	found, err := f.reader.Memberships(f.tenant, subject)
	if err != nil {
		return nil, err
	}
	all := make([]Membership, 0, len(found))
	for _, m := range found {
		said := subject.Groups()
		if m.Principal.Type == authz.DirectoryRole {
			said = subject.DirectoryRoles()
		}
		named := (m.Principal.Type == authz.Group || m.Principal.Type == authz.DirectoryRole) && slices.Contains(said, m.Principal.ID)
		name, err := f.displayName(m.Principal)
		if err != nil {
			return nil, err
		}
		all = append(all, Membership{Principal: m.Principal, DisplayName: name, ByToken: named, Via: m.Via})
	}
	return all, nil
}

func (f *finder) displayName(p authz.Principal) (string, error) {
	switch p.Type {
	case authz.Group:
		g, _, err := f.reader.Group(f.tenant, p.ID)
		return g.DisplayName, err
	case authz.Team:
		t, _, err := f.reader.Team(f.tenant, p.ID)
		return t.DisplayName, err
	default:
		return "", nil
	}
}

// platform explains each platform permission at each scope.
func (w *writer) platform() error {
	t := w.q.trace
	for _, permission := range t.Platform.Permissions {
		for _, chain := range t.Platform.Chains {
			if err := w.platformPair(permission, chain); err != nil {
				return err
			}
		}
	}
	if len(t.GrantedTo) > 0 {
		names := make([]string, 0, len(t.GrantedTo))
		for _, p := range t.GrantedTo {
			names = append(names, p.ID)
		}
		w.note("the route is open only to direct holders of the directory roles %s", strings.Join(names, ", "))
	}
	return nil
}

func (w *writer) note(format string, args ...any) {
	w.e.Notes = append(w.e.Notes, fmt.Sprintf(format, args...))
}

func (w *writer) platformPair(permission authz.PermissionID, chain []authz.Scope) error {
	t := w.q.trace
	asked := t.Platform
	asked.Permissions, asked.Chains = []authz.PermissionID{permission}, [][]authz.Scope{chain}
	d := authz.Decide(t.Grants, asked, t.Now)
	pair := Pair{Permission: w.x.Catalogues.Vocabulary().Name(permission), Chain: chain, Reason: d.Reason}
	grants := t.Grants.All()
	for i := range grants {
		g := &grants[i]
		c := Considered{}
		c.Verdict, c.Detail = w.platformVerdict(g, permission, chain, d)
		if err := w.consider(&pair, g, c); err != nil {
			return err
		}
	}
	if asked.GroupsUnknown && asked.GroupDenials != nil && d.Reason == authz.GroupsUnknown {
		w.note("the caller's groups are not known, and a DENY or FORBID of a group could be theirs, or an ALLOW")
	}
	w.finish(&pair)
	return nil
}

// platformVerdict says what an assignment said to a permission at a scope, given the decision.
func (w *writer) platformVerdict(g *authz.Grant, permission authz.PermissionID, chain []authz.Scope, d authz.Decision) (Verdict, string) {
	name := w.x.Catalogues.Vocabulary().Name(permission)
	covers := g.Role.Takes(permission)
	if g.Effect == authz.AssignAllow {
		covers = g.Role.Grants(permission)
	}
	switch {
	case d.Grant != nil && d.Grant.AssignmentID == g.AssignmentID && d.Reason != authz.Expired:
		return Decided, ""
	case !slices.Contains(chain, g.Scope):
		return OtherScope, fmt.Sprintf("%s is neither %s nor above it", g.Scope, chain[0])
	case !covers && w.withoutExceptions(g.Role.ID()).Grants(permission):
		return Exception, fmt.Sprintf("an exception of the role takes %s out", name)
	case !covers:
		return NotCovered, fmt.Sprintf("the role does not give %s", name)
	case g.Expires != 0 && w.q.trace.Now >= g.Expires:
		return Expired, "expired on " + time.Unix(g.Expires, 0).UTC().Format(time.RFC3339)
	case d.Allowed() == (g.Effect == authz.AssignAllow):
		return Agrees, ""
	case d.Reason == authz.GroupsUnknown:
		return Overridden, "the caller's groups are not known, and could take it away"
	case d.Reason == authz.Forbidden:
		return Overridden, "a FORBID outranks every other assignment"
	case g.Effect == authz.AssignAllow:
		return Overridden, "a DENY at the same scope or a nearer one takes it away"
	default:
		return Overridden, "an ALLOW at a nearer scope gives it back"
	}
}

// withoutExceptions is a role as it would be without its exceptions.
func (w *writer) withoutExceptions(id string) *authz.Role {
	if role, known := w.bare[id]; known {
		return role
	}
	if w.bare == nil {
		w.bare = map[string]*authz.Role{}
	}
	var role *authz.Role
	if def := w.f.definition(id); def != nil && len(def.PermissionsExceptions) > 0 {
		all := *def
		all.PermissionsExceptions = nil
		role, _ = w.x.Catalogues.Vocabulary().CompileShipped(all) // what does not compile gives nothing
	}
	w.bare[id] = role
	return role
}

func (f *finder) definition(id string) *authz.RoleDefinition {
	for i := range f.defs {
		if f.defs[i].ID == id {
			return &f.defs[i]
		}
	}
	return nil
}

// consider adds an assignment to a pair, if it may be shown. A security role's platform
// permissions count at the environment; what is shown is where it was assigned.
func (w *writer) consider(pair *Pair, g *authz.Grant, c Considered) error {
	c.Assignment = Assignment{
		ID: g.AssignmentID, Principal: g.Principal, RoleID: g.Role.ID(), RoleName: g.Role.Name(),
		Scope: g.Scope, Effect: g.Effect, Expires: g.Expires, spokeAt: slices.Index(pair.Chain, g.Scope),
	}
	if c.spokeAt < 0 {
		c.spokeAt = len(pair.Chain)
	}
	if g.Role.IsSecurityRole() {
		a, ok, err := w.f.reader.RoleAssignment(w.f.tenant, g.AssignmentID)
		if err != nil {
			return err
		}
		if ok {
			c.Scope = a.Scope
		}
	}
	if w.sees(c.ID, c.Scope, c.Effect) {
		pair.Assignments = append(pair.Assignments, c)
	}
	return nil
}

// finish orders the assignments of a pair and leaves out what is too much.
func (w *writer) finish(pair *Pair) {
	slices.SortStableFunc(pair.Assignments, func(a, b Considered) int {
		return cmp.Or(cmp.Compare(rank(a.Verdict), rank(b.Verdict)), cmp.Compare(a.spokeAt, b.spokeAt), strings.Compare(a.ID, b.ID))
	})
	silent := slices.IndexFunc(pair.Assignments, func(c Considered) bool { return rank(c.Verdict) >= rank(NotCovered) })
	if silent >= 0 && len(pair.Assignments)-silent > mostSilent {
		w.note("%d further assignments that say nothing to %s are not listed", len(pair.Assignments)-silent-mostSilent, pair.Permission)
		pair.Assignments = slices.Clip(pair.Assignments[:silent+mostSilent])
	}
	w.e.Pairs = append(w.e.Pairs, *pair)
}

// rank orders verdicts by how much they have to do with the decision.
func rank(v Verdict) int {
	return slices.Index([]Verdict{
		Decided, Agrees, Overridden, Expired, ReachTooSmall, OtherBusinessUnit, Exception, NotCovered, OtherScope,
	}, v)
}

// records explains each privilege for a record or a table.
func (w *writer) records() error {
	t := w.q.trace
	for i := range t.Records {
		if err := w.recordPair(&t.Records[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) recordPair(r *authz.RecordRequest) error {
	t := w.q.trace
	d := authz.DecideRecord(t.Database, *r, t.Now)
	table, _ := t.Database.Table(r.Table)
	environment := authz.NamedScope{Kind: authz.EnvironmentScope, Environment: t.Environment}.In(w.f.tenant)
	chain, err := w.f.tree.Chain(environment, w.x.Catalogues.FoldCase())
	if err != nil {
		return err
	}
	pair := Pair{
		Permission: authz.Permission("Dataverse." + table.Name + "." + r.Privilege.String()), Chain: chain, Reason: d.Reason,
		Record: &Record{RecordDecision: d, TableName: table.Name},
	}
	if r.Record != nil {
		pair.Record.Owner, pair.Record.BusinessUnit = r.Record.Owner, r.Record.BusinessUnit
	}
	who, about := r.Caller, w.q.answer.Subject
	if d.ActingFor && w.q.request.OnBehalfOf != nil {
		who, about = r.ActingFor, w.q.request.OnBehalfOf
	}
	all := w.see
	w.see = all.of(w.q.answer.Subject, about)
	defer func() { w.see = all }()
	if who == nil {
		w.note("%s was not added to the environment %s", about.Principal(), t.Environment)
	}
	spoke := map[string]bool{}
	holdings := who.Holdings()
	for i := range holdings {
		h := &holdings[i]
		if spoke[h.AssignmentID] {
			continue
		}
		spoke[h.AssignmentID] = true
		if err := w.holding(&pair, r, d, who, h); err != nil {
			return err
		}
	}
	view, err := w.f.reader.View(w.f.tenant, about)
	if err != nil {
		return err
	}
	grants := view.Grants.All()
	for i := range grants {
		g := &grants[i]
		if spoke[g.AssignmentID] {
			continue
		}
		c := Considered{Verdict: NotCovered, Detail: "a role of the platform gives no privilege in a database"}
		if g.Scope != environment && !strings.HasPrefix(string(g.Scope), string(environment)+"/") && g.Role.IsSecurityRole() {
			c.Verdict, c.Detail = OtherScope, fmt.Sprintf("%s is not in the environment %s", g.Scope, t.Environment)
		}
		if err := w.consider(&pair, g, c); err != nil {
			return err
		}
	}
	w.finish(&pair)
	return nil
}

// holding says what a security role that somebody holds said.
func (w *writer) holding(pair *Pair, r *authz.RecordRequest, d authz.RecordDecision, who *authz.RecordSubject, h *authz.RoleHolding) error {
	a, ok, err := w.f.reader.RoleAssignment(w.f.tenant, h.AssignmentID)
	if err != nil || !ok {
		return err
	}
	c := Considered{Reach: h.Role.Reach(r.Table, r.Privilege), BusinessUnit: h.BusinessUnit}
	if h.Team != "" {
		team, _, err := w.f.reader.Team(w.f.tenant, h.Team)
		if err != nil {
			return err
		}
		if c.BusinessUnit, _, err = w.f.reader.BusinessUnitOf(w.f.tenant, w.q.trace.Environment, team.BusinessUnit); err != nil {
			return err
		}
	}
	c.Verdict, c.Detail = w.recordVerdict(pair, r, d, who, h, c.Reach, c.BusinessUnit)
	c.Assignment = Assignment{
		ID: a.ID, Principal: a.Principal, RoleID: a.RoleDefinitionID, RoleName: h.Role.Name(), Scope: a.Scope, Effect: a.Effect, Expires: a.Expires,
	}
	if w.sees(c.ID, c.Scope, c.Effect) {
		pair.Assignments = append(pair.Assignments, c)
	}
	return w.opensApps(a.RoleDefinitionID, h.Role)
}

// opensApps notes where a custom security role lacks what every app needs to open.
func (w *writer) opensApps(id string, role *authz.SecurityRole) error {
	def := w.f.definition(id)
	if def == nil || def.Environment == "" {
		return nil
	}
	if len(roles.MissingToOpenApp(w.q.trace.Database, role)) > 0 {
		note := fmt.Sprintf("the role %q cannot open an app: it lacks privileges that every app needs (see App Opener)", role.Name())
		if !slices.Contains(w.e.Notes, note) {
			w.e.Notes = append(w.e.Notes, note)
		}
	}
	return nil
}

func (w *writer) recordVerdict(pair *Pair, r *authz.RecordRequest, d authz.RecordDecision, who *authz.RecordSubject, h *authz.RoleHolding, reach authz.Reach, unit string) (Verdict, string) {
	now := w.q.trace.Now
	gives := reach > authz.NoReach || r.Privilege == authz.ActOnBehalf && h.Role.ActsOnBehalf()
	alone := *r
	alone.OnBehalf, alone.ActingFor, alone.Caller, alone.Columns = false, nil, who.Only(h.AssignmentID), nil
	switch {
	case d.Allowed() && d.Holding != nil && d.Holding.AssignmentID == h.AssignmentID:
		return Decided, ""
	case !gives:
		return NotCovered, fmt.Sprintf("the role does not give %s", pair.Permission)
	case h.Expires != 0 && now >= h.Expires:
		return Expired, "expired on " + time.Unix(h.Expires, 0).UTC().Format(time.RFC3339)
	case authz.DecideRecord(w.q.trace.Database, alone, now).Allowed() && d.Allowed():
		return Agrees, ""
	case authz.DecideRecord(w.q.trace.Database, alone, now).Allowed():
		return Overridden, "it gives access, and something else is lacking: " + d.Denial.String()
	case h.Team != "" && reach == authz.UserReach && h.Role.TeamOnly():
		return ReachTooSmall, "the role's User reach is the team's alone: what the team owns"
	case reach == authz.UserReach:
		return ReachTooSmall, "User reaches what the user, or a team that it is in, owns"
	case r.Record == nil || r.Record.BusinessUnit == "":
		return ReachTooSmall, fmt.Sprintf("of a whole table, or a record of which nothing is told, only Organization is enough, not %s", reach)
	case w.below(r.Record.BusinessUnit, unit):
		return ReachTooSmall, fmt.Sprintf("%s from %s does not reach %s, which lies below it", reach, unit, r.Record.BusinessUnit)
	default:
		return OtherBusinessUnit, fmt.Sprintf("%s reaches from the business unit %s, and the record belongs to %s", reach, unit, r.Record.BusinessUnit)
	}
}

// below tells whether a business unit lies below another.
func (w *writer) below(unit, above string) bool {
	t := w.q.trace
	chain, err := w.f.tree.Chain(unitScope(w.f.tenant, t.Environment, unit), w.x.Catalogues.FoldCase())
	return err == nil && slices.Contains(chain[1:], unitScope(w.f.tenant, t.Environment, above))
}

func unitScope(tenant, environment, unit string) authz.Scope {
	return authz.NamedScope{Kind: authz.BusinessUnitScope, Environment: environment, ID: unit}.In(tenant)
}
