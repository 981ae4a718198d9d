package load

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"
)

const (
	// patience is how long a server may say nothing while it owes an answer.
	patience = 10 * time.Second

	frameHead     = 9
	maxBody       = 1 << 14 // a frame's, unless a server allows more
	initialWindow = 65535   // of a connection, as RFC 9113 says
	streamWindow  = 1 << 20 // for an answer
	refillAfter   = 1 << 28 // bytes received
	ringSize      = 1 << 13 // calls that may lie between the oldest in flight and the newest
	readSize      = 256 << 10
	// interruptedAfter is how long a load goes on after its context ended.
	interruptedAfter = 100 * time.Millisecond
)

// A call is one in flight.
type call struct {
	stream  uint32 // 0: none
	request int32
	start   time.Time
	head    head
	body    []byte
}

// A Client is one connection. It is not safe for concurrent use.
type Client struct {
	target *Target
	socket *socket
	tls    *tls.Conn // nil: none

	in     []byte // read and not yet looked at
	buffer []byte // what in is part of
	out    []byte // not yet written
	queued []*call
	blocks *blocks
	spare  [][]byte // bodies of calls that are over

	calls      []call // by stream
	inFlight   int
	nextStream uint32
	next       int // index into the target's requests
	window     int // what may be sent on the connection
	most       int // calls that the server allows at once
	streamRoom int // what may be sent on a stream
	received   int // since the server was last told
	greeted    bool

	now       time.Time // when something was last read
	answered  int
	sent      int
	idle      time.Duration // CPU time spent looking for something to read, in vain
	measuring bool
	latencies []time.Duration
	lags      []time.Duration // of sends behind the schedule
}

// Dial connects, and waits for the server's settings.
func Dial(ctx context.Context, t *Target) (*Client, error) {
	if len(t.Requests) == 0 {
		return nil, errors.New("there is nothing to ask")
	}
	s, err := openSocket(ctx, t.Network, t.Address)
	if err != nil {
		return nil, err
	}
	c := &Client{
		target: t, socket: s, buffer: make([]byte, readSize), blocks: newBlocks(), calls: make([]call, ringSize),
		nextStream: 1, window: initialWindow, streamRoom: initialWindow, most: ringSize, now: time.Now(),
	}
	if t.TLS != nil {
		if c.tls, err = secure(ctx, s, t.TLS); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	c.out = append(c.out, http2.ClientPreface...)
	c.frame(http2.FrameSettings, 0, 0, []byte{
		0, byte(http2.SettingInitialWindowSize), 0, streamWindow >> 16, 0, 0, // high bytes first
	})
	c.frame(http2.FrameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, 1<<30))
	for !c.greeted {
		if err := c.turn(ctx, time.Time{}); err != nil {
			return nil, errors.Join(fmt.Errorf("greet the server: %w", err), c.Close())
		}
	}
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.socket.Close() }

// Closed keeps so many calls in flight until stop says that it is enough, and waits for
// those in flight then. It returns how many were answered, each as it must be. Stop is
// told how many were sent and what the time is.
func (c *Client) Closed(ctx context.Context, inFlight int, stop func(sent int, now time.Time) bool) (int, error) {
	runtime.LockOSThread() // whose CPU time is read
	defer runtime.UnlockOSThread()
	c.begin()
	stopped := false
	for {
		for !stopped && c.inFlight < inFlight {
			if stopped = stop(c.sent, c.now); stopped {
				break
			}
			ok, err := c.send(time.Time{})
			if err != nil {
				return c.answered, err
			}
			if !ok {
				break
			}
		}
		if c.inFlight == 0 {
			if !stopped {
				return c.answered, errNoRoom
			}
			return c.answered, nil
		}
		if err := c.turn(ctx, time.Time{}); err != nil {
			return c.answered, err
		}
	}
}

// Open sends at a fixed rate for a time, whatever the server does, and waits for the
// answers. Latencies count from when a call should have been sent, and so hold the time
// that it waited because the server was behind.
func (c *Client) Open(ctx context.Context, perSecond float64, length time.Duration) (int, error) {
	if perSecond <= 0 || length <= 0 {
		return 0, fmt.Errorf("a rate of %v in a second for %v is no load", perSecond, length)
	}
	// The kernel may otherwise wake this thread 50 µs after the time.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("exact timers: %w", err)
	}
	c.begin()
	start := c.now
	total := int(perSecond * length.Seconds())
	for {
		for c.sent < total {
			due := start.Add(Due(c.sent, perSecond))
			now := time.Now()
			if now.Before(due) {
				break
			}
			ok, err := c.send(due)
			if err != nil {
				return c.answered, err
			}
			if !ok {
				break
			}
			if c.measuring {
				c.lags = append(c.lags, now.Sub(due))
			}
		}
		if c.sent == total && c.inFlight == 0 {
			return c.answered, nil
		}
		var wake time.Time
		if c.sent < total {
			wake = start.Add(Due(c.sent, perSecond))
		}
		if c.now.Sub(start) > length+patience {
			return c.answered, fmt.Errorf("the server can't keep up with %.0f requests in a second", perSecond)
		}
		if err := c.turn(ctx, wake); err != nil {
			return c.answered, err
		}
	}
}

// Due says when, after the start of an open load, a call is to be sent.
func Due(call int, perSecond float64) time.Duration {
	return time.Duration(math.Round(float64(call) / perSecond * float64(time.Second)))
}

var errNoRoom = errors.New("the server leaves no room to send a single request")

// begin forgets what was counted before.
func (c *Client) begin() {
	c.sent, c.answered, c.now = 0, 0, time.Now()
	c.idle, c.latencies, c.lags = 0, c.latencies[:0], c.lags[:0]
}

// send starts the next call, unless the server leaves no room for it. Without a time it
// counts from when it is written.
func (c *Client) send(due time.Time) (bool, error) {
	r := &c.target.Requests[c.next]
	if len(r.Body) > c.window || c.inFlight >= c.most {
		return false, nil
	}
	if len(r.Body) > min(c.streamRoom, maxBody) || len(r.Block) > maxBody || len(r.First) > maxBody {
		return false, errors.New("a request is too large to be sent in one frame")
	}
	slot := &c.calls[c.nextStream/2%ringSize]
	if slot.stream != 0 {
		return false, fmt.Errorf("the call on stream %d was never answered", slot.stream)
	}
	block := r.Block
	if c.nextStream == 1 && r.First != nil {
		block = r.First
	}
	*slot = call{stream: c.nextStream, request: int32(c.next), start: due}
	if n := len(c.spare); n > 0 {
		slot.body, c.spare = c.spare[n-1], c.spare[:n-1]
	}
	flags := http2.FlagHeadersEndHeaders
	if len(r.Body) == 0 {
		flags |= http2.FlagHeadersEndStream
	}
	c.frame(http2.FrameHeaders, flags, slot.stream, block)
	if len(r.Body) > 0 {
		c.frame(http2.FrameData, http2.FlagDataEndStream, slot.stream, r.Body)
	}
	if due.IsZero() {
		c.queued = append(c.queued, slot)
	}
	c.window -= len(r.Body)
	c.inFlight++
	c.sent++
	c.nextStream += 2
	if c.next++; c.next == len(c.target.Requests) {
		c.next = 0
	}
	return true, nil
}

// frame appends one to what is to be written.
func (c *Client) frame(kind http2.FrameType, flags http2.Flags, stream uint32, body []byte) {
	n := len(body)
	c.out = append(c.out, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags),
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
	c.out = append(c.out, body...)
}

// turn writes what there is to write, waits for something to read, until a time if one is
// given, and reads it.
func (c *Client) turn(ctx context.Context, until time.Time) error {
	if err := c.flush(); err != nil {
		return err
	}
	silent := c.now
	waiting := time.Duration(-1)
	for {
		n, err := c.read()
		if err == nil {
			c.in = c.buffer[:len(c.in)+n]
			c.now = time.Now()
			c.looked(waiting)
			return c.frames()
		}
		if errors.Is(err, io.EOF) {
			return errors.New("the server closed the connection")
		}
		if !errors.Is(err, errAgain) {
			return err
		}
		now := time.Now()
		if waiting < 0 && c.target.Spin {
			waiting = threadCPUTime()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !until.IsZero() && !now.Before(until):
			c.looked(waiting)
			return nil
		case (c.inFlight > 0 || !c.greeted) && now.Sub(silent) > patience:
			return fmt.Errorf("no answer for %v", patience)
		}
		timeout := interruptedAfter
		if c.target.Spin {
			timeout = 0
		}
		if !until.IsZero() {
			timeout = min(timeout, until.Sub(now))
		}
		if err := c.socket.await(len(c.out) > 0, timeout); err != nil {
			return err
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
}

// looked adds up the CPU time of looking for something to read in vain, since a reading of
// [threadCPUTime]; a negative one says that there was none.
func (c *Client) looked(since time.Duration) {
	if since >= 0 {
		c.idle += threadCPUTime() - since
	}
}

// threadCPUTime is how long this thread has been on a CPU.
func threadCPUTime() time.Duration {
	var t unix.Timespec
	// It can only fail for a clock that does not exist.
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

// read reads behind what is in the buffer already.
func (c *Client) read() (int, error) {
	if len(c.in) == len(c.buffer) {
		return 0, errors.New("the server sent a frame larger than allowed")
	}
	if c.tls != nil {
		return c.tls.Read(c.buffer[len(c.in):])
	}
	return c.socket.Read(c.buffer[len(c.in):])
}

func (c *Client) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	if len(c.queued) > 0 {
		now := time.Now()
		for _, slot := range c.queued {
			slot.start = now
		}
		c.queued = c.queued[:0]
	}
	var n int
	var err error
	if c.tls != nil {
		n, err = c.tls.Write(c.out)
	} else {
		n, err = c.socket.write(c.out)
	}
	c.out = c.out[:copy(c.out, c.out[n:])]
	return err
}

// frames looks at all whole frames that were read.
func (c *Client) frames() error {
	for len(c.in) >= frameHead {
		size := int(c.in[0])<<16 | int(c.in[1])<<8 | int(c.in[2])
		if len(c.in) < frameHead+size {
			break
		}
		kind, flags := http2.FrameType(c.in[3]), http2.Flags(c.in[4])
		stream := binary.BigEndian.Uint32(c.in[5:]) & (1<<31 - 1)
		if err := c.receive(kind, flags, stream, c.in[frameHead:frameHead+size]); err != nil {
			return err
		}
		c.in = c.in[frameHead+size:]
	}
	c.in = c.buffer[:copy(c.buffer, c.in)]
	return nil
}

// receive looks at one frame.
func (c *Client) receive(kind http2.FrameType, flags http2.Flags, stream uint32, body []byte) error {
	switch kind {
	case http2.FrameData:
		slot, err := c.slot(stream)
		if err != nil {
			return err
		}
		if c.received += len(body); c.received >= refillAfter {
			c.frame(http2.FrameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(c.received)))
			c.received = 0
		}
		if flags.Has(http2.FlagDataPadded) {
			return errors.New("the server sent padded data")
		}
		slot.body = append(slot.body, body...)
		if flags.Has(http2.FlagDataEndStream) {
			return c.done(slot)
		}
	case http2.FrameHeaders:
		if !flags.Has(http2.FlagHeadersEndHeaders) || flags.Has(http2.FlagHeadersPadded) || flags.Has(http2.FlagHeadersPriority) {
			return errors.New("the server sent headers in several frames, padded or with a priority")
		}
		slot, err := c.slot(stream)
		if err != nil {
			return err
		}
		h, err := c.blocks.decode(body)
		if err != nil {
			return err
		}
		if slot.head.status == "" {
			slot.head = h
		} else { // trailers
			slot.head.grpcStatus, slot.head.grpcMessage = h.grpcStatus, h.grpcMessage
		}
		if flags.Has(http2.FlagHeadersEndStream) {
			return c.done(slot)
		}
	case http2.FrameSettings:
		if flags.Has(http2.FlagSettingsAck) {
			return nil
		}
		c.greeted = true
		c.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
		return c.settings(body)
	case http2.FramePing:
		if !flags.Has(http2.FlagPingAck) {
			c.frame(http2.FramePing, http2.FlagPingAck, 0, body)
		}
	case http2.FrameWindowUpdate:
		if len(body) != 4 {
			return errors.New("the server sent a malformed WINDOW_UPDATE")
		}
		if stream == 0 {
			c.window += int(binary.BigEndian.Uint32(body))
		}
	case http2.FrameRSTStream, http2.FrameGoAway, http2.FrameContinuation, http2.FramePushPromise:
		return fmt.Errorf("the server sent %v with %x on stream %d", kind, body, stream)
	default: // RFC 9113, 5.5: what is unknown is ignored
	}
	return nil
}

// settings heeds the server's.
func (c *Client) settings(body []byte) error {
	for ; len(body) >= 6; body = body[6:] {
		value := binary.BigEndian.Uint32(body[2:])
		switch http2.SettingID(binary.BigEndian.Uint16(body)) {
		case http2.SettingMaxConcurrentStreams:
			c.most = int(min(value, ringSize))
		case http2.SettingInitialWindowSize:
			c.streamRoom = int(value)
		case http2.SettingHeaderTableSize:
			if value < 4096 {
				return fmt.Errorf("the server's header table of %d bytes is smaller than the requests need", value)
			}
		default: // nothing that this client does depends on the others
		}
	}
	return nil
}

// done verifies an answer.
func (c *Client) done(slot *call) error {
	answer := Answer{Status: slot.head.status, GRPCStatus: slot.head.grpcStatus, GRPCMessage: slot.head.grpcMessage, Body: slot.body}
	if err := c.target.Verify(int(slot.request), &answer); err != nil {
		return fmt.Errorf("request %d: %w", slot.request, err)
	}
	if c.measuring {
		c.latencies = append(c.latencies, c.now.Sub(slot.start))
	}
	c.spare = append(c.spare, slot.body[:0])
	*slot = call{}
	c.inFlight--
	c.answered++
	return nil
}

func (c *Client) slot(stream uint32) (*call, error) {
	slot := &c.calls[stream/2%ringSize]
	if slot.stream != stream || stream == 0 {
		return nil, fmt.Errorf("the server answers on stream %d, which is not open", stream)
	}
	return slot, nil
}
