package h2

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// preface is what a client begins with, RFC 9113 section 3.4.
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

	// readSize holds one frame, and maxReadSize is what a busy connection reads at once.
	readSize    = frameHeaderSize + maxFrameSize + 2<<10
	maxReadSize = 128 << 10

	// flushSize is how much is kept back while there is more to answer, and maxOut how
	// much may wait to be written before nothing more is read.
	flushSize = 16 << 10
	maxOut    = 256 << 10

	// keepSize bounds memory that is kept for later calls.
	keepSize = 64 << 10

	// maxNuisance is how many frames that serve no call a client may send for nothing,
	// and answered is how many of them each call makes good.
	maxNuisance = 1000
	answered    = 10

	// linger is how long a connection that is to be closed is still read, so that closing
	// it does not take from the client what it was sent last.
	linger = time.Second
)

// A conn is one connection. What stands above mu belongs to the goroutine that reads.
type conn struct {
	server *Server
	o      *Options
	nc     net.Conn
	tls    *tls.ConnectionState // nil: plain

	in         []byte // in[read:filled] is not yet handled
	read       int
	filled     int
	greeted    bool // the preface has come
	settled    bool // and the first SETTINGS
	closing    bool // what comes is read and dropped
	full       bool // the client takes so little that no more frames are handled
	nuisance   int
	headers    headerReader
	collecting []call // unary calls whose message has not come whole
	partial    int    // bytes of their messages
	spare      []byte // memory for such a message
	scratch    []byte // an answer
	lastPing   time.Time
	strikes    int

	served     atomic.Int32 // calls answered by other goroutines, since that was looked at
	active     atomic.Bool  // something was read
	called     atomic.Bool  // a call began
	unfinished atomic.Int32 // len(collecting)
	open       atomic.Int32 // len(streams)
	recvWindow atomic.Int64 // what the client may still send
	unreturned atomic.Int64 // what it has sent, was consumed, and it was not yet told so

	mu      sync.Mutex
	space   sync.Cond // out has become shorter, or err was set
	err     error     // why the connection is over
	out     []byte    // to be written
	idle    []byte    // memory for out
	writing bool
	writes  uint64             // how many were begun
	streams map[uint32]*stream // all calls that last
	running int                // goroutines of calls
	waiting []*stream          // those that wait for flow control, first come first served
	last    uint32             // the highest stream that was begun
	wrote   bool               // something other than an answer to a PING, since the last one

	sendWindow  int64
	peerWindow  int64 // SETTINGS_INITIAL_WINDOW_SIZE
	peerFrame   int   // SETTINGS_MAX_FRAME_SIZE
	table       table
	quiet       [32]uint32 // streams that ended here first
	quietNext   int
	ready       bool // something may be sent
	busy        bool // the reader handles what has come, and will then write
	draining    drainStep
	poked       bool      // the reader is to look up
	handshake   time.Time // until when the client may take to begin; zero: it has
	lingerUntil time.Time // when reading ends; zero: not yet
	watch       watch

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
}

// A call is a unary call whose message is being collected.
type call struct {
	id       uint32
	unary    Unary
	timeout  string // grpc-timeout
	declared int64  // content-length; -1: none
	total    int64
	extra    int64 // what WINDOW_UPDATE frames added to the window of its stream
	recv     int64 // what the client may still send
	body     []byte
}

func newConn(s *Server, nc net.Conn) *conn {
	if s.options.TLS == nil {
		nc = poll(nc)
	} else {
		nc = quick(nc) // TLS reads and writes, and waits, in goroutines of its own choice
	}
	c := &conn{
		server: s, o: &s.options, nc: nc,
		streams:    map[uint32]*stream{},
		sendWindow: initialWindow, peerWindow: initialWindow, peerFrame: maxFrameSize,
	}
	c.space.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.recvWindow.Store(int64(max(s.options.ConnectionWindow, initialWindow)))
	c.headers.init(int(s.options.MaxHeaderListSize))
	return c
}

// serve reads the connection until it ends.
func (c *conn) serve() {
	defer c.end()
	defer func() {
		if fault := recover(); fault != nil {
			c.panicked(fault, debug.Stack())
		}
	}()
	err := c.secure()
	if err == nil {
		c.greet()
		err = c.readAll()
	}
	var broken connError
	var fault *faultError
	switch {
	case errors.As(err, &fault):
		c.panicked(fault.fault, fault.stack)
	case errors.Is(err, io.EOF):
		c.finishWriting() // the client may have closed only its half
	case errors.As(err, &broken):
		c.o.Log.Debug("a client broke the protocol", "peer", c.nc.RemoteAddr().String(), "err", err)
		c.goAway(broken)
	}
}

// finishWriting waits until what is being written was.
func (c *conn) finishWriting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing && c.err == nil {
		c.space.Wait()
	}
}

func (c *conn) panicked(fault any, stack []byte) {
	c.o.Log.Error("panic while serving a connection", "panic", fault, "stack", string(stack))
	c.kill(errors.New("panic"))
}

// end takes the connection from all that still use it.
func (c *conn) end() {
	c.kill(net.ErrClosed)
	c.stopWatch()
}

// kill closes the connection at once.
func (c *conn) kill(why error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = why
	}
	c.space.Broadcast()
	for _, st := range c.streams {
		st.changed.Broadcast()
	}
	c.mu.Unlock()
	c.cancel()
	_ = c.nc.Close() // there is nobody left to tell
}

// secure does the TLS handshake.
func (c *conn) secure() error {
	until := time.Now().Add(c.o.HandshakeTimeout)
	if c.o.TLS == nil {
		c.setHandshake(until)
		return nil
	}
	ctx, cancel := context.WithDeadline(c.ctx, until)
	defer cancel()
	secured := tls.Server(c.nc, c.o.TLS)
	if err := secured.HandshakeContext(ctx); err != nil {
		c.o.Log.Debug("a TLS handshake failed", "peer", c.nc.RemoteAddr().String(), "err", err)
		return err
	}
	state := secured.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		return errors.New("the client does not speak HTTP/2")
	}
	c.mu.Lock()
	c.nc, c.tls = secured, &state
	c.mu.Unlock()
	c.setHandshake(time.Now().Add(c.o.HandshakeTimeout))
	return nil
}

// setHandshake says until when the client may take to begin.
func (c *conn) setHandshake(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handshake = until
	c.setReadDeadline()
}

// setReadDeadline is called with mu held.
func (c *conn) setReadDeadline() {
	until := c.handshake
	if !c.lingerUntil.IsZero() {
		until = c.lingerUntil
	}
	_ = c.nc.SetReadDeadline(until) // fails when it is closed, which the next read finds
}

// greet sends our SETTINGS, which come before all else.
func (c *conn) greet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	settings := make([]byte, 0, 18)
	settings = appendSetting(settings, settingMaxStreams, c.o.MaxConcurrentStreams)
	settings = appendSetting(settings, settingInitialWindow, uint32(c.o.StreamWindow))
	settings = appendSetting(settings, settingMaxHeaderList, c.o.MaxHeaderListSize)
	c.out = append(appendFrame(c.out, len(settings), frameSettings, 0, 0), settings...)
	if more := int(c.o.ConnectionWindow) - initialWindow; more > 0 {
		c.out = appendWindowUpdate(c.out, 0, more)
	}
	c.ready = true
	if c.draining == drainWanted {
		c.firstGoAway()
	}
	c.flushLocked()
}

// readAll handles frames until the connection ends.
func (c *conn) readAll() error {
	c.in = make([]byte, readSize)
	c.startWatch()
	for {
		full, err := c.turn(0)
		if full {
			err = c.awaitSpace()
		}
		if err != nil {
			return err
		}
		if err := readEach(c.nc, c.room, c.turn, c.awaitSpace); !errors.Is(err, os.ErrDeadlineExceeded) || !c.wasPoked() {
			return err
		}
	}
}

// turn handles what has come, of which so many bytes are new. It waits for nobody, and tells
// whether the next one is to wait for space.
func (c *conn) turn(n int) (full bool, err error) {
	c.filled += n
	if n > 0 && !c.active.Load() {
		c.active.Store(true)
	}
	c.hold()
	c.full = false
	if err := c.frames(); err != nil {
		return false, err
	}
	if n := int32(len(c.collecting)); c.unfinished.Load() != n {
		c.unfinished.Store(n)
	}
	return c.settle()
}

// room returns where to put what comes next.
func (c *conn) room() []byte {
	c.makeRoom()
	return c.in[c.filled:]
}

// A faultError is a panic of whoever took what had come.
type faultError struct {
	fault any
	stack []byte
}

func (e *faultError) Error() string { return fmt.Sprintf("panic: %v", e.fault) }

// readInTurn reads a connection, each time into the room that it is given, and hands over
// what has come, until there is an error.
func readInTurn(nc net.Conn, room func() []byte, take func(n int) (full bool, err error), space func() error) error {
	for {
		n, err := nc.Read(room())
		if n > 0 {
			full, err := take(n)
			if full {
				err = space()
			}
			if err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// makeRoom leaves room in the buffer for the frame that has come in part, and for more
// where the connection is busy.
func (c *conn) makeRoom() {
	if c.read == c.filled {
		busy := c.filled == len(c.in)
		c.read, c.filled = 0, 0
		if busy && len(c.in) < maxReadSize {
			c.in = make([]byte, min(2*len(c.in), maxReadSize))
		}
		return
	}
	if c.read > 0 {
		busy := c.filled == len(c.in)
		into := c.in
		if busy && len(c.in) < maxReadSize {
			into = make([]byte, min(2*len(c.in), maxReadSize))
		}
		n := copy(into, c.in[c.read:c.filled])
		c.in, c.read, c.filled = into, 0, n
	}
}

// hold makes answers wait until all that has come is handled.
func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = true
}

// settle writes what was answered, and ends the connection when its time has come. It tells
// whether the client takes too little of it.
func (c *conn) settle() (full bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	c.flush(true)
	switch {
	case c.err != nil:
		return false, c.err
	case c.draining == drainLast && len(c.streams) == 0 && len(c.collecting) == 0 && !c.closing && !c.writing:
		c.lingerLocked()
	}
	return c.full || len(c.out) > maxOut, nil
}

// awaitSpace waits while the client takes too little of what it is sent, and then handles what
// had come meanwhile.
func (c *conn) awaitSpace() error {
	for {
		c.mu.Lock()
		for c.err == nil && len(c.out) > maxOut {
			c.space.Wait() // another goroutine is writing
		}
		err := c.err
		c.mu.Unlock()
		if err != nil {
			return err
		}
		if full, err := c.turn(0); !full || err != nil {
			return err
		}
	}
}

// lingerLocked says that nothing more will be sent, and lets the reader go on for a while.
func (c *conn) lingerLocked() {
	c.closing = true
	c.lingerUntil = time.Now().Add(linger)
	c.setReadDeadline()
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // if it fails, the next read does too
	}
}

// flushTogether writes what a goroutine has answered, together with what others answer at
// the same time. It is called with mu held, and gives it up meanwhile.
func (c *conn) flushTogether() {
	if c.busy || c.writing {
		return
	}
	c.mu.Unlock()
	runtime.Gosched()
	c.mu.Lock()
	if !c.busy {
		c.flushLocked()
	}
}

// goAway ends the connection because of an error of the client's.
func (c *conn) goAway(e connError) {
	c.mu.Lock()
	c.busy = false
	c.out = appendGoAway(c.out, c.last, e.code, e.why)
	c.flushLocked()
	for c.writing && c.err == nil {
		c.space.Wait()
	}
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.lingerLocked()
	c.mu.Unlock()
	_, _ = io.Copy(io.Discard, io.LimitReader(c.nc, 16*maxReadSize)) // until the deadline
}

// poke makes the reader look up from a read that waits.
func (c *conn) poke() {
	c.poked = true
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

func (c *conn) wasPoked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	poked := c.poked
	c.poked = false
	c.setReadDeadline()
	return poked
}

// frames handles all frames that have come whole.
func (c *conn) frames() error {
	if !c.greeted {
		n := min(c.filled, len(preface))
		if string(c.in[:n]) != preface[:n] {
			return errors.New("the client does not speak HTTP/2")
		}
		if n < len(preface) {
			return nil
		}
		c.read, c.greeted = n, true
	}
	for c.filled-c.read >= frameHeaderSize && !c.full {
		h := c.in[c.read : c.read+frameHeaderSize : c.read+frameHeaderSize]
		length := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
		if length > maxFrameSize {
			return connError{codeFrameSize, "a frame is larger than SETTINGS_MAX_FRAME_SIZE"}
		}
		if c.filled-c.read < frameHeaderSize+length {
			return nil
		}
		from := c.read + frameHeaderSize
		c.read = from + length
		if c.closing {
			continue
		}
		payload := c.in[from:c.read:c.read]
		id := binary.BigEndian.Uint32(h[5:]) & maxStreamID // the first bit is reserved
		if err := c.frame(frameType(h[3]), h[4], id, payload); err != nil {
			return err
		}
		if c.nuisance > maxNuisance {
			c.nuisance = max(0, c.nuisance-answered*int(c.served.Swap(0)))
		}
		if c.nuisance > maxNuisance {
			return connError{codeEnhanceYourCalm, "too many frames that serve no call"}
		}
	}
	return nil
}

func (c *conn) frame(t frameType, flags byte, id uint32, p []byte) error {
	if c.headers.stream != 0 && (t != frameContinuation || id != c.headers.stream) {
		return connError{codeProtocol, "a header block is not continued"} // section 4.3
	}
	if !c.settled && t != frameSettings {
		return connError{codeProtocol, "the first frame is not SETTINGS"} // section 3.4
	}
	switch t {
	case frameData:
		return c.data(flags, id, p)
	case frameHeaders:
		return c.headersFrame(flags, id, p)
	case frameContinuation:
		return c.continuation(flags, id, p)
	case framePriority:
		return c.priority(id, p)
	case frameReset:
		return c.resetFrame(id, p)
	case frameSettings:
		return c.settings(flags, id, p)
	case framePing:
		return c.ping(flags, id, p)
	case frameWindowUpdate:
		return c.windowUpdate(id, p)
	case frameGoAway:
		if id != 0 {
			return connError{codeProtocol, "GOAWAY on a stream"}
		}
		if len(p) < 8 {
			return connError{codeFrameSize, "a GOAWAY frame is too short"}
		}
		// The client begins no stream that we might refuse; it closes when it is done.
		c.nuisance++
		return nil
	case framePushPromise:
		return connError{codeProtocol, "clients do not push"} // section 8.4
	default:
		c.nuisance++ // unknown frames are ignored (section 5.5)
		return nil
	}
}

// priority checks a PRIORITY frame, which otherwise counts for nothing (section 5.3.2).
func (c *conn) priority(id uint32, p []byte) error {
	c.nuisance++
	switch {
	case id == 0:
		return connError{codeProtocol, "PRIORITY without a stream"}
	case len(p) != 5:
		// Section 6.3 asks for a stream error; it cannot be one where the stream is idle.
		return connError{codeFrameSize, "a PRIORITY frame is not 5 bytes long"}
	case binary.BigEndian.Uint32(p)&maxStreamID == id:
		return connError{codeProtocol, "a stream depends on itself"}
	}
	return nil
}

// ping answers a PING, and ends the connection if they come too often.
func (c *conn) ping(flags byte, id uint32, p []byte) error {
	switch {
	case id != 0:
		return connError{codeProtocol, "PING on a stream"}
	case len(p) != 8:
		return connError{codeFrameSize, "a PING frame is not 8 bytes long"}
	}
	c.nuisance++
	if flags&flagAck != 0 {
		if bytes.Equal(p, drainPing[:]) {
			c.mu.Lock()
			c.lastGoAway()
			c.mu.Unlock()
		}
		return nil
	}
	now := time.Now()
	c.mu.Lock()
	c.out = appendPing(c.out, flagAck, p)
	wrote := c.wrote
	c.wrote = false
	c.mu.Unlock()
	switch {
	case wrote:
		c.strikes = 0
	case now.Sub(c.lastPing) < c.o.PingMinTime:
		c.strikes++
	}
	c.lastPing = now
	if c.strikes > 2 {
		return connError{codeEnhanceYourCalm, "too_many_pings"} // the text that gRPC clients know
	}
	return nil
}

// resetFrame handles RST_STREAM: the client wants no answer any more.
func (c *conn) resetFrame(id uint32, p []byte) error {
	c.nuisance++
	switch {
	case id == 0:
		return connError{codeProtocol, "RST_STREAM without a stream"}
	case len(p) != 4:
		return connError{codeFrameSize, "a RST_STREAM frame is not 4 bytes long"}
	case id > c.last:
		return c.ahead(connError{codeProtocol, "RST_STREAM on an idle stream"})
	}
	if i := c.find(id); i >= 0 {
		c.forget(i)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := c.streams[id]; st != nil {
		st.reset = true
		c.drop(st)
	}
	return nil
}

// ahead returns what is wrong with a frame on a stream that was not begun: nothing, if
// that is because the client had not yet read our last GOAWAY (section 6.8).
func (c *conn) ahead(wrong connError) error {
	c.nuisance++
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining == drainLast {
		return nil
	}
	return wrong
}

// find returns the index of a call that is being collected, or -1. The newest is the
// likeliest.
func (c *conn) find(id uint32) int {
	for i := len(c.collecting) - 1; i >= 0; i-- {
		if c.collecting[i].id == id {
			return i
		}
	}
	return -1
}

// forget ends the collection of a call.
func (c *conn) forget(i int) {
	body := c.collecting[i].body
	c.partial -= len(body)
	if cap(body) > cap(c.spare) && cap(body) <= keepSize {
		c.spare = body[:0]
	}
	n := len(c.collecting) - 1
	c.collecting[i] = c.collecting[n]
	c.collecting[n] = call{}
	c.collecting = c.collecting[:n]
}

// hush notes a stream that was ended here while the client may still be sending on it:
// what comes on it is no error (section 5.1).
func (c *conn) hush(id uint32) {
	c.quiet[c.quietNext%len(c.quiet)] = id
	c.quietNext++
}

func (c *conn) isQuiet(id uint32) bool {
	for _, q := range c.quiet {
		if q == id {
			return true
		}
	}
	return false
}

// resetStream ends a stream with an error (section 5.4.2).
func (c *conn) resetStream(id uint32, why code) {
	c.nuisance++
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hush(id)
	c.out = appendReset(c.out, id, why)
	c.wrote = true
}

// data handles DATA.
func (c *conn) data(flags byte, id uint32, p []byte) error {
	if id == 0 {
		return connError{codeProtocol, "DATA without a stream"}
	}
	size := int64(len(p)) // padding counts (section 6.9.1)
	if c.recvWindow.Add(-size) < 0 {
		return connError{codeFlowControl, "more was sent than the connection's window allows"}
	}
	p, ok := unpad(p, flags)
	if !ok {
		return connError{codeProtocol, "the padding is longer than the frame"}
	}
	ends := flags&flagEndStream != 0
	if len(p) == 0 && !ends {
		c.nuisance++
	}
	if i := c.find(id); i >= 0 {
		c.consumed(size)
		c.collect(i, p, size, ends)
		return nil
	}
	if id > c.last {
		c.consumed(size)
		return c.ahead(connError{codeProtocol, "DATA on an idle stream"})
	}
	c.mu.Lock()
	st := c.streams[id]
	switch {
	case st == nil && c.isQuiet(id):
		c.nuisance++
		c.returnLocked(size)
		c.mu.Unlock()
		return nil
	case st != nil && !st.inEnded:
		taken, wrong := st.receive(p, size, ends)
		c.returnLocked(size - taken)
		if wrong != codeNo {
			st.reset = true
			c.drop(st)
		}
		c.mu.Unlock()
		if wrong != codeNo {
			c.resetStream(id, wrong)
		}
		return nil
	case st != nil:
		st.reset = true
		c.drop(st)
	}
	c.returnLocked(size)
	c.mu.Unlock()
	c.resetStream(id, codeStreamClosed) // section 5.1
	return nil
}

// consumed says that so much of what the client sent has been dealt with, and tells the
// client from time to time (section 6.9).
func (c *conn) consumed(n int64) {
	if n == 0 || c.unreturned.Add(n) < int64(c.o.ConnectionWindow)/2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.returnLocked(0)
}

// returnLocked is consumed with mu held. It tells whether there is something to write.
func (c *conn) returnLocked(n int64) bool {
	if c.unreturned.Add(n) < int64(c.o.ConnectionWindow)/2 {
		return false
	}
	all := c.unreturned.Swap(0)
	c.recvWindow.Add(all)
	c.out = appendWindowUpdate(c.out, 0, int(all))
	return true
}

// collect takes a part of a unary call's message, and answers the call when it is whole.
func (c *conn) collect(i int, p []byte, size int64, ends bool) {
	s := &c.collecting[i]
	s.recv -= size
	s.total += int64(len(p))
	id := s.id
	switch {
	case s.recv < 0:
		c.forget(i)
		c.resetStream(id, codeFlowControl)
		return
	case s.declared >= 0 && (s.total > s.declared || ends && s.total < s.declared):
		c.forget(i)
		c.resetStream(id, codeProtocol) // section 8.1.1
		return
	case ends && len(s.body) == 0:
		c.answer(i, p, true)
		return
	case s.total > int64(c.o.MaxMessageSize)+grpcPrefix || c.partial+len(p) > c.o.MaxMessageSize+grpcPrefix:
		c.answer(i, nil, ends)
		return
	}
	if s.body == nil {
		s.body, c.spare = c.spare, nil
	}
	s.body = append(s.body, p...)
	c.partial += len(p)
	if ends {
		c.answer(i, s.body, true)
		return
	}
	if more := int64(c.o.StreamWindow) - s.recv; more >= int64(c.o.StreamWindow)/2 {
		s.recv += more
		c.mu.Lock()
		c.out = appendWindowUpdate(c.out, id, int(more))
		c.mu.Unlock()
	}
}

// grpcPrefix is what stands before a gRPC message: a byte that says whether it is
// compressed, and its length.
const grpcPrefix = 5

// unframe returns the message of a unary call; nil if there is not exactly one, or if it
// is compressed.
func unframe(b []byte) []byte {
	if len(b) < grpcPrefix || b[0] != 0 || uint64(binary.BigEndian.Uint32(b[1:])) != uint64(len(b)-grpcPrefix) {
		return nil
	}
	return b[grpcPrefix:]
}

// answer answers a call that is being collected.
func (c *conn) answer(i int, framed []byte, ended bool) {
	s := c.collecting[i] // a copy: its place is taken by another
	s.body = nil
	message := unframe(framed)
	if cap(c.scratch) < grpcPrefix {
		c.scratch = make([]byte, grpcPrefix, 4<<10)
	}
	answer, done := s.unary.AnswerAtOnce(message, c.scratch[:grpcPrefix])
	if cap(answer) <= keepSize {
		c.scratch = answer
	}
	c.nuisance = max(0, c.nuisance-answered)
	if !done {
		c.later(s, message, ended)
	} else {
		c.reply(s, frameAnswer(answer), ended)
	}
	c.forget(i)
}

// frameAnswer fills in the prefix for which room was left.
func frameAnswer(answer []byte) []byte {
	answer[0] = 0
	binary.BigEndian.PutUint32(answer[1:], uint32(len(answer)-grpcPrefix))
	return answer
}

// reply sends an answer. Usually it fits into the windows, and nothing is left to keep.
func (c *conn) reply(s call, framed []byte, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := int64(len(framed))
	if len(c.waiting) > 0 || len(framed) > c.peerFrame || size > c.sendWindow || size > c.peerWindow+s.extra {
		st := c.add(s.id, s.extra)
		st.inEnded = ended
		st.pending = append(st.pending, framed...)
		st.finished, st.unaryOK = true, true
		c.out = c.table.unaryHeaders(c.out, s.id)
		st.send()
		return
	}
	c.sendWindow -= size
	c.out = c.table.unaryHeaders(c.out, s.id)
	c.out = append(appendFrame(c.out, len(framed), frameData, 0, s.id), framed...)
	c.out = c.table.unaryTrailers(c.out, s.id)
	c.wrote = true
	if !ended {
		// The whole answer was sent before the whole request had come (section 8.1).
		c.out = appendReset(c.out, s.id, codeNo)
		c.hush(s.id)
	}
	if len(c.out) >= flushSize {
		c.flush(true)
		c.full = len(c.out) > maxOut
	}
}

// flushLocked writes what is to be written, unless another goroutine is doing that: then
// that one writes this too. It is called with mu held, and gives it up while it writes.
func (c *conn) flushLocked() { c.flush(false) }

// flush is flushLocked. What would have to wait is left to a goroutine of its own if atOnce,
// as it is for the one that reads: it reads other connections too.
func (c *conn) flush(atOnce bool) {
	if c.writing || !c.ready {
		return
	}
	for rounds := 0; len(c.out) > 0 && c.err == nil; rounds++ {
		b := c.out
		c.out, c.idle = c.idle[:0], nil
		c.writing = true
		c.writes++
		c.mu.Unlock()
		var n int
		var err error
		switch {
		case !atOnce:
			n, err = c.nc.Write(b)
		case rounds < mostRounds:
			n, err = writeAtOnce(c.nc, b)
		default: // others go on adding
		}
		c.mu.Lock()
		if err == nil && n < len(b) {
			c.server.running.Go(func() { c.writeRest(b, n) })
			return
		}
		c.written(b, err)
	}
}

// mostRounds is how many times the one that reads writes what others have added meanwhile.
const mostRounds = 4

// writeRest writes what a flush left behind the first n bytes, and what has been added since.
func (c *conn) writeRest(b []byte, n int) {
	_, err := c.nc.Write(b[n:])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written(b, err)
	c.flushLocked()
}

// written ends a write. It is called with mu held.
func (c *conn) written(b []byte, err error) {
	c.writing = false
	if cap(b) <= 2*keepSize {
		c.idle = b[:0]
	}
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("write: %w", err)
		c.poke() // the reader closes the connection; a reader that is closing cannot wait for itself
	}
	c.pump()
	c.space.Broadcast()
	if len(c.out) == 0 && c.draining == drainLast && len(c.streams) == 0 {
		c.poke() // the reader may have waited for this to end the connection
	}
}
