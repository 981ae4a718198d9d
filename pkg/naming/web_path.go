package naming

import (
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A webPiece is one segment behind the version: a name and, perhaps, a key.
type webPiece struct {
	name string
	key  keyKind
	id   string   // of guidKey, in lower case
	by   []string // of alternateKey: the columns
}

// A keyKind is what stands in parentheses behind a name.
type keyKind uint8

const (
	noKey        keyKind = iota
	emptyKey             // (), a function's
	guidKey              // (00000000-0000-0000-0000-000000000001)
	alternateKey         // (firstname='Joe',emailaddress1='abc@example.com')
	argumentKey          // whatever else a function could be given
)

// isRecord tells whether the piece names one record.
func (p *webPiece) isRecord() bool { return p.key == guidKey || p.key == alternateKey }

// The details of pieces that are refused.
const (
	refusedParentheses = "the path has parentheses that do not enclose a key at a segment's end"
	refusedPieceName   = "the path has a name that is not of letters, digits, _ and dots"
)

// readPiece reads a segment in its one spelling.
func readPiece(text string) (p webPiece, refusal string) {
	name, inner, hasKey := strings.Cut(text, "(")
	switch {
	case !hasKey && strings.IndexByte(name, ')') >= 0:
		return p, refusedParentheses
	case name == "$ref", name == "$count", name == "$value":
		if hasKey {
			return p, refusedPieceName
		}
	case !isWebName(name):
		return p, refusedPieceName
	}
	p.name = strings.Clone(name)
	if !hasKey {
		return p, ""
	}
	inner, closed := strings.CutSuffix(inner, ")")
	if !closed {
		return p, refusedParentheses
	}
	switch {
	case inner == "":
		p.key = emptyKey
	case authz.IsGUID(inner):
		p.key, p.id = guidKey, lowerASCII(inner)
	default:
		if by := keyColumns(inner); by != nil {
			p.key, p.by = alternateKey, by
			break
		}
		if !areArguments(inner) {
			return p, refusedParentheses
		}
		p.key = argumentKey
	}
	return p, ""
}

// keyColumns returns the columns of an alternate key, name=value with commas between, or
// nil if it is none.
func keyColumns(inner string) []string {
	var columns []string
	for {
		name, rest, ok := strings.Cut(inner, "=")
		if !ok || !isColumnName(name) {
			return nil
		}
		columns = append(columns, columnOf(name))
		n := literalLength(rest)
		if n == 0 {
			return nil
		}
		if rest = rest[n:]; rest == "" {
			return columns
		}
		if rest[0] != ',' {
			return nil
		}
		inner = rest[1:]
	}
}

// literalLength returns the length of the value at the beginning of text: a string in
// quotes, a number, a date, a GUID or a word. 0: there is none.
func literalLength(text string) int {
	if strings.HasPrefix(text, "'") {
		return quotedLength(text)
	}
	n := 0
	for n < len(text) && (isNameByte(text[n]) || strings.IndexByte(".:-+", text[n]) >= 0) {
		n++
	}
	return n
}

// quotedLength returns the length of the string in single quotes at the beginning of text,
// in which two quotes stand for one. 0: it does not end.
func quotedLength(text string) int {
	for i := 1; i < len(text); i++ {
		if text[i] != '\'' {
			continue
		}
		if i+1 < len(text) && text[i+1] == '\'' {
			i++
			continue
		}
		return i + 1
	}
	return 0
}

// areArguments tells whether quotes are closed and no parenthesis stands outside them, so
// that all of inner is between the one pair.
func areArguments(inner string) bool {
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '(', ')':
			return false
		case '\'':
			n := quotedLength(inner[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		}
	}
	return true
}

// isWebName tells whether text is a name, with dots where it is qualified.
func isWebName(text string) bool {
	for part := range strings.SplitSeq(text, ".") {
		if !isColumnName(part) {
			return false
		}
	}
	return true
}

// isColumnName tells whether text is of letters, digits and _, and does not begin with a
// digit.
func isColumnName(text string) bool {
	for i := 0; i < len(text); i++ {
		if !isNameByte(text[i]) {
			return false
		}
	}
	return text != "" && (text[0] < '0' || text[0] > '9')
}

func isNameByte(c byte) bool {
	return 'a' <= lowerByte(c) && lowerByte(c) <= 'z' || '0' <= c && c <= '9' || c == '_'
}

// columnOf returns the column that a property stands for: _primarycontactid_value is how
// the Web API calls what the lookup column primarycontactid holds.
func columnOf(property string) string {
	if inner, ok := strings.CutPrefix(property, "_"); ok {
		if column, ok := strings.CutSuffix(inner, "_value"); ok && column != "" {
			return strings.Clone(column)
		}
	}
	return strings.Clone(property)
}

// isLookupValue tells whether a property is the value of a lookup column, by its name
// alone: no table can have a column or a navigation property of such a name.
func isLookupValue(property string) bool { return columnOf(property) != property }

// routeKey returns the method and the pattern that a path has: its names, and which of
// them have a key.
func routeKey(method string, pieces []webPiece) string {
	return method + " " + ruleOf(pieces)
}

// ruleOf returns the pattern of a path. An empty key is none.
func ruleOf(pieces []webPiece) string {
	var b strings.Builder
	for i := range pieces {
		b.WriteByte('/')
		b.WriteString(pieces[i].name)
		if pieces[i].key > emptyKey {
			b.WriteString("({key})")
		}
	}
	return b.String()
}

// conventionOf returns the pattern of a path without the names that the client chose.
func conventionOf(pieces []webPiece) string {
	var b strings.Builder
	for i := range pieces {
		switch {
		case i == 0:
			b.WriteString("/{entitySet}")
		case pieces[i].name[0] == '$':
			b.WriteString("/" + pieces[i].name)
		default:
			b.WriteString("/{property}")
		}
		if pieces[i].key > emptyKey {
			b.WriteString("({key})")
		}
	}
	return b.String()
}
