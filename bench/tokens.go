package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What tokens say of who issued them and for whom.
const (
	issuerURL = "https://login.example"
	audience  = "https://api.example"
)

// The algorithms by which tokens are signed.
const (
	rs256 = "RS256"
	es256 = "ES256"
)

// An issuer signs tokens, by either algorithm. It is safe for concurrent use.
type issuer struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	now time.Time
}

func newIssuer() (*issuer, error) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return &issuer{rsa: r, ec: e, now: time.Now()}, nil
}

// jwks returns the public keys as a JSON key set.
func (i *issuer) jwks() ([]byte, error) {
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: i.rsa.Public(), KeyID: rs256, Algorithm: rs256, Use: "sig"},
		{Key: i.ec.Public(), KeyID: es256, Algorithm: es256, Use: "sig"},
	}})
}

// claims are those of an Entra token for a user, valid for an hour. The serial number
// tells apart the tokens of one user.
func (i *issuer) claims(user string, serial int) map[string]any {
	return map[string]any{
		"iss": issuerURL, "aud": audience, "tid": tenantID, "oid": user, "sub": "pairwise-" + user,
		"iat": i.now.Unix(), "nbf": i.now.Add(-time.Minute).Unix(), "exp": i.now.Add(time.Hour).Unix(),
		"name": "A User With a Name", "scp": "user_impersonation", "ver": "2.0",
		"appid": "0f2c4a7e-6a54-4b57-9f4b-0d2f3c1b7a55", "uti": strconv.Itoa(serial),
	}
}

// token signs the claims.
func (i *issuer) token(algorithm, user string, serial int) (string, error) {
	payload, err := json.Marshal(i.claims(user, serial))
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+algorithm+`","typ":"JWT","kid":"`+algorithm+`"}`)) +
		"." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(text))
	var signature []byte
	if algorithm == rs256 {
		signature, err = rsa.SignPKCS1v15(nil, i.rsa, crypto.SHA256, sum[:])
	} else {
		signature, err = i.signEC(sum[:])
	}
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func (i *issuer) signEC(sum []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, i.ec, sum)
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}

// tokens signs one for each question, on all CPUs, because signing is slow. No two of the
// numbers from serial on are used twice.
func (i *issuer) tokens(algorithm string, asked []question, serial int) ([]string, error) {
	tokens, errs := make([]string, len(asked)), make([]error, runtime.NumCPU())
	var signers sync.WaitGroup
	for signer := range errs {
		signers.Go(func() {
			for n := signer; n < len(asked) && errs[signer] == nil; n += len(errs) {
				tokens[n], errs[signer] = i.token(algorithm, userID(asked[n].user), serial+n)
			}
		})
	}
	signers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return tokens, nil
}
