package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// GRPCOptions say how an [Interceptor] asks.
type GRPCOptions struct {
	// Subject says who makes the call, from an identity that the service has verified; it
	// must not be nil. For a call without credentials it returns the zero Subject, and for
	// credentials that it refuses an error: both end the call with UNAUTHENTICATED.
	Subject func(ctx context.Context) (Subject, error)
	// Permission says which permission at which scope a method such as
	// /shop.v1.Orders/ListOrders needs. Without a scope it is the subject's tenant. A method
	// for which it returns no permission is denied. Nil: the grpc section of the catalogue
	// says it.
	Permission func(ctx context.Context, fullMethod string, s Subject) (authz.Permission, authz.Scope)
	// Headers are the names, in lower case, of the metadata by which the grpc section of the
	// catalogue finds a call's scope. A value that is sent twice refuses the call.
	Headers []string
	// Open lists what is let through unasked: a method, such as
	// /grpc.health.v1.Health/Check, or with a slash at its end all methods of a service,
	// such as /grpc.reflection.v1.ServerReflection/. Nothing is, unless it is listed.
	Open []string
	// Catalogue knows the permissions; empty: the server's default.
	Catalogue string
	// Detail is how much a refusal tells.
	Detail Detail
	// Refuse makes the error that a call is refused with, in the place of
	// [Refusal.GRPCError]. If it returns nil, GRPCError does.
	Refuse func(ctx context.Context, fullMethod string, refusal Refusal) error
	// Log is told of calls on which there was no decision; nil: nobody is.
	Log *slog.Logger
}

// An Interceptor asks, before every call that a gRPC server serves, whether the subject may
// make it. It is safe for concurrent use.
//
// A call that is let through has the decision in its context (see [DecisionFrom]). A stream
// is asked about once, when it begins.
type Interceptor struct {
	checker Checker
	o       GRPCOptions
	open    map[string]bool
}

// NewInterceptor returns an interceptor, or an error that reports everything that is wrong
// with the options.
func NewInterceptor(c Checker, o GRPCOptions) (*Interceptor, error) {
	var errs []error
	if c == nil {
		errs = append(errs, errors.New("a checker is needed"))
	}
	if o.Subject == nil {
		errs = append(errs, errors.New("subject: a function is needed that says who makes a call"))
	}
	for i, name := range o.Headers {
		if name == "" || name != strings.ToLower(name) {
			errs = append(errs, fmt.Errorf("headers[%d]: %q: want a name in lower case", i, name))
		}
	}
	open := make(map[string]bool, len(o.Open))
	for i, name := range o.Open {
		service, _, ok := strings.Cut(strings.TrimPrefix(name, "/"), "/")
		if !ok || service == "" || name[0] != '/' || strings.Count(name, "/") != 2 || strings.Contains(name, "*") {
			errs = append(errs, fmt.Errorf("open[%d]: %q: want /package.Service/Method or /package.Service/", i, name))
		}
		open[name] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("pathgrant interceptor: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Interceptor{checker: c, o: o, open: open}, nil
}

// Unary asks before unary calls. It is a [grpc.UnaryServerInterceptor].
func (i *Interceptor) Unary(ctx context.Context, in any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := i.check(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, in)
}

// Stream asks before streams. It is a [grpc.StreamServerInterceptor].
func (i *Interceptor) Stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := i.check(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(server, &decidedStream{stream, ctx})
}

// decidedStream is a stream with the decision in its context.
type decidedStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements [grpc.ServerStream].
func (s *decidedStream) Context() context.Context { return s.ctx }

// check returns the context of a call that is let through, or the error that refuses it.
func (i *Interceptor) check(ctx context.Context, fullMethod string) (context.Context, error) {
	if i.open[fullMethod] || i.open[fullMethod[:strings.LastIndexByte(fullMethod, '/')+1]] {
		return ctx, nil
	}
	d, refusal := i.decide(ctx, fullMethod)
	if refusal == nil {
		return withDecision(ctx, d), nil
	}
	if refusal.Err != nil {
		i.o.Log.WarnContext(ctx, "call refused without a decision", "method", fullMethod, "reason", refusal.Decision.Reason.String(), "err", refusal.Err)
	}
	if i.o.Refuse != nil {
		if err := i.o.Refuse(ctx, fullMethod, *refusal); err != nil {
			return nil, err
		}
	}
	return nil, refusal.GRPCError(i.o.Detail)
}

func (i *Interceptor) decide(ctx context.Context, fullMethod string) (Decision, *Refusal) {
	if !strings.HasPrefix(fullMethod, "/") { // another spelling of a method that Permission may single out
		return Decision{}, &Refusal{Decision: Decision{Reason: authz.BadRequest, Detail: "the method does not begin with a slash"}}
	}
	subject, err := i.o.Subject(ctx)
	if err == nil {
		err = subject.Validate()
	}
	if err != nil {
		return Decision{}, &Refusal{Decision: Decision{Reason: authz.Unauthenticated, Detail: "the credentials were refused"}, Err: err}
	}
	if subject.nobody() {
		return Decision{}, &Refusal{Decision: Decision{Reason: authz.Unauthenticated, Detail: "the call carries no credentials"}}
	}
	question := Question{Subject: subject, Catalogue: i.o.Catalogue}
	if i.o.Permission == nil {
		if question.HTTP, err = i.request(ctx, fullMethod); err != nil {
			return Decision{}, &Refusal{Decision: Decision{Reason: authz.BadRequest, Detail: err.Error()}}
		}
	} else {
		question.Permission, question.Scope = i.o.Permission(ctx, fullMethod, subject)
		if question.Permission == "" {
			return Decision{}, &Refusal{Decision: Decision{Reason: authz.Unmapped, Detail: "the service names no permission for the method"}}
		}
		if question.Scope == "" {
			question.Scope = authz.NamedScope{Kind: authz.TenantScope}.In(subject.Tenant)
		}
	}
	d, err := i.checker.Check(ctx, question)
	switch {
	case err != nil:
		refusal := refusalOf(err)
		return Decision{}, &refusal
	case !d.Allowed():
		return Decision{}, &Refusal{Decision: d}
	}
	return d, nil
}

// request is the call as the catalogue's grpc section maps it.
func (i *Interceptor) request(ctx context.Context, fullMethod string) (*HTTPRequest, error) {
	r := &HTTPRequest{Method: http.MethodPost, Path: fullMethod, GRPC: true}
	for _, name := range i.o.Headers {
		switch values := metadata.ValueFromIncomingContext(ctx, name); len(values) {
		case 0:
		case 1:
			if r.Headers == nil {
				r.Headers = make(map[string]string, len(i.o.Headers))
			}
			r.Headers[name] = values[0]
		default:
			return nil, fmt.Errorf("the metadata %s is there %d times", name, len(values))
		}
	}
	return r, nil
}

// errorDomain is the domain of the reasons in a gRPC error's details.
const errorDomain = "pathgrant"

// GRPCError returns the refusal as a gRPC status: its code, its message, and a
// google.rpc.ErrorInfo with the reason (such as NO_ASSIGNMENT; with [DetailNone] always
// REFUSED) and, where there are any, decision_id and missing_permissions.
func (r Refusal) GRPCError(detail Detail) error {
	s := status.New(r.GRPCCode(), r.Message(detail))
	info := &errdetails.ErrorInfo{Reason: "REFUSED", Domain: errorDomain, Metadata: map[string]string{}}
	if r.Decision.ID != "" {
		info.Metadata["decision_id"] = r.Decision.ID
	}
	if detail != DetailNone {
		info.Reason = r.Decision.Reason.String()
		if len(r.Decision.Missing) > 0 {
			info.Metadata["missing_permissions"] = joined(r.Decision.Missing)
		}
	}
	if detailed, err := s.WithDetails(info); err == nil {
		return detailed.Err()
	}
	return s.Err()
}
