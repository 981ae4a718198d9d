package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// DefaultSocketMode lets the owner and the group connect to a unix socket.
const DefaultSocketMode fs.FileMode = 0o660

// temporarySuffix and eight digits follow a socket's name until its mode is set.
const temporarySuffix = ".new-"

// probeTimeout bounds the attempt to connect to a socket that is already there.
const probeTimeout = time.Second

// Listen opens all addresses, or none: on any error it closes what it has opened and
// reports every problem. Unix sockets get the mode; zero means [DefaultSocketMode].
//
// A socket file that is already there is replaced only if connecting to it is refused,
// which says that its process is gone. It is an error if somebody answers, if that cannot
// be told, or if the path is not a socket. Closing a listener removes its own file only.
func Listen(ctx context.Context, addresses []Address, mode fs.FileMode) ([]net.Listener, error) {
	if mode == 0 {
		mode = DefaultSocketMode
	}
	var (
		open []net.Listener
		errs []error
	)
	for _, a := range addresses {
		l, err := listenOn(ctx, a, mode)
		if err != nil {
			errs = append(errs, fmt.Errorf("listen on %s: %w", a, err))
			continue
		}
		open = append(open, l)
	}
	if len(addresses) == 0 {
		errs = append(errs, errors.New("listen: no address given"))
	}
	if len(errs) > 0 {
		for _, l := range open {
			errs = append(errs, l.Close())
		}
		return nil, errors.Join(errs...)
	}
	return open, nil
}

func listenOn(ctx context.Context, a Address, mode fs.FileMode) (net.Listener, error) {
	switch {
	case a.Network == "unix" && !strings.HasPrefix(a.Address, "@"):
		return listenUnix(ctx, a.Address, mode)
	case a.Network == "unix", a.Network == "tcp":
		return new(net.ListenConfig).Listen(ctx, a.Network, a.Address)
	default:
		return nil, fmt.Errorf("unknown network %q", a.Network)
	}
}

// listenUnix makes the socket under a temporary name, sets its mode and renames it, so
// that nobody can connect while it still has the mode that the umask left it.
func listenUnix(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	if err := makeWay(ctx, path); err != nil {
		return nil, err
	}
	temporary := fmt.Sprintf("%s%s%08x", path, temporarySuffix, rand.Uint32())
	l, err := new(net.ListenConfig).Listen(ctx, "unix", temporary)
	if err != nil {
		return nil, err
	}
	socket, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the listener is a %T, not a unix one", l), l.Close())
	}
	socket.SetUnlinkOnClose(false)
	fail := func(err error) (net.Listener, error) {
		return nil, errors.Join(err, socket.Close(), os.Remove(temporary))
	}
	if err := os.Chmod(temporary, mode); err != nil {
		return fail(fmt.Errorf("set the socket's mode: %w", err))
	}
	own, err := os.Lstat(temporary)
	if err != nil {
		return fail(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fail(err)
	}
	return &unixListener{UnixListener: socket, path: path, own: own}, nil
}

// makeWay returns nil if there is nothing at path, or a socket that nobody listens on.
func makeWay(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("there is a file that is not a socket (%s): remove it, or choose another path", info.Mode())
	}
	dialer := net.Dialer{Timeout: probeTimeout}
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close() // it was opened only to see whether somebody answers
		return errors.New("another process is listening on the socket: stop it, or choose another path")
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("cannot tell whether another process is listening on the socket: %w", err)
	}
}

// A unixListener removes its file when it is closed, unless another process has put its
// own there.
type unixListener struct {
	*net.UnixListener
	path string
	own  fs.FileInfo
	once sync.Once
}

// Addr names the socket's path: the kernel still reports the temporary name.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *unixListener) Close() error {
	l.once.Do(func() {
		// The file goes first, so that nobody connects to a socket about to close.
		if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.own) {
			_ = os.Remove(l.path) // a file that stays is stale, which the next start handles
		}
	})
	return l.UnixListener.Close()
}
