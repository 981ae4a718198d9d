package admin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func ctx() context.Context { return context.Background() }

func TestNobodyGivesThemselvesAPermission(t *testing.T) {
	w := newWorld(t, company)
	second := w.as("second", "token-group")
	wids := w.caller(authz.SubjectSpec{Tenant: "t1", Principal: user("second"), DirectoryRoles: []string{"wid"}})
	for _, c := range []struct {
		name string
		who  admin.Caller
		to   authz.Principal
		want error
	}{
		{"themselves", second, user("second"), admin.ErrSelfEscalation},
		{"themselves, as an application", second, app("second"), admin.ErrSelfEscalation},
		{"a group that the token names", second, group("token-group"), admin.ErrSelfEscalation},
		{"a directory role that the token names", wids, authz.Principal{Type: authz.DirectoryRole, ID: "wid"}, admin.ErrSelfEscalation},
		{"somebody else", second, user("x"), nil},
		{"a group that they are not in", second, group("staff"), nil},
	} {
		_, err := w.assign(c.who, c.to, contributor, envE1)
		want(t, c.name, err, c.want)
	}
	_, err := w.assign(w.as("gia"), user("gia"), reader, envE1)
	want(t, "what one holds already, from above", err, nil)
}

func TestNobodyGivesAGroupThatTheDirectoryListsThemIn(t *testing.T) {
	w := newWorld(t, strings.Replace(company, "principalObjectId: bob", "principalObjectId: second", 1))
	second := w.as("second")
	_, err := w.assign(second, group("team"), contributor, envE1)
	want(t, "a group", err, admin.ErrSelfEscalation)
	_, err = w.assign(second, group("staff"), contributor, envE1)
	want(t, "a group around it", err, admin.ErrSelfEscalation)
	_, err = w.assign(second, group("staff"), contributor, envE1, effect(authz.AssignDeny))
	want(t, "a DENY, by which nobody gains", err, nil)
}

func TestNobodyGivesWhatTheyOwn(t *testing.T) {
	w := newWorld(t, company)
	root, second := w.as("root"), w.as("second")
	put := func(c admin.Caller, p authz.Principal, owners ...authz.Principal) error {
		_, err := w.PutPrincipal(ctx(), c, admin.PutPrincipalRequest{Principal: admin.Principal{Principal: p, Owners: owners}, Etag: admin.AnyEtag})
		return err
	}
	want(t, "an application owned by second", put(root, app("a1"), user("second")), nil)
	want(t, "an application owned by that application", put(root, app("a2"), app("a1")), nil)
	_, err := w.PutGroup(ctx(), root, admin.PutGroupRequest{Group: admin.Group{ID: "owned", Owners: []authz.Principal{app("a2")}}})
	want(t, "a group owned by that one", err, nil)
	for _, p := range []authz.Principal{app("a1"), app("a2"), group("owned")} {
		_, err := w.assign(second, p, contributor, envE1)
		want(t, p.String(), err, admin.ErrSelfEscalation)
		_, err = w.assign(root, p, contributor, envE1)
		want(t, p.String()+", by somebody else", err, nil)
	}
}

func TestNobodyComesToOwnWhatHoldsMore(t *testing.T) {
	w := newWorld(t, company)
	_, err := w.assign(w.as("root"), app("strong"), contributor, tenantT1)
	want(t, "an application with a role", err, nil)
	_, err = w.assign(w.as("root"), app("weak"), reader, tenantT1)
	want(t, "an application with less", err, nil)
	own := func(id string) error {
		_, err := w.PutPrincipal(ctx(), w.as("second"), admin.PutPrincipalRequest{Principal: admin.Principal{Principal: app(id), Owners: []authz.Principal{user("second")}}})
		return err
	}
	want(t, "the one that holds more", own("strong"), admin.ErrSelfEscalation)
	want(t, "the one that holds nothing more", own("weak"), nil)
}

func TestNobodyAddsThemselvesToAGroupThatHoldsMore(t *testing.T) {
	w := newWorld(t, company+`
      - {principalType: Group, principalObjectId: staff, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1/environments/e1}
`)
	add := func(g string, p authz.Principal) error {
		_, err := w.AddMembers(ctx(), w.as("second", "mine"), admin.MembersRequest{Group: g, Members: []authz.Principal{p}})
		return err
	}
	_, err := w.PutGroup(ctx(), w.as("root"), admin.PutGroupRequest{Group: admin.Group{ID: "mine"}})
	want(t, "make a group", err, nil)
	want(t, "themselves, directly", add("staff", user("second")), admin.ErrSelfEscalation)
	want(t, "themselves, through a group in it", add("team", user("second")), admin.ErrSelfEscalation)
	want(t, "a group of theirs", add("team", group("mine")), admin.ErrSelfEscalation)
	want(t, "somebody else", add("team", user("eve")), nil)
}

func TestNobodyEscapesADeny(t *testing.T) {
	w := newWorld(t, company+`
      - {principalType: User, principalObjectId: second, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1, effect: DENY}
      - {principalType: Group, principalObjectId: team, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e2, effect: FORBID}
      - {principalType: User, principalObjectId: third, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1}
      - {principalType: User, principalObjectId: third, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environmentGroups/g1, effect: DENY}
`)
	second := w.as("second")
	_, err := w.unassign(second, w.find(user("second"), envE1))
	want(t, "by removing it", err, admin.ErrSelfEscalation)
	_, err = w.AddMembers(ctx(), w.as("root"), admin.MembersRequest{Group: "team", Members: []authz.Principal{user("second")}})
	want(t, "become a member of a group that is denied", err, nil)
	_, err = w.RemoveMembers(ctx(), second, admin.MembersRequest{Group: "team", Members: []authz.Principal{user("second")}})
	want(t, "by leaving the group", err, admin.ErrSelfEscalation)
	_, err = w.DeleteGroup(ctx(), second, admin.DeleteGroupRequest{ID: "team", Etag: admin.AnyEtag})
	want(t, "by removing the group", err, admin.ErrSelfEscalation)
	_, err = w.unassign(second, w.find(group("team"), envE2))
	want(t, "by removing the group's", err, admin.ErrSelfEscalation)

	third := w.as("third")
	_, err = w.PutEnvironment(ctx(), third, admin.PutEnvironmentRequest{Environment: admin.Environment{ID: "e2"}, Etag: admin.AnyEtag})
	want(t, "by moving an environment out of the group where it is denied", err, admin.ErrSelfEscalation)
	_, err = w.DeleteEnvironment(ctx(), third, admin.DeleteEnvironmentRequest{ID: "e2", Etag: admin.AnyEtag})
	want(t, "by removing the environment, to list it anew", err, admin.ErrSelfEscalation)
	_, err = w.DeleteEnvironment(ctx(), second, admin.DeleteEnvironmentRequest{ID: "e1", Etag: admin.AnyEtag})
	want(t, "by removing the environment where it is denied", err, admin.ErrSelfEscalation)
}

func TestNobodyMovesAnEnvironmentToWhereTheyHoldMore(t *testing.T) {
	w := newWorld(t, company+`
      - {principalType: User, principalObjectId: second, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1/environmentGroups/g2}
`)
	put := func(id, g string) error {
		_, err := w.PutEnvironment(ctx(), w.as("second"), admin.PutEnvironmentRequest{Environment: admin.Environment{ID: id, Group: g}, Etag: admin.AnyEtag})
		return err
	}
	want(t, "one that is listed", put("e1", "g2"), admin.ErrSelfEscalation)
	want(t, "one that is listed anew", put("e9", "g2"), admin.ErrSelfEscalation)
	want(t, "one that is listed anew, elsewhere", put("e9", "g1"), nil)
}

func TestNobodyGainsTime(t *testing.T) {
	w := newWorld(t, company)
	_, err := w.assign(w.as("root"), user("temp"), contributor, envE1, until(begin.Add(time.Hour)))
	want(t, "a role for an hour", err, nil)
	_, err = w.assign(w.as("root"), user("temp"), administrator, tenantT1)
	want(t, "the administrator's role", err, nil)
	temp := w.as("temp")
	// Another role with the same permissions, so that it is no duplicate.
	copied, err := w.CreateRoleDefinition(ctx(), temp, admin.CreateRoleDefinitionRequest{RoleDefinition: authz.RoleDefinition{Name: "Copy"}, CopyOf: contributor})
	want(t, "copy the role", err, nil)
	_, err = w.assign(temp, user("temp"), "Copy", envE1)
	want(t, "the same for good", err, admin.ErrSelfEscalation)
	_, err = w.assign(temp, user("temp"), "Copy", envE1, until(begin.Add(2*time.Hour)))
	want(t, "the same for longer", err, admin.ErrSelfEscalation)
	_, err = w.assign(temp, user("temp"), "Copy", envE1, until(begin.Add(time.Hour)))
	want(t, "the same for as long", err, nil)
	_ = copied

	w = newWorld(t, company+`
      - {principalType: User, principalObjectId: second, roleDefinitionName: Power Platform Owner, scope: /tenants/t1/environments/e1, expiresOn: 2026-11-22T09:00:00Z}
      - {principalType: User, principalObjectId: second, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e3, effect: FORBID, expiresOn: 2026-11-22T10:00:00Z}
`)
	_, err = w.unassign(w.as("second"), w.find(user("second"), envE3))
	want(t, "a FORBID that ends, ended sooner", err, admin.ErrSelfEscalation)
}

func TestNobodyEditsARoleThatTheyHold(t *testing.T) {
	w := newWorld(t, company)
	root := w.as("root")
	made, err := w.CreateRoleDefinition(ctx(), root, admin.CreateRoleDefinitionRequest{RoleDefinition: flowOperator()})
	want(t, "make a role", err, nil)
	for who, e := range map[string]authz.AssignmentEffect{"second": authz.AssignAllow, "third": authz.AssignForbid} {
		_, err = w.assign(root, user(who), "flow-operator", envE1, effect(e))
		want(t, "assign it to "+who, err, nil)
	}
	_, err = w.assign(root, user("third"), administrator, tenantT1)
	want(t, "assign", err, nil)
	edit := func(who string, permissions ...string) error {
		def := made.RoleDefinition.RoleDefinition
		def.Permissions = permissions
		_, err := w.UpdateRoleDefinition(ctx(), w.as(who), admin.UpdateRoleDefinitionRequest{RoleDefinition: def, Etag: admin.AnyEtag})
		return err
	}
	want(t, "more, by who is assigned it", edit("second", "PowerAutomate.*"), admin.ErrSelfEscalation)
	want(t, "more, by somebody else", edit("root", "PowerAutomate.*"), nil)
	want(t, "less, by whom it forbids", edit("third", "PowerAutomate.Flows.Update"), admin.ErrSelfEscalation)
	want(t, "less, by who is assigned it", edit("second", "PowerAutomate.Flows.Read"), nil)
}

func TestNobodyEnablesWhatTheyOwn(t *testing.T) {
	w := newWorld(t, company)
	put := func(who string, disabled bool) error {
		_, err := w.PutPrincipal(ctx(), w.as(who), admin.PutPrincipalRequest{
			Principal: admin.Principal{Principal: app("a1"), Disabled: disabled, Owners: []authz.Principal{user("second")}}, Etag: admin.AnyEtag,
		})
		return err
	}
	_, err := w.assign(w.as("root"), app("a1"), contributor, envE1)
	want(t, "assign", err, nil)
	want(t, "disabled, and owned by second", put("root", true), nil)
	want(t, "enabled by its owner", put("second", false), admin.ErrSelfEscalation)
	_, err = w.DeletePrincipal(ctx(), w.as("second"), admin.DeletePrincipalRequest{Principal: app("a1"), Etag: admin.AnyEtag})
	want(t, "enabled by its owner, by being forgotten", err, admin.ErrSelfEscalation)
	want(t, "enabled by somebody else", put("root", false), nil)
}

func TestADisabledThingGainsWhatWouldBeItsOwn(t *testing.T) {
	w := newWorld(t, company, func(o *admin.Options) { o.AllowRoleAssignmentOnDisabledUsers = true })
	_, err := w.PutPrincipal(ctx(), w.as("root"), admin.PutPrincipalRequest{
		Principal: admin.Principal{Principal: app("a1"), Disabled: true, Owners: []authz.Principal{user("second")}},
	})
	want(t, "disabled, and owned by second", err, nil)
	_, err = w.assign(w.as("second"), app("a1"), contributor, envE1)
	want(t, "assigned a role by its owner", err, admin.ErrSelfEscalation)
}

func TestWhoseGroupsAreUnknownMayBeInAnyGroup(t *testing.T) {
	spec := authz.SubjectSpec{Tenant: "t1", Principal: user("second"), GroupsUnknown: true}
	w := newWorld(t, company)
	unknown := w.caller(spec)
	_, err := w.PutPrincipal(ctx(), w.as("root"), admin.PutPrincipalRequest{Principal: admin.Principal{Principal: app("a1"), Owners: []authz.Principal{group("club")}}})
	want(t, "an application that a group owns", err, nil)
	_, err = w.assign(unknown, group("anything"), contributor, envE1)
	want(t, "any group", err, admin.ErrSelfEscalation)
	_, err = w.assign(unknown, app("a1"), contributor, envE1)
	want(t, "what a group owns", err, admin.ErrSelfEscalation)
	_, err = w.assign(unknown, user("x"), contributor, envE1)
	want(t, "a person", err, nil)
	_, err = w.assign(w.as("second"), group("anything"), contributor, envE1)
	want(t, "any group, by whose groups are known", err, nil)

	w = newWorld(t, strings.Replace(company, "- id: t1\n", "- id: t1\n    directoryComplete: true\n", 1))
	_, err = w.assign(w.caller(spec), group("staff"), contributor, envE1)
	want(t, "a group that they are not in, where the directory is complete", err, nil)

	w = newWorld(t, company+`
      - {principalType: Group, principalObjectId: club, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e3, effect: DENY}
`)
	_, err = w.SetTenant(ctx(), w.caller(spec), admin.SetTenantRequest{DirectoryComplete: true})
	want(t, "the directory said to be complete, so that a group's DENY no longer counts", err, admin.ErrSelfEscalation)
}

func TestSelfEscalationCanBeAllowed(t *testing.T) {
	w := newWorld(t, company, func(o *admin.Options) { o.SelfEscalation = admin.PolicyAllow })
	if !strings.Contains(w.log.String(), "self_escalation is allowed") {
		t.Error("the log does not warn")
	}
	_, err := w.assign(w.as("second"), user("second"), owner, tenantT1)
	want(t, "themselves", err, nil)
}

func TestWhereEscalationIsRefusedNobodyGivesWhatTheyDoNotHold(t *testing.T) {
	w := newWorld(t, company+`
      - {principalType: Group, principalObjectId: staff, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1/environments/e1}
      - {principalType: User, principalObjectId: eve, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1/environments/e1, effect: DENY}
      - {principalType: User, principalObjectId: temp, roleDefinitionName: Power Platform Owner, scope: /tenants/t1, expiresOn: 2026-11-22T09:00:00Z}
`, func(o *admin.Options) { o.Escalation = admin.PolicyDeny })
	second, root := w.as("second"), w.as("root")
	_, err := w.assign(second, user("x"), contributor, envE1)
	want(t, "a role that is more", err, admin.ErrEscalation)
	_, err = w.assign(second, user("x"), reader, envE1)
	want(t, "a role that is not", err, nil)
	_, err = w.assign(w.as("temp"), user("y"), reader, envE1)
	want(t, "for longer than one holds it", err, admin.ErrEscalation)
	_, err = w.assign(w.as("temp"), user("y"), reader, envE1, until(begin.Add(time.Hour)))
	want(t, "for as long as one holds it", err, nil)
	_, err = w.AddMembers(ctx(), second, admin.MembersRequest{Group: "staff", Members: []authz.Principal{user("x")}})
	want(t, "membership in a group that holds more", err, admin.ErrEscalation)
	_, err = w.unassign(second, w.find(user("eve"), envE1))
	want(t, "what a DENY takes", err, admin.ErrEscalation)
	_, err = w.unassign(root, w.find(user("eve"), envE1))
	want(t, "what a DENY takes, by who holds it", err, nil)
	_, err = w.assign(root, user("x"), contributor, envE2)
	want(t, "by the owner", err, nil)
}

func TestAnAllowBeneathADenyNeedsWriteAtTheDenysScope(t *testing.T) {
	denied := `
      - {principalType: User, principalObjectId: bob, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environmentGroups/g1, effect: DENY}
      - {principalType: Group, principalObjectId: team, roleDefinitionName: Flow, scope: /tenants/t1, effect: DENY}
    roleDefinitions:
      - {roleDefinitionId: flow, roleDefinitionName: Flow, permissions: [PowerAutomate.Flows.Delete]}
      - {roleDefinitionId: apps, roleDefinitionName: Apps, permissions: [PowerApps.Apps.Update]}
`
	complete := strings.Replace(company, "- id: t1\n", "- id: t1\n    directoryComplete: true\n", 1) + denied
	w := newWorld(t, strings.Replace(complete, "principals:", "principals:\n      - {principalType: User, principalObjectId: carl}", 1))
	ena, gia, root := w.as("ena"), w.as("gia"), w.as("root")
	_, err := w.assign(ena, user("bob"), reader, envE1)
	want(t, "who may not assign at the DENY's scope", err, admin.ErrBeneathDeny)
	_, err = w.assign(gia, user("bob"), reader, envE1)
	want(t, "who may", err, nil)
	_, err = w.assign(ena, user("bob"), "Apps", envE1)
	want(t, "a role that the DENY does not cover", err, nil)
	_, err = w.assign(gia, user("bob"), "Flow", envE1)
	want(t, "a DENY of a group that the principal is in", err, admin.ErrBeneathDeny)
	_, err = w.assign(root, user("bob"), "Flow", envE1)
	want(t, "a DENY of a group, by who may assign there", err, nil)
	_, err = w.assign(ena, user("carl"), reader, envE1)
	want(t, "somebody whom no DENY is about, where the directory is complete", err, nil)
	_, err = w.assign(ena, group("staff"), reader, envE1)
	want(t, "a group, of which anybody could be a member", err, admin.ErrBeneathDeny)
	_, err = w.assign(ena, user("bob"), reader, envE1+"/powerapps/a1", effect(authz.AssignDeny))
	want(t, "a DENY beneath a DENY", err, nil)

	w = newWorld(t, company+denied)
	_, err = w.assign(w.as("ena"), user("carl"), "Flow", envE1)
	want(t, "a DENY of a group, where the directory does not say who is in it", err, admin.ErrBeneathDeny)
	_, err = w.assign(w.as("ena"), user("carl"), reader, envE1)
	want(t, "a DENY of another user, wherever anybody may belong", err, nil)
	_, err = w.assign(w.as("ena"), group("staff"), reader, envE1)
	want(t, "a DENY of a user, for a group that the user may be in", err, admin.ErrBeneathDeny)
}

func TestAMemberIsAddedBeneathADenyOnlyByWhoMayAssignThere(t *testing.T) {
	w := newWorld(t, strings.Replace(company, "- id: t1\n", "- id: t1\n    directoryComplete: true\n", 1)+`
      - {principalType: User, principalObjectId: dan, roleDefinitionName: Power Platform Reader, scope: /tenants/t1, effect: DENY}
      - {principalType: Group, principalObjectId: team, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1}
`)
	add := func(who string, p authz.Principal) error {
		_, err := w.AddMembers(ctx(), w.as(who), admin.MembersRequest{Group: "team", Members: []authz.Principal{p}})
		return err
	}
	want(t, "who is denied above", add("ena", user("dan")), admin.ErrBeneathDeny)
	want(t, "who is not", add("ena", user("carl")), nil)
	want(t, "who is denied above, by who may assign there", add("root", user("dan")), nil)
}

func TestATenantKeepsAnAdministrator(t *testing.T) {
	const alone = `
  - id: t1
    environments: [{id: e1}]
    groups: [{id: admins, members: [{principalType: User, principalObjectId: amy}]}]
    roleAssignments:
      - {principalType: User, principalObjectId: root, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
`
	tests := []struct {
		name, more string
		change     func(w *world) error
		want       error
	}{
		{"the last one is removed", "", func(w *world) error { _, err := w.unassign(w.as("root"), w.find(user("root"), tenantT1)); return err }, admin.ErrLastAdministrator},
		{"the last one is disabled", "", func(w *world) error {
			_, err := w.PutPrincipal(ctx(), w.as("root"), admin.PutPrincipalRequest{Principal: admin.Principal{Principal: user("root"), Disabled: true}})
			return err
		}, admin.ErrLastAdministrator},
		{"the last one is denied", "", func(w *world) error {
			_, err := w.assign(w.as("root"), user("root"), administrator, tenantT1, effect(authz.AssignDeny))
			return err
		}, admin.ErrLastAdministrator},
		{"the last one is forbidden for a while", "", func(w *world) error {
			_, err := w.assign(w.as("root"), user("root"), administrator, tenantT1, effect(authz.AssignForbid), until(begin.Add(time.Hour)))
			return err
		}, admin.ErrLastAdministrator},
		{"another one expires", "      - {principalType: User, principalObjectId: b, roleDefinitionName: Power Platform Owner, scope: /tenants/t1, expiresOn: 2027-01-01T00:00:00Z}",
			func(w *world) error { _, err := w.unassign(w.as("b"), w.find(user("root"), tenantT1)); return err }, admin.ErrLastAdministrator},
		{"another one is one of an environment", "      - {principalType: User, principalObjectId: b, roleDefinitionName: Power Platform Owner, scope: /tenants/t1/environments/e1}",
			func(w *world) error { _, err := w.unassign(w.as("root"), w.find(user("root"), tenantT1)); return err }, admin.ErrLastAdministrator},
		{"another one is a group without members", "      - {principalType: Group, principalObjectId: nobody, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}",
			func(w *world) error { _, err := w.unassign(w.as("root"), w.find(user("root"), tenantT1)); return err }, admin.ErrLastAdministrator},
		{"another one is a directory role", "      - {principalType: DirectoryRole, principalObjectId: d, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}",
			func(w *world) error { _, err := w.unassign(w.as("root"), w.find(user("root"), tenantT1)); return err }, admin.ErrLastAdministrator},
		{"another one is a member of a group", "      - {principalType: Group, principalObjectId: admins, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}",
			func(w *world) error { _, err := w.unassign(w.as("root"), w.find(user("root"), tenantT1)); return err }, nil},
		{"another one is an application", "      - {principalType: ApplicationUser, principalObjectId: a, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}",
			func(w *world) error { _, err := w.unassign(w.as("root"), w.find(user("root"), tenantT1)); return err }, nil},
		{"the members of the last group leave", "      - {principalType: Group, principalObjectId: admins, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}\n" +
			"      - {principalType: User, principalObjectId: root, roleDefinitionName: Power Platform Reader, scope: /tenants/t1, effect: DENY}",
			func(w *world) error {
				if _, err := w.unassign(w.as("amy"), w.find2(user("root"), authz.AssignAllow)); err != nil {
					return err
				}
				_, err := w.RemoveMembers(ctx(), w.as("amy"), admin.MembersRequest{Group: "admins", Members: []authz.Principal{user("amy")}})
				return err
			}, admin.ErrLastAdministrator},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, alone+c.more)
			before := w.revision()
			want(t, c.name, c.change(w), c.want)
			if c.want != nil && c.name != "the members of the last group leave" && w.revision() != before {
				t.Error("a refused change made a revision")
			}
		})
	}
}

// find2 returns the assignment of a principal at the tenant that has an effect.
func (w *world) find2(p authz.Principal, e authz.AssignmentEffect) string {
	w.t.Helper()
	_, all, err := w.store.AssignmentsAt(ctx(), "t1", tenantT1)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, as := range all {
		if as.Principal == p && as.Effect == e {
			return as.ID
		}
	}
	w.t.Fatalf("%s has no %s at the tenant", p, e)
	return ""
}

func TestATenantWithoutAnAdministratorCanBeChanged(t *testing.T) {
	w := newWorld(t, `
  - id: t1
    environments: [{id: e1}]
    roleAssignments:
      - {principalType: DirectoryRole, principalObjectId: pp, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
`)
	c := w.caller(authz.SubjectSpec{Tenant: "t1", Principal: user("x"), DirectoryRoles: []string{"pp"}})
	_, err := w.assign(c, user("root"), owner, tenantT1)
	want(t, "assign", err, nil)
}

// A directory role is in the token alone: no directory says who has it.
func TestAnAllowBeneathTheDenyOfADirectoryRoleNeedsWriteThereHoweverCompleteTheDirectory(t *testing.T) {
	w := newWorld(t, strings.Replace(strings.Replace(company, "- id: t1\n", "- id: t1\n    directoryComplete: true\n", 1),
		"principals:", "principals:\n      - {principalType: User, principalObjectId: carl}", 1)+`
      - {principalType: DirectoryRole, principalObjectId: wid, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environmentGroups/g1, effect: DENY}
      - {principalType: Group, principalObjectId: team, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1}
`)
	_, err := w.assign(w.as("ena"), user("carl"), reader, envE1)
	want(t, "by who may not assign at the DENY's scope", err, admin.ErrBeneathDeny)
	_, err = w.AddMembers(ctx(), w.as("ena"), admin.MembersRequest{Group: "team", Members: []authz.Principal{user("carl")}})
	want(t, "through a group", err, admin.ErrBeneathDeny)
	_, err = w.assign(w.as("gia"), user("carl"), reader, envE1)
	want(t, "by who may", err, nil)
}

// Who comes to own a group, or to be in it, comes to own what it owns.
func TestWhereEscalationIsRefusedNobodyGivesWhatAGiftOwns(t *testing.T) {
	w := newWorld(t, company, func(o *admin.Options) { o.Escalation = admin.PolicyDeny })
	root, second := w.as("root"), w.as("second")
	_, err := w.PutGroup(ctx(), root, admin.PutGroupRequest{Group: admin.Group{ID: "keepers"}})
	want(t, "a group", err, nil)
	_, err = w.PutPrincipal(ctx(), root, admin.PutPrincipalRequest{Principal: admin.Principal{Principal: app("robot"), Owners: []authz.Principal{group("keepers")}}})
	want(t, "an application that the group owns", err, nil)
	_, err = w.assign(root, app("robot"), contributor, tenantT1)
	want(t, "what second does not hold", err, nil)

	_, err = w.AddMembers(ctx(), second, admin.MembersRequest{Group: "keepers", Members: []authz.Principal{user("x")}})
	want(t, "a member of the group", err, admin.ErrEscalation)
	_, err = w.PutGroup(ctx(), second, admin.PutGroupRequest{Group: admin.Group{ID: "keepers", Owners: []authz.Principal{user("x")}}, Etag: admin.AnyEtag})
	want(t, "an owner of the group", err, admin.ErrEscalation)
	_, err = w.PutPrincipal(ctx(), second, admin.PutPrincipalRequest{
		Principal: admin.Principal{Principal: app("robot"), Owners: []authz.Principal{user("x"), group("keepers")}}, Etag: admin.AnyEtag,
	})
	want(t, "an owner of the application", err, admin.ErrEscalation)
	_, err = w.AddMembers(ctx(), root, admin.MembersRequest{Group: "keepers", Members: []authz.Principal{user("x")}})
	want(t, "by who holds it", err, nil)
}
