package main

import (
	"bufio"
	"fmt"
	"io"
)

// A world is a tenant of any size: who holds what follows from numbers alone, so that
// it can be written without being held in memory, and looked up without being read. Of
// its role assignments three quarters are of users, ten each, most of them at
// environments and some at apps; a fifth is of groups, ten each, and each user is in two;
// the rest of service principals, five each. One in fifty expires some day, one in a
// hundred and fifty has; one in two hundred is a DENY, and of the groups' one in four
// thousand a FORBID.
type world struct {
	assignments int

	users, groups, apps, environments, regions, roles int
}

const (
	perUser    = 10
	perGroup   = 10
	perApp     = 5
	groupsOf   = 2 // of each user
	customRole = "5ca1e000-0000-4000-8000-%012x"
)

func newWorld(assignments int) world {
	w := world{assignments: assignments}
	w.users = max(assignments*75/100/perUser, 1)
	w.groups = max(assignments*20/100/perGroup, 1)
	w.apps = max((assignments-w.users*perUser-w.groups*perGroup+perApp-1)/perApp, 1)
	w.environments = max(assignments/100, 50)
	w.regions = max(w.environments/50, 1)
	w.roles = 50
	return w
}

// The shipped roles that are assigned, besides the custom ones.
var shippedRoles = []string{
	"c886ad2e-27f7-4874-8381-5849b8d8a090", // Power Platform Reader
	"ff954d61-a89a-4fbe-ace9-01c367b89f87", // Power Platform Contributor
}

const tenantID = "7f1d9a3c-5b2e-4d68-9c41-0a8e6f3b2d15"

func userID(i int) string        { return fmt.Sprintf("5a3e0000-0000-4000-8000-%012x", i) }
func groupID(i int) string       { return fmt.Sprintf("96070000-0000-4000-8000-%012x", i) }
func envID(i int) string         { return fmt.Sprintf("e4710000-0000-4000-8000-%012x", i) }
func envPlace(i int) string      { return "/environments/" + envID(i) }
func envGroupPlace(i int) string { return fmt.Sprintf("/environmentGroups/region-%d", i) }
func appID(i int) string         { return fmt.Sprintf("a9900000-0000-4000-8000-%012x", i) }

// An assignment is the i-th role assignment.
type assignment struct {
	kind, principal, role, place, effect, expires string
}

// at works out the i-th role assignment. A principal's scopes are all different.
func (w world) at(i int) assignment {
	a := assignment{role: shippedRoles[i%3/2]}
	if i%7 == 3 {
		a.role = fmt.Sprintf(customRole, i%w.roles)
	}
	var holder, nth, of int
	switch j := i - w.users*perUser; {
	case j < 0:
		holder, nth, of = i/perUser, i%perUser, perUser
		a.kind, a.principal = "User", userID(holder)
	case j < w.groups*perGroup:
		holder, nth, of = j/perGroup, j%perGroup, perGroup
		a.kind, a.principal = "Group", groupID(holder)
	default:
		j -= w.groups * perGroup
		holder, nth, of = j/perApp, j%perApp, perApp
		a.kind, a.principal = "ApplicationUser", appID(holder)
	}
	env := w.environmentOf(holder, nth, of)
	a.place = envPlace(env)
	switch {
	case a.kind == "User" && nth == 1:
		a.place += "/powerapps/" + fmt.Sprintf("9b1f4e5c-33f4-4a0e-8a43-%012x", i)
	case a.kind != "ApplicationUser" && nth == 2:
		a.place = envGroupPlace(env % w.regions)
	}
	switch {
	case i%4000 == 1234 && a.kind == "Group":
		a.effect = "FORBID"
	case i%200 == 77:
		a.effect = "DENY"
	}
	switch {
	case i%150 == 13:
		a.expires = "2021-03-04T05:06:07Z"
	case i%50 == 21:
		a.expires = "2038-01-01T00:00:00Z"
	}
	return a
}

// environmentOf is where the nth assignment of a holder is: scattered, and all different.
func (w world) environmentOf(holder, nth, of int) int {
	stride := max(w.environments/of, 1)
	return (holder*7919 + nth*stride) % w.environments
}

// write writes the world as a bundle in JSON.
func (w world) write(to io.Writer) error {
	b := bufio.NewWriterSize(to, 1<<20)
	fmt.Fprintf(b, "{\"apiVersion\":\"pathgrant/v1\",\"tenants\":[\n{\"id\":%q,\n \"environmentGroups\":[", tenantID)
	for region := range w.regions {
		fmt.Fprintf(b, "%s\n  {\"id\":\"region-%d\",\"environments\":[", comma(region), region)
		for env := region; env < w.environments; env += w.regions {
			fmt.Fprintf(b, "%s%q", comma(env-region), envID(env))
		}
		put(b, "]}")
	}
	put(b, "],\n \"groups\":[")
	members := w.users * groupsOf / w.groups
	for group := range w.groups {
		fmt.Fprintf(b, "%s\n  {\"id\":%q,\"members\":[", comma(group), groupID(group))
		for i := range members {
			fmt.Fprintf(b, "%s{\"principalType\":\"User\",\"principalObjectId\":%q}", comma(i), userID(w.member(group, members, i)))
		}
		put(b, "]}")
	}
	put(b, "],\n \"roleDefinitions\":[")
	for role := range w.roles {
		fmt.Fprintf(b, "%s\n  {\"roleDefinitionId\":%q,\"roleDefinitionName\":\"Custom %d\",\"permissions\":[\"PowerApps.Apps.Read\",\"PowerAutomate.*.Read\"],\"assignableScopes\":[\"/tenants/{0}\"]}",
			comma(role), fmt.Sprintf(customRole, role), role)
	}
	put(b, "],\n \"roleAssignments\":[")
	for i := range w.assignments {
		a := w.at(i)
		put(b, comma(i), "\n  {\"principalType\":\"", a.kind, "\",\"principalObjectId\":\"", a.principal,
			"\",\"roleDefinitionId\":\"", a.role, "\",\"scope\":\"/tenants/", tenantID, a.place)
		if a.effect != "" {
			put(b, "\",\"effect\":\"", a.effect)
		}
		if a.expires != "" {
			put(b, "\",\"expiresOn\":\"", a.expires)
		}
		put(b, "\"}")
	}
	put(b, "]}\n]}\n")
	return b.Flush()
}

// put writes texts. Of an error Flush tells.
func put(b *bufio.Writer, texts ...string) {
	for _, text := range texts {
		_, _ = b.WriteString(text)
	}
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// member is the i-th member of a group of so many. Each user is in as many groups, scattered
// all over.
func (w world) member(group, members, i int) int { return (group*members + i) * 7919 % w.users }
