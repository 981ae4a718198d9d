package snapshot

import (
	"fmt"
	"iter"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A draftDatabase is what an environment declares within a change.
type draftDatabase struct {
	database *database
	version  uint64 // of the draft
}

// database is what an environment declares; nil: there is no such environment, or it has no
// database.
func (r *Reader) database(tenant, environment string) (*database, error) {
	if err := r.settled(func() error { return nil }); err != nil {
		return nil, err
	}
	version := uint64(0)
	if d := r.draft(tenant); d != nil {
		version = d.databases[environment]
	}
	if version == 0 && !r.anew && !r.store.databasesOff.Load() {
		view := r.held.tenants[tenant]
		if view == nil {
			return nil, nil
		}
		return view.databases[environment], nil
	}
	key := [2]string{tenant, environment}
	if known := r.databases[key]; known != nil && known.version == version {
		return known.database, nil
	}
	drafted := &draftDatabase{version: version}
	err := r.in(func() error {
		definitions, err := roleDefinitionsOf(r.tx, tenant)
		if err == nil {
			drafted.database, err = databaseOf(r.tx, r.store.compiler, tenant, environment, definitions)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if r.databases == nil {
		r.databases = map[[2]string]*draftDatabase{}
	}
	r.databases[key] = drafted
	return drafted.database, nil
}

func invalidIn(tenant, environment string, err error) error {
	return fmt.Errorf("%w: tenant %q: environment %q: %w", ErrInvalid, tenant, environment, err)
}

// Database returns what decisions about records need to know of an environment: its tables,
// the standard ones and those that it declares, with the classes that they have at this
// revision, and its business units; one, by the environment's own identifier, where it lists
// none. It is nil where there is no such environment, or it has no database. As long as
// nothing of it changes it is the same one.
//
// Within a change, the error is an [ErrInvalid] where the declarations do not fit each other
// so far.
func (r *Reader) Database(tenant, environment string) (*authz.Database, error) {
	d, err := r.database(tenant, environment)
	if err != nil || d == nil {
		return nil, err
	}
	db, err := d.get()
	if err != nil {
		return nil, invalidIn(tenant, environment, err)
	}
	return db, nil
}

// SecurityRole returns a security role, custom or shipped, compiled for the environment's
// [Reader.Database]; nil where there is no such role there, or it is no security role.
func (r *Reader) SecurityRole(tenant, environment, roleID string) (*authz.SecurityRole, error) {
	d, err := r.database(tenant, environment)
	if err != nil || d == nil {
		return nil, err
	}
	role, err := d.role(roleID)
	if err != nil {
		return nil, invalidIn(tenant, environment, err)
	}
	return role, nil
}

// BusinessUnitOf resolves the business unit of something of an environment with a database:
// an empty one is the root. ok is false where there is none of that identifier.
func (r *Reader) BusinessUnitOf(tenant, environment, unit string) (id string, ok bool, err error) {
	db, err := r.Database(tenant, environment)
	if err != nil || db == nil {
		return "", false, err
	}
	if unit == "" {
		unit = db.RootBusinessUnit()
	}
	return unit, db.HasBusinessUnit(unit), nil
}

// Table returns a table that the environment declares, by its name without regard to case,
// and whether there is one. Standard tables are found where the environment adds to them.
func (r *Reader) Table(tenant, environment, name string) (Table, bool, error) {
	return one(r, tableSection, tableKey(nil, tenant, environment, name), func(payload string) (Table, error) {
		t, err := readTable(payload)
		return Table{Environment: environment, Table: t}, err
	})
}

// Tables yields the tables that an environment declares, in the order of their keys.
func (r *Reader) Tables(tenant, environment string) iter.Seq2[Table, error] {
	return each(r, tableSection, environmentKey(tenant, environment), func(key *keyReader, payload string) (Table, error) {
		key.part()
		t, err := readTable(payload)
		return Table{Environment: environment, Table: t}, err
	})
}

func environmentKey(tenant, environment string) []byte {
	return appendPart(appendPart(nil, tenant), environment)
}

// EnvironmentUser returns what an environment knows about a user, and whether it was added
// there. A person and a service principal with one object id are one.
func (r *Reader) EnvironmentUser(tenant, environment string, p authz.Principal) (EnvironmentUser, bool, error) {
	return one(r, environmentUserSection, environmentUserKey(nil, tenant, environment, p), func(payload string) (EnvironmentUser, error) {
		return readEnvironmentUser(environment, p, payload)
	})
}

// EnvironmentUsers yields the users of an environment, in the order of their keys.
func (r *Reader) EnvironmentUsers(tenant, environment string) iter.Seq2[EnvironmentUser, error] {
	return each(r, environmentUserSection, environmentKey(tenant, environment), func(key *keyReader, payload string) (EnvironmentUser, error) {
		return readEnvironmentUser(environment, key.principal(), payload)
	})
}

// Team returns the team with the identifier, and whether there is one.
func (r *Reader) Team(tenant, id string) (Team, bool, error) {
	return one(r, teamSection, appendPart(appendPart(nil, tenant), id), func(payload string) (Team, error) {
		return readTeam(id, payload)
	})
}

// Teams yields the teams of an environment, in the order of their keys.
func (r *Reader) Teams(tenant, environment string) iter.Seq2[Team, error] {
	return func(yield func(Team, error) bool) {
		for placed, err := range r.placedTeams(tenant, environment) {
			var t Team
			ok := false
			if err == nil {
				t, ok, err = r.Team(tenant, placed.id)
			}
			if err == nil && !ok {
				err = r.broken(corruptf("an index names a team that does not exist"))
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// placedTeams yields what decisions read of the teams of an environment.
func (r *Reader) placedTeams(tenant, environment string) iter.Seq2[placedTeam, error] {
	return each(r, environmentTeamSection, environmentKey(tenant, environment), func(key *keyReader, payload string) (placedTeam, error) {
		return readPlacedTeam(environment, key.part(), payload)
	})
}

// ColumnProfile returns the column profile of an environment, and whether there is one.
func (r *Reader) ColumnProfile(tenant, environment, id string) (ColumnProfile, bool, error) {
	return one(r, columnProfileSection, itemKey(nil, tenant, environment, id), func(payload string) (ColumnProfile, error) {
		return readColumnProfile(environment, id, payload)
	})
}

// ColumnProfiles yields the column profiles of an environment, in the order of their keys.
func (r *Reader) ColumnProfiles(tenant, environment string) iter.Seq2[ColumnProfile, error] {
	return each(r, columnProfileSection, environmentKey(tenant, environment), func(key *keyReader, payload string) (ColumnProfile, error) {
		return readColumnProfile(environment, key.part(), payload)
	})
}

// SharesOf returns the shares of one record.
func (r *Reader) SharesOf(tenant, environment, table, record string) (all []authz.Share, err error) {
	for s, err := range each(r, shareSection, recordKey(nil, tenant, environment, table, record), func(key *keyReader, payload string) (Share, error) {
		receiver, everyone := key.receiver()
		return readShare(environment, authz.TableKey(table), record, receiver, everyone, payload)
	}) {
		if err != nil {
			return nil, err
		}
		all = append(all, s.Share)
	}
	return all, nil
}

// Share returns the share of a record with a receiver, and whether there is one. Of the share
// that is given, all but the rights counts.
func (r *Reader) Share(tenant string, s Share) (Share, bool, error) {
	return one(r, shareSection, shareKey(nil, tenant, &s), func(payload string) (Share, error) {
		return readShare(s.Environment, authz.TableKey(s.Table), s.Record, s.With.ID, s.WithOrganization, payload)
	})
}

// Shares yields the shares of the records of an environment, table by table.
func (r *Reader) Shares(tenant, environment string) iter.Seq2[Share, error] {
	return each(r, shareSection, environmentKey(tenant, environment), func(key *keyReader, payload string) (Share, error) {
		return readShareOf(environment, key, payload)
	})
}

// App returns the app of an environment, and whether there is one.
func (r *Reader) App(tenant, environment, id string) (App, bool, error) {
	return one(r, appSection, itemKey(nil, tenant, environment, id), func(payload string) (App, error) {
		return readApp(environment, id, payload)
	})
}

// Apps yields the apps of an environment, in the order of their keys.
func (r *Reader) Apps(tenant, environment string) iter.Seq2[App, error] {
	return each(r, appSection, environmentKey(tenant, environment), func(key *keyReader, payload string) (App, error) {
		return readApp(environment, key.part(), payload)
	})
}

// Flow returns the flow of an environment, and whether there is one.
func (r *Reader) Flow(tenant, environment, id string) (Flow, bool, error) {
	return one(r, flowSection, itemKey(nil, tenant, environment, id), func(payload string) (Flow, error) {
		return readFlow(environment, id, payload)
	})
}

// Flows yields the flows of an environment, in the order of their keys.
func (r *Reader) Flows(tenant, environment string) iter.Seq2[Flow, error] {
	return each(r, flowSection, environmentKey(tenant, environment), func(key *keyReader, payload string) (Flow, error) {
		return readFlow(environment, key.part(), payload)
	})
}

// MembersOf returns who is directly a member of a group or a team; of a group team that is
// its group. Nobody is a member of anything else, nor of what is not listed.
func (r *Reader) MembersOf(tenant string, p authz.Principal) ([]authz.Principal, error) {
	switch p.Type {
	case authz.Group:
		g, _, err := r.Group(tenant, p.ID)
		return g.Members, err
	case authz.Team:
		t, ok, err := r.Team(tenant, p.ID)
		if err != nil || !ok {
			return nil, err
		}
		return t.joined(), nil
	default:
		return nil, nil
	}
}

// A Membership is something that a subject belongs to, and by which path.
type Membership struct {
	Principal authz.Principal
	// Via are the groups from the caller on through which it belongs to the principal, the
	// shortest path; empty where it directly does, or its token says so.
	Via []authz.Principal
}

// Memberships returns what a subject belongs to: the groups and directory roles that its
// token names, and all that it or one of those is a member of, the nearest first.
func (r *Reader) Memberships(tenant string, subject *authz.Subject) (all []Membership, err error) {
	err = r.walk(tenant, subject, func(m Membership, _ *grantsRecord) error {
		if m.Principal != subject.Principal().Key() {
			all = append(all, m)
		}
		return nil
	})
	return all, err
}

// walk goes from the caller to all that it belongs to, breadth first, each once, with what
// each holds.
func (r *Reader) walk(tenant string, subject *authz.Subject, visit func(m Membership, g *grantsRecord) error) error {
	if subject.Tenant() != tenant {
		return fmt.Errorf("%w: the subject is of the tenant %q, not of %q", ErrInvalid, subject.Tenant(), tenant)
	}
	caller := subject.Principal().Key()
	queue := []Membership{{Principal: caller}}
	for _, id := range subject.Groups() {
		queue = append(queue, Membership{Principal: authz.Principal{Type: authz.Group, ID: id}})
	}
	for _, id := range subject.DirectoryRoles() {
		queue = append(queue, Membership{Principal: authz.Principal{Type: authz.DirectoryRole, ID: id}})
	}
	seen := map[authz.Principal]bool{}
	for i := 0; i < len(queue); i++ {
		m := queue[i]
		if seen[m.Principal] {
			continue
		}
		seen[m.Principal] = true
		g, err := r.grants(tenant, m.Principal)
		if err != nil {
			return err
		}
		if err := visit(m, &g); err != nil {
			return err
		}
		via := m.Via
		if m.Principal != caller {
			via = append(via[:len(via):len(via)], m.Principal)
		}
		for _, parent := range g.parents {
			queue = append(queue, Membership{Principal: parent.Key(), Via: via})
		}
	}
	return nil
}
