package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/goleak"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pathgrant/pathgrant/bench/internal/load"
	"github.com/pathgrant/pathgrant/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheNearestPlaceThatSpeaksIsExpectedToDecide(t *testing.T) {
	// Environment 3 is in group 3, and so are 13 and 23. User 5 is in group 5 of users.
	w := &world{size: small, at: map[string]map[string]held{}}
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

func TestWorldsAreAsLargeAsTheySay(t *testing.T) {
	for name, test := range map[string]struct {
		size        size
		assignments int
	}{"small": {small, 10_000}, "large": {large, 100_000}} {
		w := newWorld(test.size)
		seen := map[assignment]bool{}
		for _, a := range w.assignments {
			a.Effect = ""
			seen[a] = true
		}
		if len(w.assignments) != test.assignments || len(seen) != test.assignments {
			t.Errorf("%s: %d assignments, %d different ones", name, len(w.assignments), len(seen))
		}
		reasons, users := map[string]int{}, map[int]bool{}
		for _, q := range w.questions() {
			reasons[q.reason]++
			users[q.user] = true
		}
		if reasons["GRANTED"] != 512 || reasons["OVERRIDDEN"] < 40 || reasons["NO_ASSIGNMENT"] < 50 || len(reasons) != 3 || len(users) < 1000 {
			t.Errorf("%s: %v by %d users", name, reasons, len(users))
		}
	}
}

func TestTheWorldFileSaysWhatIsAskedAndAnswered(t *testing.T) {
	issuer, err := newIssuer()
	if err != nil {
		t.Fatal(err)
	}
	w, cached, jwks, err := prepare(small, issuer)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "world.json")
	if err := writeWorld(file, w, cached, jwks); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got worldFile
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Users) != 1000 || len(got.Environments) != 200 || len(got.EnvironmentGroups) != 10 || len(got.Groups) != 100 ||
		len(got.Assignments) != 10_000 || len(got.Requests) != 1024 {
		t.Errorf("%d users, %d environments, %d and %d groups, %d assignments, %d requests", len(got.Users), len(got.Environments),
			len(got.EnvironmentGroups), len(got.Groups), len(got.Assignments), len(got.Requests))
	}
	if r := got.Roles; len(r) != 2 || !slices.Equal(r[0].Permissions, []string{"PowerApps.Apps.Read"}) || len(r[1].Permissions) != 5 {
		t.Errorf("roles %+v", r)
	}
	tokens := map[string]bool{}
	for _, r := range got.Requests {
		tokens[r.Token] = true
		var in authv3.CheckRequest
		if err := proto.Unmarshal(r.Body, &in); err != nil {
			t.Fatal(err)
		}
		http := in.GetAttributes().GetRequest().GetHttp()
		if http.GetMethod() != r.Method || http.GetPath() != r.Path || http.GetHost() != r.Host || !strings.Contains(r.Path, r.Environment) {
			t.Errorf("%+v is asked as %v", r, http)
		}
		authorization := ""
		for _, header := range http.GetHeaderMap().GetHeaders() {
			if header.GetKey() == "authorization" {
				authorization = string(header.GetRawValue())
			}
		}
		if authorization != "Bearer "+r.Token {
			t.Errorf("authorization %q", authorization)
		}
		if r.Scope != r.Scopes[0] || r.Scopes[len(r.Scopes)-1] != "/tenants/"+got.Tenant {
			t.Errorf("scope %s, scopes %v", r.Scope, r.Scopes)
		}
	}
	if len(tokens) != 1000 {
		t.Errorf("%d tokens for 1000 users", len(tokens))
	}
}

// answer is an answer with a message in its gRPC prefix.
func answer(t *testing.T, message *authv3.CheckResponse) *load.Answer {
	t.Helper()
	body, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return &load.Answer{Status: "200", GRPCStatus: "0", Body: append([]byte{0, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)}
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
	failed := answer(t, allowed)
	failed.GRPCStatus = "14"
	refused := answer(t, allowed)
	refused.Status = "503"
	raw := func(body ...byte) *load.Answer { return &load.Answer{Status: "200", GRPCStatus: "0", Body: body} }
	for name, test := range map[string]struct {
		answer *load.Answer
		want   string
		wrong  string // part of the error
	}{
		"allowed":             {answer(t, allowed), "GRANTED", ""},
		"denied":              {answer(t, denied), "OVERRIDDEN", ""},
		"wrongly allowed":     {answer(t, allowed), "OVERRIDDEN", `code 0 "", want OVERRIDDEN`},
		"wrongly denied":      {answer(t, denied), "GRANTED", `code 7 "OVERRIDDEN", want GRANTED`},
		"another reason":      {answer(t, denied), "NO_ASSIGNMENT", "want NO_ASSIGNMENT"},
		"its own fault":       {answer(t, unavailable), "OVERRIDDEN", "NOT_READY"},
		"contradicting":       {answer(t, contradicting), "GRANTED", "want GRANTED"},
		"no status":           {answer(t, &authv3.CheckResponse{HttpResponse: allowed.HttpResponse}), "GRANTED", "no status"},
		"empty":               {answer(t, &authv3.CheckResponse{}), "GRANTED", "no status"},
		"nothing":             {raw(), "GRANTED", "not one whole message"},
		"no protobuf":         {raw(0, 0, 0, 0, 2, 0xFF, 0xFF), "GRANTED", "unexpected EOF"},
		"status after answer": {raw(0, 0, 0, 0, 4, 0x1A, 0, 0x0A, 0), "GRANTED", ""},
		"a gRPC error":        {failed, "GRANTED", `gRPC status "14"`},
		"an HTTP error":       {refused, "GRANTED", `HTTP status "503"`},
		"the null server's":   {&load.Answer{Status: "200", GRPCStatus: "0", Body: allowing}, "GRANTED", ""},
	} {
		err := verifyCheck(test.answer, test.want)
		if (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.wrong)
		}
	}
	for _, test := range []struct {
		status, want string
		right        bool
	}{
		{"200", "GRANTED", true}, {"403", "OVERRIDDEN", true}, {"403", "NO_ASSIGNMENT", true},
		{"403", "GRANTED", false}, {"200", "OVERRIDDEN", false}, {"401", "OVERRIDDEN", false}, {"503", "OVERRIDDEN", false}, {"", "GRANTED", false},
	} {
		if err := verifyProxy(&load.Answer{Status: test.status}, test.want); (err == nil) != test.right {
			t.Errorf("a proxy's %q for %s: %v", test.status, test.want, err)
		}
	}
}

// running starts a server of the harness in this process.
func running(t *testing.T, serve func(ctx context.Context, address string, input io.Reader) error) *server {
	t.Helper()
	s := &server{name: "x", network: "unix", address: filepath.Join(t.TempDir(), "s")}
	input, alive := io.Pipe()
	served := make(chan error)
	go func() { served <- serve(t.Context(), s.url(), input) }()
	t.Cleanup(func() {
		_ = alive.Close() // which is how the harness ends it
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	if err := pgtest.Poll(t.Context(), connected(t.Context(), s.network, s.address)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAWrongAnswerFailsTheRun(t *testing.T) {
	issuer, err := newIssuer()
	if err != nil {
		t.Fatal(err)
	}
	asked := newWorld(small).questions()[:64]
	tokens, err := issuer.tokens(es256, asked, 0)
	if err != nil {
		t.Fatal(err)
	}
	cached, err := newWorkload(withTokens(asked, tokens))
	if err != nil {
		t.Fatal(err)
	}
	requests, err := cached.grpc()
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, q := range asked {
		reasons = append(reasons, q.reason)
	}
	p := plan{rounds: 2, length: time.Millisecond, openLength: 10 * time.Millisecond}
	for name, serve := range map[string]func(context.Context, string, io.Reader) error{
		"null": serveNull,
		"stock": func(ctx context.Context, address string, input io.Reader) error {
			return serveStock(ctx, address, "", input)
		},
	} {
		s := running(t, serve)
		r := &results{samples: map[cell][]load.Result{}}
		rows := []*row{{key: "x", name: name, levels: []int{1, mostInFlight}, target: s.target(requests, reasons)}}
		// It allows everything, and half of it must be refused.
		for what, err := range map[string]error{"warm": r.warm(t.Context(), rows), "closed": r.closed(t.Context(), rows, p)} {
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "answered with code 0") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		s.allowsAll = true
		err := errors.Join(r.warm(t.Context(), rows), r.closed(t.Context(), rows, p), r.open(t.Context(), rows, p))
		if err != nil {
			t.Error(err)
		}
		if got := r.samples[cell{"x", mode{share: 45}}]; len(got) != 2 || got[0].Answered == 0 {
			t.Errorf("%s: an open loop of %+v", name, got)
		}
	}
}

func TestWhatServersWriteIsTakenAndTheBeginningKept(t *testing.T) {
	s, err := newSink()
	if err != nil {
		t.Fatal(err)
	}
	p, out, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	// More than a pipe holds: the last write would wait for ever if nobody read.
	if _, err := out.WriteString("ready\n" + strings.Repeat("x", 5<<20)); err != nil {
		t.Fatal(err)
	}
	err = pgtest.Poll(t.Context(), func() error {
		if !strings.HasPrefix(p.last(), "ready\n") {
			return errors.New("not there yet")
		}
		return nil
	})
	if err := errors.Join(err, out.Close(), s.close()); err != nil {
		t.Error(err)
	}
	if len(p.last()) > tailSize {
		t.Errorf("%d bytes are kept", len(p.last()))
	}
}

func TestMediansAndRatios(t *testing.T) {
	if middle(nil) != 0 || middle([]float64{3}) != 3 || middle([]float64{9, 1, 2}) != 2 || middle([]float64{4, 1, 2, 9}) != 3 {
		t.Error("medians are not in the middle")
	}
	sample := func(perSecond float64, cpu time.Duration) load.Result {
		return load.Result{PerSecond: perSecond, CPU: []time.Duration{cpu, cpu}}
	}
	at := mode{inFlight: 16}
	r := &results{samples: map[cell][]load.Result{
		// The machine was half as fast in the second round, and that ended in the third.
		{"stock", at}: {sample(100, 10*time.Microsecond), sample(50, 20*time.Microsecond), sample(50, 20*time.Microsecond)},
		{"mine", at}:  {sample(300, 3*time.Microsecond), sample(150, 6*time.Microsecond), sample(300, 3*time.Microsecond)},
	}}
	if got := r.ratio("mine", "stock", at, perSecond); got != 3 {
		t.Errorf("ratio of requests/s %v, want 3", got)
	}
	if got := r.ratio("mine", "stock", at, cpuMicros); got != 0.3 {
		t.Errorf("ratio of CPU %v, want 0.3", got)
	}
	if got := r.ratio("mine", "nobody", at, perSecond); got != 0 {
		t.Errorf("ratio to nothing %v", got)
	}
	verdicts := r.judge([]promise{
		{"a", "mine", "stock", at, "requests_per_second", 3, 0},
		{"b", "mine", "stock", at, "requests_per_second", 3.01, 0},
		{"c", "mine", "stock", at, "cpu", 0, 0.3},
		{"d", "mine", "stock", at, "cpu", 0, 0.29},
		{"e", "mine", "stock", mode{inFlight: 64}, "cpu", 0, 0.33}, // not measured
	})
	for i, kept := range []bool{true, false, true, false, false} {
		if verdicts[i].Kept != kept {
			t.Errorf("%+v, want %v", verdicts[i], kept)
		}
	}
	var out strings.Builder
	if err := printVerdicts(&out, verdicts); err == nil || !strings.Contains(err.Error(), "3 of 5") || strings.Count(out.String(), "FAIL") != 3 {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := printVerdicts(&out, verdicts[:1]); err != nil {
		t.Error(err)
	}
}

func TestEveryPromiseIsAboutSomethingThatIsMeasured(t *testing.T) {
	for _, p := range promises() {
		if metrics[p.metric] == nil || (p.atLeast > 0) == (p.atMost > 0) {
			t.Errorf("%+v", p)
		}
		for _, key := range []string{p.key, p.base} {
			if !slices.Contains([]string{"stock", "pathgrant", "pathgrant-unix"}, key) {
				t.Errorf("%+v is about %s", p, key)
			}
		}
		if p.mode.share > 0 && !slices.Contains(shares, p.mode.share) {
			t.Errorf("%+v is about a rate that is not measured", p)
		}
	}
}

func TestConfigurationsOfEnvoyAreFilled(t *testing.T) {
	ports := map[string]string{"PORT": "1", "ADMIN_PORT": "2"}
	with := func(more map[string]string) map[string]string {
		for name, value := range ports {
			more[name] = value
		}
		return more
	}
	for file, values := range map[string]map[string]string{
		"none.yaml":      ports,
		"ext_authz.yaml": with(map[string]string{"AUTHORIZER": "{pipe: {path: /x}}"}),
		"rbac.yaml":      with(map[string]string{"ISSUER": "i", "AUDIENCE": "a", "JWKS": "j", "POLICIES": "p"}),
	} {
		text, err := configurations.ReadFile("envoy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fill(string(text), values); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if got, err := fill("${A} ${B} ${A}", map[string]string{"A": "1", "B": "2"}); got != "1 2 1" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for text, want := range map[string]string{"${B}": "${A} is not there", "${A} ${B}": "${B} has no value"} {
		if _, err := fill(text, map[string]string{"A": "1"}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestPoliciesOfEnvoyAllowWhatIsGranted(t *testing.T) {
	w := &world{size: size{users: 3, environments: 2, environmentGroups: 1, groups: 3}, at: map[string]map[string]held{}}
	w.give("User", userID(0), contributor, envPlace(1), "")
	w.give("User", userID(1), reader, envGroupPlace(0), "")
	w.give("User", userID(1), contributor, envPlace(0), "DENY")
	w.give("Group", groupID(2), reader, envPlace(1), "")
	text, err := w.policies()
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Resources []struct {
			Config struct {
				Rules struct {
					Action   string
					Policies map[string]struct {
						Principals []struct {
							Metadata struct {
								Matcher struct {
									Value struct {
										String struct{ Exact string } `json:"string_match"`
									}
								} `json:"metadata_matcher"`
							} `json:"sourced_metadata"`
						}
					}
				}
			} `json:"typed_config"`
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	rules := file.Resources[0].Config.Rules
	got := map[string][]string{}
	for name, policy := range rules.Policies {
		for _, p := range policy.Principals {
			got[name] = append(got[name], p.Metadata.Matcher.Value.String.Exact)
		}
	}
	// In environment 0 user 1 may nothing, for the DENY is nearer than the group's reader;
	// nobody else holds anything there, so that it has no policy at all.
	want := map[string][]string{
		envID(1) + " reads":   {userID(0), userID(1), userID(2)},
		envID(1) + " changes": {userID(0)},
	}
	if rules.Action != "ALLOW" || len(got) != len(want) {
		t.Errorf("%s %v, want %v", rules.Action, got, want)
	}
	for name, users := range want {
		if !slices.Equal(got[name], users) {
			t.Errorf("%s: %v, want %v", name, got[name], users)
		}
	}
}

func TestTheCommandLineIsChecked(t *testing.T) {
	for _, args := range [][]string{{"-only", "nothing"}, {"x"}, {"-round", "1"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
	o, err := parse([]string{"-only", "open,fresh"}, io.Discard)
	if err != nil || !o.wants("open") || !o.wants("fresh") || o.wants("envoy") || o.wants("direct") {
		t.Errorf("%+v: %v", o, err)
	}
	if o, err = parse(nil, io.Discard); err != nil || !o.wants("envoy") {
		t.Errorf("%+v: %v", o, err)
	}
	if err := run(t.Context(), []string{"-write-world", filepath.Join(t.TempDir(), "w"), "-world", "huge"}, io.Discard, io.Discard); err == nil {
		t.Error("a world of any size is written")
	}
}

func TestSamplesAreWrittenForBenchstat(t *testing.T) {
	got := benchmarkLine("Check/tcp/16", load.Result{
		Answered: 1000, PerSecond: 30_000, CPU: []time.Duration{25500 * time.Nanosecond}, P50: 400 * time.Microsecond, P99: time.Millisecond,
	})
	if want := "BenchmarkCheck/tcp/16 1000 25500 cpu-ns/op 400000 p50-ns 1000000 p99-ns 30000 req/s\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTheStockServerAllowsWithAHeader(t *testing.T) {
	got, err := stock{}.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: "PATCH"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	header := got.GetOkResponse().GetHeaders()[0]
	if got.GetStatus().GetCode() != 0 || header.GetHeader().GetValue() != "PATCH" || header.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
		t.Errorf("%v", got)
	}
}
