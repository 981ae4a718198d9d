package authz_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for scope, want := range map[string]string{
		"/tenants/acme":                                      "",
		"/tenants/acme/environmentGroups/live":               "",
		"/tenants/acme/environments/test":                    "",
		"/tenants/acme/environments/prod":                    "/environmentGroups/live",
		"/tenants/acme/environments/prod/f/x":                "/environments/prod /environmentGroups/live",
		"/tenants/acme/environments/test/f/x":                "/environments/test",
		"/tenants/acme/environments/test/f/%41":              "/environments/test",
		"/tenants/acme/environments/prod/businessUnits/root": "/environments/prod /environmentGroups/live",
		"/tenants/acme/environments/prod/businessUnits/pole": "/environments/prod/businessUnits/north /environments/prod/businessUnits/root /environments/prod /environmentGroups/live",
	} {
		chain := []authz.Scope{authz.Scope(strings.Replace(scope, "%41", "A", 1))}
		for _, above := range strings.Fields(want) {
			chain = append(chain, authz.Scope("/tenants/acme"+above))
		}
		if scope != "/tenants/acme" {
			chain = append(chain, "/tenants/acme")
		}
		got, err := w.hierarchy.Chain(authz.Scope(scope), false)
		if diff := cmp.Diff(chain, got); diff != "" || err != nil {
			t.Errorf("%s: error %v (-want +got):\n%s", scope, err, diff)
		}
	}
}

func TestChainRefusesWhatIsNotListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, scope := range []authz.Scope{
		"", "/", "/tenants/other", "/tenants/acm", "/tenants/acme2", "/tenants/ACME",
		"/tenants/acme/environments/none", "/tenants/acme/environments/PROD", "/tenants/acme/environments/live",
		"/tenants/acme/environments/none/powerapps/a7", "/tenants/acme/environmentGroups/prod",
		"/tenants/acme/environments/prod/businessUnits/none", "/tenants/acme/environments/test/businessUnits/root",
		"/tenants/other/environments/prod",
	} {
		if chain, err := w.hierarchy.Chain(scope, false); err == nil || chain != nil {
			t.Errorf("%q has the chain %v", scope, chain)
		}
	}
	var none *authz.Hierarchy
	if chain, err := none.Chain("/tenants/acme", false); err == nil || chain != nil {
		t.Errorf("a nil Hierarchy has the chain %v", chain)
	}
	var scratch []byte
	if chain, ok := none.AppendChain(nil, authz.NamedScope{Kind: authz.TenantScope}, &scratch); ok || chain != nil {
		t.Errorf("a nil Hierarchy has the chain %v", chain)
	}
}

// The opt-in makes what nobody listed a child of the tenant: never of a group, and never
// a business unit, whose parents nobody could know.
func TestUnknownScopesAtTenant(t *testing.T) {
	t.Parallel()
	h, err := authz.NewHierarchy(authz.HierarchySpec{
		Tenant: "t", UnknownScopesAtTenant: true,
		EnvironmentGroups: []authz.EnvironmentGroup{{ID: "g", Environments: []string{"e"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[authz.Scope][]authz.Scope{
		"/tenants/t/environments/x":                 {"/tenants/t/environments/x", "/tenants/t"},
		"/tenants/t/environments/x/powerapps/a":     {"/tenants/t/environments/x/powerapps/a", "/tenants/t/environments/x", "/tenants/t"},
		"/tenants/t/environmentGroups/x":            {"/tenants/t/environmentGroups/x", "/tenants/t"},
		"/tenants/t/environments/e":                 {"/tenants/t/environments/e", "/tenants/t/environmentGroups/g", "/tenants/t"},
		"/tenants/t/environments/x/businessUnits/b": nil,
		"/tenants/t/environments/e/businessUnits/b": nil,
		"/tenants/u/environments/x":                 nil,
	} {
		got, err := h.Chain(scope, false)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != nil) {
			t.Errorf("%s: error %v (-want +got):\n%s", scope, err, diff)
		}
	}
}

// 32 hex digits of a host may stand for a listed Default-{guid}; a path may not.
func TestHostNamesTheDefaultEnvironment(t *testing.T) {
	t.Parallel()
	h, err := authz.NewHierarchy(authz.HierarchySpec{Tenant: "t", Environments: []string{"Default-" + guid, "e"}})
	if err != nil {
		t.Fatal(err)
	}
	var scratch []byte
	named := authz.NamedScope{Kind: authz.ResourceScope, Environment: guid, Type: "powerapps", ID: "a", FromHost: true}
	chain, ok := h.AppendChain(nil, named, &scratch)
	want := []authz.Scope{
		"/tenants/t/environments/Default-" + guid + "/powerapps/a", "/tenants/t/environments/Default-" + guid, "/tenants/t",
	}
	if diff := cmp.Diff(want, chain); diff != "" || !ok {
		t.Errorf("known: %v (-want +got):\n%s", ok, diff)
	}
	named.FromHost = false
	if chain, ok := h.AppendChain(nil, named, &scratch); ok {
		t.Errorf("a path's identifier has the chain %v", chain)
	}
}

// What is listed by its own GUID is meant by that GUID, whatever Default- there is.
func TestHostPrefersTheEnvironmentOfThatName(t *testing.T) {
	t.Parallel()
	h, err := authz.NewHierarchy(authz.HierarchySpec{Tenant: "t", Environments: []string{"Default-" + guid, guid}})
	if err != nil {
		t.Fatal(err)
	}
	var scratch []byte
	chain, ok := h.AppendChain(nil, authz.NamedScope{Kind: authz.EnvironmentScope, Environment: guid, FromHost: true}, &scratch)
	if !ok || chain[0] != "/tenants/t/environments/"+guid {
		t.Errorf("got %v", chain)
	}
}

// Several chains share one scratch without overwriting each other.
func TestAppendChainSharesScratch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var chain []authz.Scope
	var scratch []byte
	want := []authz.Scope{}
	for _, id := range []string{"a", "bb", "ccc", strings.Repeat("d", 200), "e"} {
		named := authz.NamedScope{Kind: authz.ResourceScope, Environment: "test", Type: "powerapps", ID: id}
		var ok bool
		if chain, ok = w.hierarchy.AppendChain(chain, named, &scratch); !ok {
			t.Fatalf("%s is not known", id)
		}
		want = append(want, authz.Scope("/tenants/acme/environments/test/powerapps/"+id), "/tenants/acme/environments/test", "/tenants/acme")
	}
	if diff := cmp.Diff(want, chain); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A chain is the caller's: growing it changes no other chain.
func TestAppendChainDoesNotShareItsTail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.hierarchy.Chain("/tenants/acme/environments/prod", false)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(first[:1], "/changed")
	second, err := w.hierarchy.Chain("/tenants/acme/environments/prod", false)
	if err != nil || second[1] != "/tenants/acme/environmentGroups/live" {
		t.Errorf("got %v", second)
	}
}

func TestAppendChainDoesNotAllocate(t *testing.T) {
	w := newWorld(t)
	chain, scratch := make([]authz.Scope, 0, 8), make([]byte, 0, 256)
	for _, named := range []authz.NamedScope{
		{Kind: authz.TenantScope},
		{Kind: authz.EnvironmentGroupScope, ID: "live"},
		{Kind: authz.EnvironmentScope, Environment: "prod"},
		{Kind: authz.BusinessUnitScope, Environment: "prod", ID: "pole"},
		{Kind: authz.ResourceScope, Environment: "prod", Type: "powerapps", ID: "a7"},
		{Kind: authz.EnvironmentScope, Environment: "none"},
	} {
		if n := testing.AllocsPerRun(100, func() {
			scratch = scratch[:0]
			chain, _ = w.hierarchy.AppendChain(chain[:0], named, &scratch)
		}); n != 0 {
			t.Errorf("%+v: %v allocations", named, n)
		}
	}
}

func TestNewHierarchyReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := authz.NewHierarchy(authz.HierarchySpec{
		Tenant:            "t",
		EnvironmentGroups: []authz.EnvironmentGroup{{ID: "g", Environments: []string{"e"}}, {ID: "h", Environments: []string{"e"}}, {ID: "g"}},
		BusinessUnits: []authz.BusinessUnit{
			{ID: "a", Environment: "e", Parent: "b"}, {ID: "b", Environment: "e", Parent: "a"}, {ID: "s", Environment: "e", Parent: "s"},
			{ID: "c", Environment: "none"}, {ID: "d", Environment: "e", Parent: "missing"}, {ID: "d", Environment: "e"},
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`environment group "g" is listed twice`, `environment "e" is in the groups "g" and "h"`,
		`business unit "a" of environment "e" lies below itself`, `business unit "s" of environment "e" lies below itself`,
		`"none", which is not listed`, `business unit "d" of environment "e" is listed twice`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	_, err = authz.NewHierarchy(authz.HierarchySpec{
		Tenant: "t", Environments: []string{"e", "f"},
		BusinessUnits: []authz.BusinessUnit{{ID: "p", Environment: "f"}, {ID: "d", Environment: "e", Parent: "p"}},
	})
	if err == nil || !strings.Contains(err.Error(), `business unit "d" lies below "p", which environment "e" does not list`) {
		t.Errorf("a parent in another environment: got the error %v", err)
	}
}

// A scope listed in both ways is the same as once, in its group.
func TestEnvironmentListedTwice(t *testing.T) {
	t.Parallel()
	h, err := authz.NewHierarchy(authz.HierarchySpec{
		Tenant: "t", Environments: []string{"e", "e"},
		EnvironmentGroups: []authz.EnvironmentGroup{{ID: "g", Environments: []string{"e", "e"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := h.Chain("/tenants/t/environments/e", false)
	if err != nil || len(chain) != 3 || chain[1] != "/tenants/t/environmentGroups/g" {
		t.Errorf("got %v and %v", chain, err)
	}
}

// A chain of units is walked by every decision below it, so its length is bounded.
func TestBusinessUnitsMayNotLieDeeperThanADecisionWalks(t *testing.T) {
	t.Parallel()
	spec := authz.HierarchySpec{Tenant: "t", Environments: []string{"e"}}
	for i := range 101 {
		unit := authz.BusinessUnit{ID: fmt.Sprintf("b%d", i), Environment: "e"}
		if i > 0 {
			unit.Parent = fmt.Sprintf("b%d", i-1)
		}
		spec.BusinessUnits = append(spec.BusinessUnits, unit)
	}
	if _, err := authz.NewHierarchy(spec); err == nil || !strings.Contains(err.Error(), `"b100"`) {
		t.Errorf("101 units below each other: %v, want an error that names the deepest", err)
	}
	spec.BusinessUnits = spec.BusinessUnits[:100]
	if _, err := authz.NewHierarchy(spec); err != nil {
		t.Errorf("100 units below each other: %v", err)
	}
}
