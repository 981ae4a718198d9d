//go:build race

package reverse_test

// Under the race detector everything is some ten times slower, so less is compared; make
// test runs the whole comparison without it.
const worlds = 100
