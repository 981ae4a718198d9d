package client_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/client"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

const catalogue = `catalogue: shop
grpc:
  grpc.health.v1.Health:
    namespace: Shop
    resourceType: Orders
    methods: {Check: Read, Watch: Ship}
    scope: {kind: environment, header: x-environment}
routes:
  - {method: GET, path: /health, public: true}
namespaces:
  Shop:
    resourceTypes:
      Orders: {actions: [Ship]}
`

const policy = `apiVersion: pathgrant/v1
tenants:
  - id: contoso
    environments: [{id: e1}, {id: e2}]
    principals:
      - {principalType: User, principalObjectId: eve, disabled: true}
    roleDefinitions:
      - {roleDefinitionId: clerk, roleDefinitionName: Clerk, permissions: [Shop.Orders.Read, Shop.Orders.Ship], assignableScopes: ["/tenants/{0}"]}
    roleAssignments:
      - {roleAssignmentId: a1, principalType: User, principalObjectId: ada, roleDefinitionName: Clerk, scope: /tenants/contoso, expiresOn: "2040-01-01T00:00:00Z"}
      - {roleAssignmentId: a2, principalType: User, principalObjectId: ada, roleDefinitionName: Clerk, scope: /tenants/contoso/environments/e2, effect: DENY}
      - {roleAssignmentId: a3, principalType: Group, principalObjectId: staff, roleDefinitionName: Clerk, scope: /tenants/contoso}
...
`

// A product is the service with a real gate and a real store behind it.
type product struct {
	*rpc.Server
	store *snapshot.Store
	dir   string
}

// newProduct holds the policy. Close it.
func newProduct(ctx context.Context) (_ *product, err error) {
	p := &product{}
	if p.dir, err = os.MkdirTemp("", "pathgrant-client-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	catalogues, err := naming.Load(naming.Source{File: "shop.yaml", Text: []byte(catalogue)})
	if err != nil {
		return nil, err
	}
	if p.store, err = snapshot.Open(ctx, snapshot.Options{
		Dir: p.dir, CacheBytes: 1 << 20, Vocabulary: catalogues.Vocabulary(), ShippedRoles: roles.All(), StandardTables: roles.StandardTables(),
	}); err != nil {
		return nil, err
	}
	data, err := bundle.Parse("policy.yaml", []byte(policy), bundle.Options{Vocabulary: catalogues.Vocabulary(), Now: time.Now()})
	if err != nil {
		return nil, err
	}
	if _, err := p.store.Replace(ctx, data, snapshot.Change{Source: "test"}); err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	g := gate.New(gate.Options{Catalogues: catalogues, Snapshots: p.store, Log: log, Now: time.Now})
	p.Server = rpc.New(rpc.Options{Decider: g, Mapper: g, Composites: g, Log: log})
	return p, nil
}

func (p *product) Close() error {
	var err error
	if p.store != nil {
		err = p.store.Close()
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

// serve answers with the service on the listener until stop is called.
func serve(l net.Listener, service pathgrantv1.AuthorizationServiceServer, options ...grpc.ServerOption) (stop func()) {
	server := grpc.NewServer(options...)
	pathgrantv1.RegisterAuthorizationServiceServer(server, service)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	return func() {
		server.Stop()
		<-served
	}
}

func listen(t testing.TB, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// dial returns a client of the service, served on a loopback address.
func dial(t testing.TB, service pathgrantv1.AuthorizationServiceServer, options ...client.Option) *client.Client {
	t.Helper()
	l := listen(t, "tcp", "127.0.0.1:0")
	t.Cleanup(serve(l, service))
	return dialAt(t, l.Addr().String(), options...)
}

func dialAt(t testing.TB, target string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Dial(target, append([]client.Option{client.WithTimeout(10 * time.Second)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// dialProduct returns a client of the real thing.
func dialProduct(t testing.TB, options ...client.Option) (*client.Client, *product) {
	t.Helper()
	p, err := newProduct(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return dial(t, p, options...), p
}

func socket(t testing.TB) string { return filepath.Join(t.TempDir(), "pathgrant.sock") }

// scripted answers as it is told, and counts.
type scripted struct {
	pathgrantv1.UnimplementedAuthorizationServiceServer
	calls   atomic.Int32
	check   func(ctx context.Context, call int, in *pathgrantv1.CheckRequest) (*pathgrantv1.CheckResponse, error)
	batch   func(in *pathgrantv1.BatchCheckRequest) (*pathgrantv1.BatchCheckResponse, error)
	resolve func(in *pathgrantv1.ResolveRequest) (*pathgrantv1.ResolveResponse, error)
}

func (s *scripted) Check(ctx context.Context, in *pathgrantv1.CheckRequest) (*pathgrantv1.CheckResponse, error) {
	return s.check(ctx, int(s.calls.Add(1)), in)
}

func (s *scripted) BatchCheck(_ context.Context, in *pathgrantv1.BatchCheckRequest) (*pathgrantv1.BatchCheckResponse, error) {
	s.calls.Add(1)
	return s.batch(in)
}

func (s *scripted) Resolve(_ context.Context, in *pathgrantv1.ResolveRequest) (*pathgrantv1.ResolveResponse, error) {
	s.calls.Add(1)
	return s.resolve(in)
}

// answering gives every check the same decision.
func answering(d *pathgrantv1.Decision) *scripted {
	return &scripted{check: func(context.Context, int, *pathgrantv1.CheckRequest) (*pathgrantv1.CheckResponse, error) {
		return &pathgrantv1.CheckResponse{Decision: d}, nil
	}}
}

// checker decides as it is told.
type checker func(ctx context.Context, q client.Question) (client.Decision, error)

func (c checker) Check(ctx context.Context, q client.Question, _ ...client.CallOption) (client.Decision, error) {
	return c(ctx, q)
}

func user(id string) client.Subject {
	return client.Subject{Tenant: "contoso", Principal: authz.Principal{Type: authz.User, ID: id}}
}

func get(who client.Subject, path string) client.Question {
	return client.Question{Subject: who, HTTP: &client.HTTPRequest{Method: "GET", Path: path}}
}
