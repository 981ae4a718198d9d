package rpc_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// A tenth of what the soak test does.
func TestNoCheckIsAnsweredFromBeforeAnAnnouncedChange(t *testing.T) {
	checksDuringChanges(t, 100_000, 100)
}

// checksDuringChanges gives a role and takes it away again and again through administration
// while others ask whether it is held. Each answer must be of no revision older than one
// that was announced before it was asked for, and must be what that revision says.
func checksDuringChanges(t *testing.T, checks, changes int) {
	o := newOffice(t)
	made := o.assign(t, "ada")
	first := made.GetRevision() // at this revision it is held, at the next one not
	var announced, asked atomic.Uint64
	announced.Store(first.GetNumber())
	question := direct("ada", "PowerApps.Apps.Read", "/tenants/t1/environments/e1")
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				known := announced.Load()
				response, err := o.direct.Check(t.Context(), &pathgrantv1.CheckRequest{Question: question})
				if err != nil {
					t.Error(err)
					return
				}
				d := response.GetDecision()
				held := (d.GetRevision().GetNumber()-first.GetNumber())%2 == 0
				switch {
				case d.GetRevision().GetEpoch() != first.GetEpoch() || d.GetRevision().GetNumber() < known:
					t.Errorf("an answer of revision %v after %d was announced", d.GetRevision(), known)
					return
				case (d.GetEffect() == pathgrantv1.Effect_EFFECT_ALLOW) != held:
					t.Errorf("%v at revision %v", d.GetReason(), d.GetRevision())
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := range changes {
		for asked.Load() < uint64(i*checks/changes) && !t.Failed() {
			runtime.Gosched()
		}
		if i%2 == 0 {
			announced.Store(o.unassign(t, made.GetRoleAssignment().GetId()).GetNumber())
			continue
		}
		made = o.assign(t, "ada")
		announced.Store(made.GetRevision().GetNumber())
	}
	for asked.Load() < uint64(checks) && !t.Failed() {
		runtime.Gosched()
	}
	close(stop)
	readers.Wait()
	if got := announced.Load() - first.GetNumber(); got != uint64(changes) {
		t.Errorf("%d changes were made, want %d", got, changes)
	}
}
