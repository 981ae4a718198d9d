package roles_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

var update = flag.Bool("update", false, "write what was seen into testdata")

const (
	salesPack = `rolePack: dynamics-sales
roleDefinitions:
  - roleDefinitionId: A1B2C3D4-0000-4000-8000-000000000001
    roleDefinitionName: Salesperson
    aliases: [Seller]
    category: Dataverse
    description: Sells.
    permissions: [PowerApps.Apps.Play]
    privileges: ["Dataverse.Account.ALL8@BusinessUnit", "Dataverse.Opportunity.CRWD@User"]
    heldBy: [User, OwnerTeam, GroupTeam]
  - roleDefinitionId: a1b2c3d4-0000-4000-8000-000000000002
    roleDefinitionName: Sales Environment Lead
    category: Environment
    permissions: [PowerApps.Apps.*, Authorization.RoleAssignments.Write]
    permissionsExceptions: [PowerApps.Apps.Delete]
    restrictedScopes: ["/tenants/{0}/environments/{1}/{2}/{3}"]
    heldBy: [user, Group]
    database: any
    assignableRoles: [Seller, Environment Maker, sales LEAD data, "{securityRoles}"]
    companion: Sales-Lead Data
  - roleDefinitionId: a1b2c3d4-0000-4000-8000-000000000003
    roleDefinitionName: Sales Lead Data
    category: Dataverse
    privileges: []
    heldBy: [Group, OwnerTeam]
    comesBy: companion
    teamOnly: true
...
`
	fieldPack = `rolePack: field-service
roleDefinitions:
  - {roleDefinitionId: a1b2c3d4-0000-4000-8000-000000000004, roleDefinitionName: Dispatcher, category: Dataverse, privileges: ["Dataverse.{core}.Read@User"], heldBy: [OwnerTeam], heldByTeamNamed: Dispatch, comesBy: service}
  - {roleDefinitionId: a1b2c3d4-0000-4000-8000-000000000005, roleDefinitionName: Field Admin, category: Tenant Administration, permissions: ["*.Read"], heldBy: [DirectoryRole], assignableRoles: [Dispatcher]}
...
`
)

func packVocabulary(t testing.TB) *authz.Vocabulary {
	t.Helper()
	v, err := authz.NewVocabulary([]authz.Permission{
		"PowerApps.Apps.Play", "PowerApps.Apps.Read", "PowerApps.Apps.Delete", "Authorization.RoleAssignments.Write",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPacksAddRolesBehindThoseThatComeWithTheProduct(t *testing.T) {
	t.Parallel()
	all, err := roles.WithPacks(roles.PackOptions{Vocabulary: packVocabulary(t), FoldCase: true},
		roles.PackFile{File: "sales.yaml", Text: []byte(salesPack)}, roles.PackFile{File: "field.yaml", Text: []byte(fieldPack)})
	if err != nil {
		t.Fatal(err)
	}
	shipped := roles.All()
	if diff := cmp.Diff(shipped, all[:len(shipped)]); diff != "" {
		t.Errorf("the roles that come with the product (-want +got):\n%s", diff)
	}
	environment, tenant := []string{"/tenants/{0}/environments/{1}"}, []string{"/tenants/{0}"}
	want := []authz.RoleDefinition{
		{
			ID: "a1b2c3d4-0000-4000-8000-000000000001", Name: "Salesperson", Aliases: []string{"Seller"}, Category: "Dataverse", Pack: "dynamics-sales",
			Description: "Sells.", Permissions: []string{"PowerApps.Apps.Play"}, AssignableScopes: environment,
			Privileges: []string{"Dataverse.Account.ALL8@BusinessUnit", "Dataverse.Opportunity.CRWD@User"},
			Terms: &authz.RoleTerms{
				HeldBy: []authz.HolderKind{authz.UserHolder, authz.OwnerTeamHolder, authz.GroupTeamHolder}, Database: authz.DatabaseRequired,
			},
		},
		{
			ID: "a1b2c3d4-0000-4000-8000-000000000002", Name: "Sales Environment Lead", Category: "Environment", Pack: "dynamics-sales",
			Permissions: []string{"PowerApps.Apps.*", "Authorization.RoleAssignments.Write"}, PermissionsExceptions: []string{"PowerApps.Apps.Delete"},
			AssignableScopes: environment, RestrictedScopes: []string{"/tenants/{0}/environments/{1}/{2}/{3}"},
			Terms: &authz.RoleTerms{
				HeldBy: []authz.HolderKind{authz.UserHolder, authz.GroupHolder},
				AssignableRoles: []string{
					"a1b2c3d4-0000-4000-8000-000000000001", roles.EnvironmentMakerID, "a1b2c3d4-0000-4000-8000-000000000003", authz.AllSecurityRoles,
				},
				Companion: "a1b2c3d4-0000-4000-8000-000000000003",
			},
		},
		{
			ID: "a1b2c3d4-0000-4000-8000-000000000003", Name: "Sales Lead Data", Category: "Dataverse", Pack: "dynamics-sales", Privileges: []string{},
			AssignableScopes: environment, TeamOnly: true,
			Terms: &authz.RoleTerms{
				HeldBy: []authz.HolderKind{authz.GroupHolder, authz.OwnerTeamHolder}, ComesBy: authz.ByCompanion, Database: authz.DatabaseRequired,
			},
		},
		{
			ID: "a1b2c3d4-0000-4000-8000-000000000004", Name: "Dispatcher", Category: "Dataverse", Pack: "field-service",
			Privileges: []string{"Dataverse.{core}.Read@User"}, AssignableScopes: environment,
			Terms: &authz.RoleTerms{
				HeldBy: []authz.HolderKind{authz.OwnerTeamHolder}, HeldByTeamNamed: "Dispatch", ComesBy: authz.ByService, Database: authz.DatabaseRequired,
			},
		},
		{
			ID: "a1b2c3d4-0000-4000-8000-000000000005", Name: "Field Admin", Category: "Tenant Administration", Pack: "field-service",
			Permissions: []string{"*.Read"}, AssignableScopes: tenant,
			Terms: &authz.RoleTerms{
				HeldBy: []authz.HolderKind{authz.DirectoryRoleHolder}, AssignableRoles: []string{"a1b2c3d4-0000-4000-8000-000000000004"},
			},
		},
	}
	if diff := cmp.Diff(want, all[len(shipped):]); diff != "" {
		t.Errorf("the roles of the packs (-want +got):\n%s", diff)
	}
	copyable := map[string]bool{}
	for _, def := range all[len(shipped):] {
		copyable[def.Name] = def.Copyable()
	}
	wantCopyable := map[string]bool{"Salesperson": true, "Sales Environment Lead": true, "Sales Lead Data": false, "Dispatcher": false, "Field Admin": false}
	if diff := cmp.Diff(wantCopyable, copyable); diff != "" {
		t.Errorf("copyable where it can be assigned (-want +got):\n%s", diff)
	}
}

func TestWithoutPacksThereAreTheRolesOfTheProduct(t *testing.T) {
	t.Parallel()
	all, err := roles.WithPacks(roles.PackOptions{})
	if diff := cmp.Diff(roles.All(), all); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if i := slices.IndexFunc(all, func(def authz.RoleDefinition) bool { return def.Pack != "" }); i >= 0 {
		t.Errorf("%q is of the pack %q", all[i].Name, all[i].Pack)
	}
	if _, err := roles.WithPacks(roles.PackOptions{}, roles.PackFile{File: "sales.yaml", Text: []byte(salesPack)}); err == nil {
		t.Error("a pack was read without a vocabulary")
	}
}

// Each archive holds packs, that are loaded together, and all that is wrong with them.
func TestProblemsOfPacks(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/packs/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			last := &archive.Files[len(archive.Files)-1]
			var packs []roles.PackFile
			for _, f := range archive.Files[:len(archive.Files)-1] {
				packs = append(packs, roles.PackFile{File: f.Name, Text: f.Data})
			}
			all, err := roles.WithPacks(roles.PackOptions{Vocabulary: packVocabulary(t), FoldCase: true}, packs...)
			if err == nil || all != nil {
				t.Fatalf("%d roles with the error %v", len(all), err)
			}
			got := err.Error() + "\n"
			if *update {
				last.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if diff := cmp.Diff(string(last.Data), got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPackIsRefusedWhereverItIsCut(t *testing.T) {
	t.Parallel()
	for end := range len(salesPack) - len("\n") {
		if _, err := roles.WithPacks(roles.PackOptions{Vocabulary: packVocabulary(t)}, roles.PackFile{File: "cut.yaml", Text: []byte(salesPack[:end])}); err == nil {
			t.Fatalf("the first %d bytes were taken for a whole pack:\n%s", end, salesPack[:end])
		}
	}
}

// Whatever the bytes, roles of packs have what the rest of the product relies on.
func FuzzPacks(f *testing.F) {
	f.Add(salesPack)
	f.Add(fieldPack)
	vocabulary := packVocabulary(f)
	shipped := len(roles.All())
	f.Fuzz(func(t *testing.T, text string) {
		all, err := roles.WithPacks(roles.PackOptions{Vocabulary: vocabulary, FoldCase: true}, roles.PackFile{File: "f.yaml", Text: []byte(text)})
		if err != nil {
			return
		}
		ids, names := map[string]bool{}, map[string]bool{}
		for i, def := range all {
			for _, name := range append([]string{def.Name}, def.Aliases...) {
				key := authz.RoleNameKey(name)
				if i >= shipped && (key == "" || names[key]) {
					t.Errorf("the name %q is taken or nothing", name)
				}
				names[key] = true
			}
			if ids[def.ID] || def.ID == "" {
				t.Errorf("the identifier %q is taken or nothing", def.ID)
			}
			ids[def.ID] = true
			if i < shipped {
				continue
			}
			if def.Pack == "" || def.Category == "" || def.Terms == nil || len(def.Terms.HeldBy) == 0 || def.Terms.Elevates || def.EverySecuredColumn || len(def.AssignableScopes) == 0 {
				t.Errorf("%+v lacks something, or has too much", def)
			}
			if _, err := vocabulary.Compile(def); err != nil {
				t.Error(err)
			}
		}
	})
}
