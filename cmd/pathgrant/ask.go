package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// defaultServer is where a server listens unless told otherwise.
const defaultServer = "127.0.0.1:9191"

// checkSource says who is asked: a server, or this process from a bundle or a data
// directory. Both answer through the same service.
type checkSource struct {
	server, bundle, data string
	files                modelFiles
	tlsCA                string
	timeout              time.Duration
}

func (s *checkSource) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.server, "server", "", "ask the server at host:port or unix:///path (default "+defaultServer+")")
	f.StringVar(&s.bundle, "bundle", "", "answer from this bundle, without a server")
	f.StringVar(&s.data, "data", "", "answer from this data directory, without a server")
	s.files.flags(cmd, ", with --bundle or --data")
	f.StringVar(&s.tlsCA, "tls-ca", "", "speak TLS to the server, and verify it with the roots in this PEM file")
	f.DurationVar(&s.timeout, "timeout", 10*time.Second, "how long to wait for each answer")
	cmd.MarkFlagsMutuallyExclusive("server", "bundle", "data")
}

func (s *checkSource) open(ctx context.Context, log *slog.Logger) (asker, error) {
	if s.bundle != "" || s.data != "" {
		return s.openHere(ctx, log)
	}
	if flag := s.files.given(); flag != "" {
		return nil, usagef("%s goes with --bundle or --data; a server has its own", flag)
	}
	return s.dial()
}

// remote asks a server.
type remote struct {
	conn    *grpc.ClientConn
	service pathgrantv1.AuthorizationServiceClient
}

func (s *checkSource) dial() (asker, error) {
	address := s.server
	if address == "" {
		address = defaultServer
	}
	address = strings.TrimPrefix(address, "tcp://")
	transport := insecure.NewCredentials()
	if s.tlsCA != "" {
		pem, err := os.ReadFile(s.tlsCA)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--tls-ca: %s holds no certificate", s.tlsCA)
		}
		transport = credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(transport), grpc.WithNoProxy())
	if err != nil {
		return nil, fmt.Errorf("--server %s: %w", s.server, err)
	}
	return &remote{conn, pathgrantv1.NewAuthorizationServiceClient(conn)}, nil
}

func (r *remote) Check(ctx context.Context, in *pathgrantv1.CheckRequest) (*pathgrantv1.CheckResponse, error) {
	return r.service.Check(ctx, in)
}

func (r *remote) CheckComposite(ctx context.Context, in *pathgrantv1.CheckCompositeRequest) (*pathgrantv1.CheckCompositeResponse, error) {
	return r.service.CheckComposite(ctx, in)
}

func (r *remote) Close() error { return r.conn.Close() }

// serverFailed tells whether the call failed for another reason than the question.
func serverFailed(err error) bool {
	return err != nil && status.Code(err) != codes.InvalidArgument
}

// here answers in this process, with the service that a server runs.
type here struct {
	*rpc.Server
	store  *snapshot.Store
	remove string // a directory of our own, to be removed
}

func (h *here) Close() error {
	err := h.store.Close()
	if h.remove != "" {
		err = errors.Join(err, os.RemoveAll(h.remove))
	}
	return err
}

func (s *checkSource) openHere(ctx context.Context, log *slog.Logger) (_ asker, err error) {
	m, err := s.files.load()
	if err != nil {
		return nil, err
	}
	h := &here{}
	if s.data != "" {
		h.store, err = openStore(ctx, m, storeOptions{dir: s.data, readOnly: true, log: log})
	} else {
		h.store, h.remove, err = storeOfBundle(ctx, m, s.bundle, log)
	}
	if err != nil {
		return nil, err
	}
	g := gate.New(gate.Options{Catalogues: m.Catalogues, Snapshots: h.store, Log: log, Now: time.Now})
	h.Server = rpc.New(rpc.Options{Decider: g, Mapper: g, Composites: g, FoldCase: m.FoldCase(), Log: log})
	return h, nil
}

// storeOfBundle reads a bundle into a store in a directory of its own, which the caller
// closes and removes.
func storeOfBundle(ctx context.Context, m *model, file string, log *slog.Logger) (_ *snapshot.Store, dir string, err error) {
	data, err := readBundle(m, file)
	if err != nil {
		return nil, "", err
	}
	if dir, err = os.MkdirTemp("", "pathgrant-"); err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	store, err := openStore(ctx, m, storeOptions{dir: dir, log: log})
	if err != nil {
		return nil, "", err
	}
	if _, err := store.Replace(ctx, data, snapshot.Change{Source: "bundle", Note: file}); err != nil {
		return nil, "", errors.Join(err, store.Close())
	}
	return store, dir, nil
}

func readBundle(m *model, file string) (*snapshot.Data, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	return bundle.Parse(file, text, bundleOptions(m))
}

func bundleOptions(m *model) bundle.Options {
	return bundle.Options{FoldCase: m.FoldCase(), Vocabulary: m.Vocabulary(), Roles: m.roles, Now: time.Now()}
}

// storeOptions are what differs between the commands that open a store.
type storeOptions struct {
	dir                   string
	readOnly              bool
	restore               bool // open it without what is in it: everything is delivered anew
	cacheBytes            int64
	unknownScopesAtTenant bool
	log                   *slog.Logger
}

func openStore(ctx context.Context, m *model, o storeOptions) (*snapshot.Store, error) {
	return snapshot.Open(ctx, snapshotOptions(m, o))
}

func snapshotOptions(m *model, o storeOptions) snapshot.Options {
	if o.cacheBytes == 0 {
		o.cacheBytes = 16 << 20
	}
	return snapshot.Options{
		Dir:                   o.dir,
		ReadOnly:              o.readOnly,
		Restore:               o.restore,
		CacheBytes:            o.cacheBytes,
		Vocabulary:            m.Vocabulary(),
		ShippedRoles:          m.roles,
		StandardTables:        roles.StandardTables(),
		FoldCase:              m.FoldCase(),
		UnknownScopesAtTenant: o.unknownScopesAtTenant,
		Log:                   o.log,
		Now:                   time.Now,
	}
}
