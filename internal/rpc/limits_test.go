package rpc_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/rpc"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func repeated(id string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = id
	}
	return all
}

// unlimited counts what reaches it, and maps and decides nothing.
func unlimited(t *testing.T) (pathgrantv1.AuthorizationServiceClient, *int) {
	t.Helper()
	reached := new(int)
	return dial(t, rpc.Options{
		Decider: decider(func(context.Context, []ask.Request, []ask.Answer) error { *reached++; return nil }),
		Mapper:  mapper(func(*ask.Request, string, *ask.Answer) { *reached++ }),
	}), reached
}

// The limits are those that the contract states, field by field.
func TestWhatIsOverItsLimitFailsTheCallAndNamesTheField(t *testing.T) {
	c, reached := unlimited(t)
	const permission, request = true, false
	for _, test := range []struct {
		field  string
		limit  int
		direct bool // the question is for a permission, not for an HTTP request
		fill   func(q *pathgrantv1.CheckQuestion, n int)
		over   string // the field that is named, where it is not the one that is listed
	}{
		{"subject.tenant", 256, permission, func(q *pathgrantv1.CheckQuestion, n int) { q.Subject.Tenant = strings.Repeat("t", n) }, ""},
		{"subject.principal.id", 256, permission, func(q *pathgrantv1.CheckQuestion, n int) { q.Subject.Principal.Id = strings.Repeat("p", n) }, ""},
		{"subject.groups", 10000, permission, func(q *pathgrantv1.CheckQuestion, n int) { q.Subject.Groups = repeated("g", n) }, ""},
		{"subject.groups[2]", 256, request, func(q *pathgrantv1.CheckQuestion, n int) {
			q.Subject.Groups = []string{"a", "b", strings.Repeat("g", n)}
		}, ""},
		{"subject.directory_roles", 1000, request, func(q *pathgrantv1.CheckQuestion, n int) { q.Subject.DirectoryRoles = repeated("r", n) }, ""},
		{"subject.directory_roles[0]", 256, permission, func(q *pathgrantv1.CheckQuestion, n int) {
			q.Subject.DirectoryRoles = []string{strings.Repeat("r", n), "x"}
		}, ""},
		{"permission.permission", 256, permission, func(q *pathgrantv1.CheckQuestion, n int) { q.GetPermission().Permission = strings.Repeat("p", n) }, ""},
		{"permission.scope", 1024, permission, func(q *pathgrantv1.CheckQuestion, n int) { q.GetPermission().Scope = strings.Repeat("s", n) }, ""},
		{"http_request.method", 32, request, func(q *pathgrantv1.CheckQuestion, n int) { q.GetHttpRequest().Method = strings.Repeat("M", n) }, ""},
		{"http_request.host", 255, request, func(q *pathgrantv1.CheckQuestion, n int) { q.GetHttpRequest().Host = strings.Repeat("h", n) }, ""},
		{"http_request.path", 65536, request, func(q *pathgrantv1.CheckQuestion, n int) { q.GetHttpRequest().Path = "/" + strings.Repeat("p", n-1) }, ""},
		{"http_request.headers", 16, request, func(q *pathgrantv1.CheckQuestion, n int) {
			headers := map[string]string{}
			for i := range n {
				headers[strconv.Itoa(i)] = "v"
			}
			q.GetHttpRequest().Headers = headers
		}, ""},
		{"http_request.headers[x-environment]", 256, request, func(q *pathgrantv1.CheckQuestion, n int) {
			q.GetHttpRequest().Headers = map[string]string{"x-environment": strings.Repeat("e", n)}
		}, ""},
		{"a header's name", 256, request, func(q *pathgrantv1.CheckQuestion, n int) {
			q.GetHttpRequest().Headers = map[string]string{strings.Repeat("x", n): "e1"}
		}, "http_request.headers"},
		{"catalogue", 128, request, func(q *pathgrantv1.CheckQuestion, n int) { q.Catalogue = strings.Repeat("c", n) }, ""},
		{"catalogue", 128, permission, func(q *pathgrantv1.CheckQuestion, n int) { q.Catalogue = strings.Repeat("c", n) }, ""},
		{"bytes, not characters", 256, permission, func(q *pathgrantv1.CheckQuestion, n int) {
			q.Subject.Tenant = strings.Repeat("é", 128) + strings.Repeat("t", n-256)
		}, "subject.tenant"},
	} {
		t.Run(test.field, func(t *testing.T) {
			question := func(n int) *pathgrantv1.CheckQuestion {
				q := asks(subject("ada"), "GET", "/powerapps/apps")
				if test.direct {
					q = direct("ada", "PowerApps.Apps.Read", "/tenants/t1")
				}
				test.fill(q, n)
				return q
			}
			field := test.over
			if field == "" {
				field = test.field
			}
			*reached = 0
			if _, err := c.Check(t.Context(), &pathgrantv1.CheckRequest{Question: question(test.limit)}); err != nil || *reached != 1 {
				t.Errorf("at its limit of %d: %v, decided %d times", test.limit, err, *reached)
			}
			_, err := c.Check(t.Context(), &pathgrantv1.CheckRequest{Question: question(test.limit + 1)})
			wantStatus(t, err, codes.InvalidArgument, "question."+field+": ")
			if want := fmt.Sprintf(": %d ", test.limit+1); err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say how much was given (%s)", err, want)
			}

			_, err = c.BatchCheck(t.Context(), &pathgrantv1.BatchCheckRequest{
				Questions: []*pathgrantv1.CheckQuestion{question(test.limit), question(test.limit), question(test.limit + 1)},
			})
			wantStatus(t, err, codes.InvalidArgument, "questions[2]."+field+": ")
			if *reached != 1 {
				t.Error("something was decided although a field is over its limit")
			}
		})
	}
}

func TestWhatIsOverItsLimitIsNotResolved(t *testing.T) {
	c, reached := unlimited(t)
	for _, test := range []struct {
		field string
		limit int
		fill  func(in *pathgrantv1.ResolveRequest, n int)
	}{
		{"http_request.method", 32, func(in *pathgrantv1.ResolveRequest, n int) { in.HttpRequest.Method = strings.Repeat("M", n) }},
		{"http_request.host", 255, func(in *pathgrantv1.ResolveRequest, n int) { in.HttpRequest.Host = strings.Repeat("h", n) }},
		{"http_request.path", 65536, func(in *pathgrantv1.ResolveRequest, n int) { in.HttpRequest.Path = strings.Repeat("p", n) }},
		{"tenant", 256, func(in *pathgrantv1.ResolveRequest, n int) { in.Tenant = strings.Repeat("t", n) }},
		{"catalogue", 128, func(in *pathgrantv1.ResolveRequest, n int) { in.Catalogue = strings.Repeat("c", n) }},
	} {
		t.Run(test.field, func(t *testing.T) {
			*reached = 0
			in := &pathgrantv1.ResolveRequest{HttpRequest: httpRequest("GET", "/powerapps/apps")}
			test.fill(in, test.limit)
			if _, err := c.Resolve(t.Context(), in); err != nil || *reached != 1 {
				t.Errorf("at its limit of %d: %v, mapped %d times", test.limit, err, *reached)
			}
			test.fill(in, test.limit+1)
			_, err := c.Resolve(t.Context(), in)
			wantStatus(t, err, codes.InvalidArgument, test.field+": ")
			if *reached != 1 {
				t.Error("it was mapped although a field is over its limit")
			}
		})
	}
}

// An empty answer must not read as "all were allowed".
func TestABatchHoldsOneToAThousandQuestions(t *testing.T) {
	p := newProduct(t)
	p.hold(t, assignment("a1", "ada", authz.AssignAllow, "/tenants/t1"))
	for _, test := range []struct {
		n    int
		code codes.Code
	}{{0, codes.InvalidArgument}, {1, codes.OK}, {1000, codes.OK}, {1001, codes.InvalidArgument}} {
		t.Run(fmt.Sprint(test.n), func(t *testing.T) {
			in := &pathgrantv1.BatchCheckRequest{}
			for i := range test.n {
				who := []string{"ada", "eve", "ada"}[i%3]
				in.Questions = append(in.Questions, direct(who, "PowerApps.Apps.Read", "/tenants/t1"))
			}
			response, err := p.BatchCheck(t.Context(), in)
			if test.code != codes.OK {
				wantStatus(t, err, test.code, fmt.Sprintf("questions: %d given, want 1 to 1000", test.n))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(response.GetDecisions()) != test.n {
				t.Fatalf("%d decisions on %d questions", len(response.GetDecisions()), test.n)
			}
			for i, d := range response.GetDecisions() {
				want := []pathgrantv1.Reason{pathgrantv1.Reason_REASON_GRANTED, pathgrantv1.Reason_REASON_NO_ASSIGNMENT, pathgrantv1.Reason_REASON_GRANTED}[i%3]
				if d.GetReason() != want {
					t.Fatalf("decision %d is %v, want %v", i, d.GetReason(), want)
				}
			}
		})
	}
}
