package callers_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/callers"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/rest"
	"github.com/pathgrant/pathgrant/internal/server"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// verifier answers as it is told, and counts how often it is asked.
type verifier struct {
	id    identity.Identity
	err   error
	asked int
	given ask.Credentials
}

func (v *verifier) Identify(_ context.Context, c *ask.Credentials) (identity.Identity, error) {
	v.asked++
	v.given = *c
	return v.id, v.err
}

type fixture struct {
	*callers.Identifier
	verifier verifier
	secrets  []string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	subject, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: authz.Principal{Type: authz.User, ID: "ada"}})
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := callers.NewMapping()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{verifier: verifier{id: identity.Identity{Subject: subject}}}
	f.Identifier = callers.New(callers.Options{Mapping: mapping, Verifier: &f.verifier, Prove: func(_ context.Context, secret, from, agent string) (admin.Caller, error) {
		f.secrets = append(f.secrets, secret)
		return admin.Caller{Kind: admin.Operator, From: from, Agent: agent}, nil
	}})
	return f
}

const (
	create    = "/pathgrant.v1.RoleAssignmentService/CreateRoleAssignment"
	bootstrap = "/pathgrant.v1.OperatorService/Bootstrap"
)

func call(path string, authorization ...string) callers.Call {
	return callers.Call{Method: "POST", Path: path, Authorization: authorization, From: "10.0.0.1:1", Agent: "a"}
}

func TestATokenMakesACallerOfItsTenant(t *testing.T) {
	f := newFixture(t)
	who, err := f.Identify(t.Context(), call(create, "Bearer x"))
	if err != nil || who.Kind != admin.Token || who.Subject.Principal().ID != "ada" || who.From != "10.0.0.1:1" || who.Agent != "a" {
		t.Errorf("%+v, %v", who, err)
	}
}

// What nobody listed is refused before credentials are looked at, and no secret is used up.
func TestACallThatIsNotListedIsRefusedFirst(t *testing.T) {
	f := newFixture(t)
	for _, c := range []callers.Call{
		call("/pathgrant.v1.RoleAssignmentService/Nonsense", "Bearer x"),
		call("/pathgrant.v1.AuthorizationService/Check", "Operator s"),
		call("/", "Operator s"), call("", "Operator s"), call("/pathgrant.v1.OperatorService", "Operator s"),
		{Method: "GET", Path: create, Authorization: []string{"Operator s"}},
		call(create+"/x", "Operator s"),
		call("/pathgrant.v1.RoleAssignmentService//CreateRoleAssignment", "Operator s"),
		call("/authorization/%2e%2e/roleAssignments", "Bearer x"),
	} {
		if _, err := f.Identify(t.Context(), c); admin.KindOf(err) != admin.Forbidden {
			t.Errorf("%s %s: %v, want a refusal", c.Method, c.Path, err)
		}
	}
	if f.verifier.asked != 0 || len(f.secrets) != 0 {
		t.Errorf("credentials were looked at %d times, secrets %v", f.verifier.asked, f.secrets)
	}
}

func TestTheOperatorsSecretIsUsedOnceAndGoesNowhereElse(t *testing.T) {
	f := newFixture(t)
	for _, value := range []string{"Operator s3cret", "operator  s3cret ", "OPERATOR s3cret"} {
		f.secrets = nil
		who, err := f.Identify(t.Context(), call(bootstrap, value))
		if err != nil || who.Kind != admin.Operator || !slices.Equal(f.secrets, []string{"s3cret"}) {
			t.Errorf("%q: %+v, %v, the secrets tried are %q", value, who, err, f.secrets)
		}
	}
	if f.verifier.asked != 0 {
		t.Error("a secret was shown to the verifier of tokens")
	}
}

func TestTwoAuthorizationsAreNoOperators(t *testing.T) {
	f := newFixture(t)
	f.verifier.err = &identity.InvalidError{Source: "jwt", Detail: "two values"}
	_, err := f.Identify(t.Context(), call(bootstrap, "Operator s", "Operator s"))
	if admin.KindOf(err) != admin.Unauthenticated || len(f.secrets) != 0 {
		t.Errorf("%v, secrets %v", err, f.secrets)
	}
}

func TestATokenIsNoOperator(t *testing.T) {
	f := newFixture(t)
	if _, err := f.Identify(t.Context(), call(bootstrap, "Bearer x")); admin.KindOf(err) != admin.OperatorRequired {
		t.Errorf("%v, want OPERATOR_REQUIRED", err)
	}
}

func TestWhatTheVerifierSaysDecides(t *testing.T) {
	for _, test := range []struct {
		err  error
		want admin.Kind
	}{
		{identity.ErrNoIdentity, admin.Unauthenticated},
		{&identity.InvalidError{Source: "jwt", Detail: "the audience is another"}, admin.Unauthenticated},
		{identity.ErrKeysUnavailable, admin.Unavailable},
		{errors.New("anything else"), admin.Unavailable},
	} {
		f := newFixture(t)
		f.verifier.err = test.err
		who, err := f.Identify(t.Context(), call(create, "Bearer x"))
		if admin.KindOf(err) != test.want || who != (admin.Caller{}) || !errors.Is(err, test.err) {
			t.Errorf("%v: %+v, %v, want %s", test.err, who, err, test.want)
		}
	}
}

func TestADelegatedTokenMustNameThePermission(t *testing.T) {
	for _, test := range []struct {
		scopes  []string
		user    bool
		enforce bool
		allowed bool
	}{
		{nil, true, false, true},
		{nil, true, true, false},
		{nil, false, true, true},
		{[]string{"Authorization.RoleAssignments.Read"}, true, true, false},
		{[]string{"authorization.roleassignments.write"}, true, true, true},
	} {
		f := newFixture(t)
		f.verifier.id.Scopes, f.verifier.id.UserToken, f.verifier.id.EnforceDelegated = test.scopes, test.user, test.enforce
		_, err := f.Identify(t.Context(), call(create, "Bearer x"))
		var e *admin.Error
		if allowed := err == nil; allowed != test.allowed || !allowed && (!errors.As(err, &e) || !slices.Equal(e.Missing, []authz.Permission{"Authorization.RoleAssignments.Write"})) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// Only a certificate that was verified says who somebody is, and only by its one SPIFFE URI.
func TestACertificateIsReadWhereItWasVerified(t *testing.T) {
	uri := func(text string) *url.URL {
		parsed, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	spiffe, other := uri("spiffe://cluster.local/ns/ops/sa/deployer"), uri("https://example.com/x")
	leaf := func(uris ...*url.URL) *x509.Certificate {
		return &x509.Certificate{URIs: uris, DNSNames: []string{"spiffe://cluster.local/ns/ops/sa/deployer"}}
	}
	verified := func(c *x509.Certificate) *tls.ConnectionState {
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}
	}
	for _, test := range []struct {
		name  string
		state *tls.ConnectionState
		want  string
	}{
		{"verified", verified(leaf(spiffe)), spiffe.String()},
		{"no TLS", nil, ""},
		{"presented, not verified", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf(spiffe)}}, ""},
		{"two URIs", verified(leaf(spiffe, other)), ""},
		{"no SPIFFE URI", verified(leaf(other)), ""},
		{"none", verified(leaf()), ""},
		{"an empty chain", &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{}}}, ""},
	} {
		f := newFixture(t)
		c := call(create)
		c.TLS = test.state
		if _, err := f.Identify(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if f.verifier.given.Principal != test.want {
			t.Errorf("%s: the verifier is told %q, want %q", test.name, f.verifier.given.Principal, test.want)
		}
	}
}

func TestAPublicCallNeedsNobody(t *testing.T) {
	f := newFixture(t)
	f.verifier.err = identity.ErrNoIdentity
	who, err := f.Identify(t.Context(), call("/grpc.health.v1.Health/Check", "Operator s"))
	if err != nil || who.Kind != admin.Nobody || len(f.secrets) != 0 {
		t.Errorf("%+v, %v, secrets %v", who, err, f.secrets)
	}
}

func TestAnHTTPRequestIsReadAsItCame(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/authorization/role%41ssignments?x=1", nil)
	r.Header.Add("Authorization", "Bearer a")
	r.Header.Add("Authorization", "Bearer b")
	r.Header.Set("User-Agent", "curl")
	r.RemoteAddr = "@"
	got := callers.OfRequest(r)
	if got.Method != "GET" || got.Path != "/authorization/role%41ssignments" || !slices.Equal(got.Authorization, []string{"Bearer a", "Bearer b"}) ||
		got.From != "unix socket" || got.Agent != "curl" {
		t.Errorf("%+v", got)
	}
}

// Whatever REST serves is in the catalogue, and says the same of it.
func TestEveryOperationOfRESTIsInTheCatalogue(t *testing.T) {
	mapping, err := callers.NewMapping()
	if err != nil {
		t.Fatal(err)
	}
	operations := rest.Operations()
	if len(operations) < 15 {
		t.Fatalf("only %d operations", len(operations))
	}
	for _, o := range operations {
		path := strings.NewReplacer("{", "", "}", "").Replace(o.Path)
		need := mapping.Of(o.Method, path)
		if !need.Listed || need.Public != o.Public || need.Operator != o.Operator {
			t.Errorf("%s %s: %+v, and the operation says public %t, operator %t", o.Method, o.Path, need, o.Public, o.Operator)
		}
	}
}

// What every server has is listed too: health and reflection.
func TestEveryMethodThatEachServerHasIsListed(t *testing.T) {
	mapping, err := callers.NewMapping()
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range server.NewAdmin(server.AdminOptions{}).Methods() {
		if need := mapping.Of("POST", method); !need.Public {
			t.Errorf("%s: %+v, want a public one", method, need)
		}
	}
}

// Roles can name the permissions of administration whatever a catalogue declares.
func TestTheVocabularyHasAdministrationBesideAnyCatalogue(t *testing.T) {
	for _, own := range []string{
		"catalogue: own\nnamespaces: {Shop: {resourceTypes: {Orders: {}}}}\n",
		"catalogue: own\ncaseInsensitivePaths: true\nnamespaces: {authorization: {resourceTypes: {roleassignments: {}}}}\n",
	} {
		alone, err := naming.Load(naming.Source{File: "own.yaml", Text: []byte(own)})
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := naming.Load(naming.Source{File: "own.yaml", Text: []byte(own)}, callers.VocabularySource(alone.FoldCase()))
		if err != nil {
			t.Fatal(err)
		}
		for _, permission := range []string{
			"Authorization.RoleAssignments.Read", "Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete", "Authorization.RoleDefinitions.Read",
		} {
			if _, known := loaded.Vocabulary().ID(permission); !known {
				t.Errorf("%s is not known beside %q", permission, own)
			}
		}
		if loaded.Default().Name() != "own" {
			t.Errorf("the default catalogue is %s", loaded.Default().Name())
		}
	}
}
