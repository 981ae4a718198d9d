package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The load is sent by hand-made HTTP/2 frames, because a gRPC client costs more than the
// servers do: then it would be the client that is measured.

const (
	// callTimeout is what each call says; Envoy would say 250ms, and a machine that is
	// busy with something else for so long is no reason to end the run.
	callTimeout = "10S"
	// patience is how long a server may take longer than the load lasts.
	patience = 10 * time.Second

	initialWindow = 65535   // of a connection, as HTTP/2 says
	streamWindow  = 1 << 20 // for an answer
	refillAfter   = 1 << 28 // bytes received
	ringSize      = 1 << 13 // calls that may lie between the oldest in flight and the newest
)

// A call is one in flight.
type call struct {
	stream  uint32 // 0: none
	request int
	start   time.Time
	message []byte // with the gRPC prefix
}

// A client sends requests on one connection. It is not safe for concurrent use.
type client struct {
	requests  []request
	allowsAll bool // the server does not decide

	conn   net.Conn
	in     *bufio.Reader
	out    *bufio.Writer
	framer *http2.Framer
	header []byte // the block of every call but the first
	decode *hpack.Decoder
	status string // grpc-status, when a block was decoded
	reason string // grpc-message

	calls      []call // by stream
	inFlight   int
	nextStream uint32
	next       int // index into requests
	window     int // what may be sent
	received   int // since the server was last told
	prefix     [5]byte
	latencies  []time.Duration
	measuring  bool
}

func dial(ctx context.Context, p *peer, requests []request) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", p.socket)
	if err != nil {
		return nil, err
	}
	c := &client{
		requests: requests, allowsAll: p.allowsAll, conn: conn,
		in: bufio.NewReaderSize(conn, 256<<10), out: bufio.NewWriterSize(conn, 256<<10),
		calls: make([]call, ringSize), nextStream: 1, window: initialWindow,
	}
	c.framer = http2.NewFramer(c.out, c.in)
	c.framer.SetReuseFrames()
	c.decode = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		switch f.Name {
		case "grpc-status":
			c.status = f.Value
		case "grpc-message":
			c.reason = f.Value
		}
	})
	_, err = c.out.WriteString(http2.ClientPreface)
	err = errors.Join(err,
		c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow}),
		c.framer.WriteWindowUpdate(0, 1<<30))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// load keeps so many calls in flight until stop says that it is enough, and waits for
// those in flight then. It returns how many were answered, each as it must be.
func (c *client) load(ctx context.Context, inFlight int, stop func(sent int) bool) (answered int, err error) {
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now()) })()
	sent, stopped := 0, false
	for {
		for !stopped && c.inFlight < inFlight {
			if stopped = stop(sent); stopped {
				break
			}
			ok, err := c.send()
			if err != nil {
				return answered, err
			}
			if !ok {
				break
			}
			sent++
		}
		if c.inFlight == 0 {
			if !stopped {
				return answered, errors.New("the server leaves no room to send a single request")
			}
			return answered, c.out.Flush()
		}
		if c.in.Buffered() == 0 {
			if err := c.out.Flush(); err != nil {
				return answered, err
			}
			if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				return answered, err
			}
			if ctx.Err() != nil {
				return answered, ctx.Err()
			}
		}
		done, err := c.receive()
		if err != nil {
			if ctx.Err() != nil {
				return answered, ctx.Err()
			}
			return answered, err
		}
		if done {
			answered++
		}
	}
}

// send starts the next call, unless the server leaves no room for it.
func (c *client) send() (bool, error) {
	r := &c.requests[c.next]
	size := len(r.body) + len(c.prefix)
	if size > c.window {
		return false, nil
	}
	slot := &c.calls[c.nextStream/2%ringSize]
	if slot.stream != 0 {
		return false, fmt.Errorf("the call on stream %d was never answered", slot.stream)
	}
	block := c.header
	if block == nil {
		var err error
		if block, err = c.firstHeader(); err != nil {
			return false, err
		}
	}
	*slot = call{stream: c.nextStream, request: c.next, message: slot.message[:0]}
	if c.measuring {
		slot.start = time.Now()
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: slot.stream, BlockFragment: block, EndHeaders: true}); err != nil {
		return false, err
	}
	// The frame is written in parts, to keep the body from being copied together with its
	// prefix; WriteData would want them in one piece.
	n := len(r.body)
	c.prefix = [5]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	id := slot.stream
	frame := [9]byte{byte(size >> 16), byte(size >> 8), byte(size), byte(http2.FrameData), byte(http2.FlagDataEndStream),
		byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
	for _, part := range [][]byte{frame[:], c.prefix[:], r.body} {
		if _, err := c.out.Write(part); err != nil {
			return false, err
		}
	}
	c.window -= size
	c.inFlight++
	c.nextStream += 2
	c.next = (c.next + 1) % len(c.requests)
	return true, nil
}

// firstHeader returns the header block of a connection's first call, which fills the
// server's table, and keeps that of all later ones, which refers to it.
func (c *client) firstHeader() ([]byte, error) {
	var blocks [3]bytes.Buffer
	var to *bytes.Buffer
	encoder := hpack.NewEncoder(writerFunc(func(b []byte) (int, error) { return to.Write(b) }))
	for i := range blocks {
		to = &blocks[i]
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"},
			{Name: ":scheme", Value: "http"},
			{Name: ":path", Value: "/envoy.service.auth.v3.Authorization/Check"},
			{Name: ":authority", Value: "pathgrant"},
			{Name: "te", Value: "trailers"},
			{Name: "grpc-timeout", Value: callTimeout},
			{Name: "content-type", Value: "application/grpc"},
			{Name: "x-envoy-internal", Value: "true"},
			{Name: "x-forwarded-for", Value: "10.12.8.3"},
		} {
			if err := encoder.WriteField(f); err != nil {
				return nil, err
			}
		}
	}
	if !bytes.Equal(blocks[1].Bytes(), blocks[2].Bytes()) {
		return nil, errors.New("the header block does not settle")
	}
	c.header = blocks[1].Bytes()
	return blocks[0].Bytes(), nil
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// receive reads a frame, and tells whether it ended a call.
func (c *client) receive() (bool, error) {
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return false, err
	}
	switch f := frame.(type) {
	case *http2.DataFrame:
		slot, err := c.slot(f.StreamID)
		if err != nil {
			return false, err
		}
		slot.message = append(slot.message, f.Data()...)
		if c.received += int(f.Length); c.received >= refillAfter {
			if err := c.framer.WriteWindowUpdate(0, uint32(c.received)); err != nil {
				return false, err
			}
			c.received = 0
		}
		if f.StreamEnded() {
			return false, fmt.Errorf("stream %d ended without a status", f.StreamID)
		}
	case *http2.HeadersFrame:
		return c.headers(f)
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return false, c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return false, c.framer.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.window += int(f.Increment)
		}
	default:
		return false, fmt.Errorf("the server sent %v", frame)
	}
	return false, nil
}

// headers reads those at the beginning of an answer, and those that end it.
func (c *client) headers(f *http2.HeadersFrame) (bool, error) {
	if !f.HeadersEnded() {
		return false, errors.New("the server sent headers in several frames")
	}
	c.status, c.reason = "", ""
	if _, err := c.decode.Write(f.HeaderBlockFragment()); err != nil {
		return false, err
	}
	if err := c.decode.Close(); err != nil {
		return false, err
	}
	if !f.StreamEnded() {
		return false, nil
	}
	slot, err := c.slot(f.StreamID)
	if err != nil {
		return false, err
	}
	if c.status != "0" {
		return false, fmt.Errorf("a call failed with gRPC status %q: %s", c.status, c.reason)
	}
	want := c.requests[slot.request].reason
	if c.allowsAll {
		want = granted
	}
	if err := verify(slot.message, want); err != nil {
		return false, fmt.Errorf("request %d: %w", slot.request, err)
	}
	if c.measuring && !slot.start.IsZero() {
		c.latencies = append(c.latencies, time.Since(slot.start))
	}
	slot.stream = 0
	c.inFlight--
	return true, nil
}

func (c *client) slot(stream uint32) (*call, error) {
	slot := &c.calls[stream/2%ringSize]
	if slot.stream != stream {
		return nil, fmt.Errorf("the server answers on stream %d, which is not open", stream)
	}
	return slot, nil
}

// quantile returns that of the latencies, which it sorts.
func (c *client) quantile(q float64) time.Duration {
	if len(c.latencies) == 0 {
		return 0
	}
	slices.Sort(c.latencies)
	return c.latencies[int(q*float64(len(c.latencies)-1))]
}
