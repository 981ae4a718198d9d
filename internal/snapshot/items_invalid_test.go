package snapshot_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// What does not fit is named, whether it is delivered with all the rest or put.
func TestWhatDoesNotFitInAnEnvironmentIsRefused(t *testing.T) {
	user1 := func(environment, unit string) snapshot.EnvironmentUser {
		return snapshot.EnvironmentUser{Environment: environment, Principal: user("new"), BusinessUnit: unit}
	}
	role := func(environment string, privileges ...string) authz.RoleDefinition {
		return authz.RoleDefinition{ID: "n1", Name: "New", Environment: environment, Privileges: privileges}
	}
	table := func(environment, name string) snapshot.Table {
		return snapshot.Table{Environment: environment, Table: authz.Table{Name: name, Ownership: authz.UserOwned}}
	}
	profile := func(table, column string, rights authz.PrivilegeSet, to ...authz.Principal) snapshot.ColumnProfile {
		return snapshot.ColumnProfile{ID: "p2", Environment: "e2", Columns: []snapshot.ColumnRight{{Table: table, Column: column, Rights: rights}}, Principals: to}
	}
	share := func(table string, rights authz.PrivilegeSet, with authz.Principal) snapshot.Share {
		return snapshot.Share{Environment: "e2", Table: table, Record: "r9", Share: authz.Share{With: with, Rights: rights}}
	}
	flow := func(maker authz.Principal, connections ...snapshot.Connection) snapshot.Flow {
		return snapshot.Flow{ID: "f9", Environment: "e2", Maker: maker, Connections: connections}
	}
	for want, item := range map[string]any{
		`environment user User new is of the environment "e9", which is not listed`:                                                               user1("e9", ""),
		`environment user User new is of the environment "e3", which has no database`:                                                             user1("e3", ""),
		`environment user User new is in the business unit "b9", which the environment "e2" does not list`:                                        user1("e2", "b9"),
		`environment user User new is in the business unit "e4", which the environment "e4" does not list`:                                        user1("e4", "e4"),
		`environment user Group g1: only a User or an ApplicationUser is added to an environment`:                                                 snapshot.EnvironmentUser{Environment: "e2", Principal: group("g1")},
		`environment user User new: only an ApplicationUser comes with the service`:                                                               snapshot.EnvironmentUser{Environment: "e2", Principal: user("new"), ServiceInstalled: true},
		`an environment user has no identifier`:                                                                                                   snapshot.EnvironmentUser{Environment: "e2", Principal: user("")},
		`an environment user's environment has no identifier`:                                                                                     user1("", ""),
		`team "n" is a group team and names no group`:                                                                                             snapshot.Team{ID: "n", Environment: "e2", Kind: authz.GroupTeamHolder},
		`team "n" is a group team: its members are those of its group, and it has none of its own`:                                                snapshot.Team{ID: "n", Environment: "e2", Kind: authz.GroupTeamHolder, Group: "g1", Members: []authz.Principal{user("ada")}},
		`team "n" names the group "g1", and is no group team`:                                                                                     snapshot.Team{ID: "n", Environment: "e2", Kind: authz.AccessTeamHolder, Group: "g1"},
		`team "n": want the kind OwnerTeam, GroupTeam or AccessTeam, not User`:                                                                    snapshot.Team{ID: "n", Environment: "e2", Kind: authz.UserHolder},
		`a member of team n is Group g1, which cannot be`:                                                                                         snapshot.Team{ID: "n", Environment: "e2", Kind: authz.OwnerTeamHolder, Members: []authz.Principal{group("g1")}},
		`team n is of the environment "e1", which has no database`:                                                                                snapshot.Team{ID: "n", Environment: "e1", Kind: authz.OwnerTeamHolder},
		`team n is in the business unit "b9", which the environment "e2" does not list`:                                                           snapshot.Team{ID: "n", Environment: "e2", Kind: authz.OwnerTeamHolder, BusinessUnit: "b9"},
		`table T is of the environment "e3", which has no database`:                                                                               table("e3", "T"),
		`environment "e2": table "a table": want a name of letters`:                                                                               table("e2", "a table"),
		`environment "e4": table "PUBLISHER": its records are owned by Organization, not by User: leave the ownership out`:                        table("e4", "PUBLISHER"),
		`environment "e2": table "new_Bank" has the entity set "new_banks", which is that of the table "bank2"`:                                   snapshot.Table{Environment: "e2", Table: authz.Table{Name: "bank2", Ownership: authz.UserOwned, EntitySet: "new_banks"}},
		`environment "e2": table "bank2": say who owns its records`:                                                                               snapshot.Table{Environment: "e2", Table: authz.Table{Name: "bank2"}},
		`table "T" is declared to be of the class orgShared, which nobody declares: leave it out`:                                                 snapshot.Table{Environment: "e2", Table: authz.Table{Name: "T", Ownership: authz.UserOwned, Classes: authz.OrgSharedTables}},
		`column profile p2 names the table "Bonk", which the environment "e2" does not declare: declare it first`:                                 profile("Bonk", "PIN", reading),
		`column profile p2 names the column "name" of the table "Account", which is not secured`:                                                  profile("Account", "name", reading),
		`column profile "p2": the rights to Account.Rating are Delete: want Create, Read or Write`:                                                profile("Account", "Rating", authz.Privileges(authz.DeletePrivilege)),
		`column profile "p2": the rights to Account.Rating are {}: want Create, Read or Write`:                                                    profile("Account", "Rating", 0),
		`column profile p2 names the team "others", which the environment "e2" does not list`:                                                     profile("Account", "Rating", reading, team("others")),
		`a principal of column profile p2 is Group g1, which cannot be`:                                                                           profile("Account", "Rating", reading, group("g1")),
		`share of record r9 names the table "Bonk", which the environment "e2" does not declare`:                                                  share("Bonk", reading, user("ada")),
		`share of record r9: records of the table "Publisher" are not owned by users, and cannot be shared`:                                       share("publisher", reading, user("ada")),
		`share of record "r9": Create cannot be shared: a share gives Read`:                                                                       share("Account", authz.Privileges(authz.CreatePrivilege), user("ada")),
		`share of record "r9" gives no rights: want Read, Write, Delete, Append, Assign or Share`:                                                 share("Account", 0, user("ada")),
		`whom record r9 is shared with is Group g1, which cannot be`:                                                                              share("Account", reading, group("g1")),
		`whom record r9 is shared with "x" has no principal type`:                                                                                 share("Account", reading, authz.Principal{ID: "x"}),
		`share of record r9 names the team "none", which the environment "e2" does not list`:                                                      share("Account", reading, team("none")),
		`app a9 names the table "Bonk", which the environment "e2" does not declare`:                                                              snapshot.App{ID: "a9", Environment: "e2", Tables: []snapshot.TableUse{{Table: "Bonk"}}},
		`app a9 lists the table "ACCOUNT" twice`:                                                                                                  snapshot.App{ID: "a9", Environment: "e2", Tables: []snapshot.TableUse{{Table: "ACCOUNT"}, {Table: "ACCOUNT"}}},
		`app a9: the privileges on the table "User" are ActOnBehalf: want those of tables`:                                                        snapshot.App{ID: "a9", Environment: "e2", Tables: []snapshot.TableUse{{Table: "User", Privileges: authz.Privileges(authz.ActOnBehalf)}}},
		`app a9 names the team "others", which the environment "e2" does not list`:                                                                snapshot.App{ID: "a9", Environment: "e2", SharedWith: []authz.Principal{team("others")}},
		`whom app a9 is shared with is DirectoryRole d, which cannot be`:                                                                          snapshot.App{ID: "a9", Environment: "e2", SharedWith: []authz.Principal{directoryRole("d")}},
		`flow f9 is of the environment "e9", which is not listed`:                                                                                 snapshot.Flow{ID: "f9", Environment: "e9"},
		`the maker of flow f9 is Group g1, which cannot be`:                                                                                       flow(group("g1")),
		`a connection of flow "f9" has no name`:                                                                                                   flow(user("ada"), snapshot.Connection{Connector: "x"}),
		`connection c of flow f9 is listed twice`:                                                                                                 flow(user("ada"), snapshot.Connection{Name: "c", Connector: "x"}, snapshot.Connection{Name: "c", Connector: "y"}),
		`connection c of flow f9 names no connector`:                                                                                              flow(user("ada"), snapshot.Connection{Name: "c"}),
		`connection c of flow f9 is provided by the maker, and the flow names none`:                                                               flow(authz.Principal{}, snapshot.Connection{Name: "c", Connector: "x", Provider: snapshot.MakerProvides}),
		`connection c of flow f9 has tables, which only the connector "dataverse" has`:                                                            flow(user("ada"), snapshot.Connection{Name: "c", Connector: "x", Tables: []snapshot.TableUse{{Table: "Account"}}}),
		`connection c of flow f9: want the provider RunOnlyUser or Maker`:                                                                         flow(user("ada"), snapshot.Connection{Name: "c", Connector: "x", Provider: 7}),
		`flow f9 names the table "Bonk", which the environment "e2" does not declare`:                                                             flow(user("ada"), snapshot.Connection{Name: "c", Connector: "dataverse", Tables: []snapshot.TableUse{{Table: "Bonk"}}}),
		`security role New is of the environment "e3", which has no database`:                                                                     role("e3", "Dataverse.Account.Read@User"),
		`environment "e4": security role "New": privilege "Dataverse.Bonk.Read@User": the environment declares no table "Bonk": declare it first`: role("e4", "Dataverse.Bonk.Read@User"),
		`say how far it reaches`: role("e2", "Dataverse.Account.Read"),
		`role definition "New" has privileges, a business unit or is for teams alone, and names no environment`:           role("", "Dataverse.Account.Read@User"),
		`security role New is in the business unit "b9", which the environment "e2" does not list`:                        authz.RoleDefinition{ID: "n1", Name: "New", Environment: "e2", BusinessUnit: "b9"},
		`role definition "New" has permissions: a custom security role gives privileges, and PowerApps.Apps.Play at most`: authz.RoleDefinition{ID: "n1", Name: "New", Environment: "e2", Permissions: []string{"*.Read"}},
		`role definition "New" has assignable or restricted scopes`:                                                       authz.RoleDefinition{ID: "n1", Name: "New", Environment: "e2", AssignableScopes: []string{"/tenants/{0}"}},
		`role definition "New" has a category, a pack, aliases or every secured column`:                                   authz.RoleDefinition{ID: "n1", Name: "New", Category: authz.DataverseRoles},
		`role definition "New" has terms besides its assignable roles`:                                                    authz.RoleDefinition{ID: "n1", Name: "New", Terms: &authz.RoleTerms{Elevates: true}},
	} {
		t.Run(want, func(t *testing.T) {
			d := withItems()
			x := &d.Tenants[0]
			var put func(e *snapshot.Edit) error
			switch v := item.(type) {
			case snapshot.Table:
				x.Tables, put = append(x.Tables, v), func(e *snapshot.Edit) error { return e.PutTable("t1", v) }
			case snapshot.EnvironmentUser:
				x.Users, put = append(x.Users, v), func(e *snapshot.Edit) error { return e.PutEnvironmentUser("t1", v) }
			case snapshot.Team:
				x.Teams, put = append(x.Teams, v), func(e *snapshot.Edit) error { return e.PutTeam("t1", v) }
			case snapshot.ColumnProfile:
				x.ColumnProfiles, put = append(x.ColumnProfiles, v), func(e *snapshot.Edit) error { return e.PutColumnProfile("t1", v) }
			case snapshot.Share:
				x.Shares, put = append(x.Shares, v), func(e *snapshot.Edit) error { return e.PutShare("t1", v) }
			case snapshot.App:
				x.Apps, put = append(x.Apps, v), func(e *snapshot.Edit) error { return e.PutApp("t1", v) }
			case snapshot.Flow:
				x.Flows, put = append(x.Flows, v), func(e *snapshot.Edit) error { return e.PutFlow("t1", v) }
			case authz.RoleDefinition:
				x.RoleDefinitions, put = append(x.RoleDefinitions, v), func(e *snapshot.Edit) error { return e.PutRoleDefinition("t1", v) }
			default:
				t.Fatalf("%T", item)
			}
			s := open(t, options(t.TempDir()))
			at := replace(t, s, withItems())
			_, err := s.Replace(t.Context(), d, snapshot.Change{})
			wantErr(t, err, snapshot.ErrInvalid, want)
			if strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("more than one problem: %v", err)
			}
			for i := range d.Tenants {
				d.Tenants[i].RoleAssignments = nil
			}
			_, err = s.Deliver(t.Context(), &snapshot.Delivery{Tenants: d.Tenants, RoleAssignments: func(func(*snapshot.DeliveredAssignment) error) error { return nil }}, snapshot.Change{})
			wantErr(t, err, snapshot.ErrInvalid, want)
			_, err = s.Update(t.Context(), snapshot.Change{}, put)
			wantErr(t, err, snapshot.ErrInvalid, want)
			if s.Current().Revision() != at {
				t.Errorf("revision %v", s.Current().Revision())
			}
		})
	}
}

// Each thing is listed once, however it is spelled.
func TestWhatIsListedTwiceInAnEnvironmentIsRefused(t *testing.T) {
	for want, add := range map[string]func(x *snapshot.Tenant){
		`table "NEW_bank" is listed twice`: func(x *snapshot.Tenant) {
			x.Tables = append(x.Tables, snapshot.Table{Environment: "e2", Table: authz.Table{Name: "NEW_bank", Ownership: authz.UserOwned}})
		},
		`environment user "ada of e2" is listed twice`: func(x *snapshot.Tenant) {
			x.Users = append(x.Users, snapshot.EnvironmentUser{Environment: "e2", Principal: app("ada"), BusinessUnit: "b2"})
		},
		`team "field" is listed twice`: func(x *snapshot.Tenant) {
			x.Teams = append(x.Teams, snapshot.Team{ID: "field", Environment: "e4", Kind: authz.OwnerTeamHolder})
		},
		`column profile "pins" is listed twice`: func(x *snapshot.Tenant) {
			x.ColumnProfiles = append(x.ColumnProfiles, snapshot.ColumnProfile{ID: "pins", Environment: "e2"})
		},
		`share of record "r1" is listed twice`: func(x *snapshot.Tenant) {
			x.Shares = append(x.Shares, snapshot.Share{Environment: "e2", Table: "ACCOUNT", Record: "r1", Share: authz.Share{With: app("eve"), Rights: reading}})
		},
		`app "app1" is listed twice`:   func(x *snapshot.Tenant) { x.Apps = append(x.Apps, snapshot.App{ID: "app1", Environment: "e2"}) },
		`flow "flow1" is listed twice`: func(x *snapshot.Tenant) { x.Flows = append(x.Flows, snapshot.Flow{ID: "flow1", Environment: "e2"}) },
		`environment user User new: the environment "e2" has several root business units: name one`: func(x *snapshot.Tenant) {
			x.BusinessUnits = append(x.BusinessUnits, authz.BusinessUnit{ID: "b0", Environment: "e2"})
			x.Users = append(x.Users, snapshot.EnvironmentUser{Environment: "e2", Principal: user("new")})
		},
	} {
		d := withItems()
		add(&d.Tenants[0])
		s := open(t, options(t.TempDir()))
		_, err := s.Replace(t.Context(), d, snapshot.Change{})
		wantErr(t, err, snapshot.ErrInvalid, want)
	}
}

// What something else needs stays as it is, and the refusal says what needs it.
func TestWhatIsInUseInAnEnvironmentStays(t *testing.T) {
	gone := func(there bool, err error) error {
		if err == nil && !there {
			return errors.New("there was none")
		}
		return err
	}
	account := snapshot.Table{Environment: "e2", Table: authz.Table{Name: "Account"}}
	bank := withItems().Tenants[0].Tables[1]
	field := withItems().Tenants[0].Teams[0]
	for name, tc := range map[string]struct {
		edit func(e *snapshot.Edit) error
		want []string
	}{
		"a database": {func(e *snapshot.Edit) error { return e.PutEnvironment("t1", snapshot.Environment{ID: "e2"}, "eg1") }, []string{
			`environment "e2" has the security role "Bankers"`, `environment "e2" has tables`, "has users", "has teams", "has column profiles", "has shares of records", "has apps", "has flows",
			`environment "e2": the security role "Basic User" is assigned there (role assignment "s1")`,
		}},
		"an environment":  {func(e *snapshot.Edit) error { return gone(e.RemoveEnvironment("t1", "e2")) }, []string{`environment "e2" has tables`, "has flows"}},
		"a business unit": {func(e *snapshot.Edit) error { return gone(e.RemoveBusinessUnit("t1", "e2", "b1")) }, []string{`environment user User ada is in the business unit "b1"`, `team group is in the business unit "b1"`, `security role Bankers is in the business unit "b1"`}},
		"the only root": {func(e *snapshot.Edit) error {
			return e.PutBusinessUnit("t1", authz.BusinessUnit{ID: "b0", Environment: "e2"})
		}, []string{`environment user ApplicationUser bot is in the business unit ""`, `team access is in the business unit ""`, `security role Clerks is in the business unit ""`}},
		"a table": {func(e *snapshot.Edit) error { return gone(e.RemoveTable("t1", "e2", "NEW_BANK")) }, []string{`the environment declares no table "new_Bank"`}},
		"a table that no role names": {func(e *snapshot.Edit) error {
			for _, id := range []string{"s2", "s3"} {
				if err := gone(e.RemoveRoleAssignment("t1", id)); err != nil {
					return err
				}
			}
			return errors.Join(gone(e.RemoveRoleDefinition("t1", "s1")), gone(e.RemoveRoleDefinition("t1", "s2")), gone(e.RemoveTable("t1", "e2", "new_bank")))
		}, []string{`column profile pins names the table "new_Bank", which the environment "e2" does not declare`, `app app1 names the table "new_Bank"`, `share of record r22 names the table "new_Bank"`}},
		"a secured column":          {func(e *snapshot.Edit) error { return gone(e.RemoveTable("t1", "e2", "ACCOUNT")) }, []string{`column profile pins names the column "rating" of the table "Account", which is not secured`}},
		"a secured column, changed": {func(e *snapshot.Edit) error { return e.PutTable("t1", account) }, []string{`column profile pins names the column "rating" of the table "Account", which is not secured`}},
		"an ownership": {func(e *snapshot.Edit) error {
			bank.Ownership = authz.OrganizationOwned
			return e.PutTable("t1", bank)
		}, []string{`share of record r22: records of the table "new_Bank" are not owned by users, and cannot be shared`}},
		"a user that holds roles":    {func(e *snapshot.Edit) error { return gone(e.RemoveEnvironmentUser("t1", "e2", user("ada"))) }, []string{`User ada holds the security role "Basic User" in the environment "e2" (role assignment "s1")`}},
		"a team":                     {func(e *snapshot.Edit) error { return gone(e.RemoveTeam("t1", "field")) }, []string{`team "field" holds the role "s2" (role assignment "s3")`, `column profile pins names the team "field"`, `app app1 names the team "field"`}},
		"a team that is shared with": {func(e *snapshot.Edit) error { return gone(e.RemoveTeam("t1", "access")) }, []string{`share of record r1 names the team "access"`}},
		"a team's kind": {func(e *snapshot.Edit) error {
			field.Kind = authz.AccessTeamHolder
			return e.PutTeam("t1", field)
		}, []string{`team "field" holds the role "s2"`}},
		"a team's environment": {func(e *snapshot.Edit) error {
			return e.PutTeam("t1", snapshot.Team{ID: "others", Environment: "e2", Kind: authz.OwnerTeamHolder})
		}, []string{`team "others" is of the environment "e4", and cannot be moved to "e2"`}},
		"where a role is assigned": {func(e *snapshot.Edit) error {
			return e.PutRoleDefinition("t1", authz.RoleDefinition{ID: "s2", Name: "Clerks", Environment: "e4"})
		}, []string{`role definition "Clerks": role assignment "s3" at /tenants/t1/environments/e2 could not be made of it any more`}},
		"where a platform role is assigned": {func(e *snapshot.Edit) error {
			return e.PutRoleDefinition("t1", authz.RoleDefinition{ID: "r1", Name: "R", AssignableScopes: []string{"/tenants/{0}/environments/{1}"}})
		}, []string{`role definition "R": role assignment "a5" at /tenants/t1 could not be made of it any more`}},
		"a role that is assigned": {func(e *snapshot.Edit) error { return gone(e.RemoveRoleDefinition("t1", "s1")) }, []string{`1 role assignments name the role definition "s1"`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, options(t.TempDir()))
			at := replace(t, s, withItems())
			_, err := s.Update(t.Context(), snapshot.Change{}, tc.edit)
			wantErr(t, err, snapshot.ErrInvalid, tc.want...)
			if kind := name != "a team's environment" && name != "a secured column, changed" && name != "an ownership" && name != "a team's kind"; kind && !errors.Is(err, snapshot.ErrInUse) {
				t.Errorf("%v is no ErrInUse", err)
			}
			if s.Current().Revision() != at {
				t.Errorf("revision %v", s.Current().Revision())
			}
		})
	}
}

// In the order in which they are listed, all that an environment holds can be removed, and
// then the environment.
func TestAnEnvironmentIsRemovedWithAllThatItHolds(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, withItems())
	change(t, s, func(e *snapshot.Edit) error {
		for a, err := range e.RoleAssignmentsUnder("t1", "/tenants/t1/environments/e2") {
			if err != nil {
				return err
			}
			if _, err := e.RemoveRoleAssignment("t1", a.ID); err != nil {
				return err
			}
		}
		x, err := e.ItemsOf("t1", "e2")
		if err != nil {
			return err
		}
		var errs []error
		removed := func(there bool, err error) {
			if !there {
				err = errors.Join(err, fmt.Errorf("something was gone"))
			}
			errs = append(errs, err)
		}
		for _, i := range x.Flows {
			removed(e.RemoveFlow("t1", "e2", i.ID))
		}
		for _, i := range x.Apps {
			removed(e.RemoveApp("t1", "e2", i.ID))
		}
		for _, i := range x.Shares {
			removed(e.RemoveShare("t1", i))
		}
		for _, i := range x.ColumnProfiles {
			removed(e.RemoveColumnProfile("t1", "e2", i.ID))
		}
		for _, i := range x.Teams {
			removed(e.RemoveTeam("t1", i.ID))
		}
		for _, i := range x.Users {
			removed(e.RemoveEnvironmentUser("t1", "e2", i.Principal))
		}
		for _, i := range x.Roles {
			removed(e.RemoveRoleDefinition("t1", i.ID))
		}
		for _, i := range x.Tables {
			removed(e.RemoveTable("t1", "e2", i.Name))
		}
		removed(e.RemoveBusinessUnit("t1", "e2", "b2"))
		removed(e.RemoveBusinessUnit("t1", "e2", "b1"))
		removed(e.RemoveEnvironment("t1", "e2"))
		return errors.Join(errs...)
	})
	d, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x := d.Tenants[0]
	if len(x.Tables) != 1 || len(x.Users) != 1 || len(x.Teams) != 1 || len(x.Shares)+len(x.Apps)+len(x.Flows)+len(x.ColumnProfiles)+len(x.BusinessUnits) != 0 {
		t.Errorf("%+v", x)
	}
}
