package authz

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// EnvironmentGroup is a group of environments of a tenant.
type EnvironmentGroup struct {
	ID           string
	Environments []string // an environment is in one group at most
}

// BusinessUnit is a business unit of an environment. Parent is empty for the root.
type BusinessUnit struct {
	ID, Environment, Parent string
}

// HierarchySpec lists the scopes of a tenant, identifiers in their one spelling.
type HierarchySpec struct {
	Tenant            string
	EnvironmentGroups []EnvironmentGroup
	// Environments need not repeat those that a group lists.
	Environments  []string
	BusinessUnits []BusinessUnit
	// UnknownScopesAtTenant makes an environment or group that nobody listed a child
	// of the tenant, instead of refusing it.
	UnknownScopesAtTenant bool
}

// A Hierarchy says which scope inherits from which, within one tenant. It is immutable
// and safe for concurrent use. A nil Hierarchy knows no scope.
type Hierarchy struct {
	tenant       string
	root         []Scope
	environments map[string][]Scope
	groups       map[string][]Scope
	units        map[unitKey][]Scope
	defaults     map[string]string // the GUID behind "default-" → the environment's identifier
	unknownOK    bool
}

// maxUnitDepth bounds how deep business units lie below each other; a decision walks them.
const maxUnitDepth = 100

type unitKey struct{ environment, id string }

// NewHierarchy builds the tree. It reports every problem at once: an environment in two
// groups, a business unit without its environment or its parent, parents in a circle.
func NewHierarchy(spec HierarchySpec) (*Hierarchy, error) {
	h := &Hierarchy{
		tenant:       spec.Tenant,
		root:         []Scope{NamedScope{Kind: TenantScope}.In(spec.Tenant)},
		environments: make(map[string][]Scope, len(spec.Environments)),
		groups:       make(map[string][]Scope, len(spec.EnvironmentGroups)),
		units:        make(map[unitKey][]Scope, len(spec.BusinessUnits)),
		defaults:     map[string]string{},
		unknownOK:    spec.UnknownScopesAtTenant,
	}
	var errs []error
	inGroup := map[string]string{}
	for _, group := range spec.EnvironmentGroups {
		if _, twice := h.groups[group.ID]; twice {
			errs = append(errs, fmt.Errorf("environment group %q is listed twice", group.ID))
		}
		scope := NamedScope{Kind: EnvironmentGroupScope, ID: group.ID}.In(spec.Tenant)
		h.groups[group.ID] = []Scope{scope, h.root[0]}
		for _, environment := range group.Environments {
			if other, twice := inGroup[environment]; twice && other != group.ID {
				errs = append(errs, fmt.Errorf("environment %q is in the groups %q and %q: it can be in one", environment, other, group.ID))
			}
			inGroup[environment] = group.ID
			h.addEnvironment(environment, h.groups[group.ID])
		}
	}
	for _, environment := range spec.Environments {
		if _, grouped := inGroup[environment]; !grouped {
			h.addEnvironment(environment, h.root)
		}
	}
	errs = append(errs, h.addBusinessUnits(spec.BusinessUnits)...)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return h, nil
}

func (h *Hierarchy) addEnvironment(id string, above []Scope) {
	scope := NamedScope{Kind: EnvironmentScope, Environment: id}.In(h.tenant)
	h.environments[id] = append([]Scope{scope}, above...)
	if guid, ok := strings.CutPrefix(lowerASCII(id), "default-"); ok && IsGUID(guid) {
		h.defaults[guid] = id
	}
}

func (h *Hierarchy) addBusinessUnits(units []BusinessUnit) []error {
	var errs []error
	parents := make(map[unitKey]string, len(units))
	for _, unit := range units {
		key := unitKey{unit.Environment, unit.ID}
		if _, twice := parents[key]; twice {
			errs = append(errs, fmt.Errorf("business unit %q of environment %q is listed twice", unit.ID, unit.Environment))
		}
		if _, known := h.environments[unit.Environment]; !known {
			errs = append(errs, fmt.Errorf("business unit %q is of the environment %q, which is not listed", unit.ID, unit.Environment))
		}
		parents[key] = unit.Parent
	}
	for _, unit := range units {
		chain := []Scope{}
		seen := map[string]bool{}
		for id := unit.ID; id != ""; id = parents[unitKey{unit.Environment, id}] {
			if _, known := parents[unitKey{unit.Environment, id}]; !known {
				errs = append(errs, fmt.Errorf("business unit %q lies below %q, which environment %q does not list", unit.ID, id, unit.Environment))
				break
			}
			if seen[id] {
				errs = append(errs, fmt.Errorf("business unit %q of environment %q lies below itself", unit.ID, unit.Environment))
				break
			}
			if len(chain) == maxUnitDepth {
				errs = append(errs, fmt.Errorf("business unit %q of environment %q lies below more than %d others", unit.ID, unit.Environment, maxUnitDepth))
				break
			}
			seen[id] = true
			chain = append(chain, NamedScope{Kind: BusinessUnitScope, Environment: unit.Environment, ID: id}.In(h.tenant))
		}
		h.units[unitKey{unit.Environment, unit.ID}] = append(chain, h.environments[unit.Environment]...)
	}
	return errs
}

// AppendChain appends the scope and all that it inherits from, nearest first, to dst,
// and tells whether the scope is known. It allocates only where scratch, which holds
// the text of a resource's scope, is too small; what it appends may point into
// *scratch and is valid until that is used again.
func (h *Hierarchy) AppendChain(dst []Scope, named NamedScope, scratch *[]byte) ([]Scope, bool) {
	if h == nil {
		return dst, false
	}
	switch named.Kind {
	case TenantScope:
		return append(dst, h.root...), true
	case EnvironmentGroupScope:
		if chain, ok := h.groups[named.ID]; ok {
			return append(dst, chain...), true
		}
		return h.appendUnknown(dst, named)
	case EnvironmentScope, ResourceScope, BusinessUnitScope:
		return h.appendBelowEnvironment(dst, named, scratch)
	default:
		return dst, false
	}
}

func (h *Hierarchy) appendBelowEnvironment(dst []Scope, named NamedScope, scratch *[]byte) ([]Scope, bool) {
	chain, ok := h.environments[named.Environment]
	if !ok && named.FromHost {
		if id, listed := h.defaults[named.Environment]; listed {
			named.Environment = id
			chain, ok = h.environments[id], true
		}
	}
	if !ok {
		return h.appendUnknown(dst, named)
	}
	if named.Kind == BusinessUnitScope {
		chain, ok = h.units[unitKey{named.Environment, named.ID}]
		return append(dst, chain...), ok
	}
	if named.Kind == ResourceScope {
		start := len(*scratch)
		*scratch = named.AppendText(*scratch, h.tenant)
		text := (*scratch)[start:]
		dst = append(dst, Scope(unsafe.String(unsafe.SliceData(text), len(text))))
	}
	return append(dst, chain...), true
}

func (h *Hierarchy) appendUnknown(dst []Scope, named NamedScope) ([]Scope, bool) {
	if !h.unknownOK || named.Kind == BusinessUnitScope {
		return dst, false
	}
	dst = append(dst, named.In(h.tenant))
	if named.Kind == ResourceScope {
		dst = append(dst, NamedScope{Kind: EnvironmentScope, Environment: named.Environment}.In(h.tenant))
	}
	return append(dst, h.root...), true
}

// Chain returns the chain of a scope's text: itself and all that it inherits from,
// nearest first. It refuses a scope of another tenant and one that is not listed.
func (h *Hierarchy) Chain(scope Scope, foldCase bool) ([]Scope, error) {
	tenant, named, err := ParseScope(string(scope), foldCase)
	if err != nil {
		return nil, err
	}
	if h == nil || tenant != h.tenant {
		return nil, fmt.Errorf("scope %q is of another tenant", scope)
	}
	var scratch []byte
	chain, ok := h.AppendChain(nil, named, &scratch)
	if !ok {
		return nil, fmt.Errorf("scope %q is not listed: list its environment, environment group or business unit", scope)
	}
	return chain, nil
}
