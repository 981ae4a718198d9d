package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// ScanJSON is [ParseJSON] of a document that may be larger than memory: a list under a key
// for which hold returns true, given how many mappings and lists stand around the list, is
// found to be JSON and passed over. [Value.List] reads it from the document when it is
// asked for its items, one by one; [Value.Held] is for whoever wants to do so otherwise.
// read, if not nil, is told how many bytes were read, from the start of the document, and
// again when a list is.
func ScanJSON(file string, document io.ReaderAt, hold func(key string, depth int) bool, read func(int64)) (Value, *Reader, error) {
	s := newScanner(file, io.NewSectionReader(document, 0, math.MaxInt64), hold)
	s.told = read
	s.skipMark()
	root, err := s.value(0)
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return Value{}, nil, err
	}
	reader := &Reader{file: file, document: document, held: s.held, told: read}
	return Value{node: root, reader: reader}, reader, nil
}

// A HeldList is a list of a document that was passed over.
type HeldList struct {
	offset       int64
	line, column int
	size         int64
}

// Held returns where a list stands that was passed over.
func (v Value) Held() (HeldList, bool) {
	list, ok := v.reader.held[v.node]
	return list, ok
}

// heldList reads a held list as [Value.List] does.
func (v Value) heldList(held HeldList, item func(Value)) {
	err := held.Each(v.reader.file, v.reader.document, func(i Item) error {
		if v.reader.told != nil {
			v.reader.told(held.offset + i.Done)
		}
		value, err := i.Value(v.reader, v.path+"["+strconv.Itoa(i.Index)+"]")
		if err == nil {
			item(value)
		}
		return err
	})
	if err != nil {
		v.Problemf("cannot be read again: %v", err)
	}
}

// Size is the length of the list's text in bytes.
func (l HeldList) Size() int64 { return l.size }

// Each reads the list from its document, item by item, until yield returns an error. The
// item is valid until yield returns.
func (l HeldList) Each(file string, document io.ReaderAt, yield func(Item) error) error {
	s := newScanner(file, io.NewSectionReader(document, l.offset, l.size), nil)
	s.line, s.lineStart = l.line, int64(1-l.column)
	if c, err := s.next(); err != nil || c != '[' {
		return errors.Join(err, s.problem("the file has changed while it was read"))
	}
	for i := 0; ; i++ {
		c, err := s.next()
		if err != nil {
			return err
		}
		if i == 0 && c == ']' {
			return nil
		}
		s.unread()
		line, column := s.place()
		s.marked = s.at
		if err := s.skip(1); err != nil {
			return err
		}
		raw := s.buf[s.marked:s.at]
		s.marked = -1
		if err := yield(Item{file: file, raw: raw, Line: line, Column: column, Index: i, Done: s.base + int64(s.at)}); err != nil {
			return err
		}
		switch c, err := s.next(); {
		case err != nil:
			return err
		case c == ']':
			return nil
		case c != ',':
			return s.unexpected(c, "after array element")
		}
	}
}

// An Item is one item of a [HeldList].
type Item struct {
	file string
	raw  []byte

	Line, Column int
	Index        int
	// Done is how many bytes of the list were read, this item included.
	Done int64
}

// Value reads the item. Problems go to the reader.
func (i Item) Value(r *Reader, path string) (Value, error) {
	s := newScanner(i.file, bytes.NewReader(i.raw), nil)
	s.line, s.lineStart = i.Line, int64(1-i.Column)
	node, err := s.value(1)
	if err != nil {
		return Value{}, err
	}
	return r.value(node, path), nil
}

// Texts reads an item that is a mapping of some of the keys to texts without escapes, each
// once; ok says that it is one. What is not, [Item.Value] has to read. Texts of keys that
// are not given are nil. They are valid as long as the item is.
func (i Item) Texts(keys []string, texts [][]byte) (ok bool) {
	clear(texts)
	b := i.raw // which is JSON
	if len(b) == 0 || b[0] != '{' {
		return false
	}
	next := 0
	for b = skipBlank(b[1:]); b[0] != '}'; {
		key, rest, ok := plainText(b)
		if !ok {
			return false
		}
		at := -1
		for range keys {
			if keys[next] == string(key) {
				at = next
			}
			if next++; next == len(keys) {
				next = 0
			}
			if at >= 0 {
				break
			}
		}
		if at < 0 || texts[at] != nil {
			return false
		}
		if rest = skipBlank(rest); rest[0] != ':' {
			return false
		}
		if texts[at], rest, ok = plainText(skipBlank(rest[1:])); !ok {
			return false
		}
		if b = skipBlank(rest); b[0] == ',' {
			b = skipBlank(b[1:])
		}
	}
	return true
}

func skipBlank(b []byte) []byte {
	for len(b) > 1 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// plainText reads a string without escapes.
func plainText(b []byte) (text, rest []byte, ok bool) {
	if b[0] != '"' {
		return nil, nil, false
	}
	end := bytes.IndexByte(b[1:], '"')
	if end < 0 || bytes.IndexByte(b[1:1+end], '\\') >= 0 {
		return nil, nil, false
	}
	return b[1 : 1+end : 1+end], b[2+end:], true
}

// Column returns the value's column, from 1.
func (v Value) Column() int { return v.node.Column }

// ProblemAt records a problem with a value that is no longer there; the path is put before
// the message.
func (r *Reader) ProblemAt(line, column int, path, format string, args ...any) {
	Place{r, line, column, path}.Problemf(format, args...)
}

// Problems returns how many problems were recorded.
func (r *Reader) Problems() int { return len(r.problems) }

// Checkpoint returns a function that forgets the problems recorded since.
func (r *Reader) Checkpoint() func() {
	known := slices.Clone(r.problems)
	return func() { r.problems = slices.Clone(known) }
}

const (
	// maxNesting is how deep values may be nested, as in encoding/json.
	maxNesting = 10_000
	scanBuffer = 256 << 10
)

// A scanner reads JSON from a stream.
type scanner struct {
	file string
	r    io.Reader
	hold func(key string, depth int) bool
	held map[*yaml.Node]HeldList

	buf     []byte // buf[at:] is what was read of r and not yet here
	at      int
	base    int64 // the offset of buf
	marked  int   // what must stay in buf begins here; below 0: nothing
	readErr error
	told    func(int64)

	line      int
	lineStart int64
	before    int64 // where the line before began
	textAt    int   // the column of the text that is read
}

func newScanner(file string, r io.Reader, hold func(string, int) bool) *scanner {
	return &scanner{file: file, r: r, hold: hold, held: map[*yaml.Node]HeldList{}, line: 1, marked: -1}
}

// fill reads more; it returns false at the end.
func (s *scanner) fill() bool {
	if s.readErr != nil {
		return false
	}
	from := max(s.at-1, 0) // the byte before stays, for problems with the end
	if s.marked >= 0 {
		from = s.marked
	}
	if from > 0 {
		n := copy(s.buf, s.buf[from:])
		s.buf = s.buf[:n]
		s.at -= from
		s.base += int64(from)
		if s.marked >= 0 {
			s.marked = 0
		}
	}
	if cap(s.buf)-len(s.buf) < scanBuffer/2 {
		s.buf = append(make([]byte, 0, max(scanBuffer, 2*cap(s.buf))), s.buf...)
	}
	for {
		n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		if s.told != nil {
			s.told(s.base + int64(len(s.buf)))
		}
		if err != nil {
			s.readErr = err
		}
		if n > 0 || err != nil {
			return n > 0
		}
	}
}

// skipMark passes over a byte order mark.
func (s *scanner) skipMark() {
	const mark = "\ufeff"
	for len(s.buf)-s.at < len(mark) && s.fill() {
		continue
	}
	if bytes.HasPrefix(s.buf[s.at:], []byte(mark)) {
		s.at += len(mark)
		s.lineStart = int64(len(mark))
	}
}

// place returns where the next byte stands.
func (s *scanner) place() (line, column int) {
	return s.line, int(s.base + int64(s.at) - s.lineStart + 1)
}

func (s *scanner) problem(format string, args ...any) error {
	line, column := s.place()
	return Problem{File: s.file, Line: line, Column: max(column, 1), Message: fmt.Sprintf(format, args...)}
}

// cut is the error where the text ends too early.
func (s *scanner) cut() error {
	if s.readErr != nil && !errors.Is(s.readErr, io.EOF) {
		return fmt.Errorf("%s: %w", s.file, s.readErr)
	}
	if s.at > 0 { // the last byte is where it ends
		if s.at--; s.buf[s.at] == '\n' {
			s.line, s.lineStart = s.line-1, s.before
		}
	}
	return s.problem("not valid JSON: unexpected end of JSON input")
}

// unexpected is the error for the byte that was read last.
func (s *scanner) unexpected(c byte, where string) error {
	s.unread()
	quoted := "'" + string(rune(c)) + "'"
	switch {
	case c == '\'':
		quoted = `'\''`
	case c < 0x20 || c >= 0x7F:
		quoted = "'" + fmt.Sprintf(`\x%02x`, c) + "'"
	}
	return s.problem("not valid JSON: invalid character %s %s", quoted, where)
}

// byte returns the next byte.
func (s *scanner) byte() (byte, error) {
	if s.at == len(s.buf) && !s.fill() {
		return 0, s.cut()
	}
	c := s.buf[s.at]
	s.at++
	return c, nil
}

func (s *scanner) unread() { s.at-- }

func (s *scanner) newLine() {
	s.line++
	s.before, s.lineStart = s.lineStart, s.base+int64(s.at)
}

// next returns the next byte that is not blank.
func (s *scanner) next() (byte, error) {
	for {
		c, err := s.byte()
		if err != nil {
			return 0, err
		}
		switch c {
		case '\n':
			s.newLine()
		case ' ', '\t', '\r':
		default:
			return c, nil
		}
	}
}

// end makes sure that nothing follows.
func (s *scanner) end() error {
	for {
		if s.at == len(s.buf) && !s.fill() {
			if !errors.Is(s.readErr, io.EOF) {
				return fmt.Errorf("%s: %w", s.file, s.readErr)
			}
			return nil
		}
		c := s.buf[s.at]
		s.at++
		switch c {
		case '\n':
			s.newLine()
		case ' ', '\t', '\r':
		default:
			return s.unexpected(c, "after top-level value")
		}
	}
}

// value reads a value into nodes. depth is how many mappings and lists stand around it.
func (s *scanner) value(depth int) (*yaml.Node, error) {
	c, err := s.next()
	if err != nil {
		return nil, err
	}
	s.unread()
	line, column := s.place()
	node := &yaml.Node{Kind: yaml.ScalarNode, Line: line, Column: column}
	switch c {
	case '{':
		s.at++
		node.Kind, node.Tag, node.Style = yaml.MappingNode, "!!map", yaml.FlowStyle
		return node, s.mapping(node, depth+1)
	case '[':
		s.at++
		node.Kind, node.Tag, node.Style = yaml.SequenceNode, "!!seq", yaml.FlowStyle
		return node, s.list(node, depth+1)
	case '"':
		s.at++
		var b [64]byte
		text, err := s.text(b[:0])
		node.Tag, node.Value, node.Style = "!!str", string(text), yaml.DoubleQuotedStyle
		return node, err
	case 't':
		node.Tag, node.Value = "!!bool", "true"
	case 'f':
		node.Tag, node.Value = "!!bool", "false"
	case 'n':
		node.Tag, node.Value = "!!null", "null"
	default:
		var b [32]byte
		number, err := s.number(b[:0])
		node.Tag, node.Value = "!!float", string(number)
		return node, err
	}
	return node, s.literal(node.Value)
}

func (s *scanner) tooDeep(depth int) error {
	if depth > maxNesting {
		return s.problem("not valid JSON: exceeded max depth")
	}
	return nil
}

// mapping reads a mapping behind its brace.
func (s *scanner) mapping(node *yaml.Node, depth int) error {
	return s.members(depth, func() error {
		line, column := s.place()
		var b [64]byte
		text, err := s.text(b[:0])
		if err != nil {
			return err
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(text), Style: yaml.DoubleQuotedStyle, Line: line, Column: column - 1}
		node.Content = append(node.Content, key)
		return nil
	}, func() error {
		key := node.Content[len(node.Content)-1].Value
		if s.hold != nil && s.hold(key, depth) {
			list, err := s.heldList(depth)
			if list != nil {
				node.Content = append(node.Content, list)
			}
			if list != nil || err != nil {
				return err
			}
		}
		value, err := s.value(depth)
		node.Content = append(node.Content, value)
		return err
	})
}

// heldList passes over a list; nil where there is none.
func (s *scanner) heldList(depth int) (*yaml.Node, error) {
	c, err := s.next()
	if err != nil {
		return nil, err
	}
	s.unread()
	if c != '[' {
		return nil, nil
	}
	h := HeldList{offset: s.base + int64(s.at)}
	h.line, h.column = s.place()
	err = s.skip(depth)
	h.size = s.base + int64(s.at) - h.offset
	node := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle, Line: h.line, Column: h.column}
	s.held[node] = h
	return node, err
}

// list reads a list behind its bracket.
func (s *scanner) list(node *yaml.Node, depth int) error {
	return s.elements(depth, func() error {
		item, err := s.value(depth)
		node.Content = append(node.Content, item)
		return err
	})
}

// members reads a mapping behind its brace: key is called behind the quote that begins a
// key, value behind the colon.
func (s *scanner) members(depth int, key, value func() error) error {
	if err := s.tooDeep(depth); err != nil {
		return err
	}
	c, err := s.next()
	if err != nil || c == '}' {
		return err
	}
	for {
		if c != '"' {
			return s.unexpected(c, "looking for beginning of object key string")
		}
		if err := key(); err != nil {
			return err
		}
		if c, err = s.next(); err != nil {
			return err
		}
		if c != ':' {
			return s.unexpected(c, "after object key")
		}
		if err := value(); err != nil {
			return err
		}
		if c, err = s.next(); err != nil || c == '}' {
			return err
		}
		if c != ',' {
			return s.unexpected(c, "after object key:value pair")
		}
		if c, err = s.next(); err != nil {
			return err
		}
	}
}

// elements reads a list behind its bracket.
func (s *scanner) elements(depth int, item func() error) error {
	if err := s.tooDeep(depth); err != nil {
		return err
	}
	c, err := s.next()
	if err != nil || c == ']' {
		return err
	}
	s.unread()
	for {
		if err := item(); err != nil {
			return err
		}
		if c, err = s.next(); err != nil || c == ']' {
			return err
		}
		if c != ',' {
			return s.unexpected(c, "after array element")
		}
	}
}

// skip passes over a value.
func (s *scanner) skip(depth int) error {
	c, err := s.next()
	if err != nil {
		return err
	}
	switch c {
	case '{':
		return s.members(depth+1, s.skipText, func() error { return s.skip(depth + 1) })
	case '[':
		return s.elements(depth+1, func() error { return s.skip(depth + 1) })
	case '"':
		return s.skipText()
	case 't', 'f', 'n':
		s.unread()
		return s.literal(map[byte]string{'t': "true", 'f': "false", 'n': "null"}[c])
	default:
		s.unread()
		var b [32]byte
		_, err := s.number(b[:0])
		return err
	}
}

// skipText passes over a string behind its quote. It is text alone that can be left out;
// what is no text is found in any case.
func (s *scanner) skipText() error {
	_, column := s.place()
	s.textAt = column - 1
	for {
		for s.at < len(s.buf) {
			c := s.buf[s.at]
			if c == '"' {
				s.at++
				return nil
			}
			if c < 0x20 || c == '\\' || c >= utf8.RuneSelf {
				var b [64]byte
				_, err := s.restOfText(b[:0])
				return err
			}
			s.at++
		}
		if !s.fill() {
			return s.cut()
		}
	}
}

// text reads a string behind its quote, and appends what it says.
func (s *scanner) text(b []byte) ([]byte, error) {
	_, column := s.place()
	s.textAt = column - 1
	return s.restOfText(b)
}

func (s *scanner) restOfText(b []byte) ([]byte, error) {
	for {
		c, err := s.byte()
		if err != nil {
			return b, err
		}
		switch {
		case c == '"':
			return b, nil
		case c < 0x20:
			return b, s.unexpected(c, "in string literal")
		case c == '\\':
			if b, err = s.escape(b); err != nil {
				return b, err
			}
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			s.unread()
			if b, err = s.rune(b); err != nil {
				return b, err
			}
		}
	}
}

// rune reads a character of several bytes.
func (s *scanner) rune(b []byte) ([]byte, error) {
	for len(s.buf)-s.at < utf8.UTFMax && s.fill() {
		continue
	}
	r, n := utf8.DecodeRune(s.buf[s.at:])
	if r == utf8.RuneError && n <= 1 {
		return b, s.problem("not valid JSON: it is not UTF-8")
	}
	b = append(b, s.buf[s.at:s.at+n]...)
	s.at += n
	return b, nil
}

// escape reads what stands behind a backslash.
func (s *scanner) escape(b []byte) ([]byte, error) {
	c, err := s.byte()
	if err != nil {
		return b, err
	}
	switch c {
	case '"', '\\', '/':
		return append(b, c), nil
	case 'b':
		return append(b, '\b'), nil
	case 'f':
		return append(b, '\f'), nil
	case 'n':
		return append(b, '\n'), nil
	case 'r':
		return append(b, '\r'), nil
	case 't':
		return append(b, '\t'), nil
	case 'u':
	default:
		return b, s.unexpected(c, "in string escape code")
	}
	r, err := s.hex()
	if err != nil || !utf16.IsSurrogate(r) {
		return utf8.AppendRune(b, r), err
	}
	half := func() ([]byte, error) {
		return b, Problem{File: s.file, Line: s.line, Column: s.textAt, Message: "half of a surrogate pair: no text holds that"}
	}
	for _, want := range []byte(`\u`) {
		if c, err = s.byte(); err != nil {
			return b, err
		}
		if c != want {
			return half()
		}
	}
	second, err := s.hex()
	if err != nil {
		return b, err
	}
	if r = utf16.DecodeRune(r, second); r == utf8.RuneError {
		return half()
	}
	return utf8.AppendRune(b, r), nil
}

func (s *scanner) hex() (rune, error) {
	var digits [4]byte
	for i := range digits {
		c, err := s.byte()
		if err != nil {
			return 0, err
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return 0, s.unexpected(c, `in \u hexadecimal character escape`)
		}
		digits[i] = c
	}
	n, err := strconv.ParseUint(string(digits[:]), 16, 16)
	return rune(n), err
}

func (s *scanner) literal(word string) error {
	for i := range len(word) {
		c, err := s.byte()
		if err != nil {
			return err
		}
		if c != word[i] {
			return s.unexpected(c, fmt.Sprintf("in literal %s (expecting %q)", word, rune(word[i])))
		}
	}
	return nil
}

// number reads a number and appends its text.
func (s *scanner) number(b []byte) ([]byte, error) {
	c, err := s.byte()
	if err != nil {
		return b, err
	}
	if c == '-' {
		b = append(b, c)
		if c, err = s.byte(); err != nil {
			return b, err
		}
		if c < '0' || c > '9' {
			return b, s.unexpected(c, "in numeric literal")
		}
	}
	if c < '0' || c > '9' {
		return b, s.unexpected(c, "looking for beginning of value")
	}
	b = append(b, c)
	if c != '0' {
		b = s.digits(b)
	}
	if s.nextIs('.') {
		if b, err = s.fraction(append(b, '.'), "after decimal point in numeric literal"); err != nil {
			return b, err
		}
	}
	if s.nextIs('e') || s.nextIs('E') {
		b = append(b, s.buf[s.at-1])
		if s.nextIs('+') || s.nextIs('-') {
			b = append(b, s.buf[s.at-1])
		}
		return s.fraction(b, "in exponent of numeric literal")
	}
	return b, nil
}

// fraction reads at least one digit.
func (s *scanner) fraction(b []byte, where string) ([]byte, error) {
	c, err := s.byte()
	if err != nil {
		return b, err
	}
	if c < '0' || c > '9' {
		return b, s.unexpected(c, where)
	}
	return s.digits(append(b, c)), nil
}

func (s *scanner) digits(b []byte) []byte {
	for s.at < len(s.buf) || s.fill() {
		c := s.buf[s.at]
		if c < '0' || c > '9' {
			break
		}
		b = append(b, c)
		s.at++
	}
	return b
}

// nextIs takes the next byte if it is c.
func (s *scanner) nextIs(c byte) bool {
	if s.at == len(s.buf) && !s.fill() || s.buf[s.at] != c {
		return false
	}
	s.at++
	return true
}

// Reader returns the reader that problems with the value go to.
func (v Value) Reader() *Reader { return v.reader }
