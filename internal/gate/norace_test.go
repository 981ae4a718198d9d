//go:build !race

package gate_test

// oracleWorlds is how many worlds are compared for each cache: 200,000 decisions in all.
const oracleWorlds = 200
