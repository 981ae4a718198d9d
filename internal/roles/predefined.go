package roles

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

//go:embed predefined.json
var predefinedDocument []byte

// predefined is read only; what leaves the package is cloned.
var predefined = mustParsePredefined(predefinedDocument)

// Identifiers of predefined roles that other code must know.
const (
	SystemAdministratorID = "627090ff-40a3-4053-8790-584edc5be201"
	EnvironmentAdminID    = "4b6803e3-29d4-8af9-a346-14cca3ff48fd" // ours: none is published
	EnvironmentMakerID    = "139803d2-eb73-8427-a1ef-a971d0aa7263" // ours: none is published
)

// IDIsOurs tells whether a predefined role's identifier is ours, because none is published:
// those are UUIDs of version 8, made of the role's name.
func IDIsOurs(id string) bool { return authz.IsGUID(id) && id[14] == '8' }

// Predefined returns the roles of tenant administration, of environments and of Dataverse
// that come with the product, with their terms, in a fixed order. The caller may keep and
// change what it gets.
func Predefined() []authz.RoleDefinition {
	all := make([]authz.RoleDefinition, 0, len(predefined))
	for _, def := range predefined {
		all = append(all, clone(def))
	}
	return all
}

// FindPredefined returns the predefined role whose identifier, name or alias is the text
// given, compared as by [Find]. An identifier outranks a name, and a name an alias.
func FindPredefined(idOrName string) (authz.RoleDefinition, bool) {
	def, ok := findWithAliases(predefined, idOrName)
	return clone(def), ok
}

func findWithAliases(defs []authz.RoleDefinition, idOrName string) (authz.RoleDefinition, bool) {
	if def, ok := Find(defs, idOrName); ok {
		return def, true
	}
	key := authz.RoleNameKey(idOrName)
	for _, def := range defs {
		if key != "" && slices.ContainsFunc(def.Aliases, func(alias string) bool { return authz.RoleNameKey(alias) == key }) {
			return def, true
		}
	}
	return authz.RoleDefinition{}, false
}

// predefinedRecord is a predefined role as the document spells it.
type predefinedRecord struct {
	definition
	Aliases            []string           `json:"aliases"`
	Category           string             `json:"category"`
	Privileges         []string           `json:"privileges"`
	TeamOnly           bool               `json:"teamOnly"`
	EverySecuredColumn bool               `json:"everySecuredColumn"`
	HeldBy             []authz.HolderKind `json:"heldBy"`
	HeldByTeamNamed    string             `json:"heldByTeamNamed"`
	ComesBy            authz.Origin       `json:"comesBy"`
	Database           authz.DatabaseRule `json:"database"`
	AssignableRoles    []string           `json:"assignableRoles"`
	Companion          string             `json:"companion"`
	Elevates           bool               `json:"elevates"`
}

func mustParsePredefined(document []byte) []authz.RoleDefinition {
	records := mustDecode[predefinedRecord]("predefined roles", document)
	all := make([]authz.RoleDefinition, 0, len(records))
	for _, r := range records {
		def := r.roleDefinition()
		def.Category, def.Aliases, def.Privileges = r.Category, r.Aliases, r.Privileges
		def.TeamOnly, def.EverySecuredColumn = r.TeamOnly, r.EverySecuredColumn
		def.Terms = &authz.RoleTerms{
			HeldBy: r.HeldBy, HeldByTeamNamed: r.HeldByTeamNamed, ComesBy: r.ComesBy, Database: r.Database,
			AssignableRoles: r.AssignableRoles, Companion: r.Companion, Elevates: r.Elevates,
		}
		for _, idOrName := range append([]string{def.ID, def.Name}, def.Aliases...) {
			if other, twice := findWithAliases(slices.Concat(all, shipped), idOrName); twice {
				panic(fmt.Sprintf("predefined roles: %q is listed twice (%s)", idOrName, other.ID))
			}
		}
		for _, privilege := range def.Privileges {
			if _, err := authz.ParsePrivilegePattern(privilege); err != nil {
				panic(fmt.Sprintf("predefined role %q: %v", def.Name, err))
			}
		}
		all = append(all, def)
	}
	return all
}
