package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenantID    = "7f1d3a52-0c1b-4f6e-9d27-5f0a3a1b2c3d"
	otherTenant = "11111111-2222-3333-4444-555555555555"
	userID      = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	issuerURL   = "https://login.example/realm"
	audience    = "api://pathgrant"
)

// A signer signs tokens with one key.
type signer struct {
	alg jose.SignatureAlgorithm
	kid string
	key any
}

var (
	rsaOne = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	rsaTwo = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	ecOne  = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P256()) })
	edOne  = sync.OnceValue(func() ed25519.PrivateKey {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		must(err)
		return key
	})
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func newRSA(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	must(err)
	return key
}

func newEC(curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(err)
	return key
}

func rs256(kid string) signer { return signer{jose.RS256, kid, rsaOne()} }

// keySet is the JSON Web Key Set with the public keys of the signers.
func keySet(signers ...signer) string {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, s := range signers {
		key := jose.JSONWebKey{Key: s.key, KeyID: s.kid, Algorithm: string(s.alg), Use: "sig"}
		set.Keys = append(set.Keys, key.Public())
	}
	text, err := json.Marshal(set)
	must(err)
	return string(text)
}

// claims are those of a token of a user that is valid at the time, with the changes; a
// change to nil takes the claim away.
func claims(now time.Time, changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuerURL, "aud": audience, "tid": tenantID, "oid": userID,
		"exp": now.Add(time.Hour).Unix(), "nbf": now.Add(-time.Minute).Unix(), "iat": now.Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

// sign returns the token.
func (s signer) sign(claims any, headers ...string) string {
	payload, ok := claims.(string)
	if !ok {
		text, err := json.Marshal(claims)
		must(err)
		payload = string(text)
	}
	options := &jose.SignerOptions{}
	if s.kid != "" {
		options = options.WithHeader("kid", s.kid)
	}
	for i := 0; i < len(headers); i += 2 {
		options = options.WithHeader(jose.HeaderKey(headers[i]), headers[i+1])
	}
	signs, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, options)
	must(err)
	jws, err := signs.Sign([]byte(payload))
	must(err)
	token, err := jws.CompactSerialize()
	must(err)
	return token
}

// raw puts a token together without signing it.
func raw(header, payload, signature string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(header)) + "." + enc([]byte(payload)) + "." + enc([]byte(signature))
}

func bearer(token string) *ask.Credentials {
	return &ask.Credentials{Authorization: []string{"Bearer " + token}}
}

// issuer is an issuer whose keys are inline.
func issuer(signers ...signer) identity.IssuerConfig {
	return identity.IssuerConfig{
		Issuer: issuerURL, Audiences: []string{audience}, Tenants: []string{tenantID}, JWKSInline: keySet(signers...),
	}
}

func jwtConfig(issuers ...identity.IssuerConfig) identity.Config {
	return identity.Config{Sources: []identity.SourceConfig{{JWT: &identity.JWTConfig{Issuers: issuers}}}}
}

func newVerifier(t testing.TB, cfg identity.Config, deps identity.Deps) *identity.Verifier {
	t.Helper()
	v, err := identity.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantInvalid fails unless the credentials are refused for the reason given.
func wantInvalid(t *testing.T, id identity.Identity, err error, source, detail string) {
	t.Helper()
	var invalid *identity.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v, want the credentials refused", err)
	}
	if invalid.Source != source || invalid.Detail != detail {
		t.Errorf("refused as %q: %q\nwant %q: %q", invalid.Source, invalid.Detail, source, detail)
	}
	if id.Subject != nil || id.Scopes != nil || id.UserToken {
		t.Errorf("a refusal carries the identity %+v", id)
	}
}

func wantSubject(t *testing.T, id identity.Identity, err error, tenant, principal string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got := id.Subject.Tenant(); got != tenant {
		t.Errorf("tenant %q, want %q", got, tenant)
	}
	if got := id.Subject.Principal().String(); got != principal {
		t.Errorf("principal %q, want %q", got, principal)
	}
}

// A site answers HTTP requests by their address, in memory.
type site struct {
	mu     sync.Mutex
	pages  map[string]string
	hits   map[string]int
	status int           // of every answer, if not 0
	wait   chan struct{} // every answer waits for it, if not nil
}

func newSite(pages map[string]string) *site { return &site{pages: pages, hits: map[string]int{}} }

func (s *site) set(address, page string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[address] = page
}

func (s *site) fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *site) count(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[address]
}

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.hits[r.URL.String()]++
	page, ok := s.pages[r.URL.String()]
	status, wait := s.status, s.wait
	s.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	header := http.Header{}
	switch {
	case status != 0:
	case !ok:
		status = http.StatusNotFound
	case strings.HasPrefix(page, "-> "):
		status = http.StatusFound
		header.Set("Location", page[3:])
	default:
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(page)), Request: r}, nil
}

// running runs the verifier until the test ends.
func running(t *testing.T, v *identity.Verifier) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}
