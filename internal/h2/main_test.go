package h2_test

import (
	"flag"
	"net"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

// overSockets says that servers are talked to over real connections, and not over those that
// are told of what happens on them in no time.
var overSockets bool

func TestMain(m *testing.M) { goleak.VerifyTestMain(twice{m}) }

// twice runs all tests over either kind of connections; only fuzzing over one.
type twice struct{ m *testing.M }

func (t twice) Run() int {
	code := t.m.Run()
	if code != 0 || flag.Lookup("test.fuzz").Value.String() != "" {
		return code
	}
	overSockets = true
	return t.m.Run()
}

// inBubble is synctest.Test: time stands still only where nothing is real.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	defer func(was bool) { overSockets = was }(overSockets)
	overSockets = false
	synctest.Test(t, test)
}

// halfCloser is what every connection can do.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// socketListener takes real connections.
type socketListener struct{ net.Listener }

func newSocketListener(t *testing.T) socketListener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return socketListener{l}
}

// dial connects. How much room there is for what was not read yet is up to the kernel.
func (l socketListener) dial(int) (halfCloser, bool) {
	c, err := new(net.Dialer).Dial(l.Addr().Network(), l.Addr().String())
	half, ok := c.(halfCloser)
	return half, err == nil && ok
}
