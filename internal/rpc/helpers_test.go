package rpc_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// dial serves the options on a connection of its own and returns a client of it.
func dial(t testing.TB, o rpc.Options) pathgrantv1.AuthorizationServiceClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(16 << 20))
	pathgrantv1.RegisterAuthorizationServiceServer(server, rpc.New(o))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///pathgrant",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return pathgrantv1.NewAuthorizationServiceClient(conn)
}

// decider answers a batch as it is told.
type decider func(ctx context.Context, r []ask.Request, a []ask.Answer) error

func (d decider) DecideBatch(ctx context.Context, r []ask.Request, a []ask.Answer) error {
	return d(ctx, r, a)
}

// answering gives every question the same answer.
func answering(answer ask.Answer) decider {
	return func(_ context.Context, _ []ask.Request, a []ask.Answer) error {
		for i := range a {
			a[i] = answer
		}
		return nil
	}
}

// mapper maps as it is told.
type mapper func(r *ask.Request, tenant string, a *ask.Answer)

func (m mapper) Map(r *ask.Request, tenant string, a *ask.Answer) { m(r, tenant, a) }

const firstCatalogue = `catalogue: first
routes:
  - {method: GET, path: /health, public: true}
  - {method: GET, path: /shut, deny: true}
namespaces:
  PowerApps:
    resourceTypes:
      Apps: {actions: [Play]}
`

const secondCatalogue = `catalogue: second
grpc:
  library.v1.BookService:
    namespace: Library
    resourceType: Books
    scope: {kind: environment, header: X-Environment}
namespaces:
  Library:
    resourceTypes:
      Books: {}
`

const readerRole = "c886ad2e-27f7-4874-8381-5849b8d8a090"

var noon = time.Date(2029, 12, 31, 12, 0, 0, 0, time.UTC)

// product is the service with a real gate and a real store behind it.
type product struct {
	pathgrantv1.AuthorizationServiceClient
	store *snapshot.Store
}

func newProduct(t testing.TB) *product {
	t.Helper()
	return newProductOf(t, firstCatalogue)
}

// newProductOf is newProduct with another first catalogue.
func newProductOf(t testing.TB, first string) *product {
	t.Helper()
	catalogues, err := naming.Load(
		naming.Source{File: "first.yaml", Text: []byte(first)},
		naming.Source{File: "second.yaml", Text: []byte(secondCatalogue)},
	)
	if err != nil {
		t.Fatal(err)
	}
	store, err := snapshot.Open(t.Context(), snapshot.Options{
		Dir: t.TempDir(), CacheBytes: 1 << 20, Vocabulary: catalogues.Vocabulary(), ShippedRoles: roles.All(), StandardTables: roles.StandardTables(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	log := slog.New(slog.DiscardHandler)
	g := gate.New(gate.Options{
		Catalogues: catalogues, Snapshots: store, Log: log, Now: func() time.Time { return noon },
	})
	p := &product{store: store}
	p.AuthorizationServiceClient = dial(t, rpc.Options{Decider: g, Mapper: g, Composites: g, Log: log})
	return p
}

func assignment(id, principal string, effect authz.AssignmentEffect, scope authz.Scope) snapshot.RoleAssignment {
	return snapshot.RoleAssignment{
		ID: id, Principal: authz.Principal{Type: authz.User, ID: principal}, RoleDefinitionID: readerRole, Scope: scope, Effect: effect,
	}
}

// hold puts the assignments in force, in a tenant with the environments e1 and e2.
func (p *product) hold(t testing.TB, assignments ...snapshot.RoleAssignment) authz.Revision {
	t.Helper()
	revision, err := p.store.Replace(t.Context(), &snapshot.Data{Tenants: []snapshot.Tenant{{
		ID: "t1", Environments: []snapshot.Environment{{ID: "e1"}, {ID: "e2"}}, RoleAssignments: assignments,
	}}}, snapshot.Change{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func subject(id string) *pathgrantv1.Subject {
	return &pathgrantv1.Subject{
		Tenant:    "t1",
		Principal: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: id},
	}
}

// direct asks whether the user holds the permission at the scope.
func direct(id, permission, scope string) *pathgrantv1.CheckQuestion {
	return &pathgrantv1.CheckQuestion{
		Subject: subject(id),
		Target:  &pathgrantv1.CheckQuestion_Permission{Permission: &pathgrantv1.PermissionTarget{Permission: permission, Scope: scope}},
	}
}

func httpRequest(method, path string) *pathgrantv1.HttpRequest {
	return &pathgrantv1.HttpRequest{Method: method, Path: path}
}

// asks asks whether somebody may do what an HTTP request wants.
func asks(who *pathgrantv1.Subject, method, path string) *pathgrantv1.CheckQuestion {
	return &pathgrantv1.CheckQuestion{
		Subject: who, Target: &pathgrantv1.CheckQuestion_HttpRequest{HttpRequest: httpRequest(method, path)},
	}
}

// decide returns the decision on one question.
func decide(t testing.TB, c pathgrantv1.AuthorizationServiceClient, q *pathgrantv1.CheckQuestion) *pathgrantv1.Decision {
	t.Helper()
	response, err := c.Check(t.Context(), &pathgrantv1.CheckRequest{Question: q})
	if err != nil {
		t.Fatalf("Check failed: %v", err)
	}
	return response.GetDecision()
}

// wantStatus checks the code that a call failed with, and how its message begins.
func wantStatus(t testing.TB, err error, code codes.Code, begins string) {
	t.Helper()
	if got := status.Convert(err); got.Code() != code || !strings.HasPrefix(got.Message(), begins) {
		t.Errorf("the call ended with %v: %q, want %v: %q…", got.Code(), got.Message(), code, begins)
	}
}
