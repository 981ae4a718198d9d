package identity_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pathgrant/pathgrant/internal/identity"
)

const keysURL = "https://login.example/keys"

const unknownKey = "the token is signed with a key that its issuer's key set does not hold"

// fetched is an issuer whose keys are at keysURL.
func fetched() identity.IssuerConfig {
	c := issuer()
	c.JWKSInline, c.JWKS = "", keysURL
	return c
}

func TestFetchedKeysAreNotAvailableBeforeRun(t *testing.T) {
	s := newSite(map[string]string{keysURL: keySet(rs256("k1"))})
	v := newVerifier(t, jwtConfig(fetched()), identity.Deps{Transport: s})
	_, err := v.Identify(context.Background(), bearer(rs256("k1").sign(claims(time.Now(), nil))))
	if !errors.Is(err, identity.ErrKeysUnavailable) {
		t.Errorf("got %v, want ErrKeysUnavailable", err)
	}
	if n := s.count(keysURL); n != 0 {
		t.Errorf("%d fetches without Run", n)
	}
	if state := v.State().Issuers[0]; state.Trusted || state.Healthy || state.Err != "the key set has not been fetched yet" {
		t.Errorf("state %+v", state)
	}
}

func TestAnIssuerThatCannotBeReachedAtStartIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(map[string]string{keysURL: keySet(rs256("k1"))})
		s.fail(http.StatusBadGateway)
		var log bytes.Buffer
		v := newVerifier(t, jwtConfig(fetched()), identity.Deps{Transport: s, Log: slog.New(slog.NewTextHandler(&log, nil))})
		stop := running(t, v)
		synctest.Wait()
		token := rs256("k1").sign(claims(time.Now(), nil))
		_, err := v.Identify(context.Background(), bearer(token))
		if !errors.Is(err, identity.ErrKeysUnavailable) {
			t.Fatalf("got %v, want ErrKeysUnavailable", err)
		}
		if state := v.State().Issuers[0]; state.Healthy || state.Trusted || state.Err != "fetching from login.example: the answer is 502, want 200" {
			t.Errorf("state %+v", state)
		}
		s.fail(0)
		time.Sleep(31 * time.Second)
		id, err := v.Identify(context.Background(), bearer(token))
		wantSubject(t, id, err, tenantID, "User "+userID)
		if state := v.State().Issuers[0]; !state.Healthy || !state.Trusted || state.Err != "" || state.Keys != 1 {
			t.Errorf("state %+v", state)
		}
		stop()
		if got := log.String(); strings.Count(got, "key set not refreshed") != 1 || strings.Count(got, "key set loaded") != 1 {
			t.Errorf("the log is\n%s", got)
		}
	})
}

func TestAnUnknownKeyIsFetchedAtOnceButNotOftenerThanEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(map[string]string{keysURL: keySet(rs256("k1"))})
		v := newVerifier(t, jwtConfig(fetched()), identity.Deps{Transport: s})
		stop := running(t, v)
		defer stop()
		synctest.Wait()
		time.Sleep(time.Second)

		k2 := signer{jose.ES256, "k2", ecOne()}
		s.set(keysURL, keySet(rs256("k1"), k2))
		id, err := v.Identify(context.Background(), bearer(k2.sign(claims(time.Now(), nil))))
		wantSubject(t, id, err, tenantID, "User "+userID)
		if n := s.count(keysURL); n != 2 {
			t.Fatalf("%d fetches, want 2", n)
		}

		// Whoever makes up keys gets no more fetches for it.
		for range 50 {
			id, err := v.Identify(context.Background(), bearer(rs256("made-up").sign(claims(time.Now(), nil))))
			wantInvalid(t, id, err, "jwt", unknownKey)
		}
		if n := s.count(keysURL); n != 2 {
			t.Errorf("%d fetches within ten seconds, want 2", n)
		}
		time.Sleep(10 * time.Second)
		for range 50 {
			id, err := v.Identify(context.Background(), bearer(rs256("made-up").sign(claims(time.Now(), nil))))
			wantInvalid(t, id, err, "jwt", unknownKey)
		}
		if n := s.count(keysURL); n != 3 {
			t.Errorf("%d fetches after ten seconds more, want 3", n)
		}
	})
}

func TestManyRequestsShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(map[string]string{keysURL: keySet(rs256("k1"))})
		v := newVerifier(t, jwtConfig(fetched()), identity.Deps{Transport: s})
		stop := running(t, v)
		defer stop()
		synctest.Wait()

		k2 := signer{jose.ES256, "k2", ecOne()}
		s.set(keysURL, keySet(k2))
		release := make(chan struct{})
		s.mu.Lock()
		s.wait = release
		s.mu.Unlock()
		token := k2.sign(claims(time.Now(), nil))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				id, err := v.Identify(ctx, bearer(token))
				wantSubject(t, id, err, tenantID, "User "+userID)
			})
		}
		synctest.Wait()
		close(release)
		all.Wait()
		if n := s.count(keysURL); n != 2 {
			t.Errorf("%d fetches, want 2: one at the start, one for all", n)
		}
	})
}

func TestAWaitForKeysLeavesTimeForTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(map[string]string{keysURL: keySet(rs256("k1"))})
		v := newVerifier(t, jwtConfig(fetched()), identity.Deps{Transport: s})
		stop := running(t, v)
		defer stop()
		synctest.Wait()
		s.mu.Lock()
		s.wait = make(chan struct{}) // never answers
		s.mu.Unlock()
		token := rs256("k2").sign(claims(time.Now(), nil))

		start := time.Now()
		id, err := v.Identify(context.Background(), bearer(token))
		wantInvalid(t, id, err, "jwt", unknownKey)
		if waited := time.Since(start); waited != 100*time.Millisecond {
			t.Errorf("without a deadline it waited %v, want 100ms", waited)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start = time.Now()
		id, err = v.Identify(ctx, bearer(token))
		wantInvalid(t, id, err, "jwt", unknownKey)
		if waited := time.Since(start); waited != 1500*time.Millisecond {
			t.Errorf("with 3s left it waited %v, want 1.5s", waited)
		}
		cancel()
		start = time.Now()
		id, err = v.Identify(ctx, bearer(token))
		wantInvalid(t, id, err, "jwt", unknownKey)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("after the end of its request it waited %v", waited)
		}
	})
}

func TestAWithdrawnKeyPutsRememberedTokensOutOfForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1, k2 := rs256("k1"), signer{jose.ES256, "k2", ecOne()}
		s := newSite(map[string]string{keysURL: keySet(k1, k2)})
		v := newVerifier(t, jwtConfig(fetched()), identity.Deps{Transport: s})
		stop := running(t, v)
		defer stop()
		synctest.Wait()
		one, two := k1.sign(claims(time.Now(), nil)), k2.sign(claims(time.Now(), nil))
		for _, token := range []string{one, two, one, two} {
			id, err := v.Identify(context.Background(), bearer(token))
			wantSubject(t, id, err, tenantID, "User "+userID)
		}
		if state := v.State(); state.CacheHits != 2 {
			t.Fatalf("%d hits, want 2", state.CacheHits)
		}

		s.set(keysURL, keySet(k2)) // k1 is stolen
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		id, err := v.Identify(context.Background(), bearer(one))
		wantInvalid(t, id, err, "jwt", unknownKey)
		id, err = v.Identify(context.Background(), bearer(two))
		wantSubject(t, id, err, tenantID, "User "+userID)

		s.set(keysURL, `{"keys":[]}`) // everything is stolen
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		id, err = v.Identify(context.Background(), bearer(two))
		wantInvalid(t, id, err, "jwt", unknownKey)
		if state := v.State().Issuers[0]; state.Healthy || state.Keys != 0 || state.Err != "the key set holds no key that can verify a token" {
			t.Errorf("state %+v", state)
		}

		s.set(keysURL, keySet(k1, k2))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		id, err = v.Identify(context.Background(), bearer(two))
		wantSubject(t, id, err, tenantID, "User "+userID)
	})
}

func TestAKeyExchangedUnderTheSameKidPutsRememberedTokensOutOfForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(map[string]string{keysURL: keySet(rs256("k1"))})
		v := newVerifier(t, jwtConfig(fetched()), identity.Deps{Transport: s})
		stop := running(t, v)
		defer stop()
		synctest.Wait()
		token := rs256("k1").sign(claims(time.Now(), nil))
		id, err := v.Identify(context.Background(), bearer(token))
		wantSubject(t, id, err, tenantID, "User "+userID)
		s.set(keysURL, keySet(signer{jose.RS256, "k1", rsaTwo()}))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		id, err = v.Identify(context.Background(), bearer(token))
		wantInvalid(t, id, err, "jwt", "the token's signature is not valid")
	})
}

func TestTheSameKeysInAnotherOrderKeepTokensRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1, k2 := rs256("k1"), signer{jose.ES256, "k2", ecOne()}
		s := newSite(map[string]string{keysURL: keySet(k1, k2)})
		v := newVerifier(t, jwtConfig(fetched()), identity.Deps{Transport: s})
		stop := running(t, v)
		defer stop()
		synctest.Wait()
		token := k1.sign(claims(time.Now(), nil))
		for i, text := range []string{keySet(k1, k2), keySet(k2, k1), strings.Replace(keySet(k1, k2), "{", "{ ", 1)} {
			s.set(keysURL, text)
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			id, err := v.Identify(context.Background(), bearer(token))
			wantSubject(t, id, err, tenantID, "User "+userID)
			if hits := v.State().CacheHits; hits != uint64(i) {
				t.Errorf("set %d: %d hits, want %d", i, hits, i)
			}
		}
	})
}

func TestTheLastGoodKeySetIsKeptAndDistrustedWhenTooOld(t *testing.T) {
	for name, breakIt := range map[string]func(*site){
		"no answer":      func(s *site) { s.fail(http.StatusServiceUnavailable) },
		"not JSON":       func(s *site) { s.set(keysURL, "<html>") },
		"no key set":     func(s *site) { s.set(keysURL, `{"error":"x"}`) },
		"a private key":  func(s *site) { s.set(keysURL, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"}]}`) },
		"far too long":   func(s *site) { s.set(keysURL, keySet(rs256("k1"))+strings.Repeat(" ", 1<<20)) },
		"plain redirect": func(s *site) { s.set(keysURL, "-> http://login.example/keys") },
		"endless redirects": func(s *site) {
			s.set(keysURL, "-> "+keysURL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(map[string]string{keysURL: keySet(rs256("k1")), "http://login.example/keys": keySet(rs256("k1"))})
				c := fetched()
				c.JWKSMaxAge = time.Hour
				v := newVerifier(t, jwtConfig(c), identity.Deps{Transport: s})
				stop := running(t, v)
				defer stop()
				synctest.Wait()
				token := rs256("k1").sign(claims(time.Now().Add(24*time.Hour), map[string]any{"nbf": nil}))
				id, err := v.Identify(context.Background(), bearer(token))
				wantSubject(t, id, err, tenantID, "User "+userID)

				breakIt(s)
				time.Sleep(time.Hour - time.Second)
				synctest.Wait()
				id, err = v.Identify(context.Background(), bearer(token))
				wantSubject(t, id, err, tenantID, "User "+userID)
				if state := v.State().Issuers[0]; state.Healthy || !state.Trusted || state.Err == "" || state.Keys != 1 {
					t.Errorf("before its time: state %+v", state)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				_, err = v.Identify(context.Background(), bearer(token)) // remembered, and yet
				if !errors.Is(err, identity.ErrKeysUnavailable) {
					t.Errorf("after jwks_max_age: got %v, want ErrKeysUnavailable", err)
				}
				if state := v.State().Issuers[0]; state.Healthy || state.Trusted {
					t.Errorf("after its time: state %+v", state)
				}
			})
		})
	}
}

func TestDiscovery(t *testing.T) {
	const document = issuerURL + "/.well-known/openid-configuration"
	keys := keySet(rs256("k1"))
	for _, c := range []struct {
		name  string
		pages map[string]string
		want  string // what is wrong
	}{
		{"found", map[string]string{document: `{"issuer":"` + issuerURL + `","jwks_uri":"` + keysURL + `"}`, keysURL: keys}, ""},
		{"redirected", map[string]string{document: `{"issuer":"` + issuerURL + `","jwks_uri":"` + keysURL + `"}`, keysURL: "-> https://keys.example/", "https://keys.example/": keys}, ""},
		{"another issuer's", map[string]string{document: `{"issuer":"` + issuerURL + `/","jwks_uri":"` + keysURL + `"}`, keysURL: keys}, "discovery: the document is of another issuer"},
		{"no issuer", map[string]string{document: `{"jwks_uri":"` + keysURL + `"}`, keysURL: keys}, "discovery: the document is of another issuer"},
		{"keys without TLS", map[string]string{document: `{"issuer":"` + issuerURL + `","jwks_uri":"http://login.example/keys"}`, "http://login.example/keys": keys},
			"discovery: jwks_uri: keys are fetched by https only: whoever can change them on the way is everybody; set insecure_http: true to fetch them without TLS all the same"},
		{"keys on this host without TLS", map[string]string{document: `{"issuer":"` + issuerURL + `","jwks_uri":"http://127.0.0.1/keys"}`, "http://127.0.0.1/keys": keys},
			"discovery: jwks_uri: an https address points to one without TLS"},
		{"keys in a file", map[string]string{document: `{"issuer":"` + issuerURL + `","jwks_uri":"file:///etc/passwd"}`}, "discovery: jwks_uri: not a URL"},
		{"no keys", map[string]string{document: `{"issuer":"` + issuerURL + `"}`}, "discovery: jwks_uri: not a URL"},
		{"not JSON", map[string]string{document: `<html>`}, "discovery: the document is not valid JSON"},
		{"not there", map[string]string{}, "discovery: fetching from login.example: the answer is 404, want 200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := issuer()
				cfg.JWKSInline, cfg.Discovery = "", true
				v := newVerifier(t, jwtConfig(cfg), identity.Deps{Transport: newSite(c.pages)})
				stop := running(t, v)
				defer stop()
				synctest.Wait()
				id, err := v.Identify(context.Background(), bearer(rs256("k1").sign(claims(time.Now(), nil))))
				if c.want == "" {
					wantSubject(t, id, err, tenantID, "User "+userID)
				} else if !errors.Is(err, identity.ErrKeysUnavailable) {
					t.Errorf("got %v, want ErrKeysUnavailable", err)
				}
				if got := v.State().Issuers[0].Err; got != c.want {
					t.Errorf("state: %q\nwant   %q", got, c.want)
				}
			})
		})
	}
}

func TestDiscoveryForAllTenantsOfEntra(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(map[string]string{
			"https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration": `{"issuer":"https://login.microsoftonline.com/{tenantid}/v2.0","jwks_uri":"` + keysURL + `"}`,
			keysURL: keySet(rs256("k1")),
		})
		cfg := issuer()
		cfg.JWKSInline, cfg.Discovery, cfg.Issuer, cfg.Tenants = "", true, "https://login.microsoftonline.com/{tid}/v2.0", nil
		v := newVerifier(t, jwtConfig(cfg), identity.Deps{Transport: s})
		stop := running(t, v)
		defer stop()
		synctest.Wait()
		id, err := v.Identify(context.Background(), bearer(rs256("k1").sign(claims(time.Now(), map[string]any{"iss": "https://login.microsoftonline.com/" + otherTenant + "/v2.0", "tid": otherTenant}))))
		wantSubject(t, id, err, otherTenant, "User "+userID)
	})
}

func TestAFileOfKeysIsReadAgainWhenItChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	write := func(text string) { must(os.WriteFile(file, []byte(text), 0o600)) }
	k1, k2 := rs256("k1"), signer{jose.ES256, "k2", ecOne()}
	write(keySet(k1))
	synctest.Test(t, func(t *testing.T) {
		c := issuer()
		c.JWKSInline, c.JWKS = "", file
		v := newVerifier(t, jwtConfig(c), identity.Deps{})
		token := k1.sign(claims(time.Now(), nil))
		id, err := v.Identify(context.Background(), bearer(token)) // before Run
		wantSubject(t, id, err, tenantID, "User "+userID)
		stop := running(t, v)
		defer stop()
		synctest.Wait()

		write(keySet(k2))
		time.Sleep(time.Second)
		synctest.Wait()
		id, err = v.Identify(context.Background(), bearer(token))
		wantInvalid(t, id, err, "jwt", unknownKey)
		id, err = v.Identify(context.Background(), bearer(k2.sign(claims(time.Now(), nil))))
		wantSubject(t, id, err, tenantID, "User "+userID)

		write(`{"keys":[{"kty"`) // half written
		time.Sleep(time.Second)
		synctest.Wait()
		id, err = v.Identify(context.Background(), bearer(k2.sign(claims(time.Now(), nil))))
		wantSubject(t, id, err, tenantID, "User "+userID)
		if state := v.State().Issuers[0]; state.Healthy || !state.Trusted || state.Err != "not a JSON Web Key Set" {
			t.Errorf("state %+v", state)
		}

		write(keySet(k1))
		time.Sleep(time.Second)
		synctest.Wait()
		id, err = v.Identify(context.Background(), bearer(token))
		wantSubject(t, id, err, tenantID, "User "+userID)
		if state := v.State().Issuers[0]; !state.Healthy || state.Err != "" || time.Since(state.LastProof) > time.Second {
			t.Errorf("state %+v", state)
		}
	})
}

func TestKeysThatCannotBeUsedAtStartAreAnError(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "keys.json")
	must(os.WriteFile(file, []byte("nothing"), 0o600))
	private, err := jose.JSONWebKey{Key: rsaOne(), KeyID: "k1"}.MarshalJSON()
	must(err)
	weak := signer{jose.RS256, "weak", newRSA(1024)}
	for _, c := range []struct{ name, file, inline, want string }{
		{"no file", filepath.Join(dir, "none.json"), "", "no such file or directory"},
		{"a file without keys", file, "", "jwks: not a JSON Web Key Set"},
		{"a directory", dir, "", "is a directory"},
		{"no list", "", `{}`, `it has no list "keys"`},
		{"an empty list", "", `{"keys":[]}`, "jwks_inline: the key set holds no key that can verify a token"},
		{"a symmetric key", "", `{"keys":[{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","kid":"k1"}]}`, "the key set holds no key that can verify a token"},
		{"a key for encryption", "", strings.Replace(keySet(rs256("k1")), `"use":"sig"`, `"use":"enc"`, 1), "the key set holds no key that can verify a token"},
		{"a weak key", "", keySet(weak), "the key set holds no key that can verify a token"},
		{"a private key", "", `{"keys":[` + string(private) + `]}`, "the key set holds a private key: publish the public one, and replace this one"},
		{"a member given twice", "", `{"keys":[],"keys":[]}`, "not a JSON Web Key Set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := issuer()
			i.JWKSInline, i.JWKS = c.inline, c.file
			v, err := identity.New(jwtConfig(i), identity.Deps{})
			if err == nil || v != nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "identity.sources[0].jwt.issuers[0]: jwks") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestKeysThatCannotBeUsedAreLeftOutOfTheSet(t *testing.T) {
	odd := `{"kty":"LATTICE","kid":"q"},{"kty":"RSA","kid":"broken","n":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},` +
		`{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","kid":"h"},`
	text := strings.Replace(keySet(rs256("k1")), "[", "["+odd, 1)
	text = strings.Replace(text, `"kid":"k1"`, `"kid":"k1","x5c":["not a certificate"]`, 1)
	i := issuer()
	i.JWKSInline = text
	v := newVerifier(t, jwtConfig(i), atNoon())
	id, err := v.Identify(context.Background(), bearer(rs256("k1").sign(claims(noon, nil))))
	wantSubject(t, id, err, tenantID, "User "+userID)
	if state := v.State().Issuers[0]; state.Keys != 1 || state.Ignored != 4 || !state.Healthy {
		t.Errorf("state %+v, want 1 key and 4 ignored", state)
	}
}

func TestInlineKeysNeverGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), identity.Deps{})
		time.Sleep(1000 * time.Hour)
		id, err := v.Identify(context.Background(), bearer(rs256("k1").sign(claims(time.Now(), nil))))
		wantSubject(t, id, err, tenantID, "User "+userID)
	})
}

// The other tests fetch in memory; this one over real connections.
func TestKeysOverRealConnections(t *testing.T) {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"issuer":"` + server.URL + `","jwks_uri":"` + server.URL + `/keys"}`))
	})
	served := make(chan struct{}, 16)
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(keySet(rs256("k1"))))
		served <- struct{}{}
	})
	c := issuer()
	c.JWKSInline, c.Discovery, c.Issuer = "", true, server.URL
	v := newVerifier(t, jwtConfig(c), identity.Deps{})
	stop := running(t, v)
	defer stop()
	<-served
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	id, err := v.Identify(ctx, bearer(rs256("k1").sign(claims(time.Now(), map[string]any{"iss": server.URL}))))
	for errors.Is(err, identity.ErrKeysUnavailable) && ctx.Err() == nil { // Run has not begun
		id, err = v.Identify(ctx, bearer(rs256("k1").sign(claims(time.Now(), map[string]any{"iss": server.URL}))))
	}
	wantSubject(t, id, err, tenantID, "User "+userID)
}

func TestASecondRunIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, jwtConfig(issuer(rs256("k1"))), identity.Deps{})
		stop := running(t, v)
		synctest.Wait()
		if err := v.Run(t.Context()); !errors.Is(err, identity.ErrRunning) {
			t.Errorf("got %v, want ErrRunning", err)
		}
		stop()
		again := running(t, v)
		again()
	})
}

func TestErrorsOfFetchesHoldNoQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fetched()
		c.JWKS = "https://login.example/keys?secret=s3cr3t"
		var log bytes.Buffer
		failing := roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") })
		v := newVerifier(t, jwtConfig(c), identity.Deps{Transport: failing, Log: slog.New(slog.NewTextHandler(&log, nil))})
		stop := running(t, v)
		synctest.Wait()
		if got := v.State().Issuers[0].Err; got != "fetching from login.example: no route" {
			t.Errorf("state: %q", got)
		}
		stop()
		if strings.Contains(log.String(), "s3cr3t") {
			t.Errorf("log: %s", log.String())
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
