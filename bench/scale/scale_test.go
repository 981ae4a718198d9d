package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// The bundle says what the world says, and a principal has one role at one scope once.
func TestTheBundleIsTheWorld(t *testing.T) {
	for _, n := range []int{minSize, 12_345, 100_000} {
		w := newWorld(n)
		var b bytes.Buffer
		if err := w.write(&b); err != nil {
			t.Fatal(err)
		}
		var bundle struct {
			Tenants []struct {
				ID                string
				EnvironmentGroups []struct {
					ID           string
					Environments []string
				}
				Groups []struct {
					ID      string
					Members []struct{ PrincipalObjectID string }
				}
				RoleDefinitions []struct{ RoleDefinitionID string }
				RoleAssignments []struct{ PrincipalType, PrincipalObjectID, RoleDefinitionID, Scope, Effect, ExpiresOn string }
			}
		}
		if err := json.Unmarshal(b.Bytes(), &bundle); err != nil {
			t.Fatal(err)
		}
		tenant := bundle.Tenants[0]
		if len(tenant.RoleAssignments) != n {
			t.Errorf("%d role assignments, want %d", len(tenant.RoleAssignments), n)
		}
		listed := map[string]bool{}
		for _, region := range tenant.EnvironmentGroups {
			listed["environmentGroups/"+region.ID] = true
			for _, env := range region.Environments {
				listed["environments/"+env] = true
			}
		}
		seen, effects, kinds, expiring := map[[3]string]bool{}, map[string]int{}, map[string]int{}, 0
		for i, a := range tenant.RoleAssignments {
			key := [3]string{a.PrincipalObjectID, a.RoleDefinitionID, a.Scope}
			if seen[key] {
				t.Fatalf("%d: %v is assigned twice", i, key)
			}
			seen[key] = true
			effects[a.Effect]++
			kinds[a.PrincipalType]++
			if a.ExpiresOn != "" {
				expiring++
			}
			place := strings.TrimPrefix(a.Scope, "/tenants/"+tenantID+"/")
			if segments := strings.Split(place, "/"); !listed[strings.Join(segments[:2], "/")] {
				t.Fatalf("%d: %s is not listed", i, a.Scope)
			}
		}
		if effects["DENY"] < n/400 || n > 50_000 && effects["FORBID"] == 0 || expiring < n/50 || kinds["User"] < n*7/10 || kinds["Group"] < n/6 || kinds["ApplicationUser"] == 0 {
			t.Errorf("%d: effects %v, kinds %v, %d expire", n, effects, kinds, expiring)
		}
		for _, group := range tenant.Groups {
			members := map[string]bool{}
			for _, m := range group.Members {
				members[m.PrincipalObjectID] = true
			}
			if len(members) != len(group.Members) || len(members) == 0 {
				t.Fatalf("group %s has %d members, %d of them different", group.ID, len(group.Members), len(members))
			}
		}
		if user := w.someoneAllowed(); w.at(user*perUser).role != shippedRoles[0] {
			t.Errorf("user %d is not allowed", user)
		}
	}
}

func TestParseSizes(t *testing.T) {
	got, err := parseSizes("10k, 1m,2500")
	if err != nil || len(got) != 3 || got[0] != 10_000 || got[1] != 1_000_000 || got[2] != 2500 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "k", "10g", "-1k", "999", "101m", "99999999999999m", "10k,,1m"} {
		if got, err := parseSizes(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
	for n, want := range map[int]string{10_000: "10k", 1_000_000: "1m", 2500: "2500"} {
		if got := sizeName(n); got != want {
			t.Errorf("%d is called %s", n, got)
		}
	}
}
