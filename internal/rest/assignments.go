package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const roleType = "BuiltInRole"

func (s *server) listRoleDefinitions(c *call, _ *noBody) (roleDefinitionList, error) {
	list, err := s.Admin.RoleDefinitions(c.Context(), c.caller, "")
	if err != nil {
		return roleDefinitionList{}, err
	}
	shown := roleDefinitionList{Value: []roleDefinition{}}
	for i := range list.Items {
		def := &list.Items[i]
		if !def.BuiltIn || s.shippedID(def.ID) == "" {
			continue
		}
		shown.Value = append(shown.Value, roleDefinition{
			RoleDefinitionID: def.ID, RoleDefinitionName: def.Name, Description: def.Description, RoleType: roleType,
			AssignableScopes: texts(def.AssignableScopes), RestrictedScopes: texts(def.RestrictedScopes),
			Permissions: texts(def.Permissions), PermissionsExceptions: texts(def.PermissionsExceptions),
		})
	}
	return shown, nil
}

// shippedID returns the one spelling of a built-in role's identifier; empty for any other
// text, a name too: administration knows no role of that, and says so when it has found
// that the caller may ask.
func (s *server) shippedID(text string) string {
	id := authz.CanonicalID(text, s.FoldCase)
	if slices.ContainsFunc(s.ShippedRoles, func(def authz.RoleDefinition) bool { return def.ID == id }) {
		return id
	}
	return ""
}

func (s *server) createRoleAssignment(c *call, q *newRoleAssignment) (roleAssignment, error) {
	if err := c.agree("scope", q.Scope, s.FoldCase); err != nil {
		return roleAssignment{}, err
	}
	principal, err := principalOf(q.PrincipalType, q.PrincipalObjectID)
	if err != nil {
		return roleAssignment{}, err
	}
	var expires time.Time
	if q.ExpiresOn != nil {
		if expires, err = time.Parse(time.RFC3339, *q.ExpiresOn); err != nil {
			return roleAssignment{}, err
		}
		if expires.IsZero() { // which stands for none
			return roleAssignment{}, bodyInvalid.of("expiresOn: the time of expiry has passed")
		}
	}
	result, err := s.Admin.CreateRoleAssignment(c.Context(), c.caller, admin.CreateRoleAssignmentRequest{
		Principal: principal, Role: s.shippedID(q.RoleDefinitionID), Scope: string(c.scope()), Effect: authz.AssignAllow, Expires: expires,
	})
	if err != nil {
		return roleAssignment{}, err
	}
	c.changed(result.Revision)
	return assignmentOf(&result.RoleAssignment), nil
}

func (s *server) deleteRoleAssignment(c *call, _ *noBody) (roleAssignment, error) {
	id, err := url.PathUnescape(c.params[len(c.params)-1])
	if err != nil {
		return roleAssignment{}, roleAssignmentMissing.of("The identifier in the path cannot be read.")
	}
	result, err := s.Admin.DeleteRoleAssignment(c.Context(), c.caller, admin.DeleteRoleAssignmentRequest{
		ID: id, ExactScope: string(c.scope()), ShippedAllowOnly: true,
	})
	if err != nil {
		return roleAssignment{}, err
	}
	c.changed(result.Revision)
	return assignmentOf(&result.RoleAssignment), nil
}

// applyAdminRole makes the caller System Administrator. Of the answer the role is one that
// the API's own lists do not hold.
func (s *server) applyAdminRole(c *call, _ *noBody) (roleAssignment, error) {
	result, err := s.Admin.ApplyAdminRole(c.Context(), c.caller, admin.ApplyAdminRoleRequest{Environment: c.named.Environment})
	if err != nil {
		return roleAssignment{}, err
	}
	c.changed(result.Revision)
	return assignmentOf(&result.RoleAssignment), nil
}

// changed says in a header which revision a change has, so that a check can ask for it.
func (c *call) changed(r authz.Revision) {
	c.header.Set("X-Pathgrant-Revision", fmt.Sprintf("%d.%d", r.Epoch, r.Number))
}

// agree checks that a body's scope is the one that the path names.
func (c *call) agree(field, text string, foldCase bool) error {
	tenant, named, err := authz.ParseScope(text, foldCase)
	switch {
	case err != nil:
		return bodyInvalid.of(field + ": " + err.Error())
	case tenant != c.tenant:
		return tenantMismatch.of(field + ": The scope is of another tenant than the caller.")
	case named != c.named:
		return wrongResourceType.of(field + ": the scope is not the one that the address names, " + string(c.scope()) + ".")
	}
	return nil
}

func (s *server) listRoleAssignments(c *call, _ *noBody) (roleAssignmentList, error) {
	return s.assignments(c, admin.RoleAssignmentsRequest{Scope: string(c.scope())}, nil, func(*admin.RoleAssignment) bool { return true })
}

func (s *server) queryRoleAssignments(c *call, q *assignmentQuery) (roleAssignmentList, error) {
	if err := c.agree("Scope", q.Scope, s.FoldCase); err != nil {
		return roleAssignmentList{}, err
	}
	request := admin.RoleAssignmentsRequest{
		Scope: string(c.scope()), IncludeParentScopes: q.IncludeParentScopes, IncludeNestedScopes: q.IncludeNestedScopes,
	}
	if q.Permission != nil {
		request.Permission = *q.Permission
	}
	kind := ""
	switch {
	case q.PrincipalObjectID != nil && q.PrincipalType == nil:
		return roleAssignmentList{}, bodyInvalid.of("PrincipalType: it is missing; a principal is known by its type and its object id")
	case q.PrincipalObjectID != nil:
		var err error
		if request.Principal, err = principalOf(*q.PrincipalType, *q.PrincipalObjectID); err != nil {
			return roleAssignmentList{}, err
		}
		request.ExpandGroups = q.ExpandSecurityGroups
	case q.PrincipalType != nil:
		kind = *q.PrincipalType
	}
	return s.assignments(c, request, q, func(a *admin.RoleAssignment) bool {
		if kind != "" && a.Principal.Type.String() != kind {
			return false
		}
		// The scopes that an environment inherits from hold its group only where groups are
		// to be expanded.
		group := strings.HasPrefix(string(a.Scope), string(authz.NamedScope{Kind: authz.EnvironmentGroupScope}.In(c.tenant)))
		return q.ExpandEnvironmentGroups || !group || c.named.Kind != authz.EnvironmentScope
	})
}

// plainTypes are the types of principals that the Power Platform API knows.
var plainTypes = []authz.PrincipalType{authz.User, authz.Group, authz.ApplicationUser}

// mostPassed is how many pages of which nothing is kept are passed over for one answer; then
// the answer is an empty page with a next one, so that no call takes without end.
const mostPassed = 100

// assignments answers with a page of what administration lists and keep keeps. What asks is
// the body that asks for it, to which the next page is bound.
func (s *server) assignments(c *call, request admin.RoleAssignmentsRequest, asks *assignmentQuery, keep func(*admin.RoleAssignment) bool) (roleAssignmentList, error) {
	binding, err := json.Marshal(asks)
	if err != nil {
		return roleAssignmentList{}, err
	}
	sum := sha256.Sum256(append([]byte(c.op.ID+"\x00"), binding...))
	bound := hex.EncodeToString(sum[:8]) + "."
	request.ShippedAllowOnly = true
	request.Page.Size = s.PageSize
	if c.query.Has(skipToken.name) {
		token, ok := strings.CutPrefix(c.query.Get(skipToken.name), bound)
		if !ok || token == "" {
			return roleAssignmentList{}, queryInvalid.of(skipToken.name + ": it is not the token of the page before; send all else as for the page before, or begin anew")
		}
		request.Page.Token = token
	}
	page := roleAssignmentList{Value: []roleAssignment{}}
	for passed := 0; ; passed++ {
		if err := c.Context().Err(); err != nil {
			return roleAssignmentList{}, &failure{serviceUnavailable, "The call ended before it was done; try again.", err}
		}
		list, err := s.Admin.RoleAssignments(c.Context(), c.caller, request)
		if err != nil {
			return roleAssignmentList{}, err
		}
		for i := range list.Items {
			if a := &list.Items[i]; slices.Contains(plainTypes, a.Principal.Type) && keep(a) {
				page.Value = append(page.Value, assignmentOf(a))
			}
		}
		if list.Next == "" {
			return page, nil
		}
		if len(page.Value) > 0 || passed == mostPassed {
			page.NextLink = c.next(apiVersionParam + "=" + url.QueryEscape(c.query.Get(apiVersionParam)) + "&" + skipToken.name + "=" + url.QueryEscape(bound+list.Next))
			return page, nil
		}
		request.Page.Token = list.Next // of a page nothing was kept
	}
}

func (s *server) checkEnvironment(c *call, q *permissionCheck) (permissionCheckResult, error) {
	if err := c.agree("Scope", q.Scope, s.FoldCase); err != nil {
		return permissionCheckResult{}, err
	}
	result, err := s.checked(c, q, string(c.scope()))
	if err != nil {
		return permissionCheckResult{}, err
	}
	shown := permissionCheckResult{HasPermission: len(result.Granted) > 0, Permissions: []checkedPermission{}}
	for _, g := range result.Granted {
		shown.HasPermission = shown.HasPermission && g.Granted
		shown.Permissions = append(shown.Permissions, checkedPermission{string(g.Permission), g.Granted})
	}
	return shown, nil
}

func (s *server) checked(c *call, q *permissionCheck, scope string) (admin.CheckResult, error) {
	principal, err := principalOf(q.PrincipalType, q.PrincipalObjectID)
	if err != nil {
		return admin.CheckResult{}, err
	}
	return s.Admin.CheckPrincipalPermissionForScope(c.Context(), c.caller, admin.CheckRequest{
		Principal: principal, Permissions: q.Permissions, Scope: scope,
	})
}
