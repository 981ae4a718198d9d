package naming

import "strings"

// Canonical takes a path apart as Resolve does.
func Canonical(path string) (segments []string, refusal string) {
	var s segmentsForTest
	if refusal := s.read(path); refusal != "" {
		return nil, refusal
	}
	for i := range s.count {
		segments = append(segments, strings.Clone(s.exact(i)))
	}
	return segments, ""
}

type segmentsForTest = segments

// WebNames returns the entity sets and the tables that a catalogue with the profile names,
// and how many routes it has.
func WebNames(c *Catalogue) (sets, tables []string, routes int) {
	for name, set := range c.web.sets {
		sets = append(sets, name)
		for _, n := range set.navigation {
			if n.set != "" {
				sets = append(sets, n.set)
			} else {
				tables = append(tables, n.table)
			}
		}
	}
	for _, route := range c.web.routes {
		for _, ask := range route.asks {
			tables = append(tables, ask.Table)
		}
	}
	return sets, tables, len(c.web.routes)
}
