package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A RoleDefinition is a named collection of permissions that can be assigned. The
// fields are those of the Power Platform API's role definition.
type RoleDefinition struct {
	// ID identifies the role, for shipped roles a GUID such as
	// c886ad2e-27f7-4874-8381-5849b8d8a090.
	ID string
	// Name is what people call it, such as Power Platform Reader. Names are compared
	// without case, spaces and hyphens alike.
	Name string
	// Description says in a sentence what the role is for.
	Description string
	// Permissions are patterns: *, *.Read, NS.*, NS.*.Read, NS.RT.* or an exact name.
	Permissions []string
	// PermissionsExceptions are patterns that are taken away from Permissions. An
	// exception is not a deny: another role may still grant.
	PermissionsExceptions []string
	// AssignableScopes are templates such as /tenants/{0}/environments/{1}; the role
	// may be assigned there and below.
	AssignableScopes []string
	// RestrictedScopes are templates at or below which the role may not be assigned.
	RestrictedScopes []string
	// Category is the kind of predefined role, such as Dataverse; empty for the roles of the
	// Power Platform API and for custom ones.
	Category string
	// Pack is the name of the role pack that a predefined role was loaded from; empty for
	// those that come with the product and for every other role.
	Pack string
	// Aliases are names that the role had, or is called by, compared like names.
	Aliases []string
	// Privileges are what the role gives in a database, lines that [ParsePrivilegePattern]
	// reads. A role that has any is a security role.
	Privileges []string
	// TeamOnly says that members of a team that holds the role do not have its User reach
	// as their own: it reaches what that team owns, and nothing else.
	TeamOnly bool
	// EverySecuredColumn lets holders at every secured column, as the System Administrator.
	EverySecuredColumn bool
	// Environment is the one whose custom security role this is, and where alone it can be
	// assigned; empty for every other role.
	Environment string
	// BusinessUnit is the one of that environment that the role belongs to; empty: its root.
	BusinessUnit string
	// Terms say who may hold the role; see [RoleDefinition.CheckAssignment] where it is nil.
	Terms *RoleTerms
}

// A Role is a [RoleDefinition] compiled for one [Vocabulary]. It is immutable and safe
// for concurrent use. A nil Role grants nothing and takes nothing away.
type Role struct {
	id, name string
	security bool
	grants   Set
	takes    Set
}

// Compile works out what a role grants: what its patterns match and everything that
// those permissions imply; minus, for each exception, what it matches, what that
// implies, and whatever implies any of it. It reports every pattern that is malformed
// and every exact name that the vocabulary does not know.
func (v *Vocabulary) Compile(def RoleDefinition) (*Role, error) {
	return v.compile(def, true)
}

// CompileShipped is [Vocabulary.Compile] for the roles that come with the product: an
// exact name that this vocabulary does not know grants nothing instead of being an
// error, because a catalogue of another API knows only some of them.
func (v *Vocabulary) CompileShipped(def RoleDefinition) (*Role, error) {
	return v.compile(def, false)
}

func (v *Vocabulary) compile(def RoleDefinition, unknownIsError bool) (*Role, error) {
	var errs []error
	var unknown []string // the exact names of the field that the vocabulary does not know
	match := func(field string, patterns []string) Set {
		matched := v.NewSet()
		for _, text := range patterns {
			p, err := parsePattern(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("role definition %q: %s: %w", def.Name, field, err))
				continue
			}
			if _, ok := v.ids[p.exact]; p.exact != "" && !ok {
				if unknownIsError {
					errs = append(errs, fmt.Errorf("role definition %q: %s: the catalogue knows no permission %q", def.Name, field, text))
				}
				unknown = append(unknown, p.exact)
			}
			for id, folded := range v.folded {
				if p.matches(folded) {
					matched.union(v.down[id])
				}
			}
		}
		return matched
	}
	role := &Role{id: def.ID, name: def.Name, security: def.IsSecurityRole(), grants: match("permissions", def.Permissions)}
	unknown = nil
	role.grants.subtract(v.andImpliers(match("permissionsExceptions", def.PermissionsExceptions)))
	for _, name := range unknown { // an exception holds although what it names does not exist
		role.grants.subtract(v.touching(name))
	}
	role.takes = v.andImpliers(role.grants)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return role, nil
}

// andImpliers returns the set and whatever implies any of it: taking Create away while
// leaving Write, which gives Create, would take nothing away.
func (v *Vocabulary) andImpliers(s Set) Set {
	all := v.NewSet()
	for id := range v.names {
		if s.Has(PermissionID(id)) {
			all.union(v.up[id])
		}
	}
	return all
}

// ID returns the role definition's identifier.
func (r *Role) ID() string {
	if r == nil {
		return ""
	}
	return r.id
}

// Name returns the role definition's name.
func (r *Role) Name() string {
	if r == nil {
		return ""
	}
	return r.name
}

// IsSecurityRole tells whether the role is a Dataverse security role: assigned in a business
// unit, it gives its permissions at the environment.
func (r *Role) IsSecurityRole() bool { return r != nil && r.security }

// Grants tells whether the role grants the permission.
func (r *Role) Grants(id PermissionID) bool { return r != nil && r.grants.Has(id) }

// Takes tells whether a DENY or FORBID assignment of the role takes the permission
// away: what the role grants, and whatever implies any of it.
func (r *Role) Takes(id PermissionID) bool { return r != nil && r.takes.Has(id) }

// GrantSet returns a copy of what the role grants; a nil set where it is nil.
func (r *Role) GrantSet() Set {
	if r == nil {
		return nil
	}
	return slices.Clone(r.grants)
}

// TakeSet returns a copy of what a DENY or FORBID assignment of the role takes away; a nil
// set where it is nil.
func (r *Role) TakeSet() Set {
	if r == nil {
		return nil
	}
	return slices.Clone(r.takes)
}

// Size is the number of permissions that the role grants.
func (r *Role) Size() int {
	if r == nil {
		return 0
	}
	return r.grants.Len()
}

// RoleNameKey is the form under which role names are compared: lower case, with
// spaces and hyphens alike.
func RoleNameKey(name string) string {
	return lowerASCII(strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '-' }), " "))
}

// AssignableAt tells whether the role may be assigned at a scope, given the scope's
// chain (nearest first, the scope itself included): at or below an assignable scope,
// and not at or below a restricted one. A security role is assigned in an environment or in
// a business unit, and at anything else only where a template is of such a thing; a custom
// one needs no assignable scopes, and can be assigned in its environment.
func (def RoleDefinition) AssignableAt(chain []Scope) bool {
	if len(chain) == 0 {
		return false
	}
	if def.IsSecurityRole() {
		return def.securityRoleAssignableAt(chain)
	}
	for _, template := range def.RestrictedScopes {
		if templateCovers(template, chain[0]) {
			return false
		}
	}
	for _, template := range def.AssignableScopes {
		for _, scope := range chain {
			if templateCovers(template, scope) {
				return true
			}
		}
	}
	return false
}

// securityRoleAssignableAt is [RoleDefinition.AssignableAt] for security roles.
func (def *RoleDefinition) securityRoleAssignableAt(chain []Scope) bool {
	at := strings.Split(string(chain[0]), "/")
	isResource := len(at) == 7 && at[5] != businessUnitsWord
	if def.Environment != "" {
		return !isResource && len(at) >= 5 && at[3] == environmentsWord && at[4] == def.Environment
	}
	templates := slices.DeleteFunc(slices.Clone(def.AssignableScopes), func(template string) bool {
		return isResource && strings.Count(template, "/") != 6
	})
	return RoleDefinition{AssignableScopes: templates, RestrictedScopes: def.RestrictedScopes}.AssignableAt(chain)
}

// templateCovers tells whether the scope is at or below a template, in which {0},
// {1} and so on stand for any identifier.
func templateCovers(template string, scope Scope) bool {
	want, have := strings.Split(template, "/"), strings.Split(string(scope), "/")
	if template == "" || len(have) < len(want) {
		return false
	}
	for i, segment := range want {
		placeholder := len(segment) > 2 && segment[0] == '{' && segment[len(segment)-1] == '}'
		if !placeholder && lowerASCII(segment) != lowerASCII(have[i]) {
			return false
		}
	}
	return true
}
