package snapshot_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Tests that must end a process, or limit one, run this binary again as a child.
const (
	childVariable = "PATHGRANT_SNAPSHOT_CHILD"
	dirVariable   = "PATHGRANT_SNAPSHOT_DIR"
)

var children = map[string]func() error{
	"import":  func() error { return importForEver(50_000) },
	"rebuild": func() error { return importForEver(0) },
	"update":  updateForEver,
	"full":    importIntoAFullDisk,
	"deliver": deliverForEver,
	"killed":  deliverUntilKilled,
	"restore": restoreForEver,
}

func child(t *testing.T, name, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childVariable+"="+name, dirVariable+"="+dir)
	return cmd
}

// version is the sample at a version that can be told from what "ver" and "ver2" hold.
func version(n int) *snapshot.Data {
	d := sample()
	t := &d.Tenants[0]
	t.RoleAssignments = append(t.RoleAssignments,
		allow(fmt.Sprintf("v%d", n), user("ver"), readerRole, ""),
		allow(fmt.Sprintf("w%d", n), user("ver2"), readerRole, "/environments/e1"))
	t.Tables = []snapshot.Table{{Environment: "e2", Table: authz.Table{Name: fmt.Sprintf("v%d", n), Ownership: authz.UserOwned}}}
	t.Shares = []snapshot.Share{{Environment: "e2", Table: fmt.Sprintf("v%d", n), Record: "r", Share: authz.Share{WithOrganization: true, Rights: reading}}}
	t.Teams = []snapshot.Team{{ID: "vs", Environment: "e2", Kind: authz.OwnerTeamHolder, Members: []authz.Principal{user(fmt.Sprintf("m%d", n))}}}
	return d
}

// importForEver delivers one version after the other and prints each that is in force.
func importForEver(rebuildAbove uint64) error {
	ctx := context.Background()
	s, err := snapshot.OpenLimits(ctx, options(os.Getenv(dirVariable)), 1000, rebuildAbove)
	if err != nil {
		return err
	}
	n := 0
	if s.Current() != nil {
		if n, err = versionOf(ctx, s); err != nil {
			return err
		}
	}
	for {
		n++
		if _, err := s.Replace(ctx, version(n), snapshot.Change{Source: "test"}); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, n)
	}
}

// updateForEver changes the version, one after the other, and logs each.
func updateForEver() error {
	ctx := context.Background()
	s, err := snapshot.OpenLimits(ctx, options(os.Getenv(dirVariable)), 1000, 50_000)
	if err != nil {
		return err
	}
	n := 0
	if s.Current() == nil {
		if _, err = s.Replace(ctx, version(0), snapshot.Change{Source: "test"}); err != nil {
			return err
		}
	} else if n, err = versionOf(ctx, s); err != nil {
		return err
	}
	for {
		n++
		if _, err := s.Update(ctx, snapshot.Change{Source: "test"}, func(e *snapshot.Edit) error { return toVersion(e, n) }); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, n)
	}
}

// toVersion makes the next version of the one before, the change log included.
func toVersion(e *snapshot.Edit, n int) error {
	for i, name := range []string{"v", "w"} {
		if _, err := e.RemoveRoleAssignment("t1", fmt.Sprint(name, n-1)); err != nil {
			return err
		}
		a := version(n).Tenants[0].RoleAssignments
		if err := e.PutRoleAssignment("t1", a[len(a)-2+i]); err != nil {
			return err
		}
	}
	_, err := e.AppendLog(fmt.Append(nil, n))
	return err
}

// logged returns what the last record of the change log says, and its number.
func logged(ctx context.Context, s *snapshot.Store) (n uint64, record string, err error) {
	err = s.Read(ctx, func(r *snapshot.Reader) error {
		var b []byte
		n, b, err = r.LastLog()
		record = string(b)
		return err
	})
	return n, record, err
}

// versionOf returns the version that a store serves, if it is one alone.
func versionOf(ctx context.Context, s *snapshot.Store) (int, error) {
	var seen [2]string
	for i, id := range []string{"ver", "ver2"} {
		who, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: user(id)})
		if err != nil {
			return 0, err
		}
		found, err := s.View(ctx, who)
		if err != nil {
			return 0, err
		}
		seen[i] = describe(found.View)
	}
	n, err := strconv.Atoi(strings.TrimPrefix(seen[0], "v"))
	if err != nil || seen[1] != "w"+strconv.Itoa(n) {
		return 0, fmt.Errorf("a mixture of versions: %q and %q", seen[0], seen[1])
	}
	return n, nil
}

func TestAKilledImportLeavesTheOldOrTheNew(t *testing.T) {
	for _, name := range []string{"import", "rebuild", "update"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			acknowledged := 0
			for run := range 25 {
				acknowledged = killDuringImport(t, name, dir, acknowledged, run)
			}
			t.Logf("%d revisions acknowledged", acknowledged)
		})
	}
}

func killDuringImport(t *testing.T, name, dir string, acknowledged, run int) int {
	t.Helper()
	cmd := child(t, name, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for wait := 1 + run%4; wait > 0 && lines.Scan(); wait-- {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("run %d: the child says %q", run, lines.Text())
		}
		acknowledged = n
	}
	timer := time.AfterFunc(time.Duration(rand.IntN(4000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	for lines.Scan() {
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			acknowledged = n
		}
	}
	_ = cmd.Wait() // it was killed

	s, err := snapshot.Open(t.Context(), options(dir))
	if err != nil {
		t.Fatalf("run %d: %v", run, err)
	}
	defer closed(t, s)
	got, err := versionOf(t.Context(), s)
	if err != nil {
		t.Fatalf("run %d: %v", run, err)
	}
	if got != acknowledged && got != acknowledged+1 {
		t.Fatalf("run %d: version %d after %d was acknowledged", run, got, acknowledged)
	}
	if n, record, err := logged(t.Context(), s); name == "update" && (err != nil || record != strconv.Itoa(got) || n != uint64(got)) {
		t.Fatalf("run %d: version %d, and the change log ends with number %d, %q, %v", run, got, n, record, err)
	}
	if s.Stats().Quarantined != 0 {
		t.Fatalf("run %d: something was set aside: %s", run, s.Stats().Problem)
	}
	return got
}

// importIntoAFullDisk delivers changes while files may not grow.
func importIntoAFullDisk() error {
	signal.Ignore(syscall.SIGXFSZ)
	return fillDisk(context.Background(), os.Getenv(dirVariable))
}

func fillDisk(ctx context.Context, dir string) (err error) {
	s, err := snapshot.Open(ctx, options(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	deliver := func(n int) (authz.Revision, error) {
		return s.Replace(ctx, version(n), snapshot.Change{Source: "test"})
	}
	before, err := deliver(1)
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	full := limit
	full.Cur = 8 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		return err
	}
	for n := 2; n < 6; n++ {
		if r, err := deliver(n); err == nil {
			return fmt.Errorf("version %d was taken as %v", n, r)
		}
		if got, err := versionOf(ctx, s); err != nil || got != 1 {
			return fmt.Errorf("version %d is served, %w", got, err)
		}
		if s.Current().Revision() != before || s.Stats().Problem == "" && n == 2 {
			return fmt.Errorf("revision %v, problem %q", s.Current().Revision(), s.Stats().Problem)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	after, err := deliver(6)
	if err != nil {
		return err
	}
	if after.Epoch <= before.Epoch || s.Stats().Problem != "" {
		return fmt.Errorf("revision %v after %v, problem %q", after, before, s.Stats().Problem)
	}
	if got, err := versionOf(ctx, s); err != nil || got != 6 {
		return fmt.Errorf("version %d is served, %w", got, err)
	}
	return nil
}

func TestAFullDiskStopsChangesAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	if out, err := child(t, "full", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := open(t, options(dir))
	if got, err := versionOf(t.Context(), s); err != nil || got != 6 {
		t.Errorf("after a restart: version %d, %v", got, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

// A change that was committed but not marked is in force, and the error says so.
func TestAChangeWhoseMarkCannotBeWritten(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	at := replace(t, s, version(1))
	obstacle := filepath.Join(o.Dir, "CURRENT.tmp")
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(obstacle, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Replace(t.Context(), version(2), snapshot.Change{})
	if err == nil || !strings.Contains(err.Error(), "in force") {
		t.Fatalf("error %v", err)
	}
	if got, err := versionOf(t.Context(), s); err != nil || got != 2 {
		t.Errorf("version %d, %v", got, err)
	}
	if r := s.Current().Revision(); r.Epoch <= at.Epoch {
		t.Errorf("revision %v after %v", r, at)
	}
	if _, err = s.Replace(t.Context(), version(3), snapshot.Change{}); err == nil {
		t.Fatal("a new file was marked")
	}
	if got, err := versionOf(t.Context(), s); err != nil || got != 2 {
		t.Errorf("version %d, %v", got, err)
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	replace(t, s, version(3))
	if got, err := versionOf(t.Context(), s); err != nil || got != 3 {
		t.Errorf("version %d, %v", got, err)
	}
	closed(t, s)
	if got, err := versionOf(t.Context(), open(t, o)); err != nil || got != 3 {
		t.Errorf("after a restart: version %d, %v", got, err)
	}
}
