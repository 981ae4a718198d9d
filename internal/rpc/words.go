package rpc

import (
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// reason finds the reason of the same name; one that the contract does not have is
// REASON_INTERNAL, never an allowing one.
func reason(r authz.Reason) pathgrantv1.Reason {
	if value, ok := pathgrantv1.Reason_value["REASON_"+r.String()]; ok {
		return pathgrantv1.Reason(value)
	}
	return pathgrantv1.Reason_REASON_INTERNAL
}

var principalTypes = map[authz.PrincipalType]pathgrantv1.PrincipalType{
	authz.User:            pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER,
	authz.Group:           pathgrantv1.PrincipalType_PRINCIPAL_TYPE_GROUP,
	authz.ApplicationUser: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER,
	authz.DirectoryRole:   pathgrantv1.PrincipalType_PRINCIPAL_TYPE_DIRECTORY_ROLE,
	authz.Team:            pathgrantv1.PrincipalType_PRINCIPAL_TYPE_TEAM,
}

func principal(in *pathgrantv1.Principal) authz.Principal {
	for ours, theirs := range principalTypes {
		if theirs == in.GetType() {
			return authz.Principal{Type: ours, ID: in.GetId()}
		}
	}
	return authz.Principal{ID: in.GetId()}
}

var assignmentEffects = map[authz.AssignmentEffect]pathgrantv1.AssignmentEffect{
	authz.AssignAllow:  pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_ALLOW,
	authz.AssignDeny:   pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_DENY,
	authz.AssignForbid: pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_FORBID,
}

func decidedBy(step string) pathgrantv1.DecidedBy {
	switch step {
	case "route":
		return pathgrantv1.DecidedBy_DECIDED_BY_ROUTE
	case "convention":
		return pathgrantv1.DecidedBy_DECIDED_BY_CONVENTION
	default:
		return pathgrantv1.DecidedBy_DECIDED_BY_UNSPECIFIED
	}
}

func permissionNames(all []authz.Permission) []string {
	names := make([]string, 0, len(all))
	for _, permission := range all {
		names = append(names, string(permission))
	}
	return names
}

// scopeTexts copies the texts, because an answer's scopes may point into its buffer.
func scopeTexts(all []authz.Scope) []string {
	texts := make([]string, 0, len(all))
	for _, scope := range all {
		texts = append(texts, string(append([]byte(nil), scope...)))
	}
	return texts
}
