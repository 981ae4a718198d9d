package config

import (
	"log/slog"
	"time"

	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/server"
)

// A Config is everything that `pathgrant serve` can be told. Start from [Default]; the
// zero Config is not valid. The yaml tags are the keys of the file; flags have the same
// names with hyphens. It is not safe for concurrent use.
type Config struct {
	// File is the YAML file that was read; empty: none.
	File string `yaml:"-"`

	// Listen are the addresses of the gRPC services.
	Listen []server.Address `yaml:"listen"`
	// UnixSocketMode is the mode of unix sockets.
	UnixSocketMode FileMode `yaml:"unix_socket_mode"`
	// OpsListen is the address of health, metrics and status over HTTP.
	OpsListen OptionalAddress `yaml:"ops_listen"`
	// InsecureListen allows plain TCP on addresses that other machines may reach, where
	// tokens and decisions could be read and changed on the way.
	InsecureListen bool `yaml:"insecure_listen"`
	// TLS secures the TCP addresses of Listen, and of AdminListen unless Admin.TLS does.
	TLS TLS `yaml:"tls"`
	// AdminListen is the address of administration, gRPC and REST.
	AdminListen OptionalAddress `yaml:"admin_listen"`
	// Admin says who may administer, and what.
	Admin Admin `yaml:"admin"`

	// Data is the directory of the snapshot.
	Data string `yaml:"data"`
	// Bundle is the file that assignments come from; empty: the data directory is itself
	// the record of them.
	Bundle string `yaml:"bundle"`
	// Catalogues are files that take the place of the shipped catalogue; the first is the
	// default one.
	Catalogues []string `yaml:"catalogue"`
	// RolePacks are files with further predefined roles, besides those that come with the
	// product.
	RolePacks []string `yaml:"role_packs"`

	// Identity says how callers are identified. JWKS, Issuer, Audiences and the claims are
	// the short form for a single issuer of tokens; one or the other may be given.
	Identity       identity.Config `yaml:"identity"`
	JWKS           string          `yaml:"jwks"`
	Issuer         string          `yaml:"issuer"`
	Audiences      []string        `yaml:"audience"`
	IssuerTenants  []string        `yaml:"issuer_tenant"`
	PrincipalClaim string          `yaml:"principal_claim"`
	TenantClaim    string          `yaml:"tenant_claim"`
	GroupsClaim    string          `yaml:"groups_claim"`
	// DelegatedScopes says whether a user token's scp must contain the permission too.
	DelegatedScopes DelegatedScopes `yaml:"delegated_scopes"`

	// CacheBytes is the memory for views of subjects.
	CacheBytes Size `yaml:"cache_bytes"`
	// MaxStaleness is how old the snapshot may be before everything is denied; the other
	// two override it for requests that read and for those that change something.
	MaxStaleness        MaxAge `yaml:"max_staleness"`
	MaxStalenessReads   MaxAge `yaml:"max_staleness_reads"`
	MaxStalenessChanges MaxAge `yaml:"max_staleness_changes"`
	// UnknownScopes says what becomes of environments that a tenant does not list.
	UnknownScopes UnknownScopes `yaml:"unknown_scopes"`
	// DenialDetail says how much a denial tells the caller.
	DenialDetail DenialDetail `yaml:"denial_detail"`
	// IdentityHeaders are the names of the headers that an allowed request gets.
	IdentityHeaders IdentityHeaders `yaml:"identity_headers"`

	// DrainDelay is how long requests are still taken after health has turned NOT_SERVING;
	// DrainTimeout is how long those in flight may take after that.
	DrainDelay   time.Duration `yaml:"drain_delay"`
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// MaxConcurrentStreams bounds the calls in flight on one connection.
	MaxConcurrentStreams uint32 `yaml:"max_concurrent_streams"`
	// MaxConnections bounds the connections of one address; 0: no limit.
	MaxConnections int `yaml:"max_connections"`
	// The following end TCP connections; 0: never. Unix sockets are left alone.
	MaxConnectionIdle     time.Duration `yaml:"max_connection_idle"`
	MaxConnectionAge      time.Duration `yaml:"max_connection_age"`
	MaxConnectionAgeGrace time.Duration `yaml:"max_connection_age_grace"`
	// StreamWorkers is how many goroutines wait for calls; 0: each call gets a new one.
	StreamWorkers uint32 `yaml:"stream_workers"`

	LogLevel  LogLevel  `yaml:"log_level"`
	LogFormat LogFormat `yaml:"log_format"`
	// DecisionLog says which decisions are written down.
	DecisionLog audit.Mode `yaml:"decision_log"`
	// RecentDecisions is how many of the decisions that were written down can be asked about
	// by their identifiers; 0: none.
	RecentDecisions uint32 `yaml:"recent_decisions"`
	// Pprof serves profiles at OpsListen.
	Pprof bool `yaml:"pprof"`
	// MemoryLimit is what the Go runtime is to stay below.
	MemoryLimit MemoryLimit `yaml:"memory_limit"`

	// origins says where each setting was given; one that was not has none.
	origins map[string]origin
}

// TLS are the certificate files of the TCP listeners.
type TLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ClientCAFile makes every client present a certificate that one of its roots vouches
	// for.
	ClientCAFile string     `yaml:"client_ca_file"`
	MinVersion   TLSVersion `yaml:"min_version"`
}

// Enabled tells whether TCP is served with TLS.
func (t TLS) Enabled() bool { return t.CertFile != "" || t.KeyFile != "" || t.ClientCAFile != "" }

// Files returns the file names as the server takes them.
func (t TLS) Files() server.CertificateFiles {
	return server.CertificateFiles{Certificate: t.CertFile, Key: t.KeyFile, ClientCAs: t.ClientCAFile}
}

// IdentityHeaders are header names, in lower case.
type IdentityHeaders struct {
	Principal     string `yaml:"principal"`
	PrincipalType string `yaml:"principal_type"`
	Tenant        string `yaml:"tenant"`
	Permission    string `yaml:"permission"`
	Scope         string `yaml:"scope"`
	DecisionID    string `yaml:"decision_id"`
	Revision      string `yaml:"revision"`
}

// Default returns the settings that hold when nothing is given: a local store in the
// working directory, the shipped catalogue, loopback only, and nobody identified.
func Default() Config {
	return Config{
		Listen:          []server.Address{{Network: "tcp", Address: "127.0.0.1:9191"}},
		UnixSocketMode:  FileMode(server.DefaultSocketMode),
		OpsListen:       OptionalAddress{server.Address{Network: "tcp", Address: "127.0.0.1:9192"}},
		AdminListen:     OptionalAddress{server.Address{Network: "tcp", Address: "127.0.0.1:9193"}},
		Admin:           Admin{TLS: TLS{MinVersion: TLS13}, SelfEscalation: PolicyDeny, Escalation: PolicyAllow},
		Data:            "./pathgrant-data",
		DelegatedScopes: DelegatedScopesOff,
		CacheBytes:      64 << 20,
		MaxStaleness:    Unlimited,
		UnknownScopes:   UnknownScopesDeny,
		DenialDetail:    DenialDetailPermission,
		IdentityHeaders: IdentityHeaders{
			Principal:     "x-pathgrant-principal",
			PrincipalType: "x-pathgrant-principal-type",
			Tenant:        "x-pathgrant-tenant",
			Permission:    "x-pathgrant-permission",
			Scope:         "x-pathgrant-scope",
			DecisionID:    "x-pathgrant-decision-id",
			Revision:      "x-pathgrant-revision",
		},
		TLS:                   TLS{MinVersion: TLS13},
		DrainDelay:            5 * time.Second,
		DrainTimeout:          30 * time.Second,
		MaxConcurrentStreams:  1024,
		MaxConnections:        4096,
		MaxConnectionIdle:     15 * time.Minute,
		MaxConnectionAge:      30 * time.Minute,
		MaxConnectionAgeGrace: time.Minute,
		StreamWorkers:         64,
		LogLevel:              LogLevel(slog.LevelInfo),
		LogFormat:             LogJSON,
		DecisionLog:           audit.Denials,
		RecentDecisions:       audit.DefaultRecent,
	}
}

// Staleness returns how old the snapshot may be for requests that read and for those that
// change something; 0: any age.
func (c *Config) Staleness() (reads, changes time.Duration) {
	pick := func(own MaxAge) time.Duration {
		if own == 0 {
			own = c.MaxStaleness
		}
		return max(time.Duration(own), 0) // Unlimited is negative
	}
	return pick(c.MaxStalenessReads), pick(c.MaxStalenessChanges)
}

// Server returns the server's settings. Certificates, interceptors, the codec and the log
// are the caller's to add.
func (c *Config) Server() server.Options {
	return server.Options{
		MaxConcurrentStreams:  c.MaxConcurrentStreams,
		MaxConnections:        c.MaxConnections,
		MaxConnectionIdle:     c.MaxConnectionIdle,
		MaxConnectionAge:      c.MaxConnectionAge,
		MaxConnectionAgeGrace: c.MaxConnectionAgeGrace,
		StreamWorkers:         c.StreamWorkers,
		DrainDelay:            c.DrainDelay,
		DrainTimeout:          c.DrainTimeout,
	}
}
