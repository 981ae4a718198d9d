package authz

import (
	"fmt"
	"slices"
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
	if !strings.Contains(folded, "*") {
		_, err := ParsePermission(text)
		return pattern{exact: folded}, err
	}
	parts := strings.Split(folded, ".")
	star := slices.Index(parts, "*")
	for i, part := range parts {
		if i != star && !isWord(part) {
			return pattern{}, errPattern(text)
		}
	}
	switch last := len(parts) - 1; {
	case star == last: // *, NS.*, NS.RT.*
		return pattern{prefix: strings.TrimSuffix(folded, "*")}, nil
	case star == 0 && last == 1: // *.Read
		return pattern{suffix: folded[1:]}, nil
	case star == 1 && last == 2: // NS.*.Read
		return pattern{prefix: parts[0] + ".", suffix: "." + parts[2]}, nil
	}
	return pattern{}, errPattern(text)
}

func errPattern(text string) error {
	return fmt.Errorf("pattern %q is none of *, *.Read, NS.*, NS.*.Read, NS.RT.* and an exact permission", text)
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
