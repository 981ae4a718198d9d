// Package rpc answers Pathgrant's own gRPC service, for callers that ask directly
// instead of standing behind a proxy.
//
// A refusal is a response. A call fails only where nothing was decided: a message
// outside the limits, or a batch that no one revision could answer.
package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pathgrant/pathgrant/internal/ask"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Adapter is this adapter's name in metrics and the decision log.
const Adapter = "grpc"

// placeholderTenant stands for the tenant where a mapping is asked for without one.
const placeholderTenant = "{tenant}"

// maxWait bounds a call that asks for a revision, whatever its own deadline: each question
// of a batch waits for it anew.
const maxWait = 10 * time.Second

// Options are what a [Server] is made of.
type Options struct {
	Decider ask.BatchDecider
	Mapper  ask.Mapper
	// Composites answers composite questions; nil: the server answers none.
	Composites ask.CompositeDecider
	// FoldCase compares identifiers that are not GUIDs without case, as the catalogue says.
	FoldCase bool
	Log      *slog.Logger // nil: none
}

// A Server implements pathgrant.v1.AuthorizationService. It is safe for concurrent use.
type Server struct {
	pathgrantv1.UnimplementedAuthorizationServiceServer
	o Options
}

// New returns a Server. It starts nothing.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{o: o}
}

// Check implements AuthorizationService.
func (s *Server) Check(ctx context.Context, in *pathgrantv1.CheckRequest) (_ *pathgrantv1.CheckResponse, err error) {
	defer s.contain(ctx, &err)
	decisions, err := s.decide(ctx, []*pathgrantv1.CheckQuestion{in.GetQuestion()}, []string{"question"}, in.GetAtLeastRevision())
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.CheckResponse{Decision: decisions[0]}, nil
}

// BatchCheck implements AuthorizationService.
func (s *Server) BatchCheck(ctx context.Context, in *pathgrantv1.BatchCheckRequest) (_ *pathgrantv1.BatchCheckResponse, err error) {
	defer s.contain(ctx, &err)
	questions := in.GetQuestions()
	if len(questions) == 0 || len(questions) > maxQuestions {
		return nil, status.Errorf(codes.InvalidArgument, "questions: %d given, want 1 to %d", len(questions), maxQuestions)
	}
	fields := make([]string, len(questions))
	for i := range fields {
		fields[i] = indexed("questions", i)
	}
	decisions, err := s.decide(ctx, questions, fields, in.GetAtLeastRevision())
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.BatchCheckResponse{Decisions: decisions}, nil
}

// Resolve implements AuthorizationService.
func (s *Server) Resolve(ctx context.Context, in *pathgrantv1.ResolveRequest) (_ *pathgrantv1.ResolveResponse, err error) {
	defer s.contain(ctx, &err)
	var l limits
	l.httpRequest("http_request", in.GetHttpRequest())
	l.text("tenant", in.GetTenant(), maxID)
	l.text("catalogue", in.GetCatalogue(), maxCatalogue)
	if l.err != nil {
		return nil, l.err
	}
	tenant := placeholderTenant
	if in.GetTenant() != "" {
		tenant = authz.CanonicalID(in.GetTenant(), s.o.FoldCase)
	}
	r := ask.Request{Adapter: Adapter, Catalogue: in.GetCatalogue()}
	setHTTP(&r, in.GetHttpRequest())
	var a ask.Answer
	s.o.Mapper.Map(&r, tenant, &a)
	return &pathgrantv1.ResolveResponse{
		Permissions: permissionNames(a.Permissions),
		Scopes:      scopeTexts(a.Scopes),
		DecidedBy:   decidedBy(a.DecidedBy),
		Rule:        a.Rule,
		Reason:      reason(a.Reason),
		Detail:      a.Detail,
	}, nil
}

func (s *Server) decide(ctx context.Context, questions []*pathgrantv1.CheckQuestion, fields []string, atLeast *pathgrantv1.Revision) ([]*pathgrantv1.Decision, error) {
	var l limits
	for i, question := range questions {
		l.question(fields[i], question)
	}
	if l.err != nil {
		return nil, l.err
	}
	requests := make([]ask.Request, len(questions))
	for i, question := range questions {
		s.request(&requests[i], question)
		requests[i].AtLeast = authz.Revision{Epoch: atLeast.GetEpoch(), Number: atLeast.GetNumber()}
	}
	if atLeast != nil {
		bounded, cancel := context.WithTimeout(ctx, maxWait)
		defer cancel()
		ctx = bounded
	}
	answers := make([]ask.Answer, len(questions))
	if err := s.o.Decider.DecideBatch(ctx, requests, answers); err != nil {
		if ctx.Err() != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	decisions := make([]*pathgrantv1.Decision, len(answers))
	for i := range answers {
		decisions[i] = decision(&answers[i])
	}
	return decisions, nil
}

// request turns a question into ours. What it can't read becomes BAD_REQUEST.
func (s *Server) request(r *ask.Request, question *pathgrantv1.CheckQuestion) {
	*r = ask.Request{Adapter: Adapter, Catalogue: question.GetCatalogue()}
	switch target := question.GetTarget().(type) {
	case *pathgrantv1.CheckQuestion_Permission:
		if err := s.setPermission(r, target.Permission); err != nil {
			r.Unreadable = err.Error()
			return
		}
	case *pathgrantv1.CheckQuestion_HttpRequest:
		setHTTP(r, target.HttpRequest)
	default:
		r.Unreadable = "the question names neither a permission nor an HTTP request"
		return
	}
	if question.GetSubject() == nil {
		return // nobody: a public route may still be allowed
	}
	subject, err := s.subject("subject", question.GetSubject())
	if err != nil {
		r.Unreadable = err.Error()
		return
	}
	r.Subject = subject
}

// setPermission turns a permission and what goes with it into ours.
func (s *Server) setPermission(r *ask.Request, in *pathgrantv1.PermissionTarget) (err error) {
	r.Permission, r.Scope = in.GetPermission(), in.GetScope()
	r.Columns, r.AllColumns = in.GetColumns(), in.GetAllColumns()
	if r.Record, err = record("record", in.GetRecord()); err != nil {
		return err
	}
	if other := in.GetRelate(); other != nil {
		r.Relate = &ask.Relate{Table: other.GetTable(), ManyToMany: other.GetManyToMany()}
		if r.Relate.Record, err = record("relate.record", other.GetRecord()); err != nil {
			return err
		}
	}
	if in.GetOnBehalfOf() != nil {
		r.OnBehalfOf, err = s.subject("on_behalf_of", in.GetOnBehalfOf())
	}
	return err
}

func record(field string, in *pathgrantv1.DataverseRecord) (*ask.Record, error) {
	if in == nil {
		return nil, nil
	}
	if in.GetOwner() != nil && in.GetOwner().GetId() == "" {
		return nil, fmt.Errorf("%s.owner: it has no identifier", field)
	}
	r := &ask.Record{ID: in.GetId(), BusinessUnit: in.GetBusinessUnit()}
	if in.GetOwner() != nil {
		r.Owner = principal(in.GetOwner())
	}
	return r, nil
}

func (s *Server) subject(field string, in *pathgrantv1.Subject) (*authz.Subject, error) {
	// An identifier that got lost on the way here may be that of a DENY.
	if i := slices.Index(in.GetGroups(), ""); i >= 0 {
		return nil, fmt.Errorf("%s is empty", indexed(field+".groups", i))
	}
	if i := slices.Index(in.GetDirectoryRoles(), ""); i >= 0 {
		return nil, fmt.Errorf("%s is empty", indexed(field+".directory_roles", i))
	}
	subject, err := authz.NewSubject(authz.SubjectSpec{
		Tenant:         in.GetTenant(),
		Principal:      principal(in.GetPrincipal()),
		Groups:         in.GetGroups(),
		DirectoryRoles: in.GetDirectoryRoles(),
		GroupsUnknown:  in.GetGroupsUnknown(),
		FoldCase:       s.o.FoldCase,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return subject, nil
}

func setHTTP(r *ask.Request, in *pathgrantv1.HttpRequest) {
	r.HTTP, r.Method, r.Host, r.Path, r.GRPC = true, in.GetMethod(), in.GetHost(), in.GetPath(), in.GetGrpc()
	if headers := in.GetHeaders(); len(headers) > 0 {
		r.Header = func(name string) string { return headers[name] }
	}
	if extensions := in.GetContextExtensions(); len(extensions) > 0 {
		r.ContextExtension = func(name string) string { return extensions[name] }
	}
}

// contain turns a panic into an error: to a direct caller, a failed call is no pass.
func (s *Server) contain(ctx context.Context, err *error) {
	if fault := recover(); fault != nil {
		s.o.Log.ErrorContext(ctx, "panic while answering a call", "panic", fault, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "the call failed; the log says why")
	}
}

func decision(a *ask.Answer) *pathgrantv1.Decision {
	d := &pathgrantv1.Decision{
		Effect:             pathgrantv1.Effect_EFFECT_DENY,
		Reason:             reason(a.Reason),
		Permissions:        permissionNames(a.Permissions),
		Scopes:             scopeTexts(a.Scopes),
		MissingPermissions: permissionNames(a.Missing),
		DecisionId:         a.DecisionID.String(),
		Detail:             a.Detail,
	}
	if a.Allowed() {
		d.Effect = pathgrantv1.Effect_EFFECT_ALLOW
	}
	if a.Revision != (authz.Revision{}) {
		d.Revision = &pathgrantv1.Revision{Epoch: a.Revision.Epoch, Number: a.Revision.Number}
	}
	if g := a.Assignment; g != nil {
		d.Assignment = &pathgrantv1.DecidingAssignment{
			Id:                 g.AssignmentID,
			Principal:          &pathgrantv1.Principal{Type: principalTypes[g.Principal.Type], Id: g.Principal.ID},
			RoleDefinitionId:   g.Role.ID(),
			RoleDefinitionName: g.Role.Name(),
			Scope:              string(g.Scope),
			Effect:             assignmentEffects[g.Effect],
		}
		if g.Expires != 0 {
			d.Assignment.ExpiresTime = timestamppb.New(time.Unix(g.Expires, 0))
		}
	}
	if a.Record != nil {
		d.Dataverse = dataverse(a)
	}
	return d
}
