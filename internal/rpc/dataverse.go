package rpc

import (
	"context"
	"fmt"
	"strings"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// PutItem implements DataverseService.
func (s *Administration) PutItem(ctx context.Context, in *pathgrantv1.PutItemRequest) (*pathgrantv1.PutItemResponse, error) {
	item, err := givenItem(in.GetItem())
	if err != nil {
		return nil, err
	}
	made, err := s.o.Admin.PutItem(ctx, caller(ctx), admin.PutItemRequest{Context: changeContext(in.GetContext()), Item: item, Etag: in.GetIfMatch()})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.PutItemResponse{Item: shownItem(made.Item), Revision: revision(made.Revision)}, nil
}

// DeleteItem implements DataverseService.
func (s *Administration) DeleteItem(ctx context.Context, in *pathgrantv1.DeleteItemRequest) (*pathgrantv1.DeleteItemResponse, error) {
	item, err := givenKey(in.GetItem())
	if err != nil {
		return nil, err
	}
	made, err := s.o.Admin.DeleteItem(ctx, caller(ctx), admin.DeleteItemRequest{Context: changeContext(in.GetContext()), Item: item, Etag: in.GetIfMatch()})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.DeleteItemResponse{Item: shownItem(made.Item), Revision: revision(made.Revision)}, nil
}

var itemKinds = map[pathgrantv1.DataverseKind]admin.ItemKind{
	pathgrantv1.DataverseKind_DATAVERSE_KIND_TABLE:          admin.TableItem,
	pathgrantv1.DataverseKind_DATAVERSE_KIND_USER:           admin.UserItem,
	pathgrantv1.DataverseKind_DATAVERSE_KIND_TEAM:           admin.TeamItem,
	pathgrantv1.DataverseKind_DATAVERSE_KIND_COLUMN_PROFILE: admin.ColumnProfileItem,
	pathgrantv1.DataverseKind_DATAVERSE_KIND_SHARE:          admin.ShareItem,
	pathgrantv1.DataverseKind_DATAVERSE_KIND_APP:            admin.AppItem,
	pathgrantv1.DataverseKind_DATAVERSE_KIND_FLOW:           admin.FlowItem,
}

// ListItems implements DataverseService.
func (s *Administration) ListItems(ctx context.Context, in *pathgrantv1.ListItemsRequest) (*pathgrantv1.ListItemsResponse, error) {
	found, err := s.o.Admin.Items(ctx, caller(ctx), admin.ItemsRequest{
		Tenant: in.GetTenant(), Environment: in.GetEnvironment(), Kind: itemKinds[in.GetKind()], Page: page(in.GetPageSize(), in.GetPageToken()),
	})
	if err != nil {
		return nil, err
	}
	return &pathgrantv1.ListItemsResponse{Items: each(found.Items, shownItem), NextPageToken: found.Next, Revision: revision(found.Revision)}, nil
}

// givenItem reads an item.
func givenItem(in *pathgrantv1.DataverseItem) (admin.Item, error) {
	item, err := givenKey(in)
	if err != nil {
		return item, err
	}
	var fill func() error
	switch {
	case in.GetTable() != nil:
		fill = func() error { return fillTable(item.Table, in.GetTable()) }
	case in.GetUser() != nil:
		given := in.GetUser()
		item.User.BusinessUnit, item.User.Disabled, item.User.ServiceInstalled = given.GetBusinessUnit(), given.GetDisabled(), given.GetServiceInstalled()
	case in.GetTeam() != nil:
		fill = func() error { return fillTeam(item.Team, in.GetTeam()) }
	case in.GetColumnProfile() != nil:
		fill = func() error { return fillProfile(item.ColumnProfile, in.GetColumnProfile()) }
	case in.GetShare() != nil:
		fill = func() (err error) {
			item.Share.Rights, err = givenRights("item.share.rights", in.GetShare().GetRights())
			return err
		}
	case in.GetApp() != nil:
		fill = func() error { return fillApp(item.App, in.GetApp()) }
	case in.GetFlow() != nil:
		fill = func() error { return fillFlow(item.Flow, in.GetFlow()) }
	}
	if fill != nil {
		err = fill()
	}
	return item, err
}

// givenKey reads what identifies an item.
func givenKey(in *pathgrantv1.DataverseItem) (admin.Item, error) {
	environment := in.GetEnvironment()
	switch {
	case in.GetTable() != nil:
		return admin.Item{Table: &snapshot.Table{Environment: environment, Table: authz.Table{Name: in.GetTable().GetName()}}}, nil
	case in.GetUser() != nil:
		who, err := givenPrincipal("item.user.principal", in.GetUser().GetPrincipal())
		return admin.Item{User: &snapshot.EnvironmentUser{Environment: environment, Principal: who}}, err
	case in.GetTeam() != nil:
		return admin.Item{Team: &snapshot.Team{Environment: environment, ID: in.GetTeam().GetId()}}, nil
	case in.GetColumnProfile() != nil:
		return admin.Item{ColumnProfile: &snapshot.ColumnProfile{Environment: environment, ID: in.GetColumnProfile().GetId()}}, nil
	case in.GetShare() != nil:
		given := in.GetShare()
		share := snapshot.Share{Environment: environment, Table: given.GetTable(), Record: given.GetRecord()}
		share.WithOrganization = given.GetEveryone()
		var err error
		if given.GetPrincipal() != nil || !given.GetEveryone() {
			share.With, err = givenPrincipal("item.share.principal", given.GetPrincipal())
		}
		return admin.Item{Share: &share}, err
	case in.GetApp() != nil:
		return admin.Item{App: &snapshot.App{Environment: environment, ID: in.GetApp().GetId()}}, nil
	case in.GetFlow() != nil:
		return admin.Item{Flow: &snapshot.Flow{Environment: environment, ID: in.GetFlow().GetId()}}, nil
	}
	return admin.Item{}, invalid("item", "missing: want a table, a user, a team, a column profile, a share, an app or a flow")
}

func fillTable(t *snapshot.Table, in *pathgrantv1.DataverseTable) error {
	for i, name := range in.GetClasses() {
		var class authz.TableClass
		if err := class.UnmarshalText([]byte(name)); err != nil {
			return invalid(indexed("item.table.classes", i), err.Error())
		}
		t.Classes |= class
	}
	if in.GetOwnership() != "" {
		if err := t.Ownership.UnmarshalText([]byte(in.GetOwnership())); err != nil {
			return invalid("item.table.ownership", err.Error())
		}
	}
	t.EntitySet, t.SecuredColumns = in.GetEntitySet(), in.GetSecuredColumns()
	return nil
}

func fillTeam(t *snapshot.Team, in *pathgrantv1.DataverseTeam) error {
	if err := t.Kind.UnmarshalText([]byte(in.GetTeamType())); err != nil ||
		t.Kind != authz.OwnerTeamHolder && t.Kind != authz.GroupTeamHolder && t.Kind != authz.AccessTeamHolder {
		return invalid("item.team.team_type", fmt.Sprintf("%q is none of OwnerTeam, GroupTeam and AccessTeam", in.GetTeamType()))
	}
	t.DisplayName, t.BusinessUnit, t.Group = in.GetDisplayName(), in.GetBusinessUnit(), in.GetGroup()
	var err error
	t.Members, err = givenPrincipals("item.team.members", in.GetMembers())
	return err
}

func fillProfile(p *snapshot.ColumnProfile, in *pathgrantv1.DataverseColumnProfile) error {
	p.DisplayName = in.GetDisplayName()
	for i, c := range in.GetColumns() {
		field := indexed("item.column_profile.columns", i) + ".rights"
		names := make([]string, 0, len(c.GetRights()))
		for j, name := range c.GetRights() {
			switch {
			case strings.EqualFold(name, updateRight):
				name = authz.WritePrivilege.String()
			case strings.EqualFold(name, authz.CreatePrivilege.String()), strings.EqualFold(name, authz.ReadPrivilege.String()):
			default:
				return invalid(indexed(field, j), fmt.Sprintf("%q is none of Create, Read and Update", name))
			}
			names = append(names, name)
		}
		rights, err := givenRights(field, names)
		if err != nil {
			return err
		}
		p.Columns = append(p.Columns, snapshot.ColumnRight{Table: c.GetTable(), Column: c.GetColumn(), Rights: rights})
	}
	var err error
	p.Principals, err = givenPrincipals("item.column_profile.principals", in.GetPrincipals())
	return err
}

// updateRight is what the right to write a column is called.
const updateRight = "Update"

// givenRights reads names of privileges, each once.
func givenRights(field string, names []string) (authz.PrivilegeSet, error) {
	var s authz.PrivilegeSet
	for i, name := range names {
		var p authz.Privilege
		if err := p.UnmarshalText([]byte(name)); err != nil {
			return 0, invalid(indexed(field, i), err.Error())
		}
		if s.Has(p) {
			return 0, invalid(indexed(field, i), p.String()+" is there twice")
		}
		s |= authz.Privileges(p)
	}
	return s, nil
}

func givenUses(field string, in []*pathgrantv1.DataverseTableUse) ([]snapshot.TableUse, error) {
	var all []snapshot.TableUse
	for i, u := range in {
		privileges, err := givenRights(indexed(field, i)+".privileges", u.GetPrivileges())
		if err != nil {
			return nil, err
		}
		all = append(all, snapshot.TableUse{Table: u.GetTable(), Privileges: privileges})
	}
	return all, nil
}

func fillApp(a *snapshot.App, in *pathgrantv1.DataverseApp) error {
	a.DisplayName, a.SharedWithEveryone = in.GetDisplayName(), in.GetEveryone()
	var err error
	if a.SharedWith, err = givenPrincipals("item.app.shared_with", in.GetSharedWith()); err != nil {
		return err
	}
	a.Tables, err = givenUses("item.app.tables", in.GetTables())
	return err
}

var connectionProviders = map[string]snapshot.ConnectionProvider{
	"": snapshot.NoProvider, "runonlyuser": snapshot.RunOnlyUserProvides, "maker": snapshot.MakerProvides,
}

var providerNames = map[snapshot.ConnectionProvider]string{snapshot.RunOnlyUserProvides: "RunOnlyUser", snapshot.MakerProvides: "Maker"}

func fillFlow(f *snapshot.Flow, in *pathgrantv1.DataverseFlow) error {
	f.DisplayName = in.GetDisplayName()
	var err error
	if in.GetMaker() != nil {
		if f.Maker, err = givenPrincipal("item.flow.maker", in.GetMaker()); err != nil {
			return err
		}
	}
	if f.RunOnly, err = givenPrincipals("item.flow.run_only_users", in.GetRunOnlyUsers()); err != nil {
		return err
	}
	for i, c := range in.GetConnections() {
		field := indexed("item.flow.connections", i)
		provider, known := connectionProviders[strings.ToLower(c.GetProvider())]
		if !known {
			return invalid(field+".provider", fmt.Sprintf("%q is neither RunOnlyUser nor Maker", c.GetProvider()))
		}
		tables, err := givenUses(field+".tables", c.GetTables())
		if err != nil {
			return err
		}
		f.Connections = append(f.Connections, snapshot.Connection{Name: c.GetName(), Connector: c.GetConnector(), Provider: provider, Tables: tables})
	}
	return nil
}

// rightNames are the names of privileges, in their order.
func rightNames(s authz.PrivilegeSet) []string {
	var names []string
	for _, p := range append(authz.TablePrivileges(), authz.ActOnBehalf) {
		if s.Has(p) {
			names = append(names, p.String())
		}
	}
	return names
}

func shownUse(u snapshot.TableUse) *pathgrantv1.DataverseTableUse {
	return &pathgrantv1.DataverseTableUse{Table: u.Table, Privileges: rightNames(u.Privileges)}
}

func shownItem(i admin.Item) *pathgrantv1.DataverseItem {
	out := &pathgrantv1.DataverseItem{Etag: i.Etag}
	switch {
	case i.Table != nil:
		out.Environment = i.Table.Environment
		table := &pathgrantv1.DataverseTable{
			Name: i.Table.Name, Ownership: i.Table.Ownership.String(), EntitySet: i.Table.EntitySet, SecuredColumns: i.Table.SecuredColumns,
		}
		if i.Table.Classes != 0 {
			table.Classes = strings.Split(i.Table.Classes.String(), ",")
		}
		out.Item = &pathgrantv1.DataverseItem_Table{Table: table}
	case i.User != nil:
		out.Environment = i.User.Environment
		out.Item = &pathgrantv1.DataverseItem_User{User: &pathgrantv1.DataverseUser{
			Principal: shownPrincipal(i.User.Principal), BusinessUnit: i.User.BusinessUnit, Disabled: i.User.Disabled, ServiceInstalled: i.User.ServiceInstalled,
		}}
	case i.Team != nil:
		out.Environment = i.Team.Environment
		out.Item = &pathgrantv1.DataverseItem_Team{Team: &pathgrantv1.DataverseTeam{
			Id: i.Team.ID, DisplayName: i.Team.DisplayName, TeamType: i.Team.Kind.String(), BusinessUnit: i.Team.BusinessUnit,
			Group: i.Team.Group, Members: each(i.Team.Members, shownPrincipal),
		}}
	case i.ColumnProfile != nil:
		out.Environment = i.ColumnProfile.Environment
		out.Item = &pathgrantv1.DataverseItem_ColumnProfile{ColumnProfile: shownProfile(i.ColumnProfile)}
	case i.Share != nil:
		out.Environment = i.Share.Environment
		share := &pathgrantv1.DataverseShare{Table: i.Share.Table, Record: i.Share.Record, Everyone: i.Share.WithOrganization, Rights: rightNames(i.Share.Rights)}
		if !i.Share.WithOrganization {
			share.Principal = shownPrincipal(i.Share.With)
		}
		out.Item = &pathgrantv1.DataverseItem_Share{Share: share}
	case i.App != nil:
		out.Environment = i.App.Environment
		out.Item = &pathgrantv1.DataverseItem_App{App: &pathgrantv1.DataverseApp{
			Id: i.App.ID, DisplayName: i.App.DisplayName, SharedWith: each(i.App.SharedWith, shownPrincipal), Everyone: i.App.SharedWithEveryone,
			Tables: each(i.App.Tables, shownUse),
		}}
	case i.Flow != nil:
		out.Environment = i.Flow.Environment
		out.Item = &pathgrantv1.DataverseItem_Flow{Flow: shownFlow(i.Flow)}
	}
	return out
}

func shownProfile(p *snapshot.ColumnProfile) *pathgrantv1.DataverseColumnProfile {
	out := &pathgrantv1.DataverseColumnProfile{Id: p.ID, DisplayName: p.DisplayName, Principals: each(p.Principals, shownPrincipal)}
	for _, c := range p.Columns {
		names := rightNames(c.Rights)
		for i, name := range names {
			if name == authz.WritePrivilege.String() {
				names[i] = updateRight
			}
		}
		out.Columns = append(out.Columns, &pathgrantv1.DataverseColumnRight{Table: c.Table, Column: c.Column, Rights: names})
	}
	return out
}

func shownFlow(f *snapshot.Flow) *pathgrantv1.DataverseFlow {
	out := &pathgrantv1.DataverseFlow{Id: f.ID, DisplayName: f.DisplayName, RunOnlyUsers: each(f.RunOnly, shownPrincipal)}
	if f.Maker != (authz.Principal{}) {
		out.Maker = shownPrincipal(f.Maker)
	}
	for _, c := range f.Connections {
		out.Connections = append(out.Connections, &pathgrantv1.DataverseConnection{
			Name: c.Name, Connector: c.Connector, Provider: providerNames[c.Provider], Tables: each(c.Tables, shownUse),
		})
	}
	return out
}
