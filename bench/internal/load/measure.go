package load

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pathgrant/pathgrant/bench/internal/machine"
)

// A Round is one measurement: a closed loop with so many calls in flight, or an open one
// of so many in a second.
type Round struct {
	InFlight int
	Rate     float64 // 0: a closed loop
	// Warm is how long the connection is loaded before, Length how long it is measured.
	Warm, Length time.Duration
	// Once sends every request once, the first tenth as the warm-up, whatever the times
	// above say.
	Once bool
}

// A Result is what a round has shown.
type Result struct {
	Answered       int // warm-up included
	PerSecond      float64
	CPU            []time.Duration // for one request, of each process asked for
	ClientCPU      time.Duration   // for one request, without looking for answers in vain
	ClientBusy     float64         // the part of a CPU that this is
	P50, P99, P999 time.Duration
	// Lag is how far the 99th percentile of an open load's calls was sent behind the
	// schedule: the client's fault, or that of a server which leaves no room.
	Lag time.Duration
}

// Measure connects, runs a round and measures the CPU time of processes meanwhile.
func Measure(ctx context.Context, t *Target, r Round, pids ...int) (result Result, err error) {
	c, err := Dial(ctx, t)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	run := func(length time.Duration, first, last int) (int, error) {
		switch {
		case r.Once:
			return c.Closed(ctx, r.InFlight, func(sent int, _ time.Time) bool { return sent == last-first })
		case r.Rate > 0:
			return c.Open(ctx, r.Rate, length)
		default:
			end := time.Now().Add(length)
			return c.Closed(ctx, r.InFlight, func(_ int, now time.Time) bool { return !now.Before(end) })
		}
	}
	tenth := len(t.Requests) / 10
	warmed := 0
	if r.Warm > 0 || r.Once {
		if warmed, err = run(r.Warm, 0, tenth); err != nil {
			return Result{Answered: warmed}, err
		}
	}
	c.measuring = true
	before, err := cpuTimes(pids)
	if err != nil {
		return Result{Answered: warmed}, err
	}
	start := time.Now()
	n, err := run(r.Length, tenth, len(t.Requests))
	elapsed := time.Since(start)
	result.Answered = warmed + n
	if err != nil {
		return result, err
	}
	after, err := cpuTimes(pids)
	if err != nil {
		return result, err
	}
	if n == 0 {
		return result, errors.New("not a single request was answered in the time of a round")
	}
	last := len(after) - 1
	for i := range after[:last] {
		result.CPU = append(result.CPU, (after[i]-before[i])/time.Duration(n))
	}
	own := after[last] - before[last]
	if t.Spin {
		own = max(own-c.idle, 0)
	}
	slices.Sort(c.latencies)
	slices.Sort(c.lags)
	result.PerSecond = float64(n) / elapsed.Seconds()
	result.ClientCPU, result.ClientBusy = own/time.Duration(n), float64(own)/float64(elapsed)
	result.P50, result.P99, result.P999 = Quantile(c.latencies, 0.5), Quantile(c.latencies, 0.99), Quantile(c.latencies, 0.999)
	result.Lag = Quantile(c.lags, 0.99)
	return result, nil
}

// cpuTimes returns those of processes, and of this one at the end.
func cpuTimes(pids []int) ([]time.Duration, error) {
	var times []time.Duration
	for _, pid := range pids {
		t, err := machine.CPUTime(pid)
		if err != nil {
			return nil, err
		}
		times = append(times, t)
	}
	own, err := machine.OwnCPUTime()
	return append(times, own), err
}

// Quantile returns that of sorted values: the smallest that at least that part of them
// does not exceed. Of none it is 0.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(q * float64(len(sorted)))
	if float64(rank) < q*float64(len(sorted)) {
		rank++
	}
	return sorted[min(max(rank, 1), len(sorted))-1]
}
