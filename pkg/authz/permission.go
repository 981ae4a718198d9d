package authz

import (
	"fmt"
	"strings"
)

// Permission is a permission's name, {Namespace}.{ResourceType}.{Action}, such as
// PowerApps.Apps.Read. The first part is the namespace, the last the action, and all
// between is the resource type, which may itself have dots. Names are compared
// without regard to ASCII case and printed as the catalogue spells them.
type Permission string

// ParsePermission checks that text is a permission's name: at least three parts,
// none empty, of letters, digits, "_" and "-".
func ParsePermission(text string) (Permission, error) {
	parts := strings.Split(text, ".")
	if len(parts) < 3 {
		return "", fmt.Errorf("permission %q is not {Namespace}.{ResourceType}.{Action}", text)
	}
	for _, part := range parts {
		if !isWord(part) {
			return "", fmt.Errorf("permission %q has the part %q, which is not of letters, digits, _ and -", text, part)
		}
	}
	return Permission(text), nil
}

// Namespace returns the first part.
func (p Permission) Namespace() string {
	ns, _, _ := strings.Cut(string(p), ".")
	return ns
}

// ResourceType returns all between the first part and the last.
func (p Permission) ResourceType() string {
	first, last := strings.IndexByte(string(p), '.'), strings.LastIndexByte(string(p), '.')
	if first < 0 || first == last {
		return ""
	}
	return string(p[first+1 : last])
}

// Action returns the last part.
func (p Permission) Action() string { return string(p[strings.LastIndexByte(string(p), '.')+1:]) }

func isWord(s string) bool {
	for i := 0; i < len(s); i++ {
		c := lowerByte(s[i])
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// reserved tells whether no catalogue may declare a permission of this name:
// All.All.ReadWrite stands in the refusals of the Power Platform API and is never
// granted, and Dataverse.{Table}.{Privilege} belongs to the environments' tables,
// which no platform pattern covers.
func reserved(folded string) bool {
	return folded == "all.all.readwrite" || strings.HasPrefix(folded, "dataverse.")
}

// A pattern is one of *, *.Read, NS.*, NS.*.Read, NS.RT.* and an exact name, in
// lower case. A star spans parts.
type pattern struct {
	exact, prefix, suffix string // exact, or "prefix." and ".suffix" around the star; all empty: *
}

func parsePattern(text string) (pattern, error) {
	folded := lowerASCII(text)
	before, after, star := strings.Cut(folded, "*")
	if !star {
		_, err := ParsePermission(text)
		return pattern{exact: folded}, err
	}
	bad := fmt.Errorf("pattern %q is none of *, *.Read, NS.*, NS.*.Read, NS.RT.* and an exact permission", text)
	words := strings.FieldsFunc(before+"."+after, func(r rune) bool { return r == '.' })
	for _, word := range words {
		if !isWord(word) {
			return pattern{}, bad
		}
	}
	parts := strings.Split(strings.Trim(before+after, "."), ".")
	switch {
	case before == "" && after == "": // *
	case before != "" && !strings.HasSuffix(before, "."), after != "" && !strings.HasPrefix(after, "."):
		return pattern{}, bad
	case strings.Contains(before+"x"+after, ".."), after != "" && strings.Count(after, ".") != 1:
		return pattern{}, bad
	case before != "" && after != "" && strings.Count(before, ".") != 1:
		return pattern{}, bad // NS.RT.*.Read: a type with a star after it has no further part
	case len(parts) != len(words):
		return pattern{}, bad
	}
	return pattern{prefix: before, suffix: after}, nil
}

// matches tells whether the pattern covers the permission named in lower case.
func (p pattern) matches(folded string) bool {
	if p.exact != "" {
		return p.exact == folded
	}
	// The star stands for at least one character, so prefix and suffix may not overlap.
	return len(folded) > len(p.prefix)+len(p.suffix) &&
		strings.HasPrefix(folded, p.prefix) && strings.HasSuffix(folded, p.suffix)
}
