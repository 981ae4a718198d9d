package extauthz_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/extauthz"
	"github.com/pathgrant/pathgrant/internal/server"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// deciderFunc answers as it is told, and remembers nothing.
type deciderFunc func(r *ask.Request, a *ask.Answer)

func (f deciderFunc) Decide(_ context.Context, r *ask.Request, a *ask.Answer) { f(r, a) }

func newServer(d deciderFunc, detail extauthz.DenialDetail) *extauthz.Server {
	return extauthz.New(extauthz.Options{
		Decider: d, Headers: extauthz.DefaultHeaders(), Detail: detail, Log: slog.New(slog.DiscardHandler),
	})
}

// check asks the server and fails on anything that Envoy could take for a pass.
func check(t *testing.T, s *extauthz.Server, in *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	wire, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return checkWire(t, s, wire)
}

// registrar keeps the service that is registered with it.
type registrar struct {
	desc *grpc.ServiceDesc
	impl any
}

// RegisterService implements grpc.ServiceRegistrar.
func (r *registrar) RegisterService(desc *grpc.ServiceDesc, impl any) { *r = registrar{desc, impl} }

// call does with a message what grpc-go does: codec, handler, codec.
func call(ctx context.Context, s *extauthz.Server, wire mem.BufferSlice) ([]byte, error) {
	var r registrar
	s.Register(&r)
	codec := server.Codec()
	reply, err := r.desc.Methods[0].Handler(r.impl, ctx, func(v any) error { return codec.Unmarshal(wire, v) }, nil)
	if err != nil {
		return nil, err
	}
	out, err := codec.Marshal(reply)
	if err != nil {
		return nil, err
	}
	defer out.Free()
	return out.Materialize(), nil
}

func checkWire(t *testing.T, s *extauthz.Server, wire []byte) *authv3.CheckResponse {
	t.Helper()
	out, err := call(t.Context(), s, mem.BufferSlice{mem.SliceBuffer(wire)})
	if err != nil {
		t.Fatalf("Check returned the gRPC error %v, which failure_mode_allow turns into a pass", err)
	}
	response := &authv3.CheckResponse{}
	if err := proto.Unmarshal(out, response); err != nil {
		t.Fatalf("the response can't be read: %v", err)
	}
	if response.GetStatus() == nil || proto.Size(response) == 0 {
		t.Fatal("the response has no status, which Envoy reads as allow")
	}
	if response.GetErrorResponse() != nil {
		t.Fatal("the response is an error_response, which failure_mode_allow turns into a pass")
	}
	return response
}

func subject(t *testing.T) *authz.Subject {
	t.Helper()
	s, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: authz.Principal{Type: authz.User, ID: "ada"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(path string, headers map[string]string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Host: "api.example", Path: path, Headers: headers,
		}},
	}}
}

func rawHeaders(in *authv3.CheckRequest, pairs ...string) *authv3.CheckRequest {
	m := &corev3.HeaderMap{}
	for i := 0; i < len(pairs); i += 2 {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	in.Attributes.Request.Http.HeaderMap = m
	return in
}

func TestEveryReasonGetsTheStatusThatItsReaderExpects(t *testing.T) {
	want := map[authz.Reason]struct {
		rpc  int32
		http int
		code string
	}{
		authz.NoAssignment:          {7, 403, "Forbidden"},
		authz.Overridden:            {7, 403, "Forbidden"},
		authz.Forbidden:             {7, 403, "Forbidden"},
		authz.Expired:               {7, 403, "Forbidden"},
		authz.Unmapped:              {7, 403, "Forbidden"},
		authz.BadRequest:            {7, 400, "BadRequest"},
		authz.Unauthenticated:       {16, 401, "Unauthorized"},
		authz.CrossTenant:           {7, 403, "Forbidden"},
		authz.UnknownScope:          {7, 403, "Forbidden"},
		authz.PrincipalDisabled:     {7, 403, "Forbidden"},
		authz.GroupsUnknown:         {7, 403, "Forbidden"},
		authz.DelegatedScopeMissing: {7, 403, "Forbidden"},
		authz.Stale:                 {7, 503, "ServiceUnavailable"},
		authz.NotReady:              {7, 503, "ServiceUnavailable"},
		authz.Internal:              {7, 503, "ServiceUnavailable"},
		authz.ReasonUnspecified:     {7, 503, "ServiceUnavailable"},
	}
	for _, reason := range append(authz.Reasons(), authz.ReasonUnspecified) {
		if reason == authz.Granted || reason == authz.Public {
			continue
		}
		t.Run(reason.String(), func(t *testing.T) {
			expected, ok := want[reason]
			if !ok {
				t.Fatalf("no expectation for %v: what is its status?", reason)
			}
			s := newServer(func(_ *ask.Request, a *ask.Answer) { a.Reason = reason }, extauthz.DetailPermission)
			response := check(t, s, get("/powerapps/apps", nil))
			if got := response.GetStatus().GetCode(); got != expected.rpc {
				t.Errorf("status code %d, want %d", got, expected.rpc)
			}
			denied := response.GetDeniedResponse()
			if denied == nil {
				t.Fatal("no denied_response")
			}
			if got := int(denied.GetStatus().GetCode()); got != expected.http {
				t.Errorf("HTTP status %d, want %d", got, expected.http)
			}
			var body struct {
				Error struct {
					Code, Message, DecisionID string
					InnerError                struct{ Code, Message string }
				}
			}
			if err := json.Unmarshal([]byte(denied.GetBody()), &body); err != nil {
				t.Fatalf("the body is not JSON: %v\n%s", err, denied.GetBody())
			}
			if body.Error.Code != expected.code || body.Error.Message == "" || body.Error.InnerError.Code == "" || body.Error.InnerError.Message == "" {
				t.Errorf("body %s, want code %s, a message and an inner error", denied.GetBody(), expected.code)
			}
			if len(body.Error.DecisionID) != 32 {
				t.Errorf("decisionId %q, want 32 hex digits", body.Error.DecisionID)
			}
			if challenged := replyHeader(denied, "www-authenticate") != ""; challenged != (expected.http == 401) {
				t.Errorf("WWW-Authenticate present: %v, with HTTP status %d", challenged, expected.http)
			}
		})
	}
}

func replyHeader(denied *authv3.DeniedHttpResponse, name string) string {
	for _, option := range denied.GetHeaders() {
		if option.GetHeader().GetKey() == name {
			return option.GetHeader().GetValue()
		}
	}
	return ""
}

func TestARefusalNamesTheMissingPermissionsInTheShapeOfTheRealAPI(t *testing.T) {
	s := newServer(func(_ *ask.Request, a *ask.Answer) {
		a.Reason = authz.NoAssignment
		a.Missing = []authz.Permission{"PowerApps.Apps.Create", "PowerApps.Apps.Update"}
		a.Scopes = []authz.Scope{"/tenants/t1/environments/e1"}
	}, extauthz.DetailPermission)
	body := check(t, s, get("/powerapps/apps", nil)).GetDeniedResponse().GetBody()
	for _, part := range []string{
		`"code":"Forbidden"`,
		`"code":"InsufficientPrincipalPermissions"`,
		`missing required permissions, all of: [PowerApps.Apps.Create, PowerApps.Apps.Update]`,
	} {
		if !strings.Contains(body, part) {
			t.Errorf("the body lacks %s:\n%s", part, body)
		}
	}
	if strings.Contains(body, "/tenants/t1") {
		t.Errorf("the body names the scope, which is for the setting that says so:\n%s", body)
	}
}

func TestHowMuchARefusalTellsIsASetting(t *testing.T) {
	decide := func(_ *ask.Request, a *ask.Answer) {
		a.Reason = authz.Overridden
		a.Missing = []authz.Permission{"PowerApps.Apps.Read"}
		a.Scopes = []authz.Scope{"/tenants/t1/environments/e1"}
		a.Assignment = &authz.Grant{AssignmentID: "secret-assignment", Principal: authz.Principal{Type: authz.Group, ID: "secret-group"}}
	}
	for _, test := range []struct {
		name            string
		detail          extauthz.DenialDetail
		contains, lacks []string
	}{
		{"none", extauthz.DetailNone, []string{"Forbidden"}, []string{"PowerApps.Apps.Read", "/tenants/t1", "OVERRIDDEN"}},
		{"permission", extauthz.DetailPermission, []string{"PowerApps.Apps.Read", "OVERRIDDEN"}, []string{"/tenants/t1"}},
		{"scope", extauthz.DetailScope, []string{"PowerApps.Apps.Read", "/tenants/t1/environments/e1"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := check(t, newServer(decide, test.detail), get("/powerapps/apps", nil)).GetDeniedResponse().GetBody()
			for _, part := range test.contains {
				if !strings.Contains(body, part) {
					t.Errorf("the body lacks %q: %s", part, body)
				}
			}
			for _, part := range append(test.lacks, "secret-assignment", "secret-group") {
				if strings.Contains(body, part) {
					t.Errorf("the body tells %q: %s", part, body)
				}
			}
		})
	}
}

func TestAnAllowOverwritesIdentityHeadersAndNeverAppends(t *testing.T) {
	who := subject(t)
	s := newServer(func(_ *ask.Request, a *ask.Answer) {
		a.Reason, a.Subject = authz.Granted, who
		a.Permissions = []authz.Permission{"PowerApps.Apps.Read"}
		a.Scopes = []authz.Scope{"/tenants/t1/environments/e1"}
		a.Assignment = &authz.Grant{AssignmentID: "as-1"}
		a.Revision = authz.Revision{Epoch: 3, Number: 9}
	}, extauthz.DetailPermission)
	response := check(t, s, get("/powerapps/apps", map[string]string{
		"x-pathgrant-principal": "mallory", "x-pathgrant-admin": "true", "x-original-anything": "/admin",
	}))
	if response.GetStatus().GetCode() != 0 {
		t.Fatalf("status %v, want allow", response.GetStatus())
	}
	ok := response.GetOkResponse()
	got := map[string]string{}
	for _, option := range ok.GetHeaders() {
		if option.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || option.GetAppend() != nil { //nolint:staticcheck // that the deprecated field stays unset is the point
			t.Errorf("header %s does not overwrite", option.GetHeader().GetKey())
		}
		got[option.GetHeader().GetKey()] = option.GetHeader().GetValue()
	}
	for name, value := range map[string]string{
		"x-pathgrant-principal": "ada", "x-pathgrant-principal-type": "User", "x-pathgrant-tenant": "t1",
		"x-pathgrant-permission": "PowerApps.Apps.Read", "x-pathgrant-scope": "/tenants/t1/environments/e1",
		"x-pathgrant-revision": "3.9",
	} {
		if got[name] != value {
			t.Errorf("%s: %q, want %q", name, got[name], value)
		}
	}
	for _, name := range []string{"x-pathgrant-admin", "x-original-anything", "x-http-method-override", "x-forwarded-host", "x-rewrite-url"} {
		if !slices.Contains(ok.GetHeadersToRemove(), name) {
			t.Errorf("%s is not removed", name)
		}
	}
	for _, name := range ok.GetHeadersToRemove() {
		if _, set := got[name]; set {
			t.Errorf("%s is set and removed", name)
		}
	}
	metadata := response.GetDynamicMetadata().AsMap()
	for key, value := range map[string]any{
		"permission": "PowerApps.Apps.Read", "scope": "/tenants/t1/environments/e1", "principal": "ada",
		"reason": "GRANTED", "assignment_id": "as-1", "revision": "3.9",
	} {
		if metadata[key] != value {
			t.Errorf("dynamic metadata %s: %v, want %v", key, metadata[key], value)
		}
	}
}

func TestAPublicRouteRemovesTheIdentityHeadersAClientSent(t *testing.T) {
	s := newServer(func(_ *ask.Request, a *ask.Answer) { a.Reason = authz.Public }, extauthz.DetailPermission)
	ok := check(t, s, get("/health", map[string]string{"x-pathgrant-principal": "mallory"})).GetOkResponse()
	if len(ok.GetHeaders()) != 0 {
		t.Errorf("headers %v are set for nobody", ok.GetHeaders())
	}
	for _, name := range []string{"x-pathgrant-principal", "x-pathgrant-tenant", "x-pathgrant-permission", "x-pathgrant-scope"} {
		if !slices.Contains(ok.GetHeadersToRemove(), name) {
			t.Errorf("%s is not removed", name)
		}
	}
}

func TestAPrincipalsNameCannotEndItsHeader(t *testing.T) {
	who, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: authz.Principal{Type: authz.User, ID: "ada\r\nx-admin: 1%"}})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(func(_ *ask.Request, a *ask.Answer) { a.Reason, a.Subject = authz.Granted, who }, extauthz.DetailPermission)
	for _, option := range check(t, s, get("/powerapps/apps", nil)).GetOkResponse().GetHeaders() {
		if option.GetHeader().GetKey() == "x-pathgrant-principal" && option.GetHeader().GetValue() != "ada%0D%0Ax-admin:%201%25" {
			t.Errorf("the header's value is %q", option.GetHeader().GetValue())
		}
	}
}

func TestWhatCannotBeReadIsRefused(t *testing.T) {
	allow := deciderFunc(func(r *ask.Request, a *ask.Answer) {
		a.Reason = authz.Granted
		if r.Unreadable != "" {
			a.Reason = authz.BadRequest
		}
	})
	for _, test := range []struct {
		name string
		in   *authv3.CheckRequest
	}{
		{"nothing at all", nil},
		{"empty", &authv3.CheckRequest{}},
		{"no request, as from a network filter", &authv3.CheckRequest{Attributes: &authv3.AttributeContext{}}},
		{"no http attributes", &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}}},
		{"headers and header_map disagree on a value", rawHeaders(get("/powerapps/apps", map[string]string{"a": "1"}), "a", "2")},
		{"headers has one more", rawHeaders(get("/powerapps/apps", map[string]string{"a": "1", "b": "2"}), "a", "1")},
		{"header_map has one more", rawHeaders(get("/powerapps/apps", map[string]string{"a": "1"}), "a", "1", "authorization", "Bearer x")},
		{"header_map repeats what headers has once", rawHeaders(get("/powerapps/apps", map[string]string{"a": "1"}), "a", "1", "a", "1")},
		{"an upper-case header name in headers", get("/powerapps/apps", map[string]string{"Authorization": "Bearer x"})},
		{"an upper-case header name", rawHeaders(get("/powerapps/apps", nil), "Authorization", "Bearer x")},
	} {
		t.Run(test.name, func(t *testing.T) {
			response := check(t, newServer(allow, extauthz.DetailPermission), test.in)
			if got := response.GetDeniedResponse().GetStatus().GetCode(); got != 400 {
				t.Errorf("answered %v, want a denied response with 400", response)
			}
		})
	}
}

func TestAPanicIsARefusalNotAGRPCError(t *testing.T) {
	s := newServer(func(*ask.Request, *ask.Answer) { panic("provoked") }, extauthz.DetailPermission)
	if got := check(t, s, get("/powerapps/apps", nil)).GetDeniedResponse().GetStatus().GetCode(); got != 503 {
		t.Errorf("HTTP status %v, want 503", got)
	}
}

func TestBothFormsOfHeadersReachTheDecision(t *testing.T) {
	metadata, err := structpb.NewStruct(map[string]any{"payload": map[string]any{"oid": "ada"}})
	if err != nil {
		t.Fatal(err)
	}
	withContext := func(in *authv3.CheckRequest) *authv3.CheckRequest {
		in.Attributes.Source = &authv3.AttributeContext_Peer{Principal: "spiffe://mesh/ns/a/sa/b"}
		in.Attributes.ContextExtensions = map[string]string{"catalogue": "second", "permission": "A.B.C", "environment": "e1"}
		in.Attributes.MetadataContext = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"envoy.filters.http.jwt_authn": metadata}}
		return in
	}
	for _, test := range []struct {
		name  string
		in    *authv3.CheckRequest
		auths []string
		grpc  bool
	}{
		{"headers", get("/a?q=secret", map[string]string{"authorization": "Bearer x", "content-type": "application/json"}), []string{"Bearer x"}, false},
		{"raw header_map", rawHeaders(get("/a", nil), "authorization", "Bearer x", "authorization", "Bearer y"), []string{"Bearer x", "Bearer y"}, false},
		{"both, alike", rawHeaders(get("/a", map[string]string{"authorization": "Bearer x,Bearer y"}), "authorization", "Bearer x", "authorization", "Bearer y"), []string{"Bearer x", "Bearer y"}, false},
		{"gRPC content", get("/a.B/C", map[string]string{"content-type": "application/grpc+proto"}), nil, true},
		{"gRPC's own client, with text values", func() *authv3.CheckRequest {
			in := get("/a.B/C", nil)
			in.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
				{Key: "authorization", Value: "Bearer x"}, {Key: "content-type", Value: "application/grpc"},
			}}
			return in
		}(), []string{"Bearer x"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := 0
			s := newServer(func(seen *ask.Request, _ *ask.Answer) {
				asked++
				if !slices.Equal(seen.Credentials.Authorization, test.auths) {
					t.Errorf("authorization %q, want %q", seen.Credentials.Authorization, test.auths)
				}
				if seen.GRPC != test.grpc {
					t.Errorf("gRPC %v, want %v", seen.GRPC, test.grpc)
				}
				if seen.Credentials.Principal != "spiffe://mesh/ns/a/sa/b" || seen.Catalogue != "second" || seen.PermissionOverride != "A.B.C" || seen.ContextExtension("environment") != "e1" {
					t.Errorf("the peer or the context extensions were lost: %+v", seen)
				}
				payload, _ := seen.Credentials.Metadata("envoy.filters.http.jwt_authn", "payload").(map[string]any)
				if payload["oid"] != "ada" {
					t.Errorf("metadata %v, want the payload", payload)
				}
				if seen.Credentials.Metadata("envoy.filters.http.jwt_authn", "other") != nil {
					t.Error("a metadata key that is not there has a value")
				}
			}, extauthz.DetailPermission)
			check(t, s, withContext(test.in))
			if asked != 1 {
				t.Errorf("the decider was asked %d times", asked)
			}
		})
	}
}

func TestAGRPCCallerGetsTextNotJSON(t *testing.T) {
	s := newServer(func(_ *ask.Request, a *ask.Answer) {
		a.Reason, a.Missing = authz.NoAssignment, []authz.Permission{"A.B.Read"}
	}, extauthz.DetailPermission)
	denied := check(t, s, get("/a.B/C", map[string]string{"content-type": "application/grpc"})).GetDeniedResponse()
	if body := denied.GetBody(); strings.HasPrefix(body, "{") || !strings.Contains(body, "A.B.Read") {
		t.Errorf("body %q, want plain text that names the permission", body)
	}
}

// Whatever the decider leaves in the answer, and whatever came in: there is a status,
// and only GRANTED and PUBLIC give 0.
func FuzzCheck(f *testing.F) {
	seed, err := proto.Marshal(get("/powerapps/apps?x=1", map[string]string{"authorization": "Bearer x"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, uint8(authz.NoAssignment))
	f.Add([]byte{}, uint8(0))
	f.Add([]byte{0x0a, 0x00}, uint8(255))
	f.Fuzz(func(t *testing.T, wire []byte, reason uint8) {
		s := newServer(func(r *ask.Request, a *ask.Answer) {
			a.Reason = authz.Reason(reason)
			if r.Unreadable != "" {
				a.Reason = authz.BadRequest
			}
		}, extauthz.DetailScope)
		response := checkWire(t, s, wire)
		allowed := authz.Reason(reason) == authz.Granted || authz.Reason(reason) == authz.Public
		if response.GetStatus().GetCode() == 0 && !allowed {
			t.Errorf("reason %v was answered with allow", authz.Reason(reason))
		}
	})
}

func TestAMessageThatCannotBeReadIsRefused(t *testing.T) {
	good, err := proto.Marshal(get("/powerapps/apps", map[string]string{"authorization": "Bearer x"}))
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(func(r *ask.Request, a *ask.Answer) {
		a.Reason = authz.Granted
		if r.Unreadable != "" {
			a.Reason = authz.BadRequest
			if r.HTTP || r.Method != "" || r.Credentials.Authorization != nil {
				t.Errorf("what was read before the damage is passed on: %+v", r)
			}
		}
	}, extauthz.DetailPermission)
	for _, test := range []struct {
		name string
		wire []byte
		code int32
	}{
		{"readable", good, 0},
		{"nothing", nil, 7},
		{"cut short", good[:len(good)-1], 7},
		{"damage after what is readable", append(slices.Clone(good), 0xff), 7},
		{"a method that is not UTF-8", bytes.Replace(good, []byte("GET"), []byte("G\xffT"), 1), 7},
		{"a header that is not UTF-8", bytes.Replace(good, []byte("Bearer"), []byte("B\xffarer"), 1), 7},
		// attributes { destination { labels { key: "\xff" } } }
		{"a field that nobody reads is not UTF-8", append(slices.Clone(good), 0x0a, 7, 0x12, 5, 0x1a, 3, 0x0a, 1, 0xff), 7},
		{"an end of a group that never began", append(slices.Clone(good), 0x0c), 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := checkWire(t, s, test.wire).GetStatus().GetCode(); got != test.code {
				t.Errorf("status code %d, want %d", got, test.code)
			}
		})
	}
}

func TestAMessageInSeveralBuffersIsOneMessage(t *testing.T) {
	wire, err := proto.Marshal(get("/powerapps/apps", map[string]string{"authorization": "Bearer x"}))
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(func(r *ask.Request, a *ask.Answer) {
		if r.Path == "/powerapps/apps" && slices.Equal(r.Credentials.Authorization, []string{"Bearer x"}) {
			a.Reason = authz.Granted
		}
	}, extauthz.DetailPermission)
	for cut := range wire {
		out, err := call(t.Context(), s, mem.BufferSlice{mem.SliceBuffer(wire[:cut]), mem.SliceBuffer(wire[cut:])})
		if err != nil {
			t.Fatal(err)
		}
		var response authv3.CheckResponse
		if err := proto.Unmarshal(out, &response); err != nil || response.GetOkResponse() == nil {
			t.Fatalf("cut at %d: %v %v", cut, &response, err)
		}
	}
}

// What one call read must not be seen in another's answer, whose memory it is then.
func TestCallsThatShareMemoryKeepApart(t *testing.T) {
	s := newServer(func(r *ask.Request, a *ask.Answer) {
		if r.Unreadable != "" {
			a.Reason = authz.BadRequest
			return
		}
		a.Reason, a.Permissions = authz.Granted, append(a.Permissions[:0], authz.Permission(r.Path))
	}, extauthz.DetailPermission)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			path := "/" + strings.Repeat("x", i)
			wire, err := proto.Marshal(get(path, map[string]string{"x-pathgrant-" + strings.Repeat("y", i): "1"}))
			if err != nil {
				t.Error(err)
				return
			}
			for n := range 200 {
				body := wire
				if n%5 == 4 {
					body = wire[:len(wire)-1]
				}
				out, err := call(t.Context(), s, mem.BufferSlice{mem.SliceBuffer(body)})
				var response authv3.CheckResponse
				if err := errors.Join(err, proto.Unmarshal(out, &response)); err != nil {
					t.Error(err)
					return
				}
				if denied := response.GetDeniedResponse() != nil; denied != (n%5 == 4) {
					t.Errorf("denied %v in round %d", denied, n)
				}
				if got := response.GetDynamicMetadata().GetFields()["permission"].GetStringValue(); n%5 != 4 && got != path {
					t.Errorf("the answer for %q names %q", path, got)
				}
				for _, name := range response.GetOkResponse().GetHeadersToRemove() {
					if strings.HasPrefix(name, "x-pathgrant-y") && name != "x-pathgrant-"+strings.Repeat("y", i) {
						t.Errorf("the answer for %q removes %q", path, name)
					}
				}
			}
		})
	}
	all.Wait()
}
