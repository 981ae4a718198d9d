package naming

import (
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A webTarget is what a part of a path leads to.
type webTarget struct {
	set, table string
	record     string
	collection bool
	entry      *entitySet // nil: the catalogue declares nothing of it
}

// first returns what the path's first piece names.
func (m *webMapping) first(p *webPiece) webTarget {
	return webTarget{set: p.name, record: p.id, collection: !p.isRecord(), entry: m.profile.sets[p.name]}
}

// through returns what a navigation property leads to.
func (m *webMapping) through(n *navigation, p *webPiece) webTarget {
	return webTarget{
		set: n.set, table: n.table, record: p.id,
		collection: n.kind != manyToOne && !p.isRecord(),
		entry:      m.profile.sets[n.set],
	}
}

func (t *webTarget) ask(privileges ...authz.Privilege) TableAsk {
	return TableAsk{EntitySet: t.set, Table: t.table, Record: t.record, Privileges: authz.Privileges(privileges...)}
}

// navigation returns a navigation property of the table, or nil.
func (t *webTarget) navigation(name string) *navigation {
	if t.entry == nil {
		return nil
	}
	return t.entry.navigation[name]
}

// hasColumn tells whether name is a column for sure.
func (t *webTarget) hasColumn(name string) bool {
	return isLookupValue(name) || t.entry != nil && t.entry.columns[name]
}

// carriedBy adds the lookup column that carries a relation. Where nobody said which one it
// is, it may be any.
func (a *TableAsk) carriedBy(n *navigation) {
	if n.column == "" {
		a.AllColumns = true
		return
	}
	a.Columns = append(a.Columns, n.column)
}

// crossed adds what following a navigation property reads on its two sides.
func crossed(from, to *TableAsk, n *navigation) {
	switch n.kind {
	case manyToOne:
		from.carriedBy(n)
	case oneToMany:
		to.carriedBy(n)
	default:
	}
}

// readRead maps GET and HEAD: Read of every table that the path leads through.
func (m *webMapping) readRead(pieces []webPiece) {
	at := m.first(&pieces[0])
	asks := []TableAsk{at.ask(authz.ReadPrivilege)}
	asks[0].Columns = append(asks[0].Columns, pieces[0].by...)
	last, ending := pieces[len(pieces)-1], ""
	if last.name[0] == '$' {
		ending, pieces = last.name, pieces[:len(pieces)-1]
	}
	column := ""
	for i := 1; i < len(pieces); i++ {
		p := &pieces[i]
		n := at.navigation(p.name)
		switch {
		case p.name[0] == '$' || column != "":
			m.unmapped(unmappedSystemResource)
			return
		case at.collection || !isColumnName(p.name) || p.key == emptyKey || p.key == argumentKey:
			m.unmapped(unmappedWebOperation)
			return
		case n == nil && at.hasColumn(p.name) && p.key == noKey:
			column = p.name
			continue
		case n == nil:
			m.unmapped(unmappedNavigation + p.name)
			return
		case p.isRecord() && n.kind == manyToOne:
			m.unmapped(unmappedSystemResource)
			return
		}
		at = m.through(n, p)
		next := at.ask(authz.ReadPrivilege)
		next.Columns = append(next.Columns, p.by...)
		crossed(&asks[len(asks)-1], &next, n)
		asks = append(asks, next)
	}
	m.readEnding(at, asks, ending, column, len(pieces))
}

// readEnding maps what the last segment and the query make of a read.
func (m *webMapping) readEnding(at webTarget, asks []TableAsk, ending, column string, pieces int) {
	target := &asks[len(asks)-1]
	rows := []string{optionFilter, optionAlias, optionPartition}
	switch {
	case column != "" && (ending == "" || ending == "$value"):
		if !m.allow(optionSize, optionPartition) {
			return
		}
		target.Columns = append(target.Columns, columnOf(column))
		m.web.Asks = asks
		return
	case column != "", ending == "$value":
		m.unmapped(unmappedSystemResource)
		return
	case ending == "$count" && at.collection:
		if !m.allow(rows...) {
			return
		}
	case ending == "$ref" && pieces > 1:
		if !m.allow(append(rows, optionTop, optionCount, optionOrderBy, optionSkipToken)...) {
			return
		}
	case ending != "":
		m.unmapped(unmappedSystemResource)
		return
	default:
		if !m.allow(append(rows, optionTop, optionCount, optionOrderBy, optionSkipToken, optionDeltaToken, optionSelect, optionLanguages)...) {
			return
		}
		m.readSelect(target)
	}
	m.readRows(at, target, &asks)
	m.web.Asks = asks
}

// readSelect adds the columns that $select names: all, where there is none.
func (m *webMapping) readSelect(ask *TableAsk) {
	text, ok := m.query.value(optionSelect)
	if !ok {
		ask.AllColumns = true
		return
	}
	for item := range strings.SplitSeq(text, ",") {
		switch item = strings.Trim(item, " "); {
		case item == "*":
			ask.AllColumns = true
		case isColumnName(item):
			ask.Columns = append(ask.Columns, columnOf(item))
		default:
			m.bad(refusedSelect)
			return
		}
	}
}

// The details of options that are refused.
const (
	refusedSelect    = "$select is not a list of columns"
	refusedTop       = "$top is not a number"
	refusedCountFlag = "$count is neither true nor false"
)

// readRows adds the columns by which rows are chosen and put in order: who may ask whether
// a column is greater than something knows in the end what it is.
func (m *webMapping) readRows(at webTarget, target *TableAsk, asks *[]TableAsk) {
	var x webExpression
	for _, o := range m.query.options {
		switch {
		case o.key == optionFilter || o.key[0] == '@':
			x.readFilter(o.value)
		case o.key == optionOrderBy:
			x.readOrder(o.value)
		case o.key == optionTop && !isCount(o.value):
			m.bad(refusedTop)
		case o.key == optionCount && o.value != "true" && o.value != "false":
			m.bad(refusedCountFlag)
		case o.key == optionSkipToken || o.key == optionDeltaToken:
			// A token says where to go on by the values of columns, and which, it does not
			// say in a way that could be relied on.
			target.AllColumns = true
		}
		if x.refusal != "" {
			m.refuseExpression(x.refusal)
			return
		}
	}
	target.Columns = append(target.Columns, x.columns...)
	first := len(*asks)
	for _, b := range x.behind {
		n := at.navigation(b.navigation)
		if n == nil || n.kind != manyToOne {
			m.unmapped(unmappedQueryNavigation)
			return
		}
		(*asks)[first-1].carriedBy(n)
		next := TableAsk{EntitySet: n.set, Table: n.table, Privileges: authz.Privileges(authz.ReadPrivilege), Columns: []string{b.column}}
		if known := slices.IndexFunc((*asks)[first:], func(a TableAsk) bool { return a.EntitySet == n.set && a.Table == n.table }); known >= 0 {
			(*asks)[first+known].Columns = append((*asks)[first+known].Columns, b.column)
			continue
		}
		*asks = append(*asks, next)
	}
}

const unmappedQueryNavigation = "the query has a path over a navigation property that the catalogue does not declare as leading to one record"

// refuseExpression refuses with the reason that goes with the detail.
func (m *webMapping) refuseExpression(detail string) {
	switch detail {
	case unmappedLambda, unmappedFunction, unmappedLongPath, unmappedPropertyName:
		m.unmapped(detail)
	default:
		m.bad(detail)
	}
}

// readChange maps POST, PATCH and DELETE of a table or a record.
func (m *webMapping) readChange(method string, p webPiece) {
	at := m.first(&p)
	var ask TableAsk
	options := []string{optionPartition}
	switch {
	case method == "POST" && at.collection:
		ask, options = at.ask(authz.CreatePrivilege), append(options, optionSelect)
	case method == "PATCH" && !at.collection:
		privileges, ok := m.upsert()
		if !ok {
			return
		}
		ask, options = at.ask(privileges...), append(options, optionSelect)
	case method == "DELETE" && !at.collection:
		ask = at.ask(authz.DeletePrivilege)
	case method == "PATCH" || method == "PUT" || method == "DELETE":
		if at.collection {
			m.unmapped(unmappedBulk)
			return
		}
		fallthrough
	default:
		m.unmapped(unmappedWebMethod)
		return
	}
	if !m.allow(options...) {
		return
	}
	// What is set stands in the body.
	ask.AllColumns = method != "DELETE"
	m.web.Asks = append(m.web.Asks, ask)
	m.readRepresentation(at, method)
}

// upsert returns what PATCH of a record asks: it makes the record if it is not there, and
// changes it if it is, unless a condition leaves only the one or the other.
//
// A condition counts only in a form that the Web API is documented to heed. Clients send
// If-None-Match: null with every request, which is no condition.
func (m *webMapping) upsert() (privileges []authz.Privilege, ok bool) {
	exists, missing := isETag(m.header(headerIfMatch)), m.header(headerIfNoneMatch) == "*"
	switch {
	case exists && missing:
		m.bad(refusedConditions)
		return nil, false
	case exists:
		return []authz.Privilege{authz.WritePrivilege}, true
	case missing:
		return []authz.Privilege{authz.CreatePrivilege}, true
	}
	return []authz.Privilege{authz.CreatePrivilege, authz.WritePrivilege}, true
}

// isETag tells whether a condition is * or one entity tag.
func isETag(text string) bool {
	if text == "*" {
		return true
	}
	text = strings.TrimPrefix(text, "W/")
	return len(text) > 2 && text[0] == '"' && strings.IndexByte(text[1:], '"') == len(text)-2
}

// readRepresentation adds Read where the changed record is to be sent back.
func (m *webMapping) readRepresentation(at webTarget, method string) {
	_, selected := m.query.value(optionSelect)
	if method == "DELETE" || !selected && !strings.Contains(lowerASCII(m.header(headerPrefer)), "representation") {
		return
	}
	ask := at.ask(authz.ReadPrivilege)
	m.readSelect(&ask)
	m.web.Asks = append(m.web.Asks, ask)
}

// readBehindRecord maps what changes a column of a record, or attaches it to another.
func (m *webMapping) readBehindRecord(method string, pieces []webPiece) {
	at, p := m.first(&pieces[0]), &pieces[1]
	reference := len(pieces) == 3 && pieces[2].name == "$ref"
	switch {
	case at.collection || !isColumnName(p.name) || p.key == emptyKey || p.key == argumentKey:
		m.unmapped(unmappedWebOperation)
	case reference:
		m.readReference(method, at, p)
	case len(pieces) > 2:
		m.unmapped(unmappedThrough)
	case method == "POST":
		m.unmapped(unmappedWebOperation)
	default:
		m.readColumn(method, at, p)
	}
}

// readColumn maps PUT, PATCH and DELETE of one column. The Web API has no other meaning
// for PUT and DELETE there; PATCH sends a file to a column, and could change the record
// that a navigation property leads to.
func (m *webMapping) readColumn(method string, at webTarget, p *webPiece) {
	switch {
	case at.navigation(p.name) != nil:
		m.unmapped(unmappedThrough)
		return
	case method != "PUT" && method != "PATCH" && method != "DELETE":
		m.unmapped(unmappedWebMethod)
		return
	case p.key != noKey || method == "PATCH" && !at.hasColumn(p.name), strings.HasSuffix(p.name, partiesSuffix):
		m.unmapped(unmappedNavigation + p.name)
		return
	}
	if !m.allow(optionPartition) {
		return
	}
	ask := at.ask(authz.WritePrivilege)
	ask.Columns = append(ask.Columns, columnOf(p.name))
	m.web.Asks = append(m.web.Asks, ask)
	m.readRepresentation(at, method)
}

// partiesSuffix ends the names of the collections of activity parties, the only ones that
// PUT sets as a whole.
const partiesSuffix = "_activity_parties"

// readReference maps attaching a record to another, and detaching it. Which record it is
// may stand in the body; of which table it is, the catalogue says.
func (m *webMapping) readReference(method string, at webTarget, p *webPiece) {
	n := at.navigation(p.name)
	switch {
	case n == nil:
		m.unmapped(unmappedTarget + p.name)
		return
	case n.readOnly:
		m.unmapped(unmappedReadOnly + p.name)
		return
	}
	other := m.through(n, p)
	single := n.kind == manyToOne
	switch {
	case single && p.key == noKey && (method == "PUT" || method == "DELETE"),
		!single && p.key == noKey && method == "POST":
		if !m.allow() {
			return
		}
	case !single && method == "DELETE" && p.key == guidKey:
		if !m.allow() {
			return
		}
	case !single && method == "DELETE" && p.key == noKey:
		if !m.allow(optionID) || !m.readID(n, &other) {
			return
		}
	default:
		m.unmapped(unmappedWebMethod)
		return
	}
	m.relate(at, other, n)
}

// relate asks Append of what is attached and AppendTo of what it is attached to.
func (m *webMapping) relate(at, other webTarget, n *navigation) {
	from, to := at, other
	if n.kind == oneToMany {
		from, to = other, at
	}
	m.web.Relates, m.web.ManyToMany = true, n.kind == manyToMany
	attached, target := from.ask(authz.AppendPrivilege), to.ask(authz.AppendToPrivilege)
	if n.kind == manyToMany {
		target = to.ask(authz.AppendPrivilege)
	} else {
		attached.carriedBy(n)
	}
	m.web.Asks = append(m.web.Asks, attached, target)
}

const refusedID = "$id does not name a record of the table that the navigation property leads to"

// readID reads which record is to be detached: its path or its address.
func (m *webMapping) readID(n *navigation, other *webTarget) bool {
	text, ok := m.query.value(optionID)
	if !ok {
		m.unmapped(unmappedBulk)
		return false
	}
	if address, ok := strings.CutPrefix(text, "https://"); ok {
		host, path, found := strings.Cut(address, "/api/data/")
		version, rest, versioned := strings.Cut(path, "/")
		if !found || !versioned || !isHost(lowerASCII(host)) || !isWebVersion(version) {
			m.bad(refusedID)
			return false
		}
		text = rest
	}
	piece, refusal := readPiece(text)
	if refusal != "" || piece.key != guidKey || n.set == "" || piece.name != n.set {
		m.bad(refusedID)
		return false
	}
	other.record, other.collection = piece.id, false
	return true
}
