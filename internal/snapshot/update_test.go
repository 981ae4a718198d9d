package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func change(t testing.TB, s *snapshot.Store, edit func(e *snapshot.Edit) error) authz.Revision {
	t.Helper()
	r, err := s.Update(t.Context(), snapshot.Change{Source: "test", Note: "a test"}, edit)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnUpdateIsSeenAtOnce(t *testing.T) {
	s := open(t, options(t.TempDir()))
	first := replace(t, s, sample())
	zoe, before := caller(t, user("zoe")), s.Current().DataSum()
	if got := held(t, s, zoe); got != "" {
		t.Fatalf("holds %q", got)
	}
	at := change(t, s, func(e *snapshot.Edit) error {
		if e.Base() != s.Current() || e.Next() != (authz.Revision{Epoch: first.Epoch, Number: 2}) || e.Revision() != first || e.Now().IsZero() {
			t.Errorf("base %v, next %v, revision %v at %v", e.Base().Revision(), e.Next(), e.Revision(), e.Now())
		}
		return errors.Join(
			e.PutRoleAssignment("t1", allow("z1", user("zoe"), readerRole, "/environments/e1")),
			e.PutRoleAssignment("t1", deny("z2", group("g9"), "r1", "")),
			e.PutGroup("t1", snapshot.Group{ID: "g9", Members: []authz.Principal{user("zoe"), user("bob"), user("bob")}}),
		)
	})
	if got := held(t, s, zoe); got != "z1 z2" || at.Number != 2 || s.Current().Revision() != at {
		t.Errorf("holds %q at %v", got, at)
	}
	if s.Current().DataSum() == before {
		t.Error("the sum of the data is what it was")
	}
	change(t, s, func(e *snapshot.Edit) error {
		if err := errors.Join(e.PutTenant("t22", true), e.PutTenant("t22", false)); err != nil { // which is no change
			return err
		}
		there, err := e.RemoveRoleAssignment("t1", "z1")
		if !there {
			t.Error("z1 is not there")
		}
		return errors.Join(err, e.PutGroup("t1", snapshot.Group{ID: "g9"}))
	})
	if got := held(t, s, zoe); got != "" {
		t.Errorf("holds %q", got)
	}
	entries, err := s.Journal(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprint(e.Revision.Number, e.Source, e.Note, e.Added, e.Changed, e.Removed))
	}
	if want := []string{"2test" + "a test" + "3 0 0", "3test" + "a test" + "0 1 1"}; !slices.Equal(got, want) {
		t.Errorf("journal %q, want %q", got, want)
	}
}

func TestWhatIsUndoneWithinAChangeIsNoChange(t *testing.T) {
	s := open(t, options(t.TempDir()))
	first := replace(t, s, sample())
	at := change(t, s, func(e *snapshot.Edit) error {
		a, ok, err := e.RoleAssignment("t1", "a2")
		if !ok || err != nil {
			t.Errorf("%t, %v", ok, err)
		}
		_, err = e.RemoveRoleAssignment("t1", "a2")
		return errors.Join(err,
			e.PutRoleAssignment("t1", a), e.PutTenant("t1", true), e.PutTenant("t1", false), e.PutTenant("t1", true),
			e.PutPrincipal("t1", snapshot.Principal{Principal: user("eve"), Disabled: true}))
	})
	if at != first || s.Current().Revision() != first {
		t.Errorf("revision %v after %v", at, first)
	}
	if at := change(t, s, func(*snapshot.Edit) error { return nil }); at != first {
		t.Errorf("revision %v after %v", at, first)
	}
}

func TestAnErrorLeavesNothing(t *testing.T) {
	s := open(t, options(t.TempDir()))
	first := replace(t, s, sample())
	mine := errors.New("not allowed")
	breakOff := func(end func() error) (authz.Revision, error) {
		return s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error {
			if _, err := e.AppendLog([]byte("x")); err != nil {
				return err
			}
			if err := errors.Join(e.PutNote("b", "k", []byte("v")), e.PutRoleAssignment("t1", allow("z", user("zoe"), readerRole, ""))); err != nil {
				return err
			}
			if view, err := e.View("t1", caller(t, user("zoe"))); err != nil || describe(view) != "z" {
				t.Errorf("%v, %v", view, err)
			}
			return end()
		})
	}
	nothing := func(t *testing.T) {
		t.Helper()
		if got := held(t, s, caller(t, user("zoe"))); got != "" || s.Current().Revision() != first {
			t.Errorf("holds %q at %v", got, s.Current().Revision())
		}
		if n, _, err := logged(t.Context(), s); n != 0 || err != nil {
			t.Errorf("%d records in the change log, %v", n, err)
		}
		if st := s.Stats(); st.Problem != "" || st.Quarantined != 0 {
			t.Errorf("%+v", st)
		}
	}
	t.Run("an error", func(t *testing.T) {
		if _, err := breakOff(func() error { return mine }); err != mine { //nolint:errorlint // it comes back as it is
			t.Errorf("error %v", err)
		}
		nothing(t)
	})
	t.Run("a panic", func(t *testing.T) {
		func() {
			defer func() {
				if got := recover(); got != "oh" {
					t.Errorf("panic %v", got)
				}
			}()
			_, _ = breakOff(func() error { panic("oh") })
		}()
		nothing(t)
	})
	t.Run("a context that ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := s.Update(ctx, snapshot.Change{}, func(e *snapshot.Edit) error {
			cancel()
			return e.PutRoleAssignment("t1", allow("z", user("zoe"), readerRole, ""))
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		nothing(t)
	})
	t.Run("what does not fit at the end", func(t *testing.T) {
		_, err := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error {
			return e.PutBusinessUnit("t1", authz.BusinessUnit{ID: "b9", Environment: "e1", Parent: "b8"})
		})
		wantErr(t, err, snapshot.ErrInvalid, `business unit "b9" lies below "b8"`)
		nothing(t)
	})
	if at := change(t, s, func(e *snapshot.Edit) error {
		_, err := e.RemoveRoleAssignment("t1", "a1")
		return err
	}); at.Number != 2 {
		t.Errorf("revision %v", at)
	}
}

// Whoever passes over an error of the file has no success all the same.
func TestAnErrorOfTheFileCannotBePassedOver(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	replace(t, s, sample())
	change(t, s, func(e *snapshot.Edit) error {
		_, err := e.AppendLog([]byte("to be spoilt"))
		return err
	})
	path := filepath.Join(o.Dir, s.FileName())
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for at := bytes.Index(content, []byte("to be spoilt")); at >= 0; at = bytes.Index(content, []byte("to be spoilt")) {
		content[at] = 'T'
		if _, err := f.WriteAt([]byte("T"), int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error {
		_, _, err := e.LastLog()
		wantErr(t, err, snapshot.ErrCorrupt)
		wantErr(t, e.PutTenant("t4", false), snapshot.ErrCorrupt)
		return nil
	})
	wantErr(t, err, snapshot.ErrNotReady)
	if st := s.Stats(); st.Ready || st.Quarantined != 1 {
		t.Errorf("%+v", st)
	}
}

func TestWhatIsPutIsChecked(t *testing.T) {
	s := open(t, options(t.TempDir()))
	first := replace(t, s, sample())
	foreign := allow("z", user("zoe"), readerRole, "")
	foreign.Scope = "/tenants/t22"
	for name, test := range map[string]struct {
		edit func(e *snapshot.Edit) error
		want string
	}{
		"a tenant without a name": {func(e *snapshot.Edit) error { return e.PutTenant("", true) }, "has no identifier"},
		"a tenant that does not exist": {func(e *snapshot.Edit) error {
			return e.PutRoleAssignment("t9", snapshot.RoleAssignment{ID: "z", Principal: user("zoe"), RoleDefinitionID: readerRole, Scope: "/tenants/t9", Effect: authz.AssignAllow})
		}, `tenant "t9" does not exist`},
		"a role that does not exist": {func(e *snapshot.Edit) error {
			return e.PutRoleAssignment("t1", allow("z", user("zoe"), "r9", ""))
		}, `names the role definition "r9", which does not exist`},
		"another tenant's scope": {func(e *snapshot.Edit) error { return e.PutRoleAssignment("t1", foreign) }, `has the scope "/tenants/t22", which is not in the tenant`},
		"an unknown permission": {func(e *snapshot.Edit) error {
			return e.PutRoleDefinition("t1", authz.RoleDefinition{ID: "r2", Name: "R", Permissions: []string{"No.Such.Thing"}})
		}, `knows no permission "No.Such.Thing"`},
		"a shipped role's name": {func(e *snapshot.Edit) error {
			return e.PutRoleDefinition("t1", authz.RoleDefinition{ID: readerRole, Name: "R"})
		}, "the identifier of a shipped role"},
		"a role that is assigned": {func(e *snapshot.Edit) error { _, err := e.RemoveRoleDefinition("t1", "r1"); return err }, `2 role assignments name the role definition "r1"`},
		"a group that does not exist": {func(e *snapshot.Edit) error {
			return e.PutEnvironment("t1", snapshot.Environment{ID: "e1"}, "eg9")
		}, `the environment group "eg9", which does not exist`},
		"a group with environments": {func(e *snapshot.Edit) error { _, err := e.RemoveEnvironmentGroup("t1", "eg1"); return err }, `environment "e1" is in the environment group "eg1"`},
		"an environment with units": {func(e *snapshot.Edit) error { _, err := e.RemoveEnvironment("t1", "e2"); return err }, `is of the environment "e2", which is not listed`},
		"a principal without type": {func(e *snapshot.Edit) error {
			return e.PutPrincipal("t1", snapshot.Principal{Principal: authz.Principal{ID: "x"}})
		}, "has no principal type"},
		"a long note":   {func(e *snapshot.Edit) error { return e.PutNote("b", "k", make([]byte, 2<<20)) }, "a note of 2097152 bytes"},
		"a long record": {func(e *snapshot.Edit) error { _, err := e.AppendLog(make([]byte, 2<<20)); return err }, "has 2097152 bytes"},
		"another tenant's subject": {func(e *snapshot.Edit) error {
			_, err := e.View("t22", caller(t, user("ada")))
			return err
		}, `the subject is of the tenant "t1", not of "t22"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Update(t.Context(), snapshot.Change{}, test.edit)
			wantErr(t, err, snapshot.ErrInvalid, test.want)
			if s.Current().Revision() != first {
				t.Errorf("revision %v", s.Current().Revision())
			}
		})
	}
	// What is refused has changed nothing, and the rest of the change may go on.
	at := change(t, s, func(e *snapshot.Edit) error {
		wantErr(t, e.PutRoleAssignment("t1", foreign), snapshot.ErrInvalid, "not in the tenant")
		return e.PutNote("b", "k", nil)
	})
	if at != first {
		t.Errorf("revision %v", at)
	}
}

// Roles and scopes count as they are within the change, in whatever order they come.
func TestAChangeReadsItself(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	shrunk, _ := theVocabulary.ID("PowerApps.Apps.Delete")
	change(t, s, func(e *snapshot.Edit) error {
		err := errors.Join(
			e.PutTenant("t3", false),
			e.PutEnvironmentGroup("t3", "eg"), e.PutEnvironment("t3", snapshot.Environment{ID: "e"}, "eg"),
			e.PutBusinessUnit("t3", authz.BusinessUnit{ID: "below", Environment: "e", Parent: "top"}),
			e.PutBusinessUnit("t3", authz.BusinessUnit{ID: "top", Environment: "e"}),
			e.PutRoleDefinition("t3", authz.RoleDefinition{ID: "r", Name: "R", Permissions: []string{"PowerApps.*"}}),
			e.PutRoleAssignment("t3", snapshot.RoleAssignment{ID: "a", Principal: group("g"), RoleDefinitionID: "r", Scope: "/tenants/t3/environmentGroups/eg", Effect: authz.AssignForbid}),
		)
		if err != nil {
			return err
		}
		if got := e.Tenants(); !slices.Equal(got, []string{"t1", "t22", "t3"}) {
			t.Errorf("tenants %q", got)
		}
		h, err := e.Hierarchy("t3")
		if err != nil {
			return err
		}
		chain, err := h.Chain("/tenants/t3/environments/e/businessUnits/below", false)
		want := []authz.Scope{
			"/tenants/t3/environments/e/businessUnits/below", "/tenants/t3/environments/e/businessUnits/top",
			"/tenants/t3/environments/e", "/tenants/t3/environmentGroups/eg", "/tenants/t3",
		}
		if diff := cmp.Diff(want, chain); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
		denials, err := e.GroupDenials("t3")
		if err != nil || len(denials.All()) != 1 || !denials.All()[0].Role.Grants(shrunk) {
			t.Errorf("%v %+v", err, denials.All())
		}
		if err := e.PutRoleDefinition("t3", authz.RoleDefinition{ID: "r", Name: "R", Permissions: []string{"*.Read"}}); err != nil {
			return err
		}
		role, ok := e.Role("t3", "r")
		if !ok || role.Grants(shrunk) {
			t.Error("the role is as it was")
		}
		denials, err = e.GroupDenials("t3")
		if err != nil || denials.All()[0].Role != role {
			t.Errorf("%v %+v", err, denials.All())
		}
		view, err := e.View("t3", subject(t, authz.SubjectSpec{Tenant: "t3", Principal: user("u"), Groups: []string{"g"}}))
		if err != nil || len(view.Grants.All()) != 1 || view.Grants.All()[0].Role != role {
			t.Errorf("%v %+v", err, view)
		}
		if _, ok := e.Tenant("t4"); ok {
			t.Error("there is a t4")
		}
		if parents, err := e.GroupsOf("t1", app("ada")); err != nil || !slices.Equal(parents, []authz.Principal{group("g1")}) {
			t.Errorf("%v %v", err, parents)
		}
		return nil
	})
	if d := s.Current().Tenant("t3").GroupDenials().All(); len(d) != 1 || d[0].Role.Grants(shrunk) || d[0].Role.Size() == 0 {
		t.Errorf("%+v", d)
	}
}

func TestWhatLiesUnderAScope(t *testing.T) {
	s := open(t, options(t.TempDir()))
	const guid = "c886ad2e-27f7-4874-8381-5849b8d8a0aa"
	replace(t, s, sample())
	change(t, s, func(e *snapshot.Edit) error {
		for i, below := range []string{
			"/environments/e1", "/environments/e1/powerapps/a", "/environments/e1/powerapps/" + guid, "/environments/e1/x/a", "/environments/e11",
			"/environments/e11/powerapps/a", "/environments/" + guid, "/environments/" + guid + "/flows/f", "/environments/e1/businessUnits/b",
		} {
			if err := e.PutRoleAssignment("t1", allow(fmt.Sprint("x", i), user("zoe"), readerRole, below)); err != nil {
				return err
			}
		}
		return e.PutRoleAssignment("t1", deny("y", user("zoe"), readerRole, "/environments/e1"))
	})
	err := s.Read(t.Context(), func(r *snapshot.Reader) error {
		for scope, want := range map[string]string{
			"/environments/e1": "a2 x0 x1 x2 x3 x8 y", "/environments/e11": "x4 x5", "/environments/" + guid: "x6 x7", "/environments/e": "",
			"": "a1 a2 a3 a4 a5 a6 x0 x1 x2 x3 x4 x5 x6 x7 x8 y", "/environments/e1/powerapps/a": "x1", "/environments/e1/powerapps": "x1 x2",
			"/environmentGroups/eg1": "a6",
		} {
			var ids []string
			for a, err := range r.RoleAssignmentsUnder("t1", authz.Scope("/tenants/t1"+scope)) {
				if err != nil {
					return err
				}
				// Each is a place to go on from.
				var rest []string
				for b, err := range r.RoleAssignmentsUnderAfter("t1", authz.Scope("/tenants/t1"+scope), &a) {
					if err != nil {
						return err
					}
					rest = append(rest, b.ID)
				}
				if slices.Contains(rest, a.ID) || len(rest)+len(ids)+1 != len(strings.Fields(want)) {
					t.Errorf("under %q: %q behind %s", scope, rest, a.ID)
				}
				ids = append(ids, a.ID)
			}
			slices.Sort(ids)
			if got := strings.Join(ids, " "); got != want {
				t.Errorf("under %q: %q, want %q", scope, got, want)
			}
		}
		var denials []string
		for a, err := range r.DenialsAt("t1", "/tenants/t1/environments/e1") {
			if err != nil {
				return err
			}
			denials = append(denials, a.ID)
		}
		if !slices.Equal(denials, []string{"y"}) {
			t.Errorf("denials %q", denials)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheFirstChangeMakesTheStore(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	for range 2 {
		r, err := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error {
			if e.Base() == nil || len(e.Base().Tenants()) != 0 || len(e.Tenants()) != 0 {
				t.Errorf("base %v", e.Base())
			}
			return nil
		})
		if err != nil || r != (authz.Revision{}) || s.Current() != nil {
			t.Fatalf("%v, %v, %v", r, err, s.Current())
		}
	}
	mine := errors.New("no")
	if _, err := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error {
		return errors.Join(e.PutTenant("t1", true), mine)
	}); !errors.Is(err, mine) || s.Current() != nil {
		t.Fatalf("%v, %v", err, s.Current())
	}
	at := change(t, s, func(e *snapshot.Edit) error {
		n, err := e.AppendLog([]byte("made"))
		if n != 1 {
			t.Errorf("number %d", n)
		}
		return errors.Join(err, e.PutTenant("t1", true), e.PutRoleAssignment("t1", allow("a", user("ada"), contributorRole, "")))
	})
	if got := held(t, s, caller(t, user("ada"))); got != "a" || at.Number != 1 {
		t.Errorf("holds %q at %v", got, at)
	}
	if entries, err := s.Journal(t.Context(), 9); err != nil || len(entries) != 1 || entries[0].Added != 2 || !entries[0].Whole || entries[0].Note != "a test" {
		t.Errorf("%v, %+v", err, entries)
	}
	closed(t, s)
	s = open(t, o)
	if n, record, err := logged(t.Context(), s); n != 1 || record != "made" || err != nil || s.Current().Revision() != at {
		t.Errorf("%d %q %v at %v", n, record, err, s.Current().Revision())
	}
}

func TestNothingIsChangedOfWhatCannotBeRead(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	replace(t, s, sample())
	closed(t, s)
	nothing := func(*snapshot.Edit) error { t.Error("it was called"); return nil }

	readOnly := o
	readOnly.ReadOnly = true
	r := opened(t, readOnly)
	_, err := r.Update(t.Context(), snapshot.Change{}, nothing)
	wantErr(t, err, snapshot.ErrReadOnly)
	closed(t, r)

	restored := o
	restored.Restore = true
	r = opened(t, restored)
	_, err = r.Update(t.Context(), snapshot.Change{}, nothing)
	wantErr(t, err, snapshot.ErrNotReady, "being restored")
	wantErr(t, r.Read(t.Context(), func(*snapshot.Reader) error { return nil }), snapshot.ErrNotReady)
	closed(t, r)
	_, err = r.Update(t.Context(), snapshot.Change{}, nothing)
	wantErr(t, err, snapshot.ErrClosed)
}

func TestAReaderEndsWithItsTransaction(t *testing.T) {
	s := open(t, options(t.TempDir()))
	first := replace(t, s, sample())
	var kept *snapshot.Reader
	var edit *snapshot.Edit
	mine := errors.New("mine")
	err := s.Read(t.Context(), func(r *snapshot.Reader) error {
		kept = r
		replace(t, s, without(sample(), "a1")) // which a reader does not see
		if _, ok, err := r.RoleAssignment("t1", "a1"); !ok || err != nil || r.Revision() != first {
			t.Errorf("%t, %v at %v", ok, err, r.Revision())
		}
		return mine
	})
	if !errors.Is(err, mine) {
		t.Fatal(err)
	}
	change(t, s, func(e *snapshot.Edit) error { edit = e; return nil })
	for _, r := range []*snapshot.Reader{kept, &edit.Reader} {
		if _, _, err := r.RoleAssignment("t1", "a2"); err == nil {
			t.Error("it can be read for ever")
		}
	}
	if err := edit.PutTenant("t4", false); err == nil {
		t.Error("it can be changed for ever")
	}
}

// What is gone through may be changed on the way.
func TestAChangeWhileItIsGoneThrough(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, many(2000))
	change(t, s, func(e *snapshot.Edit) error {
		for a, err := range e.RoleAssignments("t1") { // what was written once lies elsewhere
			if err != nil {
				return err
			}
			a.Expires++
			if err := e.PutRoleAssignment("t1", a); err != nil {
				return err
			}
		}
		seen := map[string]bool{}
		for a, err := range e.RoleAssignments("t1") {
			if err != nil {
				return err
			}
			if seen[a.ID] {
				t.Fatalf("%s came twice", a.ID)
			}
			seen[a.ID] = true
			if _, err := e.RemoveRoleAssignment("t1", a.ID); err != nil {
				return err
			}
		}
		if len(seen) != 2007 {
			t.Errorf("%d role assignments", len(seen))
		}
		return nil
	})
	d, err := s.Export(t.Context())
	if err != nil || len(d.Tenants[0].RoleAssignments) != 0 {
		t.Errorf("%v, %d are left", err, len(d.Tenants[0].RoleAssignments))
	}
}

// A role that changes at a revision whose number an earlier epoch had a change of roles at,
// too, is no less changed.
func TestNumbersOfTwoEpochsAreNotMixedUp(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	read, _ := theVocabulary.ID("PowerApps.Apps.Read")
	role := func(permission string) {
		change(t, s, func(e *snapshot.Edit) error {
			return e.PutRoleDefinition("t1", authz.RoleDefinition{ID: "r1", Name: "R", Permissions: []string{permission}, AssignableScopes: []string{"/tenants/{0}"}})
		})
	}
	role("*.Delete")
	role("*.Read") // revision 3
	s.FailWrites()
	change(t, s, func(e *snapshot.Edit) error { return e.PutNote("b", "k", []byte{1}) }) // revision 2 of the next epoch
	bot := caller(t, app("bot"))
	held(t, s, bot)
	s.WaitCache()
	role("*.Delete") // revision 3 of it
	if got := s.Current().Revision().Number; got != 3 {
		t.Fatalf("revision %d", got)
	}
	found, err := s.View(t.Context(), bot)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range found.View.Grants.All() {
		if g.Role.ID() == "r1" && g.Role.Grants(read) {
			t.Errorf("%s grants as before", g.AssignmentID)
		}
	}
}

// What a change of one assignment writes and allocates does not depend on how many there
// are, and who is not concerned keeps his cached view.
func TestAChangeCostsWhatItTouches(t *testing.T) {
	cost := func(n int) (written, bytes uint64) {
		s := open(t, options(t.TempDir()))
		replace(t, s, many(n))
		ada := caller(t, user("ada"))
		held(t, s, ada)
		s.WaitCache()
		misses := s.Stats().Misses
		var before, after runtime.MemStats
		for i := range 4 { // the first maps and caches what is used again
			runtime.ReadMemStats(&before)
			change(t, s, func(e *snapshot.Edit) error {
				err := e.PutRoleAssignment("t1", allow(fmt.Sprint("new", i), user("user-000007"), readerRole, "/environments/e2"))
				if err == nil {
					_, err = e.View("t1", caller(t, user("user-000007")))
				}
				written = e.Written()
				return err
			})
			runtime.ReadMemStats(&after)
		}
		held(t, s, ada)
		if got := s.Stats().Misses; got != misses {
			t.Errorf("%d views were read again", got-misses)
		}
		return written, after.TotalAlloc - before.TotalAlloc
	}
	few, fewBytes := cost(500)
	lots, lotsBytes := cost(20_000)
	if few != 4 || lots != 4 { // the assignment, the index by scope, the grants, the use of the role
		t.Errorf("%d records of 500, %d of 20,000", few, lots)
	}
	if lotsBytes > 3*fewBytes+64<<10 {
		t.Errorf("%d bytes for 500, %d for 20,000", fewBytes, lotsBytes)
	}
}

func TestTheChangeLogSurvivesDeliveries(t *testing.T) {
	logIt := func(t *testing.T, s *snapshot.Store, upTo int) {
		t.Helper()
		change(t, s, func(e *snapshot.Edit) error {
			last, _, err := e.LastLog()
			for n := int(last) + 1; n <= upTo && err == nil; n++ {
				_, err = e.AppendLog(fmt.Append(nil, "record ", n))
			}
			return errors.Join(err, e.PutNote("heads", "head", fmt.Append(nil, upTo)))
		})
	}
	wants := func(t *testing.T, s *snapshot.Store, upTo int) {
		t.Helper()
		err := s.Read(t.Context(), func(r *snapshot.Reader) error {
			n := uint64(0)
			for record, err := range r.Logs(1, 1000) {
				if n++; err != nil || record.Number != n || string(record.Record) != fmt.Sprint("record ", n) {
					t.Errorf("record %d: %+v, %v", n, record, err)
				}
			}
			record, ok, err := r.Log(n)
			if n != uint64(upTo) || ok != (n > 0) || n > 0 && string(record) != fmt.Sprint("record ", n) || err != nil {
				t.Errorf("%d records, want %d, the last %q, %v", n, upTo, record, err)
			}
			head, err := r.Note("heads", "head")
			if want := []byte(fmt.Sprint(upTo)); upTo > 0 && string(head) != string(want) || upTo == 0 && head != nil {
				t.Errorf("head %q, %v", head, err)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	lastNote := func(t *testing.T, s *snapshot.Store) string {
		t.Helper()
		entries, err := s.Journal(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return entries[0].Note
	}

	o := options(t.TempDir())
	s, err := snapshot.OpenLimits(t.Context(), o, 1<<30, 8)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, s, sample())
	logIt(t, s, 3)
	wants(t, s, 3)
	file := s.FileName()
	replace(t, s, without(sample(), "a1"))
	wants(t, s, 3)
	if s.FileName() != file {
		t.Fatal("not in place")
	}
	replace(t, s, bulky())
	wants(t, s, 3)
	if s.FileName() == file {
		t.Fatal("not a new file")
	}
	logIt(t, s, 5)
	at := s.Current().Revision()
	s.FailWrites()
	logIt(t, s, 7) // in a new file, of a new epoch
	if now := s.Current().Revision(); now.Epoch <= at.Epoch {
		t.Errorf("%v after %v", now, at)
	}
	wants(t, s, 7)
	s.FailWrites()
	replace(t, s, sample())
	wants(t, s, 7)
	closed(t, s)

	t.Run("restored over", func(t *testing.T) {
		o := o
		o.Dir, o.Restore = copyDir(t, o.Dir), true
		s := open(t, o)
		replace(t, s, bulky())
		wants(t, s, 7)
		if got := lastNote(t, s); !strings.Contains(got, "8 records of the change log and notes were taken over from") {
			t.Errorf("note %q", got)
		}
	})
	t.Run("damaged while it is served", func(t *testing.T) {
		o := o
		o.Dir = copyDir(t, o.Dir)
		s := open(t, o)
		s.Damage()
		if _, err := s.Update(t.Context(), snapshot.Change{}, func(*snapshot.Edit) error { return nil }); !errors.Is(err, snapshot.ErrNotReady) {
			t.Errorf("error %v", err)
		}
		replace(t, s, bulky())
		wants(t, s, 7)
		if got := lastNote(t, s); !strings.Contains(got, "were taken over") {
			t.Errorf("note %q", got)
		}
	})
	t.Run("set aside before a restart", func(t *testing.T) {
		o := o
		o.Dir = copyDir(t, o.Dir)
		s := opened(t, o)
		s.Damage()
		closed(t, s)
		s = open(t, o)
		replace(t, s, bulky())
		wants(t, s, 7)
	})
	t.Run("the log itself damaged", func(t *testing.T) {
		o := o
		o.Dir = copyDir(t, o.Dir)
		s := opened(t, o)
		file := s.FileName()
		closed(t, s)
		if err := snapshot.SpoilLog(filepath.Join(o.Dir, file), 4); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
		if s.Current() != nil || s.Stats().Quarantined != 1 {
			t.Fatalf("%+v", s.Stats())
		}
		replace(t, s, bulky())
		wants(t, s, 0)
		if got := lastNote(t, s); !strings.Contains(got, "the change log cannot be read and begins anew") {
			t.Errorf("note %q", got)
		}
		if kept, err := os.ReadDir(filepath.Join(o.Dir, "quarantine")); err != nil || len(kept) != 1 {
			t.Errorf("quarantine holds %v, %v", kept, err)
		}
	})
}

// Who delivers can make an entry in the change log within the same revision, or refuse.
func TestADeliveryIsRecorded(t *testing.T) {
	for name, rebuildAbove := range map[string]uint64{"in place": 1 << 30, "in a new file": 0} {
		t.Run(name, func(t *testing.T) {
			s, err := snapshot.OpenLimits(t.Context(), options(t.TempDir()), 1<<30, rebuildAbove)
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, s)
			deliver := func(d *snapshot.Data, end error) (authz.Revision, error) {
				return s.Replace(t.Context(), d, snapshot.Change{Source: "test", Record: func(e *snapshot.Edit) error {
					if e.DataSum() == e.Base().DataSum() {
						t.Error("nothing differs")
					}
					n := 0
					for _, err := range e.RoleAssignments("t1") {
						if n++; err != nil {
							return err
						}
					}
					_, err := e.AppendLog(fmt.Appendf(nil, "%d of revision %d", n, e.Next().Number))
					return errors.Join(err, end)
				}})
			}
			for i, d := range []*snapshot.Data{sample(), without(sample(), "a1"), without(sample(), "a1")} {
				r, err := deliver(d, nil)
				if want := uint64(min(i+1, 2)); err != nil || r.Number != want {
					t.Fatalf("%v, %v", r, err)
				}
			}
			if n, record, err := logged(t.Context(), s); n != 2 || record != "5 of revision 2" || err != nil {
				t.Errorf("%d %q %v", n, record, err)
			}
			mine := errors.New("no")
			if r, err := deliver(sample(), mine); !errors.Is(err, mine) {
				t.Errorf("%v, %v", r, err)
			}
			if n, _, err := logged(t.Context(), s); n != 2 || err != nil || s.Current().Revision().Number != 2 || held(t, s, caller(t, user("ada"))) != "a2 a3 a5" {
				t.Errorf("%d %v at %v", n, err, s.Current().Revision())
			}
			if entries, err := s.Journal(t.Context(), 1); err != nil || entries[0].Revision.Number != 2 {
				t.Errorf("%v %+v", err, entries)
			}
		})
	}
}

// A change that was committed but not marked is in force, and the error says so; the next
// one writes all of it anew, log and notes included.
func TestAnUpdateWhoseMarkCannotBeWritten(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	at := replace(t, s, version(0))
	next := func(n int) error {
		_, err := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error { return toVersion(e, n) })
		return err
	}
	if err := next(1); err != nil {
		t.Fatal(err)
	}
	obstacle := filepath.Join(o.Dir, "CURRENT.tmp")
	if err := os.MkdirAll(filepath.Join(obstacle, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := next(2); err == nil || !strings.Contains(err.Error(), "in force") {
		t.Fatalf("error %v", err)
	}
	doubtful := s.Current().Revision()
	if got, err := versionOf(t.Context(), s); err != nil || got != 2 || doubtful.Epoch <= at.Epoch {
		t.Errorf("version %d, %v at %v", got, err, doubtful)
	}
	if err := next(3); err == nil {
		t.Fatal("a new file was marked")
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	if err := next(3); err != nil {
		t.Fatal(err)
	}
	if now := s.Current().Revision(); now.Compare(doubtful) <= 0 || s.Stats().Problem != "" {
		t.Errorf("%v after %v: %q", now, doubtful, s.Stats().Problem)
	}
	closed(t, s)
	s = open(t, o)
	if got, err := versionOf(t.Context(), s); err != nil || got != 3 {
		t.Errorf("after a restart: version %d, %v", got, err)
	}
	if n, record, err := logged(t.Context(), s); n != 3 || record != "3" || err != nil {
		t.Errorf("%d %q %v", n, record, err)
	}
}
