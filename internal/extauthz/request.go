package extauthz

import (
	"errors"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pathgrant/pathgrant/internal/ascii"
)

// The request's headers come in two forms, of which a proxy fills one: "headers" joins
// repeated ones with a comma, "header_map" keeps them apart.

var (
	errNoHTTP           = errors.New("the check carries no HTTP request")
	errHeadersDisagree  = errors.New("headers and header_map are both filled and disagree")
	errHeaderTwoValues  = errors.New("a header has a value and a raw value that disagree")
	errUnreadableHeader = errors.New("a header's name is not lower case")
)

// read scans a check and refuses what cannot be decided on. The error is for the log and
// the answer's detail.
func (s *scanned) read(frame []byte) error {
	if err := s.scan(frame); err != nil {
		return err
	}
	if !s.http {
		return errNoHTTP
	}
	for i := range s.listed {
		h := &s.listed[i]
		if h.value != "" && h.raw != "" && h.value != h.raw {
			return errHeaderTwoValues
		}
		if s.unsure && !isLower(h.name) {
			return errUnreadableHeader
		}
		if h.raw != "" {
			h.value = h.raw
		}
		switch h.name {
		case "authorization":
			s.authorization = append(s.authorization, h.value)
		case "content-type":
			s.contentTypes = append(s.contentTypes, h.value)
		}
	}
	for i := range s.joined {
		h := &s.joined[i]
		if s.unsure && !isLower(h.name) {
			return errUnreadableHeader
		}
		if len(s.listed) > 0 {
			continue // it says the same
		}
		switch h.name {
		case "authorization":
			s.authorization = append(s.authorization[:0], h.value)
		case "content-type":
			s.contentTypes = append(s.contentTypes[:0], h.value)
		}
	}
	if len(s.joined) > 0 && len(s.listed) > 0 {
		return s.compare()
	}
	return nil
}

// isLower tells whether a name is as strings.ToLower would have it.
func isLower(name string) bool {
	if ascii.Only(name) {
		return !ascii.HasUpper(name)
	}
	return name == strings.ToLower(name)
}

// compare checks that the two forms of headers, both filled, say the same.
func (s *scanned) compare() error {
	joined := make(map[string]string, len(s.joined))
	for _, h := range s.joined {
		joined[h.name] = h.value
	}
	listed := make(map[string]string, len(joined))
	for _, h := range s.listed {
		if earlier, ok := listed[h.name]; ok {
			h.value = earlier + "," + h.value
		}
		listed[h.name] = h.value
	}
	if len(joined) != len(listed) {
		return errHeadersDisagree
	}
	for name, value := range joined {
		if other, ok := listed[name]; !ok || other != value {
			return errHeadersDisagree
		}
	}
	return nil
}

// last returns the value of the last of all that has the name.
func last(all []header, name string) (value string, ok bool) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].name == name {
			return all[i].value, true
		}
	}
	return "", false
}

// appendValues appends all values of a header to dst.
func (s *scanned) appendValues(dst []string, name string) []string {
	if len(s.listed) == 0 {
		if value, ok := last(s.joined, name); ok {
			dst = append(dst, value)
		}
		return dst
	}
	for i := range s.listed {
		if s.listed[i].name == name {
			dst = append(dst, s.listed[i].value)
		}
	}
	return dst
}

// headerValues returns all values of a header.
func (s *scanned) headerValues(name string) []string { return s.appendValues(nil, name) }

// headerValue returns a header's one value, or its values joined with commas.
func (s *scanned) headerValue(name string) string {
	var room [4]string
	values := s.appendValues(room[:0], name)
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values, ",")
}

// headers returns the headers, with repetitions, in one of their forms.
func (s *scanned) headers() []header {
	if len(s.listed) > 0 {
		return s.listed
	}
	return s.joined
}

// The keys of context_extensions, which a route's configuration sets and a client
// cannot reach.
const (
	catalogueExtension  = "catalogue"
	permissionExtension = "permission"
)

func (s *scanned) contextExtension(name string) string {
	value, _ := last(s.extensions, name)
	return value
}

// metadataValue returns a value of the filter metadata as plain JSON types. Only one
// source of identity asks for it, so it is read when that does.
func (s *scanned) metadataValue(namespace, key string) any {
	if s.metadata == "" {
		return nil
	}
	var all corev3.Metadata
	if err := proto.Unmarshal([]byte(s.metadata), &all); err != nil {
		return nil // cannot be: the scan has read it
	}
	value, ok := all.GetFilterMetadata()[namespace].GetFields()[key]
	if !ok {
		return nil
	}
	return value.AsInterface()
}

// isGRPC tells whether a content type is one of gRPC's: application/grpc,
// application/grpc+proto, application/grpc-web.
func isGRPC(contentType string) bool {
	const grpc = "application/grpc"
	return len(contentType) >= len(grpc) && strings.EqualFold(contentType[:len(grpc)], grpc)
}
