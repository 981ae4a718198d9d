package insiders_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The oracle: what somebody holds, found by trying everything. It shares nothing with what
// it judges: roles, patterns, chains and memberships are written out again.

var probes = []string{
	"Authorization.RoleAssignments.Read", "Authorization.RoleAssignments.Write", "Authorization.RoleAssignments.Delete",
	"PowerApps.Apps.Read", "PowerApps.Apps.Delete", "PowerAutomate.Flows.Delete", "EnvironmentManagement.Environments.Read", "Licensing.BillingPolicies.Create",
}

var probedScopes = []string{
	"/tenants/t1", "/tenants/t1/environmentGroups/g1", "/tenants/t1/environmentGroups/g2",
	"/tenants/t1/environments/e1", "/tenants/t1/environments/e2", "/tenants/t1/environments/e3",
	"/tenants/t1/environments/e1/powerapps/a1", "/tenants/t1/environments/e2/powerapps/a1", "/tenants/t1/environments/e3/powerapps/a1",
}

var shippedIDs = map[string]string{
	"0cb07c69-1631-4725-ab35-e59e001c51ea": "owner", "ff954d61-a89a-4fbe-ace9-01c367b89f87": "contributor",
	"95e94555-018c-447b-8691-bdac8e12211e": "rbac", "c886ad2e-27f7-4874-8381-5849b8d8a090": "reader",
}

func covers(d *snapshot.Tenant, role, permission string) bool {
	changes := permission == probes[1] || permission == probes[2]
	switch shippedIDs[role] {
	case "owner":
		return true
	case "contributor":
		return !changes
	case "rbac":
		return changes || strings.HasSuffix(permission, ".Read")
	case "reader":
		return strings.HasSuffix(permission, ".Read")
	}
	for _, def := range d.RoleDefinitions {
		if def.ID != role {
			continue
		}
		return slices.ContainsFunc(def.Permissions, func(pattern string) bool {
			if tail, ok := strings.CutPrefix(pattern, "*"); ok {
				return strings.HasSuffix(permission, tail)
			}
			if head, ok := strings.CutSuffix(pattern, "*"); ok {
				return strings.HasPrefix(permission, head)
			}
			return pattern == permission
		})
	}
	return false
}

func chainOf(d *snapshot.Tenant, scope string) []string {
	chain := []string{scope}
	if i := strings.Index(scope, "/powerapps/"); i >= 0 {
		scope = scope[:i]
		chain = append(chain, scope)
	}
	if id, ok := strings.CutPrefix(scope, "/tenants/t1/environments/"); ok {
		for _, g := range d.EnvironmentGroups {
			if slices.Contains(g.Environments, id) {
				chain = append(chain, "/tenants/t1/environmentGroups/"+g.ID)
			}
		}
	}
	if scope != "/tenants/t1" {
		chain = append(chain, "/tenants/t1")
	}
	return chain
}

// name is a principal as one word; users and applications are of one kind.
func name(p authz.Principal) string {
	if p.Type == authz.Group {
		return "group:" + p.ID
	}
	return p.ID
}

// belongs are a principal and the groups that it is in.
func belongs(d *snapshot.Tenant, who string) map[string]bool {
	in := map[string]bool{who: true}
	for grew := true; grew; {
		grew = false
		for _, g := range d.Groups {
			for _, m := range g.Members {
				if in[name(m)] && !in["group:"+g.ID] {
					in["group:"+g.ID], grew = true, true
				}
			}
		}
	}
	return in
}

// actsAs are all that somebody belongs to or owns, and what that belongs to or owns.
func actsAs(d *snapshot.Tenant, who string) map[string]bool {
	all := map[string]bool{who: true}
	for grew := true; grew; {
		grew = false
		add := func(what string) {
			if !all[what] {
				all[what], grew = true, true
			}
		}
		for self := range all {
			for g := range belongs(d, self) {
				add(g)
			}
		}
		for _, g := range d.Groups {
			if slices.ContainsFunc(g.Owners, func(o authz.Principal) bool { return all[name(o)] }) {
				add("group:" + g.ID)
			}
		}
		for i := range d.Principals {
			p := &d.Principals[i]
			if slices.ContainsFunc(p.Owners, func(o authz.Principal) bool { return all[name(o)] }) {
				add(name(p.Principal))
			}
		}
	}
	return all
}

func decides(d *snapshot.Tenant, as map[string]bool, permission, scope string, at int64) bool {
	speaks := func(level string, effect authz.AssignmentEffect) bool {
		return slices.ContainsFunc(d.RoleAssignments, func(a snapshot.RoleAssignment) bool {
			return string(a.Scope) == level && a.Effect == effect && as[name(a.Principal)] && (a.Expires == 0 || at < a.Expires) && covers(d, a.RoleDefinitionID, permission)
		})
	}
	chain := chainOf(d, scope)
	if slices.ContainsFunc(chain, func(level string) bool { return speaks(level, authz.AssignForbid) }) {
		return false
	}
	for _, level := range chain {
		if speaks(level, authz.AssignDeny) {
			return false
		}
		if speaks(level, authz.AssignAllow) {
			return true
		}
	}
	return false
}

type held struct {
	permission, scope string
	at                int64
}

// probedTimes are an hour from the start of the tests on, and in 2096, when what expires has.
var probedTimes = []int64{time.Now().Unix() + 3600, 4_000_000_000}

func holds(d *snapshot.Tenant, who string) map[held]bool {
	found := map[held]bool{}
	for self := range actsAs(d, who) {
		as := belongs(d, self)
		for _, permission := range probes {
			for _, scope := range probedScopes {
				for _, at := range probedTimes {
					if decides(d, as, permission, scope, at) {
						found[held{permission, scope, at}] = true
					}
				}
			}
		}
	}
	return found
}

// A walker draws calls that change something.
type walker struct{ *rand.Rand }

func (w walker) one(from ...string) string { return from[w.IntN(len(from))] }

func (w walker) principal(pair []string) string {
	if w.IntN(3) > 0 {
		return user(w.one(pair...))
	}
	return w.one(app("robot"), app("butler"), group("local"), group("staff"), group("new"), user("x"))
}

func (w walker) call(pair []string, d *snapshot.Tenant) (string, string) {
	role := w.one(ownerRole, contributorRole, rbacRole, "Power Platform Reader", "envadmin", "unused")
	environment := w.one("e1", "e2", "e3", "e9")
	switch w.IntN(20) {
	case 0, 1, 2, 3, 4:
		more := []string{`"effect":` + w.one("1", "1", "1", "2", "3")}
		if w.IntN(3) == 0 {
			more = append(more, `"expiresTime":"2090-01-01T00:00:00Z"`)
		}
		return "CreateRoleAssignment", assign(w.principal(pair), role, w.one(probedScopes...), more...)
	case 5, 6, 7:
		return "DeleteRoleAssignment", `{"id":"` + d.RoleAssignments[w.IntN(len(d.RoleAssignments))].ID + `"}`
	case 8, 9:
		return "AddGroupMembers", members(w.one("local", "staff", "new"), w.principal(pair))
	case 10:
		return "RemoveGroupMembers", members(w.one("local", "staff", "new"), w.principal(pair))
	case 11, 12:
		return "PutGroup", `{"group":{"id":"` + w.one("local", "staff", "new") + `","owners":[` + w.principal(pair) + `]},"ifMatch":"` + w.one("*", "") + `"}`
	case 13:
		return "DeleteGroup", `{"id":"` + w.one("local", "staff", "new") + `","ifMatch":"*"}`
	case 14:
		return "PutPrincipal", `{"principal":{"principal":` + w.one(app("robot"), app("butler")) + `,"owners":[` + w.principal(pair) + `]},"ifMatch":"*"}`
	case 15:
		return "PutEnvironment", `{"environment":{"id":"` + environment + `","environmentGroup":"` + w.one("", "g1", "g2") + `"},"ifMatch":"` + w.one("*", "") + `"}`
	case 16:
		return "DeleteEnvironment", `{"id":"` + environment + `","ifMatch":"*"}`
	case 17:
		return w.one("CreateEnvironmentGroup", "DeleteEnvironmentGroup"), `{"id":"` + w.one("g1", "g2", "g9") + `"}`
	case 18:
		return "UpdateRoleDefinition", `{"roleDefinition":{"id":"` + w.one("unused", "envadmin") + `","name":"Other","permissions":["*"],"assignableScopes":["/tenants/{0}"]},"ifMatch":"*"}`
	default:
		return w.one("BreakGlass", "Bootstrap"), `{"tenant":"t1","principal":` + user(w.one(pair...)) + `,"justification":"x"}`
	}
}

// administered gives those who administer an environment a role that can hand out any other.
func administered(text string) string {
	text = strings.ReplaceAll(text, "roleDefinitionName: Environment Admin,", "roleDefinitionId: envadmin,")
	return strings.Replace(text, "    roleDefinitions:\n", `    roleDefinitions:
      - roleDefinitionId: envadmin
        roleDefinitionName: Administrator of an environment
        permissions: ["*.Read", EnvironmentManagement.*, PowerApps.*, PowerAutomate.*, Connectivity.*, Authorization.RoleAssignments.Write, Authorization.RoleAssignments.Delete]
        assignableScopes: ["/tenants/{0}/environments/{1}"]
`, 1)
}

// colluding is the company with an application of much power that a group of one environment owns.
var colluding = strings.Replace(administered(with("principalType: ApplicationUser, principalObjectId: butler, roleDefinitionName: "+ownerRole+", scope: /tenants/t1")),
	"    groups:\n", "      - {principalType: ApplicationUser, principalObjectId: butler, owners: [{principalType: Group, principalObjectId: local}]}\n    groups:\n", 1)

// Two insiders make random changes in turn, whatever either may. Neither ends with anything
// outside the environments that they administer that it did not hold; nor, where they
// may give what they hold alone, with anything anywhere that neither of them held.
func TestTwoInsidersTogetherGainNothing(t *testing.T) {
	const walks, depth, tries = 30, 4, 40
	for _, c := range []struct {
		name      string
		pair      []string
		inside    []string // what they administer
		allInside bool     // whether they hold all there is inside, together
	}{
		{"a Contributor and an administrator of an environment", []string{"contributor", "envadmin"}, []string{"/environments/e1"}, true},
		{"two administrators of environments", []string{"envadmin", "envadmin2"}, []string{"/environments/e1", "/environments/e2"}, false},
		{"a reader and an RBAC administrator of an environment", []string{"reader", "rbac1"}, []string{"/environments/e1"}, false},
	} {
		for _, strict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, strict %v", c.name, strict), func(t *testing.T) {
				o := open(t, colluding, func(o *admin.Options) {
					if strict {
						o.Escalation = admin.PolicyDeny
					}
				})
				tokens := map[string]string{}
				for _, who := range c.pair {
					tokens[who] = o.credentials(who)
				}
				start := o.export().Tenants[0]
				own, union := map[string]map[held]bool{}, map[held]bool{}
				for _, who := range c.pair {
					own[who] = holds(&start, who)
					for h := range own[who] {
						union[h] = true
					}
				}
				done, gained := 0, 0
				for seed := range uint64(walks) {
					w := walker{rand.New(rand.NewPCG(seed, 12))}
					if _, err := o.store.Replace(t.Context(), parse(t, colluding), snapshot.Change{Source: "test"}); err != nil {
						t.Fatal(err)
					}
					now := o.export().Tenants[0]
					var made []string
					for try := 0; try < tries && len(made) < depth; try++ {
						who := w.one(c.pair...)
						method, request := w.call(c.pair, &now)
						if _, err := o.callWith(tokens[who], method, request); err != nil {
							if got := outcome(err); got == "Internal" || got == "INTERNAL" {
								t.Fatalf("%s %s: %v", method, request, err)
							}
							continue
						}
						made = append(made, who+": "+method+" "+request)
						now = o.export().Tenants[0]
					}
					done += len(made)
					for _, who := range c.pair {
						for h := range holds(&now, who) {
							if own[who][h] {
								continue
							}
							gained++
							inside := slices.ContainsFunc(c.inside, func(at string) bool { return strings.Contains(h.scope, at) })
							if !inside || (strict || c.allInside) && !union[h] {
								t.Fatalf("seed %d: %s has come to hold %v by\n%s", seed, who, h, strings.Join(made, "\n"))
							}
						}
					}
				}
				t.Logf("%d changes were made; %d things were given inside what they administer", done, gained)
				if done < walks || gained == 0 {
					t.Errorf("%d changes were made and %d things given: too few to mean anything", done, gained)
				}
			})
		}
	}
}
