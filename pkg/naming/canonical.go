package naming

import (
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// What a path may be at most, after the query is cut off.
const (
	MaxPathLen  = 8 << 10
	MaxSegments = 128
)

// A byte of a path is of one of these classes.
const (
	refused  = iota // no path may hold it, nor an escape of it
	standing        // stands as it is, and so do escapes of it
	encoded         // stands as an escape, whether it came as one or not
	slash
	percent
)

// byteClass holds the class of each byte as it stands in a path.
var byteClass = func() (class [256]uint8) {
	for c := 0x21; c < 0x7F; c++ {
		class[c] = encoded
	}
	for c := '0'; c <= '9'; c++ {
		class[c] = standing
	}
	for c := 'a'; c <= 'z'; c++ {
		class[c], class[c-'a'+'A'] = standing, standing
	}
	for _, c := range "-._~!$&'()*+,:=@" {
		class[c] = standing
	}
	for _, c := range `\#;?` {
		class[c] = refused
	}
	class['/'], class['%'] = slash, percent
	return class
}()

// The details of the refusals.
const (
	refusedEmpty    = "the path is empty"
	refusedRelative = "the path does not start with /"
	refusedLong     = "the path is longer than 8 KiB"
	refusedSegments = "the path has more than 128 segments"
	refusedByte     = "the path has a byte that must not stand in one"
	refusedPercent  = "the path has a % that is not followed by two hex digits"
	refusedEscape   = "the path escapes a character that must not stand in one"
	refusedUTF8     = "the path escapes invalid UTF-8"
	refusedSlashes  = "the path has an empty segment"
	refusedDots     = "the path has a segment . or .."
)

const upperHex = "0123456789ABCDEF"

// segments is a path in its one spelling, taken apart. The zero segments has none; it
// is made to be read into again and again.
type segments struct {
	text   []byte // with a / before each segment
	low    []byte // the same with ASCII letters in lower case, but for the hex digits of escapes
	starts [MaxSegments + 1]uint16
	count  int
}

// read takes the path apart. It returns why the path is refused, or "".
//
// It splits first and decodes after, so that no escape can make or hide a segment.
func (s *segments) read(path string) (refusal string) {
	s.text, s.low, s.count = s.text[:0], s.low[:0], 0
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	switch {
	case path == "":
		return refusedEmpty
	case path[0] != '/':
		return refusedRelative
	case len(path) > MaxPathLen:
		return refusedLong
	case path == "/":
		return ""
	}
	if path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	// An escape is the longest that a byte can become.
	s.text = slices.Grow(s.text, 3*len(path))[:3*len(path)]
	s.low = slices.Grow(s.low, len(s.text))[:len(s.text)]
	text, low, n := s.text, s.low, 0
	var run utf8Run
	for i := 0; i < len(path); i++ {
		c := path[i]
		class, escaped := byteClass[c], false
		if class == percent {
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return refusedPercent
			}
			c, escaped = unhex(path[i+1])<<4|unhex(path[i+2]), true
			i += 2
			class = escapedClass(c)
		}
		if (escaped || run.held > 0) && !run.add(c, escaped) {
			return refusedUTF8
		}
		switch class {
		case standing:
			text[n], low[n] = c, lowerByte(c)
			n++
		case encoded:
			text[n], text[n+1], text[n+2] = '%', upperHex[c>>4], upperHex[c&15]
			low[n], low[n+1], low[n+2] = '%', upperHex[c>>4], upperHex[c&15]
			n += 3
		case slash:
			if refusal := s.end(n); refusal != "" {
				return refusal
			}
			if s.count == MaxSegments {
				return refusedSegments
			}
			text[n], low[n] = '/', '/'
			n++
			s.starts[s.count] = uint16(n) // three times MaxPathLen at most
			s.count++
		default:
			if escaped {
				return refusedEscape
			}
			return refusedByte
		}
	}
	if run.held > 0 {
		return refusedUTF8
	}
	return s.end(n)
}

// escapedClass returns the class of a byte that came as an escape.
func escapedClass(c byte) uint8 {
	class := byteClass[c]
	switch {
	case c == ' ' || c >= 0x80:
		return encoded
	case class == slash || class == percent:
		return refused
	}
	return class
}

// end ends the segment before a place in the text, if one has begun.
func (s *segments) end(n int) (refusal string) {
	if s.count == 0 {
		return ""
	}
	switch string(s.text[s.starts[s.count-1]:n]) {
	case "":
		return refusedSlashes
	case ".", "..":
		return refusedDots
	}
	s.starts[s.count] = uint16(n + 1) // three times MaxPathLen at most
	return ""
}

// exact returns a segment as it was spelled, valid until the next read.
func (s *segments) exact(i int) string { return viewOf(s.text[s.starts[i] : s.starts[i+1]-1]) }

// folded returns a segment in lower case, valid until the next read.
func (s *segments) folded(i int) string { return viewOf(s.low[s.starts[i] : s.starts[i+1]-1]) }

// word returns a segment in the form in which the catalogue's words are looked up.
func (s *segments) word(i int, fold bool) string {
	if fold {
		return s.folded(i)
	}
	return s.exact(i)
}

// id returns a segment as an identifier in its one spelling.
func (s *segments) id(i int, fold bool) string {
	if fold || authz.IsGUID(s.exact(i)) {
		return s.folded(i)
	}
	return s.exact(i)
}

// viewOf returns the bytes as a string that shares their memory.
func viewOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// utf8Run checks that the bytes of a run of escapes are UTF-8.
type utf8Run struct {
	bytes [utf8.UTFMax]byte
	held  int // bytes of a character that is not complete
}

// add takes the next byte of the path and tells whether it may stand there.
func (u *utf8Run) add(c byte, escaped bool) bool {
	if !escaped || c < utf8.RuneSelf {
		return u.held == 0
	}
	u.bytes[u.held] = c
	u.held++
	if !utf8.FullRune(u.bytes[:u.held]) {
		return true
	}
	_, size := utf8.DecodeRune(u.bytes[:u.held])
	complete := size == u.held && size > 1
	u.held = 0
	return complete
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

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// lowerASCII lower-cases ASCII letters and leaves every other byte alone.
func lowerASCII(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lowerByte(b[i])
	}
	return string(b)
}
