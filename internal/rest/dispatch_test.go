package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/rest"
	"github.com/pathgrant/pathgrant/internal/roles"
)

func TestAnUnknownRouteIsNotFoundBeforeAnybodyIsAskedWhoTheyAre(t *testing.T) {
	w := newWorld(t, company)
	for _, path := range []string{
		"/", "/authorization", "/authorization/roleAssignment", "/authorization/environments", "/authorization/environments/e1",
		"/authorization/environments/e1/environmentGroups/g1/roleAssignments", "/authorization//roleAssignments", "//authorization/roleAssignments",
		"/authorization/environments//roleAssignments", "/authorization/roleAssignments//", "/authorization/roleAssignments/a/b",
		"/authorization/environmentGroups/g1/checkPrincipalPermissionForScope", "/authorization/environmentGroups/g1/listRoleAssignments",
		"/authorization/checkPrincipalPermissionForScope", "/providers/Microsoft.BusinessAppPlatform/roleAssignments",
		"/authorization%2FroleAssignments", "/authorization/environments/e1/roleAssignments;x=1/a/b", "/authorization/./roleAssignments",
		"/pathgrant/v2/openapi.json", "/pathgrant/v1/audit", "/" + strings.Repeat("a/", 5000),
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodOptions, "BREW"} {
			w.want(method+" "+path, w.as("", method, path+v, ""), "Not Found RouteNotFound")
		}
	}
	if w.asked != 0 {
		t.Errorf("%d callers were asked who they are", w.asked)
	}
}

func TestLiteralSegmentsHaveNoCase(t *testing.T) {
	w := newWorld(t, company)
	for _, path := range []string{
		"/AUTHORIZATION/ROLEASSIGNMENTS", "/authorization/roleassignments", "/Authorization/RoleAssignments/", "/authorization/role%41ssignments",
		"/authorization/ENVIRONMENTS/e1/roleassignments", "/authorization/environmentgroups/g1/RoleAssignments",
	} {
		w.want(path, w.as("root", http.MethodGet, path+v, ""), "OK")
	}
	w.want("an identifier has case here", w.as("root", http.MethodGet, "/authorization/environments/E1/roleAssignments"+v, ""), "Bad Request EndpointInvalid EnvironmentIdInvalid")
}

func TestIdentifiersWithoutCaseAreOne(t *testing.T) {
	w := newWorld(t, company, func(a *admin.Options, r *rest.Options) { a.FoldCase, r.FoldCase = true, true })
	w.want("list", w.as("root", http.MethodGet, "/authorization/environments/E1/roleAssignments"+v, ""), "OK")
	w.want("create", w.as("root", http.MethodPost, "/authorization/environments/E1/roleAssignments"+v, role(readerID, "User", "new", "/tenants/T1/environments/e1")), "OK")
}

func TestTheVersionIsRequired(t *testing.T) {
	w := newWorld(t, company)
	for query, want := range map[string]string{
		"":                                      "Bad Request ApiVersionUnsupportedForResource",
		"?":                                     "Bad Request ApiVersionUnsupportedForResource",
		"?api-version":                          "Bad Request ApiVersionUnsupportedForResource",
		"?api-version=2":                        "Bad Request ApiVersionUnsupportedForResource",
		"?api-version=2024-10-01-preview":       "Bad Request ApiVersionUnsupportedForResource",
		"?api-version=2024-10-01":               "OK",
		"?api-version=1":                        "OK",
		"?api-version=2022-03-01-preview":       "OK",
		"?API-Version=1":                        "OK",
		"?api-version=1&api-version=1":          "Bad Request ApiVersionUnsupportedForResource",
		"?api-version=1&API-VERSION=2024-10-01": "Bad Request BadRequest InvalidQuery",
		"?api-version=1&$filter=a":              "Bad Request BadRequest InvalidQuery",
		"?api-version=1&$top=1":                 "Bad Request BadRequest InvalidQuery",
		"?api-version=1&dryRun=true":            "Bad Request BadRequest InvalidQuery",
		"?api-version=1;a=b":                    "Bad Request BadRequest InvalidQuery",
		"?api-version=%zz":                      "Bad Request BadRequest InvalidQuery",
	} {
		w.want(query, w.as("root", http.MethodGet, assignments+query, ""), want)
	}
	before := w.asked
	w.want("before anybody is asked", w.as("", http.MethodGet, assignments, ""), "Bad Request ApiVersionUnsupportedForResource")
	w.want("none for Pathgrant's own", w.as("root", http.MethodGet, "/pathgrant/v1/audit/entries"+v, ""), "Bad Request BadRequest InvalidQuery")
	if w.asked != before {
		t.Error("somebody was asked who they are")
	}
}

func TestOtherMethodsAreNotAllowed(t *testing.T) {
	w := newWorld(t, company)
	for _, tc := range []struct{ method, path, allow string }{
		{http.MethodPut, assignments, "GET, HEAD, POST"},
		{http.MethodPatch, assignments, "GET, HEAD, POST"},
		{http.MethodOptions, assignments, "GET, HEAD, POST"},
		{http.MethodDelete, assignments, "GET, HEAD, POST"},
		{"get", assignments, "GET, HEAD, POST"},
		{http.MethodTrace, envAssignments, "GET, HEAD, POST"},
		{http.MethodGet, assignments + "/as-ada", "DELETE"},
		{http.MethodPut, assignments + "/as-ada", "DELETE"},
		{http.MethodPost, "/authorization/roleDefinitions", "GET, HEAD"},
		{http.MethodGet, "/authorization/listRoleAssignments", "POST"},
		{http.MethodGet, "/pathgrant/v1/bootstrap", "POST"},
		{http.MethodPost, "/pathgrant/v1/openapi.json", "GET, HEAD"},
	} {
		got := w.as("", tc.method, tc.path+v, "")
		w.want(tc.method+" "+tc.path, got, "Method Not Allowed MethodNotAllowed")
		if got.header.Get("Allow") != tc.allow {
			t.Errorf("%s %s: Allow is %q, want %q", tc.method, tc.path, got.header.Get("Allow"), tc.allow)
		}
	}
	// A method that a header asks for is not the one that counts.
	got := w.send(http.MethodPost, assignments+"/as-ada"+v, "", func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer root")
		r.Header.Set("X-Http-Method-Override", "DELETE")
	})
	w.want("an overridden method", got, "Method Not Allowed MethodNotAllowed")
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	w := newWorld(t, company)
	get := w.as("root", http.MethodGet, assignments+v, "")
	head := w.as("root", http.MethodHead, assignments+v, "")
	if head.status != http.StatusOK || head.text != "" || head.header.Get("Content-Length") != fmt.Sprint(len(get.text)) {
		t.Errorf("%d %q, length %s, want 200, nothing, %d", head.status, head.text, head.header.Get("Content-Length"), len(get.text))
	}
	if head := w.as("", http.MethodHead, assignments+v, ""); head.status != http.StatusUnauthorized || head.text != "" {
		t.Errorf("%d %q", head.status, head.text)
	}
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	w := newWorld(t, company)
	seen := map[string]bool{}
	for _, a := range []answer{
		w.as("root", http.MethodGet, assignments+v, ""), w.as("", http.MethodGet, assignments+v, ""), w.as("", http.MethodGet, "/nowhere", ""),
		w.as("root", http.MethodPost, assignments+v, "{"), w.as("", http.MethodOptions, assignments, ""),
	} {
		for name, want := range map[string]string{
			"Cache-Control": "^no-store$", "X-Content-Type-Options": "^nosniff$", "Content-Type": "^application/json; charset=utf-8$",
			"X-Ms-Request-Id": "^[0-9a-f]{32}$", "Content-Security-Policy": "default-src 'none'", "Access-Control-Allow-Origin": "^$",
		} {
			if !regexp.MustCompile(want).MatchString(a.header.Get(name)) {
				t.Errorf("%d: %s is %q", a.status, name, a.header.Get(name))
			}
		}
		if id := a.header.Get("X-Ms-Request-Id"); seen[id] {
			t.Errorf("the request id %s is there twice", id)
		} else {
			seen[id] = true
		}
	}
}

func TestWhoCannotBeIdentified(t *testing.T) {
	w := newWorld(t, company)
	for _, tc := range []struct{ who, want, challenge string }{
		{"", "Unauthorized Unauthorized InvalidAuthentication", `Bearer realm="pathgrant"`},
		{"expired", "Unauthorized Unauthorized InvalidAuthentication", `Bearer realm="pathgrant", error="invalid_token"`},
		{"other-audience", "Unauthorized InvalidAudience", `Bearer realm="pathgrant", error="invalid_token"`},
		{"nobody", "Unauthorized Unauthorized InvalidAuthentication", `Bearer realm="pathgrant", error="invalid_token"`},
		{"undelegated", "Forbidden Forbidden InsufficientDelegatedPermissions", ""},
		{"unmapped", "Forbidden Forbidden RequestNotMapped", ""},
		{"no-keys", "Service Unavailable ServiceUnavailable", ""},
	} {
		for _, o := range rest.Operations() {
			if o.Public || o.Operator {
				continue
			}
			path := strings.NewReplacer("{environmentId}", "e1", "{environmentGroupId}", "g1", "{roleAssignmentId}", "as-ada").Replace(o.Path)
			if !strings.HasPrefix(path, "/pathgrant/") {
				path += v
			}
			if tc.who == "nobody" && o.Method == http.MethodPost && strings.HasPrefix(path, "/pathgrant/") {
				continue // whose body is read first
			}
			// What the body is does not matter: nobody looks at it.
			got := w.as(tc.who, o.Method, path, map[string]string{http.MethodPost: "{"}[o.Method])
			w.want(o.ID+" of "+tc.who, got, tc.want)
			if got.header.Get("WWW-Authenticate") != tc.challenge {
				t.Errorf("%s of %s: the challenge is %q, want %q", o.ID, tc.who, got.header.Get("WWW-Authenticate"), tc.challenge)
			}
		}
	}
}

func TestAnOperatorBelongsToNoTenant(t *testing.T) {
	w := newWorld(t, company)
	w.want("list", w.operator(http.MethodGet, assignments+v, ""), "Forbidden Forbidden OperatorHasNoTenant")
	w.want("create", w.operator(http.MethodPost, assignments+v, role(readerID, "User", "new", "/tenants/t1")), "Forbidden Forbidden OperatorHasNoTenant")
	w.want("check", w.operator(http.MethodPost, "/pathgrant/v1/checkPrincipalPermissionForScope",
		`{"PrincipalObjectId":"ada","PrincipalType":"User","Permissions":["PowerApps.Apps.Read"],"Scope":"/tenants/t1"}`), "Forbidden Forbidden OperatorHasNoTenant")
}

func TestAPanicIsAnsweredAndTellsNothing(t *testing.T) {
	w := newWorld(t, company, func(_ *admin.Options, o *rest.Options) {
		o.Identify = func(r *http.Request) (admin.Caller, error) { panic("with " + r.Header.Get("Authorization")) }
	})
	got := w.as("very-secret-token", http.MethodGet, assignments+v, "")
	w.want("panic", got, "Internal Server Error InternalServerError")
	if strings.Contains(got.text+w.log.String(), "very-secret-token") {
		t.Error("the token is told")
	}
	if !strings.Contains(w.log.String(), "request_id="+got.header.Get("X-Ms-Request-Id")) {
		t.Errorf("the log does not name the request: %s", w.log)
	}
}

func TestAnAbortedHandlerStaysAborted(t *testing.T) {
	w := newWorld(t, company, func(_ *admin.Options, o *rest.Options) {
		o.Identify = func(*http.Request) (admin.Caller, error) { panic(http.ErrAbortHandler) }
	})
	defer func() {
		if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // a value that is panicked with, never wrapped
			t.Errorf("it panicked with %v", p)
		}
	}()
	w.as("root", http.MethodGet, assignments+v, "")
}

func TestSecretsAreNeitherLoggedNorAnswered(t *testing.T) {
	w := newWorld(t, company)
	secret := "Operator wrong-operator-secret"
	got := w.send(http.MethodPost, "/pathgrant/v1/bootstrap", `{"tenantId":"t1","principalObjectId":"u","principalType":"User"}`, func(r *http.Request) { r.Header.Set("Authorization", secret) })
	w.want("a wrong secret", got, "Unauthorized Unauthorized InvalidAuthentication")
	if got.header.Get("WWW-Authenticate") != `Operator realm="pathgrant"` {
		t.Errorf("the challenge is %q", got.header.Get("WWW-Authenticate"))
	}
	w.as("a-bearer-token", http.MethodGet, assignments+v, "")
	for _, text := range []string{"wrong-operator-secret", "Bearer"} {
		if strings.Contains(got.text+w.log.String(), text) {
			t.Errorf("%q is told: %s", text, w.log)
		}
	}
}

func TestACallThatEndsIsUnavailable(t *testing.T) {
	w := newWorld(t, company)
	got := w.send(http.MethodGet, assignments+v, "", func(r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		r.Header.Set("Authorization", "Bearer root")
		*r = *r.WithContext(ctx)
	})
	w.want("list", got, "Service Unavailable ServiceUnavailable")
	if got.header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
}

func TestEveryAnswerIsObserved(t *testing.T) {
	var seen []string
	w := newWorld(t, company, func(_ *admin.Options, o *rest.Options) {
		o.Observe = func(operation, code string) { seen = append(seen, operation+" "+code) }
	})
	seen = nil // without the reading of the document
	w.as("root", http.MethodGet, assignments+v, "")
	w.as("stranger", http.MethodGet, assignments+v, "")
	w.as("", http.MethodGet, "/nowhere", "")
	w.as("", http.MethodPut, assignments, "")
	w.as("root", http.MethodDelete, assignments+"/as-nothing"+v, "")
	want := []string{"listRoleAssignments OK", "listRoleAssignments Forbidden", " RouteNotFound", " MethodNotAllowed", "deleteRoleAssignment RoleAssignmentNotFound"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestNewRefusesWhatIsIncomplete(t *testing.T) {
	a := &admin.Admin{}
	identify := func(*http.Request) (admin.Caller, error) { return admin.Caller{}, nil }
	for _, o := range []rest.Options{
		{}, {Admin: a}, {Admin: a, Identify: identify}, {Identify: identify, ShippedRoles: roles.Shipped()},
		{Admin: a, Identify: identify, ShippedRoles: roles.Shipped(), PageSize: 1001}, {Admin: a, Identify: identify, ShippedRoles: roles.Shipped(), PageSize: -1},
	} {
		if h, err := rest.New(o); err == nil || h != nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func TestTheNextPageIsWhereThisOneWas(t *testing.T) {
	w := newWorld(t, company, func(_ *admin.Options, o *rest.Options) { o.PageSize = 1 })
	server := httptest.NewTLSServer(w)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/Authorization/roleAssignments?API-version=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer root")
	answered, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answered.Body.Close() }() // it is only read
	var page struct {
		Next string `json:"@odata.nextLink"`
	}
	if err := readJSON(answered.Body, &page); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(page.Next, server.URL+"/Authorization/roleAssignments?api-version=1&$skiptoken=") {
		t.Errorf("the next page is at %s", page.Next)
	}
	server.Client().CloseIdleConnections()
}
