package gate_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The changes: each version differs from the one before in what somebody holds, and every
// tenth in roles and scopes too. Those come seldom, because with them all that is cached
// of the tenant ends at once, which would hide a change of a principal that was missed.
// The revision's number is the version's.
func version(n uint64) *snapshot.Data {
	const (
		tenant = "/tenants/t1"
		e1     = tenant + "/environments/e1"
	)
	held := func(p authz.PrincipalType, id, role string, scope authz.Scope, effect authz.AssignmentEffect) snapshot.RoleAssignment {
		return snapshot.RoleAssignment{
			ID: fmt.Sprintf("%v-%s-%s-%v", p, id, scope, effect), Principal: authz.Principal{Type: p, ID: id},
			RoleDefinitionID: role, Scope: scope, Effect: effect,
		}
	}
	person := func(id string) authz.Principal { return authz.Principal{Type: authz.User, ID: id} }
	reader := roleID("Power Platform Reader")
	t := snapshot.Tenant{
		ID:                "t1",
		Environments:      []snapshot.Environment{{ID: "e1"}, {ID: "e2"}},
		EnvironmentGroups: []authz.EnvironmentGroup{{ID: "g1"}},
		Principals:        []snapshot.Principal{{Principal: person("off"), Disabled: n%5 == 0}},
		Groups:            []snapshot.Group{{ID: "outer", Members: []authz.Principal{{Type: authz.Group, ID: "inner"}}}, {ID: "inner"}, {ID: "readers"}},
		RoleDefinitions: []authz.RoleDefinition{{
			ID: "changing", Name: "Changing", Permissions: []string{"PowerApps.Apps.Delete"}, AssignableScopes: []string{"/tenants/{0}"},
		}},
		RoleAssignments: []snapshot.RoleAssignment{
			held(authz.User, "steady", reader, tenant, authz.AssignAllow),
			held(authz.User, "off", reader, tenant, authz.AssignAllow),
			held(authz.User, "taken", reader, tenant, authz.AssignAllow),
			held(authz.User, "moved", reader, tenant+"/environmentGroups/g1", authz.AssignAllow),
			held(authz.User, "role", "changing", e1, authz.AssignAllow),
			held(authz.User, "somewhere", reader, tenant, authz.AssignAllow),
			held(authz.Group, "readers", reader, tenant, authz.AssignAllow),
			held(authz.Group, "outer", reader, tenant, authz.AssignAllow),
		},
	}
	if n%2 == 0 {
		t.RoleAssignments = append(t.RoleAssignments, held(authz.User, "given", reader, tenant, authz.AssignAllow))
	}
	if n%3 == 0 {
		t.RoleAssignments = append(t.RoleAssignments, held(authz.User, "taken", reader, e1, authz.AssignDeny))
	}
	if n%3 == 1 {
		t.Groups[2].Members = []authz.Principal{person("member")}
	}
	if n%4 < 2 {
		t.Groups[1].Members = []authz.Principal{person("nested")}
	}
	if n/10%2 == 1 {
		t.EnvironmentGroups[0].Environments = []string{"e1"}
	}
	if n/10%3 == 2 {
		t.RoleDefinitions[0].Permissions = []string{"PowerApps.Apps.Read"}
	}
	if n%7 == 0 {
		t.RoleAssignments = append(t.RoleAssignments, held(authz.Group, "anybody", reader, e1, authz.AssignForbid))
	}
	return &snapshot.Data{Tenants: []snapshot.Tenant{t}}
}

// truth says what each caller is told at a version when it wants to read the apps of e1.
var truth = map[string]func(n uint64) authz.Reason{
	"steady":  func(uint64) authz.Reason { return authz.Granted },
	"nobody":  func(uint64) authz.Reason { return authz.NoAssignment },
	"given":   func(n uint64) authz.Reason { return granted(n%2 == 0, authz.NoAssignment) },
	"taken":   func(n uint64) authz.Reason { return granted(n%3 != 0, authz.Overridden) },
	"off":     func(n uint64) authz.Reason { return granted(n%5 != 0, authz.PrincipalDisabled) },
	"member":  func(n uint64) authz.Reason { return granted(n%3 == 1, authz.NoAssignment) },
	"nested":  func(n uint64) authz.Reason { return granted(n%4 < 2, authz.NoAssignment) },
	"moved":   func(n uint64) authz.Reason { return granted(n/10%2 == 1, authz.NoAssignment) },
	"role":    func(n uint64) authz.Reason { return granted(n/10%3 == 2, authz.NoAssignment) },
	"unknown": func(n uint64) authz.Reason { return authz.GroupsUnknown },
	// Whose groups are not known, and who could be in the one that is forbidden.
	"somewhere": func(n uint64) authz.Reason { return granted(n%7 != 0, authz.GroupsUnknown) },
}

func granted(is bool, otherwise authz.Reason) authz.Reason {
	if is {
		return authz.Granted
	}
	return otherwise
}

func roleID(name string) string {
	for _, def := range roles.All() {
		if def.Name == name {
			return def.ID
		}
	}
	return ""
}

// readers ask one question after the other until they are stopped.
type readers struct {
	announced atomic.Uint64 // the newest version that was reported as applied
	checks    atomic.Uint64
	newer     atomic.Uint64 // answers from a version that was not announced yet
	failures  atomic.Uint64
	stop      chan struct{}
	wait      sync.WaitGroup
	// every lets the writer go on, once in so many checks.
	every uint64
	ticks chan struct{}
}

// start starts them: each notes the newest version announced before it asks. Nobody may
// be answered from an older one, nor with anything but what the version named gives.
func (x *readers) start(t *testing.T, f *fixture, n int) {
	t.Helper()
	names := slices.Sorted(maps.Keys(truth))
	requests := map[string]*ask.Request{}
	for _, name := range names {
		who := user(t, name)
		if name == "unknown" || name == "somewhere" {
			who = user(t, name, groupsUnknown)
		}
		requests[name] = request("GET", "/powerapps/environments/e1/apps", who)
	}
	x.stop, x.ticks = make(chan struct{}), make(chan struct{}, 1)
	for i := range n {
		x.wait.Go(func() {
			var a ask.Answer
			for k := i; ; k++ {
				select {
				case <-x.stop:
					return
				default:
				}
				name := names[k%len(names)]
				floor := x.announced.Load()
				f.gate.Decide(t.Context(), requests[name], &a)
				x.judge(t, name, floor, &a)
				if x.checks.Add(1)%x.every == 0 {
					select {
					case x.ticks <- struct{}{}:
					default:
					}
				}
			}
		})
	}
}

func (x *readers) judge(t *testing.T, name string, floor uint64, a *ask.Answer) {
	at := a.Revision.Number
	var problem string
	switch {
	case at < floor:
		problem = fmt.Sprintf("from version %d, after %d was announced", at, floor)
	case a.Reason != truth[name](at):
		problem = fmt.Sprintf("version %d gives %v", at, truth[name](at))
	case a.Allowed() && at == floor && truth[name](floor) != authz.Granted:
		problem = fmt.Sprintf("allowed, which version %d does not give", floor)
	default:
		if at > floor {
			x.newer.Add(1)
		}
		return
	}
	if x.failures.Add(1) <= 10 {
		t.Errorf("%s is told %v (%s): %s", name, a.Reason, a.Detail, problem)
	}
}

// change puts a version in force and announces it.
func (x *readers) change(t *testing.T, f *fixture, n uint64) {
	t.Helper()
	revision, err := f.store.Replace(t.Context(), version(n), snapshot.Change{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if revision.Number != n {
		t.Fatalf("version %d is revision %d", n, revision.Number)
	}
	x.announced.Store(n)
}

func (x *readers) finish(t *testing.T, f *fixture) {
	t.Helper()
	close(x.stop)
	x.wait.Wait()
	stats := f.store.Stats()
	t.Logf("%d checks during %d changes, %d of them answered from a version that was not announced yet; %d hits, %d misses, %d waits; %d failures",
		x.checks.Load(), x.announced.Load(), x.newer.Load(), stats.Hits, stats.Misses, stats.Waits, x.failures.Load())
	if stats.Alarms != 0 || !stats.CacheOn {
		t.Errorf("%d cached views differed from the file, cache on: %t", stats.Alarms, stats.CacheOn)
	}
	if stats.Hits == 0 || stats.Misses == 0 {
		t.Errorf("%d hits and %d misses: one of the ways was not taken", stats.Hits, stats.Misses)
	}
}

// 100,000 checks during 100 changes: a change is in force everywhere at the moment that
// its revision is reported, and no answer mixes two revisions.
func TestNoAnswerIsOlderThanWhatWasAnnounced(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "", nil)
	x := &readers{every: 1000}
	x.change(t, f, 1)
	x.start(t, f, 4)
	defer x.finish(t, f)
	for n := uint64(2); n <= 101; n++ {
		<-x.ticks
		x.change(t, f, n)
	}
	<-x.ticks
	if x.checks.Load() < 100_000 {
		t.Errorf("only %d checks", x.checks.Load())
	}
}
