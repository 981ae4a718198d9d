package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxBody is the greatest size of a body.
const maxBody = 64 << 10

// readBody reads the body of a request into a new message of the operation's type. It
// reports every problem at once.
func readBody(o *operation, r *http.Request) (any, *failure) {
	if o.request == nil && !o.bodyOptional {
		return nil, nil
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, &failure{bodyInvalid, "the body could not be read", err}
	}
	if len(text) > maxBody {
		return nil, bodyInvalid.of(fmt.Sprintf("the body is larger than %d bytes", maxBody))
	}
	if o.request == nil && len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	if given := r.Header.Get("Content-Type"); given != "" {
		kind, params, err := mime.ParseMediaType(given)
		if charset := params["charset"]; err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
			return nil, unsupportedMediaType.of("The body must be application/json in UTF-8; send the header Content-Type: application/json.")
		}
	}
	t := o.request
	if t == nil {
		t = reflect.TypeFor[noBody]()
	}
	into := reflect.New(t)
	if problems := decode(text, into.Elem()); len(problems) > 0 {
		return nil, bodyInvalid.of(strings.Join(problems, "; "))
	}
	return into.Interface(), nil
}

// decode reads a JSON object. Names of fields are compared without ASCII case, as the
// service's framework does; nothing else is forgiven.
func decode(text []byte, into reflect.Value) (problems []string) {
	if !utf8.Valid(text) {
		return []string{"the body is not UTF-8"}
	}
	var object map[string]json.RawMessage
	var names []string
	object, names, err := members(text)
	if err != nil {
		return []string{err.Error()}
	}
	known := map[string]bool{}
	for f := range fields(into.Type()) {
		name := f.Tag.Get("json")
		known[foldASCII(name)] = true
		raw, given := object[foldASCII(name)]
		if !given {
			if f.Tag.Get("optional") == "" {
				problems = append(problems, name+": it is missing")
			}
			continue
		}
		if problem := decodeField(raw, f, into.FieldByIndex(f.Index)); problem != "" {
			problems = append(problems, name+": "+problem)
		}
	}
	for _, name := range names {
		if !known[foldASCII(name)] {
			problems = append(problems, fmt.Sprintf("%q: this operation knows no such field", name))
		}
	}
	return problems
}

// members takes a JSON object apart: its values by their names in lower case, and the names
// as they came.
func members(text []byte) (map[string]json.RawMessage, []string, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	notJSON := func(err error) error {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the body ends before its JSON object does")
		}
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	first, err := decoder.Token()
	if err != nil {
		return nil, nil, notJSON(err)
	}
	if first != json.Delim('{') {
		return nil, nil, errors.New("the body must be a JSON object")
	}
	object := map[string]json.RawMessage{}
	var names []string
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, nil, notJSON(err)
		}
		name, ok := token.(string)
		if !ok {
			return nil, nil, errors.New("the body is not JSON: the name of a field is no text")
		}
		if _, twice := object[foldASCII(name)]; twice {
			return nil, nil, fmt.Errorf("%q: it is there twice", name)
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, nil, notJSON(err)
		}
		object[foldASCII(name)] = raw
		names = append(names, name)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, nil, notJSON(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("something follows the JSON object")
	}
	return object, names, nil
}

func foldASCII(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// decodeField reads one value. It returns what is wrong with it.
func decodeField(raw json.RawMessage, f reflect.StructField, into reflect.Value) string {
	if f.Type.Kind() == reflect.Pointer {
		if string(raw) == "null" {
			return ""
		}
		value := reflect.New(f.Type.Elem())
		into.Set(value)
		into = value.Elem()
	}
	switch into.Kind() {
	case reflect.Bool:
		switch string(raw) {
		case "true", "false":
			into.SetBool(string(raw) == "true")
			return ""
		}
		return "want true or false"
	case reflect.Slice:
		var elements []json.RawMessage
		if raw[0] != '[' || json.Unmarshal(raw, &elements) != nil {
			return "want a list of texts"
		}
		list := make([]string, 0, len(elements))
		for i, element := range elements {
			text, problem := decodeText(element)
			if problem != "" {
				return fmt.Sprintf("[%d]: %s", i, problem)
			}
			list = append(list, text)
		}
		into.Set(reflect.ValueOf(list))
		return ""
	default:
		text, problem := decodeText(raw)
		if problem != "" {
			return problem
		}
		into.SetString(text)
		return valueProblem(text, f)
	}
}

func decodeText(raw json.RawMessage) (text, problem string) {
	if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		return "", "want a text"
	}
	switch {
	case text == "":
		return "", "it must not be empty"
	case strings.ContainsRune(text, utf8.RuneError): // what half of a surrogate pair becomes
		return "", "it holds what is no character"
	}
	return text, ""
}

// valueProblem says what is wrong with a text that must be one of some.
func valueProblem(text string, f reflect.StructField) string {
	if enum := f.Tag.Get("enum"); enum != "" && !slices.Contains(strings.Split(enum, ","), text) {
		return fmt.Sprintf("%q is none of %s", text, strings.ReplaceAll(enum, ",", ", "))
	}
	if f.Tag.Get("format") == "date-time" {
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return fmt.Sprintf("%q is not an ISO 8601 time with an offset, such as 2027-01-31T00:00:00Z", text)
		}
	}
	return ""
}
