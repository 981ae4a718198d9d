package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// A size says how large a world is. Everybody holds the same number of things, so that
// assignments grow with users and groups.
type size struct {
	users             int
	environments      int
	environmentGroups int // of environments/environmentGroups environments each
	groups            int // of users/groups users each
}

// The worlds: small is what servers are measured with, 10,000 assignments; large is what
// is measured in process, 100,000.
var (
	small = size{users: 1000, environments: 200, environmentGroups: 10, groups: 100}
	large = size{users: 10_000, environments: 1000, environmentGroups: 50, groups: 1000}
)

const (
	allowsPerUser     = 8
	environmentsOfOne = 10 // what each group of users holds
	bodies            = 1024
	tenantID          = "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"
	tenantPlace       = "/tenants/" + tenantID
)

// An assignment as the harness hands it out.
type assignment struct {
	PrincipalType string `json:"principalType"`
	Principal     string `json:"principalObjectId"`
	Role          string `json:"roleDefinitionName"`
	Scope         string `json:"scope"`
	Effect        string `json:"effect,omitempty"`
}

// The roles that are handed out, and the methods that each is good for.
const (
	reader      = "Power Platform Reader"
	contributor = "Power Platform Contributor"
)

// What becomes of a request.
const (
	granted      = "GRANTED"
	overridden   = "OVERRIDDEN"
	noAssignment = "NO_ASSIGNMENT"
)

// A world is who holds what. The harness keeps a record of its own, at, from which it
// works out what must be allowed; it shares nothing with Pathgrant.
type world struct {
	size
	assignments []assignment
	at          map[string]map[string]held // by user or group, then by place
}

// held is what somebody holds at one place.
type held struct{ reads, changes, denied bool }

func userID(i int) string  { return fmt.Sprintf("5a3e0000-0000-4000-8000-%012x", i) }
func groupID(i int) string { return fmt.Sprintf("96070000-0000-4000-8000-%012x", i) }
func envID(i int) string   { return fmt.Sprintf("e4710000-0000-4000-8000-%012x", i) }
func envGroupID(i int) string {
	return "region-" + strconv.Itoa(i)
}

// envGroup is the group that an environment is in, groupOf that of a user.
func (s size) envGroup(env int) int { return env % s.environmentGroups }
func (s size) groupOf(user int) int { return user % s.groups }

func envPlace(i int) string      { return "/environments/" + envID(i) }
func envGroupPlace(i int) string { return "/environmentGroups/" + envGroupID(i) }

// newWorld hands out ten assignments for each user: to the user eight at environments and
// groups of environments, and a DENY at one environment; to each group of users ten. It is
// the same world in every run.
func newWorld(s size) *world {
	w := &world{size: s, at: map[string]map[string]held{}}
	random := rand.New(rand.NewPCG(1, 2))
	for user := range s.users {
		envs := random.Perm(s.environments)
		for i := range allowsPerUser {
			role := reader
			if i%2 == 1 {
				role = contributor
			}
			place := envPlace(envs[i])
			if i == 0 {
				place = envGroupPlace(s.envGroup(envs[i]))
			}
			w.give("User", userID(user), role, place, "")
		}
		// Half of the DENYs are where the user would otherwise inherit something.
		denied := envs[allowsPerUser]
		if user%2 == 0 {
			denied = envs[0]
		}
		w.give("User", userID(user), contributor, envPlace(denied), "DENY")
	}
	for group := range s.groups {
		for _, env := range random.Perm(s.environments)[:environmentsOfOne] {
			w.give("Group", groupID(group), reader, envPlace(env), "")
		}
	}
	return w
}

func (w *world) give(principalType, principal, role, place, effect string) {
	w.assignments = append(w.assignments, assignment{principalType, principal, role, tenantPlace + place, effect})
	if w.at[principal] == nil {
		w.at[principal] = map[string]held{}
	}
	h := w.at[principal][place]
	if effect == "DENY" {
		h.denied = true // of the contributor's role, which covers all that is asked here
	} else {
		h.reads = true
		h.changes = h.changes || role == contributor
	}
	w.at[principal][place] = h
}

// expect says what must become of a request of a user. The nearest place that speaks
// decides, and a DENY wins there.
func (w *world) expect(user, env int, changes bool) string {
	for _, place := range []string{envPlace(env), envGroupPlace(w.envGroup(env)), ""} {
		mine, ours := w.at[userID(user)][place], w.at[groupID(w.groupOf(user))][place]
		switch {
		case mine.denied || ours.denied:
			return overridden
		case !changes && (mine.reads || ours.reads), changes && (mine.changes || ours.changes):
			return granted
		}
	}
	return noAssignment
}

// environmentsIn lists those in a group of environments.
func (s size) environmentsIn(group int) []string {
	var in []string
	for env := range s.environments {
		if s.envGroup(env) == group {
			in = append(in, envID(env))
		}
	}
	return in
}

// usersIn lists those in a group of users.
func (s size) usersIn(group int) []string {
	var in []string
	for user := range s.users {
		if s.groupOf(user) == group {
			in = append(in, userID(user))
		}
	}
	return in
}

// bundle writes the world as a bundle in JSON.
func (w *world) bundle() ([]byte, error) {
	type object map[string]any
	var environmentGroupList, groupList []object
	for i := range w.environmentGroups {
		environmentGroupList = append(environmentGroupList, object{"id": envGroupID(i), "environments": w.environmentsIn(i)})
	}
	for i := range w.groups {
		var members []object
		for _, user := range w.usersIn(i) {
			members = append(members, object{"principalType": "User", "principalObjectId": user})
		}
		groupList = append(groupList, object{"id": groupID(i), "members": members})
	}
	return json.Marshal(object{"apiVersion": "pathgrant/v1", "tenants": []object{{
		"id": tenantID, "environmentGroups": environmentGroupList, "groups": groupList, "roleAssignments": w.assignments,
	}}})
}

// questions are what somebody can ask for in an environment.
var questions = []struct {
	method     string
	changes    bool
	path       string // below the environment
	permission string
	below      string // what the permission is asked at, below the environment
}{
	{"GET", false, "/apps", "PowerApps.Apps.Read", ""},
	{"GET", false, "/apps/" + appID, "PowerApps.Apps.Read", "/powerapps/" + appID},
	{"PATCH", true, "/apps/" + appID, "PowerApps.Apps.Update", "/powerapps/" + appID},
	{"POST", true, "/apps", "PowerApps.Apps.Create", ""},
	{"POST", true, "/apps/" + appID + "/play", "PowerApps.Apps.Play", "/powerapps/" + appID},
	{"DELETE", true, "/apps/" + appID, "PowerApps.Apps.Delete", "/powerapps/" + appID},
}

const appID = "9b1f4e5c-33f4-4a0e-8a43-6a4b5f0f1c11"

// A question is something that a user asks for, and what must become of it.
type question struct {
	user, env int
	kind      int // index into questions
	reason    string
}

func (q question) method() string { return questions[q.kind].method }

// path is what is asked for, with a query.
func (q question) path() string {
	return "/powerapps" + envPlace(q.env) + questions[q.kind].path + "?api-version=2024-10-01"
}

// questions asks so many, half of them to be refused, in random order. Every user of the
// small world asks at least once.
func (w *world) questions() []question {
	random := rand.New(rand.NewPCG(3, 4))
	asked := make([]question, 0, bodies)
	for i := range bodies {
		user := i % w.users
		want := i%2 == 0
		for {
			q := question{user: user, env: random.IntN(w.environments), kind: random.IntN(len(questions))}
			if random.IntN(2) == 0 { // where the user holds something: mostly for OVERRIDDEN
				q.env = w.somewhere(random, user)
			}
			q.reason = w.expect(user, q.env, questions[q.kind].changes)
			if (q.reason == granted) == want {
				asked = append(asked, q)
				break
			}
		}
	}
	random.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
	return asked
}

// somewhere returns an environment at which the user holds or is denied something.
func (w *world) somewhere(random *rand.Rand, user int) int {
	for {
		env := random.IntN(w.environments)
		if _, ok := w.at[userID(user)][envPlace(env)]; ok {
			return env
		}
	}
}

func refused(asked []question) int {
	n := 0
	for _, q := range asked {
		if q.reason != granted {
			n++
		}
	}
	return n
}
