package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
)

// largeJSON writes a bundle that is too large to be held in memory, with n role
// assignments, the last of them spelled as given.
func largeJSON(t *testing.T, file string, n int, last string) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(`{"apiVersion":"pathgrant/v1","tenants":[{"roleAssignments":[`)
	for i := range n {
		fmt.Fprintf(&b, "\n{\"principalType\":\"User\",\"principalObjectId\":\"5a3e0000-0000-4000-8000-%012x\",\"roleDefinitionName\":\"Power Platform Reader\",\"scope\":\"/tenants/t1/environments/e%d\",\"createdOn\":\"2026-01-01T00:00:00Z\"},", i/7, i%7)
	}
	b.WriteString("\n" + last + `],"id":"t1","environments":[`)
	for i := range 7 {
		fmt.Fprintf(&b, `%s{"id":"e%d"}`, strings.Repeat(",", min(i, 1)), i)
	}
	b.WriteString("]}]}")
	if int64(b.Len()) < largeBundle {
		t.Fatalf("the bundle has %d bytes", b.Len())
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// A bundle of any size goes in and comes out, and what comes out goes in and comes out
// again byte for byte.
func TestALargeBundleIsImportedAndExported(t *testing.T) {
	defer func(size int64) { largeBundle = size }(largeBundle)
	largeBundle = 4 << 20
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	const n = 24_000
	good := `{"principalType":"User","principalObjectId":"last","roleDefinitionName":"Power Platform Reader","scope":"/tenants/t1"}`
	largeJSON(t, path("good.json"), n, good)
	code, stdout, stderr := command(t, "import", path("good.json"), "--data", path("d1"))
	if want := regexp.MustCompile(`^\S+good\.json: 1 tenants, 24001 role assignments, revision \d+\.1\n$`); code != exitOK || !want.MatchString(stdout) {
		t.Fatalf("code %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, stderr = command(t, "export", "--data", path("d1"), "-o", "json", "--out", path("one.json")); code != exitOK || stdout != "" {
		t.Fatalf("code %d, %q, %q", code, stdout, stderr)
	}
	if code, _, stderr = command(t, "import", path("one.json"), "--data", path("d2")); code != exitOK {
		t.Fatalf("code %d, %q", code, stderr)
	}
	if code, _, stderr = command(t, "export", "--data", path("d2"), "-o", "json", "--out", path("two.json")); code != exitOK {
		t.Fatalf("code %d, %q", code, stderr)
	}
	one, err := os.ReadFile(path("one.json"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(path("two.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) || int64(len(one)) < largeBundle {
		t.Errorf("exported again, %d bytes are %d others", len(one), len(two))
	}
	// The same once more is no revision more.
	if code, stdout, stderr = command(t, "import", path("one.json"), "--data", path("d1")); code != exitOK || !strings.HasSuffix(stdout, ".1\n") {
		t.Errorf("code %d, %q, %q", code, stdout, stderr)
	}
	// A broken one changes nothing, whether it is only checked or not.
	largeJSON(t, path("bad.json"), n, strings.Replace(good, "Reader", "Writer", 1)+",\n"+strings.Replace(good, `"last"`, `"5A3E0000-0000-4000-8000-000000000000"`, 1)+",\n"+
		`{"principalType":"User","principalObjectId":"5a3e0000-0000-4000-8000-000000000000","roleDefinitionName":"Power Platform Reader","scope":"/tenants/t1/environments/e0"}`)
	for _, args := range [][]string{{"import", path("bad.json"), "--data", path("d1")}, {"import", path("bad.json"), "--dry-run"}} {
		code, stdout, stderr = command(t, args...)
		for _, want := range []string{
			`bad.json:24002:73: tenants[0].roleAssignments[24000].roleDefinitionName: there is no role "Power Platform Writer"`,
			`bad.json:24004:1: tenants[0].roleAssignments[24002]: the assignment on line 2 has the same principal, role and scope`,
		} {
			if code != exitError || stdout != "" || !strings.Contains(stderr, want) {
				t.Errorf("%v: code %d, %q, %.2000q does not say %q", args, code, stdout, stderr, want)
			}
		}
	}
	if code, stdout, stderr = command(t, "import", path("good.json"), "--dry-run"); code != exitOK || !strings.HasSuffix(stdout, "24001 role assignments, not imported\n") {
		t.Errorf("code %d, %q, %q", code, stdout, stderr)
	}
	if code, _, stderr = command(t, "export", "--data", path("d1"), "-o", "json", "--out", path("three.json")); code != exitOK {
		t.Fatalf("code %d, %q", code, stderr)
	}
	if three, err := os.ReadFile(path("three.json")); err != nil || !bytes.Equal(one, three) {
		t.Errorf("the data changed: %v", err)
	}
	if left, err := filepath.Glob(path("*/*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("%q was left behind, %v", left, err)
	}
}

func TestProgressInLines(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	now := p.began
	p.now = func() time.Time { return now }
	for i := range 200 { // a tenth of a second each
		now = p.began.Add(time.Duration(i) * 100 * time.Millisecond)
		p.show(snapshot.Progress{Step: "reading", Done: uint64(i), Total: 200})
	}
	p.end()
	if want := "reading: 25% after 5s\nreading: 50% after 10s\nreading: 75% after 15s\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	p.terminal = true
	now := p.began
	p.now = func() time.Time { return now }
	p.show(snapshot.Progress{Step: "reading", Done: 1, Total: 2}) // too soon
	now = now.Add(time.Second)
	p.show(snapshot.Progress{Step: "reading", Done: 1, Total: 2})
	p.show(snapshot.Progress{Step: "reading", Done: 2, Total: 2}) // too soon again
	p.show(snapshot.Progress{Step: "writing", Done: 3, Total: 0}) // another step
	p.end()
	p.end()
	blank := "\r" + strings.Repeat(" ", 60) + "\r"
	want := "\rreading    [===============               ]  50% 1s \rwriting    [==============================] 100% 1s " + blank
	if b.String() != want {
		t.Errorf("\n got %q\nwant %q", b.String(), want)
	}
}
