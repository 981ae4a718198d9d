package explain_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/explain"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const policy = `apiVersion: pathgrant/v1
tenants:
  - id: t1
    environmentGroups: [{id: g1, environments: [e1, e2]}]
    environments: [{id: e3}]
    principals: [{principalType: User, principalObjectId: gone, disabled: true}]
    groups:
      - {id: staff, displayName: All staff, members: [{principalType: User, principalObjectId: ada}, {principalType: User, principalObjectId: kim}]}
      - {id: everyone, displayName: Everyone, members: [{principalType: Group, principalObjectId: staff}]}
    roleDefinitions:
      - {roleDefinitionId: makes, roleDefinitionName: Makes apps, permissions: [PowerApps.Apps.Create], assignableScopes: ["/tenants/{0}"]}
    roleAssignments:
      - {roleAssignmentId: a1, principalType: Group, principalObjectId: everyone, roleDefinitionName: Power Platform Reader, scope: /tenants/t1}
      - {roleAssignmentId: a2, principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1, effect: DENY}
      - {roleAssignmentId: a3, principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1/environmentGroups/g1, expiresOn: "2029-01-01T00:00:00Z"}
      - {roleAssignmentId: a4, principalType: User, principalObjectId: ada, roleDefinitionName: Power Platform Owner, scope: /tenants/t1/environments/e3}
      - {roleAssignmentId: a5, principalType: Group, principalObjectId: token, roleDefinitionName: Makes apps, scope: /tenants/t1}
      - {roleAssignmentId: a6, principalType: Group, principalObjectId: staff, roleDefinitionName: Power Platform Owner, scope: /tenants/t1/environments/e2, effect: FORBID}
      - {roleAssignmentId: a7, principalType: User, principalObjectId: con, roleDefinitionName: Power Platform Contributor, scope: /tenants/t1}
...
`

// said is a considered assignment in short.
func said(p *explain.Pair) []string {
	var all []string
	for _, c := range p.Assignments {
		all = append(all, fmt.Sprintf("%s %s %s", c.ID, c.Verdict, c.Effect))
	}
	return all
}

func http(t testing.TB, who, method, path string, groups ...string) *ask.Request {
	t.Helper()
	return &ask.Request{Adapter: "test", HTTP: true, Method: method, Path: path, Subject: user(t, who, groups...)}
}

func TestARefusalIsExplainedAssignmentByAssignment(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	e := w.explain(http(t, "ada", "GET", "/powerapps/environments/e1/apps", "token"))
	if e.Answer.Reason != authz.Overridden || e.Answer.DecidedBy != "convention" || e.Catalogue != "powerplatform" {
		t.Errorf("%s by %q of %q, want OVERRIDDEN by convention of powerplatform", e.Answer.Reason, e.Answer.DecidedBy, e.Catalogue)
	}
	want := []explain.Membership{
		{Principal: principal(authz.Group, "token"), ByToken: true},
		{Principal: principal(authz.Group, "staff"), DisplayName: "All staff"},
		{Principal: principal(authz.Group, "everyone"), DisplayName: "Everyone", Via: []authz.Principal{principal(authz.Group, "staff")}},
	}
	if diff := cmp.Diff(want, e.Subject.Memberships); diff != "" {
		t.Errorf("memberships (-want +got):\n%s", diff)
	}
	if len(e.Pairs) != 1 || e.Pairs[0].Permission != "PowerApps.Apps.Read" {
		t.Fatalf("pairs %+v", e.Pairs)
	}
	pair := &e.Pairs[0]
	chain := []authz.Scope{"/tenants/t1/environments/e1", "/tenants/t1/environmentGroups/g1", "/tenants/t1"}
	if diff := cmp.Diff(chain, pair.Chain); diff != "" {
		t.Errorf("chain (-want +got):\n%s", diff)
	}
	verdicts := []string{
		"a2 DECIDED DENY", "a1 OVERRIDDEN ALLOW", "a3 EXPIRED ALLOW", "a5 NOT_COVERED ALLOW", "a6 OTHER_SCOPE FORBID", "a4 OTHER_SCOPE ALLOW",
	}
	slices.Sort(verdicts[4:])
	got := said(pair)
	if len(got) == len(verdicts) {
		slices.Sort(got[4:])
	}
	if diff := cmp.Diff(verdicts, got); diff != "" {
		t.Errorf("assignments (-want +got):\n%s", diff)
	}
	if e.Hidden != 0 {
		t.Errorf("%d assignments are hidden from somebody who may see everything", e.Hidden)
	}
	// The DENY stands at the environment itself, and no shipped role for reading apps alone can
	// be assigned nearer.
	if len(e.Mend.Assignments) != 0 || len(e.Mend.InTheWay) != 1 || e.Mend.InTheWay[0].ID != "a2" {
		t.Errorf("mend %+v", e.Mend)
	}
}

func TestAnAllowHasNoMend(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	e := w.explain(http(t, "kim", "GET", "/powerapps/environments/e3/apps"))
	if !e.Answer.Allowed() || e.Mend != nil {
		t.Errorf("%s, mend %+v", e.Answer.Reason, e.Mend)
	}
	if got, want := said(&e.Pairs[0])[0], "a1 DECIDED ALLOW"; got != want {
		t.Errorf("first assignment %q, want %q", got, want)
	}
}

func TestAnExceptionOfARoleIsNamed(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	e := w.explain(&ask.Request{Adapter: "test", Permission: "Authorization.RoleAssignments.Write", Scope: "/tenants/t1", Subject: user(t, "con")})
	if diff := cmp.Diff([]string{"a7 EXCEPTION ALLOW"}, said(&e.Pairs[0])); diff != "" {
		t.Errorf("assignments (-want +got):\n%s", diff)
	}
	if got := e.Pairs[0].Assignments[0].Detail; !strings.Contains(got, "exception") {
		t.Errorf("detail %q", got)
	}
	// What gives the least and covers it: the RBAC administrator, not Owner.
	if len(e.Mend.Assignments) != 1 || e.Mend.Assignments[0].RoleID != "95e94555-018c-447b-8691-bdac8e12211e" {
		t.Errorf("mend %+v", e.Mend)
	}
}

func TestAForbidCannotBeMendedAndSaysWhatIsInTheWay(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	e := w.explain(http(t, "kim", "GET", "/powerapps/environments/e2/apps"))
	if e.Answer.Reason != authz.Forbidden || len(e.Mend.Assignments) != 0 || len(e.Mend.InTheWay) != 1 || e.Mend.InTheWay[0].ID != "a6" {
		t.Fatalf("%s, mend %+v", e.Answer.Reason, e.Mend)
	}
	want := []string{"no assignment helps: remove the FORBID assignment a6, or take the caller out of Group staff"}
	if diff := cmp.Diff(want, e.Mend.Advice); diff != "" {
		t.Errorf("advice (-want +got):\n%s", diff)
	}
}

func TestWhatNoAssignmentHelpsSaysWhatWould(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	unknown, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: principal(authz.User, "nobody"), GroupsUnknown: true, FoldCase: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		r      *ask.Request
		reason authz.Reason
		advice string
	}{
		{"unmapped", http(t, "ada", "PROPFIND", "/powerapps/apps"), authz.Unmapped, "catalogue"},
		{"a bad path", http(t, "ada", "GET", "/powerapps//apps"), authz.BadRequest, "correct the request"},
		{"another tenant", &ask.Request{Permission: "PowerApps.Apps.Read", Scope: "/tenants/t2", Subject: user(t, "ada")}, authz.CrossTenant, "tenant"},
		{"an unlisted environment", http(t, "ada", "GET", "/powerapps/environments/e9/apps"), authz.UnknownScope, "list the environment"},
		{"a disabled caller", http(t, "gone", "GET", "/powerapps/apps"), authz.PrincipalDisabled, "enable"},
		{"unknown groups", &ask.Request{HTTP: true, Method: "GET", Path: "/powerapps/apps", Subject: unknown}, authz.GroupsUnknown, "groups"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := w.explain(c.r)
			if e.Answer.Reason != c.reason || len(e.Mend.Assignments) != 0 || len(e.Mend.Advice) == 0 || !strings.Contains(e.Mend.Advice[0], c.advice) {
				t.Errorf("%s, mend %+v; want %s and advice with %q", e.Answer.Reason, e.Mend, c.reason, c.advice)
			}
		})
	}
}

func TestWhatMayNotBeReadIsCountedAndNotShown(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	self := func(*snapshot.Reader, *authz.Subject, []authz.Scope) (explain.Viewer, error) {
		return explain.Viewer{Self: true}, nil
	}
	e, err := w.explainer.Explain(t.Context(), http(t, "kim", "GET", "/powerapps/environments/e2/apps"), self)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a1 OVERRIDDEN ALLOW"}, said(&e.Pairs[0])); diff != "" {
		t.Errorf("assignments that allow oneself are shown, those that deny are not (-want +got):\n%s", diff)
	}
	if e.Hidden != 1 || e.Answer.Assignment != nil || len(e.Mend.InTheWay) != 0 {
		t.Errorf("hidden %d, deciding %+v, in the way %+v; want 1, none, none", e.Hidden, e.Answer.Assignment, e.Mend.InTheWay)
	}
	for _, text := range append(e.Mend.Advice, e.Notes...) {
		if strings.Contains(text, "a6") {
			t.Errorf("%q names what may not be read", text)
		}
	}
	some := func(*snapshot.Reader, *authz.Subject, []authz.Scope) (explain.Viewer, error) {
		return explain.Viewer{May: func(s authz.Scope) bool { return s == "/tenants/t1/environments/e2" }}, nil
	}
	if e, err = w.explainer.Explain(t.Context(), http(t, "kim", "GET", "/powerapps/environments/e2/apps"), some); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a6 DECIDED FORBID"}, said(&e.Pairs[0])); diff != "" || e.Hidden != 1 {
		t.Errorf("hidden %d, want 1; (-want +got):\n%s", e.Hidden, diff)
	}
}

func TestWhoMayNotAskGetsTheErrorAndNothingElse(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	no := errors.New("no")
	var about *authz.Subject
	var at []authz.Scope
	refuse := func(_ *snapshot.Reader, s *authz.Subject, scopes []authz.Scope) (explain.Viewer, error) {
		about, at = s, scopes
		return explain.Viewer{}, no
	}
	e, err := w.explainer.Explain(t.Context(), http(t, "kim", "GET", "/powerapps/environments/e2/apps"), refuse)
	if e != nil || !errors.Is(err, no) {
		t.Errorf("explanation %+v, error %v", e, err)
	}
	if about.Principal().ID != "kim" || len(at) != 1 || at[0] != "/tenants/t1/environments/e2" {
		t.Errorf("asked about %v at %v", about.Principal(), at)
	}
	// What names no scope, or one of another tenant, is about the tenant as a whole.
	for _, r := range []*ask.Request{
		http(t, "kim", "GET", "/powerapps//apps"), {Permission: "PowerApps.Apps.Read", Scope: "/tenants/t2", Subject: user(t, "kim")},
	} {
		_, _ = w.explainer.Explain(t.Context(), r, refuse)
		if len(at) != 1 || at[0] != "/tenants/t1" {
			t.Errorf("%s%s: asked at %v", r.Path, r.Scope, at)
		}
	}
	if _, err := w.explainer.Explain(t.Context(), &ask.Request{HTTP: true, Method: "GET", Path: "/"}, everything); !errors.Is(err, explain.ErrNoSubject) {
		t.Errorf("without a subject: %v", err)
	}
}

func TestWhereSomethingIsInTheDirectoryThatIsNotListedNothingIsAssignable(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(strings.Replace(policy, "- id: t1\n", "- id: t1\n    directoryComplete: true\n", 1))
	e := w.explain(http(t, "stranger", "GET", "/powerapps/environments/e1/apps"))
	if len(e.Mend.Assignments) != 0 || len(e.Mend.Advice) != 1 || !strings.Contains(e.Mend.Advice[0], "does not list User stranger") {
		t.Errorf("mend %+v", e.Mend)
	}
}

// PowerApp Owner at the app itself and Reader at the environment grant as many permissions
// each; the app is narrower.
func TestThePutOfAnAppNeedsBothAndIsMendedAtTheApp(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	r := http(t, "kim", "PUT", "/powerapps/environments/e3/apps/x")
	e := w.explain(r)
	if len(e.Pairs) != 2 || e.Pairs[0].Permission != "PowerApps.Apps.Create" || e.Pairs[1].Permission != "PowerApps.Apps.Update" {
		t.Fatalf("pairs %+v", e.Pairs)
	}
	want := []explain.Proposal{{
		Principal: principal(authz.User, "kim"), RoleID: "e2f08f33-d8d1-4a25-9471-c6559e14f693", RoleName: "PowerApp Owner",
		Scope: "/tenants/t1/environments/e3/powerapps/x", Size: e.Mend.Assignments[0].Size,
	}}
	if diff := cmp.Diff(want, e.Mend.Assignments); diff != "" {
		t.Errorf("mend (-want +got):\n%s", diff)
	}
	w.appliedInStore(r, e.Mend)
}

// A recent decision is explained as it was asked where its path says enough, and by its
// permission and scope where it does not.
func TestARecentDecisionIsExplained(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	for _, c := range []struct {
		name      string
		r         *ask.Request
		decidedBy string
		notKept   string
	}{
		{"by its path", http(t, "ada", "GET", "/powerapps/environments/e1/apps?top=5"), "convention", "groups"},
		{"by its permission", &ask.Request{
			Adapter: "test", HTTP: true, Method: "GET", Subject: user(t, "ada"), Path: "/powerapps/apps", Host: "0000000000000000000000000000e1.00.environment.api.powerplatform.com",
		}, "permission", "host"},
		{"a direct one", &ask.Request{Adapter: "test", Permission: "PowerApps.Apps.Read", Scope: "/tenants/t1/environments/e1", Subject: user(t, "ada")}, "permission", "groups"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := w.decide(c.r)
			e, err := w.explainer.ExplainDecision(t.Context(), id, authz.Revision{}, everything)
			if err != nil {
				t.Fatal(err)
			}
			if e.Recent == nil || e.Recent.ID != id || e.Recent.Adapter != "test" || e.Recent.Reason != e.Answer.Reason ||
				!slices.ContainsFunc(e.Recent.NotKept, func(text string) bool { return strings.Contains(text, c.notKept) }) {
				t.Errorf("recent %+v, explained %s", e.Recent, e.Answer.Reason)
			}
			if e.Answer.DecidedBy != c.decidedBy {
				t.Errorf("decided by %q, want %q", e.Answer.DecidedBy, c.decidedBy)
			}
		})
	}
	var nobody *explain.NobodyError
	public := w.decide(&ask.Request{Adapter: "test", HTTP: true, Method: "GET", Path: "/powerapps/apps"})
	if _, err := w.explainer.ExplainDecision(t.Context(), public, authz.Revision{}, everything); !errors.As(err, &nobody) || nobody.Reason != authz.Unauthenticated {
		t.Errorf("a decision about nobody: %v", err)
	}
	if _, err := w.explainer.ExplainDecision(t.Context(), strings.Repeat("0", 32), authz.Revision{}, everything); !errors.Is(err, explain.ErrNotRemembered) {
		t.Errorf("an unknown decision: %v", err)
	}
}
