// Command demo shows a real Envoy and a real Pathgrant allowing and denying requests: it
// starts both and a service behind them, sends requests as several callers and prints
// what became of each and why. What must come out is written down beside each request;
// if anything else does, the row says so and the exit code is 1.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

//go:embed policy.yaml
var policy string

var errInterrupted = errors.New("interrupted")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it whatever it is doing
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	o := options{}
	flags.StringVar(&o.envoy, "envoy", "", "the Envoy to run (default: $ENVOY_BIN)")
	flags.StringVar(&o.pathgrant, "pathgrant", ".bin/pathgrant", "the built command")
	flags.StringVar(&o.bootstrap, "bootstrap", "deploy/envoy/envoy.yaml", "the configuration that Envoy runs with")
	keep := flags.Bool("keep", false, "leave everything running until Ctrl-C")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if o.envoy == "" {
		if o.envoy, err = pgtest.EnvoyBin(); err != nil {
			return err
		}
	}
	start := time.Now()
	s, err := setUp(ctx, o)
	if ctx.Err() != nil && s == nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	show := &show{stage: s, out: stdout}
	show.running()
	if err := show.acts(ctx); err != nil {
		return err
	}
	outcome := show.summary(time.Since(start))
	if *keep {
		if err := show.keep(); err != nil {
			return err
		}
		<-ctx.Done()
	}
	return outcome
}
