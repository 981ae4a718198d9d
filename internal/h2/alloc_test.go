package h2_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pathgrant/pathgrant/internal/h2"
)

// A loop is a connection that hands the server a batch of calls as often as it is told,
// and drops what it writes.
type loop struct {
	batches chan []byte
	rest    []byte
	wrote   chan int
	over    chan struct{}
	once    sync.Once
}

func (l *loop) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		select {
		case l.rest = <-l.batches:
		case <-l.over:
			return 0, io.EOF
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}
func (l *loop) Write(p []byte) (int, error)        { l.wrote <- len(p); return len(p), nil }
func (l *loop) Close() error                       { l.once.Do(func() { close(l.over) }); return nil }
func (l *loop) LocalAddr() net.Addr                { return memAddr("server") }
func (l *loop) RemoteAddr() net.Addr               { return memAddr("client") }
func (l *loop) SetDeadline(time.Time) error        { return nil }
func (l *loop) SetReadDeadline(t time.Time) error  { return l.check(t) }
func (l *loop) SetWriteDeadline(t time.Time) error { return l.check(t) }
func (l *loop) check(time.Time) error {
	select {
	case <-l.over:
		return os.ErrClosed
	default:
		return nil
	}
}

// calls are batches of so many calls, as a client sends them whose table has settled. With
// spelled, :path never goes into the table, which is Envoy's way.
func calls(n int, spelled bool) func() []byte {
	var block, out bytes.Buffer
	encode := hpack.NewEncoder(&block)
	framer := http2.NewFramer(&out, nil)
	stream := uint32(1)
	return func() []byte {
		out.Reset()
		for range n {
			block.Reset()
			for _, f := range []hpack.HeaderField{
				{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: checkPath, Sensitive: spelled},
				{Name: ":authority", Value: "pathgrant"}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
			} {
				_ = encode.WriteField(f) // to a buffer
			}
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
			_ = framer.WriteData(stream, true, message("ask"))
			stream += 2
		}
		return out.Bytes()
	}
}

func newLoop(tb testing.TB) *loop {
	tb.Helper()
	l := &loop{batches: make(chan []byte), wrote: make(chan int, 16), over: make(chan struct{})}
	o := settings(&checks{})
	on := newMemListener()
	s := h2.New(o)
	served := make(chan error, 1)
	go func() { served <- s.Serve(on) }()
	on.conns <- l
	tb.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
	<-l.wrote // our SETTINGS
	var hello bytes.Buffer
	hello.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&hello, nil)
	_ = framer.WriteSettings()                   // to a buffer
	_ = framer.WriteWindowUpdate(0, 1<<31-1<<16) // room for all answers
	l.batches <- hello.Bytes()
	<-l.wrote
	return l
}

func TestACallAllocatesNothing(t *testing.T) {
	for name, spelled := range map[string]bool{"all in the table": false, "the path spelled": true} {
		t.Run(name, func(t *testing.T) { allocatesNothing(t, spelled) })
	}
}

func allocatesNothing(t *testing.T, spelled bool) {
	t.Helper()
	l, next := newLoop(t), calls(16, spelled)
	batches := make([][]byte, 220)
	for i := range batches {
		batches[i] = bytes.Clone(next())
	}
	i := 0
	exchange := func() {
		l.batches <- batches[i]
		i++
		<-l.wrote
	}
	for range 10 {
		exchange() // the table settles, and buffers grow
	}
	if got := testing.AllocsPerRun(200, exchange); got > 1 {
		t.Errorf("16 calls allocate %v times, want not at all", got)
	}
}

func BenchmarkCalls(b *testing.B) {
	for _, c := range []struct {
		name    string
		n       int
		spelled bool
	}{{"one at a time", 1, false}, {"sixteen", 16, false}, {"sixteen, the path spelled", 16, true}} {
		b.Run(c.name, func(b *testing.B) {
			l, next := newLoop(b), calls(c.n, c.spelled)
			b.ReportAllocs()
			for b.Loop() {
				l.batches <- next()
				<-l.wrote
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(c.n), "ns/call")
		})
	}
}
