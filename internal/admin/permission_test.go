package admin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestAnAssignmentNeedsWriteAtItsScope(t *testing.T) {
	w := newWorld(t, company)
	for _, c := range []struct {
		name, who, scope string
		want             error
	}{
		{"the tenant's administrator, at the tenant", "root", tenantT1, nil},
		{"the tenant's administrator, at an environment", "root", envE1, nil},
		{"an environment's administrator, there", "ena", envE1, nil},
		{"an environment's administrator, at a resource in it", "ena", envE1 + "/powerapps/a7", nil},
		{"an environment's administrator, at its group", "ena", groupG1, admin.ErrForbidden},
		{"an environment's administrator, at the tenant", "ena", tenantT1, admin.ErrForbidden},
		{"an environment's administrator, at another one", "ena", envE2, admin.ErrForbidden},
		{"a group's administrator, at an environment in it", "gia", envE2, nil},
		{"a group's administrator, at one that is not in it", "gia", envE3, admin.ErrForbidden},
		{"a Contributor", "ada", envE1, admin.ErrForbidden},
		{"somebody without a role", "eve", envE1, admin.ErrForbidden},
	} {
		_, err := w.assign(w.as(c.who), user("new-"+c.who), reader, c.scope)
		want(t, c.name, err, c.want)
	}
}

func TestARemovalNeedsDeleteAtTheStoredScope(t *testing.T) {
	w := newWorld(t, company)
	made, err := w.assign(w.as("root"), user("x"), reader, envE1)
	want(t, "assign", err, nil)
	for _, who := range []string{"ada", "eve"} {
		_, err := w.unassign(w.as(who), made.RoleAssignment.ID)
		want(t, who, err, admin.ErrForbidden)
	}
	_, err = w.unassign(w.as("ena"), made.RoleAssignment.ID)
	want(t, "the environment's administrator", err, nil)
}

func TestTheScopeOfTheMessageAndOfTheObjectMustAgree(t *testing.T) {
	w := newWorld(t, company)
	made, err := w.assign(w.as("root"), user("x"), reader, envE2)
	want(t, "assign", err, nil)
	del := func(who, scope string) error {
		_, err := w.DeleteRoleAssignment(context.Background(), w.as(who), admin.DeleteRoleAssignmentRequest{ID: made.RoleAssignment.ID, ExactScope: scope})
		return err
	}
	want(t, "through another environment, whose administrator asks", del("ena", envE1), admin.ErrNotFound)
	want(t, "through the tenant", del("root", tenantT1), admin.ErrNotFound)
	want(t, "through its own scope, by somebody else", del("ena", envE2), admin.ErrForbidden)
	want(t, "through its own scope", del("root", envE2), nil)
}

func TestATokenCanNameNoOtherTenant(t *testing.T) {
	w := newWorld(t, company+"  - {id: t2}\n")
	_, err := w.CreateRoleAssignment(context.Background(), w.as("root"), admin.CreateRoleAssignmentRequest{
		Context: admin.Context{Tenant: "t2"}, Principal: user("x"), Role: reader, Scope: "/tenants/t2",
	})
	want(t, "in the context", err, admin.ErrCrossTenant)
	_, err = w.assign(w.as("root"), user("x"), reader, "/tenants/t2")
	want(t, "in the scope", err, admin.ErrCrossTenant)
	_, err = w.RoleAssignments(context.Background(), w.as("root"), admin.RoleAssignmentsRequest{Tenant: "t2"})
	want(t, "in a question", err, admin.ErrCrossTenant)
}

func TestNobodyMayDoNothing(t *testing.T) {
	w := newWorld(t, company)
	for _, c := range []admin.Caller{{}, {Kind: admin.Token}} {
		_, err := w.assign(c, user("x"), reader, tenantT1)
		want(t, "assign", err, admin.ErrUnauthenticated)
		_, err = w.RoleDefinitions(context.Background(), c, "")
		want(t, "read", err, admin.ErrUnauthenticated)
	}
}

func TestADisabledCallerMayDoNothing(t *testing.T) {
	w := newWorld(t, company)
	_, err := w.PutPrincipal(context.Background(), w.as("root"), admin.PutPrincipalRequest{Principal: admin.Principal{Principal: user("ena"), Disabled: true}})
	want(t, "disable", err, nil)
	_, err = w.assign(w.as("ena"), user("x"), reader, envE1)
	want(t, "assign", err, admin.ErrForbidden)
}

func TestAnExpiredAdministratorMayDoNothing(t *testing.T) {
	w := newWorld(t, company)
	_, err := w.assign(w.as("root"), user("temp"), administrator, envE1, until(begin.Add(time.Hour)))
	want(t, "assign", err, nil)
	_, err = w.assign(w.as("temp"), user("x"), reader, envE1)
	want(t, "before", err, nil)
	w.clock.move(time.Hour)
	_, err = w.assign(w.as("temp"), user("y"), reader, envE1)
	want(t, "after", err, admin.ErrForbidden)
}

func TestTwoAdministratorsWhoRemoveEachOtherTheSecondIsRefused(t *testing.T) {
	w := newWorld(t, company)
	roots, seconds := w.find(user("root"), tenantT1), w.find(user("second"), tenantT1)
	start := make(chan struct{})
	answers := make(chan error, 2)
	for who, id := range map[string]string{"root": seconds, "second": roots} {
		c := w.as(who)
		go func() {
			<-start
			_, err := w.unassign(c, id)
			answers <- err
		}()
	}
	close(start)
	first, second := <-answers, <-answers
	if first != nil {
		first, second = second, first
	}
	want(t, "one of them", first, nil)
	want(t, "the other, who holds nothing any more", second, admin.ErrForbidden)
}

func TestWhatConcernsTheWholeTenantNeedsWriteEverywhereInIt(t *testing.T) {
	calls := map[string]func(w *world, c admin.Caller) error{
		"CreateRoleDefinition": func(w *world, c admin.Caller) error {
			_, err := w.CreateRoleDefinition(context.Background(), c, admin.CreateRoleDefinitionRequest{RoleDefinition: flowOperator()})
			return err
		},
		"PutPrincipal": func(w *world, c admin.Caller) error {
			_, err := w.PutPrincipal(context.Background(), c, admin.PutPrincipalRequest{Principal: admin.Principal{Principal: user("zoe"), DisplayName: "Zoe"}})
			return err
		},
		"SetTenant": func(w *world, c admin.Caller) error {
			_, err := w.SetTenant(context.Background(), c, admin.SetTenantRequest{DirectoryComplete: true})
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, company+`
      - {principalType: User, principalObjectId: second, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1/environments/e3, effect: DENY}
      - {principalType: User, principalObjectId: third, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1}
      - {principalType: User, principalObjectId: third, roleDefinitionName: Power Platform Owner, scope: /tenants/t1/environmentGroups/g1, effect: FORBID}
`)
			want(t, "an environment's administrator", call(w, w.as("ena")), admin.ErrForbidden)
			want(t, "an administrator whom a DENY takes it from in one environment", call(w, w.as("second")), admin.ErrForbidden)
			want(t, "an administrator whom a FORBID takes it from in one group", call(w, w.as("third")), admin.ErrForbidden)
			want(t, "the administrator of all of it", call(w, w.as("root")), nil)
		})
	}
}

func flowOperator() authz.RoleDefinition {
	return authz.RoleDefinition{Name: "Flow Operator", Permissions: []string{"PowerAutomate.Flows.Read"}, AssignableScopes: []string{"/tenants/{0}"}}
}

func TestAGroupNeedsWriteAtEveryScopeAtWhichItOrAGroupAboveItIsAssigned(t *testing.T) {
	w := newWorld(t, company+`
      - {principalType: Group, principalObjectId: team, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1}
      - {principalType: Group, principalObjectId: staff, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e2}
`)
	add := func(who, g string) error {
		_, err := w.AddMembers(context.Background(), w.as(who), admin.MembersRequest{Group: g, Members: []authz.Principal{user("new-" + who)}})
		return err
	}
	want(t, "team, by who may assign at its own scope alone", add("ena", "team"), admin.ErrForbidden)
	want(t, "staff, by who may not", add("ena", "staff"), admin.ErrForbidden)
	want(t, "team, by who may at its scope and at staff's", add("gia", "team"), nil)
	want(t, "staff, by who may", add("gia", "staff"), nil)

	_, err := w.PutGroup(context.Background(), w.as("gia"), admin.PutGroupRequest{Group: admin.Group{ID: "unassigned"}})
	want(t, "a group that is assigned nothing, by who may not at the tenant", err, admin.ErrForbidden)
	_, err = w.PutGroup(context.Background(), w.as("root"), admin.PutGroupRequest{Group: admin.Group{ID: "unassigned"}})
	want(t, "a group that is assigned nothing", err, nil)
}

func TestAnEnvironmentNeedsWriteAtItAndAtBothGroups(t *testing.T) {
	both := company + `
      - {principalType: User, principalObjectId: gia, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1/environmentGroups/g2}
      - {principalType: User, principalObjectId: second, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1/environmentGroups/g2, effect: DENY}
`
	w := newWorld(t, both)
	move := func(who, id, to string) error {
		_, err := w.PutEnvironment(context.Background(), w.as(who), admin.PutEnvironmentRequest{Environment: admin.Environment{ID: id, Group: to}, Etag: admin.AnyEtag})
		return err
	}
	want(t, "between groups, by the administrator of the environment alone", move("ena", "e1", "g2"), admin.ErrForbidden)
	want(t, "into a group where it is denied", move("second", "e1", "g2"), admin.ErrForbidden)
	want(t, "out of a group, by who may not at the tenant", move("gia", "e1", ""), admin.ErrForbidden)
	want(t, "into a group, by who may there and not at the tenant", move("gia", "e3", "g1"), admin.ErrForbidden)
	want(t, "between groups, by who may in both", move("gia", "e1", "g2"), nil)
	want(t, "out of a group", move("root", "e2", ""), nil)
	want(t, "into a group", move("root", "e3", "g2"), nil)

	_, err := w.DeleteEnvironment(context.Background(), w.as("ena"), admin.DeleteEnvironmentRequest{ID: "e1", Etag: admin.AnyEtag})
	want(t, "remove, by the administrator of the environment alone", err, admin.ErrForbidden)
	_, err = w.DeleteEnvironment(context.Background(), w.as("gia"), admin.DeleteEnvironmentRequest{ID: "e1", Etag: admin.AnyEtag})
	want(t, "remove, by who may at it and at its group", err, nil)
}

func TestABusinessUnitNeedsWriteAtItsEnvironment(t *testing.T) {
	w := newWorld(t, company)
	put := func(who string) error {
		_, err := w.PutBusinessUnit(context.Background(), w.as(who), admin.PutBusinessUnitRequest{BusinessUnit: authz.BusinessUnit{ID: "b-" + who, Environment: "e1"}})
		return err
	}
	want(t, "the environment's administrator", put("ena"), nil)
	want(t, "a Contributor", put("ada"), admin.ErrForbidden)
}

func TestTheWholeStoreIsTheOperatorsAndNothingElseIs(t *testing.T) {
	w := newWorld(t, company)
	root := w.as("root")
	_, err := w.Import(context.Background(), root, admin.ImportRequest{Data: parse(t, company)})
	want(t, "import by an administrator", err, admin.ErrOperatorRequired)
	_, err = w.Bootstrap(context.Background(), root, admin.BootstrapRequest{Context: admin.Context{Tenant: "t1"}, Principal: user("x")})
	want(t, "bootstrap by an administrator", err, admin.ErrOperatorRequired)
	_, err = w.BreakGlass(context.Background(), root, admin.BreakGlassRequest{Context: admin.Context{Tenant: "t1", Justification: "x"}, Principal: user("x")})
	want(t, "break glass by an administrator", err, admin.ErrOperatorRequired)
	_, err = w.SetTenant(context.Background(), w.caller(authz.SubjectSpec{Tenant: "t9", Principal: user("root")}), admin.SetTenantRequest{})
	want(t, "a new tenant by whoever has a token of it", err, admin.ErrForbidden)
	want(t, "export of everything by an administrator", w.AuditExport(context.Background(), root, &logged{}), admin.ErrOperatorRequired)

	_, err = w.CreateRoleAssignment(context.Background(), operator, admin.CreateRoleAssignmentRequest{
		Context: admin.Context{Tenant: "t1"}, Principal: user("x"), Role: reader, Scope: tenantT1,
	})
	want(t, "an assignment by the operator", err, admin.ErrForbidden)
	_, err = w.SetTenant(context.Background(), operator, admin.SetTenantRequest{Context: admin.Context{Tenant: "t9"}})
	want(t, "a new tenant by the operator", err, nil)
	if _, _, err := w.Export(context.Background(), operator, ""); err != nil {
		t.Errorf("export by the operator: %v", err)
	}
}

func TestWhatACallerMayNotSeeIsNotTold(t *testing.T) {
	w := newWorld(t, company)
	known, _ := w.assign(w.as("root"), user("x"), reader, envE2)
	pairs := map[string][2]func() error{
		"an assignment": {
			func() error { _, err := w.unassign(w.as("ena"), known.RoleAssignment.ID); return err },
			func() error { _, err := w.unassign(w.as("ena"), "no-such"); return err },
		},
		"an environment": {
			func() error { _, err := w.assign(w.as("ena"), user("y"), reader, envE2); return err },
			func() error {
				_, err := w.assign(w.as("ena"), user("y"), reader, "/tenants/t1/environments/xx")
				return err
			},
		},
		"a role": {
			func() error { _, err := w.assign(w.as("ena"), user("y"), reader, tenantT1); return err },
			func() error { _, err := w.assign(w.as("ena"), user("y"), "No Such Role", tenantT1); return err },
		},
		"a group": {
			func() error {
				_, err := w.AddMembers(context.Background(), w.as("ena"), admin.MembersRequest{Group: "staff", Members: []authz.Principal{user("y")}})
				return err
			},
			func() error {
				_, err := w.AddMembers(context.Background(), w.as("ena"), admin.MembersRequest{Group: "no-such", Members: []authz.Principal{user("y")}})
				return err
			},
		},
	}
	for name, pair := range pairs {
		there, absent := pair[0](), pair[1]()
		want(t, name+" that exists", there, admin.ErrForbidden)
		want(t, name+" that does not", absent, admin.ErrForbidden)
		if there != nil && absent != nil && strip(there.Error()) != strip(absent.Error()) {
			t.Errorf("%s is told:\n%v\n%v", name, there, absent)
		}
	}
}

// strip takes out what the request itself named.
func strip(text string) string {
	for _, name := range []string{"/environments/e2", "/environments/xx"} {
		if i := len(text) - len(name); i >= 0 {
			text = replaceAll(text, name)
		}
	}
	return text
}

func replaceAll(text, name string) string {
	for i := 0; i+len(name) <= len(text); i++ {
		if text[i:i+len(name)] == name {
			return text[:i] + text[i+len(name):]
		}
	}
	return text
}

// Two halves of an administrator: wanda holds .Write alone and delia .Delete alone, both at
// the tenant, by custom roles.
const halves = `
    roleDefinitions:
      - {roleDefinitionId: only-write, roleDefinitionName: Only Write, permissions: [Authorization.RoleAssignments.Write], assignableScopes: ["/tenants/{0}"]}
      - {roleDefinitionId: only-delete, roleDefinitionName: Only Delete, permissions: [Authorization.RoleAssignments.Delete], assignableScopes: ["/tenants/{0}"]}
      - {roleDefinitionId: unused, roleDefinitionName: Unused, permissions: [PowerApps.Apps.Read], assignableScopes: ["/tenants/{0}"]}
    businessUnits: [{id: b1, environment: e1}]
`

// Removals ask for .Delete, and everything else for .Write: neither gives the other.
func TestRemovalsNeedDeleteAndEverythingElseWrite(t *testing.T) {
	const any = admin.AnyEtag
	type call struct {
		name string
		make func(w *world, c admin.Caller) error
	}
	writes := []call{
		{"CreateRoleAssignment", func(w *world, c admin.Caller) error { _, err := w.assign(c, user("x"), reader, envE1); return err }},
		{"CreateRoleDefinition", func(w *world, c admin.Caller) error {
			_, err := w.CreateRoleDefinition(ctx(), c, admin.CreateRoleDefinitionRequest{RoleDefinition: flowOperator()})
			return err
		}},
		{"UpdateRoleDefinition", func(w *world, c admin.Caller) error {
			def := flowOperator()
			def.ID, def.Name = "unused", "Unused"
			_, err := w.UpdateRoleDefinition(ctx(), c, admin.UpdateRoleDefinitionRequest{RoleDefinition: def, Etag: any})
			return err
		}},
		{"PutGroup", func(w *world, c admin.Caller) error {
			_, err := w.PutGroup(ctx(), c, admin.PutGroupRequest{Group: admin.Group{ID: "staff", DisplayName: "Staff"}, Etag: any})
			return err
		}},
		{"AddMembers", func(w *world, c admin.Caller) error {
			_, err := w.AddMembers(ctx(), c, admin.MembersRequest{Group: "staff", Members: []authz.Principal{user("x")}})
			return err
		}},
		{"PutPrincipal", func(w *world, c admin.Caller) error {
			_, err := w.PutPrincipal(ctx(), c, admin.PutPrincipalRequest{Principal: admin.Principal{Principal: user("zoe")}})
			return err
		}},
		{"PutEnvironment", func(w *world, c admin.Caller) error {
			_, err := w.PutEnvironment(ctx(), c, admin.PutEnvironmentRequest{Environment: admin.Environment{ID: "e9"}})
			return err
		}},
		{"CreateEnvironmentGroup", func(w *world, c admin.Caller) error {
			_, err := w.CreateEnvironmentGroup(ctx(), c, admin.EnvironmentGroupRequest{ID: "g9"})
			return err
		}},
		{"PutBusinessUnit", func(w *world, c admin.Caller) error {
			_, err := w.PutBusinessUnit(ctx(), c, admin.PutBusinessUnitRequest{BusinessUnit: authz.BusinessUnit{ID: "b9", Environment: "e1"}})
			return err
		}},
		{"SetTenant", func(w *world, c admin.Caller) error {
			_, err := w.SetTenant(ctx(), c, admin.SetTenantRequest{DirectoryComplete: true})
			return err
		}},
	}
	removals := []call{
		{"DeleteRoleAssignment", func(w *world, c admin.Caller) error {
			_, err := w.unassign(c, w.find(user("ada"), tenantT1))
			return err
		}},
		{"DeleteRoleDefinition", func(w *world, c admin.Caller) error {
			_, err := w.DeleteRoleDefinition(ctx(), c, admin.DeleteRoleDefinitionRequest{ID: "unused", Etag: any})
			return err
		}},
		{"DeleteGroup", func(w *world, c admin.Caller) error {
			_, err := w.DeleteGroup(ctx(), c, admin.DeleteGroupRequest{ID: "staff", Etag: any})
			return err
		}},
		{"RemoveMembers", func(w *world, c admin.Caller) error {
			_, err := w.RemoveMembers(ctx(), c, admin.MembersRequest{Group: "staff", Members: []authz.Principal{user("ada")}})
			return err
		}},
		{"DeletePrincipal", func(w *world, c admin.Caller) error {
			_, err := w.DeletePrincipal(ctx(), c, admin.DeletePrincipalRequest{Principal: user("known"), Etag: any})
			return err
		}},
		{"DeleteEnvironment", func(w *world, c admin.Caller) error {
			_, err := w.DeleteEnvironment(ctx(), c, admin.DeleteEnvironmentRequest{ID: "e1", Etag: any})
			return err
		}},
		{"DeleteEnvironmentGroup", func(w *world, c admin.Caller) error {
			_, err := w.DeleteEnvironmentGroup(ctx(), c, admin.EnvironmentGroupRequest{ID: "g2"})
			return err
		}},
		{"DeleteBusinessUnit", func(w *world, c admin.Caller) error {
			_, err := w.DeleteBusinessUnit(ctx(), c, admin.DeleteBusinessUnitRequest{Environment: "e1", ID: "b1", Etag: any})
			return err
		}},
	}
	data := strings.Replace(company, "    groups:\n", "      - {principalType: User, principalObjectId: known}\n"+halves+"    groups:\n", 1) + `
      - {principalType: User, principalObjectId: wanda, roleDefinitionName: Only Write, scope: /tenants/t1}
      - {principalType: User, principalObjectId: delia, roleDefinitionName: Only Delete, scope: /tenants/t1}
`
	for _, half := range []struct {
		calls       []call
		may, maynot string
		missing     authz.Permission
	}{{writes, "wanda", "delia", write}, {removals, "delia", "wanda", remove}} {
		for _, c := range half.calls {
			t.Run(c.name, func(t *testing.T) {
				w := newWorld(t, data)
				err := c.make(w, w.as(half.maynot))
				want(t, half.maynot, err, admin.ErrForbidden)
				var refused *admin.Error
				if errors.As(err, &refused) && !slices.Equal(refused.Missing, []authz.Permission{half.missing}) {
					t.Errorf("%s lacks %v, want %s", half.maynot, refused.Missing, half.missing)
				}
				want(t, half.may, c.make(w, w.as(half.may)), nil)
			})
		}
	}
}

// To forget that somebody is disabled is to enable them, which gives: it needs both.
func TestToForgetWhoIsDisabledNeedsWriteToo(t *testing.T) {
	w := newWorld(t, strings.Replace(company, "    groups:\n", halves+"    groups:\n", 1)+`
      - {principalType: User, principalObjectId: wanda, roleDefinitionName: Only Write, scope: /tenants/t1}
      - {principalType: User, principalObjectId: delia, roleDefinitionName: Only Delete, scope: /tenants/t1}
`)
	forget := func(who string) error {
		_, err := w.DeletePrincipal(ctx(), w.as(who), admin.DeletePrincipalRequest{Principal: user("gone"), Etag: admin.AnyEtag})
		return err
	}
	want(t, "who may remove alone", forget("delia"), admin.ErrForbidden)
	want(t, "who may assign alone", forget("wanda"), admin.ErrForbidden)
	want(t, "who may do both", forget("second"), nil)
}

// Who is in a group, or owns it, owns what it owns: that is what a change of it gives.
func TestAGroupNeedsWriteWhereverWhatItOwnsIsAssigned(t *testing.T) {
	w := newWorld(t, strings.Replace(company, "    groups:\n",
		"      - {principalType: ApplicationUser, principalObjectId: butler, owners: [{principalType: Group, principalObjectId: team}]}\n    groups:\n", 1)+`
      - {principalType: Group, principalObjectId: team, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1}
      - {principalType: ApplicationUser, principalObjectId: butler, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e2}
`)
	for _, c := range []struct {
		who  string
		want error
	}{{"ena", admin.ErrForbidden}, {"gia", nil}} {
		_, err := w.AddMembers(ctx(), w.as(c.who), admin.MembersRequest{Group: "team", Members: []authz.Principal{user("new")}})
		want(t, "a member, by "+c.who, err, c.want)
		_, err = w.PutGroup(ctx(), w.as(c.who), admin.PutGroupRequest{Group: admin.Group{ID: "team", Owners: []authz.Principal{user("new")}}, Etag: admin.AnyEtag})
		want(t, "an owner, by "+c.who, err, c.want)
	}
}
