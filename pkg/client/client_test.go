package client_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/client"
)

func TestCheckSaysWhatWasDecidedAndWhy(t *testing.T) {
	c, p := dialProduct(t)
	revision := p.store.Current().Revision()
	granted := &client.Assignment{
		ID: "a1", Principal: authz.Principal{Type: authz.User, ID: "ada"},
		RoleDefinitionID: "clerk", RoleDefinitionName: "Clerk", Scope: "/tenants/contoso", Effect: authz.AssignAllow,
		Expires: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	staff := user("zoe")
	staff.Groups = []string{"staff"}
	app := client.Subject{Tenant: "contoso", Principal: authz.Principal{Type: authz.ApplicationUser, ID: "ada"}}
	unknown := user("zoe")
	unknown.GroupsUnknown = true
	tests := map[string]struct {
		question client.Question
		want     client.Decision
		allowed  bool
	}{
		"granted by the path": {
			question: get(user("ada"), "/shop/environments/e1/orders/7"),
			want: client.Decision{
				Reason: authz.Granted, Permissions: []authz.Permission{"Shop.Orders.Read"},
				Scopes: []authz.Scope{"/tenants/contoso/environments/e1"}, Assignment: granted, Revision: revision,
			},
			allowed: true,
		},
		"granted by name": {
			question: client.Question{Subject: user("ada"), Permission: "shop.orders.ship", Scope: "/tenants/contoso/environments/e1"},
			want: client.Decision{
				Reason: authz.Granted, Permissions: []authz.Permission{"Shop.Orders.Ship"},
				Scopes: []authz.Scope{"/tenants/contoso/environments/e1"}, Assignment: granted, Revision: revision,
			},
			allowed: true,
		},
		"overridden": {
			question: get(user("ada"), "/shop/environments/e2/orders"),
			want: client.Decision{
				Reason: authz.Overridden, Permissions: []authz.Permission{"Shop.Orders.Read"}, Missing: []authz.Permission{"Shop.Orders.Read"},
				Scopes: []authz.Scope{"/tenants/contoso/environments/e2"}, Revision: revision,
				Assignment: &client.Assignment{
					ID: "a2", Principal: authz.Principal{Type: authz.User, ID: "ada"},
					RoleDefinitionID: "clerk", RoleDefinitionName: "Clerk", Scope: "/tenants/contoso/environments/e2", Effect: authz.AssignDeny,
				},
			},
		},
		"granted through a group of the token": {
			question: get(staff, "/shop/orders"),
			want: client.Decision{
				Reason: authz.Granted, Permissions: []authz.Permission{"Shop.Orders.Read"}, Scopes: []authz.Scope{"/tenants/contoso"}, Revision: revision,
				Assignment: &client.Assignment{
					ID: "a3", Principal: authz.Principal{Type: authz.Group, ID: "staff"},
					RoleDefinitionID: "clerk", RoleDefinitionName: "Clerk", Scope: "/tenants/contoso", Effect: authz.AssignAllow,
				},
			},
			allowed: true,
		},
		"an application by its object id": {
			question: get(app, "/shop/orders"),
			want: client.Decision{
				Reason: authz.Granted, Permissions: []authz.Permission{"Shop.Orders.Read"}, Scopes: []authz.Scope{"/tenants/contoso"},
				Assignment: granted, Revision: revision,
			},
			allowed: true,
		},
		"groups that are not known": {
			question: get(unknown, "/shop/orders"),
			want: client.Decision{
				Reason: authz.GroupsUnknown, Permissions: []authz.Permission{"Shop.Orders.Read"}, Missing: []authz.Permission{"Shop.Orders.Read"},
				Scopes: []authz.Scope{"/tenants/contoso"}, Revision: revision,
			},
		},
		"disabled": {
			question: get(user("eve"), "/shop/orders"),
			want: client.Decision{
				Reason: authz.PrincipalDisabled, Permissions: []authz.Permission{"Shop.Orders.Read"},
				Scopes: []authz.Scope{"/tenants/contoso"}, Revision: revision,
			},
		},
		"public, and nobody asks": {
			question: get(client.Subject{}, "/health"),
			want:     client.Decision{Reason: authz.Public},
			allowed:  true,
		},
		"nobody asks": {
			question: get(client.Subject{}, "/shop/orders"),
			want:     client.Decision{Reason: authz.Unauthenticated, Detail: "no source of identity is configured"},
		},
		"a catalogue that is not loaded": {
			question: client.Question{Subject: user("ada"), HTTP: &client.HTTPRequest{Method: "GET", Path: "/shop/orders"}, Catalogue: "other"},
			want:     client.Decision{Reason: authz.BadRequest, Detail: "no catalogue of that name is loaded"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := c.Check(t.Context(), test.question)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(client.Decision{}, "ID")); diff != "" {
				t.Errorf("Check (-want +got):\n%s", diff)
			}
			if got.Allowed() != test.allowed {
				t.Errorf("Allowed() = %t, want %t", got.Allowed(), test.allowed)
			}
			if len(got.ID) != 32 {
				t.Errorf("the decision's identifier is %q, want 32 hex digits", got.ID)
			}
		})
	}
}

func TestABatchIsAnsweredInOrderFromOneRevision(t *testing.T) {
	c, p := dialProduct(t)
	got, err := c.BatchCheck(t.Context(), []client.Question{
		get(user("ada"), "/shop/environments/e1/orders"),
		get(user("ada"), "/shop/environments/e2/orders"),
		get(user("ada"), "/nothing/here"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].Reason != authz.Granted || got[1].Reason != authz.Overridden || got[2].Reason != authz.Unmapped {
		t.Errorf("BatchCheck returned %v, want GRANTED, OVERRIDDEN and UNMAPPED", got)
	}
	if got[0].Revision != p.store.Current().Revision() || got[1].Revision != got[0].Revision {
		t.Errorf("the revisions are %v and %v, want both %v", got[0].Revision, got[1].Revision, p.store.Current().Revision())
	}
}

func TestABatchOfTheWrongSizeIsAnErrorAndAsksNobody(t *testing.T) {
	server := &scripted{}
	c := dial(t, server)
	for _, n := range []int{0, 1001} {
		got, err := c.BatchCheck(t.Context(), make([]client.Question, n))
		if err == nil || got != nil || !strings.Contains(err.Error(), "want 1 to 1000 in a call") {
			t.Errorf("BatchCheck of %d questions returned %v and the error %v", n, got, err)
		}
	}
	if server.calls.Load() != 0 {
		t.Errorf("the server was asked %d times", server.calls.Load())
	}
}

func TestABatchAnsweredInPartDecidesNothing(t *testing.T) {
	allow := &pathgrantv1.Decision{Effect: pathgrantv1.Effect_EFFECT_ALLOW, Reason: pathgrantv1.Reason_REASON_GRANTED}
	c := dial(t, &scripted{batch: func(*pathgrantv1.BatchCheckRequest) (*pathgrantv1.BatchCheckResponse, error) {
		return &pathgrantv1.BatchCheckResponse{Decisions: []*pathgrantv1.Decision{allow}}, nil
	}})
	got, err := c.BatchCheck(t.Context(), []client.Question{get(user("ada"), "/a"), get(user("bob"), "/a")})
	if err == nil || got != nil || !strings.Contains(err.Error(), "1 decisions came on 2 questions") {
		t.Errorf("BatchCheck returned %v and the error %v", got, err)
	}
}

func TestResolveMapsARequest(t *testing.T) {
	c, _ := dialProduct(t)
	tests := map[string]struct {
		request client.HTTPRequest
		tenant  string
		want    client.Mapping
		mapped  bool
	}{
		"mapped": {
			request: client.HTTPRequest{Method: "PUT", Path: "/shop/environments/e1/orders/7"}, tenant: "contoso",
			want: client.Mapping{
				Permissions: []authz.Permission{"Shop.Orders.Create", "Shop.Orders.Update"},
				Scopes:      []authz.Scope{"/tenants/contoso/environments/e1"}, DecidedBy: "convention", Rule: "Shop.Orders",
			},
			mapped: true,
		},
		"without a tenant": {
			request: client.HTTPRequest{Method: "GET", Path: "/shop/orders"},
			want: client.Mapping{
				Permissions: []authz.Permission{"Shop.Orders.Read"}, Scopes: []authz.Scope{"/tenants/{tenant}"}, DecidedBy: "convention", Rule: "Shop.Orders",
			},
			mapped: true,
		},
		"public": {
			request: client.HTTPRequest{Method: "GET", Path: "/health"},
			want:    client.Mapping{Reason: authz.Public, DecidedBy: "route", Rule: "GET /health"},
		},
		"ambiguous": {
			request: client.HTTPRequest{Method: "GET", Path: "/shop//orders"},
			want:    client.Mapping{Reason: authz.BadRequest},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := c.Resolve(t.Context(), test.request, test.tenant, "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(client.Mapping{}, "Detail")); diff != "" {
				t.Errorf("Resolve (-want +got):\n%s", diff)
			}
			if got.Mapped() != test.mapped {
				t.Errorf("Mapped() = %t, want %t", got.Mapped(), test.mapped)
			}
		})
	}
}

func TestAtLeastIsSentWithEveryKindOfCheck(t *testing.T) {
	var got []*pathgrantv1.Revision
	c := dial(t, &scripted{
		check: func(_ context.Context, _ int, in *pathgrantv1.CheckRequest) (*pathgrantv1.CheckResponse, error) {
			got = append(got, in.GetAtLeastRevision())
			return &pathgrantv1.CheckResponse{}, nil
		},
		batch: func(in *pathgrantv1.BatchCheckRequest) (*pathgrantv1.BatchCheckResponse, error) {
			got = append(got, in.GetAtLeastRevision())
			return &pathgrantv1.BatchCheckResponse{Decisions: []*pathgrantv1.Decision{{}}}, nil
		},
	})
	question, revision := get(user("ada"), "/a"), authz.Revision{Epoch: 3, Number: 7}
	if _, err := c.Check(t.Context(), question, client.AtLeast(revision)); err != nil {
		t.Error(err)
	}
	if _, err := c.BatchCheck(t.Context(), []client.Question{question}, client.AtLeast(revision)); err != nil {
		t.Error(err)
	}
	if _, err := c.Check(t.Context(), question, client.AtLeast(authz.Revision{})); err != nil {
		t.Error(err)
	}
	if len(got) != 3 || got[0].GetEpoch() != 3 || got[0].GetNumber() != 7 || got[1].GetEpoch() != 3 || got[1].GetNumber() != 7 || got[2] != nil {
		t.Errorf("the server got %v, want 3.7, 3.7 and none", got)
	}
}

func TestARevisionThatDoesNotComeIsStale(t *testing.T) {
	c, p := dialProduct(t, client.WithTimeout(300*time.Millisecond))
	next := p.store.Current().Revision()
	next.Number++
	var got client.Decision
	err := status.Error(codes.DeadlineExceeded, "not asked yet")
	// The answer leaves shortly before the deadline: on a busy machine it may come too late.
	for try := 0; try < 20 && status.Code(err) == codes.DeadlineExceeded; try++ {
		got, err = c.Check(t.Context(), get(user("ada"), "/shop/orders"), client.AtLeast(next))
		if got.Allowed() {
			t.Fatalf("Check returned %v", got)
		}
	}
	if err != nil || got.Reason != authz.Stale {
		t.Errorf("Check returned %v and the error %v, want STALE", got, err)
	}
}

func TestQuestionsThatAreNotWholeAskNobody(t *testing.T) {
	server := &scripted{}
	c := dial(t, server)
	request := &client.HTTPRequest{Method: "GET", Path: "/a"}
	tests := map[string]struct {
		question client.Question
		want     string
	}{
		"nothing":              {client.Question{Subject: user("ada")}, "permission and scope, or HTTP: missing"},
		"both":                 {client.Question{Subject: user("ada"), HTTP: request, Permission: "A.B.Read", Scope: "/tenants/t"}, "permission and HTTP: want one or the other"},
		"no scope":             {client.Question{Subject: user("ada"), Permission: "A.B.Read"}, "permission and scope: want both"},
		"no permission":        {client.Question{Subject: user("ada"), Scope: "/tenants/t"}, "permission and scope: want both"},
		"no tenant":            {client.Question{Subject: client.Subject{Principal: authz.Principal{Type: authz.User, ID: "ada"}}, HTTP: request}, "subject.tenant: missing"},
		"no principal":         {client.Question{Subject: client.Subject{Tenant: "t"}, HTTP: request}, "subject.principal.id: missing"},
		"groups and no caller": {client.Question{Subject: client.Subject{Groups: []string{"g"}}, HTTP: request}, "subject.tenant: missing"},
		"a group as caller":    {client.Question{Subject: client.Subject{Tenant: "t", Principal: authz.Principal{Type: authz.Group, ID: "g"}}, HTTP: request}, `subject.principal.type: "Group": want User or ApplicationUser`},
		"a group that is lost": {client.Question{Subject: client.Subject{Tenant: "t", Principal: authz.Principal{Type: authz.User, ID: "u"}, Groups: []string{"g", ""}}, HTTP: request}, "subject.groups[1]: empty"},
		"a role that is lost":  {client.Question{Subject: client.Subject{Tenant: "t", Principal: authz.Principal{Type: authz.User, ID: "u"}, DirectoryRoles: []string{""}}, HTTP: request}, "subject.directory_roles[0]: empty"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := c.Check(t.Context(), test.question)
			if err == nil || !strings.Contains(err.Error(), test.want) || got.Allowed() {
				t.Errorf("Check returned %v and the error %v, want %q", got, err, test.want)
			}
			if _, err = c.BatchCheck(t.Context(), []client.Question{get(user("ada"), "/a"), test.question}); err == nil || !strings.Contains(err.Error(), "questions[1]: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("BatchCheck returned the error %v, want questions[1] and %q", err, test.want)
			}
		})
	}
	if server.calls.Load() != 0 {
		t.Errorf("the server was asked %d times", server.calls.Load())
	}
}

func TestACallThatFailsDecidesNothing(t *testing.T) {
	c, _ := dialProduct(t)
	got, err := c.Check(t.Context(), get(user("ada"), "/"+strings.Repeat("a", 70_000)))
	if status.Code(err) != codes.InvalidArgument || got.Allowed() {
		t.Errorf("Check returned %v and the error %v, want INVALID_ARGUMENT", got, err)
	}
	if _, err := c.Resolve(t.Context(), client.HTTPRequest{Method: strings.Repeat("A", 33), Path: "/"}, "", ""); status.Code(err) != codes.InvalidArgument {
		t.Errorf("Resolve returned the error %v, want INVALID_ARGUMENT", err)
	}
	nowhere := dialAt(t, "unix://"+socket(t), client.WithRetries(0))
	if got, err := nowhere.Check(t.Context(), get(user("ada"), "/health")); status.Code(err) != codes.Unavailable || got.Allowed() {
		t.Errorf("Check without a server returned %v and the error %v, want UNAVAILABLE", got, err)
	}
}

func TestACallEndsAtItsTimeoutOrItsContextsDeadline(t *testing.T) {
	silent := &scripted{check: func(ctx context.Context, _ int, _ *pathgrantv1.CheckRequest) (*pathgrantv1.CheckResponse, error) {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}}
	short := dial(t, silent, client.WithTimeout(50*time.Millisecond))
	if got, err := short.Check(t.Context(), get(user("ada"), "/a")); status.Code(err) != codes.DeadlineExceeded || got.Allowed() {
		t.Errorf("Check returned %v and the error %v, want DEADLINE_EXCEEDED", got, err)
	}
	long := dial(t, silent, client.WithTimeout(time.Hour))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := long.Check(ctx, get(user("ada"), "/a")); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("Check returned the error %v, want DEADLINE_EXCEEDED", err)
	}
	cancelled, cancelNow := context.WithCancel(t.Context())
	cancelNow()
	if _, err := long.Check(cancelled, get(user("ada"), "/a")); status.Code(err) != codes.Canceled {
		t.Errorf("Check returned the error %v, want CANCELLED", err)
	}
}

func TestOnlyACallThatTheServerCouldNotTakeIsTriedAgain(t *testing.T) {
	denial := &pathgrantv1.CheckResponse{Decision: &pathgrantv1.Decision{Effect: pathgrantv1.Effect_EFFECT_DENY, Reason: pathgrantv1.Reason_REASON_NO_ASSIGNMENT}}
	tests := map[string]struct {
		retries int
		answer  func(call int) (*pathgrantv1.CheckResponse, error)
		calls   int32
		reason  authz.Reason
		code    codes.Code
	}{
		"a denial after two failures": {
			retries: 2,
			answer: func(call int) (*pathgrantv1.CheckResponse, error) {
				if call < 3 {
					return nil, status.Error(codes.Unavailable, "moving")
				}
				return denial, nil
			},
			calls: 3, reason: authz.NoAssignment,
		},
		"a denial is final": {
			retries: 4, answer: func(int) (*pathgrantv1.CheckResponse, error) { return denial, nil },
			calls: 1, reason: authz.NoAssignment,
		},
		"not ready is a decision": {
			retries: 4, answer: func(int) (*pathgrantv1.CheckResponse, error) {
				return &pathgrantv1.CheckResponse{Decision: &pathgrantv1.Decision{Effect: pathgrantv1.Effect_EFFECT_DENY, Reason: pathgrantv1.Reason_REASON_NOT_READY}}, nil
			},
			calls: 1, reason: authz.NotReady,
		},
		"never more than asked for": {
			retries: 1, answer: func(int) (*pathgrantv1.CheckResponse, error) { return nil, status.Error(codes.Unavailable, "gone") },
			calls: 2, code: codes.Unavailable,
		},
		"none at all": {
			retries: 0, answer: func(int) (*pathgrantv1.CheckResponse, error) { return nil, status.Error(codes.Unavailable, "gone") },
			calls: 1, code: codes.Unavailable,
		},
		"a fault": {
			retries: 4, answer: func(int) (*pathgrantv1.CheckResponse, error) { return nil, status.Error(codes.Internal, "panic") },
			calls: 1, code: codes.Internal,
		},
		"a refusal by something in between": {
			retries: 4, answer: func(int) (*pathgrantv1.CheckResponse, error) {
				return nil, status.Error(codes.PermissionDenied, "not you")
			},
			calls: 1, code: codes.PermissionDenied,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := &scripted{check: func(_ context.Context, call int, _ *pathgrantv1.CheckRequest) (*pathgrantv1.CheckResponse, error) {
				return test.answer(call)
			}}
			got, err := dial(t, server, client.WithRetries(test.retries)).Check(t.Context(), get(user("ada"), "/a"))
			if status.Code(err) != test.code || got.Reason != test.reason || got.Allowed() {
				t.Errorf("Check returned %v and the error %v, want %v and the code %v", got, err, test.reason, test.code)
			}
			if server.calls.Load() != test.calls {
				t.Errorf("the server was asked %d times, want %d", server.calls.Load(), test.calls)
			}
		})
	}
}

func TestAServerThatComesBackIsFoundAgain(t *testing.T) {
	path := socket(t)
	c := dialAt(t, "unix://"+path, client.WithRetries(0))
	allow := answering(&pathgrantv1.Decision{Effect: pathgrantv1.Effect_EFFECT_ALLOW, Reason: pathgrantv1.Reason_REASON_PUBLIC})
	for range 2 {
		if got, err := c.Check(t.Context(), get(client.Subject{}, "/health")); err == nil || got.Allowed() {
			t.Fatalf("Check without a server returned %v and the error %v", got, err)
		}
		stop := serve(listen(t, "unix", path), allow)
		deadline := time.Now().Add(20 * time.Second)
		for {
			got, err := c.Check(t.Context(), get(client.Subject{}, "/health"))
			if err == nil && got.Allowed() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the server was not found again: %v", err)
			}
		}
		stop()
	}
}

func TestAConnectionOfTheCallersStaysOpen(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	defer serve(l, answering(&pathgrantv1.Decision{Effect: pathgrantv1.Effect_EFFECT_ALLOW, Reason: pathgrantv1.Reason_REASON_PUBLIC}))()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		c, err := client.New(conn, client.WithTimeout(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Check(t.Context(), get(client.Subject{}, "/health")); err != nil || !got.Allowed() {
			t.Errorf("Check returned %v and the error %v", got, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := client.New(conn, client.WithRetries(1)); err == nil || !strings.Contains(err.Error(), "WithRetries says how to connect") {
		t.Errorf("New with an option for connecting returned the error %v", err)
	}
	if _, err := client.New(nil); err == nil {
		t.Error("New without a connection returned no error")
	}
}
