package naming_test

import (
	"fmt"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// A request to the Power Platform API asks for what its path names.
func Example() {
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		fmt.Println(err)
		return
	}
	var r naming.Resolution
	catalogues.Default().Resolve(naming.Request{
		Method: "GET",
		Host:   "api.powerplatform.com",
		Path:   "/powerapps/environments/E1/apps/a7?api-version=2024-10-01",
	}, &r)
	for _, id := range r.Permissions {
		fmt.Println(catalogues.Vocabulary().Name(id))
	}
	for _, scope := range r.Scopes {
		fmt.Println(scope.In("7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"))
	}
	fmt.Println(r.DecidedBy, r.Rule)
	// Output:
	// PowerApps.Apps.Read
	// /tenants/7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15/environments/e1/powerapps/a7
	// convention PowerApps.Apps
}

// A request to the Dataverse Web API asks for privileges on tables, at the environment
// that its host, or the proxy's configuration, names.
func ExampleShippedDataverse() {
	catalogues, err := naming.Load(naming.Shipped(), naming.ShippedDataverse())
	if err != nil {
		fmt.Println(err)
		return
	}
	web, _ := catalogues.Named("dataverse")
	var r naming.Resolution
	for _, request := range []naming.Request{
		{Method: "GET", Path: "/api/data/v9.2/accounts?$select=name&$filter=revenue%20gt%201000"},
		{Method: "PATCH", Path: "/api/data/v9.2/contacts(00000000-0000-0000-0000-000000000001)"},
		{Method: "GET", Path: "/api/data/v9.2/accounts?$expand=primarycontactid"},
	} {
		request.ContextExtension = func(string) string { return "e1" }
		web.Resolve(request, &r)
		if r.Web == nil {
			fmt.Println(r.Reason, r.Detail)
			continue
		}
		for _, ask := range r.Web.Asks {
			fmt.Println(r.Scopes[0].Environment, ask.EntitySet, ask.Record, ask.Privileges, ask.Columns, ask.AllColumns)
		}
	}
	// Output:
	// e1 accounts  Read [name revenue] false
	// e1 contacts 00000000-0000-0000-0000-000000000001 {Create,Write} [] true
	// UNMAPPED $expand is refused: it reads other tables
}

// An API of one's own needs namespaces and types, and routes only where a request is
// named differently.
func ExampleLoad() {
	catalogues, err := naming.Load(naming.Source{File: "shop.yaml", Text: []byte(`
catalogue: shop
routes:
  - {method: GET, path: /health, public: true}
  - {method: POST, path: "/shop/orders/{order}/refunds", permissions: [Shop.Orders.Refund]}
namespaces:
  Shop:
    resourceTypes:
      Orders: {actions: [Ship]}
`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	var r naming.Resolution
	for _, request := range []naming.Request{
		{Method: "POST", Path: "/shop/orders/17/ship"},
		{Method: "POST", Path: "/shop/orders/17/refunds"},
		{Method: "GET", Path: "/health"},
		{Method: "PATCH", Path: "/shop/orders/17/lines"},
		{Method: "GET", Path: "/shop/orders/../health"},
	} {
		catalogues.Default().Resolve(request, &r)
		if r.Reason != authz.ReasonUnspecified {
			fmt.Println(strings.TrimSpace(fmt.Sprintln(request.Method, request.Path, r.Reason, r.Detail)))
			continue
		}
		fmt.Println(request.Method, request.Path, catalogues.Vocabulary().Name(r.Permissions[0]), "by", r.DecidedBy)
	}
	// Output:
	// POST /shop/orders/17/ship Shop.Orders.Ship by convention
	// POST /shop/orders/17/refunds Shop.Orders.Refund by route
	// GET /health PUBLIC
	// PATCH /shop/orders/17/lines UNMAPPED the path goes on behind what the naming table can read
	// GET /shop/orders/../health BAD_REQUEST the path has a segment . or ..
}
