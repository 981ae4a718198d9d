package engine

import (
	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Decision says what was decided, why, and on which state. The zero Decision denies.
type Decision struct {
	// Reason is why; the effect follows from it alone (see [Decision.Allowed]).
	Reason authz.Reason
	// Permissions were needed, all of them, at every one of Scopes. Empty where the request
	// was refused before it was mapped, and on a public route.
	Permissions []authz.Permission
	Scopes      []authz.Scope
	// Missing are those of Permissions that the subject does not hold at every scope.
	Missing []authz.Permission
	// Assignment is the one that settled it; nil where none did. It must not be changed.
	Assignment *authz.Grant
	// DecidedBy is the mapping's step: route, convention, override, permission (a question
	// for a permission), or empty. Rule is that step's rule, for people to read.
	DecidedBy, Rule string
	// Revision is what everything here was read from; zero where nothing was read.
	Revision authz.Revision
	// ID names the decision, in 32 hex digits; empty where there was none to be had.
	ID string
	// Detail says what was in the way, for people to read.
	Detail string
	// Record says how a question about a Dataverse record was decided; nil for any other.
	Record *authz.RecordDecision
}

// Allowed tells whether to let the request pass.
func (d Decision) Allowed() bool { return d.Reason.Effect() == authz.Allow }

// closedDecision is what a closed engine answers.
var closedDecision = Decision{Reason: authz.NotReady, Detail: ErrClosed.Error()}

// decisionOf keeps the answer's memory, which nobody may use again.
func decisionOf(a *ask.Answer) Decision {
	return Decision{
		Reason:      a.Reason,
		Permissions: a.Permissions,
		Scopes:      a.Scopes,
		Missing:     a.Missing,
		Assignment:  a.Assignment,
		DecidedBy:   a.DecidedBy,
		Rule:        a.Rule,
		Revision:    a.Revision,
		ID:          a.DecisionID.String(),
		Detail:      a.Detail,
		Record:      a.Record,
	}
}

// A Mapping says what a request needs. The zero Mapping is of no request.
type Mapping struct {
	// Permissions are needed, all of them, at every one of Scopes. Empty where Reason is
	// set.
	Permissions []authz.Permission
	Scopes      []authz.Scope
	// DecidedBy is the step that found them, and Rule that step's rule.
	DecidedBy, Rule string
	// Reason is why there are no permissions: [authz.Public], [authz.Unmapped] or
	// [authz.BadRequest]. It is zero beside permissions.
	Reason authz.Reason
	// Detail says what was in the way, for people to read.
	Detail string
}

// Mapped tells whether the request has permissions that can be asked for.
func (m Mapping) Mapped() bool {
	return m.Reason == authz.ReasonUnspecified && len(m.Permissions) > 0 && len(m.Scopes) > 0
}

// mappingOf keeps the answer's memory, which nobody may use again.
func mappingOf(a *ask.Answer) Mapping {
	return Mapping{
		Permissions: a.Permissions, Scopes: a.Scopes,
		DecidedBy: a.DecidedBy, Rule: a.Rule, Reason: a.Reason, Detail: a.Detail,
	}
}
