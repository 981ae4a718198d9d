package identity

import (
	"errors"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// latestTime is the last second of the year 9999: what lies beyond is no time.
const latestTime = 253402300799

// rules are what a token's claims must fulfil, however its signature was checked.
type rules struct {
	issuers  []*issuer
	skew     time.Duration
	foldCase bool
	enforce  bool
}

// issuer is an [IssuerConfig], prepared.
type issuer struct {
	text      string
	templated bool
	audiences []string
	constant  string              // the tenant of all tokens, else ""
	tenants   map[string]struct{} // nil: any
	claims    ClaimNames
	keys      *keySource // nil where the signature is checked elsewhere
}

func newRules(cfg *Config, issuers []IssuerConfig, skew time.Duration, enforce bool) *rules {
	r := &rules{skew: orDefault(skew, DefaultClockSkew), foldCase: cfg.FoldCase, enforce: enforce}
	for _, c := range issuers {
		i := &issuer{
			text:      c.Issuer,
			templated: strings.Contains(c.Issuer, tidPlaceholder),
			audiences: append([]string(nil), c.Audiences...),
			constant:  c.Tenant,
			claims:    c.Claims.withDefaults(),
		}
		tenants := c.Tenants
		if tenant := entraTenant(c.Issuer); tenant != "" && len(tenants) == 0 && c.Tenant == "" {
			tenants = []string{tenant}
		}
		if len(tenants) > 0 {
			i.tenants = make(map[string]struct{}, len(tenants))
			for _, tenant := range tenants {
				i.tenants[authz.CanonicalID(tenant, cfg.FoldCase)] = struct{}{}
			}
		}
		r.issuers = append(r.issuers, i)
	}
	return r
}

// issuerOf finds the issuer whose token it claims to be. An issuer without {tid} goes
// before those with it.
func (r *rules) issuerOf(claims map[string]any) (*issuer, error) {
	iss, ok := claims["iss"].(string)
	if !ok || iss == "" {
		return nil, errors.New("the token names no issuer")
	}
	for _, i := range r.issuers {
		if !i.templated && i.text == iss {
			return i, nil
		}
	}
	for _, i := range r.issuers {
		if !i.templated {
			continue
		}
		tid, ok := claims[i.claims.Tenant].(string)
		if !ok || checkID(tid) != nil || strings.ContainsAny(tid, "/?#{}") {
			continue
		}
		if strings.ReplaceAll(i.text, tidPlaceholder, tid) == iss ||
			strings.ReplaceAll(i.text, tidPlaceholder, authz.CanonicalID(tid, false)) == iss {
			return i, nil
		}
	}
	return nil, errors.New("the token's issuer is not accepted, or does not belong to the token's tenant")
}

// window is the time in which a token is valid, in Unix milliseconds, skew included.
type window struct {
	from  int64
	until int64 // exclusive
}

func (w window) holds(now time.Time) bool {
	ms := now.UnixMilli()
	return w.from <= ms && ms < w.until
}

// use checks what the token is for and when.
func (r *rules) use(i *issuer, claims map[string]any, now time.Time) (window, error) {
	var w window
	exp, present, err := timeClaim(claims, "exp")
	switch {
	case err != nil:
		return w, err
	case !present:
		return w, errors.New("the token has no expiry (exp)")
	}
	nbf, present, err := timeClaim(claims, "nbf")
	if err != nil {
		return w, err
	}
	w.until = int64(math.Floor(exp*1000)) + r.skew.Milliseconds()
	w.from = math.MinInt64
	if present {
		w.from = int64(math.Ceil(nbf*1000)) - r.skew.Milliseconds()
	}
	ms := now.UnixMilli()
	switch {
	case ms >= w.until:
		return w, errors.New("the token has expired")
	case ms < w.from:
		return w, errors.New("the token is not valid yet")
	}
	return w, i.checkAudience(claims["aud"])
}

func (i *issuer) checkAudience(aud any) error {
	accepted := func(audience string) bool {
		for _, one := range i.audiences {
			if one == audience {
				return true
			}
		}
		return false
	}
	found := false
	switch aud := aud.(type) {
	case string:
		found = accepted(aud)
	case []any:
		for _, one := range aud {
			text, ok := one.(string)
			if !ok {
				return errors.New("the token's audience (aud) is neither a text nor a list of texts")
			}
			found = found || accepted(text)
		}
	case nil:
		return errors.New("the token has no audience (aud)")
	default:
		return errors.New("the token's audience (aud) is neither a text nor a list of texts")
	}
	if !found {
		return errors.New("the token is for another audience")
	}
	return nil
}

// timeClaim reads a number of seconds, which may have a fraction.
func timeClaim(claims map[string]any, name string) (seconds float64, present bool, err error) {
	value, present := claims[name]
	if !present {
		return 0, false, nil
	}
	seconds, ok := value.(float64)
	// Not "seconds < 0 ||": nothing compares with NaN.
	if !ok || !(seconds >= 0 && seconds <= latestTime) {
		return 0, true, errors.New("the token's " + name + " is not a time")
	}
	return seconds, true, nil
}

// identity reads who the token is about.
func (r *rules) identity(i *issuer, claims map[string]any) (Identity, error) {
	principal, err := idClaim(claims, i.claims.Principal)
	if err != nil {
		return Identity{}, err
	}
	tenant := i.constant
	if tenant == "" {
		if tenant, err = idClaim(claims, i.claims.Tenant); err != nil {
			return Identity{}, err
		}
	}
	if i.tenants != nil {
		if _, ok := i.tenants[authz.CanonicalID(tenant, r.foldCase)]; !ok {
			return Identity{}, errors.New("the issuer may not speak for the token's tenant")
		}
	}
	spec := authz.SubjectSpec{Tenant: tenant, Principal: authz.Principal{Type: authz.User, ID: principal}, FoldCase: r.foldCase}
	switch kind := claims[i.claims.Kind].(type) {
	case nil:
	case string:
		if kind == "app" {
			spec.Principal.Type = authz.ApplicationUser
		}
	default:
		return Identity{}, errors.New("the token's claim " + i.claims.Kind + " is not a text")
	}
	if spec.Groups, err = idsClaim(claims, i.claims.Groups); err != nil {
		return Identity{}, err
	}
	if spec.DirectoryRoles, err = idsClaim(claims, i.claims.DirectoryRoles); err != nil {
		return Identity{}, err
	}
	if spec.GroupsUnknown, err = i.overage(claims); err != nil {
		return Identity{}, err
	}
	id := Identity{UserToken: spec.Principal.Type == authz.User}
	if id.UserToken {
		id.EnforceDelegated = r.enforce
		if id.Scopes, err = scopesClaim(claims["scp"]); err != nil {
			return Identity{}, err
		}
	}
	if id.Subject, err = authz.NewSubject(spec); err != nil {
		return Identity{}, errors.New("the token names no caller")
	}
	return id, nil
}

// overage tells whether the token says that its groups did not fit into it. Then they
// are unknown, not none. Directory roles that did not fit are as unknown.
func (i *issuer) overage(claims map[string]any) (bool, error) {
	unknown := false
	switch elsewhere := claims["_claim_names"].(type) {
	case nil:
	case map[string]any:
		for _, name := range []string{"groups", i.claims.Groups, i.claims.DirectoryRoles} {
			if _, ok := elsewhere[name]; ok {
				unknown = true
			}
		}
	default:
		return false, errors.New("the token's claim _claim_names is not an object")
	}
	switch has := claims["hasgroups"].(type) {
	case nil:
	case bool:
		unknown = unknown || has
	case string:
		switch {
		case strings.EqualFold(has, "true"):
			unknown = true
		case !strings.EqualFold(has, "false"):
			return false, errors.New("the token's claim hasgroups is neither true nor false")
		}
	default:
		return false, errors.New("the token's claim hasgroups is neither true nor false")
	}
	return unknown, nil
}

// idClaim reads a mandatory claim with one identifier.
func idClaim(claims map[string]any, name string) (string, error) {
	text, ok := claims[name].(string)
	if !ok {
		return "", errors.New("the token has no claim " + name + " with a text")
	}
	if err := checkID(text); err != nil {
		return "", errors.New("the token's claim " + name + " is not an identifier")
	}
	return text, nil
}

// idsClaim reads a claim with a list of identifiers. They are taken as they are, never
// split; where there is no such claim, there are none.
func idsClaim(claims map[string]any, name string) ([]string, error) {
	value, present := claims[name]
	if !present {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok {
		return nil, errors.New("the token's claim " + name + " is not a list of texts")
	}
	ids := make([]string, 0, len(list))
	for _, one := range list {
		id, ok := one.(string)
		if !ok || checkID(id) != nil {
			return nil, errors.New("the token's claim " + name + " is not a list of identifiers")
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// scopesClaim reads the delegated permissions: a text with spaces between them, or, of
// some issuers, a list. It never returns nil without an error.
func scopesClaim(scp any) ([]string, error) {
	wrong := errors.New("the token's claim scp is neither a text nor a list of texts")
	switch scp := scp.(type) {
	case nil:
		return []string{}, nil
	case string:
		return strings.Fields(scp), nil
	case []any:
		scopes := make([]string, 0, len(scp))
		for _, one := range scp {
			scope, ok := one.(string)
			if !ok {
				return nil, wrong
			}
			scopes = append(scopes, scope)
		}
		return scopes, nil
	default:
		return nil, wrong
	}
}

// checkID refuses what can't be an identifier. The replacement character is what a
// decoder makes of bytes it can't read: two identifiers could become one.
func checkID(id string) error {
	switch {
	case id == "":
		return errors.New("an identifier must not be empty")
	case len(id) > authz.MaxIDLen:
		return errors.New("an identifier is too long")
	case !utf8.ValidString(id) || strings.ContainsRune(id, utf8.RuneError):
		return errors.New("an identifier must be valid UTF-8")
	case strings.TrimSpace(id) != id:
		return errors.New("an identifier must not begin or end with a space")
	}
	for _, r := range id {
		if r < 0x20 || r >= 0x7F && r < 0xA0 {
			return errors.New("an identifier must not hold control characters")
		}
	}
	return nil
}
