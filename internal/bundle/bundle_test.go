package bundle_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

var update = flag.Bool("update", false, "write the goldens anew")

// now is 2026-06-01T12:00:00Z.
var now = time.Unix(1780315200, 0)

func options(tb testing.TB) bundle.Options {
	tb.Helper()
	vocabulary, err := authz.NewVocabulary([]authz.Permission{
		"Authorization.RoleAssignments.Read", "Authorization.RoleAssignments.Write",
		"PowerApps.Apps.Read", "PowerApps.Apps.Play", "PowerApps.Apps.Create", "PowerApps.Apps.Write",
		"PowerAutomate.Flows.Read", "PowerAutomate.Flows.Run",
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return bundle.Options{FoldCase: true, Vocabulary: vocabulary, Now: now}
}

const example = `# What the documentation shows.
apiVersion: pathgrant/v1
tenants:
  - id: 7F1D0000-0000-4000-8000-00000000000A
    directoryComplete: true
    environmentGroups: [{id: G1, environments: [E1, e2]}]
    environments: [{id: e3, dataverse: true}, {id: e1}]
    businessUnits: [{id: b0, environment: e3}, {id: B1, environment: E3, parent: b0}]
    principals:
      - {principalType: User, principalObjectId: U9, disabled: true, mail: u9@example.com, displayName: "Ninth, the"}
      - {principalType: Group, principalObjectId: grp1, displayName: Makers}
    groups:
      - id: grp1
        displayName: Makers
        members:
          - {principalType: User, principalObjectId: u1}
          - {principalType: group, principalObjectId: grp2}
    roleDefinitions:
      - roleDefinitionId: AAAAAAAA-0000-4000-8000-00000000000F
        roleDefinitionName: Flow Operator
        description: Runs flows.
        permissions: [PowerAutomate.Flows.*]
        permissionsExceptions: [PowerAutomate.Flows.Read]
        assignableScopes: ["/tenants/{0}"]
        restrictedScopes: ["/tenants/7f1d0000-0000-4000-8000-00000000000A/environments/E3"]
    roleAssignments:
      - {principalType: User, principalObjectId: u1, roleDefinitionName: Power Platform reader, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/E1, effect: ALLOW, expiresOn: 2027-01-01T01:00:00.9+01:00}
      - roleAssignmentId: BBBBBBBB-0000-4000-8000-000000000001
        principalType: DirectoryRole
        principalObjectId: 11648597-926c-4cf3-9c36-bcebb0ba8dcc
        roleDefinitionId: FF954D61-A89A-4FBE-ACE9-01C367B89F87
        roleDefinitionName: power-platform contributor
        scope: /Tenants/7F1D0000-0000-4000-8000-00000000000A
        effect: FORBID
        expiresOn: null
        createdOn: "2026-01-02T03:04:05Z"
        createdByPrincipalType: ApplicationUser
        createdByPrincipalObjectId: app1
      - {principalType: Group, principalObjectId: grp1, roleDefinitionName: flow operator, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environmentGroups/g1, effect: DENY}
      - {principalType: User, principalObjectId: u2, roleDefinitionName: PowerApp Viewer, scope: /tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e2/PowerApps/A%7e7}
...
`

const (
	exampleTenant = "7f1d0000-0000-4000-8000-00000000000a"
	flowOperator  = "aaaaaaaa-0000-4000-8000-00000000000f"
)

func exampleData() *snapshot.Data {
	user := func(id string) authz.Principal { return authz.Principal{Type: authz.User, ID: id} }
	return &snapshot.Data{Tenants: []snapshot.Tenant{{
		ID:                exampleTenant,
		DirectoryComplete: true,
		EnvironmentGroups: []authz.EnvironmentGroup{{ID: "g1", Environments: []string{"e1", "e2"}}},
		Environments:      []snapshot.Environment{{ID: "e3", Dataverse: true}, {ID: "e1"}},
		BusinessUnits: []authz.BusinessUnit{
			{ID: "b0", Environment: "e3"}, {ID: "b1", Environment: "e3", Parent: "b0"},
		},
		Principals: []snapshot.Principal{
			{Principal: user("u9"), Disabled: true, DisplayName: "Ninth, the", Mail: "u9@example.com"},
			{Principal: authz.Principal{Type: authz.Group, ID: "grp1"}, DisplayName: "Makers"},
		},
		Groups: []snapshot.Group{{
			ID: "grp1", DisplayName: "Makers",
			Members: []authz.Principal{user("u1"), {Type: authz.Group, ID: "grp2"}},
		}},
		RoleDefinitions: []authz.RoleDefinition{{
			ID: flowOperator, Name: "Flow Operator", Description: "Runs flows.",
			Permissions: []string{"PowerAutomate.Flows.*"}, PermissionsExceptions: []string{"PowerAutomate.Flows.Read"},
			AssignableScopes: []string{"/tenants/{0}"},
			RestrictedScopes: []string{"/tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e3"},
		}},
		RoleAssignments: []snapshot.RoleAssignment{
			{
				ID: "1e1eba13-cc9d-899e-a57d-3c65d6982d62", Principal: user("u1"),
				RoleDefinitionID: "c886ad2e-27f7-4874-8381-5849b8d8a090",
				Scope:            "/tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e1",
				Effect:           authz.AssignAllow, Expires: 1798761600,
			},
			{
				ID:               "bbbbbbbb-0000-4000-8000-000000000001",
				Principal:        authz.Principal{Type: authz.DirectoryRole, ID: "11648597-926c-4cf3-9c36-bcebb0ba8dcc"},
				RoleDefinitionID: "ff954d61-a89a-4fbe-ace9-01c367b89f87",
				Scope:            "/tenants/7f1d0000-0000-4000-8000-00000000000a",
				Effect:           authz.AssignForbid,
				CreatedOn:        1767323045, CreatedBy: authz.Principal{Type: authz.ApplicationUser, ID: "app1"},
			},
			{
				ID: "0", Principal: authz.Principal{Type: authz.Group, ID: "grp1"}, RoleDefinitionID: flowOperator,
				Scope:  "/tenants/7f1d0000-0000-4000-8000-00000000000a/environmentGroups/g1",
				Effect: authz.AssignDeny,
			},
			{
				ID: "0", Principal: user("u2"), RoleDefinitionID: "b9229f00-a4d2-4fdd-a9a1-f40e07c0bb03",
				Scope:  "/tenants/7f1d0000-0000-4000-8000-00000000000a/environments/e2/powerapps/a~7",
				Effect: authz.AssignAllow,
			},
		},
	}}}
}

func TestEveryFieldIsRead(t *testing.T) {
	got, err := bundle.Parse("example.yaml", []byte(example), options(t))
	if err != nil {
		t.Fatal(err)
	}
	want := exampleData()
	for i, wanted := range want.Tenants[0].RoleAssignments {
		if wanted.ID == "0" { // made up; that it keeps its value is another test's
			want.Tenants[0].RoleAssignments[i].ID = got.Tenants[0].RoleAssignments[i].ID
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A member is a file of a txtar archive.
type member struct{ name, text string }

// parseArchive reads the txtar format: a comment, and files each below a line
// "-- name --".
func parseArchive(text string) (comment string, members []member) {
	for line := range strings.Lines(text) {
		name, isName := strings.CutPrefix(line, "-- ")
		name, ends := strings.CutSuffix(name, " --\n")
		switch {
		case isName && ends:
			members = append(members, member{name: name})
		case len(members) == 0:
			comment += line
		default:
			members[len(members)-1].text += line
		}
	}
	return comment, members
}

func formatArchive(comment string, members []member) string {
	for _, m := range members {
		comment += "-- " + m.name + " --\n" + m.text
	}
	return comment
}

// broken returns the bundles of the archives of errors.
func broken(tb testing.TB) (all []member) {
	tb.Helper()
	files, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(files) == 0 {
		tb.Fatal("no cases", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		_, members := parseArchive(string(text))
		for i := 0; i+1 < len(members); i += 2 {
			all = append(all, members[i])
		}
	}
	return all
}

// Each archive holds a bundle and the errors that it must give: all of them, and with
// their places.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			comment, members := parseArchive(string(text))
			if len(members) == 0 || len(members)%2 != 0 {
				t.Fatalf("want pairs of a bundle and its errors, not %d files", len(members))
			}
			for i := 0; i < len(members); i += 2 {
				in, want := members[i], &members[i+1]
				o := options(t)
				o.FoldCase = !strings.Contains(in.name, "exact")
				got := "no error\n"
				data, err := bundle.Parse(in.name, []byte(in.text), o)
				if err != nil {
					got = err.Error() + "\n"
				}
				if (data == nil) != (err != nil) {
					t.Errorf("%s: data %v with the error %v", in.name, data, err)
				}
				if *update {
					want.text = got
				} else if diff := cmp.Diff(want.text, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", in.name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, []byte(formatArchive(comment, members)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestWhatIsCutOffIsRefusedWhereverItIsCut(t *testing.T) {
	for end := range len(example) - len("\n") {
		if _, err := bundle.Parse("cut.yaml", []byte(example[:end]), options(t)); err == nil {
			t.Fatalf("the first %d bytes were taken for a whole bundle:\n%s", end, example[:end])
		}
	}
	var whole bytes.Buffer
	if err := bundle.Write(&whole, exampleData(), bundle.JSON); err != nil {
		t.Fatal(err)
	}
	for end := range whole.Len() - len("\n") {
		if _, err := bundle.Parse("cut.json", whole.Bytes()[:end], options(t)); err == nil {
			t.Fatalf("the first %d bytes were taken for a whole bundle:\n%s", end, whole.Bytes()[:end])
		}
	}
}

func TestAnEndMarkIsALineOfItsOwn(t *testing.T) {
	for _, tc := range []struct {
		end  string
		want bool
	}{
		{"...", true},
		{"...\n", true},
		{"...\r\n", true},
		{"...\n\n  \n", true},
		{"", false},
		{"...\n# more to come\n", false},
		{"... # done\n", false},
		{"... \n", false},
		{" ...\n", false},
		{"....\n", false},
		{"...\n---\n", false},
		{"---\n...\n", false},
		{"\u2026\n", false},
	} {
		_, err := bundle.Parse("b.yaml", []byte("apiVersion: pathgrant/v1\ntenants: []\n"+tc.end), options(t))
		if (err == nil) != tc.want {
			t.Errorf("a bundle that ends with %q: %v", tc.end, err)
		}
	}
}

func TestJSONMeansTheSameAsInEveryOtherParser(t *testing.T) {
	const around = "{\"apiVersion\": \"pathgrant/v1\",\n\t\"tenants\": [{\"id\": \"t1\", \"principals\": [\n\t{\"principalType\": \"User\", \"principalObjectId\": \"u1\", \"displayName\": \"NAME\"}]}]}"
	for _, tc := range []struct{ text, want string }{
		{`Zoë`, "Zoë"},
		{`\ud83d\ude00 \uD83D\uDE01`, "😀 😁"},
		{`\\ud83d\\ude00`, `\ud83d\ude00`},
		{"one \u2028 two \u0085 three", "one \u2028 two \u0085 three"},
		{"a\u007fb\uffffc\ufeffd", "a\u007fb\uffffc\ufeffd"},
		{`a\/b\t\"\u0000\b`, "a/b\t\"\x00\b"},
		{`# no comment, *no alias, &none: {}`, "# no comment, *no alias, &none: {}"},
	} {
		for _, bom := range []string{"", "\ufeff"} {
			d, err := bundle.Parse("b.json", []byte(bom+strings.Replace(around, "NAME", tc.text, 1)), options(t))
			if err != nil {
				t.Errorf("%q: %v", tc.text, err)
				continue
			}
			if got := d.Tenants[0].Principals[0].DisplayName; got != tc.want {
				t.Errorf("%q was read as %q, want %q", tc.text, got, tc.want)
			}
		}
	}
}

func TestABundleInYAMLFlowStyleNeedsItsEndMark(t *testing.T) {
	const flow = "{apiVersion: pathgrant/v1, tenants: []}\n"
	if _, err := bundle.Parse("b.yaml", []byte(flow+"...\n"), options(t)); err != nil {
		t.Error(err)
	}
	if _, err := bundle.Parse("b.yaml", []byte(flow), options(t)); err == nil {
		t.Error("a YAML bundle without its end mark was accepted")
	}
}

func TestIdentifiersAreComparedExactlyWhereTheCatalogueDoes(t *testing.T) {
	o := options(t)
	o.FoldCase = false
	const text = `apiVersion: pathgrant/v1
tenants:
  - id: 7F1D0000-0000-4000-8000-00000000000A
    environments: [{id: Prod}, {id: prod}]
    roleAssignments:
      - {principalType: User, principalObjectId: Ann, roleDefinitionName: POWER PLATFORM OWNER, scope: /tenants/7F1D0000-0000-4000-8000-00000000000A/environments/Prod}
      - {principalType: User, principalObjectId: ann, roleDefinitionName: power-platform-owner, scope: /tenants/7F1D0000-0000-4000-8000-00000000000A/environments/Prod}
...
`
	d, err := bundle.Parse("b.yaml", []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	got := d.Tenants[0].RoleAssignments
	if len(got) != 2 || got[0].Principal.ID != "Ann" || got[1].Principal.ID != "ann" ||
		got[0].Scope != "/tenants/7f1d0000-0000-4000-8000-00000000000a/environments/Prod" {
		t.Errorf("got %+v", got)
	}
	if _, err := bundle.Parse("b.yaml", []byte(text), options(t)); err == nil {
		t.Error("with case folded, the same environment twice was accepted")
	}
}

func TestAnExpiredAssignmentMakesWay(t *testing.T) {
	const (
		past    = ", expiresOn: 2026-06-01T12:00:00Z" // now, from which it is as if absent
		earlier = ", expiresOn: 2026-05-01T12:00:00Z"
		later   = ", expiresOn: 2026-06-01T12:00:01Z"
	)
	for _, tc := range []struct {
		name          string
		first, second string
		want          int64 // when the one that stays expires
		err           bool
	}{
		{name: "the first expired", first: past, second: "", want: 0},
		{name: "the second expired", first: "", second: past, want: 0},
		{name: "the first expired and the second will", first: past, second: later, want: 1780315201},
		{name: "both expired", first: earlier, second: past, want: 1780315200},
		{name: "both expired, the later one first", first: past, second: earlier, want: 1780315200},
		{name: "both live", first: later, second: "", err: true},
		{name: "both for ever", first: "", second: "", err: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := `apiVersion: pathgrant/v1
tenants:
  - id: t1
    roleAssignments:
      - {principalType: User, principalObjectId: u1, roleDefinitionName: Power Platform Owner, scope: /tenants/t1` + tc.first + `}
      - {principalType: ApplicationUser, principalObjectId: U1, roleDefinitionName: Power Platform Owner, scope: /tenants/t1, effect: DENY` + tc.second + `}
...
`
			d, err := bundle.Parse("b.yaml", []byte(text), options(t))
			if tc.err {
				want := "b.yaml:6:9: tenants[0].roleAssignments[1]: the assignment on line 5 has the same principal, role and scope: there can be one, remove one of them"
				if err == nil || err.Error() != want {
					t.Fatalf("got the error %v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := d.Tenants[0].RoleAssignments
			if len(got) != 1 || got[0].Expires != tc.want {
				t.Errorf("got %+v, want one that expires at %d", got, tc.want)
			}
			o := options(t)
			o.Now = time.Time{}
			if _, err := bundle.Parse("b.yaml", []byte(text), o); err == nil {
				t.Error("without a time, nothing has expired, but one made way")
			}
		})
	}
}

func TestOfManyExpiredAssignmentsTheLiveOneStays(t *testing.T) {
	text := "apiVersion: pathgrant/v1\ntenants:\n  - id: t1\n    roleAssignments:\n"
	for _, expires := range []string{"2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z", "null", "2022-01-01T00:00:00Z"} {
		text += "      - {principalType: User, principalObjectId: u1, roleDefinitionName: Power Platform Owner, scope: /tenants/t1, expiresOn: " + expires + "}\n"
	}
	d, err := bundle.Parse("b.yaml", []byte(text+"...\n"), options(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Tenants[0].RoleAssignments; len(got) != 1 || got[0].Expires != 0 {
		t.Errorf("got %+v, want the one that does not expire", got)
	}
}

func TestAnAssignmentWithoutIdentifierAlwaysGetsTheSame(t *testing.T) {
	user := authz.Principal{Type: authz.User, ID: "u1"}
	base := bundle.AssignmentID("t1", user, "r1", "/tenants/t1")
	if want := "0cacbfd4-9482-8cb8-b8be-1b9e1cecdc61"; base != want {
		t.Errorf("got %s, want %s", base, want)
	}
	if app := bundle.AssignmentID("t1", authz.Principal{Type: authz.ApplicationUser, ID: "u1"}, "r1", "/tenants/t1"); app != base {
		t.Error("a user and an application of one object id are one principal")
	}
	seen := map[string]bool{base: true}
	for _, id := range []string{
		bundle.AssignmentID("t2", user, "r1", "/tenants/t1"),
		bundle.AssignmentID("t1", authz.Principal{Type: authz.Group, ID: "u1"}, "r1", "/tenants/t1"),
		bundle.AssignmentID("t1", authz.Principal{Type: authz.User, ID: "u1r"}, "1", "/tenants/t1"),
		bundle.AssignmentID("t1", user, "r2", "/tenants/t1"),
		bundle.AssignmentID("t1", user, "r1", "/tenants/t1/environments/e1"),
	} {
		if seen[id] {
			t.Errorf("%s is the identifier of two assignments", id)
		}
		seen[id] = true
	}
}

func TestWithoutVocabularyNothingIsRead(t *testing.T) {
	if _, err := bundle.Parse("b.yaml", []byte(example), bundle.Options{}); err == nil {
		t.Error("a bundle was read without a vocabulary")
	}
}

func TestIdentifiersAreAtMost256BytesLong(t *testing.T) {
	for _, tc := range []struct {
		length int
		want   bool
	}{{1, true}, {256, true}, {257, false}} {
		id := strings.Repeat("x", tc.length)
		for _, section := range []string{
			"environments: [{id: " + id + "}]",
			"environmentGroups: [{id: " + id + ", environments: []}]",
			"groups: [{id: " + id + ", members: []}]",
			"principals: [{principalType: User, principalObjectId: " + id + "}]",
			"roleAssignments: [{roleAssignmentId: " + id + ", principalType: User, principalObjectId: u1, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}]",
		} {
			text := "apiVersion: pathgrant/v1\ntenants:\n  - id: t1\n    " + section + "\n...\n"
			if _, err := bundle.Parse("b.yaml", []byte(text), options(t)); (err == nil) != tc.want {
				t.Errorf("an identifier of %d bytes in %.20s: %v", tc.length, section, err)
			}
		}
	}
}

func TestAFileTooLargeIsRefusedUnread(t *testing.T) {
	_, err := bundle.Parse("b.yaml", make([]byte, bundle.MaxSize+1), options(t))
	if err == nil || !strings.Contains(err.Error(), "512 MiB") {
		t.Errorf("got the error %v", err)
	}
}

// What a bundle may leave out: where a role may be assigned (anywhere), a parent unit's
// own entry (it is then a root), an environment that its group lists.
func TestWhatABundleMayLeaveOut(t *testing.T) {
	t.Parallel()
	data, err := bundle.Parse("short.yaml", []byte(`apiVersion: pathgrant/v1
tenants:
  - id: t1
    environmentGroups: [{id: g1, environments: [e1]}]
    environments: [{id: e3, dataverse: true}]
    businessUnits: [{id: b1, environment: e3, parent: b0}]
    roleDefinitions:
      - {roleDefinitionId: r1, roleDefinitionName: Flow Operator, permissions: ["PowerAutomate.Flows.*", "Nothing.Yet.*"]}
    roleAssignments:
      - {principalType: User, principalObjectId: u1, roleDefinitionName: flow-operator, scope: /tenants/t1/environments/e3/businessUnits/b0}
...
`), options(t))
	if err != nil {
		t.Fatal(err)
	}
	tenant := data.Tenants[0]
	if got := tenant.RoleDefinitions[0].AssignableScopes; !slices.Equal(got, []string{"/tenants/{0}"}) {
		t.Errorf("assignable scopes %q, want the tenant", got)
	}
	want := []authz.BusinessUnit{{ID: "b1", Environment: "e3", Parent: "b0"}, {ID: "b0", Environment: "e3"}}
	if !slices.Equal(tenant.BusinessUnits, want) {
		t.Errorf("business units %v, want %v", tenant.BusinessUnits, want)
	}
}
