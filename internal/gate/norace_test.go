//go:build !race

package gate_test

// How many worlds are compared for each of two caches, and with how many questions each:
// 200,000 decisions in all.
const oracleWorlds, oracleQuestions = 200, 500

// How many environments are compared, and with how many questions about records and about
// flows and apps each: another 200,000.
const dataverseWorlds, recordQuestions, compositeQuestions = 250, 500, 300
