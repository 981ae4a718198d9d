package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/pathgrant/pathgrant/internal/bundle"
)

// settleTime is how old a file's last change must be before the same size and time mean
// the same content: clocks of file systems are coarse, some by two seconds.
const settleTime = 2 * time.Second

var errUnstable = errors.New("the file changes while it is read")

// A print tells versions of a file apart without reading it.
type print struct{ info fs.FileInfo }

// printOf looks at the file behind the path, following symbolic links.
func printOf(path string) (print, error) {
	info, err := os.Stat(path)
	if err != nil {
		return print{}, fmt.Errorf("look at the bundle: %w", err)
	}
	if !info.Mode().IsRegular() { // a pipe would block whoever opens it
		return print{}, fmt.Errorf("%s: not a regular file", path)
	}
	return print{info}, nil
}

// same tells whether the prints are of one file, of one size and time.
func (p print) same(q print) bool {
	return p.info != nil && q.info != nil && os.SameFile(p.info, q.info) &&
		p.info.Size() == q.info.Size() && p.info.ModTime().Equal(q.info.ModTime())
}

// settledAt tells whether, at the time, the file's last change was so long ago that any
// later one has another time. A time to come is none to rely on.
func (p print) settledAt(now time.Time) bool {
	return now.Sub(p.info.ModTime()) >= settleTime
}

// openFile opens the file to be read.
func openFile(path string) (fs.File, error) { return os.Open(path) }

// read returns the content of the file with its print, which was the same before and
// after.
func (f *File) read() (content []byte, seen print, err error) {
	path := f.options.Path
	file, err := f.open(path)
	if err != nil {
		return nil, print{}, fmt.Errorf("read the bundle: %w", err)
	}
	defer func() {
		if closeErr := file.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("read the bundle: %w", closeErr)
		}
	}()
	before, err := file.Stat()
	if err != nil {
		return nil, print{}, fmt.Errorf("read the bundle: %w", err)
	}
	var b bytes.Buffer
	if size := before.Size(); size <= bundle.MaxSize {
		b.Grow(int(size) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(io.LimitReader(file, bundle.MaxSize+1)); err != nil { // one more, so that too large is seen to be
		return nil, print{}, fmt.Errorf("read the bundle: %w", err)
	}
	after, err := file.Stat()
	if err != nil {
		return nil, print{}, fmt.Errorf("read the bundle: %w", err)
	}
	if !(print{before}).same(print{after}) {
		return nil, print{}, fmt.Errorf("%s: %w", path, errUnstable)
	}
	return b.Bytes(), print{after}, nil
}
