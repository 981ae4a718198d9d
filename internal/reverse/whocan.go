package reverse

import (
	"iter"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// WhoCan asks who is allowed a permission at a scope.
type WhoCan struct {
	Tenant string
	// Permission is one that the catalogue knows, or of a database's table, such as
	// Dataverse.Account.Read; then Scope is that of an environment.
	Permission string
	// Scope is empty for the tenant.
	Scope string
	// May tells whether assignments at a scope may be shown; nil: all may.
	May  func(authz.Scope) bool
	Page Page
}

// Membership says what the snapshot knows of who is meant by a principal.
type Membership uint8

// The memberships.
const (
	// Known: the principal is somebody.
	Known Membership = iota
	// Partial: a group that the snapshot lists, of a directory that it need not hold all of.
	// Those members that it lists are decided about one by one.
	Partial
	// Unknown: a directory role, or a group that the snapshot does not list. Only tokens say
	// who is meant.
	Unknown
)

var membershipNames = [...]string{"", "PARTIAL", "UNKNOWN"}

// String returns PARTIAL, UNKNOWN or the empty text.
func (m Membership) String() string {
	if int(m) < len(membershipNames) {
		return membershipNames[m]
	}
	return "UNKNOWN"
}

// A Holder is somebody who is allowed what was asked for; or, where Membership says so, a
// group or a directory role such that somebody of whom nothing else is known is allowed it.
type Holder struct {
	Principal  authz.Principal
	Membership Membership
	// Reach is how far a privilege of a table reaches, which is the whole table for
	// Organization; none where no table was asked about, and for ActOnBehalf, which has none.
	Reach authz.Reach
	// Assignment is the one that decided; nil where the asker may not see it.
	Assignment *Assignment
	// Via are the groups and teams, from the one that holds the assignment, through which it
	// comes to the principal; none where the principal itself holds it.
	Via []authz.Principal
}

// WhoCan answers who is allowed a permission at a scope: everybody whom the snapshot knows,
// from any of its assignments, groups and teams. The order is that of the assignments by
// which they are: the scope's own first, then those of each scope that it inherits from.
// Errors to tell apart: [Error].
func (x *Questions) WhoCan(r *snapshot.Reader, ask WhoCan) (List[Holder], error) {
	q, err := x.question(r, ask.Tenant, ask.May, ask.Page, "who", ask.Permission, ask.Scope)
	if err != nil {
		return List[Holder]{}, err
	}
	chain, named, err := q.chain(ask.Scope)
	if err != nil {
		return List[Holder]{}, err
	}
	w := &whoCan{question: q, chain: chain, list: list[Holder](q)}
	if isDataverse(ask.Permission) {
		w.judge, err = q.tableJudge(ask.Permission, named)
		w.chain = chain[:1] // what is above an environment gives nothing in its database
	} else {
		w.judge, err = q.platformJudge(ask.Permission, chain)
	}
	if err != nil {
		return List[Holder]{}, err
	}
	if t, _ := r.Tenant(q.tenant); t.DirectoryComplete {
		w.complete = true
	}
	if err := w.all(); err != nil {
		return List[Holder]{}, err
	}
	return w.list, nil
}

// A judge decides who is allowed what was asked for.
type judge interface {
	// covers tells whether an assignment that allows, come upon at a stage, could be the one
	// that decides.
	covers(a *snapshot.RoleAssignment, stage int) (bool, error)
	// types are those of the resources whose assignments count at their environment.
	types() []string
	// somebody decides about a User or an ApplicationUser.
	somebody(p authz.Principal) (verdict, error)
	// anybody decides about somebody of whom nothing is known but that principal.
	anybody(p authz.Principal) (verdict, error)
}

// The stages of a scope in the chain: its own assignments, and of an environment, those of
// its business units and of its resources that count there.
const (
	ofScope = iota
	ofUnits
	ofResources
)

// A verdict is what was decided about somebody. Each has one assignment that decided, so
// whoever is come upon by several is listed by that one alone.
type verdict struct {
	listed     bool
	assignment string
	reach      authz.Reach
}

type whoCan struct {
	*question
	judge    judge
	chain    []authz.Scope
	complete bool // the directory is
	list     List[Holder]
	at       place // behind what was gone through
}

// full tells whether the page ends here.
func (w *whoCan) full() bool { return len(w.list.Items) == w.page.size || w.spent() }

// end ends the page, behind what was gone through.
func (w *whoCan) end() (err error) {
	w.list.Next, err = w.at.token()
	return err
}

// all goes through the scopes of the chain, nearest first.
func (w *whoCan) all() error {
	w.at = w.page.at
	first := 0
	if w.page.begun {
		if first = slices.Index(w.chain, w.at.Scope); first < 0 {
			return bad("Page.Token", "the scope it stands at is no longer one that is asked about: begin anew")
		}
	}
	for i := first; i < len(w.chain); i++ {
		if !w.page.begun || i > first {
			w.begin(w.chain[i], ofScope, "")
		}
		if done, err := w.scope(w.chain[i]); done || err != nil {
			return err
		}
	}
	return nil
}

// begin goes to the place before all that is at a stage of a scope in the chain.
func (w *whoCan) begin(scope authz.Scope, stage int, part string) {
	at := w.page.at
	w.at = place{Question: at.Question, Epoch: at.Epoch, Number: at.Number, Sum: at.Sum, Time: at.Time, Scope: scope, Stage: stage, Part: bytes(part)}
}

// scope goes through the stages of a scope in the chain, from the one that the place is at.
func (w *whoCan) scope(scope authz.Scope) (done bool, err error) {
	if w.at.Stage == ofScope {
		if done, err := w.assignments(w.allowedAt(scope)); done || err != nil {
			return done, err
		}
	}
	_, named, err := authz.ParseScope(string(scope), w.o.FoldCase)
	if err != nil || named.Kind != authz.EnvironmentScope {
		return false, err
	}
	if w.at.Stage <= ofUnits {
		if done, err := w.units(scope, named.Environment); done || err != nil {
			return done, err
		}
	}
	return w.resources(scope)
}

// allowedAt yields the assignments at exactly a scope that allow, behind the place.
func (w *whoCan) allowedAt(scope authz.Scope) iter.Seq2[snapshot.RoleAssignment, error] {
	return w.r.AllowedAtAfter(w.tenant, scope, string(w.at.Key))
}

// units goes through the assignments in the business units of an environment.
func (w *whoCan) units(scope authz.Scope, environment string) (done bool, err error) {
	unit := func(id string) authz.Scope {
		return authz.NamedScope{Kind: authz.BusinessUnitScope, Environment: environment, ID: id}.In(w.tenant)
	}
	after := ""
	if w.at.Stage == ofUnits {
		after = string(w.at.Part)
		if done, err := w.assignments(w.allowedAt(unit(after))); done || err != nil {
			return done, err
		}
	}
	for u, err := range w.r.BusinessUnitsOf(w.tenant, environment, after) {
		if err != nil {
			return false, err
		}
		w.begin(scope, ofUnits, u.ID)
		w.work(readWork)
		if done, err := w.assignments(w.allowedAt(unit(u.ID))); done || err != nil {
			return done, err
		}
		if w.full() {
			return true, w.end()
		}
	}
	return false, nil
}

// resources goes through the assignments at those resources of an environment that count
// there.
func (w *whoCan) resources(scope authz.Scope) (done bool, err error) {
	first := ""
	if w.at.Stage == ofResources {
		first = string(w.at.Part)
	}
	for _, word := range w.judge.types() {
		switch {
		case word < first:
			continue
		case word > first:
			w.begin(scope, ofResources, word)
		}
		if done, err := w.assignments(w.under(scope + authz.Scope("/"+word))); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// under yields the assignments below a scope that allow, behind the place.
func (w *whoCan) under(scope authz.Scope) iter.Seq2[snapshot.RoleAssignment, error] {
	var after *snapshot.RoleAssignment
	if len(w.at.Key) > 0 {
		after = &snapshot.RoleAssignment{ID: string(w.at.Key), Scope: w.at.Resource, Effect: authz.AssignAllow}
	}
	return func(yield func(snapshot.RoleAssignment, error) bool) {
		for a, err := range w.r.RoleAssignmentsUnderAfter(w.tenant, scope, after) {
			if err == nil && a.Effect != authz.AssignAllow {
				w.work(assignmentWork)
				continue
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// assignments goes through some.
func (w *whoCan) assignments(behind iter.Seq2[snapshot.RoleAssignment, error]) (done bool, err error) {
	if w.at.Inside {
		a, there, err := w.r.RoleAssignment(w.tenant, string(w.at.Key))
		if err != nil {
			return false, err
		}
		if there { // else it is gone, and so is what it gave
			if done, err := w.assignment(&a); done || err != nil {
				return done, err
			}
		}
		w.at.Inside = false
	}
	for a, err := range behind {
		if err != nil {
			return false, err
		}
		w.work(assignmentWork)
		w.at.Key, w.at.Inside = bytes(a.ID), false
		if w.at.Stage == ofResources {
			w.at.Resource = a.Scope
		}
		if done, err := w.assignment(&a); done || err != nil {
			return done, err
		}
		if w.full() {
			return true, w.end()
		}
	}
	return false, nil
}

// assignment goes through whom one assignment stands for.
func (w *whoCan) assignment(a *snapshot.RoleAssignment) (done bool, err error) {
	if !w.live(a.Expires) {
		return false, nil
	}
	covers, err := w.judge.covers(a, w.at.Stage)
	if err != nil || !covers {
		return false, err
	}
	if a.Principal.Key().Type == authz.User {
		return false, w.somebody(a, a.Principal, nil)
	}
	t := &tree{whoCan: w, holder: a}
	return t.all()
}

// isUnit tells whether a scope is a business unit's.
func isUnit(scope authz.Scope) bool { return strings.Contains(string(scope), "/"+unitsWord+"/") }

// somebody lists a User or an ApplicationUser, if it is allowed, and by this assignment.
func (w *whoCan) somebody(a *snapshot.RoleAssignment, p authz.Principal, via []authz.Principal) error {
	v, err := w.judge.somebody(p)
	if err == nil && v.listed && v.assignment == a.ID {
		w.list.Items = append(w.list.Items, Holder{Principal: p, Reach: v.reach, Assignment: w.shown(a), Via: via})
	}
	return err
}

// anybody is somebody for a principal of which only tokens say who is meant.
func (w *whoCan) anybody(a *snapshot.RoleAssignment, p authz.Principal, m Membership, via []authz.Principal) error {
	v, err := w.judge.anybody(p)
	if err == nil && v.listed && v.assignment == a.ID {
		w.list.Items = append(w.list.Items, Holder{Principal: p, Membership: m, Reach: v.reach, Assignment: w.shown(a), Via: via})
	}
	return err
}
