package ops

import "runtime"

// leastAtOnce is how many goroutines are to run at once, at least. The one that waits for
// connections (package h2) has its place also while it waits. Were that the only one, the
// runtime's monitor would have to take it away for every other goroutine, for which it looks
// every 20 µs.
const leastAtOnce = 2

// RunTwoAtOnce makes the Go runtime run two goroutines at once where it would run one, which is
// on a machine with one processor; it returns whether it did.
func RunTwoAtOnce() bool { return runTwoAtOnce(runtime.GOMAXPROCS) }

func runTwoAtOnce(procs func(int) int) bool {
	if procs(0) >= leastAtOnce {
		return false // and the runtime goes on to follow the container's limit
	}
	procs(leastAtOnce)
	return true
}
