package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/engine"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

const leadPack = `rolePack: sales
roleDefinitions:
  - roleDefinitionId: a1b2c3d4-0000-4000-8000-000000000001
    roleDefinitionName: Sales Lead
    category: Environment
    permissions: [PowerApps.Apps.Read]
    heldBy: [User]
...
`

func TestAnEngineTakesRolePacks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	all, err := roles.WithPacks(roles.PackOptions{Vocabulary: catalogues.Vocabulary(), FoldCase: true}, roles.PackFile{File: "sales.yaml", Text: []byte(leadPack)})
	if err != nil {
		t.Fatal(err)
	}
	data, err := bundle.Parse("policy.yaml", []byte(`apiVersion: pathgrant/v1
tenants:
  - id: contoso
    environments: [{id: e1}]
    roleAssignments: [{principalType: User, principalObjectId: sue, roleDefinitionName: sales-lead, scope: /tenants/contoso/environments/e1}]
...
`), bundle.Options{FoldCase: true, Vocabulary: catalogues.Vocabulary(), Roles: all})
	if err != nil {
		t.Fatal(err)
	}
	store, err := snapshot.Open(t.Context(), snapshot.Options{Dir: dir, Vocabulary: catalogues.Vocabulary(), FoldCase: true, ShippedRoles: all, StandardTables: roles.StandardTables()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Replace(t.Context(), data, snapshot.Change{Source: "import"}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	_, err = engine.Open(t.Context(), dir, engine.Options{})
	if !errors.Is(err, engine.ErrCatalogue) || !strings.Contains(err.Error(), "a1b2c3d4-0000-4000-8000-000000000001") || !strings.Contains(err.Error(), "role pack") {
		t.Errorf("without the pack: %v", err)
	}
	broken := engine.RolePack{File: "sales.yaml", Text: []byte(strings.Replace(leadPack, "Apps.Read", "Apps.Raed", 1))}
	if _, err = engine.Open(t.Context(), dir, engine.Options{RolePacks: []engine.RolePack{broken}}); err == nil || !strings.Contains(err.Error(), "sales.yaml:6:19: ") {
		t.Errorf("with a broken pack: %v", err)
	}
	e := open(t, dir, engine.Options{RolePacks: []engine.RolePack{{File: "sales.yaml", Text: []byte(leadPack)}}})
	if got := e.Check(t.Context(), get(subject(t, e, "sue"), "/powerapps/environments/e1/apps")); got.Reason != authz.Granted {
		t.Errorf("with the pack: %v", got.Reason)
	}
	if _, err := e.Reopen(t.Context()); err != nil {
		t.Errorf("reopened: %v", err)
	}
	if aside, err := os.ReadDir(filepath.Join(dir, "quarantine")); err == nil && len(aside) > 0 {
		t.Errorf("set aside: %v", aside)
	}
}
