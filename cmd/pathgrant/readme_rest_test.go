package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

// TestReadmeRESTWalkIsTrue runs the README's walk through the REST API against a server as it
// is, with curl as it is. What a line that begins with #> says must be printed by the
// commands above it.
func TestReadmeRESTWalkIsTrue(t *testing.T) {
	const audience, me, them = "api://pathgrant-admin", "0b2a6c1e-9f10-4f0c-9d55-7f1d0a528f3e", "3f0c9d55-7f1d-4a52-8f3e-0b2a6c1e9f10"
	_, blocks := readme(t)
	var walk string
	for _, b := range blocks {
		if b.note == "walk: rest" {
			walk = b.text
		}
	}
	if walk == "" {
		t.Fatal("the README has no block with the note walk: rest")
	}
	address, err := pgtest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.serve("--admin-listen", "tcp://"+address, "--admin-audience", audience)
	token, err := w.issuer.Token(pgtest.UserClaims(tenant, me).With("aud", audience))
	if err != nil {
		t.Fatal(err)
	}

	// Each command that something is said of has its output to itself.
	var script strings.Builder
	var want [][]string
	script.WriteString("set -euo pipefail\n")
	for line := range strings.Lines(walk) {
		said, ok := strings.CutPrefix(line, "#> ")
		if !ok {
			script.WriteString(line)
			continue
		}
		if !strings.HasSuffix(script.String(), "echo ----\n") {
			script.WriteString("echo ----\n")
			want = append(want, nil)
		}
		want[len(want)-1] = append(want[len(want)-1], strings.TrimSpace(said))
	}
	if len(want) < 6 {
		t.Fatalf("the walk says something of %d commands, want 6 at least", len(want))
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	cmd.Env = append(os.Environ(), "API=http://"+address, "DATA="+w.path("data"), "TOKEN="+token, "TENANT="+tenant, "ME="+me, "THEM="+them)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &stdout, &stderr)
	}
	outputs := strings.Split(stdout.String(), "----\n")
	if len(outputs) != len(want)+1 {
		t.Fatalf("%d outputs, want %d:\n%s", len(outputs)-1, len(want), &stdout)
	}
	for i, texts := range want {
		for _, text := range texts {
			if !strings.Contains(outputs[i], text) {
				t.Errorf("the README says that the answer has %s; it is\n%s", text, outputs[i])
			}
		}
	}
}
