package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The account the container runs as: no name, no password, no home, not root. The
// number is the one that distroless images use for "nonroot".
const (
	uid  = 65532
	user = "65532:65532"
)

// workDir belongs to that account, so that the default --data of `pathgrant serve`,
// ./pathgrant-data, can be made there, and a volume mounted there starts writable.
const workDir = "/var/lib/pathgrant"

// A Spec says what goes into an image.
type Spec struct {
	Binary       string            // path of a static linux binary
	Architecture string            // amd64 or arm64; must be the binary's
	Tag          string            // name to load the image under
	Ports        []string          // such as 9191/tcp
	Labels       map[string]string // such as org.opencontainers.image.version
	Created      time.Time         // the time of everything in the image
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

var portFormat = regexp.MustCompile(`^[1-9][0-9]{0,4}/(tcp|udp)$`)

// Build makes the image: one layer with the binary and its working directory.
func Build(spec Spec) (v1.Image, error) {
	binary, err := os.ReadFile(spec.Binary)
	if err != nil {
		return nil, fmt.Errorf("-binary: %w", err)
	}
	if err := checkStatic(binary, spec.Architecture); err != nil {
		return nil, fmt.Errorf("-binary %s: %w", spec.Binary, err)
	}
	ports := make(map[string]struct{}, len(spec.Ports))
	for _, port := range spec.Ports {
		if !portFormat.MatchString(port) {
			return nil, fmt.Errorf("-port: %q is not a number and tcp or udp, such as 9191/tcp", port)
		}
		ports[port] = struct{}{}
	}

	content, err := layerTar(binary, spec.Created)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: spec.Created}, CreatedBy: "tools/image"},
	})
	if err != nil {
		return nil, fmt.Errorf("append the layer: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", spec.Architecture
	file.Created = v1.Time{Time: spec.Created}
	file.Config = v1.Config{
		User:         user,
		WorkingDir:   workDir,
		Entrypoint:   []string{"/pathgrant"},
		ExposedPorts: ports,
		Labels:       spec.Labels,
	}
	return mutate.ConfigFile(img, file)
}

// checkStatic refuses a binary that could not start in an image that holds nothing
// else: one for another machine, or one that asks for a dynamic loader.
func checkStatic(binary []byte, architecture string) error {
	want, ok := machines[architecture]
	if !ok {
		return fmt.Errorf("architecture %q is neither amd64 nor arm64", architecture)
	}
	file, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("not a linux binary: %w", err)
	}
	if file.Machine != want {
		return fmt.Errorf("built for %v, not for %s", file.Machine, architecture)
	}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return errors.New("dynamically linked: build it with CGO_ENABLED=0")
		}
	}
	return nil
}

// layerTar is the image's file system. Owners are numbers only, and every time is
// created.
func layerTar(binary []byte, created time.Time) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "var/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "var/lib/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "var/lib/pathgrant/", Mode: 0o700, Uid: uid, Gid: uid},
		// Root's, and not writable: a process that is taken over cannot change its own code.
		{Typeflag: tar.TypeReg, Name: "pathgrant", Mode: 0o555, Size: int64(len(binary))},
	} {
		h.ModTime, h.Format = created, tar.FormatUSTAR
		if err := w.WriteHeader(&h); err != nil {
			return nil, fmt.Errorf("layer: %s: %w", h.Name, err)
		}
	}
	if _, err := w.Write(binary); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return buf.Bytes(), nil
}
