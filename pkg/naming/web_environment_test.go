package naming_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// Host, host form and context extension name the environment; they must not disagree, and
// a request that names none is for nobody.
func TestWebEnvironment(t *testing.T) {
	t.Parallel()
	const form = "11111111222233334444555555555" // with the digits below, idE
	hosts := loadWeb(t).Default()
	shippedWeb := loadWeb(t, naming.ShippedDataverse()).Default()
	for _, test := range []struct {
		name            string
		catalogue       *naming.Catalogue
		host, extension string
		want            string
	}{
		{"the host", hosts, "contoso.crm4.dynamics.com", "", idE},
		{"the host in capitals, with port and dot", hosts, "CONTOSO.crm4.Dynamics.com.:443", "", idE},
		{"an identifier that is no GUID keeps its letters", hosts, "fabrikam.crm.dynamics.com", "", "E-Two"},
		{"the host and an extension that agrees", hosts, "contoso.crm4.dynamics.com", strings.ToUpper(idE), idE},
		{"the host and an extension that disagrees", hosts, "contoso.crm4.dynamics.com", "e9", "UNMAPPED"},
		{"another host", hosts, "evil.crm4.dynamics.com", "", "UNMAPPED"},
		{"another host with an extension", hosts, "evil.crm4.dynamics.com", idE, "UNMAPPED"},
		{"a host below the one listed", hosts, "x.contoso.crm4.dynamics.com", "", "UNMAPPED"},
		{"no host", hosts, "", "", "UNMAPPED"},
		{"a host form beside hosts", hosts, form + "5.55.environment.api.powerplatform.com", "", "11111111-2222-3333-4444-555555555555 by host"},
		{"a host form", shippedWeb, form + "5.55.environment.api.powerplatform.com", "", "11111111-2222-3333-4444-555555555555 by host"},
		{"a host form and an extension that agrees", shippedWeb, form + "5.55.environment.api.powerplatform.com", idE, idE},
		{"a host form and an extension that disagrees", shippedWeb, form + "5.55.environment.api.powerplatform.com", idA, "UNMAPPED"},
		{"a tenant's host form", shippedWeb, form + "5.55.tenant.api.powerplatform.com", "", "UNMAPPED"},
		{"an extension behind any host", shippedWeb, "internal:8080", "e1", "e1"},
		{"an extension that is no identifier", shippedWeb, "internal", "e1/../e2", "BAD_REQUEST"},
		{"nothing", shippedWeb, "internal", "", "UNMAPPED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			req := webRequest(webCase{method: "GET", target: "/accounts"})
			req.Host = test.host
			req.ContextExtension = func(name string) string {
				if name == "environment" {
					return test.extension
				}
				return ""
			}
			var r naming.Resolution
			test.catalogue.Resolve(req, &r)
			got := r.Reason.String()
			if r.Reason == authz.ReasonUnspecified {
				got = r.Scopes[0].Environment
				if r.Scopes[0].FromHost {
					got += " by host"
				}
			}
			if got != test.want {
				t.Errorf("got %s (%s), want %s", got, r.Detail, test.want)
			}
			checkWeb(t, &r)
		})
	}
}

// A header is the client's: it never names the environment.
func TestWebEnvironmentIsNotTheClients(t *testing.T) {
	t.Parallel()
	req := webRequest(webCase{method: "GET", target: "/accounts", headers: headers{"environment": "e1", "x-environment": "e1", "host": "contoso.crm4.dynamics.com"}})
	req.Host = ""
	var r naming.Resolution
	loadWeb(t, naming.ShippedDataverse()).Default().Resolve(req, &r)
	if r.Reason != authz.Unmapped {
		t.Errorf("it was mapped: %s", asked(&r))
	}
}

// What the proxy's configuration asks for instead, and gRPC, have no meaning here.
func TestWebHasNoOverrideAndNoGRPC(t *testing.T) {
	t.Parallel()
	c := loadWeb(t, naming.Shipped(), naming.ShippedDataverse())
	web, _ := c.Named("dataverse")
	environment := func(string) string { return "e1" }
	var r naming.Resolution
	for _, req := range []naming.Request{
		{Method: "GET", Path: "/api/data/v9.2/accounts", ContextExtension: environment, Override: "PowerApps.Apps.Read"},
		{Method: "POST", Path: "/api/data/v9.2/accounts", ContextExtension: environment, GRPC: true},
	} {
		web.Resolve(req, &r)
		if r.Reason != authz.Unmapped {
			t.Errorf("%+v was mapped: %s", req, asked(&r))
		}
		checkWeb(t, &r)
	}
	// The same Resolution serves the other catalogue, and nothing is left of the Web API.
	web.Resolve(naming.Request{Method: "GET", Path: "/api/data/v9.2/accounts", ContextExtension: environment}, &r)
	if r.Web == nil {
		t.Fatalf("not mapped: %s", r.Detail)
	}
	c.Default().Resolve(naming.Request{Method: "GET", Path: "/powerapps/apps"}, &r)
	if r.Web != nil || len(r.Permissions) != 1 {
		t.Errorf("%v, %v", r.Web, r.Permissions)
	}
}

func TestWebHeaders(t *testing.T) {
	t.Parallel()
	want := []string{"if-match", "if-none-match", "prefer", "mscrmcallerid", "callerobjectid"}
	both := loadWeb(t, naming.Shipped(), naming.ShippedDataverse())
	web, _ := both.Named("dataverse")
	if diff := cmp.Diff(want, web.Headers()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff(want, both.Headers()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := both.Default().Headers(); got != nil {
		t.Errorf("the catalogue without a profile reads %v", got)
	}
	if got := loadWeb(t, naming.Shipped()).Headers(); got != nil {
		t.Errorf("catalogues without a profile read %v", got)
	}
	// Nothing else is ever asked for.
	var seen []string
	req := webRequest(webCase{method: "PATCH", target: "/accounts(" + idA + ")"})
	req.Header = func(name string) string {
		if !slices.Contains(seen, name) {
			seen = append(seen, name)
		}
		return ""
	}
	var r naming.Resolution
	loadWeb(t).Default().Resolve(req, &r)
	slices.Sort(seen)
	slices.Sort(want)
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// A catalogue with a profile compares identifiers as the others do, unless it says so
// itself, and then it must say the same.
func TestWebFollowsTheOthers(t *testing.T) {
	t.Parallel()
	const web = "catalogue: web\nprofile: dataverse\nhosts: {h.example: E-One}\n"
	const folding, exact = "catalogue: other\ncaseInsensitivePaths: true\n", "catalogue: other\n"
	for _, test := range []struct {
		name, first, second, want string
	}{
		{"others that fold", folding, web, "e-one"},
		{"others that fold, behind it", web, folding, "e-one"},
		{"others that do not", exact, web, "E-One"},
		{"itself", exact, web + "caseInsensitivePaths: false\n", "E-One"},
		{"itself alone", web + "caseInsensitivePaths: true\n", "catalogue: third\nprofile: dataverse\nhosts: {g.example: e1}\n", "e-one"},
		{"a contradiction", folding, web + "caseInsensitivePaths: false\n",
			"second.yaml:4:23: caseInsensitivePaths: caseInsensitivePaths must be the same in all catalogues: first.yaml has true"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := naming.Load(naming.Source{File: "first.yaml", Text: []byte(test.first)}, naming.Source{File: "second.yaml", Text: []byte(test.second)})
			if err != nil {
				if err.Error() != test.want {
					t.Errorf("got %v, want %s", err, test.want)
				}
				return
			}
			catalogue, _ := c.Named("web")
			var r naming.Resolution
			catalogue.Resolve(naming.Request{Method: "GET", Host: "h.example", Path: "/api/data/v9.2/accounts"}, &r)
			if r.Reason != authz.ReasonUnspecified || r.Scopes[0].Environment != test.want {
				t.Errorf("got %v %v, want %s", r.Reason, r.Scopes, test.want)
			}
			if fold := test.want == "e-one"; c.FoldCase() != fold {
				t.Errorf("FoldCase is %t", c.FoldCase())
			}
		})
	}
}

// A catalogue that extends the shipped one may say otherwise, and changes nobody else's.
func TestWebExtends(t *testing.T) {
	t.Parallel()
	c := loadWeb(t, naming.ShippedDataverse(), naming.Source{File: "own.yaml", Text: []byte(`
catalogue: own
profile: dataverse
extends: dataverse
hostSuffixes: [env.example]
entitySets:
  accounts:
    columns: [new_size, parentaccountid]
    navigation:
      primarycontactid: {entitySet: new_people, kind: manyToOne, attach: false}
      name: {entitySet: new_names, kind: oneToMany}
`)})
	own, _ := c.Named("own")
	const a = "/accounts(" + idA + ")"
	for _, test := range []struct{ method, target, shipped, own string }{
		{"GET", a + "/new_size", "UNMAPPED", "Read accounts#a new_size"},
		{"GET", a + "/revenue", "Read accounts#a revenue", "Read accounts#a revenue"},
		{"GET", a + "/primarycontactid?$select=x", "Read accounts#a primarycontactid & Read contacts x", "Read accounts#a * & Read new_people x"},
		{"PUT", a + "/primarycontactid/$ref", "Append accounts#a primarycontactid & AppendTo contacts (relates)", "UNMAPPED"},
		{"GET", a + "/name?$select=x", "UNMAPPED", "Read accounts#a & Read new_names x *"},
		{"GET", a + "/parentaccountid", "Read accounts#a parentaccountid & Read accounts *", "Read accounts#a parentaccountid"},
		{"GET", "/WhoAmI", "Read =User *", "Read =User *"},
	} {
		for _, of := range []struct {
			catalogue *naming.Catalogue
			want      string
		}{{c.Default(), test.shipped}, {own, test.own}} {
			req := webRequest(webCase{method: test.method, target: test.target})
			req.Host, req.ContextExtension = "", func(string) string { return "e1" }
			var r naming.Resolution
			of.catalogue.Resolve(req, &r)
			if got := asked(&r); got != of.want {
				t.Errorf("%s: %s %s: got %s (%s), want %s", of.catalogue.Name(), test.method, test.target, got, r.Detail, of.want)
			}
		}
	}
}

// Every table that the shipped catalogue names is one that environments have, and every
// entity set that it lists.
func TestShippedWebNamesStandardTables(t *testing.T) {
	t.Parallel()
	db, err := authz.NewDatabase(authz.DatabaseSpec{Tables: roles.StandardTables()})
	if err != nil {
		t.Fatal(err)
	}
	catalogue := loadWeb(t, naming.ShippedDataverse()).Default()
	sets, tables, asks := naming.WebNames(catalogue)
	for _, set := range sets {
		if _, ok := db.TableOfEntitySet(set); !ok {
			t.Errorf("no standard table has the entity set %s", set)
		}
	}
	for _, table := range tables {
		if _, ok := db.TableNamed(table); !ok {
			t.Errorf("there is no standard table %s", table)
		}
	}
	if len(sets) < 12 || len(tables) < 5 || asks < 8 {
		t.Errorf("it names only %d entity sets and %d tables in %d routes", len(sets), len(tables), asks)
	}
	if warnings := catalogue.Lint(); len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
}

func FuzzWebRequest(f *testing.F) {
	for _, seed := range []struct{ method, target, ifMatch, prefer string }{
		{"GET", "/accounts(" + idA + ")/contact_customer_accounts?$select=fullname&$filter=secret%20eq%20'it''s'", "", ""},
		{"GET", "/accounts?$filter=Microsoft.Dynamics.CRM.In(PropertyName='secret',PropertyValues=[%22a%22,'b',-1.5])&@p=secret&$orderby=secret desc", "", ""},
		{"GET", "/accounts?$filter=primarycontactid/secret%20eq%20null%20and%20not(secret%20in%20(1,2))", "", ""},
		{"PATCH", "/contacts(firstname='Joe',_x_value=" + idB + ")", "*", "return=representation"},
		{"DELETE", "/accounts(" + idA + ")/contact_customer_accounts/$ref?$id=contacts(" + idB + ")", `W/"1"`, ""},
		{"POST", "/accounts(" + idA + ")/Microsoft.Dynamics.CRM.Merge", "", ""},
		{"GET", "/$metadata?annotations=true", "", ""},
		{"GET", "/accounts?$filter=secret+eq+1e5+or+2020-01-01T00:00:00Z+lt+secret", "", ""},
	} {
		f.Add(seed.method, seed.target, seed.ifMatch, seed.prefer)
	}
	catalogue := loadWeb(f).Default()
	var r naming.Resolution
	f.Fuzz(func(t *testing.T, method, target, ifMatch, prefer string) {
		req := webRequest(webCase{method: method, target: target, headers: headers{"if-match": ifMatch, "prefer": prefer}})
		catalogue.Resolve(req, &r)
		checkWeb(t, &r)
		if t.Failed() {
			t.Logf("%q %q", method, target)
		}
		if r.Reason != authz.ReasonUnspecified {
			return
		}
		// A column that an expression reads outside quotes is one that is asked for.
		if names := readsSecret(target); names {
			read := false
			for _, a := range r.Web.Asks {
				read = read || a.AllColumns || slices.Contains(a.Columns, "secret")
			}
			if !read && r.DecidedBy == naming.ByConvention {
				t.Errorf("%q reads the column secret and asks %s", target, asked(&r))
			}
		}
		// Impersonation never passes, whatever else the request is.
		req.Header = func(name string) string {
			if name == "mscrmcallerid" {
				return idB
			}
			return ""
		}
		if catalogue.Resolve(req, &r); r.Reason == authz.ReasonUnspecified {
			t.Errorf("%q was mapped although it acts for another", target)
		}
	})
}

// readsSecret tells whether the word secret stands in the value of $filter or $orderby
// where it could only be a column: outside quotes, and neither the name of a parameter nor
// of an argument. It is written without the code that it tests: it looks at bytes alone.
func readsSecret(target string) bool {
	_, query, _ := strings.Cut(target, "?")
	for part := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(part, "=")
		if key != "$filter" && key != "$orderby" {
			continue
		}
		for code := 0; code < 256; code++ {
			value = strings.ReplaceAll(value, fmt.Sprintf("%%%02X", code), string(rune(code)))
			value = strings.ReplaceAll(value, fmt.Sprintf("%%%02x", code), string(rune(code)))
		}
		var outside strings.Builder
		quoted := false
		for _, c := range value {
			switch {
			case c == '\'':
				quoted = !quoted
				c = ' '
			case quoted:
				c = ' '
			}
			outside.WriteRune(c)
		}
		if strings.ContainsAny(outside.String(), "@.=\"") {
			continue // a parameter, a query function or text of JSON
		}
		for _, word := range strings.FieldsFunc(outside.String(), func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			if word == "secret" {
				return true
			}
		}
	}
	return false
}

func TestLintOfTheWebAPI(t *testing.T) {
	t.Parallel()
	var got []string
	for _, warning := range loadWeb(t).Default().Lint() {
		got = append(got, warning.String())
	}
	want := []string{
		"contoso.yaml:12: the navigation property new_Account of new_orders has no column: following it asks for every secured column of the table",
		"contoso.yaml:13: the navigation property new_order_lines of new_orders has no column: following it asks for every secured column of the table",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// A refusal says what was refused, and nothing of what a client may have put in a query.
func TestWebRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	catalogue := loadWeb(t).Default()
	for _, test := range []struct {
		method, target string
		headers        headers
		want           string
	}{
		{"POST", "/$batch", nil, "$batch is refused: what is in a batch stands in the body, which is not read"},
		{"GET", "/accounts?$expand=primarycontactid", nil, "$expand is refused: it reads other tables"},
		{"GET", "/accounts?EXPAND=primarycontactid", nil, "$expand is refused: it reads other tables"},
		{"GET", "/accounts?$apply=aggregate(x)", nil, "$apply is refused: it reads columns in ways that are not followed"},
		{"GET", "/accounts?FetchXML=x", nil, "fetchXml is refused: it can read any table"},
		{"GET", "/accounts?savedQuery=x", nil, "savedQuery is refused: what it reads is stored elsewhere"},
		{"GET", "/accounts?userQuery=x", nil, "userQuery is refused: what it reads is stored elsewhere"},
		{"GET", "/accounts?%24expand=x", nil, "the request escapes a $"},
		{"GET", "/accounts", headers{"callerobjectid": idB}, "impersonation is refused: the request acts for another user by the header callerobjectid"},
		{"GET", "/accounts", headers{"mscrmcallerid": idB}, "impersonation is refused: the request acts for another user by the header mscrmcallerid"},
		{"GET", "/accounts?$filter=Account_Tasks/any(o:o/x%20eq%201)", nil, "any and all are refused: they read other tables"},
		{"GET", "/accounts?$skip=5", nil, "the request has a query option that this profile does not read here: $skip"},
		{"GET", "/accounts?s3cret=5", nil, "the request has a query option that this profile does not read here"},
		{"GET", "/accounts?$filter=s3cret(name)", nil, "the query has a function that this profile does not read"},
		{"POST", "/accounts(" + idA + ")/new_things/$ref", nil, "the catalogue does not declare this navigation property, so that the table it leads to is not known: new_things"},
		{"GET", "/accounts(" + idA + ")/new_things", nil, "this is no column and no navigation property that the catalogue declares, and it may lead to another table: new_things"},
		{"POST", "/systemusers(" + idA + ")/systemuserroles_association/$ref", nil, "the catalogue lets the navigation property be followed, and nothing be attached by it: systemuserroles_association"},
		{"GET", "/RetrieveVersion()", nil, "functions, actions and types are refused unless a route names them"},
		{"DELETE", "/accounts", nil, "a change names one record: the key is missing"},
		{"DELETE", "/new_lines(" + idA + ")", nil, "the catalogue denies the route DELETE /new_lines({id})"},
	} {
		var r naming.Resolution
		catalogue.Resolve(webRequest(webCase{method: test.method, target: test.target, headers: test.headers}), &r)
		if r.Detail != test.want || r.Reason == authz.ReasonUnspecified {
			t.Errorf("%s %s: %v, %q, want %q", test.method, test.target, r.Reason, r.Detail, test.want)
		}
	}
}
