package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pathgrant/pathgrant/bench/internal/load"
	"github.com/pathgrant/pathgrant/bench/internal/machine"
)

// A server is a process that is measured.
type server struct {
	*process
	name    string
	network string
	address string
	tls     *tls.Config // nil: in the clear
	// allowsAll says that it does not decide.
	allowsAll bool
	profiles  string // the address of CPU profiles; empty: none
	spin      bool   // see [load.Target]
}

// url is the address as one string.
func (s *server) url() string { return s.network + "://" + s.address }

// target is the server with something to ask it.
func (s *server) target(requests []load.Request, reasons []string) load.Target {
	return load.Target{
		Network: s.network, Address: s.address, TLS: s.tls, Requests: requests, Spin: s.spin,
		Verify: func(request int, answer *load.Answer) error {
			if s.allowsAll {
				return verifyCheck(answer, granted)
			}
			return verifyCheck(answer, reasons[request%len(reasons)])
		},
	}
}

// A house starts servers, and stops them all in the end.
type house struct {
	dir       string // where files of servers are
	pathgrant string // the command
	self      string // this program
	cpus      machine.CPUs
	sink      *sink
	tls       *tls.Config // how the certificate in dir is trusted
	profile   bool        // whether servers offer profiles
	spin      bool        // whether the load looks for answers all the time
	running   []*process
}

func newHouse(dir, pathgrant string, cpus machine.CPUs) (*house, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	h := &house{dir: dir, pathgrant: pathgrant, self: self, cpus: cpus}
	if h.tls, err = writeCertificate(dir); err != nil {
		return nil, err
	}
	h.sink, err = newSink()
	return h, err
}

// close stops everything that was started.
func (h *house) close() error {
	var err error
	for _, p := range h.running {
		err = errors.Join(err, p.stop())
	}
	return errors.Join(err, h.sink.close())
}

// start starts a program on the servers' CPUs, and waits until it is ready.
func (h *house) start(ctx context.Context, ready func(*process) error, program string, args ...string) (*process, error) {
	var p *process
	err := h.cpus.ForServers(func() (err error) {
		p, err = start(h.sink, program, args...)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.running = append(h.running, p)
	return p, p.await(ctx, func() error { return ready(p) })
}

// place returns where a server of this name is to listen.
func (h *house) place(network, name string) (*server, error) {
	s := &server{name: name, network: network, spin: h.spin, address: filepath.Join(h.dir, name+".sock")}
	if network == "unix" {
		return s, nil
	}
	var err error
	s.address, err = freeAddress()
	return s, err
}

// stock starts a stock server.
func (h *house) stock(ctx context.Context, network, name string, secure bool) (*server, error) {
	s, err := h.place(network, name)
	if err != nil {
		return nil, err
	}
	args := []string{"-serve-stock", s.url()}
	if secure {
		s.tls = h.tls
		args = append(args, "-certificates", h.dir)
	}
	s.allowsAll = true
	s.process, err = h.start(ctx, func(*process) error { return connected(ctx, s.network, s.address)() }, h.self, args...)
	return s, err
}

// null starts a null server.
func (h *house) null(ctx context.Context, network, name string) (*server, error) {
	s, err := h.place(network, name)
	if err != nil {
		return nil, err
	}
	s.allowsAll = true
	s.process, err = h.start(ctx, func(*process) error { return connected(ctx, s.network, s.address)() }, h.self, "-serve-null", s.url())
	return s, err
}

// identityByMetadata is the configuration of a Pathgrant that believes what Envoy's
// jwt_authn has verified.
const identityByMetadata = `identity:
  sources:
    - jwt_metadata:
        payload_key: ` + jwtPayload + `
        issuers:
          - issuer: ` + issuerURL + `
            audiences: ["` + audience + `"]
            tenants: [` + tenantID + `]
`

// startPathgrant starts the command as it is shipped, with the world in the directory.
func (h *house) startPathgrant(ctx context.Context, command, network, name string, secure, metadata bool) (*server, error) {
	s, err := h.place(network, name)
	if err != nil {
		return nil, err
	}
	ops, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{
		"serve", "--admin-listen", "off", "--listen", s.url(), "--ops-listen", "tcp://" + ops,
		"--data", filepath.Join(h.dir, "data-"+name), "--bundle", filepath.Join(h.dir, "bundle.json"),
		"--drain-delay", "0s", "--pprof=" + strconv.FormatBool(h.profile),
	}
	if metadata {
		file := filepath.Join(h.dir, name+".yaml")
		if err := os.WriteFile(file, []byte(identityByMetadata), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--config", file)
	} else {
		args = append(args, "--jwks", filepath.Join(h.dir, "jwks.json"),
			"--issuer", issuerURL, "--audience", audience, "--issuer-tenant", tenantID)
	}
	if secure {
		s.tls = h.tls
		args = append(args, "--tls-cert-file", filepath.Join(h.dir, certFile), "--tls-key-file", filepath.Join(h.dir, keyFile))
	}
	if h.profile {
		s.profiles = ops
	}
	s.process, err = h.start(ctx, func(*process) error { return ok(ctx, "http://"+ops+"/readyz") }, command, args...)
	return s, err
}

// peer starts a server of somebody else's: "NAME=BINARY ARGUMENTS".
func (h *house) peer(ctx context.Context, description, worldFile string) (*server, error) {
	name, command, found := strings.Cut(description, "=")
	words := strings.Fields(command)
	if !found || name == "" || len(words) == 0 {
		return nil, fmt.Errorf("peer %q: want NAME=BINARY ARGUMENTS", description)
	}
	s, err := h.place("tcp", name)
	if err != nil {
		return nil, err
	}
	s.process, err = h.start(ctx, func(p *process) error { return p.printed("ready")() }, words[0],
		append(words[1:], "-listen", s.url(), "-world", worldFile)...)
	return s, err
}

// ok asks for a page.
func ok(ctx context.Context, url string) error {
	body, err := get(ctx, url)
	if err != nil {
		return err
	}
	return body.Close()
}

// peerName is how a peer is called.
func peerName(description string) string {
	name, _, _ := strings.Cut(description, "=")
	return name
}
