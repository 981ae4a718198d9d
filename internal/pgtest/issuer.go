package pgtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Audience and IssuerURL are what the tokens of an [Issuer] carry.
const (
	Audience  = "https://api.example"
	IssuerURL = "https://login.example"
)

// An Issuer signs tokens with a key of its own.
type Issuer struct {
	keyID string
	key   *ecdsa.PrivateKey
}

// NewIssuer makes an issuer with a new P-256 key.
func NewIssuer(keyID string) (*Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return &Issuer{keyID: keyID, key: key}, nil
}

// JWKS returns the issuer's public key as a JSON key set.
func (i *Issuer) JWKS() []byte {
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
		Key: i.key.Public(), KeyID: i.keyID, Algorithm: string(jose.ES256), Use: "sig",
	}}})
	if err != nil {
		panic(err) // a P-256 key always marshals
	}
	return set
}

// Claims are a token's claims.
type Claims map[string]any

// UserClaims are the claims of an Entra token for a user, valid for an hour.
func UserClaims(tenant, objectID string) Claims {
	now := time.Now()
	return Claims{
		"iss": IssuerURL, "aud": Audience, "tid": tenant, "oid": objectID, "sub": "pairwise-" + objectID,
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// With returns a copy of the claims with one more.
func (c Claims) With(name string, value any) Claims {
	more := maps.Clone(c)
	more[name] = value
	return more
}

// Token signs the claims.
func (i *Issuer) Token(claims Claims) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: i.key},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", i.keyID))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed.CompactSerialize()
}
