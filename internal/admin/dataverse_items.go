package admin

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

const (
	maxPrincipals = 1000
	maxUses       = 1000
)

var (
	recordTypes = []authz.PrincipalType{authz.User, authz.ApplicationUser, authz.Team}
	runnerTypes = []authz.PrincipalType{authz.User, authz.ApplicationUser, authz.Group, authz.Team}
)

// itemTarget names an item in the change audit.
func itemTarget(environment, kind string, ids ...string) string {
	target := "environments/" + environment + "/" + kind
	for _, id := range ids {
		target += "/" + url.PathEscape(id)
	}
	return target
}

// placeItem reads the environment that an item is of.
func (a *Admin) placeItem(environment *string) error {
	id, err := a.pathID("Item.Environment", *environment)
	*environment = id
	return err
}

// unit gives the name of a business unit its one spelling; empty is the root.
func (a *Admin) unitID(field string, id *string) error {
	if *id == "" {
		return nil
	}
	canonical, err := a.pathID(field, *id)
	*id = canonical
	return err
}

// principals gives principals their one spelling and order, each once.
func (a *Admin) principals(field string, all *[]authz.Principal, types ...authz.PrincipalType) error {
	if len(*all) > maxPrincipals {
		return failf(Invalid, field, "use a group or a team", "there are at most %d", maxPrincipals)
	}
	var read []authz.Principal
	for i, p := range *all {
		canonical, err := a.principal(fmt.Sprintf("%s[%d]", field, i), p, types...)
		if err != nil {
			return err
		}
		if canonical.Type == authz.User && slices.Contains(read, authz.Principal{Type: authz.ApplicationUser, ID: canonical.ID}) ||
			canonical.Type == authz.ApplicationUser && slices.Contains(read, authz.Principal{Type: authz.User, ID: canonical.ID}) {
			return failf(Invalid, fmt.Sprintf("%s[%d]", field, i), "leave one out", "the object %q is there as a user and as an application user", canonical.ID)
		}
		read = append(read, canonical)
	}
	slices.SortFunc(read, comparePrincipals)
	*all = slices.Compact(read)
	return nil
}

// uses brings what is done to tables into one order.
func uses(all *[]snapshot.TableUse, field string) error {
	if len(*all) > maxUses {
		return failf(Invalid, field, "", "there are at most %d", maxUses)
	}
	*all = slices.Clone(*all)
	slices.SortFunc(*all, func(a, b snapshot.TableUse) int {
		return cmp.Or(compareText(strings.ToLower(a.Table), strings.ToLower(b.Table)), cmp.Compare(a.Privileges, b.Privileges))
	})
	return nil
}

// The items as JSON objects with a bundle's field names.

type tableSpelled struct {
	Environment string   `json:"environment"`
	Name        string   `json:"name"`
	Classes     []string `json:"classes,omitempty"`
	Ownership   string   `json:"ownership,omitempty"`
	EntitySet   string   `json:"entitySet,omitempty"`
	Secured     []string `json:"securedColumns,omitempty"`
}

type userSpelled struct {
	Environment string `json:"environment"`
	principalItem
	BusinessUnit     string `json:"businessUnit,omitempty"`
	Disabled         bool   `json:"disabled,omitempty"`
	ServiceInstalled bool   `json:"serviceInstalled,omitempty"`
}

type teamSpelled struct {
	ID           string          `json:"id"`
	Environment  string          `json:"environment"`
	DisplayName  string          `json:"displayName,omitempty"`
	Kind         string          `json:"teamType"`
	BusinessUnit string          `json:"businessUnit,omitempty"`
	Group        string          `json:"group,omitempty"`
	Members      []principalItem `json:"members,omitempty"`
}

type columnSpelled struct {
	Table  string   `json:"table"`
	Column string   `json:"column"`
	Rights []string `json:"rights"`
}

type profileSpelled struct {
	ID          string          `json:"id"`
	Environment string          `json:"environment"`
	DisplayName string          `json:"displayName,omitempty"`
	Columns     []columnSpelled `json:"columns"`
	Principals  []principalItem `json:"principals"`
}

type shareSpelled struct {
	Environment string `json:"environment"`
	Table       string `json:"table"`
	Record      string `json:"record"`
	*principalItem
	Everyone bool     `json:"everyone,omitempty"`
	Rights   []string `json:"rights"`
}

type useSpelled struct {
	Table      string   `json:"table"`
	Privileges []string `json:"privileges,omitempty"`
}

type appSpelled struct {
	ID          string          `json:"id"`
	Environment string          `json:"environment"`
	DisplayName string          `json:"displayName,omitempty"`
	SharedWith  []principalItem `json:"sharedWith,omitempty"`
	Everyone    bool            `json:"everyone,omitempty"`
	Tables      []useSpelled    `json:"tables,omitempty"`
}

type connectionSpelled struct {
	Name      string       `json:"name"`
	Connector string       `json:"connector"`
	Provider  string       `json:"provider,omitempty"`
	Tables    []useSpelled `json:"tables,omitempty"`
}

type flowSpelled struct {
	ID          string              `json:"id"`
	Environment string              `json:"environment"`
	DisplayName string              `json:"displayName,omitempty"`
	Maker       *principalItem      `json:"maker,omitempty"`
	RunOnly     []principalItem     `json:"runOnlyUsers,omitempty"`
	Connections []connectionSpelled `json:"connections,omitempty"`
}

// rightNames are the names of privileges, in their order.
func rightNames(s authz.PrivilegeSet) []string {
	names := []string{}
	for _, p := range append(authz.TablePrivileges(), authz.ActOnBehalf) {
		if s.Has(p) {
			names = append(names, p.String())
		}
	}
	return names
}

// columnRightNames are the names of rights to a column, of which Write is called Update.
func columnRightNames(s authz.PrivilegeSet) []string {
	names := rightNames(s)
	for i, name := range names {
		if name == authz.WritePrivilege.String() {
			names[i] = "Update"
		}
	}
	return names
}

func spelledUses(all []snapshot.TableUse) []useSpelled {
	var spelled []useSpelled
	for _, u := range all {
		spelled = append(spelled, useSpelled{u.Table, rightNames(u.Privileges)})
	}
	return spelled
}

// A tableItem is a table that an environment declares.
type tableItem struct{ snapshot.Table }

func (i *tableItem) identify(a *Admin) error { return a.placeItem(&i.Environment) }
func (i *tableItem) environment() string     { return i.Environment }
func (i *tableItem) shown() Item             { return Item{Table: &i.Table} }
func (i *tableItem) put(t *txn) error        { return t.e.PutTable(t.tenant, i.Table) }
func (i *tableItem) drop(t *txn) error       { return t.e.RemoveTable(t.tenant, i.Environment, i.Name) }
func (i *tableItem) target() string {
	return itemTarget(i.Environment, "tables", strings.ToLower(i.Name))
}
func (i *tableItem) check(*Admin) error {
	i.SecuredColumns = distinct(i.SecuredColumns)
	return nil
}

func (i *tableItem) spelled() any {
	s := tableSpelled{Environment: i.Environment, Name: i.Name, Ownership: i.Ownership.String(), EntitySet: i.EntitySet, Secured: i.SecuredColumns}
	if i.Classes != 0 {
		s.Classes = strings.Split(i.Classes.String(), ",")
	}
	return s
}

func (i *tableItem) load(r Reader, tenant string) (dataItem, bool, error) {
	found, ok, err := r.Table(tenant, i.Environment, i.Name)
	return &tableItem{found}, ok, err
}

func (i *tableItem) touches(*txn, dataItem) (touch, error) {
	return touch{everyone: true, environments: []string{i.Environment}}, nil
}

// A userItem is a user of an environment.
type userItem struct{ snapshot.EnvironmentUser }

func (i *userItem) identify(a *Admin) error {
	if err := a.placeItem(&i.Environment); err != nil {
		return err
	}
	var err error
	i.Principal, err = a.principal("Item.User.Principal", i.Principal, callerTypes...)
	return err
}

func (i *userItem) environment() string { return i.Environment }
func (i *userItem) shown() Item         { return Item{User: &i.EnvironmentUser} }
func (i *userItem) put(t *txn) error    { return t.e.PutEnvironmentUser(t.tenant, i.EnvironmentUser) }
func (i *userItem) check(a *Admin) error {
	return a.unitID("Item.User.BusinessUnit", &i.BusinessUnit)
}

func (i *userItem) drop(t *txn) error {
	return t.e.RemoveEnvironmentUser(t.tenant, i.Environment, i.Principal)
}

func (i *userItem) target() string { return itemTarget(i.Environment, "users", i.Principal.ID) }

func (i *userItem) spelled() any {
	return userSpelled{i.Environment, itemOf(i.Principal), i.BusinessUnit, i.Disabled, i.ServiceInstalled}
}

func (i *userItem) load(r Reader, tenant string) (dataItem, bool, error) {
	found, ok, err := r.EnvironmentUser(tenant, i.Environment, i.Principal)
	return &userItem{found}, ok, err
}

func (i *userItem) touches(*txn, dataItem) (touch, error) {
	return touch{principals: []authz.Principal{i.Principal}, environments: []string{i.Environment}}, nil
}

// A teamItem is a team of an environment.
type teamItem struct{ snapshot.Team }

func (i *teamItem) principal() authz.Principal { return authz.Principal{Type: authz.Team, ID: i.ID} }

func (i *teamItem) identify(a *Admin) error {
	if err := a.placeItem(&i.Environment); err != nil {
		return err
	}
	var err error
	i.ID, err = a.objectID("Item.Team.ID", i.ID)
	return err
}

func (i *teamItem) check(a *Admin) error {
	if err := text("Item.Team.DisplayName", i.DisplayName, maxText); err != nil {
		return err
	}
	if err := a.unitID("Item.Team.BusinessUnit", &i.BusinessUnit); err != nil {
		return err
	}
	if i.Group != "" {
		id, err := a.objectID("Item.Team.Group", i.Group)
		if err != nil {
			return err
		}
		i.Group = id
	}
	return a.principals("Item.Team.Members", &i.Members, callerTypes...)
}

func (i *teamItem) environment() string { return i.Environment }
func (i *teamItem) shown() Item         { return Item{Team: &i.Team} }
func (i *teamItem) put(t *txn) error    { return t.e.PutTeam(t.tenant, i.Team) }
func (i *teamItem) drop(t *txn) error   { return t.e.RemoveTeam(t.tenant, i.ID) }
func (i *teamItem) target() string      { return itemTarget(i.Environment, "teams", i.ID) }

func (i *teamItem) spelled() any {
	return teamSpelled{i.ID, i.Environment, i.DisplayName, i.Kind.String(), i.BusinessUnit, i.Group, itemsOf(i.Members)}
}

// load finds the team of the environment: one of another is not there, as far as is told.
func (i *teamItem) load(r Reader, tenant string) (dataItem, bool, error) {
	found, ok, err := r.Team(tenant, i.ID)
	if err == nil && ok && found.Environment != i.Environment {
		return nil, false, failf(Duplicate, "Item.Team.ID", "choose another", "the identifier is that of another team of the tenant")
	}
	return &teamItem{found}, ok, err
}

// joining are those who come to be in the team: its members, or of a group team the group.
func (i *teamItem) joining(before *teamItem) []authz.Principal {
	in := func(team *teamItem) []authz.Principal {
		if team == nil {
			return nil
		}
		if team.Group != "" {
			return append(slices.Clone(team.Members), groupOf(team.Group))
		}
		return team.Members
	}
	return slices.DeleteFunc(slices.Clone(in(i)), func(p authz.Principal) bool { return hasMember(in(before), p) })
}

func (i *teamItem) touches(_ *txn, next dataItem) (touch, error) {
	about := touch{principals: []authz.Principal{i.principal()}, environments: []string{i.Environment}}
	teams := []*teamItem{i}
	if is, ok := next.(*teamItem); ok {
		teams = append(teams, is)
	}
	for _, team := range teams {
		about.principals = append(about.principals, team.joining(nil)...)
	}
	return about, nil
}

// A profileItem is a column profile.
type profileItem struct{ snapshot.ColumnProfile }

func (i *profileItem) identify(a *Admin) error {
	if err := a.placeItem(&i.Environment); err != nil {
		return err
	}
	var err error
	i.ID, err = a.objectID("Item.ColumnProfile.ID", i.ID)
	return err
}

func (i *profileItem) check(a *Admin) error {
	if err := text("Item.ColumnProfile.DisplayName", i.DisplayName, maxText); err != nil {
		return err
	}
	if len(i.Columns) > maxUses {
		return failf(Invalid, "Item.ColumnProfile.Columns", "", "there are at most %d", maxUses)
	}
	i.Columns = slices.Clone(i.Columns)
	slices.SortFunc(i.Columns, func(a, b snapshot.ColumnRight) int {
		return cmp.Or(compareText(strings.ToLower(a.Table), strings.ToLower(b.Table)), compareText(strings.ToLower(a.Column), strings.ToLower(b.Column)))
	})
	return a.principals("Item.ColumnProfile.Principals", &i.Principals, recordTypes...)
}

func (i *profileItem) environment() string { return i.Environment }
func (i *profileItem) shown() Item         { return Item{ColumnProfile: &i.ColumnProfile} }
func (i *profileItem) put(t *txn) error    { return t.e.PutColumnProfile(t.tenant, i.ColumnProfile) }
func (i *profileItem) target() string      { return itemTarget(i.Environment, "columnProfiles", i.ID) }

func (i *profileItem) drop(t *txn) error {
	return t.e.RemoveColumnProfile(t.tenant, i.Environment, i.ID)
}

func (i *profileItem) spelled() any {
	s := profileSpelled{ID: i.ID, Environment: i.Environment, DisplayName: i.DisplayName, Columns: []columnSpelled{}, Principals: itemsOf(i.Principals)}
	for _, c := range i.Columns {
		s.Columns = append(s.Columns, columnSpelled{c.Table, c.Column, columnRightNames(c.Rights)})
	}
	return s
}

func (i *profileItem) load(r Reader, tenant string) (dataItem, bool, error) {
	found, ok, err := r.ColumnProfile(tenant, i.Environment, i.ID)
	return &profileItem{found}, ok, err
}

func (i *profileItem) touches(_ *txn, next dataItem) (touch, error) {
	about := touch{principals: slices.Clone(i.Principals), environments: []string{i.Environment}}
	if is, ok := next.(*profileItem); ok {
		about.principals = append(about.principals, is.Principals...)
	}
	return about, nil
}

// A shareItem is the share of a record with one receiver.
type shareItem struct{ snapshot.Share }

func (i *shareItem) identify(a *Admin) error {
	if err := a.placeItem(&i.Environment); err != nil {
		return err
	}
	var err error
	if i.Record, err = a.objectID("Item.Share.Record", i.Record); err != nil {
		return err
	}
	if i.WithOrganization {
		if i.With != (authz.Principal{}) {
			return fail(Invalid, "Item.Share.Principal", "a share is with somebody, or with everyone", "name the principal or everyone")
		}
		return nil
	}
	i.With, err = a.principal("Item.Share.Principal", i.With, recordTypes...)
	return err
}

func (i *shareItem) check(*Admin) error {
	if err := i.Rights.CheckShareable(); err != nil {
		return fail(Invalid, "Item.Share.Rights", err.Error(), "")
	}
	if i.Rights == 0 {
		return fail(Invalid, "Item.Share.Rights", "the share gives no right", "name one, or delete the share")
	}
	return nil
}

func (i *shareItem) environment() string { return i.Environment }
func (i *shareItem) shown() Item         { return Item{Share: &i.Share} }
func (i *shareItem) put(t *txn) error    { return t.e.PutShare(t.tenant, i.Share) }
func (i *shareItem) drop(t *txn) error   { return t.e.RemoveShare(t.tenant, i.Share) }

func (i *shareItem) target() string {
	receiver := []string{"everyone"}
	if !i.WithOrganization {
		key := i.With.Key()
		receiver = []string{key.Type.String(), key.ID}
	}
	return itemTarget(i.Environment, "shares", append([]string{strings.ToLower(i.Table), i.Record}, receiver...)...)
}

func (i *shareItem) spelled() any {
	s := shareSpelled{Environment: i.Environment, Table: i.Table, Record: i.Record, Everyone: i.WithOrganization, Rights: rightNames(i.Rights)}
	if !i.WithOrganization {
		with := itemOf(i.With)
		s.principalItem = &with
	}
	return s
}

func (i *shareItem) load(r Reader, tenant string) (dataItem, bool, error) {
	found, ok, err := r.Share(tenant, i.Share)
	return &shareItem{found}, ok, err
}

func (i *shareItem) touches(*txn, dataItem) (touch, error) {
	return touch{
		principals: []authz.Principal{i.With}, environments: []string{i.Environment}, shares: []sharedRecord{{i.Environment, i.Table, i.Record}},
	}, nil
}

// An appItem is an app.
type appItem struct{ snapshot.App }

func (i *appItem) scope(tenant string) authz.Scope {
	return environmentScope(tenant, i.Environment) + authz.Scope("/powerapps/"+i.ID)
}

func (i *appItem) identify(a *Admin) error {
	if err := a.placeItem(&i.Environment); err != nil {
		return err
	}
	var err error
	i.ID, err = a.pathID("Item.App.ID", i.ID)
	return err
}

func (i *appItem) check(a *Admin) error {
	if err := text("Item.App.DisplayName", i.DisplayName, maxText); err != nil {
		return err
	}
	if err := uses(&i.Tables, "Item.App.Tables"); err != nil {
		return err
	}
	return a.principals("Item.App.SharedWith", &i.SharedWith, runnerTypes...)
}

func (i *appItem) environment() string { return i.Environment }
func (i *appItem) shown() Item         { return Item{App: &i.App} }
func (i *appItem) put(t *txn) error    { return t.e.PutApp(t.tenant, i.App) }
func (i *appItem) drop(t *txn) error   { return t.e.RemoveApp(t.tenant, i.Environment, i.ID) }
func (i *appItem) target() string      { return itemTarget(i.Environment, "apps", i.ID) }

func (i *appItem) spelled() any {
	return appSpelled{i.ID, i.Environment, i.DisplayName, itemsOf(i.SharedWith), i.SharedWithEveryone, spelledUses(i.Tables)}
}

func (i *appItem) load(r Reader, tenant string) (dataItem, bool, error) {
	found, ok, err := r.App(tenant, i.Environment, i.ID)
	return &appItem{found}, ok, err
}

func (i *appItem) touches(_ *txn, next dataItem) (touch, error) { return touchOfReceivers(i, next) }

// A flowItem is a flow.
type flowItem struct{ snapshot.Flow }

func (i *flowItem) identify(a *Admin) error {
	if err := a.placeItem(&i.Environment); err != nil {
		return err
	}
	var err error
	i.ID, err = a.pathID("Item.Flow.ID", i.ID)
	return err
}

func (i *flowItem) check(a *Admin) error {
	if err := text("Item.Flow.DisplayName", i.DisplayName, maxText); err != nil {
		return err
	}
	if i.Maker != (authz.Principal{}) {
		maker, err := a.principal("Item.Flow.Maker", i.Maker, callerTypes...)
		if err != nil {
			return err
		}
		i.Maker = maker
	}
	if len(i.Connections) > maxUses {
		return failf(Invalid, "Item.Flow.Connections", "", "there are at most %d", maxUses)
	}
	i.Connections = slices.Clone(i.Connections)
	for j := range i.Connections {
		c := &i.Connections[j]
		if strings.EqualFold(c.Connector, snapshot.DataverseConnector) {
			c.Connector = snapshot.DataverseConnector
		}
		if err := uses(&c.Tables, fmt.Sprintf("Item.Flow.Connections[%d].Tables", j)); err != nil {
			return err
		}
	}
	slices.SortStableFunc(i.Connections, func(a, b snapshot.Connection) int { return compareText(a.Name, b.Name) })
	return a.principals("Item.Flow.RunOnlyUsers", &i.RunOnly, runnerTypes...)
}

func (i *flowItem) environment() string { return i.Environment }
func (i *flowItem) shown() Item         { return Item{Flow: &i.Flow} }
func (i *flowItem) put(t *txn) error    { return t.e.PutFlow(t.tenant, i.Flow) }
func (i *flowItem) drop(t *txn) error   { return t.e.RemoveFlow(t.tenant, i.Environment, i.ID) }
func (i *flowItem) target() string      { return itemTarget(i.Environment, "flows", i.ID) }

var providerNames = map[snapshot.ConnectionProvider]string{snapshot.RunOnlyUserProvides: "RunOnlyUser", snapshot.MakerProvides: "Maker"}

func (i *flowItem) spelled() any {
	s := flowSpelled{ID: i.ID, Environment: i.Environment, DisplayName: i.DisplayName, RunOnly: itemsOf(i.RunOnly)}
	if i.Maker != (authz.Principal{}) {
		maker := itemOf(i.Maker)
		s.Maker = &maker
	}
	for _, c := range i.Connections {
		s.Connections = append(s.Connections, connectionSpelled{c.Name, c.Connector, providerNames[c.Provider], spelledUses(c.Tables)})
	}
	return s
}

func (i *flowItem) load(r Reader, tenant string) (dataItem, bool, error) {
	found, ok, err := r.Flow(tenant, i.Environment, i.ID)
	return &flowItem{found}, ok, err
}

func (i *flowItem) touches(_ *txn, next dataItem) (touch, error) { return touchOfReceivers(i, next) }

// touchOfReceivers is about all that an app or a flow is shared with, before or after.
func touchOfReceivers(items ...dataItem) (about touch, err error) {
	for _, item := range items {
		about.principals = append(about.principals, runningOf(item).with...)
	}
	return about, nil
}
