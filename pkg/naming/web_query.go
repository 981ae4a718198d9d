package naming

import (
	"strings"
	"unicode/utf8"
)

// maxQueryLen is what a query may be at most: the Web API itself takes no longer URL.
const maxQueryLen = 32 << 10

// The query options that the profile reads. All of them are compared exactly: the Web API
// does so too.
const (
	optionSelect      = "$select"
	optionFilter      = "$filter"
	optionOrderBy     = "$orderby"
	optionTop         = "$top"
	optionCount       = "$count"
	optionSkipToken   = "$skiptoken"
	optionDeltaToken  = "$deltatoken"
	optionID          = "$id"
	optionAnnotations = "annotations"
	optionPartition   = "partitionId"
	optionSize        = "size"
	optionLanguages   = "LabelLanguages"
	optionAlias       = "@" // stands for all that begin with it
)

// A webOption is one option of a query, its value decoded.
type webOption struct{ key, value string }

// A webQuery is a query taken apart.
type webQuery struct {
	options   []webOption
	forbidden string // why one of the options is refused wherever it stands; "": none is
}

// The details of queries that are refused.
const (
	refusedQueryLong    = "the query is longer than 32 KiB"
	refusedQueryByte    = "the query has a byte that must not stand in one"
	refusedQueryPercent = "the query has a % that is not followed by two hex digits"
	refusedQueryEscape  = "the query escapes a control character or invalid UTF-8"
	refusedQueryOption  = "the query has a part that is not name=value"
	refusedQueryName    = "the query has an option whose name is escaped or no name"
	refusedQueryTwice   = "the query has an option twice"
)

// forbiddenOptions read what their name does not say, wherever they stand. They are
// compared without case and with or without $, for whoever is lax about that.
var forbiddenOptions = map[string]string{
	"expand":     "$expand is refused: it reads other tables",
	"apply":      "$apply is refused: it reads columns in ways that are not followed",
	"compute":    "$compute is refused: it reads columns in ways that are not followed",
	"search":     "$search is refused: it reads columns that it does not name",
	"fetchxml":   "fetchXml is refused: it can read any table",
	"savedquery": "savedQuery is refused: what it reads is stored elsewhere",
	"userquery":  "userQuery is refused: what it reads is stored elsewhere",
}

// split takes the query of a request's target apart. It returns why it is refused, or "".
func (q *webQuery) split(target string) (refusal string) {
	_, text, ok := strings.Cut(target, "?")
	if !ok || text == "" {
		return ""
	}
	if len(text) > maxQueryLen {
		return refusedQueryLong
	}
	for i := 0; i < len(text); i++ {
		if text[i] < 0x21 || text[i] >= 0x7F || strings.IndexByte(`#\;`, text[i]) >= 0 {
			return refusedQueryByte
		}
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, "&") {
		key, raw, ok := strings.Cut(part, "=")
		if !ok {
			return refusedQueryOption
		}
		if !isOptionName(key) {
			return refusedQueryName
		}
		if seen[key] {
			return refusedQueryTwice
		}
		seen[key] = true
		value, refusal := decodeQuery(raw)
		if refusal != "" {
			return refusal
		}
		if detail := forbiddenOptions[lowerASCII(strings.TrimPrefix(key, "$"))]; detail != "" {
			q.forbidden = detail
		}
		q.options = append(q.options, webOption{key, value})
	}
	return ""
}

// isOptionName tells whether key is a word, perhaps with a $ or @ before it.
func isOptionName(key string) bool {
	const longest = 128
	if key != "" && (key[0] == '$' || key[0] == '@') {
		key = key[1:]
	}
	return isColumnName(key) && len(key) <= longest
}

// decodeQuery decodes the value of an option once. A plus is a space, as wherever a form is
// read; where it is not, what it stands in is no query that could be answered.
func decodeQuery(raw string) (value, refusal string) {
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return "", refusedQueryPercent
			}
			c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
			i += 2
			if c < ' ' || c == 0x7F {
				return "", refusedQueryEscape
			}
		}
		b = append(b, c)
	}
	if !utf8.Valid(b) {
		return "", refusedQueryEscape
	}
	return string(b), ""
}

// nameOfOption names an option in a detail, if it is one of OData's: any other is the
// client's own text, which may be a secret.
func nameOfOption(key string) string {
	switch key {
	case optionSelect, optionFilter, optionOrderBy, optionTop, optionCount, optionSkipToken, optionDeltaToken, optionID, "$skip", "$format", "$levels":
		return ": " + key
	}
	return ""
}

// value returns an option's value.
func (q *webQuery) value(key string) (value string, ok bool) {
	for _, o := range q.options {
		if o.key == key {
			return o.value, true
		}
	}
	return "", false
}

// isCount tells whether text is a number that $top can have.
func isCount(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != "" && len(text) <= 10
}
