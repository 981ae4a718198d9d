package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/pathgrant/pathgrant/bench/internal/load"
	"github.com/pathgrant/pathgrant/bench/internal/machine"
	"github.com/pathgrant/pathgrant/bench/peers/cerbosapi"
	"github.com/pathgrant/pathgrant/bench/peers/world"
	"github.com/pathgrant/pathgrant/internal/pgtest"
)

// A serverRow is one server, with the medians of its rounds.
type serverRow struct {
	Peer         string  `json:"peer"`
	Name         string  `json:"name"`
	Answered     int     `json:"answered"` // and every answer compared
	PerSecond    float64 `json:"perSecond"`
	CPU          float64 `json:"cpuMicroseconds"`
	PerCPUSecond float64 `json:"perCPUSecond"`
	P50          float64 `json:"p50Microseconds"`
	P99          float64 `json:"p99Microseconds"`
	ClientBusy   float64 `json:"clientBusy"`
	Anonymous    int64   `json:"anonymousBytes"`
}

const inFlight = 16

// A server is a running peer.
type server struct {
	peer, name string
	pid        int
	target     load.Target
	log        func() string
	stop       func() error
}

func measureServers(ctx context.Context, s settings, stdout, stderr io.Writer) (rows []serverRow, err error) {
	w, err := world.Read(s.small)
	if err != nil {
		return nil, err
	}
	if err := w.Check(); err != nil {
		return nil, err
	}
	cpus, err := machine.Share()
	if err != nil {
		return nil, err
	}
	var servers []*server
	defer func() {
		for _, one := range servers {
			err = errors.Join(err, one.stop())
		}
	}()
	err = cpus.ForServers(func() error {
		for _, start := range []func(context.Context, settings, *world.World, io.Writer) (*server, error){
			startPathgrant, startOPA, startCerbos(cerbosapi.RolesGiven), startCerbos(cerbosapi.SameWork), startCerbos(cerbosapi.SameWorkKeyed),
		} {
			one, err := start(ctx, s, w, stderr)
			if err != nil {
				return err
			}
			one.target.Spin = cpus.Apart()
			servers = append(servers, one)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	answered := make([]int, len(servers))
	for i, one := range servers {
		for range 3 { // until caches are warm, and every request of the world is answered
			r, err := load.Measure(ctx, &one.target, load.Round{InFlight: inFlight, Once: true}, one.pid)
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", one.name, err, one.log())
			}
			answered[i] += r.Answered
		}
	}
	samples := make([][]load.Result, len(servers))
	for round := range s.rounds {
		for i := range servers {
			i := (i + round) % len(servers) // nobody is always the first
			r, err := load.Measure(ctx, &servers[i].target, load.Round{InFlight: inFlight, Warm: 100 * time.Millisecond, Length: s.round}, servers[i].pid)
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", servers[i].name, err, servers[i].log())
			}
			answered[i] += r.Answered
			samples[i] = append(samples[i], r)
		}
	}
	for i, one := range servers {
		memory, err := machine.MemoryOf(one.pid)
		if err != nil {
			return nil, err
		}
		micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
		row := serverRow{
			Peer: one.peer, Name: one.name, Answered: answered[i], Anonymous: memory.Anonymous,
			PerSecond:  median(samples[i], func(r load.Result) float64 { return r.PerSecond }),
			CPU:        median(samples[i], func(r load.Result) float64 { return micros(r.CPU[0]) }),
			P50:        median(samples[i], func(r load.Result) float64 { return micros(r.P50) }),
			P99:        median(samples[i], func(r load.Result) float64 { return micros(r.P99) }),
			ClientBusy: median(samples[i], func(r load.Result) float64 { return r.ClientBusy }),
		}
		row.PerCPUSecond = 1e6 / row.CPU
		rows = append(rows, row)
	}
	fmt.Fprintf(stdout, "\nAs servers, %d in flight on one unix socket, %d assignments; medians; %s; others with GOGC=%s.\n", inFlight, len(w.Assignments), cpus, s.gogc)
	fmt.Fprintln(stdout, "× is Pathgrant's requests for a second of the server's CPU against the row's. Every answer was compared with what must be answered.")
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "answers\trequests/s\tCPU µs\trequests/CPU s\t×\tp50 µs\tp99 µs\tload busy\tanonymous MiB\t  ")
	for _, r := range rows {
		fmt.Fprintf(table, "%d\t%.0f\t%.1f\t%.0f\t%.1f\t%.0f\t%.0f\t%.0f%%\t%.0f\t  %s\n", r.Answered, r.PerSecond, r.CPU, r.PerCPUSecond,
			rows[0].PerCPUSecond/r.PerCPUSecond, r.P50, r.P99, 100*r.ClientBusy, float64(r.Anonymous)/(1<<20), r.Name)
	}
	return rows, table.Flush()
}

// promisesOfServers prints whether each ratio that is promised was reached.
func promisesOfServers(out io.Writer, rows []serverRow) error {
	var missed error
	for _, r := range rows {
		promised := map[string]float64{"opa": 10, string(cerbosapi.RolesGiven): 10, string(cerbosapi.SameWork): 35}[r.Peer]
		if promised != 0 {
			missed = errors.Join(missed, promise(out, "requests for a second of CPU, "+r.Name, rows[0].PerCPUSecond/r.PerCPUSecond, promised))
		}
	}
	return missed
}

// checks are the requests of a world for servers that speak ext_authz.
func checks(w *world.World, socket string) (load.Target, error) {
	bodies := make([][]byte, len(w.Requests))
	for i, request := range w.Requests {
		bodies[i] = request.Body
	}
	requests, err := load.GRPC(authv3.Authorization_Check_FullMethodName, bodies)
	return load.Target{Network: "unix", Address: socket, Requests: requests, Verify: func(i int, answer *load.Answer) error {
		message, err := message(answer)
		if err != nil {
			return err
		}
		return verifyCheck(w.Requests[i].Reason, message)
	}}, err
}

func message(answer *load.Answer) ([]byte, error) {
	if answer.GRPCStatus != "0" {
		return nil, fmt.Errorf("the call failed with gRPC status %q: %s", answer.GRPCStatus, answer.GRPCMessage)
	}
	return answer.Message()
}

// verifyCheck compares an answer of ext_authz with what must be answered.
func verifyCheck(want string, message []byte) error {
	var answer authv3.CheckResponse
	if err := proto.Unmarshal(message, &answer); err != nil {
		return err
	}
	status := answer.GetStatus()
	switch {
	case status == nil:
		return errors.New("the answer has no status, which means allow")
	case want == world.Granted && codes.Code(status.GetCode()) == codes.OK && answer.GetOkResponse() != nil,
		want != world.Granted && codes.Code(status.GetCode()) == codes.PermissionDenied && answer.GetDeniedResponse() != nil && status.GetMessage() == want:
		return nil
	}
	return fmt.Errorf("answered with %s %q, want %s", codes.Code(status.GetCode()), status.GetMessage(), want)
}

// startPathgrant starts the command as it is shipped.
func startPathgrant(ctx context.Context, s settings, w *world.World, _ io.Writer) (*server, error) {
	bundle, err := bundleOf(w)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"bundle.json": bundle, "jwks.json": w.JWKS} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	socket := filepath.Join(s.dir, "pathgrant.sock")
	target, err := checks(w, socket)
	if err != nil {
		return nil, err
	}
	p, err := pgtest.StartPathgrant(ctx, pgtest.PathgrantOptions{
		Bin:    s.pathgrant,
		Listen: "unix://" + socket,
		Args: []string{
			"--data", filepath.Join(s.dir, "data"), "--bundle", filepath.Join(s.dir, "bundle.json"),
			"--jwks", filepath.Join(s.dir, "jwks.json"), "--issuer", w.Issuer, "--audience", w.Audience,
			"--issuer-tenant", w.Tenant, "--drain-delay", "0s",
		},
	})
	if err != nil {
		return nil, err
	}
	return &server{peer: "pathgrant", name: "Pathgrant", pid: p.PID(), target: target, log: p.Log, stop: p.Close}, nil
}

// bundleOf writes the world as a bundle.
func bundleOf(w *world.World) ([]byte, error) {
	type object map[string]any
	var groups []object
	for _, group := range w.Groups {
		var members []object
		for _, member := range group.Members {
			members = append(members, object{"principalType": "User", "principalObjectId": member})
		}
		groups = append(groups, object{"id": group.ID, "members": members})
	}
	return json.Marshal(object{"apiVersion": "pathgrant/v1", "tenants": []object{{
		"id": w.Tenant, "environmentGroups": w.EnvironmentGroups, "groups": groups, "roleAssignments": w.Assignments,
	}}})
}

// startOPA starts the plain ext_authz server with OPA in it.
func startOPA(ctx context.Context, s settings, w *world.World, stderr io.Writer) (*server, error) {
	socket := filepath.Join(s.dir, "opa.sock")
	target, err := checks(w, socket)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "opa"), "-listen", "unix://"+socket, "-world", s.small)
	cmd.Env = append(os.Environ(), "GOGC="+s.gogc)
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error { return errors.Join(in.Close(), cmd.Wait()) }
	if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "ready" {
		return nil, errors.Join(errors.New("the server with OPA does not get ready"), stop())
	}
	return &server{
		peer: "opa", name: "OPA's Rego behind a plain ext_authz server", pid: cmd.Process.Pid, target: target,
		log: func() string { return "" }, stop: stop,
	}, nil
}

// startCerbos starts Cerbos' own server.
func startCerbos(mode cerbosapi.Mode) func(context.Context, settings, *world.World, io.Writer) (*server, error) {
	return func(ctx context.Context, s settings, w *world.World, stderr io.Writer) (*server, error) {
		socket := filepath.Join(s.dir, "cerbos-"+string(mode)+".sock")
		config, err := cerbosapi.Write(w, mode, filepath.Join(s.dir, "cerbos-"+string(mode)), socket)
		if err != nil {
			return nil, err
		}
		calls, err := cerbosapi.Requests(w, mode)
		if err != nil {
			return nil, err
		}
		requests, err := load.GRPC(cerbosapi.Method, calls)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(filepath.Join(s.bin, "cerbos"), "server", "--config", config, "--log-level", "error")
		cmd.Env = append(os.Environ(), "GOGC="+s.gogc, "CERBOS_NO_TELEMETRY=1")
		cmd.Stdout, cmd.Stderr = stderr, stderr
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		stop := func() error { return errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait()) }
		one := &server{
			peer: string(mode), pid: cmd.Process.Pid, log: func() string { return "" }, stop: stop,
			name: map[cerbosapi.Mode]string{
				cerbosapi.RolesGiven:    "Cerbos, effective roles given",
				cerbosapi.SameWork:      "Cerbos, the same work",
				cerbosapi.SameWorkKeyed: "Cerbos, the same work, assignments keyed by scope",
			}[mode],
			target: load.Target{Network: "unix", Address: socket, Requests: requests, Verify: func(i int, answer *load.Answer) error {
				message, err := message(answer)
				if err != nil {
					return err
				}
				return cerbosapi.Verify(w.Requests[i], message)
			}},
		}
		err = pgtest.Poll(ctx, func() error {
			c, err := load.Dial(ctx, &one.target)
			if err != nil {
				return err
			}
			return c.Close()
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start Cerbos: %w", err), stop())
		}
		return one, nil
	}
}
