package gate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/internal/extauthz"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/ops"
)

// A check is read where it came in, and the next one comes in there too. So nothing that
// is kept, of the first answer, which takes its time, or of later ones, may be a part of
// the message: not the token, the subject, what it holds, the log or the answer.
func TestNothingOfAMessageIsKept(t *testing.T) {
	t.Parallel()
	verifier, issue := testVerifier(t, 0)
	believer, err := identity.New(identity.Config{FoldCase: true, Sources: []identity.SourceConfig{{Header: &identity.HeaderConfig{
		Tenant: "x-tenant", Principal: "x-user", Groups: "x-group",
	}}}}, identity.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		verifier *identity.Verifier
		headers  [][2]string
	}{
		"a token": {verifier, [][2]string{{"authorization", issue(2, "one").Authorization[0]}}},
		"headers": {believer, [][2]string{{"x-tenant", benchTenant}, {"x-user", guid(people, 0)}, {"x-group", guid(groups, 0)}, {"x-group", guid(groups, 1)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			catalogues := benchCatalogues(t, 0)
			store := benchStore(t, catalogues, 1000, 8<<20)
			var lines bytes.Buffer
			log := audit.New(audit.Options{Mode: audit.All, Writer: &lines})
			g := gate.New(gate.Options{
				Catalogues: catalogues, Snapshots: store, Identity: c.verifier, Log: slog.New(slog.DiscardHandler),
				Recorder: shippedRecorder{log, ops.NewMetrics("test", func() ops.Status { return ops.Status{} })},
			})
			p := poisoner{s: extauthz.New(extauthz.Options{Decider: g, Headers: extauthz.DefaultHeaders(), Log: slog.New(slog.DiscardHandler)})}
			for deadline := time.Now().Add(10 * time.Second); !p.ask(t, "GET", c.headers); {
				if time.Now().After(deadline) {
					t.Fatal("never answered at once")
				}
			}
			if !p.ask(t, "DELETE", c.headers) || !p.ask(t, "GET", c.headers) {
				t.Error("what was remembered is forgotten")
			}
			for i, out := range p.answers {
				if !bytes.Equal(out, p.copies[i]) {
					t.Errorf("answer %d has changed", i)
				}
			}
			if got := p.last(t, 1).GetDeniedResponse(); !strings.Contains(got.GetBody(), `"missingPermissions":["PowerApps.Apps.Delete"]`) {
				t.Errorf("the refusal is %v", got)
			}
			sent := map[string]string{}
			for _, h := range p.last(t, 0).GetOkResponse().GetHeaders() {
				sent[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
			}
			if sent["x-pathgrant-principal"] != guid(people, 0) || sent["x-pathgrant-tenant"] != benchTenant ||
				sent["x-pathgrant-permission"] != "PowerApps.Apps.Read" {
				t.Errorf("upstream is told %v", sent)
			}
			found, ok := store.CachedView(benchSubject(t, 2))
			if !ok {
				t.Fatal("what the subject holds is not found by the subject")
			}
			for _, grant := range found.View.Grants.All() {
				if id := grant.Principal.ID; id != guid(people, 0) && id != guid(groups, 0) && id != guid(groups, 1) {
					t.Errorf("the view has a role assignment of %q", id)
				}
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := log.Run(ended); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(lines.String()) {
				var entry struct{ Adapter, Tenant, Principal, Method, Path, Reason string }
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					t.Fatal(err)
				}
				method, reason := "GET", "GRANTED"
				if entry.Method == "DELETE" {
					method, reason = "DELETE", "NO_ASSIGNMENT"
				}
				if entry.Adapter != "extauthz" || entry.Tenant != benchTenant || entry.Principal != guid(people, 0) ||
					entry.Method != method || entry.Path != benchPath || entry.Reason != reason {
					t.Errorf("logged: %s", line)
				}
			}
			if n := strings.Count(lines.String(), "\n"); n != len(p.answers) {
				t.Errorf("%d lines of %d decisions", n, len(p.answers))
			}
		})
	}
}

// A poisoner asks with messages that all come in at one place, and spoils each when it has
// its answer.
type poisoner struct {
	s               *extauthz.Server
	frame           [8 << 10]byte
	answers, copies [][]byte
}

// ask tells whether the answer came at once.
func (p *poisoner) ask(t *testing.T, method string, headers [][2]string) bool {
	t.Helper()
	http := &authv3.AttributeContext_HttpRequest{Method: method, Host: benchHost, Path: benchPath + "?secret=1", HeaderMap: &corev3.HeaderMap{}}
	for _, h := range headers {
		http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
	}
	message, err := proto.MarshalOptions{}.MarshalAppend(p.frame[:0], &authv3.CheckRequest{
		Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: http}},
	})
	if err != nil || len(message) > len(p.frame) {
		t.Fatal(len(message), err)
	}
	answer, atOnce := p.s.AnswerAtOnce(message, nil)
	if !atOnce {
		if answer, err = p.s.Answer(t.Context(), message, nil); err != nil {
			t.Fatal(err)
		}
	}
	p.answers, p.copies = append(p.answers, answer), append(p.copies, bytes.Clone(answer))
	for i := range p.frame {
		p.frame[i] = 'x'
	}
	return atOnce
}

// last returns one of the last answers, 0 for the very last.
func (p *poisoner) last(t *testing.T, back int) *authv3.CheckResponse {
	t.Helper()
	var r authv3.CheckResponse
	if err := proto.Unmarshal(p.answers[len(p.answers)-1-back], &r); err != nil {
		t.Fatal(err)
	}
	return &r
}
