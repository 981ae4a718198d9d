package authz_test

import (
	"fmt"
	"log"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The package decides on its own, without a server, a file or a clock.
func Example() {
	vocabulary, err := authz.NewVocabulary([]authz.Permission{
		"PowerApps.Apps.Read", "PowerApps.Apps.Write", "PowerApps.Apps.Create", "PowerApps.Apps.Delete",
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	maker, err := vocabulary.Compile(authz.RoleDefinition{Name: "Maker", Permissions: []string{"*.Read", "PowerApps.Apps.Write"}})
	if err != nil {
		log.Fatal(err)
	}
	hierarchy, err := authz.NewHierarchy(authz.HierarchySpec{
		Tenant:            "acme",
		EnvironmentGroups: []authz.EnvironmentGroup{{ID: "live", Environments: []string{"prod"}}},
		Environments:      []string{"test"},
	})
	if err != nil {
		log.Fatal(err)
	}
	ada := authz.Principal{Type: authz.User, ID: "ada"}
	grants := authz.NewGrants([]authz.Grant{
		{AssignmentID: "a1", Principal: ada, Role: maker, Scope: "/tenants/acme", Effect: authz.AssignAllow},
		{AssignmentID: "a2", Principal: ada, Role: maker, Scope: "/tenants/acme/environmentGroups/live", Effect: authz.AssignDeny},
	})
	ask := func(permission string, scope authz.Scope) {
		id, known := vocabulary.ID(permission)
		if !known {
			fmt.Println(permission, "is", authz.Unmapped)
			return
		}
		chain, err := hierarchy.Chain(scope, false)
		if err != nil {
			fmt.Println(scope, "is", authz.UnknownScope)
			return
		}
		d := authz.Decide(grants, authz.Request{Permissions: []authz.PermissionID{id}, Chains: [][]authz.Scope{chain}}, 1_700_000_000)
		fmt.Println(d.Reason.Effect(), d.Reason, permission, scope)
	}
	ask("PowerApps.Apps.Create", "/tenants/acme/environments/test/powerapps/a7")
	ask("PowerApps.Apps.Create", "/tenants/acme/environments/prod/powerapps/a7")
	ask("PowerApps.Apps.Delete", "/tenants/acme/environments/test")
	ask("PowerApps.Apps.Fly", "/tenants/acme/environments/test")
	ask("PowerApps.Apps.Read", "/tenants/acme/environments/unlisted")
	// Output:
	// allow GRANTED PowerApps.Apps.Create /tenants/acme/environments/test/powerapps/a7
	// deny OVERRIDDEN PowerApps.Apps.Create /tenants/acme/environments/prod/powerapps/a7
	// deny NO_ASSIGNMENT PowerApps.Apps.Delete /tenants/acme/environments/test
	// PowerApps.Apps.Fly is UNMAPPED
	// /tenants/acme/environments/unlisted is UNKNOWN_SCOPE
}

// An exception takes what it names, what that gives, and whatever gives any of it.
func ExampleVocabulary_Compile() {
	vocabulary, err := authz.NewVocabulary([]authz.Permission{
		"Authorization.RoleAssignments.Read", "Authorization.RoleAssignments.Create", "Authorization.RoleAssignments.Update",
		"Authorization.RoleAssignments.Delete", "Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.ReadWrite",
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	contributor, err := vocabulary.Compile(authz.RoleDefinition{
		Name:                  "Contributor",
		Permissions:           []string{"*"},
		PermissionsExceptions: []string{"Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for id, name := range vocabulary.Names() {
		fmt.Println(contributor.Grants(authz.PermissionID(id)), name)
	}
	// Output:
	// false Authorization.RoleAssignments.Create
	// false Authorization.RoleAssignments.Delete
	// true Authorization.RoleAssignments.Read
	// false Authorization.RoleAssignments.ReadWrite
	// false Authorization.RoleAssignments.Update
	// false Authorization.RoleAssignments.Write
}

// A scope has one spelling, whatever case a GUID is written in.
func ExampleParseScope() {
	tenant, named, err := authz.ParseScope("/tenants/7F1D0A2B-0000-4ABC-8DEF-0123456789AB/environments/e1/powerapps/a%41", false)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tenant)
	fmt.Println(named.Type, named.ID)
	fmt.Println(named.In(tenant))
	// Output:
	// 7f1d0a2b-0000-4abc-8def-0123456789ab
	// powerapps aA
	// /tenants/7f1d0a2b-0000-4abc-8def-0123456789ab/environments/e1/powerapps/aA
}

// The chain of a scope is what it inherits from, nearest first.
func ExampleHierarchy_Chain() {
	hierarchy, err := authz.NewHierarchy(authz.HierarchySpec{
		Tenant:            "acme",
		EnvironmentGroups: []authz.EnvironmentGroup{{ID: "live", Environments: []string{"prod"}}},
		BusinessUnits:     []authz.BusinessUnit{{ID: "root", Environment: "prod"}, {ID: "north", Environment: "prod", Parent: "root"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	chain, err := hierarchy.Chain("/tenants/acme/environments/prod/businessUnits/north", false)
	if err != nil {
		log.Fatal(err)
	}
	for _, scope := range chain {
		fmt.Println(scope)
	}
	// Output:
	// /tenants/acme/environments/prod/businessUnits/north
	// /tenants/acme/environments/prod/businessUnits/root
	// /tenants/acme/environments/prod
	// /tenants/acme/environmentGroups/live
	// /tenants/acme
}

// Missing names what a refusal should name.
func ExampleAppendMissing() {
	vocabulary, err := authz.NewVocabulary([]authz.Permission{"Flow.Flows.Create", "Flow.Flows.Read", "Flow.Flows.Update"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	reader, err := vocabulary.Compile(authz.RoleDefinition{Name: "Reader", Permissions: []string{"*.Read"}})
	if err != nil {
		log.Fatal(err)
	}
	grants := authz.NewGrants([]authz.Grant{{AssignmentID: "a1", Role: reader, Scope: "/tenants/acme", Effect: authz.AssignAllow}})
	request := authz.Request{Permissions: []authz.PermissionID{0, 1, 2}, Chains: [][]authz.Scope{{"/tenants/acme"}}}
	for _, id := range authz.AppendMissing(nil, grants, request, 0) {
		fmt.Println(vocabulary.Name(id))
	}
	// Output:
	// Flow.Flows.Create
	// Flow.Flows.Update
}

// Two tokens for one caller make one subject; anything else makes another.
func ExampleNewSubject() {
	key := func(spec authz.SubjectSpec) string {
		s, err := authz.NewSubject(spec)
		if err != nil {
			log.Fatal(err)
		}
		return s.Key()
	}
	ada := authz.Principal{Type: authz.User, ID: "ada"}
	a := key(authz.SubjectSpec{Tenant: "acme", Principal: ada, Groups: []string{"g1", "g2"}})
	b := key(authz.SubjectSpec{Tenant: "acme", Principal: ada, Groups: []string{"g2", "g1", "g1"}})
	c := key(authz.SubjectSpec{Tenant: "acme", Principal: ada, Groups: []string{"g1"}, DirectoryRoles: []string{"g2"}})
	fmt.Println(a == b, a == c)
	// Output: true false
}

// Only two reasons allow.
func ExampleReason_Effect() {
	for _, reason := range authz.Reasons() {
		if reason.Effect() == authz.Allow {
			fmt.Println(reason)
		}
	}
	fmt.Println(authz.Decision{}.Allowed())
	// Output:
	// GRANTED
	// PUBLIC
	// false
}

// A revision of a later epoch is later, whatever its number.
func ExampleRevision_Compare() {
	before, after := authz.Revision{Epoch: 1, Number: 900}, authz.Revision{Epoch: 2, Number: 3}
	fmt.Println(before.Compare(after))
	// Output: -1
}
