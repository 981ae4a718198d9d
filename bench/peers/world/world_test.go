package world_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/bench/peers/world"
	"github.com/pathgrant/pathgrant/bench/peers/worldtest"
)

func TestTheOracleAgreesWithTheAnswersWrittenByHand(t *testing.T) {
	if err := worldtest.World().Check(); err != nil {
		t.Error(err)
	}
}

func TestAWrongAnswerInAWorldIsFound(t *testing.T) {
	w := worldtest.World()
	w.Requests[2].Reason = world.Granted
	if err := w.Check(); err == nil || !strings.Contains(err.Error(), "request 2") || !strings.Contains(err.Error(), "the rules OVERRIDDEN") {
		t.Errorf("%v, want request 2 to be found", err)
	}
}

func TestAWorldThatTriesNothingIsRefused(t *testing.T) {
	w := worldtest.World()
	w.Requests = w.Requests[:2]
	if err := w.Check(); err == nil || !strings.Contains(err.Error(), "OVERRIDDEN") {
		t.Errorf("%v, want it to miss OVERRIDDEN", err)
	}
}

func TestAnEnvironmentInheritsFromItsGroupAndTheTenant(t *testing.T) {
	w := worldtest.World()
	w.Environments = append(w.Environments, "alone")
	want := map[string][]string{
		"/tenants/t1/environments/e1":    {"/tenants/t1/environments/e1", "/tenants/t1/environmentGroups/g1", "/tenants/t1"},
		"/tenants/t1/environments/e2":    {"/tenants/t1/environments/e2", "/tenants/t1/environmentGroups/g1", "/tenants/t1"},
		"/tenants/t1/environments/e3":    {"/tenants/t1/environments/e3", "/tenants/t1/environmentGroups/g2", "/tenants/t1"},
		"/tenants/t1/environments/alone": {"/tenants/t1/environments/alone", "/tenants/t1"},
	}
	if diff := cmp.Diff(want, w.Chains()); diff != "" {
		t.Error(diff)
	}
}

func TestRolesAreWorkedOut(t *testing.T) {
	roles, err := world.Roles([]string{"Power Platform Reader"})
	if err != nil {
		t.Fatal(err)
	}
	has := func(of []string, permission string) bool { return slices.Contains(of, permission) }
	if !has(roles[0].Grants, "PowerApps.Apps.Read") || has(roles[0].Grants, "PowerApps.Apps.ReadWrite") || !has(roles[0].Takes, "PowerApps.Apps.ReadWrite") {
		t.Error("a reader reads; a DENY of that takes away whatever implies reading")
	}
	if _, err := world.Roles([]string{"King"}); err == nil {
		t.Error("a role that nobody knows is found")
	}
}

func TestAMapperNamesThePermissionAndTheEnvironment(t *testing.T) {
	m, err := world.NewMapper()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		method, path, permission, environment string
		ok                                    bool
	}{
		{"GET", "/powerapps/environments/e1/apps", "PowerApps.Apps.Read", "e1", true},
		{"DELETE", "/powerapps/environments/e1/apps/a7?x=y", "PowerApps.Apps.Delete", "e1", true},
		{"GET", "/powerapps/apps", "", "", false},
		{"PUT", "/powerapps/environments/e1/apps/a7", "", "", false},
		{"GET", "/nobody/knows", "", "", false},
	} {
		permission, environment, ok := m.Map(test.method, "api.powerplatform.com", test.path)
		if permission != test.permission || environment != test.environment || ok != test.ok {
			t.Errorf("%s %s: %q in %q, %v", test.method, test.path, permission, environment, ok)
		}
	}
}
