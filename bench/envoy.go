package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pathgrant/pathgrant/bench/internal/load"
)

//go:embed envoy/*.yaml
var configurations embed.FS

// A proxy is an Envoy.
type proxy struct {
	*process
	name      string
	address   string
	allowsAll bool
	spin      bool // see [load.Target]
}

// target is the proxy with something to ask it.
func (p *proxy) target(requests []load.Request, reasons []string) load.Target {
	return load.Target{
		Network: "tcp", Address: p.address, Requests: requests, Spin: p.spin,
		Verify: func(request int, answer *load.Answer) error {
			if p.allowsAll {
				return verifyProxy(answer, granted)
			}
			return verifyProxy(answer, reasons[request])
		},
	}
}

// envoy starts one with a configuration of the directory envoy, in which ${NAME} stands
// for what the harness puts there.
func (h *house) envoy(ctx context.Context, bin, name, configuration string, values map[string]string) (*proxy, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	text, err := configurations.ReadFile("envoy/" + configuration)
	if err != nil {
		return nil, err
	}
	all := map[string]string{"PORT": portOf(address), "ADMIN_PORT": portOf(admin)}
	for name, value := range values {
		all[name] = value
	}
	bootstrap, err := fill(string(text), all)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configuration, err)
	}
	file := filepath.Join(h.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		return nil, err
	}
	p, err := h.start(ctx, func(*process) error { return ok(ctx, "http://"+admin+"/ready") }, bin,
		"-c", file, "--use-dynamic-base-id", "--service-node", name, "--service-cluster", "bench", "--concurrency", "1", "--log-level", "warning", "--drain-time-s", "1")
	return &proxy{process: p, name: name, address: address, spin: h.spin}, err
}

// fill puts values in place of ${NAME}. All of them must be there, and no other.
func fill(text string, values map[string]string) (string, error) {
	for name, value := range values {
		placeholder := "${" + name + "}"
		if !strings.Contains(text, placeholder) {
			return "", fmt.Errorf("%s is not there", placeholder)
		}
		text = strings.ReplaceAll(text, placeholder, value)
	}
	if _, rest, found := strings.Cut(text, "${"); found {
		name, _, _ := strings.Cut(rest, "}")
		return "", fmt.Errorf("${%s} has no value", name)
	}
	return text, nil
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// endpoint is how Envoy is told of a server.
func endpoint(s *server) string {
	if s.network == "unix" {
		return fmt.Sprintf("{pipe: {path: %s}}", s.address)
	}
	return fmt.Sprintf("{socket_address: {address: 127.0.0.1, port_value: %s}}", portOf(s.address))
}

// proxies starts an Envoy for each way to decide.
func (h *house) proxies(ctx context.Context, bin string, w *world, stock, tcp, socket *server, requests []load.Request, reasons []string, levels []int) ([]*row, error) {
	policies, err := w.policies()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(h.dir, "policies.json")
	if err := os.WriteFile(file, policies, 0o600); err != nil {
		return nil, err
	}
	var rows []*row
	for _, variant := range []struct {
		key, name, configuration string
		values                   map[string]string
		authorizer               *server
	}{
		{"envoy-none", "Envoy, no filter", "none.yaml", nil, nil},
		{"envoy-rbac", "Envoy, jwt_authn and its RBAC", "rbac.yaml", map[string]string{
			"ISSUER": issuerURL, "AUDIENCE": audience, "JWKS": filepath.Join(h.dir, "jwks.json"), "POLICIES": file,
		}, nil},
		{"envoy-stock", "Envoy, stock, TCP", "ext_authz.yaml", map[string]string{"AUTHORIZER": endpoint(stock)}, stock},
		{"envoy-pathgrant", "Envoy, Pathgrant, TCP", "ext_authz.yaml", map[string]string{"AUTHORIZER": endpoint(tcp)}, tcp},
		{"envoy-pathgrant-unix", "Envoy, Pathgrant, unix", "ext_authz.yaml", map[string]string{"AUTHORIZER": endpoint(socket)}, socket},
	} {
		p, err := h.envoy(ctx, bin, variant.key, variant.configuration, variant.values)
		if err != nil {
			return nil, err
		}
		p.allowsAll = variant.key == "envoy-none" || variant.authorizer != nil && variant.authorizer.allowsAll
		r := &row{
			key: variant.key, name: variant.name, base: "envoy-none", levels: levels,
			target: p.target(requests, reasons), parts: []part{{"Envoy", p.process}},
		}
		if variant.authorizer != nil {
			r.parts = append(r.parts, part{"authorizer", variant.authorizer.process})
		}
		rows = append(rows, r)
	}
	return rows, nil
}
