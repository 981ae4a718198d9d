package naming

import (
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A service is a gRPC service that the catalogue lists.
type service struct {
	methods     map[string]method
	scopes      []grpcScope
	typeName    string // namespace and resource type in lower case
	tenantLevel bool
}

// A method is what a gRPC method asks for.
type method struct {
	permission authz.PermissionID
	decidedBy  string
	rule       string
}

// A grpcScope says which header or context extension names a scope.
type grpcScope struct {
	scope     scopeType
	header    string // or, if empty,
	extension string
	missing   string // the detail of a request that lacks it
}

// The details of what the grpc section does not map.
const (
	unmappedGRPC      = "the catalogue does not list the gRPC service and method"
	refusedGRPCMethod = "a gRPC request is a POST"
	refusedGRPCScope  = "the value that names the scope is no identifier"
)

// verbs are the gRPC methods' first words and the actions that they stand for.
var verbs = map[string]string{
	"Get": actionRead, "List": actionRead, "BatchGet": actionRead,
	"Create": actionCreate, "BatchCreate": actionCreate,
	"Update": actionUpdate,
	"Delete": actionDelete, "BatchDelete": actionDelete,
}

// resolveGRPC maps /pkg.Service/Method. The path is compared as it came: what a gRPC
// server would not decode is not decoded here.
func (c *Catalogue) resolveGRPC(req *Request, r *Resolution) {
	if req.Method != "POST" {
		r.refuse(authz.Unmapped, refusedGRPCMethod)
		return
	}
	name, methodName, _ := strings.Cut(req.Path[1:], "/")
	s := c.services[name]
	if s == nil {
		r.refuse(authz.Unmapped, unmappedGRPC)
		return
	}
	m, ok := s.methods[methodName]
	if !ok {
		r.refuse(authz.Unmapped, unmappedGRPC)
		return
	}
	// Without a scope of its own a service is the tenant's, also behind the host of an
	// environment.
	missing, detail, bad := c.mentionHeaders(req, r, s)
	if bad {
		r.refuse(authz.BadRequest, refusedGRPCScope)
		return
	}
	r.Permissions = append(r.Permissions, m.permission)
	r.DecidedBy, r.Rule, r.Detail = m.decidedBy, m.rule, detail
	r.settleScopes(missing || s.tenantLevel || len(s.scopes) == 0)
}

// mentionHeaders notes the scopes that headers and context extensions name for a service.
// It tells whether one is missing, and which, and whether one is no identifier.
func (c *Catalogue) mentionHeaders(req *Request, r *Resolution, s *service) (missing bool, detail string, bad bool) {
	for i := range s.scopes {
		scope := &s.scopes[i]
		value := scope.value(req)
		if value == "" {
			missing, detail = true, scope.missing
			continue
		}
		id, err := c.headerID(value)
		if err != nil {
			return missing, detail, true
		}
		r.named = append(r.named, mention{kind: scope.scope.kind, word: scope.scope.word, id: id, at: i})
	}
	return missing, detail, false
}

// value returns what the request says for the scope, or "".
func (s *grpcScope) value(req *Request) string {
	from, name := req.Header, s.header
	if name == "" {
		from, name = req.ContextExtension, s.extension
	}
	if from == nil {
		return ""
	}
	return from(name)
}

// headerID gives an identifier from outside the path its one spelling.
func (c *Catalogue) headerID(value string) (string, error) {
	plain := len(value) <= authz.MaxIDLen && value != "." && value != ".."
	for i := 0; plain && i < len(value); i++ {
		plain = byteClass[value[i]] == standing
	}
	if plain {
		return authz.CanonicalID(value, c.fold), nil // allocates only where it changes something
	}
	return authz.CanonicalPathID(value, c.fold)
}

// methodNames returns the resource type's name in the singular and in the plural, as
// gRPC methods have it behind their verb. A name that could be either is given as both.
func methodNames(resourceType string) []string {
	if strings.ContainsRune(resourceType, '.') {
		return nil
	}
	names := []string{resourceType}
	stem, plural := strings.CutSuffix(resourceType, "s")
	switch {
	case strings.HasSuffix(resourceType, "ies"):
		return append(names, strings.TrimSuffix(resourceType, "ies")+"y", stem)
	case plural && !strings.HasSuffix(stem, "s") && !strings.HasSuffix(stem, "u") && !strings.HasSuffix(stem, "i"):
		names = append(names, stem)
		for _, sibilant := range []string{"ses", "xes", "zes", "ches", "shes"} {
			if strings.HasSuffix(resourceType, sibilant) {
				names = append(names, strings.TrimSuffix(resourceType, "es"))
			}
		}
		return names
	case strings.HasSuffix(resourceType, "y") && !strings.ContainsRune("aeiou", rune(resourceType[max(len(resourceType)-2, 0)])):
		return append(names, strings.TrimSuffix(resourceType, "y")+"ies")
	}
	for _, sibilant := range []string{"s", "x", "z", "ch", "sh"} {
		if strings.HasSuffix(resourceType, sibilant) {
			return append(names, resourceType+"es")
		}
	}
	return append(names, resourceType+"s")
}
