package gate_test

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/oracle"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

const (
	dataverseTenant      = "t"
	dataverseEnvironment = "e"
	dataverseScope       = "/tenants/t/environments/e"
	playerRole           = "players"
	nobodysGroup         = "nobodys" // of a group team, so that groups can make members of teams
)

// Questions about records, flows and apps, the whole way through a real store with its file,
// are answered as the oracle does. Every decider that gets a rule about composites wrong is
// caught on the way, and all that can be said is said.
func TestEveryAnswerAboutRecordsAndCompositesIsTheOracles(t *testing.T) {
	t.Parallel()
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	c := dataverseComparison{catalogues: catalogues, dir: t.TempDir(), census: map[string]int{}, uncaught: map[oracle.CompositeMistake]bool{}}
	for _, mistake := range oracle.CompositeMistakes() {
		c.uncaught[mistake] = true
	}
	for seed := range uint64(dataverseWorlds) {
		c.world(t, seed)
	}
	t.Logf("%d answers, %d differences: %v", c.asked, c.different, c.census)
	if c.different > 0 {
		t.Errorf("%d of %d answers differ from the oracle's", c.different, c.asked)
	}
	for mistake := range c.uncaught {
		t.Errorf("no question catches the mistake %q", mistake)
	}
	if c.asked < 200_000 {
		return // under the race detector: not everything can be expected to be said
	}
	for _, said := range []string{
		oracle.Granted, oracle.NoAssignment, oracle.Expired, oracle.Unmapped, oracle.PrincipalDisabled, oracle.GroupsUnknown,
		"owner", "reach", "share", "User", "BusinessUnit", "ParentChild", "Organization",
		"environment PASSED", "environment FAILED", "environment UNKNOWN", "flow PASSED", "flow FAILED", "flow UNKNOWN",
		"connection PASSED", "connection FAILED", "data PASSED", "data FAILED", "data UNKNOWN", "app PASSED", "app FAILED",
		"permission PASSED", "permission FAILED", "licence PASSED", "licence FAILED", "licence UNKNOWN", "composite GRANTED",
	} {
		if c.census[said] == 0 {
			t.Errorf("no answer says %s", said)
		}
	}
}

// dataverseComparison holds one directory through which one world after the other goes.
type dataverseComparison struct {
	catalogues       *naming.Catalogues
	dir              string
	asked, different int
	census           map[string]int
	uncaught         map[oracle.CompositeMistake]bool
}

func (c *dataverseComparison) world(t *testing.T, seed uint64) {
	t.Helper()
	w := oracle.GenerateComposites(seed)
	store, err := snapshot.Open(t.Context(), snapshot.Options{Dir: c.dir, Vocabulary: c.catalogues.Vocabulary(), Restore: true})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Errorf("seed %d: close: %v", seed, err)
		}
	}()
	data := &snapshot.Data{Tenants: []snapshot.Tenant{dataverseTenantOf(t, &w)}}
	if _, err := store.Replace(t.Context(), data, snapshot.Change{Source: "test"}); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	var now int64
	g := gate.New(gate.Options{
		Catalogues: c.catalogues, Snapshots: store, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(now, 0) },
	})
	differs := func(format string, args ...any) {
		if c.different++; c.different <= 5 {
			t.Errorf("seed %d: "+format+"\nin %+v", append(append([]any{seed}, args...), w)...)
		}
	}
	var a ask.Answer
	for _, q := range w.Questions(seed, recordQuestions) {
		now = q.Now
		if q.Record != nil && w.Users[q.Record.OwnerUser].Unit == "" && q.Record.OwnerUser != q.User {
			q.Record.OwnerUser = "" // whoever was not added to the environment owns nothing there
		}
		g.Decide(t.Context(), recordRequest(t, &w, q), &a)
		want := w.Decide(q, "")
		c.asked++
		c.census[want.Reason]++
		if a.Record != nil && a.Allowed() {
			c.census[a.Record.Step.String()]++
			c.census[a.Record.Reach.String()]++
		}
		if got := a.Reason.String(); got != want.Reason || a.Record != nil && !agreesOnRecord(a.Record, want) {
			differs("%+v %+v\n got %s %+v (%s)\nwant %+v", q, q.Record, got, a.Record, a.Detail, want)
		}
	}
	for _, q := range w.CompositeQuestions(seed, compositeQuestions) {
		now = q.Now
		var got ask.CompositeAnswer
		g.CheckComposite(t.Context(), compositeRequest(t, &w, q), &got)
		want := w.DecideComposite(q, "")
		c.asked++
		for layer, state := range want.Layers {
			c.census[layer+" "+state]++
		}
		c.census["composite "+want.Reason]++
		if !agreesOnComposite(&got, want) {
			var layers []string
			for _, layer := range got.Layers {
				for _, part := range layer.Requirements {
					layers = append(layers, fmt.Sprintf("%s: %v: %s: %v", layer.Name, part.Text, part.Of, part.State))
				}
			}
			differs("%+v\n got %v (%s)\n%s\nwant %+v", q, got.Reason, got.Detail, strings.Join(layers, "\n"), want)
		}
		for mistake := range c.uncaught {
			if !agreesOnComposite(&got, w.DecideComposite(q, mistake)) {
				delete(c.uncaught, mistake)
			}
		}
	}
}

// agreesOnRecord compares what a decision about a record says besides its reason.
func agreesOnRecord(got *authz.RecordDecision, want oracle.DataverseAnswer) bool {
	steps := map[string]string{"": "", "owner": oracle.ByOwnership, "reach": oracle.ByReach, "share": oracle.ByShare}
	denials := map[string]string{
		"": "", "privilege": oracle.LacksPrivilege, "reach": oracle.LacksReach, "column": oracle.LacksColumn, "on_behalf": oracle.LacksOnBehalf,
	}
	return steps[got.Step.String()] == want.Step && denials[got.Denial.String()] == want.Denial &&
		got.Column == want.Column && got.ActingFor == want.OfOther
}

func agreesOnComposite(got *ask.CompositeAnswer, want oracle.CompositeAnswer) bool {
	if len(got.Layers) != len(want.Layers) || got.Allowed() != (want.Reason == oracle.Granted) {
		return false
	}
	for _, layer := range got.Layers {
		if layer.State.String() != want.Layers[layer.Name] {
			return false
		}
	}
	return len(want.Layers) > 0 || got.Reason.String() == want.Reason
}

func dataverseSubject(t *testing.T, w *oracle.Composites, user string) *authz.Subject {
	t.Helper()
	spec := authz.SubjectSpec{Tenant: dataverseTenant, Principal: oraclePerson(user), GroupsUnknown: w.Users[user].TeamsUnknown}
	subject, err := authz.NewSubject(spec)
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

func recordRequest(t *testing.T, w *oracle.Composites, q oracle.DataverseQuestion) *ask.Request {
	t.Helper()
	r := &ask.Request{
		Subject: dataverseSubject(t, w, q.User), Permission: "Dataverse." + q.Table + "." + q.Privilege,
		Scope: dataverseScope, Columns: q.Columns,
	}
	if q.For != "" {
		r.OnBehalfOf = dataverseSubject(t, w, q.For)
	}
	if q.Record != nil {
		r.Record = &ask.Record{ID: q.Record.ID, BusinessUnit: q.Record.Unit}
		if q.Record.OwnerUser != "" {
			r.Record.Owner = oraclePerson(q.Record.OwnerUser)
		} else if q.Record.OwnerTeam != "" {
			r.Record.Owner = authz.Principal{Type: authz.Team, ID: q.Record.OwnerTeam}
		}
	}
	return r
}

func compositeRequest(t *testing.T, w *oracle.Composites, q oracle.CompositeQuestion) *ask.CompositeRequest {
	t.Helper()
	r := &ask.CompositeRequest{
		Subject: dataverseSubject(t, w, q.User), Composite: "run-only-flow", Object: q.Flow, Scope: dataverseScope,
		Connectors: q.Connectors, Facts: q.Licences,
	}
	if q.App != "" {
		r.Composite, r.Object = "run-app", q.App
	}
	return r
}

func oraclePerson(id string) authz.Principal { return authz.Principal{Type: authz.User, ID: id} }

func privilegesOf(t *testing.T, names []string) authz.PrivilegeSet {
	t.Helper()
	var all []authz.Privilege
	for _, name := range names {
		if name == "Update" {
			name = "Write"
		}
		var p authz.Privilege
		if err := p.UnmarshalText([]byte(name)); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return authz.Privileges(all...)
}

func usesOf(t *testing.T, tables []oracle.CompositeTable) (all []snapshot.TableUse) {
	t.Helper()
	for _, use := range tables {
		all = append(all, snapshot.TableUse{Table: use.Table, Privileges: privilegesOf(t, use.Privileges)})
	}
	return all
}

func receiversOf(r oracle.CompositeReceivers) (all []authz.Principal) {
	for kind, ids := range map[authz.PrincipalType][]string{authz.User: r.Users, authz.Group: r.Groups, authz.Team: r.Teams} {
		for _, id := range ids {
			all = append(all, authz.Principal{Type: kind, ID: id})
		}
	}
	return all
}

// dataverseTenantOf is the world as a source would deliver it.
func dataverseTenantOf(t *testing.T, w *oracle.Composites) snapshot.Tenant {
	t.Helper()
	to := snapshot.Tenant{
		ID: dataverseTenant, DirectoryComplete: w.DirectoryComplete,
		Environments: []snapshot.Environment{{ID: dataverseEnvironment, Dataverse: true}},
		RoleDefinitions: []authz.RoleDefinition{{
			ID: playerRole, Name: playerRole, Permissions: []string{"PowerApps.Apps.Play"}, AssignableScopes: []string{"/tenants/{0}"},
		}},
		Teams: []snapshot.Team{{ID: nobodysGroup, Environment: dataverseEnvironment, DisplayName: nobodysGroup, Kind: authz.GroupTeamHolder, Group: nobodysGroup}},
	}
	for name, table := range w.Tables {
		declared := authz.Table{Name: name, SecuredColumns: table.Secured}
		if err := declared.Ownership.UnmarshalText([]byte(table.Owned)); err != nil {
			t.Fatal(err)
		}
		for _, name := range table.Classes {
			var class authz.TableClass
			if err := class.UnmarshalText([]byte(name)); err != nil {
				t.Fatal(err)
			}
			declared.Classes |= class
		}
		to.Tables = append(to.Tables, snapshot.Table{Environment: dataverseEnvironment, Table: declared})
	}
	for unit, parent := range w.Units {
		to.BusinessUnits = append(to.BusinessUnits, authz.BusinessUnit{ID: unit, Environment: dataverseEnvironment, Parent: parent})
	}
	for id, user := range w.Users {
		if user.Unit == "" {
			to.Principals = append(to.Principals, snapshot.Principal{Principal: oraclePerson(id), Disabled: user.Disabled})
			continue
		}
		to.Users = append(to.Users, snapshot.EnvironmentUser{Environment: dataverseEnvironment, Principal: oraclePerson(id), BusinessUnit: user.Unit, Disabled: user.Disabled})
	}
	for id, team := range w.Teams {
		made := snapshot.Team{ID: id, Environment: dataverseEnvironment, DisplayName: id, Kind: authz.OwnerTeamHolder, BusinessUnit: team.Unit}
		for _, member := range team.Members {
			made.Members = append(made.Members, oraclePerson(member))
		}
		to.Teams = append(to.Teams, made)
	}
	for id, members := range w.Groups {
		g := snapshot.Group{ID: id}
		for _, member := range members {
			g.Members = append(g.Members, oraclePerson(member))
		}
		to.Groups = append(to.Groups, g)
	}
	for id, role := range w.Roles {
		def := authz.RoleDefinition{ID: id, Name: id, Environment: dataverseEnvironment, TeamOnly: role.ForTeamAlone}
		for _, line := range role.Lines {
			target := line.Table
			if target == "" {
				target = "{" + line.Class + "}"
			}
			for _, privilege := range line.Privileges {
				def.Privileges = append(def.Privileges, "Dataverse."+target+"."+privilege+"@"+line.Reach)
			}
		}
		if role.ActsForOther {
			def.Privileges = append(def.Privileges, "Dataverse.User.ActOnBehalf")
		}
		to.RoleDefinitions = append(to.RoleDefinitions, def)
	}
	for _, h := range w.Holdings {
		a := snapshot.RoleAssignment{ID: h.ID, RoleDefinitionID: h.Role, Effect: authz.AssignAllow, Expires: h.Expires, Scope: dataverseScope}
		if a.Principal = (authz.Principal{Type: authz.Team, ID: h.Team}); h.Team == "" {
			a.Principal, a.Scope = oraclePerson(h.User), authz.Scope(dataverseScope+"/businessUnits/"+h.Unit)
		}
		to.RoleAssignments = append(to.RoleAssignments, a)
	}
	for i, p := range w.Players {
		a := snapshot.RoleAssignment{ID: "play" + string(rune('0'+i)), RoleDefinitionID: playerRole, Effect: authz.AssignAllow, Expires: p.Expires, Scope: dataverseScope}
		if a.Principal = oraclePerson(p.User); p.Group != "" {
			a.Principal = authz.Principal{Type: authz.Group, ID: p.Group}
		}
		to.RoleAssignments = append(to.RoleAssignments, a)
	}
	for i, p := range w.Profiles {
		profile := snapshot.ColumnProfile{
			ID: "p" + string(rune('0'+i)), Environment: dataverseEnvironment, Principals: []authz.Principal{oraclePerson(p.User)},
			Columns: []snapshot.ColumnRight{{Table: p.Table, Column: p.Column, Rights: privilegesOf(t, p.Rights)}},
		}
		if p.Team != "" {
			profile.Principals = []authz.Principal{{Type: authz.Team, ID: p.Team}}
		}
		to.ColumnProfiles = append(to.ColumnProfiles, profile)
	}
	for _, s := range w.Shares {
		share := snapshot.Share{Environment: dataverseEnvironment, Table: s.Table, Record: s.Record, Share: authz.Share{Rights: privilegesOf(t, s.Rights)}}
		switch {
		case s.User != "":
			share.With = oraclePerson(s.User)
		case s.Team != "":
			share.With = authz.Principal{Type: authz.Team, ID: s.Team}
		default:
			share.WithOrganization = true
		}
		to.Shares = append(to.Shares, share)
	}
	for _, id := range slices.Sorted(maps.Keys(w.Flows)) {
		f := w.Flows[id]
		flow := snapshot.Flow{ID: id, Environment: dataverseEnvironment, Maker: oraclePerson(f.Maker), RunOnly: receiversOf(f.RunOnly)}
		for _, c := range f.Connections {
			flow.Connections = append(flow.Connections, snapshot.Connection{
				Name: c.Name, Connector: c.Connector, Tables: usesOf(t, c.Tables),
				Provider: map[string]snapshot.ConnectionProvider{"user": snapshot.RunOnlyUserProvides, "maker": snapshot.MakerProvides}[c.Provider],
			})
		}
		to.Flows = append(to.Flows, flow)
	}
	for id, app := range w.Apps {
		to.Apps = append(to.Apps, snapshot.App{
			ID: id, Environment: dataverseEnvironment, SharedWith: receiversOf(app.SharedWith), SharedWithEveryone: app.Everyone, Tables: usesOf(t, app.Tables),
		})
	}
	return to
}
