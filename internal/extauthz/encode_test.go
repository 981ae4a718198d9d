package extauthz

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// pieces are texts that answers are made of: of lengths on both sides of what one byte of
// length can say, and with what must be escaped.
var pieces = []string{
	"", "ada", "PowerApps.Apps.Read", "/tenants/t1/environments/e1", "a b\r\nc%", `"quoted" \ <b>&`, "é€😀\u2028",
	strings.Repeat("x", 126), strings.Repeat("x", 127), strings.Repeat("x", 128), strings.Repeat("y", 16383), strings.Repeat("z", 16384),
}

func randomAnswer(tb testing.TB, random *rand.Rand) *ask.Answer {
	tb.Helper()
	piece := func() string { return pieces[random.IntN(len(pieces))] }
	a := &ask.Answer{
		Reason:             append(authz.Reasons(), authz.ReasonUnspecified, 200)[random.IntN(len(authz.Reasons())+2)],
		Detail:             piece(),
		InvalidCredentials: random.IntN(2) == 0,
		Revision:           authz.Revision{Epoch: random.Uint64() >> random.IntN(64), Number: random.Uint64()},
		DecisionID:         ask.DecisionID{Process: random.Uint64(), Number: random.Uint64() >> random.IntN(64)},
	}
	for range random.IntN(3) {
		a.Permissions = append(a.Permissions, authz.Permission(piece()+"p"))
		a.Scopes = append(a.Scopes, authz.Scope(piece()+"s"))
		a.Missing = append(a.Missing, authz.Permission(piece()+"m"))
	}
	if random.IntN(2) == 0 {
		spec := authz.SubjectSpec{Tenant: "t1", Principal: authz.Principal{Type: authz.User, ID: "ada " + strings.Repeat("x", random.IntN(200))}}
		var err error
		if a.Subject, err = authz.NewSubject(spec); err != nil {
			tb.Fatal(err)
		}
	}
	if random.IntN(2) == 0 {
		a.Assignment = &authz.Grant{AssignmentID: piece()}
	}
	return a
}

func TestTheEncodingIsThatOfTheGeneratedMessages(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := DefaultHeaders()
	some.Principal, some.Scope, some.Revision = "X-User", "", ""
	sent := [][]header{
		nil,
		{{"authorization", "x", ""}, {"x-pathgrant-principal", "mallory", ""}, {"x-pathgrant-admin", "1", ""}, {"x-pathgrant-admin", "2", ""}},
		{{"x-original-url", "/", ""}, {"x-original-anything", "/", ""}, {"x-rewrite-", "", ""}, {"x-user", "mallory", ""}, {"X-Pathgrant-Admin", "1", ""}},
	}
	for _, headers := range []Headers{DefaultHeaders(), some, {}} {
		for _, detail := range []DenialDetail{DetailPermission, DetailNone, DetailScope} {
			e := newEncoder(headers, detail)
			reference := referenceEncoder{headers: headers, names: headers.names(), detail: detail}
			for i := range 300 {
				a, in, grpcCaller := randomAnswer(t, random), sent[i%len(sent)], random.IntN(3) == 0
				list := referenceHeaders{joined: map[string]string{}}
				for _, h := range in {
					list.joined[h.name] = h.value
				}
				want := reference.respond(a, list, grpcCaller)
				got := encoded(t, e.respond(nil, a, in, grpcCaller))
				same(t, want, got, fmt.Sprintf("%+v, gRPC %v", a, grpcCaller))
			}
		}
	}
}

func encoded(t *testing.T, wire []byte) *authv3.CheckResponse {
	t.Helper()
	var response authv3.CheckResponse
	if err := proto.Unmarshal(wire, &response); err != nil {
		t.Fatalf("the response can't be read: %v", err)
	}
	if response.GetStatus() == nil {
		t.Fatal("the response has no status, which Envoy reads as allow")
	}
	if len(response.ProtoReflect().GetUnknown()) > 0 {
		t.Error("the response holds unknown fields")
	}
	return &response
}

// same compares two responses; bodies as JSON, and removals in any order.
func same(t *testing.T, want, got *authv3.CheckResponse, what string) {
	t.Helper()
	for _, r := range []*authv3.CheckResponse{want, got} {
		if ok := r.GetOkResponse(); ok != nil {
			slices.Sort(ok.HeadersToRemove)
		}
	}
	w, g := want.GetDeniedResponse(), got.GetDeniedResponse()
	if w != nil && g != nil && w.GetBody() != g.GetBody() {
		var wantBody, gotBody any
		if json.Unmarshal([]byte(w.GetBody()), &wantBody) == nil && json.Unmarshal([]byte(g.GetBody()), &gotBody) == nil && cmp.Equal(wantBody, gotBody) {
			g.Body = w.GetBody()
		}
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Fatalf("%s: %s", what, diff)
	}
}

// An answer's texts come from many places; whatever they hold, there is a response.
func FuzzEncode(f *testing.F) {
	f.Add("detail", "ada", uint8(1), uint8(0), false)
	f.Add("\xff\xfe", "\xc3", uint8(authz.NoAssignment), uint8(DetailScope), true)
	f.Add("\"\\\x00\u2028", "a%b", uint8(authz.Granted), uint8(DetailNone), false)
	f.Fuzz(func(t *testing.T, detail, text string, reason, level uint8, grpcCaller bool) {
		a := &ask.Answer{
			Reason: authz.Reason(reason), Detail: detail,
			Permissions: []authz.Permission{authz.Permission(text), "a"}, Scopes: []authz.Scope{authz.Scope(text)},
			Missing: []authz.Permission{authz.Permission(text)}, Assignment: &authz.Grant{AssignmentID: text},
		}
		e := newEncoder(DefaultHeaders(), DenialDetail(level%3))
		response := encoded(t, e.respond(nil, a, []header{{name: text}, {name: "x-pathgrant-" + text}}, grpcCaller))
		allowed := authz.Reason(reason) == authz.Granted || authz.Reason(reason) == authz.Public
		if (response.GetOkResponse() != nil) != allowed || (response.GetDeniedResponse() != nil) == allowed || (response.GetStatus().GetCode() == 0) != allowed {
			t.Errorf("reason %v is answered with %v", authz.Reason(reason), response)
		}
		if denied := response.GetDeniedResponse(); denied != nil && !grpcCaller && !json.Valid([]byte(denied.GetBody())) {
			t.Errorf("the body is not JSON: %s", denied.GetBody())
		}
	})
}
