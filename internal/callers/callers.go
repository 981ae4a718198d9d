// Package callers finds out who calls administration, and whether the call is one that
// anybody may make.
//
// Somebody is a user or an application by a bearer token or by a verified client
// certificate, or an operator by the one-time secret in the data directory. A call that the
// embedded catalogue of administration does not list is refused before credentials are
// looked at; what is present and not valid is refused and never passed over. What a caller
// may change is for package admin to say, in the transaction of the change.
package callers

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// operatorScheme is the authentication scheme of the operator's secret.
const operatorScheme = "Operator"

// A Call is what a request carries to say who makes it.
type Call struct {
	// Method and Path are the request's; of a gRPC call POST and /package.Service/Method.
	Method, Path string
	// Authorization holds every value of that header.
	Authorization []string
	// TLS is the state of the connection; nil without TLS.
	TLS *tls.ConnectionState
	// From is the remote address, and Agent what the client says it is.
	From, Agent string
}

// OfRequest returns the call that an HTTP request is.
func OfRequest(r *http.Request) Call {
	return Call{
		Method: r.Method, Path: r.URL.EscapedPath(), Authorization: r.Header.Values("Authorization"), TLS: r.TLS,
		From: Remote(r.RemoteAddr), Agent: r.UserAgent(),
	}
}

// Remote names where a call came from. The clients of a unix socket have no address.
func Remote(address string) string {
	if address == "" || address == "@" {
		return "unix socket"
	}
	return address
}

// Options are what an [Identifier] works with.
type Options struct {
	Mapping *Mapping
	// Verifier judges tokens and certificates.
	Verifier interface {
		Identify(ctx context.Context, c *ask.Credentials) (identity.Identity, error)
	}
	// Prove makes an operator of whoever knows the secret, which is used up by it.
	Prove func(ctx context.Context, secret, from, agent string) (admin.Caller, error)
}

// An Identifier finds out who makes a call. It is safe for concurrent use.
type Identifier struct{ o Options }

// New returns an Identifier. All options are required.
func New(o Options) *Identifier { return &Identifier{o} }

// Identify returns who makes the call; of a public one, nobody. An operator's secret is
// used up by it. Every error is an [*admin.Error].
func (i *Identifier) Identify(ctx context.Context, c Call) (admin.Caller, error) {
	need := i.o.Mapping.Of(c.Method, c.Path)
	switch {
	case !need.Listed:
		return admin.Caller{}, &admin.Error{
			Kind:    admin.Forbidden,
			Message: "the catalogue of administration does not list this call, so nobody may make it",
		}
	case need.Public:
		return admin.Caller{From: c.From, Agent: c.Agent}, nil
	}
	if secret, ok := operatorSecret(c.Authorization); ok {
		return i.o.Prove(ctx, secret, c.From, c.Agent)
	}
	id, err := i.o.Verifier.Identify(ctx, &ask.Credentials{Authorization: c.Authorization, Principal: certificateURI(c.TLS)})
	if err != nil {
		return admin.Caller{}, refused(err, need)
	}
	if need.Operator {
		return admin.Caller{}, &admin.Error{
			Kind:    admin.OperatorRequired,
			Message: "this concerns the whole store, and needs the operator's secret",
			Mend:    "send \"Authorization: Operator \" and what the file " + admin.SecretFile + " in the data directory holds",
		}
	}
	if missing := undelegated(&id, need); len(missing) > 0 {
		return admin.Caller{}, &admin.Error{
			Kind: admin.Forbidden, Missing: missing,
			Message: "the application that presents the token was not delegated what the call needs",
		}
	}
	return admin.Caller{Kind: admin.Token, Subject: id.Subject, From: c.From, Agent: c.Agent}, nil
}

// operatorSecret returns the secret of an operator's credentials. Of two values neither
// counts: the verifier refuses them.
func operatorSecret(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}
	scheme, secret, ok := strings.Cut(values[0], " ")
	return strings.Trim(secret, " "), ok && strings.EqualFold(scheme, operatorScheme)
}

// certificateURI returns the SPIFFE URI of a client certificate that was verified. A
// certificate with several URIs has none that it must stand for.
func certificateURI(state *tls.ConnectionState) string {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return ""
	}
	uris := state.VerifiedChains[0][0].URIs
	if len(uris) != 1 || uris[0].Scheme != "spiffe" {
		return ""
	}
	return uris[0].String()
}

// undelegated returns the permissions that a user's token was not delegated, where that is
// asked for.
func undelegated(id *identity.Identity, need Need) (missing []authz.Permission) {
	if !id.EnforceDelegated || !id.UserToken {
		return nil
	}
	for _, permission := range need.Permissions {
		found := false
		for _, scope := range id.Scopes {
			found = found || strings.EqualFold(scope, string(permission))
		}
		if !found {
			missing = append(missing, permission)
		}
	}
	return missing
}

func refused(err error, need Need) error {
	mend := "send a bearer token whose audience is administration's"
	if need.Operator {
		mend = "send \"Authorization: Operator \" and what the file " + admin.SecretFile + " in the data directory holds"
	}
	e := &admin.Error{Kind: admin.Unauthenticated, Message: "nobody is known to be calling", Mend: mend, Cause: err}
	var invalid *identity.InvalidError
	switch {
	case errors.Is(err, identity.ErrNoIdentity):
	case errors.As(err, &invalid):
		e.Message = "the credentials are not valid (" + invalid.Detail + ")"
	case errors.Is(err, identity.ErrKeysUnavailable):
		e.Kind, e.Message, e.Mend = admin.Unavailable, "the keys that tokens are verified with are not available", "try again later"
	default:
		e.Kind, e.Message, e.Mend = admin.Unavailable, "the credentials could not be judged", "try again later"
	}
	return e
}
