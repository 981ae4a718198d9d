package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// checkRequest is a question as a line of input or the flags give it.
type checkRequest struct {
	Tenant        string   `json:"tenant"`
	User          string   `json:"user"`
	App           string   `json:"app"`
	Groups        []string `json:"groups"`
	Wids          []string `json:"wids"`
	GroupsUnknown bool     `json:"groupsUnknown"`
	Permission    string   `json:"permission"`
	Scope         string   `json:"scope"`
	Method        string   `json:"method"`
	Path          string   `json:"path"`
	Host          string   `json:"host"`
	Catalogue     string   `json:"catalogue"`

	// With a permission of a Dataverse table.
	Record     *recordRequest `json:"record"`
	Columns    []string       `json:"columns"`
	AllColumns bool           `json:"allColumns"`
	OnBehalfOf *checkCaller   `json:"onBehalfOf"`
	Relate     *relateRequest `json:"relate"`

	// With a request to Dataverse's Web API.
	Headers           map[string]string `json:"headers"`
	ContextExtensions map[string]string `json:"contextExtensions"`
}

// checkCaller is a caller as a line of input gives it.
type checkCaller struct {
	User          string   `json:"user"`
	App           string   `json:"app"`
	Groups        []string `json:"groups"`
	Wids          []string `json:"wids"`
	GroupsUnknown bool     `json:"groupsUnknown"`
}

// checkResult is the answer as it is printed. All keys but the detail are always there;
// revision 0.0 says that no snapshot was read.
type checkResult struct {
	Allowed     bool             `json:"allowed"`
	Reason      string           `json:"reason"`
	Permissions []string         `json:"permissions"`
	Scopes      []string         `json:"scopes"`
	Assignment  *checkAssignment `json:"assignment"`
	Revision    authz.Revision   `json:"revision"`
	DecisionID  string           `json:"decisionId"`
	Missing     []string         `json:"missing"`
	Detail      string           `json:"detail,omitempty"`
	Dataverse   *recordResult    `json:"dataverse,omitempty"`
}

// checkAssignment is the deciding assignment, in the field names of the Power Platform API.
type checkAssignment struct {
	RoleAssignmentID   string     `json:"roleAssignmentId"`
	PrincipalType      string     `json:"principalType"`
	PrincipalObjectID  string     `json:"principalObjectId"`
	RoleDefinitionID   string     `json:"roleDefinitionId"`
	RoleDefinitionName string     `json:"roleDefinitionName"`
	Scope              string     `json:"scope"`
	Effect             string     `json:"effect"`
	ExpiresOn          *time.Time `json:"expiresOn,omitempty"`
}

func checkCommand() *cobra.Command {
	var (
		from      checkSource
		r         checkRequest
		records   recordFlags
		composite compositeFlags
		atLeast   string
		output    string
	)
	cmd := &cobra.Command{
		Use:   "check [-]",
		Short: "Ask whether a caller may do something, and why",
		Long: `Ask a running server, or a bundle or data directory offline, whether a caller may do
something: by --permission and --scope, or by --method and --path.

A permission of a Dataverse table, Dataverse.{Table}.{Privilege}, is asked for at an
environment. What is known of the record goes with it: --record-owner and
--record-business-unit decide how far a role must reach, and --record finds the shares
that are stored. Without them the question is about the whole table.

With --composite run-only-flow --flow ID, or run-app --app-id ID, it asks whether the
caller may run what was shared with it, and shows every layer that this takes.

With - it reads one question a line from standard input, a JSON object with tenant,
user or app, groups, wids, and permission and scope (record, columns, allColumns,
onBehalfOf, relate), or method and path (host, catalogue, headers, contextExtensions),
and writes one answer a line.`,
		Example: `  pathgrant check --bundle policy.yaml --tenant t1 --user ada --method GET --path /powerapps/environments/e1/apps
  pathgrant check --server 127.0.0.1:9191 --tenant t1 --app sp1 --permission PowerApps.Apps.Read --scope /tenants/t1
  pathgrant check --bundle policy.yaml --tenant t1 --user ada --permission Dataverse.Account.Read --scope /tenants/t1/environments/e1 --record-owner User:bob
  pathgrant check --bundle policy.yaml --tenant t1 --user ada --composite run-only-flow --flow f1 --scope /tenants/t1/environments/e1 --fact licence=true`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "-" {
				return usagef("want - or nothing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := checkOutput(output); err != nil {
				return err
			}
			revision, err := parseRevision(atLeast)
			if err != nil {
				return err
			}
			if err := records.into(&r); err != nil {
				return usageError{err}
			}
			switch {
			case composite.name != "" && len(args) > 0:
				return usagef("--composite does not go with -")
			case composite.name != "":
				if err := composite.validate(r); err != nil {
					return usageError{err}
				}
			case len(args) == 0:
				if err := composite.unused(); err != nil {
					return usageError{err}
				}
				if err := r.validate(); err != nil {
					return usageError{err}
				}
			}
			asked, err := from.open(cmd.Context(), warnings(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, asked.Close()) }()
			c := checker{asker: asked, atLeast: revision, timeout: from.timeout}
			if len(args) == 1 {
				return c.lines(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
			}
			if composite.name != "" {
				return c.composite(cmd.Context(), cmd.OutOrStdout(), output, composite.question(r))
			}
			return c.one(cmd.Context(), cmd.OutOrStdout(), output, r)
		},
	}
	from.flags(cmd)
	r.flags(cmd)
	records.flags(cmd)
	composite.flags(cmd)
	cmd.Flags().StringVar(&atLeast, "at-least-revision", "", "answer from this revision or a newer one, EPOCH.NUMBER")
	outputFlag(cmd, &output)
	return cmd
}

func parseRevision(text string) (*pathgrantv1.Revision, error) {
	if text == "" {
		return nil, nil
	}
	epoch, number, ok := strings.Cut(text, ".")
	e, errE := strconv.ParseUint(epoch, 10, 64)
	n, errN := strconv.ParseUint(number, 10, 64)
	if !ok || errE != nil || errN != nil {
		return nil, usagef("--at-least-revision %s: want EPOCH.NUMBER", text)
	}
	return &pathgrantv1.Revision{Epoch: e, Number: n}, nil
}

// validate checks that the question is whole; the errors name the keys of the input.
func (r checkRequest) validate() error {
	if err := r.validateCaller(); err != nil {
		return err
	}
	switch {
	case r.Permission == "" && r.Method == "" && r.Path == "":
		return errors.New("permission, or method and path: missing")
	case r.Permission != "" && (r.Method != "" || r.Path != "" || r.Host != ""):
		return errors.New("permission and method, path or host: want one or the other")
	case r.Permission == "" && r.Scope != "":
		return errors.New("scope: goes with permission only")
	case r.Permission == "" && (r.Method == "" || r.Path == ""):
		return errors.New("method and path: want both")
	case r.Permission != "" && len(r.Headers)+len(r.ContextExtensions) > 0:
		return errors.New("headers, contextExtensions: go with method and path only")
	}
	return r.validateRecord()
}

// validateCaller checks that one caller is named.
func (r checkRequest) validateCaller() error {
	switch {
	case r.Tenant == "":
		return errors.New("tenant: missing")
	case (r.User == "") == (r.App == ""):
		return errors.New("user, app: want one of them")
	}
	return nil
}

func (c checkCaller) subject(tenant string) *pathgrantv1.Subject {
	principal := &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: c.User}
	if c.App != "" {
		principal = &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER, Id: c.App}
	}
	return &pathgrantv1.Subject{
		Tenant: tenant, Principal: principal, Groups: c.Groups, DirectoryRoles: c.Wids, GroupsUnknown: c.GroupsUnknown,
	}
}

func (r checkRequest) subject() *pathgrantv1.Subject {
	return checkCaller{r.User, r.App, r.Groups, r.Wids, r.GroupsUnknown}.subject(r.Tenant)
}

func (r checkRequest) question() *pathgrantv1.CheckQuestion {
	q := &pathgrantv1.CheckQuestion{Subject: r.subject(), Catalogue: r.Catalogue}
	if r.Permission != "" {
		scope := r.Scope
		if scope == "" {
			scope = "/tenants/" + r.Tenant
		}
		q.Target = &pathgrantv1.CheckQuestion_Permission{Permission: r.target(scope)}
		return q
	}
	q.Target = &pathgrantv1.CheckQuestion_HttpRequest{HttpRequest: &pathgrantv1.HttpRequest{
		Method: r.Method, Host: r.Host, Path: r.Path, Headers: r.Headers, ContextExtensions: r.ContextExtensions,
	}}
	return q
}

// asker is the service that is asked: a server's, or one in this process.
type asker interface {
	Check(ctx context.Context, in *pathgrantv1.CheckRequest) (*pathgrantv1.CheckResponse, error)
	CheckComposite(ctx context.Context, in *pathgrantv1.CheckCompositeRequest) (*pathgrantv1.CheckCompositeResponse, error)
	io.Closer
}

type checker struct {
	asker   asker
	atLeast *pathgrantv1.Revision
	timeout time.Duration
}

func (c checker) ask(ctx context.Context, r checkRequest) (checkResult, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.asker.Check(ctx, &pathgrantv1.CheckRequest{Question: r.question(), AtLeastRevision: c.atLeast})
	if err != nil {
		return checkResult{}, err
	}
	return resultOf(response.GetDecision()), nil
}

func (c checker) one(ctx context.Context, w io.Writer, output string, r checkRequest) error {
	result, err := c.ask(ctx, r)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if output == "json" {
		err = printJSON(w, result)
	} else {
		result.print(w)
	}
	if err == nil && !result.Allowed {
		err = errDenied
	}
	return err
}

// lines answers one question a line. A line that can't be read gets an answer too.
func (c checker) lines(ctx context.Context, in io.Reader, out io.Writer) error {
	return eachLine(in, out, func(line []byte, out io.Writer) error {
		var r checkRequest
		err := fmt.Errorf("the line is longer than %d bytes", maxLine)
		if line != nil {
			err = decodeLine(line, &r)
		}
		if err == nil {
			err = r.validate()
		}
		var result checkResult
		if err == nil {
			result, err = c.ask(ctx, r)
			if serverFailed(err) {
				return fmt.Errorf("check: %w", err)
			}
		}
		if err != nil {
			result = checkResult{Reason: authz.BadRequest.String(), Permissions: []string{}, Scopes: []string{}, Missing: []string{}, Detail: err.Error()}
		}
		return printJSON(out, result)
	})
}

func resultOf(d *pathgrantv1.Decision) checkResult {
	result := checkResult{
		Allowed:     d.GetEffect() == pathgrantv1.Effect_EFFECT_ALLOW,
		Reason:      strings.TrimPrefix(d.GetReason().String(), "REASON_"),
		Permissions: append([]string{}, d.GetPermissions()...),
		Scopes:      append([]string{}, d.GetScopes()...),
		Revision:    authz.Revision{Epoch: d.GetRevision().GetEpoch(), Number: d.GetRevision().GetNumber()},
		DecisionID:  d.GetDecisionId(),
		Missing:     append([]string{}, d.GetMissingPermissions()...),
		Detail:      d.GetDetail(),
		Dataverse:   recordResultOf(d.GetDataverse()),
	}
	if a := d.GetAssignment(); a != nil {
		result.Assignment = &checkAssignment{
			RoleAssignmentID:   a.GetId(),
			PrincipalType:      principalTypeName(a.GetPrincipal().GetType()),
			PrincipalObjectID:  a.GetPrincipal().GetId(),
			RoleDefinitionID:   a.GetRoleDefinitionId(),
			RoleDefinitionName: a.GetRoleDefinitionName(),
			Scope:              a.GetScope(),
			Effect:             strings.TrimPrefix(a.GetEffect().String(), "ASSIGNMENT_EFFECT_"),
		}
		if expires := a.GetExpiresTime(); expires != nil {
			at := expires.AsTime()
			result.Assignment.ExpiresOn = &at
		}
	}
	return result
}

func principalTypeName(t pathgrantv1.PrincipalType) string {
	switch t {
	case pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER:
		return authz.User.String()
	case pathgrantv1.PrincipalType_PRINCIPAL_TYPE_GROUP:
		return authz.Group.String()
	case pathgrantv1.PrincipalType_PRINCIPAL_TYPE_APPLICATION_USER:
		return authz.ApplicationUser.String()
	case pathgrantv1.PrincipalType_PRINCIPAL_TYPE_DIRECTORY_ROLE:
		return authz.DirectoryRole.String()
	case pathgrantv1.PrincipalType_PRINCIPAL_TYPE_TEAM:
		return authz.Team.String()
	default:
		return ""
	}
}

func (result checkResult) print(w io.Writer) {
	line := func(label string, values ...string) {
		for _, value := range values {
			if value != "" {
				fmt.Fprintf(w, "%-12s %s\n", label, value)
			}
		}
	}
	effect := authz.Deny
	if result.Allowed {
		effect = authz.Allow
	}
	line("decision", effect.String()+" "+result.Reason)
	line("permission", result.Permissions...)
	line("scope", result.Scopes...)
	line("missing", result.Missing...)
	if a := result.Assignment; a != nil {
		line("assignment", fmt.Sprintf("%s of %q to %s %s at %s (%s)", a.Effect, a.RoleDefinitionName, a.PrincipalType, a.PrincipalObjectID, a.Scope, a.RoleAssignmentID))
		if a.ExpiresOn != nil {
			line("expires", a.ExpiresOn.Format(time.RFC3339))
		}
	}
	if d := result.Dataverse; d != nil {
		line("access", d.Access)
		line("reach", d.Reach)
	}
	line("detail", result.Detail)
	if result.Revision != (authz.Revision{}) {
		line("revision", fmt.Sprintf("%d.%d", result.Revision.Epoch, result.Revision.Number))
	}
	line("decision id", result.DecisionID)
}
