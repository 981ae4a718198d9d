package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// printTable writes rows in columns that are as wide as their widest cell.
func printTable(w io.Writer, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// joined shortens permissions of one resource type: "A.B.Create A.B.Update" is written
// A.B.{Create,Update}.
func joined(permissions string) string {
	all := strings.Fields(permissions)
	if len(all) < 2 {
		return permissions
	}
	var actions []string
	dot := strings.LastIndexByte(all[0], '.')
	for _, permission := range all {
		action, same := strings.CutPrefix(permission, all[0][:dot+1])
		if !same || strings.Contains(action, ".") {
			return permissions
		}
		actions = append(actions, action)
	}
	return all[0][:dot+1] + "{" + strings.Join(actions, ",") + "}"
}

var guid = regexp.MustCompile(`\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)

// short cuts GUIDs after their first part.
func short(scopes string) string { return guid.ReplaceAllString(scopes, "$1…") }

// orDash shows that there is nothing.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
