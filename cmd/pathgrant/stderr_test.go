package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A full pipe makes the goroutine wait that writes, which can be interrupted, and not its
// thread; and whoever else has the pipe open notices nothing of that.
func TestAPipeThatIsFullHoldsUpNoThread(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // where the pipe is used as it is
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	own, ok := patient(write).(*os.File)
	if !ok || own == write {
		t.Fatal("the pipe is used as it is")
	}
	if flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, write.Fd(), syscall.F_GETFL, 0); errno != 0 || flags&syscall.O_NONBLOCK != 0 {
		t.Errorf("the pipe that was given has the flags %x (%v)", flags, errno)
	}
	if err := own.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := own.Write(make([]byte, 8<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 {
		t.Errorf("%d bytes into a full pipe: %v", n, err)
	}
	if err := errors.Join(own.Close(), write.Close()); err != nil {
		t.Fatal(err)
	}
	if arrived, err := io.ReadAll(read); err != nil || len(arrived) != n {
		t.Errorf("%d bytes of %d arrived, %v", len(arrived), n, err)
	}
}

func TestWhatIsNoPipeIsWrittenAsItIs(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, w := range []io.Writer{f, &bytes.Buffer{}} {
		if patient(w) != w {
			t.Errorf("%T is opened again", w)
		}
	}
}
