package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary stand for the command too: scripts and tests run it as a
// process of its own, under the names given here.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"pathgrant":          main,
		"pathgrant-confined": confined,
	})
}
