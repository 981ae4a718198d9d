package roles

import (
	"slices"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// All returns every definition that comes with the product: [Shipped], then [Predefined].
// No two of them have an identifier, a name or an alias in common. The caller may keep and
// change what it gets.
func All() []authz.RoleDefinition { return slices.Concat(Shipped(), Predefined()) }
