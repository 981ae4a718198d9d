package ops_test

import (
	"testing"
	"time"

	"github.com/pathgrant/pathgrant/internal/ops"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func BenchmarkObserve(b *testing.B) {
	m := ops.NewMetrics("bench", func() ops.Status { return ops.Status{} })
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Observe(ops.AdapterNamed("extauthz"), authz.Granted, 900*time.Nanosecond)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				m.Observe(ops.ExtAuthz, authz.Granted, 900*time.Nanosecond)
			}
		})
	})
}
