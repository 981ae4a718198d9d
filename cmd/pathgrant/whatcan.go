package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// aboutFlags say whom a question is about.
type aboutFlags struct {
	tenant, user, app string
	groups, wids      []string
}

func (f *aboutFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "the tenant (default the caller's own)")
	cmd.Flags().StringVar(&f.user, "user", "", "a user, by object `id` (default, of a server, the caller)")
	cmd.Flags().StringVar(&f.app, "app", "", "a service principal, by enterprise object `id`")
	cmd.Flags().StringArrayVar(&f.groups, "group", nil, "a group that the token of --user or --app names (repeatable); alone: somebody of whom nothing else is known")
	cmd.Flags().StringArrayVar(&f.wids, "wid", nil, "a directory role, by template `id`, likewise (repeatable)")
}

// read returns whom the question is about; without a principal it is the caller.
func (f *aboutFlags) read() (*pathgrantv1.Subject, error) {
	about := &pathgrantv1.Subject{Tenant: f.tenant}
	set := func(t pathgrantv1.PrincipalType, id string) {
		about.Principal = &pathgrantv1.Principal{Type: t, Id: id}
	}
	switch {
	case f.user != "" && f.app != "":
		return nil, usagef("--user and --app: want one of them")
	case f.user != "":
		set(pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, f.user)
	case f.app != "":
		set(pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER, f.app)
	case len(f.groups)+len(f.wids) > 1:
		return nil, usagef("several groups and directory roles: whose? give --user or --app")
	case len(f.groups) == 1:
		set(pathgrantv1.PrincipalType_PRINCIPAL_TYPE_GROUP, f.groups[0])
		return about, nil
	case len(f.wids) == 1:
		set(pathgrantv1.PrincipalType_PRINCIPAL_TYPE_DIRECTORY_ROLE, f.wids[0])
		return about, nil
	}
	about.Groups, about.DirectoryRoles = f.groups, f.wids
	return about, nil
}

// allowedPermission is a permission that somebody has, as it is printed.
type allowedPermission struct {
	Permission string           `json:"permission"`
	Reach      string           `json:"reach,omitempty"`
	Assignment *checkAssignment `json:"assignment"`
}

func (p allowedPermission) row() string {
	return strings.Join(append([]string{p.Permission, orDash(p.Reach)}, cells(p.Assignment)...), "\t")
}

func whatCanCommand() *cobra.Command {
	var (
		source explainSource
		pages  pageFlags
		about  aboutFlags
		scope  string
		output string
	)
	cmd := &cobra.Command{
		Use:   "what-can",
		Short: "List what somebody is allowed at a scope, and through which assignment",
		Long: `List the permissions that somebody is allowed at a scope, with the assignment that gives
each; at an environment with a database, the privileges of its tables too, with how far
they reach.

Ask a running server, about yourself or, with the right to read role assignments at the
scope, about others; or a bundle or a data directory offline.`,
		Example: `  pathgrant what-can --bundle policy.yaml --tenant t1 --user ada --scope /tenants/t1/environments/e1
  pathgrant what-can --token-file token`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			subject, err := about.read()
			if err != nil {
				return err
			}
			return listing[allowedPermission]{
				name: "permissions", header: "PERMISSION\tREACH\t", row: allowedPermission.row,
				page: func(ctx context.Context, asked explainer, size int32, token string) (all []allowedPermission, end answerEnd, err error) {
					found, err := asked.WhatCan(ctx, &pathgrantv1.WhatCanRequest{Subject: subject, Scope: scope, PageSize: size, PageToken: token})
					for _, p := range found.GetPermissions() {
						all = append(all, allowedPermission{p.GetPermission(), p.GetReach(), assignmentOf(p.GetAssignment())})
					}
					return all, answerEnd{found.GetNextPageToken(), found.GetChanged(), found.GetRevision()}, err
				},
			}.print(cmd, &source, &pages, output)
		},
	}
	source.flags(cmd)
	pages.flags(cmd)
	about.flags(cmd)
	cmd.Flags().StringVar(&scope, "scope", "", "the scope (default the tenant)")
	outputFlag(cmd, &output)
	return cmd
}
