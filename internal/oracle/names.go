package oracle

import (
	"slices"
	"strings"
)

// same compares two permission names.
func (d decider) same(a, b string) bool {
	if d.wrong == CaseCompared {
		return a == b
	}
	return strings.EqualFold(a, b)
}

// known tells whether the catalogue has the permission.
func (d decider) known(permission string) bool {
	return slices.ContainsFunc(d.world.Permissions, func(p string) bool { return d.same(p, permission) })
}

// matches tells whether a pattern covers a permission. The star of a pattern stands for
// one part or several.
func (d decider) matches(pattern, permission string) bool {
	pattern, permission = strings.ToLower(pattern), strings.ToLower(permission)
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == permission
	}
	if d.wrong == SuffixWithinPart {
		after = strings.TrimPrefix(after, ".")
	}
	rest, ok := strings.CutPrefix(permission, before)
	if !ok {
		return false
	}
	spanned, ok := strings.CutSuffix(rest, after)
	if d.wrong == StarWithinPart && pattern != "*" && strings.Contains(spanned, ".") {
		return false
	}
	return ok && spanned != ""
}

// implied returns every name that a permission gives besides itself, known or not.
func (d decider) implied(permission string) []string {
	if d.wrong == ImplicationsIgnored {
		return nil
	}
	var found []string
	for next := []string{permission}; len(next) > 0; next = next[1:] {
		for _, name := range d.impliedByOneStep(next[0]) {
			if !d.contains(found, name) && !d.same(name, permission) {
				found = append(found, name)
				if d.wrong != ImplicationsNotClosed {
					next = append(next, name)
				}
			}
		}
	}
	return found
}

func (d decider) impliedByOneStep(permission string) []string {
	var names []string
	dot := strings.LastIndex(permission, ".")
	resource, action := permission[:dot], permission[dot+1:]
	for from, to := range d.world.Implications {
		for _, name := range to {
			switch {
			case strings.EqualFold(from, action):
				names = append(names, resource+"."+name)
			case strings.EqualFold(from, permission):
				names = append(names, name)
			}
		}
	}
	return names
}

func (d decider) contains(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return d.same(n, name) })
}

// impliesAny tells whether the permission implies any of the names.
func (d decider) impliesAny(permission string, names []string) bool {
	return slices.ContainsFunc(d.implied(permission), func(n string) bool { return d.contains(names, n) })
}

// matched returns the catalogue's permissions that any of the patterns covers.
func (d decider) matched(patterns []string) []string {
	var names []string
	for _, permission := range d.world.Permissions {
		if slices.ContainsFunc(patterns, func(p string) bool { return d.matches(p, permission) }) {
			names = append(names, permission)
		}
	}
	return names
}

// withImplied adds to the names all that they imply and the catalogue knows.
func (d decider) withImplied(names []string) []string {
	all := slices.Clone(names)
	for _, name := range names {
		for _, implied := range d.implied(name) {
			if d.known(implied) {
				all = append(all, implied)
			}
		}
	}
	return all
}

// granted returns the catalogue's permissions that a role grants.
func (d decider) granted(role Role) []string {
	given := d.withImplied(d.matched(role.Permissions))
	excepted := d.excepted(role)
	var names []string
	for _, permission := range d.world.Permissions {
		if d.contains(given, permission) && !d.contains(excepted, permission) {
			names = append(names, permission)
		}
	}
	return names
}

// excepted returns what the role's exceptions take away: what they match, what that
// implies, and whatever implies any of it.
func (d decider) excepted(role Role) []string {
	if d.wrong == ExceptionIgnored {
		return nil
	}
	taken := d.matched(role.Exceptions)
	if d.wrong != ExceptionNotClosedDownward {
		taken = d.withImplied(taken)
	}
	if d.wrong == ExceptionNotClosedUpward {
		return taken
	}
	return d.withImpliers(taken)
}

// withImpliers adds to the names whatever implies any of them.
func (d decider) withImpliers(names []string) []string {
	all := slices.Clone(names)
	for _, permission := range d.world.Permissions {
		if d.impliesAny(permission, names) {
			all = append(all, permission)
		}
	}
	return all
}
