package naming

import (
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// unmappedHost is the detail where the catalogue lists its hosts.
const unmappedHost = "the catalogue does not serve this host"

// Resolve maps a request into r, whatever r held before. It is total: what it cannot
// map, it refuses with a reason and a detail, and nothing else is set then. Explicit
// routes come before the naming table, and r says which of the two decided.
//
// It allocates nothing once r has held a request as large, and may be called from any
// number of goroutines, each with its own r. A nil or zero Catalogue maps nothing.
func (c *Catalogue) Resolve(req Request, r *Resolution) {
	r.reset()
	if refusal := r.path.read(req.Path); refusal != "" {
		r.refuse(authz.BadRequest, refusal)
		return
	}
	if c == nil || !c.readHost(r, req.Host) {
		r.refuse(authz.Unmapped, unmappedHost)
		return
	}
	if c.web != nil {
		c.resolveWeb(req, r)
		return
	}
	if req.Override != "" {
		c.resolveOverride(&req, r)
		return
	}
	if req.GRPC {
		c.resolveGRPC(&req, r)
		return
	}
	rd := c.read(r)
	if rt := c.routes[req.Method].find(&r.path, c.fold, 0); rt != nil {
		c.resolveRoute(rt, r)
		return
	}
	var detail string
	if r.Permissions, detail = c.table(r.Permissions, req.Method, &rd, r.path.count); detail != "" {
		r.refuse(authz.Unmapped, detail)
		return
	}
	r.DecidedBy, r.Rule, r.Unread = ByConvention, rd.last.rule, r.path.count-rd.unread
	r.settleScopes(rd.tenantLevel)
}

// resolveRoute maps by a route that matches.
func (c *Catalogue) resolveRoute(rt *route, r *Resolution) {
	switch {
	case rt.deny != "":
		r.refuse(authz.Unmapped, rt.deny)
		return
	case rt.public:
		r.refuse(authz.Public, "")
		r.DecidedBy, r.Rule = ByRoute, rt.rule
		return
	}
	for _, p := range rt.parameters {
		c.mentionSegment(r, p.scope.kind, p.scope.word, p.at)
	}
	r.Permissions = append(r.Permissions, rt.permissions...)
	r.DecidedBy, r.Rule, r.GrantedTo = ByRoute, rt.rule, rt.grantedTo
	r.settleScopes(rt.tenantLevel)
}

// The detail of an override that the catalogue does not know.
const unmappedOverride = "the catalogue does not know the permission that the proxy's configuration asks for"

// resolveOverride asks for the permission that the proxy's configuration names, at every
// scope that the request names. A client chooses the method, the content type and the
// path's end, so none of them may shed a scope: whatever the mapping would have made of
// the request, the scopes are those of its host, of its path as far as it can be read, of a
// route's parameters and of a gRPC service's headers. A route that denies still denies; one
// that is public does not make the permission needless.
func (c *Catalogue) resolveOverride(req *Request, r *Resolution) {
	id, known := c.vocabulary.ID(req.Override)
	if !known {
		r.refuse(authz.Unmapped, unmappedOverride)
		return
	}
	rd := c.read(r)
	atTenant := rd.tenantLevel || c.tenantLevel(c.vocabulary.Name(id))
	if rt := c.routes[req.Method].find(&r.path, c.fold, 0); rt != nil {
		if rt.deny != "" {
			r.refuse(authz.Unmapped, rt.deny)
			return
		}
		for _, p := range rt.parameters {
			c.mentionSegment(r, p.scope.kind, p.scope.word, p.at)
		}
		atTenant = atTenant || rt.tenantLevel
		r.GrantedTo = rt.grantedTo
	} else if rd.misplaced {
		r.refuse(authz.Unmapped, unmappedMisplaced)
		return
	}
	if req.GRPC {
		name, _, _ := strings.Cut(req.Path[1:], "/")
		if s := c.services[name]; s != nil {
			missing, _, bad := c.mentionHeaders(req, r, s)
			if bad {
				r.refuse(authz.BadRequest, refusedGRPCScope)
				return
			}
			atTenant = atTenant || s.tenantLevel || missing
		}
	}
	r.Permissions = append(r.Permissions, id)
	r.DecidedBy, r.Rule = ByOverride, "permission override"
	r.settleScopes(atTenant)
}
