package rpc

import (
	"context"
	"time"

	"github.com/pathgrant/pathgrant/internal/admin"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// Bootstrap implements OperatorService.
func (s *Administration) Bootstrap(ctx context.Context, in *pathgrantv1.BootstrapRequest) (*pathgrantv1.BootstrapResponse, error) {
	who, err := givenPrincipal("principal", in.GetPrincipal())
	if err != nil {
		return nil, err
	}
	made, err := s.o.Admin.Bootstrap(ctx, caller(ctx), admin.BootstrapRequest{
		Context: admin.Context{Tenant: in.GetTenant(), Justification: in.GetJustification()}, Principal: who,
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.BootstrapResponse{RoleAssignment: roleAssignment(made.RoleAssignment), Revision: revision(made.Revision)}, nil
}

// BreakGlass implements OperatorService.
func (s *Administration) BreakGlass(ctx context.Context, in *pathgrantv1.BreakGlassRequest) (*pathgrantv1.BreakGlassResponse, error) {
	who, err := givenPrincipal("principal", in.GetPrincipal())
	if err != nil {
		return nil, err
	}
	var duration time.Duration
	if in.GetDuration() != nil {
		// A duration of nothing is none, not the default one.
		if duration = in.GetDuration().AsDuration(); in.GetDuration().CheckValid() != nil || duration <= 0 {
			return nil, invalid("duration", "want a duration of a second to 8 hours")
		}
	}
	made, err := s.o.Admin.BreakGlass(ctx, caller(ctx), admin.BreakGlassRequest{
		Context: admin.Context{Tenant: in.GetTenant(), Justification: in.GetJustification()}, Principal: who, Duration: duration,
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.BreakGlassResponse{RoleAssignment: roleAssignment(made.RoleAssignment), Revision: revision(made.Revision)}, nil
}

// PutTenant implements OperatorService.
func (s *Administration) PutTenant(ctx context.Context, in *pathgrantv1.PutTenantRequest) (*pathgrantv1.PutTenantResponse, error) {
	made, err := s.o.Admin.SetTenant(ctx, caller(ctx), admin.SetTenantRequest{
		Context: changeContext(in.GetContext()), DirectoryComplete: in.GetDirectoryComplete(),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.PutTenantResponse{Revision: revision(made.Revision)}, nil
}
