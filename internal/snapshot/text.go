package snapshot

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Most texts on disk are GUIDs and scopes, which are made of GUIDs and a few words. Both
// are stored packed, a GUID in 16 bytes in place of 36, and every text in one form only:
// what could be packed and is not cannot be read.

// The forms of a text that is packed.
const (
	plainText = iota
	scopeText
	guidText
)

// scopeStart is what every scope begins with.
const scopeStart = "/tenants/"

func formOf(text string) int {
	switch {
	case len(text) == guidLength && isPackedGUID(text):
		return guidText
	case strings.HasPrefix(text, scopeStart):
		return scopeText
	default:
		return plainText
	}
}

const (
	guidLength = 36
	guidBytes  = 16
)

// lowerHex tells which bytes are digits of a GUID in lower case.
var lowerHex = func() (is [256]bool) {
	for _, c := range []byte("0123456789abcdef") {
		is[c] = true
	}
	return is
}()

// isPackedGUID tells whether a text of 36 bytes is a dashed GUID in lower case.
func isPackedGUID(text string) bool {
	if len(text) != guidLength || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return false
	}
	for i := range guidLength {
		if !lowerHex[text[i]] && text[i] != '-' {
			return false
		}
	}
	return strings.Count(text, "-") == 4
}

func nibble(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

// appendGUID appends the 16 bytes of a text that is a GUID. They sort as the texts do.
func appendGUID(b []byte, text string) []byte {
	for i := 0; i < guidLength; i += 2 {
		if text[i] == '-' {
			i++
		}
		b = append(b, nibble(text[i])<<4|nibble(text[i+1]))
	}
	return b
}

// hexPairs are the two digits of each byte.
var hexPairs = func() (pairs [256][2]byte) {
	const digits = "0123456789abcdef"
	for i := range pairs {
		pairs[i] = [2]byte{digits[i>>4], digits[i&15]}
	}
	return pairs
}()

// unpackGUID appends the text of 16 bytes.
func unpackGUID(b []byte, packed string) []byte {
	from := len(b)
	b = slices.Grow(b, guidLength)[:from+guidLength]
	text := (*[guidLength]byte)(b[from:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	_ = packed[guidBytes-1]
	for i, at := range [guidBytes]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		pair := &hexPairs[packed[i]]
		text[at], text[at+1] = pair[0], pair[1]
	}
	return b
}

// The words in scopes that are stored in a byte, by that byte. What is listed here is part
// of the layout on disk.
var scopeWords = [...]string{
	2: "tenants", 3: "environments", 4: "environmentGroups", 5: "businessUnits", 6: "powerapps", 7: "flows",
	8: "projects", 9: "websites", 10: "tables",
}

const (
	scopeGUID    = 1
	scopeLiteral = 16 // a literal segment begins with its length and this
)

func scopeWord(segment string) byte {
	for i := 2; i < len(scopeWords); i++ {
		if scopeWords[i] == segment {
			return byte(i)
		}
	}
	return 0
}

// packScope appends the packed form of a text that begins with "/".
func packScope(b []byte, text string) []byte {
	for text != "" {
		segment := text[1:]
		if end := strings.IndexByte(segment, '/'); end >= 0 {
			segment = segment[:end]
		}
		text = text[1+len(segment):]
		if len(segment) == guidLength && isPackedGUID(segment) {
			b = appendGUID(append(b, scopeGUID), segment)
		} else if word := scopeWord(segment); word != 0 {
			b = append(b, word)
		} else {
			b = append(binary.AppendUvarint(b, uint64(len(segment)+scopeLiteral)), segment...)
		}
	}
	return b
}

// unpackScope appends the text of what packScope appended; ok says that it did.
func unpackScope(b []byte, packed string) (_ []byte, ok bool) {
	from := len(b)
	for packed != "" {
		b = append(b, '/')
		switch head := packed[0]; {
		case head == scopeGUID:
			if len(packed) < 1+guidBytes {
				return b, false
			}
			b = unpackGUID(b, packed[1:1+guidBytes])
			packed = packed[1+guidBytes:]
		case int(head) < len(scopeWords) && scopeWords[head] != "":
			b = append(b, scopeWords[head]...)
			packed = packed[1:]
		default:
			r := payloadReader{rest: packed}
			n := r.uint()
			if r.bad || n < scopeLiteral || n-scopeLiteral > uint64(len(r.rest)) {
				return b, false
			}
			segment := r.rest[:n-scopeLiteral]
			if strings.IndexByte(segment, '/') >= 0 || scopeWord(segment) != 0 || len(segment) == guidLength && isPackedGUID(segment) {
				return b, false
			}
			b = append(b, segment...)
			packed = r.rest[len(segment):]
		}
	}
	text := b[from:] // converted for a comparison alone it needs no memory of its own
	return b, len(text) >= len(scopeStart) && string(text[:len(scopeStart)]) == scopeStart
}
