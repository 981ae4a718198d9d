package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// maxKeySetBytes is the greatest size of a key set or a discovery document.
	maxKeySetBytes = 1 << 20
	// fetchTimeout bounds a fetch, discovery and redirects included.
	fetchTimeout = 10 * time.Second
	// maxRedirects is how many redirects are followed.
	maxRedirects = 3
)

// newTransport returns a transport for fetching key sets now and then: it keeps no
// connection open between two fetches.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
	}
}

// fetcher gets documents by HTTP. Its errors name hosts, never paths or queries.
type fetcher struct {
	client   *http.Client
	insecure bool
}

func newFetcher(transport http.RoundTripper, insecure bool) *fetcher {
	f := &fetcher{insecure: insecure}
	f.client = &http.Client{
		Transport: transport,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			return f.follows(via[0].URL, r.URL)
		},
	}
	return f
}

// follows tells whether a URL that was learnt from another may be fetched: what was
// asked for over TLS is never answered without it.
func (f *fetcher) follows(from, to *url.URL) error {
	if _, err := parseKeyURL(to.String(), f.insecure); err != nil {
		return err
	}
	if from.Scheme == "https" && to.Scheme != "https" {
		return errors.New("an https address points to one without TLS")
	}
	return nil
}

// keys returns a function that fetches the document at address.
func (f *fetcher) keys(address string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		return f.get(ctx, address)
	}
}

// discover returns a function that fetches the key set to which the issuer's discovery
// document points, if the document is that issuer's.
func (f *fetcher) discover(c IssuerConfig) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		address, issuer, err := c.discovery()
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		from, err := parseKeyURL(address, f.insecure)
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		body, err := f.get(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		var document struct {
			Issuer  string `json:"issuer"`
			JWKSURI string `json:"jwks_uri"`
		}
		if err := json.Unmarshal(body, &document); err != nil {
			return nil, errors.New("discovery: the document is not valid JSON")
		}
		if document.Issuer != issuer {
			return nil, errors.New("discovery: the document is of another issuer")
		}
		to, err := parseKeyURL(document.JWKSURI, f.insecure)
		if err == nil {
			err = f.follows(from, to)
		}
		if err != nil {
			return nil, fmt.Errorf("discovery: jwks_uri: %w", err)
		}
		return f.get(ctx, document.JWKSURI)
	}
}

func (f *fetcher) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "pathgrant")
	response, err := f.client.Do(request)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err // without the address, which may have a query
		}
		return nil, fmt.Errorf("fetching from %s: %w", request.URL.Host, err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching from %s: the answer is %d, want 200", request.URL.Host, response.StatusCode)
	}
	body, err := readLimited(response.Body)
	if err != nil {
		return nil, fmt.Errorf("fetching from %s: %w", request.URL.Host, err)
	}
	return body, nil
}

// readLimited reads all, if it is not too much.
func readLimited(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxKeySetBytes+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxKeySetBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxKeySetBytes)
	}
	return body, nil
}
