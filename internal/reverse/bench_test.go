//go:build unix

package reverse_test

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/reverse"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

var assignments = flag.Int("assignments", 1_000_000, "how many role assignments the benchmarks are run on")

const big = "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"

func guid(kind, i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, i) }

// bigTenant has so many assignments: half of them of as many users at the tenant itself, who
// may read; the other half at environments. A tenth as many users are in one group that may do
// most things, half of whom are forbidden to create flows. One user has a hundredth of all.
func bigTenant(n int) *snapshot.Data {
	t := snapshot.Tenant{ID: big, DirectoryComplete: true}
	root := "/tenants/" + big
	environments := max(n/1000, 10)
	heavy, crowd := n/100, n/10
	for i := range environments {
		t.Environments = append(t.Environments, snapshot.Environment{ID: guid(0xe, i), Dataverse: i == 0})
	}
	number := 0
	add := func(p authz.Principal, role, below string, effect authz.AssignmentEffect) {
		t.RoleAssignments = append(t.RoleAssignments, snapshot.RoleAssignment{
			ID: guid(0xa, number*7919%(4*n)), Principal: p, RoleDefinitionID: role, Scope: authz.Scope(root + below), Effect: effect,
		})
		number++
	}
	everybody, half := snapshot.Group{ID: guid(0x9, 1)}, snapshot.Group{ID: guid(0x9, 2)}
	members := snapshot.Team{ID: guid(0x7, 1), Environment: guid(0xe, 0), Kind: authz.OwnerTeamHolder}
	for i := range crowd {
		p := user(guid(0x5, i))
		everybody.Members = append(everybody.Members, p)
		if i%2 == 0 {
			half.Members = append(half.Members, p)
		}
		t.Users = append(t.Users, snapshot.EnvironmentUser{Environment: guid(0xe, 0), Principal: p})
		members.Members = append(members.Members, p)
	}
	t.Groups, t.Teams = []snapshot.Group{everybody, half}, []snapshot.Team{members}
	add(group(everybody.ID), "editor", "", authz.AssignAllow)
	add(group(half.ID), "flows", "", authz.AssignForbid)
	add(team(members.ID), maker, "/environments/"+guid(0xe, 0), authz.AssignAllow)
	t.RoleDefinitions = []authz.RoleDefinition{
		{ID: "editor", Name: "Editor", Permissions: []string{"PowerApps.Apps.Update", "PowerAutomate.Flows.Create"}, AssignableScopes: []string{"/tenants/{0}"}},
		{ID: "flows", Name: "Flows", Permissions: []string{"PowerAutomate.Flows.Create"}, AssignableScopes: []string{"/tenants/{0}"}},
	}
	for i := range heavy {
		add(user("heavy"), reader, fmt.Sprintf("/environments/%s/powerapps/%s", guid(0xe, i%environments), guid(0xc, i)), authz.AssignAllow)
	}
	for i := 0; len(t.RoleAssignments) < n; i++ {
		if i%2 == 0 {
			add(user(guid(0x6, i)), reader, "", authz.AssignAllow)
		} else {
			add(user(guid(0x6, i)), contributor, "/environments/"+guid(0xe, i%environments), authz.AssignAllow)
		}
	}
	return &snapshot.Data{Tenants: []snapshot.Tenant{t}}
}

// processTime is what the process has worked, on all processors: on a machine that is busy
// with something else it says more than the clock does.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// The first page of an answer, of 100 items at most, and the slowest of its further pages.
func BenchmarkFirstPage(b *testing.B) {
	start := time.Now()
	s := openStore(b, bigTenant(*assignments))
	runtime.GC() // of what was stored nothing is needed any more
	b.Logf("%d assignments, stored in %v", *assignments, time.Since(start).Round(time.Second))
	root := "/tenants/" + big
	q := reverse.New(reverse.Options{Vocabulary: vocabulary, ShippedRoles: shippedRoles()})
	who := func(permission, below string) func(*snapshot.Reader, reverse.Page) (int, string, error) {
		return func(r *snapshot.Reader, p reverse.Page) (int, string, error) {
			list, err := q.WhoCan(r, reverse.WhoCan{Tenant: big, Permission: permission, Scope: root + below, Page: p})
			return len(list.Items), list.Next, err
		}
	}
	subject := func(p authz.Principal) *authz.Subject {
		s, err := q.SubjectOf(big, p)
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	what := func(p authz.Principal, below string) func(*snapshot.Reader, reverse.Page) (int, string, error) {
		return func(r *snapshot.Reader, page reverse.Page) (int, string, error) {
			list, err := q.WhatCan(r, reverse.WhatCan{Tenant: big, Subject: subject(p), Scope: root + below, Page: page})
			return len(list.Items), list.Next, err
		}
	}
	where := func(p authz.Principal, permission string) func(*snapshot.Reader, reverse.Page) (int, string, error) {
		return func(r *snapshot.Reader, page reverse.Page) (int, string, error) {
			list, err := q.WhereCan(r, reverse.WhereCan{Tenant: big, Subject: subject(p), Permission: permission, Page: page})
			return len(list.Items), list.Next, err
		}
	}
	e0 := "/environments/" + guid(0xe, 0)
	for _, c := range []struct {
		name string
		ask  func(*snapshot.Reader, reverse.Page) (int, string, error)
	}{
		{"who-can/tenant-wide-to-half-of-all", who("PowerApps.Apps.Read", "")},
		{"who-can/environment", who("PowerApps.Apps.Write", e0)},
		{"who-can/one-group-of-many", who("PowerApps.Apps.Update", "")},
		{"who-can/half-of-them-forbidden", who("PowerAutomate.Flows.Create", "")},
		{"who-can/nobody-among-half-of-all", who("PowerApps.Apps.Delete", "")},
		{"who-can/table-through-a-team-of-many", who("Dataverse.Account.Read", e0)},
		{"what-can/holder-of-many", what(user("heavy"), e0)},
		{"what-can/one-of-the-team", what(user(guid(0x5, 1)), e0)},
		{"where-can/holder-of-many", where(user("heavy"), "PowerApps.Apps.Read")},
		{"where-can/tenant-wide", where(user(guid(0x6, 0)), "PowerApps.Apps.Read")},
		{"where-can/table", where(user(guid(0x5, 1)), "Dataverse.Account.Read")},
	} {
		b.Run(c.name, func(b *testing.B) {
			var first, later, worked []time.Duration
			items := 0
			for b.Loop() {
				token := ""
				for page := range 5 {
					at, cpu := time.Now(), processTime(b)
					var n int
					var next string
					read(b, s, func(r *snapshot.Reader) {
						var err error
						if n, next, err = c.ask(r, reverse.Page{Token: token}); err != nil {
							b.Fatal(err)
						}
					})
					took := time.Since(at)
					if page == 0 {
						first, worked, items = append(first, took), append(worked, processTime(b)-cpu), n
					} else {
						later = append(later, took)
					}
					if token = next; token == "" {
						break
					}
				}
			}
			ms := func(all []time.Duration) float64 {
				if len(all) == 0 {
					return 0
				}
				return float64(slices.Max(all).Microseconds()) / 1000
			}
			slices.Sort(first)
			slices.Sort(worked)
			b.ReportMetric(float64(worked[len(worked)/2].Microseconds())/1000, "ms-cpu/first(p50)")
			b.ReportMetric(float64(first[len(first)/2].Microseconds())/1000, "ms/first(p50)")
			b.ReportMetric(ms(first), "ms/first(max)")
			b.ReportMetric(ms(later), "ms/later(max)")
			b.ReportMetric(float64(items), "items")
			b.ReportMetric(0, "ns/op")
		})
	}
}
