package config

import (
	"encoding"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/pathgrant/pathgrant/internal/server"
)

// Flags defines a flag for each setting that has one. They write into c, whose values are
// shown as the defaults; [Config.Load] then reads the file that --config names.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.File, "config", c.File, "`file` with settings in YAML; flags beat it")

	fs.Var(&addresses{all: &c.Listen}, "listen", "`address` of the gRPC services: tcp://host:port or unix:///path (repeatable)")
	text(fs, &c.UnixSocketMode, "unix-socket-mode", "`mode` of unix sockets, in octal")
	text(fs, &c.OpsListen, "ops-listen", "`address` of health, metrics and status over HTTP, or off")
	fs.BoolVar(&c.InsecureListen, "insecure-listen", c.InsecureListen, "allow plain TCP on addresses that other machines may reach")
	fs.StringVar(&c.TLS.CertFile, "tls-cert-file", c.TLS.CertFile, "PEM `file` with the certificate of TCP addresses")
	fs.StringVar(&c.TLS.KeyFile, "tls-key-file", c.TLS.KeyFile, "PEM `file` with the certificate's key")
	fs.StringVar(&c.TLS.ClientCAFile, "tls-client-ca-file", c.TLS.ClientCAFile, "PEM `file` with the roots of clients, which must then present a certificate")
	text(fs, &c.TLS.MinVersion, "tls-min-version", "lowest `version` of TLS: 1.2 or 1.3")
	text(fs, &c.AdminListen, "admin-listen", "`address` of administration, gRPC and REST, or off")
	fs.StringVar(&c.Admin.TLS.CertFile, "admin-tls-cert-file", c.Admin.TLS.CertFile, "PEM `file` with the certificate of --admin-listen (default: as --tls-cert-file)")
	fs.StringVar(&c.Admin.TLS.KeyFile, "admin-tls-key-file", c.Admin.TLS.KeyFile, "PEM `file` with that certificate's key")
	fs.StringVar(&c.Admin.TLS.ClientCAFile, "admin-tls-client-ca-file", c.Admin.TLS.ClientCAFile, "PEM `file` with the roots of clients of --admin-listen, which must then present a certificate")
	fs.StringArrayVar(&c.Admin.Audiences, "admin-audience", c.Admin.Audiences, "`audience` that tokens for administration must be for; their issuers are those of the checks (repeatable)")
	text(fs, &c.Admin.SelfEscalation, "admin-self-escalation", "whether callers may raise themselves: deny or allow")
	text(fs, &c.Admin.Escalation, "admin-escalation", "whether callers may give what they do not hold: allow or deny")
	fs.BoolVar(&c.Admin.AllowRoleAssignmentOnDisabledUsers, "admin-allow-role-assignment-on-disabled-users", c.Admin.AllowRoleAssignmentOnDisabledUsers, "let roles be assigned to disabled principals")

	fs.StringVar(&c.Data, "data", c.Data, "`directory` of the snapshot")
	fs.StringVar(&c.Bundle, "bundle", c.Bundle, "`file` that assignments come from; without it the data directory is their record")
	fs.StringArrayVar(&c.Catalogues, "catalogue", c.Catalogues, "`file` in place of the shipped catalogue; the first is the default (repeatable)")
	fs.StringArrayVar(&c.RolePacks, "role-pack", c.RolePacks, "`file` with further predefined roles, which nobody can change (repeatable)")

	fs.StringVar(&c.JWKS, "jwks", c.JWKS, "`file or URL` of the issuer's keys; without it they are discovered")
	fs.StringVar(&c.Issuer, "issuer", c.Issuer, "`issuer` of tokens; may hold {tid}")
	fs.StringArrayVar(&c.Audiences, "audience", c.Audiences, "`audience` that tokens must be for (repeatable)")
	fs.StringArrayVar(&c.IssuerTenants, "issuer-tenant", c.IssuerTenants, "`tenant` that the issuer may speak for (repeatable)")
	fs.StringVar(&c.PrincipalClaim, "principal-claim", c.PrincipalClaim, "`claim` that names the principal (default oid)")
	fs.StringVar(&c.TenantClaim, "tenant-claim", c.TenantClaim, "`claim` that names the tenant (default tid)")
	fs.StringVar(&c.GroupsClaim, "groups-claim", c.GroupsClaim, "`claim` that lists the groups (default groups)")
	text(fs, &c.DelegatedScopes, "delegated-scopes", "whether a user token's scp must hold the permission too: off or enforce")

	text(fs, &c.CacheBytes, "cache-bytes", "memory for views of subjects, as a `size`")
	text(fs, &c.MaxStaleness, "max-staleness", "how `old` the snapshot may be before everything is denied")
	text(fs, &c.MaxStalenessReads, "max-staleness-reads", "how `old` it may be for requests that read (default: as max-staleness)")
	text(fs, &c.MaxStalenessChanges, "max-staleness-changes", "how `old` it may be for requests that change something (default: as max-staleness)")
	text(fs, &c.UnknownScopes, "unknown-scopes", "environments that a tenant does not list: deny, or tenant to treat them as its children")
	text(fs, &c.DenialDetail, "denial-detail", "what a denial tells the caller: none, permission or scope")

	fs.DurationVar(&c.DrainDelay, "drain-delay", c.DrainDelay, "how long requests are taken after health has turned NOT_SERVING")
	fs.DurationVar(&c.DrainTimeout, "drain-timeout", c.DrainTimeout, "how long requests in flight may take after that")
	fs.Uint32Var(&c.MaxConcurrentStreams, "max-concurrent-streams", c.MaxConcurrentStreams, "calls in flight on one connection, at most")
	fs.IntVar(&c.MaxConnections, "max-connections", c.MaxConnections, "connections to one address, at most; 0: no limit")
	fs.DurationVar(&c.MaxConnectionIdle, "max-connection-idle", c.MaxConnectionIdle, "end TCP connections that are idle for so long; 0: never")
	fs.DurationVar(&c.MaxConnectionAge, "max-connection-age", c.MaxConnectionAge, "end TCP connections that are so old; 0: never")
	fs.DurationVar(&c.MaxConnectionAgeGrace, "max-connection-age-grace", c.MaxConnectionAgeGrace, "how long requests on such a connection may take")
	fs.Uint32Var(&c.StreamWorkers, "stream-workers", c.StreamWorkers, "goroutines that wait for calls; 0: a new one for each")

	text(fs, &c.LogLevel, "log-level", "lowest `level` that is logged: debug, info, warn or error")
	text(fs, &c.LogFormat, "log-format", "`format` of the log: json or text")
	text(fs, &c.DecisionLog, "decision-log", "`decisions` that are written down: off, denials or all")
	fs.Uint32Var(&c.RecentDecisions, "recent-decisions", c.RecentDecisions, "how many decisions of the log can be explained by their identifiers; 0: none")
	fs.BoolVar(&c.Pprof, "pprof", c.Pprof, "serve profiles at --ops-listen")
	text(fs, &c.MemoryLimit, "memory-limit", "`size` that the Go runtime is to stay below: auto, off, or such as 512MiB")
}

// key returns the setting that a flag is for.
func key(flag string) string {
	key := strings.ReplaceAll(flag, "-", "_")
	if rest, ok := strings.CutPrefix(key, "admin_"); ok && rest != "listen" {
		if tls, ok := strings.CutPrefix(rest, "tls_"); ok {
			return "admin.tls." + tls
		}
		return "admin." + rest
	}
	if rest, ok := strings.CutPrefix(key, "tls_"); ok {
		return "tls." + rest
	}
	if key == "role_pack" { // each flag names one, the key all of them
		return "role_packs"
	}
	return key
}

// textValue is what a setting with a text form of its own can do.
type textValue interface {
	encoding.TextUnmarshaler
	fmt.Stringer
}

// text defines a flag for such a setting.
func text(fs *pflag.FlagSet, value textValue, name, usage string) {
	fs.Var(textFlag{value}, name, usage)
}

type textFlag struct{ textValue }

// Set implements pflag.Value.
func (f textFlag) Set(s string) error { return f.UnmarshalText([]byte(s)) }

// Type implements pflag.Value: what stands in the help if the usage names nothing.
func (textFlag) Type() string { return "word" }

// addresses is a flag that may be repeated; the first one given replaces the default.
type addresses struct {
	all   *[]server.Address
	given bool
}

var _ pflag.SliceValue = (*addresses)(nil)

// Type implements pflag.Value.
func (*addresses) Type() string { return "address" }

// String implements pflag.Value.
func (a *addresses) String() string { return "[" + strings.Join(a.GetSlice(), ",") + "]" }

// Set implements pflag.Value.
func (a *addresses) Set(s string) error {
	if !a.given {
		a.given = true
		*a.all = nil
	}
	return a.Append(s)
}

// Append implements pflag.SliceValue.
func (a *addresses) Append(s string) error {
	parsed, err := server.ParseAddress(s)
	if err != nil {
		return err
	}
	*a.all = append(*a.all, parsed)
	return nil
}

// Replace implements pflag.SliceValue.
func (a *addresses) Replace(all []string) error {
	*a.all = nil
	for _, s := range all {
		if err := a.Append(s); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice implements pflag.SliceValue.
func (a *addresses) GetSlice() []string {
	if a.all == nil {
		return nil
	}
	texts := make([]string, len(*a.all))
	for i, address := range *a.all {
		texts[i] = address.String()
	}
	return texts
}
