package client

import (
	"errors"
	"fmt"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A Subject is the caller with what it is known to belong to, within one tenant. Whoever
// fills it in vouches for it: take it from a verified token, never from the request. The
// zero Subject is nobody, who may use what is public.
type Subject struct {
	// Tenant is the token's tid.
	Tenant string
	// Principal is the caller, an [authz.User] or an [authz.ApplicationUser], by object id.
	Principal authz.Principal
	// Groups are object ids of the groups that the token names; nested groups are added by
	// the server.
	Groups []string
	// DirectoryRoles are template ids of directory roles, the token's wids.
	DirectoryRoles []string
	// GroupsUnknown says that the token could not carry its groups. Leave it false only
	// where Groups is complete: what is missing may be a DENY.
	GroupsUnknown bool
}

// nobody tells whether the subject is the zero Subject.
func (s Subject) nobody() bool {
	return s.Tenant == "" && s.Principal == authz.Principal{} &&
		len(s.Groups) == 0 && len(s.DirectoryRoles) == 0 && !s.GroupsUnknown
}

// Validate reports everything that keeps the subject from being asked about. Half a subject
// is an error, never nobody. The zero Subject is valid.
func (s Subject) Validate() error {
	if s.nobody() {
		return nil
	}
	var errs []error
	if s.Tenant == "" {
		errs = append(errs, errors.New("subject.tenant: missing"))
	}
	if s.Principal.ID == "" {
		errs = append(errs, errors.New("subject.principal.id: missing"))
	}
	if s.Principal.Type != authz.User && s.Principal.Type != authz.ApplicationUser {
		errs = append(errs, fmt.Errorf("subject.principal.type: %q: want User or ApplicationUser", s.Principal.Type))
	}
	for _, list := range []struct {
		field string
		ids   []string
	}{{"subject.groups", s.Groups}, {"subject.directory_roles", s.DirectoryRoles}} {
		for i, id := range list.ids {
			if id == "" { // it got lost on the way here, and may be that of a DENY
				errs = append(errs, fmt.Errorf("%s[%d]: empty", list.field, i))
			}
		}
	}
	return errors.Join(errs...)
}

func (s Subject) message() *pathgrantv1.Subject {
	if s.nobody() {
		return nil
	}
	principalType := pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER
	if s.Principal.Type == authz.ApplicationUser {
		principalType = pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER
	}
	return &pathgrantv1.Subject{
		Tenant:         s.Tenant,
		Principal:      &pathgrantv1.Principal{Type: principalType, Id: s.Principal.ID},
		Groups:         s.Groups,
		DirectoryRoles: s.DirectoryRoles,
		GroupsUnknown:  s.GroupsUnknown,
	}
}

// An HTTPRequest is what of an HTTP request says what it wants to do.
type HTTPRequest struct {
	// Method is the method as it was received: get is not GET.
	Method string
	// Host is the host as it was received. It may name an environment or a tenant.
	Host string
	// Path is the request target as it was received, escapes and all. What follows the
	// first "?" is cut off. Never clean, decode or join it first: a path that can be read
	// in two ways is refused, and only the original shows that.
	Path string
	// GRPC says that it is a gRPC call: Method is POST, Path is /package.Service/Method,
	// and the catalogue's grpc section maps it.
	GRPC bool
	// Headers, by name in lower case, are those that the grpc section says name a scope and,
	// where the catalogue maps Dataverse's Web API, if-match, if-none-match, prefer,
	// mscrmcallerid and callerobjectid. No others are read; of those, leave out none that the
	// request has.
	Headers map[string]string
	// ContextExtensions are what a proxy's configuration would attach to the route, such as
	// environment: e1. Never take them from the request.
	ContextExtensions map[string]string
}

func (r HTTPRequest) message() *pathgrantv1.HttpRequest {
	return &pathgrantv1.HttpRequest{Method: r.Method, Host: r.Host, Path: r.Path, Grpc: r.GRPC, Headers: r.Headers, ContextExtensions: r.ContextExtensions}
}

// A Question asks whether a subject may do something: a permission at a scope, or an HTTP
// request, and never both.
type Question struct {
	Subject Subject
	// Permission at Scope, for a caller who knows which one is needed.
	Permission authz.Permission
	Scope      authz.Scope
	// Dataverse goes with a permission of a Dataverse table at an environment, and with no
	// other; nil: all of the table.
	Dataverse *DataverseQuestion
	// HTTP is a request that the server maps to permissions and scopes; nil: none.
	HTTP *HTTPRequest
	// Catalogue maps the request and knows the permission; empty: the server's default.
	Catalogue string
}

func (q Question) message() (*pathgrantv1.CheckQuestion, error) {
	var errs []error
	direct := q.Permission != "" || q.Scope != ""
	switch {
	case direct && q.HTTP != nil:
		errs = append(errs, errors.New("permission and HTTP: want one or the other"))
	case direct && (q.Permission == "" || q.Scope == ""):
		errs = append(errs, errors.New("permission and scope: want both"))
	case !direct && q.HTTP == nil:
		errs = append(errs, errors.New("permission and scope, or HTTP: missing"))
	case !direct && q.Dataverse != nil:
		errs = append(errs, errors.New("dataverse: goes with permission and scope"))
	}
	errs = append(errs, q.Subject.Validate(), q.Dataverse.validate())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	in := &pathgrantv1.CheckQuestion{Subject: q.Subject.message(), Catalogue: q.Catalogue}
	if q.HTTP != nil {
		in.Target = &pathgrantv1.CheckQuestion_HttpRequest{HttpRequest: q.HTTP.message()}
	} else {
		target := &pathgrantv1.PermissionTarget{Permission: string(q.Permission), Scope: string(q.Scope)}
		q.Dataverse.fill(target)
		in.Target = &pathgrantv1.CheckQuestion_Permission{Permission: target}
	}
	return in, nil
}
