package authz_test

import (
	"encoding"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestPrivilegePatternsHaveOneSpelling(t *testing.T) {
	for text, want := range map[string]string{
		"Dataverse.Account.Read@Organization":                         "Dataverse.Account.Read@Organization",
		"dataverse.account.READ@organization":                         "Dataverse.account.Read@Organization",
		"Dataverse.{CORE}.*@user":                                     "Dataverse.{core}.ALL8@User",
		"Dataverse.{any}.crwd@ParentChild":                            "Dataverse.{any}.CRWD@ParentChild",
		"Dataverse.Publisher.{AppendTo,CRWD,append}@User":             "Dataverse.Publisher.{CRWD,Append,AppendTo}@User",
		"Dataverse.Publisher.{Read,Create,Delete,Write}@User":         "Dataverse.Publisher.CRWD@User",
		"Dataverse.{orgShared}.{Read}@BusinessUnit":                   "Dataverse.{orgShared}.Read@BusinessUnit",
		"Dataverse.{businessmanagement}.{Read,Share}@User":            "Dataverse.{businessManagement}.{Read,Share}@User",
		"Dataverse.new_bank.{CRWD,Append,AppendTo,Assign,Share}@User": "Dataverse.new_bank.ALL8@User",
		"dataverse.user.actonbehalf":                                  "Dataverse.user.ActOnBehalf",
	} {
		p, err := authz.ParsePrivilegePattern(text)
		if err != nil || p.String() != want {
			t.Errorf("%s is %s, %v; want %s", text, p, err, want)
		}
	}
}

func TestAPrivilegePatternThatCannotBeReadSaysWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "want Dataverse.{table}.{privilege}@{reach}",
		"PowerApps.Apps.Read":                "want Dataverse.{table}.{privilege}@{reach}",
		"Dataverse.Account@User":             "want a table or {class} and a privilege with a dot between them",
		"Dataverse.*.Read@User":              `"*" is neither a table's name nor a {class}`,
		"Dataverse..Read@User":               `"" is neither a table's name nor a {class}`,
		"Dataverse.{Account}.Read@User":      `table class "Account" is none of core, system, customization, businessManagement, site, custom, orgShared, any; a table stands without braces`,
		"Dataverse.{core,site}.Read@User":    `table class "core,site" is none of`,
		"Dataverse.Account.Update@User":      `privilege "Update" is none of Create, Read, Write, Delete, Append, AppendTo, Assign, Share, ActOnBehalf, nor ALL8 or CRWD`,
		"Dataverse.Account.{Read,}@User":     `privilege "" is none of`,
		"Dataverse.Account.{}@User":          `privilege "" is none of`,
		"Dataverse.Account.{Read,CRWD}@User": `"{Read,CRWD}" says a privilege twice: leave one out`,
		"Dataverse.Account.Read":             "say how far it reaches: @User, @BusinessUnit, @ParentChild or @Organization",
		"Dataverse.Account.Read@":            `reach "" is none of User, BusinessUnit, ParentChild, Organization`,
		"Dataverse.Account.Read@None":        `reach "None" is none of`,
		"Dataverse.Account.Read@User@User":   `reach "User@User" is none of`,
		"Dataverse.Account.Read@Global":      `reach "Global" is none of`,
		"Dataverse.User.ActOnBehalf@User":    "ActOnBehalf has no reach: leave out @User",
		"Dataverse.Account.ActOnBehalf":      "ActOnBehalf stands alone: write Dataverse.User.ActOnBehalf",
		"Dataverse.User.{Read,ActOnBehalf}":  "ActOnBehalf stands alone: write Dataverse.User.ActOnBehalf",
		"Dataverse.{any}.ActOnBehalf":        "ActOnBehalf stands alone: write Dataverse.User.ActOnBehalf",
		"Dataverse.Account .Read@User":       `"Account " is neither a table's name nor a {class}`,
	} {
		p, err := authz.ParsePrivilegePattern(text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("privilege %q: ", text)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if p != (authz.PrivilegePattern{}) {
			t.Errorf("%q was refused and gives %+v", text, p)
		}
	}
}

// What prints reads back as the same, and what is refused gives nothing.
func FuzzPrivilegePattern(f *testing.F) {
	for _, seed := range []string{
		"Dataverse.Account.Read@Organization", "Dataverse.{core}.ALL8@User", "Dataverse.Publisher.{CRWD,Append}@ParentChild",
		"Dataverse.User.ActOnBehalf", "Dataverse.{any}.*@BusinessUnit", "Dataverse.{a}.{b}@c", "Dataverse...@",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := authz.ParsePrivilegePattern(text)
		if err != nil {
			if p != (authz.PrivilegePattern{}) {
				t.Errorf("%q was refused and gives %+v", text, p)
			}
			return
		}
		again, err := authz.ParsePrivilegePattern(p.String())
		if err != nil || again != p {
			t.Errorf("%q prints as %q, which reads as %+v, %v; want %+v", text, p, again, err, p)
		}
		if p.Privileges == 0 || p.Table == "" && p.Class == 0 || p.Reach == authz.NoReach && !p.Privileges.Has(authz.ActOnBehalf) {
			t.Errorf("%q is read as %+v", text, p)
		}
	})
}

func TestNamesOfTheDataverseEnumerationsReadBack(t *testing.T) {
	for _, tc := range []struct {
		text string
		into encoding.TextUnmarshaler
		ok   bool
	}{
		{"appendto", new(authz.Privilege), true}, {"", new(authz.Privilege), false},
		{"PARENTCHILD", new(authz.Reach), true}, {"", new(authz.Reach), false}, {"Deep", new(authz.Reach), false},
		{"organization", new(authz.Ownership), true}, {"", new(authz.Ownership), false}, {"Team", new(authz.Ownership), false},
		{"orgshared", new(authz.TableClass), true}, {"", new(authz.TableClass), false},
		{"ownerteam", new(authz.HolderKind), true}, {"", new(authz.HolderKind), false},
		{"service", new(authz.Origin), true}, {"", new(authz.Origin), false},
		{"absent", new(authz.DatabaseRule), true}, {"", new(authz.DatabaseRule), false},
	} {
		err := tc.into.UnmarshalText([]byte(tc.text))
		if (err == nil) != tc.ok {
			t.Errorf("%T of %q: %v", tc.into, tc.text, err)
			continue
		}
		if back := fmt.Sprint(tc.into); tc.ok && !strings.EqualFold(text(t, tc.into), tc.text) {
			t.Errorf("%T of %q is %s", tc.into, tc.text, back)
		}
	}
	for want, got := range map[string]fmt.Stringer{
		"on_behalf": authz.LacksOnBehalf, "column": authz.LacksColumn, "reach": authz.LacksReach, "privilege": authz.LacksPrivilege, "": authz.NoDataverseDenial,
		"owner": authz.OwnerAccess, "share": authz.ShareAccess, "direct": authz.DirectAccess,
		"DataverseDenial(9)": authz.DataverseDenial(9), "AccessStep(9)": authz.AccessStep(9), "Privilege(99)": authz.Privilege(99),
		"Reach(9)": authz.Reach(9), "Ownership(9)": authz.Ownership(9), "HolderKind(99)": authz.HolderKind(99), "Origin(9)": authz.Origin(9), "DatabaseRule(9)": authz.DatabaseRule(9),
		"core,site": authz.CoreTables | authz.SiteTables,
	} {
		if got.String() != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	m, ok := v.(encoding.TextMarshaler)
	if !ok {
		t.Fatalf("%T has no text", v)
	}
	b, err := m.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestADatabaseReportsEveryProblemOfItsDeclarations(t *testing.T) {
	_, err := authz.NewDatabase(authz.DatabaseSpec{
		Tables: []authz.Table{
			{Name: "Account", Ownership: authz.UserOwned, EntitySet: "accounts"},
			{Name: "ACCOUNT", Ownership: authz.UserOwned},
			{Name: "Contact", Ownership: authz.UserOwned, EntitySet: "accounts"},
			{Name: "a table", Ownership: authz.UserOwned},
			{Name: "Nobodys"},
			{Name: "Bank", Ownership: authz.UserOwned, Classes: authz.CustomTables | authz.CoreTables},
			{Name: "All", Ownership: authz.UserOwned, Classes: authz.AnyTables},
			{Name: "Card", Ownership: authz.UserOwned, SecuredColumns: []string{"pin", "PIN", "a b"}},
		},
		BusinessUnits: []authz.BusinessUnit{{ID: "a"}, {ID: "a"}, {ID: ""}, {ID: "c", Parent: "b"}},
	})
	if err == nil {
		t.Fatal("no problem was found")
	}
	want := []string{
		`table "ACCOUNT" is declared twice, the first time as "Account"`,
		`table "Contact" has the entity set "accounts", which is that of the table "Account"`,
		`table "a table": want a name of letters, digits, _ and -`,
		`table "Nobodys": say who owns its records: User, BusinessUnit or Organization`,
		`table "Bank": a custom table is of no other class: leave out custom or core`,
		`table "All": every table is of the class any: leave it out`,
		`table "Card": secured column "PIN" is listed twice`,
		`table "Card": secured column "a b": want a name of letters, digits, _ and -`,
		`business unit "a" is listed twice`,
		`a business unit needs an identifier`,
		`business unit "c" lies below "b", which is not listed`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBusinessUnitsInACircleOrTooDeepAreRefused(t *testing.T) {
	deep := []authz.BusinessUnit{{ID: "u0"}}
	for i := range 100 {
		deep = append(deep, authz.BusinessUnit{ID: fmt.Sprintf("u%d", i+1), Parent: fmt.Sprintf("u%d", i)})
	}
	if _, err := authz.NewDatabase(authz.DatabaseSpec{BusinessUnits: deep[:100]}); err != nil {
		t.Errorf("a hundred business units below each other: %v", err)
	}
	for want, units := range map[string][]authz.BusinessUnit{
		`business unit "a" lies below itself, or below one that does`: {{ID: "r"}, {ID: "a", Parent: "b"}, {ID: "b", Parent: "a"}},
		`business unit "s" lies below itself, or below one that does`: {{ID: "s", Parent: "s"}},
		`business unit "u100" lies below more than 100 others`:        deep,
	} {
		if _, err := authz.NewDatabase(authz.DatabaseSpec{BusinessUnits: units}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestTablesAreFoundByNameEntitySetAndPermission(t *testing.T) {
	db := newSalesDatabase(t)
	account, ok := db.TableNamed("ACCOUNT")
	if table, known := db.Table(account); !ok || !known || table.Name != "Account" {
		t.Errorf("ACCOUNT is %+v", table)
	}
	if id, ok := db.TableOfEntitySet("accounts"); !ok || id != account {
		t.Errorf("accounts is table %d", id)
	}
	for _, set := range []string{"", "Accounts", "publishers"} {
		if id, ok := db.TableOfEntitySet(set); ok {
			t.Errorf("entity set %q is table %d", set, id)
		}
	}
	if id, p, ok := db.Permission("dataverse.ACCOUNT.appendto"); !ok || id != account || p != authz.AppendToPrivilege {
		t.Errorf("dataverse.ACCOUNT.appendto is %v of %d, %v", p, id, ok)
	}
	for _, name := range []string{"", "Dataverse", "Dataverse.Account", "Dataverse.Account.", "Dataverse.Account.Read.More", "Dataverse.Contact.Read", "Dataverse.{any}.Read", "Dataverse.Account.*", "PowerApps.Account.Read"} {
		if id, p, ok := db.Permission(name); ok || id != 0 || p != authz.NoPrivilege {
			t.Errorf("%q is %v of %d, %v", name, p, id, ok)
		}
	}
	var none *authz.Database
	if _, ok := none.TableNamed("Account"); ok || none.Len() != 0 || none.HasBusinessUnit("a") {
		t.Error("a nil database has something")
	}
}

func TestARoleOfAnUndeclaredTableIsAnErrorUnlessItIsShipped(t *testing.T) {
	db := newSalesDatabase(t)
	spec := authz.RoleDefinition{ID: "r", Name: "Bankers", Privileges: []string{"Dataverse.Bank.Read@User", "Dataverse.Account.Read", "Dataverse.{any}.Read@User"}}
	_, err := db.Compile(spec)
	want := `security role "Bankers": privilege "Dataverse.Bank.Read@User": the environment declares no table "Bank": declare it first
security role "Bankers": privilege "Dataverse.Account.Read": say how far it reaches: @User, @BusinessUnit, @ParentChild or @Organization`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	spec.Privileges = spec.Privileges[:1]
	role, err := db.CompileShipped(spec)
	if err != nil || role.Name() != "Bankers" || role.ID() != "r" {
		t.Errorf("%+v, %v", role, err)
	}
	var none *authz.Database
	if _, err := none.CompileShipped(spec); err != nil {
		t.Errorf("without any database: %v", err)
	}
}

func TestALineThatNamesATableDecidesOverLinesThatNameClasses(t *testing.T) {
	db := newSalesDatabase(t)
	role := compileRole(t, db, authz.RoleDefinition{Name: "r", Privileges: []string{
		"Dataverse.{system}.Read@Organization", "Dataverse.{customization}.{Read,Write}@BusinessUnit", "Dataverse.Process.Read@User",
		"Dataverse.Account.Read@User", "Dataverse.Account.Read@ParentChild", "Dataverse.Team.Read@User",
	}})
	for _, tc := range []struct {
		table string
		p     authz.Privilege
		want  authz.Reach
	}{
		{"Process", authz.ReadPrivilege, authz.UserReach},
		{"Process", authz.WritePrivilege, authz.BusinessUnitReach}, // no line names it
		{"User", authz.ReadPrivilege, authz.OrganizationReach},
		{"Publisher", authz.ReadPrivilege, authz.NoReach}, // organization-owned, and the reach is smaller
		{"Account", authz.ReadPrivilege, authz.ParentChildReach},
		{"Account", authz.WritePrivilege, authz.NoReach},
		{"Account", authz.ActOnBehalf, authz.NoReach},
		{"Account", authz.NoPrivilege, authz.NoReach},
	} {
		id, _ := db.TableNamed(tc.table)
		if got := role.Reach(id, tc.p); got != tc.want {
			t.Errorf("%s of %s reaches %v, want %v", tc.p, tc.table, got, tc.want)
		}
	}
}

func TestNoPlatformPatternCoversDataverse(t *testing.T) {
	if _, err := authz.NewVocabulary([]authz.Permission{"Dataverse.Account.Read"}, nil); err == nil {
		t.Error("a catalogue may declare Dataverse.Account.Read")
	}
}

func TestASubjectReportsEveryProblem(t *testing.T) {
	db := newSalesDatabase(t)
	foreign := compileRole(t, newSalesDatabase(t), authz.RoleDefinition{Name: "Foreign"})
	_, err := db.Subject(authz.RecordSubjectSpec{
		User: authz.Principal{Type: authz.Group, ID: "g"}, BusinessUnit: "nowhere",
		Teams: []authz.TeamMembership{{Team: "field", BusinessUnit: "nowhere"}},
		Holdings: []authz.RoleHolding{
			{AssignmentID: "1", Role: foreign, BusinessUnit: sales}, {AssignmentID: "2", BusinessUnit: "nowhere"}, {AssignmentID: "3", Team: "others"},
		},
	})
	want := []string{
		"Group g: whoever asks for records is a User or an ApplicationUser",
		`Group g: is in the business unit "nowhere", which is not listed`,
		`Group g: is in the team "field" of the business unit "nowhere", which is not listed`,
		`Group g: assignment "1": the role "Foreign" was compiled for another database`,
		`Group g: assignment "2" is in the business unit "nowhere", which is not listed`,
		`Group g: assignment "3" is of the team "others", which the user is not in`,
	}
	if err == nil {
		t.Fatal("no problem was found")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnApplicationUserIsAUser(t *testing.T) {
	db := newSalesDatabase(t)
	role := compileRole(t, db, authz.RoleDefinition{Name: "r", Privileges: []string{"Dataverse.Account.Read@User"}})
	app := whoever(t, db, authz.RecordSubjectSpec{
		User: authz.Principal{Type: authz.ApplicationUser, ID: "app"}, BusinessUnit: sales,
		Holdings: []authz.RoleHolding{{AssignmentID: "a", Role: role, BusinessUnit: sales}},
	})
	account, _ := db.TableNamed("Account")
	d := authz.DecideRecord(db, authz.RecordRequest{Caller: app, Table: account, Privilege: authz.ReadPrivilege, Record: &authz.Record{Owner: user("app")}}, today)
	if d.Step != authz.OwnerAccess {
		t.Errorf("%+v", d)
	}
	if got := app.Holdings(); len(got) != 1 || got[0].AssignmentID != "a" {
		t.Errorf("holdings %+v", got)
	}
}

func TestWhatCannotBeSharedIsSaid(t *testing.T) {
	for _, p := range authz.TablePrivileges() {
		err := authz.Privileges(p).CheckShareable()
		if wrong := p == authz.CreatePrivilege || p == authz.AppendToPrivilege; (err != nil) != wrong {
			t.Errorf("%v: %v", p, err)
		}
	}
}
