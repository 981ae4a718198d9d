package rpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pathgrant/pathgrant/internal/admin"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// ListRoleAssignments implements RoleAssignmentService.
func (s *Administration) ListRoleAssignments(ctx context.Context, in *pathgrantv1.ListRoleAssignmentsRequest) (*pathgrantv1.ListRoleAssignmentsResponse, error) {
	q := admin.RoleAssignmentsRequest{
		Tenant: in.GetTenant(), Scope: in.GetScope(),
		IncludeParentScopes: in.GetIncludeParentScopes(), IncludeNestedScopes: in.GetIncludeNestedScopes(),
		ExpandGroups: in.GetExpandGroups(), Permission: in.GetPermission(), Page: page(in.GetPageSize(), in.GetPageToken()),
	}
	if in.GetPrincipal() != nil {
		var err error
		if q.Principal, err = givenPrincipal("principal", in.GetPrincipal()); err != nil {
			return nil, err
		}
	}
	found, err := s.o.Admin.RoleAssignments(ctx, caller(ctx), q)
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ListRoleAssignmentsResponse{
		RoleAssignments: each(found.Items, roleAssignment), NextPageToken: found.Next, Revision: revision(found.Revision),
	}, nil
}

// CreateRoleAssignment implements RoleAssignmentService.
func (s *Administration) CreateRoleAssignment(ctx context.Context, in *pathgrantv1.CreateRoleAssignmentRequest) (*pathgrantv1.CreateRoleAssignmentResponse, error) {
	who, err := givenPrincipal("principal", in.GetPrincipal())
	if err != nil {
		return nil, err
	}
	effect, err := givenEffect("effect", in.GetEffect())
	if err != nil {
		return nil, err
	}
	expires, err := givenTime("expires_time", in.GetExpiresTime())
	if err != nil {
		return nil, err
	}
	if in.GetScope() == "" {
		return nil, invalid("scope", "missing: want one such as /tenants/{tenant}/environments/{environment}")
	}
	made, err := s.o.Admin.CreateRoleAssignment(ctx, caller(ctx), admin.CreateRoleAssignmentRequest{
		Context: changeContext(in.GetContext()), Principal: who, Role: in.GetRole(), Scope: in.GetScope(), Effect: effect, Expires: expires,
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.CreateRoleAssignmentResponse{RoleAssignment: roleAssignment(made.RoleAssignment), Revision: revision(made.Revision)}, nil
}

// DeleteRoleAssignment implements RoleAssignmentService.
func (s *Administration) DeleteRoleAssignment(ctx context.Context, in *pathgrantv1.DeleteRoleAssignmentRequest) (*pathgrantv1.DeleteRoleAssignmentResponse, error) {
	made, err := s.o.Admin.DeleteRoleAssignment(ctx, caller(ctx), admin.DeleteRoleAssignmentRequest{
		Context: changeContext(in.GetContext()), ID: in.GetId(),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.DeleteRoleAssignmentResponse{RoleAssignment: roleAssignment(made.RoleAssignment), Revision: revision(made.Revision)}, nil
}

// ApplyAdminRole implements RoleAssignmentService.
func (s *Administration) ApplyAdminRole(ctx context.Context, in *pathgrantv1.ApplyAdminRoleRequest) (*pathgrantv1.ApplyAdminRoleResponse, error) {
	made, err := s.o.Admin.ApplyAdminRole(ctx, caller(ctx), admin.ApplyAdminRoleRequest{
		Context: changeContext(in.GetContext()), Environment: in.GetEnvironment(),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ApplyAdminRoleResponse{RoleAssignment: roleAssignment(made.RoleAssignment), Revision: revision(made.Revision)}, nil
}

func roleAssignment(a admin.RoleAssignment) *pathgrantv1.RoleAssignment {
	out := &pathgrantv1.RoleAssignment{
		Id: a.ID, Principal: shownPrincipal(a.Principal), RoleDefinitionId: a.RoleDefinitionID, RoleDefinitionName: a.RoleDefinitionName,
		Scope: string(a.Scope), Effect: assignmentEffects[a.Effect],
		ExpiresTime: seconds(a.Expires), CreateTime: seconds(a.CreatedOn),
	}
	if a.CreatedBy != (authz.Principal{}) {
		out.CreatedBy = shownPrincipal(a.CreatedBy)
	}
	return out
}

// seconds is a time in Unix seconds; 0 is none.
func seconds(at int64) *timestamppb.Timestamp {
	if at == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(at, 0))
}

func givenTime(field string, at *timestamppb.Timestamp) (time.Time, error) {
	if at == nil {
		return time.Time{}, nil
	}
	if err := at.CheckValid(); err != nil {
		return time.Time{}, invalid(field, "it is no time between the years 1 and 9999")
	}
	if at.AsTime().IsZero() {
		return time.Time{}, invalid(field, "it has passed")
	}
	return at.AsTime(), nil
}

// givenEffect reads an effect. ALLOW stands for one that is not set.
func givenEffect(field string, in pathgrantv1.AssignmentEffect) (authz.AssignmentEffect, error) {
	if in == pathgrantv1.AssignmentEffect_ASSIGNMENT_EFFECT_UNSPECIFIED {
		return authz.AssignAllow, nil
	}
	for ours, theirs := range assignmentEffects {
		if theirs == in {
			return ours, nil
		}
	}
	return 0, invalid(field, "the effect is not known: want ALLOW, DENY or FORBID")
}

// givenPrincipal reads a principal, which must be whole.
func givenPrincipal(field string, in *pathgrantv1.Principal) (authz.Principal, error) {
	if in == nil {
		return authz.Principal{}, invalid(field, "missing")
	}
	p := principal(in)
	if _, known := principalTypes[p.Type]; !known {
		return p, invalid(field+".type", "missing, or not known: want a user, a group, an application user, a directory role or a team")
	}
	if p.ID == "" {
		return p, invalid(field+".id", "missing")
	}
	return p, nil
}

func givenPrincipals(field string, in []*pathgrantv1.Principal) ([]authz.Principal, error) {
	var all []authz.Principal
	for i, one := range in {
		p, err := givenPrincipal(indexed(field, i), one)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func shownPrincipal(p authz.Principal) *pathgrantv1.Principal {
	return &pathgrantv1.Principal{Type: principalTypes[p.Type], Id: p.ID}
}

func revision(r authz.Revision) *pathgrantv1.Revision {
	return &pathgrantv1.Revision{Epoch: r.Epoch, Number: r.Number}
}

func each[T, U any](items []T, show func(T) U) []U {
	all := make([]U, 0, len(items))
	for _, item := range items {
		all = append(all, show(item))
	}
	return all
}
