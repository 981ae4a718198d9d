// Package strictyaml reads YAML and JSON documents that people write by hand: unknown
// keys, keys given twice, wrong types, aliases, tags and a second document are problems,
// each with file, line and column, and all of them are reported at once.
//
// Whoever reads a document walks it with a [Value] and asks [Reader.Err] at the end; what
// was read is to be used only if that is nil.
package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// A Problem is one thing that is wrong with a document.
type Problem struct {
	File         string
	Line, Column int // from 1; 0 where the whole file is meant
	Message      string
}

// Error returns "file:line:column: message".
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// A Reader collects the problems of one document. It is not safe for concurrent use.
type Reader struct {
	file     string
	problems []Problem
	document io.ReaderAt
	held     map[*yaml.Node]HeldList // lists that were passed over, in the document
	told     func(int64)
}

// Err returns all problems, in the order of the file, joined; nil if there are none.
func (r *Reader) Err() error {
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, 0, len(r.problems))
	for _, p := range slices.Compact(r.problems) {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// Problemf records a problem with the file as a whole.
func (r *Reader) Problemf(format string, args ...any) {
	r.problems = append(r.problems, Problem{File: r.file, Message: fmt.Sprintf(format, args...)})
}

// Parse reads one document. Problems that follow from its text are recorded in the
// reader too; a document that is no YAML at all is returned as the error.
func Parse(file string, src []byte) (Value, *Reader, error) {
	r := &Reader{file: file}
	loader, err := yaml.NewLoader(strings.NewReader(string(src)))
	if err != nil {
		return Value{}, nil, fmt.Errorf("%s: %w", file, err)
	}
	var document yaml.Node
	switch err := loader.Load(&document); {
	case errors.Is(err, io.EOF):
		return Value{}, nil, Problem{File: file, Message: "the document is empty"}
	case err != nil:
		return Value{}, nil, syntaxProblem(file, err)
	}
	var second yaml.Node
	if err := loader.Load(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return Value{}, nil, syntaxProblem(file, err)
		}
		return Value{}, nil, Problem{File: file, Line: second.Line, Column: max(second.Column, 1), Message: "a second document: want one"}
	}
	root := &document
	if root.Kind == yaml.DocumentNode {
		if len(root.Content) == 0 {
			return Value{}, nil, Problem{File: file, Message: "the document is empty"}
		}
		root = root.Content[0]
	}
	return r.value(root, ""), r, nil
}

// syntaxProblem turns the parser's error into a Problem with its place.
func syntaxProblem(file string, err error) error {
	var load *yaml.LoadError
	if errors.As(err, &load) {
		return Problem{File: file, Line: load.Mark.Line, Column: max(load.Mark.Column, 1), Message: "not valid YAML: " + load.Message}
	}
	return fmt.Errorf("%s: not valid YAML: %w", file, err)
}

// A Value is a node of the document, with the path of keys that leads to it.
type Value struct {
	node   *yaml.Node
	reader *Reader
	path   string
}

// value makes the value of a node. A tag is a problem: it would change what the text
// stands for, so that !!null DENY is nothing and !!bool yes is false.
func (r *Reader) value(node *yaml.Node, path string) Value {
	v := Value{node: node, reader: r, path: path}
	if node.Style&yaml.TaggedStyle != 0 {
		v.Problemf("has the tag %s: write the value without", node.Tag)
	}
	return v
}

// Path returns the keys that lead to the value, such as tenants[0].roleAssignments[3].scope.
func (v Value) Path() string { return v.path }

// Line returns the value's line, from 1.
func (v Value) Line() int { return v.node.Line }

// File returns the document's file name.
func (v Value) File() string { return v.reader.file }

// A Place is where a value stands, for problems that are found when the value itself is no
// longer held.
type Place struct {
	reader       *Reader
	line, column int
	path         string
}

// Place returns where the value stands.
func (v Value) Place() Place { return Place{v.reader, v.node.Line, v.node.Column, v.path} }

// Line returns the place's line, from 1.
func (p Place) Line() int { return p.line }

// Problemf records a problem with what stands there; the path is put before the message.
func (p Place) Problemf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if p.path != "" {
		message = p.path + ": " + message
	}
	p.reader.problems = append(p.reader.problems, Problem{File: p.reader.file, Line: p.line, Column: p.column, Message: message})
}

// Problemf records a problem with this value; the path is put before the message.
func (v Value) Problemf(format string, args ...any) { v.Place().Problemf(format, args...) }

// IsEmpty tells whether the value is null or a list of nothing.
func (v Value) IsEmpty() bool {
	_, held := v.Held()
	return v.IsNull() || v.IsList() && !held && len(v.node.Content) == 0
}

// IsNull tells whether the value is null or empty.
func (v Value) IsNull() bool { return v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!null" }

// IsScalar tells whether the value is neither a mapping nor a list.
func (v Value) IsScalar() bool { return v.node.Kind == yaml.ScalarNode }

// IsList tells whether the value is a list.
func (v Value) IsList() bool { return v.node.Kind == yaml.SequenceNode }

// Fields reads a mapping whose keys are known. A key that is not in fields is a problem
// that names the keys there are; so are a key given twice and a value that is no mapping.
func (v Value) Fields(fields map[string]func(Value)) {
	v.Entries(func(key string, at, value Value) {
		read, ok := fields[key]
		if !ok {
			known := make([]string, 0, len(fields))
			for name := range fields {
				known = append(known, name)
			}
			slices.Sort(known)
			at.Problemf("unknown key %q: want one of %s", key, strings.Join(known, ", "))
			return
		}
		read(value)
	})
}

// Entries reads a mapping whose keys are free, in their order. The key's own value is
// for problems with the key.
func (v Value) Entries(entry func(key string, at, value Value)) {
	if v.node.Kind != yaml.MappingNode {
		v.Problemf("want a mapping, not %s", v.kind())
		return
	}
	seen := make(map[string]bool, len(v.node.Content)/2)
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		at := v.reader.value(v.node.Content[i], v.path)
		if at.node.Kind != yaml.ScalarNode || at.node.ShortTag() == "!!merge" {
			at.Problemf("a key must be plain text")
			continue
		}
		key := at.node.Value
		if seen[key] {
			at.Problemf("the key %q is given twice", key)
			continue
		}
		seen[key] = true
		path := key
		if v.path != "" {
			path = v.path + "." + key
		}
		entry(key, at, v.reader.value(v.node.Content[i+1], path))
	}
}

// List reads a list; null counts as empty.
func (v Value) List(item func(Value)) {
	if v.IsNull() {
		return
	}
	if v.node.Kind != yaml.SequenceNode {
		v.Problemf("want a list, not %s", v.kind())
		return
	}
	if held, passed := v.Held(); passed {
		v.heldList(held, item)
		return
	}
	for i, node := range v.node.Content {
		item(v.reader.value(node, v.path+"["+strconv.Itoa(i)+"]"))
	}
}

// Text reads text that is not empty.
func (v Value) Text() string {
	if v.node.Kind != yaml.ScalarNode || v.node.Value == "" || v.IsNull() {
		v.Problemf("want text, not %s", v.kind())
		return ""
	}
	return v.node.Value
}

// OptionalText reads text that may be empty or null.
func (v Value) OptionalText() string {
	if v.IsNull() || v.node.Kind == yaml.ScalarNode && v.node.Value == "" {
		return ""
	}
	return v.Text()
}

// Texts reads a list of texts.
func (v Value) Texts() []string {
	var all []string
	v.List(func(item Value) { all = append(all, item.Text()) })
	return all
}

// Bool reads true or false.
func (v Value) Bool() bool {
	if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!bool" {
		v.Problemf("want true or false, not %s", v.kind())
		return false
	}
	return strings.EqualFold(v.node.Value, "true")
}

// Time reads an RFC 3339 time such as 2027-01-01T00:00:00Z.
func (v Value) Time() time.Time {
	if v.node.Kind != yaml.ScalarNode {
		v.Problemf("want a time such as 2027-01-01T00:00:00Z, not %s", v.kind())
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, v.node.Value)
	if err != nil {
		v.Problemf("want a time such as 2027-01-01T00:00:00Z, not %q", v.node.Value)
	}
	return t
}

func (v Value) kind() string {
	switch v.node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
	}
	if v.IsNull() {
		return "nothing"
	}
	return strconv.Quote(v.node.Value)
}
