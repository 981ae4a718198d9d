package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// shownRole is a role definition as it is printed, in the names of the Power Platform API.
type shownRole struct {
	RoleDefinitionID      string   `json:"roleDefinitionId"`
	RoleDefinitionName    string   `json:"roleDefinitionName"`
	Description           string   `json:"description"`
	BuiltIn               bool     `json:"builtIn"`
	Permissions           []string `json:"permissions"`
	PermissionsExceptions []string `json:"permissionsExceptions"`
	AssignableScopes      []string `json:"assignableScopes"`
	RestrictedScopes      []string `json:"restrictedScopes"`
	Etag                  string   `json:"etag,omitempty"`

	Category           string      `json:"category,omitempty"`
	Pack               string      `json:"pack,omitempty"`
	Aliases            []string    `json:"aliases,omitempty"`
	Environment        string      `json:"environment,omitempty"`
	BusinessUnit       string      `json:"businessUnit,omitempty"`
	Privileges         []string    `json:"privileges,omitempty"`
	TeamOnly           bool        `json:"teamOnly,omitempty"`
	EverySecuredColumn bool        `json:"everySecuredColumn,omitempty"`
	AssignableRoles    []string    `json:"assignableRoles,omitempty"`
	Terms              *shownTerms `json:"terms,omitempty"`
	CannotOpenApp      bool        `json:"cannotOpenApp,omitempty"`
	MissingToOpenApp   []string    `json:"missingToOpenApp,omitempty"`
}

// shownTerms say who may hold a predefined role.
type shownTerms struct {
	HeldBy          []string `json:"heldBy"`
	HeldByTeamNamed string   `json:"heldByTeamNamed,omitempty"`
	ComesBy         string   `json:"comesBy"`
	Database        string   `json:"database"`
	Companion       string   `json:"companion,omitempty"`
	Elevates        bool     `json:"elevates,omitempty"`
}

func roleShown(def *pathgrantv1.RoleDefinition) shownRole {
	list := func(items []string) []string { return append([]string{}, items...) }
	shown := shownRole{
		RoleDefinitionID: def.GetId(), RoleDefinitionName: def.GetName(), Description: def.GetDescription(), BuiltIn: def.GetBuiltIn(),
		Permissions: list(def.GetPermissions()), PermissionsExceptions: list(def.GetPermissionsExceptions()),
		AssignableScopes: list(def.GetAssignableScopes()), RestrictedScopes: list(def.GetRestrictedScopes()), Etag: def.GetEtag(),
		Category: def.GetCategory(), Pack: def.GetPack(), Aliases: def.GetAliases(), Environment: def.GetEnvironment(), BusinessUnit: def.GetBusinessUnit(),
		Privileges: def.GetPrivileges(), TeamOnly: def.GetTeamOnly(), EverySecuredColumn: def.GetEverySecuredColumn(),
		AssignableRoles: def.GetAssignableRoles(), CannotOpenApp: def.GetCannotOpenApp(), MissingToOpenApp: def.GetMissingToOpenApp(),
	}
	if terms := def.GetTerms(); terms != nil {
		shown.Terms = &shownTerms{
			HeldBy: list(terms.GetHeldBy()), HeldByTeamNamed: terms.GetHeldByTeamNamed(), ComesBy: terms.GetComesBy(),
			Database: terms.GetDatabase(), Companion: terms.GetCompanion(), Elevates: terms.GetElevates(),
		}
	}
	return shown
}

// kind says whose a role is.
func (r *shownRole) kind() string {
	switch {
	case r.BuiltIn && r.Category != "":
		return "predefined"
	case r.BuiltIn:
		return "built-in"
	}
	return "custom"
}

// category says what a role is of: of the platform, of a role pack, a security role of an
// environment, ….
func (r *shownRole) category() string {
	switch {
	case r.Environment != "":
		return "Dataverse, " + r.Environment
	case r.Pack != "":
		return r.Category + ", pack " + r.Pack
	case r.Category != "":
		return r.Category
	}
	return "-"
}

// lines are what is said of a role beyond what the Power Platform API says.
func (r *shownRole) lines() (labels []string, values [][]string) {
	add := func(label string, all ...string) { labels, values = append(labels, label), append(values, all) }
	when := func(yes bool, text string) string {
		if yes {
			return text
		}
		return ""
	}
	add("category", r.Category, when(r.Environment != "", authz.DataverseRoles))
	add("pack", r.Pack)
	add("also called", r.Aliases...)
	add("environment", r.Environment)
	add("unit", r.BusinessUnit)
	add("privilege", r.Privileges...)
	add("columns", when(r.EverySecuredColumn, "every secured column"))
	add("members", when(r.TeamOnly, "a team's members do not have its User reach as their own"))
	add("may assign", r.AssignableRoles...)
	if t := r.Terms; t != nil {
		held := strings.Join(t.HeldBy, ", ")
		if held == "" {
			held = "nobody"
		}
		if t.HeldByTeamNamed != "" {
			held += " named " + t.HeldByTeamNamed
		}
		add("held by", held)
		add("comes by", t.ComesBy)
		add("database", t.Database)
		add("brings", t.Companion)
		add("elevates", when(t.Elevates, "who holds it directly may become System Administrator"))
	}
	add("flag", when(r.CannotOpenApp, "cannot open an app: it lacks "+strings.Join(r.MissingToOpenApp, ", ")))
	return labels, values
}

func (r shownRole) print(w io.Writer) {
	kind := r.kind()
	if kind == "custom" && r.Environment == "" {
		kind = "custom (an extension of Pathgrant)"
	}
	for _, line := range []struct {
		label  string
		values []string
	}{
		{"id", []string{r.RoleDefinitionID}}, {"name", []string{r.RoleDefinitionName}}, {"description", []string{r.Description}}, {"kind", []string{kind}},
		{"permission", r.Permissions}, {"except", r.PermissionsExceptions}, {"assignable", r.AssignableScopes}, {"restricted", r.RestrictedScopes},
		{"etag", []string{r.Etag}},
	} {
		for _, value := range line.values {
			if value != "" {
				fmt.Fprintf(w, "%-12s %s\n", line.label, value)
			}
		}
	}
	labels, values := r.lines()
	for i, label := range labels {
		for _, value := range values[i] {
			if value != "" {
				fmt.Fprintf(w, "%-12s %s\n", label, value)
			}
		}
	}
}

// changedRole is what a change of a role prints.
type changedRole struct {
	RoleDefinition shownRole      `json:"roleDefinition"`
	Revision       authz.Revision `json:"revision"`
}

func (c changedRole) print(w io.Writer, output, done string) error {
	if output == "json" {
		return printJSON(w, c)
	}
	fmt.Fprintf(w, "%s %s: %q, revision %d.%d\n", done, c.RoleDefinition.RoleDefinitionID, c.RoleDefinition.RoleDefinitionName, c.Revision.Epoch, c.Revision.Number)
	return nil
}

func rolesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "roles",
		Short: "List roles of a running server; make, edit, copy and delete custom ones",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(rolesListCommand(), rolesShowCommand(), rolesCreateCommand(), rolesUpdateCommand(), rolesCopyCommand(), rolesDeleteCommand(), rolesDirectoryCommand())
	return cmd
}

func rolesListCommand() *cobra.Command {
	var (
		client         adminClient
		tenant, output string
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List built-in and custom roles",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				found, err := call(ctx, &client, pathgrantv1.NewRoleDefinitionServiceClient(conn).ListRoleDefinitions,
					&pathgrantv1.ListRoleDefinitionsRequest{Tenant: tenant})
				if err != nil {
					return err
				}
				listing := struct {
					RoleDefinitions []shownRole    `json:"roleDefinitions"`
					Revision        authz.Revision `json:"revision"`
				}{[]shownRole{}, revisionShown(found.GetRevision())}
				var rows []string
				for _, def := range found.GetRoleDefinitions() {
					shown := roleShown(def)
					listing.RoleDefinitions = append(listing.RoleDefinitions, shown)
					rows = append(rows, strings.Join([]string{shown.RoleDefinitionID, shown.category(), shown.kind(), shown.RoleDefinitionName}, "\t"))
				}
				if output == "json" {
					return printJSON(cmd.OutOrStdout(), listing)
				}
				return printTable(cmd.OutOrStdout(), "ID\tCATEGORY\tKIND\tNAME", rows)
			})
		},
	}
	client.readerFlags(cmd)
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant (default the caller's own)")
	outputFlag(cmd, &output)
	return cmd
}

// findRole asks for one role.
func findRole(ctx context.Context, client *adminClient, conn *grpc.ClientConn, tenant, idOrName string) (*pathgrantv1.RoleDefinition, error) {
	found, err := call(ctx, client, pathgrantv1.NewRoleDefinitionServiceClient(conn).GetRoleDefinition,
		&pathgrantv1.GetRoleDefinitionRequest{Tenant: tenant, IdOrName: idOrName})
	return found.GetRoleDefinition(), err
}

func rolesShowCommand() *cobra.Command {
	var (
		client         adminClient
		tenant, output string
	)
	cmd := &cobra.Command{
		Use:   "show ROLE",
		Short: "Show a role, by its id or name",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				def, err := findRole(ctx, &client, conn, tenant, args[0])
				if err != nil {
					return err
				}
				if output == "json" {
					return printJSON(cmd.OutOrStdout(), roleShown(def))
				}
				roleShown(def).print(cmd.OutOrStdout())
				return nil
			})
		},
	}
	client.readerFlags(cmd)
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant (default the caller's own)")
	outputFlag(cmd, &output)
	return cmd
}

// roleFlags describe a role.
type roleFlags struct {
	name, description                           string
	permissions, except, assignable, restricted []string
	environment, unit                           string
	privileges, mayAssign                       []string
	teamOnly                                    bool
}

func (f *roleFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "name", "", "what people call it")
	cmd.Flags().StringVar(&f.description, "description", "", "what it is for")
	cmd.Flags().StringArrayVar(&f.permissions, "permission", nil, "a `pattern` of what it grants, such as PowerAutomate.Flows.* (repeatable)")
	cmd.Flags().StringArrayVar(&f.except, "except", nil, "a `pattern` of what it leaves out (repeatable)")
	cmd.Flags().StringArrayVar(&f.assignable, "assignable-scope", []string{"/tenants/{0}"}, "a `template` of where it may be assigned, there and below (repeatable)")
	cmd.Flags().StringArrayVar(&f.restricted, "restricted-scope", nil, "a `template` of where it may not (repeatable)")
	cmd.Flags().StringArrayVar(&f.mayAssign, "assignable-role", nil, "a `role` that its right to assign roles covers, or {securityRoles} (repeatable; default all)")
	cmd.Flags().StringArrayVar(&f.privileges, "privilege", nil, "what a security role gives, such as Dataverse.Account.Read@User (repeatable)")
	cmd.Flags().StringVar(&f.unit, "business-unit", "", "the business unit that a security role belongs to (default the root)")
	cmd.Flags().BoolVar(&f.teamOnly, "team-only", false, "members of a team that holds the security role do not have its User reach as their own")
}

// into writes what was given into a role.
func (f *roleFlags) into(cmd *cobra.Command, def *pathgrantv1.RoleDefinition, all bool) {
	given := func(name string) bool { return all || cmd.Flags().Changed(name) }
	if given("name") {
		def.Name = f.name
	}
	if given("description") {
		def.Description = f.description
	}
	if given("permission") {
		def.Permissions = f.permissions
	}
	if given("except") {
		def.PermissionsExceptions = f.except
	}
	if security := def.GetEnvironment() != ""; given("assignable-scope") && (!security || cmd.Flags().Changed("assignable-scope")) {
		def.AssignableScopes = f.assignable
	}
	if given("assignable-role") {
		def.AssignableRoles = f.mayAssign
	}
	if given("privilege") {
		def.Privileges = f.privileges
	}
	if given("business-unit") {
		def.BusinessUnit = f.unit
	}
	if given("team-only") {
		def.TeamOnly = f.teamOnly
	}
	if given("restricted-scope") {
		def.RestrictedScopes = f.restricted
	}
}

func rolesCreateCommand() *cobra.Command {
	var (
		client adminClient
		change changeFlags
		role   roleFlags
		output string
		empty  bool
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a custom role",
		Long: `Make a custom role: one of the platform, which is an extension of Pathgrant, or with
--environment a security role of that environment, which has a database. A security role
begins with what it takes to open an app, unless privileges are given or --empty is.`,
		Example: `  pathgrant roles create --name "Flow Operator" --permission "PowerAutomate.Flows.*" --except PowerAutomate.Flows.Delete
  pathgrant roles create --name "Order Editor" --environment e1 --privilege Dataverse.Order.CRWD@User`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if role.name == "" || len(role.permissions) == 0 && role.environment == "" {
				return usagef("--name and --permission are needed; of a security role --environment in place of --permission")
			}
			def := &pathgrantv1.RoleDefinition{Environment: role.environment}
			role.into(cmd, def, true)
			return createRole(cmd, &client, &pathgrantv1.CreateRoleDefinitionRequest{Context: change.context(), RoleDefinition: def, Empty: empty}, output)
		},
	}
	client.flags(cmd)
	change.flags(cmd)
	role.flags(cmd)
	cmd.Flags().StringVar(&role.environment, "environment", "", "the environment whose security role it is to be")
	cmd.Flags().BoolVar(&empty, "empty", false, "begin a security role with no privileges")
	outputFlag(cmd, &output)
	return cmd
}

func createRole(cmd *cobra.Command, client *adminClient, request *pathgrantv1.CreateRoleDefinitionRequest, output string) error {
	return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
		made, err := call(ctx, client, pathgrantv1.NewRoleDefinitionServiceClient(conn).CreateRoleDefinition, request)
		if err != nil {
			return err
		}
		return changedRole{roleShown(made.GetRoleDefinition()), revisionShown(made.GetRevision())}.print(cmd.OutOrStdout(), output, "created")
	})
}

func rolesCopyCommand() *cobra.Command {
	var (
		client                                       adminClient
		change                                       changeFlags
		name, description, environment, unit, output string
	)
	cmd := &cobra.Command{
		Use:   "copy ROLE --name NAME",
		Short: "Make a custom role with what another one grants, and without who holds it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if name == "" {
				return usagef("--name is needed")
			}
			return createRole(cmd, &client, &pathgrantv1.CreateRoleDefinitionRequest{
				Context: change.context(), CopyOf: args[0], RoleDefinition: &pathgrantv1.RoleDefinition{
					Name: name, Description: description, Environment: environment, BusinessUnit: unit,
				},
			}, output)
		},
	}
	client.flags(cmd)
	change.flags(cmd)
	cmd.Flags().StringVar(&name, "name", "", "what people call the copy")
	cmd.Flags().StringVar(&environment, "environment", "", "the environment that the copy of a security role is to be of")
	cmd.Flags().StringVar(&unit, "business-unit", "", "the business unit that it is to belong to (default the root)")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	outputFlag(cmd, &output)
	return cmd
}

func rolesUpdateCommand() *cobra.Command {
	var (
		client          adminClient
		change          changeFlags
		role            roleFlags
		ifMatch, output string
	)
	cmd := &cobra.Command{
		Use:     "update ROLE",
		Aliases: []string{"edit"},
		Short:   "Edit a custom role: what is given replaces what it had",
		Long: `Edit a custom role, found by its id or name: what is given replaces what it had, the rest
stays. What its holders may do changes with it, in one revision. If somebody else edits
the role meanwhile, the edit is refused.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				def, err := roleToChange(ctx, &client, conn, change.tenant, args[0], &ifMatch)
				if err != nil {
					return err
				}
				role.into(cmd, def, false)
				made, err := call(ctx, &client, pathgrantv1.NewRoleDefinitionServiceClient(conn).UpdateRoleDefinition,
					&pathgrantv1.UpdateRoleDefinitionRequest{Context: change.context(), RoleDefinition: def, IfMatch: ifMatch})
				if err != nil {
					return err
				}
				return changedRole{roleShown(made.GetRoleDefinition()), revisionShown(made.GetRevision())}.print(cmd.OutOrStdout(), output, "updated")
			})
		},
	}
	client.flags(cmd)
	change.flags(cmd)
	role.flags(cmd)
	cmd.Flags().StringVar(&ifMatch, "if-match", "", "edit only this state of it, by its etag (default the one that the command reads)")
	outputFlag(cmd, &output)
	return cmd
}

// roleToChange finds a role by its id or name. Where no etag was given, the change is to
// hold for the state that is found.
func roleToChange(ctx context.Context, client *adminClient, conn *grpc.ClientConn, tenant, idOrName string, ifMatch *string) (*pathgrantv1.RoleDefinition, error) {
	def, err := findRole(ctx, client, conn, tenant, idOrName)
	if err == nil && *ifMatch == "" {
		*ifMatch = def.GetEtag()
	}
	return def, err
}

func rolesDeleteCommand() *cobra.Command {
	var (
		client          adminClient
		change          changeFlags
		ifMatch, output string
	)
	cmd := &cobra.Command{
		Use:   "delete ROLE",
		Short: "Delete a custom role that nobody holds",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				def, err := roleToChange(ctx, &client, conn, change.tenant, args[0], &ifMatch)
				if err != nil {
					return err
				}
				made, err := call(ctx, &client, pathgrantv1.NewRoleDefinitionServiceClient(conn).DeleteRoleDefinition,
					&pathgrantv1.DeleteRoleDefinitionRequest{Context: change.context(), Id: def.GetId(), IfMatch: ifMatch})
				if err != nil {
					return err
				}
				return changedRole{roleShown(def), revisionShown(made.GetRevision())}.print(cmd.OutOrStdout(), output, "deleted")
			})
		},
	}
	client.flags(cmd)
	change.flags(cmd)
	cmd.Flags().StringVar(&ifMatch, "if-match", "", "delete only this state of it, by its etag (default the one that the command reads)")
	outputFlag(cmd, &output)
	return cmd
}
