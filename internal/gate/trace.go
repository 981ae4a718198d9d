package gate

import (
	"context"
	"slices"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Trace answers r as [Gate.Decide] does, from what the Reader reads and through no cache,
// and says in t what it decided on. It records nothing, and the answer has no identifier.
func (g *Gate) Trace(ctx context.Context, held *snapshot.Reader, r *ask.Request, a *ask.Answer, t *ask.Trace) {
	a.Reset()
	*t = ask.Trace{}
	s := g.borrow()
	defer g.release(s)
	s.quick, s.held, s.trace = false, held, t
	now := g.Now()
	t.Now = now.Unix()
	g.decideContained(ctx, r, a, s, now)
}

// readAnew is lookUp for what a Reader reads; the view is nil where it cannot be read.
func (g *Gate) readAnew(ctx context.Context, a *ask.Answer, s *scratch, tenant string) (tenantState, *snapshot.View) {
	a.Revision = s.held.Revision()
	state, err := g.tenantOf(s.held, tenant)
	if err != nil {
		a.Reason, a.Detail = g.unreadable(ctx, err)
		return nil, nil
	}
	view, err := s.held.View(tenant, s.who.Subject)
	if err != nil {
		a.Reason, a.Detail = g.unreadable(ctx, err)
		return nil, nil
	}
	return state, view
}

// tenantOf is [Gate.tenant] for what a Reader reads.
func (g *Gate) tenantOf(held *snapshot.Reader, id string) (tenantState, error) {
	known, ok := held.Tenant(id)
	if !ok {
		return unlisted{g.Snapshots.EmptyHierarchy(id)}, nil
	}
	hierarchy, err := held.Hierarchy(id)
	if err != nil {
		return nil, err
	}
	denials, err := held.GroupDenials(id)
	if err != nil {
		return nil, err
	}
	return &readTenant{hierarchy, known.DirectoryComplete, denials}, nil
}

// readTenant is a tenant as a Reader reads it.
type readTenant struct {
	hierarchy *authz.Hierarchy
	complete  bool
	denials   *authz.Grants
}

func (t *readTenant) Hierarchy() *authz.Hierarchy { return t.hierarchy }
func (t *readTenant) DirectoryComplete() bool     { return t.complete }
func (t *readTenant) GroupDenials() *authz.Grants { return t.denials }

// traceNamed keeps a question about platform permissions, and copies what the next one
// writes over.
func (s *scratch) traceNamed(grants *authz.Grants, question authz.Request, http bool) {
	question.Permissions = slices.Clone(question.Permissions)
	question.Chains = slices.Clone(question.Chains)
	for i, chain := range question.Chains {
		copied := make([]authz.Scope, len(chain))
		for j, scope := range chain {
			copied[j] = authz.Scope(append([]byte(nil), scope...))
		}
		question.Chains[i] = copied
	}
	s.trace.Platform, s.trace.Grants = question, grants
	if http {
		s.trace.GrantedTo = slices.Clone(s.resolution.GrantedTo)
	}
}
