// Package server listens for callers and serves the gRPC services: addresses and unix
// sockets, TLS with certificates reloaded from disk, limits, health, and an orderly end.
//
// In doubt it refuses: an address it cannot read, a path that is no socket, a socket that
// somebody answers on, a certificate that does not load are errors at the start, and
// health is NOT_SERVING until [Server.SetReadiness] says otherwise.
package server
