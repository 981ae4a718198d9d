package snapshot_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func TestWhoOwnsWhat(t *testing.T) {
	o := options(t.TempDir())
	s := opened(t, o)
	first := replace(t, s, withOwners())
	check := func(s *snapshot.Store, want map[string][2][]authz.Principal) {
		t.Helper()
		if err := s.Read(t.Context(), func(r *snapshot.Reader) error {
			got := map[string][2][]authz.Principal{}
			for name, p := range map[string]authz.Principal{
				"ada": user("ada"), "bot": app("bot"), "bot as a person": user("bot"), "boss": user("boss"), "sync as a person": user("sync"),
				"g1": group("g1"), "g2": group("g2"),
			} {
				owned, err := r.OwnedBy("t1", p)
				if err != nil {
					return err
				}
				owners, err := r.Owners("t1", p)
				if err != nil {
					return err
				}
				got[name] = [2][]authz.Principal{owned, owners}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	bot, g1 := []authz.Principal{app("bot")}, []authz.Principal{group("g1")}
	ofBot, ofG1 := []authz.Principal{user("ada"), group("g1")}, []authz.Principal{user("boss"), app("sync")}
	want := map[string][2][]authz.Principal{
		"ada": {bot, nil}, "bot": {nil, ofBot}, "bot as a person": {nil, ofBot}, "boss": {g1, nil}, "sync as a person": {g1, nil},
		"g1": {bot, ofG1}, "g2": {nil, nil},
	}
	check(s, want)
	d, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(withOwners(), d); diff != "" {
		t.Error(diff)
	}
	// The same owners in another order, some twice, are no change.
	again := withOwners()
	again.Tenants[0].Groups[0].Owners = []authz.Principal{app("sync"), user("boss"), app("sync")}
	if r := replace(t, s, again); r != first {
		t.Errorf("revision %v after %v", r, first)
	}
	// Another owner is.
	if r := replace(t, s, sample()); r == first {
		t.Error("owners that are gone are no change")
	}
	check(s, map[string][2][]authz.Principal{"ada": {}, "bot": {}, "bot as a person": {}, "boss": {}, "sync as a person": {}, "g1": {}, "g2": {}})
	replace(t, s, withOwners())
	closed(t, s)
	s = open(t, o)
	check(s, want)
	// Who is owned and goes is owned by nobody; who owns and is not listed owns on.
	if _, err := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error {
		if _, err := e.RemovePrincipal("t1", app("bot")); err != nil {
			return err
		}
		_, err := e.RemovePrincipal("t1", user("ada"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	check(s, map[string][2][]authz.Principal{
		"ada": {}, "bot": {}, "bot as a person": {}, "boss": {g1, nil}, "sync as a person": {g1, nil}, "g1": {nil, ofG1}, "g2": {},
	})
}

func TestOwnersThatCannotBe(t *testing.T) {
	s := open(t, options(t.TempDir()))
	for words, spoil := range map[string]func(*snapshot.Tenant){
		`an owner of group g1 "x" has no principal type`: func(t *snapshot.Tenant) { t.Groups[0].Owners = []authz.Principal{{ID: "x"}} },
		`has no identifier`: func(t *snapshot.Tenant) { t.Principals[0].Owners = []authz.Principal{user("")} },
		`group "g1" has owners where it is listed as a principal`: func(t *snapshot.Tenant) {
			t.Principals = append(t.Principals, snapshot.Principal{Principal: group("g1"), Owners: []authz.Principal{user("ada")}})
		},
	} {
		d := sample()
		spoil(&d.Tenants[0])
		_, err := s.Replace(t.Context(), d, snapshot.Change{})
		wantErr(t, err, snapshot.ErrInvalid, words)
	}
}
