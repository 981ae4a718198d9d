package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// errAgain says that there is nothing to read yet.
var errAgain error = again{}

// again is an error that leaves a TLS connection usable: it is temporary.
type again struct{}

// Error implements error.
func (again) Error() string { return "nothing to read yet" }

// Timeout and Temporary implement net.Error.
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// A socket is a connection whose reads do not wait. Waiting is a call of its own, to the
// kernel and as exact as its clock, where Go's poller would round to milliseconds.
type socket struct {
	fd      int
	closed  bool
	blocked bool // reads wait, as a handshake needs it
}

func openSocket(ctx context.Context, network, address string) (*socket, error) {
	var to unix.Sockaddr
	family := unix.AF_UNIX
	switch network {
	case "unix":
		to = &unix.SockaddrUnix{Name: address}
	case "tcp":
		at, err := netip.ParseAddrPort(address)
		if err != nil || !at.Addr().Is4() {
			return nil, fmt.Errorf("address %q is not an IPv4 address with a port", address)
		}
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	default:
		return nil, fmt.Errorf("network %q is neither tcp nor unix", network)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{fd: fd}
	if network == "tcp" {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	}
	if err == nil {
		err = os.NewSyscallError("connect", unix.Connect(fd, to))
	}
	if err == nil {
		err = os.NewSyscallError("fcntl", unix.SetNonblock(fd, true))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s %s: %w", network, address, err), s.Close())
	}
	return s, nil
}

// secure speaks TLS on a socket.
func secure(ctx context.Context, s *socket, config *tls.Config) (*tls.Conn, error) {
	c := tls.Client(s, config)
	s.blocked = true
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	s.blocked = false
	if p := c.ConnectionState().NegotiatedProtocol; p != "h2" {
		return nil, fmt.Errorf("the server agreed to %q, not to HTTP/2", p)
	}
	return c, nil
}

// await waits until there is something to read, or room to write if that is wanted, or
// the time is over.
func (s *socket) await(write bool, timeout time.Duration) error {
	fds := [1]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
	if write {
		fds[0].Events |= unix.POLLOUT
	}
	limit := unix.NsecToTimespec(max(timeout, 0).Nanoseconds())
	if _, err := unix.Ppoll(fds[:], &limit, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("ppoll", err)
	}
	return nil
}

// Read implements net.Conn. It returns errAgain when there is nothing to read.
func (s *socket) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(s.fd, b)
		switch {
		case err == unix.EINTR: // the C library's numbers are never wrapped
		case err == unix.EAGAIN && s.blocked:
			if err := s.await(false, patience); err != nil {
				return 0, err
			}
		case err == unix.EAGAIN:
			return 0, errAgain
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// write writes what there is room for.
func (s *socket) write(b []byte) (int, error) {
	for {
		// MSG_NOSIGNAL: a server that is gone is an error, not the end of the harness.
		n, err := unix.SendmsgN(s.fd, b, nil, nil, unix.MSG_NOSIGNAL)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("write", err)
		default:
			return n, nil
		}
	}
}

// Write implements net.Conn: it waits until all is written.
func (s *socket) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		n, err := s.write(b[written:])
		if err != nil {
			return written, err
		}
		if written += n; n == 0 {
			fds := [1]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
			if n, err := unix.Poll(fds[:], int(patience.Milliseconds())); err == nil && n == 0 {
				return written, os.ErrDeadlineExceeded
			}
		}
	}
	return written, nil
}

// Close implements net.Conn.
func (s *socket) Close() error {
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	return os.NewSyscallError("close", unix.Close(s.fd))
}

// LocalAddr and the rest implement net.Conn, for TLS, which does not use them here.
func (*socket) LocalAddr() net.Addr              { return nil }
func (*socket) RemoteAddr() net.Addr             { return nil }
func (*socket) SetDeadline(time.Time) error      { return nil }
func (*socket) SetReadDeadline(time.Time) error  { return nil }
func (*socket) SetWriteDeadline(time.Time) error { return nil }
