// Package extauthz answers Envoy's external authorization calls (ext_authz v3) and
// gRPC's own, which speak the same protocol.
//
// It never sends a gRPC error, an error_response or a response without a status: Envoy
// can be configured to let requests pass when the authorization call fails, and reads a
// response without a status as allow. A request it cannot read, and a fault of its own,
// get a denied response.
//
// Building all of a CheckRequest would cost several times what the decision does. So the
// message is scanned for what a decision needs, and the response is written as it goes
// over the wire; both are held equal to the generated messages by tests.
package extauthz

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

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
	decider ask.Decider
	encode  encoder
	log     *slog.Logger
	calls   sync.Pool // *call
}

// New returns a Server. It starts nothing.
func New(o Options) *Server {
	return &Server{
		decider: o.Decider,
		encode:  newEncoder(o.Headers, o.Detail),
		log:     o.Log,
	}
}

// Method is the path of the calls that [Server.AnswerAtOnce] and [Server.Answer] answer.
const Method = authv3.Authorization_Check_FullMethodName

// Register registers the service under its usual name, for the calls that grpc-go is to
// answer. The server must use a codec that hands frames over to requests with the method
// ReadFrame and takes them from responses with the method Frame.
func (s *Server) Register(on grpc.ServiceRegistrar) {
	on.RegisterService(&grpc.ServiceDesc{
		ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: check}},
		Metadata:    authv3.Authorization_ServiceDesc.Metadata, // for reflection
	}, s)
}

// check handles a call of Check that comes by way of grpc-go. Its error is one of
// receiving the message, never of what is in it.
func check(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // the order of grpc.MethodHandler
	s := srv.(*Server) //nolint:errcheck // Register registers nothing else
	in := new(frame)
	if err := decode(in); err != nil {
		return nil, err
	}
	answer := func(ctx context.Context, _ any) (any, error) {
		message, err := s.Answer(ctx, in.message, nil)
		return &frame{message}, err // nil by contract
	}
	if interceptor == nil {
		return answer(ctx, in)
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: Method}
	return interceptor(ctx, in, info, answer)
}

// A frame is a message as it goes over the wire.
type frame struct{ message []byte }

// ReadFrame takes the message as it came.
func (f *frame) ReadFrame(data mem.BufferSlice) {
	if f.message = data.Materialize(); f.message == nil {
		f.message = []byte{}
	}
}

// Frame returns the message.
func (f *frame) Frame() mem.BufferSlice { return mem.BufferSlice{mem.SliceBuffer(f.message)} }

// AnswerAtOnce appends the answer to a CheckRequest to dst, if it can be had without
// waiting; otherwise it returns false. A message that is nil could not be received. Nobody
// may write to the message until the call returns; nothing of it is kept after that.
func (s *Server) AnswerAtOnce(message, dst []byte) (answer []byte, done bool) {
	return s.answer(context.Background(), message, dst, true)
}

// Answer appends the answer to a CheckRequest to dst. The error is nil: whatever goes
// wrong is an answer too. The message is as with [Server.AnswerAtOnce].
func (s *Server) Answer(ctx context.Context, message, dst []byte) (answer []byte, err error) {
	answer, _ = s.answer(ctx, message, dst, false)
	return answer, nil
}

// answer decides. After a panic, the memory of the call is left alone: nobody knows who
// still holds it.
func (s *Server) answer(ctx context.Context, message, dst []byte, quick bool) (answer []byte, done bool) {
	defer func() {
		if fault := recover(); fault != nil {
			s.log.ErrorContext(ctx, "panic while answering a check", "panic", fault, "stack", string(debug.Stack()))
			answer, done = s.encode.respond(dst, &ask.Answer{Reason: authz.Internal, Detail: "the check failed; the log says why"}, nil, false), true
		}
	}()
	c := s.borrow()
	c.read(message)
	c.request.Quick = quick
	s.decider.Decide(ctx, &c.request, &c.answer)
	answer, done = dst, !quick || !c.answer.Slow
	if done {
		answer = s.encode.respond(dst, &c.answer, c.in.headers(), c.request.GRPC)
	}
	s.calls.Put(c)
	return answer, done
}

// A call is one check, and memory that is used again by later ones.
type call struct {
	in      scanned
	request ask.Request
	answer  ask.Answer

	// The methods of in as the request has them, made once because that allocates.
	header           func(name string) string
	headers          func(name string) []string
	contextExtension func(name string) string
	metadata         func(namespace, key string) any
}

func (s *Server) borrow() *call {
	if c, ok := s.calls.Get().(*call); ok {
		return c
	}
	c := new(call)
	c.header, c.headers = c.in.headerValue, c.in.headerValues
	c.contextExtension, c.metadata = c.in.contextExtension, c.in.metadataValue
	return c
}

var errNotReceived = errors.New("the check is not one whole message of a permitted size")

// read fills the request from the message.
func (c *call) read(message []byte) {
	err := errNotReceived
	if message != nil {
		err = c.in.read(message)
	}
	c.request = ask.Request{Adapter: Adapter}
	if err != nil {
		c.in.joined, c.in.listed = c.in.joined[:0], c.in.listed[:0]
		c.request.Unreadable = err.Error()
		return
	}
	r := &c.request
	r.HTTP = true
	r.Method, r.Host, r.Path = c.in.method, c.in.host, c.in.path
	r.GRPC = len(c.in.contentTypes) > 0 && isGRPC(c.in.contentTypes[0])
	r.Header, r.ContextExtension = c.header, c.contextExtension
	r.Catalogue = c.in.contextExtension(catalogueExtension)
	r.PermissionOverride = c.in.contextExtension(permissionExtension)
	r.Credentials.Authorization = c.in.authorization
	r.Credentials.Principal = c.in.principal
	r.Credentials.Metadata, r.Credentials.Header = c.metadata, c.headers
}
