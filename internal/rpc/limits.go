package rpc

import (
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// The limits of the contract: counts of items, and bytes of text.
const (
	maxQuestions      = 1000
	maxGroups         = 10000
	maxDirectoryRoles = 1000
	maxID             = 256
	maxPermission     = 256
	maxScope          = 1024
	maxMethod         = 32
	maxHost           = 255
	maxPath           = 65536
	maxCatalogue      = 128
	maxHeaders        = 16
	maxHeader         = 256
	maxColumns        = 1000
	maxWord           = 128 // a table, a column, a composite, a connector or a fact
	maxFacts          = 100
)

// limits remembers the first field that is outside its limit, as the status that the
// call fails with.
type limits struct{ err error }

func (l *limits) text(field, value string, most int) {
	if l.err == nil && len(value) > most {
		l.err = status.Errorf(codes.InvalidArgument, "%s: %d bytes, want at most %d", field, len(value), most)
	}
}

func (l *limits) count(field string, n, most int) {
	if l.err == nil && n > most {
		l.err = status.Errorf(codes.InvalidArgument, "%s: %d items, want at most %d", field, n, most)
	}
}

func (l *limits) question(field string, q *pathgrantv1.CheckQuestion) {
	l.subject(field+".subject", q.GetSubject())
	l.text(field+".permission.permission", q.GetPermission().GetPermission(), maxPermission)
	l.text(field+".permission.scope", q.GetPermission().GetScope(), maxScope)
	l.tables(field+".permission", q.GetPermission())
	l.httpRequest(field+".http_request", q.GetHttpRequest())
	l.text(field+".catalogue", q.GetCatalogue(), maxCatalogue)
}

func (l *limits) subject(field string, subject *pathgrantv1.Subject) {
	l.text(field+".tenant", subject.GetTenant(), maxID)
	l.text(field+".principal.id", subject.GetPrincipal().GetId(), maxID)
	l.ids(field+".groups", subject.GetGroups(), maxGroups)
	l.ids(field+".directory_roles", subject.GetDirectoryRoles(), maxDirectoryRoles)
}

// tables looks at what goes with a permission of a Dataverse table.
func (l *limits) tables(field string, in *pathgrantv1.PermissionTarget) {
	l.record(field+".record", in.GetRecord())
	l.count(field+".columns", len(in.GetColumns()), maxColumns)
	for i, column := range in.GetColumns() {
		if len(column) > maxWord {
			l.text(indexed(field+".columns", i), column, maxWord)
		}
	}
	if in.GetOnBehalfOf() != nil {
		l.subject(field+".on_behalf_of", in.GetOnBehalfOf())
	}
	l.text(field+".relate.table", in.GetRelate().GetTable(), maxWord)
	l.record(field+".relate.record", in.GetRelate().GetRecord())
}

func (l *limits) record(field string, in *pathgrantv1.DataverseRecord) {
	l.text(field+".id", in.GetId(), maxID)
	l.text(field+".owner.id", in.GetOwner().GetId(), maxID)
	l.text(field+".business_unit", in.GetBusinessUnit(), maxID)
}

func (l *limits) composite(field string, q *pathgrantv1.CompositeQuestion) {
	l.subject(field+".subject", q.GetSubject())
	l.text(field+".composite", q.GetComposite(), maxWord)
	l.text(field+".scope", q.GetScope(), maxScope)
	l.text(field+".object", q.GetObject(), maxID)
	l.facts(field+".connectors", q.GetConnectors())
	l.facts(field+".facts", q.GetFacts())
}

func (l *limits) facts(field string, facts map[string]bool) {
	l.count(field, len(facts), maxFacts)
	for name := range facts {
		l.text(field, name, maxWord)
	}
}

func (l *limits) ids(field string, ids []string, most int) {
	l.count(field, len(ids), most)
	for i, id := range ids {
		if len(id) > maxID { // the name is made only where it is needed
			l.text(indexed(field, i), id, maxID)
		}
	}
}

func (l *limits) httpRequest(field string, r *pathgrantv1.HttpRequest) {
	l.text(field+".method", r.GetMethod(), maxMethod)
	l.text(field+".host", r.GetHost(), maxHost)
	l.text(field+".path", r.GetPath(), maxPath)
	l.headers(field+".headers", r.GetHeaders())
	l.headers(field+".context_extensions", r.GetContextExtensions())
}

func (l *limits) headers(field string, headers map[string]string) {
	l.count(field, len(headers), maxHeaders)
	for name, value := range headers {
		l.text(field, name, maxHeader)
		l.text(field+"["+name+"]", value, maxHeader)
	}
}

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
