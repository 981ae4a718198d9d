package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

const (
	reader        = "Power Platform Reader"
	contributor   = "Power Platform Contributor"
	owner         = "Power Platform Owner"
	administrator = "Power Platform Role Based Access Control Administrator"

	write    = "Authorization.RoleAssignments.Write"
	remove   = "Authorization.RoleAssignments.Delete"
	tenantT1 = "/tenants/t1"
	envE1    = "/tenants/t1/environments/e1"
	envE2    = "/tenants/t1/environments/e2"
	envE3    = "/tenants/t1/environments/e3"
	groupG1  = "/tenants/t1/environmentGroups/g1"
	groupG2  = "/tenants/t1/environmentGroups/g2"
)

// begin is the time at which every world begins.
var begin = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

var vocabulary = sync.OnceValue(func() *authz.Vocabulary {
	catalogues, err := naming.Load(naming.Shipped())
	if err != nil {
		panic(err)
	}
	return catalogues.Vocabulary()
})

// A clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A world is a store with an administration, and a clock.
type world struct {
	*admin.Admin
	t       testing.TB
	store   *snapshot.Store
	options admin.Options
	clock   *clock
	secret  *admin.Secret
	log     *logged
}

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newWorld makes a world of a bundle: its tenants, without the frame around them. Nothing
// makes an empty store.
func newWorld(t testing.TB, tenants string, change ...func(*admin.Options)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: begin}, log: &logged{}}
	dir := t.TempDir()
	var err error
	w.store, err = snapshot.Open(t.Context(), snapshot.Options{
		Dir: dir, Vocabulary: vocabulary(), ShippedRoles: roles.All(), StandardTables: roles.StandardTables(), CacheBytes: -1, Now: w.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	if tenants != "" {
		if _, err := w.store.Replace(t.Context(), parse(t, tenants), snapshot.Change{Source: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	if w.secret, err = admin.OpenSecret(dir); err != nil {
		t.Fatal(err)
	}
	w.options = admin.Options{
		Store: admin.FromSnapshot(w.store), Vocabulary: vocabulary(), ShippedRoles: roles.All(), Writable: true,
		Secret: w.secret, Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	for _, c := range change {
		c(&w.options)
	}
	if w.Admin, err = admin.New(w.options); err != nil {
		t.Fatal(err)
	}
	return w
}

func parse(t testing.TB, tenants string) *snapshot.Data {
	t.Helper()
	d, err := bundle.Parse("test.yaml", []byte("apiVersion: pathgrant/v1\ntenants:\n"+tenants+"\n...\n"), bundle.Options{Vocabulary: vocabulary(), Now: begin})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func user(id string) authz.Principal  { return authz.Principal{Type: authz.User, ID: id} }
func group(id string) authz.Principal { return authz.Principal{Type: authz.Group, ID: id} }
func app(id string) authz.Principal   { return authz.Principal{Type: authz.ApplicationUser, ID: id} }

// as makes a caller of tenant t1; who may be followed by its token's groups.
func (w *world) as(id string, groups ...string) admin.Caller {
	return w.caller(authz.SubjectSpec{Tenant: "t1", Principal: user(id), Groups: groups})
}

func (w *world) caller(spec authz.SubjectSpec) admin.Caller {
	w.t.Helper()
	s, err := authz.NewSubject(spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return admin.Caller{Kind: admin.Token, Subject: s, From: "192.0.2.7", Agent: "test/1"}
}

var operator = admin.Caller{Kind: admin.Operator, From: "local", Agent: "pathgrant"}

// assign asks for an assignment.
func (w *world) assign(c admin.Caller, p authz.Principal, role, scope string, more ...func(*admin.CreateRoleAssignmentRequest)) (admin.RoleAssignmentResult, error) {
	q := admin.CreateRoleAssignmentRequest{Principal: p, Role: role, Scope: scope}
	for _, m := range more {
		m(&q)
	}
	return w.CreateRoleAssignment(context.Background(), c, q)
}

func effect(e authz.AssignmentEffect) func(*admin.CreateRoleAssignmentRequest) {
	return func(q *admin.CreateRoleAssignmentRequest) { q.Effect = e }
}

func until(at time.Time) func(*admin.CreateRoleAssignmentRequest) {
	return func(q *admin.CreateRoleAssignmentRequest) { q.Expires = at }
}

func (w *world) unassign(c admin.Caller, id string) (admin.RoleAssignmentResult, error) {
	return w.DeleteRoleAssignment(context.Background(), c, admin.DeleteRoleAssignmentRequest{ID: id})
}

// want checks that an error is of a kind; nil: that there is none.
func want(t testing.TB, what string, err error, kind error) {
	t.Helper()
	if kind == nil && err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("%s: %v (%s), want %s", what, err, admin.KindOf(err), admin.KindOf(kind))
	}
}

// revision is the newest one.
func (w *world) revision() authz.Revision { return w.store.Current().Revision() }

// find returns the identifier of the only assignment of a principal at a scope.
func (w *world) find(p authz.Principal, scope string) string {
	w.t.Helper()
	_, all, err := w.store.AssignmentsAt(context.Background(), "t1", authz.Scope(scope))
	if err != nil {
		w.t.Fatal(err)
	}
	id := ""
	for _, as := range all {
		if as.Principal == p {
			if id != "" {
				w.t.Fatalf("%s has several assignments at %s", p, scope)
			}
			id = as.ID
		}
	}
	if id == "" {
		w.t.Fatalf("%s has no assignment at %s", p, scope)
	}
	return id
}

// company is a tenant with an administrator, root, two groups of environments, and people.
const company = `
  - id: t1
    environmentGroups: [{id: g1, environments: [e1, e2]}, {id: g2, environments: []}]
    environments: [{id: e3}]
    principals:
      - {principalType: User, principalObjectId: gone, disabled: true}
    groups:
      - {id: staff, members: [{principalType: User, principalObjectId: ada}, {principalType: Group, principalObjectId: team}]}
      - {id: team, members: [{principalType: User, principalObjectId: bob}]}
    roleAssignments:
      - {principalType: User, principalObjectId: root, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {principalType: User, principalObjectId: second, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1}
      - {principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1}
      - {principalType: User, principalObjectId: ena, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1/environments/e1}
      - {principalType: User, principalObjectId: gia, roleDefinitionName: Power Platform Role Based Access Control Administrator, scope: /tenants/t1/environmentGroups/g1}
`
