package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// minRSABits is the least size of an RSA key (RFC 7518, section 3.3).
const minRSABits = 2048

// curves are the curves of the algorithms that have one.
var curves = map[jose.SignatureAlgorithm]elliptic.Curve{
	jose.ES256: elliptic.P256(),
	jose.ES384: elliptic.P384(),
	jose.ES512: elliptic.P521(),
}

// errUnknownKey says that the set has no key with the token's kid.
var errUnknownKey = errors.New("the token is signed with a key that its issuer's key set does not hold")

// keySet is one generation of an issuer's keys. It is immutable, and two generations
// are told apart by their addresses.
type keySet struct {
	keys    []jose.JSONWebKey
	ignored int    // keys that can't be used
	digest  []byte // of the keys in use, whatever their order
}

// parseKeySet reads a JSON Web Key Set (RFC 7517). Keys that can't verify a signature
// here are left out, as the RFC says. A set may be empty: then everything is withdrawn.
func parseKeySet(body []byte) (*keySet, error) {
	var raw struct {
		Keys *[]map[string]*json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, errors.New("not a JSON Web Key Set")
	}
	if raw.Keys == nil {
		return nil, errors.New(`not a JSON Web Key Set: it has no list "keys"`)
	}
	set := &keySet{}
	for _, members := range *raw.Keys {
		key, usable, err := parseKey(members)
		if err != nil {
			return nil, err
		}
		if !usable {
			set.ignored++
			continue
		}
		set.keys = append(set.keys, key)
	}
	records := make([][]byte, 0, len(set.keys))
	for _, key := range set.keys {
		thumb, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, errors.New("not a JSON Web Key Set: a key has no thumbprint")
		}
		// The thumbprint has a fixed length and goes last, the lengths of the others are
		// settled by quoting: no two keys have one record.
		record, err := json.Marshal([]string{key.KeyID, key.Algorithm, key.Use})
		if err != nil {
			return nil, errors.New("not a JSON Web Key Set: a key has no name")
		}
		records = append(records, append(record, thumb...))
	}
	slices.SortFunc(records, bytes.Compare)
	sum := sha256.New()
	for _, record := range records {
		one := sha256.Sum256(record)
		sum.Write(one[:])
	}
	set.digest = sum.Sum(nil)
	return set, nil
}

// parseKey reads one key. The error is for a set that must not be used at all.
func parseKey(members map[string]*json.RawMessage) (key jose.JSONWebKey, usable bool, err error) {
	if _, private := members["d"]; private {
		return key, false, errors.New("the key set holds a private key: publish the public one, and replace this one")
	}
	// Certificates are not used here; one that does not parse must not cost the key.
	for _, name := range []string{"x5c", "x5u", "x5t", "x5t#S256"} {
		delete(members, name)
	}
	text, err := json.Marshal(members)
	if err != nil {
		return key, false, errors.New("not a JSON Web Key Set: a key can't be read")
	}
	readable := key.UnmarshalJSON(text) == nil
	if !readable || key.Use != "" && key.Use != "sig" {
		return key, false, nil
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		return key, k.N.BitLen() >= minRSABits, nil
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return key, true, nil
	default: // a symmetric key above all
		return key, false, nil
	}
}

// candidates returns the keys that a token with this kid and algorithm may be signed
// with. A token without kid can only be verified where a single key fits its algorithm.
func (s *keySet) candidates(kid, algorithm string) ([]jose.JSONWebKey, error) {
	var fitting []jose.JSONWebKey
	known := false
	for _, key := range s.keys {
		if kid != "" && key.KeyID != kid {
			continue
		}
		known = true
		if fits(key, algorithm) {
			fitting = append(fitting, key)
		}
	}
	switch {
	case kid != "" && !known:
		return nil, errUnknownKey
	case len(fitting) == 0:
		return nil, errors.New("no key of the token's issuer fits its algorithm")
	case kid == "" && len(fitting) > 1:
		return nil, errors.New("the token does not say which of its issuer's keys it is signed with")
	}
	return fitting, nil
}

// fits tells whether the key is one for the algorithm: a key is never used with another
// algorithm than it was made for.
func fits(key jose.JSONWebKey, algorithm string) bool {
	if key.Algorithm != "" && key.Algorithm != algorithm && !(key.Algorithm == "Ed25519" && algorithm == string(jose.EdDSA)) {
		return false
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		curve, ok := curves[jose.SignatureAlgorithm(algorithm)]
		return ok && k.Curve == curve
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	}
	return false
}

// same tells whether two sets hold the same keys.
func (s *keySet) same(other *keySet) bool {
	return s != nil && other != nil && s.ignored == other.ignored && bytes.Equal(s.digest, other.digest)
}
