package naming

import "github.com/pathgrant/pathgrant/pkg/authz"

// A mention is a scope that a request names somewhere.
type mention struct {
	kind     authz.ScopeKind
	word     string // of a resource: the word before its identifier in a scope
	id       string
	at       int // the identifier's place in the path; beforePath: in the host
	fromHost bool
}

// same tells whether two mentions name the same scope.
func (m *mention) same(o *mention) bool {
	return m.kind == o.kind && m.word == o.word && m.id == o.id
}

// mentionSegment notes that a segment of the path names a scope.
func (c *Catalogue) mentionSegment(r *Resolution, kind authz.ScopeKind, word string, at int) {
	r.named = append(r.named, mention{kind: kind, word: word, id: r.path.id(at, c.fold), at: at})
}

// settleScopes works out which scopes must grant: all that are named, from left to
// right, but for those that another one lies below; the tenant if there is none. With
// alsoTenant the tenant must grant besides.
func (r *Resolution) settleScopes(alsoTenant bool) {
	r.sortMentions()
	r.dropRepeated()
	for i := range r.named {
		switch m := &r.named[i]; m.kind {
		case authz.TenantScope:
			r.Tenants = append(r.Tenants, m.id)
		case authz.EnvironmentGroupScope:
			r.Scopes = append(r.Scopes, authz.NamedScope{Kind: m.kind, ID: m.id})
		case authz.EnvironmentScope:
			r.settleEnvironment(m)
		default: // a resource stands in its environments' places
		}
	}
	if alsoTenant || len(r.Scopes) == 0 {
		r.Scopes = append(r.Scopes, authz.NamedScope{Kind: authz.TenantScope})
	}
}

// settleEnvironment adds every resource named, in the environment, or the environment
// itself if there is none. A resource is in every environment that is named: which one
// it is really in, the path does not say.
func (r *Resolution) settleEnvironment(environment *mention) {
	whole := true
	for i := range r.named {
		m := &r.named[i]
		if m.kind == authz.ResourceScope || m.kind == authz.BusinessUnitScope {
			whole = false
			r.Scopes = append(r.Scopes, authz.NamedScope{
				Kind: m.kind, Environment: environment.id, Type: m.word, ID: m.id, FromHost: environment.fromHost,
			})
		}
	}
	if whole {
		r.Scopes = append(r.Scopes, authz.NamedScope{
			Kind: authz.EnvironmentScope, Environment: environment.id, FromHost: environment.fromHost,
		})
	}
}

// sortMentions orders the mentions by their place. There are few and they are nearly
// sorted: only those that a route's parameters name come late.
func (r *Resolution) sortMentions() {
	for i := 1; i < len(r.named); i++ {
		for j := i; j > 0 && r.named[j].at < r.named[j-1].at; j-- {
			r.named[j], r.named[j-1] = r.named[j-1], r.named[j]
		}
	}
}

// dropRepeated keeps the first mention of each scope.
func (r *Resolution) dropRepeated() {
	kept := r.named[:0]
next:
	for _, m := range r.named {
		for k := range kept {
			if kept[k].same(&m) {
				// An environment that the path names too must be listed under that very
				// identifier.
				kept[k].fromHost = kept[k].fromHost && m.fromHost
				continue next
			}
		}
		kept = append(kept, m)
	}
	r.named = kept
}
