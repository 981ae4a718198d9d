package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A customRole is a role definition and where it stands; a shipped one has line 0.
type customRole struct {
	authz.RoleDefinition
	line int
}

// A roleTable finds role definitions by identifier, by name and by alias.
type roleTable struct {
	byID, byName map[string]*customRole
	byAlias      map[string][]*customRole
}

func newRoleTable() roleTable {
	return roleTable{byID: map[string]*customRole{}, byName: map[string]*customRole{}, byAlias: map[string][]*customRole{}}
}

func (r roleTable) add(role *customRole) {
	r.byID[role.ID] = role
	r.byName[authz.RoleNameKey(role.Name)] = role
	for _, alias := range role.Aliases {
		key := authz.RoleNameKey(alias)
		r.byAlias[key] = append(r.byAlias[key], role)
	}
}

func (t *tenantReader) roleByID(id string) *customRole {
	if role := t.shipped.byID[id]; role != nil {
		return role
	}
	return t.roles.byID[id]
}

// rolesNamed returns the role of a name or, where there is none, those that have it as alias.
func (t *tenantReader) rolesNamed(name string) []*customRole {
	key := authz.RoleNameKey(name)
	for _, known := range []roleTable{t.shipped, t.roles} {
		if role := known.byName[key]; role != nil {
			return []*customRole{role}
		}
	}
	return t.shipped.byAlias[key]
}

// roleByName returns the one role of a name or alias, or nil.
func (t *tenantReader) roleByName(name string) *customRole {
	if named := t.rolesNamed(name); len(named) == 1 {
		return named[0]
	}
	return nil
}

// noRole says why there is not one role of an identifier, name or alias.
func (t *tenantReader) noRole(text string) string {
	named := t.rolesNamed(text)
	if len(named) < 2 {
		return fmt.Sprintf("there is no role %q: want a shipped role, one of a role pack (--role-pack) or one under roleDefinitions", text)
	}
	all := make([]string, 0, len(named))
	for _, role := range named {
		all = append(all, fmt.Sprintf("%q", role.Name))
	}
	return fmt.Sprintf("%q is an alias of the roles %s: name the one that is meant", text, strings.Join(all, " and "))
}

// anywhere is where a role that names no assignable scopes may be assigned.
const anywhere = "/tenants/{0}"

func (t *tenantReader) readRoleDefinitions(f *fields) {
	var later []func() // once all roles are known
	f.list("roleDefinitions", func(v strictyaml.Value) {
		f := roleDefinitionRecord.read(v)
		role := &customRole{line: v.Line()}
		role.Description = f.optionalText("description")
		taken := false
		if id, ok := f.value("roleDefinitionId"); ok {
			role.ID = t.objectID(id)
			if known := t.roleByID(role.ID); known != nil {
				taken = isTaken(id, known, "identifier")
			}
		}
		if name, ok := f.value("roleDefinitionName"); ok {
			if role.Name = name.Text(); role.Name != "" && authz.RoleNameKey(role.Name) == "" {
				name.Problemf("a name must hold more than spaces and hyphens")
				role.Name = ""
			}
			if named := t.rolesNamed(role.Name); len(named) > 0 {
				taken = isTaken(name, named[0], "name") || taken
			}
		}
		if _, security := f.unlessNull("environment"); security {
			t.readSecurityRole(&f, role)
		} else {
			t.readPlatformRole(&f, role)
		}
		if list, ok := f.unlessNull("assignableRoles"); ok {
			if list.IsEmpty() {
				list.Problemf("want at least one role: without assignableRoles there is no limit")
			}
			terms := &authz.RoleTerms{}
			role.Terms = terms
			later = append(later, func() { terms.AssignableRoles = t.readAssignableRoles(list) })
		}
		if role.ID == "" || role.Name == "" || taken {
			return
		}
		t.roles.add(role)
		t.tenant.RoleDefinitions = append(t.tenant.RoleDefinitions, role.RoleDefinition)
	})
	for _, read := range later {
		read()
	}
}

// readPlatformRole reads what a custom role of the platform has.
func (t *tenantReader) readPlatformRole(f *fields, role *customRole) {
	if _, ok := f.value("permissions"); !ok && f.values != nil {
		f.at.Problemf("permissions is required, or the environment of a security role")
	}
	role.Permissions = t.readPatterns(f, "permissions")
	role.PermissionsExceptions = t.readPatterns(f, "permissionsExceptions")
	role.AssignableScopes = t.readTemplates(f, "assignableScopes")
	role.RestrictedScopes = t.readTemplates(f, "restrictedScopes")
	if at, ok := f.value("assignableScopes"); !ok {
		role.AssignableScopes = []string{anywhere}
	} else if at.IsList() && len(role.AssignableScopes) == 0 {
		at.Problemf("want at least one scope at or below which the role may be assigned, such as /tenants/{0}")
	}
	f.refuse("only a security role has it: say which environment's it is with environment, or leave it out", "businessUnit", "privileges")
	if at, _ := f.value("teamOnly"); f.bool("teamOnly") {
		at.Problemf("only a security role has it: say which environment's it is with environment, or leave it out")
	}
}

// readSecurityRole reads what a custom security role of an environment has.
func (t *tenantReader) readSecurityRole(f *fields, role *customRole) {
	role.Environment = t.environment(f)
	role.BusinessUnit = t.businessUnit(f, role.Environment)
	role.TeamOnly = f.bool("teamOnly")
	role.Privileges = t.readPrivileges(f, role.Environment)
	f.refuse("a security role gives privileges alone: leave it out, or make two roles of it", "permissionsExceptions")
	role.Permissions = t.readPatterns(f, "permissions")
	if at, ok := f.value("permissions"); ok && role.CarriesMore() {
		at.Problemf("a security role gives privileges, and of the platform %s at most: leave the others out, or make two roles of it", authz.PlayApps)
	}
	f.refuse("a security role may be assigned in its environment, and nowhere else: leave it out", "assignableScopes", "restrictedScopes")
}

// readPrivileges reads the lines of a security role.
func (t *tenantReader) readPrivileges(f *fields, environment string) []string {
	var lines []string
	f.list("privileges", func(v strictyaml.Value) {
		text := v.Text()
		if text == "" {
			return
		}
		pattern, err := authz.ParsePrivilegePattern(text)
		if err != nil {
			v.Problemf("%v", err)
			return
		}
		if pattern.Table != "" && environment != "" && t.table(environment, pattern.Table) == nil {
			v.Problemf("privilege %q: %s", text, noTable(environment, pattern.Table))
			return
		}
		lines = append(lines, text)
	})
	return lines
}

// readAssignableRoles reads names and identifiers of roles, and returns the identifiers.
func (t *tenantReader) readAssignableRoles(list strictyaml.Value) []string {
	var ids []string
	list.List(func(v strictyaml.Value) {
		text := v.Text()
		if text == "" {
			return
		}
		if text == authz.AllSecurityRoles {
			ids = append(ids, text)
			return
		}
		role := t.roleByID(authz.CanonicalID(text, t.foldCase))
		if role == nil {
			role = t.roleByName(text)
		}
		if role == nil {
			v.Problemf("%s", t.noRole(text))
			return
		}
		ids = append(ids, role.ID)
	})
	slices.Sort(ids)
	return slices.Compact(ids)
}

func isTaken(v strictyaml.Value, by *customRole, what string) bool {
	switch {
	case by.line > 0:
		v.Problemf("the %s is that of the role %q on line %d: choose another", what, by.Name, by.line)
	case what == "name" && authz.RoleNameKey(v.OptionalText()) != authz.RoleNameKey(by.Name):
		v.Problemf("the name is an alias of the shipped role %q (%s): choose another", by.Name, by.ID)
	default:
		v.Problemf("the %s is that of the shipped role %q (%s): choose another", what, by.Name, by.ID)
	}
	return true
}

// readPatterns reads permission patterns. Each is compiled on its own, so that a problem
// has its place. A pattern with a star may cover nothing yet, as in published roles.
func (t *tenantReader) readPatterns(f *fields, key string) []string {
	var patterns []string
	f.list(key, func(v strictyaml.Value) {
		pattern := v.Text()
		if pattern == "" {
			return
		}
		if _, err := t.vocabulary.Compile(authz.RoleDefinition{Permissions: []string{pattern}}); err != nil {
			v.Problemf("%s", strings.TrimPrefix(err.Error(), `role definition "": permissions: `))
			return
		}
		patterns = append(patterns, pattern)
	})
	return patterns
}

// readTemplates reads scopes in which {0}, {1} and so on stand for any identifier.
func (t *tenantReader) readTemplates(f *fields, key string) []string {
	var templates []string
	f.list(key, func(v strictyaml.Value) {
		text := v.Text()
		if text == "" {
			return
		}
		segments := strings.Split(text, "/")
		places := map[int]string{}
		for i, segment := range segments {
			if i%2 == 0 && len(segment) > 2 && segment[0] == '{' && segment[len(segment)-1] == '}' {
				places[i], segments[i] = segment, "0"
			}
		}
		tenant, named, err := authz.ParseScope(strings.Join(segments, "/"), t.foldCase)
		if err != nil {
			v.Problemf("%q is no scope with placeholders such as /tenants/{0}/environments/{1}: %v", text, err)
			return
		}
		if places[2] == "" && tenant != t.tenant.ID {
			v.Problemf("scope %q is of another tenant: begin it with /tenants/{0}", text)
			return
		}
		segments = strings.Split(string(named.In(tenant)), "/")
		for i, placeholder := range places {
			segments[i] = placeholder
		}
		templates = append(templates, strings.Join(segments, "/"))
	})
	return templates
}
