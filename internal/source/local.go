package source

import (
	"context"
	"time"

	"github.com/pathgrant/pathgrant/internal/snapshot"
)

// Local is the source where the store itself is the record: nothing is delivered, what is
// held is always the newest, and whoever changes it does so through [snapshot.Store.Update].
// It is safe for concurrent use.
type Local struct {
	store interface{ Current() *snapshot.Snapshot }
	now   func() time.Time
	since time.Time
}

// NewLocal returns the source of a store that is its own record.
func NewLocal(store interface{ Current() *snapshot.Snapshot }) *Local {
	return &Local{store: store, now: time.Now, since: time.Now()}
}

// Run waits until the context ends, and returns nil.
func (l *Local) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// State is always healthy, and its proof is always of now, for there is nothing that could
// be newer: whether there is anything to decide from, the store says. What was applied last
// is the last change, whichever process made it.
func (l *Local) State() State {
	state := State{Name: "local", Healthy: true, Since: l.since, LastProof: l.now()}
	if held := l.store.Current(); held != nil {
		state.LastApplied, state.Revision = held.Written(), held.Revision()
	}
	return state
}
