package snapshot_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// backupOf is a backup of a store of its own with the data, two log records and a note.
func backupOf(t testing.TB, d *snapshot.Data) []byte {
	t.Helper()
	s := opened(t, options(t.TempDir()))
	replace(t, s, d)
	if _, err := s.Update(t.Context(), snapshot.Change{Source: "test"}, func(e *snapshot.Edit) error {
		_, err := e.AppendLog([]byte("one"))
		_, err2 := e.AppendLog([]byte("two"))
		return errors.Join(err, err2, e.PutNote("notes", "k", []byte("v")))
	}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := s.Backup(t.Context(), &b, nil); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	return b.Bytes()
}

// resealed is a backup with its file changed and a checksum that fits again.
func resealed(backup []byte, change func(file []byte) []byte) []byte {
	head, rest, _ := bytes.Cut(backup, []byte("\n"))
	file := change(bytes.Clone(rest[:len(rest)-sha256.Size]))
	words := strings.Fields(string(head))
	words[len(words)-1] = strconv.Itoa(len(file))
	whole := append([]byte(strings.Join(words, " ")+"\n"), file...)
	sum := sha256.Sum256(whole)
	return append(whole, sum[:]...)
}

// tree is every file in a directory and below it, by name, but for the lock.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func unchanged(t testing.TB, before map[string]string, dir string) {
	t.Helper()
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("the directory was changed: %.500s", diff)
	}
}

func TestARestoreBringsBackEverythingInANewEpoch(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	replace(t, s, without(withOwners(), "a1"))
	if _, err := s.Update(t.Context(), snapshot.Change{Source: "admin", Note: "a word"}, func(e *snapshot.Edit) error {
		_, err := e.AppendLog([]byte("one"))
		return errors.Join(err, e.PutNote("notes", "k", []byte("v")), e.PutRoleAssignment("t1", sample().Tenants[0].RoleAssignments[0]))
	}); err != nil {
		t.Fatal(err)
	}
	var told authz.Revision
	var b bytes.Buffer
	at, err := s.Backup(t.Context(), &b, func(r authz.Revision) error {
		told = r
		if b.Len() > 0 {
			t.Error("something was written before the revision was told")
		}
		return nil
	})
	if err != nil || at != s.Current().Revision() || told != at || at.Number != 2 {
		t.Fatalf("revision %v, told %v, %v", at, told, err)
	}
	later := replace(t, s, without(sample(), "a2")) // which the restore takes back
	file := s.FileName()
	closed(t, s)
	noTemporaryFiles(t, o.Dir)
	former := tree(t, o.Dir)[file]

	restored, err := snapshot.Restore(t.Context(), o, &b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if restored.Epoch <= later.Epoch || restored.Number != 1 {
		t.Errorf("restored as %v after %v", restored, later)
	}
	noTemporaryFiles(t, o.Dir)
	s = open(t, o)
	if got := s.Current().Revision(); got != restored {
		t.Errorf("revision %v, want %v", got, restored)
	}
	d, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(withOwners(), d); diff != "" {
		t.Error(diff)
	}
	for name, a := range answers {
		if got := held(t, s, subject(t, a.of)); got != a.want {
			t.Errorf("%s holds %q, want %q", name, got, a.want)
		}
	}
	if err := s.Read(t.Context(), func(r *snapshot.Reader) error {
		n, record, err := r.LastLog()
		note, err2 := r.Note("notes", "k")
		if n != 1 || string(record) != "one" || string(note) != "v" {
			t.Errorf("log %d %q, note %q", n, record, note)
		}
		return errors.Join(err, err2)
	}); err != nil {
		t.Fatal(err)
	}
	entries, err := s.Journal(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, e := range entries {
		said = append(said, fmt.Sprintf("%s|%s|%v", e.Source, e.Note, e.Whole))
	}
	want := []string{"test||true", "admin|a word|false", fmt.Sprintf("restore|restored from a backup of revision 2 of epoch %d|true", at.Epoch)}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
	// Whoever asks for a revision of before is answered, and does not wait for ever.
	if snap, err := s.Await(t.Context(), later); err != nil || snap.Revision() != restored {
		t.Errorf("%v, %v", snap, err)
	}
	// What was there can be found.
	aside, err := filepath.Glob(filepath.Join(o.Dir, "quarantine", file+".*"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("set aside: %q, %v", aside, err)
	}
	if content, err := os.ReadFile(aside[0]); err != nil || string(content) != former {
		t.Errorf("what was set aside is not what was there: %v", err)
	}
	// And changes go on.
	if got, want := replace(t, s, without(sample(), "a1")), (authz.Revision{Epoch: restored.Epoch, Number: 2}); got != want {
		t.Errorf("revision %v, want %v", got, want)
	}
}

func TestARestoreIntoADirectoryThatDoesNotExist(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "new"))
	if _, err := snapshot.Restore(t.Context(), o, bytes.NewReader(backupOf(t, version(7))), nil); err != nil {
		t.Fatal(err)
	}
	s := open(t, o)
	if got, err := versionOf(t.Context(), s); err != nil || got != 7 {
		t.Errorf("version %d, %v", got, err)
	}
	for _, name := range files(t, o.Dir) {
		if !strings.HasSuffix(name, "-rw-------") {
			t.Errorf("%s can be read by others, or should not be there", name)
		}
	}
}

// The entry that a restore makes in the change log is in the same revision, and what
// cannot be recorded is not restored.
func TestARestoreIsRecordedInItsRevision(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	replace(t, s, version(1))
	closed(t, s)
	before := tree(t, o.Dir)
	backup := backupOf(t, version(2))
	refused := errors.New("no")
	_, err := snapshot.Restore(t.Context(), o, bytes.NewReader(backup), func(e *snapshot.Edit) error {
		_, err := e.AppendLog([]byte("never"))
		return errors.Join(err, refused)
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	unchanged(t, before, o.Dir)
	at, err := snapshot.Restore(t.Context(), o, bytes.NewReader(backup), func(e *snapshot.Edit) error {
		if e.Next().Number != 1 || e.DataSum() != e.Base().DataSum() {
			t.Errorf("next %v, sums %x and %x", e.Next(), e.DataSum(), e.Base().DataSum())
		}
		_, err := e.AppendLog([]byte("Restore"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	if n, record, err := logged(t.Context(), s); n != 3 || record != "Restore" || err != nil || s.Current().Revision() != at {
		t.Errorf("log %d %q %v, revision %v", n, record, err, s.Current().Revision())
	}
}

// A backup that was cut short or altered anywhere is refused, and nothing is changed.
func TestADamagedBackupIsRefused(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	replace(t, s, version(1))
	closed(t, s)
	before := tree(t, o.Dir)
	backup := backupOf(t, version(2))
	refuse := func(what string, bad []byte) {
		t.Helper()
		if _, err := snapshot.Restore(t.Context(), o, bytes.NewReader(bad), nil); !errors.Is(err, snapshot.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for length := 0; length < len(backup); length += 1 + length/40 {
		refuse(fmt.Sprintf("cut to %d", length), backup[:length])
	}
	for n := range sha256.Size {
		refuse(fmt.Sprintf("%d bytes short", n+1), backup[:len(backup)-1-n])
	}
	refuse("one byte more", append(bytes.Clone(backup), 0))
	for i := range 80 { // the head
		bad := bytes.Clone(backup)
		bad[i] ^= 1
		refuse(fmt.Sprintf("byte %d", i), bad)
	}
	for i := 80; i < len(backup); i += 997 {
		bad := bytes.Clone(backup)
		bad[i] ^= 0x10
		refuse(fmt.Sprintf("byte %d", i), bad)
	}
	refuse("nothing inside", resealed(backup, func([]byte) []byte { return []byte("x") }))
	other := bytes.Replace(backup, []byte(" revision 2 "), []byte(" revision 3 "), 1)
	refuse("another revision", resealed(other, func(file []byte) []byte { return file }))
	unchanged(t, before, o.Dir)

	_, err := snapshot.Restore(t.Context(), o, strings.NewReader("apiVersion: pathgrant/v1\n"), nil)
	wantErr(t, err, snapshot.ErrCorrupt, "does not begin as a backup does")
	_, err = snapshot.Restore(t.Context(), o, bytes.NewReader(backup[:len(backup)/2]), nil)
	wantErr(t, err, snapshot.ErrCorrupt, "cut short")
	_, err = snapshot.Restore(t.Context(), o, bytes.NewReader(bytes.Replace(backup, []byte("backup 1"), []byte("backup 2"), 1)), nil)
	wantErr(t, err, snapshot.ErrSchema, "pathgrant backup 2")
}

func TestABackupThatDoesNotFitIsRefused(t *testing.T) {
	good := options(t.TempDir())
	s := opened(t, good)
	replace(t, s, version(1))
	closed(t, s)
	before := tree(t, good.Dir)
	backup := backupOf(t, version(2))
	folded, narrow := good, good
	folded.FoldCase = true
	narrow.ShippedRoles = good.ShippedRoles[:1]
	newer := resealed(backup, func(file []byte) []byte {
		path := filepath.Join(t.TempDir(), "f")
		if err := errors.Join(os.WriteFile(path, file, 0o600), snapshot.RaiseSchema(path)); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return file
	})
	for name, c := range map[string]struct {
		o      snapshot.Options
		backup []byte
		want   error
		word   string
	}{
		"identifiers compared in another way": {folded, backup, snapshot.ErrCatalogue, "caseInsensitivePaths"},
		"a role that does not exist":          {narrow, backup, snapshot.ErrCatalogue, contributorRole},
		"a newer release's":                   {good, newer, snapshot.ErrSchema, "layout 4"},
	} {
		_, err := snapshot.Restore(t.Context(), c.o, bytes.NewReader(c.backup), nil)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", name, err)
		}
	}
	unchanged(t, before, good.Dir)
	s = opened(t, good)
	_, err := snapshot.Restore(t.Context(), good, bytes.NewReader(backup), nil)
	wantErr(t, err, snapshot.ErrLocked)
	closed(t, s)
	// The one that is good still is.
	if _, err := snapshot.Restore(t.Context(), good, bytes.NewReader(backup), nil); err != nil {
		t.Error(err)
	}
}

// Whatever state a directory is in, a backup can be restored over it, in an epoch above
// every one that it tells of, whatever the clock says, and nothing of it is lost.
func TestARestoreOverADamagedDirectory(t *testing.T) {
	backup := backupOf(t, version(2))
	dir, file, at := aged(t)
	for name, damage := range map[string]func(dir string) error{
		"no mark":            func(dir string) error { return os.Remove(filepath.Join(dir, "CURRENT")) },
		"a mark cut short":   func(dir string) error { return os.Truncate(filepath.Join(dir, "CURRENT"), 20) },
		"a file cut short":   func(dir string) error { return os.Truncate(filepath.Join(dir, file), 5000) },
		"an empty file":      func(dir string) error { return os.Truncate(filepath.Join(dir, file), 0) },
		"a file that went":   func(dir string) error { return os.Remove(filepath.Join(dir, file)) },
		"nothing the matter": func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(copyDir(t, dir))
			if err := damage(o.Dir); err != nil {
				t.Fatal(err)
			}
			before := tree(t, o.Dir)
			o.Now = func() time.Time { return time.Unix(1000, 0) }
			restored, err := snapshot.Restore(t.Context(), o, bytes.NewReader(backup), nil)
			if err != nil {
				t.Fatal(err)
			}
			if restored.Epoch <= at.Epoch {
				t.Errorf("epoch %d after %d", restored.Epoch, at.Epoch)
			}
			kept := map[string]bool{}
			for name, content := range tree(t, o.Dir) {
				if strings.HasPrefix(name, "quarantine/") {
					kept[content] = true
				}
			}
			for lost, content := range before {
				if lost == "CURRENT" && len(content) > 20 {
					continue // it says nothing that is not known
				}
				if !kept[content] {
					t.Errorf("%s was not set aside", lost)
				}
			}
			s := open(t, o)
			if got, err := versionOf(t.Context(), s); err != nil || got != 2 || s.Stats().Quarantined != 0 {
				t.Errorf("version %d, %v, %+v", got, err, s.Stats())
			}
		})
	}
}

// A backup is of one revision, whatever changes meanwhile, and whoever reads it slowly
// holds nobody up.
func TestABackupWhileEverythingChanges(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, version(0))
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error { return toVersion(e, n) }); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var taken [][]byte
	var revisions []uint64
	for range 5 {
		read, write := io.Pipe()
		announced := make(chan uint64, 1)
		wait.Go(func() {
			_, err := s.Backup(t.Context(), write, func(at authz.Revision) error { announced <- at.Number; return nil })
			_ = write.CloseWithError(err)
		})
		begin := make([]byte, 100)
		if _, err := io.ReadFull(read, begin); err != nil {
			t.Fatal(err)
		}
		// As long as nobody reads on, changes are made all the same.
		now := s.Current().Revision().Number
		until(t, "a change while a backup is being read", func() bool { return s.Current().Revision().Number > now+2 })
		rest, err := io.ReadAll(read)
		if err != nil {
			t.Fatal(err)
		}
		taken, revisions = append(taken, append(begin, rest...)), append(revisions, <-announced)
	}
	close(stop)
	wait.Wait()
	for i, backup := range taken {
		o := options(t.TempDir())
		if _, err := snapshot.Restore(t.Context(), o, bytes.NewReader(backup), nil); err != nil {
			t.Fatal(err)
		}
		r := opened(t, o)
		got, err := versionOf(t.Context(), r)
		n, record, logErr := logged(t.Context(), r)
		if err != nil || logErr != nil || uint64(got) != revisions[i]-1 || n != uint64(got) || n > 0 && record != strconv.Itoa(got) {
			t.Errorf("version %d of revision %v, log %d %q: %v, %v", got, revisions[i], n, record, err, logErr)
		}
		closed(t, r)
	}
	noTemporaryFiles(t, s.Dir())
}

func TestABackupOfAStoreThatIsOnlyRead(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	at := replace(t, s, version(3))
	closed(t, s)
	before := tree(t, o.Dir)
	o.ReadOnly = true
	s = opened(t, o)
	var b bytes.Buffer
	if got, err := s.Backup(t.Context(), &b, nil); err != nil || got != at {
		t.Fatalf("%v, %v, want %v", got, err, at)
	}
	closed(t, s)
	unchanged(t, before, o.Dir)
	to := options(t.TempDir())
	if _, err := snapshot.Restore(t.Context(), to, &b, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := versionOf(t.Context(), open(t, to)); err != nil || got != 3 {
		t.Errorf("version %d, %v", got, err)
	}
}

func TestABackupThatCannotBeMade(t *testing.T) {
	s := open(t, options(t.TempDir()))
	_, err := s.Backup(t.Context(), io.Discard, nil)
	wantErr(t, err, snapshot.ErrNotReady)
	replace(t, s, version(1))
	refused := errors.New("no room")
	if _, err := s.Backup(t.Context(), &failing{after: 3000, err: refused}, nil); !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	if _, err := s.Backup(t.Context(), io.Discard, func(authz.Revision) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Backup(ended, io.Discard, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	noTemporaryFiles(t, s.Dir())
	replace(t, s, version(2))
}

type failing struct {
	after int
	err   error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, f.err
	}
	return len(p), nil
}

// A backup that holds an older layout is converted.
func TestABackupOfAnOlderLayout(t *testing.T) {
	golden := filepath.Join("testdata", "schema-1")
	file, err := os.ReadFile(filepath.Join(golden, "snapshot-1.db"))
	if err != nil {
		t.Fatal(err)
	}
	mark, err := os.ReadFile(filepath.Join(golden, "CURRENT"))
	if err != nil {
		t.Fatal(err)
	}
	var epoch uint64
	if _, err := fmt.Sscanf(strings.SplitN(string(mark), "\n", 3)[1], "epoch %d", &epoch); err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("pathgrant backup 1 epoch %d revision 2 bytes 1\n", epoch)
	backup := resealed(append([]byte(head), make([]byte, 1+sha256.Size)...), func([]byte) []byte { return file })
	o := options(t.TempDir())
	restored, err := snapshot.Restore(t.Context(), o, bytes.NewReader(backup), func(e *snapshot.Edit) error {
		_, err := e.AppendLog([]byte("Restore"))
		return err
	})
	if err != nil || restored.Epoch <= epoch {
		t.Fatalf("%v, %v", restored, err)
	}
	s := open(t, o)
	d, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), d); diff != "" {
		t.Error(diff)
	}
	if n, record, err := logged(t.Context(), s); n != 1 || record != "Restore" || err != nil {
		t.Errorf("log %d %q %v", n, record, err)
	}
	narrow := options(t.TempDir())
	narrow.ShippedRoles = narrow.ShippedRoles[:1]
	_, err = snapshot.Restore(t.Context(), narrow, bytes.NewReader(backup), nil)
	wantErr(t, err, snapshot.ErrCatalogue, contributorRole)
}

// backupVariable begins the names of the two files that a child restores in turn.
const backupVariable = "PATHGRANT_SNAPSHOT_BACKUP"

// restoreForEver restores one backup after the other and prints each that is in force.
func restoreForEver() error {
	ctx := context.Background()
	for n := 1; ; n++ {
		content, err := os.ReadFile(os.Getenv(backupVariable) + strconv.Itoa(n%2))
		if err != nil {
			return err
		}
		if _, err := snapshot.Restore(ctx, options(os.Getenv(dirVariable)), bytes.NewReader(content), func(e *snapshot.Edit) error {
			_, err := e.AppendLog(fmt.Append(nil, n%2))
			return err
		}); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, n%2)
	}
}

func TestAKilledRestoreLeavesTheOldOrTheNew(t *testing.T) {
	o := options(t.TempDir())
	backups := filepath.Join(t.TempDir(), "backup-")
	for n := range 2 {
		if err := os.WriteFile(backups+strconv.Itoa(n), backupOf(t, version(n)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := opened(t, o)
	at := replace(t, s, version(0))
	closed(t, s)
	old, changed := 0, 0
	for run := range 40 {
		cmd := child(t, "restore", o.Dir)
		cmd.Env = append(cmd.Env, backupVariable+"="+backups)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		last := ""
		for wait := run % 3; wait > 0 && lines.Scan(); wait-- {
			last = lines.Text()
		}
		timer := time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			last = lines.Text()
		}
		_ = cmd.Wait() // it was killed
		timer.Stop()

		s := opened(t, o)
		got, err := versionOf(t.Context(), s)
		if err != nil {
			t.Fatalf("run %d: %v (%+v)", run, err, s.Stats())
		}
		now := s.Current().Revision()
		switch n, record, err := logged(t.Context(), s); {
		case now == at && last != "":
			t.Fatalf("run %d: revision %v, although a restore was acknowledged", run, at)
		case now == at:
			old++
		case now.Epoch <= at.Epoch:
			t.Fatalf("run %d: revision %v after %v", run, now, at)
		case err != nil || n != 3 || record != strconv.Itoa(got):
			t.Fatalf("run %d: version %d with the log %d %q, %v", run, got, n, record, err)
		default:
			changed++
		}
		if s.Stats().Quarantined != 0 {
			t.Fatalf("run %d: something was found damaged: %s", run, s.Stats().Problem)
		}
		closed(t, s)
		noTemporaryFiles(t, o.Dir)
		at = now
	}
	t.Logf("%d times the old, %d times the new", old, changed)
}

// Whatever file stands in a backup, with checksums of the backup that fit, restoring it
// ends; it grants what the good one grants, or changes nothing.
func FuzzRestoreImage(f *testing.F) {
	backup := backupOf(f, sample())
	f.Add(0, []byte{})
	f.Add(4096*2+8, []byte{0x10, 0})
	f.Add(4096*3, []byte{3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0})
	f.Add(4096*5+200, []byte("xyz"))
	f.Fuzz(func(t *testing.T, at int, patch []byte) {
		bad := resealed(backup, func(file []byte) []byte {
			if at >= 0 && at < len(file) {
				copy(file[at:], patch)
			}
			return file
		})
		o := options(t.TempDir())
		s := opened(t, o)
		before := replace(t, s, without(sample(), "a1"))
		closed(t, s)
		restored, err := snapshot.Restore(t.Context(), o, bytes.NewReader(bad), nil)
		s = opened(t, o)
		defer closed(t, s)
		if err != nil {
			if s.Current() == nil || s.Current().Revision() != before {
				t.Fatalf("after %v: %+v", err, s.Stats())
			}
			return
		}
		if s.Current().Revision() != restored {
			t.Fatalf("revision %v, want %v", s.Current().Revision(), restored)
		}
		for name, a := range answers {
			if got := held(t, s, subject(t, a.of)); got != a.want {
				t.Errorf("%s holds %q, want %q", name, got, a.want)
			}
		}
	})
}
