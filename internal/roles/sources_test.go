package roles_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/roles"
)

// testNames are the tests of the packages that SOURCES.md speaks of.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, dir := range []string{
		".", "../../pkg/authz", "../../pkg/naming", "../oracle", "../bundle", "../snapshot", "../gate", "../explain", "../admin", "../insiders", "../rest",
	} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range parsed.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
					names[f.Name.Name] = true
				}
			}
		}
	}
	scripts, err := filepath.Glob("../../cmd/pathgrant/testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		names["TestScripts/"+strings.TrimSuffix(filepath.Base(script), ".txtar")] = true
	}
	return names
}

func readSources(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("SOURCES.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSourcesNamesTestsThatExist(t *testing.T) {
	exist, named := testNames(t), 0
	for _, name := range regexp.MustCompile(`\bTest[A-Z][\w/]*`).FindAllString(readSources(t), -1) {
		named++
		if !exist[name] {
			t.Errorf("there is no %s", name)
		}
	}
	if named < 120 {
		t.Errorf("only %d tests are named", named)
	}
	for _, line := range strings.Split(readSources(t), "\n") {
		isRow := strings.HasPrefix(line, "| ") && !strings.Contains(line, "| test |")
		if isRow && !strings.Contains(line, "| Test") {
			t.Errorf("no test covers %q", line)
		}
	}
}

func TestSourcesNamesEveryStandardTable(t *testing.T) {
	_, rest, _ := strings.Cut(readSources(t), "## Classes of tables")
	section, _, _ := strings.Cut(rest, "\n## ")
	for _, table := range roles.StandardTables() {
		if !regexp.MustCompile(`[:,] ` + table.Name + `\b`).MatchString(section) {
			t.Errorf("SOURCES.md does not mention the table %s", table.Name)
		}
	}
}

func TestSourcesNamesEveryPredefinedRole(t *testing.T) {
	text := readSources(t)
	for _, def := range roles.Predefined() {
		name, _, _ := strings.Cut(def.Name, " (") // what follows is ours
		if !strings.Contains(text, name) {
			t.Errorf("SOURCES.md does not mention %s", def.Name)
		}
	}
}
