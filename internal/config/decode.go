package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
)

// A decoder reads a document into a struct by its yaml tags, and notes where each setting
// stands. It exists beside the YAML library's own so that unknown keys, wrong types and
// values that do not parse are all reported, each with its key and place.
type decoder struct {
	origins map[string]origin
}

// decode reads src into *into. What *into holds stays where the document says nothing.
func decode(file string, src []byte, into any, origins map[string]origin) error {
	root, problems, err := strictyaml.Parse(file, src)
	if err != nil {
		return err
	}
	d := &decoder{origins: origins}
	d.value(root, reflect.ValueOf(into).Elem())
	err = problems.Err()
	for _, err := range split(err) {
		var problem strictyaml.Problem
		if !errors.As(err, &problem) {
			continue
		}
		if key, _, ok := strings.Cut(problem.Message, ": "); ok {
			from := origins[key]
			from.reported = true
			origins[key] = from
		}
	}
	return err
}

var durationType = reflect.TypeFor[time.Duration]()

func (d *decoder) value(v strictyaml.Value, into reflect.Value) {
	d.origins[v.Path()] = origin{place: fmt.Sprintf("%s:%d", v.File(), v.Line())}

	if text, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.parse(v, text.UnmarshalText)
		return
	}
	switch kind := into.Kind(); {
	case into.Type() == durationType:
		d.parse(v, func(text []byte) error {
			n, err := time.ParseDuration(string(text))
			if err != nil {
				return fmt.Errorf("%q is not a duration: want one such as 30s, 10m or 24h", text)
			}
			into.SetInt(int64(n))
			return nil
		})
	case kind == reflect.Struct:
		fields := make(map[string]func(strictyaml.Value))
		d.fields(into, fields)
		v.Fields(fields)
	case kind == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.value(v, into.Elem())
	case kind == reflect.Slice:
		d.list(v, into)
	case kind == reflect.Map && into.Type().Key().Kind() == reflect.String:
		read := reflect.MakeMap(into.Type())
		v.Entries(func(key string, _, value strictyaml.Value) {
			item := reflect.New(into.Type().Elem()).Elem()
			d.value(value, item)
			read.SetMapIndex(reflect.ValueOf(key).Convert(into.Type().Key()), item)
		})
		into.Set(read)
	case kind == reflect.String:
		into.SetString(v.Text())
	case kind == reflect.Bool:
		into.SetBool(v.Bool())
	case into.CanInt():
		d.parse(v, func(text []byte) error {
			n, err := strconv.ParseInt(string(text), 10, into.Type().Bits())
			if err != nil {
				return fmt.Errorf("%q is not a whole number that fits", text)
			}
			into.SetInt(n)
			return nil
		})
	case into.CanUint():
		d.parse(v, func(text []byte) error {
			n, err := strconv.ParseUint(string(text), 10, into.Type().Bits())
			if err != nil {
				return fmt.Errorf("%q is not a whole number, zero or above, that fits", text)
			}
			into.SetUint(n)
			return nil
		})
	default:
		v.Problemf("this setting cannot be given in a file")
	}
}

// list reads a list; where a list of plain values is wanted, one alone will do.
func (d *decoder) list(v strictyaml.Value, into reflect.Value) {
	read := reflect.MakeSlice(into.Type(), 0, 0)
	item := func(v strictyaml.Value) {
		one := reflect.New(into.Type().Elem()).Elem()
		d.value(v, one)
		read = reflect.Append(read, one)
	}
	_, isText := reflect.New(into.Type().Elem()).Interface().(encoding.TextUnmarshaler)
	plain := isText || into.Type().Elem().Kind() == reflect.String
	if plain && v.IsScalar() && !v.IsNull() {
		item(v)
	} else {
		v.List(item)
	}
	into.Set(read)
}

// parse hands the value's text to read, and records its error as a problem with the value.
func (d *decoder) parse(v strictyaml.Value, read func([]byte) error) {
	text := v.Text()
	if text == "" {
		return // a problem that Text has recorded
	}
	if err := read([]byte(text)); err != nil {
		v.Problemf("%v", err)
	}
}

// fields collects the keys of a struct.
func (d *decoder) fields(into reflect.Value, fields map[string]func(strictyaml.Value)) {
	for i := range into.NumField() {
		field, value := into.Type().Field(i), into.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case !field.IsExported() || name == "-":
			continue
		case strings.Contains(options, "inline"):
			d.fields(value, fields)
			continue
		case name == "":
			name = strings.ToLower(field.Name)
		}
		fields[name] = func(v strictyaml.Value) { d.value(v, value) }
	}
}
