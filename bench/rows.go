package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pathgrant/pathgrant/bench/internal/load"
)

// A row is something that is measured: a server, or a proxy with a server behind it, and
// what it is asked.
type row struct {
	key, name string
	// base is the key of the row that it is compared with.
	base   string
	target load.Target
	parts  []part
	levels []int // in flight
	// fresh, unless nil, are requests of which each may be sent only once, for each round.
	fresh    [][]load.Request
	profiles string
}

// A part is a process whose CPU time counts.
type part struct {
	name string
	*process
}

func (r *row) pids() []int {
	var pids []int
	for _, p := range r.parts {
		pids = append(pids, p.pid())
	}
	return pids
}

// logs are what its processes wrote last.
func (r *row) logs() string {
	text := ""
	for _, p := range r.parts {
		text += p.log()
	}
	return text
}

// A mode is a kind of load.
type mode struct {
	inFlight int
	share    int // of the stock server's maximum, in percent; 0: a closed loop
}

func (m mode) String() string {
	if m.share > 0 {
		return fmt.Sprintf("open, %d %%", m.share)
	}
	return fmt.Sprint(m.inFlight)
}

// A cell is a row under one kind of load.
type cell struct {
	key string
	mode
}

// results are the samples of each cell, one for each round, and the processes whose CPU
// time is in them.
type results struct {
	samples  map[cell][]load.Result
	answered int
}

// rates of the open loop: parts of what the stock server can do at most, in percent.
var shares = []int{8, 23, 45}

// warm sends every request twice, so that caches hold what they will hold.
func (r *results) warm(ctx context.Context, rows []*row) error {
	for _, row := range rows {
		c, err := load.Dial(ctx, &row.target)
		if err == nil {
			var n int
			n, err = c.Closed(ctx, 16, func(sent int, _ time.Time) bool { return sent == 2*len(row.target.Requests) })
			r.answered += n
			err = errors.Join(err, c.Close())
		}
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", row.name, err, row.logs())
		}
	}
	return nil
}

// closed runs the rounds of a closed loop.
func (r *results) closed(ctx context.Context, rows []*row, p plan) error {
	var levels []int
	for _, row := range rows {
		levels = append(levels, row.levels...)
	}
	slices.Sort(levels)
	for round := range p.rounds {
		for _, level := range slices.Compact(slices.Clone(levels)) {
			for i := range rows {
				row := rows[(i+round)%len(rows)] // nobody is always the first
				if !slices.Contains(row.levels, level) {
					continue
				}
				if row.fresh != nil && round >= len(row.fresh) {
					continue
				}
				if err := r.round(ctx, row, mode{inFlight: level}, load.Round{InFlight: level, Warm: p.warm, Length: p.length}, round); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// open runs the rounds of the open loop, at parts of what the first row reached at most.
func (r *results) open(ctx context.Context, rows []*row, p plan) error {
	most := median(r.samples[cell{rows[0].key, mode{inFlight: mostInFlight}}], perSecond)
	if most == 0 {
		return fmt.Errorf("%s was not measured with %d in flight", rows[0].name, mostInFlight)
	}
	for round := range p.rounds {
		for _, share := range shares {
			for i := range rows {
				row := rows[(i+round)%len(rows)]
				rate := most * float64(share) / 100
				if err := r.round(ctx, row, mode{share: share}, load.Round{Rate: rate, Warm: p.warm, Length: p.openLength}, round); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *results) round(ctx context.Context, row *row, m mode, round load.Round, number int) error {
	target := row.target
	if row.fresh != nil {
		target.Requests, round.Once = row.fresh[number], true
	}
	result, err := load.Measure(ctx, &target, round, row.pids()...)
	r.answered += result.Answered
	if err != nil {
		return fmt.Errorf("%s, %v: %w\n%s", row.name, m, err, row.logs())
	}
	at := cell{row.key, m}
	r.samples[at] = append(r.samples[at], result)
	return nil
}

// A metric is a figure of a sample.
type metric func(load.Result) float64

func perSecond(r load.Result) float64 { return r.PerSecond }
func cpuMicros(r load.Result) float64 {
	var sum time.Duration
	for _, c := range r.CPU {
		sum += c
	}
	return micros(sum)
}
func p50(r load.Result) float64  { return micros(r.P50) }
func p99(r load.Result) float64  { return micros(r.P99) }
func p999(r load.Result) float64 { return micros(r.P999) }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// median is that of a figure; of no samples it is 0.
func median(samples []load.Result, of metric) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return middle(values)
}

func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

// ratio is the median of the ratios of rounds, each of which was disturbed by the same
// things in both rows. It is 0 when there is nothing to compare.
func (r *results) ratio(key, base string, m mode, of metric) float64 {
	mine, theirs := r.samples[cell{key, m}], r.samples[cell{base, m}]
	var ratios []float64
	for i := range min(len(mine), len(theirs)) {
		if d := of(theirs[i]); d > 0 {
			ratios = append(ratios, of(mine[i])/d)
		}
	}
	return middle(ratios)
}
