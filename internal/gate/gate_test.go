package gate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const policy = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environmentGroups: [{id: g1, environments: [e1, e2]}]
    environments: [{id: e3}, {id: Default-0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d}]
    principals: [{principalType: User, principalObjectId: gone, disabled: true}]
    groups: [{id: readers, members: [{principalType: User, principalObjectId: member}]}]
    roleAssignments:
      - {roleAssignmentId: a1, principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}
      - {roleAssignmentId: a2, principalType: User, principalObjectId: gone, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {roleAssignmentId: a3, principalType: User, principalObjectId: owner, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {roleAssignmentId: a4, principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e2, effect: DENY}
      - {roleAssignmentId: a5, principalType: Group, principalObjectId: readers, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environmentGroups/g1}
      - {roleAssignmentId: a6, principalType: Group, principalObjectId: readers, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e3, effect: DENY}
      - {roleAssignmentId: a7, principalType: User, principalObjectId: appowner, roleDefinitionName: PowerApp Owner, scope: /tenants/t1/environments/e1/powerapps/a7}
      - {roleAssignmentId: a9, principalType: User, principalObjectId: appenv, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1}
      - {roleAssignmentId: a8, principalType: User, principalObjectId: temp, roleDefinitionName: Power Platform Reader, scope: /tenants/t1, expiresOn: "2030-01-01T00:00:00Z"}
...
`

var noon = time.Date(2029, 12, 31, 12, 0, 0, 0, time.UTC)

// fixture is a gate with a real store behind it.
type fixture struct {
	gate       *gate.Gate
	store      *snapshot.Store
	catalogues *naming.Catalogues
	now        time.Time
	proven     time.Time
}

func newFixture(t testing.TB, text string, change func(*gate.Options)) *fixture {
	t.Helper()
	catalogues, err := naming.Load(naming.Shipped(), naming.ShippedDataverse())
	if err != nil {
		t.Fatal(err)
	}
	store, err := snapshot.Open(t.Context(), snapshot.Options{
		Dir: t.TempDir(), CacheBytes: 8 << 20, Vocabulary: catalogues.Vocabulary(), ShippedRoles: roles.All(), StandardTables: roles.StandardTables(), FoldCase: catalogues.FoldCase(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{store: store, catalogues: catalogues, now: noon, proven: noon}
	options := gate.Options{
		Catalogues: catalogues, Snapshots: store, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return f.now }, ProvenAt: func(string) time.Time { return f.proven },
	}
	if change != nil {
		change(&options)
	}
	f.gate = gate.New(options)
	if text != "" {
		f.apply(t, text)
	}
	return f
}

func (f *fixture) apply(t testing.TB, text string) authz.Revision {
	t.Helper()
	data, err := bundle.Parse("policy.yaml", []byte(text), bundle.Options{FoldCase: true, Vocabulary: f.catalogues.Vocabulary(), Now: f.now})
	if err != nil {
		t.Fatal(err)
	}
	revision, err := f.store.Replace(t.Context(), data, snapshot.Change{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func user(t testing.TB, id string, more ...func(*authz.SubjectSpec)) *authz.Subject {
	t.Helper()
	spec := authz.SubjectSpec{Tenant: "t1", Principal: authz.Principal{Type: authz.User, ID: id}, FoldCase: true}
	for _, change := range more {
		change(&spec)
	}
	subject, err := authz.NewSubject(spec)
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

func groupsUnknown(s *authz.SubjectSpec) { s.GroupsUnknown = true }

func directoryRole(id string) func(*authz.SubjectSpec) {
	return func(s *authz.SubjectSpec) { s.DirectoryRoles = append(s.DirectoryRoles, id) }
}

func request(method, path string, subject *authz.Subject) *ask.Request {
	return &ask.Request{Adapter: "test", HTTP: true, Method: method, Path: path, Subject: subject}
}

// credentials are questions whose caller must be verified first.
type identifier struct {
	identity identity.Identity
	err      error
}

func (i identifier) Identify(context.Context, *ask.Credentials) (identity.Identity, error) {
	return i.identity, i.err
}

func (i identifier) Recall(*ask.Credentials, time.Time) (identity.Identity, error) {
	return i.identity, i.err
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, nil)
	host := func(r *ask.Request, host string) *ask.Request { r.Host = host; return r }
	direct := func(permission, scope string) *ask.Request {
		return &ask.Request{Permission: permission, Scope: scope, Subject: user(t, "ada")}
	}
	override := func(r *ask.Request, permission string) *ask.Request { r.PermissionOverride = permission; return r }
	for _, test := range []struct {
		name   string
		r      *ask.Request
		reason authz.Reason
	}{
		{"inherited from the tenant", request("GET", "/powerapps/environments/e1/apps", user(t, "ada")), authz.Granted},
		{"overridden at the environment", request("GET", "/powerapps/environments/e2/apps", user(t, "ada")), authz.Overridden},
		{"both environments that are named must grant", request("GET", "/powerapps/environments/e1/apps/x/environments/e2", user(t, "ada")), authz.Overridden},
		{"not held", request("DELETE", "/powerapps/environments/e1/apps/a7", user(t, "ada")), authz.NoAssignment},
		{"held at the app alone", request("DELETE", "/powerapps/environments/e1/apps/A7", user(t, "appowner")), authz.Granted},
		{"another app", request("DELETE", "/powerapps/environments/e1/apps/a8", user(t, "appowner")), authz.NoAssignment},
		{"the app without its environment", request("DELETE", "/powerapps/apps/a7", user(t, "appowner")), authz.NoAssignment},
		{"through a group, at a group of environments", request("GET", "/powerapps/environments/e1/apps", user(t, "member")), authz.Granted},
		{"through a group, not in that group of environments", request("GET", "/powerapps/apps", user(t, "member")), authz.NoAssignment},
		{"groups unknown: memberships come from the directory", request("GET", "/powerapps/environments/e1/apps", user(t, "member", groupsUnknown)), authz.Granted},
		{"groups unknown: a DENY of any group denies", request("GET", "/powerapps/environments/e3/apps", user(t, "ada", groupsUnknown)), authz.GroupsUnknown},
		{"groups unknown: a denial says so", request("DELETE", "/powerapps/environments/e1/apps/a7", user(t, "ada", groupsUnknown)), authz.GroupsUnknown},
		{"disabled", request("GET", "/powerapps/apps", user(t, "gone")), authz.PrincipalDisabled},
		{"an unlisted environment", request("GET", "/powerapps/environments/e9/apps", user(t, "owner")), authz.UnknownScope},
		{"an unlisted group", request("GET", "/governance/environmentGroups/g9/ruleSets", user(t, "owner")), authz.UnknownScope},
		{"another tenant's host", host(request("GET", "/powerapps/apps", user(t, "owner")), "7f1d9a3c5b2e4d689c410a8e6f3b2d.15.tenant.api.powerplatform.com"), authz.CrossTenant},
		{"a host that stands for a Default environment", host(request("GET", "/powerapps/apps", user(t, "ada")), "0a1b2c3d4e5f4a6b8c7d9e0f1a2b3c.4d.environment.api.powerplatform.com"), authz.Granted},
		{"a host of an unlisted environment", host(request("GET", "/powerapps/apps", user(t, "ada")), "ffffffff4e5f4a6b8c7d9e0f1a2b3c.4d.environment.api.powerplatform.com"), authz.UnknownScope},
		{"unmapped", request("POST", "/powerapps/environments/e1/apps/a7/nonsense", user(t, "owner")), authz.Unmapped},
		{"ambiguous", request("GET", "/powerapps//apps", user(t, "owner")), authz.BadRequest},
		{"unmapped goes before another tenant", host(request("POST", "/powerapps/nonsense/x", user(t, "owner")), "7f1d9a3c5b2e4d689c410a8e6f3b2d.15.tenant.api.powerplatform.com"), authz.Unmapped},
		{"unknown scope goes before disabled", request("GET", "/powerapps/environments/e9/apps", user(t, "gone")), authz.UnknownScope},
		{"expired", request("GET", "/powerapps/apps", user(t, "temp")), authz.Granted},
		{"a route's permission override", override(request("GET", "/powerapps/apps", user(t, "ada")), "PowerApps.Apps.Delete"), authz.NoAssignment},
		{"an override that the catalogue does not know", override(request("GET", "/powerapps/apps", user(t, "owner")), "No.Such.Thing"), authz.Unmapped},
		{"an override does not mend an ambiguous path", override(request("GET", "/powerapps//apps", user(t, "owner")), "PowerApps.Apps.Read"), authz.BadRequest},
		{"an override asks at the scopes of the path", override(request("GET", "/powerapps/environments/e2/apps", user(t, "ada")), "PowerApps.Apps.Read"), authz.Overridden},
		{"whatever the method", override(request("get", "/powerapps/environments/e2/apps", user(t, "ada")), "PowerApps.Apps.Read"), authz.Overridden},
		{"whatever the path's end", override(request("POST", "/powerapps/environments/e2/apps/x/y/z", user(t, "ada")), "PowerApps.Apps.Read"), authz.Overridden},
		{"whatever the namespace", override(request("GET", "/x/environments/e2", user(t, "ada")), "PowerApps.Apps.Read"), authz.Overridden},
		{"whatever the content type", func() *ask.Request {
			r := override(request("GET", "/powerapps/environments/e2/apps", user(t, "ada")), "PowerApps.Apps.Read")
			r.GRPC = true
			return r
		}(), authz.Overridden},
		{"an override and an unlisted environment", override(request("get", "/x/environments/e9", user(t, "owner")), "PowerApps.Apps.Read"), authz.UnknownScope},
		{"an override and another tenant's host", host(override(request("get", "/x", user(t, "owner")), "PowerApps.Apps.Read"), "7f1d9a3c5b2e4d689c410a8e6f3b2d.15.tenant.api.powerplatform.com"), authz.CrossTenant},
		{"an override of what maps to nothing asks at the tenant", override(request("GET", "/x", user(t, "ada")), "PowerApps.Apps.Read"), authz.Granted},
		{"an override does not open a route that denies", override(request("POST", "/authorization/roleDefinitions", user(t, "owner")), "PowerApps.Apps.Read"), authz.Unmapped},
		{"an override of a type at the tenant's level", override(request("GET", "/powerapps/environments/e1/apps", user(t, "appenv")), "Licensing.BillingPolicies.Read"), authz.NoAssignment},
		{"the same permission at the environment itself", override(request("GET", "/powerapps/environments/e1/apps", user(t, "appenv")), "Licensing.Allocations.Read"), authz.Granted},
		{"self-elevation by another path", request("POST", "/usermanagement/environments/e1/users/x/apply", user(t, "owner")), authz.Unmapped},
		{"direct", direct("powerapps.apps.read", "/tenants/t1/environments/e1"), authz.Granted},
		{"direct, another tenant", direct("PowerApps.Apps.Read", "/tenants/t2"), authz.CrossTenant},
		{"direct, an unknown permission", direct("No.Such.Thing", "/tenants/t1"), authz.Unmapped},
		{"direct, not a permission", direct("nonsense", "/tenants/t1"), authz.BadRequest},
		{"direct, a catalogue that is not loaded", &ask.Request{Permission: "PowerApps.Apps.Read", Scope: "/tenants/t1", Catalogue: "third", Subject: user(t, "ada")}, authz.BadRequest},
		{"direct, not a scope", direct("PowerApps.Apps.Read", "/tenants"), authz.BadRequest},
		{"direct, Dataverse, which no platform role covers", &ask.Request{Permission: "Dataverse.Account.Read", Scope: "/tenants/t1", Subject: user(t, "owner")}, authz.Unmapped},
		{"what the adapter could not read", &ask.Request{Unreadable: "no http attributes"}, authz.BadRequest},
		{"nobody", request("GET", "/powerapps/apps", nil), authz.Unauthenticated},
		{"nobody, and unmapped", request("POST", "/powerapps/nonsense/x", nil), authz.Unauthenticated},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a ask.Answer
			f.gate.Decide(t.Context(), test.r, &a)
			if a.Reason != test.reason {
				t.Errorf("%v (%s), want %v", a.Reason, a.Detail, test.reason)
			}
			if a.DecisionID.Number == 0 {
				t.Error("the answer has no decision id")
			}
		})
	}
}

func TestAnAnswerNamesWhatWasAskedAndWhatDecided(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, nil)
	var a ask.Answer
	f.gate.Decide(t.Context(), request("PUT", "/powerapps/environments/E1/apps/A7", user(t, "ada")), &a)
	if want := []authz.Permission{"PowerApps.Apps.Create", "PowerApps.Apps.Update"}; !slices.Equal(a.Permissions, want) || !slices.Equal(a.Missing, want) {
		t.Errorf("permissions %v, missing %v, want %v", a.Permissions, a.Missing, want)
	}
	if want := []authz.Scope{"/tenants/t1/environments/e1/powerapps/a7"}; !slices.Equal(a.Scopes, want) {
		t.Errorf("scopes %v, want %v", a.Scopes, want)
	}
	f.gate.Decide(t.Context(), request("GET", "/powerapps/environments/e2/apps", user(t, "ada")), &a)
	if a.Assignment == nil || a.Assignment.AssignmentID != "a4" {
		t.Errorf("the deciding assignment is %+v, want a4", a.Assignment)
	}
	if a.Revision != f.store.Current().Revision() || a.Revision == (authz.Revision{}) {
		t.Errorf("revision %v, want %v", a.Revision, f.store.Current().Revision())
	}
}

func TestAnAssignmentIsGoneFromTheSecondItExpires(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, nil)
	expiry := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		now    time.Time
		reason authz.Reason
	}{
		{expiry.Add(-time.Nanosecond), authz.Granted},
		{expiry, authz.Expired},
		{expiry.Add(-time.Second), authz.Granted}, // and a cached view hides neither
		{expiry.Add(time.Hour), authz.Expired},
	} {
		f.now = test.now
		var a ask.Answer
		f.gate.Decide(t.Context(), request("GET", "/powerapps/apps", user(t, "temp")), &a)
		if a.Reason != test.reason {
			t.Errorf("at %v: %v, want %v", test.now, a.Reason, test.reason)
		}
	}
}

func TestARevocationIsInForceWhenItsRevisionIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, nil)
	ada := request("GET", "/powerapps/apps", user(t, "ada"))
	without := strings.Replace(policy, "principalObjectId: ada, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}", "principalObjectId: bob, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}", 1)
	for i := range 50 {
		text, want := policy, authz.Granted
		if i%2 == 1 {
			text, want = without, authz.NoAssignment
		}
		revision := f.apply(t, text)
		var a ask.Answer
		f.gate.Decide(t.Context(), ada, &a)
		if a.Reason != want || a.Revision != revision {
			t.Fatalf("change %d: %v at %v, want %v at %v", i, a.Reason, a.Revision, want, revision)
		}
	}
}

func TestBeforeTheFirstSnapshotNothingIsKnown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "", nil)
	var a ask.Answer
	f.gate.Decide(t.Context(), request("GET", "/powerapps/environments/e9/apps", user(t, "ada")), &a)
	if a.Reason != authz.NotReady {
		t.Errorf("%v, want NOT_READY", a.Reason)
	}
}

func TestAgeOfTheData(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, func(o *gate.Options) { o.MaxStalenessReads, o.MaxStalenessChanges = time.Hour, time.Minute })
	for _, test := range []struct {
		age    time.Duration
		method string
		reason authz.Reason
	}{
		{time.Minute, "DELETE", authz.Granted},
		{time.Minute + time.Second, "DELETE", authz.Stale},
		{time.Minute + time.Second, "GET", authz.Granted},
		{time.Hour, "GET", authz.Granted},
		{time.Hour + time.Second, "GET", authz.Stale},
	} {
		f.proven = f.now.Add(-test.age)
		var a ask.Answer
		f.gate.Decide(t.Context(), request(test.method, "/powerapps/environments/e1/apps/a7", user(t, "owner")), &a)
		if a.Reason != test.reason {
			t.Errorf("%s on data of age %v: %v, want %v", test.method, test.age, a.Reason, test.reason)
		}
	}
	f.proven = time.Time{}
	var a ask.Answer
	f.gate.Decide(t.Context(), request("GET", "/powerapps/apps", user(t, "gone")), &a)
	if a.Reason != authz.Stale {
		t.Errorf("never proven, and disabled: %v, want STALE, which goes first", a.Reason)
	}
}

func TestARevisionThatIsAskedForIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, nil)
	r := request("GET", "/powerapps/apps", user(t, "ada"))
	r.AtLeast = f.store.Current().Revision()
	r.AtLeast.Number++
	// The refusal comes before the deadline. On a busy machine this goroutine may not run
	// in time once, but not every time.
	inTime := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var a ask.Answer
		f.gate.Decide(ctx, r, &a)
		if a.Reason != authz.Stale {
			t.Fatalf("%v, want STALE", a.Reason)
		}
		return ctx.Err() == nil
	}
	for tries := 1; !inTime(); tries++ {
		if tries == 20 {
			t.Fatal("the refusal never came before the deadline")
		}
	}
	answered := make(chan ask.Answer)
	go func() {
		var a ask.Answer
		f.gate.Decide(t.Context(), r, &a)
		answered <- a
	}()
	f.apply(t, strings.Replace(policy, "id: e3", "id: e4", 1)[:strings.Index(policy, "      - {roleAssignmentId: a6")-0]+"...\n")
	if a := <-answered; a.Reason != authz.Granted || a.Revision.Compare(r.AtLeast) < 0 {
		t.Errorf("%v at %v, want GRANTED at %v or later", a.Reason, a.Revision, r.AtLeast)
	}
}

func TestWhoIsAsking(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		identifier identifier
		reason     authz.Reason
	}{
		{"verified", identifier{identity: identity.Identity{Subject: user(t, "ada")}}, authz.Granted},
		{"no credentials", identifier{err: identity.ErrNoIdentity}, authz.Unauthenticated},
		{"refused", identifier{err: &identity.InvalidError{Detail: "expired"}}, authz.Unauthenticated},
		{"keys not loaded", identifier{err: fmt.Errorf("issuer: %w", identity.ErrKeysUnavailable)}, authz.NotReady},
		{"an error nobody thought of", identifier{err: errors.New("?")}, authz.Unauthenticated},
		{"no error and nobody", identifier{}, authz.Unauthenticated},
		{"delegated", identifier{identity: identity.Identity{Subject: user(t, "ada"), EnforceDelegated: true, UserToken: true, Scopes: []string{"x", "powerapps.apps.read"}}}, authz.Granted},
		{"not delegated", identifier{identity: identity.Identity{Subject: user(t, "ada"), EnforceDelegated: true, UserToken: true, Scopes: []string{"PowerApps.Apps.ReadWrite"}}}, authz.DelegatedScopeMissing},
		{"an application's own token needs no delegation", identifier{identity: identity.Identity{Subject: user(t, "ada"), EnforceDelegated: true}}, authz.Granted},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, policy, func(o *gate.Options) { o.Identity = test.identifier })
			var a ask.Answer
			f.gate.Decide(t.Context(), request("GET", "/powerapps/apps", nil), &a)
			if a.Reason != test.reason {
				t.Errorf("%v (%s), want %v", a.Reason, a.Detail, test.reason)
			}
			var invalid *identity.InvalidError
			if a.InvalidCredentials != errors.As(test.identifier.err, &invalid) {
				t.Errorf("invalid credentials: %v", a.InvalidCredentials)
			}
		})
	}
}

// Elevating oneself to System Administrator is for directly held directory roles: the
// permission alone, which Owner and Contributor hold by *, does not suffice.
func TestARouteGrantedToDirectoryRoles(t *testing.T) {
	t.Parallel()
	f := newFixture(t, strings.Replace(policy, "    roleAssignments:\n", `    roleAssignments:
      - {principalType: DirectoryRole, principalObjectId: 11648597-926c-4cf3-9c36-bcebb0ba8dcc, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {principalType: DirectoryRole, principalObjectId: f2ef992c-3afb-46b9-b7cf-a126ee74c451, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
`, 1), nil)
	const path = "/usermanagement/environments/e1/user/applyAdminRole"
	for _, test := range []struct {
		name    string
		subject *authz.Subject
		reason  authz.Reason
	}{
		{"a Power Platform Administrator", user(t, "admin", directoryRole("11648597-926c-4cf3-9c36-bcebb0ba8dcc")), authz.Granted},
		{"the same, its identifier in upper case", user(t, "admin", directoryRole("11648597-926C-4CF3-9C36-BCEBB0BA8DCC")), authz.Granted},
		{"an Owner", user(t, "owner"), authz.NoAssignment},
		{"a Global Reader who holds the permission", user(t, "reader", directoryRole("f2ef992c-3afb-46b9-b7cf-a126ee74c451")), authz.NoAssignment},
		{"a Dynamics 365 Administrator without the permission", user(t, "crm", directoryRole("44367163-eba1-44c3-98af-f5787879f96a")), authz.NoAssignment},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a ask.Answer
			f.gate.Decide(t.Context(), request("POST", path, test.subject), &a)
			if a.Reason != test.reason {
				t.Errorf("%v (%s), want %v", a.Reason, a.Detail, test.reason)
			}
		})
	}
}

func TestABatchIsAnsweredFromOneRevision(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, nil)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			text := policy
			if i%2 == 0 {
				text = strings.ReplaceAll(policy, "principalObjectId: ada", "principalObjectId: bob")
			}
			f.apply(t, text)
		}
	}()
	ada, bob := user(t, "ada"), user(t, "bob")
	requests := make([]ask.Request, 200)
	for i := range requests {
		requests[i] = *request("GET", "/powerapps/environments/e1/apps", ada)
		if i%2 == 1 {
			requests[i].Subject = bob
		}
	}
	for range 50 {
		answers := make([]ask.Answer, len(requests))
		if err := f.gate.DecideBatch(t.Context(), requests, answers); err != nil {
			continue // too many changes meanwhile: nothing was decided
		}
		for i := range answers {
			if answers[i].Revision != answers[0].Revision || answers[i].Reason != answers[i%2].Reason {
				t.Fatalf("answer %d is %v at %v, answer %d %v at %v", i, answers[i].Reason, answers[i].Revision, i%2, answers[i%2].Reason, answers[i%2].Revision)
			}
		}
		if answers[0].Allowed() == answers[1].Allowed() {
			t.Fatal("ada and bob are both allowed, or both denied: at no revision is that so")
		}
	}
	close(stop)
	<-stopped
}

// A recorder that panics is a fault like any other: the answer denies.
func TestAPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, policy, func(o *gate.Options) {
		o.ProvenAt = func(string) time.Time { panic("provoked") }
		o.MaxStalenessReads = 1
	})
	var a ask.Answer
	f.gate.Decide(t.Context(), request("GET", "/powerapps/apps", user(t, "ada")), &a)
	if a.Reason != authz.Internal || a.Allowed() {
		t.Errorf("%v, want INTERNAL", a.Reason)
	}
}
