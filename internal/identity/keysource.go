package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// filePoll is how often a file is looked at.
	filePoll = time.Second
	// askInterval is the least time between two fetches that tokens with unknown keys
	// ask for: anybody can send such tokens.
	askInterval = 10 * time.Second
	// patience is how long a request waits for such a fetch if it has no deadline. It
	// is less than the 200 ms that Envoy waits for an answer by default: an answer that
	// comes too late is an error there, which may be configured to let requests pass.
	patience = 100 * time.Millisecond
	// maxPatience is how long it waits at most.
	maxPatience = 5 * time.Second
	// firstRetry and lastRetry bound the time after which a failed fetch is tried again.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// errNoKeys says that a set is empty, or might as well be.
var errNoKeys = errors.New("the key set holds no key that can verify a token")

// keySource keeps the key set of one issuer. It is safe for concurrent use.
type keySource struct {
	issuer  string
	load    func(context.Context) ([]byte, error) // nil: the set is inline and never grows old
	local   bool                                  // load reads a file
	inline  string
	refresh time.Duration
	maxAge  time.Duration
	now     func() time.Time
	log     *slog.Logger

	current atomic.Pointer[proven] // nil until a set was loaded
	wake    chan struct{}          // has a value when a fetch is asked for

	mu      sync.Mutex
	running bool
	flight  chan struct{} // closed when the fetch that is asked for or under way ends; nil: none
	asked   time.Time     // when the last one was asked for
	body    []byte        // what the last good set was read from
	healthy bool
	err     string
	since   time.Time
}

// proven is a key set and the start of the last read that showed it to be the current one.
type proven struct {
	set *keySet
	at  time.Time
}

func newKeySource(c IssuerConfig, deps Deps) *keySource {
	k := &keySource{
		issuer:  c.Issuer,
		inline:  c.JWKSInline,
		refresh: orDefault(c.JWKSRefresh, MaxJWKSRefresh),
		maxAge:  orDefault(c.JWKSMaxAge, DefaultJWKSMaxAge),
		now:     deps.Now,
		log:     deps.Log,
		wake:    make(chan struct{}, 1),
		since:   deps.Now(),
		err:     "the key set has not been fetched yet",
	}
	switch {
	case c.Discovery:
		k.load = newFetcher(deps.Transport, c.InsecureHTTP).discover(c)
	case isURL(c.JWKS):
		k.load = newFetcher(deps.Transport, c.InsecureHTTP).keys(c.JWKS)
	case c.JWKS != "":
		k.local, k.refresh = true, filePoll
		k.load = func(context.Context) ([]byte, error) { return readFile(c.JWKS) }
	}
	return k
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	return readLimited(file)
}

// loadLocal loads a set that needs no network. That it can't be used is an error here:
// at a start somebody is there to mend it.
func (k *keySource) loadLocal(now time.Time) error {
	var body []byte
	var err error
	switch {
	case k.load == nil:
		body = []byte(k.inline)
	case k.local:
		body, err = k.load(context.Background())
	default:
		return nil
	}
	if err == nil {
		err = k.apply(body, now)
	}
	if err == nil && len(k.current.Load().set.keys) == 0 {
		err = errNoKeys
	}
	switch {
	case err == nil:
		return nil
	case k.load == nil:
		return fmt.Errorf("jwks_inline: %w", err)
	default:
		return fmt.Errorf("jwks: %w", err)
	}
}

// trusted returns the key set in force, nil if there is none or if it is too old.
func (k *keySource) trusted(now time.Time) *keySet {
	p := k.current.Load()
	if p == nil || k.load != nil && age(now, p.at) >= k.maxAge {
		return nil
	}
	return p.set
}

// age is the greater of what the steady clock and what the wall clock says: the one
// stands still while the machine sleeps, the other may be set back.
func age(now, then time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

// apply puts a set in force. One with the same keys as before stays the same
// generation, so that the tokens verified with it stay remembered.
func (k *keySource) apply(body []byte, start time.Time) error {
	before := k.current.Load()
	k.mu.Lock()
	same := before != nil && bytes.Equal(body, k.body)
	k.mu.Unlock()
	set := (*keySet)(nil)
	if same {
		set = before.set
	} else {
		var err error
		if set, err = parseKeySet(body); err != nil {
			return err
		}
		if before != nil && set.same(before.set) {
			set = before.set
		}
	}
	k.current.Store(&proven{set: set, at: start})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.body = body
	if !k.healthy {
		k.healthy, k.since = true, start
	}
	k.err = ""
	if len(set.keys) == 0 {
		k.err = errNoKeys.Error()
	}
	return nil
}

// fetch refreshes the set once. A failure leaves the one in force as it is.
func (k *keySource) fetch(ctx context.Context) error {
	k.mu.Lock()
	wasHealthy, last := k.healthy, k.err
	k.mu.Unlock()
	start := k.now() // the set may change while it is read
	body, err := k.load(ctx)
	if err == nil {
		err = k.apply(body, start)
	}
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		k.mu.Lock()
		k.err = err.Error()
		if k.healthy {
			k.healthy, k.since = false, start
		}
		k.mu.Unlock()
	}
	switch {
	case err != nil && (wasHealthy || last != err.Error()):
		k.log.WarnContext(ctx, "key set not refreshed", "issuer", k.issuer, "err", err)
	case err == nil && !wasHealthy:
		k.log.InfoContext(ctx, "key set loaded", "issuer", k.issuer)
	}
	return err
}

// run keeps the set fresh until ctx ends.
func (k *keySource) run(ctx context.Context) {
	k.mu.Lock()
	k.running = true
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.running = false
		k.mu.Unlock()
		k.land()
	}()
	failures := 0
	for ctx.Err() == nil {
		k.takeOff()
		err := k.fetch(ctx)
		k.land()
		pause := k.refresh
		if err == nil {
			failures = 0
		} else {
			pause = min(pause, lastRetry, firstRetry<<min(failures, 10))
			failures++
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.wake:
		}
		timer.Stop()
	}
}

// takeOff opens the flight of the fetch that begins, if no request opened it already.
func (k *keySource) takeOff() {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.wake:
	default:
	}
	if k.flight == nil {
		k.flight = make(chan struct{})
	}
}

// land lets those go on who wait for the fetch.
func (k *keySource) land() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight != nil {
		close(k.flight)
		k.flight = nil
	}
}

// fetchAgain asks for the set to be fetched again, unless that was asked for a moment
// ago, and waits for it, or for a fetch that is under way. It tells whether one ended;
// the wait ends early enough for the request to be answered in time.
func (k *keySource) fetchAgain(ctx context.Context) bool {
	flight := k.flightFor()
	if flight == nil {
		return false
	}
	wait := patience
	if deadline, ok := ctx.Deadline(); ok {
		// The deadline is of the real clock, whatever clock the tokens are judged by.
		wait = min(time.Until(deadline)/2, maxPatience)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-flight:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// flightFor returns the flight to wait for, nil if there is none and none may be asked for.
func (k *keySource) flightFor() chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.running {
		return nil
	}
	if k.flight != nil {
		return k.flight
	}
	now := k.now()
	if !k.asked.IsZero() && now.Sub(k.asked) < askInterval {
		return nil
	}
	k.asked = now
	k.flight = make(chan struct{})
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return k.flight
}

func (k *keySource) state(now time.Time) IssuerState {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := IssuerState{Issuer: k.issuer, Err: k.err, Since: k.since}
	if p := k.current.Load(); p != nil {
		s.Keys, s.Ignored, s.LastProof = len(p.set.keys), p.set.ignored, p.at
	}
	s.Trusted = k.trusted(now) != nil
	s.Healthy = k.healthy && s.Trusted && s.Keys > 0
	if k.healthy && !s.Trusted && s.Err == "" {
		s.Err = "the key set is too old to be trusted"
	}
	return s
}
