package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// allowedScope is a scope at which somebody can, as it is printed.
type allowedScope struct {
	Scope      string           `json:"scope"`
	Reach      string           `json:"reach,omitempty"`
	Assignment *checkAssignment `json:"assignment"`
}

func (s allowedScope) row() string {
	return strings.Join(append([]string{s.Scope, orDash(s.Reach)}, cells(s.Assignment)...), "\t")
}

func whereCanCommand() *cobra.Command {
	var (
		source explainSource
		pages  pageFlags
		about  aboutFlags
		output string
	)
	cmd := &cobra.Command{
		Use:   "where-can PERMISSION",
		Short: "List the scopes at which somebody is allowed a permission",
		Long: `List the scopes at which somebody is allowed a permission, with the assignment that gives
it there: the tenant, its environment groups, its environments, and of business units
and resources those at which there is an assignment of its own or of its groups; all
others are as their environment is. Of a privilege of a table, the environments in which
it is held, and how far it reaches.

Ask a running server, about yourself or, with the right to read role assignments at the
tenant, about others; or a bundle or a data directory offline.`,
		Example: `  pathgrant where-can PowerApps.Apps.Delete --bundle policy.yaml --tenant t1 --user ada
  pathgrant where-can Dataverse.Account.Read --token-file token`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			subject, err := about.read()
			if err != nil {
				return err
			}
			return listing[allowedScope]{
				name: "scopes", header: "SCOPE\tREACH\t", row: allowedScope.row,
				page: func(ctx context.Context, asked explainer, size int32, token string) (all []allowedScope, end answerEnd, err error) {
					found, err := asked.WhereCan(ctx, &pathgrantv1.WhereCanRequest{Subject: subject, Permission: args[0], PageSize: size, PageToken: token})
					for _, s := range found.GetScopes() {
						all = append(all, allowedScope{s.GetScope(), s.GetReach(), assignmentOf(s.GetAssignment())})
					}
					return all, answerEnd{found.GetNextPageToken(), found.GetChanged(), found.GetRevision()}, err
				},
			}.print(cmd, &source, &pages, output)
		},
	}
	source.flags(cmd)
	pages.flags(cmd)
	about.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}
