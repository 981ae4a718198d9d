package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// openAPIVersion is that of the specification which the document follows.
const openAPIVersion = "3.1.0"

type object = map[string]any

// everyProblem may be the answer to any request; identified to any that needs a caller.
var (
	everyProblem   = []*problem{internalServerError}
	readProblems   = []*problem{queryInvalid}
	bodyProblems   = []*problem{bodyInvalid, unsupportedMediaType}
	identified     = []*problem{authorizationUnauthorized, invalidAudience, notMapped, insufficientDelegated, insufficientPrincipal, throttled, serviceUnavailable}
	powerProblems  = []*problem{apiVersionUnsupported, operatorRefused}
	statusMeanings = map[int]string{
		http.StatusBadRequest: "The request cannot be understood, or not be carried out as it is.", http.StatusUnauthorized: "The caller is not known.",
		http.StatusForbidden: "The caller may not.", http.StatusNotFound: "There is no such thing.", http.StatusConflict: "The request conflicts with what there is.",
		http.StatusUnsupportedMediaType: "The body is not JSON.", http.StatusTooManyRequests: "Too many secrets are being tried.",
		http.StatusInternalServerError: "A fault of the server's own.", http.StatusServiceUnavailable: "The server cannot answer now.",
	}
)

// allProblems are those that the operation may answer with.
func (o *operation) allProblems() []*problem {
	all := slices.Concat(everyProblem, readProblems, o.problems)
	if !o.Public {
		all = append(all, identified...)
	}
	if !o.own() {
		all = append(all, powerProblems...)
	}
	if o.request != nil || o.bodyOptional {
		all = append(all, bodyProblems...)
	}
	return all
}

// describe makes the OpenAPI document of the table of operations.
func describe() (document, error) {
	d := describer{schemas: object{}}
	paths := object{}
	for i := range operations {
		o := &operations[i]
		path, ok := paths[o.Path].(object)
		if !ok {
			path = object{}
			paths[o.Path] = path
		}
		method := strings.ToLower(o.Method)
		if _, twice := path[method]; twice {
			return nil, fmt.Errorf("%s %s is there twice", o.Method, o.Path)
		}
		described, err := d.operation(o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.ID, err)
		}
		path[method] = described
	}
	text, err := json.MarshalIndent(object{
		"openapi": openAPIVersion,
		"info": object{
			"title":   "Pathgrant administration",
			"version": "1",
			"description": "Role assignments in the shape of the Power Platform API, and a few operations of Pathgrant's own (tag " + tagOwn + "). " +
				"Literal segments of paths, names of parameters and names of fields are compared without case; a parameter, a field or a value that is not described is refused. Where the documentation of the Power Platform API and what its service was seen to answer differ, " +
				"this API answers as the service does. DENY and FORBID assignments, custom platform roles, and assignments of directory roles and teams are Pathgrant's own: " +
				"the operations of the tag " + tagPowerPlatform + " neither list, accept, remove nor name them. " +
				"Every answer has the header x-ms-request-id; a change has x-pathgrant-revision, the revision from which it is in force.",
		},
		"servers": []object{{"url": "/"}},
		"tags": []object{
			{"name": tagPowerPlatform, "description": "In the shape of the Power Platform API."},
			{"name": tagOwn, "description": "Pathgrant's own; the Power Platform API has nothing like it."},
		},
		"paths": paths,
		"components": object{
			"schemas": d.schemas,
			"securitySchemes": object{
				"bearer":      object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token whose audience is administration's."},
				"certificate": object{"type": "mutualTLS", "description": "A client certificate whose SPIFFE URI stands for a principal."},
				"operator": object{
					"type": "apiKey", "in": "header", "name": "Authorization",
					"description": "\"Operator \" and the one-time secret in the data directory, which is used up by it.",
				},
			},
		},
	}, "", "  ")
	return document(append(text, '\n')), err
}

// A describer gathers the schemas of messages, by the names of their types.
type describer struct{ schemas object }

func (d *describer) operation(o *operation) (object, error) {
	answer := object{"description": "Done."}
	if o.response == reflect.TypeFor[document]() {
		answer["content"] = jsonContent(object{"type": "object"})
	} else {
		schema, err := d.schema(o.response, "")
		if err != nil {
			return nil, err
		}
		answer["content"] = jsonContent(schema)
	}
	responses := object{strconv.Itoa(http.StatusOK): answer}
	if err := d.problems(o, responses); err != nil {
		return nil, err
	}
	described := object{
		"operationId": o.ID, "summary": o.summary, "description": o.description, "tags": []string{o.tag},
		"responses": responses, "security": o.security(),
	}
	if parameters := o.parameters(); len(parameters) > 0 {
		described["parameters"] = parameters
	}
	switch {
	case o.request != nil:
		schema, err := d.schema(o.request, "")
		if err != nil {
			return nil, err
		}
		described["requestBody"] = object{"required": true, "content": jsonContent(schema)}
	case o.bodyOptional:
		described["requestBody"] = object{"required": false, "content": jsonContent(object{"type": "object", "additionalProperties": false})}
	}
	return described, nil
}

func jsonContent(schema object) object { return object{"application/json": object{"schema": schema}} }

func (o *operation) security() []object {
	switch {
	case o.Public:
		return []object{}
	case o.Operator:
		return []object{{"operator": []string{}}}
	case strings.HasPrefix(o.Path, "/pathgrant/v1/audit/"):
		return []object{{"bearer": []string{}}, {"certificate": []string{}}, {"operator": []string{}}}
	}
	return []object{{"bearer": []string{}}, {"certificate": []string{}}}
}

func (o *operation) parameters() []object {
	var all []object
	for _, name := range o.params {
		all = append(all, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	if !o.own() {
		all = append(all, object{
			"name": apiVersionParam, "in": "query", "required": true, "description": "The version of the Power Platform API. All are answered alike.",
			"schema": object{"type": "string", "enum": apiVersions},
		})
	}
	for _, p := range o.query {
		all = append(all, object{"name": p.name, "in": "query", "required": false, "description": p.doc, "schema": object{"type": p.kind}})
	}
	return all
}

// problems describes the answers to requests that fail, one for each status with all the
// codes that it may have.
func (d *describer) problems(o *operation, responses object) error {
	schema, err := d.schema(reflect.TypeFor[errorBody](), "")
	if err != nil {
		return err
	}
	codes := map[int][]string{}
	for _, p := range o.allProblems() {
		code := p.code
		if p.inner != "" {
			code += "/" + p.inner
		}
		if !slices.Contains(codes[p.status], code) {
			codes[p.status] = append(codes[p.status], code)
		}
	}
	for status, all := range codes {
		slices.Sort(all)
		responses[strconv.Itoa(status)] = object{
			"description": statusMeanings[status] + " Codes, with that of the inner error: " + strings.Join(all, ", ") + ".",
			"content":     jsonContent(schema),
		}
	}
	return nil
}

// schema describes a type; tag is that of the field which has it.
func (d *describer) schema(t reflect.Type, tag reflect.StructTag) (object, error) {
	switch t.Kind() {
	case reflect.Pointer:
		schema, err := d.schema(t.Elem(), tag)
		kind, plain := schema["type"].(string)
		if err != nil || !plain {
			return schema, err // an object that may be left out, never null
		}
		schema["type"] = []string{kind, "null"}
		if enum, ok := schema["enum"].([]any); ok {
			schema["enum"] = append(enum, nil)
		}
		return schema, nil
	case reflect.Bool:
		return object{"type": "boolean"}, nil
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}, nil
	case reflect.String:
		schema := object{"type": "string"}
		if enum := tag.Get("enum"); enum != "" {
			values := []any{}
			for value := range strings.SplitSeq(enum, ",") {
				values = append(values, value)
			}
			schema["enum"] = values
		}
		if format := tag.Get("format"); format != "" {
			schema["format"] = format
		}
		return schema, nil
	case reflect.Slice:
		items, err := d.schema(t.Elem(), "")
		return object{"type": "array", "items": items}, err
	case reflect.Struct:
		return d.structure(t)
	default:
		return nil, fmt.Errorf("no schema for a %s", t)
	}
}

// structure puts a struct's schema among the components, and refers to it.
func (d *describer) structure(t reflect.Type) (object, error) {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	reference := object{"$ref": "#/components/schemas/" + name}
	if _, described := d.schemas[name]; described {
		return reference, nil
	}
	schema := object{"type": "object", "additionalProperties": false}
	d.schemas[name] = schema
	properties, required := object{}, []string{}
	for f := range fields(t) {
		property, err := d.schema(f.Type, f.Tag)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t.Name(), f.Name, err)
		}
		described := object{"description": f.Tag.Get("doc")}
		for key, value := range property {
			described[key] = value
		}
		jsonName, omitted, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[jsonName] = described
		if omitted == "" && f.Tag.Get("optional") == "" {
			required = append(required, jsonName)
		}
	}
	schema["properties"] = properties
	if len(required) > 0 {
		schema["required"] = required
	}
	return reference, nil
}
