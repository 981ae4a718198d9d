package admin

import (
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A CallerKind says how a caller proved who it is. The zero CallerKind is nobody, who may
// do nothing.
type CallerKind uint8

// The kinds of caller.
const (
	Nobody CallerKind = iota
	// Token is a caller whose [authz.Subject] was verified, from a token or a certificate.
	Token
	// Operator is somebody who proved access to this machine's data directory. An operator
	// has no subject, and may do what concerns the whole store, and read.
	Operator
)

// String returns Token, Operator or Nobody.
func (k CallerKind) String() string {
	switch k {
	case Token:
		return "Token"
	case Operator:
		return "Operator"
	case Nobody:
	}
	return "Nobody"
}

// A Caller is who asks. The zero Caller may do nothing. Adapters make callers of what they
// verified; [Admin.Prove] makes an operator.
type Caller struct {
	Kind CallerKind
	// Subject is who a Token caller is; nil for an operator.
	Subject *authz.Subject
	// From is where the call came from: a remote address, or "local".
	From string
	// Agent is what the client says it is, such as "pathgrant/1.2".
	Agent string
}

// A Context comes with every change.
type Context struct {
	// Tenant is what is changed; empty: the caller's own. A token's caller can name no
	// other, an operator must name one.
	Tenant string
	// RequestID makes a change that is sent again with it, by the same caller within 24
	// hours, one change with one answer. Empty: nothing is remembered.
	RequestID string
	// Justification says why, for the change audit.
	Justification string
}

// An Outcome comes back from every change.
type Outcome struct {
	// Revision is the one from which the change is in force.
	Revision authz.Revision
	// Replayed says that this is the answer of the first time: nothing was changed now.
	Replayed bool
}

func (o *Outcome) outcome() *Outcome { return o }
