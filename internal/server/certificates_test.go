package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/credentials"

	"github.com/pathgrant/pathgrant/internal/server"
)

// An authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key, a.pem, _ = issue(t, template, nil)
	return a
}

// issue signs a template, by itself if there is no authority.
func issue(t *testing.T, template *x509.Certificate, by *authority) (cert *x509.Certificate, key *ecdsa.PrivateKey, certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// leaf returns a certificate for 127.0.0.1 and its key.
func (a *authority) leaf(t *testing.T, name string) (certPEM, keyPEM []byte) {
	t.Helper()
	_, _, certPEM, keyPEM = issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	return certPEM, keyPEM
}

// replace puts a file in place as a whole, as an operator's tools do.
func replace(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// eventually asks until it is true, for what another goroutine reads off the disk.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("it has not come about that %s", what)
		}
	}
}

// A logBuffer is safe for concurrent use.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) count(s string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), s)
}

// pki is the files of a TLS server.
type pki struct {
	files server.CertificateFiles
	log   logBuffer
}

func newPKI(t *testing.T, clientCA []byte) *pki {
	t.Helper()
	dir := t.TempDir()
	// Certificate and key in different directories, as some tools have them.
	p := &pki{files: server.CertificateFiles{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(t.TempDir(), "tls.key")}}
	if clientCA != nil {
		p.files.ClientCAs = filepath.Join(dir, "ca.crt")
		replace(t, p.files.ClientCAs, clientCA)
	}
	return p
}

// install puts a new certificate of that name in place.
func (p *pki) install(t *testing.T, by *authority, name string) {
	t.Helper()
	certPEM, keyPEM := by.leaf(t, name)
	replace(t, p.files.Key, keyPEM)
	replace(t, p.files.Certificate, certPEM)
}

func (p *pki) load(t *testing.T, minVersion uint16) *server.Certificates {
	t.Helper()
	c, err := server.LoadCertificates(p.files, minVersion, slog.New(slog.NewTextHandler(&p.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// client returns what a client trusts and shows.
func client(t *testing.T, roots *authority, certPEM, keyPEM []byte) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(roots.cert)
	c := &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	if certPEM != nil {
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			t.Fatal(err)
		}
		// Unlike Certificates, this shows the certificate whatever the server asks for.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c
}

// handshake connects and reads, since a server's verdict on a client's certificate comes
// with the first read, and returns whom it met.
func (r *running) handshake(t *testing.T, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	dialer := tls.Dialer{Config: c}
	conn, err := dialer.DialContext(soon(t), "tcp", r.listeners[0].Addr().String())
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = conn.Close() }()
	// HTTP/2 begins with the client's preface, which the server answers with its settings.
	if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		return tls.ConnectionState{}, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := conn.Read(make([]byte, 9)); err != nil {
		return tls.ConnectionState{}, err
	}
	met, ok := conn.(*tls.Conn)
	if !ok {
		t.Fatalf("the dialer returned a %T", conn)
	}
	return met.ConnectionState(), nil
}

func (r *running) meets(t *testing.T, c *tls.Config) string {
	t.Helper()
	state, err := r.handshake(t, c)
	if err != nil {
		return err.Error()
	}
	return state.PeerCertificates[0].Subject.CommonName
}

func TestCertificateIsReplacedWithoutRestart(t *testing.T) {
	ca := newAuthority(t, "root")
	p := newPKI(t, nil)
	p.install(t, ca, "first")
	c := p.load(t, 0)
	r := serve(t, server.Options{TLS: c, CertificateRefresh: time.Millisecond}, answer,
		server.Address{Network: "tcp", Address: "127.0.0.1:0"}, unixAddress(filepath.Join(t.TempDir(), "s")))
	trust := client(t, ca, nil, nil)

	state, err := r.handshake(t, trust)
	if err != nil {
		t.Fatal(err)
	}
	if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "h2" {
		t.Errorf("met with TLS %#x and protocol %q, want 1.3 and h2", state.Version, state.NegotiatedProtocol)
	}
	if _, err := authv3.NewAuthorizationClient(r.dial(t, 0, credentials.NewTLS(trust))).Check(soon(t), &authv3.CheckRequest{}); err != nil {
		t.Errorf("check over TLS: %v", err)
	}
	if _, err := authv3.NewAuthorizationClient(r.dial(t, 1, nil)).Check(soon(t), &authv3.CheckRequest{}); err != nil {
		t.Errorf("check over the unix socket, which is plain: %v", err)
	}
	if _, err := authv3.NewAuthorizationClient(r.dial(t, 0, nil)).Check(soon(t), &authv3.CheckRequest{}); err == nil {
		t.Error("a plain check over TCP is answered")
	}

	// In the middle of a rotation the key does not fit the certificate.
	secondCert, secondKey := ca.leaf(t, "second")
	replace(t, p.files.Key, secondKey)
	eventually(t, "the mismatch is noticed", func() bool { return c.Err() != nil })
	if got := r.meets(t, trust); got != "first" {
		t.Errorf("with a key that does not fit, clients meet %q, want first", got)
	}
	if !strings.Contains(c.Err().Error(), "tls.key_file") {
		t.Errorf("the problem does not name the setting: %v", c.Err())
	}
	if p.log.count("PRIVATE KEY") > 0 || strings.Contains(c.Err().Error(), "PRIVATE KEY") {
		t.Error("the key is in the log")
	}
	replace(t, p.files.Certificate, secondCert)
	eventually(t, "the second certificate is used", func() bool { return r.meets(t, trust) == "second" })
	eventually(t, "the problem is gone", func() bool { return c.Err() == nil })
	if n := p.log.count("certificates not reloaded"); n != 1 {
		t.Errorf("one problem was logged %d times", n)
	}

	// Files that go away change nothing either.
	if err := os.Remove(p.files.Certificate); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is noticed", func() bool { return c.Err() != nil })
	if got := r.meets(t, trust); got != "second" {
		t.Errorf("without a certificate file, clients meet %q, want second", got)
	}
	replace(t, p.files.Certificate, secondCert)
	eventually(t, "the problem is gone", func() bool { return c.Err() == nil })
}

func TestClientAuthorityIsReplacedWithoutRestart(t *testing.T) {
	serverCA, oldCA, newCA := newAuthority(t, "root"), newAuthority(t, "old"), newAuthority(t, "new")
	p := newPKI(t, oldCA.pem)
	p.install(t, serverCA, "server")
	r := serve(t, server.Options{TLS: p.load(t, tls.VersionTLS12), CertificateRefresh: time.Millisecond}, answer)

	oldCert, oldKey := oldCA.leaf(t, "client")
	newCert, newKey := newCA.leaf(t, "client")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		replace(t, p.files.ClientCAs, oldCA.pem)
		none, ofOld, ofNew := client(t, serverCA, nil, nil), client(t, serverCA, oldCert, oldKey), client(t, serverCA, newCert, newKey)
		for _, c := range []*tls.Config{none, ofOld, ofNew} {
			c.MinVersion, c.MaxVersion = version, version
		}
		refused := func(c *tls.Config) bool {
			_, err := r.handshake(t, c)
			return err != nil
		}
		eventually(t, "the old authority's client is let in", func() bool { return !refused(ofOld) })
		if !refused(none) || !refused(ofNew) {
			t.Errorf("TLS %#x: a client without certificate, or of another authority, is let in", version)
		}
		// The client offers to resume: a server that agreed would not look at the new roots.
		if state, err := r.handshake(t, ofOld); err != nil || state.DidResume {
			t.Errorf("TLS %#x: second handshake: resumed %v, %v", version, state.DidResume, err)
		}

		replace(t, p.files.ClientCAs, append(bytes.Clone(oldCA.pem), newCA.pem...))
		eventually(t, "both authorities' clients are let in", func() bool { return !refused(ofNew) })
		if refused(ofOld) {
			t.Errorf("TLS %#x: the old authority's client is refused while both are trusted", version)
		}
		replace(t, p.files.ClientCAs, newCA.pem)
		eventually(t, "the old authority's client is refused", func() bool { return refused(ofOld) })
		if refused(ofNew) {
			t.Errorf("TLS %#x: the new authority's client is refused", version)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	ca := newAuthority(t, "root")
	p := newPKI(t, nil)
	p.install(t, ca, "server")
	r := serve(t, server.Options{TLS: p.load(t, 0)}, answer)
	old := client(t, ca, nil, nil)
	old.MaxVersion = tls.VersionTLS12
	if got := r.meets(t, old); !strings.Contains(got, "protocol version") {
		t.Errorf("TLS 1.2 where 1.3 is the lowest: %s", got)
	}
	if _, err := server.LoadCertificates(p.files, tls.VersionTLS11, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("TLS 1.1 can be configured")
	}
}

func TestCertificatesThatDoNotLoad(t *testing.T) {
	ca := newAuthority(t, "root")
	certPEM, keyPEM := ca.leaf(t, "server")
	_, otherKey := ca.leaf(t, "other")
	block, _ := pem.Decode(ca.pem)
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes[:40]})
	for _, c := range []struct {
		name               string
		cert, key, clients []byte
		want               []string
	}{
		{"nothing there", nil, nil, nil, []string{"tls.cert_file", "tls.key_file"}},
		{"not PEM", []byte("x"), []byte("y"), []byte("z"), []string{"tls.cert_file", "tls.client_ca_file", "no certificate"}},
		{"the key of another", certPEM, otherKey, nil, []string{"tls.key_file", "does not match"}},
		{"a key among the clients' roots", certPEM, keyPEM, append(bytes.Clone(ca.pem), keyPEM...), []string{"tls.client_ca_file", `"PRIVATE KEY" block`}},
		{"one root of two is broken", certPEM, keyPEM, append(bytes.Clone(ca.pem), broken...), []string{"tls.client_ca_file", "certificate 2"}},
		{"too large", bytes.Repeat([]byte("x"), 2<<20), keyPEM, nil, []string{"tls.cert_file", "larger than"}},
	} {
		p := newPKI(t, c.clients)
		if c.cert != nil {
			replace(t, p.files.Certificate, c.cert)
			replace(t, p.files.Key, c.key)
		}
		_, err := server.LoadCertificates(p.files, 0, slog.New(slog.DiscardHandler))
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error does not say %q:\n%v", c.name, want, err)
			}
		}
		if strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: the error holds what is in the files", c.name)
		}
	}
}

func TestCertificateExpiryIsShown(t *testing.T) {
	ca := newAuthority(t, "root")
	p := newPKI(t, nil)
	p.install(t, ca, "server")
	c := p.load(t, 0)
	if left := time.Until(c.NotAfter()); left < 59*time.Minute || left > time.Hour {
		t.Errorf("NotAfter is in %s, want an hour at most", left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ctx, 0); err != nil {
		t.Errorf("Run: %v", err)
	}
}
