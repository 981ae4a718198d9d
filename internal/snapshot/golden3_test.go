package snapshot_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// What the golden directory of layout 3 holds, as it is exported.
const goldenBundle = `apiVersion: pathgrant/v1
tenants:
  - id: 7f1d0000-0000-4000-8000-00000000000a
    directoryComplete: true
    environmentGroups:
      - {id: g1, environments: [e1, e2]}
      - {id: g2, environments: []}
    environments:
      - {id: e2, dataverse: true}
      - {id: e3}
    businessUnits:
      - {id: b1, environment: e2}
      - {id: b2, environment: e2, parent: b1}
    tables:
      - {environment: e2, name: Account, securedColumns: [rating]}
      - {environment: e2, name: new_bank, classes: [custom], ownership: User, entitySet: new_banks, securedColumns: [limit, pin]}
    principals:
      - {principalType: User, principalObjectId: ada, displayName: Ada, mail: ada@example.com}
      - {principalType: User, principalObjectId: eve, disabled: true}
      - {principalType: ApplicationUser, principalObjectId: 0b070000-0000-4000-8000-00000000000b, displayName: "Nightly sync", owners: [{principalType: User, principalObjectId: ada}, {principalType: Group, principalObjectId: makers}]}
    groups:
      - {id: makers, displayName: Makers, members: [{principalType: User, principalObjectId: ada}, {principalType: ApplicationUser, principalObjectId: 0b070000-0000-4000-8000-00000000000b}], owners: [{principalType: User, principalObjectId: root}]}
      - {id: staff, members: [{principalType: User, principalObjectId: eve}, {principalType: Group, principalObjectId: makers}]}
    users:
      - {environment: e2, principalType: User, principalObjectId: ada, businessUnit: b2}
      - {environment: e2, principalType: ApplicationUser, principalObjectId: 0b070000-0000-4000-8000-00000000000b, disabled: true, serviceInstalled: true}
    teams:
      - {id: cccccccc-0000-4000-8000-00000000000f, environment: e2, teamType: GroupTeam, group: makers}
      - {id: field, environment: e2, displayName: Field, teamType: OwnerTeam, businessUnit: b1, members: [{principalType: User, principalObjectId: ada}]}
    columnProfiles:
      - {id: pins, environment: e2, displayName: PINs, columns: [{table: new_bank, column: pin, rights: [Read, Update]}], principals: [{principalType: User, principalObjectId: ada}, {principalType: Team, principalObjectId: field}]}
    shares:
      - {environment: e2, table: Account, record: r1, everyone: true, rights: [Read]}
      - {environment: e2, table: Account, record: r1, principalType: Team, principalObjectId: field, rights: [Read, Write]}
    apps:
      - {id: app1, environment: e2, displayName: Banking, sharedWith: [{principalType: Group, principalObjectId: makers}], everyone: true, tables: [{table: new_bank, privileges: [Read]}]}
    flows:
      - {id: flow1, environment: e2, maker: {principalType: User, principalObjectId: ada}, runOnlyUsers: [{principalType: User, principalObjectId: eve}], connections: [{name: data, connector: dataverse, provider: RunOnlyUser, tables: [{table: Account}]}]}
    roleDefinitions:
      - {roleDefinitionId: aaaaaaaa-0000-4000-8000-00000000000f, roleDefinitionName: "Flow Operator", description: "Runs flows.", permissions: ["PowerAutomate.Flows.*"], permissionsExceptions: [PowerAutomate.Flows.Delete], assignableScopes: ["/tenants/{0}"], restrictedScopes: ["/tenants/{0}/environments/{1}"]}
      - {roleDefinitionId: bbbbbbbb-0000-4000-8000-00000000000f, roleDefinitionName: Bankers, environment: e2, businessUnit: b1, privileges: [Dataverse.Account.Read@ParentChild, "Dataverse.new_bank.{CRWD,Append}@BusinessUnit"], teamOnly: true, assignableRoles: [236750cd-45ae-4939-ab12-b24b920ced93]}
    roleAssignments:
      - {roleAssignmentId: a1, principalType: User, principalObjectId: root, roleDefinitionId: 0cb07c69-1631-4725-ab35-e59e001c51ea, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a, createdOn: 2026-01-02T03:04:05Z, createdByPrincipalType: User, createdByPrincipalObjectId: boss}
      - {roleAssignmentId: a2, principalType: Group, principalObjectId: staff, roleDefinitionId: c886ad2e-27f7-4874-8381-5849b8d8a090, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a}
      - {roleAssignmentId: a4, principalType: Group, principalObjectId: makers, roleDefinitionId: aaaaaaaa-0000-4000-8000-00000000000f, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environmentGroups/g1, effect: FORBID}
      - {roleAssignmentId: 0a050000-0000-4000-8000-000000000005, principalType: ApplicationUser, principalObjectId: 0b070000-0000-4000-8000-00000000000b, roleDefinitionId: ff954d61-a89a-4fbe-ace9-01c367b89f87, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e1, expiresOn: 2030-01-01T00:00:00Z}
      - {roleAssignmentId: a8, principalType: User, principalObjectId: ada, roleDefinitionId: 236750cd-45ae-4939-ab12-b24b920ced93, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e2}
      - {roleAssignmentId: a3, principalType: Group, principalObjectId: makers, roleDefinitionId: c886ad2e-27f7-4874-8381-5849b8d8a090, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e2, effect: DENY}
      - {roleAssignmentId: a6, principalType: DirectoryRole, principalObjectId: 11648597-926c-4cf3-9c36-bcebb0ba8dcc, roleDefinitionId: c886ad2e-27f7-4874-8381-5849b8d8a090, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e3}
      - {roleAssignmentId: a7, principalType: User, principalObjectId: ada, roleDefinitionId: ff954d61-a89a-4fbe-ace9-01c367b89f87, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e3/powerapps/app7}
  - id: t2
...
`

const goldenTenant = "7f1d0000-0000-4000-8000-00000000000a"

// What is asked of the golden directory, and what is answered.
var goldenDecisions = []struct {
	who        authz.Principal
	wids       []string
	permission authz.Permission
	below      string
	at         string
	want       authz.Reason
}{
	{user("root"), nil, "Authorization.RoleAssignments.Write", "", "2026-06-01", authz.Granted},
	{user("ada"), nil, "PowerApps.Apps.Read", "/environments/e1", "2026-06-01", authz.Granted},
	{user("ada"), nil, "PowerApps.Apps.Read", "/environments/e2", "2026-06-01", authz.Overridden},
	{user("ada"), nil, "PowerApps.Apps.Read", "/environments/e2/businessUnits/b2", "2026-06-01", authz.Overridden},
	{user("ada"), nil, "PowerAutomate.Flows.Read", "/environments/e1", "2026-06-01", authz.Forbidden},
	{user("ada"), nil, "PowerAutomate.Flows.Read", "/environments/e3", "2026-06-01", authz.Granted},
	{user("ada"), nil, "PowerAutomate.Flows.Delete", "/environments/e1", "2026-06-01", authz.NoAssignment},
	{user("ada"), nil, "PowerApps.Apps.Update", "/environments/e3/powerapps/app7", "2026-06-01", authz.Granted},
	{user("ada"), nil, "PowerApps.Apps.Update", "/environments/e3", "2026-06-01", authz.NoAssignment},
	{app("0b070000-0000-4000-8000-00000000000b"), nil, "PowerApps.Apps.Create", "/environments/e1", "2029-12-31", authz.Granted},
	{app("0b070000-0000-4000-8000-00000000000b"), nil, "PowerApps.Apps.Create", "/environments/e1", "2030-01-01", authz.Expired},
	{app("0b070000-0000-4000-8000-00000000000b"), nil, "PowerAutomate.Flows.Create", "/environments/e1", "2029-12-31", authz.Forbidden},
	{user("zoe"), []string{"11648597-926c-4cf3-9c36-bcebb0ba8dcc"}, "PowerApps.Apps.Read", "/environments/e3", "2026-06-01", authz.Granted},
	{user("zoe"), []string{"11648597-926c-4cf3-9c36-bcebb0ba8dcc"}, "PowerApps.Apps.Read", "/environments/e1", "2026-06-01", authz.NoAssignment},
	{user("eve"), nil, "PowerApps.Apps.Read", "/environments/e1", "2026-06-01", authz.PrincipalDisabled},
}

func goldenOptions(t testing.TB, dir string) (snapshot.Options, *naming.Catalogues) {
	t.Helper()
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	return snapshot.Options{
		Dir: dir, Vocabulary: catalogues.Vocabulary(), ShippedRoles: roles.All(), StandardTables: roles.StandardTables(), FoldCase: catalogues.FoldCase(), CacheBytes: -1,
		Now: func() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) },
	}, catalogues
}

func goldenAdmin(t testing.TB, s *snapshot.Store, o snapshot.Options) *admin.Admin {
	t.Helper()
	a, err := admin.New(admin.Options{
		Store: admin.FromSnapshot(s), Vocabulary: o.Vocabulary, ShippedRoles: o.ShippedRoles, FoldCase: o.FoldCase, Writable: true, Now: o.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var update = flag.Bool("update", false, "write the golden data directory of the current layout")

// makeGolden makes the golden directory, the way an administrator would.
func makeGolden(t *testing.T, dir string) {
	o, _ := goldenOptions(t, dir)
	s := opened(t, o)
	a := goldenAdmin(t, s, o)
	data, err := bundle.Parse("golden.yaml", []byte(goldenBundle), bundle.Options{FoldCase: o.FoldCase, Vocabulary: o.Vocabulary, Now: o.Now()})
	if err != nil {
		t.Fatal(err)
	}
	owners := data.Tenants[0].Groups[0].Owners
	data.Tenants[0].Groups[0].Owners = nil
	operator := admin.Caller{Kind: admin.Operator, From: "local", Agent: "golden"}
	if _, err := a.Import(t.Context(), operator, admin.ImportRequest{Data: data}); err != nil {
		t.Fatal(err)
	}
	root := admin.Caller{
		Kind: admin.Token, Subject: subject(t, authz.SubjectSpec{Tenant: goldenTenant, Principal: user("root")}), From: "192.0.2.7", Agent: "golden",
	}
	made, err := a.CreateRoleAssignment(t.Context(), root, admin.CreateRoleAssignmentRequest{
		Principal: user("ada"), Role: "Power Platform Reader", Scope: "/tenants/" + goldenTenant + "/environments/e1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.DeleteRoleAssignment(t.Context(), root, admin.DeleteRoleAssignmentRequest{ID: made.RoleAssignment.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.PutGroup(t.Context(), root, admin.PutGroupRequest{
		Group: admin.Group{ID: "makers", DisplayName: "Makers", Owners: owners}, Etag: admin.AnyEtag,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), snapshot.Change{Source: "test"}, func(e *snapshot.Edit) error {
		return e.PutNote("golden", "k", []byte("v"))
	}); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if err := os.Remove(filepath.Join(dir, "LOCK")); err != nil {
		t.Fatal(err)
	}
}

// Layout 3 has all that there is: owners, the change audit and notes beside the data.
func TestTheGoldenDirectoryOfLayout3(t *testing.T) {
	golden := filepath.Join("testdata", "schema-3")
	if *update {
		if err := os.RemoveAll(golden); err != nil {
			t.Fatal(err)
		}
		makeGolden(t, golden)
	}
	o, _ := goldenOptions(t, copyDir(t, golden))
	s := open(t, o)
	if s.Current() == nil || s.Current().Revision().Number != 5 {
		t.Fatalf("%+v", s.Stats())
	}
	holdsGolden(t, "opened", s, o, goldenBundle)
	for _, q := range goldenDecisions {
		if got := decided(t, s, o, q.who, q.wids, q.permission, q.below, q.at); got != q.want {
			t.Errorf("%s %s %s on %s: %v, want %v", q.who, q.permission, q.below, q.at, got, q.want)
		}
	}
	goldenRecords(t, s)
	if err := s.Read(t.Context(), func(r *snapshot.Reader) error {
		owned, err := r.OwnedBy(goldenTenant, group("makers"))
		if fmt.Sprint(names(owned)) != "[ApplicationUser 0b070000-0000-4000-8000-00000000000b]" {
			t.Errorf("owned %q", names(owned))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var sources []string
	entries, err := s.Journal(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		sources = append(sources, e.Source)
	}
	if len(sources) != 5 {
		t.Errorf("journal %q", sources)
	}
	// And it can be changed.
	if r, err := s.Update(t.Context(), snapshot.Change{}, func(e *snapshot.Edit) error { return e.PutTenant("t3", false) }); err != nil || r.Number != 6 {
		t.Errorf("revision %v, %v", r, err)
	}
}

// holdsGolden checks that a store holds what a golden directory does: the bundle as it is
// exported, the change audit and a note beside the data.
func holdsGolden(t *testing.T, when string, s *snapshot.Store, o snapshot.Options, want string) {
	t.Helper()
	var text strings.Builder
	d, err := s.Export(t.Context())
	if err := errors.Join(err, bundle.Write(&text, d, bundle.YAML)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("%s, exported (-want +got):\n%s", when, diff)
	}
	v, err := goldenAdmin(t, s, o).AuditVerify(t.Context(), admin.Caller{Kind: admin.Operator})
	if err != nil || !v.Intact || v.Verified != 4 || v.Head.Number != 4 {
		t.Errorf("%s: the change audit: %+v, %v", when, v, err)
	}
	if err := s.Read(t.Context(), func(r *snapshot.Reader) error {
		note, err := r.Note("golden", "k")
		if string(note) != "v" {
			t.Errorf("%s: note %q", when, note)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// goldenRecords asks what the golden directory's database says.
func goldenRecords(t *testing.T, s *snapshot.Store) {
	t.Helper()
	ada := subject(t, authz.SubjectSpec{Tenant: goldenTenant, Principal: user("ada")})
	if err := s.Read(t.Context(), func(r *snapshot.Reader) error {
		db, err := r.Database(goldenTenant, "e2")
		who, err2 := r.RecordSubject(goldenTenant, "e2", ada)
		shares, err3 := r.SharesOf(goldenTenant, "e2", "account", "r1")
		if err := errors.Join(err, err2, err3); err != nil {
			return err
		}
		for _, q := range []struct {
			permission string
			record     authz.Record
			columns    []string
			want       authz.AccessStep
		}{
			{"Dataverse.Account.Read", authz.Record{Owner: user("eve"), BusinessUnit: "b1"}, nil, authz.NoAccess},
			{"Dataverse.Account.Read", authz.Record{Owner: user("eve"), BusinessUnit: "b1", Shares: shares}, nil, authz.ShareAccess},
			{"Dataverse.Account.Write", authz.Record{Owner: user("eve"), BusinessUnit: "b1", Shares: shares}, nil, authz.ShareAccess},
			{"Dataverse.Account.Delete", authz.Record{Owner: user("eve"), BusinessUnit: "b1", Shares: shares}, nil, authz.NoAccess},
			{"Dataverse.Account.Delete", authz.Record{Owner: authz.Principal{Type: authz.Team, ID: "field"}, BusinessUnit: "b1"}, nil, authz.OwnerAccess},
			{"Dataverse.Account.Read", authz.Record{Owner: user("ada")}, []string{"Rating"}, authz.NoAccess},
			{"Dataverse.new_bank.Read", authz.Record{Owner: user("ada")}, nil, authz.NoAccess},
		} {
			table, privilege, ok := db.Permission(q.permission)
			d := authz.DecideRecord(db, authz.RecordRequest{Caller: who, Table: table, Privilege: privilege, Record: &q.record, Columns: q.columns}, 1_780_000_000)
			if !ok || d.Step != q.want {
				t.Errorf("%s of %+v: %+v, want %v", q.permission, q.record, d, q.want)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// decided answers one question the way a server would.
func decided(t *testing.T, s *snapshot.Store, o snapshot.Options, who authz.Principal, wids []string, permission authz.Permission, below, at string) authz.Reason {
	t.Helper()
	found, err := s.View(t.Context(), subject(t, authz.SubjectSpec{Tenant: goldenTenant, Principal: who, DirectoryRoles: wids}))
	if err != nil {
		t.Fatal(err)
	}
	if found.View.Disabled {
		return authz.PrincipalDisabled
	}
	chain, err := found.Snapshot.Tenant(goldenTenant).Hierarchy().Chain(authz.Scope("/tenants/"+goldenTenant+below), true)
	if err != nil {
		t.Fatal(err)
	}
	id, ok := o.Vocabulary.ID(string(permission))
	now, err := time.Parse(time.DateOnly, at)
	if err != nil || !ok {
		t.Fatalf("%s: %v, %v", permission, ok, err)
	}
	return authz.Decide(found.View.Grants, authz.Request{Permissions: []authz.PermissionID{id}, Chains: [][]authz.Scope{chain}}, now.Unix()).Reason
}

// A layout of a newer release is refused, and left as it is.
func TestALayoutOfANewerReleaseIsRefused(t *testing.T) {
	o, _ := goldenOptions(t, copyDir(t, filepath.Join("testdata", "schema-3")))
	if err := snapshot.RaiseSchema(filepath.Join(o.Dir, "snapshot-1.db")); err != nil {
		t.Fatal(err)
	}
	before := tree(t, o.Dir)
	_, err := snapshot.Open(t.Context(), o)
	wantErr(t, err, snapshot.ErrSchema, "layout 4", "this release knows 3")
	unchanged(t, before, o.Dir)
	o.ReadOnly = true
	_, err = snapshot.Open(t.Context(), o)
	wantErr(t, err, snapshot.ErrSchema)
	unchanged(t, before, o.Dir)
}
