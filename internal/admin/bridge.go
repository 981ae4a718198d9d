package admin

import (
	"context"
	"fmt"
	"iter"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// FromSnapshot makes a snapshot store one that can be administered.
func FromSnapshot(s *snapshot.Store) Store { return snapshotStore{s} }

type snapshotStore struct{ s *snapshot.Store }

func (b snapshotStore) Update(ctx context.Context, change snapshot.Change, edit func(Edit) error) (authz.Revision, error) {
	return b.s.Update(ctx, change, func(e *snapshot.Edit) error { return edit(snapshotEdit{snapshotReader{&e.Reader}, e}) })
}

func (b snapshotStore) Read(ctx context.Context, read func(Reader) error) error {
	return b.s.Read(ctx, func(r *snapshot.Reader) error { return read(snapshotReader{r}) })
}

func (b snapshotStore) Replace(ctx context.Context, d *snapshot.Data, change snapshot.Change, record func(Edit) error) (authz.Revision, error) {
	change.Record = func(e *snapshot.Edit) error { return record(snapshotEdit{snapshotReader{&e.Reader}, e}) }
	return b.s.Replace(ctx, d, change)
}

func (b snapshotStore) Export(ctx context.Context) (*snapshot.Data, authz.Revision, error) {
	return b.s.ExportAt(ctx)
}

// A snapshotReader gives what [snapshot.Reader] reads the form that administration reads.
type snapshotReader struct{ *snapshot.Reader }

func (r snapshotReader) Environment(tenant, id string) (snapshot.Environment, string, bool, error) {
	return r.EnvironmentOf(tenant, id)
}

func (r snapshotReader) Environments(tenant string) iter.Seq2[Environment, error] {
	return func(yield func(Environment, error) bool) {
		for e, err := range r.Reader.Environments(tenant) {
			if !yield(Environment{ID: e.ID, Dataverse: e.Dataverse, Group: e.Group}, err) {
				return
			}
		}
	}
}

func (r snapshotReader) EnvironmentGroups(tenant string) ([]string, error) {
	return gather(r.Reader.EnvironmentGroups(tenant))
}

func (r snapshotReader) BusinessUnits(tenant string) ([]authz.BusinessUnit, error) {
	return gather(r.Reader.BusinessUnits(tenant))
}

func gather[T any](items iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

func (r snapshotReader) Notes(bucket, prefix string) iter.Seq2[Note, error] {
	return func(yield func(Note, error) bool) {
		for n, err := range r.Reader.Notes(bucket, prefix) {
			if !yield(Note(n), err) {
				return
			}
		}
	}
}

type snapshotEdit struct {
	snapshotReader
	e *snapshot.Edit
}

func (b snapshotEdit) Next() authz.Revision { return b.e.Next() }
func (b snapshotEdit) BaseSum() [32]byte    { return b.e.Base().DataSum() }

func (b snapshotEdit) PutTenant(id string, directoryComplete bool) error {
	return b.e.PutTenant(id, directoryComplete)
}

func (b snapshotEdit) PutRoleAssignment(tenant string, a snapshot.RoleAssignment) error {
	return b.e.PutRoleAssignment(tenant, a)
}

// removed turns the absence of what was to be removed, and had been read before, into an
// error.
func removed(what string) func(bool, error) error {
	return func(there bool, err error) error {
		if err == nil && !there {
			err = fmt.Errorf("the %s that is to be removed does not exist", what)
		}
		return err
	}
}

func (b snapshotEdit) RemoveRoleAssignment(tenant, id string) error {
	return removed("role assignment")(b.e.RemoveRoleAssignment(tenant, id))
}

func (b snapshotEdit) PutRoleDefinition(tenant string, def authz.RoleDefinition) error {
	return b.e.PutRoleDefinition(tenant, def)
}

func (b snapshotEdit) RemoveRoleDefinition(tenant, id string) error {
	return removed("role definition")(b.e.RemoveRoleDefinition(tenant, id))
}

func (b snapshotEdit) PutEnvironment(tenant string, e snapshot.Environment, group string) error {
	return b.e.PutEnvironment(tenant, e, group)
}

func (b snapshotEdit) RemoveEnvironment(tenant, id string) error {
	return removed("environment")(b.e.RemoveEnvironment(tenant, id))
}

func (b snapshotEdit) PutEnvironmentGroup(tenant, id string) error {
	return b.e.PutEnvironmentGroup(tenant, id)
}

func (b snapshotEdit) RemoveEnvironmentGroup(tenant, id string) error {
	return removed("environment group")(b.e.RemoveEnvironmentGroup(tenant, id))
}

func (b snapshotEdit) PutBusinessUnit(tenant string, u authz.BusinessUnit) error {
	return b.e.PutBusinessUnit(tenant, u)
}

func (b snapshotEdit) RemoveBusinessUnit(tenant, environment, id string) error {
	return removed("business unit")(b.e.RemoveBusinessUnit(tenant, environment, id))
}

func (b snapshotEdit) PutPrincipal(tenant string, p snapshot.Principal) error {
	return b.e.PutPrincipal(tenant, p)
}

func (b snapshotEdit) RemovePrincipal(tenant string, p authz.Principal) error {
	return removed("principal")(b.e.RemovePrincipal(tenant, p))
}

func (b snapshotEdit) PutGroup(tenant string, g snapshot.Group) error {
	return b.e.PutGroup(tenant, g)
}

func (b snapshotEdit) RemoveGroup(tenant, id string) error {
	return removed("group")(b.e.RemoveGroup(tenant, id))
}

func (b snapshotEdit) PutTable(tenant string, x snapshot.Table) error { return b.e.PutTable(tenant, x) }

func (b snapshotEdit) PutEnvironmentUser(tenant string, x snapshot.EnvironmentUser) error {
	return b.e.PutEnvironmentUser(tenant, x)
}

func (b snapshotEdit) PutTeam(tenant string, x snapshot.Team) error { return b.e.PutTeam(tenant, x) }

func (b snapshotEdit) PutColumnProfile(tenant string, x snapshot.ColumnProfile) error {
	return b.e.PutColumnProfile(tenant, x)
}

func (b snapshotEdit) PutShare(tenant string, x snapshot.Share) error { return b.e.PutShare(tenant, x) }

func (b snapshotEdit) PutApp(tenant string, x snapshot.App) error { return b.e.PutApp(tenant, x) }

func (b snapshotEdit) PutFlow(tenant string, x snapshot.Flow) error { return b.e.PutFlow(tenant, x) }

func (b snapshotEdit) RemoveTable(tenant, environment, name string) error {
	return removed("table")(b.e.RemoveTable(tenant, environment, name))
}

func (b snapshotEdit) RemoveEnvironmentUser(tenant, environment string, p authz.Principal) error {
	return removed("user")(b.e.RemoveEnvironmentUser(tenant, environment, p))
}

func (b snapshotEdit) RemoveTeam(tenant, id string) error {
	return removed("team")(b.e.RemoveTeam(tenant, id))
}

func (b snapshotEdit) RemoveColumnProfile(tenant, environment, id string) error {
	return removed("column profile")(b.e.RemoveColumnProfile(tenant, environment, id))
}

func (b snapshotEdit) RemoveShare(tenant string, x snapshot.Share) error {
	return removed("share")(b.e.RemoveShare(tenant, x))
}

func (b snapshotEdit) RemoveApp(tenant, environment, id string) error {
	return removed("app")(b.e.RemoveApp(tenant, environment, id))
}

func (b snapshotEdit) RemoveFlow(tenant, environment, id string) error {
	return removed("flow")(b.e.RemoveFlow(tenant, environment, id))
}

func (b snapshotEdit) AppendLog(record []byte) (uint64, error) { return b.e.AppendLog(record) }

func (b snapshotEdit) PutNote(bucket, key string, value []byte) error {
	return b.e.PutNote(bucket, key, value)
}
