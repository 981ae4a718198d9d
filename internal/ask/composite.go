package ask

import (
	"context"
	"fmt"
	"time"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A CompositeDecider answers composite questions. It never fails, as a [Decider].
type CompositeDecider interface {
	CheckComposite(ctx context.Context, r *CompositeRequest, a *CompositeAnswer)
}

// A CompositeRequest asks whether somebody may do what takes several things at once, such
// as running a flow that was shared with them.
type CompositeRequest struct {
	// Adapter, Unreadable and AtLeast are as in a [Request].
	Adapter    string
	Unreadable string
	AtLeast    authz.Revision
	// Composite is its name in the catalogue, such as run-only-flow.
	Composite string
	// Scope is the environment.
	Scope string
	// Object is the identifier of the flow or the app.
	Object string
	// Subject is who would do it.
	Subject *authz.Subject
	// Connectors are facts that only the asker knows: of a connector that is not Dataverse,
	// whether those who provide its connections have access to what it leads to. What is not
	// stated is unknown, and never passes.
	Connectors map[string]bool
	// Facts say the same of what the composite's layers name, such as a licence.
	Facts map[string]bool
}

// A LayerState is what became of a layer of a composite, or of one of its requirements. The
// zero LayerState is not known, which is not enough.
type LayerState uint8

// The states.
const (
	// LayerUnknown: it depends on a fact that nobody stated, or on groups that could not be
	// learnt.
	LayerUnknown LayerState = iota
	LayerFailed
	LayerPassed
)

var layerStateNames = [...]string{"UNKNOWN", "FAILED", "PASSED"}

// String returns UNKNOWN, FAILED or PASSED.
func (s LayerState) String() string {
	if int(s) < len(layerStateNames) {
		return layerStateNames[s]
	}
	return fmt.Sprintf("LayerState(%d)", uint8(s))
}

// A Party is whom a requirement is about. The zero Party is nobody: then no person's access
// is in question, but how the object is set up.
type Party uint8

// The parties.
const (
	NoParty Party = iota
	// CallerParty is who asks: the run-only user of a flow, the player of an app.
	CallerParty
	// MakerParty is who made the flow, whose access counts where the maker provides a
	// connection.
	MakerParty
)

var partyNames = [...]string{"", "caller", "maker"}

// String returns caller or maker.
func (p Party) String() string {
	if int(p) < len(partyNames) {
		return partyNames[p]
	}
	return fmt.Sprintf("Party(%d)", uint8(p))
}

// A CompositeAnswer says what became of every layer. The zero CompositeAnswer denies.
type CompositeAnswer struct {
	// Reason is GRANTED where every layer passed, and else that of the first that did not. An
	// answer that came before any layer was looked at has no Layers.
	Reason authz.Reason
	// Detail says in a sentence what was wrong.
	Detail string
	// Composite and Object are what was asked about, Scope is where.
	Composite, Object string
	Scope             authz.Scope
	Layers            []Layer
	Subject           *authz.Subject
	Revision          authz.Revision
	DecisionID        DecisionID
	Time              time.Time
}

// Allowed tells whether every layer passed.
func (a *CompositeAnswer) Allowed() bool { return a.Reason.Effect() == authz.Allow }

// A Layer is one of the things that a composite takes.
type Layer struct {
	// Name is the layer's name in the catalogue, such as data.
	Name  string
	State LayerState
	// Reason is GRANTED where it passed, and else that of the first requirement that did not.
	Reason authz.Reason
	// Mend says in a sentence what would mend the layer; empty where it passed.
	Mend         string
	Requirements []Requirement
}

// Asked returns the questions of the layer that were refused, for whoever looks for the
// assignments that would mend it.
func (l *Layer) Asked() []Request {
	var all []Request
	for i := range l.Requirements {
		if q := &l.Requirements[i]; q.Asked != nil && q.State != LayerPassed {
			all = append(all, *q.Asked)
		}
	}
	return all
}

// A Requirement is one thing that a layer takes.
type Requirement struct {
	State  LayerState
	Reason authz.Reason
	// Text says what is required, such as: the flow is shared with the caller to be run.
	Text string
	// Of says whose access it is about, and Principal who that is.
	Of        Party
	Principal authz.Principal
	// Permission and Scope are what was asked for; empty where it is no permission.
	Permission authz.Permission
	Scope      authz.Scope
	// Detail says what was in the way.
	Detail string
	// Mend says what would mend it; empty where it passed.
	Mend string
	// Asked is the question behind it; nil where there is none.
	Asked *Request
}
