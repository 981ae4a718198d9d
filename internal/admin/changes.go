package admin

import (
	"context"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Changes returns what was changed in a tenant after a revision, in order, none left out.
// It needs Authorization.RoleAssignments.Read everywhere in the tenant. [Compacted] says
// that the revision is of another epoch, is not known yet, or was followed by one of which
// nothing is recorded: read the whole, and ask after its revision.
func (a *Admin) Changes(ctx context.Context, c Caller, q ChangesRequest) (Changes, error) {
	var found Changes
	err := a.question(ctx, c, "Changes", q.Tenant, func(k *asker) error {
		if err := k.needEverywhere(a.read); err != nil {
			return err
		}
		if err := k.needTenant(); err != nil {
			return err
		}
		limit := q.Limit
		if limit == 0 {
			limit = defaultPage
		}
		if limit < 1 || limit > maxPage {
			return failf(Invalid, "Limit", "", "want 1 to %d", maxPage)
		}
		var err error
		found, err = k.changes(q.After, limit)
		return err
	})
	if err != nil {
		return Changes{}, err
	}
	return found, nil
}

var errCompacted = fail(Compacted, "After", "what was changed since that revision is not known", "read the whole, and ask after its revision")

func (k *asker) changes(after authz.Revision, limit int) (Changes, error) {
	current := k.r.Revision()
	found := Changes{Through: after}
	switch {
	case after.Epoch != current.Epoch || after.Number > current.Number:
		return found, errCompacted
	case after == current:
		return found, nil
	}
	last, _, err := k.r.LastLog()
	if err != nil {
		return found, err
	}
	from, err := k.firstAfter(after, last)
	if err != nil {
		return found, err
	}
	for n := from; n <= last; n++ {
		record, ok, err := k.r.Log(n)
		if err != nil {
			return found, err
		}
		if !ok {
			return found, errCompacted
		}
		_, e, err := readEntry(n, record)
		if err != nil {
			return found, err
		}
		if len(found.Revisions) == limit {
			found.More = true
			return found, nil
		}
		// Each revision has one entry; one that has none was made past administration.
		if e.Revision.Epoch != current.Epoch || e.Revision.Number != found.Through.Number+1 {
			return found, errCompacted
		}
		found.Through = e.Revision
		if e.Tenant != "" && e.Tenant != k.tenant {
			continue
		}
		change := RevisionChange{Revision: e.Revision, Action: e.Action, Whole: e.Whole}
		for _, item := range e.Changes {
			change.Items = append(change.Items, ChangedItem{item.Target, item.Before, item.After})
		}
		found.Revisions = append(found.Revisions, change)
	}
	if found.Through != current {
		return found, errCompacted
	}
	return found, nil
}

// firstAfter finds the number of the first entry of a later revision, by halving.
func (k *asker) firstAfter(after authz.Revision, last uint64) (uint64, error) {
	low, high := uint64(1), last+1
	for low < high {
		middle := low + (high-low)/2
		record, ok, err := k.r.Log(middle)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, errCompacted
		}
		_, e, err := readEntry(middle, record)
		if err != nil {
			return 0, err
		}
		if e.Revision.Compare(after) > 0 {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, nil
}

// Audit returns entries of the change audit, oldest first: of the caller's tenant, where it
// holds Authorization.RoleAssignments.Read everywhere; for an operator all, or those of the
// tenant that is named.
func (a *Admin) Audit(ctx context.Context, c Caller, q AuditRequest) (AuditPage, error) {
	var page AuditPage
	err := a.question(ctx, c, "Audit", q.Tenant, func(k *asker) error {
		if err := k.needEverywhere(a.read); err != nil {
			return err
		}
		size := q.Size
		if size == 0 {
			size = defaultPage
		}
		if size < 1 || size > maxPage {
			return failf(Invalid, "Size", "", "want 1 to %d", maxPage)
		}
		page = AuditPage{}
		for n := q.After + 1; n != 0; n++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			record, ok, err := k.r.Log(n)
			if err != nil || !ok {
				return err
			}
			shown, e, err := readEntry(n, record)
			if err != nil {
				return err
			}
			if k.tenant != "" && e.Tenant != k.tenant {
				continue
			}
			if len(page.Entries) == size {
				page.More = true
				return nil
			}
			page.Entries = append(page.Entries, shown)
		}
		return nil
	})
	if err != nil {
		return AuditPage{}, err
	}
	return page, nil
}
