// Command bitset is the yardstick: plain maps from principal and scope to sets of
// permissions, as somebody would write it who needs no durability, no revisions, no
// expiry and no explanation.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/pathgrant/pathgrant/bench/peers/inprocess"
	"github.com/pathgrant/pathgrant/bench/peers/world"
)

func main() {
	file := flag.String("world", "", "the world's file")
	flag.Parse()
	if err := inprocess.Main(*file, build); err != nil {
		fmt.Fprintln(os.Stderr, "bitset:", err)
		os.Exit(1)
	}
}

// set holds permissions by number.
type set [16]uint64

func (s *set) add(n int)      { s[n>>6] |= 1 << (n & 63) }
func (s *set) has(n int) bool { return s[n>>6]&(1<<(n&63)) != 0 }

// at is where somebody holds something.
type at struct{ principal, scope string }

type held struct{ allowed, denied set }

func build(w *world.World) ([]inprocess.Row, error) {
	roles, err := world.Roles(world.ShippedRoles())
	if err != nil {
		return nil, err
	}
	numbers := map[string]int{}
	number := func(permission string) int {
		n, ok := numbers[permission]
		if !ok {
			n = len(numbers)
			numbers[permission] = n
		}
		return n
	}
	type compiled struct{ grants, takes set }
	byName := map[string]*compiled{}
	for _, role := range roles {
		c := &compiled{}
		for _, permission := range role.Grants {
			c.grants.add(number(permission))
		}
		for _, permission := range role.Takes {
			c.takes.add(number(permission))
		}
		byName[role.Name] = c
	}
	table := map[at]*held{}
	for _, a := range w.Assignments {
		here := table[at{a.Principal, a.Scope}]
		if here == nil {
			here = &held{}
			table[at{a.Principal, a.Scope}] = here
		}
		for i, word := range byName[a.Role].grants {
			if !a.Denies() {
				here.allowed[i] |= word
			} else {
				here.denied[i] |= byName[a.Role].takes[i]
			}
		}
	}
	chains, groupsOf := w.Chains(), w.GroupsOf()
	scopes := make([]string, len(w.Requests))
	for i, request := range w.Requests {
		scopes[i] = w.EnvironmentScope(request.Environment)
	}
	return []inprocess.Row{{Name: "plain maps and bitsets", Ask: func(i int) (string, error) {
		request := &w.Requests[i]
		permission, known := numbers[request.Permission]
		if !known {
			return world.NoAssignment, nil
		}
		groups := groupsOf[request.User]
		for _, scope := range chains[scopes[i]] {
			mine := table[at{request.User, scope}]
			denied, allowed := mine != nil && mine.denied.has(permission), mine != nil && mine.allowed.has(permission)
			for _, group := range groups {
				ours := table[at{group, scope}]
				denied = denied || ours != nil && ours.denied.has(permission)
				allowed = allowed || ours != nil && ours.allowed.has(permission)
			}
			if denied {
				return world.Overridden, nil
			}
			if allowed {
				return world.Granted, nil
			}
		}
		return world.NoAssignment, nil
	}}}, nil
}
