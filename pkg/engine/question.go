package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// adapter is who asks, for the gate.
const adapter = "engine"

// A Question asks whether a subject may do something: a permission at a scope, or a
// request, and never both.
type Question struct {
	// Subject is who asks (see [Engine.Subject]); nil: nobody, who may use what is public.
	Subject *authz.Subject
	// Permission at Scope, for a caller who knows which one is needed.
	Permission authz.Permission
	Scope      authz.Scope
	// Dataverse goes with a permission of a Dataverse table at an environment, and with no
	// other; nil: all of the table.
	Dataverse *DataverseQuestion
	// Request is mapped to permissions and scopes; nil: none. Its path is the one that was
	// received, escapes and all.
	Request *naming.Request
	// Catalogue maps the request; empty: the first one.
	Catalogue string
}

// Subject returns a subject whose identifiers are spelled as the catalogues want them, or an
// error. Whoever fills in the specification vouches for it: take it from a verified token,
// never from a request. Making a subject costs more than asking about it: keep it as long as
// the token is good.
func (e *Engine) Subject(spec authz.SubjectSpec) (*authz.Subject, error) {
	var errs []error
	for _, list := range []struct {
		field string
		ids   []string
	}{{"groups", spec.Groups}, {"directory roles", spec.DirectoryRoles}} {
		if i := slices.Index(list.ids, ""); i >= 0 { // it got lost on the way here, and may be that of a DENY
			errs = append(errs, fmt.Errorf("%s[%d] is empty", list.field, i))
		}
	}
	spec.FoldCase = spec.FoldCase || e.options.Catalogues.FoldCase()
	subject, err := authz.NewSubject(spec)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	return subject, nil
}

// spelled returns the subject as the catalogues spell identifiers: one that was made
// elsewhere, in another case, must not slip past its own DENY.
func (e *Engine) spelled(s *authz.Subject) (*authz.Subject, error) {
	if !e.options.Catalogues.FoldCase() || folded(s.Tenant()) && folded(s.Principal().ID) &&
		allFolded(s.Groups()) && allFolded(s.DirectoryRoles()) {
		return s, nil
	}
	return authz.NewSubject(authz.SubjectSpec{
		Tenant: s.Tenant(), Principal: s.Principal(), Groups: s.Groups(), DirectoryRoles: s.DirectoryRoles(),
		GroupsUnknown: s.GroupsUnknown(), FoldCase: true,
	})
}

func folded(id string) bool { return authz.CanonicalID(id, true) == id }

func allFolded(ids []string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return !folded(id) })
}

// request turns a question into the gate's. What can't be asked becomes BAD_REQUEST.
func (e *Engine) request(q Question) ask.Request {
	r := ask.Request{Adapter: adapter, Catalogue: q.Catalogue}
	direct := q.Permission != "" || q.Scope != ""
	switch {
	case direct && q.Request != nil:
		r.Unreadable = "the question names a permission and a request: want one or the other"
		return r
	case direct:
		r.Permission, r.Scope = string(q.Permission), string(q.Scope)
		if err := e.fill(&r, q.Dataverse); err != nil {
			r.Unreadable = err.Error()
			return r
		}
	case q.Request != nil && q.Dataverse != nil:
		r.Unreadable = "what goes with a permission of a Dataverse table does not go with a request"
		return r
	case q.Request != nil:
		setRequest(&r, *q.Request)
	default:
		r.Unreadable = "the question names neither a permission nor a request"
		return r
	}
	if q.Subject == nil {
		return r
	}
	subject, err := e.spelled(q.Subject)
	if err != nil {
		r.Unreadable = err.Error()
		return r
	}
	r.Subject = subject
	return r
}

func setRequest(r *ask.Request, in naming.Request) {
	r.HTTP, r.Method, r.Host, r.Path, r.GRPC = true, in.Method, in.Host, in.Path, in.GRPC
	r.Header, r.ContextExtension, r.PermissionOverride = in.Header, in.ContextExtension, in.Override
}
