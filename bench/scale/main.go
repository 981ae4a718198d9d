// Command scale measures Pathgrant with a thousand role assignments and with ten million:
// what they take on disk, how long an import takes and how much memory, how soon a server
// allows its first request, and what a decision costs and the process takes in memory
// under one ceiling for the cache.
//
// The world is made up, the same in every run, and of any size; see [world]. The server is
// the built command, asked one question after the other on a unix socket. Times of a
// decision therefore have a round trip in them, which does not depend on the size: what
// misses the cache is shown less what hits it, too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it whatever it is doing
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.SetOutput(stderr)
	bin := flags.String("pathgrant", "../.bin/pathgrant", "the built command")
	sizes := flags.String("sizes", "10k,1m,10m", "how many role assignments, such as 10k,1m")
	cache := flags.String("cache-bytes", "64MiB", "the ceiling of the cache, as --cache-bytes")
	memory := flags.String("memory-limit", "150MiB", "what the servers should stay below, as --memory-limit")
	keep := flags.String("dir", "", "a directory for bundles and data, which is kept; empty: a temporary one")
	ops := flags.String("ops-listen", "off", "where the servers listen for operators")
	only := flags.String("write", "", "write the bundle of the one size to this file, and do nothing else")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	counts, err := parseSizes(*sizes)
	if err != nil {
		return err
	}
	if *only != "" {
		return writeBundle(*only, newWorld(counts[0]))
	}
	dir := *keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "pathgrant-scale-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	program, err := filepath.Abs(*bin)
	if err != nil {
		return err
	}
	r := &runner{program: program, dir: dir, cache: *cache, memory: *memory, ops: *ops, out: stdout, log: stderr}
	for _, n := range counts {
		if err := r.measure(ctx, newWorld(n)); err != nil {
			return fmt.Errorf("%s role assignments: %w", sizeName(n), err)
		}
	}
	return nil
}

// parseSizes reads 10k,1m,250.
func parseSizes(text string) ([]int, error) {
	var sizes []int
	for part := range strings.SplitSeq(text, ",") {
		digits, unit := strings.TrimSpace(strings.ToLower(part)), 1
		switch {
		case strings.HasSuffix(digits, "k"):
			digits, unit = strings.TrimSuffix(digits, "k"), 1000
		case strings.HasSuffix(digits, "m"):
			digits, unit = strings.TrimSuffix(digits, "m"), 1_000_000
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > 100_000_000/unit || n*unit < minSize {
			return nil, fmt.Errorf("-sizes: want numbers from %d to 100m, such as 10k,1m, not %q", minSize, part)
		}
		sizes = append(sizes, n*unit)
	}
	return sizes, nil
}

func sizeName(n int) string {
	switch {
	case n%1_000_000 == 0:
		return strconv.Itoa(n/1_000_000) + "m"
	case n%1000 == 0:
		return strconv.Itoa(n/1000) + "k"
	}
	return strconv.Itoa(n)
}

func writeBundle(file string, w world) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return w.write(f)
}
