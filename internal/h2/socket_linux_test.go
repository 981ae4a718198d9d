package h2_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
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

// each reads as the server does, into room of a few sizes in turn; take is told the text.
func each(server net.Conn, take func(text []byte) (wrote bool, err error)) error {
	sizes, buffer := []int{1, 7, 4096, 32 << 10}, make([]byte, 32<<10)
	turn := 0
	return h2.ReadEach(server, func() []byte {
		turn++
		return buffer[:sizes[turn%len(sizes)]]
	}, func(n int) (bool, error) { return take(buffer[:n]) })
}

func TestEachReadBringsWhatHasCome(t *testing.T) {
	overSockets(t, func(t *testing.T, server, client halfCloser) {
		sent := make([]byte, 8<<20)
		for i := range sent {
			sent[i] = byte(i ^ i>>8 ^ i>>16)
		}
		ended := make(chan error, 1)
		go func() {
			err := each(server, func(text []byte) (bool, error) {
				_, err := server.Write(text)
				return true, err
			})
			ended <- errors.Join(err, server.CloseWrite())
		}()
		go func() {
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+len(rest)%(100<<10))
				if _, err := client.Write(rest[:n]); err != nil {
					t.Error(err)
				}
				rest = rest[n:]
			}
		}()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("others came back than were sent, or %v", err)
		}
		if err := client.CloseWrite(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// The end of a connection may be told together with the last that was sent on it, and then it
// is not told again: whether that was answered or not, the connection ends.
func TestAnEndThatComesWithTheLastIsSeen(t *testing.T) {
	// With one thread nobody looks for what has come between a write and the end behind it.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, answered := range []bool{true, false} {
		overSockets(t, func(t *testing.T, server, client halfCloser) {
			took := make(chan int, 2)
			ended := make(chan error, 1)
			go func() {
				ended <- h2.ReadEach(server, func() []byte { return make([]byte, 100) }, func(n int) (bool, error) {
					took <- n
					if !answered {
						return false, nil
					}
					_, err := server.Write([]byte("answer"))
					return true, err
				})
			}()
			if _, err := client.Write([]byte("first")); err != nil {
				t.Fatal(err)
			}
			first := <-took
			runtime.Gosched() // until the other goroutine waits
			_, err := client.Write([]byte("last"))
			if err := errors.Join(err, client.Close()); err != nil {
				t.Fatal(err)
			}
			if last := <-took; first != len("first") || last != len("last") {
				t.Errorf("answered %t: %d and %d bytes came", answered, first, last)
			}
			if err := <-ended; err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("answered %t: it ended with %v", answered, err)
			}
		})
	}
}

func TestReadingEachCanBeInterrupted(t *testing.T) {
	overSockets(t, func(t *testing.T, server, client halfCloser) {
		reading, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- each(server, func([]byte) (bool, error) {
				close(reading)
				return true, nil
			})
		}()
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		<-reading
		if err := server.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it ended with %v at its deadline", err)
		}
		if err := server.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		failed := errors.New("failed")
		go func() { ended <- each(server, func([]byte) (bool, error) { return false, failed }) }()
		if _, err := client.Write([]byte("y")); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, failed) {
			t.Errorf("it ended with %v and not with what was wrong", err)
		}
		go func() { ended <- each(server, func([]byte) (bool, error) { return true, nil }) }()
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("it ended with %v when it was closed", err)
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
