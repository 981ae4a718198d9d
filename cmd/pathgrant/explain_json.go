package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// printExplanationJSON writes an explanation as one line of JSON, with the fields of the
// contract and the words of check: OVERRIDDEN, not REASON_OVERRIDDEN.
func printExplanationJSON(w io.Writer, e *pathgrantv1.Explanation) error {
	text, err := protojson.Marshal(e)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	return printJSON(w, plainWords("", tree))
}

// wordPrefixes are those of the contract's enumerations, by the fields that hold them.
var wordPrefixes = map[string][]string{
	"reason": {"REASON_"}, "effect": {"ASSIGNMENT_EFFECT_", "EFFECT_"}, "verdict": {"VERDICT_"}, "state": {"LAYER_STATE_"}, "of": {"COMPOSITE_PARTY_"},
	"access": {"DATAVERSE_ACCESS_"}, "lack": {"DATAVERSE_LACK_"}, "reach": {"DATAVERSE_REACH_"}, "neededReach": {"DATAVERSE_REACH_"},
}

// plainWords makes the words and numbers of a tree those that the other commands print.
func plainWords(field string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = plainWords(key, value)
		}
	case []any:
		for i, value := range v {
			v[i] = plainWords(field, value)
		}
	case string:
		return plainWord(field, v)
	}
	return v
}

func plainWord(field, word string) any {
	switch field {
	case "type":
		return principalTypeName(pathgrantv1.PrincipalType(pathgrantv1.PrincipalType_value[word]))
	case "epoch", "number": // which protobuf spells as text, because JavaScript cannot count so far
		return json.Number(word)
	}
	for _, prefix := range wordPrefixes[field] {
		if short, ok := strings.CutPrefix(word, prefix); ok {
			return short
		}
	}
	return word
}
