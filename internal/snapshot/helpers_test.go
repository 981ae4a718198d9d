package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestMain(m *testing.M) {
	if child, ok := children[os.Getenv(childVariable)]; ok {
		if err := child(); err != nil {
			panic(err) // which ends the child with a status that is not 0
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	readerRole      = "c886ad2e-27f7-4874-8381-5849b8d8a090"
	contributorRole = "ff954d61-a89a-4fbe-ace9-01c367b89f87"
	// The shipped security roles: for users and teams, one that is for what a team owns, one
	// that a group can hold, one of websites, and one that acts for others.
	basicRole    = "236750cd-45ae-4939-ab12-b24b920ced93"
	serviceRole  = "5e4b1ce0-0000-4000-8000-000000000001"
	makerRole    = "5e4b1ce0-0000-4000-8000-000000000002"
	siteRole     = "5e4b1ce0-0000-4000-8000-000000000003"
	delegateRole = "d892cc0b-28c7-4e88-bd92-72f2c366baed"
)

// securityRoles are shipped security roles, fewer and smaller than the product's.
func securityRoles() []authz.RoleDefinition {
	role := func(id, name, scope string, heldBy []authz.HolderKind, privileges ...string) authz.RoleDefinition {
		return authz.RoleDefinition{
			ID: id, Name: name, Category: authz.DataverseRoles, AssignableScopes: []string{scope}, Privileges: privileges,
			Permissions: []string{"PowerApps.Apps.Read"}, Terms: &authz.RoleTerms{HeldBy: heldBy, Database: authz.DatabaseRequired},
		}
	}
	anybody := []authz.HolderKind{authz.UserHolder, authz.ApplicationUserHolder, authz.OwnerTeamHolder, authz.GroupTeamHolder}
	const environment = "/tenants/{0}/environments/{1}"
	team := role(serviceRole, "Team Only", environment, anybody, "Dataverse.Account.Read@User")
	team.TeamOnly = true
	return []authz.RoleDefinition{
		role(basicRole, "Basic User", environment, anybody, "Dataverse.{core}.ALL8@User", "Dataverse.{orgShared}.Read@BusinessUnit"),
		team,
		role(makerRole, "Maker", environment, append(anybody, authz.GroupHolder), "Dataverse.Publisher.Read@Organization"),
		role(siteRole, "Website Owner", environment+"/websites/{2}", anybody[:1], "Dataverse.{site}.ALL8@User"),
		role(delegateRole, "Delegate", environment, anybody[:2], "Dataverse.User.ActOnBehalf"),
	}
}

// standardTables are tables that every database has, fewer than the product's.
func standardTables() []authz.Table {
	return []authz.Table{
		{Name: "Account", Classes: authz.CoreTables, Ownership: authz.UserOwned, EntitySet: "accounts"},
		{Name: "User", Classes: authz.SystemTables, Ownership: authz.BusinessUnitOwned, EntitySet: "systemusers"},
		{Name: "Publisher", Classes: authz.CustomizationTables, Ownership: authz.OrganizationOwned},
		{Name: "WebPage", Classes: authz.SiteTables, Ownership: authz.UserOwned},
	}
}

func vocabulary() *authz.Vocabulary {
	v, err := authz.NewVocabulary([]authz.Permission{
		"PowerApps.Apps.Read", "PowerApps.Apps.Create", "PowerApps.Apps.Update", "PowerApps.Apps.Delete",
		"PowerApps.Apps.Write", "PowerAutomate.Flows.Read", "PowerAutomate.Flows.Create",
	}, nil)
	if err != nil {
		panic(err)
	}
	return v
}

var theVocabulary = vocabulary()

func options(dir string) snapshot.Options {
	return snapshot.Options{
		Dir: dir, Vocabulary: theVocabulary, CacheBytes: 1 << 20, StandardTables: standardTables(),
		ShippedRoles: append([]authz.RoleDefinition{
			{ID: readerRole, Name: "Power Platform Reader", Permissions: []string{"*.Read"}},
			{ID: contributorRole, Name: "Power Platform Contributor", Permissions: []string{"*"}},
		}, securityRoles()...),
	}
}

// open opens a store that is closed when the test ends.
func open(t testing.TB, o snapshot.Options) *snapshot.Store {
	t.Helper()
	s, err := snapshot.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// opened opens a store that the test closes itself.
func opened(t testing.TB, o snapshot.Options) *snapshot.Store {
	t.Helper()
	s, err := snapshot.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func replace(t testing.TB, s *snapshot.Store, d *snapshot.Data) authz.Revision {
	t.Helper()
	r, err := s.Replace(t.Context(), d, snapshot.Change{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func closed(t testing.TB, s *snapshot.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func user(id string) authz.Principal  { return authz.Principal{Type: authz.User, ID: id} }
func app(id string) authz.Principal   { return authz.Principal{Type: authz.ApplicationUser, ID: id} }
func group(id string) authz.Principal { return authz.Principal{Type: authz.Group, ID: id} }
func team(id string) authz.Principal  { return authz.Principal{Type: authz.Team, ID: id} }
func directoryRole(id string) authz.Principal {
	return authz.Principal{Type: authz.DirectoryRole, ID: id}
}

// allow is a role assignment at a scope below the tenant t1.
func allow(id string, to authz.Principal, role, below string) snapshot.RoleAssignment {
	return snapshot.RoleAssignment{ID: id, Principal: to, RoleDefinitionID: role, Scope: authz.Scope("/tenants/t1" + below), Effect: authz.AssignAllow}
}

func deny(id string, to authz.Principal, role, below string) snapshot.RoleAssignment {
	a := allow(id, to, role, below)
	a.Effect = authz.AssignDeny
	return a
}

// sample is data with something of every kind, in canonical order.
func sample() *snapshot.Data {
	expiring := allow("a4", app("bot"), "r1", "/environments/e3")
	expiring.Expires, expiring.CreatedOn, expiring.CreatedBy = 1_900_000_000, 1_700_000_000, user("boss")
	forbid := allow("a5", group("g2"), "r1", "")
	forbid.Effect = authz.AssignForbid
	return &snapshot.Data{Tenants: []snapshot.Tenant{
		{
			ID: "t1", DirectoryComplete: true,
			EnvironmentGroups: []authz.EnvironmentGroup{{ID: "eg1", Environments: []string{"e1", "e2"}}, {ID: "eg2"}},
			Environments:      []snapshot.Environment{{ID: "e2", Dataverse: true}, {ID: "e3"}},
			BusinessUnits:     []authz.BusinessUnit{{ID: "b1", Environment: "e2"}, {ID: "b2", Environment: "e2", Parent: "b1"}},
			Principals: []snapshot.Principal{
				{Principal: user("ada"), DisplayName: "Ada", Mail: "ada@example.com"},
				{Principal: user("eve"), Disabled: true},
			},
			Groups: []snapshot.Group{
				{ID: "g1", DisplayName: "Makers", Members: []authz.Principal{user("ada"), user("eve"), app("bot")}},
				{ID: "g2", Members: []authz.Principal{group("g1")}},
			},
			RoleDefinitions: []authz.RoleDefinition{{
				ID: "r1", Name: "Flow Operator", Description: "Runs flows", Permissions: []string{"PowerAutomate.Flows.*"},
				PermissionsExceptions: []string{"PowerAutomate.Flows.Create"},
				AssignableScopes:      []string{"/tenants/{0}"}, RestrictedScopes: []string{"/tenants/{0}/environmentGroups/{1}"},
			}},
			RoleAssignments: []snapshot.RoleAssignment{
				allow("a1", user("ada"), readerRole, ""),
				allow("a2", group("g2"), contributorRole, "/environments/e1"),
				deny("a3", group("g1"), readerRole, "/environments/e2"),
				expiring,
				forbid,
				allow("a6", directoryRole("admins"), contributorRole, "/environmentGroups/eg1"),
			},
		},
		{ID: "t22"},
	}}
}

// withOwners is the sample with owners, in canonical order.
func withOwners() *snapshot.Data {
	d := sample()
	t := &d.Tenants[0]
	t.Principals = append(t.Principals, snapshot.Principal{Principal: app("bot"), Owners: []authz.Principal{user("ada"), group("g1")}})
	t.Groups[0].Owners = []authz.Principal{user("boss"), app("sync")}
	return d
}

// without returns the sample without the role assignment.
func without(d *snapshot.Data, id string) *snapshot.Data {
	t := &d.Tenants[0]
	t.RoleAssignments = slices.DeleteFunc(t.RoleAssignments, func(a snapshot.RoleAssignment) bool { return a.ID == id })
	return d
}

func subject(t testing.TB, spec authz.SubjectSpec) *authz.Subject {
	t.Helper()
	if spec.Tenant == "" {
		spec.Tenant = "t1"
	}
	s, err := authz.NewSubject(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func caller(t testing.TB, of authz.Principal, groups ...string) *authz.Subject {
	t.Helper()
	return subject(t, authz.SubjectSpec{Principal: of, Groups: groups})
}

// held returns the assignments that a subject holds, sorted, with "disabled" before them
// where it is.
func held(t testing.TB, s *snapshot.Store, of *authz.Subject) string {
	t.Helper()
	found, err := s.View(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	if found.Snapshot == nil {
		t.Fatal("a view without its snapshot")
	}
	return describe(found.View)
}

func describe(view *snapshot.View) string {
	var ids []string
	for _, g := range view.Grants.All() {
		ids = append(ids, g.AssignmentID)
	}
	slices.Sort(ids)
	if view.Disabled {
		ids = append([]string{"disabled"}, ids...)
	}
	return strings.Join(ids, " ")
}

// until waits until a condition holds that another goroutine brings about.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

func wantErr(t testing.TB, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

// copyDir copies the files of a data directory into a new one.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// files lists a data directory, with the size of each file.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if e.IsDir() {
			names = append(names, e.Name()+"/")
			continue
		}
		names = append(names, fmt.Sprintf("%s %d %v", e.Name(), info.Size(), info.Mode().Perm()))
	}
	return names
}
