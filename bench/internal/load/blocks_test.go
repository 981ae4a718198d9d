package load

import (
	"testing"

	"golang.org/x/net/http2/hpack"
)

func TestBlocksThatChangeTheTableAreKnown(t *testing.T) {
	for name, test := range map[string]struct {
		block   []byte
		changes bool
	}{
		"nothing":                         {nil, false},
		"indexed":                         {[]byte{0x88, 0xBE}, false},
		"indexed far away":                {[]byte{0xFF, 0x05}, false},
		"literal, not indexed":            {[]byte{0x08, 0x03, '2', '0', '0'}, false},
		"literal, never indexed":          {[]byte{0x18, 0x03, '2', '0', '0'}, false},
		"literal with a new name":         {[]byte{0x00, 0x01, 'a', 0x01, 'b'}, false},
		"literal with incremental index":  {[]byte{0x48, 0x03, '2', '0', '0'}, true},
		"the same behind another field":   {[]byte{0x88, 0x48, 0x03, '2', '0', '0'}, true},
		"a new name, incremental":         {[]byte{0x40, 0x01, 'a', 0x01, 'b'}, true},
		"table size":                      {[]byte{0x20}, true},
		"a literal that looks like more":  {[]byte{0x00, 0x01, 0x40, 0x01, 0x20}, false},
		"cut off":                         {[]byte{0x08, 0x03, '2'}, true},
		"an integer without an end":       {[]byte{0xFF, 0x80}, true},
		"a length beyond what is allowed": {[]byte{0x08, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F}, true},
	} {
		if got := changesTable(test.block); got != test.changes {
			t.Errorf("%s: %v, want %v", name, got, test.changes)
		}
	}
}

// What was remembered must be what a decoder says that remembers nothing.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte{0x88, 0x40, 0x0B, 'g', 'r', 'p', 'c', '-', 's', 't', 'a', 't', 'u', 's', 0x01, '0'}, []byte{0xBE}, []byte{0xBE})
	f.Add([]byte{0x88}, []byte{0x88}, []byte{0x08, 0x03, '4', '0', '4'})
	f.Add([]byte{0x40, 0x01, 'a', 0x01, 'b'}, []byte{0x20, 0xBE}, []byte{0xBE})
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		b := newBlocks()
		var want head
		plain := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
			switch f.Name {
			case ":status":
				want.status = f.Value
			case "grpc-status":
				want.grpcStatus = f.Value
			case "grpc-message":
				want.grpcMessage = f.Value
			}
		})
		for _, block := range [][]byte{first, second, first, second, third, first, third} {
			want = head{}
			_, err := plain.Write(block)
			if err == nil {
				err = plain.Close()
			}
			got, gotErr := b.decode(block)
			if (err == nil) != (gotErr == nil) || err == nil && got != want {
				t.Fatalf("block %x: %+v (%v), want %+v (%v)", block, got, gotErr, want, err)
			}
			if err != nil {
				return // a connection ends here
			}
		}
	})
}
