package reverse

import (
	"iter"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// WhereCan asks at which scopes a caller is allowed a permission.
type WhereCan struct {
	Tenant  string
	Subject *authz.Subject
	// Permission is one that the catalogue knows, or of a database's table.
	Permission string
	// May tells whether assignments at a scope may be shown; nil: all may.
	May  func(authz.Scope) bool
	Page Page
}

// A Place is a scope at which a permission is allowed.
type Place struct {
	Scope authz.Scope
	// Reach is how far a privilege of a table reaches there, which is the whole table for
	// Organization; none for all else.
	Reach authz.Reach
	// Assignment is the one that decided; nil where the asker may not see it.
	Assignment *Assignment
}

// WhereCan answers at which scopes a caller is allowed a permission: the tenant, its
// environment groups, its environments, and of business units, resources and what nobody
// lists, those at which the caller has an assignment of its own or of a group; all others are
// as their environment is. Of a table's privilege, it is the environments alone. Errors to
// tell apart: [Error].
func (x *Questions) WhereCan(r *snapshot.Reader, ask WhereCan) (List[Place], error) {
	if err := checkSubject(ask.Tenant, ask.Subject); err != nil {
		return List[Place]{}, err
	}
	q, err := x.question(r, ask.Tenant, ask.May, ask.Page, "where", ask.Subject.Key(), ask.Permission)
	if err != nil {
		return List[Place]{}, err
	}
	w := &whereCan{question: q, subject: ask.Subject, list: list[Place](q), at: q.page.at}
	if w.tree, err = r.Hierarchy(q.tenant); err != nil {
		return List[Place]{}, err
	}
	if w.asked, w.view, err = q.request(ask.Subject, nil); err != nil {
		return List[Place]{}, err
	}
	w.grants = w.view.Grants.All()
	q.ready()
	if isDataverse(ask.Permission) {
		err = w.inDatabases(ask.Permission)
	} else {
		err = w.onPlatform(ask.Permission)
	}
	if err != nil {
		return List[Place]{}, err
	}
	return w.list, nil
}

type whereCan struct {
	*question
	subject *authz.Subject
	asked   authz.Request
	view    *snapshot.View
	grants  []authz.Grant // of the view, by scope
	tree    *authz.Hierarchy
	list    List[Place]
	at      place // behind what was gone through
}

// The stages of an answer, in order.
const (
	atTenant = iota
	atGroups
	atEnvironments
	elsewhere
)

func (w *whereCan) onPlatform(permission string) error {
	id, err := w.permission(permission)
	if err != nil || w.view.Disabled {
		return err
	}
	w.asked.Permissions[0] = id
	given := map[authz.Scope]bool{} // where something allows it
	everywhere := false
	root, any := w.root(), false
	for i := range w.grants {
		g := &w.grants[i]
		if g.Effect != authz.AssignAllow || !w.live(g.Expires) || !g.Role.Grants(id) {
			continue
		}
		any = true
		everywhere = everywhere || g.Scope == root
		if !isResource(g.Scope) { // of which there may be many
			given[g.Scope] = true
		}
	}
	if !any {
		return nil // only what is given can be allowed
	}
	for stage := w.at.Stage; stage <= elsewhere; stage++ {
		if stage > w.at.Stage {
			w.at.Stage, w.at.Key = stage, nil
		}
		for candidate, err := range w.candidates(stage, given, everywhere) {
			if err != nil {
				return err
			}
			if candidate.scope != "" {
				if err := w.decide(candidate.scope); err != nil {
					return err
				}
			}
			w.at.Key = bytes(candidate.key)
			w.work(1)
			if len(w.list.Items) == w.page.size || w.spent() {
				w.list.Next, err = w.at.token()
				return err
			}
		}
	}
	return nil
}

// isResource tells whether a scope lies below an environment, by its text: after the tenant
// and the environment come a word and an identifier.
func isResource(scope authz.Scope) bool { return strings.Count(string(scope), "/") > 4 }

func (w *whereCan) root() authz.Scope {
	return authz.NamedScope{Kind: authz.TenantScope}.In(w.tenant)
}

// decide lists a scope, if it is allowed there. At one that is not listed nothing is, as in
// a check.
func (w *whereCan) decide(scope authz.Scope) error {
	_, named, err := authz.ParseScope(string(scope), w.o.FoldCase)
	if err != nil {
		return err
	}
	chain, known := w.chainOf(w.tree, named)
	if !known {
		return nil
	}
	w.asked.Chains[0] = chain
	d := authz.Decide(w.view.Grants, w.asked, w.now)
	w.work(1)
	if !d.Allowed() || d.Grant == nil {
		return nil
	}
	shown, err := w.shownID(d.Grant.AssignmentID)
	w.list.Items = append(w.list.Items, Place{Scope: scope, Assignment: shown})
	return err
}

// A candidate is a scope that may be one of the answer, or none; key is its place at its
// stage.
type candidate struct {
	scope authz.Scope
	key   string
}

// candidates yields those of a stage, behind the last that was gone through.
func (w *whereCan) candidates(stage int, given map[authz.Scope]bool, everywhere bool) iter.Seq2[candidate, error] {
	after := string(w.at.Key)
	switch stage {
	case atTenant:
		return func(yield func(candidate, error) bool) {
			if after == "" {
				yield(candidate{w.root(), "/"}, nil)
			}
		}
	case atGroups:
		return func(yield func(candidate, error) bool) {
			for id, err := range w.r.EnvironmentGroupsAfter(w.tenant, after) {
				c := candidate{key: id}
				if scope := groupScope(w.tenant, id); everywhere || given[scope] {
					c.scope = scope
				}
				if !yield(c, err) {
					return
				}
			}
		}
	case atEnvironments:
		return w.environments(after, given, everywhere)
	default:
		return w.others(after)
	}
}

// environments yields the environments at which something may be allowed. Where it is given
// only at environments themselves, no others are looked at.
func (w *whereCan) environments(after string, given map[authz.Scope]bool, everywhere bool) iter.Seq2[candidate, error] {
	var own []string
	wide := everywhere
	for scope := range given {
		_, named, err := authz.ParseScope(string(scope), w.o.FoldCase)
		if err != nil {
			continue
		}
		wide = wide || named.Kind == authz.EnvironmentGroupScope
		if named.Kind == authz.EnvironmentScope {
			own = append(own, named.Environment)
		}
	}
	if !wide {
		slices.SortFunc(own, snapshot.CompareIdentifiers)
		return func(yield func(candidate, error) bool) {
			for _, id := range own {
				if after != "" && snapshot.CompareIdentifiers(id, after) <= 0 {
					continue
				}
				_, _, listed, err := w.r.EnvironmentOf(w.tenant, id)
				w.work(readWork)
				c := candidate{key: id}
				if listed {
					c.scope = environmentScope(w.tenant, id)
				}
				if !yield(c, err) || err != nil {
					return
				}
			}
		}
	}
	return func(yield func(candidate, error) bool) {
		for e, err := range w.r.EnvironmentsAfter(w.tenant, after) {
			c := candidate{key: e.ID}
			scope := environmentScope(w.tenant, e.ID)
			if everywhere || given[scope] || e.Group != "" && given[groupScope(w.tenant, e.Group)] {
				c.scope = scope
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

// others yields the scopes with assignments of the caller that no earlier stage goes through.
func (w *whereCan) others(after string) iter.Seq2[candidate, error] {
	return func(yield func(candidate, error) bool) {
		last := authz.Scope(after)
		all := w.grants
		first, _ := slices.BinarySearchFunc(all, last, func(g authz.Grant, at authz.Scope) int {
			if g.Scope <= at {
				return -1
			}
			return 1
		})
		for i := first; i < len(all); i++ {
			g := &all[i]
			if g.Scope == last {
				continue
			}
			last = g.Scope
			c := candidate{key: string(g.Scope)}
			listed, err := w.listed(g.Scope)
			if !listed {
				c.scope = g.Scope
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// listed tells whether a scope is one that an earlier stage goes through.
func (w *whereCan) listed(scope authz.Scope) (bool, error) {
	if isResource(scope) {
		return false, nil
	}
	_, named, err := authz.ParseScope(string(scope), w.o.FoldCase)
	if err != nil {
		return false, err
	}
	switch named.Kind {
	case authz.TenantScope:
		return true, nil
	case authz.EnvironmentGroupScope:
		w.work(readWork)
		return w.r.EnvironmentGroup(w.tenant, named.ID)
	case authz.EnvironmentScope:
		w.work(readWork)
		_, _, listed, err := w.r.EnvironmentOf(w.tenant, named.Environment)
		return listed, err
	default:
		return false, nil
	}
}

func groupScope(tenant, id string) authz.Scope {
	return authz.NamedScope{Kind: authz.EnvironmentGroupScope, ID: id}.In(tenant)
}

func environmentScope(tenant, id string) authz.Scope {
	return authz.NamedScope{Kind: authz.EnvironmentScope, Environment: id}.In(tenant)
}
