package naming_test

import (
	"testing"

	"github.com/pathgrant/pathgrant/pkg/naming"
)

// An organization's own catalogue, as the documentation shows it, loads without a warning
// and maps what it is about.
func TestDocumentedWebCatalogue(t *testing.T) {
	t.Parallel()
	catalogue := loadWeb(t, naming.Source{File: "contoso.yaml", Text: []byte(`
catalogue: contoso-dataverse
profile: dataverse
extends: dataverse
hosts:
  contoso.crm4.dynamics.com: 00000000-0000-0000-0000-000000000001
entitySets:
  new_orders:
    columns: [new_total]
    navigation:
      new_Account: {entitySet: accounts, kind: manyToOne, column: new_accountid}
      new_order_lines: {entitySet: new_lines, kind: oneToMany, column: new_orderid}
      new_tags: {entitySet: new_tags, kind: manyToMany}
routes:
  - {method: POST, path: "/new_orders({id})/Microsoft.Dynamics.CRM.new_Ship", privileges: [Dataverse.new_Order.Write]}
`)}).Default()
	if warnings := catalogue.Lint(); len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	const order = "/new_orders(" + idA + ")"
	for _, c := range []webCase{
		{"a column", "GET", order + "/new_total", nil, "Read new_orders#a new_total"},
		{"its account", "PUT", order + "/new_Account/$ref", nil, "Append new_orders#a new_accountid & AppendTo accounts (relates)"},
		{"its lines", "GET", order + "/new_order_lines?$select=new_sum", nil, "Read new_orders#a & Read new_lines new_orderid,new_sum"},
		{"its tags", "POST", order + "/new_tags/$ref", nil, "Append new_orders#a & Append new_tags (relates many)"},
		{"an action", "POST", order + "/Microsoft.Dynamics.CRM.new_Ship", nil, "Write =new_Order *"},
		{"what the shipped one declares", "GET", "/WhoAmI", nil, "Read =User *"},
	} {
		var r naming.Resolution
		catalogue.Resolve(webRequest(c), &r)
		if got := asked(&r); got != c.want {
			t.Errorf("%s: got %s (%s), want %s", c.name, got, r.Detail, c.want)
		}
	}
}
