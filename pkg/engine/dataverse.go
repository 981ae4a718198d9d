package engine

import (
	"context"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Record is what a question tells of a Dataverse record. Of which neither Owner nor
// BusinessUnit is told counts as all of the table; ID finds the shares that are stored.
type Record = ask.Record

// Relate is what a record is to be attached to: Record, or any, of Table.
type Relate = ask.Relate

// A DataverseQuestion is what goes with a question for a permission of a Dataverse table,
// Dataverse.{Table}.{Privilege}. The zero DataverseQuestion is about all of the table.
type DataverseQuestion struct {
	Record *Record
	// Columns are the ones that are to be read or set; AllColumns stands for all of them.
	Columns    []string
	AllColumns bool
	// OnBehalfOf is whom the subject acts for, of the same tenant (see [Engine.Subject]); nil:
	// itself. Both must be allowed.
	OnBehalfOf *authz.Subject
	// Relate is what the record is to be attached to, with the privilege Append.
	Relate *Relate
}

// fill puts what goes with a permission into the gate's question.
func (e *Engine) fill(r *ask.Request, q *DataverseQuestion) (err error) {
	if q == nil {
		return nil
	}
	r.Record, r.Columns, r.AllColumns, r.Relate = q.Record, q.Columns, q.AllColumns, q.Relate
	if q.OnBehalfOf != nil {
		r.OnBehalfOf, err = e.spelled(q.OnBehalfOf)
	}
	return err
}

// A CompositeQuestion asks whether a subject may do what takes several things at once.
type CompositeQuestion struct {
	Subject *authz.Subject
	// Composite is its name in the catalogue, such as run-only-flow or run-app.
	Composite string
	// Scope is the environment, and Object the flow or app of it.
	Scope  authz.Scope
	Object string
	// Connectors and Facts are what only the asker knows, such as office365 and licence. What
	// is not stated is unknown, and never passes.
	Connectors, Facts map[string]bool
}

// A Layer is one of the things that a composite takes.
type Layer = ask.Layer

// A Requirement is one thing that a layer takes.
type Requirement = ask.Requirement

// What becomes of a layer, and of a requirement.
const (
	LayerUnknown = ask.LayerUnknown
	LayerFailed  = ask.LayerFailed
	LayerPassed  = ask.LayerPassed
)

// A CompositeDecision says what became of every layer. The zero CompositeDecision denies.
type CompositeDecision struct {
	// Reason is GRANTED where every layer passed, and else that of the first that did not.
	Reason authz.Reason
	// Layers are all that it takes; empty where the question was refused before that.
	Layers []Layer
	// Revision is what everything here was read from; zero where nothing was read.
	Revision authz.Revision
	// ID names the decision, in 32 hex digits.
	ID string
	// Detail says what was in the way, for people to read.
	Detail string
}

// Allowed tells whether every layer passed.
func (d CompositeDecision) Allowed() bool { return d.Reason.Effect() == authz.Allow }

// CheckComposite answers one composite question. It never fails, as [Engine.Check].
func (e *Engine) CheckComposite(ctx context.Context, q CompositeQuestion) CompositeDecision {
	s := e.acquire()
	if s == nil {
		return CompositeDecision{Reason: closedDecision.Reason, Detail: closedDecision.Detail}
	}
	defer s.release()
	r := ask.CompositeRequest{
		Adapter: adapter, Composite: q.Composite, Scope: string(q.Scope), Object: q.Object, Connectors: q.Connectors, Facts: q.Facts,
	}
	if q.Subject != nil {
		subject, err := e.spelled(q.Subject)
		if err != nil {
			r.Unreadable = err.Error()
		}
		r.Subject = subject
	}
	var a ask.CompositeAnswer
	s.gate.CheckComposite(ctx, &r, &a)
	return CompositeDecision{Reason: a.Reason, Layers: a.Layers, Revision: a.Revision, ID: a.DecisionID.String(), Detail: a.Detail}
}
