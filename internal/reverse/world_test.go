package reverse_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/reverse"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// now is the time of all tests.
const now = int64(1_900_000_000)

var vocabulary = func() *authz.Vocabulary {
	v, err := authz.NewVocabulary([]authz.Permission{
		"PowerApps.Apps.Read", "PowerApps.Apps.Create", "PowerApps.Apps.Update", "PowerApps.Apps.Delete", "PowerApps.Apps.Write",
		"PowerAutomate.Flows.Read", "PowerAutomate.Flows.Create",
	}, nil)
	if err != nil {
		panic(err)
	}
	return v
}()

// The roles that every tenant has.
const (
	reader      = "reader"
	contributor = "contributor"
	maker       = "maker"    // of a database, with permissions and privileges
	salesperson = "sales"    // of a database, with privileges at several reaches
	delegate    = "delegate" // acts on behalf of others
	siteRole    = "siterole" // of a website
	teamRole    = "teamrole" // whose User reach is its team's alone
)

func shippedRoles() []authz.RoleDefinition {
	anywhere, inDatabases := []string{"/tenants/{0}"}, []string{"/tenants/{0}/environments/{1}"}
	return []authz.RoleDefinition{
		{ID: reader, Name: "Reader", Permissions: []string{"*.Read"}, AssignableScopes: anywhere},
		{ID: contributor, Name: "Contributor", Permissions: []string{"*"}, PermissionsExceptions: []string{"PowerApps.Apps.Delete"}, AssignableScopes: anywhere},
		{ID: maker, Name: "Maker", Category: authz.DataverseRoles, Permissions: []string{"PowerApps.*"}, AssignableScopes: inDatabases,
			Privileges: []string{"Dataverse.Account.Read@Organization", "Dataverse.Account.Write@User"},
			Terms:      &authz.RoleTerms{HeldBy: []authz.HolderKind{authz.UserHolder, authz.ApplicationUserHolder, authz.GroupHolder, authz.OwnerTeamHolder, authz.GroupTeamHolder}}},
		{ID: salesperson, Name: "Salesperson", Category: authz.DataverseRoles, AssignableScopes: inDatabases, Privileges: []string{"Dataverse.Account.ALL8@BusinessUnit", "Dataverse.Order.Read@ParentChild"}},
		{ID: delegate, Name: "Delegate", Category: authz.DataverseRoles, AssignableScopes: inDatabases, Privileges: []string{"Dataverse.User.ActOnBehalf"}},
		{ID: teamRole, Name: "Team role", Category: authz.DataverseRoles, AssignableScopes: inDatabases, TeamOnly: true, Privileges: []string{"Dataverse.Account.{Read,Write}@User"}},
		{ID: siteRole, Name: "Site role", Category: authz.DataverseRoles, Permissions: []string{"PowerApps.Apps.Update"}, AssignableScopes: []string{"/tenants/{0}/environments/{1}/websites/{2}"},
			Privileges: []string{"Dataverse.Order.{Read,Delete}@User"}},
	}
}

func standardTables() []authz.Table {
	return []authz.Table{
		{Name: "Account", Ownership: authz.UserOwned, Classes: authz.CoreTables, EntitySet: "accounts"},
		{Name: "Order", Ownership: authz.UserOwned, Classes: authz.CoreTables, EntitySet: "orders"},
		{Name: "Currency", Ownership: authz.OrganizationOwned, Classes: authz.SystemTables, EntitySet: "currencies"},
		{Name: "User", Ownership: authz.BusinessUnitOwned, Classes: authz.SystemTables, EntitySet: "systemusers"},
	}
}

func openStore(t testing.TB, data *snapshot.Data) *snapshot.Store {
	t.Helper()
	s, err := snapshot.Open(t.Context(), snapshot.Options{
		Dir: t.TempDir(), Vocabulary: vocabulary, ShippedRoles: shippedRoles(), StandardTables: standardTables(), CacheBytes: 1 << 20,
		Now: func() time.Time { return time.Unix(now, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if data != nil {
		if _, err := s.Replace(t.Context(), data, snapshot.Change{Source: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// read asks at one revision.
func read(t testing.TB, s *snapshot.Store, ask func(r *snapshot.Reader)) {
	t.Helper()
	if err := s.Read(t.Context(), func(r *snapshot.Reader) error {
		ask(r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func questions(work int) *reverse.Questions {
	return reverse.New(reverse.Options{Vocabulary: vocabulary, ShippedRoles: shippedRoles(), Work: work})
}

func user(id string) authz.Principal  { return authz.Principal{Type: authz.User, ID: id} }
func app(id string) authz.Principal   { return authz.Principal{Type: authz.ApplicationUser, ID: id} }
func group(id string) authz.Principal { return authz.Principal{Type: authz.Group, ID: id} }
func team(id string) authz.Principal  { return authz.Principal{Type: authz.Team, ID: id} }
func role(id string) authz.Principal  { return authz.Principal{Type: authz.DirectoryRole, ID: id} }

// A dice makes random worlds.
type dice struct{ *rand.Rand }

func (d dice) one(of ...string) string { return of[d.IntN(len(of))] }

func (d dice) in(n int) bool { return d.IntN(n) == 0 }

// world is a small tenant of any kind.
func (d dice) world(tenant string) snapshot.Tenant {
	t := snapshot.Tenant{ID: tenant, DirectoryComplete: d.in(2)}
	t.EnvironmentGroups = []authz.EnvironmentGroup{{ID: "eg1"}, {ID: "eg2"}}
	for i := 1; i <= 4; i++ {
		e := snapshot.Environment{ID: fmt.Sprint("e", i), Dataverse: i <= 2}
		t.Environments = append(t.Environments, e)
		if g := d.IntN(3); g < 2 {
			t.EnvironmentGroups[g].Environments = append(t.EnvironmentGroups[g].Environments, e.ID)
		}
	}
	t.BusinessUnits = []authz.BusinessUnit{
		{ID: "b0", Environment: "e1"}, {ID: "b1", Environment: "e1", Parent: "b0"}, {ID: "b2", Environment: "e1", Parent: d.one("b0", "b1")},
	}
	people := []authz.Principal{user("u1"), user("u2"), user("u3"), user("u4"), app("s1"), app("s2"), app("u1")}
	for _, p := range people {
		if d.in(8) {
			t.Principals = append(t.Principals, snapshot.Principal{Principal: p, Disabled: true})
		}
	}
	d.groups(&t, people)
	d.roles(&t)
	d.database(&t, people)
	d.assignments(&t, people)
	return t
}

// groups nest: those with lower numbers among those with higher ones. The group g9 is listed
// nowhere.
func (d dice) groups(t *snapshot.Tenant, people []authz.Principal) {
	for i := 1; i <= 5; i++ {
		g := snapshot.Group{ID: fmt.Sprint("g", i)}
		for _, p := range people {
			if d.in(4) {
				g.Members = append(g.Members, p)
			}
		}
		for j := 1; j < i; j++ {
			if d.in(2) {
				g.Members = append(g.Members, group(fmt.Sprint("g", j)))
			}
		}
		if d.in(6) {
			g.Members = append(g.Members, group("g9"))
		}
		t.Groups = append(t.Groups, g)
	}
}

func (d dice) roles(t *snapshot.Tenant) {
	patterns := []string{"*", "*.Read", "PowerApps.*", "PowerApps.Apps.Write", "PowerApps.Apps.Delete", "PowerAutomate.Flows.*"}
	for i := range 3 {
		def := authz.RoleDefinition{ID: fmt.Sprint("r", i), Name: fmt.Sprint("Role ", i), AssignableScopes: []string{"/tenants/{0}"}}
		def.Permissions = []string{d.one(patterns...)}
		if d.in(2) {
			def.Permissions = append(def.Permissions, d.one(patterns...))
		}
		if d.in(2) {
			def.PermissionsExceptions = []string{d.one(patterns[1:]...)}
		}
		t.RoleDefinitions = append(t.RoleDefinitions, def)
	}
	custom := authz.RoleDefinition{ID: "c1", Name: "Custom", Environment: "e1", TeamOnly: d.in(2)}
	for range 1 + d.IntN(3) {
		custom.Privileges = append(custom.Privileges, fmt.Sprintf("Dataverse.%s.%s@%s", d.one("Account", "Order", "Currency"),
			d.one("Read", "Write", "ALL8"), d.one("User", "BusinessUnit", "ParentChild", "Organization")))
	}
	t.RoleDefinitions = append(t.RoleDefinitions, custom)
}

func (d dice) database(t *snapshot.Tenant, people []authz.Principal) {
	unit := func(environment string) string {
		if environment == "e1" {
			return d.one("b0", "b1", "b2")
		}
		return ""
	}
	for _, environment := range []string{"e1", "e2"} {
		for _, p := range people {
			if d.in(3) || p == app("u1") {
				continue
			}
			t.Users = append(t.Users, snapshot.EnvironmentUser{Environment: environment, Principal: p, BusinessUnit: unit(environment), Disabled: d.in(8)})
		}
		for i := range 3 {
			team := snapshot.Team{ID: fmt.Sprint(environment, "team", i), Environment: environment, BusinessUnit: unit(environment), Kind: authz.OwnerTeamHolder}
			if i == 2 {
				team.Kind, team.Group = authz.GroupTeamHolder, d.one("g1", "g3", "g5", "g9")
			}
			for _, p := range people {
				if i < 2 && d.in(3) && !slices.Contains(team.Members, p) {
					team.Members = append(team.Members, p)
				}
			}
			t.Teams = append(t.Teams, team)
		}
	}
}

func (d dice) assignments(t *snapshot.Tenant, people []authz.Principal) {
	holders := append(slices.Clone(people), group("g1"), group("g2"), group("g3"), group("g4"), group("g5"), group("g9"), group("g8"), role("dr1"), role("dr2"))
	scopes := []string{"", "", "/environmentGroups/eg1", "/environmentGroups/eg2", "/environments/e1", "/environments/e2", "/environments/e3", "/environments/e4",
		"/environments/e1/powerapps/a1", "/environments/e3/powerapps/a1", "/environments/e1/businessUnits/b1"}
	add := func(p authz.Principal, role, scope string, effect authz.AssignmentEffect) {
		a := snapshot.RoleAssignment{
			ID: fmt.Sprintf("a%03d", d.IntN(1000)), Principal: p, RoleDefinitionID: role, Scope: authz.Scope("/tenants/" + t.ID + scope), Effect: effect,
		}
		switch d.IntN(8) {
		case 0:
			a.Expires = now
		case 1:
			a.Expires = now + 1
		}
		if !slices.ContainsFunc(t.RoleAssignments, func(b snapshot.RoleAssignment) bool {
			return a.ID == b.ID || a.Principal.Key() == b.Principal.Key() && a.RoleDefinitionID == b.RoleDefinitionID && a.Scope == b.Scope
		}) {
			t.RoleAssignments = append(t.RoleAssignments, a)
		}
	}
	for range 6 + d.IntN(12) {
		effect := authz.AssignAllow
		switch d.IntN(9) {
		case 0:
			effect = authz.AssignForbid
		case 1, 2:
			effect = authz.AssignDeny
		}
		add(holders[d.IntN(len(holders))], d.one(reader, contributor, "r0", "r1", "r2"), d.one(scopes...), effect)
	}
	for range 2 + d.IntN(8) { // security roles
		environment := d.one("e1", "e1", "e2")
		holder := team(fmt.Sprint(environment, "team", d.IntN(3)))
		if d.in(2) {
			holder = holders[d.IntN(len(holders))]
		}
		if d.in(5) {
			add(holder, siteRole, "/environments/"+environment+d.one("/websites/w1", "/websites/w2", ""), authz.AssignAllow)
			continue
		}
		id, scope := d.one(maker, maker, salesperson, delegate, delegate, delegate, teamRole), "/environments/"+environment
		if environment == "e1" {
			id, scope = d.one(id, "c1"), scope+d.one("", "/businessUnits/b0", "/businessUnits/b1", "/businessUnits/b2")
		}
		add(holder, id, scope, authz.AssignAllow)
	}
}
