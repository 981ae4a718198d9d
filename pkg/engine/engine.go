package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/gate"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// Errors of [Open] and [Engine.Reopen] to tell apart.
var (
	// ErrNotReady says that the directory holds nothing to decide from yet.
	ErrNotReady = snapshot.ErrNotReady
	// ErrHeld says that a running server holds the directory: ask that server instead.
	ErrHeld = snapshot.ErrLocked
	// ErrDamaged says that what stands on disk is not what was written.
	ErrDamaged = snapshot.ErrCorrupt
	// ErrSchema says that the directory was written by a newer release.
	ErrSchema = snapshot.ErrSchema
	// ErrCatalogue says that the data does not fit the catalogues and the role packs that it
	// is opened with.
	ErrCatalogue = snapshot.ErrCatalogue
	// ErrOlder says that the directory holds an older state than the one in force.
	ErrOlder = errors.New("the directory holds an older state than the one in force")
	// ErrClosed says that the engine was closed.
	ErrClosed = errors.New("the engine is closed")
)

// Options say what a directory's data means. The zero Options are those of a server without
// settings.
type Options struct {
	// Catalogues map requests; nil: the shipped ones. They must be those that the data was
	// imported with.
	Catalogues *naming.Catalogues
	// RolePacks are further predefined roles; nil: those alone that come with the product.
	// They must be those that the data was imported with.
	RolePacks []RolePack
	// CacheBytes is how much memory views may take; 0: 64 MiB, below 0: none.
	CacheBytes int64
	// UnknownScopesAtTenant makes environments and groups that the tenant does not list
	// children of the tenant, which are unknown otherwise.
	UnknownScopesAtTenant bool
	// Log is told of faults; nil: nobody is.
	Log *slog.Logger
	// Now is the clock; nil: the machine's.
	Now func() time.Time
}

// A RolePack is the text of a role pack. The file's name is for messages only.
type RolePack struct {
	File string
	Text []byte
}

// An Engine answers questions from a data directory. It is safe for concurrent use.
type Engine struct {
	dir     string
	options Options
	roles   []authz.RoleDefinition // those that nobody can change

	current atomic.Pointer[opened]

	// reopening guards changes of current.
	reopening sync.Mutex
	closed    bool // guarded by reopening
}

// opened is one state of the directory.
type opened struct {
	store *snapshot.Store
	gate  *gate.Gate
	at    authz.Revision // what it was opened at, even if it was found damaged since

	// using is held for reading by whoever decides, for writing by whoever closes.
	using  sync.RWMutex
	closed bool // guarded by using
}

// Open opens a data directory to be read, and verifies what it holds. A directory that a
// running server holds cannot be opened ([ErrHeld]). As long as an engine has it open, a
// server on it will not start; pathgrant import --restore puts a new state beside the one
// in use, which [Engine.Reopen] takes up. To change states without either noticing the
// other, import into a directory of its own and point a symbolic link at it.
func Open(ctx context.Context, dir string, o Options) (*Engine, error) {
	if o.Catalogues == nil {
		shipped, err := naming.Load(naming.Shipped(), naming.ShippedDataverse())
		if err != nil {
			return nil, fmt.Errorf("open the engine: %w", err)
		}
		o.Catalogues = shipped
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	packs := make([]roles.PackFile, 0, len(o.RolePacks))
	for _, pack := range o.RolePacks {
		packs = append(packs, roles.PackFile(pack))
	}
	all, err := roles.WithPacks(roles.PackOptions{Vocabulary: o.Catalogues.Vocabulary(), FoldCase: o.Catalogues.FoldCase()}, packs...)
	if err != nil {
		return nil, fmt.Errorf("open the engine: %w", err)
	}
	e := &Engine{dir: dir, options: o, roles: all}
	state, err := e.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the engine: %w", err)
	}
	e.current.Store(state)
	return e, nil
}

func (e *Engine) open(ctx context.Context) (*opened, error) {
	o := &e.options
	store, err := snapshot.Open(ctx, snapshot.Options{
		Dir: e.dir, ReadOnly: true, CacheBytes: o.CacheBytes,
		Vocabulary: o.Catalogues.Vocabulary(), FoldCase: o.Catalogues.FoldCase(), ShippedRoles: e.roles,
		StandardTables: roles.StandardTables(), UnknownScopesAtTenant: o.UnknownScopesAtTenant, Log: o.Log, Now: o.Now,
	})
	if err != nil {
		return nil, err
	}
	return &opened{store: store, at: store.Current().Revision(), gate: gate.New(gate.Options{
		Catalogues: o.Catalogues, Snapshots: store, Log: o.Log, Now: o.Now,
	})}, nil
}

func (s *opened) close() error {
	s.using.Lock()
	defer s.using.Unlock()
	s.closed = true
	return s.store.Close()
}

// acquire returns the state in force, which release gives back; nil: the engine is closed.
func (e *Engine) acquire() *opened {
	for {
		s := e.current.Load()
		if s == nil {
			return nil
		}
		s.using.RLock()
		if !s.closed {
			return s
		}
		s.using.RUnlock() // another took its place in between
	}
}

func (s *opened) release() { s.using.RUnlock() }

// Reopen takes up the state that the directory holds now and returns its revision. Questions
// go on being answered, from the state before until the new one is verified. On an error the
// one before stays in force; an older state than that is refused with [ErrOlder], since what
// was taken away would be given back: to go back on purpose, import the older bundle, which
// makes a newer revision of it.
func (e *Engine) Reopen(ctx context.Context) (authz.Revision, error) {
	e.reopening.Lock()
	defer e.reopening.Unlock()
	if e.closed {
		return authz.Revision{}, fmt.Errorf("reopen the engine: %w", ErrClosed)
	}
	before := e.current.Load()
	state, err := e.open(ctx)
	if err != nil {
		return authz.Revision{}, fmt.Errorf("reopen the engine: %w", err)
	}
	if state.at.Compare(before.at) < 0 {
		err := fmt.Errorf("reopen the engine: %w: revision %d of epoch %d after revision %d of epoch %d",
			ErrOlder, state.at.Number, state.at.Epoch, before.at.Number, before.at.Epoch)
		return authz.Revision{}, errors.Join(err, state.close())
	}
	e.current.Store(state)
	if err := before.close(); err != nil {
		return state.at, fmt.Errorf("reopen the engine: the new state is in force; close the one before: %w", err)
	}
	return state.at, nil
}

// Revision returns the revision that questions are answered from; zero: there is none, and
// every question is denied.
func (e *Engine) Revision() authz.Revision {
	s := e.acquire()
	if s == nil {
		return authz.Revision{}
	}
	defer s.release()
	if s.store.Current() == nil { // found damaged
		return authz.Revision{}
	}
	return s.at
}

// Close gives the directory back, after the questions that are being answered. Every later
// question is denied. Closing again does nothing.
func (e *Engine) Close() error {
	e.reopening.Lock()
	defer e.reopening.Unlock()
	e.closed = true
	s := e.current.Swap(nil)
	if s == nil {
		return nil
	}
	if err := s.close(); err != nil {
		return fmt.Errorf("close the engine: %w", err)
	}
	return nil
}

// Check answers one question. It never fails: what keeps it from an answer is a denial too.
func (e *Engine) Check(ctx context.Context, q Question) Decision {
	s := e.acquire()
	if s == nil {
		return closedDecision
	}
	defer s.release()
	var a ask.Answer
	r := e.request(q)
	s.gate.Decide(ctx, &r, &a)
	return decisionOf(&a)
}

// BatchCheck answers each question in turn, all from one revision. No questions have no
// answers, which is not to be read as "all were allowed".
func (e *Engine) BatchCheck(ctx context.Context, questions []Question) []Decision {
	decisions := make([]Decision, len(questions))
	s := e.acquire()
	if s == nil {
		for i := range decisions {
			decisions[i] = closedDecision
		}
		return decisions
	}
	defer s.release()
	requests, answers := make([]ask.Request, len(questions)), make([]ask.Answer, len(questions))
	for i, q := range questions {
		requests[i] = e.request(q)
	}
	if err := s.gate.DecideBatch(ctx, requests, answers); err != nil {
		for i := range decisions {
			decisions[i] = Decision{Reason: authz.Internal, Detail: err.Error()}
		}
		return decisions
	}
	for i := range answers {
		decisions[i] = decisionOf(&answers[i])
	}
	return decisions
}

// Resolve says which permissions at which scopes a request needs, in the tenant, without
// asking who asks and without reading any assignment. The catalogue may be empty, for the
// first one.
func (e *Engine) Resolve(r naming.Request, tenant, catalogue string) Mapping {
	s := e.acquire()
	if s == nil {
		return Mapping{Reason: closedDecision.Reason, Detail: closedDecision.Detail}
	}
	defer s.release()
	in := ask.Request{Adapter: adapter, Catalogue: catalogue}
	setRequest(&in, r)
	var a ask.Answer
	s.gate.Map(&in, authz.CanonicalID(tenant, e.options.Catalogues.FoldCase()), &a)
	return mappingOf(&a)
}
