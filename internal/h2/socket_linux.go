package h2

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// A socket is a connection of the kernel's that is read and written without a word to Go's
// scheduler. The scheduler takes every system call for one that may wait, and for the
// first one after a pause wakes its monitor, a thread that then looks around for a while:
// where requests come one at a time, that costs as much as all else. These calls do not
// wait. What has to be waited for is waited for in Go's poller, as ever, and there
// deadlines and Close are heeded.
//
// It is safe for concurrent use.
type socket struct {
	net.Conn
	raw syscall.RawConn

	reading  sync.Mutex
	in       transfer
	inARow   int // reads that found something without waiting
	readSome func(fd uintptr) bool

	writing   sync.Mutex
	out       transfer
	writeSome func(fd uintptr) bool
}

// mostInARow is after how many reads that found something at once the scheduler is to know of
// the next one. A connection that always has something to read keeps its goroutine running for
// as long, and it is the monitor that sees to the others then.
const mostInARow = 16

// A transfer is one system call, and what came of it.
type transfer struct {
	b     []byte
	n     int
	errno syscall.Errno
}

// quick returns the connection as a socket if it is one of the kernel's, else as it is.
func quick(nc net.Conn) net.Conn {
	raw := rawOf(nc)
	if raw == nil {
		return nc
	}
	s := &socket{Conn: nc, raw: raw}
	s.readSome = s.receive
	s.writeSome = func(fd uintptr) bool { return s.out.try(syscall.SYS_SENDTO, fd, false) }
	return s
}

// rawOf is the way to the descriptor of a connection of the kernel's; nil for others, and for one
// that is closed, as its first read will find.
func rawOf(nc net.Conn) syscall.RawConn {
	var of syscall.Conn
	switch nc := nc.(type) {
	case *net.TCPConn:
		of = nc
	case *net.UnixConn:
		of = nc
	default:
		return nil
	}
	raw, err := of.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// receive reads. false says that this would have to wait.
func (s *socket) receive(fd uintptr) bool {
	known := s.inARow == mostInARow
	found := s.in.try(syscall.SYS_RECVFROM, fd, known)
	if !found || known {
		s.inARow = 0
	} else {
		s.inARow++
	}
	return found
}

// try reads or writes. false says that this would have to wait. known says that the scheduler
// is to know of the call.
func (t *transfer) try(call, fd uintptr, known bool) bool {
	t.n, t.errno = tryOnce(call, fd, t.b, known)
	return t.errno != syscall.EAGAIN
}

// tryOnce reads or writes what can be without waiting; EAGAIN where nothing can.
func tryOnce(call, fd uintptr, b []byte, known bool) (int, syscall.Errno) {
	const flags = syscall.MSG_NOSIGNAL | syscall.MSG_DONTWAIT
	for {
		at, size := unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b))
		var n uintptr
		var errno syscall.Errno
		if known {
			n, _, errno = syscall.Syscall6(call, fd, uintptr(at), size, flags, 0, 0)
		} else {
			n, _, errno = syscall.RawSyscall6(call, fd, uintptr(at), size, flags, 0, 0)
		}
		switch errno {
		case syscall.EINTR:
		case 0:
			return int(n), 0
		default:
			return 0, errno
		}
	}
}

// Read implements net.Conn.
func (s *socket) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	s.in.b = b
	err := s.raw.Read(s.readSome)
	s.in.b = nil
	switch {
	case err != nil:
		return 0, err
	case s.in.errno != 0:
		return 0, os.NewSyscallError("read", s.in.errno)
	case s.in.n == 0:
		return 0, io.EOF
	}
	return s.in.n, nil
}

// Write implements net.Conn.
func (s *socket) Write(b []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	written := 0
	for written < len(b) {
		s.out.b = b[written:]
		err := s.raw.Write(s.writeSome)
		s.out.b = nil
		if err == nil && s.out.errno != 0 {
			err = os.NewSyscallError("write", s.out.errno)
		}
		if err != nil {
			return written, err
		}
		written += s.out.n
	}
	return written, nil
}

// CloseWrite says that nothing more is sent. What comes can still be read.
func (s *socket) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
