package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/rest"
)

// Whatever is sent: no answer is a fault of our own, each is JSON and what the document
// says, and what is answered with an error has changed nothing.
func FuzzRequest(f *testing.F) {
	good := role(readerID, "User", "new", "/tenants/t1")
	for _, seed := range [][4]string{
		{"POST", assignments, "api-version=1", good},
		{"POST", envAssignments, "api-version=2024-10-01", role(readerID, "Group", "g", "/tenants/t1/environments/e1")},
		{"POST", groupAssignments, "api-version=1", `{"roleDefinitionId":"` + ownerID + `","expiresOn":"2027-01-01T00:00:00Z"}`},
		{"POST", assignments, "api-version=1", `{"scope":"/tenants/t1","Scope":"/tenants/t2"}`},
		{"POST", assignments, "api-version=1", good + good},
		{"POST", assignments, "api-version=1", strings.Replace(good, "new", `\ud800`, 1)},
		{"POST", assignments, "api-version=1", strings.Repeat("[", 20000)},
		{"GET", "/authorization/environments/%2e%2e/roleAssignments", "api-version=1", ""},
		{"GET", "/AUTHORIZATION/ROLEDEFINITIONS/", "api-version=1", ""},
		{"GET", assignments, "api-version=1&$skiptoken=" + strings.Repeat("A", 100), ""},
		{"DELETE", assignments + "/as-ada", "api-version=1", ""},
		{"DELETE", envAssignments + "/%41s-ena", "api-version=1", ""},
		{"DELETE", groupAssignments + "/%00", "api-version=1", ""},
		{"POST", "/authorization/listRoleAssignments", "api-version=1", `{"Scope":"/tenants/t1","IncludeNestedScopes":true,"PrincipalType":"Group"}`},
		{"POST", "/authorization/environments/e1/checkPrincipalPermissionForScope", "api-version=1", `{"PrincipalObjectId":"ada","PrincipalType":"User","Permissions":["PowerApps.Apps.Read"],"Scope":"/tenants/t1/environments/e1"}`},
		{"POST", "/pathgrant/v1/checkPrincipalPermissionForScope", "", `{"PrincipalObjectId":"ada","PrincipalType":"User","Permissions":["*"],"Scope":"/tenants/t1"}`},
		{"GET", "/pathgrant/v1/audit/entries", "after=18446744073709551615&limit=1", ""},
		{"POST", "/pathgrant/v1/audit/verify", "", "{}"},
		{"POST", "/pathgrant/v1/bootstrap", "", bootstrapBody},
		{"PUT", "//", ";", "\xff"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	w := newWorld(f, company)
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", strings.NewReader(body))
		r.Method, r.URL.RawQuery = method, query
		if u, err := url.ParseRequestURI(path); err == nil && u.Host == "" && u.Scheme == "" {
			r.URL.Path, r.URL.RawPath = u.Path, u.RawPath
		} else {
			r.URL.Path = path
		}
		r.Header.Set("Authorization", "Bearer root")
		before := w.store.Current().Revision()
		recorder := httptest.NewRecorder()
		w.ServeHTTP(recorder, r)
		text := recorder.Body.Bytes()
		if recorder.Code >= http.StatusInternalServerError {
			t.Fatalf("%d %s", recorder.Code, text)
		}
		if method == http.MethodHead {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%d %q is not JSON", recorder.Code, text)
		}
		if changed := w.store.Current().Revision() != before; changed && (recorder.Code != http.StatusOK || method == http.MethodGet) {
			t.Fatalf("%d %s, and something was changed", recorder.Code, text)
		}
		if !known(method, r.URL.EscapedPath()) {
			return
		}
		for _, problem := range w.doc.check(r, recorder.Code, text) {
			t.Errorf("%d %s: the document says otherwise: %s", recorder.Code, text, problem)
		}
	})
}

// known tells whether an operation has the path as it is spelled.
func known(method, path string) bool {
	given := strings.Split(path, "/")
	for _, o := range rest.Operations() {
		want := strings.Split(o.Path, "/")
		same := len(given) == len(want) && o.Method == method
		for i := 0; same && i < len(want); i++ {
			same = given[i] != "" && strings.HasPrefix(want[i], "{") || given[i] == want[i]
		}
		if same {
			return true
		}
	}
	return false
}
