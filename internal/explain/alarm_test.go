package explain_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/explain"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// liar is a gate whose cached answers can be wrong.
type liar struct {
	*gate.Gate
	lie func(a *ask.Answer)
}

func (l liar) Decide(ctx context.Context, r *ask.Request, a *ask.Answer) {
	l.Gate.Decide(ctx, r, a)
	l.lie(a)
}

func (w *world) lying(lie func(a *ask.Answer)) *explain.Explainer {
	return explain.New(explain.Options{
		Decider: liar{w.gate, lie}, Store: w.store, Catalogues: w.catalogues,
		Differed: func() { w.alarms++ }, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	})
}

func TestACachedAnswerThatDiffersIsAnAlarmAndEndsTheCache(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	r := http(t, "ada", "GET", "/powerapps/environments/e1/apps")
	e, err := w.lying(func(a *ask.Answer) { a.Reason = authz.Granted }).Explain(t.Context(), r, everything)
	if err != nil {
		t.Fatal(err)
	}
	if e.Answer.Reason != authz.Overridden || e.Cached == nil || e.Cached.Reason != authz.Granted {
		t.Errorf("read %s, cached %+v; want OVERRIDDEN and GRANTED", e.Answer.Reason, e.Cached)
	}
	if s := w.store.Stats(); w.alarms != 1 || s.Alarms != 1 || s.CacheOn {
		t.Errorf("%d alarms, %d of the store, cache on: %t; want 1, 1, false", w.alarms, s.Alarms, s.CacheOn)
	}
	if !strings.Contains(w.log.String(), "a cached answer differs from what the snapshot says") {
		t.Errorf("log: %s", w.log)
	}
}

func TestACachedAnswerThatAgreesIsNoAlarm(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	for _, c := range []struct {
		name string
		lie  func(a *ask.Answer)
	}{
		{"the truth", func(*ask.Answer) {}},
		{"of another revision", func(a *ask.Answer) { a.Reason, a.Revision.Number = authz.Granted, a.Revision.Number+1 }},
	} {
		e, err := w.lying(c.lie).Explain(t.Context(), http(t, "ada", "GET", "/powerapps/environments/e1/apps"), everything)
		if err != nil {
			t.Fatal(err)
		}
		if s := w.store.Stats(); e.Cached != nil || w.alarms != 0 || s.Alarms != 0 || !s.CacheOn {
			t.Errorf("%s: cached %+v, %d alarms, %d of the store, cache on: %t", c.name, e.Cached, w.alarms, s.Alarms, s.CacheOn)
		}
	}
}

// Between the two answers a second can pass in which an assignment expires; the third answer
// then agrees with the second, and nobody is alarmed.
func TestWhatExpiredMeanwhileIsNoAlarm(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	first := true
	moving := movingDecider{w.gate, func(a *ask.Answer) {
		if !first {
			a.Reason, a.Assignment = authz.Expired, nil
		}
		first = false
	}}
	x := explain.New(explain.Options{Decider: moving, Store: w.store, Catalogues: w.catalogues, Differed: func() { w.alarms++ }})
	e, err := x.Explain(t.Context(), http(t, "ada", "GET", "/powerapps/environments/e1/apps"), everything)
	if err != nil {
		t.Fatal(err)
	}
	if e.Cached != nil || w.alarms != 0 || w.store.Stats().Alarms != 0 {
		t.Errorf("cached %+v, %d alarms", e.Cached, w.alarms)
	}
}

// movingDecider changes every answer, however it was had.
type movingDecider struct {
	*gate.Gate
	change func(a *ask.Answer)
}

func (m movingDecider) Decide(ctx context.Context, r *ask.Request, a *ask.Answer) {
	m.Gate.Decide(ctx, r, a)
	m.change(a)
}

func (m movingDecider) Trace(ctx context.Context, held *snapshot.Reader, r *ask.Request, a *ask.Answer, t *ask.Trace) {
	m.Gate.Trace(ctx, held, r, a, t)
	m.change(a)
}
