package naming_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

var hotRequests = []struct {
	name string
	req  naming.Request
}{
	{"lower case", naming.Request{Method: "GET", Host: "api.powerplatform.com", Path: "/appmanagement/environments/b5e65502-f2e4-ecc7-8e66-df670e46b100/applicationPackages?api-version=1"}},
	{"mixed case", naming.Request{Method: "GET", Host: "API.PowerPlatform.com", Path: "/AppManagement/Environments/B5E65502-F2E4-ECC7-8E66-DF670E46B100/ApplicationPackages"}},
	{"resource scope", naming.Request{Method: "PUT", Host: "api.powerplatform.com", Path: "/powerapps/environments/b5e65502-f2e4-ecc7-8e66-df670e46b100/apps/A7%20x"}},
	{"host form", naming.Request{Method: "GET", Host: "b5e65502f2e4ecc78e66df670e46b1.00.environment.api.powerplatform.com:443", Path: "/powerapps/apps/a7"}},
	{"tenant host", naming.Request{Method: "GET", Host: "7f1d9a3c5b2e4d689c410a8e6f3b2d.15.tenant.api.powerplatform.com", Path: "/powerapps/plans"}},
	{"route", naming.Request{Method: "POST", Host: "api.powerplatform.com", Path: "/authorization/environments/b5e65502-f2e4-ecc7-8e66-df670e46b100/roleAssignments"}},
	{"two scopes by a route", naming.Request{Method: "POST", Host: "api.powerplatform.com", Path: "/environmentmanagement/environmentGroups/g1/addEnvironment/e1"}},
	{"unread tail", naming.Request{Method: "GET", Host: "api.powerplatform.com", Path: "/powerapps/apps/a7/x/y/environments/e1"}},
	{"unmapped", naming.Request{Method: "GET", Host: "api.powerplatform.com", Path: "/nosuch/things/environments/e1"}},
	{"denied by a route", naming.Request{Method: "POST", Host: "api.powerplatform.com", Path: "/authorization/roleDefinitions"}},
	{"bad request", naming.Request{Method: "GET", Host: "api.powerplatform.com", Path: "/powerapps//apps"}},
}

func TestResolveAllocatesNothing(t *testing.T) {
	c := shipped(t).Default()
	for _, hot := range hotRequests {
		t.Run(hot.name, func(t *testing.T) {
			var r naming.Resolution
			c.Resolve(hot.req, &r)
			if allocations := testing.AllocsPerRun(100, func() { c.Resolve(hot.req, &r) }); allocations != 0 {
				t.Errorf("%v allocations", allocations)
			}
		})
	}
}

func TestResolveOfGRPCAllocatesNothing(t *testing.T) {
	c := load(t, "catalogue: test\ngrpc: {pkg.Apps: {namespace: A, resourceType: Apps, scope: {kind: environment, header: x-environment}}}\n").Default()
	environment := "e1"
	req := naming.Request{Method: "POST", Path: "/pkg.Apps/GetApp", GRPC: true, Header: func(string) string { return environment }}
	var r naming.Resolution
	c.Resolve(req, &r)
	if r.Reason != authz.ReasonUnspecified || len(r.Scopes) != 1 || r.Scopes[0].Environment != "e1" {
		t.Fatalf("got %v %v", r.Reason, r.Scopes)
	}
	if allocations := testing.AllocsPerRun(100, func() { c.Resolve(req, &r) }); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func BenchmarkResolve(b *testing.B) {
	c := shipped(b).Default()
	for _, hot := range hotRequests {
		b.Run(hot.name, func(b *testing.B) {
			b.ReportAllocs()
			var r naming.Resolution
			for b.Loop() {
				c.Resolve(hot.req, &r)
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := naming.Load(naming.Shipped()); err != nil {
			b.Fatal(err)
		}
	}
}

// Routes are found by their segments, not one after the other.
func BenchmarkResolveAmongRoutes(b *testing.B) {
	for _, routes := range []int{10, 2_000} {
		b.Run(fmt.Sprintf("%d routes", routes), func(b *testing.B) {
			var text strings.Builder
			text.WriteString("catalogue: many\nroutes:\n")
			for i := range routes {
				fmt.Fprintf(&text, "  - {method: POST, path: \"/api/v%d/{x}/things/t%d\", permissions: [A.B%d.Do]}\n", i%50, i, i)
			}
			c := load(b, text.String()).Default()
			req := naming.Request{Method: "POST", Path: "/api/v7/environments/things/t7"}
			var r naming.Resolution
			b.ReportAllocs()
			for b.Loop() {
				c.Resolve(req, &r)
			}
			if r.DecidedBy != naming.ByRoute {
				b.Fatal(r.Detail)
			}
		})
	}
}
