package extauthz

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// A scanned is what a decision needs of a CheckRequest, read from its bytes without the
// rest being built. Scanned again, it uses its memory again; its texts are parts of one
// copy of the bytes and stay valid.
type scanned struct {
	frame []byte // valid during the scan only
	text  string // a copy of it

	http               bool // there is an HTTP request
	method, host, path string
	principal          string
	joined             []header // "headers"; of two with one name, the later counts
	listed             []header // "header_map"
	extensions         []header // "context_extensions"; like joined
	metadata           string   // the message "metadata_context", not yet read
}

// A header is one as it came, or another name with a value.
type header struct{ name, value, raw string }

var errNotACheck = errors.New("the check is not a readable message")

// scan reads a CheckRequest. Its outcome is that of proto.Unmarshal for any bytes: the
// same fields, or an error by both; then what was scanned must not be used.
func (s *scanned) scan(frame []byte) error {
	*s = scanned{
		frame: frame, text: string(frame),
		joined: s.joined[:0], listed: s.listed[:0], extensions: s.extensions[:0],
	}
	err := s.message(checkRequest, 0, len(frame), protowire.DefaultRecursionLimit)
	s.frame = nil
	return err
}

// message reads the fields of the message at frame[at:end]. A message that comes in
// several parts is their concatenation: a later value replaces an earlier one.
func (s *scanned) message(m *schema, at, end, depth int) error {
	if depth--; depth < 0 {
		return errNotACheck
	}
	for at < end {
		b := s.frame[at:end]
		number, wire, n := protowire.ConsumeTag(b)
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
		value, size := protowire.ConsumeBytes(b[n:])
		if size < 0 || f.kind == text && !utf8.Valid(value) {
			return errNotACheck
		}
		at += n + size
		s.keep(f.keep, s.text[at-len(value):at])
		if f.message != nil {
			if err := s.message(f.message, at-len(value), at, depth); err != nil {
				return err
			}
		}
	}
	return nil
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
		s.joined = append(s.joined, header{})
	case joinedName:
		s.joined[len(s.joined)-1].name = value
	case joinedValue:
		s.joined[len(s.joined)-1].value = value
	case listedHeader:
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
