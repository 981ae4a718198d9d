package client_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/client"
)

// byHeader believes a header, as only a test may.
func byHeader(_ context.Context, r *http.Request) (client.Subject, error) {
	switch id := r.Header.Get("Test-User"); id {
	case "":
		return client.Subject{}, nil
	case "forged":
		return client.Subject{}, errors.New("the signature does not fit")
	case "half":
		return client.Subject{Tenant: "contoso"}, nil
	default:
		return user(id), nil
	}
}

func middleware(t testing.TB, c client.Checker, o client.HTTPOptions) func(http.Handler) http.Handler {
	t.Helper()
	if o.Subject == nil {
		o.Subject = byHeader
	}
	m, err := client.Middleware(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// raw sends a request as it is written and returns the answer.
func raw(t testing.TB, address, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheMiddlewareAsksForWhatWasReceived(t *testing.T) {
	c, _ := dialProduct(t)
	served := httptest.NewUnstartedServer(middleware(t, c, client.HTTPOptions{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, ok := client.DecisionFrom(r.Context())
		fmt.Fprintf(w, "%t %v %v", ok, d.Reason, d.Permissions)
	})))
	served.Config.DisableGeneralOptionsHandler = true // net/http would answer OPTIONS * itself
	served.Start()
	defer served.Close()
	tests := map[string]struct {
		request, user string
		status        int
		body          string // how it begins, or for a refusal the inner code
	}{
		"allowed":                       {"GET /shop/environments/e1/orders/7 HTTP/1.1", "ada", 200, "true GRANTED [Shop.Orders.Read]"},
		"the query does not count":      {"GET /shop/orders?x=/../%2F;y HTTP/1.1", "ada", 200, "true GRANTED [Shop.Orders.Read]"},
		"an escape that may be decoded": {"GET /shop/orders/user%40contoso.com HTTP/1.1", "ada", 200, "true GRANTED [Shop.Orders.Read]"},
		"HEAD is a read":                {"HEAD /shop/orders HTTP/1.1", "ada", 200, ""},
		"an action":                     {"POST /shop/orders/7/ship HTTP/1.1", "ada", 200, "true GRANTED [Shop.Orders.Ship]"},
		"denied":                        {"DELETE /shop/orders/7 HTTP/1.1", "ada", 403, "InsufficientPrincipalPermissions"},
		"overridden":                    {"GET /shop/environments/e2/orders HTTP/1.1", "ada", 403, "InsufficientPrincipalPermissions"},
		"unmapped":                      {"GET /elsewhere HTTP/1.1", "ada", 403, "RequestNotMapped"},
		"another method":                {"get /shop/orders HTTP/1.1", "ada", 403, "RequestNotMapped"},
		"disabled":                      {"GET /shop/orders HTTP/1.1", "eve", 403, "PrincipalDisabled"},
		"an unknown environment":        {"GET /shop/environments/e9/orders HTTP/1.1", "ada", 403, "ScopeNotFound"},
		"an escaped slash":              {"GET /shop/environments%2Fe1/orders HTTP/1.1", "ada", 400, "RequestAmbiguous"},
		"dots":                          {"GET /shop/environments/e2/../e1/orders HTTP/1.1", "ada", 400, "RequestAmbiguous"},
		"two slashes":                   {"GET //shop/orders HTTP/1.1", "ada", 400, "RequestAmbiguous"},
		"a parameter":                   {"GET /shop;v=1/orders HTTP/1.1", "ada", 400, "RequestAmbiguous"},
		"a whole URL":                   {"GET http://shop.example/shop/orders HTTP/1.1", "ada", 400, "RequestAmbiguous"},
		"an asterisk":                   {"OPTIONS * HTTP/1.1", "ada", 400, "RequestAmbiguous"},
		"a path beyond the limits":      {"GET /" + strings.Repeat("a", 70_000) + " HTTP/1.1", "ada", 400, "RequestAmbiguous"},
		"public":                        {"GET /health HTTP/1.1", "", 200, "true PUBLIC []"},
		"nobody":                        {"GET /shop/orders HTTP/1.1", "", 401, "InvalidAuthentication"},
		"credentials that are refused":  {"GET /shop/orders HTTP/1.1", "forged", 401, "InvalidAuthentication"},
		"refused where it is public":    {"GET /health HTTP/1.1", "forged", 401, "InvalidAuthentication"},
		"half a subject":                {"GET /health HTTP/1.1", "half", 401, "InvalidAuthentication"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			response := raw(t, served.Listener.Addr().String(), test.request+"\r\nHost: shop.example\r\nConnection: close\r\nTest-User: "+test.user+"\r\n\r\n")
			got := body(t, response)
			if response.StatusCode != test.status {
				t.Fatalf("%s was answered with %s: %s", test.request, response.Status, got)
			}
			if test.status == 200 && !strings.HasPrefix(got, test.body) || test.status != 200 && !strings.Contains(got, `"innererror":{"code":"`+test.body+`"`) {
				t.Errorf("%s was answered with %q, want %q", test.request, got, test.body)
			}
			challenge := response.Header.Get("WWW-Authenticate")
			if (test.status == 401) != strings.HasPrefix(challenge, "Bearer") {
				t.Errorf("WWW-Authenticate is %q beside %d", challenge, test.status)
			}
		})
	}
}

func TestTheMiddlewareSendsMethodHostAndTargetUnchanged(t *testing.T) {
	var got []client.HTTPRequest
	c := checker(func(_ context.Context, q client.Question) (client.Decision, error) {
		got = append(got, *q.HTTP)
		return client.Decision{}, nil
	})
	served := httptest.NewServer(middleware(t, c, client.HTTPOptions{})(http.NotFoundHandler()))
	defer served.Close()
	const target = `/a%2fb/%41/"x"//.././;p?q=%zz#f`
	response := raw(t, served.Listener.Addr().String(), "PuRGe "+target+" HTTP/1.1\r\nHost: Shop.Example:8080\r\nConnection: close\r\n\r\n")
	if response.StatusCode != 503 { // the zero Decision
		t.Errorf("the answer is %s", response.Status)
	}
	if diff := cmp.Diff([]client.HTTPRequest{{Method: "PuRGe", Host: "Shop.Example:8080", Path: target}}, got); diff != "" {
		t.Errorf("the question (-want +got):\n%s", diff)
	}
}

func TestAPathThatWasRewrittenOnTheWayIsRefused(t *testing.T) {
	allow := checker(func(context.Context, client.Question) (client.Decision, error) {
		return client.Decision{Reason: authz.Granted}, nil
	})
	guarded := middleware(t, allow, client.HTTPOptions{})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	rewriting := func(rewrite func(r *http.Request)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rewrite(r)
			guarded.ServeHTTP(w, r)
		})
	}
	tests := map[string]struct {
		handler http.Handler
		path    string
		status  int
	}{
		"nothing in front":    {guarded, "/shop/orders", 200},
		"with escapes":        {guarded, "/shop/%41%2f%22/x?y", 200},
		"a prefix was cut":    {http.StripPrefix("/shop", guarded), "/shop/orders", 503},
		"another path":        {rewriting(func(r *http.Request) { r.URL.Path = "/admin" }), "/shop/orders", 503},
		"a cleaned path":      {rewriting(func(r *http.Request) { r.URL.Path = "/orders" }), "/shop/../orders", 503},
		"no URL":              {rewriting(func(r *http.Request) { r.URL = nil }), "/shop/orders", 503},
		"a target that fails": {rewriting(func(r *http.Request) { r.RequestURI = "/%zz" }), "/shop/orders", 503},
		"the target too":      {rewriting(func(r *http.Request) { r.RequestURI, r.URL.Path = "/b", "/b" }), "/a", 200},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, test.path, nil)
			r.Header.Set("Test-User", "ada")
			test.handler.ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("answered with %d: %s, want %d", w.Code, w.Body, test.status)
			}
		})
	}
}

func TestHeadersThatWouldReplaceWhatWasCheckedDoNotReachTheHandler(t *testing.T) {
	var got http.Header
	allow := checker(func(context.Context, client.Question) (client.Decision, error) {
		return client.Decision{Reason: authz.Granted}, nil
	})
	h := middleware(t, allow, client.HTTPOptions{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	r := httptest.NewRequest(http.MethodGet, "/shop/orders", nil)
	for _, name := range []string{
		"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override",
		"X-Original-URL", "X-Original-Anything", "X-Rewrite-URL", "X-Rewrite-Anything",
		"X-Forwarded-URI", "X-Forwarded-URL", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Method", "X-Forwarded-Host",
		"X-Pathgrant-Principal", "X-Pathgrant-Anything",
	} {
		r.Header.Set(name, "DELETE")
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	r.Header.Set("X-Originally", "here")
	before := r.Header.Clone()
	h.ServeHTTP(httptest.NewRecorder(), r)
	if diff := cmp.Diff(http.Header{"X-Forwarded-For": {"192.0.2.1"}, "X-Originally": {"here"}}, got); diff != "" {
		t.Errorf("the handler's headers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, r.Header); diff != "" {
		t.Errorf("the request that came was changed (-want +got):\n%s", diff)
	}
}

func TestTheBodyOfARefusal(t *testing.T) {
	denied := client.Decision{
		Reason: authz.NoAssignment, Permissions: []authz.Permission{"Shop.Orders.Create", "Shop.Orders.Update"},
		Missing: []authz.Permission{"Shop.Orders.Update"}, Scopes: []authz.Scope{"/tenants/contoso", "/tenants/contoso/environments/e1"},
		ID: "4f1c09b7a25e43d8000000000000002a", Detail: "unused",
	}
	tests := map[string]struct {
		decision client.Decision
		detail   client.Detail
		status   int
		want     string
	}{
		"the missing permission": {denied, client.DetailPermission, 403,
			`{"error":{"code":"Forbidden","message":"The caller is not authorized to perform the request.","innererror":{"code":"InsufficientPrincipalPermissions","message":"Authorization denied: Principal missing required permissions, all of: [Shop.Orders.Update]","reason":"NO_ASSIGNMENT","missingPermissions":["Shop.Orders.Update"]},"decisionId":"4f1c09b7a25e43d8000000000000002a"}}`},
		"nothing": {denied, client.DetailNone, 403,
			`{"error":{"code":"Forbidden","message":"The caller is not authorized to perform the request.","innererror":{"code":"InsufficientPrincipalPermissions","message":"The caller is not authorized to perform the request."},"decisionId":"4f1c09b7a25e43d8000000000000002a"}}`},
		"the scopes too": {denied, client.DetailScope, 403,
			`{"error":{"code":"Forbidden","message":"The caller is not authorized to perform the request.","innererror":{"code":"InsufficientPrincipalPermissions","message":"Authorization denied: Principal missing required permissions, all of: [Shop.Orders.Update], at each of: [/tenants/contoso, /tenants/contoso/environments/e1]","reason":"NO_ASSIGNMENT","missingPermissions":["Shop.Orders.Update"],"scopes":["/tenants/contoso","/tenants/contoso/environments/e1"]},"decisionId":"4f1c09b7a25e43d8000000000000002a"}}`},
		"unmapped": {client.Decision{Reason: authz.Unmapped, ID: "1"}, client.DetailPermission, 403,
			`{"error":{"code":"Forbidden","message":"The caller is not authorized to perform the request.","innererror":{"code":"RequestNotMapped","message":"Authorization denied: the request maps to no permission","reason":"UNMAPPED"},"decisionId":"1"}}`},
		"stale": {client.Decision{Reason: authz.Stale, Detail: "too <old>", ID: "1"}, client.DetailPermission, 503,
			`{"error":{"code":"ServiceUnavailable","message":"The authorization service can't answer now.","innererror":{"code":"AuthorizationUnavailable","message":"Authorization denied: too \u003cold\u003e","reason":"STALE"},"decisionId":"1"}}`},
		"a reason of the future": {client.Decision{Reason: authz.Reason(40), ID: "1"}, client.DetailPermission, 403,
			`{"error":{"code":"Forbidden","message":"The caller is not authorized to perform the request.","innererror":{"code":"AuthorizationUnavailable","message":"Authorization denied: REASON_40","reason":"REASON_40"},"decisionId":"1"}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := checker(func(context.Context, client.Question) (client.Decision, error) { return test.decision, nil })
			w := httptest.NewRecorder()
			h := middleware(t, c, client.HTTPOptions{Detail: test.detail})(http.NotFoundHandler())
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/shop/orders", nil))
			if w.Code != test.status || w.Body.String() != test.want {
				t.Errorf("answered with %d\n%s\nwant %d\n%s", w.Code, w.Body, test.status, test.want)
			}
			if w.Header().Get("Content-Type") != "application/json; charset=utf-8" || w.Header().Get("X-Pathgrant-Decision-Id") != test.decision.ID {
				t.Errorf("the headers are %v", w.Header())
			}
		})
	}
}

func TestWithoutADecisionTheAnswerIs503AndTheLogSaysWhy(t *testing.T) {
	var log bytes.Buffer
	tests := map[string]struct {
		answer client.Decision
		err    error
		status int
	}{
		"unreachable":                {client.Decision{}, status.Error(codes.Unavailable, "nobody listens"), 503},
		"too late":                   {client.Decision{}, context.DeadlineExceeded, 503},
		"an error beside an allow":   {client.Decision{Reason: authz.Granted}, errors.New("nobody listens"), 503},
		"outside the limits":         {client.Decision{}, status.Error(codes.InvalidArgument, "question.http_request.path"), 400},
		"refused by a mesh":          {client.Decision{}, status.Error(codes.PermissionDenied, "not you"), 503},
		"a decision that is not one": {client.Decision{}, nil, 503},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			log.Reset()
			c := checker(func(context.Context, client.Question) (client.Decision, error) { return test.answer, test.err })
			h := middleware(t, c, client.HTTPOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				t.Error("the request was let through")
			}))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/shop/orders?secret", nil))
			if w.Code != test.status {
				t.Errorf("answered with %d, want %d", w.Code, test.status)
			}
			if test.err != nil && (!strings.Contains(log.String(), "err=") || strings.Contains(log.String(), "secret")) {
				t.Errorf("the log says %q", log.String())
			}
			if test.err != nil && strings.Contains(w.Body.String(), test.err.Error()) {
				t.Errorf("the answer tells the error: %s", w.Body)
			}
		})
	}
}

func TestAServiceMayWriteRefusalsItsOwnWay(t *testing.T) {
	c := checker(func(context.Context, client.Question) (client.Decision, error) {
		return client.Decision{Reason: authz.NoAssignment, ID: "1"}, nil
	})
	tests := map[string]struct {
		refuse func(w http.ResponseWriter, r *http.Request, refusal client.Refusal)
		status int
		body   string
	}{
		"its own page": {
			func(w http.ResponseWriter, _ *http.Request, refusal client.Refusal) {
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprint(w, "no such thing: ", refusal.Decision.ID)
			}, 404, "no such thing: 1",
		},
		"nothing is no 200": {
			func(http.ResponseWriter, *http.Request, client.Refusal) {}, 403, `{"error":{"code":"Forbidden",`,
		},
		"a hint is no answer": {
			func(w http.ResponseWriter, _ *http.Request, _ client.Refusal) { w.WriteHeader(http.StatusEarlyHints) }, 403, `{"error":{"code":"Forbidden",`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			served := httptest.NewServer(middleware(t, c, client.HTTPOptions{Refuse: test.refuse})(http.NotFoundHandler()))
			defer served.Close()
			response, err := served.Client().Get(served.URL + "/shop/orders")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if got := body(t, response); response.StatusCode != test.status || !strings.HasPrefix(got, test.body) {
				t.Errorf("answered with %s: %s", response.Status, got)
			}
		})
	}
}

func TestMiddlewareReportsAllThatIsMissing(t *testing.T) {
	_, err := client.Middleware(nil, client.HTTPOptions{})
	if err == nil || !strings.Contains(err.Error(), "checker") || !strings.Contains(err.Error(), "subject") {
		t.Errorf("the error is %v", err)
	}
}

// What was not allowed never reaches the handler, and what does was asked about by the very
// target that the handler's path was read from.
func FuzzMiddleware(f *testing.F) {
	f.Add("/shop/orders")
	f.Add("/shop/%2e%2e/orders?x")
	f.Add("//shop")
	f.Add("/shop/environments/e1/orders/%E2%82%AC")
	f.Fuzz(func(t *testing.T, target string) {
		var asked string
		c := checker(func(_ context.Context, q client.Question) (client.Decision, error) {
			asked = q.HTTP.Path
			if strings.HasPrefix(asked, "/shop/orders") {
				return client.Decision{Reason: authz.Granted}, nil
			}
			return client.Decision{Reason: authz.Unmapped}, nil
		})
		h := middleware(t, c, client.HTTPOptions{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if asked != target || !strings.HasPrefix(r.URL.Path, "/shop/orders") {
				t.Errorf("the path %q was served and %q asked about", r.URL.Path, asked)
			}
		}))
		request, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")))
		if err != nil || request.RequestURI != target {
			return
		}
		h.ServeHTTP(httptest.NewRecorder(), request)
	})
}
