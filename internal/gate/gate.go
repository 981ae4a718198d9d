// Package gate is the one way to a decision: map the request, learn who asks, look up
// what they were given, decide, record. Every adapter comes through here.
//
// Each question is answered from exactly one revision of the snapshot. In doubt the
// gate denies, and a fault of its own is an answer too, never an error and never a
// panic.
package gate

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/identity"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// An Identifier verifies credentials; [identity.Verifier] is the one.
type Identifier interface {
	Identify(ctx context.Context, c *ask.Credentials) (identity.Identity, error)
	// Recall is Identify for what memory can tell at once; where that is not enough, the
	// error is [identity.ErrNotRecalled].
	Recall(c *ask.Credentials, now time.Time) (identity.Identity, error)
}

// A Recorder is told of every decision. It must not block, must not change the answer,
// and must copy what it keeps.
type Recorder interface {
	Record(r *ask.Request, a *ask.Answer, took time.Duration)
}

// Options are what a [Gate] is made of.
type Options struct {
	Catalogues *naming.Catalogues
	Snapshots  *snapshot.Store
	// Identity verifies credentials. Without it, only questions that state their
	// subject, and public routes, can be allowed.
	Identity Identifier
	// ProvenAt is the time at which the tenant's data was last proven to be the newest;
	// nil where the snapshot's store is itself the record.
	ProvenAt func(tenant string) time.Time
	// MaxStalenessReads and MaxStalenessChanges bound the age of the data that a
	// question for Read, and any other, is answered from; 0: no bound.
	MaxStalenessReads, MaxStalenessChanges time.Duration
	Recorder                               Recorder // nil: none
	Log                                    *slog.Logger
	// Now is the clock, of the identities too; nil: [time.Now]. It is read once for a
	// decision that does not wait.
	Now func() time.Time
}

// A Gate answers questions. It is safe for concurrent use.
type Gate struct {
	Options
	process   uint64 // the first half of every decision's identifier
	decisions atomic.Uint64
	scratches sync.Pool // *scratch
	isRead    authz.Set // the permissions whose action is Read
}

// New returns a Gate. It starts nothing.
func New(o Options) *Gate {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		panic(err) // crypto/rand.Read never fails
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	g := &Gate{
		Options: o,
		process: binary.BigEndian.Uint64(random[:]),
	}
	g.isRead = o.Catalogues.Vocabulary().Select(func(p authz.Permission) bool { return p.Action() == "Read" })
	return g
}

// scratch is the memory of one decision, used again by later ones.
type scratch struct {
	quick bool              // what takes its time is not to be done
	now   time.Time         // the clock, read anew after whatever may have waited
	who   identity.Identity // who asks, once that is known
	held  *snapshot.Reader  // what is read in place of the views; nil: they are
	trace *ask.Trace        // is told what was decided on; nil: nobody asked

	tables []tableAsk // what is asked of Dataverse tables; then permissions are none

	resolution  naming.Resolution
	permissions []authz.PermissionID
	missing     []authz.PermissionID
	named       []authz.NamedScope
	all         []authz.Scope   // the chains, one after the other
	ends        []int           // where each chain ends in all
	chains      [][]authz.Scope // slices of all
}

func (g *Gate) borrow() *scratch {
	if s, ok := g.scratches.Get().(*scratch); ok {
		return s
	}
	return new(scratch)
}

func (g *Gate) release(s *scratch) {
	s.who, s.held, s.trace = identity.Identity{}, nil, nil // a subject is not to outlive its token here
	s.forgetTables()
	g.scratches.Put(s)
}

// Decide answers r in a, which it resets first. A quick question that cannot be answered
// at once leaves no trace: the same question without Quick is the one that counts.
func (g *Gate) Decide(ctx context.Context, r *ask.Request, a *ask.Answer) {
	start := g.Now()
	a.Reset()
	s := g.borrow()
	s.quick = r.Quick
	g.decideContained(ctx, r, a, s, start)
	g.release(s)
	if a.Slow {
		return
	}
	a.DecisionID = ask.DecisionID{Process: g.process, Number: g.decisions.Add(1)}
	if g.Recorder != nil {
		g.Recorder.Record(r, a, time.Since(start))
	}
}

// batchTries bounds how often a batch starts anew because a change arrived while it ran.
const batchTries = 16

var errMoving = errors.New("the snapshot changed too often to answer the batch from one revision; ask again")

// DecideBatch answers every question from one revision. A change that arrives in
// between makes it start anew; only the last round is recorded.
func (g *Gate) DecideBatch(ctx context.Context, r []ask.Request, a []ask.Answer) error {
	start := g.Now()
	s := g.borrow()
	defer g.release(s)
	s.quick = false
	for range batchTries {
		for i := range r {
			a[i].Reset()
			g.decideContained(ctx, &r[i], &a[i], s, g.Now())
			a[i].DecisionID = ask.DecisionID{Process: g.process, Number: g.decisions.Add(1)}
		}
		if !oneRevision(a) {
			continue
		}
		if g.Recorder != nil {
			each := g.Now().Sub(start) / time.Duration(max(len(r), 1))
			for i := range r {
				g.Recorder.Record(&r[i], &a[i], each)
			}
		}
		return ctx.Err()
	}
	return errMoving
}

// oneRevision tells whether all answers that read a snapshot read the same revision.
func oneRevision(a []ask.Answer) bool {
	var seen authz.Revision
	for i := range a {
		switch revision := a[i].Revision; {
		case revision == authz.Revision{}, revision == seen:
		case seen == authz.Revision{}:
			seen = revision
		default:
			return false
		}
	}
	return true
}

// Map says which permissions and scopes a request names; its scopes begin with the
// tenant given. A table that only its environment's declarations could name stands by its
// entity set in braces: Dataverse.{accounts}.Read.
func (g *Gate) Map(r *ask.Request, tenant string, a *ask.Answer) {
	a.Reset()
	s := g.borrow()
	defer g.release(s)
	if !g.mapRequest(r, a, s) {
		return
	}
	for _, id := range s.permissions {
		a.Permissions = append(a.Permissions, g.Catalogues.Vocabulary().Name(id))
	}
	for i := range s.tables {
		a.Permissions = append(a.Permissions, s.tables[i].permission())
	}
	for _, named := range s.named {
		a.Scopes = append(a.Scopes, named.In(tenant))
	}
}

// decideContained turns a panic into an answer, so that nobody can turn a fault into a
// pass where the proxy lets requests through when the check itself fails.
func (g *Gate) decideContained(ctx context.Context, r *ask.Request, a *ask.Answer, s *scratch, now time.Time) {
	s.now, s.who = now, identity.Identity{}
	defer func() {
		if fault := recover(); fault != nil {
			a.Reset()
			a.Time = s.now
			a.Reason, a.Detail = authz.Internal, "the decision failed; the log says why"
			g.Log.ErrorContext(ctx, "panic while deciding", "panic", fault, "stack", string(debug.Stack()))
		}
	}()
	g.decide(ctx, r, a, s)
	if !a.Slow {
		a.Time = s.now
		s.who.Count()
	}
}

// slow makes the answer say that the question is to be asked again without Quick.
func slow(a *ask.Answer) {
	a.Reset()
	a.Slow = true
}

// decide goes through the reasons in their order: the first that applies is the answer.
func (g *Gate) decide(ctx context.Context, r *ask.Request, a *ask.Answer, s *scratch) {
	mapped := g.mapRequest(r, a, s)
	if a.Reason == authz.BadRequest || a.Reason == authz.Public {
		return
	}
	if !g.identify(ctx, r, a, s) {
		return
	}
	a.Subject = s.who.Subject
	switch {
	case !mapped:
		a.Reason = authz.Unmapped
	case len(s.tables) > 0:
		g.decideTables(ctx, r, a, s)
	default:
		g.decideNamed(ctx, r, a, s)
	}
}

// crossTenant tells whether the request names a tenant that is not the caller's.
func (s *scratch) crossTenant(tenant string, a *ask.Answer) bool {
	for _, named := range s.resolution.Tenants {
		if named != tenant {
			a.Reason, a.Detail = authz.CrossTenant, "the request names a tenant that is not the caller's"
			return true
		}
	}
	return false
}

// decideNamed decides what the scratch says is asked for: its permissions at its named
// scopes.
func (g *Gate) decideNamed(ctx context.Context, r *ask.Request, a *ask.Answer, s *scratch) {
	who := &s.who
	tenant := who.Subject.Tenant()
	if s.crossTenant(tenant, a) {
		return
	}
	var (
		held tenantState
		view *snapshot.View
	)
	if s.held == nil {
		found, ok := g.lookUp(ctx, r, a, s)
		if !ok {
			return
		}
		a.Revision, view, held = found.Snapshot.Revision(), found.View, g.tenant(found.Tenant, tenant)
	} else if held, view = g.readAnew(ctx, a, s, tenant); view == nil {
		return
	}
	vocabulary := g.Catalogues.Vocabulary()
	for _, id := range s.permissions {
		a.Permissions = append(a.Permissions, vocabulary.Name(id))
	}
	if !s.findChains(held.Hierarchy(), tenant, a) {
		return
	}
	now := s.now.Unix()
	switch {
	case !g.fresh(tenant, g.onlyRead(s.permissions), s.now):
		a.Reason, a.Detail = authz.Stale, tooOld
		return
	case view.Disabled:
		a.Reason = authz.PrincipalDisabled
		return
	case who.EnforceDelegated && who.UserToken && !g.delegated(who.Scopes, s.permissions, a):
		return
	}
	question := authz.Request{Permissions: s.permissions, Chains: s.chains}
	if who.Subject.GroupsUnknown() && !held.DirectoryComplete() {
		question.GroupsUnknown, question.GroupDenials = true, held.GroupDenials()
	}
	if s.trace != nil {
		s.traceNamed(view.Grants, question, r.HTTP)
	}
	decision := authz.Decide(view.Grants, question, now)
	a.Reason, a.Assignment = decision.Reason, decision.Grant
	if !decision.Allowed() {
		s.missing = append(s.missing[:0], s.permissions...)
		if len(s.missing) > 1 { // else it is the one that was refused
			s.missing = authz.AppendMissing(s.missing[:0], view.Grants, question, now)
		}
		for _, id := range s.missing {
			a.Missing = append(a.Missing, vocabulary.Name(id))
		}
		return
	}
	if r.HTTP && !holdsDirectly(who.Subject, s.resolution.GrantedTo) {
		a.Reason, a.Detail, a.Assignment = authz.NoAssignment, notDirectly, nil
	}
}

const notDirectly = "the route is open only to holders of certain directory roles"

// holdsDirectly tells whether the token itself names one of the directory roles that a
// route is granted to. Membership through a group does not count.
func holdsDirectly(subject *authz.Subject, grantedTo []authz.Principal) bool {
	return len(grantedTo) == 0 || slices.ContainsFunc(grantedTo, func(p authz.Principal) bool {
		return p.Type == authz.DirectoryRole && slices.Contains(subject.DirectoryRoles(), p.ID)
	})
}

// mapRequest works out which permissions are asked for and which scopes are named, and
// tells whether there are any. It sets BAD_REQUEST, PUBLIC or UNMAPPED.
func (g *Gate) mapRequest(r *ask.Request, a *ask.Answer, s *scratch) bool {
	s.permissions, s.named = s.permissions[:0], s.named[:0]
	s.resolution.Tenants = s.resolution.Tenants[:0]
	s.forgetTables()
	if r.Unreadable != "" {
		a.Reason, a.Detail = authz.BadRequest, r.Unreadable
		return false
	}
	catalogue := g.Catalogues.Default()
	if r.Catalogue != "" {
		named, ok := g.Catalogues.Named(r.Catalogue)
		if !ok {
			a.Reason, a.Detail = authz.BadRequest, "no catalogue of that name is loaded"
			return false
		}
		catalogue = named
	}
	if !r.HTTP {
		return g.mapDirect(r, a, s)
	}
	if field, ok := r.AsksRecords(); ok {
		a.Reason, a.Detail = authz.BadRequest, field+": goes with a permission of a Dataverse table and not with an HTTP request"
		return false
	}
	catalogue.Resolve(naming.Request{
		Method: r.Method, Host: r.Host, Path: r.Path, GRPC: r.GRPC,
		Override: r.PermissionOverride, Header: r.Header, ContextExtension: r.ContextExtension,
	}, &s.resolution)
	a.Reason, a.DecidedBy, a.Rule, a.Detail = s.resolution.Reason, s.resolution.DecidedBy, s.resolution.Rule, s.resolution.Detail
	if a.Reason == authz.BadRequest || a.Reason == authz.Public {
		return false
	}
	s.permissions = append(s.permissions, s.resolution.Permissions...)
	s.named = append(s.named, s.resolution.Scopes...)
	if s.resolution.Web != nil {
		s.mapWeb(s.resolution.Web)
	}
	return a.Reason == authz.ReasonUnspecified && len(s.permissions)+len(s.tables) > 0 && len(s.named) > 0
}

func (g *Gate) mapDirect(r *ask.Request, a *ask.Answer, s *scratch) bool {
	a.DecidedBy = "permission"
	if _, err := authz.ParsePermission(r.Permission); err != nil {
		a.Reason, a.Detail = authz.BadRequest, err.Error()
		return false
	}
	tenant, named, err := authz.ParseScope(r.Scope, g.Catalogues.FoldCase())
	if err != nil {
		a.Reason, a.Detail = authz.BadRequest, err.Error()
		return false
	}
	if isTablePermission(r.Permission) {
		return g.mapTable(r, tenant, named, a, s)
	}
	if field, ok := r.AsksRecords(); ok {
		a.Reason, a.Detail = authz.BadRequest, field+": goes with a permission of a Dataverse table, Dataverse.{Table}.{Privilege}"
		return false
	}
	id, ok := g.Catalogues.Vocabulary().ID(r.Permission)
	if !ok {
		a.Reason, a.Detail = authz.Unmapped, "the catalogue does not know this permission"
		return false
	}
	s.permissions = append(s.permissions, id)
	s.named = append(s.named, named)
	s.resolution.Tenants = append(s.resolution.Tenants, tenant)
	return true
}

// identify finds out who asks: from memory if that is enough, and otherwise, unless the
// question is quick, in whatever time it takes.
func (g *Gate) identify(ctx context.Context, r *ask.Request, a *ask.Answer, s *scratch) bool {
	if r.Subject != nil {
		s.who.Subject = r.Subject
		return true
	}
	if g.Identity == nil {
		a.Reason, a.Detail = authz.Unauthenticated, "no source of identity is configured"
		return false
	}
	var err error
	s.who, err = g.Identity.Recall(&r.Credentials, s.now)
	if err == nil && s.who.Subject != nil {
		return true
	}
	if errors.Is(err, identity.ErrNotRecalled) {
		if s.quick {
			slow(a)
			return false
		}
		s.who, err = g.Identity.Identify(ctx, &r.Credentials)
		s.now = g.Now() // it may have waited
	}
	var invalid *identity.InvalidError
	switch {
	case err == nil && s.who.Subject != nil:
		return true
	case errors.Is(err, identity.ErrKeysUnavailable):
		a.Reason, a.Detail = authz.NotReady, "the keys that tokens are verified with could not be loaded"
	case errors.As(err, &invalid):
		a.Reason, a.Detail, a.InvalidCredentials = authz.Unauthenticated, invalid.Detail, true
	default:
		a.Reason, a.Detail = authz.Unauthenticated, "the request carries no credentials"
	}
	return false
}

// lookUp finds one revision of the snapshot and what the subject holds in it: in memory if
// it is there, and otherwise, unless the question is quick, in the file.
func (g *Gate) lookUp(ctx context.Context, r *ask.Request, a *ask.Answer, s *scratch) (f snapshot.Found, ok bool) {
	if g.arrived(r.AtLeast) {
		if f, ok = g.Snapshots.CachedView(s.who.Subject); ok {
			return f, true
		}
	}
	if s.quick {
		slow(a)
		return snapshot.Found{}, false
	}
	f, ok = g.read(ctx, r, a, s.who.Subject)
	s.now = g.Now() // it may have waited
	return f, ok
}

// arrived tells whether the revision is there, so that nobody need wait for it.
func (g *Gate) arrived(r authz.Revision) bool {
	if r == (authz.Revision{}) {
		return true
	}
	snap := g.Snapshots.Current()
	return snap != nil && snap.Revision().Compare(r) >= 0
}

// read is lookUp for what takes its time.
func (g *Gate) read(ctx context.Context, r *ask.Request, a *ask.Answer, subject *authz.Subject) (f snapshot.Found, ok bool) {
	if reason, detail := g.waitFor(ctx, r.AtLeast); reason != authz.ReasonUnspecified {
		a.Reason, a.Detail = reason, detail
		return snapshot.Found{}, false
	}
	f, err := g.Snapshots.View(ctx, subject)
	if err != nil {
		a.Reason, a.Detail = g.unreadable(ctx, err)
		return snapshot.Found{}, false
	}
	return f, true
}

// waitFor waits for the revision; a reason says that it did not arrive.
func (g *Gate) waitFor(ctx context.Context, r authz.Revision) (authz.Reason, string) {
	if g.arrived(r) {
		return authz.ReasonUnspecified, ""
	}
	err := g.await(ctx, r)
	switch {
	case err == nil:
		return authz.ReasonUnspecified, ""
	case errors.Is(err, snapshot.ErrNotReady) || g.Snapshots.Current() == nil:
		return authz.NotReady, noSnapshot
	default:
		return authz.Stale, "the revision asked for has not arrived"
	}
}

const noSnapshot = "no snapshot has been loaded yet"

// unreadable is the reason where the snapshot cannot be read.
func (g *Gate) unreadable(ctx context.Context, err error) (authz.Reason, string) {
	if errors.Is(err, snapshot.ErrNotReady) {
		return authz.NotReady, noSnapshot
	}
	g.Log.ErrorContext(ctx, "snapshot not readable", "err", err)
	return authz.Internal, "the snapshot could not be read; the log says why"
}

// How long a question that asks for a revision waits for it: until so long before its
// deadline that the refusal still arrives, and without a deadline not for ever.
const (
	awaitMargin = 20 * time.Millisecond
	awaitMost   = 10 * time.Second
)

func (g *Gate) await(ctx context.Context, r authz.Revision) error {
	until := time.Now().Add(awaitMost)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-awaitMargin).Before(until) {
		until = deadline.Add(-awaitMargin)
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	_, err := g.Snapshots.Await(ctx, r)
	return err
}

// findChains works out, for every scope named, what it inherits from, and writes the
// scopes into the answer. It sets UNKNOWN_SCOPE for one that the tenant does not list.
func (s *scratch) findChains(h *authz.Hierarchy, tenant string, a *ask.Answer) bool {
	s.all, s.ends, s.chains = s.all[:0], s.ends[:0], s.chains[:0]
	for _, named := range s.named {
		start := len(s.all)
		var known bool
		s.all, known = h.AppendChain(s.all, named, &a.Buf)
		if !known {
			a.Scopes = append(a.Scopes, named.In(tenant))
			a.Reason, a.Detail = authz.UnknownScope, "the tenant lists no such environment, environment group or business unit"
			continue
		}
		a.Scopes = append(a.Scopes, s.all[start])
		s.ends = append(s.ends, len(s.all))
	}
	if a.Reason == authz.UnknownScope {
		return false
	}
	from := 0
	for _, end := range s.ends {
		s.chains = append(s.chains, s.all[from:end:end])
		from = end
	}
	return true
}

// tenantState is what the decision reads of a tenant.
type tenantState interface {
	Hierarchy() *authz.Hierarchy
	DirectoryComplete() bool
	GroupDenials() *authz.Grants
}

// tenant is what is known of the tenant with the identifier, which may be nothing.
func (g *Gate) tenant(known *snapshot.TenantView, id string) tenantState {
	if known != nil {
		return known
	}
	return unlisted{g.Snapshots.EmptyHierarchy(id)}
}

// unlisted stands for a tenant that the snapshot does not list: it exists, and nobody
// holds anything in it.
type unlisted struct{ hierarchy *authz.Hierarchy }

func (u unlisted) Hierarchy() *authz.Hierarchy { return u.hierarchy }
func (unlisted) DirectoryComplete() bool       { return false }
func (unlisted) GroupDenials() *authz.Grants   { return nil }

// onlyRead tells whether all that is asked for is Read, where that makes a difference.
func (g *Gate) onlyRead(permissions []authz.PermissionID) bool {
	return g.MaxStalenessReads == g.MaxStalenessChanges ||
		!slices.ContainsFunc(permissions, func(id authz.PermissionID) bool { return !g.isRead.Has(id) })
}

// fresh tells whether the data is young enough for what is asked.
func (g *Gate) fresh(tenant string, reads bool, now time.Time) bool {
	if g.ProvenAt == nil || g.MaxStalenessReads == 0 && g.MaxStalenessChanges == 0 {
		return true
	}
	limit := g.MaxStalenessChanges
	if reads {
		limit = g.MaxStalenessReads
	}
	return limit == 0 || now.Sub(g.ProvenAt(tenant)) <= limit
}

// delegated tells whether the application was delegated every permission, as the
// token's scopes say.
func (g *Gate) delegated(scopes []string, permissions []authz.PermissionID, a *ask.Answer) bool {
	vocabulary := g.Catalogues.Vocabulary()
	for _, id := range permissions {
		has := slices.ContainsFunc(scopes, func(scope string) bool {
			held, known := vocabulary.ID(scope)
			return known && held == id
		})
		if !has {
			a.Missing = append(a.Missing, vocabulary.Name(id))
		}
	}
	if len(a.Missing) > 0 {
		a.Reason = authz.DelegatedScopeMissing
		return false
	}
	return true
}
