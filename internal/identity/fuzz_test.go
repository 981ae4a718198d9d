package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/identity"
)

// Nobody becomes somebody without the issuer's key: whatever the Authorization headers
// hold, there is no identity, and no panic.
func FuzzIdentify(f *testing.F) {
	text, err := json.Marshal(claims(noon, nil))
	must(err)
	signed := rs256("k1").sign(claims(noon, nil))
	parts := strings.Split(signed, ".")
	f.Add("Bearer "+raw(`{"alg":"none"}`, string(text), ""), "")
	f.Add("Bearer "+raw(`{"alg":"HS256","kid":"k1"}`, string(text), "sig"), "")
	f.Add("Bearer "+raw(`{"alg":"RS256","kid":"k1"}`, string(text), "sig"), "")
	f.Add("bearer "+parts[0]+"."+parts[1]+".", "Bearer x")
	f.Add("Basic dTpw,Bearer "+parts[0]+"."+parts[2]+"."+parts[1], "")
	f.Add("Bearer ..", "")
	f.Add("", "Bearer")
	v := newVerifier(f, jwtConfig(issuer(signer{"RS256", "k1", rsaTwo()})), atNoon())
	f.Fuzz(func(t *testing.T, one, two string) {
		for _, values := range [][]string{{one}, {one, two}} {
			id, err := v.Identify(context.Background(), &ask.Credentials{Authorization: values})
			var invalid *identity.InvalidError
			if id.Subject != nil || !errors.Is(err, identity.ErrNoIdentity) && !errors.As(err, &invalid) {
				t.Errorf("%q: identity %+v, error %v", values, id, err)
			}
		}
	})
}

// Whatever the issuer signs, there is an identity only of its own tenants, for this
// audience, within its time, and with the principal that the payload names.
func FuzzClaims(f *testing.F) {
	for _, changes := range []map[string]any{
		nil, {"groups": []string{"g"}}, {"_claim_names": map[string]any{"groups": "s"}}, {"hasgroups": "true"}, {"aud": []string{"x"}},
		{"exp": 1e300}, {"tid": otherTenant}, {"oid": ""}, {"wids": 1}, {"scp": []any{1}}, {"idtyp": "app"}, {"nbf": -1},
	} {
		text, err := json.Marshal(claims(noon, changes))
		must(err)
		f.Add(string(text))
	}
	f.Add(`{"iss":"` + issuerURL + `","iss":"x"}`)
	ed := signer{"EdDSA", "d1", edOne()}
	cfg := jwtConfig(issuer(ed))
	cfg.Sources[0].JWT.Algorithms = []string{"EdDSA"}
	v := newVerifier(f, cfg, atNoon())
	f.Fuzz(func(t *testing.T, payload string) {
		id, err := v.Identify(context.Background(), bearer(ed.sign(payload)))
		if err != nil {
			if id.Subject != nil {
				t.Errorf("%s: identity %+v beside the error %v", payload, id, err)
			}
			return
		}
		var read map[string]any
		if err := json.Unmarshal([]byte(payload), &read); err != nil {
			t.Fatalf("%s: accepted, and yet %v", payload, err)
		}
		list, _ := read["aud"].([]any)
		exp, hasExp := read["exp"].(float64)
		nbf, _ := read["nbf"].(float64)
		oid, _ := read["oid"].(string)
		now := float64(noon.Unix())
		switch {
		case read["iss"] != issuerURL, read["aud"] != any(audience) && !slices.Contains(list, any(audience)):
			t.Errorf("%s: accepted from another issuer or for another audience", payload)
		case !hasExp, exp <= now-60, nbf > now+60:
			t.Errorf("%s: accepted out of its time", payload)
		case id.Subject.Tenant() != tenantID, oid == "", !strings.EqualFold(oid, id.Subject.Principal().ID):
			t.Errorf("%s: accepted as %v of %v", payload, id.Subject.Principal(), id.Subject.Tenant())
		}
	})
}

// A key set is read or refused, never a panic, and never one with keys that can't be used.
func FuzzKeySet(f *testing.F) {
	f.Add(keySet(rs256("k1"), signer{"ES256", "k2", ecOne()}, signer{"EdDSA", "k3", edOne()}))
	f.Add(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":null}]}`)
	f.Add(`{"keys":[null,{}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		i := issuer()
		i.JWKSInline = text
		v, err := identity.New(jwtConfig(i), atNoon())
		if (v == nil) != (err != nil) {
			t.Fatalf("verifier %v, error %v", v, err)
		}
		if v != nil && v.State().Issuers[0].Keys == 0 {
			t.Error("accepted without a key")
		}
	})
}
