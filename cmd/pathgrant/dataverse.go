package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/pathgrant/pathgrant/internal/strictyaml"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// maxItem bounds the file that says what an item is to be.
const maxItem = 8 << 20

// dataverseKinds are the kinds of items, by the names of the lists that bundles keep them in.
var dataverseKinds = map[string]pathgrantv1.DataverseKind{
	"tables":         pathgrantv1.DataverseKind_DATAVERSE_KIND_TABLE,
	"users":          pathgrantv1.DataverseKind_DATAVERSE_KIND_USER,
	"teams":          pathgrantv1.DataverseKind_DATAVERSE_KIND_TEAM,
	"columnProfiles": pathgrantv1.DataverseKind_DATAVERSE_KIND_COLUMN_PROFILE,
	"shares":         pathgrantv1.DataverseKind_DATAVERSE_KIND_SHARE,
	"apps":           pathgrantv1.DataverseKind_DATAVERSE_KIND_APP,
	"flows":          pathgrantv1.DataverseKind_DATAVERSE_KIND_FLOW,
}

const kindsText = "tables, users, teams, columnProfiles, shares, apps or flows"

func dataverseKind(name string) (string, pathgrantv1.DataverseKind, error) {
	for known, kind := range dataverseKinds {
		if strings.EqualFold(known, name) || strings.EqualFold(strings.TrimSuffix(known, "s"), name) {
			return known, kind, nil
		}
	}
	return "", 0, usagef("%q is no kind: want %s", name, kindsText)
}

func dataverseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dataverse",
		Short: "List, make and delete what environments with a database have",
		Long: `List, make and delete what environments with a database have: ` + kindsText + `.
An item is written as it stands in a bundle.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(dataverseListCommand(), dataversePutCommand(), dataverseDeleteCommand())
	return cmd
}

func dataverseListCommand() *cobra.Command {
	var (
		client                      adminClient
		tenant, environment, output string
	)
	cmd := &cobra.Command{
		Use:   "list KIND --environment E",
		Short: "List the items of one kind",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			kind, number, err := dataverseKind(args[0])
			if err != nil {
				return err
			}
			if environment == "" {
				return usagef("--environment is needed")
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				listing := struct {
					Items    []map[string]any `json:"items"`
					Revision authz.Revision   `json:"revision"`
				}{Items: []map[string]any{}}
				var rows []string
				request := &pathgrantv1.ListItemsRequest{Tenant: tenant, Environment: environment, Kind: number, PageSize: 1000}
				for more := true; more; more = request.GetPageToken() != "" {
					found, err := call(ctx, &client, pathgrantv1.NewDataverseServiceClient(conn).ListItems, request)
					if err != nil {
						return err
					}
					for _, item := range found.GetItems() {
						listing.Items = append(listing.Items, itemShown(item))
						rows = append(rows, itemRow(item))
					}
					request.PageToken, listing.Revision = found.GetNextPageToken(), revisionShown(found.GetRevision())
				}
				if output == "json" {
					return printJSON(cmd.OutOrStdout(), listing)
				}
				return printTable(cmd.OutOrStdout(), strings.ToUpper(strings.TrimSuffix(kind, "s"))+"\tWHAT\tETAG", rows)
			})
		},
	}
	client.readerFlags(cmd)
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant (default the caller's own)")
	cmd.Flags().StringVar(&environment, "environment", "", "the environment")
	outputFlag(cmd, &output)
	return cmd
}

// itemRow is a line about an item: what identifies it, and what it is.
func itemRow(item *pathgrantv1.DataverseItem) string {
	who := func(p *pathgrantv1.Principal) string {
		return strings.Join([]string{principalTypeName(p.GetType()), p.GetId()}, " ")
	}
	id, what := "", ""
	switch {
	case item.GetTable() != nil:
		id, what = item.GetTable().GetName(), strings.Join(item.GetTable().GetClasses(), ",")
	case item.GetUser() != nil:
		id, what = who(item.GetUser().GetPrincipal()), item.GetUser().GetBusinessUnit()
		if item.GetUser().GetDisabled() {
			what += " (disabled)"
		}
	case item.GetTeam() != nil:
		t := item.GetTeam()
		id, what = t.GetId(), fmt.Sprintf("%s %q, %d members", t.GetTeamType(), t.GetDisplayName(), len(t.GetMembers()))
	case item.GetColumnProfile() != nil:
		p := item.GetColumnProfile()
		id, what = p.GetId(), fmt.Sprintf("%q, %d columns", p.GetDisplayName(), len(p.GetColumns()))
	case item.GetShare() != nil:
		s := item.GetShare()
		with := "everyone"
		if !s.GetEveryone() {
			with = who(s.GetPrincipal())
		}
		id, what = s.GetTable()+" "+s.GetRecord()+" with "+with, strings.Join(s.GetRights(), ",")
	case item.GetApp() != nil:
		id, what = item.GetApp().GetId(), item.GetApp().GetDisplayName()
	case item.GetFlow() != nil:
		id, what = item.GetFlow().GetId(), item.GetFlow().GetDisplayName()
	}
	if what = strings.TrimSpace(what); what == "" {
		what = "-"
	}
	return strings.Join([]string{id, what, item.GetEtag()}, "\t")
}

func dataversePutCommand() *cobra.Command {
	return dataverseChangeCommand("put", "Make an item, or with --if-match replace it", "", "put",
		func(ctx context.Context, client *adminClient, conn *grpc.ClientConn, change *pathgrantv1.ChangeContext, item *pathgrantv1.DataverseItem, etag string) (*pathgrantv1.DataverseItem, *pathgrantv1.Revision, error) {
			made, err := call(ctx, client, pathgrantv1.NewDataverseServiceClient(conn).PutItem, &pathgrantv1.PutItemRequest{Context: change, Item: item, IfMatch: etag})
			return made.GetItem(), made.GetRevision(), err
		})
}

func dataverseDeleteCommand() *cobra.Command {
	return dataverseChangeCommand("delete", "Delete an item, of which the file needs to say no more than which it is", "*", "deleted",
		func(ctx context.Context, client *adminClient, conn *grpc.ClientConn, change *pathgrantv1.ChangeContext, item *pathgrantv1.DataverseItem, etag string) (*pathgrantv1.DataverseItem, *pathgrantv1.Revision, error) {
			gone, err := call(ctx, client, pathgrantv1.NewDataverseServiceClient(conn).DeleteItem, &pathgrantv1.DeleteItemRequest{Context: change, Item: item, IfMatch: etag})
			return gone.GetItem(), gone.GetRevision(), err
		})
}

type changeItem func(ctx context.Context, client *adminClient, conn *grpc.ClientConn, change *pathgrantv1.ChangeContext, item *pathgrantv1.DataverseItem, etag string) (*pathgrantv1.DataverseItem, *pathgrantv1.Revision, error)

func dataverseChangeCommand(name, short, etag, done string, do changeItem) *cobra.Command {
	var (
		client                adminClient
		change                changeFlags
		file, ifMatch, output string
	)
	cmd := &cobra.Command{
		Use:     name + " KIND -f item.yaml",
		Short:   short,
		Example: "  echo '{environment: e1, principalType: User, principalObjectId: u1}' | pathgrant dataverse " + name + " users -f -",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			kind, _, err := dataverseKind(args[0])
			if err != nil {
				return err
			}
			if file == "" {
				return usagef("-f is needed")
			}
			item, err := readItem(kind, file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return client.administer(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				changed, revision, err := do(ctx, &client, conn, change.context(), item, ifMatch)
				if err != nil {
					return err
				}
				at := revisionShown(revision)
				if output == "json" {
					return printJSON(cmd.OutOrStdout(), struct {
						Item     map[string]any `json:"item"`
						Revision authz.Revision `json:"revision"`
					}{itemShown(changed), at})
				}
				id, _, _ := strings.Cut(itemRow(changed), "\t")
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s of %s, revision %d.%d\n", done, id, changed.GetEnvironment(), at.Epoch, at.Number)
				return nil
			})
		},
	}
	client.flags(cmd)
	change.flags(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "a `file` with the item as it stands in a bundle, in YAML or JSON, or - for standard input")
	cmd.Flags().StringVar(&ifMatch, "if-match", etag, `the etag of the state that is changed, or "*" for whatever it is`)
	outputFlag(cmd, &output)
	return cmd
}

// readItem reads an item as it stands in a bundle.
func readItem(kind, file string, stdin io.Reader) (*pathgrantv1.DataverseItem, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxItem+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxItem {
		return nil, fmt.Errorf("%s: an item has at most %d bytes", file, maxItem)
	}
	v, reader, err := strictyaml.Parse(file, text)
	if err != nil {
		return nil, err
	}
	item := &pathgrantv1.DataverseItem{}
	itemReaders[kind](v, item)
	return item, reader.Err()
}

// into makes a reader of a field.
func into[T any](to *T, read func(strictyaml.Value) T) func(strictyaml.Value) {
	return func(v strictyaml.Value) { *to = read(v) }
}

func textOf(to *string) func(strictyaml.Value)    { return into(to, strictyaml.Value.OptionalText) }
func boolOf(to *bool) func(strictyaml.Value)      { return into(to, strictyaml.Value.Bool) }
func textsOf(to *[]string) func(strictyaml.Value) { return into(to, strictyaml.Value.Texts) }

// itemFields reads the fields of an item, besides its environment.
func itemFields(v strictyaml.Value, item *pathgrantv1.DataverseItem, more map[string]func(strictyaml.Value)) {
	more["environment"] = textOf(&item.Environment)
	v.Fields(more)
}

// principalFields are those of a principal that stand among others.
func principalFields(p *pathgrantv1.Principal, fields map[string]func(strictyaml.Value)) map[string]func(strictyaml.Value) {
	fields["principalObjectId"] = textOf(&p.Id)
	fields["principalType"] = func(v strictyaml.Value) {
		t, known := typesByName[strings.ToLower(v.Text())]
		if !known {
			v.Problemf("%q is none of User, Group, ApplicationUser, DirectoryRole and Team", v.OptionalText())
		}
		p.Type = t
	}
	return fields
}

func principalsOf(to *[]*pathgrantv1.Principal) func(strictyaml.Value) {
	return func(v strictyaml.Value) {
		v.List(func(v strictyaml.Value) {
			p := &pathgrantv1.Principal{}
			v.Fields(principalFields(p, map[string]func(strictyaml.Value){}))
			*to = append(*to, p)
		})
	}
}

func tableUsesOf(to *[]*pathgrantv1.DataverseTableUse) func(strictyaml.Value) {
	return func(v strictyaml.Value) {
		v.List(func(v strictyaml.Value) {
			u := &pathgrantv1.DataverseTableUse{}
			v.Fields(map[string]func(strictyaml.Value){"table": textOf(&u.Table), "privileges": textsOf(&u.Privileges)})
			*to = append(*to, u)
		})
	}
}

var itemReaders = map[string]func(strictyaml.Value, *pathgrantv1.DataverseItem){
	"tables": func(v strictyaml.Value, item *pathgrantv1.DataverseItem) {
		t := &pathgrantv1.DataverseTable{}
		item.Item = &pathgrantv1.DataverseItem_Table{Table: t}
		itemFields(v, item, map[string]func(strictyaml.Value){
			"name": textOf(&t.Name), "classes": textsOf(&t.Classes), "ownership": textOf(&t.Ownership), "entitySet": textOf(&t.EntitySet),
			"securedColumns": textsOf(&t.SecuredColumns),
		})
	},
	"users": func(v strictyaml.Value, item *pathgrantv1.DataverseItem) {
		u := &pathgrantv1.DataverseUser{Principal: &pathgrantv1.Principal{}}
		item.Item = &pathgrantv1.DataverseItem_User{User: u}
		itemFields(v, item, principalFields(u.Principal, map[string]func(strictyaml.Value){
			"businessUnit": textOf(&u.BusinessUnit), "disabled": boolOf(&u.Disabled), "serviceInstalled": boolOf(&u.ServiceInstalled),
		}))
	},
	"teams": func(v strictyaml.Value, item *pathgrantv1.DataverseItem) {
		t := &pathgrantv1.DataverseTeam{}
		item.Item = &pathgrantv1.DataverseItem_Team{Team: t}
		itemFields(v, item, map[string]func(strictyaml.Value){
			"id": textOf(&t.Id), "displayName": textOf(&t.DisplayName), "teamType": textOf(&t.TeamType), "businessUnit": textOf(&t.BusinessUnit),
			"group": textOf(&t.Group), "members": principalsOf(&t.Members),
		})
	},
	"columnProfiles": func(v strictyaml.Value, item *pathgrantv1.DataverseItem) {
		p := &pathgrantv1.DataverseColumnProfile{}
		item.Item = &pathgrantv1.DataverseItem_ColumnProfile{ColumnProfile: p}
		itemFields(v, item, map[string]func(strictyaml.Value){
			"id": textOf(&p.Id), "displayName": textOf(&p.DisplayName), "principals": principalsOf(&p.Principals),
			"columns": func(v strictyaml.Value) {
				v.List(func(v strictyaml.Value) {
					c := &pathgrantv1.DataverseColumnRight{}
					v.Fields(map[string]func(strictyaml.Value){"table": textOf(&c.Table), "column": textOf(&c.Column), "rights": textsOf(&c.Rights)})
					p.Columns = append(p.Columns, c)
				})
			},
		})
	},
	"shares": func(v strictyaml.Value, item *pathgrantv1.DataverseItem) {
		s, with := &pathgrantv1.DataverseShare{}, &pathgrantv1.Principal{}
		item.Item = &pathgrantv1.DataverseItem_Share{Share: s}
		itemFields(v, item, principalFields(with, map[string]func(strictyaml.Value){
			"table": textOf(&s.Table), "record": textOf(&s.Record), "everyone": boolOf(&s.Everyone), "rights": textsOf(&s.Rights),
		}))
		if with.GetId() != "" || !s.GetEveryone() {
			s.Principal = with
		}
	},
	"apps": func(v strictyaml.Value, item *pathgrantv1.DataverseItem) {
		a := &pathgrantv1.DataverseApp{}
		item.Item = &pathgrantv1.DataverseItem_App{App: a}
		itemFields(v, item, map[string]func(strictyaml.Value){
			"id": textOf(&a.Id), "displayName": textOf(&a.DisplayName), "sharedWith": principalsOf(&a.SharedWith), "everyone": boolOf(&a.Everyone),
			"tables": tableUsesOf(&a.Tables),
		})
	},
	"flows": func(v strictyaml.Value, item *pathgrantv1.DataverseItem) {
		f := &pathgrantv1.DataverseFlow{}
		item.Item = &pathgrantv1.DataverseItem_Flow{Flow: f}
		itemFields(v, item, map[string]func(strictyaml.Value){
			"id": textOf(&f.Id), "displayName": textOf(&f.DisplayName), "runOnlyUsers": principalsOf(&f.RunOnlyUsers),
			"maker": func(v strictyaml.Value) {
				f.Maker = &pathgrantv1.Principal{}
				v.Fields(principalFields(f.Maker, map[string]func(strictyaml.Value){}))
			},
			"connections": func(v strictyaml.Value) {
				v.List(func(v strictyaml.Value) {
					c := &pathgrantv1.DataverseConnection{}
					v.Fields(map[string]func(strictyaml.Value){
						"name": textOf(&c.Name), "connector": textOf(&c.Connector), "provider": textOf(&c.Provider), "tables": tableUsesOf(&c.Tables),
					})
					f.Connections = append(f.Connections, c)
				})
			},
		})
	},
}

// itemShown is an item as it stands in a bundle, with its etag. What is empty is left out.
func itemShown(item *pathgrantv1.DataverseItem) map[string]any {
	shown := map[string]any{}
	set := func(key string, value any) { keep(shown, key, value) }
	set("environment", item.GetEnvironment())
	set("etag", item.GetEtag())
	switch {
	case item.GetTable() != nil:
		t := item.GetTable()
		set("name", t.GetName())
		set("classes", t.GetClasses())
		set("ownership", t.GetOwnership())
		set("entitySet", t.GetEntitySet())
		set("securedColumns", t.GetSecuredColumns())
	case item.GetUser() != nil:
		u := item.GetUser()
		principalInto(shown, u.GetPrincipal())
		set("businessUnit", u.GetBusinessUnit())
		set("disabled", u.GetDisabled())
		set("serviceInstalled", u.GetServiceInstalled())
	case item.GetTeam() != nil:
		t := item.GetTeam()
		set("id", t.GetId())
		set("displayName", t.GetDisplayName())
		set("teamType", t.GetTeamType())
		set("businessUnit", t.GetBusinessUnit())
		set("group", t.GetGroup())
		set("members", principalsShown(t.GetMembers()))
	case item.GetColumnProfile() != nil:
		p := item.GetColumnProfile()
		set("id", p.GetId())
		set("displayName", p.GetDisplayName())
		var columns []map[string]any
		for _, c := range p.GetColumns() {
			columns = append(columns, map[string]any{"table": c.GetTable(), "column": c.GetColumn(), "rights": c.GetRights()})
		}
		set("columns", columns)
		set("principals", principalsShown(p.GetPrincipals()))
	case item.GetShare() != nil:
		s := item.GetShare()
		set("table", s.GetTable())
		set("record", s.GetRecord())
		set("everyone", s.GetEveryone())
		principalInto(shown, s.GetPrincipal())
		set("rights", s.GetRights())
	case item.GetApp() != nil:
		a := item.GetApp()
		set("id", a.GetId())
		set("displayName", a.GetDisplayName())
		set("sharedWith", principalsShown(a.GetSharedWith()))
		set("everyone", a.GetEveryone())
		set("tables", usesShown(a.GetTables()))
	case item.GetFlow() != nil:
		f := item.GetFlow()
		set("id", f.GetId())
		set("displayName", f.GetDisplayName())
		if f.GetMaker() != nil {
			maker := map[string]any{}
			principalInto(maker, f.GetMaker())
			set("maker", maker)
		}
		set("runOnlyUsers", principalsShown(f.GetRunOnlyUsers()))
		var connections []map[string]any
		for _, c := range f.GetConnections() {
			connection := map[string]any{"name": c.GetName(), "connector": c.GetConnector()}
			keep(connection, "provider", c.GetProvider())
			keep(connection, "tables", usesShown(c.GetTables()))
			connections = append(connections, connection)
		}
		set("connections", connections)
	}
	return shown
}

// keep sets what is not empty.
func keep(m map[string]any, key string, value any) {
	switch v := value.(type) {
	case string:
		if v == "" {
			return
		}
	case bool:
		if !v {
			return
		}
	case []string:
		if len(v) == 0 {
			return
		}
	case []map[string]any:
		if len(v) == 0 {
			return
		}
	}
	m[key] = value
}

func principalInto(m map[string]any, p *pathgrantv1.Principal) {
	if p != nil {
		m["principalType"], m["principalObjectId"] = principalTypeName(p.GetType()), p.GetId()
	}
}

func principalsShown(all []*pathgrantv1.Principal) []map[string]any {
	var shown []map[string]any
	for _, p := range all {
		m := map[string]any{}
		principalInto(m, p)
		shown = append(shown, m)
	}
	return shown
}

func usesShown(all []*pathgrantv1.DataverseTableUse) []map[string]any {
	var shown []map[string]any
	for _, u := range all {
		m := map[string]any{"table": u.GetTable()}
		keep(m, "privileges", slices.Clone(u.GetPrivileges()))
		shown = append(shown, m)
	}
	return shown
}
