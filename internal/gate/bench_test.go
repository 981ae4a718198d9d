package gate_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-jose/go-jose/v4"
	"google.golang.org/protobuf/proto"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/ops"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// The benchmarks measure one check, part by part and whole, against what could make it
// grow: the assignments that are stored, the caller's groups, the catalogue's routes. The
// yardsticks at the end are run beside them: what the bare look-ups cost, and what it
// costs to read the message that a check comes in.
//
//	Resolve       from method, host and path to permissions and scopes
//	IdentityHit   a token that was verified before
//	IdentityFresh one that was not: RS256, the claims, the subject
//	ViewHit       what a subject holds, from the cache
//	ViewMiss      the same from the file
//	Walk          the decision alone: what is held, against what is asked for
//	Decision      all of it: map, identify, look up, decide
//	Recorded      all of it, with metrics and the log of decisions as they are shipped

const (
	benchTenant   = "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"
	benchIssuer   = "https://login.example/realm"
	benchAudience = "api://pathgrant"
	benchHost     = "api.powerplatform.com"
	maxGroups     = 200
)

func guid(kind, n int) string {
	return fmt.Sprintf("%08x-%04x-4abc-8def-0123456789%02x", uint32(n)*2654435761, kind, n%251)
}

// The kinds of identifiers.
const (
	environments = iota + 1
	people
	groups
	environmentGroups
	apps
)

// benchData has so many assignments: ten for each person, and one for each of 200 groups.
// There is one environment for every hundred assignments.
func benchData(assignments int) *snapshot.Data {
	reader, contributor := roleID("Power Platform Reader"), roleID("Power Platform Contributor")
	t := snapshot.Tenant{ID: benchTenant}
	place := authz.Scope("/tenants/" + benchTenant)
	count := assignments / 100
	for i := range count {
		if i%20 == 0 {
			t.EnvironmentGroups = append(t.EnvironmentGroups, authz.EnvironmentGroup{ID: guid(environmentGroups, i/20)})
		}
		last := &t.EnvironmentGroups[len(t.EnvironmentGroups)-1]
		last.Environments = append(last.Environments, guid(environments, i))
	}
	hold := func(p authz.Principal, role string, scope authz.Scope) {
		t.RoleAssignments = append(t.RoleAssignments, snapshot.RoleAssignment{
			ID: guid(0, len(t.RoleAssignments)), Principal: p, RoleDefinitionID: role, Scope: scope, Effect: authz.AssignAllow,
		})
	}
	// A quarter of the groups speaks at each scope above the app that is asked for and at
	// another environment. Nobody may delete, so that a refusal looks at everything.
	for i := range maxGroups {
		at := []authz.Scope{
			place, place + "/environmentGroups/" + authz.Scope(guid(environmentGroups, 0)),
			place + "/environments/" + authz.Scope(guid(environments, 0)), place + "/environments/" + authz.Scope(guid(environments, 1)),
		}[i%4]
		hold(authz.Principal{Type: authz.Group, ID: guid(groups, i)}, reader, at)
	}
	for i := range (assignments - maxGroups) / 10 {
		for j := range 10 {
			role, where := reader, (i+j*7)%count
			if i == 0 {
				where = j // the caller of the benchmarks, at the environment that is asked for
			} else if j == 0 {
				role = contributor
			}
			hold(authz.Principal{Type: authz.User, ID: guid(people, i)}, role, place+"/environments/"+authz.Scope(guid(environments, where)))
		}
	}
	t.RoleAssignments = t.RoleAssignments[:assignments]
	return &snapshot.Data{Tenants: []snapshot.Tenant{t}}
}

// benchCatalogues is the shipped catalogue with so many routes more.
func benchCatalogues(t testing.TB, more int) *naming.Catalogues {
	t.Helper()
	source := naming.Shipped()
	if more > 0 {
		var extra []byte
		for i := range more {
			extra = fmt.Appendf(extra, "  - {method: POST, path: \"/powerapps/x%d/{id}/things/t%d\", permissions: [PowerApps.Apps.Read]}\n", i%100, i)
		}
		const list = "\nroutes:\n"
		at := bytes.Index(source.Text, []byte(list)) + len(list)
		source.Text = slices.Concat(source.Text[:at], extra, source.Text[at:])
	}
	catalogues, err := naming.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	return catalogues
}

func benchStoreOptions(t testing.TB, catalogues *naming.Catalogues) snapshot.Options {
	t.Helper()
	return snapshot.Options{
		Dir: t.TempDir(), CacheBytes: 64 << 20, Vocabulary: catalogues.Vocabulary(), ShippedRoles: roles.All(), StandardTables: roles.StandardTables(), FoldCase: true,
	}
}

func benchStore(t testing.TB, catalogues *naming.Catalogues, assignments int, cacheBytes int64) *snapshot.Store {
	t.Helper()
	options := benchStoreOptions(t, catalogues)
	options.CacheBytes = cacheBytes
	store, err := snapshot.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := store.Replace(t.Context(), benchData(assignments), snapshot.Change{Source: "bench"}); err != nil {
		t.Fatal(err)
	}
	return store
}

func groupIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = guid(groups, i)
	}
	return ids
}

func benchSubject(t testing.TB, n int) *authz.Subject {
	t.Helper()
	subject, err := authz.NewSubject(authz.SubjectSpec{
		Tenant: benchTenant, Principal: authz.Principal{Type: authz.User, ID: guid(people, 0)}, Groups: groupIDs(n), FoldCase: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

var benchKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// testVerifier returns a verifier and a function that issues tokens for it.
func testVerifier(t testing.TB, tokens int) (*identity.Verifier, func(groups int, id string) *ask.Credentials) {
	t.Helper()
	key, err := benchKey()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := identity.New(identity.Config{FoldCase: true, TokenCacheEntries: tokens, Sources: []identity.SourceConfig{{JWT: &identity.JWTConfig{
		Issuers: []identity.IssuerConfig{{Issuer: benchIssuer, Audiences: []string{benchAudience}, Tenants: []string{benchTenant}, JWKSInline: string(keys)}},
	}}}}, identity.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, new(jose.SignerOptions).WithHeader("kid", "k1"))
	if err != nil {
		t.Fatal(err)
	}
	return verifier, func(groups int, id string) *ask.Credentials {
		now := time.Now()
		payload, err := json.Marshal(map[string]any{
			"iss": benchIssuer, "aud": benchAudience, "tid": benchTenant, "oid": guid(people, 0), "groups": groupIDs(groups), "jti": id,
			"exp": now.Add(time.Hour).Unix(), "nbf": now.Add(-time.Minute).Unix(), "iat": now.Unix(),
		})
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return &ask.Credentials{Authorization: []string{"Bearer " + token}}
	}
}

// What is asked: an app is read, which the caller's own assignment at the environment
// allows, and deleted, which nothing allows.
var (
	benchPath  = "/powerapps/environments/" + guid(environments, 0) + "/apps/" + guid(apps, 0)
	benchAsked = []struct {
		name, method string
		reason       authz.Reason
	}{{"granted", "GET", authz.Granted}, {"refused", "DELETE", authz.NoAssignment}}
)

func BenchmarkResolve(b *testing.B) {
	for _, more := range []int{0, 1000, 10_000} {
		catalogue := benchCatalogues(b, more).Default()
		b.Run(fmt.Sprintf("routes=%d", 134+more), func(b *testing.B) {
			var r naming.Resolution
			b.ReportAllocs()
			for b.Loop() {
				catalogue.Resolve(naming.Request{Method: "GET", Host: benchHost, Path: benchPath}, &r)
			}
			if len(r.Permissions) != 1 || len(r.Scopes) != 1 {
				b.Fatal(r.Detail)
			}
		})
	}
}

func BenchmarkIdentityHit(b *testing.B) {
	for _, n := range []int{5, 50, 200} {
		verifier, issue := testVerifier(b, 0)
		c := issue(n, "one")
		if _, err := verifier.Identify(b.Context(), c); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("groups=%d", n), func(b *testing.B) {
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verifier.Recall(c, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkIdentityFresh(b *testing.B) {
	for _, n := range []int{5, 50, 200} {
		verifier, issue := testVerifier(b, 1)
		many := make([]*ask.Credentials, 64)
		for i := range many {
			many[i] = issue(n, fmt.Sprint(i))
		}
		b.Run(fmt.Sprintf("groups=%d", n), func(b *testing.B) {
			ctx, i := b.Context(), 0
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verifier.Identify(ctx, many[i%len(many)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkViewHit(b *testing.B) {
	catalogues := benchCatalogues(b, 0)
	for _, assignments := range []int{10_000, 100_000} {
		store := benchStore(b, catalogues, assignments, 64<<20)
		for _, n := range []int{5, 50, 200} {
			b.Run(fmt.Sprintf("assignments=%d/groups=%d", assignments, n), func(b *testing.B) {
				subject := benchSubject(b, n)
				cache(b, store, subject)
				ctx := b.Context()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := store.View(ctx, subject); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkViewMiss(b *testing.B) {
	catalogues := benchCatalogues(b, 0)
	for _, assignments := range []int{10_000, 100_000} {
		store := benchStore(b, catalogues, assignments, -1)
		for _, n := range []int{5, 50, 200} {
			b.Run(fmt.Sprintf("assignments=%d/groups=%d", assignments, n), func(b *testing.B) {
				subject, ctx := benchSubject(b, n), b.Context()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := store.View(ctx, subject); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkWalk(b *testing.B) {
	catalogues := benchCatalogues(b, 0)
	store := benchStore(b, catalogues, 10_000, 64<<20)
	for _, n := range []int{5, 50, 200} {
		found, err := store.View(b.Context(), benchSubject(b, n))
		if err != nil {
			b.Fatal(err)
		}
		hierarchy := store.Current().Tenant(benchTenant).Hierarchy()
		for _, asked := range benchAsked {
			var r naming.Resolution
			catalogues.Default().Resolve(naming.Request{Method: asked.method, Host: benchHost, Path: benchPath}, &r)
			var text []byte
			chain, known := hierarchy.AppendChain(nil, r.Scopes[0], &text)
			if !known || len(chain) != 4 {
				b.Fatalf("the chain is %q", chain)
			}
			question := authz.Request{Permissions: r.Permissions, Chains: [][]authz.Scope{chain}}
			b.Run(fmt.Sprintf("groups=%d/%s", n, asked.name), func(b *testing.B) {
				now := time.Now().Unix()
				b.ReportAllocs()
				for b.Loop() {
					if d := authz.Decide(found.View.Grants, question, now); d.Reason != asked.reason {
						b.Fatal(d.Reason)
					}
				}
			})
		}
	}
}

// shippedRecorder counts every decision and logs refusals, as the server does.
type shippedRecorder struct {
	log     *audit.Log
	metrics *ops.Metrics
}

func (r shippedRecorder) Record(q *ask.Request, a *ask.Answer, took time.Duration) {
	r.metrics.Observe(ops.ExtAuthz, a.Reason, took)
	if !r.log.Keeps(a.Reason) {
		return
	}
	entry := audit.Entry{
		Time: a.Time, Duration: took,
		Process: a.DecisionID.Process, Number: a.DecisionID.Number,
		Adapter: q.Adapter, Permissions: a.Permissions, Scopes: a.Scopes, Reason: a.Reason, Revision: a.Revision,
		Method: q.Method, Path: q.Path,
	}
	if a.Subject != nil {
		entry.Tenant, entry.Principal = a.Subject.Tenant(), a.Subject.Principal()
	}
	if a.Assignment != nil {
		entry.Assignment = a.Assignment.AssignmentID
	}
	r.log.Append(&entry)
}

func newRecorder(t testing.TB) shippedRecorder {
	t.Helper()
	r := shippedRecorder{audit.New(audit.Options{Mode: audit.Denials, Writer: io.Discard}), ops.NewMetrics("bench", func() ops.Status { return ops.Status{} })}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.log.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// The whole of it, warm. It is flat in the assignments that are stored, because one look-up
// in the cache finds all that the subject holds; in the routes, because they are found by
// the segments of the path; and almost in the groups: the caller's groups were put
// together when the view was read, so that a decision looks at four scopes, whoever gave
// what is held there. What grows is the token, by some 50 bytes for each group: it is
// hashed and compared whole, lest two tokens pass for one.
func BenchmarkDecision(b *testing.B) {
	for _, c := range []struct{ assignments, groups, more int }{
		{10_000, 5, 0}, {10_000, 50, 0}, {10_000, 200, 0}, {100_000, 5, 0}, {100_000, 200, 0}, {10_000, 5, 1000}, {10_000, 5, 10_000},
	} {
		benchDecision(b, c.assignments, c.groups, c.more, false)
	}
}

func BenchmarkRecorded(b *testing.B) {
	benchDecision(b, 10_000, 5, 0, true)
	benchDecision(b, 100_000, 200, 0, true)
}

func benchDecision(b *testing.B, assignments, groups, more int, record bool) {
	b.Helper()
	b.Run(fmt.Sprintf("assignments=%d/groups=%d/routes=%d", assignments, groups, 134+more), func(b *testing.B) {
		catalogues := benchCatalogues(b, more)
		store := benchStore(b, catalogues, assignments, 64<<20)
		verifier, issue := testVerifier(b, 0)
		options := gate.Options{Catalogues: catalogues, Snapshots: store, Identity: verifier, Log: slog.New(slog.DiscardHandler)}
		if record {
			options.Recorder = newRecorder(b)
		}
		g := gate.New(options)
		c := issue(groups, "one")
		who, err := verifier.Identify(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		cache(b, store, who.Subject)
		runtime.GC() // what building the world left behind is not the decision's
		for _, asked := range benchAsked {
			r := &ask.Request{Adapter: "extauthz", HTTP: true, Method: asked.method, Host: benchHost, Path: benchPath, Credentials: *c}
			b.Run(asked.name, func(b *testing.B) {
				var a ask.Answer
				ctx := b.Context()
				b.ReportAllocs()
				for b.Loop() {
					g.Decide(ctx, r, &a)
				}
				if a.Reason != asked.reason {
					b.Fatalf("%v: %s", a.Reason, a.Detail)
				}
			})
		}
	})
}

// What the same question costs with nothing around it: the caller and its five groups are
// looked up in a map, and each of the four scopes in theirs, to a set of permissions.
func BenchmarkYardstickMaps(b *testing.B) {
	type set [8]uint64
	catalogues := benchCatalogues(b, 0)
	reads, ok := catalogues.Vocabulary().ID("PowerApps.Apps.Read")
	if !ok {
		b.Fatal("no such permission")
	}
	var read set
	read[reads>>6] |= 1 << (reads & 63)
	held := map[string]map[string]set{}
	for _, a := range benchData(100_000).Tenants[0].RoleAssignments {
		at := held[a.Principal.ID]
		if at == nil {
			at = map[string]set{}
			held[a.Principal.ID] = at
		}
		at[string(a.Scope)] = read
	}
	place := "/tenants/" + benchTenant
	chain := []string{
		place + "/environments/" + guid(environments, 0) + "/powerapps/" + guid(apps, 0), place + "/environments/" + guid(environments, 0),
		place + "/environmentGroups/" + guid(environmentGroups, 0), place,
	}
	who := append(groupIDs(5), guid(people, 0))
	b.ReportAllocs()
	for b.Loop() {
		allowed := false
		for _, scope := range chain {
			for _, id := range who {
				at := held[id][scope]
				allowed = allowed || at[reads>>6]&(1<<(reads&63)) != 0
			}
			if allowed {
				break
			}
		}
		if !allowed {
			b.Fatal("not allowed")
		}
	}
}

// What it costs to read the message that such a check comes in, as generated code does.
func BenchmarkYardstickUnmarshal(b *testing.B) {
	for _, n := range []int{5, 200} {
		_, issue := testVerifier(b, 0)
		request := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Source: &authv3.AttributeContext_Peer{Address: address("10.0.0.1", 40000)}, Destination: &authv3.AttributeContext_Peer{Address: address("10.0.0.2", 8443)},
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Id: "1", Method: "GET", Path: benchPath, Host: benchHost, Scheme: "https", Protocol: "HTTP/2",
				Headers: map[string]string{
					":authority": benchHost, ":method": "GET", ":path": benchPath, ":scheme": "https", "accept": "application/json",
					"authorization": issue(n, "one").Authorization[0], "user-agent": "client/1.0", "x-request-id": guid(0, 1),
				},
			}},
		}}
		message, err := proto.Marshal(request)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("groups=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var r authv3.CheckRequest
				if err := proto.Unmarshal(message, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func address(ip string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}
