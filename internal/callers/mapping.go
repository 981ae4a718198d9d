package callers

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

//go:embed administration.yaml
var administration []byte

// A Need is what the catalogue of administration says that a call needs. The zero Need is
// of a call that is not listed, which nobody may make.
type Need struct {
	// Listed says that the catalogue knows the call.
	Listed bool
	// Public calls need no caller.
	Public bool
	// Operator calls are for an operator alone, whatever somebody's roles say.
	Operator bool
	// Permissions must be held at the scopes that the call affects.
	Permissions []authz.Permission
}

// A Mapping is the catalogue of administration. It is safe for concurrent use.
type Mapping struct {
	catalogue  *naming.Catalogue
	vocabulary *authz.Vocabulary
	resolved   sync.Pool
}

// NewMapping loads the embedded catalogue.
func NewMapping() (*Mapping, error) {
	loaded, err := naming.Load(naming.Source{File: "administration.yaml", Text: administration})
	if err != nil {
		return nil, fmt.Errorf("load the catalogue of administration: %w", err)
	}
	m := &Mapping{catalogue: loaded.Default(), vocabulary: loaded.Vocabulary()}
	m.resolved.New = func() any { return new(naming.Resolution) }
	return m, nil
}

// Of says what a call needs: a gRPC call is a POST of /package.Service/Method.
func (m *Mapping) Of(method, path string) Need {
	r, ok := m.resolved.Get().(*naming.Resolution)
	if !ok {
		return Need{}
	}
	defer m.resolved.Put(r)
	m.catalogue.Resolve(naming.Request{Method: method, Path: path}, r)
	switch {
	case r.Reason == authz.Public:
		return Need{Listed: true, Public: true}
	case r.Reason == authz.Unmapped && strings.HasPrefix(r.Detail, "the catalogue denies the route "):
		return Need{Listed: true, Operator: true}
	case r.Reason != authz.ReasonUnspecified || r.DecidedBy != naming.ByRoute:
		return Need{}
	}
	need := Need{Listed: true}
	for _, id := range r.Permissions {
		need.Permissions = append(need.Permissions, m.vocabulary.Name(id))
	}
	return need
}

// VocabularySource is a catalogue that maps nothing that anybody would send and has the
// permissions that administration asks for. Loaded beside others, it makes them known to
// roles whatever the others declare. foldCase must be what the others have.
func VocabularySource(foldCase bool) naming.Source {
	return naming.Source{File: "administration.yaml (embedded)", Text: fmt.Appendf(nil, `catalogue: pathgrant-administration
caseInsensitivePaths: %t
routes:
  - method: POST
    path: /pathgrant-administration
    permissions: [Authorization.RoleAssignments.Read, Authorization.RoleAssignments.Write, Authorization.RoleAssignments.Delete, Authorization.RoleDefinitions.Read, UserManagement.Users.Apply]
`, foldCase)}
}
