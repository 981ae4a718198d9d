// Command casbin is Casbin in process: role-based access control with domains, where a
// domain is a scope.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/casbin/casbin/v3"
	"github.com/casbin/casbin/v3/model"

	"github.com/pathgrant/pathgrant/bench/peers/inprocess"
	"github.com/pathgrant/pathgrant/bench/peers/world"
)

func main() {
	file := flag.String("world", "", "the world's file")
	flag.Parse()
	if err := inprocess.Main(*file, build); err != nil {
		fmt.Fprintln(os.Stderr, "casbin:", err)
		os.Exit(1)
	}
}

// domains keeps the assignments as links from principal to role in a domain, which Casbin
// finds by hash; its policies are one for each role, level and effect, in the order in
// which they decide: the first that matches does.
const domains = `
[request_definition]
r = sub, grp, env, envgroup, tenant, act
[policy_definition]
p = role, level, acts, eft
[role_definition]
g = _, _, _
g2 = _, _
[policy_effect]
e = priority(p.eft) || deny
[matchers]
m = g2(r.act, p.acts) && (p.level == "env" && (g(r.sub, p.role, r.env) || g(r.grp, p.role, r.env)) || p.level == "envgroup" && (g(r.sub, p.role, r.envgroup) || g(r.grp, p.role, r.envgroup)) || p.level == "tenant" && (g(r.sub, p.role, r.tenant) || g(r.grp, p.role, r.tenant)))
`

var levels = []string{"env", "envgroup", "tenant"}

func build(w *world.World) ([]inprocess.Row, error) {
	asked, err := questions(w)
	if err != nil {
		return nil, err
	}
	all, err := newEnforcer()
	if err != nil {
		return nil, err
	}
	used, err := newEnforcer()
	if err != nil {
		return nil, err
	}
	cached, err := newCached()
	if err != nil {
		return nil, err
	}
	err = errors.Join(fill(all, w, world.ShippedRoles()), fill(used, w, w.UsedRoles()), fill(cached, w, world.ShippedRoles()))
	if err != nil {
		return nil, err
	}
	ask := func(e casbin.IEnforcer) func(int) (string, error) {
		return func(i int) (string, error) {
			allowed, err := e.Enforce(asked[i]...)
			if allowed && err == nil {
				return world.Granted, nil
			}
			return inprocess.Denied, err
		}
	}
	return []inprocess.Row{
		{Name: fmt.Sprintf("Casbin, %d roles", len(world.ShippedRoles())), Ask: ask(all)},
		{Name: fmt.Sprintf("Casbin, %d roles, cached enforcer (answers, not data)", len(world.ShippedRoles())), Ask: ask(cached)},
		{Name: fmt.Sprintf("Casbin, %d roles", len(w.UsedRoles())), FewRoles: true, Ask: ask(used)},
	}, nil
}

func newEnforcer() (*casbin.Enforcer, error) {
	m, err := model.NewModelFromString(domains)
	if err != nil {
		return nil, err
	}
	return casbin.NewEnforcer(m)
}

func newCached() (*casbin.CachedEnforcer, error) {
	m, err := model.NewModelFromString(domains)
	if err != nil {
		return nil, err
	}
	return casbin.NewCachedEnforcer(m)
}

// questions prepares the arguments of every request.
func questions(w *world.World) ([][]any, error) {
	chains, groupsOf := w.Chains(), w.GroupsOf()
	var all [][]any
	for _, r := range w.Requests {
		chain, groups := chains[w.EnvironmentScope(r.Environment)], groupsOf[r.User]
		if len(chain) != len(levels) || len(groups) > 1 {
			return nil, fmt.Errorf("%s in %s: this model provides for one group of users and three levels of scopes", r.User, r.Environment)
		}
		group := ""
		if len(groups) == 1 {
			group = groups[0]
		}
		all = append(all, []any{r.User, group, chain[0], chain[1], chain[2], r.Permission})
	}
	return all, nil
}

// held is how a role is called where it is given or denied.
func held(role string, denies bool) string {
	if denies {
		return "no " + role
	}
	return role
}

// addActions says which permissions a role grants, and which a DENY of it takes away.
func addActions(e casbin.IEnforcer, roles []world.Role) error {
	var links [][]string
	for _, role := range roles {
		for _, permission := range role.Grants {
			links = append(links, []string{permission, held(role.Name, false)})
		}
		for _, permission := range role.Takes {
			links = append(links, []string{permission, held(role.Name, true)})
		}
	}
	_, err := e.AddNamedGroupingPolicies("g2", links)
	return err
}

func fill(e casbin.IEnforcer, w *world.World, names []string) error {
	roles, err := world.Roles(names)
	if err != nil {
		return err
	}
	if err := addActions(e, roles); err != nil {
		return err
	}
	var policies [][]string
	for _, level := range levels {
		for _, effect := range []string{"deny", "allow"} {
			for _, role := range roles {
				name := held(role.Name, effect == "deny")
				policies = append(policies, []string{name, level, name, effect})
			}
		}
	}
	if _, err := e.AddPolicies(policies); err != nil {
		return err
	}
	var links [][]string
	for _, a := range w.Assignments {
		links = append(links, []string{a.Principal, held(a.Role, a.Denies()), a.Scope})
	}
	_, err = e.AddGroupingPolicies(links)
	return err
}
