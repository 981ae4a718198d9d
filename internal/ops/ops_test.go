package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/ops"
	"github.com/pathgrant/pathgrant/internal/server"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// get asks a handler and returns the code, the content type and the body.
func get(t *testing.T, h http.Handler, path, accept string) (int, string, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Header().Get("Content-Type"), w.Body.String()
}

func handler(s ops.Status) http.Handler {
	return ops.Handler(ops.Options{Status: func() ops.Status { return s }})
}

func sample() ops.Status {
	return ops.Status{
		Readiness: server.Degraded,
		Detail:    "source file: /etc/bundle.yaml:7:3: unknown key",
		Version:   "v1.2.3",
		StartTime: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC),
		Listeners: []string{"tcp://127.0.0.1:9191"},
		Snapshot:  ops.SnapshotStatus{Revision: authz.Revision{Epoch: 2, Number: 17}, Proved: time.Date(2026, 11, 22, 3, 1, 0, 0, time.UTC), Quarantined: 1},
		Source:    ops.SourceStatus{Name: "file", Error: "/etc/bundle.yaml:7:3: unknown key", LastSuccess: time.Unix(1700000000, 500000000).UTC(), Errors: 3},
		Cache:     ops.CacheStatus{Hits: 11, Misses: 12, Dropped: 13, Bytes: 15, Alarms: 16},
		Identity: ops.IdentityStatus{Hits: 21, Misses: 22, Keys: []ops.KeySetStatus{
			{Issuer: "https://a"}, {Issuer: "https://b", Error: "not found"},
		}},
		DecisionLog:  ops.DecisionLogStatus{Written: 31, Dropped: 32, Failed: 33},
		Certificates: &ops.CertificateStatus{NotAfter: time.Unix(1800000000, 0).UTC(), Error: "tls.key_file: no such file"},
	}
}

func TestAliveWhateverTheState(t *testing.T) {
	for _, r := range []server.Readiness{server.NotReady, server.Degraded, server.Ready} {
		code, _, body := get(t, handler(ops.Status{Readiness: r}), "/healthz", "")
		if code != 200 || body != "ok\n" {
			t.Errorf("%s: %d %q, want 200 ok", r, code, body)
		}
	}
}

func TestReadyHasThreeStates(t *testing.T) {
	for _, c := range []struct {
		status ops.Status
		code   int
		body   string
	}{
		{ops.Status{}, 503, "not ready\n"},
		{ops.Status{Detail: "no snapshot has been loaded"}, 503, "not ready: no snapshot has been loaded\n"},
		{ops.Status{Readiness: server.Degraded, Detail: "b.yaml:7:3: unknown key"}, 200, "degraded: b.yaml:7:3: unknown key\n"},
		{ops.Status{Readiness: server.Ready}, 200, "ready\n"},
		{ops.Status{Readiness: server.Readiness(7)}, 503, "readiness 7\n"},
	} {
		code, contentType, body := get(t, handler(c.status), "/readyz", "")
		if code != c.code || body != c.body || contentType != "text/plain; charset=utf-8" {
			t.Errorf("%+v: %d %s %q, want %d %q", c.status, code, contentType, body, c.code, c.body)
		}
		code, contentType, body = get(t, handler(c.status), "/readyz", "application/json")
		var got ops.Status
		if err := json.Unmarshal([]byte(body), &got); err != nil || code != c.code || contentType != "application/json" || got.Detail != c.status.Detail {
			t.Errorf("%+v as JSON: %d %s %s, %v", c.status, code, contentType, body, err)
		}
	}
}

func TestStatusIsJSONAndReadsAgain(t *testing.T) {
	want := sample()
	code, contentType, body := get(t, handler(want), "/status", "")
	if code != 200 || contentType != "application/json" {
		t.Errorf("%d %s", code, contentType)
	}
	for _, part := range []string{
		`"readiness": "degraded"`, `"epoch": 2`, `"number": 17`, `"proved_time": "2026-11-22T03:01:00Z"`,
		`"error": "/etc/bundle.yaml:7:3: unknown key"`, `"start_time": "2026-11-22T03:00:00Z"`,
	} {
		if !strings.Contains(body, part) {
			t.Errorf("no %s in\n%s", part, body)
		}
	}
	var got ops.Status
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if _, _, body := get(t, handler(ops.Status{}), "/status", ""); !strings.Contains(body, `"readiness": "not_ready"`) || strings.Contains(body, "0001-01-01T00:00:00Z\",\n    \"quarantined") {
		t.Errorf("the zero status:\n%s", body)
	}
}

func TestOnlyGETAndKnownPaths(t *testing.T) {
	h := handler(sample())
	for path, want := range map[string]int{"/": 404, "/metrics": 404, "/debug/pprof/": 404, "/debug/pprof/heap": 404, "/readyz/": 404} {
		if code, _, _ := get(t, h, path, ""); code != want {
			t.Errorf("GET %s: %d, want %d", path, code, want)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/status", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /status: %d, want 405", w.Code)
	}
}

func TestProfilesAreOptIn(t *testing.T) {
	h := ops.Handler(ops.Options{Status: sample, Profiling: true})
	if code, _, _ := get(t, h, "/debug/pprof/heap", ""); code != 200 {
		t.Errorf("GET /debug/pprof/heap: %d, want 200", code)
	}
	if code, _, _ := get(t, h, "/debug/pprof/cmdline", ""); code != 404 {
		t.Errorf("GET /debug/pprof/cmdline: %d, want 404", code)
	}
}

// samples returns the product's metrics, as lines.
func samples(t *testing.T, h http.Handler) map[string]bool {
	t.Helper()
	code, _, body := get(t, h, "/metrics", "")
	if code != 200 {
		t.Fatalf("GET /metrics: %d %s", code, body)
	}
	lines := make(map[string]bool)
	for line := range strings.Lines(body) {
		lines[strings.TrimSpace(line)] = true
	}
	return lines
}

func TestMetricsCountDecisions(t *testing.T) {
	m := ops.NewMetrics("v1.2.3", sample)
	h := ops.Handler(ops.Options{Status: sample, Metrics: m})
	m.Observe(ops.ExtAuthz, authz.Granted, 3*time.Microsecond)
	m.Observe(ops.ExtAuthz, authz.Granted, 400*time.Nanosecond)
	m.Observe(ops.ExtAuthz, authz.NoAssignment, 7*time.Millisecond)
	m.Observe(ops.GRPC, authz.Public, time.Microsecond)
	m.Observe(ops.Adapter(200), authz.Reason(200), time.Second)
	got := samples(t, h)
	for _, want := range []string{
		`pathgrant_decisions_total{adapter="extauthz",effect="allow",reason="GRANTED"} 2`,
		`pathgrant_decisions_total{adapter="extauthz",effect="deny",reason="NO_ASSIGNMENT"} 1`,
		`pathgrant_decisions_total{adapter="grpc",effect="allow",reason="PUBLIC"} 1`,
		`pathgrant_decisions_total{adapter="other",effect="deny",reason="UNSPECIFIED"} 1`,
		`pathgrant_decisions_total{adapter="grpc",effect="deny",reason="INTERNAL"} 0`,
		`pathgrant_decision_duration_seconds_bucket{adapter="extauthz",le="5e-07"} 1`,
		`pathgrant_decision_duration_seconds_bucket{adapter="extauthz",le="5e-06"} 2`,
		`pathgrant_decision_duration_seconds_bucket{adapter="extauthz",le="0.01"} 3`,
		`pathgrant_decision_duration_seconds_count{adapter="extauthz"} 3`,
	} {
		if !got[want] {
			t.Errorf("no line %s", want)
		}
	}
	series := 0
	for line := range got {
		if strings.HasPrefix(line, "pathgrant_decisions_total{") {
			series++
		}
	}
	if series != 4*18 {
		t.Errorf("%d series of decisions, want 4 adapters times 18 reasons", series)
	}
}

func TestMetricsShowTheStatus(t *testing.T) {
	h := ops.Handler(ops.Options{Status: sample, Metrics: ops.NewMetrics("v1.2.3", sample)})
	got := samples(t, h)
	for _, want := range []string{
		`pathgrant_readiness{state="degraded"} 1`, `pathgrant_readiness{state="ready"} 0`, `pathgrant_readiness{state="not_ready"} 0`,
		`pathgrant_snapshot_epoch 2`, `pathgrant_snapshot_revision 17`, `pathgrant_snapshot_quarantined_total 1`,
		`pathgrant_source_up{source="file"} 0`, `pathgrant_source_errors_total{source="file"} 3`,
		`pathgrant_source_last_success_timestamp_seconds{source="file"} 1.7000000005e+09`,
		`pathgrant_cache_hits_total 11`, `pathgrant_cache_misses_total 12`, `pathgrant_cache_dropped_total 13`,
		`pathgrant_cache_bytes 15`, `pathgrant_cache_alarms_total 16`,
		`pathgrant_identity_cache_hits_total 21`, `pathgrant_identity_cache_misses_total 22`, `pathgrant_identity_key_sets_failing 1`,
		`pathgrant_decision_log_written_total 31`, `pathgrant_decision_log_dropped_total 32`, `pathgrant_decision_log_failed_total 33`,
		`pathgrant_certificate_expiry_timestamp_seconds 1.8e+09`, `pathgrant_certificate_files_valid 0`,
		`# TYPE pathgrant_snapshot_age_seconds gauge`, `# TYPE go_goroutines gauge`,
	} {
		if !got[want] {
			t.Errorf("no line %s", want)
		}
	}
	built := false
	for line := range got {
		built = built || strings.HasPrefix(line, "pathgrant_build_info{") && strings.Contains(line, `version="v1.2.3"`) && strings.HasSuffix(line, " 1")
	}
	if !built {
		t.Error("no pathgrant_build_info with the version")
	}
}

func TestMetricsSayNothingOfWhatIsNotKnown(t *testing.T) {
	empty := func() ops.Status { return ops.Status{} }
	got := samples(t, ops.Handler(ops.Options{Status: empty, Metrics: ops.NewMetrics("", empty)}))
	for line := range got {
		for _, name := range []string{"pathgrant_snapshot_age_seconds ", "pathgrant_source_", "pathgrant_certificate_"} {
			if strings.HasPrefix(line, name) {
				t.Errorf("unexpected line %s", line)
			}
		}
	}
	if !got[`pathgrant_readiness{state="not_ready"} 1`] {
		t.Error("the zero status is not shown as not ready")
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	m := ops.NewMetrics("", sample)
	if n := testing.AllocsPerRun(1000, func() { m.Observe(ops.ExtAuthz, authz.Granted, time.Microsecond) }); n != 0 {
		t.Errorf("Observe allocates %v times", n)
	}
	var none *ops.Metrics
	none.Observe(ops.GRPC, authz.Granted, time.Second)
}

func TestAdapterNames(t *testing.T) {
	for _, a := range []ops.Adapter{ops.ExtAuthz, ops.GRPC, ops.HTTP} {
		if got := ops.AdapterNamed(a.String()); got != a {
			t.Errorf("AdapterNamed(%q) = %s", a, got)
		}
	}
	for _, name := range []string{"", "ExtAuthz", "other", `x"} 1`} {
		if got := ops.AdapterNamed(name); got != ops.Other {
			t.Errorf("AdapterNamed(%q) = %s, want other", name, got)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := listen(t)
	done := make(chan error, 1)
	go func() { done <- ops.Serve(ctx, handler(sample()), slog.New(slog.DiscardHandler), l) }()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("http://" + l.Addr().String() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || !strings.HasPrefix(string(body), "degraded: ") {
		t.Errorf("%q, %v", body, err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is left open: %v", err)
	}
}

func TestServeEndsWithAListener(t *testing.T) {
	first, second := listen(t), listen(t)
	done := make(chan error, 1)
	go func() {
		done <- ops.Serve(t.Context(), handler(sample()), slog.New(slog.DiscardHandler), first, second)
	}()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want that a listener was closed", err)
	}
	if _, err := second.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the other listener is left open: %v", err)
	}
}
