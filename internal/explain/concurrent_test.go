package explain_test

import (
	"context"
	"sync"
	"testing"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// While assignments come and go, every explanation is of one revision, and none of them takes
// a change for a fault of the cache.
func TestChangesMeanwhileAreNoAlarm(t *testing.T) {
	w := newWorld(t, nil)
	w.apply(policy)
	ctx, stop := context.WithCancel(t.Context())
	var changing sync.WaitGroup
	changing.Go(func() {
		defer stop()
		for i := range 60 {
			_, err := w.store.Update(t.Context(), snapshot.Change{Source: "test"}, func(e *snapshot.Edit) error {
				if i%2 == 1 {
					_, err := e.RemoveRoleAssignment("t1", "comes-and-goes")
					return err
				}
				return e.PutRoleAssignment("t1", snapshot.RoleAssignment{
					ID: "comes-and-goes", Principal: principal(authz.User, "kim"), RoleDefinitionID: "makes", Scope: "/tenants/t1", Effect: authz.AssignAllow,
				})
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	r := http(t, "kim", "POST", "/powerapps/environments/e3/apps")
	allowed, refused := 0, 0
	for ctx.Err() == nil {
		e := w.explain(r)
		gives := len(e.Pairs) == 1 && len(e.Pairs[0].Assignments) > 0 && e.Pairs[0].Assignments[0].ID == "comes-and-goes"
		if e.Answer.Allowed() != gives || e.Answer.Allowed() != (e.Mend == nil) || e.Cached != nil {
			t.Fatalf("%s, the assignment is there: %t, mend %+v, cached %+v", e.Answer.Reason, gives, e.Mend, e.Cached)
		}
		if e.Answer.Allowed() {
			allowed++
		} else {
			refused++
		}
	}
	changing.Wait()
	if s := w.store.Stats(); w.alarms != 0 || s.Alarms != 0 || !s.CacheOn {
		t.Errorf("%d alarms, %d of the store, cache on: %t", w.alarms, s.Alarms, s.CacheOn)
	}
	if allowed == 0 || refused == 0 {
		t.Errorf("%d allowed, %d refused; want some of each", allowed, refused)
	}
}
