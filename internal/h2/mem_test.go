package h2_test

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A memConn is one end of a connection in memory. Unlike net.Pipe's it holds what was
// written until it is read, up to a limit, as a socket does.
type memConn struct {
	in, out *half
	once    sync.Once
}

func memPipe(room int) (client, server *memConn) {
	a, b := newHalf(room), newHalf(room)
	return &memConn{in: a, out: b}, &memConn{in: b, out: a}
}

// A half is one direction.
type half struct {
	mu       sync.Mutex
	changed  *sync.Cond
	data     []byte
	room     int
	ended    bool // nothing more is written
	dropped  bool // nothing more is read
	deadline time.Time
	timer    *time.Timer
}

func newHalf(room int) *half {
	h := &half{room: room}
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.dropped:
			return 0, net.ErrClosed
		case !h.deadline.IsZero() && !time.Now().Before(h.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(h.data) > 0:
			n := copy(p, h.data)
			if h.data = h.data[n:]; len(h.data) == 0 {
				h.data = nil
			}
			h.changed.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) Write(p []byte) (written int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(p) > 0 {
		switch {
		case h.ended || h.dropped:
			return written, net.ErrClosed
		case len(h.data) < h.room:
			n := min(len(p), h.room-len(h.data))
			h.data = append(h.data, p[:n]...)
			p, written = p[n:], written+n
			h.changed.Broadcast()
		default:
			h.changed.Wait()
		}
	}
	return written, nil
}

func (h *half) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
	h.changed.Broadcast()
}

func (h *half) setDeadline(t time.Time) {
	h.set(func() {
		if h.timer != nil {
			h.timer.Stop()
		}
		h.deadline = t
		if d := time.Until(t); !t.IsZero() && d > 0 {
			h.timer = time.AfterFunc(d, func() { h.set(func() {}) })
		}
	})
}

func (c *memConn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *memConn) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *memConn) CloseWrite() error           { c.out.set(func() { c.out.ended = true }); return nil }
func (c *memConn) Close() error {
	c.once.Do(func() {
		c.in.setDeadline(time.Time{})
		c.in.set(func() { c.in.dropped = true })
		c.out.set(func() { c.out.ended = true })
	})
	return nil
}
func (c *memConn) LocalAddr() net.Addr                { return memAddr("server") }
func (c *memConn) RemoteAddr() net.Addr               { return memAddr("client") }
func (c *memConn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *memConn) SetReadDeadline(t time.Time) error  { c.in.setDeadline(t); return nil }
func (c *memConn) SetWriteDeadline(_ time.Time) error { return nil }

type memAddr string

func (a memAddr) Network() string { return "mem" }
func (a memAddr) String() string  { return string(a) }

// A memListener accepts connections in memory.
type memListener struct {
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), over: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error   { l.once.Do(func() { close(l.over) }); return nil }
func (l *memListener) Addr() net.Addr { return memAddr("server") }

// dial connects; false: nobody accepts any more.
func (l *memListener) dial(room int) (halfCloser, bool) {
	client, server := memPipe(room)
	select {
	case l.conns <- server:
		return client, true
	case <-l.over:
		return nil, false
	}
}
