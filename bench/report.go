package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/pathgrant/pathgrant/bench/internal/load"
	"github.com/pathgrant/pathgrant/bench/internal/machine"
)

// loadIsTheLimit is how busy the load may be, as a part of its CPU, before a row says more
// about it than about the server.
const loadIsTheLimit = 0.9

// A figure is one line of a report, for programs to read. Times are in microseconds, CPU
// times for one request; ratios are against the row named base, 0 when it has none.
type figure struct {
	Table       string             `json:"table"`
	Row         string             `json:"row"`
	Name        string             `json:"name"`
	Base        string             `json:"base,omitempty"`
	InFlight    int                `json:"in_flight,omitempty"`
	Share       int                `json:"share_of_stock_percent,omitempty"` // an open loop
	Rounds      int                `json:"rounds"`
	PerSecond   float64            `json:"requests_per_second"`
	CPU         map[string]float64 `json:"cpu_us"` // by process
	P50         float64            `json:"p50_us"`
	P99         float64            `json:"p99_us"`
	P999        float64            `json:"p999_us"`
	Ratios      map[string]float64 `json:"ratios,omitempty"`
	LoadCPU     float64            `json:"load_cpu_us"`
	LoadBusy    float64            `json:"load_busy"`
	LoadIsLimit bool               `json:"load_is_the_limit"`
	Lag         float64            `json:"send_lag_p99_us,omitempty"` // of an open loop
}

// A report is everything that a run has shown.
type report struct {
	Machine   string            `json:"machine"`
	Go        string            `json:"go"`
	Load      string            `json:"load"`
	Answers   int               `json:"answers_verified"`
	Figures   []figure          `json:"figures"`
	Memory    map[string]memory `json:"memory"`
	Promises  []verdict         `json:"promises,omitempty"`
	InProcess []string          `json:"in_process,omitempty"` // lines as go test prints them
}

// memory is in bytes.
type memory struct {
	Anonymous int64 `json:"anonymous"`
	Resident  int64 `json:"resident"`
	Most      int64 `json:"most_resident"`
}

// figure collects that of a row under one kind of load.
func (r *results) figure(table string, row *row, m mode) (figure, bool) {
	samples := r.samples[cell{row.key, m}]
	if len(samples) == 0 {
		return figure{}, false
	}
	f := figure{
		Table: table, Row: row.key, Name: row.name, Base: row.base, InFlight: m.inFlight, Share: m.share, Rounds: len(samples),
		PerSecond: median(samples, perSecond), CPU: map[string]float64{},
		P50: median(samples, p50), P99: median(samples, p99), P999: median(samples, p999),
		LoadCPU:  median(samples, func(s load.Result) float64 { return micros(s.ClientCPU) }),
		LoadBusy: median(samples, func(s load.Result) float64 { return s.ClientBusy }),
		Lag:      median(samples, func(s load.Result) float64 { return micros(s.Lag) }),
	}
	for i, part := range row.parts {
		f.CPU[part.name] = median(samples, func(s load.Result) float64 { return micros(s.CPU[i]) })
	}
	f.LoadIsLimit = m.share == 0 && f.LoadBusy > loadIsTheLimit
	if row.base != "" && len(r.samples[cell{row.base, m}]) > 0 {
		f.Ratios = map[string]float64{}
		for name, of := range metrics {
			f.Ratios[name] = r.ratio(row.key, row.base, m, of)
		}
	}
	return f, true
}

// metrics are the figures that are compared.
var metrics = map[string]metric{
	"requests_per_second": perSecond, "cpu": cpuMicros, "p50": p50, "p99": p99, "p999": p999,
}

// print prints a table of rows, one block for each kind of load.
func (r *results) print(out io.Writer, to *report, title string, rows []*row, modes []mode) error {
	fmt.Fprintf(out, "\n%s\n", title)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "load\tserver\trequests/s\t×\tCPU µs\t×\tp50 µs\t×\tp99 µs\t×\tp999 µs\tload CPU µs\tbusy\t")
	for _, m := range modes {
		for _, row := range rows {
			f, ok := r.figure(title, row, m)
			if !ok {
				continue
			}
			to.Figures = append(to.Figures, f)
			cpu := make([]string, len(row.parts))
			for i, part := range row.parts {
				cpu[i] = fmt.Sprintf("%.1f", f.CPU[part.name])
			}
			limit := ""
			if f.LoadIsLimit {
				limit = " limit"
			}
			fmt.Fprintf(table, "%v\t%s\t%.0f\t%s\t%s\t%s\t%.0f\t%s\t%.0f\t%s\t%.0f\t%.1f\t%.0f%%%s\t\n", m, row.name,
				f.PerSecond, times(f, "requests_per_second"), strings.Join(cpu, " + "), times(f, "cpu"),
				f.P50, times(f, "p50"), f.P99, times(f, "p99"), f.P999, f.LoadCPU, 100*f.LoadBusy, limit)
		}
	}
	return table.Flush()
}

func times(f figure, name string) string {
	if ratio := f.Ratios[name]; ratio > 0 {
		return fmt.Sprintf("%.2f", ratio)
	}
	return ""
}

// printMemory prints what the processes of the rows have.
func printMemory(out io.Writer, to *report, rows []*row) error {
	fmt.Fprintln(out, "\nMemory, MiB: anonymous, resident, most resident")
	to.Memory = map[string]memory{}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	seen := map[int]bool{}
	for _, row := range rows {
		part := row.parts[0]
		if seen[part.pid()] {
			continue
		}
		seen[part.pid()] = true
		m, err := machine.MemoryOf(part.pid())
		if err != nil {
			return err
		}
		to.Memory[row.key] = memory{m.Anonymous, m.Resident, m.Most}
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.1f\t\n", row.name, mebibytes(m.Anonymous), mebibytes(m.Resident), mebibytes(m.Most))
	}
	return table.Flush()
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// A promise is a ratio that the README states.
type promise struct {
	what      string
	key, base string
	mode      mode
	metric    string
	atLeast   float64 // 0: at most
	atMost    float64
}

// tolerance is how much worse than TCP a unix socket may look, because no two runs are
// the same.
const tolerance = 0.05

// promises are all of them.
func promises() []promise {
	var all []promise
	for _, n := range []int{16, 64} {
		at := fmt.Sprintf("%d in flight: ", n)
		all = append(all,
			promise{at + "requests/s", "pathgrant", "stock", mode{inFlight: n}, "requests_per_second", 3.0, 0},
			promise{at + "CPU for a request", "pathgrant", "stock", mode{inFlight: n}, "cpu", 0, 0.33},
			promise{at + "p99", "pathgrant", "stock", mode{inFlight: n}, "p99", 0, 0.9})
	}
	all = append(all,
		promise{"1 in flight: p50", "pathgrant", "stock", mode{inFlight: 1}, "p50", 0, 0.68},
		promise{"1 in flight: CPU for a request", "pathgrant", "stock", mode{inFlight: 1}, "cpu", 0, 0.62})
	for i, most := range []float64{0.68, 0.55, 0.50} {
		all = append(all, promise{fmt.Sprintf("open loop, %d %%: CPU for a request", shares[i]), "pathgrant", "stock", mode{share: shares[i]}, "cpu", 0, most})
	}
	for _, n := range []int{1, 16, 64} {
		at := fmt.Sprintf("unix against TCP, %d in flight: ", n)
		all = append(all,
			promise{at + "requests/s", "pathgrant-unix", "pathgrant", mode{inFlight: n}, "requests_per_second", 1 - tolerance, 0},
			promise{at + "CPU for a request", "pathgrant-unix", "pathgrant", mode{inFlight: n}, "cpu", 0, 1 + tolerance})
	}
	return all
}

// A verdict says what became of a promise.
type verdict struct {
	What  string  `json:"what"`
	Ratio float64 `json:"ratio"`
	Limit string  `json:"limit"`
	Kept  bool    `json:"kept"`
}

// judge compares the promises with what was measured. What was not measured is not kept.
func (r *results) judge(all []promise) []verdict {
	verdicts := make([]verdict, len(all))
	for i, p := range all {
		v := verdict{What: p.what, Ratio: r.ratio(p.key, p.base, p.mode, metrics[p.metric])}
		v.Ratio = math.Round(v.Ratio*1000) / 1000
		if p.atLeast > 0 {
			v.Limit, v.Kept = fmt.Sprintf("≥ %.2f", p.atLeast), v.Ratio >= p.atLeast
		} else {
			v.Limit, v.Kept = fmt.Sprintf("≤ %.2f", p.atMost), v.Ratio > 0 && v.Ratio <= p.atMost
		}
		verdicts[i] = v
	}
	return verdicts
}

// printVerdicts prints them and returns an error when a promise was not kept.
func printVerdicts(out io.Writer, verdicts []verdict) error {
	fmt.Fprintln(out, "\nWhat the README promises (Pathgrant against the stock server, both over TCP, unless it says otherwise)")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	broken := 0
	for _, v := range verdicts {
		word := "pass"
		if !v.Kept {
			word = "FAIL"
			broken++
		}
		fmt.Fprintf(table, "%s\t%s\t%.2f×\t%s×\n", word, v.What, v.Ratio, v.Limit)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d promises were not kept", broken, len(verdicts))
	}
	return nil
}

// write writes the report as JSON.
func (r *report) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
