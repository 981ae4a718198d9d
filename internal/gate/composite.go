package gate

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// CheckComposite answers r in a, which it resets first: whether somebody may do what takes
// several things at once. Every layer is looked at, all of them at one revision, and the
// answer allows only where every one of them passed. What was decided is recorded as one
// decision.
func (g *Gate) CheckComposite(ctx context.Context, r *ask.CompositeRequest, a *ask.CompositeAnswer) {
	start := g.Now()
	g.compositeContained(ctx, r, a, nil, start)
	a.DecisionID = ask.DecisionID{Process: g.process, Number: g.decisions.Add(1)}
	if g.Recorder != nil {
		asked, answer := recordOf(r, a)
		g.Recorder.Record(asked, answer, time.Since(start))
	}
}

// TraceComposite answers r as [Gate.CheckComposite] does, from what the Reader reads, and
// records nothing.
func (g *Gate) TraceComposite(ctx context.Context, held *snapshot.Reader, r *ask.CompositeRequest, a *ask.CompositeAnswer) {
	g.compositeContained(ctx, r, a, held, g.Now())
}

// recordOf is a composite question as the decision log knows questions.
func recordOf(r *ask.CompositeRequest, a *ask.CompositeAnswer) (*ask.Request, *ask.Answer) {
	answer := &ask.Answer{
		Reason: a.Reason, DecidedBy: "composite", Rule: a.Composite, Detail: a.Detail,
		Subject: a.Subject, Revision: a.Revision, DecisionID: a.DecisionID, Time: a.Time,
	}
	if a.Scope != "" {
		answer.Scopes = []authz.Scope{a.Scope}
	}
	for _, layer := range a.Layers {
		for _, q := range layer.Requirements {
			if q.Permission == "" || slices.Contains(answer.Permissions, q.Permission) {
				continue
			}
			answer.Permissions = append(answer.Permissions, q.Permission)
		}
	}
	return &ask.Request{Adapter: r.Adapter, Scope: r.Scope}, answer
}

// compositeContained turns a panic into an answer, as [Gate.decideContained] does.
func (g *Gate) compositeContained(ctx context.Context, r *ask.CompositeRequest, a *ask.CompositeAnswer, held *snapshot.Reader, now time.Time) {
	s := g.borrow()
	s.quick, s.held, s.now = false, held, now
	*a = ask.CompositeAnswer{Composite: r.Composite, Object: r.Object, Subject: r.Subject}
	defer func() {
		if fault := recover(); fault != nil {
			*a = ask.CompositeAnswer{
				Composite: r.Composite, Object: r.Object, Subject: r.Subject,
				Reason: authz.Internal, Detail: "the decision failed; the log says why",
			}
			g.Log.ErrorContext(ctx, "panic while deciding", "panic", fault, "stack", string(debug.Stack()))
		}
		a.Time = s.now
		g.release(s)
	}()
	g.decideComposite(ctx, r, a, s)
}

// decideComposite goes through the reasons in their order, and then through the layers.
func (g *Gate) decideComposite(ctx context.Context, r *ask.CompositeRequest, a *ask.CompositeAnswer, s *scratch) {
	if r.Unreadable != "" {
		a.Reason, a.Detail = authz.BadRequest, r.Unreadable
		return
	}
	tenant, named, err := authz.ParseScope(r.Scope, g.Catalogues.FoldCase())
	switch {
	case err != nil:
		a.Reason, a.Detail = authz.BadRequest, err.Error()
		return
	case named.Kind != authz.EnvironmentScope:
		a.Reason, a.Detail = authz.BadRequest, "scope: a composite is asked for at an environment, /tenants/{tenant}/environments/{environment}"
		return
	case r.Object == "":
		a.Reason, a.Detail = authz.BadRequest, "object: missing: the identifier of the flow or the app"
		return
	}
	object, err := authz.CanonicalPathID(r.Object, g.Catalogues.FoldCase())
	if err != nil {
		a.Reason, a.Detail = authz.BadRequest, "object: "+err.Error()
		return
	}
	if r.Subject == nil {
		a.Reason, a.Detail = authz.Unauthenticated, "the question names no subject"
		return
	}
	composite, ok := g.Catalogues.Composite(r.Composite)
	if !ok {
		a.Reason, a.Detail = authz.Unmapped, "the catalogue has no composite of this name"
		return
	}
	a.Scope = named.In(tenant)
	if tenant != r.Subject.Tenant() {
		a.Reason, a.Detail = authz.CrossTenant, "the question names a tenant that is not the caller's"
		return
	}
	a.Object = object
	reason, detail := g.readOnce(ctx, r.AtLeast, s, func() error {
		c := compositeQuestion{ctx: ctx, gate: g, s: s, r: r, a: a, composite: composite, tenant: tenant, environment: named.Environment}
		if err := c.decide(); err != nil && !errors.Is(err, errRefused) {
			return err
		}
		return nil
	})
	if reason != authz.ReasonUnspecified {
		a.Reason, a.Detail, a.Layers = reason, detail, nil
	}
}

// A compositeQuestion is a composite question while it is decided.
type compositeQuestion struct {
	ctx         context.Context
	gate        *Gate
	s           *scratch
	r           *ask.CompositeRequest
	a           *ask.CompositeAnswer
	composite   *naming.Composite
	tenant      string
	environment string
	complete    bool // the tenant's directory is

	flow  snapshot.Flow
	app   snapshot.App
	maker *authz.Subject // of the flow; nil: nobody is listed
	db    *authz.Database
}

func (c *compositeQuestion) refuse(reason authz.Reason, detail string) error {
	c.a.Reason, c.a.Detail = reason, detail
	return errRefused
}

func (c *compositeQuestion) decide() error {
	held := c.s.held
	c.a.Revision = held.Revision()
	state, err := c.gate.tenantOf(held, c.tenant)
	if err != nil {
		return err
	}
	c.complete = state.DirectoryComplete()
	var buf []byte
	if _, known := state.Hierarchy().AppendChain(nil, authz.NamedScope{Kind: authz.EnvironmentScope, Environment: c.environment}, &buf); !known {
		return c.refuse(authz.UnknownScope, "the tenant lists no such environment")
	}
	if err := c.find(); err != nil {
		return err
	}
	if !c.gate.fresh(c.tenant, false, c.s.now) {
		return c.refuse(authz.Stale, tooOld)
	}
	disabled, err := c.disabled()
	if err != nil {
		return err
	}
	if disabled {
		return c.refuse(authz.PrincipalDisabled, "")
	}
	if c.db, err = held.Database(c.tenant, c.environment); err != nil {
		return err
	}
	for i := range c.composite.Layers {
		layer, err := c.layer(&c.composite.Layers[i])
		if err != nil {
			return err
		}
		c.a.Layers = append(c.a.Layers, layer)
	}
	c.conclude()
	return nil
}

// conclude takes the answer from the layers. Allow is written here and nowhere else.
func (c *compositeQuestion) conclude() {
	states := map[ask.LayerState][]string{}
	for i := range c.a.Layers {
		layer := &c.a.Layers[i]
		states[layer.State] = append(states[layer.State], layer.Name)
		if layer.State != ask.LayerPassed && c.a.Reason == authz.ReasonUnspecified {
			c.a.Reason = layer.Reason
		}
	}
	var detail []string
	if names := states[ask.LayerFailed]; len(names) > 0 {
		detail = append(detail, "failed: "+strings.Join(names, ", "))
	}
	if names := states[ask.LayerUnknown]; len(names) > 0 {
		detail = append(detail, "unknown: "+strings.Join(names, ", "))
	}
	c.a.Detail = strings.Join(detail, "; ")
	if len(c.a.Layers) > 0 && len(states[ask.LayerPassed]) == len(c.a.Layers) {
		c.a.Reason = authz.Granted
	}
}

// find finds what the question names.
func (c *compositeQuestion) find() error {
	var (
		ok  bool
		err error
	)
	switch c.composite.Target {
	case naming.FlowTarget:
		c.flow, ok, err = c.s.held.Flow(c.tenant, c.environment, c.a.Object)
	case naming.AppTarget:
		c.app, ok, err = c.s.held.App(c.tenant, c.environment, c.a.Object)
	default:
		return c.refuse(authz.Internal, "the composite names neither a flow nor an app")
	}
	switch {
	case err != nil:
		return err
	case !ok:
		return c.refuse(authz.BadRequest, fmt.Sprintf("object: the environment lists no such %v", c.composite.Target))
	case c.flow.Maker.ID == "":
		return nil
	}
	// Nobody showed the maker's token: its groups are those that the directory knows.
	c.maker, err = authz.NewSubject(authz.SubjectSpec{
		Tenant: c.tenant, Principal: c.flow.Maker, GroupsUnknown: !c.complete, FoldCase: c.gate.Catalogues.FoldCase(),
	})
	return err
}

// disabled tells whether the caller is, in the tenant or in the environment.
func (c *compositeQuestion) disabled() (bool, error) {
	view, err := c.s.held.View(c.tenant, c.r.Subject)
	if err != nil || view.Disabled {
		return err == nil, err
	}
	user, ok, err := c.s.held.EnvironmentUser(c.tenant, c.environment, c.r.Subject.Principal())
	return ok && user.Disabled, err
}

// layer looks at everything that a layer takes.
func (c *compositeQuestion) layer(l *naming.CompositeLayer) (ask.Layer, error) {
	layer := ask.Layer{Name: l.Name}
	add := func(q ask.Requirement) {
		if q.State == ask.LayerPassed {
			q.Mend = ""
		}
		layer.Requirements = append(layer.Requirements, q)
	}
	var err error
	switch l.Kind {
	case naming.PermissionsLayer:
		for _, id := range l.Permissions {
			add(c.platform(c.gate.Catalogues.Vocabulary().Name(id)))
		}
	case naming.PrivilegesLayer:
		err = c.privileges(l, add)
	case naming.SharedLayer:
		err = c.shared(add)
	case naming.ConnectionsLayer:
		c.connections(add)
	case naming.DataLayer:
		err = c.data(l, add)
	case naming.FactLayer:
		add(c.fact(l.Fact, "facts."+l.Fact, c.r.Facts))
	default:
		add(ask.Requirement{State: ask.LayerFailed, Reason: authz.Internal, Text: "a layer of a kind that is known"})
	}
	if err != nil {
		return ask.Layer{}, err
	}
	if conclude(&layer); layer.State != ask.LayerPassed {
		layer.Mend = l.Mend
	}
	return layer, nil
}

// conclude takes a layer's state from its requirements: one that failed outweighs one that
// is not known. A layer that takes nothing is passed.
func conclude(l *ask.Layer) {
	l.State, l.Reason = ask.LayerPassed, authz.Granted
	for _, q := range l.Requirements {
		if q.State == ask.LayerFailed && l.State != ask.LayerFailed || q.State == ask.LayerUnknown && l.State == ask.LayerPassed {
			l.State, l.Reason = q.State, q.Reason
		}
	}
}

// stateOf is the state that a decision's reason makes.
func stateOf(reason authz.Reason) ask.LayerState {
	switch {
	case reason.Effect() == authz.Allow:
		return ask.LayerPassed
	case reason == authz.GroupsUnknown:
		return ask.LayerUnknown
	default:
		return ask.LayerFailed
	}
}

// put puts a question of the composite's as any other is put, to the same revision.
func (c *compositeQuestion) put(r *ask.Request, a *ask.Answer) {
	r.Adapter = c.r.Adapter
	s := c.gate.borrow()
	s.quick, s.held, s.now = false, c.s.held, c.s.now
	c.gate.decide(c.ctx, r, a, s)
	c.gate.release(s)
}

// platform asks for a platform permission at the environment.
func (c *compositeQuestion) platform(permission authz.Permission) ask.Requirement {
	r := &ask.Request{Permission: string(permission), Scope: string(c.a.Scope), Subject: c.r.Subject}
	var a ask.Answer
	c.put(r, &a)
	return ask.Requirement{
		State: stateOf(a.Reason), Reason: a.Reason, Text: string(permission) + " at the environment",
		Of: ask.CallerParty, Principal: c.r.Subject.Principal(), Permission: permission, Scope: c.a.Scope,
		Detail: a.Detail, Asked: r, Mend: "assign a role with " + string(permission) + " at the environment",
	}
}

// privileges asks for what a layer lists.
func (c *compositeQuestion) privileges(l *naming.CompositeLayer, add func(ask.Requirement)) error {
	for _, p := range l.Privileges {
		tables := []string{p.Table}
		if p.Class != 0 {
			tables = c.tablesOf(p.Class)
		}
		for _, table := range tables {
			for _, privilege := range authz.TablePrivileges() {
				if !p.Privileges.Has(privilege) {
					continue
				}
				q, err := c.table(ask.CallerParty, table, privilege, p.Reach)
				if err != nil {
					return err
				}
				add(q)
			}
		}
	}
	return nil
}

// tablesOf lists the tables of a class in the environment.
func (c *compositeQuestion) tablesOf(class authz.TableClass) (names []string) {
	for id := authz.TableID(1); int(id) <= c.db.Len(); id++ {
		if t, _ := c.db.Table(id); class == authz.AnyTables || class&t.Classes != 0 {
			names = append(names, t.Name)
		}
	}
	return names
}

// table asks for a privilege on a table at a reach: at that of User, which is any reach that
// counts in this table, by asking for a record of one's own.
func (c *compositeQuestion) table(party ask.Party, table string, p authz.Privilege, reach authz.Reach) (ask.Requirement, error) {
	subject := c.r.Subject
	if party == ask.MakerParty {
		subject = c.maker
	}
	permission := tablePermission(table, p)
	id, _ := c.db.TableNamed(table)
	declared, _ := c.db.Table(id)
	r := &ask.Request{Permission: string(permission), Scope: string(c.a.Scope), Subject: subject}
	text := fmt.Sprintf("%v on %s", p, table)
	ownOnly := false // a record of one's own tells all there is to know
	switch {
	case reach > authz.UserReach:
		text += " with a reach of " + reach.String()
	case declared.Ownership != authz.OrganizationOwned:
		r.Record = &ask.Record{Owner: subject.Principal()}
		ownOnly = declared.Ownership == authz.UserOwned
	}
	var a ask.Answer
	c.put(r, &a)
	if d := a.Record; d != nil && d.Denial == authz.LacksReach && d.Reach >= reach && !ownOnly {
		held, err := c.s.held.RecordSubject(c.tenant, c.environment, subject)
		if err != nil {
			return ask.Requirement{}, err
		}
		if holds(held, id, p, reach, c.s.now.Unix()) {
			a.Reason, a.Detail = authz.Granted, ""
		}
	}
	if len(a.Permissions) > 0 {
		permission = a.Permissions[0]
	}
	return ask.Requirement{
		State: stateOf(a.Reason), Reason: a.Reason, Text: text, Of: party, Principal: subject.Principal(),
		Permission: permission, Scope: c.a.Scope, Detail: a.Detail, Asked: r,
		Mend: fmt.Sprintf("assign the %s a security role that gives %s", c.partyName(party), permission),
	}, nil
}

// holds tells whether somebody has a privilege of its own at the reach or farther, whatever
// it reaches from there. The User reach of a role that is its team's alone is not its own.
func holds(s *authz.RecordSubject, table authz.TableID, p authz.Privilege, reach authz.Reach, now int64) bool {
	return slices.ContainsFunc(s.Holdings(), func(h authz.RoleHolding) bool {
		held := h.Role.Reach(table, p)
		ofTheTeam := held == authz.UserReach && h.Team != "" && h.Role.TeamOnly()
		return held >= reach && !ofTheTeam && (h.Expires == 0 || now < h.Expires)
	})
}

// partyName is what people call a party.
func (c *compositeQuestion) partyName(party ask.Party) string {
	switch {
	case party == ask.MakerParty:
		return "maker"
	case c.composite.Target == naming.FlowTarget:
		return "run-only user"
	default:
		return "user"
	}
}

// shared asks whether the flow or the app was shared with the caller.
func (c *compositeQuestion) shared(add func(ask.Requirement)) error {
	with, everyone := c.app.SharedWith, c.app.SharedWithEveryone
	q := ask.Requirement{
		State: ask.LayerFailed, Reason: authz.NoAssignment, Of: ask.CallerParty, Principal: c.r.Subject.Principal(),
		Text: "the app is shared with the user", Mend: "share the app with the user, a group or team it is in, or everyone",
	}
	if c.composite.Target == naming.FlowTarget {
		with, everyone = c.flow.RunOnly, false
		q.Text = "the flow is shared with the user to be run"
		q.Mend = "share the flow with the user as a run-only user, or with a security group or team it is in"
	}
	q.Detail = "it is shared neither with the user nor with anything that the user is known to be in"
	found, groups := everyone, false
	member := map[authz.Principal]bool{c.r.Subject.Principal().Key(): true}
	memberships, err := c.s.held.Memberships(c.tenant, c.r.Subject)
	if err != nil {
		return err
	}
	for _, m := range memberships {
		member[m.Principal.Key()] = true
	}
	for _, p := range with {
		found = found || member[p.Key()]
		groups = groups || p.Key().Type != authz.User
	}
	switch {
	case found:
		q.State, q.Reason, q.Detail = ask.LayerPassed, authz.Granted, ""
	case groups && c.r.Subject.GroupsUnknown() && !c.complete:
		q.State, q.Reason = ask.LayerUnknown, authz.GroupsUnknown
		q.Mend = "state the user's groups, or " + q.Mend
	}
	add(q)
	return nil
}

// connections asks whether somebody provides each connection.
func (c *compositeQuestion) connections(add func(ask.Requirement)) {
	for _, connection := range c.flow.Connections {
		q := ask.Requirement{
			State: ask.LayerPassed, Reason: authz.Granted, Text: fmt.Sprintf("the connection %s is provided by somebody", connection.Name),
			Mend: fmt.Sprintf("say in the flow's run-only settings who provides the connection %s: the run-only user, or the maker", connection.Name),
		}
		if c.providerOf(connection) == ask.NoParty {
			q.State, q.Reason, q.Detail = ask.LayerFailed, authz.NoAssignment, "nobody has said who provides it"
			if connection.Provider == snapshot.MakerProvides {
				q.Detail = "its maker is to provide it, and the flow names none"
			}
		}
		add(q)
	}
}

// providerOf is the party whose access to a connection counts.
func (c *compositeQuestion) providerOf(connection snapshot.Connection) ask.Party {
	switch {
	case connection.Provider == snapshot.RunOnlyUserProvides:
		return ask.CallerParty
	case connection.Provider == snapshot.MakerProvides && c.maker != nil:
		return ask.MakerParty
	default:
		return ask.NoParty
	}
}

// data asks for the data that the flow or the app works with, for those whose access counts.
// Of a connection that nobody provides, the layer of connections has said so.
func (c *compositeQuestion) data(l *naming.CompositeLayer, add func(ask.Requirement)) error {
	if err := c.uses(l, ask.CallerParty, c.app.Tables, add); err != nil {
		return err
	}
	for _, connection := range c.flow.Connections {
		party := c.providerOf(connection)
		switch {
		case party == ask.NoParty:
		case connection.Connector == snapshot.DataverseConnector:
			if err := c.uses(l, party, connection.Tables, add); err != nil {
				return err
			}
		default:
			q := c.fact(connection.Connector, "connectors."+connection.Connector, c.r.Connectors)
			q.Text = fmt.Sprintf("the %s has access to what %s leads to over %s", c.partyName(party), connection.Name, connection.Connector)
			q.Of, q.Principal = party, c.principalOf(party)
			add(q)
		}
	}
	return nil
}

func (c *compositeQuestion) principalOf(party ask.Party) authz.Principal {
	if party == ask.MakerParty {
		return c.maker.Principal()
	}
	return c.r.Subject.Principal()
}

// uses asks for what is done to tables.
func (c *compositeQuestion) uses(l *naming.CompositeLayer, party ask.Party, uses []snapshot.TableUse, add func(ask.Requirement)) error {
	for _, use := range uses {
		privileges := use.Privileges
		if privileges == 0 {
			privileges = l.TablePrivileges
		}
		for _, privilege := range authz.TablePrivileges() {
			if !privileges.Has(privilege) {
				continue
			}
			q, err := c.table(party, use.Table, privilege, authz.UserReach)
			if err != nil {
				return err
			}
			add(q)
		}
	}
	return nil
}

// fact asks for what only the asker knows.
func (c *compositeQuestion) fact(name, field string, facts map[string]bool) ask.Requirement {
	q := ask.Requirement{
		Reason: authz.NoAssignment, Text: name, Of: ask.CallerParty, Principal: c.r.Subject.Principal(),
		Detail: "nobody has stated it", Mend: fmt.Sprintf("state %s: true where it is so", field),
	}
	switch has, stated := facts[name]; {
	case has:
		q.State, q.Reason, q.Detail = ask.LayerPassed, authz.Granted, ""
	case stated:
		q.State, q.Detail, q.Mend = ask.LayerFailed, "it was stated that it is not so", fmt.Sprintf("give the user %s", name)
	}
	return q
}
