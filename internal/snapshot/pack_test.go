package snapshot_test

import (
	"path/filepath"
	"testing"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const packedRole = "a1b2c3d4-0000-4000-8000-000000000001"

// withPack are options with a role of a pack besides the shipped ones.
func withPack(dir string, more ...authz.RoleDefinition) snapshot.Options {
	o := options(dir)
	o.ShippedRoles = append(append(o.ShippedRoles, more...), authz.RoleDefinition{
		ID: packedRole, Name: "Sales Lead", Aliases: []string{"Seller"}, Category: authz.EnvironmentRoles, Pack: "sales", Permissions: []string{"*.Read"},
		Terms: &authz.RoleTerms{HeldBy: []authz.HolderKind{authz.UserHolder}},
	})
	return o
}

func wantNothingSetAside(t *testing.T, dir string) {
	t.Helper()
	if aside, err := filepath.Glob(filepath.Join(dir, "quarantine", "*")); err != nil || len(aside) > 0 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
}

// The data is good, and only needs the pack: it must be there when the pack is back.
func TestDataOfARolePackThatIsNotLoadedIsRefusedAndStays(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		dir := t.TempDir()
		s := opened(t, withPack(dir))
		d := sample()
		d.Tenants[0].RoleAssignments = append(d.Tenants[0].RoleAssignments, allow("p1", user("sue"), packedRole, "/environments/e3"))
		revision := replace(t, s, d)
		want := held(t, s, caller(t, user("sue")))
		closed(t, s)

		o := options(dir) // without the pack, as when it was removed from it
		o.ReadOnly = readOnly
		for range 2 {
			_, err := snapshot.Open(t.Context(), o)
			wantErr(t, err, snapshot.ErrCatalogue, `tenant "t1"`, `1 role assignments name the role definition "`+packedRole+`"`, "--role-pack")
			wantNothingSetAside(t, dir)
		}
		s = opened(t, withPack(dir))
		if got := held(t, s, caller(t, user("sue"))); got != want || got == "" {
			t.Errorf("with the pack again sue holds %q, want %q", got, want)
		}
		if got := s.Current().Revision(); got != revision {
			t.Errorf("with the pack again the revision is %v, want %v", got, revision)
		}
		closed(t, s)
	}
}

func TestARoleOfAPackThatNobodyIsAssignedMayGo(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, withPack(dir))
	replace(t, s, sample())
	closed(t, s)
	open(t, options(dir))
}

// Whoever wrote the name before the pack came meant the tenant's role.
func TestACustomRoleKeepsItsNameAgainstAPack(t *testing.T) {
	for _, name := range []string{"sales-lead", "SELLER"} {
		dir := t.TempDir()
		s := opened(t, options(dir))
		d := sample()
		d.Tenants[0].RoleDefinitions = append(d.Tenants[0].RoleDefinitions, authz.RoleDefinition{
			ID: "mine", Name: name, Permissions: []string{"*.Read"}, AssignableScopes: []string{"/tenants/{0}"},
		})
		replace(t, s, d)
		closed(t, s)
		_, err := snapshot.Open(t.Context(), withPack(dir))
		wantErr(t, err, snapshot.ErrCatalogue, `role definition "`+name+`" has the name of the role "Sales Lead"`, `the pack "sales"`, "change one of the names")
		wantNothingSetAside(t, dir)
		open(t, options(dir))
	}
}
