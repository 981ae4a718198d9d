package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// profileInFlight is the load under which a profile is taken.
const profileInFlight = 64

// profile writes a CPU profile of a server that offers one, under load.
func profile(ctx context.Context, out io.Writer, p *peer, requests []request, dir string) error {
	if p.ops == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, strings.NewReplacer(",", "", " ", "-").Replace(strings.ToLower(p.name))+".pprof")
	fetched := make(chan error, 1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		fetched <- fetch(ctx, "http://"+p.ops+"/debug/pprof/profile?seconds=5", file)
	}()
	c, err := dial(ctx, p, requests)
	if err != nil {
		return errors.Join(err, <-fetched)
	}
	defer c.conn.Close()
	_, err = c.load(ctx, profileInFlight, func(int) bool {
		select {
		case <-over:
			return true
		default:
			return false
		}
	})
	if err := errors.Join(err, <-fetched); err != nil {
		return fmt.Errorf("profile of %s: %w", p.name, err)
	}
	fmt.Fprintf(out, "%s: %s\n", p.name, file)
	return nil
}

func fetch(ctx context.Context, url, file string) (err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, response.Body)
	return errors.Join(err, f.Close())
}
