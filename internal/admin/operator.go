package admin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// SecretFile is the name of the file in the data directory that holds the operator's secret.
const SecretFile = "operator-secret"

// A Secret is a one-time secret in a file that only who owns the data directory can read.
// Who sends it has proved access to that directory. It is replaced when it was used, and
// whenever a process opens it. It is safe for concurrent use.
type Secret struct {
	path string
	wait func(ctx context.Context, d time.Duration) error

	// turn holds one token, for whoever has a secret compared, and guards owed: how long the
	// next one waits, because the one before did not stay until its answer.
	turn chan struct{}
	owed time.Duration

	// mu guards what follows.
	mu      sync.Mutex
	current string
	wrong   uint64 // tries in all
	row     uint   // wrong tries since the last right one
	waiting int
}

// The slowing of wrong tries: each waits twice as long as the one before, up to a bound,
// and so many may wait at a time.
const (
	firstDelay = 100 * time.Millisecond
	mostDelay  = 5 * time.Second
	mostWait   = 16
)

// OpenSecret puts a new secret into the directory's file.
func OpenSecret(dir string) (*Secret, error) {
	s := &Secret{path: filepath.Join(dir, SecretFile), turn: make(chan struct{}, 1), wait: pause}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, s.replace()
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Path is where the file is.
func (s *Secret) Path() string { return s.path }

// Wrong is how many wrong secrets were tried since the secret was opened.
func (s *Secret) Wrong() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong
}

// replace makes a new secret and writes it to a new file in the place of the old. mu is held.
func (s *Secret) replace() error {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // it never fails
	next := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw[:]))
	if err := writeSecret(s.path, next+"\n"); err != nil {
		s.current = "" // whatever the file holds now, nobody can use
		return fmt.Errorf("replace the operator's secret: %w", err)
	}
	s.current = next
	return nil
}

func writeSecret(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), SecretFile+".*.tmp") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// use compares a secret in constant time. The right one is used up by it, and replaced
// before use returns; where it cannot be replaced, it does not count. A wrong one is
// answered later the more there were.
func (s *Secret) use(ctx context.Context, given string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.waiting >= mostWait {
		s.mu.Unlock()
		return fail(Throttled, "", "too many secrets are being tried", "wait a while")
	}
	s.waiting++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
	}()
	select { // one at a time, so that trying many at once is no quicker
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	// Who breaks off has not waited. The next one does so instead, before its secret is looked
	// at: otherwise nobody who breaks off at once would be slowed.
	if err := s.pay(ctx, s.owed); err != nil {
		return err
	}
	delay, err := s.compare(given)
	if waitErr := s.pay(ctx, delay); waitErr != nil {
		return waitErr
	}
	return err
}

// pay waits, and remembers where it did not. The turn is held.
func (s *Secret) pay(ctx context.Context, delay time.Duration) error {
	s.owed = delay
	if delay > 0 {
		if err := s.wait(ctx, delay); err != nil {
			return err
		}
	}
	s.owed = 0
	return nil
}

func (s *Secret) compare(given string) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	right := subtle.ConstantTimeCompare([]byte(strings.TrimSpace(given)), []byte(s.current)) == 1
	if right && s.current != "" {
		s.row = 0
		return 0, s.replace()
	}
	s.wrong++
	s.row = min(s.row+1, 32)
	delay := mostDelay
	if shifted := firstDelay << (s.row - 1); s.row < 10 && shifted < mostDelay {
		delay = shifted
	}
	return delay, fail(Unauthenticated, "", "the operator's secret is wrong", "read it anew from the data directory: it is replaced each time that it is used and at each start")
}

// Prove makes an operator of whoever knows the secret, which is used up by it.
func (a *Admin) Prove(ctx context.Context, secret, from, agent string) (Caller, error) {
	if a.secret == nil {
		return Caller{}, a.failed(ctx, Caller{From: from}, "Prove", fail(Unauthenticated, "", "this server has no operator's secret", ""))
	}
	if err := a.secret.use(ctx, secret); err != nil {
		return Caller{}, a.failed(ctx, Caller{From: from}, "Prove", err)
	}
	return Caller{Kind: Operator, From: from, Agent: agent}, nil
}
