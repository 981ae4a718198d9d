package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pathgrant/pathgrant/internal/callers"
	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/naming"
)

// placeholderTenant stands for the tenant where none is given.
const placeholderTenant = "{tenant}"

// loadCatalogues reads the catalogues from files; without any, the shipped one. Roles can
// name the permissions of administration too, whatever the catalogues declare.
func loadCatalogues(files []string) (*naming.Catalogues, error) {
	sources, err := catalogueSources(files)
	if err != nil {
		return nil, err
	}
	foldCase := true // as the shipped catalogue has it
	if len(files) > 0 {
		given, err := naming.Load(sources...)
		if err != nil {
			return nil, err
		}
		foldCase = given.FoldCase()
	}
	return naming.Load(append(sources, callers.VocabularySource(foldCase))...)
}

// loadGiven reads the catalogues from files alone; without any, the shipped one.
func loadGiven(files []string) (*naming.Catalogues, error) {
	sources, err := catalogueSources(files)
	if err != nil {
		return nil, err
	}
	return naming.Load(sources...)
}

func catalogueSources(files []string) ([]naming.Source, error) {
	if len(files) == 0 {
		return []naming.Source{naming.Shipped(), naming.ShippedDataverse()}, nil
	}
	var sources []naming.Source
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the catalogue: %w", err)
		}
		sources = append(sources, naming.Source{File: file, Text: text})
	}
	return sources, nil
}

func mapCommand() *cobra.Command {
	var (
		host, tenant, contentType, output, name string
		catalogues                              []string
		headers, extensions                     map[string]string
	)
	cmd := &cobra.Command{
		Use:   "map METHOD PATH | map -",
		Short: "Say which permissions at which scopes a request needs",
		Long: `Say which permissions at which scopes a request needs, by the catalogue alone: nobody
is asked who they are, and no assignment is read.

With - it reads one request a line from standard input, METHOD<TAB>PATH[<TAB>HOST] or
a JSON object with method, path and host (contentType, headers, contextExtensions), and
writes one JSON object a line.

Of a request to Dataverse's Web API, a table stands by its entity set in braces,
Dataverse.{accounts}.Read: which table that is, the environment says.`,
		Example: `  pathgrant map GET /powerapps/environments/e1/apps/a7
  pathgrant map --catalogue-name dataverse --context environment=e1 PATCH '/api/data/v9.2/accounts(5b0e6c1e-9f10-4d55-8b2a-7f1d0a528f3e)'
  printf 'GET\t/powerapps/apps\n' | pathgrant map -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" || len(args) == 2 {
				return nil
			}
			return usagef("want METHOD and PATH, or -")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			loaded, err := loadGiven(catalogues)
			if err != nil {
				return err
			}
			catalogue := loaded.Default()
			if name != "" {
				var ok bool
				if catalogue, ok = loaded.Named(name); !ok {
					return usagef("--catalogue-name %s: no catalogue of that name is loaded", name)
				}
			}
			m := mapper{catalogue: catalogue, vocabulary: loaded.Vocabulary(), tenant: placeholderTenant}
			if tenant != "" {
				m.tenant = authz.CanonicalID(tenant, loaded.FoldCase())
			}
			if args[0] == "-" {
				return m.lines(cmd.InOrStdin(), cmd.OutOrStdout())
			}
			return m.one(cmd.OutOrStdout(), output, mapRequest{Method: args[0], Path: args[1], Host: host, ContentType: contentType, Headers: headers, ContextExtensions: extensions})
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "the request's host, which may name an environment or a tenant")
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant that the scopes begin with (default "+placeholderTenant+")")
	cmd.Flags().StringVar(&contentType, "content-type", "", "the request's content type; application/grpc maps by the catalogue's grpc section")
	cmd.Flags().StringArrayVar(&catalogues, "catalogue", nil, "a catalogue file in place of the shipped one")
	cmd.Flags().StringVar(&name, "catalogue-name", "", "the catalogue that maps the request, by name, such as dataverse (default the first one)")
	cmd.Flags().StringToStringVar(&headers, "header", nil, "a request header that the catalogue looks at, name=value (repeatable)")
	cmd.Flags().StringToStringVar(&extensions, "context", nil, "what the proxy's configuration attaches to the route, such as environment=e1 (repeatable)")
	outputFlag(cmd, &output)
	return cmd
}

// mapRequest is a request as a line of input gives it.
type mapRequest struct {
	Method      string `json:"method"`
	Path        string `json:"path"`
	Host        string `json:"host"`
	ContentType string `json:"contentType"`

	Headers           map[string]string `json:"headers"`
	ContextExtensions map[string]string `json:"contextExtensions"`
}

// mapResult is what is printed for a request.
type mapResult struct {
	Method      string             `json:"method"`
	Path        string             `json:"path"`
	Host        string             `json:"host"`
	Permissions []authz.Permission `json:"permissions"`
	Scopes      []authz.Scope      `json:"scopes"`
	DecidedBy   string             `json:"decidedBy"`
	Rule        string             `json:"rule"`
	Reason      string             `json:"reason"`
	Detail      string             `json:"detail"`
}

type mapper struct {
	catalogue  *naming.Catalogue
	vocabulary *authz.Vocabulary
	tenant     string
	resolution naming.Resolution
}

func (m *mapper) resolve(r mapRequest) mapResult {
	m.catalogue.Resolve(naming.Request{
		Method: r.Method, Host: r.Host, Path: r.Path,
		GRPC:   strings.HasPrefix(strings.ToLower(r.ContentType), "application/grpc"),
		Header: valueOf(r.Headers), ContextExtension: valueOf(r.ContextExtensions),
	}, &m.resolution)
	result := mapResult{
		Method: r.Method, Path: r.Path, Host: r.Host,
		Permissions: []authz.Permission{}, Scopes: []authz.Scope{},
		DecidedBy: m.resolution.DecidedBy, Rule: m.resolution.Rule, Detail: m.resolution.Detail,
	}
	if m.resolution.Reason != authz.ReasonUnspecified {
		result.Reason = m.resolution.Reason.String()
	}
	for _, id := range m.resolution.Permissions {
		result.Permissions = append(result.Permissions, m.vocabulary.Name(id))
	}
	result.Permissions = append(result.Permissions, webPermissions(m.resolution.Web)...)
	for _, named := range m.resolution.Scopes {
		result.Scopes = append(result.Scopes, named.In(m.tenant))
	}
	return result
}

// webPermissions are what a request to Dataverse's Web API asks for.
func webPermissions(web *naming.WebRequest) (all []authz.Permission) {
	if web == nil {
		return nil
	}
	for _, asked := range web.Asks {
		table := asked.Table
		if table == "" {
			table = "{" + asked.EntitySet + "}"
		}
		for _, p := range authz.TablePrivileges() {
			if asked.Privileges.Has(p) {
				all = append(all, authz.Permission("Dataverse."+table+"."+p.String()))
			}
		}
	}
	return all
}

// valueOf finds values by name; the names of headers are lower case.
func valueOf(values map[string]string) func(name string) string {
	return func(name string) string { return values[name] }
}

func (m *mapper) one(w io.Writer, output string, r mapRequest) error {
	result := m.resolve(r)
	if output == "json" {
		if err := printJSON(w, result); err != nil {
			return err
		}
	} else {
		m.print(w, result)
	}
	if result.Reason != "" && result.Reason != authz.Public.String() {
		return errDenied
	}
	return nil
}

func (m *mapper) print(w io.Writer, result mapResult) {
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-12s %s\n", label, value)
		}
	}
	for _, permission := range result.Permissions {
		line("permission", string(permission))
	}
	for _, scope := range result.Scopes {
		line("scope", string(scope))
	}
	line("decided by", result.DecidedBy)
	line("rule", result.Rule)
	line("reason", result.Reason)
	line("detail", result.Detail)
}

// lines answers one request a line. A line that can't be read gets an answer too.
func (m *mapper) lines(in io.Reader, out io.Writer) error {
	return eachLine(in, out, func(line []byte, out io.Writer) error {
		r, err := parseMapLine(line)
		if err != nil {
			return printJSON(out, mapResult{
				Method: r.Method, Path: r.Path, Host: r.Host,
				Permissions: []authz.Permission{}, Scopes: []authz.Scope{},
				Reason: authz.BadRequest.String(), Detail: err.Error(),
			})
		}
		return printJSON(out, m.resolve(r))
	})
}

func parseMapLine(line []byte) (mapRequest, error) {
	var r mapRequest
	if line == nil {
		return r, fmt.Errorf("the line is longer than %d bytes", maxLine)
	}
	if text := strings.TrimLeft(string(line), " "); strings.HasPrefix(text, "{") {
		if err := decodeLine(line, &r); err != nil {
			return mapRequest{}, err
		}
	} else {
		fields := strings.Split(string(line), "\t")
		if len(fields) < 2 || len(fields) > 3 {
			return r, fmt.Errorf("the line is neither METHOD<TAB>PATH[<TAB>HOST] nor a JSON object")
		}
		r.Method, r.Path = fields[0], fields[1]
		if len(fields) == 3 {
			r.Host = fields[2]
		}
	}
	switch {
	case r.Method == "":
		return r, fmt.Errorf("method: missing")
	case r.Path == "":
		return r, fmt.Errorf("path: missing")
	}
	return r, nil
}
