package naming

import "github.com/pathgrant/pathgrant/pkg/authz"

// A Request is what is to be mapped.
type Request struct {
	// Method is the HTTP method as it came: get is not GET.
	Method string
	// Host is the request's authority, as the proxy saw it.
	Host string
	// Path is the request target, with its query.
	Path string
	// GRPC says that the content type is application/grpc: then Path is
	// /pkg.Service/Method and only the catalogue's grpc section applies.
	GRPC bool
	// Override is a permission that the proxy's configuration asks for in place of what the
	// request maps to; "": none. The scopes are still those that the request names.
	Override string
	// Header and ContextExtension return a request header by its lower-case name and a
	// value that the proxy attached to the route; "" where there is none. Only gRPC
	// services whose scope such a value names ask them, and catalogues with a profile
	// ([Catalogue.Headers]). Either may be nil, which is as if there were none.
	Header, ContextExtension func(name string) string
}

// The values of [Resolution.DecidedBy].
const (
	ByRoute      = "route"
	ByConvention = "convention"
	ByOverride   = "override"
)

// A Resolution says what a request needs. It is made to be used again: what it holds,
// texts included, is valid until the next Resolve into it, and it must not be copied
// while that is read. The zero Resolution is ready to be resolved into and asks for
// nothing, which nobody is granted. It is not safe for concurrent use.
type Resolution struct {
	// Reason is zero where the request was mapped, and otherwise [authz.Public],
	// [authz.Unmapped] or [authz.BadRequest].
	Reason authz.Reason
	// Permissions must all be held. Empty where Reason is set, and where Web is.
	Permissions []authz.PermissionID
	// Scopes must each grant every permission. Empty where Reason is set, never empty
	// otherwise: a request that names no scope asks at the tenant.
	Scopes []authz.NamedScope
	// Tenants are those that host and path name; any other than the caller's is to be
	// refused. Empty where Reason is set.
	Tenants []string
	// GrantedTo, where not empty, restricts the route to callers who are, or directly
	// hold, one of these, whatever roles they were assigned.
	GrantedTo []authz.Principal
	// DecidedBy is [ByRoute], [ByConvention], [ByOverride], or "" where the request was refused.
	DecidedBy string
	// Rule is the route, such as "POST /authorization/roleAssignments", or the resource
	// type, such as "PowerApps.Apps"; "" where the request was refused.
	Rule string
	// Detail says why the request was refused or, of a mapped one, what is unusual.
	Detail string
	// Web is what a request to the Dataverse Web API asks; nil for every other, and where
	// Reason is set. Where it is not nil, Permissions is empty and Scopes is the one
	// environment that the request is for.
	Web *WebRequest
	// Unread is the number of segments at the path's end that the grammar could not
	// read although the table answered.
	Unread int

	path  segments
	host  []byte    // the host in lower case
	guid  []byte    // the identifier that the host names
	named []mention // the scopes that the request names, as found
}

func (r *Resolution) reset() {
	r.Reason, r.GrantedTo, r.Web = authz.ReasonUnspecified, nil, nil
	r.DecidedBy, r.Rule, r.Detail, r.Unread = "", "", "", 0
	r.Permissions, r.Scopes, r.Tenants = r.Permissions[:0], r.Scopes[:0], r.Tenants[:0]
	r.named = r.named[:0]
}

// refuse leaves nothing behind to decide with.
func (r *Resolution) refuse(reason authz.Reason, detail string) {
	r.reset()
	r.Reason, r.Detail = reason, detail
}
