package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// openAPI is the document as it is served, and which of its operations were answered.
type openAPI struct {
	text     []byte
	Paths    map[string]map[string]described             `json:"paths"`
	Parts    struct{ Schemas map[string]map[string]any } `json:"components"`
	answered map[string]map[int]bool                     // by operation and status
}

type described struct {
	ID         string `json:"operationId"`
	Parameters []struct{ Name, In string }
	Body       *struct {
		Required bool
		Content  map[string]struct{ Schema map[string]any }
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]struct{ Schema map[string]any }
	}
	Security []map[string][]string
}

func readOpenAPI(t testing.TB, h http.Handler) *openAPI {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/pathgrant/v1/openapi.json", nil))
	if recorder.Code != http.StatusOK {
		t.Fatalf("the document: %d %s", recorder.Code, recorder.Body)
	}
	d := &openAPI{text: recorder.Body.Bytes(), answered: map[string]map[int]bool{}}
	if err := json.Unmarshal(d.text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// operation finds what the document says of a request: it reads templates for itself.
func (d *openAPI) operation(r *http.Request) *described {
	given := strings.Split(strings.TrimSuffix(r.URL.EscapedPath(), "/"), "/")
	method := strings.ToLower(r.Method)
	for template, methods := range d.Paths {
		want := strings.Split(template, "/")
		same := len(want) == len(given)
		for i := 0; same && i < len(want); i++ {
			decoded, err := url.PathUnescape(given[i])
			same = err == nil && (strings.HasPrefix(want[i], "{") && given[i] != "" || strings.EqualFold(want[i], decoded))
		}
		if o, ok := methods[method]; same && ok && r.Method == strings.ToUpper(method) {
			return &o
		}
	}
	return nil
}

// check compares an answer with what the document says of its operation. What the document
// does not name must have been answered as no operation.
func (d *openAPI) check(r *http.Request, status int, body []byte) (problems []string) {
	o := d.operation(r)
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return []string{err.Error()}
	}
	if o == nil {
		if status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
			problems = append(problems, "it names no such operation")
		}
		return append(problems, d.validate("body", map[string]any{"$ref": "#/components/schemas/ErrorBody"}, value)...)
	}
	answers, ok := o.Responses[strconv.Itoa(status)]
	if !ok {
		return []string{"it names no such status for " + o.ID}
	}
	if d.answered[o.ID] == nil {
		d.answered[o.ID] = map[int]bool{}
	}
	d.answered[o.ID][status] = true
	return d.validate("body", answers.Content["application/json"].Schema, value)
}

// validate is JSON Schema, as much of it as the document uses; any other keyword is a
// problem of its own.
func (d *openAPI) validate(at string, schema map[string]any, value any) (problems []string) {
	fail := func(format string, args ...any) {
		problems = append(problems, at+": "+fmt.Sprintf(format, args...))
	}
	if reference, ok := schema["$ref"].(string); ok {
		target, known := d.Parts.Schemas[strings.TrimPrefix(reference, "#/components/schemas/")]
		if !known {
			fail("the reference %s leads nowhere", reference)
			return problems
		}
		return d.validate(at, target, value)
	}
	for keyword, want := range schema {
		switch keyword {
		case "description", "required", "additionalProperties", "properties":
		case "type":
			if !slices.Contains(texts(want), typeOf(value)) {
				fail("it is %s, want %v", typeOf(value), want)
			}
		case "enum":
			list, _ := want.([]any)
			if !slices.Contains(list, value) {
				fail("%v is none of %v", value, list)
			}
		case "format":
			text, isText := value.(string)
			if _, err := time.Parse(time.RFC3339, text); isText && (err != nil || !strings.HasSuffix(text, "Z")) {
				fail("%q is not a time in UTC", text)
			}
		case "minimum":
			number, _ := value.(json.Number)
			if strings.HasPrefix(number.String(), "-") {
				fail("it is less than %v", want)
			}
		case "items":
			items, _ := value.([]any)
			of, _ := want.(map[string]any)
			for i, item := range items {
				problems = append(problems, d.validate(fmt.Sprintf("%s[%d]", at, i), of, item)...)
			}
		default:
			fail("the keyword %s is not known here", keyword)
		}
	}
	object, isObject := value.(map[string]any)
	if !isObject {
		return problems
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range texts(schema["required"]) {
		if _, ok := object[name]; !ok {
			fail("%s is missing", name)
		}
	}
	for name, member := range object {
		if property, ok := properties[name].(map[string]any); ok {
			problems = append(problems, d.validate(at+"."+name, property, member)...)
		} else if schema["additionalProperties"] == false {
			fail("%s is not known", name)
		}
	}
	return problems
}

// texts reads a text, or a list of texts.
func texts(v any) (all []string) {
	if text, ok := v.(string); ok {
		return []string{text}
	}
	list, _ := v.([]any)
	for _, item := range list {
		text, _ := item.(string)
		all = append(all, text)
	}
	return all
}

func typeOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case json.Number:
		if !strings.ContainsAny(value.String(), ".eE") {
			return "integer"
		}
		return "number"
	}
	return fmt.Sprintf("%T", value)
}
