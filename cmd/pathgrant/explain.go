package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

func explainCommand() *cobra.Command {
	var (
		from      explainSource
		r         checkRequest
		records   recordFlags
		composite compositeFlags
		decision  string
		atLeast   string
		output    string
	)
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say why a caller may or may not do something, and what would mend it",
		Long: `Say how a check is decided, step by step: the mapping and its rule, the caller and by
which path each group came in, the chain of scopes, every assignment that spoke and why
the others did not, and, for a refusal, the smallest assignments that would mend it.

It takes the flags of check, or the identifier of a recent decision with --decision. It
reads everything anew, past every cache. Asking about others than oneself takes
Authorization.RoleAssignments.Read at the scope; --operator asks as the operator.

To a terminal it prints a tree, and JSON to anything else; -o says which.`,
		Example: `  pathgrant explain --bundle policy.yaml --tenant t1 --user ada --method GET --path /powerapps/environments/e1/apps
  pathgrant explain --operator --decision 4f1c09b7a25e43d8000000000000002a
  pathgrant explain --operator --tenant t1 --user ada --composite run-only-flow --flow f1 --scope /tenants/t1/environments/e1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output == "" {
				output = outputFor(cmd.OutOrStdout())
			}
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
			in, err := explainRequest(r, &composite, decision)
			if err != nil {
				return usageError{err}
			}
			in.AtLeastRevision = revision
			return from.ask(cmd, func(ctx context.Context, asked explainer) error {
				out, err := asked.Explain(ctx, in)
				if err != nil {
					return err
				}
				if output == "json" {
					return printExplanationJSON(cmd.OutOrStdout(), out.GetExplanation())
				}
				return explanationTree(out.GetExplanation()).print(cmd.OutOrStdout())
			})
		},
	}
	from.flags(cmd)
	r.flags(cmd)
	records.flags(cmd)
	composite.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&decision, "decision", "", "a recent decision of the server, by its `identifier`, in place of a question")
	f.StringVar(&atLeast, "at-least-revision", "", "answer from this revision or a newer one, EPOCH.NUMBER")
	outputFlag(cmd, &output)
	f.Lookup("output").DefValue = ""
	f.Lookup("output").Usage = "how to print the result: text or json (default text to a terminal, json to anything else)"
	output = ""
	return cmd
}

// outputFor is text for a terminal and json for anything else.
func outputFor(w io.Writer) string {
	if file, ok := w.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return "text"
		}
	}
	return "json"
}

// explainRequest is what the flags ask for; they are the same as those of check.
func explainRequest(r checkRequest, composite *compositeFlags, decision string) (*pathgrantv1.ExplainRequest, error) {
	in := &pathgrantv1.ExplainRequest{}
	switch {
	case decision != "":
		if r.named() || composite.name != "" || composite.unused() != nil {
			return nil, usagef("--decision says it all: leave out what says what is asked, and who asks")
		}
		in.What = &pathgrantv1.ExplainRequest_DecisionId{DecisionId: decision}
	case composite.name != "":
		if err := composite.validate(r); err != nil {
			return nil, err
		}
		in.What = &pathgrantv1.ExplainRequest_Composite{Composite: composite.question(r)}
	default:
		if err := composite.unused(); err != nil {
			return nil, err
		}
		if err := r.validate(); err != nil {
			return nil, err
		}
		in.What = &pathgrantv1.ExplainRequest_Question{Question: r.question()}
	}
	return in, nil
}

// named tells whether anything was asked.
func (r *checkRequest) named() bool {
	return r.Tenant+r.User+r.App+r.Permission+r.Scope+r.Method+r.Path+r.Host != "" || r.GroupsUnknown ||
		len(r.Groups)+len(r.Wids) > 0 || r.Record != nil || r.Relate != nil || r.OnBehalfOf != nil
}

// flags are those that say who asks for what.
func (r *checkRequest) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.Tenant, "tenant", "", "the caller's tenant")
	f.StringVar(&r.User, "user", "", "the caller, a user, by object id")
	f.StringVar(&r.App, "app", "", "the caller, a service principal, by enterprise object id")
	f.StringArrayVar(&r.Groups, "group", nil, "a group that the caller's token names (repeatable)")
	f.StringArrayVar(&r.Wids, "wid", nil, "a directory role that the caller's token names, by template id (repeatable)")
	f.BoolVar(&r.GroupsUnknown, "groups-unknown", false, "the caller's token could not carry its groups")
	f.StringVar(&r.Permission, "permission", "", "the permission, such as PowerApps.Apps.Read")
	f.StringVar(&r.Scope, "scope", "", "the scope of the permission (default the tenant)")
	f.StringVar(&r.Method, "method", "", "the method of an HTTP request to map")
	f.StringVar(&r.Path, "path", "", "the path of an HTTP request to map")
	f.StringVar(&r.Host, "host", "", "the host of an HTTP request to map")
	f.StringVar(&r.Catalogue, "catalogue-name", "", "the catalogue that maps the request, by name, such as dataverse (default the first one)")
	f.StringToStringVar(&r.Headers, "header", nil, "a request header that the catalogue looks at, name=value (repeatable)")
	f.StringToStringVar(&r.ContextExtensions, "context", nil, "what the proxy's configuration attaches to the route, such as environment=e1 (repeatable)")
}
