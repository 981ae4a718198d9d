package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

// The size of the world.
const (
	users             = 1000
	environments      = 200
	environmentGroups = 10  // of environments/environmentGroups environments each
	groups            = 100 // of users/groups users each
	allowsPerUser     = 8
	environmentsOfOne = 10 // what each group of users holds
	bodies            = 1024
	tenantID          = "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"
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

// A world is who holds what. The harness keeps a record of its own, at, from which it
// works out what must be allowed; it shares nothing with Pathgrant.
type world struct {
	assignments []assignment
	at          map[string]map[string]held // by user or group, then by place
}

// held is what somebody holds at one place.
type held struct{ reads, changes, denied bool }

func userID(i int) string  { return fmt.Sprintf("5a3e0000-0000-4000-8000-%012x", i) }
func groupID(i int) string { return fmt.Sprintf("96070000-0000-4000-8000-%012x", i) }
func envID(i int) string   { return fmt.Sprintf("e4710000-0000-4000-8000-%012x", i) }

// envGroup is the group that an environment is in, groupOf that of a user.
func envGroup(env int) int { return env % environmentGroups }
func groupOf(user int) int { return user % groups }

func envPlace(i int) string      { return "/environments/" + envID(i) }
func envGroupPlace(i int) string { return "/environmentGroups/region-" + strconv.Itoa(i) }

// newWorld hands out 10,000 assignments: to each user eight at environments and groups of
// environments, and a DENY at one environment; to each group of users ten.
func newWorld() *world {
	w := &world{at: map[string]map[string]held{}}
	random := rand.New(rand.NewPCG(1, 2)) // the same world in every run
	for user := range users {
		envs := random.Perm(environments)
		for i := range allowsPerUser {
			role := reader
			if i%2 == 1 {
				role = contributor
			}
			place := envPlace(envs[i])
			if i == 0 {
				place = envGroupPlace(envGroup(envs[i]))
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
	for group := range groups {
		for _, env := range random.Perm(environments)[:environmentsOfOne] {
			w.give("Group", groupID(group), reader, envPlace(env), "")
		}
	}
	return w
}

func (w *world) give(principalType, principal, role, place, effect string) {
	w.assignments = append(w.assignments, assignment{principalType, principal, role, "/tenants/" + tenantID + place, effect})
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

// expect says what must become of a request of a user: GRANTED, OVERRIDDEN or
// NO_ASSIGNMENT. The nearest place that speaks decides, and a DENY wins there.
func (w *world) expect(user, env int, changes bool) string {
	for _, place := range []string{envPlace(env), envGroupPlace(envGroup(env)), ""} {
		mine, ours := w.at[userID(user)][place], w.at[groupID(groupOf(user))][place]
		switch {
		case mine.denied || ours.denied:
			return "OVERRIDDEN"
		case !changes && (mine.reads || ours.reads), changes && (mine.changes || ours.changes):
			return "GRANTED"
		}
	}
	return "NO_ASSIGNMENT"
}

// bundle writes the world as a bundle in JSON.
func (w *world) bundle() ([]byte, error) {
	type object map[string]any
	var environmentGroupList, groupList []object
	for i := range environmentGroups {
		var in []string
		for env := range environments {
			if envGroup(env) == i {
				in = append(in, envID(env))
			}
		}
		environmentGroupList = append(environmentGroupList, object{"id": "region-" + strconv.Itoa(i), "environments": in})
	}
	for i := range groups {
		var members []object
		for user := range users {
			if groupOf(user) == i {
				members = append(members, object{"principalType": "User", "principalObjectId": userID(user)})
			}
		}
		groupList = append(groupList, object{"id": groupID(i), "members": members})
	}
	return json.Marshal(object{"apiVersion": "pathgrant/v1", "tenants": []object{{
		"id": tenantID, "environmentGroups": environmentGroupList, "groups": groupList, "roleAssignments": w.assignments,
	}}})
}

// A request is a check and what must be answered.
type request struct {
	body   []byte // a CheckRequest
	reason string // GRANTED, or why it must be refused
}

// questions are what somebody can ask for in an environment.
var questions = []struct {
	method  string
	changes bool
	path    string // below the environment
}{
	{"GET", false, "/apps"},
	{"GET", false, "/apps/9b1f4e5c-33f4-4a0e-8a43-6a4b5f0f1c11"},
	{"PATCH", true, "/apps/9b1f4e5c-33f4-4a0e-8a43-6a4b5f0f1c11"},
	{"POST", true, "/apps"},
	{"POST", true, "/apps/9b1f4e5c-33f4-4a0e-8a43-6a4b5f0f1c11/play"},
	{"DELETE", true, "/apps/9b1f4e5c-33f4-4a0e-8a43-6a4b5f0f1c11"},
}

// requests makes the bodies, half of them to be refused, in random order. Every user asks
// at least once.
func (w *world) requests(issuer *pgtest.Issuer) ([]request, error) {
	random := rand.New(rand.NewPCG(3, 4))
	requests := make([]request, 0, bodies)
	for i := range bodies {
		user := i % users
		token, err := issuer.Token(pgtest.UserClaims(tenantID, userID(user)).
			With("name", "A User With a Name").With("scp", "user_impersonation").With("ver", "2.0").
			With("appid", "0f2c4a7e-6a54-4b57-9f4b-0d2f3c1b7a55"))
		if err != nil {
			return nil, err
		}
		want := i%2 == 0
		for {
			env, q := random.IntN(environments), questions[random.IntN(len(questions))]
			if len(w.at[userID(user)]) > 0 && random.IntN(2) == 0 { // where the user holds something: mostly for OVERRIDDEN
				env = w.somewhere(random, user)
			}
			reason := w.expect(user, env, q.changes)
			if (reason == "GRANTED") != want {
				continue
			}
			body, err := proto.Marshal(check(token, q.method, "/powerapps"+envPlace(env)+q.path+"?api-version=2024-10-01", i))
			if err != nil {
				return nil, err
			}
			requests = append(requests, request{body: body, reason: reason})
			break
		}
	}
	random.Shuffle(len(requests), func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
	return requests, nil
}

// somewhere returns an environment at which the user holds or is denied something.
func (w *world) somewhere(random *rand.Rand, user int) int {
	for {
		env := random.IntN(environments)
		if _, ok := w.at[userID(user)][envPlace(env)]; ok {
			return env
		}
	}
}

// check is a request as Envoy sends it, with the headers of an ordinary client.
func check(token, method, path string, i int) *authv3.CheckRequest {
	const host = "api.powerplatform.com"
	id := fmt.Sprintf("%08x-1b2c-4d3e-9f40-5a6b7c8d9e0f", i)
	var headers []*corev3.HeaderValue
	for _, header := range [][2]string{
		{":authority", host}, {":method", method}, {":path", path}, {":scheme", "https"},
		{"accept", "application/json, text/plain, */*"}, {"accept-encoding", "gzip, deflate, br"},
		{"authorization", "Bearer " + token}, {"content-type", "application/json"},
		{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		{"x-envoy-internal", "true"}, {"x-forwarded-for", "10.12.4.77"}, {"x-forwarded-proto", "https"},
		{"x-ms-client-request-id", id}, {"x-request-id", id},
	} {
		headers = append(headers, &corev3.HeaderValue{Key: header[0], RawValue: []byte(header[1])})
	}
	peer := func(address string, port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}},
		}}}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peer("10.12.4.77", 51034), Destination: peer("10.12.8.3", 10000),
		Request: &authv3.AttributeContext_Request{
			Time: timestamppb.New(time.Unix(1790000000, 123456000)),
			Http: &authv3.AttributeContext_HttpRequest{
				Id: id, Method: method, Path: path, Host: host, Scheme: "https", Protocol: "HTTP/2",
				HeaderMap: &corev3.HeaderMap{Headers: headers},
			},
		},
		MetadataContext: &corev3.Metadata{}, RouteMetadataContext: &corev3.Metadata{},
	}}
}

func averageSize(requests []request) int {
	sum := 0
	for _, r := range requests {
		sum += len(r.body)
	}
	return sum / len(requests)
}

func refused(requests []request) int {
	n := 0
	for _, r := range requests {
		if r.reason != granted {
			n++
		}
	}
	return n
}

const granted = "GRANTED"
