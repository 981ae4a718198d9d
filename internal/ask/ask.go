// Package ask holds the question that every adapter puts and the answer that it gets
// back, free of any protocol: adapters turn their messages into a [Request] and an
// [Answer] back into theirs. The zero Answer denies.
package ask

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Decider answers questions. It never fails: a fault of its own is an Answer with
// reason INTERNAL. It is safe for concurrent use. It keeps neither r nor a, whose memory
// the asker uses again, nor a text of r: whoever needs one for longer clones it.
type Decider interface {
	Decide(ctx context.Context, r *Request, a *Answer)
}

// A BatchDecider answers questions like a [Decider], all of them from one revision of
// the snapshot. The slices are of one length. An error says that no one revision could
// be had, and nothing was decided.
type BatchDecider interface {
	DecideBatch(ctx context.Context, r []Request, a []Answer) error
}

// A Mapper says which permissions and scopes a request names, without asking who
// asks. A mapped request's answer has no reason; the scopes are in the tenant given. A
// Dataverse table that only its environment's declarations could name stands by its entity
// set in braces.
type Mapper interface {
	Map(r *Request, tenant string, a *Answer)
}

// A Request asks whether a caller may do something. Either Permission and Scope are
// set, or Method and Path.
//
// Its texts, those that its functions return among them, may be parts of a buffer that the
// next message is read into: they are valid until the answer was given, and who keeps one
// clones it. What an [Answer] says is used before that.
type Request struct {
	// Adapter names who asks, for metrics and the decision log: "extauthz" or "grpc".
	Adapter string

	// Unreadable says what the adapter could not read of the request; if it is not
	// empty, the answer is BAD_REQUEST and nothing else counts.
	Unreadable string

	// HTTP says that the request is one to be mapped: Method, Host and Path count.
	HTTP bool
	// Method is the HTTP method as it came, case preserved.
	Method string
	// Host is the request's authority.
	Host string
	// Path is the request target, with its query.
	Path string
	// GRPC says that the content type is application/grpc.
	GRPC bool
	// Header returns the value of a request header by its lower-case name, for gRPC
	// services whose scope a header names; nil where there are none.
	Header func(name string) string
	// ContextExtension returns a value that the proxy's configuration attached to the
	// route; nil where there are none.
	ContextExtension func(name string) string
	// Catalogue names the catalogue to map with; empty: the first one.
	Catalogue string
	// PermissionOverride is asked for in place of what the path maps to, if not empty.
	PermissionOverride string

	// Permission and Scope are a direct question.
	Permission string
	Scope      string
	// Record, Columns, OnBehalfOf and Relate go with a direct question for a permission of a
	// Dataverse table, at an environment, and with no other.
	//
	// Record is the record that is asked about; nil: all of the table.
	Record *Record
	// Columns are the ones that are to be read or set. AllColumns stands for every column of
	// the table.
	Columns    []string
	AllColumns bool
	// OnBehalfOf is whom the caller acts for, of the same tenant; nil: for itself.
	OnBehalfOf *authz.Subject
	// Relate is what the record is to be attached to; nil: to nothing.
	Relate *Relate

	// Subject is the caller, where the asker states it. Otherwise Credentials are
	// verified.
	Subject     *authz.Subject
	Credentials Credentials

	// AtLeast is the revision that the answer must not be older than; zero: any.
	AtLeast authz.Revision

	// Quick asks only for what can be answered from memory at once: without
	// cryptography, without reading a file, without waiting. Where that is not enough,
	// the answer is Slow. A batch is never quick.
	Quick bool
}

// Credentials are what a request carries to say who is asking.
type Credentials struct {
	// Authorization holds every value of the Authorization header.
	Authorization []string
	// Principal is source.principal: the peer's certificate identity, as Envoy saw it.
	Principal string
	// Metadata returns a value of Envoy's filter metadata as plain JSON types, by
	// namespace and key; nil where there is none.
	Metadata func(namespace, key string) any
	// Header returns all values of a request header by its lower-case name.
	Header func(name string) []string
}

// An Answer says what was decided. The zero Answer denies.
type Answer struct {
	Reason authz.Reason
	// Permissions and Scopes are what was asked for, in catalogue spelling.
	Permissions []authz.Permission
	Scopes      []authz.Scope
	// Missing are the permissions that are not held, on a denial.
	Missing []authz.Permission
	// Assignment is the one that decided; nil where none did.
	Assignment *authz.Grant
	// Record is the decision about a Dataverse record or table: that of the first that was
	// refused, or else of the first; nil for any other question, and where none was reached.
	Record *authz.RecordDecision
	// DecidedBy is the mapping's step: "route", "convention", "override", "permission" for a direct
	// question or an override, or "".
	DecidedBy string
	// Rule is the route or the type that the mapping used.
	Rule string
	// Detail says in a sentence what was wrong; it never names other principals.
	Detail string
	// InvalidCredentials says, with reason UNAUTHENTICATED, that there were credentials
	// and they were refused.
	InvalidCredentials bool
	// Subject is the verified caller; nil where nobody was asked or none was found.
	Subject    *authz.Subject
	Revision   authz.Revision
	DecisionID DecisionID
	// Time is when it was decided: what had expired by then counted for nothing.
	Time time.Time
	// Slow says that a Quick question could not be answered at once: nothing was decided,
	// counted or logged, and the same question is to be asked again without Quick. Such
	// an Answer has no reason, so it denies.
	Slow bool

	// Buf is memory that Scopes may point into. An Answer that is used again keeps it,
	// and what the earlier answer held is then no longer valid.
	Buf []byte
}

// Reset makes the Answer deny again and keeps its memory.
func (a *Answer) Reset() {
	*a = Answer{
		Permissions: a.Permissions[:0],
		Scopes:      a.Scopes[:0],
		Missing:     a.Missing[:0],
		Buf:         a.Buf[:0],
	}
}

// A DecisionID names one decision of one process: in the answer, in the decision log
// and in the proxy's access log.
type DecisionID struct {
	Process, Number uint64
}

// AppendText appends the identifier, 32 hex digits, to dst.
func (id DecisionID) AppendText(dst []byte) ([]byte, error) {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], id.Process)
	binary.BigEndian.PutUint64(raw[8:], id.Number)
	return hex.AppendEncode(dst, raw[:]), nil
}

// String returns the identifier, 32 hex digits.
func (id DecisionID) String() string {
	text, _ := id.AppendText(make([]byte, 0, 32))
	return string(text)
}

// Allowed tells whether the answer is to allow.
func (a *Answer) Allowed() bool { return a.Reason.Effect() == authz.Allow }
