package h2_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// frame writes a frame as no Framer would.
func (c *client) frame(t http2.FrameType, flags http2.Flags, stream uint32, payload ...byte) {
	c.Helper()
	c.must(c.framer.WriteRawFrame(t, flags, stream, payload))
}

// TestWhatBreaksAConnection goes through the connection errors of RFC 9113, by section.
func TestWhatBreaksAConnection(t *testing.T) {
	five := []byte{0, 0, 0, 0, 16}
	for name, test := range map[string]struct {
		send func(c *client)
		want string // of the GOAWAY frame: the last stream and the code
	}{
		"4.2 a frame over the maximum":            {func(c *client) { c.frame(http2.FramePing, 0, 0, make([]byte, 16385)...) }, "0 FRAME_SIZE_ERROR"},
		"4.3 a block that cannot be decoded":      {func(c *client) { c.frame(http2.FrameHeaders, 0x4|0x1, 1, 0xff, 0xff, 0xff, 0xff, 0xff) }, "1 COMPRESSION_ERROR"},
		"4.3 an index beyond the table":           {func(c *client) { c.frame(http2.FrameHeaders, 0x4|0x1, 1, 0xfe) }, "1 COMPRESSION_ERROR"},
		"4.3 a table larger than allowed":         {func(c *client) { c.frame(http2.FrameHeaders, 0x4|0x1, 1, 0x3f, 0xe2, 0x1f, 0x82) }, "1 COMPRESSION_ERROR"},
		"4.3 another frame within a block":        {func(c *client) { c.frame(http2.FrameHeaders, 0, 1, 0x83); c.frame(http2.FrameData, 0, 1) }, "0 PROTOCOL_ERROR"},
		"4.3 another stream within a block":       {func(c *client) { c.frame(http2.FrameHeaders, 0, 1, 0x83); c.frame(http2.FrameContinuation, 0x4, 3) }, "0 PROTOCOL_ERROR"},
		"5.1 HEADERS on a closed stream":          {func(c *client) { c.ask(1, "a"); c.wantAnswer(1, "a!"); c.headers(1, true, usual...) }, "1 STREAM_CLOSED"},
		"5.1 DATA on an idle stream":              {func(c *client) { c.data(1, true, nil) }, "0 PROTOCOL_ERROR"},
		"5.1 RST_STREAM on an idle stream":        {func(c *client) { c.must(c.framer.WriteRSTStream(1, http2.ErrCodeCancel)) }, "0 PROTOCOL_ERROR"},
		"5.1 WINDOW_UPDATE on an idle stream":     {func(c *client) { c.must(c.framer.WriteWindowUpdate(1, 1)) }, "0 PROTOCOL_ERROR"},
		"5.1.1 an even stream":                    {func(c *client) { c.headers(2, true, usual...) }, "0 PROTOCOL_ERROR"},
		"5.1.1 HEADERS without a stream":          {func(c *client) { c.headers(0, true, usual...) }, "0 PROTOCOL_ERROR"},
		"5.1.1 a smaller stream than before":      {func(c *client) { c.ask(5, "a"); c.wantAnswer(5, "a!"); c.headers(3, true, usual...) }, "5 STREAM_CLOSED"},
		"5.3.1 a stream that depends on itself":   {func(c *client) { c.frame(http2.FramePriority, 0, 3, 0, 0, 0, 3, 1) }, "0 PROTOCOL_ERROR"},
		"6.1 DATA without a stream":               {func(c *client) { c.data(0, true, nil) }, "0 PROTOCOL_ERROR"},
		"6.1 more padding than there is data":     {func(c *client) { c.headers(1, false, usual...); c.frame(http2.FrameData, 0x8, 1, 5, 1, 2) }, "1 PROTOCOL_ERROR"},
		"6.1 padding without a length":            {func(c *client) { c.headers(1, false, usual...); c.frame(http2.FrameData, 0x8, 1) }, "1 PROTOCOL_ERROR"},
		"6.2 more padding than headers":           {func(c *client) { c.frame(http2.FrameHeaders, 0x4|0x8, 1, 9, 0x83) }, "0 PROTOCOL_ERROR"},
		"6.2 a priority that is cut off":          {func(c *client) { c.frame(http2.FrameHeaders, 0x4|0x20, 1, 0, 0) }, "0 FRAME_SIZE_ERROR"},
		"6.2 headers that depend on themselves":   {func(c *client) { c.frame(http2.FrameHeaders, 0x4|0x20, 1, 0, 0, 0, 1, 1) }, "0 PROTOCOL_ERROR"},
		"6.3 PRIORITY without a stream":           {func(c *client) { c.frame(http2.FramePriority, 0, 0, five...) }, "0 PROTOCOL_ERROR"},
		"6.3 PRIORITY of another length":          {func(c *client) { c.frame(http2.FramePriority, 0, 1, 1) }, "0 FRAME_SIZE_ERROR"},
		"6.4 RST_STREAM without a stream":         {func(c *client) { c.frame(http2.FrameRSTStream, 0, 0, 0, 0, 0, 0) }, "0 PROTOCOL_ERROR"},
		"6.4 RST_STREAM of another length":        {func(c *client) { c.headers(1, false, usual...); c.frame(http2.FrameRSTStream, 0, 1, 0) }, "1 FRAME_SIZE_ERROR"},
		"6.5 SETTINGS on a stream":                {func(c *client) { c.frame(http2.FrameSettings, 0, 1) }, "0 PROTOCOL_ERROR"},
		"6.5 SETTINGS that are cut off":           {func(c *client) { c.frame(http2.FrameSettings, 0, 0, 1, 2, 3) }, "0 FRAME_SIZE_ERROR"},
		"6.5 an acknowledgement with settings":    {func(c *client) { c.frame(http2.FrameSettings, 0x1, 0, 0, 1, 0, 0, 0, 0) }, "0 FRAME_SIZE_ERROR"},
		"6.5.2 ENABLE_PUSH 2":                     {func(c *client) { c.must(c.framer.WriteSettings(http2.Setting{ID: 2, Val: 2})) }, "0 PROTOCOL_ERROR"},
		"6.5.2 INITIAL_WINDOW_SIZE 2^31":          {func(c *client) { c.must(c.framer.WriteSettings(http2.Setting{ID: 4, Val: 1 << 31})) }, "0 FLOW_CONTROL_ERROR"},
		"6.5.2 MAX_FRAME_SIZE below its minimum":  {func(c *client) { c.must(c.framer.WriteSettings(http2.Setting{ID: 5, Val: 16383})) }, "0 PROTOCOL_ERROR"},
		"6.5.2 MAX_FRAME_SIZE above its maximum":  {func(c *client) { c.must(c.framer.WriteSettings(http2.Setting{ID: 5, Val: 1 << 24})) }, "0 PROTOCOL_ERROR"},
		"6.6 PUSH_PROMISE":                        {func(c *client) { c.frame(http2.FramePushPromise, 0x4, 1, 0, 0, 0, 2) }, "0 PROTOCOL_ERROR"},
		"6.7 PING on a stream":                    {func(c *client) { c.frame(http2.FramePing, 0, 1, make([]byte, 8)...) }, "0 PROTOCOL_ERROR"},
		"6.7 PING of another length":              {func(c *client) { c.frame(http2.FramePing, 0, 0, 1) }, "0 FRAME_SIZE_ERROR"},
		"6.8 GOAWAY on a stream":                  {func(c *client) { c.frame(http2.FrameGoAway, 0, 1, make([]byte, 8)...) }, "0 PROTOCOL_ERROR"},
		"6.8 GOAWAY that is cut off":              {func(c *client) { c.frame(http2.FrameGoAway, 0, 0, 1) }, "0 FRAME_SIZE_ERROR"},
		"6.9 WINDOW_UPDATE of nothing":            {func(c *client) { c.frame(http2.FrameWindowUpdate, 0, 0, 0, 0, 0, 0) }, "0 PROTOCOL_ERROR"},
		"6.9 WINDOW_UPDATE of another length":     {func(c *client) { c.frame(http2.FrameWindowUpdate, 0, 0, 1) }, "0 FRAME_SIZE_ERROR"},
		"6.9.1 the connection's window overflows": {func(c *client) { c.must(c.framer.WriteWindowUpdate(0, 1<<31-1)) }, "0 FLOW_CONTROL_ERROR"},
		"6.9.2 streams' windows overflow": {func(c *client) {
			c.headers(1, false, usual...)
			c.must(c.framer.WriteWindowUpdate(1, 1<<30))
			c.must(c.framer.WriteSettings(http2.Setting{ID: 4, Val: 1<<31 - 1}))
		}, "1 FLOW_CONTROL_ERROR"},
		"6.10 CONTINUATION of nothing": {func(c *client) { c.frame(http2.FrameContinuation, 0x4, 1, 0x83) }, "0 PROTOCOL_ERROR"},
		"10.5.1 a block without end": {func(c *client) {
			c.frame(http2.FrameHeaders, 0, 1)
			for range 3 {
				c.frame(http2.FrameContinuation, 0, 1, make([]byte, 16000)...)
			}
		}, "0 ENHANCE_YOUR_CALM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, settings(&checks{})).connect(t)
			test.send(c)
			c.want("goaway "+test.want, "end")
		})
	}
}

func TestTheFirstFrameIsSettings(t *testing.T) {
	for name, send := range map[string]func(c *client){
		"PING":                         func(c *client) { c.frame(http2.FramePing, 0, 0, make([]byte, 8)...) },
		"an acknowledgement, SETTINGS": func(c *client) { c.must(c.framer.WriteSettingsAck()) },
	} {
		c := start(t, settings(&checks{})).raw(t, 1<<16)
		c.write([]byte(http2.ClientPreface))
		send(c)
		if got := c.next(); got != "goaway 0 PROTOCOL_ERROR" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestAnotherProtocolIsHungUpOn(t *testing.T) {
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\t", "\x16\x03\x01"} {
		c := start(t, settings(&checks{})).raw(t, 1<<16)
		c.write([]byte(text))
		c.want("end")
	}
}

// TestWhatEndsAStream goes through the stream errors. The connection lasts: another call
// on it is answered.
func TestWhatEndsAStream(t *testing.T) {
	call := func(fields ...string) func(c *client) {
		return func(c *client) { c.headers(1, true, fields...) }
	}
	for name, test := range map[string]struct {
		send func(c *client)
		want string
	}{
		"8.2 an upper-case name":           {call(with("X-Y: z")...), "PROTOCOL_ERROR"},
		"8.2 a name with a blank":          {call(with("x y: z")...), "PROTOCOL_ERROR"},
		"8.2 a value with a line's end":    {call(with("x: y\nz")...), "PROTOCOL_ERROR"},
		"8.2.2 connection":                 {call(with("connection: close")...), "PROTOCOL_ERROR"},
		"8.2.2 transfer-encoding":          {call(with("transfer-encoding: chunked")...), "PROTOCOL_ERROR"},
		"8.2.2 te: gzip":                   {call(append(usual[:5:5], "te: gzip")...), "PROTOCOL_ERROR"},
		"8.3 a pseudo-header that is late": {call(append(usual[1:], ":method: POST")...), "PROTOCOL_ERROR"},
		"8.3 one that is not known":        {call(append([]string{":x: y"}, usual...)...), "PROTOCOL_ERROR"},
		"8.3 one of answers":               {call(append([]string{":status: 200"}, usual...)...), "PROTOCOL_ERROR"},
		"8.3 the method twice":             {call(append([]string{":method: POST"}, usual...)...), "PROTOCOL_ERROR"},
		"8.3.1 no method":                  {call(usual[1:]...), "PROTOCOL_ERROR"},
		"8.3.1 no scheme":                  {call(append([]string{usual[0]}, usual[2:]...)...), "PROTOCOL_ERROR"},
		"8.3.1 no path":                    {call(append([]string{usual[0], usual[1]}, usual[3:]...)...), "PROTOCOL_ERROR"},
		"8.3.1 an empty path":              {call(":method: POST", ":scheme: http", ":path: "), "PROTOCOL_ERROR"},
		"8.1.1 a length that is no number": {call(with("content-length: x")...), "PROTOCOL_ERROR"},
		"8.1.1 a length and nothing":       {call(with("content-length: 5")...), "PROTOCOL_ERROR"},
		"8.1.1 a length and more":          {func(c *client) { c.headers(1, false, with("content-length: 5")...); c.data(1, true, message("a")) }, "PROTOCOL_ERROR"},
		"8.1.1 a length and less":          {func(c *client) { c.headers(1, false, with("content-length: 7")...); c.data(1, true, message("a")) }, "PROTOCOL_ERROR"},
		"8.1 trailers without an end":      {func(c *client) { c.headers(1, false, usual...); c.headers(1, false, "x: y") }, "PROTOCOL_ERROR"},
		"8.1 a pseudo-header in trailers":  {func(c *client) { c.headers(1, false, usual...); c.headers(1, true, ":path: /") }, "PROTOCOL_ERROR"},
		"6.9 WINDOW_UPDATE of nothing":     {func(c *client) { c.headers(1, false, usual...); c.frame(http2.FrameWindowUpdate, 0, 1, 0, 0, 0, 0) }, "PROTOCOL_ERROR"},
		"6.9.1 a stream's window overflows": {func(c *client) {
			c.headers(1, false, usual...)
			c.must(c.framer.WriteWindowUpdate(1, 1<<31-1))
		}, "FLOW_CONTROL_ERROR"},
		"5.1 DATA on a closed stream": {func(c *client) { c.ask(1, "a"); c.wantAnswer(1, "a!"); c.data(1, true, []byte("b")) }, "STREAM_CLOSED"},
		"CONNECT":                     {call(":method: CONNECT", ":authority: x:1"), "PROTOCOL_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, settings(&checks{})).connect(t)
			test.send(c)
			c.want("1 reset " + test.want)
			c.ask(3, "b")
			c.wantAnswer(3, "b!")
		})
	}
}

func TestCallsAreAnsweredHoweverTheyAreSent(t *testing.T) {
	whole := message("ask")
	for name, send := range map[string]func(c *client){
		"one frame": func(c *client) { c.ask(1, "ask") },
		"several frames": func(c *client) {
			c.headers(1, false, usual...)
			for i := range whole {
				c.data(1, i == len(whole)-1, whole[i:i+1])
			}
		},
		"an empty frame at the end": func(c *client) { c.headers(1, false, usual...); c.data(1, false, whole); c.data(1, true, nil) },
		"trailers at the end":       func(c *client) { c.headers(1, false, usual...); c.data(1, false, whole); c.headers(1, true, "x: y") },
		"padding": func(c *client) {
			c.headers(1, false, usual...)
			c.must(c.framer.WriteDataPadded(1, true, whole, make([]byte, 200)))
		},
		"padded headers with a priority": func(c *client) {
			c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: 1, BlockFragment: c.fields(usual...), EndHeaders: true, PadLength: 9,
				Priority: http2.PriorityParam{StreamDep: 0, Weight: 3},
			}))
			c.data(1, true, whole)
		},
		"headers in several frames": func(c *client) {
			block := c.fields(usual...)
			c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:3]}))
			c.must(c.framer.WriteContinuation(1, false, block[3:4]))
			c.must(c.framer.WriteContinuation(1, true, block[4:]))
			c.data(1, true, whole)
		},
		"frames that mean nothing between": func(c *client) {
			c.headers(1, false, usual...)
			c.frame(0xaa, 0xff, 1, 1, 2, 3)
			c.must(c.framer.WritePriority(1, http2.PriorityParam{StreamDep: 7}))
			c.must(c.framer.WriteWindowUpdate(1, 5))
			c.must(c.framer.WriteSettings(http2.Setting{ID: 0x99, Val: 1}))
			c.frame(http2.FrameGoAway, 0, 0, make([]byte, 8)...)
			c.data(1, true, whole)
		},
		"other content types": func(c *client) {
			c.headers(1, false, append(usual[:4:4], "content-type: application/grpc+proto", "grpc-encoding: identity", "grpc-timeout: nonsense")...)
			c.data(1, true, whole)
		},
		"its length said": func(c *client) { c.headers(1, false, with("content-length: 8")...); c.data(1, true, whole) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, settings(&checks{})).connect(t)
			send(c)
			c.wantAnswer(1, "ask!")
		})
	}
}

func TestWhatIsNoMessageIsAnsweredAsUnreadable(t *testing.T) {
	for name, body := range map[string][]byte{
		"nothing":      nil,
		"half a frame": message("ask")[:4],
		"cut off":      message("ask")[:7],
		"two messages": append(message("a"), message("b")...),
		"compressed":   append([]byte{1}, message("ask")[1:]...),
	} {
		c := start(t, settings(&checks{})).connect(t)
		c.headers(1, false, usual...)
		c.data(1, true, body)
		c.wantAnswer(1, "unreadable")
		c.headers(3, true, usual...)
		c.wantAnswer(3, "unreadable")
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// A message that is too large is answered before it has come whole, and what still comes
// of it is passed over.
func TestAMessageThatIsTooLarge(t *testing.T) {
	o := settings(&checks{})
	o.MaxMessageSize = 100_000
	c := start(t, o).connect(t)
	c.headers(1, false, usual...)
	part := bytes.Repeat([]byte("x"), 16384)
	c.data(1, false, append(binary.BigEndian.AppendUint32([]byte{0}, 1<<30), part[5:]...))
	for range 8 {
		c.data(1, false, part)
	}
	c.want("1 headers :status=200 content-type=application/grpc")
	c.want(`1 data "\x00\x00\x00\x00\nunreadable"`, "1 headers grpc-status=0 end", "1 reset NO_ERROR")
	c.headers(1, true, "x: y") // trailers
	c.ask(3, "ask")
	c.wantAnswer(3, "ask!")
}

func TestALargeMessageIsTakenInParts(t *testing.T) {
	o := settings(&checks{})
	o.StreamWindow, o.ConnectionWindow = 65535, 65535
	c := start(t, o).connect(t)
	c.headers(1, false, usual...)
	text := strings.Repeat("large", 100_000)
	rest, window := message(text), 65535
	for len(rest) > 0 {
		n := min(16384, len(rest), window)
		c.data(1, n == len(rest), rest[:n])
		if rest, window = rest[n:], window-n; window < 16384 && len(rest) > 0 {
			c.want("1 window")
			window += 32768 // at least half of it
		}
	}
	got := c.next()
	for got == "1 window" {
		got = c.next()
	}
	if got != "1 headers :status=200 content-type=application/grpc" {
		t.Errorf("answered with %q", got)
	}
}

func TestTheSameHeadersMeanTheSameOnlyUntilTheTablesChange(t *testing.T) {
	c := start(t, settings(&checks{})).connect(t)
	for stream := uint32(1); stream < 9; stream += 2 {
		c.ask(stream, "ask") // the third time all of it are indexes
		c.wantAnswer(stream, "ask!")
	}
	same := c.fields(usual...)
	// A field more in the table moves all others: what named the path names another now.
	c.headers(9, false, with("x-other: 1")...)
	c.data(9, true, message("ask"))
	c.wantAnswer(9, "ask!")
	c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 11, BlockFragment: same, EndHeaders: true, EndStream: true}))
	if got := c.next(); !strings.HasPrefix(got, "11 reset") && !strings.HasPrefix(got, "11 headers :status=404") {
		t.Errorf("headers that name other fields are answered with %q", got)
	}
}
