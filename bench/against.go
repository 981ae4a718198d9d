package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/bench/internal/load"
)

// againstPlan has more rounds than others, because a comparison of samples wants many.
var againstPlan = plan{rounds: 10, warm: 100 * time.Millisecond, length: 300 * time.Millisecond, levels: allLevels, limit: 5 * time.Minute}

// against measures the command and an earlier one, in turns, and writes the samples of
// each into a file as Go's benchmarks print them, for benchstat to compare.
func (r *results) against(ctx context.Context, h *house, s *stage, earlier, dir string) error {
	requests, err := s.cached.grpc()
	if err != nil {
		return err
	}
	versions := []struct{ file, command string }{{"base", earlier}, {"head", h.pathgrant}}
	networks := []string{"tcp", "unix"}
	var rows []*row
	for _, network := range networks {
		for _, version := range versions {
			key := version.file + "-" + network
			server, err := h.startPathgrant(ctx, version.command, network, key, false, false)
			if err != nil {
				return err
			}
			rows = append(rows, &row{
				key: key, name: key, levels: againstPlan.levels,
				target: server.target(requests, s.reasons), parts: []part{{"server", server.process}},
			})
		}
	}
	if err := r.warm(ctx, rows); err != nil {
		return err
	}
	if err := r.closed(ctx, rows, againstPlan); err != nil {
		return err
	}
	for _, version := range versions {
		var text strings.Builder
		for _, network := range networks {
			for _, level := range againstPlan.levels {
				for _, sample := range r.samples[cell{version.file + "-" + network, mode{inFlight: level}}] {
					text.WriteString(benchmarkLine(fmt.Sprintf("Check/%s/%d", network, level), sample))
				}
			}
		}
		if err := os.WriteFile(filepath.Join(dir, version.file+".txt"), []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// benchmarkLine is a sample as a line of Go's benchmark format.
func benchmarkLine(name string, s load.Result) string {
	return fmt.Sprintf("Benchmark%s %d %.0f cpu-ns/op %d p50-ns %d p99-ns %.0f req/s\n",
		name, s.Answered, 1000*cpuMicros(s), s.P50.Nanoseconds(), s.P99.Nanoseconds(), s.PerSecond)
}
