package extauthz

import (
	"errors"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pathgrant/pathgrant/internal/ascii"
)

// A scanned is what a decision needs of a CheckRequest, read from its bytes without the
// rest being built. Its texts are parts of those bytes: they are valid for as long as the
// bytes are left alone, and until the next scan. Scanned again, it uses its memory again.
type scanned struct {
	frame []byte // valid during the scan only
	text  string // the same bytes

	http               bool // there is an HTTP request
	unsure             bool // a header's name may not be in lower case
	method, host, path string
	principal          string
	joined             []header // "headers"; of two with one name, the later counts
	listed             []header // "header_map"
	extensions         []header // "context_extensions"; like joined
	metadata           string   // the message "metadata_context", not yet read

	authorization, contentTypes []string // the values of these headers, of whichever form
}

// A header is one as it came, or another name with a value.
type header struct{ name, value, raw string }

var errNotACheck = errors.New("the check is not a readable message")

// scan reads a CheckRequest. Its outcome is that of proto.Unmarshal for any bytes: the
// same fields, or an error by both; then what was scanned must not be used.
func (s *scanned) scan(frame []byte) error {
	*s = scanned{
		frame: frame, text: viewOf(frame),
		joined: s.joined[:0], listed: s.listed[:0], extensions: s.extensions[:0],
		authorization: s.authorization[:0], contentTypes: s.contentTypes[:0],
	}
	err := s.message(checkRequest, 0, len(frame), protowire.DefaultRecursionLimit)
	s.frame = nil
	return err
}

// viewOf returns the bytes as a string that shares their memory, because to copy them costs
// as much as to scan them. It is safe for as long as nobody writes to them, which is until
// the check was answered (see [Server.AnswerAtOnce]); whoever keeps a part of the string
// for longer clones it.
func viewOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// message reads the fields of the message at frame[at:end]. A message that comes in
// several parts is their concatenation: a later value replaces an earlier one.
func (s *scanned) message(m *schema, at, end, depth int) error {
	if depth--; depth < 0 {
		return errNotACheck
	}
	for at < end {
		b := s.frame[at:end]
		number, wire, n := protowire.Number(b[0]>>3), protowire.Type(b[0]&7), 1
		if b[0] < 1<<3 || b[0] >= 1<<7 { // not a tag of one byte, as nearly all are
			number, wire, n = protowire.ConsumeTag(b)
		}
		if n < 0 || number > protowire.MaxValidNumber {
			return errNotACheck
		}
		f := m.field(number)
		if f.kind == mapEntry && depth == 0 {
			return errNotACheck
		}
		if f.kind == plain || wire != protowire.BytesType {
			// A field of another type than the descriptor says is one that is not known.
			size := protowire.ConsumeFieldValue(number, wire, b[n:])
			if size < 0 {
				return errNotACheck
			}
			at += n + size
			continue
		}
		length, size := consumeLength(b[n:])
		if size < 0 || length > uint64(len(b)-n-size) {
			return errNotACheck
		}
		from := at + n + size
		at = from + int(length)
		if f.kind == text && !ascii.Only(s.text[from:at]) && !utf8.Valid(s.frame[from:at]) {
			return errNotACheck
		}
		if f.keep != nothing {
			if f.message != nil && s.pair(f.keep, s.text[from:at]) {
				continue
			}
			s.keep(f.keep, s.text[from:at])
		}
		if f.message != nil {
			if err := s.message(f.message, from, at, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// pair reads a header or an extension in the one form in which they come from a proxy: a
// name and then a value, once each, in ASCII and of less than 16 KiB. It tells whether that
// is what there is; anything else is left to the walk through the schema.
func (s *scanned) pair(what keep, b string) bool {
	name, rest, ok := leading(b, 1)
	if !ok || !ascii.Only(name) {
		return false
	}
	value, raw := "", ""
	if len(rest) > 0 && rest[0] == 2<<3|byte(protowire.BytesType) {
		if value, rest, ok = leading(rest, 2); !ok || !ascii.Only(value) {
			return false
		}
	}
	switch what {
	case listedHeader:
		if len(rest) > 0 {
			if raw, rest, ok = leading(rest, 3); !ok {
				return false // the raw value alone may hold any bytes
			}
		}
		if len(rest) > 0 {
			return false
		}
		s.listed = append(s.listed, header{name, value, raw})
	case joinedHeader:
		if len(rest) > 0 {
			return false
		}
		s.joined = append(s.joined, header{name: name, value: value})
	case extension:
		if len(rest) > 0 {
			return false
		}
		s.extensions = append(s.extensions, header{name: name, value: value})
		return true
	default:
		return false
	}
	s.unsure = s.unsure || ascii.HasUpper(name)
	return true
}

// leading reads a field of bytes with the number given, if it is first and its length is said
// in one byte or two.
func leading(b string, number byte) (value, rest string, ok bool) {
	if len(b) < 2 || b[0] != number<<3|byte(protowire.BytesType) {
		return "", "", false
	}
	length, from := int(b[1]), 2
	if length >= 1<<7 {
		if len(b) < 3 || b[2] >= 1<<7 {
			return "", "", false
		}
		length, from = length&(1<<7-1)|int(b[2])<<7, 3
	}
	if length > len(b)-from {
		return "", "", false
	}
	return b[from : from+length], b[from+length:], true
}

// consumeLength is protowire.ConsumeVarint, quick for lengths of one and two bytes.
func consumeLength(b []byte) (uint64, int) {
	switch {
	case len(b) > 0 && b[0] < 1<<7:
		return uint64(b[0]), 1
	case len(b) > 1 && b[1] < 1<<7:
		return uint64(b[0]&(1<<7-1)) | uint64(b[1])<<7, 2
	}
	return protowire.ConsumeVarint(b)
}

// keep notes a value.
func (s *scanned) keep(what keep, value string) {
	switch what {
	case nothing:
	case method:
		s.method = value
	case host:
		s.host = value
	case path:
		s.path = value
	case principal:
		s.principal = value
	case httpPresent:
		s.http = true
	case metadata:
		s.metadata += value // no copy where it comes in one part
	case joinedHeader:
		s.unsure = true
		s.joined = append(s.joined, header{})
	case joinedName:
		s.joined[len(s.joined)-1].name = value
	case joinedValue:
		s.joined[len(s.joined)-1].value = value
	case listedHeader:
		s.unsure = true
		s.listed = append(s.listed, header{})
	case listedName:
		s.listed[len(s.listed)-1].name = value
	case listedValue:
		s.listed[len(s.listed)-1].value = value
	case listedRaw:
		s.listed[len(s.listed)-1].raw = value
	case extension:
		s.extensions = append(s.extensions, header{})
	case extensionName:
		s.extensions[len(s.extensions)-1].name = value
	case extensionValue:
		s.extensions[len(s.extensions)-1].value = value
	}
}
