package h2

import (
	"context"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// handle gives a request to the handler, in a goroutine of its own. It takes mu.
func (c *conn) handle(id uint32, r *request, ended bool) {
	header := make(http.Header, len(c.headers.fields))
	for _, f := range c.headers.fields {
		if !f.IsPseudo() {
			name := http.CanonicalHeaderKey(f.Name)
			header[name] = append(header[name], f.Value)
		}
	}
	ctx := context.WithValue(c.ctx, http.LocalAddrContextKey, c.nc.LocalAddr())
	ctx, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	if c.running >= int(c.o.MaxConcurrentStreams) {
		c.mu.Unlock()
		cancel()
		c.resetStream(id, codeRefusedStream)
		return
	}
	c.running++
	st := c.add(id, 0)
	st.inEnded, st.declared, st.cancel = ended, r.declared, cancel
	c.mu.Unlock()
	in := &http.Request{
		Method: r.method, Host: r.authority, RequestURI: r.path,
		// The path as it came: what serves gRPC compares it as a whole.
		URL:   &url.URL{Path: r.path},
		Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: header, Body: body{st}, ContentLength: r.declared,
		RemoteAddr: c.nc.RemoteAddr().String(), TLS: c.tls,
	}
	in = in.WithContext(ctx)
	c.server.running.Go(func() {
		defer cancel()
		w := &writer{st: st, header: http.Header{}}
		defer func() {
			if fault := recover(); fault != nil {
				c.o.Log.Error("panic while answering a request", "panic", fault, "stack", string(debug.Stack()))
				w.end(false)
				return
			}
			w.end(true)
		}()
		c.o.Handler.ServeHTTP(w, in)
	})
}

// A writer is the answer to a request. Like all of them it is used by one goroutine.
type writer struct {
	st       *stream
	header   http.Header
	begun    bool
	declared []string // trailers
	buffer   []byte
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if w.begun {
		return
	}
	w.begun = true
	for _, names := range w.header["Trailer"] {
		for name := range strings.SplitSeq(names, ",") {
			w.declared = append(w.declared, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	fields := appendStatus(nil, strconv.Itoa(status))
	for name, values := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) || slices.Contains(w.declared, name) {
			continue
		}
		fields = appendFields(fields, name, values)
	}
	w.st.c.mu.Lock()
	defer w.st.c.mu.Unlock()
	if !w.st.gone {
		w.st.headers(fields, false)
	}
}

func appendFields(b []byte, name string, values []string) []byte {
	name = strings.ToLower(name)
	if !validName(name) {
		return b
	}
	for _, value := range values {
		if validValue(value) {
			b = appendField(b, name, value)
		}
	}
	return b
}

// Write implements io.Writer. An error says that nobody waits for the answer any more.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.buffer = append(w.buffer, p...)
	if len(w.buffer) >= sendAhead/2 {
		return len(p), w.flush()
	}
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *writer) Flush() {
	w.WriteHeader(http.StatusOK)
	_ = w.flush() // whoever wants to know asks the context
}

// flush sends what was written, and waits while the client takes too little of it.
func (w *writer) flush() error {
	st := w.st
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	st.pending = append(st.pending, w.buffer...)
	w.buffer = w.buffer[:0]
	if len(st.pending) > 0 {
		st.send()
	}
	c.flushLocked()
	for len(st.pending)-st.sent > sendAhead && !st.gone && c.err == nil {
		st.changed.Wait()
	}
	if st.gone || c.err != nil {
		return errReset
	}
	return nil
}

// end ends the answer with its trailers, or breaks it off.
func (w *writer) end(well bool) {
	st := w.st
	c := st.c
	if well {
		w.WriteHeader(http.StatusOK)
	}
	var trailers []byte
	for name, values := range w.header {
		if slices.Contains(w.declared, name) {
			trailers = appendFields(trailers, name, values)
		} else if trailer, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			trailers = appendFields(trailers, trailer, values)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	switch {
	case st.gone:
	case !well:
		c.out = appendReset(c.out, st.id, codeInternal)
		st.reset = true
		c.drop(st)
	default:
		st.pending = append(st.pending, w.buffer...)
		st.trailers, st.finished = trailers, true
		st.send()
		c.served.Add(1)
	}
	c.flushLocked()
}
