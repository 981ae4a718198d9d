package rpc

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/ask"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// CheckComposite implements AuthorizationService.
func (s *Server) CheckComposite(ctx context.Context, in *pathgrantv1.CheckCompositeRequest) (_ *pathgrantv1.CheckCompositeResponse, err error) {
	defer s.contain(ctx, &err)
	if s.o.Composites == nil {
		return nil, status.Error(codes.Unimplemented, "this server answers no composite questions")
	}
	var l limits
	l.composite("question", in.GetQuestion())
	if l.err != nil {
		return nil, l.err
	}
	r := s.compositeRequest(in.GetQuestion())
	if atLeast := in.GetAtLeastRevision(); atLeast != nil {
		r.AtLeast = authz.Revision{Epoch: atLeast.GetEpoch(), Number: atLeast.GetNumber()}
		bounded, cancel := context.WithTimeout(ctx, maxWait)
		defer cancel()
		ctx = bounded
	}
	var a ask.CompositeAnswer
	s.o.Composites.CheckComposite(ctx, &r, &a)
	return &pathgrantv1.CheckCompositeResponse{Decision: compositeDecision(&a)}, nil
}

// compositeRequest turns a question into ours. What it can't read becomes BAD_REQUEST.
func (s *Server) compositeRequest(in *pathgrantv1.CompositeQuestion) ask.CompositeRequest {
	r := ask.CompositeRequest{
		Adapter: Adapter, Composite: in.GetComposite(), Scope: in.GetScope(), Object: in.GetObject(),
		Connectors: in.GetConnectors(), Facts: in.GetFacts(),
	}
	if in == nil {
		r.Unreadable = "the question is missing"
	}
	if in.GetSubject() == nil {
		return r
	}
	subject, err := s.subject("subject", in.GetSubject())
	if err != nil {
		r.Unreadable = err.Error()
	}
	r.Subject = subject
	return r
}

func compositeDecision(a *ask.CompositeAnswer) *pathgrantv1.CompositeDecision {
	d := &pathgrantv1.CompositeDecision{
		Effect: pathgrantv1.Effect_EFFECT_DENY, Reason: reason(a.Reason), Detail: a.Detail,
		Composite: a.Composite, Object: a.Object, Scope: string(a.Scope), DecisionId: a.DecisionID.String(),
	}
	if a.Allowed() {
		d.Effect = pathgrantv1.Effect_EFFECT_ALLOW
	}
	if a.Revision != (authz.Revision{}) {
		d.Revision = &pathgrantv1.Revision{Epoch: a.Revision.Epoch, Number: a.Revision.Number}
	}
	for i := range a.Layers {
		layer := &a.Layers[i]
		out := &pathgrantv1.CompositeLayer{Name: layer.Name, State: layerStates[layer.State], Reason: reason(layer.Reason), Mend: layer.Mend}
		for j := range layer.Requirements {
			out.Requirements = append(out.Requirements, requirement(&layer.Requirements[j]))
		}
		d.Layers = append(d.Layers, out)
	}
	return d
}

func requirement(q *ask.Requirement) *pathgrantv1.LayerRequirement {
	out := &pathgrantv1.LayerRequirement{
		State: layerStates[q.State], Reason: reason(q.Reason), Text: q.Text, Of: compositeParties[q.Of],
		Permission: string(q.Permission), Scope: string(q.Scope), Detail: q.Detail, Mend: q.Mend,
	}
	if q.Principal.ID != "" {
		out.Principal = &pathgrantv1.Principal{Type: principalTypes[q.Principal.Type], Id: q.Principal.ID}
	}
	return out
}
