package bundle

import (
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
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
