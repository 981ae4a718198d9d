package extauthz

import (
	"context"
	"log/slog"
	"testing"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// usual is a check as Envoy sends it with encode_raw_headers.
func usual() []byte {
	headers := []byte(nil)
	for _, h := range [][2]string{
		{":authority", "api.example"}, {":method", "GET"}, {":path", "/powerapps/environments/e1/apps"}, {":scheme", "https"},
		{"accept", "application/json"}, {"authorization", "Bearer token"}, {"user-agent", "client/1.0"},
		{"x-request-id", "00000000-1b2c-4d3e-9f40-5a6b7c8d9e0f"},
	} {
		headers = append(headers, nested(1, append(nested(1, []byte(h[0])), nested(3, []byte(h[1]))...))...)
	}
	http := append(nested(2, []byte("GET")), nested(4, []byte("/powerapps/environments/e1/apps"))...)
	http = append(append(http, nested(5, []byte("api.example"))...), nested(13, headers)...)
	return inHTTP(http...)
}

type fixedDecider struct{ answer ask.Answer }

// Decide implements ask.Decider.
func (d *fixedDecider) Decide(_ context.Context, r *ask.Request, a *ask.Answer) {
	*a = d.answer
	if len(r.Credentials.Authorization) != 1 {
		a.Reason = authz.Unauthenticated
	}
}

func answers(tb testing.TB) map[string]ask.Answer {
	tb.Helper()
	who, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: authz.Principal{Type: authz.User, ID: "ada"}})
	if err != nil {
		tb.Fatal(err)
	}
	asked := ask.Answer{
		Subject: who, Permissions: []authz.Permission{"PowerApps.Apps.Read"}, Scopes: []authz.Scope{"/tenants/t1/environments/e1"},
		Revision: authz.Revision{Epoch: 3, Number: 9}, Assignment: &authz.Grant{AssignmentID: "as-1"},
	}
	granted, denied := asked, asked
	granted.Reason = authz.Granted
	denied.Reason, denied.Missing = authz.NoAssignment, denied.Permissions
	return map[string]ask.Answer{"granted": granted, "denied": denied}
}

func TestACheckAllocatesNothing(t *testing.T) {
	if underRace {
		return // pools behave otherwise
	}
	for name, answer := range answers(t) {
		s := New(Options{Decider: &fixedDecider{answer}, Headers: DefaultHeaders(), Log: slog.New(slog.DiscardHandler)})
		message, out := usual(), make([]byte, 0, 2<<10)
		allocations := testing.AllocsPerRun(1000, func() {
			if _, done := s.AnswerAtOnce(message, out); !done {
				t.Fatal("not answered at once")
			}
		})
		if allocations > 0 {
			t.Errorf("%s: %v allocations, want none", name, allocations)
		}
	}
}

func TestScanAndEncodeUseTheirMemoryAgain(t *testing.T) {
	frame, e, out := usual(), newEncoder(DefaultHeaders(), DetailPermission), make([]byte, 0, 2<<10)
	var s scanned
	if got := testing.AllocsPerRun(1000, func() {
		if err := s.read(frame); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("a scan allocates %v times, want not at all", got)
	}
	for name, answer := range answers(t) {
		if got := testing.AllocsPerRun(1000, func() { e.respond(out, &answer, s.headers(), false) }); got != 0 {
			t.Errorf("%s: the encoding allocates %v times, want not at all", name, got)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for name, answer := range answers(b) {
		b.Run(name, func(b *testing.B) {
			s := New(Options{Decider: &fixedDecider{answer}, Headers: DefaultHeaders(), Log: slog.New(slog.DiscardHandler)})
			message, out := usual(), make([]byte, 0, 2<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, done := s.AnswerAtOnce(message, out); !done {
					b.Fatal("not answered at once")
				}
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	frame := usual()
	var s scanned
	b.ReportAllocs()
	for b.Loop() {
		if err := s.read(frame); err != nil {
			b.Fatal(err)
		}
	}
}
