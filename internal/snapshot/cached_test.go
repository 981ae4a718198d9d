package snapshot_test

import (
	"testing"

	"github.com/pathgrant/pathgrant/internal/snapshot"
)

// What is in memory is answered from memory, and only while it is the newest.
func TestACachedViewIsTheView(t *testing.T) {
	s := open(t, options(t.TempDir()))
	who, nobody := caller(t, user("ada"), "g1"), caller(t, user("nobody"))
	if _, ok := s.CachedView(who); ok {
		t.Error("there is a view before there is a snapshot")
	}
	replace(t, s, sample())
	if _, ok := s.CachedView(who); ok {
		t.Error("a view was cached before anybody asked for it")
	}
	want := held(t, s, who)
	s.WaitCache()
	misses := s.Stats().Misses
	found, ok := s.CachedView(who)
	if !ok || found.Snapshot != s.Current() || describe(found.View) != want {
		t.Fatalf("cached: %t, %q, want %q", ok, describe(found.View), want)
	}
	if _, ok := s.CachedView(nobody); ok {
		t.Error("another caller's view is cached")
	}
	if st := s.Stats(); st.Hits != 1 || st.Misses != misses {
		t.Errorf("%d hits and %d misses, want 1 and %d", st.Hits, st.Misses, misses)
	}

	// A change of what ada holds puts the view out of use.
	d := sample()
	d.Tenants[0].RoleAssignments = append(d.Tenants[0].RoleAssignments, allow("another", user("ada"), readerRole, ""))
	replace(t, s, d)
	if found, ok := s.CachedView(who); ok {
		t.Errorf("the view of the revision before is still used: %q", describe(found.View))
	}
}

// The hits that are to be compared with the file are left to View, and none is left out.
func TestACachedViewIsComparedWithTheFile(t *testing.T) {
	s := open(t, options(t.TempDir()))
	replace(t, s, sample())
	who := caller(t, user("ada"), "g1")
	held(t, s, who)
	s.WaitCache()
	s.SetShadowEvery(4)
	left := 0
	for range 9 {
		if _, ok := s.CachedView(who); !ok {
			left++
			if _, err := s.View(t.Context(), who); err != nil {
				t.Fatal(err)
			}
		}
	}
	if st := s.Stats(); left != 2 || st.Hits != 9 || !st.CacheOn {
		t.Errorf("%d of %d hits were left to View, want 2 of 9", left, st.Hits)
	}
}

// Without a cache nothing is in memory but that a tenant is not known.
func TestWithoutACacheNoViewIsCached(t *testing.T) {
	o := options(t.TempDir())
	o.CacheBytes = -1
	s := open(t, o)
	replace(t, s, sample())
	who := caller(t, user("ada"))
	held(t, s, who)
	if _, ok := s.CachedView(who); ok {
		t.Error("a view is cached")
	}
}

func BenchmarkCachedView(b *testing.B) {
	o := options(b.TempDir())
	s := open(b, o)
	replace(b, s, many(10_000))
	who := caller(b, user("user-000001"))
	held(b, s, who)
	s.WaitCache()
	b.ReportAllocs()
	var last *snapshot.View
	for b.Loop() {
		if found, ok := s.CachedView(who); ok {
			last = found.View
		} else if _, err := s.View(b.Context(), who); err != nil { // the one to be compared
			b.Fatal(err)
		}
	}
	if last == nil {
		b.Fatal("never cached")
	}
}
