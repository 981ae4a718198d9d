package h2

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A polled is a connection of the kernel's that a [poller] waits for, and whose bytes are
// taken where the poller learns of them. Between a request that comes alone and its answer
// there is then nothing of Go's scheduler, which otherwise costs as much as the decision.
//
// It is safe for concurrent use.
type polled struct {
	local, remote net.Addr
	poller        *poller
	fd            int
	// Every system call holds hold, so that nobody else's connection is behind the descriptor
	// meanwhile.
	hold   sync.RWMutex
	closed bool
	gone   chan struct{} // closed by Close

	in, out wait
	ended   atomic.Bool // the other end sends nothing more, or has gone

	mu      sync.Mutex
	each    *each // who takes what comes; nil: whoever calls Read
	taking  bool  // somebody does at this moment
	another bool  // more has come since
	done    sync.Cond
}

// each is who takes what comes.
type each struct {
	room  func() []byte
	take  func(n int) (full bool, err error)
	space func() error
	err   chan error // why nothing more is taken
}

// poll takes a connection of the kernel's from Go's poller and gives it to one of ours. One that
// there are no descriptors for is a socket; others are returned as they are.
func poll(nc net.Conn) net.Conn {
	raw := rawOf(nc)
	if raw == nil {
		return nc
	}
	s := &polled{local: nc.LocalAddr(), remote: nc.RemoteAddr(), gone: make(chan struct{})}
	s.in.init()
	s.out.init()
	s.done.L = &s.mu
	var failed error
	if err := raw.Control(func(fd uintptr) { s.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || failed != nil {
		return quick(nc)
	}
	var err error
	if s.poller, err = pollers.take(s); err != nil {
		_ = unix.Close(s.fd) // the connection has its own still
		return quick(nc)
	}
	_ = nc.Close() // the connection goes on behind our descriptor
	return s
}

// readEach reads a connection, each time into the room that it is given, and hands over what
// has come, until there is an error. take must not wait for anybody: where it is to be asked
// to, it returns full, and space, which may wait, is called before it is asked again.
func readEach(nc net.Conn, room func() []byte, take func(n int) (full bool, err error), space func() error) error {
	s, ok := nc.(*polled)
	if !ok {
		return readInTurn(nc, room, take, space)
	}
	e := &each{room, take, space, make(chan error, 1)}
	s.mu.Lock()
	s.each = e
	s.mu.Unlock()
	s.come() // what nobody has read before
	var err error
	select {
	case err = <-e.err:
	case <-s.in.deadline():
		err = os.ErrDeadlineExceeded
	case <-s.gone:
		err = net.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.each == e {
		s.each = nil
	}
	for s.taking {
		s.done.Wait()
	}
	select {
	case err = <-e.err: // which counts more than a deadline that came at the same time
	default:
	}
	return err
}

// come has what has come taken.
func (s *polled) come() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.each == nil:
		s.in.tell()
	case s.taking:
		s.another = true
	default:
		s.taking = true
		s.takeAll(s.each)
	}
}

// takeAll takes what has come until there is nothing more. What would wait, or goes on and on,
// is left to a goroutine of its own, for others wait for this one. It is called with mu held
// and taking set, and gives mu up meanwhile.
func (s *polled) takeAll(e *each) {
	for s.each == e {
		s.another = false
		s.mu.Unlock()
		var more bool
		err := contained(func() (err error) {
			more, err = s.takeSome(e)
			return err
		})
		s.mu.Lock()
		switch {
		case err != nil:
			e.err <- err
			s.each = nil
		case more:
			go s.goOn(e)
			return
		case !s.another:
			s.taking = false
			s.done.Broadcast()
			return
		}
	}
	s.taking = false
	s.done.Broadcast()
}

// goOn waits for space and then is takeAll.
func (s *polled) goOn(e *each) {
	err := contained(e.space)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		e.err <- err
		s.each = nil
	}
	s.takeAll(e)
}

// contained makes an error of a panic, which is the connection's alone.
func contained(do func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = &faultError{fault, debug.Stack()}
		}
	}()
	return do()
}

// mostTaken is how many times a connection is read before others have their turn.
const mostTaken = 8

// takeSome reads and takes what has come. It tells whether there may be more: then it does not
// come by itself.
//
// The poller tells of what comes after a read that did not fill its room. Only of an end it may
// have told before.
func (s *polled) takeSome(e *each) (more bool, err error) {
	for range mostTaken {
		b := e.room()
		n, waits, err := s.call(syscall.SYS_RECVFROM, b)
		switch {
		case waits:
			return false, nil
		case err != nil:
			return false, os.NewSyscallError("read", err)
		case n == 0:
			return false, io.EOF
		}
		full, err := e.take(n)
		if full || err != nil {
			return full, err
		}
		if n < len(b) && !s.ended.Load() {
			return false, nil
		}
	}
	return true, nil
}

// call reads or writes what can be without waiting. waits says that nothing can.
func (s *polled) call(trap uintptr, b []byte) (n int, waits bool, err error) {
	s.hold.RLock()
	defer s.hold.RUnlock()
	if s.closed {
		return 0, false, net.ErrClosed
	}
	switch n, errno := tryOnce(trap, uintptr(s.fd), b, false); errno {
	case 0:
		return n, false, nil
	case syscall.EAGAIN:
		return 0, true, nil
	default:
		return 0, false, errno
	}
}

// Read implements net.Conn.
func (s *polled) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		if err := s.in.overdue(s.gone); err != nil {
			return 0, err
		}
		n, waits, err := s.call(syscall.SYS_RECVFROM, b)
		switch {
		case waits:
			if err := s.in.wait(s.gone); err != nil {
				return 0, err
			}
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// writeAtOnce writes what the kernel takes without waiting, which may be nothing. A connection
// that is not polled may wait all the same.
func writeAtOnce(nc net.Conn, b []byte) (int, error) {
	s, ok := nc.(*polled)
	if !ok {
		return nc.Write(b)
	}
	n, _, err := s.call(syscall.SYS_SENDTO, b)
	if err != nil {
		return n, os.NewSyscallError("write", err)
	}
	return n, nil
}

// Write implements net.Conn. It must not be called while another Write lasts.
func (s *polled) Write(b []byte) (int, error) {
	written, asked := 0, false
	defer func() {
		if asked {
			_ = s.poller.ask(s, false) // to be told for nothing does no harm
		}
	}()
	for written < len(b) {
		if err := s.out.overdue(s.gone); err != nil {
			return written, err
		}
		n, waits, err := s.call(syscall.SYS_SENDTO, b[written:])
		written += n
		switch {
		case err != nil:
			return written, os.NewSyscallError("write", err)
		case !waits:
			continue
		case !asked:
			asked = true
			if err := s.poller.ask(s, true); err != nil { // it tells at once if there is room already
				return written, err
			}
		}
		if err := s.out.wait(s.gone); err != nil {
			return written, err
		}
	}
	return written, nil
}

// Close implements net.Conn.
func (s *polled) Close() error {
	s.in.set(time.Time{})
	s.out.set(time.Time{})
	s.hold.Lock()
	defer s.hold.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	close(s.gone)
	pollers.give(s)
	return os.NewSyscallError("close", unix.Close(s.fd))
}

// CloseWrite says that nothing more is sent. What comes can still be read.
func (s *polled) CloseWrite() error {
	s.hold.RLock()
	defer s.hold.RUnlock()
	if s.closed {
		return net.ErrClosed
	}
	return os.NewSyscallError("shutdown", unix.Shutdown(s.fd, unix.SHUT_WR))
}

// LocalAddr implements net.Conn.
func (s *polled) LocalAddr() net.Addr { return s.local }

// RemoteAddr implements net.Conn.
func (s *polled) RemoteAddr() net.Addr { return s.remote }

// SetDeadline implements net.Conn.
func (s *polled) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (s *polled) SetReadDeadline(t time.Time) error { return s.setDeadline(&s.in, t) }

// SetWriteDeadline implements net.Conn.
func (s *polled) SetWriteDeadline(t time.Time) error { return s.setDeadline(&s.out, t) }

func (s *polled) setDeadline(w *wait, t time.Time) error {
	select {
	case <-s.gone:
		return net.ErrClosed
	default:
		w.set(t)
		return nil
	}
}
