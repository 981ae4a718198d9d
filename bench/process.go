package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

const (
	// startTimeout bounds how long a process may take until it answers, stopTimeout how
	// long until it ends.
	startTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
)

// A process is a program that was started and will be stopped.
type process struct {
	cmd   *exec.Cmd
	alive *os.File // its standard input, which ends when it is to end
	pipe  *pipe
	done  chan struct{}
	err   error // of Wait; read it after done is closed
}

// start starts a program. What it writes goes to the sink.
func start(sink *sink, program string, args ...string) (*process, error) {
	pipe, out, err := sink.open()
	if err != nil {
		return nil, err
	}
	defer out.Close() // the program has it
	in, alive, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	p := &process{cmd: exec.Command(program, args...), alive: alive, pipe: pipe, done: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, out, out
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), alive.Close())
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// log returns the last of what it wrote.
func (p *process) log() string { return p.pipe.last() }

// await calls ready until it returns nil; it gives up when the process ends.
func (p *process) await(ctx context.Context, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return pgtest.Poll(ctx, func() error {
		select {
		case <-p.done:
			return pgtest.Final(fmt.Errorf("%s ended: %w\n%s", p.cmd.Path, p.err, p.log()))
		default:
		}
		if err := ready(); err != nil {
			return fmt.Errorf("%w\n%s", err, p.log())
		}
		return nil
	})
}

// printed is ready when the process has printed a line.
func (p *process) printed(line string) func() error {
	return func() error {
		if slices.Contains(strings.Split(p.log(), "\n"), line) {
			return nil
		}
		return fmt.Errorf("%s has not printed %q", p.cmd.Path, line)
	}
}

// stop ends it as an orchestrator would, and kills it after a time.
func (p *process) stop() error {
	err := p.alive.Close()
	if e := p.cmd.Process.Signal(syscall.SIGTERM); e != nil && !errors.Is(e, os.ErrProcessDone) {
		err = errors.Join(err, e)
	}
	select {
	case <-p.done:
		return err
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
		return errors.Join(err, fmt.Errorf("%s did not end when told to\n%s", p.cmd.Path, p.log()))
	}
}

// A sink takes what the servers write, as a log collector does, at little cost to the CPU
// that the load runs on: every hundredth of a second, and all but the beginning unread.
type sink struct {
	null  int // files by number, because [os.File.Fd] would make them wait
	ended chan struct{}
	over  sync.WaitGroup

	mu    sync.Mutex
	pipes []*pipe // guarded by mu
}

// A pipe is what one server writes to.
type pipe struct {
	read int

	mu   sync.Mutex
	tail []byte // guarded by mu
}

const (
	drainEvery = 10 * time.Millisecond
	pipeSize   = 1 << 20
	readOfEach = 4 << 10
	tailSize   = 64 << 10
)

func newSink() (*sink, error) {
	null, err := unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	s := &sink{null: null, ended: make(chan struct{})}
	s.over.Go(func() {
		ticker := time.NewTicker(drainEvery)
		defer ticker.Stop()
		for {
			select {
			case <-s.ended:
				return
			case <-ticker.C:
				s.drain()
			}
		}
	})
	return s, nil
}

// open makes a pipe and returns the end to write to.
func (s *sink) open() (*pipe, *os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe", err)
	}
	p, out := &pipe{read: fds[0]}, os.NewFile(uintptr(fds[1]), "pipe")
	err := unix.SetNonblock(fds[0], true)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	}
	if err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(p.read), out.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pipes = append(s.pipes, p)
	return p, out, nil
}

func (s *sink) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pipes {
		p.drain(s.null)
	}
}

// close ends the draining; whoever writes then is told that nobody reads.
func (s *sink) close() error {
	close(s.ended)
	s.over.Wait()
	err := unix.Close(s.null)
	for _, p := range s.pipes {
		err = errors.Join(err, unix.Close(p.read))
	}
	return err
}

func (p *pipe) drain(null int) {
	var b [readOfEach]byte
	n, err := unix.Read(p.read, b[:])
	if err != nil || n <= 0 {
		return
	}
	p.mu.Lock()
	if len(p.tail)+n > tailSize {
		p.tail = append(p.tail[:0], p.tail[len(p.tail)/2:]...)
	}
	p.tail = append(p.tail, b[:n]...)
	p.mu.Unlock()
	for n == len(b) {
		if m, err := unix.Splice(p.read, nil, null, nil, pipeSize, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE); err != nil || m < pipeSize {
			return
		}
	}
}

func (p *pipe) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.tail)
}
