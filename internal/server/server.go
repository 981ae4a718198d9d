package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/pathgrant/pathgrant/internal/h2"
)

// Limits that are not settings.
const (
	// MaxHeaderListSize bounds the headers of a call itself; the headers of the request
	// that a proxy asks about are in the message.
	MaxHeaderListSize = 64 << 10
	// MaxMessageSize bounds a message. It is high because a larger one is a gRPC error,
	// which a proxy may be configured to let pass; a proxy's own limits are far below.
	MaxMessageSize = 64 << 20
	// ConnectionTimeout bounds the handshakes of a new connection.
	ConnectionTimeout = 5 * time.Second
	// ConnectionWindow is how many bytes a connection may send before it is told that they
	// were read. It bounds what one connection has buffered here, whatever the number of
	// its streams, and is room for some hundred checks: with HTTP/2's own 64 KiB, forty in
	// flight would wait for each other.
	ConnectionWindow = 1 << 20
	// StreamWindow is the same for one call.
	StreamWindow = 256 << 10
	// KeepaliveMinTime is how often a client may send keepalive pings, with calls in
	// flight or without; a client that sends them more often is disconnected.
	KeepaliveMinTime = 5 * time.Second
	// WriteTimeout is how long a client may take nothing of what it is sent.
	WriteTimeout = 20 * time.Second
)

// Options are a server's settings. The zero value serves without TLS, with the defaults
// that each field names.
type Options struct {
	// TLS secures TCP listeners; nil: they are plain. Unix sockets always are: their mode
	// and directory say who may connect.
	TLS *Certificates
	// Codec reads and writes messages; nil: [Codec].
	Codec encoding.CodecV2
	// MaxConcurrentStreams bounds the calls in flight on one connection; zero: 1024, as
	// many as Envoy has in flight to a cluster by default.
	MaxConcurrentStreams uint32
	// MaxConnections bounds the connections of one listener; zero: no limit. Others wait
	// to be accepted.
	MaxConnections int
	// MaxConnectionIdle, MaxConnectionAge and MaxConnectionAgeGrace end TCP connections;
	// zero: never. Connections to a unix socket are left alone: each end is a chance for a
	// check to fail, and there is only one server to spread them over.
	MaxConnectionIdle, MaxConnectionAge, MaxConnectionAgeGrace time.Duration
	// StreamWorkers is how many goroutines handle calls; zero: a new one for each call.
	// When all are busy, a call gets a new goroutine.
	StreamWorkers uint32
	// DrainDelay is how long calls are still taken after health has turned NOT_SERVING, so
	// that callers see it and turn elsewhere first.
	DrainDelay time.Duration
	// DrainTimeout is how long calls in flight may take after that; zero: 30 s.
	DrainTimeout time.Duration
	// CertificateRefresh is how often certificate files are read; zero:
	// [DefaultCertificateRefresh].
	CertificateRefresh time.Duration
	// UnaryInterceptors and StreamInterceptors are called around each call, the first one
	// outermost.
	UnaryInterceptors  []grpc.UnaryServerInterceptor
	StreamInterceptors []grpc.StreamServerInterceptor
	// Log is told of starts and ends; nil: nobody is.
	Log *slog.Logger
}

// A Server serves gRPC on TCP and unix listeners until it is told to end. Register
// services, then call Serve once. Health and reflection are registered already.
//
// SetReadiness may be called at any time from any goroutine; registering may not.
type Server struct {
	options  Options
	services []service
	unary    map[string]h2.Unary
	health   *health.Server

	mu        sync.Mutex
	names     []string // known to health
	readiness Readiness
	served    bool
	ending    bool
}

type service struct {
	desc *grpc.ServiceDesc
	impl any
}

var _ grpc.ServiceRegistrar = (*Server)(nil)

// New returns a server that starts nothing until [Server.Serve].
func New(o Options) *Server {
	if o.Codec == nil {
		o.Codec = Codec()
	}
	if o.MaxConcurrentStreams == 0 {
		o.MaxConcurrentStreams = 1024
	}
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: o, unary: map[string]h2.Unary{}, health: health.NewServer()}
	s.know("")
	s.RegisterPlain(&grpc_health_v1.Health_ServiceDesc, s.health)
	return s
}

// RegisterService adds a service, which health then knows by its name too. It panics
// after Serve was called, as grpc-go's own does.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.mu.Lock()
	served := s.served
	s.mu.Unlock()
	if served {
		panic("server: RegisterService after Serve: " + desc.ServiceName)
	}
	s.services = append(s.services, service{desc, impl})
	s.know(desc.ServiceName)
}

func (s *Server) know(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, name)
	s.health.SetServingStatus(name, healthStatus(s.readiness))
}

// SetReadiness makes health say SERVING, for the server and each of its services, when r
// is Ready or Degraded, and NOT_SERVING otherwise. Once the server is ending, health
// stays NOT_SERVING.
func (s *Server) SetReadiness(r Readiness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Serving() == s.readiness.Serving() {
		s.readiness = r
		return
	}
	s.readiness = r
	for _, name := range s.names {
		s.health.SetServingStatus(name, healthStatus(r))
	}
}

// Readiness returns what was set last, and NotReady once the server is ending.
func (s *Server) Readiness() Readiness {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return NotReady
	}
	return s.readiness
}

func (s *Server) shutDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	s.health.Shutdown()
}

// FollowReadiness calls ready at each interval and at each change, and sets what it says,
// until ctx ends; then it returns nil. changed returns a channel that is closed at the next
// change.
func (s *Server) FollowReadiness(ctx context.Context, interval time.Duration, changed func() <-chan struct{}, ready func() Readiness) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		next := changed() // before ready looks, so that no change comes in between
		s.SetReadiness(ready())
		select {
		case <-ctx.Done():
			return nil
		case <-next:
		case <-ticker.C:
		}
	}
}

func healthStatus(r Readiness) grpc_health_v1.HealthCheckResponse_ServingStatus {
	if r.Serving() {
		return grpc_health_v1.HealthCheckResponse_SERVING
	}
	return grpc_health_v1.HealthCheckResponse_NOT_SERVING
}

// Serve answers on the listeners and closes them in the end. It blocks until ctx ends or
// a listener fails, whose error it returns.
//
// When ctx ends, health turns NOT_SERVING; after DrainDelay no new call is taken; calls
// in flight have DrainTimeout to end and are then broken off, which is an error.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	s.mu.Lock()
	served := s.served
	s.served = true
	s.mu.Unlock()
	if served {
		return errors.Join(append(closeAll(listeners), errors.New("serve: called twice"))...)
	}
	if len(listeners) == 0 {
		return errors.New("serve: no listener")
	}

	ending, end := context.WithCancel(context.Background())
	defer end()
	handler := s.build(ending)
	defer handler.Stop()
	// One server for each kind of listener there is: they differ in credentials and in how
	// long a connection may last.
	servers := make(map[bool]*h2.Server, 2)
	for _, l := range listeners {
		if tcp := l.Addr().Network() != "unix"; servers[tcp] == nil {
			servers[tcp] = h2.New(s.connections(handler, tcp))
		}
	}

	var parts sync.WaitGroup
	certificatesCtx, stopCertificates := context.WithCancel(context.WithoutCancel(ctx))
	if s.options.TLS != nil {
		parts.Go(func() {
			_ = s.options.TLS.Run(certificatesCtx, s.options.CertificateRefresh) // nil by contract
		})
	}
	defer parts.Wait()
	defer stopCertificates()

	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		tcp := l.Addr().Network() != "unix"
		on := servers[tcp]
		address := l.Addr().Network() + "://" + l.Addr().String()
		s.options.Log.InfoContext(ctx, "listening", "address", address, "tls", tcp && s.options.TLS != nil)
		parts.Go(func() {
			if err := on.Serve(l); err != nil {
				failed <- fmt.Errorf("serve on %s: %w", address, err)
			}
		})
	}

	select {
	case err := <-failed:
		s.shutDown()
		end()
		for _, each := range servers {
			each.Stop()
		}
		return err
	case <-ctx.Done():
	}
	return s.drain(ctx, failed, end, slices.Collect(maps.Values(servers)))
}

// drain ends the servers in order. The context that it is given has ended.
func (s *Server) drain(ctx context.Context, failed <-chan error, end func(), servers []*h2.Server) error {
	s.options.Log.InfoContext(ctx, "draining", "delay", s.options.DrainDelay, "timeout", s.options.DrainTimeout)
	s.shutDown()
	var err error
	delay := time.NewTimer(s.options.DrainDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case err = <-failed:
	}

	end() // streams that wait for news, such as a watch of health, would never end by themselves
	timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.DrainTimeout)
	defer cancel()
	var each sync.WaitGroup
	var late atomic.Bool
	for _, server := range servers {
		each.Go(func() {
			if server.Drain(timeout) != nil {
				late.Store(true)
			}
		})
	}
	each.Wait()
	if late.Load() {
		err = errors.Join(err, fmt.Errorf("serve: calls were still in flight after %s and were broken off", s.options.DrainTimeout))
	}
	for _, server := range servers {
		server.Stop()
	}
	s.options.Log.InfoContext(ctx, "stopped serving")
	return err
}

// connections are the settings for one kind of listener.
func (s *Server) connections(handler http.Handler, tcp bool) h2.Options {
	o := s.options
	settings := h2.Options{
		Unary:   s.unary,
		Handler: handler,

		MaxConnections:       o.MaxConnections,
		MaxConcurrentStreams: o.MaxConcurrentStreams,
		MaxHeaderListSize:    MaxHeaderListSize,
		MaxMessageSize:       MaxMessageSize,
		ConnectionWindow:     ConnectionWindow,
		StreamWindow:         StreamWindow,

		HandshakeTimeout: ConnectionTimeout,
		WriteTimeout:     WriteTimeout,
		PingAfter:        time.Minute,
		PingTimeout:      20 * time.Second,
		PingMinTime:      KeepaliveMinTime,
		Log:              o.Log,
	}
	if tcp {
		settings.MaxIdle, settings.MaxAge, settings.MaxAgeGrace = o.MaxConnectionIdle, o.MaxConnectionAge, o.MaxConnectionAgeGrace
		if o.TLS != nil {
			settings.TLS = o.TLS.Config()
		}
	}
	return settings
}

// build makes what answers all calls but those registered as unary ones. Streams' contexts
// end with ending.
func (s *Server) build(ending context.Context) *grpc.Server {
	o := s.options
	streams := append([]grpc.StreamServerInterceptor{endWith(ending)}, o.StreamInterceptors...)
	g := grpc.NewServer(
		grpc.ForceServerCodecV2(o.Codec),
		grpc.MaxRecvMsgSize(MaxMessageSize),
		grpc.NumStreamWorkers(o.StreamWorkers),
		grpc.ChainUnaryInterceptor(o.UnaryInterceptors...),
		grpc.ChainStreamInterceptor(streams...),
	)
	for _, service := range s.services {
		g.RegisterService(service.desc, service.impl)
	}
	reflection.Register(g)
	return g
}

// endWith gives streams a context that ends with the other one too.
func endWith(ending context.Context) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, cancel := context.WithCancel(stream.Context())
		defer cancel()
		defer context.AfterFunc(ending, cancel)()
		return handler(srv, &endingStream{ServerStream: stream, ctx: ctx})
	}
}

type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *endingStream) Context() context.Context { return s.ctx }

func closeAll(listeners []net.Listener) []error {
	errs := make([]error, 0, len(listeners))
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errs
}
