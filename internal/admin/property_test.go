package admin_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The small world that random callers change: few names, so that they meet.
var (
	smallPermissions = []authz.Permission{
		"Authorization.RoleAssignments.Read", "Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete",
		"Authorization.RoleDefinitions.Read", "PowerApps.Apps.Read", "PowerApps.Apps.Delete", "PowerApps.Flows.Read",
	}
	// smallRoles are written without wildcards and implications, for the oracle to read.
	smallRoles = map[string][]string{
		"assigner": {"Authorization.RoleAssignments.Read", "Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete", "Authorization.RoleDefinitions.Read"},
		"apps":     {"PowerApps.Apps.Read", "PowerApps.Apps.Delete"},
		"read":     {"Authorization.RoleAssignments.Read", "PowerApps.Apps.Read", "PowerApps.Flows.Read"},
	}
	smallUsers  = []string{"u1", "u2", "u3"}
	smallApps   = []string{"a1"}
	smallGroups = []string{"p", "q", "r"}
	smallEnvs   = []string{"e1", "e2", "e3"}
	smallScopes = []string{
		tenantT1, groupG1, groupG2, envE1, envE2, envE3, envE1 + "/powerapps/x", envE2 + "/powerapps/x",
	}
)

func smallVocabulary(t testing.TB) *authz.Vocabulary {
	v, err := authz.NewVocabulary(smallPermissions, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// oracle says, slowly and obviously, what a caller can do and what it gained. It shares no
// code with the guard: it tries every permission at every scope at every time.
type oracle struct {
	roles  map[string][]string
	data   snapshot.Tenant
	owners map[authz.Principal][]authz.Principal
}

func (o *oracle) parents(p authz.Principal) []authz.Principal {
	var all []authz.Principal
	for _, g := range o.data.Groups {
		for _, m := range g.Members {
			if m.Key() == p.Key() {
				all = append(all, group(g.ID))
			}
		}
	}
	return all
}

// closure follows edges until nothing new is found.
func closure(start []authz.Principal, next func(authz.Principal) []authz.Principal) map[authz.Principal]bool {
	found := map[authz.Principal]bool{}
	for _, p := range start {
		found[p.Key()] = true
	}
	for grew := true; grew; {
		grew = false
		for p := range maps.Clone(found) {
			for _, q := range next(p) {
				if !found[q.Key()] {
					found[q.Key()], grew = true, true
				}
			}
		}
	}
	return found
}

// chain writes out by hand what a scope inherits from; what is not listed lies below the
// tenant.
func (o *oracle) chain(scope string) []string {
	chain := []string{scope}
	if i := strings.Index(scope, "/powerapps/"); i >= 0 {
		scope = scope[:i]
		chain = append(chain, scope)
	}
	if id, ok := strings.CutPrefix(scope, tenantT1+"/environments/"); ok {
		for _, g := range o.data.EnvironmentGroups {
			if slices.Contains(g.Environments, id) {
				chain = append(chain, tenantT1+"/environmentGroups/"+g.ID)
			}
		}
	}
	if scope != tenantT1 {
		chain = append(chain, tenantT1)
	}
	return chain
}

// A bearing is an assignment that bears on what somebody holds: its own, or, where the
// groups are unknown, a denial of any group.
type bearing struct {
	snapshot.RoleAssignment
	anyGroup bool
}

// holds decides by going through all assignments again and again.
func (o *oracle) holds(all []bearing, chain []string, permission string, at int64) bool {
	covers := func(level string, effect authz.AssignmentEffect, anyGroup bool) bool {
		for i := range all {
			a := &all[i]
			if string(a.Scope) == level && a.Effect == effect && a.anyGroup == anyGroup && (a.Expires == 0 || at < a.Expires) &&
				slices.Contains(o.roles[a.RoleDefinitionID], permission) {
				return true
			}
		}
		return false
	}
	for _, level := range chain {
		if covers(level, authz.AssignForbid, false) || covers(level, authz.AssignForbid, true) || covers(level, authz.AssignDeny, true) {
			return false
		}
	}
	for _, level := range chain {
		if covers(level, authz.AssignDeny, false) {
			return false
		}
		if covers(level, authz.AssignAllow, false) {
			return true
		}
	}
	return false
}

// everything that a set of principals holds, acting as one.
func (o *oracle) everything(as map[authz.Principal]bool, unknown bool, times []int64) map[held]bool {
	var all []bearing
	for _, a := range o.data.RoleAssignments {
		if as[a.Principal.Key()] {
			all = append(all, bearing{a, false})
		}
		if unknown && a.Principal.Type == authz.Group {
			all = append(all, bearing{a, true})
		}
	}
	found := map[held]bool{}
	for _, scope := range append(slices.Clone(smallScopes), envE3+"/powerapps/new") {
		chain := o.chain(scope)
		for _, permission := range smallPermissions {
			for _, at := range times {
				if o.holds(all, chain, string(permission), at) {
					found[held{permission, scope, at}] = true
				}
			}
		}
	}
	return found
}

// held is one thing that somebody can do at a time.
type held struct {
	permission authz.Permission
	scope      string
	at         int64
}

func (o *oracle) disabled(p authz.Principal) bool {
	return slices.ContainsFunc(o.data.Principals, func(x snapshot.Principal) bool { return x.Key() == p.Key() && x.Disabled })
}

type selves struct {
	caller map[held]bool
	of     map[authz.Principal]map[held]bool
	sure   map[authz.Principal]bool // not only if an unknown group is the caller's
}

// selves are what the caller holds, and what each thing holds that it belongs to or owns.
// Where its groups are unknown before the change, any may be its own.
func (o *oracle) selves(spec authz.SubjectSpec, anyGroup bool, all []authz.Principal, times []int64) selves {
	start := []authz.Principal{spec.Principal}
	for _, id := range spec.Groups {
		start = append(start, group(id))
	}
	unknown := spec.GroupsUnknown && !o.data.DirectoryComplete
	s := selves{o.everything(closure(start, o.parents), unknown, times), map[authz.Principal]map[held]bool{}, nil}
	reach := func(start []authz.Principal) map[authz.Principal]bool {
		return closure(start, func(p authz.Principal) []authz.Principal {
			next := o.parents(p)
			for _, owned := range all {
				for _, owner := range o.owners[owned] {
					if owner.Key() == p.Key() {
						next = append(next, owned)
					}
				}
			}
			return next
		})
	}
	s.sure = reach(start)
	if anyGroup {
		for _, id := range smallGroups {
			start = append(start, group(id))
		}
	}
	for p := range reach(start) {
		s.of[p] = o.everything(closure([]authz.Principal{p}, o.parents), false, times)
	}
	return s
}

// more returns something that is in the first and not in the second.
func more(after, before map[held]bool) string {
	for h := range after {
		if !before[h] {
			return fmt.Sprint(h)
		}
	}
	return ""
}

// gained says what the caller, or what it belongs to or owns, gained; empty: nothing.
func gained(before, after *oracle, spec authz.SubjectSpec, now int64) string {
	times := []int64{now}
	for _, o := range []*oracle{before, after} {
		for _, a := range o.data.RoleAssignments {
			if a.Expires > now {
				times = append(times, a.Expires)
			}
		}
	}
	all := smallPrincipals()
	anyGroup := spec.GroupsUnknown && !before.data.DirectoryComplete
	b, a := before.selves(spec, anyGroup, all, times), after.selves(spec, anyGroup, all, times)
	if text := more(a.caller, b.caller); text != "" {
		return "the caller: " + text
	}
	union := maps.Clone(b.caller)
	for p, was := range b.of {
		if b.sure[p] {
			maps.Copy(union, was)
		}
		now := after.everything(closure([]authz.Principal{p}, after.parents), false, times)
		if text := more(now, was); text != "" {
			return p.String() + ": " + text
		}
		if before.disabled(p) && !after.disabled(p) && p.Type == authz.User && len(now) > 0 {
			return p.String() + " is enabled"
		}
	}
	for p, has := range a.of {
		if b.of[p] == nil {
			if text := more(has, union); text != "" {
				return "through " + p.String() + ": " + text
			}
		}
	}
	return ""
}

func smallPrincipals() []authz.Principal {
	var all []authz.Principal
	for _, id := range smallUsers {
		all = append(all, user(id))
	}
	for _, id := range smallApps {
		all = append(all, app(id).Key())
	}
	for _, id := range smallGroups {
		all = append(all, group(id))
	}
	return all
}

func (w *world) oracle(roles map[string][]string) *oracle {
	w.t.Helper()
	o := &oracle{roles: roles, owners: map[authz.Principal][]authz.Principal{}}
	d, err := w.store.Export(ctx())
	if err != nil {
		w.t.Fatal(err)
	}
	o.data = d.Tenants[0]
	err = w.options.Store.Read(ctx(), func(r admin.Reader) error {
		for _, p := range smallPrincipals() {
			owners, err := r.Owners("t1", p)
			if err != nil {
				return err
			}
			o.owners[p] = owners
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// drawn draws from one seed.
type drawn struct{ *rand.Rand }

func one[T any](d drawn, from []T) T { return from[d.IntN(len(from))] }

func (d drawn) often(percent int) bool { return d.IntN(100) < percent }

func (d drawn) assignee() authz.Principal {
	p := one(d, smallPrincipals())
	if p.ID == "a1" {
		p.Type = authz.ApplicationUser
	}
	return p
}

func (d drawn) owners() []authz.Principal {
	var all []authz.Principal
	for range d.IntN(3) {
		all = append(all, d.assignee())
	}
	return all
}

func (d drawn) expiry(now time.Time) time.Time {
	if d.often(60) {
		return time.Time{}
	}
	return now.Add(time.Duration(1+d.IntN(3)) * time.Hour)
}

// smallWorld draws a world. The user u1 and the application "keeper" may assign everywhere.
func smallWorld(t *testing.T, d drawn) (*world, map[string][]string) {
	t.Helper()
	custom := authz.RoleDefinition{ID: "custom", Name: "Custom", Permissions: []string{"PowerApps.Apps.Read"}, AssignableScopes: []string{"/tenants/{0}"}}
	tenant := snapshot.Tenant{
		ID: "t1", DirectoryComplete: d.often(30), RoleDefinitions: []authz.RoleDefinition{custom},
		EnvironmentGroups: []authz.EnvironmentGroup{{ID: "g1", Environments: []string{"e1"}}, {ID: "g2"}},
		Environments:      []snapshot.Environment{{ID: "e2"}},
	}
	for i, id := range smallGroups {
		g := snapshot.Group{ID: id}
		for _, u := range smallUsers {
			if d.often(30) {
				g.Members = append(g.Members, user(u))
			}
		}
		if i > 0 && d.often(40) {
			g.Members = append(g.Members, group(smallGroups[i-1]))
		}
		tenant.Groups = append(tenant.Groups, g)
	}
	for _, id := range smallUsers {
		tenant.Principals = append(tenant.Principals, snapshot.Principal{Principal: user(id)})
	}
	tenant.Principals = append(tenant.Principals, snapshot.Principal{Principal: app("a1"), Disabled: d.often(30)})
	n := 0
	put := func(p authz.Principal, role, scope string, e authz.AssignmentEffect, expires time.Time) {
		a := snapshot.RoleAssignment{ID: fmt.Sprintf("as%d", n), Principal: p, RoleDefinitionID: role, Scope: authz.Scope(scope), Effect: e}
		if !expires.IsZero() {
			a.Expires = expires.Unix()
		}
		n++
		for _, b := range tenant.RoleAssignments {
			if b.Principal == p && b.RoleDefinitionID == role && b.Scope == a.Scope {
				return
			}
		}
		tenant.RoleAssignments = append(tenant.RoleAssignments, a)
	}
	put(app("keeper"), "assigner", tenantT1, authz.AssignAllow, time.Time{})
	put(user("u1"), "assigner", tenantT1, authz.AssignAllow, time.Time{})
	if d.often(50) {
		put(user("u2"), "assigner", one(d, smallScopes), authz.AssignAllow, time.Time{})
	}
	known := []string{tenantT1, groupG1, groupG2, envE1, envE2, envE1 + "/powerapps/x"}
	for range d.IntN(10) {
		e := one(d, []authz.AssignmentEffect{authz.AssignAllow, authz.AssignAllow, authz.AssignDeny, authz.AssignForbid})
		role := one(d, []string{"apps", "read", "custom", "assigner"})
		put(d.assignee(), role, one(d, known), e, d.expiry(begin))
	}
	v := smallVocabulary(t)
	var shipped []authz.RoleDefinition
	roles := maps.Clone(smallRoles)
	for id, permissions := range smallRoles {
		shipped = append(shipped, authz.RoleDefinition{ID: id, Name: "Role " + id, Permissions: permissions, AssignableScopes: []string{"/tenants/{0}"}})
	}
	roles["custom"] = custom.Permissions
	w := &world{t: t, clock: &clock{now: begin}, log: &logged{}}
	var err error
	w.store, err = snapshot.Open(t.Context(), snapshot.Options{Dir: t.TempDir(), Vocabulary: v, ShippedRoles: shipped, CacheBytes: -1, Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Replace(ctx(), &snapshot.Data{Tenants: []snapshot.Tenant{tenant}}, snapshot.Change{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	w.options = admin.Options{
		Store: admin.FromSnapshot(w.store), Vocabulary: v, ShippedRoles: shipped, Writable: true, Now: w.clock.Now, AllowRoleAssignmentOnDisabledUsers: d.often(50),
	}
	if w.Admin, err = admin.New(w.options); err != nil {
		t.Fatal(err)
	}
	return w, roles
}

// draw draws a call. It is made by whichever administration it is given.
func (w *world) draw(d drawn) (string, func(a *admin.Admin, c admin.Caller) error) {
	_, all, err := w.store.AssignmentsAt(ctx(), "t1", authz.Scope(one(d, smallScopes)))
	if err != nil {
		w.t.Fatal(err)
	}
	switch n := d.IntN(12); {
	case n <= 2:
		q := admin.CreateRoleAssignmentRequest{
			Principal: d.assignee(), Role: one(d, []string{"apps", "read", "custom", "assigner"}), Scope: one(d, smallScopes),
			Effect: one(d, []authz.AssignmentEffect{authz.AssignAllow, authz.AssignAllow, authz.AssignDeny, authz.AssignForbid}), Expires: d.expiry(w.clock.Now()),
		}
		return fmt.Sprintf("CreateRoleAssignment%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.CreateRoleAssignment(ctx(), c, q); return err }
	case n <= 4 && len(all) > 0:
		q := admin.DeleteRoleAssignmentRequest{ID: one(d, all).ID}
		return fmt.Sprintf("DeleteRoleAssignment%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.DeleteRoleAssignment(ctx(), c, q); return err }
	case n == 5:
		q := admin.MembersRequest{Group: one(d, smallGroups), Members: []authz.Principal{d.assignee()}}
		return fmt.Sprintf("AddMembers%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.AddMembers(ctx(), c, q); return err }
	case n == 6:
		q := admin.MembersRequest{Group: one(d, smallGroups), Members: []authz.Principal{d.assignee()}}
		return fmt.Sprintf("RemoveMembers%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.RemoveMembers(ctx(), c, q); return err }
	case n == 7:
		if d.often(30) {
			q := admin.DeleteGroupRequest{ID: one(d, smallGroups), Etag: "*"}
			return fmt.Sprintf("DeleteGroup%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.DeleteGroup(ctx(), c, q); return err }
		}
		q := admin.PutGroupRequest{Group: admin.Group{ID: one(d, smallGroups), Owners: d.owners()}, Etag: "*"}
		return fmt.Sprintf("PutGroup%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.PutGroup(ctx(), c, q); return err }
	case n == 8:
		p := one(d, []authz.Principal{user("u1"), user("u2"), user("u3"), app("a1"), app("a1")})
		if d.often(20) {
			q := admin.DeletePrincipalRequest{Principal: p, Etag: "*"}
			return fmt.Sprintf("DeletePrincipal%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.DeletePrincipal(ctx(), c, q); return err }
		}
		q := admin.PutPrincipalRequest{Principal: admin.Principal{Principal: p, Disabled: d.often(30), Owners: d.owners()}, Etag: "*"}
		return fmt.Sprintf("PutPrincipal%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.PutPrincipal(ctx(), c, q); return err }
	case n == 9:
		if d.often(30) {
			q := admin.DeleteEnvironmentRequest{ID: one(d, smallEnvs), Etag: "*"}
			return fmt.Sprintf("DeleteEnvironment%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.DeleteEnvironment(ctx(), c, q); return err }
		}
		q := admin.PutEnvironmentRequest{Environment: admin.Environment{ID: one(d, smallEnvs), Group: one(d, []string{"", "g1", "g2"})}, Etag: "*"}
		return fmt.Sprintf("PutEnvironment%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.PutEnvironment(ctx(), c, q); return err }
	case n == 10:
		var permissions []string
		for _, p := range smallPermissions {
			if d.often(30) {
				permissions = append(permissions, string(p))
			}
		}
		q := admin.UpdateRoleDefinitionRequest{Etag: "*", RoleDefinition: authz.RoleDefinition{ID: "custom", Name: "Custom", Permissions: permissions, AssignableScopes: []string{"/tenants/{0}"}}}
		return fmt.Sprintf("UpdateRoleDefinition%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.UpdateRoleDefinition(ctx(), c, q); return err }
	default:
		if d.often(50) {
			q := admin.SetTenantRequest{DirectoryComplete: d.often(50)}
			return fmt.Sprintf("SetTenant%+v", q), func(a *admin.Admin, c admin.Caller) error { _, err := a.SetTenant(ctx(), c, q); return err }
		}
		q := admin.EnvironmentGroupRequest{ID: one(d, []string{"g1", "g2"})}
		if d.often(50) {
			return fmt.Sprintf("DeleteEnvironmentGroup%+v", q), func(a *admin.Admin, c admin.Caller) error {
				_, err := a.DeleteEnvironmentGroup(ctx(), c, q)
				return err
			}
		}
		return fmt.Sprintf("CreateEnvironmentGroup%+v", q), func(a *admin.Admin, c admin.Caller) error {
			_, err := a.CreateEnvironmentGroup(ctx(), c, q)
			return err
		}
	}
}

// Whatever a caller does, it gains nothing; and what is refused as a gain is one.
func TestNobodyEverGainsAnything(t *testing.T) {
	const calls = 40
	done, refused := 0, 0
	for seed := range uint64(randomWorlds) {
		d := drawn{rand.New(rand.NewPCG(seed, 7))}
		w, roles := smallWorld(t, d)
		lax := w.options
		lax.SelfEscalation = admin.PolicyAllow
		allowing, err := admin.New(lax)
		if err != nil {
			t.Fatal(err)
		}
		for range calls {
			if d.often(10) {
				w.clock.move(time.Hour)
			}
			spec := authz.SubjectSpec{Tenant: "t1", Principal: user(one(d, []string{"u1", "u1", "u2"})), GroupsUnknown: d.often(20)}
			if !spec.GroupsUnknown && d.often(50) {
				spec.Groups = []string{one(d, smallGroups)}
			}
			what, call := w.draw(d)
			before, now := w.oracle(roles), w.clock.Now().Unix()
			err := call(w.Admin, w.caller(spec))
			escalates := admin.KindOf(err) == admin.SelfEscalation && err != nil
			if escalates && call(allowing, w.caller(spec)) != nil {
				continue // refused for another reason too: nothing to compare with
			}
			if err != nil && !escalates {
				if k := admin.KindOf(err); k == admin.Internal {
					t.Fatalf("seed %d: %s: %v", seed, what, err)
				}
				continue
			}
			after := w.oracle(roles)
			for _, def := range after.data.RoleDefinitions {
				roles = maps.Clone(roles)
				roles[def.ID] = def.Permissions
				after.roles = roles
			}
			gain := gained(before, after, spec, now)
			switch {
			case escalates && gain == "":
				t.Errorf("seed %d: %s by %+v was refused (%v), and nobody would have gained anything", seed, what, spec, err)
			case !escalates && gain != "":
				t.Errorf("seed %d: %s by %+v was allowed, and %s", seed, what, spec, gain)
			}
			if escalates {
				refused++
			} else {
				done++
			}
			if t.Failed() {
				for _, a := range before.data.RoleAssignments {
					t.Logf("%+v", a)
				}
				t.Logf("groups %+v\nowners %v\nenvironments %+v %+v\nprincipals %+v", before.data.Groups, before.owners, before.data.EnvironmentGroups, before.data.Environments, before.data.Principals)
				t.FailNow()
			}
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if done < 8*randomWorlds || refused < randomWorlds/2 {
		t.Errorf("%d calls were made and %d refused: too few to mean anything", done, refused)
	}
	t.Logf("%d calls were made, %d refused", done, refused)
}
