package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pathgrant/pathgrant/bench/peers/inprocess"
	"github.com/pathgrant/pathgrant/bench/peers/world"
)

// An inProcessRow is one way of asking, with the medians of its rounds.
type inProcessRow struct {
	Peer        string  `json:"peer"`
	Name        string  `json:"name"`
	FewRoles    bool    `json:"fewRoles"` // it knows only the roles that are handed out
	Verified    int     `json:"verified"`
	Nanoseconds float64 `json:"nsPerDecision"`
	CPU         float64 `json:"cpuNsPerDecision"`
	Allocations float64 `json:"allocsPerDecision"`
	Bytes       float64 `json:"bytesPerDecision"`
}

// inProcessPeers are measured in turn; the first is what the others are compared with.
var inProcessPeers = []string{"pathgrant", "bitset", "opa", "cedar", "casbin"}

// A process is a running peer.
type process struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	ready inprocess.Ready
}

func (p *process) close() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }

// read reads the next line.
func (p *process) read(into any) error {
	if !p.out.Scan() {
		return fmt.Errorf("%s ended: %w", p.name, errors.Join(io.ErrUnexpectedEOF, p.out.Err()))
	}
	return json.Unmarshal(p.out.Bytes(), into)
}

func startInProcess(ctx context.Context, s settings, name string, stderr io.Writer) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(ctx, filepath.Join(s.bin, name), "-world", s.large)}
	p.cmd.Stderr = stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.read(&p.ready); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func measureInProcess(ctx context.Context, s settings, stdout, stderr io.Writer) (rows []inProcessRow, err error) {
	w, err := world.Read(s.large)
	if err != nil {
		return nil, err
	}
	if err := w.Check(); err != nil {
		return nil, err
	}
	var processes []*process
	defer func() {
		for _, p := range processes {
			err = errors.Join(err, p.close())
		}
	}()
	for _, name := range inProcessPeers {
		p, err := startInProcess(ctx, s, name, stderr)
		if err != nil {
			return nil, err
		}
		processes = append(processes, p)
	}
	type key struct{ process, row int }
	samples := map[key][]inprocess.Round{}
	for round := range s.rounds {
		for i := range processes {
			i := (i + round) % len(processes) // nobody is always the first
			for row := range processes[i].ready.Rows {
				if _, err := fmt.Fprintf(processes[i].in, "%d %d\n", row, s.round/time.Millisecond); err != nil {
					return nil, err
				}
				var sample inprocess.Round
				if err := processes[i].read(&sample); err != nil {
					return nil, err
				}
				samples[key{i, row}] = append(samples[key{i, row}], sample)
			}
		}
	}
	for i, p := range processes {
		for row, name := range p.ready.Rows {
			of := samples[key{i, row}]
			rows = append(rows, inProcessRow{
				Peer: p.name, Name: name, FewRoles: p.ready.FewRoles[row], Verified: p.ready.Verified,
				Nanoseconds: median(of, func(r inprocess.Round) float64 { return r.Nanoseconds }),
				CPU:         median(of, func(r inprocess.Round) float64 { return r.CPU }),
				Allocations: median(of, func(r inprocess.Round) float64 { return r.Allocations }),
				Bytes:       median(of, func(r inprocess.Round) float64 { return r.Bytes }),
			})
		}
	}
	fmt.Fprintln(stdout, "\nIn process, medians; × is against the first row. In its first two rows Pathgrant maps method")
	fmt.Fprintln(stdout, "and path; all others are given the permission and the environment. Every row answered every request as it must be.")
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "verified\tns\tCPU ns\tallocations\tbytes\t× ns\t× CPU\t  ")
	for _, r := range rows {
		fmt.Fprintf(table, "%d\t%.0f\t%.0f\t%.1f\t%.0f\t%.1f\t%.1f\t  %s\n", r.Verified, r.Nanoseconds, r.CPU, r.Allocations, r.Bytes,
			r.Nanoseconds/rows[0].Nanoseconds, r.CPU/rows[0].CPU, r.Name)
	}
	return rows, table.Flush()
}

func median[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, 0, len(all))
	for _, one := range all {
		values = append(values, of(one))
	}
	slices.Sort(values)
	if len(values)%2 == 0 {
		return (values[len(values)/2-1] + values[len(values)/2]) / 2
	}
	return values[len(values)/2]
}

// promisesInProcess prints whether each ratio that is promised was reached: of what is
// asked alike, a decision on a question that is given, by CPU time, in a peer that knows
// all roles.
func promisesInProcess(out io.Writer, rows []inProcessRow) error {
	const promised = 40
	var alike float64
	best := map[string]float64{} // by peer
	for _, r := range rows {
		switch {
		case r.Peer == "pathgrant":
			alike = r.CPU // the last of them
		case !r.FewRoles && (best[r.Peer] == 0 || r.CPU < best[r.Peer]):
			best[r.Peer] = r.CPU
		}
	}
	return errors.Join(
		promise(out, "in process, the same question, OPA", best["opa"]/alike, promised),
		promise(out, "in process, the same question, cedar-go at its best", best["cedar"]/alike, promised))
}

// promise prints one ratio and returns an error where it was not reached.
func promise(out io.Writer, what string, ratio, promised float64) error {
	verdict := "pass"
	if ratio < promised {
		verdict = "FAIL"
	}
	fmt.Fprintf(out, "%s  %5.1f× (promised: %.0f×)  %s\n", verdict, ratio, promised, what)
	if ratio < promised {
		return fmt.Errorf("%s: %.1f×, promised are %.0f×", strings.TrimSpace(what), ratio, promised)
	}
	return nil
}
