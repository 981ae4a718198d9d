package strictyaml_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
)

// scan reads a document as a stream, and holds the lists under "list".
func scan(file string, src []byte) (strictyaml.Value, *strictyaml.Reader, error) {
	return strictyaml.ScanJSON(file, slow{string(src)}, func(key string, _ int) bool { return key == "list" }, nil)
}

// scanAll holds none.
func scanAll(file string, src []byte) (strictyaml.Value, *strictyaml.Reader, error) {
	return strictyaml.ScanJSON(file, strings.NewReader(string(src)), nil, nil)
}

// slow gives three bytes at a time.
type slow struct{ text string }

func (s slow) ReadAt(b []byte, at int64) (int, error) {
	if at >= int64(len(s.text)) {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 3)], s.text[at:])
	return n, nil
}

// tree is what is to be seen of a value.
func tree(v strictyaml.Value) string {
	at := fmt.Sprintf("%d:%d", v.Line(), v.Column())
	switch {
	case v.IsList():
		var items []string
		v.List(func(item strictyaml.Value) { items = append(items, tree(item)) })
		return at + "[" + strings.Join(items, " ") + "]"
	case v.IsNull():
		return at + "null"
	case v.IsScalar():
		return at + fmt.Sprintf("%q", v.OptionalText())
	default:
		var entries []string
		v.Entries(func(key string, keyAt, value strictyaml.Value) {
			entries = append(entries, fmt.Sprintf("%d:%d %q=%s", keyAt.Line(), keyAt.Column(), key, tree(value)))
		})
		return at + "{" + strings.Join(entries, " ") + "}"
	}
}

func treeOf(parse parse, text string) (string, error) {
	root, reader, err := parse("f", []byte(text))
	if err != nil {
		return "", err
	}
	return tree(root), reader.Err()
}

func TestAStreamIsReadAsADocumentIs(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"{\n \"id\": \"a\\u00e9\\ud83d\\ude00\",\n \"list\": [\"x\",\n  7, \"y\"], \"on\": true\n}\n",
		"\ufeff{\"id\": \"x\"}", `{"list": []}`, `{"list": [ ]}`, `{"list": null}`, `{"list": {"a": [1]}}`, `{"list": [[1, 2], {"list": [3]}]}`,
		`[-0, 0.5, 1e9, -12.50E-3, true, false, null, ""]`, `"\"\\\/\b\f\n\r\t"`, " \r\n\t7 ", `{"a": 1, "a": 2}`,
		`{"list": [1], "list": [2]}`, `{"":{"":[]}}`, `{"é": "ß日本😀"}`,
	} {
		want, wantErr := treeOf(strictyaml.ParseJSON, text)
		for name, parse := range map[string]parse{"held": scan, "not held": scanAll} {
			got, err := treeOf(parse, text)
			if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Errorf("%s: %s:\n got %s, %v\nwant %s, %v", name, text, got, err, want, wantErr)
			}
		}
	}
}

func TestWhatIsNoJSONIsRefusedWhereItIs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"{\"list\": [1, \n 2,, 3]}", `f:2:4: not valid JSON: invalid character ',' looking for beginning of value`},
		{`{"list": [1, 2}`, `f:1:15: not valid JSON: invalid character '}' after array element`},
		{`{"list": [`, `f:1:10: not valid JSON: unexpected end of JSON input`},
		{"{\"list\": [1\n\n", `f:2:1: not valid JSON: unexpected end of JSON input`},
		{"{\"list\": [\"a\nb\"]}", `f:1:13: not valid JSON: invalid character '\x0a' in string literal`},
		{"{\"list\": [\"\xff\"]}", `f:1:12: not valid JSON: it is not UTF-8`},
		{"{\"list\": [\"\xf0\x9f\"]}", `f:1:12: not valid JSON: it is not UTF-8`},
		{`{"list": ["\ud83d"]}`, `f:1:11: half of a surrogate pair: no text holds that`},
		{`{"list": ["\ude00\ud83d"]}`, `f:1:11: half of a surrogate pair: no text holds that`},
		{`{"list": ["\x"]}`, `f:1:13: not valid JSON: invalid character 'x' in string escape code`},
		{`{"list": ["\u12g4"]}`, `f:1:16: not valid JSON: invalid character 'g' in \u hexadecimal character escape`},
		{`{"list": [01]}`, `f:1:12: not valid JSON: invalid character '1' after array element`},
		{`{"list": [1.]}`, `f:1:13: not valid JSON: invalid character ']' after decimal point in numeric literal`},
		{`{"list": [1e]}`, `f:1:13: not valid JSON: invalid character ']' in exponent of numeric literal`},
		{`{"list": [-]}`, `f:1:12: not valid JSON: invalid character ']' in numeric literal`},
		{`{"list": [nul]}`, `f:1:14: not valid JSON: invalid character ']' in literal null (expecting 'l')`},
		{`{"list" [1]}`, `f:1:9: not valid JSON: invalid character '[' after object key`},
		{`{"list": [1] "a": 2}`, `f:1:14: not valid JSON: invalid character '"' after object key:value pair`},
		{`{"list": [1],}`, `f:1:14: not valid JSON: invalid character '}' looking for beginning of object key string`},
		{`{"list": [1]} {}`, `f:1:15: not valid JSON: invalid character '{' after top-level value`},
		{``, `f:1:1: not valid JSON: unexpected end of JSON input`},
		{`{"list": ` + strings.Repeat("[", 10_000), `f:1:10010: not valid JSON: exceeded max depth`},
	} {
		if _, err := treeOf(scan, test.text); err == nil || err.Error() != test.want {
			t.Errorf("%.40s:\n got %v\nwant %s", test.text, err, test.want)
		}
		if _, err := treeOf(scanAll, test.text); err == nil || err.Error() != test.want {
			t.Errorf("%.40s, not held:\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}

// The items of a held list, as they are read quickly and with care.
func TestItemsOfAHeldList(t *testing.T) {
	t.Parallel()
	const text = `{"list": [
	{"a": "x", "b": "y"},
	 {"b":"y"  ,  "a" : "é" } , {}, {"a": "\n"}, {"a": 1}, {"c": "x"}, {"a": "x", "a": "y"}, {"a": null}, "a", [] ]}`
	root, reader, err := scan("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var held strictyaml.HeldList
	root.Entries(func(_ string, _, value strictyaml.Value) {
		var ok bool
		if held, ok = value.Held(); !ok || !value.IsList() || value.Reader() != reader {
			t.Errorf("the list is not held")
		}
	})
	var got []string
	stop := errors.New("stop")
	for range 2 { // it can be read again
		got = nil
		err := held.Each("f", slow{text}, func(item strictyaml.Item) error {
			texts := make([][]byte, 2)
			line := fmt.Sprintf("%d %d:%d", item.Index, item.Line, item.Column)
			if item.Texts([]string{"a", "b"}, texts) {
				line += fmt.Sprintf(" %q", texts)
			}
			value, err := item.Value(reader, fmt.Sprintf("list[%d]", item.Index))
			if err != nil {
				t.Fatal(err)
			}
			if value.Line() != item.Line || value.Column() != item.Column || value.Path() != fmt.Sprintf("list[%d]", item.Index) {
				t.Errorf("item %d is at %d:%d, %s", item.Index, value.Line(), value.Column(), value.Path())
			}
			if got = append(got, line); item.Index == 9 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) {
			t.Errorf("error %v", err)
		}
	}
	want := []string{`0 2:2 ["x" "y"]`, `1 3:3 ["é" "y"]`, `2 3:31 ["" ""]`, `3 3:35`, `4 3:48`, `5 3:58`, `6 3:70`, `7 3:92`, `8 3:105`, `9 3:110`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if held.Size() != int64(len(text)-strings.Index(text, "[")-1) {
		t.Errorf("the list has %d bytes", held.Size())
	}
}

// A document that is written to while it is read is found out or read as it is now; it is
// never the end of the process.
func TestAListThatIsGoneWhenItIsReadAgain(t *testing.T) {
	t.Parallel()
	root, reader, err := scan("f", []byte(`{"list": [1, 2, 3]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []string{"", `{"list": {"a": 1}}`, `{"list": [1, 2`, `{"list": [1 2 3]}`} {
		root.Entries(func(_ string, _, value strictyaml.Value) {
			held, _ := value.Held()
			if err := held.Each("f", strings.NewReader(now), func(strictyaml.Item) error { return nil }); err == nil {
				t.Errorf("%q was read", now)
			}
		})
	}
	if err := reader.Err(); err != nil {
		t.Error(err)
	}
}

// The two readers of JSON refuse the same texts and read the same values from others. The
// older one takes half a pair for U+FFFD where the text has one of those as well.
func FuzzScanJSON(f *testing.F) {
	f.Add(`{"id": "a", "list": ["x", 1, null, {"list": [true]}], "on": false}`)
	f.Add("{\"id\":\"a\\tb\",\n\"list\":[]}")
	f.Add(`[1.5e+3, -0, "\ud83d\ude00", "\\", {"a": {}}]`)
	f.Add("\ufeff {\"list\" : [ \"\xc3\xa9\" ] }\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "\ufffd") || strings.Contains(strings.ToLower(text), `\ufffd`) {
			return
		}
		want, wantErr := treeOf(strictyaml.ParseJSON, text)
		for name, parse := range map[string]parse{"held": scan, "not held": scanAll} {
			got, err := treeOf(parse, text)
			if (err == nil) != (wantErr == nil) || err == nil && got != want {
				t.Errorf("%s: %q:\n got %s, %v\nwant %s, %v", name, text, got, err, want, wantErr)
			}
		}
	})
}
