// Command bench measures Pathgrant side by side with a stock gRPC server, with Envoy and
// with peers, in one run on one machine: absolute figures depend on the machine, the
// ratios hardly do.
//
// The stock server unmarshals every request and answers OK to all of them: what any
// sidecar written with gRPC costs before it decides anything. Pathgrant is the built
// command as it is shipped, with tokens to verify, 10,000 assignments of 1,000 users, and
// requests of which half must be refused. Every answer is compared with what the harness
// expects, which it works out from how it handed out the assignments; the first wrong one
// ends the run with an error.
//
// The load is a closed loop on one connection with 1, 16 and 64 requests in flight, and an
// open one at fixed rates, with latencies counted from when a request should have been
// sent. All servers run throughout, and take turns in short rounds, so that whatever
// disturbs the machine disturbs all. Figures are medians over the rounds, ratios medians
// of the ratios of rounds. CPU time is the kernel's clock of each process, in nanoseconds.
// A null server, which answers without looking, shows what the load itself can do. The
// load looks for answers all the time, because waking a sleeping thread on another CPU
// costs more than an answer on many machines, virtual ones above all; -sleep has it sleep.
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
	"strings"
	"syscall"
	"time"

	"github.com/pathgrant/pathgrant/bench/internal/load"
	"github.com/pathgrant/pathgrant/bench/internal/machine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it whatever it is doing
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// mostInFlight is the load at which a server's maximum is taken.
const mostInFlight = 64

// allLevels are the numbers of requests that are kept in flight.
var allLevels = []int{1, 16, mostInFlight}

// A plan says how long everything takes.
type plan struct {
	rounds     int
	warm       time.Duration // how long a connection is loaded before it is measured
	length     time.Duration // of a round
	openLength time.Duration // of one of the open loop
	fresh      int           // tokens that nobody has seen, for each round
	levels     []int         // in flight, of servers that are asked directly
	moreLevels []int         // the same with TLS, and through Envoy
	limit      time.Duration // of the whole run, on a machine that has much else to do
}

var (
	full = plan{
		rounds: 7, warm: 150 * time.Millisecond, length: time.Second, openLength: 1500 * time.Millisecond,
		fresh: 4000, levels: allLevels, moreLevels: allLevels, limit: 20 * time.Minute,
	}
	quick = plan{
		rounds: 3, warm: 100 * time.Millisecond, length: 400 * time.Millisecond, openLength: 500 * time.Millisecond,
		fresh: 1500, levels: allLevels, moreLevels: []int{16}, limit: 5 * time.Minute,
	}
)

// options are what the command line says.
type options struct {
	pathgrant  string
	quick      bool
	require    bool
	json       string
	profiles   string
	sleep      bool
	against    string
	benchstat  string
	envoy      string
	inProcess  string
	peers      []string
	writeWorld string
	world      string
	sections   string

	serveStock, serveNull, certificates string
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.pathgrant, "pathgrant", "../.bin/pathgrant", "the built command")
	flags.BoolVar(&o.quick, "quick", false, "shorter rounds, for a first impression")
	flags.BoolVar(&o.require, "require", false, "then compare with what the README promises, and fail when a promise is not kept")
	flags.StringVar(&o.json, "json", "", "write everything that was measured into this `file`, too")
	flags.StringVar(&o.profiles, "profiles", "", "then write CPU profiles of Pathgrant into this `directory`")
	flags.BoolVar(&o.sleep, "sleep", false, "let the load sleep until there is an answer, as a proxy with little to do would; waking it up is then measured too")
	flags.StringVar(&o.against, "against", "", "measure nothing but the command against an earlier one, this `file`")
	flags.StringVar(&o.benchstat, "benchstat", ".", "with -against: the `directory` for the samples, base.txt and head.txt")
	flags.StringVar(&o.envoy, "envoy", os.Getenv("ENVOY_BIN"), "the Envoy to measure; without one this part is left out")
	flags.StringVar(&o.inProcess, "in-process", "", "first run the Go benchmarks of these `packages`, separated by commas, such as ./internal/gate")
	flags.Func("peer", "another server to measure, as `NAME=BINARY ARGUMENTS` (repeatable); see WORLD.md", func(s string) error {
		o.peers = append(o.peers, s)
		return nil
	})
	flags.StringVar(&o.sections, "only", "", "measure only these `parts`, separated by commas: direct, open, fresh, envoy")
	flags.StringVar(&o.writeWorld, "write-world", "", "write the world and its requests into this `file` and end; see WORLD.md")
	flags.StringVar(&o.world, "world", "small", "the world that is written: small or large")
	flags.StringVar(&o.serveStock, "serve-stock", "", "serve as the stock server at this `address` (the harness starts itself so)")
	flags.StringVar(&o.serveNull, "serve-null", "", "serve as the null server at this `address` (the harness starts itself so)")
	flags.StringVar(&o.certificates, "certificates", "", "`directory` of the stock server's certificate")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for _, section := range strings.Split(o.sections, ",") {
		switch section {
		case "", "direct", "open", "fresh", "envoy":
		default:
			return o, fmt.Errorf("-only: %q is none of direct, open, fresh and envoy", section)
		}
	}
	return o, nil
}

// wants tells whether a part is to be measured.
func (o options) wants(section string) bool {
	return o.sections == "" || strings.Contains(","+o.sections+",", ","+section+",")
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case o.serveStock != "":
		return serveStock(ctx, o.serveStock, o.certificates, os.Stdin)
	case o.serveNull != "":
		return serveNull(ctx, o.serveNull, os.Stdin)
	case o.writeWorld != "":
		return writeOnly(o)
	}
	p := full
	switch {
	case o.against != "":
		p, o.sections = againstPlan, "direct"
	case o.quick:
		p = quick
	}
	fmt.Fprintf(stdout, "%s, %d CPUs, %s; load average before: %s.\n",
		runtime.Version(), runtime.NumCPU(), machine.CPUModel(), machine.LoadAverage())
	to := &report{Machine: fmt.Sprintf("%d CPUs, %s", runtime.NumCPU(), machine.CPUModel()), Go: runtime.Version()}
	if o.inProcess != "" {
		if to.InProcess, err = inProcess(ctx, stdout, strings.Split(o.inProcess, ",")); err != nil {
			return interrupted(ctx, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	started := time.Now()
	if err := compare(ctx, stdout, o, p, to); err != nil {
		return interrupted(ctx, err)
	}
	fmt.Fprintf(stdout, "\n%d answers, every one of them as it must be; %v.\n", to.Answers, time.Since(started).Round(time.Second))
	if o.json != "" {
		if err := to.write(o.json); err != nil {
			return err
		}
	}
	if o.require && o.against == "" {
		return printVerdicts(stdout, to.Promises)
	}
	return nil
}

// writeOnly writes a world file.
func writeOnly(o options) error {
	s, ok := map[string]size{"small": small, "large": large}[o.world]
	if !ok {
		return fmt.Errorf("-world: %q is neither small nor large", o.world)
	}
	issuer, err := newIssuer()
	if err != nil {
		return err
	}
	w, cached, jwks, err := prepare(s, issuer)
	if err != nil {
		return err
	}
	return writeWorld(o.writeWorld, w, cached, jwks)
}

// prepare makes a world and its checks, each with a token.
func prepare(s size, issuer *issuer) (*world, *workload, []byte, error) {
	w := newWorld(s)
	asked := w.questions()
	tokens, err := issuer.tokens(rs256, asked, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	// One token for each user: who asks again shows the same one.
	first := map[int]string{}
	for i, q := range asked {
		if first[q.user] == "" {
			first[q.user] = tokens[i]
		}
		tokens[i] = first[q.user]
	}
	cached, err := newWorkload(withTokens(asked, tokens))
	if err != nil {
		return nil, nil, nil, err
	}
	jwks, err := issuer.jwks()
	return w, cached, jwks, err
}

// A stage is what is measured, ready to be started.
type stage struct {
	world    *world
	cached   *workload // tokens that were seen before
	metadata *workload // claims in place of tokens
	fresh    map[string][][]load.Request
	reasons  []string
}

// newStage makes everything that takes CPU time before it is shared.
func newStage(dir string, o options, p plan) (*stage, error) {
	issuer, err := newIssuer()
	if err != nil {
		return nil, err
	}
	w, cached, jwks, err := prepare(small, issuer)
	if err != nil {
		return nil, err
	}
	s := &stage{world: w, cached: cached, fresh: map[string][][]load.Request{}}
	bundle, err := w.bundle()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "bundle.json"), bundle, 0o600),
		os.WriteFile(filepath.Join(dir, "jwks.json"), jwks, 0o600),
		writeWorld(filepath.Join(dir, worldName), w, cached, jwks))
	if err != nil {
		return nil, err
	}
	claims := make([]check, len(cached.checks))
	for i, c := range cached.checks {
		s.reasons = append(s.reasons, c.reason)
		claims[i] = check{question: c.question, claims: issuer.claims(userID(c.user), 0)}
	}
	if s.metadata, err = newWorkload(claims); err != nil || !o.wants("fresh") {
		return s, err
	}
	serial := 1 << 20 // far from those of the others
	for _, algorithm := range []string{rs256, es256} {
		for range p.rounds {
			asked := make([]question, p.fresh)
			for i := range asked {
				asked[i] = cached.checks[i%len(cached.checks)].question
			}
			tokens, err := issuer.tokens(algorithm, asked, serial)
			if err != nil {
				return nil, err
			}
			serial += len(asked)
			load, err := newWorkload(withTokens(asked, tokens))
			if err != nil {
				return nil, err
			}
			requests, err := load.grpc()
			if err != nil {
				return nil, err
			}
			s.fresh[algorithm] = append(s.fresh[algorithm], requests)
		}
	}
	return s, nil
}

// worldName is the world file's name.
const worldName = "world.json"

// compare starts all servers, measures them and prints what it found.
func compare(ctx context.Context, out io.Writer, o options, p plan, to *report) (err error) {
	dir, err := os.MkdirTemp("", "pathgrant-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := newStage(dir, o, p)
	if err != nil {
		return err
	}
	cpus, err := machine.Share()
	if err != nil {
		return err
	}
	h, err := newHouse(dir, filepath.Clean(o.pathgrant), cpus)
	if err != nil {
		return err
	}
	h.profile, h.spin = o.profiles != "", cpus.Apart() && !o.sleep
	defer func() { err = errors.Join(err, h.close()) }()
	to.Load = fmt.Sprintf("%d assignments, %d users, %d requests of %d bytes on average, %d to be refused; %d rounds; %v",
		len(s.world.assignments), s.world.users, len(s.cached.checks), s.cached.averageSize(), refused(s.world.questions()), p.rounds, cpus)
	fmt.Fprintf(out, "%s.\nMedians of rounds. CPU is that of the servers for one request; × is against stock over the same transport, and through Envoy against Envoy without a filter.\n"+
		"Load CPU is what the load itself takes for a request, busy its part of a CPU; \"limit\": the load is what limits this row.\n", to.Load)

	r := &results{samples: map[cell][]load.Result{}}
	if o.against != "" {
		err := r.against(ctx, h, s, filepath.Clean(o.against), o.benchstat)
		to.Answers = r.answered
		return err
	}
	rows, err := h.rows(ctx, o, p, s)
	if err != nil {
		return err
	}
	if err := r.warm(ctx, rows.cached()); err != nil {
		return err
	}
	if err := r.measure(ctx, out, to, rows, p); err != nil {
		return err
	}
	if err := printMemory(out, to, rows.cached()); err != nil {
		return err
	}
	to.Answers = r.answered
	to.Promises = r.judge(promises())
	if o.profiles == "" {
		return nil
	}
	for _, row := range rows.cached() {
		if err := profile(ctx, out, row, o.profiles); err != nil {
			return err
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
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("the time of the run is over: this machine has too much else to do")
	default:
		return err
	}
}
