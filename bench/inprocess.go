package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// inProcess runs the Go benchmarks of packages of the product, prints their lines, and
// returns them.
func inProcess(ctx context.Context, out io.Writer, packages []string) ([]string, error) {
	fmt.Fprintln(out, "\nIn process (go test -bench)")
	args := append([]string{"-C", "..", "test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", "300ms"}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	text, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run the benchmarks in process: %w", err)
	}
	var lines, rest []string
	for scanner := bufio.NewScanner(text); scanner.Scan(); {
		if line := scanner.Text(); strings.HasPrefix(line, "Benchmark") {
			lines = append(lines, line)
			fmt.Fprintln(out, line)
		} else {
			rest = append(rest, line)
		}
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("run the benchmarks in process: %w\n%s", err, strings.Join(rest, "\n"))
	}
	if len(lines) == 0 {
		return nil, errors.New("there are no benchmarks in the packages given")
	}
	return lines, nil
}
