package admin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const branches = company + `
      - {principalType: User, principalObjectId: x, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}
      - {principalType: User, principalObjectId: x, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environmentGroups/g1}
      - {principalType: User, principalObjectId: x, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1}
      - {principalType: User, principalObjectId: x, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1/environments/e1/powerapps/a1, effect: DENY}
      - {principalType: User, principalObjectId: x, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e3}
      - {principalType: Group, principalObjectId: team, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1}
`

// scopes lists where assignments are and whose, "scope principal", below the tenant.
func scopes(items []admin.RoleAssignment) []string {
	var all []string
	for _, as := range items {
		all = append(all, strings.TrimPrefix(string(as.Scope), tenantT1)+" "+as.Principal.ID)
	}
	slices.Sort(all)
	return all
}

func TestAssignmentsAreListedByScope(t *testing.T) {
	w := newWorld(t, branches)
	for _, c := range []struct {
		name string
		q    admin.RoleAssignmentsRequest
		want []string
	}{
		{"exactly an environment", admin.RoleAssignmentsRequest{Scope: envE1}, []string{"/environments/e1 ena", "/environments/e1 team", "/environments/e1 x"}},
		{"with the scopes above", admin.RoleAssignmentsRequest{Scope: envE1, IncludeParentScopes: true}, []string{
			" ada", " root", " second", " x", "/environmentGroups/g1 gia", "/environmentGroups/g1 x", "/environments/e1 ena", "/environments/e1 team", "/environments/e1 x",
		}},
		{"with the scopes below", admin.RoleAssignmentsRequest{Scope: envE1, IncludeNestedScopes: true}, []string{
			"/environments/e1 ena", "/environments/e1 team", "/environments/e1 x", "/environments/e1/powerapps/a1 x",
		}},
		{"a group, with the environments in it", admin.RoleAssignmentsRequest{Scope: groupG1, IncludeNestedScopes: true}, []string{
			"/environmentGroups/g1 gia", "/environmentGroups/g1 x", "/environments/e1 ena", "/environments/e1 team", "/environments/e1 x", "/environments/e1/powerapps/a1 x",
		}},
		{"exactly the tenant", admin.RoleAssignmentsRequest{}, []string{" ada", " root", " second", " x"}},
		{"of a principal, everywhere", admin.RoleAssignmentsRequest{Principal: user("x"), IncludeNestedScopes: true}, []string{
			" x", "/environmentGroups/g1 x", "/environments/e1 x", "/environments/e1/powerapps/a1 x", "/environments/e3 x",
		}},
		{"of a principal, with its groups", admin.RoleAssignmentsRequest{Principal: user("bob"), ExpandGroups: true, IncludeNestedScopes: true}, []string{"/environments/e1 team"}},
		{"of a principal, without its groups", admin.RoleAssignmentsRequest{Principal: user("bob"), IncludeNestedScopes: true}, nil},
		{"of a principal, in a group of environments", admin.RoleAssignmentsRequest{Principal: user("x"), Scope: groupG1, IncludeNestedScopes: true}, []string{
			"/environmentGroups/g1 x", "/environments/e1 x", "/environments/e1/powerapps/a1 x",
		}},
		{"that cover a permission", admin.RoleAssignmentsRequest{Permission: "powerapps.apps.UPDATE", IncludeNestedScopes: true}, []string{" ada", " root", "/environments/e1/powerapps/a1 x"}},
		{"that the published API knows", admin.RoleAssignmentsRequest{Scope: envE1 + "/powerapps/a1", ShippedAllowOnly: true}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := w.RoleAssignments(ctx(), w.as("root"), c.q)
			want(t, "list", err, nil)
			if diff := cmp.Diff(c.want, scopes(list.Items)); diff != "" {
				t.Errorf("all at once (-want +got):\n%s", diff)
			}
			// The same, two at a time.
			var paged []admin.RoleAssignment
			q := c.q
			q.Page.Size = 2
			for {
				list, err := w.RoleAssignments(ctx(), w.as("root"), q)
				want(t, "page", err, nil)
				if len(list.Items) > 2 {
					t.Fatalf("a page of %d", len(list.Items))
				}
				paged = append(paged, list.Items...)
				if q.Page.Token = list.Next; list.Next == "" || len(paged) > 100 {
					break
				}
			}
			if diff := cmp.Diff(c.want, scopes(paged)); diff != "" {
				t.Errorf("page by page (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATokenOfAPageFitsItsRequestAlone(t *testing.T) {
	w := newWorld(t, branches)
	first, err := w.RoleAssignments(ctx(), w.as("root"), admin.RoleAssignmentsRequest{Page: admin.Page{Size: 1}})
	want(t, "the first page", err, nil)
	for name, q := range map[string]admin.RoleAssignmentsRequest{
		"another scope": {Scope: envE1, Page: admin.Page{Token: first.Next}},
		"no token":      {Page: admin.Page{Token: "x"}},
		"too large":     {Page: admin.Page{Size: 1001}},
		"negative":      {Page: admin.Page{Size: -1}},
	} {
		_, err := w.RoleAssignments(ctx(), w.as("root"), q)
		want(t, name, err, admin.ErrInvalid)
	}
	_, err = w.Groups(ctx(), w.as("root"), "", admin.Page{Token: first.Next})
	want(t, "another list", err, admin.ErrInvalid)
	_, err = w.RoleAssignments(ctx(), w.as("root"), admin.RoleAssignmentsRequest{Page: admin.Page{Size: 3, Token: first.Next}})
	want(t, "another size", err, nil)
}

func TestReadingNeedsReadAtTheScopeAskedAbout(t *testing.T) {
	w := newWorld(t, branches+`
      - {principalType: User, principalObjectId: root, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e3, effect: DENY}
`)
	list := func(who, scope string) ([]string, error) {
		l, err := w.RoleAssignments(ctx(), w.as(who), admin.RoleAssignmentsRequest{Scope: scope, IncludeNestedScopes: true, IncludeParentScopes: true})
		return scopes(l.Items), err
	}
	_, err := list("ena", tenantT1)
	want(t, "the tenant, by an environment's administrator", err, admin.ErrForbidden)
	_, err = list("eve", envE1)
	want(t, "by somebody without a role", err, admin.ErrForbidden)
	_, err = list("ena", "/tenants/t1/environments/xx")
	want(t, "what is not listed, by who may not know", err, admin.ErrForbidden)
	_, err = list("root", "/tenants/t1/environments/xx")
	want(t, "what is not listed", err, admin.ErrScopeUnknown)
	got, err := list("ena", envE1)
	want(t, "the environment, by its administrator", err, nil)
	if slices.ContainsFunc(got, func(s string) bool { return !strings.HasPrefix(s, "/environments/e1") }) {
		t.Errorf("ena sees what is above: %v", got)
	}
	got, err = list("root", tenantT1)
	want(t, "everything, by who is denied it in one environment", err, nil)
	if slices.Contains(got, "/environments/e3 x") || !slices.Contains(got, "/environments/e1 x") {
		t.Errorf("root sees %v", got)
	}
	environments, err := w.Environments(ctx(), w.as("root"), "", "", admin.Page{})
	want(t, "environments", err, nil)
	var ids []string
	for _, e := range environments.Items {
		ids = append(ids, e.ID+e.Group)
	}
	if diff := cmp.Diff([]string{"e1g1", "e2g1"}, ids); diff != "" {
		t.Errorf("environments (-want +got):\n%s", diff)
	}
	for name, call := range map[string]func(c admin.Caller) error{
		"groups":      func(c admin.Caller) error { _, err := w.Groups(ctx(), c, "", admin.Page{}); return err },
		"group":       func(c admin.Caller) error { _, _, err := w.Group(ctx(), c, "", "staff"); return err },
		"members":     func(c admin.Caller) error { _, err := w.Members(ctx(), c, "", "staff", admin.Page{}); return err },
		"principals":  func(c admin.Caller) error { _, err := w.Principals(ctx(), c, "", admin.Page{}); return err },
		"definitions": func(c admin.Caller) error { _, err := w.RoleDefinitions(ctx(), c, ""); return err },
		"definition":  func(c admin.Caller) error { _, _, err := w.RoleDefinition(ctx(), c, "", reader); return err },
		"env groups":  func(c admin.Caller) error { _, err := w.EnvironmentGroups(ctx(), c, "", admin.Page{}); return err },
	} {
		want(t, name+" by a Contributor of the tenant", call(w.as("ada")), nil)
		want(t, name+" by an environment's administrator", call(w.as("ena")), admin.ErrForbidden)
		want(t, name+" by an operator without a tenant", ignore(call(operator), name == "definitions" || name == "definition"), nil)
	}
}

// ignore turns an Invalid, which an operator who names no tenant gets, into nil.
func ignore(err error, allowed bool) error {
	if !allowed && admin.KindOf(err) == admin.Invalid {
		return nil
	}
	if !allowed && err == nil {
		return fmt.Errorf("an operator read it without naming a tenant")
	}
	return err
}

func TestAPrincipalsPermissionsAreChecked(t *testing.T) {
	w := newWorld(t, branches)
	check := func(c admin.Caller, p authz.Principal, scope string, permissions ...string) ([]admin.PermissionGranted, error) {
		r, err := w.CheckPrincipalPermissionForScope(ctx(), c, admin.CheckRequest{Principal: p, Scope: scope, Permissions: permissions})
		return r.Granted, err
	}
	got, err := check(w.as("ena"), user("bob"), envE1, "powerapps.apps.read", "PowerApps.Apps.Update")
	want(t, "bob, by the environment's administrator", err, nil)
	if diff := cmp.Diff([]admin.PermissionGranted{
		{Permission: "PowerApps.Apps.Read", Granted: true, Reason: authz.Granted},
		{Permission: "PowerApps.Apps.Update", Granted: false, Reason: authz.NoAssignment},
	}, got); diff != "" {
		t.Errorf("bob (-want +got):\n%s", diff)
	}
	_, err = check(w.as("ena"), user("bob"), envE2, "PowerApps.Apps.Read")
	want(t, "elsewhere", err, admin.ErrForbidden)
	got, err = check(w.as("eve"), user("eve"), envE2, "PowerApps.Apps.Read")
	want(t, "oneself", err, nil)
	if len(got) != 1 || got[0].Granted {
		t.Errorf("eve: %+v", got)
	}
	got, err = check(w.as("guest", "team"), user("guest"), envE1, "PowerApps.Apps.Read")
	want(t, "oneself, through a group of the token", err, nil)
	if len(got) != 1 || !got[0].Granted {
		t.Errorf("guest: %+v", got)
	}
	got, err = check(w.as("root"), user("gone"), envE2, "PowerApps.Apps.Read")
	want(t, "somebody disabled", err, nil)
	if len(got) != 1 || got[0].Reason != authz.PrincipalDisabled {
		t.Errorf("gone: %+v", got)
	}
	_, err = check(w.as("root"), user("x"), envE2, "No.Such.Read")
	want(t, "a permission that there is not", err, admin.ErrInvalid)
	_, err = check(w.as("root"), user("x"), envE2)
	want(t, "no permission", err, admin.ErrInvalid)
}

func TestChangesAreTold(t *testing.T) {
	w := newWorld(t, company+`
  - id: t2
    roleAssignments:
      - {principalType: User, principalObjectId: root2, roleDefinitionName: Power Platform Owner, scope: /tenants/t2}
`)
	root, root2 := w.as("root"), w.caller(authz.SubjectSpec{Tenant: "t2", Principal: user("root2")})
	start := w.revision()
	made, err := w.assign(root, user("x"), reader, envE1)
	want(t, "assign", err, nil)
	_, err = w.assign(root2, user("x"), reader, "/tenants/t2")
	want(t, "assign in another tenant", err, nil)
	_, err = w.unassign(root, made.RoleAssignment.ID)
	want(t, "unassign", err, nil)

	got, err := w.Changes(ctx(), root, admin.ChangesRequest{After: start})
	want(t, "changes", err, nil)
	if len(got.Revisions) != 2 || got.More || got.Through != w.revision() {
		t.Fatalf("changes: %+v", got)
	}
	first, second := got.Revisions[0], got.Revisions[1]
	target := "roleAssignments/" + made.RoleAssignment.ID
	if first.Action != "CreateRoleAssignment" || first.Items[0].Target != target || first.Items[0].Before != nil || first.Items[0].After == nil ||
		second.Action != "DeleteRoleAssignment" || second.Items[0].Target != target || second.Items[0].Before == nil || second.Items[0].After != nil {
		t.Errorf("changes: %+v", got.Revisions)
	}
	one, err := w.Changes(ctx(), root, admin.ChangesRequest{After: start, Limit: 1})
	want(t, "one change", err, nil)
	rest, err := w.Changes(ctx(), root, admin.ChangesRequest{After: one.Through})
	want(t, "the rest", err, nil)
	if !one.More || len(one.Revisions) != 1 || len(rest.Revisions) != 1 || rest.Revisions[0].Action != "DeleteRoleAssignment" {
		t.Errorf("one by one: %+v, %+v", one, rest)
	}
	none, err := w.Changes(ctx(), root, admin.ChangesRequest{After: w.revision()})
	want(t, "nothing new", err, nil)
	if len(none.Revisions) != 0 || none.More {
		t.Errorf("nothing new: %+v", none)
	}
	_, err = w.Changes(ctx(), w.as("ena"), admin.ChangesRequest{After: start})
	want(t, "by an environment's administrator", err, admin.ErrForbidden)

	later := w.revision()
	later.Number++
	other := w.revision()
	other.Epoch--
	for name, r := range map[string]authz.Revision{"before the first entry": {Epoch: start.Epoch, Number: start.Number - 1}, "one that is yet to come": later, "another epoch": other} {
		_, err := w.Changes(ctx(), root, admin.ChangesRequest{After: r})
		want(t, name, err, admin.ErrCompacted)
	}
}

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range admin.Kinds() {
		name := k.String()
		if name == "" || seen[name] {
			t.Errorf("kind %d is named %q", k, name)
		}
		seen[name] = true
	}
	if admin.KindOf(nil) != admin.Internal || admin.KindOf(fmt.Errorf("wrapped: %w", admin.ErrDuplicate)) != admin.Duplicate {
		t.Error("KindOf")
	}
}
