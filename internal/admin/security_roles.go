package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	// systemAdministrator is the role, by its published template id, that elevating oneself
	// gives.
	systemAdministrator = "627090ff-40a3-4053-8790-584edc5be201"
	appOpenerName       = "App Opener"
	securityRoleTable   = "SecurityRole"
)

// appOpener finds the role whose privileges it takes to open an app.
func (a *Admin) appOpener() (authz.RoleDefinition, bool) {
	i := slices.IndexFunc(a.shipped, func(def authz.RoleDefinition) bool {
		return def.Name == appOpenerName && def.Category == authz.DataverseRoles
	})
	if i < 0 {
		return authz.RoleDefinition{}, false
	}
	return a.shipped[i], true
}

// begin gives a new security role what it begins with: what opening an app takes.
func (a *Admin) begin(def *authz.RoleDefinition) {
	opener, _ := a.appOpener()
	def.Privileges, def.Permissions = slices.Clone(opener.Privileges), a.playing(&opener)
}

// playing is what a custom security role that is made like another one carries of the
// platform.
func (a *Admin) playing(like *authz.RoleDefinition) []string {
	id, known := a.vocabulary.ID(authz.PlayApps)
	if role, err := a.vocabulary.CompileShipped(*like); err != nil || !known || !role.GrantSet().Has(id) {
		return nil
	}
	return []string{authz.PlayApps}
}

// missingToOpenApp is what a custom security role lacks for its holder to open an app with no
// other, sorted.
func (a *Admin) missingToOpenApp(r Reader, tenant string, def *authz.RoleDefinition) ([]string, error) {
	opener, known := a.appOpener()
	if def.Environment == "" || !known {
		return nil, nil
	}
	db, err := r.Database(tenant, def.Environment)
	if err != nil || db == nil {
		return nil, err
	}
	role, err := r.SecurityRole(tenant, def.Environment, def.ID)
	if err != nil {
		return nil, err
	}
	if role == nil { // it is gone by now
		if role, err = db.CompileShipped(*def); err != nil {
			return nil, err
		}
	}
	needed, err := db.CompileShipped(opener)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", opener.Name, err)
	}
	var missing []string
	if len(a.playing(&opener)) > 0 && len(a.playing(def)) == 0 {
		missing = append(missing, authz.PlayApps)
	}
	for name := range privilegesOf(db, func(table authz.TableID, p authz.Privilege) bool {
		return needed.Reach(table, p) != authz.NoReach && role.Reach(table, p) == authz.NoReach
	}) {
		missing = append(missing, name)
	}
	return distinct(missing), nil
}

// privilegesOf yields the names of the privileges that are chosen.
func privilegesOf(db *authz.Database, choose func(authz.TableID, authz.Privilege) bool) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range db.Len() {
			table := authz.TableID(i + 1)
			declared, _ := db.Table(table)
			for _, p := range authz.TablePrivileges() {
				if choose(table, p) && !yield("Dataverse."+declared.Name+"."+p.String()) {
					return
				}
			}
		}
	}
}

// needSecurityRoles checks that the caller may change the security roles of an environment
// with a database, and returns its identifier.
func (t *txn) needSecurityRoles(k *asker, permission authz.PermissionID, field, environment string, privilege authz.Privilege) (string, error) {
	id, err := t.a.pathID(field, environment)
	if err != nil {
		return "", err
	}
	scope := environmentScope(t.tenant, id)
	refused := k.needFor(permission, anySecurityRole, scope)
	if refused != nil && KindOf(refused) != Forbidden {
		return "", refused
	}
	if refused != nil {
		may, err := t.mayRecords(id, securityRoleTable, privilege, nil)
		if err != nil {
			return "", err
		}
		if !may {
			return "", refused
		}
	}
	return id, t.hasDatabase(k, field, id)
}

// hasDatabase fails unless the tenant lists the environment, and it has a database.
func (t *txn) hasDatabase(k *asker, field, id string) error {
	if _, err := t.a.listed(k.tree, field, environmentScope(t.tenant, id)); err != nil {
		return err
	}
	e, _, _, err := t.e.Environment(t.tenant, id)
	if err == nil && !e.Dataverse {
		err = failf(Invalid, field, "provision one first", "the environment %q has no database", id)
	}
	return err
}

// mayRecords is the decision about the caller and a record of an environment, or all of them.
// Somebody who is disabled may nothing, whatever the environment says.
func (t *txn) mayRecords(environment, table string, privilege authz.Privilege, record *authz.Record) (bool, error) {
	if t.caller.Subject == nil {
		return false, nil
	}
	db, err := t.e.Database(t.tenant, environment)
	if err != nil || db == nil {
		return false, err
	}
	self, err := t.e.RecordSubject(t.tenant, environment, t.caller.Subject)
	if err != nil || self == nil {
		return false, err
	}
	if disabled, err := isDisabled(t.e, t.tenant, t.caller.Subject.Principal()); disabled || err != nil {
		return false, err
	}
	id, known := db.TableNamed(table)
	return known && authz.DecideRecord(db, authz.RecordRequest{Caller: self, Table: id, Privilege: privilege, Record: record}, t.now).Allowed(), nil
}

// checkSecurityRole checks a custom security role and brings it into its one form.
func (t *txn) checkSecurityRole(def *authz.RoleDefinition) error {
	if def.CarriesMore() {
		return fail(Invalid, "RoleDefinition.Permissions", "a security role gives privileges in a database, and of the permissions of the platform "+authz.PlayApps+" at most", "make a second role for those")
	}
	if len(def.AssignableScopes)+len(def.RestrictedScopes) > 0 {
		return fail(Invalid, "RoleDefinition.AssignableScopes", "a security role is assigned at its environment and at the business units of it", "leave the scopes out")
	}
	if def.Terms != nil {
		return fail(Invalid, "RoleDefinition.AssignableRoles", "a security role gives no right to assign roles, so there is none to limit", "leave them out")
	}
	if def.BusinessUnit != "" {
		id, err := t.a.pathID("RoleDefinition.BusinessUnit", def.BusinessUnit)
		if err != nil {
			return err
		}
		units, err := t.units(def.Environment)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(units, func(u authz.BusinessUnit) bool { return u.ID == id }) {
			return failf(ScopeUnknown, "RoleDefinition.BusinessUnit", "make it first, or leave it out for the root", "the environment %q has no business unit %q", def.Environment, def.BusinessUnit)
		}
		def.BusinessUnit = id
	}
	if len(def.Privileges) > maxPatterns {
		return failf(Invalid, "RoleDefinition.Privileges", "use classes of tables", "a role has at most %d", maxPatterns)
	}
	db, err := t.e.Database(t.tenant, def.Environment)
	if err != nil {
		return err
	}
	lines := make([]string, 0, len(def.Privileges))
	for i, text := range def.Privileges {
		field := fmt.Sprintf("RoleDefinition.Privileges[%d]", i)
		p, err := authz.ParsePrivilegePattern(text)
		if err != nil {
			return fail(Invalid, field, err.Error(), "")
		}
		if p.Table != "" {
			id, known := db.TableNamed(p.Table)
			if !known {
				return failf(Invalid, field, "declare it first", "privilege %q: the environment %q declares no table %q", text, def.Environment, p.Table)
			}
			table, _ := db.Table(id)
			p.Table = table.Name
		}
		lines = append(lines, p.String())
	}
	def.Privileges = distinct(lines)
	return nil
}

// checkLimit finds the roles that a custom role's right to assign is limited to.
func (t *txn) checkLimit(def *authz.RoleDefinition) error {
	names := limitNames(def)
	if len(names) > maxPatterns {
		return failf(Invalid, "RoleDefinition.AssignableRoles", "", "a role names at most %d", maxPatterns)
	}
	var ids []string
	for i, name := range names {
		if strings.EqualFold(name, authz.AllSecurityRoles) {
			ids = append(ids, authz.AllSecurityRoles)
			continue
		}
		role, known, err := t.definition(name)
		if err != nil {
			return err
		}
		if !known {
			return failf(RoleUnknown, fmt.Sprintf("RoleDefinition.AssignableRoles[%d]", i), "name a role, or "+authz.AllSecurityRoles, "there is no role %q", name)
		}
		ids = append(ids, role.ID)
	}
	if ids != nil {
		def.Terms = &authz.RoleTerms{AssignableRoles: distinct(ids)}
	}
	return nil
}

// holdsPrivileges refuses to put into a security role a privilege, or a reach of one, that
// the caller does not hold. What the role had before, it may keep.
func (t *txn) holdsPrivileges(old, def *authz.RoleDefinition) error {
	db, err := t.e.Database(t.tenant, def.Environment)
	if err != nil {
		return err
	}
	self, err := t.e.RecordSubject(t.tenant, def.Environment, t.caller.Subject)
	if err != nil {
		return err
	}
	if user, listed, err := t.e.EnvironmentUser(t.tenant, def.Environment, t.caller.Subject.Principal()); err != nil {
		return err
	} else if listed && user.Disabled {
		self = nil
	}
	next, err := db.Compile(*def)
	if err != nil {
		return fail(Invalid, "RoleDefinition.Privileges", oneLine(err), "")
	}
	var before *authz.SecurityRole
	if old != nil {
		if before, err = db.CompileShipped(*old); err != nil {
			return err
		}
	}
	missing := func(name string, wanted, held authz.Reach) error {
		text := "none of it"
		if held != authz.NoReach {
			text = "it @" + held.String() + " alone"
		}
		return &Error{
			Kind: Escalation, Field: "RoleDefinition.Privileges", Scope: environmentScope(t.tenant, def.Environment),
			Message: fmt.Sprintf("the role would give %s@%s, and the caller holds %s: nobody puts into a role what they do not hold", name, wanted, text),
			Mend:    "let somebody make the change who holds it, such as a System Administrator of the environment",
		}
	}
	for i := range db.Len() {
		table := authz.TableID(i + 1)
		declared, _ := db.Table(table)
		for _, p := range authz.TablePrivileges() {
			wanted, had := next.Reach(table, p), before.Reach(table, p)
			if had == authz.UserReach && before.TeamOnly() && !next.TeamOnly() {
				had = authz.NoReach // which becomes the members' own
			}
			if held := t.reachOf(self, table, p); wanted > had && wanted > held {
				return missing("Dataverse."+declared.Name+"."+p.String(), wanted, held)
			}
		}
	}
	if next.ActsOnBehalf() && !before.ActsOnBehalf() {
		if may, err := t.mayRecords(def.Environment, authz.UserTable, authz.ActOnBehalf, nil); err != nil || !may {
			if err == nil {
				err = &Error{
					Kind: Escalation, Field: "RoleDefinition.Privileges", Scope: environmentScope(t.tenant, def.Environment),
					Message: "the role would give Dataverse.User.ActOnBehalf, which the caller does not hold itself: nobody puts into a role what they do not hold",
					Mend:    "let somebody make the change who holds it",
				}
			}
			return err
		}
	}
	return nil
}

// reachOf is the farthest that somebody holds a privilege now, as their own.
func (t *txn) reachOf(s *authz.RecordSubject, table authz.TableID, p authz.Privilege) authz.Reach {
	var farthest authz.Reach
	for _, h := range s.Holdings() {
		reach := h.Role.Reach(table, p)
		teams := h.Team != "" && reach == authz.UserReach && h.Role.TeamOnly()
		if reach > farthest && !teams && (h.Expires == 0 || t.now < h.Expires) {
			farthest = reach
		}
	}
	return farthest
}
