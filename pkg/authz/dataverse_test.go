package authz_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The environment of these tests: sales and service lie below head office, north below
// sales. Ann and Bob are in sales, Cy in service; Ann is in the team field, of north.
const (
	head, sales, service, north = "head", "sales", "service", "north"
	today                       = int64(1000)
)

func newSalesDatabase(t testing.TB) *authz.Database {
	t.Helper()
	db, err := authz.NewDatabase(authz.DatabaseSpec{
		Tables: []authz.Table{
			{Name: "Account", Classes: authz.CoreTables, Ownership: authz.UserOwned, EntitySet: "accounts", SecuredColumns: []string{"CreditLimit", "Rating"}},
			{Name: "Process", Classes: authz.SystemTables | authz.CustomizationTables, Ownership: authz.UserOwned},
			{Name: "Team", Classes: authz.BusinessManagementTables, Ownership: authz.BusinessUnitOwned},
			{Name: "Publisher", Classes: authz.CustomizationTables, Ownership: authz.OrganizationOwned},
			{Name: "User", Classes: authz.SystemTables, Ownership: authz.BusinessUnitOwned, EntitySet: "systemusers"},
		},
		BusinessUnits: []authz.BusinessUnit{{ID: head}, {ID: sales, Parent: head}, {ID: north, Parent: sales}, {ID: service, Parent: head}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func compileRole(t testing.TB, db *authz.Database, spec authz.RoleDefinition) *authz.SecurityRole {
	t.Helper()
	role, err := db.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return role
}

func user(id string) authz.Principal { return authz.Principal{Type: authz.User, ID: id} }
func team(id string) authz.Principal { return authz.Principal{Type: authz.Team, ID: id} }

// recordCase is a question by ann, who holds what is written there: a role of these lines,
// directly in sales unless said otherwise.
type recordCase struct {
	lines      []string
	in         string // the business unit of the direct role
	byTeam     string // or the team that holds it: field, of north
	teamOnly   bool
	allColumns bool
	expires    int64
	disabled   bool
	unknown    bool // her teams
	profiles   []authz.ColumnProfile

	ask     string // permission
	record  *authz.Record
	columns []string
}

func (c recordCase) decide(t *testing.T) (*authz.Database, authz.RecordDecision) {
	t.Helper()
	db := newSalesDatabase(t)
	table, privilege, _ := db.Permission(c.ask)
	return db, authz.DecideRecord(db, authz.RecordRequest{
		Caller: c.subject(t, db), Table: table, Privilege: privilege, Record: c.record, Columns: c.columns,
	}, today)
}

func (c recordCase) subject(t *testing.T, db *authz.Database) *authz.RecordSubject {
	t.Helper()
	spec := authz.RecordSubjectSpec{
		User: user("ann"), BusinessUnit: sales, Disabled: c.disabled, TeamsUnknown: c.unknown,
		Teams: []authz.TeamMembership{{Team: "field", BusinessUnit: north}, {Team: "access", BusinessUnit: service}}, Profiles: c.profiles,
	}
	if len(c.lines) > 0 {
		if c.in == "" {
			c.in = sales
		}
		spec.Holdings = []authz.RoleHolding{{
			AssignmentID: "a1", BusinessUnit: c.in, Team: c.byTeam, Expires: c.expires,
			Role: compileRole(t, db, authz.RoleDefinition{ID: "r", Name: "r", Privileges: c.lines, TeamOnly: c.teamOnly, EverySecuredColumn: c.allColumns}),
		}}
	}
	subject, err := db.Subject(spec)
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

// recordOutcome is what a case expects.
type recordOutcome struct {
	Reason authz.Reason
	Step   authz.AccessStep
	Denial authz.DataverseDenial
	Reach  authz.Reach
	Needed authz.Reach
	Column string
}

func outcome(d authz.RecordDecision) recordOutcome {
	return recordOutcome{d.Reason, d.Step, d.Denial, d.Reach, d.Needed, d.Column}
}

func granted(step authz.AccessStep, reach authz.Reach) recordOutcome {
	return recordOutcome{Reason: authz.Granted, Step: step, Reach: reach}
}

func tooSmall(reach, needed authz.Reach) recordOutcome {
	return recordOutcome{Reason: authz.NoAssignment, Denial: authz.LacksReach, Reach: reach, Needed: needed}
}

func noPrivilege(needed authz.Reach) recordOutcome {
	return recordOutcome{Reason: authz.NoAssignment, Denial: authz.LacksPrivilege, Needed: needed}
}

func TestAccessToARecordTakesThePrivilegeAndThenOwnershipReachOrAShare(t *testing.T) {
	own := &authz.Record{Owner: user("ann"), BusinessUnit: service}
	inSales := &authz.Record{Owner: user("bob"), BusinessUnit: sales}
	inNorth := &authz.Record{Owner: user("dan"), BusinessUnit: north}
	inService := &authz.Record{Owner: user("cy"), BusinessUnit: service}
	ofField := &authz.Record{Owner: team("field"), BusinessUnit: north}
	shared := func(s authz.Share) *authz.Record {
		return &authz.Record{Owner: user("cy"), BusinessUnit: service, Shares: []authz.Share{{}, s}}
	}
	read := authz.Privileges(authz.ReadPrivilege)
	const ask = "Dataverse.Account.Read"
	for _, tc := range []struct {
		name string
		recordCase
		want recordOutcome
	}{
		{"nobody without a role", recordCase{ask: ask, record: own}, noPrivilege(authz.UserReach)},
		{"no other privilege stands in", recordCase{lines: []string{"Dataverse.Account.Write@Organization"}, ask: ask, record: inSales}, noPrivilege(authz.BusinessUnitReach)},
		{"an owner with any reach, in whatever business unit", recordCase{lines: []string{"Dataverse.Account.Read@User"}, ask: ask, record: own}, granted(authz.OwnerAccess, authz.UserReach)},
		{"a member of the owning team", recordCase{lines: []string{"Dataverse.Account.Read@User"}, ask: ask, record: ofField}, granted(authz.OwnerAccess, authz.UserReach)},
		{"User reach does not go to a colleague", recordCase{lines: []string{"Dataverse.Account.Read@User"}, ask: ask, record: inSales}, tooSmall(authz.UserReach, authz.BusinessUnitReach)},
		{"Business Unit reaches a colleague", recordCase{lines: []string{"Dataverse.Account.Read@BusinessUnit"}, ask: ask, record: inSales}, granted(authz.ReachAccess, authz.BusinessUnitReach)},
		{"Business Unit does not reach below", recordCase{lines: []string{"Dataverse.Account.Read@BusinessUnit"}, ask: ask, record: inNorth}, tooSmall(authz.BusinessUnitReach, authz.ParentChildReach)},
		{"Parent: Child reaches below", recordCase{lines: []string{"Dataverse.Account.Read@ParentChild"}, ask: ask, record: inNorth}, granted(authz.ReachAccess, authz.ParentChildReach)},
		{"Parent: Child does not reach beside", recordCase{lines: []string{"Dataverse.Account.Read@ParentChild"}, ask: ask, record: inService}, tooSmall(authz.ParentChildReach, authz.OrganizationReach)},
		{"a role reaches from the business unit it is held in", recordCase{lines: []string{"Dataverse.Account.Read@BusinessUnit"}, in: service, ask: ask, record: inService}, granted(authz.ReachAccess, authz.BusinessUnitReach)},
		{"and not from the user's own", recordCase{lines: []string{"Dataverse.Account.Read@BusinessUnit"}, in: service, ask: ask, record: inSales}, tooSmall(authz.BusinessUnitReach, authz.BusinessUnitReach)},
		{"a team's role reaches from the team's", recordCase{lines: []string{"Dataverse.Account.Read@BusinessUnit"}, byTeam: "field", ask: ask, record: inNorth}, granted(authz.ReachAccess, authz.BusinessUnitReach)},
		{"Organization reaches everything", recordCase{lines: []string{"Dataverse.Account.Read@Organization"}, ask: ask, record: inService}, granted(authz.ReachAccess, authz.OrganizationReach)},
		{"a share with the user", recordCase{lines: []string{"Dataverse.Account.Read@User"}, ask: ask, record: shared(authz.Share{With: user("ann"), Rights: read})}, granted(authz.ShareAccess, authz.UserReach)},
		{"a share with any team it is in", recordCase{lines: []string{"Dataverse.Account.Read@User"}, ask: ask, record: shared(authz.Share{With: team("access"), Rights: read})}, granted(authz.ShareAccess, authz.UserReach)},
		{"a share with the whole organization", recordCase{lines: []string{"Dataverse.Account.Read@User"}, ask: ask, record: shared(authz.Share{WithOrganization: true, Rights: read})}, granted(authz.ShareAccess, authz.UserReach)},
		{"a share never replaces the privilege", recordCase{ask: ask, record: shared(authz.Share{With: user("ann"), Rights: read})}, noPrivilege(authz.UserReach)},
		{"a share with another", recordCase{lines: []string{"Dataverse.Account.Read@User"}, ask: ask, record: shared(authz.Share{With: user("bob"), Rights: read})}, tooSmall(authz.UserReach, authz.OrganizationReach)},
		{"a share of another right", recordCase{lines: []string{"Dataverse.Account.Write@User"}, ask: "Dataverse.Account.Write", record: shared(authz.Share{With: user("ann"), Rights: read})}, tooSmall(authz.UserReach, authz.OrganizationReach)},
		{"what cannot be shared", recordCase{lines: []string{"Dataverse.Account.AppendTo@User"}, ask: "Dataverse.Account.AppendTo", record: shared(authz.Share{With: user("ann"), Rights: authz.Privileges(authz.AppendToPrivilege)})}, tooSmall(authz.UserReach, authz.OrganizationReach)},
		{"a group is no owner", recordCase{lines: []string{"Dataverse.Account.Read@User"}, ask: ask, record: &authz.Record{Owner: authz.Principal{Type: authz.Group, ID: "ann"}, BusinessUnit: service}}, tooSmall(authz.UserReach, authz.OrganizationReach)},
		{"a business unit that is not listed", recordCase{lines: []string{"Dataverse.Account.Read@ParentChild"}, ask: ask, record: &authz.Record{Owner: user("bob"), BusinessUnit: "elsewhere"}}, tooSmall(authz.ParentChildReach, authz.OrganizationReach)},
		{"a disabled user", recordCase{lines: []string{"Dataverse.Account.Read@Organization"}, disabled: true, ask: ask, record: own}, recordOutcome{Reason: authz.PrincipalDisabled}},
		{"a role from the second on that it expires", recordCase{lines: []string{"Dataverse.Account.Read@User"}, expires: today, ask: ask, record: own}, recordOutcome{Reason: authz.Expired, Denial: authz.LacksPrivilege, Needed: authz.UserReach}},
		{"a role until then", recordCase{lines: []string{"Dataverse.Account.Read@User"}, expires: today + 1, ask: ask, record: own}, granted(authz.OwnerAccess, authz.UserReach)},
		{"teams that are not known", recordCase{unknown: true, ask: ask, record: own}, recordOutcome{Reason: authz.GroupsUnknown, Denial: authz.LacksPrivilege, Needed: authz.UserReach}},
		{"a table that is not declared", recordCase{lines: []string{"Dataverse.{any}.ALL8@Organization"}, ask: "Dataverse.Contact.Read"}, recordOutcome{Reason: authz.Unmapped}},
		{"Create, for oneself", recordCase{lines: []string{"Dataverse.Account.Create@User"}, ask: "Dataverse.Account.Create", record: &authz.Record{Owner: user("ann"), BusinessUnit: sales}}, granted(authz.OwnerAccess, authz.UserReach)},
		{"Create, for another", recordCase{lines: []string{"Dataverse.Account.Create@User"}, ask: "Dataverse.Account.Create", record: inSales}, tooSmall(authz.UserReach, authz.BusinessUnitReach)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, d := tc.decide(t)
			if diff := cmp.Diff(tc.want, outcome(d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if d.Allowed() != (tc.want.Reason == authz.Granted) {
				t.Errorf("allowed: %v", d.Allowed())
			}
		})
	}
}

func TestWithoutFactsOnlyOrganizationReaches(t *testing.T) {
	read := authz.Privileges(authz.ReadPrivilege)
	for _, tc := range []struct {
		name   string
		record *authz.Record
	}{
		{"the whole table", nil},
		{"a record of which nothing is told", &authz.Record{}},
		{"a shared record of which nothing is told", &authz.Record{Shares: []authz.Share{{With: user("ann"), Rights: read}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for line, want := range map[string]recordOutcome{
				"Dataverse.Account.Read@User":         tooSmall(authz.UserReach, authz.OrganizationReach),
				"Dataverse.Account.Read@ParentChild":  tooSmall(authz.ParentChildReach, authz.OrganizationReach),
				"Dataverse.Account.Read@Organization": granted(authz.ReachAccess, authz.OrganizationReach),
			} {
				_, d := recordCase{lines: []string{line}, in: head, ask: "Dataverse.Account.Read", record: tc.record}.decide(t)
				if diff := cmp.Diff(want, outcome(d)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", line, diff)
				}
			}
		})
	}
}

func TestMembersInheritATeamsUserReachUnlessTheRoleIsTheTeamsAlone(t *testing.T) {
	mine := &authz.Record{Owner: user("ann"), BusinessUnit: sales}
	teams := &authz.Record{Owner: team("field"), BusinessUnit: north}
	sharedWithMe := &authz.Record{Owner: user("cy"), BusinessUnit: service, Shares: []authz.Share{{With: user("ann"), Rights: authz.Privileges(authz.ReadPrivilege)}}}
	for _, tc := range []struct {
		name     string
		line     string
		teamOnly bool
		record   *authz.Record
		want     recordOutcome
	}{
		{"inherited: the member's own", "Dataverse.Account.Read@User", false, mine, granted(authz.OwnerAccess, authz.UserReach)},
		{"inherited: the team's", "Dataverse.Account.Read@User", false, teams, granted(authz.OwnerAccess, authz.UserReach)},
		{"inherited: shared with the member", "Dataverse.Account.Read@User", false, sharedWithMe, granted(authz.ShareAccess, authz.UserReach)},
		{"alone: not the member's own", "Dataverse.Account.Read@User", true, mine, tooSmall(authz.UserReach, authz.UserReach)},
		{"alone: the team's", "Dataverse.Account.Read@User", true, teams, granted(authz.OwnerAccess, authz.UserReach)},
		{"alone: not what is shared with the member", "Dataverse.Account.Read@User", true, sharedWithMe, tooSmall(authz.UserReach, authz.UserReach)},
		{"alone: other reaches are the member's too", "Dataverse.Account.Read@BusinessUnit", true, mine, granted(authz.OwnerAccess, authz.BusinessUnitReach)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, d := recordCase{lines: []string{tc.line}, byTeam: "field", teamOnly: tc.teamOnly, ask: "Dataverse.Account.Read", record: tc.record}.decide(t)
			if diff := cmp.Diff(tc.want, outcome(d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOwnershipOfTheTableSaysWhatCounts(t *testing.T) {
	record := &authz.Record{Owner: user("ann"), BusinessUnit: sales, Shares: []authz.Share{{With: user("ann"), Rights: authz.Privileges(authz.ReadPrivilege)}}}
	for _, tc := range []struct {
		line string
		want recordOutcome
	}{
		{"Dataverse.Publisher.Read@User", noPrivilege(authz.OrganizationReach)},
		{"Dataverse.Publisher.Read@ParentChild", noPrivilege(authz.OrganizationReach)},
		{"Dataverse.Publisher.Read@Organization", granted(authz.ReachAccess, authz.OrganizationReach)},
		{"Dataverse.Team.Read@User", tooSmall(authz.UserReach, authz.BusinessUnitReach)},
		{"Dataverse.Team.Read@BusinessUnit", granted(authz.ReachAccess, authz.BusinessUnitReach)},
	} {
		ask, _, _ := strings.Cut(tc.line, "@")
		_, d := recordCase{lines: []string{tc.line}, ask: ask, record: record}.decide(t)
		if diff := cmp.Diff(tc.want, outcome(d)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.line, diff)
		}
	}
}

func TestASecuredColumnNeedsAProfileBesides(t *testing.T) {
	own := &authz.Record{Owner: user("ann"), BusinessUnit: sales}
	profile := func(column string, rights ...authz.Privilege) []authz.ColumnProfile {
		return []authz.ColumnProfile{{Table: "account", Column: column, Rights: authz.Privileges(rights...)}}
	}
	lacks := func(column string) recordOutcome {
		return recordOutcome{Reason: authz.NoAssignment, Denial: authz.LacksColumn, Column: column}
	}
	ok := granted(authz.OwnerAccess, authz.UserReach)
	for _, tc := range []struct {
		name       string
		privilege  string
		columns    []string
		profiles   []authz.ColumnProfile
		allColumns bool
		want       recordOutcome
	}{
		{"a column that is not secured", "Read", []string{"name"}, nil, false, ok},
		{"a secured one", "Read", []string{"name", "CreditLimit"}, nil, false, lacks("CreditLimit")},
		{"in whatever case", "Read", []string{"creditLIMIT"}, nil, false, lacks("creditLIMIT")},
		{"with a profile", "Read", []string{"creditlimit"}, profile("CREDITLIMIT", authz.ReadPrivilege), false, ok},
		{"with a profile for another column", "Read", []string{"creditlimit"}, profile("rating", authz.ReadPrivilege), false, lacks("creditlimit")},
		{"reading is not changing", "Write", []string{"creditlimit"}, profile("creditlimit", authz.ReadPrivilege, authz.CreatePrivilege), false, lacks("creditlimit")},
		{"changing", "Write", []string{"creditlimit"}, profile("creditlimit", authz.WritePrivilege), false, ok},
		{"setting it on a new record", "Create", []string{"creditlimit"}, profile("creditlimit", authz.WritePrivilege), false, lacks("creditlimit")},
		{"deleting asks for no column", "Delete", []string{"creditlimit"}, nil, false, ok},
		{"every secured column", "Read", []string{"creditlimit", "rating"}, nil, true, ok},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, d := recordCase{
				lines: []string{"Dataverse.Account.ALL8@User"}, profiles: tc.profiles, allColumns: tc.allColumns,
				ask: "Dataverse.Account." + tc.privilege, record: own, columns: tc.columns,
			}.decide(t)
			if diff := cmp.Diff(tc.want, outcome(d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAProfileDoesNotReplaceAccessToTheRecord(t *testing.T) {
	_, d := recordCase{
		profiles: []authz.ColumnProfile{{Table: "Account", Column: "rating", Rights: authz.Privileges(authz.ReadPrivilege)}},
		ask:      "Dataverse.Account.Read", record: &authz.Record{Owner: user("ann"), BusinessUnit: sales}, columns: []string{"rating"},
	}.decide(t)
	if diff := cmp.Diff(noPrivilege(authz.UserReach), outcome(d)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// whoever is a subject with the holdings given.
func whoever(t testing.TB, db *authz.Database, spec authz.RecordSubjectSpec) *authz.RecordSubject {
	t.Helper()
	s, err := db.Subject(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestActingForAnotherTakesThePrivilegeHeldDirectlyAndBothToPass(t *testing.T) {
	db := newSalesDatabase(t)
	delegate := compileRole(t, db, authz.RoleDefinition{Name: "Delegate", Privileges: []string{"Dataverse.User.ActOnBehalf"}})
	reader := compileRole(t, db, authz.RoleDefinition{Name: "Reader", Privileges: []string{"Dataverse.Account.Read@Organization"}})
	admin := compileRole(t, db, authz.RoleDefinition{Name: "Admin", Privileges: []string{"Dataverse.{any}.ALL8@Organization"}, EverySecuredColumn: true})
	direct := func(role *authz.SecurityRole) authz.RoleHolding {
		return authz.RoleHolding{AssignmentID: role.Name(), Role: role, BusinessUnit: sales}
	}
	throughTeam := authz.RoleHolding{AssignmentID: "Delegate", Role: delegate, Team: "field"}
	expired := direct(delegate)
	expired.Expires = today
	someone := func(id string, holdings ...authz.RoleHolding) *authz.RecordSubject {
		return whoever(t, db, authz.RecordSubjectSpec{
			User: user(id), BusinessUnit: sales, Holdings: holdings, Disabled: id == "gone",
			Teams: []authz.TeamMembership{{Team: "field", BusinessUnit: north}},
		})
	}
	lacks := recordOutcome{Reason: authz.NoAssignment, Denial: authz.LacksOnBehalf}
	both := granted(authz.ReachAccess, authz.OrganizationReach)
	for _, tc := range []struct {
		name          string
		caller, other *authz.RecordSubject
		columns       []string
		want          recordOutcome
		aboutOther    bool
	}{
		{"both pass", someone("ann", direct(delegate), direct(reader)), someone("bob", direct(reader)), nil, both, true},
		{"the caller may not act for others", someone("ann", direct(reader)), someone("bob", direct(reader)), nil, lacks, false},
		{"the privilege does not pass through a team", someone("ann", throughTeam, direct(reader)), someone("bob", direct(reader)), nil, lacks, false},
		{"nor from the second on that it expires", someone("ann", expired, direct(reader)), someone("bob", direct(reader)), nil, recordOutcome{Reason: authz.Expired, Denial: authz.LacksOnBehalf}, false},
		{"of no use without access of one's own", someone("ann", direct(delegate)), someone("bob", direct(reader)), nil, noPrivilege(authz.OrganizationReach), false},
		{"nor beyond what the other may", someone("ann", direct(delegate), direct(admin)), someone("bob"), nil, noPrivilege(authz.OrganizationReach), true},
		{"the other's columns count", someone("ann", direct(delegate), direct(admin)), someone("bob", direct(reader)), []string{"rating"}, recordOutcome{Reason: authz.NoAssignment, Denial: authz.LacksColumn, Column: "rating"}, true},
		{"and not the caller's", someone("ann", direct(delegate), direct(reader)), someone("bob", direct(admin)), []string{"rating"}, both, true},
		{"the other is disabled", someone("ann", direct(delegate), direct(reader)), someone("gone", direct(reader)), nil, recordOutcome{Reason: authz.PrincipalDisabled}, true},
		{"the caller is disabled", someone("gone", direct(delegate), direct(reader)), someone("bob", direct(reader)), nil, recordOutcome{Reason: authz.PrincipalDisabled}, false},
		{"nobody knows the other", someone("ann", direct(delegate), direct(reader)), nil, nil, recordOutcome{Reason: authz.NoAssignment, Denial: authz.LacksPrivilege}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table, privilege, _ := db.Permission("Dataverse.Account.Read")
			d := authz.DecideRecord(db, authz.RecordRequest{
				Caller: tc.caller, OnBehalf: true, ActingFor: tc.other, Table: table, Privilege: privilege, Columns: tc.columns,
			}, today)
			if diff := cmp.Diff(tc.want, outcome(d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if d.ActingFor != tc.aboutOther {
				t.Errorf("about the one acted for: %v, want %v", d.ActingFor, tc.aboutOther)
			}
		})
	}
}

func TestActOnBehalfIsAPermissionOfItsOwn(t *testing.T) {
	for _, tc := range []struct {
		recordCase
		want recordOutcome
	}{
		{recordCase{lines: []string{"Dataverse.User.ActOnBehalf"}}, granted(authz.DirectAccess, authz.NoReach)},
		{recordCase{lines: []string{"Dataverse.User.ActOnBehalf"}, byTeam: "field"}, recordOutcome{Reason: authz.NoAssignment, Denial: authz.LacksOnBehalf}},
		{recordCase{lines: []string{"Dataverse.{any}.ALL8@Organization"}}, recordOutcome{Reason: authz.NoAssignment, Denial: authz.LacksOnBehalf}},
	} {
		tc.ask = "dataverse.user.actonbehalf"
		_, d := tc.decide(t)
		if diff := cmp.Diff(tc.want, outcome(d)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.lines, diff)
		}
	}
	if _, _, ok := newSalesDatabase(t).Permission("Dataverse.Account.ActOnBehalf"); ok {
		t.Error("Dataverse.Account.ActOnBehalf is a permission")
	}
}

func TestRelatingTakesAppendAndAppendTo(t *testing.T) {
	db := newSalesDatabase(t)
	account, _ := db.TableNamed("Account")
	process, _ := db.TableNamed("process")
	for _, tc := range []struct {
		lines      []string
		manyToMany bool
		allowed    bool
		refused    authz.Privilege
	}{
		{[]string{"Dataverse.Account.Append@Organization", "Dataverse.Process.AppendTo@Organization"}, false, true, 0},
		{[]string{"Dataverse.Account.Append@Organization"}, false, false, authz.AppendToPrivilege},
		{[]string{"Dataverse.Process.AppendTo@Organization"}, false, false, authz.AppendPrivilege},
		{[]string{"Dataverse.Account.Append@Organization", "Dataverse.Process.AppendTo@Organization"}, true, false, authz.AppendPrivilege},
		{[]string{"Dataverse.Account.Append@Organization", "Dataverse.Process.Append@Organization"}, true, true, 0},
		{[]string{"Dataverse.Account.AppendTo@Organization", "Dataverse.Process.Append@Organization"}, false, false, authz.AppendPrivilege},
	} {
		caller := recordCase{lines: tc.lines}.subject(t, db)
		d := authz.DecideRelate(db, authz.RelateRequest{
			From: authz.RecordRequest{Caller: caller, Table: account}, To: authz.RecordRequest{Caller: caller, Table: process}, ManyToMany: tc.manyToMany,
		}, today)
		if d.Allowed() != tc.allowed || !tc.allowed && d.Privilege != tc.refused {
			t.Errorf("%v, many to many %v: %+v", tc.lines, tc.manyToMany, d)
		}
	}
}

func TestRecordZeroValuesDeny(t *testing.T) {
	db := newSalesDatabase(t)
	account, _ := db.TableNamed("Account")
	all := recordCase{lines: []string{"Dataverse.{any}.ALL8@Organization"}}.subject(t, db)
	for name, d := range map[string]authz.RecordDecision{
		"decision":            {},
		"request":             authz.DecideRecord(db, authz.RecordRequest{}, today),
		"no database":         authz.DecideRecord(nil, authz.RecordRequest{Table: account, Privilege: authz.ReadPrivilege}, today),
		"another database":    authz.DecideRecord(newSalesDatabase(t), authz.RecordRequest{Caller: all, Table: account, Privilege: authz.ReadPrivilege}, today),
		"no table":            authz.DecideRecord(db, authz.RecordRequest{Caller: all, Privilege: authz.ReadPrivilege}, today),
		"a table beyond":      authz.DecideRecord(db, authz.RecordRequest{Caller: all, Table: 99, Privilege: authz.ReadPrivilege}, today),
		"no privilege":        authz.DecideRecord(db, authz.RecordRequest{Caller: all, Table: account}, today),
		"a privilege beyond":  authz.DecideRecord(db, authz.RecordRequest{Caller: all, Table: account, Privilege: 200}, today),
		"no caller":           authz.DecideRecord(db, authz.RecordRequest{Table: account, Privilege: authz.ReadPrivilege}, today),
		"on behalf of nobody": authz.DecideRecord(db, authz.RecordRequest{Caller: all, OnBehalf: true, Table: account, Privilege: authz.ReadPrivilege}, today),
		"relate":              authz.DecideRelate(db, authz.RelateRequest{}, today),
	} {
		if d.Allowed() {
			t.Errorf("%s: %+v is allowed", name, d)
		}
	}
	if d := authz.DecideRecord(db, authz.RecordRequest{Caller: all, Table: account, Privilege: authz.ReadPrivilege}, today); !d.Allowed() {
		t.Errorf("the one question that is whole: %+v", d)
	}
	var role *authz.SecurityRole
	if role.Reach(account, authz.ReadPrivilege) != authz.NoReach || role.ActsOnBehalf() || role.EverySecuredColumn() {
		t.Error("a nil role gives something")
	}
	closed := authz.RoleDefinition{Terms: &authz.RoleTerms{}}
	if closed.CheckAssignment(authz.Candidate{}) == nil || closed.CheckAssignment(authz.Candidate{Holder: authz.UserHolder}) == nil || closed.Copyable() {
		t.Error("zero terms let somebody hold the role")
	}
}

func TestTheRoleThatDecidedIsNamed(t *testing.T) {
	db := newSalesDatabase(t)
	role := func(line string) *authz.SecurityRole {
		return compileRole(t, db, authz.RoleDefinition{Name: line, Privileges: []string{line}})
	}
	caller := whoever(t, db, authz.RecordSubjectSpec{
		User: user("ann"), BusinessUnit: sales, Teams: []authz.TeamMembership{{Team: "field", BusinessUnit: north}},
		Holdings: []authz.RoleHolding{
			{AssignmentID: "a-team", Role: role("Dataverse.Account.Read@Organization"), Team: "field"},
			{AssignmentID: "c-unit", Role: role("Dataverse.Account.Read@BusinessUnit"), BusinessUnit: sales},
			{AssignmentID: "b-own", Role: role("Dataverse.Account.Read@User"), BusinessUnit: sales},
		},
	})
	account, _ := db.TableNamed("Account")
	for _, tc := range []struct {
		record *authz.Record
		want   string
	}{
		{&authz.Record{Owner: user("ann"), BusinessUnit: north}, "b-own"},
		{&authz.Record{Owner: user("bob"), BusinessUnit: sales}, "c-unit"},
		{&authz.Record{Owner: user("bob"), BusinessUnit: service}, "a-team"},
	} {
		d := authz.DecideRecord(db, authz.RecordRequest{Caller: caller, Table: account, Privilege: authz.ReadPrivilege, Record: tc.record}, today)
		if d.Holding == nil || d.Holding.AssignmentID != tc.want {
			t.Errorf("%+v: decided by %+v, want %s", tc.record, d.Holding, tc.want)
		}
	}
}

// busyRequest is a question that takes all steps: sixty roles, a share found last, columns.
func busyRequest(t testing.TB) (*authz.Database, authz.RecordRequest) {
	db := newSalesDatabase(t)
	spec := authz.RecordSubjectSpec{
		User: user("ann"), BusinessUnit: sales,
		Profiles: []authz.ColumnProfile{{Table: "Account", Column: "rating", Rights: authz.Privileges(authz.ReadPrivilege)}},
	}
	role := compileRole(t, db, authz.RoleDefinition{Name: "r", Privileges: []string{"Dataverse.Account.Read@BusinessUnit", "Dataverse.User.ActOnBehalf"}})
	for i := range 60 {
		spec.Holdings = append(spec.Holdings, authz.RoleHolding{AssignmentID: string(rune('a' + i)), Role: role, BusinessUnit: sales})
	}
	account, _ := db.TableNamed("Account")
	subject := whoever(t, db, spec)
	return db, authz.RecordRequest{
		Caller: subject, ActingFor: subject, Table: account, Privilege: authz.ReadPrivilege, Columns: []string{"name", "Rating"},
		Record: &authz.Record{Owner: user("cy"), BusinessUnit: service, Shares: []authz.Share{
			{With: user("bob"), Rights: authz.Privileges(authz.ReadPrivilege)}, {With: user("ann"), Rights: authz.Privileges(authz.ReadPrivilege)},
		}},
	}
}

func TestDecideRecordAllocatesNothing(t *testing.T) {
	db, r := busyRequest(t)
	if d := authz.DecideRecord(db, r, today); d.Step != authz.ShareAccess {
		t.Fatalf("decided by %v", d.Step)
	}
	refused := r
	refused.Privilege = authz.DeletePrivilege
	if n := testing.AllocsPerRun(100, func() {
		authz.DecideRecord(db, r, today)
		authz.DecideRecord(db, refused, today)
		authz.DecideRelate(db, authz.RelateRequest{From: r, To: r}, today)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkDecideRecord(b *testing.B) {
	db, busy := busyRequest(b)
	role := compileRole(b, db, authz.RoleDefinition{Name: "r", Privileges: []string{"Dataverse.{core}.ALL8@BusinessUnit"}})
	plain := authz.RecordRequest{
		Caller: whoever(b, db, authz.RecordSubjectSpec{User: user("ann"), BusinessUnit: sales, Holdings: []authz.RoleHolding{{AssignmentID: "a", Role: role, BusinessUnit: sales}}}),
		Table:  busy.Table, Privilege: authz.ReadPrivilege, Record: &authz.Record{Owner: user("bob"), BusinessUnit: sales},
	}
	for name, r := range map[string]authz.RecordRequest{"one role": plain, "sixty roles, a share, on behalf": busy} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				authz.DecideRecord(db, r, today)
			}
		})
	}
}
