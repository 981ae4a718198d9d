package load

import (
	"fmt"

	"golang.org/x/net/http2/hpack"
)

// blocks decodes header blocks. Servers send the same few over and over; one that does
// not change the decoder's table, and has the bytes of one seen since the table last
// changed, has its meaning too.
type blocks struct {
	decoder *hpack.Decoder
	current head
	seen    map[string]head
}

// A head is what counts of a header block.
type head struct{ status, grpcStatus, grpcMessage string }

// maxSeen bounds what is remembered.
const maxSeen = 256

func newBlocks() *blocks {
	b := &blocks{seen: map[string]head{}}
	b.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		switch f.Name {
		case ":status":
			b.current.status = f.Value
		case "grpc-status":
			b.current.grpcStatus = f.Value
		case "grpc-message":
			b.current.grpcMessage = f.Value
		}
	})
	return b
}

func (b *blocks) decode(block []byte) (head, error) {
	if known, ok := b.seen[string(block)]; ok {
		return known, nil
	}
	b.current = head{}
	if _, err := b.decoder.Write(block); err != nil {
		return head{}, fmt.Errorf("a header block of the server: %w", err)
	}
	if err := b.decoder.Close(); err != nil {
		return head{}, fmt.Errorf("a header block of the server: %w", err)
	}
	if changesTable(block) || len(b.seen) >= maxSeen {
		clear(b.seen)
		return b.current, nil
	}
	b.seen[string(block)] = b.current
	return b.current, nil
}

// changesTable tells whether a block, which is well formed, adds to the decoder's table or
// changes its size. It says yes in doubt.
func changesTable(block []byte) bool {
	for len(block) > 0 {
		b := block[0]
		var ok bool
		switch {
		case b&0x80 != 0: // an indexed field
			_, block, ok = integer(block, 7)
		case b&0xE0 != 0: // with incremental indexing, or the table's size
			return true
		default: // a literal that is not indexed
			var index int
			if index, block, ok = integer(block, 4); ok && index == 0 {
				block, ok = text(block)
			}
			if ok {
				block, ok = text(block)
			}
		}
		if !ok {
			return true
		}
	}
	return false
}

// integer reads one with a prefix of so many bits, unless it is large or cut off.
func integer(b []byte, bits int) (int, []byte, bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	mask := byte(1)<<bits - 1
	if n := b[0] & mask; n != mask {
		return int(n), b[1:], true
	}
	n := int(mask)
	for i, shift := 1, 0; i < len(b) && shift < 28; i, shift = i+1, shift+7 {
		n += int(b[i]&0x7F) << shift
		if b[i]&0x80 == 0 {
			return n, b[i+1:], true
		}
	}
	return 0, nil, false
}

// text reads over a string.
func text(b []byte) ([]byte, bool) {
	n, rest, ok := integer(b, 7)
	if !ok || n > len(rest) {
		return nil, false
	}
	return rest[n:], true
}
