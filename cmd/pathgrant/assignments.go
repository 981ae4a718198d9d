package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// shownAssignment is a role assignment as it is printed, in the names of the Power Platform
// API.
type shownAssignment struct {
	RoleAssignmentID   string     `json:"roleAssignmentId"`
	PrincipalType      string     `json:"principalType"`
	PrincipalObjectID  string     `json:"principalObjectId"`
	RoleDefinitionID   string     `json:"roleDefinitionId"`
	RoleDefinitionName string     `json:"roleDefinitionName"`
	Scope              string     `json:"scope"`
	Effect             string     `json:"effect"`
	ExpiresOn          *time.Time `json:"expiresOn,omitempty"`
	CreatedOn          *time.Time `json:"createdOn,omitempty"`
	CreatedByType      string     `json:"createdByPrincipalType,omitempty"`
	CreatedBy          string     `json:"createdByPrincipalObjectId,omitempty"`
}

func assignmentShown(a *pathgrantv1.RoleAssignment) shownAssignment {
	return shownAssignment{
		RoleAssignmentID:   a.GetId(),
		PrincipalType:      principalTypeName(a.GetPrincipal().GetType()),
		PrincipalObjectID:  a.GetPrincipal().GetId(),
		RoleDefinitionID:   a.GetRoleDefinitionId(),
		RoleDefinitionName: a.GetRoleDefinitionName(),
		Scope:              a.GetScope(),
		Effect:             strings.TrimPrefix(a.GetEffect().String(), "ASSIGNMENT_EFFECT_"),
		ExpiresOn:          timeShown(a.GetExpiresTime()),
		CreatedOn:          timeShown(a.GetCreateTime()),
		CreatedByType:      principalTypeName(a.GetCreatedBy().GetType()),
		CreatedBy:          a.GetCreatedBy().GetId(),
	}
}

func timeShown(at *timestamppb.Timestamp) *time.Time {
	if at == nil {
		return nil
	}
	t := at.AsTime()
	return &t
}

func revisionShown(r *pathgrantv1.Revision) authz.Revision {
	return authz.Revision{Epoch: r.GetEpoch(), Number: r.GetNumber()}
}

func (a shownAssignment) columns() string {
	expires := "-"
	if a.ExpiresOn != nil {
		expires = a.ExpiresOn.Format(time.RFC3339)
	}
	return strings.Join([]string{a.RoleAssignmentID, a.Effect, a.PrincipalType, a.PrincipalObjectID, a.RoleDefinitionName, a.Scope, expires}, "\t")
}

const assignmentColumns = "ID\tEFFECT\tTYPE\tPRINCIPAL\tROLE\tSCOPE\tEXPIRES"

// changedAssignment is what a change of an assignment prints.
type changedAssignment struct {
	RoleAssignment shownAssignment `json:"roleAssignment"`
	Revision       authz.Revision  `json:"revision"`
}

func (c changedAssignment) print(w io.Writer, output, done string) error {
	if output == "json" {
		return printJSON(w, c)
	}
	a := c.RoleAssignment
	fmt.Fprintf(w, "%s %s: %s of %q to %s %s at %s", done, a.RoleAssignmentID, a.Effect, a.RoleDefinitionName, a.PrincipalType, a.PrincipalObjectID, a.Scope)
	if a.ExpiresOn != nil {
		fmt.Fprintf(w, " until %s", a.ExpiresOn.Format(time.RFC3339))
	}
	fmt.Fprintf(w, ", revision %d.%d\n", c.Revision.Epoch, c.Revision.Number)
	return nil
}

// printTable prints rows of columns that are parted by tabs.
func printTable(w io.Writer, head string, rows []string) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range append([]string{head}, rows...) {
		fmt.Fprintln(table, row)
	}
	return table.Flush()
}

func assignmentsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "assignments",
		Short: "List, create and delete role assignments of a running server",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(assignmentsListCommand(), assignmentsCreateCommand(), assignmentsDeleteCommand(), applyAdminRoleCommand())
	return cmd
}

func assignmentsListCommand() *cobra.Command {
	var (
		client  adminClient
		who     principalFlags
		request pathgrantv1.ListRoleAssignmentsRequest
		output  string
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List role assignments",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			var err error
			if request.Principal, err = who.read(); err != nil {
				return err
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				shown, revision, err := listAssignments(ctx, &client, conn, &request)
				if err != nil {
					return err
				}
				if output == "json" {
					return printJSON(cmd.OutOrStdout(), struct {
						RoleAssignments []shownAssignment `json:"roleAssignments"`
						Revision        authz.Revision    `json:"revision"`
					}{shown, revision})
				}
				var rows []string
				for _, a := range shown {
					rows = append(rows, a.columns())
				}
				return printTable(cmd.OutOrStdout(), assignmentColumns, rows)
			})
		},
	}
	client.readerFlags(cmd)
	who.flags(cmd, false)
	f := cmd.Flags()
	f.StringVar(&request.Tenant, "tenant", "", "the tenant (default the caller's own)")
	f.StringVar(&request.Scope, "scope", "", "the scope (default the tenant)")
	f.BoolVar(&request.IncludeParentScopes, "parents", false, "also those at the scopes that it inherits from")
	f.BoolVar(&request.IncludeNestedScopes, "nested", false, "also those at the scopes below it")
	f.BoolVar(&request.ExpandGroups, "expand-groups", false, "also those of the groups that the principal belongs to")
	f.StringVar(&request.Permission, "permission", "", "only those whose role grants this permission")
	outputFlag(cmd, &output)
	return cmd
}

// listAssignments reads all pages.
func listAssignments(ctx context.Context, client *adminClient, conn *grpc.ClientConn, request *pathgrantv1.ListRoleAssignmentsRequest) ([]shownAssignment, authz.Revision, error) {
	service := pathgrantv1.NewRoleAssignmentServiceClient(conn)
	request.PageSize = 1000
	shown := []shownAssignment{}
	for {
		page, err := call(ctx, client, service.ListRoleAssignments, request)
		if err != nil {
			return nil, authz.Revision{}, err
		}
		for _, a := range page.GetRoleAssignments() {
			shown = append(shown, assignmentShown(a))
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return shown, revisionShown(page.GetRevision()), nil
		}
	}
}

func assignmentsCreateCommand() *cobra.Command {
	var (
		client                  adminClient
		who                     principalFlags
		change                  changeFlags
		role, scope             string
		effect, expires, output string
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Give a role to somebody at a scope",
		Long: `Give a role to somebody at a scope. When the command returns, it is in force: the next
check sees it.`,
		Example: `  pathgrant assignments create --user ada --role "Power Platform Reader" --scope /tenants/t1/environments/e1
  pathgrant assignments create --group makers --role "Power Platform Contributor" --scope /tenants/t1 --expires 8h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			principal, err := who.must("--user, --app, --group, or --principal-type and --principal")
			if err != nil {
				return err
			}
			request := &pathgrantv1.CreateRoleAssignmentRequest{Context: change.context(), Principal: principal, Role: role, Scope: scope}
			if role == "" || scope == "" {
				return usagef("--role and --scope are needed")
			}
			value, ok := pathgrantv1.AssignmentEffect_value["ASSIGNMENT_EFFECT_"+strings.ToUpper(effect)]
			if !ok || value == 0 {
				return usagef("--effect %s: want ALLOW, DENY or FORBID", effect)
			}
			request.Effect = pathgrantv1.AssignmentEffect(value)
			if request.ExpiresTime, err = readExpiry(expires, time.Now()); err != nil {
				return err
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				made, err := call(ctx, &client, pathgrantv1.NewRoleAssignmentServiceClient(conn).CreateRoleAssignment, request)
				if err != nil {
					return err
				}
				return changedAssignment{assignmentShown(made.GetRoleAssignment()), revisionShown(made.GetRevision())}.print(cmd.OutOrStdout(), output, "created")
			})
		},
	}
	client.flags(cmd)
	who.flags(cmd, false)
	change.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&role, "role", "", "the role, by `id or name`")
	f.StringVar(&scope, "scope", "", "where, such as /tenants/{tenant}/environments/{environment}")
	f.StringVar(&effect, "effect", "ALLOW", "ALLOW, DENY (an override) or FORBID (a guardrail)")
	f.StringVar(&expires, "expires", "", "until when: a `time` such as 2027-01-01T00:00:00Z, or a duration from now such as 8h (default for good)")
	_ = cmd.RegisterFlagCompletionFunc("effect", cobra.FixedCompletions([]string{"ALLOW", "DENY", "FORBID"}, cobra.ShellCompDirectiveNoFileComp))
	outputFlag(cmd, &output)
	return cmd
}

// readExpiry reads a time, or a duration from now.
func readExpiry(text string, now time.Time) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d <= 0 {
			return nil, usagef("--expires %s: it has passed", text)
		}
		return timestamppb.New(now.Add(d)), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, usagef("--expires %s: want a time such as 2027-01-01T00:00:00Z, or a duration such as 8h", text)
	}
	return timestamppb.New(at), nil
}

func assignmentsDeleteCommand() *cobra.Command {
	var (
		client adminClient
		change changeFlags
		output string
	)
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Take a role away",
		Long: `Delete a role assignment. When the command returns, it is gone: the next check is
refused.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				made, err := call(ctx, &client, pathgrantv1.NewRoleAssignmentServiceClient(conn).DeleteRoleAssignment,
					&pathgrantv1.DeleteRoleAssignmentRequest{Context: change.context(), Id: args[0]})
				if err != nil {
					return err
				}
				return changedAssignment{assignmentShown(made.GetRoleAssignment()), revisionShown(made.GetRevision())}.print(cmd.OutOrStdout(), output, "deleted")
			})
		},
	}
	client.flags(cmd)
	change.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func applyAdminRoleCommand() *cobra.Command {
	var (
		client adminClient
		change changeFlags
		output string
	)
	cmd := &cobra.Command{
		Use:   "apply-admin-role ENVIRONMENT",
		Short: "Become System Administrator of an environment, as a tenant administrator may",
		Long: `Become System Administrator of an environment with a database, and a user of it. Only a
Power Platform, Dynamics 365 or Global Administrator may, whose token names that directory
role, and who holds UserManagement.Users.Apply there. The change audit has both roles.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				made, err := call(ctx, &client, pathgrantv1.NewRoleAssignmentServiceClient(conn).ApplyAdminRole,
					&pathgrantv1.ApplyAdminRoleRequest{Context: change.context(), Environment: args[0]})
				if err != nil {
					return err
				}
				return changedAssignment{assignmentShown(made.GetRoleAssignment()), revisionShown(made.GetRevision())}.print(cmd.OutOrStdout(), output, "holds")
			})
		},
	}
	client.flags(cmd)
	change.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}
