package client

import (
	"context"
	"fmt"
	"strings"
	"time"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Decision says what was decided, why, and on which state. The zero Decision denies.
type Decision struct {
	// Reason is why; the effect follows from it alone (see [Decision.Allowed]). A reason
	// that this package does not know denies.
	Reason authz.Reason
	// Permissions were needed, all of them, at every one of Scopes. Empty where the request
	// was refused before it was mapped, and on a public route.
	Permissions []authz.Permission
	Scopes      []authz.Scope
	// Missing are those of Permissions that the subject does not hold at every scope.
	Missing []authz.Permission
	// Assignment is the one that settled it; nil where none did.
	Assignment *Assignment
	// Revision is what everything here was read from; zero where nothing was read.
	Revision authz.Revision
	// ID names the decision in the server's decision log; empty where no server decided.
	ID string
	// Detail says what was in the way, for people to read. Do not parse it.
	Detail string
	// Dataverse says how a question about a record was decided; nil for any other.
	Dataverse *DataverseDecision
}

// Allowed tells whether to let the request pass.
func (d Decision) Allowed() bool { return d.Reason.Effect() == authz.Allow }

// An Assignment is the role assignment that settled a [Decision].
type Assignment struct {
	ID string
	// Principal is who it was given to: the caller, or something that the caller belongs to.
	Principal          authz.Principal
	RoleDefinitionID   string
	RoleDefinitionName string
	// Scope is where it was given: the scope asked about, or one that this inherits from.
	Scope  authz.Scope
	Effect authz.AssignmentEffect
	// Expires is when it is from as if it had never been given; zero: never.
	Expires time.Time
}

// A Mapping says what a request needs. The zero Mapping is of no request, and nobody
// is granted what it needs.
type Mapping struct {
	// Permissions are needed, all of them, at every one of Scopes. Empty where Reason is
	// set.
	Permissions []authz.Permission
	Scopes      []authz.Scope
	// DecidedBy is the step that found them, "route" or "convention"; empty where none did.
	DecidedBy string
	// Rule is the rule of that step, for people to read.
	Rule string
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

// reasonOf finds the reason of the same name. One that this package does not know keeps its
// number, where it has room, and denies.
func reasonOf(in pathgrantv1.Reason) authz.Reason {
	var known authz.Reason
	if err := known.UnmarshalText([]byte(strings.TrimPrefix(in.String(), "REASON_"))); err == nil {
		return known
	}
	if in < 0 || in > 255 || authz.Reason(in) <= authz.Internal { // no room, or it means something else here
		return authz.Internal
	}
	return authz.Reason(in)
}

// decisionOf reads a decision and believes no allow that contradicts itself.
func decisionOf(in *pathgrantv1.Decision) Decision {
	d := Decision{
		Reason:      reasonOf(in.GetReason()),
		Permissions: textsOf[authz.Permission](in.GetPermissions()),
		Scopes:      textsOf[authz.Scope](in.GetScopes()),
		Missing:     textsOf[authz.Permission](in.GetMissingPermissions()),
		Assignment:  assignmentOf(in.GetAssignment()),
		Revision:    authz.Revision{Epoch: in.GetRevision().GetEpoch(), Number: in.GetRevision().GetNumber()},
		ID:          in.GetDecisionId(),
		Detail:      in.GetDetail(),
		Dataverse:   dataverseOf(in.GetDataverse()),
	}
	allow := in.GetEffect() == pathgrantv1.Effect_EFFECT_ALLOW
	switch {
	case allow != d.Allowed():
		d.Detail = fmt.Sprintf("the server's answer contradicts itself: %v for %v", in.GetEffect(), in.GetReason())
	case allow && len(d.Missing) > 0:
		d.Detail = fmt.Sprintf("the server's answer contradicts itself: %v with missing permissions", in.GetEffect())
	case allow && d.Assignment != nil && d.Assignment.Effect != authz.AssignAllow:
		d.Detail = fmt.Sprintf("the server's answer contradicts itself: %v by an assignment of %v", in.GetEffect(), in.GetAssignment().GetEffect())
	default:
		return d
	}
	d.Reason = authz.Internal
	return d
}

func assignmentOf(in *pathgrantv1.DecidingAssignment) *Assignment {
	if in == nil {
		return nil
	}
	a := &Assignment{
		ID:                 in.GetId(),
		Principal:          authz.Principal{Type: principalTypeOf(in.GetPrincipal().GetType()), ID: in.GetPrincipal().GetId()},
		RoleDefinitionID:   in.GetRoleDefinitionId(),
		RoleDefinitionName: in.GetRoleDefinitionName(),
		Scope:              authz.Scope(in.GetScope()),
		Effect:             effectOf(in.GetEffect()),
	}
	if in.GetExpiresTime() != nil {
		a.Expires = in.GetExpiresTime().AsTime()
	}
	return a
}

func principalTypeOf(in pathgrantv1.PrincipalType) authz.PrincipalType {
	switch in {
	case pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER:
		return authz.User
	case pathgrantv1.PrincipalType_PRINCIPAL_TYPE_GROUP:
		return authz.Group
	case pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER:
		return authz.ApplicationUser
	case pathgrantv1.PrincipalType_PRINCIPAL_TYPE_DIRECTORY_ROLE:
		return authz.DirectoryRole
	case pathgrantv1.PrincipalType_PRINCIPAL_TYPE_TEAM:
		return authz.Team
	default:
		return authz.NoPrincipal
	}
}

func effectOf(in pathgrantv1.AssignmentEffect) authz.AssignmentEffect {
	switch in {
	case pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_ALLOW:
		return authz.AssignAllow
	case pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_DENY:
		return authz.AssignDeny
	case pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_FORBID:
		return authz.AssignForbid
	default:
		return authz.NoEffect
	}
}

func mappingOf(in *pathgrantv1.ResolveResponse) Mapping {
	m := Mapping{
		Permissions: textsOf[authz.Permission](in.GetPermissions()),
		Scopes:      textsOf[authz.Scope](in.GetScopes()),
		Rule:        in.GetRule(),
		Reason:      reasonOf(in.GetReason()),
		Detail:      in.GetDetail(),
	}
	switch in.GetDecidedBy() {
	case pathgrantv1.DecidedBy_DECIDED_BY_ROUTE:
		m.DecidedBy = "route"
	case pathgrantv1.DecidedBy_DECIDED_BY_CONVENTION:
		m.DecidedBy = "convention"
	default: // none that is known
	}
	return m
}

func textsOf[T ~string](in []string) []T {
	if len(in) == 0 {
		return nil
	}
	out := make([]T, len(in))
	for i, text := range in {
		out[i] = T(text)
	}
	return out
}

type decisionKey struct{}

// DecisionFrom returns the decision that let the request or the call pass to the handler
// that ctx is of. Without one it returns the zero Decision, which denies, and false.
func DecisionFrom(ctx context.Context) (Decision, bool) {
	d, ok := ctx.Value(decisionKey{}).(Decision)
	return d, ok
}

func withDecision(ctx context.Context, d Decision) context.Context {
	return context.WithValue(ctx, decisionKey{}, d)
}
