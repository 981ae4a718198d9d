// Package worldtest has a world that can be held in the head, with answers written down
// by hand, for the tests of all peers.
package worldtest

import "github.com/pathgrant/pathgrant/bench/peers/world"

// World returns the world. Environments e1 and e2 are in the group g1, e3 in g2. Ada and
// Bob are in the group "staff", Eve is in none and holds nothing.
func World() *world.World {
	const reader, contributor = "Power Platform Reader", "Power Platform Contributor"
	user := func(who, role, scope, effect string) world.Assignment {
		return world.Assignment{PrincipalType: "User", Principal: who, Role: role, Scope: "/tenants/t1" + scope, Effect: effect}
	}
	staff := func(role, scope, effect string) world.Assignment {
		return world.Assignment{PrincipalType: "Group", Principal: "staff", Role: role, Scope: "/tenants/t1" + scope, Effect: effect}
	}
	w := &world.World{
		Tenant: "t1", Environments: []string{"e1", "e2", "e3"},
		EnvironmentGroups: []world.EnvironmentGroup{{ID: "g1", Environments: []string{"e1", "e2"}}, {ID: "g2", Environments: []string{"e3"}}},
		Groups:            []world.Group{{ID: "staff", Members: []string{"ada", "bob"}}},
		Assignments: []world.Assignment{
			user("ada", reader, "/environmentGroups/g1", ""),
			user("ada", contributor, "/environments/e1", ""),
			user("ada", contributor, "/environments/e2", "DENY"),
			user("bob", contributor, "", ""),
			user("bob", reader, "/environmentGroups/g2", "DENY"),
			user("bob", reader, "/environments/e3", ""),
			staff(reader, "/environments/e3", ""),
			staff(contributor, "/environmentGroups/g1", "DENY"),
		},
	}
	ask := func(who, action, environment, reason string) {
		w.Requests = append(w.Requests, world.Request{
			User: who, Permission: "PowerApps.Apps." + action, Environment: environment,
			Scope: "/tenants/t1/environments/" + environment, Host: "api.powerplatform.com",
			Method: map[string]string{"Read": "GET", "Create": "POST"}[action],
			Path:   "/powerapps/environments/" + environment + "/apps?api-version=1", Reason: reason,
		})
	}
	ask("ada", "Create", "e1", world.Granted)      // the ALLOW at e1 is nearer than the group's DENY
	ask("ada", "Read", "e1", world.Granted)        // contributors read, too
	ask("ada", "Read", "e2", world.Overridden)     // a DENY of the contributor's role takes reading
	ask("ada", "Read", "e3", world.Granted)        // through staff
	ask("ada", "Create", "e3", world.NoAssignment) // readers do not create
	ask("bob", "Create", "e1", world.Overridden)   // the DENY of staff at g1 is nearer than the tenant
	ask("bob", "Read", "e3", world.Granted)        // given back at e3
	ask("bob", "Create", "e3", world.Granted)      // a DENY of the reader's role does not take creating
	ask("eve", "Read", "e1", world.NoAssignment)
	return w
}
