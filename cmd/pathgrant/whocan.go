package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

// shownPrincipal is a principal as it is printed.
type shownPrincipal struct {
	PrincipalType     string `json:"principalType"`
	PrincipalObjectID string `json:"principalObjectId"`
}

func principalShown(p *pathgrantv1.Principal) shownPrincipal {
	return shownPrincipal{principalTypeName(p.GetType()), p.GetId()}
}

// allowedPrincipal is somebody who can, as it is printed.
type allowedPrincipal struct {
	shownPrincipal
	// Members is KNOWN, PARTIAL or UNKNOWN.
	Members    string           `json:"members"`
	Reach      string           `json:"reach,omitempty"`
	Via        []shownPrincipal `json:"via"`
	Assignment *checkAssignment `json:"assignment"`
}

func allowedShown(p *pathgrantv1.AllowedPrincipal) allowedPrincipal {
	out := allowedPrincipal{
		shownPrincipal: principalShown(p.GetPrincipal()), Members: strings.TrimPrefix(p.GetMembers().String(), "KNOWLEDGE_"),
		Reach: p.GetReach(), Via: []shownPrincipal{}, Assignment: assignmentOf(p.GetAssignment()),
	}
	for _, via := range p.GetVia() {
		out.Via = append(out.Via, principalShown(via))
	}
	return out
}

// assignmentOf is a deciding assignment as it is printed; nil where there is none to show.
func assignmentOf(a *pathgrantv1.DecidingAssignment) *checkAssignment {
	if a == nil {
		return nil
	}
	return resultOf(&pathgrantv1.Decision{Assignment: a}).Assignment
}

// cells are an assignment's columns of a table: role, scope, holder, expiry, identifier.
func cells(a *checkAssignment) []string {
	if a == nil {
		return []string{"(not shown)", "-", "-", "-"}
	}
	expires := "-"
	if a.ExpiresOn != nil {
		expires = a.ExpiresOn.Format(time.RFC3339)
	}
	return []string{a.RoleDefinitionName, a.Scope, expires, a.RoleAssignmentID}
}

const assignmentCells = "ROLE\tASSIGNED AT\tEXPIRES\tASSIGNMENT"

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func (p allowedPrincipal) row() string {
	var via []string
	for _, g := range p.Via {
		via = append(via, g.PrincipalType+" "+g.PrincipalObjectID)
	}
	members := "-"
	switch p.Members {
	case "KNOWN":
	case "PARTIAL":
		members = "and whoever tokens name"
	default:
		members = "whoever tokens name"
	}
	return strings.Join(append([]string{p.PrincipalType, p.PrincipalObjectID, members, orDash(p.Reach), orDash(strings.Join(via, " > "))}, cells(p.Assignment)...), "\t")
}

func whoCanCommand() *cobra.Command {
	var (
		source  explainSource
		pages   pageFlags
		request pathgrantv1.WhoCanRequest
		output  string
	)
	cmd := &cobra.Command{
		Use:   "who-can PERMISSION",
		Short: "List who is allowed a permission at a scope, and through which assignment",
		Long: `List who is allowed a permission at a scope: everybody of whom the data says so, through
groups, teams and scopes above, each once, with the assignment that gives it. DENY,
FORBID, expiry and disabled principals count as in a check.

Of a directory role, and of a group that the data does not list in full, tokens say who
is meant: such are listed themselves, and say so. A privilege of a table, such as
Dataverse.Account.Read, is asked about at an environment; REACH says how far it goes.

Ask a running server, with the right to read role assignments at the scope, or a bundle
or a data directory offline.`,
		Example: `  pathgrant who-can PowerApps.Apps.Delete --bundle policy.yaml --tenant t1 --scope /tenants/t1/environments/e1
  pathgrant who-can Dataverse.Account.Read --scope /tenants/t1/environments/e1 --token-file token`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Permission = args[0]
			return listing[allowedPrincipal]{
				name: "principals", header: "TYPE\tPRINCIPAL\tMEMBERS\tREACH\tVIA\t", row: allowedPrincipal.row,
				page: func(ctx context.Context, asked explainer, size int32, token string) (all []allowedPrincipal, end answerEnd, err error) {
					request.PageSize, request.PageToken = size, token
					found, err := asked.WhoCan(ctx, &request)
					for _, p := range found.GetPrincipals() {
						all = append(all, allowedShown(p))
					}
					return all, answerEnd{found.GetNextPageToken(), found.GetChanged(), found.GetRevision()}, err
				},
			}.print(cmd, &source, &pages, output)
		},
	}
	source.flags(cmd)
	pages.flags(cmd)
	cmd.Flags().StringVar(&request.Tenant, "tenant", "", "the tenant (default the caller's own)")
	cmd.Flags().StringVar(&request.Scope, "scope", "", "the scope (default the tenant)")
	outputFlag(cmd, &output)
	return cmd
}
