package ascii_test

import (
	"bytes"
	"testing"

	"github.com/pathgrant/pathgrant/internal/ascii"
)

// Each answer is that of looking at one byte after the other, wherever a byte stands and
// whatever its neighbours are.
func TestAnyByteAnywhereIsFound(t *testing.T) {
	t.Parallel()
	for length := range 27 {
		for at := range length {
			for c := range 256 {
				for _, fill := range []byte("a!~") {
					text := bytes.Repeat([]byte{fill}, length)
					text[at] = byte(c)
					check(t, text)
				}
			}
		}
	}
	check(t, nil)
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("Bearer abc"))
	f.Add([]byte("a \"quoted\\\" path/with%20things"))
	f.Add([]byte("\x7f\x80\xff\x20\x21\x00\x01"))
	f.Fuzz(check)
}

func check(t *testing.T, text []byte) {
	t.Helper()
	only, upper, printable := true, false, true
	for _, c := range text {
		only = only && c < 0x80
		upper = upper || 'A' <= c && c <= 'Z'
		printable = printable && c > ' ' && c < 0x7F && c != '"' && c != '\\'
	}
	if got := ascii.Only(text); got != only || ascii.Only(string(text)) != got {
		t.Errorf("%q is ASCII only: %t", text, got)
	}
	if got := ascii.HasUpper(text); only && got != upper || ascii.HasUpper(string(text)) != got {
		t.Errorf("%q has an upper-case letter: %t", text, got)
	}
	if got := ascii.Printable(text, '"', '\\'); got != printable || ascii.Printable(string(text), '"', '\\') != got {
		t.Errorf("%q is printable: %t", text, got)
	}
}
