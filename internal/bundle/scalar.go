package bundle

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// appendText appends a text as a YAML scalar, plain where every YAML parser reads it as
// that text, or as a JSON string.
func appendText(b []byte, text string, format Format) ([]byte, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("the text %q is not valid UTF-8", text)
	}
	if format == YAML && standsPlain(text) {
		return append(b, text...), nil
	}
	return appendQuoted(b, text, format), nil
}

// appendQuoted appends a text between double quotes. Both formats read the escapes
// alike, except the one of a character beyond the basic plane, which stands as it is.
func appendQuoted(b []byte, text string, format Format) []byte {
	b = append(b, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case mustEscape(r):
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// standsPlain tells whether a text may stand without quotes inside a flow mapping.
func standsPlain(text string) bool {
	if text == "" || isReserved(text) {
		return false
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '/':
		case i > 0 && ('0' <= c && c <= '9' || strings.IndexByte("-_.@+", c) >= 0):
		case '0' <= c && c <= '9' && isGUIDShaped(text):
		default:
			return false
		}
	}
	return true
}

// isReserved tells whether some YAML parser takes the word for something else than text.
func isReserved(text string) bool {
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf":
		return true
	}
	return false
}

// isGUIDShaped tells whether dashes stand where they do in a GUID, so that a text which
// begins with a digit is no number to any parser.
func isGUIDShaped(text string) bool {
	return len(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-'
}

// mustEscape tells whether a character means something else, or nothing, as it stands in a
// double-quoted YAML text.
func mustEscape(r rune) bool {
	switch {
	case r < 0x20, 0x7F <= r && r <= 0x9F, r == 0x2028, r == 0x2029, r == 0xFEFF, r == 0xFFFE, r == 0xFFFF:
		return true
	}
	return false
}
