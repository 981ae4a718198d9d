package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// What a [Client] does unless told otherwise.
const (
	// DefaultTimeout bounds a call, with all its attempts.
	DefaultTimeout = time.Second
	// DefaultRetries is how often a call is tried again.
	DefaultRetries = 2
	// DefaultKeepalive is after how much silence a connection is probed.
	DefaultKeepalive = 30 * time.Second
)

// The bounds of what can be set.
const (
	maxRetries   = 4                // grpc-go makes at most five attempts
	minKeepalive = 10 * time.Second // a server may hang up on a client that probes more often
)

// An Option changes what a [Client] does.
type Option func(*settings) error

type settings struct {
	timeout   time.Duration
	retries   int
	keepalive time.Duration
	tls       *tls.Config
	plaintext bool
	// connects is the option that says how to connect, which a connection made elsewhere
	// has no use for.
	connects string
}

func apply(options []Option) (settings, error) {
	s := settings{timeout: DefaultTimeout, retries: DefaultRetries, keepalive: DefaultKeepalive}
	var errs []error
	for _, option := range options {
		errs = append(errs, option(&s))
	}
	if s.plaintext && s.tls != nil {
		errs = append(errs, errors.New("plaintext and TLS are both asked for: want one of them"))
	}
	return s, errors.Join(errs...)
}

// WithTimeout bounds every call, with all its attempts; a context with an earlier deadline
// still ends it earlier. Without it, [DefaultTimeout].
//
// A call that asks for a revision (see [AtLeast]) waits for it at most this long.
func WithTimeout(d time.Duration) Option {
	return func(s *settings) error {
		if d <= 0 {
			return fmt.Errorf("timeout: %v is not positive", d)
		}
		s.timeout = d
		return nil
	}
}

// WithRetries sets how often a call is tried again, 0 to 4 times, with growing pauses.
// Only a call that the server could not take (UNAVAILABLE) is tried again: a decision,
// whatever it says, is never asked for twice. Without it, [DefaultRetries].
func WithRetries(n int) Option {
	return func(s *settings) error {
		s.connects = "WithRetries"
		if n < 0 || n > maxRetries {
			return fmt.Errorf("retries: %d is not in 0 to %d", n, maxRetries)
		}
		s.retries = n
		return nil
	}
}

// WithKeepalive sets after how much silence a connection is probed, at least 10 s, so that
// a server that vanished is noticed before a call needs it. Without it, [DefaultKeepalive].
func WithKeepalive(d time.Duration) Option {
	return func(s *settings) error {
		s.connects = "WithKeepalive"
		if d < minKeepalive {
			return fmt.Errorf("keepalive: %v is less than %v", d, minKeepalive)
		}
		s.keepalive = d
		return nil
	}
}

// WithTLS speaks TLS. The configuration is copied; TLS 1.2 is the least. One that verifies
// nothing is refused: whoever can answer in the server's place can allow everything.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) error {
		s.connects = "WithTLS"
		if config == nil {
			return errors.New("tls: the configuration is nil")
		}
		if config.InsecureSkipVerify && config.VerifyConnection == nil && config.VerifyPeerCertificate == nil {
			return errors.New("tls: InsecureSkipVerify without a verification of one's own: anybody could answer in the server's place")
		}
		s.tls = config.Clone()
		s.tls.MinVersion = max(s.tls.MinVersion, tls.VersionTLS12)
		return nil
	}
}

// TLSFiles are PEM files to speak TLS with.
type TLSFiles struct {
	// CA holds the roots that the server's certificate must lead to. Empty: the machine's.
	// It is read once.
	CA string
	// Certificate and Key are this client's, where the server wants one. They are read for
	// every connection, so that they can be replaced while the client lives.
	Certificate, Key string
	// ServerName is the name in the server's certificate. Empty: the host of the target;
	// for a unix socket it is needed.
	ServerName string
}

// WithTLSFiles speaks TLS with certificates from files.
func WithTLSFiles(files TLSFiles) Option {
	return func(s *settings) error {
		config := &tls.Config{ServerName: files.ServerName, MinVersion: tls.VersionTLS12}
		if files.CA != "" {
			pem, err := os.ReadFile(files.CA)
			if err != nil {
				return fmt.Errorf("tls: roots: %w", err)
			}
			config.RootCAs = x509.NewCertPool()
			if !config.RootCAs.AppendCertsFromPEM(pem) {
				return fmt.Errorf("tls: roots: %s holds no certificate", files.CA)
			}
		}
		if (files.Certificate == "") != (files.Key == "") {
			return errors.New("tls: a certificate and its key go together")
		}
		if files.Certificate != "" {
			load := func() (*tls.Certificate, error) {
				pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
				if err != nil {
					return nil, fmt.Errorf("tls: certificate: %w", err)
				}
				return &pair, nil
			}
			if _, err := load(); err != nil { // at once, rather than at the first call
				return err
			}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
		}
		return WithTLS(config)(s)
	}
}

// WithPlaintext lets a connection leave the machine unprotected. Without it, only loopback
// addresses and unix sockets are spoken to without TLS: on the way, every answer could be
// turned into another.
func WithPlaintext() Option {
	return func(s *settings) error {
		s.connects = "WithPlaintext"
		s.plaintext = true
		return nil
	}
}
