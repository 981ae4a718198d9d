package authz_test

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestPrincipalTypeText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]authz.PrincipalType{
		"User": authz.User, "Group": authz.Group, "ApplicationUser": authz.ApplicationUser, "DirectoryRole": authz.DirectoryRole, "Team": authz.Team,
		"user": authz.User, "APPLICATIONUSER": authz.ApplicationUser,
	} {
		var got authz.PrincipalType
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %v and %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Users", "ServicePrincipal", "User "} {
		var got authz.PrincipalType
		if err := got.UnmarshalText([]byte(text)); err == nil || got != authz.NoPrincipal {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	if text, err := authz.ApplicationUser.MarshalText(); err != nil || string(text) != "ApplicationUser" {
		t.Errorf("got %s and %v", text, err)
	}
	if got := authz.PrincipalType(99).String(); got != "PrincipalType(99)" {
		t.Errorf("got %q", got)
	}
	if got := (authz.Principal{Type: authz.Group, ID: "g1"}).String(); got != "Group g1" {
		t.Errorf("got %q", got)
	}
}

func TestPrincipalKey(t *testing.T) {
	t.Parallel()
	if (authz.Principal{Type: authz.ApplicationUser, ID: "x"}).Key() != (authz.Principal{Type: authz.User, ID: "x"}).Key() {
		t.Error("a user and an application user with one object id are two callers")
	}
	seen := map[authz.Principal]authz.PrincipalType{}
	for _, kind := range []authz.PrincipalType{authz.NoPrincipal, authz.User, authz.Group, authz.DirectoryRole, authz.Team} {
		key := authz.Principal{Type: kind, ID: "x"}.Key()
		if other, taken := seen[key]; taken {
			t.Errorf("a %s is found under the key of a %s", kind, other)
		}
		seen[key] = kind
	}
}

func TestNewSubjectGivesIdentifiersTheirOneSpelling(t *testing.T) {
	t.Parallel()
	s, err := authz.NewSubject(authz.SubjectSpec{
		Tenant: upperGUID, Principal: authz.Principal{Type: authz.ApplicationUser, ID: upperGUID},
		Groups: []string{"g2", "", upperGUID, "g1", "G1", "g2"}, DirectoryRoles: []string{upperGUID, guid}, GroupsUnknown: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Tenant() != guid || s.Principal() != (authz.Principal{Type: authz.ApplicationUser, ID: guid}) || !s.GroupsUnknown() {
		t.Errorf("got %s, %v and %v", s.Tenant(), s.Principal(), s.GroupsUnknown())
	}
	if diff := cmp.Diff([]string{guid, "G1", "g1", "g2"}, s.Groups()); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{guid}, s.DirectoryRoles()); diff != "" {
		t.Errorf("directory roles (-want +got):\n%s", diff)
	}
	folded, err := authz.NewSubject(authz.SubjectSpec{
		Tenant: "T", Principal: authz.Principal{Type: authz.User, ID: "Ada"}, Groups: []string{"G1", "g1"}, FoldCase: true,
	})
	if err != nil || folded.Tenant() != "t" || folded.Principal().ID != "ada" || len(folded.Groups()) != 1 {
		t.Errorf("got %+v and %v", folded, err)
	}
}

func TestNewSubjectDoesNotKeepWhatItIsGiven(t *testing.T) {
	t.Parallel()
	groups := []string{"g2", "g1"}
	s, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t", Principal: authz.Principal{Type: authz.User, ID: "u"}, Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	if groups[0] != "g2" {
		t.Error("the caller's groups were sorted")
	}
	groups[1] = "admins"
	if diff := cmp.Diff([]string{"g1", "g2"}, s.Groups()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNewSubjectRefuses(t *testing.T) {
	t.Parallel()
	user := authz.Principal{Type: authz.User, ID: "u"}
	for name, spec := range map[string]authz.SubjectSpec{
		"nothing":          {},
		"no tenant":        {Principal: user},
		"no principal":     {Tenant: "t"},
		"no id":            {Tenant: "t", Principal: authz.Principal{Type: authz.User}},
		"no type":          {Tenant: "t", Principal: authz.Principal{ID: "u"}},
		"a group":          {Tenant: "t", Principal: authz.Principal{Type: authz.Group, ID: "g"}},
		"a directory role": {Tenant: "t", Principal: authz.Principal{Type: authz.DirectoryRole, ID: "g"}},
		"a team":           {Tenant: "t", Principal: authz.Principal{Type: authz.Team, ID: "g"}},
		"an unknown type":  {Tenant: "t", Principal: authz.Principal{Type: 99, ID: "g"}},
	} {
		if s, err := authz.NewSubject(spec); err == nil || s != nil {
			t.Errorf("%s: got %+v", name, s)
		}
	}
}

// Each of these is another subject, so each has another key and another digest.
func TestSubjectKeysAreDistinct(t *testing.T) {
	t.Parallel()
	user, app := authz.Principal{Type: authz.User, ID: "u"}, authz.Principal{Type: authz.ApplicationUser, ID: "u"}
	seen := map[string]int{}
	for i, spec := range []authz.SubjectSpec{
		{Tenant: "t", Principal: user},
		{Tenant: "t", Principal: app},
		{Tenant: "t", Principal: user, GroupsUnknown: true},
		{Tenant: "t", Principal: user, Groups: []string{"g"}},
		{Tenant: "t", Principal: user, DirectoryRoles: []string{"g"}},
		{Tenant: "t", Principal: user, Groups: []string{"g", "h"}},
		{Tenant: "t", Principal: user, Groups: []string{"g"}, DirectoryRoles: []string{"h"}},
		{Tenant: "t", Principal: user, Groups: []string{"gh"}},
		{Tenant: "t", Principal: user, Groups: []string{"\x01g"}},
		{Tenant: "tu", Principal: authz.Principal{Type: authz.User, ID: "u"}},
		{Tenant: "t", Principal: authz.Principal{Type: authz.User, ID: "uu"}},
		{Tenant: "T", Principal: user},
		{Tenant: "t", Principal: user, Groups: []string{"ab", "c"}}, // one text, cut in two places
		{Tenant: "t", Principal: user, Groups: []string{"a", "bc"}},
		{Tenant: "t\x01u", Principal: authz.Principal{Type: authz.User, ID: "v"}},
		{Tenant: "t", Principal: authz.Principal{Type: authz.User, ID: "u\x01v"}},
	} {
		s, err := authz.NewSubject(spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{s.Key(), strconv.FormatUint(s.Hash(), 16)} {
			if other, taken := seen[key]; taken && other != i {
				t.Errorf("subjects %d and %d have one key", i, other)
			}
			seen[key] = i
		}
	}
}
