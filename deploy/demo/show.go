package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

const (
	// revokedWithin is how soon a change of the bundle must be in force.
	revokedWithin = time.Second
	// healthyWithin is how long Envoy may take to notice that Pathgrant serves: its health
	// check runs every second.
	healthyWithin = 5 * time.Second
)

// A show is the demo as the audience sees it.
type show struct {
	*stage
	out   io.Writer
	notes []string
	sent  int
	bad   int
}

func (s *show) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *show) running() {
	s.say("Running on loopback: Envoy (http://%s, with %s) in front of an HTTP service that", s.proxy.Address, s.bootstrap)
	s.say("echoes what reaches it, and Pathgrant on a unix socket, with %s and the shipped catalogue.", "deploy/demo/policy.yaml")
}

// acts plays the demo. Its error is one that keeps it from going on; what did not come
// out as it must is counted.
func (s *show) acts(ctx context.Context) error {
	if err := s.awaitChecks(ctx); err != nil {
		return err
	}
	s.say("\nScopes are below the tenant %s; (tenant) is the tenant itself.\n", tenant)
	if err := s.table(ctx, requests); err != nil {
		return err
	}
	for i, note := range s.notes {
		s.say("%4s %s", "["+strconv.Itoa(i+1)+"]", note)
	}
	if err := s.revoke(ctx); err != nil {
		return err
	}
	return s.crash(ctx)
}

// table sends requests and prints a row for each.
func (s *show) table(ctx context.Context, all []request) error {
	rows := [][]string{{"WHO", "METHOD", "PATH", "PERMISSION", "SCOPE", "HTTP", "DECISION", "REASON", ""}}
	for _, r := range all {
		got, err := s.send(ctx, r)
		if ctx.Err() != nil {
			return errInterrupted
		}
		var remark string
		if r.note != "" {
			s.notes = append(s.notes, r.note)
			remark = "[" + strconv.Itoa(len(s.notes)) + "]"
		}
		if wrong := s.judge(r, got, err); wrong != "" {
			remark = strings.TrimSpace(remark + " <== " + wrong)
		}
		rows = append(rows, []string{
			r.who, r.method, r.path, orDash(joined(got.permission)), orDash(short(got.scope)),
			strconv.Itoa(got.status), effect(got.status), orDash(got.reason), remark,
		})
	}
	printTable(s.out, rows)
	return nil
}

// judge says what is not as it must be.
func (s *show) judge(r request, got outcome, err error) string {
	s.sent++
	var wrong []string
	if got != r.want {
		wrong = append(wrong, fmt.Sprintf("want %d %s %s %s",
			r.want.status, orDash(r.want.reason), orDash(joined(r.want.permission)), orDash(r.want.scope)))
	}
	if err != nil {
		wrong = append(wrong, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if len(wrong) > 0 {
		s.bad++
	}
	return strings.Join(wrong, "; ")
}

func effect(status int) string {
	if status == http.StatusOK {
		return "allow"
	}
	return "deny"
}

// verdict prints a request that is not in a table, and how it ended.
func (s *show) verdict(r request, got outcome, err error, format string, args ...any) {
	line := fmt.Sprintf("  %s %s %s: %d", r.who, r.method, r.path, got.status)
	if got.reason != "" {
		line += " " + got.reason
	}
	line += fmt.Sprintf(format, args...)
	if wrong := s.judge(r, got, err); wrong != "" {
		line += " <== " + wrong
	}
	s.say("%s", line)
}

// revoke takes an assignment out of the bundle.
func (s *show) revoke(ctx context.Context) error {
	changed, err := without(policy, "principalObjectId: "+revoked.who)
	if err != nil {
		return err
	}
	s.say("\nThe bundle is replaced by one without %s's assignment.", revoked.who)
	if err := s.writeBundle(changed); err != nil {
		return err
	}
	start := time.Now()
	got, err := s.until(ctx, revokedWithin, revoked, func(got outcome) bool { return got == revoked.want })
	if ctx.Err() != nil {
		return errInterrupted
	}
	s.verdict(revoked, got, err, ", %d ms later", time.Since(start).Milliseconds())
	return nil
}

// crash kills Pathgrant and starts it again without its bundle.
func (s *show) crash(ctx context.Context) error {
	s.say("\nPathgrant is killed: nobody is let through unchecked.")
	if err := s.gate.Kill(); err != nil {
		return err
	}
	got, err := s.send(ctx, unanswered)
	if ctx.Err() != nil {
		return errInterrupted
	}
	s.verdict(unanswered, got, err, " from Envoy")

	s.say("\nIts bundle is deleted and Pathgrant is started again: it decides from what it has on disk.")
	if err := os.Remove(s.bundle); err != nil {
		return err
	}
	if err := s.startPathgrant(ctx); err != nil {
		return err
	}
	if err := s.awaitChecks(ctx); err != nil {
		return err
	}
	return s.table(ctx, afterwards)
}

// awaitChecks waits until Envoy has found Pathgrant healthy, and asks it.
func (s *show) awaitChecks(ctx context.Context) error {
	_, err := s.until(ctx, healthyWithin, unanswered, func(got outcome) bool { return got.status != http.StatusServiceUnavailable })
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return fmt.Errorf("the proxy does not ask Pathgrant: %w\n%s\n%s", err, s.proxy.Log(), s.gate.Log())
	}
	return nil
}

// until repeats a request until the outcome is one that is waited for, or time is up.
func (s *show) until(ctx context.Context, limit time.Duration, r request, done func(outcome) bool) (got outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = pgtest.Poll(ctx, func() error {
		var err error
		if got, err = s.send(ctx, r); err != nil {
			return pgtest.Final(err)
		}
		if !done(got) {
			return fmt.Errorf("still %d after %v", got.status, limit)
		}
		return nil
	})
	return got, err
}

// without removes the one role assignment that contains the text.
func without(bundle, text string) (string, error) {
	head, assignments, found := strings.Cut(bundle, "roleAssignments:\n")
	if !found {
		return "", errors.New("the bundle has no roleAssignments")
	}
	var kept strings.Builder
	removed := 0
	for line := range strings.Lines(assignments) {
		if strings.Contains(line, text) {
			removed++
			continue
		}
		kept.WriteString(line)
	}
	if removed != 1 {
		return "", fmt.Errorf("the bundle has %d assignments with %q, not one", removed, text)
	}
	return head + "roleAssignments:\n" + kept.String(), nil
}

// summary says how it went, and returns an error if anything was not as it must be.
func (s *show) summary(took time.Duration) error {
	if s.bad > 0 {
		return fmt.Errorf("%d of %d requests did not end as they must: see the rows marked <==", s.bad, s.sent)
	}
	s.say("\nAll %d requests ended as they must (%.1f s).", s.sent, took.Seconds())
	return nil
}

// keep tells how to go on by hand.
func (s *show) keep() error {
	if err := s.writeBundle(policy); err != nil {
		return err
	}
	s.say("\nThe first bundle is back in force. Everything runs until Ctrl-C; tokens are valid for an hour.\n")
	for _, name := range []string{"rita", "carl", "olga", "adam"} {
		s.say("%s=%s", strings.ToUpper(name), s.tokens[name])
	}
	s.say("")
	for _, r := range []struct{ who, method, path string }{
		{"RITA", "GET", "/powerapps/environments/lab/apps"},
		{"RITA", "POST", "/powerapps/environments/lab/apps"},
		{"CARL", "PATCH", "/powerapps/environments/hr-prod/apps/a1"},
		{"ADAM", "POST", "/authorization/roleAssignments"},
	} {
		s.say(`curl -i -X %s -H "Authorization: Bearer $%s" http://%s%s`, r.method, r.who, s.proxy.Address, r.path)
	}
	s.say("curl http://%s/status", s.gate.Ops)
	s.say("\nEdit %s and ask again; a broken file changes nothing and shows in the status.", s.bundle)
	return nil
}
