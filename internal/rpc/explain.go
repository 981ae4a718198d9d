package rpc

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/explain"
	"github.com/pathgrant/pathgrant/internal/reverse"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// ExplainOptions are what an [Explain] is made of. All but Log are required.
type ExplainOptions struct {
	Explainer *explain.Explainer
	Reverse   *reverse.Questions
	// Admin says who may ask about whom.
	Admin *admin.Admin
	// Read reads what is held, at one revision.
	Read func(ctx context.Context, read func(*snapshot.Reader) error) error
	// FoldCase compares identifiers that are not GUIDs without case, as the catalogue says.
	FoldCase bool
	Log      *slog.Logger
}

// An Explain implements pathgrant.v1.ExplainService. It must be registered where the
// interceptors of an [Administration] are, which find out who calls: without them every call
// is refused. It is safe for concurrent use.
type Explain struct {
	pathgrantv1.UnimplementedExplainServiceServer
	o         ExplainOptions
	questions *Server // reads questions as checks are read
}

// NewExplain returns the service. It starts nothing.
func NewExplain(o ExplainOptions) *Explain {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Explain{o: o, questions: New(Options{FoldCase: o.FoldCase, Log: o.Log})}
}

// Register registers the service.
func (s *Explain) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(&pathgrantv1.ExplainService_ServiceDesc, s)
}

// explainLimits are those of the questions that checks ask, where a check has them.
func explainLimits(in *pathgrantv1.ExplainRequest) error {
	var l limits
	l.question("question", in.GetQuestion())
	l.text("decision_id", in.GetDecisionId(), maxRequestID)
	l.composite("composite", in.GetComposite())
	return l.err
}

// Explain implements ExplainService.
func (s *Explain) Explain(ctx context.Context, in *pathgrantv1.ExplainRequest) (*pathgrantv1.ExplainResponse, error) {
	if in.GetAtLeastRevision() != nil {
		bounded, cancel := context.WithTimeout(ctx, maxWait)
		defer cancel()
		ctx = bounded
	}
	var out *pathgrantv1.Explanation
	var err error
	switch what := in.GetWhat().(type) {
	case *pathgrantv1.ExplainRequest_Question:
		out, err = s.question(ctx, what.Question, in.GetAtLeastRevision())
	case *pathgrantv1.ExplainRequest_DecisionId:
		out, err = s.decision(ctx, what.DecisionId, in.GetAtLeastRevision())
	case *pathgrantv1.ExplainRequest_Composite:
		out, err = s.composite(ctx, what.Composite, in.GetAtLeastRevision())
	default:
		return nil, invalid("question", "name a question, a decision_id or a composite")
	}
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return &pathgrantv1.ExplainResponse{Explanation: out}, nil
}

// failed turns an error of the explainer into one for the caller.
func (s *Explain) failed(ctx context.Context, err error) error {
	var refused *admin.Error
	var nobody *explain.NobodyError
	switch _, isStatus := status.FromError(err); {
	case errors.As(err, &refused), isStatus:
		return err
	case errors.Is(err, explain.ErrNotRemembered):
		return withDetails(codes.NotFound, "decision_id: "+err.Error())
	case errors.As(err, &nobody):
		return withDetails(codes.FailedPrecondition, "decision_id: "+err.Error())
	case errors.Is(err, explain.ErrNoSubject):
		return invalid("subject", "say whom the question is about")
	default:
		return s.o.Admin.Refused(ctx, caller(ctx), "Explain", err)
	}
}

func (s *Explain) question(ctx context.Context, q *pathgrantv1.CheckQuestion, atLeast *pathgrantv1.Revision) (*pathgrantv1.Explanation, error) {
	var r ask.Request
	s.questions.request(&r, q)
	if r.Unreadable != "" {
		return nil, invalid("question", r.Unreadable)
	}
	if r.Subject == nil {
		r.Subject = caller(ctx).Subject // about oneself
	}
	r.AtLeast = revisionOf(atLeast)
	e, err := s.o.Explainer.Explain(ctx, &r, s.authorise(ctx))
	if err != nil {
		return nil, err
	}
	return explanation(e), nil
}

func (s *Explain) decision(ctx context.Context, id string, atLeast *pathgrantv1.Revision) (*pathgrantv1.Explanation, error) {
	e, err := s.o.Explainer.ExplainDecision(ctx, id, revisionOf(atLeast), s.authorise(ctx))
	if kind := admin.KindOf(err); err != nil && (kind == admin.Forbidden || kind == admin.CrossTenant) {
		// Identifiers are counted up: who may not read a decision is told neither that there was
		// one nor, as a refusal would, at which scope.
		return nil, explain.ErrNotRemembered
	}
	if err != nil {
		return nil, err
	}
	return explanation(e), nil
}

func revisionOf(in *pathgrantv1.Revision) authz.Revision {
	return authz.Revision{Epoch: in.GetEpoch(), Number: in.GetNumber()}
}

// authorise lets everybody ask about themselves, and about others whoever may read the role
// assignments at what is asked about.
func (s *Explain) authorise(ctx context.Context) explain.Authorise {
	who := caller(ctx)
	return func(held *snapshot.Reader, about *authz.Subject, scopes []authz.Scope) (explain.Viewer, error) {
		reading, err := s.o.Admin.Reading(admin.ReaderOf(held), who, about.Tenant())
		if err != nil {
			return explain.Viewer{}, err
		}
		self := who.IsSelf(about)
		if !self {
			if err := reading.NeedRoleAssignments(scopes...); err != nil {
				return explain.Viewer{}, err
			}
		}
		return explain.Viewer{Self: self, May: reading.May}, nil
	}
}

func explanation(e *explain.Explanation) *pathgrantv1.Explanation {
	out := &pathgrantv1.Explanation{
		Decision: decision(&e.Answer),
		Mapping: &pathgrantv1.MappingStep{
			DecidedBy: e.Answer.DecidedBy, Rule: e.Answer.Rule, Catalogue: e.Catalogue, Detail: e.Answer.Detail,
		},
		Subject:           explainedSubject(&e.Subject),
		Pairs:             explainedPairs(e.Pairs),
		Mend:              mend(e.Mend),
		HiddenAssignments: int32(e.Hidden),
		Notes:             e.Notes,
	}
	out.Decision.DecisionId = ""
	if e.Cached != nil {
		out.CachedDecision = decision(e.Cached)
		out.CachedDecision.DecisionId = ""
		out.CachedDecision.Assignment = nil // it may be one that is not to be shown
	}
	if d := e.Recent; d != nil {
		out.Recent = &pathgrantv1.RecentDecision{
			DecisionId: d.ID, Time: timestamppb.New(d.Time), Reason: reason(d.Reason), Adapter: d.Adapter, NotKept: d.NotKept,
		}
		if d.Revision != (authz.Revision{}) {
			out.Recent.Revision = &pathgrantv1.Revision{Epoch: d.Revision.Epoch, Number: d.Revision.Number}
		}
	}
	return out
}

func protoPrincipal(p authz.Principal) *pathgrantv1.Principal {
	return &pathgrantv1.Principal{Type: principalTypes[p.Type], Id: p.ID}
}

func explainedSubject(s *explain.Subject) *pathgrantv1.ExplainedSubject {
	out := &pathgrantv1.ExplainedSubject{
		Tenant: s.Tenant, Principal: protoPrincipal(s.Principal), Disabled: s.Disabled,
		GroupsUnknown: s.GroupsUnknown, DirectoryComplete: s.DirectoryComplete,
	}
	for _, m := range s.Memberships {
		said := &pathgrantv1.Membership{Principal: protoPrincipal(m.Principal), DisplayName: m.DisplayName, ByToken: m.ByToken}
		for _, p := range m.Via {
			said.Via = append(said.Via, protoPrincipal(p))
		}
		out.Memberships = append(out.Memberships, said)
	}
	return out
}

func explainedPairs(pairs []explain.Pair) []*pathgrantv1.ExplainedPair {
	all := make([]*pathgrantv1.ExplainedPair, 0, len(pairs))
	for i := range pairs {
		p := &pairs[i]
		out := &pathgrantv1.ExplainedPair{Permission: string(p.Permission), Chain: scopeTexts(p.Chain), Reason: reason(p.Reason)}
		for j := range p.Assignments {
			c := &p.Assignments[j]
			said := &pathgrantv1.ConsideredAssignment{
				Assignment: shownAssignment(&c.Assignment), Verdict: verdict(c.Verdict), Detail: c.Detail, BusinessUnit: c.BusinessUnit,
			}
			if c.Reach != authz.NoReach {
				said.Reach = c.Reach.String()
			}
			out.Assignments = append(out.Assignments, said)
		}
		out.Record = explainedRecord(p.Record)
		all = append(all, out)
	}
	return all
}

func verdict(v explain.Verdict) pathgrantv1.Verdict {
	return pathgrantv1.Verdict(pathgrantv1.Verdict_value["VERDICT_"+v.String()])
}

func explainedRecord(r *explain.Record) *pathgrantv1.ExplainedRecord {
	if r == nil {
		return nil
	}
	out := &pathgrantv1.ExplainedRecord{
		Table: r.TableName, Privilege: r.Privilege.String(), Step: r.Step.String(), Lacks: r.Denial.String(),
		Column: r.Column, ActingFor: r.ActingFor, BusinessUnit: r.BusinessUnit,
	}
	if r.Needed != authz.NoReach {
		out.NeededReach = r.Needed.String()
	}
	if r.Owner.ID != "" {
		out.Owner = protoPrincipal(r.Owner)
	}
	return out
}

func shownAssignment(a *explain.Assignment) *pathgrantv1.DecidingAssignment {
	out := &pathgrantv1.DecidingAssignment{
		Id: a.ID, Principal: protoPrincipal(a.Principal), RoleDefinitionId: a.RoleID, RoleDefinitionName: a.RoleName,
		Scope: string(a.Scope), Effect: assignmentEffects[a.Effect],
	}
	if a.Expires != 0 {
		out.ExpiresTime = timestamppb.New(time.Unix(a.Expires, 0))
	}
	return out
}

func mend(m *explain.Mend) *pathgrantv1.Mend {
	if m == nil {
		return nil
	}
	out := &pathgrantv1.Mend{Advice: m.Advice}
	for _, p := range m.Assignments {
		out.Assignments = append(out.Assignments, &pathgrantv1.MendAssignment{
			Principal: protoPrincipal(p.Principal), RoleDefinitionId: p.RoleID, RoleDefinitionName: p.RoleName, Scope: string(p.Scope), Size: int32(p.Size),
		})
	}
	for i := range m.InTheWay {
		out.InTheWay = append(out.InTheWay, shownAssignment(&m.InTheWay[i]))
	}
	return out
}
