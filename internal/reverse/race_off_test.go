//go:build !race

package reverse_test

// worlds is the number of random worlds that each question is asked in.
const worlds = 2000
