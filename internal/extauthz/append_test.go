package extauthz

import (
	"strings"
	"testing"
)

// Every byte, wherever it stands among eight, is escaped exactly if it may not stand in a
// header.
func TestEveryByteIsSafeInAHeader(t *testing.T) {
	const digits = "0123456789ABCDEF"
	for c := range 256 {
		for at := range 18 {
			text := strings.Repeat("a", at) + string([]byte{byte(c)}) + strings.Repeat("~", 17-at)
			escaped := string([]byte{byte(c)})
			if c <= ' ' || c >= 0x7f || c == '%' {
				escaped = "%" + string(digits[c>>4]) + string(digits[c&15])
			}
			want := "x" + strings.Repeat("a", at) + escaped + strings.Repeat("~", 17-at)
			if got := string(appendHeaderSafe([]byte("x"), text)); got != want {
				t.Fatalf("%q becomes %q, want %q", text, got, want)
			}
		}
	}
}
