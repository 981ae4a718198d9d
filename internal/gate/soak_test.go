//go:build soak

package gate_test

import (
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/oracle"
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

// Worlds that nobody has seen, one after the other until the time is over, with a cache
// that holds everything and with one that holds next to nothing. A seed that is told of
// gives the same world in every other test.
func TestSoakEveryAnswerIsTheOracles(t *testing.T) {
	began := time.Now()
	end := began.Add(soakTime(t))
	next := new(atomic.Uint64)
	next.Store(uint64(began.UnixNano()))
	first := next.Load() + 1
	t.Logf("the first seed is %d", first)

	caches := []int64{64 << 20, 4 << 10}
	comparisons := make([]*comparison, len(caches))
	t.Run("caches", func(t *testing.T) {
		for i, bytes := range caches {
			t.Run([]string{"cache", "tiny cache"}[i], func(t *testing.T) {
				t.Parallel()
				c := newComparison(t, bytes)
				comparisons[i] = c
				for time.Now().Before(end) && c.different < 100 {
					c.world(t, next.Add(1), oracleQuestions)
				}
			})
		}
	})

	all := &comparison{census: map[string]int{}, uncaught: maps.Clone(comparisons[0].uncaught)}
	for _, c := range comparisons {
		all.asked += c.asked
		all.different += c.different
		for reason, n := range c.census {
			all.census[reason] += n
		}
		maps.DeleteFunc(all.uncaught, func(m oracle.Mistake, _ bool) bool { return !c.uncaught[m] })
	}
	for _, reason := range slices.Sorted(maps.Keys(all.census)) {
		t.Logf("%-20s %d", reason, all.census[reason])
	}
	t.Logf("%d worlds in %v, from seed %d", next.Load()-first+1, time.Since(began).Round(time.Second), first)
	all.finish(t)
}

// As many changes as fit into the time, and as many checks beside them.
func TestSoakNoAnswerIsOlderThanWhatWasAnnounced(t *testing.T) {
	end := time.Now().Add(soakTime(t))
	f := newFixture(t, "", nil)
	x := &readers{every: 1000}
	x.change(t, f, 1)
	x.start(t, f, 4)
	defer x.finish(t, f)
	for n := uint64(2); time.Now().Before(end) && x.failures.Load() == 0; n++ {
		<-x.ticks
		x.change(t, f, n)
	}
}
