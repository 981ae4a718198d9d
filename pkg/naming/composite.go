package naming

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Composite is a question that has several requirements, each judged on its own: running
// a flow that somebody else made, say. It is immutable. The zero Composite has no layers,
// and what has no layers nobody passes.
type Composite struct {
	Name, DisplayName, Description string
	// Target is what the question names besides who asks.
	Target CompositeTarget
	// Layers are in the order in which they are reported; all must pass.
	Layers []CompositeLayer
}

// A CompositeTarget is what a composite question is about. The zero CompositeTarget is
// nothing.
type CompositeTarget uint8

// The targets.
const (
	NoTarget CompositeTarget = iota
	// FlowTarget: a flow of an environment.
	FlowTarget
	// AppTarget: an app of an environment.
	AppTarget
)

var compositeTargetNames = [...]string{"", "flow", "app"}

// String returns flow or app.
func (t CompositeTarget) String() string {
	return nameIn(compositeTargetNames[:], uint8(t), "CompositeTarget")
}

// MarshalText returns flow or app.
func (t CompositeTarget) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads flow or app, and refuses any other text.
func (t *CompositeTarget) UnmarshalText(text []byte) error {
	n, err := numberIn(compositeTargetNames[:], text, "what a composite can be about")
	if err == nil {
		*t = CompositeTarget(n)
	}
	return err
}

// A CompositeKind is a kind of requirement. The zero CompositeKind is none, and never
// passes.
type CompositeKind uint8

// The kinds.
const (
	NoLayer CompositeKind = iota
	// PermissionsLayer: the user holds platform permissions at the environment.
	PermissionsLayer
	// PrivilegesLayer: the user holds privileges on tables.
	PrivilegesLayer
	// SharedLayer: the target is shared with the user: an app to be used, a flow to be run
	// and no more.
	SharedLayer
	// ConnectionsLayer: of each connection it is said who provides it.
	ConnectionsLayer
	// DataLayer: each table that the target touches is open to whoever provides the
	// connection. Connectors other than the environment's own database are facts that the
	// asker states.
	DataLayer
	// FactLayer: a fact that the asker states; unstated it is unknown, and does not pass.
	FactLayer
)

var compositeKindNames = [...]string{"", "permissions", "privileges", "shared", "connections", "data", "fact"}

// String returns the kind's name, such as privileges.
func (k CompositeKind) String() string {
	return nameIn(compositeKindNames[:], uint8(k), "CompositeKind")
}

// MarshalText returns the kind's name.
func (k CompositeKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a kind's name, and refuses any other text.
func (k *CompositeKind) UnmarshalText(text []byte) error {
	n, err := numberIn(compositeKindNames[:], text, "a kind of layer")
	if err == nil {
		*k = CompositeKind(n)
	}
	return err
}

// A CompositeLayer is one requirement of a [Composite]. Of its lists only the one that
// goes with its Kind is set. The zero CompositeLayer never passes.
type CompositeLayer struct {
	// Name is unique in the composite.
	Name, Description string
	// Mend says in a sentence what to do where the layer fails; it may be empty.
	Mend string
	Kind CompositeKind
	// Permissions must all be held at the environment (PermissionsLayer).
	Permissions []authz.PermissionID
	// Privileges must all be held, on the table or on every table of the class, at least at
	// the reach given: at User that is any reach that counts (PrivilegesLayer).
	Privileges []authz.PrivilegePattern
	// TablePrivileges are needed on a table of which the target does not say what it does
	// to it (DataLayer).
	TablePrivileges authz.PrivilegeSet
	// Fact is the name under which it is stated (FactLayer).
	Fact string
}

// Composite finds a composite by its name, in whichever of the catalogues it is declared.
func (c *Catalogues) Composite(name string) (*Composite, bool) {
	for _, catalogue := range c.all {
		if composite, ok := catalogue.composites[name]; ok {
			return composite, true
		}
	}
	return nil, false
}

// Composites returns the composites of all catalogues, by name.
func (c *Catalogues) Composites() []*Composite {
	var all []*Composite
	for _, catalogue := range c.all {
		for _, composite := range catalogue.composites {
			all = append(all, composite)
		}
	}
	slices.SortFunc(all, func(a, b *Composite) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// nameIn returns the name of a number.
func nameIn(names []string, n uint8, what string) string {
	if int(n) < len(names) {
		return names[n]
	}
	return fmt.Sprintf("%s(%d)", what, n)
}

// numberIn finds a name; the empty one is none.
func numberIn(names []string, text []byte, what string) (int, error) {
	if n := slices.Index(names, string(text)); n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("%q is not %s: want one of %s", text, what, strings.Join(names[1:], ", "))
}
