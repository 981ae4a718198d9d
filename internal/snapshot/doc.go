// Package snapshot keeps what decisions are taken from: on disk in bbolt, so that a
// process that starts alone can decide; in memory, so that a decision touches no disk.
//
// A [Store] is opened on a directory. [Store.Replace] gives it the whole of the data and
// works out the difference; [Store.Update] changes something of it, with reads and checks
// in between. Either is one transaction: one [authz.Revision]. A change log and notes lie
// beside the data and change in the same transactions.
// A decision asks [Store.View] for what one subject holds, and gets it together with the
// [Snapshot] at whose revision it was read: a decision never mixes two revisions, and is
// never taken on one older than the last that was published.
//
// What an environment with a database declares is worked out when it is first asked for and
// belongs to its snapshot: [Reader.Database], [Reader.SecurityRole], [Reader.RecordSubject].
//
// The file is not believed. Every record carries a checksum that is compared on every
// read, every revision carries counts and a hash over all records, a CURRENT file keeps
// the high-water mark, and the structure of the file is walked before bbolt may open it.
// What does not fit is set aside in quarantine/, and until the data has been delivered
// again there is no snapshot: [ErrNotReady], never an empty policy, never an older one.
//
// The cache of views in memory is a hint. Whether a cached view may be used is decided
// on every hit by one pure function over what the view was read from and what was
// published since; what the cache drops, delays or brings back cannot change a decision.
package snapshot
