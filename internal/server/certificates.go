package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// maxPEM bounds the files that certificates and keys are read from.
const maxPEM = 1 << 20

// DefaultCertificateRefresh is how often certificate files are read again.
const DefaultCertificateRefresh = 10 * time.Second

// CertificateFiles name what TLS is served with. All are PEM.
type CertificateFiles struct {
	// Certificate holds the server's certificate and those between it and its root.
	Certificate string
	// Key holds the certificate's private key.
	Key string
	// ClientCAs holds the roots of clients. If it is given, every client must present a
	// certificate that one of them vouches for; if not, clients are not asked for one.
	ClientCAs string
}

// Certificates hold a server's certificate and its clients' roots, and take over what
// changes on disk. They are safe for concurrent use.
//
// A handshake uses the files as they were last read whole and valid. A file that cannot
// be read, or a key that does not fit its certificate (as in the middle of a rotation),
// changes nothing; the problem is logged once and shown by [Certificates.Err].
type Certificates struct {
	files      CertificateFiles
	minVersion uint16
	log        *slog.Logger
	held       atomic.Pointer[material]
	problem    atomic.Pointer[error]
}

// material is one state of the files.
type material struct {
	certPEM, keyPEM, caPEM []byte
	config                 *tls.Config
}

// LoadCertificates reads the files. minVersion is tls.VersionTLS12 or tls.VersionTLS13;
// zero means the latter. It starts nothing: [Certificates.Run] sees changes.
func LoadCertificates(files CertificateFiles, minVersion uint16, log *slog.Logger) (*Certificates, error) {
	switch minVersion {
	case 0:
		minVersion = tls.VersionTLS13
	case tls.VersionTLS12, tls.VersionTLS13:
	default:
		return nil, fmt.Errorf("load certificates: TLS version %#x: want 1.2 or 1.3", minVersion)
	}
	c := &Certificates{files: files, minVersion: minVersion, log: log}
	if _, err := c.reload(); err != nil {
		return nil, fmt.Errorf("load certificates: %w", err)
	}
	return c, nil
}

// Run reads the files again at each interval until ctx ends, and returns nil. Zero means
// [DefaultCertificateRefresh].
func (c *Certificates) Run(ctx context.Context, interval time.Duration) error {
	if interval <= 0 {
		interval = DefaultCertificateRefresh
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			c.refresh(ctx)
		}
	}
}

// refresh reads the files and reports a problem when it is a new one.
func (c *Certificates) refresh(ctx context.Context) {
	before := c.Err()
	changed, err := c.reload()
	switch {
	case err != nil:
		if before == nil || before.Error() != err.Error() {
			c.log.ErrorContext(ctx, "certificates not reloaded", "err", err)
		}
		c.problem.Store(&err)
	default:
		c.problem.Store(nil)
		if changed {
			c.log.InfoContext(ctx, "certificates reloaded", "cert_file", c.files.Certificate, "client_ca_file", c.files.ClientCAs)
		} else if before != nil {
			c.log.InfoContext(ctx, "certificate files are valid again")
		}
	}
}

// Err returns what is wrong with the files as they are now on disk; nil if they are in
// force.
func (c *Certificates) Err() error {
	if p := c.problem.Load(); p != nil {
		return *p
	}
	return nil
}

// NotAfter returns when the certificate in force expires.
func (c *Certificates) NotAfter() time.Time {
	return c.held.Load().config.Certificates[0].Leaf.NotAfter
}

// Config returns a configuration for a TLS server that offers HTTP/2 and uses, for each
// handshake, what is then in force.
//
// No session is resumed: a resumed session would skip the check of the client's
// certificate against the roots as they are by then.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion:             c.minVersion,
		NextProtos:             []string{"h2"},
		SessionTicketsDisabled: true,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.held.Load().config, nil
		},
	}
}

// reload puts the files in force if they have changed and are valid.
func (c *Certificates) reload() (changed bool, err error) {
	next := &material{}
	var errs []error
	read := func(setting, file string, into *[]byte) {
		if *into, err = readPEM(file); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", setting, err))
		}
	}
	read("tls.cert_file", c.files.Certificate, &next.certPEM)
	read("tls.key_file", c.files.Key, &next.keyPEM)
	if c.files.ClientCAs != "" {
		read("tls.client_ca_file", c.files.ClientCAs, &next.caPEM)
	}
	if len(errs) > 0 {
		return false, errors.Join(errs...)
	}
	if held := c.held.Load(); held != nil && bytes.Equal(held.certPEM, next.certPEM) &&
		bytes.Equal(held.keyPEM, next.keyPEM) && bytes.Equal(held.caPEM, next.caPEM) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(next.certPEM, next.keyPEM)
	if err != nil {
		errs = append(errs, fmt.Errorf("tls.cert_file %s and tls.key_file %s: %w", c.files.Certificate, c.files.Key, err))
	}
	next.config = &tls.Config{
		Certificates:           []tls.Certificate{pair},
		MinVersion:             c.minVersion,
		NextProtos:             []string{"h2"},
		SessionTicketsDisabled: true,
	}
	if c.files.ClientCAs != "" {
		roots, err := parseRoots(next.caPEM)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.client_ca_file %s: %w", c.files.ClientCAs, err))
		}
		next.config.ClientCAs = roots
		next.config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if len(errs) > 0 {
		return false, errors.Join(errs...)
	}
	c.held.Store(next)
	return true, nil
}

// parseRoots reads every certificate of a PEM file. x509.CertPool's own reader passes
// over blocks it cannot read, which would silently drop a root.
func parseRoots(text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	n := 0
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a %q block: want certificates only", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n+1, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, errors.New("holds no certificate in PEM form")
	}
	return pool, nil
}

func readPEM(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxPEM)
	}
	return text, nil
}
