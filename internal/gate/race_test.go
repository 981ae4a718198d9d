//go:build race

package gate_test

// Under the race detector everything is some ten times slower, so less is compared; make
// test runs the whole comparison without it.
const oracleWorlds, oracleQuestions = 40, 100

const dataverseWorlds, recordQuestions, compositeQuestions = 40, 100, 100
