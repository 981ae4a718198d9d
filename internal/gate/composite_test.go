package gate_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// forumWorld is the environment of a question that forums are full of: somebody may run a
// flow and is told that the permissions are insufficient. rita is in the security group that
// the flow f1 is shared with; mark made it. What change takes away is what fails.
func forumWorld(change func(*snapshot.Tenant)) *snapshot.Data {
	holds := func(id, who, role string) snapshot.RoleAssignment {
		return snapshot.RoleAssignment{ID: id, Principal: person(who), RoleDefinitionID: role, Scope: env, Effect: authz.AssignAllow}
	}
	t := snapshot.Tenant{
		ID: "t1", DirectoryComplete: true, Environments: []snapshot.Environment{{ID: "e1", Dataverse: true}, {ID: "e2"}},
		Tables: []snapshot.Table{{Environment: "e1", Table: authz.Table{Name: "new_order", Classes: authz.CustomTables, Ownership: authz.UserOwned}}},
		Users: []snapshot.EnvironmentUser{
			{Environment: "e1", Principal: person("rita")}, {Environment: "e1", Principal: person("mark")}, {Environment: "e1", Principal: person("tess")},
		},
		Groups: []snapshot.Group{{ID: "runners", Members: []authz.Principal{group("inner")}}, {ID: "inner", Members: []authz.Principal{person("rita")}}},
		Teams:  []snapshot.Team{{ID: "crew", Environment: "e1", Kind: authz.OwnerTeamHolder, Members: []authz.Principal{person("tess")}}},
		RoleDefinitions: []authz.RoleDefinition{
			{ID: "orders", Name: "Orders", Environment: "e1", Privileges: []string{"Dataverse.new_order.{Read,Append,AppendTo}@User"}},
			{ID: "half", Name: "Half", Environment: "e1", Privileges: []string{"Dataverse.new_order.{Read,Append}@User"}},
		},
		RoleAssignments: []snapshot.RoleAssignment{
			holds("rita-basic", "rita", basicUser), holds("rita-orders", "rita", "orders"), holds("mark-orders", "mark", "orders"),
			holds("tess-basic", "tess", basicUser), holds("tess-orders", "tess", "orders"),
		},
		Flows: []snapshot.Flow{{
			ID: "f1", Environment: "e1", Maker: person("mark"), RunOnly: []authz.Principal{group("runners"), team("crew")},
			Connections: []snapshot.Connection{
				{Name: "mine", Connector: snapshot.DataverseConnector, Provider: snapshot.RunOnlyUserProvides, Tables: []snapshot.TableUse{{Table: "new_order"}}},
				{Name: "his", Connector: snapshot.DataverseConnector, Provider: snapshot.MakerProvides, Tables: []snapshot.TableUse{{Table: "new_order", Privileges: authz.Privileges(authz.ReadPrivilege)}}},
				{Name: "mail", Connector: "office365", Provider: snapshot.MakerProvides},
			},
		}},
		Apps: []snapshot.App{
			{ID: "a1", Environment: "e1", SharedWith: []authz.Principal{group("runners")}, Tables: []snapshot.TableUse{{Table: "new_order"}}},
			{ID: "a2", Environment: "e1", SharedWithEveryone: true},
		},
	}
	if change != nil {
		change(&t)
	}
	return &snapshot.Data{Tenants: []snapshot.Tenant{t}}
}

func newForum(t testing.TB, change func(*snapshot.Tenant), options func(*gate.Options)) *fixture {
	t.Helper()
	f := newFixture(t, "", options)
	if _, err := f.store.Replace(t.Context(), forumWorld(change), snapshot.Change{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	return f
}

// run is a question that all facts are stated of.
func run(composite, object string, subject *authz.Subject) ask.CompositeRequest {
	return ask.CompositeRequest{
		Adapter: "test", Composite: composite, Object: object, Scope: env, Subject: subject,
		Connectors: map[string]bool{"office365": true}, Facts: map[string]bool{"licence": true},
	}
}

// layersOf is what became of each layer, in order.
func layersOf(a *ask.CompositeAnswer) string {
	var all []string
	for _, layer := range a.Layers {
		all = append(all, layer.Name+" "+layer.State.String())
	}
	return strings.Join(all, ", ")
}

// without removes role assignments.
func without(ids ...string) func(*snapshot.Tenant) {
	return func(t *snapshot.Tenant) {
		var kept []snapshot.RoleAssignment
		for _, a := range t.RoleAssignments {
			if !strings.Contains(" "+strings.Join(ids, " ")+" ", " "+a.ID+" ") {
				kept = append(kept, a)
			}
		}
		t.RoleAssignments = kept
	}
}

const allOfTheFlow = "environment PASSED, flow PASSED, connection PASSED, data PASSED, licence PASSED"

func TestRunOnlyFlow(t *testing.T) {
	t.Parallel()
	one := func(layer, state string) string {
		return strings.Replace(allOfTheFlow, layer+" PASSED", layer+" "+state, 1)
	}
	for _, test := range []struct {
		name   string
		change func(*snapshot.Tenant)
		ask    func(*ask.CompositeRequest)
		reason authz.Reason
		layers string
		// missing is the text of the first requirement that did not pass.
		missing string
	}{
		{"all that it takes", nil, nil, authz.Granted, allOfTheFlow, ""},
		{"nobody asks", nil, func(r *ask.CompositeRequest) { r.Subject = nil }, authz.Unauthenticated, "", ""},
		{"without Basic User, the environment", without("rita-basic"), nil, authz.NoAssignment, one("environment", "FAILED"), "Read on Process"},
		{"not shared, the flow", func(t *snapshot.Tenant) { t.Flows[0].RunOnly = t.Flows[0].RunOnly[1:] }, nil, authz.NoAssignment, one("flow", "FAILED"), "the flow is shared with the user to be run"},
		{"nobody provides a connection", func(t *snapshot.Tenant) { t.Flows[0].Connections[0].Provider = snapshot.NoProvider }, nil, authz.NoAssignment, one("connection", "FAILED"), "the connection mine is provided by somebody"},
		{"the user's data", without("rita-orders"), nil, authz.NoAssignment, one("data", "FAILED"), "Read on new_order"},
		{"one privilege on the data", func(t *snapshot.Tenant) { t.RoleAssignments[1].RoleDefinitionID = "half" }, nil, authz.NoAssignment, one("data", "FAILED"), "AppendTo on new_order"},
		{"the maker's data", without("mark-orders"), nil, authz.NoAssignment, one("data", "FAILED"), "Read on new_order"},
		{"the maker is disabled", func(t *snapshot.Tenant) { t.Users[1].Disabled = true }, nil, authz.PrincipalDisabled, one("data", "FAILED"), "Read on new_order"},
		{"the maker left the environment", func(t *snapshot.Tenant) {
			without("mark-orders")(t)
			t.Users = append(t.Users[:1:1], t.Users[2:]...)
		}, nil, authz.NoAssignment, one("data", "FAILED"), "Read on new_order"},
		{"expired", func(t *snapshot.Tenant) { t.RoleAssignments[1].Expires = noon.Unix() }, nil, authz.Expired, one("data", "FAILED"), "Read on new_order"},
		{"no access to the mail", nil, func(r *ask.CompositeRequest) { r.Connectors = map[string]bool{"office365": false} }, authz.NoAssignment, one("data", "FAILED"), "the maker has access to what mail leads to over office365"},
		{"nothing stated of the mail", nil, func(r *ask.CompositeRequest) { r.Connectors = nil }, authz.NoAssignment, one("data", "UNKNOWN"), "the maker has access to what mail leads to over office365"},
		{"no licence", nil, func(r *ask.CompositeRequest) { r.Facts = map[string]bool{"licence": false} }, authz.NoAssignment, one("licence", "FAILED"), "licence"},
		{"nothing stated of the licence", nil, func(r *ask.CompositeRequest) { r.Facts = map[string]bool{"license": true} }, authz.NoAssignment, one("licence", "UNKNOWN"), "licence"},
		{"two at once, and all are looked at", without("rita-basic", "rita-orders"), func(r *ask.CompositeRequest) { r.Facts = nil }, authz.NoAssignment,
			"environment FAILED, flow PASSED, connection PASSED, data FAILED, licence UNKNOWN", "Read on Process"},
		{"disabled in the tenant", func(t *snapshot.Tenant) {
			t.Principals = []snapshot.Principal{{Principal: person("rita"), Disabled: true}}
		}, nil, authz.PrincipalDisabled, "", ""},
		{"disabled in the environment", func(t *snapshot.Tenant) { t.Users[0].Disabled = true }, nil, authz.PrincipalDisabled, "", ""},
		{"no such flow", nil, func(r *ask.CompositeRequest) { r.Object = "f9" }, authz.BadRequest, "", ""},
		{"an app is no flow", nil, func(r *ask.CompositeRequest) { r.Object = "a1" }, authz.BadRequest, "", ""},
		{"no object", nil, func(r *ask.CompositeRequest) { r.Object = "" }, authz.BadRequest, "", ""},
		{"no such composite", nil, func(r *ask.CompositeRequest) { r.Composite = "run-walk" }, authz.Unmapped, "", ""},
		{"another tenant", nil, func(r *ask.CompositeRequest) { r.Scope = "/tenants/t2/environments/e1" }, authz.CrossTenant, "", ""},
		{"no such environment", nil, func(r *ask.CompositeRequest) { r.Scope = "/tenants/t1/environments/e7" }, authz.UnknownScope, "", ""},
		{"at the tenant", nil, func(r *ask.CompositeRequest) { r.Scope = "/tenants/t1" }, authz.BadRequest, "", ""},
		{"no scope", nil, func(r *ask.CompositeRequest) { r.Scope = "e1" }, authz.BadRequest, "", ""},
		{"unreadable", nil, func(r *ask.CompositeRequest) { r.Unreadable = "no" }, authz.BadRequest, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newForum(t, test.change, nil)
			r := run("run-only-flow", "f1", user(t, "rita"))
			if test.ask != nil {
				test.ask(&r)
			}
			var a ask.CompositeAnswer
			f.gate.CheckComposite(t.Context(), &r, &a)
			if a.Reason != test.reason || a.Allowed() != (test.layers == allOfTheFlow) {
				t.Errorf("%v (%s), want %v", a.Reason, a.Detail, test.reason)
			}
			if diff := cmp.Diff(test.layers, layersOf(&a)); diff != "" {
				t.Errorf("layers (-want +got):\n%s", diff)
			}
			for _, layer := range a.Layers {
				for _, q := range layer.Requirements {
					if q.State == ask.LayerPassed {
						if q.Mend != "" || q.Reason != authz.Granted {
							t.Errorf("%s: %s passed as %v, and the mend is %q", layer.Name, q.Text, q.Reason, q.Mend)
						}
						continue
					}
					if q.Mend == "" || layer.Mend == "" {
						t.Errorf("%s: %s has no mend", layer.Name, q.Text)
					}
					if test.missing != "" && q.Text != test.missing {
						t.Errorf("%s: %s is missing, want %s", layer.Name, q.Text, test.missing)
					}
					test.missing = ""
				}
			}
		})
	}
}

func TestTheMakersDataIsAskedOfTheMaker(t *testing.T) {
	t.Parallel()
	f := newForum(t, without("mark-orders"), nil)
	r := run("run-only-flow", "f1", user(t, "rita"))
	var a ask.CompositeAnswer
	f.gate.CheckComposite(t.Context(), &r, &a)
	failed := a.Layers[3].Asked()
	if len(failed) != 1 || failed[0].Subject.Principal() != person("mark") || failed[0].Permission != "Dataverse.new_order.Read" {
		t.Errorf("%+v", failed)
	}
	if q := a.Layers[3].Requirements[0]; q.Of != ask.MakerParty || q.Principal != person("mark") || q.Mend != "assign the maker a security role that gives Dataverse.new_order.Read" {
		t.Errorf("%+v", q)
	}
}

func TestWhoRunsAFlowMayBeInATeamItIsSharedWith(t *testing.T) {
	t.Parallel()
	f := newForum(t, nil, nil)
	var a ask.CompositeAnswer
	for who, want := range map[string]string{"tess": allOfTheFlow, "mark": "environment FAILED, flow FAILED, connection PASSED, data PASSED, licence PASSED"} {
		r := run("run-only-flow", "f1", user(t, who)) // neither does mark, who made it, run it as others do
		f.gate.CheckComposite(t.Context(), &r, &a)
		if diff := cmp.Diff(want, layersOf(&a)); who == "tess" && diff != "" {
			t.Errorf("%s (-want +got):\n%s", who, diff)
		} else if who == "mark" && !strings.Contains(layersOf(&a), "flow FAILED") {
			t.Errorf("%s: %s", who, layersOf(&a))
		}
	}
}

func TestUnknownGroupsLeaveALayerUnknown(t *testing.T) {
	t.Parallel()
	f := newForum(t, func(t *snapshot.Tenant) { t.DirectoryComplete = false; t.Groups[1].Members = nil }, nil)
	r := run("run-only-flow", "f1", user(t, "rita", groupsUnknown))
	var a ask.CompositeAnswer
	f.gate.CheckComposite(t.Context(), &r, &a)
	if a.Reason != authz.GroupsUnknown || a.Layers[1].State != ask.LayerUnknown || a.Detail != "unknown: flow" {
		t.Errorf("%v (%s): %s", a.Reason, a.Detail, layersOf(&a))
	}
	r.Subject = user(t, "rita")
	if f.gate.CheckComposite(t.Context(), &r, &a); a.Reason != authz.NoAssignment || a.Layers[1].State != ask.LayerFailed {
		t.Errorf("%v (%s): %s", a.Reason, a.Detail, layersOf(&a))
	}
	r.Subject = user(t, "rita", func(s *authz.SubjectSpec) { s.Groups = []string{"runners"} })
	if f.gate.CheckComposite(t.Context(), &r, &a); !a.Allowed() {
		t.Errorf("%v (%s): %s", a.Reason, a.Detail, layersOf(&a))
	}
}

func TestRunApp(t *testing.T) {
	t.Parallel()
	const all = "app PASSED, permission PASSED, environment PASSED, data PASSED, licence PASSED"
	one := func(layers ...string) string {
		got := all
		for _, layer := range layers {
			got = strings.Replace(got, layer+" PASSED", layer+" FAILED", 1)
		}
		return got
	}
	for _, test := range []struct {
		name, app string
		change    func(*snapshot.Tenant)
		layers    string
	}{
		{"all that it takes", "a1", nil, all},
		{"shared with everyone", "a2", nil, all},
		{"not shared", "a1", func(t *snapshot.Tenant) { t.Apps[0].SharedWith = nil }, one("app")},
		{"without the data", "a1", without("rita-orders"), one("data")},
		{"an app without data", "a2", without("rita-orders"), all},
		{"without a role that opens apps", "a1", without("rita-basic"), one("permission", "environment")},
		{"App Opener suffices", "a1", func(t *snapshot.Tenant) { t.RoleAssignments[0].RoleDefinitionID = appOpener }, all},
		{"the permission alone", "a1", func(t *snapshot.Tenant) {
			without("rita-basic")(t)
			t.RoleDefinitions = append(t.RoleDefinitions, authz.RoleDefinition{ID: "player", Name: "Player", Permissions: []string{"PowerApps.Apps.Play"}, AssignableScopes: []string{"/tenants/{0}"}})
			t.RoleAssignments = append(t.RoleAssignments, snapshot.RoleAssignment{ID: "p", Principal: person("rita"), RoleDefinitionID: "player", Scope: "/tenants/t1", Effect: authz.AssignAllow})
		}, one("environment")},
		{"the permission taken away", "a1", func(t *snapshot.Tenant) {
			t.RoleDefinitions = append(t.RoleDefinitions, authz.RoleDefinition{ID: "player", Name: "Player", Permissions: []string{"PowerApps.Apps.Play"}, AssignableScopes: []string{"/tenants/{0}"}})
			t.RoleAssignments = append(t.RoleAssignments, snapshot.RoleAssignment{ID: "p", Principal: person("rita"), RoleDefinitionID: "player", Scope: "/tenants/t1", Effect: authz.AssignForbid})
		}, one("permission")},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newForum(t, test.change, nil)
			r := run("run-app", test.app, user(t, "rita"))
			var a ask.CompositeAnswer
			f.gate.CheckComposite(t.Context(), &r, &a)
			if diff := cmp.Diff(test.layers, layersOf(&a)); diff != "" || a.Allowed() != (test.layers == all) {
				t.Errorf("%v (%s) (-want +got):\n%s", a.Reason, a.Detail, diff)
			}
		})
	}
}

// The question of the forum, end to end: refused, mended layer by layer, and allowed.
func TestTheForumQuestionIsMendedLayerByLayer(t *testing.T) {
	t.Parallel()
	f := newForum(t, func(t *snapshot.Tenant) {
		without("rita-basic", "rita-orders")(t)
		t.Flows[0].RunOnly, t.Flows[0].Connections[0].Provider = nil, snapshot.NoProvider
	}, nil)
	r := run("run-only-flow", "f1", user(t, "rita"))
	r.Connectors, r.Facts = nil, nil
	check := func(want string) {
		t.Helper()
		var a ask.CompositeAnswer
		f.gate.CheckComposite(t.Context(), &r, &a)
		if diff := cmp.Diff(want, layersOf(&a)); diff != "" || a.Allowed() != (want == allOfTheFlow) {
			t.Fatalf("%v (%s) (-want +got):\n%s", a.Reason, a.Detail, diff)
		}
	}
	edit := func(change func(*snapshot.Edit) error) {
		t.Helper()
		if _, err := f.store.Update(t.Context(), snapshot.Change{Source: "test"}, change); err != nil {
			t.Fatal(err)
		}
	}
	assign := func(id, role string) {
		edit(func(e *snapshot.Edit) error {
			return e.PutRoleAssignment("t1", snapshot.RoleAssignment{ID: id, Principal: person("rita"), RoleDefinitionID: role, Scope: env, Effect: authz.AssignAllow})
		})
	}
	check("environment FAILED, flow FAILED, connection FAILED, data UNKNOWN, licence UNKNOWN")
	assign("m1", basicUser)
	check("environment PASSED, flow FAILED, connection FAILED, data UNKNOWN, licence UNKNOWN")
	flow := forumWorld(nil).Tenants[0].Flows[0]
	flow.Connections[0].Provider = snapshot.NoProvider
	edit(func(e *snapshot.Edit) error { return e.PutFlow("t1", flow) })
	check("environment PASSED, flow PASSED, connection FAILED, data UNKNOWN, licence UNKNOWN")
	flow.Connections[0].Provider = snapshot.RunOnlyUserProvides
	edit(func(e *snapshot.Edit) error { return e.PutFlow("t1", flow) })
	check("environment PASSED, flow PASSED, connection PASSED, data FAILED, licence UNKNOWN")
	assign("m2", "orders")
	check("environment PASSED, flow PASSED, connection PASSED, data UNKNOWN, licence UNKNOWN")
	r.Connectors = map[string]bool{"office365": true}
	check("environment PASSED, flow PASSED, connection PASSED, data PASSED, licence UNKNOWN")
	r.Facts = map[string]bool{"licence": true}
	check(allOfTheFlow)
}

func TestACompositeIsRecordedAsOneDecision(t *testing.T) {
	t.Parallel()
	var recorded []string
	f := newForum(t, nil, func(o *gate.Options) {
		o.Recorder = recording(func(r *ask.Request, a *ask.Answer) {
			recorded = append(recorded, a.DecidedBy+" "+a.Rule+" "+a.Reason.String()+" "+string(a.Scopes[0])+" "+a.Subject.Principal().ID)
			if len(a.Permissions) != 6 {
				t.Errorf("permissions %v", a.Permissions)
			}
		})
	})
	r := run("run-only-flow", "f1", user(t, "rita"))
	var a ask.CompositeAnswer
	f.gate.CheckComposite(t.Context(), &r, &a)
	if diff := cmp.Diff([]string{"composite run-only-flow GRANTED " + env + " rita"}, recorded); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if a.DecisionID == (ask.DecisionID{}) || a.Revision != f.store.Current().Revision() || a.Time != noon {
		t.Errorf("%+v", a)
	}
}

type recording func(r *ask.Request, a *ask.Answer)

func (f recording) Record(r *ask.Request, a *ask.Answer, _ time.Duration) { f(r, a) }

func TestAPanicWhileDecidingIsADenial(t *testing.T) {
	t.Parallel()
	f := newForum(t, nil, func(o *gate.Options) {
		o.ProvenAt, o.MaxStalenessReads, o.MaxStalenessChanges = func(string) time.Time { panic("here") }, 1, 1
	})
	r := run("run-only-flow", "f1", user(t, "rita"))
	a := ask.CompositeAnswer{Reason: authz.Granted}
	f.gate.CheckComposite(t.Context(), &r, &a)
	if a.Reason != authz.Internal || a.Allowed() || len(a.Layers) > 0 || a.DecisionID == (ask.DecisionID{}) {
		t.Errorf("%+v", a)
	}
	one := ask.Answer{Reason: authz.Granted}
	f.gate.Decide(t.Context(), &ask.Request{Permission: "Dataverse.new_order.Read", Scope: env, Subject: user(t, "rita")}, &one)
	if one.Reason != authz.Internal || one.Allowed() || one.Record != nil {
		t.Errorf("%+v", one)
	}
	// And the store is left as it was.
	if _, err := f.store.Update(t.Context(), snapshot.Change{Source: "test"}, func(e *snapshot.Edit) error { return e.PutFlow("t1", snapshot.Flow{ID: "f2", Environment: "e1"}) }); err != nil {
		t.Error(err)
	}
}

func TestAStaleCompositeIsDenied(t *testing.T) {
	t.Parallel()
	f := newForum(t, nil, func(o *gate.Options) { o.MaxStalenessChanges = time.Minute })
	f.now = noon.Add(time.Hour)
	r := run("run-only-flow", "f1", user(t, "rita"))
	var a ask.CompositeAnswer
	if f.gate.CheckComposite(t.Context(), &r, &a); a.Reason != authz.Stale || len(a.Layers) > 0 {
		t.Errorf("%v (%s)", a.Reason, layersOf(&a))
	}
}
