package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// WriteArchive writes the image to a tar archive at path, whole or not at all.
func WriteArchive(path, tag string, img v1.Image) (err error) {
	if tag == "" {
		return errors.New("-tag: required")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write the archive: %w", err), os.Remove(file.Name()))
		}
	}()
	if err := writeTar(file, tag, img); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Chmod(0o644); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// writeTar writes an OCI image layout and, beside it, the manifest.json of a
// docker-archive that points at the same blobs.
func writeTar(out io.Writer, tag string, img v1.Image) error {
	manifest, err := img.RawManifest()
	if err != nil {
		return err
	}
	manifestDigest, err := img.Digest()
	if err != nil {
		return err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	configDigest, err := img.ConfigName()
	if err != nil {
		return err
	}
	configFile, err := img.ConfigFile()
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}

	a := archive{w: tar.NewWriter(out), time: configFile.Created.Time}
	a.add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	a.addJSON("index.json", v1.IndexManifest{
		SchemaVersion: 2,
		MediaType:     types.OCIImageIndex,
		Manifests: []v1.Descriptor{{
			MediaType: types.OCIManifestSchema1,
			Size:      int64(len(manifest)),
			Digest:    manifestDigest,
			Platform:  &v1.Platform{OS: configFile.OS, Architecture: configFile.Architecture},
			Annotations: map[string]string{
				"org.opencontainers.image.ref.name": tag,
				"io.containerd.image.name":          tag,
			},
		}},
	})
	a.add(blobPath(manifestDigest), manifest)
	a.add(blobPath(configDigest), config)
	docker := dockerManifest{Config: blobPath(configDigest), RepoTags: []string{tag}}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		content, err := compressed(layer)
		if err != nil {
			return err
		}
		a.add(blobPath(digest), content)
		docker.Layers = append(docker.Layers, blobPath(digest))
	}
	a.addJSON("manifest.json", []dockerManifest{docker})
	if a.err != nil {
		return a.err
	}
	return a.w.Close()
}

// dockerManifest is an entry of manifest.json in a docker-archive.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func blobPath(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

func compressed(layer v1.Layer) ([]byte, error) {
	r, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

// archive writes files of one fixed time, and keeps the first error.
type archive struct {
	w    *tar.Writer
	time time.Time
	err  error
}

func (a *archive) add(name string, content []byte) {
	if a.err != nil {
		return
	}
	a.err = a.w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)),
		ModTime: a.time, Format: tar.FormatUSTAR,
	})
	if a.err == nil {
		_, a.err = a.w.Write(content)
	}
}

func (a *archive) addJSON(name string, value any) {
	content, err := json.Marshal(value)
	if a.err == nil && err != nil {
		a.err = err
	}
	a.add(name, content)
}
