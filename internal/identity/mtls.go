package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// mtlsSource knows the SPIFFE URIs of a table. Any other peer, such as the gateway
// itself, is nobody.
type mtlsSource struct {
	identities map[string]Identity
}

func newMTLSSource(c *MTLSConfig, foldCase bool) (*mtlsSource, error) {
	m := &mtlsSource{identities: make(map[string]Identity, len(c.Identities))}
	for i, id := range c.Identities {
		kind, err := parseKind(id.Kind, authz.ApplicationUser)
		if err != nil {
			return nil, fmt.Errorf("identities[%d].kind: %w", i, err)
		}
		subject, err := authz.NewSubject(authz.SubjectSpec{
			Tenant:    id.Tenant,
			Principal: authz.Principal{Type: kind, ID: id.Principal},
			FoldCase:  foldCase,
		})
		if err != nil {
			return nil, fmt.Errorf("identities[%d]: %w", i, err)
		}
		m.identities[id.URI] = Identity{Subject: subject}
	}
	return m, nil
}

func (m *mtlsSource) identify(_ context.Context, c *ask.Credentials, _ time.Time) (Identity, bool, error) {
	id, ok := m.identities[c.Principal]
	return id, ok, nil
}

func (m *mtlsSource) recall(c *ask.Credentials, now time.Time) (Identity, bool, error) {
	return m.identify(context.Background(), c, now)
}
