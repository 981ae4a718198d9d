package authz_test

import (
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// lone is a database with one table and two business units, a user of the second who holds
// one role through a team, and two roles to add.
func lone(t *testing.T) (db *authz.Database, s *authz.RecordSubject, reader, other *authz.SecurityRole) {
	t.Helper()
	spec := authz.DatabaseSpec{
		Tables:        []authz.Table{{Name: "Order", Ownership: authz.UserOwned}},
		BusinessUnits: []authz.BusinessUnit{{ID: "b0"}, {ID: "b1", Parent: "b0"}},
	}
	db, err := authz.NewDatabase(spec)
	if err != nil {
		t.Fatal(err)
	}
	compile := func(db *authz.Database, privilege string) *authz.SecurityRole {
		role, err := db.Compile(authz.RoleDefinition{ID: privilege, Name: privilege, Privileges: []string{privilege}})
		if err != nil {
			t.Fatal(err)
		}
		return role
	}
	s, err = db.Subject(authz.RecordSubjectSpec{
		User: authz.Principal{Type: authz.User, ID: "u"}, BusinessUnit: "b1", Teams: []authz.TeamMembership{{Team: "t", BusinessUnit: "b0"}},
		Holdings: []authz.RoleHolding{{AssignmentID: "a1", Role: compile(db, "Dataverse.Order.Read@User"), Team: "t"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := authz.NewDatabase(spec)
	if err != nil {
		t.Fatal(err)
	}
	return db, s, compile(db, "Dataverse.Order.Read@BusinessUnit"), compile(foreign, "Dataverse.Order.Read@BusinessUnit")
}

func TestWithOneMoreRole(t *testing.T) {
	db, s, reader, other := lone(t)
	table, read, _ := db.Permission("Dataverse.Order.Read")
	ask := func(s *authz.RecordSubject) authz.RecordDecision {
		return authz.DecideRecord(db, authz.RecordRequest{Caller: s, Table: table, Privilege: read, Record: &authz.Record{BusinessUnit: "b0"}}, 0)
	}
	if d := ask(s); d.Reason != authz.NoAssignment {
		t.Fatalf("before: %s", d.Reason)
	}
	for unit, want := range map[string]authz.Reason{"b0": authz.Granted, "b1": authz.NoAssignment} {
		with, err := s.With(authz.RoleHolding{AssignmentID: "a2", Role: reader, BusinessUnit: unit})
		if err != nil {
			t.Fatal(err)
		}
		if d := ask(with); d.Reason != want {
			t.Errorf("with the role in %s: %s, want %s", unit, d.Reason, want)
		}
		if d := ask(with.Only("a1")); d.Reason != authz.NoAssignment || len(with.Only("a1").Holdings()) != 1 {
			t.Errorf("with the role in %s, but only the other: %s", unit, d.Reason)
		}
		if d := ask(with.Only("a2")); d.Reason != want {
			t.Errorf("with only the role in %s: %s, want %s", unit, d.Reason, want)
		}
	}
	if d := ask(s); d.Reason != authz.NoAssignment || len(s.Holdings()) != 1 {
		t.Errorf("the user that was asked for more has changed: %s, %d roles", d.Reason, len(s.Holdings()))
	}
	for name, h := range map[string]authz.RoleHolding{
		"of a team":           {Role: reader, Team: "t"},
		"in an unlisted unit": {Role: reader, BusinessUnit: "b9"},
		"in no unit":          {Role: reader},
		"of another database": {Role: other, BusinessUnit: "b0"},
	} {
		if _, err := s.With(h); err == nil {
			t.Errorf("a role %s was taken", name)
		}
	}
	var nobody *authz.RecordSubject
	if _, err := nobody.With(authz.RoleHolding{Role: reader, BusinessUnit: "b0"}); err == nil || nobody.Only("a1") != nil {
		t.Error("nobody holds something")
	}
}
