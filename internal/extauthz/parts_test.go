package extauthz

import (
	"bytes"
	"strings"
	"testing"
)

// What is written from its beginning with the lengths put in is what is written with the
// lengths worked out, on both sides of where a length takes a second byte.
func TestShortPartsAreWrittenLikeLongOnes(t *testing.T) {
	for _, name := range []string{"x", "x-pathgrant-principal", strings.Repeat("n", 100), strings.Repeat("n", 127), strings.Repeat("n", 300)} {
		header, entry := newHeaderPart(name), newStructPart(name)
		for length := range 300 {
			value := strings.Repeat("v", length)
			before := []byte("before")
			if got, want := header.appendSafe(bytes.Clone(before), value), header.appendLong(bytes.Clone(before), value); !bytes.Equal(got, want) {
				t.Errorf("header %.10s… of %d bytes with a value of %d:\n%x\nwant\n%x", name, len(name), length, got, want)
			}
			if got, want := entry.appendSafe(bytes.Clone(before), value), entry.appendLong(bytes.Clone(before), value); !bytes.Equal(got, want) {
				t.Errorf("entry %.10s… of %d bytes with a text of %d:\n%x\nwant\n%x", name, len(name), length, got, want)
			}
		}
	}
	none := newHeaderPart("")
	if got := none.appendSafe(nil, "v"); got != nil {
		t.Errorf("a header without a name is written as %x", got)
	}
}
