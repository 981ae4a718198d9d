package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/internal/config"
	"github.com/pathgrant/pathgrant/internal/extauthz"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/ops"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/internal/server"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/source"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

func serveCommand() *cobra.Command {
	cfg := config.Default()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer Envoy's ext_authz calls and direct checks",
		Long: `Answer Envoy's ext_authz calls and direct checks until told to stop (SIGTERM).

Without any flags: assignments from ./pathgrant-data, the shipped catalogue, on
loopback only, and nobody identified. With --bundle, assignments come from that file,
which is followed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.Load(cmd.Flags()); err != nil {
				return usageError{err}
			}
			return serve(cmd.Context(), &cfg, cmd.ErrOrStderr())
		},
	}
	cfg.Flags(cmd.Flags())
	return cmd
}

// serve is the wiring: whatever can fail at the start fails here, and the parts run
// until ctx ends or one of them fails.
func serve(ctx context.Context, cfg *config.Config, stderr io.Writer) (err error) {
	stderr = patient(stderr)
	log := newLog(stderr, cfg)
	log.InfoContext(ctx, "starting", "version", buildVersion(), "data", cfg.Data, "bundle", cfg.Bundle)
	for _, warning := range cfg.Warnings() {
		log.WarnContext(ctx, "setting that deserves a second look", "warning", warning)
	}
	mostMemory := int64(0)
	if limit := int64(cfg.MemoryLimit); limit >= 0 {
		if mostMemory, _, err = ops.LimitMemory(limit); err != nil {
			return fmt.Errorf("memory_limit: %w", err)
		}
	}
	ops.CollectLess()
	files := modelFiles{cfg.Catalogues, cfg.RolePacks}
	m, err := files.load()
	if err != nil {
		return err
	}
	options := storeOptions{
		dir: cfg.Data, cacheBytes: int64(cfg.CacheBytes), log: log,
		unknownScopesAtTenant: cfg.UnknownScopes == config.UnknownScopesTenant,
	}
	store, err := openStore(ctx, m, options)
	if cfg.Bundle != "" && errors.Is(err, snapshot.ErrCatalogue) {
		// The bundle is the record, and it is read with the catalogue as it is now.
		log.WarnContext(ctx, "snapshot does not fit the catalogue: not ready until the bundle is applied", "err", err)
		options.restore = true
		store, err = openStore(ctx, m, options)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	p := &parts{cfg: cfg, log: log, model: m, store: store, started: time.Now(), mostMemory: mostMemory}
	if err := p.build(stderr); err != nil {
		return err
	}
	if err := p.listenAdmin(ctx); err != nil {
		return err
	}
	listeners, opsListeners, err := p.listen(ctx)
	if err != nil {
		return errors.Join(err, p.closeAdmin())
	}
	return p.run(ctx, listeners, opsListeners)
}

func newLog(w io.Writer, cfg *config.Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == config.LogText {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// changes is where assignments come from.
type changes interface {
	Run(ctx context.Context) error
	State() source.State
}

// parts are what a server is made of.
type parts struct {
	cfg        *config.Config
	log        *slog.Logger
	model      *model
	store      *snapshot.Store
	started    time.Time
	mostMemory int64 // the Go runtime's limit at the start; 0: none

	source       changes
	verifier     *identity.Verifier
	certificates *server.Certificates
	decisions    *audit.Log
	recent       *audit.Recent // what can be explained by its identifier; nil: nothing
	metrics      *ops.Metrics
	grpc         *server.Server
	listening    atomic.Pointer[[]string]

	administration *administration
	draining       atomic.Bool
}

func (p *parts) build(stderr io.Writer) (err error) {
	identityConfig := p.cfg.IdentityConfig()
	identityConfig.FoldCase = p.model.FoldCase()
	if p.verifier, err = identity.New(identityConfig, identity.Deps{Log: p.log}); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	p.metrics = ops.NewMetrics(buildVersion(), p.status)
	if p.cfg.TLS.Enabled() {
		if p.certificates, err = server.LoadCertificates(p.cfg.TLS.Files(), uint16(p.cfg.TLS.MinVersion), p.log); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	}
	if p.cfg.RecentDecisions > 0 {
		p.recent = audit.NewRecent(int(p.cfg.RecentDecisions))
	}
	if err := p.buildAdministration(); err != nil {
		return err
	}
	if p.cfg.Bundle != "" {
		p.source = source.NewFile(source.FileOptions{
			Path: p.cfg.Bundle, Bundle: bundleOptions(p.model), Log: p.log,
			Store: recordedStore{p.store, p.administration.admin.Delivered("file")},
		})
	} else {
		p.source = source.NewLocal(p.store)
	}
	p.decisions = audit.New(audit.Options{Mode: p.cfg.DecisionLog, Writer: stderr, Recent: p.recent, Log: p.log})

	deciding := p.gateOptions()
	deciding.Identity, deciding.Recorder = p.verifier, recorder{p.decisions, p.metrics}
	g := gate.New(deciding)
	options := p.cfg.Server()
	options.TLS, options.Log = p.certificates, p.log
	p.grpc = server.New(options)
	checks := extauthz.New(extauthz.Options{
		Decider: g, Headers: identityHeaders(p.cfg), Detail: denialDetail(p.cfg), Log: p.log,
	})
	checks.Register(p.grpc)
	p.grpc.AnswerUnary(extauthz.Method, checks)
	p.grpc.RegisterPlain(&pathgrantv1.AuthorizationService_ServiceDesc, rpc.New(rpc.Options{
		Decider: g, Mapper: g, Composites: g, FoldCase: p.model.FoldCase(), Log: p.log,
	}))
	return nil
}

// gateOptions are those of every gate: nobody is identified and nothing is recorded.
func (p *parts) gateOptions() gate.Options {
	reads, changes := p.cfg.Staleness()
	return gate.Options{
		Catalogues:          p.model.Catalogues,
		Snapshots:           p.store,
		ProvenAt:            func(string) time.Time { return p.source.State().LastProof },
		MaxStalenessReads:   reads,
		MaxStalenessChanges: changes,
		Log:                 p.log,
		Now:                 time.Now,
	}
}

func identityHeaders(cfg *config.Config) extauthz.Headers {
	h := cfg.IdentityHeaders
	return extauthz.Headers{
		Principal: h.Principal, PrincipalType: h.PrincipalType, Tenant: h.Tenant,
		Permission: h.Permission, Scope: h.Scope, DecisionID: h.DecisionID, Revision: h.Revision,
	}
}

func denialDetail(cfg *config.Config) extauthz.DenialDetail {
	switch cfg.DenialDetail {
	case config.DenialDetailNone:
		return extauthz.DetailNone
	case config.DenialDetailScope:
		return extauthz.DetailScope
	default:
		return extauthz.DetailPermission
	}
}

func (p *parts) listen(ctx context.Context) (grpc, operator []net.Listener, err error) {
	grpc, err = server.Listen(ctx, p.cfg.Listen, os.FileMode(p.cfg.UnixSocketMode))
	if err != nil {
		return nil, nil, err
	}
	if p.cfg.OpsListen.Enabled() {
		operator, err = server.Listen(ctx, []server.Address{p.cfg.OpsListen.Address}, os.FileMode(p.cfg.UnixSocketMode))
		if err != nil {
			for _, l := range grpc {
				err = errors.Join(err, l.Close())
			}
			return nil, nil, err
		}
	}
	var names []string
	for _, l := range grpc {
		names = append(names, l.Addr().Network()+"://"+l.Addr().String())
	}
	p.listening.Store(&names)
	for _, l := range operator {
		p.log.InfoContext(ctx, "listening for operators", "address", l.Addr().Network()+"://"+l.Addr().String())
	}
	return grpc, operator, nil
}

// readinessInterval is how often health follows the state of the source. That of the snapshot
// it follows at once.
const readinessInterval = time.Second

// run runs the parts. They end in two steps: first the server drains, answering as long
// as anybody asks; then all that it needs for that.
func (p *parts) run(ctx context.Context, listeners, operator []net.Listener) error {
	defer context.AfterFunc(ctx, func() { p.draining.Store(true) })()
	behind, stopBehind := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBehind()
	group, groupCtx := errgroup.WithContext(behind)
	group.Go(func() error { return p.source.Run(groupCtx) })
	group.Go(func() error { return p.verifier.Run(groupCtx) })
	group.Go(func() error { return p.decisions.Run(groupCtx) })
	if p.cfg.MemoryLimit == 0 {
		group.Go(func() error { return ops.FollowMemory(groupCtx, int64(p.cfg.CacheBytes), p.mostMemory) })
	}
	group.Go(func() error {
		return p.grpc.FollowReadiness(groupCtx, readinessInterval, p.store.Changed, func() server.Readiness {
			ready, _ := readiness(p.store.Stats(), p.source.State())
			return ready
		})
	})
	if len(operator) > 0 {
		handler := ops.Handler(ops.Options{Status: p.status, Metrics: p.metrics, Profiling: p.cfg.Pprof})
		group.Go(func() error { return ops.Serve(groupCtx, handler, p.log, operator...) })
	}
	group.Go(func() error {
		changing, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(groupCtx, cancel)()
		return p.runAdmin(changing)
	})
	group.Go(func() error {
		defer stopBehind()
		front, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(groupCtx, cancel)() // a part that failed ends the server too
		return p.grpc.Serve(front, listeners...)
	})
	err := group.Wait()
	p.log.InfoContext(ctx, "stopped")
	return err
}

// status is the state of the whole process.
func (p *parts) status() ops.Status {
	held, from, keys, logged := p.store.Stats(), p.source.State(), p.verifier.State(), p.decisions.Stats()
	status := ops.Status{
		Version:   buildVersion(),
		StartTime: p.started,
		Snapshot:  ops.SnapshotStatus{Revision: held.Revision, Proved: from.LastProof, Quarantined: held.Quarantined},
		Source: ops.SourceStatus{
			Name: from.Name, Healthy: from.Healthy, Error: from.Err, Since: from.Since,
			LastSuccess: from.LastProof, Errors: from.Errors,
		},
		Cache:       ops.CacheStatus{Hits: held.Hits, Misses: held.Misses, Dropped: held.Dropped, Bytes: uint64(max(held.CacheBytes, 0)), Alarms: held.Alarms},
		Identity:    ops.IdentityStatus{Hits: keys.CacheHits, Misses: keys.CacheMisses},
		DecisionLog: ops.DecisionLogStatus{Written: logged.Written, Dropped: logged.Dropped, Failed: logged.Failed},
	}
	if names := p.listening.Load(); names != nil {
		status.Listeners = *names
	}
	for _, issuer := range keys.Issuers {
		status.Identity.Keys = append(status.Identity.Keys, ops.KeySetStatus{Issuer: issuer.Issuer, Loaded: issuer.LastProof, Error: issuer.Err})
	}
	status.Administration = p.adminStatus()
	if p.certificates != nil {
		status.Certificates = &ops.CertificateStatus{NotAfter: p.certificates.NotAfter()}
		if err := p.certificates.Err(); err != nil {
			status.Certificates.Error = err.Error()
		}
	}
	status.Readiness, status.Detail = readiness(held, from)
	switch serving := p.grpc.Readiness().Serving(); {
	case p.draining.Load():
		status.Readiness, status.Detail = server.NotReady, "draining: the process was told to stop"
	case !serving && status.Readiness.Serving():
		// Whoever waits for /readyz may ask at once: health must say so first.
		status.Readiness, status.Detail = server.NotReady, "starting"
	}
	return status
}

// readiness tells what callers can expect: nothing, answers from data that may be old, or
// answers from the newest data.
func readiness(held snapshot.Stats, from source.State) (server.Readiness, string) {
	var why []string
	for _, problem := range []string{held.Problem, from.Err} {
		if problem != "" {
			why = append(why, problem)
		}
	}
	detail := strings.Join(why, "; ")
	switch {
	case !held.Ready && detail == "":
		return server.NotReady, "no snapshot has been loaded yet: give --bundle, or run pathgrant import"
	case !held.Ready && from.Name == "local":
		return server.NotReady, detail + "; stop this server, put the data back with pathgrant import, and start it again"
	case !held.Ready:
		return server.NotReady, detail
	case !from.Healthy || held.Problem != "":
		return server.Degraded, detail
	default:
		return server.Ready, ""
	}
}
