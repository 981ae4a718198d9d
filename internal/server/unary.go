package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pathgrant/pathgrant/internal/h2"
)

// AnswerUnary has the calls of a method, "/package.Service/Method", answered by u, without
// grpc-go and its interceptors. The method must be registered as part of a service as
// well: that answers the calls that are unusual, such as those with a compressed message.
// It panics after Serve was called.
func (s *Server) AnswerUnary(method string, u h2.Unary) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served {
		panic("server: AnswerUnary after Serve: " + method)
	}
	s.unary[method] = u
}

// RegisterPlain registers a service like [Server.RegisterService], and has the calls of
// its unary methods answered without grpc-go, which takes about half the time. Its
// methods get a context that knows the deadline, and neither metadata nor the peer, and
// can't set headers. Where the server has interceptors it does no more than
// RegisterService.
func (s *Server) RegisterPlain(desc *grpc.ServiceDesc, impl any) {
	s.RegisterService(desc, impl)
	if len(s.options.UnaryInterceptors) > 0 {
		return
	}
	for _, method := range desc.Methods {
		s.AnswerUnary("/"+desc.ServiceName+"/"+method.MethodName, plain{impl: impl, call: method.Handler, codec: s.options.Codec})
	}
}

// plain answers the calls of one method.
type plain struct {
	impl  any
	call  grpc.MethodHandler
	codec encoding.CodecV2
}

// AnswerAtOnce never does: nobody knows what the method waits for.
func (p plain) AnswerAtOnce(_, dst []byte) ([]byte, bool) { return dst, false }

// Answer answers a call as grpc-go would. The error is a [*h2.Status].
func (p plain) Answer(ctx context.Context, message, dst []byte) ([]byte, error) {
	if message == nil {
		return nil, wireStatus(status.New(codes.Internal, "the request is not one whole uncompressed message of a permitted size"))
	}
	reply, err := p.call(p.impl, ctx, func(v any) error {
		if err := p.codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(message)}, v); err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		return nil
	}, nil)
	if err != nil {
		said, ok := status.FromError(err)
		if !ok {
			said = status.FromContextError(err)
		}
		return nil, wireStatus(said)
	}
	out, err := p.codec.Marshal(reply)
	if err != nil {
		return nil, wireStatus(status.New(codes.Internal, err.Error()))
	}
	defer out.Free()
	for _, part := range out {
		dst = append(dst, part.ReadOnlyData()...)
	}
	return dst, nil
}

// wireStatus writes a status as it goes over the wire. OK is none for an error.
func wireStatus(s *status.Status) *h2.Status {
	w := &h2.Status{Code: uint32(s.Code()), Message: percentEncoded(s.Message())}
	if s.Code() == codes.OK {
		w.Code = uint32(codes.Unknown)
	}
	if p := s.Proto(); len(p.GetDetails()) > 0 {
		if raw, err := proto.Marshal(p); err == nil {
			w.Details = base64.RawStdEncoding.EncodeToString(raw)
		}
	}
	return w
}

// percentEncoded writes a message for the header grpc-message.
func percentEncoded(message string) string {
	var b strings.Builder
	for i := range len(message) {
		if c := message[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
