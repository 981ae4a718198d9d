package authz

import (
	"cmp"
	"fmt"
	"slices"
)

// AssignmentEffect says what an assignment does. The zero AssignmentEffect does
// nothing. DENY and FORBID are extensions of the Power Platform model.
type AssignmentEffect uint8

// The assignment effects.
const (
	NoEffect AssignmentEffect = iota
	// AssignForbid is a guardrail: nothing below gives back what it takes away.
	AssignForbid
	// AssignDeny takes away, here and below, what was inherited; an ALLOW at a nearer
	// scope may give it back.
	AssignDeny
	// AssignAllow grants the role.
	AssignAllow
)

var assignmentEffectNames = [...]string{"", "FORBID", "DENY", "ALLOW"}

// String returns ALLOW, DENY or FORBID.
func (e AssignmentEffect) String() string {
	if int(e) < len(assignmentEffectNames) {
		return assignmentEffectNames[e]
	}
	return fmt.Sprintf("AssignmentEffect(%d)", uint8(e))
}

// MarshalText returns ALLOW, DENY or FORBID.
func (e AssignmentEffect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads ALLOW, DENY or FORBID and refuses any other text.
func (e *AssignmentEffect) UnmarshalText(text []byte) error {
	for i, name := range assignmentEffectNames {
		if i > 0 && name == string(text) {
			*e = AssignmentEffect(i)
			return nil
		}
	}
	return fmt.Errorf("%q is none of ALLOW, DENY and FORBID", text)
}

// A Grant is a role assignment as a decision reads it.
type Grant struct {
	// AssignmentID is the role assignment's identifier.
	AssignmentID string
	// Principal is who was assigned the role: the caller, or what it belongs to.
	Principal Principal
	Role      *Role
	Scope     Scope
	Effect    AssignmentEffect
	// Expires is the Unix second from which the assignment is as if absent; 0: never.
	Expires int64
}

func (g *Grant) live(now int64) bool { return g.Expires == 0 || now < g.Expires }

// Grants are all the assignments of one subject, indexed by scope. They are immutable
// and safe for concurrent use. A nil Grants holds none.
type Grants struct {
	grants  []Grant        // sorted by scope, effect, assignment
	index   map[Scope]span // where a scope's grants stand
	forbids bool
}

type span struct{ from, to int }

// NewGrants indexes the grants; it keeps and sorts the slice it is given.
func NewGrants(grants []Grant) *Grants {
	slices.SortFunc(grants, func(a, b Grant) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Effect, b.Effect), cmp.Compare(a.AssignmentID, b.AssignmentID))
	})
	g := &Grants{grants: grants, index: make(map[Scope]span)}
	for from := 0; from < len(grants); {
		to := from
		for ; to < len(grants) && grants[to].Scope == grants[from].Scope; to++ {
			g.forbids = g.forbids || grants[to].Effect == AssignForbid
		}
		g.index[grants[from].Scope] = span{from, to}
		from = to
	}
	return g
}

// All returns the grants, sorted by scope. The caller must not change them.
func (g *Grants) All() []Grant {
	if g == nil {
		return nil
	}
	return g.grants
}

func (g *Grants) at(scope Scope) []Grant {
	if g == nil {
		return nil
	}
	s := g.index[scope]
	return g.grants[s.from:s.to]
}
