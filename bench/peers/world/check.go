package world

import (
	"fmt"

	"github.com/pathgrant/pathgrant/internal/oracle"
	"github.com/pathgrant/pathgrant/internal/roles"
)

// Check works every answer out once more, by the oracle, which shares nothing with
// whoever wrote the world's file, with Pathgrant's decision, or with a peer. It returns
// the first difference.
func (w *World) Check() error {
	judge, err := w.judge()
	if err != nil {
		return err
	}
	reasons := map[string]int{}
	for i, r := range w.Requests {
		if want := judge(r.User, r.Permission, r.Scope); r.Reason != want {
			return fmt.Errorf("request %d, %s by %s at %s: the world says %s, the rules %s", i, r.Permission, r.User, r.Scope, r.Reason, want)
		}
		reasons[r.Reason]++
	}
	for _, reason := range []string{Granted, Overridden, NoAssignment} {
		if reasons[reason] == 0 {
			return fmt.Errorf("no request is answered %s: the world tries nothing", reason)
		}
	}
	return nil
}

// judge returns a function that decides by the oracle. It is given the assignments of the
// principals concerned only, because it reads all it has for each question.
func (w *World) judge() (func(user, permission, scope string) string, error) {
	vocabulary, err := vocabulary()
	if err != nil {
		return nil, err
	}
	base := oracle.Tenant{
		Environments: w.Environments, GroupOf: map[string]string{}, Groups: map[string][]oracle.Principal{},
		DirectoryComplete: true, Roles: map[string]oracle.Role{},
	}
	for _, group := range w.EnvironmentGroups {
		base.EnvironmentGroups = append(base.EnvironmentGroups, group.ID)
		for _, environment := range group.Environments {
			base.GroupOf[environment] = group.ID
		}
	}
	for _, name := range w.UsedRoles() {
		definition, ok := roles.Find(roles.Shipped(), name)
		if !ok {
			return nil, fmt.Errorf("no role is called %q", name)
		}
		base.Roles[name] = oracle.Role{Permissions: definition.Permissions, Exceptions: definition.PermissionsExceptions}
	}
	holds := map[string][]oracle.Assignment{}
	for i, a := range w.Assignments {
		effect := a.Effect
		if effect == "" {
			effect = "ALLOW"
		}
		holds[a.Principal] = append(holds[a.Principal], oracle.Assignment{
			ID: fmt.Sprintf("a%d", i), Principal: oracle.Principal{Kind: a.PrincipalType, ID: a.Principal},
			Role: a.Role, Scope: a.Scope, Effect: effect,
		})
	}
	groupsOf := w.GroupsOf()
	world := &oracle.World{Implications: oracle.DefaultImplications()}
	for _, name := range vocabulary.Names() {
		world.Permissions = append(world.Permissions, string(name))
	}
	return func(user, permission, scope string) string {
		t := base
		t.Assignments = holds[user]
		t.Groups = map[string][]oracle.Principal{}
		for _, group := range groupsOf[user] {
			t.Groups[group] = []oracle.Principal{{Kind: "User", ID: user}}
			t.Assignments = append(t.Assignments[:len(t.Assignments):len(t.Assignments)], holds[group]...)
		}
		world.Tenants = map[string]*oracle.Tenant{w.Tenant: &t}
		return world.Decide(oracle.Question{
			Tenant: w.Tenant, Principal: oracle.Principal{Kind: "User", ID: user},
			Permissions: []string{permission}, Scopes: []string{scope},
		}, "").Reason
	}, nil
}
