package oracle_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/oracle"
)

// smallWorld is the world of the cases below. The tenant acme has the environment prod in the
// group live, the environment test in none, and in prod the business units root, north
// (below root) and pole (below north). The group makers is in staff, which is in all.
func smallWorld(assignments ...oracle.Assignment) *oracle.World {
	w := &oracle.World{
		Permissions: []string{
			"PowerApps.Apps.Read", "PowerApps.Apps.Create", "PowerApps.Apps.Update", "PowerApps.Apps.Delete",
			"PowerApps.Apps.Write", "PowerApps.Apps.ReadWrite", "PowerApps.Apps.Play",
			"PowerApps.Admin.Apps.Read", "Flow.Flows.Read", "Flow.Flows.Create", "Flow.Flows.ReadWrite",
		},
		Implications: oracle.DefaultImplications(),
		Tenants: map[string]*oracle.Tenant{
			"acme": {
				Environments:      []string{"prod", "test"},
				EnvironmentGroups: []string{"live"},
				GroupOf:           map[string]string{"prod": "live"},
				BusinessUnits:     map[string]map[string]string{"prod": {"root": "", "north": "root", "pole": "north"}},
				Groups: map[string][]oracle.Principal{
					"makers": {{Kind: "User", ID: "ada"}},
					"staff":  {{Kind: "Group", ID: "makers"}},
					"all":    {{Kind: "Group", ID: "staff"}},
				},
				Disabled: []oracle.Principal{{Kind: "User", ID: "eve"}},
				Roles: map[string]oracle.Role{
					"All":             {Permissions: []string{"*"}},
					"Reader":          {Permissions: []string{"*.Read"}},
					"AppReader":       {Permissions: []string{"PowerApps.Apps.Read"}},
					"AppWriter":       {Permissions: []string{"powerapps.apps.WRITE"}},
					"AppReadWriter":   {Permissions: []string{"PowerApps.Apps.ReadWrite"}},
					"PowerApps":       {Permissions: []string{"PowerApps.*"}},
					"PowerAppsReader": {Permissions: []string{"PowerApps.*.Read"}},
					"Apps":            {Permissions: []string{"PowerApps.Apps.*"}},
					"AllButAppWrite":  {Permissions: []string{"*"}, Exceptions: []string{"PowerApps.Apps.Write"}},
					"AllButAppRead":   {Permissions: []string{"*"}, Exceptions: []string{"PowerApps.Apps.Read"}},
					"Flows":           {Permissions: []string{"Flow.*"}, Exceptions: []string{"Flow.Flows.Create"}},
				},
			},
			"other": {
				Environments: []string{"prod"},
				Roles:        map[string]oracle.Role{"All": {Permissions: []string{"*"}}},
				Assignments: []oracle.Assignment{
					{ID: "o", Principal: oracle.Principal{Kind: "User", ID: "ada"}, Role: "All", Scope: "/tenants/other", Effect: "ALLOW"},
				},
			},
		},
	}
	w.Tenants["acme"].Assignments = assignments
	return w
}

// assign makes an assignment of "Kind:id", named by its place.
func assign(id, effect, principal, role, scope string, expires ...int64) oracle.Assignment {
	kind, name, _ := strings.Cut(principal, ":")
	a := oracle.Assignment{
		ID: id, Effect: effect, Principal: oracle.Principal{Kind: kind, ID: name},
		Role: role, Scope: "/tenants/acme" + scope,
	}
	for _, at := range expires {
		a.Expires = at
	}
	return a
}

// ask makes a question of Ada's at second 1000. Scopes begin below the tenant acme.
func ask(permissions string, scopes ...string) oracle.Question {
	q := oracle.Question{
		Tenant: "acme", Principal: oracle.Principal{Kind: "User", ID: "ada"},
		Permissions: strings.Fields(permissions), Now: 1000,
	}
	for _, scope := range scopes {
		q.Scopes = append(q.Scopes, "/tenants/acme"+scope)
	}
	return q
}

const (
	prod = "/environments/prod"
	app  = "/environments/prod/powerapps/a7"
	live = "/environmentGroups/live"
	test = "/environments/test"
	pole = "/environments/prod/businessUnits/pole"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	as := func(kind, id string, q oracle.Question) oracle.Question {
		q.Principal = oracle.Principal{Kind: kind, ID: id}
		return q
	}
	withToken := func(groups, wids string, q oracle.Question) oracle.Question {
		q.Groups, q.Wids = strings.Fields(groups), strings.Fields(wids)
		return q
	}
	unknown := func(q oracle.Question) oracle.Question { q.GroupsUnknown = true; return q }
	of := func(tenant string, q oracle.Question) oracle.Question { q.Tenant = tenant; return q }

	type list = []oracle.Assignment
	for _, c := range []struct {
		name        string
		assignments list
		question    oracle.Question
		want        string // the reason and the assignments that may be named
	}{
		{"silence denies", nil, ask("PowerApps.Apps.Read", app), "NO_ASSIGNMENT"},
		{"the tenant reaches a resource", list{assign("1", "ALLOW", "User:ada", "Reader", "")}, ask("PowerApps.Apps.Read", app), "GRANTED 1"},
		{"the group reaches its environment", list{assign("1", "ALLOW", "User:ada", "Reader", live)}, ask("PowerApps.Apps.Read", app), "GRANTED 1"},
		{"the group reaches no other environment", list{assign("1", "ALLOW", "User:ada", "Reader", live)}, ask("PowerApps.Apps.Read", test), "NO_ASSIGNMENT"},
		{"nothing is inherited upward", list{assign("1", "ALLOW", "User:ada", "Reader", app)}, ask("PowerApps.Apps.Read", prod), "NO_ASSIGNMENT"},
		{"a unit inherits from those above", list{assign("1", "ALLOW", "User:ada", "Reader", "/environments/prod/businessUnits/root")}, ask("PowerApps.Apps.Read", pole), "GRANTED 1"},
		{"a resource inherits from no unit", list{assign("1", "ALLOW", "User:ada", "Reader", pole)}, ask("PowerApps.Apps.Read", app), "NO_ASSIGNMENT"},
		{"another tenant's assignment is nothing", nil, ask("PowerApps.Apps.Read", prod), "NO_ASSIGNMENT"},
		{"in its own tenant it counts", nil, of("other", oracle.Question{Principal: oracle.Principal{Kind: "User", ID: "ada"}, Permissions: []string{"PowerApps.Apps.Read"}, Scopes: []string{"/tenants/other/environments/prod"}}), "GRANTED o"},

		{"a nearer deny overrides", list{assign("1", "ALLOW", "User:ada", "All", ""), assign("2", "DENY", "User:ada", "Reader", prod)}, ask("PowerApps.Apps.Read", app), "OVERRIDDEN 2"},
		{"a still nearer allow gives back", list{assign("1", "DENY", "User:ada", "Reader", prod), assign("2", "ALLOW", "User:ada", "AppReader", app)}, ask("PowerApps.Apps.Read", app), "GRANTED 2"},
		{"deny wins a tie", list{assign("1", "ALLOW", "User:ada", "All", prod), assign("2", "DENY", "User:ada", "Reader", prod), assign("3", "DENY", "Group:makers", "All", prod)}, ask("PowerApps.Apps.Read", prod), "OVERRIDDEN 2 3"},
		{"a deny of something else is silence", list{assign("1", "ALLOW", "User:ada", "All", ""), assign("2", "DENY", "User:ada", "Flows", prod)}, ask("PowerApps.Apps.Read", app), "GRANTED 1"},
		{"a deny takes whatever implies it", list{assign("1", "ALLOW", "User:ada", "All", ""), assign("2", "DENY", "User:ada", "AppReader", prod)}, ask("PowerApps.Apps.ReadWrite", prod), "OVERRIDDEN 2"},
		{"and nothing besides", list{assign("1", "ALLOW", "User:ada", "All", ""), assign("2", "DENY", "User:ada", "AppReader", prod)}, ask("PowerApps.Apps.Write", prod), "GRANTED 1"},
		{"nothing below gives back what is forbidden", list{assign("1", "FORBID", "User:ada", "Reader", ""), assign("2", "ALLOW", "User:ada", "All", app)}, ask("PowerApps.Apps.Read", app), "FORBIDDEN 1"},
		{"a forbid below does not reach up", list{assign("1", "FORBID", "User:ada", "Reader", prod), assign("2", "ALLOW", "User:ada", "All", "")}, ask("PowerApps.Apps.Read", ""), "GRANTED 2"},
		{"a forbid outranks a deny", list{assign("1", "FORBID", "User:ada", "Reader", ""), assign("2", "DENY", "User:ada", "All", app)}, ask("PowerApps.Apps.Read", app), "FORBIDDEN 1"},

		{"one second before it expires it counts", list{assign("1", "ALLOW", "User:ada", "All", "", 1001)}, ask("PowerApps.Apps.Read", app), "GRANTED 1"},
		{"in the second it expires it is gone", list{assign("1", "ALLOW", "User:ada", "All", "", 1000)}, ask("PowerApps.Apps.Read", app), "EXPIRED 1"},
		{"an expired deny takes nothing", list{assign("1", "ALLOW", "User:ada", "All", ""), assign("2", "DENY", "User:ada", "All", prod, 1000), assign("3", "FORBID", "User:ada", "All", prod, 999)}, ask("PowerApps.Apps.Read", app), "GRANTED 1"},
		{"an expired deny is not said", list{assign("2", "DENY", "User:ada", "All", prod, 1000)}, ask("PowerApps.Apps.Read", app), "NO_ASSIGNMENT"},
		{"an expired allow of something else is not said", list{assign("1", "ALLOW", "User:ada", "Flows", "", 1000)}, ask("PowerApps.Apps.Read", app), "NO_ASSIGNMENT"},
		{"a live deny is said before an expired allow", list{assign("1", "ALLOW", "User:ada", "All", app, 1000), assign("2", "DENY", "User:ada", "All", "")}, ask("PowerApps.Apps.Read", app), "OVERRIDDEN 2"},

		{"a group's assignment counts", list{assign("1", "ALLOW", "Group:makers", "All", "")}, ask("PowerApps.Apps.Read", app), "GRANTED 1"},
		{"a group of a group of a group too", list{assign("1", "ALLOW", "Group:all", "All", "")}, ask("PowerApps.Apps.Read", app), "GRANTED 1"},
		{"a group in the token counts, and what that is in", list{assign("1", "ALLOW", "Group:all", "All", "")}, as("User", "bob", withToken("staff", "", ask("PowerApps.Apps.Read", app))), "GRANTED 1"},
		{"somebody else's is nothing", list{assign("1", "ALLOW", "Group:makers", "All", "")}, as("User", "bob", ask("PowerApps.Apps.Read", app)), "NO_ASSIGNMENT"},
		{"a directory role in the token counts", list{assign("1", "ALLOW", "DirectoryRole:makers", "All", "")}, withToken("", "makers", ask("PowerApps.Apps.Read", app)), "GRANTED 1"},
		{"a group is no directory role", list{assign("1", "ALLOW", "DirectoryRole:makers", "All", ""), assign("2", "ALLOW", "Team:ada", "All", "")}, ask("PowerApps.Apps.Read", app), "NO_ASSIGNMENT"},
		{"an application user is the user with that identifier", list{assign("1", "ALLOW", "ApplicationUser:ada", "All", "")}, ask("PowerApps.Apps.Read", app), "GRANTED 1"},

		{"unknown groups do not hide what is granted", list{assign("1", "ALLOW", "User:ada", "All", "")}, unknown(ask("PowerApps.Apps.Read", app)), "GRANTED 1"},
		{"a denial says that groups are unknown", nil, unknown(ask("PowerApps.Apps.Read", app)), "GROUPS_UNKNOWN"},
		{"any group's deny could be the caller's", list{assign("1", "ALLOW", "User:ada", "All", app), assign("2", "DENY", "Group:strangers", "Reader", "")}, unknown(ask("PowerApps.Apps.Read", app)), "GROUPS_UNKNOWN 2"},
		{"not where it stands elsewhere", list{assign("1", "ALLOW", "User:ada", "All", app), assign("2", "DENY", "Group:strangers", "Reader", test), assign("3", "DENY", "Group:strangers", "Reader", prod, 1000), assign("4", "DENY", "User:bob", "Reader", prod), assign("5", "DENY", "Group:strangers", "Flows", prod)}, unknown(ask("PowerApps.Apps.Read", app)), "GRANTED 1"},

		{"all pairs must allow", list{assign("1", "ALLOW", "User:ada", "AppReader", "")}, ask("PowerApps.Apps.Read PowerApps.Apps.Update", app), "NO_ASSIGNMENT"},
		{"at all scopes", list{assign("1", "ALLOW", "User:ada", "All", prod)}, ask("PowerApps.Apps.Read", prod, test), "NO_ASSIGNMENT"},
		{"the first pair that does not says why", list{assign("1", "ALLOW", "User:ada", "AppReader", prod), assign("2", "FORBID", "User:ada", "AppWriter", ""), assign("3", "DENY", "User:ada", "All", test)}, ask("PowerApps.Apps.Read PowerApps.Apps.Create", prod, test), "OVERRIDDEN 3"},
		{"the first pair is named where all allow", list{assign("1", "ALLOW", "User:ada", "All", prod), assign("2", "ALLOW", "User:ada", "All", test)}, ask("PowerApps.Apps.Read", test, prod), "GRANTED 2"},

		{"an unknown permission is unmapped, whoever asks", list{assign("1", "ALLOW", "User:ada", "All", "")}, ask("All.All.ReadWrite", app), "UNMAPPED"},
		{"it is said before all else", nil, as("User", "eve", of("other", ask("PowerApps.Apps.Rea", "/environments/none"))), "UNMAPPED"},
		{"then the tenant", nil, as("User", "eve", of("other", ask("PowerApps.Apps.Read", "/environments/none"))), "CROSS_TENANT"},
		{"a longer name is another tenant", nil, of("acm", ask("PowerApps.Apps.Read", "")), "CROSS_TENANT"},
		{"then the scope", nil, as("User", "eve", ask("PowerApps.Apps.Read", "/environments/none")), "UNKNOWN_SCOPE"},
		{"a resource of an unlisted environment", nil, ask("PowerApps.Apps.Read", "/environments/none/powerapps/a7"), "UNKNOWN_SCOPE"},
		{"an unlisted group", nil, ask("PowerApps.Apps.Read", "/environmentGroups/prod"), "UNKNOWN_SCOPE"},
		{"an unlisted unit", nil, ask("PowerApps.Apps.Read", "/environments/test/businessUnits/pole"), "UNKNOWN_SCOPE"},
		{"then the disabled principal", list{assign("1", "ALLOW", "User:eve", "All", "")}, as("ApplicationUser", "eve", ask("PowerApps.Apps.Read", app)), "PRINCIPAL_DISABLED"},
		{"nothing asked is nothing given", list{assign("1", "ALLOW", "User:ada", "All", "")}, ask("", app), "UNMAPPED"},
		{"nowhere asked is nothing given", list{assign("1", "ALLOW", "User:ada", "All", "")}, ask("PowerApps.Apps.Read"), "UNKNOWN_SCOPE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			answer := smallWorld(c.assignments...).Decide(c.question, "")
			got := strings.Join(append([]string{answer.Reason}, answer.AssignmentIDs...), " ")
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Where the tenant's directory is complete, a token without groups leaves nothing unknown.
func TestCompleteDirectoryAnswersForTheToken(t *testing.T) {
	t.Parallel()
	w := smallWorld(assign("1", "ALLOW", "Group:all", "AppReader", ""), assign("2", "DENY", "Group:strangers", "All", app))
	w.Tenants["acme"].DirectoryComplete = true
	for permission, want := range map[string]string{"PowerApps.Apps.Read": "GRANTED", "PowerApps.Apps.Delete": "NO_ASSIGNMENT"} {
		q := ask(permission, app)
		q.GroupsUnknown = true
		if got := w.Decide(q, "").Reason; got != want {
			t.Errorf("%s: got %s, want %s", permission, got, want)
		}
	}
}

// What each role of the small world grants, typed by hand.
func TestRolesGrant(t *testing.T) {
	t.Parallel()
	for role, want := range map[string]string{
		"Reader":          "PowerApps.Apps.Read PowerApps.Admin.Apps.Read Flow.Flows.Read",
		"AppReader":       "PowerApps.Apps.Read",
		"AppWriter":       "PowerApps.Apps.Create PowerApps.Apps.Update PowerApps.Apps.Write",
		"AppReadWriter":   "PowerApps.Apps.Read PowerApps.Apps.Create PowerApps.Apps.Update PowerApps.Apps.Write PowerApps.Apps.ReadWrite",
		"Apps":            "PowerApps.Apps.Read PowerApps.Apps.Create PowerApps.Apps.Update PowerApps.Apps.Delete PowerApps.Apps.Write PowerApps.Apps.ReadWrite PowerApps.Apps.Play",
		"PowerApps":       "PowerApps.Apps.Read PowerApps.Apps.Create PowerApps.Apps.Update PowerApps.Apps.Delete PowerApps.Apps.Write PowerApps.Apps.ReadWrite PowerApps.Apps.Play PowerApps.Admin.Apps.Read",
		"PowerAppsReader": "PowerApps.Apps.Read PowerApps.Admin.Apps.Read",
		"AllButAppWrite":  "PowerApps.Apps.Read PowerApps.Apps.Delete PowerApps.Apps.Play PowerApps.Admin.Apps.Read Flow.Flows.Read Flow.Flows.Create Flow.Flows.ReadWrite",
		"AllButAppRead":   "PowerApps.Apps.Create PowerApps.Apps.Update PowerApps.Apps.Delete PowerApps.Apps.Write PowerApps.Apps.Play PowerApps.Admin.Apps.Read Flow.Flows.Read Flow.Flows.Create Flow.Flows.ReadWrite",
		// ReadWrite gives Create through Write, although Flows has no Write.
		"Flows": "Flow.Flows.Read",
	} {
		w := smallWorld(assign("1", "ALLOW", "User:ada", role, ""))
		var got []string
		for _, permission := range w.Permissions {
			if w.Decide(ask(permission, app), "").Reason == oracle.Granted {
				got = append(got, permission)
			}
		}
		if diff := cmp.Diff(strings.Fields(want), got); diff != "" {
			t.Errorf("role %s (-want +got):\n%s", role, diff)
		}
	}
}

func TestGenerateIsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		a, b := oracle.Generate(seed), oracle.Generate(seed)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatalf("seed %d makes two worlds: %s", seed, diff)
		}
		if diff := cmp.Diff(a.Questions(seed, 50), b.Questions(seed, 50)); diff != "" {
			t.Fatalf("seed %d asks two sets of questions: %s", seed, diff)
		}
		if other := oracle.Generate(seed + 1); cmp.Equal(a, other) {
			t.Errorf("seeds %d and %d make one world", seed, seed+1)
		}
	}
}

// One principal, role and scope has one assignment, and no assignment has another's name.
func TestGeneratedAssignmentsAreDistinct(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		links, names := map[string]bool{}, map[string]bool{}
		for _, tenant := range oracle.Generate(seed).Tenants {
			for _, a := range tenant.Assignments {
				link := strings.Join([]string{strings.Replace(a.Principal.Kind, "ApplicationUser", "User", 1), a.Principal.ID, a.Role, a.Scope}, " ")
				if links[link] || names[a.ID] {
					t.Errorf("seed %d: assignment %+v stands twice", seed, a)
				}
				links[link], names[a.ID] = true, true
			}
		}
	}
}

// The generated questions are worth asking: every reason occurs, enough are allowed, and
// every mistake changes some answer.
func TestGeneratedQuestionsReachEveryRule(t *testing.T) {
	t.Parallel()
	const worlds, each = 60, 50
	count := map[string]int{}
	unseen := map[oracle.Mistake]bool{}
	for _, mistake := range oracle.Mistakes() {
		unseen[mistake] = true
	}
	for seed := range uint64(worlds) {
		w := oracle.Generate(seed)
		for _, q := range w.Questions(seed, each) {
			right := w.Decide(q, "")
			count[right.Reason]++
			for mistake := range unseen {
				if !cmp.Equal(w.Decide(q, mistake), right) {
					delete(unseen, mistake)
				}
			}
		}
	}
	for _, reason := range oracle.Reasons() {
		if count[reason] < worlds*each/100 {
			t.Errorf("%s is the answer to %d of %d questions: want one in a hundred at least", reason, count[reason], worlds*each)
		}
	}
	if count[oracle.Granted] < worlds*each/10 {
		t.Errorf("%d of %d questions are allowed: want a tenth at least", count[oracle.Granted], worlds*each)
	}
	if len(count) != len(oracle.Reasons()) {
		t.Errorf("reasons %v occur, of which some are not listed", count)
	}
	for mistake := range unseen {
		t.Errorf("the mistake %q changes no answer", mistake)
	}
}

func TestMistakesAreListedOnce(t *testing.T) {
	t.Parallel()
	mistakes := oracle.Mistakes()
	slices.Sort(mistakes)
	if n := len(slices.Compact(slices.Clone(mistakes))); n != len(mistakes) || slices.Contains(mistakes, "") {
		t.Errorf("%d of %d mistakes are distinct: %v", n, len(mistakes), mistakes)
	}
}
