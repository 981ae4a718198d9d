package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

const (
	// minSize is the smallest world in which everything occurs.
	minSize = 1000
	// starts is how often the start is measured.
	starts = 5
	// hot is how many users ask again and again where a decision is to hit the cache.
	hot = 500
	// few is the same where the cache is small.
	few = 50
	// warmChecks and missChecks are how many decisions are timed, and fillChecks how many
	// different users ask so that the cache is full.
	warmChecks = 20_000
	missChecks = 20_000
	fillChecks = 60_000
	// smallCache is the smallest ceiling, under which users who take turns miss.
	smallCache = "1MiB"
	patience   = 5 * time.Minute
)

// A runner measures worlds, one after the other.
type runner struct {
	program, dir, cache, memory string
	ops                         string // where the server listens for operators
	out, log                    io.Writer
}

func (r *runner) printf(w world, figure, format string, args ...any) {
	fmt.Fprintf(r.out, "%-5s %-34s %s\n", sizeName(w.assignments), figure, fmt.Sprintf(format, args...))
}

// measure prints all figures of a world, one a line, each with its name.
func (r *runner) measure(ctx context.Context, w world) error {
	data := filepath.Join(r.dir, "data-"+sizeName(w.assignments))
	if _, err := os.Stat(filepath.Join(data, "CURRENT")); err != nil {
		if err := r.importWorld(ctx, w, data); err != nil {
			return err
		}
	}
	size, err := snapshotSize(data)
	if err != nil {
		return err
	}
	r.printf(w, "disk", "%.0f bytes per assignment (%.1f MB)", float64(size)/float64(w.assignments), float64(size)/1e6)
	if err := r.serving(ctx, w, data); err != nil {
		return err
	}
	if err := r.missing(ctx, w, data); err != nil {
		return err
	}
	return r.changing(ctx, w, data)
}

func (r *runner) importWorld(ctx context.Context, w world, data string) error {
	bundle := filepath.Join(r.dir, "bundle-"+sizeName(w.assignments)+".json")
	if err := writeBundle(bundle, w); err != nil {
		return err
	}
	defer func() { _ = os.Remove(bundle) }()
	info, err := os.Stat(bundle)
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, r.program, "import", bundle, "--data", data)
	cmd.Stderr = io.MultiWriter(&stderr, r.log)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	ended := make(chan struct{})
	most := make(chan int64)
	go func() { most <- mostAnonymous(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	close(ended)
	memory := <-most
	if err != nil {
		return fmt.Errorf("import: %w: %s%s", err, stdout.String(), stderr.String())
	}
	took := time.Since(began)
	r.printf(w, "import", "%.1f s (%.0f assignments/s, bundle of %.0f MB, CPU %.1f s)", took.Seconds(),
		float64(w.assignments)/took.Seconds(), float64(info.Size())/1e6, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	r.printf(w, "import, anonymous memory at most", "%d MiB", memory>>20)
	return nil
}

// mostAnonymous looks now and then how much memory a process has of its own.
func mostAnonymous(pid int, ended <-chan struct{}) (most int64) {
	for {
		select {
		case <-ended:
			return most
		case <-time.After(50 * time.Millisecond):
			if now, err := anonymous(pid); err == nil {
				most = max(most, now)
			}
		}
	}
}

func snapshotSize(data string) (int64, error) {
	files, err := filepath.Glob(filepath.Join(data, "snapshot-*.db"))
	if err != nil || len(files) != 1 {
		return 0, fmt.Errorf("want one snapshot in %s, not %d", data, len(files))
	}
	info, err := os.Stat(files[0])
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// A server is a running process and a connection to it.
type server struct {
	cmd    *exec.Cmd
	conn   *grpc.ClientConn
	checks pathgrantv1.AuthorizationServiceClient
	began  time.Time
	done   chan struct{}
	stderr *bytes.Buffer
}

// start starts a server, without administration unless the arguments say otherwise.
func (r *runner) start(ctx context.Context, data, cache string, more ...string) (*server, error) {
	socket := filepath.Join(r.dir, "s")
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	s := &server{done: make(chan struct{}), stderr: &bytes.Buffer{}}
	if len(more) == 0 {
		more = []string{"--admin-listen", "off"}
	}
	s.cmd = exec.CommandContext(ctx, r.program, append([]string{"serve", "--listen", "unix://" + socket, "--ops-listen", r.ops,
		"--data", data, "--cache-bytes", cache, "--memory-limit", r.memory, "--drain-delay", "0s", "--decision-log", "off"}, more...)...)
	s.cmd.Stderr = s.stderr
	var err error
	s.conn, err = grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(), grpc.WithInitialWindowSize(1<<20), grpc.WithInitialConnWindowSize(1<<20), // and so without pings that measure the line
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	if err != nil {
		return nil, err
	}
	s.checks = pathgrantv1.NewAuthorizationServiceClient(s.conn)
	s.began = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, s.conn.Close())
	}
	go func() {
		_ = s.cmd.Wait() // how it ended is in its state
		close(s.done)
	}()
	// The connection is dialled when there is something to dial.
	for {
		if _, err := os.Stat(socket); err == nil {
			return s, nil
		}
		select {
		case <-s.done:
			return nil, fmt.Errorf("the server ended: %s: %s", s.cmd.ProcessState, s.stderr)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), s.stop())
		case <-time.After(time.Millisecond):
		}
	}
}

func (s *server) stop() error {
	err := errors.Join(s.conn.Close(), s.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-s.done:
	case <-time.After(30 * time.Second):
		err = errors.Join(err, errors.New("the server did not end"), s.cmd.Process.Kill())
		<-s.done
	}
	return err
}

// check asks whether a user may read apps where its first assignment is.
func (s *server) check(ctx context.Context, w world, user int) (pathgrantv1.Reason, error) {
	return s.ask(ctx, userID(user), "/tenants/"+tenantID+w.at(user*perUser).place)
}

func (s *server) ask(ctx context.Context, user, scope string) (pathgrantv1.Reason, error) {
	out, err := s.checks.Check(ctx, &pathgrantv1.CheckRequest{Question: &pathgrantv1.CheckQuestion{
		Subject: &pathgrantv1.Subject{
			Tenant:    tenantID,
			Principal: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: user},
		},
		Target: &pathgrantv1.CheckQuestion_Permission{Permission: &pathgrantv1.PermissionTarget{Permission: "PowerApps.Apps.Read", Scope: scope}},
	}}, grpc.WaitForReady(true))
	return out.GetDecision().GetReason(), err
}

// until asks until the answer is another.
func (s *server) until(ctx context.Context, ask func() (pathgrantv1.Reason, error), not pathgrantv1.Reason) (pathgrantv1.Reason, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		reason, err := ask()
		if err == nil && reason != not {
			return reason, time.Since(s.began), nil
		}
		select {
		case <-s.done:
			return 0, 0, fmt.Errorf("the server ended: %s: %s", s.cmd.ProcessState, s.stderr)
		case <-ctx.Done():
			return 0, 0, errors.Join(ctx.Err(), err)
		case <-time.After(time.Millisecond):
		}
	}
}

const notReady = pathgrantv1.Reason_REASON_NOT_READY

// serving measures the start, decisions from the cache, and memory.
func (r *runner) serving(ctx context.Context, w world, data string) (err error) {
	allowed := w.someoneAllowed()
	var s *server
	var ready []time.Duration
	for i := range starts {
		if s != nil {
			if err := s.stop(); err != nil {
				return err
			}
		}
		if s, err = r.start(ctx, data, r.cache); err != nil {
			return err
		}
		reason, took, err := s.until(ctx, func() (pathgrantv1.Reason, error) { return s.check(ctx, w, allowed) }, notReady)
		if err != nil {
			return err
		}
		if reason != pathgrantv1.Reason_REASON_GRANTED {
			return fmt.Errorf("the first decision of start %d is %v", i, reason)
		}
		ready = append(ready, took)
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	slices.Sort(ready)
	r.printf(w, "start to first allowed decision", "%d ms (median of %d; %d to %d)", ready[starts/2].Milliseconds(), starts,
		ready[0].Milliseconds(), ready[starts-1].Milliseconds())
	anon, err := anonymous(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	r.printf(w, "anonymous memory at the start", "%d MiB", anon>>20)
	verified, err := s.ready(ctx)
	if err != nil {
		return err
	}
	r.printf(w, "start to all verified", "%.1f s", verified.Seconds())
	warm, err := r.time(ctx, s, w, warmChecks, min(hot, w.users))
	if err != nil {
		return err
	}
	r.printf(w, "decision from the cache", "%.1f us (round trip, median)", micros(warm))
	for i := range fillChecks {
		if _, err := s.check(ctx, w, i%w.users); err != nil {
			return err
		}
	}
	if anon, err = anonymous(s.cmd.Process.Pid); err != nil {
		return err
	}
	r.printf(w, "anonymous memory with a full cache", "%d MiB (--cache-bytes %s, --memory-limit %s)", anon>>20, r.cache, r.memory)
	again, err := r.time(ctx, s, w, warmChecks, min(hot, w.users))
	if err != nil {
		return err
	}
	r.printf(w, "decision from a full cache", "%.1f us (round trip, median)", micros(again))
	return nil
}

// ready waits until all data is verified: only then is somebody known not to be in it. It
// returns how long that took from the start.
func (s *server) ready(ctx context.Context) (time.Duration, error) {
	_, took, err := s.until(ctx, func() (pathgrantv1.Reason, error) {
		return s.ask(ctx, "nobody-at-all", "/tenants/"+tenantID)
	}, notReady)
	return took, err
}

// missing measures decisions whose views are read from the file.
func (r *runner) missing(ctx context.Context, w world, data string) (err error) {
	s, err := r.start(ctx, data, smallCache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if _, err := s.ready(ctx); err != nil {
		return err
	}
	// Under the limit of memory that all of them stay below, this server collects garbage more
	// often than one with nothing but hits; so it is compared with itself.
	hit, err := r.time(ctx, s, w, warmChecks, min(few, w.users))
	if err != nil {
		return err
	}
	took, err := r.time(ctx, s, w, missChecks, w.users)
	if err != nil {
		return err
	}
	r.printf(w, "decision from the file", "%.1f us (round trip, median): %.1f us more than from the cache", micros(took), micros(took-hit))
	return nil
}

// time asks n times, users taking turns, once to warm up and once to measure, and returns
// the median.
func (r *runner) time(ctx context.Context, s *server, w world, n, users int) (time.Duration, error) {
	took := make([]time.Duration, 0, n)
	stride := max(w.users/users, 1)
	for range 2 {
		took = took[:0]
		for i := range n {
			began := time.Now()
			reason, err := s.check(ctx, w, i*stride%w.users)
			if err != nil {
				return 0, err
			}
			if reason == notReady {
				return 0, errors.New("a decision was NOT_READY")
			}
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// anonymous returns how much memory of a process is its own, and not of mapped files.
func anonymous(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the kernel does not tell RssAnon")
}

// someoneAllowed returns a user whose first assignment lets it read apps.
func (w world) someoneAllowed() int {
	for user := range w.users {
		if a := w.at(user * perUser); a.effect == "" && a.expires == "" && a.role == shippedRoles[0] {
			return user
		}
	}
	return 0
}
