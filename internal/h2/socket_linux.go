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
	into     []byte // where Read reads to
	inARow   int    // reads that found something without waiting
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
	var of syscall.Conn
	switch nc := nc.(type) {
	case *net.TCPConn:
		of = nc
	case *net.UnixConn:
		of = nc
	default:
		return nc
	}
	raw, err := of.SyscallConn()
	if err != nil {
		return nc // it is closed, as the first read will find
	}
	s := &socket{Conn: nc, raw: raw}
	s.readSome = func(fd uintptr) bool { return s.receive(fd, s.into) }
	s.writeSome = func(fd uintptr) bool { return s.out.try(syscall.SYS_SENDTO, fd, false) }
	return s
}

// receive reads into b. false says that this would have to wait.
func (s *socket) receive(fd uintptr, b []byte) bool {
	known := s.inARow == mostInARow
	s.in.b = b
	found := s.in.try(syscall.SYS_RECVFROM, fd, known)
	s.in.b = nil
	if !found || known {
		s.inARow = 0
	} else {
		s.inARow++
	}
	return found
}

// received returns how many bytes the last read brought, or why it brought none.
func (s *socket) received() (int, error) {
	switch {
	case s.in.errno != 0:
		return 0, os.NewSyscallError("read", s.in.errno)
	case s.in.n == 0:
		return 0, io.EOF
	}
	return s.in.n, nil
}

// try reads or writes. false says that this would have to wait. known says that the scheduler
// is to know of the call.
func (t *transfer) try(call, fd uintptr, known bool) bool {
	for {
		at, size := unsafe.Pointer(unsafe.SliceData(t.b)), uintptr(len(t.b))
		var n uintptr
		var errno syscall.Errno
		if known {
			n, _, errno = syscall.Syscall6(call, fd, uintptr(at), size, syscall.MSG_NOSIGNAL, 0, 0)
		} else {
			n, _, errno = syscall.RawSyscall6(call, fd, uintptr(at), size, syscall.MSG_NOSIGNAL, 0, 0)
		}
		switch errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		case 0:
			t.n, t.errno = int(n), 0
		default:
			t.n, t.errno = 0, errno
		}
		return true
	}
}

// Read implements net.Conn.
func (s *socket) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	s.into = b
	err := s.raw.Read(s.readSome)
	s.into = nil
	if err != nil {
		return 0, err
	}
	return s.received()
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
