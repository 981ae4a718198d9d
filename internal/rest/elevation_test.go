package rest_test

import (
	"strings"
	"testing"
)

func TestApplyAdminRole(t *testing.T) {
	w := newWorld(t, company)
	const path = "/usermanagement/environments/d1/user/applyAdminRole?api-version=1"
	w.want("an administrator of roles", w.as("second", "POST", path, ""), "Forbidden Forbidden InsufficientPrincipalPermissions")
	w.want("without a database", w.as("root", "POST", "/usermanagement/environments/e1/user/applyAdminRole?api-version=1", ""), "Bad Request BadRequest InvalidQuery")
	w.want("a Global Administrator", w.as("root", "POST", path, ""), "OK")
	w.want("who is one already", w.as("root", "POST", path, ""), "OK")
	// The Power Platform API knows no security roles: its lists do not hold the assignment.
	listed := w.as("root", "GET", "/authorization/environments/d1/roleAssignments?api-version=1", "")
	w.want("the list", listed, "OK")
	if got := strings.Count(listed.text, `"roleAssignmentId"`); got != 0 {
		t.Errorf("the list has %d assignments", got)
	}
	definitions := w.as("root", "GET", "/authorization/roleDefinitions?api-version=1", "")
	if got := strings.Count(definitions.text, `"roleDefinitionId"`); got != 32 {
		t.Errorf("the list has %d roles, want the 32 of the Power Platform API", got)
	}
}
