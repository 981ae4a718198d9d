package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestOnePrincipalRoleAndScopeHasOneAssignment(t *testing.T) {
	w := newWorld(t, company)
	root := w.as("root")
	_, err := w.assign(root, user("x"), reader, envE1)
	want(t, "the first", err, nil)
	_, err = w.assign(root, user("x"), "power-platform-reader", envE1, effect(authz.AssignDeny))
	want(t, "a second, whatever its effect", err, admin.ErrDuplicate)
	_, err = w.assign(root, app("x"), reader, envE1)
	want(t, "a second, of the same object under another type", err, admin.ErrDuplicate)
	_, err = w.assign(root, user("x"), reader, envE2)
	want(t, "one at another scope", err, nil)
	_, err = w.assign(root, user("x"), contributor, envE1)
	want(t, "one of another role", err, nil)
}

func TestAnExpiredAssignmentMakesWayAndTheRecordSaysSo(t *testing.T) {
	w := newWorld(t, company)
	root := w.as("root")
	first, err := w.assign(root, user("x"), reader, envE1, until(begin.Add(time.Hour)))
	want(t, "the first", err, nil)
	w.clock.move(59 * time.Minute)
	_, err = w.assign(root, user("x"), reader, envE1)
	want(t, "while it holds", err, admin.ErrDuplicate)
	w.clock.move(time.Minute)
	second, err := w.assign(root, user("x"), reader, envE1)
	want(t, "when it has expired", err, nil)
	if second.RoleAssignment.ID == first.RoleAssignment.ID {
		t.Error("the new assignment has the old one's identifier")
	}
	if id := w.find(user("x"), envE1); id != second.RoleAssignment.ID {
		t.Errorf("there is %s, want %s", id, second.RoleAssignment.ID)
	}
	text := lastEntry(t, w)
	for _, part := range []string{`"target":"roleAssignments/` + first.RoleAssignment.ID + `","before"`, `"target":"roleAssignments/` + second.RoleAssignment.ID + `","after"`, "made way"} {
		if !strings.Contains(text, part) {
			t.Errorf("the entry lacks %s:\n%s", part, text)
		}
	}
}

func lastEntry(t *testing.T, w *world) string {
	t.Helper()
	page, err := w.Audit(ctx(), operator, admin.AuditRequest{Size: 1000})
	if err != nil || len(page.Entries) == 0 {
		t.Fatalf("%d entries, %v", len(page.Entries), err)
	}
	return string(page.Entries[len(page.Entries)-1].Text)
}

func TestAnAssignmentMustMakeSense(t *testing.T) {
	w := newWorld(t, strings.Replace(company, "- id: t1\n", "- id: t1\n    directoryComplete: true\n", 1))
	for _, c := range []struct {
		name        string
		p           authz.Principal
		role, scope string
		more        func(*admin.CreateRoleAssignmentRequest)
		want        error
		field       string
	}{
		{"a role that there is not", user("ada"), "No Such", envE1, nil, admin.ErrRoleUnknown, "Role"},
		{"no role", user("ada"), "", envE1, nil, admin.ErrRoleUnknown, "Role"},
		{"a role that is not assignable there", user("ada"), "PowerApp Owner", envE1, nil, admin.ErrNotAssignable, "Scope"},
		{"a role where it is assignable", user("ada"), "PowerApp Owner", envE1 + "/powerapps/a1", nil, nil, ""},
		{"an environment that is not listed", user("ada"), reader, "/tenants/t1/environments/xx", nil, admin.ErrScopeUnknown, "Scope"},
		{"a group that is not listed", user("ada"), reader, "/tenants/t1/environmentGroups/xx", nil, admin.ErrScopeUnknown, "Scope"},
		{"a business unit that is not listed", user("ada"), reader, envE1 + "/businessUnits/xx", nil, admin.ErrScopeUnknown, "Scope"},
		{"no scope", user("ada"), reader, "", nil, admin.ErrInvalid, "Scope"},
		{"what is no scope", user("ada"), reader, "tenants/t1", nil, admin.ErrInvalid, "Scope"},
		{"a principal that the directory does not list", user("stranger"), reader, envE1, nil, admin.ErrPrincipalDoesNotExist, "Principal"},
		{"a group that the directory does not list", group("stranger"), reader, envE1, nil, admin.ErrPrincipalDoesNotExist, "Principal"},
		{"a directory role, which no directory lists", authz.Principal{Type: authz.DirectoryRole, ID: "d"}, reader, envE1, nil, nil, ""},
		{"a disabled principal", user("gone"), reader, envE1, nil, admin.ErrPrincipalDisabled, "Principal"},
		{"a disabled principal under its other type", app("gone"), reader, envE1, nil, admin.ErrPrincipalDisabled, "Principal"},
		{"a principal without an identifier", user(""), reader, envE1, nil, admin.ErrInvalid, "Principal"},
		{"a principal without a type", authz.Principal{ID: "ada"}, reader, envE1, nil, admin.ErrInvalid, "Principal"},
		{"an expiry that has passed", user("ada"), reader, envE1, until(begin), admin.ErrInvalid, "Expires"},
		{"an effect that there is not", user("ada"), reader, envE1, effect(9), admin.ErrInvalid, "Effect"},
		{"a listed member", user("bob"), reader, envE1, nil, nil, ""},
	} {
		var err error
		if c.more == nil {
			_, err = w.assign(w.as("root"), c.p, c.role, c.scope)
		} else {
			_, err = w.assign(w.as("root"), c.p, c.role, c.scope, c.more)
		}
		want(t, c.name, err, c.want)
		if e, ok := err.(*admin.Error); ok && e.Field != c.field { //nolint:errorlint // every call fails with an Error itself
			t.Errorf("%s: the field is %q, want %q", c.name, e.Field, c.field)
		}
	}
}

func TestThePublishedAPIKnowsBuiltInRolesAndAllowsAlone(t *testing.T) {
	w := newWorld(t, company)
	root := w.as("root")
	_, err := w.CreateRoleDefinition(ctx(), root, admin.CreateRoleDefinitionRequest{RoleDefinition: flowOperator()})
	want(t, "make a role", err, nil)
	only := func(q *admin.CreateRoleAssignmentRequest) { q.ShippedOnly = true }
	_, err = w.assign(root, user("x"), "Flow Operator", envE1, only)
	want(t, "a custom role", err, admin.ErrRoleUnknown)
	plain, err := w.assign(root, user("x"), reader, envE1, only)
	want(t, "a built-in role", err, nil)
	deny, err := w.assign(root, user("y"), reader, envE1, effect(authz.AssignDeny))
	want(t, "a DENY", err, nil)
	custom, err := w.assign(root, user("y"), "Flow Operator", envE1)
	want(t, "a custom role through our own API", err, nil)
	for id, kind := range map[string]error{plain.RoleAssignment.ID: nil, deny.RoleAssignment.ID: admin.ErrNotFound, custom.RoleAssignment.ID: admin.ErrNotFound} {
		_, err := w.DeleteRoleAssignment(ctx(), root, admin.DeleteRoleAssignmentRequest{ID: id, ExactScope: envE1, ShippedAllowOnly: true})
		want(t, "remove", err, kind)
	}
}

func TestADisabledPrincipalIsAssignedWhereThatIsAllowed(t *testing.T) {
	w := newWorld(t, company, func(o *admin.Options) { o.AllowRoleAssignmentOnDisabledUsers = true })
	_, err := w.assign(w.as("root"), user("gone"), reader, envE1)
	want(t, "assign", err, nil)
}

func TestBuiltInRolesCannotBeChanged(t *testing.T) {
	w := newWorld(t, company)
	def, _, err := w.RoleDefinition(ctx(), w.as("root"), "", reader)
	want(t, "find", err, nil)
	if !def.BuiltIn || def.Etag != "" {
		t.Errorf("%+v", def)
	}
	_, err = w.UpdateRoleDefinition(ctx(), w.as("root"), admin.UpdateRoleDefinitionRequest{RoleDefinition: def.RoleDefinition, Etag: admin.AnyEtag})
	want(t, "change", err, admin.ErrImmutable)
	_, err = w.DeleteRoleDefinition(ctx(), w.as("root"), admin.DeleteRoleDefinitionRequest{ID: strings.ToUpper(def.ID), Etag: admin.AnyEtag})
	want(t, "remove", err, admin.ErrImmutable)
}

func TestCustomRolesAreMadeEditedCopiedAndRemoved(t *testing.T) {
	w := newWorld(t, company)
	root := w.as("root")
	create := func(change func(*authz.RoleDefinition)) error {
		def := flowOperator()
		change(&def)
		_, err := w.CreateRoleDefinition(ctx(), root, admin.CreateRoleDefinitionRequest{RoleDefinition: def})
		return err
	}
	made, err := w.CreateRoleDefinition(ctx(), root, admin.CreateRoleDefinitionRequest{RoleDefinition: flowOperator()})
	want(t, "make", err, nil)
	for name, c := range map[string]struct {
		change func(*authz.RoleDefinition)
		want   error
	}{
		"a name that is taken, spelt otherwise":  {func(d *authz.RoleDefinition) { d.Name = "FLOW-operator" }, admin.ErrDuplicate},
		"the name of a built-in role":            {func(d *authz.RoleDefinition) { d.Name = "power platform reader" }, admin.ErrDuplicate},
		"no name":                                {func(d *authz.RoleDefinition) { d.Name = " - " }, admin.ErrInvalid},
		"an identifier":                          {func(d *authz.RoleDefinition) { d.Name, d.ID = "A", "mine" }, admin.ErrInvalid},
		"a permission that there is not":         {func(d *authz.RoleDefinition) { d.Name, d.Permissions = "B", []string{"No.Such.Read"} }, admin.ErrInvalid},
		"an exception that there is not":         {func(d *authz.RoleDefinition) { d.Name, d.PermissionsExceptions = "C", []string{"No.Such.Read"} }, admin.ErrInvalid},
		"a scope that is none":                   {func(d *authz.RoleDefinition) { d.Name, d.AssignableScopes = "D", []string{"/x"} }, admin.ErrInvalid},
		"a scope of another tenant":              {func(d *authz.RoleDefinition) { d.Name, d.AssignableScopes = "E", []string{"/tenants/t2"} }, admin.ErrInvalid},
		"no scope at which it could be assigned": {func(d *authz.RoleDefinition) { d.Name, d.AssignableScopes = "F", nil }, admin.ErrInvalid},
	} {
		want(t, name, create(c.change), c.want)
	}
	copied, err := w.CreateRoleDefinition(ctx(), root, admin.CreateRoleDefinitionRequest{RoleDefinition: authz.RoleDefinition{Name: "My Contributor"}, CopyOf: contributor})
	want(t, "copy", err, nil)
	if diff := cmp.Diff([]string{"*"}, copied.RoleDefinition.Permissions); diff != "" || len(copied.RoleDefinition.PermissionsExceptions) != 2 {
		t.Errorf("the copy is %+v", copied.RoleDefinition)
	}

	made2, err := w.assign(root, user("x"), made.RoleDefinition.ID, envE1)
	want(t, "assign", err, nil)
	_, err = w.DeleteRoleDefinition(ctx(), root, admin.DeleteRoleDefinitionRequest{ID: made.RoleDefinition.ID, Etag: admin.AnyEtag})
	want(t, "remove while it is assigned", err, admin.ErrInUse)
	def := made.RoleDefinition.RoleDefinition
	def.AssignableScopes = []string{"/tenants/{0}/environments/e2"}
	_, err = w.UpdateRoleDefinition(ctx(), root, admin.UpdateRoleDefinitionRequest{RoleDefinition: def, Etag: admin.AnyEtag})
	want(t, "an edit after which an assignment could not be made", err, admin.ErrInUse)
	_, err = w.unassign(root, made2.RoleAssignment.ID)
	want(t, "unassign", err, nil)
	_, err = w.DeleteRoleDefinition(ctx(), root, admin.DeleteRoleDefinitionRequest{ID: made.RoleDefinition.ID, Etag: admin.AnyEtag})
	want(t, "remove", err, nil)
}

func TestAnEditMustSayWhichStateItEdits(t *testing.T) {
	w := newWorld(t, company)
	root := w.as("root")
	made, err := w.CreateRoleDefinition(ctx(), root, admin.CreateRoleDefinitionRequest{RoleDefinition: flowOperator()})
	want(t, "make a role", err, nil)
	def, old := made.RoleDefinition.RoleDefinition, made.RoleDefinition.Etag
	edit := func(description, etag string) (string, error) {
		def.Description = description
		r, err := w.UpdateRoleDefinition(ctx(), root, admin.UpdateRoleDefinitionRequest{RoleDefinition: def, Etag: etag})
		return r.RoleDefinition.Etag, err
	}
	_, err = edit("a", "")
	want(t, "without an etag", err, admin.ErrEtagRequired)
	_, err = edit("a", `"other"`)
	want(t, "with another", err, admin.ErrEtagMismatch)
	next, err := edit("a", old)
	want(t, "with its own", err, nil)
	_, err = edit("b", old)
	want(t, "with the one before", err, admin.ErrEtagMismatch)
	_, err = edit("b", next)
	want(t, "with the next one", err, nil)
	_, err = edit("c", "*")
	want(t, "with a star", err, nil)
	found, _, err := w.RoleDefinition(ctx(), root, "", "Flow Operator")
	want(t, "find", err, nil)
	if found.Description != "c" || !strings.HasPrefix(found.Etag, `"`) {
		t.Errorf("found %+v", found)
	}

	puts := map[string]func(etag, text string) (string, error){
		"a group": func(etag, text string) (string, error) {
			r, err := w.PutGroup(ctx(), root, admin.PutGroupRequest{Group: admin.Group{ID: "new", DisplayName: text}, Etag: etag})
			return r.Group.Etag, err
		},
		"a principal": func(etag, text string) (string, error) {
			r, err := w.PutPrincipal(ctx(), root, admin.PutPrincipalRequest{Principal: admin.Principal{Principal: user("new-one"), DisplayName: text}, Etag: etag})
			return r.Principal.Etag, err
		},
		"an environment": func(etag, text string) (string, error) {
			r, err := w.PutEnvironment(ctx(), root, admin.PutEnvironmentRequest{Environment: admin.Environment{ID: "new", Dataverse: text == "b"}, Etag: etag})
			return r.Environment.Etag, err
		},
	}
	for name, put := range puts {
		_, err := put(`"x"`, "a")
		want(t, name+" that there is not, with an etag", err, admin.ErrEtagMismatch)
		etag, err := put("", "a")
		want(t, name+" that there is not", err, nil)
		_, err = put("", "b")
		want(t, name+" that there is, without an etag", err, admin.ErrEtagRequired)
		_, err = put(etag, "b")
		want(t, name+" with its etag", err, nil)
		_, err = put(etag, "a")
		want(t, name+" with the etag before", err, admin.ErrEtagMismatch)
	}
}

func TestGroupsInACircleAreRefusedByName(t *testing.T) {
	w := newWorld(t, company)
	add := func(g, member string) error {
		_, err := w.AddMembers(ctx(), w.as("root"), admin.MembersRequest{Group: g, Members: []authz.Principal{group(member)}})
		return err
	}
	err := add("team", "staff")
	want(t, "the outer in the inner", err, admin.ErrCircle)
	if err != nil && !strings.Contains(err.Error(), "staff in team in staff") {
		t.Errorf("the circle is not named: %v", err)
	}
	want(t, "itself", add("team", "team"), admin.ErrCircle)
}

func TestMembersAreAddedAndRemovedOnce(t *testing.T) {
	w := newWorld(t, company)
	q := admin.MembersRequest{Group: "team", Members: []authz.Principal{user("x"), user("x"), user("bob")}}
	r, err := w.AddMembers(ctx(), w.as("root"), q)
	want(t, "add", err, nil)
	if r.Count != 1 {
		t.Errorf("%d were added, want 1: the other is one already", r.Count)
	}
	at := w.revision()
	r, err = w.AddMembers(ctx(), w.as("root"), q)
	want(t, "add again", err, nil)
	if r.Count != 0 || w.revision() != at || r.Revision != at {
		t.Errorf("adding again: %+v, revision %v; want none, and %v", r, w.revision(), at)
	}
	r, err = w.RemoveMembers(ctx(), w.as("root"), admin.MembersRequest{Group: "team", Members: []authz.Principal{app("x"), user("nobody")}})
	want(t, "remove", err, nil)
	list, err := w.Members(ctx(), w.as("root"), "", "team", admin.Page{})
	want(t, "list", err, nil)
	if diff := cmp.Diff([]authz.Principal{user("bob")}, list.Items); diff != "" || r.Count != 1 {
		t.Errorf("%d removed, members (-want +got):\n%s", r.Count, diff)
	}
}

func TestWhatLivesBelowGoesWithTheEnvironment(t *testing.T) {
	w := newWorld(t, company)
	root := w.as("root")
	_, err := w.PutBusinessUnit(ctx(), root, admin.PutBusinessUnitRequest{BusinessUnit: authz.BusinessUnit{ID: "b1", Environment: "e1"}})
	want(t, "a business unit", err, nil)
	_, err = w.PutBusinessUnit(ctx(), root, admin.PutBusinessUnitRequest{BusinessUnit: authz.BusinessUnit{ID: "b2", Environment: "e1", Parent: "b1"}})
	want(t, "one below it", err, nil)
	_, err = w.PutBusinessUnit(ctx(), root, admin.PutBusinessUnitRequest{BusinessUnit: authz.BusinessUnit{ID: "b1", Environment: "e1", Parent: "b2"}, Etag: "*"})
	want(t, "in a circle", err, admin.ErrCircle)
	_, err = w.DeleteBusinessUnit(ctx(), root, admin.DeleteBusinessUnitRequest{Environment: "e1", ID: "b1", Etag: "*"})
	want(t, "remove one that has children", err, admin.ErrInUse)
	for _, scope := range []string{envE1, envE1 + "/powerapps/a1", envE1 + "/businessUnits/b2"} {
		role := reader
		_, err = w.assign(root, user("x"), role, scope)
		want(t, "assign at "+scope, err, nil)
	}
	_, err = w.DeleteEnvironmentGroup(ctx(), root, admin.EnvironmentGroupRequest{ID: "g1"})
	want(t, "remove a group with environments", err, admin.ErrInUse)
	_, err = w.DeleteEnvironment(ctx(), root, admin.DeleteEnvironmentRequest{ID: "e1", Etag: "*"})
	want(t, "remove the environment", err, nil)
	list, err := w.RoleAssignments(ctx(), root, admin.RoleAssignmentsRequest{IncludeNestedScopes: true, Principal: user("x")})
	want(t, "list", err, nil)
	if len(list.Items) != 0 {
		t.Errorf("left behind: %+v", list.Items)
	}
	_, err = w.BusinessUnits(ctx(), root, "", "e1", admin.Page{})
	want(t, "its business units", err, admin.ErrScopeUnknown)
}

func TestWhereAFileIsTheRecordEveryChangeIsRefused(t *testing.T) {
	w := newWorld(t, company, func(o *admin.Options) { o.Writable = false })
	_, err := w.assign(w.as("root"), user("x"), reader, envE1)
	want(t, "assign", err, admin.ErrReadOnlySource)
	_, err = w.Import(ctx(), operator, admin.ImportRequest{Data: parse(t, company)})
	want(t, "import", err, admin.ErrReadOnlySource)
	_, err = w.BreakGlass(ctx(), operator, admin.BreakGlassRequest{Context: admin.Context{Tenant: "t1", Justification: "x"}, Principal: user("x")})
	want(t, "break glass", err, admin.ErrReadOnlySource)
	_, err = w.RoleAssignments(ctx(), w.as("root"), admin.RoleAssignmentsRequest{})
	want(t, "read", err, nil)
}

func TestARoleIsNotNamedByWhatIsNotSeen(t *testing.T) {
	w := newWorld(t, company)
	for _, name := range []string{
		"Power Platform\u00a0Owner", "Power\u200b Platform Owner", "Power Platform Owner\u202e", "\ufeffPower Platform Owner", "Power Platform Owner\u0085",
	} {
		def := flowOperator()
		def.Name = name
		_, err := w.CreateRoleDefinition(ctx(), w.as("root"), admin.CreateRoleDefinitionRequest{RoleDefinition: def})
		want(t, fmt.Sprintf("%+q", name), err, admin.ErrInvalid)
	}
	for _, name := range []string{"POWER-platform  owner", "power platform owner"} {
		def := flowOperator()
		def.Name = name
		_, err := w.CreateRoleDefinition(ctx(), w.as("root"), admin.CreateRoleDefinitionRequest{RoleDefinition: def})
		want(t, name, err, admin.ErrDuplicate)
	}
	def := flowOperator()
	def.Name = "Flusslotse für Köln"
	_, err := w.CreateRoleDefinition(ctx(), w.as("root"), admin.CreateRoleDefinitionRequest{RoleDefinition: def})
	want(t, "letters of any language", err, nil)
}
