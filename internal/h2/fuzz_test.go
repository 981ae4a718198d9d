package h2_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzConnection: whatever a client sends, the server does not panic, and when the client
// is done the connection ends; goleak sees to it that nothing is left of it.
func FuzzConnection(f *testing.F) {
	hello := func(more func(*http2.Framer)) []byte {
		var b bytes.Buffer
		b.WriteString(http2.ClientPreface)
		framer := http2.NewFramer(&b, nil)
		framer.AllowIllegalWrites = true
		_ = framer.WriteSettings() // to a buffer
		more(framer)
		return b.Bytes()
	}
	var block bytes.Buffer
	encode := hpack.NewEncoder(&block)
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: checkPath},
		{Name: "content-type", Value: "application/grpc"},
	} {
		_ = encode.WriteField(field)
	}
	call := block.Bytes()
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(hello(func(w *http2.Framer) {
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: call, EndHeaders: true})
		_ = w.WriteData(1, true, message("ask"))
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{0xc2, 0xc1, 0xc0, 0xbf}, EndHeaders: true})
		_ = w.WriteWindowUpdate(3, 7)
		_ = w.WriteData(3, true, message("slow error"))
	}))
	f.Add(hello(func(w *http2.Framer) {
		_ = w.WriteSettings(window(0), http2.Setting{ID: 1, Val: 0})
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: call[:3]})
		_ = w.WriteContinuation(1, true, call[3:])
		_ = w.WriteDataPadded(1, false, message("large"), make([]byte, 9))
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0}, EndHeaders: true, EndStream: true})
		_ = w.WriteSettings(window(9))
		_ = w.WriteRSTStream(1, http2.ErrCodeCancel)
		_ = w.WritePing(true, [8]byte{'g', 'o'})
		_ = w.WriteGoAway(0, 0, nil)
	}))
	f.Add(hello(func(w *http2.Framer) {
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: call[:len(call)-1], EndHeaders: true})
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: []byte{0x83, 0x86, 0x84}, EndHeaders: true})
		_ = w.WriteData(7, false, make([]byte, 99))
	}))
	f.Fuzz(func(t *testing.T, sent []byte) {
		o := settings(&checks{})
		o.MaxMessageSize, o.MaxConcurrentStreams = 1000, 4
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})
		r := start(t, o)
		conn, _ := r.listener.dial(1 << 20)
		defer func() { _ = conn.Close() }()
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(sent); err != nil {
			return // it was hung up on before it was done
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Fatalf("the connection does not end: %v", err)
		}
	})
}
