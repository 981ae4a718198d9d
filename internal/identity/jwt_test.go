package identity_test

import (
	"context"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/identity"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func atNoon() identity.Deps { return identity.Deps{Now: func() time.Time { return noon }} }

func TestATokenIsRefused(t *testing.T) {
	k1 := rs256("k1")
	with := func(changes map[string]any) string { return k1.sign(claims(noon, changes)) }
	payload := func() string {
		text, err := json.Marshal(claims(noon, nil))
		must(err)
		return string(text)
	}()
	hs := func(secret []byte) string {
		signed, _, _ := strings.Cut(raw(`{"alg":"HS256","typ":"JWT","kid":"k1"}`, payload, "x"), "~")
		signed = signed[:strings.LastIndexByte(signed, '.')]
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	der, err := x509.MarshalPKIXPublicKey(rsaOne().Public())
	must(err)
	good := with(nil)
	parts := strings.Split(good, ".")
	stranger := signer{jose.RS256, "k1", rsaTwo()}

	for _, c := range []struct{ name, token, want string }{
		{"alg none", raw(`{"alg":"none"}`, payload, ""), "the token's algorithm is not allowed"},
		{"alg None with a kid", raw(`{"alg":"None","kid":"k1"}`, payload, "x"), "the token's algorithm is not allowed"},
		{"no alg", raw(`{"kid":"k1"}`, payload, "x"), "the token's algorithm is not allowed"},
		{"HS256 with the public key in DER as its secret", hs(der), "the token's algorithm is not allowed"},
		{"HS256 with the public key in PEM as its secret", hs(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "the token's algorithm is not allowed"},
		{"HS256 with the key set as its secret", hs([]byte(keySet(k1))), "the token's algorithm is not allowed"},
		{"an algorithm that is not on the list", signer{jose.PS256, "k1", rsaOne()}.sign(claims(noon, nil)), "the token's algorithm is not allowed"},
		{"signed by a stranger under the same kid", stranger.sign(claims(noon, nil)), "the token's signature is not valid"},
		{"signed with a key that it brings along", func() string {
			signs, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: rsaTwo()}, &jose.SignerOptions{EmbedJWK: true})
			must(err)
			jws, err := signs.Sign([]byte(payload))
			must(err)
			token, err := jws.CompactSerialize()
			must(err)
			return token
		}(), "the token's signature is not valid"},
		{"signed with a key that it points to", stranger.sign(claims(noon, nil), "jku", "https://evil.example/keys", "x5u", "https://evil.example/cert"), "the token's signature is not valid"},
		{"signature cut off", parts[0] + "." + parts[1] + ".", "the token's signature is not valid"},
		{"payload exchanged", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(payload, userID, otherTenant, 1))) + "." + parts[2], "the token's signature is not valid"},
		{"kid unknown", rs256("k9").sign(claims(noon, nil)), "the token is signed with a key that its issuer's key set does not hold"},
		{"crit", k1.sign(claims(noon, nil), "crit", "exp"), "the token demands an extension that is not supported"},
		{"crit that the library knows", raw(`{"alg":"RS256","kid":"k1","crit":["b64"],"b64":true}`, payload, "x"), "the token demands an extension that is not supported"},
		{"two parts", parts[0] + "." + parts[1], "the token is not a JWT"},
		{"four parts", good + ".x", "the token is not a JWT"},
		{"JSON serialization", `{"payload":"e30"}`, "the token is not a JWT"},
		{"a space within", parts[0] + ". " + parts[1] + "." + parts[2], "the token is not a JWT"},
		{"too long", strings.Repeat("a", 16<<10+1), "the token is too long"},

		{"issuer unknown", with(map[string]any{"iss": "https://evil.example"}), "the token's issuer is not accepted, or does not belong to the token's tenant"},
		{"issuer with a slash more", with(map[string]any{"iss": issuerURL + "/"}), "the token's issuer is not accepted, or does not belong to the token's tenant"},
		{"no issuer", with(map[string]any{"iss": nil}), "the token names no issuer"},
		{"issuer is a list", with(map[string]any{"iss": []string{issuerURL}}), "the token names no issuer"},
		{"wrong audience", with(map[string]any{"aud": "api://other"}), "the token is for another audience"},
		{"wrong audiences", with(map[string]any{"aud": []string{"a", "b"}}), "the token is for another audience"},
		{"no audience", with(map[string]any{"aud": nil}), "the token has no audience (aud)"},
		{"empty list of audiences", with(map[string]any{"aud": []string{}}), "the token is for another audience"},
		{"audience in another case", with(map[string]any{"aud": "API://pathgrant"}), "the token is for another audience"},
		{"audience is a number", with(map[string]any{"aud": 7}), "the token's audience (aud) is neither a text nor a list of texts"},
		{"audience is a mixed list", with(map[string]any{"aud": []any{audience, 7}}), "the token's audience (aud) is neither a text nor a list of texts"},

		{"expired beyond the skew", with(map[string]any{"exp": noon.Unix() - 60}), "the token has expired"},
		{"no expiry", with(map[string]any{"exp": nil}), "the token has no expiry (exp)"},
		{"expiry is null", k1.sign(strings.Replace(payload, `"exp":`, `"exp":null,"x":`, 1)), "the token's exp is not a time"},
		{"expiry is text", with(map[string]any{"exp": "1999999999"}), "the token's exp is not a time"},
		{"expiry beyond time", with(map[string]any{"exp": 1e300}), "the token's exp is not a time"},
		{"expiry before time", with(map[string]any{"exp": -1}), "the token's exp is not a time"},
		{"not valid yet", with(map[string]any{"nbf": noon.Unix() + 61}), "the token is not valid yet"},
		{"nbf is text", with(map[string]any{"nbf": "1"}), "the token's nbf is not a time"},

		{"no principal", with(map[string]any{"oid": nil}), "the token has no claim oid with a text"},
		{"principal in another claim's case", with(map[string]any{"oid": nil, "OID": userID}), "the token has no claim oid with a text"},
		{"principal is a number", with(map[string]any{"oid": 7}), "the token has no claim oid with a text"},
		{"principal is empty", with(map[string]any{"oid": ""}), "the token's claim oid is not an identifier"},
		{"principal with a control character", with(map[string]any{"oid": "a\x00b"}), "the token's claim oid is not an identifier"},
		{"principal that can't be decoded", k1.sign(strings.Replace(payload, userID, `\ud800`, 1)), "the token's claim oid is not an identifier"},
		{"principal too long", with(map[string]any{"oid": strings.Repeat("a", 257)}), "the token's claim oid is not an identifier"},
		{"no tenant", with(map[string]any{"tid": nil}), "the token has no claim tid with a text"},
		{"foreign tenant", with(map[string]any{"tid": otherTenant}), "the issuer may not speak for the token's tenant"},

		{"groups as text", with(map[string]any{"groups": "g1"}), "the token's claim groups is not a list of texts"},
		{"groups null", k1.sign(strings.Replace(payload, `{`, `{"groups":null,`, 1)), "the token's claim groups is not a list of texts"},
		{"groups as an object", with(map[string]any{"groups": map[string]any{"g1": true}}), "the token's claim groups is not a list of texts"},
		{"groups with a number", with(map[string]any{"groups": []any{"g1", 7}}), "the token's claim groups is not a list of identifiers"},
		{"groups with an empty one", with(map[string]any{"groups": []any{"g1", ""}}), "the token's claim groups is not a list of identifiers"},
		{"wids as text", with(map[string]any{"wids": "r1"}), "the token's claim wids is not a list of texts"},
		{"kind is a list", with(map[string]any{"idtyp": []string{"app"}}), "the token's claim idtyp is not a text"},
		{"hasgroups is a number", with(map[string]any{"hasgroups": 1}), "the token's claim hasgroups is neither true nor false"},
		{"hasgroups is another text", with(map[string]any{"hasgroups": "yes"}), "the token's claim hasgroups is neither true nor false"},
		{"_claim_names is a list", with(map[string]any{"_claim_names": []string{"groups"}}), "the token's claim _claim_names is not an object"},
		{"scp is a number", with(map[string]any{"scp": 7}), "the token's claim scp is neither a text nor a list of texts"},

		{"a claim given twice", k1.sign(strings.Replace(payload, `{`, `{"oid":"someone-else",`, 1)), "the token's payload is not a JSON object"},
		{"payload is a list", k1.sign(`[]`), "the token's payload is not a JSON object"},
		{"payload is null", k1.sign(`null`), "the token's payload is not a JSON object"},
		{"payload is not UTF-8", k1.sign(strings.Replace(payload, userID, "\xff", 1)), "the token's payload is not valid UTF-8"},
		{"payload is nested too deep", k1.sign(strings.Repeat("[", 11000)), "the token's payload is not a JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifier(t, jwtConfig(issuer(k1)), atNoon())
			id, err := v.Identify(context.Background(), bearer(c.token))
			wantInvalid(t, id, err, "jwt", c.want)
			id, err = v.Identify(context.Background(), bearer(c.token)) // not remembered as anything else
			wantInvalid(t, id, err, "jwt", c.want)
		})
	}
}

func TestATokenIsAccepted(t *testing.T) {
	k1 := rs256("k1")
	for _, c := range []struct {
		name    string
		changes map[string]any
	}{
		{"as it is", nil},
		{"audience in a list", map[string]any{"aud": []string{"other", audience}}},
		{"expired within the skew", map[string]any{"exp": noon.Unix() - 59}},
		{"expiry with a fraction", map[string]any{"exp": float64(noon.Unix()) + 0.5}},
		{"valid in a moment, within the skew", map[string]any{"nbf": noon.Unix() + 60}},
		{"no nbf", map[string]any{"nbf": nil}},
		{"upper-case GUIDs", map[string]any{"oid": strings.ToUpper(userID), "tid": strings.ToUpper(tenantID)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifier(t, jwtConfig(issuer(k1)), atNoon())
			id, err := v.Identify(context.Background(), bearer(k1.sign(claims(noon, c.changes))))
			wantSubject(t, id, err, tenantID, "User "+userID)
			if id.Subject.GroupsUnknown() || len(id.Subject.Groups()) != 0 {
				t.Errorf("groups %v, unknown %v: want none", id.Subject.Groups(), id.Subject.GroupsUnknown())
			}
		})
	}
}

func TestEveryAlgorithmThatCanBeAllowedVerifies(t *testing.T) {
	cfg := jwtConfig()
	rsaKey, p256, p384, p521, ed := rsaOne(), ecOne(), newEC(elliptic.P384()), newEC(elliptic.P521()), edOne()
	signers := []signer{
		{jose.RS256, "r1", rsaKey}, {jose.RS384, "r2", rsaKey}, {jose.RS512, "r3", rsaKey},
		{jose.PS256, "p1", rsaKey}, {jose.PS384, "p2", rsaKey}, {jose.PS512, "p3", rsaKey},
		{jose.ES256, "e1", p256}, {jose.ES384, "e2", p384}, {jose.ES512, "e3", p521}, {jose.EdDSA, "d1", ed},
	}
	cfg.Sources[0].JWT.Issuers = []identity.IssuerConfig{issuer(signers...)}
	for _, s := range signers {
		cfg.Sources[0].JWT.Algorithms = append(cfg.Sources[0].JWT.Algorithms, string(s.alg))
	}
	v := newVerifier(t, cfg, atNoon())
	for _, s := range signers {
		id, err := v.Identify(context.Background(), bearer(s.sign(claims(noon, nil))))
		wantSubject(t, id, err, tenantID, "User "+userID)

		// The same key under another algorithm of its family is not what it is for.
		if s.alg == jose.RS256 {
			id, err = v.Identify(context.Background(), bearer(signer{jose.PS256, s.kid, s.key}.sign(claims(noon, nil))))
			wantInvalid(t, id, err, "jwt", "no key of the token's issuer fits its algorithm")
		}
	}
}

func TestATokenWithoutKidNeedsTheOnlyKeyThatFits(t *testing.T) {
	r1, r2, e1 := rs256("r1"), signer{jose.RS256, "r2", rsaTwo()}, signer{jose.ES256, "e1", ecOne()}
	noKid := func(s signer) string { s.kid = ""; return s.sign(claims(noon, nil)) }
	v := newVerifier(t, jwtConfig(issuer(r1, e1)), atNoon())
	for _, s := range []signer{r1, e1} {
		id, err := v.Identify(context.Background(), bearer(noKid(s)))
		wantSubject(t, id, err, tenantID, "User "+userID)
	}
	v = newVerifier(t, jwtConfig(issuer(r1, r2)), atNoon())
	id, err := v.Identify(context.Background(), bearer(noKid(r1)))
	wantInvalid(t, id, err, "jwt", "the token does not say which of its issuer's keys it is signed with")
}

func TestTwoKeysUnderOneKidAreBothTried(t *testing.T) {
	one, two := signer{jose.RS256, "same", rsaOne()}, signer{jose.RS256, "same", rsaTwo()}
	v := newVerifier(t, jwtConfig(issuer(one, two)), atNoon())
	for _, s := range []signer{one, two} {
		id, err := v.Identify(context.Background(), bearer(s.sign(claims(noon, nil))))
		wantSubject(t, id, err, tenantID, "User "+userID)
	}
}

func TestTheAuthorizationHeader(t *testing.T) {
	token := rs256("k1").sign(claims(noon, nil))
	v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), atNoon())
	for _, c := range []struct {
		name   string
		values []string
		want   string // "" for the identity, "nobody" for none, else why it is refused
	}{
		{"Bearer", []string{"Bearer " + token}, ""},
		{"lower case", []string{"bearer " + token}, ""},
		{"upper case", []string{"BEARER " + token}, ""},
		{"spaces around", []string{"  Bearer   " + token + " "}, ""},
		{"none", nil, "nobody"},
		{"empty", []string{""}, "nobody"},
		{"Basic", []string{"Basic dTpw"}, "nobody"},
		{"Digest with its commas", []string{`Digest username="u", realm="r"`}, "nobody"},
		{"a scheme that begins like it", []string{"Bearerish " + token}, "nobody"},
		{"the token alone", []string{token}, "nobody"},
		{"no token", []string{"Bearer"}, "the Authorization header holds no token"},
		{"no token but a space", []string{"Bearer  "}, "the Authorization header holds no token"},
		{"twice", []string{"Bearer " + token, "Bearer " + token}, "there are two Authorization headers"},
		{"twice, one empty", []string{"Bearer " + token, ""}, "there are two Authorization headers"},
		{"twice, one Basic", []string{"Basic dTpw", "Bearer " + token}, "there are two Authorization headers"},
		{"joined", []string{"Bearer " + token + ",Bearer " + token}, "the Authorization header holds two credentials"},
		{"joined with a space", []string{"Bearer " + token + ", Bearer x"}, "the Authorization header holds two credentials"},
		{"joined, Basic last", []string{"Bearer " + token + ",Basic dTpw"}, "the Authorization header holds two credentials"},
		{"joined, Basic first", []string{"Basic dTpw,Bearer " + token}, "the Authorization header holds two credentials"},
		{"joined, Basic first, tabs", []string{"Basic dTpw,\tbearer\t" + token}, "the Authorization header holds two credentials"},
		{"joined with a comma at the scheme", []string{"Bearer," + token}, "the Authorization header holds two credentials"},
		{"two words", []string{"Bearer " + token + " " + token}, "the token is not a JWT"},
		{"padding", []string{"Bearer " + token + "="}, "the token is not a JWT"},
		{"a control character", []string{"Bearer " + token + "\x00"}, "the token is not a JWT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := v.Identify(context.Background(), &ask.Credentials{Authorization: c.values})
			switch c.want {
			case "":
				wantSubject(t, id, err, tenantID, "User "+userID)
			case "nobody":
				if !errors.Is(err, identity.ErrNoIdentity) {
					t.Errorf("got %v, want ErrNoIdentity", err)
				}
			default:
				wantInvalid(t, id, err, "jwt", c.want)
			}
		})
	}
}

func TestWhatATokenSaysOfItsBearer(t *testing.T) {
	type want struct {
		Principal string
		Groups    []string
		Roles     []string
		Unknown   bool
		Scopes    []string
		User      bool
		Enforce   bool
	}
	overage := map[string]any{"groups": "src1"}
	for _, c := range []struct {
		name    string
		changes map[string]any
		want    want
	}{
		{"a user", map[string]any{"scp": "PowerApps.Apps.Read  user_impersonation"},
			want{Principal: "User " + userID, Scopes: []string{"PowerApps.Apps.Read", "user_impersonation"}, User: true, Enforce: true}},
		{"a user without scopes", nil, want{Principal: "User " + userID, Scopes: []string{}, User: true, Enforce: true}},
		{"scopes in a list", map[string]any{"scp": []string{"A.B.Read", "C.D.Read"}},
			want{Principal: "User " + userID, Scopes: []string{"A.B.Read", "C.D.Read"}, User: true, Enforce: true}},
		{"an application", map[string]any{"idtyp": "app", "scp": "PowerApps.Apps.Read", "appid": "a"}, want{Principal: "ApplicationUser " + userID}},
		{"idtyp user", map[string]any{"idtyp": "user"}, want{Principal: "User " + userID, Scopes: []string{}, User: true, Enforce: true}},
		{"idtyp in another case is no application", map[string]any{"idtyp": "App"}, want{Principal: "User " + userID, Scopes: []string{}, User: true, Enforce: true}},
		{"groups and directory roles", map[string]any{"groups": []string{"AAAAAAAA-0000-0000-0000-000000000001", "b, c"}, "wids": []string{"62E90394-69F5-4237-9190-012177145E10"}, "idtyp": "app"},
			want{Principal: "ApplicationUser " + userID, Groups: []string{"aaaaaaaa-0000-0000-0000-000000000001", "b, c"}, Roles: []string{"62e90394-69f5-4237-9190-012177145e10"}}},
		{"roles are no directory roles", map[string]any{"roles": []string{"62e90394-69f5-4237-9190-012177145e10"}, "idtyp": "app"}, want{Principal: "ApplicationUser " + userID}},
		{"a directory role among the groups is a group", map[string]any{"groups": []string{"62e90394-69f5-4237-9190-012177145e10"}, "idtyp": "app"},
			want{Principal: "ApplicationUser " + userID, Groups: []string{"62e90394-69f5-4237-9190-012177145e10"}}},
		{"groups did not fit", map[string]any{"_claim_names": overage, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.example"}}, "idtyp": "app"},
			want{Principal: "ApplicationUser " + userID, Unknown: true}},
		{"other claims did not fit", map[string]any{"_claim_names": map[string]any{"photo": "src1"}, "idtyp": "app"}, want{Principal: "ApplicationUser " + userID}},
		{"hasgroups", map[string]any{"hasgroups": true, "idtyp": "app"}, want{Principal: "ApplicationUser " + userID, Unknown: true}},
		{"hasgroups as text", map[string]any{"hasgroups": "true", "idtyp": "app"}, want{Principal: "ApplicationUser " + userID, Unknown: true}},
		{"hasgroups false", map[string]any{"hasgroups": "false", "idtyp": "app"}, want{Principal: "ApplicationUser " + userID}},
		{"directory roles did not fit", map[string]any{"_claim_names": map[string]any{"wids": "src1"}, "idtyp": "app"}, want{Principal: "ApplicationUser " + userID, Unknown: true}},
		{"names are not read", map[string]any{"upn": "admin@example.com", "email": "admin@example.com", "name": "Admin", "sub": "x", "idtyp": "app"}, want{Principal: "ApplicationUser " + userID}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := jwtConfig(issuer(rs256("k1")))
			cfg.DelegatedScopes = "enforce"
			v := newVerifier(t, cfg, atNoon())
			id, err := v.Identify(context.Background(), bearer(rs256("k1").sign(claims(noon, c.changes))))
			if err != nil {
				t.Fatal(err)
			}
			got := want{id.Subject.Principal().String(), id.Subject.Groups(), id.Subject.DirectoryRoles(), id.Subject.GroupsUnknown(), id.Scopes, id.UserToken, id.EnforceDelegated}
			if c.want.Groups == nil {
				c.want.Groups = []string{}
			}
			if c.want.Roles == nil {
				c.want.Roles = []string{}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDelegatedScopesAreEnforcedOnlyWhereAskedFor(t *testing.T) {
	v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), atNoon())
	id, err := v.Identify(context.Background(), bearer(rs256("k1").sign(claims(noon, nil))))
	if err != nil || id.EnforceDelegated || !id.UserToken {
		t.Errorf("got %+v, %v: want a user's token without the second gate", id, err)
	}
}

func TestAnIssuerSpeaksForItsTenantsOnly(t *testing.T) {
	k1 := rs256("k1")
	const template = "https://login.microsoftonline.com/{tid}/v2.0"
	in := func(tenant string) string { return "https://login.microsoftonline.com/" + tenant + "/v2.0" }
	const foreign = "the issuer may not speak for the token's tenant"
	const notAccepted = "the token's issuer is not accepted, or does not belong to the token's tenant"
	for _, c := range []struct {
		name     string
		change   func(*identity.IssuerConfig)
		iss, tid any
		want     string // the tenant, or why it is refused
	}{
		{"listed", func(*identity.IssuerConfig) {}, issuerURL, tenantID, tenantID},
		{"not listed", func(*identity.IssuerConfig) {}, issuerURL, otherTenant, foreign},
		{"any", func(i *identity.IssuerConfig) { i.Tenants, i.AnyTenant = nil, true }, issuerURL, otherTenant, otherTenant},
		{"constant", func(i *identity.IssuerConfig) { i.Tenants, i.Tenant = nil, tenantID }, issuerURL, nil, tenantID},
		{"constant, whatever the token says", func(i *identity.IssuerConfig) { i.Tenants, i.Tenant = nil, tenantID }, issuerURL, otherTenant, tenantID},
		{"{tid}", func(i *identity.IssuerConfig) { i.Issuer, i.Tenants = template, nil }, in(otherTenant), otherTenant, otherTenant},
		{"{tid} of another tenant", func(i *identity.IssuerConfig) { i.Issuer, i.Tenants = template, nil }, in(otherTenant), tenantID, notAccepted},
		{"{tid} without a tenant", func(i *identity.IssuerConfig) { i.Issuer, i.Tenants = template, nil }, in(otherTenant), nil, notAccepted},
		{"{tid} in upper case", func(i *identity.IssuerConfig) { i.Issuer, i.Tenants = template, nil }, in(tenantID), strings.ToUpper(tenantID), tenantID},
		{"{tid} with a path in it", func(i *identity.IssuerConfig) { i.Issuer, i.Tenants = template, nil }, in("a/b"), "a/b", notAccepted},
		{"{tid} itself", func(i *identity.IssuerConfig) { i.Issuer, i.Tenants = template, nil }, template, "{tid}", notAccepted},
		{"{tid}, listed", func(i *identity.IssuerConfig) { i.Issuer = template }, in(tenantID), tenantID, tenantID},
		{"{tid}, not listed", func(i *identity.IssuerConfig) { i.Issuer = template }, in(otherTenant), otherTenant, foreign},
		{"the tenant in Entra's issuer", func(i *identity.IssuerConfig) { i.Issuer, i.Tenants = in(tenantID), nil }, in(tenantID), tenantID, tenantID},
		{"another than the tenant in Entra's issuer, with any_tenant", func(i *identity.IssuerConfig) { i.Issuer, i.Tenants, i.AnyTenant = in(tenantID), nil, true }, in(tenantID), otherTenant, foreign},
		{"{tid} of another tenant, with any_tenant", func(i *identity.IssuerConfig) { i.Issuer, i.Tenants, i.AnyTenant = template, nil, true }, in(otherTenant), tenantID, notAccepted},
		{"another than the tenant in Entra's issuer", func(i *identity.IssuerConfig) { i.Issuer, i.Tenants = in(tenantID), nil }, in(tenantID), otherTenant, foreign},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := issuer(k1)
			c.change(&cfg)
			v := newVerifier(t, jwtConfig(cfg), atNoon())
			id, err := v.Identify(context.Background(), bearer(k1.sign(claims(noon, map[string]any{"iss": c.iss, "tid": c.tid}))))
			if strings.HasPrefix(c.want, "the ") {
				wantInvalid(t, id, err, "jwt", c.want)
			} else {
				wantSubject(t, id, err, c.want, "User "+userID)
			}
		})
	}
}

func TestAnIssuerCannotUseTheKeysOrAudiencesOfAnother(t *testing.T) {
	one, two := issuer(rs256("k1")), issuer(signer{jose.RS256, "k1", rsaTwo()})
	two.Issuer, two.Audiences, two.Tenants = "https://two.example", []string{"two"}, []string{otherTenant}
	v := newVerifier(t, jwtConfig(one, two), atNoon())
	id, err := v.Identify(context.Background(), bearer(signer{jose.RS256, "k1", rsaTwo()}.sign(claims(noon, nil))))
	wantInvalid(t, id, err, "jwt", "the token's signature is not valid")
	id, err = v.Identify(context.Background(), bearer(signer{jose.RS256, "k1", rsaTwo()}.sign(claims(noon, map[string]any{"iss": two.Issuer}))))
	wantInvalid(t, id, err, "jwt", "the token is for another audience")
	id, err = v.Identify(context.Background(), bearer(signer{jose.RS256, "k1", rsaTwo()}.sign(claims(noon, map[string]any{"iss": two.Issuer, "aud": "two"}))))
	wantInvalid(t, id, err, "jwt", "the issuer may not speak for the token's tenant")
	id, err = v.Identify(context.Background(), bearer(signer{jose.RS256, "k1", rsaTwo()}.sign(claims(noon, map[string]any{"iss": two.Issuer, "aud": "two", "tid": otherTenant}))))
	wantSubject(t, id, err, otherTenant, "User "+userID)
}

func TestKeycloakByConfiguration(t *testing.T) {
	k1 := rs256("k1")
	cfg := jwtConfig(identity.IssuerConfig{
		Issuer: "https://keycloak.example/realms/shop", Audiences: []string{"shop-api"}, JWKSInline: keySet(k1), Tenant: "shop",
		Claims: identity.ClaimNames{Principal: "sub"},
	})
	v := newVerifier(t, cfg, atNoon())
	id, err := v.Identify(context.Background(), bearer(k1.sign(map[string]any{
		"iss": "https://keycloak.example/realms/shop", "aud": []string{"shop-api", "account"}, "exp": noon.Unix() + 300,
		"sub": "F3B0C5A0-1111-4222-8333-944444444444", "typ": "Bearer", "azp": "shop-web", "preferred_username": "ada",
		"groups": []string{"/Admins", "/teams/Orders"},
	}, "typ", "JWT")))
	wantSubject(t, id, err, "shop", "User f3b0c5a0-1111-4222-8333-944444444444")
	if diff := cmp.Diff([]string{"/Admins", "/teams/Orders"}, id.Subject.Groups()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestIdentifiersThatAreNoGUIDsKeepTheirCaseUnlessTheCatalogueFoldsIt(t *testing.T) {
	k1 := rs256("k1")
	for fold, want := range map[bool][3]string{false: {"Shop", "User Ada", "/Admins"}, true: {"shop", "User ada", "/admins"}} {
		c := issuer(k1)
		c.Tenants = []string{"Shop"}
		cfg := jwtConfig(c)
		cfg.FoldCase = fold
		v := newVerifier(t, cfg, atNoon())
		id, err := v.Identify(context.Background(), bearer(k1.sign(claims(noon, map[string]any{"tid": "Shop", "oid": "Ada", "groups": []string{"/Admins"}}))))
		wantSubject(t, id, err, want[0], want[1])
		if got := id.Subject.Groups()[0]; got != want[2] {
			t.Errorf("group %q, want %q", got, want[2])
		}
		_, err = v.Identify(context.Background(), bearer(k1.sign(claims(noon, map[string]any{"tid": "SHOP"}))))
		if (err == nil) != fold {
			t.Errorf("a tenant in another case, folding %v: %v", fold, err)
		}
	}
}

func TestClockSkewCanBeSet(t *testing.T) {
	cfg := jwtConfig(issuer(rs256("k1")))
	cfg.Sources[0].JWT.ClockSkew = time.Second
	v := newVerifier(t, cfg, atNoon())
	id, err := v.Identify(context.Background(), bearer(rs256("k1").sign(claims(noon, map[string]any{"exp": noon.Unix() - 1}))))
	wantInvalid(t, id, err, "jwt", "the token has expired")
}

func TestErrorsHoldNothingOfTheToken(t *testing.T) {
	k1 := rs256("k1")
	v := newVerifier(t, jwtConfig(issuer(k1)), atNoon())
	secret := "very-secret-value"
	for _, changes := range []map[string]any{
		{"iss": secret}, {"aud": secret}, {"tid": secret}, {"oid": secret + "\n"}, {"exp": secret}, {"groups": secret}, {"hasgroups": secret}, {"_claim_names": secret},
	} {
		token := k1.sign(claims(noon, changes))
		_, err := v.Identify(context.Background(), bearer(token))
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), token[:20]) {
			t.Errorf("%v: the error is %v", changes, err)
		}
	}
	if state := v.State(); strings.Contains(strings.Join([]string{state.Issuers[0].Err, state.Issuers[0].Issuer}, " "), secret) {
		t.Errorf("the state is %+v", state)
	}
}
