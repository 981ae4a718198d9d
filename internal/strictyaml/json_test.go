package strictyaml_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
)

// seen is what a reader of {"id": text, "list": [texts], "on": bool, "at": any} makes of it.
type seen struct {
	ID    string
	Items []string
	On    bool
	Lines []int
	Err   string
}

type parse func(string, []byte) (strictyaml.Value, *strictyaml.Reader, error)

func readDocument(parse parse, text string) seen {
	root, reader, err := parse("f", []byte(text))
	if err != nil {
		return seen{Err: err.Error()}
	}
	var s seen
	root.Fields(map[string]func(strictyaml.Value){
		"id": func(v strictyaml.Value) { s.ID = v.OptionalText(); s.Lines = append(s.Lines, v.Line()) },
		"list": func(v strictyaml.Value) {
			v.List(func(item strictyaml.Value) {
				s.Items = append(s.Items, item.Text())
				s.Lines = append(s.Lines, item.Line())
			})
		},
		"on": func(v strictyaml.Value) { s.On = v.Bool() },
	})
	if err := reader.Err(); err != nil {
		s.Err = err.Error()
	}
	return s
}

func TestParseJSON(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       seen
	}{
		{"values and their lines", "{\n \"id\": \"a\\u00e9\\ud83d\\ude00\",\n \"list\": [\"x\",\n  7, \"y\"], \"on\": true\n}\n",
			seen{ID: "aé😀", Items: []string{"x", "7", "y"}, On: true, Lines: []int{2, 3, 4, 4}}},
		{"null and empty", `{"id": null, "list": []}`, seen{Lines: []int{1}}},
		{"a byte order mark", "\ufeff{\"id\": \"x\"}", seen{ID: "x", Lines: []int{1}}},
		{"an unknown key", "{\"id\": \"x\",\n  \"idd\": 1}", seen{ID: "x", Lines: []int{1}, Err: `f:2:3: unknown key "idd": want one of id, list, on`}},
		{"a key given twice", `{"id": "x", "id": "y"}`, seen{ID: "x", Lines: []int{1}, Err: `f:1:13: the key "id" is given twice`}},
		{"a number where text must not be empty", `{"list": [""]}`, seen{Items: []string{""}, Lines: []int{1}, Err: `f:1:11: list[0]: want text, not ""`}},
		{"text for a truth", `{"on": "true"}`, seen{Err: `f:1:8: on: want true or false, not "true"`}},
		{"half of a pair", `{"id": "\ud83d"}`, seen{Err: "f:1:8: half of a surrogate pair: no text holds that"}},
		{"the replacement character itself", `{"id": "\ufffd"}`, seen{ID: "\ufffd", Lines: []int{1}}},
		{"not UTF-8", "{\"id\": \"\xff\"}", seen{Err: "f: not valid JSON: it is not UTF-8"}},
		{"cut short", "{\n\"id\": \"x", seen{Err: "f:2:8: not valid JSON: unexpected end of JSON input"}},
		{"a second document", `{} {}`, seen{Err: "f:1:4: not valid JSON: invalid character '{' after top-level value"}},
		{"a comment", "{\n// no\n}", seen{Err: "f:2:1: not valid JSON: invalid character '/' looking for beginning of object key string"}},
		{"no mapping", `[1]`, seen{Err: "f:1:1: want a mapping, not a list"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, readDocument(strictyaml.ParseJSON, test.text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What both parsers read, they read alike: JSON is YAML but for escapes beyond the basic
// plane, control characters and the depth of nesting.
func FuzzParseJSON(f *testing.F) {
	f.Add(`{"id": "a", "list": ["x", 1, null], "on": false}`)
	f.Add("{\"id\":\"a\\tb\",\n\"list\":[]}")
	f.Add(`{"on": true, "x": {"y": [[]]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		fromJSON := readDocument(strictyaml.ParseJSON, text)
		if fromJSON.Err != "" || strings.ContainsFunc(text, func(r rune) bool { return r == '\\' || r < 0x20 && r != '\n' || r >= 0x7F }) {
			return
		}
		if diff := cmp.Diff(readDocument(strictyaml.Parse, text), fromJSON); diff != "" {
			t.Errorf("%q (-YAML +JSON):\n%s", text, diff)
		}
	})
}
