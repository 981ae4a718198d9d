package extauthz

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

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

// The fields of the messages that are written, by their numbers in the protos.
const (
	checkStatus   = 1 // CheckResponse.status
	checkDenied   = 2 // CheckResponse.denied_response
	checkOK       = 3 // CheckResponse.ok_response
	checkMetadata = 4 // CheckResponse.dynamic_metadata

	statusCode    = 1 // google.rpc.Status.code
	statusMessage = 2 // google.rpc.Status.message

	replyHeaders   = 2 // OkHttpResponse.headers and DeniedHttpResponse.headers
	okRemovals     = 5 // OkHttpResponse.headers_to_remove
	deniedStatus   = 1 // DeniedHttpResponse.status
	deniedBody     = 3 // DeniedHttpResponse.body
	httpStatusCode = 1 // HttpStatus.code
	optionHeader   = 1 // HeaderValueOption.header
	optionAction   = 3 // HeaderValueOption.append_action
	headerKey      = 1 // HeaderValue.key
	headerValue    = 2 // HeaderValue.value
	structFields   = 1 // Struct.fields
	entryKey       = 1 // of a map's entry
	entryValue     = 2 // of a map's entry
	valueString    = 3 // Value.string_value
	overwriteOrAdd = uint64(corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
)

// encoder writes answers as CheckResponse messages. Its methods begin with the status,
// because Envoy reads a response without one as allow.
type encoder struct {
	headers Headers  // lower case
	names   []string // of headers
	detail  DenialDetail
	// What every allowed request loses, already written: with a caller, whose headers are
	// set, and without.
	removed, removedUnset []byte
}

func newEncoder(h Headers, detail DenialDetail) encoder {
	for _, name := range []*string{&h.Principal, &h.PrincipalType, &h.Tenant, &h.Permission, &h.Scope, &h.DecisionID, &h.Revision} {
		*name = strings.ToLower(*name)
	}
	e := encoder{headers: h, names: h.names(), detail: detail}
	for _, name := range overriding {
		e.removed = appendText(e.removed, okRemovals, name)
	}
	e.removedUnset = slices.Clone(e.removed)
	for _, name := range e.names {
		e.removedUnset = appendText(e.removedUnset, okRemovals, name)
	}
	return e
}

// respond appends the response to dst.
func (e *encoder) respond(dst []byte, a *ask.Answer, headers []header, grpcCaller bool) []byte {
	if a.Allowed() {
		return e.allowed(dst, a, headers)
	}
	return e.denied(dst, a, grpcCaller)
}

func (e *encoder) allowed(b []byte, a *ask.Answer, headers []header) []byte {
	b, status := begin(b, checkStatus) // its code, OK, is zero
	b = end(b, status)
	b, ok := begin(b, checkOK)
	removed := e.removedUnset
	if a.Subject != nil {
		removed = e.removed
		b = e.identity(b, a)
	}
	b = append(b, removed...)
	b = e.removals(b, headers)
	b = end(b, ok)
	return appendMetadata(b, a)
}

// identity appends the headers that say upstream who asked, for what.
func (e *encoder) identity(b []byte, a *ask.Answer) []byte {
	principal := a.Subject.Principal()
	for _, h := range [...]struct{ name, value string }{
		{e.headers.Principal, principal.ID},
		{e.headers.PrincipalType, principal.Type.String()},
		{e.headers.Tenant, a.Subject.Tenant()},
	} {
		if h.name != "" {
			var at marks
			b, at = beginHeader(b, h.name)
			b = endHeader(appendHeaderSafe(b, h.value), at)
		}
	}
	if e.headers.Permission != "" {
		var at marks
		b, at = beginHeader(b, e.headers.Permission)
		b = endHeader(appendJoinedSafe(b, a.Permissions), at)
	}
	if e.headers.Scope != "" {
		var at marks
		b, at = beginHeader(b, e.headers.Scope)
		b = endHeader(appendJoinedSafe(b, a.Scopes), at)
	}
	if e.headers.DecisionID != "" {
		b = appendIDHeader(b, e.headers.DecisionID, a.DecisionID)
	}
	if e.headers.Revision != "" {
		var at marks
		b, at = beginHeader(b, e.headers.Revision)
		b = endHeader(appendRevision(b, a.Revision), at)
	}
	return b
}

// marks are where the three nested parts of a header, or of a Struct's field, begin.
type marks struct{ outer, inner, value int }

// beginHeader begins a header that overwrites one of the same name. "append" stays unset:
// with it set, newer Envoys ignore the action, and an action left at its zero value adds
// a second header after the client's.
func beginHeader(b []byte, name string) ([]byte, marks) {
	var at marks
	b, at.outer = begin(b, replyHeaders)
	b, at.inner = begin(b, optionHeader)
	b = appendText(b, headerKey, name)
	b, at.value = begin(b, headerValue)
	return b, at
}

func endHeader(b []byte, at marks) []byte {
	b = end(end(b, at.value), at.inner)
	b = protowire.AppendTag(b, optionAction, protowire.VarintType)
	return end(protowire.AppendVarint(b, overwriteOrAdd), at.outer)
}

func appendHeader(b []byte, name, value string) []byte {
	b, at := beginHeader(b, name)
	return endHeader(append(b, value...), at)
}

func appendIDHeader(b []byte, name string, id ask.DecisionID) []byte {
	b, at := beginHeader(b, name)
	return endHeader(appendID(b, id), at)
}

func appendID(b []byte, id ask.DecisionID) []byte {
	b, _ = id.AppendText(b) // never fails
	return b
}

func appendRevision(b []byte, r authz.Revision) []byte {
	b = append(strconv.AppendUint(b, r.Epoch, 10), '.')
	return strconv.AppendUint(b, r.Number, 10)
}

// removals appends what the client sent under our prefix, and the overriding headers that
// are not listed. What is set, or removed already, is left out.
func (e *encoder) removals(b []byte, headers []header) []byte {
	for i := range headers {
		name := headers[i].name
		if !strings.HasPrefix(name, "x-") ||
			!strings.HasPrefix(name, ownPrefix) && !slices.ContainsFunc(overridingPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) ||
			slices.Contains(overriding, name) || slices.Contains(e.names, name) ||
			slices.ContainsFunc(headers[:i], func(h header) bool { return h.name == name }) {
			continue
		}
		b = appendText(b, okRemovals, name)
	}
	return b
}

func (e *encoder) denied(b []byte, a *ask.Answer, grpcCaller bool) []byte {
	status := httpStatus(a.Reason)
	code := codes.PermissionDenied
	if status == http.StatusUnauthorized {
		code = codes.Unauthenticated
	}
	b, at := begin(b, checkStatus)
	b = protowire.AppendVarint(protowire.AppendTag(b, statusCode, protowire.VarintType), uint64(code))
	b = end(appendText(b, statusMessage, a.Reason.String()), at)

	b, denied := begin(b, checkDenied)
	b, at = begin(b, deniedStatus)
	b = protowire.AppendVarint(protowire.AppendTag(b, httpStatusCode, protowire.VarintType), uint64(status))
	b = end(b, at)
	b = appendIDHeader(b, "x-pathgrant-decision-id", a.DecisionID)
	if !grpcCaller {
		b = appendHeader(b, "content-type", "application/json; charset=utf-8")
	}
	switch {
	case status != http.StatusUnauthorized:
	case a.InvalidCredentials:
		b = appendHeader(b, "www-authenticate", `Bearer realm="pathgrant", error="invalid_token"`)
	default:
		b = appendHeader(b, "www-authenticate", `Bearer realm="pathgrant"`)
	}
	var room [512]byte
	message := e.appendMessage(room[:0], a)
	if grpcCaller {
		b = appendText(b, deniedBody, message) // Envoy turns it into grpc-message
	} else {
		b, at = begin(b, deniedBody)
		b = end(e.appendBody(b, status, message, a), at)
	}
	b = end(b, denied)
	return appendMetadata(b, a)
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

// appendMessage appends the sentence that says why, as much of it as the caller is told.
func (e *encoder) appendMessage(b []byte, a *ask.Answer) []byte {
	if e.detail == DetailNone {
		return append(b, outerMessage(httpStatus(a.Reason))...)
	}
	b = append(b, "Authorization denied: "...)
	b = appendWhy(b, a)
	if e.detail == DetailScope && len(a.Missing) > 0 && len(a.Scopes) > 0 {
		b = append(b, ", at each of: ["...)
		b = append(appendJoined(b, a.Scopes, ", "), ']')
	}
	return b
}

func appendWhy(b []byte, a *ask.Answer) []byte {
	switch a.Reason {
	case authz.NoAssignment, authz.Overridden, authz.Forbidden, authz.Expired, authz.GroupsUnknown:
		if len(a.Missing) > 0 {
			b = append(b, "Principal missing required permissions, all of: ["...)
			return append(appendJoined(b, a.Missing, ", "), ']')
		}
	case authz.DelegatedScopeMissing:
		b = append(b, "Application missing required delegated permissions, all of: ["...)
		return append(appendJoined(b, a.Missing, ", "), ']')
	case authz.PrincipalDisabled:
		return append(b, "the caller's account is disabled"...)
	case authz.Unmapped:
		if a.Detail == "" {
			return append(b, "the request maps to no permission"...)
		}
	default: // the detail says it
	}
	if a.Detail != "" {
		return append(b, a.Detail...)
	}
	return append(b, a.Reason.String()...)
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

// appendBody appends the body of a refusal, in the shape of the Power Platform API.
func (e *encoder) appendBody(b []byte, status int, message []byte, a *ask.Answer) []byte {
	b = append(b, `{"error":{"code":`...)
	b = appendJSON(b, outerCode(status))
	b = append(b, `,"message":`...)
	b = appendJSON(b, outerMessage(status))
	b = append(b, `,"innererror":{"code":`...)
	b = appendJSON(b, errorCode(a.Reason))
	b = append(b, `,"message":`...)
	b = appendJSON(b, message)
	if e.detail != DetailNone {
		b = append(b, `,"reason":`...)
		b = appendJSON(b, a.Reason.String())
		b = appendJSONList(b, "missingPermissions", a.Missing)
	}
	if e.detail == DetailScope {
		b = appendJSONList(b, "scopes", a.Scopes)
	}
	b = append(b, `},"decisionId":"`...)
	return append(appendID(b, a.DecisionID), `"}}`...)
}

// appendMetadata appends what is for the proxy's access log and for filters behind this
// one; Envoy puts it under envoy.filters.http.ext_authz.
func appendMetadata(b []byte, a *ask.Answer) []byte {
	b, metadata := begin(b, checkMetadata)
	b, at := beginEntry(b, "reason")
	b = endEntry(append(b, a.Reason.String()...), at)
	b, at = beginEntry(b, "decision_id")
	b = endEntry(appendID(b, a.DecisionID), at)
	b, at = beginEntry(b, "revision")
	b = endEntry(appendRevision(b, a.Revision), at)
	if len(a.Permissions) > 0 {
		b, at = beginEntry(b, "permission")
		b = endEntry(appendJoinedSafe(b, a.Permissions), at)
	}
	if len(a.Scopes) > 0 {
		b, at = beginEntry(b, "scope")
		b = endEntry(appendJoinedSafe(b, a.Scopes), at)
	}
	if a.Subject != nil {
		b = appendEntry(b, "principal", a.Subject.Principal().ID)
		b = appendEntry(b, "tenant", a.Subject.Tenant())
	}
	if a.Assignment != nil {
		b = appendEntry(b, "assignment_id", a.Assignment.AssignmentID)
	}
	return end(b, metadata)
}

// beginEntry begins a text in a Struct.
func beginEntry(b []byte, key string) ([]byte, marks) {
	var at marks
	b, at.outer = begin(b, structFields)
	b = appendText(b, entryKey, key)
	b, at.inner = begin(b, entryValue)
	b, at.value = begin(b, valueString)
	return b, at
}

func endEntry(b []byte, at marks) []byte { return end(end(end(b, at.value), at.inner), at.outer) }

func appendEntry(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b, at := beginEntry(b, key)
	return endEntry(appendHeaderSafe(b, value), at)
}
