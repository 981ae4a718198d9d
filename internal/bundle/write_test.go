package bundle_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const wantYAML = `apiVersion: pathgrant/v1
tenants:
  - id: 7f1d0000-0000-4000-8000-00000000000a
    directoryComplete: true
    environmentGroups:
      - {id: g1, environments: [e1, e2]}
    environments:
      - {id: e3, dataverse: true}
    businessUnits:
      - {id: b0, environment: e3}
      - {id: b1, environment: e3, parent: b0}
    principals:
      - {principalType: User, principalObjectId: u9, disabled: true, displayName: "Ninth, the", mail: u9@example.com}
      - {principalType: Group, principalObjectId: grp1, displayName: Makers}
    groups:
      - {id: grp1, displayName: Makers, members: [{principalType: User, principalObjectId: u1}, {principalType: Group, principalObjectId: grp2}]}
    roleDefinitions:
      - {roleDefinitionId: aaaaaaaa-0000-4000-8000-00000000000f, roleDefinitionName: "Flow Operator", description: "Runs flows.", permissions: ["PowerAutomate.Flows.*"], permissionsExceptions: [PowerAutomate.Flows.Read], assignableScopes: ["/tenants/{0}"], restrictedScopes: [/tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e3]}
    roleAssignments:
      - {roleAssignmentId: bbbbbbbb-0000-4000-8000-000000000001, principalType: DirectoryRole, principalObjectId: 11648597-926c-4cf3-9c36-bcebb0ba8dcc, roleDefinitionId: ff954d61-a89a-4fbe-ace9-01c367b89f87, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a, effect: FORBID, createdOn: 2026-01-02T03:04:05Z, createdByPrincipalType: ApplicationUser, createdByPrincipalObjectId: app1}
      - {roleAssignmentId: "0", principalType: Group, principalObjectId: grp1, roleDefinitionId: aaaaaaaa-0000-4000-8000-00000000000f, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environmentGroups/g1, effect: DENY}
      - {roleAssignmentId: 1e1eba13-cc9d-899e-a57d-3c65d6982d62, principalType: User, principalObjectId: u1, roleDefinitionId: c886ad2e-27f7-4874-8381-5849b8d8a090, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e1, expiresOn: 2027-01-01T00:00:00Z}
      - {roleAssignmentId: "0", principalType: User, principalObjectId: u2, roleDefinitionId: b9229f00-a4d2-4fdd-a9a1-f40e07c0bb03, scope: "/tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e2/powerapps/a~7"}
...
`

const wantJSON = `{"apiVersion":"pathgrant/v1","tenants":[
{"id":"t1",
 "environments":[
  {"id":"e1"},
  {"id":"e2","dataverse":true}],
 "principals":[
  {"principalType":"User","principalObjectId":"u1","displayName":"A \"quoted\" \\ name\u000a\u2028😀"}],
 "roleAssignments":[
  {"roleAssignmentId":"a1","principalType":"User","principalObjectId":"u1","roleDefinitionId":"r1","scope":"/tenants/t1","expiresOn":"2027-01-01T00:00:00Z"}]},
{"id":"t2","directoryComplete":true}
]}
`

func TestWhatIsWritten(t *testing.T) {
	user := authz.Principal{Type: authz.User, ID: "u1"}
	for _, tc := range []struct {
		name   string
		data   *snapshot.Data
		format bundle.Format
		want   string
	}{
		{"every field in YAML", exampleData(), bundle.YAML, wantYAML},
		{"nothing in YAML", &snapshot.Data{}, bundle.YAML, "apiVersion: pathgrant/v1\ntenants: []\n...\n"},
		{"nothing in JSON", &snapshot.Data{}, bundle.JSON, "{\"apiVersion\":\"pathgrant/v1\",\"tenants\":[\n]}\n"},
		{"JSON", &snapshot.Data{Tenants: []snapshot.Tenant{
			{ID: "t2", DirectoryComplete: true},
			{
				ID:           "t1",
				Environments: []snapshot.Environment{{ID: "e2", Dataverse: true}, {ID: "e1"}},
				Principals:   []snapshot.Principal{{Principal: user, DisplayName: "A \"quoted\" \\ name\n\u2028😀"}},
				RoleAssignments: []snapshot.RoleAssignment{{
					ID: "a1", Principal: user, RoleDefinitionID: "r1", Scope: "/tenants/t1", Effect: authz.AssignAllow, Expires: 1798761600,
				}},
			},
		}}, bundle.JSON, wantJSON},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got strings.Builder
			if err := bundle.Write(&got, tc.data, tc.format); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTextsThatYAMLTakesForSomethingElseAreQuoted(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"u1", "u1"},
		{"Yes", `"Yes"`},
		{"null", `"null"`},
		{"~", `"~"`},
		{"1e5", `"1e5"`},
		{"0x1f", `"0x1f"`},
		{"1", `"1"`},
		{"-1", `"-1"`},
		{".inf", `".inf"`},
		{"NaN", `"NaN"`},
		{"2027-01-01", `"2027-01-01"`},
		{"12345678-0000-4000-8000-000000000001", "12345678-0000-4000-8000-000000000001"},
		{"a: b", `"a: b"`},
		{"a #b", `"a #b"`},
		{"{0}", `"{0}"`},
		{"*", `"*"`},
		{"&a", `"&a"`},
		{"!a", `"!a"`},
		{"a,b", `"a,b"`},
		{" a", `" a"`},
		{"...", `"..."`},
		{"---", `"---"`},
		{"é", `"é"`},
		{"\x7f\x85\ufeff\x00", `"\u007f` + "\x85" + `"`},
	} {
		if strings.ContainsRune(tc.text, '\x00') {
			tc.text, tc.want = "\x7f\u0085\ufeff\x00\t", `"\u007f\u0085\ufeff\u0000\u0009"`
		}
		data := &snapshot.Data{Tenants: []snapshot.Tenant{{ID: "t1", Principals: []snapshot.Principal{
			{Principal: authz.Principal{Type: authz.User, ID: tc.text}},
		}}}}
		var got strings.Builder
		if err := bundle.Write(&got, data, bundle.YAML); err != nil {
			t.Fatal(err)
		}
		if want := "      - {principalType: User, principalObjectId: " + tc.want + "}\n"; !strings.Contains(got.String(), want) {
			t.Errorf("%q was written so:\n%swant\n%s", tc.text, got.String(), want)
		}
	}
}

func TestWhatCouldNotBeReadBackIsNotWritten(t *testing.T) {
	user := authz.Principal{Type: authz.User, ID: "u1"}
	assignment := snapshot.RoleAssignment{ID: "a1", Principal: user, RoleDefinitionID: "r1", Scope: "/tenants/t1", Effect: authz.AssignAllow}
	change := func(f func(*snapshot.RoleAssignment)) snapshot.Tenant {
		a := assignment
		f(&a)
		return snapshot.Tenant{ID: "t1", RoleAssignments: []snapshot.RoleAssignment{a}}
	}
	for name, tenant := range map[string]snapshot.Tenant{
		"no tenant identifier":      {},
		"no effect":                 change(func(a *snapshot.RoleAssignment) { a.Effect = authz.NoEffect }),
		"an unknown effect":         change(func(a *snapshot.RoleAssignment) { a.Effect = 9 }),
		"no scope":                  change(func(a *snapshot.RoleAssignment) { a.Scope = "" }),
		"no principal":              change(func(a *snapshot.RoleAssignment) { a.Principal = authz.Principal{} }),
		"an unknown type":           change(func(a *snapshot.RoleAssignment) { a.Principal.Type = 77 }),
		"half a creator":            change(func(a *snapshot.RoleAssignment) { a.CreatedBy.ID = "u1" }),
		"a time before 1970":        change(func(a *snapshot.RoleAssignment) { a.Expires = -1 }),
		"a time after 9999":         change(func(a *snapshot.RoleAssignment) { a.CreatedOn = 253402300800 }),
		"text that is not UTF-8":    change(func(a *snapshot.RoleAssignment) { a.Principal.ID = "\xff" }),
		"an empty list item":        {ID: "t1", RoleDefinitions: []authz.RoleDefinition{{ID: "r1", Name: "R", Permissions: []string{""}, AssignableScopes: []string{"/"}}}},
		"a member without a type":   {ID: "t1", Groups: []snapshot.Group{{ID: "g1", Members: []authz.Principal{{ID: "u1"}}}}},
		"an environment without id": {ID: "t1", Environments: []snapshot.Environment{{}}},
	} {
		for _, format := range []bundle.Format{bundle.YAML, bundle.JSON} {
			if err := bundle.Write(&bytes.Buffer{}, &snapshot.Data{Tenants: []snapshot.Tenant{tenant}}, format); err == nil {
				t.Errorf("%s was written", name)
			}
		}
	}
	if err := bundle.Write(&bytes.Buffer{}, &snapshot.Data{}, 2); err == nil {
		t.Error("an unknown format was written")
	}
}

var errFull = errors.New("disk full")

type fullDisk struct{ room int }

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.room -= len(b); d.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestAWriteErrorIsReported(t *testing.T) {
	data := manyAssignments(2000)
	for _, room := range []int{0, 100_000} {
		if err := bundle.Write(&fullDisk{room}, data, bundle.YAML); !errors.Is(err, errFull) {
			t.Errorf("with room for %d bytes: %v", room, err)
		}
	}
}

// validData draws data as a source delivers them: identifiers in their one spelling,
// references good, in canonical order.
func validData(t *rapid.T) *snapshot.Data {
	pathID := rapid.StringMatching(`[a-z0-9~._-]{0,5}[a-z0-9]|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|%C3%A9[a-z]|%20|yes|[0-9]e[0-9]`)
	text := rapid.OneOf(rapid.StringN(1, 12, 60), rapid.SampledFrom([]string{
		"Ann", "null", "...", "a\n...\nb", "# x", "'", `"`, `\`, "\u2028", "\ufeffx", "😀", " lead", "trail ", "a\tb", "%", "{}", "\x00", "-", "é\u0301",
	}))
	objectID := rapid.Map(text, func(s string) string { return authz.CanonicalID(s, true) })
	data := &snapshot.Data{}
	for _, id := range distinct(t, "tenant", rapid.StringMatching(`t[0-9a-z]{0,3}|7f1d0000-0000-4000-8000-00000000000[0-9a-f]`), 0, 3) {
		data.Tenants = append(data.Tenants, validTenant(t, id, pathID, objectID, text))
	}
	return data
}

// owners are in the order in which they are written.
func owners(t *rapid.T) (all []authz.Principal) {
	for _, kind := range []authz.PrincipalType{authz.User, authz.Group, authz.ApplicationUser} {
		if rapid.IntRange(0, 4).Draw(t, "owned") == 0 {
			all = append(all, authz.Principal{Type: kind, ID: "owner"})
		}
	}
	return all
}

// distinct draws a sorted list without repetition.
func distinct(t *rapid.T, label string, g *rapid.Generator[string], least, most int) []string {
	ids := rapid.SliceOfNDistinct(g, least, most, rapid.ID[string]).Draw(t, label)
	slices.Sort(ids)
	return ids
}

func validTenant(t *rapid.T, id string, pathID, objectID, text *rapid.Generator[string]) snapshot.Tenant {
	tenant := snapshot.Tenant{ID: id, DirectoryComplete: rapid.Bool().Draw(t, "complete")}
	maybe := rapid.OneOf(rapid.Just(""), text)
	environments := distinct(t, "environments", pathID, 0, 5)
	grouped := map[string]bool{}
	for _, group := range distinct(t, "environment groups", pathID, 0, 3) {
		g := authz.EnvironmentGroup{ID: group}
		for _, environment := range environments {
			if !grouped[environment] && rapid.Bool().Draw(t, "grouped") {
				grouped[environment] = true
				g.Environments = append(g.Environments, environment)
			}
		}
		tenant.EnvironmentGroups = append(tenant.EnvironmentGroups, g)
	}
	scopes := []authz.NamedScope{{Kind: authz.TenantScope}}
	for _, g := range tenant.EnvironmentGroups {
		scopes = append(scopes, authz.NamedScope{Kind: authz.EnvironmentGroupScope, ID: g.ID})
	}
	for _, environment := range environments {
		dataverse := rapid.Bool().Draw(t, "dataverse")
		if dataverse || !grouped[environment] {
			tenant.Environments = append(tenant.Environments, snapshot.Environment{ID: environment, Dataverse: dataverse})
		}
		scopes = append(scopes,
			authz.NamedScope{Kind: authz.EnvironmentScope, Environment: environment},
			authz.NamedScope{Kind: authz.ResourceScope, Environment: environment, Type: "powerapps", ID: pathID.Draw(t, "app")})
		parents := []string{""}
		for _, unit := range distinct(t, "business units", pathID, 0, 3) {
			tenant.BusinessUnits = append(tenant.BusinessUnits, authz.BusinessUnit{ID: unit, Environment: environment, Parent: rapid.SampledFrom(parents).Draw(t, "parent")})
			parents = append(parents, unit)
			scopes = append(scopes, authz.NamedScope{Kind: authz.BusinessUnitScope, Environment: environment, ID: unit})
		}
	}
	types := rapid.SampledFrom([]authz.PrincipalType{authz.User, authz.Group, authz.ApplicationUser, authz.DirectoryRole, authz.Team})
	for _, object := range distinct(t, "principals", objectID, 0, 4) {
		p := snapshot.Principal{Principal: authz.Principal{Type: types.Draw(t, "type"), ID: object}, DisplayName: maybe.Draw(t, "name"), Mail: maybe.Draw(t, "mail")}
		p.Disabled = p.Key().Type == authz.User && rapid.Bool().Draw(t, "disabled")
		if p.Type != authz.Group {
			p.Owners = owners(t)
		}
		tenant.Principals = append(tenant.Principals, p)
	}
	slices.SortFunc(tenant.Principals, func(a, b snapshot.Principal) int { return byTypeAndID(a.Principal, b.Principal) })
	groupIDs := distinct(t, "groups", objectID, 0, 4)
	for i, group := range groupIDs {
		g := snapshot.Group{ID: group, DisplayName: maybe.Draw(t, "name"), Owners: owners(t)}
		for _, user := range distinct(t, "users", objectID, 0, 3) {
			g.Members = append(g.Members, authz.Principal{Type: authz.User, ID: user})
		}
		for _, inner := range groupIDs[i+1:] {
			if rapid.Bool().Draw(t, "nested") {
				g.Members = append(g.Members, authz.Principal{Type: authz.Group, ID: inner})
			}
		}
		tenant.Groups = append(tenant.Groups, g)
	}
	roleIDs := []string{"c886ad2e-27f7-4874-8381-5849b8d8a090", "0cb07c69-1631-4725-ab35-e59e001c51ea"}
	for i, role := range distinct(t, "roles", objectID, 0, 3) {
		tenant.RoleDefinitions = append(tenant.RoleDefinitions, authz.RoleDefinition{
			ID: role, Name: fmt.Sprintf("Role %d", i), Description: maybe.Draw(t, "description"),
			Permissions:           patterns(rapid.SliceOfN(rapid.SampledFrom([]string{"*", "PowerApps.*", "powerapps.Apps.read"}), 0, 3).Draw(t, "permissions")),
			PermissionsExceptions: patterns(rapid.SliceOfN(rapid.SampledFrom([]string{"*.Read", "PowerApps.Apps.Write"}), 0, 2).Draw(t, "exceptions")),
			AssignableScopes:      patterns(rapid.SampledFrom([][]string{{"/tenants/{0}"}, {"/tenants/" + id, "/tenants/{0}/environments/{1}"}}).Draw(t, "assignable")),
			RestrictedScopes:      patterns(rapid.SampledFrom([][]string{{}, {"/tenants/{0}/environments/{1}/projects/{2}"}}).Draw(t, "restricted")),
		})
		roleIDs = append(roleIDs, role)
	}
	all := validAssignments(t, id, scopes, roleIDs, objectID, types)
	for i, environment := range tenant.Environments {
		if environment.Dataverse {
			d := drawnDatabase{t: t, tenant: &tenant, environment: environment.ID, objectID: objectID, text: text}
			d.draw(fmt.Sprint("team", i, "."))
			all = append(all, d.roles(fmt.Sprint("e", i, "."))...)
		}
	}
	slices.SortFunc(tenant.RoleDefinitions, func(a, b authz.RoleDefinition) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(all, byPlaceInFile)
	tenant.RoleAssignments = all
	return tenant
}

// patterns returns the texts as they are written: in order, each once, nil if none.
func patterns(texts []string) []string {
	if len(texts) == 0 {
		return nil
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

func validAssignments(t *rapid.T, tenant string, scopes []authz.NamedScope, roleIDs []string, objectID *rapid.Generator[string], types *rapid.Generator[authz.PrincipalType]) []snapshot.RoleAssignment {
	type triple struct {
		principal   authz.Principal
		role, scope string
	}
	seen := map[triple]bool{}
	principals := distinct(t, "assignees", objectID, 1, 3)
	var all []snapshot.RoleAssignment
	for _, id := range distinct(t, "assignments", objectID, 0, 8) {
		a := snapshot.RoleAssignment{
			ID:               id,
			Principal:        authz.Principal{Type: types.Draw(t, "type"), ID: rapid.SampledFrom(principals).Draw(t, "assignee")},
			RoleDefinitionID: rapid.SampledFrom(roleIDs).Draw(t, "role"),
			Scope:            rapid.SampledFrom(scopes).Draw(t, "scope").In(tenant),
			Effect:           rapid.SampledFrom([]authz.AssignmentEffect{authz.AssignAllow, authz.AssignDeny, authz.AssignForbid}).Draw(t, "effect"),
			Expires:          rapid.SampledFrom([]int64{0, 1, 1780315200, 1780315201, 253402300799}).Draw(t, "expires"),
			CreatedOn:        rapid.SampledFrom([]int64{0, 1700000000}).Draw(t, "created"),
		}
		if rapid.Bool().Draw(t, "creator known") {
			a.CreatedBy = authz.Principal{Type: types.Draw(t, "creator type"), ID: objectID.Draw(t, "creator")}
		}
		key := triple{a.Principal.Key(), a.RoleDefinitionID, string(a.Scope)}
		if !seen[key] {
			seen[key] = true
			all = append(all, a)
		}
	}
	return all
}

// shuffled returns the data in another order, which means the same.
func shuffled(d *snapshot.Data, seed uint64) *snapshot.Data {
	r := rand.New(rand.NewPCG(seed, 1))
	clone := &snapshot.Data{Tenants: slices.Clone(d.Tenants)}
	mix(r, clone.Tenants)
	for i := range clone.Tenants {
		t := &clone.Tenants[i]
		t.EnvironmentGroups, t.Environments, t.BusinessUnits = slices.Clone(t.EnvironmentGroups), slices.Clone(t.Environments), slices.Clone(t.BusinessUnits)
		t.Principals, t.Groups = slices.Clone(t.Principals), slices.Clone(t.Groups)
		t.RoleDefinitions, t.RoleAssignments = slices.Clone(t.RoleDefinitions), slices.Clone(t.RoleAssignments)
		for j := range t.EnvironmentGroups {
			g := &t.EnvironmentGroups[j]
			g.Environments = slices.Clone(g.Environments)
			mix(r, g.Environments)
			for _, environment := range g.Environments { // listed in both is the same as once
				if !slices.ContainsFunc(t.Environments, func(e snapshot.Environment) bool { return e.ID == environment }) {
					t.Environments = append(t.Environments, snapshot.Environment{ID: environment})
				}
			}
		}
		for j := range t.Groups {
			t.Groups[j].Members = slices.Clone(t.Groups[j].Members)
			mix(r, t.Groups[j].Members)
		}
		for j := range t.RoleDefinitions {
			def := &t.RoleDefinitions[j]
			def.Permissions = append(slices.Clone(def.Permissions), def.Permissions...)
			mix(r, def.Permissions)
			def.AssignableScopes = slices.Clone(def.AssignableScopes)
			mix(r, def.AssignableScopes)
		}
		mix(r, t.EnvironmentGroups)
		mix(r, t.Environments)
		mix(r, t.BusinessUnits)
		mix(r, t.Principals)
		mix(r, t.Groups)
		mix(r, t.RoleDefinitions)
		mix(r, t.RoleAssignments)
		mixDatabases(r, t)
	}
	return clone
}

func mix[T any](r *rand.Rand, items []T) {
	r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
}

func TestWhatIsWrittenReadsBackAndIsWrittenTheSame(t *testing.T) {
	o := options(t)
	rapid.Check(t, func(t *rapid.T) {
		data := validData(t)
		other := shuffled(data, rapid.Uint64().Draw(t, "seed"))
		for _, format := range []bundle.Format{bundle.YAML, bundle.JSON} {
			first := write(t, data, format)
			if diff := cmp.Diff(string(first), string(write(t, other, format))); diff != "" {
				t.Fatalf("another order was written otherwise (-want +got):\n%s", diff)
			}
			read, err := bundle.Parse("written", first, o)
			if err != nil {
				t.Fatalf("%v in\n%s", err, first)
			}
			if diff := cmp.Diff(data, read); diff != "" {
				t.Fatalf("was read back as (-want +got):\n%s\nfrom\n%s", diff, first)
			}
			if diff := cmp.Diff(string(first), string(write(t, read, format))); diff != "" {
				t.Fatalf("was written again as (-want +got):\n%s", diff)
			}
		}
	})
}

type failer interface {
	Helper()
	Fatal(...any)
}

func write(t failer, d *snapshot.Data, format bundle.Format) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := bundle.Write(&b, d, format); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func FuzzBundleParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(wantYAML))
	f.Add([]byte(wantJSON))
	f.Add([]byte("apiVersion: pathgrant/v1\ntenants: []\n...\n"))
	f.Add([]byte("{\"apiVersion\":\"pathgrant/v1\",\"tenants\":[{\"id\":\"t1\",\"principals\":[{\"principalType\":\"Team\",\"principalObjectId\":\"\\ud83d\\ude00 \u2028\"}]}]}"))
	f.Add([]byte("{apiVersion: pathgrant/v1, tenants: [{id: t1, groups: [{id: '...', members: []}]}]}\n...\n"))
	f.Add([]byte(databaseExample))
	f.Add([]byte(wantDatabaseYAML))
	f.Add(write(f, databaseData(), bundle.JSON))
	for _, in := range broken(f) {
		f.Add([]byte(in.text))
	}
	f.Add([]byte("apiVersion: pathgrant/v1\ntenants:\n- {id: t1, environments: [{id: e1}], businessUnits: [{id: b1, environment: e1, parent: b1}]}\n..."))
	o := options(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		data, err := bundle.Parse("fuzz", src, o)
		if err != nil {
			if data != nil {
				t.Fatalf("data with the error %v", err)
			}
			return
		}
		for _, format := range []bundle.Format{bundle.YAML, bundle.JSON} {
			first := write(t, data, format)
			again, err := bundle.Parse("again", first, o)
			if err != nil {
				t.Fatalf("what was written is not read: %v\n%s", err, first)
			}
			if second := write(t, again, format); !bytes.Equal(first, second) {
				t.Fatalf("(-first +second):\n%s", cmp.Diff(string(first), string(second)))
			}
		}
	})
}

// manyAssignments makes data of one tenant with 1,000 environments and as many
// assignments as wanted.
func manyAssignments(n int) *snapshot.Data {
	const tenant = "7f1d0000-0000-4000-8000-000000000001"
	t := snapshot.Tenant{ID: tenant}
	for i := range 1000 {
		t.Environments = append(t.Environments, snapshot.Environment{ID: fmt.Sprintf("e%d", i)})
	}
	for i := range n {
		t.RoleAssignments = append(t.RoleAssignments, snapshot.RoleAssignment{
			ID:               fmt.Sprintf("%08x-0000-4000-8000-000000000002", i),
			Principal:        authz.Principal{Type: authz.User, ID: fmt.Sprintf("%08x-0000-4000-8000-000000000003", i/10)},
			RoleDefinitionID: "c886ad2e-27f7-4874-8381-5849b8d8a090",
			Scope:            authz.NamedScope{Kind: authz.EnvironmentScope, Environment: fmt.Sprintf("e%d", i%1000)}.In(tenant),
			Effect:           authz.AssignAllow,
		})
	}
	return &snapshot.Data{Tenants: []snapshot.Tenant{t}}
}

func BenchmarkParse100000Assignments(b *testing.B) {
	for name, format := range map[string]bundle.Format{"YAML": bundle.YAML, "JSON": bundle.JSON} {
		b.Run(name, func(b *testing.B) {
			src := write(b, manyAssignments(100_000), format)
			o := options(b)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bundle.Parse("bench", src, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite100000Assignments(b *testing.B) {
	data := manyAssignments(100_000)
	b.ReportAllocs()
	for b.Loop() {
		write(b, data, bundle.YAML)
	}
}
