package snapshot_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func drawUnit(t *rapid.T, listed bool) string {
	if listed && rapid.Bool().Draw(t, "unit") {
		return "b1"
	}
	return ""
}

func drawTeam(t *rapid.T, id, environment string) snapshot.Team {
	x := snapshot.Team{ID: id, Environment: environment}
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		x.Kind, x.Group = authz.GroupTeamHolder, rapid.SampledFrom(someGroups).Draw(t, "group")
		return x
	case 1:
		x.Kind = authz.AccessTeamHolder
	case 2:
		x.Kind = authz.OwnerTeamHolder
	}
	for range rapid.IntRange(0, 2).Draw(t, "members") {
		x.Members = append(x.Members, drawUser(t))
	}
	return x
}

func drawUser(t *rapid.T) authz.Principal {
	id := rapid.SampledFrom(someUsers).Draw(t, "user")
	if rapid.Bool().Draw(t, "application") {
		return app(id)
	}
	return user(id)
}

func drawTable(t *rapid.T, environment, name string) snapshot.Table {
	x := snapshot.Table{Environment: environment, Table: authz.Table{Name: name, Ownership: authz.UserOwned}}
	if rapid.IntRange(0, 3).Draw(t, "ownership") == 0 {
		x.Ownership = authz.OrganizationOwned
	}
	if rapid.Bool().Draw(t, "secured") {
		x.SecuredColumns = []string{"c"}
	}
	return x
}

func drawShare(t *rapid.T, environment string) snapshot.Share {
	s := snapshot.Share{
		Environment: environment, Table: rapid.SampledFrom([]string{"Account", "ACCOUNT", "tA"}).Draw(t, "table"),
		Record: rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "record"),
	}
	s.Rights = reading
	switch rapid.IntRange(0, 3).Draw(t, "with") {
	case 0:
		s.With = drawUser(t)
	case 1:
		s.With = team(rapid.SampledFrom(someTeams).Draw(t, "team"))
	default:
		s.WithOrganization = true
	}
	return s
}

// drawItems draws what e2 holds, such that it fits together.
func drawItems(t *rapid.T, x *snapshot.Tenant) {
	units := rapid.Bool().Draw(t, "units")
	if units {
		x.BusinessUnits = []authz.BusinessUnit{{ID: "b1", Environment: "e2"}}
	}
	has := func(what string) bool { return rapid.IntRange(0, 2).Draw(t, what) > 0 }
	if has("table") {
		x.Tables = append(x.Tables, drawTable(t, "e2", "tA"))
	}
	for _, id := range someUsers {
		if has("user") {
			p := user(id)
			if rapid.Bool().Draw(t, "application") {
				p = app(id)
			}
			x.Users = append(x.Users, snapshot.EnvironmentUser{Environment: "e2", Principal: p, BusinessUnit: drawUnit(t, units), Disabled: rapid.Bool().Draw(t, "disabled")})
		}
	}
	for _, id := range someTeams {
		if has("team") {
			tm := drawTeam(t, id, "e2")
			tm.BusinessUnit = drawUnit(t, units)
			x.Teams = append(x.Teams, tm)
			if rapid.Bool().Draw(t, "holds") {
				x.RoleAssignments = append(x.RoleAssignments, snapshot.RoleAssignment{
					ID: "by" + id, Principal: team(id), RoleDefinitionID: basicRole, Scope: authz.Scope("/tenants/" + x.ID + "/environments/e2"), Effect: authz.AssignAllow,
				})
			}
		}
	}
	for range rapid.IntRange(0, 4).Draw(t, "shares") {
		s := drawShare(t, "e2")
		if s.Table == "tA" && (len(x.Tables) == 0 || x.Tables[0].Ownership != authz.UserOwned) || s.With.Type == authz.Team && !listsTeam(x, s.With.ID, "e2") {
			continue
		}
		key := func(s snapshot.Share) string { return shareName(s) }
		if !slices.ContainsFunc(x.Shares, func(o snapshot.Share) bool { return key(o) == key(s) }) {
			x.Shares = append(x.Shares, s)
		}
	}
	if len(x.Tables) > 0 && len(x.Tables[0].SecuredColumns) > 0 && has("profile") {
		x.ColumnProfiles = []snapshot.ColumnProfile{{
			ID: "p1", Environment: "e2", Columns: []snapshot.ColumnRight{{Table: "tA", Column: "c", Rights: reading}}, Principals: []authz.Principal{drawUser(t), drawUser(t)},
		}}
	}
	if has("app") {
		x.Apps = []snapshot.App{{ID: "app", Environment: "e2", SharedWith: []authz.Principal{drawUser(t)}, Tables: []snapshot.TableUse{{Table: "Account"}}}}
		x.Flows = []snapshot.Flow{{ID: "flow", Environment: "e2", Maker: drawUser(t)}}
	}
	if has("role") {
		x.RoleDefinitions = append(x.RoleDefinitions, authz.RoleDefinition{ID: "s1", Name: "Custom security", Environment: "e2", BusinessUnit: drawUnit(t, units), Privileges: []string{"Dataverse.Account.Read@User"}})
	}
}

func listsTeam(x *snapshot.Tenant, id, environment string) bool {
	return slices.ContainsFunc(x.Teams, func(tm snapshot.Team) bool { return tm.ID == id && tm.Environment == environment })
}

// shareName is the same for shares of one record with one receiver.
func shareName(s snapshot.Share) string {
	with := s.With
	if with.Type == authz.ApplicationUser {
		with.Type = authz.User
	}
	return fmt.Sprint(s.Environment, " ", strings.ToLower(s.Table), " ", s.Record, " ", with, s.WithOrganization)
}

// recordOracle says, by looking at the data alone, what security roles a subject holds in an
// environment, and in which business unit or through which team.
func recordOracle(d *snapshot.Data, environment string, of *authz.Subject) []string {
	i := slices.IndexFunc(d.Tenants, func(x snapshot.Tenant) bool { return x.ID == of.Tenant() })
	if i < 0 {
		return nil
	}
	x := &d.Tenants[i]
	person := func(p authz.Principal) string { return strings.Replace(p.String(), "ApplicationUser", "User", 1) }
	root := ""
	if !slices.ContainsFunc(x.Environments, func(e snapshot.Environment) bool { return e.ID == environment && e.Dataverse }) {
		return nil
	}
	root = environment
	for _, u := range x.BusinessUnits {
		if u.Environment == environment {
			root = u.ID
		}
	}
	unit := func(id string) string {
		if id == "" {
			return root
		}
		return id
	}
	at := slices.IndexFunc(x.Users, func(u snapshot.EnvironmentUser) bool {
		return u.Environment == environment && person(u.Principal) == person(of.Principal())
	})
	if at < 0 {
		return nil
	}
	in := map[string]bool{person(of.Principal()): true}
	for _, id := range of.Groups() {
		in["Group "+id] = true
	}
	for n := -1; n != len(in); {
		n = len(in)
		for _, g := range x.Groups {
			for _, m := range g.Members {
				if in[person(m)] {
					in["Group "+g.ID] = true
				}
			}
		}
	}
	teams := map[string]string{} // team → its business unit
	for _, tm := range x.Teams {
		members := tm.Members
		if tm.Kind == authz.GroupTeamHolder {
			members = []authz.Principal{group(tm.Group)}
		}
		for _, m := range members {
			if in[person(m)] && tm.Environment == environment && tm.Kind != authz.AccessTeamHolder {
				teams[tm.ID] = unit(tm.BusinessUnit)
			}
		}
	}
	lines := []string{}
	for _, a := range x.RoleAssignments {
		custom := a.RoleDefinitionID == "s1" && slices.ContainsFunc(x.RoleDefinitions, func(def authz.RoleDefinition) bool { return def.ID == "s1" && def.Environment == environment })
		rest, within := strings.CutPrefix(string(a.Scope), "/tenants/"+x.ID+"/environments/"+environment)
		if a.Effect != authz.AssignAllow || !within || a.RoleDefinitionID != basicRole && !custom {
			continue
		}
		from := unit(x.Users[at].BusinessUnit)
		switch named, isUnit := strings.CutPrefix(rest, "/businessUnits/"); {
		case isUnit && !slices.ContainsFunc(x.BusinessUnits, func(u authz.BusinessUnit) bool { return u.Environment == environment && u.ID == named }):
			continue
		case isUnit:
			from = named
		case rest != "":
			continue
		}
		if person(a.Principal) == person(of.Principal()) {
			lines = append(lines, fmt.Sprint(a.ID, " ", a.RoleDefinitionID, " from ", from, " until ", a.Expires))
		} else if teamUnit, member := teams[a.Principal.ID]; member && a.Principal.Type == authz.Team {
			lines = append(lines, fmt.Sprint(a.ID, " ", a.RoleDefinitionID, " from ", teamUnit, " by ", a.Principal.ID, " until ", a.Expires))
		}
	}
	slices.Sort(lines)
	return lines
}

// sameItems fails where what a subject has in the environments is not what the data says, or
// where the file says something else than memory.
func sameItems(t *rapid.T, r *snapshot.Reader, d *snapshot.Data, of *authz.Subject) {
	for _, environment := range []string{"e1", "e2"} {
		subject, err := r.RecordSubject(of.Tenant(), environment, of)
		if err != nil {
			t.Fatal(err)
		}
		teams := map[string]string{}
		for i := range d.Tenants {
			for _, tm := range d.Tenants[i].Teams {
				if d.Tenants[i].ID == of.Tenant() {
					if teams[tm.ID], _, err = r.BusinessUnitOf(of.Tenant(), environment, tm.BusinessUnit); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		got := []string(nil)
		for _, h := range subject.Holdings() {
			line := fmt.Sprint(h.AssignmentID, " ", h.Role.ID(), " from ", h.BusinessUnit, " until ", h.Expires)
			if h.Team != "" {
				line = fmt.Sprint(h.AssignmentID, " ", h.Role.ID(), " from ", teams[h.Team], " by ", h.Team, " until ", h.Expires)
			}
			got = append(got, line)
		}
		slices.Sort(got)
		want := recordOracle(d, environment, of)
		if (subject == nil) != (want == nil) {
			t.Fatalf("%v of %s in %s: %v, want %v", of.Principal(), of.Tenant(), environment, got, want)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%v of %s in %s (-want +got):\n%s", of.Principal(), of.Tenant(), environment, diff)
		}
		db, err := r.Database(of.Tenant(), environment)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Account", "tA"} {
			shared := false
			for i := range d.Tenants {
				shared = shared || d.Tenants[i].ID == of.Tenant() && slices.ContainsFunc(d.Tenants[i].Shares, func(s snapshot.Share) bool {
					return s.Environment == environment && s.WithOrganization && strings.EqualFold(s.Table, name)
				})
			}
			id, _ := db.TableNamed(name)
			if table, ok := db.Table(id); (table.Classes&authz.OrgSharedTables != 0) != shared {
				t.Fatalf("%s of %s %s is shared with everyone: %t, %t, want %t", name, of.Tenant(), environment, table.Classes&authz.OrgSharedTables != 0, ok, shared)
			}
		}
	}
}
