package ops

import (
	"context"
	"math"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheMemoryForACache(t *testing.T) {
	const MiB = 1 << 20
	for _, test := range []struct {
		name                    string
		cache, live, most, want int64
	}{
		{"the cache and a little besides", 64 * MiB, 90 * MiB, 0, 150 * MiB},
		{"a process that has just begun", 64 * MiB, 0, 0, 150 * MiB},
		{"no cache", -1, 20 * MiB, 0, 86 * MiB},
		{"a large directory is left room to work", 64 * MiB, 400 * MiB, 0, 600 * MiB},
		{"the container's limit holds", 64 * MiB, 400 * MiB, 450 * MiB, 450 * MiB},
	} {
		if got := memoryFor(test.cache, test.live, test.most); got != test.want {
			t.Errorf("%s: %d MiB, want %d", test.name, got/MiB, test.want/MiB)
		}
	}
}

func TestTheRuntimesLimitFollows(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- FollowMemory(ctx, 1<<30, 0) }()
		time.Sleep(3 * followEvery)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if got := debug.SetMemoryLimit(-1); got < 1<<30+besides || got == math.MaxInt64 {
		t.Errorf("the limit is %d", got)
	}
}

func TestTheVariableOutranksWhatFollows(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "off")
	if err := FollowMemory(t.Context(), 1<<30, 0); err != nil {
		t.Error(err)
	}
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("the limit is %d, and was %d", got, before)
	}
}
