package authz

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxIDLen is the greatest length of an identifier in bytes.
const MaxIDLen = 256

// CanonicalID gives an identifier its one spelling: a GUID in lower case, any other
// identifier as it is or, where the catalogue compares without case, in ASCII lower
// case. It is what tenants and principals are keyed by.
func CanonicalID(id string, foldCase bool) string {
	if foldCase || IsGUID(id) {
		return lowerASCII(id)
	}
	return id
}

// CanonicalPathID gives an identifier that can stand in a path its one spelling:
// [CanonicalID], with escapes of characters that may stand as they are decoded,
// every other escape in upper-case hex, and characters that may not stand in a path
// escaped. It refuses what a request path could never name.
func CanonicalPathID(id string, foldCase bool) (string, error) {
	if id == "" {
		return "", errors.New("an identifier must not be empty")
	}
	if len(id) > 3*MaxIDLen { // all of it escapes: whatever is longer is too long when decoded
		return "", fmt.Errorf("an identifier of %d bytes is longer than %d", len(id), MaxIDLen)
	}
	if !utf8.ValidString(id) {
		return "", errors.New("an identifier must be valid UTF-8")
	}
	var b strings.Builder
	decoded := make([]byte, 0, len(id)) // to check the UTF-8 of escapes and all that stands between them
	for i := 0; i < len(id); i++ {
		c := id[i]
		if c == '%' {
			if i+2 >= len(id) || !isHex(id[i+1]) || !isHex(id[i+2]) {
				return "", fmt.Errorf("identifier %q has a %% that is not followed by two hex digits", id)
			}
			c = unhex(id[i+1])<<4 | unhex(id[i+2])
			i += 2
		}
		decoded = append(decoded, c)
		switch {
		case standsInPath(c):
			if foldCase {
				c = lowerByte(c)
			}
			b.WriteByte(c)
		case c < 0x20 || c == 0x7F || strings.IndexByte("/\\%#?;", c) >= 0:
			return "", fmt.Errorf("identifier %q has a character that no request path can name", id)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	if !utf8.Valid(decoded) {
		return "", fmt.Errorf("identifier %q escapes invalid UTF-8", id)
	}
	canonical := b.String()
	switch {
	case canonical == "." || canonical == "..":
		return "", fmt.Errorf("%q is not an identifier", id)
	case len(canonical) > MaxIDLen: // judged in its one spelling, so that every spelling is judged alike
		return "", fmt.Errorf("an identifier of %d bytes is longer than %d", len(canonical), MaxIDLen)
	case IsGUID(canonical): // only now: a GUID can be spelled with escapes
		return lowerASCII(canonical), nil
	}
	return canonical, nil
}

const upperHex = "0123456789ABCDEF"

// standsInPath tells whether a byte may stand in a path segment as it is: RFC 3986
// unreserved, the sub-delimiters without ";", and ":" and "@".
func standsInPath(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("-._~!$&'()*+,:=@", c) >= 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}

// IsGUID tells whether s is a dashed GUID, in either case: an identifier that is compared
// without case wherever it comes from.
func IsGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHex(s[i]) {
				return false
			}
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// lowerASCII lower-cases ASCII letters and leaves every other byte alone; unlike
// strings.ToLower it never changes a string's length or meaning.
func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if lowerByte(s[i]) != s[i] {
			b := []byte(s)
			for ; i < len(b); i++ {
				b[i] = lowerByte(b[i])
			}
			return string(b)
		}
	}
	return s
}
