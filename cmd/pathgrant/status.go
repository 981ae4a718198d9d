package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/pathgrant/pathgrant/internal/ops"
	"github.com/pathgrant/pathgrant/internal/server"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// importResult is what import prints.
type importResult struct {
	Bundle      string          `json:"bundle"`
	Tenants     int             `json:"tenants"`
	Assignments int             `json:"roleAssignments"`
	Revision    *authz.Revision `json:"revision,omitempty"`
}

func (r importResult) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d tenants, %d role assignments", r.Bundle, r.Tenants, r.Assignments)
	if r.Revision != nil {
		fmt.Fprintf(w, ", revision %d.%d", r.Revision.Epoch, r.Revision.Number)
	} else {
		fmt.Fprint(w, ", not imported")
	}
	fmt.Fprintln(w)
}

func assignments(content *snapshot.Data) int {
	n := 0
	for i := range content.Tenants {
		n += len(content.Tenants[i].RoleAssignments)
	}
	return n
}

func statusCommand() *cobra.Command {
	var (
		address, output string
		timeout         time.Duration
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how a running server fares: readiness, revision, source, cache, keys",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			status, raw, err := fetchStatus(ctx, address)
			if err != nil {
				return err
			}
			if output == "json" {
				_, err = cmd.OutOrStdout().Write(raw)
			} else {
				printStatus(cmd.OutOrStdout(), status, time.Now())
			}
			if err == nil && !status.Readiness.Serving() {
				return fmt.Errorf("not ready: %s", status.Detail)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&address, "ops", "127.0.0.1:9192", "the server's --ops-listen address")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the answer")
	outputFlag(cmd, &output)
	return cmd
}

func fetchStatus(ctx context.Context, address string) (status ops.Status, raw []byte, err error) {
	from, err := server.ParseAddress(address)
	if err != nil {
		return status, nil, usagef("--ops: %v", err)
	}
	host := from.Address
	if from.Network == "unix" {
		host = "localhost"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/status", nil)
	if err != nil {
		return status, nil, usagef("--ops %s: %v", address, err)
	}
	// A client of its own: it asks no proxy, and knows unix sockets.
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, from.Network, from.Address)
	}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	response, err := client.Do(request)
	if err != nil {
		return status, nil, fmt.Errorf("ask %s: %w", address, err)
	}
	defer response.Body.Close()
	raw, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return status, nil, fmt.Errorf("ask %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return status, nil, fmt.Errorf("ask %s: %s", address, response.Status)
	}
	if err := json.Unmarshal(raw, &status); err != nil {
		return status, nil, fmt.Errorf("ask %s: the answer is not a status: %w", address, err)
	}
	return status, raw, nil
}

func printStatus(w io.Writer, s ops.Status, now time.Time) {
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", label, fmt.Sprintf(format, args...))
	}
	readiness := s.Readiness.String()
	if s.Detail != "" {
		readiness += ": " + s.Detail
	}
	line("readiness", "%s", readiness)
	line("version", "%s, up %s", s.Version, now.Sub(s.StartTime).Round(time.Second))
	for _, listener := range s.Listeners {
		line("listening", "%s", listener)
	}
	if s.Snapshot.Revision != (authz.Revision{}) {
		line("revision", "%d.%d", s.Snapshot.Revision.Epoch, s.Snapshot.Revision.Number)
	}
	if s.Snapshot.Revision != (authz.Revision{}) && !s.Snapshot.Proved.IsZero() {
		line("age", "%s", now.Sub(s.Snapshot.Proved).Round(time.Second))
	}
	if s.Snapshot.Quarantined > 0 {
		line("quarantine", "%d damaged data files set aside", s.Snapshot.Quarantined)
	}
	health := "healthy"
	if !s.Source.Healthy {
		health = "unhealthy since " + s.Source.Since.Format(time.RFC3339) + ": " + s.Source.Error
	}
	line("source", "%s, %s", s.Source.Name, health)
	line("cache", "%d hits, %d misses, %d dropped, %d bytes", s.Cache.Hits, s.Cache.Misses, s.Cache.Dropped, s.Cache.Bytes)
	keys := func(label string, all []ops.KeySetStatus) {
		for _, keys := range all {
			state := "loaded " + keys.Loaded.Format(time.RFC3339)
			if keys.Error != "" {
				state += ", " + keys.Error
			}
			line(label, "%s: %s", keys.Issuer, state)
		}
	}
	keys("keys", s.Identity.Keys)
	if a := s.Administration; a != nil {
		what := "changes are accepted"
		if !a.Writable {
			what = "read only: the bundle is the record"
		}
		line("admin", "%s, %s", a.Listener, what)
		keys("admin keys", a.Keys)
		for _, e := range a.BreakGlass {
			line("break glass", "%s %s is administrator of %s until %s: %s", e.PrincipalType, e.Principal, e.Tenant, e.Expires.Format(time.RFC3339), e.Justification)
		}
		if a.BreakGlassError != "" {
			line("break glass", "cannot be read: %s", a.BreakGlassError)
		}
	}
	line("decisions", "%d logged, %d dropped, %d failed", s.DecisionLog.Written, s.DecisionLog.Dropped, s.DecisionLog.Failed)
}
