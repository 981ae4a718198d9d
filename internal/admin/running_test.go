package admin_test

import (
	"testing"

	"github.com/pathgrant/pathgrant/internal/admin"
	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// runnables is a tenant with two apps and two flows. boss may assign roles in d1 and no more,
// is in the group staff and the team crew, and owns the application bot.
const runnables = `
  - id: t1
    environments: [{id: d1, dataverse: true}]
    principals:
      - {principalType: ApplicationUser, principalObjectId: bot, owners: [{principalType: User, principalObjectId: boss}]}
    groups: [{id: staff, members: [{principalType: User, principalObjectId: boss}]}]
    users:
      - {environment: d1, principalType: User, principalObjectId: sa}
      - {environment: d1, principalType: User, principalObjectId: boss}
    teams: [{id: crew, environment: d1, displayName: Crew, teamType: AccessTeam, members: [{principalType: User, principalObjectId: boss}]}]
    apps:
      - {id: a1, environment: d1, tables: [{table: Account, privileges: [Read]}]}
      - {id: a2, environment: d1, everyone: true, tables: [{table: Account, privileges: [Read]}]}
    flows:
      - {id: f1, environment: d1, maker: {principalType: User, principalObjectId: sa}}
      - id: f2
        environment: d1
        maker: {principalType: User, principalObjectId: sa}
        runOnlyUsers: [{principalType: User, principalObjectId: boss}]
        connections: [{name: c, connector: dataverse, provider: RunOnlyUser, tables: [{table: Account, privileges: [Read, Write]}]}]
    roleDefinitions:
      - {roleDefinitionId: rbac, roleDefinitionName: RBAC, permissions: [Authorization.RoleAssignments.ReadWrite, Authorization.RoleAssignments.Delete], assignableScopes: ["/tenants/{0}"]}
    roleAssignments:
      - {principalType: User, principalObjectId: root, roleDefinitionName: Power Platform Owner, scope: /tenants/t1}
      - {principalType: User, principalObjectId: boss, roleDefinitionName: RBAC, scope: /tenants/t1/environments/d1}
`

// What an app or a flow is shared for, whoever shares it gets too: nobody gets it by their own
// change, nor what a flow does with its maker's access.
func TestNobodyComesToRunWhatTheyCouldNotByTheirOwnChange(t *testing.T) {
	w := newWorld(t, runnables)
	reads, both := authz.Privileges(authz.ReadPrivilege), authz.Privileges(authz.ReadPrivilege, authz.WritePrivilege)
	appOf := func(id string, everyone bool, rights authz.PrivilegeSet, with ...authz.Principal) admin.Item {
		return admin.Item{App: &snapshot.App{ID: id, Environment: "d1", SharedWith: with, SharedWithEveryone: everyone, Tables: []snapshot.TableUse{{Table: "Account", Privileges: rights}}}}
	}
	by := func(provider snapshot.ConnectionProvider, name string, rights authz.PrivilegeSet) snapshot.Connection {
		return snapshot.Connection{Name: name, Connector: snapshot.DataverseConnector, Provider: provider, Tables: []snapshot.TableUse{{Table: "Account", Privileges: rights}}}
	}
	flowOf := func(id, maker string, with []authz.Principal, connections ...snapshot.Connection) admin.Item {
		return admin.Item{Flow: &snapshot.Flow{ID: id, Environment: "d1", Maker: user(maker), RunOnly: with, Connections: connections}}
	}
	self, other := []authz.Principal{user("boss")}, []authz.Principal{user("sa")}
	caller, maker := snapshot.RunOnlyUserProvides, snapshot.MakerProvides
	for _, c := range []struct {
		what, by string
		item     admin.Item
		refused  bool
	}{
		{"an app to oneself", "boss", appOf("a1", false, reads, user("boss")), true},
		{"an app to oneself as an application", "boss", appOf("a1", false, reads, app("boss")), true},
		{"an app to one's group", "boss", appOf("a1", false, reads, group("staff")), true},
		{"an app to one's team", "boss", appOf("a1", false, reads, team("crew")), true},
		{"an app to one's application", "boss", appOf("a1", false, reads, app("bot")), true},
		{"an app to everyone", "boss", appOf("a1", true, reads), true},
		{"a new app to oneself", "boss", appOf("a9", false, reads, user("boss")), true},
		{"an app that one may open, with less", "boss", appOf("a2", true, 0), true},
		{"a flow to oneself", "boss", flowOf("f1", "sa", self), true},
		{"a new flow of another to oneself", "boss", flowOf("f9", "sa", self, by(maker, "c", reads)), true},
		{"one's flow with another's access", "boss", flowOf("f2", "sa", self, by(maker, "c", both)), true},
		{"another's access besides", "boss", flowOf("f2", "sa", self, by(caller, "c", both), by(maker, "d", reads)), true},
		{"one's flow with less", "boss", flowOf("f2", "sa", self, by(caller, "c", reads)), true},
		{"another's flow made one's own", "boss", flowOf("f2", "boss", self), true},
		{"an app to somebody else", "boss", appOf("a1", false, reads, user("sa")), false},
		{"an app that one may open, with more", "boss", appOf("a2", true, both), false},
		{"a flow to somebody else", "boss", flowOf("f1", "sa", other, by(maker, "c", reads)), false},
		{"one's flow with more", "boss", flowOf("f2", "sa", self, by(caller, "c", both), by(caller, "d", both)), false},
		{"a new flow of one's own", "boss", flowOf("f8", "boss", self, by(maker, "c", reads)), false},
		{"an app to oneself by whoever may share it", "root", appOf("a1", false, reads, user("root")), false},
	} {
		kind := error(nil)
		if c.refused {
			kind = admin.ErrSelfEscalation
		}
		etag := "*"
		if c.item.App != nil && c.item.App.ID == "a9" || c.item.Flow != nil && c.item.Flow.ID > "f7" {
			etag = ""
		}
		_, err := w.PutItem(t.Context(), w.as(c.by), admin.PutItemRequest{Item: c.item, Etag: etag})
		want(t, c.what, err, kind)
	}
}
