package gate_test

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/oracle"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// The whole way of a direct question, through a real store with its file, and the oracle
// give the same answers, with a cache that holds everything and with one that holds next
// to nothing. Every mistaken decider is caught on the way.
func TestEveryAnswerIsTheOracles(t *testing.T) {
	t.Parallel()
	for _, cache := range []struct {
		name  string
		bytes int64
		seed  uint64 // of the first world, so that no world is asked twice
	}{
		{"cache", 64 << 20, 0},
		{"tiny cache", 4 << 10, 1 << 32},
	} {
		t.Run(cache.name, func(t *testing.T) {
			t.Parallel()
			c := newComparison(t, cache.bytes)
			for seed := range uint64(oracleWorlds) {
				c.world(t, cache.seed+seed, oracleQuestions)
			}
			c.finish(t)
		})
	}
}

// comparison holds one store through which one world after the other goes.
type comparison struct {
	dir       string
	bytes     int64
	asked     int
	different int
	census    map[string]int
	uncaught  map[oracle.Mistake]bool
}

func newComparison(t *testing.T, cacheBytes int64) *comparison {
	t.Helper()
	c := &comparison{dir: t.TempDir(), bytes: cacheBytes, census: map[string]int{}, uncaught: map[oracle.Mistake]bool{}}
	for _, mistake := range oracle.Mistakes() {
		c.uncaught[mistake] = true
	}
	return c
}

// catalogueOf declares what the world knows; nothing is mapped by it.
func catalogueOf(t *testing.T, w *oracle.World) *naming.Catalogues {
	t.Helper()
	var b strings.Builder
	b.WriteString("catalogue: world\nimplications:\n")
	for _, from := range slices.Sorted(maps.Keys(w.Implications)) {
		fmt.Fprintf(&b, "  %s: [%s]\n", from, strings.Join(w.Implications[from], ", "))
	}
	b.WriteString("permissions:\n")
	for _, name := range w.Permissions {
		fmt.Fprintf(&b, "  - %s\n", name)
	}
	loaded, err := naming.Load(naming.Source{File: "world.yaml", Text: []byte(b.String())})
	if err != nil {
		t.Fatalf("the world's catalogue does not load: %v\n%s", err, &b)
	}
	return loaded
}

var principalTypes = map[string]authz.PrincipalType{
	"User": authz.User, "Group": authz.Group, "ApplicationUser": authz.ApplicationUser,
	"DirectoryRole": authz.DirectoryRole, "Team": authz.Team,
}

var assignmentEffects = map[string]authz.AssignmentEffect{
	"ALLOW": authz.AssignAllow, "DENY": authz.AssignDeny, "FORBID": authz.AssignForbid,
}

func principalOf(p oracle.Principal) authz.Principal {
	return authz.Principal{Type: principalTypes[p.Kind], ID: p.ID}
}

// dataOf turns the world into what a source would deliver.
func dataOf(w *oracle.World) *snapshot.Data {
	data := &snapshot.Data{}
	for _, id := range slices.Sorted(maps.Keys(w.Tenants)) {
		from := w.Tenants[id]
		to := snapshot.Tenant{ID: id, DirectoryComplete: from.DirectoryComplete}
		for _, group := range from.EnvironmentGroups {
			members := []string{}
			for _, environment := range slices.Sorted(maps.Keys(from.GroupOf)) {
				if from.GroupOf[environment] == group {
					members = append(members, environment)
				}
			}
			to.EnvironmentGroups = append(to.EnvironmentGroups, authz.EnvironmentGroup{ID: group, Environments: members})
		}
		for _, environment := range from.Environments {
			to.Environments = append(to.Environments, snapshot.Environment{ID: environment})
		}
		for environment, units := range from.BusinessUnits {
			for unit, parent := range units {
				to.BusinessUnits = append(to.BusinessUnits, authz.BusinessUnit{ID: unit, Environment: environment, Parent: parent})
			}
		}
		for _, p := range from.Disabled {
			to.Principals = append(to.Principals, snapshot.Principal{Principal: principalOf(p), Disabled: true})
		}
		for group, members := range from.Groups {
			g := snapshot.Group{ID: group}
			for _, member := range members {
				g.Members = append(g.Members, principalOf(member))
			}
			to.Groups = append(to.Groups, g)
		}
		for role, def := range from.Roles {
			to.RoleDefinitions = append(to.RoleDefinitions, authz.RoleDefinition{
				ID: role, Name: role, Permissions: def.Permissions, PermissionsExceptions: def.Exceptions,
				AssignableScopes: []string{"/tenants/{0}"},
			})
		}
		for _, a := range from.Assignments {
			to.RoleAssignments = append(to.RoleAssignments, snapshot.RoleAssignment{
				ID: a.ID, Principal: principalOf(a.Principal), RoleDefinitionID: a.Role,
				Scope: authz.Scope(a.Scope), Effect: assignmentEffects[a.Effect], Expires: a.Expires,
			})
		}
		data.Tenants = append(data.Tenants, to)
	}
	return data
}

// world puts the world of the seed in place of the one before, in the same directory, and
// asks the same questions of the gate, the oracle and every mistaken decider.
func (c *comparison) world(t *testing.T, seed uint64, questions int) {
	t.Helper()
	w := oracle.Generate(seed)
	catalogues := catalogueOf(t, &w)
	store, err := snapshot.Open(t.Context(), snapshot.Options{
		Dir: c.dir, CacheBytes: c.bytes, Vocabulary: catalogues.Vocabulary(), Restore: true,
	})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Errorf("seed %d: close: %v", seed, err)
		}
	}()
	if _, err := store.Replace(t.Context(), dataOf(&w), snapshot.Change{Source: "test"}); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	var now int64
	g := gate.New(gate.Options{
		Catalogues: catalogues, Snapshots: store, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(now, 0) },
	})
	var a ask.Answer
	for i, q := range w.Questions(seed, questions) {
		now = q.Now
		askGate(t, g, catalogues.Vocabulary(), q, &a)
		got := outcome{reason: a.Reason.String()}
		if a.Assignment != nil {
			got.assignment = a.Assignment.AssignmentID
		}
		want := w.Decide(q, "")
		c.asked++
		c.census[want.Reason]++
		if !got.agrees(want) {
			if c.different++; c.different <= 5 {
				t.Errorf("seed %d, question %d: %+v\n got %+v (%s)\nwant %+v", seed, i, q, got, a.Detail, want)
			}
		}
		for mistake := range c.uncaught {
			if !got.agrees(w.Decide(q, mistake)) {
				delete(c.uncaught, mistake)
			}
		}
	}
}

func (c *comparison) finish(t *testing.T) {
	t.Helper()
	t.Logf("%d decisions, %d differences, reasons: %v", c.asked, c.different, c.census)
	if c.different > 0 {
		t.Errorf("%d of %d decisions differ from the oracle's", c.different, c.asked)
	}
	for mistake := range c.uncaught {
		t.Errorf("no question catches the mistake %q", mistake)
	}
	for _, reason := range oracle.Reasons() {
		if c.census[reason] == 0 {
			t.Errorf("the reason %s never occurred", reason)
		}
	}
}

type outcome struct{ reason, assignment string }

func (o outcome) agrees(want oracle.Answer) bool {
	if o.reason != want.Reason {
		return false
	}
	if o.assignment == "" {
		return len(want.AssignmentIDs) == 0 || o.reason == oracle.GroupsUnknown
	}
	return slices.Contains(want.AssignmentIDs, o.assignment)
}

// askGate puts the question the way a direct caller would where it is for one permission
// at one scope, and as a mapped request would be otherwise.
func askGate(t *testing.T, g *gate.Gate, vocabulary *authz.Vocabulary, q oracle.Question, a *ask.Answer) {
	t.Helper()
	subject, err := authz.NewSubject(authz.SubjectSpec{
		Tenant: q.Tenant, Principal: principalOf(q.Principal), Groups: q.Groups,
		DirectoryRoles: q.Wids, GroupsUnknown: q.GroupsUnknown,
	})
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	if len(q.Permissions) == 1 && len(q.Scopes) == 1 {
		g.Decide(t.Context(), &ask.Request{Subject: subject, Permission: q.Permissions[0], Scope: q.Scopes[0]}, a)
		return
	}
	var permissions []authz.PermissionID
	for _, name := range q.Permissions {
		id, known := vocabulary.ID(name)
		if !known {
			a.Reset()
			a.Reason = authz.Unmapped // no mapping yields it
			return
		}
		permissions = append(permissions, id)
	}
	var tenants []string
	var named []authz.NamedScope
	for _, text := range q.Scopes {
		tenant, scope, err := authz.ParseScope(text, false)
		if err != nil {
			t.Fatalf("scope %q: %v", text, err)
		}
		tenants, named = append(tenants, tenant), append(named, scope)
	}
	g.DecideNamed(t.Context(), subject, permissions, tenants, named, a)
}
