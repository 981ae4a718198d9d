package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// EnvoyBin returns the Envoy to run: that of the environment variable ENVOY_BIN, which
// make sets to the pinned one.
func EnvoyBin() (string, error) {
	bin := os.Getenv("ENVOY_BIN")
	if bin == "" {
		return "", errors.New("ENVOY_BIN is not set: run make, which fetches Envoy, or set it to an Envoy 1.40 or later")
	}
	if _, err := os.Stat(bin); err != nil {
		return "", fmt.Errorf("ENVOY_BIN: %w", err)
	}
	return bin, nil
}

// A Replacement puts New in place of Old in a bootstrap; Old must be there.
type Replacement struct{ Old, New string }

// EnvoyOptions say which Envoy to run and how.
type EnvoyOptions struct {
	Bin       string // see [EnvoyBin]
	Bootstrap string // the path of a bootstrap of deploy/envoy
	Dir       string // where to write the changed bootstrap
	// Upstream is where allowed requests go.
	Upstream *Upstream
	// Pathgrant is its unix socket (an absolute path) or its TCP address.
	Pathgrant string
	// More are further changes to the bootstrap.
	More []Replacement
}

// An Envoy is a running proxy.
type Envoy struct {
	*process
	// Address is where it takes requests, Admin its administration interface.
	Address, Admin string
}

// StartEnvoy runs a bootstrap of deploy/envoy on free ports and waits until it is ready.
func StartEnvoy(ctx context.Context, o EnvoyOptions) (*Envoy, error) {
	text, err := os.ReadFile(o.Bootstrap)
	if err != nil {
		return nil, err
	}
	e := &Envoy{}
	for _, address := range []*string{&e.Address, &e.Admin} {
		if *address, err = FreeAddress(); err != nil {
			return nil, err
		}
	}
	changes := append([]Replacement{
		{"0.0.0.0, port_value: 10000", "127.0.0.1, port_value: " + port(e.Address)},
		{"port_value: 9901", "port_value: " + port(e.Admin)},
		{"port_value: 8080", "port_value: " + port(o.Upstream.HTTPAddress)},
		{"port_value: 8081", "port_value: " + port(o.Upstream.GRPCAddress)},
	}, o.More...)
	if strings.HasPrefix(o.Pathgrant, "/") {
		changes = append(changes, Replacement{"/run/pathgrant/authz.sock", o.Pathgrant})
	} else {
		changes = append(changes, Replacement{"port_value: 9191", "port_value: " + port(o.Pathgrant)})
	}
	bootstrap := string(text)
	for _, change := range changes {
		if !strings.Contains(bootstrap, change.Old) {
			return nil, fmt.Errorf("%s does not contain %q", o.Bootstrap, change.Old)
		}
		bootstrap = strings.ReplaceAll(bootstrap, change.Old, change.New)
	}
	file := filepath.Join(o.Dir, "envoy-"+port(e.Address)+".yaml")
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		return nil, err
	}
	e.process, err = startProcess(o.Bin, []string{
		"-c", file, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning", "--drain-time-s", "1",
	}, nil)
	if err != nil {
		return nil, err
	}
	if err := e.awaitReady(ctx, "http://"+e.Admin+"/ready"); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Log returns the last of what Envoy wrote: its own log and the access log.
func (e *Envoy) Log() string { return e.output.String() }

// Close stops the proxy.
func (e *Envoy) Close() error { return e.signalAndWait(syscall.SIGTERM) }

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
