package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/rest"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	assignments      = "/authorization/roleAssignments"
	groupAssignments = "/authorization/environmentGroups/g1/roleAssignments"
	envAssignments   = "/authorization/environments/e1/roleAssignments"
)

// role is a creation's body.
func role(id, kind, principal, scope string) string {
	return fmt.Sprintf(`{"roleDefinitionId":%q,"principalObjectId":%q,"principalType":%q,"scope":%q}`, id, principal, kind, scope)
}

func TestACreationAnswersTheOneAssignment(t *testing.T) {
	w := newWorld(t, company)
	body := `{"roleDefinitionId":"FF954D61-a89a-4fbe-ace9-01c367b89f87","principalObjectId":"new","principalType":"ApplicationUser","scope":"/tenants/t1/environments/e1","expiresOn":"2027-01-31T02:00:00.5+02:00"}`
	got := w.as("ena", http.MethodPost, envAssignments+v, body)
	w.want("create", got, "OK")
	id := got.text1("roleAssignmentId")
	if !authz.IsGUID(id) {
		t.Errorf("the identifier is %q, want a GUID", id)
	}
	want := `{"roleAssignmentId":"` + id + `","scope":"/tenants/t1/environments/e1","principalType":"ApplicationUser","principalObjectId":"new",` +
		`"roleDefinitionId":"ff954d61-a89a-4fbe-ace9-01c367b89f87","createdByPrincipalType":"User","createdByPrincipalObjectId":"ena",` +
		`"createdOn":"2026-11-22T08:00:00Z","expiresOn":"2027-01-31T00:00:00Z"}` + "\n"
	if diff := cmp.Diff(want, got.text); diff != "" {
		t.Error(diff)
	}
	if got := got.header.Get("X-Pathgrant-Revision"); got != revisionText(w) {
		t.Errorf("X-Pathgrant-Revision is %q, want %q", got, revisionText(w))
	}
}

func revisionText(w *world) string {
	r := w.store.Current().Revision()
	return fmt.Sprintf("%d.%d", r.Epoch, r.Number)
}

func TestCreations(t *testing.T) {
	for _, tc := range []struct{ name, who, path, body, want string }{
		{"at the tenant", "root", assignments + v, role(readerID, "User", "new", "/tenants/t1"), "OK"},
		{"at a group of environments", "root", groupAssignments + v, role(readerID, "Group", "staff2", "/tenants/t1/environmentGroups/g1"), "OK"},
		{"at an environment", "root", envAssignments + v, role(readerID, "ApplicationUser", "new", "/tenants/t1/environments/e1"), "OK"},
		{"without an expiry", "root", assignments + v, strings.Replace(role(readerID, "User", "new", "/tenants/t1"), "}", `,"expiresOn":null}`, 1), "OK"},
		{"names of fields have no case", "root", assignments + v, strings.Replace(role(readerID, "User", "new", "/tenants/t1"), "principalType", "PrincipalType", 1), "OK"},
		{"by an administrator who does not hold what is given", "second", assignments + v, role(ownerID, "User", "new", "/tenants/t1"), "OK"},

		{"the body's scope is below the path's", "root", assignments + v, role(readerID, "User", "new", "/tenants/t1/environments/e1"), "Bad Request WrongResourceTypeForUrlContext"},
		{"the body's scope is above the path's", "root", envAssignments + v, role(readerID, "User", "new", "/tenants/t1"), "Bad Request WrongResourceTypeForUrlContext"},
		{"the body's scope is another environment", "root", envAssignments + v, role(readerID, "User", "new", "/tenants/t1/environments/e2"), "Bad Request WrongResourceTypeForUrlContext"},
		{"the body's scope is a thing in the environment", "root", envAssignments + v, role(projectOwnerID, "User", "new", "/tenants/t1/environments/e1/projects/p1"), "Bad Request WrongResourceTypeForUrlContext"},
		{"a group where an environment stands", "root", "/authorization/environments/g1/roleAssignments" + v, role(readerID, "User", "new", "/tenants/t1/environmentGroups/g1"), "Bad Request WrongResourceTypeForUrlContext"},
		{"the scope of another tenant", "root", assignments + v, role(readerID, "User", "new", "/tenants/t2"), "Forbidden Forbidden TenantMismatch"},
		{"no scope at all", "root", assignments + v, role(readerID, "User", "new", "everywhere"), "Bad Request BadRequest InvalidBody"},

		{"the role is assigned already", "root", assignments + v, role(contributorID, "User", "ada", "/tenants/t1"), "Conflict Conflict RoleAssignmentExists"},
		{"an unknown environment", "root", "/authorization/environments/e9/roleAssignments" + v, role(readerID, "User", "new", "/tenants/t1/environments/e9"), "Bad Request EndpointInvalid EnvironmentIdInvalid"},
		{"an unknown group", "root", "/authorization/environmentGroups/g9/roleAssignments" + v, role(readerID, "User", "new", "/tenants/t1/environmentGroups/g9"), "Bad Request EndpointInvalid EnvironmentGroupIdInvalid"},
		{"an environment that no path can name", "root", "/authorization/environments/a%2Fb/roleAssignments" + v, role(readerID, "User", "new", "/tenants/t1/environments/e1"), "Bad Request EndpointInvalid EnvironmentIdInvalid"},
		{"a disabled principal", "root", assignments + v, role(readerID, "User", "gone", "/tenants/t1"), "Bad Request PrincipalDisabled"},
		{"an unknown role", "root", assignments + v, role("00000000-0000-0000-0000-000000000001", "User", "new", "/tenants/t1"), "Bad Request RoleDefinitionDoesNotExist"},
		{"a role by its name", "root", assignments + v, role("Power Platform Reader", "User", "new", "/tenants/t1"), "Bad Request RoleDefinitionDoesNotExist"},
		{"a custom role by its identifier", "root", assignments + v, role("custom-1", "User", "new", "/tenants/t1"), "Bad Request RoleDefinitionDoesNotExist"},
		{"a custom role by its name", "root", assignments + v, role("Flow Operator", "User", "new", "/tenants/t1"), "Bad Request RoleDefinitionDoesNotExist"},
		{"a role that is not for such scopes", "root", assignments + v, role(projectOwnerID, "User", "new", "/tenants/t1"), "Bad Request RoleDefinitionNotAssignable"},
		{"an expiry that has passed", "root", assignments + v, strings.Replace(role(readerID, "User", "new", "/tenants/t1"), "}", `,"expiresOn":"2026-11-22T08:00:00Z"}`, 1), "Bad Request BadRequest InvalidBody"},
		{"an expiry at the beginning of time", "root", assignments + v, strings.Replace(role(readerID, "User", "new", "/tenants/t1"), "}", `,"expiresOn":"0001-01-01T00:00:00Z"}`, 1), "Bad Request BadRequest InvalidBody"},

		{"a role for oneself", "second", assignments + v, role(ownerID, "User", "second", "/tenants/t1"), "Forbidden Forbidden SelfEscalation"},
		{"without the permission", "ada", assignments + v, role(readerID, "User", "new", "/tenants/t1"), "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"above one's own scope", "ena", assignments + v, role(readerID, "User", "new", "/tenants/t1"), "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"beside one's own scope", "ena", "/authorization/environments/e2/roleAssignments" + v, role(readerID, "User", "new", "/tenants/t1/environments/e2"), "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"at the group of one's own scope", "ena", groupAssignments + v, role(readerID, "User", "new", "/tenants/t1/environmentGroups/g1"), "Forbidden Forbidden InsufficientPrincipalPermissions"},

		// Who may not is not told what exists.
		{"without the permission, an unknown environment", "ada", "/authorization/environments/e9/roleAssignments" + v, role(readerID, "User", "new", "/tenants/t1/environments/e9"), "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"without the permission, an unknown role", "ada", assignments + v, role("00000000-0000-0000-0000-000000000001", "User", "new", "/tenants/t1"), "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"without the permission, a duplicate", "ada", assignments + v, role(contributorID, "User", "ada", "/tenants/t1"), "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"from a tenant that is not listed", "root@t9", assignments + v, role(readerID, "User", "new", "/tenants/t9"), "Forbidden Forbidden InsufficientPrincipalPermissions"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, company)
			before := w.store.Current().Revision()
			got := w.as(tc.who, http.MethodPost, tc.path, tc.body)
			w.want("create", got, tc.want)
			if changed := w.store.Current().Revision() != before; changed != (tc.want == "OK") {
				t.Errorf("changed is %v", changed)
			}
		})
	}
}

func TestAnUnknownPrincipalDoesNotExist(t *testing.T) {
	w := newWorld(t, strings.Replace(company, "- id: t1", "- id: t1\n    directoryComplete: true", 1))
	w.want("create", w.as("root", http.MethodPost, assignments+v, role(readerID, "User", "stranger", "/tenants/t1")), "Bad Request PrincipalDoesNotExist")
	w.want("create", w.as("root", http.MethodPost, assignments+v, role(readerID, "User", "ada", "/tenants/t1")), "OK")
}

func TestBodiesThatAreRefused(t *testing.T) {
	good := role(readerID, "User", "new", "/tenants/t1")
	with := func(more string) string { return strings.TrimSuffix(good, "}") + "," + more + "}" }
	without := func(old string) string { return strings.Replace(good, old, "", 1) }
	w := newWorld(t, company)
	before := w.store.Current().Revision()
	for _, tc := range []struct{ name, body, says string }{
		{"an effect", with(`"effect":"DENY"`), `"effect": this operation knows no such field`},
		{"an effect of ALLOW", with(`"effect":"ALLOW"`), `"effect": this operation knows no such field`},
		{"a role's name", with(`"roleDefinitionName":"Power Platform Reader"`), `"roleDefinitionName": this operation knows no such field`},
		{"an identifier", with(`"roleAssignmentId":"mine"`), `"roleAssignmentId": this operation knows no such field`},
		{"a key that nobody knows", with(`"comment":""`), `"comment": this operation knows no such field`},
		{"a key twice", with(`"scope":"/tenants/t1"`), `"scope": it is there twice`},
		{"a key twice in another case", with(`"SCOPE":"/tenants/t1"`), `"SCOPE": it is there twice`},
		{"a key spelled with an escape twice", with(`"sc\u006fpe":"/tenants/t1"`), `"scope": it is there twice`},
		{"trailing garbage", good + "x", "something follows the JSON object"},
		{"a second object", good + good, "something follows the JSON object"},
		{"a list", "[" + good + "]", "the body must be a JSON object"},
		{"null", "null", "the body must be a JSON object"},
		{"half of it", good[:40], "the body ends before its JSON object does"},
		{"no scope", without(`,"scope":"/tenants/t1"`), "scope: it is missing"},
		{"a scope that is null", strings.Replace(good, `"/tenants/t1"`, "null", 1), "scope: want a text"},
		{"a scope that is empty", strings.Replace(good, `"/tenants/t1"`, `""`, 1), "scope: it must not be empty"},
		{"a scope that is a list", strings.Replace(good, `"/tenants/t1"`, `["/tenants/t1"]`, 1), "scope: want a text"},
		{"an object id that is a number", strings.Replace(good, `"new"`, "7", 1), "principalObjectId: want a text"},
		{"half of a surrogate pair", strings.Replace(good, `"new"`, `"\ud800"`, 1), "principalObjectId: it holds what is no character"},
		{"what is not UTF-8", strings.Replace(good, `new`, "\xff", 1), "the body is not UTF-8"},
		{"a principal type of Pathgrant's own", strings.Replace(good, `"User"`, `"DirectoryRole"`, 1), `principalType: "DirectoryRole" is none of User, Group, ApplicationUser`},
		{"a principal type in another case", strings.Replace(good, `"User"`, `"user"`, 1), `principalType: "user" is none of User, Group, ApplicationUser`},
		{"an expiry without an offset", with(`"expiresOn":"2027-01-01T00:00:00"`), "expiresOn:"},
		{"an expiry that is a number", with(`"expiresOn":1798761600`), "expiresOn: want a text"},
		{"more than 64 KiB", with(`"comment":"` + strings.Repeat("a", 64<<10) + `"`), "the body is larger than 65536 bytes"},
		{"two faults, both named", `{"effect":"DENY"}`, "roleDefinitionId: it is missing; principalObjectId: it is missing; principalType: it is missing; scope: it is missing; \"effect\": this operation knows no such field"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := w.as("root", http.MethodPost, assignments+v, tc.body)
			w.want("create", got, "Bad Request BadRequest InvalidBody")
			inner, _ := got.body["innererror"].(map[string]any)
			if text, _ := inner["message"].(string); !strings.Contains(text, tc.says) {
				t.Errorf("it says %q, want %q", text, tc.says)
			}
		})
	}
	if w.store.Current().Revision() != before {
		t.Error("something was changed")
	}
}

func TestBodiesMustBeJSON(t *testing.T) {
	w := newWorld(t, company)
	for _, tc := range [][2]string{
		{"application/json", "OK"},
		{"Application/JSON; charset=UTF-8", "Conflict Conflict RoleAssignmentExists"},
		{"application/x-www-form-urlencoded", "Unsupported Media Type UnsupportedMediaType"},
		{"text/plain", "Unsupported Media Type UnsupportedMediaType"},
		{"application/json; charset=utf-16", "Unsupported Media Type UnsupportedMediaType"},
		{"a/b/c", "Unsupported Media Type UnsupportedMediaType"},
	} {
		w.want(tc[0], w.send(http.MethodPost, assignments+v, role(readerID, "User", "new", "/tenants/t1"), func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer root")
			r.Header.Set("Content-Type", tc[0])
		}), tc[1])
	}
}

func TestWhatTheAPIDoesNotKnowIsNotNamed(t *testing.T) {
	w := newWorld(t, company)
	// The same principal, role and scope as the DENY: there can be no second assignment, and
	// the answer does not say what is in the way.
	got := w.as("root", http.MethodPost, "/authorization/environmentGroups/g2/roleAssignments"+v, role(readerID, "User", "dan", "/tenants/t1/environmentGroups/g2"))
	w.want("duplicate of a DENY", got, "Conflict Conflict RoleAssignmentExists")
	// An ALLOW beneath a DENY at whose scope the caller may not assign.
	below := w.as("den", http.MethodPost, "/authorization/environments/e4/roleAssignments"+v, role(readerID, "User", "dan", "/tenants/t1/environments/e4"))
	w.want("beneath a DENY", below, "Forbidden Forbidden InsufficientPrincipalPermissions")
	for _, a := range []answer{got, below} {
		for _, word := range []string{"DENY", "FORBID", "as-deny", "custom"} {
			if strings.Contains(a.text, word) {
				t.Errorf("%s: it names %s", a.text, word)
			}
		}
	}
}

func TestListsHoldWhatIsAssignedAtExactlyTheScope(t *testing.T) {
	w := newWorld(t, company)
	for _, tc := range []struct{ who, path, want string }{
		{"root", assignments, "as-ada as-root as-second"},
		{"root", groupAssignments, "as-staff"},
		{"root", "/authorization/environmentGroups/g2/roleAssignments", ""}, // but for a DENY
		{"root", envAssignments, "as-ena"},
		{"ena", envAssignments, "as-ena"},
		{"ada", envAssignments, "as-ena"},
	} {
		got := w.as(tc.who, http.MethodGet, tc.path+v, "")
		w.want(tc.path, got, "OK")
		if got.ids() != tc.want {
			t.Errorf("%s of %s: %q, want %q", tc.path, tc.who, got.ids(), tc.want)
		}
	}
	got := w.as("root", http.MethodGet, groupAssignments+v, "")
	want := `{"value":[{"roleAssignmentId":"as-staff","scope":"/tenants/t1/environmentGroups/g1","principalType":"Group","principalObjectId":"staff",` +
		`"roleDefinitionId":"c886ad2e-27f7-4874-8381-5849b8d8a090","createdByPrincipalType":null,"createdByPrincipalObjectId":null,"createdOn":null,` +
		`"expiresOn":"2027-01-01T00:00:00Z"}]}` + "\n"
	if diff := cmp.Diff(want, got.text); diff != "" {
		t.Error(diff)
	}
	if got := w.as("root", http.MethodGet, "/authorization/environmentGroups/g3/roleAssignments"+v, ""); got.text != `{"value":[]}`+"\n" {
		t.Errorf("an empty list is %s", got.text)
	}
}

func TestListsThatAreRefused(t *testing.T) {
	w := newWorld(t, company)
	for _, tc := range []struct{ who, path, want string }{
		{"ena", assignments, "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"stranger", assignments, "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"ena", "/authorization/environments/e2/roleAssignments", "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"stranger", "/authorization/environments/e9/roleAssignments", "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"root", "/authorization/environments/e9/roleAssignments", "Bad Request EndpointInvalid EnvironmentIdInvalid"},
		{"root", "/authorization/environmentGroups/g9/roleAssignments", "Bad Request EndpointInvalid EnvironmentGroupIdInvalid"},
		{"stranger", "/authorization/roleDefinitions", "Forbidden Forbidden InsufficientPrincipalPermissions"},
	} {
		w.want(tc.who+" "+tc.path, w.as(tc.who, http.MethodGet, tc.path+v, ""), tc.want)
	}
}

func TestTheRefusalNamesThePermissionAsTheServiceDoes(t *testing.T) {
	w := newWorld(t, company)
	got := w.as("stranger", http.MethodGet, assignments+v, "")
	want := `{"code":"Forbidden","message":"The caller is not authorized to perform the request.","innererror":{"code":"InsufficientPrincipalPermissions",` +
		`"message":"Authorization denied: Principal missing required permissions: [Authorization.RoleAssignments.Read, All.All.ReadWrite]"}}` + "\n"
	if diff := cmp.Diff(want, got.text); diff != "" {
		t.Error(diff)
	}
	got = w.as("undelegated", http.MethodGet, assignments+v, "")
	want = `{"code":"Forbidden","message":"The caller is not authorized to perform the request.","innererror":{"code":"InsufficientDelegatedPermissions",` +
		`"message":"Authorization denied: Application missing required delegated permissions: [Authorization.RoleAssignments.Read, All.All.ReadWrite]"}}` + "\n"
	if diff := cmp.Diff(want, got.text); diff != "" {
		t.Error(diff)
	}
}

func TestRoleDefinitionsAreTheBuiltInOnes(t *testing.T) {
	w := newWorld(t, company)
	got := w.as("root", http.MethodGet, "/Authorization/RoleDefinitions"+v, "")
	w.want("list", got, "OK")
	items, _ := got.body["value"].([]any)
	if len(items) != 32 {
		t.Errorf("there are %d, want the 32 that come with the product", len(items))
	}
	if strings.Contains(got.text, "Flow Operator") {
		t.Error("a custom role is listed")
	}
	var first struct {
		Value []json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal([]byte(got.text), &first); err != nil {
		t.Fatal(err)
	}
	want := `{"roleDefinitionId":"95e94555-018c-447b-8691-bdac8e12211e","roleDefinitionName":"Power Platform Role Based Access Control Administrator",` +
		`"description":"Reads everything, and makes and removes role assignments.","roleType":"BuiltInRole","assignableScopes":["/tenants/{0}"],"restrictedScopes":[],` +
		`"permissions":["*.Read","Authorization.RoleAssignments.Write","Authorization.RoleAssignments.Delete"],"permissionsExceptions":[]}`
	if diff := cmp.Diff(want, string(first.Value[0])); diff != "" {
		t.Error(diff)
	}
}

func TestDeletions(t *testing.T) {
	for _, tc := range []struct{ name, who, path, want string }{
		{"at the tenant", "root", assignments + "/as-ada", "OK"},
		{"at the group", "root", groupAssignments + "/as-staff", "OK"},
		{"at the environment", "root", envAssignments + "/as-ena", "OK"},
		{"of one's own", "ena", envAssignments + "/as-ena", "OK"},

		{"an environment's through the tenant", "root", assignments + "/as-ena", "Not Found RoleAssignmentNotFound"},
		{"a tenant's through an environment", "root", envAssignments + "/as-ada", "Not Found RoleAssignmentNotFound"},
		{"an environment's through another", "root", "/authorization/environments/e2/roleAssignments/as-ena", "Not Found RoleAssignmentNotFound"},
		{"a thing's through its environment", "root", envAssignments + "/as-app", "Not Found RoleAssignmentNotFound"},
		{"one that does not exist", "root", assignments + "/as-nothing", "Not Found RoleAssignmentNotFound"},
		{"in an environment that does not exist", "root", "/authorization/environments/e9/roleAssignments/as-ena", "Not Found RoleAssignmentNotFound"},
		{"a DENY", "root", "/authorization/environmentGroups/g2/roleAssignments/as-deny", "Not Found RoleAssignmentNotFound"},
		{"a FORBID", "root", envAssignments + "/as-forbid", "Not Found RoleAssignmentNotFound"},
		{"a custom role's", "root", assignments + "/as-custom", "Not Found RoleAssignmentNotFound"},

		{"without the permission", "ada", assignments + "/as-second", "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"without the permission, one that does not exist", "ada", assignments + "/as-nothing", "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"without the permission, a DENY", "ada", assignments + "/as-deny", "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"from another tenant", "root@t2", assignments + "/as-ada", "Forbidden Forbidden InsufficientPrincipalPermissions"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, company)
			before := w.store.Current().Revision()
			got := w.as(tc.who, http.MethodDelete, tc.path+v, "")
			w.want("delete", got, tc.want)
			if changed := w.store.Current().Revision() != before; changed != (tc.want == "OK") {
				t.Errorf("changed is %v", changed)
			}
			id := tc.path[strings.LastIndexByte(tc.path, '/')+1:]
			if tc.want == "OK" && got.text1("roleAssignmentId") != id {
				t.Errorf("it answers %s, want the assignment that was removed", got.text)
			}
		})
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	w := newWorld(t, company)
	w.want("the other administrator", w.as("root", http.MethodDelete, assignments+"/as-second"+v, ""), "OK")
	w.want("the last", w.as("root", http.MethodDelete, assignments+"/as-root"+v, ""), "Conflict Conflict LastAdministrator")
}

func TestAReadOnlySourceIsAConflict(t *testing.T) {
	w := newWorld(t, company, func(o *admin.Options, _ *rest.Options) { o.Writable = false })
	w.want("create", w.as("root", http.MethodPost, assignments+v, role(readerID, "User", "new", "/tenants/t1")), "Conflict Conflict ReadOnlySource")
	w.want("delete", w.as("root", http.MethodDelete, assignments+"/as-ada"+v, ""), "Conflict Conflict ReadOnlySource")
	w.want("list", w.as("root", http.MethodGet, assignments+v, ""), "OK")
}

func TestSearches(t *testing.T) {
	const tenant = "/authorization/listRoleAssignments"
	const environment = "/authorization/environments/e1/listRoleAssignments"
	at := func(scope, more string) string { return `{"Scope":"` + scope + `"` + more + `}` }
	w := newWorld(t, company)
	for _, tc := range []struct{ name, who, path, body, codes, want string }{
		{"exactly the tenant", "root", tenant, at("/tenants/t1", ""), "OK", "as-ada as-root as-second"},
		{"all below the tenant", "root", tenant, at("/tenants/t1", `,"IncludeNestedScopes":true,"ExpandSecurityGroups":true,"ExpandEnvironmentGroups":true,"IncludeParentScopes":true`), "OK", "as-ada as-root as-second as-ena as-den as-staff as-app"},
		{"exactly the environment", "root", environment, at("/tenants/t1/environments/e1", `,"IncludeNestedScopes":false`), "OK", "as-ena"},
		{"the environment and what is in it", "root", environment, at("/tenants/t1/environments/e1", `,"IncludeNestedScopes":true`), "OK", "as-ena as-app"},
		{"the environment and what it inherits", "root", environment, at("/tenants/t1/environments/e1", `,"IncludeParentScopes":true`), "OK", "as-ena as-ada as-root as-second"},
		{"with its group", "root", environment, at("/tenants/t1/environments/e1", `,"IncludeParentScopes":true,"ExpandEnvironmentGroups":true`), "OK", "as-ena as-staff as-ada as-root as-second"},
		{"of scopes above only what the caller may see", "ena", environment, at("/tenants/t1/environments/e1", `,"IncludeParentScopes":true,"ExpandEnvironmentGroups":true`), "OK", "as-ena"},
		{"of a principal", "root", environment, at("/tenants/t1/environments/e1", `,"IncludeParentScopes":true,"ExpandEnvironmentGroups":true,"PrincipalType":"User","PrincipalObjectId":"ada"`), "OK", "as-ada"},
		{"of a principal and its groups", "root", environment, at("/tenants/t1/environments/e1", `,"IncludeParentScopes":true,"ExpandEnvironmentGroups":true,"ExpandSecurityGroups":true,"PrincipalType":"User","PrincipalObjectId":"ada"`), "OK", "as-ada as-staff"},
		{"of a type", "root", tenant, at("/tenants/t1", `,"IncludeNestedScopes":true,"PrincipalType":"ApplicationUser"`), "OK", "as-app"},
		{"with a permission", "root", tenant, at("/tenants/t1", `,"Permission":"authorization.roleassignments.write"`), "OK", "as-root as-second"},
		{"with null for what is not asked", "root", tenant, at("/tenants/t1", `,"PrincipalType":null,"PrincipalObjectId":null,"Permission":null`), "OK", "as-ada as-root as-second"},

		{"an object id without a type", "root", tenant, at("/tenants/t1", `,"PrincipalObjectId":"ada"`), "Bad Request BadRequest InvalidBody", ""},
		{"an unknown permission", "root", tenant, at("/tenants/t1", `,"Permission":"Read"`), "Bad Request BadRequest InvalidBody", ""},
		{"a flag that is a text", "root", tenant, at("/tenants/t1", `,"IncludeNestedScopes":"true"`), "Bad Request BadRequest InvalidBody", ""},
		{"an unknown key", "root", tenant, at("/tenants/t1", `,"Filter":"x"`), "Bad Request BadRequest InvalidBody", ""},
		{"without a scope", "root", tenant, `{}`, "Bad Request BadRequest InvalidBody", ""},
		{"another scope than the path's", "root", tenant, at("/tenants/t1/environments/e1", ""), "Bad Request WrongResourceTypeForUrlContext", ""},
		{"another tenant", "root", tenant, at("/tenants/t2", ""), "Forbidden Forbidden TenantMismatch", ""},
		{"without the permission", "ena", tenant, at("/tenants/t1", ""), "Forbidden Forbidden InsufficientPrincipalPermissions", ""},
		{"an unknown environment", "root", "/authorization/environments/e9/listRoleAssignments", at("/tenants/t1/environments/e9", ""), "Bad Request EndpointInvalid EnvironmentIdInvalid", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := w.as(tc.who, http.MethodPost, tc.path+v, tc.body)
			w.want("search", got, tc.codes)
			if got.ids() != tc.want {
				t.Errorf("it is %q, want %q", got.ids(), tc.want)
			}
		})
	}
}

// pages follows @odata.nextLink to the end.
func (w *world) pages(method, path, body string) (pages []string, links []string) {
	w.t.Helper()
	for range 50 {
		got := w.as("root", method, path, body)
		w.want(path, got, "OK")
		pages = append(pages, got.ids())
		next := got.text1("@odata.nextLink")
		if next == "" {
			return pages, links
		}
		links = append(links, next)
		u, err := url.Parse(next)
		if err != nil || u.Scheme != "http" || u.Host != "example.com" {
			w.t.Fatalf("the next page is at %q", next)
		}
		path = u.RequestURI()
	}
	w.t.Fatal("the pages do not end")
	return nil, nil
}

func TestPagesAreCompleteAndBoundToTheirRequest(t *testing.T) {
	w := newWorld(t, company, func(_ *admin.Options, o *rest.Options) { o.PageSize = 1 })
	pages, links := w.pages(http.MethodGet, assignments+v, "")
	if diff := cmp.Diff([]string{"as-ada", "as-root", "as-second"}, slices.DeleteFunc(pages, func(ids string) bool { return ids == "" })); diff != "" {
		t.Error(diff)
	}
	const search, body = "/authorization/listRoleAssignments", `{"Scope":"/tenants/t1","IncludeNestedScopes":true}`
	pages, searchLinks := w.pages(http.MethodPost, search+v, body)
	if got := strings.Join(strings.Fields(strings.Join(pages, " ")), " "); got != "as-ada as-root as-second as-ena as-den as-staff as-app" {
		t.Errorf("the pages hold %q", got)
	}
	token := func(link string) string { return link[strings.Index(link, "$skiptoken="):] }
	for _, tc := range []struct{ name, method, path, body string }{
		{"another list", http.MethodGet, envAssignments + v + "&" + token(links[0]), ""},
		{"a search", http.MethodPost, search + v + "&" + token(links[0]), body},
		{"another body", http.MethodPost, search + v + "&" + token(searchLinks[0]), `{"Scope":"/tenants/t1","IncludeNestedScopes":true,"ExpandEnvironmentGroups":true}`},
		{"a token that was cut", http.MethodGet, assignments + v + "&" + token(links[0])[:30], ""},
		{"no token", http.MethodGet, assignments + v + "&$skiptoken=", ""},
		{"two tokens", http.MethodGet, assignments + v + "&" + token(links[0]) + "&" + token(links[0]), ""},
	} {
		w.want(tc.name, w.as("root", tc.method, tc.path, tc.body), "Bad Request BadRequest InvalidQuery")
	}
	w.want("another caller's", w.as("ena", http.MethodGet, assignments+v+"&"+token(links[0]), ""), "Forbidden Forbidden InsufficientPrincipalPermissions")
}

func TestAPageOfNothingButWhatIsLeftOutIsPassedOver(t *testing.T) {
	w := newWorld(t, company, func(_ *admin.Options, o *rest.Options) { o.PageSize = 1 })
	got := w.as("root", http.MethodPost, "/authorization/listRoleAssignments"+v, `{"Scope":"/tenants/t1","IncludeNestedScopes":true,"PrincipalType":"ApplicationUser"}`)
	if got.ids() != "as-app" {
		t.Errorf("the first page is %s", got.text)
	}
}

func TestChecks(t *testing.T) {
	const path = "/authorization/environments/e1/checkPrincipalPermissionForScope"
	ask := func(kind, id, scope, permissions string) string {
		return fmt.Sprintf(`{"PrincipalObjectId":%q,"PrincipalType":%q,"Permissions":%s,"Scope":%q}`, id, kind, permissions, scope)
	}
	const e1 = "/tenants/t1/environments/e1"
	w := newWorld(t, company)
	for _, tc := range []struct{ name, who, path, body, want string }{
		{"granted", "root", path, ask("User", "ada", e1, `["powerapps.apps.read","PowerApps.Apps.Create"]`), `{"hasPermission":true,"permissions":[{"permission":"PowerApps.Apps.Read","granted":true},{"permission":"PowerApps.Apps.Create","granted":true}]}`},
		{"in part", "root", path, ask("User", "ada", e1, `["PowerApps.Apps.Read","Authorization.RoleAssignments.Write"]`), `{"hasPermission":false,"permissions":[{"permission":"PowerApps.Apps.Read","granted":true},{"permission":"Authorization.RoleAssignments.Write","granted":false}]}`},
		{"by a custom role", "root", path, ask("User", "cuno", e1, `["PowerAutomate.Flows.Read"]`), `{"hasPermission":true,"permissions":[{"permission":"PowerAutomate.Flows.Read","granted":true}]}`},
		{"of a group", "root", path, ask("Group", "staff", e1, `["PowerApps.Apps.Read"]`), `{"hasPermission":true,"permissions":[{"permission":"PowerApps.Apps.Read","granted":true}]}`},
		{"of a disabled principal", "root", path, ask("User", "gone", e1, `["PowerApps.Apps.Read"]`), `{"hasPermission":false,"permissions":[{"permission":"PowerApps.Apps.Read","granted":false}]}`},
		{"of oneself, without any permission", "stranger", path, ask("User", "stranger", e1, `["PowerApps.Apps.Read"]`), `{"hasPermission":false,"permissions":[{"permission":"PowerApps.Apps.Read","granted":false}]}`},
		{"of another, without permission", "stranger", path, ask("User", "ada", e1, `["PowerApps.Apps.Read"]`), "Forbidden Forbidden InsufficientPrincipalPermissions"},
		{"no permission at all", "root", path, ask("User", "ada", e1, `[]`), "Bad Request BadRequest InvalidBody"},
		{"an unknown permission", "root", path, ask("User", "ada", e1, `["PowerApps.Apps.Read","No.Such.Thing"]`), "Bad Request BadRequest InvalidBody"},
		{"an empty permission", "root", path, ask("User", "ada", e1, `["PowerApps.Apps.Read",""]`), "Bad Request BadRequest InvalidBody"},
		{"permissions that are a text", "root", path, ask("User", "ada", e1, `"PowerApps.Apps.Read"`), "Bad Request BadRequest InvalidBody"},
		{"permissions that are null", "root", path, ask("User", "ada", e1, `null`), "Bad Request BadRequest InvalidBody"},
		{"another scope than the path's", "root", path, ask("User", "ada", "/tenants/t1", `["PowerApps.Apps.Read"]`), "Bad Request WrongResourceTypeForUrlContext"},
		{"an unknown environment", "root", "/authorization/environments/e9/checkPrincipalPermissionForScope", ask("User", "ada", "/tenants/t1/environments/e9", `["PowerApps.Apps.Read"]`), "Bad Request EndpointInvalid EnvironmentIdInvalid"},
		{"an unknown environment, of oneself", "ena", "/authorization/environments/e9/checkPrincipalPermissionForScope", ask("User", "ena", "/tenants/t1/environments/e9", `["PowerApps.Apps.Read"]`), "Forbidden Forbidden InsufficientPrincipalPermissions"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := w.as(tc.who, http.MethodPost, tc.path+v, tc.body)
			if strings.HasPrefix(tc.want, "{") {
				if diff := cmp.Diff(tc.want+"\n", got.text); diff != "" {
					t.Error(diff)
				}
				return
			}
			w.want("check", got, tc.want)
		})
	}
}

func TestAFaultNamesTheElementByItsPlace(t *testing.T) {
	w := newWorld(t, company)
	got := w.as("root", http.MethodPost, "/pathgrant/v1/checkPrincipalPermissionForScope",
		`{"PrincipalObjectId":"ada","PrincipalType":"User","Permissions":["PowerApps.Apps.Read","No.Such.Thing"],"Scope":"/tenants/t1"}`)
	w.want("check", got, "Bad Request BadRequest InvalidBody")
	if !strings.Contains(got.text, `Permissions[1]: the catalogue knows no permission \"No.Such.Thing\"`) {
		t.Errorf("it says %s", got.text)
	}
}

func TestARevocationIsInForceWhenItIsAnswered(t *testing.T) {
	w := newWorld(t, company)
	for range 20 {
		made := w.as("root", http.MethodPost, assignments+v, role(readerID, "User", "new", "/tenants/t1"))
		w.want("create", made, "OK")
		holds := func() bool {
			s, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: authz.Principal{Type: authz.User, ID: "new"}})
			if err != nil {
				t.Fatal(err)
			}
			id, _ := vocabulary().ID("PowerApps.Apps.Read")
			found, err := w.store.View(context.Background(), s)
			if err != nil {
				t.Fatal(err)
			}
			return authz.Decide(found.View.Grants, authz.Request{Permissions: []authz.PermissionID{id}, Chains: [][]authz.Scope{{"/tenants/t1"}}}, begin.Unix()).Allowed()
		}
		if !holds() {
			t.Fatal("what was assigned is not held")
		}
		w.want("delete", w.as("root", http.MethodDelete, assignments+"/"+made.text1("roleAssignmentId")+v, ""), "OK")
		if holds() {
			t.Fatal("what was revoked is still held")
		}
	}
}
