package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// defaultData is the data directory unless told otherwise.
const defaultData = "./pathgrant-data"

func warnings(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func importCommand() *cobra.Command {
	var (
		data, output string
		catalogues   []string
		dryRun       bool
		restore      bool
	)
	cmd := &cobra.Command{
		Use:   "import BUNDLE",
		Short: "Put a bundle in place of everything in a data directory, as one revision",
		Long: `Put a bundle in place of everything in a data directory, as one revision: the whole of
it or, if anything is wrong with it, nothing. A server must not be running on the
directory; give the server --bundle to have it follow a file.

With --restore it does not even read what the directory holds. That is for a directory
that another release wrote, or that does not fit the catalogue any more; the revisions
then begin anew, in a new epoch. A damaged directory needs no --restore.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := checkOutput(output); err != nil {
				return err
			}
			loaded, err := loadCatalogues(catalogues)
			if err != nil {
				return err
			}
			content, err := readBundle(loaded, args[0])
			if err != nil {
				return err
			}
			result := importResult{Bundle: args[0], Tenants: len(content.Tenants), Assignments: assignments(content)}
			if !dryRun {
				store, err := openStore(cmd.Context(), loaded, storeOptions{dir: data, restore: restore, log: warnings(cmd.ErrOrStderr())})
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, store.Close()) }()
				revision, err := store.Replace(cmd.Context(), content, snapshot.Change{Source: "import", Note: args[0]})
				if err != nil {
					return fmt.Errorf("import %s: %w", args[0], err)
				}
				result.Revision = &revision
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), result)
			}
			result.print(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", defaultData, "the data directory")
	cmd.Flags().StringArrayVar(&catalogues, "catalogue", nil, "a catalogue file in place of the shipped one")
	cmd.Flags().BoolVar(&restore, "restore", false, "do not read what the directory holds, and begin a new epoch")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check the bundle and change nothing")
	outputFlag(cmd, &output)
	return cmd
}

func exportCommand() *cobra.Command {
	var (
		data, file, output, out string
		catalogues              []string
	)
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write what a data directory or a bundle holds as a bundle, in canonical order",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := bundle.ParseFormat(output)
			if err != nil {
				return usagef("-o %s: want yaml or json", output)
			}
			loaded, err := loadCatalogues(catalogues)
			if err != nil {
				return err
			}
			content, err := exported(cmd.Context(), loaded, data, file, warnings(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if out == "" || out == "-" {
				return bundle.Write(cmd.OutOrStdout(), content, format)
			}
			return writeBundleFile(out, content, format)
		},
	}
	cmd.Flags().StringVar(&data, "data", defaultData, "the data directory")
	cmd.Flags().StringVar(&file, "bundle", "", "a bundle to write again, in place of a data directory")
	cmd.Flags().StringVarP(&output, "output", "o", "yaml", "the format: yaml or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"yaml", "json"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&out, "out", "-", "the file to write, or - for standard output")
	cmd.Flags().StringArrayVar(&catalogues, "catalogue", nil, "a catalogue file in place of the shipped one")
	cmd.MarkFlagsMutuallyExclusive("data", "bundle")
	return cmd
}

func exported(ctx context.Context, catalogues *naming.Catalogues, dir, file string, log *slog.Logger) (_ *snapshot.Data, err error) {
	if file != "" {
		return readBundle(catalogues, file)
	}
	store, err := openStore(ctx, catalogues, storeOptions{dir: dir, readOnly: true, log: log})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.Export(ctx)
}

// writeBundleFile writes beside the file and renames, so that whoever follows the file
// never sees half of it.
func writeBundleFile(file string, content *snapshot.Data, format bundle.Format) (err error) {
	temporary, err := os.OpenFile(file+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	err = bundle.Write(temporary, content, format)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return errors.Join(fmt.Errorf("--out: %w", err), os.Remove(temporary.Name()))
	}
	if err := os.Rename(temporary.Name(), file); err != nil {
		return errors.Join(fmt.Errorf("--out: %w", err), os.Remove(temporary.Name()))
	}
	return nil
}
