package ops

import "testing"

func TestTwoGoroutinesRunAtOnceAtLeast(t *testing.T) {
	for has, want := range map[int]int{1: 2, 2: 0, 16: 0} {
		told := 0
		did := runTwoAtOnce(func(n int) int {
			told = n
			return has
		})
		if told != want || did != (want != 0) {
			t.Errorf("of %d: told %d, said %v; want %d", has, told, did, want)
		}
	}
}
