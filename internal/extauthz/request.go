package extauthz

import (
	"errors"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/pathgrant/pathgrant/internal/ask"
)

// headers gives the request's headers by lower-case name, whichever of its two forms
// the proxy filled: "headers" joins repeated ones with a comma, "header_map" keeps them
// apart.
type headers struct {
	joined map[string]string
	list   []*corev3.HeaderValue
}

var (
	errNoHTTP           = errors.New("the check carries no HTTP request")
	errHeadersDisagree  = errors.New("headers and header_map are both filled and disagree")
	errHeaderTwoValues  = errors.New("a header has a value and a raw value that disagree")
	errUnreadableHeader = errors.New("a header's name is not lower case")
)

// readHeaders checks that the two forms, where both are filled, say the same.
func readHeaders(http *authv3.AttributeContext_HttpRequest) (headers, error) {
	h := headers{joined: http.GetHeaders(), list: http.GetHeaderMap().GetHeaders()}
	for _, header := range h.list {
		if header.GetValue() != "" && len(header.GetRawValue()) > 0 && header.GetValue() != string(header.GetRawValue()) {
			return headers{}, errHeaderTwoValues
		}
		if header.GetKey() != strings.ToLower(header.GetKey()) {
			return headers{}, errUnreadableHeader
		}
	}
	for name := range h.joined {
		if name != strings.ToLower(name) {
			return headers{}, errUnreadableHeader
		}
	}
	if len(h.joined) == 0 || len(h.list) == 0 {
		return h, nil
	}
	joined := make(map[string]string, len(h.joined))
	for _, header := range h.list {
		value := headerValue(header)
		if earlier, ok := joined[header.GetKey()]; ok {
			value = earlier + "," + value
		}
		joined[header.GetKey()] = value
	}
	if len(joined) != len(h.joined) {
		return headers{}, errHeadersDisagree
	}
	for name, value := range h.joined {
		if other, ok := joined[name]; !ok || other != value {
			return headers{}, errHeadersDisagree
		}
	}
	return h, nil
}

func headerValue(header *corev3.HeaderValue) string {
	if raw := header.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return header.GetValue()
}

// values returns all values of a header.
func (h headers) values(name string) []string {
	if len(h.list) == 0 {
		if value, ok := h.joined[name]; ok {
			return []string{value}
		}
		return nil
	}
	var all []string
	for _, header := range h.list {
		if header.GetKey() == name {
			all = append(all, headerValue(header))
		}
	}
	return all
}

// value returns a header's one value, or its values joined with commas.
func (h headers) value(name string) string { return strings.Join(h.values(name), ",") }

// each calls f with every header's name.
func (h headers) each(f func(name string)) {
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

// The keys of context_extensions, which a route's configuration sets and a client
// cannot reach.
const (
	catalogueExtension  = "catalogue"
	permissionExtension = "permission"
)

// requestFrom reads what a decision needs out of a check. It refuses what it cannot
// read; the error is for the log and the answer's detail.
func requestFrom(in *authv3.CheckRequest) (*ask.Request, headers, error) {
	attributes := in.GetAttributes()
	http := attributes.GetRequest().GetHttp()
	if http == nil {
		return nil, headers{}, errNoHTTP
	}
	h, err := readHeaders(http)
	if err != nil {
		return nil, headers{}, err
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
		return nil, headers{}, errors.New("the host or the method is not UTF-8")
	}
	return r, h, nil
}

// isGRPC tells whether a content type is one of gRPC's: application/grpc,
// application/grpc+proto, application/grpc-web.
func isGRPC(contentType string) bool {
	const grpc = "application/grpc"
	return len(contentType) >= len(grpc) && strings.EqualFold(contentType[:len(grpc)], grpc)
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
