package explain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// A Decider is the gate.
type Decider interface {
	// Trace answers from what the Reader reads, through no cache, and says what it decided on.
	Trace(ctx context.Context, held *snapshot.Reader, r *ask.Request, a *ask.Answer, t *ask.Trace)
	// Decide answers as everybody is answered, through every cache.
	Decide(ctx context.Context, r *ask.Request, a *ask.Answer)
	// TraceComposite answers a composite question from what the Reader reads.
	TraceComposite(ctx context.Context, held *snapshot.Reader, r *ask.CompositeRequest, a *ask.CompositeAnswer)
}

// A Store is what is read, and told where its caches are wrong; [snapshot.Store] is the one.
type Store interface {
	Read(ctx context.Context, read func(*snapshot.Reader) error) error
	Await(ctx context.Context, r authz.Revision) (*snapshot.Snapshot, error)
	Differs(ctx context.Context, tenant, principal string, revision authz.Revision)
}

// Options are what an [Explainer] is made of. Decider, which should record nothing, Store,
// Catalogues and Roles are required.
type Options struct {
	Decider    Decider
	Store      Store
	Catalogues *naming.Catalogues
	// Roles are those that come with the product.
	Roles []authz.RoleDefinition
	// AllowDisabled is the setting allowRoleAssignmentOnDisabledUsers.
	AllowDisabled bool
	// Recent finds recent decisions; nil: none are remembered.
	Recent RecentDecisions
	// Differed is told of each alarm; nil: nobody is.
	Differed func()
	Log      *slog.Logger // nil: none
}

// An Explainer explains. It is safe for concurrent use.
type Explainer struct{ Options }

// New returns an Explainer. It starts nothing.
func New(o Options) *Explainer {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Differed == nil {
		o.Differed = func() {}
	}
	return &Explainer{o}
}

// A Viewer is what whoever asks may see. The zero Viewer sees no assignment.
type Viewer struct {
	// Self says that the question is about whoever asks: then they see what allows them.
	Self bool
	// May tells whether they may read the role assignments at a scope; nil: nowhere.
	May func(authz.Scope) bool
}

func (v *Viewer) sees(scope authz.Scope, effect authz.AssignmentEffect) bool {
	return v.Self && effect == authz.AssignAllow || v.May != nil && v.May(scope)
}

// of is what a viewer sees of somebody's assignments: of others than the one that the question
// is about, only what they may read.
func (v Viewer) of(asker, about *authz.Subject) Viewer {
	v.Self = v.Self && asker.Tenant() == about.Tenant() && asker.Principal().Key() == about.Principal().Key()
	return v
}

// An Authorise refuses a question about somebody at the scopes, or says what whoever asks may
// see. It reads in the transaction that the explanation is read in.
type Authorise func(held *snapshot.Reader, about *authz.Subject, scopes []authz.Scope) (Viewer, error)

// ErrNoSubject says that a question does not say who asks.
var ErrNoSubject = errors.New("the question names no subject")

// Explain says how the question, which must state its subject, is decided and why. The error
// is [ErrNoSubject], that of authorise, or the store's.
func (x *Explainer) Explain(ctx context.Context, r *ask.Request, authorise Authorise) (*Explanation, error) {
	return x.explain(ctx, r, nil, authorise)
}

func (x *Explainer) explain(ctx context.Context, r *ask.Request, recent *Recent, authorise Authorise) (*Explanation, error) {
	if r.Subject == nil {
		return nil, ErrNoSubject
	}
	if err := x.await(ctx, r.AtLeast); err != nil {
		return nil, err
	}
	var e *Explanation
	err := x.Store.Read(ctx, func(held *snapshot.Reader) error {
		var err error
		e, err = x.read(ctx, held, r, recent, authorise)
		return err
	})
	if err != nil {
		return nil, err
	}
	x.compare(ctx, r, e)
	return e, nil
}

// await waits for a revision that is asked for; what is held at the zero revision is there.
func (x *Explainer) await(ctx context.Context, r authz.Revision) error {
	if r == (authz.Revision{}) {
		return nil
	}
	if _, err := x.Store.Await(ctx, r); err != nil {
		return fmt.Errorf("wait for the revision asked for: %w", err)
	}
	return nil
}

// read explains within one transaction.
func (x *Explainer) read(ctx context.Context, held *snapshot.Reader, r *ask.Request, recent *Recent, authorise Authorise) (*Explanation, error) {
	q := &refused{request: r, answer: new(ask.Answer), trace: new(ask.Trace)}
	x.Decider.Trace(ctx, held, r, q.answer, q.trace)
	if q.answer.Subject == nil {
		q.answer.Subject = r.Subject
	}
	tenant := q.answer.Subject.Tenant()
	scopes := q.answer.Scopes
	if len(scopes) == 0 || q.answer.Reason == authz.CrossTenant {
		scopes = []authz.Scope{authz.NamedScope{Kind: authz.TenantScope}.In(tenant)}
	}
	see, err := authorise(held, q.answer.Subject, scopes)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Answer: owned(q.answer), Catalogue: x.catalogue(r), Recent: recent}
	f, err := x.finder(held, tenant, q.trace.Now)
	if err != nil {
		return nil, err
	}
	w := &writer{x: x, f: f, e: e, see: see, q: q, hidden: map[string]bool{}}
	if err := w.write(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

func (x *Explainer) catalogue(r *ask.Request) string {
	if r.Catalogue != "" {
		return r.Catalogue
	}
	return x.Catalogues.Default().Name()
}

// owned copies an answer, so that it outlives the memory that it was written in.
func owned(a *ask.Answer) ask.Answer {
	copied := *a
	copied.Permissions = slices.Clone(a.Permissions)
	copied.Missing = slices.Clone(a.Missing)
	copied.Scopes = make([]authz.Scope, len(a.Scopes))
	for i, scope := range a.Scopes {
		copied.Scopes[i] = authz.Scope(strings.Clone(string(scope)))
	}
	copied.Buf = nil
	return copied
}

// compare asks as everybody asks. Where the answer at the same revision is another, the
// caches are at fault: unless only a second had passed, in which something expired.
func (x *Explainer) compare(ctx context.Context, r *ask.Request, e *Explanation) {
	var cached ask.Answer
	x.Decider.Decide(ctx, r, &cached)
	decided, revision := outcomeOf(&e.decided), e.Answer.Revision
	if cached.Revision != revision || outcomeOf(&cached) == decided {
		return
	}
	again := decided
	err := x.Store.Read(ctx, func(held *snapshot.Reader) error {
		var a ask.Answer
		var t ask.Trace
		x.Decider.Trace(ctx, held, r, &a, &t)
		again, revision = outcomeOf(&a), a.Revision
		return nil
	})
	if err != nil || revision != cached.Revision || again == outcomeOf(&cached) {
		return
	}
	differs := owned(&cached)
	e.Cached = &differs
	x.Log.ErrorContext(ctx, "a cached answer differs from what the snapshot says", "tenant", r.Subject.Tenant(),
		"principal", r.Subject.Principal().ID, "cached", cached.Reason.String(), "read", e.Answer.Reason.String(), "revision", revision.Number)
	x.Store.Differs(ctx, r.Subject.Tenant(), r.Subject.Principal().ID, revision)
	x.Differed()
}

// An outcome is what two answers must agree in.
type outcome struct {
	reason     authz.Reason
	assignment string
	step       authz.AccessStep
	lacks      authz.DataverseDenial
}

func outcomeOf(a *ask.Answer) outcome {
	v := outcome{reason: a.Reason}
	if a.Assignment != nil {
		v.assignment = a.Assignment.AssignmentID
	}
	if a.Record != nil {
		v.step, v.lacks = a.Record.Step, a.Record.Denial
	}
	return v
}
