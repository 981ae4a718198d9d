package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// instrumented is the command as the test binary has it, with the race detector if the
// tests have it. Servers run as that. All else runs pathgrant as it is delivered, which
// starts much faster.
const instrumented = "pathgrant-instrumented"

// TestMain puts both, and the one that is confined, into PATH.
func TestMain(m *testing.M) {
	testscript.Main(delivered{m}, map[string]func(){
		instrumented:         main,
		"pathgrant-confined": confined,
	})
}

// delivered runs the tests with a newly built pathgrant in PATH.
type delivered struct{ tests *testing.M }

func (d delivered) Run() int {
	dir, err := os.MkdirTemp("", "pathgrant-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "pathgrant"), ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return d.tests.Run()
}
