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

// overEach runs a test with the server's end of a connection, as the server reads and
// writes it with TLS and without, and the client's.
func overEach(t *testing.T, test func(t *testing.T, server, client halfCloser)) {
	t.Helper()
	for kind, of := range map[string]func(net.Conn) net.Conn{"quick": h2.Quick, "polled": h2.Poll} {
		overNetworks(t, kind, of, test)
	}
}

// overPolled is overEach for what is read without TLS.
func overPolled(t *testing.T, test func(t *testing.T, server, client halfCloser)) {
	t.Helper()
	overNetworks(t, "polled", h2.Poll, test)
}

func overNetworks(t *testing.T, kind string, of func(net.Conn) net.Conn, test func(t *testing.T, server, client halfCloser)) {
	t.Helper()
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(kind+"/"+network, func(t *testing.T) {
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
			server := of(accepted)
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
	overEach(t, func(t *testing.T, server, client halfCloser) {
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
	overEach(t, func(t *testing.T, server, client halfCloser) {
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
	overEach(t, func(t *testing.T, server, client halfCloser) {
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
	overEach(t, func(t *testing.T, server, client halfCloser) {
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
func each(server net.Conn, take func(text []byte) (full bool, err error), space func() error) error {
	sizes, buffer := []int{1, 7, 4096, 32 << 10}, make([]byte, 32<<10)
	turn := 0
	return h2.ReadEach(server, func() []byte {
		turn++
		return buffer[:sizes[turn%len(sizes)]]
	}, func(n int) (bool, error) { return take(buffer[:n]) }, space)
}

func noSpace() error { return errors.New("asked to wait for space that nobody said is missing") }

func TestEachReadBringsWhatHasCome(t *testing.T) {
	for _, full := range []bool{false, true} {
		overPolled(t, func(t *testing.T, server, client halfCloser) {
			sent := make([]byte, 4<<20)
			for i := range sent {
				sent[i] = byte(i ^ i>>8 ^ i>>16)
			}
			got := make([]byte, 0, len(sent))
			spaces, takes := 0, 0
			ended := make(chan error, 1)
			go func() {
				ended <- each(server, func(text []byte) (bool, error) {
					got = append(got, text...)
					takes++
					return full, nil
				}, func() error {
					spaces++
					return nil
				})
			}()
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+len(rest)%(100<<10))
				if _, err := client.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := client.CloseWrite(); err != nil {
				t.Error(err)
			}
			if err := <-ended; !errors.Is(err, io.EOF) {
				t.Errorf("it ended with %v", err)
			}
			if !bytes.Equal(got, sent) {
				t.Errorf("%d bytes came of %d, or others", len(got), len(sent))
			}
			if full && spaces < takes {
				t.Errorf("%d waits for space after %d reads that were full", spaces, takes)
			}
		})
	}
}

// The end of a connection may be told together with the last that was sent on it, and then it
// is not told again. Whether that was answered or not, and whether the other end still reads or
// not, the connection ends.
func TestAnEndThatComesWithTheLastIsSeen(t *testing.T) {
	// With one thread nobody looks for what has come between a write and the end behind it.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, answered := range []bool{true, false} {
		for _, half := range []bool{true, false} {
			overPolled(t, func(t *testing.T, server, client halfCloser) {
				took := make(chan int, 2)
				ended := make(chan error, 1)
				go func() {
					ended <- h2.ReadEach(server, func() []byte { return make([]byte, 100) }, func(n int) (bool, error) {
						took <- n
						if !answered {
							return false, nil
						}
						_, err := server.Write([]byte("answer"))
						return false, err
					}, noSpace)
				}()
				if _, err := client.Write([]byte("first")); err != nil {
					t.Fatal(err)
				}
				first := <-took
				runtime.Gosched() // until the other goroutine waits
				_, err := client.Write([]byte("last"))
				end := client.Close
				if half {
					end = client.CloseWrite
				}
				if err := errors.Join(err, end()); err != nil {
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
}

func TestReadingEachCanBeInterrupted(t *testing.T) {
	overPolled(t, func(t *testing.T, server, client halfCloser) {
		reading, ended := make(chan struct{}), make(chan error, 1)
		read := func(take func([]byte) (bool, error), space func() error) {
			go func() { ended <- each(server, take, space) }()
		}
		send := func(text string) {
			if _, err := client.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		setDeadline := func(at time.Time) {
			if err := server.SetReadDeadline(at); err != nil {
				t.Fatal(err)
			}
		}
		read(func([]byte) (bool, error) {
			close(reading)
			return false, nil
		}, noSpace)
		send("x")
		<-reading
		setDeadline(time.Unix(1, 0))
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it ended with %v at its deadline", err)
		}
		setDeadline(time.Time{})
		failed := errors.New("failed")
		read(func([]byte) (bool, error) { return false, failed }, noSpace)
		send("y")
		if err := <-ended; !errors.Is(err, failed) {
			t.Errorf("it ended with %v and not with what was wrong", err)
		}
		taking, goOn := make(chan struct{}), make(chan struct{})
		read(func([]byte) (bool, error) {
			close(taking)
			<-goOn
			return false, failed
		}, noSpace)
		send("y")
		<-taking
		setDeadline(time.Unix(1, 0))
		runtime.Gosched() // to its reader
		close(goOn)
		if err := <-ended; !errors.Is(err, failed) {
			t.Errorf("it ended with %v at its deadline and not with what was wrong", err)
		}
		setDeadline(time.Time{})
		read(func([]byte) (bool, error) { return true, nil }, func() error { return failed })
		send("z")
		if err := <-ended; !errors.Is(err, failed) {
			t.Errorf("it ended with %v and not with why there is no space", err)
		}
		read(func([]byte) (bool, error) { panic("on purpose") }, noSpace)
		send("z")
		if err := <-ended; err == nil || err.Error() != "panic: on purpose" {
			t.Errorf("it ended with %v after a panic", err)
		}
		read(func([]byte) (bool, error) { return false, nil }, noSpace)
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("it ended with %v when it was closed", err)
		}
	})
}

// A reader that waits for space holds up nobody else.
func TestAReaderThatWaitsHoldsUpNobody(t *testing.T) {
	defer func(was int) { *h2.MostPollers = was }(*h2.MostPollers)
	*h2.MostPollers = 1
	overPolled(t, func(t *testing.T, stuck, stuckClient halfCloser) {
		waiting, room, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- each(stuck, func([]byte) (bool, error) { return true, nil }, func() error {
				close(waiting)
				<-room
				return errors.New("over")
			})
		}()
		if _, err := stuckClient.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		<-waiting
		overPolled(t, func(t *testing.T, server, client halfCloser) {
			took := make(chan struct{})
			over := make(chan error, 1)
			go func() {
				over <- each(server, func([]byte) (bool, error) {
					close(took)
					return false, io.EOF
				}, noSpace)
			}()
			if _, err := client.Write([]byte("y")); err != nil {
				t.Fatal(err)
			}
			<-took
			if err := <-over; !errors.Is(err, io.EOF) {
				t.Errorf("it ended with %v", err)
			}
		})
		close(room)
		if err := <-ended; err == nil {
			t.Error("it ended without an error")
		}
	})
}

func TestOtherConnectionsAreReadAsTheyAre(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if h2.Quick(a) != a || h2.Poll(a) != a {
		t.Error("a pipe was taken for a socket")
	}
}
