package cerbosapi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	effectv1 "github.com/cerbos/cerbos/api/genpb/cerbos/effect/v1"
	requestv1 "github.com/cerbos/cerbos/api/genpb/cerbos/request/v1"
	responsev1 "github.com/cerbos/cerbos/api/genpb/cerbos/response/v1"

	"github.com/pathgrant/pathgrant/bench/peers/world"
	"github.com/pathgrant/pathgrant/bench/peers/worldtest"
)

func calls(t *testing.T, mode Mode) []*requestv1.CheckResourcesRequest {
	t.Helper()
	messages, err := Requests(worldtest.World(), mode)
	if err != nil {
		t.Fatal(err)
	}
	var all []*requestv1.CheckResourcesRequest
	for _, message := range messages {
		call := new(requestv1.CheckResourcesRequest)
		if err := proto.Unmarshal(message, call); err != nil {
			t.Fatal(err)
		}
		all = append(all, call)
	}
	return all
}

func TestRolesThatWereTakenAwayAreNotGiven(t *testing.T) {
	want := [][]string{
		{"power-platform-contributor"}, // ada in e1: the group's DENY comes after it
		{"power-platform-contributor"},
		{"nobody"}, // ada in e2
		{"power-platform-reader"},
		{"power-platform-reader"},
		{"nobody"}, // bob in e1
		{"power-platform-reader"},
		{"power-platform-contributor", "power-platform-reader"}, // bob creates in e3
		{"nobody"},
	}
	var got [][]string
	for _, call := range calls(t, RolesGiven) {
		got = append(got, call.GetPrincipal().GetRoles())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAssignmentsOfTheUserAndItsGroupsAreSent(t *testing.T) {
	call := calls(t, SameWork)[0]
	sent := call.GetPrincipal().GetAttr()["assignments"].GetListValue().GetValues()
	if len(sent) != 5 || len(call.GetPrincipal().GetRoles()) != 1 {
		t.Errorf("%d assignments, roles %v: ada has three and staff two", len(sent), call.GetPrincipal().GetRoles())
	}
	first := sent[0].GetStructValue().AsMap()
	want := map[string]any{"role": "power-platform-reader", "scope": "/tenants/t1/environmentGroups/g1", "effect": "ALLOW"}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
}

func TestAnAnswerIsComparedWithWhatItMustBe(t *testing.T) {
	answer := func(action string, effect effectv1.Effect) []byte {
		message, err := proto.Marshal(&responsev1.CheckResourcesResponse{Results: []*responsev1.CheckResourcesResponse_ResultEntry{{
			Actions: map[string]effectv1.Effect{action: effect},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return message
	}
	for name, test := range map[string]struct {
		reason  string
		message []byte
		ok      bool
	}{
		"allowed":         {world.Granted, answer("Read", effectv1.Effect_EFFECT_ALLOW), true},
		"denied":          {world.Overridden, answer("Read", effectv1.Effect_EFFECT_DENY), true},
		"wrongly allowed": {world.NoAssignment, answer("Read", effectv1.Effect_EFFECT_ALLOW), false},
		"wrongly denied":  {world.Granted, answer("Read", effectv1.Effect_EFFECT_DENY), false},
		"another action":  {world.Overridden, answer("Create", effectv1.Effect_EFFECT_DENY), false},
		"no match":        {world.Overridden, answer("Read", effectv1.Effect_EFFECT_NO_MATCH), false},
		"empty":           {world.Overridden, nil, false},
		"no protobuf":     {world.Overridden, []byte{0xFF}, false},
	} {
		err := Verify(world.Request{Permission: "PowerApps.Apps.Read", Reason: test.reason}, test.message)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPoliciesAreWritten(t *testing.T) {
	dir := t.TempDir()
	config, err := Write(worldtest.World(), SameWork, dir, "/run/cerbos.sock")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(config); err != nil || !json.Valid(text) {
		t.Errorf("%s: %v", text, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "policies", "powerapps_apps.json"))
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		ResourcePolicy struct {
			Rules []struct {
				Actions []string
				Roles   []string
			}
		}
	}
	if err := json.Unmarshal(text, &policy); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range policy.ResourcePolicy.Rules {
		for _, action := range r.Actions {
			seen[action]++
		}
	}
	for _, action := range []string{"Read", "Create", "Update", "Delete", "Play"} {
		if seen[action] != 1 {
			t.Errorf("%s is in %d rules, want one", action, seen[action])
		}
	}
}
