package naming

import (
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A webExpression collects what the expressions of a query read: columns of the table that
// is asked for, and columns behind navigation properties that lead to one record.
//
// It is no parser of OData: whatever is not an operator, a literal or one of the functions
// listed counts as a column, and whatever is none of these is refused. So an expression can
// only name too many columns, never too few.
type webExpression struct {
	columns []string
	behind  []columnBehind
	refusal string
	text    string
	at      int
}

// A columnBehind is a column of the record that a navigation property leads to.
type columnBehind struct{ navigation, column string }

// The details of expressions that are refused.
const (
	refusedExpression      = "the query has an expression that cannot be read"
	refusedExpressionQuote = "the query has an expression whose quotes or parentheses do not close"
	unmappedLambda         = "any and all are refused: they read other tables"
	unmappedFunction       = "the query has a function that this profile does not read"
	unmappedLongPath       = "the query has a path over more than one navigation property"
	unmappedPropertyName   = "a query function names its column by PropertyName='column', once"
)

// operators are the words that are no columns.
var operators = map[string]bool{
	"eq": true, "ne": true, "gt": true, "ge": true, "lt": true, "le": true,
	"and": true, "or": true, "not": true, "in": true,
	"null": true, "true": true, "false": true,
}

// textFunctions are the functions of OData that the Web API has.
var textFunctions = map[string]bool{"contains": true, "startswith": true, "endswith": true}

// queryFunctions is what the names of Dataverse's own functions begin with. All of them
// name the column that they read as PropertyName.
const queryFunctions = "Microsoft.Dynamics.CRM."

func (x *webExpression) refuse(detail string) { x.refusal = detail }

// readFilter reads the value of $filter or of a parameter.
func (x *webExpression) readFilter(text string) {
	x.text, x.at = text, 0
	depth := 0
	for x.refusal == "" && x.at < len(x.text) {
		switch c := x.text[x.at]; {
		case c == ' ' || c == ',':
			x.at++
		case c == '(':
			depth++
			x.at++
		case c == ')':
			if depth--; depth < 0 {
				x.refuse(refusedExpressionQuote)
			}
			x.at++
		case c == '\'':
			x.quoted()
		case c == '@':
			x.at++
			if x.word() == "" {
				x.refuse(refusedExpression)
			}
		case x.guid():
		case c == '-' || '0' <= c && c <= '9':
			x.number()
		case isNameByte(c):
			x.name()
		default:
			x.refuse(refusedExpression)
		}
	}
	if depth != 0 && x.refusal == "" {
		x.refuse(refusedExpressionQuote)
	}
}

// quoted reads a string and returns what stands between its quotes.
func (x *webExpression) quoted() string {
	n := quotedLength(x.text[x.at:])
	if n == 0 {
		x.refuse(refusedExpressionQuote)
		return ""
	}
	inner := x.text[x.at+1 : x.at+n-1]
	x.at += n
	return inner
}

// guid reads a GUID, if there is one: it may begin with a letter.
func (x *webExpression) guid() bool {
	const length = 36
	end := x.at + length
	if end > len(x.text) || !authz.IsGUID(x.text[x.at:end]) || end < len(x.text) && (isNameByte(x.text[end]) || x.text[end] == '-') {
		return false
	}
	x.at = end
	return true
}

// number reads a number, a date or a time. Letters other than those of dates and exponents
// would be a name.
func (x *webExpression) number() {
	start := x.at
	for x.at < len(x.text) && (x.text[x.at] >= '0' && x.text[x.at] <= '9' || strings.IndexByte(".:-TZeE", x.text[x.at]) >= 0) {
		x.at++
	}
	switch {
	case x.at < len(x.text) && isNameByte(x.text[x.at]):
		x.refuse(refusedExpression)
	case x.text[start] == '-' && (x.at < start+2 || x.text[start+1] < '0' || x.text[start+1] > '9'):
		x.refuse(refusedExpression)
	}
}

// word reads a name without dots, or nothing.
func (x *webExpression) word() string {
	start := x.at
	for x.at < len(x.text) && isNameByte(x.text[x.at]) {
		x.at++
	}
	if word := x.text[start:x.at]; isColumnName(word) {
		return word
	}
	return ""
}

// follows tells whether the next byte is c.
func (x *webExpression) follows(c byte) bool { return x.at < len(x.text) && x.text[x.at] == c }

// name reads an operator, a function or a column.
func (x *webExpression) name() {
	start := x.at
	word := x.word()
	switch {
	case word == "" || x.follows('\''):
		x.refuse(refusedExpression)
	case x.follows('.'):
		x.at = start
		x.queryFunction()
	case x.follows('/'):
		x.path(word)
	case operators[word]:
		// also with a parenthesis behind it: not(…)
	case x.callFollows():
		if !textFunctions[word] || !x.follows('(') {
			x.refuse(unmappedFunction)
		}
	default:
		x.columns = append(x.columns, columnOf(word))
	}
}

// callFollows tells whether a parenthesis opens, behind spaces or not.
func (x *webExpression) callFollows() bool {
	return strings.HasPrefix(strings.TrimLeft(x.text[x.at:], " "), "(")
}

// path reads what follows the name of a navigation property.
func (x *webExpression) path(navigation string) {
	x.at++
	column := x.word()
	switch {
	case column == "":
		x.refuse(refusedExpression)
	case x.callFollows() && (column == "any" || column == "all"):
		x.refuse(unmappedLambda)
	case x.callFollows():
		x.refuse(unmappedFunction)
	case x.follows('/'):
		x.refuse(unmappedLongPath)
	case x.follows('.'), x.follows('\''):
		x.refuse(refusedExpression)
	default:
		x.behind = append(x.behind, columnBehind{strings.Clone(navigation), columnOf(column)})
	}
}

// queryFunction reads Microsoft.Dynamics.CRM.Between(PropertyName='a',PropertyValues=["1","2"]).
func (x *webExpression) queryFunction() {
	rest, ok := strings.CutPrefix(x.text[x.at:], queryFunctions)
	if !ok {
		x.refuse(unmappedFunction)
		return
	}
	x.at = len(x.text) - len(rest)
	if x.word() == "" || !x.follows('(') {
		x.refuse(unmappedFunction)
		return
	}
	named := false
	for {
		x.at++ // the parenthesis or the comma
		x.spaces()
		name := x.word()
		x.spaces()
		if name == "" || !x.follows('=') {
			x.refuse(refusedExpression)
			return
		}
		x.at++
		x.spaces()
		if strings.EqualFold(name, "PropertyName") {
			if named || name != "PropertyName" || !x.follows('\'') {
				x.refuse(unmappedPropertyName)
				return
			}
			named = true
			column := x.quoted()
			if !isColumnName(column) {
				x.refuse(unmappedPropertyName)
				return
			}
			x.columns = append(x.columns, columnOf(column))
		} else {
			x.argument()
		}
		x.spaces()
		switch {
		case x.refusal != "":
			return
		case x.follows(','):
		case x.follows(')') && named:
			x.at++
			return
		case x.follows(')'):
			x.refuse(unmappedPropertyName)
			return
		default:
			x.refuse(refusedExpression)
			return
		}
	}
}

func (x *webExpression) spaces() {
	for x.follows(' ') {
		x.at++
	}
}

// argument reads a literal, a parameter or a list of literals.
func (x *webExpression) argument() {
	if !x.follows('[') {
		x.literal()
		return
	}
	for x.refusal == "" {
		x.at++ // the bracket or the comma
		x.spaces()
		if x.follows(']') {
			x.at++
			return
		}
		x.literal()
		x.spaces()
		switch {
		case x.follows(']'):
			x.at++
			return
		case !x.follows(','):
			x.refuse(refusedExpression)
		}
	}
}

// literal reads a value that names no column.
func (x *webExpression) literal() {
	switch {
	case x.at == len(x.text):
		x.refuse(refusedExpression)
	case x.follows('\''):
		x.quoted()
	case x.follows('"'):
		end := strings.IndexByte(x.text[x.at+1:], '"')
		if end < 0 || strings.IndexByte(x.text[x.at+1:x.at+1+end], '\\') >= 0 {
			x.refuse(refusedExpressionQuote)
			return
		}
		x.at += end + 2
	case x.guid():
	case x.follows('-') || x.text[x.at] >= '0' && x.text[x.at] <= '9':
		x.number()
	case x.follows('@'):
		x.at++
		if x.word() == "" {
			x.refuse(refusedExpression)
		}
	default:
		switch x.word() {
		case "true", "false", "null":
		default:
			x.refuse(refusedExpression)
		}
	}
}

// readOrder reads the value of $orderby.
func (x *webExpression) readOrder(text string) {
	for item := range strings.SplitSeq(text, ",") {
		words := strings.Fields(item)
		if len(words) == 0 || len(words) > 2 || len(words) == 2 && words[1] != "asc" && words[1] != "desc" {
			x.refuse(refusedExpression)
			return
		}
		navigation, column, behind := strings.Cut(words[0], "/")
		switch {
		case strings.Contains(column, "/"):
			x.refuse(unmappedLongPath)
			return
		case !isColumnName(navigation), behind && !isColumnName(column):
			x.refuse(refusedExpression)
			return
		case behind:
			x.behind = append(x.behind, columnBehind{strings.Clone(navigation), columnOf(column)})
		default:
			x.columns = append(x.columns, columnOf(navigation))
		}
	}
}
