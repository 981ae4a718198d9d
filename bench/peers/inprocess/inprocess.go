// Package inprocess is what every peer that is measured in process has in common: it
// reads the world, answers every request and compares each answer before anything is
// measured, and then measures rounds when it is told to, so that one run can go from
// peer to peer in turn.
package inprocess

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/bench/internal/machine"
	"github.com/pathgrant/pathgrant/bench/peers/world"
)

// A Row is one way of asking.
type Row struct {
	Name string
	// FewRoles says that the peer knows only the roles that the world hands out, for a
	// peer whose speed depends on how many there are.
	FewRoles bool
	// Ask answers a request of the world, by its number: a reason, or [Denied] where the
	// peer only knows that it denies. Whatever can be prepared for a request is prepared
	// before.
	Ask func(request int) (reason string, err error)
}

// Denied is the answer of a peer that cannot tell why it denies.
const Denied = "DENIED"

// Ready is what a peer prints when all its rows answered every request as they must.
type Ready struct {
	Rows     []string `json:"rows"`
	FewRoles []bool   `json:"fewRoles"` // of each row
	Verified int      `json:"verified"` // answers, of each row
	Setup    float64  `json:"setupSeconds"`
}

// Round is what a peer prints after a round.
type Round struct {
	Row         int     `json:"row"`
	Decisions   int     `json:"decisions"`
	Nanoseconds float64 `json:"nsPerDecision"`
	// CPU counts what the garbage collector does beside, and not what other processes do.
	CPU         float64 `json:"cpuNsPerDecision"`
	Allocations float64 `json:"allocsPerDecision"`
	Bytes       float64 `json:"bytesPerDecision"`
}

// Main is all that a peer's main does: it reads the world's file, lets build make the
// rows, verifies them, and then measures a round for every line "row milliseconds" on
// standard input, until that ends.
func Main(file string, build func(*world.World) ([]Row, error)) error {
	w, err := world.Read(file)
	if err != nil {
		return err
	}
	start := time.Now()
	rows, err := build(w)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	ready := Ready{Setup: time.Since(start).Seconds(), Verified: len(w.Requests)}
	for _, row := range rows {
		if err := Verify(w, row); err != nil {
			return err
		}
		ready.Rows = append(ready.Rows, row.Name)
		ready.FewRoles = append(ready.FewRoles, row.FewRoles)
	}
	if err := out.Encode(ready); err != nil {
		return err
	}
	return serve(os.Stdin, out, rows, len(w.Requests))
}

// Verify asks for every request of the world and reports the first answer that is not as
// it must be.
func Verify(w *world.World, row Row) error {
	for i, request := range w.Requests {
		got, err := row.Ask(i)
		switch {
		case err != nil:
			return fmt.Errorf("%s: request %d: %w", row.Name, i, err)
		case got == request.Reason, got == Denied && request.Reason != world.Granted:
		default:
			return fmt.Errorf("%s: request %d, %s by %s in %s: answered %s, want %s",
				row.Name, i, request.Permission, request.User, request.Environment, got, request.Reason)
		}
	}
	return nil
}

func serve(in io.Reader, out *json.Encoder, rows []Row, requests int) error {
	lines := bufio.NewScanner(in)
	next := make([]int, len(rows))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 2 {
			return fmt.Errorf("line %q: want the number of a row and milliseconds", lines.Text())
		}
		row, err := strconv.Atoi(words[0])
		if err != nil || row < 0 || row >= len(rows) {
			return fmt.Errorf("line %q: no such row", lines.Text())
		}
		milliseconds, err := strconv.Atoi(words[1])
		if err != nil {
			return fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		round, err := measure(rows[row], &next[row], requests, time.Duration(milliseconds)*time.Millisecond)
		if err != nil {
			return fmt.Errorf("%s: %w", rows[row].Name, err)
		}
		round.Row = row
		if err := out.Encode(round); err != nil {
			return err
		}
	}
	return lines.Err()
}

// measure asks for one request after the other until the time is over.
func measure(row Row, next *int, requests int, length time.Duration) (Round, error) {
	const batch = 256 // decisions between two looks at the clock
	runtime.GC()      // what went before is not this round's to clean up
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpuBefore, err := machine.OwnCPUTime()
	if err != nil {
		return Round{}, err
	}
	start := time.Now()
	n := 0
	for time.Since(start) < length {
		for range batch {
			if _, err := row.Ask(*next); err != nil {
				return Round{}, err
			}
			if *next++; *next == requests {
				*next = 0
			}
		}
		n += batch
	}
	elapsed := time.Since(start)
	cpuAfter, err := machine.OwnCPUTime()
	if err != nil {
		return Round{}, err
	}
	runtime.ReadMemStats(&after)
	return Round{
		Decisions:   n,
		Nanoseconds: float64(elapsed.Nanoseconds()) / float64(n),
		CPU:         float64((cpuAfter - cpuBefore).Nanoseconds()) / float64(n),
		Allocations: float64(after.Mallocs-before.Mallocs) / float64(n),
		Bytes:       float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
	}, nil
}
