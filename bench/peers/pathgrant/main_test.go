package main

import (
	"testing"

	"github.com/pathgrant/pathgrant/bench/peers/inprocess"
	"github.com/pathgrant/pathgrant/bench/peers/worldtest"
	"github.com/pathgrant/pathgrant/internal/pgtest"
)

func TestEveryRowAnswersAsItMust(t *testing.T) {
	issuer, err := pgtest.NewIssuer("test")
	if err != nil {
		t.Fatal(err)
	}
	w := worldtest.World()
	w.Issuer, w.Audience, w.JWKS = pgtest.IssuerURL, pgtest.Audience, issuer.JWKS()
	for i := range w.Requests {
		if w.Requests[i].Token, err = issuer.Token(pgtest.UserClaims("t1", w.Requests[i].User)); err != nil {
			t.Fatal(err)
		}
	}
	catalogues, store, err := open(t.Context(), w, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	rows, err := rows(t.Context(), w, catalogues, store)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := inprocess.Verify(w, row); err != nil {
			t.Error(err)
		}
	}
}
