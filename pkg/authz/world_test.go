package authz_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// world is what testdata/world.txtar describes: what the cases are about.
type world struct {
	vocabulary *authz.Vocabulary
	hierarchy  *authz.Hierarchy
	roles      map[string]*authz.Role
}

// lines returns the lines of an archive's file as words, without comments.
func lines(archive *txtar.Archive, name string) [][]string {
	var found [][]string
	for _, file := range archive.Files {
		if file.Name != name {
			continue
		}
		for line := range strings.Lines(string(file.Data)) {
			if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
				found = append(found, words)
			}
		}
	}
	return found
}

func parseArchive(t testing.TB, file string) *txtar.Archive {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// cases runs check on every archive of a directory of testdata.
func cases(t *testing.T, directory string, check func(*testing.T, *txtar.Archive)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", directory, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata/%s: %v", directory, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			check(t, parseArchive(t, file))
		})
	}
}

func newWorld(t testing.TB) world {
	t.Helper()
	archive := parseArchive(t, filepath.Join("testdata", "world.txtar"))
	var names []authz.Permission
	for _, words := range lines(archive, "permissions") {
		names = append(names, authz.Permission(words[0]))
	}
	implications := authz.Implications{}
	for _, words := range lines(archive, "implications") {
		implications[words[0]] = words[1:]
	}
	vocabulary, err := authz.NewVocabulary(names, implications)
	if err != nil {
		t.Fatal(err)
	}
	w := world{vocabulary: vocabulary, hierarchy: newHierarchy(t, lines(archive, "scopes")), roles: map[string]*authz.Role{}}
	for _, words := range lines(archive, "roles") {
		def := authz.RoleDefinition{ID: words[0], Name: words[0], Permissions: words[1:2]}
		if len(words) > 2 && words[2] == "except" {
			def.PermissionsExceptions = words[3:]
		}
		if w.roles[def.Name], err = vocabulary.Compile(def); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func newHierarchy(t testing.TB, scopes [][]string) *authz.Hierarchy {
	t.Helper()
	spec := authz.HierarchySpec{Tenant: "acme"}
	for _, words := range scopes {
		switch kind, rest := words[0], strings.Join(words[2:], " "); {
		case kind == "group":
			spec.EnvironmentGroups = append(spec.EnvironmentGroups, authz.EnvironmentGroup{ID: words[1]})
		case kind == "environment" && rest == "":
			spec.Environments = append(spec.Environments, words[1])
		case kind == "environment":
			for i := range spec.EnvironmentGroups {
				if group := &spec.EnvironmentGroups[i]; group.ID == words[3] {
					group.Environments = append(group.Environments, words[1])
				}
			}
		case kind == "unit":
			unit := authz.BusinessUnit{ID: words[1], Environment: words[3]}
			if len(words) > 4 {
				unit.Parent = words[5]
			}
			spec.BusinessUnits = append(spec.BusinessUnits, unit)
		default:
			t.Fatalf("cannot read the scope %q", words)
		}
	}
	hierarchy, err := authz.NewHierarchy(spec)
	if err != nil {
		t.Fatal(err)
	}
	return hierarchy
}

// id returns a permission's number.
func (w world) id(t testing.TB, name string) authz.PermissionID {
	t.Helper()
	id, ok := w.vocabulary.ID(name)
	if !ok {
		t.Fatalf("the vocabulary of the cases has no %s", name)
	}
	return id
}

// request asks for permissions at scopes, both with commas between them.
func (w world) request(t testing.TB, permissions, scopes string) authz.Request {
	t.Helper()
	var r authz.Request
	for name := range strings.SplitSeq(permissions, ",") {
		r.Permissions = append(r.Permissions, w.id(t, name))
	}
	for scope := range strings.SplitSeq(scopes, ",") {
		chain, err := w.hierarchy.Chain(authz.Scope(scope), false)
		if err != nil {
			t.Fatal(err)
		}
		r.Chains = append(r.Chains, chain)
	}
	return r
}
