package snapshot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestAStoreThatNeverHadDataIsNotReady(t *testing.T) {
	s := open(t, options(t.TempDir()))
	if s.Current() != nil || !s.FirstStart() {
		t.Errorf("current %v, first start %v", s.Current(), s.FirstStart())
	}
	_, err := s.View(t.Context(), caller(t, user("ada")))
	wantErr(t, err, snapshot.ErrNotReady, "import a bundle")
	_, err = s.Export(t.Context())
	wantErr(t, err, snapshot.ErrNotReady)
}

func TestNoDataAtAllIsASnapshotToo(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, &snapshot.Data{})
	if got := held(t, s, caller(t, user("ada"))); got != "" {
		t.Errorf("nobody holds %q", got)
	}
}

func TestWhatIsDeliveredIsExported(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	got, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Error(diff)
	}
}

func TestOrderMeansNothing(t *testing.T) {
	s := open(t, options(t.TempDir()))
	first := replace(t, s, sample())
	d := sample()
	reverse := func(t *snapshot.Tenant) {
		for i, j := 0, len(t.RoleAssignments)-1; i < j; i, j = i+1, j-1 {
			t.RoleAssignments[i], t.RoleAssignments[j] = t.RoleAssignments[j], t.RoleAssignments[i]
		}
		t.Groups[0], t.Groups[1] = t.Groups[1], t.Groups[0]
		t.Groups[1].Members[0], t.Groups[1].Members[1] = t.Groups[1].Members[1], t.Groups[1].Members[0]
		t.EnvironmentGroups[0].Environments = []string{"e2", "e1"}
		t.Environments = append(t.Environments, snapshot.Environment{ID: "e1"})
	}
	reverse(&d.Tenants[0])
	d.Tenants[0], d.Tenants[1] = d.Tenants[1], d.Tenants[0]
	if got := replace(t, s, d); got != first {
		t.Errorf("revision %v after %v: nothing had changed", got, first)
	}
}

func TestASubjectHoldsWhatItBelongsTo(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	for _, c := range []struct {
		name string
		spec authz.SubjectSpec
		want string
	}{
		{"directly and through nested groups", authz.SubjectSpec{Principal: user("ada")}, "a1 a2 a3 a5"},
		{"a person's object id may come as an application's", authz.SubjectSpec{Principal: app("ada")}, "a1 a2 a3 a5"},
		{"an application", authz.SubjectSpec{Principal: app("bot")}, "a2 a3 a4 a5"},
		{"disabled", authz.SubjectSpec{Principal: user("eve")}, "disabled a2 a3 a5"},
		{"nobody known", authz.SubjectSpec{Principal: user("zoe")}, ""},
		{"a group from the token, with what it is in", authz.SubjectSpec{Principal: user("zoe"), Groups: []string{"g1"}}, "a2 a3 a5"},
		{"a directory role from the token", authz.SubjectSpec{Principal: user("zoe"), DirectoryRoles: []string{"admins"}}, "a6"},
		{"a group is not a directory role", authz.SubjectSpec{Principal: user("zoe"), Groups: []string{"admins"}}, ""},
		{"a directory role is not a group", authz.SubjectSpec{Principal: user("zoe"), DirectoryRoles: []string{"g1"}}, ""},
		{"groups unknown: those of the directory", authz.SubjectSpec{Principal: user("ada"), GroupsUnknown: true}, "a1 a2 a3 a5"},
		{"another tenant", authz.SubjectSpec{Tenant: "t22", Principal: user("ada")}, ""},
		{"a tenant that is not listed", authz.SubjectSpec{Tenant: "t9", Principal: user("ada")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // from the file, then from the cache
				if got := held(t, s, subject(t, c.spec)); got != c.want {
					t.Errorf("holds %q, want %q", got, c.want)
				}
				s.WaitCache()
			}
		})
	}
}

func TestAGrantIsReadWhole(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	found, err := s.View(t.Context(), caller(t, app("bot")))
	if err != nil {
		t.Fatal(err)
	}
	role := s.Current().Tenant("t1").Role("r1")
	if role == nil || role.Name() != "Flow Operator" {
		t.Fatalf("role r1 is %v", role)
	}
	want := authz.Grant{AssignmentID: "a4", Principal: app("bot"), Role: role, Scope: "/tenants/t1/environments/e3", Effect: authz.AssignAllow, Expires: 1_900_000_000}
	for _, g := range found.View.Grants.All() {
		if g.AssignmentID == "a4" && g == want {
			return
		}
	}
	t.Errorf("no grant %+v in %+v", want, found.View.Grants.All())
}

func TestGroupsInACircleEnd(t *testing.T) {
	s := open(t, options(t.TempDir()))
	d := sample()
	d.Tenants[0].Groups[0].Members = append(d.Tenants[0].Groups[0].Members, group("g2"), group("g1"))
	replace(t, s, d)
	if got, want := held(t, s, caller(t, user("ada"))), "a1 a2 a3 a5"; got != want {
		t.Errorf("holds %q, want %q", got, want)
	}
}

func TestWhatIsKeptOfATenant(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	check := func(t *testing.T, s *snapshot.Store) {
		t.Helper()
		tenant := s.Current().Tenant("t1")
		chain, err := tenant.Hierarchy().Chain("/tenants/t1/environments/e2/businessUnits/b2", false)
		if err != nil {
			t.Fatal(err)
		}
		want := []authz.Scope{
			"/tenants/t1/environments/e2/businessUnits/b2", "/tenants/t1/environments/e2/businessUnits/b1",
			"/tenants/t1/environments/e2", "/tenants/t1/environmentGroups/eg1", "/tenants/t1",
		}
		if diff := cmp.Diff(want, chain); diff != "" {
			t.Error(diff)
		}
		if !tenant.DirectoryComplete() || s.Current().Tenant("t22").DirectoryComplete() {
			t.Error("the directory of t1 is complete, that of t22 is not")
		}
		var denials []string
		for _, g := range tenant.GroupDenials().All() {
			denials = append(denials, g.AssignmentID+" "+g.Role.Name())
		}
		if diff := cmp.Diff([]string{"a5 Flow Operator", "a3 Power Platform Reader"}, denials); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"t1", "t22"}, s.Current().Tenants()); diff != "" {
			t.Error(diff)
		}
		if s.Current().Tenant("t9") != nil {
			t.Error("t9 is not listed")
		}
	}
	check(t, s)
	closed(t, s)
	check(t, open(t, options(s.Dir())))
}

func TestARestartServesTheSameRevision(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	want := replace(t, s, sample())
	closed(t, s)
	s = open(t, o)
	if got := s.Current().Revision(); got != want {
		t.Errorf("revision %v after a restart, want %v", got, want)
	}
	if s.FirstStart() {
		t.Error("not the first start")
	}
	if got, want := held(t, s, caller(t, user("ada"))), "a1 a2 a3 a5"; got != want {
		t.Errorf("holds %q, want %q", got, want)
	}
	got, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Error(diff)
	}
}

func TestOneReplaceIsOneRevision(t *testing.T) {
	s := open(t, options(t.TempDir()))
	first := replace(t, s, sample())
	if first.Number != 1 || first.Epoch == 0 || first.Epoch >= 1<<53 {
		t.Errorf("the first revision is %+v", first)
	}
	if got := replace(t, s, sample()); got != first {
		t.Errorf("the same data became revision %+v", got)
	}
	d := without(sample(), "a1")
	d.Tenants[0].Principals[1].Disabled = false
	d.Tenants[0].Groups = d.Tenants[0].Groups[:1]
	d.Tenants = d.Tenants[:1]
	got := replace(t, s, d)
	if want := (authz.Revision{Epoch: first.Epoch, Number: 2}); got != want {
		t.Errorf("revision %+v, want %+v", got, want)
	}
	if got := s.Current().Revision().Number; got != 2 {
		t.Errorf("current is %d", got)
	}
}

func TestTheSourcesPositionIsKept(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	put := func(position string) {
		t.Helper()
		if _, err := s.Replace(t.Context(), sample(), snapshot.Change{Source: "file", Position: []byte(position)}); err != nil {
			t.Fatal(err)
		}
	}
	put("p1")
	put("p2") // with nothing changed it is kept in memory
	if got := s.Stats(); string(got.Position) != "p2" || got.Source != "file" {
		t.Errorf("position %q of %q", got.Position, got.Source)
	}
	closed(t, s)
	s = open(t, o)
	if got := s.Stats(); string(got.Position) != "p1" || got.Source != "file" {
		t.Errorf("after a restart: position %q of %q", got.Position, got.Source)
	}
}

// What a change takes away must be gone from every view when Replace returns.
func TestAChangeIsSeenAtOnce(t *testing.T) {
	ada := func(d *snapshot.Data) *snapshot.Tenant { return &d.Tenants[0] }
	for _, c := range []struct {
		name   string
		change func(*snapshot.Data)
		before string
		after  string
	}{
		{"revoked from the caller", func(d *snapshot.Data) { without(d, "a1") }, "a1 a2 a3 a5", "a2 a3 a5"},
		{"revoked from a group two levels up", func(d *snapshot.Data) { without(d, "a2") }, "a1 a2 a3 a5", "a1 a3 a5"},
		{"a member leaves", func(d *snapshot.Data) { ada(d).Groups[0].Members = ada(d).Groups[0].Members[1:] }, "a1 a2 a3 a5", "a1"},
		{"a nested group leaves", func(d *snapshot.Data) { ada(d).Groups[1].Members = nil }, "a1 a2 a3 a5", "a1 a3"},
		{"a group is gone", func(d *snapshot.Data) { ada(d).Groups = ada(d).Groups[1:] }, "a1 a2 a3 a5", "a1"},
		{"disabled", func(d *snapshot.Data) { ada(d).Principals[0].Disabled = true }, "a1 a2 a3 a5", "disabled a1 a2 a3 a5"},
		{"disabled as an application", func(d *snapshot.Data) {
			ada(d).Principals = append(ada(d).Principals, snapshot.Principal{Principal: app("ada"), Disabled: true})
		}, "a1 a2 a3 a5", "disabled a1 a2 a3 a5"},
		{"a denial is added", func(d *snapshot.Data) {
			ada(d).RoleAssignments = append(ada(d).RoleAssignments, deny("a7", user("ada"), readerRole, ""))
		}, "a1 a2 a3 a5", "a1 a2 a3 a5 a7"},
		{"the tenant is gone", func(d *snapshot.Data) { d.Tenants = d.Tenants[1:] }, "a1 a2 a3 a5", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, options(t.TempDir()))
			replace(t, s, sample())
			who := caller(t, user("ada"))
			for range 2 {
				if got := held(t, s, who); got != c.before {
					t.Fatalf("before, holds %q, want %q", got, c.before)
				}
				s.WaitCache()
			}
			d := sample()
			c.change(d)
			replace(t, s, d)
			for range 2 {
				if got := held(t, s, who); got != c.after {
					t.Errorf("after, holds %q, want %q", got, c.after)
				}
				s.WaitCache()
			}
			replace(t, s, sample()) // and back
			if got := held(t, s, who); got != c.before {
				t.Errorf("and back, holds %q, want %q", got, c.before)
			}
		})
	}
}

func TestAChangedRoleIsSeenAtOnce(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	create, _ := theVocabulary.ID("PowerAutomate.Flows.Create")
	granted := func() bool {
		found, err := s.View(t.Context(), caller(t, app("bot")))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range found.View.Grants.All() {
			if g.AssignmentID == "a4" {
				return g.Role.Grants(create)
			}
		}
		t.Fatal("a4 is gone")
		return false
	}
	if granted() {
		t.Fatal("an exception is granted")
	}
	s.WaitCache()
	d := sample()
	d.Tenants[0].RoleDefinitions[0].PermissionsExceptions = nil
	replace(t, s, d)
	if !granted() {
		t.Error("the role's old form is still used")
	}
}

// A change must not cost those their cached views whom it does not concern.
func TestAChangeTouchesOnlyWhomItConcerns(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	who := caller(t, user("ada"))
	held(t, s, who)
	s.WaitCache()
	before := s.Stats()
	d := sample()
	d.Tenants[0].RoleAssignments = append(d.Tenants[0].RoleAssignments, allow("a7", user("zoe"), readerRole, ""))
	d.Tenants[0].Principals[0].DisplayName = "Ada L."
	replace(t, s, d)
	held(t, s, who)
	after := s.Stats()
	if after.Hits != before.Hits+1 || after.Misses != before.Misses {
		t.Errorf("hits %d → %d, misses %d → %d: want one hit more", before.Hits, after.Hits, before.Misses, after.Misses)
	}
}

func TestDataThatContradictsItselfIsRefusedWhole(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*snapshot.Tenant)
		words  []string
	}{
		{"an assignment twice", func(x *snapshot.Tenant) {
			x.RoleAssignments = append(x.RoleAssignments, allow("a1", user("zoe"), readerRole, ""))
		}, []string{`role assignment "a1" is listed twice`}},
		{"a group twice", func(x *snapshot.Tenant) { x.Groups = append(x.Groups, snapshot.Group{ID: "g1"}) }, []string{`group "g1" is listed twice`}},
		{"an environment in two groups", func(x *snapshot.Tenant) { x.EnvironmentGroups[1].Environments = []string{"e1"} }, []string{`environment "e1"`, `"eg1" and "eg2"`}},
		{"a role that does not exist", func(x *snapshot.Tenant) { x.RoleAssignments[0].RoleDefinitionID = "r9" }, []string{`role definition "r9"`}},
		{"a role that cannot be compiled", func(x *snapshot.Tenant) { x.RoleDefinitions[0].Permissions = []string{"No.Such.Thing"} }, []string{"No.Such.Thing"}},
		{"a role with a shipped role's identifier", func(x *snapshot.Tenant) { x.RoleDefinitions[0].ID = readerRole }, []string{"shipped role"}},
		{"a scope of another tenant", func(x *snapshot.Tenant) { x.RoleAssignments[0].Scope = "/tenants/t12" }, []string{`"/tenants/t12"`, "not in the tenant"}},
		{"no effect", func(x *snapshot.Tenant) { x.RoleAssignments[0].Effect = 0 }, []string{`"a1" has no effect`}},
		{"no principal type", func(x *snapshot.Tenant) { x.RoleAssignments[0].Principal.Type = 9 }, []string{"no principal type"}},
		{"two problems", func(x *snapshot.Tenant) { x.RoleAssignments[0].ID = ""; x.Groups[0].ID = "" }, []string{"a role assignment has no identifier", "a group has no identifier"}},
		{"a business unit without its environment", func(x *snapshot.Tenant) { x.BusinessUnits[0].Environment = "e9" }, []string{"e9"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, options(t.TempDir()))
			d := sample()
			c.change(&d.Tenants[0])
			_, err := s.Replace(t.Context(), d, snapshot.Change{})
			wantErr(t, err, snapshot.ErrInvalid, c.words...)
			if s.Current() != nil {
				t.Fatal("something of it is served")
			}
			first := replace(t, s, sample())
			_, err = s.Replace(t.Context(), d, snapshot.Change{})
			wantErr(t, err, snapshot.ErrInvalid, c.words...)
			if got := s.Current().Revision(); got != first {
				t.Errorf("revision %v is served, want %v", got, first)
			}
			if got, want := held(t, s, caller(t, user("ada"))), "a1 a2 a3 a5"; got != want {
				t.Errorf("holds %q, want %q", got, want)
			}
		})
	}
}

func TestALargeChangeGoesToANewFile(t *testing.T) {
	o := options(t.TempDir())
	s, err := snapshot.OpenLimits(t.Context(), o, 1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	first := replace(t, s, sample())
	name := s.FileName()
	who := caller(t, user("ada"))
	held(t, s, who)
	s.WaitCache()
	d := without(without(sample(), "a1"), "a2")
	if got, want := replace(t, s, d), (authz.Revision{Epoch: first.Epoch, Number: 2}); got != want {
		t.Errorf("revision %+v, want %+v", got, want)
	}
	if s.FileName() == name {
		t.Error("the file is the same")
	}
	if got, want := held(t, s, who), "a3 a5"; got != want {
		t.Errorf("holds %q, want %q", got, want)
	}
	closed(t, s)
	s = open(t, o)
	if got, want := held(t, s, who), "a3 a5"; got != want {
		t.Errorf("after a restart, holds %q, want %q", got, want)
	}
	if entries, err := s.Journal(t.Context(), 10); err != nil || len(entries) != 2 || !entries[1].Whole {
		t.Errorf("journal %+v, %v", entries, err)
	}
}

func TestTheJournalSaysWhatChanged(t *testing.T) {
	now := time.UnixMicro(1_800_000_000_000_000)
	o := options(t.TempDir())
	o.Now = func() time.Time { return now }
	s := open(t, o)
	replace(t, s, sample())
	d := without(sample(), "a1")
	d.Tenants[0].Principals[0].Mail = ""
	d.Tenants[0].Groups = append(d.Tenants[0].Groups, snapshot.Group{ID: "g3"})
	if _, err := s.Replace(t.Context(), d, snapshot.Change{Source: "import", Note: "by hand"}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Journal(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	const epoch = 1_800_000_000_000_000
	want := []snapshot.JournalEntry{
		{Revision: authz.Revision{Epoch: epoch, Number: 1}, Written: epoch, Source: "test", Whole: true, Added: 20},
		{Revision: authz.Revision{Epoch: epoch, Number: 2}, Written: epoch, Source: "import", Note: "by hand", Added: 1, Changed: 1, Removed: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := s.Journal(t.Context(), 1); err != nil || len(got) != 1 || got[0].Revision.Number != 2 {
		t.Errorf("the newest is %+v, %v", got, err)
	}
}

func TestWhoHoldsWhatAtAScope(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	at := func(tenant string, scope authz.Scope) []snapshot.RoleAssignment {
		t.Helper()
		_, all, err := s.AssignmentsAt(t.Context(), tenant, scope)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if diff := cmp.Diff([]snapshot.RoleAssignment{deny("a3", group("g1"), readerRole, "/environments/e2")}, at("t1", "/tenants/t1/environments/e2")); diff != "" {
		t.Error(diff)
	}
	if got := at("t1", "/tenants/t1"); len(got) != 2 || got[0].ID != "a5" || got[1].ID != "a1" {
		t.Errorf("at the tenant: %+v", got)
	}
	if got := at("t1", "/tenants/t1/environments/e"); len(got) != 0 {
		t.Errorf("at a scope whose name is a beginning of others: %+v", got)
	}
}

func TestAwait(t *testing.T) {
	s := open(t, options(t.TempDir()))
	first := replace(t, s, sample())
	if snap, err := s.Await(t.Context(), first); err != nil || snap.Revision() != first {
		t.Errorf("%v, %v", snap, err)
	}
	next := authz.Revision{Epoch: first.Epoch, Number: 2}
	got := make(chan authz.Revision, 1)
	go func() {
		snap, err := s.Await(t.Context(), next)
		if err != nil {
			t.Error(err)
		}
		got <- snap.Revision()
	}()
	replace(t, s, without(sample(), "a1"))
	if r := <-got; r != next {
		t.Errorf("revision %v, want %v", r, next)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Await(ctx, authz.Revision{Epoch: first.Epoch + 1})
	wantErr(t, err, context.Canceled)
}

func TestAwaitEndsWhenTheStoreIsClosed(t *testing.T) {
	s := opened(t, options(t.TempDir()))
	replace(t, s, sample())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Await(context.Background(), authz.Revision{Epoch: 1 << 60})
		ended <- err
	}()
	closed(t, s)
	wantErr(t, <-ended, snapshot.ErrNotReady)
	_, err := s.Replace(t.Context(), sample(), snapshot.Change{})
	wantErr(t, err, snapshot.ErrClosed)
	_, err = s.View(t.Context(), caller(t, user("ada")))
	wantErr(t, err, snapshot.ErrNotReady)
	closed(t, s) // again
}

func TestOneDirectoryHasOneServer(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	_, err := snapshot.Open(t.Context(), o)
	wantErr(t, err, snapshot.ErrLocked, "process ", "stop it")
	replace(t, s, sample())
	o.ReadOnly = true
	_, err = snapshot.Open(t.Context(), o)
	wantErr(t, err, snapshot.ErrLocked, "ask that server")
}

func TestReadOnlyWritesNothing(t *testing.T) {
	o := options(t.TempDir())
	o.ReadOnly = true
	_, err := snapshot.Open(t.Context(), o)
	wantErr(t, err, snapshot.ErrNotReady, o.Dir)

	o.ReadOnly = false
	s := opened(t, o)
	replace(t, s, sample())
	closed(t, s)
	if err := os.Remove(filepath.Join(o.Dir, "LOCK")); err != nil {
		t.Fatal(err)
	}
	before := files(t, o.Dir)
	o.ReadOnly = true
	s = open(t, o)
	other := open(t, o) // readers do not keep each other out
	for _, s := range []*snapshot.Store{s, other} {
		if got, want := held(t, s, caller(t, user("ada"))), "a1 a2 a3 a5"; got != want {
			t.Errorf("holds %q, want %q", got, want)
		}
	}
	if _, err := s.Export(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = s.Replace(t.Context(), sample(), snapshot.Change{})
	wantErr(t, err, snapshot.ErrReadOnly)
	if diff := cmp.Diff(before, files(t, o.Dir)); diff != "" {
		t.Error(diff)
	}
}

func TestADirectoryThatCannotBeWritten(t *testing.T) {
	o := options(t.TempDir())
	if err := os.Mkdir(filepath.Join(o.Dir, "LOCK"), 0o700); err != nil { // nobody can open it for writing, root neither
		t.Fatal(err)
	}
	_, err := snapshot.Open(t.Context(), o)
	if err == nil || !errors.As(err, new(*os.PathError)) {
		t.Fatalf("error %v", err)
	}
	wantErr(t, err, err, "must be writable", o.Dir)
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "data"))
	s := open(t, o)
	replace(t, s, sample())
	info, err := os.Stat(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("the directory's mode is %v", got)
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v (%v)", e.Name(), info.Mode().Perm(), err)
		}
	}
	if len(entries) != 3 {
		t.Errorf("%v", entries)
	}
}

func TestARestoreBeginsANewEpoch(t *testing.T) {
	o := options(t.TempDir())
	now := time.UnixMicro(1_800_000_000_000_000)
	o.Now = func() time.Time { return now } // a clock that stands still
	s := opened(t, o)
	first := replace(t, s, sample())
	closed(t, s)
	o.Restore = true
	s = open(t, o)
	if s.Current() != nil || s.FirstStart() {
		t.Fatalf("current %v, first start %v", s.Current(), s.FirstStart())
	}
	got := replace(t, s, without(sample(), "a1"))
	if want := (authz.Revision{Epoch: first.Epoch + 1, Number: 1}); got != want {
		t.Errorf("revision %+v, want %+v", got, want)
	}
}

func TestAnotherCatalogue(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir))
	d := sample()
	d.Tenants[0].RoleDefinitions[0].Permissions = []string{"PowerAutomate.Flows.Read"}
	replace(t, s, d)
	closed(t, s)

	o := options(dir)
	o.FoldCase = true
	_, err := snapshot.Open(t.Context(), o)
	wantErr(t, err, snapshot.ErrCatalogue, "caseInsensitivePaths: false", "restore")

	o = options(dir)
	if o.Vocabulary, err = authz.NewVocabulary([]authz.Permission{"PowerApps.Apps.Read"}, nil); err != nil {
		t.Fatal(err)
	}
	_, err = snapshot.Open(t.Context(), o)
	wantErr(t, err, snapshot.ErrCatalogue, "PowerAutomate.Flows.Read", "Flow Operator")

	o = options(dir)
	o.ShippedRoles = o.ShippedRoles[:1]
	_, err = snapshot.Open(t.Context(), o)
	wantErr(t, err, snapshot.ErrCatalogue, contributorRole)

	if got, want := held(t, open(t, options(dir)), caller(t, user("ada"))), "a1 a2 a3 a5"; got != want {
		t.Errorf("with the old catalogue again, holds %q, want %q", got, want)
	}
}

func TestUnlistedTenantsHaveAHierarchyOfTheirOwn(t *testing.T) {
	o := options(t.TempDir())
	o.UnknownScopesAtTenant = true
	h := open(t, o).EmptyHierarchy("t9")
	if chain, err := h.Chain("/tenants/t9/environments/e1", false); err != nil || len(chain) != 2 {
		t.Errorf("%v, %v", chain, err)
	}
	o.Dir, o.UnknownScopesAtTenant = t.TempDir(), false
	if _, err := open(t, o).EmptyHierarchy("t9").Chain("/tenants/t9/environments/e1", false); err == nil {
		t.Error("an environment that nobody listed is known")
	}
}

func TestAFileThatIsMostlyFreeIsWrittenAnew(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	s.SetBloatedAbove(64 << 10)
	first := replace(t, s, many(5000))
	replace(t, s, sample()) // in the same file, which keeps its size
	name, large := s.FileName(), s.Stats().FileBytes
	got := replace(t, s, without(sample(), "a1"))
	if want := (authz.Revision{Epoch: first.Epoch, Number: 3}); got != want {
		t.Errorf("revision %+v, want %+v", got, want)
	}
	if s.FileName() == name || s.Stats().FileBytes > large/4 {
		t.Errorf("%s of %d bytes after %s of %d", s.FileName(), s.Stats().FileBytes, name, large)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old file: %v", err)
	}
	if got, want := held(t, s, caller(t, user("ada"))), "a2 a3 a5"; got != want {
		t.Errorf("holds %q, want %q", got, want)
	}
}
