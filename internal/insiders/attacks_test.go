package insiders_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/pgtest"
)

const (
	contributorRole = "Power Platform Contributor"
	ownerRole       = "Power Platform Owner"
	rbacRole        = "Power Platform Role Based Access Control Administrator"
)

func user(id string) string  { return `{"type":"PRINCIPAL_TYPE_USER","id":"` + id + `"}` }
func group(id string) string { return `{"type":"PRINCIPAL_TYPE_GROUP","id":"` + id + `"}` }
func app(id string) string   { return `{"type":"PRINCIPAL_TYPE_APPLICATION_USER","id":"` + id + `"}` }

func assign(principal, role, scope string, more ...string) string {
	return `{"principal":` + principal + `,"role":"` + role + `","scope":"` + scope + `"` + strings.Join(append([]string{""}, more...), ",") + `}`
}

func members(g string, who ...string) string {
	return `{"group":"` + g + `","members":[` + strings.Join(who, ",") + `]}`
}

// with adds assignments to t1.
func with(lines ...string) string {
	more := ""
	for _, line := range lines {
		more += "      - {" + line + "}\n"
	}
	return strings.Replace(company, "  - id: t2\n", more+"  - id: t2\n", 1)
}

// id is the identifier of the assignment that was made.
func id(t testing.TB, out *dynamicpb.Message) string {
	t.Helper()
	_, rest, ok := strings.Cut(strings.ReplaceAll(text(t, out), " ", ""), `"roleAssignment":{"id":"`)
	found, _, _ := strings.Cut(rest, `"`)
	if !ok || found == "" {
		t.Fatalf("no assignment was made: %v", out)
	}
	return found
}

func TestAssigningToAGroupAndJoiningItGivesNothing(t *testing.T) {
	o := open(t, company)
	o.tries("a group that rbac is not in", "rbac", "CreateRoleAssignment", assign(group("staff"), contributorRole, "/tenants/t1"), "OK")
	o.tries("and joins", "rbac", "AddGroupMembers", members("staff", user("rbac")), "SELF_ESCALATION")
	o.tries("and joins in capitals", "rbac", "AddGroupMembers", members("STAFF", user("RBAC")), "SELF_ESCALATION")
	o.tries("and joins as an application", "rbac", "AddGroupMembers", members("staff", app("rbac")), "SELF_ESCALATION")
	o.tries("and comes to own it", "rbac", "PutGroup", `{"group":{"id":"staff","owners":[`+user("rbac")+`]},"ifMatch":"*"}`, "SELF_ESCALATION")
	o.tries("a group of one's own", "rbac", "PutGroup", `{"group":{"id":"mine"}}`, "OK")
	o.tries("that one is in", "rbac", "AddGroupMembers", members("mine", user("rbac")), "OK")
	o.tries("goes into it instead", "rbac", "AddGroupMembers", members("staff", group("mine")), "SELF_ESCALATION")
	o.tries("or is given the role", "rbac", "CreateRoleAssignment", assign(group("mine"), contributorRole, "/tenants/t1"), "SELF_ESCALATION")
	o.tries("or has the group go into it", "rbac", "AddGroupMembers", members("mine", group("staff")), "OK") // which gives staff nothing
	o.tries("and the circle closed", "rbac", "AddGroupMembers", members("staff", group("mine")), "CIRCLE")
}

func TestEditingAHeldRoleGivesNothing(t *testing.T) {
	o := open(t, with("roleAssignmentId: as-r, principalType: User, principalObjectId: rbac, roleDefinitionId: unused, scope: /tenants/t1"))
	edit := `{"roleDefinition":{"id":"%s","name":"Unused","permissions":["*"],"assignableScopes":["/tenants/{0}"]},"ifMatch":"*"}`
	o.tries("a role that rbac holds", "rbac", "UpdateRoleDefinition", fmt.Sprintf(edit, "unused"), "SELF_ESCALATION")
	o.tries("in capitals", "rbac", "UpdateRoleDefinition", fmt.Sprintf(edit, "UNUSED"), "SELF_ESCALATION")
	o.tries("a shipped role", "rbac", "UpdateRoleDefinition", fmt.Sprintf(edit, "95E94555-018C-447B-8691-BDAC8E12211E"), "IMMUTABLE")
	o.tries("a name of a shipped role", "rbac", "CreateRoleDefinition",
		`{"roleDefinition":{"name":"power-platform OWNER","permissions":["*"],"assignableScopes":["/tenants/{0}"]}}`, "DUPLICATE")
	o.tries("a name that looks like one", "rbac", "CreateRoleDefinition",
		`{"roleDefinition":{"name":"Power Platform\u00a0Owner","permissions":["*"],"assignableScopes":["/tenants/{0}"]}}`, "INVALID")
}

func TestWhatOneOwnsIsGivenNothing(t *testing.T) {
	o := open(t, strings.Replace(company, "{principalType: User, principalObjectId: envadmin}", "{principalType: User, principalObjectId: rbac}", 1))
	o.tries("an owned application", "rbac", "CreateRoleAssignment", assign(app("robot"), ownerRole, "/tenants/t1"), "SELF_ESCALATION")
	o.tries("as if it were a user", "rbac", "CreateRoleAssignment", assign(user("ROBOT"), ownerRole, "/tenants/t1"), "SELF_ESCALATION")
	o.tries("disowned", "rbac", "PutPrincipal", `{"principal":{"principal":`+app("robot")+`},"ifMatch":"*"}`, "OK")
	o.tries("it is given the role", "rbac", "CreateRoleAssignment", assign(app("robot"), ownerRole, "/tenants/t1"), "OK")
	o.tries("and owned again", "rbac", "PutPrincipal", `{"principal":{"principal":`+app("robot")+`,"owners":[`+user("rbac")+`]},"ifMatch":"*"}`, "SELF_ESCALATION")
	o.tries("or through a group", "rbac", "PutPrincipal", `{"principal":{"principal":`+app("robot")+`,"owners":[`+group("staff")+`]},"ifMatch":"*"}`, "OK")
	o.tries("that is joined", "rbac", "AddGroupMembers", members("staff", user("rbac")), "SELF_ESCALATION")
}

func TestNobodyDeletesTheirOwnDeny(t *testing.T) {
	for _, effect := range []string{"DENY", "FORBID"} {
		o := open(t, with("roleAssignmentId: as-no, principalType: User, principalObjectId: rbac1, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1/powerapps/a1, effect: "+effect))
		o.tries(effect, "rbac1", "DeleteRoleAssignment", `{"id":"as-no"}`, "SELF_ESCALATION")
		o.tries(effect+" in capitals", "rbac1", "DeleteRoleAssignment", `{"id":"AS-NO"}`, "SELF_ESCALATION")
		o.tries(effect+" by the other name of oneself", "rbac1", "DeletePrincipal", `{"principal":`+user("rbac1")+`,"ifMatch":"*"}`, "FORBIDDEN")
		if status, body := o.ask(o.credentials("rbac1"), "DELETE", "/authorization/environments/e1/roleAssignments/as-no?api-version=1", ""); status != http.StatusNotFound {
			t.Errorf("%s by REST: %d %s", effect, status, body)
		}
		if !o.has("as-no") {
			t.Errorf("the %s is gone", effect)
		}
	}
}

func TestAnExpiringGrantCannotBeMadePermanent(t *testing.T) {
	o := open(t, with("roleAssignmentId: as-soon, principalType: User, principalObjectId: soon, roleDefinitionName: "+rbacRole+", scope: /tenants/t1, expiresOn: 2090-01-01T00:00:00Z"))
	soon := user("soon")
	o.tries("a second one", "soon", "CreateRoleAssignment", assign(soon, rbacRole, "/tenants/t1"), "DUPLICATE")
	o.tries("a longer one, below", "soon", "CreateRoleAssignment", assign(soon, rbacRole, "/tenants/t1/environments/e1", `"expiresTime":"2091-01-01T00:00:00Z"`), "SELF_ESCALATION")
	o.tries("of the same end, below", "soon", "CreateRoleAssignment", assign(soon, rbacRole, "/tenants/t1/environments/e1", `"expiresTime":"2090-01-01T00:00:00Z"`), "OK")
	o.tries("a role of the same permissions", "soon", "CreateRoleDefinition", `{"copyOf":"`+rbacRole+`","roleDefinition":{"name":"Copy"}}`, "OK")
	o.tries("by that role", "soon", "CreateRoleAssignment", assign(soon, "Copy", "/tenants/t1"), "SELF_ESCALATION")
	o.tries("by a group", "soon", "CreateRoleAssignment", assign(group("staff"), rbacRole, "/tenants/t1"), "OK")
	o.tries("that is joined", "soon", "AddGroupMembers", members("staff", soon), "SELF_ESCALATION")
	o.tries("first it goes", "soon", "DeleteRoleAssignment", `{"id":"as-soon"}`, "OK")
	o.tries("then it should come for good", "soon", "CreateRoleAssignment", assign(soon, rbacRole, "/tenants/t1"), "FORBIDDEN")
}

func TestAForeignEnvironmentIsNotPulledIntoOnesGroup(t *testing.T) {
	o := open(t, with("roleAssignmentId: as-gia, principalType: User, principalObjectId: gia, roleDefinitionName: "+rbacRole+", scope: /tenants/t1/environmentGroups/g1"))
	for name, id := range map[string]string{"one of the tenant": "e3", "in capitals": "E3", "escaped": "%65%33", "one that is not listed": "e99", "one of another tenant": "f1"} {
		o.tries(name, "gia", "PutEnvironment", `{"environment":{"id":"`+id+`","environmentGroup":"g1"},"ifMatch":"*"}`, "FORBIDDEN")
		o.tries(name+", as if it were new", "gia", "PutEnvironment", `{"environment":{"id":"`+id+`","environmentGroup":"g1"}}`, "FORBIDDEN")
	}
	o.tries("out, to list it anew", "gia", "DeleteEnvironment", `{"id":"e1","ifMatch":"*"}`, "OK")
	o.tries("which is not for a group", "gia", "PutEnvironment", `{"environment":{"id":"e1","environmentGroup":"g1"}}`, "FORBIDDEN")
}

func TestTwoAdministratorsRemoveEachOther(t *testing.T) {
	const rounds = 40
	o := open(t, strings.Replace(company, "principalObjectId: owner, roleDefinitionName: Power Platform Owner", "principalObjectId: owner, roleDefinitionName: "+rbacRole, 1))
	one, two := "as-owner", "as-rbac"
	for range rounds {
		start, answers := make(chan struct{}), make(chan string, 2)
		tokens := map[string]string{two: o.credentials("owner"), one: o.credentials("rbac")}
		for target, token := range tokens {
			go func() {
				<-start
				_, err := o.callWith(token, "DeleteRoleAssignment", `{"id":"`+target+`"}`)
				answers <- outcome(err)
			}()
		}
		close(start)
		first, second := <-answers, <-answers
		if first != "OK" {
			first, second = second, first
		}
		if first != "OK" || second != "FORBIDDEN" {
			t.Fatalf("the two were answered %s and %s, want OK and FORBIDDEN", first, second)
		}
		winner, loser, gone := "owner", "rbac", &two
		if !o.has(one) {
			winner, loser, gone = "rbac", "owner", &one
		}
		*gone = id(t, o.tries("again", winner, "CreateRoleAssignment", assign(user(loser), rbacRole, "/tenants/t1"), "OK"))
	}
	o.tries("one goes", "owner", "DeleteRoleAssignment", `{"id":"`+two+`"}`, "OK")
	o.tries("the last one stays", "owner", "DeleteRoleAssignment", `{"id":"`+one+`"}`, "LAST_ADMINISTRATOR")
}

// Whoever is revoked commits nothing at a later revision than the revocation's.
func TestAWriteInFlightOfWhoIsRevokedDoesNotCommitLater(t *testing.T) {
	const rounds = 15
	o := open(t, with("roleAssignmentId: as-mole, principalType: User, principalObjectId: mole, roleDefinitionName: "+rbacRole+", scope: /tenants/t1"))
	grant, made := "as-mole", 0
	for round := range rounds {
		mole, owner := o.credentials("mole"), o.credentials("owner")
		var committed, revoked atomic.Uint64
		var writers sync.WaitGroup
		started := make(chan struct{}, 64)
		for writer := range 4 {
			writers.Go(func() {
				for i := range 30 {
					out, err := o.callWith(mole, "PutPrincipal", fmt.Sprintf(`{"principal":{"principal":%s}}`, user(fmt.Sprintf("p-%d-%d-%d", round, writer, i))))
					if err != nil {
						return
					}
					number := revisionOf(out)
					for old := committed.Load(); old < number && !committed.CompareAndSwap(old, number); old = committed.Load() {
					}
					select {
					case started <- struct{}{}:
					default:
					}
				}
			})
		}
		<-started
		out, err := o.callWith(owner, "DeleteRoleAssignment", `{"id":"`+grant+`"}`)
		if err != nil {
			t.Fatal(err)
		}
		revoked.Store(revisionOf(out))
		writers.Wait()
		if committed.Load() > revoked.Load() {
			t.Fatalf("the revocation is of revision %d, and a later write of the revoked of %d", revoked.Load(), committed.Load())
		}
		if committed.Load() > 0 {
			made++
		}
		grant = id(t, o.tries("again", "owner", "CreateRoleAssignment", assign(user("mole"), rbacRole, "/tenants/t1"), "OK"))
	}
	if made < rounds {
		t.Errorf("in %d of %d rounds anything was written before the revocation", made, rounds)
	}
}

func revisionOf(out *dynamicpb.Message) uint64 {
	revision := out.Get(out.Descriptor().Fields().ByName("revision")).Message()
	return revision.Get(revision.Descriptor().Fields().ByName("number")).Uint()
}

func TestARequestIDIsItsCallersAndMakesNothingTwice(t *testing.T) {
	o := open(t, company)
	const request = `{"context":{"requestId":"r1"},"principal":{"type":1,"id":"y"},"role":"Power Platform Reader","scope":"/tenants/t1/environments/e1"}`
	made := o.tries("the first time", "rbac1", "CreateRoleAssignment", request, "OK")
	o.tries("somebody else's request under the same id", "contributor", "CreateRoleAssignment", request, "FORBIDDEN")
	o.tries("somebody of another tenant", "foreign", "CreateRoleAssignment", request, "CROSS_TENANT")
	o.tries("another request under the same id", "rbac1", "DeleteRoleAssignment", `{"context":{"requestId":"r1"},"id":"as-x1"}`, "REQUEST_ID_REUSED")
	o.tries("removed by another", "owner", "DeleteRoleAssignment", `{"id":"`+id(t, made)+`"}`, "OK")
	o.tries("and revoked", "owner", "DeleteRoleAssignment", `{"id":"as-rbac1"}`, "OK")
	before := o.revision()
	again := o.tries("sent again", "rbac1", "CreateRoleAssignment", request, "OK") // the answer of the first time
	if o.revision() != before || o.has(id(t, made)) || text(t, again) != text(t, made) {
		t.Errorf("a request that was sent again changed something, or was answered %s", text(t, again))
	}
	o.tries("under a new id", "rbac1", "CreateRoleAssignment", strings.Replace(request, "r1", "r2", 1), "FORBIDDEN")
}

func TestNoSpellingOfAScopeEscapesIt(t *testing.T) {
	o := open(t, company)
	for scope, want := range map[string]string{
		"/tenants/t1/environments/E2":                     "FORBIDDEN",
		"/tenants/t1/environments/%65%32":                 "FORBIDDEN",
		"/tenants/t1/environments/e1/":                    "INVALID",
		"/tenants/t1/environments/e1/..":                  "INVALID",
		"/tenants/t1/environments/e1/../e2":               "INVALID",
		"/tenants/t1/environments/e1%2F..%2Fe2":           "INVALID",
		"/tenants/t1/environments/e1/environments/e2":     "INVALID",
		"/tenants/t1/environments/e1/environmentGroups/g": "INVALID",
		"/tenants/t1//environments/e1":                    "INVALID",
		"/tenants/t1/environments/":                       "INVALID",
		"/tenants/t1/environmentgroups/G1":                "FORBIDDEN",
		"/tenants/t2/environments/f1":                     "CROSS_TENANT",
		"/tenants/":                                       "INVALID",
		"tenants/t1/environments/e1":                      "INVALID",
		"/tenants/t1/environments/e1\u0000":               "INVALID",
		"/tenants/t1/environments/e\uff11":                "FORBIDDEN", // a full-width 1 is another environment
		"/tenants/t1/environments/e1#":                    "INVALID",
		"/tenants/t1/environments/e1;x":                   "INVALID",
		"/tenants/t1/environments/e1?x":                   "INVALID",
	} {
		before := o.revision()
		spelled := strings.ReplaceAll(scope, "\u0000", `\u0000`)
		if _, err := o.call("rbac1", "CreateRoleAssignment", assign(user("y"), contributorRole, spelled)); outcome(err) != want {
			t.Errorf("%q: %v (%v), want %s", scope, outcome(err), err, want)
		}
		if o.revision() != before {
			t.Errorf("%q was assigned at", scope)
		}
	}
	made := o.tries("one's own, in capitals", "rbac1", "CreateRoleAssignment", assign(user("Y"), contributorRole, "/TENANTS/T1/Environments/%45%31"), "OK")
	for _, want := range []string{`"scope":"/tenants/t1/environments/e1"`, `"id":"y"`} {
		if shown := strings.ReplaceAll(text(t, made), " ", ""); !strings.Contains(shown, want) {
			t.Errorf("%s is not in %s: there is one spelling", want, shown)
		}
	}
	o.tries("in another spelling, the same again", "rbac1", "CreateRoleAssignment", assign(app("y"), "POWER-PLATFORM contributor", "/tenants/t1/environments/e1"), "DUPLICATE")
}

// foreign is an Owner of t2, who names all there is of t1.
func TestNothingOfAnotherTenantIsReached(t *testing.T) {
	o := open(t, company)
	for _, r := range matrix {
		before := o.export().Tenants[0]
		// Without the name of the tenant it is the caller's own, where none of this is.
		request := strings.ReplaceAll(strings.ReplaceAll(r.request, t1+",", ""), "ACTOR", "foreign")
		_, _ = o.call("foreign", r.method, request)
		after := o.export().Tenants[0]
		if a, b := fmt.Sprintf("%+v", before), fmt.Sprintf("%+v", after); a != b {
			t.Errorf("%s %s by the owner of another tenant changed\n%s\nto\n%s", r.method, r.what, a, b)
		}
	}
	o = open(t, company)
	o.tries("something in t2", "foreign", "PutGroup", `{"group":{"id":"secret-group","displayName":"Secret name"},"ifMatch":"*"}`, "OK")
	for _, name := range []string{"ListGroups", "ListPrincipals", "ListEnvironments", "ListEnvironmentGroups", "ListRoleAssignments", "ListRoleDefinitions", "ExportSnapshot", "ListAuditEntries"} {
		if _, err := o.call("owner", name, `{"tenant":"t2"}`); outcome(err) != "CROSS_TENANT" {
			t.Errorf("%s of t2: %v", name, err)
		}
		out, err := o.call("owner", name, `{}`)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if shown := text(t, out); strings.Contains(shown, "ecret") || strings.Contains(shown, "t2") || strings.Contains(shown, "foreign") {
			t.Errorf("%s tells of another tenant: %s", name, shown)
		}
	}
	for _, request := range []string{`{"id":"as-secret"}`, `{"id":"as-none"}`} {
		o.tries("an assignment of t2 is as one that is not", "owner", "DeleteRoleAssignment", request, "NOT_FOUND")
	}
	if status, body := o.ask(o.credentials("owner"), "GET", "/pathgrant/v1/audit/entries", ""); status != http.StatusOK || strings.Contains(body, "ecret") {
		t.Errorf("the audit by REST: %d %s", status, body)
	}
}

func TestATokenOfAPageShowsNobodyMore(t *testing.T) {
	o := open(t, company)
	first := o.tries("a page", "owner", "ListRoleAssignments", `{"scope":"/tenants/t1/environments/e1","includeParentScopes":true,"includeNestedScopes":true,"pageSize":2}`, "OK")
	token := first.Get(first.Descriptor().Fields().ByName("next_page_token")).String()
	if token == "" {
		t.Fatal("there is no second page")
	}
	request := `{"scope":"/tenants/t1/environments/e1","includeParentScopes":true,"includeNestedScopes":true,"pageSize":2,"pageToken":"` + token + `"}`
	o.tries("a token of owner's", "nothing", "ListRoleAssignments", request, "FORBIDDEN")
	o.tries("by the owner of another tenant", "foreign", "ListRoleAssignments", request, "CROSS_TENANT")
	for page := 0; page < 10; page++ { // as envadmin, who may read at e1 alone
		out := o.tries("a token of owner's", "envadmin", "ListRoleAssignments", request, "OK")
		if shown := text(t, out); strings.Contains(strings.ReplaceAll(shown, " ", ""), `"scope":"/tenants/t1"`) {
			t.Errorf("envadmin is shown what is assigned at the tenant: %s", shown)
		}
		next := out.Get(out.Descriptor().Fields().ByName("next_page_token")).String()
		if next == "" {
			break
		}
		request = strings.Replace(request, token, next, 1)
		token = next
	}
	o.tries("with another question", "owner", "ListRoleAssignments", `{"pageSize":2,"pageToken":"`+token+`x"}`, "INVALID")
}

func TestAnEtagIsNoPermission(t *testing.T) {
	o := open(t, company)
	for _, etag := range []string{"", "*", `\"00000000000000000000000000000000\"`, `W/\"*\"`, "* "} {
		o.tries("who may not", "contributor", "PutGroup", `{"group":{"id":"staff"},"ifMatch":"`+etag+`"}`, "FORBIDDEN")
		o.tries("who may not, and of what is not there", "contributor", "PutGroup", `{"group":{"id":"none"},"ifMatch":"`+etag+`"}`, "FORBIDDEN")
	}
	o.tries("without", "owner", "DeleteGroup", `{"id":"staff"}`, "ETAG_REQUIRED")
	o.tries("guessed", "owner", "DeleteGroup", `{"id":"staff","ifMatch":"\"00000000000000000000000000000000\""}`, "ETAG_MISMATCH")
	o.tries("weak", "owner", "DeleteGroup", `{"id":"staff","ifMatch":"W/\"*\""}`, "ETAG_MISMATCH")
}

func TestTheOperatorsSecretIsNotGuessed(t *testing.T) {
	o := open(t, company)
	right := strings.TrimPrefix(o.credentials(operator), "Operator ")
	for _, wrong := range []string{"", right[:len(right)-1], right + "a", strings.ToUpper(right)} {
		if _, err := o.callWith("Operator "+wrong, "PutTenant", `{`+t1+`}`); status.Code(err).String() != "Unauthenticated" {
			t.Errorf("the secret %d characters long: %v", len(wrong), err)
		}
	}
	if _, err := o.callWith("Bearer "+right, "PutTenant", `{`+t1+`}`); status.Code(err).String() != "Unauthenticated" {
		t.Errorf("the secret as a token: %v", err)
	}
	if _, err := o.callWith("Operator "+right, "PutTenant", `{`+t1+`,"directoryComplete":true}`); err != nil {
		t.Errorf("the right one: %v", err)
	}
	if _, err := o.callWith("Operator "+right, "PutTenant", `{`+t1+`}`); status.Code(err).String() != "Unauthenticated" {
		t.Errorf("the right one a second time: %v", err)
	}
	if info, err := os.Stat(o.secret.Path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the secret: %v, %v", info.Mode(), err)
	}
}

func TestBrokenGlassIsNotMadePermanent(t *testing.T) {
	o := open(t, company)
	o.tries("glass", operator, "BreakGlass", `{"tenant":"t1","principal":`+user("hero")+`,"justification":"fire","duration":"3600s"}`, "OK")
	hero := user("hero")
	o.tries("for good", "hero", "CreateRoleAssignment", assign(hero, rbacRole, "/tenants/t1"), "DUPLICATE")
	o.tries("for good, below", "hero", "CreateRoleAssignment", assign(hero, rbacRole, "/tenants/t1/environments/e1"), "SELF_ESCALATION")
	o.tries("more", "hero", "CreateRoleAssignment", assign(hero, ownerRole, "/tenants/t1", `"expiresTime":"2026-01-01T00:00:00Z"`), "INVALID")
	o.tries("through a group", "hero", "CreateRoleAssignment", assign(group("staff"), rbacRole, "/tenants/t1"), "OK")
	o.tries("that is joined", "hero", "AddGroupMembers", members("staff", hero), "SELF_ESCALATION")
	o.tries("too long", operator, "BreakGlass", `{"tenant":"t1","principal":`+user("h2")+`,"justification":"fire","duration":"28801s"}`, "INVALID")

	strict := open(t, company, func(o *admin.Options) { o.Escalation = admin.PolicyDeny })
	strict.tries("glass", operator, "BreakGlass", `{"tenant":"t1","principal":`+hero+`,"justification":"fire"}`, "OK")
	strict.tries("an accomplice, for good", "hero", "CreateRoleAssignment", assign(user("friend"), rbacRole, "/tenants/t1"), "ESCALATION")
	strict.tries("a group, for good", "hero", "CreateRoleAssignment", assign(group("staff"), rbacRole, "/tenants/t1"), "ESCALATION")
}

func TestWhatIsNotListedIsNotThere(t *testing.T) {
	o := open(t, company)
	for _, full := range []string{
		"/pathgrant.v1.OperatorService/Nothing", "/pathgrant.v1.operatorservice/Bootstrap", "/pathgrant.v1.OperatorService/bootstrap",
		"/grpc.channelz.v1.Channelz/GetServers", "/pathgrant.v1.AuthorizationService/Check", "/authorization/roleAssignments", "//pathgrant.v1.OperatorService/Bootstrap",
	} {
		_, m := method(t, "PutTenant")
		if err := o.Invoke(context.Background(), full, dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())); status.Code(err).String() != "Unimplemented" {
			t.Errorf("%s: %v", full, err)
		}
	}
	for _, path := range []string{
		"/pathgrant.v1.OperatorService/Bootstrap", "/pathgrant.v1.RoleAssignmentService/CreateRoleAssignment", "/metrics", "/debug/pprof/", "/status",
		"/pathgrant/v1/bootstrap/..%2fopenapi.json", "/authorization//roleAssignments?api-version=1",
	} {
		if status, body := o.ask(o.credentials("owner"), "POST", path, "{}"); status != http.StatusNotFound {
			t.Errorf("%s by HTTP: %d %s", path, status, body)
		}
	}
}

func TestGRPCAndRESTAreNotTakenForEachOther(t *testing.T) {
	o := open(t, company)
	before := o.revision()
	for _, contentType := range []string{"application/grpc", "application/grpc+proto", "application/grpc-web", "application/json, application/grpc", "APPLICATION/GRPC"} {
		r, err := http.NewRequestWithContext(context.Background(), "POST", "http://"+o.address+"/authorization/roleAssignments?api-version=1", strings.NewReader(restBody("/tenants/t1")))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", o.credentials("owner"))
		r.Header.Set("X-Original-Url", "/pathgrant/v1/openapi.json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK || o.revision() != before {
			t.Errorf("a REST request of type %s: %d", contentType, answer.StatusCode)
		}
	}
	two := o.credentials("owner")
	r, err := http.NewRequestWithContext(context.Background(), "DELETE", "http://"+o.address+"/authorization/roleAssignments/as-x?api-version=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = []string{two, o.credentials("nothing")}
	r.Header.Set("X-Http-Method-Override", "GET")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized || o.revision() != before {
		t.Errorf("two credentials: %d", answer.StatusCode)
	}
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	o := open(t, company)
	long := strings.Repeat("x", 5<<20)
	if _, err := o.call("owner", "PutGroup", `{"group":{"id":"g","displayName":"`+long+`"}}`); status.Code(err).String() != "ResourceExhausted" {
		t.Errorf("5 MiB: %v", err)
	}
	if _, err := o.call("owner", "PutGroup", `{"group":{"id":"g","displayName":"`+long[:2<<20]+`"}}`); status.Code(err).String() != "InvalidArgument" {
		t.Errorf("2 MiB: %v", err)
	}
	if status, body := o.ask(o.credentials("owner"), "POST", "/authorization/roleAssignments?api-version=1", `{"scope":"`+long[:2<<20]+`"}`); status != http.StatusRequestEntityTooLarge && status != http.StatusBadRequest {
		t.Errorf("2 MiB by REST: %d %s", status, body)
	}
	if o.revision() != 1 {
		t.Errorf("the revision is %d", o.revision())
	}
}

// Groups that a token does not name, because they are too many, could be any.
func TestWhoseGroupsAreUnknownGainsThroughNoGroup(t *testing.T) {
	o := open(t, with("roleAssignmentId: as-gd, principalType: Group, principalObjectId: staff, roleDefinitionName: Power Platform Reader, scope: /tenants/t1/environments/e1, effect: DENY"))
	unknown := o.credentials("rbac", func(c pgtest.Claims) { c["hasgroups"] = true })
	for what, c := range map[string]struct{ name, request, want string }{
		"an assignment to a group": {"CreateRoleAssignment", assign(group("local"), contributorRole, "/tenants/t1"), "SELF_ESCALATION"},
		"the DENY of a group":      {"DeleteRoleAssignment", `{"id":"as-gd"}`, "SELF_ESCALATION"},
		"a member":                 {"CreateRoleAssignment", assign(user("y"), contributorRole, "/tenants/t1/environments/e3"), "OK"},
	} {
		if _, err := o.callWith(unknown, c.name, c.request); outcome(err) != c.want {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
	wid := o.credentials("rbac", func(c pgtest.Claims) { c["wids"] = []string{"62E90394-69F5-4237-9190-012177145E10"} })
	role := `{"type":"PRINCIPAL_TYPE_DIRECTORY_ROLE","id":"62e90394-69f5-4237-9190-012177145e10"}`
	if _, err := o.callWith(wid, "CreateRoleAssignment", assign(role, contributorRole, "/tenants/t1")); outcome(err) != "SELF_ESCALATION" {
		t.Errorf("a directory role of one's own: %v", err)
	}
}

func TestNoCredentialsAreLogged(t *testing.T) {
	o := open(t, company)
	for _, actor := range actors {
		_, _ = o.call(actor, "CreateRoleAssignment", assign(user("y"), contributorRole, "/tenants/t1"))
		_, _ = o.ask(o.credentials(actor), "POST", "/authorization/roleAssignments?api-version=1&secret=in-the-query", restBody("/tenants/t1"))
	}
	forged := o.credentials("owner", func(c pgtest.Claims) { c["aud"] = "https://other.example" })
	_, _ = o.callWith(forged, "PutGroup", `{"group":{"id":"g"}}`)
	_, _ = o.callWith("Operator not-the-secret-but-private", "PutTenant", `{`+t1+`}`)
	log := o.log.String()
	if !strings.Contains(log, "administration refused") {
		t.Fatalf("nothing was logged:\n%s", log)
	}
	for _, secret := range append(o.tokens, "not-the-secret-but-private", "in-the-query") {
		if secret != "" && strings.Contains(log, secret) {
			t.Errorf("the log holds credentials")
		}
		if parts := strings.Split(secret, "."); len(parts) == 3 && strings.Contains(log, parts[2]) {
			t.Errorf("the log holds the signature of a token")
		}
	}
}

func TestAWatchTellsNothingOfAnotherTenant(t *testing.T) {
	o := open(t, company)
	current := o.store.Current().Revision()
	o.tries("a change of t2", "foreign", "PutGroup", `{"group":{"id":"secret-group","displayName":"Secret name"},"ifMatch":"*"}`, "OK")
	o.tries("a change of t1", "owner", "PutGroup", `{"group":{"id":"staff","displayName":"Everybody"},"ifMatch":"*"}`, "OK")
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "authorization", o.credentials("owner")), 20*time.Second)
	defer cancel()
	full, m := method(t, "WatchChanges")
	stream, err := o.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, full)
	if err != nil {
		t.Fatal(err)
	}
	in := dynamicpb.NewMessage(m.Input())
	if err := protojson.Unmarshal([]byte(fmt.Sprintf(`{"afterRevision":{"epoch":"%d","number":"%d"}}`, current.Epoch, current.Number)), in); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(in), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	for {
		out := dynamicpb.NewMessage(m.Output())
		if err := stream.RecvMsg(out); err != nil {
			t.Fatalf("the watch ended before the change of t1: %v", err)
		}
		shown := text(t, out)
		if strings.Contains(shown, "ecret") {
			t.Fatalf("the watch tells of t2: %s", shown)
		}
		if strings.Contains(shown, "Everybody") {
			return
		}
	}
}

// A group may be named after a membership; what is said of it must not be taken for one.
func TestNoNameOfAGroupIsTakenForAMembership(t *testing.T) {
	o := open(t, company)
	o.tries("a group with slashes in its name", "rbac", "PutGroup", `{"group":{"id":"local/members/User/rbac"}}`, "OK")
	out := o.tries("the audit", "owner", "ListAuditEntries", `{}`, "OK")
	if shown := text(t, out); strings.Contains(shown, "groups/local/members") || !strings.Contains(shown, "groups/local%2Fmembers%2Fuser%2Frbac") {
		t.Errorf("the audit says of the group what it would say of a membership: %s", shown)
	}
}
