package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// TableID is a table's number in a [Database], counted from one. Numbers mean nothing
// outside the database that gave them and are never stored. The zero TableID is no table.
type TableID uint32

// DatabaseSpec is what an environment with a database declares.
type DatabaseSpec struct {
	Tables []Table
	// BusinessUnits are those of this environment; their Environment is not looked at.
	BusinessUnits []BusinessUnit
}

// A Database is what decisions about records need to know of an environment: its tables
// and how its business units lie below each other. It is immutable and safe for concurrent
// use. A nil Database has no table, so that everything asked of it is unmapped.
type Database struct {
	tables []Table
	byName map[string]TableID // by folded name
	bySet  map[string]TableID // by entity set
	user   TableID            // the table that ActOnBehalf is named after; 0: none
	units  map[string]unitSpan
	root   string // the first business unit that lies below none; empty: there is none
}

// unitSpan numbers a business unit, and all that lie below it, from first to last. The
// zero unitSpan is no business unit and covers none.
type unitSpan struct{ first, last uint32 }

// covers tells whether a business unit is this one or lies below it.
func (s unitSpan) covers(unit unitSpan) bool {
	return s.first != 0 && s.first <= unit.first && unit.first <= s.last
}

// NewDatabase checks and numbers what an environment declares. It reports every problem at
// once: one table, entity set or business unit declared twice, a custom table of another
// class, a table without an ownership, a business unit below one that is not listed, below
// itself, or too deep.
func NewDatabase(spec DatabaseSpec) (*Database, error) {
	db := &Database{byName: make(map[string]TableID, len(spec.Tables)), bySet: map[string]TableID{}}
	var errs []error
	for _, t := range spec.Tables {
		if err := t.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		id := TableID(len(db.tables) + 1)
		if other, twice := db.byName[lowerASCII(t.Name)]; twice {
			errs = append(errs, fmt.Errorf("table %q is declared twice, the first time as %q", t.Name, db.tables[other-1].Name))
			continue
		}
		if other, twice := db.bySet[t.EntitySet]; twice {
			errs = append(errs, fmt.Errorf("table %q has the entity set %q, which is that of the table %q", t.Name, t.EntitySet, db.tables[other-1].Name))
			continue
		}
		folded := make([]string, 0, len(t.SecuredColumns))
		for _, column := range t.SecuredColumns {
			folded = append(folded, lowerASCII(column))
		}
		t.SecuredColumns = folded
		db.tables = append(db.tables, t)
		db.byName[lowerASCII(t.Name)] = id
		if t.EntitySet != "" {
			db.bySet[t.EntitySet] = id
		}
	}
	db.user = db.byName[lowerASCII(UserTable)]
	units, unitErrs := numberUnits(spec.BusinessUnits)
	db.units = units
	for _, unit := range slices.Backward(spec.BusinessUnits) {
		if unit.Parent == "" {
			db.root = unit.ID
		}
	}
	if errs = append(errs, unitErrs...); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return db, nil
}

// numberUnits numbers business units so that those below one follow it.
func numberUnits(units []BusinessUnit) (map[string]unitSpan, []error) {
	var errs []error
	known := make(map[string]bool, len(units))
	below := make(map[string][]string, len(units))
	for _, unit := range units {
		switch {
		case unit.ID == "":
			errs = append(errs, errors.New("a business unit needs an identifier"))
		case known[unit.ID]:
			errs = append(errs, fmt.Errorf("business unit %q is listed twice", unit.ID))
		default:
			known[unit.ID] = true
			below[unit.Parent] = append(below[unit.Parent], unit.ID)
		}
	}
	spans := make(map[string]unitSpan, len(units))
	next := uint32(0)
	var number func(id string, depth int)
	number = func(id string, depth int) {
		if depth == maxUnitDepth {
			errs = append(errs, fmt.Errorf("business unit %q lies below more than %d others", id, maxUnitDepth))
			return
		}
		next++
		span := unitSpan{first: next}
		for _, child := range below[id] {
			number(child, depth+1)
		}
		span.last = next
		spans[id] = span
	}
	for _, root := range below[""] {
		number(root, 0)
	}
	for _, unit := range units {
		if unit.Parent != "" && !known[unit.Parent] {
			errs = append(errs, fmt.Errorf("business unit %q lies below %q, which is not listed", unit.ID, unit.Parent))
		}
	}
	if len(errs) > 0 {
		return nil, errs // whatever has no number lies below one of these
	}
	for _, unit := range units {
		if _, numbered := spans[unit.ID]; !numbered {
			errs = append(errs, fmt.Errorf("business unit %q lies below itself, or below one that does", unit.ID))
		}
	}
	return spans, errs
}

// Len is the number of tables; their numbers are 1 to Len().
func (db *Database) Len() int {
	if db == nil {
		return 0
	}
	return len(db.tables)
}

// Table returns the declaration of a table, secured columns in lower case. Its lists must
// not be changed.
func (db *Database) Table(id TableID) (Table, bool) {
	if t := db.table(id); t != nil {
		return *t, true
	}
	return Table{}, false
}

func (db *Database) table(id TableID) *Table {
	if db == nil || id == 0 || int(id) > len(db.tables) {
		return nil
	}
	return &db.tables[id-1]
}

// TableNamed finds a table by its name, without regard to ASCII case.
func (db *Database) TableNamed(name string) (TableID, bool) {
	if db == nil {
		return 0, false
	}
	id, ok := db.byName[lowerASCII(name)]
	return id, ok
}

// TableOfEntitySet finds a table by its entity set, exactly: the Web API compares so.
func (db *Database) TableOfEntitySet(set string) (TableID, bool) {
	if db == nil || set == "" {
		return 0, false
	}
	id, ok := db.bySet[set]
	return id, ok
}

// RootBusinessUnit returns the business unit that all others of the environment lie below;
// of several, the first that was listed; empty where none was.
func (db *Database) RootBusinessUnit() string {
	if db == nil {
		return ""
	}
	return db.root
}

// HasBusinessUnit tells whether the environment lists the business unit.
func (db *Database) HasBusinessUnit(id string) bool { return db.unit(id).first != 0 }

func (db *Database) unit(id string) unitSpan {
	if db == nil {
		return unitSpan{}
	}
	return db.units[id]
}

// Permission finds what a permission such as Dataverse.Account.Read asks for, without
// regard to ASCII case. A table that is not declared, or a privilege that the table does not
// have, is no permission: [Unmapped].
func (db *Database) Permission(name string) (TableID, Privilege, bool) {
	if len(name) < len(dataversePrefix) || !foldEqual(name[:len(dataversePrefix)], dataversePrefix) {
		return 0, NoPrivilege, false
	}
	table, privilege, ok := strings.Cut(name[len(dataversePrefix):], ".")
	var p Privilege
	if !ok || p.UnmarshalText([]byte(privilege)) != nil {
		return 0, NoPrivilege, false
	}
	id, ok := db.TableNamed(table)
	if !ok || !db.has(id, p) {
		return 0, NoPrivilege, false
	}
	return id, p, true
}

// has tells whether the table is declared and has the privilege.
func (db *Database) has(id TableID, p Privilege) bool {
	return db.table(id) != nil && (p.ofTable() || p == ActOnBehalf && id == db.user)
}
