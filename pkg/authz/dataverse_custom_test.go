package authz_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestSecurityRolesAreAssignedInEnvironmentsAndBusinessUnits(t *testing.T) {
	const (
		tenant      = authz.Scope("/tenants/t")
		environment = tenant + "/environments/e"
		unit        = environment + "/businessUnits/b"
		app         = environment + "/powerapps/a"
		site        = environment + "/websites/w"
	)
	predefined := authz.RoleDefinition{Category: authz.DataverseRoles, AssignableScopes: []string{"/tenants/{0}/environments/{1}"}}
	sites := authz.RoleDefinition{Category: authz.DataverseRoles, AssignableScopes: []string{"/tenants/{0}/environments/{1}/websites/{2}"}}
	custom := authz.RoleDefinition{Environment: "e"}
	elsewhere := authz.RoleDefinition{Environment: "e2", AssignableScopes: []string{"/tenants/{0}"}}
	platform := authz.RoleDefinition{AssignableScopes: []string{"/tenants/{0}/environments/{1}"}}
	for name, tc := range map[string]struct {
		def  authz.RoleDefinition
		want []authz.Scope
	}{
		"predefined":             {predefined, []authz.Scope{environment, unit}},
		"of websites":            {sites, []authz.Scope{site}},
		"custom":                 {custom, []authz.Scope{environment, unit}},
		"custom, of another one": {elsewhere, nil},
		"of the platform":        {platform, []authz.Scope{environment, unit, app, site}},
	} {
		var got []authz.Scope
		for _, scope := range []authz.Scope{tenant, environment, unit, app, site} {
			if tc.def.AssignableAt([]authz.Scope{scope, environment, tenant}[:1+strings.Count(string(scope), "/")/3]) {
				got = append(got, scope)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if tc.def.AssignableAt(nil) {
			t.Errorf("%s is assignable nowhere", name)
		}
	}
}

// The assignable roles of a custom role limit what its holders assign, and not who holds it.
func TestACustomRoleThatLimitsAssignmentsIsHeldLikeAnyOther(t *testing.T) {
	limits := &authz.RoleTerms{AssignableRoles: []string{"r"}}
	good := authz.Candidate{Effect: authz.AssignAllow, Holder: authz.UserHolder, HasDatabase: true, InEnvironment: true, BusinessUnit: "b"}
	security := authz.RoleDefinition{Name: "S", Environment: "e", Terms: limits}
	platform := authz.RoleDefinition{Name: "P", Terms: limits}
	for _, def := range []authz.RoleDefinition{security, platform} {
		if err := def.CheckAssignment(good); err != nil || !def.Copyable() || def.CheckRemoval(authz.ByAssignment) != nil {
			t.Errorf("%s: %v", def.Name, err)
		}
		if def.MayAssign(&authz.RoleDefinition{ID: "x"}) || !def.MayAssign(&authz.RoleDefinition{ID: "r"}) {
			t.Errorf("%s does not limit what is assigned", def.Name)
		}
	}
	group := good
	group.Holder = authz.GroupHolder
	if err := security.CheckAssignment(group); err == nil || !strings.Contains(err.Error(), "Group may not hold it") {
		t.Errorf("%v", err)
	}
	if err := platform.CheckAssignment(group); err != nil {
		t.Error(err)
	}
	predefined := authz.RoleDefinition{Name: "D", Category: authz.EnvironmentRoles, Terms: limits}
	if err := predefined.CheckAssignment(good); err == nil || !strings.Contains(err.Error(), "nobody may hold it") {
		t.Errorf("%v", err)
	}
}

func TestTheFirstBusinessUnitBelowNoneIsTheRoot(t *testing.T) {
	db, err := authz.NewDatabase(authz.DatabaseSpec{BusinessUnits: []authz.BusinessUnit{{ID: "a", Parent: "r"}, {ID: "r"}, {ID: "s"}}})
	if err != nil || db.RootBusinessUnit() != "r" {
		t.Errorf("%q, %v", db.RootBusinessUnit(), err)
	}
	var none *authz.Database
	if none.RootBusinessUnit() != "" {
		t.Error("nothing has a root")
	}
}
