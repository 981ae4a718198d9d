package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/identity"
)

// payload is the claims as Envoy's metadata holds them: every number a double, every
// list a []any.
func payload(changes map[string]any) map[string]any {
	text, err := json.Marshal(claims(noon, changes))
	must(err)
	var p map[string]any
	must(json.Unmarshal(text, &p))
	return p
}

func metadata(namespace, key string, value any) *ask.Credentials {
	return &ask.Credentials{Metadata: func(ns, k string) any {
		if ns == namespace && k == key {
			return value
		}
		return nil
	}}
}

func metadataConfig() identity.Config {
	i := issuer()
	i.JWKSInline = ""
	return identity.Config{Sources: []identity.SourceConfig{{JWTMetadata: &identity.MetadataConfig{PayloadKey: "payload", Issuers: []identity.IssuerConfig{i}}}}}
}

const jwtAuthn = "envoy.filters.http.jwt_authn"

func TestThePayloadInEnvoysMetadata(t *testing.T) {
	v := newVerifier(t, metadataConfig(), atNoon())
	id, err := v.Identify(context.Background(), metadata(jwtAuthn, "payload", payload(map[string]any{"groups": []string{"g2", "g1"}, "aud": []string{"x", audience}})))
	wantSubject(t, id, err, tenantID, "User "+userID)
	if diff := cmp.Diff([]string{"g1", "g2"}, id.Subject.Groups()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	for _, c := range []struct {
		name    string
		payload any
		want    string
	}{
		{"text", "a token", "the payload in the metadata is not an object"},
		{"empty", map[string]any{}, "the token names no issuer"},
		{"expired", payload(map[string]any{"exp": noon.Unix() - 60}), "the token has expired"},
		{"no expiry", payload(map[string]any{"exp": nil}), "the token has no expiry (exp)"},
		{"not a time", payload(map[string]any{"exp": "x"}), "the token's exp is not a time"},
		{"not valid yet", payload(map[string]any{"nbf": noon.Unix() + 61}), "the token is not valid yet"},
		{"wrong audience", payload(map[string]any{"aud": "other"}), "the token is for another audience"},
		{"wrong issuer", payload(map[string]any{"iss": "https://evil.example"}), "the token's issuer is not accepted, or does not belong to the token's tenant"},
		{"foreign tenant", payload(map[string]any{"tid": otherTenant}), "the issuer may not speak for the token's tenant"},
		{"no principal", payload(map[string]any{"oid": nil}), "the token has no claim oid with a text"},
		{"not UTF-8", payload(map[string]any{"oid": "a"}), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "not UTF-8" {
				broken := payload(nil)
				broken["oid"] = "\xff"
				c.payload, c.want = broken, "the token's claim oid is not an identifier"
			}
			id, err := v.Identify(context.Background(), metadata(jwtAuthn, "payload", c.payload))
			wantInvalid(t, id, err, "jwt_metadata", c.want)
		})
	}
}

func TestOnlyThePayloadKeyOfTheNamespaceCounts(t *testing.T) {
	v := newVerifier(t, metadataConfig(), atNoon())
	for name, c := range map[string]*ask.Credentials{
		"another key":       metadata(jwtAuthn, "failed_status", payload(nil)),
		"another namespace": metadata("envoy.filters.http.other", "payload", payload(nil)),
		"no metadata":       {},
		"a bearer token":    bearer(rs256("k1").sign(claims(noon, nil))),
	} {
		if _, err := v.Identify(context.Background(), c); !errors.Is(err, identity.ErrNoIdentity) {
			t.Errorf("%s: got %v, want ErrNoIdentity", name, err)
		}
	}
}

func TestTheNamespaceCanBeSet(t *testing.T) {
	cfg := metadataConfig()
	cfg.Sources[0].JWTMetadata.Namespace = "istio.authn"
	cfg.DelegatedScopes = "enforce"
	v := newVerifier(t, cfg, atNoon())
	id, err := v.Identify(context.Background(), metadata("istio.authn", "payload", payload(map[string]any{"scp": "A.B.Read", "hasgroups": true})))
	wantSubject(t, id, err, tenantID, "User "+userID)
	if !id.EnforceDelegated || !id.UserToken || !id.Subject.GroupsUnknown() || len(id.Scopes) != 1 {
		t.Errorf("identity %+v", id)
	}
}

func mtlsConfig() identity.Config {
	return identity.Config{Sources: []identity.SourceConfig{{MTLS: &identity.MTLSConfig{Identities: []identity.MTLSIdentity{
		{URI: "spiffe://cluster.local/ns/shop/sa/orders", Tenant: strings.ToUpper(tenantID), Principal: userID},
		{URI: "spiffe://cluster.local/ns/shop/sa/ada", Tenant: tenantID, Principal: otherTenant, Kind: "User"},
	}}}}}
}

func TestACertificatesURIIsLookedUpInTheTable(t *testing.T) {
	cfg := mtlsConfig()
	cfg.DelegatedScopes = "enforce"
	v := newVerifier(t, cfg, atNoon())
	id, err := v.Identify(context.Background(), &ask.Credentials{Principal: "spiffe://cluster.local/ns/shop/sa/orders"})
	wantSubject(t, id, err, tenantID, "ApplicationUser "+userID)
	if id.UserToken || id.EnforceDelegated || id.Scopes != nil {
		t.Errorf("identity %+v: no token was presented", id)
	}
	id, err = v.Identify(context.Background(), &ask.Credentials{Principal: "spiffe://cluster.local/ns/shop/sa/ada"})
	wantSubject(t, id, err, tenantID, "User "+otherTenant)
	for _, principal := range []string{
		"", "spiffe://cluster.local/ns/shop/sa/Orders", "spiffe://cluster.local/ns/shop/sa/orders/", "spiffe://cluster.local/ns/gateway/sa/envoy",
		"orders.shop.svc", "CN=orders", " spiffe://cluster.local/ns/shop/sa/orders", "spiffe://cluster.local/ns/shop/sa/orders,spiffe://cluster.local/ns/shop/sa/ada",
	} {
		if _, err := v.Identify(context.Background(), &ask.Credentials{Principal: principal}); !errors.Is(err, identity.ErrNoIdentity) {
			t.Errorf("%q: got %v, want ErrNoIdentity", principal, err)
		}
	}
}

func headers(all map[string][]string) *ask.Credentials {
	return &ask.Credentials{Header: func(name string) []string { return all[name] }}
}

func TestHeadersAreBelievedWhereConfigured(t *testing.T) {
	cfg := identity.Config{Sources: []identity.SourceConfig{{Header: &identity.HeaderConfig{Tenant: "X-Tenant", Principal: "X-User", Groups: "X-Group", Kind: "X-Kind"}}}}
	v := newVerifier(t, cfg, atNoon())
	for _, c := range []struct {
		name    string
		headers map[string][]string
		want    string // principal and groups, "nobody", or why it is refused
	}{
		{"a user", map[string][]string{"x-tenant": {tenantID}, "x-user": {"ada"}}, "User ada []"},
		{"an application with groups", map[string][]string{"x-tenant": {tenantID}, "x-user": {"ada"}, "x-kind": {"applicationuser"}, "x-group": {"/b", "/a b"}}, "ApplicationUser ada [/a b /b]"},
		{"nothing", map[string][]string{"x-other": {"x"}}, "nobody"},
		{"no tenant", map[string][]string{"x-user": {"ada"}}, "the header x-tenant is missing"},
		{"no user", map[string][]string{"x-tenant": {tenantID}}, "the header x-user is missing"},
		{"a group alone", map[string][]string{"x-group": {"g"}}, "the header x-tenant is missing"},
		{"empty user", map[string][]string{"x-tenant": {tenantID}, "x-user": {""}}, "the header x-user does not hold an identifier"},
		{"two users", map[string][]string{"x-tenant": {tenantID}, "x-user": {"ada", "bob"}}, "the header x-user is there twice"},
		{"two users joined", map[string][]string{"x-tenant": {tenantID}, "x-user": {"ada,bob"}}, "the header x-user is there twice"},
		{"two tenants", map[string][]string{"x-tenant": {tenantID, tenantID}, "x-user": {"ada"}}, "the header x-tenant is there twice"},
		{"groups joined", map[string][]string{"x-tenant": {tenantID}, "x-user": {"ada"}, "x-group": {"a,b"}},
			"the header x-group must hold one group, and be repeated for more; Envoy keeps repeated headers apart with encode_raw_headers"},
		{"a group as kind", map[string][]string{"x-tenant": {tenantID}, "x-user": {"ada"}, "x-kind": {"Group"}}, "the header x-kind is neither User nor ApplicationUser"},
		{"two kinds", map[string][]string{"x-tenant": {tenantID}, "x-user": {"ada"}, "x-kind": {"User", "ApplicationUser"}}, "the header x-kind is there twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := v.Identify(context.Background(), headers(c.headers))
			switch {
			case strings.HasPrefix(c.want, "the "):
				wantInvalid(t, id, err, "header", c.want)
			case c.want == "nobody":
				if !errors.Is(err, identity.ErrNoIdentity) {
					t.Errorf("got %v, want ErrNoIdentity", err)
				}
			case err != nil:
				t.Error(err)
			default:
				got := id.Subject.Principal().String() + " [" + strings.Join(id.Subject.Groups(), " ") + "]"
				if got != c.want || id.Subject.Tenant() != tenantID || id.UserToken {
					t.Errorf("got %q in %q, want %q", got, id.Subject.Tenant(), c.want)
				}
			}
		})
	}
}

func TestTheFirstSourceThatIsPresentDecidesAndNeverFallsThrough(t *testing.T) {
	k1 := rs256("k1")
	jwt := jwtConfig(issuer(k1)).Sources[0]
	meta := metadataConfig().Sources[0]
	mtls := mtlsConfig().Sources[0]
	header := identity.SourceConfig{Header: &identity.HeaderConfig{Tenant: "x-tenant", Principal: "x-user"}}

	token := k1.sign(claims(noon, map[string]any{"oid": "from-token"}))
	expired := k1.sign(claims(noon, map[string]any{"exp": noon.Unix() - 3600}))
	all := func(change func(*ask.Credentials)) *ask.Credentials {
		c := bearer(token)
		c.Principal = "spiffe://cluster.local/ns/shop/sa/orders"
		c.Metadata = metadata(jwtAuthn, "payload", payload(map[string]any{"oid": "from-metadata"})).Metadata
		c.Header = headers(map[string][]string{"x-tenant": {tenantID}, "x-user": {"from-header"}}).Header
		change(c)
		return c
	}
	for _, c := range []struct {
		name    string
		sources []identity.SourceConfig
		change  func(*ask.Credentials)
		want    string
	}{
		{"token first", []identity.SourceConfig{jwt, meta, mtls, header}, func(*ask.Credentials) {}, "User from-token"},
		{"metadata first", []identity.SourceConfig{meta, jwt, mtls, header}, func(*ask.Credentials) {}, "User from-metadata"},
		{"certificate first", []identity.SourceConfig{mtls, header, jwt, meta}, func(*ask.Credentials) {}, "ApplicationUser " + userID},
		{"header first", []identity.SourceConfig{header, mtls, jwt, meta}, func(*ask.Credentials) {}, "User from-header"},
		{"no token", []identity.SourceConfig{jwt, meta, mtls, header}, func(c *ask.Credentials) { c.Authorization = nil }, "User from-metadata"},
		{"Basic is no token", []identity.SourceConfig{jwt, meta, mtls, header}, func(c *ask.Credentials) { c.Authorization = []string{"Basic dTpw"} }, "User from-metadata"},
		{"no token, no metadata", []identity.SourceConfig{jwt, meta, mtls, header}, func(c *ask.Credentials) { c.Authorization, c.Metadata = nil, nil }, "ApplicationUser " + userID},
		{"a gateway's certificate", []identity.SourceConfig{mtls, header}, func(c *ask.Credentials) { c.Principal = "spiffe://cluster.local/ns/gateway/sa/envoy" }, "User from-header"},
		{"expired token", []identity.SourceConfig{jwt, meta, mtls, header}, func(c *ask.Credentials) { c.Authorization = []string{"Bearer " + expired} }, "jwt: the token has expired"},
		{"no token where one should be", []identity.SourceConfig{jwt, meta, mtls, header}, func(c *ask.Credentials) { c.Authorization = []string{"Bearer "} }, "jwt: the Authorization header holds no token"},
		{"two tokens", []identity.SourceConfig{jwt, meta, mtls, header}, func(c *ask.Credentials) { c.Authorization = append(c.Authorization, "Bearer "+token) }, "jwt: there are two Authorization headers"},
		{"broken metadata", []identity.SourceConfig{meta, jwt, mtls, header}, func(c *ask.Credentials) { c.Metadata = func(string, string) any { return 7.0 } }, "jwt_metadata: the payload in the metadata is not an object"},
		{"half a header", []identity.SourceConfig{header, jwt}, func(c *ask.Credentials) { c.Header = headers(map[string][]string{"x-user": {"ada"}}).Header }, "header: the header x-tenant is missing"},
		{"no source", nil, func(*ask.Credentials) {}, "the request carries no credentials"},
		{"sources that are off", []identity.SourceConfig{jwt}, func(c *ask.Credentials) { c.Authorization = nil }, "the request carries no credentials"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifier(t, identity.Config{Sources: c.sources}, atNoon())
			id, err := v.Identify(context.Background(), all(c.change))
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = id.Subject.Principal().String()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
