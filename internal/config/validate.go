package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pathgrant/pathgrant/internal/server"
)

// Limits of settings, where no sane value lies beyond.
const (
	minCacheBytes  = 1 << 20
	minMemoryLimit = 32 << 20
	maxDrain       = time.Hour
	maxWorkers     = 65536
	maxRecent      = 1 << 20
)

// Validate returns every problem at once, each by the name that the operator typed: the
// flag, or the key with the file's line. It changes nothing and touches no file.
func (c *Config) Validate() error {
	v := &validation{config: c}
	v.listeners()
	v.tls("tls", c.TLS)
	v.storage()
	v.identity()
	v.decisions()
	v.limits()
	v.admin()
	return errors.Join(v.errs...)
}

type validation struct {
	config *Config
	errs   []error
}

// problem records what is wrong with a setting.
func (v *validation) problem(key, format string, args ...any) {
	if v.config.origins[key].reported {
		return // what could not be read holds nothing to judge
	}
	v.errs = append(v.errs, fmt.Errorf("%s: %w", v.config.name(key), fmt.Errorf(format, args...)))
}

// An origin is where a setting was given: by a flag, or at a line of the file.
type origin struct {
	flag, place string
	// reported says that the value could not be read, and that this has been said.
	reported bool
}

// name returns how the operator finds a setting: by the flag that it was given with, or
// by its key with the file's line. Of one that was not given, that is the line of the
// section that it belongs into.
func (c *Config) name(key string) string {
	for at := key; at != ""; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		switch from, ok := c.origins[at]; {
		case ok && from.flag != "":
			return "--" + from.flag
		case ok && from.place != "":
			return from.place + ": " + key
		}
	}
	return key
}

func (v *validation) listeners() {
	c := v.config
	if len(c.Listen) == 0 {
		v.problem("listen", "required: give tcp://host:port or unix:///path")
	}
	seen := make(map[server.Address]bool)
	for i, a := range c.Listen {
		key := fmt.Sprintf("listen[%d]", i)
		if seen[a] && !anyPort(a) {
			v.problem(key, "%s is given twice", a)
		}
		seen[a] = true
		if !a.Local() && !c.TLS.Enabled() && !c.InsecureListen {
			v.problem(key, "%s may be reached by other machines, and without TLS tokens and decisions could be read and changed on the way: "+
				"listen on loopback or a unix socket, or give tls.cert_file and tls.key_file, or set insecure_listen", a)
		}
	}
	if c.UnixSocketMode&0o600 != 0o600 {
		v.problem("unix_socket_mode", "%s would keep the owner out: want 0600 at least", c.UnixSocketMode)
	}
	ops := c.OpsListen
	if ops.Enabled() && seen[ops.Address] && !anyPort(ops.Address) {
		v.problem("ops_listen", "%s is among the addresses of listen", ops)
	}
	switch {
	case c.Pprof && !ops.Enabled():
		v.problem("pprof", "profiles are served at ops_listen, which is off")
	case c.Pprof && !ops.Local():
		v.problem("pprof", "profiles may hold tokens, and %s may be reached by other machines: set ops_listen to loopback or a unix socket", ops)
	}
}

// anyPort tells whether the system chooses the port, so that two such addresses differ.
func anyPort(a server.Address) bool { return a.Network == "tcp" && strings.HasSuffix(a.Address, ":0") }

func (v *validation) tls(key string, t TLS) {
	if !t.Enabled() {
		return
	}
	if t.CertFile == "" {
		v.problem(key+".cert_file", "required with %s.key_file and %s.client_ca_file", key, key)
	}
	if t.KeyFile == "" {
		v.problem(key+".key_file", "required with %s.cert_file and %s.client_ca_file", key, key)
	}
	if t.MinVersion != TLS12 && t.MinVersion != TLS13 {
		v.problem(key+".min_version", "want 1.2 or 1.3")
	}
}

func (v *validation) storage() {
	c := v.config
	if c.Data == "" {
		v.problem("data", "required: a directory for the snapshot")
	}
	for i, file := range c.Catalogues {
		if file == "" {
			v.problem(fmt.Sprintf("catalogue[%d]", i), "is empty: want a file name")
		}
	}
	for i, file := range c.RolePacks {
		if file == "" {
			v.problem(fmt.Sprintf("role_packs[%d]", i), "is empty: want a file name")
		} else if slices.Contains(c.RolePacks[:i], file) {
			v.problem(fmt.Sprintf("role_packs[%d]", i), "%s is given twice", file)
		}
	}
	if c.CacheBytes < minCacheBytes {
		v.problem("cache_bytes", "%s is too little: want %s at least", c.CacheBytes, Size(minCacheBytes))
	}
	if c.MemoryLimit > 0 {
		if c.MemoryLimit < minMemoryLimit {
			v.problem("memory_limit", "%s is too little: want %s at least, auto or off", c.MemoryLimit, Size(minMemoryLimit))
		} else if Size(c.MemoryLimit) <= c.CacheBytes {
			v.problem("memory_limit", "%s leaves nothing beside the cache of %s (cache_bytes)", c.MemoryLimit, c.CacheBytes)
		}
	}
}

func (v *validation) identity() {
	c := v.config
	if c.DelegatedScopes != DelegatedScopesOff && c.DelegatedScopes != DelegatedScopesEnforce {
		v.problem("delegated_scopes", "%q is not known: want off or enforce", c.DelegatedScopes)
	}
	short := c.shortSettings()
	if len(short) > 0 && len(c.Identity.Sources) > 0 {
		names := make([]string, len(short))
		for i, key := range short {
			names[i] = c.name(key)
		}
		v.problem("identity.sources", "sources are given here, and an issuer by %s: give one or the other", strings.Join(names, ", "))
		return
	}
	all := c.IdentityConfig()
	for _, err := range split(all.Validate()) {
		key, message, ok := strings.Cut(err.Error(), ": ")
		if !ok {
			key, message = "identity", err.Error()
		}
		if len(short) > 0 {
			if c.Issuer == "" && (key == shortIssuer+".discovery" || key == shortIssuer+".tenants") {
				continue // that it is missing is said already
			}
			key = shortName(key)
		}
		v.problem(key, "%s", message)
	}
}

// split returns the errors that one was joined of.
func split(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}

func (v *validation) decisions() {
	c := v.config
	if c.UnknownScopes != UnknownScopesDeny && c.UnknownScopes != UnknownScopesTenant {
		v.problem("unknown_scopes", "%q is not known: want deny or tenant", c.UnknownScopes)
	}
	switch c.DenialDetail {
	case DenialDetailNone, DenialDetailPermission, DenialDetailScope:
	default:
		v.problem("denial_detail", "%q is not known: want none, permission or scope", c.DenialDetail)
	}
	if c.MaxStaleness == 0 {
		v.problem("max_staleness", "required: unlimited, or a duration above zero")
	}
	v.headers()
	if c.LogFormat != LogJSON && c.LogFormat != LogText {
		v.problem("log_format", "%q is not known: want json or text", c.LogFormat)
	}
}

func (v *validation) headers() {
	h := v.config.IdentityHeaders
	used := make(map[string]string)
	for _, header := range []struct{ key, name string }{
		{"principal", h.Principal}, {"principal_type", h.PrincipalType}, {"tenant", h.Tenant}, {"permission", h.Permission},
		{"scope", h.Scope}, {"decision_id", h.DecisionID}, {"revision", h.Revision},
	} {
		key := "identity_headers." + header.key
		switch {
		case header.name == "":
			v.problem(key, "required")
			continue
		case !headerName(header.name):
			v.problem(key, "%q is not a header name in lower case", header.name)
		case reservedHeaders[header.name]:
			v.problem(key, "%q has a meaning of its own: want a name that only this product uses", header.name)
		case used[header.name] != "":
			v.problem(key, "%q is given for %s too", header.name, used[header.name])
		}
		used[header.name] = key
	}
}

// reservedHeaders are those that an upstream or a proxy acts upon. A wrong name must not
// overwrite them on every request that is allowed.
var reservedHeaders = map[string]bool{
	"authorization": true, "proxy-authorization": true, "cookie": true, "host": true,
	"connection": true, "content-length": true, "content-type": true, "content-encoding": true,
	"expect": true, "keep-alive": true, "te": true, "trailer": true, "transfer-encoding": true,
	"upgrade": true, "forwarded": true, "x-forwarded-for": true, "x-forwarded-host": true,
	"x-forwarded-proto": true, "x-http-method-override": true,
}

// headerName tells whether name is a header's name (a token of RFC 9110) in lower case.
func headerName(name string) bool {
	for i := range len(name) {
		b := name[i]
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(b)) {
			return false
		}
	}
	return name != "" && len(name) <= 128
}

func (v *validation) limits() {
	c := v.config
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"max_connection_idle", c.MaxConnectionIdle}, {"max_connection_age", c.MaxConnectionAge},
		{"max_connection_age_grace", c.MaxConnectionAgeGrace},
	} {
		if d.value < 0 {
			v.problem(d.key, "%s is below zero", d.value)
		}
	}
	if c.MaxConnectionAge > 0 && c.MaxConnectionAgeGrace == 0 {
		v.problem("max_connection_age_grace", "required with max_connection_age: without it, requests in flight could hold a connection for ever")
	}
	if c.DrainDelay < 0 || c.DrainDelay > maxDrain {
		v.problem("drain_delay", "%s: want 0 to %s", c.DrainDelay, maxDrain)
	}
	if c.DrainTimeout <= 0 || c.DrainTimeout > maxDrain {
		v.problem("drain_timeout", "%s: want more than 0 and at most %s", c.DrainTimeout, maxDrain)
	}
	if c.MaxConcurrentStreams == 0 {
		v.problem("max_concurrent_streams", "want 1 at least")
	}
	if c.MaxConnections < 0 {
		v.problem("max_connections", "%d is below zero", c.MaxConnections)
	}
	if c.RecentDecisions > maxRecent {
		v.problem("recent_decisions", "%d: want at most %d", c.RecentDecisions, maxRecent)
	}
	if c.StreamWorkers > maxWorkers {
		v.problem("stream_workers", "%d: want at most %d", c.StreamWorkers, maxWorkers)
	}
}

// Warnings says what is allowed but deserves the operator's attention.
func (c *Config) Warnings() []string {
	var all []string
	if !c.shortForm() && len(c.Identity.Sources) == 0 {
		all = append(all, "no source of identity is configured: every HTTP request that is not public is refused as UNAUTHENTICATED; give issuer and audience, or identity")
	}
	for _, a := range c.Listen {
		switch {
		case a.Local():
		case !c.TLS.Enabled():
			all = append(all, fmt.Sprintf("%s is served without TLS (insecure_listen): tokens and decisions can be read and changed on the way", a))
		case c.TLS.ClientCAFile == "":
			all = append(all, fmt.Sprintf("%s asks clients for no certificate (tls.client_ca_file): anyone who reaches it can ask what others may do", a))
		}
	}
	return append(all, c.adminWarnings()...)
}
