package authz_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// now is the second in which the cases ask, unless they say another.
const now int64 = 1000

var kinds = map[string]authz.PrincipalType{
	"user": authz.User, "app": authz.ApplicationUser, "group": authz.Group,
	"role": authz.DirectoryRole, "team": authz.Team,
}

var effects = map[string]authz.AssignmentEffect{
	"allow": authz.AssignAllow, "deny": authz.AssignDeny, "forbid": authz.AssignForbid,
}

func principal(t testing.TB, text string) authz.Principal {
	t.Helper()
	kind, id, _ := strings.Cut(text, ":")
	if kinds[kind] == authz.NoPrincipal {
		t.Fatalf("cannot read the principal %q", text)
	}
	return authz.Principal{Type: kinds[kind], ID: id}
}

// grant reads an assignment: name, effect, principal, role, scope, and perhaps
// "until" and the second in which it expires.
func (w world) grant(t testing.TB, words []string) authz.Grant {
	t.Helper()
	g := authz.Grant{
		AssignmentID: words[0], Effect: effects[words[1]], Principal: principal(t, words[2]),
		Role: w.roles[words[3]], Scope: authz.Scope(words[4]),
	}
	if g.Role == nil || g.Effect == authz.NoEffect {
		t.Fatalf("cannot read the assignment %q", words)
	}
	if len(words) > 5 {
		g.Expires = second(t, words[6])
	}
	return g
}

func second(t testing.TB, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// want is an expectation: effect, subject, permissions, scopes, reason, and perhaps "by"
// and an assignment, and "at" and a second.
type want struct {
	effect, subject, permissions, scopes, reason, by string
	at                                               int64
}

func parseWant(t testing.TB, words []string) want {
	t.Helper()
	w := want{words[0], words[1], words[2], words[3], words[4], "", now}
	for rest := words[5:]; len(rest) > 0; rest = rest[2:] {
		switch rest[0] {
		case "by":
			w.by = rest[1]
		case "at":
			w.at = second(t, rest[1])
		default:
			t.Fatalf("cannot read the expectation %q", words)
		}
	}
	return w
}

// The cases in testdata/decide, one behaviour a file.
func TestDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cases(t, "decide", func(t *testing.T, archive *txtar.Archive) {
		var all []authz.Grant
		for _, words := range lines(archive, "assignments") {
			all = append(all, w.grant(t, words))
		}
		wants := lines(archive, "want")
		if len(all) == 0 || len(wants) == 0 {
			t.Fatal("a case needs assignments and wants something")
		}
		for _, words := range wants {
			want := parseWant(t, words)
			own, denials, unknown := grantsOf(t, want.subject, all)
			r := w.request(t, want.permissions, want.scopes)
			r.GroupsUnknown, r.GroupDenials = unknown, denials
			got := authz.Decide(own, r, want.at)
			by := ""
			if got.Grant != nil {
				by = got.Grant.AssignmentID
			}
			if got.Reason.Effect().String() != want.effect || got.Reason.String() != want.reason || by != want.by {
				t.Errorf("%s\ngot %s %s by %q", strings.Join(words, " "), got.Reason.Effect(), got.Reason, by)
			}
		}
	})
}

// grantsOf returns the assignments of a subject, principals joined by "+", of which
// "unknown" stands for groups that could not be learnt, and all denials of groups.
func grantsOf(t testing.TB, subject string, all []authz.Grant) (own, denials *authz.Grants, unknown bool) {
	t.Helper()
	belongs := map[authz.Principal]bool{}
	for text := range strings.SplitSeq(subject, "+") {
		if text == "unknown" {
			unknown = true
			continue
		}
		belongs[principal(t, text).Key()] = true
	}
	var mine, ofGroups []authz.Grant
	for _, g := range all {
		if belongs[g.Principal.Key()] {
			mine = append(mine, g)
		}
		if g.Principal.Type == authz.Group && g.Effect != authz.AssignAllow {
			ofGroups = append(ofGroups, g)
		}
	}
	return authz.NewGrants(mine), authz.NewGrants(ofGroups), unknown
}

// The pair that settled a request is named: the first that is not allowed or, where all
// are, the first.
func TestDecisionNamesItsPair(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grants := authz.NewGrants([]authz.Grant{
		w.grant(t, strings.Fields("1 allow user:ada AppReader /tenants/acme")),
		w.grant(t, strings.Fields("2 allow user:ada AppWriter /tenants/acme/environments/prod")),
	})
	for _, c := range []struct{ permissions, scopes, permission, scope string }{
		{"PowerApps.Apps.Read,PowerApps.Apps.Create", "/tenants/acme/environments/prod,/tenants/acme", "PowerApps.Apps.Create", "/tenants/acme"},
		{"PowerApps.Apps.Play,PowerApps.Apps.Create", "/tenants/acme/environments/prod,/tenants/acme", "PowerApps.Apps.Play", "/tenants/acme/environments/prod"},
		{"PowerApps.Apps.Read,PowerApps.Apps.Create", "/tenants/acme/environments/prod", "PowerApps.Apps.Read", "/tenants/acme/environments/prod"},
	} {
		got := authz.Decide(grants, w.request(t, c.permissions, c.scopes), now)
		if name := w.vocabulary.Name(got.Permission); string(name) != c.permission || string(got.Scope) != c.scope {
			t.Errorf("%s at %s: got the pair %s at %s, want %s at %s", c.permissions, c.scopes, name, got.Scope, c.permission, c.scope)
		}
	}
}

// What was not asked, or not given, is not allowed.
func TestZeroValuesDeny(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	scope := authz.Scope("/tenants/acme")
	full := w.grant(t, strings.Fields("1 allow user:ada Everything /tenants/acme"))
	everything := authz.NewGrants([]authz.Grant{full})
	read := w.request(t, "PowerApps.Apps.Read", string(scope))

	if d := (authz.Decision{}); d.Allowed() || d.Reason.Effect() != authz.Deny {
		t.Error("the zero Decision allows")
	}
	if d := authz.Decide(everything, read, now); !d.Allowed() {
		t.Fatalf("got %s: what follows would prove nothing", d.Reason)
	}
	withGrant := func(change func(*authz.Grant)) *authz.Grants {
		g := full
		change(&g)
		return authz.NewGrants([]authz.Grant{g})
	}
	for name, d := range map[string]authz.Decision{
		"no grants":           authz.Decide(nil, read, now),
		"zero Grants":         authz.Decide(&authz.Grants{}, read, now),
		"empty grants":        authz.Decide(authz.NewGrants(nil), read, now),
		"no request":          authz.Decide(everything, authz.Request{}, now),
		"no permissions":      authz.Decide(everything, authz.Request{Chains: read.Chains}, now),
		"no chains":           authz.Decide(everything, authz.Request{Permissions: read.Permissions}, now),
		"an empty chain":      authz.Decide(everything, authz.Request{Permissions: read.Permissions, Chains: [][]authz.Scope{{}}}, now),
		"one chain empty":     authz.Decide(everything, authz.Request{Permissions: read.Permissions, Chains: [][]authz.Scope{{scope}, nil}}, now),
		"a number too great":  authz.Decide(everything, authz.Request{Permissions: []authz.PermissionID{1 << 20}, Chains: read.Chains}, now),
		"no role":             authz.Decide(withGrant(func(g *authz.Grant) { g.Role = nil }), read, now),
		"the zero Role":       authz.Decide(withGrant(func(g *authz.Grant) { g.Role = &authz.Role{} }), read, now),
		"no effect":           authz.Decide(withGrant(func(g *authz.Grant) { g.Effect = authz.NoEffect }), read, now),
		"an unknown effect":   authz.Decide(withGrant(func(g *authz.Grant) { g.Effect = 99 }), read, now),
		"no scope":            authz.Decide(withGrant(func(g *authz.Grant) { g.Scope = "" }), read, now),
		"expired before time": authz.Decide(withGrant(func(g *authz.Grant) { g.Expires = -1 }), read, now),
	} {
		if d.Allowed() {
			t.Errorf("%s: got %s", name, d.Reason)
		}
	}
}

// Unknown groups and no list of the groups' denials: nothing is made up, nothing crashes.
func TestGroupsUnknownWithoutDenials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.request(t, "PowerApps.Apps.Read", "/tenants/acme")
	r.GroupsUnknown = true
	if d := authz.Decide(nil, r, now); d.Reason != authz.GroupsUnknown {
		t.Errorf("got %s, want GROUPS_UNKNOWN", d.Reason)
	}
	grants := authz.NewGrants([]authz.Grant{w.grant(t, strings.Fields("1 allow user:ada Reader /tenants/acme"))})
	if d := authz.Decide(grants, r, now); d.Reason != authz.Granted {
		t.Errorf("got %s, want GRANTED", d.Reason)
	}
}

// The order in which assignments are listed means nothing.
func TestDecideDoesNotDependOnTheOrderOfGrants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	texts := []string{
		"1 allow user:ada Everything /tenants/acme",
		"2 deny user:ada AppReader /tenants/acme/environments/prod",
		"3 allow user:ada AppReader /tenants/acme/environments/prod",
		"4 deny user:ada Reader /tenants/acme/environments/prod",
	}
	r := w.request(t, "PowerApps.Apps.Read", "/tenants/acme/environments/prod/powerapps/a7")
	for first := range texts {
		var list []authz.Grant
		for i := range texts {
			list = append(list, w.grant(t, strings.Fields(texts[(first+i)%len(texts)])))
		}
		d := authz.Decide(authz.NewGrants(list), r, now)
		if d.Reason != authz.Overridden || d.Grant.AssignmentID != "2" {
			t.Errorf("beginning with %q: got %s by %v, want OVERRIDDEN by 2", texts[first], d.Reason, d.Grant)
		}
	}
}

func TestMissingNamesEveryPermissionThatIsNotHeldEverywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grants := authz.NewGrants([]authz.Grant{
		w.grant(t, strings.Fields("1 allow user:ada AppReader /tenants/acme")),
		w.grant(t, strings.Fields("2 allow user:ada AppWriter /tenants/acme/environments/prod")),
	})
	for _, c := range []struct{ permissions, scopes, want string }{
		{"PowerApps.Apps.Read", "/tenants/acme", ""},
		{"PowerApps.Apps.Play,PowerApps.Apps.Read,PowerApps.Apps.Create", "/tenants/acme/environments/prod", "PowerApps.Apps.Play"},
		{"PowerApps.Apps.Play,PowerApps.Apps.Read,PowerApps.Apps.Create", "/tenants/acme/environments/prod,/tenants/acme/environments/test", "PowerApps.Apps.Play PowerApps.Apps.Create"},
	} {
		var got []string
		for _, id := range authz.AppendMissing(nil, grants, w.request(t, c.permissions, c.scopes), now) {
			got = append(got, string(w.vocabulary.Name(id)))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s at %s: got %v, want %q", c.permissions, c.scopes, got, c.want)
		}
	}
}

func TestGrantsListsAllThatItWasGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := authz.NewGrants([]authz.Grant{
		w.grant(t, strings.Fields("2 allow user:ada Reader /tenants/acme/environments/prod")),
		w.grant(t, strings.Fields("1 allow user:ada Reader /tenants/acme")),
		w.grant(t, strings.Fields("3 forbid user:ada Reader /tenants/acme")),
	})
	var got []string
	for _, grant := range g.All() {
		got = append(got, grant.AssignmentID)
	}
	if diff := cmp.Diff([]string{"3", "1", "2"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all := (*authz.Grants)(nil).All(); all != nil {
		t.Errorf("a nil Grants lists %v", all)
	}
}

func TestAssignmentEffectText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]authz.AssignmentEffect{"ALLOW": authz.AssignAllow, "DENY": authz.AssignDeny, "FORBID": authz.AssignForbid} {
		var got authz.AssignmentEffect
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %v and %v", text, got, err)
		}
		if back, err := want.MarshalText(); err != nil || string(back) != text {
			t.Errorf("%s is written %q", text, back)
		}
	}
	for _, text := range []string{"", "allow", "PERMIT", "ALLOW "} {
		got := authz.NoEffect
		if err := got.UnmarshalText([]byte(text)); err == nil || got != authz.NoEffect {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	if got := authz.AssignmentEffect(9).String(); got != "AssignmentEffect(9)" {
		t.Errorf("got %q", got)
	}
}

// A decision is on the way of every request: it must not allocate, however it ends.
func TestDecideDoesNotAllocate(t *testing.T) {
	w := newWorld(t)
	grants := authz.NewGrants([]authz.Grant{
		w.grant(t, strings.Fields("1 allow user:ada Reader /tenants/acme")),
		w.grant(t, strings.Fields("2 deny user:ada FlowReader /tenants/acme/environments/prod")),
		w.grant(t, strings.Fields("3 forbid user:ada AppDeleter /tenants/acme/environments/prod")),
		w.grant(t, strings.Fields("4 allow user:ada AppWriter /tenants/acme until 1000")),
	})
	app := "/tenants/acme/environments/prod/powerapps/a7"
	unknown := w.request(t, "PowerApps.Apps.Read", app)
	unknown.GroupsUnknown = true
	unknown.GroupDenials = authz.NewGrants([]authz.Grant{w.grant(t, strings.Fields("5 deny group:g AppReader /tenants/acme"))})
	for want, r := range map[authz.Reason]authz.Request{
		authz.Granted:       w.request(t, "PowerApps.Apps.Read,Settings.Tenant.Read", app+",/tenants/acme"),
		authz.NoAssignment:  w.request(t, "PowerApps.Apps.Play", app),
		authz.Overridden:    w.request(t, "Flow.Flows.Read", app),
		authz.Forbidden:     w.request(t, "PowerApps.Apps.Delete", app),
		authz.Expired:       w.request(t, "PowerApps.Apps.Create", app),
		authz.GroupsUnknown: unknown,
		authz.Internal:      {},
	} {
		if got := authz.Decide(grants, r, now).Reason; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if n := testing.AllocsPerRun(100, func() { authz.Decide(grants, r, now) }); n != 0 {
			t.Errorf("%s: %v allocations", want, n)
		}
	}
}
