package h2_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/h2"
)

// halfCloser is what both kinds of connections can do.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// overSockets runs a test with the server's end of a connection, as the server reads and
// writes it, and the client's.
func overSockets(t *testing.T, test func(t *testing.T, server, client halfCloser)) {
	t.Helper()
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			client, err := new(net.Dialer).DialContext(t.Context(), network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			server := h2.Quick(accepted)
			if server == accepted {
				t.Fatal("a connection of the kernel's is read in the ordinary way")
			}
			t.Cleanup(func() { _, _ = client.Close(), server.Close() })
			serverEnd, ok := server.(halfCloser)
			clientEnd, too := client.(halfCloser)
			if !ok || !too {
				t.Fatal("a connection can't be closed in one direction")
			}
			test(t, serverEnd, clientEnd)
		})
	}
}

// What does not fit into the kernel's buffers waits for the other end, in both directions,
// and nothing of it is lost, changed or moved.
func TestASocketCarriesWhatItIsGiven(t *testing.T) {
	overSockets(t, func(t *testing.T, server, client halfCloser) {
		sent := make([]byte, 16<<20)
		for i := range sent {
			sent[i] = byte(i ^ i>>8 ^ i>>16)
		}
		echoed := make(chan error, 1)
		go func() {
			_, err := io.Copy(struct{ io.Writer }{server}, struct{ io.Reader }{server})
			echoed <- errors.Join(err, server.CloseWrite())
		}()
		written := make(chan error, 1)
		go func() {
			_, err := client.Write(sent)
			written <- errors.Join(err, client.CloseWrite())
		}()
		got, err := io.ReadAll(client)
		if err := errors.Join(err, <-written, <-echoed); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes came back of %d, or others", len(got), len(sent))
		}
	})
}

func TestASocketThatWaitsIsWokenUp(t *testing.T) {
	overSockets(t, func(t *testing.T, server, client halfCloser) {
		read := func() error {
			_, err := server.Read(make([]byte, 10))
			return err
		}
		began := time.Now()
		if err := server.SetReadDeadline(began.Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < 20*time.Millisecond {
			t.Errorf("a read with a deadline ended with %v after %s", err, time.Since(began))
		}
		if err := server.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := read(); err != nil {
			t.Errorf("a read after that ended with %v", err)
		}
		if n, err := server.Read(nil); n != 0 || err != nil {
			t.Errorf("a read of nothing: %d, %v", n, err)
		}
		much := make([]byte, 64<<20)
		if err := server.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := server.Write(much); !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(much) {
			t.Errorf("a write with a deadline ended with %v after %d bytes", err, n)
		}
		ended := make(chan error, 1)
		go func() { ended <- read() }()
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read of a connection that was closed ended with %v", err)
		}
		if _, err := server.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write ended with %v", err)
		}
	})
}

func TestASocketWhoseOtherEndGoes(t *testing.T) {
	overSockets(t, func(t *testing.T, server, client halfCloser) {
		if _, err := client.Write([]byte("last")); err != nil {
			t.Fatal(err)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		if n, err := server.Read(b); err != nil || string(b[:n]) != "last" {
			t.Errorf("read %q, %v", b[:n], err)
		}
		if n, err := server.Read(b); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("read %d bytes, %v at the end", n, err)
		}
		var err error
		for err == nil { // until the kernel knows
			_, err = server.Write(b)
		}
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a write to nobody ended with %v", err)
		}
	})
}

// The ordinary read in between brings what comes next, and a wait does not count.
func TestASocketReadsInOrder(t *testing.T) {
	overSockets(t, func(t *testing.T, server, client halfCloser) {
		const n = 5*h2.MostInARow + 3
		all := make([]byte, n)
		for i := range all {
			all[i] = byte(i)
		}
		if _, err := client.Write(all); err != nil {
			t.Fatal(err)
		}
		for i := range all {
			var one [1]byte
			if _, err := server.Read(one[:]); err != nil || one[0] != byte(i) {
				t.Fatalf("read %d after %d bytes, %v", one[0], i, err)
			}
		}
		for range 3 * h2.MostInARow {
			waits := make(chan error, 1)
			go func() {
				_, err := server.Read(make([]byte, 1))
				waits <- err
			}()
			if _, err := client.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
			if err := <-waits; err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestOtherConnectionsAreReadAsTheyAre(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if h2.Quick(a) != a {
		t.Error("a pipe was taken for a socket")
	}
}
