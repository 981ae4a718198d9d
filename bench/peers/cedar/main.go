// Command cedar is cedar-go in process, with the same rules as Cedar policies.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/pathgrant/pathgrant/bench/peers/inprocess"
	"github.com/pathgrant/pathgrant/bench/peers/world"
)

func main() {
	file := flag.String("world", "", "the world's file")
	flag.Parse()
	if err := inprocess.Main(*file, build); err != nil {
		fmt.Fprintln(os.Stderr, "cedar:", err)
		os.Exit(1)
	}
}

// build makes three rows. In the first two the policies name the roles, as Cedar's
// documentation does, first all that could be assigned and then none but those that are:
// cedar-go evaluates all policies for every decision. In the third a scope has its
// holders as tags, one for each set of roles that grant or take the same actions; the
// caller says which set its action belongs to, and four policies are enough for any
// number of roles.
func build(w *world.World) ([]inprocess.Row, error) {
	all, err := world.Roles(world.ShippedRoles())
	if err != nil {
		return nil, err
	}
	used, err := world.Roles(w.UsedRoles())
	if err != nil {
		return nil, err
	}
	var rows []inprocess.Row
	for _, form := range []struct {
		name     string
		roles    []world.Role
		policies string
		tags     bool
	}{
		{"cedar-go, %d roles in %d policies", all, named(all), false},
		{"cedar-go, %d roles in %d policies", used, named(used), false},
		{"cedar-go, %d roles as tags, %d policies", all, tagged, true},
	} {
		set, err := cedar.NewPolicySetFromBytes("policies.cedar", []byte(form.policies))
		if err != nil {
			return nil, err
		}
		entities, err := entities(w, form.roles, form.tags)
		if err != nil {
			return nil, err
		}
		policies := 0
		for range set.All() {
			policies++
		}
		row := newRow(w, set, entities, form.roles)
		row.FewRoles = len(form.roles) < len(all)
		row.Name = fmt.Sprintf(form.name, len(form.roles), policies)
		rows = append(rows, row)
	}
	return rows, nil
}

func newRow(w *world.World, set *cedar.PolicySet, entities types.EntityMap, roles []world.Role) inprocess.Row {
	classes := classesOf(roles)
	requests := make([]cedar.Request, len(w.Requests))
	for i, request := range w.Requests {
		requests[i] = cedar.Request{
			Principal: uid("User", request.User), Action: uid("Action", request.Permission),
			Resource: uid("Environment", request.Environment),
			Context: types.NewRecord(types.RecordMap{
				"grants": types.String(classes[request.Permission].grants), "takes": types.String(classes[request.Permission].takes),
			}),
		}
	}
	return inprocess.Row{Ask: func(i int) (string, error) {
		decision, diagnostic := cedar.Authorize(set, entities, requests[i])
		if len(diagnostic.Errors) > 0 {
			return "", fmt.Errorf("%s: %s", diagnostic.Errors[0].PolicyID, diagnostic.Errors[0].Message)
		}
		if decision == cedar.Allow {
			return world.Granted, nil
		}
		return inprocess.Denied, nil
	}}
}

// named are the rules. Whoever holds a role at a scope is in an entity that stands for
// "holders of this role at this scope", which the scope has as an attribute; actions are
// in one entity for each role that grants them and in another for each role a DENY of
// which takes them away. So one look into the caller's ancestors answers one question,
// however many assignments there are.
//
// A DENY at the environment is the nearest word there can be, so it forbids. One further
// out only takes from what is inherited from there and beyond.
func named(roles []world.Role) string {
	var deniedAtGroup, deniedAtTenant []string
	for i := range roles {
		deniedAtGroup = append(deniedAtGroup, fmt.Sprintf(`(action in Action::"takes-%d" && principal in resource.group.denied%d)`, i, i))
		deniedAtTenant = append(deniedAtTenant, fmt.Sprintf(`(action in Action::"takes-%d" && principal in resource.tenant.denied%d)`, i, i))
	}
	var b strings.Builder
	for i := range roles {
		fmt.Fprintf(&b, "forbid (principal, action in Action::\"takes-%d\", resource) when { principal in resource.denied%d };\n", i, i)
		fmt.Fprintf(&b, "permit (principal, action in Action::\"grants-%d\", resource) when { principal in resource.allowed%d };\n", i, i)
		fmt.Fprintf(&b, "permit (principal, action in Action::\"grants-%d\", resource) when { principal in resource.group.allowed%d } unless { %s };\n",
			i, i, strings.Join(deniedAtGroup, " || "))
		fmt.Fprintf(&b, "permit (principal, action in Action::\"grants-%d\", resource) when { principal in resource.tenant.allowed%d } unless { %s || %s };\n",
			i, i, strings.Join(deniedAtGroup, " || "), strings.Join(deniedAtTenant, " || "))
	}
	return b.String()
}

// tagged are the same rules with holders found by tags.
const tagged = `
forbid (principal, action, resource) when { principal in resource.getTag(context.takes) };
permit (principal, action, resource) when { principal in resource.getTag(context.grants) };
permit (principal, action, resource) when { principal in resource.group.getTag(context.grants) }
  unless { principal in resource.group.getTag(context.takes) };
permit (principal, action, resource) when { principal in resource.tenant.getTag(context.grants) }
  unless { principal in resource.group.getTag(context.takes) || principal in resource.tenant.getTag(context.takes) };
`

// A class names the roles that grant a permission and those whose DENY takes it away.
type class struct{ grants, takes string }

func classesOf(roles []world.Role) map[string]class {
	classes := map[string]class{}
	for i, role := range roles {
		for _, permission := range role.Grants {
			c := classes[permission]
			c.grants += fmt.Sprintf(" %d", i)
			classes[permission] = c
		}
		for _, permission := range role.Takes {
			c := classes[permission]
			c.takes += fmt.Sprintf(" %d", i)
			classes[permission] = c
		}
	}
	for permission, c := range classes {
		classes[permission] = class{"grants" + c.grants, "takes" + c.takes}
	}
	return classes
}

// tagsOf gives the holders at a scope for every set of roles that matters.
func tagsOf(classes map[class]bool, scope string) types.RecordMap {
	tags := types.RecordMap{}
	add := func(tag string, denies bool) {
		if _, done := tags[types.String(tag)]; done {
			return
		}
		var of []types.Value
		for _, word := range strings.Fields(tag)[1:] {
			role, err := strconv.Atoi(word)
			if err != nil {
				panic(err) // it was written a few lines above
			}
			of = append(of, holders(denies, role, scope))
		}
		tags[types.String(tag)] = types.NewSet(of...)
	}
	for c := range classes {
		add(c.grants, false)
		add(c.takes, true)
	}
	return tags
}

func uid(kind, id string) types.EntityUID {
	return types.NewEntityUID(types.EntityType(kind), types.String(id))
}

// holders is the entity of those who hold, or are denied, a role at a scope.
func holders(denies bool, role int, scope string) types.EntityUID {
	return uid("Holders", fmt.Sprintf("%v %d %s", denies, role, scope))
}

func entities(w *world.World, roles []world.Role, tags bool) (types.EntityMap, error) {
	parents := map[types.EntityUID][]types.EntityUID{}
	for i, role := range roles {
		for _, permission := range role.Grants {
			parents[uid("Action", permission)] = append(parents[uid("Action", permission)], uid("Action", fmt.Sprintf("grants-%d", i)))
		}
		for _, permission := range role.Takes {
			parents[uid("Action", permission)] = append(parents[uid("Action", permission)], uid("Action", fmt.Sprintf("takes-%d", i)))
		}
	}
	number := map[string]int{}
	for i, role := range roles {
		number[role.Name] = i
	}
	for _, a := range w.Assignments {
		role, ok := number[a.Role]
		if !ok {
			return nil, fmt.Errorf("no role is called %q", a.Role)
		}
		who := uid(a.PrincipalType, a.Principal)
		parents[who] = append(parents[who], holders(a.Denies(), role, a.Scope))
	}
	for user, groups := range w.GroupsOf() {
		for _, group := range groups {
			parents[uid("User", user)] = append(parents[uid("User", user)], uid("Group", group))
		}
	}
	all := types.EntityMap{}
	for child, of := range parents {
		all[child] = types.Entity{UID: child, Parents: types.NewEntityUIDSet(of...)}
	}
	classes := map[class]bool{}
	for _, c := range classesOf(roles) {
		classes[c] = true
	}
	scope := func(id types.EntityUID, text string, more types.RecordMap) {
		one := types.Entity{UID: id}
		if tags {
			one.Tags = types.NewRecord(tagsOf(classes, text))
		} else {
			for i := range roles {
				more[types.String(fmt.Sprintf("allowed%d", i))] = holders(false, i, text)
				more[types.String(fmt.Sprintf("denied%d", i))] = holders(true, i, text)
			}
		}
		one.Attributes = types.NewRecord(more)
		all[id] = one
	}
	scope(uid("Tenant", w.Tenant), w.TenantScope(), types.RecordMap{})
	for _, group := range w.EnvironmentGroups {
		scope(uid("EnvironmentGroup", group.ID), w.GroupScope(group.ID), types.RecordMap{})
		for _, environment := range group.Environments {
			scope(uid("Environment", environment), w.EnvironmentScope(environment), types.RecordMap{
				"group": uid("EnvironmentGroup", group.ID), "tenant": uid("Tenant", w.Tenant),
			})
		}
	}
	for _, environment := range w.Environments {
		if _, grouped := all[uid("Environment", environment)]; !grouped {
			return nil, fmt.Errorf("environment %s is in no group, which these policies do not provide for", environment)
		}
	}
	return all, nil
}
