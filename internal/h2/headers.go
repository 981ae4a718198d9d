package h2

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
)

// A headerReader reads header blocks.
type headerReader struct {
	decoder  *hpack.Decoder
	limit    int
	fields   []hpack.HeaderField
	size     int // as SETTINGS_MAX_HEADER_LIST_SIZE counts
	tooLarge bool

	// What has come of a block that is to be continued; stream 0: none is.
	stream uint32
	flags  byte
	block  []byte

	// The last block that left the tables as they were, and what became of it. Until
	// another block changes them, the same bytes mean the same.
	last        []byte
	lastUnary   Unary // nil: there is none
	lastTimeout string
}

func (h *headerReader) init(limit int) {
	h.limit = limit
	h.decoder = hpack.NewDecoder(initialTable, h.take)
	h.decoder.SetMaxStringLength(2 * limit)
}

func (h *headerReader) take(f hpack.HeaderField) {
	if h.size += int(f.Size()); h.size > h.limit {
		// The rest is read for the sake of the table.
		h.tooLarge = true
		h.decoder.SetEmitEnabled(false)
		return
	}
	h.fields = append(h.fields, f)
}

// decode reads a whole block into fields.
func (h *headerReader) decode(block []byte) error {
	h.lastUnary = nil
	h.fields, h.size, h.tooLarge = h.fields[:0], 0, false
	h.decoder.SetEmitEnabled(true)
	_, err := h.decoder.Write(block)
	if err == nil {
		err = h.decoder.Close()
	}
	if err != nil {
		return connError{codeCompression, "a header block cannot be read"} // section 4.3
	}
	return nil
}

// known returns what the block that was read last means, if this is the same.
func (h *headerReader) known(block []byte) (Unary, string) {
	if h.lastUnary == nil || !bytes.Equal(block, h.last) {
		return nil, ""
	}
	return h.lastUnary, h.lastTimeout
}

// remember notes what the block means that was just read, if it left the tables as they
// were: then it holds no field that goes into the table, and does not change its size.
// Envoy names most fields by their index and spells :path in every block.
func (h *headerReader) remember(block []byte, u Unary, timeout string) {
	if len(block) <= maxRemembered && leavesTables(block) {
		h.last, h.lastUnary, h.lastTimeout = append(h.last[:0], block...), u, timeout
	}
}

// maxRemembered bounds what is compared with every block.
const maxRemembered = 1 << 10

// leavesTables tells whether a block, which could be read, consists of indexed fields and
// of literals that are not indexed (RFC 7541 section 6). It may say no where one does.
func leavesTables(b []byte) bool {
	for len(b) > 0 {
		first := b[0]
		switch {
		case first&0x80 != 0: // an indexed field
			b = skipInt(b, 7)
			continue
		case first&0xe0 != 0: // a field for the table, or its new size
			return false
		}
		b = skipInt(b, 4)
		if first&0x0f == 0 { // its name is spelled too
			b = skipString(b)
		}
		b = skipString(b)
	}
	return b != nil
}

// skipInt returns what follows an integer with a prefix of so many bits; nil where that is
// not to be seen at once.
func skipInt(b []byte, bits uint) []byte {
	if len(b) == 0 {
		return nil
	}
	limit := byte(1<<bits - 1)
	if b[0]&limit != limit {
		return b[1:]
	}
	for i := 1; i < len(b); i++ {
		if b[i] < 0x80 {
			return b[i+1:]
		}
	}
	return nil
}

// skipString returns what follows a string of less than 127 bytes; nil otherwise.
func skipString(b []byte) []byte {
	if len(b) == 0 || b[0]&0x7f == 0x7f || int(b[0]&0x7f) >= len(b) {
		return nil
	}
	return b[1+int(b[0]&0x7f):]
}

// A request is the headers of one.
type request struct {
	method, scheme, path, authority string
	contentType, encoding, timeout  string
	declared                        int64 // content-length; -1: none
}

// request reads the fields, and tells whether they are well-formed (section 8.2 and 8.3).
func (h *headerReader) request() (r request, ok bool) {
	r.declared = -1
	regular := false
	for i := range h.fields {
		f := &h.fields[i]
		if !f.IsPseudo() {
			regular = true
			if !r.field(f) {
				return r, false
			}
			continue
		}
		if regular {
			return r, false
		}
		var into *string
		switch f.Name {
		case ":method":
			into = &r.method
		case ":scheme":
			into = &r.scheme
		case ":path":
			into = &r.path
		case ":authority":
			if r.authority != "" {
				return r, false
			}
			r.authority = f.Value
			continue
		default:
			return r, false
		}
		if *into != "" || f.Value == "" {
			return r, false
		}
		*into = f.Value
	}
	// CONNECT, which has neither scheme nor path, is nothing that is served here.
	return r, r.method != "" && r.scheme != "" && r.path != ""
}

// field takes a regular field, and tells whether it may stand in a request.
func (r *request) field(f *hpack.HeaderField) bool {
	switch f.Name {
	case "content-type":
		r.contentType = f.Value
	case "grpc-encoding":
		r.encoding = f.Value
	case "grpc-timeout":
		r.timeout = f.Value
	case "content-length":
		n, err := strconv.ParseUint(f.Value, 10, 63)
		if err != nil || r.declared >= 0 && r.declared != int64(n) {
			return false
		}
		r.declared = int64(n)
	case "te":
		return f.Value == "trailers"
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return false // section 8.2.2
	}
	return validName(f.Name) && validValue(f.Value)
}

func validName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ':' || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return s != ""
}

func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == 0 || c == '\n' || c == '\r' {
			return false
		}
	}
	return s == "" || strings.IndexByte(" \t", s[0]) < 0 && strings.IndexByte(" \t", s[len(s)-1]) < 0
}

// unary returns the method that answers the request; nil: the handler does.
func (o *Options) unary(r *request) Unary {
	if r.method != "POST" || r.encoding != "" && r.encoding != "identity" ||
		r.contentType != contentType && r.contentType != contentType+"+proto" {
		return nil
	}
	return o.Unary[r.path]
}

// timeout reads a grpc-timeout. What cannot be read is no timeout: the call ends with its
// stream.
func timeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if err != nil {
		return 0, false
	}
	d := time.Duration(n)
	switch s[len(s)-1] {
	case 'H':
		return d * time.Hour, n < 1e6
	case 'M':
		return d * time.Minute, true
	case 'S':
		return d * time.Second, true
	case 'm':
		return d * time.Millisecond, true
	case 'u':
		return d * time.Microsecond, true
	case 'n':
		return d, true
	default:
		return 0, false
	}
}

// headersFrame handles HEADERS.
func (c *conn) headersFrame(flags byte, id uint32, p []byte) error {
	if id%2 == 0 {
		return connError{codeProtocol, "HEADERS on a stream that is not a client's"} // section 5.1.1
	}
	p, ok := unpad(p, flags)
	if !ok {
		return connError{codeProtocol, "the padding is longer than the frame"}
	}
	if flags&flagPriority != 0 {
		if len(p) < 5 {
			return connError{codeFrameSize, "a HEADERS frame is too short"}
		}
		if err := c.priority(id, p[:5]); err != nil {
			return err
		}
		c.nuisance--
		p = p[5:]
	}
	if flags&flagEndHeaders == 0 {
		c.headers.stream, c.headers.flags = id, flags
		c.headers.block = append(c.headers.block[:0], p...)
		return nil
	}
	return c.headerBlock(flags, id, p)
}

// continuation handles CONTINUATION. A block is bounded before it is read (section 10.5.1).
func (c *conn) continuation(flags byte, id uint32, p []byte) error {
	h := &c.headers
	if h.stream == 0 {
		return connError{codeProtocol, "CONTINUATION of nothing"} // section 6.10
	}
	c.nuisance++
	if len(h.block)+len(p) > 2*h.limit {
		return connError{codeEnhanceYourCalm, "a header block is too large"}
	}
	h.block = append(h.block, p...)
	if flags&flagEndHeaders == 0 {
		return nil
	}
	h.stream = 0
	block := h.block
	if cap(block) > keepSize {
		h.block = nil
	}
	return c.headerBlock(h.flags, id, block)
}

// headerBlock handles a whole block: the headers of a request, or its trailers.
func (c *conn) headerBlock(flags byte, id uint32, block []byte) error {
	ends := flags&flagEndStream != 0
	if id <= c.last {
		return c.trailers(id, block, ends)
	}
	c.mu.Lock()
	over := c.draining == drainLast
	if !over {
		c.last = id
	}
	c.mu.Unlock()
	if !c.called.Load() {
		c.called.Store(true)
	}
	u, timeout := c.headers.known(block)
	if u != nil && !over && len(c.collecting)+int(c.open.Load()) < int(c.o.MaxConcurrentStreams) {
		c.begin(call{id: id, unary: u, timeout: timeout, declared: -1}, ends)
		return nil
	}
	if err := c.headers.decode(block); err != nil || over {
		return err // what comes after our last GOAWAY is ignored (section 6.8)
	}
	r, ok := c.headers.request()
	switch {
	case c.headers.tooLarge:
		c.refuse(id, "431", ends)
	case !ok:
		c.resetStream(id, codeProtocol) // section 8.1.1
	case len(c.collecting)+int(c.open.Load()) >= int(c.o.MaxConcurrentStreams):
		c.resetStream(id, codeRefusedStream)
	default:
		if u := c.o.unary(&r); u != nil {
			if r.declared < 0 {
				c.headers.remember(block, u, r.timeout)
			}
			c.begin(call{id: id, unary: u, timeout: r.timeout, declared: r.declared}, ends)
			return nil
		}
		if r.method == "CONNECT" || ends && r.declared > 0 {
			c.resetStream(id, codeProtocol)
			return nil
		}
		c.handle(id, &r, ends)
	}
	return nil
}

// begin begins the collection of a unary call.
func (c *conn) begin(s call, ends bool) {
	s.recv = int64(c.o.StreamWindow)
	c.collecting = append(c.collecting, s)
	if ends {
		c.collect(len(c.collecting)-1, nil, 0, true)
	}
}

// trailers handles a block on a stream that was begun before.
func (c *conn) trailers(id uint32, block []byte, ends bool) error {
	if err := c.headers.decode(block); err != nil {
		return err
	}
	malformed := !ends
	for _, f := range c.headers.fields {
		malformed = malformed || f.IsPseudo()
	}
	if i := c.find(id); i >= 0 {
		if malformed {
			c.forget(i)
			c.resetStream(id, codeProtocol)
			return nil
		}
		c.collect(i, nil, 0, true)
		return nil
	}
	c.mu.Lock()
	st := c.streams[id]
	wrong := codeNo
	switch {
	case st == nil && c.isQuiet(id):
	case st == nil:
		c.mu.Unlock()
		return connError{codeStreamClosed, "HEADERS on a stream that is closed"} // section 5.1
	case st.inEnded:
		wrong = codeStreamClosed
	case malformed:
		wrong = codeProtocol
	default:
		_, wrong = st.receive(nil, 0, true)
	}
	if wrong != codeNo {
		st.reset = true
		c.drop(st)
	}
	c.mu.Unlock()
	if wrong != codeNo {
		c.resetStream(id, wrong)
	}
	return nil
}

// refuse answers a request with an HTTP status.
func (c *conn) refuse(id uint32, status string, ended bool) {
	c.nuisance++
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = c.table.block(c.out, id, appendStatus(nil, status), true, c.peerFrame)
	c.wrote = true
	if !ended {
		c.out = appendReset(c.out, id, codeNo)
		c.hush(id)
	}
}
