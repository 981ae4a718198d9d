//go:build !race

package snapshot_test

import (
	"fmt"
	"testing"
)

// Ristretto learns of enough hits in front of it to keep what is asked for often. With the race
// detector it does not: that has a sync.Pool, in which ristretto gathers hits, lose many.
func TestWhatIsAskedForOftenStaysCached(t *testing.T) {
	o := options(t.TempDir())
	o.CacheBytes = 16 << 10
	s := open(t, o)
	replace(t, s, bulky())
	often := caller(t, user("f000"))
	misses := 0
	for i := range 1000 {
		for range 40 {
			if _, ok := s.CachedView(often); !ok {
				held(t, s, often)
				misses++
			}
		}
		for j := range 10 {
			held(t, s, caller(t, user(fmt.Sprintf("f%03d", 1+(10*i+j)%119))))
		}
		s.WaitCache()
	}
	if misses > 100 {
		t.Errorf("of 40000 times that it was asked for it was not there %d times, want a few", misses)
	}
}
