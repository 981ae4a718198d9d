package naming_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// The records that the requests below name.
const (
	idA = "00000000-0000-0000-0000-00000000000a"
	idB = "00000000-0000-0000-0000-00000000000b"
	idE = "11111111-2222-3333-4444-555555555555"
)

// webCatalogue is the shipped one with a host, a table of the customer's and routes.
const webCatalogue = `
catalogue: contoso
profile: dataverse
extends: dataverse
hosts:
  Contoso.crm4.dynamics.com: ` + idE + `
  fabrikam.crm.dynamics.com: E-Two
entitySets:
  new_orders:
    columns: [new_total, new_scan]
    navigation:
      new_Account: {entitySet: accounts, kind: manyToOne}
      new_order_lines: {entitySet: new_lines, kind: oneToMany}
      new_tags: {entitySet: new_tags, kind: manyToMany}
      new_parts: {table: Part, kind: contains}
routes:
  - {method: POST, path: "/accounts({id})/Microsoft.Dynamics.CRM.Merge", privileges: [Dataverse.Account.Write, Dataverse.Account.Delete, Dataverse.Contact.Read]}
  - {method: POST, path: /new_DoIt, privileges: [Dataverse.new_Order.Create]}
  - {method: GET, path: "/RetrieveTotalRecordCount({names})", privileges: [Dataverse.Account.Read]}
  - {method: DELETE, path: "/new_lines({id})", deny: true}
`

func loadWeb(t testing.TB, sources ...naming.Source) *naming.Catalogues {
	t.Helper()
	if len(sources) == 0 {
		sources = []naming.Source{{File: "contoso.yaml", Text: []byte(webCatalogue)}}
	}
	c, err := naming.Load(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// asked writes what a request asks in one line: the privileges, the table (= before the
// name of one that no entity set names), the record's last digit, the columns, * for all.
func asked(r *naming.Resolution) string {
	if r.Reason != authz.ReasonUnspecified {
		return r.Reason.String()
	}
	if r.Web == nil {
		return "not the Web API"
	}
	var asks []string
	for _, a := range r.Web.Asks {
		text := a.Privileges.String() + " " + a.EntitySet
		if a.Table != "" {
			text += "=" + a.Table
		}
		if a.Record != "" {
			text += "#" + a.Record[len(a.Record)-1:]
		}
		if len(a.Columns) > 0 {
			text += " " + strings.Join(a.Columns, ",")
		}
		if a.AllColumns {
			text += " *"
		}
		asks = append(asks, text)
	}
	text := strings.Join(asks, " & ")
	switch {
	case r.Web.ManyToMany:
		text += " (relates many)"
	case r.Web.Relates:
		text += " (relates)"
	}
	return text
}

// A webCase is a request, behind /api/data/v9.2 where the target does not begin with
// another root, and what it asks.
type webCase struct {
	name, method, target string
	headers              map[string]string
	want                 string
}

type headers = map[string]string

func webRequest(c webCase) naming.Request {
	target := c.target
	if root, ok := strings.CutPrefix(target, "~"); ok {
		target = root
	} else {
		target = "/api/data/v9.2" + target
	}
	return naming.Request{
		Method: c.method, Host: "contoso.crm4.dynamics.com", Path: target,
		Header: func(name string) string { return c.headers[name] },
	}
}

func TestWebRequests(t *testing.T) {
	t.Parallel()
	const a, b = "(" + idA + ")", "(" + idB + ")"
	const bad, un = "BAD_REQUEST", "UNMAPPED"
	cases := []webCase{
		// Reading tables and records.
		{"a table", "GET", "/accounts", nil, "Read accounts *"},
		{"a table's head", "HEAD", "/accounts", nil, "Read accounts *"},
		{"a table with a trailing slash", "GET", "/accounts/", nil, "Read accounts *"},
		{"a table that nobody declared here", "GET", "/new_things", nil, "Read new_things *"},
		{"an entity set in other letters is another one", "GET", "/Accounts", nil, "Read Accounts *"},
		{"a record", "GET", "/accounts" + a, nil, "Read accounts#a *"},
		{"a record's identifier in capitals", "GET", "/accounts(00000000-0000-0000-0000-00000000000A)", nil, "Read accounts#a *"},
		{"a record, its parentheses escaped", "GET", "/accounts%28" + idA + "%29", nil, "Read accounts#a *"},
		{"a record's columns", "GET", "/accounts" + a + "?$select=name,revenue", nil, "Read accounts#a name,revenue"},
		{"columns with spaces", "GET", "/accounts?$select=name,%20revenue", nil, "Read accounts name,revenue"},
		{"a lookup column", "GET", "/accounts?$select=_primarycontactid_value", nil, "Read accounts primarycontactid"},
		{"all columns by a star", "GET", "/accounts?$select=*", nil, "Read accounts *"},
		{"a star among columns", "GET", "/accounts?$select=name,*", nil, "Read accounts name *"},
		{"an alternate key", "GET", "/contacts(firstname='Joe',emailaddress1='abc@example.com')?$select=fullname", nil, "Read contacts firstname,emailaddress1,fullname"},
		{"an alternate key with a quote in it", "GET", "/contacts(lastname='O''Neil')?$select=fullname", nil, "Read contacts lastname,fullname"},
		{"an alternate key with escapes", "GET", "/contacts(lastname='Du%20Pont%C3%A9')?$select=fullname", nil, "Read contacts lastname,fullname"},
		{"an alternate key over a lookup", "GET", "/accounts(_primarycontactid_value=" + idB + ")?$select=name", nil, "Read accounts primarycontactid,name"},
		{"an alternate key of a number", "GET", "/accounts(accountnumber=-12.5)?$select=name", nil, "Read accounts accountnumber,name"},
		{"the primary key by its name is an alternate key", "GET", "/accounts(accountid=" + idA + ")?$select=name", nil, "Read accounts accountid,name"},
		{"an elastic table's record", "GET", "/new_logs(new_logid=" + idA + ",partitionid='p1')?$select=new_x", nil, "Read new_logs new_logid,partitionid,new_x"},
		{"a partition", "GET", "/new_logs" + a + "?$select=new_x&partitionId=p1", nil, "Read new_logs#a new_x"},
		{"the oldest version", "GET", "~/api/data/v9.0/accounts", nil, "Read accounts *"},
		{"a version to come", "GET", "~/api/data/v9.13/accounts", nil, "Read accounts *"},
		{"the number of rows", "GET", "/accounts/$count", nil, "Read accounts"},
		{"the number of rows that pass a filter", "GET", "/accounts/$count?$filter=revenue%20gt%201000", nil, "Read accounts revenue"},
		{"an empty query", "GET", "/accounts?", nil, "Read accounts *"},
		{"rows and pages", "GET", "/accounts?$select=name&$top=3&$count=true", nil, "Read accounts name"},
		{"the next page may go on by any column", "GET", "/accounts?$select=name&$skiptoken=%3Ccookie%20pagenumber=%222%22%20/%3E", nil, "Read accounts name *"},
		{"changes since", "GET", "/accounts?$select=name&$deltatoken=919042%2108%2f22", nil, "Read accounts name *"},

		// Rows chosen and put in order are columns read.
		{"a filter's column", "GET", "/accounts?$select=name&$filter=revenue%20gt%20100000", nil, "Read accounts name,revenue"},
		{"a filter with pluses", "GET", "/accounts?$select=name&$filter=revenue+gt+100000+and+statecode+eq+0", nil, "Read accounts name,revenue,statecode"},
		{"operators, groups and literals", "GET", "/accounts?$select=name&$filter=(not%20contains(name,'sample')%20or%20creditonhold%20eq%20true)%20and%20revenue%20ne%20null", nil, "Read accounts name,name,creditonhold,revenue"},
		{"text that looks like columns", "GET", "/accounts?$select=name&$filter=name%20eq%20'revenue%20gt%20(5'", nil, "Read accounts name,name"},
		{"text with quotes in it", "GET", "/accounts?$select=name&$filter=name%20eq%20'it''s%20revenue'", nil, "Read accounts name,name"},
		{"text with an escaped ampersand", "GET", "/accounts?$select=name&$filter=name%20eq%20'A%26B'", nil, "Read accounts name,name"},
		{"a GUID that begins with a letter", "GET", "/accounts?$select=name&$filter=accountid%20eq%20ce9eaaef-f718-ed11-b83e-00224837179f", nil, "Read accounts name,accountid"},
		{"dates", "GET", "/accounts?$select=name&$filter=createdon%20ge%202024-01-01T00:00:00Z%20and%20createdon%20lt%202025-01-01", nil, "Read accounts name,createdon,createdon"},
		{"a list", "GET", "/accounts?$select=name&$filter=statecode%20in%20(0,1)", nil, "Read accounts name,statecode"},
		{"a lookup in a filter", "GET", "/accounts?$select=name&$filter=_primarycontactid_value%20eq%20" + idB, nil, "Read accounts name,primarycontactid"},
		{"text functions", "GET", "/accounts?$select=name&$filter=startswith(telephone1,'+1')%20and%20endswith(websiteurl,'.com')", nil, "Read accounts name,telephone1,websiteurl"},
		{"a query function", "GET", "/accounts?$select=name&$filter=Microsoft.Dynamics.CRM.Between(PropertyName='numberofemployees',PropertyValues=[%225%22,%222000%22])", nil, "Read accounts name,numberofemployees"},
		{"a query function over two literals", "GET", "/accounts?$select=name&$filter=Microsoft.Dynamics.CRM.LastXDays(PropertyName=%27createdon%27,PropertyValue=7)%20and%20revenue%20gt%201", nil, "Read accounts name,createdon,revenue"},
		{"a query function with its value first", "GET", "/accounts?$select=name&$filter=Microsoft.Dynamics.CRM.In(PropertyValues=['a','b'],%20PropertyName='industrycode')", nil, "Read accounts name,industrycode"},
		{"a parameter's value", "GET", "/accounts?$select=name&$filter=contains(@c,@v)&@c=revenue&@v='x'", nil, "Read accounts name,revenue"},
		{"an order", "GET", "/accounts?$select=name&$orderby=revenue%20desc,name", nil, "Read accounts name,revenue,name"},
		{"a filter over a declared lookup", "GET", "/accounts?$select=name&$filter=primarycontactid/birthdate%20gt%202000-01-01", nil, "Read accounts name,primarycontactid & Read contacts birthdate"},
		{"an order over a declared lookup", "GET", "/accounts?$select=name&$orderby=primarycontactid/fullname%20asc", nil, "Read accounts name,primarycontactid & Read contacts fullname"},
		{"two columns behind one lookup", "GET", "/accounts?$select=name&$filter=primarycontactid/fullname%20eq%20'a'%20or%20primarycontactid/jobtitle%20eq%20'b'", nil, "Read accounts name,primarycontactid,primarycontactid & Read contacts fullname,jobtitle"},
		{"a filter over a lookup whose column nobody named", "GET", "/new_orders?$select=new_total&$filter=new_Account/revenue%20gt%201", nil, "Read new_orders new_total * & Read accounts revenue"},

		// Behind a record.
		{"a column", "GET", "/accounts" + a + "/name", nil, "Read accounts#a name"},
		{"a column's raw value", "GET", "/accounts" + a + "/name/$value", nil, "Read accounts#a name"},
		{"an image in full", "GET", "/new_orders" + a + "/new_scan/$value?size=full", nil, "Read new_orders#a new_scan"},
		{"a lookup's value", "GET", "/new_things" + a + "/_new_owner_value", nil, "Read new_things#a new_owner"},
		{"the record that a lookup leads to", "GET", "/accounts" + a + "/primarycontactid?$select=fullname", nil, "Read accounts#a primarycontactid & Read contacts fullname"},
		{"the records that have a lookup to this one", "GET", "/accounts" + a + "/contact_customer_accounts?$select=fullname", nil, "Read accounts#a & Read contacts parentcustomerid,fullname"},
		{"a filter on what a navigation property leads to", "GET", "/accounts" + a + "/contact_customer_accounts?$select=fullname&$filter=parentcustomerid_account/revenue%20gt%205", nil, "Read accounts#a & Read contacts parentcustomerid,fullname,parentcustomerid & Read accounts revenue"},
		{"one of them", "GET", "/accounts" + a + "/contact_customer_accounts" + b + "?$select=fullname", nil, "Read accounts#a & Read contacts#b parentcustomerid,fullname"},
		{"how many they are", "GET", "/accounts" + a + "/Account_Tasks/$count", nil, "Read accounts#a & Read tasks regardingobjectid"},
		{"which they are", "GET", "/accounts" + a + "/Account_Tasks/$ref", nil, "Read accounts#a & Read tasks regardingobjectid"},
		{"which one it is", "GET", "/accounts" + a + "/primarycontactid/$ref", nil, "Read accounts#a primarycontactid & Read contacts"},
		{"two steps", "GET", "/contacts" + a + "/parentcustomerid_account/primarycontactid?$select=fullname", nil, "Read contacts#a parentcustomerid & Read accounts primarycontactid & Read contacts fullname"},
		{"a column two steps away", "GET", "/contacts" + a + "/parentcustomerid_account/revenue", nil, "Read contacts#a parentcustomerid & Read accounts revenue"},
		{"a lookup whose column nobody named", "GET", "/new_orders" + a + "/new_Account?$select=name", nil, "Read new_orders#a * & Read accounts name"},
		{"lines whose lookup nobody named", "GET", "/new_orders" + a + "/new_order_lines?$select=new_sum", nil, "Read new_orders#a & Read new_lines new_sum *"},
		{"many to many", "GET", "/new_orders" + a + "/new_tags?$select=new_name", nil, "Read new_orders#a & Read new_tags new_name"},
		{"parts of a table without an entity set", "GET", "/new_orders" + a + "/new_parts?$select=new_size", nil, "Read new_orders#a & Read =Part new_size"},
		{"the roles of a user", "GET", "/systemusers" + a + "/systemuserroles_association?$select=name", nil, "Read systemusers#a & Read roles name"},

		// Definitions.
		{"the service document", "GET", "", nil, "Read =Entity *"},
		{"the service document with a slash", "GET", "/", nil, "Read =Entity *"},
		{"the metadata document", "GET", "/$metadata", nil, "Read =Entity *"},
		{"the metadata document with annotations", "GET", "/$metadata?annotations=true", nil, "Read =Entity *"},
		{"definitions of tables", "GET", "/EntityDefinitions?$select=LogicalName", nil, "Read EntityDefinitions LogicalName"},
		{"a definition by its name", "GET", "/EntityDefinitions(LogicalName='account')?$select=SchemaName&LabelLanguages=1033", nil, "Read EntityDefinitions LogicalName,SchemaName"},
		{"definitions of columns", "GET", "/EntityDefinitions(LogicalName='account')/Attributes?$select=SchemaName", nil, "Read EntityDefinitions LogicalName & Read =Column SchemaName"},
		{"a definition of a column", "GET", "/EntityDefinitions(LogicalName='account')/Attributes(LogicalName='name')?$select=SchemaName", nil, "Read EntityDefinitions LogicalName & Read =Column LogicalName,SchemaName"},
		{"making a table", "POST", "/EntityDefinitions", nil, "Create EntityDefinitions *"},
		{"changing a table", "PUT", "/EntityDefinitions" + a, nil, "Write =Entity *"},
		{"making a column", "POST", "/EntityDefinitions(LogicalName='account')/Attributes", nil, "Write =Entity * & Create =Column *"},
		{"changing a column's definition", "PUT", "/EntityDefinitions" + a + "/Attributes" + b, nil, "Write =Entity * & Write =Column *"},
		{"deleting a column", "DELETE", "/EntityDefinitions" + a + "/Attributes(LogicalName='new_x')", nil, "Write =Entity * & Delete =Column *"},
		{"deleting a table", "DELETE", "/EntityDefinitions" + a, nil, "Delete EntityDefinitions#a"},

		// Changing records.
		{"creating", "POST", "/accounts", nil, "Create accounts *"},
		{"creating and getting it back", "POST", "/accounts", headers{"prefer": "return=representation"}, "Create accounts * & Read accounts *"},
		{"creating and getting columns back", "POST", "/accounts?$select=name", headers{"prefer": "odata.include-annotations=\"*\", Return=Representation"}, "Create accounts * & Read accounts name"},
		{"creating with a selection and no preference", "POST", "/accounts?$select=name", nil, "Create accounts * & Read accounts name"},
		{"another preference", "POST", "/accounts", headers{"prefer": "return=minimal"}, "Create accounts *"},
		{"an upsert", "PATCH", "/accounts" + a, nil, "{Create,Write} accounts#a *"},
		{"an upsert by an alternate key", "PATCH", "/accounts(accountnumber='7')", nil, "{Create,Write} accounts *"},
		{"an update", "PATCH", "/accounts" + a, headers{"if-match": "*"}, "Write accounts#a *"},
		{"an update as the documentation shows it", "PATCH", "/accounts" + a, headers{"if-match": "*", "if-none-match": "null"}, "Write accounts#a *"},
		{"an update of one version", "PATCH", "/accounts" + a, headers{"if-match": `W/"502186"`}, "Write accounts#a *"},
		{"an update that sends it back", "PATCH", "/accounts" + a + "?$select=name", headers{"if-match": "*", "prefer": "return=representation"}, "Write accounts#a * & Read accounts#a name"},
		{"only if it is not there", "PATCH", "/accounts" + a, headers{"if-none-match": "*"}, "Create accounts#a *"},
		{"a condition that is none", "PATCH", "/accounts" + a, headers{"if-none-match": "null"}, "{Create,Write} accounts#a *"},
		{"a condition that may be ignored", "PATCH", "/accounts" + a, headers{"if-match": "null"}, "{Create,Write} accounts#a *"},
		{"a condition torn open", "PATCH", "/accounts" + a, headers{"if-match": `W/"5`}, "{Create,Write} accounts#a *"},
		{"two conditions of a kind", "PATCH", "/accounts" + a, headers{"if-match": `*, "7"`}, "{Create,Write} accounts#a *"},
		{"a condition on any other version", "PATCH", "/accounts" + a, headers{"if-none-match": `W/"502186"`}, "{Create,Write} accounts#a *"},
		{"deleting", "DELETE", "/accounts" + a, nil, "Delete accounts#a"},
		{"deleting by an alternate key", "DELETE", "/accounts(accountnumber='7')", nil, "Delete accounts"},
		{"setting a column", "PUT", "/accounts" + a + "/name", nil, "Write accounts#a name"},
		{"setting a column that nobody declared", "PUT", "/new_things" + a + "/new_total", nil, "Write new_things#a new_total"},
		{"setting a column and getting the record back", "PUT", "/accounts" + a + "/name", headers{"prefer": "return=representation"}, "Write accounts#a name & Read accounts#a *"},
		{"emptying a column", "DELETE", "/accounts" + a + "/description", nil, "Write accounts#a description"},
		{"sending a file", "PATCH", "/new_orders" + a + "/new_scan", nil, "Write new_orders#a new_scan"},

		// Attaching records.
		{"attaching to a collection", "POST", "/accounts" + a + "/contact_customer_accounts/$ref", nil, "Append contacts parentcustomerid & AppendTo accounts#a (relates)"},
		{"attaching by a lookup", "PUT", "/accounts" + a + "/primarycontactid/$ref", nil, "Append accounts#a primarycontactid & AppendTo contacts (relates)"},
		{"attaching by a lookup whose column nobody named", "PUT", "/new_orders" + a + "/new_Account/$ref", nil, "Append new_orders#a * & AppendTo accounts (relates)"},
		{"attaching many to many", "POST", "/new_orders" + a + "/new_tags/$ref", nil, "Append new_orders#a & Append new_tags (relates many)"},
		{"detaching by a lookup", "DELETE", "/accounts" + a + "/primarycontactid/$ref", nil, "Append accounts#a primarycontactid & AppendTo contacts (relates)"},
		{"detaching one of a collection", "DELETE", "/accounts" + a + "/contact_customer_accounts" + b + "/$ref", nil, "Append contacts#b parentcustomerid & AppendTo accounts#a (relates)"},
		{"detaching by address", "DELETE", "/accounts" + a + "/contact_customer_accounts/$ref?$id=https://contoso.crm4.dynamics.com/api/data/v9.0/contacts" + b, nil, "Append contacts#b parentcustomerid & AppendTo accounts#a (relates)"},
		{"detaching by path", "DELETE", "/accounts" + a + "/contact_customer_accounts/$ref?$id=contacts" + b, nil, "Append contacts#b parentcustomerid & AppendTo accounts#a (relates)"},
		{"detaching many to many", "DELETE", "/new_orders" + a + "/new_tags" + b + "/$ref", nil, "Append new_orders#a & Append new_tags#b (relates many)"},

		// Operations that a route names.
		{"a function", "GET", "/WhoAmI", nil, "Read =User *"},
		{"a function with empty parentheses", "GET", "/WhoAmI()", nil, "Read =User *"},
		{"a function's head", "HEAD", "/WhoAmI", nil, "Read =User *"},
		{"a function with arguments", "GET", "/RetrieveTotalRecordCount(EntityNames=['account'])", nil, "Read =Account *"},
		{"a function with parameters", "GET", "/RetrieveTotalRecordCount(EntityNames=@p)?@p=['account']", nil, "Read =Account *"},
		{"an action", "POST", "/new_DoIt", nil, "Create =new_Order *"},
		{"an action of a record", "POST", "/accounts" + a + "/Microsoft.Dynamics.CRM.Merge", nil, "{Write,Delete} =Account * & Read =Contact *"},
		{"a route that denies", "DELETE", "/new_lines" + a, nil, un},
		{"what a route of another method denies", "GET", "/new_lines" + a + "?$select=new_x", nil, "Read new_lines#a new_x"},
		{"a routed function with a key that the route has not", "POST", "/new_DoIt(x=@p)", nil, un},
		{"a routed action without the key that the route has", "POST", "/accounts/Microsoft.Dynamics.CRM.Merge", nil, un},
		{"a routed function with a selection", "GET", "/WhoAmI?$select=UserId", nil, un},

		// Refused although it can be read.
		{"a batch", "POST", "/$batch", nil, un},
		{"an expansion", "GET", "/accounts?$select=name&$expand=primarycontactid", nil, un},
		{"an expansion without the dollar", "GET", "/accounts?$select=name&Expand=primarycontactid", nil, un},
		{"an aggregation", "GET", "/accounts?$apply=aggregate(revenue%20with%20sum%20as%20total)", nil, un},
		{"a computation", "GET", "/accounts?$compute=revenue%20as%20r", nil, un},
		{"a search", "GET", "/accounts?$search=blue", nil, un},
		{"FetchXML", "GET", "/accounts?fetchXml=%3Cfetch/%3E", nil, un},
		{"FetchXML in other letters", "GET", "/accounts?FETCHXML=%3Cfetch/%3E", nil, un},
		{"a saved view", "GET", "/accounts?savedQuery=" + idA, nil, un},
		{"a personal view", "GET", "/accounts?userQuery=" + idA, nil, un},
		{"another's identity by system user", "GET", "/accounts", headers{"mscrmcallerid": idB}, un},
		{"another's identity by object", "GET", "/accounts", headers{"callerobjectid": idB}, un},
		{"an unknown option", "GET", "/accounts?$skip=5", nil, un},
		{"an option of the client's own", "GET", "/accounts?tag=x", nil, un},
		{"an option in other letters", "GET", "/accounts?$Select=name", nil, un},
		{"lambda any", "GET", "/accounts?$filter=Account_Tasks/any(o:o/statecode%20eq%201)", nil, un},
		{"lambda all", "GET", "/accounts?$filter=Account_Tasks/all%20(o:o/statecode%20eq%201)", nil, un},
		{"a function that nobody knows", "GET", "/accounts?$filter=length(name)%20gt%203", nil, un},
		{"a function behind a space", "GET", "/accounts?$filter=tolower%20(name)%20eq%20'a'", nil, un},
		{"a namespace that nobody knows", "GET", "/accounts?$filter=Other.In(PropertyName='name')", nil, un},
		{"a query function without a column", "GET", "/accounts?$filter=Microsoft.Dynamics.CRM.In(PropertyValues=['a'])", nil, un},
		{"a query function with two columns", "GET", "/accounts?$filter=Microsoft.Dynamics.CRM.In(PropertyName='a',PropertyName='b')", nil, un},
		{"a query function whose column is a parameter", "GET", "/accounts?$filter=Microsoft.Dynamics.CRM.In(PropertyName=@p)&@p='revenue'", nil, un},
		{"a query function over a path", "GET", "/accounts?$filter=Microsoft.Dynamics.CRM.In(PropertyName='primarycontactid/fullname',PropertyValues=['a'])", nil, un},
		{"a filter over two steps", "GET", "/accounts?$filter=primarycontactid/parentcustomerid_account/name%20eq%20'a'", nil, un},
		{"an order over two steps", "GET", "/accounts?$orderby=primarycontactid/owninguser/fullname", nil, un},
		{"a filter over a lookup that nobody declared", "GET", "/accounts?$filter=transactioncurrencyid/isocurrencycode%20eq%20'EUR'", nil, un},
		{"a filter over a collection", "GET", "/accounts?$filter=Account_Tasks/subject%20eq%20'a'", nil, un},
		{"a navigation property that nobody declared", "GET", "/accounts" + a + "/account_master_account", nil, un},
		{"a navigation property in other letters", "GET", "/accounts" + a + "/Primarycontactid", nil, un},
		{"a column of a table that nobody declared", "GET", "/new_things" + a + "/new_total", nil, un},
		{"something behind a column", "GET", "/accounts" + a + "/name/primarycontactid", nil, un},
		{"the raw value of a record", "GET", "/accounts" + a + "/$value", nil, un},
		{"the number of one record", "GET", "/accounts" + a + "/$count", nil, un},
		{"references of a table", "GET", "/accounts/$ref", nil, un},
		{"a key behind a lookup", "GET", "/accounts" + a + "/primarycontactid" + b, nil, un},
		{"a type", "GET", "/activitypointers/Microsoft.Dynamics.CRM.email", nil, un},
		{"a type of a column's definition", "GET", "/EntityDefinitions" + a + "/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata", nil, un},
		{"a bound function", "GET", "/accounts" + a + "/Microsoft.Dynamics.CRM.RetrieveDuplicates", nil, un},
		{"an unbound function", "GET", "/RetrieveVersion()", nil, un},
		{"a function with arguments and no route", "GET", "/GetTimeZoneCodeByLocalizedName(LocalizedStandardName=@p,LocaleId=1033)?@p='x'", nil, un},
		{"a bound action", "POST", "/accounts" + a + "/new_Approve", nil, un},
		{"an action of a table", "POST", "/accounts/Microsoft.Dynamics.CRM.CreateMultiple", nil, un},
		{"creating by a navigation property", "POST", "/accounts" + a + "/contact_customer_accounts", nil, un},
		{"POST of a record", "POST", "/accounts" + a, nil, un},
		{"PUT of a record", "PUT", "/accounts" + a, nil, un},
		{"PATCH of a table", "PATCH", "/accounts", nil, un},
		{"PUT of a table", "PUT", "/accounts", nil, un},
		{"DELETE of a table", "DELETE", "/accounts", nil, un},
		{"DELETE through a navigation property", "DELETE", "/accounts" + a + "/contact_customer_accounts" + b, nil, un},
		{"DELETE of a lookup's record", "DELETE", "/accounts" + a + "/primarycontactid", nil, un},
		{"PATCH of a lookup's record", "PATCH", "/accounts" + a + "/primarycontactid", nil, un},
		{"PATCH behind a record that nobody declared", "PATCH", "/new_things" + a + "/new_parent", nil, un},
		{"PUT of the parties of an activity", "PUT", "/emails" + a + "/email_activity_parties", nil, un},
		{"DELETE with a filter", "DELETE", "/accounts" + a + "?$filter=name%20eq%20'a'", nil, un},
		{"attaching by a property that nobody declared", "POST", "/accounts" + a + "/new_account_orders/$ref", nil, un},
		{"attaching in a table that nobody declared", "PUT", "/new_things" + a + "/new_parent/$ref", nil, un},
		{"detaching by a property that nobody declared", "DELETE", "/accounts" + a + "/new_account_orders/$ref?$id=contacts" + b, nil, un},
		{"attaching a role to a user", "POST", "/systemusers" + a + "/systemuserroles_association/$ref", nil, un},
		{"moving a user to another business unit", "PUT", "/systemusers" + a + "/businessunitid/$ref", nil, un},
		{"assigning a record by its owner", "PUT", "/accounts" + a + "/owninguser/$ref", nil, un},
		{"attaching what is part", "POST", "/new_orders" + a + "/new_parts/$ref", nil, un},
		{"POST of a lookup's reference", "POST", "/accounts" + a + "/primarycontactid/$ref", nil, un},
		{"PUT of a collection's reference", "PUT", "/accounts" + a + "/contact_customer_accounts/$ref", nil, un},
		{"detaching a whole collection", "DELETE", "/accounts" + a + "/contact_customer_accounts/$ref", nil, un},
		{"detaching with a key from a lookup", "DELETE", "/accounts" + a + "/primarycontactid" + b + "/$ref", nil, un},
		{"a reference two steps away", "PUT", "/contacts" + a + "/parentcustomerid_account/primarycontactid/$ref", nil, un},
		{"PATCH of a reference", "PATCH", "/accounts" + a + "/primarycontactid/$ref", nil, un},
		{"POST of the metadata document", "POST", "/$metadata", nil, un},
		{"the metadata document of one thing", "GET", "/$metadata/accounts", nil, un},
		{"all tables at once", "GET", "/$all", nil, un},
		{"a cross join", "GET", "/$crossjoin(accounts,contacts)", nil, un},
		{"a method in small letters", "get", "/accounts", nil, un},
		{"OPTIONS", "OPTIONS", "/accounts", nil, un},
		{"an old version", "GET", "~/api/data/v8.2/accounts", nil, un},
		{"no version", "GET", "~/api/data/accounts", nil, un},
		{"half a version", "GET", "~/api/data/v9./accounts", nil, un},
		{"a version with zeros", "GET", "~/api/data/v9.02/accounts", nil, un},
		{"the root in capitals", "GET", "~/API/data/v9.2/accounts", nil, un},
		{"another API", "POST", "~/api/search/v1.0/query", nil, un},
		{"SOAP", "POST", "~/XRMServices/2011/Organization.svc/web", nil, un},
		{"the root of the host", "GET", "~/", nil, un},

		// Refused because it cannot be read in one way.
		{"an escaped dollar in the path", "GET", "/%24metadata", nil, bad},
		{"an escaped dollar behind a record", "POST", "/accounts" + a + "/contact_customer_accounts/%24ref", nil, bad},
		{"an escaped dollar in an option", "GET", "/accounts?%24expand=primarycontactid", nil, bad},
		{"an escaped dollar in a value", "GET", "/accounts?$filter=name%20eq%20'%24'", nil, bad},
		{"an escaped option", "GET", "/accounts?fetch%58ml=x", nil, bad},
		{"an option with a plus", "GET", "/accounts?fetch+Xml=x", nil, bad},
		{"an option twice", "GET", "/accounts?$select=name&$select=revenue", nil, bad},
		{"an option without a value", "GET", "/accounts?$select", nil, bad},
		{"an option without a name", "GET", "/accounts?=x", nil, bad},
		{"an empty option", "GET", "/accounts?$select=name&&$top=1", nil, bad},
		{"a semicolon between options", "GET", "/accounts?$select=name;$expand=primarycontactid", nil, bad},
		{"a semicolon in text", "GET", "/accounts?$filter=name%20eq%20'a;b'", nil, bad},
		{"a fragment", "GET", "/accounts?$select=name#x", nil, bad},
		{"a percent that escapes nothing", "GET", "/accounts?$filter=name%20eq%20'%u0027'", nil, bad},
		{"an escaped line break", "GET", "/accounts?$filter=name%20eq%0A'a'", nil, bad},
		{"an escape of torn UTF-8", "GET", "/accounts?$filter=name%20eq%20'%C3'", nil, bad},
		{"a byte that is none of ASCII", "GET", "/accounts?$filter=name%20eq%20'é'", nil, bad},
		{"a selection of a path", "GET", "/accounts?$select=primarycontactid/fullname", nil, bad},
		{"an empty selection", "GET", "/accounts?$select=", nil, bad},
		{"a selection with an empty item", "GET", "/accounts?$select=name,,revenue", nil, bad},
		{"text that does not end", "GET", "/accounts?$filter=name%20eq%20'a", nil, bad},
		{"text cut by an ampersand", "GET", "/accounts?$filter=name%20eq%20'A&B'", nil, bad},
		{"a group that does not end", "GET", "/accounts?$filter=(name%20eq%20'a'", nil, bad},
		{"a group that does not begin", "GET", "/accounts?$filter=name%20eq%20'a')", nil, bad},
		{"a typed literal", "GET", "/accounts?$filter=accountid%20eq%20guid'" + idA + "'", nil, bad},
		{"an operator that nobody knows", "GET", "/accounts?$filter=revenue*2%20gt%205", nil, bad},
		{"a negated column", "GET", "/accounts?$filter=-revenue%20gt%205", nil, bad},
		{"a number with a name behind it", "GET", "/accounts?$filter=5revenue%20gt%205", nil, bad},
		{"the row itself", "GET", "/accounts?$filter=$it/revenue%20gt%205", nil, bad},
		{"a list of JSON", "GET", "/accounts?$filter=[revenue]%20eq%205", nil, bad},
		{"a list that does not end", "GET", "/accounts?$filter=Microsoft.Dynamics.CRM.In(PropertyName='a',PropertyValues=['b'", nil, bad},
		{"an order that is none", "GET", "/accounts?$orderby=name%20up", nil, bad},
		{"an order by nothing", "GET", "/accounts?$orderby=", nil, bad},
		{"an order by a function", "GET", "/accounts?$orderby=length(name)", nil, bad},
		{"a number that is none", "GET", "/accounts?$top=all", nil, bad},
		{"a flag that is none", "GET", "/accounts?$count=1", nil, bad},
		{"a key that does not end", "GET", "/accounts(" + idA, nil, bad},
		{"a key that does not begin", "GET", "/accounts" + idA + ")", nil, bad},
		{"two keys", "GET", "/accounts" + a + b, nil, bad},
		{"a key with text behind it", "GET", "/accounts" + a + "x", nil, bad},
		{"a key with a slash in it", "GET", "/accounts(name='a/b')", nil, bad},
		{"a key with an escaped slash in it", "GET", "/accounts(name='a%2Fb')", nil, bad},
		{"a key whose quote does not end", "GET", "/accounts(name='a)", nil, bad},
		{"a key whose quote is escaped", "GET", "/accounts(name='a%27b')", nil, bad},
		{"two segments in one", "GET", "/accounts" + a + "//name", nil, bad},
		{"a segment of dots", "GET", "/accounts/../contacts", nil, bad},
		{"a name with a space", "GET", "/accounts%20x", nil, bad},
		{"a name with a hyphen", "GET", "/acc-ounts", nil, bad},
		{"a system resource with a key", "GET", "/accounts" + a + "/$ref(1)", nil, bad},
		{"a system resource that nobody knows", "GET", "/accounts" + a + "/$links", nil, bad},
		{"contradicting conditions", "PATCH", "/accounts" + a, headers{"if-match": "*", "if-none-match": "*"}, bad},
		{"detaching a record of another table", "DELETE", "/accounts" + a + "/contact_customer_accounts/$ref?$id=leads" + b, nil, bad},
		{"detaching by an alternate key", "DELETE", "/accounts" + a + "/contact_customer_accounts/$ref?$id=contacts(emailaddress1='x')", nil, bad},
		{"detaching by an address of something else", "DELETE", "/accounts" + a + "/contact_customer_accounts/$ref?$id=https://contoso.crm4.dynamics.com/other/contacts" + b, nil, bad},
		{"a query that is too long", "GET", "/accounts?$filter=" + strings.Repeat("a", 33<<10), nil, bad},
	}
	catalogue := loadWeb(t).Default()
	names := map[string]bool{}
	for _, c := range cases {
		if names[c.name] {
			t.Errorf("two rows are called %q", c.name)
		}
		names[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r naming.Resolution
			catalogue.Resolve(webRequest(c), &r)
			if got := asked(&r); got != c.want {
				t.Errorf("%s %s\n got %s (%s)\nwant %s", c.method, c.target, got, r.Detail, c.want)
			}
			checkWeb(t, &r)
		})
	}
	if len(cases) < 120 {
		t.Errorf("%d rows", len(cases))
	}
}

// checkWeb holds what is true of every resolution of a catalogue with the profile.
func checkWeb(t *testing.T, r *naming.Resolution) {
	t.Helper()
	if len(r.Permissions) > 0 || len(r.GrantedTo) > 0 {
		t.Errorf("it asks for platform permissions: %v", r.Permissions)
	}
	if r.Reason != authz.ReasonUnspecified {
		if r.Web != nil || len(r.Scopes) > 0 || len(r.Tenants) > 0 || r.DecidedBy != "" || r.Rule != "" {
			t.Errorf("it was refused and leaves %v, %v, %q, %q", r.Web, r.Scopes, r.DecidedBy, r.Rule)
		}
		if r.Reason != authz.BadRequest && r.Reason != authz.Unmapped || r.Detail == "" {
			t.Errorf("it was refused with %v and the detail %q", r.Reason, r.Detail)
		}
		return
	}
	if len(r.Scopes) != 1 || r.Scopes[0].Kind != authz.EnvironmentScope || r.Scopes[0].Environment == "" {
		t.Errorf("the scopes are %v, not one environment", r.Scopes)
	}
	if r.Web == nil || len(r.Web.Asks) == 0 || r.DecidedBy == "" || r.Rule == "" {
		t.Fatalf("it asks for nothing, by %q, %q", r.DecidedBy, r.Rule)
	}
	known := authz.Privileges(authz.TablePrivileges()...)
	for _, a := range r.Web.Asks {
		if a.Privileges == 0 || a.Privileges&^known != 0 {
			t.Errorf("the ask %+v has the privileges %b", a, a.Privileges)
		}
		if (a.EntitySet == "") == (a.Table == "") {
			t.Errorf("the ask %+v does not name one table", a)
		}
		if a.Record != "" && (!authz.IsGUID(a.Record) || strings.ToLower(a.Record) != a.Record) {
			t.Errorf("the record %q is no GUID in lower case", a.Record)
		}
		if slices.Contains(a.Columns, "") {
			t.Errorf("the ask %+v has a column without a name", a)
		}
	}
	if r.Web.Relates && len(r.Web.Asks) != 2 {
		t.Errorf("%d asks relate records", len(r.Web.Asks))
	}
}
