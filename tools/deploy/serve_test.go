package deploy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binDir is where the tests build the command.
var binDir string

// pathgrant builds the command and returns its path.
var pathgrant = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(binDir, "pathgrant")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", bin, "./cmd/pathgrant").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the command: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pathgrant-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func command(t *testing.T) string {
	t.Helper()
	bin, err := pathgrant()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func TestFlagsExist(t *testing.T) {
	help, err := exec.Command(command(t), "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range variants {
		c := sidecar(t, pod(t, file), "pathgrant")
		if len(c.Command) > 0 || c.Args[0] != "serve" {
			t.Fatalf("%s runs %v %v, want the image's command with serve", file, c.Command, c.Args)
		}
		for _, arg := range c.Args[1:] {
			name, _, ok := strings.Cut(arg, "=")
			if !ok || !regexp.MustCompile(`(?m)^\s+`+name+`\s`).Match(help) {
				t.Errorf("%s: %s is no flag of pathgrant serve", file, arg)
			}
		}
	}
}

// TestPathgrantRunsWithTheManifestsArguments runs what the container would run, with its
// mounts in a directory of the test and free ports.
func TestPathgrantRunsWithTheManifestsArguments(t *testing.T) {
	for _, file := range variants {
		t.Run(file, func(t *testing.T) {
			spec := pod(t, file)
			c := sidecar(t, spec, "pathgrant")
			// Short, for a socket's path may not be long.
			root, err := os.MkdirTemp("", "pg")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(root) })
			for _, m := range c.VolumeMounts {
				if err := os.MkdirAll(root+m.MountPath, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"bundle", "jwks"} {
				path := oneFlag(t, c, name)
				if err := os.WriteFile(root+path, []byte(fromConfigMap(t, spec, c, path)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ops := freeAddress(t)
			var args []string
			for _, arg := range c.Args {
				switch name, value, _ := strings.Cut(arg, "="); name {
				case "--listen":
					if socket, ok := strings.CutPrefix(value, "unix://"); ok {
						value = "unix://" + root + socket
					} else {
						value = "tcp://" + freeAddress(t)
					}
					arg = name + "=" + value
				case "--ops-listen":
					arg = name + "=tcp://" + ops
				case "--data", "--bundle", "--jwks":
					arg = name + "=" + root + value
				}
				args = append(args, arg)
			}
			run(t, command(t), args, ops)
		})
	}
}

// run starts the command, waits until it is ready, and ends it as the kubelet would.
func run(t *testing.T, bin string, args []string, ops string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	process := exec.CommandContext(ctx, bin, args...)
	var output strings.Builder
	process.Stdout, process.Stderr = &output, &output
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	readiness := ""
	for readiness == "" {
		select {
		case err := <-ended:
			t.Fatalf("pathgrant %s ended: %v\n%s", strings.Join(args, " "), err, output.String())
		case <-ctx.Done():
			t.Fatal("pathgrant does not become ready")
		case <-time.After(20 * time.Millisecond):
			readiness = ask(ctx, "http://"+ops+"/readyz")
		}
	}
	if readiness != "ready" {
		t.Errorf("pathgrant is %q, want ready", readiness)
	}
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("pathgrant ended with %v\n%s", err, output.String())
	}
}

// ask returns the first line of an answer that is 200, or nothing.
func ask(ctx context.Context, url string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return ""
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if response.StatusCode != http.StatusOK || err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return strings.TrimSpace(line)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
