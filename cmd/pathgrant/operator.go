package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

func bootstrapCommand() *cobra.Command {
	var (
		client                        adminClient
		who                           principalFlags
		tenant, justification, output string
	)
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Give a tenant of an empty store its first administrator",
		Long: `Give a tenant its first administrator: Power Platform Role Based Access Control
Administrator, who can give all other roles. It works only as long as there is no role
assignment at all, and only for whoever can read the server's data directory, where the
operator's one-time secret is. With --bundle, a file is the record: put the assignment there.`,
		Example: `  pathgrant bootstrap --tenant t1 --user ada --data /var/lib/pathgrant
  ssh host cat /var/lib/pathgrant/operator-secret | pathgrant bootstrap --tenant t1 --user ada --secret-file -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			principal, err := who.must("--user or --app")
			if err != nil {
				return err
			}
			if tenant == "" {
				return usagef("--tenant is needed")
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				made, err := call(ctx, &client, pathgrantv1.NewOperatorServiceClient(conn).Bootstrap,
					&pathgrantv1.BootstrapRequest{Tenant: tenant, Principal: principal, Justification: justification})
				if err != nil {
					return err
				}
				return changedAssignment{assignmentShown(made.GetRoleAssignment()), revisionShown(made.GetRevision())}.print(cmd.OutOrStdout(), output, "created")
			})
		},
	}
	client.serverFlags(cmd, defaultAdminServer, "the `address` of the server's --admin-listen")
	client.secretFlags(cmd)
	who.flags(cmd, true)
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant")
	cmd.Flags().StringVar(&justification, "justification", "", "why, for the change audit")
	outputFlag(cmd, &output)
	return cmd
}

func breakGlassCommand() *cobra.Command {
	var (
		client                        adminClient
		who                           principalFlags
		duration                      time.Duration
		tenant, justification, output string
	)
	cmd := &cobra.Command{
		Use:   "break-glass",
		Short: "Make somebody administrator for a short time, when nobody else can help",
		Long: `Make somebody administrator of a tenant for a short time, past every guard, with the
operator's one-time secret. It is logged as an error, and shown by pathgrant status and the
metric pathgrant_break_glass_assignments until it ends.`,
		Example: `  pathgrant break-glass --tenant t1 --user ada --duration 30m --justification "INC-4711: nobody left who may assign roles"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			principal, err := who.must("--user or --app")
			if err != nil {
				return err
			}
			if tenant == "" || justification == "" {
				return usagef("--tenant and --justification are needed")
			}
			if duration <= 0 {
				return usagef("--duration %s: want a second at least", duration)
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				made, err := call(ctx, &client, pathgrantv1.NewOperatorServiceClient(conn).BreakGlass, &pathgrantv1.BreakGlassRequest{
					Tenant: tenant, Principal: principal, Duration: durationpb.New(duration), Justification: justification,
				})
				if err != nil {
					return err
				}
				return changedAssignment{assignmentShown(made.GetRoleAssignment()), revisionShown(made.GetRevision())}.print(cmd.OutOrStdout(), output, "created")
			})
		},
	}
	client.serverFlags(cmd, defaultAdminServer, "the `address` of the server's --admin-listen")
	client.secretFlags(cmd)
	who.flags(cmd, true)
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant")
	cmd.Flags().DurationVar(&duration, "duration", time.Hour, "for how long, at most 8h")
	cmd.Flags().StringVar(&justification, "justification", "", "why; it can't be empty")
	outputFlag(cmd, &output)
	return cmd
}
