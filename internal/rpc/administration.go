package rpc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/callers"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// recheckCaller is how often a call that lasts looks again whether its caller's token is
// still valid.
const recheckCaller = time.Minute

// AdministrationOptions are what an [Administration] is made of.
type AdministrationOptions struct {
	// Admin carries out what is asked. Required.
	Admin *admin.Admin
	// Identify says who makes a call, or why nobody may make it. Required.
	Identify func(ctx context.Context, c callers.Call) (admin.Caller, error)
	// Changed waits until what decisions are taken on is newer than a revision, and returns
	// its revision. Of the zero revision it returns the current one at once. Required.
	Changed func(ctx context.Context, after authz.Revision) (authz.Revision, error)
	// WriteBundle and ReadBundle translate between data and bundles. Required.
	WriteBundle func(w io.Writer, d *snapshot.Data, json bool) error
	ReadBundle  func(text []byte, json bool) (*snapshot.Data, error)
	// Backup writes a backup of the whole store, after it told its revision. Required.
	Backup func(ctx context.Context, w io.Writer, begin func(authz.Revision) error) (authz.Revision, error)
	// Observe is told of every call that has ended: its method, or "other" for one that the
	// services do not have, and its code. nil: nobody is.
	Observe func(method string, code codes.Code)
	// Log gets a line for each change; nil: nobody does.
	Log *slog.Logger
}

// An Administration implements the gRPC services of administration. It must be registered
// together with its interceptors, which find out who calls: without them every call is
// refused. It is safe for concurrent use.
type Administration struct {
	pathgrantv1.UnimplementedRoleDefinitionServiceServer
	pathgrantv1.UnimplementedRoleAssignmentServiceServer
	pathgrantv1.UnimplementedDirectoryServiceServer
	pathgrantv1.UnimplementedDataverseServiceServer
	pathgrantv1.UnimplementedSnapshotServiceServer
	pathgrantv1.UnimplementedAuditServiceServer
	pathgrantv1.UnimplementedOperatorServiceServer
	o AdministrationOptions
}

// NewAdministration returns the services. It starts nothing.
func NewAdministration(o AdministrationOptions) *Administration {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(string, codes.Code) {}
	}
	return &Administration{o: o}
}

// AdministrationServices are the services that [Administration.Register] registers.
func AdministrationServices() []*grpc.ServiceDesc {
	return []*grpc.ServiceDesc{
		&pathgrantv1.RoleDefinitionService_ServiceDesc,
		&pathgrantv1.RoleAssignmentService_ServiceDesc,
		&pathgrantv1.DirectoryService_ServiceDesc,
		&pathgrantv1.DataverseService_ServiceDesc,
		&pathgrantv1.SnapshotService_ServiceDesc,
		&pathgrantv1.AuditService_ServiceDesc,
		&pathgrantv1.OperatorService_ServiceDesc,
	}
}

// Register registers the services.
func (s *Administration) Register(r grpc.ServiceRegistrar) {
	for _, desc := range AdministrationServices() {
		r.RegisterService(desc, s)
	}
}

// entrance is what the interceptors learned of a call.
type entrance struct {
	caller admin.Caller
	// again finds out anew who calls; nil where that cannot change.
	again func(ctx context.Context) error
}

type entranceKey struct{}

// caller returns who makes the call. Without the interceptors it is nobody.
func caller(ctx context.Context) admin.Caller {
	if e, ok := ctx.Value(entranceKey{}).(*entrance); ok {
		return e.caller
	}
	return admin.Caller{}
}

// enter finds out who makes a call before anything of it runs.
func (s *Administration) enter(ctx context.Context, method string) (context.Context, error) {
	call := callers.Call{Method: "POST", Path: method, From: "unknown"}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		call.Authorization = md.Get("authorization")
		if agent := md.Get("user-agent"); len(agent) > 0 {
			call.Agent = agent[0]
		}
	}
	if p, ok := peer.FromContext(ctx); ok {
		if p.Addr != nil {
			call.From = callers.Remote(p.Addr.String())
		}
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			call.TLS = &info.State
		}
	}
	who, err := s.o.Identify(ctx, call)
	if err != nil {
		return nil, err
	}
	e := &entrance{caller: who}
	if who.Kind == admin.Token {
		e.again = func(ctx context.Context) error {
			_, err := s.o.Identify(ctx, call)
			return err
		}
	}
	return context.WithValue(ctx, entranceKey{}, e), nil
}

// Unary is the interceptor of calls with one message each way.
func (s *Administration) Unary(ctx context.Context, in any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (out any, err error) {
	defer func() { s.o.Observe(info.FullMethod, status.Code(err)) }()
	defer s.contain(ctx, &err)
	if err := adminLimits(in); err != nil {
		return nil, err
	}
	entered, err := s.enter(ctx, info.FullMethod)
	if err != nil {
		return nil, adminError(in, err)
	}
	if out, err = handle(entered, in); err != nil {
		return nil, adminError(in, err)
	}
	s.changed(entered, info.FullMethod, in, out)
	return out, nil
}

// Stream is the interceptor of calls with streams.
func (s *Administration) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	ctx := stream.Context()
	defer func() { s.o.Observe(info.FullMethod, status.Code(err)) }()
	defer s.contain(ctx, &err)
	entered, err := s.enter(ctx, info.FullMethod)
	if err != nil {
		return adminError(nil, err)
	}
	return adminError(nil, handle(srv, &enteredStream{ServerStream: stream, ctx: entered}))
}

// enteredStream is a stream whose caller is known, and whose messages are within limits.
type enteredStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *enteredStream) Context() context.Context { return s.ctx }

func (s *enteredStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return adminLimits(m)
}

// contain turns a panic into an error.
func (s *Administration) contain(ctx context.Context, err *error) {
	if fault := recover(); fault != nil {
		s.o.Log.ErrorContext(ctx, "panic while answering a call of administration", "panic", fault, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "the call failed; the log says why")
	}
}

// changed logs a change that was made.
func (s *Administration) changed(ctx context.Context, method string, in, out any) {
	if _, read := out.(interface{ GetNextPageToken() string }); read {
		return
	}
	made, ok := out.(interface{ GetRevision() *pathgrantv1.Revision })
	if !ok || !isChange(in) {
		return
	}
	s.logChange(ctx, method, in, made.GetRevision())
}

// isChange tells whether a request changes something: those that do have a context, or are
// an operator's.
func isChange(in any) bool {
	switch in.(type) {
	case interface {
		GetContext() *pathgrantv1.ChangeContext
	}, *pathgrantv1.BootstrapRequest, *pathgrantv1.BreakGlassRequest:
		return true
	}
	return false
}

func (s *Administration) logChange(ctx context.Context, method string, in any, revision *pathgrantv1.Revision) {
	who := caller(ctx)
	attrs := []slog.Attr{
		slog.String("method", method), slog.String("caller", who.Kind.String()), slog.String("from", who.From),
		slog.Uint64("epoch", revision.GetEpoch()), slog.Uint64("revision", revision.GetNumber()),
	}
	if who.Subject != nil {
		p := who.Subject.Principal()
		attrs = append(attrs, slog.String("tenant", who.Subject.Tenant()), slog.String("principal_type", p.Type.String()), slog.String("principal", p.ID))
	}
	if request, ok := in.(interface {
		GetContext() *pathgrantv1.ChangeContext
	}); ok && request.GetContext().GetRequestId() != "" {
		attrs = append(attrs, slog.String("request_id", request.GetContext().GetRequestId()))
	}
	s.o.Log.LogAttrs(ctx, slog.LevelInfo, "administration changed the data", attrs...)
}

// recheck returns an error once the caller's credentials are no longer valid.
func recheck(ctx context.Context) error {
	if e, ok := ctx.Value(entranceKey{}).(*entrance); ok && e.again != nil {
		return e.again(ctx)
	}
	return nil
}

func changeContext(in *pathgrantv1.ChangeContext) admin.Context {
	return admin.Context{Tenant: in.GetTenant(), RequestID: in.GetRequestId(), Justification: in.GetJustification()}
}

func page(size int32, token string) admin.Page { return admin.Page{Size: int(size), Token: token} }

// pageSize refuses sizes that an int32 can hold and a page can't have.
func pageSize(field string, size int32) error {
	if size < 0 || size > maxPage {
		return invalid(field, fmt.Sprintf("%d items, want 1 to %d, or 0 for 100", size, maxPage))
	}
	return nil
}
