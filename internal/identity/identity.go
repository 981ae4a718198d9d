package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// The names of the sources, as an [InvalidError] reports them.
const (
	SourceJWT         = "jwt"
	SourceJWTMetadata = "jwt_metadata"
	SourceMTLS        = "mtls"
	SourceHeader      = "header"
)

var (
	// ErrNoIdentity says that the request carries no credentials that a source reads.
	ErrNoIdentity = errors.New("the request carries no credentials")
	// ErrKeysUnavailable says that a token could not be judged because its issuer's keys
	// were never loaded or are too old to be trusted: a fault of this side.
	ErrKeysUnavailable = errors.New("the keys that tokens are verified with are not available: see the state of the issuer's key set")
	// ErrNotRecalled says that it takes more than a look into memory to judge the
	// credentials: ask [Verifier.Identify].
	ErrNotRecalled = errors.New("the token was not verified before")
	// ErrRunning says that the Verifier is refreshing its keys already.
	ErrRunning = errors.New("the key sets are being refreshed already")
)

// An InvalidError says that credentials are present and not valid. It holds no part of
// them.
type InvalidError struct {
	// Source is the source that read them: jwt, jwt_metadata, mtls or header.
	Source string
	// Detail says what is wrong.
	Detail string
}

// Error returns the source and what is wrong.
func (e *InvalidError) Error() string { return e.Source + ": " + e.Detail }

// An Identity is a verified caller. The zero Identity is nobody.
type Identity struct {
	Subject *authz.Subject
	// Scopes are the permissions that a user delegated to the application that presents
	// the token (scp); nil for a caller that is no user's token. It must not be changed.
	Scopes []string
	// EnforceDelegated says that Scopes must name the permission too.
	EnforceDelegated bool
	// UserToken says that a token of a user was presented: one whose kind claim does not
	// say that it is an application's.
	UserToken bool

	recalled *atomic.Uint64 // counts the uses of a token that is remembered; nil otherwise
}

// Count counts the use of a token that [Verifier.Recall] found, in [State]. It does
// nothing for any other identity.
func (id *Identity) Count() {
	if id.recalled != nil {
		id.recalled.Add(1)
	}
}

// Deps are what a [Verifier] uses of the world. The zero Deps are the real one, without
// a log.
type Deps struct {
	// Log gets a record when a key set can no longer be refreshed, and when it can again.
	Log *slog.Logger
	// Now is the clock; nil: [time.Now].
	Now func() time.Time
	// Transport fetches key sets; nil: one with connection limits and the proxy of the
	// environment.
	Transport http.RoundTripper
}

// A Verifier finds out who is asking. It is safe for concurrent use.
type Verifier struct {
	sources []source
	keys    []*keySource
	caches  []*tokenCache
	now     func() time.Time

	mu      sync.Mutex
	running bool
}

// A source reads one kind of credentials. present is false where there are none; then
// the other results count for nothing.
type source interface {
	identify(ctx context.Context, c *ask.Credentials, now time.Time) (id Identity, present bool, err error)
	// recall is identify without cryptography and without waiting; where that is not
	// enough, the error is [ErrNotRecalled].
	recall(c *ask.Credentials, now time.Time) (id Identity, present bool, err error)
}

// New returns a Verifier, after it checked the configuration and loaded the key sets
// that are inline or in files; one that can't be loaded is an error. Key sets that are
// fetched are loaded by [Verifier.Run]; until then their tokens meet
// [ErrKeysUnavailable]. It starts nothing.
func New(cfg Config, deps Deps) (*Verifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Transport == nil {
		deps.Transport = newTransport()
	}
	v := &Verifier{now: deps.Now}
	enforce := cfg.DelegatedScopes == DelegatedScopesEnforce
	var errs []error
	for i, source := range cfg.Sources {
		switch {
		case source.JWT != nil:
			j := newJWTSource(&cfg, source.JWT, deps, enforce)
			for n, issuer := range j.rules.issuers {
				if err := issuer.keys.loadLocal(deps.Now()); err != nil {
					errs = append(errs, fmt.Errorf("identity.sources[%d].jwt.issuers[%d]: %w", i, n, err))
				}
				v.keys = append(v.keys, issuer.keys)
			}
			v.caches = append(v.caches, j.cache)
			v.sources = append(v.sources, j)
		case source.JWTMetadata != nil:
			v.sources = append(v.sources, newMetadataSource(&cfg, source.JWTMetadata, enforce))
		case source.MTLS != nil:
			m, err := newMTLSSource(source.MTLS, cfg.FoldCase)
			if err != nil {
				errs = append(errs, fmt.Errorf("identity.sources[%d].mtls: %w", i, err))
				continue
			}
			v.sources = append(v.sources, m)
		case source.Header != nil:
			v.sources = append(v.sources, newHeaderSource(source.Header, cfg.FoldCase))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return v, nil
}

// Identify finds out who is asking. The error is [ErrNoIdentity] where no source finds
// credentials, an [*InvalidError] where the first that does refuses them, and
// [ErrKeysUnavailable] where they can't be judged.
//
// A token that was verified before costs a look into a table and no allocation. One
// with a key that is not known may wait for its issuer's keys to be fetched again, but
// never longer than half the time that ctx has left.
func (v *Verifier) Identify(ctx context.Context, c *ask.Credentials) (Identity, error) {
	now := v.now()
	for _, source := range v.sources {
		id, present, err := source.identify(ctx, c, now)
		switch {
		case !present:
			continue
		case err != nil:
			return Identity{}, err
		default:
			return id, nil
		}
	}
	return Identity{}, ErrNoIdentity
}

// Recall is [Verifier.Identify] without cryptography, without waiting and without
// counting: whoever uses the identity calls [Identity.Count]. The error is
// [ErrNotRecalled] where Identify is to be asked; any other answer is Identify's. now is
// the time, for those who read the clock already.
func (v *Verifier) Recall(c *ask.Credentials, now time.Time) (Identity, error) {
	for _, source := range v.sources {
		id, present, err := source.recall(c, now)
		switch {
		case !present:
			continue
		case err != nil:
			return Identity{}, err
		default:
			return id, nil
		}
	}
	return Identity{}, ErrNoIdentity
}

// Run loads the key sets that are fetched and keeps all of them fresh until ctx ends;
// then it returns nil. A second Run beside the first is [ErrRunning].
func (v *Verifier) Run(ctx context.Context) error {
	v.mu.Lock()
	if v.running {
		v.mu.Unlock()
		return ErrRunning
	}
	v.running = true
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		v.running = false
		v.mu.Unlock()
	}()
	var all sync.WaitGroup
	for _, keys := range v.keys {
		if keys.load != nil {
			all.Go(func() { keys.run(ctx) })
		}
	}
	<-ctx.Done()
	all.Wait()
	return nil
}

// State is how the verification of tokens fares.
type State struct {
	// Issuers has an entry for every issuer of every jwt source, in their order.
	Issuers []IssuerState
	// CacheHits and CacheMisses count tokens that had been verified before and that had not.
	CacheHits, CacheMisses uint64
	// CacheEntries is the number of verified tokens that are remembered, those included
	// that are no longer valid; CacheSlots is how many can be.
	CacheEntries, CacheSlots int
}

// IssuerState is how the key set of one issuer fares.
type IssuerState struct {
	// Issuer is the issuer as configured.
	Issuer string
	// Healthy says that a key set with keys is in force and that the last attempt to
	// refresh it succeeded.
	Healthy bool
	// Trusted says that a key set is in force. An issuer without one has its tokens
	// answered with [ErrKeysUnavailable].
	Trusted bool
	// Err is what was wrong with the last attempt; empty where nothing was.
	Err string
	// Keys is the number of keys in force, Ignored of those in the set that can't be used.
	Keys, Ignored int
	// LastProof is the start of the last read that showed that the set in force is the
	// current one.
	LastProof time.Time
	// Since is when Healthy last changed.
	Since time.Time
}

// State returns how the key sets and the table of verified tokens fare now.
func (v *Verifier) State() State {
	var s State
	now := v.now()
	for _, keys := range v.keys {
		s.Issuers = append(s.Issuers, keys.state(now))
	}
	for _, cache := range v.caches {
		s.CacheHits += cache.hits.Load()
		s.CacheMisses += cache.misses.Load()
		s.CacheEntries += cache.len()
		s.CacheSlots += len(cache.slots)
	}
	return s
}
