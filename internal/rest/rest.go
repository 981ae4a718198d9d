package rest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// Options are what the API works with.
type Options struct {
	// Admin, Identify and ShippedRoles are required.
	Admin *admin.Admin
	// Identify says who sent a request. It is called once for each that needs a caller,
	// when its route is known. Of its errors, a [admin.Forbidden] with permissions that are
	// missing is the application's refusal, not the caller's.
	Identify func(*http.Request) (admin.Caller, error)
	// ShippedRoles and FoldCase are those that Admin was made with. The Power Platform API
	// knows those of no category: roles of directories, environments and databases are none
	// of its own.
	ShippedRoles []authz.RoleDefinition
	FoldCase     bool
	// PageSize is how many items a page holds, 1 to 1,000; 0: 1,000.
	PageSize int
	// Observe is told of each answer: the operation, empty where there is none, and the code
	// of the failure, OK where there is none. Both are of closed sets. Nil: nobody is.
	Observe func(operation, code string)
	// Log gets faults of our own; nil: nobody does.
	Log *slog.Logger
}

const maxPage = 1000

// New returns the handler of the whole API. It is safe for concurrent use. It answers every
// request, and never panics but with [http.ErrAbortHandler].
func New(o Options) (http.Handler, error) {
	switch {
	case o.Admin == nil:
		return nil, errors.New("the REST API needs an administration")
	case o.Identify == nil:
		return nil, errors.New("the REST API needs to be told who calls")
	case len(o.ShippedRoles) == 0:
		return nil, errors.New("the REST API needs the built-in roles")
	case o.PageSize < 0 || o.PageSize > maxPage:
		return nil, fmt.Errorf("the REST API's pages hold 1 to %d items, not %d", maxPage, o.PageSize)
	}
	s := &server{Options: o, log: o.Log}
	s.ShippedRoles = slices.DeleteFunc(slices.Clone(o.ShippedRoles), func(def authz.RoleDefinition) bool { return def.Category != "" })
	if s.PageSize == 0 {
		s.PageSize = maxPage
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.document, err = describe(); err != nil {
		return nil, fmt.Errorf("describe the REST API: %w", err)
	}
	return s, nil
}

type server struct {
	Options
	log      *slog.Logger
	document document
}

// A call is a request on its way.
type call struct {
	*http.Request
	op     *operation
	caller admin.Caller
	params []string
	query  url.Values
	// scope is what the path names, and tenant the caller's; of Pathgrant's own operations
	// both are empty.
	tenant string
	named  authz.NamedScope
	header http.Header
}

func (c *call) scope() authz.Scope { return c.named.In(c.tenant) }

// operation is the operation's identifier; empty where the request is none.
func (c *call) operation() string {
	if c.op == nil {
		return ""
	}
	return c.op.ID
}

// apiVersions are the versions of the Power Platform API that are answered, all alike.
var apiVersions = []string{"2024-10-01", "1", "2022-03-01-preview"}

const apiVersionParam = "api-version"

// ServeHTTP answers a request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := requestID()
	c := &call{Request: r, header: w.Header()}
	c.header.Set("X-Ms-Request-Id", id)
	c.header.Set("Cache-Control", "no-store")
	c.header.Set("X-Content-Type-Options", "nosniff")
	c.header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	status, code := http.StatusOK, "OK"
	answer, err := s.contained(c)
	if err != nil {
		f := failureOf(c.op, err)
		status, code, answer = f.status, f.code, f.body()
		s.describeFailure(r.Context(), c, f, id)
	}
	if s.Observe != nil {
		s.Observe(c.operation(), code)
	}
	text, err := spell(answer)
	if err != nil {
		s.log.ErrorContext(r.Context(), "a REST answer could not be spelled", "request_id", id, "err", err)
		status, text = http.StatusInternalServerError, []byte(`{"code":"InternalServerError","message":"The answer could not be written; the log says why."}`+"\n")
	}
	c.header.Set("Content-Type", "application/json; charset=utf-8")
	c.header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(text); err != nil {
		s.log.DebugContext(r.Context(), "a client left before its answer", "request_id", id, "err", err)
	}
}

// describeFailure adds the headers of a failure, and logs what is our own fault. Neither
// holds anything that the client sent.
func (s *server) describeFailure(ctx context.Context, c *call, f *failure, id string) {
	switch f.status {
	case http.StatusUnauthorized:
		challenge := `Bearer realm="pathgrant"`
		if c.op != nil && c.op.Operator {
			challenge = `Operator realm="pathgrant"`
		} else if f.problem == invalidAudience || c.Header.Get("Authorization") != "" {
			challenge += `, error="invalid_token"`
		}
		c.header.Set("WWW-Authenticate", challenge)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		c.header.Set("Retry-After", "5")
	}
	if f.status >= http.StatusInternalServerError {
		s.log.ErrorContext(ctx, "a REST request failed", "operation", c.operation(), "code", f.code, "request_id", id, "err", f.cause)
	}
}

// contained answers a call, and turns a panic into an error.
func (s *server) contained(c *call) (answer any, err error) {
	defer func() {
		switch p := recover(); {
		case p == nil:
		case p == http.ErrAbortHandler: //nolint:errorlint // a value that is panicked with, never wrapped
			panic(p)
		default:
			// What was panicked with may hold what the client sent; where it did may not.
			answer, err = nil, &failure{
				internalServerError, "The request could not be carried out; the log says why.",
				fmt.Errorf("panic of type %T at %s", p, debug.Stack()),
			}
		}
	}()
	return s.answer(c)
}

func (s *server) answer(c *call) (any, error) {
	op, params, allowed := find(c.Method, c.URL.EscapedPath())
	if op == nil && allowed == nil {
		return nil, routeNotFound.of("There is no such route.")
	}
	if op == nil {
		c.header.Set("Allow", strings.Join(allowed, ", "))
		return nil, methodNotAllowed.of("The route has no such method; it has " + strings.Join(allowed, ", ") + ".")
	}
	c.op, c.params = op, params
	if err := c.readQuery(); err != nil {
		return nil, err
	}
	if !op.Public {
		var err error
		if c.caller, err = s.Identify(c.Request); err != nil {
			return nil, unidentified(err)
		}
	}
	if err := c.readScope(s.FoldCase); err != nil {
		return nil, err
	}
	body, f := readBody(op, c.Request)
	if f != nil {
		return nil, f
	}
	return op.serve(s, c, body)
}

// readQuery reads the parameters after the ?. One that is not known is refused: what it
// asks for, such as a filter, would not be done. Their names have no case.
func (c *call) readQuery() error {
	given, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return &failure{queryInvalid, "the part of the address after the ? cannot be read", err}
	}
	c.query = url.Values{}
	var problems []string
	for _, key := range sortedKeys(given) {
		name := foldASCII(key)
		known := name == apiVersionParam && !c.op.own() || slices.ContainsFunc(c.op.query, func(p queryParam) bool { return p.name == name })
		switch {
		case !known:
			problems = append(problems, fmt.Sprintf("%q: this operation knows no such parameter", key))
		case len(given[key]) > 1 || c.query.Has(name):
			problems = append(problems, fmt.Sprintf("%q: it is there twice", key))
		default:
			c.query[name] = given[key]
		}
	}
	if version := c.query.Get(apiVersionParam); !c.op.own() && !slices.Contains(apiVersions, version) {
		return apiVersionUnsupported.of(fmt.Sprintf("The parameter %s is %q; it must be one of %s.", apiVersionParam, version, strings.Join(apiVersions, ", ")))
	}
	if len(problems) > 0 {
		return queryInvalid.of(strings.Join(problems, "; "))
	}
	return nil
}

func sortedKeys(v url.Values) []string {
	keys := make([]string, 0, len(v))
	for key := range v {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// readScope finds the scope that the path names in the caller's tenant.
func (c *call) readScope(foldCase bool) error {
	if c.op.own() {
		return nil
	}
	if c.caller.Subject == nil {
		if c.caller.Kind == admin.Operator {
			return operatorRefused.of("An operator belongs to no tenant; use the credentials of an administrator of the tenant.")
		}
		return authorizationUnauthorized.of("nobody is known to be calling: send a token")
	}
	c.tenant = c.caller.Subject.Tenant()
	c.named = authz.NamedScope{Kind: c.op.level}
	if c.op.level == authz.TenantScope {
		return nil
	}
	id, err := authz.CanonicalPathID(c.params[0], foldCase)
	switch {
	case c.op.level == authz.EnvironmentScope && err != nil:
		return environmentInvalid.of("environmentId: " + err.Error())
	case err != nil:
		return environmentGroupInvalid.of("environmentGroupId: " + err.Error())
	case c.op.level == authz.EnvironmentScope:
		c.named.Environment = id
	default:
		c.named.ID = id
	}
	return nil
}

// next is the address of the page after this one.
func (c *call) next(query string) string {
	u := url.URL{Scheme: "http", Host: c.Host, Path: c.URL.Path, RawPath: c.URL.RawPath, RawQuery: query}
	if c.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}

func spell(v any) ([]byte, error) {
	if d, ok := v.(document); ok {
		return d, nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return b.Bytes(), err
}

func requestID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // it never fails
	return hex.EncodeToString(raw[:])
}
