package naming_test

import (
	"slices"
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// What the proxy's configuration asks for is asked for, at whatever the request names.
func TestOverride(t *testing.T) {
	t.Parallel()
	loaded, err := naming.Load(
		naming.Source{File: "first.yaml", Text: []byte(`catalogue: first
routes:
  - {method: GET, path: /open, public: true}
  - {method: GET, path: "/shut/environments/{e}", deny: true}
  - {method: GET, path: "/by/{e}", permissions: [N.Things.Read], scopes: {e: environment}}
namespaces:
  N: {resourceTypes: {Things: {}}}
grpc:
  a.B: {namespace: N, resourceType: Things, scope: {kind: environment, header: x-environment}}
`)},
		naming.Source{File: "second.yaml", Text: []byte("catalogue: second\nnamespaces:\n  M: {resourceTypes: {Policies: {level: tenant}}}\n")},
	)
	if err != nil {
		t.Fatal(err)
	}
	header := func(name string) string { return map[string]string{"x-environment": "e7"}[name] }
	for _, test := range []struct {
		name     string
		r        naming.Request
		override string
		reason   authz.Reason
		scopes   []authz.Scope
	}{
		{"of what is mapped", naming.Request{Method: "GET", Path: "/n/environments/e1/things"}, "N.Things.Delete", 0, []authz.Scope{"/tenants/t/environments/e1"}},
		{"of what is not mapped", naming.Request{Method: "get", Path: "/x/environments/e1/y"}, "N.Things.Delete", 0, []authz.Scope{"/tenants/t/environments/e1"}},
		{"of what names nothing", naming.Request{Method: "GET", Path: "/"}, "n.things.delete", 0, []authz.Scope{"/tenants/t"}},
		{"of a public route: somebody asked for a permission", naming.Request{Method: "GET", Path: "/open"}, "N.Things.Read", 0, []authz.Scope{"/tenants/t"}},
		{"of a route that denies", naming.Request{Method: "GET", Path: "/shut/environments/e1"}, "N.Things.Read", authz.Unmapped, nil},
		{"of a route whose parameter is a scope", naming.Request{Method: "GET", Path: "/by/e1"}, "N.Things.Read", 0, []authz.Scope{"/tenants/t/environments/e1"}},
		{"of a scope word where an identifier should stand", naming.Request{Method: "GET", Path: "/n/things/environments/e1/x"}, "N.Things.Read", authz.Unmapped, nil},
		{"by a permission nobody declared", naming.Request{Method: "GET", Path: "/n/things"}, "No.Such.Thing", authz.Unmapped, nil},
		{"by one of the tenant's level, in another catalogue", naming.Request{Method: "GET", Path: "/n/environments/e1/things"}, "M.Policies.Read", 0, []authz.Scope{"/tenants/t/environments/e1", "/tenants/t"}},
		{"of an ambiguous path", naming.Request{Method: "GET", Path: "/n//things"}, "N.Things.Read", authz.BadRequest, nil},
		{"of a gRPC call, whose header names the scope", naming.Request{Method: "POST", Path: "/a.B/Anything", GRPC: true, Header: header}, "N.Things.Read", 0, []authz.Scope{"/tenants/t/environments/e7"}},
		{"of a gRPC call without the header", naming.Request{Method: "POST", Path: "/a.B/Anything", GRPC: true}, "N.Things.Read", 0, []authz.Scope{"/tenants/t"}},
		{"of a path that claims to be a gRPC call", naming.Request{Method: "POST", Path: "/n/environments/e1/things", GRPC: true}, "N.Things.Read", 0, []authz.Scope{"/tenants/t/environments/e1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.r.Override = test.override
			var r naming.Resolution
			loaded.Default().Resolve(test.r, &r)
			var scopes []authz.Scope
			for _, named := range r.Scopes {
				scopes = append(scopes, named.In("t"))
			}
			if r.Reason != test.reason || !slices.Equal(scopes, test.scopes) {
				t.Errorf("%v at %v (%s), want %v at %v", r.Reason, scopes, r.Detail, test.reason, test.scopes)
			}
			if mapped := test.reason == 0; mapped != (len(r.Permissions) == 1) || mapped != (r.DecidedBy == naming.ByOverride) {
				t.Errorf("permissions %v, decided by %q", r.Permissions, r.DecidedBy)
			}
		})
	}
}
