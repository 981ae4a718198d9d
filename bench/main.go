// Command bench measures Pathgrant side by side with a stock gRPC server, over Envoy's
// ext_authz protocol, in one run on one machine: absolute figures depend on the machine,
// the ratios hardly do.
//
// The stock server unmarshals every request and answers OK to all of them: what any
// sidecar written with gRPC costs before it decides anything. Pathgrant is the built
// command, with tokens to verify, 10,000 assignments of 1,000 users, and requests of
// which half must be refused. Every answer of both is compared with what the harness
// expects, which it works out from how it handed out the assignments. The load is a
// closed loop on one unix socket with 1, 16 and 64 requests in flight, one server after
// the other in short rounds, so that whatever disturbs the machine disturbs all.
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
	"runtime"
	"syscall"
	"time"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it whatever it is doing
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inFlight are the levels of load.
var inFlight = []int{1, 16, 64}

// A plan says how long everything takes.
type plan struct {
	rounds int
	round  time.Duration
	limit  time.Duration // of the whole run
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pathgrant := flags.String("pathgrant", "../.bin/pathgrant", "the built command")
	quick := flags.Bool("quick", false, "shorter rounds, for a first impression")
	profiles := flags.String("profiles", "", "then write CPU profiles of Pathgrant into this directory")
	stock := flags.String("serve-stock", "", "serve as the stock server on this unix socket (the harness starts itself so)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if *stock != "" {
		return serveStock(ctx, *stock)
	}
	p := plan{rounds: 9, round: 4 * time.Second, limit: 10 * time.Minute}
	if *quick {
		p = plan{rounds: 5, round: time.Second, limit: 110 * time.Second}
	}
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()

	dir, err := os.MkdirTemp("", "pathgrant-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cpus, err := shareCPUs()
	if err != nil {
		return err
	}
	issuer, err := pgtest.NewIssuer("bench")
	if err != nil {
		return err
	}
	world := newWorld()
	requests, err := world.requests(issuer)
	if err != nil {
		return err
	}
	peers, err := startPeers(ctx, filepath.Clean(*pathgrant), dir, issuer, world, cpus, *profiles != "")
	defer func() {
		for _, peer := range peers {
			err = errors.Join(err, peer.close())
		}
	}()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s, %d CPUs, %s; %s; load average before: %s.\n",
		runtime.Version(), runtime.NumCPU(), cpuModel(), cpus, loadAverage())
	fmt.Fprintf(stdout, "%d assignments, %d users, %d request bodies of %d bytes on average, %d to be refused; %d rounds of %v each.\n",
		len(world.assignments), users, len(requests), averageSize(requests), refused(requests), p.rounds, p.round)
	if err := measure(ctx, stdout, peers, requests, p); err != nil || *profiles == "" {
		return interrupted(ctx, err)
	}
	for _, peer := range peers {
		if err := profile(ctx, stdout, peer, requests, *profiles); err != nil {
			return interrupted(ctx, err)
		}
	}
	return nil
}

// interrupted says shortly that a run was, in place of all that failed because of it.
func interrupted(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return errors.New("interrupted")
	case ctx.Err() != nil:
		return errors.New("the time of the run is over: this machine has too much else to do")
	default:
		return err
	}
}
