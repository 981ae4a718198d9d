package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// Limits of the listener of administration. It has few callers, and each of their calls may
// cost a write to the disk.
const (
	adminReadHeaderTimeout = 10 * time.Second
	adminIdleTimeout       = 2 * time.Minute
	// adminRESTTimeout bounds the reading of a REST request and the writing of its answer.
	adminRESTTimeout = 30 * time.Second
	// adminUnaryTimeout bounds a gRPC call with one message each way whose client gave no
	// deadline.
	adminUnaryTimeout   = 60 * time.Second
	adminMaxBody        = 1 << 20
	adminMaxMessageSize = 4 << 20
	adminMaxHeaderBytes = 64 << 10
	adminMaxConnections = 256
	adminMaxStreams     = 100
)

// AdminOptions are the settings of an [Admin]. The zero value serves gRPC alone, without
// TLS.
type AdminOptions struct {
	// TLS secures TCP listeners; nil: they are plain. Unix sockets always are.
	TLS *Certificates
	// RunCertificates says that nobody else has the certificate files read again.
	RunCertificates bool
	// REST answers what is not gRPC; nil: 404.
	REST http.Handler
	// UnaryInterceptors and StreamInterceptors are called around each gRPC call, the first
	// one outermost.
	UnaryInterceptors  []grpc.UnaryServerInterceptor
	StreamInterceptors []grpc.StreamServerInterceptor
	// DrainTimeout is how long calls in flight may take in the end; zero: 30 s.
	DrainTimeout time.Duration
	// Log is told of starts and ends; nil: nobody is.
	Log *slog.Logger
}

// An Admin serves administration: gRPC and REST on the same addresses, by HTTP/1.1 and
// HTTP/2, with TLS or without. Register services, then call Serve once. Health and
// reflection are registered already.
type Admin struct {
	options AdminOptions
	grpc    *grpc.Server
	health  *health.Server
	ending  context.Context
	end     context.CancelFunc

	mu     sync.Mutex
	served bool
}

var _ grpc.ServiceRegistrar = (*Admin)(nil)

// NewAdmin returns a server that starts nothing until [Admin.Serve].
func NewAdmin(o AdminOptions) *Admin {
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.REST == nil {
		o.REST = http.NotFoundHandler()
	}
	a := &Admin{options: o, health: health.NewServer()}
	a.ending, a.end = context.WithCancel(context.Background())
	a.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(adminMaxMessageSize),
		grpc.MaxSendMsgSize(MaxMessageSize),
		grpc.ChainUnaryInterceptor(append([]grpc.UnaryServerInterceptor{unaryDeadline}, o.UnaryInterceptors...)...),
		grpc.ChainStreamInterceptor(append([]grpc.StreamServerInterceptor{endWith(a.ending)}, o.StreamInterceptors...)...),
	)
	grpc_health_v1.RegisterHealthServer(a.grpc, a.health)
	reflection.Register(a.grpc)
	return a
}

// RegisterService adds a service, which health then knows by its name too. It panics after
// Serve was called.
func (a *Admin) RegisterService(desc *grpc.ServiceDesc, impl any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.served {
		panic("server: RegisterService after Serve: " + desc.ServiceName)
	}
	a.grpc.RegisterService(desc, impl)
	a.health.SetServingStatus(desc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
}

// Methods are the full names of all gRPC methods that are registered.
func (a *Admin) Methods() []string {
	var all []string
	for service, info := range a.grpc.GetServiceInfo() {
		for _, method := range info.Methods {
			all = append(all, "/"+service+"/"+method.Name)
		}
	}
	return all
}

// unaryDeadline gives a call whose client gave none a deadline.
func unaryDeadline(ctx context.Context, in any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if _, ok := ctx.Deadline(); !ok {
		limited, cancel := context.WithTimeout(ctx, adminUnaryTimeout)
		defer cancel()
		ctx = limited
	}
	return handle(ctx, in)
}

// Serve answers on the listeners and closes them in the end. It blocks until ctx ends or a
// listener fails, whose error it returns. When ctx ends, no new call is taken, streams are
// ended, and calls in flight have DrainTimeout to end; then they are broken off, which is
// an error.
func (a *Admin) Serve(ctx context.Context, listeners ...net.Listener) error {
	a.mu.Lock()
	served := a.served
	a.served = true
	a.mu.Unlock()
	switch {
	case served:
		return errors.Join(append(closeAll(listeners), errors.New("serve administration: called twice"))...)
	case len(listeners) == 0:
		return errors.New("serve administration: no listener")
	}
	defer a.grpc.Stop()
	defer a.end()

	plain, secured := a.httpServer(), a.httpServer()
	if a.options.TLS != nil {
		secured.TLSConfig = a.options.TLS.adminConfig()
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	refreshCtx, stopRefresh := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRefresh()
	if a.options.TLS != nil && a.options.RunCertificates {
		parts.Go(func() { _ = a.options.TLS.Run(refreshCtx, 0) }) // nil by contract
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		tls := a.options.TLS != nil && l.Addr().Network() != "unix"
		address := l.Addr().Network() + "://" + l.Addr().String()
		a.options.Log.InfoContext(ctx, "listening for administration", "address", address, "tls", tls)
		limited := netutil.LimitListener(l, adminMaxConnections)
		parts.Go(func() {
			var err error
			if tls {
				err = secured.ServeTLS(limited, "", "")
			} else {
				err = plain.Serve(limited)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve administration on %s: %w", address, err)
			}
		})
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	return errors.Join(err, a.drain(ctx, plain, secured))
}

// drain ends the servers in order. Streams end first: a watch never would by itself.
func (a *Admin) drain(ctx context.Context, servers ...*http.Server) error {
	a.health.Shutdown()
	a.end()
	timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.options.DrainTimeout)
	defer cancel()
	errs := make([]error, len(servers))
	var each sync.WaitGroup
	for i, server := range servers {
		each.Go(func() {
			if err := server.Shutdown(timeout); err != nil {
				errs[i] = fmt.Errorf("serve administration: calls were still in flight after %s and were broken off", a.options.DrainTimeout)
				_ = server.Close() // what is left is broken off; Shutdown closed the listeners
			}
		})
	}
	each.Wait()
	return errors.Join(errs...)
}

func (a *Admin) httpServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: adminReadHeaderTimeout,
		IdleTimeout:       adminIdleTimeout,
		MaxHeaderBytes:    adminMaxHeaderBytes,
		Protocols:         protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: adminMaxStreams,
			SendPingTimeout:      time.Minute,
			PingTimeout:          20 * time.Second,
			WriteByteTimeout:     WriteTimeout,
		},
		ErrorLog: slog.NewLogLogger(a.options.Log.Handler(), slog.LevelDebug),
	}
}

// handler parts gRPC from the rest.
func (a *Admin) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isGRPC(r.Header.Get("Content-Type")) {
			if r.ProtoMajor != 2 {
				http.Error(w, "gRPC needs HTTP/2", http.StatusHTTPVersionNotSupported)
				return
			}
			a.grpc.ServeHTTP(w, r)
			return
		}
		limits := http.NewResponseController(w)
		deadline := time.Now().Add(adminRESTTimeout)
		if err := errors.Join(limits.SetReadDeadline(deadline), limits.SetWriteDeadline(deadline)); err != nil {
			http.Error(w, "the connection cannot be given a deadline", http.StatusInternalServerError)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, adminMaxBody)
		a.options.REST.ServeHTTP(w, r)
	})
}

// isGRPC tells whether a content type is gRPC's, and not that of gRPC-Web.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(contentType), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// adminConfig is [Certificates.Config] for a server that speaks HTTP/1.1 too.
func (c *Certificates) adminConfig() *tls.Config {
	protocols := []string{"h2", "http/1.1"}
	config := c.Config()
	config.NextProtos = protocols
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		held := c.held.Load().config.Clone()
		held.NextProtos = protocols
		return held, nil
	}
	return config
}
