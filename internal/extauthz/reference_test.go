package extauthz

// What the scan and the encoder are compared with: the same, written with the generated
// messages.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// referenceHeaders gives the request's headers by lower-case name, whichever of its two forms
// the proxy filled: "headers" joins repeated ones with a comma, "header_map" keeps them
// apart.
type referenceHeaders struct {
	joined map[string]string
	list   []*corev3.HeaderValue
}

// readHeaders checks that the two forms, where both are filled, say the same.
func readHeaders(http *authv3.AttributeContext_HttpRequest) (referenceHeaders, error) {
	h := referenceHeaders{joined: http.GetHeaders(), list: http.GetHeaderMap().GetHeaders()}
	for _, header := range h.list {
		if header.GetValue() != "" && len(header.GetRawValue()) > 0 && header.GetValue() != string(header.GetRawValue()) {
			return referenceHeaders{}, errHeaderTwoValues
		}
		if header.GetKey() != strings.ToLower(header.GetKey()) {
			return referenceHeaders{}, errUnreadableHeader
		}
	}
	for name := range h.joined {
		if name != strings.ToLower(name) {
			return referenceHeaders{}, errUnreadableHeader
		}
	}
	if len(h.joined) == 0 || len(h.list) == 0 {
		return h, nil
	}
	joined := make(map[string]string, len(h.joined))
	for _, header := range h.list {
		value := valueOf(header)
		if earlier, ok := joined[header.GetKey()]; ok {
			value = earlier + "," + value
		}
		joined[header.GetKey()] = value
	}
	if len(joined) != len(h.joined) {
		return referenceHeaders{}, errHeadersDisagree
	}
	for name, value := range h.joined {
		if other, ok := joined[name]; !ok || other != value {
			return referenceHeaders{}, errHeadersDisagree
		}
	}
	return h, nil
}

func valueOf(header *corev3.HeaderValue) string {
	if raw := header.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return header.GetValue()
}

// values returns all values of a header.
func (h referenceHeaders) values(name string) []string {
	if len(h.list) == 0 {
		if value, ok := h.joined[name]; ok {
			return []string{value}
		}
		return nil
	}
	var all []string
	for _, header := range h.list {
		if header.GetKey() == name {
			all = append(all, valueOf(header))
		}
	}
	return all
}

// value returns a header's one value, or its values joined with commas.
func (h referenceHeaders) value(name string) string { return strings.Join(h.values(name), ",") }

// each calls f with every header's name.
func (h referenceHeaders) each(f func(name string)) {
	if len(h.list) > 0 {
		for _, header := range h.list {
			f(header.GetKey())
		}
		return
	}
	for name := range h.joined {
		f(name)
	}
}

// requestFrom reads what a decision needs out of a check. It refuses what it cannot
// read; the error is for the log and the answer's detail.
func requestFrom(in *authv3.CheckRequest) (*ask.Request, referenceHeaders, error) {
	attributes := in.GetAttributes()
	http := attributes.GetRequest().GetHttp()
	if http == nil {
		return nil, referenceHeaders{}, errNoHTTP
	}
	h, err := readHeaders(http)
	if err != nil {
		return nil, referenceHeaders{}, err
	}
	extensions := attributes.GetContextExtensions()
	contentType := h.value("content-type")
	r := &ask.Request{
		Adapter:            Adapter,
		HTTP:               true,
		Method:             http.GetMethod(),
		Host:               http.GetHost(),
		Path:               http.GetPath(),
		GRPC:               isGRPC(contentType),
		Header:             h.value,
		ContextExtension:   func(name string) string { return extensions[name] },
		Catalogue:          extensions[catalogueExtension],
		PermissionOverride: extensions[permissionExtension],
		Credentials: ask.Credentials{
			Authorization: h.values("authorization"),
			Principal:     attributes.GetSource().GetPrincipal(),
			Metadata:      metadataOf(attributes.GetMetadataContext()),
			Header:        h.values,
		},
	}
	if !utf8.ValidString(r.Host) || !utf8.ValidString(r.Method) {
		return nil, referenceHeaders{}, errors.New("the host or the method is not UTF-8")
	}
	return r, h, nil
}

func metadataOf(metadata *corev3.Metadata) func(namespace, key string) any {
	if metadata == nil {
		return nil
	}
	return func(namespace, key string) any {
		value, ok := metadata.GetFilterMetadata()[namespace].GetFields()[key]
		if !ok {
			return nil
		}
		return value.AsInterface()
	}
}

// referenceEncoder turns answers into responses. Its methods always set a status, because Envoy
// reads a response without one as allow.
type referenceEncoder struct {
	headers Headers
	names   []string // of headers, lower case
	detail  DenialDetail
}

func (e *referenceEncoder) respond(a *ask.Answer, h referenceHeaders, grpcCaller bool) *authv3.CheckResponse {
	if a.Allowed() {
		return e.allowed(a, h)
	}
	return e.denied(a, grpcCaller)
}

func (e *referenceEncoder) allowed(a *ask.Answer, h referenceHeaders) *authv3.CheckResponse {
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
func (e *referenceEncoder) removals(h referenceHeaders, set map[string]bool) []string {
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

func (e *referenceEncoder) denied(a *ask.Answer, grpcCaller bool) *authv3.CheckResponse {
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

// innerError is the part of the error body that says why, in the shape of the Power
// Platform API.
type innerError struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Reason  string   `json:"reason,omitempty"`
	Missing []string `json:"missingPermissions,omitempty"`
	Scopes  []string `json:"scopes,omitempty"`
}

func (e *referenceEncoder) innerError(a *ask.Answer) innerError {
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
