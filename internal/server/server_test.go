package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/server"
)

const authorization = "envoy.service.auth.v3.Authorization"

// checks answers every check by handle.
type checks struct {
	authv3.UnimplementedAuthorizationServer
	handle func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error)
}

func (c checks) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return c.handle(ctx, in)
}

func answer(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{}, nil
}

// running is a server that serves until the test ends.
type running struct {
	*server.Server
	listeners []net.Listener
	stop      context.CancelFunc
	ended     chan error // gets Serve's error
}

func serve(t *testing.T, o server.Options, handle func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error), addresses ...server.Address) *running {
	t.Helper()
	if len(addresses) == 0 {
		addresses = []server.Address{{Network: "tcp", Address: "127.0.0.1:0"}}
	}
	s := server.New(o)
	authv3.RegisterAuthorizationServer(s, checks{handle: handle})
	ctx, stop := context.WithCancel(t.Context())
	r := &running{Server: s, listeners: listen(t, 0, addresses...), stop: stop, ended: make(chan error, 1)}
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

// dial connects to one of the server's listeners.
func (r *running) dial(t *testing.T, listener int, creds credentials.TransportCredentials, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	a := r.listeners[listener].Addr()
	target := "passthrough:///" + a.String()
	if a.Network() == "unix" {
		target = "unix:" + a.String()
	}
	conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(creds))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// soon bounds a call, so that a test that hangs fails.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func healthOf(t *testing.T, conn *grpc.ClientConn, service string) string {
	t.Helper()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(soon(t), &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		return status.Code(err).String()
	}
	return answer.GetStatus().String()
}

func TestServesOnTCPAndUnixAtOnce(t *testing.T) {
	r := serve(t, server.Options{StreamWorkers: 2, MaxConnections: 3}, answer,
		server.Address{Network: "tcp", Address: "127.0.0.1:0"}, unixAddress(filepath.Join(t.TempDir(), "s")))
	for i := range r.listeners {
		if _, err := authv3.NewAuthorizationClient(r.dial(t, i, nil)).Check(soon(t), &authv3.CheckRequest{}); err != nil {
			t.Errorf("listener %d: %v", i, err)
		}
	}
}

func TestHealthFollowsReadinessForEveryService(t *testing.T) {
	r := serve(t, server.Options{}, answer)
	conn := r.dial(t, 0, nil)
	for _, step := range []struct {
		set  server.Readiness
		want string
	}{
		{server.NotReady, "NOT_SERVING"}, {server.Ready, "SERVING"}, {server.Degraded, "SERVING"},
		{server.NotReady, "NOT_SERVING"}, {server.Degraded, "SERVING"}, {server.Readiness(9), "NOT_SERVING"},
	} {
		r.SetReadiness(step.set)
		for _, service := range []string{"", authorization, "grpc.health.v1.Health"} {
			if got := healthOf(t, conn, service); got != step.want {
				t.Errorf("%s: health of %q is %s, want %s", step.set, service, got, step.want)
			}
		}
	}
	if got := healthOf(t, conn, "no.such.Service"); got != "NotFound" {
		t.Errorf("health of an unknown service is %s, want NotFound", got)
	}
}

func TestReadinessIsFollowed(t *testing.T) {
	s := server.New(server.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	err := s.FollowReadiness(ctx, time.Microsecond, never, func() server.Readiness {
		if asked++; asked == 1 {
			return server.Ready
		}
		cancel() // it may be asked once more before it sees this
		return server.Degraded
	})
	if err != nil {
		t.Error(err)
	}
	if got := s.Readiness(); got != server.Degraded {
		t.Errorf("Readiness() = %s, want degraded", got)
	}
}

// never is for what does not change.
func never() <-chan struct{} { return nil }

// A change is followed at once, also one that comes while readiness is being looked at.
func TestReadinessFollowsAChangeAtOnce(t *testing.T) {
	s := server.New(server.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	change := make(chan struct{})
	asked := 0
	err := s.FollowReadiness(ctx, time.Hour, func() <-chan struct{} { return change }, func() server.Readiness {
		if asked++; asked == 1 {
			close(change)
			return server.NotReady
		}
		cancel()
		return server.Ready
	})
	if err != nil || s.Readiness() != server.Ready {
		t.Errorf("Readiness() = %s, %v, want ready", s.Readiness(), err)
	}
}

func TestReflectionListsTheServices(t *testing.T) {
	r := serve(t, server.Options{}, answer)
	stream, err := reflectionv1.NewServerReflectionClient(r.dial(t, 0, nil)).ServerReflectionInfo(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	got, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, s := range got.GetListServicesResponse().GetService() {
		found = found || s.GetName() == authorization
	}
	if !found {
		t.Errorf("%s is not among %v", authorization, got)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

func TestDrainTellsHealthThenFinishesWhatIsInFlight(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	r := serve(t, server.Options{DrainDelay: time.Second, DrainTimeout: time.Minute}, func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		close(entered)
		<-release
		return &authv3.CheckResponse{}, nil
	})
	r.SetReadiness(server.Ready)
	conn := r.dial(t, 0, nil)
	watch, err := grpc_health_v1.NewHealthClient(conn).Watch(soon(t), &grpc_health_v1.HealthCheckRequest{Service: authorization})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watch.Recv(); err != nil || first.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("first news of health: %v, %v", first, err)
	}
	inFlight := make(chan error, 1)
	go func() {
		_, err := authv3.NewAuthorizationClient(conn).Check(soon(t), &authv3.CheckRequest{})
		inFlight <- err
	}()
	<-entered

	r.stop()
	if second, err := watch.Recv(); err != nil || second.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("second news of health: %v, %v", second, err)
	}
	if got := healthOf(t, conn, ""); got != "NOT_SERVING" {
		t.Errorf("health during the delay is %s; want an answer, NOT_SERVING", got)
	}
	r.SetReadiness(server.Ready)
	if got := r.Readiness(); got != server.NotReady {
		t.Errorf("Readiness() while ending = %s, want not ready", got)
	}
	// The watch ends with the delay, although its client would go on: it must not hold up
	// the end.
	if _, err := watch.Recv(); err == nil {
		t.Error("the watch of health goes on")
	}
	select {
	case err := <-r.ended:
		t.Fatalf("Serve ended with a call in flight: %v", err)
	default:
	}
	close(release)
	if err := <-inFlight; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestDrainBreaksOffWhatTakesTooLong(t *testing.T) {
	entered := make(chan struct{})
	r := serve(t, server.Options{DrainTimeout: 10 * time.Millisecond}, func(ctx context.Context, _ *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	inFlight := make(chan error, 1)
	conn := r.dial(t, 0, nil)
	go func() {
		_, err := authv3.NewAuthorizationClient(conn).Check(soon(t), &authv3.CheckRequest{})
		inFlight <- err
	}()
	<-entered
	r.stop()
	if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Errorf("Serve: %v", err)
	}
	if err := <-inFlight; err == nil {
		t.Error("the call was answered")
	}
}

func TestAListenerThatFailsEndsServe(t *testing.T) {
	r := serve(t, server.Options{DrainDelay: time.Hour}, answer,
		server.Address{Network: "tcp", Address: "127.0.0.1:0"}, unixAddress(filepath.Join(t.TempDir(), "s")))
	conn := r.dial(t, 1, nil)
	if _, err := authv3.NewAuthorizationClient(conn).Check(soon(t), &authv3.CheckRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := r.listeners[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-r.ended; !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "tcp://127.0.0.1:") {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeIsCalledOnceAndWithListeners(t *testing.T) {
	s := server.New(server.Options{})
	if err := s.Serve(t.Context()); err == nil {
		t.Error("no listener: no error")
	}
	l := listen(t, 0, server.Address{Network: "tcp", Address: "127.0.0.1:0"})[0]
	if err := s.Serve(t.Context(), l); err == nil {
		t.Error("second call: no error")
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener of the second call is left open: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("RegisterService after Serve does not panic")
		}
	}()
	authv3.RegisterAuthorizationServer(s, checks{handle: answer})
}

// rawCodec sends bytes as they are and drops what comes back.
type rawCodec struct{}

func (rawCodec) Name() string                         { return "proto" }
func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	body, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is not bytes", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(body)}, nil
}

var _ encoding.CodecV2 = rawCodec{}

// frame is a request that reads itself, and a response that is written already.
type frame struct{ bytes []byte }

func (f *frame) ReadFrame(data mem.BufferSlice) { f.bytes = data.Materialize() }
func (f *frame) Frame() mem.BufferSlice         { return mem.BufferSlice{mem.SliceBuffer(f.bytes)} }

var (
	_ server.FrameReader = (*frame)(nil)
	_ server.FrameWriter = (*frame)(nil)
)

func TestARequestThatReadsItselfGetsWhateverCame(t *testing.T) {
	codec := server.Codec()
	for _, body := range [][]byte{nil, {0xff}, []byte("\x0a\x03abc")} {
		var f frame
		if err := codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(body)}, &f); err != nil {
			t.Errorf("%q: %v, which a proxy may take for a pass", body, err)
		}
		out, err := codec.Marshal(&f)
		if err != nil || !bytes.Equal(out.Materialize(), body) {
			t.Errorf("%q comes back as %q, %v", body, out.Materialize(), err)
		}
	}
}

func TestAnotherMessageThatCannotBeReadFailsItsCall(t *testing.T) {
	r := serve(t, server.Options{}, answer)
	conn := r.dial(t, 0, nil, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
	if err := conn.Invoke(soon(t), "/grpc.health.v1.Health/Check", []byte{0xff}, new([]byte)); status.Code(err) != codes.Internal {
		t.Errorf("%v, want Internal", err)
	}
}

func TestLimits(t *testing.T) {
	r := serve(t, server.Options{}, answer)
	client := authv3.NewAuthorizationClient(r.dial(t, 0, nil, grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(128<<20))))
	check := func(headers int, body int) error {
		ctx := metadata.AppendToOutgoingContext(soon(t), "x-filler", strings.Repeat("x", headers))
		_, err := client.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Body: strings.Repeat("x", body)}},
		}})
		return err
	}
	if err := check(60<<10, 8<<20); err != nil {
		t.Errorf("60 KiB of headers and 8 MiB of message: %v", err)
	}
	if err := check(70<<10, 0); err == nil {
		t.Error("70 KiB of headers: no error")
	}
	if err := check(0, 65<<20); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("65 MiB of message: %v, want ResourceExhausted", err)
	}
}

func TestStreamsOfOneConnectionAreBounded(t *testing.T) {
	entered, release := make(chan struct{}, 3), make(chan struct{})
	r := serve(t, server.Options{MaxConcurrentStreams: 2}, func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		entered <- struct{}{}
		<-release
		return &authv3.CheckResponse{}, nil
	})
	client := authv3.NewAuthorizationClient(r.dial(t, 0, nil))
	results := make(chan error, 3)
	// A first call, so that the client has read the server's settings.
	go func() { _, err := client.Check(soon(t), &authv3.CheckRequest{}); results <- err }()
	<-entered
	for range 2 {
		go func() { _, err := client.Check(soon(t), &authv3.CheckRequest{}); results <- err }()
	}
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := client.Check(ctx, &authv3.CheckRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a call beyond the limit: %v, want that it waits", err)
	}
	if len(entered) > 0 {
		t.Error("three calls run at once")
	}
	close(release)
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}
