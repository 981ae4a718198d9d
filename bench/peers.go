package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/pathgrant/pathgrant/internal/pgtest"
)

// A peer is a server that is measured.
type peer struct {
	name   string
	socket string
	// allowsAll says that it does not decide.
	allowsAll bool
	pid       int
	ops       string // the address of profiles; empty: none
	log       func() string
	stop      func() error
}

func (p *peer) close() error { return p.stop() }

// startPeers starts all servers; those that were started come back with an error too.
func startPeers(ctx context.Context, pathgrant, dir string, issuer *pgtest.Issuer, w *world, cpus cpuShares, profile bool) ([]*peer, error) {
	bundle, err := w.bundle()
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"bundle.json": bundle, "jwks.json": issuer.JWKS()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	var peers []*peer
	err = cpus.forServers(func() error {
		stock, err := startStock(ctx, dir)
		if err != nil {
			return err
		}
		peers = append(peers, stock)
		for _, variant := range []struct{ name, log string }{{"Pathgrant", "denials"}, {"Pathgrant, no log", "off"}} {
			p, err := startPathgrant(ctx, pathgrant, dir, variant.name, variant.log, profile)
			if err != nil {
				return err
			}
			peers = append(peers, p)
		}
		return nil
	})
	return peers, err
}

func startStock(ctx context.Context, dir string) (*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "stock.sock")
	cmd := exec.Command(self, "-serve-stock", socket)
	cmd.Stderr = os.Stderr
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the stock server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the stock server: %w", err)
	}
	p := &peer{name: "stock grpc-go, allows all", socket: socket, allowsAll: true, pid: cmd.Process.Pid, log: func() string { return "" }}
	p.stop = func() error {
		err := alive.Close()
		return errors.Join(err, cmd.Wait())
	}
	err = pgtest.Poll(ctx, func() error {
		c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the stock server: %w", err), p.stop())
	}
	return p, nil
}

// startPathgrant starts the command as it is shipped, but for its decision log.
func startPathgrant(ctx context.Context, bin, dir, name, decisionLog string, profile bool) (*peer, error) {
	socket := filepath.Join(dir, "log-"+decisionLog+".sock")
	p, err := pgtest.StartPathgrant(ctx, pgtest.PathgrantOptions{
		Bin:    bin,
		Listen: "unix://" + socket,
		Args: []string{
			"--data", filepath.Join(dir, "data-"+decisionLog), "--bundle", filepath.Join(dir, "bundle.json"),
			"--jwks", filepath.Join(dir, "jwks.json"), "--issuer", pgtest.IssuerURL,
			"--audience", pgtest.Audience, "--issuer-tenant", tenantID,
			"--decision-log", decisionLog, "--drain-delay", "0s", "--pprof=" + strconv.FormatBool(profile),
		},
	})
	if err != nil {
		return nil, err
	}
	return &peer{name: name, socket: socket, pid: p.PID(), ops: p.Ops, log: p.Log, stop: p.Close}, nil
}
