package explain_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/explain"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

var noon = time.Date(2029, 12, 31, 12, 0, 0, 0, time.UTC)

// world is a store with a gate and an explainer in front of it.
type world struct {
	t          testing.TB
	catalogues *naming.Catalogues
	store      *snapshot.Store
	gate       *gate.Gate
	explainer  *explain.Explainer
	recent     *audit.Recent
	alarms     int
	log        *strings.Builder
}

// newWorld opens a store in which those roles come with the product; nil: those that do.
func newWorld(t testing.TB, shipped []authz.RoleDefinition) *world {
	t.Helper()
	w := &world{t: t, recent: audit.NewRecent(16), log: new(strings.Builder)}
	var err error
	if w.catalogues, err = naming.Load(naming.Shipped()); err != nil {
		t.Fatal(err)
	}
	if shipped == nil {
		shipped = roles.All()
	}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	now := func() time.Time { return noon }
	w.store, err = snapshot.Open(t.Context(), snapshot.Options{
		Dir: t.TempDir(), CacheBytes: 8 << 20, Vocabulary: w.catalogues.Vocabulary(), ShippedRoles: shipped,
		StandardTables: roles.StandardTables(), FoldCase: w.catalogues.FoldCase(), Now: now, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.gate = gate.New(gate.Options{Catalogues: w.catalogues, Snapshots: w.store, Log: slog.New(slog.DiscardHandler), Now: now})
	w.explainer = explain.New(explain.Options{
		Decider: w.gate, Store: w.store, Catalogues: w.catalogues, Roles: shipped, Recent: w.recent,
		Differed: func() { w.alarms++ }, Log: log,
	})
	return w
}

// apply makes a bundle all that is held.
func (w *world) apply(text string) {
	w.t.Helper()
	data, err := bundle.Parse("policy.yaml", []byte(text), bundle.Options{FoldCase: true, Vocabulary: w.catalogues.Vocabulary(), Now: noon})
	if err != nil {
		w.t.Fatal(err)
	}
	w.replace(data)
}

func (w *world) replace(data *snapshot.Data) {
	w.t.Helper()
	if _, err := w.store.Replace(w.t.Context(), data, snapshot.Change{Source: "test"}); err != nil {
		w.t.Fatal(err)
	}
}

// everything lets whoever asks see everything.
func everything(*snapshot.Reader, *authz.Subject, []authz.Scope) (explain.Viewer, error) {
	return explain.Viewer{May: func(authz.Scope) bool { return true }}, nil
}

// explain explains to somebody who may see everything.
func (w *world) explain(r *ask.Request) *explain.Explanation {
	w.t.Helper()
	e, err := w.explainer.Explain(w.t.Context(), r, everything)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

func principal(kind authz.PrincipalType, id string) authz.Principal {
	return authz.Principal{Type: kind, ID: id}
}

func user(t testing.TB, id string, groups ...string) *authz.Subject {
	t.Helper()
	s, err := authz.NewSubject(authz.SubjectSpec{Tenant: "t1", Principal: principal(authz.User, id), Groups: groups, FoldCase: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// decide asks the gate, has what it decided written to the log, and returns its identifier.
func (w *world) decide(r *ask.Request) string {
	w.t.Helper()
	var a ask.Answer
	w.gate.Decide(w.t.Context(), r, &a)
	l := audit.New(audit.Options{Mode: audit.All, Writer: io.Discard, Recent: w.recent})
	entry := audit.Entry{
		Time: a.Time, Process: a.DecisionID.Process, Number: a.DecisionID.Number, Adapter: r.Adapter, Method: r.Method, Path: r.Path,
		Permissions: a.Permissions, Scopes: a.Scopes, Reason: a.Reason, Revision: a.Revision,
	}
	if a.Subject != nil {
		entry.Tenant, entry.Principal = a.Subject.Tenant(), a.Subject.Principal()
	}
	l.Append(&entry)
	ended, cancel := context.WithCancel(w.t.Context())
	cancel()
	if err := l.Run(ended); err != nil {
		w.t.Fatal(err)
	}
	return a.DecisionID.String()
}
