package identity_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/identity"
)

// Recall answers what Identify would, or that Identify is to be asked; it counts nothing by
// itself.
func TestRecallIsIdentifyFromMemory(t *testing.T) {
	v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), atNoon())
	token := rs256("k1").sign(claims(noon, nil))
	if id, err := v.Recall(bearer(token), noon); !errors.Is(err, identity.ErrNotRecalled) || id.Subject != nil {
		t.Errorf("before it was verified: %+v, %v", id, err)
	}
	first, err := v.Identify(context.Background(), bearer(token))
	wantSubject(t, first, err, tenantID, "User "+userID)
	id, err := v.Recall(bearer(token), noon)
	wantSubject(t, id, err, tenantID, "User "+userID)
	if id.Subject != first.Subject {
		t.Error("another subject")
	}
	if s := v.State(); s.CacheHits != 0 || s.CacheMisses != 1 {
		t.Errorf("%d hits and %d misses, want 0 and 1", s.CacheHits, s.CacheMisses)
	}
	first.Count() // it was not recalled
	id.Count()
	if s := v.State(); s.CacheHits != 1 {
		t.Errorf("%d hits, want 1", s.CacheHits)
	}

	// The time is the one given.
	if id, err := v.Recall(bearer(token), noon.Add(2*time.Hour)); !errors.Is(err, identity.ErrNotRecalled) {
		t.Errorf("when it has expired: %+v, %v", id, err)
	}
	if _, err := v.Recall(&ask.Credentials{}, noon); !errors.Is(err, identity.ErrNoIdentity) {
		t.Errorf("no credentials: %v", err)
	}
	id, err = v.Recall(&ask.Credentials{Authorization: []string{"Bearer a", "Bearer b"}}, noon)
	wantInvalid(t, id, err, "jwt", "there are two Authorization headers")
}

// A token is remembered by all of its bytes: one that differs anywhere, however far from
// what is hashed of it, is another.
func TestATokenThatDiffersAnywhereIsNotTheOneRemembered(t *testing.T) {
	v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), atNoon())
	token := rs256("k1").sign(claims(noon, nil))
	if _, err := v.Identify(context.Background(), bearer(token)); err != nil {
		t.Fatal(err)
	}
	for i := range len(token) {
		other := "A"
		if token[i] == 'A' {
			other = "B"
		}
		if id, err := v.Recall(bearer(token[:i]+other+token[i+1:]), noon); !errors.Is(err, identity.ErrNotRecalled) || id.Subject != nil {
			t.Fatalf("changed at byte %d of %d: %+v, %v", i, len(token), id, err)
		}
	}
	for _, cut := range []string{token[1:], token[:len(token)-1], "A" + token, token + "A"} {
		if _, err := v.Recall(bearer(cut), noon); !errors.Is(err, identity.ErrNotRecalled) {
			t.Errorf("%d bytes: %v", len(cut), err)
		}
	}
}

// The usual form of the header is read without looking at all of it, and comes to the same
// as every other.
func TestTheUsualHeaderIsReadLikeAnyOther(t *testing.T) {
	v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), atNoon())
	token := rs256("k1").sign(claims(noon, nil))
	for _, value := range []string{"Bearer " + token, "bearer " + token, "Bearer  " + token, " Bearer\t" + token + " ", "Bearer " + token + "\t"} {
		id, err := v.Identify(context.Background(), &ask.Credentials{Authorization: []string{value}})
		wantSubject(t, id, err, tenantID, "User "+userID)
	}
	for value, detail := range map[string]string{
		"Bearer ":                               "the Authorization header holds no token",
		"Bearer  ":                              "the Authorization header holds no token",
		"Bearer \t":                             "the Authorization header holds no token",
		"Bearer " + strings.Repeat("a", 16<<10): "the token is not a JWT",
		"Bearer " + strings.Repeat("a", 16<<10+1):    "the token is too long",
		"Bearer " + token + " , Bearer " + token:     "the Authorization header holds two credentials",
		"Bearer " + token + "," + token:              "the Authorization header holds two credentials",
		"Bearer " + token[:9] + " " + token[9:]:      "the token is not a JWT",
		"Basic " + token + ", Bearer " + token + "x": "the Authorization header holds two credentials",
	} {
		id, err := v.Identify(context.Background(), &ask.Credentials{Authorization: []string{value}})
		wantInvalid(t, id, err, "jwt", detail)
	}
}

func TestOtherSourcesNeedNoMemory(t *testing.T) {
	cfg := identity.Config{Sources: []identity.SourceConfig{
		{MTLS: &identity.MTLSConfig{Identities: []identity.MTLSIdentity{{URI: "spiffe://cluster.local/ns/a", Tenant: tenantID, Principal: userID}}}},
		{Header: &identity.HeaderConfig{Tenant: "x-tenant", Principal: "x-principal"}},
	}}
	v := newVerifier(t, cfg, atNoon())
	id, err := v.Recall(&ask.Credentials{Principal: "spiffe://cluster.local/ns/a"}, noon)
	wantSubject(t, id, err, tenantID, "ApplicationUser "+userID)
	headers := map[string][]string{"x-tenant": {tenantID}, "x-principal": {userID}}
	id, err = v.Recall(&ask.Credentials{Header: func(name string) []string { return headers[name] }}, noon)
	wantSubject(t, id, err, tenantID, "User "+userID)
	delete(headers, "x-tenant")
	id, err = v.Recall(&ask.Credentials{Header: func(name string) []string { return headers[name] }}, noon)
	wantInvalid(t, id, err, "header", "the header x-tenant is missing")
}
