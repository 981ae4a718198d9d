package snapshot

import (
	"context"
	"errors"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// OpenLimits is Open with other limits for when a file is verified at once and when a
// change is written to a new file.
func OpenLimits(ctx context.Context, o Options, verifyAtOnce, rebuildAbove uint64) (*Store, error) {
	return open(ctx, o, verifyAtOnce, rebuildAbove)
}

// HeldSum is the hash of all records that the store holds, kept up to date by changes.
func (s *Store) HeldSum() [4]uint64 { return s.current.Load().state.contents.sum() }

// SumOf is the hash of all records of the data, worked out anew.
func SumOf(d *Data) ([4]uint64, error) {
	c, err := canonicalize(d)
	if err != nil {
		return digest{}, err
	}
	all, err := c.contents()
	return all.sum(), err
}

// FileName is the name of the file that is served from.
func (s *Store) FileName() string { return s.current.Load().file.name }

// SetShadowEvery sets how often a hit is compared with the file.
func (s *Store) SetShadowEvery(n uint64) { s.cache.every = n }

// PoisonCache changes what the cache holds for a subject behind the store's back.
func (s *Store) PoisonCache(ctx context.Context, subject *authz.Subject, grants *authz.Grants) error {
	found, err := s.View(ctx, subject)
	if err != nil {
		return err
	}
	s.cache.ristretto.Wait() // of two Sets of a new key the first one wins
	bad := &View{Grants: grants, key: found.View.key, hash: found.View.hash, stamp: found.View.stamp, slots: found.View.slots}
	s.cache.ristretto.Set(found.View.hash, bad, viewCost)
	s.cache.ristretto.Wait()
	return nil
}

const (
	// ViewCost is what a view that holds nothing costs.
	ViewCost = viewCost
	// CountEvery is how many hits one is drawn from.
	CountEvery = countEvery
)

// Counted draws whether ristretto is told of a hit.
var Counted = counted

// InFront counts the views that are found without asking ristretto, and those among them that
// it let go of.
func (s *Store) InFront() (views, gone int) {
	for i := range s.cache.front {
		if v := s.cache.front[i].Load(); v != nil {
			views++
			if v.gone.Load() {
				gone++
			}
		}
	}
	return views, gone
}

// WaitCache waits until the cache has taken in all that it was given.
func (s *Store) WaitCache() { s.cache.ristretto.Wait() }

// Verified waits until nothing is being verified in the background.
func (s *Store) Verified() { <-s.verifying }

// FailWrites makes the file that is served from one that may not be written any more.
func (s *Store) FailWrites() { s.current.Load().file.finished.Store(true) }

// PublishDoubtful publishes what is held as if its commit had not ended as it should.
func (s *Store) PublishDoubtful(why error) error {
	held := s.current.Load()
	next := *held
	return s.publishDoubtful(&next, why)
}

// Records of every kind, read and written, for the fuzz test of the codec.
const Sections = sectionCount

// Recode reads a payload of a section and writes what it read; ok says that it could be
// read.
func Recode(sec int, payload string) (again string, ok bool) {
	if payload != "" && payload[0] == wideForm {
		return "", false // of a layout that is read and no longer written
	}
	var b []byte
	var err error
	switch section(sec) {
	case tenantSection:
		var v bool
		v, err = readTenant(payload)
		b = appendTenant(nil, v)
	case environmentGroupSection, scopeSection, ownedSection:
		err = readEmpty(section(sec), payload)
		b = appendEmpty(nil)
	case environmentSection:
		var v environmentRecord
		v, err = readEnvironment("e", payload)
		b = appendEnvironment(nil, v)
	case businessUnitSection:
		var v string
		v, err = readBusinessUnit(payload)
		b = appendBusinessUnit(nil, v)
	case roleDefinitionSection:
		var v authz.RoleDefinition
		v, err = readRoleDefinition("r", payload)
		b = appendRoleDefinition(nil, &v)
	case principalSection:
		var v Principal
		v, err = readPrincipalRecord(authz.Principal{}, payload)
		b = appendPrincipalRecord(nil, &v)
	case groupSection:
		var v Group
		v, err = readGroup("g", payload)
		b = appendGroup(nil, &v)
	case roleAssignmentSection, groupDenialSection:
		var v RoleAssignment
		v, err = readRoleAssignment(section(sec), "a", payload)
		b = appendRoleAssignment(nil, &v)
	case grantsSection:
		var v grantsRecord
		v, err = readGrants(payload)
		b = appendGrants(nil, &v)
	case roleUseSection:
		var v uint64
		v, err = readRoleUse(payload)
		b = appendCount(nil, v)
	case logSection, noteSection:
		var v []byte
		v, err = readOpaque(section(sec), payload)
		b = appendOpaque(nil, v)
	case tableSection:
		var v authz.Table
		v, err = readTable(payload)
		b = appendTable(nil, &v)
	case environmentUserSection:
		var v EnvironmentUser
		v, err = readEnvironmentUser("e", authz.Principal{Type: authz.User, ID: "u"}, payload)
		b = appendEnvironmentUser(nil, &v)
	case teamSection:
		var v Team
		v, err = readTeam("t", payload)
		b = appendTeam(nil, &v)
	case columnProfileSection:
		var v ColumnProfile
		v, err = readColumnProfile("e", "p", payload)
		b = appendColumnProfile(nil, &v)
	case shareSection:
		var v Share
		v, err = readShare("e", "account", "r", "u", false, payload)
		b = appendShare(nil, &v)
	case appSection:
		var v App
		v, err = readApp("e", "a", payload)
		b = appendApp(nil, &v)
	case flowSection:
		var v Flow
		v, err = readFlow("e", "f", payload)
		b = appendFlow(nil, &v)
	case environmentTeamSection:
		var v placedTeam
		v, err = readPlacedTeam("e", "t", payload)
		b = appendPlacedTeam(nil, v)
	case profiledSection:
		var v []ColumnRight
		v, err = readColumns(payload)
		b = appendColumns(nil, v)
	case sharedTableSection:
		var v uint64
		v, err = readCount(sharedTableSection, payload)
		b = appendCount(nil, v)
	default:
		return "", false
	}
	return string(b), err == nil
}

// PayloadsOf returns the payloads of all records of the data, by section.
func PayloadsOf(d *Data) (map[int][]string, error) {
	c, err := canonicalize(d)
	if err != nil {
		return nil, err
	}
	all := map[int][]string{}
	for _, sec := range dataSections {
		err := c.each(sec, func(_, payload []byte) error {
			all[int(sec)] = append(all[int(sec)], string(payload))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// GrantsKey is the key under which what a principal holds is stored.
func GrantsKey(tenant string, p authz.Principal) string { return string(grantsKey(nil, tenant, p)) }

// A Stamp is a stamp, for the model test.
type Stamp struct{ Generation, Tenant, Revision uint64 }

// Usable is the function by which the store decides whether a cached view may be used.
func (v Stamp) Usable(p Stamp, proven uint64, slots []uint16, slot func(uint16) uint64) bool {
	return stamp{v.Generation, v.Tenant, v.Revision}.usable(stamp{p.Generation, p.Tenant, p.Revision}, proven, slots, slot)
}

// Dir is the data directory.
func (s *Store) Dir() string { return s.dir.path }

// RaiseSchema makes a file look as if a newer release had written it.
func RaiseSchema(path string) error {
	f, err := openFile(context.Background(), path, "snapshot-1.db", false)
	if err != nil {
		return err
	}
	err = f.update(func(tx *bolt.Tx) error {
		st, err := stateOf(tx)
		if err != nil {
			return err
		}
		st.schema++
		return putState(tx, &st)
	})
	return errors.Join(err, f.close())
}

// SetBloatedAbove sets the size above which a file that is mostly free is written anew.
func (s *Store) SetBloatedAbove(size int64) { s.bloatedAbove = size }

// HeldDataSum is the hash of all records that are delivered or derived, kept up to date by
// changes: all but the change log and the notes.
func (s *Store) HeldDataSum() [4]uint64 {
	var d digest
	for _, sec := range dataSections {
		d.add(s.current.Load().state.contents.sums[sec])
	}
	return d
}

// Written counts the records that an edit has written, derived ones included.
func (e *Edit) Written() uint64 { return e.writer.written }

// SpoilLog changes a record of the change log behind the back of a store that is closed.
func SpoilLog(path string, n uint64) error {
	f, err := openFile(context.Background(), path, "snapshot", false)
	if err != nil {
		return err
	}
	err = f.update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(sectionBuckets[logSection])
		value := append([]byte(nil), bucket.Get(logKey(n))...)
		value[1] ^= 1
		return bucket.Put(logKey(n), value)
	})
	return errors.Join(err, f.close())
}

// Damage sets aside the file that is served from, as if a record of it did not fit.
func (s *Store) Damage() {
	s.damage(s.current.Load().file, corruptf("for a test"))
}

// PoisonDatabase makes memory say that no record of the environment is shared with everyone.
func (s *Store) PoisonDatabase(tenant, environment string) {
	databases := s.current.Load().tenants[tenant].databases
	poisoned := databases[environment].declaring(databases[environment].tables)
	poisoned.shared = nil
	databases[environment] = poisoned
}
