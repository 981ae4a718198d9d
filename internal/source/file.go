package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// pollEvery is how often the file is looked at.
const pollEvery = 250 * time.Millisecond

// What could not be applied is tried again after a while that doubles, up to a limit.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// unstableReads is how often in a row a file may change while it is read before that is
// a problem: a writer may well be at work.
const unstableReads = 4

// store is what a source delivers to.
type store interface {
	// Replace makes the data what decisions are taken from, or changes nothing.
	Replace(ctx context.Context, d *snapshot.Data, c snapshot.Change) (authz.Revision, error)
	// Current is nil while the store has nothing to decide from.
	Current() *snapshot.Snapshot
}

// FileOptions says what a [File] watches and where it delivers to.
type FileOptions struct {
	// Path is the bundle. It may be a symbolic link, or lie below one, that is replaced
	// with each new version, as in a mounted Kubernetes ConfigMap.
	Path string
	// Bundle says how the bundle is read; its Now is set at each read.
	Bundle bundle.Options
	// Store is what the bundle is delivered to.
	Store store
	// Log gets each problem once, and each bundle that is applied; nil: nobody does.
	Log *slog.Logger
	// Now is the clock; nil: the machine's.
	Now func() time.Time
	// Ticks says when to look at the file; nil: every 250 ms.
	Ticks <-chan time.Time
}

// File is the source that watches a bundle. It looks at the file again and again, which
// works on every file system, and applies each new version whole. It is safe for
// concurrent use.
//
// A file that is missing, broken or unfinished changes nothing: at the start, too, what
// the store has on disk is served.
type File struct {
	options FileOptions
	log     *slog.Logger
	now     func() time.Time
	open    func(path string) (fs.File, error)

	// Of Run alone:
	looked   look
	unstable int
	retry    time.Duration // 0: nothing to try again
	retryAt  time.Time

	mu    sync.Mutex
	state State // guarded by mu
}

// A look is what was seen in the file when it was last read.
type look struct {
	print   print
	settled bool     // no later change can leave the print as it is
	hash    [32]byte // of the content
	handled bool     // the content was applied, or refused for good
	applied bool     // the content is in force
}

// NewFile returns a source that does nothing until [File.Run].
func NewFile(o FileOptions) *File {
	f := &File{options: o, log: o.Log, now: o.Now, open: openFile}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if f.now == nil {
		f.now = time.Now
	}
	f.state = State{Name: "file", Err: o.Path + ": not read yet", Since: f.now()}
	return f
}

// State says how the source fares.
func (f *File) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Run watches the file until the context ends, and then returns nil. No state of the
// file makes it return earlier. It must not be called twice.
func (f *File) Run(ctx context.Context) error {
	ticks := f.options.Ticks
	if ticks == nil {
		ticker := time.NewTicker(pollEvery)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		f.poll(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticks:
		}
	}
}

// poll looks at the file once, and applies it if it is another one than before.
func (f *File) poll(ctx context.Context) {
	start := f.now()
	again := f.retry > 0 && !start.Before(f.retryAt)
	lost := f.looked.applied && f.options.Store.Current() == nil // the store set its file aside: deliver again
	seen, err := printOf(f.options.Path)
	if err != nil {
		f.forget()
		f.problem(err)
		return
	}
	if f.looked.settled && seen.same(f.looked.print) && !again && !lost {
		f.unchanged(start)
		return
	}
	content, seen, err := f.read()
	if errors.Is(err, errUnstable) {
		if f.unstable++; f.unstable < unstableReads {
			return
		}
	} else {
		f.unstable = 0
	}
	if err != nil {
		f.forget()
		f.problem(err)
		return
	}
	settled := seen.settledAt(start)
	hash := sha256.Sum256(content)
	if hash == f.looked.hash && f.looked.handled && !again && !lost {
		f.looked.print, f.looked.settled = seen, settled
		f.unchanged(start)
		return
	}
	f.looked = look{print: seen, settled: settled, hash: hash}
	f.apply(ctx, start, content, hash)
}

// forget makes the next file count as another one, even if it is the same again.
func (f *File) forget() {
	f.looked = look{}
	f.retry = 0
}

// unchanged notes that the file is still the one that was handled.
func (f *File) unchanged(start time.Time) {
	if f.looked.applied {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.state.LastProof = start
	}
}

// apply parses the content and delivers it.
func (f *File) apply(ctx context.Context, start time.Time, content []byte, hash [32]byte) {
	reading := f.options.Bundle
	reading.Now = start
	data, err := bundle.Parse(f.options.Path, content, reading)
	if err != nil {
		f.looked.handled, f.retry = true, 0
		f.problem(err)
		return
	}
	revision, err := f.options.Store.Replace(ctx, data, snapshot.Change{
		Source: "file", Position: []byte("sha256:" + hex.EncodeToString(hash[:])), Note: "bundle " + f.options.Path,
	})
	if err != nil {
		if ctx.Err() != nil {
			return // the process ends, which is no problem of the source
		}
		f.looked.handled = true // so that only the clock has it tried again
		f.retry = min(max(2*f.retry, firstRetry), lastRetry)
		f.retryAt = f.now().Add(f.retry)
		f.problem(fmt.Errorf("%s: apply the bundle: %w", f.options.Path, err))
		return
	}
	f.looked.handled, f.looked.applied, f.retry = true, true, 0
	f.mu.Lock()
	if !f.state.Healthy {
		f.state.Healthy, f.state.Err, f.state.Since = true, "", start
	}
	f.state.LastProof, f.state.LastApplied, f.state.Revision = start, f.now(), revision
	f.mu.Unlock()
	f.log.InfoContext(ctx, "bundle applied", "file", f.options.Path, "epoch", revision.Epoch, "revision", revision.Number)
}

// problem makes the error visible, and logs it unless it is the one that is known.
func (f *File) problem(err error) {
	text := shortened(err.Error())
	f.mu.Lock()
	known := !f.state.Healthy && f.state.Err == text
	if !known {
		f.state.Healthy, f.state.Err, f.state.Since = false, text, f.now()
		f.state.Errors++
	}
	f.mu.Unlock()
	if !known {
		f.log.Error("bundle not applied: what was applied before stays in force", "file", f.options.Path, "err", text)
	}
}

// shortened returns the first lines of a text; a bundle may have very many problems.
func shortened(text string) string {
	const most = 20
	lines := strings.SplitN(text, "\n", most+1)
	if len(lines) <= most {
		return text
	}
	return strings.Join(lines[:most], "\n") + fmt.Sprintf("\nand %d problems more", 1+strings.Count(lines[most], "\n"))
}
