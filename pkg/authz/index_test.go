package authz_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// plain decides for one permission by looking at every grant at every scope, in the order
// of the rules: nothing is indexed, put together or left out.
func plain(grants []authz.Grant, permission authz.PermissionID, chain []authz.Scope, now int64) (authz.Reason, string) {
	live := func(g authz.Grant) bool { return g.Expires == 0 || now < g.Expires }
	first := func(scope authz.Scope, is func(authz.Grant) bool) (id string, found bool) {
		for _, g := range grants {
			if g.Scope == scope && is(g) && (!found || g.AssignmentID < id) {
				id, found = g.AssignmentID, true
			}
		}
		return id, found
	}
	for _, scope := range chain {
		if id, ok := first(scope, func(g authz.Grant) bool {
			return g.Effect == authz.AssignForbid && live(g) && g.Role.Takes(permission)
		}); ok {
			return authz.Forbidden, id
		}
	}
	expired, over := "", false
	for _, scope := range chain {
		if id, ok := first(scope, func(g authz.Grant) bool {
			return g.Effect == authz.AssignDeny && live(g) && g.Role.Takes(permission)
		}); ok {
			return authz.Overridden, id
		}
		covers := func(g authz.Grant) bool { return g.Effect == authz.AssignAllow && g.Role.Grants(permission) }
		if id, ok := first(scope, func(g authz.Grant) bool { return covers(g) && live(g) }); ok {
			return authz.Granted, id
		}
		if !over {
			expired, over = first(scope, func(g authz.Grant) bool { return covers(g) && !live(g) })
		}
	}
	if over {
		return authz.Expired, expired
	}
	return authz.NoAssignment, ""
}

// However many grants stand at however many scopes, with one role many times over and with
// more roles than are told apart, the reason and the assignment are those of the rules.
func TestTheIndexChangesNoDecision(t *testing.T) {
	t.Parallel()
	names := make([]authz.Permission, 130)
	for i := range names {
		names[i] = authz.Permission(fmt.Sprintf("N%d.Things.Read", i))
	}
	v, err := authz.NewVocabulary(names, nil)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	roles := []*authz.Role{nil}
	for i := range 100 {
		def := authz.RoleDefinition{ID: fmt.Sprint(i), Name: fmt.Sprint(i)}
		for range 1 + random.IntN(3) {
			def.Permissions = append(def.Permissions, string(names[random.IntN(len(names))]))
		}
		role, err := v.Compile(def)
		if err != nil {
			t.Fatal(err)
		}
		roles = append(roles, role)
	}
	const now = 1000
	census := map[authz.Reason]int{}
	for world := range 100 {
		scopes := make([]authz.Scope, 1+random.IntN(14)) // with a map and without
		for i := range scopes {
			scopes[i] = authz.Scope(fmt.Sprintf("/tenants/t/environments/e%d%s", i, strings.Repeat("x", i%3)))
		}
		few := 1 + random.IntN(len(roles)) // roles in use
		grants := make([]authz.Grant, random.IntN(500))
		for i := range grants {
			grants[i] = authz.Grant{
				AssignmentID: fmt.Sprintf("assignment-%04d", random.IntN(1<<30)), Role: roles[random.IntN(few)],
				Scope: scopes[random.IntN(len(scopes))], Effect: authz.AssignAllow,
			}
			if world%3 > 0 {
				grants[i].Effect = []authz.AssignmentEffect{authz.AssignAllow, authz.AssignAllow, authz.AssignAllow, authz.AssignDeny, authz.AssignForbid, authz.NoEffect}[random.IntN(3*(world%3))]
			}
			if random.IntN(3) == 0 {
				grants[i].Expires = int64(now - 1 + random.IntN(3))
			}
		}
		given := append([]authz.Grant(nil), grants...)
		index := authz.NewGrants(given)
		for range 100 {
			permission := authz.PermissionID(random.IntN(len(names)))
			var chain []authz.Scope
			for range 1 + random.IntN(4) {
				chain = append(chain, append(scopes, "/tenants/t/elsewhere")[random.IntN(len(scopes)+1)])
			}
			want, wantID := plain(grants, permission, chain, now)
			d := authz.Decide(index, authz.Request{Permissions: []authz.PermissionID{permission}, Chains: [][]authz.Scope{chain}}, now)
			id := ""
			if d.Grant != nil {
				id = d.Grant.AssignmentID
			}
			if census[want]++; d.Reason != want || id != wantID {
				t.Fatalf("world %d: %v by %q, want %v by %q", world, d.Reason, id, want, wantID)
			}
		}
	}
	for _, reason := range []authz.Reason{authz.Granted, authz.NoAssignment, authz.Overridden, authz.Forbidden, authz.Expired} {
		if census[reason] < 100 {
			t.Errorf("%v came up %d times only", reason, census[reason])
		}
	}
}
