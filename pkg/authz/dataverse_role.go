package authz

import (
	"errors"
	"fmt"
)

// A SecurityRole is what a [RoleDefinition] gives in a [Database], compiled for it. It is
// immutable and safe for concurrent use. A nil SecurityRole gives nothing.
type SecurityRole struct {
	db          *Database
	id, name    string
	reaches     []reaches // by the number of the table, less one
	actOnBehalf bool
	teamOnly    bool
	allColumns  bool
}

// reaches holds the reach of each of a table's eight privileges, four bits each.
type reaches uint32

func (r reaches) of(p Privilege) Reach {
	if !p.ofTable() {
		return NoReach
	}
	return Reach(r >> (4 * (p - CreatePrivilege)) & 0xF)
}

// widen raises the reach of the privileges to at least this one.
func (r *reaches) widen(s PrivilegeSet, reach Reach) {
	for p := CreatePrivilege; p.ofTable(); p++ {
		if s.Has(p) && r.of(p) < reach {
			r.set(p, reach)
		}
	}
}

func (r *reaches) set(p Privilege, reach Reach) {
	shift := 4 * (p - CreatePrivilege)
	*r = *r&^(0xF<<shift) | reaches(reach)<<shift
}

// Compile works out how far each privilege of the role reaches on each table. It reports
// every line that is malformed and every table that the environment does not declare. On an
// organization-owned table every reach but Organization is none.
func (db *Database) Compile(def RoleDefinition) (*SecurityRole, error) {
	return db.compile(def, true)
}

// CompileShipped is [Database.Compile] for the roles that come with the product: a table
// that this environment does not declare gives nothing instead of being an error.
func (db *Database) CompileShipped(def RoleDefinition) (*SecurityRole, error) {
	return db.compile(def, false)
}

func (db *Database) compile(def RoleDefinition, unknownIsError bool) (*SecurityRole, error) {
	role := &SecurityRole{
		db: db, id: def.ID, name: def.Name, teamOnly: def.TeamOnly, allColumns: def.EverySecuredColumn,
		reaches: make([]reaches, db.Len()),
	}
	named := make([]reaches, db.Len())        // by lines that name the table
	decided := make([]PrivilegeSet, db.Len()) // the privileges that such lines decide
	var errs []error
	for _, text := range def.Privileges {
		p, err := ParsePrivilegePattern(text)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("security role %q: %w", def.Name, err))
		case p.Privileges.Has(ActOnBehalf):
			role.actOnBehalf = true
		case p.Class != 0:
			for i := range role.reaches {
				if p.Class == AnyTables || p.Class&db.tables[i].Classes != 0 {
					role.reaches[i].widen(p.Privileges, p.Reach)
				}
			}
		default:
			id, known := db.TableNamed(p.Table)
			if !known {
				if unknownIsError {
					errs = append(errs, fmt.Errorf("security role %q: privilege %q: the environment declares no table %q: declare it first", def.Name, text, p.Table))
				}
				continue
			}
			named[id-1].widen(p.Privileges, p.Reach)
			decided[id-1] |= p.Privileges
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for i := range role.reaches {
		for p := CreatePrivilege; p.ofTable(); p++ {
			if decided[i].Has(p) {
				role.reaches[i].set(p, named[i].of(p))
			}
			if db.tables[i].Ownership == OrganizationOwned && role.reaches[i].of(p) < OrganizationReach {
				role.reaches[i].set(p, NoReach)
			}
		}
	}
	return role, nil
}

// ID returns the role's identifier.
func (r *SecurityRole) ID() string {
	if r == nil {
		return ""
	}
	return r.id
}

// Name returns the role's name.
func (r *SecurityRole) Name() string {
	if r == nil {
		return ""
	}
	return r.name
}

// Reach returns how far the role's privilege reaches on a table; none where it does not
// hold it. For [ActOnBehalf], which has no reach, see [SecurityRole.ActsOnBehalf].
func (r *SecurityRole) Reach(table TableID, p Privilege) Reach {
	if r == nil || table == 0 || int(table) > len(r.reaches) {
		return NoReach
	}
	return r.reaches[table-1].of(p)
}

// ActsOnBehalf tells whether the role lets whoever holds it directly act for others.
func (r *SecurityRole) ActsOnBehalf() bool { return r != nil && r.actOnBehalf }

// TeamOnly tells whether the role's User reach, held by a team, is for what the team owns.
func (r *SecurityRole) TeamOnly() bool { return r != nil && r.teamOnly }

// EverySecuredColumn tells whether the role opens every secured column.
func (r *SecurityRole) EverySecuredColumn() bool { return r != nil && r.allColumns }
