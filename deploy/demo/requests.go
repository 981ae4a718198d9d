package main

import "net/http"

// A request is one of the demo, and what must become of it.
type request struct {
	who, method, path string
	host              string // empty: that of the proxy
	header            http.Header
	note              string // printed below the table
	want              outcome
}

// An outcome is what became of a request.
type outcome struct {
	status int
	// reason is Pathgrant's; empty where it was not asked or can't be reached.
	reason string
	// permission and scope are those that the decision was about; scopes without the
	// tenant they lie in.
	permission, scope string
}

// theTenant is how the scope that is a tenant itself is shown.
const theTenant = "(tenant)"

// The hosts that name a scope.
const (
	otherTenantHost = "0e4f6a55c1d34b7f9a2f3c8d7b6e5f.41.tenant.api.powerplatform.com"
	environmentHost = "b5e65502f2e4ecc78e66df670e46b1.00.environment.api.powerplatform.com"
)

// requests are sent in this order.
var requests = []request{
	{who: "rita", method: "GET", path: "/powerapps/environments/lab/apps",
		want: outcome{200, "GRANTED", "PowerApps.Apps.Read", "environments/lab"},
		note: "reader of the tenant: a role is inherited by everything below"},
	{who: "rita", method: "POST", path: "/powerapps/environments/lab/apps",
		want: outcome{403, "NO_ASSIGNMENT", "PowerApps.Apps.Create", "environments/lab"}},
	{who: "carl", method: "PATCH", path: "/powerapps/environments/lab/apps/a7",
		want: outcome{200, "GRANTED", "PowerApps.Apps.Update", "environments/lab/powerapps/a7"},
		note: "contributor of the tenant, with a DENY at hr-prod"},
	{who: "carl", method: "PATCH", path: "/powerapps/environments/hr-prod/apps/a1",
		want: outcome{403, "OVERRIDDEN", "PowerApps.Apps.Update", "environments/hr-prod/powerapps/a1"}},
	{who: "carl", method: "POST", path: "/Authorization/RoleAssignments",
		want: outcome{403, "NO_ASSIGNMENT", "Authorization.RoleAssignments.Write", theTenant},
		note: "a contributor hands out no roles, in whatever letter case; an RBAC administrator does, and no more"},
	{who: "carl", method: "POST", path: "/authorization/environments/LAB/ROLEASSIGNMENTS",
		want: outcome{403, "NO_ASSIGNMENT", "Authorization.RoleAssignments.Write", "environments/lab"}},
	{who: "adam", method: "POST", path: "/AUTHORIZATION/roleassignments",
		want: outcome{200, "GRANTED", "Authorization.RoleAssignments.Write", theTenant}},
	{who: "adam", method: "POST", path: "/authorization/Environments/Lab/roleAssignments",
		want: outcome{200, "GRANTED", "Authorization.RoleAssignments.Write", "environments/lab"}},
	{who: "adam", method: "DELETE", path: "/powerapps/environments/lab/apps/a7",
		want: outcome{403, "NO_ASSIGNMENT", "PowerApps.Apps.Delete", "environments/lab/powerapps/a7"}},
	{who: "olga", method: "DELETE", path: "/powerapps/environments/lab/apps/a7",
		want: outcome{200, "GRANTED", "PowerApps.Apps.Delete", "environments/lab/powerapps/a7"},
		note: "owner of the tenant"},
	{who: "olga", method: "POST", path: "/environmentmanagement/environmentGroups/prod/addEnvironment/lab",
		want: outcome{200, "GRANTED", "EnvironmentManagement.Groups.Write", "environmentGroups/prod environments/lab"},
		note: "two scopes are named, both must grant"},
	{who: "olga", method: "POST", path: "/usermanagement/environments/lab/user/applyAdminRole",
		want: outcome{403, "NO_ASSIGNMENT", "UserManagement.Users.Apply", "environments/lab"},
		note: "self-elevation is for holders of certain directory roles, such as wanda, and not for owners"},
	{who: "wanda", method: "POST", path: "/usermanagement/environments/lab/user/applyAdminRole",
		want: outcome{200, "GRANTED", "UserManagement.Users.Apply", "environments/lab"}},
	{who: "gina", method: "POST", path: "/environmentmanagement/environments/sales-prod/backups",
		want: outcome{200, "GRANTED", "EnvironmentManagement.Backup.Create", "environments/sales-prod"},
		note: "in night-shift, which is in operators, who back up the production environments"},
	{who: "gina", method: "POST", path: "/environmentmanagement/environments/lab/backups",
		want: outcome{403, "NO_ASSIGNMENT", "EnvironmentManagement.Backup.Create", "environments/lab"}},
	{who: "cleo", method: "PATCH", path: "/powerapps/environments/sales-prod/apps/a1",
		want: outcome{403, "FORBIDDEN", "PowerApps.Apps.Update", "environments/sales-prod/powerapps/a1"},
		note: "contributor of sales-prod, but contractors (a group in the token) are forbidden to be that in production"},
	{who: "mark", method: "PUT", path: "/powerapps/environments/lab/apps/a7",
		want: outcome{403, "NO_ASSIGNMENT", "PowerApps.Apps.Create PowerApps.Apps.Update", "environments/lab/powerapps/a7"},
		note: "PUT needs both; mark may only create, maya owns this one app"},
	{who: "maya", method: "PUT", path: "/powerapps/environments/lab/apps/a7",
		want: outcome{200, "GRANTED", "PowerApps.Apps.Create PowerApps.Apps.Update", "environments/lab/powerapps/a7"}},
	{who: "maya", method: "PUT", path: "/powerapps/environments/lab/apps/a8",
		want: outcome{403, "NO_ASSIGNMENT", "PowerApps.Apps.Create PowerApps.Apps.Update", "environments/lab/powerapps/a8"}},
	{who: "billing-bot", method: "GET", path: "/licensing/billingPolicies/b1",
		want: outcome{200, "GRANTED", "Licensing.BillingPolicies.Read", theTenant},
		note: "a service principal"},
	{who: "tess", method: "GET", path: "/powerapps/environments/lab/apps",
		want: outcome{403, "EXPIRED", "PowerApps.Apps.Read", "environments/lab"},
		note: "the assignment has expired; the account of dave is disabled"},
	{who: "dave", method: "GET", path: "/powerapps/environments/lab/apps",
		want: outcome{403, "PRINCIPAL_DISABLED", "PowerApps.Apps.Read", "environments/lab"}},
	{who: nobody, method: "GET", path: "/powerapps/environments/lab/apps",
		want: outcome{401, "UNAUTHENTICATED", "", ""},
		note: "no token, one that has expired, and one signed with a stranger's key"},
	{who: expired, method: "GET", path: "/powerapps/environments/lab/apps",
		want: outcome{401, "UNAUTHENTICATED", "", ""}},
	{who: forged, method: "GET", path: "/powerapps/environments/lab/apps",
		want: outcome{401, "UNAUTHENTICATED", "", ""}},
	{who: "olga", method: "GET", path: "/powerapps/environments/nowhere/apps",
		want: outcome{403, "UNKNOWN_SCOPE", "PowerApps.Apps.Read", "environments/nowhere"},
		note: "an environment that nobody listed inherits nothing; what maps to no permission is refused, whoever asks"},
	{who: "olga", method: "GET", path: "/payroll/salaries",
		want: outcome{403, "UNMAPPED", "", ""}},
	{who: "olga", method: "GET", path: "/powerapps/apps", host: otherTenantHost,
		want: outcome{403, "CROSS_TENANT", "", ""},
		note: "Host: " + otherTenantHost + ", another tenant's"},
	{who: "olga", method: "GET", path: "/powerapps/apps", host: environmentHost,
		want: outcome{200, "GRANTED", "PowerApps.Apps.Read", "environments/b5e65502-f2e4-ecc7-8e66-df670e46b100"},
		note: "Host: " + environmentHost + ", which names an environment"},
	{who: "olga", method: "GET", path: "/powerapps/environments/lab;v=1/apps",
		want: outcome{400, "BAD_REQUEST", "", ""},
		note: "what upstreams read in different ways is refused by Pathgrant; an escaped slash by Envoy already"},
	{who: "olga", method: "GET", path: "/powerapps/environments/lab%2F..%2Fhr-prod/apps",
		want: outcome{400, "", "", ""}},
	{who: "rita", method: "GET", path: "/powerapps/environments/lab/apps/a7",
		header: http.Header{"X-Pathgrant-Principal": {"olga"}, "X-Http-Method-Override": {"DELETE"}},
		want:   outcome{200, "GRANTED", "PowerApps.Apps.Read", "environments/lab/powerapps/a7"},
		note:   "with x-pathgrant-principal: olga and x-http-method-override: DELETE; the upstream was told rita, and no override"},
}

// rita's only assignment, which the demo removes, and what must become of her request.
var revoked = request{who: "rita", method: "GET", path: "/powerapps/environments/lab/apps",
	want: outcome{403, "NO_ASSIGNMENT", "PowerApps.Apps.Read", "environments/lab"}}

// unanswered is a request while Pathgrant is gone.
var unanswered = request{who: "olga", method: "GET", path: "/powerapps/environments/lab/apps",
	want: outcome{503, "", "", ""}}

// afterwards are sent when Pathgrant has come back without its bundle.
var afterwards = []request{
	{who: "carl", method: "PATCH", path: "/powerapps/environments/lab/apps/a7",
		want: outcome{200, "GRANTED", "PowerApps.Apps.Update", "environments/lab/powerapps/a7"}},
	{who: "carl", method: "PATCH", path: "/powerapps/environments/hr-prod/apps/a1",
		want: outcome{403, "OVERRIDDEN", "PowerApps.Apps.Update", "environments/hr-prod/powerapps/a1"}},
	revoked,
}
