package gate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-jose/go-jose/v4"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/extauthz"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The callers, environments and questions of [BenchmarkAnswer]. There are so many callers
// that what one question needs has left the processor's caches before it comes again.
const (
	answerCallers      = 1024
	answerEnvironments = 200
	answerRegions      = 10
	answerTeams        = 100
)

// answerData gives every caller nine role assignments and each of its group's ten, all at
// places whose texts are alike for most of their length, as GUIDs make them.
func answerData() *snapshot.Data {
	reader, contributor := roleID("Power Platform Reader"), roleID("Power Platform Contributor")
	t := snapshot.Tenant{ID: benchTenant}
	hold := func(p authz.Principal, role string, effect authz.AssignmentEffect, below string) {
		t.RoleAssignments = append(t.RoleAssignments, snapshot.RoleAssignment{
			ID: guid(0, len(t.RoleAssignments)), Principal: p, RoleDefinitionID: role, Scope: authz.Scope("/tenants/" + benchTenant + below), Effect: effect,
		})
	}
	for region := range answerRegions {
		t.EnvironmentGroups = append(t.EnvironmentGroups, authz.EnvironmentGroup{ID: fmt.Sprintf("region-%d", region)})
	}
	for env := range answerEnvironments {
		region := &t.EnvironmentGroups[env%answerRegions]
		region.Environments = append(region.Environments, answerEnvironment(env))
	}
	for team := range answerTeams {
		group := snapshot.Group{ID: guid(groups, team)}
		for caller := team; caller < answerCallers; caller += answerTeams {
			group.Members = append(group.Members, authz.Principal{Type: authz.User, ID: guid(people, caller)})
		}
		t.Groups = append(t.Groups, group)
		for i := range 10 {
			hold(authz.Principal{Type: authz.Group, ID: group.ID}, reader, authz.AssignAllow, "/environments/"+answerEnvironment(team*31+i*17))
		}
	}
	for caller := range answerCallers {
		p := authz.Principal{Type: authz.User, ID: guid(people, caller)}
		hold(p, reader, authz.AssignAllow, fmt.Sprintf("/environmentGroups/region-%d", caller%answerRegions))
		for i := 1; i < 8; i++ {
			hold(p, []string{reader, contributor}[i%2], authz.AssignAllow, "/environments/"+answerEnvironment(caller*7+i*13))
		}
		hold(p, contributor, authz.AssignDeny, "/environments/"+answerEnvironment(caller*7+8*13))
	}
	return &snapshot.Data{Tenants: []snapshot.Tenant{t}}
}

func answerEnvironment(i int) string {
	return fmt.Sprintf("e4710000-0000-4000-8000-%012x", i%answerEnvironments)
}

// answerVerifier returns a verifier, and a function that issues a caller's token of some
// 700 bytes.
func answerVerifier(b *testing.B) (*identity.Verifier, func(caller int) string) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		b.Fatal(err)
	}
	verifier, err := identity.New(identity.Config{FoldCase: true, Sources: []identity.SourceConfig{{JWT: &identity.JWTConfig{
		Issuers: []identity.IssuerConfig{{Issuer: benchIssuer, Audiences: []string{benchAudience}, Tenants: []string{benchTenant}, JWKSInline: string(keys)}},
	}}}}, identity.Deps{})
	if err != nil {
		b.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, new(jose.SignerOptions).WithHeader("kid", "k1"))
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	return verifier, func(caller int) string {
		payload, err := json.Marshal(map[string]any{
			"iss": benchIssuer, "aud": benchAudience, "tid": benchTenant, "oid": guid(people, caller), "uti": fmt.Sprint(caller),
			"exp": now.Add(time.Hour).Unix(), "nbf": now.Add(-time.Minute).Unix(), "iat": now.Unix(), "name": strings.Repeat("A User ", 22),
		})
		if err != nil {
			b.Fatal(err)
		}
		jws, err := signer.Sign(payload)
		if err != nil {
			b.Fatal(err)
		}
		token, err := jws.CompactSerialize()
		if err != nil {
			b.Fatal(err)
		}
		return token
	}
}

// answerMessage is a check as Envoy sends it, with the headers of an ordinary client: in
// header_map as with encode_raw_headers, or joined.
func answerMessage(b *testing.B, n int, joined bool, method, path, token string) []byte {
	b.Helper()
	id := fmt.Sprintf("%08x-1b2c-4d3e-9f40-5a6b7c8d9e0f", n)
	http := &authv3.AttributeContext_HttpRequest{Id: id, Method: method, Path: path, Host: benchHost, Scheme: "https", Protocol: "HTTP/2"}
	if joined {
		http.Headers = map[string]string{}
	} else {
		http.HeaderMap = &corev3.HeaderMap{}
	}
	for _, h := range [][2]string{
		{":authority", benchHost}, {":method", method}, {":path", path}, {":scheme", "https"},
		{"accept", "application/json, text/plain, */*"}, {"accept-encoding", "gzip, deflate, br"}, {"authorization", "Bearer " + token},
		{"content-type", "application/json"},
		{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		{"x-ms-client-request-id", id}, {"x-envoy-internal", "true"}, {"x-forwarded-for", "10.12.4.77"}, {"x-forwarded-proto", "https"},
		{"x-request-id", id},
	} {
		if joined {
			http.Headers[h[0]] = h[1]
		} else {
			http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
		}
	}
	message, err := proto.MarshalOptions{Deterministic: true}.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:          &authv3.AttributeContext_Peer{Address: address("10.12.4.77", 51034)},
		Destination:     &authv3.AttributeContext_Peer{Address: address("10.12.8.3", 10000)},
		Request:         &authv3.AttributeContext_Request{Time: timestamppb.New(time.Unix(1790000000, 123456000)), Http: http},
		MetadataContext: &corev3.Metadata{}, RouteMetadataContext: &corev3.Metadata{},
	}})
	if err != nil {
		b.Fatal(err)
	}
	return message
}

// The whole of a check between the two ends of a connection: the message is read, mapped,
// decided, recorded and answered. Each of 1,024 callers asks in turn with its own token.
func BenchmarkAnswer(b *testing.B) {
	catalogues := benchCatalogues(b, 0)
	store, err := snapshot.Open(b.Context(), benchStoreOptions(b, catalogues))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	if _, err := store.Replace(b.Context(), answerData(), snapshot.Change{Source: "bench"}); err != nil {
		b.Fatal(err)
	}
	verifier, issue := answerVerifier(b)
	s := extauthz.New(extauthz.Options{
		Decider: gate.New(gate.Options{
			Catalogues: catalogues, Snapshots: store, Identity: verifier, Recorder: newRecorder(b), Log: slog.New(slog.DiscardHandler),
		}),
		Headers: extauthz.DefaultHeaders(), Log: slog.New(slog.DiscardHandler),
	})
	tokens := make([]string, answerCallers)
	for caller := range tokens {
		tokens[caller] = issue(caller)
		who, err := verifier.Identify(b.Context(), &ask.Credentials{Authorization: []string{"Bearer " + tokens[caller]}})
		if err != nil {
			b.Fatal(err)
		}
		cache(b, store, who.Subject)
	}
	below := []struct{ method, path string }{
		{"GET", "/apps"}, {"GET", "/apps/" + guid(apps, 1)}, {"PATCH", "/apps/" + guid(apps, 1)},
		{"POST", "/apps"}, {"POST", "/apps/" + guid(apps, 1) + "/play"}, {"DELETE", "/apps/" + guid(apps, 1)},
	}
	for _, form := range []string{"raw", "joined"} {
		messages := make([][]byte, answerCallers)
		for i := range messages {
			caller, what := i*389%answerCallers, below[i%len(below)]
			env := answerEnvironment(caller*7 + i%9*13)
			messages[i] = answerMessage(b, i, form == "joined", what.method, "/powerapps/environments/"+env+what.path+"?api-version=2024-10-01", tokens[caller])
		}
		runtime.GC() // what building the world left behind is not the answer's
		b.Run(form, func(b *testing.B) {
			out, bytes, slow, allowed := make([]byte, 0, 4<<10), 0, 0, 0
			b.ReportAllocs()
			i, used := 0, cpuTime(b)
			for b.Loop() {
				answer, done := s.AnswerAtOnce(messages[i%len(messages)], out)
				if !done {
					slow++
					if answer, err = s.Answer(b.Context(), messages[i%len(messages)], out); err != nil {
						b.Fatal(err)
					}
				}
				if bytes += len(answer); answer[1] == 0 { // the status OK has no fields
					allowed++
				}
				i++
			}
			used = cpuTime(b) - used
			if slow > i/100+4 || i > answerCallers && (allowed < i/4 || allowed > i*3/4) {
				b.Fatalf("%d of %d answers were slow, and %d allowed", slow, i, allowed)
			}
			b.ReportMetric(float64(used)/float64(i), "cpu-ns/op")
			b.ReportMetric(float64(len(messages[0])), "bytes-in")
			b.ReportMetric(float64(bytes)/float64(i), "bytes-out")
		})
	}
}

// cpuTime is what the process has used, the writer of the log included: on a machine that
// others use too it says more than the time that went by.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
