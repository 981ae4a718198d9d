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
	subject := q.GetSubject()
	l.text(field+".subject.tenant", subject.GetTenant(), maxID)
	l.text(field+".subject.principal.id", subject.GetPrincipal().GetId(), maxID)
	l.ids(field+".subject.groups", subject.GetGroups(), maxGroups)
	l.ids(field+".subject.directory_roles", subject.GetDirectoryRoles(), maxDirectoryRoles)
	l.text(field+".permission.permission", q.GetPermission().GetPermission(), maxPermission)
	l.text(field+".permission.scope", q.GetPermission().GetScope(), maxScope)
	l.httpRequest(field+".http_request", q.GetHttpRequest())
	l.text(field+".catalogue", q.GetCatalogue(), maxCatalogue)
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
	l.count(field+".headers", len(r.GetHeaders()), maxHeaders)
	for name, value := range r.GetHeaders() {
		l.text(field+".headers", name, maxHeader)
		l.text(field+".headers["+name+"]", value, maxHeader)
	}
}

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
