package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/pathgrant/pathgrant/bench/internal/load"
)

// table are all rows, by the table that they are printed in.
type table struct {
	direct []*row // servers that are asked directly
	open   []*row // those that are asked at fixed rates, too; the first sets the rates
	fresh  []*row // with tokens that nobody has seen
	envoy  []*row // through a proxy
}

// cached are the rows whose requests may be sent again and again.
func (t *table) cached() []*row { return append(append([]*row{}, t.direct...), t.envoy...) }

// rows starts everything that is measured.
func (h *house) rows(ctx context.Context, o options, p plan, s *stage) (*table, error) {
	cached, err := s.cached.grpc()
	if err != nil {
		return nil, err
	}
	metadata, err := s.metadata.grpc()
	if err != nil {
		return nil, err
	}
	t := &table{}
	started := map[string]*server{}
	// add starts a server and makes a row of it.
	add := func(key, name, base string, requests []load.Request, levels []int, start func() (*server, error)) error {
		server, err := start()
		if err != nil {
			return err
		}
		started[key] = server
		t.direct = append(t.direct, &row{
			key: key, name: name, base: base, levels: levels, profiles: server.profiles,
			target: server.target(requests, s.reasons), parts: []part{{"server", server.process}},
		})
		return nil
	}
	err = errors.Join(
		add("stock", "stock, TCP", "stock", cached, p.levels, func() (*server, error) { return h.stock(ctx, "tcp", "stock", false) }),
		add("pathgrant", "Pathgrant, TCP", "stock", cached, p.levels, func() (*server, error) { return h.startPathgrant(ctx, h.pathgrant, "tcp", "pathgrant", false, false) }),
		add("stock-unix", "stock, unix", "stock-unix", cached, p.levels, func() (*server, error) { return h.stock(ctx, "unix", "stock-unix", false) }),
		add("pathgrant-unix", "Pathgrant, unix", "stock-unix", cached, p.levels, func() (*server, error) {
			return h.startPathgrant(ctx, h.pathgrant, "unix", "pathgrant-unix", false, false)
		}))
	if err != nil {
		return nil, err
	}
	if o.wants("direct") {
		err = errors.Join(
			add("stock-tls", "stock, TLS", "stock-tls", cached, p.moreLevels, func() (*server, error) { return h.stock(ctx, "tcp", "stock-tls", true) }),
			add("pathgrant-tls", "Pathgrant, TLS", "stock-tls", cached, p.moreLevels, func() (*server, error) {
				return h.startPathgrant(ctx, h.pathgrant, "tcp", "pathgrant-tls", true, false)
			}),
			// The same server as above: claims in place of tokens make the requests larger.
			add("stock-metadata", "stock, jwt_metadata", "stock-metadata", metadata, []int{16}, func() (*server, error) { return started["stock"], nil }),
			add("pathgrant-metadata", "Pathgrant, jwt_metadata", "stock-metadata", metadata, []int{16}, func() (*server, error) {
				return h.startPathgrant(ctx, h.pathgrant, "tcp", "pathgrant-metadata", false, true)
			}),
			add("null", "null server: the load's own maximum", "stock", cached, p.levels, func() (*server, error) { return h.null(ctx, "tcp", "null") }))
		for _, peer := range o.peers {
			err = errors.Join(err, add(peerName(peer), peerName(peer), "stock", cached, []int{16}, func() (*server, error) {
				return h.peer(ctx, peer, filepath.Join(h.dir, worldName))
			}))
		}
		if err != nil {
			return nil, err
		}
	}
	if o.wants("open") {
		t.open = t.direct[:2:2]
		if o.wants("direct") {
			t.open = append(t.open, t.direct[slices.IndexFunc(t.direct, func(r *row) bool { return r.key == "null" })])
		}
	}
	if o.wants("fresh") {
		server, err := h.startPathgrant(ctx, h.pathgrant, "tcp", "pathgrant-fresh", false, false)
		if err != nil {
			return nil, err
		}
		for _, algorithm := range []string{rs256, es256} {
			t.fresh = append(t.fresh, &row{
				key: "fresh-" + algorithm, name: "Pathgrant, a new " + algorithm + " token each time", levels: []int{16},
				target: server.target(cached, s.reasons), parts: []part{{"server", server.process}}, fresh: s.fresh[algorithm],
			})
		}
	}
	if o.wants("envoy") && o.envoy != "" {
		if _, err := os.Stat(o.envoy); err != nil {
			return nil, err
		}
		t.envoy, err = h.proxies(ctx, o.envoy, s.world, started["stock"], started["pathgrant"], started["pathgrant-unix"],
			s.cached.http(), s.reasons, p.moreLevels)
	}
	return t, err
}

// measure runs and prints all tables.
func (r *results) measure(ctx context.Context, out io.Writer, to *report, t *table, p plan) error {
	modes := func(levels []int) []mode {
		var all []mode
		for _, level := range levels {
			all = append(all, mode{inFlight: level})
		}
		return all
	}
	err := r.closed(ctx, t.direct, p)
	if err == nil {
		err = r.print(out, to, "Asked directly, by requests in flight", t.direct, modes(p.levels))
	}
	if err != nil {
		return err
	}
	if len(t.open) > 0 {
		var all []mode
		for _, share := range shares {
			all = append(all, mode{share: share})
		}
		if err = r.open(ctx, t.open, p); err == nil {
			err = r.print(out, to, "At fixed rates, parts of the stock server's maximum", t.open, all)
		}
		if err != nil {
			return err
		}
	}
	if len(t.fresh) > 0 {
		if err = r.closed(ctx, t.fresh, p); err == nil {
			err = r.print(out, to, "Tokens that nobody has seen before", t.fresh, modes([]int{16}))
		}
		if err != nil {
			return err
		}
	}
	if len(t.envoy) == 0 {
		return nil
	}
	if err = r.closed(ctx, t.envoy, p); err == nil {
		err = r.print(out, to, "Through Envoy, by requests in flight; CPU is Envoy's + the authorizer's", t.envoy, modes(p.moreLevels))
	}
	return err
}
