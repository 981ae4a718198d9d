package insiders_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/rest"
)

// actors are who tries, in the order of the table's columns. foreign is the Owner of another
// tenant, robot an application that envadmin owns; envadmin is Environment Admin of e1,
// sysadmin System Administrator of d1, and dynamics a Dynamics 365 Administrator.
var actors = []string{
	"owner", "rbac", "rbac1", "envadmin", "sysadmin", "dynamics", "contributor", "reader", "nothing", nobody, "disabled", "expired", "foreign", "robot", operator,
}

// reads are the methods that change nothing. A method that is neither here nor in the
// matrix fails the test.
var reads = []string{
	"ListRoleDefinitions", "GetRoleDefinition", "ListRoleAssignments", "ListGroups", "ListGroupMembers", "ListPrincipals", "ListEnvironments",
	"ListEnvironmentGroups", "ListBusinessUnits", "ListItems", "ExportSnapshot", "BackupSnapshot", "WatchChanges", "ListAuditEntries", "VerifyAudit",
}

// A row is a call and who may make it. Everybody else is refused with PERMISSION_DENIED,
// and nobody with UNAUTHENTICATED, but for what also says.
type row struct {
	method, what, request string
	allowed               []string
	also                  map[string]string
}

const t1 = `"context":{"tenant":"t1"}`

var (
	tenantWide  = []string{"owner", "rbac"}
	environment = []string{"owner", "rbac", "rbac1"}
	database    = []string{"owner", "rbac", "sysadmin"}
	noToken     []string
	operatorsOK = []string{operator}
)

var matrix = []row{
	{"CreateRoleAssignment", "at e1", `{` + t1 + `,"principal":{"type":1,"id":"y"},"role":"Power Platform Reader","scope":"/tenants/t1/environments/e1"}`, environment, nil},
	{"CreateRoleAssignment", "of Environment Maker at e1", `{` + t1 + `,"principal":{"type":1,"id":"y"},"role":"Environment Maker","scope":"/tenants/t1/environments/e1"}`,
		[]string{"owner", "rbac", "rbac1", "envadmin"}, nil},
	{"CreateRoleAssignment", "of a security role at d1", `{` + t1 + `,"principal":{"type":1,"id":"x"},"role":"Common Data Service User","scope":"/tenants/t1/environments/d1"}`, database, nil},
	{"CreateRoleAssignment", "of a role of the platform at d1", `{` + t1 + `,"principal":{"type":1,"id":"x"},"role":"Power Platform Owner","scope":"/tenants/t1/environments/d1"}`, tenantWide, nil},
	{"DeleteRoleAssignment", "of a security role at d1", `{` + t1 + `,"id":"as-sharer"}`, database, nil},
	{"ApplyAdminRole", "d1", `{` + t1 + `,"environment":"d1"}`, []string{"dynamics"}, nil},
	{"ApplyAdminRole", "e1", `{` + t1 + `,"environment":"e1"}`, noToken, nil},
	{"PutItem", "a user of d1", `{` + t1 + `,"item":{"environment":"d1","user":{"principal":{"type":1,"id":"y"},"businessUnit":"hq"}}}`, database, nil},
	{"PutItem", "a member of a team of System Administrators", `{` + t1 + `,"item":{"environment":"d1","team":{"id":"admins","displayName":"Admins","teamType":"OwnerTeam","businessUnit":"hq","members":[{"type":1,"id":"sharer"}]}},"ifMatch":"*"}`, database, nil},
	{"PutItem", "a table of d1", `{` + t1 + `,"item":{"environment":"d1","table":{"name":"New","ownership":"User","classes":["custom"]}}}`, database, nil},
	{"PutItem", "a share", `{` + t1 + `,"item":{"environment":"d1","share":{"table":"Order","record":"r1","principal":{"type":1,"id":"x"},"rights":["Read"]}}}`, database, nil},
	{"PutItem", "in e1, without a database", `{` + t1 + `,"item":{"environment":"e1","user":{"principal":{"type":1,"id":"y"}}}}`, noToken,
		map[string]string{"owner": "InvalidArgument", "rbac": "InvalidArgument", "rbac1": "InvalidArgument"}},
	{"DeleteItem", "a column profile of d1", `{` + t1 + `,"item":{"environment":"d1","columnProfile":{"id":"prices"}},"ifMatch":"*"}`, database, nil},
	{"CreateRoleDefinition", "of d1", `{` + t1 + `,"roleDefinition":{"name":"Mine","environment":"d1"}}`, database, nil},
	{"UpdateRoleDefinition", "of d1, by what one holds", `{` + t1 + `,"roleDefinition":{"id":"spare","name":"Spare","privileges":["Dataverse.Order.Delete@Organization"]},"ifMatch":"*"}`, []string{"sysadmin"}, nil},
	{"DeleteRoleDefinition", "of d1", `{` + t1 + `,"id":"spare","ifMatch":"*"}`, database, nil},
	{"PutBusinessUnit", "of d1", `{` + t1 + `,"businessUnit":{"id":"south","environment":"d1","parent":"hq"}}`, database, nil},
	{"CreateRoleAssignment", "at e2", `{` + t1 + `,"principal":{"type":1,"id":"y"},"role":"Power Platform Reader","scope":"/tenants/t1/environments/e2"}`, tenantWide, nil},
	{"CreateRoleAssignment", "at g1", `{` + t1 + `,"principal":{"type":1,"id":"y"},"role":"Power Platform Reader","scope":"/tenants/t1/environmentGroups/g1"}`, tenantWide, nil},
	{"CreateRoleAssignment", "at t1", `{` + t1 + `,"principal":{"type":1,"id":"y"},"role":"Power Platform Reader","scope":"/tenants/t1"}`, tenantWide, nil},
	{"CreateRoleAssignment", "a DENY", `{` + t1 + `,"principal":{"type":1,"id":"owner"},"role":"Power Platform Owner","scope":"/tenants/t1","effect":2}`, noToken,
		map[string]string{"owner": "AlreadyExists", "rbac": "AlreadyExists"}},
	{"CreateRoleAssignment", "of more, to oneself", `{` + t1 + `,"principal":{"type":1,"id":"ACTOR"},"role":"Power Platform Contributor","scope":"/tenants/t1/environments/e1"}`, []string{"owner"}, nil},
	{"CreateRoleAssignment", "of ownership of e1, to one's own application", `{` + t1 + `,"principal":{"type":3,"id":"robot"},"role":"Power Platform Owner","scope":"/tenants/t1/environments/e1"}`, []string{"owner", "rbac", "rbac1"}, nil},
	{"DeleteRoleAssignment", "at e1", `{` + t1 + `,"id":"as-x1"}`, environment, nil},
	{"DeleteRoleAssignment", "at t1", `{` + t1 + `,"id":"as-x"}`, tenantWide, nil},
	{"DeleteRoleAssignment", "that is not there", `{` + t1 + `,"id":"as-none"}`, noToken, map[string]string{"owner": "NotFound", "rbac": "NotFound"}},
	{"CreateRoleDefinition", "", `{` + t1 + `,"roleDefinition":{"name":"Mine","permissions":["*"],"assignableScopes":["/tenants/{0}"]}}`, tenantWide, nil},
	{"UpdateRoleDefinition", "unused", `{` + t1 + `,"roleDefinition":{"id":"unused","name":"Unused","permissions":["*"],"assignableScopes":["/tenants/{0}"]},"ifMatch":"*"}`, tenantWide, nil},
	{"UpdateRoleDefinition", "shipped", `{` + t1 + `,"roleDefinition":{"id":"95e94555-018c-447b-8691-bdac8e12211e","name":"X","permissions":["*"],"assignableScopes":["/tenants/{0}"]},"ifMatch":"*"}`, noToken,
		map[string]string{"owner": "FailedPrecondition", "rbac": "FailedPrecondition"}},
	{"DeleteRoleDefinition", "", `{` + t1 + `,"id":"unused","ifMatch":"*"}`, tenantWide, nil},
	{"PutGroup", "that is assigned nothing", `{` + t1 + `,"group":{"id":"staff","displayName":"S"},"ifMatch":"*"}`, tenantWide, nil},
	{"PutGroup", "that is assigned at e1", `{` + t1 + `,"group":{"id":"local","displayName":"L"},"ifMatch":"*"}`, environment, nil},
	{"DeleteGroup", "", `{` + t1 + `,"id":"staff","ifMatch":"*"}`, tenantWide, nil},
	{"AddGroupMembers", "that is assigned nothing", `{` + t1 + `,"group":"staff","members":[{"type":1,"id":"y"}]}`, tenantWide, nil},
	{"AddGroupMembers", "that is assigned at e1", `{` + t1 + `,"group":"local","members":[{"type":1,"id":"y"}]}`, environment, nil},
	{"RemoveGroupMembers", "that is assigned at e1", `{` + t1 + `,"group":"local","members":[{"type":1,"id":"x"}]}`, environment, nil},
	{"RemoveGroupMembers", "that is assigned nothing", `{` + t1 + `,"group":"staff","members":[{"type":1,"id":"x"}]}`, tenantWide, nil},
	{"PutPrincipal", "", `{` + t1 + `,"principal":{"principal":{"type":1,"id":"y"}}}`, tenantWide, nil},
	{"PutPrincipal", "enabled again", `{` + t1 + `,"principal":{"principal":{"type":1,"id":"disabled"}},"ifMatch":"*"}`, tenantWide, nil},
	{"DeletePrincipal", "", `{` + t1 + `,"principal":{"type":1,"id":"known"},"ifMatch":"*"}`, tenantWide, nil},
	{"PutEnvironment", "a new one", `{` + t1 + `,"environment":{"id":"e9"}}`, tenantWide, nil},
	{"PutEnvironment", "e1 into g2", `{` + t1 + `,"environment":{"id":"e1","environmentGroup":"g2"},"ifMatch":"*"}`, tenantWide, nil},
	{"DeleteEnvironment", "", `{` + t1 + `,"id":"e1","ifMatch":"*"}`, tenantWide, nil},
	{"CreateEnvironmentGroup", "", `{` + t1 + `,"id":"g9"}`, tenantWide, nil},
	{"DeleteEnvironmentGroup", "", `{` + t1 + `,"id":"g2"}`, tenantWide, nil},
	{"PutBusinessUnit", "", `{` + t1 + `,"businessUnit":{"id":"b9","environment":"e1"}}`, environment, nil},
	{"DeleteBusinessUnit", "", `{` + t1 + `,"environment":"e1","id":"b1","ifMatch":"*"}`, environment, nil},
	{"ImportSnapshot", "", `{` + t1 + `,"chunk":"YXBpVmVyc2lvbjogcGF0aGdyYW50L3YxCnRlbmFudHM6IFtdCi4uLgo="}`, operatorsOK, nil},
	{"Bootstrap", "", `{"tenant":"t1","principal":{"type":1,"id":"ACTOR"}}`, noToken, map[string]string{operator: "FailedPrecondition"}},
	{"BreakGlass", "", `{"tenant":"t1","principal":{"type":1,"id":"ACTOR"},"justification":"x"}`, operatorsOK, nil},
	{"PutTenant", "", `{` + t1 + `,"directoryComplete":true}`, operatorsOK, nil},
}

func (r *row) want(actor string) string {
	switch {
	case r.also[actor] != "":
		return r.also[actor]
	case slices.Contains(r.allowed, actor):
		return "OK"
	case actor == nobody:
		return "Unauthenticated"
	}
	return "PermissionDenied"
}

// Every method that changes anything, tried by everybody. The table is printed with -v.
func TestWhoMayChangeWhat(t *testing.T) {
	o := open(t, company)
	rows := map[string]bool{}
	for _, r := range matrix {
		rows[r.method] = true
	}
	for _, full := range o.served.Methods() {
		name := full[strings.LastIndex(full, "/")+1:]
		if strings.HasPrefix(full, "/pathgrant.") && !rows[name] && !slices.Contains(reads, name) {
			t.Errorf("%s is in no row of the matrix, and is not listed as one that changes nothing", full)
		}
	}
	var table strings.Builder
	for _, r := range matrix {
		fmt.Fprintf(&table, "\n%-24s%-48s", r.method, r.what)
		for _, actor := range actors {
			before := o.revision()
			_, err := o.call(actor, r.method, strings.ReplaceAll(r.request, "ACTOR", actor))
			got := status.Code(err).String()
			if want := r.want(actor); got != want {
				t.Errorf("%s %s by %s: %s (%v), want %s", r.method, r.what, actor, got, err, want)
			}
			fmt.Fprintf(&table, "%-12s", short[got])
			if err != nil && o.revision() != before {
				t.Errorf("%s %s by %s was refused, and something was changed", r.method, r.what, actor)
			}
			if o.revision() != before {
				o = open(t, company)
			}
		}
	}
	header := fmt.Sprintf("%-72s", "")
	for _, actor := range actors {
		header += fmt.Sprintf("%-12s", actor)
	}
	t.Log("\n" + header + table.String())
}

var short = map[string]string{
	"OK": "yes", "PermissionDenied": "-", "Unauthenticated": "401", "FailedPrecondition": "state", "AlreadyExists": "exists", "NotFound": "unknown", "InvalidArgument": "invalid",
}

// restReads are the operations that change nothing, though some are POSTs.
var restReads = []string{
	"queryRoleAssignments", "queryEnvironmentRoleAssignments", "checkEnvironmentPrincipalPermission", "checkPrincipalPermission", "verifyAudit",
}

const readerRole = "c886ad2e-27f7-4874-8381-5849b8d8a090"

// restMatrix has for each operation a path, a body and who gets which status; everybody
// else gets 403, and nobody 401.
var restMatrix = map[string]struct {
	path, body string
	want       map[string]int
}{
	"createRoleAssignment": {"/authorization/roleAssignments", restBody("/tenants/t1"), map[string]int{"owner": 200, "rbac": 200}},
	"createEnvironmentGroupRoleAssignment": {"/authorization/environmentGroups/g1/roleAssignments", restBody("/tenants/t1/environmentGroups/g1"),
		map[string]int{"owner": 200, "rbac": 200}},
	"createEnvironmentRoleAssignment": {"/authorization/environments/e1/roleAssignments", restBody("/tenants/t1/environments/e1"),
		map[string]int{"owner": 200, "rbac": 200, "rbac1": 200}},
	"applyAdminRole":                       {"/usermanagement/environments/d1/user/applyAdminRole", "", map[string]int{"dynamics": 200}},
	"deleteRoleAssignment":                 {"/authorization/roleAssignments/as-x", "", map[string]int{"owner": 200, "rbac": 200, "foreign": 404}},
	"deleteEnvironmentGroupRoleAssignment": {"/authorization/environmentGroups/g1/roleAssignments/as-xg", "", map[string]int{"owner": 200, "rbac": 200, "foreign": 404}},
	"deleteEnvironmentRoleAssignment": {"/authorization/environments/e1/roleAssignments/as-x1", "",
		map[string]int{"owner": 200, "rbac": 200, "rbac1": 200, "foreign": 404}},
	"bootstrap": {"/pathgrant/v1/bootstrap", `{"tenantId":"t1","principalType":"User","principalObjectId":"x"}`, map[string]int{operator: 409}},
}

func restBody(scope string) string {
	return `{"roleDefinitionId":"` + readerRole + `","principalObjectId":"y","principalType":"User","scope":"` + scope + `"}`
}

func TestWhoMayChangeWhatByREST(t *testing.T) {
	o := open(t, company)
	for _, op := range rest.Operations() {
		row, listed := restMatrix[op.ID]
		if !listed {
			if op.Method != http.MethodGet && !slices.Contains(restReads, op.ID) {
				t.Errorf("%s %s (%s) is in no row of the matrix, and is not listed as one that changes nothing", op.Method, op.Path, op.ID)
			}
			continue
		}
		path := row.path
		if !strings.HasPrefix(path, "/pathgrant/") {
			path += "?api-version=2024-10-01"
		}
		line := ""
		for _, actor := range actors {
			want := row.want[actor]
			switch {
			case want != 0:
			case actor == nobody:
				want = http.StatusUnauthorized
			default:
				want = http.StatusForbidden
			}
			before := o.revision()
			got, body := o.ask(o.credentials(actor), op.Method, path, row.body)
			if got != want {
				t.Errorf("%s by %s: %d %s, want %d", op.ID, actor, got, body, want)
			}
			line += fmt.Sprintf("%s=%d ", actor, got)
			if got != http.StatusOK && o.revision() != before {
				t.Errorf("%s by %s was refused, and something was changed", op.ID, actor)
			}
			if o.revision() != before {
				o = open(t, company)
			}
		}
		t.Logf("%-40s %s", op.ID, line)
	}
}
