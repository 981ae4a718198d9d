package main

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/pathgrant/pathgrant/bench/peers/inprocess"
	"github.com/pathgrant/pathgrant/bench/peers/world"
	"github.com/pathgrant/pathgrant/bench/peers/worldtest"
	"github.com/pathgrant/pathgrant/internal/pgtest"
)

func TestEveryRowAnswersAsItMust(t *testing.T) {
	w := worldtest.World()
	rows, err := rows(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := inprocess.Verify(w, row); err != nil {
			t.Error(err)
		}
	}
}

func check(r world.Request, token string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{
			Method: r.Method, Host: r.Host, Path: r.Path,
			HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "authorization", RawValue: []byte(token)}}},
		},
	}}}
}

func newServer(t *testing.T) (*server, *pgtest.Issuer) {
	t.Helper()
	issuer, err := pgtest.NewIssuer("test")
	if err != nil {
		t.Fatal(err)
	}
	w := worldtest.World()
	w.Issuer, w.Audience = pgtest.IssuerURL, pgtest.Audience
	s := &server{world: w}
	if err := json.Unmarshal(issuer.JWKS(), &s.keys); err != nil {
		t.Fatal(err)
	}
	if s.engine, err = newEngine(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	mapper, err := world.NewMapper()
	if err != nil {
		t.Fatal(err)
	}
	s.mappers = sync.Pool{New: func() any { return mapper.Clone() }}
	return s, issuer
}

func TestTheServerAnswersAsItMust(t *testing.T) {
	s, issuer := newServer(t)
	for range 2 { // with a token that is new, and with one that is known
		for i, r := range s.world.Requests {
			token, err := issuer.Token(pgtest.UserClaims("t1", r.User))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := s.Check(t.Context(), check(r, "Bearer "+token))
			if err != nil {
				t.Fatal(err)
			}
			granted := answer.GetStatus().GetCode() == 0 && answer.GetOkResponse() != nil
			if granted != (r.Reason == world.Granted) || !granted && answer.GetStatus().GetMessage() != r.Reason {
				t.Errorf("request %d: %v, want %s", i, answer, r.Reason)
			}
		}
	}
}

func TestTokensThatProveNothingAreRefused(t *testing.T) {
	s, issuer := newServer(t)
	stranger, err := pgtest.NewIssuer("test")
	if err != nil {
		t.Fatal(err)
	}
	claims := pgtest.UserClaims("t1", "ada")
	for name, test := range map[string]struct {
		issuer *pgtest.Issuer
		claims pgtest.Claims
		scheme string
	}{
		"another key":      {stranger, claims, "Bearer "},
		"another issuer":   {issuer, claims.With("iss", "https://elsewhere.example"), "Bearer "},
		"another audience": {issuer, claims.With("aud", "somebody"), "Bearer "},
		"another tenant":   {issuer, claims.With("tid", "t2"), "Bearer "},
		"expired":          {issuer, claims.With("exp", time.Now().Add(-time.Second).Unix()), "Bearer "},
		"another scheme":   {issuer, claims, "Basic "},
	} {
		token, err := test.issuer.Token(test.claims)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.Check(t.Context(), check(s.world.Requests[0], test.scheme+token))
		if err != nil || answer.GetStatus().GetMessage() != "UNAUTHENTICATED" || answer.GetDeniedResponse() == nil {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
	}
}
