package extauthz

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

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
	names  []string // of the headers that an allowed request carries, in lower case
	detail DenialDetail
	// What every allowed request loses, already written: with a caller, whose headers are
	// set, and without.
	removed, removedUnset []byte
	// The headers that an allowed request carries upstream.
	principal, principalType, tenant, permission, scope, decisionID, revision headerPart
	refusals                                                                  []refusal // by reason
}

func newEncoder(h Headers, detail DenialDetail) encoder {
	for _, name := range []*string{&h.Principal, &h.PrincipalType, &h.Tenant, &h.Permission, &h.Scope, &h.DecisionID, &h.Revision} {
		*name = strings.ToValidUTF8(strings.ToLower(*name), "")
	}
	e := encoder{names: h.names(), detail: detail}
	for _, name := range overriding {
		e.removed = appendText(e.removed, okRemovals, name)
	}
	e.principal, e.principalType, e.tenant = newHeaderPart(h.Principal), newHeaderPart(h.PrincipalType), newHeaderPart(h.Tenant)
	e.permission, e.scope = newHeaderPart(h.Permission), newHeaderPart(h.Scope)
	e.decisionID, e.revision = newHeaderPart(h.DecisionID), newHeaderPart(h.Revision)
	for _, reason := range append([]authz.Reason{authz.ReasonUnspecified}, authz.Reasons()...) {
		e.refusals = append(e.refusals, newRefusal(reason))
	}
	e.removedUnset = slices.Clone(e.removed)
	for _, name := range e.names {
		e.removedUnset = appendText(e.removedUnset, okRemovals, name)
	}
	return e
}

// An answered is an answer, with the texts in it that are needed twice.
type answered struct {
	*ask.Answer
	id          [32]byte
	revision    [41]byte // two numbers of 20 digits, at most, and a dot
	revisionLen int
	// Safe for a header; of the caller where there is one.
	permissions, scope, principal, tenant string
}

func (a *answered) idText() string       { return viewOf(a.id[:]) }
func (a *answered) revisionText() string { return viewOf(a.revision[:a.revisionLen]) }

// respond appends the response to dst.
func (e *encoder) respond(dst []byte, a *ask.Answer, headers []header, grpcCaller bool) []byte {
	var roomForPermissions, roomForScopes [256]byte
	t := answered{
		Answer:      a,
		permissions: joined(roomForPermissions[:0], a.Permissions), scope: joined(roomForScopes[:0], a.Scopes),
	}
	if a.Subject != nil {
		t.principal, t.tenant = madeSafe(a.Subject.Principal().ID), madeSafe(a.Subject.Tenant())
	}
	_, _ = a.DecisionID.AppendText(t.id[:0]) // never fails
	t.revisionLen = len(appendRevision(t.revision[:0], a.Revision))
	if a.Allowed() {
		return e.allowed(dst, &t, headers)
	}
	return e.denied(dst, &t, grpcCaller)
}

func (e *encoder) allowed(b []byte, a *answered, headers []header) []byte {
	b, status := begin(b, checkStatus) // its code, OK, is zero
	b = end(b, status)
	b, ok := beginLong(b, checkOK)
	removed := e.removedUnset
	if a.Subject != nil {
		removed = e.removed
		b = e.identity(b, a)
	}
	b = append(b, removed...)
	b = e.removals(b, headers)
	b = endLong(b, ok)
	return appendMetadata(b, a)
}

// identity appends the headers that say upstream who asked, for what.
func (e *encoder) identity(b []byte, a *answered) []byte {
	b = e.principal.appendSafe(b, a.principal)
	b = e.principalType.appendSafe(b, a.Subject.Principal().Type.String())
	b = e.tenant.appendSafe(b, a.tenant)
	b = e.permission.appendSafe(b, a.permissions)
	b = e.scope.appendSafe(b, a.scope)
	b = e.decisionID.appendSafe(b, a.idText())
	return e.revision.appendSafe(b, a.revisionText())
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

func (e *encoder) denied(b []byte, a *answered, grpcCaller bool) []byte {
	var f refusal
	if int(a.Reason) < len(e.refusals) {
		f = e.refusals[a.Reason]
	} else {
		f = newRefusal(a.Reason)
	}
	b = append(b, f.status...)
	b, denied := beginLong(b, checkDenied)
	b = append(b, f.httpStatus...)
	b = refusalID.appendSafe(b, a.idText())
	if !grpcCaller {
		b = append(b, refusalType...)
	}
	if a.InvalidCredentials {
		b = append(b, f.invalid...)
	} else {
		b = append(b, f.challenge...)
	}
	var room [512]byte
	message := e.appendMessage(room[:0], a.Answer)
	if grpcCaller {
		b = appendText(b, deniedBody, message) // Envoy turns it into grpc-message
	} else {
		var body int
		b, body = beginLong(b, deniedBody)
		b = endLong(e.appendBody(b, &f, message, a), body)
	}
	b = endLong(b, denied)
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
func (e *encoder) appendBody(b []byte, f *refusal, message []byte, a *answered) []byte {
	b = append(b, f.body...)
	b = appendJSON(b, message)
	if e.detail != DetailNone {
		b = append(b, f.reason...)
		b = appendJSONList(b, "missingPermissions", a.Missing)
	}
	if e.detail == DetailScope {
		b = appendJSONList(b, "scopes", a.Scopes)
	}
	b = append(b, `},"decisionId":"`...)
	return append(append(b, a.id[:]...), `"}}`...)
}

// appendMetadata appends what is for the proxy's access log and for filters behind this
// one; Envoy puts it under envoy.filters.http.ext_authz.
func appendMetadata(b []byte, a *answered) []byte {
	b, metadata := beginLong(b, checkMetadata)
	b = reasonEntry.appendSafe(b, a.Reason.String())
	b = idEntry.appendSafe(b, a.idText())
	b = revisionEntry.appendSafe(b, a.revisionText())
	if len(a.Permissions) > 0 {
		b = permissionEntry.appendSafe(b, a.permissions)
	}
	if len(a.Scopes) > 0 {
		b = scopeEntry.appendSafe(b, a.scope)
	}
	if a.Subject != nil {
		b = principalEntry.appendSafe(b, a.principal)
		b = tenantEntry.appendSafe(b, a.tenant)
	}
	if a.Assignment != nil {
		b = assignmentEntry.append(b, a.Assignment.AssignmentID)
	}
	return endLong(b, metadata)
}
