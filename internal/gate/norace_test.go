//go:build !race

package gate_test

// How many worlds are compared for each of two caches, and with how many questions each:
// 200,000 decisions in all.
const oracleWorlds, oracleQuestions = 200, 500
