// Package extauthz answers Envoy's external authorization calls (ext_authz v3) and
// gRPC's own, which speak the same protocol.
//
// It never sends a gRPC error, an error_response or a response without a status: Envoy
// can be configured to let requests pass when the authorization call fails, and reads a
// response without a status as allow. A request it cannot read, and a fault of its own,
// get a denied response.
package extauthz

import (
	"context"
	"log/slog"
	"runtime/debug"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Adapter is this adapter's name in metrics and the decision log.
const Adapter = "extauthz"

// Options are what a [Server] is made of.
type Options struct {
	Decider ask.Decider
	Headers Headers
	Detail  DenialDetail
	Log     *slog.Logger
}

// A Server implements Envoy's authorization service. It is safe for concurrent use.
type Server struct {
	authv3.UnimplementedAuthorizationServer
	decider ask.Decider
	encode  encoder
	log     *slog.Logger
}

// New returns a Server. It starts nothing.
func New(o Options) *Server {
	return &Server{
		decider: o.Decider,
		encode:  encoder{headers: o.Headers, names: o.Headers.names(), detail: o.Detail},
		log:     o.Log,
	}
}

// Check implements the Envoy service. Its error is always nil.
func (s *Server) Check(ctx context.Context, in *authv3.CheckRequest) (response *authv3.CheckResponse, _ error) {
	defer func() {
		if fault := recover(); fault != nil {
			s.log.ErrorContext(ctx, "panic while answering a check", "panic", fault, "stack", string(debug.Stack()))
			response = s.encode.denied(&ask.Answer{Reason: authz.Internal, Detail: "the check failed; the log says why"}, false)
		}
	}()
	r, h, err := requestFrom(in)
	if err != nil {
		r = &ask.Request{Adapter: Adapter, Unreadable: err.Error()}
	}
	var answer ask.Answer
	s.decider.Decide(ctx, r, &answer)
	return s.encode.respond(&answer, h, r.GRPC), nil
}
