package bundle

import (
	"io"

	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The kinds of mapping in a bundle.
var (
	bundleRecord = record{keys: []string{"apiVersion", "tenants"}, required: 2}
	tenantRecord = record{keys: []string{
		"id", "directoryComplete", "environmentGroups", "environments", "businessUnits", "tables",
		"principals", "groups", "users", "teams", "columnProfiles", "shares", "apps", "flows",
		"roleDefinitions", "roleAssignments",
	}, required: 1}
	environmentGroupRecord = record{keys: []string{"id", "environments"}, required: 2}
	environmentRecord      = record{keys: []string{"id", "dataverse"}, required: 1}
	businessUnitRecord     = record{keys: []string{"id", "environment", "parent"}, required: 2}
	principalRecord        = record{keys: []string{"principalType", "principalObjectId", "disabled", "displayName", "mail", "owners"}, required: 2}
	groupRecord            = record{keys: []string{"id", "members", "displayName", "owners"}, required: 2}
	memberRecord           = record{keys: []string{"principalType", "principalObjectId"}, required: 2}
	roleDefinitionRecord   = record{keys: []string{
		"roleDefinitionId", "roleDefinitionName", "description", "permissions", "permissionsExceptions",
		"assignableScopes", "restrictedScopes", "assignableRoles",
		"environment", "businessUnit", "privileges", "teamOnly",
	}, required: 2}
	roleAssignmentRecord = record{keys: []string{
		"principalType", "principalObjectId", "scope", "roleAssignmentId", "roleDefinitionId", "roleDefinitionName",
		"effect", "expiresOn", "createdOn", "createdByPrincipalType", "createdByPrincipalObjectId",
	}, required: 3}
)

// A parser reads one bundle.
type parser struct {
	foldCase   bool
	vocabulary *authz.Vocabulary
	now        int64 // Unix seconds; 0: nothing has expired
	shipped    roleTable
	standard   map[string]*authz.Table // standard tables, by key

	// Of a bundle whose lists of role assignments are read item by item: its name and text,
	// and where to put the lists that are to be read later; nil: none.
	file     string
	document io.ReaderAt
	later    *[]laterList
	progress func(done int64) // in a list; may be nil
	failed   error            // reading a list again
}

// A laterList is a list of role assignments and all that is needed to read it.
type laterList struct {
	tenant *tenantReader
	list   strictyaml.HeldList
}

func newParser(o Options) *parser {
	p := &parser{foldCase: o.FoldCase, vocabulary: o.Vocabulary, shipped: newRoleTable(), standard: map[string]*authz.Table{}}
	if !o.Now.IsZero() {
		p.now = o.Now.Unix()
	}
	defs := o.Roles
	if defs == nil {
		defs = roles.All()
	}
	for _, def := range defs {
		p.shipped.add(&customRole{RoleDefinition: def})
	}
	for _, table := range roles.StandardTables() {
		p.standard[authz.TableKey(table.Name)] = &table
	}
	return p
}

func (p *parser) read(root strictyaml.Value) *snapshot.Data {
	f := bundleRecord.read(root)
	if v, ok := f.value("apiVersion"); ok {
		if text := v.Text(); text != "" && text != APIVersion {
			v.Problemf("want %s, not %q", APIVersion, text)
		}
	}
	data := &snapshot.Data{}
	if v, ok := f.value("tenants"); ok && v.IsNull() {
		v.Problemf("want a list of tenants: an empty one is []")
	}
	lines := map[string]int{}
	f.list("tenants", func(v strictyaml.Value) {
		t := p.tenant(v)
		if t.ID == "" {
			return
		}
		if once(lines, t.ID, v, "tenant %q", t.ID) {
			data.Tenants = append(data.Tenants, t)
		}
	})
	return data
}

// once tells whether the key is new, and remembers its line; otherwise it is a problem
// that names the line where it stood first.
func once[K comparable](lines map[K]int, key K, v strictyaml.Value, what string, args ...any) bool {
	if first, twice := lines[key]; twice {
		v.Problemf(what+" is listed twice: first on line %d", append(args, first)...)
		return false
	}
	lines[key] = v.Line()
	return true
}

// A tenantReader reads one tenant. Its sections are read in the order in which they
// refer to each other, whatever their order in the file.
type tenantReader struct {
	*parser
	tenant snapshot.Tenant

	groupLines  map[string]int    // environment groups
	inGroup     map[string]string // environment → its group
	listed      map[string]int    // environments listed by themselves
	databases   map[string]bool   // environments that have one
	units       map[inEnvironment]bool
	roots       map[string]int // environment → how many business units lie below none
	tables      map[inEnvironment]*authz.Table
	users       map[userIn]*snapshot.EnvironmentUser
	teams       map[string]*snapshot.Team
	hierarchy   *authz.Hierarchy
	roles       roleTable
	scopes      map[string]*scopeInfo
	assignable  map[assignableKey]bool
	businessBad bool // a business unit had a problem, so that scopes of others can't be judged

	list  assignmentList // of role assignments
	quick quickReader
}

func (p *parser) tenant(v strictyaml.Value) snapshot.Tenant {
	f := tenantRecord.read(v)
	t := &tenantReader{
		parser:     p,
		groupLines: map[string]int{},
		inGroup:    map[string]string{},
		listed:     map[string]int{},
		databases:  map[string]bool{},
		units:      map[inEnvironment]bool{},
		roots:      map[string]int{},
		tables:     map[inEnvironment]*authz.Table{},
		users:      map[userIn]*snapshot.EnvironmentUser{},
		teams:      map[string]*snapshot.Team{},
		roles:      newRoleTable(),
		scopes:     map[string]*scopeInfo{},
		assignable: map[assignableKey]bool{},
	}
	if id, ok := f.value("id"); ok {
		t.tenant.ID = p.tenantID(id)
	}
	t.tenant.DirectoryComplete = f.bool("directoryComplete")
	t.readEnvironmentGroups(&f)
	t.readEnvironments(&f)
	t.readBusinessUnits(&f)
	t.buildHierarchy(v)
	t.readTables(&f)
	t.readPrincipals(&f)
	t.readGroups(&f)
	t.readUsers(&f)
	t.readTeams(&f)
	t.readColumnProfiles(&f)
	t.readShares(&f)
	t.readApps(&f)
	t.readFlows(&f)
	t.readRoleDefinitions(&f)
	t.readRoleAssignments(&f)
	return t.tenant
}

// principal reads principalType and principalObjectId, under the names given. Its
// identifier is empty after a problem.
func (p *parser) principal(f *fields, typeKey, idKey string, want ...authz.PrincipalType) authz.Principal {
	var principal authz.Principal
	typeOK := false
	if v, ok := f.value(typeKey); ok {
		var i int
		if i, typeOK = oneOf(v, names(want)); typeOK {
			principal.Type = want[i]
		}
	}
	if v, ok := f.value(idKey); ok {
		principal.ID = p.objectID(v)
	}
	if !typeOK {
		return authz.Principal{}
	}
	return principal
}

// holders are all who can be assigned a role.
var holders = []authz.PrincipalType{authz.User, authz.Group, authz.ApplicationUser, authz.DirectoryRole, authz.Team}
