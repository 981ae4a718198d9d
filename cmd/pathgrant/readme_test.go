package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pathgrant/pathgrant/internal/config"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A readmeBlock is a fenced block of the README: its language, its text, and the comment
// above it, such as "file: policy.yaml".
type readmeBlock struct{ language, note, text string }

var fence = regexp.MustCompile("(?ms)(?:^<!-- ([^\n]*?) -->\n)?^```([a-z]+)\n(.*?)^```$")

func readme(t *testing.T) (string, []readmeBlock) {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []readmeBlock
	for _, m := range fence.FindAllStringSubmatch(string(src), -1) {
		blocks = append(blocks, readmeBlock{note: m[1], language: m[2], text: m[3]})
	}
	if len(blocks) == 0 {
		t.Fatal("the README has no fenced block")
	}
	return string(src), blocks
}

// inReadmeFiles changes into a directory with the files that the README shows.
func inReadmeFiles(t *testing.T, blocks []readmeBlock) (names []string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, b := range blocks {
		if name, ok := strings.CutPrefix(b.note, "file: "); ok {
			if err := os.WriteFile(name, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	return names
}

// changing are the parts of an output that differ each time.
var changing = regexp.MustCompile(`(?m)^((?:revision     |└─ revision ))\d+(\.\d+)$|^(decision id  )[0-9a-f]{32}$`)

func steady(output string) string { return changing.ReplaceAllString(output, "$1$3…$2") }

// TestReadmeConsoleBlocksAreTrue runs every command that a console block shows, and
// compares what it prints.
func TestReadmeConsoleBlocksAreTrue(t *testing.T) {
	_, blocks := readme(t)
	inReadmeFiles(t, blocks)
	ran, code := 0, exitOK
	for _, b := range blocks {
		if b.language != "console" {
			continue
		}
		steps := strings.Split("\n"+b.text, "\n$ ")
		if steps[0] != "" {
			t.Errorf("a console block does not begin with a command:\n%s", b.text)
		}
		for _, step := range steps[1:] {
			command, want, _ := strings.Cut(step, "\n")
			got := ""
			switch args := strings.Fields(command); {
			case command == "echo $?":
				got = fmt.Sprintln(code)
			case args[0] == "pathgrant":
				var output bytes.Buffer
				code = run(t.Context(), args[1:], strings.NewReader(""), &output, &output)
				got = output.String()
				ran++
			default:
				t.Fatalf("$ %s: only pathgrant and echo $? can be run here", command)
			}
			if diff := cmp.Diff(strings.TrimSuffix(steady(want), "\n"), strings.TrimSuffix(steady(got), "\n")); diff != "" {
				t.Errorf("$ %s: the README (-) and the command (+) differ:\n%s", command, diff)
			}
		}
	}
	if ran < 10 {
		t.Errorf("%d commands were run, want 10 at least: is the README still read rightly?", ran)
	}
}

func TestReadmeFilesAreAccepted(t *testing.T) {
	_, blocks := readme(t)
	names := inReadmeFiles(t, blocks)
	for _, want := range []string{"policy.yaml", "pathgrant.yaml", "catalogue.yaml", "role-pack.yaml"} {
		if !slices.Contains(names, want) {
			t.Errorf("the README has no file %s", want)
		}
	}
	if _, err := config.Load([]string{"--config", "pathgrant.yaml"}); err != nil {
		t.Errorf("the README's settings are refused: %v", err)
	}
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"import", "--dry-run", "--role-pack", "role-pack.yaml", "policy.yaml"}, strings.NewReader(""), &errs, &errs); code != exitOK {
		t.Errorf("the README's bundle or role pack is refused: %s", errs.String())
	}
}

func TestReadmeDirectQuestionIsOneOfTheContract(t *testing.T) {
	_, blocks := readme(t)
	i := slices.IndexFunc(blocks, func(b readmeBlock) bool { return b.note == "request: pathgrant.v1.CheckRequest" })
	if i < 0 {
		t.Fatal("the README shows no direct question")
	}
	_, rest, _ := strings.Cut(blocks[i].text, "-d '")
	body, _, _ := strings.Cut(rest, "'")
	var request pathgrantv1.CheckRequest
	if err := protojson.Unmarshal([]byte(body), &request); err != nil {
		t.Fatal(err)
	}
	if got := request.GetQuestion().GetSubject().GetPrincipal().GetType(); got != pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER {
		t.Errorf("the subject is a %s", got)
	}
}

func TestReadmeHasEveryReason(t *testing.T) {
	src, _ := readme(t)
	for _, reason := range authz.Reasons() {
		if !strings.Contains(src, "\n| `"+reason.String()+"` | ") {
			t.Errorf("the table of reasons does not have %s", reason)
		}
	}
}

func TestReadmeHasEveryFlagOfServe(t *testing.T) {
	src, _ := readme(t)
	_, table, ok := strings.Cut(src, "\n| flag | default | |\n")
	if !ok {
		t.Fatal("the README has no table of flags")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	named := make(map[string]bool)
	for _, m := range regexp.MustCompile("`--([a-z-]+)`").FindAllStringSubmatch(table, -1) {
		named[m[1]] = true
	}
	defaults := config.Default()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	defaults.Flags(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "config" && !named[f.Name] {
			t.Errorf("the table of flags does not have --%s", f.Name)
		}
		delete(named, f.Name)
	})
	if len(named) > 0 {
		t.Errorf("the table has flags that do not exist: %v", slices.Sorted(maps.Keys(named)))
	}
}

func TestReadmeMetricsExist(t *testing.T) {
	src, _ := readme(t)
	names := regexp.MustCompile(`\bpathgrant_[a-z_]+\b`).FindAllString(src, -1)
	code, err := os.ReadFile(filepath.Join("..", "..", "internal", "ops", "metrics.go"))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 7 {
		t.Errorf("the README names %d metrics, want 7 at least", len(names))
	}
	for _, name := range names {
		if !bytes.Contains(code, []byte(`"`+name+`"`)) {
			t.Errorf("there is no metric %s", name)
		}
	}
}
