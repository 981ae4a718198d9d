package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// onlineUsage says when a command asks a server.
const onlineUsage = "ask the server at this --admin-listen `address`, such as " + defaultAdminServer + ", instead of reading --data"

// intoFile writes beside a file and renames, so that the file is whole or as it was; - is
// standard output.
func intoFile(file string, stdout io.Writer, write func(io.Writer) error) (err error) {
	if file == "" || file == "-" {
		return write(stdout)
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	err = write(temporary)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	if err := os.Rename(temporary.Name(), file); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", file, err), os.Remove(temporary.Name()))
	}
	return nil
}

// transferred is what backup and restore print.
type transferred struct {
	File     string         `json:"file"`
	Revision authz.Revision `json:"revision"`
}

func (t transferred) print(w io.Writer, output, done string) error {
	if output == "json" {
		return printJSON(w, t)
	}
	fmt.Fprintf(w, "%s: %s, revision %d.%d\n", t.File, done, t.Revision.Epoch, t.Revision.Number)
	return nil
}

func backupCommand() *cobra.Command {
	var (
		client     adminClient
		files      modelFiles
		to, output string
	)
	cmd := &cobra.Command{
		Use:   "backup --to FILE",
		Short: "Copy everything, with the change audit, into one file",
		Long: `Copy everything, with the change audit, into one file that pathgrant restore reads: from a
running server with --admin-server, else from a data directory that no server uses. The
file is for this release and later ones; an export, which is a bundle without the audit, is
for any.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if to == "" || to == "-" {
				return usagef("--to is needed, and names a file")
			}
			result := transferred{File: to}
			err := intoFile(to, nil, func(w io.Writer) (err error) {
				if client.address == "" {
					result.Revision, err = backupHere(cmd, client.data, files, w)
					return err
				}
				return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
					result.Revision, err = receiveBackup(ctx, conn, w)
					return err
				})
			})
			if err != nil {
				return err
			}
			return result.print(cmd.OutOrStdout(), output, "backed up")
		},
	}
	client.serverFlags(cmd, "", onlineUsage)
	client.secretFlags(cmd)
	cmd.Flags().StringVar(&to, "to", "", "the `file` to write")
	files.flags(cmd, ", for --data")
	outputFlag(cmd, &output)
	return cmd
}

func backupHere(cmd *cobra.Command, data string, files modelFiles, w io.Writer) (_ authz.Revision, err error) {
	loaded, err := files.load()
	if err != nil {
		return authz.Revision{}, err
	}
	store, err := openStore(cmd.Context(), loaded, storeOptions{dir: data, readOnly: true, log: warnings(cmd.ErrOrStderr())})
	if err != nil {
		return authz.Revision{}, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.Backup(cmd.Context(), w, nil)
}

func receiveBackup(ctx context.Context, conn *grpc.ClientConn, w io.Writer) (revision authz.Revision, err error) {
	stream, err := pathgrantv1.NewSnapshotServiceClient(conn).BackupSnapshot(ctx, &pathgrantv1.BackupSnapshotRequest{})
	if err != nil {
		return revision, err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return revision, nil
		}
		if err != nil {
			return revision, err
		}
		if part.GetRevision() != nil {
			revision = revisionShown(part.GetRevision())
		}
		if _, err := w.Write(part.GetChunk()); err != nil {
			return revision, err
		}
	}
}

func restoreCommand() *cobra.Command {
	var (
		data, output string
		files        modelFiles
	)
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in place of everything in a data directory",
		Long: `Put a backup in place of everything in a data directory, with its change audit. A server
must not be running on the directory. The backup is verified whole before anything is
changed; what was there is set aside in quarantine/. Revisions begin anew, in a new epoch
that is above every earlier one, so that nobody takes the older data for newer.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := checkOutput(output); err != nil {
				return err
			}
			loaded, err := files.load()
			if err != nil {
				return err
			}
			recorder, err := newAdmin(loaded, nil, nil)
			if err != nil {
				return err
			}
			in, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			revision, err := snapshot.Restore(cmd.Context(), snapshotOptions(loaded, storeOptions{dir: data, log: warnings(cmd.ErrOrStderr())}),
				in, recorder.Delivered("restore"))
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return transferred{args[0], revision}.print(cmd.OutOrStdout(), output, "restored")
		},
	}
	cmd.Flags().StringVar(&data, "data", defaultData, "the data `directory`")
	files.flags(cmd, "")
	outputFlag(cmd, &output)
	return cmd
}

// onlineImport is what an import into a running server prints.
type onlineImport struct {
	Bundle   string          `json:"bundle"`
	Added    uint64          `json:"added"`
	Changed  uint64          `json:"changed"`
	Removed  uint64          `json:"removed"`
	Revision *authz.Revision `json:"revision,omitempty"`
}

func (r onlineImport) print(w io.Writer, output string) error {
	if output == "json" {
		return printJSON(w, r)
	}
	fmt.Fprintf(w, "%s: %d added, %d changed, %d removed", r.Bundle, r.Added, r.Changed, r.Removed)
	if r.Revision != nil {
		fmt.Fprintf(w, ", revision %d.%d\n", r.Revision.Epoch, r.Revision.Number)
	} else {
		fmt.Fprintln(w, ", not imported")
	}
	return nil
}

// importInto sends the file to the server, and prints what it says.
func importInto(cmd *cobra.Command, client *adminClient, file, justification, output string, dryRun bool) error {
	in, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read the bundle: %w", err)
	}
	defer in.Close()
	first := &pathgrantv1.ImportSnapshotRequest{
		Context: &pathgrantv1.ChangeContext{Justification: justification}, ValidateOnly: dryRun, Format: pathgrantv1.BundleFormat_BUNDLE_FORMAT_YAML,
	}
	if filepath.Ext(file) == ".json" {
		first.Format = pathgrantv1.BundleFormat_BUNDLE_FORMAT_JSON
	}
	return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
		done, err := importOnline(ctx, conn, in, first)
		if err != nil {
			return err
		}
		result := onlineImport{Bundle: file, Added: done.GetAdded(), Changed: done.GetChanged(), Removed: done.GetRemoved()}
		if !dryRun {
			revision := revisionShown(done.GetRevision())
			result.Revision = &revision
		}
		return result.print(cmd.OutOrStdout(), output)
	})
}

// importOnline sends a bundle to a server, which puts it in place of everything.
func importOnline(ctx context.Context, conn *grpc.ClientConn, in io.Reader, first *pathgrantv1.ImportSnapshotRequest) (*pathgrantv1.ImportSnapshotResponse, error) {
	stream, err := pathgrantv1.NewSnapshotServiceClient(conn).ImportSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, 256<<10)
	for request := first; ; request = new(pathgrantv1.ImportSnapshotRequest) {
		n, err := io.ReadFull(in, buffer)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		request.Chunk = append([]byte(nil), buffer[:n]...)
		// What is wrong when nobody reads any more, the answer says.
		if sendErr := stream.Send(request); sendErr != nil || err != nil {
			return stream.CloseAndRecv()
		}
	}
}

// exportFrom has a server export, and writes what it sends.
func exportFrom(cmd *cobra.Command, client *adminClient, tenant, out string, format bundle.Format) error {
	request := &pathgrantv1.ExportSnapshotRequest{Tenant: tenant, Format: pathgrantv1.BundleFormat_BUNDLE_FORMAT_YAML}
	if format == bundle.JSON {
		request.Format = pathgrantv1.BundleFormat_BUNDLE_FORMAT_JSON
	}
	return intoFile(out, cmd.OutOrStdout(), func(w io.Writer) error {
		return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
			return exportOnline(ctx, conn, request, w)
		})
	})
}

// exportOnline reads a bundle from a server.
func exportOnline(ctx context.Context, conn *grpc.ClientConn, request *pathgrantv1.ExportSnapshotRequest, w io.Writer) error {
	stream, err := pathgrantv1.NewSnapshotServiceClient(conn).ExportSnapshot(ctx, request)
	if err != nil {
		return err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(part.GetChunk()); err != nil {
			return err
		}
	}
}
