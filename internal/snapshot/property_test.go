package snapshot_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Few names, so that histories come back to the same things.
var (
	someUsers  = []string{"u1", "u2", "u3"}
	someGroups = []string{"g1", "g2", "g3"}
	someScopes = []string{"", "/environments/e1", "/environments/e2", "/environmentGroups/eg1", "/environments/e1/apps/a", "/environments/e2/businessUnits/b1"}
	someTeams  = []string{"tm1", "tm2"}
)

// drawHolder draws whom a role can be assigned to.
func drawHolder(t *rapid.T) authz.Principal {
	if rapid.IntRange(0, 3).Draw(t, "team") == 0 {
		return team(rapid.SampledFrom(someTeams).Draw(t, "team's name"))
	}
	return drawPrincipal(t)
}

func drawPrincipal(t *rapid.T) authz.Principal {
	switch rapid.IntRange(0, 3).Draw(t, "principal type") {
	case 0:
		return user(rapid.SampledFrom(someUsers).Draw(t, "user"))
	case 1:
		return app(rapid.SampledFrom(someUsers).Draw(t, "app"))
	case 2:
		return group(rapid.SampledFrom(someGroups).Draw(t, "group"))
	}
	return directoryRole("d1")
}

// drawOwners draws in any order, and some more than once.
func drawOwners(t *rapid.T) (owners []authz.Principal) {
	for range rapid.IntRange(0, 3).Draw(t, "owners") {
		if p := drawPrincipal(t); p.Type != authz.DirectoryRole {
			owners = append(owners, p)
		}
	}
	return owners
}

// ownership lists who owns whom of those that tests use, by looking at the data alone: first
// what each owns, then who owns each.
func ownership(d *snapshot.Data, tenant string) (lines []string) {
	person := func(p authz.Principal) string {
		if p.Type == authz.ApplicationUser {
			p.Type = authz.User
		}
		return p.String()
	}
	owners := map[authz.Principal][]authz.Principal{}
	for _, x := range d.Tenants {
		if x.ID != tenant {
			continue
		}
		for _, p := range x.Principals {
			owners[p.Principal] = append(owners[p.Principal], p.Owners...)
		}
		for _, g := range x.Groups {
			owners[group(g.ID)] = append(owners[group(g.ID)], g.Owners...)
		}
	}
	for _, p := range everyone() {
		owned, by := map[string]bool{}, map[string]bool{}
		for of, all := range owners {
			for _, owner := range all {
				if person(owner) == person(p) {
					owned[of.String()] = true
				}
				if person(of) == person(p) {
					by[owner.String()] = true
				}
			}
		}
		lines = append(lines, fmt.Sprint(p, " owns ", slices.Sorted(maps.Keys(owned)), ", owned by ", slices.Sorted(maps.Keys(by))))
	}
	return lines
}

// readOwnership is ownership as a store tells it.
func readOwnership(r *snapshot.Reader, tenant string) (lines []string, err error) {
	for _, p := range everyone() {
		owned, err := r.OwnedBy(tenant, p)
		if err != nil {
			return nil, err
		}
		by, err := r.Owners(tenant, p)
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprint(p, " owns ", names(owned), ", owned by ", names(by)))
	}
	return lines, nil
}

func everyone() (all []authz.Principal) {
	for _, id := range someUsers {
		all = append(all, user(id), app(id))
	}
	for _, id := range someGroups {
		all = append(all, group(id))
	}
	return append(all, directoryRole("d1"))
}

func names(all []authz.Principal) []string {
	texts := make([]string, 0, len(all))
	for _, p := range all {
		texts = append(texts, p.String())
	}
	slices.Sort(texts)
	return texts
}

func drawTenant(t *rapid.T, id string) snapshot.Tenant {
	x := snapshot.Tenant{
		ID: id, DirectoryComplete: rapid.Bool().Draw(t, "complete"),
		EnvironmentGroups: []authz.EnvironmentGroup{{ID: "eg1"}},
		Environments:      []snapshot.Environment{{ID: "e1"}, {ID: "e2", Dataverse: rapid.Bool().Draw(t, "dataverse")}},
	}
	if rapid.Bool().Draw(t, "grouped") {
		x.EnvironmentGroups[0].Environments = []string{"e1"}
	}
	role := authz.RoleDefinition{ID: "r1", Name: "Custom", Permissions: []string{"PowerApps.*"}}
	if rapid.Bool().Draw(t, "narrow") {
		role.PermissionsExceptions = []string{"*.Delete"}
	}
	x.RoleDefinitions = []authz.RoleDefinition{role}
	for _, id := range someUsers {
		for _, p := range []authz.Principal{user(id), app(id)} {
			if rapid.IntRange(0, 3).Draw(t, "listed") == 0 {
				x.Principals = append(x.Principals, snapshot.Principal{Principal: p, Disabled: rapid.Bool().Draw(t, "disabled"), Owners: drawOwners(t)})
			}
		}
	}
	for _, id := range someGroups {
		if rapid.Bool().Draw(t, "group") {
			g := snapshot.Group{ID: id}
			for range rapid.IntRange(0, 3).Draw(t, "members") {
				if p := drawPrincipal(t); p.Type != authz.DirectoryRole {
					g.Members = append(g.Members, p)
				}
			}
			g.Owners = drawOwners(t)
			x.Groups = append(x.Groups, g)
		}
	}
	customs := []string{readerRole, contributorRole, basicRole, "r1"}
	if x.Environments[1].Dataverse {
		drawItems(t, &x)
		if len(x.RoleDefinitions) > 1 {
			customs = append(customs, "s1")
		}
	}
	for i := range 8 {
		if rapid.Bool().Draw(t, "assigned") {
			x.RoleAssignments = append(x.RoleAssignments, snapshot.RoleAssignment{
				ID: fmt.Sprintf("a%d", i), Principal: drawHolder(t),
				RoleDefinitionID: rapid.SampledFrom(customs).Draw(t, "role"),
				Scope:            authz.Scope("/tenants/" + id + rapid.SampledFrom(someScopes).Draw(t, "scope")),
				Effect:           rapid.SampledFrom([]authz.AssignmentEffect{authz.AssignAllow, authz.AssignDeny, authz.AssignForbid}).Draw(t, "effect"),
				Expires:          int64(rapid.IntRange(0, 2).Draw(t, "expires")),
			})
		}
	}
	return x
}

func drawData(t *rapid.T) *snapshot.Data {
	d := &snapshot.Data{}
	for _, id := range []string{"t1", "t22"} {
		if rapid.IntRange(0, 4).Draw(t, "tenant") > 0 {
			d.Tenants = append(d.Tenants, drawTenant(t, id))
		}
	}
	return d
}

// oracle says what a subject holds by looking at the data alone.
func oracle(d *snapshot.Data, of *authz.Subject) string {
	i := slices.IndexFunc(d.Tenants, func(x snapshot.Tenant) bool { return x.ID == of.Tenant() })
	if i < 0 {
		return ""
	}
	x := &d.Tenants[i]
	same := func(a, b authz.Principal) bool {
		people := func(t authz.PrincipalType) bool { return t == authz.User || t == authz.ApplicationUser }
		return a.ID == b.ID && (a.Type == b.Type || people(a.Type) && people(b.Type))
	}
	all := []authz.Principal{of.Principal()}
	for _, id := range of.Groups() {
		all = append(all, group(id))
	}
	for _, id := range of.DirectoryRoles() {
		all = append(all, directoryRole(id))
	}
	for grown := true; grown; {
		grown = false
		for _, g := range x.Groups {
			in := slices.ContainsFunc(g.Members, func(m authz.Principal) bool {
				return slices.ContainsFunc(all, func(p authz.Principal) bool { return same(m, p) })
			})
			if in && !slices.Contains(all, group(g.ID)) {
				all, grown = append(all, group(g.ID)), true
			}
		}
		for _, tm := range x.Teams {
			members := tm.Members
			if tm.Kind == authz.GroupTeamHolder {
				members = []authz.Principal{group(tm.Group)}
			}
			in := slices.ContainsFunc(members, func(m authz.Principal) bool {
				return slices.ContainsFunc(all, func(p authz.Principal) bool { return same(m, p) })
			})
			if in && !slices.Contains(all, team(tm.ID)) {
				all, grown = append(all, team(tm.ID)), true
			}
		}
	}
	var held []string
	for _, a := range x.RoleAssignments {
		if slices.ContainsFunc(all, func(p authz.Principal) bool { return same(a.Principal, p) }) {
			if security := a.RoleDefinitionID == basicRole || a.RoleDefinitionID == "s1"; security {
				text, _, _ := strings.Cut(string(a.Scope), "/businessUnits/")
				a.Scope = authz.Scope(text)
				if slices.ContainsFunc(x.Users, func(u snapshot.EnvironmentUser) bool {
					return u.Disabled && same(u.Principal, of.Principal()) && strings.HasPrefix(text+"/", "/tenants/"+x.ID+"/environments/"+u.Environment+"/")
				}) {
					continue
				}
			}
			held = append(held, fmt.Sprint(a.ID, a.Principal, a.RoleDefinitionID, a.Scope, a.Effect, a.Expires))
		}
	}
	slices.Sort(held)
	for _, p := range x.Principals {
		if p.Disabled && same(p.Principal, of.Principal()) {
			return "disabled " + strings.Join(held, "; ")
		}
	}
	return strings.Join(held, "; ")
}

func full(view *snapshot.View) string {
	var held []string
	for _, g := range view.Grants.All() {
		held = append(held, fmt.Sprint(g.AssignmentID, g.Principal, g.Role.ID(), g.Scope, g.Effect, g.Expires))
	}
	slices.Sort(held)
	if view.Disabled {
		return "disabled " + strings.Join(held, "; ")
	}
	return strings.Join(held, "; ")
}

func subjects(t testing.TB) []*authz.Subject {
	var all []*authz.Subject
	for _, tenant := range []string{"t1", "t22"} {
		for _, id := range someUsers {
			all = append(all,
				subject(t, authz.SubjectSpec{Tenant: tenant, Principal: user(id)}),
				subject(t, authz.SubjectSpec{Tenant: tenant, Principal: app(id), Groups: []string{"g1"}, DirectoryRoles: []string{"d1"}}))
		}
	}
	return all
}

// Whatever changes follow each other, the file holds what it would hold if it were
// written anew, and everybody holds what the data says, from the file and from the cache.
func TestChangesAddUpToTheData(t *testing.T) {
	who := subjects(t)
	rapid.Check(t, func(t *rapid.T) {
		o := options(rapidDir(t))
		s, err := snapshot.OpenLimits(t.Context(), o, 1_000_000, rapid.SampledFrom([]uint64{50_000, 50_000, 8}).Draw(t, "rebuild above"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		s.SetShadowEvery(2)
		last := authz.Revision{}
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			d := drawData(t)
			r, err := s.Replace(t.Context(), d, snapshot.Change{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Compare(last) < 0 {
				t.Fatalf("revision %v after %v", r, last)
			}
			last = r
			want, err := snapshot.SumOf(d)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.HeldSum(); got != want {
				t.Fatalf("the sum kept up to date is %x, that of the data %x", got, want)
			}
			for range 2 {
				for _, of := range who {
					found, err := s.View(t.Context(), of)
					if err != nil {
						t.Fatal(err)
					}
					if got, want := full(found.View), oracle(d, of); got != want || found.Snapshot.Revision() != r {
						t.Fatalf("%v of %s holds %q at %v, want %q at %v", of.Principal(), of.Tenant(), got, found.Snapshot.Revision(), want, r)
					}
				}
				s.WaitCache()
			}
			if s.Stats().Alarms != 0 {
				t.Fatal("a cached view differed")
			}
			if err := s.Read(t.Context(), func(r *snapshot.Reader) error {
				for _, of := range who {
					sameItems(t, r, d, of)
				}
				for _, id := range []string{"t1", "t22"} {
					got, err := readOwnership(r, id)
					if diff := cmp.Diff(ownership(d, id), got); err != nil || diff != "" {
						t.Fatalf("%v: %s", err, diff)
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		before, err := s.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = snapshot.Open(t.Context(), o); err != nil { // which verifies all of it
			t.Fatal(err)
		}
		if s.Current() == nil || s.Current().Revision() != last {
			t.Fatalf("after a restart: %+v, want %v", s.Stats(), last)
		}
		after, err := s.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// rapidDir is a directory that is removed at the end of one run of a property.
func rapidDir(t *rapid.T) string {
	dir, err := os.MkdirTemp("", "snapshot")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Many read while one writes; nobody may see a mixture, nor anything older than what was
// published when it asked.
func TestReadersBesideAWriter(t *testing.T) {
	s := open(t, options(t.TempDir()))
	s.SetShadowEvery(16)
	replace(t, s, version(1))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	// The revision's number is the version's.
	for _, id := range []string{"ver", "ver2"} {
		who, prefix := caller(t, user(id)), map[string]string{"ver": "v", "ver2": "w"}[id]
		for range 2 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					floor := s.Current().Revision()
					found, err := s.View(t.Context(), who)
					if err != nil {
						t.Error(err)
						return
					}
					if found.Snapshot.Revision().Compare(floor) < 0 {
						t.Errorf("revision %v after %v", found.Snapshot.Revision(), floor)
					}
					if got, want := describe(found.View), fmt.Sprint(prefix, found.Snapshot.Revision().Number); got != want {
						t.Errorf("%s at revision %d", got, found.Snapshot.Revision().Number)
						return
					}
				}
			})
		}
	}
	for n := 2; n <= 200; n++ {
		replace(t, s, version(n))
	}
	close(stop)
	readers.Wait()
	if st := s.Stats(); st.Alarms != 0 || st.Hits == 0 {
		t.Errorf("%+v", st)
	}
}
