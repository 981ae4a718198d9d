package authz

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unique"
)

// PrincipalType is what kind of thing a principal is. The zero PrincipalType is none.
type PrincipalType uint8

// The principal types.
const (
	NoPrincipal PrincipalType = iota
	// User is a person, by object id.
	User
	// Group is a security group, by object id.
	Group
	// ApplicationUser is a service principal or managed identity, by the object id of
	// its enterprise application, never by its app (client) id.
	ApplicationUser
	// DirectoryRole is an Entra role, by template id, as in a token's wids.
	DirectoryRole
	// Team is a Dataverse owner team.
	Team
)

var principalTypeNames = [...]string{"", "User", "Group", "ApplicationUser", "DirectoryRole", "Team"}

// String returns the type's name in the Power Platform API, such as ApplicationUser.
func (t PrincipalType) String() string {
	if int(t) < len(principalTypeNames) {
		return principalTypeNames[t]
	}
	return fmt.Sprintf("PrincipalType(%d)", uint8(t))
}

// MarshalText returns the type's name.
func (t PrincipalType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a type's name, without regard to case, and refuses any other text.
func (t *PrincipalType) UnmarshalText(text []byte) error {
	for i, name := range principalTypeNames {
		if i > 0 && lowerASCII(name) == lowerASCII(string(text)) {
			*t = PrincipalType(i)
			return nil
		}
	}
	return fmt.Errorf("%q is none of User, Group, ApplicationUser, DirectoryRole and Team", text)
}

// A Principal is someone or something that can hold a role in a tenant.
type Principal struct {
	Type PrincipalType
	// ID is the object id, or of a directory role the template id, in its one spelling
	// (see [CanonicalID]).
	ID string
}

// Key returns the principal under which assignments are found: a person and a service
// principal are told apart by their object ids alone, because not every token says
// which of the two it is for; every other type is one of its own, so that a group can
// never stand for a directory role.
func (p Principal) Key() Principal {
	if p.Type == ApplicationUser {
		p.Type = User
	}
	return p
}

// String returns the type and the identifier, such as "User 7f1d…".
func (p Principal) String() string { return p.Type.String() + " " + p.ID }

// A Subject is the caller with what its token says it belongs to, within one tenant.
// Nested groups and teams are added from the snapshot. It is immutable and safe for
// concurrent use.
type Subject struct {
	tenant         string
	key            string
	hash           uint64
	groupsUnknown  bool
	principal      Principal
	groups         []string
	directoryRoles []string
}

// SubjectSpec is what a [Subject] is made of.
type SubjectSpec struct {
	// Tenant is the token's tid.
	Tenant string
	// Principal is the caller: a User or an ApplicationUser.
	Principal Principal
	// Groups are object ids of groups, from the token.
	Groups []string
	// DirectoryRoles are template ids of directory roles, from the token's wids.
	DirectoryRoles []string
	// GroupsUnknown says that the token could not carry its groups: unknown, not none.
	GroupsUnknown bool
	// FoldCase compares identifiers that are not GUIDs without case.
	FoldCase bool
}

// NewSubject checks the spec and gives every identifier its one spelling.
func NewSubject(spec SubjectSpec) (*Subject, error) {
	if spec.Tenant == "" {
		return nil, errors.New("a subject needs a tenant")
	}
	if spec.Principal.ID == "" {
		return nil, errors.New("a subject needs a principal")
	}
	if spec.Principal.Key().Type != User {
		return nil, fmt.Errorf("a caller is a User or an ApplicationUser, not a %q", spec.Principal.Type)
	}
	s := &Subject{
		// All subjects of a tenant share its text, so that it is at hand for every decision.
		tenant:         unique.Make(CanonicalID(spec.Tenant, spec.FoldCase)).Value(),
		principal:      Principal{spec.Principal.Type, CanonicalID(spec.Principal.ID, spec.FoldCase)},
		groups:         canonicalIDs(spec.Groups, spec.FoldCase),
		directoryRoles: canonicalIDs(spec.DirectoryRoles, spec.FoldCase),
		groupsUnknown:  spec.GroupsUnknown,
	}
	size := len(s.tenant) + len(s.principal.ID) + 64
	for _, ids := range [][]string{s.groups, s.directoryRoles} {
		for _, id := range ids {
			size += len(id) + 2 // no identifier's length takes more than two bytes, as a rule
		}
	}
	key := s.appendKey(make([]byte, 0, size))
	s.key = string(key)
	digest := sha256.Sum256(key)
	s.hash = binary.LittleEndian.Uint64(digest[:])
	return s, nil
}

func canonicalIDs(ids []string, foldCase bool) []string {
	canonical := make([]string, 0, len(ids))
	for _, id := range ids {
		if id != "" {
			canonical = append(canonical, CanonicalID(id, foldCase))
		}
	}
	slices.Sort(canonical)
	return slices.Compact(canonical)
}

// appendKey writes every input of the subject's view, each with its length before it,
// so that no two different subjects have one key.
func (s *Subject) appendKey(b []byte) []byte {
	text := func(t string) { b = append(binary.AppendUvarint(b, uint64(len(t))), t...) }
	list := func(ids []string) {
		b = binary.AppendUvarint(b, uint64(len(ids)))
		for _, id := range ids {
			text(id)
		}
	}
	text(s.tenant)
	b = append(b, byte(s.principal.Type))
	text(s.principal.ID)
	list(s.groups)
	list(s.directoryRoles)
	if s.groupsUnknown {
		return append(b, 1)
	}
	return append(b, 0)
}

// Tenant returns the tenant's identifier.
func (s *Subject) Tenant() string { return s.tenant }

// Principal returns the caller.
func (s *Subject) Principal() Principal { return s.principal }

// Groups returns the object ids of the groups that the token names, sorted. The caller
// must not change it.
func (s *Subject) Groups() []string { return s.groups }

// DirectoryRoles returns the template ids of the directory roles that the token names,
// sorted. The caller must not change it.
func (s *Subject) DirectoryRoles() []string { return s.directoryRoles }

// GroupsUnknown tells whether the token could not carry its groups.
func (s *Subject) GroupsUnknown() bool { return s.groupsUnknown }

// Key returns a text that is different for every two different subjects.
func (s *Subject) Key() string { return s.key }

// Hash returns eight bytes of the SHA-256 of [Subject.Key], to look it up by: two subjects
// that share one are to be told apart by their keys.
func (s *Subject) Hash() uint64 { return s.hash }
