package h2

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

// errReset is what a handler gets for the rest of a request whose stream was reset.
var errReset = errors.New("the stream was reset")

// sendAhead is how much of an answer is taken from a handler before the client's windows
// have room for it.
const sendAhead = 64 << 10

// A stream is a call that lasts: it has a goroutine of its own, or its answer waits for
// the client's windows. Its fields are guarded by conn.mu.
type stream struct {
	c       *conn
	id      uint32
	changed sync.Cond
	cancel  context.CancelFunc // nil: there is no goroutine
	gone    bool               // it is no longer in conn.streams
	reset   bool               // by the client, or RST_STREAM is sent by whoever ends it

	// What comes.
	in         []byte
	inEnded    bool // nothing more comes
	inErr      error
	recv       int64 // what the client may still send
	unreturned int64 // what it has sent and was read, and it was not yet told so
	total      int64
	declared   int64
	deaf       bool // nobody reads it

	// What goes.
	extra    int64 // the window is this and SETTINGS_INITIAL_WINDOW_SIZE
	pending  []byte
	sent     int  // of pending
	queued   bool // it is in conn.waiting
	finished bool // nothing is added to pending
	trailers []byte
	unaryOK  bool // the trailers are those of a unary call that went well
}

// add adds a stream. It is called with mu held, as is all of this file that is not said
// to take it.
func (c *conn) add(id uint32, extra int64) *stream {
	st := &stream{c: c, id: id, extra: extra, recv: int64(c.o.StreamWindow), declared: -1}
	st.changed.L = &c.mu
	c.streams[id] = st
	c.open.Add(1)
	return st
}

// drop ends a stream, whose handler may still be busy.
func (c *conn) drop(st *stream) {
	if st.gone {
		return
	}
	st.gone = true
	delete(c.streams, st.id)
	c.open.Add(-1)
	if st.queued {
		for i, other := range c.waiting {
			if other == st {
				c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
				break
			}
		}
		st.queued = false
	}
	if !st.inEnded && !st.reset {
		c.out = appendReset(c.out, st.id, codeNo) // the request is not wanted any more (section 8.1)
		c.hush(st.id)
	}
	st.inErr = errReset
	c.returnLocked(int64(len(st.in)))
	st.in, st.pending = nil, nil
	if st.cancel != nil {
		st.cancel()
	}
	st.changed.Broadcast()
	if c.draining == drainLast && len(c.streams) == 0 {
		c.poke()
	}
}

// receive takes a part of a request's body. It returns how much of its size is to be
// given back to the client by whoever reads it, and what is wrong with it.
func (st *stream) receive(p []byte, size int64, ends bool) (int64, code) {
	st.recv -= size
	st.total += int64(len(p))
	switch {
	case st.recv < 0:
		return 0, codeFlowControl
	case st.declared >= 0 && (st.total > st.declared || ends && st.total < st.declared):
		return 0, codeProtocol
	case st.total > int64(st.c.o.MaxMessageSize):
		return 0, codeEnhanceYourCalm
	}
	st.inEnded = ends
	if st.deaf {
		return 0, codeNo
	}
	st.in = append(st.in, p...)
	st.unreturned += size - int64(len(p)) // the padding
	st.changed.Broadcast()
	return int64(len(p)), codeNo
}

// headers sends the header block that begins the answer.
func (st *stream) headers(fields []byte, ends bool) {
	c := st.c
	c.out = c.table.block(c.out, st.id, fields, ends, c.peerFrame)
	c.wrote = true
}

// send sends what is pending as far as the windows allow; the rest waits for them.
func (st *stream) send() {
	if !st.queued && !st.gone {
		st.queued = true
		st.c.waiting = append(st.c.waiting, st)
	}
	st.c.pump()
}

// pump sends what waits for the client's windows (section 6.9), first come first served.
func (c *conn) pump() {
	for i := 0; i < len(c.waiting) && len(c.out) < maxOut && c.err == nil; {
		st := c.waiting[i]
		c.sendSome(st)
		if st.sent < len(st.pending) {
			i++ // its own window is empty, or the connection's
			continue
		}
		st.pending, st.sent = st.pending[:0], 0
		c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
		st.queued = false
		st.changed.Broadcast()
		if st.finished {
			c.finish(st)
		}
	}
}

func (c *conn) sendSome(st *stream) {
	for st.sent < len(st.pending) && len(c.out) < maxOut {
		n := int(min(int64(len(st.pending)-st.sent), int64(c.peerFrame), c.sendWindow, c.peerWindow+st.extra))
		if n <= 0 {
			return
		}
		c.out = append(appendFrame(c.out, n, frameData, 0, st.id), st.pending[st.sent:st.sent+n]...)
		c.wrote = true
		st.sent += n
		st.extra -= int64(n)
		c.sendWindow -= int64(n)
	}
}

// finish sends what ends an answer.
func (c *conn) finish(st *stream) {
	switch {
	case st.unaryOK:
		c.out = c.table.unaryTrailers(c.out, st.id)
	case len(st.trailers) > 0:
		st.headers(st.trailers, true)
	default:
		c.out = appendFrame(c.out, 0, frameData, flagEndStream, st.id)
	}
	c.drop(st)
}

// later answers a unary call in a goroutine of its own. It takes mu.
func (c *conn) later(s call, message []byte, ended bool) {
	ctx, cancel := c.callContext(s.timeout)
	c.mu.Lock()
	if c.running >= int(c.o.MaxConcurrentStreams) {
		c.mu.Unlock()
		cancel()
		c.resetStream(s.id, codeRefusedStream)
		return
	}
	c.running++
	st := c.add(s.id, s.extra)
	st.inEnded, st.deaf, st.cancel = ended, true, cancel
	c.mu.Unlock()
	if message != nil {
		message = append(make([]byte, 0, len(message)), message...)
	}
	c.server.running.Go(func() {
		defer cancel()
		answer, err := c.answerLater(ctx, s.unary, message)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running--
		switch {
		case st.gone:
		case err != nil:
			st.headers(statusFields(err), true)
			c.drop(st)
		default:
			c.out = c.table.unaryHeaders(c.out, st.id)
			st.pending, st.finished, st.unaryOK = frameAnswer(answer), true, true
			st.send()
		}
		c.served.Add(1)
		c.flushTogether()
	})
}

// answerLater contains a panic of the method's.
func (c *conn) answerLater(ctx context.Context, u Unary, message []byte) (answer []byte, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			c.o.Log.ErrorContext(ctx, "panic while answering a call", "panic", fault, "stack", string(debug.Stack()))
			err = &Status{Code: 13, Message: "the call failed"} // INTERNAL
		}
	}()
	return u.Answer(ctx, message, make([]byte, grpcPrefix, 2<<10))
}

// statusFields is an answer that consists of a status alone.
func statusFields(err error) []byte {
	var s *Status
	if !errors.As(err, &s) {
		s = &Status{Code: 2} // UNKNOWN
	}
	b := appendField(appendStatus(nil, "200"), "content-type", contentType)
	b = appendField(b, grpcStatus, strconv.FormatUint(uint64(s.Code), 10))
	if s.Message != "" {
		b = appendField(b, "grpc-message", s.Message)
	}
	if s.Details != "" {
		b = appendField(b, "grpc-status-details-bin", s.Details)
	}
	return b
}

func (c *conn) callContext(grpcTimeout string) (context.Context, context.CancelFunc) {
	if d, ok := timeout(grpcTimeout); ok {
		return context.WithTimeout(c.ctx, d)
	}
	return context.WithCancel(c.ctx)
}

// A body is a request's, for a handler. It takes mu.
type body struct{ st *stream }

// Read implements io.Reader.
func (b body) Read(p []byte) (int, error) {
	st := b.st
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(st.in) == 0 && !st.inEnded && st.inErr == nil && c.err == nil {
		st.changed.Wait()
	}
	n := copy(p, st.in)
	if n == 0 {
		switch {
		case st.inErr != nil:
			return 0, st.inErr
		case c.err != nil && !st.inEnded:
			return 0, io.ErrUnexpectedEOF
		default:
			return 0, io.EOF
		}
	}
	if st.in = st.in[n:]; len(st.in) == 0 {
		st.in = nil
	}
	tell := c.returnLocked(int64(n))
	if st.unreturned += int64(n); !st.inEnded && st.unreturned >= int64(c.o.StreamWindow)/2 {
		c.out = appendWindowUpdate(c.out, st.id, int(st.unreturned))
		st.recv += st.unreturned
		st.unreturned = 0
		tell = true
	}
	if tell {
		c.flushLocked()
	}
	return n, nil
}

// Close implements io.Closer.
func (b body) Close() error {
	b.st.c.mu.Lock()
	defer b.st.c.mu.Unlock()
	if b.st.inErr == nil {
		b.st.inErr = errReset
	}
	b.st.changed.Broadcast()
	return nil
}

// windowUpdate handles WINDOW_UPDATE.
func (c *conn) windowUpdate(id uint32, p []byte) error {
	if len(p) != 4 {
		return connError{codeFrameSize, "a WINDOW_UPDATE frame is not 4 bytes long"}
	}
	n := int64(binary.BigEndian.Uint32(p) & maxWindow)
	if id == 0 {
		if n == 0 {
			return connError{codeProtocol, "a WINDOW_UPDATE of nothing"} // section 6.9
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.sendWindow += n; c.sendWindow > maxWindow {
			return connError{codeFlowControl, "the connection's window overflows"} // section 6.9.1
		}
		c.pump()
		return nil
	}
	if id > c.last {
		return c.ahead(connError{codeProtocol, "WINDOW_UPDATE on an idle stream"})
	}
	wrong := codeNo
	if n == 0 {
		wrong = codeProtocol
	}
	if i := c.find(id); i >= 0 {
		s := &c.collecting[i]
		if s.extra += n; s.extra+c.peerWindow > maxWindow {
			wrong = codeFlowControl
		}
		if wrong != codeNo {
			c.forget(i)
			c.resetStream(id, wrong)
		}
		return nil
	}
	c.mu.Lock()
	st := c.streams[id]
	if st != nil {
		if st.extra += n; st.extra+c.peerWindow > maxWindow {
			wrong = codeFlowControl
		}
		if wrong != codeNo {
			st.reset = true
			c.drop(st)
		} else {
			c.pump()
		}
	}
	c.mu.Unlock()
	if wrong != codeNo {
		c.resetStream(id, wrong)
	}
	return nil
}

// settings handles SETTINGS.
func (c *conn) settings(flags byte, id uint32, p []byte) error {
	switch {
	case id != 0:
		return connError{codeProtocol, "SETTINGS on a stream"}
	case flags&flagAck != 0 && len(p) > 0:
		return connError{codeFrameSize, "an acknowledgement of SETTINGS is not empty"}
	case flags&flagAck != 0 && !c.settled:
		return connError{codeProtocol, "the first frame is not SETTINGS"}
	case flags&flagAck != 0:
		return nil
	case len(p)%6 != 0:
		return connError{codeFrameSize, "a SETTINGS frame is not made of settings"}
	}
	c.nuisance++
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; len(p) > 0; p = p[6:] {
		if err := c.setting(uint16(p[0])<<8|uint16(p[1]), binary.BigEndian.Uint32(p[2:])); err != nil {
			return err
		}
	}
	c.out = appendFrame(c.out, 0, frameSettings, flagAck, 0)
	if !c.settled {
		c.settled = true
		c.handshake = time.Time{}
		c.setReadDeadline()
	}
	c.pump()
	return nil
}

// setting takes one of the client's settings (section 6.5.2).
func (c *conn) setting(id uint16, value uint32) error {
	switch id {
	case settingTableSize:
		c.table.resize(value)
	case settingEnablePush:
		if value > 1 {
			return connError{codeProtocol, "SETTINGS_ENABLE_PUSH is neither 0 nor 1"}
		}
	case settingInitialWindow:
		if value > maxWindow {
			return connError{codeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE is too large"}
		}
		most := int64(math.MinInt64)
		for i := range c.collecting {
			most = max(most, c.collecting[i].extra)
		}
		for _, st := range c.streams {
			most = max(most, st.extra)
		}
		if c.peerWindow = int64(value); most != math.MinInt64 && c.peerWindow+most > maxWindow {
			return connError{codeFlowControl, "a stream's window overflows"} // section 6.9.2
		}
	case settingMaxFrameSize:
		if value < maxFrameSize || value > 1<<24-1 {
			return connError{codeProtocol, "SETTINGS_MAX_FRAME_SIZE is out of range"}
		}
		c.peerFrame = int(min(value, keepSize)) // larger ones gain nothing
	}
	return nil
}
