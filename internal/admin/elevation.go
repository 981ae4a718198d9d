package admin

import (
	"context"
	"fmt"
	"slices"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// elevationDetail says, in the change audit, by which role somebody raised themselves to
// which.
type elevationDetail struct {
	DirectoryRole     string `json:"directoryRoleId"`
	DirectoryRoleName string `json:"directoryRoleName"`
	Role              string `json:"roleDefinitionId"`
	RoleName          string `json:"roleDefinitionName"`
}

// ApplyAdminRole makes the caller System Administrator of an environment with a database,
// and a user of it. It needs UserManagement.Users.Apply there and, which no permission
// stands for, a directory role that elevates, held by the caller itself: its token names it.
// It is the one change by which somebody may raise themselves. Whoever has the role already
// keeps it as it is.
func (a *Admin) ApplyAdminRole(ctx context.Context, c Caller, q ApplyAdminRoleRequest) (RoleAssignmentResult, error) {
	return mutate(ctx, a, c, "ApplyAdminRole", tokens, q, &q.Context, func(t *txn) (RoleAssignmentResult, error) {
		return t.applyAdminRole(&q)
	})
}

func (t *txn) applyAdminRole(q *ApplyAdminRoleRequest) (RoleAssignmentResult, error) {
	var none RoleAssignmentResult
	a := t.a
	id, err := a.pathID("Environment", q.Environment)
	if err != nil {
		return none, err
	}
	k, err := t.asker()
	if err != nil {
		return none, err
	}
	scope := environmentScope(t.tenant, id)
	if !a.knowsElevate {
		return none, failf(Forbidden, "", "", "the catalogue knows no permission %s, so nobody holds it", permissionApply)
	}
	by, ok := t.elevates()
	if !ok {
		e := a.forbidden(a.elevate, scope, authz.NoAssignment)
		e.Message = "only a Power Platform, a Dynamics 365 or a Global Administrator may make themselves System Administrator, who holds that directory role itself and not through a group"
		e.Mend = "activate the directory role and send a token that names it, or let a System Administrator assign you the role"
		return none, e
	}
	if reason := k.decide(a.elevate, scope); reason.Effect() != authz.Allow {
		e := a.forbidden(a.elevate, scope, reason)
		e.Mend = "assign the directory role what it has on the platform: pathgrant roles directory prints the assignments"
		return none, e
	}
	if err := t.hasDatabase(k, "Environment", id); err != nil {
		return none, err
	}
	def, known, err := t.definition(systemAdministrator)
	if err != nil {
		return none, err
	}
	if !known {
		return none, fail(RoleUnknown, "", "this server has no role System Administrator", "")
	}
	self := t.caller.Subject.Principal()
	as := snapshot.RoleAssignment{
		ID: newID(), Principal: self, RoleDefinitionID: def.ID, Scope: scope, Effect: authz.AssignAllow, CreatedOn: t.now, CreatedBy: self,
	}
	old, found, err := t.assignmentLike(&as)
	if err != nil {
		return none, err
	}
	if found && (old.Expires == 0 || old.Expires > t.now) {
		return RoleAssignmentResult{RoleAssignment: RoleAssignment{old, def.Name}}, nil
	}
	t.detail = elevationDetail{by.ID, by.Name, def.ID, def.Name}
	t.notes = append(t.notes, fmt.Sprintf("the caller made itself %s, being a %s", def.Name, by.Name))
	err = t.apply(k, touch{elevation: true}, func() error {
		if err := t.addUser(id, self); err != nil {
			return err
		}
		if err := t.mayHold(&def, scope, self, as.Effect, authz.ByAssignment); err != nil {
			return err
		}
		if found {
			if err := t.removeAssignment(old); err != nil {
				return err
			}
		}
		return t.putAssignment(&as)
	})
	return RoleAssignmentResult{RoleAssignment: RoleAssignment{as, def.Name}}, err
}

// elevates finds a directory role of the caller's token that lets it raise itself.
func (t *txn) elevates() (authz.RoleDefinition, bool) {
	for _, id := range t.caller.Subject.DirectoryRoles() {
		i := slices.IndexFunc(t.a.shipped, func(def authz.RoleDefinition) bool {
			return def.ID == id && def.Category == authz.TenantAdministrationRoles && def.Terms != nil && def.Terms.Elevates
		})
		if i >= 0 {
			return t.a.shipped[i], true
		}
	}
	return authz.RoleDefinition{}, false
}
