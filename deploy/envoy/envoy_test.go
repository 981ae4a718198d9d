// Package envoy_test runs the bootstraps of this directory in a real Envoy, in front of a
// real upstream and a running Pathgrant. It fails where no Envoy can be had.
package envoy_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/extauthz"
	"github.com/pathgrant/pathgrant/internal/pgtest"
	"github.com/pathgrant/pathgrant/internal/server"
)

// bootstraps are those that enforce decisions, and whether Pathgrant is on a socket.
var bootstraps = []struct {
	file string
	unix bool
}{
	{"envoy.yaml", true},
	{"istio.yaml", false},
}

func TestDecisionsThroughARealEnvoy(t *testing.T) {
	t.Parallel()
	for _, b := range bootstraps {
		t.Run(b.file, func(t *testing.T) {
			t.Parallel()
			w := start(t, b.file, b.unix)

			t.Run("a reader reads, and the upstream learns who it is", func(t *testing.T) {
				r := w.do("GET", "/powerapps/environments/e1/apps/a7?secret=1", "reader", http.Header{
					"X-Pathgrant-Principal": {"mallory", "trudy"}, "X-Pathgrant-Admin": {"true"},
					"X-Http-Method-Override": {"DELETE"}, "X-Original-Url": {"/admin"}, "X-Forwarded-Host": {"evil"},
				})
				if r.status != http.StatusOK {
					t.Fatalf("%d %s", r.status, r.body)
				}
				for name, want := range map[string]string{
					"X-Pathgrant-Principal":  "reader",
					"X-Pathgrant-Tenant":     tenant,
					"X-Pathgrant-Permission": "PowerApps.Apps.Read",
					"X-Pathgrant-Scope":      "/tenants/" + tenant + "/environments/e1/powerapps/a7",
				} {
					if got := r.echo.Headers.Values(name); len(got) != 1 || got[0] != want {
						t.Errorf("%s reached the upstream as %q, want %q", name, got, want)
					}
				}
				for _, name := range []string{"X-Pathgrant-Admin", "X-Http-Method-Override", "X-Original-Url", "X-Forwarded-Host"} {
					if got := r.echo.Headers.Values(name); len(got) > 0 {
						t.Errorf("%s reached the upstream as %q", name, got)
					}
				}
			})
			t.Run("a refusal names the missing permission", func(t *testing.T) {
				before := w.upstream.Requests()
				w.want("reader", "DELETE", "/powerapps/environments/e1/apps/a7", 403,
					`"code":"Forbidden"`, `"code":"InsufficientPrincipalPermissions"`,
					"missing required permissions, all of: [PowerApps.Apps.Delete]", `"decisionId":"`)
				if w.upstream.Requests() != before {
					t.Error("the refused request reached the upstream")
				}
			})
			t.Run("nobody, and a token that does not verify", func(t *testing.T) {
				if r := w.want("", "GET", "/powerapps/apps", 401, `"code":"Unauthorized"`); r.header.Get("Www-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
				r := w.do("GET", "/powerapps/apps", "", http.Header{"Authorization": {"Bearer " + w.token(pgtest.UserClaims(tenant, "reader").With("exp", time.Now().Add(-time.Hour).Unix()))}})
				if r.status != 401 || !strings.Contains(r.header.Get("Www-Authenticate"), "invalid_token") {
					t.Errorf("an expired token: %d, %q", r.status, r.header.Get("Www-Authenticate"))
				}
				token := "Bearer " + w.token(pgtest.UserClaims(tenant, "reader"))
				if r := w.do("GET", "/powerapps/apps", "", http.Header{"Authorization": {token, token}}); r.status != 401 {
					t.Errorf("two Authorization headers: %d %s", r.status, r.body)
				}
			})
			t.Run("an ambiguous path", func(t *testing.T) {
				for _, path := range []string{"/powerapps/apps;v=1/a7", "/powerapps/apps/a%2Fb", "/powerapps/apps/%5Ca", "/powerapps/apps/a%00"} {
					w.want("reader", "GET", path, 400)
				}
			})
			t.Run("a public route, without the identity a client claims", func(t *testing.T) {
				r := w.do("GET", "/health", "", http.Header{"X-Pathgrant-Principal": {"mallory"}})
				if r.status != 200 || len(r.echo.Headers.Values("X-Pathgrant-Principal")) > 0 {
					t.Errorf("%d, the upstream saw %q", r.status, r.echo.Headers.Values("X-Pathgrant-Principal"))
				}
			})
			t.Run("PUT needs Create and Update", func(t *testing.T) {
				w.want("contributor", "PUT", "/powerapps/environments/e1/apps/a7", 200)
				w.want("creator", "PUT", "/powerapps/environments/e1/apps/a7", 403, "all of: [PowerApps.Apps.Update]")
				w.want("creator", "POST", "/powerapps/environments/e1/apps", 200)
			})
			t.Run("an override at one environment", func(t *testing.T) {
				w.want("contributor", "GET", "/powerapps/environments/e2/apps", 403, "OVERRIDDEN")
				w.want("contributor", "GET", "/powerapps/environments/e1/apps", 200)
			})
			t.Run("a nested group holds the role at a group of environments", func(t *testing.T) {
				w.want("member", "GET", "/powerapps/environments/e1/apps", 200)
				w.want("member", "GET", "/powerapps/environments/e3/apps", 403, "NO_ASSIGNMENT")
			})
			t.Run("an environment nobody listed", func(t *testing.T) {
				w.want("reader", "GET", "/powerapps/environments/e9/apps", 403, "UNKNOWN_SCOPE")
			})
			t.Run("only who may assign roles assigns roles", func(t *testing.T) {
				for _, path := range []string{
					"/authorization/roleAssignments",
					"/Authorization/ROLEASSIGNMENTS",
					"/authorization/environmentGroups/g1/roleAssignments",
					"/AUTHORIZATION/EnvironmentGroups/G1/roleassignments",
					"/authorization/environments/e1/roleAssignments",
					"/authorization/ENVIRONMENTS/E1/RoleAssignments",
				} {
					w.want("contributor", "POST", path, 403, "[Authorization.RoleAssignments.Write]")
					w.want("rbac", "POST", path, 200)
					w.want("contributor", "DELETE", path+"/x", 403, "[Authorization.RoleAssignments.Delete]")
					w.want("rbac", "DELETE", path+"/x", 200)
				}
			})
			t.Run("a gRPC upstream", func(t *testing.T) { grpcThroughEnvoy(t, w) })
		})
	}
}

func grpcThroughEnvoy(t *testing.T, w *world) {
	t.Helper()
	conn, err := grpc.NewClient(w.envoy.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := healthv1.NewHealthClient(conn)
	as := func(user string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+w.token(pgtest.UserClaims(tenant, user)))
	}
	if _, err := client.Check(as("reader"), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("a reader's gRPC call: %v", err)
	}
	_, err = client.Check(as("creator"), &healthv1.HealthCheckRequest{})
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(status.Convert(err).Message(), "Health.Checks.Read") {
		t.Errorf("a refused gRPC call: %v, want PERMISSION_DENIED that names the permission", err)
	}
	if _, err = client.Check(t.Context(), &healthv1.HealthCheckRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a gRPC call by nobody: %v, want UNAUTHENTICATED", err)
	}
	if _, err = client.List(as("reader"), &healthv1.HealthListRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a method that the catalogue does not list: %v, want PERMISSION_DENIED", err)
	}
}

func TestARefusalStaysOneWhereFailuresArePasses(t *testing.T) {
	t.Parallel()
	w := start(t, "envoy.yaml", true, pgtest.Replacement{Old: "failure_mode_allow: false", New: "failure_mode_allow: true"})
	w.eventually("Envoy asks Pathgrant", func() error {
		// Until Envoy has seen it healthy, nobody can be asked, and that is a pass.
		if r := w.do("GET", "/powerapps/apps", "creator", nil); r.status != 403 {
			return fmt.Errorf("%d", r.status)
		}
		return nil
	})
	w.want("creator", "GET", "/powerapps/apps", 403)
	w.want("", "GET", "/powerapps/apps", 401)
	w.want("creator", "GET", "/powerapps/apps;x", 400)
	w.want("reader", "GET", "/"+strings.Repeat("a", 50<<10), 400)
	if err := w.pathgrant.Kill(); err != nil {
		t.Fatal(err)
	}
	w.eventually("with nobody to ask, a failure is a pass", func() error {
		if r := w.do("GET", "/powerapps/apps", "creator", nil); r.status != 200 {
			return fmt.Errorf("%d", r.status)
		}
		return nil
	})
}

func TestAProvokedPanicDeniesWhereFailuresArePasses(t *testing.T) {
	t.Parallel()
	w := prepare(t, true)
	w.startPathgrant("--bundle", w.bundle) // for its health; the panicking server takes its place
	if err := w.pathgrant.Close(); err != nil {
		t.Fatal(err)
	}
	address, err := server.ParseAddress("unix://" + w.listen)
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := server.Listen(t.Context(), []server.Address{address}, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(server.Options{})
	extauthz.New(extauthz.Options{
		Decider: panicking{}, Headers: extauthz.DefaultHeaders(), Log: slog.New(slog.DiscardHandler),
	}).Register(s)
	s.SetReadiness(server.Ready)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listeners...) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	bin, err := pgtest.EnvoyBin()
	if err != nil {
		t.Fatal(err)
	}
	w.envoy, err = pgtest.StartEnvoy(t.Context(), pgtest.EnvoyOptions{
		Bin: bin, Bootstrap: "envoy.yaml", Dir: w.dir, Upstream: w.upstream, Pathgrant: w.listen,
		More: []pgtest.Replacement{{Old: "failure_mode_allow: false", New: "failure_mode_allow: true"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.envoy.Close()
	w.eventually("the panic is a refusal", func() error {
		// Until Envoy has seen the server healthy, nobody can be asked, and that is a pass.
		r := w.do("GET", "/powerapps/apps", "reader", nil)
		if r.status != 503 || !strings.Contains(r.body, "AuthorizationUnavailable") {
			return fmt.Errorf("%d %s", r.status, r.body)
		}
		return nil
	})
	before := w.upstream.Requests()
	for range 20 {
		w.want("reader", "GET", "/powerapps/apps", 503, "AuthorizationUnavailable")
	}
	if w.upstream.Requests() != before {
		t.Error("a request passed through the panic")
	}
}

type panicking struct{}

func (panicking) Decide(context.Context, *ask.Request, *ask.Answer) { panic("provoked") }

func TestKilledThenRestartedWithoutItsSource(t *testing.T) {
	t.Parallel()
	w := start(t, "envoy.yaml", true)
	w.want("reader", "GET", "/powerapps/environments/e1/apps", 200)
	if err := w.pathgrant.Kill(); err != nil {
		t.Fatal(err)
	}
	w.want("reader", "GET", "/powerapps/environments/e1/apps", 503)
	w.want("contributor", "GET", "/powerapps/environments/e2/apps", 503)
	if err := os.Remove(w.bundle); err != nil {
		t.Fatal(err)
	}
	w.startPathgrant("--bundle", w.bundle)
	w.awaitHealthy()
	w.want("reader", "GET", "/powerapps/environments/e1/apps", 200)
	w.want("reader", "DELETE", "/powerapps/environments/e1/apps/a7", 403, "[PowerApps.Apps.Delete]")
	w.want("contributor", "GET", "/powerapps/environments/e2/apps", 403, "OVERRIDDEN")
	w.want("member", "GET", "/powerapps/environments/e1/apps", 200)
	if ready := fetch(t, "http://"+w.pathgrant.Ops+"/readyz"); !strings.Contains(ready, "degraded") {
		t.Errorf("readiness %q, want degraded: its source is gone", ready)
	}
}

func TestAnEditOfTheBundleIsSeenWithinASecond(t *testing.T) {
	t.Parallel()
	w := start(t, "envoy.yaml", true)
	w.want("reader", "GET", "/powerapps/environments/e1/apps", 200)
	policy := string(read(t, w.bundle))
	without := strings.Replace(policy, "principalObjectId: reader, roleDefinitionName: Power Platform Reader", "principalObjectId: somebody, roleDefinitionName: Power Platform Reader", 1)
	w.write("policy.yaml", []byte(without))
	edited := time.Now()
	w.eventually("the revocation is in force", func() error {
		if r := w.do("GET", "/powerapps/environments/e1/apps", "reader", nil); r.status != 403 {
			return fmt.Errorf("%d", r.status)
		}
		return nil
	})
	took := time.Since(edited)
	t.Logf("in force %v after the edit", took.Round(time.Millisecond))

	// A broken file changes nothing, says where it is broken, and recovers when mended.
	w.write("policy.yaml", []byte(strings.Replace(policy, "roleAssignments:", "roleAssigments:", 1)))
	w.eventually("the broken file is reported with its line", func() error {
		if ready := fetch(t, "http://"+w.pathgrant.Ops+"/readyz"); !strings.Contains(ready, "degraded") || !strings.Contains(ready, "policy.yaml:") {
			return fmt.Errorf("readiness %q", ready)
		}
		return nil
	})
	w.want("contributor", "GET", "/powerapps/environments/e1/apps", 200)
	w.want("reader", "GET", "/powerapps/environments/e1/apps", 403)
	w.write("policy.yaml", []byte(policy))
	w.eventually("the mended file is in force", func() error {
		if r := w.do("GET", "/powerapps/environments/e1/apps", "reader", nil); r.status != 200 {
			return fmt.Errorf("%d", r.status)
		}
		return nil
	})
}

func TestShadowModeRefusesNothingAndSaysWhatItWouldHaveDone(t *testing.T) {
	t.Parallel()
	w := start(t, "shadow.yaml", true)
	w.want("reader", "GET", "/powerapps/environments/e1/apps", 200)
	r := w.do("DELETE", "/powerapps/environments/e1/apps/a7", "reader", http.Header{"X-Pathgrant-Principal": {"mallory"}})
	if r.status != 200 {
		t.Errorf("shadow mode refused: %d %s", r.status, r.body)
	}
	if got := r.echo.Headers.Values("X-Pathgrant-Principal"); len(got) > 0 {
		t.Errorf("a client's identity header reached the upstream: %q", got)
	}
	w.eventually("the access log says what would have been refused", func() error {
		w.want("reader", "DELETE", "/powerapps/environments/e1/apps/a7", 200)
		log := w.envoy.Log()
		for _, part := range []string{`"reason":"NO_ASSIGNMENT"`, `"permission":"PowerApps.Apps.Delete"`, `DENIED`} {
			if !strings.Contains(log, part) {
				return fmt.Errorf("the log lacks %s:\n%s", part, log)
			}
		}
		return nil
	})
}

func TestABrowsersPreflightNeedsNoToken(t *testing.T) {
	t.Parallel()
	w := start(t, "envoy.yaml", true)
	r := w.do("OPTIONS", "/powerapps/apps", "", http.Header{
		"Origin": {"https://app.example"}, "Access-Control-Request-Method": {"GET"},
	})
	if r.status != 200 || r.header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("preflight: %d, %v", r.status, r.header)
	}
	w.want("reader", "OPTIONS", "/powerapps/apps", 403, "RequestNotMapped")
}

func TestHostileRequestTargets(t *testing.T) {
	t.Parallel()
	w := start(t, "istio.yaml", false)
	token := w.token(pgtest.UserClaims(tenant, "reader"))
	for _, test := range []struct{ name, line string }{
		{"asterisk", "OPTIONS * HTTP/1.1"},
		{"a lower-case method", "get /powerapps/apps HTTP/1.1"},
		{"60 KiB", "GET /powerapps/apps/" + strings.Repeat("a", 50<<10) + " HTTP/1.1"},
		{"129 segments", "GET /powerapps" + strings.Repeat("/a", 129) + " HTTP/1.1"},
		{"not UTF-8", "GET /powerapps/apps/\xff\xfe HTTP/1.1"},
		{"absolute form to another host's admin", "DELETE http://evil.example/powerapps/apps/a7 HTTP/1.1"},
		{"doubled slash", "GET //powerapps/apps HTTP/1.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := w.upstream.Requests()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.envoy.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%s\r\nHost: api.example\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", test.line, token)
			buf := make([]byte, 64)
			n, _ := conn.Read(buf)
			answer := string(buf[:n])
			if strings.HasPrefix(answer, "HTTP/1.1 2") || w.upstream.Requests() != before {
				t.Errorf("the request passed: %q", answer)
			}
		})
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := response.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

// The bootstraps are what Envoy itself takes as valid, with the socket and the health
// service's name that Pathgrant uses.
func TestTheBootstrapsNameWhatPathgrantServes(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"envoy.yaml", "shadow.yaml"} {
		text := string(read(t, file))
		for _, part := range []string{"/run/pathgrant/authz.sock", "service_name: " + authv3.Authorization_ServiceDesc.ServiceName, "status_on_error: {code: ServiceUnavailable}"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q", filepath.Base(file), part)
			}
		}
	}
}
