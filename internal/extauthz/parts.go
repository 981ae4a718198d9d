package extauthz

import (
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// What is the same in every answer is written once, when the server is made; and where the
// value is at hand, all lengths around it are known before it is written, so that nothing
// is moved.

// tagOf is the tag of a field with a length. All numbers here are below 16, for which a
// tag is one byte.
func tagOf(number byte) byte { return number<<3 | byte(protowire.BytesType) }

// sized is how long a field of one byte's tag is that holds so many bytes.
func sized(length int) int { return 1 + protowire.SizeVarint(uint64(length)) + length }

func appendStart(b []byte, number byte, length int) []byte {
	if length < 1<<7 {
		return append(b, tagOf(number), byte(length))
	}
	return protowire.AppendVarint(append(b, tagOf(number)), uint64(length))
}

// A headerPart is a header that overwrites one of the same name, without its value. The
// zero headerPart is none.
//
// "append" stays unset: with it set, newer Envoys ignore the action, and an action left at
// its zero value adds a second header after the client's.
type headerPart struct {
	key   []byte
	start []byte // all before a short value, its three lengths as with an empty one
}

// The action, which stands behind the header.
var overwrite = protowire.AppendVarint(protowire.AppendTag(nil, optionAction, protowire.VarintType), overwriteOrAdd)

// newHeaderPart returns the header's part; the name is ours, and valid UTF-8.
func newHeaderPart(name string) headerPart {
	if name == "" {
		return headerPart{}
	}
	p := headerPart{key: appendText(nil, headerKey, name)}
	p.start = p.appendLong(nil, "")
	p.start = p.start[:len(p.start)-len(overwrite)]
	return p
}

// appendSafe appends the header with a value that is safe for one.
func (p *headerPart) appendSafe(b []byte, value string) []byte {
	if p.key == nil || len(p.start)+len(value) > shortMost {
		return p.appendLong(b, value)
	}
	at := len(b)
	b = append(b, p.start...)
	b[at+1] += byte(len(value)) // of the option,
	b[at+3] += byte(len(value)) // of the header in it,
	b[len(b)-1] = byte(len(value))
	return append(append(b, value...), overwrite...)
}

func (p *headerPart) appendLong(b []byte, value string) []byte {
	if p.key == nil {
		return b
	}
	inner := len(p.key) + sized(len(value))
	b = appendStart(b, replyHeaders, sized(inner)+len(overwrite))
	b = append(appendStart(b, optionHeader, inner), p.key...)
	b = append(appendStart(b, headerValue, len(value)), value...)
	return append(b, overwrite...)
}

// shortMost is up to how many bytes, besides what stands behind the value, all lengths in a
// part are of one byte.
const shortMost = 120

// A structPart is a text in a Struct, without the text.
type structPart struct {
	key   []byte
	start []byte // all before a short text, its three lengths as with an empty one
}

func newStructPart(key string) structPart {
	p := structPart{key: appendText(nil, entryKey, key)}
	p.start = p.appendLong(nil, "")
	return p
}

// append appends the text, made safe for a header; nothing if there is none.
func (p *structPart) append(b []byte, value string) []byte {
	if value == "" {
		return b
	}
	return p.appendSafe(b, madeSafe(value))
}

func (p *structPart) appendSafe(b []byte, value string) []byte {
	if len(p.start)+len(value) > shortMost {
		return p.appendLong(b, value)
	}
	at := len(b)
	b = append(b, p.start...)
	b[at+1] += byte(len(value))     // of the entry,
	b[len(b)-3] += byte(len(value)) // of the value in it,
	b[len(b)-1] = byte(len(value))
	return append(b, value...)
}

func (p *structPart) appendLong(b []byte, value string) []byte {
	inner := sized(len(value))
	b = append(appendStart(b, structFields, len(p.key)+sized(inner)), p.key...)
	return append(appendStart(appendStart(b, entryValue, inner), valueString, len(value)), value...)
}

// The texts in the metadata.
var (
	reasonEntry     = newStructPart("reason")
	idEntry         = newStructPart("decision_id")
	revisionEntry   = newStructPart("revision")
	permissionEntry = newStructPart("permission")
	scopeEntry      = newStructPart("scope")
	principalEntry  = newStructPart("principal")
	tenantEntry     = newStructPart("tenant")
	assignmentEntry = newStructPart("assignment_id")
)

// joined is the texts with commas between them, safe for a header. What it returns may be
// in room, and is one of the texts where there is no other.
func joined[T ~string](room []byte, all []T) string {
	if len(all) == 1 && allSafe(all[0]) {
		return string(all[0])
	}
	return viewOf(appendJoinedSafe(room, all))
}

// A refusal is what all refusals for one reason have in common.
type refusal struct {
	status     []byte // the response's status, which comes first
	httpStatus []byte
	challenge  []byte // the header that says how to authenticate
	invalid    []byte // the same where credentials were refused
	body       []byte // the beginning of the body, as far as the message
	reason     []byte // behind the message, where the caller is told
}

func newRefusal(r authz.Reason) refusal {
	status, code := httpStatus(r), codes.PermissionDenied
	if status == http.StatusUnauthorized {
		code = codes.Unauthenticated
	}
	number := func(field protowire.Number, value int) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), uint64(value))
	}
	message := func(field byte, inner []byte) []byte { return append(appendStart(nil, field, len(inner)), inner...) }
	f := refusal{
		status:     message(checkStatus, appendText(number(statusCode, int(code)), statusMessage, r.String())),
		httpStatus: message(deniedStatus, number(httpStatusCode, status)),
	}
	if status == http.StatusUnauthorized {
		challenge := newHeaderPart("www-authenticate")
		f.challenge = challenge.appendSafe(nil, `Bearer realm="pathgrant"`)
		f.invalid = challenge.appendSafe(nil, `Bearer realm="pathgrant", error="invalid_token"`)
	}
	f.body = appendJSON([]byte(`{"error":{"code":`), outerCode(status))
	f.body = appendJSON(append(f.body, `,"message":`...), outerMessage(status))
	f.body = appendJSON(append(f.body, `,"innererror":{"code":`...), errorCode(r))
	f.body = append(f.body, `,"message":`...)
	f.reason = appendJSON([]byte(`,"reason":`), r.String())
	return f
}

// The headers of refusals.
var (
	refusalID   = newHeaderPart("x-pathgrant-decision-id")
	refusalType = func() []byte {
		p := newHeaderPart("content-type")
		return p.appendSafe(nil, "application/json; charset=utf-8")
	}()
)
