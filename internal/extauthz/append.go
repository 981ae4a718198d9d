package extauthz

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pathgrant/pathgrant/internal/ascii"
)

// These append parts of protobuf messages. Whatever they are given, the texts in the
// result are UTF-8: a message that were not could not be read, which fails the call.

// begin starts a field whose length is not known yet, and returns where its value starts.
func begin(b []byte, number byte) ([]byte, int) {
	b = append(b, tagOf(number), 0)
	return b, len(b)
}

// end ends the field whose value started there. It moves the value where its length
// needs more than the one byte that begin left for it.
func end(b []byte, start int) []byte {
	length := len(b) - start
	if length < 1<<7 {
		b[start-1] = byte(length)
		return b
	}
	more := protowire.SizeVarint(uint64(length)) - 1
	b = slices.Grow(b, more)[:len(b)+more]
	copy(b[start+more:], b[start:])
	protowire.AppendVarint(b[:start-1], uint64(length))
	return b
}

// beginLong is begin for what is longer than 127 bytes as a rule, and ends with endLong.
func beginLong(b []byte, number byte) ([]byte, int) {
	b = append(b, tagOf(number), 0, 0)
	return b, len(b)
}

// endLong moves the value where its length needs more or less than two bytes.
func endLong(b []byte, start int) []byte {
	length := len(b) - start
	if 1<<7 <= length && length < 1<<14 {
		b[start-2], b[start-1] = byte(length)|1<<7, byte(length>>7)
		return b
	}
	copy(b[start-1:], b[start:])
	return end(b[:len(b)-1], start-1)
}

// appendText appends a string field. What is not UTF-8 in it is replaced.
func appendText[T string | []byte](b []byte, number byte, text T) []byte {
	b, start := begin(b, number)
	return end(appendUTF8(b, text), start)
}

func appendUTF8[T string | []byte](b []byte, text T) []byte {
	at := len(b)
	b = append(b, text...)
	if utf8.Valid(b[at:]) {
		return b
	}
	b = b[:at]
	for _, r := range string(text) {
		b = utf8.AppendRune(b, r)
	}
	return b
}

// unsafeInHeader are the bytes that may not stand in a header's value, and the percent
// sign.
var unsafeInHeader = func() (table [256]bool) {
	for c := range table {
		table[c] = c <= 0x20 || c >= 0x7F || c == '%'
	}
	return table
}()

// appendHeaderSafe appends text and escapes every byte that may not stand in a header's
// value, and the percent sign, so that a principal's name can neither end the header nor
// imitate an escape.
func appendHeaderSafe(b []byte, text string) []byte {
	if allSafe(text) {
		return append(b, text...)
	}
	const digits = "0123456789ABCDEF"
	from := 0
	for i := range len(text) {
		if c := text[i]; unsafeInHeader[c] {
			b = append(append(b, text[from:i]...), '%', digits[c>>4], digits[c&15])
			from = i + 1
		}
	}
	return append(b, text[from:]...)
}

// madeSafe is appendHeaderSafe for a text that nothing stands before.
func madeSafe(text string) string {
	if allSafe(text) {
		return text
	}
	return string(appendHeaderSafe(nil, text))
}

// allSafe tells whether nothing is to be escaped, which holds for nearly all texts.
func allSafe[T ~string](text T) bool { return ascii.Printable(text, '%', '%') }

// escapedInJSON are the bytes that encoding/json does not write as they are.
var escapedInJSON = func() (table [256]bool) {
	for c := range table {
		table[c] = c < 0x20 || c >= 0x7F || strings.IndexByte(`"\<>&`, byte(c)) >= 0
	}
	return table
}()

// appendJSON appends a text as encoding/json writes it.
func appendJSON[T string | []byte](b []byte, text T) []byte {
	for i := range len(text) {
		if escapedInJSON[text[i]] {
			escaped, err := json.Marshal(string(text))
			if err != nil { // strings always marshal
				return append(b, `""`...)
			}
			return append(b, escaped...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// appendJoined appends texts with a separator between them.
func appendJoined[T ~string](b []byte, all []T, separator string) []byte {
	for i, text := range all {
		if i > 0 {
			b = append(b, separator...)
		}
		b = append(b, text...)
	}
	return b
}

// appendJoinedSafe appends texts with commas between them, safe for a header.
func appendJoinedSafe[T ~string](b []byte, all []T) []byte {
	for i, text := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendHeaderSafe(b, string(text))
	}
	return b
}

// appendJSONList appends a list of texts under a key, if there are any.
func appendJSONList[T ~string](b []byte, key string, all []T) []byte {
	for i, text := range all {
		if i == 0 {
			b = append(append(append(b, `,"`...), key...), `":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendJSON(b, string(text))
	}
	if len(all) > 0 {
		b = append(b, ']')
	}
	return b
}
