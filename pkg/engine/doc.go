// Package engine decides in the process that asks, without any server: an [Engine] opens a
// data directory that pathgrant import or a server has written, reads it and never writes
// it.
//
// The decision is the server's own, on the same way: map the request by the catalogue, look
// up what the subject was given, decide. What a server adds is left out: an engine verifies
// no credentials (whoever asks says who is asking, and vouches for it), keeps no decision
// log, and does not follow its source. [Engine.Reopen] takes up a newer state.
//
// # Cost
//
// [Open] reads and verifies the whole directory, which takes time in proportion to its
// size; the data stays on disk, and memory holds roles, scopes and the views of the subjects
// last asked about, up to [Options.CacheBytes]. A question about a subject whose view is in
// memory costs a few microseconds, one about any other some reads from the file besides.
//
// # Concurrency
//
// An Engine is safe for concurrent use. Questions do not wait for each other, nor for
// Reopen: each is answered from exactly one revision, and says which.
package engine
