// Package bundle reads and writes bundles: files, in YAML or JSON, that hold everything
// that decisions are taken from, with the field names of the Power Platform API.
//
// Reading is strict. An unknown key, an unknown role, environment or group, a scope at
// which a role may not be assigned, something listed twice: each is a problem with file,
// line and column, all problems are reported at once, and of a file that has any nothing
// is used. A YAML bundle must end with the line "...", because half a list is valid YAML
// and the half that is missing may hold the denials.
//
// Writing is canonical: the same data always make the same bytes, and what is written
// reads back as the same data.
package bundle

import (
	"bytes"
	"errors"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// APIVersion is the one value that a bundle's apiVersion may have.
const APIVersion = "pathgrant/v1"

// MaxSize is the greatest size of a bundle in bytes.
const MaxSize = 512 << 20

// endMark is the last line of a YAML bundle.
const endMark = "..."

// Options say how a bundle is read.
type Options struct {
	// FoldCase compares identifiers without case; they are then stored in lower case.
	// GUIDs are stored in lower case in any case.
	FoldCase bool
	// Vocabulary holds the permissions that custom roles may name. It is required.
	Vocabulary *authz.Vocabulary
	// Now tells which assignments have expired: one that has makes way for another of
	// the same principal, role and scope. The zero Now expires none, so that two
	// such assignments are a problem.
	Now time.Time
}

// Parse reads a bundle. The file's name is for messages only. All problems are reported
// at once, joined, each a [strictyaml.Problem]; Parse returns no data if there are any.
//
// Fractions of a second in times are dropped. Of an assignment without a
// roleAssignmentId, [AssignmentID] gives the identifier.
func Parse(file string, src []byte, o Options) (*snapshot.Data, error) {
	if o.Vocabulary == nil {
		return nil, errors.New("read a bundle: no vocabulary to check custom roles with")
	}
	parse, err := parserOf(file, src)
	if err != nil {
		return nil, err
	}
	root, reader, err := parse(file, src)
	if err != nil {
		return nil, err
	}
	data := newParser(o).document(root)
	if err := reader.Err(); err != nil {
		return nil, err
	}
	return data, nil
}

// parserOf checks that the file is whole, as far as its text tells, and returns how to
// read it.
func parserOf(file string, src []byte) (func(string, []byte) (strictyaml.Value, *strictyaml.Reader, error), error) {
	if len(src) > MaxSize {
		return nil, strictyaml.Problem{File: file, Message: "the file is larger than 512 MiB: split it by tenant and import it into a store instead"}
	}
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(src, []byte("\ufeff")))
	if len(trimmed) == 0 {
		return nil, strictyaml.Problem{File: file, Message: "the file is empty"}
	}
	ends := endsWithMark(src)
	if trimmed[0] == '{' && !ends {
		return strictyaml.ParseJSON, nil
	}
	if !ends {
		return nil, strictyaml.Problem{
			File: file, Line: bytes.Count(src, []byte("\n")) + 1, Column: 1,
			Message: `the file is incomplete: a YAML bundle ends with a line of "...", so that half a file is never taken for a whole one`,
		}
	}
	return strictyaml.Parse, nil
}

// endsWithMark tells whether the last line that is not blank is the end mark. Trailing
// blanks are not forgiven, and neither is a comment: what comes after the mark was not
// written by whoever finished the file.
func endsWithMark(src []byte) bool {
	last := bytes.TrimRight(src, " \t\r\n")
	line := last[bytes.LastIndexByte(last, '\n')+1:]
	after := src[len(last):]
	if end := bytes.IndexByte(after, '\n'); end >= 0 {
		after = after[:end]
	}
	return string(line) == endMark && len(bytes.TrimSuffix(after, []byte("\r"))) == 0
}
