package h2

import (
	"slices"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// A block that is taken for one which leaves the tables alone does: it can be left out, and
// read again it says the same.
func FuzzARememberedBlockLeavesTheTables(f *testing.F) {
	for _, seed := range []struct {
		block string
		want  bool
	}{
		{"\x83\x86", true},               // fields of the static table
		{"\xbe\x83", true},               // one of the dynamic table
		{"\x04\x02/p\xbe", true},         // :path, which is not to be indexed
		{"\x14\x02/p", true},             // and which is never to be
		{"\x00\x01a\x01b", true},         // a name that is spelled
		{"\x0f\x20\x01b", true},          // a name whose index takes two bytes
		{"\x04\x82\x60\xbf", true},       // Huffman's code
		{"\x44\x02/p", false},            // :path, for the table
		{"\x83\x40\x01a\x01b", false},    // a new name, for the table
		{"\x20\x83", false},              // the table's new size
		{"\x04\x02/p\x44\x02/q", false},  // both
		{"\x04\x7f\x00" + long(), false}, // a value that is too long to look at
	} {
		if got := leavesTables([]byte(seed.block)); got != seed.want {
			f.Errorf("%q: %v, want %v", seed.block, got, seed.want)
		}
		f.Add([]byte("\x40\x01a\x01b"), []byte(seed.block))
	}
	for _, cut := range []string{"\x04", "\x04\x02/", "\x00", "\x00\x01a", "\xff", "\xff\x80", "\x0f", "\x04\xff"} {
		if leavesTables([]byte(cut)) {
			f.Errorf("%q ends in the middle", cut)
		}
	}
	f.Fuzz(func(t *testing.T, before, block []byte) {
		read := func(d *hpack.Decoder, b []byte) ([]hpack.HeaderField, bool) {
			var fields []hpack.HeaderField
			d.SetEmitFunc(func(f hpack.HeaderField) { fields = append(fields, f) })
			_, err := d.Write(b)
			return fields, err == nil && d.Close() == nil
		}
		with, without := hpack.NewDecoder(initialTable, nil), hpack.NewDecoder(initialTable, nil)
		for _, d := range []*hpack.Decoder{with, without} {
			if _, ok := read(d, before); !ok {
				return
			}
		}
		first, ok := read(with, block)
		if !ok || !leavesTables(block) {
			return
		}
		again, ok := read(with, block)
		if !ok || !slices.Equal(first, again) {
			t.Fatalf("%q is %v, and then %v", block, first, again)
		}
		for index := byte(firstDynamic); index < 0x7f; index++ {
			probe := []byte{0x80 | index}
			got, ok := read(with, probe)
			want, wanted := read(without, probe)
			if ok != wanted || !slices.Equal(got, want) {
				t.Fatalf("%q: field %d is %v, and without it %v", block, index, got, want)
			}
			if !ok {
				return // a decoder that has failed is of no more use
			}
		}
	})
}

// long is a value of 127 bytes.
func long() string { return string(make([]byte, 127)) }
