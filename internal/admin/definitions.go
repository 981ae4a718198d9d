package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	maxPatterns  = 1000
	maxTemplates = 100
)

func (a *Admin) shownDefinition(r Reader, tenant string, def authz.RoleDefinition) (RoleDefinition, error) {
	if a.isShipped(def.ID) {
		return RoleDefinition{RoleDefinition: def, BuiltIn: true}, nil
	}
	missing, err := a.missingToOpenApp(r, tenant, &def)
	return RoleDefinition{
		RoleDefinition: def, Etag: etagOf(tenant, definitionItemOf(&def)), CannotOpenApp: len(missing) > 0, MissingToOpenApp: missing,
	}, err
}

// CreateRoleDefinition makes a custom role, or a copy of another role. It needs
// Authorization.RoleAssignments.Write everywhere in the tenant, or for a security role what
// is said there. Nobody is assigned it.
//
// A security role belongs to one environment. It needs Authorization.RoleAssignments.Write
// at the environment, covering security roles, or the privilege to create, write or delete
// every record of the table SecurityRole there; and nobody puts into it a privilege, or a
// reach of one, that they do not hold. A new one begins with what it takes to open an app.
func (a *Admin) CreateRoleDefinition(ctx context.Context, c Caller, q CreateRoleDefinitionRequest) (RoleDefinitionResult, error) {
	return mutate(ctx, a, c, "CreateRoleDefinition", tokens, q, &q.Context, func(t *txn) (RoleDefinitionResult, error) {
		return t.createDefinition(&q)
	})
}

func (t *txn) createDefinition(q *CreateRoleDefinitionRequest) (RoleDefinitionResult, error) {
	k, err := t.asker()
	if err != nil {
		return RoleDefinitionResult{}, err
	}
	def := q.RoleDefinition
	if def.Environment != "" {
		if def.Environment, err = t.needSecurityRoles(k, t.a.write, "RoleDefinition.Environment", def.Environment, authz.CreatePrivilege); err != nil {
			return RoleDefinitionResult{}, err
		}
	} else if err := k.needEverywhere(t.a.write); err != nil {
		return RoleDefinitionResult{}, err
	}
	if def.ID != "" {
		return RoleDefinitionResult{}, fail(Invalid, "RoleDefinition.ID", "the server gives a role its identifier", "leave it out")
	}
	def.Category, def.Pack, def.Aliases, def.EverySecuredColumn, def.Terms = "", "", nil, false, onlyLimit(def.Terms)
	begun := false // with what every new security role has, which nobody needs to hold
	switch {
	case q.CopyOf != "":
		if err := t.copyDefinition(q.CopyOf, &def); err != nil {
			return RoleDefinitionResult{}, err
		}
	case def.Environment != "" && len(def.Privileges)+len(def.Permissions) == 0 && !q.Empty:
		t.a.begin(&def)
		begun = true
	}
	def.ID = newID()
	if err := t.checkDefinition(&def); err != nil {
		return RoleDefinitionResult{}, err
	}
	if def.Environment != "" && !begun {
		if err := t.holdsPrivileges(nil, &def); err != nil {
			return RoleDefinitionResult{}, err
		}
	}
	if _, err := t.a.vocabulary.Compile(def); err != nil {
		// Of a shipped role that names permissions of another API.
		return RoleDefinitionResult{}, fail(Invalid, "CopyOf", err.Error(), "name the permissions instead of copying the role")
	}
	err = t.apply(k, touch{assignable: limitNames(&def)}, func() error { return t.putDefinition(nil, &def) })
	if err != nil {
		return RoleDefinitionResult{}, err
	}
	shown, err := t.a.shownDefinition(t.e, t.tenant, def)
	return RoleDefinitionResult{RoleDefinition: shown}, err
}

// copyDefinition gives a role what another one grants and how it is set, and not who holds
// it.
func (t *txn) copyDefinition(of string, def *authz.RoleDefinition) error {
	if len(def.Permissions)+len(def.PermissionsExceptions)+len(def.AssignableScopes)+len(def.RestrictedScopes)+len(def.Privileges) > 0 || def.TeamOnly || def.Terms != nil {
		return fail(Invalid, "RoleDefinition", "a copy takes its permissions, privileges, settings and scopes from the other role",
			"give a name and a description alone, and for a security role the environment and the business unit")
	}
	source, ok, err := t.definition(of)
	if err != nil {
		return err
	}
	if ok && source.Environment != "" && source.Environment != def.Environment { // of which the caller may know nothing
		k, err := t.asker()
		if err != nil {
			return err
		}
		ok = k.holds(t.a.readRoles, k.root())
	}
	switch {
	case !ok:
		return failf(RoleUnknown, "CopyOf", "", "there is no role %q", of)
	case !source.Copyable():
		return failf(Immutable, "CopyOf", "copy a role that can be assigned by hand", "the role %q cannot be copied", source.Name)
	case source.IsSecurityRole() && def.Environment == "":
		return failf(Invalid, "RoleDefinition.Environment", "", "%q is a security role: say whose environment's the copy is to be", source.Name)
	case !source.IsSecurityRole() && def.Environment != "":
		return failf(Invalid, "RoleDefinition.Environment", "leave it out", "%q is a role of the platform, and a copy of it belongs to no environment", source.Name)
	case source.IsSecurityRole():
		def.Privileges, def.TeamOnly, def.Permissions = source.Privileges, source.TeamOnly, t.a.playing(&source)
		if def.BusinessUnit == "" && source.Environment == def.Environment {
			def.BusinessUnit = source.BusinessUnit
		}
		return nil
	}
	def.Permissions, def.PermissionsExceptions = source.Permissions, source.PermissionsExceptions
	def.AssignableScopes, def.RestrictedScopes = source.AssignableScopes, source.RestrictedScopes
	def.Terms = onlyLimit(source.Terms)
	return nil
}

// onlyLimit are the terms that a custom role can have: which roles its right to assign
// covers.
func onlyLimit(terms *authz.RoleTerms) *authz.RoleTerms {
	if terms == nil || len(terms.AssignableRoles) == 0 {
		return nil
	}
	return &authz.RoleTerms{AssignableRoles: distinct(terms.AssignableRoles)}
}

func limitNames(def *authz.RoleDefinition) []string {
	if def.Terms == nil {
		return nil
	}
	return def.Terms.AssignableRoles
}

// UpdateRoleDefinition replaces a custom role: what its holders may do changes with it. It
// needs what CreateRoleDefinition needs. An edit after which the role could not be assigned
// where it is assigned is refused, and so is one that gives it to another environment.
func (a *Admin) UpdateRoleDefinition(ctx context.Context, c Caller, q UpdateRoleDefinitionRequest) (RoleDefinitionResult, error) {
	return mutate(ctx, a, c, "UpdateRoleDefinition", tokens, q, &q.Context, func(t *txn) (RoleDefinitionResult, error) {
		return t.updateDefinition(&q)
	})
}

func (t *txn) updateDefinition(q *UpdateRoleDefinitionRequest) (RoleDefinitionResult, error) {
	k, old, err := t.editedDefinition(t.a.write, authz.WritePrivilege, q.RoleDefinition.ID, q.Etag)
	if err != nil {
		return RoleDefinitionResult{}, err
	}
	def := q.RoleDefinition
	def.ID = old.ID
	def.Category, def.Pack, def.Aliases, def.EverySecuredColumn, def.Terms = "", "", nil, false, onlyLimit(def.Terms)
	if def.Environment, err = t.sameEnvironment(def.Environment, old.Environment); err != nil {
		return RoleDefinitionResult{}, err
	}
	if err := t.checkDefinition(&def); err != nil {
		return RoleDefinitionResult{}, err
	}
	if etagOf(t.tenant, definitionItemOf(&def)) == etagOf(t.tenant, definitionItemOf(&old)) {
		shown, err := t.a.shownDefinition(t.e, t.tenant, old)
		return RoleDefinitionResult{RoleDefinition: shown}, err
	}
	if def.Environment != "" {
		if err := t.holdsPrivileges(&old, &def); err != nil {
			return RoleDefinitionResult{}, err
		}
	}
	grants, err := t.assignedRole(k, &def)
	if err != nil {
		return RoleDefinitionResult{}, err
	}
	about := touch{
		everyone: true, environments: environmentsNamed(def.Environment), assignable: limitNames(&def),
		gifts: func(s *state) ([]gift, error) { return t.giftsOfEdit(s, &def, grants) },
	}
	if err := t.apply(k, about, func() error { return t.putDefinition(&old, &def) }); err != nil {
		return RoleDefinitionResult{}, err
	}
	shown, err := t.a.shownDefinition(t.e, t.tenant, def)
	return RoleDefinitionResult{RoleDefinition: shown}, err
}

// sameEnvironment refuses to give a role to another environment; left out, it stays.
func (t *txn) sameEnvironment(given, old string) (string, error) {
	if given == "" {
		return old, nil
	}
	id, err := t.a.pathID("RoleDefinition.Environment", given)
	if err == nil && id != old {
		err = fail(Invalid, "RoleDefinition.Environment", "a role stays in its environment, or in none", "copy it, or make another one")
	}
	return old, err
}

func environmentsNamed(id string) []string {
	if id == "" {
		return nil
	}
	return []string{id}
}

// DeleteRoleDefinition removes a custom role. It needs Authorization.RoleAssignments.Delete
// where CreateRoleDefinition needs .Write, and is refused while the role is assigned, even
// if it expired.
func (a *Admin) DeleteRoleDefinition(ctx context.Context, c Caller, q DeleteRoleDefinitionRequest) (RoleDefinitionResult, error) {
	return mutate(ctx, a, c, "DeleteRoleDefinition", tokens, q, &q.Context, func(t *txn) (RoleDefinitionResult, error) {
		k, old, err := t.editedDefinition(t.a.remove, authz.DeletePrivilege, q.ID, q.Etag)
		if err != nil {
			return RoleDefinitionResult{}, err
		}
		n, err := t.e.RoleUse(t.tenant, old.ID)
		if err != nil {
			return RoleDefinitionResult{}, err
		}
		if n > 0 {
			return RoleDefinitionResult{}, failf(InUse, "ID", "remove its assignments first", "the role is assigned %d times", n)
		}
		shown, err := a.shownDefinition(t.e, t.tenant, old)
		if err != nil {
			return RoleDefinitionResult{}, err
		}
		err = t.apply(k, touch{}, func() error { return t.putDefinition(&old, nil) })
		return RoleDefinitionResult{RoleDefinition: shown}, err
	})
}

// editedDefinition finds a custom role that is to be edited, and checks that the caller may
// and knows its state. Whoever may not is not told whether the role exists.
func (t *txn) editedDefinition(permission authz.PermissionID, privilege authz.Privilege, id, etag string) (*asker, authz.RoleDefinition, error) {
	none := authz.RoleDefinition{}
	k, err := t.asker()
	if err != nil {
		return nil, none, err
	}
	canonical, err := t.a.objectID("ID", id)
	if err != nil {
		return nil, none, err
	}
	custom, err := t.e.RoleDefinitions(t.tenant)
	if err != nil {
		return nil, none, err
	}
	i := slices.IndexFunc(custom, func(def authz.RoleDefinition) bool { return def.ID == canonical })
	if i >= 0 && custom[i].Environment != "" {
		if _, err := t.needSecurityRoles(k, permission, "ID", custom[i].Environment, privilege); err != nil {
			if KindOf(err) == Forbidden {
				err = t.a.forbidden(permission, k.root(), authz.NoAssignment)
			}
			return nil, none, err
		}
		return k, custom[i], matches(etag, etagOf(t.tenant, definitionItemOf(&custom[i])), true)
	}
	if err := k.needEverywhere(permission); err != nil {
		return nil, none, err
	}
	if t.a.isShipped(canonical) {
		return nil, none, fail(Immutable, "ID", "a built-in role cannot be changed or removed", "make a copy of it, and change that")
	}
	if i < 0 {
		return nil, none, failf(NotFound, "ID", "", "there is no role definition %q", id)
	}
	return k, custom[i], matches(etag, etagOf(t.tenant, definitionItemOf(&custom[i])), true)
}

func (t *txn) putDefinition(old, def *authz.RoleDefinition) error {
	target := "roleDefinitions/"
	var before, after any
	if old != nil {
		target, before = "roleDefinitions/"+old.ID, definitionItemOf(old)
	}
	if def != nil {
		target, after = "roleDefinitions/"+def.ID, definitionItemOf(def)
	}
	scope := rootOf(t.tenant)
	for _, of := range []*authz.RoleDefinition{old, def} {
		if of != nil && of.Environment != "" {
			scope = environmentScope(t.tenant, of.Environment)
		}
	}
	if err := t.change(target, scope, before, after); err != nil {
		return err
	}
	if def == nil {
		return t.e.RemoveRoleDefinition(t.tenant, old.ID)
	}
	return t.e.PutRoleDefinition(t.tenant, *def)
}

// checkDefinition checks a custom role and brings it into its one form.
func (t *txn) checkDefinition(def *authz.RoleDefinition) error {
	if err := text("RoleDefinition.Name", def.Name, maxText); err != nil {
		return err
	}
	if err := text("RoleDefinition.Description", def.Description, maxDescription); err != nil {
		return err
	}
	// A name that looks like another's, by what is not seen, would be taken for it.
	if strings.ContainsFunc(def.Name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fail(Invalid, "RoleDefinition.Name", "a role's name has a character that is not seen, or a space that is not U+0020", "type the name anew")
	}
	key := authz.RoleNameKey(def.Name)
	if key == "" {
		return fail(Invalid, "RoleDefinition.Name", "a role needs a name of more than spaces and hyphens", "")
	}
	custom, err := t.e.RoleDefinitions(t.tenant)
	if err != nil {
		return err
	}
	for _, other := range slices.Concat(t.a.shipped, custom) {
		if other.ID != def.ID && (authz.RoleNameKey(other.Name) == key || hasAlias(&other, key)) {
			return failf(Duplicate, "RoleDefinition.Name", "choose another", "the name is that of the role %q (%s)", other.Name, other.ID)
		}
	}
	if def.Environment != "" {
		return t.checkSecurityRole(def)
	}
	if len(def.Privileges) > 0 || def.TeamOnly || def.BusinessUnit != "" {
		return fail(Invalid, "RoleDefinition.Privileges", "privileges, and what else a security role has, are those of an environment with a database", "name the environment whose role it is to be")
	}
	if err := t.checkLimit(def); err != nil {
		return err
	}
	for _, list := range []struct {
		field    string
		patterns *[]string
	}{{"RoleDefinition.Permissions", &def.Permissions}, {"RoleDefinition.PermissionsExceptions", &def.PermissionsExceptions}} {
		if len(*list.patterns) > maxPatterns {
			return failf(Invalid, list.field, "use wildcards", "a role has at most %d", maxPatterns)
		}
		for i, pattern := range *list.patterns {
			if _, err := t.a.vocabulary.Compile(authz.RoleDefinition{Permissions: []string{pattern}}); err != nil {
				return fail(Invalid, fmt.Sprintf("%s[%d]", list.field, i), strings.TrimPrefix(err.Error(), `role definition "": permissions: `), "")
			}
		}
		*list.patterns = distinct(*list.patterns)
	}
	for _, list := range []struct {
		field     string
		templates *[]string
	}{{"RoleDefinition.AssignableScopes", &def.AssignableScopes}, {"RoleDefinition.RestrictedScopes", &def.RestrictedScopes}} {
		if len(*list.templates) > maxTemplates {
			return failf(Invalid, list.field, "use placeholders", "a role has at most %d", maxTemplates)
		}
		read := make([]string, 0, len(*list.templates))
		for i, template := range *list.templates {
			canonical, err := t.a.template(t.tenant, template)
			if err != nil {
				return fail(Invalid, fmt.Sprintf("%s[%d]", list.field, i), err.Error(), "")
			}
			read = append(read, canonical)
		}
		*list.templates = distinct(read)
	}
	if len(def.AssignableScopes) == 0 {
		return fail(Invalid, "RoleDefinition.AssignableScopes", "a role needs a scope at or below which it may be assigned", "such as /tenants/{0}")
	}
	return nil
}

// distinct returns the texts sorted, each once; nil where there are none.
func distinct(texts []string) []string {
	if len(texts) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(texts)))
}

// template reads a scope in which {0}, {1} and so on stand for any identifier.
func (a *Admin) template(tenant, text string) (string, error) {
	segments := strings.Split(text, "/")
	places := map[int]string{}
	for i, segment := range segments {
		if i%2 == 0 && len(segment) > 2 && segment[0] == '{' && segment[len(segment)-1] == '}' {
			places[i], segments[i] = segment, "0"
		}
	}
	of, named, err := authz.ParseScope(strings.Join(segments, "/"), a.foldCase)
	if err != nil {
		return "", fmt.Errorf("%q is no scope with placeholders such as /tenants/{0}/environments/{1}: %w", text, err)
	}
	if places[2] == "" && of != tenant {
		return "", fmt.Errorf("scope %q is of another tenant: begin it with /tenants/{0}", text)
	}
	segments = strings.Split(string(named.In(of)), "/")
	for i, placeholder := range places {
		segments[i] = placeholder
	}
	return strings.Join(segments, "/"), nil
}

// assignedRole finds all assignments of a role that is edited, and checks that each could
// still be made.
func (t *txn) assignedRole(k *asker, def *authz.RoleDefinition) ([]authz.Grant, error) {
	n, err := t.e.RoleUse(t.tenant, def.ID)
	if err != nil || n == 0 {
		return nil, err
	}
	var all []authz.Grant
	for as, err := range t.e.RoleAssignmentsUnder(t.tenant, rootOf(t.tenant)) {
		if err != nil {
			return nil, err
		}
		if as.RoleDefinitionID != def.ID {
			continue
		}
		if !def.AssignableAt(t.a.chain(k.tree, t.tenant, as.Scope)) {
			return nil, failf(InUse, "RoleDefinition.AssignableScopes", "remove that assignment first",
				"the role is assigned at %s (assignment %s), where it could no longer be", as.Scope, as.ID)
		}
		all = append(all, grantOf(t.e, t.tenant, as))
	}
	return all, nil
}

// giftsOfEdit are what an edit of a role gives to those who are assigned it.
func (t *txn) giftsOfEdit(s *state, def *authz.RoleDefinition, assigned []authz.Grant) ([]gift, error) {
	role, err := t.a.vocabulary.Compile(*def)
	if err != nil {
		return nil, err
	}
	var limit *authz.RoleDefinition
	if isLimited(def) {
		limit = def
	}
	edited := s.setsLimited(role, limit)
	var all []gift
	for i := range assigned {
		g := &assigned[i]
		if !live(g, t.now) {
			continue
		}
		more := s.newSet()
		if g.Effect == authz.AssignAllow {
			union(more, edited.grants)
			subtract(more, s.setsOf(g.Role).grants)
			all = append(all, gift{more, g.Scope, g.Expires})
		} else {
			union(more, s.setsOf(g.Role).takes)
			subtract(more, edited.takes)
			all = append(all, gift{more, g.Scope, 0})
		}
	}
	return all, nil
}
