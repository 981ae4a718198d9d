package naming_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// Every problem of a catalogue is reported, all at once, each with its place.
func TestLoadReportsEveryProblem(t *testing.T) {
	files, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = naming.Load(naming.Source{File: "test.yaml", Text: archive.Files[0].Data})
			if err == nil {
				t.Fatal("it was loaded")
			}
			got, want := strings.Split(err.Error(), "\n"), strings.Split(strings.TrimSuffix(string(archive.Files[1].Data), "\n"), "\n")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestLoadNeedsACatalogue(t *testing.T) {
	if _, err := naming.Load(); err == nil {
		t.Error("nothing was loaded, without an error")
	}
	_, err := naming.Load(naming.Source{File: "a.yaml", Text: []byte("catalogue: [")}, naming.Source{File: "b.yaml"}, naming.Source{File: "c.yaml", Text: []byte("x: y")})
	want := "a.yaml:2:1: not valid YAML: did not find expected node content\n" +
		"b.yaml: the document is empty\n" +
		`c.yaml:1:1: unknown key "x": want one of caseInsensitivePaths, catalogue, composites, entitySets, environment, extends, grpc, hostSuffixes, hosts, implications, namespaces, permissions, profile, routes, scopes, strictReads` + "\n" +
		"c.yaml:1:1: the catalogue has no name: add catalogue: NAME"
	if err == nil {
		t.Fatal("loaded")
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// Catalogues that are used together share one vocabulary.
func TestCataloguesShareAVocabulary(t *testing.T) {
	first := naming.Source{File: "first.yaml", Text: []byte(`
catalogue: first
implications: {Play: [Watch]}
namespaces: {PowerApps: {resourceTypes: {Apps: {actions: [Play]}}}}
`)}
	second := naming.Source{File: "second.yaml", Text: []byte(`
catalogue: second
namespaces: {Video: {resourceTypes: {Films: {actions: [Play, Watch]}}}}
routes:
  - {method: GET, path: /apps, permissions: [powerapps.APPS.read]}
`)}
	c, err := naming.Load(first, second)
	if err != nil {
		t.Fatal(err)
	}
	if c.Default().Name() != "first" || c.FoldCase() || len(c.All()) != 2 {
		t.Errorf("the default is %q of %d, fold %t", c.Default().Name(), len(c.All()), c.FoldCase())
	}
	if other, ok := c.Named("second"); !ok || other.Name() != "second" || string(other.Source()) != string(second.Text) {
		t.Error("the catalogue second was not found as it was")
	}
	if byDefault, ok := c.Named(""); !ok || byDefault != c.Default() {
		t.Error("the empty name is not the default catalogue")
	}
	if _, ok := c.Named("Second"); ok {
		t.Error("there is no catalogue Second")
	}
	other, _ := c.Named("second")
	var r naming.Resolution
	other.Resolve(naming.Request{Method: "GET", Path: "/apps"}, &r)
	if got := inWords(c, &r).Permissions; got != "PowerApps.Apps.Read" {
		t.Errorf("the route of the second catalogue asks for %q, spelled otherwise than the first declares it", got)
	}
	c.Default().Resolve(naming.Request{Method: "GET", Path: "/video/films"}, &r)
	if r.Reason != authz.Unmapped {
		t.Errorf("the first catalogue maps a path of the second: %v", inWords(c, &r))
	}
	// An implication of the first holds in the second, too.
	role, err := c.Vocabulary().Compile(authz.RoleDefinition{Name: "Player", Permissions: []string{"Video.Films.Play"}})
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := c.Vocabulary().ID("Video.Films.Watch"); !ok || !role.Grants(id) {
		t.Error("Play does not imply Watch in the second catalogue")
	}
}

func TestCataloguesMustAgree(t *testing.T) {
	_, err := naming.Load(
		naming.Source{File: "first.yaml", Text: []byte("catalogue: same\nnamespaces: {PowerApps: {resourceTypes: {Apps: {actions: [Play]}}}}\n")},
		naming.Source{File: "second.yaml", Text: []byte("catalogue: same\ncaseInsensitivePaths: true\npermissions: [PowerApps.Apps.PLAY]\n")},
		naming.Source{File: "third.yaml", Text: []byte("catalogue: third\ncaseInsensitivePaths: false\n")},
	)
	want := `second.yaml:1:12: catalogue: first.yaml is the catalogue "same" too: give each a name of its own
second.yaml:2:23: caseInsensitivePaths: caseInsensitivePaths must be the same in all catalogues: first.yaml has false
second.yaml:3:15: permissions[0]: permission "PowerApps.Apps.PLAY" is declared as "PowerApps.Apps.Play" in first.yaml: names are compared without case, so give it one spelling`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// A declared type has the six permissions of the table and its actions; routes, the grpc
// section and the list of permissions add the ones that they name.
func TestTheVocabularyHoldsWhatTheCatalogueNames(t *testing.T) {
	c := load(t, `
catalogue: test
namespaces: {PowerApps: {resourceTypes: {Apps: {actions: [Play]}}}}
routes:
  - {method: GET, path: /x, permissions: [Other.Things.Peek, powerapps.apps.play]}
grpc:
  pkg.S: {namespace: G, resourceType: Rs, methods: {Do: Go}}
permissions: [PowerApps.Apps.Read, Four.Part.Name.Read, {name: Described.Thing.Read, displayName: Read things}]
`)
	var got []string
	for _, name := range c.Vocabulary().Names() {
		got = append(got, string(name))
	}
	want := []string{
		"Described.Thing.Read", "Four.Part.Name.Read",
		"G.Rs.Create", "G.Rs.Delete", "G.Rs.Go", "G.Rs.Read", "G.Rs.ReadWrite", "G.Rs.Update", "G.Rs.Write",
		"Other.Things.Peek",
		"PowerApps.Apps.Create", "PowerApps.Apps.Delete", "PowerApps.Apps.Play", "PowerApps.Apps.Read", "PowerApps.Apps.ReadWrite", "PowerApps.Apps.Update", "PowerApps.Apps.Write",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestDescribe(t *testing.T) {
	c := load(t, `
catalogue: test
namespaces:
  PowerApps:
    displayName: Power Apps
    resourceTypes:
      Apps: {displayName: Apps, description: Canvas and model-driven apps., actions: [Play]}
      Plain: {}
permissions:
  - {name: PowerApps.Apps.Play, displayName: Play an app, description: Start it.}
  - {name: PowerApps.Apps.Read, description: Look at it.}
`)
	for _, test := range []struct{ permission, displayName, description string }{
		{"PowerApps.Apps.Play", "Play an app", "Start it."},
		{"PowerApps.Apps.Read", "Apps: Read", "Look at it."},
		{"PowerApps.Apps.Delete", "Apps: Delete", "Canvas and model-driven apps."},
		{"PowerApps.Plain.Read", "", ""},
	} {
		id, ok := c.Vocabulary().ID(test.permission)
		if !ok {
			t.Fatalf("no permission %s", test.permission)
		}
		displayName, description := c.Default().Describe(id)
		if displayName != test.displayName || description != test.description {
			t.Errorf("%s: got %q, %q", test.permission, displayName, description)
		}
	}
	if displayName, description := c.Default().Describe(9999); displayName+description != "" {
		t.Error("a permission that is not there has a description")
	}
}

func TestLint(t *testing.T) {
	c := load(t, `
catalogue: test
caseInsensitivePaths: true
namespaces:
  PowerApps:
    resourceTypes:
      Apps: {actions: [Play, Flows, Environments]}
      Flows: {}
      Other.Write: {path: write}
implications: {PowerApps.Apps.Manage: [PowerApps.Apps.Play]}
routes:
  - {method: POST, path: "/powerapps/apps/{a}/odd/{x}", permissions: [PowerApps.Apps.Odd]}
  - {method: PUT, path: "/powerapps/apps/{a}/odd/{y}", permissions: [PowerApps.Apps.Odd]}
  - {method: POST, path: "/powerapps/apps/{a}/even", permissions: [PowerApps.Apps.Odd]}
  - {method: GET, path: "/powerapps/apps/{a}/even", permissions: [PowerApps.Apps.Read]}
  - {method: POST, path: "/powerapps/apps/{a}/play", permissions: [PowerApps.Apps.Play]}
permissions:
  - Nobody.Reaches.This
  - PowerApps.Apps.Manage
`)
	var got []string
	for _, w := range c.Default().Lint(
		naming.Request{Method: "GET", Path: "/powerapps/flows/f1/what/is/this"},
		naming.Request{Method: "GET", Path: "/powerapps/flows/f1"},
		naming.Request{Method: "GET", Path: "/nosuch"},
	) {
		got = append(got, w.String())
	}
	want := []string{
		"test.yaml:7: no route reaches the permission PowerApps.Apps.Environments, nor one that it implies",
		"test.yaml:7: no route reaches the permission PowerApps.Apps.Flows, nor one that it implies",
		"test.yaml:12: GET /powerapps/apps/{a}/odd/{x} is answered by an unread tail of 2, as Read of PowerApps.Apps: declare its type, or add a route",
		"test.yaml:18: no route reaches the permission Nobody.Reaches.This, nor one that it implies",
		"test.yaml: GET /powerapps/flows/f1/what/is/this is answered by an unread tail of 3, as Read of PowerApps.Flows: declare its type, or add a route",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if warnings := new(naming.Catalogue).Lint(); warnings != nil {
		t.Errorf("the zero catalogue has warnings: %v", warnings)
	}
}

func TestTheZeroCatalogueMapsNothing(t *testing.T) {
	var none *naming.Catalogue
	for _, c := range []*naming.Catalogue{none, {}} {
		for _, grpc := range []bool{false, true} {
			var r naming.Resolution
			c.Resolve(naming.Request{Method: "GET", Path: "/powerapps/apps", GRPC: grpc}, &r)
			if r.Reason != authz.Unmapped || len(r.Permissions)+len(r.Scopes) > 0 {
				t.Errorf("got %v", r.Reason)
			}
		}
	}
}

func TestTheShippedCatalogueIsItself(t *testing.T) {
	c := shipped(t)
	if c.Default().Name() != "powerplatform" || !c.FoldCase() {
		t.Errorf("it is %q, fold %t", c.Default().Name(), c.FoldCase())
	}
	if string(c.Default().Source()) != string(naming.Shipped().Text) {
		t.Error("Source is not the text that was loaded")
	}
	for _, name := range []string{"All.All.ReadWrite", "Dataverse.Account.Read"} {
		if _, ok := c.Vocabulary().ID(name); ok {
			t.Errorf("it declares %s", name)
		}
	}
}
