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
