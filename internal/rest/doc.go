// Package rest serves administration over HTTP: role definitions and role assignments in
// the shape of the Power Platform API, and a few operations of Pathgrant's own under
// /pathgrant/v1/. It is an adapter over package admin, which decides who may change what.
//
// One table of operations is all there is: it dispatches requests, and the OpenAPI document
// at /pathgrant/v1/openapi.json is made from it.
//
// Where the documentation of the Power Platform API and what its service was seen to answer
// differ, this package follows the service:
//
//   - a creation is answered with 200 and the one assignment, where the documentation says
//     201 and a list of role definitions;
//   - a deletion is answered with 200 and the assignment that was removed;
//   - a list holds what is assigned at exactly the path's scope, not what lies below it;
//   - an assignment that is not at the path's scope is 404 RoleAssignmentNotFound;
//   - an unknown route is 404 RouteNotFound before anybody is asked who they are;
//   - a refusal's body begins with "code", without an "error" around it.
//
// The body of listRoleAssignments and checkPrincipalPermissionForScope, which are not
// documented, is that of Microsoft's PowerShell module for enterprise policies.
//
// That API knows no DENY, no FORBID, no custom platform role and no assignment of a
// directory role or a team. Here it neither lists nor accepts nor removes nor names them.
//
// A request that cannot be understood to the last key is refused, and changes nothing.
package rest
