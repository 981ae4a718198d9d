package identity

import (
	"time"
)

// Defaults and limits of the settings.
const (
	// DefaultTokenCacheEntries is how many verified tokens are remembered.
	DefaultTokenCacheEntries = 16384
	// MaxTokenCacheEntries is the greatest number of tokens to remember.
	MaxTokenCacheEntries = 1 << 20
	// DefaultClockSkew is how far clocks may be apart.
	DefaultClockSkew = time.Minute
	// MaxClockSkew is the greatest clock skew that can be configured.
	MaxClockSkew = 5 * time.Minute
	// DefaultJWKSMaxAge is how long a key set is trusted after it was last proven current.
	DefaultJWKSMaxAge = 24 * time.Hour
	// MaxJWKSRefresh is the default and the greatest time between two refreshes of a key set.
	MaxJWKSRefresh = 5 * time.Minute
	// DefaultMetadataNamespace is where Envoy's jwt_authn filter leaves what it verified.
	DefaultMetadataNamespace = "envoy.filters.http.jwt_authn"
)

// The values of [Config.DelegatedScopes].
const (
	DelegatedScopesOff     = "off"
	DelegatedScopesEnforce = "enforce"
)

// Config says where identities come from. The zero Config has no source: everybody is
// nobody.
type Config struct {
	// Sources are tried in this order; the first whose credentials are present decides.
	Sources []SourceConfig `yaml:"sources" json:"sources"`
	// DelegatedScopes is off (or empty) or enforce: whether a user token's scp must name
	// the permission too. A token counts as a user's unless its kind claim says app.
	DelegatedScopes string `yaml:"delegated_scopes" json:"delegated_scopes"`
	// TokenCacheEntries is how many verified tokens are remembered, rounded up to a
	// power of two; 0: [DefaultTokenCacheEntries].
	TokenCacheEntries int `yaml:"token_cache_entries" json:"token_cache_entries"`
	// FoldCase compares identifiers that are not GUIDs without case. The catalogue
	// says so, not the operator.
	FoldCase bool `yaml:"-" json:"-"`
}

// SourceConfig is one source; exactly one field is set.
type SourceConfig struct {
	JWT         *JWTConfig      `yaml:"jwt,omitempty" json:"jwt,omitempty"`
	JWTMetadata *MetadataConfig `yaml:"jwt_metadata,omitempty" json:"jwt_metadata,omitempty"`
	MTLS        *MTLSConfig     `yaml:"mtls,omitempty" json:"mtls,omitempty"`
	Header      *HeaderConfig   `yaml:"header,omitempty" json:"header,omitempty"`
}

// JWTConfig is the source that verifies the bearer token of the Authorization header.
type JWTConfig struct {
	Issuers []IssuerConfig `yaml:"issuers" json:"issuers"`
	// ClockSkew is how far clocks may be apart; 0: [DefaultClockSkew].
	ClockSkew time.Duration `yaml:"clock_skew" json:"clock_skew"`
	// Algorithms that tokens may be signed with; empty: RS256 and ES256. Only public-key
	// algorithms can be listed.
	Algorithms []string `yaml:"algorithms" json:"algorithms"`
}

// MetadataConfig is the source that reads what Envoy's jwt_authn filter verified. It is
// to be trusted only where that filter runs before the check and nobody but Envoy can
// reach the listener. Issuers, audiences, tenants and lifetime are checked here again;
// the signature was Envoy's to check, so the issuers have no keys.
type MetadataConfig struct {
	// Namespace is the filter's; empty: [DefaultMetadataNamespace].
	Namespace string `yaml:"namespace" json:"namespace"`
	// PayloadKey is the filter's payload_in_metadata. It is mandatory: other keys of the
	// namespace are there for tokens that failed, too.
	PayloadKey string         `yaml:"payload_key" json:"payload_key"`
	Issuers    []IssuerConfig `yaml:"issuers" json:"issuers"`
	ClockSkew  time.Duration  `yaml:"clock_skew" json:"clock_skew"`
}

// IssuerConfig is one who issues tokens, and what its tokens are good for.
type IssuerConfig struct {
	// Issuer is compared with iss, exactly. {tid} in it stands for the token's tenant.
	Issuer string `yaml:"issuer" json:"issuer"`
	// Audiences that the token may be for; at least one.
	Audiences []string `yaml:"audiences" json:"audiences"`

	// JWKS is a file or an http(s) URL that holds the keys. Exactly one of JWKS,
	// JWKSInline and Discovery is set.
	JWKS string `yaml:"jwks" json:"jwks"`
	// JWKSInline is the key set itself, as JSON. It never grows old.
	JWKSInline string `yaml:"jwks_inline" json:"jwks_inline"`
	// Discovery finds the keys through {issuer}/.well-known/openid-configuration.
	Discovery bool `yaml:"discovery" json:"discovery"`
	// InsecureHTTP allows keys to be fetched without TLS from other hosts than this one.
	InsecureHTTP bool `yaml:"insecure_http" json:"insecure_http"`
	// JWKSMaxAge is how long a key set that could not be refreshed is trusted; 0:
	// [DefaultJWKSMaxAge].
	JWKSMaxAge time.Duration `yaml:"jwks_max_age" json:"jwks_max_age"`
	// JWKSRefresh is the time between two refreshes of a fetched key set; 0:
	// [MaxJWKSRefresh]. Files are looked at every second.
	JWKSRefresh time.Duration `yaml:"jwks_refresh" json:"jwks_refresh"`

	// Tenants, Tenant and AnyTenant say which tenants the issuer speaks for: those
	// listed, the one that all its tokens belong to whatever they say, or any. Exactly
	// one of them must be given, except where the issuer's own text settles it: one with
	// {tid} speaks for the tenant in that place, and one of Microsoft Entra that names
	// its tenant by GUID speaks for that tenant alone. AnyTenant never widens that.
	Tenants   []string `yaml:"tenants" json:"tenants"`
	Tenant    string   `yaml:"tenant" json:"tenant"`
	AnyTenant bool     `yaml:"any_tenant" json:"any_tenant"`

	Claims ClaimNames `yaml:"claims" json:"claims"`
}

// ClaimNames are the names of the claims that are read; empty ones are Microsoft
// Entra's. A name is that of a member of the payload itself, dots and slashes included.
type ClaimNames struct {
	// Principal is the claim with the caller's object id; empty: oid. Names that can
	// pass to another person (upn, email, preferred_username, unique_name, name) are
	// refused, and for Microsoft Entra sub, appid and azp, which are no object ids.
	Principal string `yaml:"principal" json:"principal"`
	// Tenant is the claim with the tenant; empty: tid.
	Tenant string `yaml:"tenant" json:"tenant"`
	// Groups is the claim with the list of groups; empty: groups.
	Groups string `yaml:"groups" json:"groups"`
	// DirectoryRoles is the claim with the list of directory role template ids; empty: wids.
	DirectoryRoles string `yaml:"directory_roles" json:"directory_roles"`
	// Kind is the claim that is "app" in tokens of applications; empty: idtyp.
	Kind string `yaml:"kind" json:"kind"`
}

// MTLSConfig is the source that maps the URI of the caller's certificate. Envoy must
// have validated that certificate: it reports the URI of one it did not validate, too.
type MTLSConfig struct {
	Identities []MTLSIdentity `yaml:"identities" json:"identities"`
}

// MTLSIdentity says which principal a SPIFFE URI is.
type MTLSIdentity struct {
	// URI is compared exactly, such as spiffe://cluster.local/ns/shop/sa/orders.
	URI       string `yaml:"uri" json:"uri"`
	Tenant    string `yaml:"tenant" json:"tenant"`
	Principal string `yaml:"principal" json:"principal"`
	// Kind is User or ApplicationUser; empty: ApplicationUser.
	Kind string `yaml:"kind" json:"kind"`
}

// HeaderConfig is the source that believes request headers. It is to be used only where
// something in front removes them from what clients send.
type HeaderConfig struct {
	// Tenant and Principal are the names of mandatory headers.
	Tenant    string `yaml:"tenant" json:"tenant"`
	Principal string `yaml:"principal" json:"principal"`
	// Groups is the name of a header that is repeated, once for each group; empty: none.
	Groups string `yaml:"groups" json:"groups"`
	// Kind is the name of a header with User or ApplicationUser; empty: all are Users.
	Kind string `yaml:"kind" json:"kind"`
}

func (n ClaimNames) withDefaults() ClaimNames {
	for _, name := range []struct {
		of *string
		or string
	}{
		{&n.Principal, "oid"},
		{&n.Tenant, "tid"},
		{&n.Groups, "groups"},
		{&n.DirectoryRoles, "wids"},
		{&n.Kind, "idtyp"},
	} {
		if *name.of == "" {
			*name.of = name.or
		}
	}
	return n
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
