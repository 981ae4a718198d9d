package roles

import (
	"encoding"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// What a custom role is held to holds for roles of packs too, in bytes and items.
const (
	maxPackName        = 256
	maxPackDescription = 1024
	maxPackPatterns    = 1000
	maxPackTemplates   = 100
)

// Where roles may be assigned that say nothing of it.
const (
	everyTenant      = "/tenants/{0}"
	everyEnvironment = "/tenants/{0}/environments/{1}"
)

var packCategories = []string{authz.TenantAdministrationRoles, authz.EnvironmentRoles, authz.DataverseRoles}

// role reads one role and adds it to those that are known.
func (l *packLoader) role(v strictyaml.Value, pack string) {
	f := readKeys(v, roleKeys, powers, "roleDefinitionId", "roleDefinitionName", "category", "heldBy")
	role := &packRole{RoleDefinition: authz.RoleDefinition{Pack: pack, Terms: &authz.RoleTerms{}}}
	l.identity(f, role)
	role.place = placeOf(v, &role.RoleDefinition)
	if at, ok := f["description"]; ok && !at.IsNull() {
		if role.Description = at.OptionalText(); len(role.Description) > maxPackDescription {
			at.Problemf("is longer than %d bytes", maxPackDescription)
		}
	}
	if at, ok := f["category"]; ok {
		if text := at.Text(); slices.Contains(packCategories, text) {
			role.Category = text
		} else if text != "" {
			at.Problemf("want one of %s, not %q", strings.Join(packCategories, ", "), text)
		}
	}
	role.Permissions = l.patterns(f, "permissions")
	role.PermissionsExceptions = l.patterns(f, "permissionsExceptions")
	role.Privileges = privileges(f)
	role.AssignableScopes = l.templates(f, "assignableScopes", role.Category)
	role.RestrictedScopes = l.templates(f, "restrictedScopes", role.Category)
	if at, ok := f["teamOnly"]; ok {
		role.TeamOnly = at.Bool()
	}
	l.terms(f, role)
	l.ofCategory(v, f, role)
	l.know(role)
	l.roles = append(l.roles, role)
}

// identity reads the identifier and the names, and leaves out what is another role's.
func (l *packLoader) identity(f map[string]strictyaml.Value, role *packRole) {
	if at, ok := f["roleDefinitionId"]; ok {
		if text := at.Text(); text != "" && !authz.IsGUID(text) {
			at.Problemf("%q is no GUID: a role of a pack is told by one, in every environment alike", text)
		} else if id := authz.CanonicalID(text, false); l.claim(at, "identifier", l.byID[id]) {
			role.ID = id
		}
	}
	if at, ok := f["roleDefinitionName"]; ok {
		role.Name = l.roleName(at, "name")
	}
	if at, ok := f["aliases"]; ok {
		seen := map[string]bool{authz.RoleNameKey(role.Name): role.Name != ""}
		at.List(func(at strictyaml.Value) {
			alias := l.roleName(at, "alias")
			switch key := authz.RoleNameKey(alias); {
			case alias == "":
			case seen[key]:
				at.Problemf("the role has the name %q already", alias)
			default:
				seen[key] = true
				role.Aliases = append(role.Aliases, alias)
			}
		})
	}
}

// roleName reads a name that no other role has; it is empty after a problem.
func (l *packLoader) roleName(v strictyaml.Value, what string) string {
	name := packText(v, maxPackName)
	switch {
	case name == "":
		return ""
	case authz.RoleNameKey(name) == "":
		v.Problemf("a name must hold more than spaces and hyphens")
		return ""
	case authz.IsGUID(name):
		v.Problemf("%q would be taken for an identifier: choose a name", name)
		return ""
	case !l.claim(v, what, l.byName[authz.RoleNameKey(name)]):
		return ""
	}
	return name
}

// packText reads text that can be seen.
func packText(v strictyaml.Value, most int) string {
	text := v.Text()
	switch {
	case len(text) > most:
		v.Problemf("is longer than %d bytes", most)
		return ""
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		v.Problemf("has a character that is not seen, or a space that is not U+0020: type it anew")
		return ""
	}
	return text
}

// patterns reads permission patterns, each compiled on its own so that a problem has its
// place.
func (l *packLoader) patterns(f map[string]strictyaml.Value, key string) []string {
	return texts(f, key, maxPackPatterns, func(text string) (string, error) {
		if _, err := l.options.Vocabulary.Compile(authz.RoleDefinition{Permissions: []string{text}}); err != nil {
			return "", fmt.Errorf("%s", strings.TrimPrefix(err.Error(), `role definition "": permissions: `))
		}
		return text, nil
	})
}

// privileges reads the lines of a security role. A table that an environment does not
// declare gives nothing there: which there are depends on what is installed.
func privileges(f map[string]strictyaml.Value) []string {
	return texts(f, "privileges", maxPackPatterns, func(text string) (string, error) {
		_, err := authz.ParsePrivilegePattern(text)
		return text, err
	})
}

// templates reads scopes in which {0}, {1} and so on stand for any identifier.
func (l *packLoader) templates(f map[string]strictyaml.Value, key, category string) []string {
	return texts(f, key, maxPackTemplates, func(text string) (string, error) {
		segments := strings.Split(text, "/")
		for i, segment := range segments {
			isPlaceholder := len(segment) > 2 && segment[0] == '{' && segment[len(segment)-1] == '}'
			switch {
			case i%2 == 0 && isPlaceholder:
				segments[i] = "0"
			case i == 5 && isPlaceholder: // any type of resource
				segments[i] = "resources"
			case i%2 == 0 && i > 0:
				return "", fmt.Errorf("scope %q names %q: a role of a pack is for every tenant, so write a placeholder as in %s", text, segment, everyEnvironment)
			}
		}
		_, named, err := authz.ParseScope(strings.Join(segments, "/"), l.options.FoldCase)
		switch {
		case err != nil:
			return "", fmt.Errorf("%q is no scope with placeholders such as %s: %w", text, everyEnvironment, err)
		case key == "assignableScopes" && named.Environment == "" && category != authz.TenantAdministrationRoles && category != "":
			return "", fmt.Errorf("scope %q: a role of the category %s is assigned in an environment: write %s or something below it", text, category, everyEnvironment)
		}
		return text, nil
	})
}

// texts reads a list of texts, each by itself.
func texts(f map[string]strictyaml.Value, key string, most int, read func(string) (string, error)) []string {
	at, ok := f[key]
	if !ok {
		return nil
	}
	all, n := []string{}, 0
	at.List(func(v strictyaml.Value) {
		n++
		text := v.Text()
		if text == "" {
			return
		}
		if text, err := read(text); err != nil {
			v.Problemf("%v", err)
		} else if slices.Contains(all, text) {
			v.Problemf("%q is listed twice", text)
		} else {
			all = append(all, text)
		}
	})
	if n > most {
		at.Problemf("has %d items: want %d at most", n, most)
	}
	return all
}

// word reads a text that knows itself what it may be.
func word[P encoding.TextUnmarshaler](f map[string]strictyaml.Value, key string, into P) {
	if at, ok := f[key]; ok {
		if text := at.Text(); text != "" {
			if err := into.UnmarshalText([]byte(text)); err != nil {
				at.Problemf("%v", err)
			}
		}
	}
}

// terms reads who may hold the role, and how that comes about.
func (l *packLoader) terms(f map[string]strictyaml.Value, role *packRole) {
	t := role.Terms
	if at, ok := f["heldBy"]; ok {
		if at.IsEmpty() {
			at.Problemf("want at least one kind of holder, such as User")
		}
		at.List(func(at strictyaml.Value) {
			var kind authz.HolderKind
			word(map[string]strictyaml.Value{"": at}, "", &kind)
			switch {
			case kind == authz.NoHolder:
			case slices.Contains(t.HeldBy, kind):
				at.Problemf("%v is listed twice", kind)
			case kind == authz.AccessTeamHolder:
				at.Problemf("an access team holds no roles: name OwnerTeam or GroupTeam")
			default:
				t.HeldBy = append(t.HeldBy, kind)
			}
		})
	}
	word(f, "comesBy", &t.ComesBy)
	word(f, "database", &t.Database)
	if at, ok := f["heldByTeamNamed"]; ok {
		t.HeldByTeamNamed = packText(at, maxPackName)
		isTeam := func(kind authz.HolderKind) bool {
			return kind == authz.OwnerTeamHolder || kind == authz.GroupTeamHolder
		}
		if len(t.HeldBy) > 0 && slices.IndexFunc(t.HeldBy, func(kind authz.HolderKind) bool { return !isTeam(kind) }) >= 0 {
			at.Problemf("only teams have a name that this asks for: let heldBy be OwnerTeam or GroupTeam alone")
		}
	}
	if at, ok := f["assignableRoles"]; ok {
		if at.IsEmpty() {
			at.Problemf("want at least one role: without assignableRoles there is no limit")
		}
		l.later = append(l.later, func() { t.AssignableRoles = l.assignableRoles(at) })
	}
	if at, ok := f["companion"]; ok {
		l.later = append(l.later, func() { t.Companion = l.companion(at, role) })
	}
}

func (l *packLoader) assignableRoles(list strictyaml.Value) []string {
	var ids []string
	list.List(func(v strictyaml.Value) {
		text := v.Text()
		if text == "" {
			return
		}
		id := text
		if text != authz.AllSecurityRoles {
			other := l.find(text)
			if other == nil {
				v.Problemf("there is no role %q: name one that comes with the product or is of a pack, or %s", text, authz.AllSecurityRoles)
				return
			}
			id = other.ID
		}
		if slices.Contains(ids, id) {
			v.Problemf("%q is listed twice", text)
			return
		}
		ids = append(ids, id)
	})
	return ids
}

func (l *packLoader) companion(at strictyaml.Value, role *packRole) string {
	text := at.Text()
	if text == "" {
		return ""
	}
	switch other := l.find(text); {
	case other == nil:
		at.Problemf("there is no role %q: name a security role that comes with the product or is of a pack", text)
	case role.Category == authz.DataverseRoles:
		at.Problemf("a security role brings no other along: only a role of the category %s or %s has a companion", authz.EnvironmentRoles, authz.TenantAdministrationRoles)
	case !other.IsSecurityRole() || other.Terms == nil || other.Terms.ComesBy != authz.ByCompanion:
		at.Problemf("%s does not come by companion: name a role of the category %s with comesBy: companion", other.place, authz.DataverseRoles)
	default:
		return other.ID
	}
	return ""
}

// ofCategory checks what depends on what kind of role it is, and puts in what goes without
// saying.
func (l *packLoader) ofCategory(v strictyaml.Value, f map[string]strictyaml.Value, role *packRole) {
	if role.Category == "" {
		return
	}
	security := role.IsSecurityRole()
	for key, needed := range map[string]bool{"permissions": !security, "privileges": security} {
		if _, ok := f[key]; needed && !ok {
			v.Problemf("%s is required of a role of the category %s: a list of none is []", key, role.Category)
		}
	}
	if security {
		l.ofDataverse(f, role)
	} else {
		for _, key := range []string{"privileges", "teamOnly"} {
			if at, ok := f[key]; ok && !at.IsEmpty() && (key != "teamOnly" || role.TeamOnly) {
				at.Problemf("only a security role has it: let its category be %s, or leave it out", authz.DataverseRoles)
			}
		}
	}
	if at, ok := f["assignableScopes"]; ok {
		if at.IsEmpty() {
			at.Problemf("want at least one scope at or below which the role may be assigned, such as %s", everyEnvironment)
		}
		return
	}
	role.AssignableScopes = []string{everyEnvironment}
	if role.Category == authz.TenantAdministrationRoles {
		role.AssignableScopes = []string{everyTenant}
	}
}

// ofDataverse checks what only a security role is asked.
func (l *packLoader) ofDataverse(f map[string]strictyaml.Value, role *packRole) {
	t := role.Terms
	if at, ok := f["database"]; !ok {
		t.Database = authz.DatabaseRequired
	} else if t.Database != authz.DatabaseRequired {
		at.Problemf("a security role is held in a database: write required, or leave it out")
	}
	if slices.Contains(t.HeldBy, authz.DirectoryRoleHolder) {
		f["heldBy"].Problemf("a directory role holds no security role: make it one of the category %s", authz.TenantAdministrationRoles)
	}
	if slices.Contains(t.HeldBy, authz.GroupHolder) && t.ComesBy != authz.ByCompanion {
		f["heldBy"].Problemf("a group holds security roles through a team of it: name GroupTeam in place of Group")
	}
}
