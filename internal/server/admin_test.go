package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/server"
)

// rest answers with the protocol and what it could read of the body.
var rest = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	_, _ = io.WriteString(w, r.Proto+" "+r.URL.Path+" "+string(body))
})

// serveAdmin serves administration until the test ends, or stop is called, whose result is
// that of Serve.
func serveAdmin(t *testing.T, o server.AdminOptions, register ...func(*server.Admin)) (address string, stop func() error) {
	t.Helper()
	if o.REST == nil {
		o.REST = rest
	}
	listeners, err := server.Listen(t.Context(), []server.Address{{Network: "tcp", Address: "127.0.0.1:0"}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := server.NewAdmin(o)
	for _, r := range register {
		r(a)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- a.Serve(ctx, listeners...) }()
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-served
	}
	t.Cleanup(func() {
		if !stopped {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
	})
	return listeners[0].Addr().String(), stop
}

func dialAdmin(t *testing.T, address string, with credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(with))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func get(t *testing.T, client *http.Client, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func clientOf(t *testing.T, http1, http2, h2c bool, config *tls.Config) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(http1)
	protocols.SetHTTP2(http2)
	protocols.SetUnencryptedHTTP2(h2c)
	transport := &http.Transport{Protocols: protocols, TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestOnePortServesGRPCAndREST(t *testing.T) {
	address, _ := serveAdmin(t, server.AdminOptions{})
	conn := dialAdmin(t, address, insecure.NewCredentials())
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	if code, text := get(t, clientOf(t, true, false, false, nil), "http://"+address+"/a", "x"); code != http.StatusOK || text != "HTTP/1.1 /a x" {
		t.Errorf("HTTP/1.1: %d %q", code, text)
	}
	if code, text := get(t, clientOf(t, false, false, true, nil), "http://"+address+"/b", "y"); code != http.StatusOK || text != "HTTP/2.0 /b y" {
		t.Errorf("HTTP/2 without TLS: %d %q", code, text)
	}
}

func TestAdministrationSpeaksTLS(t *testing.T) {
	ca := newAuthority(t, "root")
	certPEM, keyPEM := ca.leaf(t, "server")
	dir := t.TempDir()
	files := server.CertificateFiles{Certificate: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem"), ClientCAs: filepath.Join(dir, "ca.pem")}
	for name, text := range map[string][]byte{files.Certificate: certPEM, files.Key: keyPEM, files.ClientCAs: ca.pem} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	held, err := server.LoadCertificates(files, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	address, _ := serveAdmin(t, server.AdminOptions{TLS: held})
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	clientCert, clientKey := ca.leaf(t, "client")
	pair, err := tls.X509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	conn := dialAdmin(t, address, credentials.NewTLS(config.Clone()))
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	if code, text := get(t, clientOf(t, false, true, false, config.Clone()), "https://"+address+"/a", ""); code != http.StatusOK || text != "HTTP/2.0 /a " {
		t.Errorf("HTTP/2: %d %q", code, text)
	}
	if code, text := get(t, clientOf(t, true, false, false, config.Clone()), "https://"+address+"/a", ""); code != http.StatusOK || text != "HTTP/1.1 /a " {
		t.Errorf("HTTP/1.1: %d %q", code, text)
	}
	stranger := clientOf(t, true, false, false, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := stranger.Do(request); err == nil {
		_ = response.Body.Close()
		t.Error("a client without a certificate was answered")
	}
	if response, err := clientOf(t, true, false, false, nil).Post("http://"+address+"/a", "text/plain", nil); err == nil {
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP is answered %d", response.StatusCode)
		}
		_ = response.Body.Close()
	}
}

func TestABodyOfRESTHasALimit(t *testing.T) {
	address, _ := serveAdmin(t, server.AdminOptions{})
	client := clientOf(t, true, false, false, nil)
	if code, _ := get(t, client, "http://"+address+"/", strings.Repeat("x", 1<<20)); code != http.StatusOK {
		t.Errorf("a body of 1 MiB is answered %d", code)
	}
	if code, _ := get(t, client, "http://"+address+"/", strings.Repeat("x", 1<<20+1)); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a larger one is answered %d", code)
	}
}

func TestGRPCNeedsHTTP2AndIsToldApartFromTheRest(t *testing.T) {
	address, _ := serveAdmin(t, server.AdminOptions{})
	client := clientOf(t, true, false, false, nil)
	for contentType, want := range map[string]int{
		"application/grpc": 505, "application/grpc+proto": 505, "Application/GRPC;x": 505, "application/grpc-web": 200, "application/grpcx": 200, "application/json": 200,
	} {
		response, err := client.Post("http://"+address+"/grpc.health.v1.Health/Check", contentType, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s over HTTP/1.1 is answered %d, want %d", contentType, response.StatusCode, want)
		}
	}
}

// A message of gRPC that is too large is refused, and the connection goes on.
func TestAMessageHasALimit(t *testing.T) {
	address, _ := serveAdmin(t, server.AdminOptions{})
	health := grpc_health_v1.NewHealthClient(dialAdmin(t, address, insecure.NewCredentials()))
	_, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: strings.Repeat("x", 5<<20)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("5 MiB: %v, want RESOURCE_EXHAUSTED", err)
	}
	if _, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// In the end a stream that waits for news is ended, a call in flight is answered, and no
// new one is taken.
func TestAdministrationEndsInOrder(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "done")
	})
	address, stop := serveAdmin(t, server.AdminOptions{REST: slow})
	conn := dialAdmin(t, address, insecure.NewCredentials())
	watch, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan string, 1)
	go func() {
		response, err := clientOf(t, true, false, false, nil).Get("http://" + address + "/")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		answered <- string(text)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for err == nil {
		_, err = watch.Recv()
	}
	select {
	case err := <-stopped:
		t.Errorf("the server ended (%v) while a call was in flight", err)
	default:
	}
	close(release)
	if text := <-answered; text != "done" {
		t.Errorf("the call in flight was answered %q", text)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("a connection is still taken")
	}
}

func TestACallThatDoesNotEndIsBrokenOff(t *testing.T) {
	entered := make(chan struct{})
	endless := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	address, stop := serveAdmin(t, server.AdminOptions{REST: endless, DrainTimeout: 50 * time.Millisecond})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := stop(); err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Errorf("Serve returned %v, want that calls were broken off", err)
	}
	if _, err := bufio.NewReader(conn).ReadByte(); err == nil {
		t.Error("the call was answered")
	}
}

func TestMethodsAreThoseThatAreRegistered(t *testing.T) {
	a := server.NewAdmin(server.AdminOptions{})
	all := a.Methods()
	slices.Sort(all)
	want := []string{
		"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List", "/grpc.health.v1.Health/Watch",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
	}
	if !slices.Equal(all, want) {
		t.Errorf("%v, want %v", all, want)
	}
}

func TestRegisteringAfterServePanicsInAdministrationToo(t *testing.T) {
	var a *server.Admin
	address, _ := serveAdmin(t, server.AdminOptions{}, func(made *server.Admin) { a = made })
	conn := dialAdmin(t, address, insecure.NewCredentials())
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("it does not panic")
		}
	}()
	a.RegisterService(&grpc_health_v1.Health_ServiceDesc, nil)
}
