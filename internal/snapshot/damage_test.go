package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// answers are what a few subjects of the sample hold.
var answers = map[string]struct {
	of   authz.SubjectSpec
	want string
}{
	"ada":   {authz.SubjectSpec{Principal: user("ada")}, "a1 a2 a3 a5"},
	"bot":   {authz.SubjectSpec{Principal: app("bot")}, "a2 a3 a4 a5"},
	"eve":   {authz.SubjectSpec{Principal: user("eve")}, "disabled a2 a3 a5"},
	"zoe":   {authz.SubjectSpec{Principal: user("zoe")}, ""},
	"admin": {authz.SubjectSpec{Principal: user("zoe"), DirectoryRoles: []string{"admins"}}, "a6"},
}

// bulky is the sample with enough besides to need a tree of pages.
func bulky() *snapshot.Data {
	d := sample()
	t := &d.Tenants[0]
	for i := range 120 {
		id := fmt.Sprintf("f%03d", i)
		t.RoleAssignments = append(t.RoleAssignments, allow(id, user(id), readerRole, "/environments/e1"))
	}
	addItems(t)
	return d
}

// addItems adds two of everything that an environment can hold, in canonical order, and
// nothing that the answers are about.
func addItems(t *snapshot.Tenant) {
	for i := range 2 {
		id := fmt.Sprintf("i%d", i)
		t.Tables = append(t.Tables, snapshot.Table{Environment: "e2", Table: authz.Table{Name: id, Ownership: authz.UserOwned, SecuredColumns: []string{"c"}}})
		t.Users = append(t.Users, snapshot.EnvironmentUser{Environment: "e2", Principal: user(id), BusinessUnit: "b1"})
		t.Teams = append(t.Teams, snapshot.Team{ID: id, Environment: "e2", Kind: authz.OwnerTeamHolder, Members: []authz.Principal{user(id)}})
		t.ColumnProfiles = append(t.ColumnProfiles, snapshot.ColumnProfile{
			ID: id, Environment: "e2", Columns: []snapshot.ColumnRight{{Table: id, Column: "c", Rights: reading}}, Principals: []authz.Principal{user(id)},
		})
		t.Shares = append(t.Shares, snapshot.Share{Environment: "e2", Table: id, Record: "r", Share: authz.Share{WithOrganization: true, Rights: reading}})
		t.Apps = append(t.Apps, snapshot.App{ID: id, Environment: "e2", Tables: []snapshot.TableUse{{Table: id}}})
		t.Flows = append(t.Flows, snapshot.Flow{ID: id, Environment: "e2", Maker: user(id)})
	}
}

// aged makes a directory whose file has seen a few revisions and holds bulky data.
func aged(t testing.TB) (dir, file string, at authz.Revision) {
	t.Helper()
	o := options(t.TempDir())
	s := opened(t, o)
	replace(t, s, without(bulky(), "a1"))
	replace(t, s, without(bulky(), "a2"))
	at = replace(t, s, bulky())
	file = s.FileName()
	closed(t, s)
	return o.Dir, file, at
}

// damaged puts a directory together from CURRENT and a changed file.
func damaged(t testing.TB, dir, file string, content []byte) string {
	t.Helper()
	to := t.TempDir()
	current, err := os.ReadFile(filepath.Join(dir, "CURRENT"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"CURRENT": current, file: content} {
		if err := os.WriteFile(filepath.Join(to, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// mustBeSafe opens a directory that may be damaged. Either everything is as it was, or
// there is no snapshot, the file is set aside, and the data delivered again mends it.
// It tells whether everything was as it was.
func mustBeSafe(t *testing.T, dir string, at authz.Revision, atOnce uint64) bool {
	t.Helper()
	s, err := snapshot.OpenLimits(t.Context(), options(dir), atOnce, 50_000)
	if err != nil {
		t.Fatalf("opening failed: %v", err)
	}
	defer closed(t, s)
	check := func(mayBeUnready bool) {
		t.Helper()
		for name, a := range answers {
			found, err := s.View(t.Context(), subject(t, a.of))
			switch {
			case err == nil && describe(found.View) != a.want:
				t.Errorf("%s holds %q, want %q", name, describe(found.View), a.want)
			case err == nil && found.Snapshot.Revision() != at:
				t.Errorf("%s was answered from revision %v, want %v", name, found.Snapshot.Revision(), at)
			case err != nil && !errors.Is(err, snapshot.ErrNotReady):
				t.Errorf("%s: %v", name, err)
			case err != nil && !mayBeUnready:
				t.Errorf("%s is not ready: %v", name, err)
			}
		}
	}
	check(true)
	s.Verified()
	if s.Current() != nil {
		check(false)
	}
	if s.Current() != nil {
		d, err := s.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bulky(), d); diff != "" {
			t.Error(diff)
		}
		if got := s.Stats().Quarantined; got != 0 {
			t.Errorf("%d files were set aside", got)
		}
		// What is good must be good to write to, too.
		replace(t, s, without(bulky(), "a5"))
		if got, want := held(t, s, caller(t, user("ada"))), "a1 a2 a3"; got != want {
			t.Errorf("after a change, ada holds %q, want %q", got, want)
		}
		return true
	}
	if got := s.Stats(); got.Quarantined == 0 || got.Ready || got.Problem == "" {
		t.Errorf("nothing was set aside: %+v", got)
	}
	healed := replace(t, s, bulky())
	if healed.Epoch <= at.Epoch {
		t.Errorf("epoch %d after epoch %d", healed.Epoch, at.Epoch)
	}
	for name, a := range answers {
		if got := held(t, s, subject(t, a.of)); got != a.want {
			t.Errorf("mended, %s holds %q, want %q", name, got, a.want)
		}
	}
	return false
}

func TestEveryFlippedBitIsSeenOrDoesNoHarm(t *testing.T) {
	dir, file, at := aged(t)
	content, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	// In each page its header, the first elements, and places all over it.
	places := []int{0, 8, 10, 12, 16, 20, 24, 28, 36, 40, 48, 56, 72, 79}
	for at := 96; at < page; at += 531 {
		places = append(places, at)
	}
	for _, atOnce := range []uint64{1000, 0} {
		good, bad := 0, 0
		for p := 0; p+page <= len(content); p += page {
			for i, place := range places {
				if atOnce == 0 && i%3 != p/page%3 {
					continue // the walk of the structure is the same: a third will do
				}
				bit := byte(1) << ((p/page + i) % 8)
				content[p+place] ^= bit
				if mustBeSafe(t, damaged(t, dir, file, content), at, atOnce) {
					good++
				} else {
					bad++
				}
				content[p+place] ^= bit
				if t.Failed() {
					t.Fatalf("bit %#x at %d of page %d, verified at once up to %d", bit, place, p/page, atOnce)
				}
			}
		}
		t.Logf("verified at once up to %d: %d flips did no harm, %d were seen", atOnce, good, bad)
		if bad < 80 {
			t.Errorf("only %d flips were seen", bad)
		}
	}
}

func TestEveryTruncationIsSeenOrDoesNoHarm(t *testing.T) {
	dir, file, at := aged(t)
	content, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	sizes := []int{0, 1, 15, 79, 80, 511, page - 1, page + 1, page + 79, 2*page - 1, len(content) - 1}
	for size := page; size <= len(content); size += page {
		sizes = append(sizes, size, size-17)
	}
	for _, size := range sizes {
		whole := mustBeSafe(t, damaged(t, dir, file, content[:size]), at, 1000)
		if size < 4*page && whole || size == len(content) && !whole || t.Failed() {
			t.Fatalf("cut to %d bytes of %d: as it was: %t", size, len(content), whole)
		}
	}
}

func TestDamageIsSetAside(t *testing.T) {
	page := os.Getpagesize()
	for _, c := range []struct {
		name   string
		damage func(b []byte) []byte
		word   string
	}{
		{"a page of zeros", func(b []byte) []byte { return make([]byte, page) }, "meta pages"},
		{"all zeros", func(b []byte) []byte { return make([]byte, len(b)) }, "meta pages"},
		{"text", func([]byte) []byte { return []byte(strings.Repeat("not a database ", 1000)) }, "meta pages"},
		{"both meta pages gone", func(b []byte) []byte { clear(b[:2*page]); return b }, "meta pages"},
		{"the newest meta page gone", func(b []byte) []byte {
			newest := 0
			if b[16+48] < b[page+16+48] { // the transaction's number
				newest = page
			}
			clear(b[newest : newest+page])
			return b
		}, "gone back to revision 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, file, at := aged(t)
			content, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			to := damaged(t, dir, file, c.damage(content))
			o := options(to)
			o.ReadOnly = true
			_, err = snapshot.Open(t.Context(), o)
			wantErr(t, err, snapshot.ErrCorrupt, c.word)
			if _, err := os.Stat(filepath.Join(to, file)); err != nil {
				t.Fatalf("reading only moved the file: %v", err)
			}
			if mustBeSafe(t, to, at, 1000) {
				t.Error("it was served")
			}
			kept, err := os.ReadDir(filepath.Join(to, "quarantine"))
			if err != nil || len(kept) != 1 || !strings.HasPrefix(kept[0].Name(), file+".") {
				t.Errorf("quarantine holds %v, %v", kept, err)
			}
		})
	}
}

// An older copy of the file, whole and in order, must not be served.
func TestAnOlderFileIsRefused(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	replace(t, s, sample())
	file := s.FileName()
	closed(t, s)
	old, err := os.ReadFile(filepath.Join(o.Dir, file))
	if err != nil {
		t.Fatal(err)
	}
	s = opened(t, o)
	at := replace(t, s, without(sample(), "a1"))
	closed(t, s)
	to := damaged(t, o.Dir, file, old)
	s = opened(t, options(to))
	_, err = s.View(t.Context(), caller(t, user("ada")))
	wantErr(t, err, snapshot.ErrNotReady, "gone back to revision 1")
	closed(t, s)
	// Nor after another start, although nothing is left to be refused.
	s = opened(t, options(to))
	_, err = s.View(t.Context(), caller(t, user("ada")))
	wantErr(t, err, snapshot.ErrNotReady, "is missing")
	if s.FirstStart() {
		t.Error("not the first start")
	}
	if r := replace(t, s, sample()); r.Compare(at) <= 0 {
		t.Errorf("revision %v after %v", r, at)
	}
	closed(t, s)
}

func TestAFileOfAnotherEpochIsRefused(t *testing.T) {
	dir, file, at := aged(t)
	other, otherFile, _ := aged(t)
	content, err := os.ReadFile(filepath.Join(other, otherFile))
	if err != nil {
		t.Fatal(err)
	}
	if mustBeSafe(t, damaged(t, dir, file, content), at, 1000) {
		t.Error("it was served")
	}
}

func TestADamagedMarkIsSetAside(t *testing.T) {
	dir, file, at := aged(t)
	mark, err := os.ReadFile(filepath.Join(dir, "CURRENT"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range mark {
		to := copyDir(t, dir)
		bad := []byte(string(mark))
		bad[i] ^= 1
		if err := os.WriteFile(filepath.Join(to, "CURRENT"), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if mustBeSafe(t, to, at, 1000) {
			t.Fatalf("with bit 0 of byte %d of the mark flipped, it was served", i)
		}
	}
	to := copyDir(t, dir)
	if err := os.Remove(filepath.Join(to, "CURRENT")); err != nil {
		t.Fatal(err)
	}
	if mustBeSafe(t, to, at, 1000) {
		t.Error("without the mark it was served")
	}
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		t.Error(err)
	}
}

func TestQuarantineKeepsTheNewest(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	var names []string
	for range 5 {
		replace(t, s, sample())
		names = append(names, s.FileName())
		closed(t, s)
		if err := os.Truncate(filepath.Join(o.Dir, names[len(names)-1]), 100); err != nil {
			t.Fatal(err)
		}
		s = opened(t, o)
	}
	closed(t, s)
	kept, err := os.ReadDir(filepath.Join(o.Dir, "quarantine"))
	if err != nil || len(kept) != 3 {
		t.Fatalf("quarantine holds %v, %v", kept, err)
	}
	for i, e := range kept {
		if !strings.HasPrefix(e.Name(), names[2+i]+".") {
			t.Errorf("quarantine holds %s, want %s", e.Name(), names[2+i])
		}
	}
}

func TestANewerLayoutIsRefused(t *testing.T) {
	dir, file, _ := aged(t)
	if err := snapshot.RaiseSchema(filepath.Join(dir, file)); err != nil {
		t.Fatal(err)
	}
	_, err := snapshot.Open(t.Context(), options(dir))
	wantErr(t, err, snapshot.ErrSchema, "layout 4")
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		t.Errorf("the file of a newer release was moved: %v", err)
	}
}

// Damage within the rules of bbolt: only hashes and counts can see it.
func TestRecordsAddedRemovedOrSwappedAreSeen(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b *bolt.Bucket) error
	}{
		{"one removed", func(b *bolt.Bucket) error { k, _ := b.Cursor().First(); return b.Delete(k) }},
		{"one more", func(b *bolt.Bucket) error { _, v := b.Cursor().First(); return b.Put([]byte("zzz"), v) }},
		{"two swapped", func(b *bolt.Bucket) error {
			c := b.Cursor()
			k1, v1 := c.First()
			k2, v2 := c.Next()
			k1, v1, k2, v2 = clone(k1), clone(v1), clone(k2), clone(v2)
			return errors.Join(b.Put(k1, v2), b.Put(k2, v1))
		}},
		{"an empty value", func(b *bolt.Bucket) error { k, _ := b.Cursor().First(); return b.Put(clone(k), nil) }},
	} {
		for _, bucket := range []string{"grants", "role_assignments", "group_denials", "scopes", "tenants", "environments",
			"tables", "environment_users", "teams", "column_profiles", "shares", "apps", "flows", "environment_teams", "profiled", "shared_tables"} {
			t.Run(fmt.Sprint(c.name, " in ", bucket), func(t *testing.T) {
				dir, file, at := aged(t)
				db, err := bolt.Open(filepath.Join(dir, file), 0o600, nil)
				if err != nil {
					t.Fatal(err)
				}
				err = db.Update(func(tx *bolt.Tx) error { return c.change(tx.Bucket([]byte(bucket))) })
				if err := errors.Join(err, db.Close()); err != nil {
					t.Fatal(err)
				}
				if mustBeSafe(t, copyDir(t, dir), at, 1000) || mustBeSafe(t, dir, at, 0) {
					t.Error("it was served")
				}
			})
		}
	}
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

// A file that is cut while it is served must not end the process, nor hang it.
func TestAFileThatIsCutWhileItIsServed(t *testing.T) {
	for _, size := range []int64{0, 1, int64(os.Getpagesize()), 2 * int64(os.Getpagesize()), 4 * int64(os.Getpagesize())} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			o := options(t.TempDir())
			o.CacheBytes = -1
			s := open(t, o)
			at := replace(t, s, bulky())
			if err := os.Truncate(filepath.Join(o.Dir, s.FileName()), size); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			for range 4 {
				go func() {
					defer func() { ended <- struct{}{} }()
					for name, a := range answers {
						found, err := s.View(t.Context(), subject(t, a.of))
						if err == nil && describe(found.View) != a.want {
							t.Errorf("%s holds %q, want %q", name, describe(found.View), a.want)
						}
						if err != nil && !errors.Is(err, snapshot.ErrNotReady) {
							t.Errorf("%s: %v", name, err)
						}
					}
				}()
			}
			for range 4 {
				<-ended
			}
			if s.Current() != nil || s.Stats().Quarantined != 1 {
				t.Fatalf("still served: %+v", s.Stats())
			}
			if r := replace(t, s, bulky()); r.Epoch <= at.Epoch {
				t.Errorf("epoch %d after %d", r.Epoch, at.Epoch)
			}
			if got, want := held(t, s, caller(t, user("ada"))), "a1 a2 a3 a5"; got != want {
				t.Errorf("mended, holds %q, want %q", got, want)
			}
		})
	}
}

// A record that changes on the disk while it is served is found out when it is read.
func TestARecordThatRotsWhileItIsServed(t *testing.T) {
	o := options(t.TempDir())
	o.CacheBytes = -1
	s := open(t, o)
	at := replace(t, s, sample())
	path := filepath.Join(o.Dir, s.FileName())
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	key := []byte(snapshot.GrantsKey("t1", user("ada")))
	flipped := 0
	for i := bytes.Index(content, key); i >= 0; {
		place := i + len(key) + 30 // somewhere in what ada holds
		if _, err := f.WriteAt([]byte{content[place] ^ 0x40}, int64(place)); err != nil {
			t.Fatal(err)
		}
		flipped++
		next := bytes.Index(content[i+1:], key)
		if next < 0 {
			break
		}
		i += 1 + next
	}
	if flipped == 0 {
		t.Fatal("the record was not found")
	}
	_, err = s.View(t.Context(), caller(t, user("ada")))
	wantErr(t, err, snapshot.ErrNotReady, "checksum", "grants")
	_, err = s.View(t.Context(), caller(t, user("zoe")))
	wantErr(t, err, snapshot.ErrNotReady)
	if st := s.Stats(); st.Ready || st.Quarantined != 1 || !strings.Contains(st.Problem, "checksum") {
		t.Errorf("%+v", st)
	}
	if r := replace(t, s, sample()); r.Epoch <= at.Epoch {
		t.Errorf("revision %v after %v", r, at)
	}
	if got, want := held(t, s, caller(t, user("ada"))), "a1 a2 a3 a5"; got != want {
		t.Errorf("mended, holds %q, want %q", got, want)
	}
}

// A change delivered while the file is cut under it finds that out and mends it.
func TestAFileThatIsCutBeforeAChange(t *testing.T) {
	for _, size := range []int64{0, int64(os.Getpagesize()), 2 * int64(os.Getpagesize()), 4 * int64(os.Getpagesize())} {
		o := options(t.TempDir())
		s := open(t, o)
		at := replace(t, s, bulky())
		if err := os.Truncate(filepath.Join(o.Dir, s.FileName()), size); err != nil {
			t.Fatal(err)
		}
		r := replace(t, s, without(bulky(), "a1"))
		if r.Epoch <= at.Epoch {
			t.Errorf("cut to %d: epoch %d after %d", size, r.Epoch, at.Epoch)
		}
		if got, want := held(t, s, caller(t, user("ada"))), "a2 a3 a5"; got != want {
			t.Errorf("cut to %d: holds %q, want %q", size, got, want)
		}
	}
}

func TestAFileThatIsFinishedIsReplaced(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	at := replace(t, s, sample())
	who := caller(t, user("ada"))
	held(t, s, who)
	s.WaitCache()
	s.FailWrites()
	if got, want := held(t, s, who), "a1 a2 a3 a5"; got != want {
		t.Errorf("holds %q, want %q", got, want)
	}
	if r := replace(t, s, without(sample(), "a1")); r.Epoch <= at.Epoch || r.Number != 1 {
		t.Errorf("revision %v after %v", r, at)
	}
	if got, want := held(t, s, who), "a2 a3 a5"; got != want {
		t.Errorf("holds %q, want %q", got, want)
	}
}

// A commit that may or may not be durable is served in an epoch of its own.
func TestADoubtfulChangeBeginsAnEpoch(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	at := replace(t, s, sample())
	who := caller(t, user("ada"))
	held(t, s, who)
	s.WaitCache()
	why := errors.New("no fsync")
	wantErr(t, s.PublishDoubtful(why), why)
	doubtful := s.Current().Revision()
	if doubtful.Epoch <= at.Epoch || s.Stats().Problem != "no fsync" {
		t.Errorf("revision %v after %v; %q", doubtful, at, s.Stats().Problem)
	}
	before := s.Stats().Hits
	if got, want := held(t, s, who), "a1 a2 a3 a5"; got != want || s.Stats().Hits != before {
		t.Errorf("holds %q, want %q, from the file", got, want)
	}
	if r := replace(t, s, sample()); r.Epoch <= doubtful.Epoch {
		t.Errorf("revision %v after %v", r, doubtful)
	}
	closed(t, s)
}
