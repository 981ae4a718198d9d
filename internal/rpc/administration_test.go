package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/callers"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

const administratorRole = "95e94555-018c-447b-8691-bdac8e12211e"

// office is administration with real data behind it. Callers say who they are, such as
// user:root, and are believed.
type office struct {
	*grpc.ClientConn
	store   *snapshot.Store
	checks  pathgrantv1.AuthorizationServiceClient
	direct  *rpc.Server // what checks asks, without the wire
	mapping *callers.Mapping
	// refuse, if not nil, is what callers are refused with.
	refuse func(call callers.Call) error
	// seen counts calls that were observed.
	seen chan string
}

// who is the metadata key that names the caller.
const who = "authorization"

// Identify implements the verifier of tokens.
func (o *office) Identify(_ context.Context, c *ask.Credentials) (identity.Identity, error) {
	user, ok := strings.CutPrefix(strings.Join(c.Authorization, ""), "user:")
	if !ok {
		return identity.Identity{}, identity.ErrNoIdentity
	}
	subject, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: authz.Principal{Type: authz.User, ID: user}, FoldCase: true})
	return identity.Identity{Subject: subject}, err
}

// prove believes every operator.
func (o *office) prove(_ context.Context, _, from, agent string) (admin.Caller, error) {
	return admin.Caller{Kind: admin.Operator, From: from, Agent: agent}, nil
}

func newOffice(t testing.TB) *office {
	t.Helper()
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	store, err := snapshot.Open(t.Context(), snapshot.Options{
		Dir: t.TempDir(), CacheBytes: 1 << 20, Vocabulary: catalogues.Vocabulary(), ShippedRoles: roles.All(), StandardTables: roles.StandardTables(), FoldCase: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Replace(t.Context(), &snapshot.Data{Tenants: []snapshot.Tenant{{
		ID: "t1", Environments: []snapshot.Environment{{ID: "e1"}},
		RoleAssignments: []snapshot.RoleAssignment{
			{ID: "ra-root", Principal: authz.Principal{Type: authz.User, ID: "root"}, RoleDefinitionID: administratorRole, Scope: "/tenants/t1", Effect: authz.AssignAllow},
		},
	}}}, snapshot.Change{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := admin.New(admin.Options{
		Store: admin.FromSnapshot(store), Vocabulary: catalogues.Vocabulary(), ShippedRoles: roles.All(), FoldCase: true, Writable: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := &office{store: store, seen: make(chan string, 100)}
	if o.mapping, err = callers.NewMapping(); err != nil {
		t.Fatal(err)
	}
	identifier := callers.New(callers.Options{Mapping: o.mapping, Verifier: o, Prove: o.prove})
	services := rpc.NewAdministration(rpc.AdministrationOptions{
		Admin: a, Backup: store.Backup,
		Identify: func(ctx context.Context, c callers.Call) (admin.Caller, error) {
			if o.refuse != nil {
				return admin.Caller{}, o.refuse(c)
			}
			return identifier.Identify(ctx, c)
		},
		Changed: func(ctx context.Context, after authz.Revision) (authz.Revision, error) {
			if after != (authz.Revision{}) {
				after.Number++
			}
			held, err := store.Await(ctx, after)
			if err != nil {
				return authz.Revision{}, err
			}
			return held.Revision(), nil
		},
		WriteBundle: func(w io.Writer, d *snapshot.Data, json bool) error {
			if json {
				return bundle.Write(w, d, bundle.JSON)
			}
			return bundle.Write(w, d, bundle.YAML)
		},
		ReadBundle: func(text []byte, _ bool) (*snapshot.Data, error) {
			return bundle.Parse("bundle.yaml", text, bundle.Options{Vocabulary: catalogues.Vocabulary(), FoldCase: true, Now: time.Now()})
		},
		Observe: func(method string, code codes.Code) {
			select {
			case o.seen <- method + " " + code.String():
			default:
			}
		},
	})
	g := gate.New(gate.Options{Catalogues: catalogues, Snapshots: store, Now: time.Now})
	server := grpc.NewServer(grpc.UnaryInterceptor(services.Unary), grpc.StreamInterceptor(services.Stream))
	services.Register(server)
	o.ClientConn = serveOn(t, server)
	o.direct = rpc.New(rpc.Options{Decider: g, Mapper: g, FoldCase: true})
	direct := grpc.NewServer()
	pathgrantv1.RegisterAuthorizationServiceServer(direct, o.direct)
	o.checks = pathgrantv1.NewAuthorizationServiceClient(serveOn(t, direct))
	t.Cleanup(func() { // after the servers have ended
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

// serveOn serves on a connection of its own until the test ends.
func serveOn(t testing.TB, server *grpc.Server) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
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
	return conn
}

func as(ctx context.Context, caller string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, who, caller)
}

// methods are all methods of administration.
func methods(t testing.TB) map[string]protoreflect.MethodDescriptor {
	t.Helper()
	all := map[string]protoreflect.MethodDescriptor{}
	for _, desc := range rpc.AdministrationServices() {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(desc.ServiceName))
		if err != nil {
			t.Fatal(err)
		}
		service, ok := found.(protoreflect.ServiceDescriptor)
		if !ok {
			t.Fatalf("%s is no service", desc.ServiceName)
		}
		for i := range service.Methods().Len() {
			m := service.Methods().Get(i)
			all["/"+desc.ServiceName+"/"+string(m.Name())] = m
		}
	}
	if len(all) < 34 {
		t.Fatalf("only %d methods were found", len(all))
	}
	return all
}

// invoke calls a method with one message and reads until it ends.
func (o *office) invoke(ctx context.Context, method string, m protoreflect.MethodDescriptor, in proto.Message) error {
	stream, err := o.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(in); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		err := stream.RecvMsg(dynamicpb.NewMessage(m.Output()))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func TestEveryMethodOfAdministrationIsInItsCatalogue(t *testing.T) {
	mapping, err := callers.NewMapping()
	if err != nil {
		t.Fatal(err)
	}
	for method := range methods(t) {
		if need := mapping.Of("POST", method); !need.Listed || need.Public {
			t.Errorf("%s: %+v, want a listed one that is not public", method, need)
		}
	}
}

// filled are requests that get past the checks of their fields.
var filled = map[string]string{
	"CreateRoleAssignment":   `{"principal":{"type":"PRINCIPAL_TYPE_USER","id":"ada"},"role":"Power Platform Reader","scope":"/tenants/t1"}`,
	"DeleteRoleAssignment":   `{"id":"ra-root"}`,
	"GetRoleDefinition":      `{"idOrName":"Power Platform Reader"}`,
	"CreateRoleDefinition":   `{"roleDefinition":{"name":"Mine","permissions":["*.Read"],"assignableScopes":["/tenants/{0}"]}}`,
	"UpdateRoleDefinition":   `{"roleDefinition":{"id":"x","name":"Mine","permissions":["*.Read"],"assignableScopes":["/tenants/{0}"]},"ifMatch":"*"}`,
	"DeleteRoleDefinition":   `{"id":"x","ifMatch":"*"}`,
	"ListGroupMembers":       `{"group":"g"}`,
	"PutGroup":               `{"group":{"id":"g"}}`,
	"DeleteGroup":            `{"id":"g","ifMatch":"*"}`,
	"AddGroupMembers":        `{"group":"g","members":[{"type":"PRINCIPAL_TYPE_USER","id":"ada"}]}`,
	"RemoveGroupMembers":     `{"group":"g","members":[{"type":"PRINCIPAL_TYPE_USER","id":"ada"}]}`,
	"PutPrincipal":           `{"principal":{"principal":{"type":"PRINCIPAL_TYPE_USER","id":"ada"}}}`,
	"DeletePrincipal":        `{"principal":{"type":"PRINCIPAL_TYPE_USER","id":"ada"},"ifMatch":"*"}`,
	"PutEnvironment":         `{"environment":{"id":"e2"}}`,
	"DeleteEnvironment":      `{"id":"e1","ifMatch":"*"}`,
	"CreateEnvironmentGroup": `{"id":"g1"}`,
	"DeleteEnvironmentGroup": `{"id":"g1"}`,
	"ListBusinessUnits":      `{"environment":"e1"}`,
	"PutBusinessUnit":        `{"businessUnit":{"id":"b","environment":"e1"}}`,
	"DeleteBusinessUnit":     `{"id":"b","environment":"e1","ifMatch":"*"}`,
	"ApplyAdminRole":         `{"environment":"e1"}`,
	"PutItem":                `{"item":{"environment":"e1","table":{"name":"Order","classes":["custom"],"ownership":"User"}}}`,
	"DeleteItem":             `{"item":{"environment":"e1","table":{"name":"Order"}},"ifMatch":"*"}`,
	"ListItems":              `{"environment":"e1","kind":"DATAVERSE_KIND_TABLE"}`,
	"Bootstrap":              `{"tenant":"t1","principal":{"type":"PRINCIPAL_TYPE_USER","id":"ada"}}`,
	"BreakGlass":             `{"tenant":"t1","principal":{"type":"PRINCIPAL_TYPE_USER","id":"ada"},"justification":"x"}`,
	"PutTenant":              `{"context":{"tenant":"t1"}}`,
}

func request(t testing.TB, m protoreflect.MethodDescriptor) *dynamicpb.Message {
	t.Helper()
	in := dynamicpb.NewMessage(m.Input())
	if text := filled[string(m.Name())]; text != "" {
		if err := protojson.Unmarshal([]byte(text), in); err != nil {
			t.Fatalf("%s: %v", m.Name(), err)
		}
	}
	return in
}

// The catalogue says what each call needs; package admin asks for it. Neither may say
// something else than the other.
func TestTheCatalogueSaysWhatIsReallyAskedFor(t *testing.T) {
	o := newOffice(t)
	for method, m := range methods(t) {
		t.Run(string(m.Name()), func(t *testing.T) {
			need := o.mapping.Of("POST", method)
			err := o.invoke(as(t.Context(), "user:nobody"), method, m, request(t, m))
			if code := status.Code(err); code != codes.PermissionDenied {
				t.Fatalf("somebody without any role got %v", err)
			}
			info := errorInfo(t, err)
			if need.Operator {
				if info.GetReason() != "OPERATOR_REQUIRED" {
					t.Errorf("the catalogue wants an operator, and the reason is %s", info.GetReason())
				}
				return
			}
			var names []string
			for _, permission := range need.Permissions {
				names = append(names, string(permission))
			}
			if got := info.GetMetadata()["missing_permissions"]; got != strings.Join(names, ",") {
				t.Errorf("the catalogue says %v, and %s is asked for", names, got)
			}
		})
	}
}

func TestNobodyIsRefusedByEveryMethod(t *testing.T) {
	o := newOffice(t)
	for method, m := range methods(t) {
		if err := o.invoke(t.Context(), method, m, request(t, m)); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v, want UNAUTHENTICATED", method, err)
		}
	}
}

func TestWithoutTheInterceptorsNobodyMayDoAnything(t *testing.T) {
	services := rpc.NewAdministration(rpc.AdministrationOptions{Admin: newAdminOfNothing(t)})
	_, err := services.ListRoleDefinitions(t.Context(), &pathgrantv1.ListRoleDefinitionsRequest{})
	if admin.KindOf(err) != admin.Unauthenticated {
		t.Errorf("%v, want a refusal", err)
	}
}

func newAdminOfNothing(t testing.TB) *admin.Admin {
	t.Helper()
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	a, err := admin.New(admin.Options{Store: admin.FromSnapshot(nil), Vocabulary: catalogues.Vocabulary()})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func errorInfo(t testing.TB, err error) *errdetails.ErrorInfo {
	t.Helper()
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			if info.GetDomain() != "pathgrant" {
				t.Errorf("the domain is %q", info.GetDomain())
			}
			return info
		}
	}
	t.Fatalf("%v has no reason", err)
	return nil
}

// Every text, list and piece of bytes of every request has a limit, so no field that is
// added can be forgotten.
func TestEveryFieldOfARequestHasALimit(t *testing.T) {
	o := newOffice(t)
	fields := 0
	for method, m := range methods(t) {
		var walk func(path string, descriptor protoreflect.MessageDescriptor, build func(leaf func(protoreflect.Message)) *dynamicpb.Message)
		walk = func(path string, descriptor protoreflect.MessageDescriptor, build func(func(protoreflect.Message)) *dynamicpb.Message) {
			for i := range descriptor.Fields().Len() {
				field := descriptor.Fields().Get(i)
				name := path + string(field.Name())
				check := func(in *dynamicpb.Message, want string) {
					fields++
					err := o.invoke(as(t.Context(), "user:root"), method, m, in)
					if status.Code(err) != codes.InvalidArgument || !strings.HasPrefix(status.Convert(err).Message(), want+": ") {
						t.Errorf("%s: %s without a limit: %v", method, want, err)
					}
				}
				if m.IsStreamingClient() {
					continue // its messages are looked at when they are read, after the caller
				}
				switch {
				case field.IsList():
					check(build(func(msg protoreflect.Message) {
						list := msg.Mutable(field).List()
						for range 1100 {
							list.Append(list.NewElement())
						}
					}), name)
					if field.Kind() == protoreflect.StringKind {
						check(build(func(msg protoreflect.Message) {
							msg.Mutable(field).List().Append(protoreflect.ValueOfString(strings.Repeat("x", 100_000)))
						}), name+"[0]")
					}
				case field.Kind() == protoreflect.StringKind:
					check(build(func(msg protoreflect.Message) {
						msg.Set(field, protoreflect.ValueOfString(strings.Repeat("x", 100_000)))
					}), name)
				case field.Kind() == protoreflect.BytesKind:
					check(build(func(msg protoreflect.Message) { msg.Set(field, protoreflect.ValueOfBytes(make([]byte, 2<<20))) }), name)
				case field.Message() != nil && field.Message().ParentFile().Package() == "pathgrant.v1":
					walk(name+".", field.Message(), func(leaf func(protoreflect.Message)) *dynamicpb.Message {
						return build(func(msg protoreflect.Message) { leaf(msg.Mutable(field).Message()) })
					})
				case field.Name() == "page_size":
					check(build(func(msg protoreflect.Message) { msg.Set(field, protoreflect.ValueOfInt32(1001)) }), name)
					check(build(func(msg protoreflect.Message) { msg.Set(field, protoreflect.ValueOfInt32(-1)) }), name)
				}
			}
		}
		walk("", m.Input(), func(leaf func(protoreflect.Message)) *dynamicpb.Message {
			in := dynamicpb.NewMessage(m.Input())
			leaf(in)
			return in
		})
	}
	if fields < 150 {
		t.Errorf("only %d fields were looked at", fields)
	}
}

func TestAPieceOfABundleHasALimit(t *testing.T) {
	o := newOffice(t)
	stream, err := pathgrantv1.NewSnapshotServiceClient(o).ImportSnapshot(as(t.Context(), "Operator secret"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pathgrantv1.ImportSnapshotRequest{Chunk: make([]byte, 1<<20+1)}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.CloseAndRecv()
	wantStatus(t, err, codes.InvalidArgument, "chunk: 1048577 bytes, want at most 1048576")
}

func TestEveryKindOfErrorHasTheCodeOfTheContract(t *testing.T) {
	o := newOffice(t)
	want := map[admin.Kind]codes.Code{
		admin.Internal: codes.Internal, admin.Unavailable: codes.Unavailable, admin.ReadOnlySource: codes.FailedPrecondition,
		admin.Unauthenticated: codes.Unauthenticated, admin.Throttled: codes.ResourceExhausted, admin.OperatorRequired: codes.PermissionDenied,
		admin.CrossTenant: codes.PermissionDenied, admin.Forbidden: codes.PermissionDenied, admin.SelfEscalation: codes.PermissionDenied,
		admin.Escalation: codes.PermissionDenied, admin.BeneathDeny: codes.PermissionDenied, admin.LastAdministrator: codes.FailedPrecondition,
		admin.Invalid: codes.InvalidArgument, admin.NotFound: codes.NotFound, admin.ScopeUnknown: codes.InvalidArgument,
		admin.RoleUnknown: codes.InvalidArgument, admin.PrincipalUnknown: codes.InvalidArgument, admin.PrincipalDisabled: codes.FailedPrecondition,
		admin.NotAssignable: codes.InvalidArgument, admin.Duplicate: codes.AlreadyExists, admin.InUse: codes.FailedPrecondition,
		admin.Immutable: codes.FailedPrecondition, admin.Circle: codes.FailedPrecondition, admin.EtagRequired: codes.FailedPrecondition,
		admin.EtagMismatch: codes.FailedPrecondition, admin.RequestIDReused: codes.Aborted, admin.NotEmpty: codes.FailedPrecondition,
		admin.Compacted: codes.OutOfRange,
	}
	for _, kind := range admin.Kinds() {
		o.refuse = func(callers.Call) error {
			return &admin.Error{Kind: kind, Message: "what", Mend: "how", Cause: errors.New("a secret of the log")}
		}
		_, err := pathgrantv1.NewAuditServiceClient(o).VerifyAudit(t.Context(), &pathgrantv1.VerifyAuditRequest{})
		code, known := want[kind]
		if !known || status.Code(err) != code {
			t.Errorf("%s: %v, want %v", kind, status.Code(err), code)
		}
		if got := status.Convert(err).Message(); got != "what: how" {
			t.Errorf("%s: %q is told", kind, got)
		}
		if info := errorInfo(t, err); info.GetReason() != kind.String() {
			t.Errorf("%s: the reason is %q", kind, info.GetReason())
		}
	}
}

func TestAnErrorNamesTheFieldOfTheContract(t *testing.T) {
	o := newOffice(t)
	for _, test := range []struct{ method, in, field string }{
		{"RoleAssignmentService/CreateRoleAssignment", `{"principal":{"type":"PRINCIPAL_TYPE_USER","id":"ada"},"role":"Nonsense","scope":"/tenants/t1"}`, "role"},
		{"RoleAssignmentService/CreateRoleAssignment", `{"principal":{"type":"PRINCIPAL_TYPE_USER","id":"ada"},"role":"Power Platform Reader","scope":"nonsense"}`, "scope"},
		{"RoleAssignmentService/CreateRoleAssignment", `{"principal":{"id":"ada"},"role":"Power Platform Reader","scope":"/tenants/t1"}`, "principal.type"},
		{"RoleAssignmentService/CreateRoleAssignment", `{"principal":{"type":"PRINCIPAL_TYPE_USER","id":"ada"},"role":"Power Platform Reader","scope":"/tenants/t1","expiresTime":"2001-01-01T00:00:00Z"}`, "expires_time"},
		{"RoleAssignmentService/CreateRoleAssignment", `{"context":{"requestId":"a b"},"principal":{"type":"PRINCIPAL_TYPE_USER","id":"ada"},"role":"Power Platform Reader","scope":"/tenants/t1"}`, "context.request_id"},
		{"RoleDefinitionService/CreateRoleDefinition", `{"roleDefinition":{"name":"Mine","permissions":["*.Read","Nonsense"],"assignableScopes":["/tenants/{0}"]}}`, "role_definition.permissions[1]"},
		{"DirectoryService/PutBusinessUnit", `{"businessUnit":{"id":"b","environment":"e9"}}`, "business_unit.environment"},
		{"DirectoryService/AddGroupMembers", `{"group":"g"}`, "members"},
		{"DirectoryService/AddGroupMembers", `{"group":"g","members":[{"type":"PRINCIPAL_TYPE_USER","id":"a"},{"id":"b"}]}`, "members[1].type"},
		{"RoleAssignmentService/ListRoleAssignments", `{"pageToken":"nonsense"}`, "page_token"},
	} {
		method := "/pathgrant.v1." + test.method
		m := methods(t)[method]
		in := dynamicpb.NewMessage(m.Input())
		if err := protojson.Unmarshal([]byte(test.in), in); err != nil {
			t.Fatal(err)
		}
		err := o.invoke(as(t.Context(), "user:root"), method, m, in)
		got := ""
		for _, detail := range status.Convert(err).Details() {
			if bad, ok := detail.(*errdetails.BadRequest); ok && len(bad.GetFieldViolations()) == 1 {
				got = bad.GetFieldViolations()[0].GetField()
			}
		}
		if got != test.field || status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s %s: the field is %q, want %q (%v)", test.method, test.in, got, test.field, err)
		}
	}
}

func (o *office) assign(t testing.TB, user string) *pathgrantv1.CreateRoleAssignmentResponse {
	t.Helper()
	made, err := pathgrantv1.NewRoleAssignmentServiceClient(o).CreateRoleAssignment(as(t.Context(), "user:root"), &pathgrantv1.CreateRoleAssignmentRequest{
		Principal: &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: user},
		Role:      "Power Platform Reader", Scope: "/tenants/t1",
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (o *office) unassign(t testing.TB, id string) *pathgrantv1.Revision {
	t.Helper()
	made, err := pathgrantv1.NewRoleAssignmentServiceClient(o).DeleteRoleAssignment(as(t.Context(), "user:root"), &pathgrantv1.DeleteRoleAssignmentRequest{Id: id})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetRevision()
}

// When a change returns, it is in force, for whoever asks next, and for whoever asks
// elsewhere and names its revision.
func TestARevocationIsInForceWhenTheCallReturns(t *testing.T) {
	o := newOffice(t)
	question := direct("ada", "PowerApps.Apps.Read", "/tenants/t1")
	for i := range 100 {
		made := o.assign(t, "ada")
		if d := decide(t, o.checks, question); d.GetEffect() != pathgrantv1.Effect_EFFECT_ALLOW {
			t.Fatalf("round %d: %v although the role was given", i, d.GetReason())
		}
		answer := make(chan *pathgrantv1.Decision, 1)
		next := &pathgrantv1.Revision{Epoch: made.GetRevision().GetEpoch(), Number: made.GetRevision().GetNumber() + 1}
		go func() { // it waits for the revision that is yet to come
			response, err := o.checks.Check(t.Context(), &pathgrantv1.CheckRequest{Question: question, AtLeastRevision: next})
			if err != nil {
				t.Error(err)
			}
			answer <- response.GetDecision()
		}()
		gone := o.unassign(t, made.GetRoleAssignment().GetId())
		if !proto.Equal(gone, next) {
			t.Fatalf("round %d: the revision is %v, want %v", i, gone, next)
		}
		if d := decide(t, o.checks, question); d.GetReason() != pathgrantv1.Reason_REASON_NO_ASSIGNMENT {
			t.Fatalf("round %d: %v although the role was taken away", i, d.GetReason())
		}
		if d := <-answer; d.GetReason() != pathgrantv1.Reason_REASON_NO_ASSIGNMENT {
			t.Fatalf("round %d: %v at the revision that took the role away", i, d.GetReason())
		}
	}
}

func TestAWatchTellsOfEveryChangeInOrder(t *testing.T) {
	o := newOffice(t)
	o.assign(t, "before")
	ctx, cancel := context.WithCancel(as(t.Context(), "user:root"))
	defer cancel()
	stream, err := pathgrantv1.NewSnapshotServiceClient(o).WatchChanges(ctx, &pathgrantv1.WatchChangesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil || len(first.GetChanges()) != 0 {
		t.Fatalf("the first message is %v, %v", first, err)
	}
	last := first.GetRevision().GetNumber()
	for i := range 20 {
		made := o.assign(t, fmt.Sprint("user", i))
		seen, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if last++; seen.GetRevision().GetNumber() != last || len(seen.GetChanges()) != 1 ||
			seen.GetChanges()[0].GetTarget() != "roleAssignments/"+made.GetRoleAssignment().GetId() ||
			seen.GetChanges()[0].GetAction() != "CreateRoleAssignment" || seen.GetChanges()[0].GetBeforeJson() != "" ||
			!strings.Contains(seen.GetChanges()[0].GetAfterJson(), `"principalObjectId":"user`+fmt.Sprint(i)+`"`) {
			t.Fatalf("change %d is seen as %v", i, seen)
		}
	}
	// Whoever was away is told what was missed.
	missed, err := pathgrantv1.NewSnapshotServiceClient(o).WatchChanges(ctx, &pathgrantv1.WatchChangesRequest{AfterRevision: first.GetRevision()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 21 {
		got, err := missed.Recv()
		if err != nil || got.GetRevision().GetNumber() != first.GetRevision().GetNumber()+uint64(i) {
			t.Fatalf("message %d is %v, %v", i, got, err)
		}
	}
}

func TestAWatchEndsWhenTheWatcherMayNoLongerRead(t *testing.T) {
	o := newOffice(t)
	made := o.assign(t, "ada")
	stream, err := pathgrantv1.NewSnapshotServiceClient(o).WatchChanges(as(t.Context(), "user:ada"), &pathgrantv1.WatchChangesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	o.unassign(t, made.GetRoleAssignment().GetId())
	if _, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("%v, want PERMISSION_DENIED", err)
	}
}

func TestAWatchOfAnotherEpochIsOutOfRange(t *testing.T) {
	o := newOffice(t)
	now := o.assign(t, "ada").GetRevision()
	for _, after := range []*pathgrantv1.Revision{
		{Epoch: 1, Number: 1}, {Epoch: now.GetEpoch(), Number: now.GetNumber() + 1}, {Epoch: now.GetEpoch() + 1, Number: 1}, {},
	} {
		stream, err := pathgrantv1.NewSnapshotServiceClient(o).WatchChanges(as(t.Context(), "user:root"), &pathgrantv1.WatchChangesRequest{AfterRevision: after})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.OutOfRange {
			t.Errorf("after %v: %v, want OUT_OF_RANGE", after, err)
		}
	}
}

func TestABundleGoesOutAndInInPieces(t *testing.T) {
	o := newOffice(t)
	var assignments []snapshot.RoleAssignment
	for i := range 20_000 {
		assignments = append(assignments, assignment(fmt.Sprintf("ra-%05d", i), fmt.Sprintf("user-%05d", i), authz.AssignAllow, "/tenants/t1"))
	}
	assignments = append(assignments, snapshot.RoleAssignment{
		ID: "ra-root", Principal: authz.Principal{Type: authz.User, ID: "root"}, RoleDefinitionID: administratorRole, Scope: "/tenants/t1", Effect: authz.AssignAllow,
	})
	if _, err := o.store.Replace(t.Context(), &snapshot.Data{Tenants: []snapshot.Tenant{{ID: "t1", RoleAssignments: assignments}}}, snapshot.Change{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	service := pathgrantv1.NewSnapshotServiceClient(o)
	out, err := service.ExportSnapshot(as(t.Context(), "user:root"), &pathgrantv1.ExportSnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	pieces := 0
	for {
		part, err := out.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if pieces == 0 && part.GetRevision().GetNumber() == 0 {
			t.Error("the first message has no revision")
		}
		text = append(text, part.GetChunk()...)
		pieces++
	}
	if pieces < 5 || !strings.HasSuffix(string(text), "...\n") {
		t.Fatalf("%d pieces, which end with %q", pieces, text[max(0, len(text)-20):])
	}
	shorter := strings.Replace(string(text), "ra-00007", "ra-99999", 1)
	in, err := service.ImportSnapshot(as(t.Context(), "Operator secret"))
	if err != nil {
		t.Fatal(err)
	}
	for piece := range slices.Chunk([]byte(shorter), 100_000) {
		if err := in.Send(&pathgrantv1.ImportSnapshotRequest{Chunk: piece}); err != nil {
			t.Fatal(err)
		}
	}
	done, err := in.CloseAndRecv()
	if err != nil || done.GetAdded() != 1 || done.GetRemoved() != 1 || done.GetChanged() != 0 {
		t.Errorf("%v, %v, want one added and one removed", done, err)
	}
}

func TestCallsAreCountedByMethodAndCode(t *testing.T) {
	o := newOffice(t)
	o.assign(t, "ada")
	if got := <-o.seen; got != "/pathgrant.v1.RoleAssignmentService/CreateRoleAssignment OK" {
		t.Errorf("%q was observed", got)
	}
	_, _ = pathgrantv1.NewAuditServiceClient(o).VerifyAudit(t.Context(), &pathgrantv1.VerifyAuditRequest{})
	if got := <-o.seen; got != "/pathgrant.v1.AuditService/VerifyAudit Unauthenticated" {
		t.Errorf("%q was observed", got)
	}
}
