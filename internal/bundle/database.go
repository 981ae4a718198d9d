package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

var (
	tableRecord    = record{keys: []string{"environment", "name", "classes", "ownership", "entitySet", "securedColumns"}, required: 2}
	tableUseRecord = record{keys: []string{"table", "privileges"}, required: 1}
)

// An inEnvironment is something of an environment, by its identifier or a table's key.
type inEnvironment struct{ environment, id string }

// environment reads which environment with a database something is of. It is empty after a
// problem, and then nothing of that environment can be judged.
func (t *tenantReader) environment(f *fields) string {
	v, ok := f.unlessNull("environment")
	if !ok {
		if at, null := f.value("environment"); null {
			at.Problemf("say which environment it is of")
		}
		return ""
	}
	switch id := t.pathID(v); {
	case id == "":
	case !t.knowsEnvironment(id):
		v.Problemf("%s", notListed(id))
	case !t.databases[id]:
		v.Problemf("environment %q has no database: list it under environments with dataverse: true", id)
	default:
		return id
	}
	return ""
}

// businessUnit reads a business unit of the environment; empty is its root.
func (t *tenantReader) businessUnit(f *fields, environment string) string {
	v, ok := f.unlessNull("businessUnit")
	if !ok {
		if t.roots[environment] > 1 && !t.businessBad {
			f.at.Problemf("environment %q has more business units than one that lie below none: say which it is with businessUnit", environment)
		}
		return ""
	}
	id := t.pathID(v)
	if id == "" || environment == "" || t.businessBad {
		return id
	}
	if t.units[inEnvironment{environment, id}] {
		return id
	}
	for _, other := range t.tenant.BusinessUnits {
		if other.ID == id {
			v.Problemf("business unit %q is of the environment %q: want one of %q", id, other.Environment, environment)
			return ""
		}
	}
	v.Problemf("environment %q lists no business unit %q: list it under businessUnits", environment, id)
	return ""
}

func (t *tenantReader) readTables(f *fields) {
	lines := map[inEnvironment]int{}
	var sets []entitySet
	f.list("tables", func(v strictyaml.Value) {
		f := tableRecord.read(v)
		table := snapshot.Table{Environment: t.environment(&f)}
		if name, ok := f.value("name"); ok {
			table.Name = shortText(name)
		}
		f.list("classes", func(v strictyaml.Value) {
			class, _ := parsed[authz.TableClass](v)
			if class == authz.OrgSharedTables {
				v.Problemf("no table is declared %v: it is while a record of it is shared with everyone", class)
			}
			if class&table.Classes != 0 {
				v.Problemf("class %v is listed twice", class)
			}
			table.Classes |= class &^ authz.OrgSharedTables
		})
		ownershipBad := false
		if v, ok := f.unlessNull("ownership"); ok {
			table.Ownership, ok = parsed[authz.Ownership](v)
			ownershipBad = !ok
		}
		if v, ok := f.unlessNull("entitySet"); ok {
			table.EntitySet = shortText(v)
		}
		f.list("securedColumns", func(v strictyaml.Value) {
			if column := shortText(v); column != "" {
				table.SecuredColumns = append(table.SecuredColumns, column)
			}
		})
		if table.Name == "" || table.Environment == "" {
			return
		}
		whole := table.Table
		if ownershipBad { // which was said
			whole.Ownership = authz.UserOwned
		}
		whole = t.wholeTable(v, whole)
		of := inEnvironment{table.Environment, authz.TableKey(table.Name)}
		if !once(lines, of, v, "table %q of environment %q", table.Name, table.Environment) {
			return
		}
		t.tables[of] = &whole
		if table.EntitySet != "" {
			sets = append(sets, entitySet{of, table.EntitySet, v.Place()})
		}
		t.tenant.Tables = append(t.tenant.Tables, table)
	})
	t.checkEntitySets(sets)
}

// An entitySet is what a declaration says that a table's entity set is.
type entitySet struct {
	table inEnvironment
	name  string
	place strictyaml.Place
}

// checkEntitySets makes sure that no two tables of an environment have one entity set.
func (t *tenantReader) checkEntitySets(sets []entitySet) {
	owners := map[inEnvironment]string{}
	for _, set := range sets {
		of := inEnvironment{set.table.environment, set.name}
		other := owners[of]
		for key, standard := range t.standard {
			if now := t.table(set.table.environment, key); key != set.table.id && now.EntitySet == set.name && standard.EntitySet == set.name {
				other = standard.Name
			}
		}
		if other != "" {
			set.place.Problemf("the entity set %q is that of the table %q: choose another", set.name, other)
			continue
		}
		owners[of] = t.tables[set.table].Name
	}
}

// wholeTable returns the table that a declaration makes, with what it has as a standard one.
func (t *tenantReader) wholeTable(v strictyaml.Value, declared authz.Table) authz.Table {
	var standard []authz.Table
	whole := declared
	if one := t.standard[authz.TableKey(declared.Name)]; one != nil {
		standard, whole = []authz.Table{*one}, *one
	}
	all, err := authz.ExtendTables(standard, []authz.Table{declared})
	if err == nil {
		whole = all[0]
		_, err = authz.NewDatabase(authz.DatabaseSpec{Tables: all})
	}
	for _, problem := range each(err) {
		v.Problemf("%v", problem)
	}
	return whole
}

// each returns the errors that were joined to one.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, each(one)...)
	}
	return all
}

// table returns the declaration of a table of an environment with a database, or nil.
func (t *tenantReader) table(environment, name string) *authz.Table {
	if table := t.tables[inEnvironment{environment, authz.TableKey(name)}]; table != nil {
		return table
	}
	return t.standard[authz.TableKey(name)]
}

func noTable(environment, name string) string {
	return fmt.Sprintf("environment %q declares no table %q: declare it under tables", environment, name)
}

// readTable reads a table's name, as it is spelled, under the key "table". There is no table
// after a problem, also one with the environment.
func (t *tenantReader) readTable(f *fields, environment string) (string, *authz.Table) {
	v, ok := f.value("table")
	if !ok {
		return "", nil
	}
	name := shortText(v)
	if name == "" || environment == "" {
		return name, nil
	}
	table := t.table(environment, name)
	if table == nil {
		v.Problemf("%s", noTable(environment, name))
	}
	return name, table
}

// readTableUses reads what is done to tables, under the key "tables".
func (t *tenantReader) readTableUses(f *fields, environment string) []snapshot.TableUse {
	var uses []snapshot.TableUse
	lines := map[string]int{}
	f.list("tables", func(v strictyaml.Value) {
		f := tableUseRecord.read(v)
		name, _ := t.readTable(&f, environment)
		privileges := f.rights("privileges", tableRights, nil)
		if name != "" && once(lines, authz.TableKey(name), v, "table %q", name) {
			uses = append(uses, snapshot.TableUse{Table: name, Privileges: privileges})
		}
	})
	return uses
}

// A right is a privilege under the name that a list calls it by.
type right struct {
	name      string
	privilege authz.Privilege
}

var (
	tableRights = func() (all []right) {
		for _, p := range authz.TablePrivileges() {
			all = append(all, right{p.String(), p})
		}
		return all
	}()
	columnRights = []right{
		{authz.CreatePrivilege.String(), authz.CreatePrivilege},
		{authz.ReadPrivilege.String(), authz.ReadPrivilege},
		{"Update", authz.WritePrivilege},
	}
)

// rights reads a list of rights by their names. Where the list is required, it holds one at
// least. What refuse, which may be nil, has against one is a problem.
func (f *fields) rights(key string, known []right, refuse func(authz.PrivilegeSet) error) authz.PrivilegeSet {
	names := make([]string, 0, len(known))
	for _, r := range known {
		names = append(names, r.name)
	}
	if v, ok := f.value(key); ok && v.IsEmpty() && slices.Contains(f.kind.keys[:f.kind.required], key) {
		v.Problemf("want at least one of %s", strings.Join(names, ", "))
	}
	var set authz.PrivilegeSet
	lines := map[string]int{}
	f.list(key, func(v strictyaml.Value) {
		i, ok := oneOf(v, names)
		if !ok || !once(lines, names[i], v, "%s", names[i]) {
			return
		}
		one := authz.Privileges(known[i].privilege)
		if refuse != nil {
			if err := refuse(one); err != nil {
				v.Problemf("%v", err)
				return
			}
		}
		set |= one
	})
	return set
}
