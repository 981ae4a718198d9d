package ask

import "github.com/pathgrant/pathgrant/pkg/authz"

// A Record is what a question tells of a Dataverse record. Of which neither the owner nor
// the business unit is told, the stored shares do not count either: then only a reach of
// Organization does.
type Record struct {
	// ID finds the record's stored shares; empty: none count.
	ID string
	// Owner is the User, ApplicationUser or Team that owns the record, or will own it; zero
	// where it is not told. It must be one of the environment's, or who asks.
	Owner authz.Principal
	// BusinessUnit is the one that the record belongs to; empty where it is not told.
	BusinessUnit string
}

// Relate is what a record is to be attached to: a question for Dataverse.{Table}.Append
// with it asks for AppendTo on this table too.
type Relate struct {
	// Table is the name of the other table.
	Table string
	// Record is the record that is attached to; nil: any of the table.
	Record *Record
	// ManyToMany says that each is attached to the other: Append on both.
	ManyToMany bool
}

// AsksRecords tells whether the question says anything that only one for a permission of a
// Dataverse table can say, and which field does.
func (r *Request) AsksRecords() (field string, ok bool) {
	switch {
	case r.Record != nil:
		return "record", true
	case len(r.Columns) > 0 || r.AllColumns:
		return "columns", true
	case r.OnBehalfOf != nil:
		return "on_behalf_of", true
	case r.Relate != nil:
		return "relate", true
	default:
		return "", false
	}
}
