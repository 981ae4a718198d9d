package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// ParseJSON reads one JSON document, in time and memory linear in its size, into the same
// values as [Parse] does. A document that is no JSON at all is returned as the error.
func ParseJSON(file string, src []byte) (Value, *Reader, error) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	p := &jsonParser{file: file, src: src, decoder: json.NewDecoder(bytes.NewReader(src)), line: 1}
	p.decoder.UseNumber()
	if !utf8.Valid(src) {
		return Value{}, nil, Problem{File: file, Message: "not valid JSON: it is not UTF-8"}
	}
	if !json.Valid(src) {
		return Value{}, nil, p.invalid()
	}
	root, err := p.value()
	if err != nil {
		return Value{}, nil, err
	}
	r := &Reader{file: file}
	return Value{node: root, reader: r}, r, nil
}

// jsonParser builds nodes from tokens. The text was found valid before, so that only what
// JSON allows and we do not is left to refuse.
type jsonParser struct {
	file    string
	src     []byte
	decoder *json.Decoder

	offset, line, lineStart int // where the last token began
}

// token returns the next token and moves to its place.
func (p *jsonParser) token() (json.Token, error) {
	from := int(p.decoder.InputOffset())
	for from < len(p.src) && strings.IndexByte(" \t\r\n,:", p.src[from]) >= 0 {
		from++
	}
	for i := bytes.IndexByte(p.src[p.offset:from], '\n'); i >= 0; i = bytes.IndexByte(p.src[p.offset:from], '\n') {
		p.line++
		p.offset += i + 1
		p.lineStart = p.offset
	}
	p.offset = from
	return p.decoder.Token()
}

func (p *jsonParser) problem(format string, args ...any) error {
	return Problem{File: p.file, Line: p.line, Column: p.offset - p.lineStart + 1, Message: fmt.Sprintf(format, args...)}
}

func (p *jsonParser) value() (*yaml.Node, error) {
	token, err := p.token()
	if err != nil {
		return nil, p.problem("not valid JSON: %v", err)
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Line: p.line, Column: p.offset - p.lineStart + 1}
	switch token := token.(type) {
	case json.Delim:
		return node, p.children(node, token)
	case string:
		node.Tag, node.Value, node.Style = "!!str", token, yaml.DoubleQuotedStyle
		raw := p.src[p.offset:p.decoder.InputOffset()]
		if strings.ContainsRune(token, utf8.RuneError) && !bytes.ContainsRune(raw, utf8.RuneError) && !bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) {
			return nil, p.problem("half of a surrogate pair: no text holds that")
		}
	case json.Number:
		node.Tag, node.Value = "!!float", token.String()
	case bool:
		node.Tag, node.Value = "!!bool", fmt.Sprint(token)
	default:
		node.Tag, node.Value = "!!null", "null"
	}
	return node, nil
}

// children reads what stands between the delimiters, the last one included.
func (p *jsonParser) children(node *yaml.Node, open json.Delim) error {
	node.Kind, node.Tag, node.Style = yaml.SequenceNode, "!!seq", yaml.FlowStyle
	if open == '{' {
		node.Kind, node.Tag = yaml.MappingNode, "!!map"
	}
	for p.decoder.More() {
		child, err := p.value() // of a mapping, keys and values take turns
		if err != nil {
			return err
		}
		node.Content = append(node.Content, child)
	}
	_, err := p.token()
	return err
}

// invalid says where the text stops being JSON.
func (p *jsonParser) invalid() error {
	var into any
	err := json.Unmarshal(p.src, &into)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return fmt.Errorf("%s: not valid JSON: %w", p.file, err)
	}
	before := p.src[:min(max(int(syntax.Offset)-1, 0), len(p.src))]
	return Problem{
		File: p.file, Line: bytes.Count(before, []byte("\n")) + 1, Column: len(before) - bytes.LastIndexByte(before, '\n'),
		Message: "not valid JSON: " + syntax.Error(),
	}
}
