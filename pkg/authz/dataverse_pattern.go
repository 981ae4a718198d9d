package authz

import (
	"fmt"
	"strings"
)

// PrivilegePattern is one line of a Dataverse security role, as text one of
//
//	Dataverse.Account.Read@Organization
//	Dataverse.{core}.ALL8@User
//	Dataverse.{AppModule}.CRWD@ParentChild       refused: a table stands without braces
//	Dataverse.Publisher.{CRWD,Append,AppendTo}@Organization
//	Dataverse.User.ActOnBehalf
//
// {class} stands for every table of a class; ALL8, or *, for the eight privileges of a
// table; CRWD for Create, Read, Write and Delete. A line that names a table decides there,
// for its privileges, over all lines of the role that name classes; among lines of one kind
// the widest reach counts. The zero PrivilegePattern gives nothing.
type PrivilegePattern struct {
	// Table is the table's name; empty for a class.
	Table string
	// Class is the class; zero for a table.
	Class      TableClass
	Privileges PrivilegeSet
	// Reach is how far the privileges reach; none for [ActOnBehalf], which has no reach.
	Reach Reach
}

const dataversePrefix = "Dataverse."

// ParsePrivilegePattern reads a line of a security role, words without regard to ASCII
// case. Whatever it does not know is an error that names the text and says what to write.
func ParsePrivilegePattern(text string) (PrivilegePattern, error) {
	bad := func(format string, args ...any) (PrivilegePattern, error) {
		return PrivilegePattern{}, fmt.Errorf("privilege %q: %s", text, fmt.Sprintf(format, args...))
	}
	if len(text) < len(dataversePrefix) || !foldEqual(text[:len(dataversePrefix)], dataversePrefix) {
		return bad("want Dataverse.{table}.{privilege}@{reach}")
	}
	rest, reach, hasReach := strings.Cut(text[len(dataversePrefix):], "@")
	dot := strings.LastIndexByte(rest, '.')
	if dot < 0 {
		return bad("want a table or {class} and a privilege with a dot between them, as in Dataverse.Account.Read@User")
	}
	var p PrivilegePattern
	switch target := rest[:dot]; {
	case isWord(target):
		p.Table = target
	case strings.HasPrefix(target, "{") && strings.HasSuffix(target, "}"):
		if err := p.Class.UnmarshalText([]byte(target[1 : len(target)-1])); err != nil {
			return bad("%v; a table stands without braces", err)
		}
	default:
		return bad("%q is neither a table's name nor a {class}", target)
	}
	privileges, err := parsePrivileges(rest[dot+1:])
	if err != nil {
		return bad("%v", err)
	}
	p.Privileges = privileges
	if privileges.Has(ActOnBehalf) {
		switch {
		case privileges != Privileges(ActOnBehalf) || !foldEqual(p.Table, UserTable):
			return bad("ActOnBehalf stands alone: write Dataverse.User.ActOnBehalf")
		case hasReach:
			return bad("ActOnBehalf has no reach: leave out @%s", reach)
		}
		return p, nil
	}
	if !hasReach {
		return bad("say how far it reaches: @User, @BusinessUnit, @ParentChild or @Organization")
	}
	if err := p.Reach.UnmarshalText([]byte(reach)); err != nil {
		return bad("%v", err)
	}
	return p, nil
}

// parsePrivileges reads one privilege, one of the short forms, or a list of them in braces.
func parsePrivileges(text string) (PrivilegeSet, error) {
	items := []string{text}
	if strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") {
		items = strings.Split(text[1:len(text)-1], ",")
	}
	var s PrivilegeSet
	for _, item := range items {
		var more PrivilegeSet
		switch {
		case item == "*" || foldEqual(item, "ALL8"):
			more = all8
		case foldEqual(item, "CRWD"):
			more = crwd
		default:
			var one Privilege
			if err := one.UnmarshalText([]byte(item)); err != nil {
				return 0, fmt.Errorf("%w, nor ALL8 or CRWD", err)
			}
			more = Privileges(one)
		}
		if s&more != 0 {
			return 0, fmt.Errorf("%q says a privilege twice: leave one out", text)
		}
		s |= more
	}
	return s, nil
}

// String prints the pattern in its one spelling, which [ParsePrivilegePattern] reads.
func (p PrivilegePattern) String() string {
	target := p.Table
	if p.Class != 0 {
		target = "{" + p.Class.String() + "}"
	}
	text := dataversePrefix + target + "." + p.Privileges.String()
	if p.Reach != NoReach {
		text += "@" + p.Reach.String()
	}
	return text
}

// String prints the set as a pattern spells it: ALL8, CRWD, one privilege, or a list in
// braces.
func (s PrivilegeSet) String() string {
	if s == all8 {
		return "ALL8"
	}
	var items []string
	if s&crwd == crwd {
		items, s = append(items, "CRWD"), s&^crwd
	}
	for p := CreatePrivilege; p <= ActOnBehalf; p++ {
		if s.Has(p) {
			items = append(items, p.String())
		}
	}
	if len(items) == 1 {
		return items[0]
	}
	return "{" + strings.Join(items, ",") + "}"
}
