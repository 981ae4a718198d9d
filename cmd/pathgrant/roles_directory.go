package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pathgrant/pathgrant/internal/bundle"
	"github.com/pathgrant/pathgrant/internal/roles"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func rolesDirectoryCommand() *cobra.Command {
	var (
		spec   roles.DirectorySpec
		file   string
		files  modelFiles
		output string
	)
	cmd := &cobra.Command{
		Use:   "directory --tenant T",
		Short: "Print the assignments that give Entra's tenant administrators what they have on the platform",
		Long: `Print, as a bundle, the assignments that give the directory roles of tenant administration
(Power Platform, Dynamics 365, Power Apps and Global Administrator) what they have on the
platform. Nothing is assigned to them before somebody imports it. A Dynamics 365
Administrator has more in environments with a database: name them, or give the tenant's
bundle, to which the assignments are then added, so that what is printed can be imported.`,
		Example: `  pathgrant roles directory --tenant 7f1d… --bundle bundle.yaml > with.yaml && pathgrant import with.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := bundle.ParseFormat(output)
			if err != nil {
				return usagef("-o %s: want yaml or json", output)
			}
			if spec.Tenant == "" {
				return usagef("--tenant is needed")
			}
			if file != "" && len(spec.Databases) > 0 {
				return usagef("--bundle says itself which environments have a database: leave out --database")
			}
			loaded, err := files.load()
			if err != nil {
				return err
			}
			data := &snapshot.Data{}
			if file != "" {
				if data, err = readBundle(loaded, file); err != nil {
					return err
				}
			}
			if err := addDirectory(data, spec, file, loaded.FoldCase()); err != nil {
				return err
			}
			return writeAll(cmd.OutOrStdout(), func(w io.Writer) error { return bundle.Write(w, data, format) })
		},
	}
	cmd.Flags().StringVar(&spec.Tenant, "tenant", "", "the `tenant`")
	cmd.Flags().StringVar(&spec.PowerAppsAdministrator, "power-apps-administrator", "", "the template `id` of the directory role Power Apps Administrator, which is not published (default: it is assigned nothing)")
	cmd.Flags().StringArrayVar(&spec.Databases, "database", nil, "an `environment` with a database (repeatable)")
	cmd.Flags().StringVar(&file, "bundle", "", "a bundle `file` that the assignments are added to")
	files.flags(cmd, ", which the bundle is for")
	cmd.Flags().StringVarP(&output, "output", "o", "yaml", "yaml or json")
	return cmd
}

func writeAll(w io.Writer, write func(io.Writer) error) error {
	if err := write(w); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}

// addDirectory adds to a tenant what its directory roles are to be assigned, as far as it is
// not there.
func addDirectory(data *snapshot.Data, spec roles.DirectorySpec, file string, foldCase bool) error {
	id := authz.CanonicalID(spec.Tenant, foldCase)
	at := slices.IndexFunc(data.Tenants, func(t snapshot.Tenant) bool { return t.ID == id })
	if at < 0 && file != "" {
		return fmt.Errorf("%s: the bundle has no tenant %q", file, spec.Tenant)
	}
	if at < 0 {
		at = len(data.Tenants)
		data.Tenants = append(data.Tenants, snapshot.Tenant{ID: id})
		for _, e := range spec.Databases {
			environment, err := authz.CanonicalPathID(e, foldCase)
			if err != nil {
				return usagef("--database %s: %v", e, err)
			}
			data.Tenants[at].Environments = append(data.Tenants[at].Environments, snapshot.Environment{ID: environment, Dataverse: true})
		}
	}
	tenant := &data.Tenants[at]
	spec.Tenant, spec.Databases = id, nil
	for _, e := range tenant.Environments {
		if e.Dataverse {
			spec.Databases = append(spec.Databases, e.ID)
		}
	}
	slices.Sort(spec.Databases)
	proposed, err := roles.Directory(spec)
	if err != nil {
		return err
	}
	for _, p := range proposed {
		if slices.ContainsFunc(tenant.RoleAssignments, func(as snapshot.RoleAssignment) bool {
			return as.Principal == p.Principal && as.RoleDefinitionID == p.RoleID && strings.EqualFold(string(as.Scope), string(p.Scope))
		}) {
			continue
		}
		tenant.RoleAssignments = append(tenant.RoleAssignments, snapshot.RoleAssignment{
			ID: bundle.AssignmentID(tenant.ID, p.Principal, p.RoleID, p.Scope), Principal: p.Principal, RoleDefinitionID: p.RoleID,
			Scope: p.Scope, Effect: authz.AssignAllow,
		})
	}
	return nil
}
