package extauthz

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"google.golang.org/grpc/mem"

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

// exchange does what a codec and a handler do with one check.
func exchange(s *Server, frame mem.BufferSlice) error {
	out, err := check(s, context.Background(), func(v any) error {
		in, ok := v.(*call)
		if !ok {
			return fmt.Errorf("%T is not a call", v)
		}
		in.ReadFrame(frame)
		return nil
	}, nil)
	if err != nil {
		return err
	}
	answer, ok := out.(*reply)
	if !ok {
		return fmt.Errorf("%T is not a reply", out)
	}
	answer.Frame().Free()
	return nil
}

func TestACheckAllocatesTheCopyAndTheReply(t *testing.T) {
	if underRace {
		return // pools behave otherwise
	}
	for name, answer := range answers(t) {
		s := New(Options{Decider: &fixedDecider{answer}, Headers: DefaultHeaders(), Log: slog.New(slog.DiscardHandler)})
		frame := mem.BufferSlice{mem.SliceBuffer(usual())}
		allocations := testing.AllocsPerRun(1000, func() {
			if err := exchange(s, frame); err != nil {
				t.Fatal(err)
			}
		})
		if allocations > 2 {
			t.Errorf("%s: %v allocations, want 2: the copy of the message and the reply", name, allocations)
		}
	}
}

func TestScanAndEncodeUseTheirMemoryAgain(t *testing.T) {
	frame, e, out := usual(), newEncoder(DefaultHeaders(), DetailPermission), make([]byte, 0, replySize)
	var s scanned
	if got := testing.AllocsPerRun(1000, func() {
		if err := s.read(frame); err != nil {
			t.Fatal(err)
		}
	}); got != 1 {
		t.Errorf("a scan allocates %v times, want once, for the copy", got)
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
			frame := mem.BufferSlice{mem.SliceBuffer(usual())}
			b.ReportAllocs()
			for b.Loop() {
				if err := exchange(s, frame); err != nil {
					b.Fatal(err)
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
