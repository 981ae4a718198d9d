package snapshot_test

import (
	"fmt"
	"testing"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// many is data with n role assignments of n/10 users, all of them in groups.
func many(n int) *snapshot.Data {
	d := sample()
	t := &d.Tenants[0]
	g := snapshot.Group{ID: "everybody"}
	for i := range n {
		id := fmt.Sprintf("user-%06d", i/10)
		if i%10 == 0 {
			g.Members = append(g.Members, user(id))
		}
		t.RoleAssignments = append(t.RoleAssignments, allow(fmt.Sprintf("assignment-%07d", i), user(id), readerRole, fmt.Sprintf("/environments/e1/apps/%d", i%97)))
	}
	t.Groups = append(t.Groups, g)
	t.RoleAssignments = append(t.RoleAssignments, allow("all", group("everybody"), readerRole, ""))
	return d
}

func benchmarkView(b *testing.B, cacheBytes int64) {
	o := options(b.TempDir())
	o.CacheBytes = cacheBytes
	s := open(b, o)
	replace(b, s, many(10_000))
	var who []*authz.Subject
	for i := range 1000 {
		who = append(who, caller(b, user(fmt.Sprintf("user-%06d", i))))
	}
	for range 3 {
		for _, of := range who {
			held(b, s, of)
		}
		if cacheBytes > 0 {
			s.WaitCache()
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, _, err := s.View(b.Context(), who[i%len(who)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkViewHit(b *testing.B)  { benchmarkView(b, 64<<20) }
func BenchmarkViewMiss(b *testing.B) { benchmarkView(b, -1) }

func BenchmarkReplaceOne(b *testing.B) {
	s := open(b, options(b.TempDir()))
	d := many(10_000)
	replace(b, s, d)
	i := 0
	for b.Loop() {
		i++
		d.Tenants[0].RoleAssignments[100].Expires = int64(i)
		replace(b, s, d)
	}
}

func BenchmarkOpen(b *testing.B) {
	o := options(b.TempDir())
	s := opened(b, o)
	replace(b, s, many(100_000))
	closed(b, s)
	for b.Loop() {
		closed(b, opened(b, o))
	}
}

func BenchmarkReplaceAll(b *testing.B) {
	d := many(100_000)
	for b.Loop() {
		s := opened(b, options(b.TempDir()))
		replace(b, s, d)
		closed(b, s)
	}
}
