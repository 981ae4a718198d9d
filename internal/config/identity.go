package config

import (
	"strings"

	"github.com/pathgrant/pathgrant/internal/identity"
)

// IdentityConfig returns the sources of identity: those of the identity section, or the
// one issuer of the short form. Whether identifiers are compared without case is the
// catalogue's to say, and the caller's to set.
func (c *Config) IdentityConfig() identity.Config {
	all := c.Identity
	if c.shortForm() {
		all.Sources = []identity.SourceConfig{{JWT: &identity.JWTConfig{Issuers: []identity.IssuerConfig{c.issuer()}}}}
	}
	if _, given := c.origins["delegated_scopes"]; given || all.DelegatedScopes == "" {
		all.DelegatedScopes = string(c.DelegatedScopes)
	}
	return all
}

// shortForm tells whether an issuer is described by settings of its own.
func (c *Config) shortForm() bool { return len(c.shortSettings()) > 0 }

// shortSettings returns the settings of the short form that were given.
func (c *Config) shortSettings() []string {
	var given []string
	for _, s := range []struct {
		key string
		set bool
	}{
		{"issuer", c.Issuer != ""},
		{"jwks", c.JWKS != ""},
		{"audience", len(c.Audiences) > 0},
		{"issuer_tenant", len(c.IssuerTenants) > 0},
		{"principal_claim", c.PrincipalClaim != ""},
		{"tenant_claim", c.TenantClaim != ""},
		{"groups_claim", c.GroupsClaim != ""},
	} {
		if s.set {
			given = append(given, s.key)
		}
	}
	return given
}

// issuer returns the issuer of the short form. Claims left empty are Entra's; without keys
// they are discovered. Without issuer_tenant it may speak for any tenant: there is no other
// issuer that a tenant could belong to. One of Entra's that names its tenant, or {tid},
// speaks for that tenant alone, here as elsewhere.
func (c *Config) issuer() identity.IssuerConfig {
	return identity.IssuerConfig{
		Issuer:    c.Issuer,
		Audiences: c.Audiences,
		JWKS:      c.JWKS,
		Discovery: c.JWKS == "",
		Tenants:   c.IssuerTenants,
		AnyTenant: len(c.IssuerTenants) == 0,
		Claims: identity.ClaimNames{
			Principal: c.PrincipalClaim,
			Tenant:    c.TenantClaim,
			Groups:    c.GroupsClaim,
		},
	}
}

// shortIssuer is where the issuer of the short form stands in what IdentityConfig returns.
const shortIssuer = "identity.sources[0].jwt.issuers[0]"

// shortNames are the settings of the short form, by the issuer's keys. A missing key is
// discovery's, and so the issuer's.
var shortNames = map[string]string{
	".issuer":           "issuer",
	".discovery":        "issuer",
	".audiences":        "audience",
	".jwks":             "jwks",
	".tenants":          "issuer_tenant",
	".claims.principal": "principal_claim",
	".claims.tenant":    "tenant_claim",
	".claims.groups":    "groups_claim",
}

// shortName returns the setting of the short form that is behind a key of
// [identity.Config].
func shortName(key string) string {
	field, ok := strings.CutPrefix(key, shortIssuer)
	if !ok {
		return key
	}
	field, item, isItem := strings.Cut(field, "[")
	name, ok := shortNames[field]
	switch {
	case !ok:
		return "issuer"
	case isItem:
		return name + "[" + item
	default:
		return name
	}
}
