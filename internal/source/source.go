// Package source delivers the data that decisions are taken from into the store: from a
// bundle file that is watched ([File]), or not at all, where the store itself is the
// record ([Local]).
//
// A source applies a whole bundle or nothing of it. While it cannot, what was applied
// last stays in force, and [State] says since when and why, with file and line.
package source

import (
	"time"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// State says how a source fares. The zero State is unhealthy.
type State struct {
	// Name is the kind of source: "file" or "local".
	Name string
	// Healthy says that what is applied is what the source holds.
	Healthy bool
	// Err says what is wrong, one problem a line; empty if the source is healthy.
	Err string
	// Since is when Healthy or Err last changed.
	Since time.Time
	// LastProof is the beginning of the last read that proved that what is applied is
	// the newest; zero: none did.
	LastProof time.Time
	// LastApplied is when something was last applied and Revision what that became;
	// both are zero before the first time.
	LastApplied time.Time
	Revision    authz.Revision
	// Errors counts what went wrong: each problem once, however long it lasted.
	Errors uint64
}
