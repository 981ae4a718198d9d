package rpc

import (
	"context"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

func (s *Explain) composite(ctx context.Context, q *pathgrantv1.CompositeQuestion, atLeast *pathgrantv1.Revision) (*pathgrantv1.Explanation, error) {
	r := s.questions.compositeRequest(q)
	if r.Unreadable != "" {
		return nil, invalid("composite", r.Unreadable)
	}
	if r.Subject == nil {
		r.Subject = caller(ctx).Subject // about oneself
	}
	r.AtLeast = revisionOf(atLeast)
	e, err := s.o.Explainer.ExplainComposite(ctx, &r, s.authorise(ctx))
	if err != nil {
		return nil, err
	}
	out := &pathgrantv1.Explanation{
		Composite: compositeDecision(&e.Answer), Subject: explainedSubject(&e.Subject), HiddenAssignments: int32(e.Hidden), Notes: e.Notes,
	}
	out.Composite.DecisionId = ""
	for i := range e.Layers {
		out.Layers = append(out.Layers, &pathgrantv1.ExplainedLayer{
			Name: e.Answer.Layers[i].Name, Pairs: explainedPairs(e.Layers[i].Pairs), Mend: mend(e.Layers[i].Mend),
		})
	}
	return out, nil
}
