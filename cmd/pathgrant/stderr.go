package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// patient returns a writer to the same pipe that does not hold up a thread when the pipe is
// full, if w is a pipe; else w. A thread that is held up keeps its share of the CPUs until the
// Go runtime notices, which with a single CPU takes up to ten milliseconds of every check.
//
// The pipe is opened once more for that, since whether one waits is a property of what was
// opened, which is shared with whoever started this process.
func patient(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok {
		return w
	}
	if info, err := f.Stat(); err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return w
	}
	own, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return w // on another system, or of another user's
	}
	return own
}
