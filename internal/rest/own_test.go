package rest_test

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/rest"
)

func readJSON(r io.Reader, into any) error { return json.NewDecoder(r).Decode(into) }

const bootstrapBody = `{"tenantId":"t1","principalObjectId":"first","principalType":"User","justification":"the first"}`

func TestBootstrapGivesAnEmptyStoreItsFirstAdministrator(t *testing.T) {
	w := newWorld(t, "")
	got := w.operator(http.MethodPost, "/pathgrant/v1/bootstrap", bootstrapBody)
	w.want("bootstrap", got, "OK")
	made, _ := got.body["roleAssignment"].(map[string]any)
	delete(made, "roleAssignmentId")
	want := map[string]any{
		"scope": "/tenants/t1", "principalType": "User", "principalObjectId": "first", "roleDefinitionId": administratorID,
		"createdByPrincipalType": nil, "createdByPrincipalObjectId": nil, "createdOn": "2026-11-22T08:00:00Z", "expiresOn": nil,
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Error(diff)
	}
	w.want("it holds", w.as("first", http.MethodGet, assignments+v, ""), "OK")
	w.want("again", w.operator(http.MethodPost, "/pathgrant/v1/bootstrap", strings.Replace(bootstrapBody, "t1", "t2", 1)), "Conflict Conflict NotEmpty")
}

func TestBootstrapsThatAreRefused(t *testing.T) {
	w := newWorld(t, "")
	const path = "/pathgrant/v1/bootstrap"
	w.want("without credentials", w.as("", http.MethodPost, path, bootstrapBody), "Unauthorized Unauthorized InvalidAuthentication")
	w.want("with a token", w.as("first", http.MethodPost, path, bootstrapBody), "Forbidden Forbidden OperatorRequired")
	w.want("of a group", w.operator(http.MethodPost, path, strings.Replace(bootstrapBody, `"User"`, `"Group"`, 1)), "Bad Request BadRequest InvalidBody")
	w.want("of no tenant", w.operator(http.MethodPost, path, strings.Replace(bootstrapBody, `"tenantId":"t1",`, "", 1)), "Bad Request BadRequest InvalidBody")
	w.want("of a tenant that no path can name", w.operator(http.MethodPost, path, strings.Replace(bootstrapBody, `"t1"`, `"t/1"`, 1)), "Bad Request BadRequest InvalidBody")
	w.want("with a role", w.operator(http.MethodPost, path, strings.Replace(bootstrapBody, `"t1"`, `"t1","roleDefinitionId":"x"`, 1)), "Bad Request BadRequest InvalidBody")
	if w.store.Current() != nil {
		t.Error("something was changed")
	}
}

func TestASecretIsUsedUp(t *testing.T) {
	w := newWorld(t, company)
	use := ""
	w.operator(http.MethodPost, "/pathgrant/v1/bootstrap", "{")
	first := w.send(http.MethodGet, "/pathgrant/v1/audit/entries", "", func(r *http.Request) {
		use = "Operator " + readSecret(t, w)
		r.Header.Set("Authorization", use)
	})
	w.want("once", first, "OK")
	w.want("twice", w.send(http.MethodGet, "/pathgrant/v1/audit/entries", "", func(r *http.Request) { r.Header.Set("Authorization", use) }), "Unauthorized Unauthorized InvalidAuthentication")
}

func TestChecksOfPathgrantsOwnSayWhy(t *testing.T) {
	const path = "/pathgrant/v1/checkPrincipalPermissionForScope"
	w := newWorld(t, company)
	for _, tc := range []struct{ name, who, scope, want string }{
		{"at the tenant", "ada", "/tenants/t1", "true GRANTED"},
		{"at a group", "ada", "/tenants/t1/environmentGroups/g1", "true GRANTED"},
		{"at a thing", "ada", "/tenants/t1/environments/e1/powerapps/a7", "true GRANTED"},
		{"of nobody", "stranger", "/tenants/t1", "false NO_ASSIGNMENT"},
		{"through a DENY", "dan", "/tenants/t1/environments/e4", "false OVERRIDDEN"},
		{"through a FORBID", "fay", "/tenants/t1/environments/e1", "false FORBIDDEN"},
		{"of a disabled principal", "gone", "/tenants/t1", "false PRINCIPAL_DISABLED"},
	} {
		got := w.as("root", http.MethodPost, path, `{"PrincipalObjectId":"`+tc.who+`","PrincipalType":"User","Permissions":["PowerApps.Apps.Read"],"Scope":"`+tc.scope+`"}`)
		w.want(tc.name, got, "OK")
		granted, reason, _ := strings.Cut(tc.want, " ")
		if want := `"permissions":[{"permission":"PowerApps.Apps.Read","granted":` + granted + `,"reason":"` + reason + `"}]`; !strings.Contains(got.text, want) {
			t.Errorf("%s: %s, want %s", tc.name, got.text, want)
		}
	}
	for _, tc := range [][3]string{
		{"root", "/tenants/t2", "Forbidden Forbidden TenantMismatch"},
		{"root", "nowhere", "Bad Request BadRequest InvalidBody"},
		{"root", "/tenants/t1/environments/e9", "Bad Request EndpointInvalid EnvironmentIdInvalid"},
		{"root", "/tenants/t1/environmentGroups/g9", "Bad Request EndpointInvalid EnvironmentGroupIdInvalid"},
		{"root", "/tenants/t1/environments/e1/businessUnits/b9", "Bad Request BadRequest ScopeNotFound"},
		{"ena", "/tenants/t1", "Forbidden Forbidden InsufficientPrincipalPermissions"},
	} {
		got := w.as(tc[0], http.MethodPost, path, `{"PrincipalObjectId":"ada","PrincipalType":"User","Permissions":["PowerApps.Apps.Read"],"Scope":"`+tc[1]+`"}`)
		w.want(tc[1], got, tc[2])
	}
}

func TestTheChangeAuditIsReadInPagesAndVerified(t *testing.T) {
	w := newWorld(t, company)
	for _, who := range []string{"u1", "u2", "u3"} {
		w.want("create", w.as("root", http.MethodPost, assignments+v, role(readerID, "User", who, "/tenants/t1")), "OK")
	}
	var all []string
	var chain admin.Verifier
	path := "/pathgrant/v1/audit/entries?limit=2"
	for path != "" {
		got := w.as("root", http.MethodGet, path, "")
		w.want(path, got, "OK")
		items, _ := got.body["value"].([]any)
		for _, item := range items {
			fields, _ := item.(map[string]any)
			text, _ := fields["text"].(string)
			hash, _ := fields["hash"].(string)
			raw, err := hex.DecodeString(hash)
			if err != nil || len(raw) != 32 {
				t.Fatalf("the hash is %q", hash)
			}
			if err := chain.Next([]byte(text), [32]byte(raw)); err != nil {
				t.Error(err)
			}
			var e struct {
				Action string
				Caller struct {
					ID string `json:"principalObjectId"`
				}
			}
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				t.Fatal(err)
			}
			all = append(all, e.Action+" "+e.Caller.ID)
		}
		path = ""
		if next := got.text1("@odata.nextLink"); next != "" {
			u, err := url.Parse(next)
			if err != nil {
				t.Fatal(err)
			}
			path = u.RequestURI()
		}
	}
	if diff := cmp.Diff([]string{"CreateRoleAssignment root", "CreateRoleAssignment root", "CreateRoleAssignment root"}, all); diff != "" {
		t.Error(diff)
	}
	got := w.as("root", http.MethodPost, "/pathgrant/v1/audit/verify", "")
	w.want("verify", got, "OK")
	head := chain.Head()
	want := map[string]any{"intact": true, "verified": 3.0, "head": map[string]any{"number": 3.0, "hash": hex.EncodeToString(head.Hash[:])}, "problem": nil}
	if diff := cmp.Diff(want, got.body); diff != "" {
		t.Error(diff)
	}
	w.want("verify with an empty object", w.as("root", http.MethodPost, "/pathgrant/v1/audit/verify", " {} "), "OK")
	w.want("verify with more", w.as("root", http.MethodPost, "/pathgrant/v1/audit/verify", `{"from":1}`), "Bad Request BadRequest InvalidBody")
	for _, query := range []string{"?limit=0", "?limit=1001", "?limit=x", "?after=-1", "?after=1.5", "?after=", "?before=1", "?limit=1&limit=2"} {
		w.want(query, w.as("root", http.MethodGet, "/pathgrant/v1/audit/entries"+query, ""), "Bad Request BadRequest InvalidQuery")
	}
	w.want("without the permission", w.as("ena", http.MethodGet, "/pathgrant/v1/audit/entries", ""), "Forbidden Forbidden InsufficientPrincipalPermissions")
	w.want("verify without the permission", w.as("stranger", http.MethodPost, "/pathgrant/v1/audit/verify", ""), "Forbidden Forbidden InsufficientPrincipalPermissions")
	w.want("an operator's", w.operator(http.MethodGet, "/pathgrant/v1/audit/entries", ""), "OK")
}

func TestEveryKindOfErrorHasAnAnswer(t *testing.T) {
	want := map[admin.Kind]string{
		admin.Internal: "Internal Server Error InternalServerError", admin.Unavailable: "Service Unavailable ServiceUnavailable",
		admin.ReadOnlySource: "Conflict Conflict ReadOnlySource", admin.Unauthenticated: "Unauthorized Unauthorized InvalidAuthentication",
		admin.Throttled: "Too Many Requests TooManyRequests", admin.OperatorRequired: "Forbidden Forbidden OperatorRequired",
		admin.CrossTenant: "Forbidden Forbidden TenantMismatch", admin.Forbidden: "Forbidden Forbidden RequestNotMapped",
		admin.SelfEscalation: "Forbidden Forbidden SelfEscalation", admin.Escalation: "Forbidden Forbidden Escalation",
		admin.BeneathDeny: "Forbidden Forbidden InsufficientPrincipalPermissions", admin.LastAdministrator: "Conflict Conflict LastAdministrator",
		admin.Invalid: "Bad Request BadRequest InvalidBody", admin.NotFound: "Not Found NotFound", admin.ScopeUnknown: "Bad Request BadRequest ScopeNotFound",
		admin.RoleUnknown: "Bad Request RoleDefinitionDoesNotExist", admin.PrincipalUnknown: "Bad Request PrincipalDoesNotExist",
		admin.PrincipalDisabled: "Bad Request PrincipalDisabled", admin.NotAssignable: "Bad Request RoleDefinitionNotAssignable",
		admin.Duplicate: "Conflict Conflict RoleAssignmentExists", admin.InUse: "Conflict Conflict Conflict", admin.Immutable: "Conflict Conflict Conflict",
		admin.Circle: "Conflict Conflict Conflict", admin.EtagRequired: "Conflict Conflict Conflict", admin.EtagMismatch: "Conflict Conflict Conflict",
		admin.RequestIDReused: "Conflict Conflict Conflict", admin.NotEmpty: "Conflict Conflict NotEmpty", admin.Compacted: "Conflict Conflict Conflict",
	}
	for _, kind := range admin.Kinds() {
		// Through an identification that fails with it, which any operation can.
		refused := rest.Refused(&admin.Error{Kind: kind, Message: "what is wrong"})
		if refused != want[kind] {
			t.Errorf("%s: %s, want %s", kind, refused, want[kind])
		}
	}
}
