package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Ownership says who owns the records of a table. The zero Ownership is no answer, and no
// table may be declared with it.
type Ownership uint8

// The ownerships.
const (
	NoOwnership Ownership = iota
	// UserOwned records belong to a user or a team, and to a business unit.
	UserOwned
	// BusinessUnitOwned records belong to a business unit and have no owner.
	BusinessUnitOwned
	// OrganizationOwned records belong to everybody: only Organization reaches them.
	OrganizationOwned
)

var ownershipNames = [...]string{"", "User", "BusinessUnit", "Organization"}

// String returns User, BusinessUnit or Organization.
func (o Ownership) String() string {
	if int(o) < len(ownershipNames) {
		return ownershipNames[o]
	}
	return fmt.Sprintf("Ownership(%d)", uint8(o))
}

// MarshalText returns User, BusinessUnit or Organization.
func (o Ownership) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads User, BusinessUnit or Organization, without regard to ASCII case, and
// refuses any other text.
func (o *Ownership) UnmarshalText(text []byte) error {
	for i, name := range ownershipNames {
		if i > 0 && foldEqual(name, string(text)) {
			*o = Ownership(i)
			return nil
		}
	}
	return fmt.Errorf("ownership %q is none of User, BusinessUnit and Organization", text)
}

// TableClass is a class of tables, or a union of classes: a table can be of several. The
// zero TableClass is no class; a role reaches such a table only by its name, or by {any}.
type TableClass uint8

// The classes.
const (
	// CoreTables are the ones that people work with, such as Account and Contact.
	CoreTables TableClass = 1 << iota
	// SystemTables are what every app needs to open.
	SystemTables
	// CustomizationTables are what apps are built of.
	CustomizationTables
	// BusinessManagementTables say who is who.
	BusinessManagementTables
	// SiteTables are what websites are built of.
	SiteTables
	// CustomTables were declared by the customer. A custom table is of no other class.
	CustomTables
	// OrgSharedTables have a record that is shared with the whole organization at this
	// revision. Nobody declares it: whoever builds a [Database] sets it.
	OrgSharedTables
	// AnyTables stands for all tables, whatever their classes. No table is declared so.
	AnyTables
)

var tableClassNames = [...]string{
	"core", "system", "customization", "businessManagement", "site", "custom", "orgShared", "any",
}

// String returns the names of the classes, such as core, joined by commas.
func (c TableClass) String() string {
	var names []string
	for i, name := range tableClassNames {
		if c&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// MarshalText returns the names of the classes, joined by commas.
func (c TableClass) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the name of one class, without regard to ASCII case, and refuses any
// other text.
func (c *TableClass) UnmarshalText(text []byte) error {
	for i, name := range tableClassNames {
		if foldEqual(name, string(text)) {
			*c = 1 << i
			return nil
		}
	}
	return fmt.Errorf("table class %q is none of %s", text, strings.Join(tableClassNames[:], ", "))
}

// Table is a Dataverse table as an environment declares it.
type Table struct {
	// Name is the table's name in permissions, Dataverse.{Name}.Read. Names are compared
	// without regard to ASCII case.
	Name      string
	Classes   TableClass
	Ownership Ownership
	// EntitySet is the table's name in the paths of the Web API, such as accounts; empty
	// where no path names it.
	EntitySet string
	// SecuredColumns are the columns that need a column profile besides the record's
	// access. They are compared without regard to ASCII case.
	SecuredColumns []string
}

// TableKey is the form under which the names of tables are compared: without regard to ASCII
// case.
func TableKey(name string) string { return lowerASCII(name) }

// check reports what is wrong with a declaration.
func (t *Table) check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("table %q: %s", t.Name, fmt.Sprintf(format, args...)))
	}
	if !isWord(t.Name) {
		bad("want a name of letters, digits, _ and -")
	}
	if t.Ownership == NoOwnership || int(t.Ownership) >= len(ownershipNames) {
		bad("say who owns its records: User, BusinessUnit or Organization")
	}
	if t.Classes&CustomTables != 0 && t.Classes&^(CustomTables|OrgSharedTables) != 0 {
		bad("a custom table is of no other class: leave out custom or %v", t.Classes&^(CustomTables|OrgSharedTables))
	}
	if t.Classes&AnyTables != 0 {
		bad("every table is of the class any: leave it out")
	}
	seen := map[string]bool{}
	for _, column := range t.SecuredColumns {
		switch folded := lowerASCII(column); {
		case !isWord(column):
			bad("secured column %q: want a name of letters, digits, _ and -", column)
		case seen[folded]:
			bad("secured column %q is listed twice", column)
		default:
			seen[folded] = true
		}
	}
	return errors.Join(errs...)
}

// ExtendTables returns the standard tables followed by those declared. A declaration by the
// name of a standard table adds to it: classes, secured columns, another entity set. It may
// repeat the ownership, and not change it, nor make the table a custom one. Every problem is
// reported at once.
func ExtendTables(standard, declared []Table) ([]Table, error) {
	all := make([]Table, 0, len(standard)+len(declared))
	at := make(map[string]int, len(standard))
	for i, t := range standard {
		t.SecuredColumns = slices.Clone(t.SecuredColumns)
		all = append(all, t)
		at[lowerASCII(t.Name)] = i
	}
	var errs []error
	for _, d := range declared {
		i, extends := at[lowerASCII(d.Name)]
		if !extends {
			all = append(all, d)
			continue
		}
		t := &all[i]
		if d.Ownership != NoOwnership && d.Ownership != t.Ownership {
			errs = append(errs, fmt.Errorf("table %q: its records are owned by %v, not by %v: leave the ownership out", d.Name, t.Ownership, d.Ownership))
		}
		if d.Classes&CustomTables != 0 {
			errs = append(errs, fmt.Errorf("table %q is a standard one: leave out the class custom", d.Name))
		}
		t.Classes |= d.Classes
		t.SecuredColumns = append(t.SecuredColumns, d.SecuredColumns...)
		if d.EntitySet != "" {
			t.EntitySet = d.EntitySet
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return all, nil
}
