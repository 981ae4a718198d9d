// Package records holds the design records: for each choice that somebody might undo, why it
// was made and the test that shows it.
package records

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName  = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
	testFile  = regexp.MustCompile("`(testdata/[a-z/_-]+\\.txtar)`")
	directory = regexp.MustCompile("`((?:pkg|internal|cmd|deploy|tools)/[a-z0-9]+)`")
	headings  = []string{"\n**Context.** ", "\n**Decision.** ", "\n**Consequences.** ", "\n**Shown by** "}
)

// root is the module's, seen from here.
const root = "../.."

// TestEveryRecordNamesTestsThatExist reads the last part of each record: the tests that it
// names must be in the packages that it names.
func TestEveryRecordNamesTestsThatExist(t *testing.T) {
	files, err := filepath.Glob("[0-9]*.md")
	if err != nil || len(files) < 15 {
		t.Fatalf("found %d records (%v), want 15 at least", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		record := string(text)
		for _, heading := range headings {
			if strings.Count(record, heading) != 1 {
				t.Errorf("%s: want one part %q", file, strings.TrimSpace(heading))
			}
		}
		_, shown, _ := strings.Cut(record, headings[len(headings)-1])
		exist := map[string]bool{}
		var dirs []string
		for _, dir := range directory.FindAllStringSubmatch(shown, -1) {
			dirs = append(dirs, filepath.Join(root, dir[1]))
			addTests(t, exist, filepath.Join(root, dir[1]))
		}
		names := testName.FindAllStringSubmatch(shown, -1)
		if len(names) == 0 {
			t.Errorf("%s names no test", file)
		}
		for _, name := range names {
			if !exist[name[1]] {
				t.Errorf("%s: there is no %s in the packages that it names", file, name[1])
			}
		}
		for _, data := range testFile.FindAllStringSubmatch(shown, -1) {
			if !inAny(dirs, data[1]) {
				t.Errorf("%s: there is no %s in the packages that it names", file, data[1])
			}
		}
	}
}

func addTests(t *testing.T, names map[string]bool, dir string) {
	t.Helper()
	files, err := fs.Glob(os.DirFS(dir), "*_test.go")
	if err != nil || len(files) == 0 {
		t.Errorf("%s has no tests (%v)", dir, err)
	}
	for _, file := range files {
		src, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunc.FindAllSubmatch(src, -1) {
			names[string(m[1])] = true
		}
	}
}

func inAny(dirs []string, file string) bool {
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return true
		}
	}
	return false
}
