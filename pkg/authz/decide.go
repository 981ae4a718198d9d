package authz

// A Request asks for permissions at scopes: every one of the permissions must be held
// at every one of the scopes.
type Request struct {
	Permissions []PermissionID
	// Chains holds, for each scope asked for, the scope and all that it inherits from,
	// nearest first (see [Hierarchy.AppendChain]).
	Chains [][]Scope
	// GroupsUnknown says that the caller's groups could not be learnt. Then every
	// denial says so, and any assignment in GroupDenials that covers the permission
	// denies, because the caller could be in that group.
	GroupsUnknown bool
	// GroupDenials are the DENY and FORBID assignments of all groups of the tenant.
	GroupDenials *Grants
}

// A Decision says what was decided and why. The zero Decision denies.
type Decision struct {
	Reason Reason
	// Permission and Scope are the pair that settled it; where all pairs allow, the first.
	Permission PermissionID
	Scope      Scope
	// Grant is the assignment that decided; nil where none did. It must not be changed.
	Grant *Grant
}

// Allowed tells whether the decision is to allow.
func (d Decision) Allowed() bool { return d.Reason.Effect() == Allow }

// Decide answers whether the grants cover the request at now, in Unix seconds. The
// reason is that of the first pair that is not allowed, permissions before scopes. A
// request that asks for nothing is denied.
//
// It allocates nothing, and may be called from any number of goroutines.
func Decide(g *Grants, r Request, now int64) Decision {
	first := Decision{Reason: Internal}
	for i, permission := range r.Permissions {
		for j, chain := range r.Chains {
			d := decidePair(g, &r, permission, chain, now)
			if !d.Allowed() {
				return d
			}
			if i == 0 && j == 0 {
				first = d
			}
		}
	}
	return first
}

// decidePair walks from the nearest scope up to the tenant. The nearest scope that
// speaks decides; at one scope a DENY outranks an ALLOW; silence everywhere denies. A
// FORBID anywhere outranks all.
func decidePair(g *Grants, r *Request, permission PermissionID, chain []Scope, now int64) Decision {
	d := Decision{Permission: permission}
	if len(chain) == 0 {
		d.Reason = Internal
		return d
	}
	d.Scope = chain[0]
	if r.GroupsUnknown && anyTakes(r.GroupDenials, permission, chain, now) {
		d.Reason = GroupsUnknown
		return d
	}
	d.Reason, d.Grant = walk(g, permission, chain, now)
	if r.GroupsUnknown && d.Reason.Effect() == Deny {
		d.Reason = GroupsUnknown
	}
	return d
}

// chainMost is how many places of a chain a walk remembers; only chains of business units
// are longer.
const chainMost = 8

func walk(g *Grants, permission PermissionID, chain []Scope, now int64) (Reason, *Grant) {
	if g == nil {
		return NoAssignment, nil
	}
	var known [chainMost]*place
	if g.forbids {
		for i, scope := range chain {
			here := g.at(scope)
			if i < chainMost {
				known[i] = here
			}
			if here == nil {
				continue
			}
			if forbid := g.covering(here.forbid, permission, now); forbid != nil {
				return Forbidden, forbid
			}
		}
	}
	var expired *Grant
	for i, scope := range chain {
		var here *place
		if g.forbids && i < chainMost {
			here = known[i]
		} else {
			here = g.at(scope)
		}
		if here == nil {
			continue
		}
		if deny := g.covering(here.deny, permission, now); deny != nil {
			return Overridden, deny
		}
		if allow := g.covering(here.allow, permission, now); allow != nil {
			return Granted, allow
		}
		if expired == nil {
			expired = g.expired(here.allow, permission, now)
		}
	}
	if expired != nil {
		return Expired, expired
	}
	return NoAssignment, nil
}

// anyTakes tells whether a live DENY or FORBID on the chain covers the permission.
func anyTakes(g *Grants, permission PermissionID, chain []Scope, now int64) bool {
	for _, scope := range chain {
		here := g.at(scope)
		if here != nil && (g.covering(here.forbid, permission, now) != nil || g.covering(here.deny, permission, now) != nil) {
			return true
		}
	}
	return false
}

// AppendMissing appends to dst, in the order of the request, the permissions that are not
// allowed at every scope. It is for refusals, and allocates only where dst is too small.
func AppendMissing(dst []PermissionID, g *Grants, r Request, now int64) []PermissionID {
	for _, permission := range r.Permissions {
		for _, chain := range r.Chains {
			if d := decidePair(g, &r, permission, chain, now); !d.Allowed() {
				dst = append(dst, permission)
				break
			}
		}
	}
	return dst
}
