package snapshot_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func database(t testing.TB, s *snapshot.Store, environment string) (db *authz.Database) {
	t.Helper()
	reading1(t, s, func(r *snapshot.Reader) {
		var err error
		if db, err = r.Database("t1", environment); err != nil {
			t.Fatal(err)
		}
	})
	return db
}

// A database is worked out anew when anything of it changes, and only then.
func TestADatabaseIsOfItsRevision(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, withItems())
	everyone := snapshot.Share{Environment: "e2", Table: "new_Bank", Record: "r22", Share: authz.Share{WithOrganization: true, Rights: reading}}
	second := everyone
	second.Record = "r33"
	clerks := withItems().Tenants[0].RoleDefinitions[2]
	for _, step := range []struct {
		name  string
		edit  func(e *snapshot.Edit) error
		other bool // e2's is another one afterwards
	}{
		{"a role assignment", func(e *snapshot.Edit) error {
			return e.PutRoleAssignment("t1", allow("z1", user("ada"), "s1", "/environments/e2"))
		}, false},
		{"a user", func(e *snapshot.Edit) error {
			return e.PutEnvironmentUser("t1", snapshot.EnvironmentUser{Environment: "e2", Principal: user("new")})
		}, false},
		{"a team", func(e *snapshot.Edit) error {
			return e.PutTeam("t1", snapshot.Team{ID: "new", Environment: "e2", Kind: authz.OwnerTeamHolder})
		}, false},
		{"another environment's table", func(e *snapshot.Edit) error { return e.PutTable("t1", drawn("e4", "more")) }, false},
		{"a platform role", func(e *snapshot.Edit) error {
			return e.PutRoleDefinition("t1", authz.RoleDefinition{ID: "r1", Name: "R", Permissions: []string{"*.Read"}, AssignableScopes: []string{"/tenants/{0}"}})
		}, false},
		{"a share with somebody", func(e *snapshot.Edit) error {
			return e.PutShare("t1", snapshot.Share{Environment: "e2", Table: "new_Bank", Record: "r1", Share: authz.Share{With: user("ada"), Rights: reading}})
		}, false},
		{"the first share with everyone", func(e *snapshot.Edit) error { return e.PutShare("t1", everyone) }, true},
		{"other rights of it", func(e *snapshot.Edit) error { everyone.Rights = readingWriting; return e.PutShare("t1", everyone) }, false},
		{"the second", func(e *snapshot.Edit) error { return e.PutShare("t1", second) }, false},
		{"one of two is gone", func(e *snapshot.Edit) error { _, err := e.RemoveShare("t1", everyone); return err }, false},
		{"the last is gone", func(e *snapshot.Edit) error { _, err := e.RemoveShare("t1", second); return err }, true},
		{"a table", func(e *snapshot.Edit) error { return e.PutTable("t1", drawn("e2", "more")) }, true},
		{"a business unit", func(e *snapshot.Edit) error {
			return e.PutBusinessUnit("t1", authz.BusinessUnit{ID: "b3", Environment: "e2", Parent: "b2"})
		}, true},
		{"a security role", func(e *snapshot.Edit) error {
			clerks.Privileges = []string{"Dataverse.more.Read@Organization"}
			return e.PutRoleDefinition("t1", clerks)
		}, true},
	} {
		before, elsewhere := database(t, s, "e2"), database(t, s, "e4")
		change(t, s, step.edit)
		if other := database(t, s, "e2") != before; other != step.other {
			t.Errorf("%s: another database: %t", step.name, other)
		}
		if other := database(t, s, "e4") != elsewhere; other != (step.name == "another environment's table") {
			t.Errorf("%s: another environment's database is another one: %t", step.name, other)
		}
	}
	reading1(t, s, func(r *snapshot.Reader) {
		role, err := r.SecurityRole("t1", "e2", "s2")
		again, err2 := r.SecurityRole("t1", "e2", "s2")
		id, _ := database(t, s, "e2").TableNamed("more")
		if err != nil || err2 != nil || role != again || role.Reach(id, authz.ReadPrivilege) != authz.OrganizationReach || !role.TeamOnly() {
			t.Errorf("%+v %v %v", role, err, err2)
		}
		for _, none := range [][2]string{{"e2", readerRole}, {"e2", "r1"}, {"e4", "s2"}, {"e2", "none"}, {"e3", basicRole}, {"e9", basicRole}} {
			if role, err := r.SecurityRole("t1", none[0], none[1]); role != nil || err != nil {
				t.Errorf("%q: %+v, %v", none, role, err)
			}
		}
		for environment, want := range map[string]string{"e2": "b1", "e4": "e4"} {
			if id, ok, err := r.BusinessUnitOf("t1", environment, ""); id != want || !ok || err != nil {
				t.Errorf("the root of %s is %q, %t, %v", environment, id, ok, err)
			}
		}
		if _, ok, err := r.BusinessUnitOf("t1", "e2", "b9"); ok || err != nil {
			t.Errorf("b9: %t, %v", ok, err)
		}
	})
}

func drawn(environment, name string) snapshot.Table {
	return snapshot.Table{Environment: environment, Table: authz.Table{Name: name, Ownership: authz.UserOwned}}
}

// What is read of a database within a change is as of the change so far, what others read
// meanwhile is as it was, and what is given up is as if it had not been.
func TestADatabaseWithinAChange(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, withItems())
	before := database(t, s, "e2")
	_, err := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error {
		if db, err := e.Database("t1", "e2"); db != before || err != nil {
			t.Errorf("%v", err)
		}
		if err := e.PutTable("t1", drawn("e2", "more")); err != nil {
			return err
		}
		first, err := e.Database("t1", "e2")
		if err != nil {
			return err
		}
		if err := e.PutEnvironmentUser("t1", snapshot.EnvironmentUser{Environment: "e2", Principal: user("new")}); err != nil {
			return err
		}
		again, err := e.Database("t1", "e2")
		_, known := again.TableNamed("more")
		if err != nil || again != first || !known {
			t.Errorf("%v, the table is known: %t, it is the same: %t", err, known, again == first)
		}
		ada, err := e.RecordSubject("t1", "e2", caller(t, user("ada")))
		if err != nil {
			return err
		}
		account, _ := again.TableNamed("Account")
		request := authz.RecordRequest{Caller: ada, Table: account, Privilege: authz.ReadPrivilege, Record: &authz.Record{Owner: user("ada")}}
		for range 2 { // and still after the change went on
			if d := authz.DecideRecord(again, request, 1); d.Reason != authz.Granted {
				t.Errorf("%+v", d)
			}
			if _, err := e.RemoveTable("t1", "e2", "more"); err != nil {
				return err
			}
		}
		if last, err := e.Database("t1", "e2"); err != nil || last == first {
			t.Errorf("%v", err)
		}
		if err := e.PutBusinessUnit("t1", authz.BusinessUnit{ID: "lost", Environment: "e2", Parent: "none"}); err != nil {
			return err
		}
		_, err = e.Database("t1", "e2")
		wantErr(t, err, snapshot.ErrInvalid, `tenant "t1": environment "e2"`, `business unit "lost" lies below "none"`)
		wantErr(t, e.PutEnvironmentUser("t1", snapshot.EnvironmentUser{Environment: "e2", Principal: user("new")}), snapshot.ErrInvalid, `business unit "lost" lies below "none"`)
		return errChanged
	})
	if !errors.Is(err, errChanged) {
		t.Fatal(err)
	}
	if database(t, s, "e2") != before {
		t.Error("what was given up made another database")
	}
}

// Many read databases while one changes them; each sees the one of its revision.
func TestDatabasesBesideAWriter(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, withItems()) // revision 1
	stop := make(chan struct{})
	var readers sync.WaitGroup
	ada := caller(t, user("ada"))
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := s.Read(t.Context(), func(r *snapshot.Reader) error {
					db, err := r.Database("t1", "e4")
					if err != nil {
						return err
					}
					n := r.Revision().Number
					_, known := db.TableNamed(fmt.Sprint("v", n))
					account, _ := db.TableNamed("Account")
					table, _ := db.Table(account)
					role, err := r.SecurityRole("t1", "e4", basicRole)
					if err != nil {
						return err
					}
					subject, err := r.RecordSubject("t1", "e4", ada)
					if err != nil {
						return err
					}
					shared := table.Classes&authz.OrgSharedTables != 0
					reach := role.Reach(account, authz.ReadPrivilege)
					d := authz.DecideRecord(db, authz.RecordRequest{Caller: subject, Table: account, Privilege: authz.ReadPrivilege, Record: &authz.Record{Owner: user("eve"), BusinessUnit: "e4"}}, 1)
					wantReach, wantReason := authz.UserReach, authz.NoAssignment
					if n%2 == 0 {
						wantReach, wantReason = authz.BusinessUnitReach, authz.Granted
					}
					if n > 1 && (!known || shared != (n%2 == 0) || reach != wantReach || d.Reason != wantReason) {
						return fmt.Errorf("at revision %d: the table is known: %t, shared: %t, reach %v, %v", n, known, shared, reach, d.Reason)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := 2; n <= 150; n++ {
		share := snapshot.Share{Environment: "e4", Table: "Account", Record: "r", Share: authz.Share{WithOrganization: true, Rights: reading}}
		at := change(t, s, func(e *snapshot.Edit) error {
			if n == 2 {
				if err := e.PutRoleAssignment("t1", allow("q", user("ada"), basicRole, "/environments/e4")); err != nil {
					return err
				}
			} else if _, err := e.RemoveTable("t1", "e4", fmt.Sprint("v", n-1)); err != nil {
				return err
			}
			if err := e.PutTable("t1", drawn("e4", fmt.Sprint("v", n))); err != nil {
				return err
			}
			if n%2 == 0 {
				return e.PutShare("t1", share)
			}
			_, err := e.RemoveShare("t1", share)
			return err
		})
		if at.Number != uint64(n) {
			t.Fatalf("revision %v, want %d", at, n)
		}
	}
	close(stop)
	readers.Wait()
}

// Whoever finds that memory says something else than the file has it not believed any more.
func TestADatabaseThatDiffersFromTheFile(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, withItems())
	shared := func(read func(func(r *snapshot.Reader) error) error) (is bool) {
		t.Helper()
		if err := read(func(r *snapshot.Reader) error {
			db, err := r.Database("t1", "e2")
			id, _ := db.TableNamed("Account")
			table, _ := db.Table(id)
			is = table.Classes&authz.OrgSharedTables != 0
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return is
	}
	memory := func(read func(r *snapshot.Reader) error) error { return s.Read(t.Context(), read) }
	anew := func(read func(r *snapshot.Reader) error) error { return s.ReadAnew(t.Context(), read) }
	if !shared(memory) || !shared(anew) {
		t.Error("nothing is shared with everyone")
	}
	s.PoisonDatabase("t1", "e2")
	if shared(memory) || !shared(anew) {
		t.Error("memory was not poisoned, or is what the file is compared with")
	}
	s.Differs(t.Context(), "t1", "ada", s.Current().Revision())
	if st := s.Stats(); !shared(memory) || st.Alarms != 1 || st.CacheOn {
		t.Errorf("memory is still believed: %+v", st)
	}
}
