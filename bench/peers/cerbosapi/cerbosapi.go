// Package cerbosapi puts the same rules and the same requests to Cerbos: its policies and
// settings as files for its own server, and calls of its own CheckResources, encoded
// beforehand, with the answers that they must get.
//
// Cerbos keeps no assignments; whoever calls it says what the caller holds. There are two
// ways to do that, and both are measured: see [Mode].
package cerbosapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	effectv1 "github.com/cerbos/cerbos/api/genpb/cerbos/effect/v1"
	enginev1 "github.com/cerbos/cerbos/api/genpb/cerbos/engine/v1"
	requestv1 "github.com/cerbos/cerbos/api/genpb/cerbos/request/v1"
	responsev1 "github.com/cerbos/cerbos/api/genpb/cerbos/response/v1"
	svcv1 "github.com/cerbos/cerbos/api/genpb/cerbos/svc/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pathgrant/pathgrant/bench/peers/world"
)

// Method is the call.
const Method = svcv1.CerbosService_CheckResources_FullMethodName

// A Mode is who works out which roles count.
type Mode string

// The modes.
const (
	// RolesGiven leaves all of it to the caller, who sends the roles that are left to the
	// subject in the environment after everything that was taken away: Cerbos compares
	// roles and actions, and that is all.
	RolesGiven Mode = "roles-given"
	// SameWork sends the assignments that Pathgrant finds for the subject, as they are, and
	// Cerbos' policies work out what they come to.
	SameWork Mode = "same-work"
	// SameWorkKeyed is SameWork with the assignments sorted by the caller into maps from
	// scopes to roles, so that no policy has to search them.
	SameWorkKeyed Mode = "same-work-keyed"
)

// nobody is the role of those who have none, because Cerbos wants one.
const nobody = "nobody"

// everybody is the role of all where roles are worked out.
const everybody = "user"

// Write writes the server's settings and policies into a directory, and returns the
// settings' file. The server listens on the unix socket given.
func Write(w *world.World, mode Mode, dir, socket string) (string, error) {
	used, err := world.Roles(world.ShippedRoles())
	if err != nil {
		return "", err
	}
	policies := filepath.Join(dir, "policies")
	if err := os.MkdirAll(policies, 0o755); err != nil {
		return "", err
	}
	for kind, rules := range rulesOf(used, mode) {
		text, err := json.MarshalIndent(map[string]any{
			"apiVersion":     "api.cerbos.dev/v1",
			"resourcePolicy": map[string]any{"version": "default", "resource": kind, "rules": rules},
		}, "", "  ")
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(policies, kind+".json"), text, 0o644); err != nil {
			return "", err
		}
	}
	text, err := json.MarshalIndent(map[string]any{
		"server": map[string]any{
			"grpcListenAddr": "unix:" + socket, "httpListenAddr": "unix:" + socket + ".http",
			"metricsEnabled": false, "apiExplorerEnabled": false,
		},
		"storage":   map[string]any{"driver": "disk", "disk": map[string]any{"directory": policies, "watchForChanges": false}},
		"telemetry": map[string]any{"disabled": true},
		"audit":     map[string]any{"enabled": false},
		"schema":    map[string]any{"enforcement": "none"},
	}, "", "  ")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "config.json")
	return file, os.WriteFile(file, text, 0o644)
}

// kindAndAction parts a permission: one policy stands for one type of resource.
func kindAndAction(permission string) (kind, action string) {
	at := strings.LastIndexByte(permission, '.')
	return strings.ToLower(strings.ReplaceAll(permission[:at], ".", "_")), permission[at+1:]
}

type rule struct {
	Actions   []string       `json:"actions"`
	Effect    string         `json:"effect"`
	Roles     []string       `json:"roles"`
	Condition map[string]any `json:"condition,omitempty"`
}

// rulesOf gives each kind of resource one rule for all of its actions that the same roles
// grant and the same roles, denied, take away.
func rulesOf(roles []world.Role, mode Mode) map[string][]rule {
	grants, takes := map[string][]string{}, map[string][]string{}
	for _, role := range roles {
		for _, permission := range role.Grants {
			grants[permission] = append(grants[permission], name(role.Name))
		}
		for _, permission := range role.Takes {
			takes[permission] = append(takes[permission], name(role.Name))
		}
	}
	classes := map[string]map[string][]string{} // by kind and who matters: the actions
	for permission := range grants {
		kind, action := kindAndAction(permission)
		if classes[kind] == nil {
			classes[kind] = map[string][]string{}
		}
		class := strings.Join(grants[permission], ",") + "|" + strings.Join(takes[permission], ",")
		classes[kind][class] = append(classes[kind][class], action)
	}
	rules := map[string][]rule{}
	for kind, of := range classes {
		for _, class := range slices.Sorted(maps.Keys(of)) {
			slices.Sort(of[class])
			granting, taking, _ := strings.Cut(class, "|")
			r := rule{Actions: of[class], Effect: "EFFECT_ALLOW", Roles: strings.Split(granting, ",")}
			if mode != RolesGiven {
				r.Roles = []string{everybody}
				r.Condition = map[string]any{"match": map[string]any{"expr": condition(mode, granting, taking)}}
			}
			rules[kind] = append(rules[kind], r)
		}
	}
	return rules
}

// condition is the rule in CEL: nearest scope first, where a DENY beats an ALLOW.
func condition(mode Mode, granting, taking string) string {
	list := func(roles string) string { return `["` + strings.ReplaceAll(roles, ",", `", "`) + `"]` }
	at := func(level, effect, roles string) string {
		if mode == SameWorkKeyed {
			return fmt.Sprintf("(R.attr.%s in P.attr.%s && hasIntersection(P.attr.%s[R.attr.%s], %s))", level, effect, effect, level, list(roles))
		}
		return fmt.Sprintf("P.attr.assignments.exists(a, a.scope == R.attr.%s && a.effect == %q && a.role in %s)", level, effect, list(roles))
	}
	expr := "false"
	for _, level := range []string{"tenant", "group", "environment"} {
		expr = fmt.Sprintf("%s ? false : %s ? true : (%s)", at(level, "DENY", taking), at(level, "ALLOW", granting), expr)
	}
	return expr
}

// name is a role's name in Cerbos.
func name(role string) string { return strings.ToLower(strings.ReplaceAll(role, " ", "-")) }

// Requests encodes the calls of all requests.
func Requests(w *world.World, mode Mode) ([][]byte, error) {
	roles, err := world.Roles(world.ShippedRoles())
	if err != nil {
		return nil, err
	}
	takes := map[string]map[string]bool{} // by role and permission
	for _, role := range roles {
		takes[role.Name] = map[string]bool{}
		for _, permission := range role.Takes {
			takes[role.Name][permission] = true
		}
	}
	holds := map[string][]world.Assignment{}
	for _, a := range w.Assignments {
		holds[a.Principal] = append(holds[a.Principal], a)
	}
	chains, groupsOf := w.Chains(), w.GroupsOf()
	var all [][]byte
	for i, r := range w.Requests {
		chain := chains[w.EnvironmentScope(r.Environment)]
		if len(chain) != 3 {
			return nil, fmt.Errorf("environment %s is in no group, which these policies do not provide for", r.Environment)
		}
		mine := holds[r.User]
		for _, group := range groupsOf[r.User] {
			mine = append(mine[:len(mine):len(mine)], holds[group]...)
		}
		kind, action := kindAndAction(r.Permission)
		call := &requestv1.CheckResourcesRequest{
			RequestId: fmt.Sprint(i),
			Principal: &enginev1.Principal{Id: r.User},
			Resources: []*requestv1.CheckResourcesRequest_ResourceEntry{{
				Actions: []string{action}, Resource: &enginev1.Resource{Kind: kind, Id: r.Scope},
			}},
		}
		if mode == RolesGiven {
			call.Principal.Roles = left(mine, chain, func(role string) bool { return takes[role][r.Permission] })
		} else {
			call.Principal.Roles = []string{everybody}
			if call.Principal.Attr, err = attributes(mode, mine); err != nil {
				return nil, err
			}
			call.Resources[0].Resource.Attr = map[string]*structpb.Value{
				"environment": structpb.NewStringValue(chain[0]),
				"group":       structpb.NewStringValue(chain[1]),
				"tenant":      structpb.NewStringValue(chain[2]),
			}
		}
		message, err := proto.Marshal(call)
		if err != nil {
			return nil, err
		}
		all = append(all, message)
	}
	return all, nil
}

// left gives the roles that the assignments leave to their holder: those from the nearest
// scope outwards, up to the first at which what is asked for is taken away.
func left(mine []world.Assignment, chain []string, takes func(role string) bool) []string {
	var roles []string
	for _, scope := range chain {
		var here []string
		for _, a := range mine {
			switch {
			case a.Scope != scope:
			case a.Denies() && takes(a.Role):
				return orNobody(roles)
			case !a.Denies() && !slices.Contains(roles, name(a.Role)):
				here = append(here, name(a.Role))
			}
		}
		roles = append(roles, here...)
	}
	return orNobody(roles)
}

func orNobody(roles []string) []string {
	if len(roles) == 0 {
		return []string{nobody}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

// attributes are the assignments.
func attributes(mode Mode, mine []world.Assignment) (map[string]*structpb.Value, error) {
	keyed := map[string]map[string]any{"ALLOW": {}, "DENY": {}}
	var listed []any
	for _, a := range mine {
		effect := "ALLOW"
		if a.Denies() {
			effect = "DENY"
		}
		listed = append(listed, map[string]any{"role": name(a.Role), "scope": a.Scope, "effect": effect})
		roles, _ := keyed[effect][a.Scope].([]any)
		keyed[effect][a.Scope] = append(roles, name(a.Role))
	}
	attributes := map[string]any{"assignments": listed}
	if mode == SameWorkKeyed {
		attributes = map[string]any{"ALLOW": keyed["ALLOW"], "DENY": keyed["DENY"]}
	}
	s, err := structpb.NewStruct(attributes)
	return s.GetFields(), err
}

// Verify compares an answer with what must be answered to a request of the world.
func Verify(request world.Request, message []byte) error {
	var answer responsev1.CheckResourcesResponse
	if err := proto.Unmarshal(message, &answer); err != nil {
		return err
	}
	if len(answer.GetResults()) != 1 || len(answer.GetResults()[0].GetValidationErrors()) != 0 {
		return errors.New("the answer has not the one result that was asked for")
	}
	_, action := kindAndAction(request.Permission)
	want := effectv1.Effect_EFFECT_DENY
	if request.Reason == world.Granted {
		want = effectv1.Effect_EFFECT_ALLOW
	}
	if got := answer.GetResults()[0].GetActions()[action]; got != want {
		return fmt.Errorf("%s by %s at %s: answered %s, want %s", request.Permission, request.User, request.Scope, got, want)
	}
	return nil
}
