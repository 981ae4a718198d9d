package bundle

import (
	"strings"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A customRole is a role definition and where it stands; a shipped one has line 0.
type customRole struct {
	authz.RoleDefinition
	line int
}

// A roleTable finds role definitions by identifier and by name.
type roleTable struct {
	byID, byName map[string]*customRole
}

func newRoleTable() roleTable {
	return roleTable{byID: map[string]*customRole{}, byName: map[string]*customRole{}}
}

func (r roleTable) add(role *customRole) {
	r.byID[role.ID] = role
	r.byName[authz.RoleNameKey(role.Name)] = role
}

func (t *tenantReader) roleByID(id string) *customRole {
	if role := t.shipped.byID[id]; role != nil {
		return role
	}
	return t.roles.byID[id]
}

func (t *tenantReader) roleByName(name string) *customRole {
	key := authz.RoleNameKey(name)
	if role := t.shipped.byName[key]; role != nil {
		return role
	}
	return t.roles.byName[key]
}

// anywhere is where a role that names no assignable scopes may be assigned.
const anywhere = "/tenants/{0}"

func (t *tenantReader) readRoleDefinitions(f *fields) {
	f.list("roleDefinitions", func(v strictyaml.Value) {
		f := roleDefinitionRecord.read(v)
		role := &customRole{line: v.Line()}
		role.Description = f.optionalText("description")
		taken := false
		if id, ok := f.value("roleDefinitionId"); ok {
			role.ID = t.objectID(id)
			taken = isTaken(id, t.roleByID(role.ID), "identifier")
		}
		if name, ok := f.value("roleDefinitionName"); ok {
			if role.Name = name.Text(); role.Name != "" && authz.RoleNameKey(role.Name) == "" {
				name.Problemf("a name must hold more than spaces and hyphens")
				role.Name = ""
			}
			taken = isTaken(name, t.roleByName(role.Name), "name") || taken
		}
		role.Permissions = t.readPatterns(&f, "permissions")
		role.PermissionsExceptions = t.readPatterns(&f, "permissionsExceptions")
		role.AssignableScopes = t.readTemplates(&f, "assignableScopes")
		role.RestrictedScopes = t.readTemplates(&f, "restrictedScopes")
		if at, ok := f.value("assignableScopes"); !ok {
			role.AssignableScopes = []string{anywhere}
		} else if at.IsList() && len(role.AssignableScopes) == 0 {
			at.Problemf("want at least one scope at or below which the role may be assigned, such as /tenants/{0}")
		}
		if role.ID == "" || role.Name == "" || taken {
			return
		}
		t.roles.add(role)
		t.tenant.RoleDefinitions = append(t.tenant.RoleDefinitions, role.RoleDefinition)
	})
}

func isTaken(v strictyaml.Value, by *customRole, what string) bool {
	switch {
	case by == nil:
		return false
	case by.line == 0:
		v.Problemf("the %s is that of the shipped role %q (%s): choose another", what, by.Name, by.ID)
	default:
		v.Problemf("the %s is that of the role %q on line %d: choose another", what, by.Name, by.line)
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
