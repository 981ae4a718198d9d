// Package identity answers who is asking: it turns the credentials on a request into a
// subject, or refuses them.
//
// Sources are tried in the configured order and the first one whose credentials are
// present decides. What is present but not valid is an [*InvalidError]; it never falls
// through to the next source and never becomes nobody:
//
//   - a bearer token, verified here (signature, issuer, audience, lifetime, tenant);
//   - the payload that Envoy's jwt_authn filter verified and left in its metadata;
//   - a SPIFFE URI of the caller's certificate that a table maps to a principal;
//   - request headers, for those who strip them at the edge.
//
// A principal is keyed by its tenant and its object id, never by a name or a mail
// address, which can be given to somebody else.
//
// A token that was verified is remembered until it expires, for as long as the very set
// of keys that verified it is in force. Key sets are refreshed by [Verifier.Run]; the
// last good one is kept when a refresh fails, and distrusted when it is too old.
//
// Neither an error nor the log nor [State] ever holds a token or the value of a claim.
package identity
