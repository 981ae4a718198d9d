package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// startTimeout bounds how long a process may take until it answers.
const startTimeout = 60 * time.Second

// A process is a program that was started and will be stopped.
type process struct {
	cmd    *exec.Cmd
	output *tail
	done   chan struct{}
	err    error // of Wait; read it after done is closed
}

func startProcess(program string, args, env []string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), output: &tail{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.Env = append(os.Environ(), env...)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process's number.
func (p *process) PID() int { return p.cmd.Process.Pid }

// awaitReady polls a URL until it answers 200; it gives up when the process ends.
func (p *process) awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return Poll(ctx, func() error {
		select {
		case <-p.done:
			return stop{fmt.Errorf("%s ended: %w\n%s", p.cmd.Path, p.err, p.output)}
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, p.output)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s\n%s", url, response.Status, p.output)
		}
		return nil
	})
}

// signalAndWait sends a signal and waits for the end, killing after a time.
func (p *process) signalAndWait(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(startTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not end on %v\n%s", p.cmd.Path, signal, p.output)
	}
	return nil
}

// stop is an error that ends a [Poll] at once.
type stop struct{ error }

// Poll calls f until it returns nil, ctx ends, or it is clear that it never will.
func Poll(ctx context.Context, f func() error) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := f()
		var final stop
		if err == nil || errors.As(err, &final) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up: %w", err)
		case <-ticker.C:
		}
	}
}

// FreeAddress returns a loopback address that nobody listens on right now.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// tail keeps the last 64 KiB that were written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > 64<<10 {
		t.buf.Next(t.buf.Len() / 2)
	}
	return t.buf.Write(b)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// Final makes an error end a [Poll] at once.
func Final(err error) error { return stop{err} }
