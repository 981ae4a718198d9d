package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

type options struct{ envoy, pathgrant, bootstrap string }

// maxSocketPath is how long the path of a unix socket may be.
const maxSocketPath = 100

// A stage is what runs: an upstream, Pathgrant and Envoy, on loopback, with all their
// files in one directory.
type stage struct {
	options
	dir       string
	bundle    string // the file that assignments come from
	upstream  *pgtest.Upstream
	gate      *pgtest.Pathgrant
	proxy     *pgtest.Envoy
	tokens    map[string]string // by caller
	client    *http.Client
	transport *http.Transport
}

// setUp starts everything; after an error nothing is left.
func setUp(ctx context.Context, o options) (_ *stage, err error) {
	s := &stage{options: o, transport: &http.Transport{}} // no proxy from the environment: all of it is loopback
	s.client = &http.Client{Transport: s.transport}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = makeDir(); err != nil {
		return nil, err
	}
	s.bundle = filepath.Join(s.dir, "policy.yaml")
	if err := s.writeBundle(policy); err != nil {
		return nil, err
	}
	issuer, err := pgtest.NewIssuer("demo")
	if err != nil {
		return nil, err
	}
	stranger, err := pgtest.NewIssuer("demo") // the same name, another key
	if err != nil {
		return nil, err
	}
	if s.tokens, err = mintTokens(issuer, stranger); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "jwks.json"), issuer.JWKS(), 0o600); err != nil {
		return nil, err
	}
	if s.upstream, err = pgtest.StartUpstream(); err != nil {
		return nil, err
	}
	if err := s.startPathgrant(ctx); err != nil {
		return nil, err
	}
	s.proxy, err = pgtest.StartEnvoy(ctx, pgtest.EnvoyOptions{
		Bin: o.envoy, Bootstrap: o.bootstrap, Dir: s.dir, Upstream: s.upstream, Pathgrant: s.socket(),
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// makeDir makes a directory whose path is short enough for a socket in it.
func makeDir() (string, error) {
	dir, err := os.MkdirTemp("", "pathgrant-demo-")
	if err != nil || len(filepath.Join(dir, "authz.sock")) <= maxSocketPath {
		return dir, err
	}
	return "", errors.Join(
		fmt.Errorf("%s is too long a path for a unix socket: set TMPDIR to a shorter one", dir), os.Remove(dir))
}

func (s *stage) socket() string { return filepath.Join(s.dir, "authz.sock") }

// startPathgrant starts the command and waits until it is ready.
func (s *stage) startPathgrant(ctx context.Context) (err error) {
	s.gate, err = pgtest.StartPathgrant(ctx, pgtest.PathgrantOptions{
		Bin:    s.pathgrant,
		Listen: "unix://" + s.socket(),
		Args: []string{
			"--data", filepath.Join(s.dir, "data"), "--bundle", s.bundle,
			"--jwks", filepath.Join(s.dir, "jwks.json"), "--issuer", pgtest.IssuerURL,
			"--audience", pgtest.Audience, "--issuer-tenant", tenant,
			"--decision-log", "all", "--drain-delay", "0s",
		},
	})
	return err
}

// writeBundle puts a bundle in place at once: nobody ever reads half of it.
func (s *stage) writeBundle(text string) error {
	if err := os.WriteFile(s.bundle+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(s.bundle+".new", s.bundle)
}

// close stops everything and removes the files.
func (s *stage) close() error {
	var errs []error
	s.transport.CloseIdleConnections()
	if s.proxy != nil {
		errs = append(errs, s.proxy.Close())
	}
	if s.gate != nil {
		errs = append(errs, s.gate.Close())
	}
	if s.upstream != nil {
		errs = append(errs, s.upstream.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
