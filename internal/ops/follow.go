package ops

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// besides is what a process takes besides its cache: the catalogue, what is small of
	// the tenants, connections, buffers, and garbage that is not yet collected.
	besides = 86 << 20
	// followEvery is how often the limit is looked at.
	followEvery = time.Second
)

// FollowMemory keeps the Go runtime's memory limit at what the process is meant to take:
// its cache and a little besides, or half as much again as what lives if that is more, for
// near its limit the runtime does little else than collect garbage. most is a limit that
// holds already; zero: none. It returns nil when ctx ends, at once where the variable
// GOMEMLIMIT says what holds.
func FollowMemory(ctx context.Context, cacheBytes, most int64) error {
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	set := int64(0)
	for {
		metrics.Read(sample)
		// Setting it stops the world for a moment, so small changes are left.
		if want := memoryFor(cacheBytes, int64(sample[0].Value.Uint64()), most); want > set+set/16 || want < set-set/16 {
			set = want
			debug.SetMemoryLimit(set)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// memoryFor is the limit for a cache of so many bytes and so much that lives.
func memoryFor(cacheBytes, live, most int64) int64 {
	if most <= 0 {
		most = math.MaxInt64
	}
	return min(max(max(cacheBytes, 0)+besides, live+live/2), most)
}
