package main

import (
	"fmt"
	"time"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

const (
	tenant = "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"
	// powerPlatformAdministrator is the template id of Entra's directory role.
	powerPlatformAdministrator = "11648597-926c-4cf3-9c36-bcebb0ba8dcc"
)

// The callers that are not simply a user of the tenant with a valid token.
const (
	nobody  = "nobody"
	expired = "rita (expired)"
	forged  = "olga (forged)"
)

// mintTokens makes a token for every caller but nobody.
func mintTokens(issuer, stranger *pgtest.Issuer) (map[string]string, error) {
	user := func(name string) pgtest.Claims { return pgtest.UserClaims(tenant, name) }
	claims := map[string]pgtest.Claims{
		"billing-bot": user("billing-bot").With("idtyp", "app"),
		"cleo":        user("cleo").With("groups", []string{"contractors"}),
		"wanda":       user("wanda").With("wids", []string{powerPlatformAdministrator}),
		expired:       user("rita").With("exp", time.Now().Add(-time.Hour).Unix()),
	}
	for _, name := range []string{"adam", "carl", "dave", "gina", "mark", "maya", "olga", "rita", "tess"} {
		claims[name] = user(name)
	}
	tokens := map[string]string{nobody: ""}
	for name, held := range claims {
		token, err := issuer.Token(held)
		if err != nil {
			return nil, fmt.Errorf("mint a token for %s: %w", name, err)
		}
		tokens[name] = token
	}
	token, err := stranger.Token(user("olga"))
	if err != nil {
		return nil, fmt.Errorf("mint a token for %s: %w", forged, err)
	}
	tokens[forged] = token
	return tokens, nil
}
