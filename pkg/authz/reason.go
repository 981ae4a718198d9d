package authz

import "fmt"

// Reason says why a request was allowed or denied. It is a closed set, spelled the
// same in Go, protobuf, logs, metrics and documents. The zero Reason denies.
type Reason uint8

// The reasons. Only [Granted] and [Public] allow.
const (
	// ReasonUnspecified is the zero value: nothing was decided, so nothing is allowed.
	ReasonUnspecified Reason = iota
	// Granted: an ALLOW assignment at the nearest scope that speaks covers the permission.
	Granted
	// Public: the route is declared public; nobody is asked who they are.
	Public
	// NoAssignment: no assignment on the chain of scopes covers the permission.
	NoAssignment
	// Overridden: a DENY assignment stands nearer than, or beside, every ALLOW.
	Overridden
	// Forbidden: a FORBID assignment on the chain covers the permission.
	Forbidden
	// Expired: only an expired ALLOW assignment would have covered the permission.
	Expired
	// Unmapped: the request names no permission that the catalogue knows.
	Unmapped
	// BadRequest: the request is malformed or ambiguous.
	BadRequest
	// Unauthenticated: no identity, or one that could not be verified.
	Unauthenticated
	// CrossTenant: the request names a tenant that is not the subject's.
	CrossTenant
	// UnknownScope: the request names an environment or a group nobody listed.
	UnknownScope
	// PrincipalDisabled: the caller's account is disabled.
	PrincipalDisabled
	// GroupsUnknown: the token did not carry its groups, and they could decide.
	GroupsUnknown
	// DelegatedScopeMissing: the application was not delegated the permission.
	DelegatedScopeMissing
	// Stale: the snapshot is older than allowed, or than the revision asked for.
	Stale
	// NotReady: no snapshot has been loaded yet.
	NotReady
	// Internal: a fault of our own.
	Internal
)

var reasonNames = [...]string{
	ReasonUnspecified:     "UNSPECIFIED",
	Granted:               "GRANTED",
	Public:                "PUBLIC",
	NoAssignment:          "NO_ASSIGNMENT",
	Overridden:            "OVERRIDDEN",
	Forbidden:             "FORBIDDEN",
	Expired:               "EXPIRED",
	Unmapped:              "UNMAPPED",
	BadRequest:            "BAD_REQUEST",
	Unauthenticated:       "UNAUTHENTICATED",
	CrossTenant:           "CROSS_TENANT",
	UnknownScope:          "UNKNOWN_SCOPE",
	PrincipalDisabled:     "PRINCIPAL_DISABLED",
	GroupsUnknown:         "GROUPS_UNKNOWN",
	DelegatedScopeMissing: "DELEGATED_SCOPE_MISSING",
	Stale:                 "STALE",
	NotReady:              "NOT_READY",
	Internal:              "INTERNAL",
}

// Reasons returns every reason but the zero value, in a fixed order.
func Reasons() []Reason {
	all := make([]Reason, 0, len(reasonNames)-1)
	for r := Granted; int(r) < len(reasonNames); r++ {
		all = append(all, r)
	}
	return all
}

// String returns the reason's name, such as NO_ASSIGNMENT.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("REASON_%d", uint8(r))
}

// MarshalText returns the reason's name.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a reason's name and refuses any other text.
func (r *Reason) UnmarshalText(text []byte) error {
	for i, name := range reasonNames {
		if name == string(text) {
			*r = Reason(i)
			return nil
		}
	}
	return fmt.Errorf("unknown reason %q", text)
}

// Effect is the outcome of a check. The zero value denies.
type Effect uint8

// The two effects. There is no "unknown": not knowing is Deny.
const (
	Deny Effect = iota
	Allow
)

// Effect derives the outcome from the reason. It is the only place where Allow is
// written, so that an answer's effect and its reason cannot disagree.
func (r Reason) Effect() Effect {
	switch r {
	case Granted, Public:
		return Allow
	default:
		return Deny
	}
}

// String returns "allow" or "deny".
func (e Effect) String() string {
	if e == Allow {
		return "allow"
	}
	return "deny"
}

// MarshalText returns "allow" or "deny".
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }
