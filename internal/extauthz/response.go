package extauthz

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// DenialDetail is how much a refusal tells the caller. It never names what other
// principals hold.
type DenialDetail uint8

// The levels of detail.
const (
	// DetailPermission names the missing permissions; the default.
	DetailPermission DenialDetail = iota
	// DetailNone gives only the HTTP status, its code and the decision id.
	DetailNone
	// DetailScope names the scopes too at which the permissions are missing.
	DetailScope
)

// Headers are the names of the headers that an allowed request carries upstream. An
// empty name leaves that header out.
type Headers struct {
	Principal, PrincipalType, Tenant, Permission, Scope, DecisionID, Revision string
}

// DefaultHeaders returns the names that are used unless configured otherwise.
func DefaultHeaders() Headers {
	return Headers{
		Principal:     "x-pathgrant-principal",
		PrincipalType: "x-pathgrant-principal-type",
		Tenant:        "x-pathgrant-tenant",
		Permission:    "x-pathgrant-permission",
		Scope:         "x-pathgrant-scope",
		DecisionID:    "x-pathgrant-decision-id",
		Revision:      "x-pathgrant-revision",
	}
}

func (h Headers) names() []string {
	var names []string
	for _, name := range []string{h.Principal, h.PrincipalType, h.Tenant, h.Permission, h.Scope, h.DecisionID, h.Revision} {
		if name != "" {
			names = append(names, strings.ToLower(name))
		}
	}
	return names
}

// ownPrefix marks the headers that only Pathgrant may set.
const ownPrefix = "x-pathgrant-"

// overriding are the headers by which some upstreams replace the method, the path or
// the host that was checked. They never change the mapping, and are taken off an
// allowed request so that the upstream does not obey what was not checked.
var overriding = []string{
	"x-http-method-override", "x-http-method", "x-method-override",
	"x-original-url", "x-original-uri", "x-original-path", "x-original-method", "x-original-host",
	"x-rewrite-url", "x-rewrite-uri", "x-rewrite-path",
	"x-forwarded-uri", "x-forwarded-url", "x-forwarded-path", "x-forwarded-prefix", "x-forwarded-method", "x-forwarded-host",
}

// overridingPrefixes catch the spellings of such headers that are not listed.
var overridingPrefixes = []string{"x-original-", "x-rewrite-"}

// encoder turns answers into responses. Its methods always set a status, because Envoy
// reads a response without one as allow.
type encoder struct {
	headers Headers
	names   []string // of headers, lower case
	detail  DenialDetail
}

func (e *encoder) respond(a *ask.Answer, h headers, grpcCaller bool) *authv3.CheckResponse {
	if a.Allowed() {
		return e.allowed(a, h)
	}
	return e.denied(a, grpcCaller)
}

func (e *encoder) allowed(a *ask.Answer, h headers) *authv3.CheckResponse {
	ok := &authv3.OkHttpResponse{}
	set := map[string]bool{}
	if a.Subject != nil {
		principal := a.Subject.Principal()
		permissions, scopes := joinPermissions(a.Permissions, ","), joinScopes(a.Scopes, ",")
		for _, header := range []struct{ name, value string }{
			{e.headers.Principal, principal.ID},
			{e.headers.PrincipalType, principal.Type.String()},
			{e.headers.Tenant, a.Subject.Tenant()},
			{e.headers.Permission, permissions},
			{e.headers.Scope, scopes},
			{e.headers.DecisionID, a.DecisionID.String()},
			{e.headers.Revision, revisionText(a.Revision)},
		} {
			if header.name == "" {
				continue
			}
			set[strings.ToLower(header.name)] = true
			// Append stays unset: with it set, newer Envoys ignore the action, and an
			// action left at its zero value adds a second header after the client's.
			ok.Headers = append(ok.Headers, &corev3.HeaderValueOption{
				Header:       &corev3.HeaderValue{Key: strings.ToLower(header.name), Value: headerSafe(header.value)},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			})
		}
	}
	ok.HeadersToRemove = e.removals(h, set)
	return &authv3.CheckResponse{
		Status:          &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: dynamicMetadata(a),
	}
}

// removals are the identity headers that are not set, the overriding headers, and
// whatever else the client sent under our prefix.
func (e *encoder) removals(h headers, set map[string]bool) []string {
	remove := slices.Clone(overriding)
	for _, name := range e.names {
		if !set[name] {
			remove = append(remove, name)
		}
	}
	h.each(func(name string) {
		if set[name] || slices.Contains(remove, name) {
			return
		}
		if strings.HasPrefix(name, ownPrefix) || slices.ContainsFunc(overridingPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			remove = append(remove, name)
		}
	})
	return remove
}

func (e *encoder) denied(a *ask.Answer, grpcCaller bool) *authv3.CheckResponse {
	status := httpStatus(a.Reason)
	code := codes.PermissionDenied
	if status == http.StatusUnauthorized {
		code = codes.Unauthenticated
	}
	inner := e.innerError(a)
	response := &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(status)},
		Headers: []*corev3.HeaderValueOption{
			replyHeader("x-pathgrant-decision-id", a.DecisionID.String()),
		},
	}
	if grpcCaller {
		// Envoy turns the body into grpc-message.
		response.Body = inner.Message
	} else {
		response.Headers = append(response.Headers, replyHeader("content-type", "application/json; charset=utf-8"))
		response.Body = errorBody(status, inner, a)
	}
	if status == http.StatusUnauthorized {
		challenge := `Bearer realm="pathgrant"`
		if a.InvalidCredentials {
			challenge += `, error="invalid_token"`
		}
		response.Headers = append(response.Headers, replyHeader("www-authenticate", challenge))
	}
	return &authv3.CheckResponse{
		Status:          &rpcstatus.Status{Code: int32(code), Message: a.Reason.String()},
		HttpResponse:    &authv3.CheckResponse_DeniedResponse{DeniedResponse: response},
		DynamicMetadata: dynamicMetadata(a),
	}
}

func replyHeader(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// httpStatus is the status that a refusal is answered with. What is not listed is 403,
// so that a reason added later refuses.
func httpStatus(r authz.Reason) int {
	switch r {
	case authz.BadRequest:
		return http.StatusBadRequest
	case authz.Unauthenticated:
		return http.StatusUnauthorized
	case authz.Stale, authz.NotReady, authz.Internal, authz.ReasonUnspecified:
		return http.StatusServiceUnavailable
	default:
		return http.StatusForbidden
	}
}

// innerError is the part of the error body that says why, in the shape of the Power
// Platform API.
type innerError struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Reason  string   `json:"reason,omitempty"`
	Missing []string `json:"missingPermissions,omitempty"`
	Scopes  []string `json:"scopes,omitempty"`
}

func (e *encoder) innerError(a *ask.Answer) innerError {
	inner := innerError{Code: errorCode(a.Reason), Message: errorMessage(a)}
	if e.detail == DetailNone {
		inner.Message = outerMessage(httpStatus(a.Reason))
		return inner
	}
	inner.Reason = a.Reason.String()
	for _, permission := range a.Missing {
		inner.Missing = append(inner.Missing, string(permission))
	}
	if e.detail == DetailScope {
		for _, scope := range a.Scopes {
			inner.Scopes = append(inner.Scopes, string(scope))
		}
		if len(a.Missing) > 0 && len(a.Scopes) > 0 {
			inner.Message += ", at each of: [" + joinScopes(a.Scopes, ", ") + "]"
		}
	}
	return inner
}

func errorCode(r authz.Reason) string {
	switch r {
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

func errorMessage(a *ask.Answer) string {
	switch a.Reason {
	case authz.NoAssignment, authz.Overridden, authz.Forbidden, authz.Expired, authz.GroupsUnknown:
		if len(a.Missing) > 0 {
			return "Authorization denied: Principal missing required permissions, all of: [" + joinPermissions(a.Missing, ", ") + "]"
		}
	case authz.DelegatedScopeMissing:
		return "Authorization denied: Application missing required delegated permissions, all of: [" + joinPermissions(a.Missing, ", ") + "]"
	case authz.PrincipalDisabled:
		return "Authorization denied: the caller's account is disabled"
	case authz.Unmapped:
		if a.Detail == "" {
			return "Authorization denied: the request maps to no permission"
		}
	default: // the detail says it
	}
	if a.Detail != "" {
		return "Authorization denied: " + a.Detail
	}
	return "Authorization denied: " + a.Reason.String()
}

func outerMessage(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "The request is malformed or ambiguous."
	case http.StatusUnauthorized:
		return "The request is not authenticated."
	case http.StatusServiceUnavailable:
		return "The authorization service can't answer now."
	default:
		return "The caller is not authorized to perform the request."
	}
}

func outerCode(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "BadRequest"
	case http.StatusUnauthorized:
		return "Unauthorized"
	case http.StatusServiceUnavailable:
		return "ServiceUnavailable"
	default:
		return "Forbidden"
	}
}

func errorBody(status int, inner innerError, a *ask.Answer) string {
	type outer struct {
		Code       string     `json:"code"`
		Message    string     `json:"message"`
		Inner      innerError `json:"innererror"`
		DecisionID string     `json:"decisionId"`
	}
	body, err := json.Marshal(struct {
		Error outer `json:"error"`
	}{outer{outerCode(status), outerMessage(status), inner, a.DecisionID.String()}})
	if err != nil { // strings always marshal
		return `{"error":{"code":"` + outerCode(status) + `"}}`
	}
	return string(body)
}

// dynamicMetadata is for the proxy's access log and for filters behind this one; Envoy
// puts it under envoy.filters.http.ext_authz.
func dynamicMetadata(a *ask.Answer) *structpb.Struct {
	fields := map[string]*structpb.Value{
		"reason":      structpb.NewStringValue(a.Reason.String()),
		"decision_id": structpb.NewStringValue(a.DecisionID.String()),
		"revision":    structpb.NewStringValue(revisionText(a.Revision)),
	}
	text := func(key, value string) {
		if value != "" {
			fields[key] = structpb.NewStringValue(headerSafe(value))
		}
	}
	text("permission", joinPermissions(a.Permissions, ","))
	text("scope", joinScopes(a.Scopes, ","))
	if a.Subject != nil {
		text("principal", a.Subject.Principal().ID)
		text("tenant", a.Subject.Tenant())
	}
	if a.Assignment != nil {
		text("assignment_id", a.Assignment.AssignmentID)
	}
	return &structpb.Struct{Fields: fields}
}

func revisionText(r authz.Revision) string { return fmt.Sprintf("%d.%d", r.Epoch, r.Number) }

func joinPermissions(all []authz.Permission, separator string) string {
	var b strings.Builder
	for i, permission := range all {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(string(permission))
	}
	return b.String()
}

func joinScopes(all []authz.Scope, separator string) string {
	var b strings.Builder
	for i, scope := range all {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(string(scope))
	}
	return b.String()
}

// headerSafe escapes every byte that may not stand in a header's value, and the percent
// sign, so that a principal's name can neither end the header nor imitate an escape.
func headerSafe(value string) string {
	safe := func(c byte) bool { return c > 0x20 && c < 0x7F && c != '%' }
	i := 0
	for i < len(value) && safe(value[i]) {
		i++
	}
	if i == len(value) {
		return value
	}
	var b strings.Builder
	b.WriteString(value[:i])
	for ; i < len(value); i++ {
		if safe(value[i]) {
			b.WriteByte(value[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", value[i])
		}
	}
	return b.String()
}
