package reverse_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/reverse"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func assign(id string, p authz.Principal, role, below string) snapshot.RoleAssignment {
	return snapshot.RoleAssignment{ID: id, Principal: p, RoleDefinitionID: role, Scope: authz.Scope("/tenants/t1" + below), Effect: authz.AssignAllow}
}

func with(a snapshot.RoleAssignment, effect authz.AssignmentEffect, expires int64) snapshot.RoleAssignment {
	a.Effect, a.Expires = effect, expires
	return a
}

// office is a tenant in which everything happens once.
func office() *snapshot.Data {
	return &snapshot.Data{Tenants: []snapshot.Tenant{
		{ID: "t2"},
		{
			ID: "t1", DirectoryComplete: true,
			EnvironmentGroups: []authz.EnvironmentGroup{{ID: "eg1", Environments: []string{"e1"}}},
			Environments:      []snapshot.Environment{{ID: "e1", Dataverse: true}, {ID: "e2"}},
			BusinessUnits:     []authz.BusinessUnit{{ID: "root", Environment: "e1"}, {ID: "sales", Environment: "e1", Parent: "root"}},
			Principals:        []snapshot.Principal{{Principal: user("disabled"), Disabled: true}},
			Groups: []snapshot.Group{
				{ID: "all", Members: []authz.Principal{user("ann"), user("denied"), user("disabled"), user("forbidden"), group("inner"), group("outside")}},
				{ID: "inner", Members: []authz.Principal{user("ann"), user("ivy"), app("bot")}},
			},
			Users: []snapshot.EnvironmentUser{{Environment: "e1", Principal: user("ann"), BusinessUnit: "sales"}, {Environment: "e1", Principal: user("boss"), BusinessUnit: "root"}},
			Teams: []snapshot.Team{{ID: "sellers", Environment: "e1", Kind: authz.OwnerTeamHolder, BusinessUnit: "sales", Members: []authz.Principal{user("ann"), user("ghost")}}},
			RoleAssignments: []snapshot.RoleAssignment{
				assign("a1", group("all"), contributor, "/environments/e1"),
				assign("a2", user("boss"), contributor, ""),
				with(assign("a3", user("denied"), contributor, "/environments/e1"), authz.AssignDeny, 0),
				with(assign("a4", user("forbidden"), reader, ""), authz.AssignForbid, 0),
				with(assign("a5", user("late"), contributor, "/environments/e1"), authz.AssignAllow, now),
				with(assign("a6", user("soon"), contributor, "/environments/e1"), authz.AssignAllow, now+1),
				assign("a7", role("admins"), contributor, "/environmentGroups/eg1"),
				assign("a8", user("unit"), maker, "/environments/e1/businessUnits/sales"),
				assign("a9", team("sellers"), salesperson, "/environments/e1"),
				assign("b1", user("boss"), maker, "/environments/e1"),
			},
		},
	}}
}

// who asks and prints the answer, an item a line.
func who(t *testing.T, s *snapshot.Store, permission, below string) string {
	t.Helper()
	var b strings.Builder
	read(t, s, func(r *snapshot.Reader) {
		list, err := questions(0).WhoCan(r, reverse.WhoCan{Tenant: "t1", Permission: permission, Scope: "/tenants/t1" + below})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range list.Items {
			fmt.Fprintf(&b, "%v by %s", h.Principal, h.Assignment.ID)
			if h.Membership != reverse.Known {
				fmt.Fprintf(&b, " %v", h.Membership)
			}
			if h.Reach != authz.NoReach {
				fmt.Fprintf(&b, " reach %v", h.Reach)
			}
			if len(h.Via) > 0 {
				fmt.Fprintf(&b, " via %v", h.Via)
			}
			b.WriteByte('\n')
		}
	})
	return b.String()
}

func TestWhoCanListsEverybodyOnceAndNobodyElse(t *testing.T) {
	s := openStore(t, office())
	for _, c := range []struct{ name, permission, below, want string }{
		{
			"DENY, FORBID, expired and disabled are left out, and nobody is listed twice",
			"PowerApps.Apps.Read", "/environments/e1", `User ann by a1 via [Group all]
User ivy by a1 via [Group all Group inner]
ApplicationUser bot by a1 via [Group all Group inner]
Group outside by a1 UNKNOWN via [Group all]
User soon by a6
User boss by b1
User unit by a8
DirectoryRole admins by a7 UNKNOWN
`,
		},
		{
			"the exception of a role is not given; what the role of a database gives at its environment is",
			"PowerApps.Apps.Delete", "/environments/e1", "User boss by b1\nUser unit by a8\n",
		},
		{
			"a role held in a business unit is good for the environment and all that is in it",
			"PowerApps.Apps.Delete", "/environments/e1/powerapps/a7", "User boss by b1\nUser unit by a8\n",
		},
		{
			"at the scope of that business unit it is listed once",
			"PowerApps.Apps.Delete", "/environments/e1/businessUnits/sales", "User boss by b1\nUser unit by a8\n",
		},
		{"at another environment the tenant's assignments alone count", "PowerApps.Apps.Update", "/environments/e2", "User boss by a2\n"},
		{"at the tenant, too, without regard to case", "powerapps.apps.UPDATE", "", "User boss by a2\n"},
		{
			"of a table, whoever reaches all of it, and whoever reaches less; who is no user of the environment is not",
			"Dataverse.Account.Read", "/environments/e1", `User ann by a9 reach BusinessUnit via [Team sellers]
User boss by b1 reach Organization
`,
		},
		{"a privilege that nobody holds", "Dataverse.Currency.Write", "/environments/e1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, who(t, s, c.permission, c.below)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestGroupsOfADirectoryThatIsNotCompleteAreListedThemselves(t *testing.T) {
	data := office()
	data.Tenants[1].DirectoryComplete = false
	got := who(t, openStore(t, data), "PowerAutomate.Flows.Create", "/environments/e1")
	for _, want := range []string{"Group all by a1 PARTIAL\n", "Group inner by a1 PARTIAL via [Group all]\n", "Group outside by a1 UNKNOWN via [Group all]\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}

func TestWhatCannotBeUnderstoodIsRefused(t *testing.T) {
	s := openStore(t, office())
	q := questions(0)
	subject, err := q.SubjectOf("t1", user("ann"))
	if err != nil {
		t.Fatal(err)
	}
	e1 := "/tenants/t1/environments/e1"
	read(t, s, func(r *snapshot.Reader) {
		for _, c := range []struct {
			name, field string
			unlisted    bool
			ask         func() error
		}{
			{"tenant", "Tenant", false, func() error {
				_, err := q.WhoCan(r, reverse.WhoCan{Tenant: "t9", Permission: "PowerApps.Apps.Read"})
				return err
			}},
			{"permission", "Permission", false, func() error {
				_, err := q.WhoCan(r, reverse.WhoCan{Tenant: "t1", Permission: "PowerApps.Apps.Fly"})
				return err
			}},
			{"scope of another tenant", "Scope", false, func() error {
				_, err := q.WhoCan(r, reverse.WhoCan{Tenant: "t1", Permission: "PowerApps.Apps.Read", Scope: "/tenants/t2"})
				return err
			}},
			{"scope that is not listed", "Scope", true, func() error {
				_, err := q.WhatCan(r, reverse.WhatCan{Tenant: "t1", Subject: subject, Scope: "/tenants/t1/environments/e9"})
				return err
			}},
			{"scope that is none", "Scope", false, func() error {
				_, err := q.WhatCan(r, reverse.WhatCan{Tenant: "t1", Subject: subject, Scope: "e1"})
				return err
			}},
			{"table at the tenant", "Scope", false, func() error {
				_, err := q.WhoCan(r, reverse.WhoCan{Tenant: "t1", Permission: "Dataverse.Account.Read"})
				return err
			}},
			{"environment without a database", "Scope", false, func() error {
				_, err := q.WhoCan(r, reverse.WhoCan{Tenant: "t1", Permission: "Dataverse.Account.Read", Scope: "/tenants/t1/environments/e2"})
				return err
			}},
			{"table", "Permission", false, func() error {
				_, err := q.WhoCan(r, reverse.WhoCan{Tenant: "t1", Permission: "Dataverse.Acount.Read", Scope: e1})
				return err
			}},
			{"privilege", "Permission", false, func() error {
				_, err := q.WhereCan(r, reverse.WhereCan{Tenant: "t1", Subject: subject, Permission: "Dataverse.Account.Reed"})
				return err
			}},
			{"subject of another tenant", "Subject", false, func() error {
				_, err := q.WhereCan(r, reverse.WhereCan{Tenant: "t2", Subject: subject, Permission: "PowerApps.Apps.Read"})
				return err
			}},
			{"nobody", "Subject", false, func() error {
				_, err := q.WhatCan(r, reverse.WhatCan{Tenant: "t1"})
				return err
			}},
			{"a team", "Principal", false, func() error {
				_, err := q.SubjectOf("t1", team("sellers"))
				return err
			}},
			{"page size", "Page.Size", false, func() error {
				_, err := q.WhatCan(r, reverse.WhatCan{Tenant: "t1", Subject: subject, Page: reverse.Page{Size: 1001}})
				return err
			}},
			{"page token", "Page.Token", false, func() error {
				_, err := q.WhatCan(r, reverse.WhatCan{Tenant: "t1", Subject: subject, Page: reverse.Page{Token: "e30"}})
				return err
			}},
		} {
			var wrong *reverse.Error
			if err := c.ask(); !errors.As(err, &wrong) || wrong.Field != c.field || wrong.Unlisted != c.unlisted {
				t.Errorf("%s: got %v, want an error about %s, unlisted %v", c.name, err, c.field, c.unlisted)
			}
		}
	})
}

func TestATokenIsGoodForItsQuestionAlone(t *testing.T) {
	s := openStore(t, office())
	read(t, s, func(r *snapshot.Reader) {
		ask := reverse.WhoCan{Tenant: "t1", Permission: "PowerApps.Apps.Read", Scope: "/tenants/t1/environments/e1", Page: reverse.Page{Size: 1}}
		first, err := questions(0).WhoCan(r, ask)
		if err != nil || first.Next == "" {
			t.Fatalf("%+v, %v", first, err)
		}
		other := ask
		other.Page.Token, other.Permission = first.Next, "PowerApps.Apps.Update"
		if _, err := questions(0).WhoCan(r, other); err == nil {
			t.Error("the token of one permission was taken for another")
		}
		ask.Page = reverse.Page{Size: 1000, Token: first.Next}
		if rest, err := questions(0).WhoCan(r, ask); err != nil || len(rest.Items) != 7 {
			t.Errorf("got %d items and %v, want the other 7", len(rest.Items), err)
		}
	})
}

// An answer whose data changes between two pages goes on, and says so.
func TestAnAnswerGoesOnAfterAChangeAndSaysSo(t *testing.T) {
	s := openStore(t, office())
	ask := reverse.WhoCan{Tenant: "t1", Permission: "PowerApps.Apps.Read", Scope: "/tenants/t1/environments/e1", Page: reverse.Page{Size: 2}}
	page := func() reverse.List[reverse.Holder] {
		t.Helper()
		var list reverse.List[reverse.Holder]
		read(t, s, func(r *snapshot.Reader) {
			var err error
			if list, err = questions(0).WhoCan(r, ask); err != nil {
				t.Fatal(err)
			}
		})
		return list
	}
	first := page()
	if first.Changed || first.Items[1].Principal != user("ivy") {
		t.Fatalf("%+v", first)
	}
	edit(t, s, func(e *snapshot.Edit) error { _, err := e.RemoveGroup("t1", "nobody's"); return err })
	ask.Page.Token, ask.Page.Size = first.Next, 1000
	same := page()
	if same.Changed {
		t.Error("a revision that changed no data is said to have changed something")
	}
	// The group that the page ended in is no longer one of those that count: whoever the
	// assignment stands for is gone through anew, rather than left out.
	edit(t, s, func(e *snapshot.Edit) error {
		return e.PutGroup("t1", snapshot.Group{ID: "all", Members: []authz.Principal{user("ann"), user("zoe")}})
	})
	after := page()
	if !after.Changed || !slices.ContainsFunc(after.Items, func(h reverse.Holder) bool { return h.Principal == user("zoe") }) {
		t.Errorf("after the change: %+v", after)
	}
	// The scope is gone.
	edit(t, s, func(e *snapshot.Edit) error {
		return e.PutEnvironment("t1", snapshot.Environment{ID: "e1", Dataverse: true}, "")
	})
	ask.Page.Token = token(t, first.Next, `"c":"/tenants/t1/environments/e1"`, `"c":"/tenants/t1/environmentGroups/eg1"`)
	read(t, s, func(r *snapshot.Reader) {
		if _, err := questions(0).WhoCan(r, ask); err == nil {
			t.Error("a place at a scope that the environment no longer inherits from was taken")
		}
	})
}

// All pages are decided as of the time of the first: nobody falls between two of them.
func TestPagesAreDecidedAsOfOneTime(t *testing.T) {
	data, clock := office(), now
	s, err := snapshot.Open(t.Context(), snapshot.Options{
		Dir: t.TempDir(), Vocabulary: vocabulary, ShippedRoles: shippedRoles(), StandardTables: standardTables(), CacheBytes: 1 << 20,
		Now: func() time.Time { return time.Unix(clock, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := s.Replace(t.Context(), data, snapshot.Change{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	ask := reverse.WhoCan{Tenant: "t1", Permission: "PowerApps.Apps.Read", Scope: "/tenants/t1/environments/e1", Page: reverse.Page{Size: 1}}
	soon := false
	for range 20 {
		var list reverse.List[reverse.Holder]
		read(t, s, func(r *snapshot.Reader) {
			if list, err = questions(0).WhoCan(r, ask); err != nil {
				t.Fatal(err)
			}
		})
		for _, h := range list.Items {
			soon = soon || h.Principal == user("soon")
		}
		if ask.Page.Token = list.Next; list.Next == "" {
			break
		}
		clock++
	}
	if !soon {
		t.Error("whose assignment expired between two pages is in none")
	}
}

func TestAssignmentsThatTheAskerMayNotSeeAreNotShown(t *testing.T) {
	s := openStore(t, office())
	read(t, s, func(r *snapshot.Reader) {
		list, err := questions(0).WhoCan(r, reverse.WhoCan{
			Tenant: "t1", Permission: "PowerApps.Apps.Update", Scope: "/tenants/t1/environments/e1",
			May: func(scope authz.Scope) bool { return scope != "/tenants/t1/environmentGroups/eg1" },
		})
		if err != nil {
			t.Fatal(err)
		}
		hidden := 0
		for _, h := range list.Items {
			if h.Assignment == nil {
				hidden++
				if h.Principal != role("admins") {
					t.Errorf("the assignment of %v is not shown", h.Principal)
				}
			}
		}
		if hidden != 1 {
			t.Errorf("%d are not shown, want 1", hidden)
		}
	})
}

// A long run of candidates that are refused ends a page, and not the answer.
func TestAPageOfRefusedCandidatesIsCutShort(t *testing.T) {
	crowd := snapshot.Group{ID: "crowd"}
	for i := range 5000 {
		crowd.Members = append(crowd.Members, user(fmt.Sprintf("u%04d", i)))
	}
	s := openStore(t, &snapshot.Data{Tenants: []snapshot.Tenant{{
		ID: "t1", DirectoryComplete: true, Groups: []snapshot.Group{crowd},
		RoleAssignments: []snapshot.RoleAssignment{
			assign("a1", group("crowd"), contributor, ""), with(assign("a2", group("crowd"), reader, ""), authz.AssignForbid, 0),
			assign("b1", user("last"), reader, ""),
		},
	}}})
	ask := reverse.WhoCan{Tenant: "t1", Permission: "PowerApps.Apps.Read"}
	var found []authz.Principal
	n := 0
	for ; n < 5000; n++ {
		var list reverse.List[reverse.Holder]
		read(t, s, func(r *snapshot.Reader) {
			var err error
			if list, err = questions(5000).WhoCan(r, ask); err != nil {
				t.Fatal(err)
			}
		})
		for _, h := range list.Items {
			found = append(found, h.Principal)
		}
		if ask.Page.Token = list.Next; list.Next == "" {
			break
		}
	}
	if n < 10 || !slices.Equal(found, []authz.Principal{user("last")}) {
		t.Errorf("after %d pages: %v", n+1, found)
	}
}

func TestADisabledCallerCanNothingNowhere(t *testing.T) {
	s := openStore(t, office())
	subject, err := questions(0).SubjectOf("t1", user("disabled"))
	if err != nil {
		t.Fatal(err)
	}
	read(t, s, func(r *snapshot.Reader) {
		what, err := questions(0).WhatCan(r, reverse.WhatCan{Tenant: "t1", Subject: subject, Scope: "/tenants/t1/environments/e1"})
		if err != nil || len(what.Items) > 0 {
			t.Errorf("what: %+v, %v", what, err)
		}
		where, err := questions(0).WhereCan(r, reverse.WhereCan{Tenant: "t1", Subject: subject, Permission: "PowerApps.Apps.Read"})
		if err != nil || len(where.Items) > 0 {
			t.Errorf("where: %+v, %v", where, err)
		}
	})
}

func TestGroupsOfATokenCount(t *testing.T) {
	s := openStore(t, office())
	subject, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: user("stranger"), Groups: []string{"outside"}})
	if err != nil {
		t.Fatal(err)
	}
	read(t, s, func(r *snapshot.Reader) {
		where, err := questions(0).WhereCan(r, reverse.WhereCan{Tenant: "t1", Subject: subject, Permission: "PowerApps.Apps.Update"})
		if err != nil || len(where.Items) != 1 || where.Items[0].Scope != "/tenants/t1/environments/e1" || where.Items[0].Assignment.ID != "a1" {
			t.Errorf("%+v, %v", where, err)
		}
	})
}

func edit(t *testing.T, s *snapshot.Store, do func(e *snapshot.Edit) error) {
	t.Helper()
	if _, err := s.Update(t.Context(), snapshot.Change{Source: "test"}, do); err != nil {
		t.Fatal(err)
	}
}

// token changes something in a token.
func token(t *testing.T, from, old, changed string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(from)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("the token is %q, %v", text, err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(strings.ReplaceAll(string(text), old, changed)))
}
