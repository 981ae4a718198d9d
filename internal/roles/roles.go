// Package roles holds the role definitions that come with the product: the four that
// Microsoft publishes for the Power Platform API and the further 28 that the API lists
// ([Shipped]), and the roles of tenant administration, of environments and of Dataverse
// ([Predefined]), with their identifiers, permissions, privileges, scopes and terms; and the
// tables that every environment with a database has ([StandardTables]). SOURCES.md says
// which test covers which published role and table. Further predefined roles are read from
// role packs ([WithPacks]).
//
// They are immutable: whatever is asked for is a copy. What does not parse or is listed
// twice stops the program at its start, so a role that is missing cannot go unseen.
package roles

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

//go:embed roles.json
var document []byte

// shipped is read only; what leaves the package is cloned.
var shipped = mustParse(document)

// Shipped returns the definitions in their published order, with the names that the API
// answers. Its documentation spells some otherwise (Power Platform reader), which is the
// same name to [authz.RoleNameKey]. The caller may keep and change what it gets.
func Shipped() []authz.RoleDefinition {
	all := make([]authz.RoleDefinition, 0, len(shipped))
	for _, def := range shipped {
		all = append(all, clone(def))
	}
	return all
}

// Find returns the first of the definitions whose identifier, or whose name, is the text
// given: a GUID in either case, a name in any case, spaces and hyphens alike. An
// identifier outranks a name.
func Find(defs []authz.RoleDefinition, idOrName string) (authz.RoleDefinition, bool) {
	id := authz.CanonicalID(idOrName, false)
	for _, def := range defs {
		if def.ID != "" && authz.CanonicalID(def.ID, false) == id {
			return def, true
		}
	}
	key := authz.RoleNameKey(idOrName)
	for _, def := range defs {
		if key != "" && authz.RoleNameKey(def.Name) == key {
			return def, true
		}
	}
	return authz.RoleDefinition{}, false
}

// definition is a role definition with the field names of the Power Platform API.
type definition struct {
	ID                    string   `json:"roleDefinitionId"`
	Name                  string   `json:"roleDefinitionName"`
	Description           string   `json:"description"`
	Permissions           []string `json:"permissions"`
	PermissionsExceptions []string `json:"permissionsExceptions"`
	AssignableScopes      []string `json:"assignableScopes"`
	RestrictedScopes      []string `json:"restrictedScopes"`
}

func (d definition) roleDefinition() authz.RoleDefinition {
	return authz.RoleDefinition{
		ID: d.ID, Name: d.Name, Description: d.Description,
		Permissions: d.Permissions, PermissionsExceptions: d.PermissionsExceptions,
		AssignableScopes: d.AssignableScopes, RestrictedScopes: d.RestrictedScopes,
	}
}

// mustDecode reads an embedded document, a list of records, and refuses what they do not know.
func mustDecode[T any](what string, document []byte) (all []T) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&all); err != nil {
		panic(fmt.Sprintf("%s: %v", what, err))
	}
	return all
}

func mustParse(document []byte) []authz.RoleDefinition {
	parsed := mustDecode[definition]("shipped roles", document)
	defs := make([]authz.RoleDefinition, 0, len(parsed))
	for _, d := range parsed {
		def := d.roleDefinition()
		for _, idOrName := range []string{def.ID, def.Name} {
			if other, twice := Find(defs, idOrName); twice {
				panic(fmt.Sprintf("shipped roles: %q is listed twice (%s)", idOrName, other.ID))
			}
		}
		defs = append(defs, def)
	}
	return defs
}

func clone(def authz.RoleDefinition) authz.RoleDefinition {
	def.Permissions = slices.Clone(def.Permissions)
	def.PermissionsExceptions = slices.Clone(def.PermissionsExceptions)
	def.AssignableScopes = slices.Clone(def.AssignableScopes)
	def.RestrictedScopes = slices.Clone(def.RestrictedScopes)
	def.Aliases = slices.Clone(def.Aliases)
	def.Privileges = slices.Clone(def.Privileges)
	if def.Terms != nil {
		terms := *def.Terms
		terms.HeldBy = slices.Clone(terms.HeldBy)
		terms.AssignableRoles = slices.Clone(terms.AssignableRoles)
		def.Terms = &terms
	}
	return def
}
