package authz_test

import (
	"fmt"
	"testing"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// benchGrants gives a subject with so many groups so many assignments in all: the groups
// read the tenant, and what the caller has stands at other environments, so that a
// decision for an app has to look at all that the groups have and finds Play nowhere.
func benchGrants(b *testing.B, w world, groups, assignments int) *authz.Grants {
	b.Helper()
	grants := make([]authz.Grant, 0, assignments)
	for i := range assignments {
		g := authz.Grant{
			AssignmentID: fmt.Sprintf("a%06d", i), Effect: authz.AssignAllow, Role: w.roles["Reader"],
			Principal: authz.Principal{Type: authz.User, ID: "ada"}, Scope: authz.Scope(fmt.Sprintf("/tenants/acme/environments/e%d", i)),
		}
		if i < groups {
			g.Principal, g.Scope = authz.Principal{Type: authz.Group, ID: fmt.Sprintf("g%d", i)}, "/tenants/acme"
		}
		grants = append(grants, g)
	}
	return authz.NewGrants(grants)
}

func BenchmarkDecide(b *testing.B) {
	w := newWorld(b)
	app := "/tenants/acme/environments/prod/powerapps/a7"
	for _, subject := range []struct{ groups, assignments int }{{0, 5}, {5, 10}, {5, 5000}, {200, 200}, {200, 5000}} {
		grants := benchGrants(b, w, subject.groups, subject.assignments)
		withForbid := authz.NewGrants(append([]authz.Grant{{
			AssignmentID: "f", Effect: authz.AssignForbid, Role: w.roles["AppDeleter"], Scope: "/tenants/acme",
		}}, grants.All()...))
		for _, c := range []struct {
			name       string
			grants     *authz.Grants
			permission string
			scopes     string
		}{
			{"read", grants, "PowerApps.Apps.Read", app},
			{"play", grants, "PowerApps.Apps.Play", app},
			{"read_with_forbid", withForbid, "PowerApps.Apps.Read", app},
			{"two_permissions_two_scopes", grants, "PowerApps.Apps.Read,Flow.Flows.Read", app + ",/tenants/acme"},
		} {
			r := w.request(b, c.permission, c.scopes)
			b.Run(fmt.Sprintf("groups=%d/assignments=%d/%s", subject.groups, subject.assignments, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					authz.Decide(c.grants, r, now)
				}
			})
		}
	}
}

func BenchmarkAppendChain(b *testing.B) {
	w := newWorld(b)
	chain, scratch := make([]authz.Scope, 0, 8), make([]byte, 0, 256)
	named := authz.NamedScope{Kind: authz.ResourceScope, Environment: "prod", Type: "powerapps", ID: "a7"}
	b.ReportAllocs()
	for b.Loop() {
		scratch = scratch[:0]
		chain, _ = w.hierarchy.AppendChain(chain[:0], named, &scratch)
	}
}

func BenchmarkNewSubject(b *testing.B) {
	for _, groups := range []int{5, 200} {
		spec := authz.SubjectSpec{Tenant: guid, Principal: authz.Principal{Type: authz.User, ID: guid}}
		for i := range groups {
			spec.Groups = append(spec.Groups, fmt.Sprintf("%08x-0000-4abc-8def-0123456789ab", i))
		}
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := authz.NewSubject(spec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNewGrants(b *testing.B) {
	w := newWorld(b)
	for _, n := range []int{10, 200, 5000} {
		list := benchGrants(b, w, n/2, n).All()
		b.Run(fmt.Sprintf("assignments=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				authz.NewGrants(list)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	w := newWorld(b)
	def := authz.RoleDefinition{Permissions: []string{"*"}, PermissionsExceptions: []string{"Settings.Tenant.Write"}}
	for b.Loop() {
		if _, err := w.vocabulary.Compile(def); err != nil {
			b.Fatal(err)
		}
	}
}
