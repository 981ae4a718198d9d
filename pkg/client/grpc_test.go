package client_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/client"
)

const (
	unaryMethod  = "/grpc.health.v1.Health/Check"
	streamMethod = "/grpc.health.v1.Health/Watch"
)

// byMetadata believes a metadatum, as only a test may.
func byMetadata(ctx context.Context) (client.Subject, error) {
	ids := metadata.ValueFromIncomingContext(ctx, "test-user")
	switch {
	case len(ids) == 0:
		return client.Subject{}, nil
	case ids[0] == "forged":
		return client.Subject{}, errors.New("the signature does not fit")
	default:
		return user(ids[0]), nil
	}
}

// permissionFor maps the methods of the service that the tests serve: grpc's own health.
func permissionFor(_ context.Context, fullMethod string, _ client.Subject) (authz.Permission, authz.Scope) {
	switch fullMethod {
	case unaryMethod:
		return "Shop.Orders.Read", ""
	case streamMethod:
		return "Shop.Orders.Ship", "/tenants/contoso/environments/e1"
	default:
		return "", ""
	}
}

// guardedHealth serves grpc's health service behind the interceptor and tells which
// decisions its handlers saw.
func guardedHealth(t testing.TB, i *client.Interceptor, seen func(client.Decision, bool)) healthv1.HealthClient {
	t.Helper()
	l := listen(t, "tcp", "127.0.0.1:0")
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(i.Unary, func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			seen(client.DecisionFrom(ctx))
			return handler(ctx, in)
		}),
		grpc.ChainStreamInterceptor(i.Stream, func(_ any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, _ grpc.StreamHandler) error {
			seen(client.DecisionFrom(stream.Context()))
			return stream.SendMsg(&healthv1.HealthCheckResponse{})
		}),
	)
	healthv1.RegisterHealthServer(server, health.NewServer())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-served
	})
	return healthv1.NewHealthClient(conn)
}

func interceptor(t testing.TB, c client.Checker, change func(*client.GRPCOptions)) *client.Interceptor {
	t.Helper()
	o := client.GRPCOptions{Subject: byMetadata, Permission: permissionFor}
	if change != nil {
		change(&o)
	}
	i, err := client.NewInterceptor(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func as(ctx context.Context, id string) context.Context {
	if id == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "test-user", id)
}

func callUnary(ctx context.Context, c healthv1.HealthClient) error {
	_, err := c.Check(ctx, &healthv1.HealthCheckRequest{})
	return err
}

func callStream(ctx context.Context, c healthv1.HealthClient) error {
	stream, err := c.Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

func TestTheInterceptorAsksBeforeCallsAndStreams(t *testing.T) {
	c, _ := dialProduct(t)
	var got []string
	server := guardedHealth(t, interceptor(t, c, nil), func(d client.Decision, ok bool) {
		if !ok {
			t.Error("a handler saw no decision")
		}
		got = append(got, d.Reason.String()+" "+string(d.Permissions[0])+" "+string(d.Scopes[0]))
	})
	for _, test := range []struct {
		user          string
		unary, stream codes.Code
	}{
		{"ada", codes.OK, codes.OK},
		{"bob", codes.PermissionDenied, codes.PermissionDenied},
		{"eve", codes.PermissionDenied, codes.PermissionDenied},
		{"forged", codes.Unauthenticated, codes.Unauthenticated},
		{"", codes.Unauthenticated, codes.Unauthenticated},
	} {
		if err := callUnary(as(t.Context(), test.user), server); status.Code(err) != test.unary {
			t.Errorf("the call of %q ended with %v, want %v", test.user, err, test.unary)
		}
		if err := callStream(as(t.Context(), test.user), server); status.Code(err) != test.stream {
			t.Errorf("the stream of %q ended with %v, want %v", test.user, err, test.stream)
		}
	}
	want := []string{"GRANTED Shop.Orders.Read /tenants/contoso", "GRANTED Shop.Orders.Ship /tenants/contoso/environments/e1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the decisions that handlers saw (-want +got):\n%s", diff)
	}
}

func TestTheCatalogueMapsMethodsWhereTheServiceDoesNot(t *testing.T) {
	c, _ := dialProduct(t)
	var got []string
	server := guardedHealth(t, interceptor(t, c, func(o *client.GRPCOptions) {
		o.Permission, o.Headers = nil, []string{"x-environment"}
	}), func(d client.Decision, _ bool) {
		got = append(got, d.Reason.String()+" "+string(d.Permissions[0])+" "+string(d.Scopes[0]))
	})
	for _, test := range []struct {
		environments  []string
		unary, stream codes.Code
	}{
		{nil, codes.OK, codes.OK},
		{[]string{"e1"}, codes.OK, codes.OK},
		{[]string{"e2"}, codes.PermissionDenied, codes.PermissionDenied},
		{[]string{"e1", "e1"}, codes.InvalidArgument, codes.InvalidArgument},
	} {
		ctx := as(t.Context(), "ada")
		for _, e := range test.environments {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-environment", e)
		}
		if err := callUnary(ctx, server); status.Code(err) != test.unary {
			t.Errorf("in %v, the call ended with %v, want %v", test.environments, err, test.unary)
		}
		if err := callStream(ctx, server); status.Code(err) != test.stream {
			t.Errorf("in %v, the stream ended with %v, want %v", test.environments, err, test.stream)
		}
	}
	want := []string{
		"GRANTED Shop.Orders.Read /tenants/contoso", "GRANTED Shop.Orders.Ship /tenants/contoso",
		"GRANTED Shop.Orders.Read /tenants/contoso/environments/e1", "GRANTED Shop.Orders.Ship /tenants/contoso/environments/e1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the decisions that handlers saw (-want +got):\n%s", diff)
	}
}

func TestOnlyWhatIsListedIsLetThroughUnasked(t *testing.T) {
	never := checker(func(context.Context, client.Question) (client.Decision, error) {
		return client.Decision{Reason: authz.NoAssignment}, nil
	})
	tests := map[string]struct {
		open          []string
		unary, stream codes.Code
	}{
		"nothing":        {nil, codes.PermissionDenied, codes.PermissionDenied},
		"one method":     {[]string{unaryMethod}, codes.OK, codes.PermissionDenied},
		"a service":      {[]string{"/grpc.health.v1.Health/"}, codes.OK, codes.OK},
		"another one":    {[]string{"/grpc.health.v1.Health2/"}, codes.PermissionDenied, codes.PermissionDenied},
		"another method": {[]string{"/grpc.health.v1.Health/Che"}, codes.PermissionDenied, codes.PermissionDenied},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := guardedHealth(t, interceptor(t, never, func(o *client.GRPCOptions) { o.Open = test.open }), func(client.Decision, bool) {})
			if err := callUnary(as(t.Context(), "ada"), server); status.Code(err) != test.unary {
				t.Errorf("the call ended with %v, want %v", err, test.unary)
			}
			if err := callStream(as(t.Context(), "ada"), server); status.Code(err) != test.stream {
				t.Errorf("the stream ended with %v, want %v", err, test.stream)
			}
		})
	}
}

func TestWhatTheInterceptorRefusesACallWith(t *testing.T) {
	denied := client.Decision{Reason: authz.Expired, Missing: []authz.Permission{"Shop.Orders.Read", "Shop.Orders.Ship"}, ID: "1"}
	var log bytes.Buffer
	tests := map[string]struct {
		answer  client.Decision
		err     error
		change  func(*client.GRPCOptions)
		code    codes.Code
		message string
		info    *errdetails.ErrorInfo
		logged  bool
	}{
		"a denial": {
			answer: denied, code: codes.PermissionDenied,
			message: "Authorization denied: Principal missing required permissions, all of: [Shop.Orders.Read, Shop.Orders.Ship]",
			info: &errdetails.ErrorInfo{Reason: "EXPIRED", Domain: "pathgrant", Metadata: map[string]string{
				"decision_id": "1", "missing_permissions": "Shop.Orders.Read, Shop.Orders.Ship",
			}},
		},
		"a denial that tells nothing": {
			answer: denied, change: func(o *client.GRPCOptions) { o.Detail = client.DetailNone }, code: codes.PermissionDenied,
			message: "The caller is not authorized to perform the request.",
			info:    &errdetails.ErrorInfo{Reason: "REFUSED", Domain: "pathgrant", Metadata: map[string]string{"decision_id": "1"}},
		},
		"a method that nobody mapped": {
			change: func(o *client.GRPCOptions) {
				o.Permission = func(context.Context, string, client.Subject) (authz.Permission, authz.Scope) {
					return "", "/tenants/contoso"
				}
			},
			code: codes.PermissionDenied, message: "Authorization denied: the service names no permission for the method",
			info: &errdetails.ErrorInfo{Reason: "UNMAPPED", Domain: "pathgrant"},
		},
		"a bad question": {
			answer: client.Decision{Reason: authz.BadRequest, Detail: "scope"}, code: codes.InvalidArgument, message: "Authorization denied: scope",
			info: &errdetails.ErrorInfo{Reason: "BAD_REQUEST", Domain: "pathgrant"},
		},
		"a store that is not ready": {
			answer: client.Decision{Reason: authz.NotReady}, code: codes.Unavailable, message: "Authorization denied: NOT_READY",
			info: &errdetails.ErrorInfo{Reason: "NOT_READY", Domain: "pathgrant"},
		},
		"no answer": {
			answer: client.Decision{Reason: authz.Granted}, err: errors.New("nobody listens"), code: codes.Unavailable,
			message: "Authorization denied: the authorization service gave no answer",
			info:    &errdetails.ErrorInfo{Reason: "INTERNAL", Domain: "pathgrant"}, logged: true,
		},
		"an error of the service's own": {
			answer: denied, change: func(o *client.GRPCOptions) {
				o.Refuse = func(context.Context, string, client.Refusal) error {
					return status.Error(codes.NotFound, "no such thing")
				}
			},
			code: codes.NotFound, message: "no such thing",
		},
		"no error is no pass": {
			answer: client.Decision{Reason: authz.PrincipalDisabled}, change: func(o *client.GRPCOptions) {
				o.Refuse = func(context.Context, string, client.Refusal) error { return nil }
			},
			code: codes.PermissionDenied, message: "Authorization denied: the caller's account is disabled",
			info: &errdetails.ErrorInfo{Reason: "PRINCIPAL_DISABLED", Domain: "pathgrant"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			log.Reset()
			c := checker(func(context.Context, client.Question) (client.Decision, error) { return test.answer, test.err })
			server := guardedHealth(t, interceptor(t, c, func(o *client.GRPCOptions) {
				o.Log = slog.New(slog.NewTextHandler(&log, nil))
				if test.change != nil {
					test.change(o)
				}
			}), func(client.Decision, bool) { t.Error("the call was let through") })
			got := status.Convert(callUnary(as(t.Context(), "ada"), server))
			if got.Code() != test.code || got.Message() != test.message {
				t.Errorf("the call ended with %v, want %v: %s", got, test.code, test.message)
			}
			var info *errdetails.ErrorInfo
			for _, detail := range got.Details() {
				info, _ = detail.(*errdetails.ErrorInfo)
			}
			if info.GetReason() != test.info.GetReason() || info.GetDomain() != test.info.GetDomain() || !cmp.Equal(info.GetMetadata(), test.info.GetMetadata()) {
				t.Errorf("the details are %v, want %v", info, test.info)
			}
			if logged := log.Len() > 0; logged != test.logged {
				t.Errorf("the log says %q", log.String())
			}
		})
	}
}

func TestAMethodWithoutItsSlashIsNotAnotherMethod(t *testing.T) {
	allow := checker(func(context.Context, client.Question) (client.Decision, error) {
		return client.Decision{Reason: authz.Granted}, nil
	})
	i := interceptor(t, allow, func(o *client.GRPCOptions) {
		o.Permission = func(context.Context, string, client.Subject) (authz.Permission, authz.Scope) {
			return "Shop.Orders.Read", ""
		}
	})
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("test-user", "ada"))
	for _, method := range []string{"", "shop.v1.Orders/Ship", "Ship"} {
		_, err := i.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) {
			t.Errorf("%q was let through", method)
			return nil, nil
		})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q ended with %v", method, err)
		}
	}
}

func TestNewInterceptorReportsAllThatIsWrong(t *testing.T) {
	_, err := client.NewInterceptor(nil, client.GRPCOptions{Headers: []string{"X-Environment"}, Open: []string{"/a.B/C", "", "a.B/C", "/a.B", "/", "//C", "/a.B/*", "/a/b/c"}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"checker", "subject", `headers[0]: "X-Environment"`, `open[1]: ""`, `open[2]: "a.B/C"`, `open[3]: "/a.B"`, `open[4]: "/"`, `open[5]: "//C"`, `open[6]: "/a.B/*"`, `open[7]: "/a/b/c"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "open[0]") {
		t.Errorf("the error names open[0]:\n%v", err)
	}
}
