package reverse_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/reverse"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Each world is a tenant of one store.
func TestAnswersEqualBruteForceInRandomWorlds(t *testing.T) {
	data := &snapshot.Data{}
	for i := range worlds {
		data.Tenants = append(data.Tenants, dice{rand.New(rand.NewPCG(7, uint64(i)))}.world(fmt.Sprintf("t%04d", i)))
	}
	s := openStore(t, data)
	for name, test := range map[string]func(*testing.T, everyWorld){
		"who can":               whoCanEqualsDecidingAboutEverybody,
		"who can in a database": whoCanInADatabaseEqualsDecidingAboutEverybody,
		"what can":              whatCanEqualsDecidingAboutEveryPermission,
		"where can":             whereCanEqualsDecidingAboutEveryScope,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(ask func(d dice, b *brute)) {
				t.Helper()
				read(t, s, func(r *snapshot.Reader) {
					for i := range data.Tenants {
						ask(dice{rand.New(rand.NewPCG(11, uint64(i)))}, &brute{t: t, r: r, data: &data.Tenants[i], views: map[authz.Principal]*snapshot.View{}})
						if t.Failed() {
							t.Fatalf("in world %d: %+v", i, data.Tenants[i])
						}
					}
				})
			})
		})
	}
}

// everyWorld asks something in each world.
type everyWorld func(ask func(d dice, b *brute))

// brute answers by deciding about everybody everywhere.
type brute struct {
	t     *testing.T
	r     *snapshot.Reader
	data  *snapshot.Tenant
	views map[authz.Principal]*snapshot.View
}

func (b *brute) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *brute) subject(p authz.Principal) *authz.Subject {
	spec := authz.SubjectSpec{Tenant: b.data.ID, Principal: user("nobody at all")}
	switch p.Type {
	case authz.Group:
		spec.Groups = []string{p.ID}
	case authz.DirectoryRole:
		spec.DirectoryRoles = []string{p.ID}
	default:
		spec.Principal = p
	}
	s, err := authz.NewSubject(spec)
	b.must(err)
	return s
}

// decide returns the identifier of the assignment that allows; empty: none does.
func (b *brute) decide(p authz.Principal, permission string, scope authz.Scope) string {
	id, known := vocabulary.ID(permission)
	if !known {
		b.t.Fatalf("%s is not known", permission)
	}
	view := b.views[p]
	if view == nil {
		var err error
		view, err = b.r.View(b.data.ID, b.subject(p))
		b.must(err)
		b.views[p] = view
	}
	tree, err := b.r.Hierarchy(b.data.ID)
	b.must(err)
	chain, err := tree.Chain(scope, false)
	b.must(err)
	d := authz.Decide(view.Grants, authz.Request{Permissions: []authz.PermissionID{id}, Chains: [][]authz.Scope{chain}}, now)
	if view.Disabled || !d.Allowed() {
		return ""
	}
	return d.Grant.AssignmentID
}

// privilege is decide for a privilege at an environment.
func (b *brute) privilege(p authz.Principal, permission, environment string) (string, authz.Reach) {
	db, err := b.r.Database(b.data.ID, environment)
	b.must(err)
	table, privilege, known := db.Permission(permission)
	if !known {
		b.t.Fatalf("%s is not known", permission)
	}
	who, err := b.r.RecordSubject(b.data.ID, environment, b.subject(p))
	b.must(err)
	d := authz.DecideRecord(db, authz.RecordRequest{Caller: who, Table: table, Privilege: privilege}, now)
	switch {
	case d.Allowed(), d.Denial == authz.LacksReach:
		return d.Holding.AssignmentID, d.Reach
	default:
		return "", authz.NoReach
	}
}

// people are all users and application users that are mentioned anywhere, by their key.
func (b *brute) people() []authz.Principal {
	var all []authz.Principal
	for _, p := range b.mentioned() {
		if p.Key().Type == authz.User {
			all = append(all, p.Key())
		}
	}
	return unique(all)
}

func (b *brute) mentioned() []authz.Principal {
	var all []authz.Principal
	for _, p := range b.data.Principals {
		all = append(all, p.Principal)
	}
	for _, g := range b.data.Groups {
		all = append(append(all, group(g.ID)), g.Members...)
	}
	for _, a := range b.data.RoleAssignments {
		all = append(all, a.Principal)
	}
	for _, u := range b.data.Users {
		all = append(all, u.Principal)
	}
	for _, team := range b.data.Teams {
		all = append(all, team.Members...)
		if team.Group != "" {
			all = append(all, group(team.Group))
		}
	}
	return unique(all)
}

func unique(all []authz.Principal) []authz.Principal {
	slices.SortFunc(all, snapshot.ComparePrincipals)
	return slices.Compact(all)
}

// flagged are the groups and directory roles of which it is not known who is meant.
func (b *brute) flagged() map[authz.Principal]reverse.Membership {
	all := map[authz.Principal]reverse.Membership{}
	for _, p := range b.mentioned() {
		listed := slices.ContainsFunc(b.data.Groups, func(g snapshot.Group) bool { return p == group(g.ID) })
		switch {
		case p.Type == authz.DirectoryRole, p.Type == authz.Group && !listed:
			all[p] = reverse.Unknown
		case p.Type == authz.Group && !b.data.DirectoryComplete:
			all[p] = reverse.Partial
		}
	}
	return all
}

func (b *brute) scopes() []authz.Scope {
	root := "/tenants/" + b.data.ID
	var all []authz.Scope
	for _, below := range []string{"", "/environmentGroups/eg1", "/environmentGroups/eg2", "/environments/e1", "/environments/e2", "/environments/e3", "/environments/e4",
		"/environments/e1/powerapps/a1", "/environments/e3/powerapps/a1", "/environments/e3/powerapps/a2", "/environments/e1/businessUnits/b1", "/environments/e1/businessUnits/b2"} {
		all = append(all, authz.Scope(root+below))
	}
	return all
}

// pages asks for all of an answer, page by page.
func pages[T any](b *brute, size int, ask func(p reverse.Page) (reverse.List[T], error)) []T {
	b.t.Helper()
	var all []T
	token := ""
	for range 10_000 {
		list, err := ask(reverse.Page{Size: size, Token: token})
		b.must(err)
		if len(list.Items) > size {
			b.t.Fatalf("a page of %d has %d items", size, len(list.Items))
		}
		if list.Changed || list.Time != now {
			b.t.Fatalf("an answer at one revision says changed %v, time %d", list.Changed, list.Time)
		}
		all = append(all, list.Items...)
		if token = list.Next; token == "" {
			return all
		}
	}
	b.t.Fatal("the answer does not end")
	return nil
}

// paged checks that pages of any size, and such as are cut short, make up the same answer.
func paged[T any](b *brute, d dice, what string, ask func(q *reverse.Questions, p reverse.Page) (reverse.List[T], error)) []T {
	b.t.Helper()
	whole := pages(b, 1000, func(p reverse.Page) (reverse.List[T], error) { return ask(questions(1<<30), p) })
	size := 1 + d.IntN(5)
	for _, work := range []int{1 << 30, 1 + d.IntN(2)*d.IntN(200)} {
		parts := pages(b, size, func(p reverse.Page) (reverse.List[T], error) { return ask(questions(work), p) })
		if diff := cmp.Diff(whole, parts); diff != "" {
			b.t.Errorf("%s: in pages of %d, each of work %d, the answer is another (-whole +pages):\n%s", what, size, work, diff)
		}
	}
	return whole
}

// row is an item of an answer as a line.
func row(parts ...any) string { return strings.TrimSuffix(fmt.Sprintln(parts...), "\n") }

func sameRows(b *brute, what string, got, want []string) {
	b.t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("%s (-brute force +answer):\n%s", what, diff)
	}
}

func whoCanEqualsDecidingAboutEverybody(t *testing.T, randomWorlds everyWorld) {
	found := 0
	randomWorlds(func(d dice, b *brute) {
		scopes, permissions := b.scopes(), vocabulary.Names()
		for range 3 {
			scope, permission := scopes[d.IntN(len(scopes))], string(permissions[d.IntN(len(permissions))])
			what := fmt.Sprint("who can ", permission, " at ", scope)
			all := paged(b, d, what, func(q *reverse.Questions, p reverse.Page) (reverse.List[reverse.Holder], error) {
				return q.WhoCan(b.r, reverse.WhoCan{Tenant: b.data.ID, Permission: permission, Scope: string(scope), Page: p})
			})
			var got, want []string
			for _, h := range all {
				b.checkVia(what, h)
				got = append(got, row(h.Principal.Key(), h.Membership, h.Reach, h.Assignment.ID))
			}
			for _, p := range b.people() {
				if id := b.decide(p, permission, scope); id != "" {
					want = append(want, row(p, reverse.Known, authz.NoReach, id))
				}
			}
			for p, m := range b.flagged() {
				if id := b.decide(p, permission, scope); id != "" {
					want = append(want, row(p, m, authz.NoReach, id))
				}
			}
			found += len(want)
			sameRows(b, what, got, want)
		}
	})
	if found < 3*worlds {
		t.Errorf("only %d were found: the worlds are too dull", found)
	}
}

// checkVia checks that the way from the assignment to the principal is one.
func (b *brute) checkVia(what string, h reverse.Holder) {
	b.t.Helper()
	at := h.Assignment.Principal
	for i, p := range append(slices.Clone(h.Via), h.Principal) {
		if i == 0 {
			if p.Key() != at.Key() {
				b.t.Errorf("%s: %v has it via %v, and the assignment is of %v", what, h.Principal, h.Via, at)
			}
			continue
		}
		above, err := b.r.GroupsOf(b.data.ID, p)
		b.must(err)
		if !slices.Contains(above, h.Via[i-1]) {
			b.t.Errorf("%s: %v has it via %v, and %v is no member of %v", what, h.Principal, h.Via, p, h.Via[i-1])
		}
	}
}

var privileges = []string{
	"Dataverse.Account.Read", "Dataverse.Account.Write", "Dataverse.Account.Share", "Dataverse.Order.Read", "Dataverse.Order.Delete", "Dataverse.Currency.Write", "Dataverse.User.ActOnBehalf", "Dataverse.User.ActOnBehalf", "dataverse.order.READ",
}

func whoCanInADatabaseEqualsDecidingAboutEverybody(t *testing.T, randomWorlds everyWorld) {
	found := map[authz.Reach]int{}
	randomWorlds(func(d dice, b *brute) {
		for range 3 {
			environment, permission := d.one("e1", "e2"), d.one(privileges...)
			scope := environmentOf(b.data.ID, environment)
			what := fmt.Sprint("who can ", permission, " at ", scope)
			all := paged(b, d, what, func(q *reverse.Questions, p reverse.Page) (reverse.List[reverse.Holder], error) {
				return q.WhoCan(b.r, reverse.WhoCan{Tenant: b.data.ID, Permission: permission, Scope: string(scope), Page: p})
			})
			var got, want []string
			for _, h := range all {
				b.checkVia(what, h)
				got = append(got, row(h.Principal.Key(), h.Membership, h.Reach, h.Assignment.ID))
			}
			for _, p := range b.people() {
				if id, reach := b.privilege(p, permission, environment); id != "" {
					want = append(want, row(p, reverse.Known, reach, id))
					found[reach]++
				}
			}
			for p, m := range b.flagged() {
				if id, reach := b.throughTeams(p, permission, environment); id != "" {
					want = append(want, row(p, m, reach, id))
				}
			}
			sameRows(b, what, got, want)
		}
	})
	for reach := authz.NoReach; reach <= authz.OrganizationReach; reach++ {
		if found[reach] < worlds/100 {
			t.Errorf("only %d were found with the reach %q: the worlds are too dull", found[reach], reach)
		}
	}
}

func environmentOf(tenant, id string) authz.Scope {
	return authz.Scope("/tenants/" + tenant + "/environments/" + id)
}

// throughTeams is how far whoever is in a group, or holds a directory role, reaches by what
// the group and its teams hold.
func (b *brute) throughTeams(p authz.Principal, permission, environment string) (best string, farthest authz.Reach) {
	in := map[authz.Principal]bool{p: true}
	for range b.data.Groups {
		for _, g := range b.data.Groups {
			for member := range in {
				if slices.Contains(g.Members, member) {
					in[group(g.ID)] = true
					break
				}
			}
		}
	}
	for _, x := range b.data.Teams {
		if x.Group != "" && in[group(x.Group)] && x.Environment == environment {
			in[team(x.ID)] = true
		}
	}
	db, err := b.r.Database(b.data.ID, environment)
	b.must(err)
	table, privilege, _ := db.Permission(permission)
	root := string(environmentOf(b.data.ID, environment))
	for _, a := range b.data.RoleAssignments {
		below, inside := strings.CutPrefix(string(a.Scope), root)
		counts := below == "" || strings.HasPrefix(below, "/businessUnits/") || strings.HasPrefix(below, "/websites/") && a.RoleDefinitionID == siteRole
		byHolder := a.Principal.Type == authz.Team || a.Principal.Type == authz.Group && a.RoleDefinitionID == maker
		if !in[a.Principal] || !inside || !counts || !byHolder || a.Effect != authz.AssignAllow || a.Expires != 0 && a.Expires <= now {
			continue
		}
		compiled, err := b.r.SecurityRole(b.data.ID, environment, a.RoleDefinitionID)
		b.must(err)
		reach := compiled.Reach(table, privilege)
		if reach > farthest || reach == farthest && reach != authz.NoReach && a.ID < best {
			best, farthest = a.ID, reach
		}
	}
	return best, farthest
}

// somebody is anybody who may be asked about.
func (b *brute) somebody(d dice) authz.Principal {
	for {
		all := b.mentioned()
		if p := all[d.IntN(len(all))]; p.Type != authz.Team {
			return p
		}
	}
}

func whatCanEqualsDecidingAboutEveryPermission(t *testing.T, randomWorlds everyWorld) {
	found, inDatabase := 0, 0
	randomWorlds(func(d dice, b *brute) {
		scopes := b.scopes()
		for range 3 {
			scope, p := scopes[d.IntN(len(scopes))], b.somebody(d)
			what := fmt.Sprint("what can ", p, " at ", scope)
			all := paged(b, d, what, func(q *reverse.Questions, page reverse.Page) (reverse.List[reverse.Held], error) {
				return q.WhatCan(b.r, reverse.WhatCan{Tenant: b.data.ID, Subject: b.subject(p), Scope: string(scope), Page: page})
			})
			var got, want []string
			for _, h := range all {
				got = append(got, row(h.Permission, h.Reach, h.Assignment.ID))
			}
			for _, permission := range vocabulary.Names() {
				if id := b.decide(p, string(permission), scope); id != "" {
					want = append(want, row(permission, authz.NoReach, id))
					found++
				}
			}
			for _, environment := range []string{"e1", "e2"} {
				if scope != environmentOf(b.data.ID, environment) {
					continue
				}
				for _, table := range []string{"Account", "Order", "Currency", "User"} {
					for _, privilege := range authz.TablePrivileges() {
						permission := "Dataverse." + table + "." + privilege.String()
						if id, reach := b.privilege(p, permission, environment); id != "" {
							want = append(want, row(permission, reach, id))
							inDatabase++
						}
					}
				}
				if id, reach := b.privilege(p, "Dataverse.User.ActOnBehalf", environment); id != "" {
					want = append(want, row("Dataverse.User.ActOnBehalf", reach, id))
				}
			}
			sameRows(b, what, got, want)
		}
	})
	if found < worlds || inDatabase < worlds/20 {
		t.Errorf("only %d and %d were found: the worlds are too dull", found, inDatabase)
	}
}

func whereCanEqualsDecidingAboutEveryScope(t *testing.T, randomWorlds everyWorld) {
	found, inDatabase := 0, 0
	randomWorlds(func(d dice, b *brute) {
		permissions := vocabulary.Names()
		for range 3 {
			p, permission := b.somebody(d), string(permissions[d.IntN(len(permissions))])
			if d.in(3) {
				permission = d.one(privileges...)
			}
			what := fmt.Sprint("where can ", p, " ", permission)
			all := paged(b, d, what, func(q *reverse.Questions, page reverse.Page) (reverse.List[reverse.Place], error) {
				return q.WhereCan(b.r, reverse.WhereCan{Tenant: b.data.ID, Subject: b.subject(p), Permission: permission, Page: page})
			})
			var got, want []string
			for _, at := range all {
				got = append(got, row(at.Scope, at.Reach, at.Assignment.ID))
			}
			if strings.EqualFold(permission[:10], "Dataverse.") {
				for _, environment := range []string{"e1", "e2"} {
					if id, reach := b.privilege(p, permission, environment); id != "" {
						want = append(want, row(environmentOf(b.data.ID, environment), reach, id))
						inDatabase++
					}
				}
				sameRows(b, what, got, want)
				continue
			}
			for _, scope := range b.placesOf(p) {
				if id := b.decide(p, permission, scope); id != "" {
					want = append(want, row(scope, authz.NoReach, id))
					found++
				}
			}
			sameRows(b, what, got, want)
		}
	})
	if found < worlds || inDatabase < worlds/40 {
		t.Errorf("only %d and %d were found: the worlds are too dull", found, inDatabase)
	}
}

// placesOf are the tenant, its groups and environments, and where a principal has assignments.
func (b *brute) placesOf(p authz.Principal) []authz.Scope {
	all := slices.Clone(b.scopes()[:7])
	if b.views[p] == nil {
		b.decide(p, "PowerApps.Apps.Read", all[0])
	}
	for _, g := range b.views[p].Grants.All() {
		all = append(all, g.Scope)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
