package snapshot_test

import (
	"fmt"
	"testing"
	"time"

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
		if _, err := s.View(b.Context(), who[i%len(who)]); err != nil {
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

// BenchmarkUpdate changes so many role assignments of so many, and asks at once what one
// of those who hold them holds now; seen-ns is the time from the commit to that answer.
func BenchmarkUpdate(b *testing.B) {
	for _, held := range []int{10_000, 1_000_000} {
		o := options(b.TempDir())
		s := open(b, o)
		replace(b, s, many(held))
		n := 0
		for _, changed := range []int{1, 1000} {
			b.Run(fmt.Sprintf("%d-of-%d", changed, held), func(b *testing.B) {
				var seen time.Duration
				b.ReportAllocs()
				for b.Loop() {
					n++
					_, err := s.Update(b.Context(), snapshot.Change{}, func(e *snapshot.Edit) error {
						for i := range changed {
							at := (i*997 + n) % held
							a := allow(fmt.Sprintf("assignment-%07d", at), user(fmt.Sprintf("user-%06d", at/10)), readerRole, "/environments/e1")
							a.Expires = int64(n)
							if err := e.PutRoleAssignment("t1", a); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
					began := time.Now()
					if _, err := s.View(b.Context(), caller(b, user(fmt.Sprintf("user-%06d", n%held/10)))); err != nil {
						b.Fatal(err)
					}
					seen += time.Since(began)
				}
				b.ReportMetric(float64(seen.Nanoseconds())/float64(b.N), "seen-ns")
			})
		}
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

// A user in a team of ten thousand costs what the user belongs to, not what the team has.
func BenchmarkRecordSubject(b *testing.B) {
	for _, members := range []int{1, 10_000} {
		b.Run(fmt.Sprint(members, " members"), func(b *testing.B) {
			d := withItems()
			field := &d.Tenants[0].Teams[0]
			for i := range members {
				field.Members = append(field.Members, user(fmt.Sprint("m", i)))
			}
			s := open(b, options(b.TempDir()))
			replace(b, s, d)
			ada := caller(b, user("ada"))
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Read(b.Context(), func(r *snapshot.Reader) error {
					_, err := r.RecordSubject("t1", "e2", ada)
					return err
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
