package authz

import "fmt"

// With returns the same user with one role more. It refuses what [Database.Subject] refuses
// of a holding. A nil RecordSubject, of whom nothing is known, gets no roles.
func (s *RecordSubject) With(h RoleHolding) (*RecordSubject, error) {
	switch {
	case s == nil:
		return nil, fmt.Errorf("assignment %q: the user is not in the environment", h.AssignmentID)
	case h.Role != nil && h.Role.db != s.db:
		return nil, fmt.Errorf("assignment %q: the role %q was compiled for another database", h.AssignmentID, h.Role.name)
	case h.Team != "":
		return nil, fmt.Errorf("assignment %q: it is the role of a team", h.AssignmentID)
	}
	if h.from = s.db.unit(h.BusinessUnit); h.from.first == 0 {
		return nil, fmt.Errorf("assignment %q is in the business unit %q, which is not listed", h.AssignmentID, h.BusinessUnit)
	}
	with := *s
	with.holdings = append([]RoleHolding{h}, s.holdings...) // those held directly come first
	return &with, nil
}

// Only returns the same user with no other roles than those of one assignment: what it says
// on its own.
func (s *RecordSubject) Only(assignmentID string) *RecordSubject {
	if s == nil {
		return nil
	}
	only := *s
	only.holdings = nil
	for _, h := range s.holdings {
		if h.AssignmentID == assignmentID {
			only.holdings = append(only.holdings, h)
		}
	}
	return &only
}
