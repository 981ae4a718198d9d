package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/pathgrant/pathgrant/internal/ops"
	"github.com/pathgrant/pathgrant/internal/pgtest"
)

const tenant = "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"

// patience bounds every wait for something that a process does; it is far above what any
// of it takes, for the machine may be busy.
const patience = 30 * time.Second

// world is a directory with what a server needs, and the servers that were started there.
type world struct {
	t      *testing.T
	dir    string
	issuer *pgtest.Issuer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg") // short: a socket's path may have 90 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{t: t, dir: dir}
	if w.issuer, err = pgtest.NewIssuer("key-1"); err != nil {
		t.Fatal(err)
	}
	w.replace("jwks.json", w.issuer.JWKS())
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// replace puts a file in place as an editor or kubelet would: beside it, then renamed.
func (w *world) replace(name string, content []byte) {
	w.t.Helper()
	w.write(name+".new", content)
	if err := os.Rename(w.path(name+".new"), w.path(name)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(name string, content []byte) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), content, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(w.path(name)); err != nil {
		w.t.Fatal(err)
	}
}

// policy is a bundle in which each of the users may read everywhere in the tenant.
func policy(readers ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: pathgrant/v1\ntenants:\n  - id: %s\n    environments: [{id: e1}, {id: e2}]\n    roleAssignments:\n", tenant)
	for _, reader := range readers {
		fmt.Fprintf(&b, "      - {principalType: User, principalObjectId: %s, roleDefinitionName: Power Platform Reader, scope: /tenants/%s}\n", reader, tenant)
	}
	b.WriteString("...\n")
	return []byte(b.String())
}

// crowd is as many users' names, which begin with the prefix.
func crowd(prefix string, n int) []string {
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return users
}

// command runs pathgrant to its end, as a process.
func (w *world) command(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	cmd := exec.Command("pathgrant", args...)
	var out, errOut bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.dir, &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// must runs pathgrant, which must succeed, and returns what it printed.
func (w *world) must(args ...string) string {
	w.t.Helper()
	stdout, stderr, code := w.command(args...)
	if code != exitOK {
		w.t.Fatalf("pathgrant %s: exit code %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// serving is a running server. It listens on two unix sockets, and on TCP if told to.
type serving struct {
	w       *world
	cmd     *exec.Cmd
	log     *log
	done    chan struct{}
	conn    *grpc.ClientConn
	clients http.Client // of the operator's endpoint
}

// log keeps all that was written to it.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// serve starts a server and waits until it answers at all.
func (w *world) serve(args ...string) *serving {
	w.t.Helper()
	return w.start(instrumented, nil, "authz.sock", args...)
}

// start starts a server by one of the names of the command, with more environment.
func (w *world) start(program string, env []string, socket string, args ...string) *serving {
	w.t.Helper()
	s := w.launch(program, env, socket, args...)
	w.eventually(s, "the server answers", func() error {
		_, _, err := s.get("/healthz")
		return err
	})
	conn, err := grpc.NewClient("unix://"+w.path(socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	s.conn = conn
	return s
}

// launch starts a server and does not wait for anything.
func (w *world) launch(program string, env []string, socket string, args ...string) *serving {
	w.t.Helper()
	operators := socket + ".ops"
	all := append([]string{
		"serve", "--listen", "unix://" + w.path(socket), "--ops-listen", "unix://" + w.path(operators),
		"--admin-listen", "unix://" + w.path(socket+".adm"),
		"--jwks", w.path("jwks.json"), "--issuer", pgtest.IssuerURL, "--audience", pgtest.Audience,
		"--drain-delay", "0s",
	}, args...)
	if !slices.Contains(args, "--data") {
		all = append(all, "--data", w.path("data"))
	}
	s := &serving{w: w, cmd: exec.Command(program, all...), log: &log{}, done: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.Env = append(os.Environ(), env...)
	s.clients.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", w.path(operators))
	}}
	if err := s.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // the exit code says it
		close(s.done)
	}()
	w.t.Cleanup(func() {
		s.kill()
		if w.t.Failed() {
			w.t.Logf("the log of a server:\n%s", s.log)
		}
	})
	return s
}

// ended waits for the end of the process and returns its exit code; -1: by a signal.
func (s *serving) ended() int {
	s.w.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.w.t.Fatalf("the server did not end\n%s", s.log)
	}
	return s.cmd.ProcessState.ExitCode()
}

// stop ends the server as an orchestrator does.
func (s *serving) stop() {
	s.w.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.w.t.Fatal(err)
	}
	if code := s.ended(); code != exitOK {
		s.w.t.Fatalf("exit code %d after SIGTERM\n%s", code, s.log)
	}
}

// kill ends the server as a crash does.
func (s *serving) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.done
}

// get asks the operator's endpoint.
func (s *serving) get(path string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(s.w.t.Context(), http.MethodGet, "http://ops"+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := s.clients.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// status is the state that the server shows.
func (s *serving) status() ops.Status {
	s.w.t.Helper()
	_, body, err := s.get("/status")
	if err != nil {
		s.w.t.Fatal(err)
	}
	var status ops.Status
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		s.w.t.Fatal(err)
	}
	return status
}

// readyz checks the answer of /readyz, once it is that.
func (s *serving) readyz(status int, contains ...string) {
	s.w.t.Helper()
	s.w.eventually(s, fmt.Sprintf("/readyz says %d %q", status, contains), func() error {
		got, body, err := s.get("/readyz")
		if err != nil {
			return err
		}
		for _, part := range contains {
			if !strings.Contains(body, part) {
				return fmt.Errorf("%d %s", got, body)
			}
		}
		if got != status {
			return fmt.Errorf("%d %s", got, body)
		}
		return nil
	})
}

// healthy waits until health says that, for the server and its services.
func (s *serving) healthy(want healthv1.HealthCheckResponse_ServingStatus) {
	s.w.t.Helper()
	for _, service := range []string{"", "envoy.service.auth.v3.Authorization", "pathgrant.v1.AuthorizationService"} {
		s.w.eventually(s, fmt.Sprintf("health of %q is %s", service, want), func() error {
			got, err := healthv1.NewHealthClient(s.conn).Check(s.w.t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err == nil && got.GetStatus() != want {
				err = errors.New(got.GetStatus().String())
			}
			return err
		})
	}
}

// answer is what a proxy was told.
type answer struct {
	status           int // of HTTP; 200 where it was allowed
	reason, revision string
	body             string
	all              string // the whole response as text
}

func requestOf(method, path, authorization string) *authv3.CheckRequest {
	headers := map[string]string{}
	if authorization != "" {
		headers["authorization"] = authorization
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: method, Host: "api.example", Path: path, Headers: headers},
	}}}
}

func (s *serving) token(user string) string {
	s.w.t.Helper()
	token, err := s.w.issuer.Token(pgtest.UserClaims(tenant, user))
	if err != nil {
		s.w.t.Fatal(err)
	}
	return token
}

func (s *serving) check(in *authv3.CheckRequest) (answer, error) {
	ctx, cancel := context.WithTimeout(s.w.t.Context(), patience)
	defer cancel()
	out, err := authv3.NewAuthorizationClient(s.conn).Check(ctx, in)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusOK, all: out.String()}
	if denied := out.GetDeniedResponse(); denied != nil {
		a.status, a.body = int(denied.GetStatus().GetCode()), denied.GetBody()
	} else if out.GetStatus().GetCode() != 0 || out.GetOkResponse() == nil {
		return answer{}, fmt.Errorf("neither allowed nor denied: %v", out)
	}
	fields := out.GetDynamicMetadata().GetFields()
	a.reason, a.revision = fields["reason"].GetStringValue(), fields["revision"].GetStringValue()
	return a, nil
}

// apps is a request for the apps of an environment.
const apps = "/powerapps/environments/e1/apps"

// as asks whether a user may read, or change, apps.
func (s *serving) as(user, method string) answer {
	s.w.t.Helper()
	a, err := s.check(requestOf(method, apps, "Bearer "+s.token(user)))
	if err != nil {
		s.w.t.Fatalf("%v\n%s", err, s.log)
	}
	return a
}

// want asks whether a user may read apps, and checks the answer.
func (s *serving) want(user string, status int, reason string) answer {
	s.w.t.Helper()
	a := s.as(user, http.MethodGet)
	if a.status != status || a.reason != reason {
		s.w.t.Errorf("%s reads apps: %d %s, want %d %s: %s", user, a.status, a.reason, status, reason, a.body)
	}
	return a
}

// becomes waits until that is the answer.
func (s *serving) becomes(user string, status int, reason string) answer {
	s.w.t.Helper()
	var a answer
	s.w.eventually(s, fmt.Sprintf("%s reads apps: %d %s", user, status, reason), func() error {
		if a = s.as(user, http.MethodGet); a.status != status || a.reason != reason {
			return fmt.Errorf("%d %s %s", a.status, a.reason, a.body)
		}
		return nil
	})
	return a
}

func (w *world) eventually(s *serving, what string, f func() error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	err := pgtest.Poll(ctx, func() error {
		select {
		case <-s.done:
			return pgtest.Final(fmt.Errorf("the server ended: %s", s.cmd.ProcessState))
		default:
			return f()
		}
	})
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", what, err, s.log)
	}
}

// files are the names in a directory below the world's, without those that come and go.
func (w *world) files(name string) []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
	}
	return slices.Sorted(maps.Keys(names))
}
