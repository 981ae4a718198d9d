package identity_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/pathgrant/pathgrant/internal/identity"
)

func TestValidateReportsEveryProblemByItsKey(t *testing.T) {
	cfg := identity.Config{
		DelegatedScopes:   "maybe",
		TokenCacheEntries: -1,
		Sources: []identity.SourceConfig{
			{},
			{JWT: &identity.JWTConfig{
				ClockSkew:  time.Hour,
				Algorithms: []string{"RS256", "HS256", "none", "rs256", ""},
				Issuers: []identity.IssuerConfig{
					{},
					{Issuer: "https://a.example", Audiences: []string{""}, JWKS: "x", Discovery: true, Tenants: []string{"t", ""}, AnyTenant: true},
					{Issuer: "https://a.example", Audiences: []string{"a"}, JWKS: "http://keys.example/keys", Tenant: "t", Claims: identity.ClaimNames{Principal: "Email", Tenant: "org"}},
					{Issuer: "https://login.microsoftonline.com/{tid}/v2.0", Audiences: []string{"a"}, JWKS: "ftp://keys.example", Claims: identity.ClaimNames{Principal: "sub"}, Tenant: "t"},
					{Issuer: "https://b.example", Audiences: []string{"a"}, JWKSInline: "{}", Tenants: []string{"t"}, JWKSMaxAge: -1, JWKSRefresh: time.Hour, Claims: identity.ClaimNames{Principal: "tid"}},
					{Issuer: "https://{tid}.example", Audiences: []string{"a"}, Discovery: true},
					{Issuer: "not a URL", Audiences: []string{"a"}, Discovery: true, AnyTenant: true},
					{Issuer: "https://c.example", Audiences: []string{"a"}, JWKS: "https://user:pw@keys.example", AnyTenant: true, JWKSMaxAge: time.Minute},
				},
			}},
			{JWT: &identity.JWTConfig{}, MTLS: &identity.MTLSConfig{}},
			{JWTMetadata: &identity.MetadataConfig{Issuers: []identity.IssuerConfig{{Issuer: "https://a.example", Audiences: []string{"a"}, JWKS: "x", AnyTenant: true}}}},
			{MTLS: &identity.MTLSConfig{Identities: []identity.MTLSIdentity{
				{URI: "spiffe://d/a", Tenant: "t", Principal: "p"},
				{URI: "spiffe://d/a", Tenant: "t", Principal: "p", Kind: "Group"},
				{URI: "orders.shop.svc"},
			}}},
			{Header: &identity.HeaderConfig{Tenant: "x-t", Principal: "X-T", Groups: "a b", Kind: "Authorization"}},
			{Header: &identity.HeaderConfig{}},
		},
	}
	want := `identity.delegated_scopes: "maybe" is neither off nor enforce
identity.token_cache_entries: -1 is not between 0 (the default, 16384) and 1048576
identity.sources[0]: want exactly one of jwt, jwt_metadata, mtls and header, not 0 of them
identity.sources[1].jwt.clock_skew: 1h0m0s is not between 0 (the default, 1m0s) and 5m0s
identity.sources[1].jwt.algorithms[1]: "HS256" is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA; symmetric algorithms and none can't be allowed
identity.sources[1].jwt.algorithms[2]: "none" is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA; symmetric algorithms and none can't be allowed
identity.sources[1].jwt.algorithms[3]: "rs256" is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA; symmetric algorithms and none can't be allowed
identity.sources[1].jwt.algorithms[4]: "" is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA; symmetric algorithms and none can't be allowed
identity.sources[1].jwt.issuers[0].issuer: required
identity.sources[1].jwt.issuers[0].audiences: required: list at least one audience, or tokens meant for others would pass
identity.sources[1].jwt.issuers[0]: want exactly one of jwks, jwks_inline and discovery, not 0 of them
identity.sources[1].jwt.issuers[0].tenants: required: list the tenants that the issuer may speak for, or give tenant: for an issuer of one tenant, or any_tenant: true
identity.sources[1].jwt.issuers[1].audiences[0]: must not be empty
identity.sources[1].jwt.issuers[1]: want exactly one of jwks, jwks_inline and discovery, not 2 of them
identity.sources[1].jwt.issuers[1]: want only one of tenants, tenant and any_tenant
identity.sources[1].jwt.issuers[1].tenants[1]: an identifier must not be empty
identity.sources[1].jwt.issuers[2].jwks: keys are fetched by https only: whoever can change them on the way is everybody; set insecure_http: true to fetch them without TLS all the same
identity.sources[1].jwt.issuers[2].tenant: contradicts claims.tenant: give one of them
identity.sources[1].jwt.issuers[2].claims.principal: "Email" can be given to somebody else: use a claim that holds an object id, such as oid or sub
identity.sources[1].jwt.issuers[2].issuer: "https://a.example" is listed twice
identity.sources[1].jwt.issuers[3].jwks: want the path of a file, or a URL that begins with https://
identity.sources[1].jwt.issuers[3].tenant: contradicts {tid} in the issuer, which takes the tenant from the token
identity.sources[1].jwt.issuers[3].claims.principal: "sub" is no object id in tokens of Microsoft Entra: use oid
identity.sources[1].jwt.issuers[4].jwks_max_age: -1ns is negative
identity.sources[1].jwt.issuers[4].jwks_refresh: 1h0m0s is not between 1s and 5m0s
identity.sources[1].jwt.issuers[4].claims.principal: is the claim of the tenant too
identity.sources[1].jwt.issuers[5].discovery: an issuer with {tid} has no one discovery document: give jwks: and its URL
identity.sources[1].jwt.issuers[6].discovery: the issuer can't be asked: not a URL
identity.sources[1].jwt.issuers[7].jwks_max_age: 1m0s is not longer than jwks_refresh, 5m0s: the keys would be distrusted between two refreshes
identity.sources[1].jwt.issuers[7].jwks: a URL of keys must not hold a name or a password
identity.sources[2].jwt: a second jwt source would never be asked: list its issuers in the first one
identity.sources[2].jwt.issuers: required: list at least one issuer
identity.sources[2].mtls.identities: required: list at least one identity
identity.sources[2]: want exactly one of jwt, jwt_metadata, mtls and header, not 2 of them
identity.sources[3].jwt_metadata.payload_key: required: give the payload_in_metadata of Envoy's jwt_authn filter
identity.sources[3].jwt_metadata.issuers[0]: jwks, jwks_inline and discovery have no meaning here: Envoy verifies the signature
identity.sources[4].mtls.identities[1].uri: "spiffe://d/a" is listed twice
identity.sources[4].mtls.identities[1].kind: want User or ApplicationUser
identity.sources[4].mtls.identities[2].uri: "orders.shop.svc" is not a SPIFFE URI such as spiffe://cluster.local/ns/shop/sa/orders
identity.sources[4].mtls.identities[2].tenant: an identifier must not be empty
identity.sources[4].mtls.identities[2].principal: an identifier must not be empty
identity.sources[5].header.principal: "X-T" is named twice
identity.sources[5].header.groups: "a b" is not the name of a header
identity.sources[5].header.kind: "Authorization" is never a header of one identifier
identity.sources[6].header.tenant: required: give the name of a header
identity.sources[6].header.principal: required: give the name of a header`
	err := cfg.Validate()
	if err == nil {
		t.Fatal("want problems")
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if v, err := identity.New(cfg, identity.Deps{}); err == nil || v != nil {
		t.Error("New accepts what Validate refuses")
	}
}

func TestPrincipalClaimsThatAreNoObjectIdsAreRefused(t *testing.T) {
	for _, c := range []struct {
		issuer, claim string
		ok            bool
	}{
		{"https://login.example", "upn", false}, {"https://login.example", "email", false}, {"https://login.example", "preferred_username", false},
		{"https://login.example", "name", false}, {"https://login.example", "unique_name", false}, {"https://login.example", "UPN", false},
		{"https://login.example", "sub", true}, {"https://login.example", "azp", true}, {"https://login.example", "oid", true},
		{"https://login.microsoftonline.com/t/v2.0", "sub", false}, {"https://LOGIN.microsoftonline.com/t/v2.0", "appid", false},
		{"https://sts.windows.net/t/", "azp", false}, {"https://login.microsoftonline.us/t/v2.0", "sub", false},
		{"https://login.partner.microsoftonline.cn/t/v2.0", "sub", false}, {"https://login.microsoftonline.com/t/v2.0", "oid", true},
	} {
		i := issuer()
		i.Issuer, i.JWKSInline, i.JWKS, i.Claims.Principal = c.issuer, "", "keys.json", c.claim
		if err := jwtConfig(i).Validate(); (err == nil) != c.ok {
			t.Errorf("%s with %s: %v", c.issuer, c.claim, err)
		}
	}
}

func TestWhereKeysMayBeFetchedFrom(t *testing.T) {
	for _, c := range []struct {
		url      string
		insecure bool
		ok       bool
	}{
		{"https://keys.example/keys?v=1", false, true},
		{"http://localhost:8080/keys", false, true}, {"http://127.0.0.1/keys", false, true}, {"http://[::1]:80/keys", false, true},
		{"http://keys.example/keys", false, false}, {"http://keys.example/keys", true, true}, {"HTTP://keys.example/keys", false, false},
		{"http://localhost.evil.example/keys", false, false}, {"http://127.0.0.1.evil.example/keys", false, false},
		{"https://", false, false}, {"https://u:p@keys.example/", true, false}, {"https://keys.example/%zz", true, false},
	} {
		i := issuer()
		i.JWKSInline, i.JWKS, i.InsecureHTTP = "", c.url, c.insecure
		if err := jwtConfig(i).Validate(); (err == nil) != c.ok {
			t.Errorf("%s, insecure %v: %v", c.url, c.insecure, err)
		}
	}
}

func TestTheConfigurationReadsAsYAML(t *testing.T) {
	const text = `
delegated_scopes: enforce
token_cache_entries: 64
sources:
  - jwt:
      clock_skew: 30s
      algorithms: [RS256]
      issuers:
        - issuer: https://login.microsoftonline.com/{tid}/v2.0
          audiences: [api://pathgrant]
          discovery: true
          jwks_max_age: 12h
          jwks_refresh: 1m
        - issuer: https://keycloak.example/realms/shop
          audiences: [shop]
          jwks: https://keycloak.example/realms/shop/certs
          tenant: shop
          claims: {principal: sub, groups: groups, kind: typ, directory_roles: roles}
  - jwt_metadata: {payload_key: payload, issuers: [{issuer: i, audiences: [a], tenants: [t]}]}
  - mtls: {identities: [{uri: "spiffe://d/a", tenant: t, principal: p, kind: User}]}
  - header: {tenant: x-tenant, principal: x-user, groups: x-group, kind: x-kind}
`
	loader, err := yaml.NewLoader(strings.NewReader(text), yaml.WithKnownFields())
	if err != nil {
		t.Fatal(err)
	}
	var got identity.Config
	if err := loader.Load(&got); err != nil {
		t.Fatal(err)
	}
	want := identity.Config{
		DelegatedScopes: "enforce", TokenCacheEntries: 64,
		Sources: []identity.SourceConfig{
			{JWT: &identity.JWTConfig{ClockSkew: 30 * time.Second, Algorithms: []string{"RS256"}, Issuers: []identity.IssuerConfig{
				{Issuer: "https://login.microsoftonline.com/{tid}/v2.0", Audiences: []string{"api://pathgrant"}, Discovery: true, JWKSMaxAge: 12 * time.Hour, JWKSRefresh: time.Minute},
				{Issuer: "https://keycloak.example/realms/shop", Audiences: []string{"shop"}, JWKS: "https://keycloak.example/realms/shop/certs", Tenant: "shop",
					Claims: identity.ClaimNames{Principal: "sub", Groups: "groups", Kind: "typ", DirectoryRoles: "roles"}},
			}}},
			{JWTMetadata: &identity.MetadataConfig{PayloadKey: "payload", Issuers: []identity.IssuerConfig{{Issuer: "i", Audiences: []string{"a"}, Tenants: []string{"t"}}}}},
			{MTLS: &identity.MTLSConfig{Identities: []identity.MTLSIdentity{{URI: "spiffe://d/a", Tenant: "t", Principal: "p", Kind: "User"}}}},
			{Header: &identity.HeaderConfig{Tenant: "x-tenant", Principal: "x-user", Groups: "x-group", Kind: "x-kind"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestTheZeroConfigKnowsNobody(t *testing.T) {
	if err := (identity.Config{}).Validate(); err != nil {
		t.Error(err)
	}
}
