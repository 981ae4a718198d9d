package rpc

import (
	"context"
	"fmt"

	"github.com/pathgrant/pathgrant/internal/admin"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// ListGroups implements DirectoryService.
func (s *Administration) ListGroups(ctx context.Context, in *pathgrantv1.ListGroupsRequest) (*pathgrantv1.ListGroupsResponse, error) {
	found, err := s.o.Admin.Groups(ctx, caller(ctx), in.GetTenant(), page(in.GetPageSize(), in.GetPageToken()))
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ListGroupsResponse{Groups: each(found.Items, group), NextPageToken: found.Next, Revision: revision(found.Revision)}, nil
}

// ListGroupMembers implements DirectoryService.
func (s *Administration) ListGroupMembers(ctx context.Context, in *pathgrantv1.ListGroupMembersRequest) (*pathgrantv1.ListGroupMembersResponse, error) {
	found, err := s.o.Admin.Members(ctx, caller(ctx), in.GetTenant(), in.GetGroup(), page(in.GetPageSize(), in.GetPageToken()))
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ListGroupMembersResponse{
		Members: each(found.Items, shownPrincipal), NextPageToken: found.Next, Revision: revision(found.Revision),
	}, nil
}

// PutGroup implements DirectoryService.
func (s *Administration) PutGroup(ctx context.Context, in *pathgrantv1.PutGroupRequest) (*pathgrantv1.PutGroupResponse, error) {
	owners, err := givenPrincipals("group.owners", in.GetGroup().GetOwners())
	if err != nil {
		return nil, err
	}
	made, err := s.o.Admin.PutGroup(ctx, caller(ctx), admin.PutGroupRequest{
		Context: changeContext(in.GetContext()), Etag: in.GetIfMatch(),
		Group: admin.Group{ID: in.GetGroup().GetId(), DisplayName: in.GetGroup().GetDisplayName(), Owners: owners},
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.PutGroupResponse{Group: group(made.Group), Revision: revision(made.Revision)}, nil
}

// DeleteGroup implements DirectoryService.
func (s *Administration) DeleteGroup(ctx context.Context, in *pathgrantv1.DeleteGroupRequest) (*pathgrantv1.DeleteGroupResponse, error) {
	made, err := s.o.Admin.DeleteGroup(ctx, caller(ctx), admin.DeleteGroupRequest{
		Context: changeContext(in.GetContext()), ID: in.GetId(), Etag: in.GetIfMatch(),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.DeleteGroupResponse{Revision: revision(made.Revision)}, nil
}

// AddGroupMembers implements DirectoryService.
func (s *Administration) AddGroupMembers(ctx context.Context, in *pathgrantv1.AddGroupMembersRequest) (*pathgrantv1.AddGroupMembersResponse, error) {
	q, err := membersRequest(in.GetContext(), in.GetGroup(), in.GetMembers())
	if err != nil {
		return nil, err
	}
	made, err := s.o.Admin.AddMembers(ctx, caller(ctx), q)
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.AddGroupMembersResponse{Added: int32(made.Count), Revision: revision(made.Revision)}, nil
}

// RemoveGroupMembers implements DirectoryService.
func (s *Administration) RemoveGroupMembers(ctx context.Context, in *pathgrantv1.RemoveGroupMembersRequest) (*pathgrantv1.RemoveGroupMembersResponse, error) {
	q, err := membersRequest(in.GetContext(), in.GetGroup(), in.GetMembers())
	if err != nil {
		return nil, err
	}
	made, err := s.o.Admin.RemoveMembers(ctx, caller(ctx), q)
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.RemoveGroupMembersResponse{Removed: int32(made.Count), Revision: revision(made.Revision)}, nil
}

func membersRequest(change *pathgrantv1.ChangeContext, group string, members []*pathgrantv1.Principal) (admin.MembersRequest, error) {
	q := admin.MembersRequest{Context: changeContext(change), Group: group}
	if len(members) == 0 {
		return q, invalid("members", fmt.Sprintf("missing: want 1 to %d", maxMembers))
	}
	var err error
	q.Members, err = givenPrincipals("members", members)
	return q, err
}

func group(g admin.Group) *pathgrantv1.Group {
	return &pathgrantv1.Group{Id: g.ID, DisplayName: g.DisplayName, Owners: each(g.Owners, shownPrincipal), Etag: g.Etag}
}

// ListPrincipals implements DirectoryService.
func (s *Administration) ListPrincipals(ctx context.Context, in *pathgrantv1.ListPrincipalsRequest) (*pathgrantv1.ListPrincipalsResponse, error) {
	found, err := s.o.Admin.Principals(ctx, caller(ctx), in.GetTenant(), page(in.GetPageSize(), in.GetPageToken()))
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ListPrincipalsResponse{
		Principals: each(found.Items, principalRecord), NextPageToken: found.Next, Revision: revision(found.Revision),
	}, nil
}

// PutPrincipal implements DirectoryService.
func (s *Administration) PutPrincipal(ctx context.Context, in *pathgrantv1.PutPrincipalRequest) (*pathgrantv1.PutPrincipalResponse, error) {
	given := in.GetPrincipal()
	who, err := givenPrincipal("principal.principal", given.GetPrincipal())
	if err != nil {
		return nil, err
	}
	owners, err := givenPrincipals("principal.owners", given.GetOwners())
	if err != nil {
		return nil, err
	}
	made, err := s.o.Admin.PutPrincipal(ctx, caller(ctx), admin.PutPrincipalRequest{
		Context: changeContext(in.GetContext()), Etag: in.GetIfMatch(),
		Principal: admin.Principal{
			Principal: who, Disabled: given.GetDisabled(), DisplayName: given.GetDisplayName(), Mail: given.GetMail(), Owners: owners,
		},
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.PutPrincipalResponse{Principal: principalRecord(made.Principal), Revision: revision(made.Revision)}, nil
}

// DeletePrincipal implements DirectoryService.
func (s *Administration) DeletePrincipal(ctx context.Context, in *pathgrantv1.DeletePrincipalRequest) (*pathgrantv1.DeletePrincipalResponse, error) {
	who, err := givenPrincipal("principal", in.GetPrincipal())
	if err != nil {
		return nil, err
	}
	made, err := s.o.Admin.DeletePrincipal(ctx, caller(ctx), admin.DeletePrincipalRequest{
		Context: changeContext(in.GetContext()), Principal: who, Etag: in.GetIfMatch(),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.DeletePrincipalResponse{Revision: revision(made.Revision)}, nil
}

func principalRecord(p admin.Principal) *pathgrantv1.PrincipalRecord {
	return &pathgrantv1.PrincipalRecord{
		Principal: shownPrincipal(p.Principal), Disabled: p.Disabled, DisplayName: p.DisplayName, Mail: p.Mail,
		Owners: each(p.Owners, shownPrincipal), Etag: p.Etag,
	}
}

// ListEnvironments implements DirectoryService.
func (s *Administration) ListEnvironments(ctx context.Context, in *pathgrantv1.ListEnvironmentsRequest) (*pathgrantv1.ListEnvironmentsResponse, error) {
	found, err := s.o.Admin.Environments(ctx, caller(ctx), in.GetTenant(), in.GetEnvironmentGroup(), page(in.GetPageSize(), in.GetPageToken()))
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ListEnvironmentsResponse{
		Environments: each(found.Items, environment), NextPageToken: found.Next, Revision: revision(found.Revision),
	}, nil
}

// PutEnvironment implements DirectoryService.
func (s *Administration) PutEnvironment(ctx context.Context, in *pathgrantv1.PutEnvironmentRequest) (*pathgrantv1.PutEnvironmentResponse, error) {
	given := in.GetEnvironment()
	made, err := s.o.Admin.PutEnvironment(ctx, caller(ctx), admin.PutEnvironmentRequest{
		Context: changeContext(in.GetContext()), Etag: in.GetIfMatch(),
		Environment: admin.Environment{ID: given.GetId(), Dataverse: given.GetDataverse(), Group: given.GetEnvironmentGroup()},
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.PutEnvironmentResponse{Environment: environment(made.Environment), Revision: revision(made.Revision)}, nil
}

// DeleteEnvironment implements DirectoryService.
func (s *Administration) DeleteEnvironment(ctx context.Context, in *pathgrantv1.DeleteEnvironmentRequest) (*pathgrantv1.DeleteEnvironmentResponse, error) {
	made, err := s.o.Admin.DeleteEnvironment(ctx, caller(ctx), admin.DeleteEnvironmentRequest{
		Context: changeContext(in.GetContext()), ID: in.GetId(), Etag: in.GetIfMatch(),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.DeleteEnvironmentResponse{Revision: revision(made.Revision)}, nil
}

func environment(e admin.Environment) *pathgrantv1.Environment {
	return &pathgrantv1.Environment{Id: e.ID, Dataverse: e.Dataverse, EnvironmentGroup: e.Group, Etag: e.Etag}
}

// ListEnvironmentGroups implements DirectoryService.
func (s *Administration) ListEnvironmentGroups(ctx context.Context, in *pathgrantv1.ListEnvironmentGroupsRequest) (*pathgrantv1.ListEnvironmentGroupsResponse, error) {
	found, err := s.o.Admin.EnvironmentGroups(ctx, caller(ctx), in.GetTenant(), page(in.GetPageSize(), in.GetPageToken()))
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ListEnvironmentGroupsResponse{EnvironmentGroups: found.Items, NextPageToken: found.Next, Revision: revision(found.Revision)}, nil
}

// CreateEnvironmentGroup implements DirectoryService.
func (s *Administration) CreateEnvironmentGroup(ctx context.Context, in *pathgrantv1.CreateEnvironmentGroupRequest) (*pathgrantv1.CreateEnvironmentGroupResponse, error) {
	made, err := s.o.Admin.CreateEnvironmentGroup(ctx, caller(ctx), admin.EnvironmentGroupRequest{Context: changeContext(in.GetContext()), ID: in.GetId()})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.CreateEnvironmentGroupResponse{Id: made.ID, Revision: revision(made.Revision)}, nil
}

// DeleteEnvironmentGroup implements DirectoryService.
func (s *Administration) DeleteEnvironmentGroup(ctx context.Context, in *pathgrantv1.DeleteEnvironmentGroupRequest) (*pathgrantv1.DeleteEnvironmentGroupResponse, error) {
	made, err := s.o.Admin.DeleteEnvironmentGroup(ctx, caller(ctx), admin.EnvironmentGroupRequest{Context: changeContext(in.GetContext()), ID: in.GetId()})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.DeleteEnvironmentGroupResponse{Revision: revision(made.Revision)}, nil
}

// ListBusinessUnits implements DirectoryService.
func (s *Administration) ListBusinessUnits(ctx context.Context, in *pathgrantv1.ListBusinessUnitsRequest) (*pathgrantv1.ListBusinessUnitsResponse, error) {
	found, err := s.o.Admin.BusinessUnits(ctx, caller(ctx), in.GetTenant(), in.GetEnvironment(), page(in.GetPageSize(), in.GetPageToken()))
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ListBusinessUnitsResponse{
		BusinessUnits: each(found.Items, businessUnit), NextPageToken: found.Next, Revision: revision(found.Revision),
	}, nil
}

// PutBusinessUnit implements DirectoryService.
func (s *Administration) PutBusinessUnit(ctx context.Context, in *pathgrantv1.PutBusinessUnitRequest) (*pathgrantv1.PutBusinessUnitResponse, error) {
	given := in.GetBusinessUnit()
	made, err := s.o.Admin.PutBusinessUnit(ctx, caller(ctx), admin.PutBusinessUnitRequest{
		Context: changeContext(in.GetContext()), Etag: in.GetIfMatch(),
		BusinessUnit: authz.BusinessUnit{ID: given.GetId(), Environment: given.GetEnvironment(), Parent: given.GetParent()},
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.PutBusinessUnitResponse{BusinessUnit: businessUnit(made.BusinessUnit), Revision: revision(made.Revision)}, nil
}

// DeleteBusinessUnit implements DirectoryService.
func (s *Administration) DeleteBusinessUnit(ctx context.Context, in *pathgrantv1.DeleteBusinessUnitRequest) (*pathgrantv1.DeleteBusinessUnitResponse, error) {
	made, err := s.o.Admin.DeleteBusinessUnit(ctx, caller(ctx), admin.DeleteBusinessUnitRequest{
		Context: changeContext(in.GetContext()), Environment: in.GetEnvironment(), ID: in.GetId(), Etag: in.GetIfMatch(),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.DeleteBusinessUnitResponse{Revision: revision(made.Revision)}, nil
}

func businessUnit(u admin.BusinessUnit) *pathgrantv1.BusinessUnit {
	return &pathgrantv1.BusinessUnit{Id: u.ID, Environment: u.Environment, Parent: u.Parent, Etag: u.Etag}
}
