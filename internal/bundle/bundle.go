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

// The greatest sizes of a bundle in bytes. One in YAML is held in memory, at several times
// its size, and so is what one in JSON says, unless it is read by [Open].
const (
	MaxSize     = 512 << 20
	MaxYAMLSize = 128 << 20
)

// endMark is the last line of a YAML bundle.
const endMark = "..."

// Options say how a bundle is read.
type Options struct {
	// FoldCase compares identifiers without case; they are then stored in lower case.
	// GUIDs are stored in lower case in any case.
	FoldCase bool
	// Vocabulary holds the permissions that custom roles may name. It is required.
	Vocabulary *authz.Vocabulary
	// Roles are the definitions that custom roles stand beside; nil: all that come with the
	// product.
	Roles []authz.RoleDefinition
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
	if len(src) > MaxSize {
		return nil, strictyaml.Problem{File: file, Message: "the file is larger than 512 MiB: split it by tenant, or import it into a data directory, which has no such limit for JSON"}
	}
	isJSON, err := formOf(file, src)
	if err != nil {
		return nil, err
	}
	p := newParser(o)
	p.file = file
	var root strictyaml.Value
	var reader *strictyaml.Reader
	if isJSON {
		document := bytes.NewReader(src)
		p.document = document
		root, reader, err = strictyaml.ScanJSON(file, document, isLongList, nil)
	} else {
		root, reader, err = strictyaml.Parse(file, src)
	}
	if err != nil {
		return nil, err
	}
	data := p.read(root)
	if err := errors.Join(reader.Err(), p.failed); err != nil {
		return nil, err
	}
	return data, nil
}

// isLongList tells which lists of a bundle in JSON are read item by item.
func isLongList(key string, depth int) bool {
	if depth != 3 {
		return false
	}
	switch key {
	case "environmentGroups", "environments", "principals", "groups", "roleAssignments",
		"tables", "users", "teams", "columnProfiles", "shares", "apps", "flows":
		return true
	}
	return false
}

// formOf checks that the file is whole, as far as its text tells, and returns whether it is
// JSON.
func formOf(file string, src []byte) (isJSON bool, err error) {
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(src, []byte("\ufeff")))
	if len(trimmed) == 0 {
		return false, strictyaml.Problem{File: file, Message: "the file is empty"}
	}
	ends := endsWithMark(src)
	if trimmed[0] == '{' && !ends {
		return true, nil
	}
	if !ends {
		return false, strictyaml.Problem{
			File: file, Line: bytes.Count(src, []byte("\n")) + 1, Column: 1,
			Message: `the file is incomplete: a YAML bundle ends with a line of "...", so that half a file is never taken for a whole one`,
		}
	}
	if len(src) > MaxYAMLSize {
		return false, strictyaml.Problem{File: file, Message: tooLargeForYAML}
	}
	return false, nil
}

const tooLargeForYAML = "the file is larger than 128 MiB, and YAML is held in memory as a whole: write the bundle as JSON"

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
