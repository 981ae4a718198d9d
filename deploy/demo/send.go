package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

const (
	// requestTimeout is how long a request may take, which none comes near.
	requestTimeout = 5 * time.Second
	// logTimeout is how long a decision may take to get into the log.
	logTimeout = 2 * time.Second
)

// send sends a request through the proxy and reads what became of it: what the caller
// or the upstream saw, and the decision in Pathgrant's log, which must agree.
func (s *stage) send(ctx context.Context, r request) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	in, err := http.NewRequestWithContext(ctx, r.method, "http://"+s.proxy.Address, nil)
	if err != nil {
		return outcome{}, err
	}
	in.URL = &url.URL{Scheme: "http", Host: s.proxy.Address, Opaque: r.path} // as it is, nothing escaped or repaired
	in.Host = r.host
	if r.header != nil {
		in.Header = r.header.Clone()
	}
	if token := s.tokens[r.who]; token != "" {
		in.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.client.Do(in)
	if err != nil {
		return outcome{}, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return outcome{}, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	if response.StatusCode == http.StatusOK {
		return s.allowed(ctx, r, body)
	}
	return s.refused(ctx, response, body)
}

// allowed reads what reached the upstream.
func (s *stage) allowed(ctx context.Context, r request, body []byte) (outcome, error) {
	var echo pgtest.Echo
	if err := json.Unmarshal(body, &echo); err != nil {
		return outcome{}, fmt.Errorf("the answer is not the upstream's: %w", err)
	}
	got := outcome{status: http.StatusOK}
	told := func(name string) string { return strings.Join(echo.Headers.Values(name), " and ") }
	d, err := s.decision(ctx, told("X-Pathgrant-Decision-Id"))
	if err != nil {
		return got, err
	}
	got.reason, got.permission, got.scope = d.Reason, strings.Join(d.Permissions, " "), relative(d.Scopes)
	var errs []error
	for _, check := range []struct{ name, want string }{
		{"X-Pathgrant-Principal", r.who},
		{"X-Pathgrant-Tenant", tenant},
		{"X-Pathgrant-Permission", strings.Join(d.Permissions, ",")},
		{"X-Pathgrant-Scope", strings.Join(d.Scopes, ",")},
		{"X-Http-Method-Override", ""},
	} {
		if value := told(check.name); value != check.want {
			errs = append(errs, fmt.Errorf("the upstream was told %s: %q, not %q", strings.ToLower(check.name), value, check.want))
		}
	}
	if d.Effect != "allow" || d.Principal != r.who {
		errs = append(errs, fmt.Errorf("the log says %s for %q", d.Effect, d.Principal))
	}
	return got, errors.Join(errs...)
}

// refused reads what the caller was told.
func (s *stage) refused(ctx context.Context, response *http.Response, body []byte) (outcome, error) {
	got := outcome{status: response.StatusCode}
	id := response.Header.Get("X-Pathgrant-Decision-Id")
	if id == "" {
		return got, nil // the proxy's own answer
	}
	var told struct {
		Error struct {
			Inner struct {
				Reason  string   `json:"reason"`
				Missing []string `json:"missingPermissions"`
			} `json:"innererror"`
			DecisionID string `json:"decisionId"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &told); err != nil {
		return got, fmt.Errorf("the body of a refusal: %w", err)
	}
	d, err := s.decision(ctx, id)
	if err != nil {
		return got, err
	}
	got.reason, got.permission, got.scope = d.Reason, strings.Join(d.Permissions, " "), relative(d.Scopes)
	var errs []error
	if told.Error.Inner.Reason != d.Reason || told.Error.DecisionID != id || d.Effect != "deny" {
		errs = append(errs, fmt.Errorf("the caller was told %s (%s), the log says %s %s (%s)",
			told.Error.Inner.Reason, told.Error.DecisionID, d.Effect, d.Reason, id))
	}
	for _, missing := range told.Error.Inner.Missing {
		if !slices.Contains(d.Permissions, missing) {
			errs = append(errs, fmt.Errorf("the caller was told that %s is missing, which nobody asked for", missing))
		}
	}
	if challenged := response.Header.Get("Www-Authenticate") != ""; challenged != (got.status == http.StatusUnauthorized) {
		errs = append(errs, errors.New("www-authenticate goes with 401, and only with it"))
	}
	return got, errors.Join(errs...)
}

// A decision is a line of the decision log.
type decision struct {
	DecisionID  string   `json:"decision_id"`
	Principal   string   `json:"principal"`
	Permissions []string `json:"permissions"`
	Scopes      []string `json:"scopes"`
	Effect      string   `json:"effect"`
	Reason      string   `json:"reason"`
}

// decision finds a decision in Pathgrant's log, which is written off the hot path.
func (s *stage) decision(ctx context.Context, id string) (d decision, err error) {
	if id == "" {
		return d, errors.New("no decision id arrived")
	}
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	err = pgtest.Poll(ctx, func() error {
		for line := range strings.Lines(s.gate.Log()) {
			if strings.Contains(line, id) && json.Unmarshal([]byte(line), &d) == nil && d.DecisionID == id {
				return nil
			}
		}
		return fmt.Errorf("the decision %s is not in Pathgrant's log", id)
	})
	return d, err
}

// relative writes scopes without their tenant.
func relative(scopes []string) string {
	const prefix = "/tenants/" + tenant
	short := make([]string, 0, len(scopes))
	for _, scope := range scopes {
		if scope == prefix {
			scope = theTenant
		}
		short = append(short, strings.TrimPrefix(scope, prefix+"/"))
	}
	return strings.Join(short, " ")
}
