package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func TestTerminatedUnderLoadNoStartedCheckFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	const delay, timeout = 500 * time.Millisecond, 10 * time.Second
	s := w.serve("--bundle", w.path("policy.yaml"), "--drain-delay", delay.String(), "--drain-timeout", timeout.String())
	s.becomes("ada", 200, "GRANTED")
	s.healthy(healthv1.HealthCheckResponse_SERVING)

	const clients, callers = 4, 4
	var checks, afterTheSignal atomic.Int64
	var signalled atomic.Bool
	var all sync.WaitGroup
	for range clients {
		conn, err := grpc.NewClient("unix://"+w.path("authz.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		watch, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var leave atomic.Bool // set when the server says that it is going
		all.Go(func() {
			defer leave.Store(true)
			for {
				news, err := watch.Recv()
				if err != nil {
					t.Errorf("the watch ended before it said NOT_SERVING: %v", err)
					return
				}
				if news.GetStatus() == healthv1.HealthCheckResponse_NOT_SERVING {
					return
				}
			}
		})
		request := requestOf(http.MethodGet, apps, "Bearer "+s.token("ada"))
		for range callers {
			all.Go(func() {
				for !leave.Load() {
					out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), request)
					if err != nil || out.GetOkResponse() == nil {
						t.Errorf("a check that was started failed: %v %v", out, err)
						return
					}
					checks.Add(1)
					if signalled.Load() {
						afterTheSignal.Add(1)
					}
				}
			})
		}
	}
	w.eventually(s, "the load has begun", func() error {
		if n := checks.Load(); n < 1000 {
			return fmt.Errorf("%d checks", n)
		}
		return nil
	})
	signalled.Store(true)
	start := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	code := s.ended()
	took := time.Since(start)
	t.Logf("%d checks, %d of them after the signal; ended after %v", checks.Load(), afterTheSignal.Load(), took.Round(time.Millisecond))
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if took < delay || took > delay+timeout {
		t.Errorf("it ended after %v, want between %v and %v", took, delay, delay+timeout)
	}
	if _, err := os.Stat(w.path("authz.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// What an import that was killed leaves behind is what was there before or what it
// brought, never anything else, and never something that is taken for damage.
func TestKilledWhileImporting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const users = 1500
	for _, name := range []string{"a", "b"} {
		w.write(name+".yaml", policy(crowd(name, users)...))
		w.write(name+".exported", []byte(w.must("export", "--bundle", w.path(name+".yaml"))))
	}
	want := map[string]string{}
	for _, name := range []string{"a", "b"} {
		content, err := os.ReadFile(w.path(name + ".exported"))
		if err != nil {
			t.Fatal(err)
		}
		want[name] = string(content)
	}
	// importing starts an import, waits until it holds the directory, and then until it has
	// ended, or kills it after a time. It returns how long it held the directory.
	importing := func(dir, bundle string, kill time.Duration) time.Duration {
		t.Helper()
		cmd := exec.Command("pathgrant", "import", "--data", w.path(dir), w.path(bundle))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // it is killed
			close(ended)
		}()
		look := time.NewTicker(200 * time.Microsecond)
		defer look.Stop()
		holder := fmt.Appendf(nil, "process %d\n", cmd.Process.Pid)
		for held := false; !held; {
			select {
			case <-ended:
				held = true
			case <-look.C:
				text, _ := os.ReadFile(w.path(filepath.Join(dir, "LOCK"))) // there may be none yet
				held = bytes.Equal(text, holder)
			}
		}
		start := time.Now()
		killing := time.NewTimer(kill)
		defer killing.Stop()
		select {
		case <-ended:
		case <-killing.C:
			_ = cmd.Process.Kill() // it may have ended
			<-ended
		}
		return time.Since(start)
	}
	whole := importing("timing", "a.yaml", patience)

	const rounds = 50
	// The moments stay around that at which an import is committed: later after one that
	// was killed before, sooner after one that was killed too late.
	moment := [2]time.Duration{whole / 2, whole / 2}
	outcome := map[string]int{}
	held := map[string]string{}
	for i := range rounds {
		// In turn a directory of its own, which is written as a whole, and one that holds
		// the other bundle, which is changed.
		dir := "shared"
		if i%2 == 0 {
			dir = fmt.Sprintf("fresh%d", i)
		}
		bring := "a"
		if held[dir] == "a" {
			bring = "b"
		}
		importing(dir, bring+".yaml", moment[i%2])
		stdout, stderr, code := w.command("export", "--data", w.path(dir))
		switch {
		case code == exitOK && stdout == want[bring]:
			outcome["new"]++
			held[dir] = bring
			moment[i%2] = moment[i%2] * 7 / 10
		case code == exitOK && held[dir] != "" && stdout == want[held[dir]]:
			outcome["old"]++
			moment[i%2] = moment[i%2]*13/10 + time.Millisecond
		case code == exitError && held[dir] == "" && strings.Contains(stderr, "no snapshot to decide from"):
			outcome["none, as before"]++
			moment[i%2] = moment[i%2]*13/10 + time.Millisecond
		default:
			t.Fatalf("round %d: neither %q nor %q is there: exit code %d, %d bytes, %s", i, held[dir], bring, code, len(stdout), stderr)
		}
		if reader := bring + "00000"; held[dir] == bring {
			if out := w.must("check", "--data", w.path(dir), "--tenant", tenant, "--user", reader, "--method", "GET", "--path", apps); !strings.Contains(out, "GRANTED") {
				t.Fatalf("round %d: %s", i, out)
			}
		}
		if set := w.files(filepath.Join(dir, "quarantine")); len(set) > 0 {
			t.Fatalf("round %d: set aside: %q", i, set)
		}
		if dir != "shared" { // the directory is as good as any
			w.must("import", "--data", w.path(dir), w.path("b.yaml"))
			if out := w.must("export", "--data", w.path(dir)); out != want["b"] {
				t.Fatalf("round %d: the next import did not bring what it should", i)
			}
			if set := w.files(filepath.Join(dir, "quarantine")); len(set) > 0 {
				t.Fatalf("round %d: set aside: %q", i, set)
			}
			_ = os.RemoveAll(w.path(dir))
		}
	}
	t.Logf("an import holds the directory for %v; killed ones left: %v", whole.Round(time.Millisecond), outcome)
	if outcome["none, as before"] == 0 || outcome["old"] == 0 || outcome["new"] == 0 {
		t.Error("the imports were not killed before and after they were committed: the test shows nothing")
	}
}

func TestTheSourceIsGoneAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve("--bundle", w.path("policy.yaml"))
	s.readyz(503, "not ready: ", "policy.yaml", "no such file")
	s.healthy(healthv1.HealthCheckResponse_NOT_SERVING)
	a := s.want("ada", 503, "NOT_READY")
	if !strings.Contains(a.body, `"code":"AuthorizationUnavailable"`) {
		t.Errorf("the body is %s", a.body)
	}
	if status, body, err := s.get("/healthz"); status != 200 || err != nil {
		t.Errorf("/healthz: %d %q %v: the process lives", status, body, err)
	}
	w.replace("policy.yaml", policy("ada"))
	s.becomes("ada", 200, "GRANTED")
	s.readyz(200, "ready")
	s.healthy(healthv1.HealthCheckResponse_SERVING)
	s.stop()

	w.remove("policy.yaml")
	s = w.serve("--bundle", w.path("policy.yaml"))
	s.readyz(200, "degraded: ", "policy.yaml", "no such file")
	s.healthy(healthv1.HealthCheckResponse_SERVING)
	s.want("ada", 200, "GRANTED")
	s.want("eve", 403, "NO_ASSIGNMENT")
}

func TestTheSourceGoesAndComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	s := w.serve("--bundle", w.path("policy.yaml"))
	s.readyz(200, "ready")
	before := s.want("ada", 200, "GRANTED")
	w.remove("policy.yaml")
	s.readyz(200, "degraded: ", "no such file")
	s.healthy(healthv1.HealthCheckResponse_SERVING)
	if a := s.want("ada", 200, "GRANTED"); a.revision != before.revision {
		t.Errorf("the revision went from %s to %s", before.revision, a.revision)
	}
	if _, metrics, err := s.get("/metrics"); err != nil || !strings.Contains(metrics, `pathgrant_source_up{source="file"} 0`) {
		t.Errorf("the metrics do not say that the source is down: %v", err)
	}
	w.replace("policy.yaml", policy("eve"))
	s.becomes("eve", 200, "GRANTED")
	s.want("ada", 403, "NO_ASSIGNMENT")
	s.readyz(200, "ready")
}

// A ConfigMap is mounted as links: policy.yaml to ..data/policy.yaml, and ..data to a
// directory that is replaced as a whole.
func TestASwapOfAConfigMapIsSeenWithinASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	swap := func(version string, readers ...string) {
		t.Helper()
		if err := os.Mkdir(w.path(version), 0o700); err != nil {
			t.Fatal(err)
		}
		w.write(version+"/policy.yaml", policy(readers...))
		if err := os.Symlink(version, w.path("..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(w.path("..data_tmp"), w.path("..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..v0", "user0")
	if err := os.Symlink("..data/policy.yaml", w.path("policy.yaml")); err != nil {
		t.Fatal(err)
	}
	s := w.serve("--bundle", w.path("policy.yaml"))
	s.becomes("user0", 200, "GRANTED")
	var took []time.Duration
	for i := 1; i <= 5; i++ {
		now, old := fmt.Sprintf("user%d", i), fmt.Sprintf("user%d", i-1)
		swap("..v"+now, now)
		start := time.Now()
		s.becomes(now, 200, "GRANTED")
		took = append(took, time.Since(start))
		s.want(old, 403, "NO_ASSIGNMENT")
	}
	slices.Sort(took)
	t.Logf("seen after %v", took)
	if took[len(took)/2] > time.Second { // the middle one: the machine may be busy
		t.Errorf("seen after %v, want within a second", took)
	}
}

func TestABundleCutShortWhileItIsCopiedIsNeverApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The half that comes first gives ada what she has and eve more; the half that comes
	// late takes away from both.
	text := policy("ada", "eve")
	text = bytes.Replace(text, []byte("...\n"), fmt.Appendf(nil,
		"      - {principalType: User, principalObjectId: eve, roleDefinitionName: Power Platform Reader, scope: /tenants/%[1]s/environments/e1, effect: DENY}\n"+
			"      - {principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Reader, scope: /tenants/%[1]s/environments/e1, effect: FORBID}\n...\n", tenant), 1)
	asJSON := func(yaml []byte) []byte {
		w.write("convert.yaml", yaml)
		return []byte(w.must("export", "--bundle", w.path("convert.yaml"), "-o", "json"))
	}
	for _, test := range []struct {
		name, file  string
		whole, from []byte
		cut         string // what the first half ends with
	}{
		{"in YAML behind a whole line", "policy.yaml", text, policy("ada"), "roleDefinitionName: Power Platform Reader, scope: /tenants/" + tenant + "}\n"},
		{"in YAML within a line", "policy.yaml", text, policy("ada"), "effect: DENY"},
		{"in YAML before its end mark", "policy.yaml", text, policy("ada"), "effect: FORBID}\n"},
		{"in YAML within its end mark", "policy.yaml", text, policy("ada"), "effect: FORBID}\n.."},
		{"in JSON", "policy.json", asJSON(text), asJSON(policy("ada")), "},"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.replace(test.file, test.from)
			s := w.serve("--bundle", w.path(test.file))
			first := s.becomes("ada", 200, "GRANTED")
			at := bytes.LastIndex(test.whole, []byte(test.cut))
			if at < 0 {
				t.Fatalf("the bundle lacks %q:\n%s", test.cut, test.whole)
			}
			at += len(test.cut)
			w.write(test.file, test.whole[:at]) // in place, as cp does
			s.readyz(200, "degraded: ", test.file)
			for range 3 {
				if a := s.want("ada", 200, "GRANTED"); a.revision != first.revision {
					t.Fatalf("half of a bundle became revision %s", a.revision)
				}
				s.want("eve", 403, "NO_ASSIGNMENT")
			}
			f, err := os.OpenFile(w.path(test.file), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(test.whole[at:]); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			s.becomes("ada", 403, "FORBIDDEN")
			s.want("eve", 403, "OVERRIDDEN")
			s.readyz(200, "ready")
		})
	}
}

func TestTheDataDirectoryOfARunningServerIsItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	w.replace("other.yaml", policy("eve"))
	s := w.serve("--bundle", w.path("policy.yaml"))
	before := s.becomes("ada", 200, "GRANTED")
	for _, args := range [][]string{
		{"import", "--data", w.path("data"), w.path("other.yaml")},
		{"import", "--restore", "--data", w.path("data"), w.path("other.yaml")},
		{"export", "--data", w.path("data")},
		{"check", "--data", w.path("data"), "--tenant", tenant, "--user", "ada", "--permission", "PowerApps.Apps.Read"},
		{"serve", "--data", w.path("data"), "--listen", "unix://" + w.path("second.sock"), "--ops-listen", "off", "--admin-listen", "off"},
	} {
		stdout, stderr, code := w.command(args...)
		if code != exitError || stdout != "" && args[0] != "serve" || !strings.Contains(stderr, "held by another process") || !strings.Contains(stderr, "stop it") {
			t.Errorf("pathgrant %s: exit code %d, %q, %s", args[0], code, stdout, stderr)
		}
		if args[0] == "import" && !strings.Contains(stderr, fmt.Sprintf("process %d", s.cmd.Process.Pid)) {
			t.Errorf("import does not say who holds the directory: %s", stderr)
		}
	}
	if a := s.want("ada", 200, "GRANTED"); a.revision != before.revision {
		t.Errorf("the revision went from %s to %s", before.revision, a.revision)
	}
	s.stop()
	w.must("import", "--data", w.path("data"), w.path("other.yaml"))
}

func TestADataDirectoryThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	w.must("import", "--data", w.path("data"), w.path("policy.yaml"))
	if err := os.Remove(w.path("data/LOCK")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.path("data"), 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(w.path("data"), 0o700) })
	s := w.launch("pathgrant-confined", []string{noOverrideVariable + "=1"}, "authz.sock")
	if code := s.ended(); code != exitError {
		t.Errorf("exit code %d", code)
	}
	for _, part := range []string{w.path("data"), "must be writable", "permission denied"} {
		if !strings.Contains(s.log.String(), part) {
			t.Errorf("it does not say %q: %s", part, s.log)
		}
	}
	// What only reads works there.
	w.must("check", "--data", w.path("data"), "--tenant", tenant, "--user", "ada", "--permission", "PowerApps.Apps.Read")

	w.write("file", nil)
	if _, stderr, code := w.command("import", "--data", w.path("file"), w.path("policy.yaml")); code != exitError || !strings.Contains(stderr, "data directory") {
		t.Errorf("a file as the data directory: %d %s", code, stderr)
	}
}

// damages are what can happen to a snapshot on disk.
var damages = []struct {
	name string
	do   func(t *testing.T, dir, file string)
}{
	{"an empty file", func(t *testing.T, dir, file string) { truncate(t, filepath.Join(dir, file), 0) }},
	{"a truncated file", func(t *testing.T, dir, file string) {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		truncate(t, filepath.Join(dir, file), info.Size()/2)
	}},
	{"one flipped bit", func(t *testing.T, dir, file string) { flip(t, filepath.Join(dir, file), "user00042") }},
	{"one flipped bit in CURRENT", func(t *testing.T, dir, _ string) { flip(t, filepath.Join(dir, "CURRENT"), "revision ") }},
	{"a lost file", func(t *testing.T, dir, file string) {
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}},
	{"a lost CURRENT", func(t *testing.T, dir, _ string) {
		if err := os.Remove(filepath.Join(dir, "CURRENT")); err != nil {
			t.Fatal(err)
		}
	}},
}

func truncate(t *testing.T, file string, size int64) {
	t.Helper()
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
}

// flip flips one bit of the last place where a text stands.
func flip(t *testing.T, file, text string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(content, []byte(text))
	if at < 0 {
		t.Fatalf("%s does not hold %q", file, text)
	}
	content[at+len(text)-1] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// snapshotFile is the name of the one snapshot file in a data directory.
func (w *world) snapshotFile(dir string) string {
	w.t.Helper()
	for _, name := range w.files(dir) {
		if strings.HasPrefix(name, "snapshot-") && strings.HasSuffix(name, ".db") {
			return name
		}
	}
	w.t.Fatalf("no snapshot file among %q", w.files(dir))
	return ""
}

func TestDamagedDataIsSetAsideAndComesBackFromTheBundle(t *testing.T) {
	t.Parallel()
	for _, damage := range damages {
		t.Run(damage.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.replace("policy.yaml", policy(crowd("user", 100)...))
			w.must("import", "--data", w.path("data"), w.path("policy.yaml"))
			s := w.serve()
			before := s.status().Snapshot.Revision
			s.stop()
			damage.do(t, w.path("data"), w.snapshotFile("data"))

			s = w.serve("--bundle", w.path("policy.yaml"))
			s.becomes("user00042", 200, "GRANTED")
			s.want("user00099", 200, "GRANTED")
			s.want("user00100", 403, "NO_ASSIGNMENT")
			s.readyz(200, "ready")
			status := s.status()
			if now := status.Snapshot.Revision; now.Epoch <= before.Epoch {
				t.Errorf("the revision is %v, and was %v before the damage: want a new epoch", now, before)
			}
			if lost := damage.name == "a lost file"; (status.Snapshot.Quarantined > 0) == lost || (len(w.files("data/quarantine")) > 0) == lost {
				t.Errorf("quarantined: %d, %q", status.Snapshot.Quarantined, w.files("data/quarantine"))
			}
			s.stop()
			// What took its place is sound.
			s = w.serve()
			s.want("user00042", 200, "GRANTED")
			s.readyz(200, "ready")
		})
	}
}

func TestADamagedLocalStoreWaitsForTheOperator(t *testing.T) {
	t.Parallel()
	for _, damage := range damages {
		t.Run(damage.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.replace("policy.yaml", policy(crowd("user", 100)...))
			w.must("import", "--data", w.path("data"), w.path("policy.yaml"))
			var before string
			{
				s := w.serve()
				before = s.want("user00042", 200, "GRANTED").revision
				s.stop()
			}
			damage.do(t, w.path("data"), w.snapshotFile("data"))

			if _, stderr, code := w.command("check", "--data", w.path("data"), "--tenant", tenant, "--user", "user00042", "--permission", "PowerApps.Apps.Read"); code != exitError {
				t.Errorf("check answers from damaged data: exit code %d, %s", code, stderr)
			}
			s := w.serve()
			s.readyz(503, "not ready: ", "pathgrant import")
			s.healthy(healthv1.HealthCheckResponse_NOT_SERVING)
			s.want("user00042", 503, "NOT_READY")
			s.want("user00100", 503, "NOT_READY")
			s.stop()
			s = w.serve() // and again: what was set aside is not an empty policy
			s.readyz(503, "not ready: ", "pathgrant import")
			s.want("user00042", 503, "NOT_READY")
			s.stop()

			w.must("import", "--data", w.path("data"), w.path("policy.yaml"))
			s = w.serve()
			s.readyz(200, "ready")
			now := s.want("user00042", 200, "GRANTED").revision
			s.want("user00100", 403, "NO_ASSIGNMENT")
			if epoch, _, _ := strings.Cut(now, "."); strings.HasPrefix(before, epoch+".") {
				t.Errorf("the revision is %s, and was %s before the damage: want a new epoch", now, before)
			}
		})
	}
}

// A disk without space, as the limit on a file's size has it: writes fail, and the files
// that are there stay readable.
func TestAFullDiskChangesNothingButTheState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	s := w.start("pathgrant-confined", []string{maxFileSizeVariable + "=131072"}, "authz.sock", "--bundle", w.path("policy.yaml"))
	before := s.becomes("ada", 200, "GRANTED")
	s.readyz(200, "ready")

	w.replace("policy.yaml", policy(append(crowd("user", 5000), "eve")...))
	s.readyz(200, "degraded: ", "policy.yaml", "file too large")
	s.healthy(healthv1.HealthCheckResponse_SERVING)
	for range 3 {
		if a := s.want("ada", 200, "GRANTED"); a.revision != before.revision {
			t.Errorf("the revision went from %s to %s", before.revision, a.revision)
		}
		s.want("eve", 403, "NO_ASSIGNMENT")
	}
	status := s.status()
	if status.Source.Healthy || status.Source.Errors == 0 || !strings.Contains(status.Source.Error, "file too large") {
		t.Errorf("the state of the source is %+v", status.Source)
	}
	age := func() time.Time { return s.status().Snapshot.Proved }
	if proved := age(); proved != age() {
		t.Error("what cannot be applied does not age")
	}

	if err := setMaxFileSize(s.cmd.Process.Pid, 1<<40); err != nil {
		t.Fatal(err)
	}
	s.becomes("eve", 200, "GRANTED")
	s.want("ada", 403, "NO_ASSIGNMENT")
	s.readyz(200, "ready")
	s.stop()
	if strings.Contains(strings.Join(w.files("data"), " "), ".tmp") {
		t.Errorf("left behind: %q", w.files("data"))
	}
	// What was written is sound.
	if out := w.must("check", "--data", w.path("data"), "--tenant", tenant, "--user", "eve", "--method", "GET", "--path", apps); !strings.Contains(out, "GRANTED") {
		t.Error(out)
	}
}

// A data directory that was stored under another catalogue is no obstacle where the
// bundle is the record, and can be restored where it is not.
func TestDataOfAnotherCatalogue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	shipped := w.must("catalogue", "show")
	exact := strings.Replace(shipped, "\ncaseInsensitivePaths: true\n", "\ncaseInsensitivePaths: false\n", 1)
	if exact == shipped {
		t.Fatal("the shipped catalogue does not say caseInsensitivePaths: true")
	}
	w.replace("exact.yaml", []byte(exact))
	w.must("import", "--data", w.path("data"), w.path("policy.yaml"))

	s := w.launch(instrumented, nil, "authz.sock", "--catalogue", w.path("exact.yaml"))
	if code := s.ended(); code != exitError || !strings.Contains(s.log.String(), "caseInsensitivePaths") {
		t.Errorf("exit code %d\n%s", code, s.log)
	}
	_, stderr, code := w.command("import", "--catalogue", w.path("exact.yaml"), "--data", w.path("data"), w.path("policy.yaml"))
	if code != exitError || !strings.Contains(stderr, "restore") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	s = w.serve("--catalogue", w.path("exact.yaml"), "--bundle", w.path("policy.yaml"))
	s.becomes("ada", 200, "GRANTED")
	s.stop()
	// And back, by the operator.
	if _, _, code := w.command("import", "--data", w.path("data"), w.path("policy.yaml")); code != exitError {
		t.Errorf("exit code %d", code)
	}
	w.must("import", "--restore", "--data", w.path("data"), w.path("policy.yaml"))
	s = w.serve()
	s.want("ada", 200, "GRANTED")
}

// A process that is told to end while nobody can be reached still ends in time.
func TestAnInterruptAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	code := run(ctx, []string{"serve", "--listen", "unix://" + w.path("a.sock"), "--ops-listen", "off", "--admin-listen", "off", "--data", w.path("data"), "--drain-delay", "0s"}, strings.NewReader(""), &bytes.Buffer{}, &stderr)
	if code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if files := w.files("."); slices.Contains(files, "a.sock") {
		t.Errorf("left behind: %q", files)
	}
}
