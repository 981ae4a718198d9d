package config_test

import (
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/internal/config"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/server"
)

var update = flag.Bool("update", false, "write what was seen into testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ignoreOrigins = cmpopts.IgnoreUnexported(config.Config{})

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pathgrant.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func load(t *testing.T, args ...string) *config.Config {
	t.Helper()
	c, err := config.Load(args)
	if err != nil {
		t.Fatalf("Load(%q): %v", args, err)
	}
	return c
}

func tcp(address string) server.Address { return server.Address{Network: "tcp", Address: address} }

func TestDefaults(t *testing.T) {
	want := config.Config{
		Listen:          []server.Address{tcp("127.0.0.1:9191")},
		UnixSocketMode:  0o660,
		OpsListen:       config.OptionalAddress{Address: tcp("127.0.0.1:9192")},
		Data:            "./pathgrant-data",
		DelegatedScopes: "off",
		CacheBytes:      67108864,
		MaxStaleness:    config.Unlimited,
		UnknownScopes:   "deny",
		DenialDetail:    "permission",
		IdentityHeaders: config.IdentityHeaders{
			Principal: "x-pathgrant-principal", PrincipalType: "x-pathgrant-principal-type", Tenant: "x-pathgrant-tenant", Permission: "x-pathgrant-permission",
			Scope: "x-pathgrant-scope", DecisionID: "x-pathgrant-decision-id", Revision: "x-pathgrant-revision",
		},
		TLS:         config.TLS{MinVersion: config.TLS13},
		AdminListen: config.OptionalAddress{Address: tcp("127.0.0.1:9193")},
		Admin:       config.Admin{TLS: config.TLS{MinVersion: config.TLS13}, SelfEscalation: "deny", Escalation: "allow"},
		DrainDelay:  5 * time.Second, DrainTimeout: 30 * time.Second,
		MaxConcurrentStreams: 1024, MaxConnections: 4096,
		MaxConnectionIdle: 15 * time.Minute, MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: time.Minute,
		StreamWorkers: 64,
		LogFormat:     "json", DecisionLog: audit.Denials, RecentDecisions: 4096,
	}
	got := load(t)
	if diff := cmp.Diff(want, *got, ignoreOrigins); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if reads, changes := got.Staleness(); reads != 0 || changes != 0 {
		t.Errorf("Staleness() = %v, %v, want no limit", reads, changes)
	}
	if w := got.Warnings(); len(w) != 1 || !strings.Contains(w[0], "no source of identity") {
		t.Errorf("Warnings() = %q", w)
	}
}

const everything = `
listen: [tcp://0.0.0.0:9000, unix:///run/pathgrant/grpc.sock]
unix_socket_mode: 0600
ops_listen: off
tls: {cert_file: /tls/tls.crt, key_file: /tls/tls.key, client_ca_file: /tls/ca.crt, min_version: 1.2}
data: /data
bundle: /etc/pathgrant/bundle.yaml
catalogue: [/etc/pathgrant/a.yaml, /etc/pathgrant/b.yaml]
role_packs: [/etc/pathgrant/sales.yaml, /etc/pathgrant/field.yaml]
identity:
  token_cache_entries: 1024
  sources:
    - jwt:
        clock_skew: 30s
        algorithms: [RS256]
        issuers:
          - issuer: https://login.example/{tid}
            audiences: [api]
            jwks: /etc/keys.json
            jwks_max_age: 12h
            claims: {principal: sub}
    - mtls:
        identities:
          - {uri: "spiffe://cluster.local/ns/shop/sa/orders", tenant: t1, principal: p1}
delegated_scopes: enforce
cache_bytes: 1GiB
max_staleness: 10m
max_staleness_changes: 1m
unknown_scopes: tenant
denial_detail: none
identity_headers: {principal: x-user}
drain_delay: 1s
drain_timeout: 2s
max_concurrent_streams: 10
max_connections: 0
max_connection_idle: 0s
max_connection_age: 1h
max_connection_age_grace: 5s
stream_workers: 0
log_level: debug
log_format: text
decision_log: all
recent_decisions: 0
memory_limit: 2GiB
`

func TestFileIsRead(t *testing.T) {
	c := load(t, "--config", file(t, everything))
	want := config.Default()
	want.File = c.File
	want.Listen = []server.Address{tcp("0.0.0.0:9000"), {Network: "unix", Address: "/run/pathgrant/grpc.sock"}}
	want.UnixSocketMode = 0o600
	want.OpsListen = config.OptionalAddress{}
	want.TLS = config.TLS{CertFile: "/tls/tls.crt", KeyFile: "/tls/tls.key", ClientCAFile: "/tls/ca.crt", MinVersion: config.TLS12}
	want.Data = "/data"
	want.Bundle = "/etc/pathgrant/bundle.yaml"
	want.Catalogues = []string{"/etc/pathgrant/a.yaml", "/etc/pathgrant/b.yaml"}
	want.RolePacks = []string{"/etc/pathgrant/sales.yaml", "/etc/pathgrant/field.yaml"}
	want.Identity = identity.Config{
		TokenCacheEntries: 1024,
		Sources: []identity.SourceConfig{
			{JWT: &identity.JWTConfig{
				ClockSkew: 30 * time.Second, Algorithms: []string{"RS256"},
				Issuers: []identity.IssuerConfig{{
					Issuer: "https://login.example/{tid}", Audiences: []string{"api"}, JWKS: "/etc/keys.json",
					JWKSMaxAge: 12 * time.Hour, Claims: identity.ClaimNames{Principal: "sub"},
				}},
			}},
			{MTLS: &identity.MTLSConfig{Identities: []identity.MTLSIdentity{
				{URI: "spiffe://cluster.local/ns/shop/sa/orders", Tenant: "t1", Principal: "p1"},
			}}},
		},
	}
	want.DelegatedScopes = "enforce"
	want.CacheBytes = 1 << 30
	want.MaxStaleness = config.MaxAge(10 * time.Minute)
	want.MaxStalenessChanges = config.MaxAge(time.Minute)
	want.UnknownScopes = "tenant"
	want.DenialDetail = "none"
	want.IdentityHeaders.Principal = "x-user"
	want.DrainDelay, want.DrainTimeout = time.Second, 2*time.Second
	want.MaxConcurrentStreams, want.MaxConnections = 10, 0
	want.MaxConnectionIdle, want.MaxConnectionAge, want.MaxConnectionAgeGrace = 0, time.Hour, 5*time.Second
	want.StreamWorkers = 0
	want.LogLevel, want.LogFormat, want.DecisionLog = config.LogLevel(slog.LevelDebug), "text", audit.All
	want.RecentDecisions = 0
	want.MemoryLimit = 2 << 30
	if diff := cmp.Diff(want, *c, ignoreOrigins); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if reads, changes := c.Staleness(); reads != 10*time.Minute || changes != time.Minute {
		t.Errorf("Staleness() = %v, %v, want 10m, 1m", reads, changes)
	}
	if got := c.IdentityConfig(); got.DelegatedScopes != "enforce" || len(got.Sources) != 2 {
		t.Errorf("IdentityConfig() = %+v", got)
	}
	if w := c.Warnings(); len(w) != 0 {
		t.Errorf("Warnings() = %q", w)
	}
	options := c.Server()
	if options.MaxConcurrentStreams != 10 || options.DrainDelay != time.Second || options.MaxConnectionAge != time.Hour {
		t.Errorf("Server() = %+v", options)
	}
	if got, want := c.TLS.Files(), (server.CertificateFiles{Certificate: "/tls/tls.crt", Key: "/tls/tls.key", ClientCAs: "/tls/ca.crt"}); got != want {
		t.Errorf("TLS.Files() = %+v, want %+v", got, want)
	}
}

func TestFlagBeatsFileAndFileBeatsDefault(t *testing.T) {
	name := file(t, "listen: tcp://127.0.0.1:1\ncatalogue: one.yaml\nrole_packs: sales.yaml\ndata: /from/file\ncache_bytes: 2MiB\nlog_level: error\ndrain_delay: 7s\nops_listen: 127.0.0.1:5\n")
	c := load(t, "--config", name, "--listen", "tcp://127.0.0.1:2", "--listen=127.0.0.1:3", "--catalogue", "two.yaml", "--catalogue", "three,four.yaml", "--role-pack", "field.yaml", "--role-pack", "market,ing.yaml",
		"--data", "/from/flag", "--log-level", "warn", "--ops-listen", "off")
	want := config.Default()
	want.File = name
	want.Listen = []server.Address{tcp("127.0.0.1:2"), tcp("127.0.0.1:3")}
	want.OpsListen = config.OptionalAddress{}
	want.Catalogues = []string{"two.yaml", "three,four.yaml"}
	want.RolePacks = []string{"field.yaml", "market,ing.yaml"}
	want.Data = "/from/flag"
	want.CacheBytes = 2 << 20
	want.LogLevel = config.LogLevel(slog.LevelWarn)
	want.DrainDelay = 7 * time.Second
	if diff := cmp.Diff(want, *c, ignoreOrigins); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestAFlagWithTheDefaultsValueBeatsTheFile(t *testing.T) {
	c := load(t, "--config", file(t, "data: /from/file\ninsecure_listen: true\nmax_staleness: 5m\n"),
		"--data", "./pathgrant-data", "--insecure-listen=false", "--max-staleness", "unlimited")
	if c.Data != "./pathgrant-data" || c.InsecureListen || c.MaxStaleness != config.Unlimited {
		t.Errorf("data %q, insecure_listen %v, max_staleness %s: want the flags'", c.Data, c.InsecureListen, c.MaxStaleness)
	}
}

func TestEveryFlagHasItsKey(t *testing.T) {
	c := config.Default()
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.Flags(fs)
	keys := make(map[string]bool)
	for f := range fields(reflect.TypeFor[config.Config]()) {
		keys[f] = true
	}
	for f := range fields(reflect.TypeFor[config.TLS]()) {
		keys["tls."+f] = true
		keys["admin.tls."+f] = true
	}
	for f := range fields(reflect.TypeFor[config.Admin]()) {
		keys["admin."+f] = true
	}
	fs.VisitAll(func(f *pflag.Flag) {
		key := strings.Replace(strings.ReplaceAll(f.Name, "-", "_"), "tls_", "tls.", 1)
		if key != "admin_listen" {
			key = strings.Replace(key, "admin_", "admin.", 1)
		}
		if key == "role_pack" {
			key = "role_packs"
		}
		if !keys[key] && f.Name != "config" {
			t.Errorf("--%s has no key %s in the file", f.Name, key)
		}
		if f.Usage == "" {
			t.Errorf("--%s has no usage", f.Name)
		}
	})
}

func fields(t reflect.Type) map[string]bool {
	names := make(map[string]bool)
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			names[name] = true
		}
	}
	return names
}

func TestFlagsOfOthersAreLeftAlone(t *testing.T) {
	c := config.Default()
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.Flags(fs)
	output := fs.StringP("output", "o", "text", "")
	if err := fs.Parse([]string{"-o", "json", "--data", "/d"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Load(fs); err != nil {
		t.Fatal(err)
	}
	if *output != "json" || c.Data != "/d" {
		t.Errorf("output %q, data %q", *output, c.Data)
	}
}

func TestShortFormMakesOneIssuer(t *testing.T) {
	const tenant = "7f1d4a5e-0000-4000-8000-000000000001"
	for _, c := range []struct {
		name string
		args []string
		want identity.IssuerConfig
	}{
		{
			"Entra, one tenant, keys discovered",
			[]string{"--issuer", "https://login.microsoftonline.com/" + tenant + "/v2.0", "--audience", "api://a", "--audience", "b"},
			identity.IssuerConfig{Issuer: "https://login.microsoftonline.com/" + tenant + "/v2.0", Audiences: []string{"api://a", "b"}, Discovery: true, AnyTenant: true},
		},
		{
			"every tenant of Entra, keys from a file",
			[]string{"--issuer", "https://sts.windows.net/{tid}/", "--audience", "a", "--jwks", "keys.json"},
			identity.IssuerConfig{Issuer: "https://sts.windows.net/{tid}/", Audiences: []string{"a"}, JWKS: "keys.json", AnyTenant: true},
		},
		{
			"another provider, the only one that any tenant could belong to",
			[]string{"--issuer", "https://id.example", "--audience", "a"},
			identity.IssuerConfig{Issuer: "https://id.example", Audiences: []string{"a"}, Discovery: true, AnyTenant: true},
		},
		{
			"another provider, with claims of its own",
			[]string{"--issuer", "https://id.example/realms/r", "--audience", "a", "--jwks", "https://id.example/keys", "--issuer-tenant", "t1",
				"--principal-claim", "sub", "--tenant-claim", "org", "--groups-claim", "roles"},
			identity.IssuerConfig{
				Issuer: "https://id.example/realms/r", Audiences: []string{"a"}, JWKS: "https://id.example/keys", Tenants: []string{"t1"},
				Claims: identity.ClaimNames{Principal: "sub", Tenant: "org", Groups: "roles"},
			},
		},
	} {
		got := load(t, append(c.args, "--delegated-scopes", "enforce")...).IdentityConfig()
		want := identity.Config{
			DelegatedScopes: "enforce",
			Sources:         []identity.SourceConfig{{JWT: &identity.JWTConfig{Issuers: []identity.IssuerConfig{c.want}}}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestDelegatedScopesOfTheIdentitySectionHoldUnlessGivenOutside(t *testing.T) {
	const section = "identity: {delegated_scopes: enforce}\n"
	if got := load(t, "--config", file(t, section)).IdentityConfig().DelegatedScopes; got != "enforce" {
		t.Errorf("in the section only: %q, want enforce", got)
	}
	if got := load(t, "--config", file(t, section), "--delegated-scopes", "off").IdentityConfig().DelegatedScopes; got != "off" {
		t.Errorf("with a flag: %q, want off", got)
	}
}

// TestProblems loads each case of testdata/problems: the flags, one a line, the file, and
// all that is to be said about them.
func TestProblems(t *testing.T) {
	cases, err := filepath.Glob("testdata/problems/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var args []string
			var dir string
			var want *txtar.File
			for i, f := range archive.Files {
				switch f.Name {
				case "flags":
					args = append(args, strings.Fields(string(f.Data))...)
				case "pathgrant.yaml":
					name := file(t, string(f.Data))
					dir = filepath.Dir(name) + string(filepath.Separator)
					args = append(args, "--config", name)
				case "problems":
					want = &archive.Files[i]
				default:
					t.Fatalf("unknown part %s", f.Name)
				}
			}
			_, err = config.Load(args)
			if err == nil {
				t.Fatal("no error")
			}
			got := err.Error() + "\n"
			if dir != "" {
				got = strings.ReplaceAll(got, dir, "")
			}
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFileThatIsNotThere(t *testing.T) {
	_, err := config.Load([]string{"--config", filepath.Join(t.TempDir(), "none.yaml")})
	if err == nil || !strings.HasPrefix(err.Error(), "--config: ") || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("Load: %v", err)
	}
}

func TestFileThatIsEmptyIsTakenForUnfinished(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n"} {
		if _, err := config.Load([]string{"--config", file(t, text)}); err == nil || !strings.Contains(err.Error(), "the document is empty") {
			t.Errorf("Load of %q: %v", text, err)
		}
	}
}

func TestArgumentsThatAreNoFlags(t *testing.T) {
	for _, args := range [][]string{{"extra"}, {"--no-such-flag"}, {"--listen", "tls://127.0.0.1:1"}, {"--cache-bytes", "64MB"}, {"--unix-socket-mode", "0888"}} {
		if _, err := config.Load(args); err == nil {
			t.Errorf("Load(%q): no error", args)
		}
	}
}

func TestTheZeroConfigIsNotValid(t *testing.T) {
	if err := new(config.Config).Validate(); err == nil {
		t.Error("no error")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(everything)
	f.Add("listen: [[]]\nidentity: {sources: [{jwt: }]}\n")
	f.Add("tls: 7\nlisten: {a: b}\nmax_staleness: -1s")
	f.Fuzz(func(t *testing.T, text string) {
		name := file(t, text)
		c, err := config.Load([]string{"--config", name})
		if err != nil {
			return
		}
		// What is accepted never listens in the open by accident.
		for _, a := range c.Listen {
			if !a.Local() && !c.TLS.Enabled() && !c.InsecureListen {
				t.Errorf("%s is accepted without TLS and without insecure_listen", a)
			}
		}
		if err := c.Validate(); err != nil {
			t.Errorf("a Config that was loaded does not validate: %v", err)
		}
	})
}

func TestAdministrationTakesTheIssuersAndNotTheAudiencesOfTheChecks(t *testing.T) {
	c := load(t, "--config", file(t, `
identity:
  delegated_scopes: enforce
  sources:
    - header: {tenant: x-tenant, principal: x-user}
    - jwt: {issuers: [{issuer: "https://login.example", audiences: [api], jwks: /keys.json, any_tenant: true}]}
admin: {audience: [admin]}
`))
	got := c.AdminIdentityConfig()
	if len(got.Sources) != 1 || got.Sources[0].JWT == nil {
		t.Fatalf("sources %+v, want the jwt source alone", got.Sources)
	}
	if issuer := got.Sources[0].JWT.Issuers[0]; issuer.Issuer != "https://login.example" || !slices.Equal(issuer.Audiences, []string{"admin"}) || issuer.JWKS != "/keys.json" {
		t.Errorf("the issuer is %+v", issuer)
	}
	if got.DelegatedScopes != "enforce" {
		t.Errorf("delegated_scopes is %q", got.DelegatedScopes)
	}
	if checks := c.IdentityConfig().Sources[1].JWT.Issuers[0]; !slices.Equal(checks.Audiences, []string{"api"}) {
		t.Errorf("the checks' audiences are now %v", checks.Audiences)
	}
}

func TestAdministrationIdentifiesNobodyUnlessToldTo(t *testing.T) {
	c := load(t, "--issuer", "https://login.example", "--audience", "api", "--jwks", "/keys.json")
	if got := c.AdminIdentityConfig(); len(got.Sources) != 0 {
		t.Errorf("sources %+v, want none", got.Sources)
	}
}

func TestTheSameAudienceForChecksAndAdministrationIsWarnedOf(t *testing.T) {
	c := load(t, "--issuer", "https://login.example", "--audience", "api", "--jwks", "/keys.json", "--admin-audience", "api", "--admin-self-escalation", "allow")
	all := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{"admin.audience api is an audience of the checks too", "admin.self_escalation is allow"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in:\n%s", want, all)
		}
	}
}

func TestAdministrationHasCertificatesOfItsOwnOrTheListeners(t *testing.T) {
	c := load(t, "--tls-cert-file", "a.pem", "--tls-key-file", "a.key")
	if files, own := c.AdminTLS(); own || files.CertFile != "a.pem" {
		t.Errorf("%+v, own %t", files, own)
	}
	c = load(t, "--tls-cert-file", "a.pem", "--tls-key-file", "a.key", "--admin-tls-cert-file", "b.pem", "--admin-tls-key-file", "b.key")
	if files, own := c.AdminTLS(); !own || files.CertFile != "b.pem" || files.ClientCAFile != "" || files.MinVersion != config.TLS13 {
		t.Errorf("%+v, own %t", files, own)
	}
}
