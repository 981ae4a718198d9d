package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
)

// jsonAsYAML checks that the text is JSON and spells it so that a YAML parser reads the
// same from it. JSON is YAML but for two things: an escaped surrogate pair, and
// characters that YAML takes for line breaks or refuses.
func jsonAsYAML(file string, src []byte) ([]byte, error) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	if !json.Valid(src) {
		return nil, jsonProblem(file, src)
	}
	var out []byte // nil as long as nothing had to be changed
	kept := 0
	replace := func(from, to int, r rune) {
		out = append(out, src[kept:from]...)
		if r > 0xFFFF {
			out = fmt.Appendf(out, `\U%08X`, r)
		} else {
			out = fmt.Appendf(out, `\u%04X`, r)
		}
		kept = to
	}
	for i := 0; i < len(src); {
		switch c := src[i]; {
		case c == '\\':
			first := escapedRune(src[i:])
			if utf16.IsSurrogate(first) {
				pair := utf16.DecodeRune(first, escapedRune(src[i+6:]))
				if pair == utf8.RuneError {
					return nil, placed(file, src, i, "half of a surrogate pair: no text holds that")
				}
				replace(i, i+12, pair)
				i += 12
				continue
			}
			i += 2 // the text is valid: what is escaped is one byte, or hex digits that follow
		case c < utf8.RuneSelf && c != 0x7F:
			i++
		default:
			r, size := utf8.DecodeRune(src[i:])
			if mustEscape(r) {
				replace(i, i+size, r)
			}
			i += size
		}
	}
	if out == nil {
		return src, nil
	}
	return append(out, src[kept:]...), nil
}

// mustEscape tells whether a character of JSON text means something else, or nothing,
// as it stands in a double-quoted YAML text.
func mustEscape(r rune) bool {
	switch {
	case r < 0x20, 0x7F <= r && r <= 0x9F, r == 0x2028, r == 0x2029, r == 0xFEFF, r == 0xFFFE, r == 0xFFFF:
		return true
	}
	return false
}

// escapedRune reads \uXXXX at the beginning of valid JSON text; 0 if nothing such stands
// there.
func escapedRune(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	code, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return rune(code)
}

func jsonProblem(file string, src []byte) error {
	var into any
	var syntax *json.SyntaxError
	err := json.Unmarshal(src, &into)
	if !errors.As(err, &syntax) {
		return fmt.Errorf("%s: not valid JSON: %w", file, err)
	}
	return placed(file, src, max(int(syntax.Offset)-1, 0), "not valid JSON: "+syntax.Error())
}

// placed returns the problem with what stands at the offset.
func placed(file string, src []byte, offset int, message string) error {
	before := src[:min(offset, len(src))]
	return strictyaml.Problem{
		File: file, Line: bytes.Count(before, []byte("\n")) + 1, Column: len(before) - bytes.LastIndexByte(before, '\n'),
		Message: message,
	}
}
