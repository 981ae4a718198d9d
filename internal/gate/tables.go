package gate

import (
	"strings"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// A tableAsk is one privilege that is asked of a Dataverse table.
type tableAsk struct {
	// table, or else entitySet, names it.
	table, entitySet string
	privilege        authz.Privilege
	record           *ask.Record // nil: all of the table
	columns          []string
	allColumns       bool
	// carries says that the columns carry the relation that Append or AppendTo makes: it sets
	// them, and where one is secured, that takes Write with it.
	carries bool
	// field is where the record stands in the question.
	field string
}

// permission is what is asked for, before the environment's declarations were looked at.
func (t *tableAsk) permission() authz.Permission {
	if t.table == "" {
		return tablePermission("{"+t.entitySet+"}", t.privilege)
	}
	return tablePermission(t.table, t.privilege)
}

// forgetTables forgets what is asked of tables, and keeps the memory.
func (s *scratch) forgetTables() {
	if len(s.tables) > 0 {
		clear(s.tables)
		s.tables = s.tables[:0]
	}
}

const tablePrefix = "Dataverse."

// isTablePermission tells whether a permission is one of a Dataverse table, which no
// catalogue declares.
func isTablePermission(permission string) bool {
	return len(permission) > len(tablePrefix) && strings.EqualFold(permission[:len(tablePrefix)], tablePrefix)
}

// mapTable is mapDirect for a permission of a Dataverse table.
func (g *Gate) mapTable(r *ask.Request, tenant string, named authz.NamedScope, a *ask.Answer, s *scratch) bool {
	if fault := tableFault(r); fault != "" {
		a.Reason, a.Detail = authz.BadRequest, fault
		return false
	}
	table, privilege, ok := strings.Cut(r.Permission[len(tablePrefix):], ".")
	var p authz.Privilege
	if !ok || p.UnmarshalText([]byte(privilege)) != nil {
		a.Reason, a.Detail = authz.Unmapped, "a Dataverse table has no such privilege: want Dataverse.{Table}.{Privilege}"
		return false
	}
	if r.Relate != nil && p != authz.AppendPrivilege {
		a.Reason, a.Detail = authz.BadRequest, "relate: goes with the privilege Append alone"
		return false
	}
	if named.Kind != authz.EnvironmentScope {
		a.Reason, a.Detail = authz.Unmapped, "scope: tables are those of an environment: ask at /tenants/{tenant}/environments/{environment}"
		return false
	}
	s.tables = append(s.tables, tableAsk{
		table: table, privilege: p, record: r.Record, columns: r.Columns, allColumns: r.AllColumns, field: "record",
	})
	if other := r.Relate; other != nil {
		to := tableAsk{table: other.Table, privilege: authz.AppendToPrivilege, record: other.Record, field: "relate.record"}
		if other.ManyToMany {
			to.privilege = authz.AppendPrivilege
		}
		s.tables = append(s.tables, to)
	}
	s.named = append(s.named, named)
	s.resolution.Tenants = append(s.resolution.Tenants, tenant)
	return true
}

// mapWeb is mapRequest for what a request to Dataverse's Web API asks of tables: of them as
// a whole, for such a request tells nothing of a record that access could follow from.
func (s *scratch) mapWeb(web *naming.WebRequest) {
	for i := range web.Asks {
		asked := &web.Asks[i]
		for _, p := range authz.TablePrivileges() {
			if asked.Privileges.Has(p) {
				s.tables = append(s.tables, tableAsk{
					table: asked.Table, entitySet: asked.EntitySet, privilege: p, columns: asked.Columns, allColumns: asked.AllColumns,
					carries: p == authz.AppendPrivilege || p == authz.AppendToPrivilege,
				})
			}
		}
	}
}

// tableFault says what is wrong with a question about a table, as far as the question alone
// shows it; empty: nothing.
func tableFault(r *ask.Request) string {
	for _, column := range r.Columns {
		switch {
		case column == "":
			return "columns: one of them is empty"
		case !isColumn(column):
			return "columns: one of them is no name of letters, digits, _ and -"
		}
	}
	if r.Relate != nil && r.Relate.Table == "" {
		return "relate.table: missing"
	}
	if fault := recordFault("record", r.Record); fault != "" || r.Relate == nil {
		return fault
	}
	return recordFault("relate.record", r.Relate.Record)
}

// isColumn tells whether a name can be that of a column. What is none, such as a name with a
// space behind it, would be taken for a column that nobody secured.
func isColumn(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}

// lookedUp are the lookup columns among properties: _primarycontactid_value is how the Web
// API calls what the column primarycontactid holds.
func lookedUp(properties []string) (columns []string) {
	for _, property := range properties {
		inner, before := strings.CutPrefix(property, "_")
		if column, behind := strings.CutSuffix(inner, "_value"); before && behind && column != "" {
			columns = append(columns, column)
		}
	}
	return columns
}

func recordFault(field string, record *ask.Record) string {
	if record == nil {
		return ""
	}
	if len(record.ID) > authz.MaxIDLen {
		return field + ".id: it is too long"
	}
	switch {
	case record.Owner == (authz.Principal{}):
		return ""
	case record.Owner.ID == "":
		return field + ".owner: it has no identifier"
	case record.Owner.Key().Type != authz.User && record.Owner.Type != authz.Team:
		return field + ".owner: a record is owned by a User, an ApplicationUser or a Team"
	default:
		return ""
	}
}
