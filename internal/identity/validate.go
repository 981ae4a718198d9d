package identity

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// tidPlaceholder stands for the token's tenant in an issuer.
const tidPlaceholder = "{tid}"

// knownAlgorithms are those that a key which is public can verify. The symmetric ones
// are missing on purpose: with them, whoever knows the public key signs.
var knownAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

var entraHosts = []string{
	"login.microsoftonline.com", "sts.windows.net", "login.microsoftonline.us", "login.partner.microsoftonline.cn",
}

// problems collects what is wrong, each by the key that the operator typed.
type problems struct{ errs []error }

func (p *problems) add(key, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
}

// Validate reports every problem at once, each by its key. It reads no file and asks no
// server.
func (c Config) Validate() error {
	var p problems
	switch c.DelegatedScopes {
	case "", DelegatedScopesOff, DelegatedScopesEnforce:
	default:
		p.add("identity.delegated_scopes", "%q is neither off nor enforce", c.DelegatedScopes)
	}
	if c.TokenCacheEntries < 0 || c.TokenCacheEntries > MaxTokenCacheEntries {
		p.add("identity.token_cache_entries", "%d is not between 0 (the default, %d) and %d", c.TokenCacheEntries, DefaultTokenCacheEntries, MaxTokenCacheEntries)
	}
	tokens := 0
	for i, source := range c.Sources {
		key := fmt.Sprintf("identity.sources[%d]", i)
		set := 0
		if source.JWT != nil {
			set++
			if tokens++; tokens > 1 {
				p.add(key+".jwt", "a second jwt source would never be asked: list its issuers in the first one")
			}
			source.JWT.validate(&p, key+".jwt")
		}
		if source.JWTMetadata != nil {
			set++
			source.JWTMetadata.validate(&p, key+".jwt_metadata")
		}
		if source.MTLS != nil {
			set++
			source.MTLS.validate(&p, key+".mtls")
		}
		if source.Header != nil {
			set++
			source.Header.validate(&p, key+".header")
		}
		if set != 1 {
			p.add(key, "want exactly one of jwt, jwt_metadata, mtls and header, not %d of them", set)
		}
	}
	return errors.Join(p.errs...)
}

func (c *JWTConfig) validate(p *problems, key string) {
	validateSkew(p, key, c.ClockSkew)
	for i, name := range c.Algorithms {
		if !slices.Contains(knownAlgorithms, jose.SignatureAlgorithm(name)) {
			p.add(fmt.Sprintf("%s.algorithms[%d]", key, i), "%q is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA; symmetric algorithms and none can't be allowed", name)
		}
	}
	validateIssuers(p, key, c.Issuers, true)
}

func (c *MetadataConfig) validate(p *problems, key string) {
	validateSkew(p, key, c.ClockSkew)
	if c.PayloadKey == "" {
		p.add(key+".payload_key", "required: give the payload_in_metadata of Envoy's jwt_authn filter")
	}
	validateIssuers(p, key, c.Issuers, false)
}

func validateSkew(p *problems, key string, skew time.Duration) {
	if skew < 0 || skew > MaxClockSkew {
		p.add(key+".clock_skew", "%v is not between 0 (the default, %v) and %v", skew, DefaultClockSkew, MaxClockSkew)
	}
}

func validateIssuers(p *problems, key string, issuers []IssuerConfig, keys bool) {
	if len(issuers) == 0 {
		p.add(key+".issuers", "required: list at least one issuer")
	}
	seen := map[string]bool{}
	for i, issuer := range issuers {
		at := fmt.Sprintf("%s.issuers[%d]", key, i)
		issuer.validate(p, at, keys)
		if seen[issuer.Issuer] && issuer.Issuer != "" {
			p.add(at+".issuer", "%q is listed twice", issuer.Issuer)
		}
		seen[issuer.Issuer] = true
	}
}

func (c IssuerConfig) validate(p *problems, key string, keys bool) {
	if c.Issuer == "" {
		p.add(key+".issuer", "required")
	}
	if len(c.Audiences) == 0 {
		p.add(key+".audiences", "required: list at least one audience, or tokens meant for others would pass")
	}
	for i, audience := range c.Audiences {
		if audience == "" {
			p.add(fmt.Sprintf("%s.audiences[%d]", key, i), "must not be empty")
		}
	}
	if keys {
		c.validateKeys(p, key)
	} else if c.JWKS != "" || c.JWKSInline != "" || c.Discovery {
		p.add(key, "jwks, jwks_inline and discovery have no meaning here: Envoy verifies the signature")
	}
	c.validateTenants(p, key)
	c.validateClaims(p, key+".claims")
}

func (c IssuerConfig) validateKeys(p *problems, key string) {
	given := 0
	for _, is := range []bool{c.JWKS != "", c.JWKSInline != "", c.Discovery} {
		if is {
			given++
		}
	}
	if given != 1 {
		p.add(key, "want exactly one of jwks, jwks_inline and discovery, not %d of them", given)
	}
	if c.JWKSMaxAge < 0 {
		p.add(key+".jwks_max_age", "%v is negative", c.JWKSMaxAge)
	}
	if c.JWKSRefresh < 0 || c.JWKSRefresh > MaxJWKSRefresh || c.JWKSRefresh > 0 && c.JWKSRefresh < time.Second {
		p.add(key+".jwks_refresh", "%v is not between 1s and %v", c.JWKSRefresh, MaxJWKSRefresh)
	} else if refresh := orDefault(c.JWKSRefresh, MaxJWKSRefresh); isURL(c.JWKS) || c.Discovery {
		if age := orDefault(c.JWKSMaxAge, DefaultJWKSMaxAge); age > 0 && age <= refresh {
			p.add(key+".jwks_max_age", "%v is not longer than jwks_refresh, %v: the keys would be distrusted between two refreshes", age, refresh)
		}
	}
	if isURL(c.JWKS) {
		if _, err := parseKeyURL(c.JWKS, c.InsecureHTTP); err != nil {
			p.add(key+".jwks", "%v", err)
		}
	} else if strings.Contains(c.JWKS, "://") {
		p.add(key+".jwks", "want the path of a file, or a URL that begins with https://")
	}
	if c.Discovery {
		if _, _, err := c.discovery(); err != nil {
			p.add(key+".discovery", "%v", err)
		}
	}
}

func (c IssuerConfig) validateTenants(p *problems, key string) {
	given := 0
	for _, is := range []bool{len(c.Tenants) > 0, c.Tenant != "", c.AnyTenant} {
		if is {
			given++
		}
	}
	templated := strings.Contains(c.Issuer, tidPlaceholder)
	switch {
	case given > 1:
		p.add(key, "want only one of tenants, tenant and any_tenant")
	case given == 0 && !templated && entraTenant(c.Issuer) == "":
		p.add(key+".tenants", "required: list the tenants that the issuer may speak for, or give tenant: for an issuer of one tenant, or any_tenant: true")
	}
	if c.Tenant != "" {
		if templated {
			p.add(key+".tenant", "contradicts %s in the issuer, which takes the tenant from the token", tidPlaceholder)
		}
		if c.Claims.Tenant != "" {
			p.add(key+".tenant", "contradicts claims.tenant: give one of them")
		}
		if err := checkID(c.Tenant); err != nil {
			p.add(key+".tenant", "%v", err)
		}
	}
	for i, tenant := range c.Tenants {
		if err := checkID(tenant); err != nil {
			p.add(fmt.Sprintf("%s.tenants[%d]", key, i), "%v", err)
		}
	}
}

func (c IssuerConfig) validateClaims(p *problems, key string) {
	names := c.Claims.withDefaults()
	switch strings.ToLower(names.Principal) {
	case "upn", "email", "preferred_username", "unique_name", "name":
		p.add(key+".principal", "%q can be given to somebody else: use a claim that holds an object id, such as oid or sub", names.Principal)
	case "sub", "appid", "azp":
		if entraHost(c.Issuer) != "" {
			p.add(key+".principal", "%q is no object id in tokens of Microsoft Entra: use oid", names.Principal)
		}
	}
	if names.Principal == names.Tenant && c.Tenant == "" {
		p.add(key+".principal", "is the claim of the tenant too")
	}
}

func (c *MTLSConfig) validate(p *problems, key string) {
	if len(c.Identities) == 0 {
		p.add(key+".identities", "required: list at least one identity")
	}
	seen := map[string]bool{}
	for i, id := range c.Identities {
		at := fmt.Sprintf("%s.identities[%d]", key, i)
		if err := checkSPIFFE(id.URI); err != nil {
			p.add(at+".uri", "%v", err)
		} else if seen[id.URI] {
			p.add(at+".uri", "%q is listed twice", id.URI)
		}
		seen[id.URI] = true
		if err := checkID(id.Tenant); err != nil {
			p.add(at+".tenant", "%v", err)
		}
		if err := checkID(id.Principal); err != nil {
			p.add(at+".principal", "%v", err)
		}
		if _, err := parseKind(id.Kind, authz.ApplicationUser); err != nil {
			p.add(at+".kind", "%v", err)
		}
	}
}

func (c *HeaderConfig) validate(p *problems, key string) {
	seen := map[string]bool{}
	for _, header := range []struct {
		key, name string
		mandatory bool
	}{
		{"tenant", c.Tenant, true},
		{"principal", c.Principal, true},
		{"groups", c.Groups, false},
		{"kind", c.Kind, false},
	} {
		name := strings.ToLower(header.name)
		switch {
		case name == "" && !header.mandatory:
			continue
		case name == "":
			p.add(key+"."+header.key, "required: give the name of a header")
			continue
		case !isHeaderName(name):
			p.add(key+"."+header.key, "%q is not the name of a header", header.name)
		case name == "authorization" || name == "cookie" || name == "x-forwarded-client-cert":
			p.add(key+"."+header.key, "%q is never a header of one identifier", header.name)
		case seen[name]:
			p.add(key+"."+header.key, "%q is named twice", header.name)
		}
		seen[name] = true
	}
}

// checkSPIFFE refuses what is not a SPIFFE URI with a trust domain and a path.
func checkSPIFFE(uri string) error {
	rest, ok := strings.CutPrefix(uri, "spiffe://")
	domain, path, hasPath := strings.Cut(rest, "/")
	if !ok || domain == "" || !hasPath || path == "" || strings.ContainsAny(rest, "?#@: ,") {
		return fmt.Errorf("%q is not a SPIFFE URI such as spiffe://cluster.local/ns/shop/sa/orders", uri)
	}
	return nil
}

func isHeaderName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return name != ""
}

// parseKind reads the kind of a caller; empty text is the given default.
func parseKind(text string, otherwise authz.PrincipalType) (authz.PrincipalType, error) {
	if text == "" {
		return otherwise, nil
	}
	var kind authz.PrincipalType
	if err := kind.UnmarshalText([]byte(text)); err != nil || kind != authz.User && kind != authz.ApplicationUser {
		return authz.NoPrincipal, errors.New("want User or ApplicationUser")
	}
	return kind, nil
}

// entraHost returns the host of an issuer of Microsoft Entra, else "".
func entraHost(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if slices.Contains(entraHosts, host) {
		return host
	}
	return ""
}

// entraTenant returns the tenant that an issuer of Microsoft Entra names by its GUID,
// else "".
func entraTenant(issuer string) string {
	if entraHost(issuer) == "" {
		return ""
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	if tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); authz.IsGUID(tenant) {
		return tenant
	}
	return ""
}

func isURL(text string) bool {
	lower := strings.ToLower(text)
	return strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")
}

// parseKeyURL reads a URL that keys may be fetched from: https, or http where the host
// is this one or the operator allowed it. Its errors name no part of the URL.
func parseKeyURL(text string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("not a URL")
	case u.User != nil:
		return nil, errors.New("a URL of keys must not hold a name or a password")
	case u.Scheme == "https", u.Scheme == "http" && (insecure || isLoopback(u.Hostname())):
		return u, nil
	default:
		return nil, errors.New("keys are fetched by https only: whoever can change them on the way is everybody; set insecure_http: true to fetch them without TLS all the same")
	}
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// discovery returns the address of the issuer's discovery document and the issuer that
// the document must name.
func (c IssuerConfig) discovery() (address, issuer string, err error) {
	address, issuer = c.Issuer, c.Issuer
	if strings.Contains(c.Issuer, tidPlaceholder) {
		// Microsoft Entra has a document for all organisations; others have none.
		host := entraHost(c.Issuer)
		if host == "" || host == "sts.windows.net" {
			return "", "", fmt.Errorf("an issuer with %s has no one discovery document: give jwks: and its URL", tidPlaceholder)
		}
		address = strings.ReplaceAll(c.Issuer, tidPlaceholder, "organizations")
		issuer = strings.ReplaceAll(c.Issuer, tidPlaceholder, "{tenantid}")
	}
	address = strings.TrimSuffix(address, "/") + "/.well-known/openid-configuration"
	u, err := parseKeyURL(address, c.InsecureHTTP)
	if err != nil {
		return "", "", fmt.Errorf("the issuer can't be asked: %w", err)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "", "", errors.New("the issuer can't be asked: it has a query or a fragment")
	}
	return address, issuer, nil
}
