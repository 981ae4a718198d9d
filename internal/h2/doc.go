// Package h2 serves HTTP/2 connections (RFC 9113) of which nearly all requests are short
// gRPC calls that can be answered from memory.
//
// Such calls, of the methods given as [Unary], are answered by the goroutine that reads
// the connection: no goroutine, no lock that is waited for, and no memory allocated for a
// call; what one read brought is answered by one write. A call that has to wait gets a
// goroutine of its own, and every other request goes to an [http.Handler].
//
// In doubt it refuses: a connection that breaks the protocol is ended with the error that
// the RFC names for it, and whatever a client may make the server keep, queue or work out
// is bounded.
package h2
