package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A need is one thing that a refused question lacks.
type need struct {
	text string // what is lacking, for people
	// holders are who can be given something that helps.
	holders []*holder
	// scopes are where giving it could help.
	scopes []authz.Scope
	// useful tells whether the candidate could have a part in meeting it. What is not useful
	// alone or beside another is left out.
	useful func(c *candidate) bool
	// met tells whether the need is met once the candidates are assigned.
	met func(with ...*candidate) bool
	// additive says that two candidates meet it only where one of them does.
	additive bool
	// granted tells whether any role that is known could give what is lacking.
	granted bool
}

// mostNeeds bounds how many things a mend can be looked for at once.
const mostNeeds = 64

// mendable tells whether an assignment can turn a refusal with this reason into an allow.
func mendable(reason authz.Reason) bool {
	switch reason {
	case authz.NoAssignment, authz.Expired, authz.Overridden:
		return true
	default:
		return false
	}
}

// A refused question with what it was decided on.
type refused struct {
	request *ask.Request
	answer  *ask.Answer
	trace   *ask.Trace
}

// needs are what the refused question lacks. ok is false where no assignment could help.
func (f *finder) needs(q *refused) (all []need, ok bool, err error) {
	if !mendable(q.answer.Reason) || q.answer.Subject == nil {
		return nil, false, nil
	}
	if len(q.trace.GrantedTo) > 0 && !grantedTo(q.answer.Subject, q.trace.GrantedTo) {
		return nil, false, nil
	}
	who, err := f.holder(q.answer.Subject.Principal())
	if err != nil {
		return nil, false, err
	}
	platform := q.trace.Platform
	for _, permission := range platform.Permissions {
		for _, chain := range platform.Chains {
			pair := platform
			pair.Permissions, pair.Chains = []authz.PermissionID{permission}, [][]authz.Scope{chain}
			if authz.Decide(q.trace.Grants, pair, q.trace.Now).Allowed() {
				continue
			}
			n, err := f.platformNeed(who, q.trace.Grants, pair)
			if err != nil {
				return nil, false, err
			}
			all = append(all, n)
		}
	}
	for i := range q.trace.Records {
		r := &q.trace.Records[i]
		d := authz.DecideRecord(q.trace.Database, *r, q.trace.Now)
		if d.Allowed() {
			continue
		}
		n, ok, err := f.recordNeed(who, q, r, d)
		if err != nil || !ok {
			return nil, false, err
		}
		all = append(all, n)
	}
	return all, len(all) > 0 && len(all) <= mostNeeds, nil
}

// platformNeed is a permission at a scope. At which scopes of the chain an assignment would
// give it, the decision itself says.
func (f *finder) platformNeed(who *holder, grants *authz.Grants, pair authz.Request) (need, error) {
	permission, chain := pair.Permissions[0], pair.Chains[0]
	n := need{
		text:    fmt.Sprintf("%s at %s", f.x.Catalogues.Vocabulary().Name(permission), chain[0]),
		holders: []*holder{who}, additive: true,
	}
	var probe *authz.Role
	for i := range f.defs {
		if role, ok := f.reader.Role(f.tenant, f.defs[i].ID); ok && role.Grants(permission) {
			probe = role
			break
		}
	}
	helps := map[authz.Scope]bool{}
	if n.granted = probe != nil; n.granted {
		var near []authz.Grant // what else there is has no say
		for _, g := range grants.All() {
			if slices.Contains(chain, g.Scope) {
				near = append(near, g)
			}
		}
		for _, scope := range chain {
			given := authz.Grant{AssignmentID: "mend", Principal: who.Principal, Role: probe, Scope: scope, Effect: authz.AssignAllow}
			if authz.Decide(authz.NewGrants(append(slices.Clone(near), given)), pair, f.now).Allowed() {
				helps[scope] = true
				n.scopes = append(n.scopes, scope)
			}
		}
	}
	n.useful = func(c *candidate) bool {
		return c.holder == who && helps[c.grantScope(f.tenant)] && c.role.Grants(permission)
	}
	n.met = func(with ...*candidate) bool { return slices.ContainsFunc(with, n.useful) }
	return n, nil
}

// grantScope is where the role's platform permissions count: for a security role that is held
// in a business unit, at the environment.
func (c *candidate) grantScope(tenant string) authz.Scope {
	if c.environment != "" && c.role.IsSecurityRole() {
		return authz.NamedScope{Kind: authz.EnvironmentScope, Environment: c.environment}.In(tenant)
	}
	return c.scope
}

// recordNeed is a privilege for a record or a table.
func (f *finder) recordNeed(who *holder, q *refused, r *authz.RecordRequest, d authz.RecordDecision) (n need, ok bool, err error) {
	if !mendable(d.Reason) || d.Denial == authz.LacksColumn {
		return need{}, false, nil // a column profile opens columns, not a role
	}
	n.holders = []*holder{who}
	var other *holder
	if r.ActingFor != nil && q.request.OnBehalfOf != nil {
		if other, err = f.holder(q.request.OnBehalfOf.Principal()); err != nil {
			return need{}, false, err
		}
		n.holders = append(n.holders, other)
	}
	if n.scopes, err = f.unitScopes(q.trace.Environment, r.Record); err != nil {
		return need{}, false, err
	}
	table, _ := q.trace.Database.Table(r.Table)
	n.text = fmt.Sprintf("Dataverse.%s.%s in %s", table.Name, r.Privilege, n.scopes[len(n.scopes)-1])
	n.granted = true
	environment := q.trace.Environment
	n.useful = func(c *candidate) bool {
		if c.security == nil || c.environment != environment {
			return false
		}
		return c.security.Reach(r.Table, r.Privilege) > authz.NoReach || c.security.ActsOnBehalf() && (r.OnBehalf || r.Privilege == authz.ActOnBehalf)
	}
	n.met = func(with ...*candidate) bool {
		asked := *r
		for _, c := range with {
			if c.security == nil || c.environment != environment {
				continue
			}
			h := authz.RoleHolding{AssignmentID: "mend", Role: c.security, BusinessUnit: c.unit}
			var err error
			if c.holder == who {
				if asked.Caller, err = asked.Caller.With(h); err != nil {
					return false
				}
			}
			if c.holder == other { // who may be the same
				if asked.ActingFor, err = asked.ActingFor.With(h); err != nil {
					return false
				}
			}
		}
		return authz.DecideRecord(q.trace.Database, asked, f.now).Allowed()
	}
	return n, true, nil
}

// unitScopes are the scopes in an environment at which a security role can be given: the
// business unit of the record, those above it, and the environment, which is the last.
func (f *finder) unitScopes(environment string, record *authz.Record) ([]authz.Scope, error) {
	var scopes []authz.Scope
	if record != nil && record.BusinessUnit != "" {
		if chain, err := f.tree.Chain(unitScope(f.tenant, environment, record.BusinessUnit), f.x.Catalogues.FoldCase()); err == nil {
			for _, scope := range chain {
				if _, named, err := authz.ParseScope(string(scope), f.x.Catalogues.FoldCase()); err == nil && named.Kind == authz.BusinessUnitScope {
					scopes = append(scopes, scope)
				}
			}
		}
	}
	return append(scopes, authz.NamedScope{Kind: authz.EnvironmentScope, Environment: environment}.In(f.tenant)), nil
}

// smallest finds the smallest choice that meets all needs; nil where there is none.
func (f *finder) smallest(needs []need) (*choice, error) {
	all, err := f.candidatesFor(needs)
	if err != nil {
		return nil, err
	}
	full := uint64(1)<<len(needs) - 1
	additive := uint64(0)
	for i := range needs {
		if needs[i].additive {
			additive |= 1 << i
		}
	}
	if len(needs) == mostNeeds {
		full = ^uint64(0)
	}
	var best *choice
	joint := 0
	consider := func(c *choice) {
		if best == nil || c.compare(best) < 0 {
			best = c
		}
	}
	for _, c := range all {
		if c.covers == full {
			consider(&choice{of: []*candidate{c}, size: c.weight.size})
		}
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			if best != nil && max(a.weight.size, b.weight.size) > best.size {
				break // so are all that follow
			}
			if (a.covers|b.covers)&additive != additive {
				continue
			}
			both := &choice{of: []*candidate{a, b}, size: together(a.weight, b.weight)}
			if best != nil && both.compare(best) >= 0 {
				continue
			}
			if (a.covers | b.covers) == full {
				consider(both)
				continue
			}
			if additive == full {
				continue
			}
			if joint++; joint > mostJoint {
				return best, nil
			}
			if metBy(needs, a, b) {
				consider(both)
			}
		}
	}
	return best, nil
}

// mostJoint bounds how many pairs of assignments are tried that meet nothing alone: it is
// reached where thousands of custom roles give the same privilege and none of them enough.
const mostJoint = 200_000

func metBy(needs []need, with ...*candidate) bool {
	for i := range needs {
		if !needs[i].met(with...) {
			return false
		}
	}
	return true
}

// candidatesFor are all candidates that could have a part in meeting one of the needs, the
// smallest first, with what each meets alone. Of those that differ in their scope alone and
// meet the same, the narrowest is enough.
func (f *finder) candidatesFor(needs []need) ([]*candidate, error) {
	var holders []*holder
	var scopes []authz.Scope
	for i := range needs {
		for _, h := range needs[i].holders {
			if !slices.Contains(holders, h) {
				holders = append(holders, h)
			}
		}
		for _, scope := range needs[i].scopes {
			if !slices.Contains(scopes, scope) {
				scopes = append(scopes, scope)
			}
		}
	}
	scopes = slices.DeleteFunc(scopes, func(scope authz.Scope) bool { return outdone(needs, scope) })
	var all []*candidate
	for _, h := range holders {
		found, err := f.candidates(h, scopes, func(c *candidate) bool {
			return slices.ContainsFunc(needs, func(n need) bool { return n.useful(c) })
		})
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	for _, c := range all {
		for i := range needs {
			if needs[i].met(c) {
				c.covers |= 1 << i
			}
		}
	}
	slices.SortFunc(all, func(a, b *candidate) int {
		one, other := &choice{of: []*candidate{a}, size: a.weight.size}, &choice{of: []*candidate{b}, size: b.weight.size}
		return one.compare(other)
	})
	type same struct {
		holder *holder
		role   string
		covers uint64
	}
	narrowest := map[same]bool{}
	return slices.DeleteFunc(all, func(c *candidate) bool {
		if c.security != nil { // of two that meet nothing alone, either may beside another
			return false
		}
		key := same{c.holder, c.def.ID, c.covers}
		known := narrowest[key]
		narrowest[key] = true
		return known
	}), nil
}

// outdone tells whether a scope need not be looked at: a business unit above that of one
// record alone. What reaches the record from there reaches it from its own, which is narrower.
func outdone(needs []need, scope authz.Scope) bool {
	var below authz.Scope
	for i := range needs {
		n := &needs[i]
		at := slices.Index(n.scopes, scope)
		switch {
		case at < 0:
			continue
		case n.additive || at == 0 || at == len(n.scopes)-1:
			return false
		case below != "" && below != n.scopes[0]:
			return false // it lies above two
		}
		below = n.scopes[0]
	}
	return true
}

// mend looks for what would turn the refused questions into allows, all of them.
//
// Choices of one or two assignments are compared by how much they give: the number of
// distinct permissions that their roles grant and, of security roles, the sum of how far each
// privilege reaches on each table (1 for User to 4 for Organization; what two give in one
// environment counts once, at the farther reach), and one for acting on behalf of others.
// Then the narrower scopes win, the widest of each choice being compared first, then the
// fewer assignments, then the roles' identifiers.
func (x *Explainer) mend(ctx context.Context, f *finder, questions []*refused, w *writer) (*Mend, error) {
	m := &Mend{}
	best, err := f.best(questions)
	if err != nil {
		return nil, err
	}
	if best != nil && !x.holds(f, questions, best) {
		x.Log.ErrorContext(ctx, "a mend was found that would not mend", "roles", best.names())
		best = nil
	}
	if best != nil {
		m.Assignments = best.proposals()
		if err := f.adviseProfile(m, questions, best); err != nil {
			return nil, err
		}
	}
	for _, q := range questions {
		if err := w.advise(m, q); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// best finds the smallest choice that mends all questions; nil where there is none.
func (f *finder) best(questions []*refused) (*choice, error) {
	var needs []need
	for _, q := range questions {
		lacks, ok, err := f.needs(q)
		if err != nil || !ok {
			return nil, err
		}
		needs = append(needs, lacks...)
	}
	if len(needs) > mostNeeds {
		return nil, nil
	}
	return f.smallest(needs)
}

// adviseProfile says what there is besides a role that opens every secured column there is,
// where such a role was found for the sake of some.
func (f *finder) adviseProfile(m *Mend, questions []*refused, best *choice) error {
	if !slices.ContainsFunc(best.of, func(c *candidate) bool { return c.security.EverySecuredColumn() }) {
		return nil
	}
	bare := make([]*refused, 0, len(questions))
	for _, q := range questions {
		trace := *q.trace
		trace.Records = slices.Clone(trace.Records)
		for i := range trace.Records {
			trace.Records[i].Columns = nil
		}
		bare = append(bare, &refused{q.request, q.answer, &trace})
	}
	other, err := f.best(bare)
	if err != nil || other == nil || other.compare(best) >= 0 {
		return err
	}
	roles := make([]string, 0, len(other.of))
	for _, p := range other.proposals() {
		roles = append(roles, fmt.Sprintf("%q at %s", p.RoleName, p.Scope))
	}
	m.Advice = append(m.Advice, fmt.Sprintf("this opens every secured column: %s and a column profile for those that are asked for would be less", strings.Join(roles, " and ")))
	return nil
}

// holds decides all questions again with the choice, as if it were assigned.
func (x *Explainer) holds(f *finder, questions []*refused, best *choice) bool {
	for _, q := range questions {
		if len(q.trace.Platform.Permissions) > 0 {
			grants := slices.Clone(q.trace.Grants.All())
			for _, c := range best.of {
				if c.holder.Key() == q.answer.Subject.Principal().Key() {
					grants = append(grants, authz.Grant{
						AssignmentID: "mend", Principal: c.holder.Principal, Role: c.role, Scope: c.grantScope(f.tenant), Effect: authz.AssignAllow,
					})
				}
			}
			if !authz.Decide(authz.NewGrants(grants), q.trace.Platform, f.now).Allowed() {
				return false
			}
		}
	}
	return true // records are decided as a whole in the first place
}

func (a *choice) proposals() []Proposal {
	all := make([]Proposal, 0, len(a.of))
	for _, c := range a.of {
		all = append(all, Proposal{
			Principal: c.holder.Principal, RoleID: c.def.ID, RoleName: c.def.Name, Scope: c.scope, Size: c.weight.size,
		})
	}
	slices.SortFunc(all, func(a, b Proposal) int {
		return cmp.Or(cmp.Compare(a.RoleID, b.RoleID), cmp.Compare(a.Scope, b.Scope))
	})
	return all
}

// grantedTo tells whether the token itself names one of the directory roles.
func grantedTo(subject *authz.Subject, roles []authz.Principal) bool {
	return slices.ContainsFunc(roles, func(p authz.Principal) bool {
		return p.Type == authz.DirectoryRole && slices.Contains(subject.DirectoryRoles(), p.ID)
	})
}
