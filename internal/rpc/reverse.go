package rpc

import (
	"context"
	"errors"

	"google.golang.org/grpc/status"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/reverse"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// maxReverseToken is more than the longest token of a page.
const maxReverseToken = 16 << 10

// reverseLimits are those of the reverse questions; ok is false for other requests.
func reverseLimits(in any) (ok bool, err error) {
	var l limits
	switch in := in.(type) {
	case *pathgrantv1.WhoCanRequest:
		l.text("tenant", in.GetTenant(), maxID)
		l.reverse(in.GetPermission(), in.GetScope(), in)
	case *pathgrantv1.WhatCanRequest:
		l.subject("subject", in.GetSubject())
		l.reverse("", in.GetScope(), in)
	case *pathgrantv1.WhereCanRequest:
		l.subject("subject", in.GetSubject())
		l.reverse(in.GetPermission(), "", in)
	default:
		return false, nil
	}
	return true, l.err
}

// A paged request asks for one page of an answer.
type paged interface {
	GetPageSize() int32
	GetPageToken() string
}

func (l *limits) reverse(permission, scope string, p paged) {
	l.text("permission", permission, maxPermission)
	l.text("scope", scope, maxScope)
	l.text("page_token", p.GetPageToken(), maxReverseToken)
	if l.err == nil {
		l.err = pageSize("page_size", p.GetPageSize())
	}
}

// CallHere makes a call of a service that runs in this process, as an operator does: what the
// interceptors do of it, but finding out who calls. Whoever can open the data can read it.
func CallHere[Q, R any](ctx context.Context, call func(context.Context, Q) (R, error), in Q) (R, error) {
	var none R
	if err := adminLimits(in); err != nil {
		return none, err
	}
	here := &entrance{caller: admin.Caller{Kind: admin.Operator, From: "local"}}
	out, err := call(context.WithValue(ctx, entranceKey{}, here), in)
	if err != nil {
		return none, adminError(in, err)
	}
	return out, nil
}

func reversePage(p paged) reverse.Page {
	return reverse.Page{Size: int(p.GetPageSize()), Token: p.GetPageToken()}
}

// reading asks at one revision, after it was found out what the caller may read of a tenant.
func (s *Explain) reading(ctx context.Context, action, tenant string, ask func(r *snapshot.Reader, may *admin.Reading) error) error {
	err := s.o.Read(ctx, func(r *snapshot.Reader) error {
		may, err := s.o.Admin.Reading(admin.ReaderOf(r), caller(ctx), tenant)
		if err != nil {
			return err
		}
		if may.Tenant() == "" {
			return &reverse.Error{Field: "Tenant", Message: "an operator must name the tenant"}
		}
		return ask(r, may)
	})
	var wrong *reverse.Error
	switch _, isStatus := status.FromError(err); { // which no error is, too
	case isStatus:
		return err
	case errors.As(err, &wrong):
		kind := admin.Invalid
		if wrong.Unlisted {
			kind = admin.ScopeUnknown
		}
		err = &admin.Error{Kind: kind, Field: wrong.Field, Message: wrong.Message}
	}
	return s.o.Admin.Refused(ctx, caller(ctx), action, err)
}

// WhoCan implements ExplainService.
func (s *Explain) WhoCan(ctx context.Context, in *pathgrantv1.WhoCanRequest) (out *pathgrantv1.WhoCanResponse, err error) {
	err = s.reading(ctx, "WhoCan", in.GetTenant(), func(r *snapshot.Reader, may *admin.Reading) error {
		scope, err := may.Scope("Scope", in.GetScope())
		if err != nil {
			return err
		}
		if err := may.NeedRoleAssignments(scope); err != nil {
			return err
		}
		found, err := s.o.Reverse.WhoCan(r, reverse.WhoCan{
			Tenant: may.Tenant(), Permission: in.GetPermission(), Scope: string(scope), May: may.May, Page: reversePage(in),
		})
		if err != nil {
			return err
		}
		out = &pathgrantv1.WhoCanResponse{NextPageToken: found.Next, Revision: revision(found.Revision), Changed: found.Changed}
		for i := range found.Items {
			h := &found.Items[i]
			out.Principals = append(out.Principals, &pathgrantv1.AllowedPrincipal{
				Principal: shownPrincipal(h.Principal), Assignment: reverseAssignment(h.Assignment), Members: knowledge(h.Membership),
				Reach: h.Reach.String(), Via: each(h.Via, shownPrincipal),
			})
		}
		return nil
	})
	return out, err
}

// WhatCan implements ExplainService.
func (s *Explain) WhatCan(ctx context.Context, in *pathgrantv1.WhatCanRequest) (out *pathgrantv1.WhatCanResponse, err error) {
	err = s.reading(ctx, "WhatCan", in.GetSubject().GetTenant(), func(r *snapshot.Reader, may *admin.Reading) error {
		scope, err := may.Scope("Scope", in.GetScope())
		if err != nil {
			return err
		}
		about, shows, err := s.about(ctx, in.GetSubject(), may, func() error { return may.NeedRoleAssignments(scope) })
		if err != nil {
			return err
		}
		found, err := s.o.Reverse.WhatCan(r, reverse.WhatCan{
			Tenant: may.Tenant(), Subject: about, Scope: string(scope), May: shows, Page: reversePage(in),
		})
		if err != nil {
			return err
		}
		out = &pathgrantv1.WhatCanResponse{NextPageToken: found.Next, Revision: revision(found.Revision), Changed: found.Changed}
		for i := range found.Items {
			h := &found.Items[i]
			out.Permissions = append(out.Permissions, &pathgrantv1.AllowedPermission{
				Permission: string(h.Permission), Assignment: reverseAssignment(h.Assignment), Reach: h.Reach.String(),
			})
		}
		return nil
	})
	return out, err
}

// WhereCan implements ExplainService.
func (s *Explain) WhereCan(ctx context.Context, in *pathgrantv1.WhereCanRequest) (out *pathgrantv1.WhereCanResponse, err error) {
	err = s.reading(ctx, "WhereCan", in.GetSubject().GetTenant(), func(r *snapshot.Reader, may *admin.Reading) error {
		about, shows, err := s.about(ctx, in.GetSubject(), may, may.NeedEverywhere) // for any scope may be in the answer
		if err != nil {
			return err
		}
		found, err := s.o.Reverse.WhereCan(r, reverse.WhereCan{
			Tenant: may.Tenant(), Subject: about, Permission: in.GetPermission(), May: shows, Page: reversePage(in),
		})
		if err != nil {
			return err
		}
		out = &pathgrantv1.WhereCanResponse{NextPageToken: found.Next, Revision: revision(found.Revision), Changed: found.Changed}
		for i := range found.Items {
			p := &found.Items[i]
			out.Scopes = append(out.Scopes, &pathgrantv1.AllowedScope{
				Scope: string(p.Scope), Assignment: reverseAssignment(p.Assignment), Reach: p.Reach.String(),
			})
		}
		return nil
	})
	return out, err
}

// about returns who is asked about, and which assignments may be shown. Everybody may ask
// about themselves, and is shown what gives it to them; about others, whoever may read role
// assignments where need says.
func (s *Explain) about(ctx context.Context, in *pathgrantv1.Subject, may *admin.Reading, need func() error) (*authz.Subject, func(authz.Scope) bool, error) {
	who := caller(ctx)
	if in.GetPrincipal() == nil {
		if who.Subject == nil {
			return nil, nil, invalid("subject", "whom is it about? An operator must say so")
		}
		return who.Subject, nil, nil
	}
	subject, err := s.subjectOf(may.Tenant(), in)
	if err != nil {
		return nil, nil, err
	}
	if who.IsSelf(subject) {
		return subject, nil, nil
	}
	return subject, may.May, need()
}

// subjectOf reads whom a question is about.
func (s *Explain) subjectOf(tenant string, in *pathgrantv1.Subject) (*authz.Subject, error) {
	p, err := givenPrincipal("subject.principal", in.GetPrincipal())
	if err != nil {
		return nil, err
	}
	whole := &pathgrantv1.Subject{
		Tenant: tenant, Principal: in.GetPrincipal(), Groups: in.GetGroups(), DirectoryRoles: in.GetDirectoryRoles(), GroupsUnknown: in.GetGroupsUnknown(),
	}
	if p.Key().Type == authz.User {
		subject, err := s.questions.subject("subject", whole)
		if err != nil {
			return nil, invalid("subject", err.Error())
		}
		return subject, nil
	}
	if len(in.GetGroups())+len(in.GetDirectoryRoles()) > 0 || in.GetGroupsUnknown() {
		return nil, invalid("subject.groups", "groups and directory roles go with a user or an application user")
	}
	subject, err := s.o.Reverse.SubjectOf(tenant, p)
	if err != nil {
		return nil, invalid("subject.principal", err.Error())
	}
	return subject, nil
}

func reverseAssignment(a *reverse.Assignment) *pathgrantv1.DecidingAssignment {
	if a == nil {
		return nil
	}
	return &pathgrantv1.DecidingAssignment{
		Id: a.ID, Principal: shownPrincipal(a.Principal), RoleDefinitionId: a.RoleID, RoleDefinitionName: a.RoleName,
		Scope: string(a.Scope), Effect: pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_ALLOW, ExpiresTime: seconds(a.Expires),
	}
}

func knowledge(m reverse.Membership) pathgrantv1.Knowledge {
	switch m {
	case reverse.Known:
		return pathgrantv1.Knowledge_KNOWLEDGE_KNOWN
	case reverse.Partial:
		return pathgrantv1.Knowledge_KNOWLEDGE_PARTIAL
	default:
		return pathgrantv1.Knowledge_KNOWLEDGE_UNKNOWN
	}
}
