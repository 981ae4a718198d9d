package pgtest

import (
	"context"
	"errors"
	"syscall"
)

// PathgrantOptions say how to run the command.
type PathgrantOptions struct {
	// Bin is the built command.
	Bin string
	// Args follow "serve"; --listen and --ops-listen are added, and nobody administers
	// unless they say so.
	Args []string
	// Listen is where it takes checks, such as unix:///run/pathgrant/authz.sock.
	Listen string
	// NotReady does not wait until it is ready, only until it is alive.
	NotReady bool
}

// A Pathgrant is a running server.
type Pathgrant struct {
	*process
	// Ops is the address of health and metrics.
	Ops string
}

// StartPathgrant runs the command and waits until it is ready.
func StartPathgrant(ctx context.Context, o PathgrantOptions) (*Pathgrant, error) {
	ops, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	p := &Pathgrant{Ops: ops}
	p.process, err = startProcess(o.Bin, append([]string{"serve", "--listen", o.Listen, "--ops-listen", ops, "--admin-listen", "off"}, o.Args...), nil)
	if err != nil {
		return nil, err
	}
	path := "/readyz"
	if o.NotReady {
		path = "/healthz"
	}
	if err := p.awaitReady(ctx, "http://"+ops+path); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Log returns the last of what it logged.
func (p *Pathgrant) Log() string { return p.output.String() }

// Close stops it as an orchestrator would.
func (p *Pathgrant) Close() error { return p.signalAndWait(syscall.SIGTERM) }

// Kill ends it as a crash would.
func (p *Pathgrant) Kill() error { return p.signalAndWait(syscall.SIGKILL) }

// Done is closed when it has ended, and ExitCode then says how.
func (p *Pathgrant) Done() <-chan struct{} { return p.done }

// ExitCode is the process's exit code, or -1 while it runs and after a signal.
func (p *Pathgrant) ExitCode() int { return p.cmd.ProcessState.ExitCode() }
