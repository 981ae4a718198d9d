package naming_test

import (
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// Who reads a refusal learns what to change.
func TestARefusalSaysWhy(t *testing.T) {
	c := load(t, `
catalogue: test
hosts: [api.example]
routes:
  - {method: POST, path: /closed, deny: true}
namespaces:
  Ns: {resourceTypes: {Apps: {actions: [Play]}}}
grpc:
  pkg.Apps: {namespace: Ns, resourceType: Apps, scope: [{kind: environment, header: X-Env}, {kind: environmentGroup, contextExtension: group}]}
`)
	for _, test := range []struct {
		req    naming.Request
		reason authz.Reason
		detail string
	}{
		{naming.Request{Method: "GET", Path: "/ns/apps", Host: "other.example"}, authz.Unmapped, "the catalogue does not serve this host"},
		{naming.Request{Method: "POST", Path: "/closed"}, authz.Unmapped, "the catalogue denies the route POST /closed (test.yaml:5)"},
		{naming.Request{Method: "OPTIONS", Path: "/ns/apps"}, authz.Unmapped, "no route names the method, and the naming table has no action for it"},
		{naming.Request{Method: "GET", Path: "/nosuch"}, authz.Unmapped, "no route names the path, and the catalogue has no namespace of its first segment"},
		{naming.Request{Method: "GET", Path: "/ns/apps/environments/e1"}, authz.Unmapped, "a scope word stands where an identifier should, and no route names the path"},
		{naming.Request{Method: "GET", Path: "/ns/nosuch"}, authz.Unmapped, "the path names no resource type that the namespace declares"},
		{naming.Request{Method: "PATCH", Path: "/ns/apps/a/b"}, authz.Unmapped, "the path goes on behind what the naming table can read"},
		{naming.Request{Method: "POST", Path: "/ns/apps/a"}, authz.Unmapped, "a POST ends neither in a resource type nor in an action that the type declares"},
		{naming.Request{Method: "POST", Path: "/pkg.Apps/Explode", GRPC: true}, authz.Unmapped, "the catalogue does not list the gRPC service and method"},
		{naming.Request{Method: "GET", Path: "/pkg.Apps/GetApp", GRPC: true}, authz.Unmapped, "a gRPC request is a POST"},
		{naming.Request{Method: "POST", Path: "/pkg.Apps/GetApp", GRPC: true, Header: func(string) string { return "a/b" }}, authz.BadRequest, "the value that names the scope is no identifier"},
		// Not refused, and still worth a word.
		{naming.Request{Method: "POST", Path: "/pkg.Apps/GetApp", GRPC: true, ContextExtension: func(string) string { return "g1" }}, authz.ReasonUnspecified, "the request lacks the header x-env, which names its environment: the tenant must grant"},
		{naming.Request{Method: "POST", Path: "/pkg.Apps/GetApp", GRPC: true, Header: func(string) string { return "e1" }}, authz.ReasonUnspecified, "the request lacks the context extension group, which names its environmentGroup: the tenant must grant"},
	} {
		var r naming.Resolution
		if test.req.Host == "" {
			test.req.Host = "api.example"
		}
		c.Default().Resolve(test.req, &r)
		if r.Reason != test.reason || r.Detail != test.detail {
			t.Errorf("%s %s: got %v %q, want %v %q", test.req.Method, test.req.Path, r.Reason, r.Detail, test.reason, test.detail)
		}
	}
}

// An identifier that no file could list is no reason to ask elsewhere: it stays what it is.
func TestALongIdentifierStaysOne(t *testing.T) {
	c := load(t, catalogueOfApps(false))
	long := strings.Repeat("e", 1000)
	var r naming.Resolution
	c.Default().Resolve(naming.Request{Method: "GET", Path: "/powerapps/environments/" + long + "/apps"}, &r)
	if len(r.Scopes) != 1 || r.Scopes[0].Environment != long {
		t.Errorf("got %v %v", r.Reason, r.Scopes)
	}
}

// What one request left in a Resolution never shows in the next.
func TestAResolutionIsUsedAgain(t *testing.T) {
	c := shipped(t)
	var used naming.Resolution
	for _, first := range hotRequests {
		for _, second := range hotRequests {
			var fresh naming.Resolution
			c.Default().Resolve(first.req, &used)
			c.Default().Resolve(second.req, &used)
			c.Default().Resolve(second.req, &fresh)
			if got, want := describe(c, &used)+used.Detail+used.Rule, describe(c, &fresh)+fresh.Detail+fresh.Rule; got != want {
				t.Errorf("%s after %s: got %s, want %s", second.name, first.name, got, want)
			}
		}
	}
}
