package oracle_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/oracle"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	worlds            = 200
	questionsPerWorld = 100
)

// The real decision and the oracle agree on the reason, the pair that settled it and
// the assignment named. Every mistaken decider is caught within the same questions.
func TestDecideAgreesWithTheOracle(t *testing.T) {
	t.Parallel()
	uncaught := map[oracle.Mistake]bool{}
	for _, mistake := range oracle.Mistakes() {
		uncaught[mistake] = true
	}
	different := 0
	for seed := range uint64(worlds) {
		world := oracle.Generate(seed)
		engine := newEngine(t, &world)
		for i, q := range world.Questions(seed, questionsPerWorld) {
			got := engine.decide(t, q)
			if want := world.Decide(q, ""); !got.agrees(want) {
				different++
				if different <= 5 {
					t.Errorf("seed %d, question %d: %+v\n got %+v\nwant %+v\nin %s", seed, i, q, got, want, describe(&world, q))
				}
			}
			for mistake := range uncaught {
				if !got.agrees(world.Decide(q, mistake)) {
					delete(uncaught, mistake)
				}
			}
		}
	}
	if different > 0 {
		t.Errorf("%d of %d questions are answered differently", different, worlds*questionsPerWorld)
	}
	for mistake := range uncaught {
		t.Errorf("no question catches the mistake %q", mistake)
	}
}

// answer is what the real decision says.
type answer struct{ Reason, Permission, Scope, Assignment string }

// agrees tells whether the answer is the oracle's. Where groups are unknown, naming an
// assignment is a courtesy.
func (a answer) agrees(want oracle.Answer) bool {
	if a.Reason != want.Reason || a.Permission != strings.ToLower(want.Permission) || a.Scope != want.Scope {
		return false
	}
	if a.Assignment == "" {
		return len(want.AssignmentIDs) == 0 || a.Reason == oracle.GroupsUnknown
	}
	return slices.Contains(want.AssignmentIDs, a.Assignment)
}

// engine is the real decision put together from a world, without a store: what
// normally the snapshot does, membership in nested groups, is done here.
type engine struct {
	world       *oracle.World
	vocabulary  *authz.Vocabulary
	hierarchies map[string]*authz.Hierarchy
	roles       map[string]map[string]*authz.Role
}

func newEngine(t *testing.T, world *oracle.World) engine {
	t.Helper()
	var names []authz.Permission
	for _, name := range world.Permissions {
		names = append(names, authz.Permission(name))
	}
	vocabulary, err := authz.NewVocabulary(names, authz.Implications(world.Implications))
	if err != nil {
		t.Fatalf("vocabulary: %v", err)
	}
	e := engine{world, vocabulary, map[string]*authz.Hierarchy{}, map[string]map[string]*authz.Role{}}
	for id, tenant := range world.Tenants {
		e.hierarchies[id] = newHierarchy(t, id, tenant)
		e.roles[id] = map[string]*authz.Role{}
		for roleID, role := range tenant.Roles {
			e.roles[id][roleID], err = vocabulary.Compile(authz.RoleDefinition{
				ID: roleID, Name: roleID, Permissions: role.Permissions, PermissionsExceptions: role.Exceptions,
			})
			if err != nil {
				t.Fatalf("role %s: %v", roleID, err)
			}
		}
	}
	return e
}

func newHierarchy(t *testing.T, id string, tenant *oracle.Tenant) *authz.Hierarchy {
	t.Helper()
	spec := authz.HierarchySpec{Tenant: id, Environments: tenant.Environments}
	for _, group := range tenant.EnvironmentGroups {
		listed := authz.EnvironmentGroup{ID: group}
		for _, environment := range tenant.Environments {
			if tenant.GroupOf[environment] == group {
				listed.Environments = append(listed.Environments, environment)
			}
		}
		spec.EnvironmentGroups = append(spec.EnvironmentGroups, listed)
	}
	for environment, units := range tenant.BusinessUnits {
		for unit, parent := range units {
			spec.BusinessUnits = append(spec.BusinessUnits, authz.BusinessUnit{ID: unit, Environment: environment, Parent: parent})
		}
	}
	hierarchy, err := authz.NewHierarchy(spec)
	if err != nil {
		t.Fatalf("hierarchy of %s: %v", id, err)
	}
	return hierarchy
}

func principalOf(t *testing.T, p oracle.Principal) authz.Principal {
	t.Helper()
	var kind authz.PrincipalType
	if err := kind.UnmarshalText([]byte(p.Kind)); err != nil {
		t.Fatal(err)
	}
	return authz.Principal{Type: kind, ID: p.ID}
}

func effectOf(t *testing.T, text string) (effect authz.AssignmentEffect) {
	t.Helper()
	if err := effect.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return effect
}

// membership returns the caller and everything it belongs to, climbing from each
// principal to the groups that list it.
func (e engine) membership(t *testing.T, subject *authz.Subject) map[authz.Principal]bool {
	t.Helper()
	parents := map[authz.Principal][]authz.Principal{}
	for group, members := range e.world.Tenants[subject.Tenant()].Groups {
		for _, member := range members {
			key := principalOf(t, member).Key()
			parents[key] = append(parents[key], authz.Principal{Type: authz.Group, ID: group})
		}
	}
	belongs := map[authz.Principal]bool{}
	var climb func(authz.Principal)
	climb = func(p authz.Principal) {
		if key := p.Key(); !belongs[key] {
			belongs[key] = true
			for _, parent := range parents[key] {
				climb(parent)
			}
		}
	}
	climb(subject.Principal())
	for _, id := range subject.Groups() {
		climb(authz.Principal{Type: authz.Group, ID: id})
	}
	for _, id := range subject.DirectoryRoles() {
		climb(authz.Principal{Type: authz.DirectoryRole, ID: id})
	}
	return belongs
}

// grants returns those of the tenant's assignments that the predicate holds for.
func (e engine) grants(t *testing.T, tenant string, include func(authz.Grant) bool) *authz.Grants {
	t.Helper()
	var grants []authz.Grant
	for _, a := range e.world.Tenants[tenant].Assignments {
		grant := authz.Grant{
			AssignmentID: a.ID, Principal: principalOf(t, a.Principal), Role: e.roles[tenant][a.Role],
			Scope: authz.Scope(a.Scope), Effect: effectOf(t, a.Effect), Expires: a.Expires,
		}
		if include(grant) {
			grants = append(grants, grant)
		}
	}
	return authz.NewGrants(grants)
}

func (e engine) decide(t *testing.T, q oracle.Question) answer {
	t.Helper()
	subject, err := authz.NewSubject(authz.SubjectSpec{
		Tenant: q.Tenant, Principal: principalOf(t, q.Principal),
		Groups: q.Groups, DirectoryRoles: q.Wids, GroupsUnknown: q.GroupsUnknown,
	})
	if err != nil {
		t.Fatalf("subject: %v", err)
	}
	tenant := e.world.Tenants[q.Tenant]
	request := authz.Request{GroupsUnknown: subject.GroupsUnknown() && !tenant.DirectoryComplete}
	for _, name := range q.Permissions {
		id, known := e.vocabulary.ID(name)
		if !known {
			return answer{Reason: authz.Unmapped.String()}
		}
		request.Permissions = append(request.Permissions, id)
	}
	reason := authz.ReasonUnspecified
	var scratch []byte
	for _, text := range q.Scopes {
		owner, named, err := authz.ParseScope(text, false)
		if err != nil {
			t.Fatalf("scope: %v", err)
		}
		chain, known := e.hierarchies[q.Tenant].AppendChain(nil, named, &scratch)
		switch {
		case owner != subject.Tenant():
			return answer{Reason: authz.CrossTenant.String()}
		case !known:
			reason = authz.UnknownScope
		}
		request.Chains = append(request.Chains, chain)
	}
	if reason != authz.ReasonUnspecified {
		return answer{Reason: reason.String()}
	}
	if slices.ContainsFunc(tenant.Disabled, func(p oracle.Principal) bool {
		return principalOf(t, p).Key() == subject.Principal().Key()
	}) {
		return answer{Reason: authz.PrincipalDisabled.String()}
	}
	belongs := e.membership(t, subject)
	own := e.grants(t, q.Tenant, func(g authz.Grant) bool { return belongs[g.Principal.Key()] })
	request.GroupDenials = e.grants(t, q.Tenant, func(g authz.Grant) bool {
		return g.Principal.Type == authz.Group && g.Effect != authz.AssignAllow
	})
	decision := authz.Decide(own, request, q.Now)
	got := answer{
		Reason:     decision.Reason.String(),
		Permission: strings.ToLower(string(e.vocabulary.Name(decision.Permission))),
		Scope:      string(decision.Scope),
	}
	if decision.Grant != nil {
		got.Assignment = decision.Grant.AssignmentID
	}
	return got
}

// describe writes what a difference has to be understood from.
func describe(w *oracle.World, q oracle.Question) string {
	var b strings.Builder
	line := func(words ...string) { b.WriteString(strings.Join(words, " ") + "\n") }
	line("permissions", strings.Join(w.Permissions, " "))
	for _, from := range slices.Sorted(maps.Keys(w.Implications)) {
		line("implication", from, "gives", strings.Join(w.Implications[from], " "))
	}
	t := w.Tenants[q.Tenant]
	for _, id := range slices.Sorted(maps.Keys(t.Groups)) {
		for _, member := range t.Groups[id] {
			line("group", id, "has", member.Kind, member.ID)
		}
	}
	for _, environment := range t.Environments {
		line("environment", environment, "in", t.GroupOf[environment])
	}
	for _, id := range slices.Sorted(maps.Keys(t.Roles)) {
		line("role", id, strings.Join(t.Roles[id].Permissions, " "), "except", strings.Join(t.Roles[id].Exceptions, " "))
	}
	for _, a := range t.Assignments {
		expires := "never"
		if a.Expires != 0 {
			expires = fmt.Sprintf("%d seconds from now", a.Expires-q.Now)
		}
		line("assignment", a.ID, a.Effect, a.Principal.Kind, a.Principal.ID, a.Role, a.Scope, "expires", expires)
	}
	return b.String()
}
