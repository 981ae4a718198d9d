package admin_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Many callers at once: every change has one revision and one entry, in order, and a
// revocation is in force for the next change of whoever it is about.
func TestConcurrentCallersAreTakenOneAfterTheOther(t *testing.T) {
	const callers, each = 6, 8
	w := newWorld(t, company)
	for i := range callers {
		_, err := w.assign(w.as("root"), user(fmt.Sprintf("c%d", i)), administrator, envE1)
		want(t, "an administrator", err, nil)
	}
	start := w.revision()
	var all sync.WaitGroup
	var mu sync.Mutex
	revisions := map[authz.Revision]bool{}
	made, refused := 0, 0
	for i := range callers {
		c := w.as(fmt.Sprintf("c%d", i))
		all.Go(func() {
			for j := range each {
				r, err := w.assign(c, user(fmt.Sprintf("x%d-%d", i, j)), reader, envE1)
				mu.Lock()
				switch {
				case err == nil && revisions[r.Revision]:
					t.Errorf("two changes have the revision %v", r.Revision)
				case err == nil:
					revisions[r.Revision] = true
					made++
				case admin.KindOf(err) == admin.Forbidden:
					refused++
				default:
					t.Errorf("assign: %v", err)
				}
				mu.Unlock()
			}
		})
		all.Go(func() {
			for range each {
				if _, err := w.RoleAssignments(ctx(), w.as("root"), admin.RoleAssignmentsRequest{Scope: envE1}); err != nil {
					t.Errorf("list: %v", err)
				}
				if v, err := w.AuditVerify(ctx(), operator); err != nil || !v.Intact {
					t.Errorf("verify: %+v, %v", v, err)
				}
			}
		})
	}
	all.Go(func() { // c0 is revoked meanwhile
		if _, err := w.unassign(w.as("root"), w.find(user("c0"), envE1)); err != nil {
			t.Errorf("revoke: %v", err)
			return
		}
		if _, err := w.assign(w.as("c0"), user("late"), reader, envE1); admin.KindOf(err) != admin.Forbidden || err == nil {
			t.Errorf("c0 assigned a role after it was revoked: %v", err)
		}
	})
	all.Wait()
	if made+refused != callers*each || made < (callers-1)*each {
		t.Errorf("%d made, %d refused", made, refused)
	}
	if got, want := w.revision().Number-start.Number, uint64(made+1); got != want {
		t.Errorf("%d revisions, want %d", got, want)
	}
	n, err := verifyExport(export(t, w))
	if err != nil || n != callers+made+1 {
		t.Errorf("the audit has %d entries, %v; want %d", n, err, callers+made+1)
	}
	changes, err := w.Changes(ctx(), w.as("root"), admin.ChangesRequest{After: start, Limit: 1000})
	want(t, "changes", err, nil)
	for i, c := range changes.Revisions {
		if c.Revision.Number != start.Number+uint64(i)+1 {
			t.Errorf("change %d is of revision %v", i, c.Revision)
		}
	}
}
