package explain_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func securityRole(id string, privileges ...string) authz.RoleDefinition {
	return authz.RoleDefinition{
		ID: id, Name: "Security " + id, Category: authz.DataverseRoles, Privileges: privileges,
		AssignableScopes: []string{"/tenants/{0}/environments/{1}"},
		Terms: &authz.RoleTerms{
			HeldBy: []authz.HolderKind{authz.UserHolder, authz.ApplicationUserHolder, authz.OwnerTeamHolder}, Database: authz.DatabaseRequired,
		},
	}
}

// securityRoles give this or that on two tables, Account and Order, whose standing in for all
// tables brute force relies on: the sums of their reaches stand in securitySizes by hand.
var (
	securityRoles = []authz.RoleDefinition{
		securityRole("s1", "Dataverse.Account.Read@User"),
		securityRole("s2", "Dataverse.Account.Read@BusinessUnit", "Dataverse.Order.Append@User"),
		securityRole("s3", "Dataverse.Account.Read@ParentChild"),
		securityRole("s4", "Dataverse.Account.Read@Organization", "Dataverse.Order.Read@Organization"),
		securityRole("s5", "Dataverse.Order.AppendTo@BusinessUnit"),
		securityRole("s6", "Dataverse.Account.Append@ParentChild"),
		securityRole("s7", "Dataverse.Account.{Append,Read}@Organization", "Dataverse.Order.AppendTo@Organization"),
		securityRole("s8", "Dataverse.User.ActOnBehalf"),
		securityRole("s9", "Dataverse.Order.{Read,Append,AppendTo}@User"),
	}
	securityReaches = map[string]map[string]int{
		"s1": {"Account.Read": 1},
		"s2": {"Account.Read": 2, "Order.Append": 1},
		"s3": {"Account.Read": 3},
		"s4": {"Account.Read": 4, "Order.Read": 4},
		"s5": {"Order.AppendTo": 2},
		"s6": {"Account.Append": 3},
		"s7": {"Account.Append": 4, "Account.Read": 4, "Order.AppendTo": 4},
		"s8": {"on behalf": 1},
		"s9": {"Order.Read": 1, "Order.Append": 1, "Order.AppendTo": 1},
	}
)

// database is a random tenant with one environment e1 that has a database.
func (d dice) database() *snapshot.Data {
	t := snapshot.Tenant{
		ID: "t1", Environments: []snapshot.Environment{{ID: "e1", Dataverse: true}},
		BusinessUnits: []authz.BusinessUnit{
			{ID: "b0", Environment: "e1"}, {ID: "b1", Environment: "e1", Parent: "b0"},
			{ID: "b2", Environment: "e1", Parent: "b1"}, {ID: "b3", Environment: "e1", Parent: "b0"},
		},
		Tables: []snapshot.Table{{Environment: "e1", Table: authz.Table{Name: "Order", Classes: authz.CustomTables, Ownership: authz.UserOwned}}},
		Teams: []snapshot.Team{{
			ID: "team", Environment: "e1", DisplayName: "Team", Kind: authz.OwnerTeamHolder, BusinessUnit: d.one("b0", "b1", "b3"),
			Members: []authz.Principal{principal(authz.User, "u1")},
		}},
	}
	for _, id := range []string{"u1", "u2", "u3"} {
		t.Users = append(t.Users, snapshot.EnvironmentUser{Environment: "e1", Principal: principal(authz.User, id), BusinessUnit: d.one("b0", "b1", "b2", "b3")})
	}
	seen := map[string]bool{}
	for i := range d.IntN(7) {
		a := snapshot.RoleAssignment{
			ID: fmt.Sprint("a", i), Principal: principal(authz.User, d.one("u1", "u2", "u3")), RoleDefinitionID: d.one("s1", "s2", "s3", "s5", "s6", "s8", "s9"),
			Scope: envScope("e1"), Effect: authz.AssignAllow,
		}
		if d.in(3) {
			a.Principal = principal(authz.Team, "team")
		}
		if d.in(2) {
			a.Scope += authz.Scope("/businessUnits/" + d.one("b0", "b1", "b2", "b3"))
		}
		if d.in(4) {
			a.Expires = noon.Unix() - 1000
		}
		if key := fmt.Sprint(a.Principal, a.RoleDefinitionID, a.Scope); !seen[key] {
			seen[key] = true
			t.RoleAssignments = append(t.RoleAssignments, a)
		}
	}
	return &snapshot.Data{Tenants: []snapshot.Tenant{t}}
}

func (d dice) record() *ask.Record {
	if d.in(4) {
		return nil
	}
	r := &ask.Record{BusinessUnit: d.one("b0", "b1", "b2", "b3")}
	switch d.IntN(3) {
	case 0:
		r.Owner = principal(authz.User, d.one("u1", "u2", "u3"))
	case 1:
		r.Owner = principal(authz.Team, "team")
	}
	return r
}

func (d dice) recordQuestion(t testing.TB) *ask.Request {
	who := d.one("u1", "u2", "u3")
	r := &ask.Request{Adapter: "test", Subject: user(t, who), Scope: string(envScope("e1")), Record: d.record()}
	r.Permission = "Dataverse." + d.one("Account.Read", "Account.Read", "Order.Read", "Account.Append", "Order.Append")
	if strings.HasSuffix(r.Permission, "Append") && d.in(2) {
		r.Relate = &ask.Relate{Table: "Order", Record: d.record()}
	}
	if d.in(5) {
		r.OnBehalfOf = user(t, d.one("u1", "u2", "u3"))
	}
	return r
}

// A grantOf is a security role that somebody could be assigned.
type grantOf struct {
	who, role string
	scope     authz.Scope
	unit      string
	depth     int // of the scope's chain: the deeper the narrower
}

// smallerRoles compares two sets of assignments as the doc of the mend says.
func smallerRoles(a, b []grantOf) bool {
	size := func(all []grantOf) int {
		most := map[string]int{}
		for _, g := range all {
			for what, reach := range securityReaches[g.role] {
				most[what] = max(most[what], reach)
			}
		}
		n := 0
		for _, reach := range most {
			n += reach
		}
		return n
	}
	depths := func(all []grantOf) []int {
		var n []int
		for _, g := range all {
			n = append(n, g.depth)
		}
		slices.Sort(n)
		return n
	}
	ids := func(all []grantOf) string {
		var n []string
		for _, g := range all {
			n = append(n, g.role+"\x00"+string(g.scope)+"\x00"+g.who)
		}
		slices.Sort(n)
		return strings.Join(n, "\x00")
	}
	da, db := depths(a), depths(b)
	if c := cmp.Compare(size(a), size(b)); c != 0 {
		return c < 0
	}
	if da[0] != db[0] {
		return da[0] > db[0]
	}
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	if c := slices.Compare(da, db); c != 0 {
		return c > 0
	}
	return ids(a) < ids(b)
}

// A recordRefusal is what brute force needs to know of a refused question about records.
type recordRefusal struct {
	db       *authz.Database
	asked    []authz.RecordRequest
	units    map[string]string // of users
	roles    map[string]*authz.SecurityRole
	held     map[string]bool // by user, role and scope, live
	subjects map[string]*authz.RecordSubject
	who      string
	other    string
}

// the business units above each, itself first
var above = map[string][]string{"b0": {"b0"}, "b1": {"b1", "b0"}, "b2": {"b2", "b1", "b0"}, "b3": {"b3", "b0"}}

func (w *world) recordRefusal(r *ask.Request) *recordRefusal {
	w.t.Helper()
	f := &recordRefusal{
		units: map[string]string{}, roles: map[string]*authz.SecurityRole{}, held: map[string]bool{}, subjects: map[string]*authz.RecordSubject{},
		who: r.Subject.Principal().ID,
	}
	if r.OnBehalfOf != nil {
		f.other = r.OnBehalfOf.Principal().ID
	}
	err := w.store.Read(w.t.Context(), func(held *snapshot.Reader) (err error) {
		if f.db, err = held.Database("t1", "e1"); err != nil {
			return err
		}
		for _, def := range securityRoles {
			if f.roles[def.ID], err = held.SecurityRole("t1", "e1", def.ID); err != nil {
				return err
			}
		}
		for _, id := range []string{"u1", "u2", "u3"} {
			u, _, err := held.EnvironmentUser("t1", "e1", principal(authz.User, id))
			if err != nil {
				return err
			}
			f.units[id] = u.BusinessUnit
			if f.subjects[id], err = held.RecordSubject("t1", "e1", user(w.t, id)); err != nil {
				return err
			}
			for a, err := range held.RoleAssignmentsOf("t1", principal(authz.User, id)) {
				if err != nil {
					return err
				}
				if a.Expires == 0 {
					f.held[id+a.RoleDefinitionID+string(a.Scope)] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	request := func(permission string, record *ask.Record) {
		id, privilege, _ := f.db.Permission(permission)
		q := authz.RecordRequest{Table: id, Privilege: privilege, OnBehalf: f.other != ""}
		if record != nil {
			q.Record = &authz.Record{Owner: record.Owner, BusinessUnit: record.BusinessUnit}
		}
		f.asked = append(f.asked, q)
	}
	request(r.Permission, r.Record)
	if r.Relate != nil {
		request("Dataverse.Order.AppendTo", r.Relate.Record)
	}
	return f
}

// everything is each role at the environment and, for each record that is refused, at its
// business unit and those above.
func (f *recordRefusal) everything() []grantOf {
	units := []string{""}
	for _, q := range f.asked {
		q.Caller, q.ActingFor = f.subjects[f.who], f.subjects[f.other]
		if q.Record == nil || authz.DecideRecord(f.db, q, noon.Unix()).Allowed() {
			continue
		}
		for _, unit := range above[q.Record.BusinessUnit] {
			if !slices.Contains(units, unit) {
				units = append(units, unit)
			}
		}
	}
	var all []grantOf
	for _, who := range []string{f.who, f.other} {
		if who == "" || who == f.other && f.other == f.who && len(all) > 0 {
			continue
		}
		for _, def := range securityRoles {
			for _, unit := range units {
				g := grantOf{who: who, role: def.ID, scope: envScope("e1"), unit: f.units[who]}
				if unit != "" {
					g.scope, g.unit, g.depth = g.scope+authz.Scope("/businessUnits/"+unit), unit, len(above[unit])
				}
				if !f.held[who+def.ID+string(g.scope)] {
					all = append(all, g)
				}
			}
		}
	}
	return all
}

// allows decides all that is asked as if those roles were held.
func (f *recordRefusal) allows(t testing.TB, grants ...grantOf) bool {
	t.Helper()
	caller, other := f.subjects[f.who], f.subjects[f.other]
	for _, g := range grants {
		h := authz.RoleHolding{AssignmentID: "new" + g.role, Role: f.roles[g.role], BusinessUnit: g.unit}
		var err error
		if g.who == f.who {
			if caller, err = caller.With(h); err != nil {
				t.Fatal(err)
			}
		}
		if g.who == f.other {
			if other, err = other.With(h); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, q := range f.asked {
		q.Caller, q.ActingFor = caller, other
		if !authz.DecideRecord(f.db, q, noon.Unix()).Allowed() {
			return false
		}
	}
	return true
}

// The same for privileges in a database, with reaches, business units, teams, two records
// that are related, and acting on behalf of another.
func TestAMendOfARecordIsTheSmallest(t *testing.T) {
	w := newWorld(t, securityRoles)
	d := dice{rand.New(rand.NewPCG(8, 5))}
	mended, helpless, two, inStore := 0, 0, 0, 0
	lacked := map[authz.DataverseDenial]int{}
	for mended < cases/4 {
		w.replace(d.database())
		for range 60 {
			r := d.recordQuestion(t)
			e := w.explain(r)
			if e.Answer.Allowed() {
				continue
			}
			f := w.recordRefusal(r)
			all := f.everything()
			var found []grantOf
			for _, p := range e.Mend.Assignments {
				i := slices.IndexFunc(all, func(g grantOf) bool { return g.who == p.Principal.ID && g.role == p.RoleID && g.scope == p.Scope })
				if i < 0 {
					t.Fatalf("%s: %+v cannot be assigned", r.Permission, p)
				}
				found = append(found, all[i])
			}
			if len(found) == 0 {
				helpless++
			} else {
				mended++
				lacked[e.Answer.Record.Denial]++
				if len(found) == 2 {
					two++
				}
				if !f.allows(t, found...) {
					t.Errorf("the mend %+v does not mend", found)
				}
				if mended%200 == 1 {
					inStore++
					w.appliedInStore(r, e.Mend)
				}
			}
			try := func(grants ...grantOf) {
				if (len(found) == 0 || smallerRoles(grants, found)) && f.allows(t, grants...) {
					t.Errorf("%+v allows, and is smaller", grants)
				}
			}
			for i, a := range all {
				try(a)
				for _, b := range all[i+1:] {
					try(a, b)
				}
			}
			if t.Failed() {
				t.Fatalf("%s %+v relate %+v for %s on behalf of %q: %s, mend %+v", r.Permission, r.Record, r.Relate, f.who, f.other, e.Answer.Reason, e.Mend)
			}
		}
	}
	t.Logf("mended %d (%v, %d of them with two assignments, %d applied in the store), beyond help %d", mended, lacked, two, inStore, helpless)
	for _, denial := range []authz.DataverseDenial{authz.LacksPrivilege, authz.LacksReach, authz.LacksOnBehalf} {
		if lacked[denial] == 0 {
			t.Errorf("no refusal for lack of %s was mended", denial)
		}
	}
	if two == 0 || helpless == 0 {
		t.Errorf("%d mends with two assignments, %d refusals beyond help; want some of each", two, helpless)
	}
}
