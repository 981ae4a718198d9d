package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

func TestTheNearestPlaceThatSpeaksIsExpectedToDecide(t *testing.T) {
	// Environment 3 is in group 3, and so are 13 and 23. User 5 is in group 5 of users.
	w := &world{at: map[string]map[string]held{}}
	w.give("User", userID(5), reader, envGroupPlace(3), "")
	w.give("User", userID(5), contributor, envPlace(13), "")
	w.give("User", userID(5), contributor, envPlace(23), "DENY")
	w.give("Group", groupID(5), reader, envPlace(23), "")
	w.give("Group", groupID(5), reader, envPlace(4), "")
	for _, test := range []struct {
		user, env int
		changes   bool
		want      string
	}{
		{5, 3, false, "GRANTED"},
		{5, 3, true, "NO_ASSIGNMENT"},
		{5, 13, true, "GRANTED"},
		{5, 23, false, "OVERRIDDEN"},
		{5, 23, true, "OVERRIDDEN"},
		{5, 4, false, "GRANTED"},
		{5, 4, true, "NO_ASSIGNMENT"},
		{5, 5, false, "NO_ASSIGNMENT"},
		{105, 4, false, "GRANTED"}, // in the same group
		{6, 3, false, "NO_ASSIGNMENT"},
	} {
		if got := w.expect(test.user, test.env, test.changes); got != test.want {
			t.Errorf("user %d, environment %d, changes %v: %s, want %s", test.user, test.env, test.changes, got, test.want)
		}
	}
}

func TestTheWorldIsAsLargeAsItSays(t *testing.T) {
	w := newWorld()
	seen := map[assignment]bool{}
	for _, a := range w.assignments {
		a.Effect = ""
		seen[a] = true
	}
	if len(w.assignments) != 10_000 || len(seen) != 10_000 {
		t.Errorf("%d assignments, %d different ones", len(w.assignments), len(seen))
	}
	issuer, err := pgtest.NewIssuer("test")
	if err != nil {
		t.Fatal(err)
	}
	requests, err := w.requests(issuer)
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, r := range requests {
		reasons[r.reason]++
	}
	if len(requests) != 1024 || reasons["GRANTED"] != 512 || reasons["OVERRIDDEN"] < 50 || reasons["NO_ASSIGNMENT"] < 50 {
		t.Errorf("%d requests: %v", len(requests), reasons)
	}
}

// message is an answer with its gRPC prefix.
func message(t *testing.T, answer *authv3.CheckResponse) []byte {
	t.Helper()
	body, err := proto.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{0, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)
}

func TestAWrongAnswerIsFound(t *testing.T) {
	allowed := &authv3.CheckResponse{
		Status:       &rpcstatus.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{HeadersToRemove: []string{"x"}}},
	}
	denied := &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: 7, Message: "OVERRIDDEN"},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{Body: "{}"}},
	}
	unavailable := proto.CloneOf(denied)
	unavailable.Status.Message = "NOT_READY"
	contradicting := proto.CloneOf(denied)
	contradicting.Status = &rpcstatus.Status{}
	for name, test := range map[string]struct {
		message []byte
		want    string
		wrong   string // part of the error
	}{
		"allowed":             {message(t, allowed), "GRANTED", ""},
		"denied":              {message(t, denied), "OVERRIDDEN", ""},
		"wrongly allowed":     {message(t, allowed), "OVERRIDDEN", `code 0 "", want OVERRIDDEN`},
		"wrongly denied":      {message(t, denied), "GRANTED", `code 7 "OVERRIDDEN", want GRANTED`},
		"another reason":      {message(t, denied), "NO_ASSIGNMENT", "want NO_ASSIGNMENT"},
		"its own fault":       {message(t, unavailable), "OVERRIDDEN", "NOT_READY"},
		"contradicting":       {message(t, contradicting), "GRANTED", "want GRANTED"},
		"no status":           {message(t, &authv3.CheckResponse{HttpResponse: allowed.HttpResponse}), "GRANTED", "no status"},
		"empty":               {message(t, &authv3.CheckResponse{}), "GRANTED", "no status"},
		"nothing":             {nil, "GRANTED", "not one whole message"},
		"cut off":             {message(t, denied)[:20], "OVERRIDDEN", "not one whole message"},
		"no protobuf":         {[]byte{0, 0, 0, 0, 2, 0xFF, 0xFF}, "GRANTED", "unexpected EOF"},
		"two in one":          {append(message(t, allowed), message(t, allowed)...), "GRANTED", "not one whole message"},
		"status after answer": {append([]byte{0, 0, 0, 0, 4}, 0x1A, 0, 0x0A, 0), "GRANTED", ""},
	} {
		err := verify(test.message, test.want)
		if (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.wrong)
		}
	}
}

// mute is a server that allows everything, with an answer that takes several frames.
type mute struct {
	authv3.UnimplementedAuthorizationServer
}

func (mute) Check(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x", Value: strings.Repeat("x", 40_000)}}},
		}},
	}, nil
}

func TestTheLoadIsAnsweredAndChecked(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, mute{})
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	defer func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	body, err := proto.Marshal(check("token", "GET", "/powerapps/apps", 1))
	if err != nil {
		t.Fatal(err)
	}
	send := func(requests []request, allowsAll bool, n int) (int, error) {
		c, err := dial(t.Context(), &peer{socket: socket, allowsAll: allowsAll}, requests)
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		return c.load(t.Context(), 64, func(sent int) bool { return sent == n })
	}
	// More than the server's first window holds, and more than the ring of calls.
	many := []request{{body: body, reason: "GRANTED"}, {body: body, reason: "GRANTED"}}
	if n, err := send(many, false, 10_000); n != 10_000 || err != nil {
		t.Errorf("%d answered: %v", n, err)
	}
	wrong := []request{{body: body, reason: "GRANTED"}, {body: body, reason: "FORBIDDEN"}}
	if n, err := send(wrong, true, 100); n != 100 || err != nil {
		t.Errorf("%d answered by a server that allows all: %v", n, err)
	}
	if _, err := send(wrong, false, 100); err == nil || !strings.Contains(err.Error(), "request 1: ") {
		t.Errorf("a wrong answer: %v", err)
	}
	if _, err := send([]request{{body: []byte{0xFF}, reason: "GRANTED"}}, false, 1); err == nil || !strings.Contains(err.Error(), "gRPC status") {
		t.Errorf("a call that fails: %v", err)
	}
}
