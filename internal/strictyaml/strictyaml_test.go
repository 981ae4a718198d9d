package strictyaml_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
)

// settings is what the documents of these tests are read into.
type settings struct {
	Name  string
	Note  string
	On    bool
	Tags  []string
	At    time.Time
	Parts map[string]string
}

func read(src string) (settings, error) {
	var s settings
	root, reader, err := strictyaml.Parse("f.yaml", []byte(src))
	if err != nil {
		return s, err
	}
	root.Fields(map[string]func(strictyaml.Value){
		"name": func(v strictyaml.Value) { s.Name = v.Text() },
		"note": func(v strictyaml.Value) { s.Note = v.OptionalText() },
		"on":   func(v strictyaml.Value) { s.On = v.Bool() },
		"tags": func(v strictyaml.Value) { s.Tags = v.Texts() },
		"at":   func(v strictyaml.Value) { s.At = v.Time() },
		"parts": func(v strictyaml.Value) {
			s.Parts = map[string]string{}
			v.Entries(func(key string, _, value strictyaml.Value) { s.Parts[key] = value.Text() })
		},
	})
	return s, reader.Err()
}

func TestReads(t *testing.T) {
	noon := time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, src string
		want      settings
	}{
		{"a YAML document", "name: a\nnote:\non: true\ntags: [x, 'y']\nat: 2027-01-01T12:00:00Z\nparts: {p: q}\n",
			settings{Name: "a", On: true, Tags: []string{"x", "y"}, At: noon, Parts: map[string]string{"p": "q"}}},
		{"a JSON document", `{"name": "a", "on": false, "tags": [], "at": "2027-01-01T12:00:00Z"}`,
			settings{Name: "a", At: noon}},
		{"a document with its end marked", "name: a\n...\n", settings{Name: "a"}},
		{"numbers and dates as text, spelled as they are", "name: 007\nnote: 1_000\ntags: [0x1F, 2027-01-01, true, 1e3]\n",
			settings{Name: "007", Note: "1_000", Tags: []string{"0x1F", "2027-01-01", "true", "1e3"}}},
		{"a list with a comma at its end", "name: a\ntags: [x, ]\n", settings{Name: "a", Tags: []string{"x"}}},
		{"a list left empty", "name: a\ntags:\n", settings{Name: "a"}},
		{"an optional text that is empty", "name: a\nnote: ''\n", settings{Name: "a"}},
		{"true in any of its spellings", "name: a\non: TRUE\n", settings{Name: "a", On: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := read(test.src)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	for _, test := range []struct{ name, src, want string }{
		{"an unknown key", "name: a\nnaem: b\n", `f.yaml:2:1: unknown key "naem": want one of at, name, note, on, parts, tags`},
		{"a key given twice", "name: a\nname: b\n", `f.yaml:2:1: the key "name" is given twice`},
		{"a key given twice in a free mapping", "parts: {p: q, p: r}\n", `f.yaml:1:15: parts: the key "p" is given twice`},
		{"keys that differ in quoting only", "name: a\n\"name\": b\n", `f.yaml:2:1: the key "name" is given twice`},
		{"a mapping for a text", "name: {a: b}\n", `f.yaml:1:7: name: want text, not a mapping`},
		{"nothing for a text", "name:\n", `f.yaml:1:6: name: want text, not nothing`},
		{"an empty text", "name: ''\n", `f.yaml:1:7: name: want text, not ""`},
		{"a text for a list", "tags: x\n", `f.yaml:1:7: tags: want a list, not "x"`},
		{"an empty item of a list", "tags:\n  - x\n  -\n", `f.yaml:3:4: tags[1]: want text, not nothing`},
		{"a list for a mapping", "parts: [a]\n", `f.yaml:1:8: parts: want a mapping, not a list`},
		{"yes for true", "on: yes\n", `f.yaml:1:5: on: want true or false, not "yes"`},
		{"a quoted true", "on: 'true'\n", `f.yaml:1:5: on: want true or false, not "true"`},
		{"a number for true", "on: 1\n", `f.yaml:1:5: on: want true or false, not "1"`},
		{"a date for a time", "at: 2027-01-01\n", `f.yaml:1:5: at: want a time such as 2027-01-01T00:00:00Z, not "2027-01-01"`},
		{"a list for a time", "at: []\n", `f.yaml:1:5: at: want a time such as 2027-01-01T00:00:00Z, not a list`},
		{"an alias", "name: &n a\nnote: *n\n", `f.yaml:2:7: note: want text, not an alias`},
		{"an alias for a list", "tags: *n\nname: &n a\n", `f.yaml:1:7: not valid YAML: unknown anchor 'n' referenced`},
		{"a merge key", "parts:\n  <<: {p: q}\n", `f.yaml:2:3: parts: a key must be plain text`},
		{"a key that is a list", "? [a]\n: b\n", `f.yaml:1:3: a key must be plain text`},
		{"a tag that makes nothing of a text", "note: !!null DENY\n", `f.yaml:1:7: note: has the tag !!null: write the value without`},
		{"a tag that makes false of a yes", "on: !!bool yes\n", `f.yaml:1:5: on: has the tag !!bool: write the value without`},
		{"a tag on a list", "tags: !!set [a]\n", `f.yaml:1:7: tags: has the tag !!set: write the value without`},
		{"a tag on an item", "tags: [!x a]\n", `f.yaml:1:8: tags[0]: has the tag !x: write the value without`},
		{"a tag on a key", "!!str name: a\n", `f.yaml:1:1: has the tag !!str: write the value without`},
		{"a second document", "name: a\n---\nname: b\n", `f.yaml:2:1: a second document: want one`},
		{"text behind the document's end", "name: a\n...\nname: b\n", `f.yaml:3:1: a second document: want one`},
		{"an empty second document", "name: a\n---\n", `f.yaml:2:1: a second document: want one`},
		{"a document that is a text", "hello\n", `f.yaml:1:1: want a mapping, not "hello"`},
		{"an empty document", "", `f.yaml: the document is empty`},
		{"a document of comments", "# nothing\n", `f.yaml: the document is empty`},
		{"a tab for indentation", "parts:\n\tp: q\n", `f.yaml:2:1: not valid YAML: found character that cannot start any token`},
		{"half a document", "tags: [a, b\n", `f.yaml:2:1: not valid YAML: did not find expected ',' or ']'`},
		{"several problems, in the order of the file", "on: 1\ntags: x\nname: a\nname: b\nmore: c\n",
			`f.yaml:1:5: on: want true or false, not "1"` + "\n" +
				`f.yaml:2:7: tags: want a list, not "x"` + "\n" +
				`f.yaml:4:1: the key "name" is given twice` + "\n" +
				`f.yaml:5:1: unknown key "more": want one of at, name, note, on, parts, tags`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := read(test.src)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestAValueKnowsItsPlace(t *testing.T) {
	root, reader, err := strictyaml.Parse("f.yaml", []byte("a:\n  - b: {c: d}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	var walk func(strictyaml.Value)
	walk = func(v strictyaml.Value) {
		paths = append(paths, v.Path())
		switch {
		case v.IsList():
			v.List(walk)
		case v.IsScalar():
			if v.Line() != 2 || v.File() != "f.yaml" || v.IsNull() {
				t.Errorf("%s is at %s:%d, null %t", v.Path(), v.File(), v.Line(), v.IsNull())
			}
			v.Problemf("twice the same is reported once")
			v.Problemf("twice the same is reported once")
		default:
			v.Entries(func(_ string, _, value strictyaml.Value) { walk(value) })
		}
	}
	walk(root)
	if got, want := strings.Join(paths, " "), " a a[0] a[0].b a[0].b.c"; got != want {
		t.Errorf("walked %q, want %q", got, want)
	}
	reader.Problemf("the file as a whole")
	want := "f.yaml: the file as a whole\nf.yaml:2:12: a[0].b.c: twice the same is reported once"
	if err := reader.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

// Whatever the text is, it is read or refused, and a refusal says where.
func FuzzParse(f *testing.F) {
	for _, src := range []string{
		"name: a\ntags: [x]\n", `{"name": "a"}`, "name: &a b\nnote: *a\n", "on: !!bool yes\n", "a: b\n---\nc: d\n",
		"? [a]\n: b\n", "<<: *x\n", "parts: {p: {q: [r, {s: t}]}}\n", "\x00", "\xff\xfe", "a: b\n...\n", "- - - -\n", "\"\\ud800\": 1\n", "%YAML 9.9\n---\na: b\n",
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		_, err := read(src)
		if err == nil {
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\nf.yaml") {
			if strings.TrimPrefix(line, "f.yaml") == "" {
				t.Errorf("an error without a message: %q", err)
			}
		}
		if !strings.HasPrefix(err.Error(), "f.yaml:") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}

func TestAPlaceOutlivesItsValue(t *testing.T) {
	root, reader, err := strictyaml.Parse("doc.yaml", []byte("list:\n  - text\n"))
	if err != nil {
		t.Fatal(err)
	}
	var places []strictyaml.Place
	root.Fields(map[string]func(strictyaml.Value){"list": func(v strictyaml.Value) {
		v.List(func(item strictyaml.Value) { places = append(places, item.Place()) })
	}})
	places[0].Problemf("it is %s", "bad")
	if got, want := reader.Err().Error(), "doc.yaml:2:5: list[0]: it is bad"; got != want || places[0].Line() != 2 {
		t.Errorf("line %d: %s, want %s", places[0].Line(), got, want)
	}
}

func TestWhatIsEmpty(t *testing.T) {
	want := map[string]bool{"a": true, "b": true, "c": true, "d": false, "e": false, "f": false, "g": false}
	for _, document := range []string{
		`{"a": null, "b": [], "c": [ ], "d": [null], "e": {}, "f": "", "g": false}`,
		"a:\nb: []\nc: ~\nd: [~]\ne: {}\nf: ''\ng: no\n",
	} {
		parse := strictyaml.Parse
		if document[0] == '{' {
			parse = scanAll
		}
		root, _, err := parse("doc", []byte(document))
		if err != nil {
			t.Fatal(err)
		}
		root.Entries(func(key string, _, v strictyaml.Value) {
			if v.IsEmpty() != want[key] {
				t.Errorf("%s of %s: %v", key, document, v.IsEmpty())
			}
		})
	}
	root, _, err := scan("doc", []byte(`{"list": []}`))
	if err != nil {
		t.Fatal(err)
	}
	root.Entries(func(_ string, _, v strictyaml.Value) {
		if v.IsEmpty() {
			t.Error("a list that was passed over may hold anything")
		}
	})
}
