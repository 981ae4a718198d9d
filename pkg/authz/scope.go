package authz

import (
	"fmt"
	"strings"
)

// Scope is the level at which an assignment is made and a permission asked for, as
// text in its one spelling:
//
//	/tenants/{t}
//	/tenants/{t}/environmentGroups/{g}
//	/tenants/{t}/environments/{e}
//	/tenants/{t}/environments/{e}/businessUnits/{b}
//	/tenants/{t}/environments/{e}/{type}/{id}
//
// An environment does not stand below its group in the text; which group it is in, and
// which business unit another lies below, a [Hierarchy] says.
type Scope string

// ScopeKind is the kind of a scope. The zero ScopeKind is not a scope.
type ScopeKind uint8

// The kinds of scope.
const (
	NoScope ScopeKind = iota
	TenantScope
	EnvironmentGroupScope
	EnvironmentScope
	BusinessUnitScope
	ResourceScope
)

// The words that stand before an identifier in a scope.
const (
	tenantsWord       = "tenants"
	groupsWord        = "environmentGroups"
	environmentsWord  = "environments"
	businessUnitsWord = "businessUnits"
)

// NamedScope is a scope of some tenant, taken apart: what a request names before it is
// known which tenant asks. Its identifiers are in their one spelling (see
// [CanonicalPathID]). The zero NamedScope is no scope.
type NamedScope struct {
	Kind ScopeKind
	// Environment is the environment's identifier, of an environment scope and of
	// every scope below one.
	Environment string
	// Type is the word before the identifier of a resource, such as powerapps.
	Type string
	// ID is the identifier of an environment group, a business unit or a resource.
	ID string
	// FromHost says that Environment was read from 32 hex digits of a host name, which
	// may stand for a listed Default-{guid} too.
	FromHost bool
}

// AppendText appends the scope's text in the tenant to dst.
func (n NamedScope) AppendText(dst []byte, tenant string) []byte {
	dst = append(append(dst, "/"+tenantsWord+"/"...), tenant...)
	if n.Kind == EnvironmentGroupScope {
		return append(append(dst, "/"+groupsWord+"/"...), n.ID...)
	}
	if n.Environment != "" {
		dst = append(append(dst, "/"+environmentsWord+"/"...), n.Environment...)
	}
	switch n.Kind {
	case BusinessUnitScope:
		dst = append(append(dst, "/"+businessUnitsWord+"/"...), n.ID...)
	case ResourceScope:
		dst = append(append(dst, '/'), n.Type...)
		dst = append(append(dst, '/'), n.ID...)
	default: // the environment, or the tenant, is all there is
	}
	return dst
}

// In returns the scope's text in the tenant.
func (n NamedScope) In(tenant string) Scope { return Scope(n.AppendText(nil, tenant)) }

// isScopeWord tells whether a word stands for a kind of scope, in whatever case: taken for
// a resource's type, a mistyped scope would be one that no request ever names.
func isScopeWord(word string) bool {
	for _, known := range []string{tenantsWord, groupsWord, environmentsWord, businessUnitsWord} {
		if lowerASCII(word) == lowerASCII(known) {
			return true
		}
	}
	return false
}

// ParseScope reads a scope's text and gives it its one spelling. With foldCase, words
// and identifiers are compared without case. It refuses every other form.
func ParseScope(text string, foldCase bool) (tenant string, named NamedScope, err error) {
	bad := func(why string) (string, NamedScope, error) {
		return "", NamedScope{}, fmt.Errorf("scope %q: %s", text, why)
	}
	rest, ok := strings.CutPrefix(text, "/")
	if !ok {
		return bad("want /tenants/{tenant} and at most an environment group, or an environment and one thing in it")
	}
	segments := strings.Split(rest, "/")
	if len(segments)%2 != 0 || len(segments) > 6 {
		return bad("want pairs of a word and an identifier, three at most")
	}
	isWordFor := func(segment, word string) bool {
		return segment == word || foldCase && lowerASCII(segment) == lowerASCII(word)
	}
	ids := make([]string, 0, 3)
	for i := 1; i < len(segments); i += 2 {
		id, err := CanonicalPathID(segments[i], foldCase)
		if err != nil {
			return bad(err.Error())
		}
		ids = append(ids, id)
	}
	if !isWordFor(segments[0], tenantsWord) {
		return bad("want it to begin with /tenants/{tenant}")
	}
	named = NamedScope{Kind: TenantScope}
	if len(ids) == 1 {
		return ids[0], named, nil
	}
	switch {
	case isWordFor(segments[2], groupsWord) && len(ids) == 2:
		return ids[0], NamedScope{Kind: EnvironmentGroupScope, ID: ids[1]}, nil
	case !isWordFor(segments[2], environmentsWord):
		return bad("want environments or environmentGroups after the tenant, and nothing below a group")
	}
	named = NamedScope{Kind: EnvironmentScope, Environment: ids[1]}
	if len(ids) == 2 {
		return ids[0], named, nil
	}
	named.ID = ids[2]
	if isWordFor(segments[4], businessUnitsWord) {
		named.Kind = BusinessUnitScope
		return ids[0], named, nil
	}
	if !isWord(segments[4]) || isScopeWord(segments[4]) {
		return bad(fmt.Sprintf("%q is not a resource's type", segments[4]))
	}
	named.Kind, named.Type = ResourceScope, segments[4]
	if foldCase {
		named.Type = lowerASCII(named.Type)
	}
	return ids[0], named, nil
}
