package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pathgrant/pathgrant/bench/internal/load"
)

// profileInFlight is the load under which a profile is taken.
const profileInFlight = 64

// profile writes a CPU profile of a row's server, if that offers one, under load.
func profile(ctx context.Context, out io.Writer, r *row, dir string) error {
	if r.profiles == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, r.key+".pprof")
	fetched := make(chan error, 1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		fetched <- fetch(ctx, "http://"+r.profiles+"/debug/pprof/profile?seconds=5", file)
	}()
	c, err := load.Dial(ctx, &r.target)
	if err != nil {
		return errors.Join(err, <-fetched)
	}
	defer c.Close()
	_, err = c.Closed(ctx, profileInFlight, func(int, time.Time) bool {
		select {
		case <-over:
			return true
		default:
			return false
		}
	})
	if err := errors.Join(err, <-fetched); err != nil {
		return fmt.Errorf("profile of %s: %w", r.name, err)
	}
	fmt.Fprintf(out, "%s: %s\n", r.name, file)
	return nil
}

func fetch(ctx context.Context, url, file string) (err error) {
	body, err := get(ctx, url)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

// get returns the body of a page.
func get(ctx context.Context, url string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s answers %s", url, response.Status), response.Body.Close())
	}
	return response.Body, nil
}
