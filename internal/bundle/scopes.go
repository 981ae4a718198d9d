package bundle

import (
	"fmt"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func (t *tenantReader) readEnvironmentGroups(f *fields) {
	f.list("environmentGroups", func(v strictyaml.Value) {
		f := environmentGroupRecord.read(v)
		group := authz.EnvironmentGroup{}
		if id, ok := f.value("id"); ok {
			group.ID = t.pathID(id)
		}
		lines := map[string]int{}
		f.list("environments", func(v strictyaml.Value) {
			id := t.pathID(v)
			if id == "" || !once(lines, id, v, "environment %q", id) {
				return
			}
			if other, grouped := t.inGroup[id]; grouped {
				if other != group.ID {
					v.Problemf("environment %q is in the group %q too: it can be in one", id, other)
				}
				return
			}
			t.inGroup[id] = group.ID
			group.Environments = append(group.Environments, id)
		})
		if group.ID != "" && once(t.groupLines, group.ID, v, "environment group %q", group.ID) {
			t.tenant.EnvironmentGroups = append(t.tenant.EnvironmentGroups, group)
		}
	})
}

func (t *tenantReader) readEnvironments(f *fields) {
	f.list("environments", func(v strictyaml.Value) {
		f := environmentRecord.read(v)
		environment := snapshot.Environment{Dataverse: f.bool("dataverse")}
		if id, ok := f.value("id"); ok {
			environment.ID = t.pathID(id)
		}
		if environment.ID != "" && once(t.listed, environment.ID, v, "environment %q", environment.ID) {
			t.databases[environment.ID] = environment.Dataverse
			t.tenant.Environments = append(t.tenant.Environments, environment)
		}
	})
}

func (t *tenantReader) knowsEnvironment(id string) bool {
	_, grouped := t.inGroup[id]
	_, listed := t.listed[id]
	return grouped || listed
}

func notListed(environment string) string {
	return fmt.Sprintf("environment %q is not listed: list it under environments or in an environment group", environment)
}

// A unit is a business unit with the places of its fields, for problems found later.
type unit struct {
	authz.BusinessUnit
	index    int
	parentAt strictyaml.Value
}

func (t *tenantReader) readBusinessUnits(f *fields) {
	lines := map[inEnvironment]int{}
	units := map[inEnvironment]*unit{}
	var order []*unit
	f.list("businessUnits", func(v strictyaml.Value) {
		f := businessUnitRecord.read(v)
		u := &unit{parentAt: v}
		if id, ok := f.value("id"); ok {
			u.ID = t.pathID(id)
		}
		if environment, ok := f.value("environment"); ok {
			u.Environment = t.pathID(environment)
			if u.Environment != "" && !t.knowsEnvironment(u.Environment) {
				environment.Problemf("%s", notListed(u.Environment))
				t.businessBad = true
				return
			}
		}
		if parent, ok := f.unlessNull("parent"); ok {
			u.parentAt = parent
			if u.Parent = t.pathID(parent); u.Parent == "" {
				t.businessBad = true
				return
			}
		}
		key := inEnvironment{u.Environment, u.ID}
		if u.ID == "" || u.Environment == "" || !once(lines, key, v, "business unit %q of environment %q", u.ID, u.Environment) {
			t.businessBad = true
			return
		}
		u.index = len(order)
		units[key] = u
		order = append(order, u)
	})
	// A parent need not be listed: it is then a root, as a group of environments lists its
	// environments.
	for _, u := range order {
		key := inEnvironment{u.Environment, u.Parent}
		if u.Parent != "" && units[key] == nil {
			root := &unit{BusinessUnit: authz.BusinessUnit{ID: u.Parent, Environment: u.Environment}, index: len(order), parentAt: u.parentAt}
			units[key] = root
			order = append(order, root)
		}
	}
	circles(len(order), func(i int) []int {
		parent := units[inEnvironment{order[i].Environment, order[i].Parent}]
		if parent == nil {
			return nil
		}
		return []int{parent.index}
	}, func(circle []int) {
		names := make([]string, 0, len(circle))
		for _, i := range circle {
			names = append(names, order[i].ID)
		}
		order[circle[0]].parentAt.Problemf("business units lie below each other in a circle: %s", strings.Join(names, " below "))
		t.businessBad = true
	})
	for _, u := range order {
		t.tenant.BusinessUnits = append(t.tenant.BusinessUnits, u.BusinessUnit)
		t.units[inEnvironment{u.Environment, u.ID}] = true
		if u.Parent == "" {
			t.roots[u.Environment]++
		}
	}
}

// buildHierarchy builds the tree of scopes from what was read without problems.
func (t *tenantReader) buildHierarchy(at strictyaml.Value) {
	if t.tenant.ID == "" {
		return
	}
	spec := authz.HierarchySpec{Tenant: t.tenant.ID, EnvironmentGroups: t.tenant.EnvironmentGroups}
	for _, environment := range t.tenant.Environments {
		spec.Environments = append(spec.Environments, environment.ID)
	}
	if !t.businessBad {
		spec.BusinessUnits = t.tenant.BusinessUnits
	}
	hierarchy, err := authz.NewHierarchy(spec)
	if err != nil {
		at.Problemf("%v", err)
		return
	}
	t.hierarchy = hierarchy
}

// A scopeInfo is a scope's text as it was read once for all assignments that have it.
type scopeInfo struct {
	scope   authz.Scope
	named   authz.NamedScope
	chain   []authz.Scope // empty: not usable
	problem string        // why, if it is the scope's own fault
}

// maxRemembered is how many scopes, and how many pairs of role and scope, are remembered
// as they were judged.
const maxRemembered = 100_000

func (t *tenantReader) scope(text string) *scopeInfo {
	if known, ok := t.scopes[text]; ok {
		return known
	}
	info := t.readScope(text)
	if len(t.scopes) >= maxRemembered {
		clear(t.scopes)
	}
	t.scopes[text] = info
	return info
}

func (t *tenantReader) readScope(text string) *scopeInfo {
	tenant, named, err := authz.ParseScope(text, t.foldCase)
	if err != nil {
		return &scopeInfo{problem: err.Error()}
	}
	if t.hierarchy == nil {
		return &scopeInfo{} // the tenant has another problem, which was said
	}
	if tenant != t.tenant.ID {
		return &scopeInfo{problem: fmt.Sprintf("scope %q is of another tenant than %s", text, t.tenant.ID)}
	}
	info := &scopeInfo{scope: named.In(tenant), named: named}
	var scratch []byte
	chain, ok := t.hierarchy.AppendChain(nil, named, &scratch)
	switch {
	case ok:
		info.chain = chain
	case named.Kind == authz.EnvironmentGroupScope:
		info.problem = fmt.Sprintf("environment group %q is not listed: list it under environmentGroups", named.ID)
	case !t.knowsEnvironment(named.Environment):
		info.problem = notListed(named.Environment)
	case t.businessBad: // whether it is listed cannot be told before those are mended
	default:
		info.problem = fmt.Sprintf("environment %q lists no business unit %q: list it under businessUnits", named.Environment, named.ID)
	}
	return info
}
