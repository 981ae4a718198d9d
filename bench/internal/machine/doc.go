// Package machine keeps the load and the servers of a benchmark on CPUs of their own and
// reads what Linux knows of a process: CPU time, memory.
package machine
