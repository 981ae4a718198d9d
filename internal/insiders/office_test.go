package insiders_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/callers"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/pgtest"
	"github.com/pathgrant/pathgrant/internal/rest"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/internal/server"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// company is two tenants. In t1 everybody is named after what they are; x is somebody to be
// given things and to have them taken away.
const company = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environmentGroups: [{id: g1, environments: [e1, e2]}, {id: g2, environments: []}]
    environments: [{id: e3}, {id: d1, dataverse: true}]
    businessUnits: [{id: b1, environment: e1}, {id: hq, environment: d1}, {id: sales, environment: d1, parent: hq}, {id: north, environment: d1, parent: hq}]
    tables:
      - {environment: d1, name: Order, classes: [custom], ownership: User, entitySet: orders, securedColumns: [price]}
      - {environment: d1, name: Asset, classes: [custom], ownership: User}
    users:
      - {environment: d1, principalType: User, principalObjectId: sysadmin, businessUnit: hq}
      - {environment: d1, principalType: User, principalObjectId: boss, businessUnit: sales}
      - {environment: d1, principalType: User, principalObjectId: sharer, businessUnit: sales}
      - {environment: d1, principalType: User, principalObjectId: x, businessUnit: sales}
    teams:
      - {id: admins, environment: d1, displayName: Admins, teamType: OwnerTeam, businessUnit: hq, members: [{principalType: User, principalObjectId: x}]}
      - {id: field, environment: d1, displayName: Field, teamType: OwnerTeam, businessUnit: north, members: [{principalType: User, principalObjectId: x}]}
    columnProfiles:
      - {id: prices, environment: d1, displayName: Prices, columns: [{table: Order, column: price, rights: [Read]}], principals: [{principalType: User, principalObjectId: x}]}
    principals:
      - {principalType: User, principalObjectId: disabled, disabled: true}
      - {principalType: User, principalObjectId: known}
      - {principalType: ApplicationUser, principalObjectId: robot, owners: [{principalType: User, principalObjectId: envadmin}]}
    groups:
      - {id: staff, members: [{principalType: User, principalObjectId: x}]}
      - {id: local, members: [{principalType: User, principalObjectId: x}]}
    roleDefinitions:
      - {roleDefinitionId: unused, roleDefinitionName: Unused, permissions: [PowerApps.Apps.Read], assignableScopes: ["/tenants/{0}"]}
      - roleDefinitionId: seller
        roleDefinitionName: Seller
        environment: d1
        privileges: [Dataverse.Account.ALL8@BusinessUnit, "Dataverse.Contact.{Read,Write}@ParentChild", "Dataverse.Order.{Read,Append}@User", "Dataverse.{core}.Read@Organization"]
      - {roleDefinitionId: sharers, roleDefinitionName: Sharers, environment: d1, privileges: ["Dataverse.Order.{Read,Share}@Organization"]}
      - {roleDefinitionId: spare, roleDefinitionName: Spare, environment: d1, privileges: [Dataverse.Order.Read@User]}
    roleAssignments:
      - {roleAssignmentId: as-owner, principalType: User, principalObjectId: owner, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {roleAssignmentId: as-rbac, principalType: User, principalObjectId: rbac, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1}
      - {roleAssignmentId: as-rbac1, principalType: User, principalObjectId: rbac1, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: as-envadmin, principalType: User, principalObjectId: envadmin, roleDefinitionName: Environment Admin, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: as-envadmin2, principalType: User, principalObjectId: envadmin2, roleDefinitionName: Environment Admin, scope: /tenants/t1/environments/e2}
      - {roleAssignmentId: as-contributor, principalType: User, principalObjectId: contributor, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1}
      - {roleAssignmentId: as-reader, principalType: User, principalObjectId: reader, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}
      - {roleAssignmentId: as-disabled, principalType: User, principalObjectId: disabled, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1}
      - {roleAssignmentId: as-expired, principalType: User, principalObjectId: expired, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1, expiresOn: 2020-01-01T00:00:00Z}
      - {roleAssignmentId: as-robot, principalType: ApplicationUser, principalObjectId: robot, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: as-local, principalType: Group, principalObjectId: local, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: as-x, principalType: User, principalObjectId: x, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1}
      - {roleAssignmentId: as-x1, principalType: User, principalObjectId: x, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: as-xg, principalType: User, principalObjectId: x, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1/environmentGroups/g1}
      - {roleAssignmentId: as-sysadmin, principalType: User, principalObjectId: sysadmin, roleDefinitionName: System Administrator, scope: /tenants/t1/environments/d1}
      - {roleAssignmentId: as-boss, principalType: User, principalObjectId: boss, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1/environments/d1}
      - {roleAssignmentId: as-seller, principalType: User, principalObjectId: boss, roleDefinitionName: Seller, scope: /tenants/t1/environments/d1}
      - {roleAssignmentId: as-sharer, principalType: User, principalObjectId: sharer, roleDefinitionName: Sharers, scope: /tenants/t1/environments/d1}
      - {roleAssignmentId: as-admins, principalType: Team, principalObjectId: admins, roleDefinitionName: System Administrator, scope: /tenants/t1/environments/d1}
      - {roleAssignmentId: as-dynamics, principalType: DirectoryRole, principalObjectId: 44367163-eba1-44c3-98af-f5787879f96a, roleDefinitionName: Dynamics 365 Administrator, scope: /tenants/t1}
      - {roleAssignmentId: as-dynamics1, principalType: DirectoryRole, principalObjectId: 44367163-eba1-44c3-98af-f5787879f96a, roleDefinitionName: Dynamics 365 Administrator (environment), scope: /tenants/t1/environments/d1}
      - {roleAssignmentId: as-apps, principalType: DirectoryRole, principalObjectId: 33333333-3333-4333-8333-333333333333, roleDefinitionName: Power Apps Administrator, scope: /tenants/t1}
  - id: t2
    environments: [{id: f1}]
    groups: [{id: secret-group, members: []}]
    roleAssignments:
      - {roleAssignmentId: as-foreign, principalType: User, principalObjectId: foreign, roleDefinitionName: Power Platform Owner, scope: /tenants/t2}
      - {roleAssignmentId: as-secret, principalType: User, principalObjectId: secret-user, roleDefinitionName: Power Platform Reader, scope: /tenants/t2/environments/f1}
...
`

var catalogues = sync.OnceValue(func() *naming.Catalogues {
	loaded, err := naming.Load(naming.Shipped())
	if err != nil {
		panic(err)
	}
	return loaded
})

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// An office is the listener of administration as the command serves it: real tokens, real
// services, a real socket.
type office struct {
	*grpc.ClientConn
	t       testing.TB
	store   *snapshot.Store
	secret  *admin.Secret
	issuer  *pgtest.Issuer
	served  *server.Admin
	address string
	log     *logged

	mu     sync.Mutex
	tokens []string // all that were sent
}

func parse(t testing.TB, text string) *snapshot.Data {
	t.Helper()
	d, err := bundle.Parse("company.yaml", []byte(text), bundle.Options{
		Vocabulary: catalogues().Vocabulary(), FoldCase: true, Now: time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t testing.TB, text string, change ...func(*admin.Options)) *office {
	t.Helper()
	return openWith(t, text, roles.All(), change...)
}

// openWith opens an office of a product that comes with the roles given.
func openWith(t testing.TB, text string, shipped []authz.RoleDefinition, change ...func(*admin.Options)) *office {
	t.Helper()
	o := &office{t: t, log: &logged{}}
	log := slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dir := t.TempDir()
	var err error
	if o.store, err = snapshot.Open(t.Context(), snapshot.Options{
		Dir: dir, CacheBytes: 1 << 20, Vocabulary: catalogues().Vocabulary(), ShippedRoles: shipped, StandardTables: roles.StandardTables(), FoldCase: true,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.store.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := o.store.Replace(t.Context(), parse(t, text), snapshot.Change{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	if o.secret, err = admin.OpenSecret(dir); err != nil {
		t.Fatal(err)
	}
	if o.issuer, err = pgtest.NewIssuer("k1"); err != nil {
		t.Fatal(err)
	}
	options := admin.Options{
		Store: admin.FromSnapshot(o.store), Vocabulary: catalogues().Vocabulary(), ShippedRoles: shipped, FoldCase: true,
		Writable: true, Secret: o.secret, Log: log,
	}
	for _, c := range change {
		c(&options)
	}
	a, err := admin.New(options)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := identity.New(identity.Config{FoldCase: true, Sources: []identity.SourceConfig{{JWT: &identity.JWTConfig{Issuers: []identity.IssuerConfig{{
		Issuer: pgtest.IssuerURL, Audiences: []string{pgtest.Audience}, JWKSInline: string(o.issuer.JWKS()), Tenants: []string{"t1", "t2"},
	}}}}}}, identity.Deps{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := callers.NewMapping()
	if err != nil {
		t.Fatal(err)
	}
	identifier := callers.New(callers.Options{Mapping: mapping, Verifier: verifier, Prove: a.Prove})
	services := rpc.NewAdministration(rpc.AdministrationOptions{
		Admin: a, Identify: identifier.Identify, Backup: o.store.Backup, Log: log,
		Changed: func(ctx context.Context, after authz.Revision) (authz.Revision, error) {
			if after != (authz.Revision{}) {
				after.Number++
			}
			held, err := o.store.Await(ctx, after)
			if err != nil {
				return authz.Revision{}, err
			}
			return held.Revision(), nil
		},
		WriteBundle: func(w io.Writer, d *snapshot.Data, _ bool) error { return bundle.Write(w, d, bundle.YAML) },
		ReadBundle: func(text []byte, _ bool) (*snapshot.Data, error) {
			return bundle.Parse("bundle.yaml", text, bundle.Options{Vocabulary: catalogues().Vocabulary(), FoldCase: true, Now: time.Now()})
		},
	})
	api, err := rest.New(rest.Options{
		Admin: a, ShippedRoles: shipped, FoldCase: true, Log: log,
		Identify: func(r *http.Request) (admin.Caller, error) {
			return identifier.Identify(r.Context(), callers.OfRequest(r))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	o.served = server.NewAdmin(server.AdminOptions{
		REST: api, Log: log, DrainTimeout: 5 * time.Second,
		UnaryInterceptors:  []grpc.UnaryServerInterceptor{services.Unary},
		StreamInterceptors: []grpc.StreamServerInterceptor{services.Stream},
	})
	services.Register(o.served)
	o.serve()
	return o
}

// serve serves until the test ends.
func (o *office) serve() {
	o.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		o.t.Fatal(err)
	}
	o.address = listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.served.Serve(ctx, listener) }()
	if o.ClientConn, err = grpc.NewClient("passthrough:///"+o.address, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		if err := o.Close(); err != nil {
			o.t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			o.t.Error(err)
		}
	})
}

// operator and nobody are the actors who send no token.
const (
	operator = "operator"
	nobody   = "nobody"
)

// credentials are what an actor sends: a token of its tenant, or the operator's secret.
func (o *office) credentials(actor string, more ...func(pgtest.Claims)) string {
	o.t.Helper()
	switch actor {
	case nobody:
		return ""
	case operator:
		text, err := os.ReadFile(o.secret.Path())
		if err != nil {
			o.t.Fatal(err)
		}
		return o.keep("Operator " + strings.TrimSpace(string(text)))
	}
	tenant := "t1"
	if actor == "foreign" {
		tenant = "t2"
	}
	claims := pgtest.UserClaims(tenant, actor)
	switch actor {
	case "robot":
		claims["idtyp"] = "app"
	case "dynamics": // a Dynamics 365 Administrator
		claims["wids"] = []string{dynamicsAdministrator}
	}
	for _, m := range more {
		m(claims)
	}
	token, err := o.issuer.Token(claims)
	if err != nil {
		o.t.Fatal(err)
	}
	return o.keep("Bearer " + token)
}

// dynamicsAdministrator is the template id of that directory role.
const dynamicsAdministrator = "44367163-eba1-44c3-98af-f5787879f96a"

func (o *office) keep(credentials string) string {
	_, secret, _ := strings.Cut(credentials, " ")
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tokens = append(o.tokens, secret)
	return credentials
}

// method finds a method by its own name.
func method(t testing.TB, name string) (string, protoreflect.MethodDescriptor) {
	t.Helper()
	for _, desc := range rpc.AdministrationServices() {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(desc.ServiceName))
		if err != nil {
			t.Fatal(err)
		}
		if service, ok := found.(protoreflect.ServiceDescriptor); ok {
			if m := service.Methods().ByName(protoreflect.Name(name)); m != nil {
				return "/" + desc.ServiceName + "/" + name, m
			}
		}
	}
	t.Fatalf("administration has no method %s", name)
	return "", nil
}

// call makes a call as an actor, with a request written as JSON, and returns the last answer.
func (o *office) call(actor, name, request string) (*dynamicpb.Message, error) {
	o.t.Helper()
	return o.callWith(o.credentials(actor), name, request)
}

func (o *office) callWith(credentials, name, request string) (*dynamicpb.Message, error) {
	o.t.Helper()
	full, m := method(o.t, name)
	in := dynamicpb.NewMessage(m.Input())
	if err := protojson.Unmarshal([]byte(request), in); err != nil {
		o.t.Fatalf("%s: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if credentials != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", credentials)
	}
	stream, err := o.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, full)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(in); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var last *dynamicpb.Message
	for {
		out := dynamicpb.NewMessage(m.Output())
		err := stream.RecvMsg(out)
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return nil, err
		}
		last = out
	}
}

// text is an answer as JSON.
func text(t testing.TB, m *dynamicpb.Message) string {
	t.Helper()
	if m == nil {
		return ""
	}
	spelled, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(spelled)
}

// outcome is OK, or the code of a refusal and its reason.
func outcome(err error) string {
	if err == nil {
		return "OK"
	}
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return status.Code(err).String()
}

// tries makes a call that must have the outcome.
func (o *office) tries(what, actor, name, request, want string) *dynamicpb.Message {
	o.t.Helper()
	out, err := o.call(actor, name, request)
	if got := outcome(err); got != want {
		o.t.Errorf("%s: %s by %s: %v (%v), want %s", what, name, actor, got, err, want)
	}
	return out
}

// ask makes a REST request and returns the status and the body.
func (o *office) ask(credentials, method, path, body string) (int, string) {
	o.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+o.address+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if credentials != "" {
		r.Header.Set("Authorization", credentials)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// export is the whole of the data.
func (o *office) export() *snapshot.Data {
	o.t.Helper()
	d, err := o.store.Export(context.Background())
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

// has tells whether there is an assignment with the identifier.
func (o *office) has(id string) bool {
	return slices.ContainsFunc(o.export().Tenants[0].RoleAssignments, func(a snapshot.RoleAssignment) bool { return a.ID == id })
}

func (o *office) revision() uint64 { return o.store.Current().Revision().Number }
