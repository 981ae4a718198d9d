package snapshot_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

var (
	reading        = authz.Privileges(authz.ReadPrivilege)
	readingWriting = authz.Privileges(authz.ReadPrivilege, authz.WritePrivilege)
)

// withItems is the sample with two databases, e2 with business units and e4 without, and
// something of every kind in them, in canonical order.
func withItems() *snapshot.Data {
	d := sample()
	t := &d.Tenants[0]
	t.Environments = append(t.Environments, snapshot.Environment{ID: "e4", Dataverse: true})
	t.Tables = []snapshot.Table{
		{Environment: "e2", Table: authz.Table{Name: "Account", SecuredColumns: []string{"Rating"}}},
		{Environment: "e2", Table: authz.Table{Name: "new_Bank", Classes: authz.CustomTables, Ownership: authz.UserOwned, EntitySet: "new_banks", SecuredColumns: []string{"PIN", "limit"}}},
		{Environment: "e4", Table: authz.Table{Name: "new_Bank", Classes: authz.CustomTables, Ownership: authz.OrganizationOwned}},
	}
	t.Users = []snapshot.EnvironmentUser{
		{Environment: "e2", Principal: user("ada"), BusinessUnit: "b1"},
		{Environment: "e2", Principal: app("bot"), ServiceInstalled: true},
		{Environment: "e2", Principal: user("eve"), BusinessUnit: "b2"},
		{Environment: "e2", Principal: user("off"), BusinessUnit: "b1", Disabled: true},
		{Environment: "e4", Principal: user("ada")},
	}
	t.Teams = []snapshot.Team{
		{ID: "field", Environment: "e2", DisplayName: "Field", Kind: authz.OwnerTeamHolder, BusinessUnit: "b2", Members: []authz.Principal{user("ada"), app("bot")}},
		{ID: "group", Environment: "e2", Kind: authz.GroupTeamHolder, BusinessUnit: "b1", Group: "g2"},
		{ID: "access", Environment: "e2", Kind: authz.AccessTeamHolder, Members: []authz.Principal{user("ada")}},
		{ID: "others", Environment: "e4", Kind: authz.OwnerTeamHolder, Members: []authz.Principal{user("ada")}},
	}
	t.ColumnProfiles = []snapshot.ColumnProfile{{
		ID: "pins", Environment: "e2", DisplayName: "PINs",
		Columns:    []snapshot.ColumnRight{{Table: "Account", Column: "rating", Rights: reading}, {Table: "new_Bank", Column: "PIN", Rights: readingWriting}},
		Principals: []authz.Principal{user("eve"), team("field")},
	}}
	t.Shares = []snapshot.Share{
		{Environment: "e2", Table: "Account", Record: "r1", Share: authz.Share{WithOrganization: true, Rights: reading}},
		{Environment: "e2", Table: "Account", Record: "r1", Share: authz.Share{With: user("eve"), Rights: readingWriting}},
		{Environment: "e2", Table: "Account", Record: "r1", Share: authz.Share{With: team("access"), Rights: reading}},
		{Environment: "e2", Table: "new_Bank", Record: "r22", Share: authz.Share{With: app("bot"), Rights: reading}},
	}
	t.Apps = []snapshot.App{{
		ID: "app1", Environment: "e2", DisplayName: "Banking", SharedWith: []authz.Principal{user("eve"), group("g1"), team("field")}, SharedWithEveryone: true,
		Tables: []snapshot.TableUse{{Table: "Account"}, {Table: "new_Bank", Privileges: readingWriting}},
	}}
	t.Flows = []snapshot.Flow{{
		ID: "flow1", Environment: "e2", DisplayName: "Nightly", Maker: user("ada"), RunOnly: []authz.Principal{user("eve"), group("g1")},
		Connections: []snapshot.Connection{
			{Name: "data", Connector: snapshot.DataverseConnector, Provider: snapshot.MakerProvides, Tables: []snapshot.TableUse{{Table: "Account", Privileges: reading}}},
			{Name: "mail", Connector: "office365", Provider: snapshot.RunOnlyUserProvides},
			{Name: "later", Connector: "sql"},
		},
	}}
	slices.SortFunc(t.Flows[0].Connections, func(a, b snapshot.Connection) int { return cmpText(a.Name, b.Name) })
	t.RoleDefinitions = append(t.RoleDefinitions,
		authz.RoleDefinition{ID: "s1", Name: "Bankers", Environment: "e2", BusinessUnit: "b1", Privileges: []string{"Dataverse.Account.Read@ParentChild", "Dataverse.new_Bank.CRWD@BusinessUnit"}, Terms: &authz.RoleTerms{AssignableRoles: []string{basicRole}}},
		authz.RoleDefinition{ID: "s2", Name: "Clerks", Environment: "e2", TeamOnly: true, Privileges: []string{"Dataverse.new_Bank.Read@User"}},
	)
	expiring := allow("s2", user("ada"), "s1", "/environments/e2/businessUnits/b2")
	expiring.Expires = 2_000
	t.RoleAssignments = append(t.RoleAssignments,
		allow("s1", user("ada"), basicRole, "/environments/e2"),
		expiring,
		allow("s3", team("field"), "s2", "/environments/e2"),
		allow("s4", team("group"), basicRole, "/environments/e2"),
		allow("s5", user("off"), basicRole, "/environments/e2"),
	)
	return d
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// putAll puts everything of a tenant, one thing after the other.
func putAll(e *snapshot.Edit, t *snapshot.Tenant) error {
	errs := []error{e.PutTenant(t.ID, t.DirectoryComplete)}
	groupOf := map[string]string{}
	environments := slices.Clone(t.Environments)
	for _, g := range t.EnvironmentGroups {
		errs = append(errs, e.PutEnvironmentGroup(t.ID, g.ID))
		for _, id := range g.Environments {
			groupOf[id] = g.ID
			if !slices.ContainsFunc(environments, func(x snapshot.Environment) bool { return x.ID == id }) {
				environments = append(environments, snapshot.Environment{ID: id})
			}
		}
	}
	for _, x := range environments {
		errs = append(errs, e.PutEnvironment(t.ID, x, groupOf[x.ID]))
	}
	errs = append(errs,
		all(t.BusinessUnits, func(x authz.BusinessUnit) error { return e.PutBusinessUnit(t.ID, x) }),
		all(t.Principals, func(x snapshot.Principal) error { return e.PutPrincipal(t.ID, x) }),
		all(t.Groups, func(x snapshot.Group) error { return e.PutGroup(t.ID, x) }),
		all(t.Tables, func(x snapshot.Table) error { return e.PutTable(t.ID, x) }),
		all(t.Users, func(x snapshot.EnvironmentUser) error { return e.PutEnvironmentUser(t.ID, x) }),
		all(t.Teams, func(x snapshot.Team) error { return e.PutTeam(t.ID, x) }),
		all(t.ColumnProfiles, func(x snapshot.ColumnProfile) error { return e.PutColumnProfile(t.ID, x) }),
		all(t.Shares, func(x snapshot.Share) error { return e.PutShare(t.ID, x) }),
		all(t.Apps, func(x snapshot.App) error { return e.PutApp(t.ID, x) }),
		all(t.Flows, func(x snapshot.Flow) error { return e.PutFlow(t.ID, x) }),
		all(t.RoleDefinitions, func(x authz.RoleDefinition) error { return e.PutRoleDefinition(t.ID, x) }),
		all(t.RoleAssignments, func(x snapshot.RoleAssignment) error { return e.PutRoleAssignment(t.ID, x) }))
	return errors.Join(errs...)
}

func all[T any](items []T, put func(T) error) error {
	var errs []error
	for _, item := range items {
		errs = append(errs, put(item))
	}
	return errors.Join(errs...)
}

// Delivered, streamed, put one by one, put after something else, written anew and opened
// again: it is always the same, byte for byte.
func TestWhatEnvironmentsHoldIsTheSameHoweverItCame(t *testing.T) {
	ways := map[string]func(s *snapshot.Store) error{
		"delivered": func(s *snapshot.Store) error {
			_, err := s.Replace(t.Context(), withItems(), snapshot.Change{})
			return err
		},
		"delivered over something else": func(s *snapshot.Store) error {
			_, err1 := s.Replace(t.Context(), sample(), snapshot.Change{})
			_, err2 := s.Replace(t.Context(), withItems(), snapshot.Change{})
			return errors.Join(err1, err2)
		},
		"streamed": func(s *snapshot.Store) error {
			d := withItems()
			assigned := make([][]snapshot.RoleAssignment, len(d.Tenants))
			for i := range d.Tenants {
				assigned[i], d.Tenants[i].RoleAssignments = d.Tenants[i].RoleAssignments, nil
			}
			_, err := s.Deliver(t.Context(), &snapshot.Delivery{Tenants: d.Tenants, RoleAssignments: func(yield func(*snapshot.DeliveredAssignment) error) error {
				for i := range assigned {
					for _, a := range assigned[i] {
						if err := yield(&snapshot.DeliveredAssignment{RoleAssignment: a, Tenant: i}); err != nil {
							return err
						}
					}
				}
				return nil
			}}, snapshot.Change{})
			return err
		},
		"put one by one": func(s *snapshot.Store) error {
			_, err := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error {
				for _, x := range withItems().Tenants {
					if err := putAll(e, &x); err != nil {
						return err
					}
				}
				return nil
			})
			return err
		},
		"put one by one, each a change": func(s *snapshot.Store) error {
			_, err := s.Replace(t.Context(), sample(), snapshot.Change{})
			change := func(edit func(e *snapshot.Edit) error) error {
				_, err := s.Update(t.Context(), snapshot.Change{}, edit)
				return err
			}
			d := withItems()
			x := &d.Tenants[0]
			return errors.Join(err,
				change(func(e *snapshot.Edit) error {
					return e.PutEnvironment("t1", snapshot.Environment{ID: "e4", Dataverse: true}, "")
				}),
				all(x.Tables, func(i snapshot.Table) error {
					return change(func(e *snapshot.Edit) error { return e.PutTable("t1", i) })
				}),
				all(x.Users, func(i snapshot.EnvironmentUser) error {
					return change(func(e *snapshot.Edit) error { return e.PutEnvironmentUser("t1", i) })
				}),
				all(x.Teams, func(i snapshot.Team) error { return change(func(e *snapshot.Edit) error { return e.PutTeam("t1", i) }) }),
				all(x.ColumnProfiles, func(i snapshot.ColumnProfile) error {
					return change(func(e *snapshot.Edit) error { return e.PutColumnProfile("t1", i) })
				}),
				all(x.Shares, func(i snapshot.Share) error {
					return change(func(e *snapshot.Edit) error { return e.PutShare("t1", i) })
				}),
				all(x.Apps, func(i snapshot.App) error { return change(func(e *snapshot.Edit) error { return e.PutApp("t1", i) }) }),
				all(x.Flows, func(i snapshot.Flow) error { return change(func(e *snapshot.Edit) error { return e.PutFlow("t1", i) }) }),
				all(x.RoleDefinitions, func(i authz.RoleDefinition) error {
					return change(func(e *snapshot.Edit) error { return e.PutRoleDefinition("t1", i) })
				}),
				all(x.RoleAssignments, func(i snapshot.RoleAssignment) error {
					return change(func(e *snapshot.Edit) error { return e.PutRoleAssignment("t1", i) })
				}),
			)
		},
		"written anew": func(s *snapshot.Store) error {
			_, err := s.Replace(t.Context(), withItems(), snapshot.Change{})
			s.FailWrites()
			_, err2 := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error { return e.PutNote("b", "k", []byte{1}) })
			return errors.Join(err, err2)
		},
		"all else removed": func(s *snapshot.Store) error {
			d := withItems()
			x := &d.Tenants[0]
			x.Tables = append(x.Tables, snapshot.Table{Environment: "e4", Table: authz.Table{Name: "z", Ownership: authz.UserOwned}})
			x.Users = append(x.Users, snapshot.EnvironmentUser{Environment: "e4", Principal: app("ada2")})
			x.Teams = append(x.Teams, snapshot.Team{ID: "zz", Environment: "e4", Kind: authz.OwnerTeamHolder, Members: []authz.Principal{user("zoe"), app("ada")}})
			x.ColumnProfiles = append(x.ColumnProfiles, snapshot.ColumnProfile{ID: "p", Environment: "e4"})
			x.Shares = append(x.Shares, snapshot.Share{Environment: "e4", Table: "Z", Record: "r", Share: authz.Share{WithOrganization: true, Rights: reading}})
			x.Apps = append(x.Apps, snapshot.App{ID: "a", Environment: "e4"})
			x.Flows = append(x.Flows, snapshot.Flow{ID: "f", Environment: "e4"})
			_, err := s.Replace(t.Context(), d, snapshot.Change{})
			_, err2 := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error {
				for _, remove := range []func() (bool, error){
					func() (bool, error) { return e.RemoveFlow("t1", "e4", "f") }, func() (bool, error) { return e.RemoveApp("t1", "e4", "a") },
					func() (bool, error) {
						return e.RemoveShare("t1", snapshot.Share{Environment: "e4", Table: "z", Record: "r", Share: authz.Share{WithOrganization: true}})
					},
					func() (bool, error) { return e.RemoveColumnProfile("t1", "e4", "p") }, func() (bool, error) { return e.RemoveTeam("t1", "zz") },
					func() (bool, error) { return e.RemoveEnvironmentUser("t1", "e4", user("ada2")) }, func() (bool, error) { return e.RemoveTable("t1", "e4", "Z") },
				} {
					if there, err := remove(); err != nil || !there {
						return fmt.Errorf("%t, %w", there, err)
					}
					if there, err := remove(); err != nil || there {
						return fmt.Errorf("again: %t, %w", there, err)
					}
				}
				return nil
			})
			return errors.Join(err, err2)
		},
	}
	want, err := snapshot.SumOf(withItems())
	if err != nil {
		t.Fatal(err)
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			o := options(t.TempDir())
			s := opened(t, o)
			if err := way(s); err != nil {
				t.Fatal(err)
			}
			for again := range 2 {
				if got := s.HeldDataSum(); got != want {
					t.Errorf("%d: the sum is %x, want %x", again, got, want)
				}
				d, err := s.Export(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(withItems(), d, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("exported (-want +got):\n%s", diff)
				}
				closed(t, s)
				s = opened(t, o) // which verifies every record
			}
			closed(t, s)
		})
	}
}

// What is read one by one is what was delivered.
func TestWhatEnvironmentsHoldIsReadOneByOne(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, withItems())
	want := withItems().Tenants[0]
	err := s.Read(t.Context(), func(r *snapshot.Reader) error {
		var got snapshot.Tenant
		for _, environment := range []string{"e1", "e2", "e3", "e4", "none"} {
			x, err := r.ItemsOf("t1", environment)
			if err != nil {
				return err
			}
			got.Tables, got.Users, got.ColumnProfiles = append(got.Tables, x.Tables...), append(got.Users, x.Users...), append(got.ColumnProfiles, x.ColumnProfiles...)
			got.Teams, got.Shares, got.Apps, got.Flows = append(got.Teams, x.Teams...), append(got.Shares, x.Shares...), append(got.Apps, x.Apps...), append(got.Flows, x.Flows...)
			got.RoleDefinitions = append(got.RoleDefinitions, x.Roles...)
		}
		wanted := snapshot.Tenant{
			Tables: want.Tables, Users: want.Users, ColumnProfiles: want.ColumnProfiles, Teams: want.Teams, Shares: want.Shares, Apps: want.Apps, Flows: want.Flows,
			RoleDefinitions: want.RoleDefinitions[1:],
		}
		if diff := cmp.Diff(wanted, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		check := func(what string, want, got any, ok bool, err error) {
			if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
				t.Errorf("%s: %t %v (-want +got):\n%s", what, ok, err, diff)
			}
		}
		table, ok, err := r.Table("t1", "e2", "NEW_bank")
		check("table", want.Tables[1], table, ok, err)
		bot, ok, err := r.EnvironmentUser("t1", "e2", user("bot"))
		check("user", want.Users[1], bot, ok, err)
		field, ok, err := r.Team("t1", "field")
		check("team", want.Teams[0], field, ok, err)
		pins, ok, err := r.ColumnProfile("t1", "e2", "pins")
		check("profile", want.ColumnProfiles[0], pins, ok, err)
		share, ok, err := r.Share("t1", snapshot.Share{Environment: "e2", Table: "NEW_BANK", Record: "r22", Share: authz.Share{With: user("bot")}})
		share.With = want.Shares[3].With // its type is not told by the key, and was not asked for
		check("share", want.Shares[3], share, ok, err)
		a, ok, err := r.App("t1", "e2", "app1")
		check("app", want.Apps[0], a, ok, err)
		f, ok, err := r.Flow("t1", "e2", "flow1")
		check("flow", want.Flows[0], f, ok, err)
		shares, err := r.SharesOf("t1", "e2", "account", "r1")
		check("shares", []authz.Share{want.Shares[0].Share, want.Shares[1].Share, want.Shares[2].Share}, shares, true, err)
		none, err := r.SharesOf("t1", "e2", "account", "r2")
		check("no shares", []authz.Share(nil), none, true, err)
		for _, absent := range []func() (bool, error){
			func() (bool, error) { _, ok, err := r.Table("t1", "e1", "new_Bank"); return ok, err },
			func() (bool, error) { _, ok, err := r.EnvironmentUser("t1", "e4", user("eve")); return ok, err },
			func() (bool, error) { _, ok, err := r.Team("t22", "field"); return ok, err },
			func() (bool, error) { _, ok, err := r.App("t1", "e4", "app1"); return ok, err },
		} {
			if ok, err := absent(); ok || err != nil {
				t.Errorf("%t %v", ok, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
