package envoy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

const tenant = "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"

// pathgrantBin is the command, built once.
var pathgrantBin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pathgrant-envoy-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	pathgrantBin = filepath.Join(dir, "pathgrant")
	build := exec.Command("go", "build", "-o", pathgrantBin, "github.com/pathgrant/pathgrant/cmd/pathgrant")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// world is a real upstream, a real Pathgrant and a real Envoy in front of them.
type world struct {
	t         *testing.T
	dir       string
	upstream  *pgtest.Upstream
	issuer    *pgtest.Issuer
	pathgrant *pgtest.Pathgrant
	envoy     *pgtest.Envoy
	listen    string
	bundle    string
}

// start brings up all three. The bootstrap is one of this directory; unix says whether
// Pathgrant listens on a socket, as that bootstrap expects.
func start(t *testing.T, bootstrap string, unix bool, more ...pgtest.Replacement) *world {
	t.Helper()
	w := prepare(t, unix)
	w.startPathgrant("--bundle", w.bundle)
	w.startEnvoy(bootstrap, more...)
	return w
}

func prepare(t *testing.T, unix bool) *world {
	t.Helper()
	w := &world{t: t, dir: shortDir(t)}
	var err error
	if w.upstream, err = pgtest.StartUpstream(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.upstream.Close() })
	if w.issuer, err = pgtest.NewIssuer("key-1"); err != nil {
		t.Fatal(err)
	}
	w.listen = filepath.Join(w.dir, "authz.sock")
	if !unix {
		if w.listen, err = pgtest.FreeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	w.bundle = filepath.Join(w.dir, "policy.yaml")
	w.write("policy.yaml", read(t, "testdata/policy.yaml"))
	w.write("jwks.json", w.issuer.JWKS())
	w.write("catalogue.yaml", catalogueWithMore(t))
	return w
}

// shortDir is a directory whose name leaves room for a socket's, which may have 107 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// catalogueWithMore is the shipped catalogue with a public route and a gRPC service.
func catalogueWithMore(t *testing.T) []byte {
	t.Helper()
	shipped, err := exec.Command(pathgrantBin, "catalogue", "show").Output()
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(shipped), "\nroutes:\n", "\nroutes:\n  - {method: GET, path: /health, public: true}\n", 1)
	more = strings.Replace(more, "\nnamespaces:\n", "\ngrpc:\n  grpc.health.v1.Health: {namespace: Health, resourceType: Checks, methods: {Check: Read}}\nnamespaces:\n  Health: {resourceTypes: {Checks: {}}}\n", 1)
	if !strings.Contains(more, "/health") || !strings.Contains(more, "grpc.health.v1.Health") {
		t.Fatal("the shipped catalogue has no routes and namespaces to add to")
	}
	return []byte(more)
}

func (w *world) startPathgrant(args ...string) {
	w.t.Helper()
	listen := "tcp://" + w.listen
	if strings.HasPrefix(w.listen, "/") {
		listen = "unix://" + w.listen
	}
	var err error
	w.pathgrant, err = pgtest.StartPathgrant(w.t.Context(), pgtest.PathgrantOptions{
		Bin: pathgrantBin, Listen: listen,
		Args: append([]string{
			"--data", filepath.Join(w.dir, "data"),
			"--catalogue", filepath.Join(w.dir, "catalogue.yaml"),
			"--jwks", filepath.Join(w.dir, "jwks.json"),
			"--issuer", pgtest.IssuerURL, "--audience", pgtest.Audience,
			"--drain-delay", "10ms",
		}, args...),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	running := w.pathgrant
	w.t.Cleanup(func() { _ = running.Close() })
}

func (w *world) startEnvoy(bootstrap string, more ...pgtest.Replacement) {
	w.t.Helper()
	bin, err := pgtest.EnvoyBin()
	if err != nil {
		w.t.Fatal(err)
	}
	if bootstrap == "istio.yaml" {
		more = append(more, pgtest.Replacement{Old: exampleKeys.FindString(string(read(w.t, bootstrap))), New: string(w.issuer.JWKS())})
	}
	w.envoy, err = pgtest.StartEnvoy(w.t.Context(), pgtest.EnvoyOptions{
		Bin: bin, Bootstrap: bootstrap, Dir: w.dir, Upstream: w.upstream, Pathgrant: w.listen, More: more,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.envoy.Close() })
	w.awaitHealthy()
}

// exampleKeys are the keys of the token issuer in istio.yaml.
var exampleKeys = regexp.MustCompile(`\{"keys":.*\]\}`)

// awaitHealthy waits until Envoy has seen that Pathgrant is healthy.
func (w *world) awaitHealthy() {
	w.t.Helper()
	w.eventually("Envoy lets the health route pass", func() error {
		if r := w.do("GET", "/health", "", nil); r.status != http.StatusOK {
			return fmt.Errorf("%d %s", r.status, r.body)
		}
		return nil
	})
}

func (w *world) eventually(what string, f func() error) {
	w.t.Helper()
	if err := pgtest.Poll(w.t.Context(), timeLimit(f, 10*time.Second)); err != nil {
		w.t.Fatalf("%s: %v\n%s", what, err, w.pathgrant.Log())
	}
}

// timeLimit makes f give up for good after a time.
func timeLimit(f func() error, limit time.Duration) func() error {
	until := time.Now().Add(limit)
	return func() error {
		err := f()
		if err != nil && time.Now().After(until) {
			return pgtest.Final(err)
		}
		return err
	}
}

// reply is what came back through Envoy.
type reply struct {
	status int
	header http.Header
	body   string
	echo   pgtest.Echo // what reached the upstream, if anything did
}

// do sends a request through Envoy as somebody, or as nobody.
func (w *world) do(method, path, user string, header http.Header) reply {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.envoy.Address+"/", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	request.URL.Opaque = path // as it stands, whatever net/url would make of it
	if header != nil {
		request.Header = header.Clone()
	}
	if user != "" {
		request.Header.Set("Authorization", "Bearer "+w.token(pgtest.UserClaims(tenant, user)))
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", method, path, err, w.envoy.Log())
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	r := reply{status: response.StatusCode, header: response.Header, body: string(body)}
	if response.StatusCode == http.StatusOK {
		_ = json.NewDecoder(bytes.NewReader(body)).Decode(&r.echo)
	}
	return r
}

func (w *world) token(claims pgtest.Claims) string {
	w.t.Helper()
	token, err := w.issuer.Token(claims)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// want sends a request and checks its status and what its body contains.
func (w *world) want(user, method, path string, status int, contains ...string) reply {
	w.t.Helper()
	r := w.do(method, path, user, nil)
	if r.status != status {
		w.t.Errorf("%s %s as %q: %d %s, want %d", method, path, user, r.status, r.body, status)
	}
	for _, part := range contains {
		if !strings.Contains(r.body, part) {
			w.t.Errorf("%s %s as %q: the body lacks %q: %s", method, path, user, part, r.body)
		}
	}
	return r
}

// write replaces a file as an editor or kubelet would: beside it, then renamed.
func (w *world) write(name string, content []byte) {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		w.t.Fatal(err)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
