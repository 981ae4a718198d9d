package authz_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The cases in testdata/roles: what a role grants, and what else its DENY takes away.
func TestCompile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	column := func(archive *txtar.Archive, name string) []string {
		var first []string
		for _, words := range lines(archive, name) {
			first = append(first, words[0])
		}
		return first
	}
	cases(t, "roles", func(t *testing.T, archive *txtar.Archive) {
		role, err := w.vocabulary.Compile(authz.RoleDefinition{
			ID: "1", Name: "Case",
			Permissions: column(archive, "permissions"), PermissionsExceptions: column(archive, "exceptions"),
		})
		if err != nil {
			t.Fatal(err)
		}
		var grants, takes []string
		for id, name := range w.vocabulary.Names() {
			if role.Grants(authz.PermissionID(id)) {
				grants = append(grants, string(name))
			}
			if role.Takes(authz.PermissionID(id)) {
				takes = append(takes, string(name))
			}
		}
		wantGrants := column(archive, "grants")
		wantTakes := append(slices.Clone(wantGrants), column(archive, "takes besides")...)
		slices.Sort(wantTakes)
		wantTakes = slices.Compact(wantTakes)
		slices.Sort(wantGrants)
		slices.Sort(grants)
		slices.Sort(takes)
		if diff := cmp.Diff(wantGrants, grants); diff != "" {
			t.Errorf("grants (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(wantTakes, takes); diff != "" {
			t.Errorf("takes (-want +got):\n%s", diff)
		}
		if role.Size() != len(wantGrants) {
			t.Errorf("Size is %d, want %d", role.Size(), len(wantGrants))
		}
	})
}

func TestCompileReportsEveryBadPattern(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := []string{
		"", ".", "..", "PowerApps", "PowerApps.Apps", "PowerApps..Read", ".Apps.Read", "PowerApps.Apps.",
		"**", "*.*", "*Read", "PowerApps*", "PowerApps.*Read", "*.", ".*", "*..Read", "PowerApps..*",
		".*.Read", "PowerApps.*.", ".PowerApps.*", ".PowerApps.*.Read", "PowerApps.*..Read",
		"*.Apps.Read", "PowerApps.*.Apps.Read", "PowerApps.Apps.*.Read", "PowerApps.*.*",
		"PowerApps.Apps.Re d", "PowerApps.Äpps.Read", "PowerApps.Apps.*\x00", " *", "* ",
	}
	for _, text := range bad {
		for field, def := range map[string]authz.RoleDefinition{
			"permissions":           {Name: "Bad", Permissions: []string{"*", text}},
			"permissionsExceptions": {Name: "Bad", Permissions: []string{"*"}, PermissionsExceptions: []string{text}},
		} {
			for name, compile := range map[string]func(authz.RoleDefinition) (*authz.Role, error){
				"Compile": w.vocabulary.Compile, "CompileShipped": w.vocabulary.CompileShipped,
			} {
				role, err := compile(def)
				if err == nil || role != nil {
					t.Errorf("%s took %q in %s", name, text, field)
				} else if !strings.Contains(err.Error(), field+":") || !strings.Contains(err.Error(), `"Bad"`) {
					t.Errorf("the error names neither the role nor %s: %v", field, err)
				}
			}
		}
	}
	_, err := w.vocabulary.Compile(authz.RoleDefinition{
		Permissions: []string{"first", "*", "PowerApps.Apps.Unknown"}, PermissionsExceptions: []string{"last"},
	})
	for _, want := range []string{`"first"`, `"PowerApps.Apps.Unknown"`, `"last"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}

// The one pattern that a shipped role may have and another may not.
func TestCompileShippedTakesNamesThatTheCatalogueDoesNotKnow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := authz.RoleDefinition{ID: "7", Name: "Shipped", Permissions: []string{"Authorization.RoleAssignments.Read", "Flow.Flows.Read"}}
	if _, err := w.vocabulary.Compile(def); err == nil {
		t.Error("Compile took a permission that nobody knows")
	}
	role, err := w.vocabulary.CompileShipped(def)
	if err != nil {
		t.Fatal(err)
	}
	if role.Size() != 1 || !role.Grants(w.id(t, "Flow.Flows.Read")) || role.ID() != "7" || role.Name() != "Shipped" {
		t.Errorf("got %s %s with %d permissions", role.ID(), role.Name(), role.Size())
	}
}

// A shipped exception holds also where the catalogue lacks the permission that it names:
// what that would imply, and what implies it, stays taken. Contributor, which excepts
// Authorization.RoleAssignments.Write, must not create role assignments because somebody's
// catalogue declares only Create.
func TestShippedExceptionOfAnUndeclaredPermissionStillTakes(t *testing.T) {
	t.Parallel()
	v, err := authz.NewVocabulary([]authz.Permission{
		"Authorization.RoleAssignments.Create", "Authorization.RoleAssignments.Read",
		"Authorization.RoleAssignments.ReadWrite", "PowerApps.Apps.Create",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	role, err := v.CompileShipped(authz.RoleDefinition{
		Permissions: []string{"*"}, PermissionsExceptions: []string{"Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"Authorization.RoleAssignments.Create":    false,
		"Authorization.RoleAssignments.ReadWrite": false,
		"Authorization.RoleAssignments.Read":      true,
		"PowerApps.Apps.Create":                   true,
	} {
		id, _ := v.ID(name)
		if role.Grants(id) != want {
			t.Errorf("%s: granted is %v, want %v", name, !want, want)
		}
	}
}

func TestNilRoleGrantsNothing(t *testing.T) {
	t.Parallel()
	var role *authz.Role
	if role.Grants(0) || role.Takes(0) || role.GrantSet() != nil || role.TakeSet() != nil || role.Size() != 0 || role.ID() != "" || role.Name() != "" {
		t.Error("a nil Role is something")
	}
}

// What the sets are used for changes nothing of the role.
func TestTheSetsOfARoleAreCopies(t *testing.T) {
	t.Parallel()
	v, err := authz.NewVocabulary([]authz.Permission{"A.B.Read", "A.B.Update", "A.B.Write"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	role, err := v.Compile(authz.RoleDefinition{ID: "1", Name: "Case", Permissions: []string{"A.B.Update"}})
	if err != nil {
		t.Fatal(err)
	}
	update, _ := v.ID("A.B.Update")
	write, _ := v.ID("A.B.Write")
	grants, takes := role.GrantSet(), role.TakeSet()
	if grants.Len() != 1 || !grants.Has(update) || takes.Len() != 2 || !takes.Has(update) || !takes.Has(write) {
		t.Errorf("grants %b, takes %b", grants, takes)
	}
	clear(grants)
	clear(takes)
	if !role.Grants(update) || !role.Takes(write) {
		t.Error("a role was changed through its sets")
	}
}

func TestRoleNameKey(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"Power Platform Reader", "power platform reader", "Power-Platform-Reader", " Power  Platform -Reader ", "POWER PLATFORM READER"},
		{"", " ", "-"},
	} {
		for _, name := range same {
			if authz.RoleNameKey(name) != authz.RoleNameKey(same[0]) {
				t.Errorf("%q and %q are two names", name, same[0])
			}
		}
	}
	for _, different := range [][2]string{{"Power Platform Reader", "PowerPlatform Reader"}, {"Reader", "Readers"}, {"A B", "A_B"}} {
		if authz.RoleNameKey(different[0]) == authz.RoleNameKey(different[1]) {
			t.Errorf("%q and %q are one name", different[0], different[1])
		}
	}
}

func TestAssignableAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const (
		tenant = "/tenants/acme"
		group  = "/tenants/acme/environmentGroups/live"
		prod   = "/tenants/acme/environments/prod"
		app    = "/tenants/acme/environments/prod/powerapps/a7"
		flow   = "/tenants/acme/environments/prod/flows/f1"
		test   = "/tenants/acme/environments/test"
		unit   = "/tenants/acme/environments/prod/businessUnits/pole"
	)
	all := []string{tenant, group, prod, app, flow, test, unit}
	for _, c := range []struct {
		name                   string
		assignable, restricted []string
		want                   []string
	}{
		{"nowhere unless said", nil, nil, nil},
		{"the empty template is no scope", []string{""}, nil, nil},
		{"at the tenant and below", []string{"/tenants/{0}"}, nil, all},
		{"in another tenant", []string{"/tenants/other"}, nil, nil},
		{"at an environment and below", []string{"/tenants/{0}/environments/{1}"}, nil, []string{prod, app, flow, test, unit}},
		{"at one environment and below", []string{"/tenants/acme/environments/prod"}, nil, []string{prod, app, flow, unit}},
		{"at a kind of resource", []string{"/tenants/{0}/environments/{1}/powerapps/{2}"}, nil, []string{app}},
		{"words without case", []string{"/Tenants/{0}/Environments/{1}/PowerApps/{2}"}, nil, []string{app}},
		{"at a group, and at what inherits from it", []string{"/tenants/{0}/environmentGroups/{1}"}, nil, []string{group, prod, app, flow, unit}},
		{"at a business unit and those below", []string{"/tenants/{0}/environments/{1}/businessUnits/root"}, nil, []string{unit}},
		{"not at what is restricted, nor below", []string{"/tenants/{0}"}, []string{"/tenants/{0}/environments/{1}"}, []string{tenant, group}},
		{"a restricted group is not its environments", []string{"/tenants/{0}"}, []string{"/tenants/{0}/environmentGroups/{1}"}, []string{tenant, prod, app, flow, test, unit}},
		{"restricted outranks assignable", []string{"/tenants/{0}/environments/{1}"}, []string{"/tenants/{0}"}, nil},
	} {
		def := authz.RoleDefinition{AssignableScopes: c.assignable, RestrictedScopes: c.restricted}
		var got []string
		for _, scope := range all {
			chain, err := w.hierarchy.Chain(authz.Scope(scope), false)
			if err != nil {
				t.Fatal(err)
			}
			if def.AssignableAt(chain) {
				got = append(got, scope)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if def.AssignableAt(nil) {
			t.Errorf("%s: assignable at no scope at all", c.name)
		}
	}
}
