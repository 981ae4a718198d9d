package snapshot_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// recordSubject reads a subject of an environment of t1.
func recordSubject(t testing.TB, r *snapshot.Reader, environment string, of *authz.Subject) *authz.RecordSubject {
	t.Helper()
	s, err := r.RecordSubject("t1", environment, of)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// holdings lists what a subject holds: the assignment, the role, from which business unit or
// team, and until when.
func holdings(s *authz.RecordSubject) []string {
	var lines []string
	for _, h := range s.Holdings() {
		line := fmt.Sprintf("%s %s in %s", h.AssignmentID, h.Role.Name(), h.BusinessUnit)
		if h.Team != "" {
			line += " by " + h.Team
		}
		if h.Expires != 0 {
			line += fmt.Sprint(" until ", h.Expires)
		}
		lines = append(lines, line)
	}
	return lines
}

func reading1(t testing.TB, s *snapshot.Store, read func(r *snapshot.Reader)) {
	t.Helper()
	if err := s.Read(t.Context(), func(r *snapshot.Reader) error { read(r); return nil }); err != nil {
		t.Fatal(err)
	}
}

// ada is in g1, which is in g2, whose members are those of the group team.
func TestARecordSubjectHoldsWhatItAndItsTeamsWereAssigned(t *testing.T) {
	d := withItems()
	x := &d.Tenants[0]
	x.RoleAssignments = append(x.RoleAssignments,
		allow("o1", user("ada"), basicRole, "/environments/e4"),
		allow("o2", team("others"), basicRole, "/environments/e4"),
		allow("x1", user("ada"), readerRole, "/environments/e2"),                   // no security role
		allow("x2", user("ada"), basicRole, "/environments/e2/businessUnits/gone"), // no longer there
		allow("x3", user("ada"), basicRole, "/environments/e2/powerapps/p"),        // of an app
		allow("x4", user("ada"), basicRole, ""),                                    // of the tenant
		allow("x5", user("ada"), "s1", "/environments/e4"),                         // of another environment
		allow("x6", team("access"), basicRole, "/environments/e2"),                 // an access team holds none
		allow("x7", group("g1"), basicRole, "/environments/e2"),                    // no group may hold it
		allow("x8", team("others"), basicRole, "/environments/e2"),                 // a team of another environment
		allow("x9", team("field"), basicRole, "/environments/e20"),                 // which is not e2
		deny("x10", user("ada"), basicRole, "/environments/e2/businessUnits/b1"),   // takes nothing away from records
		allow("y1", group("g1"), makerRole, "/environments/e2"),                    // a group may
		allow("y2", user("ada"), siteRole, "/environments/e2/websites/w"),          // its place
		allow("y3", team("field"), basicRole, "/environments/e2/businessUnits/b1"), // still from the team's own
		allow("y4", app("ada"), basicRole, "/environments/e2/businessUnits/b2"),    // one object id is one user
	)
	s := open(t, options(t.TempDir()))
	replace(t, s, d)
	ada := caller(t, user("ada"))
	reading1(t, s, func(r *snapshot.Reader) {
		for environment, want := range map[string][]string{
			"e2": {
				"s1 Basic User in b1", "s2 Bankers in b2 until 2000", "y1 Maker in b1", "y2 Website Owner in b1", "y4 Basic User in b2",
				"s3 Clerks in b2 by field", "s4 Basic User in b1 by group", "y3 Basic User in b1 by field",
			},
			"e4": {"o1 Basic User in e4", "o2 Basic User in e4 by others"},
		} {
			if diff := cmp.Diff(want, holdings(recordSubject(t, r, environment, ada))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", environment, diff)
			}
		}
		for name, of := range map[string]struct {
			environment string
			subject     *authz.Subject
			want        []string
		}{
			"through the token's group alone":     {"e2", caller(t, app("bot"), "g2"), []string{"s3 Clerks in b2 by field", "s4 Basic User in b1 by group", "y3 Basic User in b1 by field"}},
			"a group of the token that is nested": {"e2", caller(t, user("off"), "g1"), []string{"s5 Basic User in b1", "y1 Maker in b1", "s4 Basic User in b1 by group"}},
			"nothing at all":                      {"e2", caller(t, user("eve")), []string{"y1 Maker in b2", "s4 Basic User in b1 by group"}},
			"an application user by another type": {"e2", caller(t, user("bot")), []string{"y1 Maker in b1", "s3 Clerks in b2 by field", "s4 Basic User in b1 by group", "y3 Basic User in b1 by field"}},
		} {
			if name == "through the token's group alone" { // bot is in g1 as well
				of.want = append([]string{"y1 Maker in b1"}, of.want...)
			}
			if diff := cmp.Diff(of.want, holdings(recordSubject(t, r, of.environment, of.subject))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		for name, of := range map[string]struct {
			environment string
			subject     *authz.Subject
		}{
			"no such environment":   {"e9", ada},
			"no database":           {"e3", ada},
			"in a group, not added": {"e2", caller(t, user("boss"), "g2")},
			"of another of them":    {"e4", caller(t, user("eve"))},
		} {
			if got := recordSubject(t, r, of.environment, of.subject); got != nil {
				t.Errorf("%s: %v", name, holdings(got))
			}
		}
		_, err := r.RecordSubject("t1", "e2", subject(t, authz.SubjectSpec{Tenant: "t22", Principal: user("ada")}))
		wantErr(t, err, snapshot.ErrInvalid, `the subject is of the tenant "t22"`)
	})
}

// What a subject may do follows from all that was read: teams, business units, profiles, who
// is disabled, what is shared with everyone, and what nobody knows.
func TestDecisionsOfWhatIsStored(t *testing.T) {
	d := withItems()
	x := &d.Tenants[0]
	x.DirectoryComplete, x.Principals[1].Disabled = false, false // eve
	x.Users = append(x.Users, snapshot.EnvironmentUser{Environment: "e2", Principal: user("new")}, snapshot.EnvironmentUser{Environment: "e2", Principal: user("dis"), BusinessUnit: "b1"})
	x.Principals = append(x.Principals, snapshot.Principal{Principal: user("dis"), Disabled: true})
	x.RoleAssignments = append(x.RoleAssignments, allow("d1", user("dis"), basicRole, "/environments/e2"), allow("n1", user("ada"), delegateRole, "/environments/e2"))
	s := open(t, options(t.TempDir()))
	replace(t, s, d)
	ada, eve := user("ada"), user("eve")
	overage := func(of authz.Principal) *authz.Subject {
		return subject(t, authz.SubjectSpec{Principal: of, GroupsUnknown: true})
	}
	for _, tc := range []struct {
		name        string
		environment string
		who         *authz.Subject
		ask         string
		record      *authz.Record
		columns     []string
		now         int64
		reason      authz.Reason
		step        authz.AccessStep
		by          string
	}{
		{name: "its own", who: caller(t, ada), ask: "Dataverse.Account.Write", record: &authz.Record{Owner: ada, BusinessUnit: "b2"}, reason: authz.Granted, step: authz.OwnerAccess, by: "s1"},
		{name: "a role of another business unit", who: caller(t, ada), ask: "Dataverse.new_Bank.Write", record: &authz.Record{Owner: eve, BusinessUnit: "b2"}, reason: authz.Granted, step: authz.ReachAccess, by: "s2"},
		{name: "from when on it is over", who: caller(t, ada), ask: "Dataverse.new_Bank.Write", record: &authz.Record{Owner: eve, BusinessUnit: "b2"}, now: 2_000, reason: authz.Expired},
		{name: "not above it", who: caller(t, ada), ask: "Dataverse.new_Bank.Write", record: &authz.Record{Owner: eve, BusinessUnit: "b1"}, reason: authz.NoAssignment},
		{name: "a team's role for what the team owns", who: caller(t, app("bot")), ask: "Dataverse.new_Bank.Read", record: &authz.Record{Owner: team("field"), BusinessUnit: "b1"}, reason: authz.Granted, step: authz.OwnerAccess, by: "s3"},
		{name: "and for nothing else", who: caller(t, app("bot")), ask: "Dataverse.new_Bank.Read", record: &authz.Record{Owner: app("bot"), BusinessUnit: "b1"}, reason: authz.NoAssignment},
		{name: "shared with everyone, in a business unit", who: caller(t, eve), ask: "Dataverse.Account.Read", record: &authz.Record{Owner: ada, BusinessUnit: "b1"}, reason: authz.Granted, step: authz.ReachAccess, by: "s4"},
		{name: "of another class", who: caller(t, eve), ask: "Dataverse.WebPage.Read", record: &authz.Record{Owner: eve, BusinessUnit: "b1"}, reason: authz.NoAssignment},
		{name: "no reach to another table", who: caller(t, eve), ask: "Dataverse.Account.Delete", record: &authz.Record{Owner: ada, BusinessUnit: "b1"}, reason: authz.NoAssignment},
		{name: "a column of a profile", who: caller(t, eve), ask: "Dataverse.Account.Read", record: &authz.Record{Owner: eve}, columns: []string{"RATING"}, reason: authz.Granted, step: authz.OwnerAccess, by: "s4"},
		{name: "a column of a team's profile", who: caller(t, ada), ask: "Dataverse.new_Bank.Write", record: &authz.Record{Owner: ada}, columns: []string{"pin"}, reason: authz.Granted, step: authz.OwnerAccess, by: "s2"},
		{name: "a column of no profile", who: caller(t, ada), ask: "Dataverse.new_Bank.Write", record: &authz.Record{Owner: ada}, columns: []string{"Limit"}, reason: authz.NoAssignment},
		{name: "a right that the profile does not give", who: caller(t, eve), ask: "Dataverse.Account.Write", record: &authz.Record{Owner: eve}, columns: []string{"Rating"}, reason: authz.NoAssignment},
		{name: "disabled in the environment", who: caller(t, user("off")), ask: "Dataverse.Account.Read", record: &authz.Record{Owner: user("off")}, reason: authz.PrincipalDisabled},
		{name: "disabled everywhere", who: caller(t, user("dis")), ask: "Dataverse.Account.Read", record: &authz.Record{Owner: user("dis")}, reason: authz.PrincipalDisabled},
		{name: "unknown groups", who: overage(user("new")), ask: "Dataverse.Account.Read", record: &authz.Record{Owner: user("new")}, reason: authz.GroupsUnknown},
		{name: "unknown groups where no team has one", environment: "e4", who: overage(ada), ask: "Dataverse.Account.Read", record: &authz.Record{Owner: ada}, reason: authz.NoAssignment},
		{name: "acting for others", who: caller(t, ada), ask: "Dataverse.User.ActOnBehalf", reason: authz.Granted, step: authz.DirectAccess, by: "n1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			environment := tc.environment
			if environment == "" {
				environment = "e2"
			}
			if tc.now == 0 {
				tc.now = 1_000
			}
			reading1(t, s, func(r *snapshot.Reader) {
				db, err := r.Database("t1", environment)
				if err != nil {
					t.Fatal(err)
				}
				table, privilege, ok := db.Permission(tc.ask)
				if !ok {
					t.Fatalf("no permission %s", tc.ask)
				}
				got := authz.DecideRecord(db, authz.RecordRequest{
					Caller: recordSubject(t, r, environment, tc.who), Table: table, Privilege: privilege, Record: tc.record, Columns: tc.columns,
				}, tc.now)
				by := ""
				if got.Holding != nil && got.Allowed() {
					by = got.Holding.AssignmentID
				}
				if got.Reason != tc.reason || got.Step != tc.step || by != tc.by {
					t.Errorf("%v %v by %q, want %v %v by %q: %+v", got.Reason, got.Step, by, tc.reason, tc.step, tc.by, got)
				}
			})
		})
	}
}

// With the directory complete, a token that lacks its groups leaves nothing unknown.
func TestACompleteDirectoryLeavesNoTeamUnknown(t *testing.T) {
	d := withItems()
	d.Tenants[0].Users = append(d.Tenants[0].Users, snapshot.EnvironmentUser{Environment: "e2", Principal: user("new")})
	s := open(t, options(t.TempDir()))
	replace(t, s, d)
	reading1(t, s, func(r *snapshot.Reader) {
		db, err := r.Database("t1", "e2")
		if err != nil {
			t.Fatal(err)
		}
		table, privilege, _ := db.Permission("Dataverse.Account.Read")
		caller := recordSubject(t, r, "e2", subject(t, authz.SubjectSpec{Principal: user("new"), GroupsUnknown: true}))
		if got := authz.DecideRecord(db, authz.RecordRequest{Caller: caller, Table: table, Privilege: privilege}, 1); got.Reason != authz.NoAssignment {
			t.Errorf("%v", got.Reason)
		}
	})
}

func TestMembershipsSayByWhichPath(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, withItems())
	path := func(m snapshot.Membership) string {
		text := m.Principal.String()
		for _, via := range m.Via {
			text += " < " + via.String()
		}
		return text
	}
	reading1(t, s, func(r *snapshot.Reader) {
		for name, tc := range map[string]struct {
			of   *authz.Subject
			want []string
		}{
			"nested":           {caller(t, user("ada")), []string{"Group g1", "Team field", "Team access", "Team others", "Group g2 < Group g1", "Team group < Group g1 < Group g2"}},
			"the shortest":     {caller(t, user("eve"), "g2"), []string{"Group g2", "Group g1", "Team group < Group g2"}},
			"a directory role": {subject(t, authz.SubjectSpec{Principal: user("boss"), DirectoryRoles: []string{"admins"}}), []string{"DirectoryRole admins"}},
			"nothing":          {caller(t, user("zoe")), nil},
		} {
			all, err := r.Memberships("t1", tc.of)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range all {
				got = append(got, path(m))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		_, err := r.Memberships("t22", caller(t, user("ada")))
		wantErr(t, err, snapshot.ErrInvalid, "not of")
		for of, want := range map[authz.Principal][]authz.Principal{
			group("g2"): {group("g1")}, team("field"): {user("ada"), app("bot")}, team("group"): {group("g2")}, team("none"): nil, group("none"): nil, user("ada"): nil,
		} {
			if got, err := r.MembersOf("t1", of); err != nil || !slices.Equal(got, want) {
				t.Errorf("%v has the members %v, %v; want %v", of, got, err, want)
			}
		}
	})
}

// The views of members follow their teams, in memory and from the file.
func TestViewsFollowTeams(t *testing.T) {
	d := withItems()
	x := &d.Tenants[0]
	x.RoleAssignments = append(x.RoleAssignments, allow("p1", team("field"), contributorRole, "/environments/e2"))
	s := open(t, options(t.TempDir()))
	replace(t, s, d)
	bot, zoe, viaGroup := caller(t, app("bot")), caller(t, user("zoe")), caller(t, user("zoe"), "g2")
	check := func(what string, of *authz.Subject, want string) {
		t.Helper()
		for range 2 {
			if got := held(t, s, of); got != want {
				t.Errorf("%s holds %q, want %q", what, got, want)
			}
			s.WaitCache()
		}
	}
	check("bot", bot, "a2 a3 a4 a5 p1 s3 s4")
	check("zoe", zoe, "")
	check("zoe in g2", viaGroup, "a2 a5 s4")
	field, grouped := x.Teams[0], x.Teams[1]
	field.Members = []authz.Principal{user("zoe")}
	grouped.Group = "g9"
	change(t, s, func(e *snapshot.Edit) error { return errors.Join(e.PutTeam("t1", field), e.PutTeam("t1", grouped)) })
	check("bot", bot, "a2 a3 a4 a5")
	check("zoe", zoe, "p1 s3")
	check("zoe in g2", viaGroup, "a2 a5 p1 s3")
	change(t, s, func(e *snapshot.Edit) error {
		for _, id := range []string{"p1", "s3"} {
			if _, err := e.RemoveRoleAssignment("t1", id); err != nil {
				return err
			}
		}
		_, err1 := e.RemoveColumnProfile("t1", "e2", "pins")
		_, err2 := e.RemoveApp("t1", "e2", "app1")
		_, err3 := e.RemoveTeam("t1", "field")
		return errors.Join(err1, err2, err3)
	})
	check("zoe", zoe, "")
	if s.Stats().Alarms != 0 {
		t.Error("a cached view differed")
	}
}

// A security role that is held in a business unit gives its platform permissions at the
// environment.
func TestASecurityRoleGivesItsPermissionsAtTheEnvironment(t *testing.T) {
	d := withItems()
	x := &d.Tenants[0]
	x.RoleAssignments = append(x.RoleAssignments,
		allow("l1", user("zed"), basicRole, "/environments/e2/businessUnits/b2"),
		allow("l2", user("zed"), readerRole, "/environments/e2/businessUnits/b2"))
	s := open(t, options(t.TempDir()))
	replace(t, s, d)
	found, err := s.View(t.Context(), caller(t, user("zed")))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]authz.Scope{}
	for _, g := range found.View.Grants.All() {
		got[g.AssignmentID] = g.Scope
	}
	want := map[string]authz.Scope{"l1": "/tenants/t1/environments/e2", "l2": "/tenants/t1/environments/e2/businessUnits/b2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
