package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/pathgrant/pathgrant/internal/snapshot"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

func (e *encoder) tables(t *snapshot.Tenant) {
	section(e, "tables", t.Tables, func(a, b snapshot.Table) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(authz.TableKey(a.Name), authz.TableKey(b.Name)))
	}, func(table snapshot.Table) {
		e.key("environment").text(table.Environment)
		e.key("name").text(table.Name)
		var classes []string
		for class := authz.CoreTables; class <= authz.CustomTables; class <<= 1 {
			if table.Classes&class != 0 {
				classes = append(classes, class.String())
			}
		}
		if table.Classes&(authz.OrgSharedTables|authz.AnyTables) != 0 {
			e.fail(fmt.Errorf("no table is declared %v", table.Classes))
		}
		e.optionalTexts("classes", classes)
		if table.Ownership != authz.NoOwnership {
			e.key("ownership").text(table.Ownership.String())
		}
		e.optional("entitySet", table.EntitySet)
		e.optionalTexts("securedColumns", slices.Sorted(slices.Values(table.SecuredColumns)))
	})
}

func (e *encoder) teams(t *snapshot.Tenant) {
	section(e, "users", t.Users, func(a, b snapshot.EnvironmentUser) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), comparePrincipals(a.Principal, b.Principal))
	}, func(user snapshot.EnvironmentUser) {
		e.key("environment").text(user.Environment)
		e.principal("principalType", "principalObjectId", user.Principal)
		e.optional("businessUnit", user.BusinessUnit)
		e.flag("disabled", user.Disabled)
		e.flag("serviceInstalled", user.ServiceInstalled)
	})
	section(e, "teams", t.Teams, func(a, b snapshot.Team) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.ID, b.ID))
	}, func(team snapshot.Team) {
		e.key("id").text(team.ID)
		e.key("environment").text(team.Environment)
		e.optional("displayName", team.DisplayName)
		if !slices.Contains(teamKinds, team.Kind) {
			e.fail(fmt.Errorf("%v is no kind of team", team.Kind))
		}
		e.key("teamType").text(team.Kind.String())
		e.optional("businessUnit", team.BusinessUnit)
		e.optional("group", team.Group)
		e.optionalPeople("members", team.Members)
	})
}

func (e *encoder) sharing(t *snapshot.Tenant) {
	section(e, "columnProfiles", t.ColumnProfiles, func(a, b snapshot.ColumnProfile) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.ID, b.ID))
	}, func(profile snapshot.ColumnProfile) {
		e.key("id").text(profile.ID)
		e.key("environment").text(profile.Environment)
		e.optional("displayName", profile.DisplayName)
		e.key("columns")
		list(e, profile.Columns, func(a, b snapshot.ColumnRight) int {
			return cmp.Or(cmp.Compare(authz.TableKey(a.Table), authz.TableKey(b.Table)), cmp.Compare(authz.TableKey(a.Column), authz.TableKey(b.Column)))
		}, func(column snapshot.ColumnRight) {
			e.key("table").text(column.Table)
			e.key("column").text(column.Column)
			e.rights("rights", columnRights, column.Rights)
		})
		e.optionalPeople("principals", profile.Principals)
	})
	section(e, "shares", t.Shares, func(a, b snapshot.Share) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(authz.TableKey(a.Table), authz.TableKey(b.Table)), cmp.Compare(a.Record, b.Record),
			comparePrincipals(receiver(a), receiver(b)))
	}, func(share snapshot.Share) {
		e.key("environment").text(share.Environment)
		e.key("table").text(share.Table)
		e.key("record").text(share.Record)
		if e.flag("everyone", share.WithOrganization); !share.WithOrganization {
			e.principal("principalType", "principalObjectId", share.With)
		}
		if err := share.Rights.CheckShareable(); err != nil {
			e.fail(err)
		}
		e.rights("rights", tableRights, share.Rights)
	})
	section(e, "apps", t.Apps, func(a, b snapshot.App) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.ID, b.ID))
	}, func(app snapshot.App) {
		e.key("id").text(app.ID)
		e.key("environment").text(app.Environment)
		e.optional("displayName", app.DisplayName)
		e.optionalPeople("sharedWith", app.SharedWith)
		e.flag("everyone", app.SharedWithEveryone)
		e.tableUses(app.Tables)
	})
	section(e, "flows", t.Flows, func(a, b snapshot.Flow) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.ID, b.ID))
	}, e.flow)
}

// receiver is whom a record is shared with; nobody stands for everyone.
func receiver(s snapshot.Share) authz.Principal {
	if s.WithOrganization {
		return authz.Principal{}
	}
	return s.With
}

func (e *encoder) flow(flow snapshot.Flow) {
	e.key("id").text(flow.ID)
	e.key("environment").text(flow.Environment)
	e.optional("displayName", flow.DisplayName)
	if flow.Maker != (authz.Principal{}) {
		e.key("maker")
		e.buf = append(e.buf, '{')
		e.principal("principalType", "principalObjectId", flow.Maker)
		e.buf = append(e.buf, '}')
	}
	e.optionalPeople("runOnlyUsers", flow.RunOnly)
	if len(flow.Connections) == 0 {
		return
	}
	e.key("connections")
	list(e, flow.Connections, func(a, b snapshot.Connection) int { return cmp.Compare(a.Name, b.Name) }, func(c snapshot.Connection) {
		e.key("name").text(c.Name)
		e.key("connector").text(c.Connector)
		switch {
		case int(c.Provider) >= len(providers):
			e.fail(fmt.Errorf("connection %q has a provider that is not known: %d", c.Name, c.Provider))
		case c.Provider != snapshot.NoProvider:
			e.key("provider").text(providers[c.Provider])
		}
		e.tableUses(c.Tables)
	})
}

func (e *encoder) tableUses(uses []snapshot.TableUse) {
	if len(uses) == 0 {
		return
	}
	e.key("tables")
	list(e, uses, func(a, b snapshot.TableUse) int { return cmp.Compare(authz.TableKey(a.Table), authz.TableKey(b.Table)) }, func(use snapshot.TableUse) {
		e.key("table").text(use.Table)
		if use.Privileges != 0 {
			e.rights("privileges", tableRights, use.Privileges)
		}
	})
}

// rights writes rights by their names; there must be one.
func (e *encoder) rights(key string, known []right, set authz.PrivilegeSet) {
	var texts []string
	for _, r := range known {
		if set.Has(r.privilege) {
			texts, set = append(texts, r.name), set&^authz.Privileges(r.privilege)
		}
	}
	if len(texts) == 0 || set != 0 {
		e.fail(errors.New("it has no right, or one that does not belong there"))
	}
	e.key(key).texts(texts)
}
