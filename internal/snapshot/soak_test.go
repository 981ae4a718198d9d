//go:build soak

package snapshot_test

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
)

// soakTime is how long each soak test goes on: PATHGRANT_SOAK_TIME, or a minute.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("PATHGRANT_SOAK_TIME")
	if text == "" {
		return time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("PATHGRANT_SOAK_TIME=%q is not a duration such as 10m: %v", text, err)
	}
	return d
}

// Several writers deliver versions that differ in what two callers hold, several readers
// ask for both. A view is of no revision older than one that a writer was told of before
// the reader asked; and all that anybody sees of one revision is one version.
func TestSoakReadersBesideWriters(t *testing.T) {
	for _, test := range []struct {
		name         string
		cacheBytes   int64
		rebuildAbove uint64
	}{
		{"in place", 1 << 20, 1 << 30},
		{"each change a new file", 1 << 20, 0},
		{"tiny cache", 1 << 10, 1 << 30},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := options(t.TempDir())
			o.CacheBytes = test.cacheBytes
			s, err := snapshot.OpenLimits(t.Context(), o, 1<<30, test.rebuildAbove)
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, s)
			s.SetShadowEvery(64)
			x := &soak{store: s, stop: make(chan struct{})}
			x.write(t)
			var wait sync.WaitGroup
			for range 2 {
				wait.Go(func() { x.until(func() { x.write(t) }) })
			}
			wait.Go(func() { x.until(func() { x.change(t) }) })
			for i := range 4 {
				wait.Go(func() { x.until(func() { x.read(t, i%2) }) })
			}
			timer := time.NewTimer(soakTime(t))
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-t.Context().Done():
			}
			close(x.stop)
			wait.Wait()
			st := s.Stats()
			if st.Alarms != 0 || !st.CacheOn || st.Hits == 0 || st.Misses == 0 {
				t.Errorf("%+v", st)
			}
			t.Logf("%d views during %d changes, %d of them of a revision that was not announced yet; %d hits, %d misses, %d waits; %d failures",
				x.views.Load(), x.versions.Load(), x.newer.Load(), st.Hits, st.Misses, st.Waits, x.failures.Load())
		})
	}
}

// soak is what the writers and readers of one store share.
type soak struct {
	store     *snapshot.Store
	stop      chan struct{}
	versions  atomic.Int64
	announced atomic.Uint64 // the newest revision that a writer was told of
	seen      sync.Map      // revision → version
	views     atomic.Uint64
	newer     atomic.Uint64
	failures  atomic.Uint64
}

func (x *soak) until(step func()) {
	for x.failures.Load() < 10 {
		select {
		case <-x.stop:
			return
		default:
			step()
		}
	}
}

func (x *soak) fail(t *testing.T, format string, args ...any) {
	if x.failures.Add(1) <= 10 {
		t.Errorf(format, args...)
	}
}

// is notes which version a revision is of; everybody must agree on it.
func (x *soak) is(t *testing.T, revision uint64, version int64) {
	if other, was := x.seen.LoadOrStore(revision, version); was && other != version {
		x.fail(t, "revision %d is of the versions %v and %v", revision, other, version)
	}
}

func (x *soak) write(t *testing.T) {
	n := x.versions.Add(1)
	r, err := x.store.Replace(t.Context(), version(int(n)), snapshot.Change{Source: "test"})
	if err != nil {
		x.fail(t, "version %d: %v", n, err)
		return
	}
	x.is(t, r.Number, n)
	for old := x.announced.Load(); old < r.Number && !x.announced.CompareAndSwap(old, r.Number); old = x.announced.Load() {
	}
}

// change makes a version by taking what the last one gave and giving anew.
func (x *soak) change(t *testing.T) {
	n := x.versions.Add(1)
	r, err := x.store.Update(t.Context(), snapshot.Change{Source: "test"}, func(e *snapshot.Edit) error {
		for i, id := range []string{"ver", "ver2"} {
			for a, err := range e.RoleAssignmentsOf("t1", user(id)) {
				if err != nil {
					return err
				}
				if _, err := e.RemoveRoleAssignment("t1", a.ID); err != nil {
					return err
				}
			}
			all := version(int(n)).Tenants[0].RoleAssignments
			if err := e.PutRoleAssignment("t1", all[len(all)-2+i]); err != nil {
				return err
			}
		}
		_, err := e.AppendLog(fmt.Append(nil, n))
		return err
	})
	if err != nil {
		x.fail(t, "version %d: %v", n, err)
		return
	}
	x.is(t, r.Number, n)
	for old := x.announced.Load(); old < r.Number && !x.announced.CompareAndSwap(old, r.Number); old = x.announced.Load() {
	}
}

func (x *soak) read(t *testing.T, which int) {
	id, form := [2]string{"ver", "ver2"}[which], [2]string{"v%d", "w%d"}[which]
	who := caller(t, user(id))
	for range 1000 {
		floor := x.announced.Load()
		found, err := x.store.View(t.Context(), who)
		if err != nil {
			x.fail(t, "%s: %v", id, err)
			return
		}
		x.views.Add(1)
		at := found.Snapshot.Revision().Number
		if at < floor {
			x.fail(t, "%s is told of revision %d after %d was announced", id, at, floor)
		}
		if at > floor {
			x.newer.Add(1)
		}
		var n int64
		if held := describe(found.View); held == "" {
			x.fail(t, "%s holds nothing at revision %d", id, at)
		} else if _, err := fmt.Sscanf(held, form, &n); err != nil {
			x.fail(t, "%s holds %q at revision %d", id, held, at)
		} else {
			x.is(t, at, n)
		}
	}
}
