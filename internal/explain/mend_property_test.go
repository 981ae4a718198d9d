package explain_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/explain"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// smallRoles have few permissions each, overlap, and differ in where they may be assigned.
// What brute force needs to know of them stands in [smallRole], by hand.
var smallRoles = []authz.RoleDefinition{
	{ID: "r1", Name: "Reads", Permissions: []string{"PowerApps.Apps.Read"}, AssignableScopes: []string{"/tenants/{0}"}},
	{ID: "r2", Name: "Creates", Permissions: []string{"PowerApps.Apps.Create"}, AssignableScopes: []string{"/tenants/{0}/environments/{1}"}},
	{ID: "r3", Name: "Updates", Permissions: []string{"PowerApps.Apps.Update"}, AssignableScopes: []string{"/tenants/{0}"}},
	{ID: "r4", Name: "Creates and updates", Permissions: []string{"PowerApps.Apps.Create", "PowerApps.Apps.Update"}, AssignableScopes: []string{"/tenants/{0}"}, RestrictedScopes: []string{"/tenants/{0}/environments/{1}"}},
	{ID: "r5", Name: "Reads and deletes", Permissions: []string{"PowerApps.Apps.Read", "PowerApps.Apps.Delete"}, AssignableScopes: []string{"/tenants/{0}/environmentGroups/{1}", "/tenants/{0}/environments/{1}/powerapps/{2}"}},
	{ID: "r6", Name: "All four", Permissions: []string{"PowerApps.Apps.Read", "PowerApps.Apps.Create", "PowerApps.Apps.Update", "PowerApps.Apps.Delete"}, AssignableScopes: []string{"/tenants/{0}"}, RestrictedScopes: []string{"/tenants/{0}/environments/{1}/{2}/{3}"}},
	{ID: "r7", Name: "Reads, for groups", Permissions: []string{"PowerApps.Apps.Read", "PowerApps.Apps.Update"}, AssignableScopes: []string{"/tenants/{0}"}, Category: authz.EnvironmentRoles, Terms: &authz.RoleTerms{HeldBy: []authz.HolderKind{authz.GroupHolder}}},
	{ID: "r8", Name: "Nearly everything", Permissions: []string{"*"}, PermissionsExceptions: []string{"PowerApps.Apps.Delete"}, AssignableScopes: []string{"/tenants/{0}"}},
}

const (
	read = 1 << iota
	create
	update
	remove
)

// A smallRole says by hand what the role of the same place gives, how much that is, and at
// which kinds of scope a user may be assigned it.
type smallRole struct {
	id    string
	gives uint
	size  int // 0: as many as the catalogue knows, less one
	at    []authz.ScopeKind
}

var (
	anywhere = []authz.ScopeKind{authz.TenantScope, authz.EnvironmentGroupScope, authz.EnvironmentScope, authz.ResourceScope}
	byHand   = []smallRole{
		{"r1", read, 1, anywhere},
		{"r2", create, 1, []authz.ScopeKind{authz.EnvironmentScope, authz.ResourceScope}},
		{"r3", update, 1, anywhere},
		{"r4", create | update, 2, []authz.ScopeKind{authz.TenantScope, authz.EnvironmentGroupScope}},
		// Below a group in what is inherited is not below it in the text; the role may be
		// assigned wherever the chain has a scope that the template matches.
		{"r5", read | remove, 2, []authz.ScopeKind{authz.EnvironmentGroupScope, authz.ResourceScope}},
		{"r6", read | create | update | remove, 4, []authz.ScopeKind{authz.TenantScope, authz.EnvironmentGroupScope, authz.EnvironmentScope}},
		{"r7", read | update, 2, nil},
		{"r8", read | create | update, 0, anywhere},
	}
)

const (
	root = authz.Scope("/tenants/t1")
	appA = authz.Scope("/tenants/t1/environments/e1/powerapps/a")
)

func envScope(id string) authz.Scope   { return root + "/environments/" + authz.Scope(id) }
func groupScope(id string) authz.Scope { return root + "/environmentGroups/" + authz.Scope(id) }

// dice makes random worlds and questions.
type dice struct{ *rand.Rand }

func (d dice) one(of ...string) string { return of[d.IntN(len(of))] }

func (d dice) in(n int) bool { return d.IntN(n) == 0 }

// tenant is a random one in which people hold the small roles in every way.
func (d dice) tenant() *snapshot.Data {
	t := snapshot.Tenant{ID: "t1", EnvironmentGroups: []authz.EnvironmentGroup{{ID: "g1"}, {ID: "g2"}}}
	for i := 1; i <= 4; i++ {
		e := snapshot.Environment{ID: fmt.Sprint("e", i)}
		t.Environments = append(t.Environments, e)
		if g := d.IntN(3); g < 2 {
			t.EnvironmentGroups[g].Environments = append(t.EnvironmentGroups[g].Environments, e.ID)
		}
	}
	t.Groups = []snapshot.Group{
		{ID: "staff", Members: []authz.Principal{principal(authz.User, "u1"), principal(authz.User, "u2")}},
		{ID: "all", Members: []authz.Principal{principal(authz.Group, "staff"), principal(authz.User, "u3")}},
	}
	scopes := []authz.Scope{root, groupScope("g1"), groupScope("g2"), envScope("e1"), envScope("e2"), envScope("e3"), envScope("e4"), appA}
	type key struct {
		p     authz.Principal
		role  string
		scope authz.Scope
	}
	seen := map[key]bool{}
	for i := range 3 + d.IntN(14) {
		p := principal(authz.User, d.one("u1", "u2", "u3"))
		if d.in(3) {
			p = principal(authz.Group, d.one("staff", "all"))
		}
		a := snapshot.RoleAssignment{
			ID: fmt.Sprintf("a%02d", i), Principal: p, RoleDefinitionID: d.one("r1", "r2", "r3", "r4", "r5", "r6", "r8"),
			Scope: scopes[d.IntN(len(scopes))], Effect: authz.AssignAllow,
		}
		switch d.IntN(10) {
		case 0:
			a.Effect = authz.AssignForbid
		case 1, 2, 3:
			a.Effect = authz.AssignDeny
		}
		if d.in(4) {
			a.Expires = noon.Unix() + []int64{-1000, 1000}[d.IntN(2)]
		}
		if k := (key{a.Principal, a.RoleDefinitionID, a.Scope}); !seen[k] {
			seen[k] = true
			t.RoleAssignments = append(t.RoleAssignments, a)
		}
	}
	return &snapshot.Data{Tenants: []snapshot.Tenant{t}}
}

// question needs one permission or two, at one scope or two.
func (d dice) question(t testing.TB) *ask.Request {
	e, other := d.one("e1", "e2", "e3", "e4"), d.one("e1", "e2", "e3", "e4")
	path := d.one(
		"/powerapps/environments/"+e+"/apps/x", "/powerapps/environments/"+e+"/apps/x",
		"/powerapps/environments/"+e+"/environments/"+other+"/apps/x", "/powerapps/apps/x",
		"/powerapps/environmentGroups/"+d.one("g1", "g2")+"/environments/"+e+"/apps/x",
	)
	r := &ask.Request{Adapter: "test", HTTP: true, Method: d.one("GET", "PUT", "PUT", "PATCH", "DELETE"), Path: path, Subject: user(t, d.one("u1", "u2", "u3"))}
	if d.in(4) {
		*r = ask.Request{Adapter: "test", Subject: r.Subject, Scope: string(appA), Permission: d.one("PowerApps.Apps.Read", "PowerApps.Apps.Create", "PowerApps.Apps.Delete")}
	}
	return r
}

// A pick is an assignment of a small role.
type pick struct {
	role  *smallRole
	scope authz.Scope
	kind  authz.ScopeKind
	depth int // of the chain
}

// smaller compares two sets of assignments as the doc of the mend says.
func smaller(a, b []pick, everything int) bool {
	size := func(all []pick) int {
		gives, most := uint(0), 0
		n := 0
		for _, p := range all {
			if p.role.size == 0 {
				most = everything
			}
			gives |= p.role.gives
		}
		for bit := uint(read); bit <= remove; bit <<= 1 {
			if gives&bit != 0 {
				n++
			}
		}
		if most > 0 { // it gives all but one of the four, and all else
			n = most
			if gives&remove != 0 {
				n++
			}
		}
		return n
	}
	order := []authz.ScopeKind{authz.TenantScope, authz.EnvironmentGroupScope, authz.EnvironmentScope, authz.ResourceScope}
	// narrowness is greater for what is narrower; the widest of a set comes first.
	narrowness := func(all []pick) []int {
		var n []int
		for _, p := range all {
			n = append(n, slices.Index(order, p.kind)*10+p.depth)
		}
		slices.Sort(n)
		return n
	}
	ids := func(all []pick) string {
		var n []string
		for _, p := range all {
			n = append(n, p.role.id+"\x00"+string(p.scope))
		}
		slices.Sort(n)
		return strings.Join(n, "\x00")
	}
	na, nb := narrowness(a), narrowness(b)
	if c := cmp.Compare(size(a), size(b)); c != 0 {
		return c < 0
	}
	if na[0] != nb[0] {
		return na[0] > nb[0]
	}
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	if c := slices.Compare(na, nb); c != 0 {
		return c > 0
	}
	return ids(a) < ids(b)
}

// A refusal with all that brute force needs to know.
type refusal struct {
	w         *world
	subject   *authz.Subject
	grants    []authz.Grant
	request   authz.Request
	everybody []pick
}

func (w *world) refusal(r *ask.Request, e *explain.Explanation) *refusal {
	w.t.Helper()
	found, err := w.store.View(w.t.Context(), r.Subject)
	if err != nil {
		w.t.Fatal(err)
	}
	f := &refusal{w: w, subject: r.Subject, grants: found.View.Grants.All()}
	vocabulary := w.catalogues.Vocabulary()
	for _, name := range e.Answer.Permissions {
		id, _ := vocabulary.ID(string(name))
		f.request.Permissions = append(f.request.Permissions, id)
	}
	tree := w.store.Current().Tenant("t1").Hierarchy()
	seen := map[authz.Scope]bool{}
	for _, scope := range e.Answer.Scopes {
		chain, err := tree.Chain(scope, true)
		if err != nil {
			w.t.Fatal(err)
		}
		f.request.Chains = append(f.request.Chains, chain)
		for i, at := range chain {
			if seen[at] {
				continue
			}
			seen[at] = true
			_, named, err := authz.ParseScope(string(at), true)
			if err != nil {
				w.t.Fatal(err)
			}
			for j := range byHand {
				role := &byHand[j]
				ok := slices.Contains(role.at, named.Kind)
				if role.id == "r5" && named.Kind == authz.EnvironmentScope { // in a group, it is below one
					ok = len(chain[i:]) == 3
				}
				if ok && !f.holds(role.id, at) {
					f.everybody = append(f.everybody, pick{role, at, named.Kind, len(chain) - i})
				}
			}
		}
	}
	return f
}

// holds tells whether the subject itself holds the role at the scope, whatever the effect.
func (f *refusal) holds(role string, scope authz.Scope) bool {
	return slices.ContainsFunc(f.grants, func(g authz.Grant) bool {
		return g.Principal == f.subject.Principal() && g.Role.ID() == role && g.Scope == scope && (g.Expires == 0 || noon.Unix() < g.Expires)
	})
}

// allows tells whether the decision allows once the assignments are made.
func (f *refusal) allows(picks ...pick) bool {
	grants := slices.Clone(f.grants)
	for i, p := range picks {
		role := f.w.store.Current().Tenant("t1").Role(p.role.id)
		grants = append(grants, authz.Grant{
			AssignmentID: fmt.Sprint("new", i), Principal: f.subject.Principal(), Role: role, Scope: p.scope, Effect: authz.AssignAllow,
		})
	}
	return authz.Decide(authz.NewGrants(grants), f.request, noon.Unix()).Allowed()
}

// pickOf finds a proposal among all that could be made.
func (f *refusal) pickOf(p explain.Proposal) (pick, bool) {
	i := slices.IndexFunc(f.everybody, func(k pick) bool { return k.role.id == p.RoleID && k.scope == p.Scope })
	if i < 0 || p.Principal != f.subject.Principal() {
		return pick{}, false
	}
	return f.everybody[i], true
}

// Applying a mend turns the refusal into an allow, and brute force over every assignment
// that could be made, alone and in pairs, finds none that is smaller.
func TestAMendIsTheSmallest(t *testing.T) {
	w := newWorld(t, smallRoles)
	d := dice{rand.New(rand.NewPCG(5, 8))}
	everything := w.catalogues.Vocabulary().Len() - 1
	mended, helpless, inStore := 0, 0, 0
	reasons := map[authz.Reason]int{}
	pairs := 0
	for mended < cases {
		w.replace(d.tenant())
		for range 120 {
			r := d.question(t)
			e := w.explain(r)
			if e.Answer.Allowed() {
				if e.Mend != nil {
					t.Fatalf("an allowed question has a mend: %+v", e.Mend)
				}
				continue
			}
			f := w.refusal(r, e)
			var found []pick
			for _, p := range e.Mend.Assignments {
				k, ok := f.pickOf(p)
				if !ok {
					t.Fatalf("%s %s: %+v cannot be assigned", r.Method, r.Path, p)
				}
				found = append(found, k)
			}
			if len(found) == 0 {
				helpless++
			} else {
				mended++
				reasons[e.Answer.Reason]++
				if len(found) == 2 {
					pairs++
				}
				if !f.allows(found...) {
					t.Fatalf("%s %s%s %s for %s: the mend %v does not mend %s", r.Method, r.Path, r.Permission, r.Scope, r.Subject.Principal(), e.Mend.Assignments, e.Answer.Reason)
				}
			}
			f.nothingSmaller(found, everything)
			if len(found) > 0 && mended%250 == 1 {
				w.appliedInStore(r, e.Mend)
				inStore++
			}
			if t.Failed() {
				t.Fatalf("%s %s%s %s for %s (%s): mend %v", r.Method, r.Path, r.Permission, r.Scope, r.Subject.Principal(), e.Answer.Reason, e.Mend.Assignments)
			}
		}
	}
	t.Logf("mended %d (%v, %d of them with two assignments, %d applied in the store), beyond help %d", mended, reasons, pairs, inStore, helpless)
	for _, reason := range []authz.Reason{authz.NoAssignment, authz.Expired, authz.Overridden} {
		if reasons[reason] == 0 {
			t.Errorf("no refusal for %s was mended", reason)
		}
	}
	if pairs == 0 || helpless == 0 {
		t.Errorf("%d mends with two assignments, %d refusals beyond help; want some of each", pairs, helpless)
	}
}

// nothingSmaller fails where anything smaller than the assignments found allows; where none
// were found, anything at all.
func (f *refusal) nothingSmaller(found []pick, everything int) {
	f.w.t.Helper()
	try := func(picks ...pick) {
		if (len(found) == 0 || smaller(picks, found, everything)) && f.allows(picks...) {
			f.w.t.Errorf("%s allows, and is smaller", describe(picks))
		}
	}
	for i, a := range f.everybody {
		try(a)
		for _, b := range f.everybody[i+1:] {
			try(a, b)
		}
	}
}

func describe(picks []pick) string {
	var b strings.Builder
	for _, p := range picks {
		fmt.Fprintf(&b, "%s at %s; ", p.role.id, p.scope)
	}
	return b.String()
}

// appliedInStore makes the assignments for real, asks the gate, and takes them back.
func (w *world) appliedInStore(r *ask.Request, m *explain.Mend) {
	w.t.Helper()
	before, err := w.store.Export(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.make(m.Assignments)
	var a ask.Answer
	w.gate.Decide(w.t.Context(), r, &a)
	if !a.Allowed() {
		w.t.Errorf("once the mend was applied: %s %s", a.Reason, a.Detail)
	}
	w.replace(before)
}

// make makes proposed assignments; an expired one makes way.
func (w *world) make(proposals []explain.Proposal) {
	w.t.Helper()
	_, err := w.store.Update(w.t.Context(), snapshot.Change{Source: "test"}, func(e *snapshot.Edit) error {
		for i, p := range proposals {
			for a, err := range e.RoleAssignmentsOf("t1", p.Principal) {
				if err != nil {
					return err
				}
				if a.RoleDefinitionID == p.RoleID && a.Scope == p.Scope {
					if _, err := e.RemoveRoleAssignment("t1", a.ID); err != nil {
						return err
					}
				}
			}
			if err := e.PutRoleAssignment("t1", snapshot.RoleAssignment{
				ID: fmt.Sprintf("mend-%d-%s", i, p.RoleID), Principal: p.Principal, RoleDefinitionID: p.RoleID, Scope: p.Scope, Effect: authz.AssignAllow,
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
