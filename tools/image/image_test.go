package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// tiny is the smallest ELF file that the tool reads: a header and, for a dynamic
// binary, the one segment that names a loader.
func tiny(t *testing.T, machine elf.Machine, dynamic bool) string {
	t.Helper()
	header := elf.Header64{
		Ident:   [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_EXEC),
		Machine: uint16(machine),
		Version: uint32(elf.EV_CURRENT),
		Phoff:   64, Ehsize: 64, Phentsize: 56, Shentsize: 64,
	}
	var buf bytes.Buffer
	if dynamic {
		header.Phnum = 1
	}
	write := func(v any) {
		if err := binary.Write(&buf, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	write(header)
	if dynamic {
		write(elf.Prog64{Type: uint32(elf.PT_INTERP)})
	}
	path := filepath.Join(t.TempDir(), "pathgrant")
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func arguments(binary, out string) []string {
	return []string{
		"-binary", binary, "-out", out, "-arch", "arm64", "-tag", "example/pathgrant:v1", "-created", "1767225600",
		"-port", "9191/tcp", "-port", "9192/tcp",
		"-label", "org.opencontainers.image.version=v1", "-label", "equation=a=b",
	}
}

func TestArchiveReadsBackAsDockerArchiveAndAsOCILayout(t *testing.T) {
	binaryPath := tiny(t, elf.EM_AARCH64, false)
	out := filepath.Join(t.TempDir(), "dist", "image.tar")
	var stderr bytes.Buffer
	if err := run(arguments(binaryPath, out), &stderr); err != nil {
		t.Fatal(err, stderr.String())
	}

	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(out) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"example/pathgrant:v1"}, manifest[0].RepoTags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	docker, err := tarball.ImageFromPath(out, nil)
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	names := unpack(t, out, dir)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if got := entries.Manifests[0].Annotations["org.opencontainers.image.ref.name"]; got != "example/pathgrant:v1" {
		t.Errorf("name in the OCI layout = %q", got)
	}
	oci, err := index.Image(entries.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 6 {
		t.Errorf("the archive has %d files, want oci-layout, index.json, manifest.json and three blobs: %v", len(names), names)
	}

	for name, img := range map[string]v1.Image{"docker-archive": docker, "OCI layout": oci} {
		t.Run(name, func(t *testing.T) { checkImage(t, img, binaryPath) })
	}
}

// checkImage compares everything that a container engine acts on.
func checkImage(t *testing.T, img v1.Image, binaryPath string) {
	t.Helper()
	if err := validate.Image(img); err != nil {
		t.Errorf("validate: %v", err)
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "rootfs") // validate.Image has compared it with the layers
	want := map[string]any{
		"architecture": "arm64",
		"os":           "linux",
		"created":      "2026-01-01T00:00:00Z",
		"history":      []any{map[string]any{"created": "2026-01-01T00:00:00Z", "created_by": "tools/image"}},
		"config": map[string]any{
			"User":         "65532:65532",
			"WorkingDir":   "/var/lib/pathgrant",
			"Entrypoint":   []any{"/pathgrant"},
			"ExposedPorts": map[string]any{"9191/tcp": map[string]any{}, "9192/tcp": map[string]any{}},
			"Labels":       map[string]any{"org.opencontainers.image.version": "v1", "equation": "a=b"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}

	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 1 {
		t.Fatalf("%d layers, want 1", len(layers))
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	type entry struct {
		Name           string
		Mode, UID, GID int64
		Time           string
	}
	var entries []entry
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry{h.Name, h.Mode, int64(h.Uid), int64(h.Gid), h.ModTime.UTC().Format("2006-01-02")})
		if h.Name == "pathgrant" {
			got, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if want, err := os.ReadFile(binaryPath); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the binary in the layer differs from the one given (%v)", err)
			}
		}
	}
	wantEntries := []entry{
		{"var/", 0o755, 0, 0, "2026-01-01"},
		{"var/lib/", 0o755, 0, 0, "2026-01-01"},
		{"var/lib/pathgrant/", 0o700, 65532, 65532, "2026-01-01"},
		{"pathgrant", 0o555, 0, 0, "2026-01-01"},
	}
	if diff := cmp.Diff(wantEntries, entries); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
}

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	binaryPath := tiny(t, elf.EM_AARCH64, false)
	var archives [2][]byte
	for i := range archives {
		out := filepath.Join(t.TempDir(), "image.tar")
		if err := run(arguments(binaryPath, out), io.Discard); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		archives[i] = content
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of one binary differ")
	}
}

func TestWhatCouldNotStartIsRefusedAndLeavesNoFile(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	static := tiny(t, elf.EM_AARCH64, false)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a dynamic binary":       {[]string{"-binary", tiny(t, elf.EM_X86_64, true), "-arch", "amd64"}, "dynamically linked"},
		"another machine":        {[]string{"-binary", static, "-arch", "amd64"}, "built for EM_AARCH64"},
		"an unknown machine":     {[]string{"-binary", static, "-arch", "pdp11"}, "neither amd64 nor arm64"},
		"a script":               {[]string{"-binary", script, "-arch", "amd64"}, "not a linux binary"},
		"no binary":              {nil, "-binary: open"},
		"a port without a kind":  {[]string{"-binary", static, "-arch", "arm64", "-port", "9191"}, "is not a number and tcp or udp"},
		"a label without a sign": {[]string{"-binary", static, "-label", "version"}, "is not key=value"},
		"an empty tag":           {[]string{"-binary", static, "-arch", "arm64", "-tag", ""}, "-tag: required"},
		"an argument too many":   {[]string{"-binary", static, "-arch", "arm64", "more"}, `unexpected argument "more"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := run(append([]string{"-out", filepath.Join(dir, "image.tar")}, test.args...), io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

// unpack writes the files of an archive below dir and returns their names.
func unpack(t *testing.T, path, dir string) []string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var names []string
	for r := tar.NewReader(file); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}
