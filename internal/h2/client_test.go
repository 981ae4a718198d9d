package h2_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pathgrant/pathgrant/internal/h2"
)

const checkPath = "/test.Checks/Check"

// checks answers "ask" with "ask!", and says what it was given otherwise. What begins with
// "slow" it does not answer at once.
type checks struct {
	began   chan string   // gets the message of each slow call, if it is not nil
	release chan struct{} // slow calls wait for it, if it is not nil
	ended   chan error    // gets why a slow call's context ended
}

func (c *checks) AnswerAtOnce(message, dst []byte) ([]byte, bool) {
	switch {
	case message == nil:
		return append(dst, "unreadable"...), true
	case bytes.HasPrefix(message, []byte("slow")):
		return append(dst, "to be forgotten"...), false
	case bytes.HasPrefix(message, []byte("large")):
		return append(dst, strings.Repeat("x", 40_000)...), true
	}
	return append(append(dst, message...), '!'), true
}

func (c *checks) Answer(ctx context.Context, message, dst []byte) ([]byte, error) {
	if c.began != nil {
		c.began <- string(message)
	}
	switch string(message) {
	case "slow panic":
		panic("as it was told")
	case "slow error":
		return nil, &h2.Status{Code: 9, Message: "not now"}
	case "slow other error":
		return nil, io.ErrClosedPipe
	case "slow until the end":
		<-ctx.Done()
		c.ended <- context.Cause(ctx)
	}
	if c.release != nil {
		<-c.release
	}
	return append(append(dst, message...), '?'), nil
}

// settings are those of most tests.
func settings(u h2.Unary) h2.Options {
	return h2.Options{
		Unary:                map[string]h2.Unary{checkPath: u},
		Handler:              http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }),
		MaxConcurrentStreams: 100,
		MaxHeaderListSize:    16 << 10,
		MaxMessageSize:       1 << 20,
		ConnectionWindow:     1 << 20,
		StreamWindow:         256 << 10,
		HandshakeTimeout:     5 * time.Second,
		WriteTimeout:         20 * time.Second,
		PingAfter:            time.Hour,
		PingTimeout:          20 * time.Second,
		PingMinTime:          5 * time.Second,
		Log:                  slog.New(slog.DiscardHandler),
	}
}

// running is a server until the test ends.
type running struct {
	*h2.Server
	listener interface {
		net.Listener
		dial(room int) (halfCloser, bool)
	}
	served chan error
}

func start(t *testing.T, o h2.Options) *running {
	t.Helper()
	r := &running{Server: h2.New(o), listener: newMemListener(), served: make(chan error, 1)}
	if overSockets {
		r.listener = newSocketListener(t)
	}
	go func() { r.served <- r.Serve(r.listener) }()
	t.Cleanup(func() {
		r.Stop()
		if err := <-r.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// A client speaks frames.
type client struct {
	*testing.T
	conn   halfCloser
	framer *http2.Framer
	block  bytes.Buffer
	encode *hpack.Encoder
	got    []string // what came, in words
}

// connect connects and sends the preface; settings are the client's.
func (r *running) connect(t *testing.T, settings ...http2.Setting) *client {
	t.Helper()
	return r.connectWith(t, 1<<20, settings...)
}

func (r *running) connectWith(t *testing.T, room int, settings ...http2.Setting) *client {
	t.Helper()
	c := r.raw(t, room)
	c.write([]byte(http2.ClientPreface))
	c.must(c.framer.WriteSettings(settings...))
	return c
}

func (r *running) raw(t *testing.T, room int) *client {
	t.Helper()
	conn, ok := r.listener.dial(room)
	if !ok {
		t.Fatal("the server takes no connections")
	}
	c := &client{T: t, conn: conn, framer: http2.NewFramer(conn, conn)}
	c.framer.AllowIllegalWrites = true
	c.framer.SetMaxReadFrameSize(1 << 20)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encode = hpack.NewEncoder(&c.block)
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *client) write(b []byte) {
	c.Helper()
	_, err := c.conn.Write(b)
	c.must(err)
}

// fields encodes headers, "name: value" each.
func (c *client) fields(fields ...string) []byte {
	c.Helper()
	c.block.Reset()
	for _, f := range fields {
		i := strings.Index(f[1:], ":") + 1
		c.must(c.encode.WriteField(hpack.HeaderField{Name: f[:i], Value: strings.TrimPrefix(f[i+1:], " ")}))
	}
	return bytes.Clone(c.block.Bytes())
}

var usual = []string{":method: POST", ":scheme: http", ":path: " + checkPath, ":authority: pathgrant", "content-type: application/grpc", "te: trailers"}

func with(more ...string) []string { return append(append([]string(nil), usual...), more...) }

func (c *client) headers(stream uint32, ends bool, fields ...string) {
	c.Helper()
	c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.fields(fields...), EndHeaders: true, EndStream: ends}))
}

func (c *client) data(stream uint32, ends bool, b []byte) {
	c.Helper()
	c.must(c.framer.WriteData(stream, ends, b))
}

// message is one as gRPC frames it.
func message(text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
}

// ask makes a whole call.
func (c *client) ask(stream uint32, text string) {
	c.Helper()
	c.headers(stream, false, usual...)
	c.data(stream, true, message(text))
}

// next returns the next frame in words; SETTINGS, acknowledgements of PING, and updates of
// the connection's window are passed over.
func (c *client) next() string {
	c.Helper()
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			if errorIsEnd(err) {
				return "end"
			}
			c.Fatalf("after %q: %v", c.got, err)
		}
		words := ""
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.framer.WriteSettingsAck() // it may have been hung up on
			}
			continue
		case *http2.PingFrame:
			if f.IsAck() {
				continue
			}
			words = fmt.Sprintf("ping %q", f.Data)
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				continue
			}
			words = fmt.Sprintf("%d window", f.StreamID)
		case *http2.MetaHeadersFrame:
			words = fmt.Sprintf("%d headers", f.StreamID)
			for _, field := range f.Fields {
				words += " " + field.Name + "=" + field.Value
			}
			if f.StreamEnded() {
				words += " end"
			}
		case *http2.DataFrame:
			words = fmt.Sprintf("%d data %q", f.StreamID, f.Data())
			if len(f.Data()) > 64 {
				words = fmt.Sprintf("%d data of %d", f.StreamID, len(f.Data()))
			}
			if f.StreamEnded() {
				words += " end"
			}
		case *http2.RSTStreamFrame:
			words = fmt.Sprintf("%d reset %s", f.StreamID, f.ErrCode)
		case *http2.GoAwayFrame:
			words = fmt.Sprintf("goaway %d %s", f.LastStreamID, f.ErrCode)
		default:
			words = f.Header().String()
		}
		c.got = append(c.got, words)
		return words
	}
}

func errorIsEnd(err error) bool {
	text := err.Error()
	return strings.Contains(text, "EOF") || strings.Contains(text, "closed") || strings.Contains(text, "reset by peer")
}

// want reads as many frames as it is told, and compares them.
func (c *client) want(frames ...string) {
	c.Helper()
	for _, want := range frames {
		if got := c.next(); got != want {
			c.Fatalf("the server sends %q, want %q; before it: %q", got, want, c.got[:max(0, len(c.got)-1)])
		}
	}
}

// wantAnswer reads a whole answer.
func (c *client) wantAnswer(stream uint32, text string) {
	c.Helper()
	c.want(fmt.Sprintf("%d headers :status=200 content-type=application/grpc", stream),
		fmt.Sprintf("%d data %q", stream, message(text)),
		fmt.Sprintf("%d headers grpc-status=0 end", stream))
}
