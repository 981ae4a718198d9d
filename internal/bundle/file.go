package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// maxProblems is how many problems of a large bundle are reported.
const maxProblems = 1000

var errTooManyProblems = errors.New("there are more problems than are reported")

// The steps of reading a large bundle.
const (
	StepChecking = "checking"
	StepReading  = "reading"
)

// A File is a bundle in JSON whose role assignments are read from the disk one by one,
// each time that they are asked for. It is not safe for concurrent use.
type File struct {
	name     string
	file     *os.File
	info     os.FileInfo
	reader   *strictyaml.Reader
	forget   func() // what is wrong with role assignments
	parser   *parser
	tenants  []snapshot.Tenant
	lists    []laterList
	progress func(snapshot.Progress)
	read     int
	dropped  int
}

// IsLarge tells whether a file is JSON of so many bytes or more, and so better opened than
// parsed. What is no file on a disk is not.
func IsLarge(name string, size int64) (bool, error) {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() < size {
		return false, nil // whoever reads it will say what is wrong with it
	}
	f, err := os.Open(name)
	if err != nil {
		return false, nil
	}
	defer func() { _ = f.Close() }()
	head, tail := make([]byte, 4096), make([]byte, 4096)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the bundle: %w", err)
	}
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(head[:n], []byte("\ufeff")))
	n, err = f.ReadAt(tail, max(info.Size()-int64(len(tail)), 0))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the bundle: %w", err)
	}
	isJSON := len(trimmed) > 0 && trimmed[0] == '{' && !endsWithMark(tail[:n])
	if !isJSON && info.Size() > MaxYAMLSize {
		return false, strictyaml.Problem{File: name, Message: tooLargeForYAML}
	}
	return isJSON, nil
}

// Open reads a bundle in JSON, but for its role assignments, of which it makes sure only
// that they are JSON. The caller closes it. Of problems it reports as [Parse] does, but not
// more than a thousand. progress may be nil.
func Open(name string, o Options, progress func(snapshot.Progress)) (_ *File, err error) {
	if o.Vocabulary == nil {
		return nil, errors.New("read a bundle: no vocabulary to check custom roles with")
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	f := &File{name: name, file: file, parser: newParser(o), progress: progress}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	if f.info, err = file.Stat(); err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	var root strictyaml.Value
	root, f.reader, err = strictyaml.ScanJSON(name, file, isLongList, f.teller(StepChecking, 0))
	if err != nil {
		return nil, err
	}
	f.parser.file, f.parser.document, f.parser.later = name, file, &f.lists
	f.tenants = f.parser.read(root).Tenants
	f.forget = f.reader.Checkpoint()
	return f, nil
}

// teller tells how far a step has come, in bytes of the file, from those before. Where it
// begins again, what was checked is now read.
func (f *File) teller(step string, before int64) func(done int64) {
	if f.progress == nil {
		return nil
	}
	var last, told int64
	return func(done int64) {
		if done < last {
			step, told = StepReading, 0
		}
		if last = done; done-told >= 1<<20 {
			told = done
			f.progress(snapshot.Progress{Step: step, Done: uint64(before + done), Total: uint64(f.info.Size())})
		}
	}
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// Tenants returns how many tenants the bundle has.
func (f *File) Tenants() int { return len(f.tenants) }

// Assignments returns how many role assignments stayed when they were last delivered.
func (f *File) Assignments() int { return f.read - f.dropped }

// Check reads and compares all role assignments and reports all problems. It sorts in
// temporary files in the directory.
func (f *File) Check(ctx context.Context, dir string) error {
	return f.errors(snapshot.CheckDelivery(ctx, f.delivery(), dir))
}

// Deliver puts the bundle into the store, as [snapshot.Store.Deliver] does.
func (f *File) Deliver(ctx context.Context, s *snapshot.Store, change snapshot.Change) (authz.Revision, error) {
	if f.reader.Problems() > 0 { // and there may be more, in the role assignments
		return authz.Revision{}, f.Check(ctx, os.TempDir())
	}
	revision, err := s.Deliver(ctx, f.delivery(), change)
	return revision, f.errors(err)
}

// errors puts what is wrong with the bundle in place of the error of who found it out.
func (f *File) errors(err error) error {
	problems := f.reader.Err()
	if f.reader.Problems() > maxProblems {
		problems = errors.Join(problems, errTooManyProblems)
	}
	if problems != nil {
		return problems
	}
	return err
}

// errProblems says that the reader has the problems.
var errProblems = errors.New("the bundle has problems")

func (f *File) delivery() *snapshot.Delivery {
	f.forget()
	f.read, f.dropped = 0, 0
	places := map[string]int{}
	for i := range f.tenants {
		places[f.tenants[i].ID] = i
	}
	lists := make([]assignmentList, len(f.tenants))
	d := &snapshot.Delivery{Tenants: f.tenants, Progress: f.progress}
	d.RoleAssignments = func(yield func(*snapshot.DeliveredAssignment) error) error {
		var before int64
		var out snapshot.DeliveredAssignment
		for _, l := range f.lists {
			t := l.tenant
			at, listed := places[t.tenant.ID]
			if listed {
				lists[at] = t.list
			}
			f.parser.progress = f.teller(StepReading, before)
			err := t.readHeld(l.list, func(a *placedAssignment) error {
				if !listed || f.reader.Problems() > maxProblems {
					return nil // the tenant itself is a problem
				}
				f.read++
				out = snapshot.DeliveredAssignment{RoleAssignment: a.RoleAssignment, Tenant: at, Place: a.Place}
				return yield(&out)
			})
			if err != nil && !errors.Is(err, errTooManyProblems) {
				return err
			}
			before += l.list.Size()
		}
		return f.unchanged()
	}
	d.Same = func(first, second *snapshot.DeliveredAssignment) *snapshot.DeliveredAssignment {
		f.dropped++
		switch f.lists[0].tenant.makeWay(&first.RoleAssignment, &second.RoleAssignment) {
		case nil:
			lists[first.Tenant].sameGrant(first.Place, second.Place)
			return first
		case &first.RoleAssignment:
			return first
		default:
			return second
		}
	}
	d.SameID = func(first, second *snapshot.DeliveredAssignment) {
		lists[first.Tenant].sameID(first.ID, first.Place, second.Place)
	}
	d.Check = func() error {
		if f.reader.Problems() > 0 {
			return errProblems
		}
		return f.unchanged()
	}
	return d
}

// unchanged makes sure that nobody wrote to the file while it was read.
func (f *File) unchanged() error {
	now, err := f.file.Stat()
	if err != nil {
		return fmt.Errorf("read the bundle: %w", err)
	}
	if now.Size() != f.info.Size() || !now.ModTime().Equal(f.info.ModTime()) {
		return strictyaml.Problem{File: f.name, Message: "the file has changed while it was read: put a new file in its place instead of writing to it"}
	}
	return nil
}
