package snapshot

import (
	"slices"
	"sync"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A database is what a decision about records needs to know of one environment: what the
// environment declares at one revision, worked out when it is first asked for. A revision
// that changes anything of it makes another, and the others go on being used: what is read
// of a snapshot is of that snapshot, and cannot be out of date. It is safe for concurrent use.
type database struct {
	environment string
	units       []authz.BusinessUnit // as they are listed
	roots       int
	tables      []authz.Table // as they are declared
	shared      map[string]bool
	custom      map[string]authz.RoleDefinition // the security roles of the environment
	compiler    *compiler

	once sync.Once
	db   *authz.Database
	err  error

	mu    sync.Mutex
	roles map[string]*authz.SecurityRole // that were compiled, by identifier; nil: there is none
}

func (c *compiler) newDatabase(environment string) *database {
	return &database{environment: environment, compiler: c}
}

func (d *database) addUnit(unit authz.BusinessUnit) {
	if d.units = append(d.units, unit); unit.Parent == "" {
		d.roots++
	}
}

// share notes that records of a table are shared with everyone.
func (d *database) share(table string) {
	if d.shared == nil {
		d.shared = map[string]bool{}
	}
	d.shared[table] = true
}

func (d *database) addRole(def authz.RoleDefinition) {
	if d.custom == nil {
		d.custom = map[string]authz.RoleDefinition{}
	}
	d.custom[def.ID] = def
}

// declares tells whether anything is declared that could not fit.
func (d *database) declares() bool {
	return len(d.tables) > 0 || len(d.custom) > 0 || d.roots > 1
}

// get works out the database. The error says what does not fit of what is declared.
func (d *database) get() (*authz.Database, error) {
	d.once.Do(func() { d.db, d.err = d.make() })
	return d.db, d.err
}

func (d *database) make() (*authz.Database, error) {
	tables, err := authz.ExtendTables(d.compiler.tables, d.tables)
	if err != nil {
		return nil, err
	}
	for i := range tables {
		if d.shared[authz.TableKey(tables[i].Name)] {
			tables[i].Classes |= authz.OrgSharedTables
		}
	}
	units := d.units
	if len(units) == 0 { // an environment has a root, whether anybody lists it or not
		units = []authz.BusinessUnit{{ID: d.environment, Environment: d.environment}}
	}
	return authz.NewDatabase(authz.DatabaseSpec{Tables: tables, BusinessUnits: units})
}

// declaring is the database as it would be with other tables.
func (d *database) declaring(tables []authz.Table) *database {
	return &database{
		environment: d.environment, units: d.units, roots: d.roots, tables: tables, shared: d.shared, custom: d.custom, compiler: d.compiler,
	}
}

// isStandard tells whether every database has the table.
func (d *database) isStandard(name string) bool {
	return slices.ContainsFunc(d.compiler.tables, func(t authz.Table) bool { return sameName(t.Name, name) })
}

// unit resolves a business unit: an empty one is the root.
func (d *database) unit(db *authz.Database, id string) string {
	if id == "" {
		return db.RootBusinessUnit()
	}
	return id
}

// definition finds a security role that can be held in the environment.
func (d *database) definition(id string) (*authz.RoleDefinition, bool) {
	if def, ok := d.custom[id]; ok {
		return &def, true
	}
	def, ok := d.compiler.security[id]
	return def, ok
}

// role compiles a security role for the database; nil: there is no such role here, or it is
// no security role.
func (d *database) role(id string) (*authz.SecurityRole, error) {
	db, err := d.get()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if role, known := d.roles[id]; known {
		return role, nil
	}
	var role *authz.SecurityRole
	if def, custom := d.custom[id]; custom {
		role, err = db.Compile(def)
	} else if def := d.compiler.security[id]; def != nil {
		role, err = db.CompileShipped(*def)
	} else {
		return nil, nil // and is not kept: whoever asks chooses the text
	}
	if err != nil {
		return nil, err
	}
	if d.roles == nil {
		d.roles = map[string]*authz.SecurityRole{}
	}
	d.roles[id] = role
	return role, nil
}

// databasesOf makes the databases of a tenant, without working them out.
func (c *compiler) databasesOf(t *smallTenant) map[string]*database {
	all := map[string]*database{}
	for _, e := range t.environments {
		if e.dataverse {
			all[e.id] = c.newDatabase(e.id)
		}
	}
	if len(all) == 0 {
		return nil
	}
	for _, unit := range t.units {
		if d := all[unit.Environment]; d != nil {
			d.addUnit(unit)
		}
	}
	for _, table := range t.tables {
		if d := all[table.Environment]; d != nil {
			d.tables = append(d.tables, table.Table)
		}
	}
	for _, table := range t.sharedTables {
		if d := all[table.environment]; d != nil {
			d.share(table.table)
		}
	}
	for _, def := range t.roles {
		if d := all[def.Environment]; d != nil && def.Environment != "" {
			d.addRole(def)
		}
	}
	return all
}

// check works out what could not fit: its tables and the security roles of its own.
func (d *database) check() error {
	if !d.declares() {
		return nil
	}
	if _, err := d.get(); err != nil {
		return err
	}
	for id := range d.custom {
		if _, err := d.role(id); err != nil {
			return err
		}
	}
	return nil
}
