package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/pkg/authz"
)

// HTTPOptions say how [Middleware] asks.
type HTTPOptions struct {
	// Subject says who sent the request, from an identity that the service has verified; it
	// must not be nil. For a request without credentials it returns the zero Subject, and
	// what is public stays open. For credentials that it refuses, it returns an error, and
	// the request is answered with 401.
	Subject func(ctx context.Context, r *http.Request) (Subject, error)
	// Catalogue maps the requests; empty: the server's default.
	Catalogue string
	// Detail is how much a refusal tells.
	Detail Detail
	// Refuse writes refusals in the place of [WriteRefusal]. If it writes nothing,
	// WriteRefusal does.
	Refuse func(w http.ResponseWriter, r *http.Request, refusal Refusal)
	// Log is told of requests on which there was no decision; nil: nobody is.
	Log *slog.Logger
}

// Middleware asks, before every request, whether the subject may do what its method, host
// and path name, and hands it on with the decision in its context (see [DecisionFrom]) or
// refuses it: with 401 where nobody asks, 400 where it can be read in two ways, 503 where
// there is no decision, and 403 otherwise.
//
// What is asked about is the request target as it was received, escapes and all. So the
// middleware stands before whatever routes or rewrites: a request whose path was changed on
// the way here (by http.StripPrefix, say) is answered with 503, because what is checked
// would not be what is served. Handlers behind it must serve what the path says. The
// headers by which some let a client replace the method, the path or the host are taken
// off, as are those under x-pathgrant-, which would claim a decision.
func Middleware(c Checker, o HTTPOptions) (func(http.Handler) http.Handler, error) {
	var errs []error
	if c == nil {
		errs = append(errs, errors.New("a checker is needed"))
	}
	if o.Subject == nil {
		errs = append(errs, errors.New("subject: a function is needed that says who sent a request"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("pathgrant middleware: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return func(next http.Handler) http.Handler { return &guarded{c, o, next} }, nil
}

type guarded struct {
	checker Checker
	o       HTTPOptions
	next    http.Handler
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d, refusal := g.check(r)
	if refusal == nil {
		g.next.ServeHTTP(w, passed(r, d))
		return
	}
	if refusal.Err != nil {
		g.o.Log.WarnContext(r.Context(), "request refused without a decision", "reason", refusal.Decision.Reason.String(), "err", refusal.Err)
	}
	if g.o.Refuse == nil {
		WriteRefusal(w, *refusal, g.o.Detail)
		return
	}
	watched := &watchedWriter{ResponseWriter: w}
	g.o.Refuse(watched, r, *refusal)
	if !watched.wrote { // net/http would make it a 200
		WriteRefusal(w, *refusal, g.o.Detail)
	}
}

// errRewritten is the fault of whoever put the handlers together.
var errRewritten = errors.New("the request's path is not the one that was received: put the middleware before whatever rewrites paths")

// check returns the decision that lets the request pass, or a refusal.
func (g *guarded) check(r *http.Request) (Decision, *Refusal) {
	if rewritten(r) {
		return Decision{}, &Refusal{Decision: Decision{Reason: authz.Internal, Detail: "the service could not check the request"}, Err: errRewritten}
	}
	subject, err := g.o.Subject(r.Context(), r)
	if err == nil {
		err = subject.Validate()
	}
	if err != nil {
		return Decision{}, &Refusal{Decision: Decision{Reason: authz.Unauthenticated, Detail: "the credentials were refused"}, Err: err}
	}
	d, err := g.checker.Check(r.Context(), Question{
		Subject: subject, Catalogue: g.o.Catalogue,
		HTTP: &HTTPRequest{Method: r.Method, Host: r.Host, Path: r.RequestURI},
	})
	switch {
	case err != nil:
		refusal := refusalOf(err)
		return Decision{}, &refusal
	case !d.Allowed():
		return Decision{}, &Refusal{Decision: d}
	}
	return d, nil
}

// rewritten tells whether the handlers behind would route by another path than the one that
// was received. A target that is no path is left to the mapping, which refuses it.
func rewritten(r *http.Request) bool {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		return false
	}
	decoded, err := url.PathUnescape(path)
	return err != nil || r.URL == nil || decoded != r.URL.Path
}

// passed is the request as the next handler gets it.
func passed(r *http.Request, d Decision) *http.Request {
	r = r.WithContext(withDecision(r.Context(), d))
	for name := range r.Header {
		if overrides(name) {
			kept := maps.Clone(r.Header)
			maps.DeleteFunc(kept, func(name string, _ []string) bool { return overrides(name) })
			r.Header = kept
			break
		}
	}
	return r
}

// overriding are the headers by which some replace the method, the path or the host that
// was checked.
var overriding = []string{
	"x-http-method-override", "x-http-method", "x-method-override",
	"x-forwarded-uri", "x-forwarded-url", "x-forwarded-path", "x-forwarded-prefix", "x-forwarded-method", "x-forwarded-host",
}

// overridingPrefixes are those of such headers, and that of a proxy's Pathgrant.
var overridingPrefixes = []string{"x-original-", "x-rewrite-", "x-pathgrant-"}

func overrides(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains(overriding, name) ||
		slices.ContainsFunc(overridingPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// WriteRefusal answers a request with a refusal: its status, the JSON that
// [Refusal.Body] returns, the decision's identifier as x-pathgrant-decision-id and, with a
// 401, WWW-Authenticate.
func WriteRefusal(w http.ResponseWriter, refusal Refusal, detail Detail) {
	status, h := refusal.HTTPStatus(), w.Header()
	if refusal.Decision.ID != "" {
		h.Set("X-Pathgrant-Decision-Id", refusal.Decision.ID)
	}
	if status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		challenge := `Bearer realm="pathgrant"`
		if refusal.Err != nil {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Del("Content-Length")
	w.WriteHeader(status)
	_, _ = w.Write(refusal.Body(detail)) // whoever asked may be gone
}

// watchedWriter remembers whether an answer was begun.
type watchedWriter struct {
	http.ResponseWriter
	wrote bool
}

func (w *watchedWriter) WriteHeader(status int) {
	w.wrote = w.wrote || status >= http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w *watchedWriter) Unwrap() http.ResponseWriter {
	w.wrote = true // what is done through it is not seen
	return w.ResponseWriter
}
