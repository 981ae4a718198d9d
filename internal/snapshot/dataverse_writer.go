package snapshot

import (
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// deriveTeam notes what follows from a changed team: what its members, or the group whose
// members are its, belong to, and where the team is found.
func (w *recordWriter) deriveTeam(tenant, id string, old, now []byte) error {
	before, after, err := beforeAndAfter(old, now, func(payload string) (Team, error) { return readTeam(id, payload) })
	if err != nil {
		return err
	}
	team := authz.Principal{Type: authz.Team, ID: id}
	w.deriveMembers(tenant, team, before.joined(), after.joined())
	if old != nil && before.placed() != after.placed() {
		if err := w.set(environmentTeamSection, itemKey(nil, tenant, before.Environment, id), nil); err != nil {
			return err
		}
	}
	if now != nil && before.placed() != after.placed() {
		return w.set(environmentTeamSection, itemKey(nil, tenant, after.Environment, id), appendPlacedTeam(nil, after.placed()))
	}
	return nil
}

// deriveProfile notes what follows from a changed column profile: what it gives to whom.
func (w *recordWriter) deriveProfile(tenant, environment, id string, old, now []byte) error {
	before, after, err := beforeAndAfter(old, now, func(payload string) (ColumnProfile, error) { return readColumnProfile(environment, id, payload) })
	if err != nil {
		return err
	}
	gone, come := differing(before.Principals, after.Principals)
	if !slices.Equal(before.Columns, after.Columns) {
		_, come = differing(nil, after.Principals)
	}
	for _, of := range gone {
		if err := w.set(profiledSection, profiledKey(nil, tenant, environment, of, id), nil); err != nil {
			return err
		}
	}
	columns := appendColumns(nil, after.Columns)
	for _, to := range come {
		if err := w.set(profiledSection, profiledKey(nil, tenant, environment, to, id), columns); err != nil {
			return err
		}
	}
	return nil
}

// deriveShare counts a share with everyone; k stands at the environment.
func (w *recordWriter) deriveShare(tenant string, k *keyReader, old, now []byte) {
	environment, table := k.part(), k.part()
	k.part() // the record
	if _, everyone := k.receiver(); !everyone || (old == nil) == (now == nil) {
		return
	}
	by := int64(1)
	if now == nil {
		by = -1
	}
	w.counts[counter{sharedTableSection, string(itemKey(nil, tenant, environment, table))}] += by
}

// databases are those of a tenant, with the ones of which anything differs made anew. The
// error is an [ErrInvalid], or about reading the file.
func (w *recordWriter) databases(id string, d *tenantDraft, view *TenantView) (map[string]*database, error) {
	all := maps.Clone(view.databases)
	if all == nil {
		all = map[string]*database{}
	}
	for _, environment := range slices.Sorted(maps.Keys(d.databases)) {
		database, err := databaseOf(w.tx, w.compiler, id, environment, view.definitions)
		if err != nil {
			return nil, err
		}
		if database == nil {
			delete(all, environment)
			continue
		}
		if err := database.check(); err != nil {
			return nil, fmt.Errorf("environment %q: %w", environment, err)
		}
		all[environment] = database
	}
	return all, nil
}

// databaseOf reads what an environment declares, and takes the tenant's custom roles as they
// are given; nil: there is no such environment, or it has no database.
func databaseOf(tx *bolt.Tx, c *compiler, tenant, environment string, definitions []authz.RoleDefinition) (*database, error) {
	bucket := tx.Bucket(sectionBuckets[environmentSection])
	if bucket == nil {
		return nil, corruptf("the file has no %q", environmentSection)
	}
	key := appendPart(appendPart(nil, tenant), environment)
	value := bucket.Get(key)
	if value == nil {
		return nil, nil
	}
	payload, _, err := unseal(byte(environmentSection), key, value)
	if err != nil {
		return nil, err
	}
	record, err := readEnvironment(environment, string(payload))
	if err != nil || !record.dataverse {
		return nil, err
	}
	d := c.newDatabase(environment)
	within := func(sec section, read func(key *keyReader, payload string) error) error {
		return eachRecord(tx, sec, key, func(at, payload []byte, _ digest) error {
			k := &keyReader{rest: at[len(key):]}
			if err := read(k, string(payload)); err != nil {
				return err
			}
			return k.done(sec)
		})
	}
	if err := within(businessUnitSection, func(key *keyReader, payload string) error {
		unit := authz.BusinessUnit{Environment: environment, ID: key.part()}
		unit.Parent, err = readBusinessUnit(payload)
		d.addUnit(unit)
		return err
	}); err != nil {
		return nil, err
	}
	if err := within(tableSection, func(key *keyReader, payload string) error {
		key.part()
		table, err := readTable(payload)
		d.tables = append(d.tables, table)
		return err
	}); err != nil {
		return nil, err
	}
	if err := within(sharedTableSection, func(key *keyReader, payload string) error {
		d.share(key.part())
		_, err := readCount(sharedTableSection, payload)
		return err
	}); err != nil {
		return nil, err
	}
	for _, def := range definitions {
		if def.Environment == environment {
			d.addRole(def)
		}
	}
	return d, nil
}
