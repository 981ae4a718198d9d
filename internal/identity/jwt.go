package identity

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/pathgrant/pathgrant/internal/ask"
)

// maxTokenBytes is the greatest size of a token; Envoy's own limit on all headers
// together is 60 KiB by default.
const maxTokenBytes = 16 << 10

// jwtSource verifies the bearer token.
type jwtSource struct {
	rules      *rules
	algorithms []jose.SignatureAlgorithm
	cache      *tokenCache
}

func newJWTSource(cfg *Config, c *JWTConfig, deps Deps, enforce bool) *jwtSource {
	j := &jwtSource{
		rules: newRules(cfg, c.Issuers, c.ClockSkew, enforce),
		cache: newTokenCache(orDefault(cfg.TokenCacheEntries, DefaultTokenCacheEntries)),
	}
	for _, name := range c.Algorithms {
		j.algorithms = append(j.algorithms, jose.SignatureAlgorithm(name))
	}
	if len(j.algorithms) == 0 {
		j.algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}
	}
	for i, issuer := range j.rules.issuers {
		issuer.keys = newKeySource(c.Issuers[i], deps)
	}
	return j
}

func (j *jwtSource) identify(ctx context.Context, c *ask.Credentials, now time.Time) (Identity, bool, error) {
	token, id, present, err := j.look(c, now)
	if !errors.Is(err, ErrNotRecalled) {
		id.Count()
		return id, present, err
	}
	j.cache.misses.Add(1)
	id, err = j.verify(ctx, token, now)
	if err != nil && !errors.Is(err, ErrKeysUnavailable) {
		err = &InvalidError{Source: SourceJWT, Detail: err.Error()}
	}
	return id, true, err
}

func (j *jwtSource) recall(c *ask.Credentials, now time.Time) (Identity, bool, error) {
	_, id, present, err := j.look(c, now)
	return id, present, err
}

// look finds the token and who it was verified to be; ErrNotRecalled if it was not.
func (j *jwtSource) look(c *ask.Credentials, now time.Time) (token string, id Identity, present bool, err error) {
	token, present, err = bearer(c.Authorization)
	switch {
	case !present:
		return "", Identity{}, false, nil
	case err != nil:
		return "", Identity{}, true, &InvalidError{Source: SourceJWT, Detail: err.Error()}
	}
	id, ok := j.cache.get(token, now)
	if !ok {
		err = ErrNotRecalled
	}
	return token, id, true, err
}

// bearer finds the bearer token among the values of the Authorization header. Two
// values, or two that a proxy joined to one, are an error: which of them the upstream
// would believe, nobody knows. Credentials of another scheme are not a token. What it
// returns need not be a token yet (see checkToken).
func bearer(values []string) (token string, present bool, err error) {
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
	default:
		return "", true, errors.New("there are two Authorization headers")
	}
	const usual = "Bearer "
	if value := values[0]; strings.HasPrefix(value, usual) && len(value) > len(usual) && len(value) <= len(usual)+maxTokenBytes &&
		!isBlank(value[len(usual)]) && !isBlank(value[len(value)-1]) {
		return value[len(usual):], true, nil // what all that follows would come to
	}
	value := strings.Trim(values[0], " \t")
	scheme, rest := value, ""
	if end := strings.IndexAny(value, " \t"); end >= 0 {
		scheme, rest = value[:end], strings.Trim(value[end:], " \t")
	}
	if !strings.EqualFold(scheme, "bearer") {
		for joined := range strings.SplitSeq(value, ",") {
			first, _, _ := strings.Cut(strings.ReplaceAll(strings.Trim(joined, " \t"), "\t", " "), " ")
			if strings.EqualFold(first, "bearer") {
				return "", true, errors.New("the Authorization header holds two credentials")
			}
		}
		return "", false, nil
	}
	switch {
	case rest == "":
		return "", true, errors.New("the Authorization header holds no token")
	case len(rest) > maxTokenBytes:
		return "", true, errors.New("the token is too long")
	}
	return rest, true, nil
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// checkToken refuses text that can't be a token, and two that were joined to one. It
// is left to tokens that are not remembered, because it looks at every byte.
func checkToken(token string) error {
	if strings.IndexByte(token, ',') >= 0 {
		return errors.New("the Authorization header holds two credentials")
	}
	for i := range len(token) {
		c := token[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return errors.New("the token is not a JWT")
		}
	}
	return nil
}

// verify checks a token that is not remembered, and remembers it if it is valid.
func (j *jwtSource) verify(ctx context.Context, token string, now time.Time) (Identity, error) {
	if err := checkToken(token); err != nil {
		return Identity{}, err
	}
	jws, err := jose.ParseSignedCompact(token, j.algorithms)
	if err != nil {
		var algorithm *jose.ErrUnexpectedSignatureAlgorithm
		if errors.As(err, &algorithm) {
			return Identity{}, errors.New("the token's algorithm is not allowed")
		}
		return Identity{}, errors.New("the token is not a JWT")
	}
	if len(jws.Signatures) != 1 {
		return Identity{}, errors.New("the token is not a JWT")
	}
	header := jws.Signatures[0].Protected
	for _, extension := range []jose.HeaderKey{"crit", "b64"} {
		if _, ok := header.ExtraHeaders[extension]; ok {
			return Identity{}, errors.New("the token demands an extension that is not supported")
		}
	}
	// Nothing is believed yet: the claims only choose the keys, and spare work for a
	// token that is refused whatever its signature.
	claims, err := parseClaims(jws.UnsafePayloadWithoutVerification())
	if err != nil {
		return Identity{}, err
	}
	issuer, err := j.rules.issuerOf(claims)
	if err != nil {
		return Identity{}, err
	}
	valid, err := j.rules.use(issuer, claims, now)
	if err != nil {
		return Identity{}, err
	}
	set, err := verifySignature(ctx, jws, header, issuer.keys, now)
	if err != nil {
		return Identity{}, err
	}
	id, err := j.rules.identity(issuer, claims)
	if err != nil {
		return Identity{}, err
	}
	id.Subject = j.cache.put(token, issuer.keys, set, valid, id, now)
	return id, nil
}

// parseClaims reads the payload: a JSON object in which no key is given twice, and
// keys are told apart by case.
func parseClaims(payload []byte) (map[string]any, error) {
	var claims map[string]any
	if !utf8.Valid(payload) {
		return nil, errors.New("the token's payload is not valid UTF-8")
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims == nil {
		return nil, errors.New("the token's payload is not a JSON object")
	}
	return claims, nil
}

// verifySignature checks the signature with the issuer's keys and no others: those that
// the token brings along or points to are never looked at. It returns the key set that
// did it.
func verifySignature(ctx context.Context, jws *jose.JSONWebSignature, header jose.Header, keys *keySource, now time.Time) (*keySet, error) {
	set := keys.trusted(now)
	if set == nil {
		if keys.fetchAgain(ctx) {
			set = keys.trusted(keys.now())
		}
		if set == nil {
			return nil, ErrKeysUnavailable
		}
	}
	candidates, err := set.candidates(header.KeyID, header.Algorithm)
	if errors.Is(err, errUnknownKey) && keys.fetchAgain(ctx) {
		if set = keys.trusted(keys.now()); set == nil {
			return nil, ErrKeysUnavailable
		}
		candidates, err = set.candidates(header.KeyID, header.Algorithm)
	}
	if err != nil {
		return nil, err
	}
	for _, key := range candidates {
		if _, err := jws.Verify(key); err == nil {
			return set, nil
		}
	}
	return nil, errors.New("the token's signature is not valid")
}
