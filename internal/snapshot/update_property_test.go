package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A model is what a store should hold after changes, kept in the plainest way.
type model struct {
	tenants map[string]*modelTenant
	log     []string
	notes   map[string]string
}

type modelTenant struct {
	complete     bool
	groups       map[string]bool // environment groups
	environments map[string]snapshot.PlacedEnvironment
	units        map[string]authz.BusinessUnit
	principals   map[authz.Principal]snapshot.Principal
	directory    map[string]snapshot.Group
	roles        map[string]authz.RoleDefinition
	assignments  map[string]snapshot.RoleAssignment
	*modelItems
}

func (m *model) clone() *model {
	c := &model{tenants: map[string]*modelTenant{}, log: slices.Clone(m.log), notes: maps.Clone(m.notes)}
	for id, t := range m.tenants {
		c.tenants[id] = &modelTenant{
			complete: t.complete, groups: maps.Clone(t.groups), environments: maps.Clone(t.environments), units: maps.Clone(t.units),
			principals: maps.Clone(t.principals), directory: maps.Clone(t.directory), roles: maps.Clone(t.roles), assignments: maps.Clone(t.assignments),
			modelItems: t.modelItems.clone(),
		}
	}
	return c
}

// data is the model as it would be delivered.
func (m *model) data() *snapshot.Data {
	d := &snapshot.Data{}
	for id, t := range m.tenants {
		x := snapshot.Tenant{
			ID: id, DirectoryComplete: t.complete, BusinessUnits: slices.Collect(maps.Values(t.units)), Principals: slices.Collect(maps.Values(t.principals)),
			Groups: slices.Collect(maps.Values(t.directory)), RoleDefinitions: slices.Collect(maps.Values(t.roles)),
			RoleAssignments: slices.Collect(maps.Values(t.assignments)),
		}
		for g := range t.groups {
			group := authz.EnvironmentGroup{ID: g}
			for _, e := range t.environments {
				if e.Group == g {
					group.Environments = append(group.Environments, e.ID)
				}
			}
			x.EnvironmentGroups = append(x.EnvironmentGroups, group)
		}
		for _, e := range t.environments {
			x.Environments = append(x.Environments, e.Environment)
		}
		t.addTo(&x)
		d.Tenants = append(d.Tenants, x)
	}
	return d
}

// step makes one random change in both, and fails where the store refuses what the model
// takes, or the other way about.
func (m *model) step(t *rapid.T, e *snapshot.Edit) {
	id := rapid.SampledFrom([]string{"t1", "t22"}).Draw(t, "tenant")
	x := m.tenants[id]
	agree := func(what string, err error, good bool) bool {
		if (err == nil) != good || err != nil && !errors.Is(err, snapshot.ErrInvalid) {
			t.Fatalf("%s: %v, want good: %t", what, err, good)
		}
		return good
	}
	removed := func(what string, there bool, err error, was bool) {
		if err != nil || there != was {
			t.Fatalf("remove %s: %t, %v, want %t", what, there, err, was)
		}
	}
	kind := rapid.IntRange(0, 23).Draw(t, "kind")
	if kind == 0 || x == nil && (kind < 13 || kind > 15) {
		complete := rapid.Bool().Draw(t, "complete")
		if agree("tenant", e.PutTenant(id, complete), true) {
			if x == nil {
				x = &modelTenant{
					groups: map[string]bool{}, environments: map[string]snapshot.PlacedEnvironment{}, units: map[string]authz.BusinessUnit{},
					principals: map[authz.Principal]snapshot.Principal{}, directory: map[string]snapshot.Group{}, roles: map[string]authz.RoleDefinition{},
					assignments: map[string]snapshot.RoleAssignment{}, modelItems: newModelItems(),
				}
				m.tenants[id] = x
			}
			x.complete = complete
		}
		return
	}
	one := func(names ...string) string { return rapid.SampledFrom(names).Draw(t, "name") }
	switch kind {
	case 1, 2, 3:
		a := snapshot.RoleAssignment{
			ID: one("a1", "a2", "a3", "a4", "a5", "c886ad2e-27f7-4874-8381-5849b8d8a0aa"), Principal: drawHolder(t),
			RoleDefinitionID: rapid.SampledFrom([]string{readerRole, contributorRole, basicRole, "r1", "r2", "s1"}).Draw(t, "role"),
			Scope:            authz.Scope("/tenants/" + id + rapid.SampledFrom(someScopes).Draw(t, "scope")),
			Effect:           rapid.SampledFrom([]authz.AssignmentEffect{authz.AssignAllow, authz.AssignDeny, authz.AssignForbid}).Draw(t, "effect"),
			Expires:          int64(rapid.IntRange(0, 1).Draw(t, "expires")),
		}
		_, custom := x.roles[a.RoleDefinitionID]
		if agree("assignment", e.PutRoleAssignment(id, a), custom || len(a.RoleDefinitionID) > 2) {
			x.assignments[a.ID] = a
		}
	case 4:
		a := one("a1", "a2", "a3", "a4", "a5")
		there, err := e.RemoveRoleAssignment(id, a)
		_, was := x.assignments[a]
		removed(a, there, err, was)
		delete(x.assignments, a)
	case 5:
		def := authz.RoleDefinition{ID: one("r1", "r2"), Name: "Custom", Permissions: []string{one("PowerApps.*", "*.Read", "Nothing.Like.It")}}
		if agree("role", e.PutRoleDefinition(id, def), def.Permissions[0] != "Nothing.Like.It") {
			x.roles[def.ID] = def
		}
	case 6:
		r := one("r1", "r2")
		n, used := uint64(0), false
		for _, a := range x.assignments {
			if a.RoleDefinitionID == r {
				n, used = n+1, true
			}
		}
		if got, err := e.RoleUse(id, r); err != nil || got != n {
			t.Fatalf("%s is used %d times, %v, want %d", r, got, err, n)
		}
		_, was := x.roles[r]
		there, err := e.RemoveRoleDefinition(id, r)
		if agree("remove role", err, !used || !was) {
			removed(r, there, err, was)
			delete(x.roles, r)
		}
	case 7:
		env := snapshot.PlacedEnvironment{Environment: snapshot.Environment{ID: one("e1", "e2"), Dataverse: rapid.Bool().Draw(t, "dataverse")}, Group: one("", "eg1", "eg2")}
		keeps := env.Dataverse || !x.environments[env.ID].Dataverse || !x.occupied(id, env.ID)
		if agree("environment", e.PutEnvironment(id, env.Environment, env.Group), (env.Group == "" || x.groups[env.Group]) && keeps) {
			x.environments[env.ID] = env
		}
	case 8:
		g := one("eg1", "eg2")
		if rapid.Bool().Draw(t, "put") {
			agree("environment group", e.PutEnvironmentGroup(id, g), true)
			x.groups[g] = true
			return
		}
		occupied := false
		for _, env := range x.environments {
			occupied = occupied || env.Group == g
		}
		there, err := e.RemoveEnvironmentGroup(id, g)
		if agree("remove environment group", err, !occupied) {
			removed(g, there, err, x.groups[g])
			delete(x.groups, g)
		}
	case 9:
		p := snapshot.Principal{Principal: drawPrincipal(t), Disabled: rapid.Bool().Draw(t, "disabled")}
		if rapid.IntRange(0, 2).Draw(t, "remove") == 0 {
			there, err := e.RemovePrincipal(id, p.Principal)
			_, was := x.principals[p.Principal]
			removed("principal", there, err, was)
			delete(x.principals, p.Principal)
			return
		}
		p.Owners = drawOwners(t)
		if agree("principal", e.PutPrincipal(id, p), p.Type != authz.Group || len(p.Owners) == 0) {
			x.principals[p.Principal] = p
		}
	case 10, 11:
		g := snapshot.Group{ID: one(someGroups...)}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			if p := drawPrincipal(t); !slices.Contains(g.Members, p) {
				g.Members = append(g.Members, p)
			}
		}
		g.Owners = drawOwners(t)
		agree("group", e.PutGroup(id, g), true)
		x.directory[g.ID] = g
	case 12:
		g := one(someGroups...)
		there, err := e.RemoveGroup(id, g)
		_, was := x.directory[g]
		removed(g, there, err, was)
		delete(x.directory, g)
	case 13:
		record := fmt.Sprint("record ", len(m.log))
		n, err := e.AppendLog([]byte(record))
		if err != nil || n != uint64(len(m.log)+1) {
			t.Fatalf("log: %d, %v", n, err)
		}
		m.log = append(m.log, record)
	case 14:
		key := one("k", "kk", "other")
		agree("note", e.PutNote("b", key, []byte("v"+key)), true)
		m.notes[key] = "v" + key
	case 15:
		key := one("k", "kk", "other")
		there, err := e.RemoveNote("b", key)
		_, was := m.notes[key]
		removed(key, there, err, was)
		delete(m.notes, key)
	default:
		x.step(t, e, id, kind, agree, removed)
	}
}

// same fails where what can be read is not the model.
func (m *model) same(t *rapid.T, r *snapshot.Reader, who []*authz.Subject) {
	d := m.data()
	for _, of := range who {
		view, err := r.View(of.Tenant(), of)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := full(view), oracle(d, of); got != want {
			t.Fatalf("%v of %s holds %q, want %q", of.Principal(), of.Tenant(), got, want)
		}
		sameItems(t, r, d, of)
	}
	if got, want := r.Tenants(), slices.Sorted(maps.Keys(m.tenants)); !slices.Equal(got, want) {
		t.Fatalf("tenants %q, want %q", got, want)
	}
	for id, x := range m.tenants {
		owns, err := readOwnership(r, id)
		if diff := cmp.Diff(ownership(d, id), owns); err != nil || diff != "" {
			t.Fatalf("%v: %s", err, diff)
		}
		for _, below := range someScopes {
			at, under := map[string]bool{}, map[string]bool{}
			scope := authz.Scope("/tenants/" + id + below)
			for _, a := range x.assignments {
				at[a.ID] = a.Scope == scope
				under[a.ID] = a.Scope == scope || len(a.Scope) > len(scope) && a.Scope[:len(scope)+1] == scope+"/"
			}
			for name, check := range map[string]struct {
				want map[string]bool
				got  func(yield func(snapshot.RoleAssignment, error) bool)
			}{"at": {at, r.RoleAssignmentsAt(id, scope)}, "under": {under, r.RoleAssignmentsUnder(id, scope)}} {
				for a, err := range check.got {
					if err != nil || !check.want[a.ID] || a != x.assignments[a.ID] {
						t.Fatalf("%s %s: %+v, %v", name, scope, a, err)
					}
					delete(check.want, a.ID)
				}
				for a, missing := range check.want {
					if missing {
						t.Fatalf("%s %s: %s is missing", name, scope, a)
					}
				}
			}
		}
		h, err := r.Hierarchy(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, env := range []string{"e1", "e2"} {
			chain, err := h.Chain(authz.Scope("/tenants/"+id+"/environments/"+env), false)
			e, listed := x.environments[env]
			if want := 2 + min(len(e.Group), 1); (err == nil) != listed || listed && len(chain) != want {
				t.Fatalf("%s lies in %q, %v, want %d", env, chain, err, want)
			}
		}
	}
	n, record, err := r.LastLog()
	if err != nil || n != uint64(len(m.log)) || n > 0 && string(record) != m.log[n-1] {
		t.Fatalf("log: %d %q %v, want %q", n, record, err, m.log)
	}
	held := map[string]string{}
	for note, err := range r.Notes("b", "") {
		if err != nil {
			t.Fatal(err)
		}
		held[note.Key] = string(note.Value)
	}
	if !maps.Equal(held, m.notes) {
		t.Fatalf("notes %q, want %q", held, m.notes)
	}
}

var errChanged = errors.New("changed my mind")

// Whatever changes follow each other, kept, given up or made in a new file, a store holds
// what a plain model holds: while it is being changed, afterwards, and after a restart;
// and byte for byte what it would hold if all were delivered at once.
func TestUpdatesAddUpToTheModel(t *testing.T) {
	who := subjects(t)
	rapid.Check(t, func(t *rapid.T) {
		o := options(rapidDir(t))
		s, err := snapshot.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		s.SetShadowEvery(2)
		m := &model{tenants: map[string]*modelTenant{}, notes: map[string]string{}}
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			if s.Current() != nil && rapid.IntRange(0, 9).Draw(t, "no more writes") == 0 {
				s.FailWrites() // the next change goes to a new file
			}
			next, giveUp := m.clone(), rapid.IntRange(0, 4).Draw(t, "give up") == 0
			r, err := s.Update(t.Context(), snapshot.Change{Source: "test"}, func(e *snapshot.Edit) error {
				for range rapid.IntRange(0, 8).Draw(t, "steps") {
					next.step(t, e)
				}
				next.same(t, &e.Reader, who)
				if giveUp {
					return errChanged
				}
				return nil
			})
			switch {
			case giveUp && !errors.Is(err, errChanged):
				t.Fatal(err)
			case giveUp:
			case err != nil:
				t.Fatal(err)
			default:
				m = next
			}
			if s.Current() == nil {
				if len(m.tenants)+len(m.log)+len(m.notes) > 0 || r != (authz.Revision{}) {
					t.Fatalf("not ready at %v", r)
				}
				continue
			}
			if !giveUp && s.Current().Revision() != r {
				t.Fatalf("%v is in force, not %v", s.Current().Revision(), r)
			}
			m.matches(t, s, who)
		}
		if s.Current() == nil {
			return
		}
		m.matchesDelivered(t, s)
		last := s.Current().Revision()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = snapshot.Open(t.Context(), o); err != nil { // which verifies all of it
			t.Fatal(err)
		}
		if s.Current() == nil || s.Current().Revision() != last {
			t.Fatalf("after a restart: %+v, want %v", s.Stats(), last)
		}
		m.matches(t, s, who)
		m.matchesDelivered(t, s)
		// Delivered as a whole, nothing differs, and log and notes stay.
		if r, err := s.Replace(t.Context(), m.data(), snapshot.Change{}); err != nil || r != last {
			t.Fatalf("delivered: %v, %v, want %v", r, err, last)
		}
	})
}

// matches compares a store that nobody changes with the model.
func (m *model) matches(t *rapid.T, s *snapshot.Store, who []*authz.Subject) {
	d := m.data()
	want, err := snapshot.SumOf(d)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.HeldDataSum(); got != want {
		t.Fatalf("the sum kept up to date is %x, that of the data %x", got, want)
	}
	for range 2 {
		for _, of := range who {
			found, err := s.View(t.Context(), of)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := full(found.View), oracle(d, of); got != want {
				t.Fatalf("%v of %s holds %q, want %q", of.Principal(), of.Tenant(), got, want)
			}
		}
		s.WaitCache()
	}
	if s.Stats().Alarms != 0 {
		t.Fatal("a cached view differed")
	}
	for _, read := range []func(context.Context, func(*snapshot.Reader) error) error{s.Read, s.ReadAnew} {
		if err := read(t.Context(), func(r *snapshot.Reader) error { m.same(t, r, who); return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// matchesDelivered compares a store with one that was given all of the model at once.
func (m *model) matchesDelivered(t *rapid.T, s *snapshot.Store) {
	got, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := snapshot.Open(t.Context(), options(rapidDir(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.Replace(t.Context(), m.data(), snapshot.Change{}); err != nil {
		t.Fatal(err)
	}
	exported, err := other.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exported, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatal(diff)
	}
	for id := range m.tenants {
		mine, theirs := s.Current().Tenant(id), other.Current().Tenant(id)
		if diff := cmp.Diff(theirs.RoleDefinitions(), mine.RoleDefinitions(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		if theirs.DirectoryComplete() != mine.DirectoryComplete() {
			t.Fatalf("the directory of %s is complete: %t", id, mine.DirectoryComplete())
		}
		if got, want := chains(mine, id), chains(theirs, id); !slices.Equal(got, want) {
			t.Fatalf("chains %q, want %q", got, want)
		}
		if got, want := denialsOf(mine), denialsOf(theirs); !slices.Equal(got, want) {
			t.Fatalf("denials of groups %q, want %q", got, want)
		}
	}
}

func chains(t *snapshot.TenantView, id string) []string {
	var all []string
	for _, scope := range someScopes {
		chain, err := t.Hierarchy().Chain(authz.Scope("/tenants/"+id+scope), false)
		all = append(all, fmt.Sprint(chain, err))
	}
	return all
}

func denialsOf(t *snapshot.TenantView) []string {
	var all []string
	for _, g := range t.GroupDenials().All() {
		all = append(all, fmt.Sprint(g.AssignmentID, g.Principal, g.Role.ID(), g.Role.Size(), g.Scope, g.Effect, g.Expires))
	}
	return all
}
