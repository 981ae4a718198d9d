package identity

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// headerSource believes request headers.
type headerSource struct {
	tenant, principal, groups, kind string // names, in lower case
	foldCase                        bool
}

func newHeaderSource(c *HeaderConfig, foldCase bool) *headerSource {
	return &headerSource{
		tenant:    strings.ToLower(c.Tenant),
		principal: strings.ToLower(c.Principal),
		groups:    strings.ToLower(c.Groups),
		kind:      strings.ToLower(c.Kind),
		foldCase:  foldCase,
	}
}

func (h *headerSource) identify(_ context.Context, c *ask.Credentials, _ time.Time) (Identity, bool, error) {
	if c.Header == nil {
		return Identity{}, false, nil
	}
	values := func(name string) []string {
		if name == "" {
			return nil
		}
		return c.Header(name)
	}
	tenant, principal, groups, kind := values(h.tenant), values(h.principal), values(h.groups), values(h.kind)
	if len(tenant)+len(principal)+len(groups)+len(kind) == 0 {
		return Identity{}, false, nil
	}
	subject, err := h.subject(tenant, principal, groups, kind)
	if err != nil {
		return Identity{}, true, &InvalidError{Source: SourceHeader, Detail: err.Error()}
	}
	return Identity{Subject: subject}, true, nil
}

func (h *headerSource) recall(c *ask.Credentials, now time.Time) (Identity, bool, error) {
	return h.identify(context.Background(), c, now)
}

func (h *headerSource) subject(tenant, principal, groups, kind []string) (*authz.Subject, error) {
	spec := authz.SubjectSpec{FoldCase: h.foldCase}
	var err error
	if spec.Tenant, err = oneID(tenant, h.tenant); err != nil {
		return nil, err
	}
	if spec.Principal.ID, err = oneID(principal, h.principal); err != nil {
		return nil, err
	}
	spec.Principal.Type = authz.User
	if len(kind) > 0 {
		text, err := oneID(kind, h.kind)
		if err != nil {
			return nil, err
		}
		if spec.Principal.Type, err = parseKind(text, authz.User); err != nil {
			return nil, errors.New("the header " + h.kind + " is neither User nor ApplicationUser")
		}
	}
	for _, group := range groups {
		// A proxy that joins repeated headers would make one group of two, and lose what
		// both are denied.
		if checkID(group) != nil || strings.IndexByte(group, ',') >= 0 {
			return nil, errors.New("the header " + h.groups + " must hold one group, and be repeated for more; Envoy keeps repeated headers apart with encode_raw_headers")
		}
	}
	for _, group := range groups {
		spec.Groups = append(spec.Groups, strings.Clone(group))
	}
	return authz.NewSubject(spec)
}

// oneID reads a header that must be there once. A comma is what a proxy puts between
// two of them.
func oneID(values []string, name string) (string, error) {
	switch {
	case len(values) == 0:
		return "", errors.New("the header " + name + " is missing")
	case len(values) > 1 || strings.IndexByte(values[0], ',') >= 0:
		return "", errors.New("the header " + name + " is there twice")
	case checkID(values[0]) != nil:
		return "", errors.New("the header " + name + " does not hold an identifier")
	}
	return strings.Clone(values[0]), nil // a header is valid until the answer was given, a subject for longer
}
