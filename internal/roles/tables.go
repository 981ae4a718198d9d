package roles

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

//go:embed tables.json
var tablesDocument []byte

// standardTables is read only; what leaves the package is cloned.
var standardTables = mustParseTables(tablesDocument)

// StandardTables returns the tables that every environment with a database has. The caller
// may keep and change what it gets.
func StandardTables() []authz.Table {
	all := slices.Clone(standardTables)
	for i := range all {
		all[i].SecuredColumns = slices.Clone(all[i].SecuredColumns)
	}
	return all
}

// WithStandardTables returns the standard tables followed by those declared. A declaration
// by the name of a standard table adds to it: classes, secured columns, another entity set.
// It may repeat the ownership, and not change it, nor make the table a custom one. It reports
// every problem at once.
func WithStandardTables(declared []authz.Table) ([]authz.Table, error) {
	return authz.ExtendTables(standardTables, declared)
}

// tableRecord is a standard table as the document spells it.
type tableRecord struct {
	Name      string             `json:"name"`
	Classes   []authz.TableClass `json:"classes"`
	Ownership authz.Ownership    `json:"ownership"`
	EntitySet string             `json:"entitySet"`
}

func mustParseTables(document []byte) []authz.Table {
	records := mustDecode[tableRecord]("standard tables", document)
	tables := make([]authz.Table, 0, len(records))
	for _, r := range records {
		t := authz.Table{Name: r.Name, Ownership: r.Ownership, EntitySet: r.EntitySet}
		for _, class := range r.Classes {
			t.Classes |= class
		}
		tables = append(tables, t)
	}
	if _, err := authz.NewDatabase(authz.DatabaseSpec{Tables: tables}); err != nil {
		panic(fmt.Sprintf("standard tables: %v", err))
	}
	return tables
}
