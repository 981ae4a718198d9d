package rest

import (
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The messages, with the names of fields and the spelling of values that the Power Platform
// API has. The tags say all that the OpenAPI document and the reading of bodies need:
//
//	json      the name, with ",omitempty" where an answer may lack it
//	doc       what it is
//	enum      the values that it may have
//	format    date-time for times
//	optional  that a request may lack it
//	admin     the field of administration's request that it becomes, for errors
//
// A pointer may be null.

type newRoleAssignment struct {
	RoleDefinitionID  string  `json:"roleDefinitionId" admin:"Role" doc:"The identifier of a built-in role definition."`
	PrincipalObjectID string  `json:"principalObjectId" admin:"Principal" doc:"The directory's object id. Of an application it is that of its enterprise application, not the application (client) id."`
	PrincipalType     string  `json:"principalType" enum:"User,Group,ApplicationUser" doc:"What the principal is."`
	Scope             string  `json:"scope" admin:"Scope" doc:"The scope that the path names: /tenants/{tenant}, /tenants/{tenant}/environmentGroups/{id} or /tenants/{tenant}/environments/{id}."`
	ExpiresOn         *string `json:"expiresOn" format:"date-time" optional:"true" admin:"Expires" doc:"Until when it holds; null or left out: for good. Fractions of a second are cut."`
}

type roleAssignment struct {
	RoleAssignmentID           string  `json:"roleAssignmentId" doc:"Its identifier."`
	Scope                      string  `json:"scope" doc:"Where the role is assigned."`
	PrincipalType              string  `json:"principalType" enum:"User,Group,ApplicationUser" doc:"What the principal is."`
	PrincipalObjectID          string  `json:"principalObjectId" doc:"The principal's object id."`
	RoleDefinitionID           string  `json:"roleDefinitionId" doc:"The role."`
	CreatedByPrincipalType     *string `json:"createdByPrincipalType" enum:"User,Group,ApplicationUser" doc:"What its creator is; null where it is not known, as of what an operator made."`
	CreatedByPrincipalObjectID *string `json:"createdByPrincipalObjectId" doc:"Its creator's object id, or null."`
	CreatedOn                  *string `json:"createdOn" format:"date-time" doc:"When it was made, or null."`
	ExpiresOn                  *string `json:"expiresOn" format:"date-time" doc:"When it ends; null: it does not."`
}

type roleAssignmentList struct {
	Value    []roleAssignment `json:"value" doc:"The assignments of this page."`
	NextLink string           `json:"@odata.nextLink,omitempty" doc:"The address of the next page; without it, this was the last. A page may be empty and have a next one."`
}

type roleDefinition struct {
	RoleDefinitionID      string   `json:"roleDefinitionId" doc:"Its identifier."`
	RoleDefinitionName    string   `json:"roleDefinitionName" doc:"Its name."`
	Description           string   `json:"description" doc:"What it is for."`
	RoleType              string   `json:"roleType" enum:"BuiltInRole" doc:"Every role of this API is built in."`
	AssignableScopes      []string `json:"assignableScopes" doc:"The forms of the scopes at which, and below which, it may be assigned."`
	RestrictedScopes      []string `json:"restrictedScopes" doc:"The forms of those at which it may not."`
	Permissions           []string `json:"permissions" doc:"What it grants, as patterns."`
	PermissionsExceptions []string `json:"permissionsExceptions" doc:"What of that it does not grant. Another role may still grant it."`
}

type roleDefinitionList struct {
	Value []roleDefinition `json:"value" doc:"All role definitions."`
}

type assignmentQuery struct {
	Scope                   string  `json:"Scope" admin:"Scope" doc:"The scope that the path names."`
	IncludeParentScopes     bool    `json:"IncludeParentScopes" optional:"true" doc:"Adds what is assigned at the scopes that it inherits from."`
	ExpandSecurityGroups    bool    `json:"ExpandSecurityGroups" optional:"true" admin:"ExpandGroups" doc:"Adds what is assigned to the groups that the principal belongs to, directly or not. Without a principal it changes nothing."`
	ExpandEnvironmentGroups bool    `json:"ExpandEnvironmentGroups" optional:"true" doc:"Counts the environment group of an environment among its parent scopes."`
	IncludeNestedScopes     bool    `json:"IncludeNestedScopes" optional:"true" doc:"Adds what is assigned at the scopes below it."`
	PrincipalType           *string `json:"PrincipalType" enum:"User,Group,ApplicationUser" optional:"true" doc:"Only assignments of such principals; with PrincipalObjectId, of that one."`
	PrincipalObjectID       *string `json:"PrincipalObjectId" optional:"true" admin:"Principal" doc:"Only assignments of this principal. It needs PrincipalType."`
	Permission              *string `json:"Permission" optional:"true" admin:"Permission" doc:"Only assignments whose role grants this permission."`
}

type permissionCheck struct {
	PrincipalObjectID string   `json:"PrincipalObjectId" admin:"Principal" doc:"The principal that is asked about."`
	PrincipalType     string   `json:"PrincipalType" enum:"User,Group,ApplicationUser" doc:"What it is."`
	Permissions       []string `json:"Permissions" admin:"Permissions" doc:"The permissions, 1 to 100, such as PowerApps.Apps.Read."`
	Scope             string   `json:"Scope" admin:"Scope" doc:"Where. It must be the scope that the path names, where it names one."`
}

type permissionCheckResult struct {
	HasPermission bool                `json:"hasPermission" doc:"That all of them are granted."`
	Permissions   []checkedPermission `json:"permissions" doc:"Each, in the order of the request."`
}

type checkedPermission struct {
	Permission string `json:"permission" doc:"In the catalogue's spelling."`
	Granted    bool   `json:"granted" doc:"That the principal has it."`
}

type explainedCheckResult struct {
	HasPermission bool                  `json:"hasPermission" doc:"That all of them are granted."`
	Permissions   []explainedPermission `json:"permissions" doc:"Each, in the order of the request."`
	Revision      revision              `json:"revision" doc:"The state of the data that answered."`
}

type explainedPermission struct {
	Permission string `json:"permission" doc:"In the catalogue's spelling."`
	Granted    bool   `json:"granted" doc:"That the principal has it."`
	Reason     string `json:"reason" doc:"Why, or why not, such as GRANTED or NO_ASSIGNMENT."`
}

type auditEntry struct {
	Number uint64 `json:"number" doc:"Its place in the audit, from 1."`
	Time   string `json:"time" format:"date-time" doc:"When it was recorded."`
	Hash   string `json:"hash" doc:"SHA-256 over the 32 bytes of the hash before it and the bytes of its text, in hex."`
	Text   string `json:"text" doc:"The entry as it was hashed: a text that is one JSON object."`
}

type auditEntryList struct {
	Value    []auditEntry `json:"value" doc:"The entries of this page."`
	NextLink string       `json:"@odata.nextLink,omitempty" doc:"The address of the next page; without it, this was the last."`
}

type auditHead struct {
	Number uint64 `json:"number" doc:"The number of the newest entry that fits; 0 for none."`
	Hash   string `json:"hash" doc:"Its hash, in hex. Keep it elsewhere: the entry of that number must always have it."`
}

type auditVerification struct {
	Intact   bool      `json:"intact" doc:"That every entry fits and none is missing."`
	Verified uint64    `json:"verified" doc:"How many entries fit, from the first."`
	Head     auditHead `json:"head" doc:"The newest entry that fits."`
	Problem  *string   `json:"problem" doc:"What does not fit, and where; null when intact."`
}

type bootstrapRequest struct {
	TenantID          string  `json:"tenantId" admin:"Tenant" doc:"The tenant, by the identifier that its tokens carry (tid)."`
	PrincipalObjectID string  `json:"principalObjectId" admin:"Principal" doc:"Who is to be its administrator, by object id."`
	PrincipalType     string  `json:"principalType" enum:"User,ApplicationUser" doc:"What that is."`
	Justification     *string `json:"justification" optional:"true" admin:"Justification" doc:"Why, for the change audit."`
}

type bootstrapResult struct {
	RoleAssignment roleAssignment `json:"roleAssignment" doc:"What was assigned."`
	Revision       revision       `json:"revision" doc:"The revision from which it holds."`
}

type revision struct {
	Epoch  uint64 `json:"epoch" doc:"Which history of the store; greater after a restore."`
	Number uint64 `json:"number" doc:"Which state in it."`
}

type errorBody struct {
	Code    string      `json:"code" doc:"What kind of error it is."`
	Message string      `json:"message" doc:"What it is, for people."`
	Inner   *innerError `json:"innererror,omitempty" doc:"What exactly."`
}

type innerError struct {
	Code    string `json:"code" doc:"What exactly it is."`
	Message string `json:"message" doc:"What is wrong with this request."`
}

// document is an answer that is an OpenAPI document, spelled already.
type document []byte

func revisionOf(r authz.Revision) revision { return revision{r.Epoch, r.Number} }

// timeOf writes a time in seconds; nil for none.
func timeOf(seconds int64) *string {
	if seconds == 0 {
		return nil
	}
	text := time.Unix(seconds, 0).UTC().Format(time.RFC3339)
	return &text
}

func assignmentOf(a *admin.RoleAssignment) roleAssignment {
	shown := roleAssignment{
		RoleAssignmentID: a.ID, Scope: string(a.Scope), PrincipalType: a.Principal.Type.String(), PrincipalObjectID: a.Principal.ID,
		RoleDefinitionID: a.RoleDefinitionID, CreatedOn: timeOf(a.CreatedOn), ExpiresOn: timeOf(a.Expires),
	}
	if by := a.CreatedBy; by != (authz.Principal{}) {
		kind := by.Type.String()
		shown.CreatedByPrincipalType, shown.CreatedByPrincipalObjectID = &kind, &by.ID
	}
	return shown
}

// texts is a list that is never null.
func texts(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// principalOf makes a principal of a type that was found to be one of the enumeration.
func principalOf(kind, id string) (authz.Principal, error) {
	p := authz.Principal{ID: id}
	err := p.Type.UnmarshalText([]byte(kind))
	return p, err
}
