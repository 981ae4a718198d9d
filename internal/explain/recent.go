package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// RecentDecisions remember decisions; [audit.Recent] is the one.
type RecentDecisions interface {
	Find(id string) (audit.Remembered, bool)
}

// ErrNotRemembered says that a decision is not, or no longer, remembered.
var ErrNotRemembered = errors.New("no such decision is remembered: it is older than those that are kept, of another process, or of a kind that the decision log does not keep")

// A NobodyError says that a decision is remembered and was about nobody: no caller was known,
// or none was asked for.
type NobodyError struct{ Reason authz.Reason }

// Error says so, and how it was decided.
func (e *NobodyError) Error() string {
	return fmt.Sprintf("the decision was about nobody who was known, and was %s: no role has to do with it", e.Reason)
}

// ExplainDecision says how a recent decision is decided now and why. What was not kept of it,
// the explanation says. The error is [ErrNotRemembered], a [NobodyError], or as of [Explainer.Explain].
func (x *Explainer) ExplainDecision(ctx context.Context, id string, atLeast authz.Revision, authorise Authorise) (*Explanation, error) {
	if x.Recent == nil {
		return nil, ErrNotRemembered
	}
	d, ok := x.Recent.Find(id)
	switch {
	case !ok:
		return nil, ErrNotRemembered
	case d.Tenant == "" || d.Principal.ID == "":
		return nil, &NobodyError{d.Reason}
	}
	subject, err := authz.NewSubject(authz.SubjectSpec{Tenant: d.Tenant, Principal: d.Principal, GroupsUnknown: d.Reason == authz.GroupsUnknown, FoldCase: x.Catalogues.FoldCase()})
	if err != nil {
		return nil, ErrNotRemembered // it was cut, or is of no caller
	}
	recent := &Recent{
		ID: id, Time: d.Time, Reason: d.Reason, Revision: d.Revision, Adapter: d.Adapter,
		NotKept: []string{
			"the groups and directory roles that the token named: only those that the directory lists here are known",
		},
	}
	if d.Reason == authz.DelegatedScopeMissing {
		recent.NotKept = append(recent.NotKept, "what the token's application was delegated, which was not enough: consent to it, no role helps")
	}
	r, err := x.again(ctx, &d, subject, recent)
	if err != nil {
		return nil, err
	}
	r.AtLeast = atLeast
	e, err := x.explain(ctx, r, recent, authorise)
	if err == nil && e.Answer.Reason != recent.Reason {
		e.Notes = append(e.Notes, fmt.Sprintf("it was %s then and would be %s now: the data or the time changed, or what was not kept made the difference", recent.Reason, e.Answer.Reason))
	}
	return e, err
}

// again is the question of a decision, as far as it was kept.
func (x *Explainer) again(ctx context.Context, d *audit.Remembered, subject *authz.Subject, recent *Recent) (*ask.Request, error) {
	r := &ask.Request{Adapter: d.Adapter, Subject: subject}
	if d.Method != "" && !d.Truncated {
		r.HTTP, r.Method, r.Path = true, d.Method, d.Path
		same, err := x.mapsTo(ctx, r, d)
		if err != nil {
			return nil, err
		}
		if same {
			return r, nil
		}
		recent.NotKept = append(recent.NotKept, "the host and the headers of the request, without which it maps to something else: what it needed is asked for directly")
	}
	if len(d.Permissions) == 0 || len(d.Scopes) == 0 {
		recent.NotKept = append(recent.NotKept, "the request's body and headers")
		return r, nil // it never came to permissions
	}
	if len(d.Permissions) > 1 || len(d.Scopes) > 1 {
		recent.NotKept = append(recent.NotKept, "which of several permissions and scopes was refused: the first of them is explained")
	}
	*r = ask.Request{Adapter: d.Adapter, Subject: subject, Permission: string(d.Permissions[0]), Scope: string(d.Scopes[0])}
	if namespace := r.Permission; len(namespace) > len("Dataverse.") && namespace[:len("Dataverse.")] == "Dataverse." {
		recent.NotKept = append(recent.NotKept, "the record, its owner and its business unit: the whole table is asked for")
	}
	return r, nil
}

// mapsTo tells whether the request names the permissions and scopes that were decided on.
func (x *Explainer) mapsTo(ctx context.Context, r *ask.Request, d *audit.Remembered) (same bool, err error) {
	err = x.Store.Read(ctx, func(held *snapshot.Reader) error {
		var a ask.Answer
		var t ask.Trace
		x.Decider.Trace(ctx, held, r, &a, &t)
		same = slices.Equal(a.Permissions, d.Permissions) && slices.Equal(a.Scopes, d.Scopes)
		return nil
	})
	return same, err
}
