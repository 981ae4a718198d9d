package gate

import (
	"context"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// DecideNamed decides several permissions at several scopes at once, as a request that
// was mapped to them would.
func (g *Gate) DecideNamed(ctx context.Context, subject *authz.Subject, permissions []authz.PermissionID, tenants []string, named []authz.NamedScope, a *ask.Answer) {
	a.Reset()
	s := &scratch{permissions: permissions, named: named}
	s.resolution.Tenants = tenants
	s.now, s.who = g.Now(), identity.Identity{Subject: subject}
	g.decideNamed(ctx, &ask.Request{}, a, s)
}
