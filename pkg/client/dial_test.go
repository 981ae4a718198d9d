package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/client"
)

func TestWhereAClientMayDial(t *testing.T) {
	withTLS := client.WithTLS(&tls.Config{})
	tests := map[string]struct {
		target  string
		options []client.Option
		want    string // in the error; empty: none
	}{
		"loopback":                     {target: "127.0.0.1:9191"},
		"all of loopback":              {target: "127.8.9.10:9191"},
		"loopback as tcp":              {target: "tcp://127.0.0.1:9191"},
		"loopback, version 6":          {target: "[::1]:9191"},
		"loopback, 4 in 6":             {target: "[::ffff:127.0.0.1]:9191"},
		"localhost":                    {target: "localhost:9191"},
		"a unix socket":                {target: "unix:///run/pathgrant/authz.sock"},
		"elsewhere with TLS":           {target: "pathgrant.example:9191", options: []client.Option{withTLS}},
		"elsewhere if asked for":       {target: "10.0.0.7:9191", options: []client.Option{client.WithPlaintext()}},
		"elsewhere":                    {target: "10.0.0.7:9191", want: "not on this machine and without TLS"},
		"elsewhere by name":            {target: "pathgrant.example:9191", want: "not on this machine and without TLS"},
		"a name like localhost":        {target: "localhost.example:9191", want: "not on this machine and without TLS"},
		"a name like an address":       {target: "127.0.0.1.example:9191", want: "not on this machine and without TLS"},
		"every address":                {target: "0.0.0.0:9191", want: "not on this machine and without TLS"},
		"nothing":                      {target: "", want: "want host:port, tcp://host:port or unix:///path"},
		"no host":                      {target: ":9191", want: "want host:port"},
		"no port":                      {target: "127.0.0.1", want: "want host:port"},
		"port 0":                       {target: "127.0.0.1:0", want: `"0" is no port`},
		"a port's name":                {target: "127.0.0.1:http", want: `"http" is no port`},
		"another scheme":               {target: "dns:///127.0.0.1:9191", want: "want host:port"},
		"a URL":                        {target: "http://127.0.0.1:9191", want: "want host:port"},
		"a user":                       {target: "me@127.0.0.1:9191", want: "want host:port"},
		"half a path":                  {target: "unix://run/authz.sock", want: "want unix:///path"},
		"the root":                     {target: "unix:///", want: "want unix:///path"},
		"TLS on a socket without name": {target: "unix:///run/a.sock", options: []client.Option{withTLS}, want: "set the server name"},
		"TLS that verifies nothing":    {target: "127.0.0.1:9191", options: []client.Option{client.WithTLS(&tls.Config{InsecureSkipVerify: true})}, want: "anybody could answer"},
		"no TLS configuration":         {target: "127.0.0.1:9191", options: []client.Option{client.WithTLS(nil)}, want: "tls: the configuration is nil"},
		"TLS and plaintext":            {target: "127.0.0.1:9191", options: []client.Option{withTLS, client.WithPlaintext()}, want: "want one of them"},
		"a timeout of nothing":         {target: "127.0.0.1:9191", options: []client.Option{client.WithTimeout(0)}, want: "timeout: 0s is not positive"},
		"too many retries":             {target: "127.0.0.1:9191", options: []client.Option{client.WithRetries(5)}, want: "retries: 5 is not in 0 to 4"},
		"too few retries":              {target: "127.0.0.1:9191", options: []client.Option{client.WithRetries(-1)}, want: "retries: -1 is not in 0 to 4"},
		"a nervous keepalive":          {target: "127.0.0.1:9191", options: []client.Option{client.WithKeepalive(time.Second)}, want: "keepalive: 1s is less than 10s"},
		"no roots":                     {target: "127.0.0.1:9191", options: []client.Option{client.WithTLSFiles(client.TLSFiles{CA: "/nowhere"})}, want: "tls: roots: open /nowhere"},
		"a certificate without a key":  {target: "127.0.0.1:9191", options: []client.Option{client.WithTLSFiles(client.TLSFiles{Certificate: "a"})}, want: "go together"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := client.Dial(test.target, test.options...)
			if err == nil {
				defer c.Close()
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("Dial(%q) returned the error %v, want %q", test.target, err, test.want)
			}
		})
	}
}

func TestDialReportsAllThatIsWrong(t *testing.T) {
	_, err := client.Dial("nowhere", client.WithTimeout(-1), client.WithRetries(9), client.WithKeepalive(0))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`target "nowhere"`, "timeout", "retries", "keepalive"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
}

// An authority issues certificates.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	root *x509.Certificate
	next int64
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns a certificate and its key as PEM.
func (a *authority) issue(name string) (certificate, key []byte) {
	a.next++
	private := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(a.next + 1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.root, private.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// secure serves an allowing service with TLS, for clients of the authority.
func (a *authority) secure(l net.Listener, name string) (stop func()) {
	certificate, key := a.issue(name)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		a.t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.root)
	return serve(l, answering(&pathgrantv1.Decision{Effect: allow, Reason: pathgrantv1.Reason_REASON_PUBLIC}),
		grpc.Creds(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		})))
}

func TestMutualTLSFromFilesThatAreReplaced(t *testing.T) {
	ours, others, dir := newAuthority(t), newAuthority(t), t.TempDir()
	l := listen(t, "tcp", "127.0.0.1:0")
	address := l.Addr().String()
	stop := ours.secure(l, "pathgrant.example")
	files := client.TLSFiles{
		CA: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), ServerName: "pathgrant.example",
	}
	write(t, files.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.root.Raw}))
	give := func(from *authority) {
		certificate, key := from.issue("shop.example")
		write(t, files.Certificate, certificate)
		write(t, files.Key, key)
	}
	question := get(client.Subject{}, "/health")
	give(ours)
	c := dialAt(t, address, client.WithTLSFiles(files))
	if d, err := c.Check(t.Context(), question); err != nil || !d.Allowed() {
		t.Fatalf("Check returned %v and the error %v", d, err)
	}

	give(others) // which this server does not know
	stop()
	stop = ours.secure(listen(t, "tcp", address), "pathgrant.example")
	if d, err := c.Check(t.Context(), question); status.Code(err) != codes.Unavailable || d.Allowed() {
		t.Errorf("Check with a stranger's certificate returned %v and the error %v", d, err)
	}
	stop()

	give(ours)
	defer ours.secure(listen(t, "tcp", address), "pathgrant.example")()
	deadline := time.Now().Add(20 * time.Second)
	for {
		d, err := c.Check(t.Context(), question)
		if err == nil && d.Allowed() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the certificate that was put back is not used: %v", err)
		}
	}
}

func TestAServerThatIsAnotherIsNotBelieved(t *testing.T) {
	ours, others, dir := newAuthority(t), newAuthority(t), t.TempDir()
	files := client.TLSFiles{CA: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), ServerName: "pathgrant.example"}
	certificate, key := ours.issue("shop.example")
	write(t, files.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.root.Raw}))
	write(t, files.Certificate, certificate)
	write(t, files.Key, key)
	for name, serve := range map[string]func(net.Listener) func(){
		"another authority": func(l net.Listener) func() { return others.secure(l, "pathgrant.example") },
		"another name":      func(l net.Listener) func() { return ours.secure(l, "elsewhere.example") },
		"no TLS": func(l net.Listener) func() {
			return serve(l, answering(&pathgrantv1.Decision{Effect: allow, Reason: pathgrantv1.Reason_REASON_PUBLIC}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := socket(t)
			defer serve(listen(t, "unix", path))()
			c := dialAt(t, "unix://"+path, client.WithTLSFiles(files), client.WithTimeout(3*time.Second), client.WithRetries(0))
			if d, err := c.Check(t.Context(), get(client.Subject{}, "/health")); err == nil || d.Allowed() {
				t.Errorf("Check returned %v and the error %v", d, err)
			}
		})
	}
}
