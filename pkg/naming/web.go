package naming

import (
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// A WebRequest is what a request to the Dataverse Web API asks of an environment's
// database. The zero WebRequest asks for nothing, which nobody is granted.
type WebRequest struct {
	// Asks must all be allowed, each of its privileges. Never empty where the request was
	// mapped.
	Asks []TableAsk
	// Relates says that the first of Asks is attached to the second, or detached from it.
	// Their privileges say so already: Append and AppendTo or, where many relate to many,
	// Append on both.
	Relates bool
	// ManyToMany says that many of the one relate to many of the other.
	ManyToMany bool
}

// A TableAsk is what a request asks of one table. The zero TableAsk asks for nothing.
type TableAsk struct {
	// EntitySet names the table as paths do, exactly; where it is empty, Table does.
	EntitySet string
	// Table is the table's name, as in permissions; empty where EntitySet names it.
	Table string
	// Record is the identifier of the record, a GUID in lower case; empty for a whole table
	// and for a record that is named by other columns than its identifier.
	Record string
	// Privileges are of the eight that tables have.
	Privileges authz.PrivilegeSet
	// Columns are the ones that the request is known to read or set.
	Columns []string
	// AllColumns says that the request may read or set any column of the table besides.
	AllColumns bool
}

// The headers that change what a request to the Web API asks.
const (
	headerIfMatch     = "if-match"
	headerIfNoneMatch = "if-none-match"
	headerPrefer      = "prefer"
	headerCallerID    = "mscrmcallerid"
	headerCallerOID   = "callerobjectid"
)

func webHeaders() []string {
	return []string{headerIfMatch, headerIfNoneMatch, headerPrefer, headerCallerID, headerCallerOID}
}

// Headers returns the lower-case names of the request headers that mapping an HTTP request
// with this catalogue looks at, so that an adapter can hand in these and no others; nil for
// a catalogue without a profile. Several values of one header are handed in joined by ", ".
func (c *Catalogue) Headers() []string {
	if c == nil || c.web == nil {
		return nil
	}
	return webHeaders()
}

// Headers returns the names that [Catalogue.Headers] returns for any of the catalogues.
func (c *Catalogues) Headers() []string {
	for _, catalogue := range c.all {
		if headers := catalogue.Headers(); headers != nil {
			return headers
		}
	}
	return nil
}

// A webProfile is what a catalogue with profile: dataverse declares.
type webProfile struct {
	environments map[string]string // by host; nil: any host
	extension    string            // the context extension that names the environment; "": none
	sets         map[string]*entitySet
	routes       map[string]*webRoute // by method and pattern
}

// An entitySet is what paths and queries may name behind a record of it.
type entitySet struct {
	columns    map[string]bool
	navigation map[string]*navigation
}

// A navigation leads from a record of one table to records of another.
type navigation struct {
	set, table string // where it leads: one of them
	kind       navigationKind
	column     string // the lookup column that carries it; "": nobody said
	readOnly   bool   // it can be followed, and nothing be attached by it
	line       int    // of its declaration; 0: it was taken over
}

// A navigationKind says how many records relate to how many, seen from where the
// navigation starts.
type navigationKind uint8

const (
	notNavigable navigationKind = iota
	// manyToOne starts at the record that has the lookup column.
	manyToOne
	// oneToMany leads to the records that have it.
	oneToMany
	manyToMany
	// contains leads to what is part of the record; it can be read and not attached.
	contains
)

var navigationKinds = map[string]navigationKind{
	"manyToOne": manyToOne, "oneToMany": oneToMany, "manyToMany": manyToMany, "contains": contains,
}

// A webRoute names the privileges that an operation takes.
type webRoute struct {
	method string
	rule   string // as it was written
	asks   []TableAsk
	deny   string // why, if the route denies
}

// The details of what the profile does not map.
const (
	unmappedWebOverride    = "a permission override does not apply to the Dataverse Web API: what it asks for are privileges on tables"
	unmappedWebGRPC        = "the Dataverse Web API is not spoken over gRPC"
	unmappedWebPath        = "the path is not one of the Dataverse Web API: want /api/data/v9.x/…"
	unmappedNoEnvironment  = "nothing names the environment: list the host under hosts, or set the context extension that the catalogue names"
	unmappedEnvironments   = "the host and the proxy's configuration name different environments"
	unmappedImpersonation  = "impersonation is refused: the request acts for another user by the header "
	unmappedBatch          = "$batch is refused: what is in a batch stands in the body, which is not read"
	unmappedSystemResource = "no route names this resource of the Web API's own"
	unmappedWebOperation   = "functions, actions and types are refused unless a route names them"
	unmappedWebMethod      = "the profile has no meaning for this method on this path"
	unmappedBulk           = "a change names one record: the key is missing"
	unmappedNavigation     = "this is no column and no navigation property that the catalogue declares, and it may lead to another table: "
	unmappedTarget         = "the catalogue does not declare this navigation property, so that the table it leads to is not known: "
	unmappedThrough        = "a record is changed by the path of its own entity set, not through a navigation property"
	unmappedReadOnly       = "the catalogue lets the navigation property be followed, and nothing be attached by it: "
	unmappedOption         = "the request has a query option that this profile does not read here"
	unmappedRoutedOption   = "an operation that a route names takes no query options but parameters"
	refusedDollar          = "the request escapes a $"
	refusedConditions      = "If-Match and If-None-Match: * contradict each other"
	refusedWebTenant       = "the value that names the tenant is no identifier"
	refusedWebEnvironment  = "the value that names the environment is no identifier"
)

// resolveWeb maps a request to the Dataverse Web API. The path was taken apart before.
func (c *Catalogue) resolveWeb(req Request, r *Resolution) {
	switch {
	case req.Override != "":
		r.refuse(authz.Unmapped, unmappedWebOverride)
		return
	case req.GRPC:
		r.refuse(authz.Unmapped, unmappedWebGRPC)
		return
	}
	// What is ambiguous comes before what is not mapped.
	if hasEscapedDollar(req.Path) {
		r.refuse(authz.BadRequest, refusedDollar)
		return
	}
	m := webMapping{profile: c.web, req: &req}
	if m.read(r); m.refusal != authz.ReasonUnspecified {
		r.refuse(m.refusal, m.detail)
		return
	}
	if !c.nameEnvironment(&req, r) {
		return
	}
	r.Web = &m.web
	r.DecidedBy, r.Rule = m.decidedBy, m.rule
}

// tenantExtension is the context extension that says whose the organization behind a route is.
// Without it the environment is looked for in the caller's own tenant, whichever that is.
const tenantExtension = "tenant"

// nameEnvironment finds the one environment that the host, the catalogue's hosts and the
// proxy's configuration name. Where there is none, or more than one, it refuses.
func (c *Catalogue) nameEnvironment(req *Request, r *Resolution) bool {
	if id, ok := c.web.environments[trimHost(viewOf(r.host))]; ok {
		r.named = append(r.named, mention{kind: authz.EnvironmentScope, id: id, at: beforePath})
	}
	if c.web.extension != "" && req.ContextExtension != nil {
		if value := req.ContextExtension(c.web.extension); value != "" {
			id, err := c.headerID(value)
			if err != nil {
				r.refuse(authz.BadRequest, refusedWebEnvironment)
				return false
			}
			r.named = append(r.named, mention{kind: authz.EnvironmentScope, id: id, at: beforePath})
		}
	}
	if req.ContextExtension != nil {
		if value := req.ContextExtension(tenantExtension); value != "" {
			id, err := c.headerID(value)
			if err != nil {
				r.refuse(authz.BadRequest, refusedWebTenant)
				return false
			}
			r.named = append(r.named, mention{kind: authz.TenantScope, id: id, at: beforePath})
		}
	}
	r.settleScopes(false)
	switch {
	case len(r.Scopes) > 1:
		r.refuse(authz.Unmapped, unmappedEnvironments)
	case r.Scopes[0].Kind != authz.EnvironmentScope:
		r.refuse(authz.Unmapped, unmappedNoEnvironment)
	default:
		return true
	}
	return false
}

// hasEscapedDollar tells whether the target, query included, has an escape of $.
func hasEscapedDollar(target string) bool { return strings.Contains(target, "%24") }

// webMapping maps one request.
type webMapping struct {
	profile *webProfile
	req     *Request
	query   webQuery

	web             WebRequest
	decidedBy, rule string

	refusal authz.Reason
	detail  string
}

// unmapped and bad refuse; the first refusal counts.
func (m *webMapping) unmapped(detail string) { m.refuse(authz.Unmapped, detail) }
func (m *webMapping) bad(detail string)      { m.refuse(authz.BadRequest, detail) }

func (m *webMapping) refuse(reason authz.Reason, detail string) {
	if m.refusal == authz.ReasonUnspecified {
		m.refusal, m.detail = reason, detail
	}
}

// header returns a header's value, or "".
func (m *webMapping) header(name string) string {
	if m.req.Header == nil {
		return ""
	}
	return m.req.Header(name)
}

// read works out what the request asks, or why it is refused.
func (m *webMapping) read(r *Resolution) {
	if detail := m.query.split(m.req.Path); detail != "" {
		m.bad(detail)
		return
	}
	const root = 3 // api, data and the version
	if r.path.count < root || r.path.exact(0) != "api" || r.path.exact(1) != "data" || !isWebVersion(r.path.exact(2)) {
		m.unmapped(unmappedWebPath)
		return
	}
	for _, name := range []string{headerCallerID, headerCallerOID} {
		if m.header(name) != "" {
			m.unmapped(unmappedImpersonation + name)
			return
		}
	}
	if m.query.forbidden != "" {
		m.unmapped(m.query.forbidden)
		return
	}
	if r.path.count == root || r.path.exact(root)[0] == '$' {
		m.readSystem(r, root)
		return
	}
	pieces := make([]webPiece, 0, r.path.count-root)
	for i := root; i < r.path.count; i++ {
		piece, detail := readPiece(r.path.exact(i))
		if detail != "" {
			m.bad(detail)
			return
		}
		pieces = append(pieces, piece)
	}
	method := m.req.Method
	if method == "HEAD" {
		method = "GET"
	}
	if route := m.profile.routes[routeKey(method, pieces)]; route != nil {
		m.readRouted(route)
		return
	}
	m.decidedBy = ByConvention
	switch {
	case !isColumnName(pieces[0].name), pieces[0].key == emptyKey, pieces[0].key == argumentKey:
		m.unmapped(unmappedWebOperation)
	case method == "GET":
		m.readRead(pieces)
	case len(pieces) > 1:
		m.readBehindRecord(method, pieces)
	default:
		m.readChange(method, pieces[0])
	}
	m.rule = m.req.Method + " " + conventionOf(pieces)
}

// isWebVersion tells whether a segment is v9.0 to v9.99.
func isWebVersion(text string) bool {
	minor, ok := strings.CutPrefix(text, "v9.")
	if !ok || minor == "" || len(minor) > 2 || len(minor) == 2 && minor[0] == '0' {
		return false
	}
	for i := 0; i < len(minor); i++ {
		if minor[i] < '0' || minor[i] > '9' {
			return false
		}
	}
	return true
}

// readSystem maps the service document and $metadata, which describe the tables.
func (m *webMapping) readSystem(r *Resolution, root int) {
	m.decidedBy, m.rule = ByConvention, m.req.Method+" /"
	allowed := []string(nil)
	if r.path.count > root {
		name := r.path.exact(root)
		switch {
		case name == "$batch":
			m.unmapped(unmappedBatch)
			return
		case name != "$metadata" || r.path.count > root+1:
			m.unmapped(unmappedSystemResource)
			return
		}
		m.rule, allowed = m.req.Method+" $metadata", []string{optionAnnotations}
	}
	if m.req.Method != "GET" && m.req.Method != "HEAD" {
		m.unmapped(unmappedWebMethod)
		return
	}
	if m.allow(allowed...) {
		m.web.Asks = append(m.web.Asks, TableAsk{Table: "Entity", Privileges: authz.Privileges(authz.ReadPrivilege), AllColumns: true})
	}
}

// readRouted maps an operation that a route names. Of its query only what hands over
// parameters is let through: what any other option reads, the route does not say.
func (m *webMapping) readRouted(route *webRoute) {
	if route.deny != "" {
		m.unmapped(route.deny)
		return
	}
	for _, o := range m.query.options {
		if o.key[0] != '@' {
			m.unmapped(unmappedRoutedOption)
			return
		}
	}
	m.decidedBy, m.rule = ByRoute, route.rule
	m.web.Asks = append(m.web.Asks, route.asks...)
}

// allow refuses every query option but those named.
func (m *webMapping) allow(keys ...string) bool {
	for _, o := range m.query.options {
		if !contained(keys, o.key) {
			m.unmapped(unmappedOption + nameOfOption(o.key))
			return false
		}
	}
	return true
}

func contained(keys []string, key string) bool {
	for _, k := range keys {
		if k == key || k == "@" && key[0] == '@' {
			return true
		}
	}
	return false
}
