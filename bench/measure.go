package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// warmUp is how long a connection is loaded before it is measured.
const warmUp = 100 * time.Millisecond

// A sample is one round of one server at one level of load.
type sample struct {
	perSecond  float64
	cpu        time.Duration // of the server, for one request
	p50, p99   time.Duration
	clientBusy float64 // of one CPU
}

// measure runs all rounds and prints the medians.
func measure(ctx context.Context, out io.Writer, peers []*peer, requests []request, p plan) error {
	answered := 0
	for _, peer := range peers { // every request, until caches are warm
		n, err := warm(ctx, peer, requests)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", peer.name, err, peer.log())
		}
		answered += n
	}
	type key struct{ peer, inFlight int }
	samples := map[key][]sample{}
	for round := range p.rounds {
		for _, n := range inFlight {
			for i := range peers {
				i := (i + round) % len(peers) // nobody is always the first
				s, checked, err := measureOnce(ctx, peers[i], requests, n, p.round)
				if err != nil {
					return fmt.Errorf("%s, %d in flight: %w\n%s", peers[i].name, n, err, peers[i].log())
				}
				answered += checked
				samples[key{i, n}] = append(samples[key{i, n}], s)
			}
		}
	}

	fmt.Fprintln(out, "\nMedians; × is against the stock server. CPU is the server's, for one request.")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "in flight\tserver\trequests/s\t×\tCPU µs\t×\tp50 µs\tp99 µs\tload busy\t")
	for _, n := range inFlight {
		base := median(samples[key{0, n}])
		for i, peer := range peers {
			m := median(samples[key{i, n}])
			fmt.Fprintf(table, "%d\t%s\t%.0f\t%.2f\t%.1f\t%.2f\t%.0f\t%.0f\t%.0f%%\t\n", n, peer.name,
				m.perSecond, m.perSecond/base.perSecond, micros(m.cpu), float64(m.cpu)/float64(base.cpu),
				micros(m.p50), micros(m.p99), 100*m.clientBusy)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nMemory (resident, now and at most):")
	for _, peer := range peers {
		now, most, err := memory(peer.pid)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  %-26s %5.1f MiB %5.1f MiB\n", peer.name, float64(now)/(1<<20), float64(most)/(1<<20))
	}
	fmt.Fprintf(out, "\n%d answers, every one of them as it must be.\n", answered)
	return nil
}

// warm sends every request twice.
func warm(ctx context.Context, p *peer, requests []request) (int, error) {
	c, err := dial(ctx, p, requests)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	return c.load(ctx, 16, func(sent int) bool { return sent == 2*len(requests) })
}

func measureOnce(ctx context.Context, p *peer, requests []request, inFlight int, length time.Duration) (s sample, answered int, err error) {
	c, err := dial(ctx, p, requests)
	if err != nil {
		return s, 0, err
	}
	defer c.conn.Close()
	end := time.Now().Add(warmUp)
	ended := func(int) bool { return !time.Now().Before(end) }
	warmed, err := c.load(ctx, inFlight, ended)
	if err != nil {
		return s, warmed, err
	}
	server, err := cpuTime(p.pid)
	if err != nil {
		return s, warmed, err
	}
	own, err := ownCPUTime()
	if err != nil {
		return s, warmed, err
	}
	c.measuring = true
	start := time.Now()
	end = start.Add(length)
	n, err := c.load(ctx, inFlight, ended)
	if err != nil {
		return s, warmed + n, err
	}
	elapsed := time.Since(start)
	serverAfter, err := cpuTime(p.pid)
	if err != nil {
		return s, warmed + n, err
	}
	ownAfter, err := ownCPUTime()
	if err != nil {
		return s, warmed + n, err
	}
	return sample{
		perSecond:  float64(n) / elapsed.Seconds(),
		cpu:        (serverAfter - server) / time.Duration(n),
		p50:        c.quantile(0.5),
		p99:        c.quantile(0.99),
		clientBusy: float64(ownAfter-own) / float64(elapsed),
	}, warmed + n, nil
}

// median takes that of each figure by itself.
func median(all []sample) sample {
	return sample{
		perSecond:  middle(all, func(s sample) float64 { return s.perSecond }),
		cpu:        middle(all, func(s sample) time.Duration { return s.cpu }),
		p50:        middle(all, func(s sample) time.Duration { return s.p50 }),
		p99:        middle(all, func(s sample) time.Duration { return s.p99 }),
		clientBusy: middle(all, func(s sample) float64 { return s.clientBusy }),
	}
}

func middle[T float64 | time.Duration](all []sample, of func(sample) T) T {
	values := make([]T, len(all))
	for i, s := range all {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
