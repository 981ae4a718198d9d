package gate_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Identifiers of predefined roles.
const (
	systemAdministrator = "627090ff-40a3-4053-8790-584edc5be201"
	basicUser           = "236750cd-45ae-4939-ab12-b24b920ced93"
	appOpener           = "9208f3c0-d4f4-8de0-99fe-2e97765cdb15"
	delegate            = "d892cc0b-28c7-4e88-bd92-72f2c366baed"
	officeCollaborator  = "638f74e8-9063-8cda-b4d8-5b6b2348ccdc"
	ownerRole           = "c9a5dbb2-9f6e-4d5b-b7b8-f8bd7b9a7b8d"
)

const (
	env                = "/tenants/t1/environments/e1"
	defaultEnvironment = "default-0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
)

func person(id string) authz.Principal { return authz.Principal{Type: authz.User, ID: id} }
func team(id string) authz.Principal   { return authz.Principal{Type: authz.Team, ID: id} }
func group(id string) authz.Principal  { return authz.Principal{Type: authz.Group, ID: id} }

// salesWorld is an environment with business units, teams, custom roles, shares and secured
// columns; e2 has no database, and e3 one in which nothing is declared.
//
//	root ⊃ sales ⊃ north
//	root ⊃ service
func salesWorld() *snapshot.Data {
	role := func(id string, privileges ...string) authz.RoleDefinition {
		return authz.RoleDefinition{ID: id, Name: id, Environment: "e1", Privileges: privileges}
	}
	teamOnly := role("team-reader", "Dataverse.Account.Read@User")
	teamOnly.TeamOnly = true
	holds := func(id string, p authz.Principal, role, scope string) snapshot.RoleAssignment {
		return snapshot.RoleAssignment{ID: id, Principal: p, RoleDefinitionID: role, Scope: authz.Scope(scope), Effect: authz.AssignAllow}
	}
	over := holds("h-over", person("over"), "reader", env)
	over.Expires = noon.Unix()
	t := snapshot.Tenant{
		ID: "t1", Environments: []snapshot.Environment{{ID: "e1", Dataverse: true}, {ID: "e2"}, {ID: "e3", Dataverse: true}, {ID: defaultEnvironment, Dataverse: true}},
		BusinessUnits: []authz.BusinessUnit{
			{ID: "root", Environment: "e1"}, {ID: "sales", Environment: "e1", Parent: "root"},
			{ID: "north", Environment: "e1", Parent: "sales"}, {ID: "service", Environment: "e1", Parent: "root"},
		},
		Principals: []snapshot.Principal{{Principal: person("gone"), Disabled: true}, {Principal: person("goner"), Disabled: true}},
		Groups:     []snapshot.Group{{ID: "sg1", Members: []authz.Principal{person("fay"), group("sg2")}}, {ID: "sg2", Members: []authz.Principal{person("gil")}}},
		Tables: []snapshot.Table{
			{Environment: "e1", Table: authz.Table{Name: "Account", Classes: authz.CoreTables, Ownership: authz.UserOwned, EntitySet: "accounts", SecuredColumns: []string{"creditlimit", "rating", "parentaccountid"}}},
			{Environment: "e1", Table: authz.Table{Name: "new_bank", Classes: authz.CustomTables, Ownership: authz.UserOwned, EntitySet: "new_banks"}},
			{Environment: "e1", Table: authz.Table{Name: "new_price", Classes: authz.CustomTables, Ownership: authz.OrganizationOwned}},
		},
		RoleDefinitions: []authz.RoleDefinition{
			role("reader", "Dataverse.Account.Read@Organization"), role("unit", "Dataverse.Account.Read@BusinessUnit", "Dataverse.Account.Write@User"),
			role("deep", "Dataverse.Account.Read@ParentChild"), teamOnly, role("clerk", "Dataverse.new_bank.CRWD@User"),
			role("linker", "Dataverse.Account.Append@Organization", "Dataverse.new_bank.AppendTo@Organization"),
			role("grower", "Dataverse.Account.{Append,AppendTo}@Organization"), role("pricer", "Dataverse.new_price.Read@Organization"), role("small", "Dataverse.Account.Read@User"),
		},
	}
	for _, u := range []struct{ id, unit string }{
		{"admin", "root"}, {"ann", "sales"}, {"bob", "sales"}, {"cid", "north"}, {"deb", "service"}, {"eve", "service"}, {"fay", "service"}, {"gil", "service"},
		{"lin", "sales"}, {"del", "sales"}, {"over", "sales"}, {"gone", "sales"}, {"basic", "sales"}, {"office", "sales"}, {"small", "sales"},
	} {
		t.Users = append(t.Users, snapshot.EnvironmentUser{Environment: "e1", Principal: person(u.id), BusinessUnit: u.unit})
	}
	t.Users = append(t.Users, snapshot.EnvironmentUser{Environment: "e1", Principal: person("off"), BusinessUnit: "sales", Disabled: true},
		snapshot.EnvironmentUser{Environment: "e3", Principal: person("ann")}, snapshot.EnvironmentUser{Environment: "e3", Principal: person("bob")})
	t.Users = append(t.Users, snapshot.EnvironmentUser{Environment: defaultEnvironment, Principal: person("ann")})
	t.Teams = []snapshot.Team{
		{ID: "field", Environment: "e1", Kind: authz.OwnerTeamHolder, BusinessUnit: "north", Members: []authz.Principal{person("eve")}},
		{ID: "desk", Environment: "e1", Kind: authz.GroupTeamHolder, BusinessUnit: "north", Group: "sg1"},
		{ID: "collab", Environment: "e1", DisplayName: "Office Collaborators", Kind: authz.OwnerTeamHolder, BusinessUnit: "root", Members: []authz.Principal{person("office")}},
		{ID: "elsewhere", Environment: "e3", Kind: authz.OwnerTeamHolder},
	}
	t.RoleAssignments = []snapshot.RoleAssignment{
		holds("h-admin", person("admin"), systemAdministrator, env),
		holds("h-ann", person("ann"), "unit", env),
		holds("h-deb", person("deb"), "deep", env+"/businessUnits/sales"),
		holds("h-field", team("field"), "team-reader", env), holds("h-desk", team("desk"), "unit", env),
		holds("h-lin", person("lin"), "linker", env), holds("h-price", person("lin"), "pricer", env), holds("h-grow", person("basic"), "grower", env),
		holds("h-del", person("del"), delegate, env), holds("h-del2", person("del"), "reader", env),
		over, holds("h-gone", person("gone"), systemAdministrator, env), holds("h-off", person("off"), systemAdministrator, env),
		holds("h-basic", person("basic"), basicUser, env), holds("h-small", person("small"), "small", env),
		holds("h-e3", person("ann"), basicUser, "/tenants/t1/environments/e3"),
		holds("h-default", person("ann"), systemAdministrator, "/tenants/t1/environments/"+defaultEnvironment),
		holds("h-collab", team("collab"), officeCollaborator, env),
	}
	t.ColumnProfiles = []snapshot.ColumnProfile{{
		ID: "credit", Environment: "e1", Principals: []authz.Principal{person("ann")},
		Columns: []snapshot.ColumnRight{{Table: "Account", Column: "creditlimit", Rights: authz.Privileges(authz.ReadPrivilege)}},
	}}
	read := authz.Privileges(authz.ReadPrivilege)
	t.Shares = []snapshot.Share{
		{Environment: "e1", Table: "Account", Record: "r-small", Share: authz.Share{With: person("small"), Rights: read}},
		{Environment: "e1", Table: "Account", Record: "r-bob", Share: authz.Share{With: person("bob"), Rights: read}},
		{Environment: "e1", Table: "Account", Record: "r-all", Share: authz.Share{WithOrganization: true, Rights: read}},
	}
	return &snapshot.Data{Tenants: []snapshot.Tenant{t, {ID: "t2", Environments: []snapshot.Environment{{ID: "e9", Dataverse: true}}}}}
}

func newSales(t testing.TB, change func(*gate.Options)) *fixture {
	t.Helper()
	f := newFixture(t, "", change)
	if _, err := f.store.Replace(t.Context(), salesWorld(), snapshot.Change{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	return f
}

func record(owner authz.Principal, unit string) *ask.Record {
	return &ask.Record{Owner: owner, BusinessUnit: unit}
}

func stored(id string, owner authz.Principal, unit string) *ask.Record {
	return &ask.Record{ID: id, Owner: owner, BusinessUnit: unit}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	f := newSales(t, nil)
	for _, test := range []struct {
		name       string
		r          ask.Request
		who        string
		reason     authz.Reason
		detail     string
		assignment string
	}{
		{"the whole table takes Organization", ask.Request{}, "ann", authz.NoAssignment, "Read on Account takes a reach of Organization here, and the security roles of the caller give BusinessUnit", ""},
		{"which System Administrator has", ask.Request{}, "admin", authz.Granted, "", "h-admin"},
		{"in whatever case", ask.Request{Permission: "DATAVERSE.account.read"}, "admin", authz.Granted, "", "h-admin"},
		{"in the business unit", ask.Request{Record: record(person("bob"), "sales")}, "ann", authz.Granted, "", "h-ann"},
		{"not below it", ask.Request{Record: record(person("cid"), "north")}, "ann", authz.NoAssignment, "Read on Account takes a reach of ParentChild here, and the security roles of the caller give BusinessUnit", ""},
		{"below the business unit of the assignment, not of the user", ask.Request{Record: record(person("cid"), "north")}, "deb", authz.Granted, "", "h-deb"},
		{"where it was not assigned", ask.Request{Record: record(person("fay"), "service")}, "deb", authz.NoAssignment, "takes a reach of BusinessUnit", ""},
		{"one's own, wherever it is", ask.Request{Record: record(person("ann"), "service"), Permission: "Dataverse.Account.Write"}, "ann", authz.Granted, "", "h-ann"},
		{"another's", ask.Request{Record: record(person("bob"), "sales"), Permission: "Dataverse.Account.Write"}, "ann", authz.NoAssignment, "Write on Account takes a reach of BusinessUnit here, and the security roles of the caller give User", ""},
		{"no privilege", ask.Request{Record: record(person("bob"), "sales")}, "bob", authz.NoAssignment, "no security role of the caller gives Read on Account", ""},
		{"a share does not stand in for it", ask.Request{Record: stored("r-bob", person("ann"), "sales")}, "bob", authz.NoAssignment, "no security role of the caller gives Read on Account", ""},
		{"a share reaches where the role does not", ask.Request{Record: stored("r-small", person("ann"), "service")}, "small", authz.Granted, "", "h-small"},
		{"another record", ask.Request{Record: stored("r-other", person("ann"), "service")}, "small", authz.NoAssignment, "takes a reach of", ""},
		{"a share without the record's facts counts for nothing", ask.Request{Record: &ask.Record{ID: "r-small"}}, "small", authz.NoAssignment, "takes a reach of Organization", ""},
		{"what is shared with everybody", ask.Request{Record: stored("r-all", person("ann"), "service")}, "office", authz.Granted, "", "h-collab"},
		{"and nothing else", ask.Request{Record: stored("r-bob", person("ann"), "service")}, "office", authz.NoAssignment, "", ""},
		{"a team's role for what the team owns", ask.Request{Record: record(team("field"), "north")}, "eve", authz.Granted, "", "h-field"},
		{"is not the member's own", ask.Request{Record: record(person("eve"), "service")}, "eve", authz.NoAssignment, "", ""},
		{"a group team reaches from its own business unit", ask.Request{Record: record(person("cid"), "north")}, "fay", authz.Granted, "", "h-desk"},
		{"through nested groups", ask.Request{Record: record(person("cid"), "north")}, "gil", authz.Granted, "", "h-desk"},
		{"expired", ask.Request{}, "over", authz.Expired, "no security role of the caller gives Read on Account; an assignment that is over would have done", ""},
		{"disabled in the tenant", ask.Request{}, "gone", authz.PrincipalDisabled, "", ""},
		{"disabled in the environment", ask.Request{}, "off", authz.PrincipalDisabled, "", ""},
		{"disabled, and not in the environment", ask.Request{}, "goner", authz.PrincipalDisabled, "", ""},
		{"not in the environment", ask.Request{Record: record(person("ann"), "sales")}, "stranger", authz.NoAssignment, "the caller is no user of this environment", ""},
		{"not in the environment, and to be the owner", ask.Request{Permission: "Dataverse.Account.Create", Record: record(person("stranger"), "")}, "stranger", authz.NoAssignment, "the caller is no user of this environment", ""},
		{"an unknown table", ask.Request{Permission: "Dataverse.Nothing.Read"}, "admin", authz.Unmapped, `the environment declares no table "Nothing"`, ""},
		{"a table of another environment", ask.Request{Permission: "Dataverse.new_bank.Read", Scope: "/tenants/t1/environments/e3"}, "ann", authz.Unmapped, `declares no table "new_bank"`, ""},
		{"an unknown privilege", ask.Request{Permission: "Dataverse.Account.Update"}, "admin", authz.Unmapped, "no such privilege", ""},
		{"a privilege of another table", ask.Request{Permission: "Dataverse.Account.ActOnBehalf"}, "admin", authz.Unmapped, "the table Account has no privilege ActOnBehalf", ""},
		{"acting for others", ask.Request{Permission: "Dataverse.User.ActOnBehalf"}, "del", authz.Granted, "", "h-del"},
		{"no database", ask.Request{Scope: "/tenants/t1/environments/e2"}, "admin", authz.Unmapped, "the environment has no database", ""},
		{"no such environment", ask.Request{Scope: "/tenants/t1/environments/e7"}, "admin", authz.Unmapped, "the tenant lists no such environment", ""},
		{"at the tenant there are no tables", ask.Request{Scope: "/tenants/t1"}, "admin", authz.Unmapped, "scope: ", ""},
		{"nor at a business unit", ask.Request{Scope: env + "/businessUnits/sales"}, "admin", authz.Unmapped, "scope: ", ""},
		{"another tenant", ask.Request{Scope: "/tenants/t2/environments/e9"}, "admin", authz.Unmapped, "scope: it is of a tenant that is not the caller's", ""},
		{"another environment's users are others", ask.Request{Scope: "/tenants/t1/environments/e3", Record: record(person("ann"), "")}, "ann", authz.Granted, "", "h-e3"},
		{"the one business unit of an environment that lists none", ask.Request{Scope: "/tenants/t1/environments/e3", Record: record(person("bob"), "")}, "ann", authz.NoAssignment, "takes a reach of BusinessUnit", ""},
		{"an owner that nobody added", ask.Request{Record: record(person("nobody"), "sales")}, "admin", authz.BadRequest, "record.owner: the environment lists no such User", ""},
		{"an owner of another environment", ask.Request{Record: record(team("elsewhere"), "sales")}, "admin", authz.BadRequest, "record.owner: the environment lists no such Team", ""},
		{"an owner that is a group", ask.Request{Record: record(group("sg1"), "sales")}, "admin", authz.BadRequest, "record.owner: a record is owned by", ""},
		{"an owner without an identifier", ask.Request{Record: record(person(""), "sales")}, "admin", authz.BadRequest, "record.owner: it has no identifier", ""},
		{"an unknown business unit", ask.Request{Record: record(person("ann"), "west")}, "admin", authz.BadRequest, `record.business_unit: the environment lists no business unit "west"`, ""},
		{"which goes before an unknown table", ask.Request{Permission: "Dataverse.Nothing.Read", Record: record(person("ann"), "west")}, "admin", authz.BadRequest, "record.business_unit", ""},
		{"an unknown table goes before a disabled caller", ask.Request{Permission: "Dataverse.Nothing.Read"}, "gone", authz.Unmapped, "", ""},
		{"a record of a platform permission", ask.Request{Permission: "PowerApps.Apps.Read", Record: record(person("ann"), "sales")}, "admin", authz.BadRequest, "record: goes with", ""},
		{"columns of a request", ask.Request{HTTP: true, Method: "GET", Path: "/powerapps/apps", Permission: " ", Columns: []string{"name"}}, "admin", authz.BadRequest, "columns: goes with", ""},
		{"an open column", ask.Request{Record: record(person("bob"), "sales"), Columns: []string{"name"}}, "ann", authz.Granted, "", "h-ann"},
		{"a secured one with a profile", ask.Request{Record: record(person("bob"), "sales"), Columns: []string{"CreditLimit"}}, "ann", authz.Granted, "", "h-ann"},
		{"and without", ask.Request{Record: record(person("bob"), "sales"), Columns: []string{"name", "rating"}}, "ann", authz.NoAssignment, `the column "rating" of Account is secured, and no column profile of the caller gives Read`, ""},
		{"all columns", ask.Request{Record: record(person("bob"), "sales"), AllColumns: true}, "ann", authz.NoAssignment, `the column "parentaccountid"`, ""},
		{"System Administrator opens every column", ask.Request{AllColumns: true}, "admin", authz.Granted, "", "h-admin"},
		{"an empty column", ask.Request{Columns: []string{""}}, "admin", authz.BadRequest, "columns: one of them is empty", ""},
		{"what everybody owns", ask.Request{Permission: "Dataverse.new_price.Read"}, "lin", authz.Granted, "", "h-price"},
		{"Basic User has nothing on custom tables", ask.Request{Permission: "Dataverse.new_bank.Read", Record: record(person("basic"), "sales")}, "basic", authz.NoAssignment, "no security role of the caller gives Read on new_bank", ""},
		{"and everything on its own core records", ask.Request{Permission: "Dataverse.Contact.Delete", Record: record(person("basic"), "sales")}, "basic", authz.Granted, "", "h-basic"},
		{"relating", ask.Request{Permission: "Dataverse.Account.Append", Relate: &ask.Relate{Table: "new_bank"}}, "lin", authz.Granted, "", "h-lin"},
		{"relating many to many takes Append on both", ask.Request{Permission: "Dataverse.Account.Append", Relate: &ask.Relate{Table: "new_bank", ManyToMany: true}}, "lin", authz.NoAssignment, "no security role of the caller gives Append on new_bank", ""},
		{"relating the other way", ask.Request{Permission: "Dataverse.new_bank.Append", Relate: &ask.Relate{Table: "Account"}}, "lin", authz.NoAssignment, "no security role of the caller gives Append on new_bank", ""},
		{"relating to an unknown table", ask.Request{Permission: "Dataverse.Account.Append", Relate: &ask.Relate{Table: "Nothing"}}, "lin", authz.Unmapped, `declares no table "Nothing"`, ""},
		{"relating to a record of an unknown owner", ask.Request{Permission: "Dataverse.Account.Append", Relate: &ask.Relate{Table: "new_bank", Record: record(person("nobody"), "")}}, "lin", authz.BadRequest, "relate.record.owner", ""},
		{"relating without Append", ask.Request{Permission: "Dataverse.Account.Read", Relate: &ask.Relate{Table: "new_bank"}}, "lin", authz.BadRequest, "relate: goes with the privilege Append alone", ""},
		{"relating to nothing", ask.Request{Permission: "Dataverse.Account.Append", Relate: &ask.Relate{}}, "lin", authz.BadRequest, "relate.table: missing", ""},
		{"for another, both pass", ask.Request{Record: record(person("bob"), "sales"), OnBehalfOf: user(t, "ann")}, "del", authz.Granted, "", "h-ann"},
		{"the other may not", ask.Request{Record: record(person("cid"), "north"), OnBehalfOf: user(t, "ann")}, "del", authz.NoAssignment, "the security roles of the one acted for give BusinessUnit", ""},
		{"without the privilege", ask.Request{Record: record(person("bob"), "sales"), OnBehalfOf: user(t, "ann")}, "deb", authz.NoAssignment, "acting for another takes Dataverse.User.ActOnBehalf", ""},
		{"for somebody who is not in the environment", ask.Request{Record: record(person("bob"), "sales"), OnBehalfOf: user(t, "stranger")}, "del", authz.NoAssignment, "the one acted for is no user of this environment", ""},
		{"for somebody who is disabled", ask.Request{Record: record(person("bob"), "sales"), OnBehalfOf: user(t, "off")}, "del", authz.PrincipalDisabled, "the one acted for is disabled", ""},
		{"for somebody who is disabled and not in the environment", ask.Request{Record: record(person("bob"), "sales"), OnBehalfOf: user(t, "goner")}, "del", authz.PrincipalDisabled, "the one acted for is disabled", ""},
		{"for somebody of another tenant", ask.Request{OnBehalfOf: user(t, "ann", func(s *authz.SubjectSpec) { s.Tenant = "t2" })}, "del", authz.BadRequest, "on_behalf_of: is of another tenant", ""},
		{"groups unknown", ask.Request{Record: record(person("cid"), "north")}, "cid?", authz.GroupsUnknown, "", ""},
		{"groups unknown, and granted all the same", ask.Request{Record: record(person("bob"), "sales")}, "ann?", authz.Granted, "", "h-ann"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := test.r
			if r.Permission == "" {
				r.Permission = "Dataverse.Account.Read"
			}
			if r.Scope == "" {
				r.Scope = env
			}
			id, unknown := strings.CutSuffix(test.who, "?")
			r.Subject = user(t, id, func(s *authz.SubjectSpec) { s.GroupsUnknown = unknown })
			var a ask.Answer
			f.gate.Decide(t.Context(), &r, &a)
			if a.Reason != test.reason || !strings.Contains(a.Detail, test.detail) {
				t.Errorf("%v (%s), want %v (%s)", a.Reason, a.Detail, test.reason, test.detail)
			}
			assignment := ""
			if a.Assignment != nil {
				assignment = a.Assignment.AssignmentID
			}
			if assignment != test.assignment {
				t.Errorf("decided by %q, want %q", assignment, test.assignment)
			}
			if a.Allowed() && len(a.Missing) > 0 {
				t.Errorf("allowed, and missing %v", a.Missing)
			}
		})
	}
}

func TestAnAnswerAboutARecordSaysWhatWasAskedAndWhatLacked(t *testing.T) {
	t.Parallel()
	f := newSales(t, nil)
	var a ask.Answer
	decide := func(r ask.Request, who string) *ask.Answer {
		r.Scope, r.Subject = env, user(t, who)
		f.gate.Decide(t.Context(), &r, &a)
		return &a
	}
	decide(ask.Request{Permission: "dataverse.account.append", Relate: &ask.Relate{Table: "NEW_BANK"}}, "ann")
	want := []authz.Permission{"Dataverse.Account.Append", "Dataverse.new_bank.AppendTo"}
	if diff := cmp.Diff(want, a.Permissions); diff != "" {
		t.Errorf("permissions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, a.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]authz.Scope{env}, a.Scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
	if a.Revision == (authz.Revision{}) || a.Revision != f.store.Current().Revision() || a.Time != noon || a.DecidedBy != "permission" {
		t.Errorf("revision %v, time %v, decided by %q", a.Revision, a.Time, a.DecidedBy)
	}
	d := decide(ask.Request{Permission: "Dataverse.Account.Read", Record: record(person("cid"), "north")}, "ann").Record
	if d == nil || d.Denial != authz.LacksReach || d.Reach != authz.BusinessUnitReach || d.Needed != authz.ParentChildReach {
		t.Errorf("%+v", d)
	}
	decide(ask.Request{Permission: "Dataverse.Account.Read", OnBehalfOf: user(t, "ann")}, "deb")
	if diff := cmp.Diff([]authz.Permission{"Dataverse.User.ActOnBehalf"}, a.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	decide(ask.Request{Permission: "Dataverse.Account.Read", Record: record(person("bob"), "sales")}, "ann")
	if g := a.Assignment; g == nil || g.Principal != person("ann") || g.Role.ID() != "unit" || g.Scope != env || g.Effect != authz.AssignAllow {
		t.Errorf("%+v", g)
	}
	decide(ask.Request{Permission: "PowerApps.Apps.Read"}, "ann")
	if a.Record != nil {
		t.Errorf("a platform permission was decided by a record: %+v", a.Record)
	}
}

func TestQuestionsAboutRecordsAreNeverQuick(t *testing.T) {
	t.Parallel()
	f := newSales(t, nil)
	var a ask.Answer
	f.gate.Decide(t.Context(), &ask.Request{Permission: "Dataverse.Account.Read", Scope: env, Subject: user(t, "admin"), Quick: true}, &a)
	if !a.Slow || a.Allowed() {
		t.Errorf("%+v", a)
	}
}

func TestRecordsAreDecidedFromDataThatIsFreshAndNewEnough(t *testing.T) {
	t.Parallel()
	f := newSales(t, func(o *gate.Options) { o.MaxStalenessReads, o.MaxStalenessChanges = time.Hour, time.Minute })
	var a ask.Answer
	decide := func(permission string, atLeast authz.Revision) authz.Reason {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		f.gate.Decide(ctx, &ask.Request{Permission: permission, Scope: env, Subject: user(t, "admin"), AtLeast: atLeast}, &a)
		return a.Reason
	}
	f.now = noon.Add(10 * time.Minute)
	if got := decide("Dataverse.Account.Read", authz.Revision{}); got != authz.Granted {
		t.Errorf("a read of data ten minutes old: %v", got)
	}
	if got := decide("Dataverse.Account.Write", authz.Revision{}); got != authz.Stale {
		t.Errorf("a change by data ten minutes old: %v", got)
	}
	if got := decide("Dataverse.Nothing.Write", authz.Revision{}); got != authz.Unmapped {
		t.Errorf("an unknown table: %v", got)
	}
	next := f.store.Current().Revision()
	next.Number += 7
	if got := decide("Dataverse.Account.Read", next); got != authz.Stale {
		t.Errorf("a revision that has not arrived: %v", got)
	}
	empty := newFixture(t, "", nil)
	empty.gate.Decide(t.Context(), &ask.Request{Permission: "Dataverse.Account.Read", Scope: env, Subject: user(t, "admin")}, &a)
	if a.Allowed() || a.Reason == authz.Unmapped {
		t.Errorf("from an empty store: %v (%s)", a.Reason, a.Detail)
	}
}

func TestATokenMustBeDelegatedThePrivilegeToo(t *testing.T) {
	t.Parallel()
	for scope, want := range map[string]authz.Reason{"dataverse.account.READ": authz.Granted, "Dataverse.Account.Write": authz.DelegatedScopeMissing, "": authz.DelegatedScopeMissing} {
		f := newSales(t, func(o *gate.Options) {
			o.Identity = identifier{identity: identity.Identity{Subject: user(t, "admin"), UserToken: true, EnforceDelegated: true, Scopes: []string{scope}}}
		})
		var a ask.Answer
		f.gate.Decide(t.Context(), &ask.Request{Permission: "Dataverse.Account.Read", Scope: env}, &a)
		if a.Reason != want {
			t.Errorf("%q: %v", scope, a.Reason)
		}
	}
}

// web is a request to the Web API of an environment.
func web(method, path, environment string, subject *authz.Subject, headers map[string]string) *ask.Request {
	return &ask.Request{
		Adapter: "test", Catalogue: "dataverse", HTTP: true, Method: method, Path: path, Subject: subject,
		Header: func(name string) string { return headers[name] },
		ContextExtension: func(name string) string {
			if name == "environment" {
				return environment
			}
			return ""
		},
	}
}

func TestWebAPIRequests(t *testing.T) {
	t.Parallel()
	f := newSales(t, nil)
	const id = "(00000000-0000-0000-0000-0000000000aa)"
	for _, test := range []struct {
		name, method, path, who string
		headers                 map[string]string
		reason                  authz.Reason
		permissions             []authz.Permission
	}{
		{"reading a collection", "GET", "/api/data/v9.2/accounts?$select=name", "admin", nil, authz.Granted, []authz.Permission{"Dataverse.Account.Read"}},
		{"takes Organization", "GET", "/api/data/v9.2/accounts?$select=name", "ann", nil, authz.NoAssignment, []authz.Permission{"Dataverse.Account.Read"}},
		{"so does one record", "GET", "/api/data/v9.2/accounts" + id + "?$select=name", "ann", nil, authz.NoAssignment, []authz.Permission{"Dataverse.Account.Read"}},
		{"reading one record", "GET", "/api/data/v9.2/accounts" + id + "?$select=name", "del", nil, authz.Granted, []authz.Permission{"Dataverse.Account.Read"}},
		{"a secured column", "GET", "/api/data/v9.2/accounts" + id + "?$select=name,creditlimit", "del", nil, authz.NoAssignment, []authz.Permission{"Dataverse.Account.Read"}},
		{"every column, of which one is secured", "GET", "/api/data/v9.2/accounts" + id, "del", nil, authz.NoAssignment, []authz.Permission{"Dataverse.Account.Read"}},
		{"every column for System Administrator", "GET", "/api/data/v9.2/accounts" + id, "admin", nil, authz.Granted, []authz.Permission{"Dataverse.Account.Read"}},
		{"creating", "POST", "/api/data/v9.2/accounts", "admin", nil, authz.Granted, []authz.Permission{"Dataverse.Account.Create"}},
		{"PATCH creates or changes", "PATCH", "/api/data/v9.2/accounts" + id, "admin", nil, authz.Granted, []authz.Permission{"Dataverse.Account.Create", "Dataverse.Account.Write"}},
		{"PATCH with If-Match changes", "PATCH", "/api/data/v9.2/accounts" + id, "admin", map[string]string{"if-match": "*"}, authz.Granted, []authz.Permission{"Dataverse.Account.Write"}},
		{"the first refusal of two", "PATCH", "/api/data/v9.2/accounts" + id, "ann", nil, authz.NoAssignment, []authz.Permission{"Dataverse.Account.Create", "Dataverse.Account.Write"}},
		{"deleting a custom table's record", "DELETE", "/api/data/v9.2/new_banks" + id, "admin", nil, authz.Granted, []authz.Permission{"Dataverse.new_bank.Delete"}},
		{"an entity set that nobody declared", "GET", "/api/data/v9.2/new_cats", "admin", nil, authz.Unmapped, []authz.Permission{"Dataverse.{new_cats}.Read"}},
		{"a batch", "POST", "/api/data/v9.2/$batch", "admin", nil, authz.Unmapped, nil},
		{"impersonation", "GET", "/api/data/v9.2/accounts", "admin", map[string]string{"mscrmcallerid": "00000000-0000-0000-0000-0000000000bb"}, authz.Unmapped, nil},
		{"attaching", "PUT", "/api/data/v9.2/accounts" + id + "/primarycontactid/$ref", "admin", nil, authz.Granted, []authz.Permission{"Dataverse.Account.Append", "Dataverse.Contact.AppendTo"}},
		{"attaching by a secured column", "PUT", "/api/data/v9.2/accounts" + id + "/parentaccountid/$ref", "admin", nil, authz.Granted, []authz.Permission{"Dataverse.Account.Append", "Dataverse.Account.Write", "Dataverse.Account.AppendTo"}},
		{"attaching by a secured column takes Write", "PUT", "/api/data/v9.2/accounts" + id + "/parentaccountid/$ref", "basic", nil, authz.NoAssignment, []authz.Permission{"Dataverse.Account.Append", "Dataverse.Account.Write", "Dataverse.Account.AppendTo"}},
		{"disabled", "GET", "/api/data/v9.2/accounts", "gone", nil, authz.PrincipalDisabled, []authz.Permission{"Dataverse.Account.Read"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a ask.Answer
			f.gate.Decide(t.Context(), web(test.method, test.path, "e1", user(t, test.who), test.headers), &a)
			if a.Reason != test.reason {
				t.Errorf("%v (%s), want %v", a.Reason, a.Detail, test.reason)
			}
			if diff := cmp.Diff(test.permissions, a.Permissions, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	var a ask.Answer
	for environment, want := range map[string]authz.Reason{"e2": authz.Unmapped, "e7": authz.Unmapped, "": authz.BadRequest, "e3": authz.NoAssignment} {
		f.gate.Decide(t.Context(), web("GET", "/api/data/v9.2/accounts", environment, user(t, "admin"), nil), &a)
		if a.Allowed() || environment != "" && a.Reason != want {
			t.Errorf("environment %q: %v (%s), want %v", environment, a.Reason, a.Detail, want)
		}
	}
}

func TestAHostNamesTheEnvironmentOfAWebAPIRequest(t *testing.T) {
	t.Parallel()
	f := newSales(t, nil)
	for host, want := range map[string]authz.Reason{
		"0a1b2c3d4e5f4a6b8c7d9e0f1a2b3c.4d.environment.api.powerplatform.com": authz.Granted, // which stands for the default one
		"ffffffff4e5f4a6b8c7d9e0f1a2b3c.4d.environment.api.powerplatform.com": authz.Unmapped,
	} {
		r := web("GET", "/api/data/v9.2/accounts?$select=name", "", user(t, "ann"), nil)
		r.Host = host
		var a ask.Answer
		if f.gate.Decide(t.Context(), r, &a); a.Reason != want {
			t.Errorf("%s: %v (%s) at %v, want %v", host, a.Reason, a.Detail, a.Scopes, want)
		} else if want == authz.Granted && a.Scopes[0] != "/tenants/t1/environments/"+defaultEnvironment {
			t.Errorf("%s: at %v", host, a.Scopes)
		}
	}
}

func TestAMappedWebAPIRequestNamesEntitySets(t *testing.T) {
	t.Parallel()
	f := newSales(t, nil)
	var a ask.Answer
	f.gate.Map(web("PATCH", "/api/data/v9.2/accounts(00000000-0000-0000-0000-0000000000aa)", "e1", nil, nil), "{tenant}", &a)
	if diff := cmp.Diff([]authz.Permission{"Dataverse.{accounts}.Create", "Dataverse.{accounts}.Write"}, a.Permissions); diff != "" || a.Reason != authz.ReasonUnspecified {
		t.Errorf("%v (-want +got):\n%s", a.Reason, diff)
	}
	if diff := cmp.Diff([]authz.Scope{"/tenants/{tenant}/environments/e1"}, a.Scopes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What was taken away is gone at the revision that says so, and no sooner for one question of
// a batch than for another.
func TestARevokedSecurityRoleIsGoneAtItsRevision(t *testing.T) {
	t.Parallel()
	f := newSales(t, nil)
	change := func(give bool) authz.Revision {
		t.Helper()
		revision, err := f.store.Update(t.Context(), snapshot.Change{Source: "test"}, func(e *snapshot.Edit) error {
			if !give {
				_, err := e.RemoveRoleAssignment("t1", "h-bob")
				return err
			}
			return e.PutRoleAssignment("t1", snapshot.RoleAssignment{ID: "h-bob", Principal: person("bob"), RoleDefinitionID: "reader", Scope: env, Effect: authz.AssignAllow})
		})
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	question := ask.Request{Permission: "Dataverse.Account.Read", Scope: env, Subject: user(t, "bob")}
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			batch, answers := []ask.Request{question, question}, make([]ask.Answer, 2)
			for ctx.Err() == nil {
				if err := f.gate.DecideBatch(ctx, batch, answers); err != nil && ctx.Err() == nil {
					continue // the snapshot changed too often
				}
				if ctx.Err() == nil && (answers[0].Reason != answers[1].Reason || answers[0].Revision != answers[1].Revision) {
					t.Errorf("one batch says %v at %v and %v at %v", answers[0].Reason, answers[0].Revision, answers[1].Reason, answers[1].Revision)
				}
			}
		})
	}
	for i := range 30 {
		give := i%2 == 0
		r := question
		r.AtLeast = change(give)
		var a ask.Answer
		f.gate.Decide(t.Context(), &r, &a)
		if a.Allowed() != give || a.Revision.Compare(r.AtLeast) < 0 {
			t.Errorf("change %d, given %t: %v (%s) at %v", i, give, a.Reason, a.Detail, a.Revision)
		}
	}
	stop()
	asking.Wait()
}

// Whoever is disabled in an environment has nothing of its security roles, on the platform
// neither, and that from the revision on that says so, although the view was cached.
func TestWhoIsDisabledInAnEnvironmentHasNothingOfItsRoles(t *testing.T) {
	t.Parallel()
	f := newSales(t, nil)
	put := func(change func(e *snapshot.Edit) error) authz.Revision {
		t.Helper()
		revision, err := f.store.Update(t.Context(), snapshot.Change{Source: "test"}, change)
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	put(func(e *snapshot.Edit) error {
		return e.PutRoleAssignment("t1", snapshot.RoleAssignment{
			ID: "sa", Principal: person("bob"), RoleDefinitionID: systemAdministrator, Scope: env + "/businessUnits/sales", Effect: authz.AssignAllow,
		})
	})
	for i, disabled := range []bool{false, true, false, true} {
		revision := put(func(e *snapshot.Edit) error {
			u, _, err := e.EnvironmentUser("t1", "e1", person("bob"))
			if u.Disabled = disabled; err != nil {
				return err
			}
			return e.PutEnvironmentUser("t1", u)
		})
		for _, permission := range []string{"PowerApps.Apps.Create", "Dataverse.Account.Delete"} {
			r := ask.Request{Permission: permission, Scope: env, Subject: user(t, "bob"), AtLeast: revision}
			for range 2 { // from the file, and from memory
				var a ask.Answer
				if f.gate.Decide(t.Context(), &r, &a); a.Allowed() == disabled {
					t.Errorf("round %d, disabled %t: %s: %v (%s)", i, disabled, permission, a.Reason, a.Detail)
				}
			}
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	f := newSales(b, nil)
	for name, r := range map[string]ask.Request{
		"direct":             {Permission: "Dataverse.Account.Read", Scope: env, Subject: user(b, "ann"), Record: record(person("bob"), "sales")},
		"through a group":    {Permission: "Dataverse.Account.Read", Scope: env, Subject: user(b, "gil"), Record: record(person("cid"), "north")},
		"for another, share": {Permission: "Dataverse.Account.Read", Scope: env, Subject: user(b, "del"), OnBehalfOf: user(b, "small"), Record: stored("r-small", person("ann"), "service")},
	} {
		b.Run(name, func(b *testing.B) {
			var a ask.Answer
			for b.Loop() {
				f.gate.Decide(b.Context(), &r, &a)
			}
			if !a.Allowed() {
				b.Fatalf("%v (%s)", a.Reason, a.Detail)
			}
		})
	}
}
