package snapshot_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pathgrant/pathgrant/internal/snapshot"
)

// phaseVariable says where a child ends itself as a crash would.
const phaseVariable = "PATHGRANT_SNAPSHOT_PHASE"

// tinyBuffer makes a delivery of a few records sort on the disk.
const tinyBuffer = 500

// deliverForEver delivers one version after the other, sorted on the disk, and prints each
// that is in force.
func deliverForEver() error {
	ctx := context.Background()
	s, err := snapshot.OpenLimits(ctx, options(os.Getenv(dirVariable)), 1000, 50_000)
	if err != nil {
		return err
	}
	s.SetSortBuffer(tinyBuffer)
	n := 0
	if s.Current() != nil {
		if n, err = versionOf(ctx, s); err != nil {
			return err
		}
	}
	for {
		n++
		if _, err := s.Deliver(ctx, deliveryOf(version(n)), snapshot.Change{Source: "test"}); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, n)
	}
}

// The phases of a delivery at which a child can end itself.
var phases = []string{"first assignment", "last assignment", "all read", "merging", "all written"}

func deliverUntilKilled() error {
	ctx := context.Background()
	s, err := snapshot.Open(ctx, options(os.Getenv(dirVariable)))
	if err != nil {
		return err
	}
	s.SetSortBuffer(tinyBuffer)
	at := func(phase string) {
		if os.Getenv(phaseVariable) == phase {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it is on its way
		}
	}
	data := version(2)
	same := allow("twin", user("ver"), readerRole, "/environments/e2")
	data.Tenants[0].RoleAssignments = append(data.Tenants[0].RoleAssignments, same)
	same.ID = "twin2"
	data.Tenants[0].RoleAssignments = append(data.Tenants[0].RoleAssignments, same)
	d := deliveryOf(data)
	all := d.RoleAssignments
	d.RoleAssignments = func(yield func(*snapshot.DeliveredAssignment) error) error {
		err := all(func(a *snapshot.DeliveredAssignment) error {
			err := yield(a)
			at("first assignment")
			return err
		})
		at("last assignment")
		return err
	}
	checks := 0
	d.Check = func() error {
		if checks++; checks == 1 {
			at("all read")
		} else {
			at("all written")
		}
		return nil
	}
	d.Same = func(first, _ *snapshot.DeliveredAssignment) *snapshot.DeliveredAssignment {
		at("merging")
		return first
	}
	_, err = s.Deliver(ctx, d, snapshot.Change{})
	return err
}

// Wherever a delivery ends, what was held is held, and what lay about is gone at the next
// start.
func TestADeliveryThatIsKilledInEachPhase(t *testing.T) {
	for _, phase := range phases {
		t.Run(phase, func(t *testing.T) {
			o := options(t.TempDir())
			s := opened(t, o)
			before := replace(t, s, version(1))
			closed(t, s)
			cmd := child(t, "killed", o.Dir)
			cmd.Env = append(cmd.Env, phaseVariable+"="+phase)
			out, err := cmd.CombinedOutput()
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("the child was not killed: %v: %s", err, out)
			}
			left, err := filepath.Glob(filepath.Join(o.Dir, "*.tmp"))
			if err != nil {
				t.Fatal(err)
			}
			if len(left) == 0 && phase != "first assignment" { // by then nothing was sorted yet
				t.Errorf("nothing was left behind, so that there was nothing to remove: %q", files(t, o.Dir))
			}
			s = open(t, o)
			if got, err := versionOf(t.Context(), s); err != nil || got != 1 || s.Current().Revision() != before {
				t.Errorf("version %d, revision %v, %v", got, s.Current().Revision(), err)
			}
			noTemporaryFiles(t, o.Dir)
			if s.Stats().Quarantined != 0 {
				t.Errorf("something was set aside: %s", s.Stats().Problem)
			}
			replace(t, s, version(2))
		})
	}
}

// A reader takes no part in what a writer left behind.
func TestAReaderLeavesTemporaryFilesAlone(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	replace(t, s, version(1))
	closed(t, s)
	name := filepath.Join(o.Dir, "import-principals.tmp")
	if err := os.WriteFile(name, []byte(strconv.Itoa(1)), 0o600); err != nil {
		t.Fatal(err)
	}
	o.ReadOnly = true
	closed(t, opened(t, o))
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
	o.ReadOnly = false
	closed(t, opened(t, o))
	if _, err := os.Stat(name); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("the next start left it there: %v", err)
	}
}
