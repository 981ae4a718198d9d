package bundle

import (
	"slices"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/internal/strictyaml"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

var (
	columnProfileRecord = record{keys: []string{"id", "environment", "columns", "displayName", "principals"}, required: 3}
	columnRecord        = record{keys: []string{"table", "column", "rights"}, required: 3}
	shareRecord         = record{keys: []string{"environment", "table", "record", "rights", "principalType", "principalObjectId", "everyone"}, required: 4}
	appRecord           = record{keys: []string{"id", "environment", "displayName", "sharedWith", "everyone", "tables"}, required: 2}
	flowRecord          = record{keys: []string{"id", "environment", "displayName", "maker", "runOnlyUsers", "connections"}, required: 2}
	connectionRecord    = record{keys: []string{"name", "connector", "provider", "tables"}, required: 2}
)

// providers are who provides a connection, by their names.
var providers = []string{
	snapshot.RunOnlyUserProvides: "RunOnlyUser",
	snapshot.MakerProvides:       "Maker",
}

func (t *tenantReader) readColumnProfiles(f *fields) {
	lines := map[inEnvironment]int{}
	f.list("columnProfiles", func(v strictyaml.Value) {
		f := columnProfileRecord.read(v)
		profile := snapshot.ColumnProfile{Environment: t.environment(&f), DisplayName: f.optionalText("displayName")}
		if id, ok := f.value("id"); ok {
			profile.ID = t.objectID(id)
		}
		columnLines := map[[2]string]int{}
		f.list("columns", func(v strictyaml.Value) {
			f := columnRecord.read(v)
			name, table := t.readTable(&f, profile.Environment)
			column := snapshot.ColumnRight{Table: name, Column: t.readColumn(&f, table), Rights: f.rights("rights", columnRights, nil)}
			key := [2]string{authz.TableKey(name), authz.TableKey(column.Column)}
			if name != "" && column.Column != "" && once(columnLines, key, v, "column %q of table %q", column.Column, name) {
				profile.Columns = append(profile.Columns, column)
			}
		})
		profile.Principals = t.readPeople(&f, profiled, profile.Environment, authz.User, authz.ApplicationUser, authz.Team)
		if profile.ID != "" && profile.Environment != "" && once(lines, inEnvironment{profile.Environment, profile.ID}, v, "column profile %q of environment %q", profile.ID, profile.Environment) {
			t.tenant.ColumnProfiles = append(t.tenant.ColumnProfiles, profile)
		}
	})
}

// readColumn reads the name of a secured column of the table, which may be nil after a
// problem with it.
func (t *tenantReader) readColumn(f *fields, table *authz.Table) string {
	v, ok := f.value("column")
	if !ok {
		return ""
	}
	column := shortText(v)
	same := func(one string) bool { return authz.TableKey(one) == authz.TableKey(column) }
	if column != "" && table != nil && !slices.ContainsFunc(table.SecuredColumns, same) {
		v.Problemf("column %q of table %q is not secured: list it under the table's securedColumns", column, table.Name)
	}
	return column
}

func (t *tenantReader) readShares(f *fields) {
	type shareOf struct {
		inEnvironment // the table
		record        string
		receiver      authz.Principal
	}
	lines := map[shareOf]int{}
	f.list("shares", func(v strictyaml.Value) {
		f := shareRecord.read(v)
		share := snapshot.Share{Environment: t.environment(&f)}
		var table *authz.Table
		if share.Table, table = t.readTable(&f, share.Environment); table != nil && table.Ownership != authz.UserOwned {
			at, _ := f.value("table")
			at.Problemf("records of table %q are not owned by users: they cannot be shared", table.Name)
		}
		if record, ok := f.value("record"); ok {
			share.Record = t.objectID(record)
		}
		share.Rights = f.rights("rights", tableRights, authz.PrivilegeSet.CheckShareable)
		share.With, share.WithOrganization = t.readReceiver(&f, share.Environment)
		if share.Environment == "" || share.Table == "" || share.Record == "" || share.With.ID == "" && !share.WithOrganization {
			return
		}
		of := shareOf{inEnvironment{share.Environment, authz.TableKey(share.Table)}, share.Record, share.With.Key()}
		if once(lines, of, v, "the share of record %q with the same receiver", share.Record) {
			t.tenant.Shares = append(t.tenant.Shares, share)
		}
	})
}

// readReceiver reads whom something is shared with: one principal, or everyone.
func (t *tenantReader) readReceiver(f *fields, environment string) (with authz.Principal, everyone bool) {
	at, named := f.value("principalObjectId")
	_, typed := f.value("principalType")
	if everyone = f.bool("everyone"); everyone {
		if named || typed {
			f.at.Problemf("it is shared with everyone and with a principal: make two shares of it")
		}
		return with, true
	}
	for _, key := range []string{"principalType", "principalObjectId"} {
		if _, given := f.value(key); !given && f.values != nil {
			f.at.Problemf("%s is required, or everyone: true", key)
		}
	}
	with = t.principal(f, "principalType", "principalObjectId", authz.User, authz.ApplicationUser, authz.Team)
	t.checkTeam(at, with, environment)
	return with, false
}

func (t *tenantReader) readApps(f *fields) {
	lines := map[inEnvironment]int{}
	f.list("apps", func(v strictyaml.Value) {
		f := appRecord.read(v)
		app := snapshot.App{Environment: t.environment(&f), DisplayName: f.optionalText("displayName")}
		if id, ok := f.value("id"); ok {
			app.ID = t.pathID(id)
		}
		app.SharedWith = t.readPeople(&f, sharedWith, app.Environment, authz.User, authz.ApplicationUser, authz.Group, authz.Team)
		app.SharedWithEveryone = f.bool("everyone")
		app.Tables = t.readTableUses(&f, app.Environment)
		if app.ID != "" && app.Environment != "" && once(lines, inEnvironment{app.Environment, app.ID}, v, "app %q of environment %q", app.ID, app.Environment) {
			t.tenant.Apps = append(t.tenant.Apps, app)
		}
	})
}

func (t *tenantReader) readFlows(f *fields) {
	lines := map[inEnvironment]int{}
	f.list("flows", func(v strictyaml.Value) {
		f := flowRecord.read(v)
		flow := snapshot.Flow{Environment: t.environment(&f), DisplayName: f.optionalText("displayName")}
		if id, ok := f.value("id"); ok {
			flow.ID = t.pathID(id)
		}
		maker, hasMaker := f.unlessNull("maker")
		if hasMaker {
			one := memberRecord.read(maker)
			flow.Maker = t.principal(&one, "principalType", "principalObjectId", authz.User, authz.ApplicationUser)
		}
		flow.RunOnly = t.readPeople(&f, runOnly, flow.Environment, authz.User, authz.ApplicationUser, authz.Group, authz.Team)
		connectionLines := map[string]int{}
		f.list("connections", func(v strictyaml.Value) {
			connection := t.readConnection(v, flow.Environment, hasMaker)
			if connection.Name != "" && once(connectionLines, connection.Name, v, "connection %q", connection.Name) {
				flow.Connections = append(flow.Connections, connection)
			}
		})
		if flow.ID != "" && flow.Environment != "" && once(lines, inEnvironment{flow.Environment, flow.ID}, v, "flow %q of environment %q", flow.ID, flow.Environment) {
			t.tenant.Flows = append(t.tenant.Flows, flow)
		}
	})
}

func (t *tenantReader) readConnection(v strictyaml.Value, environment string, hasMaker bool) snapshot.Connection {
	f := connectionRecord.read(v)
	var connection snapshot.Connection
	if name, ok := f.value("name"); ok {
		connection.Name = shortText(name)
	}
	if connector, ok := f.value("connector"); ok {
		connection.Connector = shortText(connector)
	}
	if provider, ok := f.unlessNull("provider"); ok {
		if i, ok := oneOf(provider, providers[1:]); ok {
			connection.Provider = snapshot.ConnectionProvider(i + 1)
		}
		if connection.Provider == snapshot.MakerProvides && !hasMaker {
			provider.Problemf("the flow has no maker to provide it: say who made the flow with maker")
		}
	}
	connection.Tables = t.readTableUses(&f, environment)
	if at, _ := f.value("tables"); connection.Connector != "" && connection.Connector != snapshot.DataverseConnector && len(connection.Tables) > 0 {
		at.Problemf("only the connector %s leads to tables, not %q: leave them out", snapshot.DataverseConnector, connection.Connector)
	}
	return connection
}
