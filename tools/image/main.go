// Command image writes a container image of the pathgrant binary as a tar archive,
// without a container engine and from no base image.
//
// The archive is an OCI image layout that also carries the manifest.json of the older
// docker-archive format, so that docker, podman, containerd and skopeo all load it.
// Nothing in it depends on when or where it was made: the same binary and flags give
// the same bytes.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// run reads the flags, builds the image and writes the archive.
func run(args []string, stderr io.Writer) error {
	var (
		spec Spec
		out  string
	)
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&spec.Binary, "binary", "", "the static linux binary to put at /pathgrant")
	flags.StringVar(&out, "out", "", "the archive to write")
	flags.StringVar(&spec.Architecture, "arch", runtime.GOARCH, "the binary's architecture, amd64 or arm64")
	flags.StringVar(&spec.Tag, "tag", "pathgrant:latest", "the name the image is loaded under")
	flags.Func("port", "a port to declare, such as 9191/tcp; may be repeated", func(s string) error {
		spec.Ports = append(spec.Ports, s)
		return nil
	})
	flags.Func("label", "a label, key=value; may be repeated", func(s string) error {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return fmt.Errorf("%q is not key=value", s)
		}
		if spec.Labels == nil {
			spec.Labels = make(map[string]string)
		}
		spec.Labels[key] = value
		return nil
	})
	spec.Created = time.Unix(0, 0).UTC()
	flags.Func("created", "the time of everything in the image, in Unix seconds (default 0)", func(s string) error {
		seconds, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return err
		}
		spec.Created = time.Unix(seconds, 0).UTC()
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if out == "" {
		return fmt.Errorf("-out: required")
	}

	img, err := Build(spec)
	if err != nil {
		return err
	}
	return WriteArchive(out, spec.Tag, img)
}
