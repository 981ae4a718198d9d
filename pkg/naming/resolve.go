package naming

import "github.com/pathgrant/pathgrant/pkg/authz"

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
