package rpc

import (
	"context"

	"github.com/pathgrant/pathgrant/internal/admin"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// ListRoleDefinitions implements RoleDefinitionService.
func (s *Administration) ListRoleDefinitions(ctx context.Context, in *pathgrantv1.ListRoleDefinitionsRequest) (*pathgrantv1.ListRoleDefinitionsResponse, error) {
	found, err := s.o.Admin.RoleDefinitions(ctx, caller(ctx), in.GetTenant())
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ListRoleDefinitionsResponse{RoleDefinitions: each(found.Items, roleDefinition), Revision: revision(found.Revision)}, nil
}

// GetRoleDefinition implements RoleDefinitionService.
func (s *Administration) GetRoleDefinition(ctx context.Context, in *pathgrantv1.GetRoleDefinitionRequest) (*pathgrantv1.GetRoleDefinitionResponse, error) {
	found, at, err := s.o.Admin.RoleDefinition(ctx, caller(ctx), in.GetTenant(), in.GetIdOrName())
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.GetRoleDefinitionResponse{RoleDefinition: roleDefinition(found), Revision: revision(at)}, nil
}

// CreateRoleDefinition implements RoleDefinitionService.
func (s *Administration) CreateRoleDefinition(ctx context.Context, in *pathgrantv1.CreateRoleDefinitionRequest) (*pathgrantv1.CreateRoleDefinitionResponse, error) {
	made, err := s.o.Admin.CreateRoleDefinition(ctx, caller(ctx), admin.CreateRoleDefinitionRequest{
		Context: changeContext(in.GetContext()), RoleDefinition: givenRoleDefinition(in.GetRoleDefinition()), CopyOf: in.GetCopyOf(),
		Empty: in.GetEmpty(),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.CreateRoleDefinitionResponse{RoleDefinition: roleDefinition(made.RoleDefinition), Revision: revision(made.Revision)}, nil
}

// UpdateRoleDefinition implements RoleDefinitionService.
func (s *Administration) UpdateRoleDefinition(ctx context.Context, in *pathgrantv1.UpdateRoleDefinitionRequest) (*pathgrantv1.UpdateRoleDefinitionResponse, error) {
	made, err := s.o.Admin.UpdateRoleDefinition(ctx, caller(ctx), admin.UpdateRoleDefinitionRequest{
		Context: changeContext(in.GetContext()), RoleDefinition: givenRoleDefinition(in.GetRoleDefinition()), Etag: in.GetIfMatch(),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.UpdateRoleDefinitionResponse{RoleDefinition: roleDefinition(made.RoleDefinition), Revision: revision(made.Revision)}, nil
}

// DeleteRoleDefinition implements RoleDefinitionService.
func (s *Administration) DeleteRoleDefinition(ctx context.Context, in *pathgrantv1.DeleteRoleDefinitionRequest) (*pathgrantv1.DeleteRoleDefinitionResponse, error) {
	made, err := s.o.Admin.DeleteRoleDefinition(ctx, caller(ctx), admin.DeleteRoleDefinitionRequest{
		Context: changeContext(in.GetContext()), ID: in.GetId(), Etag: in.GetIfMatch(),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.DeleteRoleDefinitionResponse{Revision: revision(made.Revision)}, nil
}

func roleDefinition(def admin.RoleDefinition) *pathgrantv1.RoleDefinition {
	out := &pathgrantv1.RoleDefinition{
		Id: def.ID, Name: def.Name, Description: def.Description,
		Permissions: def.Permissions, PermissionsExceptions: def.PermissionsExceptions,
		AssignableScopes: def.AssignableScopes, RestrictedScopes: def.RestrictedScopes,
		BuiltIn: def.BuiltIn, Etag: def.Etag,
		Category: def.Category, Pack: def.Pack, Aliases: def.Aliases, Privileges: def.Privileges, TeamOnly: def.TeamOnly,
		Environment: def.Environment, BusinessUnit: def.BusinessUnit, EverySecuredColumn: def.EverySecuredColumn,
		CannotOpenApp: def.CannotOpenApp, MissingToOpenApp: def.MissingToOpenApp,
	}
	if def.Terms == nil {
		return out
	}
	out.AssignableRoles = def.Terms.AssignableRoles
	if def.BuiltIn {
		out.Terms = &pathgrantv1.RoleTerms{
			HeldBy: each(def.Terms.HeldBy, authz.HolderKind.String), HeldByTeamNamed: def.Terms.HeldByTeamNamed,
			ComesBy: def.Terms.ComesBy.String(), Database: def.Terms.Database.String(), Companion: def.Terms.Companion, Elevates: def.Terms.Elevates,
		}
	}
	return out
}

// givenRoleDefinition reads what somebody can say of a custom role. What the server sets is
// not looked at, so that a role can be sent back as it was read.
func givenRoleDefinition(in *pathgrantv1.RoleDefinition) authz.RoleDefinition {
	def := authz.RoleDefinition{
		ID: in.GetId(), Name: in.GetName(), Description: in.GetDescription(),
		Permissions: in.GetPermissions(), PermissionsExceptions: in.GetPermissionsExceptions(),
		AssignableScopes: in.GetAssignableScopes(), RestrictedScopes: in.GetRestrictedScopes(),
		Privileges: in.GetPrivileges(), TeamOnly: in.GetTeamOnly(), Environment: in.GetEnvironment(), BusinessUnit: in.GetBusinessUnit(),
	}
	if len(in.GetAssignableRoles()) > 0 {
		def.Terms = &authz.RoleTerms{AssignableRoles: in.GetAssignableRoles()}
	}
	return def
}
