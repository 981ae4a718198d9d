package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// HolderKind is what kind of thing would hold a predefined role. It tells teams apart,
// which [PrincipalType] does not. The zero HolderKind holds nothing.
type HolderKind uint8

// The kinds of holder.
const (
	NoHolder HolderKind = iota
	UserHolder
	ApplicationUserHolder
	// GroupHolder is a security group, outside of any database.
	GroupHolder
	OwnerTeamHolder
	// GroupTeamHolder is a team whose members are those of a security group.
	GroupTeamHolder
	// AccessTeamHolder is a team that records are shared with. It holds no roles.
	AccessTeamHolder
	DirectoryRoleHolder
)

var holderKindNames = [...]string{
	"", "User", "ApplicationUser", "Group", "OwnerTeam", "GroupTeam", "AccessTeam", "DirectoryRole",
}

// String returns the kind's name, such as OwnerTeam.
func (k HolderKind) String() string {
	if int(k) < len(holderKindNames) {
		return holderKindNames[k]
	}
	return fmt.Sprintf("HolderKind(%d)", uint8(k))
}

// MarshalText returns the kind's name.
func (k HolderKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a kind's name, without regard to ASCII case, and refuses any other
// text.
func (k *HolderKind) UnmarshalText(text []byte) error {
	for i, name := range holderKindNames {
		if i > 0 && foldEqual(name, string(text)) {
			*k = HolderKind(i)
			return nil
		}
	}
	return fmt.Errorf("holder %q is none of %s", text, strings.Join(holderKindNames[1:], ", "))
}

// Origin is how an assignment comes and goes. The zero Origin is by hand: through whoever
// may assign roles.
type Origin uint8

// The origins.
const (
	ByAssignment Origin = iota
	// ByCompanion: with the assignment of the platform role that has the same name.
	ByCompanion
	// ByService: the service itself makes and removes it.
	ByService
	// BySite: creating a website gives it to its creator.
	BySite
	// ByRegistration: owning a website's app registration gives it.
	ByRegistration
)

var originNames = [...]string{"assignment", "companion", "service", "site", "registration"}

// String returns the origin's name, such as service.
func (o Origin) String() string {
	if int(o) < len(originNames) {
		return originNames[o]
	}
	return fmt.Sprintf("Origin(%d)", uint8(o))
}

// MarshalText returns the origin's name.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads an origin's name and refuses any other text.
func (o *Origin) UnmarshalText(text []byte) error {
	i := slices.Index(originNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("origin %q is none of %s", text, strings.Join(originNames[:], ", "))
	}
	*o = Origin(i)
	return nil
}

// DatabaseRule says what a role needs of the environment's database when it is assigned.
// Provisioning a database takes no assignment away.
type DatabaseRule uint8

// The rules.
const (
	DatabaseOrNone DatabaseRule = iota
	DatabaseRequired
	// DatabaseAbsent: newly assigned only where there is no database.
	DatabaseAbsent
)

var databaseRuleNames = [...]string{"any", "required", "absent"}

// String returns any, required or absent.
func (r DatabaseRule) String() string {
	if int(r) < len(databaseRuleNames) {
		return databaseRuleNames[r]
	}
	return fmt.Sprintf("DatabaseRule(%d)", uint8(r))
}

// MarshalText returns any, required or absent.
func (r DatabaseRule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads any, required or absent, and refuses any other text.
func (r *DatabaseRule) UnmarshalText(text []byte) error {
	i := slices.Index(databaseRuleNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("database rule %q is none of any, required and absent", text)
	}
	*r = DatabaseRule(i)
	return nil
}

// AllSecurityRoles stands, in [RoleTerms.AssignableRoles], for every security role of the
// environment that comes by assignment, custom ones too.
const AllSecurityRoles = "{securityRoles}"

// RoleTerms are what a role says beyond what it grants: who may hold it, and how that comes
// about. The zero RoleTerms let nobody hold it.
type RoleTerms struct {
	HeldBy []HolderKind
	// HeldByTeamNamed, where it is set, is the one team that may hold the role.
	HeldByTeamNamed string
	ComesBy         Origin
	Database        DatabaseRule
	// AssignableRoles, where there are any, are the identifiers of the roles that this
	// role's right to assign roles is limited to, and [AllSecurityRoles].
	AssignableRoles []string
	// Companion is the identifier of the security role that an assignment of this one
	// brings along, in the same revision, where the environment has a database.
	Companion string
	// Elevates says that a direct holder may make itself System Administrator of an
	// environment.
	Elevates bool
}

// customSecurityRoleTerms are the terms of security roles that customers define.
func customSecurityRoleTerms() *RoleTerms {
	return &RoleTerms{
		HeldBy:   []HolderKind{UserHolder, ApplicationUserHolder, OwnerTeamHolder, GroupTeamHolder},
		Database: DatabaseRequired,
	}
}

// Candidate is an assignment of a role that somebody asks for.
type Candidate struct {
	Effect AssignmentEffect
	Holder HolderKind
	// TeamName is the name of the team, where one is to hold the role.
	TeamName string
	// ServiceInstalled says that the application user came with the service.
	ServiceInstalled bool
	Origin           Origin
	HasDatabase      bool
	// InEnvironment says that the user or application user was added to the environment.
	InEnvironment bool
	Disabled      bool
	// AllowDisabled is the setting allowRoleAssignmentOnDisabledUsers.
	AllowDisabled bool
	// BusinessUnit is the one that the assignment names; the root's where it names the
	// environment.
	BusinessUnit string
}

// The categories of predefined roles.
const (
	// TenantAdministrationRoles are held by directory roles.
	TenantAdministrationRoles = "Tenant Administration"
	// EnvironmentRoles need no database.
	EnvironmentRoles = "Environment"
	// DataverseRoles are security roles, held in an environment with a database.
	DataverseRoles = "Dataverse"
)

// IsSecurityRole tells whether the role is a Dataverse security role, predefined or custom,
// rather than one of the platform alone.
func (def *RoleDefinition) IsSecurityRole() bool {
	return def.Category == DataverseRoles || def.Environment != ""
}

// holdingTerms are the terms that say who may hold the role; nil: whoever can be assigned a
// role. Those of custom roles say nothing of that, and only limit what may be assigned.
func (def *RoleDefinition) holdingTerms() *RoleTerms {
	terms := def.Terms
	if terms != nil && def.Category == "" && len(terms.AssignableRoles) > 0 && len(terms.HeldBy) == 0 {
		terms = nil
	}
	if terms == nil && def.IsSecurityRole() {
		terms = customSecurityRoleTerms()
	}
	return terms
}

// PlayApps is the one permission of the platform that a custom security role can carry, at its
// environment: without it the privileges that opening an app takes open none.
const PlayApps = "PowerApps.Apps.Play"

// CarriesMore tells whether a custom security role has permissions of the platform besides
// [PlayApps], which it may not.
func (def *RoleDefinition) CarriesMore() bool {
	return len(def.PermissionsExceptions) > 0 || slices.ContainsFunc(def.Permissions, func(name string) bool { return !foldEqual(name, PlayApps) })
}

// CheckAssignment refuses a candidate that the role's terms do not allow. The error has
// every reason, and says what to do instead. A security role without terms of its own, or
// with AssignableRoles alone, is a custom one; other such roles are of the Power Platform API
// or custom, and whoever can be assigned a role may hold them.
func (def *RoleDefinition) CheckAssignment(c Candidate) error {
	terms := def.holdingTerms()
	var errs []error
	if def.IsSecurityRole() {
		if c.Effect != AssignAllow {
			errs = append(errs, fmt.Errorf("role %q: a security role is assigned with ALLOW alone: nothing takes access to a record away", def.Name))
		}
	}
	if terms != nil {
		errs = append(errs, terms.check(def.Name, c)...)
	}
	return errors.Join(errs...)
}

// CheckRemoval refuses to remove an assignment of the role by another way than it came.
func (def *RoleDefinition) CheckRemoval(origin Origin) error {
	if def.Terms != nil && origin != def.Terms.ComesBy {
		return fmt.Errorf("role %q: %s", def.Name, def.Terms.comesBy())
	}
	return nil
}

// Copyable tells whether a custom role may be copied from this one: where it can be assigned.
func (def *RoleDefinition) Copyable() bool {
	t := def.holdingTerms()
	return t == nil || t.ComesBy == ByAssignment && len(t.HeldBy) > 0 && !slices.Contains(t.HeldBy, DirectoryRoleHolder)
}

// MayAssign tells whether the role's right to assign roles, if it has it, covers another
// role. Without a list there is no limit.
func (def *RoleDefinition) MayAssign(other *RoleDefinition) bool {
	if def.Terms == nil || len(def.Terms.AssignableRoles) == 0 {
		return true
	}
	byAssignment := other.Terms == nil || other.Terms.ComesBy == ByAssignment
	return slices.Contains(def.Terms.AssignableRoles, other.ID) ||
		byAssignment && other.IsSecurityRole() && slices.Contains(def.Terms.AssignableRoles, AllSecurityRoles)
}

// check returns every reason for which the terms of the role so named refuse the candidate.
func (t *RoleTerms) check(role string, c Candidate) []error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("role %q: %s", role, fmt.Sprintf(format, args...)))
	}
	if c.Origin != t.ComesBy {
		bad("%s", t.comesBy())
	}
	switch {
	case len(t.HeldBy) == 0:
		bad("is not supported: nobody may hold it")
	case c.Holder == AccessTeamHolder:
		bad("an access team holds no roles: share records with it, or use an owner team")
	case !slices.Contains(t.HeldBy, c.Holder):
		bad("%v may not hold it: assign it to %s", c.Holder, t.holders())
	case t.HeldByTeamNamed != "" && c.TeamName != t.HeldByTeamNamed:
		bad("only the team %q may hold it", t.HeldByTeamNamed)
	case t.ComesBy == ByService && c.Holder == ApplicationUserHolder && !c.ServiceInstalled:
		bad("only application users that came with the service may hold it")
	}
	isTeam := c.Holder == OwnerTeamHolder || c.Holder == GroupTeamHolder
	switch {
	case t.Database == DatabaseRequired && !c.HasDatabase:
		bad("the environment has no database: assign Environment Admin or Environment Maker, or provision one")
	case t.Database == DatabaseAbsent && c.HasDatabase:
		bad("the environment has a database: assign System Administrator instead")
	case isTeam && !c.HasDatabase && slices.Contains(t.HeldBy, c.Holder):
		bad("the environment has no database and so no teams: assign it to a user or a group")
	}
	if isUser := c.Holder == UserHolder || c.Holder == ApplicationUserHolder; isUser {
		if t.Database == DatabaseRequired && !c.InEnvironment {
			bad("the user is not in the environment: add it first")
		}
		if c.Disabled && !c.AllowDisabled {
			bad("the user is disabled: enable it first, or set allowRoleAssignmentOnDisabledUsers")
		}
	}
	if t.Database == DatabaseRequired && c.Holder != DirectoryRoleHolder && c.HasDatabase && c.BusinessUnit == "" {
		bad("name the business unit whose role it is, or the environment for the root's")
	}
	return errs
}

func (t *RoleTerms) comesBy() string {
	switch t.ComesBy {
	case ByAssignment:
		return "comes and goes by assignment"
	case ByCompanion:
		return "comes and goes with the role whose companion it is, such as Environment Maker: assign or remove that"
	case ByService:
		return "is given and taken by the service, and cannot be assigned or removed by hand"
	case BySite:
		return "comes with creating a website, and cannot be assigned or removed by hand"
	case ByRegistration:
		return "comes with a website's app registration, and cannot be assigned or removed by hand"
	default:
		return "comes and goes in no known way"
	}
}

func (t *RoleTerms) holders() string {
	names := make([]string, 0, len(t.HeldBy))
	for _, kind := range t.HeldBy {
		names = append(names, kind.String())
	}
	return strings.Join(names, ", ")
}
