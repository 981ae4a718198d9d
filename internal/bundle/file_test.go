package bundle_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
)

func store(tb testing.TB, o bundle.Options) *snapshot.Store {
	tb.Helper()
	s, err := snapshot.Open(tb.Context(), snapshot.Options{
		Dir: tb.TempDir(), Vocabulary: o.Vocabulary, ShippedRoles: roles.All(), StandardTables: roles.StandardTables(), FoldCase: o.FoldCase, CacheBytes: -1,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// deliver imports a bundle as a large one.
func deliver(tb testing.TB, s *snapshot.Store, text string, o bundle.Options) (*bundle.File, error) {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "b.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	tb.Chdir(filepath.Dir(name)) // so that messages are those of a file of that name
	f, err := bundle.Open("b.json", o, func(snapshot.Progress) {})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	checked := f.Check(tb.Context(), tb.TempDir())
	_, err = f.Deliver(tb.Context(), s, snapshot.Change{Source: "test"})
	if fmt.Sprint(checked) != fmt.Sprint(err) {
		tb.Errorf("a check says %v, the delivery %v", checked, err)
	}
	return f, err
}

// What is read item by item is what is read as a whole: the same data, or the same
// problems.
func compareReaders(tb testing.TB, text string, o bundle.Options) {
	tb.Helper()
	want, wantErr := bundle.ParseWhole("b.json", []byte(text), o)
	got, err := bundle.Parse("b.json", []byte(text), o)
	if (wantErr == nil) != (err == nil) {
		tb.Fatalf("as a whole %v, item by item %v", wantErr, err)
	}
	if wantErr != nil && !strings.Contains(wantErr.Error(), "JSON") && !strings.Contains(wantErr.Error(), "surrogate") && wantErr.Error() != err.Error() {
		tb.Fatalf("as a whole:\n%v\nitem by item:\n%v", wantErr, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Fatalf("(-whole +items):\n%s", diff)
	}
	s := store(tb, o)
	f, deliveredErr := deliver(tb, s, text, o)
	if (deliveredErr == nil) != (err == nil) {
		// Empty texts and such are the store's to refuse, in both.
		if _, replaceErr := store(tb, o).Replace(tb.Context(), got, snapshot.Change{}); err != nil || replaceErr == nil {
			tb.Fatalf("parsed %v, delivered %v", err, deliveredErr)
		}
		return
	}
	if err != nil {
		if !strings.Contains(err.Error(), "JSON") && deliveredErr.Error() != err.Error() {
			tb.Fatalf("parsed:\n%v\ndelivered:\n%v", err, deliveredErr)
		}
		return
	}
	n := 0
	for i := range got.Tenants {
		n += len(got.Tenants[i].RoleAssignments)
	}
	if f.Tenants() != len(got.Tenants) || f.Assignments() != n {
		tb.Errorf("%d tenants with %d role assignments, want %d with %d", f.Tenants(), f.Assignments(), len(got.Tenants), n)
	}
	for _, format := range []bundle.Format{bundle.JSON, bundle.YAML} {
		var parsed, delivered bytes.Buffer
		if err := bundle.Write(&parsed, got, format); err != nil {
			tb.Fatal(err)
		}
		err := s.ExportEach(tb.Context(), tb.TempDir(), func(from *snapshot.Export) error {
			return bundle.WriteExport(&delivered, from, format)
		})
		if err != nil {
			tb.Fatal(err)
		}
		if diff := cmp.Diff(withoutRepetition(tb, parsed.String(), format, o), delivered.String()); diff != "" {
			tb.Fatalf("(-parsed +delivered):\n%s", diff)
		}
	}
}

// withoutRepetition writes a bundle as a store would export it.
func withoutRepetition(tb testing.TB, text string, format bundle.Format, o bundle.Options) string {
	tb.Helper()
	data, err := bundle.Parse("b", []byte(text), o)
	if err != nil {
		tb.Fatal(err)
	}
	s := store(tb, o)
	if _, err := s.Replace(tb.Context(), data, snapshot.Change{}); err != nil {
		tb.Fatal(err)
	}
	exported, err := s.Export(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	if err := bundle.Write(&b, exported, format); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func exampleJSON(tb testing.TB) string {
	tb.Helper()
	data, err := bundle.Parse("example.yaml", []byte(example), options(tb))
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	if err := bundle.Write(&b, data, bundle.JSON); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// assignments is a bundle of one tenant with these items.
func assignmentsOf(items ...string) string {
	return `{"apiVersion":"pathgrant/v1","tenants":[{"roleAssignments":[` + "\n" + strings.Join(items, ",\n") +
		`],"id":"t1","environments":[{"id":"e1"}],"groups":[{"id":"g1","members":[{"principalType":"User","principalObjectId":"u1"}]}]}]}`
}

func assignmentOf(user, rest string) string {
	return `{"principalType":"User","principalObjectId":"` + user + `","scope":"/tenants/t1","roleDefinitionName":"Power Platform Reader"` + rest + `}`
}

var bundlesInJSON = map[string]string{
	"nothing":          `{"apiVersion":"pathgrant/v1","tenants":[]}`,
	"no lists":         `{"apiVersion":"pathgrant/v1","tenants":[{"id":"t1","roleAssignments":null,"groups":null}]}`,
	"two tenants":      `{"tenants":[{"id":"t2","roleAssignments":[]},{"id":"t1"}],"apiVersion":"pathgrant/v1"}`,
	"one twice":        `{"tenants":[{"id":"t1","roleAssignments":[` + assignmentOf("u1", "") + `]},{"id":"T1","roleAssignments":[` + assignmentOf("u2", "") + `]}],"apiVersion":"pathgrant/v1"}`,
	"a list twice":     `{"tenants":[{"id":"t1","roleAssignments":[` + assignmentOf("u1", "") + `],"roleAssignments":[]}],"apiVersion":"pathgrant/v1"}`,
	"any spelling":     assignmentsOf(assignmentOf("U\\u0031", `,"effect":"deny"`), assignmentOf("u2", `,"effect":"FORBID","expiresOn":null,"roleDefinitionId":null`)),
	"all there is":     assignmentsOf(assignmentOf("u1", `,"roleAssignmentId":"x","effect":"ALLOW","expiresOn":"2027-01-01T00:00:00.5Z","createdOn":"2026-01-01T00:00:00Z","createdByPrincipalType":"User","createdByPrincipalObjectId":"boss"`)),
	"the same live":    assignmentsOf(assignmentOf("u1", `,"roleAssignmentId":"x"`), assignmentOf("u2", ""), assignmentOf("u1", `,"effect":"DENY"`), assignmentOf("u1", `,"expiresOn":"2027-01-01T00:00:00Z"`)),
	"the same expired": assignmentsOf(assignmentOf("u1", `,"roleAssignmentId":"x","expiresOn":"2025-01-01T00:00:00Z"`), assignmentOf("u1", `,"roleAssignmentId":"y","expiresOn":"2025-02-01T00:00:00Z"`), assignmentOf("u1", `,"roleAssignmentId":"z"`), assignmentOf("u1", `,"roleAssignmentId":"w","expiresOn":"2025-03-01T00:00:00Z"`)),
	"one id":           assignmentsOf(assignmentOf("u3", `,"roleAssignmentId":"x"`), assignmentOf("u1", `,"roleAssignmentId":"X"`), assignmentOf("u2", `,"roleAssignmentId":"x"`)),
	"one id, expired":  assignmentsOf(assignmentOf("u3", `,"roleAssignmentId":"x","expiresOn":"2025-01-01T00:00:00Z"`), assignmentOf("u3", ""), assignmentOf("u1", `,"roleAssignmentId":"x"`)),
	"no principal":     assignmentsOf(`{"scope":"/tenants/t1","roleDefinitionName":"Power Platform Reader"}`, `{}`, `[]`, `null`, `"x"`),
	"wrong texts": assignmentsOf(assignmentOf("", ""), assignmentOf("u1", `,"effect":""`), assignmentOf("u2", `,"effect":null`), assignmentOf("u3", `,"expiresOn":"soon"`),
		assignmentOf("u4", `,"expiresOn":"1960-01-01T00:00:00Z"`), assignmentOf("u5", `,"createdByPrincipalType":"User"`), assignmentOf("u6", `,"colour":"red"`),
		assignmentOf("u7", `,"roleAssignmentId":7`), assignmentOf("u8", `,"roleAssignmentId":""`), assignmentOf("u9", `,"scope":"/tenants/t1"`), assignmentOf(strings.Repeat("u", 300), "")),
	"wrong roles": assignmentsOf(assignmentOf("u1", `,"roleDefinitionId":"nobody"`), assignmentOf("u2", `,"roleDefinitionId":"ff954d61-a89a-4fbe-ace9-01c367b89f87"`), assignmentOf("u3", `,"roleDefinitionId":"C886AD2E-27F7-4874-8381-5849B8D8A090"`),
		strings.Replace(assignmentOf("u4", ""), "Reader", "Writer", 1), `{"principalType":"User","principalObjectId":"u5","scope":"/tenants/t1"}`),
	"wrong scopes":    assignmentsOf(strings.Replace(assignmentOf("u1", ""), "/tenants/t1", "/tenants/t2", 1), strings.Replace(assignmentOf("u2", ""), "/tenants/t1", "/tenants/t1/environments/e9", 1), strings.Replace(assignmentOf("u3", ""), "/tenants/t1", "t1", 1), strings.Replace(assignmentOf("u3", ""), "/tenants/t1", "/Tenants/T1/environments/E1", 1)),
	"before it all":   `{"apiVersion":"pathgrant/v2","tenants":[{"roleAssignments":[` + assignmentOf("u1", `,"effect":"x"`) + `],"id":"t1","team":[]}],"x":1}`,
	"groups go round": `{"apiVersion":"pathgrant/v1","tenants":[{"id":"t1","groups":[{"id":"a","members":[{"principalType":"Group","principalObjectId":"b"}]},{"id":"b","members":[{"principalType":"Group","principalObjectId":"a"}]}]}]}`,
	"not JSON":        assignmentsOf(assignmentOf("u1", `,`)),
	"cut short":       `{"apiVersion":"pathgrant/v1","tenants":[{"id":"t1","roleAssignments":[` + assignmentOf("u1", ""),
}

func TestALargeBundleIsReadAsASmallOne(t *testing.T) {
	for name, text := range bundlesInJSON {
		t.Run(name, func(t *testing.T) { compareReaders(t, text, options(t)) })
	}
	t.Run("the example", func(t *testing.T) { compareReaders(t, exampleJSON(t), options(t)) })
}

// So are bundles with problems of every kind.
func TestALargeBundleHasTheProblemsOfASmallOne(t *testing.T) {
	compared := 0
	for _, in := range broken(t) {
		var document map[string]any
		if strings.Contains(in.name, "exact") || yaml.Unmarshal([]byte(in.text), &document) != nil {
			continue // what is no YAML was found to be none in another test
		}
		text, err := json.Marshal(document)
		if err != nil || len(document) == 0 {
			continue
		}
		compared++
		t.Run(in.name, func(t *testing.T) { compareReaders(t, string(text), options(t)) })
	}
	if compared < 25 {
		t.Errorf("only %d bundles were compared", compared)
	}
}

func FuzzALargeBundleIsReadAsASmallOne(f *testing.F) {
	for _, text := range bundlesInJSON {
		f.Add(text)
	}
	f.Add(exampleJSON(f))
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "\ufffd") || strings.Contains(strings.ToLower(text), `\ufffd`) || !strings.Contains(text, "{") || strings.TrimSpace(text)[0] != '{' || strings.Contains(text, "...") {
			return // see FuzzScanJSON; and what Parse takes for YAML
		}
		compareReaders(t, text, options(t))
	})
}

func TestALargeBundleWithManyProblems(t *testing.T) {
	items := make([]string, 3000)
	for i := range items {
		items[i] = assignmentOf(fmt.Sprintf("u%d", i), `,"effect":"x"`)
	}
	_, err := deliver(t, store(t, options(t)), assignmentsOf(items...), options(t))
	if err == nil || !strings.Contains(err.Error(), "b.json:2:") || !strings.Contains(err.Error(), "more problems than are reported") || strings.Count(err.Error(), "\n") > 1100 {
		t.Errorf("%d lines: %.300v", strings.Count(fmt.Sprint(err), "\n"), err)
	}
}

// Whoever writes to the file while it is imported does not get half of it in.
func TestALargeBundleThatChangesWhileItIsRead(t *testing.T) {
	o, name := options(t), filepath.Join(t.TempDir(), "b.json")
	if err := os.WriteFile(name, []byte(assignmentsOf(assignmentOf("u1", ""))), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := bundle.Open(name, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Chtimes(name, time.Time{}, now); err != nil {
		t.Fatal(err)
	}
	s := store(t, o)
	if _, err := f.Deliver(t.Context(), s, snapshot.Change{}); err == nil || !strings.Contains(err.Error(), "has changed while it was read") || s.Current() != nil {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsLarge(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		name, text string
		want       bool
	}{
		{"json", `{"apiVersion":"pathgrant/v1"}`, true},
		{"marked", "\ufeff \n{\"apiVersion\":\"pathgrant/v1\"}\n", true},
		{"yaml", "apiVersion: pathgrant/v1\n...\n", false},
		{"flow", "{apiVersion: pathgrant/v1}\n...\n", false},
		{"empty", "", false},
		{"small", "{}", false},
	} {
		name := filepath.Join(dir, test.name)
		if err := os.WriteFile(name, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := bundle.IsLarge(name, 10); got != test.want || err != nil {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
	for _, name := range []string{filepath.Join(dir, "missing"), dir, os.DevNull} {
		if got, err := bundle.IsLarge(name, 0); got || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	yaml := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(yaml, []byte("apiVersion: pathgrant/v1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(yaml, bundle.MaxYAMLSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.IsLarge(yaml, 10); err == nil || !strings.Contains(err.Error(), "as JSON") {
		t.Errorf("error %v", err)
	}
}

func TestAYAMLBundleThatIsTooLarge(t *testing.T) {
	text := append(bytes.Repeat([]byte("#"), bundle.MaxYAMLSize), "\n...\n"...)
	if _, err := bundle.Parse("b.yaml", text, options(t)); err == nil || !strings.Contains(err.Error(), "as JSON") {
		t.Errorf("error %v", err)
	}
}

// The disk is full, or the reader is gone.
func TestAnExportThatCannotBeWritten(t *testing.T) {
	o := options(t)
	s := store(t, o)
	if _, err := deliver(t, s, exampleJSON(t), o); err != nil {
		t.Fatal(err)
	}
	err := s.ExportEach(t.Context(), t.TempDir(), func(from *snapshot.Export) error {
		return bundle.WriteExport(brokenPipe{}, from, bundle.JSON)
	})
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v", err)
	}
	if s.Current() == nil {
		t.Error("the store was set aside for it")
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
