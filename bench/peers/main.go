// Command peers measures Pathgrant side by side with other authorizers on the same data
// and the same requests, in one run: in process, and as servers with 16 requests in
// flight. Before anything is measured every peer must have answered every request as it
// must be answered; one that does not ends the run.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/pathgrant/pathgrant/bench/internal/machine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it whatever it is doing
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// settings are what the flags say.
type settings struct {
	root      string // of this module
	bin       string // where peers are built
	pathgrant string
	dir       string // for worlds and sockets
	large     string
	small     string
	rounds    int
	round     time.Duration
	only      string
	require   bool
	gogc      string
}

// A result is all that a run has shown.
type result struct {
	Machine   string         `json:"machine"`
	InProcess []inProcessRow `json:"inProcess,omitempty"`
	Servers   []serverRow    `json:"servers,omitempty"`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var s settings
	flags.StringVar(&s.root, "root", ".", "the directory of this module")
	flags.StringVar(&s.bin, "bin", "", "keep the built peers in this directory, and build there what is missing or old; empty: a temporary one")
	flags.StringVar(&s.pathgrant, "pathgrant", "../../.bin/pathgrant", "the built command")
	flags.StringVar(&s.large, "large", "", "the world for peers in process; empty: it is written anew")
	flags.StringVar(&s.small, "small", "", "the world for servers; empty: it is written anew")
	flags.IntVar(&s.rounds, "rounds", 7, "rounds of each peer")
	flags.DurationVar(&s.round, "round", 2*time.Second, "the length of a round")
	flags.StringVar(&s.only, "only", "", "measure only this: in-process or servers")
	flags.StringVar(&s.gogc, "gogc", "200", "the GOGC that the other servers run with: Pathgrant sets 200 for itself, Go's default is 100")
	flags.BoolVar(&s.require, "require", false, "fail if a ratio that is promised is not reached")
	jsonFile := flags.String("json", "", "write the results to this file, too")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if s.only != "" && s.only != "in-process" && s.only != "servers" {
		return fmt.Errorf("-only %s: want in-process or servers", s.only)
	}
	if s.dir, err = os.MkdirTemp("", "pathgrant-peers-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	if s.bin == "" {
		s.bin = filepath.Join(s.dir, "bin")
	}
	if s.bin, err = filepath.Abs(s.bin); err != nil {
		return err
	}
	if err := prepare(ctx, &s, stderr); err != nil {
		return err
	}
	r := result{Machine: fmt.Sprintf("%s, %d CPUs, %s", runtime.Version(), runtime.NumCPU(), machine.CPUModel())}
	fmt.Fprintf(stdout, "%s; load average before: %s; %d rounds of %v each.\n", r.Machine, machine.LoadAverage(), s.rounds, s.round)
	var missed error
	if s.only != "servers" {
		if r.InProcess, err = measureInProcess(ctx, s, stdout, stderr); err != nil {
			return err
		}
		missed = errors.Join(missed, promisesInProcess(stdout, r.InProcess))
	}
	if s.only != "in-process" {
		if r.Servers, err = measureServers(ctx, s, stdout, stderr); err != nil {
			return err
		}
		missed = errors.Join(missed, promisesOfServers(stdout, r.Servers))
	}
	if *jsonFile != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*jsonFile, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if s.require {
		return missed
	}
	return nil
}

// prepare builds the peers and writes the worlds.
func prepare(ctx context.Context, s *settings, stderr io.Writer) error {
	if err := os.MkdirAll(s.bin, 0o755); err != nil {
		return err
	}
	builds := []struct{ dir, name, what string }{{"opa", "opa", "."}}
	if s.only != "servers" {
		builds = append(builds, []struct{ dir, name, what string }{
			{".", "pathgrant", "./pathgrant"}, {".", "bitset", "./bitset"}, {"cedar", "cedar", "."}, {"casbin", "casbin", "."},
		}...)
	}
	if s.only != "in-process" {
		builds = append(builds, struct{ dir, name, what string }{"cerbos", "cerbos", "github.com/cerbos/cerbos/cmd/cerbos"})
	}
	for _, b := range builds {
		fmt.Fprintf(stderr, "building %s\n", b.name)
		if err := command(ctx, stderr, "go", "-C", filepath.Join(s.root, b.dir), "build", "-o", filepath.Join(s.bin, b.name), b.what); err != nil {
			return err
		}
	}
	for _, w := range []struct {
		file *string
		size string
		only string
	}{{&s.large, "large", "in-process"}, {&s.small, "small", "servers"}} {
		if *w.file != "" || s.only != "" && s.only != w.only {
			continue
		}
		*w.file = filepath.Join(s.dir, w.size+".json")
		if err := command(ctx, stderr, "go", "-C", filepath.Join(s.root, ".."), "run", ".", "-write-world", *w.file, "-world", w.size); err != nil {
			return err
		}
	}
	return nil
}

func command(ctx context.Context, stderr io.Writer, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = stderr, stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}
