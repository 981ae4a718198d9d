// Package load sends requests over HTTP/2 and measures how a server answers them.
//
// It writes and reads the frames itself, because a complete client costs more than the
// servers that are measured: then it would be the client's limits that show. One [Client]
// is one connection, driven by one goroutine without a lock; a server's CPU time, not its
// client's, is what most figures come from.
//
// Every answer is handed to [Target.Verify], and the first one that is wrong ends the
// load with an error. What the package does not understand in what a server sends is an
// error too.
package load
