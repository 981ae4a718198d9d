package identity_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/identity"
)

func TestATokenSeenBeforeCostsNoAllocation(t *testing.T) {
	v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), identity.Deps{})
	c := bearer(rs256("k1").sign(claims(time.Now(), map[string]any{"groups": []string{"g1", "g2"}, "scp": "a b"})))
	ctx := context.Background()
	first, err := v.Identify(ctx, c)
	wantSubject(t, first, err, tenantID, "User "+userID)
	if n := testing.AllocsPerRun(1000, func() {
		id, err := v.Identify(ctx, c)
		if err != nil || id.Subject != first.Subject {
			t.Fatalf("%+v, %v: not the subject remembered", id, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestARememberedTokenExpiresInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), identity.Deps{})
		token := rs256("k1").sign(claims(time.Now(), map[string]any{"exp": time.Now().Add(10 * time.Minute).Unix()}))
		for range 2 {
			id, err := v.Identify(context.Background(), bearer(token))
			wantSubject(t, id, err, tenantID, "User "+userID)
		}
		time.Sleep(11*time.Minute - time.Millisecond) // the skew is a minute
		id, err := v.Identify(context.Background(), bearer(token))
		wantSubject(t, id, err, tenantID, "User "+userID)
		if hits := v.State().CacheHits; hits != 2 {
			t.Errorf("%d hits, want 2", hits)
		}
		time.Sleep(time.Millisecond)
		id, err = v.Identify(context.Background(), bearer(token))
		wantInvalid(t, id, err, "jwt", "the token has expired")
	})
}

func TestARememberedTokenIsNotValidBeforeItsTime(t *testing.T) {
	now := noon
	v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), identity.Deps{Now: func() time.Time { return now }})
	token := rs256("k1").sign(claims(noon, map[string]any{"nbf": noon.Unix()}))
	id, err := v.Identify(context.Background(), bearer(token))
	wantSubject(t, id, err, tenantID, "User "+userID)
	now = noon.Add(-61 * time.Second) // the clock was set back
	id, err = v.Identify(context.Background(), bearer(token))
	wantInvalid(t, id, err, "jwt", "the token is not valid yet")
}

func TestRefusedTokensAreNotRemembered(t *testing.T) {
	v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), atNoon())
	for range 3 {
		_, _ = v.Identify(context.Background(), bearer(rs256("k1").sign(claims(noon, map[string]any{"aud": "other"}))))
	}
	if state := v.State(); state.CacheEntries != 0 || state.CacheHits != 0 || state.CacheMisses != 3 {
		t.Errorf("state %+v", state)
	}
}

func TestTheTableOfTokensKeepsItsSize(t *testing.T) {
	ed := signer{"EdDSA", "d1", edOne()}
	cfg := jwtConfig(issuer(ed))
	cfg.TokenCacheEntries = 10 // rounded up to 16
	cfg.Sources[0].JWT.Algorithms = []string{"EdDSA"}
	v := newVerifier(t, cfg, atNoon())
	tokens := make([]string, 200)
	for i := range tokens {
		tokens[i] = ed.sign(claims(noon, map[string]any{"oid": fmt.Sprintf("user-%d", i)}))
	}
	for range 2 {
		for i, token := range tokens {
			id, err := v.Identify(context.Background(), bearer(token))
			wantSubject(t, id, err, tenantID, fmt.Sprintf("User user-%d", i))
		}
	}
	if state := v.State(); state.CacheSlots != 16 || state.CacheEntries > 16 {
		t.Errorf("%d of %d slots, want at most 16 of 16", state.CacheEntries, state.CacheSlots)
	}
}

func TestDefaultNumberOfTokensRemembered(t *testing.T) {
	if n := newVerifier(t, jwtConfig(issuer(rs256("k1"))), atNoon()).State().CacheSlots; n != 16384 {
		t.Errorf("%d slots, want 16384", n)
	}
}

// Whoever asks at whatever moment, with key sets coming and going, gets the identity of
// the very token, and none once its key is gone for good.
func TestManyAtOnceWhileKeysChange(t *testing.T) {
	ed, ec := signer{"EdDSA", "d1", edOne()}, signer{"ES256", "e1", ecOne()}
	synctest.Test(t, func(t *testing.T) {
		s := newSite(map[string]string{keysURL: keySet(ed, ec)})
		cfg := jwtConfig(fetched())
		cfg.TokenCacheEntries = 8
		cfg.Sources[0].JWT.Algorithms = []string{"EdDSA", "ES256"}
		v := newVerifier(t, cfg, identity.Deps{Transport: s})
		stop := running(t, v)
		defer stop()
		synctest.Wait()
		var tokens []*ask.Credentials
		var who []string
		for i := range 32 {
			by := ed
			if i%2 == 1 {
				by = ec
			}
			who = append(who, fmt.Sprintf("User user-%d", i))
			tokens = append(tokens, bearer(by.sign(claims(time.Now().Add(24*time.Hour), map[string]any{"nbf": nil, "oid": fmt.Sprintf("user-%d", i)}))))
		}
		for round := range 6 {
			if round%2 == 1 {
				s.set(keysURL, keySet(ed))
			} else {
				s.set(keysURL, keySet(ed, ec))
			}
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			var all sync.WaitGroup
			for g := range 4 {
				all.Go(func() {
					for i := range tokens {
						i = (i*7 + g) % len(tokens)
						id, err := v.Identify(context.Background(), tokens[i])
						if withdrawn := i%2 == 1 && round%2 == 1; withdrawn != (err != nil) {
							t.Errorf("round %d, token %d: %v", round, i, err)
						} else if err == nil && id.Subject.Principal().String() != who[i] {
							t.Errorf("token %d: got %v", i, id.Subject.Principal())
						}
					}
				})
			}
			all.Wait()
		}
	})
}

func BenchmarkIdentifyHit(b *testing.B) {
	v := newVerifier(b, jwtConfig(issuer(rs256("k1"))), identity.Deps{})
	c := bearer(rs256("k1").sign(claims(time.Now(), map[string]any{"groups": make100()})))
	ctx := context.Background()
	if _, err := v.Identify(ctx, c); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Identify(ctx, c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIdentifyMiss(b *testing.B) {
	cfg := jwtConfig(issuer(rs256("k1")))
	cfg.TokenCacheEntries = 1
	v := newVerifier(b, cfg, identity.Deps{})
	var all []*ask.Credentials
	for i := range 64 {
		all = append(all, bearer(rs256("k1").sign(claims(time.Now(), map[string]any{"n": i}))))
	}
	ctx := context.Background()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := v.Identify(ctx, all[i%len(all)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func make100() []string {
	groups := make([]string, 100)
	for i := range groups {
		groups[i] = fmt.Sprintf("aaaaaaaa-bbbb-cccc-dddd-%012d", i)
	}
	return groups
}
