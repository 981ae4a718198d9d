package engine_test

import (
	"testing"

	"github.com/pathgrant/pathgrant/pkg/engine"
)

func BenchmarkCheck(b *testing.B) {
	dir := b.TempDir()
	mustImport(b, dir, policy, false)
	e := open(b, dir, engine.Options{})
	question := get(subject(b, e, "ada"), "/powerapps/environments/e1/apps/a7")
	b.ReportAllocs()
	for b.Loop() {
		if d := e.Check(b.Context(), question); !d.Allowed() {
			b.Fatal(d)
		}
	}
}
