package server_test

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/server"
)

func unixAddress(path string) server.Address {
	return server.Address{Network: "unix", Address: path}
}

// listen opens addresses and closes them when the test ends.
func listen(t *testing.T, mode fs.FileMode, addresses ...server.Address) []net.Listener {
	t.Helper()
	all, err := server.Listen(t.Context(), addresses, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, l := range all {
			_ = l.Close() // may be closed by the test
		}
	})
	return all
}

// staleSocket leaves a socket that nobody listens on.
func staleSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestSocketHasItsModeAndGoesWithItsListener(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		given, want fs.FileMode
	}{{0, 0o660}, {0o600, 0o600}, {0o666, 0o666}} {
		path := filepath.Join(dir, "s")
		l := listen(t, c.given, unixAddress(path))[0]
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != fs.ModeSocket|c.want {
			t.Errorf("mode %v gives a socket of mode %v", c.given, got)
		}
		if got := l.Addr().String(); got != path {
			t.Errorf("Addr() = %q, want %q", got, path)
		}
		if diff := cmp.Diff([]string{"s"}, names(t, dir)); diff != "" {
			t.Errorf("files beside the socket (-want +got):\n%s", diff)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if left := names(t, dir); len(left) > 0 {
			t.Errorf("files after Close: %v", left)
		}
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	staleSocket(t, path)
	l := listen(t, 0, unixAddress(path))[0]
	accepted := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = c.Close()
		}
		accepted <- err
	}()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestSocketThatSomebodyAnswersOnIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listen(t, 0, unixAddress(path))
	_, err := server.Listen(t.Context(), []server.Address{unixAddress(path)}, 0)
	if err == nil || !strings.Contains(err.Error(), "another process is listening") {
		t.Errorf("second Listen: %v", err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the first listener is gone: %v", err)
	}
	_ = c.Close()
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "real")
	staleSocket(t, socket)
	file, sub, link := filepath.Join(dir, "file"), filepath.Join(dir, "sub"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(socket, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, sub, link} {
		_, err := server.Listen(t.Context(), []server.Address{unixAddress(path)}, 0)
		if err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("Listen on %s: %v", path, err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "precious" {
		t.Errorf("the file now holds %q, %v", got, err)
	}
}

func TestClosingLeavesAnotherProcessesSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first := listen(t, 0, unixAddress(path))[0]
	if err := os.Remove(path); err != nil { // an operator who tidies up
		t.Fatal(err)
	}
	listen(t, 0, unixAddress(path))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the second listener's socket is gone: %v", err)
	}
}

func TestAllAddressesOrNone(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "missing", "bad")
	_, err := server.Listen(t.Context(), []server.Address{
		unixAddress(good), unixAddress(bad), {Network: "tcp", Address: "256.0.0.1:1"}, {Network: "udp", Address: "127.0.0.1:1"},
	}, 0)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"unix://" + bad, "tcp://256.0.0.1:1", `unknown network "udp"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("files left: %v", left)
	}
	if _, err := server.Listen(t.Context(), nil, 0); err == nil {
		t.Error("no address: no error")
	}
}

func TestSeveralListenersAndAbstractSockets(t *testing.T) {
	abstract, err := server.ParseAddress("unix://@pathgrant-test-" + filepath.Base(t.TempDir()) + "-" + t.Name())
	if err != nil {
		if runtime.GOOS == "linux" {
			t.Fatal(err)
		}
		return // such sockets exist on Linux only
	}
	all := listen(t, 0, server.Address{Network: "tcp", Address: "127.0.0.1:0"}, abstract, unixAddress(filepath.Join(t.TempDir(), "s")))
	for i, network := range []string{"tcp", "unix", "unix"} {
		if got := all[i].Addr().Network(); got != network {
			t.Errorf("listener %d is %s, want %s", i, got, network)
		}
		c, err := net.Dial(network, all[i].Addr().String())
		if err != nil {
			t.Error(err)
			continue
		}
		_ = c.Close()
	}
}
