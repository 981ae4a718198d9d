package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/source"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// epoch is the beginning of all tests' time.
var epoch = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// fakeStore remembers what it was given.
type fakeStore struct {
	mu      sync.Mutex
	calls   int
	applied []string // the tenants of each Replace that succeeded
	fail    error
	lost    bool
	last    snapshot.Change
}

func (s *fakeStore) Replace(_ context.Context, d *snapshot.Data, c snapshot.Change) (authz.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != nil {
		return authz.Revision{}, s.fail
	}
	var tenants []string
	for _, t := range d.Tenants {
		tenants = append(tenants, t.ID)
	}
	s.applied = append(s.applied, strings.Join(tenants, " "))
	s.last, s.lost = c, false
	return authz.Revision{Epoch: 1, Number: uint64(len(s.applied))}, nil
}

func (s *fakeStore) Current() *snapshot.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost || len(s.applied) == 0 {
		return nil
	}
	return &snapshot.Snapshot{}
}

// A world is a file, a source that watches it, and a clock.
type world struct {
	t     *testing.T
	path  string
	store *fakeStore
	file  *source.File
	now   time.Time
	log   bytes.Buffer
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, path: filepath.Join(t.TempDir(), "bundle.yaml"), store: &fakeStore{}, now: epoch}
	w.watch(w.path)
	return w
}

func (w *world) watch(path string) {
	w.file = source.NewFile(source.FileOptions{
		Path: path, Bundle: bundle.Options{Vocabulary: vocabulary(w.t)}, Store: w.store,
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Now: func() time.Time { return w.now },
	})
}

func vocabulary(tb testing.TB) *authz.Vocabulary {
	tb.Helper()
	v, err := authz.NewVocabulary([]authz.Permission{"PowerApps.Apps.Read"}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func bundleOf(tenants ...string) string {
	text := "apiVersion: pathgrant/v1\ntenants:\n"
	if len(tenants) == 0 {
		text = "apiVersion: pathgrant/v1\ntenants: []\n"
	}
	for _, tenant := range tenants {
		text += "  - id: " + tenant + "\n"
	}
	return text + "...\n"
}

// write puts a text into the file, in place, as of the clock.
func (w *world) write(text string) { w.writeAt(w.path, text, w.now) }

func (w *world) writeAt(path, text string, at time.Time) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		w.t.Fatal(err)
	}
}

// poll lets time pass, looks at the file, and returns the state.
func (w *world) poll(after time.Duration) source.State {
	w.now = w.now.Add(after)
	w.file.Poll(w.t.Context())
	return w.file.State()
}

func (w *world) wantApplied(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.store.applied); diff != "" {
		w.t.Errorf("applied (-want +got):\n%s", diff)
	}
}

func (w *world) wantState(want source.State) {
	w.t.Helper()
	want.Name = "file"
	if diff := cmp.Diff(want, w.file.State()); diff != "" {
		w.t.Errorf("state (-want +got):\n%s", diff)
	}
}

// logged counts the problems in the log.
func (w *world) logged() int { return strings.Count(w.log.String(), "level=ERROR") }

const tick = 250 * time.Millisecond

func at(d time.Duration) time.Time { return epoch.Add(d) }

func TestABundleIsAppliedOnceAndProvenAtEveryLook(t *testing.T) {
	w := newWorld(t)
	w.wantState(source.State{Err: w.path + ": not read yet", Since: epoch})
	w.write(bundleOf("t1"))
	w.poll(tick)
	want := source.State{
		Healthy: true, Since: at(tick), LastProof: at(tick), LastApplied: at(tick), Revision: authz.Revision{Epoch: 1, Number: 1},
	}
	w.wantState(want)
	if w.store.last.Source != "file" || !strings.HasPrefix(string(w.store.last.Position), "sha256:") {
		t.Errorf("the change says %+v", w.store.last)
	}
	for i := 2; i <= 20; i++ { // while the file is young and when it is not
		w.poll(tick)
		want.LastProof = at(time.Duration(i) * tick)
		w.wantState(want)
	}
	w.wantApplied("t1")

	w.write(bundleOf("t2"))
	w.poll(tick)
	want.LastProof, want.LastApplied, want.Revision.Number = at(21*tick), at(21*tick), 2
	w.wantState(want)
	w.wantApplied("t1", "t2")
}

func TestAnEmptyBundleIsApplied(t *testing.T) {
	w := newWorld(t)
	w.write(bundleOf())
	w.poll(tick)
	w.wantApplied("")
}

func TestAYoungFileIsReadAgainThoughItLooksTheSame(t *testing.T) {
	w := newWorld(t)
	w.write(bundleOf("t1"))
	w.poll(tick)
	w.writeAt(w.path, bundleOf("t2"), epoch) // in place: same file, size and time
	w.poll(tick)
	w.wantApplied("t1", "t2")
}

func TestAFileFromTheFutureIsReadAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	w.writeAt(w.path, bundleOf("t1"), at(time.Hour))
	w.poll(tick)
	w.poll(10 * time.Second)
	w.writeAt(w.path, bundleOf("t2"), at(time.Hour))
	w.poll(tick)
	w.wantApplied("t1", "t2")
}

func TestASettledFileIsNotReadAgain(t *testing.T) {
	w := newWorld(t)
	w.writeAt(w.path, bundleOf("t1"), epoch.Add(-time.Hour))
	w.poll(tick)
	w.writeAt(w.path, bundleOf("t2"), epoch.Add(-time.Hour)) // no writer does this: only reading would show it
	w.poll(tick)
	w.wantApplied("t1")
}

func TestABrokenBundleChangesNothingAndStaysVisible(t *testing.T) {
	w := newWorld(t)
	w.write(bundleOf("t1"))
	w.poll(tick)
	w.write("apiVersion: pathgrant/v1\ntenants:\n  - id: t1\n    team: []\n...\n")
	for range 20 {
		w.poll(tick)
	}
	const unknown = `: tenants[0]: unknown key "team": want one of apps, businessUnits, columnProfiles, directoryComplete, environmentGroups, environments, flows, groups, id, principals, roleAssignments, roleDefinitions, shares, tables, teams, users`
	broken := source.State{
		Err: w.path + ":4:5" + unknown, Since: at(2 * tick), Errors: 1,
		LastProof: at(tick), LastApplied: at(tick), Revision: authz.Revision{Epoch: 1, Number: 1},
	}
	w.wantState(broken)
	if w.logged() != 1 {
		t.Errorf("one problem was logged %d times:\n%s", w.logged(), w.log.String())
	}
	w.write(strings.TrimSuffix(bundleOf("t1"), "...\n"))
	w.poll(tick)
	if got := w.file.State(); !strings.Contains(got.Err, ":4:1: the file is incomplete") || got.Errors != 2 || got.LastProof != at(tick) {
		t.Errorf("an unfinished file: %+v", got)
	}
	if w.logged() != 2 {
		t.Errorf("two problems were logged %d times:\n%s", w.logged(), w.log.String())
	}
	w.wantApplied("t1")

	w.write(bundleOf("t1")) // what is in force: it must be proven all the same
	w.poll(tick)
	w.wantState(source.State{
		Healthy: true, Since: at(23 * tick), Errors: 2,
		LastProof: at(23 * tick), LastApplied: at(23 * tick), Revision: authz.Revision{Epoch: 1, Number: 2},
	})
	w.wantApplied("t1", "t1")
}

func TestAMissingBundleIsNotFatal(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.poll(tick)
	}
	if got := w.file.State(); got.Healthy || !strings.Contains(got.Err, "no such file") || got.Errors != 1 {
		t.Errorf("got %+v", got)
	}
	w.write(bundleOf("t1"))
	if got := w.poll(tick); !got.Healthy {
		t.Errorf("it did not recover: %+v", got)
	}
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	if got := w.poll(tick); got.Healthy || got.LastProof != at(4*tick) {
		t.Errorf("the file is gone: %+v", got)
	}
	w.writeAt(w.path, bundleOf("t1"), epoch) // the same again
	if got := w.poll(tick); !got.Healthy || got.LastProof != at(6*tick) {
		t.Errorf("it did not recover: %+v", got)
	}
	if w.logged() != 2 {
		t.Errorf("two problems were logged %d times:\n%s", w.logged(), w.log.String())
	}
}

func TestWhatIsNoRegularFileIsRefusedWithoutBlocking(t *testing.T) {
	w := newWorld(t)
	if err := syscall.Mkfifo(w.path, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := w.poll(tick); got.Err != w.path+": not a regular file" {
		t.Errorf("a pipe: %+v", got)
	}
	w.watch(filepath.Dir(w.path))
	if got := w.poll(tick); !strings.HasSuffix(got.Err, ": not a regular file") {
		t.Errorf("a directory: %+v", got)
	}
}

// Kubernetes mounts a ConfigMap as links into a directory that is itself a link, and
// swaps that.
func TestASwappedLinkIsFollowed(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Dir(w.path)
	version := func(name, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		w.writeAt(filepath.Join(dir, name, "bundle.yaml"), text, epoch.Add(-time.Hour))
		temporary := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(name, temporary); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..v1", bundleOf("t1"))
	if err := os.Symlink(filepath.Join("..data", "bundle.yaml"), w.path); err != nil {
		t.Fatal(err)
	}
	w.poll(tick)
	w.poll(tick)
	version("..v2", bundleOf("t2")) // of the same size and time
	w.poll(tick)
	w.wantApplied("t1", "t2")
	if err := os.RemoveAll(filepath.Join(dir, "..v1")); err != nil {
		t.Fatal(err)
	}
	if got := w.poll(tick); !got.Healthy || got.LastProof != at(4*tick) {
		t.Errorf("got %+v", got)
	}
}

func TestAFileThatIsRenamedOverIsNoticed(t *testing.T) {
	w := newWorld(t)
	w.writeAt(w.path, bundleOf("t1"), epoch.Add(-time.Hour))
	w.poll(tick)
	w.writeAt(w.path+".new", bundleOf("t2"), epoch.Add(-time.Hour))
	if err := os.Rename(w.path+".new", w.path); err != nil {
		t.Fatal(err)
	}
	w.poll(tick)
	w.wantApplied("t1", "t2")
}

func TestWhatCannotBeAppliedIsTriedAgainAfterAWhile(t *testing.T) {
	w := newWorld(t)
	w.write(bundleOf("t1"))
	w.poll(tick)
	w.store.fail = errors.New("no space left on device")
	w.write(bundleOf("t2"))
	w.poll(tick) // the second call, and at 1, 3, 7, 15, 31, 61, 91 seconds from here more
	want := source.State{
		Err: w.path + ": apply the bundle: no space left on device", Since: at(2 * tick), Errors: 1,
		LastProof: at(tick), LastApplied: at(tick), Revision: authz.Revision{Epoch: 1, Number: 1},
	}
	w.wantState(want)
	for range 4 * 100 {
		w.poll(tick)
	}
	w.wantState(want)
	if w.store.calls != 2+7 {
		t.Errorf("it was tried %d times, want 9", w.store.calls)
	}
	if w.logged() != 1 {
		t.Errorf("one problem was logged %d times:\n%s", w.logged(), w.log.String())
	}
	w.store.fail = nil
	for range 4 * 21 {
		w.poll(tick)
	}
	if got := w.file.State(); !got.Healthy || got.LastProof != w.now {
		t.Errorf("it did not recover: %+v", got)
	}
	w.wantApplied("t1", "t2")
}

func TestAnotherBundleDoesNotWaitForTheOneThatFailed(t *testing.T) {
	w := newWorld(t)
	w.store.fail = errors.New("refused")
	w.write(bundleOf("t1"))
	w.poll(tick)
	w.poll(tick)
	if w.store.calls != 1 {
		t.Errorf("it was tried %d times at once", w.store.calls)
	}
	w.store.fail = nil
	w.write(bundleOf("t2"))
	w.poll(tick)
	w.wantApplied("t2")
}

func TestAStoreThatLostItsDataGetsThemAgain(t *testing.T) {
	w := newWorld(t)
	w.writeAt(w.path, bundleOf("t1"), epoch.Add(-time.Hour))
	w.poll(tick)
	w.store.lost = true
	w.poll(tick)
	w.wantApplied("t1", "t1")
	w.poll(tick)
	w.wantApplied("t1", "t1")

	w.store.lost, w.store.fail = true, errors.New("disk gone")
	for range 4 {
		w.poll(tick)
	}
	if w.store.calls != 3 {
		t.Errorf("after 3 calls and less than a second, there were %d", w.store.calls)
	}
	w.store.fail = nil
	if got := w.poll(time.Second); !got.Healthy {
		t.Errorf("it did not recover: %+v", got)
	}
}

func TestABundleIsReadAsOfTheClock(t *testing.T) {
	w := newWorld(t)
	assignment := "      - {principalType: User, principalObjectId: u1, roleDefinitionName: Power Platform Owner, scope: /tenants/t1"
	w.write("apiVersion: pathgrant/v1\ntenants:\n  - id: t1\n    roleAssignments:\n" +
		assignment + ", expiresOn: 2026-06-01T12:00:00Z}\n" + assignment + "}\n...\n")
	if got := w.poll(tick); !got.Healthy {
		t.Errorf("an expired assignment did not make way: %+v", got)
	}
}

func TestVeryManyProblemsAreShortened(t *testing.T) {
	w := newWorld(t)
	text := "apiVersion: pathgrant/v1\ntenants:\n"
	for i := range 1000 {
		text += fmt.Sprintf("  - {id: t%d, flow: []}\n", i)
	}
	w.write(text + "...\n")
	got := w.poll(tick).Err
	if lines := strings.Split(got, "\n"); len(lines) != 21 || lines[20] != "and 980 problems more" {
		t.Errorf("got %d lines:\n%s", len(lines), got)
	}
}

func TestTheEndOfTheProcessIsNoProblem(t *testing.T) {
	w := newWorld(t)
	w.write(bundleOf("t1"))
	w.store.fail = context.Canceled
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.file.Poll(ctx)
	if got := w.file.State(); got.Errors != 0 || w.logged() != 0 {
		t.Errorf("got %+v\n%s", got, w.log.String())
	}
}

func TestAFileThatChangesWhileItIsReadIsReadLater(t *testing.T) {
	w := newWorld(t)
	w.write(bundleOf("t1"))
	w.file.WhileReading(func() { w.write(bundleOf("t1", "t2")) }) // what was read is a whole bundle, but not the newest
	if got := w.poll(tick); got.Errors != 0 {
		t.Errorf("a writer at work is no problem: %+v", got)
	}
	w.wantApplied()
	w.file.WhileReading(func() {})
	w.poll(tick)
	w.wantApplied("t1 t2")

	tenants := []string{"t"}
	w.file.WhileReading(func() {
		tenants = append(tenants, fmt.Sprintf("t%d", len(tenants)))
		w.write(bundleOf(tenants...))
	})
	w.write(bundleOf(tenants...))
	for range 3 {
		if got := w.poll(tick); !got.Healthy || got.LastProof != at(2*tick) {
			t.Errorf("got %+v", got)
		}
	}
	if got := w.poll(tick); got.Err != w.path+": the file changes while it is read" {
		t.Errorf("a file that never rests: %+v", got)
	}
	w.file.WhileReading(func() {})
	w.poll(tick)
	w.wantApplied("t1 t2", "t t1 t2 t3 t4")
}

// A writer that rewrites the file in place, in pieces, never gets half a bundle applied,
// nor one made of two.
func TestOnlyWholeBundlesAreApplied(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now()
	short, long := make([]string, 400), make([]string, 900)
	for i := range short {
		short[i] = fmt.Sprintf("short%d", i)
	}
	for i := range long {
		long[i] = fmt.Sprintf("long%d", i)
	}
	versions := []string{bundleOf(short...), bundleOf(long...)}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- os.WriteFile(w.path, []byte(versions[1]), 0o600)
				return
			default:
			}
			if err := writeInPieces(w.path, versions[i%2]); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 300 {
		w.poll(0)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.poll(0)
	want := map[string]bool{strings.Join(short, " "): true, strings.Join(long, " "): true}
	for _, got := range w.store.applied {
		if !want[got] {
			t.Fatalf("applied was neither of the two:\n%s", got)
		}
	}
	if got := w.store.applied[len(w.store.applied)-1]; got != strings.Join(long, " ") {
		t.Error("the last version was not applied in the end")
	}
}

func writeInPieces(path, text string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for len(text) > 0 {
		n := min(1000, len(text))
		if _, err := file.WriteString(text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

func TestRunLooksFourTimesASecondUntilTheContextEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bundle.yaml")
	options := bundle.Options{Vocabulary: vocabulary(t)}
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		file := source.NewFile(source.FileOptions{Path: path, Bundle: options, Store: store})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- file.Run(ctx) }()
		synctest.Wait()
		if got := file.State(); got.Healthy || !strings.Contains(got.Err, "no such file") {
			t.Errorf("at the start: %+v", got)
		}
		if err := os.WriteFile(path, []byte(bundleOf("t1")), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(251 * time.Millisecond) // of the bubble's time
		synctest.Wait()
		if got := file.State(); !got.Healthy || time.Since(got.LastProof) != time.Millisecond {
			t.Errorf("after 251 ms: %+v at %v", got, time.Now())
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestRunLooksWhenItIsTold(t *testing.T) {
	w := newWorld(t)
	ticks := make(chan time.Time)
	file := source.NewFile(source.FileOptions{Path: w.path, Bundle: bundle.Options{Vocabulary: vocabulary(t)}, Store: w.store, Ticks: ticks})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- file.Run(ctx) }()
	ticks <- time.Time{} // taken after the first look
	w.write(bundleOf("t1"))
	ticks <- time.Time{} // begins a look that sees the file
	ticks <- time.Time{} // taken after that look
	if got := file.State(); !got.Healthy {
		t.Errorf("got %+v", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

func TestTheLocalSourceIsAlwaysHealthyAndFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := source.NewLocal(&fakeStore{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- local.Run(ctx) }()
		started := time.Now()
		time.Sleep(time.Hour) // of the bubble's time
		if diff := cmp.Diff(source.State{Name: "local", Healthy: true, Since: started, LastProof: started.Add(time.Hour)}, local.State()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}
