package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the HTTP server. None of its answers is large, and profiles that take longer
// extend the write timeout themselves.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
	shutdownTimeout   = 5 * time.Second
)

// Options say what the handler shows.
type Options struct {
	// Status is asked on each request; it must be safe for concurrent use. Mandatory.
	Status func() Status
	// Metrics are served at /metrics; nil: there is no such path.
	Metrics *Metrics
	// Profiling adds /debug/pprof/. A heap profile may hold what passes through the
	// process, so it is only for addresses that nobody else reaches.
	Profiling bool
}

// Handler returns the handler of the operator's endpoint:
//
//   - /healthz answers 200 as long as the process answers at all;
//   - /readyz answers 200 with "ready" or "degraded: why", 503 with "not ready: why", as
//     one line of text, or as the [Status] in JSON if the request accepts that;
//   - /status answers the [Status] in JSON, always with 200;
//   - /metrics answers Prometheus' text format;
//   - /debug/pprof/ answers profiles, if they are switched on.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		s := o.Status()
		code := http.StatusServiceUnavailable
		if s.Readiness.Serving() {
			code = http.StatusOK
		}
		if acceptsJSON(r) {
			writeJSON(w, code, s)
			return
		}
		writeText(w, code, s.Summary())
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, o.Status())
	})
	if o.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics.registry, promhttp.HandlerOpts{
			Registry:            o.Metrics.registry,
			MaxRequestsInFlight: 4,
			Timeout:             writeTimeout / 2,
		}))
	}
	if o.Profiling {
		// There is no path for the command line: it may hold what an operator would not show.
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// Serve answers on the listeners until ctx ends, and returns nil then; it closes them. The
// error of a listener ends it.
func Serve(ctx context.Context, h http.Handler, log *slog.Logger, listeners ...net.Listener) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() {
			ended <- fmt.Errorf("serve operations on %s: %w", l.Addr(), s.Serve(l))
		}()
	}
	var errs []error
	running := len(listeners)
	select {
	case err := <-ended:
		errs = append(errs, err)
		running--
	case <-ctx.Done():
	}
	timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := s.Shutdown(timeout); err != nil { // somebody is still reading a profile
		_ = s.Close() // the listeners are closed already, and connections are to break
	}
	for range running {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func acceptsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json")
}

func writeText(w http.ResponseWriter, code int, text string) {
	header(w, "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n")) // whoever asked has gone away
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		writeText(w, http.StatusInternalServerError, "the status cannot be written as JSON")
		return
	}
	header(w, "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // whoever asked has gone away
}

func header(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
