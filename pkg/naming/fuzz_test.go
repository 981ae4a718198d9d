package naming_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// FuzzResolve: a request that is refused leaves nothing behind to decide with; one that
// is mapped asks for something somewhere; how the path is spelled changes nothing; and
// the second opinion is the same.
func FuzzResolve(f *testing.F) {
	c := shipped(f)
	opinions := []struct {
		c *naming.Catalogues
		o *opinion
	}{
		{load(f, fmt.Sprintf(opinionYAML, false, false)), newOpinion(false, false)},
		{load(f, fmt.Sprintf(opinionYAML, true, true)), newOpinion(true, true)},
	}
	for _, hot := range hotRequests {
		f.Add(hot.req.Method, hot.req.Host, hot.req.Path, false)
	}
	for _, seed := range []naming.Request{
		{Method: "POST", Path: "/ns/apps/environments/environments/e1"},
		{Method: "GET", Path: "/ns/tenants/t1/environments/%65%31/apps/a7/x/environmentGroups/g1"},
		{Method: "PUT", Path: "/ns/apps/%c3%a9", Host: "b5e65502f2e4ecc78e66df670e46b1.00.environment.suffix.example.:443"},
		{Method: "HEAD", Path: "/other/g1/e1"}, {Method: "get", Path: "/ns"}, {Method: "GET", Path: "/ns/policies/p/environments"},
		{Method: "POST", Path: "/pkg.S/GetX", GRPC: true}, {Method: "POST", Path: "/AUTHORIZATION/roleAssignments/"},
	} {
		f.Add(seed.Method, seed.Host, seed.Path, seed.GRPC)
	}
	var r, again naming.Resolution
	f.Fuzz(func(t *testing.T, method, host, path string, grpc bool) {
		req := naming.Request{Method: method, Host: host, Path: path, GRPC: grpc}
		c.Default().Resolve(req, &r)
		answer := describe(c, &r)
		switch {
		case strings.Contains(answer, "left behind"):
			t.Errorf("%+v: %s", req, answer)
		case r.Reason == authz.ReasonUnspecified && (len(r.Permissions) == 0 || len(r.Scopes) == 0 || r.DecidedBy == "" || r.Rule == ""):
			t.Errorf("%+v is mapped to nothing: %s", req, answer)
		case r.Reason != authz.ReasonUnspecified && r.Reason != authz.Unmapped && r.Reason != authz.Public && r.Reason != authz.BadRequest:
			t.Errorf("%+v: a reason that mapping does not know: %v", req, r.Reason)
		case (r.Reason == authz.BadRequest || r.Reason == authz.Unmapped) && r.Detail == "":
			t.Errorf("%+v is refused without saying why", req)
		}
		if r.Reason == authz.BadRequest {
			return
		}
		// The query is nothing, and the path's one spelling, upper and lower case are the same path.
		segments, _ := naming.Canonical(path)
		one := "/" + strings.Join(segments, "/")
		respelled := []string{one, one + "?/../;"}
		if len(segments) > 0 {
			respelled = append(respelled, one+"/")
		}
		if !strings.Contains(one, "%") {
			respelled = append(respelled, strings.ToUpper(one), strings.ToLower(one))
		}
		for _, path := range respelled {
			if grpc || len(path) > naming.MaxPathLen {
				continue
			}
			c.Default().Resolve(naming.Request{Method: method, Host: strings.ToUpper(host), Path: path}, &again)
			if got := describe(c, &again); got != answer && host == strings.ToLower(strings.ToUpper(host)) {
				t.Errorf("%+v: %s, but as %q: %s", req, answer, path, got)
			}
		}
		if grpc {
			return
		}
		for _, other := range opinions {
			if got, want := engineAnswer(other.c, &r, req), other.o.resolve(method, host, path); got != want {
				t.Errorf("%+v\n  engine %s\n opinion %s", req, got, want)
			}
		}
	})
}

// FuzzCatalogueParse: a catalogue is loaded, or refused with the file's name in every
// problem; one that was loaded maps requests without falling over.
func FuzzCatalogueParse(f *testing.F) {
	for _, file := range []string{"catalogue", "namespaces", "routes", "overlap", "grpc", "implications", "circle", "web", "composites"} {
		f.Add(firstFile(f, "testdata/load/"+file+".txtar"))
	}
	for _, file := range []string{"grammar", "foldcase", "routes", "hosts", "grpc"} {
		f.Add(firstFile(f, "testdata/resolve/"+file+".txtar"))
	}
	f.Add("catalogue: a\nnamespaces: {A: {path: '%2e%2e', resourceTypes: {B: {path: é}}}}\n")
	f.Add("catalogue: a\nroutes: [{method: GET, path: /, permissions: [A.B.C]}, {method: GET, path: '/{a=**}', deny: true}]\n")
	f.Add(webCatalogue)
	f.Add("catalogue: a\nprofile: dataverse\nhosts: {h: e}\nentitySets: {a: {navigation: {b: {entitySet: a, kind: manyToOne}}}}\n")
	f.Add("catalogue: a\ncomposites: {b: {target: flow, layers: [{name: c, permissions: [A.B.C]}]}}\n")
	f.Add(`{"catalogue": "json", "permissions": [{"name": "A.B.C"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := naming.Load(naming.Source{File: "f.yaml", Text: []byte(text)})
		if err != nil {
			if c != nil || !strings.HasPrefix(err.Error(), "f.yaml:") {
				t.Errorf("a problem without its file: %v", err)
			}
			return
		}
		c.Default().Lint()
		var r, again naming.Resolution
		for _, req := range []naming.Request{
			{Method: "GET", Path: "/powerapps/environments/e1/apps/a7/x"}, {Method: "POST", Path: "/a/b/c/play"}, {Method: "HEAD", Path: "/"},
			{Method: "POST", Path: "/pkg.v1.Apps/GetApp", GRPC: true},
			{Method: "GET", Host: "h", Path: "/api/data/v9.2/a(" + idA + ")/b?$filter=b/c%20eq%201"},
		} {
			c.Default().Resolve(req, &r)
			if answer := describe(c, &r); strings.Contains(answer, "left behind") || answer == "" {
				t.Errorf("%+v: %q", req, answer)
			}
			// The text is all there is to a catalogue.
			same, err := naming.Load(naming.Source{File: "f.yaml", Text: c.Default().Source()})
			if err != nil {
				t.Fatal(err)
			}
			same.Default().Resolve(req, &again)
			if diff := cmp.Diff(describe(c, &r), describe(same, &again)); diff != "" {
				t.Errorf("loaded twice: %s", diff)
			}
		}
	})
}

func firstFile(f *testing.F, name string) string {
	f.Helper()
	archive, err := txtar.ParseFile(name)
	if err != nil {
		f.Fatal(err)
	}
	return string(archive.Files[0].Data)
}
