package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

func catalogueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalogue",
		Short: "Print or check a catalogue: what exists and how paths name it",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(catalogueShowCommand(), catalogueLintCommand())
	return cmd
}

// catalogueFiles is the flag or the argument that names a catalogue file.
func catalogueFiles(flag []string, args []string) []string { return append(flag, args...) }

func catalogueShowCommand() *cobra.Command {
	var (
		files  []string
		name   string
		output string
	)
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print a catalogue as YAML; with -o json, its permissions",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			loaded, err := loadGiven(catalogueFiles(files, args))
			if err != nil {
				return err
			}
			catalogue, err := catalogueNamed(loaded, name)
			if err != nil {
				return err
			}
			if output == "text" {
				_, err := cmd.OutOrStdout().Write(catalogue.Source())
				return err
			}
			type permission struct {
				Name        authz.Permission `json:"name"`
				DisplayName string           `json:"displayName,omitempty"`
				Description string           `json:"description,omitempty"`
			}
			listing := struct {
				Catalogue   string       `json:"catalogue"`
				Permissions []permission `json:"permissions"`
			}{Catalogue: catalogue.Name(), Permissions: []permission{}}
			for i := range loaded.Vocabulary().Len() {
				id := authz.PermissionID(i)
				displayName, description := catalogue.Describe(id)
				listing.Permissions = append(listing.Permissions, permission{loaded.Vocabulary().Name(id), displayName, description})
			}
			return printJSON(cmd.OutOrStdout(), listing)
		},
	}
	cmd.Flags().StringArrayVar(&files, "catalogue", nil, "a catalogue file in place of the shipped one")
	cmd.Flags().StringVar(&name, "name", "", "the catalogue of this name, as routes choose it, in place of the default")
	outputFlag(cmd, &output)
	return cmd
}

// catalogueNamed returns the catalogue of a name; the default one where none is given.
func catalogueNamed(loaded *naming.Catalogues, name string) (*naming.Catalogue, error) {
	if catalogue, ok := loaded.Named(name); ok {
		return catalogue, nil
	}
	var names []string
	for _, c := range loaded.All() {
		names = append(names, c.Name())
	}
	return nil, fmt.Errorf("--name %q: no catalogue of that name is loaded; there are %s", name, strings.Join(names, ", "))
}

func catalogueLintCommand() *cobra.Command {
	var (
		files  []string
		output string
	)
	cmd := &cobra.Command{
		Use:   "lint [FILE]",
		Short: "Check a catalogue: errors, permissions that no route reaches, paths that are guessed",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			loaded, err := loadGiven(catalogueFiles(files, args))
			if err != nil {
				return err
			}
			warnings := loaded.Default().Lint()
			if output == "json" {
				type printed struct {
					File    string `json:"file"`
					Line    int    `json:"line,omitempty"`
					Message string `json:"message"`
				}
				listing := struct {
					Catalogue string    `json:"catalogue"`
					Warnings  []printed `json:"warnings"`
				}{Catalogue: loaded.Default().Name(), Warnings: []printed{}}
				for _, warning := range warnings {
					listing.Warnings = append(listing.Warnings, printed(warning))
				}
				return printJSON(cmd.OutOrStdout(), listing)
			}
			for _, warning := range warnings {
				fmt.Fprintln(cmd.OutOrStdout(), warning)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: no errors, %d warnings\n", loaded.Default().Name(), len(warnings))
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&files, "catalogue", nil, "a catalogue file in place of the shipped one")
	outputFlag(cmd, &output)
	return cmd
}
