package rest

import (
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A problem is one way in which a request fails, as a client can tell it apart.
type problem struct {
	status int
	code   string
	// message is the outer message; empty: what is wrong with this request is.
	message string
	// inner is the code of the inner error, whose message says what is wrong with this
	// request; empty: there is no inner error.
	inner string
}

const (
	malformed = "The request is malformed or ambiguous."
	forbidden = "The caller is not authorized to perform the request."
	conflict  = "The request conflicts with what there is."
)

// The problems with codes of the Power Platform API.
var (
	routeNotFound             = &problem{http.StatusNotFound, "RouteNotFound", "", ""}
	apiVersionUnsupported     = &problem{http.StatusBadRequest, "ApiVersionUnsupportedForResource", "", ""}
	wrongResourceType         = &problem{http.StatusBadRequest, "WrongResourceTypeForUrlContext", "", ""}
	principalMissing          = &problem{http.StatusBadRequest, "PrincipalDoesNotExist", "", ""}
	environmentInvalid        = &problem{http.StatusBadRequest, "EndpointInvalid", "The request's endpoint is not valid.", "EnvironmentIdInvalid"}
	environmentGroupInvalid   = &problem{http.StatusBadRequest, "EndpointInvalid", "The request's endpoint is not valid.", "EnvironmentGroupIdInvalid"}
	invalidAudience           = &problem{http.StatusUnauthorized, "InvalidAudience", "", ""}
	insufficientDelegated     = &problem{http.StatusForbidden, "Forbidden", forbidden, "InsufficientDelegatedPermissions"}
	insufficientPrincipal     = &problem{http.StatusForbidden, "Forbidden", forbidden, "InsufficientPrincipalPermissions"}
	roleAssignmentMissing     = &problem{http.StatusNotFound, "RoleAssignmentNotFound", "", ""}
	duplicateAssignment       = &problem{http.StatusConflict, "Conflict", conflict, "RoleAssignmentExists"}
	internalServerError       = &problem{http.StatusInternalServerError, "InternalServerError", "", ""}
	authorizationUnauthorized = &problem{http.StatusUnauthorized, "Unauthorized", "The request is not authenticated.", "InvalidAuthentication"}
)

// The problems with codes of Pathgrant's own.
var (
	methodNotAllowed      = &problem{http.StatusMethodNotAllowed, "MethodNotAllowed", "", ""}
	unsupportedMediaType  = &problem{http.StatusUnsupportedMediaType, "UnsupportedMediaType", "", ""}
	queryInvalid          = &problem{http.StatusBadRequest, "BadRequest", malformed, "InvalidQuery"}
	bodyInvalid           = &problem{http.StatusBadRequest, "BadRequest", malformed, "InvalidBody"}
	scopeInvalid          = &problem{http.StatusBadRequest, "BadRequest", malformed, "ScopeNotFound"}
	roleDefinitionMissing = &problem{http.StatusBadRequest, "RoleDefinitionDoesNotExist", "", ""}
	roleNotAssignable     = &problem{http.StatusBadRequest, "RoleDefinitionNotAssignable", "", ""}
	principalDisabled     = &problem{http.StatusBadRequest, "PrincipalDisabled", "", ""}
	tenantMismatch        = &problem{http.StatusForbidden, "Forbidden", forbidden, "TenantMismatch"}
	notMapped             = &problem{http.StatusForbidden, "Forbidden", forbidden, "RequestNotMapped"}
	operatorRequired      = &problem{http.StatusForbidden, "Forbidden", forbidden, "OperatorRequired"}
	operatorRefused       = &problem{http.StatusForbidden, "Forbidden", forbidden, "OperatorHasNoTenant"}
	selfEscalation        = &problem{http.StatusForbidden, "Forbidden", forbidden, "SelfEscalation"}
	escalation            = &problem{http.StatusForbidden, "Forbidden", forbidden, "Escalation"}
	notFound              = &problem{http.StatusNotFound, "NotFound", "", ""}
	lastAdministrator     = &problem{http.StatusConflict, "Conflict", conflict, "LastAdministrator"}
	readOnlySource        = &problem{http.StatusConflict, "Conflict", conflict, "ReadOnlySource"}
	notEmpty              = &problem{http.StatusConflict, "Conflict", conflict, "NotEmpty"}
	otherConflict         = &problem{http.StatusConflict, "Conflict", conflict, "Conflict"}
	throttled             = &problem{http.StatusTooManyRequests, "TooManyRequests", "", ""}
	serviceUnavailable    = &problem{http.StatusServiceUnavailable, "ServiceUnavailable", "", ""}
)

// A failure is a problem with what is wrong this time.
type failure struct {
	*problem
	detail string
	cause  error // for the log
}

func (p *problem) of(detail string) *failure { return &failure{problem: p, detail: detail} }

// Error returns the codes and what is wrong.
func (f *failure) Error() string { return f.code + " " + f.inner + ": " + f.detail }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.cause }

// body is the failure as it is sent.
func (f *failure) body() errorBody {
	if f.inner == "" {
		return errorBody{Code: f.code, Message: f.detail}
	}
	return errorBody{Code: f.code, Message: f.message, Inner: &innerError{Code: f.inner, Message: f.detail}}
}

// everyPermission stands in every list of missing permissions that the Power Platform API
// prints. No catalogue can declare it, so nobody holds it.
const everyPermission = "All.All.ReadWrite"

func missing(of string, permissions []authz.Permission) string {
	var b strings.Builder
	b.WriteString("Authorization denied: " + of + ": [")
	for _, p := range permissions {
		b.WriteString(string(p))
		b.WriteString(", ")
	}
	b.WriteString(everyPermission)
	b.WriteString("]")
	return b.String()
}

// unidentified turns an error of whoever says who calls into a failure.
func unidentified(err error) *failure {
	var e *admin.Error
	if !errors.As(err, &e) {
		return &failure{internalServerError, "The request could not be carried out; the log says why.", err}
	}
	switch e.Kind {
	case admin.Unauthenticated:
		var invalid *identity.InvalidError
		if errors.As(err, &invalid) && strings.Contains(invalid.Detail, "audience") {
			return &failure{invalidAudience, "The token is not meant for this service: " + invalid.Detail + ".", err}
		}
	case admin.Forbidden:
		if len(e.Missing) > 0 {
			return &failure{insufficientDelegated, missing("Application missing required delegated permissions", e.Missing), err}
		}
		return &failure{notMapped, e.Error(), err}
	default: // the same as from anywhere else
	}
	return failureOf(nil, err)
}

// failureOf turns an error of administration into a failure. What it says of the data of
// others, and of what the Power Platform API does not know, is left out.
func failureOf(o *operation, err error) *failure {
	var known *failure
	if errors.As(err, &known) {
		return known
	}
	var e *admin.Error
	if !errors.As(err, &e) {
		return &failure{internalServerError, "The request could not be carried out; the log says why.", err}
	}
	p, detail := translate(o, e)
	return &failure{p, detail, err}
}

func translate(o *operation, e *admin.Error) (*problem, string) {
	text := e.Error()
	switch e.Kind {
	case admin.Unauthenticated:
		return authorizationUnauthorized, text
	case admin.Throttled:
		return throttled, text
	case admin.OperatorRequired:
		return operatorRequired, text
	case admin.CrossTenant:
		return tenantMismatch, "The scope is of another tenant than the caller."
	case admin.Forbidden:
		if len(e.Missing) == 0 {
			return operatorRefused, text
		}
		return insufficientPrincipal, missing("Principal missing required permissions", e.Missing)
	case admin.BeneathDeny: // what is in the way has no name here
		return insufficientPrincipal, missing("Principal missing required permissions", e.Missing)
	case admin.SelfEscalation:
		return selfEscalation, "Authorization denied: the caller, or what it belongs to or owns, would gain by the change; let somebody else make it."
	case admin.Escalation:
		return escalation, "Authorization denied: somebody would get what the caller does not hold."
	case admin.LastAdministrator:
		return lastAdministrator, text
	case admin.Invalid:
		field := wireField(o, e.Field)
		if strings.HasPrefix(field, "$") || o != nil && o.request == nil {
			return queryInvalid, field + ": " + text
		}
		return bodyInvalid, field + ": " + text
	case admin.NotFound:
		if o != nil && o.Method == http.MethodDelete {
			return roleAssignmentMissing, "There is no such role assignment at the scope that the path names."
		}
		return notFound, "There is no such thing."
	case admin.ScopeUnknown:
		return unknownScope(e), text
	case admin.RoleUnknown:
		return roleDefinitionMissing, wireField(o, "Role") + ": there is no such role definition; name a built-in one by its identifier"
	case admin.PrincipalUnknown:
		return principalMissing, wireField(o, e.Field) + ": " + text
	case admin.PrincipalDisabled:
		return principalDisabled, wireField(o, e.Field) + ": " + text
	case admin.NotAssignable:
		return roleNotAssignable, wireField(o, e.Field) + ": " + text
	case admin.Duplicate: // which one is not said: it may be one that has no name here
		return duplicateAssignment, "The principal is assigned the role at the scope already."
	case admin.ReadOnlySource:
		return readOnlySource, text
	case admin.NotEmpty:
		return notEmpty, text
	case admin.InUse, admin.Immutable, admin.Circle, admin.EtagRequired, admin.EtagMismatch, admin.RequestIDReused, admin.Compacted:
		return otherConflict, text
	case admin.Unavailable:
		return serviceUnavailable, text
	case admin.Internal:
	}
	return internalServerError, "The request could not be carried out; the log says why."
}

func unknownScope(e *admin.Error) *problem {
	_, named, err := authz.ParseScope(string(e.Scope), false)
	switch {
	case err != nil:
	case named.Kind == authz.EnvironmentGroupScope:
		return environmentGroupInvalid
	case named.Kind == authz.EnvironmentScope:
		return environmentInvalid
	}
	return scopeInvalid
}

// wireField is the name that a field of a request of admin has for the client.
func wireField(o *operation, field string) string {
	name, rest, _ := strings.Cut(field, "[")
	if rest != "" {
		rest = "[" + rest
	}
	if o != nil && o.request != nil {
		for f := range fields(o.request) {
			if f.Tag.Get("admin") == name {
				return f.Tag.Get("json") + rest
			}
		}
	}
	switch name {
	case "Page.Token":
		return skipToken.name
	case "ID":
		return "roleAssignmentId"
	case "Size":
		return "limit"
	case "":
		return "the request"
	}
	return strings.ToLower(name[:1]) + name[1:] + rest
}

// fields yields the fields of a struct.
func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}
