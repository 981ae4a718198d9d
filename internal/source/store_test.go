package source_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/source"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const canonical = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    directoryComplete: true
    environmentGroups:
      - {id: g1, environments: [e1, e2]}
    environments:
      - {id: e2, dataverse: true}
      - {id: e3}
    businessUnits:
      - {id: b1, environment: e3}
      - {id: b2, environment: e3, parent: b1}
    principals:
      - {principalType: User, principalObjectId: u9, disabled: true, displayName: Nine, mail: u9@example.com}
      - {principalType: Team, principalObjectId: team1, displayName: "The team"}
    groups:
      - {id: grp1, displayName: Makers, members: [{principalType: User, principalObjectId: u1}, {principalType: Group, principalObjectId: grp2}]}
      - {id: grp3, members: []}
    roleDefinitions:
      - {roleDefinitionId: r1, roleDefinitionName: Custom, description: "For a test.", permissions: ["PowerApps.*"], permissionsExceptions: ["*.Read"], assignableScopes: ["/tenants/{0}"], restrictedScopes: ["/tenants/{0}/environments/{1}/powerapps/{2}"]}
    roleAssignments:
      - {roleAssignmentId: a1, principalType: User, principalObjectId: u1, roleDefinitionId: 0cb07c69-1631-4725-ab35-e59e001c51ea, scope: /tenants/t1, expiresOn: 2027-01-01T00:00:00Z, createdOn: 2026-01-01T00:00:00Z, createdByPrincipalType: User, createdByPrincipalObjectId: u2}
      - {roleAssignmentId: a3, principalType: DirectoryRole, principalObjectId: d1, roleDefinitionId: r1, scope: /tenants/t1/environmentGroups/g1, effect: FORBID}
      - {roleAssignmentId: a2, principalType: Group, principalObjectId: grp1, roleDefinitionId: r1, scope: /tenants/t1/environments/e3/businessUnits/b2, effect: DENY}
  - id: t2
...
`

// What is imported comes out of the store as it went in, byte for byte.
func TestABundleComesOutOfTheStoreAsItWentIn(t *testing.T) {
	v := vocabulary(t)
	store, err := snapshot.Open(t.Context(), snapshot.Options{Dir: t.TempDir(), Vocabulary: v, ShippedRoles: roles.Shipped()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(t.TempDir(), "bundle.yaml")
	if err := os.WriteFile(path, []byte(canonical), 0o600); err != nil {
		t.Fatal(err)
	}
	file := source.NewFile(source.FileOptions{Path: path, Bundle: bundle.Options{Vocabulary: v}, Store: store})
	file.Poll(t.Context())
	state := file.State()
	if !state.Healthy || store.Current() == nil || state.Revision != store.Current().Revision() {
		t.Fatalf("got %+v", state)
	}
	held, err := store.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := bundle.Write(&out, held, bundle.YAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(canonical, out.String()); diff != "" {
		t.Errorf("(-went in +came out):\n%s", diff)
	}

	if err := os.WriteFile(path, []byte(canonical[:len(canonical)-len("...\n")]), 0o600); err != nil {
		t.Fatal(err)
	}
	file.Poll(t.Context())
	if got := file.State(); got.Healthy || store.Current().Revision() != state.Revision {
		t.Errorf("half a file: %+v at revision %v", got, store.Current().Revision())
	}
}

// testdata/layout-1 was written by the import command of the release that wrote layout 1,
// from the bundle above. It opens for ever, with the same data and the same decisions.
func TestADirectoryOfTheFirstLayoutDecidesAsItDid(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "layout-1"))); err != nil {
		t.Fatal(err)
	}
	v, err := authz.NewVocabulary([]authz.Permission{"PowerApps.Apps.Read", "PowerApps.Apps.Create"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	store, err := snapshot.Open(t.Context(), snapshot.Options{Dir: dir, Vocabulary: v, ShippedRoles: roles.Shipped(), FoldCase: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	held, at, err := store.ExportAt(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := bundle.Write(&out, held, bundle.YAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(canonical, out.String()); diff != "" {
		t.Errorf("(-what was imported +what is held):\n%s", diff)
	}
	if at.Number != 1 {
		t.Errorf("revision %v", at)
	}
	in2026, in2027 := time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		user              string
		wids              []string
		permission, scope string
		now               time.Time
		want              authz.Reason
	}{
		{"u1", nil, "PowerApps.Apps.Create", "/environments/e1", in2026, authz.Granted},
		{"u1", nil, "PowerApps.Apps.Create", "/environments/e1", in2027, authz.Expired},
		{"u1", nil, "PowerApps.Apps.Create", "/environments/e3/businessUnits/b2", in2026, authz.Overridden},
		{"u1", nil, "PowerApps.Apps.Read", "/environments/e3/businessUnits/b2", in2026, authz.Granted},
		{"u1", []string{"d1"}, "PowerApps.Apps.Create", "/environments/e1", in2026, authz.Forbidden},
		{"u1", []string{"d1"}, "PowerApps.Apps.Create", "/environments/e3", in2026, authz.Granted},
		{"u2", nil, "PowerApps.Apps.Read", "/environments/e1", in2026, authz.NoAssignment},
	} {
		subject, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: authz.Principal{Type: authz.User, ID: test.user}, DirectoryRoles: test.wids})
		if err != nil {
			t.Fatal(err)
		}
		found, err := store.View(t.Context(), subject)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := found.Snapshot.Tenant("t1").Hierarchy().Chain(authz.Scope("/tenants/t1"+test.scope), true)
		if err != nil {
			t.Fatal(err)
		}
		id, _ := v.ID(test.permission)
		d := authz.Decide(found.View.Grants, authz.Request{Permissions: []authz.PermissionID{id}, Chains: [][]authz.Scope{chain}}, test.now.Unix())
		if d.Reason != test.want {
			t.Errorf("%s asks for %s at %s: %v, want %v", test.user, test.permission, test.scope, d.Reason, test.want)
		}
	}
	local := source.NewLocal(store)
	written := local.State().LastApplied
	before := time.Now().Truncate(time.Microsecond)
	at, err = store.Update(t.Context(), snapshot.Change{Source: "local"}, func(e *snapshot.Edit) error { return e.PutTenant("t3", true) })
	if err != nil || at.Number != 2 {
		t.Fatalf("%v, %v", at, err)
	}
	if state := local.State(); !state.Healthy || state.Revision != at || state.LastApplied.Before(before) || !written.Before(before) {
		t.Errorf("%+v, before that %v", state, written)
	}
}
