package pgtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// Echo is what the [Upstream] answers with: what reached it.
type Echo struct {
	Method  string      `json:"method"`
	Host    string      `json:"host"`
	Path    string      `json:"path"`
	Headers http.Header `json:"headers"`
}

// An Upstream is the service behind the proxy: an HTTP server that answers every
// request with an [Echo], and a gRPC server with the health service.
type Upstream struct {
	HTTPAddress, GRPCAddress string

	requests atomic.Int64
	http     *http.Server
	grpc     *grpc.Server
}

// StartUpstream starts an upstream on two free loopback ports.
func StartUpstream() (*Upstream, error) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the upstream: %w", err)
	}
	h2, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the upstream: %w", err), plain.Close())
	}
	u := &Upstream{HTTPAddress: plain.Addr().String(), GRPCAddress: h2.Addr().String(), grpc: grpc.NewServer()}
	u.http = &http.Server{Handler: http.HandlerFunc(u.echo)}
	healthv1.RegisterHealthServer(u.grpc, health.NewServer())
	go func() { _ = u.http.Serve(plain) }()
	go func() { _ = u.grpc.Serve(h2) }()
	return u, nil
}

// Requests is how many HTTP requests have reached the upstream.
func (u *Upstream) Requests() int64 { return u.requests.Load() }

// Close stops the upstream.
func (u *Upstream) Close() error {
	u.grpc.Stop()
	return u.http.Shutdown(context.Background())
}

func (u *Upstream) echo(w http.ResponseWriter, r *http.Request) {
	u.requests.Add(1)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Echo{Method: r.Method, Host: r.Host, Path: r.RequestURI, Headers: r.Header})
}
