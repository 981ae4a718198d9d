package snapshot_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Every layout that a release has written must open for ever. A golden directory is
// written once, when its layout is new, and never changed. bbolt's files are of the
// machine's byte order and page size; those here are little-endian, with pages of 4 KiB.
//
// Layout 1 is what this one holds; nothing writes it any more.
func TestTheGoldenDirectoryOfLayout1(t *testing.T) {
	golden := filepath.Join("testdata", "schema-1")
	dir := copyDir(t, golden)
	var bytes int64
	for _, name := range []string{"CURRENT", "snapshot-1.db"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	if bytes > 100<<10 {
		t.Errorf("the directory has %d bytes", bytes)
	}
	s := open(t, options(dir))
	if s.Current() == nil || s.Current().Revision().Number != 2 {
		t.Fatalf("%+v", s.Stats())
	}
	for name, a := range answers {
		if got := held(t, s, subject(t, a.of)); got != a.want {
			t.Errorf("%s holds %q, want %q", name, got, a.want)
		}
	}
	d, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), d); diff != "" {
		t.Error(diff)
	}
	if got, want := replace(t, s, without(sample(), "a1")), (authz.Revision{Epoch: s.Current().Revision().Epoch, Number: 3}); got != want {
		t.Errorf("revision %v, want %v", got, want)
	}
}

// Whatever bytes are found as a database, opening them ends, and nobody is granted
// anything that the good file does not grant.
func FuzzDatabaseImage(f *testing.F) {
	golden := filepath.Join("testdata", "schema-1")
	content, err := os.ReadFile(filepath.Join(golden, "snapshot-1.db"))
	if err != nil {
		f.Fatal(err)
	}
	mark, err := os.ReadFile(filepath.Join(golden, "CURRENT"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(0, []byte{})
	f.Add(4096*2+8, []byte{0x10, 0})
	f.Add(4096*3, []byte{3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0})
	f.Add(16, []byte{0xED, 0xDA, 0x0C, 0xED})
	f.Fuzz(func(t *testing.T, at int, patch []byte) {
		dir := t.TempDir()
		image := append([]byte(nil), content...)
		if at < 0 || at > len(image) {
			return
		}
		copy(image[at:], patch)
		for name, text := range map[string][]byte{"CURRENT": mark, "snapshot-1.db": image} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := snapshot.Open(t.Context(), options(dir))
		if err != nil {
			return
		}
		defer closed(t, s)
		if s.Current() == nil {
			return
		}
		for name, a := range answers {
			if got := held(t, s, subject(t, a.of)); got != a.want {
				t.Errorf("%s holds %q, want %q", name, got, a.want)
			}
		}
	})
}
