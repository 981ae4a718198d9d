package h2

// Header blocks that are sent (RFC 7541). Answers to unary calls consist of the same two
// fields again and again, which go into the client's table once; all other fields are
// sent as literals that leave the table alone. All of it is called with conn.mu held, so
// that blocks are written in the order in which they change the table.

const (
	staticStatus200   = 0x88 // :status: 200, a field of the static table
	staticStatus      = 8    // its name alone
	staticContentType = 31
	firstDynamic      = 62

	contentType = "application/grpc"
	grpcStatus  = "grpc-status"
	// tableRoom is what the two fields take: 32 bytes each besides their texts.
	tableRoom = 32 + len("content-type") + len(contentType) + 32 + len(grpcStatus) + 1
)

// A table is what is known of the client's table. The zero table is that of a new
// connection.
type table struct {
	off         bool // it is too small
	contentType bool // it holds content-type: application/grpc
	status      bool // it holds grpc-status: 0, which came after that
	update      bool // the client has changed its size, and is to be told which is used
	size        int
}

// resize takes a SETTINGS_HEADER_TABLE_SIZE into account (RFC 7541 section 4.2).
func (t *table) resize(size uint32) {
	if size < uint32(tableRoom) || t.off {
		*t = table{off: true, update: true} // of size 0, whatever is allowed later
		return
	}
	t.update, t.size = true, int(min(size, initialTable))
}

// open begins a header block.
func (t *table) open(b []byte) []byte {
	if t.update {
		t.update = false
		b = appendInt(b, 0x20, 5, t.size)
	}
	return b
}

// appendInt appends an integer with a prefix of so many bits (RFC 7541 section 5.1).
func appendInt(b []byte, first byte, bits uint, n int) []byte {
	limit := 1<<bits - 1
	if n < limit {
		return append(b, first|byte(n))
	}
	b = append(b, first|byte(limit))
	for n -= limit; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func appendString(b []byte, s string) []byte {
	return append(appendInt(b, 0, 7, len(s)), s...)
}

// appendField appends a field that stays out of the table.
func appendField(b []byte, name, value string) []byte {
	return appendString(appendString(append(b, 0), name), value)
}

func appendStatus(b []byte, status string) []byte {
	if status == "200" {
		return append(b, staticStatus200)
	}
	return appendString(append(b, staticStatus), status)
}

// unaryHeaders appends the HEADERS frame that begins an answer.
func (t *table) unaryHeaders(b []byte, stream uint32) []byte {
	at := len(b)
	b = appendFrame(b, 0, frameHeaders, flagEndHeaders, stream)
	b = append(t.open(b), staticStatus200)
	switch {
	case t.contentType && t.status:
		b = append(b, 0x80|firstDynamic+1)
	case t.contentType:
		b = append(b, 0x80|firstDynamic)
	case t.off:
		b = appendString(appendInt(b, 0, 4, staticContentType), contentType)
	default:
		t.contentType = true
		b = appendString(append(b, 0x40|staticContentType), contentType)
	}
	b[at+2] = byte(len(b) - at - frameHeaderSize)
	return b
}

// unaryTrailers appends the HEADERS frame that ends an answer with gRPC's status OK.
func (t *table) unaryTrailers(b []byte, stream uint32) []byte {
	at := len(b)
	b = appendFrame(b, 0, frameHeaders, flagEndHeaders|flagEndStream, stream)
	b = t.open(b)
	switch {
	case t.status:
		b = append(b, 0x80|firstDynamic)
	case t.off || !t.contentType:
		b = appendField(b, grpcStatus, "0")
	default:
		t.status = true
		b = appendString(appendString(append(b, 0x40), grpcStatus), "0")
	}
	b[at+2] = byte(len(b) - at - frameHeaderSize)
	return b
}

// block appends a header block in as many frames as the client's SETTINGS_MAX_FRAME_SIZE
// makes of it.
func (t *table) block(b []byte, stream uint32, fields []byte, ends bool, most int) []byte {
	flags := byte(0)
	if ends {
		flags = flagEndStream
	}
	if t.update {
		fields = append(t.open(nil), fields...)
	}
	for kind := frameHeaders; ; kind, flags = frameContinuation, 0 {
		n := min(len(fields), most)
		if n == len(fields) {
			flags |= flagEndHeaders
		}
		b = append(appendFrame(b, n, kind, flags, stream), fields[:n]...)
		if fields = fields[n:]; len(fields) == 0 {
			return b
		}
	}
}
