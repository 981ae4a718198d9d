package snapshot

import (
	"context"

	bolt "go.etcd.io/bbolt"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A loader reads sections back into tenants.
type loader struct {
	tx      *bolt.Tx
	schema  uint64
	tenants map[string]*Tenant
	order   []string
}

// each reads a section; yield gets the tenant and the rest of the key.
func (l *loader) each(sec section, yield func(t *Tenant, key *keyReader, payload string) error) error {
	return eachRecord(l.tx, sec, nil, func(key, payload []byte, _ digest) error {
		k := &keyReader{rest: key, wide: l.schema <= wideSchema}
		id := k.part()
		t := l.tenants[id]
		if t == nil {
			if sec != tenantSection {
				return corruptf("a record in %q is of a tenant that does not exist", sec)
			}
			t = &Tenant{ID: id}
			l.tenants[id] = t
			l.order = append(l.order, id)
		}
		if err := yield(t, k, string(payload)); err != nil {
			return err
		}
		return k.done(sec)
	})
}

// scopes reads what the hierarchy and the roles are made of. environments gets each
// environment as it is stored.
func (l *loader) scopes(environments func(t *Tenant, e environmentRecord)) error {
	if err := l.each(tenantSection, func(t *Tenant, _ *keyReader, payload string) (err error) {
		t.DirectoryComplete, err = readTenant(payload)
		return err
	}); err != nil {
		return err
	}
	if err := l.each(environmentGroupSection, func(t *Tenant, key *keyReader, payload string) error {
		t.EnvironmentGroups = append(t.EnvironmentGroups, authz.EnvironmentGroup{ID: key.part()})
		return readEmpty(environmentGroupSection, payload)
	}); err != nil {
		return err
	}
	if err := l.each(environmentSection, func(t *Tenant, key *keyReader, payload string) error {
		e, err := readEnvironment(key.part(), payload)
		environments(t, e)
		return err
	}); err != nil {
		return err
	}
	if err := l.each(businessUnitSection, func(t *Tenant, key *keyReader, payload string) (err error) {
		unit := authz.BusinessUnit{Environment: key.part(), ID: key.part()}
		unit.Parent, err = readBusinessUnit(payload)
		t.BusinessUnits = append(t.BusinessUnits, unit)
		return err
	}); err != nil {
		return err
	}
	return l.each(roleDefinitionSection, func(t *Tenant, key *keyReader, payload string) error {
		def, err := readRoleDefinition(key.part(), payload)
		t.RoleDefinitions = append(t.RoleDefinitions, def)
		return err
	})
}

// loadSmall reads all that is kept in memory.
func loadSmall(tx *bolt.Tx) ([]*smallTenant, error) {
	l := &loader{tx: tx, schema: schemaVersion, tenants: map[string]*Tenant{}}
	environments := map[string][]environmentRecord{}
	if err := l.scopes(func(t *Tenant, e environmentRecord) { environments[t.ID] = append(environments[t.ID], e) }); err != nil {
		return nil, err
	}
	if err := l.tables(); err != nil {
		return nil, err
	}
	all := make([]*smallTenant, 0, len(l.order))
	byID := make(map[string]*smallTenant, len(l.order))
	for _, id := range l.order {
		t := l.tenants[id]
		small := &smallTenant{
			id: id, directoryComplete: t.DirectoryComplete, environments: environments[id],
			units: t.BusinessUnits, roles: t.RoleDefinitions, tables: t.Tables,
		}
		for _, g := range t.EnvironmentGroups {
			small.groups = append(small.groups, g.ID)
		}
		all = append(all, small)
		byID[id] = small
	}
	if err := l.each(groupDenialSection, func(t *Tenant, key *keyReader, payload string) error {
		a, err := readRoleAssignment(groupDenialSection, key.part(), payload)
		byID[t.ID].denials = append(byID[t.ID].denials, a)
		return err
	}); err != nil {
		return nil, err
	}
	if err := l.each(sharedTableSection, func(t *Tenant, key *keyReader, payload string) error {
		table := sharedTable{environment: key.part(), table: key.part()}
		n, err := readCount(sharedTableSection, payload)
		table.n = n
		byID[t.ID].sharedTables = append(byID[t.ID].sharedTables, table)
		return err
	}); err != nil {
		return nil, err
	}
	err := l.each(roleUseSection, func(t *Tenant, key *keyReader, payload string) error {
		use := roleCount{role: key.part()}
		n, err := readRoleUse(payload)
		use.n = n
		byID[t.ID].roleUse = append(byID[t.ID].roleUse, use)
		return err
	})
	return all, err
}

// loadData reads back all that was delivered, in the order of the file, with the role
// assignments or without.
func loadData(ctx context.Context, tx *bolt.Tx, schema uint64, assignments bool) (*Data, error) {
	l := &loader{tx: tx, schema: schema, tenants: map[string]*Tenant{}}
	groups := map[string]map[string]int{} // tenant → environment group → where it stands
	if err := l.scopes(func(t *Tenant, e environmentRecord) {
		if e.group == "" || e.dataverse {
			t.Environments = append(t.Environments, Environment{ID: e.id, Dataverse: e.dataverse})
		}
		if e.group == "" {
			return
		}
		at := groups[t.ID]
		if at == nil {
			at = make(map[string]int, len(t.EnvironmentGroups))
			for i, g := range t.EnvironmentGroups {
				at[g.ID] = i
			}
			groups[t.ID] = at
		}
		if i, ok := at[e.group]; ok {
			g := &t.EnvironmentGroups[i]
			g.Environments = append(g.Environments, e.id)
		}
	}); err != nil {
		return nil, err
	}
	if err := l.each(principalSection, func(t *Tenant, key *keyReader, payload string) error {
		p, err := readPrincipalRecord(key.principal(), payload)
		t.Principals = append(t.Principals, p)
		return err
	}); err != nil {
		return nil, err
	}
	if err := l.each(groupSection, func(t *Tenant, key *keyReader, payload string) error {
		g, err := readGroup(key.part(), payload)
		t.Groups = append(t.Groups, g)
		return err
	}); err != nil {
		return nil, err
	}
	if schema > itemlessSchema {
		if err := l.items(); err != nil {
			return nil, err
		}
	}
	n := 0
	if !assignments {
		return l.data(), nil
	}
	if err := l.each(roleAssignmentSection, func(t *Tenant, key *keyReader, payload string) error {
		if n++; n%verifyStop == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		a, err := readRoleAssignment(roleAssignmentSection, key.part(), payload)
		t.RoleAssignments = append(t.RoleAssignments, a)
		return err
	}); err != nil {
		return nil, err
	}
	return l.data(), nil
}

// tables reads the tables that environments declare.
func (l *loader) tables() error {
	return l.each(tableSection, func(t *Tenant, key *keyReader, payload string) error {
		environment := key.part()
		key.part() // the name, as it is compared
		table, err := readTable(payload)
		t.Tables = append(t.Tables, Table{Environment: environment, Table: table})
		return err
	})
}

// items reads what environments hold.
func (l *loader) items() error {
	for _, sec := range []struct {
		section section
		read    func(t *Tenant, key *keyReader, payload string) error
	}{
		{environmentUserSection, func(t *Tenant, key *keyReader, payload string) error {
			u, err := readEnvironmentUser(key.part(), key.principal(), payload)
			t.Users = append(t.Users, u)
			return err
		}},
		{teamSection, func(t *Tenant, key *keyReader, payload string) error {
			team, err := readTeam(key.part(), payload)
			t.Teams = append(t.Teams, team)
			return err
		}},
		{columnProfileSection, func(t *Tenant, key *keyReader, payload string) error {
			p, err := readColumnProfile(key.part(), key.part(), payload)
			t.ColumnProfiles = append(t.ColumnProfiles, p)
			return err
		}},
		{shareSection, func(t *Tenant, key *keyReader, payload string) error {
			s, err := readShareOf(key.part(), key, payload)
			t.Shares = append(t.Shares, s)
			return err
		}},
		{appSection, func(t *Tenant, key *keyReader, payload string) error {
			a, err := readApp(key.part(), key.part(), payload)
			t.Apps = append(t.Apps, a)
			return err
		}},
		{flowSection, func(t *Tenant, key *keyReader, payload string) error {
			f, err := readFlow(key.part(), key.part(), payload)
			t.Flows = append(t.Flows, f)
			return err
		}},
	} {
		if err := l.each(sec.section, sec.read); err != nil {
			return err
		}
	}
	return l.tables()
}

func (l *loader) data() *Data {
	d := &Data{Tenants: make([]Tenant, 0, len(l.order))}
	for _, id := range l.order {
		d.Tenants = append(d.Tenants, *l.tenants[id])
	}
	return d
}
