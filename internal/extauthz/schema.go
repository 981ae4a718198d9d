package extauthz

import (
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A schema says how the fields of one message are read. It is made from the message's
// descriptor, so that the scan refuses whatever proto.Unmarshal refuses, in the fields
// too that nothing is kept of.
type schema struct {
	fields []field // by number; the zero field is one that proto3 has no demands on
}

type field struct {
	kind    kind
	keep    keep
	message *schema // of a message and a map's entry
}

// field returns how a field is read.
func (s *schema) field(number protowire.Number) field {
	if int64(number) < int64(len(s.fields)) {
		return s.fields[number]
	}
	return field{}
}

// A kind is what the value of a field must be like.
type kind uint8

const (
	plain    kind = iota // a number, bytes that nobody reads, or a field that is not known
	octets               // bytes that are kept
	text                 // UTF-8
	message              // its fields have demands of their own
	mapEntry             // a message that is counted as nesting before its type is looked at
)

// A keep says what becomes of a field's value.
type keep uint8

const (
	nothing keep = iota
	method
	host
	path
	principal
	httpPresent
	metadata
	joinedHeader // an entry of the map "headers"
	joinedName
	joinedValue
	listedHeader // an element of "header_map"
	listedName
	listedValue
	listedRaw
	extension // an entry of "context_extensions"
	extensionName
	extensionValue
)

// branches are the fields that something is kept of, and what is kept below them.
type branches map[protoreflect.Name]branch

type branch struct {
	keep  keep
	under branches
}

// kept is what a decision needs of a CheckRequest.
var kept = branches{"attributes": {under: branches{
	"source": {under: branches{"principal": {keep: principal}}},
	"request": {under: branches{"http": {keep: httpPresent, under: branches{
		"method": {keep: method},
		"host":   {keep: host},
		"path":   {keep: path},
		"headers": {keep: joinedHeader, under: branches{
			"key": {keep: joinedName}, "value": {keep: joinedValue},
		}},
		"header_map": {under: branches{"headers": {keep: listedHeader, under: branches{
			"key": {keep: listedName}, "value": {keep: listedValue}, "raw_value": {keep: listedRaw},
		}}}},
	}}}},
	"context_extensions": {keep: extension, under: branches{
		"key": {keep: extensionName}, "value": {keep: extensionValue},
	}},
	"metadata_context": {keep: metadata},
}}}

// checkRequest is the schema of a CheckRequest.
var checkRequest = newSchema((*authv3.CheckRequest)(nil).ProtoReflect().Descriptor(), kept, map[protoreflect.FullName]*schema{})

// newSchema makes the schema of a message. Those that nothing is kept of are shared by
// all places where they are found, since they may contain themselves.
func newSchema(d protoreflect.MessageDescriptor, kept branches, shared map[protoreflect.FullName]*schema) *schema {
	if known, ok := shared[d.FullName()]; ok && kept == nil {
		return known
	}
	fields := d.Fields()
	s := &schema{}
	if kept == nil {
		shared[d.FullName()] = s
	}
	for name := range kept {
		if fields.ByName(name) == nil {
			panic("extauthz: " + string(d.FullName()) + " has no field " + string(name))
		}
	}
	for i := range fields.Len() {
		f := fields.Get(i)
		below := kept[f.Name()]
		how := field{keep: below.keep}
		switch {
		case f.IsMap():
			how.kind, how.message = mapEntry, newSchema(f.Message(), below.under, shared)
		case f.Message() != nil:
			how.kind, how.message = message, newSchema(f.Message(), below.under, shared)
		case f.Kind() == protoreflect.StringKind:
			how.kind = text
		case below.keep != nothing:
			how.kind = octets
		case f.IsPacked():
			panic("extauthz: " + string(f.FullName()) + " is packed, which the scan does not read")
		}
		if n := int(f.Number()); n >= len(s.fields) {
			s.fields = append(s.fields, make([]field, n+1-len(s.fields))...)
		}
		s.fields[f.Number()] = how
	}
	return s
}
