//go:build race

package explain_test

// cases is how many random refusals are mended.
const cases = 1_500
