package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// defaultData is the data directory unless told otherwise.
const defaultData = "./pathgrant-data"

func warnings(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func importCommand() *cobra.Command {
	var (
		output, justification string
		files                 modelFiles
		dryRun                bool
		restore               bool
		client                adminClient
	)
	cmd := &cobra.Command{
		Use:   "import BUNDLE",
		Short: "Put a bundle in place of everything in a data directory, as one revision",
		Long: `Put a bundle in place of everything in a data directory, as one revision: the whole of
it or, if anything is wrong with it, nothing. A server must not be running on the
directory; give the server --bundle to have it follow a file.

With --restore it does not even read what the directory holds. That is for a directory
that another release wrote, or that does not fit the catalogue any more; the revisions
then begin anew, in a new epoch. A damaged directory needs no --restore.

A bundle in JSON may be of any size: from 32 MiB on its role assignments are read one by
one and sorted in temporary files in the data directory, which needs room for about three
times what the new data takes there. A bundle in YAML may have 128 MiB.

With --admin-server the bundle is sent to a running server instead, which must be its own
record and refuses what would leave a tenant without an administrator; --data is then where
the operator's secret is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := checkOutput(output); err != nil {
				return err
			}
			if client.address != "" {
				if restore || files.given() != "" {
					return usagef("--restore, --catalogue and --role-pack are for a data directory, not for a server")
				}
				return importInto(cmd, &client, args[0], justification, output, dryRun)
			}
			if justification != "" {
				return usagef("--justification goes with --admin-server")
			}
			loaded, err := files.load()
			if err != nil {
				return err
			}
			in := importing{file: args[0], data: client.data, restore: restore, dryRun: dryRun, model: loaded, stderr: cmd.ErrOrStderr()}
			result, err := in.run(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), result)
			}
			result.print(cmd.OutOrStdout())
			return nil
		},
	}
	client.serverFlags(cmd, "", onlineUsage)
	client.secretFlags(cmd)
	cmd.Flags().StringVar(&justification, "justification", "", "why, for the change audit, with --admin-server")
	files.flags(cmd, "")
	cmd.Flags().BoolVar(&restore, "restore", false, "do not read what the directory holds, and begin a new epoch")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check the bundle and change nothing")
	outputFlag(cmd, &output)
	return cmd
}

// largeBundle is the size in bytes from which on a bundle is not held in memory. Only a test
// changes it, so as not to need one of that size.
var largeBundle int64 = 32 << 20

// importing is one run of the import command.
type importing struct {
	file, data      string
	restore, dryRun bool
	model           *model
	stderr          io.Writer
}

func (in *importing) run(ctx context.Context) (*importResult, error) {
	large, err := bundle.IsLarge(in.file, largeBundle)
	if err != nil {
		return nil, err
	}
	if large {
		return in.large(ctx)
	}
	content, err := readBundle(in.model, in.file)
	if err != nil {
		return nil, err
	}
	result := &importResult{Bundle: in.file, Tenants: len(content.Tenants), Assignments: assignments(content)}
	if in.dryRun {
		return result, nil
	}
	return result, in.store(ctx, result, func(s *snapshot.Store, change snapshot.Change) (authz.Revision, error) {
		return s.Replace(ctx, content, change)
	})
}

// large imports a bundle that is not held in memory.
func (in *importing) large(ctx context.Context) (_ *importResult, err error) {
	shown := newProgress(in.stderr)
	defer shown.end()
	file, err := bundle.Open(in.file, bundleOptions(in.model), shown.show)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	result := &importResult{Bundle: in.file, Tenants: file.Tenants()}
	if in.dryRun {
		err = file.Check(ctx, os.TempDir())
	} else {
		err = in.store(ctx, result, func(s *snapshot.Store, change snapshot.Change) (authz.Revision, error) {
			return file.Deliver(ctx, s, change)
		})
	}
	result.Assignments = file.Assignments()
	return result, err
}

// store opens the data directory and puts in what deliver delivers.
func (in *importing) store(ctx context.Context, result *importResult, deliver func(*snapshot.Store, snapshot.Change) (authz.Revision, error)) (err error) {
	store, err := openStore(ctx, in.model, storeOptions{dir: in.data, restore: in.restore, log: warnings(in.stderr)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	recorder, err := newAdmin(in.model, store, nil)
	if err != nil {
		return err
	}
	revision, err := deliver(store, snapshot.Change{Source: "import", Note: in.file, Record: recorder.Delivered("import")})
	if err != nil {
		return fmt.Errorf("import %s: %w", in.file, err)
	}
	result.Revision = &revision
	return nil
}

func exportCommand() *cobra.Command {
	var (
		file, output, out, tenant string
		files                     modelFiles
		client                    adminClient
	)
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write what a data directory or a bundle holds as a bundle, in canonical order",
		Long: `Write what a data directory or a bundle holds as a bundle, in canonical order: the same
data always make the same bytes. More than fits into memory is sorted in temporary files
beside the file of --out, or else in the directory of temporary files (TMPDIR).

With --admin-server a running server is asked instead; --data is then where the operator's
secret is.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := bundle.ParseFormat(output)
			if err != nil {
				return usagef("-o %s: want yaml or json", output)
			}
			if client.address != "" {
				if file != "" || files.given() != "" {
					return usagef("--bundle, --catalogue and --role-pack do not go with --admin-server")
				}
				return exportFrom(cmd, &client, tenant, out, format)
			}
			if tenant != "" {
				return usagef("--tenant goes with --admin-server")
			}
			loaded, err := files.load()
			if err != nil {
				return err
			}
			return exporting{loaded, client.data, file, out, format, warnings(cmd.ErrOrStderr())}.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	client.serverFlags(cmd, "", onlineUsage)
	client.secretFlags(cmd)
	cmd.Flags().StringVar(&tenant, "tenant", "", "only this tenant, with --admin-server")
	cmd.Flags().StringVar(&file, "bundle", "", "a bundle to write again, in place of a data directory")
	cmd.Flags().StringVarP(&output, "output", "o", "yaml", "the format: yaml or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"yaml", "json"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&out, "out", "-", "the file to write, or - for standard output")
	files.flags(cmd, "")
	cmd.MarkFlagsMutuallyExclusive("data", "bundle")
	return cmd
}

// exporting is one run of the export command.
type exporting struct {
	model           *model
	data, file, out string
	format          bundle.Format
	log             *slog.Logger
}

func (ex exporting) run(ctx context.Context, stdout io.Writer) (err error) {
	if ex.file != "" {
		content, err := readBundle(ex.model, ex.file)
		if err != nil {
			return err
		}
		return ex.write(stdout, func(w io.Writer) error { return bundle.Write(w, content, ex.format) })
	}
	store, err := openStore(ctx, ex.model, storeOptions{dir: ex.data, readOnly: true, log: ex.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.ExportEach(ctx, ex.temporary(), func(from *snapshot.Export) error {
		return ex.write(stdout, func(w io.Writer) error { return bundle.WriteExport(w, from, ex.format) })
	})
}

// temporary is where there is room for temporary files: beside the file that is written.
func (ex exporting) temporary() string {
	if ex.out == "" || ex.out == "-" {
		return os.TempDir()
	}
	return filepath.Dir(ex.out)
}

// write writes to standard output or the file. The file is written beside it and renamed,
// so that whoever follows it never sees half of it.
func (ex exporting) write(stdout io.Writer, write func(io.Writer) error) (err error) {
	if ex.out == "" || ex.out == "-" {
		return write(stdout)
	}
	temporary, err := os.OpenFile(ex.out+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	err = write(temporary)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return errors.Join(fmt.Errorf("--out: %w", err), os.Remove(temporary.Name()))
	}
	if err := os.Rename(temporary.Name(), ex.out); err != nil {
		return errors.Join(fmt.Errorf("--out: %w", err), os.Remove(temporary.Name()))
	}
	return nil
}
