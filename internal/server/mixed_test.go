package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pathgrant/pathgrant/internal/server"
)

const checkMethod = "/" + authorization + "/Check"

// atOnce answers checks of even length at once, and others in goroutines of their own.
type atOnce struct{ answered atomic.Int64 }

func reply(dst []byte, text string) []byte {
	wire, err := proto.Marshal(&authv3.CheckResponse{Status: &rpcstatus.Status{Message: text}})
	if err != nil {
		panic(err) // cannot be
	}
	return append(dst, wire...)
}

func (a *atOnce) AnswerAtOnce(message, dst []byte) ([]byte, bool) {
	if len(message)%2 == 1 {
		return dst, false
	}
	a.answered.Add(1)
	return reply(dst, "at once"), true
}

func (a *atOnce) Answer(_ context.Context, _, dst []byte) ([]byte, error) {
	a.answered.Add(1)
	return reply(dst, "later"), nil
}

// serveAtOnce serves checks by u as well as by grpc-go.
func serveAtOnce(t *testing.T, o server.Options, u *atOnce, address server.Address) *running {
	t.Helper()
	s := server.New(o)
	authv3.RegisterAuthorizationServer(s, checks{handle: func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		return &authv3.CheckResponse{Status: &rpcstatus.Status{Message: "by grpc-go"}}, nil
	}})
	s.AnswerUnary(checkMethod, u)
	ctx, stop := context.WithCancel(t.Context())
	r := &running{Server: s, listeners: listen(t, 0, address), stop: stop, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- s.Serve(ctx, r.listeners...)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return r
}

// ofLength is a check whose message has that length.
func ofLength(t *testing.T, n int) *authv3.CheckRequest {
	t.Helper()
	in := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Path: "/"},
	}}}
	for range n {
		if proto.Size(in) == n {
			return in
		}
		in.Attributes.Request.Http.Path += "x"
	}
	t.Fatalf("there is no check of length %d", n)
	return nil
}

func TestAllKindsOfCallsOnOneConnection(t *testing.T) {
	for _, address := range []server.Address{{Network: "tcp", Address: "127.0.0.1:0"}, unixAddress(filepath.Join(t.TempDir(), "s"))} {
		r := serveAtOnce(t, server.Options{StreamWorkers: 2}, new(atOnce), address)
		r.SetReadiness(server.Ready)
		conn := r.dial(t, 0, nil)
		client, health := authv3.NewAuthorizationClient(conn), grpc_health_v1.NewHealthClient(conn)
		watch, err := health.Watch(soon(t), &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if first, err := watch.Recv(); err != nil || first.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Fatalf("the watch begins with %v, %v", first, err)
		}
		reflected, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				for j := range 40 {
					in, want := ofLength(t, 50+i+j), "at once"
					if (i+j)%2 == 1 {
						want = "later"
					}
					var options []grpc.CallOption
					if j%10 == 0 {
						want, options = "by grpc-go", []grpc.CallOption{grpc.UseCompressor(gzip.Name)}
					}
					out, err := client.Check(soon(t), in, options...)
					if err != nil || out.GetStatus().GetMessage() != want {
						t.Errorf("a check is answered with %v, %v; want %s", out, err, want)
					}
					if _, err := health.Check(soon(t), &grpc_health_v1.HealthCheckRequest{Service: "no.such"}); status.Code(err) != codes.NotFound {
						t.Errorf("health of an unknown service: %v", err)
					}
				}
			})
		}
		all.Go(func() {
			for range 20 {
				if err := reflected.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: authorization}}); err != nil {
					t.Error(err)
				}
				if got, err := reflected.Recv(); err != nil || len(got.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
					t.Errorf("reflection: %v, %v", got, err)
				}
			}
		})
		all.Wait()
		if err := reflected.CloseSend(); err != nil {
			t.Error(err)
		}
		r.SetReadiness(server.NotReady)
		if next, err := watch.Recv(); err != nil || next.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
			t.Errorf("the watch goes on with %v, %v", next, err)
		}
		if err := conn.Invoke(soon(t), "/no.such.Service/Method", &authv3.CheckRequest{}, &authv3.CheckResponse{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("an unknown method: %v", err)
		}
	}
}

// Every call of a client that keeps 64 in flight while the server ends is answered, or is
// known to the client not to have been begun: then it tries again by itself, and finds
// the next server.
func TestDrainUnderLoadLosesNoCall(t *testing.T) {
	for round := range 3 {
		path := filepath.Join(t.TempDir(), fmt.Sprint("s", round))
		u := new(atOnce)
		first := serveAtOnce(t, server.Options{}, u, unixAddress(path))
		conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		client := authv3.NewAuthorizationClient(conn)
		ctx, stop := context.WithCancel(soon(t))
		var all sync.WaitGroup
		var asked atomic.Int64
		for i := range 64 {
			in := ofLength(t, 50+i)
			all.Go(func() {
				for ctx.Err() == nil {
					if _, err := client.Check(soon(t), in, grpc.WaitForReady(true)); err != nil {
						t.Errorf("a call was lost: %v", err)
						return
					}
					asked.Add(1)
				}
			})
		}
		eventually(t, "the load is there", func() bool { return asked.Load() > 2000 })
		first.stop()
		if err := <-first.ended; err != nil {
			t.Error(err)
		}
		before := asked.Load()
		serveAtOnce(t, server.Options{}, u, unixAddress(path))
		eventually(t, "the next server answers", func() bool { return asked.Load() > before+500 })
		stop()
		all.Wait()
		if answered, asked := u.answered.Load(), asked.Load(); answered != asked {
			t.Errorf("%d answers for %d calls: a call was begun twice or not at all", answered, asked)
		}
	}
}

func TestAnotherHTTP2Client(t *testing.T) {
	r := serveAtOnce(t, server.Options{}, new(atOnce), server.Address{Network: "tcp", Address: "127.0.0.1:0"})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	post := func(path string, header http.Header, body []byte) *http.Response {
		t.Helper()
		in, err := http.NewRequestWithContext(soon(t), http.MethodPost, "http://"+r.listeners[0].Addr().String()+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		in.Header = header
		out, err := transport.RoundTrip(in)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = out.Body.Close() })
		return out
	}
	grpcHeader := http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	for range 5 {
		out := post(checkMethod, grpcHeader, []byte{0, 0, 0, 0, 2, 0x0a, 0})
		body, err := io.ReadAll(out.Body)
		if err != nil || !strings.Contains(string(body), "at once") || out.Trailer.Get("Grpc-Status") != "0" {
			t.Errorf("a check is answered with %q, %v, %v", body, err, out.Trailer)
		}
	}
	if out := post("/", http.Header{"Content-Type": {"text/plain"}}, nil); out.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("something that is no gRPC is answered with %s", out.Status)
	}
}

func TestAPlainServiceAnswersLikeGRPC(t *testing.T) {
	fail := func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		detailed, err := status.New(codes.FailedPrecondition, "100 % – not \"so\"\n").WithDetails(&authv3.CheckRequest{})
		if err != nil {
			t.Error(err)
		}
		return nil, detailed.Err()
	}
	answers := func(plain bool, handle func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error)) (*authv3.CheckResponse, *status.Status) {
		s := server.New(server.Options{})
		if plain {
			s.RegisterPlain(&authv3.Authorization_ServiceDesc, checks{handle: handle})
		} else {
			authv3.RegisterAuthorizationServer(s, checks{handle: handle})
		}
		ctx, stop := context.WithCancel(t.Context())
		listeners := listen(t, 0, server.Address{Network: "tcp", Address: "127.0.0.1:0"})
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, listeners...) }()
		r := &running{Server: s, listeners: listeners}
		ctxCall := metadata.AppendToOutgoingContext(soon(t), "x", "y")
		out, err := authv3.NewAuthorizationClient(r.dial(t, 0, nil)).Check(ctxCall, &authv3.CheckRequest{})
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return out, status.Convert(err)
	}
	for name, handle := range map[string]func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error){
		"an answer": answer, "a status": fail,
		"another error": func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) { return nil, io.EOF },
		"a context's end": func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			return nil, context.DeadlineExceeded
		},
		"text beyond it": func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			return nil, status.Error(codes.Aborted, "é%41")
		},
		"a filled message": func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			return &authv3.CheckResponse{Status: &rpcstatus.Status{Code: 7}}, nil
		},
	} {
		plainOut, plainStatus := answers(true, handle)
		out, want := answers(false, handle)
		if !proto.Equal(plainOut, out) || !proto.Equal(plainStatus.Proto(), want.Proto()) {
			t.Errorf("%s: plain %v, %v; by grpc-go %v, %v", name, plainOut, plainStatus, out, want)
		}
	}
}

// A client of grpc-go with its default settings sends a PING for nearly every answer, to
// measure the line. That is no flood, whoever answers.
func TestAClientThatMeasuresTheLineIsLeftAlone(t *testing.T) {
	r := serveAtOnce(t, server.Options{}, new(atOnce), server.Address{Network: "tcp", Address: "127.0.0.1:0"})
	r.SetReadiness(server.Ready)
	conn := r.dial(t, 0, nil)
	checks, health := authv3.NewAuthorizationClient(conn), grpc_health_v1.NewHealthClient(conn)
	for name, call := range map[string]func() error{
		"at once": func() error { _, err := checks.Check(t.Context(), ofLength(t, 50)); return err },
		"later":   func() error { _, err := checks.Check(t.Context(), ofLength(t, 51)); return err },
		"plain":   func() error { _, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); return err },
		"by grpc-go": func() error {
			_, err := checks.Check(t.Context(), ofLength(t, 50), grpc.UseCompressor(gzip.Name))
			return err
		},
	} {
		for i := range 3000 {
			if err := call(); err != nil {
				t.Fatalf("%s, call %d: %v", name, i, err)
			}
		}
	}
}
