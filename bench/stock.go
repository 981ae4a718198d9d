package main

import (
	"context"
	"io"
	"net"
	"os"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
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

// serveStock serves until the context or standard input ends, so that it does not outlive
// the harness, however that ends.
func serveStock(ctx context.Context, socket string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, stock{})
	defer context.AfterFunc(ctx, s.Stop)()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it, it has ended
		s.Stop()
	}()
	return s.Serve(l)
}
