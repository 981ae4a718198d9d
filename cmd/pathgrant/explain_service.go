package main

import (
	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/internal/explain"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/reverse"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// explainService answers questions about decisions, of a server.
func (p *parts) explainService(a *admin.Admin) *rpc.Explain {
	return newExplainService(explainParts{
		roles: p.model.roles, gate: p.gateOptions(), admin: a, recent: p.recent, allowDisabled: p.cfg.Admin.AllowRoleAssignmentOnDisabledUsers,
	})
}

// explainParts are what such a service is made of, in a server or in a command.
type explainParts struct {
	roles         []authz.RoleDefinition // those that nobody can change
	gate          gate.Options           // which records nothing
	admin         *admin.Admin
	recent        *audit.Recent // nil: no decisions are remembered
	allowDisabled bool
}

func newExplainService(p explainParts) *rpc.Explain {
	catalogues, store := p.gate.Catalogues, p.gate.Snapshots
	return rpc.NewExplain(rpc.ExplainOptions{
		Explainer: explain.New(explain.Options{
			Decider: gate.New(p.gate), Store: store, Catalogues: catalogues, Roles: p.roles,
			AllowDisabled: p.allowDisabled, Recent: p.recent, Log: p.gate.Log,
		}),
		Reverse: reverse.New(reverse.Options{Vocabulary: catalogues.Vocabulary(), FoldCase: catalogues.FoldCase(), ShippedRoles: p.roles}),
		Admin:   p.admin, Read: store.Read, FoldCase: catalogues.FoldCase(), Log: p.gate.Log,
	})
}
