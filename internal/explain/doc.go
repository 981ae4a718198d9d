// Package explain says why somebody may or may not do something, and what would mend a
// refusal.
//
// The decision it explains is the gate's own, taken once more from what one transaction
// reads: no cache has a part in it. What stands beside the decision (who belongs to what,
// what each assignment said, what could be assigned) is read in the same transaction. Where
// the cached answer at that revision is another, it raises an alarm.
//
// An assignment that whoever asks may not read is left out and counted. A mend is proposed
// only where the decision, taken again with it, allows.
package explain
