package source

import (
	"context"
	"io/fs"
)

// Poll looks at the file once, as Run does at each tick.
func (f *File) Poll(ctx context.Context) { f.poll(ctx) }

// WhileReading has hook called while the file is read.
func (f *File) WhileReading(hook func()) {
	f.open = func(path string) (fs.File, error) {
		file, err := openFile(path)
		return &disturbed{file, hook}, err
	}
}

type disturbed struct {
	fs.File
	hook func()
}

func (d *disturbed) Read(b []byte) (int, error) {
	n, err := d.File.Read(b)
	if d.hook != nil {
		d.hook()
		d.hook = nil
	}
	return n, err
}
