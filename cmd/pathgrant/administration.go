package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/callers"
	"github.com/pathgrant/pathgrant/internal/config"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/ops"
	"github.com/pathgrant/pathgrant/internal/rest"
	"github.com/pathgrant/pathgrant/internal/rpc"
	"github.com/pathgrant/pathgrant/internal/server"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// administration is the part of a server that changes things.
type administration struct {
	admin     *admin.Admin
	secret    *admin.Secret
	verifier  *identity.Verifier
	server    *server.Admin
	listeners []net.Listener
	address   string
	writable  bool
}

// newAdmin returns what changes a store, for the server and for the commands that hold the
// data directory.
func newAdmin(m *model, store *snapshot.Store, with func(*admin.Options)) (*admin.Admin, error) {
	o := admin.Options{
		Store: admin.FromSnapshot(store), Vocabulary: m.Vocabulary(), ShippedRoles: m.roles, FoldCase: m.FoldCase(),
		Writable: true, Now: time.Now,
	}
	if with != nil {
		with(&o)
	}
	a, err := admin.New(o)
	if err != nil {
		return nil, fmt.Errorf("administration: %w", err)
	}
	return a, nil
}

// buildAdministration makes the part that changes things. It is made even where nobody
// listens for it, for the change audit of a file source is its too.
func (p *parts) buildAdministration() error {
	a := &administration{writable: p.cfg.Bundle == ""}
	p.administration = a
	settings := p.cfg.Admin
	var err error
	if p.cfg.AdminListen.Enabled() {
		if a.secret, err = admin.OpenSecret(p.cfg.Data); err != nil {
			return err
		}
	}
	a.admin, err = newAdmin(p.model, p.store, func(o *admin.Options) {
		o.Writable, o.Secret, o.Log = a.writable, a.secret, p.log
		o.SelfEscalation, o.Escalation = adminPolicy(settings.SelfEscalation), adminPolicy(settings.Escalation)
		o.AllowRoleAssignmentOnDisabledUsers = settings.AllowRoleAssignmentOnDisabledUsers
	})
	if err != nil || !p.cfg.AdminListen.Enabled() {
		return err
	}
	identityConfig := p.cfg.AdminIdentityConfig()
	identityConfig.FoldCase = p.model.FoldCase()
	if a.verifier, err = identity.New(identityConfig, identity.Deps{Log: p.log}); err != nil {
		return fmt.Errorf("admin.identity: %w", err)
	}
	mapping, err := callers.NewMapping()
	if err != nil {
		return err
	}
	identifier := callers.New(callers.Options{Mapping: mapping, Verifier: a.verifier, Prove: a.admin.Prove})
	services := rpc.NewAdministration(rpc.AdministrationOptions{
		Admin: a.admin, Identify: identifier.Identify, Changed: p.changed,
		WriteBundle: writeBundle, ReadBundle: bundleReader(p.model),
		Backup:  p.store.Backup,
		Observe: func(method string, code codes.Code) { p.metrics.ObserveAdmin(method, code.String()) },
		Log:     p.log,
	})
	identify := func(r *http.Request) (admin.Caller, error) {
		return identifier.Identify(r.Context(), callers.OfRequest(r))
	}
	restAPI, err := rest.New(rest.Options{
		Admin: a.admin, Identify: identify, ShippedRoles: p.model.roles, FoldCase: p.model.FoldCase(), Log: p.log,
	})
	if err != nil {
		return err
	}
	options := server.AdminOptions{
		REST:               restAPI,
		UnaryInterceptors:  []grpc.UnaryServerInterceptor{services.Unary},
		StreamInterceptors: []grpc.StreamServerInterceptor{services.Stream},
		DrainTimeout:       p.cfg.DrainTimeout, Log: p.log,
	}
	if options.TLS, options.RunCertificates, err = p.adminCertificates(); err != nil {
		return err
	}
	a.server = server.NewAdmin(options)
	services.Register(a.server)
	p.explainService(a.admin).Register(a.server)
	return nil
}

func adminPolicy(p config.Policy) admin.Policy {
	if p == config.PolicyAllow {
		return admin.PolicyAllow
	}
	return admin.PolicyDeny
}

// adminCertificates returns the certificates of administration, nil for none, and whether
// they are its own, so that nobody else reads their files again.
func (p *parts) adminCertificates() (held *server.Certificates, own bool, err error) {
	files, own := p.cfg.AdminTLS()
	if !own {
		return p.certificates, false, nil
	}
	if held, err = server.LoadCertificates(files.Files(), uint16(files.MinVersion), p.log); err != nil {
		return nil, false, fmt.Errorf("admin: %w", err)
	}
	return held, true, nil
}

// changed waits until decisions are taken on something newer.
func (p *parts) changed(ctx context.Context, after authz.Revision) (authz.Revision, error) {
	want := authz.Revision{}
	if after != (authz.Revision{}) {
		want = authz.Revision{Epoch: after.Epoch, Number: after.Number + 1}
	}
	held, err := p.store.Await(ctx, want)
	if err != nil {
		return authz.Revision{}, err
	}
	return held.Revision(), nil
}

func writeBundle(w io.Writer, d *snapshot.Data, json bool) error {
	format := bundle.YAML
	if json {
		format = bundle.JSON
	}
	return bundle.Write(w, d, format)
}

func bundleReader(m *model) func(text []byte, json bool) (*snapshot.Data, error) {
	return func(text []byte, json bool) (*snapshot.Data, error) {
		name := "bundle.yaml"
		if json {
			name = "bundle.json"
		}
		return bundle.Parse(name, text, bundleOptions(m))
	}
}

// listenAdmin opens the listener of administration, if there is to be one.
func (p *parts) listenAdmin(ctx context.Context) error {
	a := p.administration
	if a.server == nil {
		return nil
	}
	var err error
	a.listeners, err = server.Listen(ctx, []server.Address{p.cfg.AdminListen.Address}, os.FileMode(p.cfg.UnixSocketMode))
	if err != nil {
		return fmt.Errorf("admin_listen: %w", err)
	}
	for _, l := range a.listeners {
		a.address = l.Addr().Network() + "://" + l.Addr().String()
	}
	return nil
}

// closeAdmin closes what nobody will serve.
func (p *parts) closeAdmin() error {
	var errs []error
	for _, l := range p.administration.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// runAdmin serves administration until ctx ends.
func (p *parts) runAdmin(ctx context.Context) error {
	a := p.administration
	if a.server == nil {
		<-ctx.Done()
		return nil
	}
	behind, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	keys := make(chan error, 1)
	go func() { keys <- a.verifier.Run(behind) }()
	err := a.server.Serve(ctx, a.listeners...)
	stop()
	return errors.Join(err, <-keys)
}

// adminStatus is the state of administration.
func (p *parts) adminStatus() *ops.AdministrationStatus {
	a := p.administration
	if a.server == nil {
		return nil
	}
	status := &ops.AdministrationStatus{Listener: a.address, Writable: a.writable, WrongSecrets: a.secret.Wrong()}
	for _, issuer := range a.verifier.State().Issuers {
		status.Keys = append(status.Keys, ops.KeySetStatus{Issuer: issuer.Issuer, Loaded: issuer.LastProof, Error: issuer.Err})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	emergencies, err := a.admin.Emergencies(ctx)
	if err != nil && !errors.Is(err, snapshot.ErrNotReady) {
		status.BreakGlassError = err.Error()
	}
	for _, e := range emergencies {
		status.BreakGlass = append(status.BreakGlass, ops.BreakGlassStatus{
			Tenant: e.Tenant, PrincipalType: e.RoleAssignment.Principal.Type.String(), Principal: e.RoleAssignment.Principal.ID,
			RoleDefinitionID: e.RoleAssignment.RoleDefinitionID, Expires: time.Unix(e.RoleAssignment.Expires, 0).UTC(), Justification: e.Justification,
		})
	}
	return status
}

// recordedStore has every delivery to a store entered in the change audit.
type recordedStore struct {
	*snapshot.Store
	record func(*snapshot.Edit) error
}

// Replace implements the store of a source.
func (s recordedStore) Replace(ctx context.Context, d *snapshot.Data, c snapshot.Change) (authz.Revision, error) {
	c.Record = s.record
	return s.Store.Replace(ctx, d, c)
}
