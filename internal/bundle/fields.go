package bundle

import (
	"encoding"
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A record is a kind of mapping: the keys it may have, the first of which it must.
type record struct {
	keys     []string
	required int
}

// fields are the values of one mapping, by the place of their key in the record.
type fields struct {
	at     strictyaml.Value
	kind   *record
	values []strictyaml.Value
	given  []bool
}

// read reads a mapping of the kind. Unknown keys, keys given twice and required ones
// that are missing are problems.
func (kind *record) read(at strictyaml.Value) fields {
	f := fields{at: at, kind: kind, values: make([]strictyaml.Value, len(kind.keys)), given: make([]bool, len(kind.keys))}
	if at.IsScalar() || at.IsList() {
		at.Entries(nil) // says what is wrong
		return fields{at: at, kind: kind}
	}
	at.Entries(func(key string, keyAt, value strictyaml.Value) {
		i := slices.Index(kind.keys, key)
		if i < 0 {
			known := slices.Sorted(slices.Values(kind.keys))
			keyAt.Problemf("unknown key %q: want one of %s", key, strings.Join(known, ", "))
			return
		}
		f.values[i], f.given[i] = value, true
	})
	for i, key := range kind.keys[:kind.required] {
		if !f.given[i] {
			at.Problemf("%s is required", key)
		}
	}
	return f
}

// value returns the value of a key, if it was given.
func (f *fields) value(key string) (strictyaml.Value, bool) {
	i := slices.Index(f.kind.keys, key)
	if f.values == nil || !f.given[i] {
		return strictyaml.Value{}, false
	}
	return f.values[i], true
}

// unlessNull returns the value of a key, if it was given and is not null. The Power
// Platform API answers null where there is nothing.
func (f *fields) unlessNull(key string) (strictyaml.Value, bool) {
	v, ok := f.value(key)
	return v, ok && !v.IsNull()
}

func (f *fields) optionalText(key string) string {
	if v, ok := f.value(key); ok {
		return v.OptionalText()
	}
	return ""
}

func (f *fields) bool(key string) bool {
	v, ok := f.value(key)
	return ok && v.Bool()
}

// list reads the items of a list, if it was given.
func (f *fields) list(key string, item func(strictyaml.Value)) {
	if v, ok := f.value(key); ok {
		v.List(item)
	}
}

// refuse makes keys that do not belong there a problem, unless there is nothing in them.
func (f *fields) refuse(why string, keys ...string) {
	for _, key := range keys {
		if v, ok := f.value(key); ok && !v.IsEmpty() {
			v.Problemf("%s", why)
		}
	}
}

// shortText reads an identifier as it is spelled. It is empty after a problem.
func shortText(v strictyaml.Value) string {
	text := v.Text()
	if len(text) > authz.MaxIDLen {
		v.Problemf("an identifier of %d bytes is longer than %d", len(text), authz.MaxIDLen)
		return ""
	}
	return text
}

// oneOf reads which of the words a text is, without regard to ASCII case.
func oneOf(v strictyaml.Value, words []string) (int, bool) {
	text := v.Text()
	if text == "" {
		return 0, false
	}
	fold := func(word string) string { return authz.CanonicalID(word, true) }
	i := slices.IndexFunc(words, func(word string) bool { return fold(word) == fold(text) })
	if i < 0 {
		v.Problemf("want one of %s, not %q", strings.Join(words, ", "), text)
	}
	return i, i >= 0
}

// names returns what the values are called.
func names[T fmt.Stringer](all []T) []string {
	texts := make([]string, 0, len(all))
	for _, one := range all {
		texts = append(texts, one.String())
	}
	return texts
}

// parsed reads a text that knows itself what it may be.
func parsed[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](v strictyaml.Value) (value T, ok bool) {
	text := v.Text()
	if text == "" {
		return value, false
	}
	if err := P(&value).UnmarshalText([]byte(text)); err != nil {
		v.Problemf("%v", err)
		return *new(T), false
	}
	return value, true
}
