package insiders_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

// item is a PutItem of an item of d1.
func item(what, more string) string {
	return `{"item":{"environment":"d1",` + what + `}` + more + `}`
}

const anyState = `,"ifMatch":"*"`

// boss may change who holds what in d1, and sells in the business unit sales: he reads
// accounts there. Whatever would let him at more is refused.
func TestNobodyComesToDataByAdministering(t *testing.T) {
	for _, c := range []struct{ what, method, request, want string }{
		{"a team of System Administrators is joined", "PutItem",
			item(`"team":{"id":"admins","displayName":"Admins","teamType":"OwnerTeam","businessUnit":"hq","members":[`+user("x")+`,`+user("boss")+`]}`, anyState), "SELF_ESCALATION"},
		{"as an application", "PutItem",
			item(`"team":{"id":"admins","displayName":"Admins","teamType":"OwnerTeam","businessUnit":"hq","members":[`+app("BOSS")+`]}`, anyState), "SELF_ESCALATION"},
		{"a team that owns records is joined", "PutItem",
			item(`"team":{"id":"field","displayName":"Field","teamType":"OwnerTeam","businessUnit":"north","members":[`+user("boss")+`]}`, anyState), "SELF_ESCALATION"},
		{"a security role", "CreateRoleAssignment", assign(user("boss"), "System Administrator", "/tenants/t1/environments/d1"), "SELF_ESCALATION"},
		{"one's own in another business unit", "CreateRoleAssignment", assign(user("boss"), "Seller", "/tenants/t1/environments/d1/businessUnits/north"), "SELF_ESCALATION"},
		{"one's own business unit is another", "PutItem", item(`"user":{"principal":`+user("boss")+`,"businessUnit":"hq"}`, anyState), "SELF_ESCALATION"},
		{"another business unit comes below one's own", "PutBusinessUnit", `{"businessUnit":{"id":"north","environment":"d1","parent":"sales"},"ifMatch":"*"}`, "SELF_ESCALATION"},
		{"a record is shared with oneself", "PutItem", item(`"share":{"table":"Order","record":"r1","principal":`+user("boss")+`,"rights":["Read"]}`, ""), "SELF_ESCALATION"},
		{"or with everyone", "PutItem", item(`"share":{"table":"Order","record":"r1","everyone":true,"rights":["Read"]}`, ""), "SELF_ESCALATION"},
		{"with a right that one has not", "PutItem", item(`"share":{"table":"Order","record":"r1","principal":`+user("boss")+`,"rights":["Write"]}`, ""), "OK"},
		{"a role that one holds gives more", "UpdateRoleDefinition",
			`{"roleDefinition":{"id":"seller","name":"Seller","privileges":["Dataverse.Account.ALL8@Organization"]},"ifMatch":"*"}`, "ESCALATION"},
		{"or gives what one holds, farther", "UpdateRoleDefinition",
			`{"roleDefinition":{"id":"spare","name":"Spare","privileges":["Dataverse.Order.Read@BusinessUnit"]},"ifMatch":"*"}`, "ESCALATION"},
		{"or lets one act for others", "UpdateRoleDefinition",
			`{"roleDefinition":{"id":"spare","name":"Spare","privileges":["Dataverse.User.ActOnBehalf"]},"ifMatch":"*"}`, "ESCALATION"},
		{"or is a copy", "CreateRoleDefinition", `{"copyOf":"System Administrator","roleDefinition":{"name":"Copy","environment":"d1"}}`, "ESCALATION"},
		{"a table is of a class that one reads", "PutItem", item(`"table":{"name":"Asset","classes":["core"],"ownership":"User"}`, anyState), "SELF_ESCALATION"},
		{"a column profile is one's own", "PutItem",
			item(`"columnProfile":{"id":"prices","displayName":"Prices","columns":[{"table":"Order","column":"price","rights":["Read"]}],"principals":[`+user("boss")+`]}`, anyState), "SELF_ESCALATION"},
		{"or a new one is", "PutItem",
			item(`"columnProfile":{"id":"mine","columns":[{"table":"Order","column":"price","rights":["Read"]}],"principals":[`+user("boss")+`]}`, ""), "SELF_ESCALATION"},
		{"Environment Maker brings a security role", "CreateRoleAssignment", assign(user("boss"), "Environment Maker", "/tenants/t1/environments/d1"), "SELF_ESCALATION"},
		{"which is not assigned by hand", "CreateRoleAssignment", assign(user("x"), "Environment Maker (Dataverse)", "/tenants/t1/environments/d1"), "NOT_ASSIGNABLE"},
		{"somebody else's may change", "PutItem", item(`"user":{"principal":`+user("x")+`,"businessUnit":"hq"}`, anyState), "OK"},
	} {
		o := open(t, company)
		before := o.revision()
		o.tries(c.what, "boss", c.method, c.request, c.want)
		if changed := o.revision() != before; changed != (c.want == "OK") {
			t.Errorf("%s: something was changed: %v", c.what, changed)
		}
	}
}

// A group that is the group team's is joined, or the team is given a group that one is in.
func TestNobodyComesToDataThroughAGroup(t *testing.T) {
	o := open(t, company)
	o.tries("a team of a group", "owner", "PutItem", item(`"team":{"id":"gt","displayName":"GT","teamType":"GroupTeam","businessUnit":"hq","group":"staff"}`, ""), "OK")
	o.tries("that is given a role", "owner", "CreateRoleAssignment", assign(`{"type":"PRINCIPAL_TYPE_TEAM","id":"gt"}`, "System Administrator", "/tenants/t1/environments/d1"), "OK")
	o.tries("the group is joined", "boss", "AddGroupMembers", members("staff", user("boss")), "SELF_ESCALATION")
	o.tries("a group that holds nothing", "owner", "PutGroup", `{"group":{"id":"mine"}}`, "OK")
	o.tries("has boss in it", "owner", "AddGroupMembers", members("mine", user("boss")), "OK")
	o.tries("and becomes the team's", "boss", "PutItem", item(`"team":{"id":"gt","displayName":"GT","teamType":"GroupTeam","businessUnit":"hq","group":"mine"}`, anyState), "SELF_ESCALATION")
	o.tries("whose groups are unknown could be in it", "boss", "PutItem", item(`"team":{"id":"gt2","displayName":"GT2","teamType":"GroupTeam","businessUnit":"hq","group":"other"}`, ""), "OK")
}

// A table that is taken out of the list and put in again is as it was, or is refused.
func TestATableListedAnewEscapesNothing(t *testing.T) {
	o := open(t, company)
	o.tries("taken out", "boss", "DeleteItem", item(`"table":{"name":"asset"}`, anyState), "OK")
	o.tries("put in as one that boss reads", "boss", "PutItem", item(`"table":{"name":"Asset","classes":["core"],"ownership":"User"}`, ""), "SELF_ESCALATION")
	o.tries("put in as it was", "boss", "PutItem", item(`"table":{"name":"Asset","classes":["custom"],"ownership":"User"}`, ""), "OK")
	o.tries("by whom all of them are open to", "sysadmin", "PutItem", item(`"table":{"name":"Another","classes":["core"],"ownership":"User","securedColumns":["secret"]}`, ""), "OK")
}

// What administers a database does not reach beyond it.
func TestASystemAdministratorHandsOutSecurityRolesAlone(t *testing.T) {
	o := open(t, company)
	const d1 = "/tenants/t1/environments/d1"
	o.tries("a security role", "sysadmin", "CreateRoleAssignment", assign(user("x"), "System Customizer", d1), "OK")
	o.tries("a custom one", "sysadmin", "CreateRoleAssignment", assign(user("x"), "Spare", d1+"/businessUnits/sales"), "OK")
	o.tries("Environment Maker", "sysadmin", "CreateRoleAssignment", assign(user("x"), "Environment Maker", d1), "OK")
	o.tries("a role of the platform", "sysadmin", "CreateRoleAssignment", assign(user("x"), "Power Platform Reader", d1), "FORBIDDEN")
	o.tries("a role that the service gives", "sysadmin", "CreateRoleAssignment", assign(user("x"), "Service Reader", d1), "FORBIDDEN")
	o.tries("a role by its old name", "sysadmin", "CreateRoleAssignment", assign(user("sharer"), "common-data service user", d1), "OK")
	o.tries("Environment Admin where there is a database", "owner", "CreateRoleAssignment", assign(user("y"), "Environment Admin", d1), "NOT_ASSIGNABLE")
	o.tries("to somebody who is no user there", "sysadmin", "CreateRoleAssignment", assign(user("y"), "Basic User", d1), "NOT_ASSIGNABLE")
	o.tries("to a group", "sysadmin", "CreateRoleAssignment", assign(group("staff"), "Basic User", d1), "NOT_ASSIGNABLE")
	o.tries("taken away by a DENY", "sysadmin", "CreateRoleAssignment", assign(user("x"), "Basic User", d1, `"effect":2`), "NOT_ASSIGNABLE")
	o.tries("in another environment", "sysadmin", "CreateRoleAssignment", assign(user("x"), "Environment Maker", "/tenants/t1/environments/e1"), "FORBIDDEN")
	o.tries("the assignment of another role there", "owner", "CreateRoleAssignment", assign(user("z"), "Power Platform Reader", d1), "OK")
	o.tries("is not sysadmin's to remove", "sysadmin", "DeleteRoleAssignment", `{"id":"as-boss"}`, "FORBIDDEN")
	o.tries("a group that holds one", "owner", "CreateRoleAssignment", assign(group("local"), "Power Platform Owner", d1), "OK")
	o.tries("is not sysadmin's to fill", "sysadmin", "AddGroupMembers", members("local", user("z")), "FORBIDDEN")
}

func TestASharerSharesWhatIsTheirs(t *testing.T) {
	o := open(t, company)
	share := func(record, rights string) string {
		return item(`"share":{"table":"Order","record":"`+record+`","principal":`+user("x")+`,"rights":[`+rights+`]}`, "")
	}
	o.tries("a record that one may share", "sharer", "PutItem", share("r1", `"Read"`), "OK")
	if _, err := o.call("sharer", "PutItem", share("r2", `"Read","Write"`)); outcome(err) != "ESCALATION" || !strings.Contains(err.Error(), "the share is wider than the sharer's own rights: the caller may not Write the record") {
		t.Errorf("a share that is wider than the sharer's rights: %v", err)
	}
	o.tries("a record of another table", "sharer", "PutItem", item(`"share":{"table":"Account","record":"r1","principal":`+user("x")+`,"rights":["Read"]}`, ""), "FORBIDDEN")
	o.tries("with oneself", "sharer", "PutItem", item(`"share":{"table":"Order","record":"r1","principal":`+user("sharer")+`,"rights":["Read"]}`, ""), "OK") // which gives nothing
	o.tries("anything else", "sharer", "PutItem", item(`"user":{"principal":`+user("y")+`}`, ""), "FORBIDDEN")
	o.tries("ended by the sharer", "sharer", "DeleteItem", item(`"share":{"table":"order","record":"r1","principal":`+user("x")+`}`, anyState), "OK")
	o.tries("by somebody who may read and not share", "contributor", "PutItem", share("r1", `"Read"`), "FORBIDDEN")
}

// Nobody but three directory roles, directly held, elevates itself, and once it was taken
// back no replay gives it again.
func TestSelfElevation(t *testing.T) {
	o := open(t, company)
	const request = `{"environment":"d1","context":{"requestId":"again"}}`
	wids := func(ids ...string) func(pgtest.Claims) {
		return func(c pgtest.Claims) { c["wids"] = ids }
	}
	for name, credentials := range map[string]string{
		"an Owner, by *": o.credentials("owner"), "a Contributor, by *": o.credentials("contributor"), "an RBAC administrator": o.credentials("boss"),
		"a Power Apps Administrator":                 o.credentials("owner", wids("33333333-3333-4333-8333-333333333333")),
		"Power Apps Administrator by our identifier": o.credentials("owner", wids("d07c0e31-4f68-80b4-8134-438b07a028a3")),
		"a Global Reader":                            o.credentials("owner", wids("f2ef992c-3afb-46b9-b7cf-a126ee74c451")),
		"a group by the role's identifier":           o.credentials("owner", func(c pgtest.Claims) { c["groups"] = []string{dynamicsAdministrator} }),
		"the operator":                               o.credentials(operator),
	} {
		if _, err := o.callWith(credentials, "ApplyAdminRole", request); outcome(err) != "FORBIDDEN" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := o.callWith(o.credentials("foreign", wids(dynamicsAdministrator)), "ApplyAdminRole", `{"environment":"d1","context":{"tenant":"t1"}}`); outcome(err) != "CROSS_TENANT" {
		t.Errorf("of another tenant: %v", err)
	}
	if _, err := o.callWith(o.credentials("foreign", wids(dynamicsAdministrator)), "ApplyAdminRole", request); outcome(err) != "SCOPE_UNKNOWN" {
		t.Errorf("from another tenant, without naming it: %v", err) // an environment of its own tenant is meant
	}
	if _, err := o.callWith(o.credentials("nothing", wids("62e90394-69f5-4237-9190-012177145e10")), "ApplyAdminRole", request); outcome(err) != "FORBIDDEN" || !strings.Contains(err.Error(), "UserManagement.Users.Apply is needed") {
		t.Errorf("a Global Administrator, to whom nothing was assigned: %v", err)
	}
	o.tries("an environment without a database", "dynamics", "ApplyAdminRole", `{"environment":"e1"}`, "FORBIDDEN")
	o.tries("an environment that is not there", "dynamics", "ApplyAdminRole", `{"environment":"e99"}`, "FORBIDDEN")
	made := id(t, o.tries("the first time", "dynamics", "ApplyAdminRole", request, "OK"))
	if !o.has(made) {
		t.Fatal("nothing was assigned")
	}
	o.tries("administers now", "dynamics", "CreateRoleAssignment", assign(user("x"), "Basic User", "/tenants/t1/environments/d1"), "OK")
	before := o.revision()
	if again := id(t, o.tries("a second time", "dynamics", "ApplyAdminRole", `{"environment":"D1"}`, "OK")); again != made || o.revision() != before {
		t.Errorf("the second time gave %s, not %s, at revision %d", again, made, o.revision())
	}
	o.tries("it is taken back", "sysadmin", "DeleteRoleAssignment", fmt.Sprintf(`{"id":"%s"}`, made), "OK")
	o.tries("the first call is sent again", "dynamics", "ApplyAdminRole", request, "OK")
	if o.has(made) {
		t.Error("the replay gave the role again")
	}
	o.tries("and gives nothing", "dynamics", "CreateRoleAssignment", assign(user("sharer"), "Basic User", "/tenants/t1/environments/d1"), "FORBIDDEN")
	audit := text(t, o.tries("the audit", "owner", "ListAuditEntries", `{"pageSize":1000}`, "OK"))
	for _, want := range []string{"ApplyAdminRole", "44367163-eba1-44c3-98af-f5787879f96a", "627090ff-40a3-4053-8790-584edc5be201"} {
		if !strings.Contains(audit, want) {
			t.Errorf("the change audit does not name %s", want)
		}
	}
}

// Raising oneself any other way is refused to a directory role as to anybody.
func TestADirectoryRoleRaisesItselfNoOtherWay(t *testing.T) {
	o := open(t, strings.Replace(company, "roleAssignmentId: as-dynamics,", "roleAssignmentId: as-power, principalType: DirectoryRole, principalObjectId: 11648597-926c-4cf3-9c36-bcebb0ba8dcc, roleDefinitionName: Power Platform Administrator, scope: /tenants/t1}\n      - {roleAssignmentId: as-dynamics,", 1))
	token := o.credentials("boss", func(c pgtest.Claims) { c["wids"] = []string{"11648597-926c-4cf3-9c36-bcebb0ba8dcc"} })
	for _, c := range []struct{ method, request string }{
		{"CreateRoleAssignment", assign(user("boss"), "System Administrator", "/tenants/t1/environments/d1")},
		{"CreateRoleAssignment", assign(user("boss"), "Basic User", "/tenants/t1/environments/d1")},
		{"PutItem", item(`"user":{"principal":`+user("boss")+`,"businessUnit":"hq"}`, anyState)},
	} {
		if _, err := o.callWith(token, c.method, c.request); outcome(err) != "SELF_ESCALATION" {
			t.Errorf("%s %s: %v", c.method, c.request, err)
		}
	}
	if _, err := o.callWith(token, "ApplyAdminRole", `{"environment":"e1"}`); outcome(err) != "INVALID" || !strings.Contains(err.Error(), "has no database") {
		t.Errorf("an environment without a database: %v", err)
	}
	if _, err := o.callWith(token, "ApplyAdminRole", `{"environment":"d1"}`); err != nil {
		t.Errorf("by the one way: %v", err)
	}
}
