package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/rest"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// The identifiers of built-in roles, as they are published.
const (
	administratorID = "95e94555-018c-447b-8691-bdac8e12211e"
	readerID        = "c886ad2e-27f7-4874-8381-5849b8d8a090"
	contributorID   = "ff954d61-a89a-4fbe-ace9-01c367b89f87"
	ownerID         = "0cb07c69-1631-4725-ab35-e59e001c51ea"
	projectOwnerID  = "6ec9a887-3309-4d9c-bec1-c24e37ae617e" // assignable at projects alone
)

const v = "?api-version=2024-10-01"

var begin = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// company is a tenant with a tenant's administrator, root, and one of an environment, ena.
// Everything in it has an identifier that says what it is.
const company = `
  - id: t1
    environmentGroups: [{id: g1, environments: [e1, e2]}, {id: g2, environments: [e4]}, {id: g3, environments: []}]
    environments: [{id: e3}, {id: d1, dataverse: true}]
    principals:
      - {principalType: User, principalObjectId: gone, disabled: true}
    groups:
      - {id: staff, members: [{principalType: User, principalObjectId: ada}]}
    roleDefinitions:
      - {roleDefinitionId: custom-1, roleDefinitionName: Flow Operator, permissions: [PowerAutomate.Flows.Read], assignableScopes: ["/tenants/{0}"]}
    roleAssignments:
      - {roleAssignmentId: as-root, principalType: User, principalObjectId: root, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {roleAssignmentId: as-second, principalType: User, principalObjectId: second, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1}
      - {roleAssignmentId: as-ada, principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1}
      - {roleAssignmentId: as-ena, principalType: User, principalObjectId: ena, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: as-staff, principalType: Group, principalObjectId: staff, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environmentGroups/g1, expiresOn: 2027-01-01T00:00:00Z}
      - {roleAssignmentId: as-app, principalType: ApplicationUser, principalObjectId: robot, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1/powerapps/a7}
      - {roleAssignmentId: as-custom, principalType: User, principalObjectId: cuno, roleDefinitionName: Flow Operator, scope: /tenants/t1}
      - {roleAssignmentId: as-deny, principalType: User, principalObjectId: dan, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environmentGroups/g2, effect: DENY}
      - {roleAssignmentId: as-den, principalType: User, principalObjectId: den, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1/environments/e4}
      - {roleAssignmentId: as-forbid, principalType: User, principalObjectId: fay, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1, effect: FORBID}
      - {roleAssignmentId: as-directory, principalType: DirectoryRole, principalObjectId: 11648597-926c-4cf3-9c36-bcebb0ba8dcc, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}
`

var vocabulary = sync.OnceValue(func() *authz.Vocabulary {
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		panic(err)
	}
	return catalogues.Vocabulary()
})

// A world is a store with an administration and the API over it.
type world struct {
	http.Handler
	t      testing.TB
	store  *snapshot.Store
	secret *admin.Secret
	log    *logged
	doc    *openAPI
	asked  int // how often Identify was called
}

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newWorld(t testing.TB, tenants string, change ...func(*admin.Options, *rest.Options)) *world {
	t.Helper()
	w := &world{t: t, log: &logged{}}
	dir := t.TempDir()
	now := func() time.Time { return begin }
	var err error
	w.store, err = snapshot.Open(context.Background(), snapshot.Options{
		Dir: dir, Vocabulary: vocabulary(), ShippedRoles: roles.All(), StandardTables: roles.StandardTables(), CacheBytes: -1, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	if tenants != "" {
		data, err := bundle.Parse("test.yaml", []byte("apiVersion: pathgrant/v1\ntenants:\n"+tenants+"\n...\n"), bundle.Options{Vocabulary: vocabulary(), Now: begin})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Replace(context.Background(), data, snapshot.Change{Source: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	if w.secret, err = admin.OpenSecret(dir); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	adminOptions := admin.Options{
		Store: admin.FromSnapshot(w.store), Vocabulary: vocabulary(), ShippedRoles: roles.All(), Writable: true,
		Secret: w.secret, Now: now, Log: log,
	}
	options := rest.Options{ShippedRoles: roles.All(), Log: log}
	for _, c := range change {
		c(&adminOptions, &options)
	}
	if options.Admin, err = admin.New(adminOptions); err != nil {
		t.Fatal(err)
	}
	identify := options.Identify
	options.Identify = func(r *http.Request) (admin.Caller, error) {
		w.asked++
		if identify != nil {
			return identify(r)
		}
		return identified(options.Admin, r)
	}
	if w.Handler, err = rest.New(options); err != nil {
		t.Fatal(err)
	}
	w.doc = readOpenAPI(t, w.Handler)
	return w
}

// identified believes whoever names a user of tenant t1, "user@tenant" of another, and plays
// the credentials that are refused.
func identified(a *admin.Admin, r *http.Request) (admin.Caller, error) {
	refuse := func(detail string) error {
		return &admin.Error{
			Kind: admin.Unauthenticated, Message: "the credentials are not valid (" + detail + ")",
			Cause: &identity.InvalidError{Source: "jwt", Detail: detail},
		}
	}
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case scheme == "Operator":
		return a.Prove(r.Context(), credentials, "192.0.2.7", "test/1")
	case scheme != "Bearer":
		return admin.Caller{}, &admin.Error{Kind: admin.Unauthenticated, Message: "nobody is known to be calling", Mend: "send a token"}
	case credentials == "other-audience":
		return admin.Caller{}, refuse("the token is for another audience")
	case credentials == "expired":
		return admin.Caller{}, refuse("the token has expired")
	case credentials == "undelegated":
		return admin.Caller{}, &admin.Error{Kind: admin.Forbidden, Missing: []authz.Permission{"Authorization.RoleAssignments.Read"}, Message: "not delegated"}
	case credentials == "unmapped":
		return admin.Caller{}, &admin.Error{Kind: admin.Forbidden, Message: "the catalogue of administration does not list this call"}
	case credentials == "no-keys":
		return admin.Caller{}, &admin.Error{Kind: admin.Unavailable, Message: "the keys are not available", Cause: errors.New("dial tcp: refused")}
	case credentials == "nobody":
		return admin.Caller{}, nil
	}
	user, tenant, ok := strings.Cut(credentials, "@")
	if !ok {
		tenant = "t1"
	}
	spec := authz.SubjectSpec{Tenant: tenant, Principal: authz.Principal{Type: authz.User, ID: user}}
	if user == "root" { // who is a Global Administrator, besides
		spec.DirectoryRoles = []string{"62e90394-69f5-4237-9190-012177145e10"}
	}
	subject, err := authz.NewSubject(spec)
	if err != nil {
		return admin.Caller{}, err
	}
	return admin.Caller{Kind: admin.Token, Subject: subject, From: "192.0.2.7", Agent: "test/1"}, nil
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// as sends a request with a user's token. What comes back must be what the document says.
func (w *world) as(user, method, path, body string) answer {
	w.t.Helper()
	return w.send(method, path, body, func(r *http.Request) {
		if user != "" {
			r.Header.Set("Authorization", "Bearer "+user)
		}
	})
}

func (w *world) send(method, path, body string, change func(*http.Request)) answer {
	w.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	change(r)
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, r)
	a := answer{status: recorder.Code, header: recorder.Header(), text: recorder.Body.String()}
	if method != http.MethodHead {
		if err := json.Unmarshal(recorder.Body.Bytes(), &a.body); err != nil {
			w.t.Fatalf("%s %s: %d %q: %v", method, path, a.status, a.text, err)
		}
		for _, problem := range w.doc.check(r, a.status, recorder.Body.Bytes()) {
			w.t.Errorf("%s %s: %d %s: the document says otherwise: %s", method, path, a.status, bytes.TrimSpace(recorder.Body.Bytes()), problem)
		}
	}
	return a
}

// operator sends a request with the operator's secret, which is used up by it.
func (w *world) operator(method, path, body string) answer {
	w.t.Helper()
	return w.send(method, path, body, func(r *http.Request) { r.Header.Set("Authorization", "Operator "+readSecret(w.t, w)) })
}

func readSecret(t testing.TB, w *world) string {
	t.Helper()
	secret, err := os.ReadFile(w.secret.Path())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(secret))
}

// codes is "status code inner code" of an answer.
func (a answer) codes() string {
	parts := []string{http.StatusText(a.status)}
	if code, ok := a.body["code"].(string); ok {
		parts = append(parts, code)
	}
	if inner, ok := a.body["innererror"].(map[string]any); ok {
		if code, ok := inner["code"].(string); ok {
			parts = append(parts, code)
		}
	}
	return strings.Join(parts, " ")
}

// ids are the identifiers of the assignments of a list, in its order.
func (a answer) ids() string {
	items, _ := a.body["value"].([]any)
	var ids []string
	for _, item := range items {
		fields, _ := item.(map[string]any)
		id, _ := fields["roleAssignmentId"].(string)
		ids = append(ids, id)
	}
	return strings.Join(ids, " ")
}

func (a answer) text1(name string) string {
	text, _ := a.body[name].(string)
	return text
}

func (w *world) want(what string, a answer, codes string) {
	w.t.Helper()
	if a.codes() != codes {
		w.t.Errorf("%s: %s, want %s: %s", what, a.codes(), codes, a.text)
	}
}
