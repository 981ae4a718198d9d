package rest

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// An Operation is one thing that a client can ask for.
type Operation struct {
	// ID is its name in the OpenAPI document, such as createRoleAssignment.
	ID string
	// Method and Path say how it is called; {x} in the path stands for one segment.
	Method, Path string
	// Public operations need no caller; Operator ones need the operator's secret.
	Public, Operator bool
}

// Operations returns every operation, in a fixed order.
func Operations() []Operation {
	all := make([]Operation, 0, len(operations))
	for i := range operations {
		all = append(all, operations[i].Operation)
	}
	return all
}

// The tags of the OpenAPI document, which say whose an operation is.
const (
	tagPowerPlatform = "Power Platform API"
	tagOwn           = "Pathgrant"
)

// An operation is an [Operation] with all that serves and describes it.
type operation struct {
	Operation
	segments []string // of Path in lower case; empty for a parameter
	params   []string // the names of the parameters
	// level is the kind of scope that the path names; none for Pathgrant's own.
	level authz.ScopeKind
	tag   string
	// query are the parameters after the ?, all but api-version.
	query                []queryParam
	summary, description string
	request, response    reflect.Type
	bodyOptional         bool
	problems             []*problem // beyond those that any operation may answer with
	serve                func(s *server, c *call, body any) (any, error)
}

func (o *operation) own() bool { return o.level == authz.NoScope }

// A queryParam is a parameter after the ? of a request.
type queryParam struct{ name, kind, doc string }

var skipToken = queryParam{"$skiptoken", "string", "Where a page begins, as the @odata.nextLink of the page before has it."}

// with makes an operation of a function over the body it reads and the answer it gives.
func with[Q, R any](method, path, id string, o operation, serve func(s *server, c *call, q *Q) (R, error)) operation {
	o.Operation = Operation{ID: id, Method: method, Path: path, Public: o.Public, Operator: o.Operator}
	for _, segment := range strings.Split(path[1:], "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			o.params = append(o.params, strings.TrimSuffix(name, "}"))
			segment = ""
		}
		o.segments = append(o.segments, strings.ToLower(segment))
	}
	o.response = reflect.TypeFor[R]()
	if t := reflect.TypeFor[Q](); t != reflect.TypeFor[noBody]() {
		o.request = t
	}
	o.serve = func(s *server, c *call, body any) (any, error) {
		q, _ := body.(*Q) // without a body it is nil, and not looked at
		return serve(s, c, q)
	}
	if o.tag = tagPowerPlatform; o.own() {
		o.tag = tagOwn
	}
	return o
}

// noBody is the body of requests that have none.
type noBody struct{}

const (
	atTenant      = "/authorization"
	atGroup       = "/authorization/environmentGroups/{environmentGroupId}"
	atEnvironment = "/authorization/environments/{environmentId}"
)

// operations is the table. No two of its templates match the same path and method: at each
// place where two differ, both have a literal.
var operations = tableOf()

func tableOf() []operation {
	const (
		listed  = "Lists what is assigned at exactly this scope; what is assigned above or below it is left out."
		created = "Answers 200 with the assignment, as the service was seen to do; its documentation says 201 with role definitions. " +
			"The scope must be the one that the path names. An assignment of the same role to the same principal at the same scope is a conflict, unless it has expired."
		removed = "Answers 200 with the assignment that was removed. One at another scope than the path's is not found."
	)
	var all []operation
	all = append(all, with(http.MethodGet, atTenant+"/roleDefinitions", "listRoleDefinitions", operation{
		level: authz.TenantScope, summary: "List role definitions",
		description: "Lists the built-in roles. It is one page.",
	}, (*server).listRoleDefinitions))
	for _, at := range []struct {
		path, id, what string
		level          authz.ScopeKind
		problems       []*problem
	}{
		{atTenant, "", "tenant", authz.TenantScope, nil},
		{atGroup, "EnvironmentGroup", "environment group", authz.EnvironmentGroupScope, []*problem{environmentGroupInvalid}},
		{atEnvironment, "Environment", "environment", authz.EnvironmentScope, []*problem{environmentInvalid}},
	} {
		all = append(all,
			with(http.MethodGet, at.path+"/roleAssignments", "list"+at.id+"RoleAssignments", operation{
				level: at.level, query: []queryParam{skipToken}, problems: at.problems,
				summary: "List the role assignments of the " + at.what, description: listed,
			}, (*server).listRoleAssignments),
			with(http.MethodPost, at.path+"/roleAssignments", "create"+at.id+"RoleAssignment", operation{
				level: at.level, summary: "Assign a role at the " + at.what, description: created,
				problems: append([]*problem{
					wrongResourceType, tenantMismatch, roleDefinitionMissing, roleNotAssignable, principalMissing, principalDisabled,
					selfEscalation, escalation, duplicateAssignment, readOnlySource,
				}, at.problems...),
			}, (*server).createRoleAssignment),
			with(http.MethodDelete, at.path+"/roleAssignments/{roleAssignmentId}", "delete"+at.id+"RoleAssignment", operation{
				level: at.level, summary: "Remove a role assignment from the " + at.what, description: removed,
				problems: append([]*problem{roleAssignmentMissing, selfEscalation, lastAdministrator, readOnlySource}, at.problems...),
			}, (*server).deleteRoleAssignment))
	}
	const queried = "Not documented: the shape is that of Microsoft's own client. Pages are read by sending the same body to @odata.nextLink, with POST. "
	all = append(all,
		with(http.MethodPost, atTenant+"/listRoleAssignments", "queryRoleAssignments", operation{
			level: authz.TenantScope, query: []queryParam{skipToken}, summary: "Search role assignments from the tenant", description: queried,
			problems: []*problem{wrongResourceType, tenantMismatch},
		}, (*server).queryRoleAssignments),
		with(http.MethodPost, atEnvironment+"/listRoleAssignments", "queryEnvironmentRoleAssignments", operation{
			level: authz.EnvironmentScope, query: []queryParam{skipToken}, summary: "Search role assignments from an environment", description: queried,
			problems: []*problem{wrongResourceType, tenantMismatch, environmentInvalid},
		}, (*server).queryRoleAssignments),
		with(http.MethodPost, atEnvironment+"/checkPrincipalPermissionForScope", "checkEnvironmentPrincipalPermission", operation{
			level: authz.EnvironmentScope, summary: "Ask what a principal may do at an environment",
			description: "Not documented: the shape is that of Microsoft's own client and of its tests. A principal's groups are those of the directory here; those in its tokens are not known.",
			problems:    []*problem{wrongResourceType, tenantMismatch, environmentInvalid},
		}, (*server).checkEnvironment),
		with(http.MethodPost, "/usermanagement/environments/{environmentId}/user/applyAdminRole", "applyAdminRole", operation{
			level: authz.EnvironmentScope, bodyOptional: true, summary: "Become System Administrator of an environment",
			description: "Makes the caller System Administrator of an environment with a database, and a user of it. Only a Power Platform, Dynamics 365 or Global Administrator may, " +
				"whose token names that directory role, and who holds UserManagement.Users.Apply there. The change audit has both roles. Whoever has the role already keeps it.",
			problems: []*problem{environmentInvalid, roleDefinitionMissing, roleNotAssignable, principalDisabled, readOnlySource},
		}, (*server).applyAdminRole),

		with(http.MethodPost, "/pathgrant/v1/checkPrincipalPermissionForScope", "checkPrincipalPermission", operation{
			summary:     "Ask what a principal may do at any scope, and why",
			description: "Pathgrant's own: the Power Platform API can ask at environments alone. DENY and FORBID assignments and custom roles count here as they count everywhere.",
			problems:    []*problem{tenantMismatch, environmentInvalid, environmentGroupInvalid, scopeInvalid},
		}, (*server).check),
		with(http.MethodGet, "/pathgrant/v1/audit/entries", "listAuditEntries", operation{
			summary: "Read the change audit", description: "Pathgrant's own. The entries of the caller's tenant, oldest first; for an operator, of all tenants.",
			query: []queryParam{
				{"after", "integer", "The number of the last entry that is known already; 0 for none."},
				{"limit", "integer", "How many entries at most, 1 to 1000."},
			},
		}, (*server).listAuditEntries),
		with(http.MethodPost, "/pathgrant/v1/audit/verify", "verifyAudit", operation{
			summary: "Verify the change audit", bodyOptional: true,
			description: "Pathgrant's own. Reads all entries, and says whether each follows from the one before it, to the head that is kept apart. " +
				"An audit that is not intact is answered with 200 too: look at intact.",
		}, (*server).verifyAudit),
		with(http.MethodPost, "/pathgrant/v1/bootstrap", "bootstrap", operation{
			Operation: Operation{Operator: true}, summary: "Give an empty store its first administrator",
			description: "Pathgrant's own. Assigns Power Platform Role Based Access Control Administrator at the tenant. Refused as soon as there is any role assignment in any tenant.",
			problems:    []*problem{operatorRequired, principalDisabled, notEmpty, readOnlySource},
		}, (*server).bootstrap),
		with(http.MethodGet, "/pathgrant/v1/openapi.json", "getOpenAPI", operation{
			Operation: Operation{Public: true}, summary: "Read this document", description: "Pathgrant's own. It needs no credentials.",
		}, (*server).openAPI),
	)
	return all
}

// find returns the operation of a path and a method, with the segments that stand for
// parameters, as they came. Without one it returns the methods that the path has; none:
// there is no such path.
func find(method, escapedPath string) (*operation, []string, []string) {
	if len(escapedPath) < 2 || escapedPath[0] != '/' {
		return nil, nil, nil
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(strings.TrimSuffix(escapedPath[1:], "/"), "/")
	var allowed []string
	for i := range operations {
		o := &operations[i]
		params, ok := o.match(segments)
		switch {
		case !ok:
		case o.Method == method:
			return o, params, nil
		default:
			allowed = append(allowed, o.Method)
			if o.Method == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
	}
	return nil, nil, allowed
}

func (o *operation) match(segments []string) (params []string, ok bool) {
	if len(segments) != len(o.segments) {
		return nil, false
	}
	for i, want := range o.segments {
		// The one spelling of a segment, or none: no escape makes or hides a slash.
		canonical, err := authz.CanonicalPathID(segments[i], true)
		switch {
		case err != nil && segments[i] == "":
			return nil, false
		case want == "":
			params = append(params, segments[i])
		case err != nil || canonical != want:
			return nil, false
		}
	}
	return params, true
}
