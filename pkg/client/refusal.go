package client

import (
	"encoding/json"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Detail is how much a refusal tells whoever asked. It never names what other principals
// hold.
type Detail uint8

// The levels of detail.
const (
	// DetailPermission names the missing permissions; the default.
	DetailPermission Detail = iota
	// DetailNone gives only the status, its code and the decision's identifier.
	DetailNone
	// DetailScope names the scopes too at which the permissions are missing.
	DetailScope
)

// A Refusal is why a request or a call was not let through.
type Refusal struct {
	// Decision is the denial; its reason is set and its ID empty where no server decided.
	Decision Decision
	// Err is why no server decided; nil where one did. It is for the log.
	Err error
}

// refusalOf turns a call's failure into a refusal. A message outside the server's limits is
// the asker's fault, everything else is ours.
func refusalOf(err error) Refusal {
	if status.Code(err) == codes.InvalidArgument {
		return Refusal{Decision: Decision{Reason: authz.BadRequest, Detail: "the request is outside the limits of the authorization service"}, Err: err}
	}
	return Refusal{Decision: Decision{Reason: authz.Internal, Detail: "the authorization service gave no answer"}, Err: err}
}

// HTTPStatus is the status to refuse an HTTP request with: 400, 401, 403 or 503.
func (r Refusal) HTTPStatus() int {
	switch r.Decision.Reason {
	case authz.BadRequest:
		return http.StatusBadRequest
	case authz.Unauthenticated:
		return http.StatusUnauthorized
	case authz.Stale, authz.NotReady, authz.Internal, authz.ReasonUnspecified, authz.Granted, authz.Public:
		return http.StatusServiceUnavailable
	default:
		return http.StatusForbidden
	}
}

// GRPCCode is the code to refuse a gRPC call with: INVALID_ARGUMENT, UNAUTHENTICATED,
// PERMISSION_DENIED or UNAVAILABLE.
func (r Refusal) GRPCCode() codes.Code {
	switch r.HTTPStatus() {
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	default:
		return codes.Unavailable
	}
}

// The body of a refusal, in the shape of the Power Platform API and of the answers that
// Pathgrant gives through a proxy.
type (
	errorBody struct {
		Error outerError `json:"error"`
	}
	outerError struct {
		Code       string     `json:"code"`
		Message    string     `json:"message"`
		Inner      innerError `json:"innererror"`
		DecisionID string     `json:"decisionId"`
	}
	innerError struct {
		Code    string             `json:"code"`
		Message string             `json:"message"`
		Reason  string             `json:"reason,omitempty"`
		Missing []authz.Permission `json:"missingPermissions,omitempty"`
		Scopes  []authz.Scope      `json:"scopes,omitempty"`
	}
)

// Body returns the JSON that says why, as much of it as the level of detail allows.
func (r Refusal) Body(detail Detail) []byte {
	code, message := r.outer()
	body := errorBody{outerError{
		Code: code, Message: message, DecisionID: r.Decision.ID,
		Inner: innerError{Code: r.innerCode(), Message: r.Message(detail)},
	}}
	if detail != DetailNone {
		body.Error.Inner.Reason = r.Decision.Reason.String()
		body.Error.Inner.Missing = r.Decision.Missing
	}
	if detail == DetailScope {
		body.Error.Inner.Scopes = r.Decision.Scopes
	}
	text, err := json.Marshal(body)
	if err != nil { // texts always marshal
		return []byte(`{"error":{"code":"ServiceUnavailable"}}`)
	}
	return text
}

// Message returns the sentence that says why, as much of it as the level of detail allows.
func (r Refusal) Message(detail Detail) string {
	d := r.Decision
	if detail == DetailNone {
		_, message := r.outer()
		return message
	}
	message := "Authorization denied: " + why(d)
	if detail == DetailScope && len(d.Missing) > 0 && len(d.Scopes) > 0 {
		message += ", at each of: [" + joined(d.Scopes) + "]"
	}
	return message
}

func why(d Decision) string {
	switch d.Reason {
	case authz.NoAssignment, authz.Overridden, authz.Forbidden, authz.Expired, authz.GroupsUnknown:
		if len(d.Missing) > 0 {
			return "Principal missing required permissions, all of: [" + joined(d.Missing) + "]"
		}
	case authz.DelegatedScopeMissing:
		return "Application missing required delegated permissions, all of: [" + joined(d.Missing) + "]"
	case authz.PrincipalDisabled:
		return "the caller's account is disabled"
	case authz.Unmapped:
		if d.Detail == "" {
			return "the request maps to no permission"
		}
	default: // the detail says it
	}
	if d.Detail != "" {
		return d.Detail
	}
	return d.Reason.String()
}

func joined[T ~string](all []T) string {
	texts := make([]string, len(all))
	for i, text := range all {
		texts[i] = string(text)
	}
	return strings.Join(texts, ", ")
}

func (r Refusal) outer() (code, message string) {
	switch r.HTTPStatus() {
	case http.StatusBadRequest:
		return "BadRequest", "The request is malformed or ambiguous."
	case http.StatusUnauthorized:
		return "Unauthorized", "The request is not authenticated."
	case http.StatusForbidden:
		return "Forbidden", "The caller is not authorized to perform the request."
	default:
		return "ServiceUnavailable", "The authorization service can't answer now."
	}
}

func (r Refusal) innerCode() string {
	switch r.Decision.Reason {
	case authz.NoAssignment, authz.Overridden, authz.Forbidden, authz.Expired, authz.GroupsUnknown:
		return "InsufficientPrincipalPermissions"
	case authz.DelegatedScopeMissing:
		return "InsufficientDelegatedPermissions"
	case authz.Unmapped:
		return "RequestNotMapped"
	case authz.BadRequest:
		return "RequestAmbiguous"
	case authz.Unauthenticated:
		return "InvalidAuthentication"
	case authz.CrossTenant:
		return "TenantMismatch"
	case authz.UnknownScope:
		return "ScopeNotFound"
	case authz.PrincipalDisabled:
		return "PrincipalDisabled"
	default:
		return "AuthorizationUnavailable"
	}
}
