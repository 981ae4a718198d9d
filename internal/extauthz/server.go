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
	replies replyPool
}

// New returns a Server. It starts nothing.
func New(o Options) *Server {
	return &Server{
		decider: o.Decider,
		encode:  newEncoder(o.Headers, o.Detail),
		log:     o.Log,
	}
}

// Register registers the service under its usual name. The server must use a codec that
// hands frames over to requests with the method ReadFrame and takes them from responses
// with the method Frame.
func (s *Server) Register(on grpc.ServiceRegistrar) {
	on.RegisterService(&grpc.ServiceDesc{
		ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: check}},
		Metadata:    authv3.Authorization_ServiceDesc.Metadata, // for reflection
	}, s)
}

// check handles a call of Check. Its error is one of receiving the message, never of
// what is in it.
func check(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // the order of grpc.MethodHandler
	s := srv.(*Server) //nolint:errcheck // Register registers nothing else
	c := s.borrow()
	if err := decode(c); err != nil {
		c.free()
		return nil, err
	}
	if interceptor == nil {
		return s.answer(ctx, c), nil
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: authv3.Authorization_Check_FullMethodName}
	return interceptor(ctx, c, info, func(ctx context.Context, _ any) (any, error) { return s.answer(ctx, c), nil })
}

// A call is one check, and memory that is used again by later ones.
type call struct {
	frame         mem.Buffer // nil when there is none
	in            scanned
	request       ask.Request
	answer        ask.Answer
	authorization []string

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

// ReadFrame takes the message as it came. It is read later, where a panic is contained.
func (c *call) ReadFrame(data mem.BufferSlice) {
	c.free()
	c.frame = data.MaterializeToBuffer(mem.DefaultBufferPool())
}

func (c *call) free() {
	if c.frame != nil {
		c.frame.Free()
		c.frame = nil
	}
}

// answer decides and returns the reply. After a panic, the memory of the call is left
// alone: nobody knows who still holds it.
func (s *Server) answer(ctx context.Context, c *call) (answer *reply) {
	defer func() {
		if fault := recover(); fault != nil {
			s.log.ErrorContext(ctx, "panic while answering a check", "panic", fault, "stack", string(debug.Stack()))
			answer = s.reply(&ask.Answer{Reason: authz.Internal, Detail: "the check failed; the log says why"}, nil, false)
		}
	}()
	c.read()
	s.decider.Decide(ctx, &c.request, &c.answer)
	answer = s.reply(&c.answer, c.in.headers(), c.request.GRPC)
	s.calls.Put(c)
	return answer
}

// read fills the request from the frame.
func (c *call) read() {
	err := c.in.read(c.frame.ReadOnlyData())
	c.free()
	c.request = ask.Request{Adapter: Adapter}
	if err != nil {
		c.in.joined, c.in.listed = c.in.joined[:0], c.in.listed[:0]
		c.request.Unreadable = err.Error()
		return
	}
	c.authorization = c.in.appendValues(c.authorization[:0], "authorization")
	r := &c.request
	r.HTTP = true
	r.Method, r.Host, r.Path = c.in.method, c.in.host, c.in.path
	r.GRPC = isGRPC(c.in.headerValue("content-type"))
	r.Header, r.ContextExtension = c.header, c.contextExtension
	r.Catalogue = c.in.contextExtension(catalogueExtension)
	r.PermissionOverride = c.in.contextExtension(permissionExtension)
	r.Credentials.Authorization = c.authorization
	r.Credentials.Principal = c.in.principal
	r.Credentials.Metadata, r.Credentials.Header = c.metadata, c.headers
}

// A reply is a CheckResponse as it goes over the wire.
type reply [1]mem.Buffer

// Frame returns the message. Whoever has sent it frees it.
func (r *reply) Frame() mem.BufferSlice { return r[:] }

func (s *Server) reply(a *ask.Answer, headers []header, grpcCaller bool) *reply {
	buffer := s.replies.Get(0)
	*buffer = s.encode.respond(*buffer, a, headers, grpcCaller)
	return &reply{mem.NewBuffer(buffer, &s.replies)}
}

// replyPool keeps the memory of replies that were sent.
type replyPool struct{ pool sync.Pool }

// replySize is room enough for nearly every reply, and more than what [mem.NewBuffer]
// takes for too small to be used again. A reply that outgrew it by far is not kept.
const replySize = 2 << 10

// Get implements mem.BufferPool.
func (p *replyPool) Get(length int) *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok && cap(*b) >= length {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, max(length, replySize))
	return &b
}

// Put implements mem.BufferPool.
func (p *replyPool) Put(b *[]byte) {
	if cap(*b) <= 8*replySize {
		p.pool.Put(b)
	}
}
