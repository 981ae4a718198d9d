// Package pgtest runs what Pathgrant stands between, for tests and for the demo: a real
// Envoy, a running Pathgrant, an upstream that tells what reached it, and an issuer of
// tokens. Nothing in it is a mock; everything it starts, it stops.
package pgtest
