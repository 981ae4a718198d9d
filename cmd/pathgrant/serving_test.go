package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

func TestAWithdrawnKeyEndsItsTokensThoughTheyAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	s := w.serve("--bundle", w.path("policy.yaml"))
	s.becomes("ada", 200, "GRANTED")
	request := requestOf(http.MethodGet, apps, "Bearer "+s.token("ada"))
	for range 3 {
		if a, err := s.check(request); err != nil || a.status != 200 {
			t.Fatalf("%+v %v", a, err)
		}
	}
	if s.status().Identity.Hits == 0 {
		t.Fatal("the token is not remembered: the test shows nothing")
	}
	other, err := pgtest.NewIssuer("key-2")
	if err != nil {
		t.Fatal(err)
	}
	w.replace("jwks.json", other.JWKS())
	start := time.Now()
	w.eventually(s, "the token is refused", func() error {
		a, err := s.check(request)
		if err == nil && (a.status != 401 || a.reason != "UNAUTHENTICATED") {
			err = fmt.Errorf("%d %s", a.status, a.reason)
		}
		return err
	})
	took := time.Since(start)
	t.Logf("refused after %v", took.Round(time.Millisecond))
	if took > 3*time.Second { // the file is looked at every second
		t.Errorf("refused after %v", took)
	}
	w.issuer = other
	s.want("ada", 200, "GRANTED")

	// A broken file withdraws nothing.
	w.replace("jwks.json", []byte(`{"keys": [`))
	w.eventually(s, "the broken file is seen", func() error {
		for _, keys := range s.status().Identity.Keys {
			if keys.Error != "" {
				return nil
			}
		}
		return errors.New("no error is shown")
	})
	s.want("ada", 200, "GRANTED")
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// issue signs a certificate with that serial number, for server and client alike.
func (a *authority) issue(serial int64) (certificate, key []byte) {
	a.t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "pathgrant"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Duration(serial) * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, own.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(own)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})
}

func TestTLSTakesOverRotatedCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	root := newAuthority(t, "root")
	certificate, key := root.issue(101)
	w.replace("cert.pem", certificate)
	w.replace("key.pem", key)
	w.replace("ca.pem", root.pem)
	s := w.serve("--bundle", w.path("policy.yaml"), "--listen", "tcp://127.0.0.1:0",
		"--tls-cert-file", w.path("cert.pem"), "--tls-key-file", w.path("key.pem"), "--tls-client-ca-file", w.path("ca.pem"))
	s.becomes("ada", 200, "GRANTED")
	var address string
	for line := range strings.Lines(s.log.String()) {
		var entry struct {
			Address string `json:"address"`
			TLS     bool   `json:"tls"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.TLS {
			address = strings.TrimPrefix(entry.Address, "tcp://")
		}
	}
	if address == "" {
		t.Fatalf("the log does not name the TCP address\n%s", s.log)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	own := func() []tls.Certificate {
		t.Helper()
		pair, err := tls.X509KeyPair(root.issue(7))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{pair}
	}
	handshake := func(config *tls.Config) (serial int64, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		secure, ok := conn.(*tls.Conn)
		if !ok {
			return 0, fmt.Errorf("a %T", conn)
		}
		// In TLS 1.3 only the first bytes of the server say whether it took the client's
		// certificate.
		if _, err := bufio.NewReader(secure).Peek(1); err != nil {
			return 0, err
		}
		return secure.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
	}
	good := &tls.Config{RootCAs: roots, Certificates: own(), NextProtos: []string{"h2"}}
	if serial, err := handshake(good); err != nil || serial != 101 {
		t.Fatalf("certificate %d, %v", serial, err)
	}
	if _, err := handshake(&tls.Config{RootCAs: roots, NextProtos: []string{"h2"}}); err == nil {
		t.Error("a client without a certificate was let in")
	}
	stranger := newAuthority(t, "stranger")
	pair, err := tls.X509KeyPair(stranger.issue(8))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handshake(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}); err == nil {
		t.Error("a client of another authority was let in")
	}
	if _, err := handshake(&tls.Config{RootCAs: roots, Certificates: own(), NextProtos: []string{"h2"}, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 was spoken, and the minimum is 1.3")
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(good)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func() {
		t.Helper()
		out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), requestOf(http.MethodGet, apps, "Bearer "+s.token("ada")))
		if err != nil || out.GetOkResponse() == nil {
			t.Errorf("a check over TLS: %v %v", out, err)
		}
	}
	ask()

	// The two files are not replaced at once; in between they do not fit.
	certificate, key = root.issue(202)
	w.replace("cert.pem", certificate)
	w.eventually(s, "the state says that the files do not fit", func() error {
		if serial, err := handshake(good); err != nil || serial != 101 {
			t.Fatalf("in the middle of the rotation: certificate %d, %v", serial, err)
		}
		if status := s.status(); status.Certificates == nil || status.Certificates.Error == "" {
			return errors.New("nothing")
		}
		return nil
	})
	w.replace("key.pem", key)
	w.eventually(s, "the new certificate is in force", func() error {
		serial, err := handshake(good)
		if err != nil {
			t.Fatal(err)
		}
		if serial != 202 {
			return fmt.Errorf("certificate %d", serial)
		}
		return nil
	})
	ask() // on the connection that was there before
	if status := s.status(); status.Certificates.Error != "" || time.Until(status.Certificates.NotAfter) < 150*time.Hour {
		t.Errorf("the state is %+v", status.Certificates)
	}
}

func TestTheUnixSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	mode := func(want fs.FileMode) {
		t.Helper()
		for _, name := range []string{"authz.sock", "authz.sock.ops"} {
			info, err := os.Lstat(w.path(name))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != fs.ModeSocket|want {
				t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
			}
		}
	}
	s := w.serve("--bundle", w.path("policy.yaml"))
	s.becomes("ada", 200, "GRANTED")
	mode(0o660)

	// Somebody answers there: nobody else may have it.
	second := w.launch(instrumented, nil, "authz.sock", "--data", w.path("data2"))
	if code := second.ended(); code != exitError || !strings.Contains(second.log.String(), "another process is listening") {
		t.Errorf("a second server on the socket: exit code %d\n%s", code, second.log)
	}
	s.want("ada", 200, "GRANTED")

	s.kill() // its sockets stay, and are stale
	if files := w.files("."); !slices.Contains(files, "authz.sock") {
		t.Fatalf("a killed server leaves no socket behind, only %q: the test shows nothing", files)
	}
	s = w.serve("--bundle", w.path("policy.yaml"), "--unix-socket-mode", "0600")
	s.becomes("ada", 200, "GRANTED")
	mode(0o600)
	s.stop()
	for _, name := range w.files(".") {
		if strings.Contains(name, ".sock") {
			t.Errorf("%s is left behind", name)
		}
	}

	w.write("authz.sock", []byte("precious"))
	s = w.launch(instrumented, nil, "authz.sock")
	if code := s.ended(); code != exitError || !strings.Contains(s.log.String(), "not a socket") {
		t.Errorf("a file in place of the socket: exit code %d\n%s", code, s.log)
	}
	if content, err := os.ReadFile(w.path("authz.sock")); err != nil || string(content) != "precious" {
		t.Errorf("the file that was there: %q, %v", content, err)
	}
}

// The metrics that the documentation names.
var documentedMetrics = []string{
	"pathgrant_build_info",
	"pathgrant_cache_bytes",
	"pathgrant_cache_dropped_total",
	"pathgrant_cache_hits_total",
	"pathgrant_cache_misses_total",
	"pathgrant_decision_duration_seconds_bucket",
	"pathgrant_decision_log_dropped_total",
	"pathgrant_decision_log_failed_total",
	"pathgrant_decision_log_written_total",
	"pathgrant_decisions_total",
	"pathgrant_identity_cache_hits_total",
	"pathgrant_identity_cache_misses_total",
	"pathgrant_identity_key_sets_failing",
	"pathgrant_readiness",
	"pathgrant_snapshot_age_seconds",
	"pathgrant_snapshot_epoch",
	"pathgrant_snapshot_quarantined_total",
	"pathgrant_snapshot_revision",
	"pathgrant_source_errors_total",
	"pathgrant_source_last_success_timestamp_seconds",
	"pathgrant_source_up",
	"go_goroutines",
	"process_resident_memory_bytes",
}

func TestTheOperatorsEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve("--bundle", w.path("policy.yaml"), "--drain-delay", "1s")
	metric := func(line string) {
		t.Helper()
		w.eventually(s, "the metrics say "+line, func() error {
			_, body, err := s.get("/metrics")
			if err == nil && !strings.Contains("\n"+body, "\n"+line+"\n") {
				err = errors.New(body)
			}
			return err
		})
	}
	s.readyz(503, "not ready: ")
	metric(`pathgrant_readiness{state="not_ready"} 1`)
	w.replace("policy.yaml", policy("ada"))
	s.readyz(200, "ready")
	metric(`pathgrant_readiness{state="ready"} 1`)
	metric(`pathgrant_source_up{source="file"} 1`)
	s.want("ada", 200, "GRANTED")
	if a := s.as("ada", http.MethodDelete); a.status != 403 {
		t.Errorf("%+v", a)
	}
	metric(`pathgrant_decisions_total{adapter="extauthz",effect="allow",reason="GRANTED"} 1`)
	metric(`pathgrant_snapshot_revision 1`)
	_, body, err := s.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range documentedMetrics {
		if !strings.Contains(body, "\n"+name+"{") && !strings.Contains(body, "\n"+name+" ") {
			t.Errorf("there is no metric %s", name)
		}
	}
	w.remove("policy.yaml")
	s.readyz(200, "degraded: ")
	metric(`pathgrant_readiness{state="degraded"} 1`)
	metric(`pathgrant_source_up{source="file"} 0`)
	for path, want := range map[string]int{"/healthz": 200, "/status": 200, "/debug/pprof/": 404, "/": 404} {
		if status, _, err := s.get(path); err != nil || status != want {
			t.Errorf("%s: %d %v, want %d", path, status, err, want)
		}
	}
	out := w.must("status", "--ops", "unix://"+w.path("authz.sock.ops"))
	for _, part := range []string{"degraded: ", "file, unhealthy since ", "keys         " + pgtest.IssuerURL} {
		if !strings.Contains(out, part) {
			t.Errorf("status lacks %q:\n%s", part, out)
		}
	}

	// While it drains, health and readiness send callers elsewhere, and checks are answered.
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	s.healthy(healthv1.HealthCheckResponse_NOT_SERVING)
	s.want("ada", 200, "GRANTED")
	s.readyz(503, "not ready: draining")
	if code := s.ended(); code != exitOK {
		t.Errorf("exit code %d after an interrupt", code)
	}
}

// What a client sends in confidence is written nowhere, whatever becomes of the request.
func TestTokensAndQueriesAreWrittenNowhere(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3tm4rker"
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	s := w.serve("--bundle", w.path("policy.yaml"), "--log-level", "debug", "--decision-log", "all", "--denial-detail", "scope")
	s.becomes("ada", 200, "GRANTED")
	claims := pgtest.UserClaims(tenant, "ada").With("note", secret)
	sign := func(claims pgtest.Claims) string {
		t.Helper()
		token, err := w.issuer.Token(claims)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	stranger, err := pgtest.NewIssuer("key-" + secret)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := stranger.Token(claims)
	if err != nil {
		t.Fatal(err)
	}
	var signatures []string
	for _, test := range []struct {
		path, authorization string
		status              int
	}{
		{apps + "?code=" + secret, "Bearer " + sign(claims), 200},
		{apps + "?code=" + secret + "#" + secret, "Bearer " + sign(claims), 200},
		{"/powerapps/nothing/of/the/kind?" + secret, "Bearer " + sign(claims), 403},
		{"/no-such-namespace?" + secret, "Bearer " + sign(claims), 403},
		{"/powerapps//apps?" + secret, "Bearer " + sign(claims), 400},
		{apps + "?" + secret, "Bearer " + forged, 401},
		{apps + "?" + secret, "Bearer " + secret, 401},
		{apps + "?" + secret, "Bearer " + secret + "." + secret + "." + secret, 401},
		{apps + "?" + secret, "Basic " + secret, 401},
		{apps + "?" + secret, "Bearer " + sign(claims.With("exp", time.Now().Add(-time.Hour).Unix())), 401},
		{apps + "?" + secret, "Bearer " + sign(claims.With("aud", secret)), 401},
		{apps + "?" + secret, "Bearer " + sign(claims.With("iss", "https://"+secret)), 401},
		{apps + "?" + secret, "Bearer " + sign(claims.With("exp", secret)), 401},
		{apps + "?" + secret, "Bearer " + sign(claims) + "," + secret, 401},
		{apps + "?" + secret, "", 401},
	} {
		a, err := s.check(requestOf(http.MethodGet, test.path, test.authorization))
		if err != nil {
			t.Fatal(err)
		}
		if a.status != test.status {
			t.Errorf("%s: %d %s, want %d", test.path, a.status, a.body, test.status)
		}
		if strings.Contains(a.all, secret) {
			t.Errorf("the answer to %s tells the secret: %s", test.path, a.all)
		}
		if parts := strings.Split(test.authorization, "."); len(parts) == 3 && len(parts[2]) > 40 {
			signatures = append(signatures, parts[1], parts[2])
		}
	}
	w.eventually(s, "the decisions are logged", func() error {
		if logged := s.status().DecisionLog; logged.Written < 15 {
			return fmt.Errorf("%+v", logged)
		}
		return nil
	})
	var shown strings.Builder
	for _, path := range []string{"/metrics", "/status", "/readyz"} {
		_, body, err := s.get(path)
		if err != nil {
			t.Fatal(err)
		}
		shown.WriteString(body)
	}
	s.stop()
	shown.WriteString(s.log.String())
	if !strings.Contains(shown.String(), `"path":"/no-such-namespace"`) {
		t.Fatalf("the decisions are not in the log: the test shows nothing\n%s", s.log)
	}
	for _, part := range append(signatures, secret, "Bearer ") {
		if strings.Contains(shown.String(), part) {
			t.Errorf("%q is written down", part)
		}
	}
}

// The second gate: what the application was delegated, where that is enforced.
func TestDelegatedScopesAreEnforcedWhereConfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.replace("policy.yaml", policy("ada"))
	s := w.serve("--bundle", w.path("policy.yaml"), "--delegated-scopes", "enforce")
	with := func(scopes string) answer {
		t.Helper()
		token, err := w.issuer.Token(pgtest.UserClaims(tenant, "ada").With("scp", scopes))
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.check(requestOf(http.MethodGet, apps, "Bearer "+token))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	s.readyz(200, "ready")
	if a := with("PowerApps.Apps.Read openid"); a.status != 200 {
		t.Errorf("%+v", a)
	}
	if a := with("openid"); a.status != 403 || a.reason != "DELEGATED_SCOPE_MISSING" || !strings.Contains(a.body, `"code":"InsufficientDelegatedPermissions"`) {
		t.Errorf("%+v", a)
	}
}
