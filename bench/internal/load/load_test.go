package load_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pathgrant/pathgrant/bench/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const method = "/envoy.service.auth.v3.Authorization/Check"

// A server answers as the function says.
type server struct {
	authv3.UnimplementedAuthorizationServer
	check func() (*authv3.CheckResponse, error)
}

func (s server) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return s.check()
}

// serve starts a gRPC server on a socket.
func serve(t *testing.T, network string, check func() (*authv3.CheckResponse, error), options ...grpc.ServerOption) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(options...)
	authv3.RegisterAuthorizationServer(s, server{check: check})
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// target asks so many different questions.
func target(t *testing.T, network, address string, questions int, verify func(int, *load.Answer) error) *load.Target {
	t.Helper()
	var messages [][]byte
	for i := range questions {
		message, err := proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			ContextExtensions: map[string]string{"n": strings.Repeat("x", 2000+i)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, message)
	}
	requests, err := load.GRPC(method, messages)
	if err != nil {
		t.Fatal(err)
	}
	return &load.Target{Network: network, Address: address, Requests: requests, Verify: verify}
}

func anything(int, *load.Answer) error { return nil }

func allow() (*authv3.CheckResponse, error) { return &authv3.CheckResponse{}, nil }

func TestEveryAnswerIsVerified(t *testing.T) {
	// An answer of several frames, and more of them than windows and the ring of calls hold.
	long := strings.Repeat("x", 40_000)
	check := func() (*authv3.CheckResponse, error) {
		return &authv3.CheckResponse{HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x", Value: long}}},
		}}}, nil
	}
	for _, network := range []string{"unix", "tcp"} {
		verified := 0
		target := target(t, network, serve(t, network, check), 2, func(request int, a *load.Answer) error {
			if request != verified%2 && request != (verified+1)%2 {
				return fmt.Errorf("an answer to request %d", request)
			}
			verified++
			message, err := a.Message()
			if err != nil {
				return err
			}
			if a.Status != "200" || a.GRPCStatus != "0" || len(message) < len(long) {
				return fmt.Errorf("%s, %s, %d bytes", a.Status, a.GRPCStatus, len(message))
			}
			return nil
		})
		c, err := load.Dial(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		const sent = 10_000
		n, err := c.Closed(t.Context(), 64, func(n int, _ time.Time) bool { return n == sent })
		if n != sent || verified != sent || err != nil {
			t.Errorf("%s: %d answered, %d verified: %v", network, n, verified, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAWrongAnswerEndsTheLoad(t *testing.T) {
	wrong := errors.New("not what it must be")
	var verified atomic.Int64
	target := target(t, "unix", serve(t, "unix", allow), 2, func(request int, _ *load.Answer) error {
		if verified.Add(1) > 100 && request == 1 {
			return wrong
		}
		return nil
	})
	for name, round := range map[string]load.Round{
		"closed": {InFlight: 4, Length: time.Minute},
		"open":   {Rate: 5000, Length: time.Minute},
	} {
		verified.Store(0)
		if _, err := load.Measure(t.Context(), target, round); !errors.Is(err, wrong) || !strings.Contains(err.Error(), "request 1: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACallThatFailsSaysWhy(t *testing.T) {
	check := func() (*authv3.CheckResponse, error) { return nil, status.Error(codes.Internal, "broken") }
	var got load.Answer
	target := target(t, "unix", serve(t, "unix", check), 1, func(_ int, a *load.Answer) error {
		got = *a
		return nil
	})
	if _, err := load.Measure(t.Context(), target, load.Round{InFlight: 1, Length: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if got.Status != "200" || got.GRPCStatus != "13" || got.GRPCMessage != "broken" || len(got.Body) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAnOpenLoopCountsFromWhenACallWasDue(t *testing.T) {
	// A call a millisecond for a tenth of a second; the server takes one at a time, and
	// 80 ms for the first. Of the 100 calls, those due in the first 60 ms wait for 20 ms
	// and longer, most of which they are not even sent: more than half of all.
	var calls atomic.Int64
	check := func() (*authv3.CheckResponse, error) {
		if calls.Add(1) == 1 {
			<-time.After(80 * time.Millisecond)
		}
		return &authv3.CheckResponse{}, nil
	}
	target := target(t, "unix", serve(t, "unix", check, grpc.MaxConcurrentStreams(1)), 1, anything)
	result, err := load.Measure(t.Context(), target, load.Round{Rate: 1000, Length: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if result.Answered != 100 || result.P50 < 20*time.Millisecond || result.P99 < 75*time.Millisecond || result.Lag < 50*time.Millisecond {
		t.Errorf("%d answered, p50 %v, p99 %v, lag %v", result.Answered, result.P50, result.P99, result.Lag)
	}
}

func TestAnOpenLoopDoesNotWaitForAnswers(t *testing.T) {
	// Nobody is answered before 50 calls are there: a closed loop with fewer in flight
	// would never end.
	var calls atomic.Int64
	enough := make(chan struct{})
	check := func() (*authv3.CheckResponse, error) {
		if calls.Add(1) == 50 {
			close(enough)
		}
		<-enough
		return &authv3.CheckResponse{}, nil
	}
	target := target(t, "tcp", serve(t, "tcp", check), 1, anything)
	target.Spin = true
	result, err := load.Measure(t.Context(), target, load.Round{Rate: 5000, Length: 20 * time.Millisecond})
	if err != nil || result.Answered != 100 {
		t.Errorf("%d answered: %v", result.Answered, err)
	}
}

func TestTheScheduleOfAnOpenLoop(t *testing.T) {
	for _, test := range []struct {
		call      int
		perSecond float64
		want      time.Duration
	}{
		{0, 3000, 0},
		{1, 3000, 333333 * time.Nanosecond},
		{3, 3000, time.Millisecond},
		{3_000_000, 3000, 1000 * time.Second}, // nothing adds up
		{10, 0.5, 20 * time.Second},
	} {
		if got := load.Due(test.call, test.perSecond); got != test.want {
			t.Errorf("call %d of %v in a second: %v, want %v", test.call, test.perSecond, got, test.want)
		}
	}
	target := target(t, "unix", serve(t, "unix", allow), 1, anything)
	for _, round := range []load.Round{{Rate: 0.001, Length: -time.Second}, {Rate: -1, Length: time.Second}} {
		if _, err := load.Measure(t.Context(), target, round); err == nil {
			t.Errorf("%+v is no load, but runs", round)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, test := range []struct {
		of   []time.Duration
		q    float64
		want time.Duration
	}{
		{nil, 0.5, 0},
		{[]time.Duration{7}, 0, 7},
		{[]time.Duration{7}, 0.999, 7},
		{[]time.Duration{1, 2, 3}, 0.5, 2},
		{[]time.Duration{1, 2, 3, 4}, 0.5, 2},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 0.999, 100},
		{hundred, 1, 100},
	} {
		if got := load.Quantile(test.of, test.q); got != test.want {
			t.Errorf("quantile %v of %d values: %d, want %d", test.q, len(test.of), got, test.want)
		}
	}
}

func TestOnceSendsEveryRequestOnce(t *testing.T) {
	var seen [100]int
	target := target(t, "unix", serve(t, "unix", allow), len(seen), func(request int, _ *load.Answer) error {
		seen[request]++
		return nil
	})
	result, err := load.Measure(t.Context(), target, load.Round{InFlight: 16, Once: true})
	if err != nil || result.Answered != len(seen) {
		t.Fatalf("%d answered: %v", result.Answered, err)
	}
	for request, n := range seen {
		if n != 1 {
			t.Errorf("request %d was sent %d times", request, n)
		}
	}
}

func TestALoadEndsWithItsContext(t *testing.T) {
	hang := make(chan struct{})
	check := func() (*authv3.CheckResponse, error) {
		<-hang
		return &authv3.CheckResponse{}, nil
	}
	address := serve(t, "unix", check)
	t.Cleanup(func() { close(hang) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := load.Measure(ctx, target(t, "unix", address, 1, anything), load.Round{InFlight: 1, Length: time.Minute})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestWhatCannotBeAskedIsAnError(t *testing.T) {
	address := serve(t, "tcp", allow)
	good := target(t, "tcp", address, 1, anything)
	for name, change := range map[string]func(*load.Target){
		"no requests":           func(t *load.Target) { t.Requests = nil },
		"no such network":       func(t *load.Target) { t.Network = "udp" },
		"a name":                func(t *load.Target) { t.Address = "localhost:80" },
		"nobody listens":        func(t *load.Target) { t.Network, t.Address = "unix", filepath.Join(filepath.Dir("/nowhere/x"), "s") },
		"TLS where there is no": func(t *load.Target) { t.TLS = &tls.Config{ServerName: "x", MinVersion: tls.VersionTLS13} },
	} {
		bad := *good
		change(&bad)
		if c, err := load.Dial(t.Context(), &bad); err == nil {
			t.Errorf("%s: no error", name)
			_ = c.Close()
		}
	}
	if _, err := load.GRPC(method, [][]byte{make([]byte, 1<<14)}); err == nil {
		t.Error("a message larger than a frame is encoded")
	}
}

func TestMessagesAreWhole(t *testing.T) {
	for name, test := range map[string]struct {
		body []byte
		want string
		ok   bool
	}{
		"whole":      {[]byte{0, 0, 0, 0, 2, 'h', 'i'}, "hi", true},
		"empty":      {[]byte{0, 0, 0, 0, 0}, "", true},
		"nothing":    {nil, "", false},
		"cut off":    {[]byte{0, 0, 0, 0, 2, 'h'}, "", false},
		"two":        {[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "", false},
		"compressed": {[]byte{1, 0, 0, 0, 0}, "", false},
	} {
		got, err := (&load.Answer{Body: test.body}).Message()
		if string(got) != test.want || (err == nil) != test.ok {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
