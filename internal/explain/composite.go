package explain

import (
	"context"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Composite is how a composite question is decided, layer by layer.
type Composite struct {
	Answer ask.CompositeAnswer
	// Layers are those of the answer, in its order.
	Layers []Layer
	// Subject is who asks, with all that it belongs to.
	Subject Subject
	// Hidden counts the assignments that whoever asks may not read.
	Hidden int
	Notes  []string
}

// A Layer is a layer of a composite, with what was asked for it and refused.
type Layer struct {
	// Pairs are each permission at each scope that was refused.
	Pairs []Pair
	// Mend is what would mend the layer; nil where it passed.
	Mend *Mend
}

// ExplainComposite says which layers of a composite question fail, why, and what would mend
// each. The error is as of [Explainer.Explain].
func (x *Explainer) ExplainComposite(ctx context.Context, r *ask.CompositeRequest, authorise Authorise) (*Composite, error) {
	if r.Subject == nil {
		return nil, ErrNoSubject
	}
	if err := x.await(ctx, r.AtLeast); err != nil {
		return nil, err
	}
	var e *Composite
	err := x.Store.Read(ctx, func(held *snapshot.Reader) error {
		var err error
		e, err = x.readComposite(ctx, held, r, authorise)
		return err
	})
	return e, err
}

func (x *Explainer) readComposite(ctx context.Context, held *snapshot.Reader, r *ask.CompositeRequest, authorise Authorise) (*Composite, error) {
	e := &Composite{}
	x.Decider.TraceComposite(ctx, held, r, &e.Answer)
	tenant := r.Subject.Tenant()
	scope := e.Answer.Scope
	if scope == "" || e.Answer.Reason == authz.CrossTenant {
		scope = authz.NamedScope{Kind: authz.TenantScope}.In(tenant)
	}
	see, err := authorise(held, r.Subject, []authz.Scope{scope})
	if err != nil {
		return nil, err
	}
	f, err := x.finder(held, tenant, held.Now().Unix())
	if err != nil {
		return nil, err
	}
	hidden := map[string]bool{}
	said := &Explanation{}
	top := &writer{x: x, f: f, e: said, see: see, q: &refused{answer: &ask.Answer{Subject: r.Subject}, trace: new(ask.Trace)}, hidden: hidden}
	if err := top.subject(); err != nil {
		return nil, err
	}
	e.Subject = said.Subject
	for i := range e.Answer.Layers {
		layer, err := x.layer(ctx, f, &e.Answer.Layers[i], r.Subject, see, hidden, &e.Notes)
		if err != nil {
			return nil, err
		}
		e.Layers = append(e.Layers, layer)
	}
	e.Hidden = len(hidden)
	return e, nil
}

// layer explains a layer of a composite: what was refused of it, and what would mend that.
func (x *Explainer) layer(ctx context.Context, f *finder, of *ask.Layer, asker *authz.Subject, see Viewer, hidden map[string]bool, notes *[]string) (Layer, error) {
	var layer Layer
	if of.State == ask.LayerPassed {
		return layer, nil
	}
	layer.Mend = &Mend{}
	var questions []*refused
	asked := of.Asked()
	for i := range asked {
		q := &refused{request: &asked[i], answer: new(ask.Answer), trace: new(ask.Trace)}
		x.Decider.Trace(ctx, f.reader, q.request, q.answer, q.trace)
		if q.answer.Allowed() {
			continue // it waits for a fact, not for an assignment
		}
		if q.answer.Subject == nil {
			q.answer.Subject = q.request.Subject
		}
		said := &Explanation{}
		w := &writer{x: x, f: f, e: said, see: see.of(asker, q.answer.Subject), q: q, hidden: hidden}
		if err := w.platform(); err != nil {
			return layer, err
		}
		if err := w.records(); err != nil {
			return layer, err
		}
		layer.Pairs = append(layer.Pairs, said.Pairs...)
		*notes = append(*notes, said.Notes...)
		questions = append(questions, q)
	}
	if len(questions) > 0 {
		w := &writer{x: x, f: f, e: &Explanation{}, see: see.of(asker, questions[0].answer.Subject), q: questions[0], hidden: hidden}
		var err error
		if layer.Mend, err = x.mend(ctx, f, questions, w); err != nil {
			return layer, err
		}
	}
	// What no assignment mends the composite itself says: to share, to state, to change.
	for _, q := range of.Requirements {
		if q.State != ask.LayerPassed && q.Mend != "" && (q.Asked == nil || len(layer.Mend.Assignments) == 0) {
			layer.Mend.Advice = append(layer.Mend.Advice, q.Mend)
		}
	}
	return layer, nil
}
