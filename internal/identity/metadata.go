package identity

import (
	"context"
	"errors"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
)

// metadataSource reads the payload that Envoy's jwt_authn filter verified.
type metadataSource struct {
	namespace, key string
	rules          *rules
}

func newMetadataSource(cfg *Config, c *MetadataConfig, enforce bool) *metadataSource {
	return &metadataSource{
		namespace: orDefault(c.Namespace, DefaultMetadataNamespace),
		key:       c.PayloadKey,
		rules:     newRules(cfg, c.Issuers, c.ClockSkew, enforce),
	}
}

func (m *metadataSource) identify(_ context.Context, c *ask.Credentials, now time.Time) (Identity, bool, error) {
	if c.Metadata == nil {
		return Identity{}, false, nil
	}
	payload := c.Metadata(m.namespace, m.key)
	if payload == nil {
		return Identity{}, false, nil
	}
	id, err := m.read(payload, now)
	if err != nil {
		return Identity{}, true, &InvalidError{Source: SourceJWTMetadata, Detail: err.Error()}
	}
	return id, true, nil
}

// recall reads the payload like identify: that is work, but none that waits.
func (m *metadataSource) recall(c *ask.Credentials, now time.Time) (Identity, bool, error) {
	return m.identify(context.Background(), c, now)
}

func (m *metadataSource) read(payload any, now time.Time) (Identity, error) {
	claims, ok := payload.(map[string]any)
	if !ok {
		return Identity{}, errors.New("the payload in the metadata is not an object")
	}
	issuer, err := m.rules.issuerOf(claims)
	if err != nil {
		return Identity{}, err
	}
	if _, err := m.rules.use(issuer, claims, now); err != nil {
		return Identity{}, err
	}
	return m.rules.identity(issuer, claims)
}
