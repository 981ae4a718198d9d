package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Unary answers the calls of one gRPC method. It is called from many goroutines at once.
//
// message is the request, valid during the call only; nil says that what the client sent
// is not one whole uncompressed message of the permitted size. The answer is appended to
// dst, which may be moved as append moves it.
type Unary interface {
	// AnswerAtOnce answers what can be answered from memory. It must not wait for
	// anything: all other calls on the connection wait for it. false says that the call
	// needs Answer; then what was appended does not count.
	AnswerAtOnce(message, dst []byte) (answer []byte, done bool)
	// Answer answers in a goroutine of its own. ctx ends with the call's deadline, with
	// the call, or with the connection. An error that is not a [*Status] is gRPC's UNKNOWN.
	Answer(ctx context.Context, message, dst []byte) (answer []byte, err error)
}

// A Status is a gRPC status other than OK, as an error.
type Status struct {
	Code    uint32
	Message string // as it goes over the wire: printable ASCII, percent-encoded
	Details string // as they go over the wire: grpc-status-details-bin, in base64
}

// Error returns the message.
func (s *Status) Error() string { return s.Message }

// Options are a server's settings. All of them count, zero as well, unless a field says
// otherwise.
type Options struct {
	// Unary are the methods answered here, by path: "/package.Service/Method".
	Unary map[string]Unary
	// Handler gets every other request.
	Handler http.Handler
	// TLS secures connections, which must then agree on the protocol h2; nil: they are
	// plain.
	TLS *tls.Config

	// MaxConnections bounds the connections of one listener; others wait to be accepted.
	// Zero: no bound.
	MaxConnections int
	// MaxConcurrentStreams bounds the calls in flight on one connection, and the
	// goroutines for them, those of calls that were reset included. It is announced as
	// SETTINGS_MAX_CONCURRENT_STREAMS; a client that has more is answered with
	// REFUSED_STREAM (RFC 9113 section 5.1.2), which says that it may try again.
	MaxConcurrentStreams uint32
	// MaxHeaderListSize bounds the headers of a request (section 10.5.1): a larger list
	// is answered with HTTP 431.
	MaxHeaderListSize uint32
	// MaxMessageSize bounds the message of a unary call, what all unfinished messages of
	// one connection take together, and the body of any other request.
	MaxMessageSize int
	// ConnectionWindow and StreamWindow are the flow-control windows (section 5.2).
	ConnectionWindow, StreamWindow int32

	// HandshakeTimeout bounds the TLS handshake, and after it the time until the client's
	// preface and SETTINGS have come (section 3.4).
	HandshakeTimeout time.Duration
	// WriteTimeout is how long a client may take nothing of what it is sent.
	WriteTimeout time.Duration
	// A client of which nothing was heard for PingAfter is sent a PING (section 6.7), and
	// the connection ends if nothing is heard for PingTimeout after it.
	PingAfter, PingTimeout time.Duration
	// PingMinTime is how often the client may send PINGs while it is sent nothing else;
	// the third that comes sooner ends the connection with ENHANCE_YOUR_CALM.
	PingMinTime time.Duration
	// MaxIdle and MaxAge are after how long a connection without calls, and any
	// connection, is told to go away; what is in flight then has MaxAgeGrace. Zero: never.
	// An age is up to a tenth longer or shorter, so that connections that began together
	// do not end together.
	MaxIdle, MaxAge, MaxAgeGrace time.Duration

	Log *slog.Logger
}

// A Server serves connections. It is safe for concurrent use.
type Server struct {
	options Options
	over    chan struct{} // closed when no more connections are taken

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	draining  bool
	stopped   bool
	changed   *sync.Cond     // conns
	running   sync.WaitGroup // connections and calls
}

// New returns a server that starts nothing.
func New(o Options) *Server {
	s := &Server{options: o, listeners: map[net.Listener]struct{}{}, conns: map[*conn]struct{}{}, over: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// errStopped ends what the server's end ends.
var errStopped = errors.New("the server has stopped")

// Serve accepts connections and serves them, each in a goroutine of its own. It blocks
// until the listener fails, whose error it returns, or until Drain or Stop; then it
// returns nil. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return l.Close()
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	p := places{over: s.over}
	if n := s.options.MaxConnections; n > 0 {
		p.taken = make(chan struct{}, n)
	}
	var wait time.Duration
	for p.take() {
		nc, err := l.Accept()
		if err == nil {
			wait = 0
			s.start(nc, p.give)
			continue
		}
		p.give()
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.draining {
				return nil
			}
			delete(s.listeners, l)
			return errors.Join(err, l.Close())
		}
		// Too many open files, or a client that was gone again: neither lasts.
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		s.options.Log.Warn("a connection was not accepted", "err", err)
		select {
		case <-time.After(wait):
		case <-s.over:
		}
	}
	return nil
}

// places are those for a listener's connections.
type places struct {
	taken chan struct{} // nil: there is no bound
	over  <-chan struct{}
}

// take waits until there is room for a connection. false says that the server ends.
func (p places) take() bool {
	if p.taken == nil {
		select {
		case <-p.over:
			return false
		default:
			return true
		}
	}
	select {
	case p.taken <- struct{}{}:
		return true
	case <-p.over:
		return false
	}
}

func (p places) give() {
	if p.taken != nil {
		<-p.taken
	}
}

// start serves a connection in a goroutine of its own, and calls after at its end.
func (s *Server) start(nc net.Conn, after func()) {
	c := newConn(s, nc)
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		_ = c.nc.Close() // nothing was exchanged
		after()
		return
	}
	s.conns[c] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.running.Done()
		c.serve()
		s.mu.Lock()
		delete(s.conns, c)
		s.changed.Broadcast()
		s.mu.Unlock()
		after()
	}()
}

// Drain ends the server in order: it takes no more connections, tells every client to go
// away, and answers what it was sent until then. It returns nil when all connections have
// ended, or ctx's error; the server is then still to be stopped.
//
// A client learns of the end in two steps (RFC 9113 section 6.8): first that it should
// start no new calls here, and when it has surely read that, which was the last one taken.
// So no call is lost: each is answered, or is known to the client not to have been begun.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.endAccepting()
	for c := range s.conns {
		s.running.Go(c.drain)
	}
	s.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.changed.Wait()
	}
	return nil
}

// Stop ends the server at once, with whatever is in flight. It returns when all that the
// server started has ended.
func (s *Server) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.endAccepting()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.kill(errStopped)
	}
	s.running.Wait()
}

func (s *Server) endAccepting() {
	if s.draining {
		return
	}
	s.draining = true
	close(s.over)
	for l := range s.listeners {
		_ = l.Close() // its Serve ends either way
	}
	clear(s.listeners)
}
