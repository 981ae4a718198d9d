package main

import (
	"context"
	"crypto/tls"
	"io"
	"path/filepath"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
)

// A stock server is gRPC as it comes: it unmarshals the whole request, and allows it with
// one header for the upstream.
type stock struct {
	authv3.UnimplementedAuthorizationServer
}

// Check allows.
func (stock) Check(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{{
				Header:       &corev3.HeaderValue{Key: "x-method", Value: in.GetAttributes().GetRequest().GetHttp().GetMethod()},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			}},
		}},
	}, nil
}

// serveStock serves until the context or the input ends, so that it does not outlive
// the harness, however that ends. With a directory of certificates it speaks TLS.
func serveStock(ctx context.Context, address, certificates string, input io.Reader) error {
	l, err := listen(ctx, address)
	if err != nil {
		return err
	}
	var options []grpc.ServerOption
	if certificates != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(certificates, certFile), filepath.Join(certificates, keyFile))
		if err != nil {
			return err
		}
		options = append(options, grpc.Creds(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13,
		})))
	}
	s := grpc.NewServer(options...)
	authv3.RegisterAuthorizationServer(s, stock{})
	defer context.AfterFunc(ctx, s.Stop)()
	go func() {
		_, _ = io.Copy(io.Discard, input) // whatever ends it, it has ended
		s.Stop()
	}()
	return s.Serve(l)
}
